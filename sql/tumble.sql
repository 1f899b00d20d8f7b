--
-- tumble(): the window of a time, against what PostgreSQL's own functions say
--
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';

SELECT * FROM streamproc.tumble('2024-05-06 12:34:56+00'::timestamptz, '1 minute');
SELECT * FROM streamproc.tumble('2024-05-06 12:34:56+00'::timestamptz, '15 minutes', time_zone => 'Asia/Kathmandu');
SELECT * FROM streamproc.tumble('2024-05-06 12:34:56+00'::timestamptz, '7 days');
SELECT * FROM streamproc.tumble('2024-05-06 12:34:56+00'::timestamptz, '3 months');
SELECT * FROM streamproc.tumble('2024-05-06 12:34:56'::timestamp, '1 hour');
SELECT * FROM streamproc.tumble('2024-05-06'::date, '7 days');

-- times every 97 minutes and some, over two years with their changes of the clocks; boundaries themselves
CREATE TABLE instants AS
	SELECT '2022-12-30 00:00+00'::timestamptz + i * interval '97 minutes 3.25 seconds' AS ts
	FROM generate_series(0, 11000) i
	UNION ALL
	SELECT '2022-12-30 00:00+00'::timestamptz + i * interval '1 hour'
	FROM generate_series(0, 18000) i;

-- absolute sizes: date_bin from the origin
SELECT size, count(*), count(*) FILTER (WHERE window_start IS DISTINCT FROM date_bin(size, ts, origin)
		OR window_end <> window_start + size) AS wrong
	FROM instants, unnest('{1 second,1 minute,7 minutes,1 hour,36 hours}'::interval[]) size,
		(VALUES ('2000-01-03'::timestamptz)) o (origin),
		streamproc.tumble(ts, size)
	GROUP BY size ORDER BY size;
SELECT size, count(*), count(*) FILTER (WHERE window_start IS DISTINCT FROM
		date_bin(size, ts, '2023-06-01 09:30'::timestamp AT TIME ZONE 'Europe/Berlin')) AS wrong
	FROM instants, unnest('{1 minute,7 hours}'::interval[]) size,
		streamproc.tumble(ts, size, '2023-06-01 09:30', 'Europe/Berlin')
	GROUP BY size ORDER BY size;

-- days and months of a zone: date_trunc in local time, and the instant of that
SELECT zone, count(*),
		count(*) FILTER (WHERE d.window_start <> date_trunc('day', ts, zone)) AS wrong_day,
		count(*) FILTER (WHERE d.window_end <> (date_trunc('day', ts AT TIME ZONE zone) + interval '1 day') AT TIME ZONE zone)
			AS wrong_day_end,
		count(*) FILTER (WHERE w.window_start <> date_trunc('week', ts, zone)) AS wrong_week,
		count(*) FILTER (WHERE m.window_start <> date_trunc('month', ts, zone)) AS wrong_month,
		count(*) FILTER (WHERE q.window_start <> date_trunc('quarter', ts, zone)) AS wrong_quarter,
		count(*) FILTER (WHERE y.window_start <> date_trunc('year', ts, zone)) AS wrong_year,
		count(DISTINCT d.window_end - d.window_start) AS lengths_of_days
	FROM instants, unnest('{UTC,Europe/Berlin,America/New_York,Australia/Lord_Howe}'::text[]) zone,
		streamproc.tumble(ts, '1 day', NULL, zone) d,
		streamproc.tumble(ts, '7 days', NULL, zone) w,
		streamproc.tumble(ts, '1 month', NULL, zone) m,
		streamproc.tumble(ts, '3 months', NULL, zone) q,
		streamproc.tumble(ts, '1 year', NULL, zone) y
	GROUP BY zone ORDER BY zone;

-- the clocks change at midnight: windows are never empty of the times they are found for, and don't overlap
SELECT zone,
		count(*) FILTER (WHERE ts < window_start OR ts >= window_end) AS outside,
		count(DISTINCT window_start) - count(DISTINCT window_end) AS uneven,
		count(*) FILTER (WHERE window_start <> (window_start AT TIME ZONE zone)::date::timestamp AT TIME ZONE zone) AS odd
	FROM unnest('{America/Havana,America/Sao_Paulo,Asia/Beirut,Pacific/Apia}'::text[]) zone,
		generate_series('2009-01-01+00'::timestamptz, '2013-01-01+00', '20 minutes') ts,
		streamproc.tumble(ts, '1 day', NULL, zone)
	GROUP BY zone ORDER BY zone;
