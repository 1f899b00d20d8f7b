--
-- silence: keys that have stopped reporting, found by the clock of the stream.
--
-- The oracle is plain SQL: mean and variance of the logarithms of gaps by recursion, and by the commits that there were
-- whether the clock had passed the time at which a key was overdue before it reported again.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SET client_min_messages = warning;
CREATE SCHEMA silence_test;
SET search_path = silence_test, public;

SELECT method, takes, has_direction, uses_time, default_threshold FROM streamproc.methods WHERE method = 'silence';

-- Three keys: a reports every minute, b every ten minutes, c every 20 to 79 seconds. a stops for 30 minutes
-- while others report, and for good, as c does; d, when all others have stopped, until its own next row is the first one.
CREATE TABLE plan AS
SELECT 'a' AS k, '2026-01-01 00:00+00'::timestamptz + i * interval '1 minute' + CASE WHEN i > 60 THEN interval '30 minutes' ELSE '0' END
	+ CASE WHEN i > 130 THEN interval '3 minutes' ELSE '0' END AS ts FROM generate_series(1, 180) i
UNION ALL SELECT 'b', '2026-01-01 00:00:30+00'::timestamptz + i * interval '10 minutes' FROM generate_series(1, 25) i
UNION ALL SELECT 'c', '2026-01-01 00:00:07+00'::timestamptz + (sum(20 + i * 37 % 60) OVER (ORDER BY i)) * interval '1 second'
FROM generate_series(1, 150) i
UNION ALL SELECT 'd', '2026-01-01 05:00+00'::timestamptz + i * interval '1 minute' + CASE WHEN i > 40 THEN interval '15 minutes' ELSE '0' END
FROM generate_series(1, 50) i;

CREATE TABLE reading (k text, ts timestamptz);
SELECT streamproc.create_stream('reading', time_column => 'ts', watermark => '0', idle_timeout => '1 day');
SELECT streamproc.create_detector('silent', 'reading', 'silence', keys => '{k}');
SELECT streamproc.wait_for();

-- a commit each, in the order of time; but the rows of 02:44 to 02:48 in one
DO $$
DECLARE
	statement text;
BEGIN
	FOR statement IN SELECT format('INSERT INTO reading VALUES %s', string_agg(format('(%L, %L)', k, ts), ', ' ORDER BY ts, k)) FROM plan
		GROUP BY CASE WHEN ts BETWEEN '2026-01-01 02:44+00' AND '2026-01-01 02:48+00' THEN '2026-01-01 02:44+00' ELSE ts END ORDER BY min(ts)
	LOOP
		EXECUTE statement;
		COMMIT;
	END LOOP;
END $$;
SELECT streamproc.wait_for();

CREATE VIEW gap AS
WITH RECURSIVE event AS (
		SELECT k, ts, row_number() OVER w AS i, 1e6 * extract(epoch FROM ts - lag(ts) OVER w)::float8 AS gap, lead(ts) OVER w AS next
		FROM plan WINDOW w AS (PARTITION BY k ORDER BY ts)),
	known AS (
		SELECT k, i, ts, next, 0 AS n, 0::float8 AS weight, 0::float8 AS mean, 0::float8 AS variance, 0::float8 AS longest
		FROM event WHERE i = 1
		UNION ALL
		SELECT k, i, ts, next, n + 1, weight, mean + d / weight, (1 - 1 / weight) * (variance + d * d / weight), longest
		FROM (SELECT *, ln(length) - mean AS d, greatest(length, before * 2 ^ (-gap / (14 * 86400e6))) AS longest
			FROM (SELECT e.k, e.i, e.ts, e.next, e.gap, s.n, (1 - 0.02) * s.weight + 1 AS weight, s.mean, s.variance,
					s.longest AS before, greatest(1e6, CASE WHEN s.n >= 20 AND e.gap > s.due THEN least(e.gap, 4 * s.due) ELSE e.gap END) AS length
				FROM (SELECT *, greatest(exp(mean + 3 * greatest(sqrt(variance), 0.1)), 1.5 * longest) AS due FROM known) s
				JOIN event e ON e.k = s.k AND e.i = s.i + 1) x) x)
SELECT k, i, ts, next, greatest(exp(mean + 3 * greatest(sqrt(variance), 0.1)), 1.5 * longest) / 1e6 AS due_s, exp(mean) / 1e6 AS usual_s
FROM known WHERE n >= 20;

