--
-- Time: what is final, what is late, and what event times do to the watermark, against a simulation row by row.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA time_test;
SET search_path = time_test, public;

-- Rows were committed in order of id, all of one txn together. Times are without zone here, windows are of that size.
CREATE TABLE simulated (id int, window_start timestamp, fate text);
CREATE FUNCTION simulate(source text, size interval, watermark interval, grace interval) RETURNS timestamp LANGUAGE plpgsql AS $$
DECLARE
	r record;
	newest timestamp;		-- as of the last commit
	seen timestamp;			-- with the rows of this one
	closed timestamp;
	txn int;
	w timestamp;
	w_end timestamp;
BEGIN
	TRUNCATE simulated;
	FOR r IN EXECUTE format('SELECT id, ts, txn, future FROM %s ORDER BY id', source) LOOP
		IF r.txn IS DISTINCT FROM txn THEN
			newest := seen;
			closed := newest - watermark;
			txn := r.txn;
		END IF;
		CONTINUE WHEN r.ts IS NULL;
		w := CASE WHEN isfinite(r.ts) THEN date_bin(size, r.ts, '2000-01-03') ELSE r.ts END;
		w_end := CASE WHEN isfinite(r.ts) THEN w + size ELSE w END;
		INSERT INTO simulated VALUES (r.id, w, CASE
			WHEN r.ts <= newest AND CASE WHEN isfinite(w_end) THEN w_end + grace ELSE w_end END <= closed THEN 'late' ELSE 'taken' END);
		IF NOT r.future AND isfinite(r.ts) THEN
			seen := greatest(seen, r.ts);
		END IF;
	END LOOP;
	RETURN seen - watermark;
END $$;

-- In disorder, some far behind, some ahead of all clocks, some at no time, and many at exact boundaries.
CREATE VIEW some_rows AS
SELECT i AS id, i % 101 IN (6, 8) AS future, CASE
	WHEN i % 101 = 5 THEN NULL WHEN i % 101 = 6 THEN 'infinity' WHEN i % 101 = 7 THEN '-infinity'
	WHEN i % 101 = 8 THEN '3026-01-01 00:00:30'::timestamp WHEN i % 101 = 9 THEN '0044-03-15 11:59:59.999999 BC'
	WHEN i % 7 = 0 THEN date_trunc('minute', '2020-01-01 10:00'::timestamp + i * interval '0.9 seconds') - i % 3 * interval '1 microsecond'
	ELSE '2020-01-01 10:00'::timestamp + i * interval '0.9 seconds' - (i * 7919::bigint % 50) * interval '1 second'
		- (i % 29 / 28) * (i * 7907::bigint % 400) * interval '1 second' END AS ts,
	i - i % (i / 100 % 11 + 1) AS txn
FROM generate_series(1, 3000) i;
CREATE TABLE rows_of (id int, ts timestamp, txn int, future boolean);
INSERT INTO rows_of SELECT id, ts, txn, future FROM some_rows;

-- The same in three types: days take the place of minutes in the last one.
CREATE TABLE instant (id int, ts timestamptz, txn int, future boolean);
CREATE TABLE local (LIKE rows_of);
CREATE TABLE daily (id int, ts date, txn int, future boolean);
CREATE PROCEDURE insert_rows(target regclass, ts text) LANGUAGE plpgsql AS $$
DECLARE
	t int;
BEGIN
	FOR t IN SELECT DISTINCT txn FROM time_test.rows_of ORDER BY 1 LOOP
		EXECUTE format('INSERT INTO %s SELECT id, %s, txn, future FROM time_test.rows_of r WHERE txn = %s ORDER BY id', target, ts, t);
		COMMIT;
	END LOOP;
END $$;
CREATE FUNCTION to_day(ts timestamp) RETURNS date LANGUAGE sql AS $$
	SELECT CASE WHEN isfinite(ts) AND ts BETWEEN '2020-01-01' AND '2020-01-03' THEN
		'2020-01-01'::date + (extract(epoch FROM ts - '2020-01-01 10:00') / 60)::int ELSE ts::date END
