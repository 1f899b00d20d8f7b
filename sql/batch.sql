--
-- Batch detectors: window functions over history, against plain SQL over the same rows.
--
SET timezone = 'UTC';
SET extra_float_digits = 0;
CREATE SCHEMA batch_test;
SET search_path = batch_test, public;

CREATE TABLE point (id int PRIMARY KEY, part int, x float8, y float8, z int);
INSERT INTO point SELECT i, i % 4, sin(i * 1.7) + (hashint4(i) % 1000) / 1000.0, cos(i * 0.9) * (1 + i % 3), hashint4(-i) % 50
FROM generate_series(1, 400) i;
INSERT INTO point SELECT 1000 + i, i % 4, 30 + i, -20, 900 FROM generate_series(1, 5) i;

-- One column. None is off by more than rounding.
CREATE FUNCTION off(a float8, b float8) RETURNS boolean LANGUAGE sql IMMUTABLE AS
	$$SELECT a IS NULL <> (b IS NULL) OR abs(a - b) > 1e-9 * greatest(1, abs(b))$$;
WITH s AS (SELECT id, part, x, streamproc.zscore(x) OVER p AS z, streamproc.modified_zscore(x) OVER p AS m,
	streamproc.tukey(x) OVER p AS t, streamproc.tukey(x, 3) OVER p AS t3, streamproc.grubbs(x) OVER p AS g
	FROM point WINDOW p AS (PARTITION BY part)),
o AS (SELECT part, avg(x) AS mean, stddev_samp(x) AS deviation,
	percentile_cont(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY x) AS q FROM point GROUP BY part),
m AS (SELECT part, percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(x - q[2])) AS mad FROM point JOIN o USING (part) GROUP BY part)
SELECT count(*) AS rows, count(*) FILTER (WHERE off(z, abs(x - mean) / deviation)) AS zscore,
	count(*) FILTER (WHERE off(m, abs(x - q[2]) / (mad / 0.674489750196082))) AS modified_zscore,
	count(*) FILTER (WHERE off(t, greatest(0, x - q[3] - 1.5 * (q[3] - q[1]), q[1] - 1.5 * (q[3] - q[1]) - x) / (q[3] - q[1]))) AS tukey,
	count(*) FILTER (WHERE off(t3, greatest(0, x - q[3] - 3 * (q[3] - q[1]), q[1] - 3 * (q[3] - q[1]) - x) / (q[3] - q[1]))) AS tukey_3,
	count(*) FILTER (WHERE z / g NOT BETWEEN 3.384 AND 3.4) AS grubbs -- 3.384 for n = 100 in its table
FROM s JOIN o USING (part) JOIN m USING (part);

-- The 54 values of Rosner, and the three outliers that he finds (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.17.3).
CREATE TABLE rosner (id serial, v float8);
INSERT INTO rosner (v) SELECT * FROM unnest('{-0.25, 0.68, 0.94, 1.15, 1.20, 1.26, 1.26, 1.34, 1.38, 1.43, 1.49, 1.49, 1.55, 1.56, 1.58,
	1.65, 1.69, 1.70, 1.76, 1.77, 1.81, 1.91, 1.94, 1.96, 1.99, 2.06, 2.09, 2.10, 2.14, 2.15, 2.23, 2.24, 2.26, 2.35, 2.37, 2.40,
	2.47, 2.54, 2.62, 2.64, 2.90, 2.92, 2.92, 2.93, 3.21, 3.26, 3.30, 3.59, 3.68, 4.30, 4.64, 5.34, 5.42, 6.01}'::float8[]);
SELECT v FROM (SELECT v, streamproc.generalized_esd(v, 10, 0.05) OVER () AS score FROM rosner) s WHERE score > 1 ORDER BY v;
-- One that is beyond all of them hides none.
SELECT v FROM (SELECT v, streamproc.generalized_esd(v, 11, 0.05) OVER () AS score FROM (SELECT v FROM rosner UNION ALL VALUES (1e12)) r) s WHERE score > 1 ORDER BY v;
SELECT round((3.118906 / 3.158794)::numeric, 5) AS published, round(score::numeric, 5) AS ours
FROM (SELECT v, streamproc.grubbs(v) OVER () AS score FROM rosner) s WHERE v = 6.01;

-- Several columns: as an array, or as columns of any type that is a number; distances, neighbours.
WITH s AS (SELECT id, x, y, streamproc.knn_distance(ARRAY[x, y], 5, 'largest', 'none') OVER () AS largest,
	streamproc.knn_distance(ARRAY[x, y], 5, 'mean', 'none') OVER () AS mean FROM point),
