--
-- The plain-SQL twins of windows, against the same answers written by hand
--
CREATE SCHEMA twin_test;
SET search_path = twin_test, public;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';

-- rows of some keys, one of them null, at times with equal ones, over a change of the clocks
CREATE TABLE event (id int, key text, v numeric, doc json, ts timestamptz);
INSERT INTO event SELECT i, nullif('k' || hashint4(i) % 4, 'k0'), hashint4(-i) % 100, json_build_object('i', i),
		'2023-03-24 22:00+00'::timestamptz + abs(hashint4(i) % 6000) * interval '47 seconds'
	FROM generate_series(1, 600) i;
INSERT INTO event VALUES (0, 'k1', 1, NULL, NULL);
SELECT streamproc.create_stream('event', 'ts', watermark => '1000 days', idle_timeout => '1 day');

\i test/sql/differences.sql

-- hopping
SELECT streamproc.create_window('hops', 'event', 'hopping', size => '3 days', slide => '1 day', time_zone => 'Europe/Berlin',
	keys => '{key}', aggregates => '{count(*) AS n,sum(v) FILTER (WHERE v > 0) AS s}', filter => 'id % 5 > 0');
SELECT d.* FROM compared('TABLE hops_sql', $$SELECT l AT TIME ZONE 'Europe/Berlin', (l + interval '3 days') AT TIME ZONE 'Europe/Berlin', key,
		count(*), sum(v) FILTER (WHERE v > 0)
	FROM event, generate_series('2023-03-20'::timestamp, '2023-04-05', '1 day') l
	WHERE ts >= l AT TIME ZONE 'Europe/Berlin' AND ts < (l + interval '3 days') AT TIME ZONE 'Europe/Berlin' AND id % 5 > 0 GROUP BY 1, 2, 3$$) d;
SELECT streamproc.create_window('quick_hops', 'event', 'hopping', size => '1 hour', slide => '10 minutes', origin => '2023-01-01 00:05',
	aggregates => '{max(v) AS m}');
SELECT d.* FROM compared('TABLE quick_hops_sql', $$SELECT s, s + interval '1 hour', max(v)
	FROM event, generate_series('2023-03-24 20:05+00'::timestamptz, '2023-03-29', '10 minutes') s
	WHERE ts >= s AND ts < s + interval '1 hour' GROUP BY 1, 2$$) d;

-- cumulative
SELECT streamproc.create_window('so_far', 'event', 'cumulative', size => '1 day', slide => '5 hours', time_zone => 'Europe/Berlin',
	keys => '{key}', aggregates => '{count(*) AS n,sum(v) AS s}');
SELECT d.* FROM compared('TABLE so_far_sql', $$SELECT s, e, key, count(*), sum(v)
	FROM event, LATERAL (SELECT date_trunc('day', ts, 'Europe/Berlin') AS s,
			(date_trunc('day', ts AT TIME ZONE 'Europe/Berlin') + interval '1 day') AT TIME ZONE 'Europe/Berlin' AS b) w,
		generate_series(1, 5) j, LATERAL (SELECT least(s + j * interval '5 hours', b) AS e) e
	WHERE ts < e AND s + (j - 1) * interval '5 hours' < b GROUP BY 1, 2, 3$$) d;

-- windows of keys that are silent: up to the last window, or until the key has been silent for as long as rows are kept
SELECT streamproc.create_window('alive', 'event', 'tumbling', size => '1 day', time_zone => 'Europe/Berlin', fill => 'zero',
	keys => '{key}', aggregates => '{count(*) AS n,sum(v) AS s}', filter => 'key IS NULL OR id < 20');
SELECT d.* FROM compared('TABLE alive_sql', $$SELECT l AT TIME ZONE 'Europe/Berlin', (l + interval '1 day') AT TIME ZONE 'Europe/Berlin', k.key,
		count(e.id), sum(v)
	FROM (SELECT key, min(date_trunc('day', ts, 'Europe/Berlin')) AS first FROM event WHERE id BETWEEN 1 AND 19 OR key IS NULL GROUP BY 1) k
		CROSS JOIN generate_series('2023-03-24'::timestamp, '2023-03-28', '1 day') l
		LEFT JOIN event e ON e.key IS NOT DISTINCT FROM k.key AND date_trunc('day', ts AT TIME ZONE 'Europe/Berlin') = l AND (e.key IS NULL OR id < 20)
	WHERE l AT TIME ZONE 'Europe/Berlin' >= first GROUP BY 1, 2, 3$$) d;
