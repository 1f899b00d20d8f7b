--
-- Models as values: trained by aggregates, scored apart; against the window functions and plain SQL over the same rows.
--
SET timezone = 'UTC';
SET extra_float_digits = 0;
CREATE SCHEMA model_test;
SET search_path = model_test, public;

CREATE TABLE point (id int PRIMARY KEY, part int, f float8[]);
INSERT INTO point SELECT i, i % 3, ARRAY[sin(i * 1.7) + (hashint4(i) % 1000) / 1000.0, cos(i * 0.9) * (1 + i % 3), hashint4(-i) % 50]
FROM generate_series(1, 1500) i;
INSERT INTO point SELECT 2000 + i, i % 3, ARRAY[30 + i, -20, 900] FROM generate_series(1, 5) i;
VACUUM ANALYZE point;
CREATE TABLE model (method text, part int, model streamproc.model);

-- A model of all rows gives them the scores of the window function, to the last bit; one of each group those of its partition.
SET max_parallel_workers_per_gather = 0;
CREATE TABLE method (train text, score text);
INSERT INTO method VALUES ('isolation_forest', 'isolation_forest'), ('extended_isolation_forest', 'extended_isolation_forest'), ('hbos', 'hbos'), ('ecod', 'ecod'), ('pca', 'pca_score'),
	('mahalanobis', 'mahalanobis'), ('mcd', 'mcd'), ('loda', 'loda');
