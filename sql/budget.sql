--
-- alerts_per_day: the threshold moves so that there are so many alerts.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA budget_test;
SET search_path = budget_test, public;
CREATE TABLE reading (id int, sensor int, value float8, ts timestamptz);
SELECT streamproc.create_stream('reading', time_column => 'ts', watermark => '1 hour', idle_timeout => '1 day', max_future => '36500 days');
CREATE FUNCTION uniform(i int) RETURNS float8 IMMUTABLE LANGUAGE sql AS
	$$ SELECT (('x' || substr(md5(i::text), 1, 8))::bit(32)::bigint + 0.5) / 4294967296 $$;

-- A reading a minute by turns of 3 sensors, one of which jumps about more and more, with a day of trouble.
CREATE FUNCTION readings(first int, last int) RETURNS SETOF reading LANGUAGE sql AS $$
	SELECT i, i % 3, ln(uniform(i)) * CASE WHEN i % 3 = 2 THEN 1 + i / 2000.0 ELSE 1 END
		+ CASE WHEN i BETWEEN 2000 AND 2100 THEN 30 ELSE 0 END + 5 * sin(i / 200.0), '2026-01-01'::timestamptz + i * interval '1 minute'
	FROM generate_series(first, last) i $$;
SELECT count(*) > 0 AS created FROM (VALUES ('one', 'ewma', NULL::text[], '0'::interval), ('keyed', 'ewma', '{sensor}', '0'),
	('episodes', 'ewma', '{sensor}', '1 hour'), ('peaks', 'records', '{sensor}', '0'), ('peaks_one', 'records', NULL, '0'),
	('medians', 'mad', NULL, '0'), ('tails', 'spot', NULL, '0'), ('drifting', 'dspot', NULL, '0'), ('means', 'adwin', NULL, '0'),
	('sums', 'page_hinkley', NULL, '0')) d (name, method, keys, cooldown),
	streamproc.create_detector(name, 'reading', method => method, value => 'value', keys => keys, carry => '{id AS reading}',
		params => '{"alerts_per_day": 48}', cooldown => cooldown, store => 'all');
SELECT streamproc.create_detector('alerted', 'reading', method => 'ewma', value => 'value', keys => '{sensor}', carry => '{id AS reading}',
	params => '{"alerts_per_day": 48}');
SELECT streamproc.wait_for();
INSERT INTO reading SELECT * FROM readings(1, 3000);
SELECT streamproc.wait_for();
SELECT streamproc.stop();
SELECT streamproc.start();
INSERT INTO reading SELECT * FROM readings(3001, 4000);
INSERT INTO reading SELECT * FROM readings(4001, 4001);
INSERT INTO reading VALUES (4002, 1, 5, 'infinity');
INSERT INTO reading SELECT * FROM readings(4002, 6000);
SELECT streamproc.wait_for();

-- 48 a day, one in 30, of all keys together; with a cooldown episodes are counted, not the rows that are flagged. The sums rise row by
-- row, so that several rows on end pass a threshold, and of what is ahead of the budget no more than 3 are owed, lest a bad day makes
-- it blind: on twelve series like this one 13 to 28 too many in the second half, where other methods are off by 3.
CREATE VIEW found AS SELECT 'one' AS name, reading, score, threshold, is_anomaly FROM one
	UNION ALL SELECT 'keyed', reading, score, threshold, is_anomaly FROM keyed
	UNION ALL SELECT 'peaks', reading, score, threshold, is_anomaly FROM peaks
	UNION ALL SELECT 'peaks_one', reading, score, threshold, is_anomaly FROM peaks_one
	UNION ALL SELECT 'medians', reading, score, threshold, is_anomaly FROM medians
	UNION ALL SELECT 'tails', reading, score, threshold, is_anomaly FROM tails
	UNION ALL SELECT 'drifting', reading, score, threshold, is_anomaly FROM drifting
	UNION ALL SELECT 'means', reading, score, threshold, is_anomaly FROM means
	UNION ALL SELECT 'sums', reading, score, threshold, is_anomaly FROM sums;
SELECT name, count(*) AS rows, abs(count(*) FILTER (WHERE is_anomaly) - 6000 / 30.0) < 40 AS all_of_it,
	abs(count(*) FILTER (WHERE is_anomaly AND reading > 3000) - 3000 / 30.0) < CASE name WHEN 'sums' THEN 25 ELSE 15 END AS second_half,
	count(*) FILTER (WHERE is_anomaly IS DISTINCT FROM (score > threshold)) AS wrong, count(DISTINCT threshold) > 50 AS moves
FROM found GROUP BY name ORDER BY name;
WITH episode AS (SELECT event_time, sensor, event_time - lag(event_time) OVER (PARTITION BY sensor ORDER BY reading) AS pause
	FROM episodes WHERE is_anomaly)
SELECT count(*) > 300 AS flagged, max(pause) > '1 hour' AS some_pause FROM episode;
WITH RECURSIVE flag AS (SELECT sensor, event_time, row_number() OVER (PARTITION BY sensor ORDER BY reading) AS n FROM episodes WHERE is_anomaly),
alert AS (SELECT sensor, n, event_time, event_time AS last, true AS is_alert FROM flag WHERE n = 1
	UNION ALL SELECT f.sensor, f.n, f.event_time, CASE WHEN f.event_time - a.last >= '1 hour' THEN f.event_time ELSE a.last END,
		f.event_time - a.last >= '1 hour' FROM alert a JOIN flag f ON f.sensor = a.sensor AND f.n = a.n + 1)
SELECT abs(count(*) FILTER (WHERE is_alert) - 6000 / 30.0) < 20 AS episodes FROM alert;

