--
-- on_update => 'retract': what the WAL must have of old rows, partitions, what goes together with it.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA retract_identity_test;
SET search_path = retract_identity_test, public;

-- The WAL must have of old rows what is used of them.
CREATE TABLE narrow (id int PRIMARY KEY, n int NOT NULL, ts timestamptz NOT NULL, doc text);
SELECT streamproc.create_stream('narrow', time_column => 'ts', on_update => 'retract');
ALTER TABLE narrow REPLICA IDENTITY NOTHING;
SELECT streamproc.create_stream('narrow', time_column => 'ts', on_update => 'retract');
CREATE UNIQUE INDEX narrow_identity ON narrow (id, n, ts);
ALTER TABLE narrow REPLICA IDENTITY USING INDEX narrow_identity, ALTER doc SET STORAGE EXTERNAL;
SELECT streamproc.create_stream('narrow', time_column => 'ts', idle_timeout => '1 day', on_update => 'retract');
SELECT streamproc.create_window('docs', 'narrow', kind => 'tumbling', size => '1 minute', keys => '{doc}', aggregates => '{count(*) AS c}');
SELECT streamproc.create_window('docs', 'narrow', kind => 'global', aggregates => '{count(*) AS c}', filter => 'doc IS NULL');
SELECT streamproc.create_window('docs', 'narrow', kind => 'global', aggregates => '{count(*) AS c}', group_filter => 'max(doc) IS NULL');
SELECT streamproc.create_window('ids', 'narrow', kind => 'tumbling', size => '1 minute', keys => '{id}',
	aggregates => '{count(*) AS c, sum(n) AS total}', filter => 'n <> 4');
SELECT streamproc.create_detector('doc_watch', 'narrow', method => 'rule', rules => ARRAY['length(doc) > 5 AS long'], backfill => false);
SELECT streamproc.wait_for();
INSERT INTO narrow SELECT i, i, '2026-03-01 12:00+00'::timestamptz, repeat(md5(i::text), 200) FROM generate_series(1, 6) i;
UPDATE narrow SET n = n + 1 WHERE id IN (1, 3);
UPDATE narrow SET doc = 'short' WHERE id = 2;
DELETE FROM narrow WHERE id = 6;
SELECT streamproc.wait_for();
SELECT id, c, total FROM ids ORDER BY id;
SELECT * FROM streamproc.verify('ids');
-- A value that is in neither row of the WAL is not NULL: who needs it has failed.
SELECT name, state, reason FROM streamproc.status WHERE name IN ('ids'::regclass, 'doc_watch'::regclass) ORDER BY name::text;
-- The identity is changed: no wrong number, but a reason.
ALTER TABLE narrow REPLICA IDENTITY DEFAULT;
UPDATE narrow SET id = 20 WHERE id = 2;
SELECT streamproc.wait_for();
SELECT name, state, reason FROM streamproc.status WHERE name = 'ids'::regclass;
ALTER TABLE narrow REPLICA IDENTITY FULL;
SELECT streamproc.resume('ids');
SELECT streamproc.wait_for();
UPDATE narrow SET n = 9 WHERE id = 20;
SELECT streamproc.wait_for();
SELECT id, c, total FROM ids ORDER BY id;
SELECT * FROM streamproc.verify('ids');
-- The same when the index of the identity is dropped.
ALTER TABLE narrow REPLICA IDENTITY USING INDEX narrow_identity;
DROP INDEX narrow_identity;
DELETE FROM narrow WHERE id = 20;
SELECT streamproc.wait_for();
SELECT name, state, reason FROM streamproc.status WHERE name = 'ids'::regclass;

