--
-- score_online(): what a detector says, of rows in a query.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA score_online_test;
SET search_path = score_online_test, public;

-- What each method may be given, and what it is.
SELECT method, takes, has_direction, default_threshold, state_bytes > 0 AS has_state FROM streamproc.methods
WHERE method IN ('rule', 'ewma') ORDER BY method;
SELECT parameter, type, default_value, range FROM streamproc.method_parameters WHERE method = 'ewma';
SELECT count(*) AS without_words FROM streamproc.methods WHERE summary IS NULL OR (reference IS NULL AND method <> 'rule');
SELECT array_agg(method) FILTER (WHERE parameters = '{}') AS without_parameters,
	sum((SELECT count(*) FROM jsonb_object_keys(parameters))) = (SELECT count(*) FROM streamproc.method_parameters) AS has_all FROM streamproc.methods;
SELECT jsonb_pretty(parameters->'alpha') FROM streamproc.methods WHERE method = 'ewma';
SELECT count(*) AS undocumented FROM streamproc.method_parameters WHERE meaning IS NULL OR range IS NULL OR default_value IS NULL;

-- The stream and the query agree to the last bit, for every method that takes a value, however it is used (p_value where it is told
-- from the key's own scores: sql/calibration.sql).
CREATE TABLE reading (id int, sensor int, value float8, ts timestamptz);
SELECT streamproc.create_stream('reading', time_column => 'ts', watermark => '1 hour', idle_timeout => '1 day');
CREATE TABLE use (name text, method text, params jsonb, threshold float8, direction text, min_effect float8, learn text);
INSERT INTO use SELECT 'd_' || m.method || '_' || u.n, m.method, '{"calibrate": "key"}', u.threshold,
	CASE WHEN m.has_direction THEN u.direction ELSE 'both' END, u.min_effect, u.learn
FROM streamproc.methods m, (VALUES (1, NULL::float8, 'both', 0, 'all'), (2, 0.5, 'high', 1.5, 'normal'),
	(3, 2, 'low', 0, 'capped')) u (n, threshold, direction, min_effect, learn)
WHERE m.takes LIKE 'value%' AND m.method NOT IN ('velocity', 'silence');
INSERT INTO use VALUES ('d_velocity_1', 'velocity', '{"calibrate": "key", "sum": 700, "interval": "1 hour"}', NULL, 'both', 0, 'all'),
	('d_velocity_2', 'velocity', '{"calibrate": "key", "events": 1, "interval": "30 minutes"}', 1.2, 'both', 0, 'normal');
SELECT count(*) > 0 AS some FROM use, streamproc.create_detector(use.name, 'reading', method, value => 'value',
	keys => '{sensor}', carry => ARRAY['id AS reading'], params => use.params, threshold => use.threshold, direction => use.direction,
	min_effect => use.min_effect, learn => use.learn, store => 'all');
SELECT streamproc.wait_for();
INSERT INTO reading SELECT i, i % 3, CASE WHEN i % 211 = 0 THEN 500 WHEN i % 97 = 0 THEN NULL
	WHEN i % 3 = 2 THEN 7 + (i / 900) * 5 + (i % 13) / 10.0
	ELSE 100 + 10 * sin(i / 40.0) + (i * 7919 % 101) / 20.0 END,
	'2026-01-01'::timestamptz + i * interval '5 minutes' FROM generate_series(1, 1500) i;
SELECT streamproc.stop();
SELECT streamproc.start();
INSERT INTO reading SELECT i, i % 3, CASE WHEN i % 211 = 0 THEN 500 ELSE 90 + (i * 7919 % 101) / 20.0 END,
	'2026-01-01'::timestamptz + i * interval '5 minutes' FROM generate_series(1501, 2000) i;
INSERT INTO reading VALUES (2001, 1, 'NaN', '2026-01-09'), (2002, 1, '-Infinity', '2026-01-09');
SELECT streamproc.wait_for();
CREATE FUNCTION differences(name text, method text, params jsonb, threshold float8, direction text, min_effect float8,
	learn text, OUT scored bigint, OUT flagged bigint, OUT different bigint) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SELECT count(*), count(*) FILTER (WHERE is_anomaly) FROM %I', name) INTO scored, flagged;
	EXECUTE format($q$
		WITH history AS (SELECT id, streamproc.score_online(%L, ts, value, %L, threshold => %L, direction => %L,
			min_effect => %L, learn => %L) OVER (PARTITION BY sensor ORDER BY ts, id) AS s FROM reading),
		a AS (SELECT id, (s).score, (s).p_value, (s).is_anomaly, (s).expected, (s).lower_bound, (s).upper_bound FROM history
			WHERE (s).score IS NOT NULL),
		b AS (SELECT reading, score, p_value, is_anomaly, expected, lower_bound, upper_bound FROM %I)
		SELECT count(*) FROM ((TABLE a EXCEPT ALL TABLE b) UNION ALL (TABLE b EXCEPT ALL TABLE a)) d$q$,
		method, params, threshold, direction, min_effect, learn, name) INTO different;
END $$;
SELECT use.name, scored, flagged > 0 AS some_flagged, different FROM use, differences(use.name, method, params, threshold, direction,
	min_effect, learn) WHERE method IN ('ewma', 'velocity') ORDER BY 1;
SELECT use.name, scored, different FROM use, differences(use.name, method, params, threshold, direction, min_effect, learn)
WHERE scored <> (SELECT count(*) FROM reading WHERE value < 'Infinity' AND value > '-Infinity' OR value IS NULL AND method = 'velocity') OR different <> 0;

-- Bad input
\set VERBOSITY terse
SELECT streamproc.score_online('sorcery', ts, value) OVER () FROM reading LIMIT 1;
SELECT streamproc.score_online('rule', ts, value) OVER () FROM reading LIMIT 1;
SELECT streamproc.score_online(NULL, ts, value) OVER () FROM reading LIMIT 1;
\set VERBOSITY default
-- a method that there isn't: the hint has each that there is, and no other
DO $$
DECLARE hint text;
BEGIN
	PERFORM streamproc.score_online('ewmaa', ts, value) OVER () FROM reading LIMIT 1;
EXCEPTION WHEN invalid_parameter_value THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RAISE NOTICE 'named: %', regexp_split_to_array(substring(hint FROM 'There is (.*);'), ', ')
		= (SELECT array_agg(method) FROM streamproc.methods WHERE method <> 'rule' AND takes NOT LIKE '%micro-batches');
END $$;
SELECT streamproc.score_online('ewma', ts, value, '{"beta": 1}') OVER () FROM reading LIMIT 1;
SELECT streamproc.score_online('ewma', ts, value, NULL) OVER () FROM reading LIMIT 1;
SELECT streamproc.score_online('ewma', ts, value, jsonb_build_object('warmup', id + 9)) OVER (ORDER BY id) FROM reading;
SELECT streamproc.score_online('ewma', ts, value, learn => CASE WHEN id > 1 THEN 'all' END) OVER (ORDER BY id) FROM reading;
SELECT streamproc.score_online('ewma', ts, value, threshold => -1) OVER () FROM reading LIMIT 1;
SELECT streamproc.score_online('ewma', ts, value, direction => 'up') OVER () FROM reading LIMIT 1;
SELECT streamproc.score_online('ewma', ts, value, learn => NULL) OVER () FROM reading LIMIT 1;
SELECT streamproc.score_online('ewma', ts, ARRAY[value]) OVER () FROM reading LIMIT 1;

-- options need be the same within a partition only, and needn't be constants
WITH s AS (SELECT id, id % 2 AS part, streamproc.score_online(CASE id % 2 WHEN 0 THEN 'ewma' ELSE 'mad' END, ts, value, jsonb_build_object('warmup', 20 + id % 2),
		threshold => (SELECT 3.5)) OVER (PARTITION BY id % 2 ORDER BY id) AS r FROM reading),
c AS (SELECT id, CASE id % 2 WHEN 0 THEN streamproc.score_online('ewma', ts, value, '{"warmup": 20}', threshold => 3.5) OVER w
	ELSE streamproc.score_online('mad', ts, value, '{"warmup": 21}', threshold => 3.5) OVER w END AS r FROM reading WINDOW w AS (PARTITION BY id % 2 ORDER BY id))
SELECT count(s.r) > 50 AS scored, count(*) FILTER (WHERE s.r IS DISTINCT FROM c.r) AS apart FROM s JOIN c USING (id);

-- a set of choices
SELECT streamproc.score_online('ensemble', ts, value, '{"methods": ["ewma", "prophecy"]}') OVER () FROM reading LIMIT 1;
SELECT streamproc.score_online('ensemble', ts, value, '{"methods": []}') OVER () FROM reading LIMIT 1;
SELECT streamproc.score_online('ensemble', ts, value, '{"methods": "ewma"}') OVER () FROM reading LIMIT 1;
SELECT streamproc.score_online('ensemble', ts, ARRAY[value, value], '{"methods": ["ewma"]}') OVER () FROM reading LIMIT 1;
SELECT count(s) > 0 AS scored FROM (SELECT streamproc.score_online('ensemble', ts, value, '{"methods": ["ewma", "mad"]}') OVER () AS s FROM reading) x;
SELECT count(s) > 0 AS scored FROM (SELECT streamproc.score_online('ensemble', ts, ARRAY[value, id]) OVER () AS s FROM reading
	WHERE value > '-Infinity' AND value < 'Infinity') x;

SET client_min_messages = warning;
SELECT streamproc.drop_stream('reading', cascade => true);
DROP SCHEMA score_online_test CASCADE;
