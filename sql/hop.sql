--
-- hop(): the hopping windows of a time, against windows listed by plain SQL
--
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';

SELECT * FROM streamproc.hop('2024-05-06 12:34:56+00'::timestamptz, '20 seconds', '1 minute');
SELECT * FROM streamproc.hop('2024-05-06 12:34:00+00'::timestamptz, '20 seconds', '1 minute');
SELECT * FROM streamproc.hop('2024-05-06 12:34:56'::timestamp, '1 hour', '1 hour');
SELECT * FROM streamproc.hop('2024-03-31 12:00+00'::timestamptz, '1 day', '3 days', time_zone => 'Europe/Berlin');
SELECT * FROM streamproc.hop('2024-05-06'::date, '7 days', '14 days');
SELECT * FROM streamproc.hop('2024-05-31'::date, '1 month', '3 months');
SELECT * FROM streamproc.hop('2024-05-06 12:34:56+00'::timestamptz, '20 minutes', '1 hour', '2024-01-01 00:05', 'Asia/Kathmandu');

-- times every three days and some, boundaries, and the last moments before them
CREATE TABLE instants AS
	SELECT '2022-12-30 00:00+00'::timestamptz + i * interval '75 hours 3.25 seconds' AS ts
	FROM generate_series(0, 120) i
	UNION ALL
	SELECT '2023-03-20 00:00+00'::timestamptz + i * interval '2 hours' - i % 2 * interval '1 microsecond'
	FROM generate_series(0, 225) i;

-- the windows of a time, listed: all that there are, and those that contain it
\i test/sql/differences.sql

-- absolute units
SELECT slide, size, d.* FROM (VALUES ('10 minutes', '30 minutes'), ('1 hour', '24 hours'), ('7 hours', '21 hours'), ('36 hours', '72 hours')) v (slide, size),
	compared(format($$SELECT ts, s, s + interval '%2$s' FROM instants, generate_series(ts - interval '%2$s', ts, '%1$s') p,
			LATERAL (SELECT date_bin('%1$s', p, '2000-01-03') AS s) w WHERE ts >= s AND ts < s + interval '%2$s'$$, slide, size),
		format($$SELECT ts, w.* FROM instants, streamproc.hop(ts, '%s', '%s') w$$, slide, size)) d;

-- days, weeks and months of a zone: local times, and the instants of those
SELECT zone, slide, size, d.* FROM unnest('{Europe/Berlin,America/Havana,Australia/Lord_Howe}'::text[]) zone,
	(VALUES ('1 day', '7 days'), ('7 days', '28 days'), ('1 month', '3 months'), ('3 months', '1 year')) v (slide, size),
	compared(format($$SELECT ts, s, e FROM instants, generate_series('2021-01-04'::timestamp, '2024-06-01', '%1$s') p,
			LATERAL (SELECT CASE WHEN '%1$s' LIKE '%%mon%%' THEN date_trunc('month', p) ELSE p END AS l) l,
			LATERAL (SELECT l AT TIME ZONE '%3$s' AS s, (l + interval '%2$s') AT TIME ZONE '%3$s' AS e) w WHERE ts >= s AND ts < e$$,
			slide, size, zone),
		format($$SELECT ts, w.* FROM instants, streamproc.hop(ts, '%s', '%s', NULL, '%s') w$$, slide, size, zone)) d
	ORDER BY zone, slide;
-- origins: days from 6 o'clock, months from the 31st
SELECT slide, size, d.* FROM (VALUES ('1 day', '2 days', '2021-01-01 06:00'), ('1 month', '2 months', '2021-01-31 02:30')) v (slide, size, origin),
	compared(format($$SELECT ts, s, e FROM instants, generate_series(0, 1300) k,
			LATERAL (SELECT (timestamp '%3$s' + k * interval '%1$s') AT TIME ZONE 'Europe/Berlin' AS s,
				(timestamp '%3$s' + (k * interval '%1$s' + interval '%2$s')) AT TIME ZONE 'Europe/Berlin' AS e) w
			WHERE ts >= s AND ts < e$$, slide, size, origin),
		format($$SELECT ts, w.* FROM instants, streamproc.hop(ts, '%s', '%s', '%s', 'Europe/Berlin') w$$, slide, size, origin)) d;
-- times without zone, and dates
SELECT d.* FROM compared($$SELECT t::timestamp, s, s + interval '3 days' FROM instants i (t), generate_series('2022-12-01'::timestamp, '2024-02-01', '1 day') s
		WHERE t::timestamp >= s AND t::timestamp < s + interval '3 days'$$,
	$$SELECT ts::timestamp, w.* FROM instants, streamproc.hop(ts::timestamp, '1 day', '3 days', NULL, 'Asia/Tokyo') w$$) d;
SELECT d.* FROM compared($$SELECT t::date, s::date, (s + interval '2 months')::date FROM instants i (t), generate_series('2022-10-01'::timestamp, '2024-02-01', '1 month') s
		WHERE t::date >= s AND t::date < s + interval '2 months'$$,
	$$SELECT ts::date, w.* FROM instants, streamproc.hop(ts::date, '1 month', '2 months') w$$) d;