-- Partitions: rows that move, partitions that come later, one that is truncated.
CREATE TABLE part (id int, region text, n int, ts timestamptz, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE part_a PARTITION OF part FOR VALUES IN ('a');
CREATE TABLE part_b (n int, gone int, ts timestamptz, region text NOT NULL, id int NOT NULL);
ALTER TABLE part_b DROP gone;
ALTER TABLE part ATTACH PARTITION part_b FOR VALUES IN ('b');
ALTER TABLE part_a REPLICA IDENTITY FULL;
SELECT streamproc.create_stream('part', time_column => 'ts', idle_timeout => '1 day', on_update => 'retract');
ALTER TABLE part_b REPLICA IDENTITY FULL;
SELECT streamproc.create_stream('part', time_column => 'ts', idle_timeout => '1 day', on_update => 'retract');
SELECT streamproc.create_window('regions', 'part', kind => 'tumbling', size => '1 minute', keys => '{region}',
	aggregates => '{count(*) AS c, sum(n) AS total}');
SELECT streamproc.wait_for();
INSERT INTO part SELECT i, CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END, i, '2026-03-01 12:00+00' FROM generate_series(1, 9) i;
UPDATE part SET region = 'b', n = n * 10 WHERE id IN (2, 4);
UPDATE part SET region = 'a' WHERE id = 9;
DELETE FROM part WHERE id = 1;
CREATE TABLE part_c PARTITION OF part FOR VALUES IN ('c');
ALTER TABLE part_c REPLICA IDENTITY FULL;
UPDATE part SET region = 'c' WHERE id IN (3, 6);
UPDATE part SET n = 1 WHERE region = 'c';
SELECT streamproc.wait_for();
SELECT region, c, total FROM regions ORDER BY region;
SELECT * FROM streamproc.verify('regions');
TRUNCATE part_a;
SELECT streamproc.wait_for();
SELECT state, reason FROM streamproc.status WHERE name = 'regions'::regclass;
SELECT streamproc.resume('regions');
SELECT streamproc.wait_for();
SELECT region, c, total FROM regions ORDER BY region;
TRUNCATE part;
SELECT streamproc.wait_for();
SELECT state, (SELECT count(*) FROM regions) FROM streamproc.status WHERE name = 'regions'::regclass;
CREATE TABLE part_d PARTITION OF part FOR VALUES IN ('d');
INSERT INTO part VALUES (1, 'd', 1, '2026-03-01 12:00+00');
UPDATE part SET n = 2;
SELECT streamproc.wait_for();
SELECT state, reason FROM streamproc.status WHERE name = 'regions'::regclass;

-- What can't go together is refused.
CREATE TABLE full_rows (id int, ts timestamptz);
ALTER TABLE full_rows REPLICA IDENTITY FULL;
SELECT streamproc.create_stream('full_rows', time_column => 'ts', on_update => 'retract');
SELECT streamproc.create_window('never', 'full_rows', kind => 'tumbling', size => '1 minute', aggregates => '{count(*) AS n}', fill => 'zero');
SELECT streamproc.create_window('never', 'full_rows', kind => 'tumbling', size => '1 minute', aggregates => '{count(*) AS n}', backfill => false);
CREATE TABLE plain (id int PRIMARY KEY, n int);
SELECT streamproc.create_stream('plain', on_update => 'retract');
SELECT streamproc.create_window('never', 'plain', kind => 'tumbling', size => '1 minute', aggregates => '{count(*) AS n}');
CREATE TABLE clicks (n int) USING streamproc;
SELECT streamproc.create_stream('clicks', on_update => 'retract');
-- Running totals need no times, nor columns that they don't use.
SELECT streamproc.create_window('rows_of_plain', 'plain', kind => 'global', aggregates => '{count(*) AS c}');
INSERT INTO plain SELECT i, i FROM generate_series(1, 10) i;
SELECT streamproc.wait_for();
DELETE FROM plain WHERE id > 3;
UPDATE plain SET n = 0;
SELECT streamproc.wait_for();
SELECT c FROM rows_of_plain;
DELETE FROM plain;
SELECT streamproc.wait_for();
SELECT count(*) FROM rows_of_plain;

-- What a transition has refused is not taken back.
CREATE FUNCTION add_some(int, int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF $1 + $2 > 100 THEN
		RAISE EXCEPTION 'too much';
	END IF;
	RETURN $1 + $2;
END $$;
CREATE FUNCTION take_some(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 - $2';
CREATE AGGREGATE add_up(int) (sfunc = add_some, stype = int, initcond = '0',
	msfunc = add_some, minvfunc = take_some, mstype = int, minitcond = '0');
CREATE TABLE jar (id int PRIMARY KEY, n int);
ALTER TABLE jar REPLICA IDENTITY FULL;
SELECT streamproc.create_stream('jar', on_update => 'retract');
SELECT streamproc.create_window('jar_total', 'jar', kind => 'global', aggregates => '{add_up(n) AS total, count(*) AS c}',
	filter => '10 / n < 10');
SELECT streamproc.wait_for();
INSERT INTO jar VALUES (1, 60), (2, 30), (3, 20), (4, 5), (5, 0);
SELECT streamproc.wait_for();
SELECT total, c FROM jar_total;
DELETE FROM jar WHERE id IN (3, 5);
SELECT streamproc.wait_for();
SELECT total, c FROM jar_total;
DELETE FROM jar WHERE id = 1;
INSERT INTO jar VALUES (6, 20);
SELECT streamproc.wait_for();
SELECT total, c FROM jar_total;
SELECT reason, row_data->>'id' AS id FROM streamproc.dead_letter WHERE name = 'jar_total'::regclass ORDER BY row_data->>'id';
SELECT state, retracted, ignored FROM streamproc.status WHERE name = 'jar_total'::regclass;

SET client_min_messages = warning;
DROP SCHEMA retract_identity_test CASCADE;
