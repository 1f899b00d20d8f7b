--
-- session_start(): sessions of rows, against lag() and a running sum
--
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';

SELECT ts, streamproc.session_start(ts, '10 minutes') OVER (ORDER BY ts)
	FROM unnest('{2024-05-06 12:00+00,2024-05-06 12:09:59.999999+00,2024-05-06 12:19:59.999999+00,2024-05-06 12:25+00,2024-05-06 12:25+00}'::timestamptz[]) ts;

-- rows of some keys, one of them null, at random times; equal times; rows without one
CREATE TABLE events AS
	SELECT i AS id, nullif(i % 7, 0) AS key, '2023-03-20 00:00+00'::timestamptz + (hashint4(i) % 100000) * interval '13.7 seconds' AS ts
	FROM generate_series(1, 3000) i
	UNION ALL SELECT 3001, 1, NULL UNION ALL SELECT 3002, NULL, NULL;
SELECT gap, count(DISTINCT (key, found)) AS sessions, count(*) FILTER (WHERE found IS DISTINCT FROM expected) AS wrong
	FROM (SELECT gap, key, found, CASE WHEN ts IS NOT NULL THEN min(ts) OVER (PARTITION BY gap, key, session) END AS expected
		FROM (SELECT *, sum(CASE WHEN ts - before < gap THEN 0 ELSE 1 END) OVER (PARTITION BY gap, key ORDER BY ts ROWS UNBOUNDED PRECEDING) AS session
			FROM (SELECT gap, key, ts, lag(ts) OVER k AS before, streamproc.session_start(ts, gap) OVER k AS found
				FROM events, unnest('{1 second,10 minutes,2 hours,1 day,100 days}'::interval[]) gap
				WINDOW k AS (PARTITION BY gap, key ORDER BY ts)) b) s) e
	GROUP BY gap ORDER BY gap;
-- every session is apart from the next one by gap, and has no gap inside
SELECT count(*) AS sessions, count(*) FILTER (WHERE next - last < '2 hours') AS wrong
	FROM (SELECT max(ts) AS last, lead(start) OVER (PARTITION BY key ORDER BY start) AS next
		FROM (SELECT key, ts, streamproc.session_start(ts, '2 hours') OVER (PARTITION BY key ORDER BY ts) AS start FROM events) e
		WHERE ts IS NOT NULL GROUP BY key, start) s;

-- days have 24 hours, also where the clocks change; times without zone, and dates
SELECT ts, streamproc.session_start(ts, '1 day') OVER (ORDER BY ts) FROM unnest('{2024-03-30 12:00+01,2024-03-31 12:00+02,2024-04-01 12:00+02}'::timestamptz[]) ts;
SELECT ts, streamproc.session_start(ts, '1 day 1 second') OVER (ORDER BY ts) FROM unnest('{2024-03-30 12:00,2024-03-31 12:00,2024-04-01 13:00}'::timestamp[]) ts;
SELECT ts, streamproc.session_start(ts, '2 days') OVER (ORDER BY ts) AS two, streamproc.session_start(ts, '25 hours') OVER (ORDER BY ts) AS one,
		streamproc.session_start(ts, '1 day') OVER (ORDER BY ts) AS each
	FROM unnest('{2024-02-28,2024-02-29,2024-03-01,2024-03-03}'::date[]) ts;

-- infinity, long ago, null; nulls first
SELECT ts, streamproc.session_start(ts, '1 hour') OVER (ORDER BY ts)
	FROM unnest('{-infinity,-infinity,4714-11-24 00:00+00 BC,4714-11-24 00:30+00 BC,294276-12-31 23:59:59+00,infinity,infinity,NULL}'::timestamptz[]) ts;
SELECT ts, streamproc.session_start(ts, '100000 days') OVER (ORDER BY ts) FROM unnest('{-infinity,-infinity,4714-11-24 BC,infinity}'::date[]) ts;
SELECT ts, streamproc.session_start(ts, '100000000 days') OVER (ORDER BY ts NULLS FIRST)
	FROM unnest('{NULL,4714-11-24 00:00 BC,2000-01-01,294276-12-31}'::timestamp[]) ts;
SELECT ts, streamproc.session_start(ts, NULL) OVER (ORDER BY ts) FROM unnest('{2024-02-28,2024-02-29}'::date[]) ts;

-- errors
SELECT streamproc.session_start(ts, '1 hour') OVER (ORDER BY ts DESC) FROM events WHERE key = 1;
SELECT streamproc.session_start(ts, '1 hour') FROM events;
SELECT streamproc.session_start(ts, '0') OVER (ORDER BY ts) FROM events;
SELECT streamproc.session_start(ts, '-1 hour') OVER (ORDER BY ts) FROM events;
SELECT streamproc.session_start(ts, '1 month') OVER (ORDER BY ts) FROM events;
SELECT streamproc.session_start(ts::date, '1 month -30 days') OVER (ORDER BY ts) FROM events;

DROP TABLE events;
