--
-- Windows over ordinary tables, partitioned tables and stream tables: what they hold is what plain SQL says.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA window_test;
SET search_path = window_test, public;

-- A small one, to be checked by hand.
CREATE TABLE reading (sensor text, celsius float8, ts timestamptz);
SELECT streamproc.create_stream('reading', time_column => 'ts', watermark => '1 minute', idle_timeout => '1 day');
SELECT streamproc.create_window('by_minute', 'reading', kind => 'tumbling', size => '1 minute',
	keys => ARRAY['sensor'], aggregates => ARRAY['count(*) AS n', 'avg(celsius) AS mean', 'max(celsius) AS peak']);
SELECT streamproc.create_window('closed', 'reading', kind => 'tumbling', size => '1 minute',
	aggregates => ARRAY['count(*) AS n', 'sum(celsius) FILTER (WHERE sensor = ''a'') AS a'], emit => 'final');
SELECT streamproc.create_window('running', 'reading', kind => 'global',
	keys => ARRAY['sensor'], aggregates => ARRAY['count(celsius) AS n', 'min(ts) AS first'], filter => 'celsius > 0');
SELECT streamproc.wait_for();

INSERT INTO reading VALUES ('a', 20, '2026-03-01 12:00:10+00'), ('a', 22, '2026-03-01 12:00:50+00'),
	('b', -5, '2026-03-01 12:00:20+00');
SELECT streamproc.wait_for();
SELECT * FROM by_minute ORDER BY window_start, sensor;
SELECT * FROM closed ORDER BY window_start;
-- The next minute changes what it touches, and nothing is closed before the watermark says so.
INSERT INTO reading VALUES ('a', 24, '2026-03-01 12:00:59.999999+00'), ('a', 30, '2026-03-01 12:01:00+00');
INSERT INTO reading VALUES (NULL, NULL, '2026-03-01 12:01:59+00');
SELECT streamproc.wait_for();
SELECT * FROM by_minute ORDER BY window_start, sensor;
SELECT * FROM closed ORDER BY window_start;
-- Now it does: 12:02 - 1 minute >= 12:01.
INSERT INTO reading VALUES ('b', 1, '2026-03-01 12:02:00+00');
SELECT streamproc.wait_for();
SELECT * FROM by_minute ORDER BY window_start, sensor;
SELECT * FROM closed ORDER BY window_start;
SELECT sensor, n, first FROM running ORDER BY sensor;
-- The twin is the same in plain SQL.
SELECT * FROM by_minute_sql ORDER BY window_start, sensor;
SELECT * FROM streamproc.verify('by_minute');
SELECT * FROM streamproc.verify('closed');
SELECT * FROM streamproc.verify('running');

-- What was rolled back never happened.
BEGIN;
INSERT INTO reading VALUES ('a', 99, '2026-03-01 12:02:01+00');
ROLLBACK;
BEGIN;
INSERT INTO reading VALUES ('a', 2, '2026-03-01 12:02:02+00');
SAVEPOINT s;
INSERT INTO reading VALUES ('a', 99, '2026-03-01 12:02:03+00');
ROLLBACK TO s;
INSERT INTO reading VALUES ('b', 3, '2026-03-01 12:02:04+00');
COMMIT;
SELECT streamproc.wait_for();
SELECT sensor, n, peak FROM by_minute WHERE window_start = '2026-03-01 12:02+00' ORDER BY sensor;

