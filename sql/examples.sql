--
-- What the extension is made for, as a user would write it: revenue by five minutes of rows in disorder, the
-- alert on many and on large payments, and the summary of each day, streamed and as plain SQL over history.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA examples;
SET search_path = examples, public;

-- 1. Revenue of each store by 5 minutes; rows come up to 10 minutes late; results are written each 30 seconds.
CREATE TABLE sale (id int, store text, amount numeric(8, 2), ts timestamptz, commit int);
SELECT streamproc.create_stream('sale', time_column => 'ts', watermark => '10 minutes', idle_timeout => '1 day');
SELECT streamproc.create_window('revenue', 'sale', kind => 'tumbling', size => '5 minutes', trigger => '30 seconds',
	keys => ARRAY['store'], aggregates => ARRAY['count(*) AS n', 'sum(amount) AS revenue']);
SELECT streamproc.create_window('revenue_at_once', 'sale', kind => 'tumbling', size => '5 minutes',
	keys => ARRAY['store'], aggregates => ARRAY['count(*) AS n', 'sum(amount) AS revenue']);
SELECT streamproc.wait_for();
INSERT INTO sale VALUES (1, 'north', 100.00, '2026-01-05 12:01+00', 1), (2, 'south', 40.00, '2026-01-05 12:02+00', 1);
-- The trigger delays what is written: one window shows the rows already, the other doesn't.
DO $$
BEGIN
	FOR i IN 1 .. 1000000 LOOP
		EXIT WHEN EXISTS (SELECT FROM examples.revenue_at_once);
		COMMIT;
	END LOOP;
END $$;
SELECT (SELECT count(*) FROM revenue_at_once) AS at_once, (SELECT count(*) FROM revenue) AS each_30_seconds;
-- Three minutes behind, nine and a half, ten exactly: all of them count.
INSERT INTO sale VALUES (3, 'north', 25.50, '2026-01-05 12:07+00', 2);
INSERT INTO sale VALUES (4, 'north', 10.00, '2026-01-05 12:04+00', 3);
INSERT INTO sale VALUES (5, 'south', 5.00, '2026-01-05 12:12+00', 4);
INSERT INTO sale VALUES (6, 'north', 1.25, '2026-01-05 12:02:30+00', 5);
INSERT INTO sale VALUES (7, 'south', 0.75, '2026-01-05 12:02+00', 6);
-- The watermark comes to 12:05, the end of the first window. What falls into it now is late, however little; what
-- is ten minutes behind is in the next one.
INSERT INTO sale VALUES (8, 'north', 200.00, '2026-01-05 12:15+00', 7);
INSERT INTO sale VALUES (9, 'north', 999.00, '2026-01-05 12:04:59.999999+00', 8), (10, 'north', 3.00, '2026-01-05 12:05+00', 8);
-- More than ten minutes behind, but its window is open still: it counts.
INSERT INTO sale VALUES (11, 'south', 2.00, '2026-01-05 12:19+00', 9);
INSERT INTO sale VALUES (12, 'south', 4.00, '2026-01-05 12:08+00', 10);
-- The rows of one commit aren't late against one another, but the next commit's are.
INSERT INTO sale VALUES (13, 'south', 8.00, '2026-01-05 13:00+00', 11), (14, 'north', 7.00, '2026-01-05 12:21+00', 11);
INSERT INTO sale VALUES (15, 'south', 999.00, '2026-01-05 12:24+00', 12);
SELECT streamproc.wait_for();
-- By hand:
--	12:00	north	1, 4, 6	100.00 + 10.00 + 1.25 = 111.25		south	2, 7	40.00 + 0.75 = 40.75
--	12:05	north	3, 10	25.50 + 3.00 = 28.50				south	12		4.00
--	12:10														south	5		5.00
--	12:15	north	8		200.00								south	11		2.00
--	12:20	north	14		7.00
--	13:00														south	13		8.00, the only one open: 12:50 is reached
SELECT window_start, window_end, store, n, revenue, is_final FROM revenue ORDER BY window_start, store;
SELECT name, reason, (row_data->>'id')::int AS id, event_time FROM streamproc.dead_letter WHERE source = 'sale'::regclass
ORDER BY name::text, 3;
-- By plain SQL, which knows what is late from the commits before.
CREATE VIEW expected_revenue AS
SELECT window_start, window_end, store, count(*) AS n, sum(amount) AS revenue FROM (
	SELECT *, date_bin('5 minutes', ts, '2000-01-01 00:00+00') AS window_start,
		date_bin('5 minutes', ts, '2000-01-01 00:00+00') + interval '5 minutes' AS window_end,
		max(ts) OVER (ORDER BY commit RANGE UNBOUNDED PRECEDING EXCLUDE GROUP) - interval '10 minutes' AS watermark
	FROM sale) s
