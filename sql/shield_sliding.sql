--
-- The shield of a rule over a sliding window: a row is judged by the trailing numbers of its key, itself included.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA shield_sliding;
SET search_path = shield_sliding, public;

CREATE TABLE payment (id int, batch int, customer numeric, amount int, x numeric, f float8, ts timestamptz, probe bool DEFAULT false);
SELECT streamproc.create_stream('payment', time_column => 'ts', watermark => '10 minutes', idle_timeout => '1 day');
SELECT streamproc.create_window('recent', 'payment', kind => 'sliding', size => '5 minutes', keys => ARRAY['customer'],
	carry => ARRAY['id', 'probe'], filter => 'amount IS NULL OR amount <> 13',
	aggregates => ARRAY['count(*) AS n', 'count(amount) AS na', 'sum(amount) AS total', 'sum(x) AS sx', 'avg(amount) AS av', 'min(x) AS lo',
		'max(amount) AS hi', 'count(*) FILTER (WHERE amount > 500) AS large', 'sum(f) AS sf', 'array_agg(id ORDER BY id) AS ids']);
SELECT streamproc.create_window('closed', 'payment', kind => 'sliding', size => '5 minutes', bounds => '[]', keys => ARRAY['customer'],
	carry => ARRAY['id', 'probe'], aggregates => ARRAY['count(*) AS n', 'sum(amount) AS total']);

-- Each row comes twice: as a probe, which is refused and whose numbers are reported, and in earnest.
SELECT streamproc.create_detector('probe_' || w, w, 'rule', rules => ARRAY['probe AS probe'], carry => c)
FROM (VALUES ('recent', ARRAY['id AS payment_id', 'n', 'na', 'total', 'sx', 'av', 'lo', 'hi', 'large', 'sf', 'ids']),
	('closed', ARRAY['id AS payment_id', 'n', 'total'])) v (w, c);
SELECT streamproc.wait_for();
CREATE TABLE offer AS
SELECT i AS id, i / 40 AS batch, CASE WHEN h % 7 > 0 THEN h % 4 + CASE WHEN h % 2 = 0 THEN 0.0 ELSE 0 END END AS customer,
	CASE WHEN h % 11 > 0 THEN h / 13 % 1000 END::int AS amount, (h / 19 % 100000) / 100.0 AS x, (h / 17 % 2001) / 8.0 + 0.001 * (h % 97) AS f,
	'2026-01-01 10:00+00'::timestamptz + (i + h % 240) * interval '1 second' AS ts
FROM (SELECT i, abs(hashint8extended(i, 7)) AS h FROM generate_series(1, 1600) i) s;
-- some exactly as long after another one as the window is, some of one time
UPDATE offer SET ts = date_trunc('minute', ts) WHERE id % 3 = 0;
CREATE PROCEDURE offer_batches(first int, last int, probes bool) LANGUAGE plpgsql AS $$
DECLARE o offer;
BEGIN
	FOR b IN first .. last LOOP
		FOR o IN SELECT * FROM offer WHERE batch = b ORDER BY id LOOP
			IF probes THEN
				PERFORM probe(o);
			END IF;
			INSERT INTO payment VALUES (o.*);
		END LOOP;
		COMMIT;
	END LOOP;
