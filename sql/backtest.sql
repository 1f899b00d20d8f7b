--
-- backtest(), backtest_rows(), backtest_sweep(): what a detector would have said.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA backtest_test;
SET search_path = backtest_test, public;

-- Rows that came in the order of their times: what a stream said of them is what a backtest says, to the last bit,
-- whatever the method, and so are the rows that it couldn't take.
CREATE TABLE reading (id int, sensor text, value float8, load numeric, ts timestamptz);
SELECT streamproc.create_stream('reading', time_column => 'ts', watermark => '1 hour', idle_timeout => '1 day');
CREATE TABLE method_use (name text, method text, params jsonb DEFAULT '{}', threshold float8, direction text DEFAULT 'both',
	min_effect float8 DEFAULT 0, learn text DEFAULT 'all', cooldown interval DEFAULT '0');
INSERT INTO method_use SELECT 'd_' || method, method FROM streamproc.methods WHERE takes IN ('value', 'value or features');
INSERT INTO method_use (name, method, params, threshold, direction, min_effect, learn, cooldown) VALUES
	('d_budget', 'zscore', '{"alerts_per_day": 4}', NULL, 'both', 0, 'normal', '0'),
	('d_low', 'ewma', '{"alpha": 0.2}', 1.5, 'low', 3, 'normal', '1 hour'), ('d_capped', 'zscore', '{}', 2, 'both', 0, 'capped', '20 minutes');
SELECT count(*) > 10 AS many FROM method_use, streamproc.create_detector(name, 'reading', method, value => '100 / (value - 104) + value',
	keys => '{sensor}', filter => 'load > 0.1', params => params, threshold => threshold, direction => direction, min_effect => min_effect,
	learn => learn, cooldown => cooldown, store => 'all');
INSERT INTO method_use (name, method) SELECT 'd_' || method, method FROM streamproc.methods WHERE takes = 'features';
SELECT count(*) > 2 AS some FROM method_use, streamproc.create_detector(name, 'reading', method, features => '{value, load::float8 AS load}',
	keys => ARRAY['upper(sensor) AS "The sensor"', 'id % 2 AS side'], store => 'all') WHERE method IN (SELECT method FROM streamproc.methods WHERE takes = 'features');
INSERT INTO method_use (name, method) VALUES ('d_rule', 'rule');
SELECT streamproc.create_detector('d_rule', 'reading', 'rule', rules => ARRAY['value > 108 AS "Too much"', 'CASE WHEN load > 0.9 THEN ''Load '' || load END'],
	carry => '{id AS reading}', cooldown => '30 minutes', store => 'all');
SELECT streamproc.wait_for();
INSERT INTO reading SELECT i, CASE WHEN i % 3 > 0 THEN 's' || i % 3 END, CASE WHEN i % 211 = 0 THEN 500 WHEN i % 97 = 0 THEN NULL
	WHEN i % 101 = 0 THEN 'NaN' WHEN i % 103 = 0 THEN 104 WHEN i % 3 = 2 THEN 7 + (i / 900) * 5 + (i % 13) / 10.0
	ELSE 100 + 10 * sin(i / 40.0) + (i * 7919 % 101) / 20.0 END, (i * 31 % 100) / 100.0,
	CASE WHEN i % 113 > 0 THEN '2026-01-01'::timestamptz + i / 4 * interval '5 minutes' END FROM generate_series(1, 2000) i;
SELECT streamproc.wait_for();

-- Columns that both have, as text: every bit of a number shows.
CREATE FUNCTION compare(name text, zone text DEFAULT NULL, OUT scored bigint, OUT flagged bigint, OUT different bigint) LANGUAGE plpgsql AS $$
DECLARE
	keys text := (SELECT CASE WHEN count(*) = 0 THEN 'NULL::jsonb' ELSE 'jsonb_build_object(' || string_agg(format('%L, %I', attname, attname), ', ' ORDER BY attnum) || ')' END
		FROM pg_attribute WHERE attrelid = name::regclass AND attnum > 2 AND attnum < (SELECT attnum FROM pg_attribute WHERE attrelid = name::regclass AND attname = 'value'));
