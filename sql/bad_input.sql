--
-- What the verbs are given and can't take: one clear error, at once, and nothing left behind.
-- create_stream, create_window and create_detector have files of their own for what each parameter may be.
--
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE SCHEMA bad_input;
SET search_path = bad_input, public;
CREATE TYPE pair AS (a int, b text);
CREATE TABLE event (id bigint NOT NULL, key text, v int, f float8, pair pair, doc json, ts timestamptz);
SELECT streamproc.create_stream('event', 'ts', watermark => '0');
\set QUIET on
\pset format unaligned
\pset tuples_only on

-- All that an attempt could leave behind.
CREATE VIEW traces AS SELECT (SELECT count(*) FROM pg_class) AS relations, (SELECT count(*) FROM pg_depend) AS dependencies,
	(SELECT count(*) FROM pg_trigger) AS triggers, (SELECT count(*) FROM streamproc.stream) AS streams,
	(SELECT count(*) FROM streamproc.window_definition) AS windows, (SELECT count(*) FROM streamproc.detector_definition) AS detectors,
	(SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND mode ~ 'Exclusive' AND mode <> 'RowExclusiveLock' AND locktype = 'relation') AS locks;
CREATE FUNCTION attempt(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	before text := (SELECT t::text FROM traces t);
	message text;
	detail text;
	hint text;
BEGIN
	EXECUTE 'SELECT streamproc.' || call;
	RAISE EXCEPTION USING MESSAGE = 'worked, and is undone';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n    ', SQLSTATE || ' ' || message, nullif(detail, ''), nullif(hint, ''),
		CASE WHEN before <> (SELECT t::text FROM traces t) THEN 'left behind: ' || before || ', now ' || (SELECT t::text FROM traces t) END);
END $$;
-- A window, with some arguments of one's own.
CREATE FUNCTION window_with(arguments text, kind text = 'tumbling') RETURNS text LANGUAGE sql AS $$
	SELECT arguments || E'\n  ' || attempt(format('create_window(%s, source => ''event'', kind => %L%s)',
		CASE WHEN arguments ~ 'name =>' THEN arguments ELSE 'name => ''w'', ' || arguments END, kind,
		CASE WHEN kind IN ('tumbling', 'sliding') AND arguments !~ '\msize =>' THEN ', size => ''1 minute''' ELSE '' END
		|| CASE WHEN arguments ~ 'aggregates =>' THEN '' ELSE ', aggregates => ''{count(*) AS n}''' END)) $$;

-- lengths of time
SELECT window_with(a) FROM unnest(ARRAY['size => ''300000 years''', 'size => ''-1 hour''', 'size => ''200000000 days''', 'size => ''-178000000 years''',
	'grace => ''-178000000 years''', 'grace => interval ''-2147483648 days -1000000 hours''', 'retention => ''300000 years''', 'trigger => ''1 month''']) a;
SELECT window_with('size => ''290000 years''');
SELECT window_with('size => ''178000000 years'', slide => ''178000000 years''', 'hopping');

-- what is no value of one row
SELECT window_with('keys => ' || quote_literal(ARRAY[k])) FROM unnest(ARRAY['(SELECT 1) AS k', 'EXISTS (SELECT) AS k', 'generate_series(1, v) AS k', 'row_number() OVER () AS k',
	'max(v) AS k', 'event AS k', 'ctid', 'tableoid AS k', 'random() AS k', 'clock_timestamp() AS k', 'CURRENT_DATE AS k', 'current_user AS k', 'session_user AS k',
	'current_setting(''work_mem'') AS k', 'current_setting(''my.tenant'', true) AS k', 'inet_client_addr() AS k', 'pg_backend_pid() AS k', 'pg_column_size(doc) AS k',
	'pg_postmaster_start_time() AS k']) k;