END $$;
CREATE FUNCTION probe(o offer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO payment VALUES (o.*, true);
EXCEPTION WHEN check_violation THEN NULL;
END $$;
-- the first half is history when the shield begins
CALL offer_batches(0, 19, false);
SELECT streamproc.enforce('probe_recent');
CALL offer_batches(20, 29, true);
SELECT streamproc.enforce('probe_closed');
SELECT streamproc.unenforce('probe_recent');
CALL offer_batches(30, 34, true);
SELECT streamproc.enforce('probe_recent');
CALL offer_batches(35, 40, true);
SELECT streamproc.wait_for();
SELECT count(*) = (SELECT count(*) FROM offer) AS all_in, count(*) FILTER (WHERE probe) AS probes FROM payment;

-- What the shield said is what the window says of the row in earnest, and what plain SQL says of the rows that came before it.
SELECT count(*) AS probed, count(w.id) AS answered, count(*) FILTER (WHERE (p.n, p.na, p.total, p.sx, p.av, p.lo, p.hi, p.large, p.ids)
	IS DISTINCT FROM (w.n, w.na, w.total, w.sx, w.av, w.lo, w.hi, w.large, w.ids) OR abs(p.sf - w.sf) > 1e-9 * p.sf) AS different
FROM probe_recent p LEFT JOIN recent w ON w.id = p.payment_id;
SELECT count(*) AS probed, count(w.id) AS answered, count(*) FILTER (WHERE (p.n, p.total) IS DISTINCT FROM (w.n, w.total)) AS different
FROM probe_closed p LEFT JOIN closed w ON w.id = p.payment_id;
SELECT count(*) AS probed, max(p.n) > 20 AS many, count(*) FILTER (WHERE (p.n, p.na, p.total, p.sx, p.av, p.lo, p.hi, p.large, p.ids)
	IS DISTINCT FROM (e.n, e.na, e.total, e.sx, e.av, e.lo, e.hi, e.large, e.ids) OR abs(p.sf - e.sf) > 1e-9 * p.sf) AS different
FROM probe_recent p JOIN offer o ON o.id = p.payment_id, LATERAL (
	SELECT count(*) AS n, count(a.amount) AS na, sum(a.amount) AS total, sum(a.x) AS sx, avg(a.amount) AS av, min(a.x) AS lo, max(a.amount) AS hi,
		count(*) FILTER (WHERE a.amount > 500) AS large, sum(a.f) AS sf, array_agg(a.id ORDER BY a.id) AS ids
	FROM offer a WHERE a.customer IS NOT DISTINCT FROM o.customer AND a.id <= o.id AND a.ts <= o.ts AND a.ts > o.ts - interval '5 minutes'
		AND a.amount IS DISTINCT FROM 13) e;
SELECT count(*) AS probed, count(*) FILTER (WHERE (p.n, p.total) IS DISTINCT FROM (e.n, e.total)) AS different
FROM probe_closed p JOIN offer o ON o.id = p.payment_id, LATERAL (
	SELECT count(*) AS n, sum(a.amount) AS total FROM offer a WHERE a.customer IS NOT DISTINCT FROM o.customer AND a.id <= o.id AND a.ts <= o.ts
		AND a.ts >= o.ts - interval '5 minutes') e;
SELECT name, reason, count(*) FROM streamproc.dead_letter WHERE source = 'payment'::regclass GROUP BY 1, 2;
-- the event time is that of the row; a refusal has what a row of the window has
SELECT count(*) AS wrong FROM probe_recent p JOIN offer o ON o.id = p.payment_id
WHERE p.event_time <> o.ts OR p.customer IS DISTINCT FROM o.customer OR p.alerts <> '{probe}' OR p.ordinal < 4611686018427387904;

-- The rule itself: what is accepted, one by one, is what plain SQL over the accepted ones accepts.
SELECT streamproc.unenforce(d) FROM unnest(ARRAY['probe_recent', 'probe_closed']::regclass[]) d;
TRUNCATE payment;
SELECT streamproc.create_detector('fraud', 'recent', 'rule', rules => ARRAY['n > 5 AS burst', 'total > 1500 AS sum'],
	carry => ARRAY['id AS payment_id', 'n', 'total']);
SELECT streamproc.wait_for();
SELECT streamproc.enforce('fraud');
SELECT detector, source, action, on_error, is_on FROM streamproc.shields;
CREATE PROCEDURE offer_all() LANGUAGE plpgsql AS $$
DECLARE o offer;
BEGIN
	FOR o IN SELECT * FROM offer ORDER BY id LOOP
		BEGIN
			INSERT INTO payment VALUES (o.*);
		EXCEPTION WHEN check_violation THEN NULL;
		END;
		IF o.id % 40 = 0 THEN
			COMMIT;
		END IF;
	END LOOP;
END $$;
UPDATE offer SET ts = ts + interval '1 day';
CALL offer_all();
CREATE TABLE expected (LIKE offer);
DO $$
DECLARE o offer;
BEGIN
	FOR o IN SELECT * FROM offer ORDER BY id LOOP
		IF o.amount IS NOT DISTINCT FROM 13 OR (SELECT count(*) < 5 AND coalesce(sum(e.amount), 0) + coalesce(o.amount, 0) <= 1500 FROM expected e
				WHERE e.customer IS NOT DISTINCT FROM o.customer AND e.ts > o.ts - interval '5 minutes' AND e.ts <= o.ts
					AND e.amount IS DISTINCT FROM 13) THEN
			INSERT INTO expected VALUES (o.*);
		END IF;
	END LOOP;
END $$;
SELECT count(*) BETWEEN 40 AND 800 AS some FROM payment;
SELECT count(*) AS different FROM ((SELECT id FROM payment EXCEPT ALL SELECT id FROM expected) UNION ALL (SELECT id FROM expected EXCEPT ALL SELECT id FROM payment)) d;
SELECT streamproc.wait_for();
-- each refusal is reported, once; the worker's own detector has nothing to add
SELECT count(*) = (SELECT count(*) FROM offer) - (SELECT count(*) FROM payment) AS each_refusal, count(DISTINCT payment_id) = count(*) AS once,
	bool_or(n > 5) AS by_n, bool_or(total > 1500) AS by_total, count(*) FILTER (WHERE n <= 5 AND total <= 1500) AS wrong
FROM fraud WHERE event_time >= '2026-01-02';

-- One statement, COPY, savepoints: what isn't there was never counted.
\set VERBOSITY terse
TRUNCATE payment;
SELECT streamproc.enforce('fraud');
INSERT INTO payment SELECT i, 1, 1, 10, 1, 1, '2026-01-03 10:00+00'::timestamptz + i * interval '1 second' FROM generate_series(1, 6) i;
INSERT INTO payment SELECT i, 1, 1, 10, 1, 1, '2026-01-03 10:00+00'::timestamptz + i * interval '1 second' FROM generate_series(11, 13) i;
COPY payment (id, customer, amount, ts) FROM stdin;
21	1	1	2026-01-03 10:00:21+00
22	2	1000	2026-01-03 10:00:22+00
23	1	1	2026-01-03 10:00:23+00
24	1	1	2026-01-03 10:00:24+00
\.
COPY payment (id, customer, amount, ts) FROM stdin;
31	1	1	2026-01-03 10:00:21+00
32	2	1000	2026-01-03 10:00:22+00
\.
BEGIN;
INSERT INTO payment (id, customer, amount, ts) VALUES (41, 1, 1, '2026-01-03 10:00:41+00');
SAVEPOINT a;
INSERT INTO payment (id, customer, amount, ts) VALUES (42, 1, 1, '2026-01-03 10:00:42+00');
ROLLBACK TO a;
INSERT INTO payment (id, customer, amount, ts) VALUES (43, 2, 500, '2026-01-03 10:00:43+00');
SAVEPOINT b;
INSERT INTO payment (id, customer, amount, ts) VALUES (44, 2, 1, '2026-01-03 10:00:44+00');
ROLLBACK TO b;
RELEASE a;
COMMIT;
BEGIN;
INSERT INTO payment (id, customer, amount, ts) SELECT i, 3, 1, '2026-01-03 10:00:50+00' FROM generate_series(51, 55) i;
ROLLBACK;
INSERT INTO payment (id, customer, amount, ts) SELECT i, 3, 1, '2026-01-03 10:00:50+00' FROM generate_series(61, 65) i;
INSERT INTO payment (id, customer, amount, ts) VALUES (66, 1, 1, '2026-01-03 10:00:50+00');
-- exactly five minutes after the first: that has left
INSERT INTO payment (id, customer, amount, ts) VALUES (67, 1, 1, '2026-01-03 10:05:10.999999+00');
INSERT INTO payment (id, customer, amount, ts) VALUES (68, 1, 1, '2026-01-03 10:05:11+00');
-- not the window's: its filter, then no time, no window
INSERT INTO payment (id, customer, amount, ts) VALUES (70, 1, 13, '2026-01-03 10:05:11+00');
INSERT INTO payment (id, customer, amount, ts) VALUES (71, 1, 1, NULL);
INSERT INTO payment (id, customer, amount, ts) VALUES (72, 1, 1, 'infinity');
SELECT array_agg(id ORDER BY id) FROM payment;
\set VERBOSITY default
INSERT INTO payment (id, customer, amount, ts) VALUES (73, 1, 1, '2026-01-03 10:05:12+00');

-- Late by the clock of its key, as of earlier transactions: within one nothing is late. Another key's clock says nothing.
TRUNCATE payment;
SELECT streamproc.enforce('fraud');
INSERT INTO payment (id, customer, amount, ts) VALUES (1, 1, 1, '2026-01-04 12:00+00'), (2, 1, 1, '2026-01-04 10:00+00'), (3, 1, 1, '2026-01-04 11:45:00+00');
INSERT INTO payment (id, customer, amount, ts) VALUES (4, 1, 1, '2026-01-04 11:45:00+00');
INSERT INTO payment (id, customer, amount, ts) VALUES (5, 1, 1, '2026-01-04 11:45:00.000001+00'), (6, 2, 1, '2026-01-04 10:00+00');
SELECT streamproc.enforce('fraud', on_error => 'fail_open');
INSERT INTO payment (id, customer, amount, ts) VALUES (7, 1, 1, '2026-01-04 11:45:00+00'), (8, 1, 1, '2026-01-04 11:45:00.000001+00');
SELECT unjudged FROM streamproc.shields;
SELECT array_agg(id ORDER BY id) FROM payment;
-- and with fail_open each row is in a subtransaction: the limit is the same
INSERT INTO payment (id, customer, amount, ts) SELECT i, 5, 1, '2026-01-04 12:00+00' FROM generate_series(11, 15) i;
INSERT INTO payment (id, customer, amount, ts) VALUES (16, 5, 1, '2026-01-04 12:00+00');

-- A key with many rows; what they leave behind is what enforce() makes of the table.
CREATE FUNCTION states(detector regclass) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE (SELECT format('SELECT k1 || '' '' || length(state) FROM %s ORDER BY k1', states) FROM streamproc.shield_definition
		JOIN streamproc.detector_definition d USING (id) WHERE d.relation = detector);
END $$;
SELECT streamproc.create_window('wide', 'payment', kind => 'sliding', size => '5 minutes', keys => ARRAY['customer'], aggregates => ARRAY['sum(x) AS s']);
SELECT streamproc.create_detector('on_wide', 'wide', 'rule', rules => ARRAY['s > 2000 AS too_much']);
SELECT streamproc.wait_for();
SELECT streamproc.unenforce('fraud');
TRUNCATE payment;
SELECT streamproc.enforce('on_wide');
INSERT INTO payment (id, customer, x, ts) SELECT i, 1, 1, '2026-01-05 12:00+00'::timestamptz + i * interval '0.1 second' FROM generate_series(1, 2000) i;
INSERT INTO payment (id, customer, x, ts) VALUES (2001, 1, 1, '2026-01-05 12:03:20+00');
INSERT INTO payment (id, customer, x, ts) VALUES (2002, 1, 1, '2026-01-05 12:05:00.1+00');
CREATE TABLE before AS SELECT split_part(states('on_wide'), ' ', 2)::int AS bytes;
SELECT streamproc.enforce('on_wide');
-- but for which transaction it was, a word; a row has more than two
SELECT abs(split_part(states('on_wide'), ' ', 2)::int - bytes) <= 12 AS same, (SELECT count(*) FROM payment) FROM before;
INSERT INTO payment (id, customer, x, ts) VALUES (2003, 1, 1, '2026-01-05 12:05:00.1+00');
-- rows that nothing can need are forgotten
INSERT INTO payment (id, customer, x, ts) VALUES (2004, 1, 1, '2026-01-06 12:00+00');
INSERT INTO payment (id, customer, x, ts) VALUES (2005, 1, 1, '2026-01-06 12:01+00');
SELECT split_part(states('on_wide'), ' ', 2)::int < 200 AS small;

-- HAVING: a row that it leaves out isn't judged, but counts. Cooldown holds off flags, not refusals; it begins with history.
SELECT streamproc.unenforce('on_wide');
SELECT streamproc.create_window('busy', 'payment', kind => 'sliding', size => '5 minutes', keys => ARRAY['customer'], carry => ARRAY['id'],
	aggregates => ARRAY['count(*) AS n'], group_filter => 'count(*) <> 3 AND max(amount) > 5');
SELECT streamproc.create_detector('on_busy', 'busy', 'rule', rules => ARRAY['n > 2 AS busy'], cooldown => '1 minute', carry => ARRAY['id AS payment_id']);
SELECT streamproc.wait_for();
TRUNCATE payment;
INSERT INTO payment (id, customer, amount, ts) SELECT i, 1, 10, '2026-01-07 12:00+00'::timestamptz + i * interval '1 second' FROM generate_series(1, 4) i;
SELECT streamproc.enforce('on_busy', 'flag');
INSERT INTO payment (id, customer, amount, ts) VALUES (5, 1, 10, '2026-01-07 12:00:30+00');
INSERT INTO payment (id, customer, amount, ts) VALUES (6, 1, 10, '2026-01-07 12:01:30+00');
INSERT INTO payment (id, customer, amount, ts) VALUES (7, 1, 10, '2026-01-07 12:01:40+00');
INSERT INTO payment (id, customer, amount, ts) SELECT i, 2, 10, '2026-01-07 12:00+00' FROM generate_series(11, 13) i;
INSERT INTO payment (id, customer, amount, ts) VALUES (14, 2, 10, '2026-01-07 12:00+00');
INSERT INTO payment (id, customer, amount, ts) SELECT i, 3, 5, '2026-01-07 12:00+00' FROM generate_series(21, 26) i;
SELECT streamproc.wait_for();
-- flagged rows are in, and the worker's alerts are the only ones
SELECT payment_id, customer, alerts, ordinal < 4611686018427387904 AS the_workers FROM on_busy ORDER BY 1;

-- quarantine; and overrides: a muted key isn't put aside
SELECT streamproc.drop_detector('on_busy');
TRUNCATE payment;
SELECT streamproc.enforce('fraud', 'quarantine');
INSERT INTO payment (id, customer, amount, ts) SELECT i, i % 2, 10, '2026-01-08 12:00+00' FROM generate_series(1, 14) i;
INSERT INTO fraud_overrides (customer, muted) VALUES (1, true);
INSERT INTO payment (id, customer, amount, ts) SELECT i, i % 2, 10, '2026-01-08 12:00+00' FROM generate_series(21, 24) i;
SELECT streamproc.wait_for();
SELECT array_agg(id ORDER BY id) FROM payment;
SELECT id, customer, amount, score, alerts FROM fraud_quarantine ORDER BY id;
SELECT payment_id, customer, n, total, alerts FROM fraud WHERE event_time = '2026-01-08 12:00+00' ORDER BY 1;

-- A partitioned table, a date and no key; a stream table, and a stream by the time of the commit.
CREATE TABLE parted (id int, v int, d date) PARTITION BY RANGE (d);
CREATE TABLE part_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE part_2 (d date, v int, id int);
ALTER TABLE parted ATTACH PARTITION part_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE TABLE flow (k text, v int) USING streamproc;
SELECT streamproc.create_stream('parted', time_column => 'd', watermark => '30 days'), streamproc.create_stream('flow');
SELECT streamproc.create_window('of_parted', 'parted', kind => 'sliding', size => '3 days', aggregates => ARRAY['sum(v) AS s']),
	streamproc.create_window('of_flow', 'flow', kind => 'sliding', size => '1 day', keys => ARRAY['lower(k) AS k'], aggregates => ARRAY['sum(v) AS s']);
SELECT streamproc.create_detector('d_' || w, 'of_' || w, 'rule', rules => ARRAY['s > 10 AS much']) FROM unnest(ARRAY['parted', 'flow']) w;
SELECT streamproc.wait_for();
INSERT INTO parted VALUES (1, 5, '2026-01-30');
SELECT streamproc.enforce('d_' || w) FROM unnest(ARRAY['parted', 'flow']) w;
\set VERBOSITY terse
INSERT INTO parted VALUES (2, 5, '2026-02-01'), (3, 5, '2026-02-02');
INSERT INTO parted VALUES (4, 1, '2026-02-01');
INSERT INTO part_2 (id, v, d) VALUES (5, 1, '2026-02-01');
INSERT INTO flow VALUES ('a', 4), ('B', 11);
INSERT INTO flow VALUES ('a', 4), ('A', 2);
INSERT INTO flow VALUES ('A', 5);
\set VERBOSITY default
SELECT array_agg(id ORDER BY id) FROM parted;

-- Bad definitions.
SELECT streamproc.create_window('minute', 'payment', kind => 'tumbling', size => '1 minute', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_detector('on_minute', 'minute', 'rule', rules => ARRAY['n > 5 AS many']);
SELECT streamproc.enforce('on_minute');
SELECT streamproc.create_window('second', 'recent', kind => 'sliding', size => '1 minute', keys => ARRAY['customer'], aggregates => ARRAY['max(n) AS n']);
SELECT streamproc.create_detector('on_second', 'second', 'rule', rules => ARRAY['n > 5 AS many']);
SELECT streamproc.enforce('on_second');
SELECT streamproc.create_detector('by_ewma', 'recent', 'ewma', value => 'total');
SELECT streamproc.enforce('by_ewma');
SELECT streamproc.create_detector('other_keys', 'recent', 'rule', keys => ARRAY['customer::text AS customer'], rules => ARRAY['n > 5 AS many']);
SELECT streamproc.enforce('other_keys');
CREATE TABLE fixed (id int, k int, ts timestamptz);
ALTER TABLE fixed REPLICA IDENTITY FULL;
SELECT streamproc.create_stream('fixed', time_column => 'ts', on_update => 'retract');
SELECT streamproc.create_window('of_fixed', 'fixed', kind => 'sliding', size => '1 minute', keys => ARRAY['k'], aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_detector('on_fixed', 'of_fixed', 'rule', rules => ARRAY['n > 5 AS many']);
SELECT streamproc.enforce('on_fixed');
CREATE TABLE rare (id int, ts timestamptz);
SELECT streamproc.create_stream('rare', time_column => 'ts', dedup_key => ARRAY['id']::name[], dedup_within => '1 hour');
SELECT streamproc.create_window('of_rare', 'rare', kind => 'sliding', size => '1 minute', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_detector('on_rare', 'of_rare', 'rule', rules => ARRAY['n > 5 AS many']);
SELECT streamproc.enforce('on_rare');

-- The window's expressions run as its owner; who inserts needs no rights, who enforces needs those of the table.
CREATE ROLE regress_trailing_owner;
CREATE ROLE regress_trailing_user;
GRANT USAGE, CREATE ON SCHEMA shield_sliding TO regress_trailing_owner;
GRANT USAGE ON SCHEMA shield_sliding TO regress_trailing_user;
CREATE FUNCTION who() RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT current_user::text';
SET ROLE regress_trailing_owner;
CREATE TABLE owned (id int, ts timestamptz);
SELECT streamproc.create_stream('owned', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_window('of_owned', 'owned', kind => 'sliding', size => '1 minute', aggregates => ARRAY['count(who() = ''regress_trailing_owner'' OR NULL) AS n']);
SELECT streamproc.create_detector('on_owned', 'of_owned', 'rule', rules => ARRAY['n > 1 AS many']);
SELECT streamproc.enforce('on_owned');
GRANT INSERT ON owned TO regress_trailing_user;
SET ROLE regress_trailing_user;
INSERT INTO owned VALUES (1, '2026-01-01 00:00+00');
INSERT INTO owned VALUES (2, '2026-01-01 00:00+00');
SELECT streamproc.enforce('on_owned');
RESET ROLE;

-- A window can't go or be replaced below; what is dropped with the stream leaves nothing.
SELECT streamproc.create_window('recent', 'payment', kind => 'sliding', size => '1 minute', aggregates => ARRAY['count(*) AS n'], replace => true);
SELECT streamproc.unenforce('fraud');
INSERT INTO payment (id, customer, amount, ts) SELECT i, 7, 10, '2026-01-09 12:00+00' FROM generate_series(1, 14) i;
SELECT streamproc.wait_for();
SELECT payment_id, n FROM fraud WHERE customer = 7 ORDER BY 1;
SET client_min_messages = warning;
DROP SCHEMA shield_sliding CASCADE;
DROP ROLE regress_trailing_owner, regress_trailing_user;
SELECT count(*) FROM streamproc.shield_definition;