o AS (SELECT p.id, max(d) AS largest, avg(d) AS mean FROM point p, LATERAL (SELECT sqrt((p.x - q.x) ^ 2 + (p.y - q.y) ^ 2) AS d FROM point q
	WHERE q.id <> p.id ORDER BY 1 LIMIT 5) n GROUP BY 1)
SELECT count(*) AS rows, count(*) FILTER (WHERE off(s.largest, o.largest)) AS largest, count(*) FILTER (WHERE off(s.mean, o.mean)) AS mean
FROM s JOIN o USING (id);
SELECT count(*) AS rows, count(*) FILTER (WHERE a IS DISTINCT FROM b) AS arrays_and_columns_differ FROM (SELECT
	streamproc.auto_score(ARRAY[x, y, z]) OVER () AS a, streamproc.auto_score(x, y, z) OVER () AS b FROM point) s;
SELECT count(*) AS rows, count(*) FILTER (WHERE a IS DISTINCT FROM b) AS arrays_and_columns_differ FROM (SELECT
	streamproc.ecod(ARRAY[x, y, z]) OVER () AS a, streamproc.ecod(x, y, z) OVER () AS b FROM point) s;
-- One column is enough, of any type that is a number.
SELECT count(*) AS rows, count(*) FILTER (WHERE (e, c, p, m) IS DISTINCT FROM (es, cs, ps, ms)) AS arrays_and_columns_differ FROM (SELECT
	streamproc.ecod(ARRAY[id::float8]) OVER () AS e, streamproc.copod(ARRAY[id::float8]) OVER () AS c,
	streamproc.pca_score(ARRAY[id::float8]) OVER () AS p, streamproc.mahalanobis(ARRAY[id::float8]) OVER () AS m,
	streamproc.ecod(id) OVER () AS es, streamproc.copod(id::numeric) OVER () AS cs, streamproc.pca_score(id::real) OVER () AS ps,
	streamproc.mahalanobis(id::bigint) OVER () AS ms FROM point) s;
-- Units don't matter: bytes beside a part of 1.
SELECT count(*) AS rows, count(*) FILTER (WHERE abs(a - b) > 1e-9 * (1 + a)) AS mahalanobis, count(*) FILTER (WHERE abs(c - d) > 1e-9 * (1 + c)) AS mcd
FROM (SELECT streamproc.mahalanobis(x, y, z) OVER () AS a, streamproc.mahalanobis(x * 1e12, y, z / 1e9) OVER () AS b,
	streamproc.mcd(x, y, z) OVER () AS c, streamproc.mcd(x * 1e12, y, z / 1e9) OVER () AS d FROM point) s;

SELECT count(*) AS rows, count(*) FILTER (WHERE a IS DISTINCT FROM b) AS arrays_and_columns_differ,
	count(*) FILTER (WHERE a IS DISTINCT FROM c) > 0 AS cuts_differ FROM (SELECT
	streamproc.extended_isolation_forest(ARRAY[x, y, z], extension => 2) OVER () AS a, streamproc.extended_isolation_forest(x, y, z) OVER () AS b,
	streamproc.extended_isolation_forest(ARRAY[x, y, z], extension => 0) OVER () AS c FROM point) s;

-- Clusters: points within eps of one another, from points with at least as many neighbours; the rest is noise.
WITH RECURSIVE core AS (SELECT p.id, p.x, p.y FROM point p JOIN point q ON (p.x - q.x) ^ 2 + (p.y - q.y) ^ 2 <= 0.15 ^ 2 GROUP BY 1, 2, 3
	HAVING count(*) >= 4),
reach AS (SELECT id, id AS root FROM core UNION SELECT q.id, r.root FROM reach r JOIN core p USING (id)
	JOIN core q ON (p.x - q.x) ^ 2 + (p.y - q.y) ^ 2 <= 0.15 ^ 2),
cluster AS (SELECT id, min(root) AS root FROM reach GROUP BY id),
s AS (SELECT *, streamproc.dbscan(ARRAY[x, y], 0.15, 4) OVER () AS label FROM point)
SELECT count(*) AS rows, count(*) FILTER (WHERE root IS NOT NULL AND label IS NULL) AS core_is_noise,
	count(DISTINCT label) = count(DISTINCT root) AND count(DISTINCT label) = count(DISTINCT (label, root)) FILTER (WHERE root IS NOT NULL)
		AS same_clusters,
	count(*) FILTER (WHERE (label IS NULL) <> NOT EXISTS (SELECT 1 FROM core c WHERE (c.x - s.x) ^ 2 + (c.y - s.y) ^ 2 <= 0.15 ^ 2)) AS noise_differs,
	count(DISTINCT label) > 10 AS many
FROM s LEFT JOIN cluster USING (id);