WHERE (window_end <= watermark) IS NOT TRUE GROUP BY 1, 2, 3;
SELECT count(*) FROM (SELECT window_start, window_end, store, n, revenue FROM revenue EXCEPT ALL TABLE expected_revenue) x;
SELECT count(*) FROM (TABLE expected_revenue EXCEPT ALL SELECT window_start, window_end, store, n, revenue FROM revenue) x;
SELECT count(*) FROM (SELECT window_start, window_end, store, n, revenue, is_final FROM revenue
	EXCEPT ALL SELECT window_start, window_end, store, n, revenue, is_final FROM revenue_at_once) x;
SELECT * FROM streamproc.verify('revenue');

-- 2. More than 5 payments of a customer in 5 minutes, or one over 10000: one alert, with all that holds.
CREATE TABLE payment (id int, customer int, amount numeric, ts timestamptz);
SELECT streamproc.create_stream('payment', time_column => 'ts', watermark => '1 minute', idle_timeout => '1 day');
SELECT streamproc.create_window('velocity', 'payment', kind => 'sliding', size => '5 minutes', keys => ARRAY['customer'],
	carry => ARRAY['id AS payment_id', 'amount'], aggregates => ARRAY['count(*) AS n', 'sum(amount) AS total']);
SELECT streamproc.create_detector('fraud', 'velocity', method => 'rule',
	rules => ARRAY['n > 5 AS "High velocity"', 'amount > 10000 AS "Large transaction"'],
	carry => ARRAY['payment_id', 'amount', 'n', 'total']);
-- A rule may write its message, and needs no window where a row says all.
SELECT streamproc.create_detector('large', 'payment', method => 'rule', value => 'amount', keys => ARRAY['customer'],
	rules => ARRAY['CASE WHEN amount > 10000 THEN ''Paid '' || amount END'], carry => ARRAY['id AS payment_id']);
SELECT streamproc.wait_for();
-- Customer 1 pays each 40 seconds: the sixth and the seventh are too many, and the seventh is large, too. Customer 2
-- pays 10000, which isn't over it, and a cent more. Customer 3 pays six times in more than 5 minutes.
INSERT INTO payment SELECT i, 1, CASE WHEN i = 7 THEN 12000 ELSE 10 * i END, '2026-01-05 12:00+00'::timestamptz + (i - 1) * interval '40 s'
FROM generate_series(1, 7) i;
INSERT INTO payment VALUES (11, 2, 10000, '2026-01-05 12:04:10+00'), (12, 2, 10000.01, '2026-01-05 12:04:20+00');
INSERT INTO payment SELECT 20 + i, 3, 1, '2026-01-05 12:04+00'::timestamptz + i * interval '61 s' FROM generate_series(0, 5) i;
SELECT streamproc.wait_for();
-- 10 + 20 + 30 + 40 + 50 + 60 = 210, and 12000.
SELECT payment_id, customer, event_time, n, total, alerts, score FROM fraud ORDER BY id;
SELECT payment_id, customer, value, alerts FROM large ORDER BY id;
SELECT detector, key, event_time, alerts FROM streamproc.anomalies WHERE detector IN ('fraud'::regclass, 'large'::regclass)
ORDER BY event_time, detector::text;
-- By plain SQL: no two payments of a customer have the same time, and each customer's came in order.
CREATE VIEW expected_fraud AS
SELECT id AS payment_id, n, total, array_remove(ARRAY[CASE WHEN n > 5 THEN 'High velocity' END,
	CASE WHEN amount > 10000 THEN 'Large transaction' END], NULL) AS alerts
FROM (SELECT *, count(*) OVER w AS n, sum(amount) OVER w AS total FROM payment WINDOW w AS
	(PARTITION BY customer ORDER BY ts RANGE BETWEEN interval '4:59.999999' PRECEDING AND CURRENT ROW)) p;
SELECT count(*), count(*) FILTER (WHERE (v.n, v.total) IS DISTINCT FROM (e.n, e.total)) AS wrong
FROM velocity v FULL JOIN expected_fraud e USING (payment_id);
SELECT count(*), count(*) FILTER (WHERE (f.n, f.total, f.alerts) IS DISTINCT FROM (e.n, e.total, e.alerts)) AS wrong
FROM fraud f FULL JOIN (SELECT * FROM expected_fraud WHERE alerts <> '{}') e USING (payment_id);
SELECT * FROM streamproc.verify('velocity');