-- the last commit before the next row of the key: its clock
CREATE VIEW commit AS
SELECT DISTINCT max(ts) OVER (PARTITION BY CASE WHEN ts BETWEEN '2026-01-01 02:44+00' AND '2026-01-01 02:48+00'
	THEN '2026-01-01 02:44+00' ELSE ts END) AS clock, CASE WHEN ts BETWEEN '2026-01-01 02:44+00' AND '2026-01-01 02:48+00'
	THEN '2026-01-01 02:44+00' ELSE ts END AS first FROM plan;
CREATE VIEW expected AS
SELECT k, CASE WHEN overdue <= clock THEN overdue ELSE next END AS at, overdue <= clock AS by_clock, due_s, usual_s,
	CASE WHEN overdue <= clock THEN due_s ELSE extract(epoch FROM next - ts)::float8 END AS gap_s
FROM (SELECT *, ts + due_s * interval '1 second' AS overdue, (SELECT max(clock) FROM commit WHERE first < coalesce(next, 'infinity')) AS clock FROM gap) g
WHERE overdue <= clock OR overdue < next;
SELECT k, by_clock, count(*) FROM expected GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*) AS different FROM (SELECT k, at FROM expected) e
FULL JOIN silent s ON s.k = e.k AND abs(extract(epoch FROM s.event_time - e.at)) < 0.001 WHERE e.k IS NULL OR s.k IS NULL;
SELECT s.k, bool_and(abs(s.expected / usual_s - 1) < 1e-9 AND abs(s.upper_bound / due_s - 1) < 1e-6 AND s.score > s.threshold
	AND abs(s.value / gap_s - 1) < 1e-6 AND s.is_anomaly AND s.lower_bound IS NULL) AS right
FROM silent s JOIN expected e ON s.k = e.k AND abs(extract(epoch FROM s.event_time - e.at)) < 0.001 GROUP BY 1 ORDER BY 1;
SELECT k, event_time, alerts FROM silent WHERE k IN ('a', 'd') ORDER BY event_time;
SELECT count(*), count(DISTINCT (lsn, ordinal)) FROM silent;

-- the same of history, but that there each row is a commit of its own, and nothing has come after the last row
SELECT streamproc.create_detector('of_history', 'reading', 'silence', keys => '{k}');
SELECT streamproc.wait_for();
SELECT k, event_time FROM of_history EXCEPT SELECT k, event_time FROM silent ORDER BY 1, 2;
SELECT k, event_time FROM silent EXCEPT SELECT k, event_time FROM of_history ORDER BY 1, 2;

-- So do rows that a filter leaves out; what is too far in the future moves no clock, whether it is history or not.
CREATE TABLE marked (k text, ts timestamptz);
SELECT streamproc.create_stream('marked', time_column => 'ts', watermark => '0', idle_timeout => '1 day');
SELECT streamproc.create_detector('marks', 'marked', 'silence', keys => '{k}', filter => $$k <> 'b'$$, store => 'all');
SELECT streamproc.create_window('each', 'marked', 'sliding', size => '1 minute', keys => '{k}', aggregates => '{count(*) AS n}');
SELECT streamproc.create_detector('marks_of_window', 'each', 'silence', filter => $$k <> 'b'$$, store => 'all');
SELECT streamproc.wait_for();
DO $$
BEGIN
	FOR i IN 1..200 LOOP
		IF i NOT BETWEEN 101 AND 150 THEN
			INSERT INTO marked VALUES ('a', '2026-01-01 00:00+00'::timestamptz + i * interval '1 minute');
			COMMIT;
		END IF;
		INSERT INTO marked VALUES ('b', '2026-01-01 00:00:30+00'::timestamptz + i * interval '1 minute');
		COMMIT;
	END LOOP;
	INSERT INTO marked VALUES ('c', 'infinity'), ('c', '2099-01-01 00:00+00'), ('c', '-infinity'), ('c', NULL);