-- Clusters of unlike densities, and one row outside: each cloud is one of them, but for some noise at its edge.
CREATE TABLE cloud AS SELECT i AS id, i % 3 AS origin, 10 * (i % 3) + (1 + 3 * (i % 3)) * ((hashint4(i) % 1000) / 1000.0 + (hashint4(i + 7777) % 1000) / 1000.0) AS x,
	30 * (i % 3) + (1 + 3 * (i % 3)) * ((hashint4(-i) % 1000) / 1000.0 + (hashint4(-i - 7777) % 1000) / 1000.0) AS y FROM generate_series(1, 600) i;
INSERT INTO cloud VALUES (999, NULL, 90, 0);
WITH s AS (SELECT *, streamproc.hdbscan(ARRAY[x, y], 8, min_cluster_size => 30, scale => 'none') OVER () AS label FROM cloud)
SELECT origin, count(*) AS rows, count(DISTINCT label) AS clusters, count(label) > 190 AS most, min(label) = (min(id) - 1) AS numbered_by_first
FROM s GROUP BY origin ORDER BY origin;
SELECT id, score > 0.9 AS far FROM (SELECT id, streamproc.hdbscan_outlier(x, y) OVER () AS score FROM cloud) s ORDER BY score DESC LIMIT 1;
SELECT count(*) AS rows, count(*) FILTER (WHERE a IS DISTINCT FROM b) AS differ FROM (SELECT streamproc.hdbscan(x, y) OVER () AS a,
	streamproc.hdbscan(ARRAY[x, y], 5, 5, 'robust') OVER () AS b FROM cloud) s;

-- The far points are the highest for every method that takes several columns; without parameters.
SELECT format('SELECT %L AS method, array_agg(id ORDER BY id) FILTER (WHERE place <= 5) AS highest FROM (SELECT id, row_number() OVER
	(ORDER BY score DESC, id) AS place FROM (SELECT id, streamproc.%1$I(x, y, z) OVER () AS score FROM point) s) s', name)
FROM unnest('{auto_score, isolation_forest, extended_isolation_forest, density_forest, sample_knn, knn_distance, lof, ecod, copod, hbos, pca_score, mahalanobis,
	mcd, loda}'::text[]) name \gexec

-- A row with a feature that is NULL, NaN or infinite has no score, and the others' are what they are without it.
CREATE TABLE gap AS SELECT * FROM point;
INSERT INTO gap VALUES (2001, 0, NULL, 1, 1), (2002, 0, 'NaN', 1, 1), (2003, 0, 'Infinity', 1, 1), (2004, 0, 1, 1, NULL);
SELECT count(*) FILTER (WHERE a.score IS NOT NULL AND b.score IS NULL) AS without, count(*) FILTER (WHERE a.score IS DISTINCT FROM b.score
	AND b.id < 2000) AS others
FROM (SELECT id, streamproc.isolation_forest(x, y, z) OVER () AS score FROM gap) b
LEFT JOIN (SELECT id, streamproc.isolation_forest(x, y, z) OVER () AS score FROM point) a USING (id);
SELECT count(*) AS none FROM (SELECT streamproc.zscore(NULL) OVER () AS score FROM point) s WHERE score IS NOT NULL;
SELECT streamproc.zscore(x) OVER () FROM point WHERE false;
SELECT streamproc.lof(x, y) OVER () AS alone FROM point WHERE id = 1;
-- one row alone is like all others
SELECT streamproc.isolation_forest(x, y) OVER () AS isolation_forest, streamproc.extended_isolation_forest(x, y) OVER () AS extended,
	streamproc.density_forest(x, y) OVER () AS density_forest, streamproc.auto_score(x, y) OVER () AS auto_score FROM point WHERE id = 1;
SELECT streamproc.score(m, 1, 2) AS isolation_forest, streamproc.score(e, 1, 2) AS extended FROM (SELECT streamproc.isolation_forest_train(ARRAY[x, y]) AS m,
	streamproc.extended_isolation_forest_train(ARRAY[x, y]) AS e FROM point WHERE id = 1) s;

-- Numbers of any size, and as many columns as are wanted.
SELECT count(*) AS rows, count(score) AS scores FROM (SELECT streamproc.mahalanobis(1e308 * (i % 2), i) OVER () AS score
	FROM generate_series(1, 50) i) s;
SELECT count(score) AS scores FROM (SELECT streamproc.isolation_forest(array_fill(i % 7, ARRAY[166])::float8[]) OVER () AS score
	FROM generate_series(1, 50) i) s;

