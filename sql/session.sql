--
-- Session windows: what they hold is what plain SQL makes of the rows that were in time.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA session_test;
SET search_path = session_test, public;

-- ---- By hand ----

CREATE TABLE visit (id int, person text, ts timestamptz);
SELECT streamproc.create_stream('visit', time_column => 'ts', watermark => '5 minutes', idle_timeout => '1 day');
SELECT streamproc.create_window('stay', 'visit', kind => 'session', gap => '10 minutes', keys => '{person}',
	aggregates => '{count(*) AS n, sum(id) AS ids, min(ts) AS first, max(ts) AS last}');
SELECT streamproc.create_window('done', 'visit', kind => 'session', gap => '10 minutes', keys => '{person}',
	aggregates => '{count(*) AS n, sum(id) AS ids}', emit => 'final', grace => '3 minutes');
SELECT streamproc.wait_for();

-- Less than the gap apart is one session, the gap apart is two; no key is a key.
INSERT INTO visit VALUES (1, 'a', '2026-03-01 12:00+00'), (2, 'a', '2026-03-01 12:09:59.999999+00'),
	(3, 'b', '2026-03-01 12:00+00'), (4, 'b', '2026-03-01 12:10+00'), (5, NULL, '2026-03-01 12:02+00');
SELECT streamproc.wait_for();
SELECT * FROM stay ORDER BY person, window_start;
SELECT * FROM done ORDER BY person, window_start;
-- At its end, across to the next one, and at its front: the rows of what was there before are gone.
INSERT INTO visit VALUES (6, 'a', '2026-03-01 12:15+00');
INSERT INTO visit VALUES (7, 'b', '2026-03-01 12:05+00');
INSERT INTO visit VALUES (8, NULL, '2026-03-01 11:55+00');
SELECT streamproc.wait_for();
SELECT window_start, window_end, person, n, ids, is_final FROM stay ORDER BY person, window_start;
-- Three in one, within a transaction.
INSERT INTO visit VALUES (9, 'c', '2026-03-01 12:01+00'), (10, 'c', '2026-03-01 12:24+00'), (11, 'c', '2026-03-01 12:12+00');
BEGIN;
INSERT INTO visit VALUES (12, 'c', '2026-03-01 12:18+00');
INSERT INTO visit VALUES (13, 'c', '2026-03-01 12:06+00');
COMMIT;
SELECT streamproc.wait_for();
SELECT window_start, window_end, person, n, ids, first, last, is_final FROM stay WHERE person = 'c';

-- The watermark stands at 12:19. What ended by then is final.
SELECT window_end, person, n, is_final FROM stay ORDER BY person, window_start;
SELECT window_start, window_end, person, n, is_final FROM done ORDER BY person, window_start;
-- What is late by itself isn't when it touches a session that is open.
INSERT INTO visit VALUES (14, 'a', '2026-03-01 11:51+00'), (15, 'd', '2026-03-01 11:51+00');
-- 12:21: 'b' is closed for stay, which has no grace, and what touches it is late; for done it is amended, and goes on.
INSERT INTO visit VALUES (16, 'e', '2026-03-01 12:26+00');
INSERT INTO visit VALUES (17, 'b', '2026-03-01 12:08+00');
INSERT INTO visit VALUES (18, 'b', '2026-03-01 12:19:59+00');
-- At its very end nothing touches it.
INSERT INTO visit VALUES (19, 'b', '2026-03-01 12:20+00'), (20, 'b', '2026-03-01 12:30+00');
SELECT streamproc.wait_for();
SELECT window_start, window_end, person, n, ids, is_final FROM stay WHERE person IN ('a', 'b', 'd') ORDER BY person, window_start;
SELECT window_start, window_end, person, n, ids, is_final FROM done WHERE person IN ('a', 'b', 'd') ORDER BY person, window_start;
SELECT name, reason, row_data->>'id' AS id FROM streamproc.dead_letter WHERE source = 'visit'::regclass
ORDER BY (row_data->>'id')::int, name::text;

-- A final session that goes on beyond the watermark isn't final any more: its row comes again when it is.
INSERT INTO visit VALUES (21, 'f', '2026-03-01 12:21+00');
INSERT INTO visit VALUES (22, 'x', '2026-03-01 12:37+00');
SELECT streamproc.wait_for();
SELECT window_start, window_end, n, is_final, revision FROM done WHERE person = 'f';
INSERT INTO visit VALUES (23, 'f', '2026-03-01 12:30:30+00');
SELECT streamproc.wait_for();
SELECT window_start, window_end, n, is_final, revision FROM done WHERE person = 'f';
INSERT INTO visit VALUES (24, 'x', '2026-03-01 12:46+00');
SELECT streamproc.wait_for();
SELECT window_start, window_end, n, is_final, revision FROM done WHERE person = 'f';

