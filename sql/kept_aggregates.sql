-- Aggregates that keep their rows (DISTINCT, ORDER BY, WITHIN GROUP, states that can't be
-- saved) give what plain SQL gives for the same rows in the same order: through many
-- commits, rows that fail in the middle of a transaction, and a restart of the worker.
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET client_min_messages = warning;
CREATE SCHEMA kept_aggregates;
SET search_path = kept_aggregates;

CREATE TYPE point3 AS (x int, y numeric, z text);
CREATE TABLE reading (id int, grp text, i int, n numeric, f float8, t text, b boolean, u uuid,
	doc jsonb, place point3, at timestamptz);
SELECT streamproc.create_stream('reading', 'at', watermark => '1 hour');

-- Aggregates of users' own: transitions in SQL and plpgsql, polymorphic ones, without and
-- with a combine or an inverse function, over an array, and ordered-set ones.
CREATE FUNCTION add_sql(numeric, numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS
	'SELECT coalesce($1, 0) * 1.01 + coalesce($2, -1)';
CREATE AGGREGATE weighed(numeric) (SFUNC = add_sql, STYPE = numeric);
CREATE FUNCTION add_plpgsql(state text, value anyelement, separator text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	RETURN coalesce(state || separator, '') || coalesce(value::text, '-');
END $$;
CREATE AGGREGATE joined(anyelement, text) (SFUNC = add_plpgsql, STYPE = text);
CREATE FUNCTION first_of(anyelement, anyelement) RETURNS anyelement LANGUAGE sql IMMUTABLE STRICT AS
	'SELECT $1';
CREATE AGGREGATE earliest(anyelement) (SFUNC = first_of, STYPE = anyelement);
CREATE AGGREGATE own_percentile(float8 ORDER BY anyelement) (SFUNC = ordered_set_transition, STYPE = internal,
	FINALFUNC = percentile_disc_final, FINALFUNC_EXTRA, FINALFUNC_MODIFY = READ_WRITE);

-- A window for each list of aggregates; what it must be is a query over the table.
CREATE TABLE expected (name text, query text);
CREATE FUNCTION watch(name text, aggregates text[], kind text = 'tumbling', filter text = 'true') RETURNS void
	LANGUAGE plpgsql AS $$
BEGIN
	PERFORM streamproc.create_window(name, 'reading', kind, size => CASE kind WHEN 'tumbling' THEN interval '1 hour' END,
		keys => '{grp}', aggregates => aggregates, filter => filter);
	INSERT INTO expected VALUES (name, format($q$
		SELECT k.*, x.* FROM (SELECT DISTINCT %1$s AS hour, grp FROM reading WHERE %3$s) k CROSS JOIN LATERAL
			(SELECT %2$s FROM (SELECT * FROM reading r WHERE %1$s IS NOT DISTINCT FROM k.hour AND r.grp = k.grp AND %3$s
				AND i IS DISTINCT FROM 0 ORDER BY id) r) x$q$,
		CASE kind WHEN 'tumbling' THEN 'date_trunc(''hour'', at)' ELSE 'NULL' END, array_to_string(aggregates, ', '), filter));
END $$;
-- Later versions sort the rows once for several aggregates, which those without ORDER BY see, too.
DO $$ BEGIN PERFORM set_config(name, 'off', false) FROM pg_settings WHERE name = 'enable_presorted_aggregate'; END $$;
-- How many rows differ, compared as text: json and xml have no equality.
CREATE FUNCTION differences() RETURNS TABLE (name text, nrows bigint, differing bigint) LANGUAGE plpgsql AS $$
DECLARE
	e expected;
BEGIN
	FOR e IN TABLE expected ORDER BY 1 LOOP
		RETURN QUERY EXECUTE format($q$
			WITH result AS (SELECT (to_jsonb(r) - '{window_start,window_end,is_final,revision}'::text[])::text
					|| coalesce(to_jsonb(r) ->> 'window_start', '') AS image FROM %1$I r),
				expected AS (SELECT (to_jsonb(r) - 'hour')::text
					|| coalesce(to_jsonb(r) ->> 'hour', '') AS image FROM (%2$s) r)
			SELECT %1$L, (SELECT count(*) FROM expected),
				(SELECT count(*) FROM ((TABLE result EXCEPT ALL TABLE expected) UNION ALL
					(TABLE expected EXCEPT ALL TABLE result)) d)$q$, e.name, e.query);
	END LOOP;
END $$;

SELECT watch('different', ARRAY['count(DISTINCT i) AS ints', 'count(DISTINCT n) AS numerics', 'count(DISTINCT f) AS floats',
	'count(DISTINCT t) AS texts', 'count(DISTINCT u) AS uuids', 'count(DISTINCT (i, t)) AS pairs',
	'count(DISTINCT b) FILTER (WHERE i > 3) AS flags', 'sum(DISTINCT i) AS sum_i', 'avg(DISTINCT i) AS avg_i',
	'variance(DISTINCT i) AS var_i', 'sum(DISTINCT f) AS sum_f', 'stddev(DISTINCT n) AS sd_n',
	'max(DISTINCT i) AS max_i', 'array_agg(DISTINCT t) AS array_t', 'string_agg(DISTINCT t, ''+'') AS string_t',
	'array_agg(DISTINCT i ORDER BY i DESC NULLS LAST) AS array_i', 'count(DISTINCT place) AS places',
	'count(DISTINCT t COLLATE "C") AS texts_c', 'count(DISTINCT doc) AS docs']);
SELECT watch('ordered', ARRAY['array_agg(t ORDER BY i DESC, id) AS by_i', 'array_agg(id ORDER BY t COLLATE "C", n NULLS FIRST, id) AS by_t',
	'string_agg(t, ''-'' ORDER BY f, id) FILTER (WHERE b) AS chain', 'sum(f ORDER BY f) AS sum_f', 'sum(i ORDER BY f) AS sum_i',
	'count(i ORDER BY f) AS n', 'array_agg(n * 2 ORDER BY abs(i - 5), id) AS twice', 'array_agg(place ORDER BY id) AS places',
	'json_agg(ROW(i, t) ORDER BY id) FILTER (WHERE i < 3) AS "rows"', 'json_agg(t ORDER BY id DESC) AS json_t']);
SELECT watch('sorted', ARRAY['percentile_cont(0.5) WITHIN GROUP (ORDER BY f) AS median',
	'percentile_cont(ARRAY[0.1, 0.9]) WITHIN GROUP (ORDER BY i DESC) AS tails',
	'percentile_disc(0.3) WITHIN GROUP (ORDER BY t COLLATE "C" DESC) AS third',
	'percentile_cont(0.25) WITHIN GROUP (ORDER BY at - ''2026-01-01'') AS early',
	'mode() WITHIN GROUP (ORDER BY i) AS mode', 'mode() WITHIN GROUP (ORDER BY n DESC) FILTER (WHERE b) AS mode_n',
	'rank(4) WITHIN GROUP (ORDER BY i) AS rank', 'dense_rank(4, ''word 2'') WITHIN GROUP (ORDER BY i DESC NULLS LAST, t) AS dense',
	'cume_dist(2.5) WITHIN GROUP (ORDER BY f NULLS FIRST) AS cume', 'percent_rank(4) WITHIN GROUP (ORDER BY i) AS percent',
	'own_percentile(0.7) WITHIN GROUP (ORDER BY t) AS own']);
SELECT watch('unsaved', ARRAY['array_agg(i) AS array_i', 'array_agg(ARRAY[i, id]) AS array2', 'string_agg(t, '','') AS string_t',
	'json_agg(place) AS json_place', 'jsonb_agg(at) AS jsonb_at', 'json_object_agg(id, t) AS json_object',
	'jsonb_object_agg(coalesce(t, ''none''), i) AS jsonb_object', 'xmlagg(xmlelement(name v, i)) AS xml', 'array_agg(doc) AS docs']);
SELECT watch('own', ARRAY['weighed(n) AS weighed', 'weighed(n ORDER BY i, id) AS weighed_by_i', 'weighed(DISTINCT n) AS weighed_once',
	'joined(i, ''/'') AS joined', 'joined(place, '' '' ORDER BY id DESC) AS joined_back', 'joined(DISTINCT b, '''') AS flags',
	'earliest(t) AS earliest', 'earliest(n ORDER BY f DESC NULLS LAST, id) AS of_largest'],
	filter => 'id % 7 <> 3');
SELECT watch('totals', ARRAY['count(DISTINCT i) AS ints', 'array_agg(DISTINCT t ORDER BY t) AS texts',
	'percentile_disc(0.5) WITHIN GROUP (ORDER BY f) AS median'], kind => 'global');
-- A row whose i is 0 fails behind the others, which must be undone: it is in no result.
CREATE FUNCTION not_zero(state bigint, value int) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF value = 0 THEN
		RAISE division_by_zero;
	END IF;
	RETURN state + coalesce(value, 0);
END $$;
CREATE AGGREGATE sum_not_zero(int) (SFUNC = not_zero, STYPE = bigint, INITCOND = 0);
SELECT watch('failing', ARRAY['count(DISTINCT t) AS texts', 'array_agg(id ORDER BY i, id) AS by_i', 'array_agg(id) AS ids',
	'count(DISTINCT i) AS ints', 'sum_not_zero(i) AS sum']);

CREATE FUNCTION fill(first int, last int, zeros boolean = false) RETURNS void LANGUAGE sql AS $$
	INSERT INTO reading
	SELECT x, 'group ' || x % 3, CASE WHEN zeros AND x % 5 = 0 THEN 0 ELSE nullif(x * 7919 % 11, 4) + 1 END,
		CASE x % 4 WHEN 0 THEN 1.10 WHEN 1 THEN 1.1 WHEN 2 THEN x % 13 ELSE NULL END,
		CASE x % 29 WHEN 0 THEN 'NaN' WHEN 1 THEN '-0' WHEN 2 THEN 0 WHEN 3 THEN 'Infinity' ELSE nullif(sqrt(x % 17), 4) END,
		'word ' || nullif(x % 5, 3), x % 2 = 0, md5((x % 6)::text)::uuid, jsonb_build_object('a', x % 4),
		CASE WHEN x % 8 > 0 THEN ROW(x % 3, x % 4 / 2.0, 'z' || x % 2)::point3 END,
		'2026-01-01 00:00+00'::timestamptz + x * interval '20 seconds'
	FROM generate_series(first, last) x $$;
SELECT streamproc.wait_for();
SELECT fill(1, 1);
SELECT fill(2, 90);
SELECT fill(91, 400);
SELECT streamproc.wait_for();
SELECT * FROM differences();
-- The state goes to disk and comes back.
SELECT streamproc.stop();
SELECT fill(401, 500);
SELECT streamproc.start();
SELECT fill(501, 900);
SELECT streamproc.wait_for();
SELECT * FROM differences();
-- Rows that fail among those that don't, in one commit, where some windows are new.
DELETE FROM expected WHERE name <> 'failing';
SELECT fill(901, 1300, zeros => true);
SELECT fill(1301, 1310);
SELECT streamproc.wait_for();
SELECT * FROM differences();
SELECT reason, sqlstate, count(*) FROM streamproc.dead_letter WHERE name = 'failing'::regclass GROUP BY 1, 2;

-- No group keeps more than what can be saved: what would be too much is a dead letter.
CREATE TABLE large (id int, at timestamptz);
SELECT streamproc.create_stream('large', 'at');
SELECT streamproc.create_window('large_1h', 'large', 'tumbling', size => '1 hour',
	aggregates => ARRAY['count(DISTINCT repeat(''x'', 1000000 + id)) AS n', 'count(*) AS "rows"']);
SELECT streamproc.wait_for();
INSERT INTO large SELECT i, '2026-01-01 12:00+00' FROM generate_series(1, 20) i;
INSERT INTO large SELECT 1, '2026-01-01 12:00+00' FROM generate_series(1, 20);
SELECT streamproc.wait_for();
SELECT n, "rows" FROM large_1h;
SELECT reason, sqlstate, message, count(*) FROM streamproc.dead_letter WHERE name = 'large_1h'::regclass GROUP BY 1, 2, 3;
SELECT streamproc.drop_stream('large', cascade => true);

-- What can't be maintained.
CREATE FUNCTION roll(int, int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT $1 + $2';
CREATE AGGREGATE rolled(int) (SFUNC = roll, STYPE = int, INITCOND = 0);
SELECT streamproc.create_window('w', 'reading', 'global', aggregates => '{rolled(DISTINCT i) AS x}');
SELECT streamproc.create_window('w', 'reading', 'global', aggregates => ARRAY['count(DISTINCT (i, (i, t))) AS x']);
SELECT streamproc.create_window('w', 'reading', 'global', aggregates => '{percentile_cont(random()) WITHIN GROUP (ORDER BY f) AS x}');
SELECT streamproc.create_window('w', 'reading', 'global', aggregates => '{percentile_cont(f) WITHIN GROUP (ORDER BY f) AS x}');
SELECT streamproc.create_window('w', 'reading', 'global', aggregates => '{count(DISTINCT xmlelement(name x)) AS x}');
SELECT streamproc.create_window('w', 'reading', 'global', aggregates => ARRAY['array_agg(i ORDER BY '
	|| (SELECT string_agg('i + ' || x, ', ') FROM generate_series(1, 16) x) || ') AS x']);

SELECT streamproc.drop_stream('reading', cascade => true);
RESET search_path;
DROP SCHEMA kept_aggregates CASCADE;
