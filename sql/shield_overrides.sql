--
-- What is set for single keys holds in the shield, too: against plain SQL, and score_online() with the other threshold.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA shield_overrides_test;
SET search_path = shield_overrides_test, public;

CREATE TABLE payment (id int, customer numeric, amount float8, ts timestamptz);
SELECT streamproc.create_stream('payment', time_column => 'ts', watermark => '10 minutes', idle_timeout => '1 day');
SELECT streamproc.create_detector('fast', 'payment', method => 'velocity', keys => ARRAY['customer'], carry => ARRAY['id AS payment_id'],
	params => '{"events": 5, "interval": "5 minutes", "feedback": 0.5, "feedback_limit": 3}');
INSERT INTO fast_overrides (customer, threshold, muted, false_positives, true_positives) VALUES
	(1, 2, false, 0, 0), (2.0, NULL, true, 0, 0), (NULL, 0.4, false, 0, 0), (3, NULL, false, 3, 1), (5, 0.75, false, 0, 1);
SELECT streamproc.wait_for();
SELECT streamproc.enforce('fast');

-- So many are offered, one by one; what becomes of them follows from the rows that are in. Other spellings of a key are the same key.
CREATE TABLE offer AS SELECT i AS id, (ARRAY[0, 1.00, 2, 3.0, NULL, 5]::numeric[])[1 + i * 7 % 6] AS customer, (10 + i % 7)::float8 AS amount,
	'2026-01-01 12:00+00'::timestamptz + (i * 3 + i * i * 37 % 60) * interval '1 second' AS ts FROM generate_series(1, 600) i;
CREATE FUNCTION offer_all() RETURNS void LANGUAGE plpgsql AS $$
DECLARE o offer;
BEGIN
	FOR o IN SELECT * FROM offer ORDER BY id LOOP
		BEGIN
			INSERT INTO payment VALUES (o.*);
		EXCEPTION WHEN check_violation THEN NULL;
		END;
	END LOOP;
END $$;
SELECT offer_all();
-- More than threshold times five: 2 is muted; labels of 3 and 5 multiply by 1.5 ^ (false - true).
CREATE TABLE expected (LIKE offer);
DO $$
DECLARE
	o offer;
	threshold float8;
BEGIN
	FOR o IN SELECT * FROM offer ORDER BY id LOOP
		threshold := CASE WHEN o.customer = 0 THEN 1 WHEN o.customer = 1 THEN 2 WHEN o.customer = 2 THEN 'Infinity' WHEN o.customer = 3 THEN 1.5 ^ 2
			WHEN o.customer = 5 THEN 0.75 / 1.5 ELSE 0.4 END;
		IF ((SELECT count(*) FROM expected e WHERE e.customer IS NOT DISTINCT FROM o.customer
				AND e.ts > o.ts - interval '5 minutes' AND e.ts <= o.ts) + 1) / 5.0 <= threshold THEN
			INSERT INTO expected VALUES (o.*);
		END IF;
	END LOOP;
END $$;
SELECT customer, count(*) AS accepted, count(*) = 100 AS all FROM payment GROUP BY 1 ORDER BY 1;
SELECT count(*) AS different FROM ((TABLE payment EXCEPT ALL TABLE expected) UNION ALL (TABLE expected EXCEPT ALL TABLE payment)) d;
-- The worker has the same opinion: each refusal is an alert, and no row that is in is one.
SELECT streamproc.wait_for();
SELECT count(*) = 600 - (SELECT count(*) FROM payment) AS each_refusal, count(*) FILTER (WHERE payment_id IN (SELECT id FROM payment)) AS of_accepted FROM fast;

-- What is visible to the transaction counts: its own changes, and not what is rolled back; from the next row on.
BEGIN;
INSERT INTO payment SELECT i, 7, 1, '2026-02-01 00:00+00'::timestamptz FROM generate_series(1, 5) i;
INSERT INTO fast_overrides (customer, threshold) VALUES (7, 1.2);
INSERT INTO payment VALUES (1006, 7, 1, '2026-02-01 00:00+00');
SAVEPOINT a;
UPDATE fast_overrides SET muted = true WHERE customer = 7;
INSERT INTO payment VALUES (1007, 7.0, 1, '2026-02-01 00:00+00'), (1008, 7, 1, '2026-02-01 00:00+00');
ROLLBACK TO a;
INSERT INTO payment VALUES (1009, 7, 1, '2026-02-01 00:00+00');
ROLLBACK TO a;
DELETE FROM fast_overrides WHERE customer = 7;
TRUNCATE fast_overrides;
INSERT INTO payment VALUES (1010, 7, 1, '2026-02-01 00:00+00');
ROLLBACK TO a;
COMMIT;
SELECT array_agg(id ORDER BY id) FROM payment WHERE customer = 7 AND ts = '2026-02-01 00:00+00';

