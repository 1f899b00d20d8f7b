--
-- fill => 'zero': a key that is silent has windows without rows, so that silence is seen.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA fill_test;
SET search_path = fill_test, public;

CREATE TABLE ping (host text, ms int, ts timestamptz);
SELECT streamproc.create_stream('ping', time_column => 'ts', watermark => '0', idle_timeout => '1 day');
SELECT streamproc.create_window('pings', 'ping', kind => 'tumbling', size => '1 minute', keys => '{host}', fill => 'zero',
	aggregates => ARRAY['count(*) AS n', 'sum(ms) AS total', 'avg(ms) AS mean']);
SELECT streamproc.create_window('pings_hop', 'ping', kind => 'hopping', size => '2 minutes', slide => '1 minute', keys => '{host}',
	fill => 'zero', aggregates => ARRAY['count(*) AS n', 'max(ms) AS most']);
SELECT streamproc.create_window('pings_live', 'ping', kind => 'hopping', size => '2 minutes', slide => '1 minute', keys => '{host}',
	fill => 'zero', emit => 'update', aggregates => ARRAY['count(*) AS n', 'max(ms) AS most']);
SELECT streamproc.create_window('brief', 'ping', kind => 'tumbling', size => '1 minute', keys => '{host}', fill => 'zero',
	retention => '3 minutes', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('no_keys', 'ping', kind => 'tumbling', size => '1 minute', fill => 'zero', emit => 'final',
	aggregates => ARRAY['count(*) AS n', 'count(DISTINCT host) AS hosts']);
SELECT streamproc.create_detector('silent', 'pings', method => 'rule', rules => ARRAY['n = 0 AS silent']);
SELECT streamproc.create_detector('brief_silent', 'brief', method => 'rule', rules => ARRAY['n = 0 AS silent']);
SELECT streamproc.wait_for();
INSERT INTO ping VALUES ('a', 10, '2026-01-01 00:00:10'), ('b', 20, '2026-01-01 00:00:20');
INSERT INTO ping VALUES ('a', 30, '2026-01-01 00:01:10');
-- an outage of both, then one of them is back
INSERT INTO ping VALUES ('a', 40, '2026-01-01 00:05:10');
SELECT streamproc.wait_for();
SELECT window_start, window_end, host, n, total, mean, is_final FROM pings ORDER BY host, 1;
SELECT * FROM pings_hop ORDER BY host, 1;
SELECT window_start, window_end, host, n, most, is_final FROM pings_live ORDER BY host, 1;
SELECT event_time, host FROM silent ORDER BY host, event_time;
SELECT * FROM no_keys ORDER BY 1;
-- Silence goes on after a restart, and ends with a late start.
SELECT streamproc.stop();
INSERT INTO ping VALUES ('a', 50, '2026-01-01 00:07:10');
SELECT streamproc.start();
INSERT INTO ping VALUES ('b', 60, '2026-01-01 00:08:30');
INSERT INTO ping VALUES ('b', 70, '2026-01-01 00:09:00');
SELECT streamproc.wait_for();
-- the same from plain SQL: for each key all windows from its first on
CREATE VIEW expected AS SELECT m AS window_start, m + interval '1 minute' AS window_end, h.host, count(p.ts) AS n,
	sum(ms) AS total
	FROM (SELECT host, min(date_trunc('minute', ts)) AS first FROM ping GROUP BY 1) h
	CROSS JOIN LATERAL generate_series(first, '2026-01-01 00:08', interval '1 minute') m
	LEFT JOIN ping p ON p.host = h.host AND p.ts >= m AND p.ts < m + interval '1 minute'
	GROUP BY 1, 2, 3;
(SELECT window_start, window_end, host, n, total FROM pings WHERE is_final EXCEPT ALL SELECT * FROM expected)
UNION ALL (SELECT * FROM expected EXCEPT ALL SELECT window_start, window_end, host, n, total FROM pings WHERE is_final);
SELECT count(*) FROM expected;
SELECT event_time, host FROM silent ORDER BY host, event_time;
-- A key is dead after it was silent for the retention, here three windows.
INSERT INTO ping VALUES ('c', 1, '2026-01-01 00:30:00');
SELECT streamproc.wait_for();
SELECT host, array_agg(to_char(event_time, 'MI') ORDER BY event_time) FROM brief_silent GROUP BY 1 ORDER BY 1;
-- A key that is heard of late, within grace, was silent since then, whatever the kind.
CREATE TABLE slow (host text, ms int, ts timestamptz);
SELECT streamproc.create_stream('slow', time_column => 'ts', watermark => '0', idle_timeout => '1 day');
SELECT streamproc.create_window('slow_tumbling', 'slow', kind => 'tumbling', size => '1 minute', keys => '{host}',
	fill => 'zero', grace => '20 minutes', emit => 'final', aggregates => ARRAY['count(*) AS n', 'sum(ms) AS total']);
SELECT streamproc.create_window('slow_hopping', 'slow', kind => 'hopping', size => '3 minutes', slide => '1 minute', keys => '{host}',
	fill => 'zero', grace => '20 minutes', emit => 'final', aggregates => ARRAY['count(*) AS n', 'sum(ms) AS total']);
SELECT streamproc.wait_for();
INSERT INTO slow VALUES ('a', 1, '2026-01-01 00:00:10');
INSERT INTO slow VALUES ('a', 2, '2026-01-01 00:12:00');
INSERT INTO slow VALUES ('b', 3, '2026-01-01 00:03:30');
INSERT INTO slow VALUES ('b', 4, '2026-01-01 00:07:30'), ('c', 5, '2026-01-01 00:11:30'), ('b', 6, '2026-01-01 00:01:30');
INSERT INTO slow VALUES ('d', 7, '2026-01-01 00:10:30'), ('a', 8, '2026-01-01 00:16:00');
SELECT streamproc.wait_for();
CREATE VIEW slow_expected AS SELECT size, m + interval '1 minute' AS window_end, h.host, count(p.ts) AS n, sum(ms) AS total
	FROM (VALUES (1), (3)) s (size)
	CROSS JOIN (SELECT host, min(date_trunc('minute', ts)) AS first FROM slow GROUP BY 1) h
	CROSS JOIN LATERAL generate_series(first, '2026-01-01 00:15', interval '1 minute') m
	LEFT JOIN slow p ON p.host = h.host AND p.ts >= m + interval '1 minute' * (1 - size) AND p.ts < m + interval '1 minute'
	GROUP BY 1, 2, 3;
CREATE VIEW slow_got AS SELECT 1 AS size, window_end, host, n, total FROM slow_tumbling WHERE is_final
	UNION ALL SELECT 3, window_end, host, n, total FROM slow_hopping WHERE is_final;
(TABLE slow_got EXCEPT ALL TABLE slow_expected) UNION ALL (TABLE slow_expected EXCEPT ALL TABLE slow_got) ORDER BY 1, 2, 3;
SELECT size, count(*), count(*) FILTER (WHERE n = 0) AS silent FROM slow_got GROUP BY 1 ORDER BY 1;
SELECT name, state, reason FROM streamproc.status WHERE name::text ~ '^(slow|ping|brief|no_keys|silent)' AND state <> 'running';

SET client_min_messages = warning;
DROP SCHEMA fill_test CASCADE;
