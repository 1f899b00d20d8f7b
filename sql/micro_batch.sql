--
-- Batch methods in the stream: rows wait for the end of their micro-batch, and are scored together with the history of their keys.
--
-- The oracle is the window function of the same name over the same rows, those of the batch and of its history, which plain SQL
-- picks: to the last bit.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SET client_min_messages = warning;
CREATE SCHEMA micro_batch_test;
SET search_path = micro_batch_test, public;

-- which methods there are; the online one of that name stands
SELECT method, takes, has_direction, uses_time, default_threshold, state_bytes > 40000 AS has_history FROM streamproc.methods
	WHERE method IN ('isolation_forest', 'dbscan', 'lof', 'auto_score', 'knn_distance', 'mahalanobis', 'zscore', 'stl_residual') ORDER BY 1;
SELECT parameter, type, default_value, range FROM streamproc.method_parameters WHERE method = 'dbscan' ORDER BY parameter COLLATE "C";
SELECT count(*) FROM streamproc.method_parameters WHERE parameter IN ('trigger_rows', 'history_rows') AND method IN ('ewma', 'records', 'mahalanobis');

CREATE TABLE event (id bigint, b int, k text, ts timestamptz, x float8, y float8, note text);
SELECT streamproc.create_stream('event', time_column => 'ts', watermark => '0', idle_timeout => '1 day');

-- what can't be
SELECT streamproc.create_detector('d', 'event', 'dbscan', features => '{x,y}');
SELECT streamproc.create_detector('d', 'event', 'dbscan', features => '{x,y}', params => '{"eps": 0}');
SELECT streamproc.create_detector('d', 'event', 'dbscan', features => '{x,y}', params => '{"eps": 1, "min_points": 0}');
SELECT streamproc.create_detector('d', 'event', 'knn_distance', features => '{x,y}');
SELECT streamproc.create_detector('d', 'event', 'lof', value => 'x');
SELECT streamproc.create_detector('d', 'event', 'lof', features => '{x,y}', value => 'x');
SELECT streamproc.create_detector('d', 'event', 'lof', features => '{x,y}', rules => '{x > 1 AS large}');
SELECT streamproc.create_detector('d', 'event', 'lof', features => '{x,y}', direction => 'high');
SELECT streamproc.create_detector('d', 'event', 'lof', features => '{x,y}', learn => 'normal');
SELECT streamproc.create_detector('d', 'event', 'lof', features => '{x,y}', learn => 'capped');
SELECT streamproc.create_detector('d', 'event', 'lof', features => '{x,y}', history => '0');
SELECT streamproc.create_detector('d', 'event', 'lof', features => '{x,y}', history => '-1 hour');
SELECT streamproc.create_detector('d', 'event', 'lof', features => '{x,y}', history => '1 month');
SELECT streamproc.create_detector('d', 'event', 'ewma', value => 'x', history => '1 hour');
SELECT streamproc.create_detector('d', 'event', 'rule', rules => '{x > 1 AS large}', history => '1 hour');
SELECT streamproc.create_detector('d', 'event', 'lof', features => '{x,y}', params => '{"trigger_rows": 0}');
SELECT streamproc.create_detector('d', 'event', 'lof', features => '{x,y}', params => '{"history_rows": 1e9}');
SELECT streamproc.create_detector('d', 'event', 'lof', features => '{x,y}', params => '{"warmup": "many"}');
SELECT streamproc.create_detector('d', 'event', 'lof', features => '{x,y}', params => '{"escape": 3}');
SELECT streamproc.create_detector('d', 'event', 'lof', features => '{x,y}', threshold => 2, params => '{"alerts_per_day": 3}');
\set VERBOSITY terse
SELECT streamproc.create_detector('d', 'event', 'stl_residual', features => '{x}');
\set VERBOSITY default
SET streamproc.max_batch_memory = '1MB';
SELECT streamproc.create_detector('d', 'event', 'lof', features => '{x,y}', params => '{"history_rows": 100000}');
RESET streamproc.max_batch_memory;
SELECT streamproc.score_online('lof', ts, ARRAY[x, y]) OVER (ORDER BY ts) FROM (SELECT now() AS ts, 1::float8 AS x, 2::float8 AS y) e;

