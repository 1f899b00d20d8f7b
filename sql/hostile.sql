--
-- What a role may try that owns a few tables and nothing else: it harms nobody but itself.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE regress_honest;
CREATE ROLE regress_mallory;
CREATE SCHEMA honest AUTHORIZATION regress_honest;
CREATE SCHEMA mallory AUTHORIZATION regress_mallory;
GRANT USAGE ON SCHEMA honest, mallory TO PUBLIC;
-- Internal functions, and the tables, are for nobody.
SELECT p.oid::regprocedure FROM pg_proc p
WHERE p.pronamespace = 'streamproc'::regnamespace
	AND NOT has_function_privilege('regress_mallory', p.oid, 'EXECUTE')
ORDER BY p.proname;
SELECT c.oid::regclass FROM pg_class c
WHERE c.relnamespace = 'streamproc'::regnamespace AND c.relkind IN ('r', 'v', 'S')
	AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege('regress_mallory', c.oid, 'USAGE, UPDATE')
		ELSE has_table_privilege('regress_mallory', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER, REFERENCES') END;
SET ROLE regress_honest;
CREATE TABLE honest.event (id int, key text, value float8, ts timestamptz);
SELECT streamproc.create_stream('honest.event', 'ts', watermark => '0');
SELECT streamproc.create_window('honest.totals', 'honest.event', 'tumbling', size => '1 minute',
	keys => '{key}', aggregates => '{count(*) AS n}');
-- Another's objects.
SET ROLE regress_mallory;
SELECT streamproc.create_stream('honest.event', replace => true);
SELECT streamproc.create_window('mallory.spy', 'honest.event', 'global', aggregates => '{count(*) AS n}');
SELECT streamproc.drop_stream('honest.event', true);
SELECT streamproc.pause('honest.totals');
SELECT streamproc.resume('honest.totals');
SELECT streamproc.verify('honest.totals');
SELECT name FROM streamproc.status WHERE name::text ~ '^honest';
SELECT reason FROM streamproc.object_state;
SELECT streamproc.stop();
-- The views that hold expressions are their owner's, who can give them other rules.
CREATE TABLE mallory.event (id int, key text, value float8, ts timestamptz);
CREATE TABLE mallory.wide (a int, b int, c int, d int, e int, ts timestamptz);
SELECT streamproc.create_stream('mallory.event', 'ts');
SELECT streamproc.create_window('mallory.totals', 'mallory.event', 'tumbling', size => '1 minute',
	keys => '{key}', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('mallory.running', 'mallory.event', 'global',
	keys => '{key}', aggregates => '{count(*) AS n}');
SELECT streamproc.create_detector('mallory.alerts', 'mallory.event', 'rule', rules => '{value > 1 AS high}',
	keys => '{key}', store => 'all');
SELECT streamproc.wait_for();
-- Nor does a result table whose columns became others.
SELECT streamproc.create_window('mallory.altered', 'mallory.event', 'global', aggregates => '{count(*) AS n}');
INSERT INTO mallory.event VALUES (0, 'a', 1, '2026-01-01');
SELECT streamproc.wait_for();
ALTER TABLE mallory.altered ALTER n TYPE text;
DELETE FROM mallory.event WHERE id = 0;
CREATE PROCEDURE mallory.change(object regclass, query text) LANGUAGE plpgsql AS $$
DECLARE
	expressions regclass := (SELECT d.expressions FROM streamproc.stream d WHERE d.relation = object
		UNION ALL SELECT d.expressions FROM streamproc.window_definition d WHERE d.relation = object
		UNION ALL SELECT d.expressions FROM streamproc.detector_definition d WHERE d.relation = object);
BEGIN
	EXECUTE format('CREATE OR REPLACE RULE "_RETURN" AS ON SELECT TO %s DO INSTEAD %s', expressions, query);
END $$;
CALL mallory.change('mallory.totals', 'SELECT max(key) AS key, count(*) AS n FROM ONLY mallory.event');
CALL mallory.change('mallory.running', 'SELECT key, id::bigint AS n FROM ONLY mallory.event');
CALL mallory.change('mallory.alerts', 'SELECT max(key) AS key, bool_or(value > 1) AS high FROM ONLY mallory.event');
-- A verb of somebody else has the worker look at all definitions, and a restart all the more.
SET ROLE regress_honest;
SELECT streamproc.create_window('honest.running', 'honest.event', 'global', aggregates => '{count(*) AS n}');
RESET ROLE;
SELECT streamproc.stop();
SELECT streamproc.start();
SET ROLE regress_honest;
INSERT INTO honest.event VALUES (1, 'a', 1, '2026-01-01 12:00'), (2, 'a', 1, '2026-01-01 12:01');
SELECT streamproc.wait_for();
SELECT key, n FROM honest.totals ORDER BY window_start;
SELECT n FROM honest.running;
-- So with the time column: none of these is one.
SET ROLE regress_mallory;
CALL mallory.change('mallory.event', 'SELECT ts + interval ''0'' AS ts FROM ONLY mallory.event');
SET ROLE regress_honest;
SELECT streamproc.create_window('honest.more', 'honest.event', 'global', aggregates => '{sum(value) AS s}');
SET ROLE regress_mallory;
CALL mallory.change('mallory.event', 'SELECT ts FROM ONLY mallory.wide');
INSERT INTO mallory.event VALUES (1, 'a', 1, '2026-01-01');
\set VERBOSITY terse
SELECT streamproc.create_window('mallory.more', 'mallory.event', 'global', aggregates => '{count(*) AS n}');
\set VERBOSITY default
RESET ROLE;
SELECT streamproc.stop();
SELECT streamproc.start();
SET ROLE regress_honest;
INSERT INTO honest.event VALUES (3, 'a', 1, '2026-01-01 12:02');
SELECT streamproc.wait_for();
SELECT s FROM honest.more;
SET ROLE regress_mallory;
SELECT streamproc.drop_stream('mallory.event', true);
-- Who reads anomalies runs no function of a detector's owner: a cast is the owner's own doing.
CREATE FUNCTION mallory.trap() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING 'trap sprung by %', current_user;
	RETURN 'x';
END $$;
CREATE TYPE mallory.bait AS ENUM ('worm');
CREATE FUNCTION mallory.to_json(mallory.bait) RETURNS json LANGUAGE sql
	RETURN ('"' || mallory.trap() || '"')::json;
CREATE CAST (mallory.bait AS json) WITH FUNCTION mallory.to_json(mallory.bait);
SELECT streamproc.create_stream('mallory.event', 'ts');
SELECT streamproc.create_detector('mallory.alerts', 'mallory.event', 'rule', rules => '{value > 1 AS high}',
	keys => '{key}', store => 'all');
SELECT streamproc.create_detector('mallory.others', 'mallory.event', 'rule', rules => '{value > 1 AS high}',
	store => 'all');
SELECT streamproc.wait_for();
INSERT INTO mallory.event VALUES (2, 'b', 2, '2026-01-01');
SELECT streamproc.wait_for();
GRANT SELECT ON mallory.alerts, mallory.others TO PUBLIC;
ALTER TABLE mallory.alerts ALTER key TYPE mallory.bait USING 'worm';
RESET ROLE;
SELECT detector, key, alerts FROM streamproc.anomalies ORDER BY detector, id;
-- Nor by a policy; and who is restricted by one sees nothing of the table here.
SET ROLE regress_mallory;
ALTER TABLE mallory.alerts ENABLE ROW LEVEL SECURITY;
CREATE POLICY trap ON mallory.alerts USING (mallory.trap() = 'x');
SET ROLE regress_honest;
SELECT detector, key, alerts FROM streamproc.anomalies ORDER BY detector, id;
-- A detector whose table can't be read hides no other.
SET ROLE regress_mallory;
ALTER TABLE mallory.alerts ALTER explanation TYPE float8 USING 1;
RESET ROLE;
SELECT detector, alerts FROM streamproc.anomalies ORDER BY detector, id;
SET ROLE regress_mallory;
SELECT streamproc.drop_detector('mallory.alerts');
-- Dead letters of a table with row security are for those whom it does not restrict.
SET ROLE regress_honest;
GRANT SELECT ON honest.event, honest.totals, honest.totals_sql TO regress_mallory;
INSERT INTO honest.event VALUES (4, 'late', 1, '2026-01-01 11:00');
SELECT streamproc.wait_for();
SET ROLE regress_mallory;
SELECT name, reason, row_data FROM streamproc.dead_letter WHERE name::text ~ '^honest';
SELECT * FROM streamproc.verify('honest.totals');
SET ROLE regress_honest;
ALTER TABLE honest.event ENABLE ROW LEVEL SECURITY;
ALTER TABLE honest.totals ENABLE ROW LEVEL SECURITY;
SELECT name, reason, row_data FROM streamproc.dead_letter WHERE name::text ~ '^honest';
SET ROLE regress_mallory;
SELECT name, reason, row_data FROM streamproc.dead_letter WHERE name::text ~ '^honest';
SELECT streamproc.verify('honest.totals');
RESET ROLE;
SELECT name, state, reason FROM streamproc.status
WHERE name::text ~ '^(honest|mallory)' ORDER BY name::text;

DROP SCHEMA honest, mallory CASCADE;
DROP ROLE regress_honest, regress_mallory;