BEGIN
	EXECUTE format($q$
		WITH a AS (SELECT (%s, k, value, features, score, p_value, threshold, is_anomaly, expected, lower_bound, upper_bound, alerts, explanation)::text AS r, is_anomaly
				FROM (SELECT *, %s AS k FROM %I) t),
			b AS (SELECT (event_time, key, value, features, score, p_value, threshold, is_anomaly, expected, lower_bound, upper_bound, alerts, explanation)::text AS r
				FROM streamproc.backtest_rows(%L))
		SELECT count(*), count(*) FILTER (WHERE is_anomaly), (SELECT count(*) FROM ((SELECT r FROM a EXCEPT ALL TABLE b) UNION ALL (TABLE b EXCEPT ALL SELECT r FROM a)) d) FROM a$q$,
		CASE WHEN zone IS NULL THEN 'event_time' ELSE format('timezone(%L, event_time)', zone) END, keys, name, name) INTO scored, flagged, different;
END $$;
SELECT u.name, scored > 600 AS many, flagged > 0 AS some, different FROM method_use u, compare(u.name) WHERE different <> 0 OR scored <= 600
	OR u.method IN ('ewma', 'records', 'mahalanobis', 'rule') OR u.name = 'd_budget' ORDER BY 1;
SELECT count(*) > 100 AS dead FROM streamproc.dead_letter WHERE sqlstate = '22012' AND name::text IN (SELECT name FROM method_use);

-- The sum of them, by plain SQL over what score_online() says; an alert ends a cooldown before the next one.
SELECT streamproc.create_detector('plain', 'reading', 'ewma', value => 'value', keys => '{sensor}', cooldown => '1 hour');
SELECT streamproc.wait_for();
CREATE VIEW scored AS SELECT id, sensor, ts, (s).* FROM (SELECT id, sensor, ts, value, streamproc.score_online('ewma', ts, value, '{"alpha": 0.1}',
	threshold => 2.5, direction => 'high', learn => 'normal', min_effect => 2) OVER (PARTITION BY sensor ORDER BY ts, id) AS s FROM reading WHERE ts IS NOT NULL) r
	WHERE (s).score IS NOT NULL;
CREATE VIEW alert AS WITH RECURSIVE n AS (SELECT sensor, min(ts) AS ts FROM scored WHERE is_anomaly GROUP BY 1 UNION ALL
		SELECT n.sensor, (SELECT min(s.ts) FROM scored s WHERE s.is_anomaly AND s.sensor IS NOT DISTINCT FROM n.sensor AND s.ts >= n.ts + interval '30 minutes')
		FROM n WHERE n.ts IS NOT NULL)
	SELECT sensor, ts FROM n WHERE ts >= '2026-01-01 06:00' AND ts < '2026-01-02 12:00';
CREATE TABLE label (start_time timestamptz, end_time timestamptz, sensor text);
INSERT INTO label SELECT ts - interval '10 minutes' * (id % 3), ts + interval '1 hour' * (id % 2), sensor FROM reading WHERE value = 500;
INSERT INTO label VALUES ('2026-01-01 10:00', '2026-01-01 10:20', 's1'), ('2026-01-01 11:00', '2026-01-01 13:00', 's2'), ('2026-01-01 09:00', '2026-01-01 15:00', NULL),
	('2026-01-05', '2026-01-06', 's1'), ('2025-01-05', '2025-01-06', 's1'), ('2026-01-01', '2026-01-01 06:00', 'none'), ('2026-01-02 12:00', '2026-01-03', 's1');
SELECT events, anomalies, alerts, round(alerts_per_day::numeric, 10) AS alerts_per_day, true_positives, false_positives, false_negatives, "precision", recall, f1,
	latency FROM streamproc.backtest('plain', '2026-01-01 06:00', '2026-01-02 12:00', 'label', params => '{"alpha": 0.1}', threshold => 2.5, direction => 'high',
	learn => 'normal', min_effect => 2, cooldown => '30 minutes');
WITH judged AS (SELECT count(*) AS events, count(*) FILTER (WHERE is_anomaly) AS anomalies, extract(epoch FROM max(ts) - min(ts)) / 86400 AS days
		FROM scored WHERE ts >= '2026-01-01 06:00' AND ts < '2026-01-02 12:00'),
	looked_for AS (SELECT l.*, (SELECT min(a.ts) FROM alert a WHERE a.sensor IS NOT DISTINCT FROM l.sensor AND a.ts BETWEEN l.start_time AND l.end_time) AS found
		FROM label l WHERE l.end_time >= '2026-01-01 06:00' AND l.start_time < '2026-01-02 12:00'),
	counted AS (SELECT (SELECT count(*) FROM alert) AS alerts, count(found) AS tp, count(*) - count(found) AS fn,
		(SELECT count(*) FROM alert a WHERE NOT EXISTS (SELECT FROM label l WHERE a.sensor IS NOT DISTINCT FROM l.sensor
			AND a.ts BETWEEN l.start_time AND l.end_time)) AS fp, avg(found - start_time) AS latency FROM looked_for)