-- an hour comes twice, the second one after midnight: its day begins then
SELECT ts, ts AT TIME ZONE 'America/Havana' AS local, window_start, window_end
	FROM generate_series('2012-11-04 03:30+00'::timestamptz, '2012-11-04 05:30+00', '1 hour') ts,
		streamproc.tumble(ts, '1 day', NULL, 'America/Havana');
-- Samoa had no 30 December 2011
SELECT ts, ts AT TIME ZONE 'Pacific/Apia' AS local, window_start, window_end
	FROM generate_series('2011-12-30 09:30+00'::timestamptz, '2011-12-30 10:30+00', '30 minutes') ts,
		streamproc.tumble(ts, '1 day', NULL, 'Pacific/Apia');

-- origins: business days from 6 o'clock, months from the 31st
SELECT * FROM streamproc.tumble('2024-03-31 03:59+00'::timestamptz, '1 day', '2024-01-01 06:00', 'Europe/Berlin');
SELECT * FROM streamproc.tumble('2024-03-31 04:00+00'::timestamptz, '1 day', '2024-01-01 06:00', 'Europe/Berlin');
SELECT ts, window_start, window_end FROM unnest('{2024-01-30,2024-01-31,2024-02-28,2024-02-29,2024-03-30,2024-03-31}'::date[]) ts,
	streamproc.tumble(ts, '1 month', '2023-12-31');

-- long ago, and far away
SELECT * FROM streamproc.tumble('0044-03-15 12:00:00 BC'::timestamp, '1 day');
SELECT * FROM streamproc.tumble('0044-03-15 12:00:00+00 BC'::timestamptz, '100 years');
SELECT * FROM streamproc.tumble('0001-01-01 12:00:00'::timestamp, '1 month', '2000-06-01');
SELECT * FROM streamproc.tumble('4714-11-24 00:00:00+00 BC'::timestamptz, '1 hour');
SELECT * FROM streamproc.tumble('4714-11-24 00:00:00+00 BC'::timestamptz, '7 days');
SELECT * FROM streamproc.tumble('294276-12-31 23:59:59.999999+00'::timestamptz, '1 hour');
SELECT * FROM streamproc.tumble('294276-12-31 12:00:00+00'::timestamptz, '30 minutes');
SELECT count(*) AS wrong FROM generate_series(-2000, 2000, 1.25) y, make_timestamp(1, 1, 1, 0, 0, 0) a,
	LATERAL (SELECT a + y * interval '365.2425 days' AS ts) t,
	streamproc.tumble(ts, '1 day') d, streamproc.tumble(ts, '1 month') m
	WHERE d.window_start <> date_trunc('day', ts) OR m.window_start <> date_trunc('month', ts);

-- infinite times are windows of their own, as date_bin has it; null is in none
SELECT * FROM unnest('{infinity,-infinity}'::timestamptz[]) ts, streamproc.tumble(ts, '1 hour');
SELECT * FROM unnest('{infinity,-infinity}'::timestamptz[]) ts, streamproc.tumble(ts, '1 month', NULL, 'Asia/Tokyo');
SELECT * FROM unnest('{infinity,-infinity}'::date[]) ts, streamproc.tumble(ts, '1 day');
SELECT * FROM streamproc.tumble(NULL::timestamptz, '1 hour');
SELECT * FROM streamproc.tumble('2024-05-06'::timestamptz, NULL);

-- in the select list, and with other arguments from row to row
SELECT streamproc.tumble('2024-05-06 12:34:56'::timestamp, size) FROM unnest('{1 hour,1 day,1 hour}'::interval[]) size;
SELECT zone, window_start FROM unnest('{Asia/Tokyo,UTC,Asia/Tokyo}'::text[]) zone,
	streamproc.tumble('2024-05-06 20:00+00'::timestamptz, '1 day', NULL, zone);

-- errors
SELECT * FROM streamproc.tumble(now(), '0');
SELECT * FROM streamproc.tumble(now(), '-1 hour');
SELECT * FROM streamproc.tumble(now(), '1 day 1 hour');
SELECT * FROM streamproc.tumble(now(), '1 month -1 day');
SELECT * FROM streamproc.tumble(now(), '1 hour', NULL, 'Nowhere/Land');
SELECT * FROM streamproc.tumble(now(), '1 hour', 'infinity');
SELECT * FROM streamproc.tumble('2024-05-06'::date, '1 hour');

DROP TABLE instants;
