--
-- wait_for(): which values it takes, and that it asks for no more than it was asked for.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SET client_min_messages = warning;
CREATE SCHEMA wait_test;
SET search_path = wait_test, public;

CREATE TABLE reading (id int, ts timestamptz);
SELECT streamproc.create_stream('reading', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_window('at_once', 'reading', kind => 'global', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('hourly', 'reading', kind => 'global', aggregates => ARRAY['count(*) AS n'], trigger => '1 hour');
SELECT streamproc.wait_for();

-- lsn NULL, the default: before the call
INSERT INTO reading SELECT i, '2026-01-01' FROM generate_series(1, 10) i;
SELECT streamproc.wait_for(NULL);
SELECT (SELECT n FROM at_once) AS at_once, (SELECT n FROM hourly) AS hourly;
INSERT INTO reading VALUES (11, '2026-01-01');
SELECT streamproc.wait_for(lsn => pg_current_wal_flush_lsn(), timeout => '60 seconds');
SELECT (SELECT n FROM at_once) AS at_once, (SELECT n FROM hourly) AS hourly;

-- timeouts
SELECT streamproc.wait_for(timeout => NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT streamproc.wait_for(timeout => '-1 second');
\echo :LAST_ERROR_SQLSTATE
SELECT streamproc.wait_for(NULL, '1 day -25 hours');
SELECT streamproc.wait_for(timeout => '1 month');
SELECT streamproc.wait_for(timeout => '178000000 years');
SELECT streamproc.wait_for(timeout => '105922500 days');
-- 0: what is there already is found to be there
SELECT streamproc.wait_for('0/1', '0');

-- Who asks for WAL that isn't there yet doesn't take away the triggers' meaning for what will come.
CREATE FUNCTION ask(lsn pg_lsn, timeout interval) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM streamproc.wait_for(lsn, timeout);
	RETURN 'done';
EXCEPTION WHEN object_not_in_prerequisite_state THEN
	RETURN substring(SQLERRM FROM '^timed out waiting for streamproc to reach');
END $$;
SELECT ask('FFFFFFFF/FFFFFFFF', '0');
-- what was asked for is written before the next row comes
SELECT streamproc.wait_for();
INSERT INTO reading VALUES (12, '2026-01-01');
SELECT pg_current_wal_flush_lsn() AS inserted \gset
SELECT set_config('wait_test.inserted', :'inserted', false) IS NOT NULL AS noted;
DO $$
DECLARE
	deadline timestamptz = clock_timestamp() + interval '1 minute';
BEGIN
	WHILE clock_timestamp() < deadline LOOP
		EXIT WHEN (SELECT applied_lsn >= current_setting('wait_test.inserted')::pg_lsn FROM streamproc.worker);
		COMMIT;
	END LOOP;
END $$;
SELECT (SELECT n FROM at_once) AS at_once, (SELECT n FROM hourly) AS hourly;
SELECT streamproc.wait_for();
SELECT (SELECT n FROM at_once) AS at_once, (SELECT n FROM hourly) AS hourly, (SELECT count(*) FROM reading) AS rows;

-- The end of the WAL may be told as a place behind the header of an empty page, where no record will ever end.
CREATE FUNCTION at_header() RETURNS boolean LANGUAGE sql
	RETURN (pg_current_wal_insert_lsn() - '0/0') % current_setting('wal_block_size')::int = 24;
DO $$
DECLARE
	page int := current_setting('wal_block_size');
	rest int;
	result text;
BEGIN
	FOR i IN 1..500 LOOP
		rest := page - (pg_current_wal_insert_lsn() - '0/0') % page;
		/* 400 bytes, or what fills the page; the record has 55 beside them */
		PERFORM pg_logical_emit_message(false, 'x', repeat('a', CASE WHEN rest BETWEEN 600 AND 8000 THEN rest - 55 ELSE 400 END));
		CONTINUE WHEN NOT at_header();
		PERFORM streamproc.wait_for();
		result := ask(pg_current_wal_insert_lsn(), '0');
		EXIT WHEN at_header();
	END LOOP;
	RAISE WARNING 'at a header: %, %', at_header(), result;
END $$;

-- stop() takes a timeout by the same rules; refused, it stops nothing
SELECT streamproc.stop(NULL);
SELECT streamproc.stop('-1 second');
SELECT state FROM streamproc.worker;

SELECT streamproc.drop_stream('reading', cascade => true);
DROP SCHEMA wait_test CASCADE;
