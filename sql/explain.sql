--
-- explain(): why a detector has flagged a row, or why not.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA explain_test;
SET search_path = explain_test, public;

CREATE TABLE reading (id int, sensor int, value float8, load float8, ts timestamptz);
SELECT streamproc.create_stream('reading', time_column => 'ts', watermark => '1 hour', idle_timeout => '1 day');
CREATE TABLE detector (name text, takes text);
INSERT INTO detector SELECT 'd_' || method, takes FROM streamproc.methods WHERE takes IN ('value', 'features', 'value or features');
SELECT count(*) > 12 AS many FROM detector, streamproc.create_detector(name, 'reading', substr(name, 3), value => CASE WHEN takes LIKE 'value%' THEN 'value' END,
	features => CASE WHEN takes = 'features' THEN '{value, load}'::text[] END, keys => '{sensor}', store => 'all');
SELECT streamproc.create_detector('high', 'reading', 'ewma', value => 'value', keys => '{sensor}', store => 'all', direction => 'high', threshold => 1.5,
	min_effect => 8, cooldown => '6 hours');
SELECT streamproc.create_detector('low', 'reading', 'zscore', value => 'value', keys => '{sensor}', direction => 'low', threshold => 1.5);
SELECT streamproc.create_detector('ruled', 'reading', 'rule', rules => ARRAY['value > 104 AS "Too hot"', 'load > 0.9 AS busy'], store => 'all', threshold => 2,
	cooldown => '1 hour');
SELECT streamproc.wait_for();
INSERT INTO reading SELECT i, i % 2, CASE WHEN i % 211 = 0 THEN 500 WHEN i % 97 = 0 THEN NULL ELSE 100 + 10 * sin(i / 40.0) + (i * 7919 % 101) / 20.0 END,
	(i * 31 % 100) / 100.0, '2026-01-01'::timestamptz + i * interval '5 minutes' FROM generate_series(1, 1100) i;
SELECT streamproc.wait_for();