SELECT events, anomalies, alerts, round((alerts / days)::numeric, 10) AS alerts_per_day, tp, fp, fn, tp / (tp + fp)::float8 AS "precision", tp / (tp + fn)::float8 AS recall,
	2 * tp / (2 * tp + fp + fn)::float8 AS f1, latency FROM judged, counted;
-- The one is the sum of the other.
SELECT count(*) AS events, count(*) FILTER (WHERE is_anomaly) AS anomalies, count(*) FILTER (WHERE is_alert) AS alerts,
	min(threshold) AS threshold FROM streamproc.backtest_rows('plain', '2026-01-01 06:00', '2026-01-02 12:00', params => '{"alpha": 0.1}', threshold => 2.5,
	direction => 'high', learn => 'normal', min_effect => 2, cooldown => '30 minutes');
-- As it is defined; rows before start_time have trained it.
SELECT events, anomalies, alerts, true_positives FROM streamproc.backtest('plain');
SELECT count(*) AS different FROM (SELECT r::text FROM streamproc.backtest_rows('plain', '2026-01-01 06:00', '2026-01-02 12:00') r EXCEPT ALL
	SELECT r::text FROM streamproc.backtest_rows('plain') r WHERE event_time >= '2026-01-01 06:00' AND event_time < '2026-01-02 12:00') d;

-- A sweep is a backtest for each combination, the first name slowest.
CREATE TEMP TABLE sweep AS SELECT row_number() OVER () AS n, s.* FROM streamproc.backtest_sweep('plain',
	'{"alpha": [0.02, 0.2], "learn": ["all", "capped"], "cooldown": ["0", "2 hours"], "threshold": [2, 3.5, null], "warmup": 20}', labels => 'label') s;
SELECT n, params, alerts FROM sweep WHERE n IN (1, 2, 3, 4, 7, 13, 24) ORDER BY n;
SELECT count(*) AS combinations, count(DISTINCT s.alerts) > 8 AS differ, count(*) FILTER (WHERE (s.events, s.anomalies, s.alerts, s.alerts_per_day, s.true_positives,
	s.false_positives, s.false_negatives, s.precision, s.recall, s.f1, s.latency) IS DISTINCT FROM (b.events, b.anomalies, b.alerts, b.alerts_per_day,
	b.true_positives, b.false_positives, b.false_negatives, b.precision, b.recall, b.f1, b.latency)) AS different
FROM sweep s, streamproc.backtest('plain', labels => 'label', params => s.params) b;

-- Labels as a query, as points, of no key in particular, and those that users have set.
SELECT true_positives, false_positives, false_negatives FROM streamproc.backtest('plain', labels => 'SELECT ts AS event_time, sensor FROM reading WHERE value = 500 -- points');
SELECT true_positives, false_positives, false_negatives, "precision", recall, f1, latency FROM streamproc.backtest('plain',
	labels => $$SELECT '2026-01-01'::date AS start_time, 'infinity'::timestamptz AS end_time$$);
SELECT true_positives, false_positives, false_negatives, "precision", recall, f1, latency FROM streamproc.backtest('plain', labels => 'SELECT * FROM label WHERE false');
UPDATE plain SET label = CASE WHEN id % 3 = 0 THEN 'false positive' WHEN id % 3 = 1 THEN 'anomaly' END;
SELECT count(*) FILTER (WHERE label = 'anomaly') AS true_positives, count(*) FILTER (WHERE label = 'false positive') AS false_positives FROM plain;
SELECT alerts, true_positives, false_positives, false_negatives, latency FROM streamproc.backtest('plain');
SELECT count(*) AS alerts, count(*) FILTER (WHERE p.label = 'anomaly') AS true_positives, count(*) FILTER (WHERE p.label = 'false positive') AS false_positives,
	(SELECT count(*) FROM plain WHERE label = 'anomaly') - count(*) FILTER (WHERE p.label = 'anomaly') AS false_negatives FROM streamproc.backtest_rows('plain',
	threshold => 5.5, cooldown => '1 day') r LEFT JOIN plain p ON p.event_time = r.event_time AND coalesce(to_jsonb(p.sensor), 'null') = r.key -> 'sensor' WHERE r.is_alert;
