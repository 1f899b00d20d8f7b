--
-- Detectors that know hours and days know them in a time zone: params => '{"time_zone": "Europe/Berlin"}'.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA time_zone_test;
SET search_path = time_zone_test, public;

-- Open from 9 to 17 by the clock on the wall, which is put forward on 2026-03-29; noise beside it.
CREATE TABLE visit (no int, shop int, n float8, ts timestamptz);
CREATE VIEW history AS SELECT i AS no, i % 2 AS shop, CASE WHEN extract(hour FROM ts AT TIME ZONE 'Europe/Berlin') BETWEEN 9 AND 16 THEN 100 ELSE 10 END
	+ (i * 7919) % 101 / 20.0 AS n, ts FROM generate_series(1, 4 * 24 * 40) i, LATERAL (SELECT '2026-03-01 00:00+00'::timestamptz + i * interval '15 minutes' AS ts) t;
SELECT streamproc.create_stream('visit', time_column => 'ts', watermark => '1 hour', idle_timeout => '1 day');
CREATE TABLE use (name text, method text, params jsonb);
INSERT INTO use VALUES ('by_day', 'seasonal', '{}'), ('by_week', 'seasonal', '{"period": "hour_of_week", "warmup": 700}'), ('by_minute', 'seasonal', '{"period": "minute_of_hour"}'),
	('by_interval', 'seasonal', '{"interval": "12 hours", "bins": 12}'), ('by_records', 'records', '{"calibrate": "key"}'), ('by_all', 'ensemble', '{}');
SELECT count(streamproc.create_detector(name, 'visit', method, value => 'n', keys => '{shop}', carry => '{no}', store => 'all', params => params || '{"time_zone": "Europe/Berlin"}'))
FROM use;
SELECT streamproc.wait_for();
INSERT INTO visit SELECT * FROM history WHERE no <= 2500;
SELECT streamproc.wait_for();
SELECT streamproc.stop();
SELECT streamproc.start();
INSERT INTO visit SELECT * FROM history WHERE no > 2500;
SELECT streamproc.wait_for();

-- The stream is the query, and that is the same query over local times without a zone. By minutes of the hour it is UTC's, too.
CREATE FUNCTION compare(name text, method text, params jsonb, OUT rows bigint, OUT streamed bigint, OUT local bigint, OUT utc bigint, OUT flagged bigint, OUT flagged_utc bigint)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format($q$
		WITH s AS (SELECT no, streamproc.score_online(%2$L, ts, n, %3$L) OVER (PARTITION BY shop ORDER BY no) AS zoned,
			streamproc.score_online(%2$L, ts AT TIME ZONE 'Europe/Berlin', n, %4$L) OVER (PARTITION BY shop ORDER BY no) AS local,
			streamproc.score_online(%2$L, ts, n, %4$L) OVER (PARTITION BY shop ORDER BY no) AS utc FROM visit)
		SELECT count(*), count(*) FILTER (WHERE (d.score, d.p_value, d.is_anomaly, d.expected, d.lower_bound, d.upper_bound) IS DISTINCT FROM
				((zoned).score, (zoned).p_value, (zoned).is_anomaly, (zoned).expected, (zoned).lower_bound, (zoned).upper_bound)),
			count(*) FILTER (WHERE zoned IS DISTINCT FROM local), count(*) FILTER (WHERE zoned IS DISTINCT FROM utc),
			count(*) FILTER (WHERE (zoned).is_anomaly AND no > 2700), count(*) FILTER (WHERE (utc).is_anomaly AND no > 2700)
		FROM %1$I d FULL JOIN s USING (no)$q$, name, method, params || '{"time_zone": "Europe/Berlin"}', params) INTO rows, streamed, local, utc, flagged, flagged_utc;
END $$;
SELECT name, rows, streamed, local, utc > 0 AS other_than_utc FROM use, compare(name, method, params) ORDER BY name;
-- The first morning of the new clock is as usual to who has one; without, the shop opens an hour early.
SELECT name, flagged, flagged_utc > 0 AS of_utc FROM use, compare(name, method, params) WHERE name IN ('by_day', 'by_week') ORDER BY name;

-- A column without a zone is in the stream's, and its clock is the detector's, unless that has its own.
CREATE TABLE local_visit (no int, n float8, at timestamp);
SELECT streamproc.create_stream('local_visit', time_column => 'at', watermark => '1 hour', idle_timeout => '1 day', time_zone => 'Europe/Berlin');
SELECT streamproc.create_detector('of_column', 'local_visit', 'seasonal', value => 'n', carry => '{no}', store => 'all');
SELECT streamproc.create_detector('of_other', 'local_visit', 'seasonal', value => 'n', carry => '{no}', store => 'all', params => '{"time_zone": "Asia/Kolkata"}');
SELECT streamproc.wait_for();
INSERT INTO local_visit SELECT no, n, ts AT TIME ZONE 'Europe/Berlin' FROM history ORDER BY no;
SELECT streamproc.wait_for();
SELECT count(*) AS rows, count(*) FILTER (WHERE (c.score, c.is_anomaly, c.expected) IS DISTINCT FROM ((s).score, (s).is_anomaly, (s).expected)) AS of_column,
	count(*) FILTER (WHERE (o.score, o.is_anomaly, o.expected) IS DISTINCT FROM ((t).score, (t).is_anomaly, (t).expected)) AS of_other
FROM (SELECT no, streamproc.score_online('seasonal', ts AT TIME ZONE 'Europe/Berlin', n) OVER (ORDER BY no) AS s,
	streamproc.score_online('seasonal', ts AT TIME ZONE 'Asia/Kolkata', n) OVER (ORDER BY no) AS t FROM history) s FULL JOIN of_column c USING (no) FULL JOIN of_other o USING (no);

-- The shield has the same clock.
INSERT INTO visit SELECT no + 10000, 7, n, ts FROM history WHERE no <= 400;
SELECT streamproc.create_detector('shield', 'visit', 'seasonal', value => 'n', carry => '{no}', filter => 'shop = 7', params => '{"time_zone": "Europe/Berlin", "warmup": 30}', store => 'all');
SELECT streamproc.wait_for();
SELECT streamproc.enforce('shield', 'flag');
\set VERBOSITY terse
INSERT INTO visit VALUES (20001, 7, 100, '2026-03-05 04:00+00'), (20002, 7, 102, '2026-03-05 08:15+00'), (20003, 7, 10, '2026-03-05 16:00+00');
\set VERBOSITY default
SELECT streamproc.wait_for();
SELECT no, is_anomaly FROM shield WHERE no > 20000 ORDER BY no;

-- Bad input
SELECT streamproc.create_detector('bad', 'visit', 'seasonal', value => 'n', params => '{"time_zone": "Mars/Olympus"}');
SELECT streamproc.create_detector('bad', 'visit', 'seasonal', value => 'n', params => '{"time_zone": 3}');
SELECT streamproc.create_detector('bad', 'visit', 'ewma', value => 'n', params => '{"time_zone": "UTC"}');
SELECT name, state, reason FROM streamproc.status WHERE state <> 'running';

SET client_min_messages = warning;
SELECT streamproc.drop_stream('visit', cascade => true);
SELECT streamproc.drop_stream('local_visit', cascade => true);
DROP SCHEMA time_zone_test CASCADE;
