--
-- The shield: a detector within the INSERT.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA enforce_test;
SET search_path = enforce_test, public;

CREATE TABLE payment (id int, customer numeric, amount float8, ts timestamptz);
SELECT streamproc.create_stream('payment', time_column => 'ts', watermark => '10 minutes', idle_timeout => '1 day');
SELECT streamproc.create_detector('velocity', 'payment', method => 'velocity', keys => ARRAY['customer'], carry => ARRAY['id AS payment_id'],
	params => '{"events": 5, "interval": "5 minutes"}');
INSERT INTO payment SELECT i, 1, 10, '2026-01-01 10:00+00'::timestamptz + i * interval '1 second' FROM generate_series(1, 4) i;
SELECT streamproc.wait_for();
SELECT streamproc.enforce('velocity');
SELECT detector, source, action, on_error, quarantine, is_on, reason FROM streamproc.shields;

-- History counts; 1 and 1.0 are the same key; the sixth is refused, and the refusal reported.
INSERT INTO payment VALUES (5, 1.0, 10, '2026-01-01 10:00:05+00');
INSERT INTO payment VALUES (6, 1.00, 10, '2026-01-01 10:00:06+00');
INSERT INTO payment VALUES (7, 2, 10, '2026-01-01 10:00:06+00'), (8, 1, 10, '2026-01-01 10:00:07+00');
INSERT INTO payment VALUES (9, 1, 10, '2026-01-01 10:05:02+00');
SELECT id FROM payment ORDER BY id;
SELECT streamproc.wait_for();
SELECT payment_id, customer, event_time, round(score::numeric, 2) AS score, is_anomaly, alerts, status FROM velocity ORDER BY id;

-- What is accepted of many rows, one by one, is what a count over the accepted ones accepts. NULL is a key as well.
TRUNCATE payment;
SELECT streamproc.enforce('velocity');
CREATE TABLE offer AS SELECT i AS id, CASE WHEN i * 7 % 13 < 11 THEN (i * 7 % 13 / 4)::numeric END AS customer, i * 1.0::float8 AS amount,
	'2026-01-01 12:00+00'::timestamptz + (i * 11 + i * i * 37 % 90) * interval '1 second' AS ts FROM generate_series(1, 400) i;
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
CREATE TABLE expected (LIKE offer);
DO $$
DECLARE o offer;
BEGIN
	FOR o IN SELECT * FROM offer ORDER BY id LOOP
		IF (SELECT count(*) FROM expected e WHERE e.customer IS NOT DISTINCT FROM o.customer
				AND e.ts > o.ts - interval '5 minutes' AND e.ts <= o.ts) < 5 THEN
			INSERT INTO expected VALUES (o.*);
		END IF;
	END LOOP;
END $$;
SELECT count(*) > 100 AS many, count(*) < 380 AS not_all FROM payment;
SELECT count(*) AS different FROM ((TABLE payment EXCEPT ALL TABLE expected) UNION ALL (TABLE expected EXCEPT ALL TABLE payment)) d;
SELECT streamproc.wait_for();
SELECT count(*) = 400 - (SELECT count(*) FROM payment) AS each_refusal, count(DISTINCT payment_id) = count(*) AS once FROM velocity
	WHERE event_time >= '2026-01-01 12:00+00';

-- The states are those that the accepted rows leave behind, however they came to be: shown by each method.
CREATE FUNCTION states(detector regclass) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE (SELECT format('SELECT to_jsonb(s)::text FROM %s s ORDER BY 1', states) FROM streamproc.shield_definition
		JOIN streamproc.detector_definition d USING (id) WHERE d.relation = detector);
END $$;
TRUNCATE payment;
SELECT streamproc.unenforce('velocity');
SELECT name, streamproc.create_detector(name, 'payment', method => name, value => 'amount', keys => ARRAY['customer::int AS customer'],
	params => params::jsonb, learn => learn)
