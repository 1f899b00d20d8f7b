--
-- cumulate(): the cumulative windows of a time, against windows listed by plain SQL
--
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';

SELECT * FROM streamproc.cumulate('2024-05-06 12:34:56+00'::timestamptz, '20 minutes', '1 hour');
SELECT * FROM streamproc.cumulate('2024-05-06 12:40:00+00'::timestamptz, '20 minutes', '1 hour');
SELECT * FROM streamproc.cumulate('2024-05-06 12:34:56'::timestamp, '1 hour', '1 hour');
SELECT * FROM streamproc.cumulate('2024-05-06'::date, '1 day', '7 days');
SELECT * FROM streamproc.cumulate('2024-05-31'::date, '1 month', '1 year', '2000-04-01');
SELECT * FROM streamproc.cumulate('2024-02-28'::date, '10 days', '1 month');
SELECT * FROM streamproc.cumulate('2024-05-06 12:34:56+00'::timestamptz, '20 minutes', '1 hour', '2024-01-01 00:05', 'Asia/Kathmandu');
-- a day of 23 hours, and one of 25: the last step is what is left
SELECT window_end - window_start AS length, window_end FROM streamproc.cumulate('2024-03-31 10:00+00'::timestamptz, '5 hours', '1 day', NULL, 'Europe/Berlin');
SELECT window_end - window_start AS length, window_end FROM streamproc.cumulate('2024-10-27 12:00+00'::timestamptz, '6 hours', '1 day', NULL, 'Europe/Berlin');

-- times every three days and some, boundaries, and the last moments before them
CREATE TABLE instants AS
	SELECT '2022-12-30 00:00+00'::timestamptz + i * interval '75 hours 3.25 seconds' AS ts
	FROM generate_series(0, 120) i
	UNION ALL
	SELECT '2023-03-20 00:00+00'::timestamptz + i * interval '2 hours' - i % 2 * interval '1 microsecond'
	FROM generate_series(0, 225) i;

-- the windows of a time, listed: from the start of its base window to each of the ends behind it
\i test/sql/differences.sql

-- absolute units
SELECT step, size, d.* FROM (VALUES ('10 minutes', '30 minutes'), ('1 hour', '24 hours'), ('7 hours', '21 hours'), ('36 hours', '72 hours')) v (step, size),
	compared(format($$SELECT ts, s, e FROM instants, LATERAL (SELECT date_bin('%2$s', ts, '2000-01-03') AS s) s,
			generate_series(s + interval '%1$s', s + interval '%2$s', '%1$s') e WHERE e > ts$$, step, size),
		format($$SELECT ts, w.* FROM instants, streamproc.cumulate(ts, '%s', '%s') w$$, step, size)) d;

-- days and months of a zone, and steps in smaller units, the last one cut
SELECT zone, step, size, d.* FROM unnest('{Europe/Berlin,America/Havana,Australia/Lord_Howe}'::text[]) zone,
	(VALUES ('1 day', '1 day', '1 month'), ('7 days', '7 days', '1 month'), ('1 month', '1 month', '1 year'), ('3 months', '3 months', '1 year'), ('40 days', '40 days', '3 months')) v (step, local_step, size),
	compared(format($$SELECT ts, l AT TIME ZONE '%3$s', least(e, l + interval '%2$s') AT TIME ZONE '%3$s' FROM instants, LATERAL (SELECT
				date_trunc(CASE interval '%2$s' WHEN '1 month' THEN 'month' WHEN '3 months' THEN 'quarter' ELSE 'year' END, ts AT TIME ZONE '%3$s') AS l) l,
			generate_series(1, 40) i, LATERAL (SELECT l + i * interval '%1$s' AS e) e
			WHERE e < l + interval '%2$s' + interval '%1$s' AND least(e, l + interval '%2$s') AT TIME ZONE '%3$s' > ts$$, step, size, zone),
		format($$SELECT ts, w.* FROM instants, streamproc.cumulate(ts, '%s', '%s', NULL, '%s') w$$, step, size, zone)) d
	ORDER BY zone, step;
SELECT zone, step, size, d.* FROM unnest('{Europe/Berlin,America/Havana,Australia/Lord_Howe}'::text[]) zone,
	(VALUES ('1 hour', '1 day', 'day'), ('5 hours', '1 day', 'day'), ('36 hours', '7 days', 'week'), ('100 hours', '1 month', 'month')) v (step, size, unit),
	compared(format($$SELECT ts, s, least(e, b) FROM instants, LATERAL (SELECT date_trunc('%4$s', ts, '%3$s') AS s,
				(date_trunc('%4$s', ts AT TIME ZONE '%3$s') + interval '%2$s') AT TIME ZONE '%3$s' AS b) w,
			generate_series(s + interval '%1$s', b + interval '%1$s' - interval '1 microsecond', '%1$s') e WHERE least(e, b) > ts$$, step, size, zone, unit),
		format($$SELECT ts, w.* FROM instants, streamproc.cumulate(ts, '%s', '%s', NULL, '%s') w$$, step, size, zone)) d
	ORDER BY zone, step;
