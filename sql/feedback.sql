--
-- Feedback: what users say of alerts moves the threshold of their key, within limits.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA feedback_test;
SET search_path = feedback_test, public;

CREATE TABLE load (id serial, host text, busy float8, ts timestamptz);
SELECT streamproc.create_stream('load', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_detector('odd', 'load', method => 'ewma', value => 'busy', keys => ARRAY['host'], carry => ARRAY['id AS load_id'],
	params => '{"alpha": 0.2, "warmup": 4, "feedback": 0.25, "feedback_limit": 3}', threshold => 3);
SELECT streamproc.create_detector('usual', 'load', method => 'ewma', value => 'busy', carry => ARRAY['id AS load_id'],
	params => '{"alpha": 0.2, "warmup": 4}', threshold => 3, filter => 'host = ''a''', store => 'all');
SELECT streamproc.create_detector('deaf', 'load', method => 'ewma', value => 'busy', keys => ARRAY['host'],
	params => '{"alpha": 0.2, "warmup": 4, "feedback": 0}', threshold => 3, store => 'all');
SELECT streamproc.create_detector('rule', 'load', method => 'rule', rules => ARRAY['busy > 50 AS much'], keys => ARRAY['host']);
SELECT streamproc.wait_for();

-- Hours of quiet with a spike in each, of three hosts, one of them without a name.
CREATE FUNCTION hours(first int, last int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO load (host, busy, ts) SELECT h, CASE WHEN i % 60 = 59 THEN 100 ELSE 20 + (i * 31) % 7 END,
		'2026-01-01 00:00+00'::timestamptz + i * interval '1 minute'
	FROM generate_series(first * 60, last * 60 - 1) i, unnest(ARRAY['a', 'b', NULL]) h ORDER BY i, h;
$$;
SELECT hours(0, 4);
SELECT streamproc.wait_for();
SELECT host, threshold, count(*) FROM odd GROUP BY 1, 2 ORDER BY 1, 2;

-- Every way to say it; what else a label may be is the user's own. Each one counts for its own key.
UPDATE odd SET label = (ARRAY['false positive', 'FP', 'normal', 'maintenance'])[n]
FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM odd WHERE host = 'a') o WHERE o.id = odd.id;
UPDATE odd SET label = (ARRAY['true positive', 'tp', 'anomaly', 'false_positive'])[n]
FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM odd WHERE host = 'b') o WHERE o.id = odd.id;
UPDATE odd SET label = 'true_positive' WHERE host IS NULL;
SELECT * FROM odd_overrides ORDER BY host;
SELECT hours(4, 6);
SELECT streamproc.wait_for();
-- 3 * 1.25^3 is 5.859375; 3 * 1.25^-2 is 1.92; 1.25^-4 is 0.4096, the limit a third or more.
SELECT host, threshold, count(*) FROM odd WHERE load_id > 720 GROUP BY 1, 2 ORDER BY 1, 2;

-- The same label again says nothing new, another one takes the first back, and so does none.
UPDATE odd SET label = 'fp' WHERE label IN ('false positive', 'normal');
UPDATE odd SET label = 'tp' WHERE label = 'FP';
UPDATE odd SET note = 'seen', status = 'closed';
UPDATE odd SET label = NULL WHERE host IS NULL;
UPDATE odd SET label = label;
BEGIN;
UPDATE odd SET label = 'fp';
ROLLBACK;
SELECT * FROM odd_overrides ORDER BY host;
SELECT hours(6, 7);
-- A threshold of the user's own is moved likewise, up to the limit.
UPDATE odd_overrides SET threshold = 4 WHERE host = 'b';
SELECT hours(7, 8);
SELECT streamproc.wait_for();
UPDATE odd SET label = 'fp' WHERE host = 'b';
SELECT hours(8, 9);
SELECT streamproc.wait_for();
SELECT hour, host, threshold, count(*) FROM (SELECT *, extract(hour FROM event_time) AS hour FROM odd) o WHERE hour >= 6 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT host, threshold, false_positives, true_positives FROM odd_overrides ORDER BY host;

-- Against plain SQL: the scores of score_online(), and the factor that the labels in the table come to.
CREATE VIEW expected AS
SELECT id, host, 3 * greatest(least(power(1.25, n), 3), 1 / 3.0::float8) AS threshold, (s.r).score FROM (
	SELECT *, extract(hour FROM ts) AS hour, streamproc.score_online('ewma', ts, busy, '{"alpha": 0.2, "warmup": 4}', 3) OVER (PARTITION BY host ORDER BY ts) AS r FROM load) s
	JOIN (VALUES ('a', 0, 4, 0), ('a', 4, 6, 3), ('a', 6, 9, 1), ('b', 0, 4, 0), ('b', 4, 7, -2), (NULL, 0, 4, 0), (NULL, 4, 6, -4), (NULL, 6, 9, 0))
	v (k, first, last, n) ON k IS NOT DISTINCT FROM host AND hour >= first AND hour < last;
