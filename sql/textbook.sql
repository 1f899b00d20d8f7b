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

-- Every online method as it comes; those that know of seasons also with that of the beat, and of the day; forests that see 12 rows at once.
-- velocity sums up half an hour: 600 as a rule, 672 behind the shift. silence has the beats alone as rows, where there are any. A
-- model is a forest of the first 3000 rows of its series, the threshold what a hundredth of them is above. Rules are what they say: see
-- sql/detector.sql.
CREATE TABLE variant AS
SELECT method AS name, method, takes = 'features' AS is_array, '{}'::jsonb AS params, 'true' AS rows FROM streamproc.methods
WHERE takes <> 'rules' AND takes NOT LIKE '%micro-batches' AND method NOT IN ('velocity', 'silence', 'model')
UNION ALL VALUES ('holt_winters, 12', 'holt_winters', false, '{"seasonality": "additive", "period": 12}'::jsonb, 'true'),
	('holt_winters, 288', 'holt_winters', false, '{"seasonality": "additive", "period": 288}', 'true'),
	('seasonal, 12', 'seasonal', false, '{"interval": "1 hour", "bins": 12}', 'true'),
	('random_cut_forest, 12', 'random_cut_forest', true, '{"shingle": 12}', 'true'),
	('velocity', 'velocity', false, '{"sum": 660, "interval": "30 minutes"}', 'true'),
	('silence', 'silence', false, '{}', 'what <> ''missing beat'' OR x > 25'),
	('model', 'model', true, '{}', 'true');
CREATE TABLE flagged (name text, what text, i int);
DO $$
DECLARE
	v record;
BEGIN
	FOR v IN SELECT variant.*, what, highest, params || CASE WHEN method = 'model' THEN jsonb_build_object('model', model) ELSE '{}' END AS all_params FROM variant,
		(SELECT what, model::text, (SELECT percentile_disc(0.99) WITHIN GROUP (ORDER BY streamproc.score(model, x)) FROM series s WHERE s.what = m.what AND i <= 3000) AS highest
			FROM (SELECT what, streamproc.isolation_forest_train(ARRAY[x] ORDER BY i) AS model FROM series WHERE i <= 3000 GROUP BY what) m) s LOOP
		EXECUTE format('INSERT INTO flagged SELECT %L, %L, i FROM (SELECT i, streamproc.score_online(%L, ts, %s, %L, threshold => %s) OVER (ORDER BY i) AS s
				FROM series WHERE what = %2$L AND (%7$s)) x WHERE (s).is_anomaly',
			v.name, v.what, v.method, CASE WHEN v.is_array THEN 'ARRAY[x]' ELSE 'x' END, v.all_params, CASE v.method WHEN 'model' THEN v.highest::text ELSE 'NULL' END, v.rows);
	END LOOP;
END $$;

-- What each must find (+) and must not flag (-); what stands between them (.) has its reason below.
--   spike, dip, shift, spread, first: 20, or 12, standard deviations away from all before, eight times the spread, the first value that
--     is another one. By all but those that look at something else: a sum in half an hour, gaps between rows. A forest of equal
--     values has nowhere to cut.
--   trend: half a standard deviation a row. Those that follow slopes (holt_winters) may take it for what it is.
--   beat: what is missing is a row of the usual value, which only those see that know the beat, or 12 rows at once. Others must leave
--     that row alone.
--   season: 12 rows with the other sign of the day's sine, a jump by 40 standard deviations within the range of all values. By those
--     that forecast from the rows just before, or know the hour. To who knows neither (.) the jumps at its ends may be strange.
--   flat: no value of it is odd; only its spread is, see below.
--   drift: a standard deviation in 500 rows. What is there to tell that levels have changed, and a model that doesn't learn, may notice (.).
CREATE TABLE expectation (name text, spike text, dip text, shift text, trend text, spread text, beat text, season text, flat text, drift text, first text);
INSERT INTO expectation VALUES
	('records',               '+', '+', '+', '+', '+', '-', '+', '-', '-', '+'),
	('ewma',                  '+', '+', '+', '+', '+', '-', '.', '-', '-', '+'),
	('zscore',                '+', '+', '+', '+', '+', '-', '.', '-', '-', '+'),
	('mad',                   '+', '+', '+', '+', '+', '-', '.', '-', '-', '+'),
	('iqr',                   '+', '+', '+', '+', '+', '-', '.', '-', '-', '+'),
	('spot',                  '+', '+', '+', '+', '+', '-', '.', '-', '-', '+'),
	('dspot',                 '+', '+', '+', '+', '+', '-', '+', '-', '-', '+'),
	('cusum',                 '+', '+', '+', '+', '+', '-', '.', '-', '-', '+'),
	('page_hinkley',          '+', '+', '+', '+', '+', '-', '.', '-', '-', '+'),
	('adwin',                 '+', '+', '+', '+', '+', '-', '.', '-', '.', '+'),
	('holt_winters',          '+', '+', '+', '.', '+', '+', '+', '-', '-', '+'),
	('holt_winters, 12',      '+', '+', '+', '.', '+', '+', '+', '-', '-', '+'),
	('holt_winters, 288',     '+', '+', '+', '.', '+', '+', '+', '-', '-', '+'),
	('seasonal',              '+', '+', '+', '+', '+', '-', '+', '-', '-', '+'),
	('seasonal, 12',          '+', '+', '+', '+', '+', '+', '.', '-', '-', '+'),
	('mahalanobis',           '+', '+', '+', '+', '+', '-', '.', '-', '-', '+'),
	('half_space_trees',      '+', '+', '+', '+', '+', '-', '.', '-', '-', '+'),
	('random_cut_forest',     '+', '+', '+', '+', '+', '-', '.', '-', '-', '+'),
	('random_cut_forest, 12', '+', '+', '+', '+', '+', '+', '+', '-', '-', '+'),
	('ensemble',              '+', '+', '+', '+', '+', '-', '+', '-', '-', '+'),
	('velocity',              '-', '-', '+', '+', '.', '-', '.', '-', '-', '-'),
	('silence',               '-', '-', '-', '-', '-', '+', '-', '-', '-', '-'),
	('model',                 '+', '+', '+', '+', '+', '-', '.', '-', '.', '-');
