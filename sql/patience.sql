--
-- A user's function may raise any error, also one that looks like the server's own: the row goes to the
-- dead letters, the others go on. And alerts older than their detector's retention are deleted.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET client_min_messages = warning;
CREATE SCHEMA patience_test;
SET search_path = patience_test, public;

CREATE FUNCTION picky(value int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	IF value = 13 THEN
		RAISE EXCEPTION 'terminating connection, or so it says' USING ERRCODE = 'admin_shutdown';
	ELSIF value = 14 THEN
		RAISE EXCEPTION 'out of memory, or so it says' USING ERRCODE = 'out_of_memory';
	END IF;
	RETURN value;
END $$;
CREATE TABLE reading (value int, ts timestamptz);
SELECT streamproc.create_stream('reading', time_column => 'ts', watermark => '0', idle_timeout => '1 day');
SELECT streamproc.create_window('picked', 'reading', kind => 'tumbling', size => '1 hour',
	aggregates => ARRAY['count(*) AS n', 'sum(picky(value)) AS total']);
SELECT streamproc.create_detector('seen', 'reading', method => 'rule', rules => ARRAY['value > 0 AS "Seen"'],
	carry => ARRAY['value AS reading'], retention => '1 hour');
INSERT INTO reading SELECT i, '2026-02-01'::timestamptz + i * interval '1 minute' FROM generate_series(1, 20) i;
INSERT INTO reading SELECT i, '2026-02-01'::timestamptz + i * interval '1 minute' FROM generate_series(70, 80) i;
SELECT streamproc.wait_for();
SELECT window_start, n, total FROM picked ORDER BY 1;
SELECT count(*), sum(value) FROM reading WHERE value < 60 AND value NOT IN (13, 14);
SELECT reason, sqlstate, message, row_data->>'value' AS value FROM streamproc.dead_letter
	WHERE name = 'picked'::regclass ORDER BY id;
SELECT * FROM streamproc.verify('picked');

-- The watermark is at 01:20: what is older than 00:20 goes, in the worker's own time.
DO $$
DECLARE
	deadline timestamptz = clock_timestamp() + interval '1 minute';
BEGIN
	WHILE clock_timestamp() < deadline LOOP
		EXIT WHEN NOT EXISTS (SELECT FROM seen WHERE event_time < '2026-02-01 00:20+00');
		PERFORM streamproc.wait_for();
		COMMIT;
	END LOOP;
END $$;
SELECT min(event_time), count(*) FROM seen;

-- A result table's trigger that claims the same: its window waits, the others go on.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'out of memory, or so it says' USING ERRCODE = 'out_of_memory';
END $$;
SELECT streamproc.create_window('plain', 'reading', kind => 'global', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.wait_for();
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON picked FOR EACH ROW EXECUTE FUNCTION refuse();
INSERT INTO reading VALUES (81, '2026-02-01 01:21+00');
DO $$
DECLARE
	deadline timestamptz = clock_timestamp() + interval '1 minute';
BEGIN
	WHILE clock_timestamp() < deadline LOOP
		EXIT WHEN (SELECT n = 32 FROM plain) AND
			EXISTS (SELECT FROM streamproc.status WHERE name = 'picked'::regclass AND reason IS NOT NULL);
		COMMIT;
	END LOOP;
END $$;
SELECT n FROM plain;
SELECT state, reason FROM streamproc.status WHERE name = 'picked'::regclass;
DROP TRIGGER refuse ON picked;
SELECT streamproc.wait_for();
SELECT state, reason FROM streamproc.status WHERE name = 'picked'::regclass;
SELECT * FROM streamproc.verify('picked');

-- A function that is replaced while the worker is away, and raises it where a constant is computed beforehand.
CREATE FUNCTION step(value int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN value; END';
SELECT streamproc.create_window('stepped', 'reading', kind => 'global', aggregates => ARRAY['sum(value + step(1)) AS total']);
SELECT streamproc.wait_for();
SELECT streamproc.stop();
CREATE OR REPLACE FUNCTION step(value int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'terminating connection, or so it says' USING ERRCODE = 'admin_shutdown';
END $$;
SELECT streamproc.start();
INSERT INTO reading VALUES (82, '2026-02-01 01:22+00');
SELECT streamproc.wait_for();
SELECT n FROM plain;
SELECT state, reason FROM streamproc.status WHERE name = 'stepped'::regclass;

SELECT streamproc.drop_window('stepped');
SELECT streamproc.drop_window('plain');
SELECT streamproc.drop_detector('seen');
SELECT streamproc.drop_window('picked');
SELECT streamproc.drop_stream('reading');
DROP SCHEMA patience_test CASCADE;
