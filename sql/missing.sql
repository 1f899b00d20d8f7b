--
-- Detectors' missing: what becomes of rows whose value, or one of whose features, is NULL.
--
SET timezone = 'UTC';
CREATE SCHEMA missing_test;
SET search_path = missing_test, public;
CREATE TABLE reading (id int PRIMARY KEY, sensor int, a float8, b float8, ts timestamptz);
SELECT streamproc.create_stream('reading', time_column => 'ts', watermark => '1 hour', idle_timeout => '1 day');
CREATE TABLE policy (missing text);
INSERT INTO policy VALUES ('skip'), ('zero'), ('last'), ('dead_letter');
SELECT streamproc.create_detector('v_' || missing, 'reading', method => 'ewma', value => 'a', keys => ARRAY['sensor'], carry => ARRAY['id AS row'],
	store => 'all', learn => 'normal', params => jsonb_build_object('warmup', 5, 'missing', missing)) FROM policy;
SELECT streamproc.create_detector('f_' || missing, 'reading', method => 'mahalanobis', features => ARRAY['a', 'b'], keys => ARRAY['sensor'],
	carry => ARRAY['id AS row'], store => 'all', params => jsonb_build_object('missing', missing)) FROM policy;
SELECT streamproc.create_detector('as_ever', 'reading', method => 'ewma', value => 'a', keys => ARRAY['sensor'], carry => ARRAY['id AS row'],
	store => 'all', learn => 'normal', params => '{"warmup": 5}');
SELECT streamproc.wait_for();

-- Each sensor begins with rows that lack one or both; NaN and infinity never come to be.
INSERT INTO reading SELECT i, i % 4,
	CASE WHEN i % 7 IN (1, 2) OR i < 14 + i % 4 THEN NULL WHEN i % 101 = 0 THEN 'NaN' WHEN i % 97 = 0 THEN 90 ELSE 20 + (i * 7919) % 31 / 10.0 END,
	CASE WHEN i % 5 = 3 THEN NULL WHEN i % 103 = 0 THEN '-Infinity' ELSE (i * 104729) % 17.0 END,
	'2026-01-01 00:00+00'::timestamptz + i * interval '1 second'
FROM generate_series(1, 1000) i;
SELECT streamproc.wait_for();

