--
-- What batch methods say of series in arrays, and aggregates for their settings, against plain SQL over the same numbers.
--
SET extra_float_digits = 0;
CREATE SCHEMA batch_series_test;
SET search_path = batch_series_test, public;

-- A season of 12 with a trend, noise, and two values that are off.
CREATE TABLE series AS SELECT i, 0.05 * i + 10 * sin(2 * pi() * i / 12) + (hashint4(i) % 1000) / 1000.0 +
	CASE i WHEN 77 THEN 15 WHEN 150 THEN -12 ELSE 0 END AS v FROM generate_series(1, 240) i;
CREATE FUNCTION v() RETURNS float8[] LANGUAGE sql AS 'SELECT array_agg(v ORDER BY i) FROM batch_series_test.series';

-- The parts add up; scores are those of the window function, and residuals in deviations by the median absolute one.
WITH d AS (SELECT * FROM streamproc.stl_decompose(v(), 12)),
w AS (SELECT i, streamproc.stl_residual(v, 12) OVER (ORDER BY i) AS score FROM series),
m AS (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(residual)) / 0.674489750196082 AS unit FROM d)
SELECT count(*) AS rows, count(*) FILTER (WHERE observed IS DISTINCT FROM v) AS observed,
	count(*) FILTER (WHERE abs(trend + seasonal + residual - v) > 1e-12) AS sums, count(*) FILTER (WHERE d.score IS DISTINCT FROM w.score) AS scores,
	count(*) FILTER (WHERE abs(d.score - abs(residual) / unit) > 1e-9) AS units, array_agg(i ORDER BY i) FILTER (WHERE d.score > 8) AS off,
	count(*) FILTER (WHERE is_anomaly <> (d.score > 3)) AS is_anomaly, count(*) FILTER (WHERE abs(trend - 0.05 * i) > 1) AS trend,
	count(*) FILTER (WHERE abs(seasonal - 10 * sin(2 * pi() * i / 12)) > 2) AS seasonal
FROM d JOIN series USING (i) JOIN w USING (i), m;
SELECT array_agg(i ORDER BY i) AS off FROM streamproc.stl_decompose(v(), 12, robust => false, seasonal => 13, threshold => 6) WHERE is_anomaly;

-- A row without a value keeps its place: what is on the line between the values of its phase next to it stands in for it, or, where
-- there is no season, what is on that between its neighbours. It has no score itself.
CREATE TABLE gappy AS SELECT i, CASE WHEN i IN (1, 30, 100, 112, 240) THEN NULL WHEN i IN (101, 181) THEN 'NaN' WHEN i = 60 THEN '-Infinity' ELSE v END AS v FROM series;
CREATE FUNCTION filled(step int) RETURNS TABLE (i int, v float8, is_gap bool) BEGIN ATOMIC
	SELECT g.i, CASE WHEN abs(g.v) < 'Infinity' THEN g.v WHEN a.v IS NULL THEN b.v WHEN b.v IS NULL THEN a.v
		ELSE a.v + (b.v - a.v) * ((g.i - a.i) / step) / ((b.i - a.i) / step) END, NOT coalesce(abs(g.v) < 'Infinity', false)
	FROM gappy g
	LEFT JOIN LATERAL (SELECT n.i, n.v FROM gappy n WHERE n.i < g.i AND (g.i - n.i) % step = 0 AND abs(n.v) < 'Infinity' ORDER BY n.i DESC LIMIT 1) a ON true
	LEFT JOIN LATERAL (SELECT n.i, n.v FROM gappy n WHERE n.i > g.i AND (n.i - g.i) % step = 0 AND abs(n.v) < 'Infinity' ORDER BY n.i LIMIT 1) b ON true;
END;
WITH g AS (SELECT i, streamproc.stl_residual(v, 12) OVER w AS stl, streamproc.seasonal_esd(v, 12) OVER w AS esd, streamproc.matrix_profile(v, 8) OVER w AS profile,
	streamproc.spectral_residual(v) OVER w AS spectrum FROM gappy WINDOW w AS (ORDER BY i)),