SELECT alerts, true_positives, false_positives, false_negatives FROM streamproc.backtest('plain', threshold => 5.5, cooldown => '1 day');

-- What is set for single keys counts: of a muted one nothing is alerted.
INSERT INTO plain_overrides (sensor, muted, threshold) VALUES ('s1', true, NULL), ('s2', false, 1e5)
ON CONFLICT (sensor) DO UPDATE SET muted = EXCLUDED.muted, threshold = EXCLUDED.threshold;
SELECT key, count(*) FILTER (WHERE is_anomaly) AS anomalies, count(*) FILTER (WHERE is_alert) AS alerts, max(threshold) AS threshold
FROM streamproc.backtest_rows('plain') GROUP BY 1 ORDER BY 1;
SELECT e -> 'is_alert' AS is_alert, e -> 'reasons' -> 1 AS reason FROM (SELECT event_time FROM streamproc.backtest_rows('plain') WHERE is_anomaly AND key ->> 'sensor' = 's1'
	LIMIT 1) r, streamproc.explain('plain', event_time => r.event_time, keys => '{"sensor": "s1"}') e WHERE (e -> 'is_anomaly')::boolean;
UPDATE plain_overrides SET muted = false, threshold = NULL;

-- History in any order: a backfill and a backtest take it alike.
INSERT INTO reading SELECT id + 5000, sensor, value + 1, load, ts - interval '3 days' + id * 7919 % 101 * interval '1 minute' FROM reading ORDER BY id * 7919 % 1009;
SELECT streamproc.wait_for();
SELECT count(*) AS detectors FROM unnest('{ewma, records, mad}'::text[]) m, streamproc.create_detector('b_' || m, 'reading', m, value => 'value', keys => '{sensor}',
	store => 'all', cooldown => '5 minutes', learn => 'normal');
SELECT streamproc.wait_for();
SELECT m, scored > 3500 AS many, flagged > 0 AS some, different FROM unnest('{ewma, records, mad}'::text[]) m, compare('b_' || m);

-- Sources that are windows, and times without zone.
CREATE TABLE visit (page int, ms float8, at timestamp);
SELECT streamproc.create_stream('visit', time_column => 'at', watermark => '1 minute', idle_timeout => '1 day', time_zone => 'America/New_York');
SELECT streamproc.create_window('visit_5m', 'visit', 'tumbling', size => '5 minutes', keys => '{page}', aggregates => '{count(*) AS n, avg(ms) AS ms}');
SELECT streamproc.create_window('visit_1h', 'visit', 'sliding', size => '1 hour', keys => '{page}', aggregates => '{count(*) AS n}', carry => '{ms}');
SELECT streamproc.create_detector('slow_window', 'visit_5m', 'zscore', value => 'ms', params => '{"window": 30, "warmup": 10}', store => 'all');
SELECT streamproc.create_detector('crowd', 'visit_1h', 'rule', rules => '{n > 12 AS crowd}', store => 'all', cooldown => '10 minutes');
SELECT streamproc.create_detector('by_hour', 'visit', 'seasonal', value => 'ms', params => '{"warmup": 10}', store => 'all');
SELECT streamproc.wait_for();
INSERT INTO visit SELECT i % 3, 100 + i * 7919 % 101 + CASE WHEN i = 1450 THEN 5000 ELSE 0 END, '2026-03-06'::timestamp + i * interval '90 seconds'
FROM generate_series(1, 2400) i WHERE i % 400 < 300;
SELECT streamproc.wait_for();
SELECT name, scored > 300 AS many, flagged > 0 AS some, different FROM unnest('{slow_window, crowd, by_hour}'::text[]) name, compare(name, 'America/New_York') ORDER BY 1;
SELECT alerts, true_positives, false_positives, latency FROM streamproc.backtest('slow_window',
	labels => $$SELECT timestamp '2026-03-07 12:10' AS start_time, timestamp '2026-03-07 12:20' AS end_time, 1 AS page$$, threshold => 4);