SELECT count(*) AS variants, (SELECT count(*) FROM variant) AS of_them FROM expectation JOIN variant USING (name);
CREATE TABLE cell AS SELECT name, what, mark, x.number FROM expectation, LATERAL (VALUES (1, 'spike', spike), (2, 'dip', dip), (3, 'level shift', shift),
	(4, 'trend change', trend), (5, 'variance change', spread), (6, 'missing beat', beat), (7, 'seasonal break', season), (8, 'flat line', flat),
	(9, 'slow drift', drift), (10, 'first value', first)) x (number, what, mark);

-- Found is what is flagged within 100 rows; of the beat that is missing, the row itself (of silence the next one that comes).
SELECT name, what AS not_found FROM cell WHERE mark = '+' AND NOT EXISTS (SELECT FROM flagged f WHERE f.name = cell.name AND f.what = cell.what AND
	f.i BETWEEN 3600 AND CASE WHEN what <> 'missing beat' THEN 3700 WHEN name = 'silence' THEN 3612 WHEN name ~ 'forest' THEN 3611 ELSE 3600 END) ORDER BY 1, 2;
-- Not flagged: 2 rows of these 101; of the beat that one row.
SELECT name, what AS wrongly_found FROM cell WHERE mark = '-' AND (SELECT count(*) FROM flagged f WHERE f.name = cell.name AND f.what = cell.what AND
	f.i BETWEEN 3600 AND CASE what WHEN 'missing beat' THEN 3600 ELSE 3700 END) > CASE what WHEN 'missing beat' THEN 0 ELSE 2 END ORDER BY 1, 2;

-- Before that nothing happens, and at most 1.5 % is flagged: of noise (0.27 % is beyond three sigmas, 0.7 % beyond Tukey's fences, a little more
-- where a scale is estimated from few values), be it that its level drifts; of what repeats itself by those that know it; of
-- what is constant nothing.
CREATE VIEW early AS SELECT c.name, c.what, mark, count(i) AS rows FROM (TABLE cell UNION ALL SELECT name, 'nothing', '-', 0 FROM expectation) c
	LEFT JOIN flagged f ON f.name = c.name AND f.what = c.what AND f.i < 3600 GROUP BY 1, 2, 3;
SELECT name, what, rows FROM early WHERE what NOT IN ('missing beat', 'seasonal break', 'first value') AND mark <> '.' AND rows > 0.015 * 3600 ORDER BY 1, 2;
SELECT name, what, rows FROM early WHERE what IN ('missing beat', 'seasonal break') AND mark = '+' AND rows > 0.015 * 3600 ORDER BY 1, 2;
SELECT name, rows FROM early WHERE what = 'first value' AND rows > 0 ORDER BY 1;

-- A flat line has no value that is odd: its windows' spread has. Seen by any method, from a window.
WITH spread AS (SELECT what, i / 12 AS window, max(ts) AS ts, stddev(x) AS x FROM series WHERE what IN ('flat line', 'nothing')
		GROUP BY 1, 2),
	scored AS (SELECT what, "window", (streamproc.score_online('zscore', ts, x, direction => 'low') OVER (PARTITION BY what
		ORDER BY "window")).is_anomaly FROM spread)
SELECT what, count(*) FILTER (WHERE is_anomaly AND "window" BETWEEN 300 AND 316) > 0 AS found,
	count(*) FILTER (WHERE is_anomaly AND "window" < 300) AS early FROM scored GROUP BY what ORDER BY what;

SET client_min_messages = warning;
DROP SCHEMA textbook_test CASCADE;
