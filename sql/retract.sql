--
-- on_update => 'retract': what an UPDATE, DELETE or TRUNCATE takes back leaves the windows, which hold what
-- plain SQL says over the rows that are there.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA retract_test;
SET search_path = retract_test, public;

-- A small one, to be checked by hand.
CREATE TABLE payment (id int PRIMARY KEY, who text, amount int, ts timestamptz, note text);
ALTER TABLE payment REPLICA IDENTITY FULL;
SELECT streamproc.create_stream('payment', time_column => 'ts', watermark => '1 minute', idle_timeout => '1 day', on_update => 'retract');
SELECT streamproc.create_window('by_minute', 'payment', kind => 'tumbling', size => '1 minute', grace => '2 minutes',
	keys => '{who}', aggregates => '{count(*) AS n, sum(amount) AS total, max(amount) AS peak}', filter => 'amount <> 0');
SELECT streamproc.create_window('running', 'payment', kind => 'global',
	aggregates => '{count(*) AS n, sum(amount) AS total}');
SELECT streamproc.wait_for();
INSERT INTO payment VALUES (1, 'ann', 10, '2026-03-01 12:00:10+00'), (2, 'ann', 20, '2026-03-01 12:00:20+00'),
	(3, 'bob', 5, '2026-03-01 12:00:30+00'), (4, 'bob', 0, '2026-03-01 12:00:40+00');
SELECT streamproc.wait_for();
SELECT window_start, window_end, who, n, total, peak, is_final FROM by_minute ORDER BY window_start, who;
-- The largest goes, one becomes another's, one is left out now, and one no more.
DELETE FROM payment WHERE id = 2;
UPDATE payment SET who = 'cid' WHERE id = 3;
UPDATE payment SET amount = 0 WHERE id = 1;
UPDATE payment SET amount = 7 WHERE id = 4;
SELECT streamproc.wait_for();
SELECT window_start, window_end, who, n, total, peak, is_final FROM by_minute ORDER BY window_start, who;
SELECT n, total, is_final FROM running;
-- Nothing that counts is changed; the time moves to another window; NULL is a value.
UPDATE payment SET note = 'seen';
UPDATE payment SET ts = ts + interval '1 minute' WHERE id = 4;
UPDATE payment SET who = NULL, amount = NULL WHERE id = 3;
UPDATE payment SET amount = 1 WHERE id = 3;
SELECT streamproc.wait_for();
SELECT window_start, who, n, total, peak, is_final FROM by_minute ORDER BY window_start, who;
-- In and out again, in one transaction; and what was rolled back never happened.
BEGIN;
INSERT INTO payment VALUES (5, 'eve', 1, '2026-03-01 12:00:50+00');
UPDATE payment SET amount = 2 WHERE id = 5;
SAVEPOINT s;
DELETE FROM payment;
TRUNCATE payment;
ROLLBACK TO s;
DELETE FROM payment WHERE id = 5;
COMMIT;
BEGIN;
DELETE FROM payment;
ROLLBACK;
SELECT streamproc.wait_for();
SELECT window_start, who, n, total, peak, is_final FROM by_minute ORDER BY window_start, who;
-- A final row is amended within grace.
INSERT INTO payment VALUES (6, 'ann', 100, '2026-03-01 12:02:30+00'), (7, 'ann', 1, '2026-03-01 12:02:00+00');
SELECT streamproc.wait_for();
UPDATE payment SET amount = 70 WHERE id = 3;
SELECT streamproc.wait_for();
SELECT window_start, who, n, total, is_final, revision > 1 AS amended FROM by_minute ORDER BY window_start, who;
-- Past grace it stays as it is, whatever becomes of its rows: counted, and no dead letter.
INSERT INTO payment VALUES (8, 'ann', 100, '2026-03-01 12:30+00');
SELECT streamproc.wait_for();
UPDATE payment SET amount = -1 WHERE id = 3;
DELETE FROM payment WHERE id IN (6, 7);
SELECT streamproc.wait_for();
SELECT window_start, who, n, total, peak, is_final FROM by_minute ORDER BY window_start, who;
SELECT n, total, is_final FROM running;
SELECT name, rows, late, retracted, ignored, rejected FROM streamproc.status
	WHERE name IN ('by_minute'::regclass, 'running'::regclass) ORDER BY name::text;