-- origins: months from the 31st
SELECT step, size, d.* FROM (VALUES ('1 month', '3 months', '2021-01-31 02:30')) v (step, size, origin),
	compared(format($$SELECT ts, s, e FROM instants, generate_series(0, 30) k, generate_series(1, 3) j,
			LATERAL (SELECT (timestamp '%3$s' + 3 * k * interval '%1$s') AT TIME ZONE 'Europe/Berlin' AS s,
				(timestamp '%3$s' + (3 * k + j) * interval '%1$s') AT TIME ZONE 'Europe/Berlin' AS e) w
			WHERE ts >= s AND ts < e$$, step, size, origin),
		format($$SELECT ts, w.* FROM instants, streamproc.cumulate(ts, '%s', '%s', '%s', 'Europe/Berlin') w$$, step, size, origin)) d;
-- times without zone, and dates
SELECT d.* FROM compared($$SELECT ts::timestamp, s, least(e, s + interval '1 month') FROM instants, date_trunc('month', ts::timestamp) s, generate_series(1, 62) i,
		LATERAL (SELECT s + i * interval '12 hours' AS e) e WHERE e < s + interval '1 month 12 hours' AND e > ts::timestamp$$,
	$$SELECT ts::timestamp, w.* FROM instants, streamproc.cumulate(ts::timestamp, '12 hours', '1 month', NULL, 'Asia/Tokyo') w$$) d;
SELECT d.* FROM compared($$SELECT ts::date, s::date, least(s::date + 7 * i, (s + interval '1 month')::date) FROM instants, date_trunc('month', ts::timestamp) s, generate_series(1, 5) i
		WHERE s::date + 7 * i < s + interval '1 month 7 days' AND least(s::date + 7 * i, (s + interval '1 month')::date) > ts::date$$,
	$$SELECT ts::date, w.* FROM instants, streamproc.cumulate(ts::date, '7 days', '1 month') w$$) d;

-- Samoa had no 30 December 2011: no window ends with it
SELECT window_start AT TIME ZONE 'Pacific/Apia' AS window_start, window_end AT TIME ZONE 'Pacific/Apia' AS window_end
	FROM streamproc.cumulate('2011-12-29 12:00+00', '1 day', '7 days', NULL, 'Pacific/Apia');

-- the ends of a time are those of all later times, and the base windows are the tumbling ones
SELECT count(*) AS wrong FROM instants, (VALUES ('1 minute'::interval, '5 minutes'::interval), ('5 hours', '1 day'), ('4 days', '1 month')) v (step, size),
	LATERAL (SELECT min(window_start) AS s, max(window_end) AS e, count(DISTINCT window_start) AS starts
		FROM streamproc.cumulate(ts, step, size, '2023-03-03 03:03', 'America/New_York')) c,
	streamproc.tumble(ts, size, '2023-03-03 03:03', 'America/New_York') t WHERE s <> t.window_start OR e <> t.window_end OR starts <> 1;

-- long ago, and far away
SELECT * FROM streamproc.cumulate('0044-03-15 12:00:00 BC'::timestamp, '12 hours', '1 day');
SELECT * FROM streamproc.cumulate('0001-01-15 12:00:00'::timestamp, '15 days', '1 month');
SELECT * FROM streamproc.cumulate('4714-11-24 00:00:00+00 BC'::timestamptz, '30 minutes', '1 hour');
SELECT * FROM streamproc.cumulate('4714-11-24 00:00:00+00 BC'::timestamptz, '1 day', '7 days');
SELECT * FROM streamproc.cumulate('294276-12-31 23:29:59.999999+00'::timestamptz, '30 minutes', '1 hour');

-- infinite times are windows of their own; null is in none
SELECT * FROM unnest('{infinity,-infinity}'::timestamptz[]) ts, streamproc.cumulate(ts, '1 hour', '2 hours');
SELECT * FROM unnest('{infinity,-infinity}'::timestamptz[]) ts, streamproc.cumulate(ts, '1 day', '2 months', NULL, 'Asia/Tokyo');
SELECT * FROM unnest('{infinity,-infinity}'::date[]) ts, streamproc.cumulate(ts, '1 month', '2 months');
SELECT * FROM streamproc.cumulate(NULL::timestamptz, '1 hour', '2 hours');
SELECT * FROM streamproc.cumulate('2024-05-06'::timestamptz, NULL, '2 hours');

-- with other arguments from row to row, and not to the end
SELECT streamproc.cumulate('2024-05-06 12:34:56'::timestamp, '1 hour', size) FROM unnest('{1 hour,3 hours,2 hours}'::interval[]) size;
SELECT i, (SELECT (streamproc.cumulate('2024-05-06 12:34:56'::timestamp + i * interval '1 hour', '1 hour', '3 hours')).window_end LIMIT 1)
	FROM generate_series(1, 3) i;

-- errors
SELECT * FROM streamproc.cumulate(now(), '0', '1 hour');
SELECT * FROM streamproc.cumulate(now(), '1 hour', '-1 hour');
SELECT * FROM streamproc.cumulate(now(), '1 day 1 hour', '1 month');
SELECT * FROM streamproc.cumulate(now(), '2 hours', '1 hour');
SELECT * FROM streamproc.cumulate(now(), '25 hours', '1 day');
SELECT * FROM streamproc.cumulate(now(), '7 minutes', '1 hour');
SELECT * FROM streamproc.cumulate(now(), '2 days', '7 days');
SELECT * FROM streamproc.cumulate(now(), '1 day', '48 hours');
SELECT * FROM streamproc.cumulate('2024-05-06'::date, '1 hour', '1 day');

DROP FUNCTION compared, differences;
DROP TABLE instants;
