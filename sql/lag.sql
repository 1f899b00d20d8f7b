--
-- status: how far the results are behind, in time.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET client_min_messages = warning;
CREATE SCHEMA lag_test;
SET search_path = lag_test, public;

CREATE TABLE reading (id int, ts timestamptz);
CREATE TABLE moment (name text, at timestamptz);
CREATE PROCEDURE note(name text) LANGUAGE sql AS 'INSERT INTO moment VALUES (name, clock_timestamp())';
CREATE FUNCTION since(moment text) RETURNS float8 VOLATILE LANGUAGE sql
	RETURN (SELECT extract(epoch FROM clock_timestamp() - at) FROM moment m WHERE m.name = moment);
SELECT streamproc.create_stream('reading', time_column => 'ts', idle_timeout => '1 day');
CALL note('before');
INSERT INTO reading VALUES (1, '2026-01-01');
SELECT streamproc.wait_for();

-- nothing is left to do: other commits of this database, as of autovacuum, are a matter of moments
CREATE PROCEDURE await_zero(INOUT is_zero boolean = false) LANGUAGE plpgsql AS $$
DECLARE
	deadline timestamptz = clock_timestamp() + interval '1 minute';
BEGIN
	WHILE NOT is_zero AND clock_timestamp() < deadline LOOP
		is_zero = (SELECT lag_seconds = 0 FROM streamproc.status WHERE name = 'reading'::regclass);
		COMMIT;
	END LOOP;
END $$;
CALL await_zero();

-- a commit that waits: at least as old as it is, at most as all that is there already
SELECT streamproc.stop();
INSERT INTO reading VALUES (2, '2026-01-01');
CALL note('after');
SELECT since('after') AS least \gset
SELECT lag_seconds AS lag FROM streamproc.status WHERE name = 'reading'::regclass \gset
SELECT since('before') AS most \gset
SELECT :lag >= :least AS least, :lag <= :most AS most, :lag > 0 AS positive;
-- it grows
SELECT lag_seconds > :lag AS grows FROM streamproc.status WHERE name = 'reading'::regclass;

SELECT streamproc.start();
SELECT streamproc.wait_for();
CALL await_zero();

SELECT streamproc.drop_stream('reading');
DROP SCHEMA lag_test CASCADE;