SELECT streamproc.create_window('awhile', 'event', 'hopping', size => '2 hours', slide => '1 hour', fill => 'zero', retention => '7 hours',
	aggregates => '{count(*) AS n}', filter => 'id IN (1, 2, 3)');
SELECT d.* FROM compared('TABLE awhile_sql', $$SELECT s, s + interval '2 hours', count(DISTINCT o.id)
	FROM generate_series('2023-03-24 20:00+00'::timestamptz, (SELECT date_trunc('hour', max(ts)) FROM event WHERE id IN (1, 2, 3)), '1 hour') s
		JOIN event e ON e.id IN (1, 2, 3) AND e.ts >= s - interval '7 hours' AND e.ts < s + interval '2 hours'
		LEFT JOIN event o ON o.id IN (1, 2, 3) AND o.ts >= s AND o.ts < s + interval '2 hours'
	GROUP BY 1$$) d;
SELECT count(*) > 6 AS filled, count(*) FILTER (WHERE n = 0) AS empty FROM awhile_sql;

-- session
SELECT streamproc.create_window('visits', 'event', 'session', gap => '20 minutes', keys => '{key,"id % 2 AS odd"}',
	aggregates => '{count(*) AS n,sum(v) AS s,"array_agg(id ORDER BY ts, id) AS ids"}', filter => 'v <> 7');
SELECT d.* FROM compared('TABLE visits_sql', $$SELECT min(ts), max(ts) + interval '20 minutes', key, odd, count(*), sum(v), array_agg(id ORDER BY ts, id)
	FROM (SELECT *, sum(begins) OVER (PARTITION BY key, odd ORDER BY ts) AS session
		FROM (SELECT *, CASE WHEN ts - lag(ts) OVER (PARTITION BY key, id % 2 ORDER BY ts) < '20 minutes' THEN 0 ELSE 1 END AS begins, id % 2 AS odd
			FROM event WHERE v <> 7 AND ts IS NOT NULL) b) e
	GROUP BY key, odd, session$$) d;
SELECT streamproc.create_window('days_awake', 'event', 'session', gap => '1 hour', aggregates => '{count(*) AS n}');
SELECT d.* FROM compared('TABLE days_awake_sql', $$SELECT min(ts), max(ts) + interval '1 hour', count(*)
	FROM (SELECT *, count(*) FILTER (WHERE begins) OVER (ORDER BY ts) AS session
		FROM (SELECT *, (ts - lag(ts) OVER (ORDER BY ts) < '1 hour') IS NOT TRUE AS begins FROM event WHERE ts IS NOT NULL) b) e
	GROUP BY session$$) d;

-- sliding
SELECT streamproc.create_window('velocity', 'event', 'sliding', size => '2 hours', keys => '{key}', carry => '{id,doc}',
	aggregates => '{count(*) AS n,sum(v) FILTER (WHERE v > 0) AS s,count(DISTINCT v) AS d,"array_agg(id ORDER BY ts, id) AS ids"}', filter => 'id % 7 > 0');
SELECT d.* FROM compared('(SELECT window_start, window_end, key, id, doc::text, n, s, d, ids FROM velocity_sql)',
	$$SELECT ts - interval '2 hours', ts, key, id, doc::text, o.* FROM event e,
		LATERAL (SELECT count(*), sum(v) FILTER (WHERE v > 0), count(DISTINCT v), array_agg(id ORDER BY ts, id) FROM event o
			WHERE o.ts <= e.ts AND o.ts > e.ts - interval '2 hours' AND o.key IS NOT DISTINCT FROM e.key AND o.id % 7 > 0) o
	WHERE ts IS NOT NULL AND id % 7 > 0$$) d;
SELECT streamproc.create_window('fraud', 'event', 'sliding', size => '1 day', bounds => '[]', aggregates => '{avg(v) AS a}');
SELECT d.* FROM compared('TABLE fraud_sql', $$SELECT ts - interval '24 hours', ts, (SELECT avg(v) FROM event o WHERE o.ts BETWEEN e.ts - interval '24 hours' AND e.ts)
	FROM event e WHERE ts IS NOT NULL$$) d;