-- A series of the Numenta Anomaly Benchmark, with its labels, against plain SQL.
\set csv `cat "$PG_ABS_SRCDIR/test/data/ec2_request_latency_system_failure.csv"`
CREATE TABLE server (value float8, at timestamp);
INSERT INTO server SELECT split_part(line, ',', 2)::float8, split_part(line, ',', 1)::timestamp
FROM regexp_split_to_table(:'csv', '\r?\n') WITH ORDINALITY l (line, n) WHERE n > 1 AND line <> '';
SELECT streamproc.create_stream('server', time_column => 'at', idle_timeout => '1 day');
SELECT streamproc.create_detector('server_odd', 'server', value => 'value');
CREATE TABLE server_label (start_time timestamp, end_time timestamp);
INSERT INTO server_label VALUES ('2014-03-14 03:31', '2014-03-14 14:41'), ('2014-03-18 17:06', '2014-03-19 04:16'), ('2014-03-20 21:26', '2014-03-21 03:41');
SELECT b.* FROM (VALUES (NULL::float8), (0.05), (0.1), (0.2), (1e5)) t (threshold), streamproc.backtest('server_odd', '2014-03-09', labels => 'server_label', threshold => t.threshold) b;
WITH alert AS (SELECT t, at FROM (VALUES (0.05), (0.1), (0.2), (1e5)) t (t), LATERAL (SELECT at,
		(streamproc.score_online('records', at, value, threshold => 0.05) OVER (ORDER BY at)).score FROM server) s WHERE score > t AND at >= '2014-03-09')
SELECT t, (SELECT count(*) FROM alert a WHERE a.t = t.t) AS alerts, (SELECT count(*) FROM server_label l WHERE EXISTS (SELECT FROM alert a WHERE a.t = t.t AND
		at BETWEEN start_time AND end_time)) AS true_positives, (SELECT count(*) FROM alert a WHERE a.t = t.t AND NOT EXISTS (SELECT FROM server_label l WHERE
		at BETWEEN start_time AND end_time)) AS false_positives FROM (VALUES (0.05), (0.1), (0.2), (1e5)) t (t) ORDER BY t;

SELECT params, alerts, round(alerts_per_day::numeric, 2) AS a_day, true_positives AS tp, false_positives AS fp, false_negatives AS fn,
	"precision", recall, round(f1::numeric, 2) AS f1, date_trunc('minutes', latency) AS latency
FROM streamproc.backtest_sweep('server_odd', '{"threshold": [0.05, 0.1, 0.2], "cooldown": ["0", "12 hours"]}', '2014-03-09', labels => 'server_label');