-- TRUNCATE takes back all, but for what is past grace.
BEGIN;
INSERT INTO payment VALUES (9, 'bob', 1, '2026-03-01 12:30+00');
TRUNCATE payment;
INSERT INTO payment VALUES (10, 'cid', 3, '2026-03-01 12:30+00');
COMMIT;
SELECT streamproc.wait_for();
SELECT window_start, who, n, total, peak, is_final FROM by_minute ORDER BY window_start, who;
SELECT n, total FROM running;
-- verify() knows why.
SELECT difference, count(*), explained_by FROM streamproc.verify('by_minute') GROUP BY difference, explained_by ORDER BY difference;

-- All kinds and aggregates, any mix of changes: results are what SQL makes of the table.
\i test/sql/differences.sql
\i test/sql/entries.sql
CALL begin_entries();
SELECT streamproc.create_stream('entry', time_column => 'ts', watermark => '30 seconds', idle_timeout => '1 day', on_update => 'retract');
CREATE FUNCTION make_window(name text, kind text, size interval = NULL, slide interval = NULL, emit text = 'update')
RETURNS void LANGUAGE sql AS $$
	SELECT streamproc.create_window(name, 'retract_test.entry', kind => kind, size => size, slide => slide, emit => emit,
		grace => CASE WHEN kind <> 'global' THEN interval '1 day' ELSE '0' END,
		keys => ARRAY['k'], filter => 'n % 11 <> 0', aggregates => retract_test.entry_aggregates())
$$;
SELECT make_window('tumbles', 'tumbling', '1 minute');
SELECT make_window('tumbles_final', 'tumbling', '1 minute', emit => 'final');
SELECT make_window('hops', 'hopping', '3 minutes', '1 minute');
SELECT make_window('hops_final', 'hopping', '3 minutes', '1 minute', 'final');
SELECT make_window('steps', 'cumulative', '4 minutes', '1 minute');
SELECT make_window('steps_final', 'cumulative', '4 minutes', '1 minute', 'final');
SELECT make_window('totals', 'global');
SELECT streamproc.create_window('native_hops', 'entry', kind => 'hopping', size => '3 minutes', slide => '1 minute', emit => 'final',
	grace => '1 day', keys => '{k}', aggregates => '{count(*) AS c, sum(n) AS total}');
SELECT streamproc.create_window('large', 'entry', kind => 'tumbling', size => '1 minute', grace => '1 day', keys => '{k}',
	aggregates => '{count(*) AS c}', group_filter => 'count(*) >= 2 AND sum(n) > 50');
-- A detector takes what is inserted and what an UPDATE leaves, and looks back at nothing.
SELECT streamproc.create_detector('watch', 'entry', method => 'rule', rules => ARRAY['n = 77 AS lucky'], backfill => false);
SELECT streamproc.wait_for();

-- What the windows should be.
CREATE FUNCTION windows_of(kind text, ts timestamp) RETURNS TABLE (window_start timestamp, window_end timestamp)
LANGUAGE sql AS $$
	SELECT s, s + interval '1 minute' FROM (SELECT date_trunc('minute', ts) AS s) m WHERE kind = 'tumbles'
	UNION ALL
	SELECT s - i * interval '1 minute', s + (3 - i) * interval '1 minute'
		FROM (SELECT date_trunc('minute', ts) AS s) m, generate_series(0, 2) i WHERE kind = 'hops'
	UNION ALL
	SELECT s, s + i * interval '1 minute'
		FROM (SELECT date_bin('4 minutes', ts, timestamp '2000-01-03') AS s) m, generate_series(1, 4) i
		WHERE kind = 'steps' AND ts < s + i * interval '1 minute'
$$;
CREATE FUNCTION expected(kind text) RETURNS TABLE (window_start timestamp, window_end timestamp, k int, c bigint, total bigint,
	low float8, high float8, mean numeric, money numeric, weight float8, list int[], names bigint, even text, middle float8,
	any_large bool, spread numeric)
LANGUAGE sql AS $$
	SELECT w.window_start, w.window_end, k, count(*), sum(n), min(x), max(x), avg(n), sum(d), round(sum(x)::numeric, 6)::float8,
		array_agg(n ORDER BY n, id), count(DISTINCT s), string_agg(left(s, 3), ',' ORDER BY s, id) FILTER (WHERE n % 2 = 0),
		percentile_cont(0.5) WITHIN GROUP (ORDER BY x), bool_or(n > 50), stddev(n)
	FROM entry e LEFT JOIN LATERAL windows_of(kind, e.ts) w ON true
	WHERE n % 11 <> 0 AND (kind = 'totals' OR w.window_start IS NOT NULL)
	GROUP BY 1, 2, 3