-- 3. The summary of each day: repeated rows dropped, those that are not complete left out, stores looked up, totals by
-- region. Streamed by store, which the query joins; and by plain SQL over the same table.
CREATE TABLE store (id int PRIMARY KEY, region text);
INSERT INTO store VALUES (1, 'west'), (2, 'east'), (3, 'east');
CREATE TABLE purchase (tx text, store int, status text, amount numeric(8, 2), ts timestamptz);
-- Some of it is history.
INSERT INTO purchase VALUES
	('t1', 1, 'complete', 100.00, '2026-01-05 08:00+00'),
	('t2', 2, 'complete', 50.00, '2026-01-05 09:00+00'),
	('t2', 2, 'complete', 50.00, '2026-01-05 09:00:02+00'),	-- again
	('t3', 1, 'refused', 75.00, '2026-01-05 10:00+00'),
	('t4', 3, 'complete', 20.00, '2026-01-05 22:59+00'),	-- a minute before midnight in Oslo
	('t5', 3, 'complete', 30.00, '2026-01-05 23:00+00'),	-- midnight
	('t1', 1, 'complete', 100.00, '2026-01-05 18:00+00');	-- again, ten hours later
SELECT streamproc.create_stream('purchase', time_column => 'ts', watermark => '12 hours', idle_timeout => '1 day',
	dedup_key => '{tx}', dedup_within => '1 day');
SELECT streamproc.create_window('daily', 'purchase', kind => 'tumbling', size => '1 day', time_zone => 'Europe/Oslo',
	keys => ARRAY['store'], filter => 'status = ''complete''', aggregates => ARRAY['count(*) AS n', 'sum(amount) AS revenue']);
SELECT streamproc.wait_for();
INSERT INTO purchase VALUES ('t6', 2, 'complete', 60.00, '2026-01-06 12:00+00');
INSERT INTO purchase VALUES
	('t5', 3, 'complete', 30.00, '2026-01-06 13:00+00'),	-- repeats a row of history
	('t7', 9, 'complete', 10.00, '2026-01-06 14:00+00'),	-- a store that nobody knows
	('t3', 1, 'complete', 75.00, '2026-01-06 09:00+00'),	-- repeats the one that was refused: the first one counts
	('t1', 1, 'complete', 100.00, '2026-01-06 08:00+00');	-- 24 hours after the first one: not within a day
INSERT INTO purchase VALUES ('t8', 1, 'complete', 0.50, '2026-01-08 12:00+00');
SELECT streamproc.wait_for();
CREATE VIEW daily_summary AS
SELECT window_start, region, sum(n) AS n, sum(revenue) AS revenue FROM daily JOIN store ON store.id = daily.store
GROUP BY window_start, region;
CREATE VIEW daily_batch AS
SELECT window_start, region, count(*)::numeric AS n, sum(amount) AS revenue
FROM (SELECT *, streamproc.is_duplicate(ts, '1 day') OVER (PARTITION BY tx ORDER BY ts) AS repeated FROM purchase) p
	JOIN store ON store.id = p.store, streamproc.tumble(ts, '1 day', time_zone => 'Europe/Oslo')
WHERE NOT repeated AND status = 'complete' GROUP BY window_start, region;
-- By hand, for days of Oslo, which begin at 23:00:
--	5 January	west	t1			100.00			east	t2, t4	50.00 + 20.00 = 70.00
--	6 January	west	t1 again	100.00			east	t5, t6	30.00 + 60.00 = 90.00
--	8 January	west	t8			0.50
SELECT window_start AT TIME ZONE 'Europe/Oslo' AS day, region, n, revenue FROM daily_summary ORDER BY 1, 2;
SELECT window_start AT TIME ZONE 'Europe/Oslo' AS day, region, n, revenue FROM daily_batch ORDER BY 1, 2;
-- The same of many, which come up to three times within hours, over the change of the clocks; and once more by SQL
-- without any function of ours.
INSERT INTO purchase SELECT 'u' || i % 1000, i % 1000 % 5, CASE WHEN i % 1000 % 7 > 0 THEN 'complete' ELSE 'refused' END,
	i % 1000 / 4.0, '2026-03-27 12:00+00'::timestamptz + i % 1000 * interval '4 minutes' + i / 1000 * interval '3 hours'
FROM generate_series(0, 2499) i ORDER BY i / 1000, hashint4(i);
SELECT streamproc.wait_for();
SELECT count(*) FROM daily_batch WHERE window_start > '2026-03-01';
SELECT count(*) FROM (TABLE daily_summary EXCEPT ALL TABLE daily_batch) x;
SELECT count(*) FROM (TABLE daily_batch EXCEPT ALL TABLE daily_summary) x;
SELECT count(*) FROM (
	SELECT date_trunc('day', ts, 'Europe/Oslo'), region, count(*), sum(amount)
	FROM (SELECT DISTINCT ON (tx) * FROM purchase WHERE tx LIKE 'u%' ORDER BY tx, ts) p JOIN store ON store.id = p.store
	WHERE status = 'complete' GROUP BY 1, 2
	EXCEPT ALL SELECT window_start, region, n, revenue FROM daily_summary WHERE window_start > '2026-03-01') x;
SELECT rows, duplicates, late FROM streamproc.status WHERE name = 'purchase'::regclass;
SELECT * FROM streamproc.verify('daily');

SET client_min_messages = warning;
DROP SCHEMA examples CASCADE;
