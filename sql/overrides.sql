--
-- Overrides of a detector for single keys, against score_online() with the other threshold, and against plain SQL.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA overrides_test;
SET search_path = overrides_test, public;

CREATE TABLE load (id int, host text, busy float8, ts timestamptz);
SELECT streamproc.create_stream('load', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_detector('odd', 'load', method => 'ewma', value => 'busy', keys => ARRAY['host'], carry => ARRAY['id AS load_id'],
	params => '{"alpha": 0.2, "warmup": 4}', threshold => 3, store => 'all');
SELECT streamproc.create_detector('strict', 'load', method => 'ewma', value => 'busy', keys => ARRAY['host'], carry => ARRAY['id AS load_id'],
	params => '{"alpha": 0.2, "warmup": 4}', threshold => 3, learn => 'capped');
-- Set in the transaction that creates it, for a key that was never seen.
BEGIN;
SELECT streamproc.create_detector('first', 'load', method => 'ewma', value => 'busy', keys => ARRAY['host'], carry => ARRAY['id AS load_id'],
	params => '{"alpha": 0.2, "warmup": 4}', threshold => 3);
INSERT INTO first_overrides (host, threshold, note) VALUES ('h1', 1.5, 'from the beginning');
COMMIT;
SELECT streamproc.wait_for();

-- Rows of four hosts and of none; every tenth stands out.
CREATE FUNCTION rows(first int, last int) RETURNS SETOF load LANGUAGE sql AS $$
	SELECT i * 10 + h, 'h' || nullif(h, 4), CASE WHEN i % 10 = 9 THEN (i * 7919 + h) % 61 - 10 ELSE 20 + (i * 31 + h * 7) % 11 END,
		'2026-01-01 00:00+00'::timestamptz + i * interval '1 minute'
	FROM generate_series(first, last) i, generate_series(1, 5) h ORDER BY i, h
$$;
INSERT INTO load SELECT * FROM rows(1, 60);
-- Each takes effect with its commit; what is rolled back doesn't.
INSERT INTO odd_overrides (host, threshold) VALUES ('h1', 2), (NULL, 5);
INSERT INTO odd_overrides (host, direction) VALUES ('h2', 'high');
INSERT INTO odd_overrides (host, muted) VALUES ('h3', true);
BEGIN;
SAVEPOINT a;
UPDATE odd_overrides SET threshold = 100;
ROLLBACK TO a;
INSERT INTO odd_overrides (host, threshold) VALUES ('h5', 1);
ROLLBACK;
INSERT INTO strict_overrides (host, threshold) VALUES ('h1', 1.5), ('h2', 6);
INSERT INTO strict_overrides (host, muted) VALUES ('h3', true);
INSERT INTO load SELECT * FROM rows(61, 120);
-- Before the rows of the same transaction, wherever it stands in it.
BEGIN;
INSERT INTO load SELECT * FROM rows(121, 140);
UPDATE odd_overrides SET threshold = 4, direction = 'low' WHERE host = 'h1';
DELETE FROM odd_overrides WHERE host IS NULL;
INSERT INTO load SELECT * FROM rows(141, 180);
COMMIT;
-- A key that becomes another.
UPDATE odd_overrides SET host = 'h5' WHERE host = 'h1';
INSERT INTO load SELECT * FROM rows(181, 240);
TRUNCATE odd_overrides;
INSERT INTO load SELECT * FROM rows(241, 300);
SELECT streamproc.wait_for();

-- Which threshold and direction holds for which row, as written above; the model is the same, for all is learned.
CREATE FUNCTION scored(t float8, d text) RETURNS TABLE (id int, r streamproc.online_score) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT id, streamproc.score_online(''ewma'', ts, busy, ''{"alpha": 0.2, "warmup": 4}'', %L, %L)
		OVER (PARTITION BY host ORDER BY ts, ctid) FROM load', t, d);
END $$;
CREATE VIEW expected_odd AS
WITH s AS (
	SELECT *, CASE WHEN id < 610 OR id >= 2410 THEN 3 WHEN host = 'h1' AND id < 1210 THEN 2 WHEN host = 'h1' AND id < 1810 THEN 4
			WHEN host = 'h5' AND id >= 1810 THEN 4 WHEN host IS NULL AND id < 1210 THEN 5 ELSE 3 END AS threshold,
		CASE WHEN id < 610 OR id >= 2410 THEN 'both' WHEN host = 'h2' THEN 'high'
			WHEN host = 'h1' AND id BETWEEN 1210 AND 1809 OR host = 'h5' AND id >= 1810 THEN 'low' ELSE 'both' END AS direction
	FROM load)
SELECT id, host, threshold, direction, (r).score, (r).lower_bound, (r).upper_bound, (r).is_anomaly FROM s JOIN
	(VALUES (3, 'both'), (2, 'both'), (4, 'both'), (5, 'both'), (3, 'high'), (4, 'low')) v (t, d) ON t = threshold AND d = direction
	JOIN (SELECT w.t AS of, w.d AS at, o.* FROM (VALUES (3, 'both'), (2, 'both'), (4, 'both'), (5, 'both'), (3, 'high'), (4, 'low')) w (t, d),
		scored(w.t, w.d) o) o USING (id) WHERE of = t AND at = d;
SELECT (SELECT count(*) FROM odd) AS rows, (SELECT count(*) FROM odd WHERE is_anomaly) AS anomalies,
	(SELECT count(*) FROM expected_odd e FULL JOIN odd o ON o.load_id = e.id WHERE e.host IS DISTINCT FROM o.host OR e.threshold IS DISTINCT FROM o.threshold
		OR e.score IS DISTINCT FROM o.score OR e.lower_bound IS DISTINCT FROM o.lower_bound OR e.upper_bound IS DISTINCT FROM o.upper_bound
		OR e.is_anomaly IS DISTINCT FROM o.is_anomaly) AS different;
SELECT host, threshold, count(*), count(*) FILTER (WHERE is_anomaly) AS anomalies FROM odd GROUP BY 1, 2 ORDER BY 1, 2;

-- With learn 'capped' the threshold tells as well what is learned. The oracle is ewma once more, in plain SQL.
CREATE FUNCTION capped(h text) RETURNS TABLE (load_id int, threshold float8, is_anomaly boolean) LANGUAGE plpgsql AS $$
DECLARE r record; n int := 0; weight float8 := 0; mean float8 := 0; variance float8 := 0; x float8; s float8; run int := 0; side int;
BEGIN
	FOR r IN SELECT * FROM load WHERE host = h ORDER BY ts LOOP
		load_id := r.id;
		threshold := CASE WHEN r.id < 610 THEN 3 WHEN h = 'h1' THEN 1.5 WHEN h = 'h2' THEN 6 ELSE 3 END;
		s := CASE WHEN n < 4 THEN 0 ELSE abs(r.busy - mean) / sqrt(variance) END;
		is_anomaly := n >= 4 AND s > threshold;
		x := r.busy;
		IF is_anomaly THEN
			side := sign(x - mean);
			run := CASE WHEN sign(run) = side THEN run + side ELSE side END;
			IF abs(run) < 20 THEN x := mean + side * threshold * sqrt(variance); END IF;
		ELSE
			run := 0;
		END IF;
		weight := 0.8 * weight + 1;
		variance := (1 - 1 / weight) * (variance + (x - mean) ^ 2 / weight);
		mean := mean + (x - mean) / weight;
		n := n + 1;
		RETURN NEXT;
	END LOOP;
END $$;
SELECT h, (SELECT count(*) FROM strict WHERE host = h) AS alerts,
	(SELECT count(*) FROM (SELECT * FROM capped(h) WHERE is_anomaly AND (h <> 'h3' OR load_id < 610)) e
		FULL JOIN (SELECT load_id, threshold FROM strict WHERE host = h) s USING (load_id, threshold)
		WHERE e IS NULL OR s IS NULL) AS different
FROM unnest(ARRAY['h1', 'h2', 'h3']) h ORDER BY 1;

-- What was set with the creation, and a detector that reads all of it as history.
SELECT host, count(*), min(threshold), max(threshold) FROM first GROUP BY 1 ORDER BY 1;
SELECT count(*) AS different FROM (SELECT id FROM (SELECT id, host, streamproc.score_online('ewma', ts, busy, '{"alpha": 0.2, "warmup": 4}',
	1.5) OVER (PARTITION BY host ORDER BY ts) AS r FROM load) s WHERE host = 'h1' AND (r).is_anomaly) e
	FULL JOIN (SELECT load_id AS id FROM first WHERE host = 'h1') f USING (id) WHERE e IS NULL OR f IS NULL;
BEGIN;
SELECT streamproc.create_detector('second', 'load', method => 'ewma', value => 'busy', keys => ARRAY['host'], carry => ARRAY['id AS load_id'],
	params => '{"alpha": 0.2, "warmup": 4}', threshold => 3);
INSERT INTO second_overrides (host, threshold) VALUES ('h1', 1.5);
COMMIT;
SELECT streamproc.wait_for();
SELECT count(*) AS different FROM first f FULL JOIN second s ON s.load_id = f.load_id AND s.threshold = f.threshold WHERE f IS NULL OR s IS NULL;
-- Built anew, it is the same; so is one that goes on with what it had.
SELECT streamproc.pause('second');
SELECT streamproc.resume('second');
SELECT streamproc.wait_for();
SELECT count(*) AS different FROM first f FULL JOIN second s ON s.load_id = f.load_id AND s.threshold = f.threshold WHERE f IS NULL OR s IS NULL;

-- What it would have said, says the same.
SELECT count(*) AS different FROM (SELECT event_time, key->>'host' AS host, threshold, score FROM streamproc.backtest_rows('second') WHERE is_alert) b
	FULL JOIN second s ON s.event_time = b.event_time AND s.host IS NOT DISTINCT FROM b.host AND s.threshold = b.threshold AND s.score = b.score
WHERE b IS NULL OR s IS NULL;

-- Rules: how many must hold. Without keys one row holds for all.
SELECT streamproc.create_detector('rules', 'load', method => 'rule', rules => ARRAY['busy > 10 AS some', 'busy > 20 AS many', 'busy > 30 AS lots'],
	carry => ARRAY['id AS load_id'], cooldown => '1 minute', backfill => false);
SELECT streamproc.wait_for();
INSERT INTO load VALUES (9001, 'a', 15, '2026-02-01 00:00+00');
INSERT INTO rules_overrides (threshold) VALUES (2);
INSERT INTO load VALUES (9002, 'a', 15, '2026-02-01 00:10+00'), (9003, 'a', 25, '2026-02-01 00:20+00');
UPDATE rules_overrides SET muted = true, threshold = NULL;
INSERT INTO load VALUES (9004, 'a', 35, '2026-02-01 00:30+00');
UPDATE rules_overrides SET muted = false, threshold = 2.5;
-- The muted one began no episode.
INSERT INTO load VALUES (9005, 'a', 25, '2026-02-01 00:30:10+00'), (9006, 'a', 35, '2026-02-01 00:30:20+00'), (9007, 'a', 35, '2026-02-01 00:30:30+00');
DELETE FROM rules_overrides;
INSERT INTO load VALUES (9008, 'a', 15, '2026-02-01 00:40+00');
SELECT streamproc.wait_for();
SELECT load_id, score, threshold, alerts FROM rules ORDER BY load_id;
INSERT INTO rules_overrides DEFAULT VALUES;
INSERT INTO rules_overrides DEFAULT VALUES;
INSERT INTO rules_overrides (direction) VALUES ('high') ON CONFLICT ((true)) DO UPDATE SET direction = 'high';

-- Beside a budget of alerts: a threshold of a key's own is constant, labels move the one that moves for all. It is the same for each 16 rows.
BEGIN;
SELECT streamproc.create_detector('thrifty', 'load', method => 'ewma', value => 'busy', keys => ARRAY['host'], params => '{"alerts_per_day": 20}', store => 'all');
INSERT INTO thrifty_overrides (host, threshold, false_positives) VALUES ('h1', 1000, 0), ('h2', NULL, 3), ('h3', 50, 20);
COMMIT;
SELECT streamproc.wait_for();
SELECT count(*) AS compared, count(*) FILTER (WHERE abs(l / f - power(1.1::float8, 3)) > 1e-9) * 5 < count(*) AS by_factor, min(h1) = 1000 AND max(h1) = 1000 AS own,
	min(h3) = 100 AND max(h3) = 100 AS own_by_limit FROM (SELECT event_time, max(threshold) FILTER (WHERE host = 'h2') AS l, max(threshold) FILTER (WHERE host = 'h5') AS f,
	max(threshold) FILTER (WHERE host = 'h1') AS h1, max(threshold) FILTER (WHERE host = 'h3') AS h3 FROM thrifty GROUP BY 1 HAVING count(*) = 5) t;

-- On a window, whose keys the detector has.
SELECT streamproc.create_window('load_10m', 'load', kind => 'tumbling', size => '10 minutes', keys => ARRAY['id % 2 AS parity', 'host'],
	aggregates => ARRAY['max(busy) AS busiest']);
SELECT streamproc.create_detector('high', 'load_10m', method => 'rule', rules => ARRAY['busiest > 0 AS "Some"', 'busiest > 40 AS "High"']);
INSERT INTO high_overrides (parity, host, threshold) VALUES (0, 'h1', 2);
INSERT INTO high_overrides (parity, host, muted) VALUES (1, NULL, true);
SELECT streamproc.wait_for();
INSERT INTO load SELECT id + 10000, host, busy, ts + interval '60 days' FROM load WHERE ts < '2026-01-01 02:00+00';
INSERT INTO load VALUES (20000, 'end', -1, '2026-04-01 00:00+00');
SELECT streamproc.wait_for();
SELECT count(*) > 50 AS many, count(*) FILTER (WHERE h IS NULL OR w IS NULL) AS different FROM
	(SELECT event_time + interval '1 microsecond' AS at, parity, host FROM high WHERE event_time > '2026-03-01 00:00+00') h FULL JOIN
	(SELECT window_end AS at, parity, host FROM load_10m WHERE is_final AND window_start >= '2026-03-01 00:00+00' AND busiest > 0
		AND NOT (parity = 1 AND host IS NULL) AND (busiest > 40 OR parity = 1 OR host IS DISTINCT FROM 'h1')) w
	ON w.at = h.at AND w.parity = h.parity AND w.host IS NOT DISTINCT FROM h.host;

-- What can't be set.
INSERT INTO odd_overrides (host, threshold) VALUES ('h1', 'NaN');
INSERT INTO odd_overrides (host, threshold) VALUES ('h1', 'Infinity');
INSERT INTO odd_overrides (host, threshold) VALUES ('h1', 0);
INSERT INTO odd_overrides (host, direction) VALUES ('h1', 'up');
INSERT INTO odd_overrides (host, muted) VALUES ('h1', NULL);
INSERT INTO odd_overrides (host) VALUES (NULL), (NULL);
INSERT INTO odd_overrides (host, false_positives) VALUES ('h1', -1);
\set VERBOSITY terse
INSERT INTO odd_overrides (host) SELECT string_agg(md5(i::text), '') FROM generate_series(1, 200) i;
\set VERBOSITY default
SELECT streamproc.create_detector('tree', 'load', method => 'mahalanobis', features => ARRAY['busy'], keys => ARRAY['host']);
INSERT INTO tree_overrides (host, direction) VALUES ('h1', 'low');
INSERT INTO tree_overrides (host, direction, threshold) VALUES ('h1', 'both', 7);
-- Nor without the CHECKs.
ALTER TABLE odd_overrides DROP CONSTRAINT threshold_is_positive, DROP CONSTRAINT direction_is_both_high_or_low;
INSERT INTO odd_overrides (host, threshold) VALUES ('h1', 'NaN');
INSERT INTO odd_overrides (host, threshold) VALUES ('h1', -1);
INSERT INTO odd_overrides (host, direction) VALUES ('h1', 'up');
ALTER TABLE odd_overrides DISABLE TRIGGER streamproc_override;
INSERT INTO odd_overrides (host, threshold, direction) VALUES ('h1', 'NaN', 'up'), ('h2', -1, 'high');
ALTER TABLE odd_overrides ENABLE ALWAYS TRIGGER streamproc_override;
-- Nor in columns that are others than they were.
ALTER TABLE odd_overrides ALTER COLUMN threshold TYPE numeric;
INSERT INTO odd_overrides (host, threshold) VALUES ('h3', 1);
ALTER TABLE odd_overrides ALTER COLUMN threshold TYPE float8;
ALTER TABLE odd_overrides ALTER COLUMN host TYPE varchar;
INSERT INTO odd_overrides (host, threshold) VALUES ('h3', 1);
ALTER TABLE odd_overrides ALTER COLUMN host TYPE text;
SELECT streamproc.pause('odd');
SELECT streamproc.resume('odd');
SELECT streamproc.wait_for();
-- Values that got into the table all the same count as none.
SELECT host, threshold, count(*), count(*) FILTER (WHERE is_anomaly) AS anomalies FROM odd WHERE host IN ('h1', 'h2') GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*) AS different FROM load l JOIN odd o ON o.load_id = l.id JOIN (SELECT 'h1' AS host, * FROM scored(3, 'both')
	UNION ALL SELECT 'h2', * FROM scored(3, 'high')) e ON e.id = l.id AND e.host = l.host WHERE o.is_anomaly <> (e.r).is_anomaly;