SELECT count(*) AS alerts, count(*) FILTER (WHERE e IS NULL OR o IS NULL OR abs(e.threshold - o.threshold) > 1e-12 OR e.score <> o.score) AS different
FROM (SELECT * FROM expected WHERE score > threshold) e FULL JOIN (SELECT * FROM odd WHERE host IS DISTINCT FROM 'b' OR event_time < '2026-01-01 07:00+00') o ON o.load_id = e.id;

-- Without keys; the order of labels doesn't count; the default is a tenth, up to twice. Nor does one that is deaf change.
UPDATE usual SET label = 'fp' WHERE id IN (SELECT id FROM usual WHERE is_anomaly ORDER BY id LIMIT 2);
UPDATE deaf SET label = 'fp' WHERE is_anomaly;
UPDATE rule SET label = 'fp';
SELECT hours(9, 10);
UPDATE usual SET label = 'fp' WHERE is_anomaly;
SELECT hours(10, 11);
UPDATE usual SET label = 'tp';
SELECT hours(11, 12);
SELECT streamproc.wait_for();
SELECT extract(hour FROM event_time) AS hour, threshold, threshold = CASE extract(hour FROM event_time) WHEN 9 THEN 3 * power(1.1::float8, 2) WHEN 10 THEN 6 ELSE 1.5 END AS right, count(*)
FROM usual WHERE event_time >= '2026-01-01 09:00+00' GROUP BY 1, 2 ORDER BY 1;
SELECT DISTINCT threshold FROM deaf;
SELECT DISTINCT threshold FROM rule;
SELECT (SELECT sum(false_positives) FROM deaf_overrides) AS deaf, (SELECT sum(false_positives) FROM rule_overrides) AS rule;

-- It outlives the rows that were labelled, and a rebuild. Numbers are the user's to reset; fewer than none can't be taken back.
SELECT count(*) FROM (SELECT streamproc.pause('odd')) p;
DELETE FROM odd WHERE host = 'a';
SELECT streamproc.resume('odd');
SELECT streamproc.wait_for();
SELECT host, min(threshold), max(threshold) FROM odd WHERE note IS NULL GROUP BY 1 ORDER BY 1;
SELECT host, label, count(*) FROM odd WHERE label IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2;
UPDATE odd_overrides SET false_positives = 0;
UPDATE odd SET label = NULL;
SELECT host, threshold, false_positives, true_positives FROM odd_overrides ORDER BY host;
DELETE FROM odd_overrides;
UPDATE odd SET label = 'tp' WHERE id = (SELECT max(id) FROM odd WHERE host = 'b');
SELECT host, threshold, false_positives, true_positives FROM odd_overrides ORDER BY host;

-- Whoever may update labels moves thresholds, and can do nothing else.
SET client_min_messages = warning;
CREATE ROLE feedback_user;
GRANT USAGE, CREATE ON SCHEMA feedback_test TO feedback_user;
GRANT SELECT, UPDATE (label) ON odd TO feedback_user;
RESET client_min_messages;
SET ROLE feedback_user;
UPDATE odd SET label = 'fp' WHERE id = (SELECT max(id) FROM odd WHERE host = 'b');
SELECT * FROM odd_overrides;
CREATE TABLE forged AS SELECT * FROM odd LIMIT 1;
CREATE TRIGGER forge AFTER UPDATE ON forged FOR EACH ROW EXECUTE FUNCTION streamproc.follow_label();
UPDATE forged SET label = 'fp';
RESET ROLE;
SELECT host, threshold, false_positives, true_positives FROM odd_overrides ORDER BY host;

-- Parameters.
SELECT parameter, type, default_value, range FROM streamproc.method_parameters WHERE method = 'ewma' AND parameter LIKE 'feedback%' ORDER BY 1;
\set VERBOSITY terse
SELECT streamproc.create_detector('wrong', 'load', method => 'ewma', value => 'busy', params => '{"feedback": -0.1}');
SELECT streamproc.create_detector('wrong', 'load', method => 'ewma', value => 'busy', params => '{"feedback_limit": 0.5}');
SELECT streamproc.create_detector('wrong', 'load', method => 'rule', rules => ARRAY['busy > 1 AS some'], params => '{"feedback": 0.1}');
\set VERBOSITY default

-- When its source is gone, the result table is an ordinary one.
SET client_min_messages = warning;
DROP TABLE load CASCADE;
RESET client_min_messages;
UPDATE odd SET label = 'fp';
INSERT INTO odd_overrides (host, muted) VALUES ('new', true);
DELETE FROM odd_overrides;

SET client_min_messages = warning;
DROP SCHEMA feedback_test CASCADE;
DROP ROLE feedback_user;