$$;
CREATE FUNCTION actual(name regclass, kind text) RETURNS TABLE (window_start timestamp, window_end timestamp, k int, c bigint, total bigint,
	low float8, high float8, mean numeric, money numeric, weight float8, list int[], names bigint, even text, middle float8,
	any_large bool, spread numeric)
LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT %s, k, c, total, low, high, mean, money, round(weight::numeric, 6)::float8, list, names,
		even, middle, any_large, spread FROM %s',
		CASE WHEN kind = 'totals' THEN 'NULL::timestamp, NULL::timestamp' ELSE 'window_start, window_end' END, name);
END
$$;
CREATE FUNCTION differences() RETURNS TABLE (name text, n bigint) LANGUAGE plpgsql AS $$
DECLARE
	kind text;
	final bool;
BEGIN
	FOR name, kind, final IN VALUES ('tumbles', 'tumbles', false), ('tumbles_final', 'tumbles', true), ('hops', 'hops', false),
		('hops_final', 'hops', true), ('steps', 'steps', false), ('steps_final', 'steps', true), ('totals', 'totals', false)
	LOOP
		n := differences(format('SELECT * FROM expected(%L) x WHERE NOT %L OR x.window_end <=
			(SELECT watermark AT TIME ZONE ''UTC'' FROM streamproc.status s WHERE s.name = ''entry''::regclass)', kind, final),
			format('SELECT * FROM actual(%L, %L)', name, kind));
		IF n > 0 THEN
			RETURN NEXT;
		END IF;
	END LOOP;
	RETURN QUERY SELECT * FROM unverified('tumbles', 'tumbles_final', 'totals', 'hops', 'hops_final', 'steps', 'steps_final', 'native_hops', 'large');
END
$$;
SELECT * FROM differences();
SELECT count(*) FROM tumbles;

-- Random changes.
SELECT setseed(0.41);
CALL changes(60, 1);
SELECT streamproc.wait_for();
SELECT * FROM differences();
SELECT (SELECT count(*) FROM tumbles) > 20 AS tumbles, (SELECT count(*) FROM hops_final WHERE c > 1) > 20 AS hops_final;
CALL changes(60, 7);
SELECT streamproc.wait_for();
SELECT * FROM differences();
CALL changes(40, 40);
SELECT streamproc.wait_for();
SELECT * FROM differences();
-- Rows that are the same but for their number.
UPDATE entry SET id = id + 500 WHERE id % 7 = 3;
UPDATE entry SET id = id - 500 WHERE id % 14 = (500 + 3) % 14 AND id > 500;
SELECT streamproc.wait_for();
SELECT * FROM differences();
SELECT name, state, late, rejected, retracted > 0 AS retracted, ignored FROM streamproc.status
	WHERE name IN ('tumbles'::regclass, 'hops_final'::regclass, 'totals'::regclass) ORDER BY name::text;
-- Many rows, then all of them changed at once, and gone.
INSERT INTO entry SELECT i, i % 5, i % 100, i, i, 'copy', timestamp '2026-03-01' + i * interval '0.1 second'
	FROM generate_series(1001, 4000) i;
UPDATE entry SET n = n + 1 WHERE id > 1000;
SELECT streamproc.wait_for();
SELECT * FROM differences();
DELETE FROM entry WHERE id > 1000;
SELECT streamproc.wait_for();
SELECT * FROM differences();
TRUNCATE entry;
SELECT streamproc.wait_for();
SELECT * FROM differences();
SELECT (SELECT count(*) FROM tumbles) AS tumbles, (SELECT count(*) FROM hops_final) AS hops_final, (SELECT count(*) FROM totals) AS totals;
CALL changes(40, 5);
SELECT streamproc.wait_for();
SELECT * FROM differences();
-- An object that is created later, or built anew, counts what is there, and goes on from it.
SELECT make_window('later', 'tumbling', '1 minute');
SELECT streamproc.pause('hops_final');
CALL changes(20, 3);
SELECT streamproc.resume('hops_final');
CALL changes(20, 3);
SELECT streamproc.wait_for();
SELECT * FROM differences();
SELECT count(*) FROM streamproc.verify('later');
SELECT count(*) > 0 AS watched, count(*) = count(DISTINCT (lsn, ordinal)) AS once FROM watch;

SET client_min_messages = warning;
DROP SCHEMA retract_test CASCADE;