s AS (SELECT i, is_gap, streamproc.stl_residual(v, 12) OVER w AS stl, streamproc.seasonal_esd(v, 12) OVER w AS esd FROM filled(12) WINDOW w AS (ORDER BY i)),
l AS (SELECT i, streamproc.matrix_profile(v, 8) OVER w AS profile, streamproc.spectral_residual(v) OVER w AS spectrum FROM filled(1) WINDOW w AS (ORDER BY i))
SELECT count(*) AS rows, count(*) FILTER (WHERE is_gap) AS gaps, count(*) FILTER (WHERE num_nulls(g.stl, g.esd, g.profile, g.spectrum) <> 4 AND is_gap) AS scored,
	count(*) FILTER (WHERE NOT is_gap AND (abs(g.stl - s.stl) > 1e-9 OR (g.stl IS NULL) <> (s.stl IS NULL))) AS stl, count(*) FILTER (WHERE NOT is_gap AND (abs(g.esd - s.esd) > 1e-9 OR (g.esd IS NULL) <> (s.esd IS NULL))) AS esd,
	count(*) FILTER (WHERE NOT is_gap AND (abs(g.profile - l.profile) > 1e-9 OR (g.profile IS NULL) <> (l.profile IS NULL))) AS profile,
	count(*) FILTER (WHERE NOT is_gap AND (abs(g.spectrum - l.spectrum) > 1e-9 OR (g.spectrum IS NULL) <> (l.spectrum IS NULL))) AS spectrum,
	array_agg(i ORDER BY i) FILTER (WHERE g.stl > 8) AS off
FROM g JOIN s USING (i) JOIN l USING (i);
SELECT method, count(*) AS rows, count(*) FILTER (WHERE d.score IS DISTINCT FROM w.score) AS differences
FROM (VALUES ('stl_residual', '{"period": 12}'::jsonb), ('seasonal_esd', '{"period": 12}'), ('matrix_profile', '{"m": 8}'), ('spectral_residual', '{}')) m (method, params),
	LATERAL streamproc.detect('gappy', method, '{v}', order_by => 'i', params => params) d
JOIN LATERAL (SELECT ctid, CASE method WHEN 'stl_residual' THEN streamproc.stl_residual(v, 12) OVER w WHEN 'seasonal_esd' THEN streamproc.seasonal_esd(v, 12) OVER w
	WHEN 'matrix_profile' THEN streamproc.matrix_profile(v, 8) OVER w ELSE streamproc.spectral_residual(v) OVER w END AS score FROM gappy WINDOW w AS (ORDER BY i)) w
ON d.tid = w.ctid GROUP BY 1 ORDER BY 1;
SELECT count(*), count(score) FROM (SELECT streamproc.stl_residual(NULL::float8, 2) OVER () AS score FROM generate_series(1, 9)) s;

-- The nearest stretch of each, by z-scores of its values, that begins more than ceil(m / 4) away.
CREATE TABLE beat AS SELECT i, sin(i * 0.7) + (hashint4(i) % 100) / 500.0 + CASE WHEN i BETWEEN 61 AND 66 THEN (i % 3) ELSE 0 END AS v
FROM generate_series(1, 120) i;
CREATE TABLE stretch AS SELECT a.i, b.i - a.i AS k, (b.v - avg(b.v) OVER p) / stddev_pop(b.v) OVER p AS z
FROM beat a JOIN beat b ON b.i BETWEEN a.i AND a.i + 7 WHERE a.i <= 113 WINDOW p AS (PARTITION BY a.i);
WITH pair AS (SELECT a.i, b.i AS neighbour, sqrt(sum((a.z - b.z) ^ 2)) AS distance FROM stretch a JOIN stretch b USING (k)
	WHERE abs(a.i - b.i) > 2 GROUP BY 1, 2),
nearest AS (SELECT DISTINCT ON (i) i, neighbour, distance FROM pair ORDER BY i, distance, neighbour),
f AS (SELECT * FROM streamproc.matrix_profile_full((SELECT array_agg(v ORDER BY i) FROM beat), 8))
SELECT count(*) AS rows, count(*) FILTER (WHERE abs(f.distance - n.distance) > 1e-8) AS distances,
	count(*) FILTER (WHERE f.neighbour IS DISTINCT FROM n.neighbour) AS neighbours,
	count(*) FILTER (WHERE is_discord <> (n.distance = (SELECT max(distance) FROM nearest))) AS discord