-- The same before anything is written: a row is deleted, and comes again, in one transaction.
SELECT streamproc.create_window('slow', 'visit', kind => 'session', gap => '2 minutes', keys => '{person}',
	aggregates => '{count(*) AS n, sum(id) AS ids}', emit => 'final', grace => '1 hour', trigger => '1 hour', backfill => false);
SELECT streamproc.wait_for();
INSERT INTO visit VALUES (25, 'g', '2026-03-01 12:50+00'), (26, 'g', '2026-03-01 12:53+00'), (27, 'x', '2026-03-01 13:00+00');
SELECT streamproc.wait_for();
SELECT window_start, window_end, n, ids, is_final FROM slow WHERE person = 'g' ORDER BY 1;
INSERT INTO visit VALUES (28, 'g', '2026-03-01 12:51:30+00');
INSERT INTO visit VALUES (29, 'g', '2026-03-01 12:54:30+00');
INSERT INTO visit VALUES (30, 'x', '2026-03-01 13:02+00');
SELECT streamproc.wait_for();
SELECT window_start, window_end, n, ids, is_final FROM slow WHERE person = 'g' ORDER BY 1;
INSERT INTO visit VALUES (31, 'g', '2026-03-01 12:49+00');
SELECT streamproc.wait_for();
SELECT window_start, window_end, n, ids, is_final FROM slow WHERE person = 'g' ORDER BY 1;

-- How far a session may go back: to the closed one before it, or two gaps before what was on time when it began.
CREATE TABLE walk (id int, person text, ts timestamptz);
SELECT streamproc.create_stream('walk', time_column => 'ts', watermark => '0', idle_timeout => '1 day');
SELECT streamproc.create_window('way', 'walk', kind => 'session', gap => '10 minutes', keys => '{person}', aggregates => '{count(*) AS n}');
SELECT streamproc.wait_for();
INSERT INTO walk VALUES (1, 'a', '2026-03-01 11:00+00'), (2, 'b', '2026-03-01 11:45+00');
INSERT INTO walk VALUES (3, 'x', '2026-03-01 12:00+00');
INSERT INTO walk VALUES (4, 'a', '2026-03-01 12:00+00'), (5, 'b', '2026-03-01 12:00+00'), (6, 'a', '2026-03-01 11:51+00'),
	(7, 'a', '2026-03-01 11:42+00'), (8, 'a', '2026-03-01 11:39:59+00'), (9, 'a', '2026-03-01 11:40+00'), (10, 'b', '2026-03-01 11:54:59+00'),
	(11, 'b', '2026-03-01 11:55+00');
SELECT streamproc.wait_for();
SELECT window_start, window_end, person, n FROM way ORDER BY person, window_start;
SELECT row_data->>'id' AS late FROM streamproc.dead_letter WHERE name = 'way'::regclass ORDER BY (row_data->>'id')::int;
SELECT streamproc.drop_stream('walk', cascade => true);

-- Times that no session can have.
INSERT INTO visit VALUES (41, 'h', 'infinity'), (42, 'h', '-infinity'), (43, 'h', '294276-12-31 23:55+00'), (44, 'h', NULL),
	(45, 'h', '4714-11-24 00:00+00 BC');
SELECT streamproc.wait_for();
SELECT name, reason, row_data->>'id' AS id, message FROM streamproc.dead_letter
WHERE source = 'visit'::regclass AND (row_data->>'id')::int > 40 AND name IN ('visit'::regclass, 'stay'::regclass) ORDER BY id;
SELECT count(*) FROM stay WHERE person = 'h';
SELECT streamproc.drop_stream('visit', cascade => true);

-- Days have 24 hours, and dates have no less.
CREATE TABLE trip (on_day date, person int);
SELECT streamproc.create_stream('trip', time_column => 'on_day', watermark => '2 days', idle_timeout => '1 day');
SELECT streamproc.create_window('journey', 'trip', kind => 'session', gap => '2 days', keys => '{person}', aggregates => '{count(*) AS n}');
INSERT INTO trip VALUES ('2026-03-28', 1), ('2026-03-29', 1), ('2026-03-31', 1), ('2026-04-03', 2), ('2026-04-01', 1);
SELECT streamproc.wait_for();
SELECT * FROM journey ORDER BY person, window_start;
SELECT streamproc.drop_stream('trip', cascade => true);