-- What a query over the rows says where plain SQL has put something in the gaps: the last number of the sensor, of rows
-- that are no dead letters.
CREATE FUNCTION last_of(float8, float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT coalesce($2, $1)';
CREATE AGGREGATE last_number(float8) (SFUNC = last_of, STYPE = float8);
CREATE VIEW filled_a AS SELECT *, coalesce(a, 0) AS zero, last_number(a) OVER (PARTITION BY sensor ORDER BY id) AS last
FROM reading WHERE a IS NULL OR a < 'Infinity';
CREATE VIEW filled AS SELECT *, coalesce(a, 0) AS zero_a, coalesce(b, 0) AS zero_b,
	last_number(a) OVER (PARTITION BY sensor ORDER BY id) AS last_a, last_number(b) OVER (PARTITION BY sensor ORDER BY id) AS last_b
FROM reading WHERE (a IS NULL OR a < 'Infinity') AND (b IS NULL OR b > '-Infinity');
CREATE VIEW expected AS
	SELECT 'v_skip' AS name, id, a AS value, NULL::float8[] AS features, streamproc.score_online('ewma', ts, a, '{"warmup": 5}', learn => 'normal')
		OVER (PARTITION BY sensor ORDER BY ts) AS s FROM filled_a WHERE a IS NOT NULL
	UNION ALL SELECT 'v_zero', id, zero, NULL, streamproc.score_online('ewma', ts, zero, '{"warmup": 5}', learn => 'normal')
		OVER (PARTITION BY sensor ORDER BY ts) FROM filled_a
	UNION ALL SELECT 'v_last', id, last, NULL, streamproc.score_online('ewma', ts, last, '{"warmup": 5}', learn => 'normal')
		OVER (PARTITION BY sensor ORDER BY ts) FROM filled_a WHERE last IS NOT NULL
	UNION ALL SELECT 'f_skip', id, NULL, ARRAY[a, b], streamproc.score_online('mahalanobis', ts, ARRAY[a, b])
		OVER (PARTITION BY sensor ORDER BY ts) FROM filled WHERE a IS NOT NULL AND b IS NOT NULL
	UNION ALL SELECT 'f_zero', id, NULL, ARRAY[zero_a, zero_b], streamproc.score_online('mahalanobis', ts, ARRAY[zero_a, zero_b])
		OVER (PARTITION BY sensor ORDER BY ts) FROM filled
	UNION ALL SELECT 'f_last', id, NULL, ARRAY[last_a, last_b], streamproc.score_online('mahalanobis', ts, ARRAY[last_a, last_b])
		OVER (PARTITION BY sensor ORDER BY ts) FROM filled WHERE last_a IS NOT NULL AND last_b IS NOT NULL;
CREATE VIEW said AS
	SELECT 'v_skip' AS name, row, value, features, score, is_anomaly, lower_bound FROM v_skip UNION ALL
	SELECT 'v_zero', row, value, features, score, is_anomaly, lower_bound FROM v_zero UNION ALL
	SELECT 'v_last', row, value, features, score, is_anomaly, lower_bound FROM v_last UNION ALL
	SELECT 'f_skip', row, value, features, score, is_anomaly, lower_bound FROM f_skip UNION ALL
	SELECT 'f_zero', row, value, features, score, is_anomaly, lower_bound FROM f_zero UNION ALL
	SELECT 'f_last', row, value, features, score, is_anomaly, lower_bound FROM f_last;
SELECT name, count(*) AS rows, count(*) FILTER (WHERE (d.value, d.features, d.score, d.is_anomaly, d.lower_bound) IS DISTINCT FROM
	(e.value, e.features, (s).score, (s).is_anomaly, (s).lower_bound)) AS different, count(*) FILTER (WHERE is_anomaly) > 0 AS any
FROM said d FULL JOIN (SELECT name, id AS row, value, features, s FROM expected) e USING (name, row) GROUP BY name ORDER BY name;

-- Skipping is what happens when nothing is said; dead letters are skipped, too.
SELECT (SELECT count(*) FROM (SELECT row, value, score FROM as_ever EXCEPT ALL SELECT row, value, score FROM v_skip) d) AS unlike_as_ever,
	(SELECT count(*) FROM (SELECT row, score FROM v_dead_letter EXCEPT ALL SELECT row, score FROM v_skip) d) AS unlike_dead_letter,
	(SELECT count(*) FROM v_dead_letter) = (SELECT count(*) FROM v_skip) AS as_many;
SELECT d.name, d.reason, d.sqlstate, d.message, count(*) = (SELECT count(*) FROM reading WHERE CASE d.name::text || ' ' || d.reason
	WHEN 'v_dead_letter missing' THEN a IS NULL
	WHEN 'f_dead_letter missing' THEN (a IS NULL OR b IS NULL) AND coalesce(a, 0) < 'NaN' AND coalesce(b, 0) > '-Infinity'
	WHEN 'v_dead_letter not_finite' THEN a = 'NaN' ELSE a = 'NaN' OR b = '-Infinity' END) AS all_of_them
FROM streamproc.dead_letter d WHERE name::text ~ 'dead_letter' GROUP BY 1, 2, 3, 4 ORDER BY 1, 2;

-- The query takes the same parameter, and says the same as the stream.
SELECT 'zero' AS missing, count(*) AS rows, count(*) FILTER (WHERE v.score IS DISTINCT FROM (s).score) AS different FROM
	(SELECT id, streamproc.score_online('ewma', ts, a, '{"warmup": 5, "missing": "zero"}', learn => 'normal') OVER (PARTITION BY sensor ORDER BY ts) AS s
	FROM reading) q FULL JOIN v_zero v ON v.row = q.id
UNION ALL SELECT 'last', count(*), count(*) FILTER (WHERE v.score IS DISTINCT FROM (s).score) FROM
	(SELECT id, streamproc.score_online('ewma', ts, a, '{"warmup": 5, "missing": "last"}', learn => 'normal') OVER (PARTITION BY sensor ORDER BY ts) AS s
	FROM reading) q FULL JOIN v_last v ON v.row = q.id
UNION ALL SELECT 'dead_letter', count(*), count(*) FILTER (WHERE v.score IS DISTINCT FROM (s).score) FROM
	(SELECT id, streamproc.score_online('ewma', ts, a, '{"warmup": 5, "missing": "dead_letter"}', learn => 'normal') OVER (PARTITION BY sensor ORDER BY ts) AS s
	FROM reading) q FULL JOIN v_dead_letter v ON v.row = q.id
UNION ALL SELECT 'features last', count(*), count(*) FILTER (WHERE v.score IS DISTINCT FROM (s).score) FROM
	(SELECT id, streamproc.score_online('mahalanobis', ts, ARRAY[a, b], '{"missing": "last"}') OVER (PARTITION BY sensor ORDER BY ts) AS s
	FROM reading) q FULL JOIN f_last v ON v.row = q.id;

-- What was last is part of the state: read from history, and kept.
SELECT streamproc.create_detector('again', 'reading', method => 'mahalanobis', features => ARRAY['a', 'b'], keys => ARRAY['sensor'],
	carry => ARRAY['id AS row'], store => 'all', params => '{"missing": "last"}');
SELECT streamproc.wait_for();
INSERT INTO reading SELECT i, i % 4, CASE WHEN i > 1004 THEN 21 END, CASE WHEN i > 1008 THEN 3 END, '2026-01-01 01:00+00'::timestamptz + i * interval '1 second'
FROM generate_series(1001, 1012) i;
SELECT streamproc.wait_for();
SELECT count(*) AS rows, count(*) FILTER (WHERE (l.features, l.score) IS DISTINCT FROM (a.features, a.score)) AS different
FROM f_last l FULL JOIN again a USING (row) WHERE row > 1000;
SELECT count(*) AS different FROM said FULL JOIN (SELECT name, id AS row, value, features, s FROM expected) e USING (name, row)
WHERE score IS DISTINCT FROM (s).score;

-- Where it has no meaning, and what it can't be.
\set VERBOSITY default
SELECT streamproc.create_detector('bad', 'reading', method => 'ewma', value => 'a', params => '{"missing": "mean"}');
\set VERBOSITY terse
SELECT streamproc.create_detector('bad', 'reading', method => 'ewma', value => 'a', params => '{"missing": null}');
SELECT streamproc.create_detector('bad', 'reading', method => 'ewma', value => 'a', params => '{"missing": 0}');
SELECT streamproc.create_detector('bad', 'reading', method => 'velocity', value => 'a', params => '{"sum": 5, "interval": "1 minute", "missing": "zero"}');
SELECT streamproc.create_detector('bad', 'reading', method => 'rule', rules => ARRAY['a > 5 AS high'], params => '{"missing": "zero"}');
SELECT method, parameter, type, default_value, range FROM streamproc.method_parameters WHERE parameter = 'missing' AND method IN ('ewma', 'velocity', 'mahalanobis');

SET client_min_messages = warning;
DROP SCHEMA missing_test CASCADE;