-- Samoa had no 30 December 2011: a day is one that there was, windows of 3 days have three
SELECT ts, window_start AT TIME ZONE 'Pacific/Apia' AS window_start, window_end AT TIME ZONE 'Pacific/Apia' AS window_end
	FROM unnest('{2011-12-30 09:59:59+00,2011-12-30 10:00+00}'::timestamptz[]) ts, streamproc.hop(ts, '1 day', '3 days', NULL, 'Pacific/Apia');
SELECT d.* FROM compared($$WITH day AS (SELECT instant, lead(instant, 7) OVER (ORDER BY instant) AS later FROM (SELECT DISTINCT d AT TIME ZONE 'Pacific/Apia' AS instant
			FROM generate_series('2011-11-01'::timestamp, '2012-02-28', '1 day') d) d)
		SELECT ts, instant, later FROM generate_series('2011-12-10+00'::timestamptz, '2012-01-20', '5 hours') ts, day WHERE ts >= instant AND ts < later$$,
	$$SELECT ts, w.* FROM generate_series('2011-12-10+00'::timestamptz, '2012-01-20', '5 hours') ts, streamproc.hop(ts, '1 day', '7 days', NULL, 'Pacific/Apia') w$$) d;

-- a slide that is the size: the tumbling windows; many panes: as many windows
SELECT count(*) AS wrong FROM instants, unnest('{1 minute,5 hours,1 day,1 month}'::interval[]) size, streamproc.hop(ts, size, size, '2023-03-03 03:03', 'America/New_York') h,
	streamproc.tumble(ts, size, '2023-03-03 03:03', 'America/New_York') t WHERE h <> t;
SELECT count(*), min(window_start), max(window_end) FROM streamproc.hop('2024-05-06 12:34:56+00'::timestamptz, '1 second', '1 day'::interval * 0 + '24 hours');
SELECT count(*), min(window_start), max(window_end) FROM streamproc.hop('2024-05-06 12:34:56+00'::timestamptz, '1 day', '1000 days', NULL, 'Europe/Berlin');

-- long ago, and far away
SELECT * FROM streamproc.hop('0044-03-15 12:00:00 BC'::timestamp, '1 day', '2 days');
SELECT * FROM streamproc.hop('0001-01-15 12:00:00'::timestamp, '1 month', '2 months');
SELECT * FROM streamproc.hop('4714-11-24 00:30:00+00 BC'::timestamptz, '30 minutes', '1 hour');
SELECT * FROM streamproc.hop('4714-11-24 00:00:00+00 BC'::timestamptz, '30 minutes', '1 hour');
SELECT * FROM streamproc.hop('294276-12-31 23:29:59.999999+00'::timestamptz, '30 minutes', '1 hour');
SELECT * FROM streamproc.hop('294276-12-31 12:00:00+00'::timestamptz, '1 month', '2 months');

-- infinite times are windows of their own; null is in none
SELECT * FROM unnest('{infinity,-infinity}'::timestamptz[]) ts, streamproc.hop(ts, '1 hour', '2 hours');
SELECT * FROM unnest('{infinity,-infinity}'::date[]) ts, streamproc.hop(ts, '1 month', '2 months');
SELECT * FROM streamproc.hop(NULL::timestamptz, '1 hour', '2 hours');
SELECT * FROM streamproc.hop('2024-05-06'::timestamptz, NULL, '2 hours');
SELECT * FROM streamproc.hop('2024-05-06'::timestamptz, '1 hour', NULL);

-- in the select list, with other arguments from row to row, and not to the end
SELECT streamproc.hop('2024-05-06 12:34:56'::timestamp, '1 hour', size) FROM unnest('{1 hour,3 hours,2 hours}'::interval[]) size;
SELECT i, (SELECT (streamproc.hop('2024-05-06 12:34:56'::timestamp + i * interval '1 hour', '1 hour', '3 hours')).window_start LIMIT 1)
	FROM generate_series(1, 3) i;
SELECT i, w.* FROM generate_series(1, 3) i, LATERAL (SELECT * FROM streamproc.hop('2024-05-06 12:34:56'::timestamp + i * interval '1 hour', '1 hour', '3 hours') LIMIT 2) w;

-- errors
SELECT * FROM streamproc.hop(now(), '0', '1 hour');
SELECT * FROM streamproc.hop(now(), '1 hour', '0');
SELECT * FROM streamproc.hop(now(), '-1 hour', '1 hour');
SELECT * FROM streamproc.hop(now(), '1 day 1 hour', '2 days 2 hours');
SELECT * FROM streamproc.hop(now(), '2 hours', '1 hour');
SELECT * FROM streamproc.hop(now(), '7 minutes', '1 hour');
SELECT * FROM streamproc.hop(now(), '1 hour', '1 day');
SELECT * FROM streamproc.hop(now(), '1 day', '1 month');
SELECT * FROM streamproc.hop(now(), '1 hour', '2 hours', NULL, 'Nowhere/Land');
SELECT * FROM streamproc.hop(now(), '1 hour', '2 hours', 'infinity');
SELECT * FROM streamproc.hop('2024-05-06'::date, '1 hour', '2 hours');

DROP FUNCTION compared, differences;
DROP TABLE instants;