-- ---- Against plain SQL ----

CREATE TABLE event (id int, batch int, key int, value numeric, ts timestamptz);

-- The rows of a table that a window has taken, in sessions.
CREATE FUNCTION sessions(source regclass, object regclass, gap interval)
RETURNS TABLE (window_start timestamptz, window_end timestamptz, key int, n bigint, total numeric, ids text) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format($q$
		WITH admitted AS (SELECT * FROM %s e WHERE ts IS NOT NULL AND NOT EXISTS (SELECT FROM streamproc.dead_letter d
				WHERE d.name = %L::regclass AND d.row_data->>'id' = e.id::text)),
			begun AS (SELECT *, ts - lag(ts) OVER k < %L::interval AS goes_on FROM admitted WINDOW k AS (PARTITION BY key ORDER BY ts)),
			numbered AS (SELECT *, count(*) FILTER (WHERE goes_on IS NOT TRUE) OVER (PARTITION BY key ORDER BY ts) AS session FROM begun)
		SELECT min(ts), max(ts) + %L::interval, key, count(*), sum(value), string_agg(id::text, ' ' ORDER BY id)
		FROM numbered GROUP BY key, session $q$, source, object, gap, gap);
END $$;

-- Which rows are late, found without forgetting anything. The watermark moves by data only.
CREATE FUNCTION late_ones(source regclass, gap interval, delay interval, grace interval) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
	r record;
	t record;
	largest timestamptz;
	txn timestamptz;
	watermark timestamptz;
	late int[] = '{}';
	at_work int;
BEGIN
	CREATE TEMP TABLE s (key int, first timestamptz, last timestamptz, closed boolean, floor timestamptz);
	FOR r IN EXECUTE format('SELECT * FROM %s WHERE ts IS NOT NULL ORDER BY batch, id', source) LOOP
		IF r.batch IS DISTINCT FROM at_work THEN
			largest = greatest(largest, txn);
			txn = NULL;
			at_work = r.batch;
			watermark = largest - delay;
			UPDATE s SET closed = true WHERE NOT closed AND last + gap + grace <= watermark;
			IF FOUND THEN
				UPDATE s SET floor = greatest(floor, (SELECT max(c.last) FROM s c WHERE c.closed AND c.key IS NOT DISTINCT FROM s.key
					AND c.last < s.first)) WHERE NOT closed;
			END IF;
		END IF;
		txn = greatest(txn, r.ts);
		SELECT count(*) AS n, min(first) AS first, max(last) AS last, bool_or(closed) AS closed,
			(array_agg(floor ORDER BY first))[1] AS floor INTO t
			FROM s WHERE key IS NOT DISTINCT FROM r.key AND r.ts > first - gap AND r.ts < last + gap;
		IF r.ts <= largest AND (greatest(r.ts, t.last) + gap + grace <= watermark OR t.closed OR
			(t.n > 0 AND r.ts < t.first AND r.ts < t.floor + gap)) THEN
			late = late || r.id;
			CONTINUE;
		END IF;
		IF t.n = 0 THEN
			t.floor = greatest(watermark - grace - 3 * gap, (SELECT max(last) FROM s WHERE closed AND key IS NOT DISTINCT FROM r.key
				AND last < r.ts));
		END IF;
		DELETE FROM s WHERE key IS NOT DISTINCT FROM r.key AND r.ts > first - gap AND r.ts < last + gap;
		INSERT INTO s VALUES (r.key, least(r.ts, t.first), greatest(r.ts, t.last), false, t.floor);
	END LOOP;
	DROP TABLE s;
	RETURN late;
END $$;

