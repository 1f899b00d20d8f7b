--
-- Keys that a transaction meets again: in the same statement, spelled otherwise, behind savepoints, and those that it has
-- only looked at. Of each key three are let in, whoever asks in what order.
--
SET timezone = 'UTC';
CREATE SCHEMA shield_keys_test;
SET search_path = shield_keys_test, public;
CREATE TABLE payment (id int, customer numeric, ts timestamptz);
SELECT streamproc.create_stream('payment', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_detector('fast', 'payment', method => 'velocity', keys => ARRAY['customer'], carry => ARRAY['id AS payment_id'],
	params => '{"events": 3, "interval": "1 hour"}');
SELECT streamproc.enforce('fast', 'quarantine');
SET client_min_messages = warning;
-- New keys and known ones, in one statement.
INSERT INTO payment SELECT i, (ARRAY['1', '1.0', '1.00', '2', '2.00'])[i % 5 + 1]::numeric, '2026-01-01 00:00+00' FROM generate_series(1, 20) i;
INSERT INTO payment SELECT i, (ARRAY['3', '3.0', '3.00', '4', '2'])[i % 5 + 1]::numeric, '2026-01-01 00:00+00' FROM generate_series(21, 40) i;
INSERT INTO payment VALUES (41, 5, '2026-01-01 00:00+00'), (42, 6, '2026-01-01 00:00+00');
INSERT INTO payment SELECT i, (ARRAY['5', '5.0', '6', '6.000'])[i % 4 + 1]::numeric, '2026-01-01 00:00+00' FROM generate_series(43, 60) i;
-- Behind savepoints: what is taken back was never there.
INSERT INTO payment VALUES (61, 7, '2026-01-01 00:00+00');
BEGIN;
SAVEPOINT a;
INSERT INTO payment VALUES (62, 7, '2026-01-01 00:00+00'), (63, 7.0, '2026-01-01 00:00+00'), (64, 7.00, '2026-01-01 00:00+00');
ROLLBACK TO a;
INSERT INTO payment VALUES (65, 7.0, '2026-01-01 00:00+00');
SAVEPOINT b;
INSERT INTO payment VALUES (66, 7.00, '2026-01-01 00:00+00'), (67, 7, '2026-01-01 00:00+00');
ROLLBACK TO b;
RELEASE b;
SAVEPOINT c;
INSERT INTO payment VALUES (68, 7.000, '2026-01-01 00:00+00');
RELEASE c;
INSERT INTO payment VALUES (69, 7, '2026-01-01 00:00+00'), (70, 7.0, '2026-01-01 00:00+00');
COMMIT;
INSERT INTO payment VALUES (71, 7, '2026-01-01 00:00+00');
-- A transaction that is rolled back, and one that comes to nothing by an error.
BEGIN;
INSERT INTO payment VALUES (80, 8, '2026-01-01 00:00+00'), (81, 8, '2026-01-01 00:00+00'), (82, 8, '2026-01-01 00:00+00');
ROLLBACK;
INSERT INTO payment VALUES (83, 8, '2026-01-01 00:00+00');
BEGIN;
INSERT INTO payment VALUES (84, 8.0, '2026-01-01 00:00+00'), (85, 8, '2026-01-01 00:00+00');
SELECT 1 / 0;
COMMIT;
INSERT INTO payment VALUES (86, 8.0, '2026-01-01 00:00+00'), (87, 8, '2026-01-01 00:00+00'), (88, 8.00, '2026-01-01 00:00+00');
-- One snapshot for all: of rows that the transaction itself has written it sees the newest.
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO payment SELECT i, CASE i % 3 WHEN 0 THEN 9 WHEN 1 THEN 9.0 ELSE 10 END, '2026-01-01 00:00+00' FROM generate_series(90, 99) i;
INSERT INTO payment SELECT i, CASE i % 3 WHEN 0 THEN 9.00 WHEN 1 THEN 9 ELSE 10.0 END, '2026-01-01 00:00+00' FROM generate_series(100, 109) i;
COMMIT;
-- Amid a transaction the session learns anew what the shield is; where its states are stays known.
DO $$
BEGIN
	FOR i IN 110 .. 149 LOOP
		BEGIN
			INSERT INTO payment VALUES (i, (ARRAY['11', '11.0', '12', '12.00', '13'])[i % 5 + 1]::numeric, '2026-01-01 00:00+00');
			EXECUTE format('CREATE OR REPLACE FUNCTION nothing() RETURNS int RETURN %s', i);
			IF i % 7 = 0 THEN
				RAISE 'taken back' USING errcode = 'UTEST';
			END IF;
		EXCEPTION WHEN SQLSTATE 'UTEST' THEN NULL;
		END;
	END LOOP;
END $$;
-- The same by plain SQL: those of 62 to 68 and 80 to 85 that were taken back left out, the first three of each key are in.
SELECT customer::int AS customer, array_agg(id ORDER BY id) AS ids FROM payment GROUP BY 1 ORDER BY 1;
WITH offered (id, customer) AS (
	SELECT i, (ARRAY[1, 1, 1, 2, 2])[i % 5 + 1] FROM generate_series(1, 20) i
	UNION ALL SELECT i, (ARRAY[3, 3, 3, 4, 2])[i % 5 + 1] FROM generate_series(21, 40) i
	UNION ALL VALUES (41, 5), (42, 6)
	UNION ALL SELECT i, (ARRAY[5, 5, 6, 6])[i % 4 + 1] FROM generate_series(43, 60) i
	UNION ALL VALUES (61, 7), (65, 7), (68, 7), (69, 7), (70, 7), (71, 7), (83, 8), (86, 8), (87, 8), (88, 8)
	UNION ALL SELECT i, CASE i % 3 WHEN 2 THEN 10 ELSE 9 END FROM generate_series(90, 109) i
	UNION ALL SELECT i, (ARRAY[11, 11, 12, 12, 13])[i % 5 + 1] FROM generate_series(110, 149) i WHERE i % 7 <> 0),
numbered AS (SELECT *, row_number() OVER (PARTITION BY customer ORDER BY id) AS n FROM offered)
SELECT count(*) FILTER (WHERE n <= 3 AND p.id IS NULL) AS missing, count(*) FILTER (WHERE n > 3 AND p.id IS NOT NULL) AS too_many,
	count(*) FILTER (WHERE n > 3 AND q.id IS NULL) AS not_put_aside, count(*) FILTER (WHERE n > 3) AS put_aside
FROM numbered LEFT JOIN payment p USING (id) LEFT JOIN fast_quarantine q USING (id);
-- The states are those that the rows lead to.
CREATE TABLE before (state text);
DO $$
DECLARE states regclass := (SELECT states FROM streamproc.shield_definition s JOIN streamproc.detector_definition d USING (id)
	WHERE d.relation = 'shield_keys_test.fast'::regclass);
BEGIN
	EXECUTE format('INSERT INTO before SELECT state::text FROM %s ORDER BY k1', states);
END $$;
SELECT count(*) FROM before;
SELECT streamproc.enforce('fast', 'quarantine');
DO $$
DECLARE states regclass := (SELECT states FROM streamproc.shield_definition s JOIN streamproc.detector_definition d USING (id)
	WHERE d.relation = 'shield_keys_test.fast'::regclass);
BEGIN
	EXECUTE format('DELETE FROM before WHERE state IN (SELECT state::text FROM %s)', states);
END $$;
SELECT count(*) FROM before;
SELECT streamproc.drop_stream('payment', cascade => true);
DROP SCHEMA shield_keys_test CASCADE;