-- with a group_filter: over keys, what is shown, and what isn't; with what looks like a parameter, or ends a string
SELECT streamproc.create_window('crowded', 'event', 'sliding', size => '2 hours', keys => ARRAY['key', 'upper(key) || ''$3 "q" E\'' AS "the ""big"" $1"'], carry => '{id}',
	aggregates => ARRAY['count(*) AS n', 'count(DISTINCT v) AS "d''1"'], filter => 'id % 7 > 0',
	group_filter => $$count(*) > 2 AND (sum(v) FILTER (WHERE v > 0) > 100 OR max('$1 it''s' || id) < '$1 it''s 3') AND count(DISTINCT v) <> 4
		AND upper(key) || '$3 "q" E\' <> 'K3$3 "q" E\' AND (array_agg(id ORDER BY id))[1] % 2 = 0$$);
SELECT d.* FROM compared('TABLE crowded_sql', $$SELECT ts - interval '2 hours', ts, key, upper(key) || '$3 "q" E\', id, o.n, o.d FROM event e,
		LATERAL (SELECT count(*) AS n, sum(v) FILTER (WHERE v > 0) AS s, count(DISTINCT v) AS d, max('$1 it''s' || id) AS m, min(id) AS i FROM event o
			WHERE o.ts <= e.ts AND o.ts > e.ts - interval '2 hours' AND o.key IS NOT DISTINCT FROM e.key AND o.id % 7 > 0) o
	WHERE ts IS NOT NULL AND id % 7 > 0 AND n > 2 AND (s > 100 OR m < '$1 it''s 3') AND d <> 4 AND key <> 'k3' AND i % 2 = 0$$) d;
SELECT streamproc.create_window('crowd', 'event', 'sliding', size => '1 hour', bounds => '[]', aggregates => '{avg(v) AS a}', group_filter => 'avg(v) > 50');
SELECT d.* FROM compared('TABLE crowd_sql', $$SELECT ts - interval '1 hour', ts, a FROM event e,
		LATERAL (SELECT avg(v) AS a FROM event o WHERE o.ts BETWEEN e.ts - interval '1 hour' AND e.ts) o WHERE a > 50$$) d;

-- a window on a sliding one counts what that has answered: in history, as rows come in order of their time
SELECT streamproc.create_window('peaks', 'velocity', 'tumbling', size => '1 day', keys => '{key}', aggregates => '{max(n) AS n,sum(s) AS s,count(*) AS rows}');
SELECT streamproc.create_window('peak', 'peaks', 'hopping', size => '2 days', slide => '1 day', aggregates => '{max(n) AS n,sum(rows) AS rows}');
SELECT streamproc.create_window('crowds', 'crowded', 'session', gap => '4 hours', keys => '{key}', aggregates => '{count(*) AS rows,min(id) AS id}');
SELECT streamproc.wait_for();
CREATE VIEW answer AS SELECT key, id, ts, o.* FROM (SELECT *, ctid AS place FROM event) e,
		LATERAL (SELECT count(*) AS n, sum(v) FILTER (WHERE v > 0) AS s, sum(v) FILTER (WHERE v > 0) > 100 AS rich, count(DISTINCT v) AS d, min(id) AS i,
				max('$1 it''s' || id) AS m FROM event o
			WHERE (o.ts, o.ctid) <= (e.ts, e.place) AND o.ts > e.ts - interval '2 hours' AND o.key IS NOT DISTINCT FROM e.key AND o.id % 7 > 0) o
	WHERE ts IS NOT NULL AND id % 7 > 0;
SELECT d.* FROM compared('TABLE peaks_sql', $$SELECT date_trunc('day', ts), date_trunc('day', ts) + interval '1 day', key, max(n), sum(s), count(*)
	FROM answer GROUP BY 1, 2, 3$$) d;
SELECT d.* FROM compared('TABLE peak_sql', $$SELECT day, day + interval '2 days', max(n), sum(rows)::numeric
	FROM (SELECT date_trunc('day', ts) AS today, max(n) AS n, count(*) AS rows FROM answer GROUP BY 1, key) a,
		generate_series(today - interval '1 day', today, '1 day') day GROUP BY 1, 2$$) d;
SELECT d.* FROM compared('TABLE crowds_sql', $$SELECT min(ts), max(ts) + interval '4 hours', key, count(*), min(id)
	FROM (SELECT *, count(*) FILTER (WHERE begins) OVER (PARTITION BY key ORDER BY ts) AS session
		FROM (SELECT *, (ts - lag(ts) OVER (PARTITION BY key ORDER BY ts) < '4 hours') IS NOT TRUE AS begins FROM answer
			WHERE n > 2 AND (rich OR m < '$1 it''s 3') AND d <> 4 AND key <> 'k3' AND i % 2 = 0) b) e
	GROUP BY key, session$$) d;
-- so it has a twin also where the rows themselves aren't kept
CREATE TABLE fleeting (id int, ts timestamptz) USING streamproc;
SELECT streamproc.create_stream('fleeting', 'ts', watermark => '0');
SELECT streamproc.create_window('fleeting_slide', 'fleeting', 'sliding', size => '1 minute', carry => '{id}', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('fleeting_minutes', 'fleeting_slide', 'tumbling', size => '1 minute', aggregates => '{count(*) AS n,max(n) AS most}');
SELECT streamproc.wait_for();
INSERT INTO fleeting SELECT i, '2026-01-01'::timestamptz + i * interval '7 seconds' FROM generate_series(0, 60) i;
SELECT streamproc.wait_for();
SELECT d.* FROM compared('SELECT window_start, n, most FROM fleeting_minutes_sql', $$SELECT date_trunc('minute', ts), count(*), max(n) FROM
	(SELECT '2026-01-01'::timestamptz + i * interval '7 seconds' AS ts, least(i + 1, 9) AS n FROM generate_series(0, 60) i) e GROUP BY 1$$) d;
SELECT count(*) FROM streamproc.verify('fleeting_minutes');
SELECT count(*) FROM streamproc.verify('fleeting_slide');

-- windows on windows: the twin reads the twin
SELECT streamproc.create_window('hourly', 'event', 'tumbling', size => '1 hour', keys => '{key}', aggregates => '{count(*) AS n,sum(v) AS s}');
SELECT streamproc.create_window('daily', 'hourly', 'tumbling', size => '1 day', time_zone => 'Europe/Berlin', keys => '{key}',
	aggregates => '{sum(n) AS n,max(s) AS m}');
SELECT d.* FROM compared('TABLE daily_sql', $$SELECT l AT TIME ZONE 'Europe/Berlin', (l + interval '1 day') AT TIME ZONE 'Europe/Berlin', key, sum(n), max(s)
	FROM (SELECT date_trunc('hour', ts) AS hour, key, count(*) AS n, sum(v) AS s FROM event WHERE ts IS NOT NULL GROUP BY 1, 2) h,
		date_trunc('day', hour AT TIME ZONE 'Europe/Berlin') l GROUP BY 1, 2, 3$$) d;
SELECT streamproc.create_window('busiest', 'daily', 'hopping', size => '2 days', slide => '1 day', time_zone => 'Europe/Berlin', aggregates => '{max(n) AS n}');
SELECT d.* FROM compared('TABLE busiest_sql', $$SELECT l AT TIME ZONE 'Europe/Berlin', (l + interval '2 days') AT TIME ZONE 'Europe/Berlin', max(n)
	FROM (SELECT date_trunc('day', ts AT TIME ZONE 'Europe/Berlin') AS day, count(*) AS n FROM event WHERE ts IS NOT NULL GROUP BY 1, key) h,
		generate_series(day - interval '1 day', day, '1 day') l GROUP BY 1, 2$$) d;
-- renamed columns are followed
ALTER TABLE hourly RENAME COLUMN s TO total;
SELECT streamproc.create_window('best_hours', 'hourly', 'tumbling', size => '1 day', keys => '{key}', aggregates => '{max(total) AS m}');
SELECT d.* FROM compared('TABLE best_hours_sql', $$SELECT date_trunc('day', hour), date_trunc('day', hour) + interval '1 day', key, max(s)
	FROM (SELECT date_trunc('hour', ts) AS hour, key, sum(v) AS s FROM event WHERE ts IS NOT NULL GROUP BY 1, 2) h GROUP BY 1, 2, 3$$) d;
SELECT streamproc.create_window('calls', 'hourly', 'session', gap => '2 hours', keys => '{key}', aggregates => '{max(total) AS m,count(*) AS n}');
SELECT count(*) FILTER (WHERE n > 1) > 0 AS merged, count(DISTINCT key) FROM calls_sql;
-- what depends on when results are written is not for others
SELECT streamproc.create_window('w', 'hourly', 'tumbling', size => '1 day', aggregates => '{max(revision) AS r}');
SELECT streamproc.create_window('w', 'hourly', 'tumbling', size => '1 day', filter => 'is_final', aggregates => '{count(*) AS n}');

SELECT streamproc.create_window('w', 'velocity', 'tumbling', size => '1 day', aggregates => '{max(ordinal) AS r}');

-- dates and times without zone
CREATE TABLE diary (id int, day date, local timestamp, key int NOT NULL);
INSERT INTO diary SELECT i, '2024-02-01'::date + abs(hashint4(i) % 90), '2024-02-01'::timestamp + abs(hashint4(-i) % 9000) * interval '11 minutes', i % 2
	FROM generate_series(1, 200) i;
INSERT INTO diary VALUES (201, 'infinity', '-infinity', 1), (202, 'infinity', '-infinity', 1), (203, '-infinity', 'infinity', 1);
SELECT streamproc.create_stream('diary', 'day', watermark => '1000 days', idle_timeout => '1 day');
SELECT streamproc.create_window('day_hops', 'diary', 'hopping', size => '2 months', slide => '1 month', aggregates => '{count(*) AS n}');
SELECT d.* FROM compared('(SELECT * FROM day_hops_sql WHERE isfinite(window_start))', $$SELECT m::date, (m + interval '2 months')::date, count(*)
	FROM diary, generate_series('2023-12-01'::timestamp, '2024-12-01', '1 month') m WHERE day >= m AND day < m + interval '2 months' GROUP BY 1, 2$$) d;
SELECT streamproc.create_window('day_visits', 'diary', 'session', gap => '2 days', keys => '{key}', aggregates => '{count(*) AS n}');
SELECT d.* FROM compared('(SELECT * FROM day_visits_sql WHERE isfinite(window_start))', $$SELECT min(day), max(day) + 2, key, count(*)
	FROM (SELECT *, count(*) FILTER (WHERE begins) OVER (PARTITION BY key ORDER BY day) AS session
		FROM (SELECT *, (day - lag(day) OVER (PARTITION BY key ORDER BY day) < 2) IS NOT TRUE AS begins FROM diary WHERE isfinite(day)) b) e
	GROUP BY key, session$$) d;
SELECT streamproc.create_window('day_slide', 'diary', 'sliding', size => '7 days', keys => '{key}', aggregates => '{count(*) AS n}');
SELECT d.* FROM compared('(SELECT * FROM day_slide_sql WHERE isfinite(window_end))', $$SELECT day - 7, day, key,
		(SELECT count(*) FROM diary o WHERE o.key = e.key AND o.day > e.day - 7 AND o.day <= e.day) FROM diary e WHERE isfinite(day)$$) d;
-- what has no end is a window of its own
SELECT * FROM day_hops_sql WHERE window_start = 'infinity' ORDER BY 1;
SELECT streamproc.create_window('day_weeks', 'day_hops', 'tumbling', size => '1 month', aggregates => '{sum(n) AS n}');
SELECT d.* FROM compared('(SELECT * FROM day_weeks_sql WHERE isfinite(window_start))', $$SELECT date_trunc('month', window_end - 1)::date,
		(date_trunc('month', window_end - 1) + interval '1 month')::date, sum(n) FROM day_hops_sql WHERE isfinite(window_end) GROUP BY 1, 2$$) d;

SET client_min_messages = warning;
SELECT streamproc.drop_stream('event', cascade => true), streamproc.drop_stream('diary', cascade => true),
	streamproc.drop_stream('fleeting', cascade => true);
DROP SCHEMA twin_test CASCADE;
