--
-- In which order the worker comes to know what a transaction has written and what it has taken back must not matter, nor what
-- only the transaction itself has seen.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA retract_order_test;
SET search_path = retract_order_test, public;

-- ---- Sessions that are split are handed on in the order in which they began ----

CREATE TABLE visit (id int PRIMARY KEY, k int, ts timestamptz);
ALTER TABLE visit REPLICA IDENTITY FULL;
SELECT streamproc.create_stream('visit', time_column => 'ts', watermark => '1 minute', idle_timeout => '1 day', on_update => 'retract');
SELECT streamproc.create_window('stay', 'visit', kind => 'session', gap => '10 seconds', keys => '{k}', aggregates => '{count(*) AS n}');
SELECT streamproc.create_detector('seen', 'stay', method => 'rule', rules => ARRAY['true AS "Seen"'], carry => '{window_start AS began, n AS n}');
SELECT streamproc.wait_for();
-- Of each pair of keys the first has a row more, which a row that comes makes one with the others.
INSERT INTO visit VALUES (1, 1, '2026-03-01 12:00:00'), (3, 3, '2026-03-01 12:00:00');
INSERT INTO visit SELECT k * 10 + i, k, '2026-03-01 12:00:08'::timestamptz + i * interval '7 seconds'
	FROM generate_series(1, 4) k, generate_series(1, 4) i;
-- What is taken back is known at the end of the transaction, or before the row that comes.
BEGIN;
DELETE FROM visit WHERE id = 12;
DELETE FROM visit WHERE id = 22;
INSERT INTO visit VALUES (2, 1, '2026-03-01 12:00:07');
COMMIT;
BEGIN;
DELETE FROM visit WHERE id = 32;
DELETE FROM visit WHERE id = 42;
SAVEPOINT s;
INSERT INTO visit VALUES (4, 3, '2026-03-01 12:00:07');
RELEASE s;
COMMIT;
INSERT INTO visit VALUES (5, 0, '2026-03-01 13:00');
SELECT streamproc.wait_for();
SELECT k, began, n FROM seen WHERE k IN (1, 2) ORDER BY lsn, ordinal;
SELECT k, began, n FROM seen WHERE k IN (3, 4) ORDER BY lsn, ordinal;
SELECT count(*) FROM streamproc.verify('stay') WHERE explained_by IS NULL;
SELECT streamproc.drop_stream('visit', cascade => true);

-- ---- What the clock has closed keeps what it had, and nothing that its transaction has undone ----

CREATE TABLE call (id int PRIMARY KEY, n int, ts timestamptz);
ALTER TABLE call REPLICA IDENTITY FULL;
SELECT streamproc.create_stream('call', time_column => 'ts', watermark => '0', idle_timeout => '1 second', on_update => 'retract');
SELECT streamproc.create_window('talk', 'call', kind => 'session', gap => '1 second', aggregates => '{count(*) AS c, sum(n) AS total}');
SELECT streamproc.create_window('told', 'call', kind => 'session', gap => '1 second', emit => 'final',
	aggregates => '{count(*) AS c, "array_agg(n ORDER BY n) AS list"}');
SELECT streamproc.wait_for();
CREATE PROCEDURE until_final(rows bigint) LANGUAGE plpgsql AS $$
DECLARE
	deadline timestamptz := clock_timestamp() + interval '20 seconds';
BEGIN
	WHILE clock_timestamp() < deadline LOOP
		EXIT WHEN (SELECT c = rows AND is_final FROM talk) AND (SELECT c = rows FROM told);
		PERFORM streamproc.wait_for();
		COMMIT;
	END LOOP;
END $$;
INSERT INTO call VALUES (1, 1, '2026-03-01 12:00:00');
CALL until_final(1);
SELECT * FROM talk;
-- One that comes and goes, and one that stays.
BEGIN;
INSERT INTO call VALUES (2, 2, '2026-03-01 12:00:00.5'), (3, 4, '2026-03-01 12:00:00.6');
DELETE FROM call WHERE id = 2;
COMMIT;
CALL until_final(2);
SELECT window_start, window_end, c, total, is_final FROM talk;
SELECT window_start, window_end, c, list, is_final FROM told;
-- Those that it had when it was closed stay.
BEGIN;
INSERT INTO call VALUES (4, 8, '2026-03-01 12:00:00.7'), (5, 16, '2026-03-01 12:00:00.8');
DELETE FROM call WHERE id IN (1, 4);
UPDATE call SET n = 32 WHERE id = 5;
COMMIT;
CALL until_final(3);
SELECT window_start, window_end, c, total, is_final FROM talk;
SELECT window_start, window_end, c, list, is_final FROM told;
BEGIN;
INSERT INTO call VALUES (6, 64, '2026-03-01 12:00:00.9');
TRUNCATE call;
INSERT INTO call VALUES (7, 128, '2026-03-01 12:00:01.5');
COMMIT;
CALL until_final(4);
SELECT window_start, window_end, c, total, is_final FROM talk;
SELECT window_start, window_end, c, list, is_final FROM told;
-- What is undone by itself changes nothing.
BEGIN;
INSERT INTO call VALUES (8, 256, '2026-03-01 12:00:02.4'), (9, 512, '2026-03-01 12:00:03.3');
DELETE FROM call WHERE id >= 8;
COMMIT;
SELECT streamproc.wait_for();
CALL until_final(4);
SELECT window_start, window_end, c, total, is_final FROM talk;
SELECT window_start, window_end, c, list, is_final FROM told;
SELECT name, retracted, ignored FROM streamproc.status WHERE name IN ('talk'::regclass, 'told'::regclass) ORDER BY 1;
SELECT streamproc.drop_stream('call', cascade => true);

SET client_min_messages = warning;
DROP SCHEMA retract_order_test CASCADE;