-- Threshold and direction of a model; with learn 'normal' they tell as well what is learned. The oracle is asked row by row.
SELECT streamproc.unenforce('fast');
TRUNCATE payment;
SELECT streamproc.create_detector('odd', 'payment', method => 'ewma', value => 'amount', keys => ARRAY['customer::int AS customer'],
	params => '{"warmup": 5}', learn => 'normal');
INSERT INTO odd_overrides (customer, threshold, direction, muted) VALUES (0, 1.5, NULL, false), (1, NULL, 'high', false), (3, 2, 'low', false), (5, 1, 'low', true),
	(NULL, 6, 'both', false);
SELECT streamproc.enforce('odd');
UPDATE offer SET ts = '2026-03-01 00:00+00'::timestamptz + id * interval '1 second', amount = 100 + id * 31 % 17 + CASE WHEN id % 50 < 2 THEN 300 WHEN id % 50 = 25 THEN -300 ELSE 0 END;
SELECT offer_all();
TRUNCATE expected;
DO $$
DECLARE
	o offer;
	t float8;
	d text;
	flagged boolean;
BEGIN
	FOR o IN SELECT * FROM offer ORDER BY id LOOP
		t := CASE WHEN o.customer = 0 THEN 1.5 WHEN o.customer = 3 THEN 2 WHEN o.customer = 5 THEN 1 WHEN o.customer IS NULL THEN 6 END;
		d := CASE WHEN o.customer = 1 THEN 'high' WHEN o.customer IN (3, 5) THEN 'low' ELSE 'both' END;
		EXECUTE format('SELECT is_anomaly FROM (SELECT id, (streamproc.score_online(''ewma'', ts, amount, ''{"warmup": 5}'', %L, %L, learn => ''normal'')
				OVER (ORDER BY id)).is_anomaly FROM (SELECT id, ts, amount FROM expected e WHERE e.customer IS NOT DISTINCT FROM $1 UNION ALL SELECT $2, $3, $4) a) s WHERE id = $2',
			t, d) INTO flagged USING o.customer, o.id, o.ts, o.amount;
		IF NOT flagged OR o.customer = 5 THEN
			INSERT INTO expected VALUES (o.*);
		END IF;
	END LOOP;
END $$;
SELECT customer, count(*) < 100 AS some_refused FROM payment GROUP BY 1 ORDER BY 1;
SELECT count(*) AS different FROM ((TABLE payment EXCEPT ALL TABLE expected) UNION ALL (TABLE expected EXCEPT ALL TABLE payment)) d;
-- A shield that begins with the rows has the same models.
CREATE FUNCTION states(detector regclass) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE (SELECT format('SELECT to_jsonb(s)::text FROM %s s ORDER BY 1', states) FROM streamproc.shield_definition
		JOIN streamproc.detector_definition d USING (id) WHERE d.relation = detector);
END $$;
CREATE TABLE before AS SELECT states('odd') AS state;
SELECT streamproc.enforce('odd');
SELECT count(*) AS states, count(*) FILTER (WHERE state NOT IN (SELECT states('odd'))) AS different FROM before;
SELECT streamproc.drop_detector('odd');

-- Rules: how many must hold. Without keys one row holds for all. A muted one is neither flagged nor put aside.
SELECT streamproc.create_detector('rules', 'payment', method => 'rule', rules => ARRAY['amount > 10 AS some', 'amount > 20 AS many', 'amount > 30 AS lots'],
	carry => ARRAY['id AS payment_id'], backfill => false);
SELECT streamproc.enforce('rules');
INSERT INTO payment VALUES (2001, 1, 15, '2026-04-01 00:00+00');
INSERT INTO rules_overrides (threshold) VALUES (2);
INSERT INTO payment VALUES (2002, 1, 15, '2026-04-01 00:00+00');
INSERT INTO payment VALUES (2003, 1, 25, '2026-04-01 00:00+00');
SELECT streamproc.enforce('rules', 'flag');
INSERT INTO payment VALUES (2004, 1, 25, '2026-04-01 00:00+00');
SELECT streamproc.enforce('rules', 'quarantine');
INSERT INTO payment VALUES (2005, 1, 25, '2026-04-01 00:00+00'), (2006, 1, 15, '2026-04-01 00:00+00');
UPDATE rules_overrides SET muted = true;
INSERT INTO payment VALUES (2007, 1, 35, '2026-04-01 00:00+00');
SELECT streamproc.enforce('rules', 'flag');
INSERT INTO payment VALUES (2008, 1, 35, '2026-04-01 00:00+00');
SELECT streamproc.wait_for();
SELECT id FROM payment WHERE id BETWEEN 2001 AND 2008 ORDER BY 1;
SELECT id FROM rules_quarantine;
SELECT payment_id, threshold FROM rules ORDER BY 1;