FROM (VALUES ('ewma', '{"warmup": 5}', 'normal'), ('zscore', '{"warmup": 5}', 'capped'), ('records', '{"size": "tiny"}', 'all'), ('iqr', '{"warmup": 20}', 'all'),
	('cusum', '{"warmup": 5}', 'all'), ('holt_winters', '{"period": 4}', 'all')) AS v (name, params, learn);
SELECT streamproc.wait_for();
SELECT streamproc.enforce(d) FROM unnest(ARRAY['ewma', 'zscore', 'records', 'iqr', 'cusum', 'holt_winters']) d;
UPDATE offer SET ts = '2026-01-02 00:00+00'::timestamptz + id * interval '1 second', amount = 100 + id * 31 % 17 + CASE WHEN id % 50 = 0 THEN 10000 ELSE 0 END;
SELECT offer_all();
SELECT count(*) < 400 AS some_refused, count(*) > 200 AS most_accepted FROM payment;
CREATE TABLE before AS SELECT d, states(d::regclass) AS state FROM unnest(ARRAY['ewma', 'zscore', 'records', 'iqr', 'cusum', 'holt_winters']) d;
SELECT streamproc.enforce(d) FROM unnest(ARRAY['ewma', 'zscore', 'records', 'iqr', 'cusum', 'holt_winters']) d;
SELECT d, count(*) AS states, count(*) FILTER (WHERE state NOT IN (SELECT states(d::regclass))) AS different FROM before GROUP BY 1 ORDER BY 1;

-- What ewma refuses is what score_online() flags, asked row by row about the accepted ones and the next.
SELECT streamproc.unenforce(d) FROM unnest(ARRAY['zscore', 'records', 'iqr', 'cusum', 'holt_winters']) d;
TRUNCATE payment;
SELECT streamproc.enforce('ewma');
SELECT offer_all();
TRUNCATE expected;
DO $$
DECLARE
	o offer;
	flagged boolean;
BEGIN
	FOR o IN SELECT * FROM offer ORDER BY id LOOP
		SELECT last_value INTO flagged FROM (
			SELECT id, (s.score).is_anomaly AS last_value FROM (
				SELECT id, streamproc.score_online('ewma', ts, amount, '{"warmup": 5}', learn => 'normal') OVER (ORDER BY id) AS score
				FROM (SELECT id, ts, amount FROM expected e WHERE e.customer::int IS NOT DISTINCT FROM o.customer::int
					UNION ALL SELECT o.id, o.ts, o.amount) a) s) f WHERE id = o.id;
		IF NOT flagged THEN
			INSERT INTO expected VALUES (o.*);
		END IF;
	END LOOP;
END $$;
SELECT count(*) < 400 AS some_refused, count(*) > 200 AS most_accepted FROM payment;
SELECT count(*) AS different FROM ((TABLE payment EXCEPT ALL TABLE expected) UNION ALL (TABLE expected EXCEPT ALL TABLE payment)) d;
SELECT streamproc.drop_detector(d) FROM unnest(ARRAY['ewma', 'zscore', 'records', 'iqr', 'cusum', 'holt_winters']) d;

-- Savepoints: what is rolled back was never there. COPY and INSERT ... SELECT are all or nothing.
TRUNCATE payment;
SELECT streamproc.enforce('velocity');
BEGIN;
INSERT INTO payment SELECT i, 1, 1, '2026-01-03 00:00+00'::timestamptz FROM generate_series(1, 3) i;
SAVEPOINT a;
INSERT INTO payment SELECT i, 1, 1, '2026-01-03 00:00+00'::timestamptz FROM generate_series(4, 5) i;
SAVEPOINT b;
INSERT INTO payment VALUES (6, 1, 1, '2026-01-03 00:00+00');
ROLLBACK TO b;
INSERT INTO payment VALUES (7, 2, 1, '2026-01-03 00:00+00');
ROLLBACK TO a;
INSERT INTO payment VALUES (8, 1, 1, '2026-01-03 00:00+00');
RELEASE a;
SAVEPOINT c;
INSERT INTO payment VALUES (9, 1, 1, '2026-01-03 00:00+00');
COMMIT;
INSERT INTO payment VALUES (10, 1, 1, '2026-01-03 00:00+00');
INSERT INTO payment SELECT i, 2, 1, '2026-01-03 00:00+00'::timestamptz FROM generate_series(11, 16) i;
INSERT INTO payment SELECT i, 2, 1, '2026-01-03 00:00+00'::timestamptz FROM generate_series(21, 25) i;
COPY payment FROM stdin;
31	3	1	2026-01-03 00:00+00
32	2	1	2026-01-03 00:00+00
\.
SELECT array_agg(id ORDER BY id) FROM payment;

