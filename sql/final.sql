--
-- Final functions of users' aggregates: whose rights they have, and what becomes of a window whose final function
-- throws where rows are handed on.
--
SET timezone = 'UTC';
CREATE ROLE regress_maker;
CREATE SCHEMA final_test AUTHORIZATION regress_maker;
SET ROLE regress_maker;
SET search_path = final_test, public;

CREATE FUNCTION add(int, int) RETURNS int IMMUTABLE LANGUAGE sql RETURN coalesce($1, 0) + coalesce($2, 0);
CREATE FUNCTION helper() RETURNS text IMMUTABLE LANGUAGE sql RETURN current_user;
CREATE FUNCTION who_final(int) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN helper() || ' ' || $1; END $$;
CREATE AGGREGATE who(int) (SFUNC = add, STYPE = int, FINALFUNC = who_final, INITCOND = '0');
CREATE FUNCTION below_100(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	IF $1 >= 100 THEN
		RAISE EXCEPTION 'too much: %', $1;
	END IF;
	RETURN $1;
END $$;
CREATE AGGREGATE small_sum(int) (SFUNC = add, STYPE = int, FINALFUNC = below_100, INITCOND = '0');

CREATE TABLE event (v int, ts timestamptz);
SELECT streamproc.create_stream('event', time_column => 'ts', watermark => '0', idle_timeout => '1 day');
SELECT streamproc.create_window('named', 'event', kind => 'tumbling', size => '1 minute',
	aggregates => ARRAY['who(v) AS who', 'count(*) AS n']);
SELECT streamproc.create_window('small', 'event', kind => 'tumbling', size => '1 minute',
	aggregates => ARRAY['small_sum(v) AS s']);
SELECT streamproc.create_detector('small_rule', 'small', method => 'rule', rules => ARRAY['s > 5 AS high'], store => 'all');
SELECT streamproc.wait_for();

-- As the owner, who isn't the worker's user, and under the search_path of the definition.
INSERT INTO event VALUES (1, '2026-03-01 12:00:10+00'), (2, '2026-03-01 12:00:20+00');
INSERT INTO event VALUES (3, '2026-03-01 12:01:00+00');
SELECT streamproc.wait_for();
SELECT window_start, who, n, is_final FROM named ORDER BY 1;
SELECT s, event_time FROM small s JOIN small_rule r ON r.event_time = s.window_end - interval '1 microsecond';

-- A final function that throws when its row is to be handed on fails that window and its readers; the others go on.
BEGIN;
INSERT INTO event VALUES (100, '2026-03-01 12:01:10+00');
INSERT INTO event VALUES (4, '2026-03-01 12:02:00+00');
COMMIT;
SELECT streamproc.wait_for();
INSERT INTO event VALUES (5, '2026-03-01 12:03:00+00');
SELECT streamproc.wait_for();
SELECT window_start, who, n, is_final FROM named ORDER BY 1;
SELECT name, state, reason FROM streamproc.status WHERE name::text ~ 'small' ORDER BY name::text;

-- Mended, they are rebuilt.
CREATE OR REPLACE FUNCTION below_100(int) RETURNS int IMMUTABLE LANGUAGE sql RETURN $1;
SELECT streamproc.resume('small');
SELECT streamproc.resume('small_rule');
SELECT streamproc.wait_for();
INSERT INTO event VALUES (6, '2026-03-01 12:04:00+00');
SELECT streamproc.wait_for();
SELECT window_start, s, is_final FROM small ORDER BY 1;
SELECT count(*) FROM small_rule;
SELECT * FROM streamproc.verify('small');
SELECT name, state, reason FROM streamproc.status WHERE name::text ~ 'small' ORDER BY name::text;

RESET ROLE;
SET client_min_messages = warning;
DROP SCHEMA final_test CASCADE;
DROP ROLE regress_maker;