-- Of every method, some rows flagged and some not. Stored numbers and explanations are as they are stored; expected values are those of the columns, and
-- between them is what would have been normal. A row that is given by its time is explained like one that is given by its id.
CREATE FUNCTION look(name text, OUT rows bigint, OUT flagged bigint, OUT unequal bigint, OUT unexplained bigint, OUT not_as_written bigint, OUT abnormal bigint,
	OUT differ_by_time bigint) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format($q$
		WITH picked AS (SELECT * FROM ((SELECT * FROM %1$I WHERE is_anomaly ORDER BY id LIMIT 6) UNION ALL (SELECT * FROM %1$I WHERE NOT is_anomaly AND (id %% 97 = 5 OR id < 4))) r),
			r AS (SELECT picked.*, streamproc.explain(%1$L, id) AS e FROM picked)
		SELECT count(*), count(*) FILTER (WHERE is_anomaly),
			count(*) FILTER (WHERE (e ->> 'score')::float8 IS DISTINCT FROM score OR (e ->> 'threshold')::float8 <> threshold OR (e ->> 'p_value')::float8 IS DISTINCT FROM p_value
				OR (e ->> 'is_anomaly')::boolean <> is_anomaly OR (e ->> 'value')::float8 IS DISTINCT FROM value OR (e ->> 'margin')::float8 <> score - threshold
				OR (e ->> 'event_time')::timestamptz <> event_time OR e -> 'key' <> jsonb_build_object('sensor', sensor) OR e -> 'id' <> to_jsonb(id)
				OR e -> 'recomputed' <> 'true' OR e -> 'features' <> coalesce(to_jsonb(features), 'null')),
			count(*) FILTER (WHERE jsonb_array_length(e -> 'reasons') = 0 OR (e -> 'learned' >= e -> 'needed' AND e -> 'contributions' = '{}' AND score <> 0)
				OR e -> 'expected' IS NULL OR e ->> 'method' IS NULL),
			count(*) FILTER (WHERE explanation IS NOT NULL AND NOT e @> explanation OR (is_anomaly AND NOT e -> 'reasons' @> to_jsonb(alerts))),
			count(*) FILTER (WHERE features IS NULL AND (e #>> '{expected,value,lower}') IS NOT NULL AND ((e #>> '{expected,value,lower}')::float8 <> lower_bound
				OR (e #>> '{expected,value,upper}')::float8 <> upper_bound OR NOT (e #>> '{nearest_normal,value}')::float8 BETWEEN lower_bound AND upper_bound)),
			count(*) FILTER (WHERE e - '{id,recomputed}'::text[] IS DISTINCT FROM (SELECT x FROM streamproc.explain(%1$L, event_time => r.event_time,
				keys => jsonb_build_object('sensor', sensor)) x)) FROM r$q$, name) INTO rows, flagged, unequal, unexplained, not_as_written, abnormal, differ_by_time;
END $$;
SELECT d.name, rows > 12 AS many, flagged > 0 AS some, unequal, unexplained, not_as_written, abnormal, differ_by_time FROM detector d, look(name)
WHERE rows <= 12 OR unequal + unexplained + not_as_written + abnormal + differ_by_time > 0 OR name IN ('d_ewma', 'd_records', 'd_mahalanobis') ORDER BY 1;

-- A value that changes the level of adwin's window: with the nearest normal one in its place it would not have.
WITH change AS (SELECT id, sensor, event_time, value, expected, (explanation #>> '{nearest_normal,value}')::float8 AS normal FROM d_adwin WHERE is_anomaly)
SELECT count(*) > 5 AS several, count(*) FILTER (WHERE normal NOT BETWEEN least(value, expected) AND greatest(value, expected)
	OR normal = value) AS outside, count(*) FILTER (WHERE was.is_anomaly IS DISTINCT FROM true) AS unlike, count(*) FILTER (WHERE again.is_anomaly IS DISTINCT FROM false) AS still
FROM change c, LATERAL (SELECT (s).is_anomaly FROM (SELECT ts, streamproc.score_online('adwin', ts, value) OVER (ORDER BY id) AS s FROM reading WHERE sensor = c.sensor) r
	WHERE ts = c.event_time) was, LATERAL (SELECT (s).is_anomaly FROM (SELECT ts, streamproc.score_online('adwin', ts, CASE WHEN ts = c.event_time THEN c.normal ELSE value END)
	OVER (ORDER BY id) AS s FROM reading WHERE sensor = c.sensor) r WHERE ts = c.event_time) again WHERE c.normal IS NOT NULL;

-- Contributions sum up to the score, of whatever row.
SELECT d.name, max(abs((e ->> 'score')::float8 - (SELECT sum(value::float8) FROM jsonb_each_text(e -> 'contributions')))) < 1e-9 AS sums_up
FROM (VALUES ('d_ewma'), ('d_mad'), ('d_cusum'), ('d_half_space_trees'), ('d_mahalanobis'), ('d_random_cut_forest'), ('d_records')) d (name),
	generate_series(900, 940) i, streamproc.explain(name::regclass, event_time => '2026-01-01'::timestamptz + i * interval '5 minutes') e GROUP BY 1 ORDER BY 1;

-- In words: warming up, too low, on the other side, too small an effect, an anomaly, part of an episode.
SELECT id, streamproc.explain('high', id) - '{p_value,features,recomputed}'::text[] AS explanation FROM high WHERE id IN (7, 300, 640);
WITH r AS (SELECT *, row_number() OVER (PARTITION BY sensor ORDER BY event_time) - 1 AS learned FROM high)
SELECT DISTINCT ON (CASE WHEN learned < 30 THEN 1 WHEN is_anomaly THEN 2 WHEN score > threshold THEN 3 WHEN value < expected THEN 4 ELSE 5 END)
	learned, learned = (e ->> 'learned')::int AS as_counted, round(score::numeric, 3) AS score, value, round(expected::numeric, 3) AS expected, is_anomaly, e -> 'is_alert' AS is_alert, e -> 'reasons' AS reasons
FROM r, streamproc.explain('high', id) e WHERE id % 7 = 0 OR is_anomaly
ORDER BY CASE WHEN learned < 30 THEN 1 WHEN is_anomaly THEN 2 WHEN score > threshold THEN 3 WHEN value < expected THEN 4 ELSE 5 END, id;
SELECT event_time, e -> 'is_alert' AS is_alert, e -> 'reasons' -> 1 AS reason FROM high, streamproc.explain('high', id) e WHERE is_anomaly AND sensor = 0 AND event_time > '2026-01-03' ORDER BY 1 LIMIT 4;
SELECT e -> 'value' AS value, e -> 'reasons' AS reasons FROM generate_series(420, 424, 2) i, streamproc.explain('low', event_time => '2026-01-01'::timestamptz + i * interval '5 minutes') e;
SELECT streamproc.explain('ruled', id) FROM ruled WHERE id IN (1, 32, 39);
SELECT score, e -> 'is_alert' AS is_alert, e -> 'contributions' AS contributions, e -> 'reasons' AS reasons, count(*) FROM ruled, streamproc.explain('ruled', id) e
WHERE id BETWEEN 1 AND 150 AND (id % 10 = 0 OR is_anomaly) GROUP BY 1, 2, 3, 4 ORDER BY 1, 4;

-- Several rows of one time, of all keys or of one.
INSERT INTO reading VALUES (2001, 0, 101, 0.5, '2026-01-08'), (2002, 1, 102, 0.5, '2026-01-08'), (2003, 0, 103, 0.5, '2026-01-08'), (2004, 0, NULL, 0.5, '2026-01-08');
SELECT streamproc.wait_for();
SELECT e -> 'key' AS key, e -> 'value' AS value FROM streamproc.explain('low', event_time => '2026-01-08') e;
SELECT e -> 'value' AS value FROM streamproc.explain('low', event_time => '2026-01-08', keys => '{"sensor": 0.0}') e;
SELECT e -> 'id' = to_jsonb(id) AS own, e -> 'value' = to_jsonb(value) AS same FROM high, streamproc.explain('high', id) e WHERE event_time = '2026-01-08';

-- A row that came before others of earlier times was scored without them: what is stored counts, and what its columns tell.
INSERT INTO reading SELECT 3000 + i, 0, 300 + i % 7, 0.5, '2026-01-07 12:00'::timestamptz + i * interval '1 minute' FROM generate_series(1, 60) i;
SELECT streamproc.wait_for();
SELECT e - '{score,margin,expected,p_value,threshold,id}'::text[] AS explanation, (e ->> 'score')::float8 = score AS stored, e #> '{expected,value,value}' = to_jsonb(expected) AS as_expected
FROM high, streamproc.explain('high', id) e WHERE event_time = '2026-01-08' AND value = 101;

-- Sources that are windows, those that keep no rows, and times without zone.
CREATE TABLE visit (page text, ms float8, at timestamp);
SELECT streamproc.create_stream('visit', time_column => 'at', watermark => '1 minute', idle_timeout => '1 day', time_zone => 'America/New_York');
SELECT streamproc.create_window('visit_5m', 'visit', 'tumbling', size => '5 minutes', keys => '{page}', aggregates => '{avg(ms) AS ms}');
SELECT streamproc.create_detector('slow', 'visit_5m', 'zscore', value => 'ms', params => '{"window": 30, "warmup": 10}', store => 'all', cooldown => '1 day');
CREATE TABLE click (ms float8, at timestamptz) USING streamproc;
SELECT streamproc.create_stream('click', time_column => 'at', idle_timeout => '1 day');
SELECT streamproc.create_detector('click_slow', 'click', 'ewma', value => 'ms', store => 'all');
SELECT streamproc.wait_for();
INSERT INTO visit SELECT 'p' || i % 2, 100 + i * 7919 % 101 + CASE WHEN i IN (900, 902) THEN 5000 ELSE 0 END, '2026-03-06'::timestamp + i * interval '150 seconds' FROM generate_series(1, 1000) i;
INSERT INTO click SELECT 100 + i * 7919 % 101 + CASE WHEN i IN (90) THEN 5000 ELSE 0 END, '2026-03-06'::timestamptz + i * interval '150 seconds' FROM generate_series(1, 100) i;
SELECT streamproc.wait_for();
SELECT e ->> 'event_time' AS event_time, e -> 'key' AS key, e -> 'is_alert' AS is_alert, e -> 'reasons' AS reasons, e -> 'recomputed' AS recomputed
FROM slow, streamproc.explain('slow', id) e WHERE is_anomaly ORDER BY 1;
SELECT e - '{p_value,expected}'::text[] AS explanation FROM click_slow, streamproc.explain('click_slow', id) e WHERE id IN (20, 80, 90) ORDER BY id;
SELECT streamproc.explain('click_slow', event_time => '2026-03-06');

-- Bad input
SELECT streamproc.explain(NULL, 1);
SELECT streamproc.explain('reading', 1);
SELECT streamproc.explain('high', NULL::bigint);
SELECT streamproc.explain('high', -1);
SELECT streamproc.explain('high', event_time => NULL);
SELECT streamproc.explain('high', event_time => '2020-01-01');
SELECT streamproc.explain('high', event_time => '2026-01-08', keys => '{"sensor": 7}');
SELECT streamproc.explain('high', event_time => '2026-01-08', keys => '{"probe": 7}');
SELECT streamproc.explain('high', event_time => '2026-01-08', keys => '{"value": 101}');
SELECT streamproc.explain('high', event_time => '2026-01-08', keys => '[7]');
SELECT streamproc.explain('high', event_time => 'infinity');
CREATE ROLE explain_reader;
GRANT USAGE ON SCHEMA explain_test TO explain_reader;
SET ROLE explain_reader;
SELECT streamproc.explain('high', 1);
RESET ROLE;
GRANT SELECT ON high TO explain_reader;
SET ROLE explain_reader;
SELECT streamproc.explain('high', 1);
RESET ROLE;
GRANT SELECT ON reading TO explain_reader;
SET ROLE explain_reader;
SELECT streamproc.explain('high', 1) -> 'id' AS id;
RESET ROLE;

SET client_min_messages = warning;
SELECT count(*) AS dropped FROM unnest('{reading, visit, click}'::regclass[]) s, streamproc.drop_stream(s, cascade => true);
DROP SCHEMA explain_test CASCADE;
DROP ROLE explain_reader;