-- Rules need no state. What can't be judged is refused, or with fail_open let in.
SELECT streamproc.create_detector('strange', 'payment', method => 'rule', rules => ARRAY['amount > 1000 AS "Large"', '100 / amount::int < 0 AS "Negative"'],
	carry => ARRAY['id AS payment_id'], filter => 'customer = 9');
SELECT streamproc.wait_for();
SELECT streamproc.enforce('strange');
INSERT INTO payment VALUES (40, 9, 5000, '2026-01-04 00:00+00');
INSERT INTO payment VALUES (41, 9, 0, '2026-01-04 00:00+00');
INSERT INTO payment VALUES (42, 8, 0, '2026-01-04 00:00+00');
INSERT INTO payment VALUES (43, 9, 1, '2026-01-04 00:00+00');
SELECT streamproc.enforce('strange', on_error => 'fail_open');
INSERT INTO payment VALUES (44, 9, 0, '2026-01-04 00:00+00');
INSERT INTO payment VALUES (45, 9, -5, '2026-01-04 00:00+00');
INSERT INTO payment VALUES (46, 10, 0, NULL);
SELECT streamproc.wait_for();
SELECT id FROM payment WHERE id BETWEEN 40 AND 49 ORDER BY id;
SELECT payment_id, alerts FROM strange ORDER BY id;
SELECT reason, sqlstate, row_data->>'id' AS id FROM streamproc.dead_letter WHERE name = 'strange'::regclass;

SELECT streamproc.unenforce('velocity');

-- They are counted, also those that are rolled back, until enforce() is called anew; of many in a short time one is told of.
BEGIN;
INSERT INTO payment SELECT 100 + i, 9, 0, '2026-01-04 00:00+00' FROM generate_series(1, 50) i;
ROLLBACK;
INSERT INTO payment VALUES (47, 9, 1, '2026-01-04 00:00+00');
SELECT detector, on_error, unjudged, last_unjudged BETWEEN since AND clock_timestamp() AS last FROM streamproc.shields ORDER BY 1;
SELECT streamproc.enforce('strange', on_error => 'fail_open');
SELECT unjudged, last_unjudged FROM streamproc.shields WHERE detector = 'strange'::regclass;
INSERT INTO payment SELECT 47 + i, 9, 0, '2026-01-04 00:00+00' FROM generate_series(1, 2) i;
SELECT unjudged FROM streamproc.shields WHERE detector = 'strange'::regclass;

-- flag: the row is in, the client is warned, the alert is the worker's own.
SELECT streamproc.enforce('strange', 'flag');
INSERT INTO payment VALUES (50, 9, 5000, '2026-01-04 00:00+00');
SELECT streamproc.wait_for();
SELECT payment_id, count(*) FROM strange WHERE payment_id = 50 GROUP BY 1;

-- quarantine: the row is put aside.
SELECT streamproc.enforce('strange', 'quarantine');
INSERT INTO payment VALUES (51, 9, 6000, '2026-01-04 00:00+00'), (52, 9, 6, '2026-01-04 00:00+00');
SELECT streamproc.wait_for();
SELECT id FROM payment WHERE id IN (51, 52);
SELECT id, customer, amount, ts, score, alerts, explanation FROM strange_quarantine;
SELECT payment_id, alerts FROM strange WHERE payment_id = 51;
SELECT detector, action, quarantine, is_on FROM streamproc.shields ORDER BY 1;