SELECT window_with('filter => ' || quote_literal(f)) FROM unnest(ARRAY['current_setting(''my.limit'')::int < v', 'pg_column_compression(key) IS NULL', 'v > (SELECT 1)', 'event IS NOT NULL']) f;
SELECT window_with('aggregates => ' || quote_literal(ARRAY[a])) FROM unnest(ARRAY['sum((SELECT 1)) AS x', 'sum(v) FILTER (WHERE now() > ts) AS x', 'max(current_setting(''work_mem'')) AS x']) a;
-- types that can't be keys, or no column's
SELECT window_with('keys => ' || quote_literal(ARRAY[k])) FROM unnest(ARRAY['doc', 'ARRAY[doc] AS k', 'point(f, f) AS k', 'f::text::xml AS k', 'v::bit(8) AS k', 'ROW(v, key) AS k']) k;
SELECT window_with('aggregates => ' || quote_literal(ARRAY['array_agg(ROW(v, key)) AS x']));
SELECT window_with('carry => ' || quote_literal(ARRAY[c]), 'sliding') FROM unnest(ARRAY['ROW(v, key) AS x', '''x''::cstring AS x']) c;
SELECT attempt($$create_detector('d', 'event', 'rule', rules => '{v > 1 AS a}', carry => '{"ROW(v, key) AS x"}')$$);
-- constants that no row can mend
SELECT window_with('aggregates => ' || quote_literal(ARRAY[a])) FROM unnest(ARRAY['percentile_cont(2) WITHIN GROUP (ORDER BY f) AS x', 'percentile_disc(-0.1) WITHIN GROUP (ORDER BY key) AS x',
	'percentile_cont(''NaN'') WITHIN GROUP (ORDER BY f) AS x', 'max(1 / 0) AS x',
	'percentile_cont(ARRAY[0.5, 7]) WITHIN GROUP (ORDER BY f) AS x', 'percentile_disc(''{NULL, -0.1}''::float8[]) WITHIN GROUP (ORDER BY key) AS x',
	'percentile_cont(ARRAY[0.1, ''NaN'']) WITHIN GROUP (ORDER BY f * interval ''1 s'') AS x',
	'percentile_cont(ARRAY[ARRAY[0, 1], ARRAY[1, 1.01]]) WITHIN GROUP (ORDER BY f) AS x']) a;
SELECT window_with('group_filter => ' || quote_literal('percentile_cont(1.5) WITHIN GROUP (ORDER BY f) > 1'));

-- too many
SELECT regexp_replace(window_with('keys => ARRAY(SELECT ''v AS k'' || i FROM generate_series(1, ' || n || ') i)', kind), '^[^\n]*\n', '')
	FROM (VALUES (32, 'tumbling'), (33, 'global'), (33, 'sliding')) v (n, kind);
SELECT regexp_replace(window_with('aggregates => ARRAY(SELECT ''count(*) AS n'' || i FROM generate_series(1, ' || n || ') i)'), '^[^\n]*\n', '') FROM unnest(ARRAY[1100, 1600]) n;
SELECT left(attempt(format('create_window(%L, ''event'', ''global'')', repeat('x y ', 100000))), 300);
SELECT left(attempt(format('create_window(''w'', ''event'', %L)', repeat('ä', 100000))), 300);
SELECT left(attempt(format('create_stream(''event'', time_zone => %L)', repeat('ä', 100000))), 300);

-- names: of the extension, taken, and taken by what stands beside a window
CREATE TABLE taken_sql ();
CREATE TABLE taken_changes ();
CREATE TYPE typename AS ENUM ();
SELECT window_with('name => ''streamproc.w''');
SELECT attempt($$create_detector('streamproc.d', 'event', 'rule', rules => '{v > 1 AS a}')$$);
SELECT window_with('name => ''' || n || ''', changes => true') FROM unnest(ARRAY['taken', 'taken_sql', 'typename', 'pg_temp.w', 'information_schema.tables']) n;
DROP TABLE taken_sql;
SELECT window_with('name => ''taken'', changes => true');
DROP TABLE taken_changes;
-- Those that work: of 63 bytes, with quotes, and so on; nothing of theirs is left after the drop.
CREATE FUNCTION use_name(quoted text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	results regclass := streamproc.create_window(quoted, 'event', 'tumbling', size => '1 minute', keys => ARRAY['key AS "key ""of"" it"'],
		aggregates => ARRAY['count(*) AS "number, how many"'], changes => true);
	watcher regclass := streamproc.create_detector(left(quoted, -1) || '!"', results, 'rule', rules => ARRAY['"number, how many" > 0 AS "''any"']);
	names text;
BEGIN
	SELECT concat_ws(' ', octet_length(c.relname), octet_length(t.relname), octet_length(f.relname), results <> watcher,
			(SELECT count(*) FROM streamproc.verify(results)))
		INTO names FROM streamproc.window_definition d, pg_class c, pg_class t, pg_class f
		WHERE d.relation = results AND c.oid = d.relation AND t.oid = d.twin AND f.oid = d.changes;
	PERFORM streamproc.drop_window(results, cascade => true);
	RETURN names;
END $$;
SELECT t::text AS before FROM traces t \gset
SELECT use_name(n) FROM unnest(ARRAY['"Two words"', '"a ""quoted"" one"', '"select"', '"' || repeat('n', 60) || '"', '"' || repeat('ä', 30) || '"', '"''; DROP TABLE event; --"', '"%s%n\"']) n;
SELECT :'before' = t::text FROM traces t;
-- Two long names whose twins would have the same one.
SELECT left(streamproc.create_window(repeat('n', 63), 'event', 'global', aggregates => '{count(*) AS n}')::text, 5);
SELECT window_with('name => repeat(''n'', 62)', 'global');
SELECT streamproc.drop_window(repeat('n', 63));

-- what can't be a source
CREATE MATERIALIZED VIEW matview AS SELECT now() AS ts;
CREATE SEQUENCE seq;
CREATE FOREIGN DATA WRAPPER bad_input_wrapper;
CREATE SERVER bad_input_server FOREIGN DATA WRAPPER bad_input_wrapper;
CREATE FOREIGN TABLE afar (ts timestamptz) SERVER bad_input_server;
CREATE TABLE parted (ts timestamptz) PARTITION BY RANGE (ts);
CREATE FOREIGN TABLE parted_afar PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') SERVER bad_input_server;
CREATE TEMP TABLE passing (ts timestamptz);
SELECT r || ': ' || attempt(format('create_stream(%L)', r)) FROM unnest(ARRAY['matview', 'seq', 'pair', 'afar', 'parted', 'passing', 'traces', 'event_sql']) r;
SELECT r || ': ' || attempt(format('create_window(''w'', %L, ''global'', aggregates => ''{count(*) AS n}'')', r)) FROM unnest(ARRAY['matview', 'seq', 'passing', 'traces', 'pg_class']) r;
SELECT v || ': ' || attempt(v || '(''afar'')') FROM unnest(ARRAY['drop_stream', 'drop_window', 'drop_detector', 'pause', 'resume', 'verify']) v;
DROP SERVER bad_input_server CASCADE;
DROP FOREIGN DATA WRAPPER bad_input_wrapper;

-- a transaction that fails leaves nothing
BEGIN;
SELECT streamproc.create_window('w', 'event', 'global', aggregates => '{count(*) AS n}', changes => true);
SELECT streamproc.create_detector('d', 'w', 'rule', rules => '{n > 1 AS many}', sample => 'update');
SELECT 1 / 0;
COMMIT;
SELECT count(*) FROM streamproc.window_definition WHERE source = 'event'::regclass;

-- the functions for plain SQL
SELECT attempt(f) FROM unnest(ARRAY['tumble(now(), ''-1 day'')', 'tumble(now(), ''1 day 1 hour'')', 'tumble(now(), ''1 day'', ''infinity'')', 'hop(now(), ''2 days'', ''1 day'')',
	'hop(now(), ''0'', ''1 day'')', 'cumulate(now(), ''2 days'', ''1 day'')', 'tumble(now(), ''1 day'', NULL, ''Mars'')', 'tumble(current_date, ''1 hour'')',
	'session_start(now(), ''1 month'') OVER ()', 'session_start(now(), ''-178000000 years'') OVER ()', 'is_duplicate(now(), ''1 month'') OVER ()', 'is_duplicate(now(), ''-1 second'') OVER ()',
	'is_duplicate(now(), NULL) OVER ()', 'is_duplicate(now() - i * interval ''1 day'', ''1 hour'') OVER (ORDER BY i) FROM generate_series(1, 2) i',
	'session_start(now() - i * interval ''1 day'', ''1 hour'') OVER (ORDER BY i) FROM generate_series(1, 2) i']) f;
\pset format aligned
\pset tuples_only off

-- A key that no index takes is its row's affair: the others have their results.
SELECT streamproc.create_window('by_key', 'event', 'tumbling', size => '1 hour', keys => '{key}', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('total_by_key', 'event', 'global', keys => '{key,"upper(key) AS upper"}', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('each', 'event', 'sliding', size => '1 hour', keys => '{key}', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('hops', 'event', 'hopping', size => '1 hour', slide => '30 minutes', keys => '{key}', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('visits', 'event', 'session', gap => '10 minutes', keys => '{key}', aggregates => '{count(*) AS n}');
INSERT INTO event SELECT i, (SELECT string_agg(md5(i || ':' || j), '') FROM generate_series(1, len / 32) j), 1, 1, NULL, NULL,
		'2026-01-01 10:00+00'::timestamptz + i * interval '1 minute'
	FROM (VALUES (1, 32), (2, 1280), (3, 2560), (4, 2592), (5, 2624), (6, 100000), (7, 64)) v (i, len);
INSERT INTO event VALUES (8, NULL, 1, 1, NULL, NULL, '2026-01-01 10:08+00'), (9, repeat('x', 1000000), 1, 1, NULL, NULL, '2026-01-01 10:09+00'),
	(10, 'last', 1, 1, NULL, NULL, '2026-01-01 13:00+00');
SELECT streamproc.wait_for();
SELECT coalesce(length(key), -1) AS length, n FROM by_key ORDER BY window_start, length;
SELECT coalesce(length(key), -1) AS length, n FROM total_by_key ORDER BY length;
SELECT coalesce(length(key), -1) AS length, n FROM each ORDER BY window_end, length;
SELECT name, reason, sqlstate, message, length(row_data->>'key') AS length FROM streamproc.dead_letter
	WHERE name IN ('by_key'::regclass, 'total_by_key'::regclass, 'each'::regclass) ORDER BY name::text, id;
SELECT name, state, reason, rows, rejected FROM streamproc.status WHERE source = 'event'::regclass ORDER BY name::text;
SELECT w, (SELECT count(*) FROM streamproc.verify(w)) AS differences FROM unnest('{by_key,total_by_key,each,hops,visits}'::regclass[]) w;

DROP SCHEMA bad_input CASCADE;
