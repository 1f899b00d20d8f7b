--
-- What follows what: pausing detectors of windows, resuming windows, output that can't be written, retention.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA follow_test;
SET search_path = follow_test, public;

CREATE TABLE event (id int, key int, ts timestamptz);
SELECT streamproc.create_stream('event', time_column => 'ts', idle_timeout => '1 day');
-- to_char() depends on settings, which are kept with the definition
SELECT streamproc.create_window('minute', 'event', kind => 'tumbling', size => '1 minute',
	keys => ARRAY['to_char(ts, ''HH24'') AS hour'], aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_detector('some_minute', 'minute', method => 'rule', rules => ARRAY['n > 0 AS "Some"'],
	carry => ARRAY['n']);
SELECT streamproc.wait_for();
INSERT INTO event VALUES (1, 1, '2026-01-01 10:00:00+00');
INSERT INTO event VALUES (2, 1, '2026-01-01 10:01:00+00');
SELECT streamproc.wait_for();
SELECT event_time, n FROM some_minute ORDER BY 1;

-- A paused detector takes nothing of its window.
SELECT streamproc.pause('some_minute');
SELECT streamproc.wait_for();
INSERT INTO event VALUES (3, 1, '2026-01-01 10:02:00+00');
SELECT streamproc.wait_for();
SELECT event_time, n FROM some_minute ORDER BY 1;
SELECT streamproc.resume('some_minute');
SELECT streamproc.wait_for();
SELECT event_time, n FROM some_minute ORDER BY 1;

-- A detector that was made while its window was paused is built anew with the window.
SELECT streamproc.pause('minute');
SELECT streamproc.wait_for();
SELECT streamproc.create_detector('other', 'minute', method => 'rule', rules => ARRAY['n > 0 AS "Some"'],
	carry => ARRAY['n']);
SELECT streamproc.wait_for();
SELECT streamproc.resume('minute');
SELECT streamproc.wait_for();
INSERT INTO event VALUES (4, 1, '2026-01-01 10:03:00+00');
SELECT streamproc.wait_for();
SELECT event_time, n FROM some_minute ORDER BY 1;
SELECT event_time, n FROM other ORDER BY 1;

-- Pausing holds, also when results can't be written.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'refused'; END$$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON minute FOR EACH ROW EXECUTE FUNCTION refuse();
BEGIN;
INSERT INTO event VALUES (5, 1, '2026-01-01 10:04:00+00');
SELECT streamproc.pause('minute');
COMMIT;
-- wait_for() would wait for the results, too: here the worker must only have met the rows.
SELECT set_config('follow.lsn', pg_current_wal_insert_lsn()::text, false) IS NOT NULL AS noted;
DO $$
BEGIN
	FOR i IN 1..1000000 LOOP
		EXIT WHEN (SELECT applied_lsn >= current_setting('follow.lsn')::pg_lsn FROM streamproc.worker);
		COMMIT;
	END LOOP;
END $$;
SELECT state FROM streamproc.status WHERE name = 'minute'::regclass;
DROP TRIGGER refuse ON minute;
SELECT streamproc.resume('minute');
SELECT streamproc.wait_for();
SELECT window_start, hour, n FROM minute ORDER BY 1;

-- Old results go, also when nothing else is due.
SELECT streamproc.create_window('short', 'event', kind => 'tumbling', size => '1 minute', retention => '1 hour',
	aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.wait_for();
INSERT INTO event VALUES (6, 1, '2026-01-01 12:00:00+00');
SELECT streamproc.wait_for();
DO $$
DECLARE
	deadline timestamptz = clock_timestamp() + interval '1 minute';
BEGIN
	WHILE clock_timestamp() < deadline LOOP
		EXIT WHEN NOT EXISTS (SELECT FROM short WHERE window_end < '2026-01-01 11:00:00+00');
		PERFORM streamproc.wait_for();
		COMMIT;
	END LOOP;
END $$;
SELECT window_start, n FROM short ORDER BY 1;

SET client_min_messages = warning;
DROP SCHEMA follow_test CASCADE;