-- Names.
CREATE TABLE taken_overrides ();
SELECT streamproc.create_detector('taken', 'load', value => 'busy');
SELECT streamproc.create_detector('muted', 'load', value => 'busy', keys => ARRAY['host AS muted']);
SELECT streamproc.create_detector('odd', 'load', value => 'busy', if_not_exists => true);
SELECT count(*) FROM odd_overrides;
SELECT streamproc.create_detector('odd', 'load', value => 'busy', keys => ARRAY['id AS place'], replace => true);
SELECT * FROM odd_overrides;

-- Whoever owns the detector writes it; who owns another table can't write in its name.
SET client_min_messages = warning;
CREATE ROLE overrides_user;
GRANT USAGE ON SCHEMA overrides_test TO overrides_user;
GRANT CREATE ON SCHEMA overrides_test TO overrides_user;
RESET client_min_messages;
SET ROLE overrides_user;
INSERT INTO odd_overrides (place, muted) VALUES (1, true);
CREATE TABLE forged (place int, threshold float8, direction text, muted boolean);
CREATE TRIGGER forge AFTER INSERT ON forged FOR EACH ROW EXECUTE FUNCTION streamproc.follow_override();
INSERT INTO forged (place, muted) VALUES (1, true);
DROP TRIGGER forge ON forged;
CREATE TRIGGER forge BEFORE INSERT ON forged FOR EACH ROW EXECUTE FUNCTION streamproc.follow_override();
INSERT INTO forged (place, muted) VALUES (1, true);
SELECT streamproc.follow_override();
RESET ROLE;
GRANT INSERT ON odd_overrides TO overrides_user;
SET ROLE overrides_user;
INSERT INTO odd_overrides (place, threshold) VALUES (1, 1);
RESET ROLE;
SELECT place, threshold FROM odd_overrides;

-- The table is dropped: so is what it said. It goes with its detector.
INSERT INTO first_overrides (host, muted) VALUES ('gone', true) RETURNING host;
SELECT streamproc.wait_for();
DROP TABLE first_overrides;
INSERT INTO load SELECT 30000 + i, 'h1', 20 + i % 3, '2026-05-01 00:00+00'::timestamptz + i * interval '1 minute' FROM generate_series(1, 40) i;
INSERT INTO load VALUES (31000, 'h1', 500, '2026-05-02 00:00+00');
SELECT streamproc.wait_for();
SELECT load_id, threshold FROM first WHERE load_id >= 31000;
SELECT streamproc.drop_detector('second');
SELECT to_regclass('second_overrides');
DROP TABLE strict;
SELECT to_regclass('strict_overrides');
SELECT name, state, reason FROM streamproc.status WHERE name::text IN ('load', 'odd', 'first', 'rules', 'high', 'tree') ORDER BY name::text;

SET client_min_messages = warning;
SELECT streamproc.drop_stream('load', cascade => true);
DROP SCHEMA overrides_test CASCADE;
DROP ROLE overrides_user;