FROM f FULL JOIN nearest n USING (i);
-- Discords don't overlap: each is the farthest of those at least m away from the ones before.
WITH RECURSIVE f AS MATERIALIZED (SELECT * FROM streamproc.matrix_profile_full((SELECT array_agg(v ORDER BY i) FROM beat), 8, 3)),
pick AS ((SELECT ARRAY[i] AS picked FROM f ORDER BY distance DESC, i LIMIT 1)
	UNION ALL SELECT picked || (SELECT i FROM f WHERE 8 <= ALL (SELECT abs(i - p) FROM unnest(picked) p) ORDER BY distance DESC, i LIMIT 1)
	FROM pick WHERE cardinality(picked) < 3)
SELECT (SELECT array_agg(i ORDER BY i) FROM f WHERE is_discord) = (SELECT array_agg(p ORDER BY p) FROM unnest(picked) p) AS same
FROM pick WHERE cardinality(picked) = 3;
SELECT count(*) FILTER (WHERE is_discord) FROM streamproc.matrix_profile_full(v(), 12, 0);
-- Of a series of one stretch there is no other.
SELECT * FROM streamproc.matrix_profile_full('{1,2,3,5}', 4);

-- Periods.
SELECT p, abs(found - p) <= p / 50 AS found FROM unnest('{2, 7, 12, 24, 96}'::int[]) p, LATERAL (SELECT streamproc.find_period(
	array_agg(sin(2 * pi() * i / p + 1) + 0.1 * i + (hashint4(i) % 1000) / 2000.0 ORDER BY i)) AS found FROM generate_series(1, 600) i) f;
SELECT streamproc.find_period(v()) AS series, streamproc.find_period((SELECT array_agg(hashint4(i)::float8 ORDER BY i) FROM generate_series(1, 500) i)) AS noise,
	streamproc.find_period(array_fill(3::float8, ARRAY[100])) AS constant, streamproc.find_period('{}') AS empty, streamproc.find_period(NULL) AS null;

-- eps: the distance at the knee of the sorted distances to the 4th point, itself the first.
CREATE TABLE point AS SELECT i, (i % 4) * 20 + (hashint4(i) % 1000) / 1000.0 AS x, (i % 4) * 9 + (hashint4(-i) % 1000) / 700.0 AS y FROM generate_series(1, 300) i;
INSERT INTO point SELECT 1000 + i, 100 + i * i, -30 FROM generate_series(1, 6) i;
WITH k AS (SELECT i, (SELECT sqrt(d) FROM (SELECT (p.x - q.x) ^ 2 + (p.y - q.y) ^ 2 AS d FROM point q ORDER BY 1 OFFSET 3 LIMIT 1) n) AS d FROM point p),
c AS (SELECT d, (row_number() OVER (ORDER BY d) - 1) / (count(*) OVER () - 1)::float8 - (d - min(d) OVER ()) / (max(d) OVER () - min(d) OVER ()) AS below
	FROM k),
e AS (SELECT streamproc.suggest_eps(ARRAY[x, y], 4) AS eps FROM point)
SELECT abs(eps - (SELECT d FROM c ORDER BY below DESC, d LIMIT 1)) < 1e-12 AS same, eps < 2 AS within_clusters FROM e;
SELECT streamproc.suggest_eps(ARRAY[x, y], 4) AS eps FROM point \gset
SELECT count(DISTINCT label) AS clusters, count(*) FILTER (WHERE label IS NULL AND i > 1000) AS noise
FROM (SELECT i, streamproc.dbscan(ARRAY[x, y], :eps, 4) OVER () AS label FROM point) s;
SELECT streamproc.suggest_eps(f, 2) AS others_do_not_count FROM unnest('{"{1}", "{2}", "{NULL}", NULL, "{NaN}", "{inf}"}'::text[]) s, LATERAL (SELECT s::float8[] AS f) v;
SELECT streamproc.suggest_eps(ARRAY[1.0::float8], 5) AS equal, streamproc.suggest_eps(ARRAY[i::float8], 500) AS k_beyond_n FROM generate_series(1, 3) i;
SELECT streamproc.suggest_eps(ARRAY[1.0::float8], 5) AS none WHERE false;