-- detectors: one by key with little history, one without keys, one whose batches end by rows; noise
SELECT streamproc.create_detector('forest', 'event', 'isolation_forest', features => '{x,y}', keys => '{k}', carry => '{id AS event, b, note AS remark}',
	store => 'all', history => '8 minutes', params => '{"trees": 25, "history_rows": 60, "warmup": 40}', threshold => 0.6);
SELECT streamproc.create_detector('outlier', 'event', 'lof', features => '{x,y}', carry => '{id AS event}', store => 'all',
	params => '{"k": 10, "history_rows": 150, "warmup": 50}');
SELECT streamproc.create_detector('auto', 'event', 'auto_score', features => '{x,y}', filter => 'k <> ''c''', carry => '{id AS event}', store => 'all',
	trigger => '1 day', params => '{"trigger_rows": 37, "history_rows": 100}');
SELECT streamproc.create_detector('noise', 'event', 'dbscan', features => '{x,y}', keys => '{k}', carry => '{id AS event}', store => 'all',
	params => '{"eps": 4, "min_points": 4, "history_rows": 40, "warmup": 20}');
SELECT streamproc.create_detector('alerts', 'event', 'dbscan', features => '{x,y}', keys => '{k}', carry => '{id AS event}',
	params => '{"eps": 4, "min_points": 4, "history_rows": 40, "warmup": 20}', cooldown => '5 minutes');
SELECT streamproc.create_detector('budget', 'event', 'knn_distance', features => '{x,y}', carry => '{id AS event}', store => 'all',
	params => '{"k": 5, "history_rows": 100, "alerts_per_day": 500}');
SELECT streamproc.wait_for();

-- commits of 1 to 60 rows, two minutes apart; rows of a commit are not in the order of time; some have no numbers
DO $$
BEGIN
	FOR b IN 1..25 LOOP
		INSERT INTO event SELECT 1000 * b + i, b, substr('abc', 1 + (i * i + b) % 3, 1),
			'2025-01-01 00:00+00'::timestamptz + b * interval '2 minutes' + (i * 37 % 100) * interval '1 second',
			CASE WHEN i % 29 = 28 THEN NULL WHEN i % 31 = 30 THEN 'NaN' ELSE ((i * 7919 + b * 104729) % 1009) / 100.0 END
				+ CASE WHEN (i + b) % 23 = 0 THEN 30 ELSE 0 END,
			((i * 104729 + b * 1299709) % 997) / 100.0, repeat('note ', i % 5)
			FROM generate_series(1, 1 + b * 17 % 60) i;
		COMMIT;
	END LOOP;
END $$;
SELECT streamproc.wait_for();
SELECT count(*) AS rows, count(*) FILTER (WHERE x IS NULL) AS missing, count(*) FILTER (WHERE x = 'NaN') AS nan FROM event;
SELECT d.name, d.reason, count(*) FROM streamproc.dead_letter d JOIN streamproc.status s USING (name) WHERE s.source = 'event'::regclass GROUP BY 1, 2 ORDER BY 1;