-- The threshold is that of the bounds; it is the method's own until 50 scores were ready.
SELECT count(*) FILTER (WHERE is_anomaly <> (value < lower_bound OR value > upper_bound)) AS against_bounds,
	count(*) FILTER (WHERE threshold = 3 AND reading <= 80) AS own, count(*) FILTER (WHERE threshold = 3 AND reading > 80) AS later FROM one;
-- What is only alerted is what is flagged where all is stored.
SELECT count(*) FROM ((SELECT reading, score, p_value, threshold FROM alerted EXCEPT ALL SELECT reading, score, p_value, threshold FROM keyed WHERE is_anomaly)
	UNION ALL (SELECT reading, score, p_value, threshold FROM keyed WHERE is_anomaly EXCEPT ALL SELECT reading, score, p_value, threshold FROM alerted)) d;

-- A query has the same, where there is one partition; so has a detector that is made from history.
SELECT streamproc.create_detector('again', 'reading', method => 'ewma', value => 'value', carry => '{id AS reading}',
	params => '{"alerts_per_day": 48}', store => 'all');
SELECT streamproc.wait_for();
INSERT INTO reading SELECT * FROM readings(6001, 6300);
SELECT streamproc.wait_for();
WITH s AS (SELECT r.id, streamproc.score_online('ewma', ts, value, '{"alerts_per_day": 48}') OVER (ORDER BY ts) AS e,
	streamproc.score_online('records', ts, value, '{"alerts_per_day": 48}') OVER (ORDER BY ts) AS r FROM reading r WHERE ts < 'infinity')
SELECT count(*) AS rows, count(*) FILTER (WHERE (o.score, o.p_value, o.is_anomaly, o.lower_bound, o.upper_bound) IS DISTINCT FROM
		((e).score, (e).p_value, (e).is_anomaly, (e).lower_bound, (e).upper_bound)) AS streamed,
	count(*) FILTER (WHERE (a.score, a.p_value, a.is_anomaly, a.lower_bound, a.upper_bound) IS DISTINCT FROM
		((e).score, (e).p_value, (e).is_anomaly, (e).lower_bound, (e).upper_bound)) AS from_history,
	count(*) FILTER (WHERE (p.score, p.p_value, p.is_anomaly, p.lower_bound, p.upper_bound) IS DISTINCT FROM
		((r).score, (r).p_value, (r).is_anomaly, (r).lower_bound, (r).upper_bound)) AS of_records
FROM s LEFT JOIN one o ON o.reading = s.id LEFT JOIN again a ON a.reading = s.id LEFT JOIN peaks_one p ON p.reading = s.id;
WITH s AS (SELECT r.id, streamproc.score_online('spot', ts, value, '{"alerts_per_day": 48}') OVER w AS spot,
	streamproc.score_online('dspot', ts, value, '{"alerts_per_day": 48}') OVER w AS dspot,
	streamproc.score_online('adwin', ts, value, '{"alerts_per_day": 48}') OVER w AS adwin,
	streamproc.score_online('page_hinkley', ts, value, '{"alerts_per_day": 48}') OVER w AS page_hinkley
	FROM reading r WHERE ts < 'infinity' WINDOW w AS (ORDER BY ts))
SELECT count(*) AS rows, count(*) FILTER (WHERE (t.score, t.p_value, t.is_anomaly, t.lower_bound, t.upper_bound) IS DISTINCT FROM
		((spot).score, (spot).p_value, (spot).is_anomaly, (spot).lower_bound, (spot).upper_bound)) AS of_spot,
	count(*) FILTER (WHERE (d.score, d.p_value, d.is_anomaly, d.lower_bound, d.upper_bound) IS DISTINCT FROM
		((dspot).score, (dspot).p_value, (dspot).is_anomaly, (dspot).lower_bound, (dspot).upper_bound)) AS of_dspot,
	count(*) FILTER (WHERE (m.score, m.p_value, m.is_anomaly) IS DISTINCT FROM
		((adwin).score, (adwin).p_value, (adwin).is_anomaly)) AS of_adwin,
	count(*) FILTER (WHERE (p.score, p.p_value, p.is_anomaly, p.lower_bound, p.upper_bound) IS DISTINCT FROM
		((page_hinkley).score, (page_hinkley).p_value, (page_hinkley).is_anomaly, (page_hinkley).lower_bound, (page_hinkley).upper_bound)) AS of_page_hinkley
FROM s LEFT JOIN tails t ON t.reading = s.id LEFT JOIN drifting d ON d.reading = s.id LEFT JOIN means m ON m.reading = s.id LEFT JOIN sums p ON p.reading = s.id;
SELECT DISTINCT d.name, reason, message FROM streamproc.dead_letter d WHERE d.name IN ('one'::regclass, 'peaks'::regclass) ORDER BY 1;

-- Bad input
SELECT streamproc.create_detector('bad', 'reading', method => 'zscore', value => 'value', params => '{"alerts_per_day": 0}');
SELECT streamproc.create_detector('bad', 'reading', method => 'zscore', value => 'value', params => '{"alerts_per_day": "20"}');
SELECT streamproc.create_detector('bad', 'reading', method => 'zscore', value => 'value', params => '{"alerts_per_day": 20}', threshold => 3);
SELECT streamproc.create_detector('bad', 'reading', method => 'zscore', value => 'value', params => '{"alerts_per_day": 20, "calibrate": "key"}');
SELECT streamproc.create_detector('bad', 'reading', method => 'rule', rules => '{value > 3 AS high}', params => '{"alerts_per_day": 20}');
SELECT streamproc.score_online('ewma', ts, value, '{"alerts_per_day": 20}', threshold => 2) OVER () FROM reading LIMIT 1;

SET client_min_messages = warning;
SELECT streamproc.drop_stream('reading', cascade => true);
DROP SCHEMA budget_test CASCADE;