-- Who inserts needs no rights on the table, and row security isn't asked.
CREATE ROLE shield_overrides_user;
GRANT USAGE ON SCHEMA shield_overrides_test TO shield_overrides_user;
GRANT INSERT ON payment TO shield_overrides_user;
ALTER TABLE rules_overrides ENABLE ROW LEVEL SECURITY;
SELECT streamproc.enforce('rules');
SET ROLE shield_overrides_user;
INSERT INTO payment VALUES (2009, 1, 35, '2026-04-01 00:00+00');
SELECT * FROM rules_overrides;
RESET ROLE;

-- A table that was altered can't be read: nothing passes unjudged. Where it is gone, nothing is set.
ALTER TABLE rules_overrides ADD mine text, DROP COLUMN note;
INSERT INTO payment VALUES (2010, 1, 35, '2026-04-01 00:00+00');
ALTER TABLE rules_overrides RENAME threshold TO limit_of_mine;
INSERT INTO payment VALUES (2011, 1, 5, '2026-04-01 00:00+00');
ALTER TABLE rules_overrides RENAME limit_of_mine TO threshold;
INSERT INTO payment VALUES (2012, 1, 35, '2026-04-01 00:00+00');
DROP TABLE rules_overrides;
INSERT INTO payment VALUES (2013, 1, 35, '2026-04-01 00:00+00');
INSERT INTO payment VALUES (2014, 1, 5, '2026-04-01 00:00+00');
SELECT streamproc.enforce('fast');
ALTER TABLE fast_overrides DROP CONSTRAINT fast_overrides_customer_key;
INSERT INTO payment VALUES (2015, 1, 5, '2026-04-01 00:00+00');
ALTER TABLE fast_overrides ADD UNIQUE NULLS NOT DISTINCT (customer);
INSERT INTO payment VALUES (2016, 1, 5, '2026-04-01 00:00+00');
SELECT id FROM payment WHERE id BETWEEN 2009 AND 2020 ORDER BY 1;

-- Keys of all kinds are found, several of them, in the order that the index has.
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TYPE place AS (x int, y text);
CREATE DOMAIN short AS text CHECK (length(value) < 10);
CREATE TABLE many (id int, a text COLLATE "C", b mood, c int[], d place, e short, f int4range, ts timestamptz);
SELECT streamproc.create_stream('many', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_detector('of_many', 'many', method => 'velocity', keys => ARRAY['a', 'b', 'c', 'd', 'e', 'f'], params => '{"events": 1, "interval": "1 hour"}');
INSERT INTO of_many_overrides (a, b, c, d, e, f, muted) VALUES ('x', 'bad', '{1,2}', '(1,z)', 'short', '[1,3)', true), ('x', NULL, '{1,2}', NULL, NULL, NULL, true);
ALTER TABLE of_many_overrides DROP CONSTRAINT of_many_overrides_a_b_c_d_e_f_key, ADD UNIQUE NULLS NOT DISTINCT (f, e, d, c, b, a);
SELECT streamproc.enforce('of_many');
SELECT streamproc.wait_for();
INSERT INTO many SELECT i, 'x', 'bad', '{1,2}', '(1,z)', 'short', '[1,2]', '2026-01-01 00:00+00' FROM generate_series(1, 3) i;
INSERT INTO many SELECT i, 'x', NULL, '{1,2}', NULL, NULL, NULL, '2026-01-01 00:00+00' FROM generate_series(4, 6) i;
INSERT INTO many SELECT i, 'x', NULL, '{1,2}', '(1,z)', NULL, NULL, '2026-01-01 00:00+00' FROM generate_series(7, 9) i;
INSERT INTO many SELECT i, 'x', 'good', '{1,2}', '(1,z)', 'short', '[1,2]', '2026-01-01 00:00+00' FROM generate_series(10, 12) i;
SELECT array_agg(id ORDER BY id) FROM many;

SET client_min_messages = warning;
DROP SCHEMA shield_overrides_test CASCADE;
DROP ROLE shield_overrides_user;