-- Calendar days in a time zone: the day the clocks go forward has 23 hours.
CREATE TABLE visit (at timestamptz, person int);
SELECT streamproc.create_stream('visit', time_column => 'at', idle_timeout => '1 day');
SELECT streamproc.create_window('visit_day', 'visit', kind => 'tumbling', size => '1 day', time_zone => 'Europe/Berlin',
	aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('visit_month', 'visit', kind => 'tumbling', size => '1 month', time_zone => 'Europe/Berlin',
	aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('visit_week', 'visit', kind => 'tumbling', size => '7 days', time_zone => 'Europe/Berlin',
	aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.wait_for();
INSERT INTO visit SELECT '2026-03-27 00:00+00'::timestamptz + i * interval '1 hour', i FROM generate_series(0, 24 * 6) i;
SELECT streamproc.wait_for();
SELECT window_start, window_end, n, is_final FROM visit_day ORDER BY 1;
SELECT window_start, window_end, n, is_final FROM visit_month ORDER BY 1;
SELECT window_start, window_end, n, is_final FROM visit_week ORDER BY 1;
SELECT * FROM streamproc.verify('visit_day');
SELECT * FROM streamproc.verify('visit_month');

-- A partitioned table whose leaves store their columns in another order; rows that were there before.
CREATE TABLE sale (id bigint, shop text, price numeric(10,2), at timestamp) PARTITION BY LIST (shop);
CREATE TABLE sale_north (gone int, at timestamp, shop text, id bigint, price numeric(10,2));
ALTER TABLE sale_north DROP COLUMN gone;
ALTER TABLE sale ATTACH PARTITION sale_north FOR VALUES IN ('Oslo', 'Bergen');
CREATE TABLE sale_south PARTITION OF sale DEFAULT;
INSERT INTO sale SELECT i, (ARRAY['Oslo', 'Rome', 'Bergen', NULL])[1 + i % 4], i / 3.0,
	'2026-01-01'::timestamp + i * interval '7 minutes' FROM generate_series(1, 1000) i;
SELECT streamproc.create_stream('sale', time_column => 'at', idle_timeout => '1 day');
SELECT streamproc.create_window('sale_hour', 'sale', kind => 'tumbling', size => '1 hour', keys => ARRAY['upper(shop) AS shop'],
	aggregates => ARRAY['count(*) AS n', 'sum(price) AS takings', 'max(price) - min(price) AS spread']);
SELECT streamproc.create_window('sale_hour', 'sale', kind => 'tumbling', size => '1 hour', keys => ARRAY['upper(shop) AS shop'],
	aggregates => ARRAY['count(*) AS n', 'sum(price) AS takings', 'min(price) AS least', 'stddev(price) AS spread',
		'bit_xor(id) AS bits', 'max(shop) AS last_shop']);
INSERT INTO sale SELECT i, (ARRAY['Oslo', 'Rome', 'Bergen', NULL])[1 + i % 4], i / 3.0,
	'2026-01-01'::timestamp + i * interval '7 minutes' FROM generate_series(1001, 2000) i;
SELECT streamproc.wait_for();
SELECT count(*), sum(n) FROM sale_hour;
SELECT count(*) FROM (
	SELECT window_start, shop, n, takings, least, spread, bits, last_shop FROM sale_hour EXCEPT ALL
	SELECT date_trunc('hour', at), upper(shop), count(*), sum(price), min(price), stddev(price), bit_xor(id), max(shop)
	FROM sale GROUP BY 1, 2) difference;
SELECT * FROM streamproc.verify('sale_hour');

-- A stream table keeps no rows, only results.
CREATE TABLE click (page text, ms int, at timestamptz DEFAULT '2026-05-01 00:00+00') USING streamproc;
SELECT streamproc.create_stream('click', time_column => 'at', idle_timeout => '1 day');
SELECT streamproc.create_window('click_minute', 'click', kind => 'tumbling', size => '1 minute',
	keys => ARRAY['page'], aggregates => ARRAY['count(*) AS n', 'sum(ms) AS ms', 'avg(ms) AS mean']);
SELECT streamproc.wait_for();
COPY click (page, ms) FROM STDIN;
home	10
home	20
\N	5
about	\N
\.
INSERT INTO click VALUES ('home', 30, '2026-05-01 00:01:30+00') RETURNING page, ms;
SELECT streamproc.wait_for();
SELECT window_start, page, n, ms, mean, is_final FROM click_minute ORDER BY window_start, page;
SELECT count(*) FROM click;

-- A window whose results wait for their trigger: wait_for() makes it write.
SELECT streamproc.create_window('slow', 'click', kind => 'global', aggregates => ARRAY['count(*) AS n'],
	trigger => '1 hour', backfill => false);
SELECT streamproc.wait_for();
INSERT INTO click VALUES ('a', 1), ('b', 2);
SELECT streamproc.wait_for();
SELECT n FROM slow;

-- Dropping takes the results along, as asked.
SELECT streamproc.drop_window('sale_hour');
SELECT to_regclass('sale_hour'), to_regclass('sale_hour_sql');
SELECT streamproc.wait_for();

SET client_min_messages = warning;
DROP SCHEMA window_test CASCADE;

-- Without a time column history has no times: running totals count it, windows begin now.
CREATE TABLE visit (id int);
INSERT INTO visit SELECT generate_series(1, 10);
SELECT streamproc.create_stream('visit');
SELECT streamproc.create_window('visits', 'visit', 'global', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('hourly_visits', 'visit', 'tumbling', size => '1 hour', aggregates => '{count(*) AS n}');
SELECT streamproc.wait_for();
INSERT INTO visit VALUES (11), (12);
SELECT streamproc.wait_for();
SELECT n FROM visits;
SELECT sum(n) FROM hourly_visits;
SELECT streamproc.drop_stream('visit', cascade => true);
DROP TABLE visit;
