--
-- Detectors with sample => 'update': rows of a window, scored at each commit that changes them, and learned once.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA sample_test;
SET search_path = sample_test, public;

-- What will come: each tx is a transaction. Some rows come late, some windows are high, some are low.
CREATE TABLE plan (tx int, id int, key int, amount float8, ts timestamptz);
INSERT INTO plan SELECT 1 + i / 3, i, i % 3, CASE WHEN i / 24 = 17 AND i % 3 = 1 AND i % 24 > 8 THEN 60 WHEN i / 24 = 25 AND i % 24 IN (3, 9) THEN 200
		WHEN i / 24 = 21 THEN 0.5 WHEN i / 24 = 30 AND i % 3 = 2 THEN -20 ELSE 10 + (i * 7919) % 13 / 8.0 END,
	'2026-01-01 00:00+00'::timestamptz + i * interval '2.5 seconds' - CASE WHEN i % 11 = 5 THEN interval '25 seconds' WHEN i % 37 = 8 THEN interval '100 seconds' ELSE '0' END
FROM generate_series(0, 959) i;
CREATE TABLE payment (LIKE plan);
CREATE PROCEDURE play(first int, last int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN first .. last LOOP
		INSERT INTO payment SELECT * FROM plan WHERE tx = i ORDER BY id;
		COMMIT;
	END LOOP;
END $$;

SELECT streamproc.create_stream('payment', time_column => 'ts', watermark => '10 seconds', idle_timeout => '1 day');
SELECT streamproc.create_window('tumbling', 'payment', kind => 'tumbling', size => '1 minute', keys => ARRAY['key'],
	aggregates => ARRAY['count(*) AS n', 'sum(amount) AS total']);
SELECT streamproc.create_window('graceful', 'payment', kind => 'tumbling', size => '1 minute', keys => ARRAY['key'], grace => '40 seconds', emit => 'final',
	aggregates => ARRAY['count(*) AS n', 'sum(amount) AS total']);
SELECT streamproc.create_window('hopping', 'payment', kind => 'hopping', size => '1 minute', slide => '20 seconds', keys => ARRAY['key'], emit => 'update',
	aggregates => ARRAY['count(*) AS n', 'sum(amount) AS total'], trigger => '1 hour');
SELECT streamproc.create_window('cumulative', 'payment', kind => 'cumulative', size => '1 minute', slide => '20 seconds', keys => ARRAY['key'], emit => 'update',
	grace => '20 seconds', aggregates => ARRAY['count(*) AS n', 'sum(amount) AS total'], group_filter => 'count(*) > 1');
CREATE TABLE use (win text, direction text, store text);
INSERT INTO use SELECT w, d, s FROM unnest(ARRAY['tumbling', 'graceful', 'hopping', 'cumulative']) w, unnest(ARRAY['both', 'low', 'high']) d, unnest(ARRAY['all', 'anomalies']) s;
SELECT count(streamproc.create_detector(format('%s_%s_%s', win, direction, store), win::regclass, method => 'ewma', value => 'total', carry => ARRAY['window_start AS ws', 'window_end AS we', 'n', 'is_final'],
	params => '{"warmup": 6, "alpha": 0.1}', threshold => 3, direction => direction, store => store, sample => 'update')) FROM use;
SELECT streamproc.wait_for();
CALL play(1, 150);
SELECT streamproc.wait_for();
CALL play(151, 320);
SELECT streamproc.wait_for();

-- Plain SQL: what each window had after each commit, when it was final and sealed, and what a query says of it after the
-- windows that were sealed by then. Before it is final, only what is above is told.
CREATE TABLE clock AS SELECT tx, max(max(ts)) OVER (ORDER BY tx) - interval '10 seconds' AS watermark FROM plan GROUP BY tx;
CREATE TABLE placed AS
SELECT win, grace, p.*, window_start AS ws, window_end AS we FROM plan p, LATERAL (
	SELECT 'tumbling' AS win, interval '0' AS grace, * FROM streamproc.tumble(ts, '1 minute') UNION ALL
	SELECT 'graceful', '40 seconds', * FROM streamproc.tumble(ts, '1 minute') UNION ALL
	SELECT 'hopping', '0', * FROM streamproc.hop(ts, '20 seconds', '1 minute') UNION ALL
	SELECT 'cumulative', '20 seconds', * FROM streamproc.cumulate(ts, '20 seconds', '1 minute')) w
WHERE NOT EXISTS (SELECT FROM clock c WHERE c.tx < p.tx AND c.watermark >= window_end + grace);
CREATE TABLE win AS SELECT win, ws, we, (SELECT min(tx) FROM clock WHERE watermark >= we) AS final_at,
	(SELECT min(tx) FROM clock WHERE watermark >= we + grace) AS sealed_at FROM (SELECT DISTINCT win, ws, we, grace FROM placed) p;
CREATE TABLE change AS
SELECT row_number() OVER () AS no, win, key, ws, we, tx, tx IS NOT DISTINCT FROM sealed_at AS sealed, coalesce(tx >= final_at, false) AS is_final, a.* FROM (
	SELECT win, key, ws, we, tx, final_at, sealed_at FROM placed JOIN win USING (win, ws, we) WHERE tx < sealed_at OR sealed_at IS NULL UNION
	SELECT win, key, ws, we, final_at, final_at, sealed_at FROM placed JOIN win USING (win, ws, we) WHERE final_at IS NOT NULL AND tx <= final_at UNION
	SELECT win, key, ws, we, sealed_at, final_at, sealed_at FROM placed JOIN win USING (win, ws, we) WHERE sealed_at IS NOT NULL) c,
	LATERAL (SELECT count(*) AS n, sum(amount ORDER BY tx, id) AS total FROM placed p WHERE p.win = c.win AND p.key = c.key AND p.ws = c.ws AND p.we = c.we AND p.tx <= c.tx) a
WHERE win <> 'cumulative' OR n > 1;
CREATE TABLE expected AS
WITH series AS (
	SELECT no, true AS own, we, total FROM change UNION ALL
	SELECT c.no, false, s.we, s.total FROM change c JOIN change s USING (win, key) WHERE s.sealed AND s.tx <= c.tx AND (s.we < c.we)),
score AS (
	SELECT no, own, streamproc.score_online('ewma', we, total, '{"warmup": 6, "alpha": 0.1}', 3, 'both') OVER w AS any_side,
		streamproc.score_online('ewma', we, total, '{"warmup": 6, "alpha": 0.1}', 3, 'high') OVER w AS high,
		streamproc.score_online('ewma', we, total, '{"warmup": 6, "alpha": 0.1}', 3, 'low') OVER w AS low
	FROM series WINDOW w AS (PARTITION BY no ORDER BY we)),
said AS (
	SELECT c.*, d.direction, CASE WHEN NOT is_final OR d.direction = 'high' THEN high WHEN d.direction = 'both' THEN any_side ELSE low END AS s
	FROM change c JOIN score USING (no), unnest(ARRAY['both', 'low', 'high']) d (direction) WHERE own AND (is_final OR d.direction <> 'low'))
SELECT win, direction, key, ws, we, n, total, is_final, tx, (s).score, (s).is_anomaly,
	(s).is_anomaly AND row_number() OVER (PARTITION BY win, direction, key, ws, we, (s).is_anomaly ORDER BY tx) = 1 AS is_told FROM said;
CREATE TABLE said (win text, direction text, store text, key int, event_time timestamptz, ws timestamptz, we timestamptz, n bigint, value float8, is_final boolean,
	score float8, is_anomaly boolean, lsn pg_lsn, ordinal bigint, id bigint);
DO $$
DECLARE u use;
BEGIN
	FOR u IN SELECT * FROM use LOOP
		EXECUTE format('INSERT INTO said SELECT $1.win, $1.direction, $1.store, key, event_time, ws, we, n, value, is_final, score, is_anomaly, lsn, ordinal, id FROM %I',
			format('%s_%s_%s', u.win, u.direction, u.store)) USING u;
	END LOOP;
END $$;
CREATE VIEW wanted AS SELECT win, direction, store, key, ws, we, n, total AS value, is_final, score, is_anomaly, tx, we - interval '1 microsecond' AS event_time
FROM expected, unnest(ARRAY['all', 'anomalies']) s (store) WHERE store = 'all' OR is_told;
-- The same rows, with the same scores, each at its commit: the order of commits is that of lsn.
SELECT win, direction, store, count(*) AS rows, count(*) FILTER (WHERE d.is_anomaly) AS anomalies, count(*) FILTER (WHERE d.is_anomaly AND NOT d.is_final) AS early,
	count(*) FILTER (WHERE d.id IS NULL OR w.tx IS NULL) AS different, count(*) FILTER (WHERE (d.value, d.score, d.is_anomaly, d.event_time) IS DISTINCT FROM
		(w.value, w.score, w.is_anomaly, w.event_time)) AS other_values, count(*) FILTER (WHERE d.nth_commit <> w.nth_commit) AS other_commits
FROM (SELECT *, dense_rank() OVER (PARTITION BY win, direction, store ORDER BY lsn) AS nth_commit,
		row_number() OVER (PARTITION BY win, direction, store, key, ws, we, n, is_final ORDER BY lsn) AS nth FROM said) d
	FULL JOIN (SELECT *, dense_rank() OVER (PARTITION BY win, direction, store ORDER BY tx) AS nth_commit,
		row_number() OVER (PARTITION BY win, direction, store, key, ws, we, n, is_final ORDER BY tx) AS nth FROM wanted) w
	USING (win, direction, store, key, ws, we, n, is_final, nth)
GROUP BY win, direction, store ORDER BY win, direction, store;


-- Sessions, some of which a row bridges: what was told of a part isn't told again of the whole. And running totals.
CREATE TABLE visit_plan (tx int, id int, key int, amount float8, ts timestamptz);
INSERT INTO visit_plan SELECT 1 + i / 2, i, i % 2, CASE WHEN i / 16 % 12 = 7 AND i / 2 % 8 IN (1, 2) OR i / 16 % 12 = 11 AND i / 2 % 8 IN (5, 6) AND i % 2 = 1 THEN 400 ELSE 8 + (i * 7919) % 13 / 8.0 END,
	'2026-01-01 00:00+00'::timestamptz + (i / 2 * 3 + i / 16 * 15) * interval '1 second' - CASE WHEN i / 2 % 8 = 4 AND i / 16 % 3 = 1 THEN interval '21 seconds' ELSE '0' END
FROM generate_series(0, 799) i;
CREATE TABLE visit (LIKE visit_plan);
CREATE PROCEDURE visit(first int, last int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN first .. last LOOP
		INSERT INTO visit SELECT * FROM visit_plan WHERE tx = i ORDER BY id;
		COMMIT;
	END LOOP;
END $$;
SELECT streamproc.create_stream('visit', time_column => 'ts', watermark => '40 seconds', idle_timeout => '1 day');
SELECT streamproc.create_window('session', 'visit', kind => 'session', gap => '10 seconds', keys => ARRAY['key'], aggregates => ARRAY['count(*) AS n', 'sum(amount) AS total']);
SELECT streamproc.create_window('running', 'visit', kind => 'global', keys => ARRAY['key'], aggregates => ARRAY['count(*) AS n', 'sum(amount) AS total']);
SELECT streamproc.create_detector('sessions_all', 'session', method => 'ewma', value => 'total', carry => ARRAY['window_start AS ws', 'window_end AS we', 'n', 'is_final'],
	params => '{"warmup": 6, "alpha": 0.1}', threshold => 3, store => 'all', sample => 'update');
SELECT streamproc.create_detector('sessions', 'session', method => 'ewma', value => 'total', carry => ARRAY['window_start AS ws', 'window_end AS we', 'n', 'is_final'],
	params => '{"warmup": 6, "alpha": 0.1}', threshold => 3, sample => 'update');
SELECT streamproc.create_detector('totals', 'running', method => 'rule', rules => ARRAY['total > 1000 AS much', 'n > 200 AS many'], carry => ARRAY['n', 'total'], sample => 'update');
SELECT streamproc.create_detector('totals_all', 'running', method => 'rule', rules => ARRAY['total > 1000 AS much', 'n > 200 AS many'], carry => ARRAY['n', 'total'],
	store => 'all', sample => 'update');
SELECT streamproc.wait_for();
CALL visit(1, 400);
SELECT streamproc.wait_for();
CREATE TABLE visit_clock AS SELECT tx, max(max(ts)) OVER (ORDER BY tx) - interval '40 seconds' AS watermark FROM visit_plan GROUP BY tx;
CREATE TABLE visit_state AS
SELECT c.tx, watermark, key, min(ts) AS ws, max(ts) + interval '10 seconds' AS we, count(*) AS n, sum(amount) AS total, bool_or(row_tx = c.tx) AS changed
FROM visit_clock c, LATERAL (
	SELECT *, count(*) FILTER (WHERE begins) OVER (PARTITION BY key ORDER BY ts, id) AS session FROM (
		SELECT tx AS row_tx, id, key, amount, ts, ts - lag(ts) OVER (PARTITION BY key ORDER BY ts, id) >= '10 seconds' AS begins FROM visit_plan p WHERE p.tx <= c.tx) r) r
GROUP BY c.tx, watermark, key, session;
CREATE TABLE visit_change AS
SELECT row_number() OVER () AS no, * FROM (
	SELECT *, false AS is_final FROM visit_state WHERE changed AND watermark < we UNION ALL
	(SELECT DISTINCT ON (key, ws, we) *, true FROM visit_state WHERE watermark >= we ORDER BY key, ws, we, tx)) c;
CREATE TABLE visit_expected AS
WITH series AS (
	SELECT no, true AS own, we, total FROM visit_change UNION ALL
	SELECT c.no, false, s.we, s.total FROM visit_change c JOIN visit_change s USING (key) WHERE s.is_final AND s.tx <= c.tx AND s.we < c.we),
score AS (
	SELECT no, own, streamproc.score_online('ewma', we, total, '{"warmup": 6, "alpha": 0.1}', 3) OVER w AS any_side,
		streamproc.score_online('ewma', we, total, '{"warmup": 6, "alpha": 0.1}', 3, 'high') OVER w AS high
	FROM series WINDOW w AS (PARTITION BY no ORDER BY we))
SELECT c.*, (s).score, (s).is_anomaly FROM (SELECT c.*, CASE WHEN is_final THEN any_side ELSE high END AS s FROM visit_change c JOIN score USING (no) WHERE own) c;
SELECT count(*) AS rows, count(*) FILTER (WHERE d.id IS NULL OR e.no IS NULL) AS different,
	count(*) FILTER (WHERE (value, d.score, d.is_anomaly, event_time) IS DISTINCT FROM (total, e.score, e.is_anomaly, we - interval '1 microsecond')) AS other_values,
	count(*) FILTER (WHERE nth_commit <> nth_tx) AS other_commits, count(*) FILTER (WHERE d.is_anomaly AND NOT is_final) AS early
FROM (SELECT *, dense_rank() OVER (ORDER BY lsn) AS nth_commit FROM sessions_all) d
	FULL JOIN (SELECT *, dense_rank() OVER (ORDER BY tx) AS nth_tx FROM visit_expected) e USING (key, ws, we, n, is_final);
-- Told is the first anomaly of a session, or of what has become a part of it.
CREATE VIEW visit_told AS SELECT * FROM visit_expected e WHERE is_anomaly AND NOT EXISTS (SELECT FROM visit_expected b
	WHERE b.is_anomaly AND b.key = e.key AND b.tx < e.tx AND b.ws < e.we AND b.we > e.ws);
SELECT (SELECT count(*) FROM sessions) AS told, (SELECT count(*) FROM visit_told) AS expected, (SELECT count(*) FROM (SELECT key, ws, we, n, score FROM sessions EXCEPT ALL SELECT key, ws, we, n, score FROM visit_told) d) AS different,
	(SELECT count(*) FROM visit_told t WHERE EXISTS (SELECT FROM visit_expected p WHERE p.key = t.key AND p.is_final AND p.ws <= t.ws AND p.we >= t.we AND (p.ws, p.we) <> (t.ws, t.we))) > 0 AS some_grew,
	(SELECT count(*) FROM visit_told t JOIN visit_expected p ON p.key = t.key AND p.is_final AND p.ws < t.ws AND p.we >= t.we) > 0 AS some_were_absorbed;
-- Totals at each commit; an alert for each key, at the first one. Its time is as far as the stream had come.
CREATE VIEW running_expected AS SELECT key, tx, count(*) OVER w AS n, sum(amount) OVER w AS total, max(ts) OVER (ORDER BY tx) AS event_time FROM visit_plan WINDOW w AS (PARTITION BY key ORDER BY tx);
SELECT count(*) AS rows, count(*) FILTER (WHERE (d.total, d.event_time, d.score) IS DISTINCT FROM (e.total, e.event_time, (e.total > 1000)::int + (e.n > 200)::int)) AS different
FROM totals_all d FULL JOIN running_expected e USING (key, n);
SELECT key, n = (SELECT min(n) FROM running_expected e WHERE e.key = t.key AND (total > 1000 OR n > 200)) AS first, alerts FROM totals t ORDER BY key;

-- One alert in a while, whether it comes early or not; what is told early is no less told.
CREATE TABLE hit (id int, ts timestamptz);
SELECT streamproc.create_stream('hit', time_column => 'ts', watermark => '0', idle_timeout => '1 day');
SELECT streamproc.create_window('hits', 'hit', kind => 'tumbling', size => '1 minute', aggregates => ARRAY['count(*) AS n', 'max(id) AS last']);
SELECT streamproc.create_detector('busy', 'hits', method => 'rule', rules => ARRAY['n >= 3 AS "Three"', 'n >= 5 AS "Five"'], carry => ARRAY['window_start', 'n', 'last', 'is_final'], sample => 'update');
SELECT streamproc.create_detector('busy_calm', 'hits', method => 'rule', rules => ARRAY['n >= 3 AS "Three"'], carry => ARRAY['window_start', 'n', 'is_final'], cooldown => '3 minutes', sample => 'update');
SELECT streamproc.create_detector('few', 'hits', method => 'rule', rules => ARRAY['n < 3 AND is_final AS "Few"'], carry => ARRAY['window_start', 'n', 'is_final'], sample => 'update', store => 'all');
SELECT streamproc.create_detector('failing', 'hits', method => 'rule', rules => ARRAY['1 / (n - 2) > 5 AS "Never"'], carry => ARRAY['n'], sample => 'update', store => 'all');
SELECT streamproc.create_window('of_hits', 'hits', kind => 'tumbling', size => '10 minutes', aggregates => ARRAY['sum(n) AS n', 'count(*) AS windows']);
SELECT streamproc.create_detector('of_them', 'of_hits', method => 'rule', rules => ARRAY['n >= 7 AS "Seven"'], carry => ARRAY['n', 'windows', 'is_final'], sample => 'update');
SELECT streamproc.wait_for();
DO $$
DECLARE minute int; i int := 0;
BEGIN
	FOR minute IN SELECT unnest(ARRAY[0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 4, 4, 4, 5, 6]) LOOP
		i := i + 1;
		INSERT INTO hit VALUES (i, '2026-01-01 00:00+00'::timestamptz + minute * interval '1 minute' + i * interval '1 second');
		COMMIT;
	END LOOP;
END $$;
INSERT INTO hit SELECT 100 + i, '2026-01-01 00:07+00' FROM generate_series(1, 4) i;
SELECT streamproc.wait_for();
SELECT window_start, n, last, is_final, alerts, ordinal FROM busy ORDER BY id;
SELECT window_start, n, is_final FROM busy_calm ORDER BY id;
SELECT window_start, n, is_final FROM few WHERE is_anomaly ORDER BY id;
-- What can't be scored is told of when it is final.
SELECT count(*) AS scored, count(*) FILTER (WHERE n = 2) AS of_two FROM failing;
SELECT reason, message, event_time, row_data->>'n' AS n FROM streamproc.dead_letter WHERE name = 'failing'::regclass ORDER BY id;
SELECT event_time, n, windows, is_final FROM of_them ORDER BY id;

-- Looking teaches nothing: final rows are scored as if nobody had looked, by every method.
CREATE TABLE method AS SELECT method, takes FROM streamproc.methods WHERE method NOT IN ('rule', 'silence', 'model') AND takes NOT LIKE '%micro-batches';
TRUNCATE payment;
SELECT streamproc.create_window('by_time', 'payment', kind => 'tumbling', size => '15 seconds', aggregates => ARRAY['count(*) AS n', 'sum(amount) AS total', 'max(id) FILTER (WHERE id % 7 = 0) AS rest']);
SELECT count(streamproc.create_detector(method || '_' || sample, 'by_time', method => method, value => CASE WHEN takes <> 'features' THEN 'total' END,
	features => CASE WHEN takes = 'features' THEN ARRAY['total', 'rest % 10 AS rest'] END, store => 'all', carry => ARRAY['window_start', 'is_final'], sample => sample,
	params => CASE method WHEN 'velocity' THEN '{"sum": 100, "interval": "10 minutes"}' WHEN 'random_cut_forest' THEN '{"missing": "last", "warmup": 96}' WHEN 'half_space_trees' THEN '{"missing": "last", "window": 32}'
		WHEN 'ensemble' THEN '{"missing": "last", "methods": ["ewma", "zscore"]}' ELSE '{"missing": "last"}' END::jsonb)) FROM method, unnest(ARRAY['final', 'update']) s (sample);
SELECT streamproc.wait_for();
UPDATE plan SET ts = ts + interval '1 day';
CALL play(1, 320);
SELECT streamproc.wait_for();
CREATE FUNCTION different(method text) RETURNS TABLE (looked bigint, rows bigint, different bigint) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT (SELECT count(*) FROM %1$I WHERE NOT is_final), count(*), count(*) FILTER (WHERE (u.value, u.features, u.score, u.p_value, u.is_anomaly, u.expected) IS DISTINCT FROM
		(f.value, f.features, f.score, f.p_value, f.is_anomaly, f.expected)) FROM (SELECT * FROM %1$I WHERE is_final) u FULL JOIN %2$I f USING (window_start)', method || '_update', method || '_final');
END $$;
SELECT count(*) > 12 AS methods, min(looked) > 200 AS looked, min(rows) > 100 AS final, sum(different) AS different FROM method, different(method);
SELECT count(*) AS learned_otherwise FROM method m, streamproc.status u, streamproc.status f WHERE u.name = (method || '_update')::regclass AND f.name = (method || '_final')::regclass
	AND (u.warm_up, u.rows) IS DISTINCT FROM (f.warm_up, f.rows);

-- Where it has no meaning.
SELECT streamproc.create_window('panes', 'payment', kind => 'hopping', size => '1 minute', slide => '20 seconds', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('answers', 'payment', kind => 'sliding', size => '1 minute', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_detector('bad', 'payment', method => 'rule', rules => ARRAY['amount > 5 AS high'], sample => 'update');
SELECT streamproc.create_detector('bad', 'panes', method => 'rule', rules => ARRAY['n > 5 AS high'], sample => 'update');
SELECT streamproc.create_detector('bad', 'running', method => 'rule', rules => ARRAY['n > 5 AS high']);
SELECT streamproc.create_detector('bad', 'running', method => 'ewma', value => 'n', sample => 'update');
SELECT streamproc.create_detector('bad', 'running', method => 'velocity', params => '{"events": 5, "interval": "1 minute"}', sample => 'update');
SELECT streamproc.create_detector('bad', 'tumbling', method => 'rule', rules => ARRAY['n > 5 AS high'], sample => 'sometimes');
SELECT streamproc.create_detector('bad', 'tumbling', method => 'rule', rules => ARRAY['n > 5 AS high'], sample => NULL);
SELECT streamproc.create_detector('bad', 'tumbling', method => 'silence', sample => 'update');
-- Answers of a sliding window are final at once.
SELECT streamproc.create_detector('of_answers', 'answers', method => 'rule', rules => ARRAY['n > 5 AS high'], sample => 'update', store => 'all', backfill => false);
SELECT streamproc.wait_for();
UPDATE plan SET ts = ts + interval '1 day';
CALL play(1, 5);
SELECT streamproc.wait_for();
SELECT count(*), max(score) FROM of_answers;
SELECT name, state, reason FROM streamproc.status WHERE source IS NOT NULL AND state <> 'running';

SET client_min_messages = warning;
DROP SCHEMA sample_test CASCADE;
