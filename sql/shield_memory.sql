--
-- A transaction with more keys than it keeps in memory: states are written before its end, also amid savepoints, and taken back with them.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA shield_memory_test;
SET search_path = shield_memory_test, public;

-- A state takes some 40 kB.
CREATE TABLE visit (id int, k int, ts timestamptz);
SELECT streamproc.create_stream('visit', time_column => 'ts', watermark => '10 minutes', idle_timeout => '1 day');
SELECT streamproc.create_detector('often', 'visit', method => 'velocity', keys => ARRAY['k'], params => '{"events": 3, "interval": "1 hour", "max_events": 5000}');
SELECT streamproc.enforce('often');
CREATE VIEW held AS SELECT coalesce(sum(total_bytes), 0) / 1024 / 1024 AS mb FROM pg_backend_memory_contexts WHERE name = 'streamproc shield states';
CREATE FUNCTION visit(keys int, id int) RETURNS bigint LANGUAGE sql AS $$
	WITH i AS (INSERT INTO visit SELECT $2, k, '2026-01-01 00:00+00' FROM generate_series(1, $1) k RETURNING 1) SELECT count(*) FROM i
$$;
CREATE FUNCTION refused(keys int[]) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
	key int;
	result int[] := '{}';
BEGIN
	FOREACH key IN ARRAY keys LOOP
		BEGIN
			INSERT INTO visit VALUES (0, key, '2026-01-01 00:00+00');
		EXCEPTION WHEN check_violation THEN result := result || key;
		END;
	END LOOP;
	RETURN result;
END $$;
-- Keys of which there are more than three, in the table's opinion, and how many have been refused there.
CREATE VIEW numbers AS SELECT count(*) AS rows, count(DISTINCT k) AS keys, (SELECT max(n) FROM (SELECT count(*) AS n FROM visit GROUP BY k) c) AS most FROM visit;

-- Within a savepoint, all of it taken back; then half of it again, and kept.
BEGIN;
SELECT visit(10, 1);
SAVEPOINT a;
SELECT visit(2000, 2);
SELECT mb < 60 AS is_bounded FROM held;
SELECT visit(2000, 3);
SELECT refused('{1,10,11,1999}');
ROLLBACK TO a;
TABLE numbers;
SELECT visit(1000, 4), visit(1000, 5);
SELECT refused('{1,10,11,999,1001}');
SELECT refused('{1,10,11,999,1001}');
RELEASE a;
SELECT mb < 60 AS is_bounded FROM held;
COMMIT;
TABLE numbers;

-- Nested, each level with keys that outer ones have changed, written or not.
TRUNCATE visit;
SELECT streamproc.enforce('often');
BEGIN;
SELECT visit(600, 1);
SAVEPOINT a;
SELECT visit(1200, 2);
SAVEPOINT b;
SELECT visit(1800, 3);
SELECT refused('{1,601,1201,1201,1201}');
SELECT mb < 110 AS is_bounded FROM held;
ROLLBACK TO b;
TABLE numbers;
SELECT refused('{600,601,601,1201,1201,1201,1201}');
ROLLBACK TO a;
TABLE numbers;
SELECT refused('{600,600,600,601,601,601,601}');
COMMIT;
TABLE numbers;

-- Each row in a subtransaction of its own, which is what an exception handler makes.
TRUNCATE visit;
SELECT streamproc.enforce('often');
CREATE FUNCTION visit_each(keys int, id int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	FOR key IN 1 .. keys LOOP
		BEGIN
			INSERT INTO visit VALUES (id, key, '2026-01-01 00:00+00');
		EXCEPTION WHEN check_violation THEN NULL;
		END;
	END LOOP;
END $$;
BEGIN;
SELECT visit_each(2000, 1), visit_each(2000, 2), visit_each(100, 3), visit_each(101, 4);
SELECT mb < 60 AS is_bounded FROM held;
COMMIT;
TABLE numbers;

-- The states are those of the rows, however they came to be.
CREATE FUNCTION states(detector regclass) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE (SELECT format('SELECT md5(to_jsonb(s)::text) FROM %s s ORDER BY 1', states) FROM streamproc.shield_definition
		JOIN streamproc.detector_definition d USING (id) WHERE d.relation = detector);
END $$;
CREATE TABLE before AS SELECT states('often') AS state;
SELECT streamproc.enforce('often');
SELECT count(*) AS states, (SELECT count(*) FROM (TABLE before EXCEPT ALL SELECT states('often')) d) AS different FROM before;

SET client_min_messages = warning;
SELECT streamproc.drop_stream('visit', cascade => true);
DROP SCHEMA shield_memory_test CASCADE;