-- A parameter needn't be a constant: a sub-SELECT will do, what is the same all through a partition, and what comes from outside.
CREATE FUNCTION lof_by(wanted int) RETURNS TABLE(id int, score float8) LANGUAGE plpgsql AS $$
	BEGIN RETURN QUERY EXECUTE format('SELECT id, streamproc.lof(ARRAY[x, y], %s) OVER (PARTITION BY id %% 3 ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND
		UNBOUNDED FOLLOWING) FROM point', wanted); END $$;
SELECT streamproc.suggest_eps(ARRAY[x, y], 5) AS eps FROM point \gset
SELECT count(*) AS rows, count(DISTINCT b) AS clusters, count(*) FILTER (WHERE a IS DISTINCT FROM b) AS apart
FROM (SELECT streamproc.dbscan(ARRAY[x, y], (SELECT streamproc.suggest_eps(ARRAY[x, y], 5) FROM point), min_points => (SELECT 5)) OVER (ORDER BY id
		ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS a,
	streamproc.dbscan(ARRAY[x, y], :eps, 5) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS b FROM point) s;
SELECT count(*) AS rows, count(DISTINCT k) AS partitions, count(*) FILTER (WHERE s.score IS DISTINCT FROM l.score) AS apart
FROM (SELECT id, 7 + id % 3 AS k, streamproc.lof(ARRAY[x, y], 7 + id % 3, CASE id % 3 WHEN 5 THEN 'none' ELSE 'robust' END) OVER (PARTITION BY id % 3 ORDER BY id
	ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS score FROM point) s JOIN (SELECT k, l.* FROM generate_series(7, 9) k, lof_by(k) l) l USING (id, k);
SELECT count(*) AS rows, count(*) FILTER (WHERE s.score IS DISTINCT FROM l.score) AS apart
FROM generate_series(7, 9) k, LATERAL (SELECT id, streamproc.lof(ARRAY[x, y], k + 1) OVER (PARTITION BY id % 3 ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND
	UNBOUNDED FOLLOWING) AS score FROM point OFFSET 0) s JOIN LATERAL lof_by(k + 1) l USING (id);
PREPARE by_k(int) AS SELECT count(*) FILTER (WHERE s.score IS DISTINCT FROM l.score) AS apart
FROM (SELECT id, streamproc.lof(ARRAY[x, y], $1) OVER (PARTITION BY id % 3 ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS score
	FROM point) s JOIN lof_by($1) l USING (id);
SET plan_cache_mode = force_generic_plan;
EXECUTE by_k(7);
EXECUTE by_k(12);
RESET plan_cache_mode;

-- What isn't possible is told.
SELECT streamproc.dbscan(ARRAY[x, y], -1) OVER () FROM point;
SELECT streamproc.lof(ARRAY[x, y], 5, 'loud') OVER () FROM point;
SELECT streamproc.lof(ARRAY[x, y], id) OVER (ORDER BY id) FROM point;
SELECT streamproc.lof(ARRAY[x, y], 5 + (random() * 1000)::int) OVER () FROM point;
SELECT streamproc.lof(ARRAY[x, y], 5, CASE WHEN id < 100 THEN 'none' ELSE 'robust' END) OVER (ORDER BY id) FROM point;
SELECT streamproc.lof(ARRAY[x, y], CASE WHEN id < 100 THEN 5 END) OVER (ORDER BY id) FROM point;
SELECT streamproc.lof(ARRAY[x, y], (SELECT 5 WHERE false)) OVER () FROM point;
SELECT streamproc.dbscan(ARRAY[x, y], (SELECT -eps FROM (VALUES (2.0)) v(eps))) OVER () FROM point;
SELECT streamproc.lof(ARRAY[x, y], NULL) OVER () FROM point;
SELECT streamproc.knn_distance(ARRAY[x, y], 0) OVER () FROM point;
SELECT streamproc.stl_residual(x, 12, true, 8) OVER (ORDER BY id) FROM point;
SELECT streamproc.lof(CASE WHEN id < 10 THEN ARRAY[x, y] ELSE ARRAY[x] END) OVER (ORDER BY id) FROM point;
SELECT streamproc.lof('{}'::float8[]) OVER () FROM point;
SELECT streamproc.lof(ARRAY[x, y]) FROM point;
SET streamproc.max_batch_memory = '1MB';
SELECT streamproc.zscore(i) OVER () FROM generate_series(1, 1000000) i;
RESET streamproc.max_batch_memory;

-- A long one ends when it is told to.
SET statement_timeout = '200ms';
SELECT count(score) FROM (SELECT streamproc.matrix_profile(i % 17, 100) OVER (ORDER BY i) AS score FROM generate_series(1, 200000) i) s;
RESET statement_timeout;

SET client_min_messages = warning;
DROP SCHEMA batch_test CASCADE;