SELECT format('INSERT INTO model SELECT %L, part, streamproc.%1$I_train(f ORDER BY id) FROM point GROUP BY GROUPING SETS ((), part)', train) FROM method \gexec
SELECT format($$SELECT %L AS method, count(*) AS rows, count(DISTINCT score) > 5 AS differ, count(*) FILTER (WHERE score IS DISTINCT FROM streamproc.score(m.model, f)) AS wrong,
	count(*) FILTER (WHERE by_part IS DISTINCT FROM streamproc.score(g.model, f)) AS wrong_in_groups
FROM (SELECT *, streamproc.%I(f) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS score,
	streamproc.%2$I(f) OVER (PARTITION BY part ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS by_part FROM point) p
	JOIN model m ON m.method = %1$L AND m.part IS NULL JOIN model g ON g.method = %1$L AND g.part = p.part$$, train, score) FROM method \gexec
-- and with other parameters
WITH m AS MATERIALIZED (SELECT streamproc.isolation_forest_train(f, '{"trees": 13, "seed": 7, "sample_size": 100}' ORDER BY id) AS forest,
	streamproc.hbos_train(f, '{"bins": 33, "alpha": 0.5}') AS hbos, streamproc.loda_train(f, '{"bins": 7, "projections": 5, "seed": -1}' ORDER BY id) AS loda FROM point)
SELECT count(*) AS rows, count(*) FILTER (WHERE streamproc.score(forest, f) <> a) AS forest, count(*) FILTER (WHERE streamproc.score(hbos, f) <> b) AS hbos,
	count(*) FILTER (WHERE streamproc.score(loda, f) <> c) AS loda
FROM m, (SELECT f, streamproc.isolation_forest(f, 13, 100, 7) OVER w AS a, streamproc.hbos(f, 33, 0.5) OVER w AS b, streamproc.loda(f, 5, 7, -1) OVER w AS c
	FROM point WINDOW w AS (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)) p;

-- Columns instead of an array; one column.
SELECT count(*) AS rows, count(*) FILTER (WHERE streamproc.score(model, f) IS DISTINCT FROM streamproc.score(model, f[1], f[2], f[3])) AS differ
FROM point, model WHERE model.part IS NULL;
SELECT streamproc.score(streamproc.mahalanobis_train(ARRAY[v]), 6) AS six, 3.5 ^ 2 / var_pop(v) AS expected FROM generate_series(0, 5) v;

-- A row with a feature that is NULL, NaN or infinite isn't trained on, and has no score.
SELECT count(*) AS methods, count(*) FILTER (WHERE model::text = (SELECT model::text FROM model m WHERE m.method = n.method AND part IS NULL)) AS same FROM (
	SELECT 'hbos' AS method, streamproc.hbos_train(f) AS model FROM (SELECT f FROM point UNION ALL VALUES (NULL::float8[]), ('{1,NULL,2}'), ('{NaN,1,1}'), ('{1,-Infinity,1}')) p
	UNION ALL SELECT 'ecod', streamproc.ecod_train(f) FROM (SELECT f FROM point UNION ALL VALUES (NULL::float8[]), ('{1,NULL,2}'), ('{NaN,1,1}'), ('{1,-Infinity,1}')) p) n;
SELECT streamproc.score(model, '{1,NULL,2}'::float8[]) AS with_null, streamproc.score(model, '{1,NaN,2}'::float8[]) AS nan, streamproc.score(model, 1, 'infinity', 2) AS infinite,
	streamproc.score(model, NULL::float8[]) AS none, streamproc.score(model, 1, NULL, 2) AS null_column, streamproc.score(NULL, ARRAY[1.0]) AS no_model
FROM model WHERE method = 'hbos' AND part IS NULL;
SELECT streamproc.pca_train(f) IS NULL AS of_nothing FROM point WHERE false;
SELECT streamproc.loda_train('{NaN}'::float8[]) IS NULL AS of_no_points FROM point;

-- Far from all that was trained on: scores stay finite, above those of the cloud, and no row trained on has a higher one. But in forests
-- that cut in any direction the five far rows may: in some directions they are farther out, and beyond the outermost cut is no other.
SELECT method, bool_and(streamproc.score(model, '{1e300,-1e300,1e300}'::float8[]) < 'Infinity') AS finite,
	bool_and(streamproc.score(model, '{500,-500,5000}'::float8[]) > (SELECT max(streamproc.score(model, f)) FROM point WHERE id < 2000)) AS high,
	bool_and(streamproc.score(model, '{500,-500,5000}'::float8[]) >= (SELECT max(streamproc.score(model, f)) FROM point)) AS highest
FROM model WHERE part IS NULL GROUP BY method ORDER BY method;

-- What a model is.
SELECT streamproc.model_info(model) - 'bytes' AS info, (streamproc.model_info(model) ->> 'bytes')::int > 50 AS bytes FROM model WHERE part IS NULL ORDER BY method;
SELECT streamproc.model_info(streamproc.hbos_train(f, '{"bins": 5}')) AS info FROM point;

-- Contributions: of sums they are the parts, and of each method the feature that is off has the largest.
SELECT method, count(*) AS rows, count(*) FILTER (WHERE abs((e ->> 'score')::float8 - sum) > 1e-9 * greatest(1, abs(sum))) AS off,
	count(*) FILTER (WHERE (e ->> 'score')::float8 <> streamproc.score(model, f)) AS other_score
FROM point, model, streamproc.explain(model, f) e, LATERAL (SELECT sum(value::float8) FROM jsonb_each_text(e -> 'contributions')) s
WHERE model.part IS NULL AND method IN ('hbos', 'ecod', 'pca', 'mahalanobis', 'mcd') GROUP BY method ORDER BY method;
SELECT method, (SELECT key FROM jsonb_each_text(streamproc.explain(model, '{0,0,900}', '{x,y,z}') -> 'contributions') ORDER BY value::float8 DESC LIMIT 1) AS largest
FROM model WHERE part IS NULL ORDER BY method;
SELECT streamproc.explain(streamproc.mahalanobis_train(ARRAY[v, -v * v]), '{5,0}') - 'score' AS numbers,
	streamproc.explain(streamproc.mahalanobis_train(ARRAY[v, -v * v]), '{5,0}', '{speed,height}') -> 'contributions' ? 'height' AS names FROM generate_series(-2, 2) v;

-- As text, in binary, and in a table they are the same.
SELECT count(*) AS models, count(*) FILTER (WHERE model::text::streamproc.model::text = model::text) AS same,
	count(*) FILTER (WHERE decode(split_part(model::text, ':', 2), 'hex') = streamproc.model_send(model)) AS sent, bool_and(split_part(model::text, ':', 1) = method) AS named FROM model;
SELECT current_setting('data_directory') || '/streamproc_model_test' AS file \gset
COPY model TO :'file' (FORMAT binary);
CREATE TABLE copy (LIKE model);
COPY copy FROM :'file' (FORMAT binary);
SELECT count(*) AS models, count(*) FILTER (WHERE c.model::text = m.model::text) AS same FROM model m JOIN copy c ON (c.method, coalesce(c.part, -1)) = (m.method, coalesce(m.part, -1));

-- Forged ones are refused: shorter ones, of any length, and those with another byte anywhere; as text, and in binary.
CREATE FUNCTION try_text(t text) RETURNS text LANGUAGE plpgsql AS
	$$BEGIN PERFORM t::streamproc.model; RETURN 'taken'; EXCEPTION WHEN invalid_text_representation THEN RETURN 'refused'; END$$;
CREATE FUNCTION try_binary(b bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	path text := current_setting('data_directory') || '/streamproc_model_test';
	lo oid := lo_from_bytea(0, 'PGCOPY\012\377\015\012\000'::bytea || int8send(0) || int2send(1::int2) || int4send(length(b)) || b || int2send(-1::int2));
BEGIN
	PERFORM lo_export(lo, path);
	PERFORM lo_unlink(lo);
	EXECUTE format('COPY forged FROM %L (FORMAT binary)', path);
	RETURN 'taken';
EXCEPTION WHEN invalid_binary_representation THEN
	RETURN 'refused';
END$$;
CREATE TABLE forged (model streamproc.model);
CREATE TABLE small AS SELECT 'mahalanobis' AS method, streamproc.mahalanobis_train(ARRAY[f[1], f[2]]) AS model FROM point
	UNION ALL SELECT 'isolation_forest', streamproc.isolation_forest_train(f, '{"trees": 2, "sample_size": 3}') FROM point
	UNION ALL SELECT 'hbos', streamproc.hbos_train(ARRAY[f[1]], '{"bins": 4}') FROM point;
SELECT method, try_text(left(model::text, n)), count(*) > 150 AS lengths FROM small, generate_series(0, length(model::text) - 1) n GROUP BY 1, 2 ORDER BY 1;
SELECT method, try_text(method || ':' || encode(set_bit(b, n, 1 - get_bit(b, n)), 'hex')), count(*) > 600 AS bits
FROM small, streamproc.model_send(model) b, generate_series(0, 8 * length(b) - 1) n GROUP BY 1, 2 ORDER BY 1;
SELECT method, try_binary(substr(streamproc.model_send(model), 1, n)), count(*) FROM small, generate_series(0, 85, 5) n GROUP BY 1, 2 ORDER BY 1;
SELECT method, try_binary(set_byte(b, n, 255 - get_byte(b, n))), count(*) FROM small, streamproc.model_send(model) b, generate_series(0, 85, 5) n GROUP BY 1, 2 ORDER BY 1;
SELECT method, try_binary(streamproc.model_send(model)), try_text(upper(split_part(model::text, ':', 2))) AS no_method, try_text('mcd:' || split_part(model::text, ':', 2)) AS other_method,
	try_text(method || ':' || upper(split_part(model::text, ':', 2))) AS upper_case, try_text(model::text || '00') AS longer FROM small ORDER BY method;
SELECT count(*) AS forged, bool_and(streamproc.score(f.model, x) = streamproc.score(s.model, x)) AS same FROM forged f
	JOIN small s ON streamproc.model_info(s.model) ->> 'method' = streamproc.model_info(f.model) ->> 'method', LATERAL (SELECT array_fill(0.5::float8, ARRAY[(streamproc.model_info(f.model) ->> 'columns')::int]) AS x) x;
SELECT 'hello'::streamproc.model;
SELECT 'hbos:5g'::streamproc.model;
SELECT 'hbos:00'::streamproc.model;
SELECT format('cat > /dev/null; rm -f "%s"', :'file') AS remove \gset
COPY (SELECT 1) TO PROGRAM :'remove';

-- Many models, one for each row: more than are kept.
CREATE TABLE many AS SELECT i, streamproc.mahalanobis_train(ARRAY[v, v * v + i]) AS model FROM generate_series(1, 100) i, generate_series(1, 10) v GROUP BY i;
SELECT count(*) AS rows, count(*) FILTER (WHERE streamproc.score(model, ARRAY[v, w]) IS DISTINCT FROM (SELECT streamproc.score(model, ARRAY[v, w]) FROM many s WHERE s.i = many.i)) AS wrong,
	count(DISTINCT streamproc.score(model, ARRAY[v, w])) > 1000 AS differ FROM many, generate_series(1, 5) v, generate_series(1, 4) w;

-- In parallel: the same, where the order of rows doesn't matter; or all but. Of a cloud without a core many halves are as dense as the
-- densest, and the order tells which is found: mcd is given one with a core, g, and a tenth of the rows far from it.
CREATE TABLE wide AS SELECT i AS id, ARRAY[sin(i * 1.7), hashint4(i) % 1000] AS f,
	CASE WHEN i % 10 = 0 THEN ARRAY[20 + u, 20 - v] ELSE ARRAY[sqrt(-2 * ln(u)) * cos(2 * pi() * v), sqrt(-2 * ln(u)) * (cos(2 * pi() * v) + sin(2 * pi() * v))] END AS g
	FROM (SELECT i, (hashint4(i)::float8 + 2147483648.5) / 4294967296 AS u, (hashint4(-i)::float8 + 2147483648.5) / 4294967296 AS v FROM generate_series(1, 20000) i) h;
ANALYZE wide;
CREATE TABLE serial AS SELECT streamproc.hbos_train(f) AS hbos, streamproc.ecod_train(f, '{"values": 500}') AS ecod, streamproc.mahalanobis_train(f) AS mahalanobis,
	streamproc.isolation_forest_train(f, '{"trees": 1000}') AS forest, streamproc.mcd_train(g) AS mcd, streamproc.robust_stats(f[2]) AS stats FROM wide;
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT streamproc.hbos_train(f), streamproc.isolation_forest_train(f) FROM wide;
CREATE TABLE parallel AS WITH m AS MATERIALIZED (SELECT streamproc.hbos_train(f) AS hbos, streamproc.ecod_train(f, '{"values": 500}') AS ecod, streamproc.mahalanobis_train(f) AS mahalanobis,
	streamproc.isolation_forest_train(f, '{"trees": 1000}') AS forest, streamproc.mcd_train(g) AS mcd, streamproc.robust_stats(f[2]) AS stats FROM wide) SELECT * FROM m;
SELECT s.hbos::text = p.hbos::text AS hbos, s.ecod::text = p.ecod::text AS ecod, ((s.stats).n, (s.stats).min, (s.stats).q1, (s.stats).median, (s.stats).q3, (s.stats).max,
	(s.stats).mad) = ((p.stats).n, (p.stats).min, (p.stats).q1, (p.stats).median, (p.stats).q3, (p.stats).max, (p.stats).mad)
	AND abs((s.stats).mean - (p.stats).mean) < 1e-9 AND abs((s.stats).deviation - (p.stats).deviation) < 1e-9 AS stats FROM serial s, parallel p;
SELECT count(*) FILTER (WHERE abs(streamproc.score(s.mahalanobis, f) - streamproc.score(p.mahalanobis, f)) > 1e-9) AS mahalanobis,
	corr(streamproc.score(s.forest, f), streamproc.score(p.forest, f)) > 0.97 AS forest, corr(streamproc.score(s.mcd, g), streamproc.score(p.mcd, g)) > 0.99 AS mcd
FROM wide, serial s, parallel p;
SELECT streamproc.model_info(forest) ->> 'rows' AS rows FROM parallel;
CREATE FUNCTION is_parallel(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	line text;
	found boolean := false;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN ' || query LOOP
		found := found OR line ~ 'Parallel Seq Scan on wide';
	END LOOP;
	RETURN found;
END$$;
SELECT is_parallel('SELECT count(*) FROM wide WHERE streamproc.score((SELECT hbos FROM serial), f) > 20') AS score_is_parallel;
RESET max_parallel_workers_per_gather;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;

-- robust_stats, beside what the server's own functions say.
SELECT (r).n = count(v) AS n, (r).min = min(v) AS min, (r).max = max(v) AS max, (r).q1 = q[1] AS q1, (r).median = q[2] AS median, (r).q3 = q[3] AS q3,
	abs((r).mean - avg(v)) < 1e-12 AS mean, abs((r).deviation - stddev_pop(v)) < 1e-12 AS deviation,
	(r).mad = (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(f[1] - q[2])) FROM point) AS mad
FROM (SELECT f[1] AS v FROM point) p, (SELECT streamproc.robust_stats(f[1]) AS r, percentile_cont(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY f[1]) AS q FROM point) s GROUP BY r, q;
SELECT part, (streamproc.robust_stats(v)).* FROM (VALUES (1, 1.0), (1, 2), (1, 4), (1, 'NaN'), (1, NULL), (2, 5), (3, NULL)) x (part, v) GROUP BY part ORDER BY part;
SELECT (streamproc.robust_stats(v)).* FROM (VALUES (-1e300::float8), (1e300), (3e300), (5), ('-Infinity')) x (v);
SELECT streamproc.robust_stats(v) IS NULL AS of_nothing FROM (SELECT 1.0 AS v WHERE false) x;

-- What isn't possible is told.
SELECT streamproc.isolation_forest_train(f, '{"tree": 5}') IS NULL FROM point;
SELECT streamproc.isolation_forest_train(f, '{"trees": 0}') IS NULL FROM point;
SELECT streamproc.hbos_train(f, '{"bins": "many"}') IS NULL FROM point;
SELECT streamproc.hbos_train(f, '[]') IS NULL FROM point;
SELECT streamproc.hbos_train(f, NULL) IS NULL FROM point;
SELECT streamproc.pca_train(f, '{"bins": 5}') IS NULL FROM point;
SELECT streamproc.hbos_train(f, jsonb_build_object('bins', 5 + id % 2)) IS NULL FROM point;
SELECT streamproc.hbos_train(CASE WHEN id < 10 THEN f ELSE f[1:2] END ORDER BY id) IS NULL FROM point;
SELECT streamproc.hbos_train('{}'::float8[]) IS NULL FROM point;
SELECT streamproc.score(model, '{1,2}'::float8[]) FROM model WHERE method = 'hbos' LIMIT 1;
SELECT streamproc.score(model, 1) FROM model WHERE method = 'hbos' LIMIT 1;
SELECT streamproc.explain(model, '{1,2,3}', '{x,y,x}') FROM model WHERE method = 'hbos' LIMIT 1;
SELECT streamproc.explain(model, '{1,2,3}', '{x,y}') FROM model WHERE method = 'hbos' LIMIT 1;
SET streamproc.max_batch_memory = '1MB';
SELECT streamproc.ecod_train(ARRAY[i, i]) IS NULL FROM generate_series(1, 100000) i;
SELECT streamproc.mahalanobis_train(ARRAY[i, i % 7]) IS NULL AS moments_are_small FROM generate_series(1, 100000) i;
RESET streamproc.max_batch_memory;

SET client_min_messages = warning;
DROP SCHEMA model_test CASCADE;