-- A trigger that changes the row comes first. ON CONFLICT: a row is judged before it is known whether it conflicts.
CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.amount := NEW.amount * 1000; RETURN NEW; END $$;
CREATE TRIGGER zz_change BEFORE INSERT ON payment FOR EACH ROW EXECUTE FUNCTION change();
SELECT streamproc.enforce('strange');
INSERT INTO payment VALUES (60, 9, 2, '2026-01-04 00:00+00');
DROP TRIGGER zz_change ON payment;
CREATE UNIQUE INDEX ON payment (id);
INSERT INTO payment VALUES (43, 9, 5000, '2026-01-04 00:00+00') ON CONFLICT DO NOTHING;
INSERT INTO payment VALUES (43, 9, 7, '2026-01-04 00:00+00') ON CONFLICT (id) DO UPDATE SET amount = excluded.amount;
SELECT amount FROM payment WHERE id = 43;

-- Columns may be renamed and added; what is off says so.
ALTER TABLE payment RENAME amount TO total;
\set VERBOSITY terse
ALTER TABLE payment ADD note text, DROP COLUMN customer;
\set VERBOSITY default
ALTER TABLE payment ADD note text;
INSERT INTO payment VALUES (61, 9, 5000, '2026-01-04 00:00+00', 'note');
ALTER TABLE payment DISABLE TRIGGER USER;
SELECT is_on, reason FROM streamproc.shields WHERE detector = 'strange'::regclass;
ALTER TABLE payment ENABLE TRIGGER USER;
SELECT is_on, reason FROM streamproc.shields WHERE detector = 'strange'::regclass;
SET session_replication_role = replica;
INSERT INTO payment VALUES (62, 9, 5000, '2026-01-04 00:00+00', 'applied');
RESET session_replication_role;

