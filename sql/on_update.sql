--
-- on_update => 'error': UPDATE, DELETE and TRUNCATE of the source are refused where they are made.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA on_update_test;
SET search_path = on_update_test, public;

CREATE TABLE ledger (id int PRIMARY KEY, amount int, ts timestamptz DEFAULT '2026-03-01 12:00+00');
SELECT streamproc.create_stream('ledger', time_column => 'ts', idle_timeout => '1 day', on_update => 'error');
SELECT streamproc.create_window('ledger_total', 'ledger', kind => 'global', aggregates => '{sum(amount) AS total}');
INSERT INTO ledger (id, amount) VALUES (1, 10), (2, 20);
UPDATE ledger SET amount = 0;
DELETE FROM ledger WHERE id = 2;
TRUNCATE ledger;
INSERT INTO ledger (id, amount) VALUES (1, 5) ON CONFLICT (id) DO UPDATE SET amount = excluded.amount;
MERGE INTO ledger USING (VALUES (2)) v (id) ON ledger.id = v.id WHEN MATCHED THEN DELETE;
DO $$
BEGIN
	DELETE FROM ledger;
EXCEPTION WHEN object_not_in_prerequisite_state THEN
	RAISE NOTICE '% %', SQLSTATE, SQLERRM;
END $$;
-- What finds no row does no harm.
UPDATE ledger SET amount = 0 WHERE id = 99;
DELETE FROM ledger WHERE false;
INSERT INTO ledger (id, amount) VALUES (3, 5) ON CONFLICT (id) DO UPDATE SET amount = excluded.amount;
-- A replica is no way around.
SET session_replication_role = replica;
DELETE FROM ledger;
RESET session_replication_role;
SELECT streamproc.wait_for();
SELECT total FROM ledger_total;
-- Who turns the triggers off stops what reads the table.
ALTER TABLE ledger DISABLE TRIGGER streamproc_on_update;
DELETE FROM ledger WHERE id = 3;
SELECT streamproc.wait_for();
SELECT name, state, reason FROM streamproc.status WHERE name::text LIKE '%ledger%' ORDER BY name::text;
ALTER TABLE ledger ENABLE ALWAYS TRIGGER streamproc_on_update;
SELECT streamproc.resume('ledger_total');
SELECT streamproc.wait_for();
SELECT total FROM ledger_total;
UPDATE ledger SET amount = 0;

-- The triggers go with the stream; replacing one brings others.
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'ledger'::regclass ORDER BY tgname;
SELECT streamproc.drop_window('ledger_total');
SELECT streamproc.create_stream('ledger', time_column => 'ts', on_update => 'error', replace => true);
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'ledger'::regclass ORDER BY tgname;
SELECT streamproc.create_stream('ledger', time_column => 'ts', replace => true);
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'ledger'::regclass;
UPDATE ledger SET amount = 0;
SELECT streamproc.create_stream('ledger', time_column => 'ts', on_update => 'error', replace => true);
BEGIN;
SELECT streamproc.drop_stream('ledger');
DELETE FROM ledger WHERE id = 1;
ROLLBACK;
DELETE FROM ledger WHERE id = 1;
SELECT streamproc.drop_stream('ledger');
DELETE FROM ledger WHERE id = 1;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'ledger'::regclass;
-- A name that is taken.
CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER streamproc_on_update BEFORE INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION pass();
SELECT streamproc.create_stream('ledger', time_column => 'ts', on_update => 'error');
SELECT count(*) FROM streamproc.status WHERE name = 'ledger'::regclass;

-- Partitions, also those that come later or by themselves.
CREATE TABLE event (id int, region text, n int) PARTITION BY LIST (region);
CREATE TABLE event_a PARTITION OF event FOR VALUES IN ('a');
SELECT streamproc.create_stream('event', on_update => 'error');
CREATE TABLE event_b PARTITION OF event FOR VALUES IN ('b');
INSERT INTO event VALUES (1, 'a', 1), (2, 'b', 1);
UPDATE event SET region = 'b' WHERE id = 1;
UPDATE event_b SET n = 2;
DELETE FROM event_a;
TRUNCATE event;
TRUNCATE event_a;
ALTER TABLE event DETACH PARTITION event_a;
DELETE FROM event_a;
TRUNCATE event_a;
DELETE FROM event;
SELECT streamproc.drop_stream('event');
DELETE FROM event;
SELECT count(*) FROM pg_trigger WHERE tgrelid IN ('event'::regclass, 'event_b'::regclass);

-- Stream tables have no rows to be changed.
CREATE TABLE clicks (n int) USING streamproc;
SELECT streamproc.create_stream('clicks', on_update => 'error');

SET client_min_messages = warning;
DROP SCHEMA on_update_test CASCADE;