-- A threshold: no smaller one has at most that part of the scores above it.
CREATE TABLE score AS SELECT (hashint4(i) % 50)::float8 AS s FROM generate_series(1, 1000) i;
INSERT INTO score VALUES (NULL), (NULL);
SELECT c, t, (SELECT count(*) FROM score WHERE s > t) <= c * 1000 AS few, (SELECT min(x) FROM (SELECT s AS x FROM score) y
	WHERE (SELECT count(*) FROM score WHERE s > x) <= c * 1000) = t AS least
FROM unnest('{0, 0.001, 0.01, 0.05, 0.1, 0.5, 0.9}'::float8[]) c, LATERAL (SELECT streamproc.anomaly_threshold(c) WITHIN GROUP (ORDER BY s) AS t FROM score) x;
SELECT c, streamproc.anomaly_threshold(c) WITHIN GROUP (ORDER BY i) FROM unnest('{0, 0.07, 0.29, 0.57, 0.58, 1}'::float8[]) c, generate_series(1, 100) i GROUP BY c;
SELECT streamproc.anomaly_threshold(0.3) WITHIN GROUP (ORDER BY s) AS nan_is_above, streamproc.anomaly_threshold(0.1) WITHIN GROUP (ORDER BY s) AS and_more
FROM unnest('{1, 2, 3, NaN}'::float8[]) s;
SELECT streamproc.anomaly_threshold(NULL) WITHIN GROUP (ORDER BY s) AS null, streamproc.anomaly_threshold(0.1) WITHIN GROUP (ORDER BY s) FILTER (WHERE s IS NULL) AS none FROM score;

-- What isn't possible is told.
SELECT streamproc.stl_decompose('{1,2,3,NULL,5}', 2);
SELECT streamproc.stl_decompose('{1,2,NaN,4,5}', 2);
SELECT streamproc.stl_decompose('{1,2,3,4,-Infinity}', 2);
SELECT streamproc.stl_decompose('{{1,2},{3,4}}', 2);
SELECT streamproc.stl_decompose('{1,2,3,4,5}', 3);
SELECT streamproc.stl_decompose('{1,2,3,4,5}', 1);
SELECT streamproc.stl_decompose('{1,2,3,4,5}', 2, seasonal => 8);
SELECT streamproc.stl_decompose('{1,2,3,4,5}', 2, threshold => -1);
SELECT streamproc.matrix_profile_full('{1,2,3,4,5}', 3);
SELECT streamproc.matrix_profile_full('{1,2,3,4,5}', 6);
SELECT streamproc.matrix_profile_full('{1,2,3,4,5}', 4, -1);
SELECT streamproc.find_period('{1,2,Infinity}');
SELECT streamproc.suggest_eps(ARRAY[1.0::float8], 0);
SELECT streamproc.suggest_eps(ARRAY[1.0::float8], NULL);
SELECT streamproc.suggest_eps(ARRAY[i::float8], i) FROM generate_series(1, 3) i;
SELECT streamproc.suggest_eps(CASE WHEN i < 3 THEN ARRAY[i]::float8[] ELSE ARRAY[i, i] END, 2) FROM generate_series(1, 3) i;
SELECT streamproc.suggest_eps('{}', 2);
SELECT streamproc.anomaly_threshold(1.5) WITHIN GROUP (ORDER BY s) FROM score;
SET streamproc.max_batch_memory = '1MB';
SELECT streamproc.find_period(array_agg(i::float8)) FROM generate_series(1, 100000) i;
SELECT streamproc.anomaly_threshold(0.1) WITHIN GROUP (ORDER BY i) FROM generate_series(1, 200000) i;
RESET streamproc.max_batch_memory;

SET client_min_messages = warning;
DROP SCHEMA batch_series_test CASCADE;