-- Bad input.
SELECT streamproc.enforce('payment');
SELECT streamproc.enforce(NULL);
SELECT streamproc.enforce('strange', 'refuse');
SELECT streamproc.enforce('strange', on_error => NULL);
SELECT streamproc.create_window('w', 'payment', kind => 'tumbling', size => '1 minute', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_detector('on_window', 'w', method => 'rule', rules => ARRAY['n > 5 AS many']);
SELECT streamproc.enforce('on_window');
CREATE TABLE computed (a float8, b float8 GENERATED ALWAYS AS (a * 2) STORED, ts timestamptz);
SELECT streamproc.create_stream('computed', time_column => 'ts');
SELECT streamproc.create_detector('of_computed', 'computed', method => 'ewma', value => 'b');
SELECT streamproc.enforce('of_computed');
SELECT streamproc.create_detector('together', 'computed', method => 'ewma', value => 'a', params => '{"alerts_per_day": 5}');
SELECT streamproc.enforce('together');
CREATE TABLE rare (id int, ts timestamptz);
SELECT streamproc.create_stream('rare', time_column => 'ts', dedup_key => ARRAY['id']::name[], dedup_within => '1 hour');
SELECT streamproc.create_detector('of_rare', 'rare', method => 'velocity');
SELECT streamproc.enforce('of_rare');
CREATE TRIGGER other BEFORE INSERT ON rare FOR EACH ROW EXECUTE FUNCTION streamproc.shield('1');
INSERT INTO rare VALUES (1, '2026-01-04 00:00+00');
SELECT streamproc.unenforce('of_rare');

-- Partitions, with columns in another order; and a stream table, which has no history.
CREATE TABLE parted (id int, k text, ts timestamptz) PARTITION BY LIST (k);
CREATE TABLE part_a PARTITION OF parted FOR VALUES IN ('a');
CREATE TABLE part_b (ts timestamptz, gone int, k text, id int);
ALTER TABLE part_b DROP COLUMN gone;
ALTER TABLE parted ATTACH PARTITION part_b FOR VALUES IN ('b');
CREATE TABLE flow (id int, k text, ts timestamptz) USING streamproc;
SELECT streamproc.create_stream(t, time_column => 'ts', idle_timeout => '1 day') FROM unnest(ARRAY['parted', 'flow']::regclass[]) t;
SELECT streamproc.create_detector('of_' || t, t::regclass, method => 'velocity', keys => ARRAY['k'], carry => ARRAY['id AS row_id'],
	params => '{"events": 2, "interval": "1 minute"}') FROM unnest(ARRAY['parted', 'flow']) t;
SELECT streamproc.enforce('of_' || t) FROM unnest(ARRAY['parted', 'flow']) t;
SELECT streamproc.wait_for();
INSERT INTO parted VALUES (1, 'b', '2026-01-01 00:00+00'), (2, 'a', '2026-01-01 00:00+00');
INSERT INTO part_b (id, k, ts) VALUES (3, 'b', '2026-01-01 00:00:10+00');
INSERT INTO part_b (id, k, ts) VALUES (4, 'b', '2026-01-01 00:00:20+00');
INSERT INTO parted VALUES (5, 'a', '2026-01-01 00:00+00'), (6, 'b', '2026-01-01 00:00:30+00');
CREATE TABLE part_c PARTITION OF parted FOR VALUES IN ('c');
INSERT INTO parted SELECT i, 'c', '2026-01-01 00:00+00'::timestamptz FROM generate_series(7, 9) i;
SELECT tableoid::regclass, id FROM parted ORDER BY id;
INSERT INTO flow SELECT i, 'x', '2026-01-01 00:00+00'::timestamptz FROM generate_series(1, 2) i;
INSERT INTO flow VALUES (3, 'x', '2026-01-01 00:00+00');
SELECT streamproc.wait_for();
SELECT row_id FROM of_flow;
SELECT row_id FROM of_parted ORDER BY 1;

-- Who inserts needs no rights; who enforces owns the detector and may create triggers. Expressions run as the detector's owner.
CREATE ROLE regress_enforce_owner;
CREATE ROLE regress_enforce_user;
GRANT USAGE, CREATE ON SCHEMA enforce_test TO regress_enforce_owner;
GRANT USAGE ON SCHEMA enforce_test TO regress_enforce_user;
CREATE FUNCTION who() RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT current_user::text';
SET ROLE regress_enforce_owner;
CREATE TABLE owned (id int, who text, ts timestamptz);
SELECT streamproc.create_stream('owned', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_detector('of_owned', 'owned', method => 'rule', rules => ARRAY['who() <> ''regress_enforce_owner'' OR id < 0 AS bad']);
SELECT streamproc.enforce('of_owned');
GRANT INSERT ON owned TO regress_enforce_user;
SELECT streamproc.wait_for();
SET ROLE regress_enforce_user;
INSERT INTO owned VALUES (1, NULL, '2026-01-01 00:00+00');
INSERT INTO owned VALUES (-1, NULL, '2026-01-01 00:00+00');
SELECT streamproc.enforce('of_owned');
RESET ROLE;
SELECT streamproc.create_detector('mine', 'owned', method => 'rule', rules => ARRAY['id < 0 AS bad']);
ALTER TABLE mine OWNER TO regress_enforce_user;
SET ROLE regress_enforce_user;
SELECT streamproc.enforce('mine');
RESET ROLE;

-- It goes with the detector, however that goes; nothing stays behind.
SELECT streamproc.enforce('strange', 'flag');
SELECT streamproc.create_detector('strange', 'payment', method => 'rule', rules => ARRAY['total > 1000 AS "Large"'], replace => true);
SELECT streamproc.drop_detector('of_flow');
INSERT INTO flow VALUES (4, 'x', '2026-01-01 00:00+00');
DROP TABLE of_parted;
INSERT INTO parted VALUES (10, 'c', '2026-01-01 00:00+00');
\set VERBOSITY terse
DROP TABLE owned CASCADE;
\set VERBOSITY default
SELECT streamproc.unenforce('strange');
SELECT count(*) AS shields FROM streamproc.shields;
SELECT count(*) AS triggers FROM pg_trigger WHERE tgname LIKE '~streamproc%';
SELECT count(*) AS tables FROM pg_class WHERE relnamespace = 'streamproc'::regnamespace AND relname ~ '^shield_[0-9]+$';

SET client_min_messages = warning;
DROP SCHEMA enforce_test CASCADE;
DROP ROLE regress_enforce_owner, regress_enforce_user;
