--
-- Sliding windows: an answer for each event over what its key had just before. Against plain SQL over the same rows.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA sliding_test;
SET search_path = sliding_test, public;

-- The fraud rule: more than 5 payments of a customer in 5 minutes, or one over 10000; both in one alert.
CREATE TABLE payment (id int, customer int, amount numeric, ts timestamptz);
SELECT streamproc.create_stream('payment', time_column => 'ts', watermark => '1 minute', idle_timeout => '1 day');
SELECT streamproc.create_window('velocity', 'payment', kind => 'sliding', size => '5 minutes', keys => ARRAY['customer'],
	carry => ARRAY['id AS payment_id', 'amount'], aggregates => ARRAY['count(*) AS n', 'sum(amount) AS total']);
SELECT streamproc.create_window('velocity_closed', 'payment', kind => 'sliding', size => '5 minutes', bounds => '[]',
	keys => ARRAY['customer'], carry => ARRAY['id AS payment_id'], aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_detector('fraud', 'velocity', method => 'rule',
	rules => ARRAY['n > 5 AS "High velocity"', 'amount > 10000 AS "Large transaction"'],
	carry => ARRAY['payment_id', 'amount', 'n']);
SELECT streamproc.wait_for();

-- Six in 150 seconds: the sixth alerts. Two messages in one alert. An amount alone.
INSERT INTO payment SELECT i, 1, 10 * i, '2026-01-01 10:00+00'::timestamptz + (i - 1) * interval '30 seconds'
FROM generate_series(1, 6) i;
INSERT INTO payment VALUES (7, 1, 10000.01, '2026-01-01 10:02:31+00'), (8, 9, 20000, '2026-01-01 10:02:31+00'),
	(9, 9, 10000, '2026-01-01 10:02:32+00');
-- The sixth exactly 5:00 after the first: it is in the window only where that is closed.
INSERT INTO payment SELECT 20 + i, 2, 1, '2026-01-01 10:00+00'::timestamptz + i * interval '1 minute'
FROM generate_series(0, 5) i;
INSERT INTO payment VALUES (26, 2, 1, '2026-01-01 10:05:00.000001+00');
-- Three of one time count 1, 2, 3, as they come.
INSERT INTO payment VALUES (30, 3, 1, '2026-01-01 10:05+00'), (31, 3, 1, '2026-01-01 10:05+00');
INSERT INTO payment VALUES (32, 3, 1, '2026-01-01 10:05+00');
-- One that comes late counts only what is in its own window, and is in later ones. One that comes too late has no answer.
INSERT INTO payment VALUES (40, 4, 1, '2026-01-01 09:56+00'), (41, 4, 1, '2026-01-01 10:03+00'),
	(42, 4, 1, '2026-01-01 10:05:30+00');
INSERT INTO payment VALUES (43, 4, 1, '2026-01-01 10:00:59+00'), (44, 4, 1, '2026-01-01 10:05:30+00');
INSERT INTO payment VALUES (45, 4, 1, '2026-01-01 09:59:30+00'), (46, 4, 1, '2026-01-01 09:59:30.000001+00');
SELECT streamproc.wait_for();
SELECT payment_id, customer, window_start, window_end, n, total, is_final, revision, ordinal FROM velocity
ORDER BY payment_id;
SELECT event_time, customer, alerts, score, payment_id, amount, n FROM fraud ORDER BY id;
SELECT payment_id, n FROM velocity_closed WHERE customer = 2 ORDER BY payment_id;
SELECT name, reason, row_data->>'id' AS id FROM streamproc.dead_letter WHERE source = 'payment'::regclass ORDER BY 1, 3;

-- One row 15 minutes ahead, then back to normal: it is nobody's past, and memory is what it was.
CREATE TABLE live (id int, ts timestamptz);
SELECT streamproc.create_stream('live', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_window('live_5m', 'live', kind => 'sliding', size => '5 minutes', carry => ARRAY['id'],
	aggregates => ARRAY['count(*) AS n', 'max(id) AS last']);
SELECT streamproc.wait_for();
SELECT now() AS base \gset
INSERT INTO live SELECT i, :'base'::timestamptz - (10 - i) * interval '20 seconds' FROM generate_series(1, 6) i;
INSERT INTO live VALUES (7, :'base'::timestamptz + interval '15 minutes');
INSERT INTO live SELECT i, :'base'::timestamptz - (10 - i) * interval '20 seconds' FROM generate_series(8, 10) i;
SELECT streamproc.wait_for();
SELECT id, window_end - :'base' AS time, n, last FROM live_5m ORDER BY id;
-- In times of history it moves the watermark; with as much grace nothing is late, and nothing is wiped either.
CREATE TABLE past (id int, ts timestamptz);
SELECT streamproc.create_stream('past', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_window('past_5m', 'past', kind => 'sliding', size => '5 minutes', carry => ARRAY['id'],
	grace => '15 minutes', aggregates => ARRAY['count(*) AS n', 'sum(id::float8) AS total', 'max(id) AS last']);
SELECT streamproc.create_window('strict_5m', 'past', kind => 'sliding', size => '5 minutes', carry => ARRAY['id'],
	aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.wait_for();
INSERT INTO past SELECT i, '2026-01-01 10:00+00'::timestamptz + i * interval '20 seconds' FROM generate_series(1, 6) i;
INSERT INTO past VALUES (7, '2026-01-01 10:15+00');
INSERT INTO past SELECT i, '2026-01-01 10:00+00'::timestamptz + i * interval '20 seconds' FROM generate_series(8, 20) i;
SELECT streamproc.wait_for();
SELECT id, window_end, n, total, last FROM past_5m ORDER BY id;
SELECT id, n FROM strict_5m ORDER BY id;
SELECT count(*) FROM streamproc.dead_letter WHERE name = 'strict_5m'::regclass AND reason = 'late';

-- Many rows of all sorts, against the rows of the result table that came before each: their times and what they carry.
CREATE AGGREGATE gather(int) (SFUNC = array_append, STYPE = int[], INITCOND = '{}');
CREATE TABLE reading (id int GENERATED ALWAYS AS IDENTITY, batch int, key text, v int, f float8, x numeric, t text,
	ts timestamptz);
SELECT streamproc.create_stream('reading', time_column => 'ts', watermark => '10 seconds', idle_timeout => '1 day');
SELECT streamproc.create_window('half_open', 'reading', kind => 'sliding', size => '1 minute', keys => ARRAY['key'],
	carry => ARRAY['id', 'v', 'f', 'x', 't'], filter => 'v IS NULL OR v <> 13',
	aggregates => ARRAY['count(*) AS n', 'count(v) AS nv', 'sum(v) AS sv', 'avg(v) AS av', 'sum(f) AS sf',
		'min(f) AS lo', 'max(v) AS hi', 'stddev(f) AS sd', 'sum(x) AS sx', 'avg(x) FILTER (WHERE v > 500) AS ax',
		'max(t) AS mt', 'gather(id) AS ids', 'sum(v) FILTER (WHERE f > 10) AS fv', 'corr(v, f) AS co']);
SELECT streamproc.create_window('closed', 'reading', kind => 'sliding', size => '1 minute', bounds => '[]',
	grace => '20 seconds', keys => ARRAY['key', 'v % 2 AS odd'], carry => ARRAY['id', 'f'],
	aggregates => ARRAY['count(*) AS n', 'sum(f) AS sf', 'min(f) AS lo', 'max(f) AS hi']);
SELECT streamproc.create_window('keyless', 'reading', kind => 'sliding', size => '30 seconds',
	carry => ARRAY['id', 'key', 'f'], aggregates => ARRAY['count(*) AS n', 'sum(f) AS sf', 'min(f) AS lo', 'max(f) AS hi',
		'count(DISTINCT key) AS keys', 'percentile_cont(0.5) WITHIN GROUP (ORDER BY f) AS median',
		'array_agg(id ORDER BY f, id DESC) AS ids']);
-- HAVING: what doesn't satisfy it counts, has no row, and isn't handed on; with an aggregate that isn't shown
SELECT streamproc.create_window('every', 'reading', kind => 'sliding', size => '1 minute', keys => ARRAY['key'],
	carry => ARRAY['id'], aggregates => ARRAY['count(*) AS n', 'max(v) AS hi', 'array_agg(id) AS ids']);
SELECT streamproc.create_window('busy', 'reading', kind => 'sliding', size => '1 minute', keys => ARRAY['key'],
	carry => ARRAY['id'], aggregates => ARRAY['count(*) AS n'],
	group_filter => 'count(*) > 20 AND max(v) > 900 AND array_length(array_agg(id), 1) < 40');
SELECT streamproc.create_detector('busy_rule', 'busy', method => 'rule', rules => ARRAY['true AS busy'],
	carry => ARRAY['id AS reading']);
SELECT streamproc.wait_for();

CREATE FUNCTION add_rows(batch int, n int, start float8, length float8) RETURNS void LANGUAGE sql AS $$
	INSERT INTO reading (batch, key, v, f, x, t, ts)
	SELECT batch, CASE h % 7 WHEN 0 THEN NULL WHEN 1 THEN 'rare' || h / 7 % 50 ELSE 'k' || h % 3 END,
		CASE WHEN h % 11 > 0 THEN h / 13 % 1000 END, (h / 17 % 2001 - 1000) / 8.0 + 0.001 * (h % 97),
		(h / 19 % 100000) / 100.0, md5((h % 1000)::text), '2026-01-01 10:00+00'::timestamptz +
			floor((start + length * (hashint8extended(i, batch) & 65535) / 65536) * 20) / 20 * interval '1 second'
	FROM (SELECT i, abs(hashint8extended(i, batch * 1000003)) AS h FROM generate_series(1, n) i) s ORDER BY i
$$;
SELECT add_rows(1, 500, 0, 60);
SELECT add_rows(2, 800, 60, 100);
-- one row a commit, each a little further
SELECT add_rows(100 + i, 1, 160 + i, 5) FROM generate_series(1, 30) i \gexec
-- disorder beyond the watermark
SELECT add_rows(200, 700, 150, 200);
SELECT add_rows(201, 700, 250, 200);
SELECT add_rows(202, 300, 380, 150);
SELECT streamproc.wait_for();
-- Which rows are late follows from the commits before them.
CREATE FUNCTION not_as_due(relation regclass, lateness interval, condition text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE format('SELECT count(*) FROM (
		SELECT id FROM (SELECT id, ts, v, coalesce(max(ts) OVER (ORDER BY batch RANGE UNBOUNDED PRECEDING EXCLUDE GROUP),
			''-infinity'') AS last FROM reading) w WHERE ts > last - %L::interval AND (%s)) due
		FULL JOIN %s USING (id) WHERE due.id IS NULL OR n IS NULL', lateness, condition, relation) INTO n;
	RETURN n;
END $$;
SELECT not_as_due('half_open', '70 seconds', 'v IS NULL OR v <> 13') AS half_open,
	not_as_due('closed', '90 seconds', 'true') AS closed, not_as_due('keyless', '40 seconds', 'true') AS keyless;
CREATE VIEW half_open_wrong AS
WITH r AS (SELECT row_number() OVER (ORDER BY lsn, ordinal) AS o, * FROM half_open)
SELECT r.*, e.* FROM r, LATERAL (
	SELECT count(*) AS en, count(p.v) AS env, sum(p.v) AS esv, avg(p.v) AS eav, sum(p.f) AS esf, min(p.f) AS elo,
		max(p.v) AS ehi, stddev(p.f) AS esd, sum(p.x) AS esx, avg(p.x) FILTER (WHERE p.v > 500) AS eax, max(p.t) AS emt,
		array_agg(p.id ORDER BY p.window_end, p.o) AS eids, sum(p.v) FILTER (WHERE p.f > 10) AS efv,
		corr(p.v, p.f) AS eco, sum(abs(p.f)) AS size
	FROM r p WHERE p.key IS NOT DISTINCT FROM r.key AND p.o <= r.o AND p.window_end <= r.window_end
		AND p.window_end > r.window_end - interval '1 minute') e
WHERE (n, nv, sv, av, lo, hi, sx, ax, mt, ids, fv) IS DISTINCT FROM (en, env, esv, eav, elo, ehi, esx, eax, emt, eids, efv)
	OR abs(sf - esf) > 1e-9 * size OR (sf IS NULL) <> (esf IS NULL)
	OR abs(sd - esd) > 1e-9 * size OR (sd IS NULL) <> (esd IS NULL)
	OR abs(co - eco) > 1e-9 OR (co IS NULL) <> (eco IS NULL) OR window_start <> window_end - interval '1 minute';
CREATE VIEW closed_wrong AS
WITH r AS (SELECT row_number() OVER (ORDER BY lsn, ordinal) AS o, * FROM closed)
SELECT r.* FROM r, LATERAL (
	SELECT count(*) AS en, sum(p.f) AS esf, min(p.f) AS elo, max(p.f) AS ehi, sum(abs(p.f)) AS size
	FROM r p WHERE (p.key, p.odd) IS NOT DISTINCT FROM (r.key, r.odd) AND p.o <= r.o AND p.window_end <= r.window_end
		AND p.window_end >= r.window_start) e
WHERE (n, lo, hi) IS DISTINCT FROM (en, elo, ehi) OR abs(sf - esf) > 1e-9 * size;
CREATE VIEW keyless_wrong AS
WITH r AS (SELECT row_number() OVER (ORDER BY lsn, ordinal) AS o, * FROM keyless)
SELECT r.* FROM r, LATERAL (
	SELECT count(*) AS en, sum(p.f) AS esf, min(p.f) AS elo, max(p.f) AS ehi, sum(abs(p.f)) AS size,
		count(DISTINCT p.key) AS ekeys, percentile_cont(0.5) WITHIN GROUP (ORDER BY p.f) AS emedian,
		array_agg(p.id ORDER BY p.f, p.id DESC) AS eids
	FROM r p WHERE p.o <= r.o AND p.window_end <= r.window_end AND p.window_end > r.window_start) e
WHERE (n, lo, hi, keys, median, ids) IS DISTINCT FROM (en, elo, ehi, ekeys, emedian, eids)
	OR abs(sf - esf) > 1e-9 * size;
SELECT (SELECT count(*) FROM half_open) AS answers, (SELECT count(*) FROM half_open_wrong) AS wrong,
	(SELECT count(*) FROM closed) AS answers, (SELECT count(*) FROM closed_wrong) AS wrong,
	(SELECT count(*) FROM keyless) AS answers, (SELECT count(*) FROM keyless_wrong) AS wrong;
SELECT name, rows, late, rejected FROM streamproc.status WHERE name IN ('half_open'::regclass, 'closed'::regclass,
	'keyless'::regclass) ORDER BY name::text;

SELECT count(*) FILTER (WHERE e.n > 20 AND e.hi > 900 AND cardinality(e.ids) < 40) > 100 AS any,
	count(*) FILTER (WHERE (e.n > 20 AND e.hi > 900 AND cardinality(e.ids) < 40) <> (b.id IS NOT NULL)
		OR b.n <> e.n OR (b.id IS NULL) <> (r.reading IS NULL)) AS wrong
FROM every e FULL JOIN busy b ON b.id = e.id FULL JOIN busy_rule r ON r.reading = e.id;

-- Answers don't depend on how rows are batched: to the last bit, for sums of floats too.
CREATE TABLE single (LIKE reading);
CREATE TABLE bulk (LIKE reading);
SELECT streamproc.create_stream(relation, time_column => 'ts', watermark => '1 hour', idle_timeout => '1 day')
FROM (VALUES ('single'::regclass), ('bulk')) v (relation);
SELECT streamproc.create_window(source || '_window', source::regclass, kind => 'sliding', size => '2 minutes',
	keys => ARRAY['key'], carry => ARRAY['id'], aggregates => ARRAY['count(*) AS n', 'sum(f) AS sf', 'variance(f) AS vf',
		'min(f) AS lo', 'sum(x) AS sx', 'gather(id) AS ids'])
FROM (VALUES ('single'), ('bulk')) v (source);
SELECT streamproc.wait_for();
DO $$
DECLARE
	r reading;
BEGIN
	FOR r IN SELECT * FROM reading WHERE id % 3 = 0 ORDER BY id LOOP
		INSERT INTO single SELECT (r).*;
		COMMIT;
	END LOOP;
END $$;
INSERT INTO bulk SELECT * FROM reading WHERE id % 3 = 0 ORDER BY id;
SELECT streamproc.wait_for();
SELECT count(*), count(*) FILTER (WHERE (a.window_start, a.window_end, a.key, a.n, a.sf, a.vf, a.lo, a.sx, a.ids)
	IS DISTINCT FROM (b.window_start, b.window_end, b.key, b.n, b.sf, b.vf, b.lo, b.sx, b.ids)) AS different
FROM single_window a FULL JOIN bulk_window b USING (id);

-- History comes first, in order of time, for the window and then for what reads it.
CREATE TABLE visit (id int, who int, ts timestamptz);
INSERT INTO visit SELECT i, i % 3, '2026-01-01 10:00+00'::timestamptz + (i * 7 % 100) * interval '1 second'
FROM generate_series(1, 100) i;
SELECT streamproc.create_stream('visit', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_window('visit_10s', 'visit', kind => 'sliding', size => '10 seconds', keys => ARRAY['who'],
	carry => ARRAY['id'], aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.wait_for();
SELECT streamproc.create_detector('crowd', 'visit_10s', method => 'rule', rules => ARRAY['n > 3 AS crowd'],
	carry => ARRAY['id AS visit', 'n'], store => 'all');
SELECT streamproc.create_window('visit_minute', 'visit_10s', kind => 'tumbling', size => '1 minute',
	aggregates => ARRAY['count(*) AS answers', 'sum(n) AS total', 'max(n) AS most']);
SELECT streamproc.wait_for();
INSERT INTO visit SELECT i, i % 3, '2026-01-01 10:00+00'::timestamptz + i * interval '1 second'
FROM generate_series(101, 150) i;
SELECT streamproc.wait_for();
SELECT count(*), count(*) FILTER (WHERE n <> (SELECT count(*) FROM visit p WHERE p.who = w.who
	AND p.ts <= w.window_end AND p.ts > w.window_end - interval '10 seconds')) AS wrong FROM visit_10s w;
SELECT count(*), count(*) FILTER (WHERE c.visit IS NULL OR c.event_time <> w.window_end OR c.n <> w.n
	OR c.is_anomaly <> (w.n > 3)) AS wrong,
	(SELECT count(*) FROM (SELECT event_time < lag(event_time) OVER (ORDER BY lsn, ordinal) AS back FROM crowd) o
		WHERE back) AS back
FROM crowd c FULL JOIN visit_10s w ON w.id = c.visit;

SELECT window_start, answers, total, most, is_final FROM visit_minute ORDER BY 1;
SELECT count(*) FROM (SELECT window_start, answers, total, most FROM visit_minute EXCEPT
	SELECT date_trunc('minute', window_end), count(*), sum(n), max(n) FROM visit_10s GROUP BY 1) difference;

-- What throws has no answer, and is in nobody's memory: expressions, transitions, final functions.
CREATE FUNCTION add_small(int, int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	IF $2 > 100 THEN
		RAISE EXCEPTION 'too much: %', $2;
	END IF;
	RETURN $1 + $2;
END $$;
CREATE FUNCTION below_10(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	IF $1 >= 10 THEN
		RAISE EXCEPTION 'sum too high: %', $1;
	END IF;
	RETURN $1;
END $$;
CREATE AGGREGATE small_sum(int) (SFUNC = add_small, STYPE = int, INITCOND = '0');
CREATE AGGREGATE low_sum(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0', FINALFUNC = below_10, COMBINEFUNC = int4pl);
CREATE TABLE bad (id int, v int, f float8, ts timestamptz);
SELECT streamproc.create_stream('bad', time_column => 'ts', watermark => '0', idle_timeout => '1 day');
SELECT streamproc.create_window('bad_1m', 'bad', kind => 'sliding', size => '1 minute', carry => ARRAY['id', '10 / v AS q'],
	aggregates => ARRAY['small_sum(v) AS small', 'low_sum(v) AS low', 'count(*) AS n', 'sum(f) AS f']);
SELECT streamproc.create_window('huge', 'bad', kind => 'sliding', size => '1 minute', carry => ARRAY['id'],
	aggregates => ARRAY['count(*) AS n', 'sum(f) AS f']);
SELECT streamproc.wait_for();
INSERT INTO bad VALUES (1, 1, 1, '2026-01-01 10:00:01+00'), (2, 0, 1, '2026-01-01 10:00:02+00'),
	(3, 101, 1, '2026-01-01 10:00:03+00'), (4, 7, 1, '2026-01-01 10:00:04+00'), (5, 2, 1, '2026-01-01 10:00:05+00'),
	(6, 1, 1e308, '2026-01-01 10:00:06+00'), (7, 1, 1.5e308, '2026-01-01 10:00:07+00'), (8, 1, 1, NULL),
	(9, 1, 2, 'infinity'), (10, -1, -1e308, '2026-01-01 10:00:08+00'), (11, 1, 1, '4714-11-24 00:00:30 BC'),
	(12, 1, 5, '2026-01-01 10:01:30+00');
SELECT streamproc.wait_for();
SELECT id, q, small, low, n, f FROM bad_1m ORDER BY id;
SELECT id, n, f FROM huge ORDER BY id;
SELECT name, reason, sqlstate, message, row_data->>'id' AS id FROM streamproc.dead_letter WHERE source = 'bad'::regclass
ORDER BY name::text, (row_data->>'id')::int;

-- Dates; commit times, where all of a transaction are of one; stream tables.
CREATE TABLE sale (id int, day date);
SELECT streamproc.create_stream('sale', time_column => 'day', watermark => '3 days', idle_timeout => '10 days');
SELECT streamproc.create_window('sale_week', 'sale', kind => 'sliding', size => '7 days', carry => ARRAY['id'],
	aggregates => ARRAY['count(*) AS n']);
CREATE TABLE ping (id int) USING streamproc;
SELECT streamproc.create_stream('ping');
SELECT streamproc.create_window('ping_1h', 'ping', kind => 'sliding', size => '1 hour', carry => ARRAY['id'],
	aggregates => ARRAY['count(*) AS n', 'sum(id) AS total']);
SELECT streamproc.wait_for();
INSERT INTO sale VALUES (1, '2026-01-01'), (2, '2026-01-07'), (3, '2026-01-08'), (4, '2026-01-01'), (5, '2026-01-07');
INSERT INTO ping VALUES (1), (2);
INSERT INTO ping VALUES (3), (4);
SELECT streamproc.wait_for();
SELECT window_start, window_end, id, n FROM sale_week ORDER BY id;
SELECT id, n, total, window_end - window_start AS size FROM ping_1h ORDER BY id;

-- Nothing but a size that is a length of time.
SELECT streamproc.create_window('w', 'payment', kind => 'sliding', size => '1 month', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('w', 'payment', kind => 'sliding', size => '0', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('w', 'sale', kind => 'sliding', size => '1 hour', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('w', 'payment', kind => 'sliding', size => '1 hour', bounds => '[)',
	aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('w', 'payment', kind => 'sliding', size => '1 hour', carry => ARRAY['id AS lsn'],
	aggregates => ARRAY['count(*) AS n']);

-- The twin knows all rows: it differs where some came later, and says so.
SELECT * FROM streamproc.verify('velocity');
SELECT count(*) FROM streamproc.verify('visit_10s');
SELECT count(*) > 0 AS different, count(*) FILTER (WHERE explained_by IS NULL) AS unexplained
FROM streamproc.verify('closed');

SET client_min_messages = warning;
DROP SCHEMA sliding_test CASCADE;
