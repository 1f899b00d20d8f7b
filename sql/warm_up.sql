--
-- status.warm_up: how far detectors are that must learn before they score.
--
SET timezone = 'UTC';
CREATE SCHEMA warm_up_test;
SET search_path = warm_up_test, public;
CREATE TABLE reading (sensor int, value float8, ts timestamptz);
INSERT INTO reading SELECT 1, i % 7, '2026-01-01 00:00+00'::timestamptz + i * interval '1 second' FROM generate_series(1, 40) i;
SELECT streamproc.create_stream('reading', time_column => 'ts', watermark => '1 hour', idle_timeout => '1 day');

-- Without keys, with keys, one that needs nothing to learn, and one that has read history.
SELECT streamproc.create_detector('one', 'reading', method => 'ewma', value => 'value', params => '{"warmup": 50}', backfill => false);
SELECT streamproc.create_detector('each', 'reading', method => 'ewma', value => 'value', keys => ARRAY['sensor'],
	params => '{"warmup": 50}', backfill => false);
SELECT streamproc.create_detector('rules', 'reading', method => 'rule', rules => ARRAY['value > 5 AS high']);
SELECT streamproc.create_detector('many', 'reading', method => 'velocity', keys => ARRAY['sensor'],
	params => '{"events": 5, "interval": "5 seconds"}');
SELECT streamproc.create_detector('seeded', 'reading', method => 'ewma', value => 'value', params => '{"warmup": 40}');
SELECT streamproc.create_detector('seeded_short', 'reading', method => 'ewma', value => 'value', params => '{"warmup": 41}');
SELECT streamproc.wait_for();
CREATE VIEW warming AS SELECT name, warm_up FROM streamproc.status WHERE source = 'reading'::regclass ORDER BY name::text;
SELECT * FROM warming;

-- What is NULL, or no number, teaches nothing.
INSERT INTO reading SELECT i % 3, CASE WHEN i <= 90 THEN i % 7 END, '2026-01-02 00:00+00'::timestamptz + i * interval '1 second'
FROM generate_series(1, 99) i;
INSERT INTO reading VALUES (1, 'NaN', '2026-01-02 00:02+00');
SELECT streamproc.wait_for();
SELECT * FROM warming;
INSERT INTO reading SELECT i % 2, i % 7, '2026-01-03 00:00+00'::timestamptz + i * interval '1 second' FROM generate_series(1, 40) i;
SELECT streamproc.wait_for();
SELECT * FROM warming;

-- A detector that is filled again starts with all that history has.
SELECT streamproc.drop_detector('one'), streamproc.drop_detector('each');
SELECT streamproc.create_detector('one', 'reading', method => 'ewma', value => 'value', params => '{"warmup": 200}');
SELECT streamproc.create_detector('each', 'reading', method => 'ewma', value => 'value', keys => ARRAY['sensor'], params => '{"warmup": 80}');
SELECT streamproc.wait_for();
SELECT w.*, (SELECT count(value) FROM reading WHERE value < 'NaN') AS learned, (SELECT array_agg(n ORDER BY sensor) FROM
	(SELECT sensor, count(value) AS n FROM reading WHERE value < 'NaN' GROUP BY sensor) s) AS learned_by_key
FROM warming w WHERE name IN ('one'::regclass, 'each'::regclass) ORDER BY name::text;

-- Every method with its defaults: as many keys are ready as have had that many values.
CREATE TABLE series (key int, value float8, ts timestamptz);
SELECT streamproc.create_stream('series', time_column => 'ts', watermark => '1 hour', idle_timeout => '1 day');
SELECT count(streamproc.create_detector('w_' || method, 'series', method => method, keys => ARRAY['key'],
	value => CASE WHEN takes <> 'features' THEN 'value' END, features => CASE WHEN takes = 'features' THEN ARRAY['value AS a', 'key AS b'] END)) > 9 AS all_of_them
FROM streamproc.methods WHERE method NOT IN ('rule', 'velocity', 'silence', 'model') AND takes NOT LIKE '%micro-batches';
SELECT streamproc.wait_for();
INSERT INTO series SELECT k, (i * 7919) % 1000 / 10.0, '2026-01-01 00:00+00'::timestamptz + i * interval '1 minute'
FROM generate_series(1, 700) i, generate_series(1, 7) k WHERE i <= k * 100 ORDER BY i, k;
SELECT streamproc.wait_for();
SELECT count(*) > 9 AS some, count(warm_up) > 0 AS some_warm_up, count(*) FILTER (WHERE substring(warm_up, '^\d+')::int <>
	(SELECT count(*) FROM (SELECT key FROM series GROUP BY key HAVING count(*) >= substring(warm_up, 'needs (\d+)')::int) k)) AS different
FROM streamproc.status WHERE source = 'series'::regclass;

SET client_min_messages = warning;
DROP SCHEMA warm_up_test CASCADE;
