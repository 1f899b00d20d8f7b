--
-- Detectors on streams and on windows: rules and ewma.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA detector_test;
SET search_path = detector_test, public;

CREATE TABLE payment (id int, customer int, amount numeric, country text, ts timestamptz);
SELECT streamproc.create_stream('payment', time_column => 'ts', watermark => '10 seconds', idle_timeout => '1 day');

-- Rules: each alert lists what held. A text expression is its own message.
SELECT streamproc.create_detector('suspicious', 'payment', method => 'rule',
	rules => ARRAY['amount > 10000 AS "Large transaction"', 'amount = round(amount, -3) AS "Round amount"',
		'CASE WHEN country <> ''NO'' THEN ''From '' || country END'],
	keys => ARRAY['customer'], carry => ARRAY['id AS payment_id'], filter => 'amount > 0');
SELECT streamproc.wait_for();
INSERT INTO payment VALUES (1, 1, 100, 'NO', '2026-01-01 10:00+00'), (2, 1, 12000, 'NO', '2026-01-01 10:00:01+00'),
	(3, 2, 10000.01, 'SE', '2026-01-01 10:00:02+00'), (4, 2, 50, 'SE', '2026-01-01 10:00:03+00'),
	(5, 2, -20000, 'SE', '2026-01-01 10:00:04+00'), (6, 3, NULL, NULL, '2026-01-01 10:00:05+00');
SELECT streamproc.wait_for();
SELECT id, event_time, customer, score, is_anomaly, alerts, payment_id, ordinal, status FROM suspicious ORDER BY id;

-- A rule on a window: once for each window, when it is final.
SELECT streamproc.create_window('payment_5m', 'payment', kind => 'tumbling', size => '5 minutes',
	keys => ARRAY['customer'], aggregates => ARRAY['count(*) AS n', 'sum(amount) AS total']);
SELECT streamproc.create_detector('velocity', 'payment_5m', method => 'rule',
	rules => ARRAY['n > 5 AS "High velocity"'], carry => ARRAY['n', 'total']);
SELECT streamproc.wait_for();
INSERT INTO payment SELECT 100 + i, 7, 10, 'NO', '2026-01-01 11:00+00'::timestamptz + i * interval '25 seconds'
FROM generate_series(0, 5) i;
INSERT INTO payment SELECT 200 + i, 8, 10, 'NO', '2026-01-01 11:00+00'::timestamptz + i * interval '25 seconds'
FROM generate_series(0, 4) i;
SELECT streamproc.wait_for();
SELECT count(*) AS before_it_is_final FROM velocity;
INSERT INTO payment VALUES (300, 9, 10, 'NO', '2026-01-01 11:05:10+00');
SELECT streamproc.wait_for();
SELECT event_time, customer, n, total, score, alerts FROM velocity;

-- The same without a window: the sixth event within five minutes, or an amount above 1,000 in all. Against plain SQL.
SELECT streamproc.create_detector('velocity_n', 'payment', method => 'velocity', keys => ARRAY['customer'], carry => ARRAY['id AS payment_id'],
	params => '{"events": 5, "interval": "5 minutes"}');
SELECT streamproc.create_detector('velocity_sum', 'payment', method => 'velocity', value => 'amount', keys => ARRAY['customer'],
	carry => ARRAY['id AS payment_id'], params => '{"sum": 1000, "interval": "5 minutes"}', filter => 'customer >= 20');
SELECT streamproc.wait_for();
INSERT INTO payment SELECT 400 + i, 20 + i % 2, CASE WHEN i % 5 > 0 THEN 10 * i END, 'NO', '2026-01-01 12:00+00'::timestamptz + i * i * interval '1 second'
FROM generate_series(1, 40) i;
SELECT streamproc.wait_for();
SELECT (SELECT count(*) FROM velocity_n) AS alerts, (SELECT count(*) FROM velocity_sum) AS alerts_by_sum, (SELECT count(*) FROM
	((SELECT payment_id, score FROM velocity_n) EXCEPT (SELECT id, n / 5.0::float8 FROM (SELECT id, customer, count(*) OVER w AS n FROM payment
		WINDOW w AS (PARTITION BY customer ORDER BY ts RANGE BETWEEN '4:59.999999' PRECEDING AND CURRENT ROW)) p WHERE n > 5)) d) AS unexpected,
	(SELECT count(*) FROM (SELECT id, sum(amount) OVER w AS total FROM payment WHERE customer >= 20
		WINDOW w AS (PARTITION BY customer ORDER BY ts RANGE BETWEEN '4:59.999999' PRECEDING AND CURRENT ROW)) p
		FULL JOIN velocity_sum v ON v.payment_id = p.id WHERE (total > 1000) IS DISTINCT FROM (v.id IS NOT NULL) AND total IS NOT NULL) AS different_by_sum;