$$;
SELECT streamproc.create_stream('instant', 'ts', watermark => '20 seconds', idle_timeout => '1 day');
SELECT streamproc.create_stream('local', 'ts', watermark => '20 seconds', idle_timeout => '1 day', time_zone => 'Europe/Berlin');
SELECT streamproc.create_stream('daily', 'ts', watermark => '1 day', idle_timeout => '1 day', late => 'drop');
SELECT streamproc.create_window(s || '_strict', s::regclass, kind => 'tumbling', size => CASE s WHEN 'daily' THEN '1 day' ELSE '1 minute' END::interval,
	aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids']) FROM unnest('{instant, local, daily}'::text[]) s;
SELECT streamproc.create_window(s || '_kind', s::regclass, kind => 'tumbling', size => CASE s WHEN 'daily' THEN '1 day' ELSE '1 minute' END::interval,
	grace => CASE s WHEN 'daily' THEN '2 days' ELSE '90 seconds' END::interval,
	aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids']) FROM unnest('{instant, local, daily}'::text[]) s;
SELECT streamproc.create_window(s || '_final', s::regclass, kind => 'tumbling', size => CASE s WHEN 'daily' THEN '1 day' ELSE '1 minute' END::interval,
	emit => 'final', aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids']) FROM unnest('{instant, local, daily}'::text[]) s;
-- windows may have watermarks of their own, ahead of their stream's or behind
SELECT streamproc.create_window('instant_eager', 'instant', kind => 'tumbling', size => '1 minute', watermark => '0',
	aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids']);
SELECT streamproc.create_window('instant_patient', 'instant', kind => 'tumbling', size => '1 minute', watermark => '2 minutes',
	grace => '10 seconds', aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids']);
SELECT streamproc.wait_for();
CALL insert_rows('instant', 'ts AT TIME ZONE ''UTC''');
CALL insert_rows('local', 'ts');
CALL insert_rows('daily', 'time_test.to_day(ts)');
SELECT streamproc.wait_for();

-- How many windows there are, and how many of them are wrong.
CREATE FUNCTION compare(result text, source text, size interval, watermark interval, grace interval, only_final boolean = false)
RETURNS TABLE (windows boolean, wrong bigint, late_rows boolean, watermark_ok boolean) LANGUAGE plpgsql AS $$
DECLARE
	closed timestamp := simulate(source, size, watermark, grace);
BEGIN
	RETURN QUERY EXECUTE format($q$
		WITH o AS (SELECT s.window_start, count(*) AS n, sum(id) AS ids,
				CASE WHEN isfinite(s.window_start) THEN s.window_start + %4$L::interval ELSE s.window_start END <= %2$L::timestamp AS is_final
			FROM simulated s WHERE fate = 'taken' GROUP BY 1),
		w AS (SELECT %5$s AS window_start, n, ids, is_final FROM %1$I)
		SELECT count(*) > 30, count(*) FILTER (WHERE (o.n, o.ids, o.is_final) IS DISTINCT FROM (w.n, w.ids, w.is_final)),
			(SELECT late = (SELECT count(*) FROM simulated WHERE fate = 'late') AND late > 10 FROM streamproc.status WHERE name = %1$L::regclass),
			(SELECT watermark = %6$s FROM streamproc.status WHERE name = %1$L::regclass)
		FROM o FULL JOIN w USING (window_start) WHERE NOT %3$L::boolean OR coalesce(w.is_final, o.is_final)$q$,
		result, closed, only_final, size,
		CASE WHEN result LIKE 'instant%' THEN 'window_start AT TIME ZONE ''UTC''' ELSE 'window_start::timestamp' END,
		format('%L::timestamp AT TIME ZONE %L', closed, CASE WHEN result LIKE 'local%' THEN 'Europe/Berlin' ELSE 'UTC' END));
END $$;
SELECT r.r, c.* FROM unnest('{instant, local}'::text[]) s, unnest(ARRAY[s || '_strict', s || '_kind', s || '_final']) r(r),
	compare(r.r, 'rows_of', '1 minute', '20 seconds', CASE WHEN r.r LIKE '%kind' THEN '90 seconds' ELSE '0' END::interval, r.r LIKE '%final') c;
SELECT 'instant_eager' AS r, * FROM compare('instant_eager', 'rows_of', '1 minute', '0', '0')
UNION ALL SELECT 'instant_patient', * FROM compare('instant_patient', 'rows_of', '1 minute', '2 minutes', '10 seconds');
CREATE VIEW rows_of_days AS SELECT id, to_day(ts)::timestamp AS ts, txn, future FROM rows_of;
SELECT r.r, c.* FROM unnest('{daily_strict, daily_kind, daily_final}'::text[]) r(r),
	compare(r.r, 'rows_of_days', '1 day', '1 day', CASE WHEN r.r LIKE '%kind' THEN '2 days' ELSE '0' END::interval, r.r LIKE '%final') c;
SELECT max(revision) > 1 AS amended FROM instant_kind WHERE is_final;

-- Late rows and those without a time are dead letters, or only counted.
SELECT simulate('rows_of', '1 minute', '20 seconds', '0');
SELECT count(*) AS wrong FROM (SELECT (row_data->>'id')::int AS id FROM streamproc.dead_letter WHERE name = 'instant_strict'::regclass AND reason = 'late') d
	FULL JOIN (SELECT id FROM simulated WHERE fate = 'late') s USING (id) WHERE d.id IS NULL OR s.id IS NULL;
SELECT count(*) AS wrong FROM (SELECT (row_data->>'id')::int AS id FROM streamproc.dead_letter WHERE name = 'instant'::regclass AND reason = 'null_time') d
	FULL JOIN (SELECT id FROM rows_of WHERE ts IS NULL) s USING (id) WHERE d.id IS NULL OR s.id IS NULL;
SELECT DISTINCT reason FROM streamproc.dead_letter WHERE source = 'daily'::regclass;
SELECT * FROM streamproc.verify('instant_strict');
SELECT * FROM streamproc.verify('instant_kind');
SELECT * FROM streamproc.verify('instant_eager');
SELECT * FROM streamproc.verify('instant_patient');
SELECT * FROM streamproc.verify('local_strict');
SELECT * FROM streamproc.verify('local_final');
SELECT DISTINCT explained_by FROM streamproc.verify('daily_strict');

-- The same rows in one transaction: none is late against the others, and the watermark is where it was.
CREATE TABLE at_once (LIKE rows_of);
SELECT streamproc.create_stream('at_once', 'ts', watermark => '20 seconds', idle_timeout => '1 day', time_zone => 'Asia/Tokyo');
SELECT streamproc.create_window('at_once_minute', 'at_once', kind => 'tumbling', size => '1 minute',
	aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids']);
SELECT streamproc.wait_for();
INSERT INTO at_once SELECT * FROM rows_of;
SELECT streamproc.wait_for();
SELECT count(*) FILTER (WHERE is_final) > 30 AS final, sum(n) = (SELECT count(ts) FROM rows_of) AS all FROM at_once_minute;
SELECT a.watermark AT TIME ZONE 'Asia/Tokyo' = i.watermark AT TIME ZONE 'UTC' AS same, a.late
FROM streamproc.status a, streamproc.status i WHERE a.name = 'at_once_minute'::regclass AND i.name = 'instant'::regclass;
SELECT * FROM streamproc.verify('at_once_minute');

-- A row may be max_future ahead of its commit. What is further ahead counts, and moves nothing; -infinity neither.
CREATE TABLE ahead (id int, ts timestamptz);
SELECT streamproc.create_stream('ahead', 'ts', watermark => '0', idle_timeout => '1 day', max_future => '1 hour');
SELECT streamproc.create_window('ahead_minute', 'ahead', kind => 'tumbling', size => '1 minute', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('ahead_total', 'ahead', kind => 'global', aggregates => ARRAY['count(*) AS n', 'min(ts) AS first', 'max(ts) AS last']);
SELECT streamproc.create_detector('ahead_all', 'ahead', method => 'rule', rules => ARRAY['true AS "Here"'], carry => ARRAY['id AS event_id']);
SELECT streamproc.wait_for();
INSERT INTO ahead VALUES (1, 'infinity'), (2, '-infinity'), (3, now() + interval '2 hours'), (4, '0044-03-15 BC'), (5, '294276-12-31 23:59:59.999999');
SELECT streamproc.wait_for();
SELECT watermark FROM streamproc.status WHERE name = 'ahead_minute'::regclass;
INSERT INTO ahead VALUES (6, '-infinity'), (7, '4713-01-01 BC');
SELECT streamproc.wait_for();
SELECT watermark FROM streamproc.status WHERE name = 'ahead_minute'::regclass;
INSERT INTO ahead VALUES (8, now() + interval '59 minutes');
SELECT streamproc.wait_for();
SELECT s.watermark = ts AS at_row_8 FROM streamproc.status s, ahead WHERE name = 'ahead_minute'::regclass AND id = 8;
SELECT count(*) AS windows, count(*) FILTER (WHERE is_final) AS final, sum(n) AS n FROM ahead_minute;
INSERT INTO ahead VALUES (9, now()), (10, '-infinity'), (11, now() + interval '3 hours'), (12, 'infinity');
SELECT streamproc.wait_for();
SELECT row_data->>'id' AS id, reason FROM streamproc.dead_letter WHERE name = 'ahead_minute'::regclass ORDER BY streamproc.dead_letter.id;
SELECT n, first, last FROM ahead_total;
SELECT count(DISTINCT event_id) FROM ahead_all;
SELECT window_start, n, is_final FROM ahead_minute WHERE NOT isfinite(window_start) OR window_start NOT BETWEEN '2020-01-01' AND '3000-01-01' ORDER BY 1;
SELECT * FROM streamproc.verify('ahead_minute');
SELECT * FROM streamproc.verify('ahead_total');

-- Windows of any kind, by times that are none, or at the ends of what there is.
CREATE TABLE strange (id int, ts timestamptz);
SELECT streamproc.create_stream('strange', 'ts', watermark => '10 seconds', idle_timeout => '1 day');
SELECT streamproc.create_window('strange_tumbling', 'strange', kind => 'tumbling', size => '1 hour', fill => 'zero', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('strange_hopping', 'strange', kind => 'hopping', size => '1 minute', slide => '20 seconds', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('strange_filled', 'strange', kind => 'hopping', size => '2 hours', slide => '1 hour', fill => 'zero', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('strange_hops', 'strange', kind => 'hopping', size => '1 minute', slide => '20 seconds', emit => 'update', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('strange_cumulative', 'strange', kind => 'cumulative', size => '1 minute', slide => '20 seconds', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('strange_steps', 'strange', kind => 'cumulative', size => '1 minute', slide => '20 seconds', emit => 'update', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('strange_sliding', 'strange', kind => 'sliding', size => '1 hour', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('strange_above', 'strange_tumbling', kind => 'hopping', size => '3 hours', slide => '1 hour', aggregates => ARRAY['sum(n) AS n']);
SELECT streamproc.wait_for();
INSERT INTO strange VALUES (1, '-infinity'), (2, '2020-01-01 10:00:10+00'), (3, 'infinity'), (4, '294276-12-31 23:59:59.999999'), (5, '4713-01-01 BC');
SELECT streamproc.wait_for();
INSERT INTO strange VALUES (6, '-infinity'), (7, '2020-01-01 11:00:10+00'), (8, 'infinity'), (9, '4713-01-01 BC');
SELECT streamproc.wait_for();
SELECT row_data->>'id' AS id, name, reason FROM streamproc.dead_letter
WHERE source = 'strange'::regclass ORDER BY 1, name::text COLLATE "C", 3;
SELECT count(*), sum(n) FROM strange_tumbling;
SELECT window_start, window_end, n, is_final FROM strange_hopping ORDER BY 1;
SELECT window_start, window_end, n, is_final FROM strange_hops WHERE NOT isfinite(window_end) ORDER BY 1;
SELECT window_start, window_end, n FROM strange_sliding ORDER BY 1;
SELECT r, v.* FROM unnest('{strange_tumbling, strange_hopping, strange_filled, strange_hops, strange_cumulative, strange_steps, strange_sliding, strange_above}'::regclass[]) r,
	streamproc.verify(r) v;

-- By commit time rows are on time, and NULLs are no times.
CREATE TABLE note (ts timestamptz);
SELECT streamproc.create_stream('note', watermark => '0', idle_timeout => '1 day');
SELECT streamproc.create_window('note_all', 'note', kind => 'tumbling', size => '1000 years', aggregates => ARRAY['count(*) AS n', 'count(ts) AS n_ts']);
SELECT streamproc.create_detector('note_seen', 'note', method => 'rule', rules => ARRAY['true AS "Here"']);
SELECT streamproc.wait_for();
INSERT INTO note VALUES (NULL), ('infinity'), ('1000-01-01 BC');
INSERT INTO note VALUES ('3000-01-01');
SELECT streamproc.wait_for();
SELECT window_start, n, n_ts, is_final FROM note_all;
SELECT count(*), bool_and(event_time BETWEEN now() - interval '1 hour' AND now()) AS now FROM note_seen;
SELECT late, rejected, watermark BETWEEN now() - interval '1 hour' AND now() AS now FROM streamproc.status WHERE name = 'note_all'::regclass;

SET client_min_messages = warning;
DROP SCHEMA time_test CASCADE;