-- Nothing to say something of.
CREATE TABLE nothing (value float8, ts timestamptz);
SELECT streamproc.create_stream('nothing', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_detector('nothing_odd', 'nothing', value => 'value');
SELECT * FROM streamproc.backtest('nothing_odd', labels => 'SELECT * FROM label WHERE false');
SELECT events, alerts_per_day, true_positives FROM streamproc.backtest('nothing_odd');
SELECT true_positives, false_positives, false_negatives, "precision", recall, f1 FROM streamproc.backtest('nothing_odd', labels => 'label');
SELECT count(*) AS n FROM streamproc.backtest_rows('nothing_odd');
SELECT params, events FROM streamproc.backtest_sweep('nothing_odd', '{}');

-- Whose rights.
CREATE ROLE backtest_owner;
CREATE ROLE backtest_reader;
CREATE SCHEMA backtest_owned AUTHORIZATION backtest_owner;
GRANT USAGE ON SCHEMA backtest_test, backtest_owned TO backtest_owner, backtest_reader;
SET ROLE backtest_owner;
CREATE FUNCTION backtest_owned.as_owner(x float8) RETURNS float8 IMMUTABLE LANGUAGE plpgsql AS $$
	BEGIN IF current_user <> 'backtest_owner' THEN RAISE 'as %', current_user; END IF; RETURN x; END $$;
CREATE TABLE backtest_owned.source (value float8, ts timestamptz);
SELECT streamproc.create_stream('backtest_owned.source', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_detector('backtest_owned.odd', 'backtest_owned.source', value => 'backtest_owned.as_owner(value)');
INSERT INTO backtest_owned.source SELECT i % 7, '2026-01-01'::timestamptz + i * interval '1 minute' FROM generate_series(1, 100) i;
RESET ROLE;
SELECT events FROM streamproc.backtest('backtest_owned.odd');
SET ROLE backtest_reader;
SELECT events FROM streamproc.backtest('backtest_owned.odd');
SET ROLE backtest_owner;
GRANT SELECT ON backtest_owned.odd TO backtest_reader;
SET ROLE backtest_reader;
SELECT events FROM streamproc.backtest('backtest_owned.odd');
SET ROLE backtest_owner;
GRANT SELECT ON backtest_owned.source TO backtest_reader;
SET ROLE backtest_reader;
SELECT events FROM streamproc.backtest('backtest_owned.odd');
SELECT events FROM streamproc.backtest('backtest_owned.odd', labels => 'backtest_test.label');
SELECT events FROM streamproc.backtest('backtest_owned.odd', labels => 'DELETE FROM backtest_test.label RETURNING *');
RESET ROLE;
ALTER TABLE backtest_owned.source ENABLE ROW LEVEL SECURITY;
SET ROLE backtest_reader;
SELECT count(*) FROM streamproc.backtest_rows('backtest_owned.odd');
RESET ROLE;

-- Bad input
SELECT streamproc.backtest(NULL);
SELECT streamproc.backtest('reading');
SELECT streamproc.backtest('plain', '2026-01-02', '2026-01-02');
\set VERBOSITY terse
SELECT streamproc.backtest('plain', params => '{"beta": 1}');
\set VERBOSITY default
SELECT streamproc.backtest('plain', params => '[1]');
\set VERBOSITY terse
SELECT streamproc.backtest('plain', params => '{"alpha": "much"}');
\set VERBOSITY default
SELECT streamproc.backtest('plain', threshold => 0);
SELECT streamproc.backtest('plain', threshold => 'NaN');
SELECT streamproc.backtest('plain', direction => 'up');
SELECT streamproc.backtest('plain', learn => '');
SELECT streamproc.backtest('plain', cooldown => '-1 hour');
SELECT streamproc.backtest('d_half_space_trees', learn => 'capped');
SELECT streamproc.backtest('plain', labels => 'SELECT ts, sensor FROM reading');
SELECT streamproc.backtest('plain', labels => 'SELECT id AS event_time FROM reading');
SELECT streamproc.backtest('plain', labels => 'SELECT ts AS event_time, id AS sensor FROM reading');
SELECT streamproc.backtest('plain', labels => 'SELECT NULL::timestamptz AS event_time');
SELECT streamproc.backtest('plain', labels => 'SELECT timestamptz ''2026-01-02'' AS start_time, timestamptz ''2026-01-01'' AS end_time');
SELECT streamproc.backtest('plain', labels => 'no_such_labels');
SELECT streamproc.backtest('plain', labels => 'TABLE label) l; DROP TABLE label; SELECT (1');
SELECT streamproc.backtest('plain', labels => '');
SELECT streamproc.backtest_sweep('plain', '[1]');
SELECT streamproc.backtest_sweep('plain', '{"alpha": []}');
\set VERBOSITY terse
SELECT streamproc.backtest_sweep('plain', '{"alpha": [[0.1]]}');
\set VERBOSITY default
SELECT streamproc.backtest_sweep('plain', '{"threshold": [1, -1]}');
SELECT streamproc.backtest_sweep('plain', jsonb_build_object('alpha', (SELECT jsonb_agg(i / 100.0) FROM generate_series(1, 32) i),
	'threshold', (SELECT jsonb_agg(i) FROM generate_series(1, 32) i)));
CREATE TABLE clicks (value float8, ts timestamptz) USING streamproc;
SELECT streamproc.create_stream('clicks', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_detector('clicks_odd', 'clicks', value => 'value');
SELECT streamproc.backtest('clicks_odd');
CREATE TABLE untimed (value float8);
SELECT streamproc.create_stream('untimed', idle_timeout => '1 day');
SELECT streamproc.create_detector('untimed_odd', 'untimed', value => 'value');
SELECT streamproc.backtest('untimed_odd');
SELECT streamproc.backtest('untimed_odd', 'infinity');

SET client_min_messages = warning;
SELECT count(*) AS dropped FROM unnest('{reading, visit, server, nothing, backtest_owned.source, clicks, untimed}'::regclass[]) s,
	streamproc.drop_stream(s, cascade => true);
DROP SCHEMA backtest_owned, backtest_test CASCADE;
DROP ROLE backtest_owner, backtest_reader;