-- the points that a batch is scored over: its own, and of the last history_rows before it those within history
CREATE VIEW point AS SELECT *, row_number() OVER (ORDER BY id) AS n FROM event WHERE x <> 'NaN';
CREATE FUNCTION forest_oracle() RETURNS TABLE (event bigint, score float8, known bigint) LANGUAGE sql AS $$
	SELECT s.* FROM generate_series(1, 25) batch, LATERAL (
		SELECT id, score, known FROM (
			SELECT id, b, streamproc.isolation_forest(ARRAY[x, y], trees => 25) OVER (PARTITION BY k ORDER BY id) AS score, count(*) OVER (PARTITION BY k) AS known
			FROM (SELECT *, max(ts) OVER (PARTITION BY k) AS latest,
					count(*) FILTER (WHERE b < batch) OVER (PARTITION BY k ORDER BY id ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS back
				FROM point WHERE b <= batch) seen
			WHERE b = batch OR (back <= 60 AND ts > latest - interval '8 minutes')) scored
		WHERE b = batch) s $$;
SELECT count(*), count(*) FILTER (WHERE f.score IS DISTINCT FROM o.score) AS different,
	count(*) FILTER (WHERE f.is_anomaly <> (o.score > 0.6 AND o.known >= 40)) AS otherwise,
	count(*) FILTER (WHERE f.b <> e.b OR f.k <> e.k OR f.remark IS DISTINCT FROM e.note OR f.event_time <> e.ts OR f.features <> ARRAY[e.x, e.y]) AS wrong
	FROM forest_oracle() o FULL JOIN forest f USING (event) JOIN event e ON e.id = event;
SELECT count(*) FILTER (WHERE is_anomaly) BETWEEN 5 AND 100 AS some, count(*) FILTER (WHERE p_value > 0 AND p_value <= 1) = count(*) AS p, count(DISTINCT (lsn, ordinal)) = count(*) AS once
	FROM forest;
-- history is limited by time and by rows, each for itself
SELECT bool_or(by_rows < by_time) AS rows, bool_or(by_time < by_rows) AS time FROM (
	SELECT count(*) FILTER (WHERE back <= 60) AS by_rows, count(*) FILTER (WHERE ts > latest - interval '8 minutes') AS by_time
	FROM generate_series(1, 25) batch, LATERAL (SELECT *, max(ts) OVER (PARTITION BY k) AS latest, row_number() OVER (PARTITION BY k ORDER BY id DESC) AS back FROM point WHERE b < batch) h
	GROUP BY batch, k) c;

CREATE FUNCTION lof_oracle() RETURNS TABLE (event bigint, score float8, known bigint) LANGUAGE sql AS $$
	SELECT s.* FROM generate_series(1, 25) batch, LATERAL (
		SELECT id, score, known FROM (SELECT id, b, streamproc.lof(ARRAY[x, y], k => 10) OVER (ORDER BY id) AS score, count(*) OVER () AS known
			FROM point WHERE b = batch OR (b < batch AND n > (SELECT max(n) FROM point WHERE b < batch) - 150)) scored
		WHERE b = batch) s $$;
SELECT count(*), count(*) FILTER (WHERE d.score IS DISTINCT FROM o.score) AS different,
	count(*) FILTER (WHERE d.is_anomaly <> coalesce(o.score > 2 AND o.known >= 50, false)) AS otherwise FROM lof_oracle() o FULL JOIN outlier d USING (event);

-- batches of 37 rows across commits: the last one isn't complete, and nobody knows its scores yet
CREATE FUNCTION auto_oracle() RETURNS TABLE (event bigint, score float8) LANGUAGE sql AS $$
	WITH counted AS (SELECT *, (row_number() OVER (ORDER BY id) - 1) AS i FROM point WHERE k <> 'c')
	SELECT s.* FROM generate_series(0, (SELECT count(*) FROM counted) / 37 - 1) batch, LATERAL (
		SELECT id, score FROM (SELECT id, i, streamproc.auto_score(x, y) OVER (ORDER BY id) AS score
			FROM counted WHERE i BETWEEN batch * 37 - 100 AND batch * 37 + 36) scored
		WHERE i >= batch * 37) s $$;
SELECT count(*) % 37 AS incomplete, count(*) > 300 AS many, count(*) FILTER (WHERE d.score IS DISTINCT FROM o.score) AS different FROM auto_oracle() o FULL JOIN auto d USING (event);
SELECT (SELECT count(*) FROM point WHERE k <> 'c') - (SELECT count(*) FROM auto) BETWEEN 1 AND 36 AS waiting;

-- dbscan: 1 is noise
CREATE FUNCTION noise_oracle() RETURNS TABLE (event bigint, score float8, known bigint, k text, ts timestamptz) LANGUAGE sql AS $$
	SELECT s.* FROM generate_series(1, 25) batch, LATERAL (
		SELECT id, CASE WHEN cluster IS NULL THEN 1 ELSE 0 END, known, k, ts FROM (
			SELECT id, b, k, ts, streamproc.dbscan(ARRAY[x, y], eps => 4, min_points => 4) OVER (PARTITION BY k ORDER BY id) AS cluster, count(*) OVER (PARTITION BY k) AS known
			FROM (SELECT *, count(*) FILTER (WHERE b < batch) OVER (PARTITION BY k ORDER BY id ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS back
				FROM point WHERE b <= batch) seen
			WHERE b = batch OR back <= 40) scored
		WHERE b = batch) s $$;
SELECT count(*), count(*) FILTER (WHERE d.score IS DISTINCT FROM o.score) AS different, count(*) FILTER (WHERE o.score = 1) > 10 AS some,
	count(*) FILTER (WHERE d.is_anomaly <> (o.score = 1 AND o.known >= 20)) AS otherwise FROM noise_oracle() o FULL JOIN noise d USING (event);
SELECT DISTINCT alerts, threshold, explanation ->> 'method' AS method FROM noise WHERE is_anomaly;

-- one alert an episode: an anomaly isn't alerted within the cooldown of one that was
CREATE VIEW alerted AS
WITH RECURSIVE anomaly AS (SELECT event, k, ts, row_number() OVER (PARTITION BY k ORDER BY event) AS i FROM noise_oracle() WHERE score = 1 AND known >= 20),
	walk AS (SELECT event, k, i, true AS is_alert, ts AS last FROM anomaly WHERE i = 1
		UNION ALL SELECT a.event, a.k, a.i, NOT a.ts - interval '5 minutes' < w.last, CASE WHEN a.ts - interval '5 minutes' < w.last THEN w.last ELSE a.ts END
		FROM walk w JOIN anomaly a ON a.k = w.k AND a.i = w.i + 1)
SELECT event FROM walk WHERE is_alert;
SELECT count(*) > 3 AS some, count(*) FILTER (WHERE d.event IS NULL OR a.event IS NULL) AS different FROM alerted a FULL JOIN alerts d USING (event);

-- why: how far each feature is from the median of all points; and the alerts are one's own to work on
SELECT bool_and(explanation -> 'contributions' ?& '{x,y}' AND (explanation #>> '{expected,x,value}')::float8 BETWEEN 2 AND 8) AS explained,
	bool_and((explanation #>> '{contributions,x}')::float8 > 3) AS by_x FROM forest WHERE is_anomaly AND features[1] > 30;
SELECT bool_and(explanation IS NULL) FROM forest WHERE NOT is_anomaly;
WITH changed AS (UPDATE alerts SET status = 'closed', label = 'false positive', note = 'a test' WHERE event = (SELECT min(event) FROM alerts) RETURNING 1) SELECT count(*) FROM changed;
SELECT count(*) FROM streamproc.anomalies WHERE detector = 'alerts'::regclass AND status = 'open' AND score = 1;

-- a budget finds a threshold where the method has none
SELECT count(*) FILTER (WHERE is_anomaly) BETWEEN 2 AND 60 AS some, count(*) FILTER (WHERE threshold > 0) > 100 AS found FROM budget;

-- what is set for a key when its batch ends counts
INSERT INTO alerts_overrides (k, muted) VALUES ('a', true);
INSERT INTO forest_overrides (k, threshold) VALUES ('b', 0.1);
INSERT INTO event SELECT 100000 + i, 100, CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END, '2025-01-01 01:00+00'::timestamptz + i * interval '1 second', i % 7 + 100 * (i / 30), i % 5, NULL FROM generate_series(1, 30) i;
SELECT streamproc.wait_for();
SELECT k, bool_and(is_anomaly) AS all_of_them, min(threshold) FROM forest WHERE event > 100000 GROUP BY 1 ORDER BY 1;
SELECT k, count(*) FROM noise WHERE event > 100000 AND is_anomaly GROUP BY 1;
SELECT count(*) FROM alerts WHERE event > 100000;

-- what it can't do
SELECT * FROM streamproc.backtest('forest');
SELECT streamproc.explain('forest', '2025-01-01 00:02:37+00'::timestamptz);
SELECT streamproc.enforce('noise');

-- rows of a window: those that an event seals are a batch
CREATE TABLE tick (id bigint, k int, ts timestamptz, v float8);
SELECT streamproc.create_stream('tick', time_column => 'ts', watermark => '0', idle_timeout => '1 day');
SELECT streamproc.create_window('minute', 'tick', kind => 'tumbling', size => '1 minute', keys => '{k}', aggregates => '{count(*) AS n, sum(v) AS total}');
SELECT streamproc.create_detector('d', 'minute', 'lof', features => '{n, total}', sample => 'update');
SELECT streamproc.create_detector('odd', 'minute', 'isolation_forest', keys => '{}', features => '{n, total}', carry => '{k}', store => 'all',
	params => '{"trees": 20, "history_rows": 30, "warmup": 30}');
SELECT streamproc.create_detector('odd_of_key', 'minute', 'lof', features => '{n, total}', store => 'all', params => '{"k": 3, "history_rows": 30, "warmup": 5}');
SELECT streamproc.wait_for();
DO $$
BEGIN
	FOR m IN 0..20 LOOP
		INSERT INTO tick SELECT m * 1000 + i, i % 9, '2025-01-01'::timestamptz + m * interval '1 minute' + i * interval '0.5 second', (i * m * 31) % 17
			FROM generate_series(0, 30 + m * 7 % 31) i;
		COMMIT;
	END LOOP;
END $$;
SELECT streamproc.wait_for();
CREATE VIEW sealed AS SELECT k, window_end - interval '1 microsecond' AS ts, (extract(epoch FROM window_end - '2025-01-01') / 60)::int AS m, n::float8, total FROM minute WHERE is_final;
SELECT count(*) FROM sealed;
-- the order of a window's rows within a batch is that of their groups: by key as they came first
SELECT count(*), count(*) FILTER (WHERE d.score IS DISTINCT FROM o.score) AS different FROM odd_of_key d FULL JOIN (
	SELECT s.* FROM generate_series(1, 20) batch, LATERAL (SELECT k, ts, score FROM (
		SELECT k, ts, m, streamproc.lof(ARRAY[n, total], k => 3) OVER (PARTITION BY k ORDER BY m) AS score FROM sealed WHERE m BETWEEN batch - 30 AND batch) x WHERE m = batch) s) o
	ON d.k = o.k AND d.event_time = o.ts;
SELECT count(*), count(*) FILTER (WHERE d.score IS DISTINCT FROM o.score) AS different FROM odd d FULL JOIN (
	SELECT s.* FROM generate_series(1, 20) batch, LATERAL (SELECT k, ts, score FROM (
		SELECT *, streamproc.isolation_forest(ARRAY[n, total], trees => 20) OVER (ORDER BY i) AS score FROM (
			SELECT *, count(*) FILTER (WHERE m < batch) OVER (ORDER BY i ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS back
			FROM (SELECT s.*, d.ordinal, row_number() OVER (ORDER BY m, d.ordinal) AS i FROM sealed s JOIN odd d ON d.k = s.k AND d.event_time = s.ts) numbered WHERE m <= batch) seen
		WHERE m = batch OR back <= 30) x WHERE m = batch) s) o
	ON d.k = o.k AND d.event_time = o.ts;

-- history has no commits: batches end by event time
CREATE TABLE past AS SELECT i AS id, '2025-01-01'::timestamptz + i * interval '30 seconds' AS ts, (i * 7919) % 101 AS x, (i * 31) % 53 + CASE WHEN i % 97 = 0 THEN 200 ELSE 0 END AS y FROM generate_series(0, 499) i;
SELECT streamproc.create_stream('past', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_detector('by_time', 'past', 'isolation_forest', features => '{x,y}', carry => '{id AS event}', store => 'all', trigger => '10 minutes', history => '1 hour',
	params => '{"trees": 20, "warmup": 20}');
SELECT streamproc.create_detector('by_rows', 'past', 'isolation_forest', features => '{x,y}', carry => '{id AS event}', store => 'all',
	params => '{"trees": 20, "warmup": 20, "trigger_rows": 60, "history_rows": 100}');
SELECT streamproc.wait_for();
SELECT count(*), count(*) FILTER (WHERE d.score IS DISTINCT FROM o.score) AS different FROM by_time d FULL JOIN (
	SELECT s.* FROM generate_series(0, 24) batch, LATERAL (SELECT id AS event, score FROM (SELECT id, streamproc.isolation_forest(ARRAY[x, y], trees => 20) OVER (ORDER BY id) AS score
		FROM past WHERE id < batch * 20 + 20 AND (id >= batch * 20 OR ts > (SELECT max(ts) FROM past WHERE id < batch * 20 + 20) - interval '1 hour')) x WHERE id >= batch * 20) s) o USING (event);
SELECT count(*), count(*) FILTER (WHERE d.score IS DISTINCT FROM o.score) AS different FROM by_rows d FULL JOIN (
	SELECT s.* FROM generate_series(0, 8) batch, LATERAL (SELECT id AS event, score FROM (SELECT id, streamproc.isolation_forest(ARRAY[x, y], trees => 20) OVER (ORDER BY id) AS score
		FROM past WHERE id BETWEEN batch * 60 - 100 AND batch * 60 + 59) x WHERE id >= batch * 60) s) o USING (event);
-- and then go on with what history has left
INSERT INTO past SELECT i, '2025-01-01'::timestamptz + i * interval '30 seconds', (i * 7919) % 101, (i * 31) % 53 FROM generate_series(500, 530) i;
SELECT streamproc.wait_for();
SELECT count(*), count(*) FILTER (WHERE d.score IS DISTINCT FROM o.score) AS different FROM (SELECT * FROM by_rows WHERE event >= 500) d FULL JOIN (
	SELECT id AS event, score FROM (SELECT id, streamproc.isolation_forest(ARRAY[x, y], trees => 20) OVER (ORDER BY id) AS score FROM past WHERE id >= 400) x WHERE id >= 500) o USING (event);

-- hostile numbers, and a method that finds nothing in so few of them
CREATE TABLE wild (id int, ts timestamptz, x float8, y float8);
SELECT streamproc.create_stream('wild', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_detector(m, 'wild', m, features => '{x,y}', threshold => 5, carry => '{id AS event}', store => 'all',
	params => CASE WHEN m = 'dbscan' THEN '{"eps": 1, "warmup": 1, "history_rows": 0}' ELSE '{"warmup": 1, "history_rows": 0}' END::jsonb)
	FROM (SELECT method AS m FROM streamproc.methods WHERE takes LIKE '%micro-batches' AND method IN ('auto_score', 'isolation_forest', 'density_forest', 'sample_knn',
		'dbscan', 'knn_distance', 'lof', 'ecod', 'copod', 'hbos', 'pca_score', 'mcd', 'loda')) methods;
SELECT streamproc.wait_for();
INSERT INTO wild VALUES (1, '2025-01-01', 1, 2);
INSERT INTO wild SELECT 10 + i, '2025-01-01', v, -v FROM unnest('{1e300,-1e300,5e-324,0,-0,1e150,7,Infinity,-Infinity,NaN,NULL}'::float8[]) WITH ORDINALITY AS u(v, i);
INSERT INTO wild SELECT 100 + i, '2025-01-01', 3, 3 FROM generate_series(1, 50) i;
INSERT INTO wild VALUES (999, 'infinity', 1, 2), (1000, '-infinity', 1, 2);
SELECT streamproc.wait_for();
SELECT bool_and(rows = 58) AS rows, bool_and(state = 'running') AS running, count(*) FROM streamproc.status WHERE source = 'wild'::regclass AND kind = 'detector';
SELECT event, score IS NOT DISTINCT FROM (SELECT s FROM (SELECT id, streamproc.lof(x, y) OVER (ORDER BY id) AS s FROM wild w WHERE w.id / 10 = l.event / 10 AND abs(x) <> 'Infinity' AND x <> 'NaN') o WHERE o.id = l.event) AS same
	FROM lof l WHERE event < 100 ORDER BY event;
SELECT reason, count(*) FROM streamproc.dead_letter WHERE name = 'lof'::regclass GROUP BY 1 ORDER BY 1;
SELECT state, count(*) FROM streamproc.status WHERE source IN ('event'::regclass, 'wild'::regclass, 'past'::regclass, 'minute'::regclass) GROUP BY 1;

SET client_min_messages = error;
DROP SCHEMA micro_batch_test CASCADE;
