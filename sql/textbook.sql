--
-- Ten textbook cases: what each method must find, and what it must not flag.
--
-- The series are noise with a known standard deviation, made by a formula; what must be found follows from how a
-- method is defined: see the comments.
--
SET timezone = 'UTC';
CREATE SCHEMA textbook_test;
SET search_path = textbook_test, public;

-- Normal deviates: Box and Muller over two linear congruences.
CREATE TABLE noise AS
WITH RECURSIVE r(i, a, b) AS (SELECT 0, 12345::bigint, 67890::bigint
	UNION ALL SELECT i + 1, (a * 16807) % 2147483647, (b * 48271) % 2147483647 FROM r WHERE i < 4000)
SELECT i, sqrt(-2 * ln(a / 2147483647.0)) * cos(2 * pi() * b / 2147483647.0) AS z FROM r WHERE i > 0;
SELECT abs(avg(z)) < 0.05 AS centered, stddev(z) BETWEEN 0.97 AND 1.03 AS standardized, max(abs(z)) BETWEEN 3 AND 5 AS plausible FROM noise;

-- Something happens at row 3600 of the 5-minute series; two weeks come before.
CREATE TABLE series AS
SELECT c AS what, i, '2026-01-05 00:00+00'::timestamptz + i * interval '5 minutes' AS ts, (CASE c
	WHEN 'nothing' THEN 100 + z
	WHEN 'spike' THEN 100 + z + CASE WHEN i = 3600 THEN 20 ELSE 0 END
	WHEN 'dip' THEN 100 + z - CASE WHEN i = 3600 THEN 20 ELSE 0 END
	WHEN 'level shift' THEN 100 + z + CASE WHEN i >= 3600 THEN 12 ELSE 0 END
	WHEN 'trend change' THEN 100 + z + CASE WHEN i >= 3600 THEN 0.5 * (i - 3600) ELSE 0 END
	WHEN 'variance change' THEN 100 + z * CASE WHEN i >= 3600 THEN 8 ELSE 1 END
	WHEN 'missing beat' THEN CASE WHEN i % 12 = 0 AND i <> 3600 THEN 50 ELSE 0 END + 0.1 * z
	WHEN 'seasonal break' THEN 100 + z + 20 * CASE WHEN i BETWEEN 3664 AND 3676 THEN -1 ELSE 1 END * sin(2 * pi() * i / 288)
	WHEN 'flat line' THEN 100 + CASE WHEN i BETWEEN 3600 AND 3800 THEN 0 ELSE 5 * z END
	WHEN 'slow drift' THEN 100 + z + 0.002 * i
	WHEN 'first value' THEN CASE WHEN i = 3600 THEN 1 ELSE 0 END
	END)::float8 AS x
FROM noise, unnest(ARRAY['nothing', 'spike', 'dip', 'level shift', 'trend change', 'variance change', 'missing beat',
	'seasonal break', 'flat line', 'slow drift', 'first value']) c;

-- Every method that takes a value, as it comes, and those that know of seasons with one.
CREATE TABLE variant AS
SELECT method AS name, method, '{}'::jsonb AS params FROM streamproc.methods
WHERE takes LIKE 'value%' AND method NOT IN ('velocity', 'silence')
UNION ALL VALUES ('holt_winters, 12', 'holt_winters', '{"seasonality": "additive", "period": 12}'::jsonb),
	('holt_winters, 288', 'holt_winters', '{"seasonality": "additive", "period": 288}');
CREATE TABLE flagged (name text, what text, hits bigint, early bigint);
DO $$
DECLARE
	v variant;
BEGIN
	FOR v IN SELECT * FROM variant LOOP
		EXECUTE format('INSERT INTO flagged SELECT %L, what, count(*) FILTER (WHERE s AND i BETWEEN 3600 AND 3700),
			count(*) FILTER (WHERE s AND i < 3600) FROM (SELECT what, i,
				(streamproc.score_online(%L, ts, x, %L) OVER (PARTITION BY what ORDER BY i)).is_anomaly AS s FROM series) x
			GROUP BY what', v.name, v.method, v.params);
	END LOOP;
END $$;

-- What must be found. By all: what is 20, or 12, standard deviations away from all before; the first value that is another
-- one; a spread that is eight times as large.
CREATE TABLE must AS
SELECT name, what FROM variant, unnest(ARRAY['spike', 'dip', 'level shift', 'variance change', 'first value']) what
-- a slope of half a standard deviation a row, but by those that follow slopes
UNION SELECT name, 'trend change' FROM variant WHERE method <> 'holt_winters'
-- seasons: by those that know theirs
UNION VALUES ('holt_winters, 12', 'missing beat'), ('holt_winters, 288', 'seasonal break'), ('records', 'seasonal break');
SELECT m.name, m.what FROM must m LEFT JOIN flagged f USING (name, what) WHERE coalesce(f.hits, 0) = 0 ORDER BY 1, 2;

-- What must not be flagged: more than 1.5 % of noise (0.27 % is beyond three sigmas, 0.7 % beyond Tukey's fences, a little
-- more where a scale is estimated from few values), be it that its level drifts by a standard deviation in 500 rows; of what
-- repeats itself by those that know it; of what is constant nothing.
SELECT name, what, early FROM flagged WHERE what IN ('nothing', 'spike', 'dip', 'level shift', 'trend change', 'variance change',
	'flat line', 'slow drift') AND early > 0.015 * 3600 ORDER BY 1, 2;
SELECT name, what, early FROM flagged WHERE (name, what) IN (VALUES ('holt_winters, 12', 'missing beat'),
	('holt_winters, 288', 'seasonal break'), ('records', 'seasonal break')) AND early > 0.015 * 3600 ORDER BY 1, 2;
SELECT name, early FROM flagged WHERE what = 'first value' AND early > 0 ORDER BY 1;

-- A flat line has no value that is odd: its windows' spread has. Seen by any method, from a window.
WITH spread AS (SELECT what, i / 12 AS window, max(ts) AS ts, stddev(x) AS x FROM series WHERE what IN ('flat line', 'nothing')
		GROUP BY 1, 2),
	scored AS (SELECT what, "window", (streamproc.score_online('zscore', ts, x, direction => 'low') OVER (PARTITION BY what
		ORDER BY "window")).is_anomaly FROM spread)
SELECT what, count(*) FILTER (WHERE is_anomaly AND "window" BETWEEN 300 AND 316) > 0 AS found,
	count(*) FILTER (WHERE is_anomaly AND "window" < 300) AS early FROM scored GROUP BY what ORDER BY what;

SET client_min_messages = warning;
DROP SCHEMA textbook_test CASCADE;