-- An aggregate of a user's, which joins in the order of arrival; and one that doesn't take 13.
CREATE FUNCTION append(text, int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT concat_ws('' '', $1, $2)';
CREATE FUNCTION join_texts(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT concat_ws('' '', $1, $2)';
CREATE AGGREGATE listed(int) (SFUNC = append, STYPE = text, COMBINEFUNC = join_texts);
CREATE FUNCTION add_fair(numeric, numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF $2 = 13 OR $1 + $2 > 900 THEN
		RAISE 'unfair: % + %', $1, $2;
	END IF;
	RETURN $1 + $2;
END $$;
CREATE AGGREGATE fair_sum(numeric) (SFUNC = add_fair, STYPE = numeric, INITCOND = '0', COMBINEFUNC = add_fair);
CREATE FUNCTION sorted_ids(text) RETURNS text LANGUAGE sql IMMUTABLE AS
	'SELECT string_agg(id, '' '' ORDER BY id::int) FROM unnest(string_to_array($1, '' '')) id';

-- Numbers below n that look random and are always the same.
CREATE FUNCTION r(i int, n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT (abs(hashint4(i)::bigint) % n)::int';
-- One table for each order of arrival, with its windows: gap 6 s, the watermark 10 s behind.
CREATE TABLE scenario (name text PRIMARY KEY, rows_of_batch int, time text, rows int DEFAULT 400);
INSERT INTO scenario VALUES
	('sorted', 20, 'i * interval ''1 s'''),
	('singles', 1, 'i * interval ''1 s'' - r(i + 7, 10000) * interval ''1 ms'''),
	('shuffled', 50, 'i * interval ''1 s'' - r(i + 7, 10000) * interval ''1 ms'''),
	('late_singles', 1, 'i * interval ''1 s'' - CASE WHEN r(i, 5) = 0 THEN r(i + 7, 60000) ELSE 0 END * interval ''1 ms'''),
	('late', 20, 'i * interval ''1 s'' - CASE WHEN r(i, 5) = 0 THEN r(i + 7, 60000) ELSE 0 END * interval ''1 ms'''),
	('one_copy', 400, 'r(i, 400000) * interval ''1 ms'''),
	('same_times', 16, '(i - r(i, 12)) / 4 * 4 * interval ''1 s'''),
	('few_pauses', 10, 'i * interval ''1.4 s'' - r(i + 7, 25000) * interval ''1 ms''');
DO $$
DECLARE
	s record;
BEGIN
	FOR s IN SELECT * FROM scenario LOOP
		EXECUTE format('CREATE TABLE %I (LIKE event)', s.name);
		PERFORM streamproc.create_stream(s.name::regclass, time_column => 'ts', watermark => '10 seconds', idle_timeout => '1 day');
		PERFORM streamproc.create_window(s.name || '_update', s.name::regclass, kind => 'session', gap => '6 seconds', keys => '{key}',
			aggregates => '{count(*) AS n, sum(value::float8) AS total, max(id) AS last_id}');
		PERFORM streamproc.create_window(s.name || '_final', s.name::regclass, kind => 'session', gap => '6 seconds', keys => '{key}',
			aggregates => '{count(*) AS n, sum(value) AS total}', emit => 'final', grace => '15 seconds');
		PERFORM streamproc.create_window(s.name || '_generic', s.name::regclass, kind => 'session', gap => '6 seconds', keys => '{key}',
			aggregates => '{count(*) AS n, sum(value) AS total, listed(id) AS ids, "string_agg(id::text, '' '' ORDER BY id) AS kept"}',
			grace => '15 seconds');
		PERFORM streamproc.create_detector(s.name || '_seen', (s.name || '_final')::regclass, method => 'rule',
			rules => '{n > 0 AS Seen}', keys => '{key}', carry => '{window_start AS began, n AS n, total AS total}');
	END LOOP;
END $$;
SELECT streamproc.wait_for();
DO $$
DECLARE
	s record;
	b int;
BEGIN
	FOR s IN SELECT * FROM scenario LOOP
		FOR b IN 0 .. s.rows / s.rows_of_batch - 1 LOOP
			EXECUTE format('INSERT INTO %I SELECT i, %s, nullif(r(i + 1, 6), 0), r(i + 2, 1000) / 8.0,
				timestamptz ''2026-05-01 00:00+00'' + %s FROM generate_series(%s, %s) i', s.name, b, s.time,
				b * s.rows_of_batch + 1, (b + 1) * s.rows_of_batch);
			COMMIT;
		END LOOP;
	END LOOP;
END $$;
SELECT streamproc.wait_for();

-- All sessions, and with their finality.
\i test/sql/differences.sql
CREATE FUNCTION expected(name text, object text, columns text) RETURNS text LANGUAGE sql AS $$
	SELECT format('SELECT window_start, window_end, key, %s, window_end <= (SELECT max(ts) - interval ''10 s'' FROM %I) AS is_final
		FROM sessions(%L, %L, ''6 s'')', columns, name, name, object)
$$;
SELECT name, differences(format('SELECT window_start, window_end, key, n, total, is_final FROM %I', name || '_update'),
		expected(name, name || '_update', 'n, total::float8')) AS update,
	differences(format('SELECT window_start, window_end, key, n, total, is_final FROM %I', name || '_final'),
		'SELECT * FROM (' || expected(name, name || '_final', 'n, total') || ') e WHERE is_final') AS final,
	differences(format('SELECT window_start, window_end, key, n, total, sorted_ids(ids), kept, is_final FROM %I', name || '_generic'),
		expected(name, name || '_generic', 'n, total, ids, ids')) AS generic
FROM scenario ORDER BY name;
-- The twins say so, too.
SELECT name, kind, (SELECT count(*) FROM streamproc.verify((name || kind)::regclass)) AS differences,
	differences(format('SELECT window_start, window_end, key, n, total FROM %I', name || kind || '_sql'),
		format('SELECT window_start, window_end, key, n, total FROM sessions(%L, %L, ''6 s'')', name, name || kind)) AS twin
FROM scenario, unnest('{_update,_final}'::text[]) kind WHERE name IN ('late_singles', 'few_pauses', 'same_times') ORDER BY 1, 2;
-- What was late.
CREATE FUNCTION rejected(object text) RETURNS int[] LANGUAGE sql AS $$
	SELECT coalesce(array_agg((row_data->>'id')::int ORDER BY id), '{}') FROM streamproc.dead_letter d WHERE d.name = object::regclass AND reason = 'late'
$$;
SELECT name, cardinality(late) > 0 AS any_late, rejected(name || '_update') = late AS late,
	rejected(name || '_final') = late_15 AS late_15, rejected(name || '_generic') = late_15 AS generic_15
FROM scenario, late_ones(name::regclass, '6 s', '10 s', '0') late, late_ones(name::regclass, '6 s', '10 s', '15 s') late_15
WHERE name IN ('late_singles', 'late', 'few_pauses', 'sorted') ORDER BY name;
-- A detector sees each session once, when nothing amends it any more, as it is in the end.
SELECT name, differences(format('SELECT began, event_time + interval ''1 us'', key, n, total FROM %I', name || '_seen'),
	format('SELECT window_start, window_end, key, n, total FROM %I WHERE window_end + interval ''15 s'' <= (SELECT max(ts) - interval ''10 s'' FROM %I)',
		name || '_final', name)) AS seen
FROM scenario ORDER BY name;
-- In the order of their ends.
SELECT name, count(*) FILTER (WHERE before > event_time) AS out_of_order
FROM (SELECT 'sorted' AS name, event_time, lag(event_time) OVER (ORDER BY lsn, ordinal) AS before FROM sorted_seen
	UNION ALL SELECT 'late_singles', event_time, lag(event_time) OVER (ORDER BY lsn, ordinal) FROM late_singles_seen) s
GROUP BY name ORDER BY name;

-- The same from history: nothing of it is late.
SELECT streamproc.create_window('late_history', 'late', kind => 'session', gap => '6 seconds', keys => '{key}',
	aggregates => '{count(*) AS n, sum(value) AS total}', grace => '15 seconds');
SELECT streamproc.wait_for();
SELECT differences('SELECT window_start, window_end, key, n, total, is_final FROM late_history', expected('late', 'late_history', 'n, total'));
INSERT INTO late SELECT i, 1000 + i, i % 4, i, timestamptz '2026-05-01 00:09:50+00' + i % 100 * interval '700 ms' FROM generate_series(1001, 1300) i;
SELECT streamproc.wait_for();
SELECT differences('SELECT window_start, window_end, key, n, total, is_final FROM late_history', expected('late', 'late_history', 'n, total'));

-- Sessions as the source of a window: each is counted once, by its last microsecond, when nothing amends it any more.
SELECT streamproc.create_window('sessions_by_minute', 'late_singles_final', kind => 'tumbling', size => '1 minute',
	aggregates => '{count(*) AS n, sum(n) AS rows, sum(total) AS total}');
SELECT streamproc.create_window('breaks', 'late_singles_final', kind => 'session', gap => '40 seconds', keys => '{key}',
	aggregates => '{count(*) AS n, sum(n) AS rows}');
SELECT streamproc.wait_for();
INSERT INTO late_singles SELECT i, 1000 + i, i % 4, i, timestamptz '2026-05-01 00:07+00' + i % 300 * interval '700 ms' FROM generate_series(1001, 1600) i;
INSERT INTO late_singles SELECT i, 1000 + i, i % 3, i, timestamptz '2026-05-01 01:00+00' + i * i % 300 * interval '1 s' FROM generate_series(1601, 1700) i;
INSERT INTO late_singles VALUES (2000, 2000, 1, 1, '2026-05-01 02:00+00');
SELECT streamproc.wait_for();
SELECT differences('SELECT window_start, n, rows, total FROM sessions_by_minute',
	'SELECT date_trunc(''minute'', window_end - interval ''1 us''), count(*), sum(n), sum(total) FROM late_singles_final GROUP BY 1') AS tumbling,
	differences('SELECT window_start, window_end, key, n, rows FROM breaks',
	'SELECT min(t), max(t) + interval ''40 s'', key, count(*), sum(n) FROM (
		SELECT *, count(*) FILTER (WHERE goes_on IS NOT TRUE) OVER (PARTITION BY key ORDER BY t) AS session FROM (
			SELECT key, n, window_end - interval ''1 us'' AS t,
				window_end - lag(window_end) OVER (PARTITION BY key ORDER BY window_end) < interval ''40 s'' AS goes_on
			FROM late_singles_final) l) s GROUP BY key, session') AS session,
	(SELECT count(*) FROM streamproc.dead_letter WHERE name IN ('sessions_by_minute'::regclass, 'breaks'::regclass)) AS dead;

-- What throws is one row's fault, whatever it would have bridged; the sum of two sessions may be too much as well.
CREATE TABLE game (LIKE event);
SELECT streamproc.create_stream('game', time_column => 'ts', watermark => '1 minute', idle_timeout => '1 day');
SELECT streamproc.create_window('match', 'game', kind => 'session', gap => '10 seconds', keys => '{key}',
	aggregates => '{count(*) AS n, fair_sum(value) AS total, listed(id) AS ids}');
SELECT streamproc.create_window('big', 'game', kind => 'session', gap => '10 seconds', keys => '{key}',
	aggregates => '{count(*) AS n, sum((value * 10000000000000000)::bigint::float4) AS total, sum(CASE value WHEN 900 THEN 3e38::float4 ELSE 1 END) AS f}');
SELECT streamproc.wait_for();
INSERT INTO game VALUES (1, 1, 1, 5, '2026-05-01 00:00:00+00'), (2, 1, 1, 6, '2026-05-01 00:00:15+00'), (3, 1, 1, 13, '2026-05-01 00:00:08+00');
INSERT INTO game VALUES (4, 2, 1, 7, '2026-05-01 00:00:40+00'), (5, 2, 1, 13, '2026-05-01 00:00:31+00'), (6, 2, 1, 8, '2026-05-01 00:00:22+00'),
	(7, 2, 2, 13, '2026-05-01 00:00:22+00');
INSERT INTO game VALUES (8, 3, 3, 900, '2026-05-01 00:00:00+00'), (9, 3, 3, 900, '2026-05-01 00:00:15+00'), (10, 3, 3, 0, '2026-05-01 00:00:08+00'),
	(11, 3, 3, -900, '2026-05-01 00:00:16+00'), (12, 3, 3, 1, '2026-05-01 00:00:09+00');
SELECT streamproc.wait_for();
SELECT window_start, window_end, key, n, total, ids FROM match ORDER BY key, window_start;
SELECT window_start, window_end, key, n, f FROM big ORDER BY key, window_start;
SELECT name, row_data->>'id' AS id, reason, message FROM streamproc.dead_letter WHERE source = 'game'::regclass ORDER BY name::text, id;

-- Bad input.
SELECT streamproc.create_window('x', 'game', kind => 'session', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('x', 'game', kind => 'session', gap => '0', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('x', 'game', kind => 'session', gap => '1 month', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('x', 'game', kind => 'session', gap => '1 minute', size => '1 hour', aggregates => '{count(*) AS n}');

SET client_min_messages = warning;
DO $$
DECLARE
	s record;
BEGIN
	FOR s IN SELECT name FROM scenario LOOP
		PERFORM streamproc.drop_stream(s.name::regclass, cascade => true);
	END LOOP;
	PERFORM streamproc.drop_stream('game', cascade => true);
END $$;
DROP SCHEMA session_test CASCADE;