SELECT explanation FROM velocity_n WHERE customer = 7;

-- ewma on a window and on a stream, with every score kept. Against plain SQL, row by row.
CREATE TABLE load (host text, busy float8, ts timestamptz);
SELECT streamproc.create_stream('load', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_detector('odd', 'load', method => 'ewma', value => 'busy', keys => ARRAY['host'],
	params => '{"alpha": 0.2, "warmup": 4}', threshold => 3, store => 'all');
SELECT streamproc.create_detector('odd_only', 'load', method => 'ewma', value => 'busy', keys => ARRAY['host'],
	params => '{"alpha": 0.2, "warmup": 4, "calibrate": "none"}', threshold => 3);
SELECT streamproc.create_detector('odd_high', 'load', method => 'ewma', value => 'busy', keys => ARRAY['host'],
	params => '{"alpha": 0.2, "warmup": 4}', threshold => 3, direction => 'high');
SELECT streamproc.wait_for();
INSERT INTO load SELECT h, CASE WHEN i = 30 THEN 90 WHEN i = 45 THEN -40 ELSE 20 + i % 5 END,
	'2026-01-01 00:00+00'::timestamptz + i * interval '1 minute'
FROM generate_series(1, 60) i, unnest(ARRAY['alpha', 'beta']) h ORDER BY i, h;
INSERT INTO load VALUES ('alpha', NULL, '2026-01-01 01:01+00'), ('alpha', 'NaN', '2026-01-01 01:02+00'),
	('alpha', 'Infinity', '2026-01-01 01:03+00'), ('alpha', 21, '2026-01-01 01:04+00');
SELECT streamproc.wait_for();

SELECT event_time, host, value, round(score::numeric, 3) AS score, round(expected::numeric, 3) AS expected,
	round(lower_bound::numeric, 3) AS lower, round(upper_bound::numeric, 3) AS upper, p_value < 0.0027 AS unlikely
FROM odd_only ORDER BY id;
SELECT event_time, host, value FROM odd_high ORDER BY id;
WITH RECURSIVE step AS (
	SELECT host, 0::bigint AS n, 0::float8 AS weight, 0::float8 AS mean, 0::float8 AS variance, NULL::float8 AS score,
		NULL::float8 AS x
	FROM (SELECT DISTINCT host FROM odd) h
	UNION ALL
	SELECT s.host, s.n + 1, 0.8 * s.weight + 1, s.mean + (o.value - s.mean) / (0.8 * s.weight + 1),
		(1 - 1 / (0.8 * s.weight + 1)) * (s.variance + (o.value - s.mean) ^ 2 / (0.8 * s.weight + 1)),
		CASE WHEN s.n < 4 THEN 0 ELSE abs(o.value - s.mean) / sqrt(s.variance) END, o.value
	FROM step s JOIN (SELECT *, row_number() OVER (PARTITION BY host ORDER BY lsn, ordinal) AS n FROM odd
		WHERE value < 'Infinity') o ON o.host = s.host AND o.n = s.n + 1)
SELECT s.host, count(*) AS scores, count(*) FILTER (WHERE abs(o.score - s.score) > 1e-9) AS different,
	count(*) FILTER (WHERE o.is_anomaly) AS anomalies
FROM step s JOIN (SELECT *, row_number() OVER (PARTITION BY host ORDER BY lsn, ordinal) AS n FROM odd
	WHERE value < 'Infinity') o USING (host, n) GROUP BY 1 ORDER BY 1;
-- What is not a number can't be scored; what is NULL has nothing to score.
SELECT name, reason, message, row_data->>'busy' AS busy FROM streamproc.dead_letter
WHERE name IN ('odd'::regclass, 'odd_high'::regclass) ORDER BY id;

-- Learning only from what is normal, and a pause after each alert.
SELECT streamproc.create_detector('strict', 'load', method => 'ewma', value => 'busy', keys => ARRAY['host'],
	params => '{"alpha": 0.2, "warmup": 4}', threshold => 3, learn => 'normal', cooldown => '10 minutes',
	filter => 'busy < ''Infinity''', backfill => false);
SELECT streamproc.wait_for();
INSERT INTO load SELECT 'gamma', CASE WHEN i IN (20, 21, 22, 40) THEN 500 ELSE i % 3 END,
	'2026-01-02 00:00+00'::timestamptz + i * interval '1 minute' FROM generate_series(1, 50) i;
SELECT streamproc.wait_for();
SELECT event_time, value, round(expected::numeric, 2) AS expected FROM strict ORDER BY id;

-- History counts when backfill is asked for: the same alerts as if they had been streamed.
SELECT streamproc.create_detector('again', 'load', method => 'ewma', value => 'busy', keys => ARRAY['host'],
	params => '{"alpha": 0.2, "warmup": 4}', threshold => 3);
SELECT streamproc.wait_for();
SELECT count(*) FROM (SELECT event_time, host, value, score FROM again EXCEPT ALL
	SELECT event_time, host, value, score FROM odd_only) difference;
SELECT (SELECT count(*) FROM again) = (SELECT count(*) FROM odd_only) AS as_many;

-- All of them together, and what a user does with an alert.
SELECT detector, key, value, alerts, status FROM streamproc.anomalies
WHERE detector IN ('odd_high'::regclass, 'velocity'::regclass) ORDER BY detector::text, event_time, key;
UPDATE suspicious SET status = 'acknowledged', note = 'called the customer' WHERE payment_id = 2;
INSERT INTO payment VALUES (400, 1, 11000, 'NO', '2026-01-01 12:00+00');
SELECT streamproc.wait_for();
SELECT payment_id, status, note FROM suspicious ORDER BY id;

SET client_min_messages = warning;
DROP SCHEMA detector_test CASCADE;

-- What users marked survives a rebuild, once.
CREATE SCHEMA marked_test;
SET search_path = marked_test;
CREATE TABLE payment (id int, amount int, ts timestamptz);
INSERT INTO payment SELECT i, i % 10, '2026-01-01 00:00+00'::timestamptz + (i / 10) * interval '1 second' FROM generate_series(1, 100) i;
SELECT streamproc.create_stream('payment', 'ts');
SELECT streamproc.create_detector('nine', 'payment', method => 'rule', rules => ARRAY['amount = 9 AS "Nine"'], carry => ARRAY['id AS payment']);
SELECT streamproc.create_detector('any_nine', 'payment', method => 'rule', rules => ARRAY['amount >= 8 AS "High"']);
SELECT streamproc.wait_for();
UPDATE nine SET status = 'closed', label = 'false alarm', note = 'a test' WHERE payment IN (19, 39);
UPDATE any_nine SET status = 'acknowledged' WHERE id = (SELECT min(id) FROM any_nine);
SELECT streamproc.pause('nine'), streamproc.pause('any_nine');
SELECT streamproc.wait_for();
SELECT streamproc.resume('nine'), streamproc.resume('any_nine');
SELECT streamproc.wait_for();
INSERT INTO payment VALUES (109, 9, '2026-01-01 00:00:11+00');
SELECT streamproc.wait_for();
SELECT payment, status, label, note FROM nine ORDER BY payment;
SELECT status, count(*) FROM any_nine GROUP BY status ORDER BY status;
SELECT streamproc.pause('nine');
SELECT streamproc.resume('nine');
SELECT streamproc.wait_for();
SELECT status, count(*), count(DISTINCT payment) FROM nine GROUP BY status ORDER BY status;
SET client_min_messages = warning;
DROP SCHEMA marked_test CASCADE;