END $$;
SELECT streamproc.wait_for();
SELECT streamproc.create_detector('marks_of_history', 'marked', 'silence', keys => '{k}', filter => $$k <> 'b'$$, store => 'all');
SELECT streamproc.create_detector('marks_of_results', 'each', 'silence', filter => $$k <> 'b'$$, store => 'all');
SELECT streamproc.wait_for();
SELECT event_time, k, value, is_anomaly, alerts FROM marks WHERE score > threshold;
CREATE FUNCTION differences(other text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	columns text := '(k, event_time, value, score, is_anomaly, alerts, explanation)::text';
	result bigint;
BEGIN
	EXECUTE format('SELECT count(*) FROM ((SELECT %1$s FROM marks EXCEPT ALL SELECT %1$s FROM %2$I) UNION ALL '
		'(SELECT %1$s FROM %2$I EXCEPT ALL SELECT %1$s FROM marks)) d', columns, other) INTO result;
	RETURN result;
END $$;
SELECT differences('marks_of_history'), differences('marks_of_window'), differences('marks_of_results');
SELECT events, anomalies, alerts FROM streamproc.backtest('marks');

-- an override: later, or never
INSERT INTO silent_overrides (k, threshold, muted) VALUES ('a', NULL, true), ('d', 5, false);
INSERT INTO reading SELECT k, '2026-01-01 07:00+00'::timestamptz + i * interval '1 minute' FROM generate_series(1, 60) i, unnest('{a,c,d}'::text[]) k;
INSERT INTO reading VALUES ('b', '2026-01-01 12:00+00');
SELECT streamproc.wait_for();
SELECT k, threshold, event_time > '2026-01-01 08:00+00' AND event_time < '2026-01-01 12:00+00' AS by_clock FROM silent
WHERE event_time > '2026-01-01 07:00+00' ORDER BY 1;
-- set when it is due already
UPDATE silent_overrides SET threshold = 0.5 WHERE k = 'd';
DELETE FROM silent_overrides WHERE k = 'a';
INSERT INTO reading VALUES ('b', '2026-01-01 12:10+00');
SELECT streamproc.wait_for();
SELECT k, threshold, count(*) FROM silent WHERE event_time > '2026-01-01 07:00+00' GROUP BY 1, 2 ORDER BY 1;
-- Keys that stop while they are muted are told when they no longer are, as c was, which never is muted: m1 and, after a restart,
-- m3. But not m2, which has come back before, nor m4, which is muted again at once; m5 comes back in the same transaction.
CREATE TABLE watched (k text, ts timestamptz);
SELECT streamproc.create_stream('watched', time_column => 'ts', watermark => '0', idle_timeout => '1 day');
SELECT streamproc.create_detector('unheard', 'watched', 'silence', keys => '{k}', store => 'all');
SELECT streamproc.create_detector('unheard_of_all', 'watched', 'silence');
INSERT INTO unheard_overrides (k, muted) SELECT 'm' || i, true FROM generate_series(1, 5) i;
INSERT INTO unheard_of_all_overrides (muted) VALUES (true);
SELECT streamproc.wait_for();
INSERT INTO watched SELECT k, '2026-01-01 00:00+00'::timestamptz + i * interval '1 minute' FROM generate_series(1, 40) i, unnest('{c,m1,m2,m3,m4,m5}'::text[]) k ORDER BY i, k;
INSERT INTO watched VALUES ('z', '2026-01-01 01:00+00');
INSERT INTO watched VALUES ('m2', '2026-01-01 01:01+00');
SELECT streamproc.wait_for();
SELECT k, event_time, muted FROM unheard LEFT JOIN unheard_overrides USING (k) WHERE is_anomaly ORDER BY k;
DELETE FROM unheard_overrides WHERE k IN ('m1', 'm2');
UPDATE unheard_overrides SET muted = false WHERE k = 'm4';
UPDATE unheard_overrides SET muted = true WHERE k = 'm4';
INSERT INTO watched VALUES ('z', '2026-01-01 01:01:10+00');
SELECT streamproc.wait_for();
SELECT streamproc.stop();
SELECT streamproc.start();
BEGIN;
INSERT INTO watched VALUES ('m5', '2026-01-01 01:01:20+00');
DELETE FROM unheard_overrides WHERE k = 'm5';
COMMIT;
DELETE FROM unheard_overrides WHERE k <> 'm4';
TRUNCATE unheard_of_all_overrides;
INSERT INTO watched VALUES ('z', '2026-01-01 01:01:30+00');
SELECT streamproc.wait_for();
SELECT k, count(*), min(event_time) = min(c.at) AS when_c_was, min(u.value) = min(c.value) AND min(u.score) = min(c.score) AS as_c_was, min(alerts::text) AS alerts
FROM unheard u, (SELECT event_time, value, score FROM unheard WHERE k = 'c' AND is_anomaly) c (at, value, score) WHERE is_anomaly AND k <> 'm2' GROUP BY k ORDER BY k;
SELECT k, event_time, value, is_anomaly FROM unheard WHERE k = 'm2' AND score > threshold;
SELECT count(*), min(alerts::text) FROM unheard_of_all;
-- what can't be
SELECT streamproc.create_detector('no_method', 'reading', 'silence', value => '1');
SELECT streamproc.create_detector('no_method', 'reading', 'silence', params => '{"tolerance": 0}');
SELECT streamproc.create_detector('no_method', 'reading', 'silence', params => '{"alerts_per_day": 1}');
SELECT streamproc.enforce('silent');
DROP SCHEMA silence_test CASCADE;
