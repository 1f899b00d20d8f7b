--
-- Result tables are the worker's to write: rights, triggers, indexes with functions of the user's, retention.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE regress_out_owner;
CREATE ROLE regress_out_reader;
CREATE SCHEMA out AUTHORIZATION regress_out_owner;
SET ROLE regress_out_owner;
SET search_path = out;

-- Default privileges don't make others writers.
ALTER DEFAULT PRIVILEGES IN SCHEMA out GRANT ALL ON TABLES TO regress_out_reader;
CREATE TABLE event (id int, key int, value float8, ts timestamptz);
SELECT streamproc.create_stream('event', 'ts', watermark => '0');
SELECT streamproc.create_window('totals', 'event', 'tumbling', size => '1 second', keys => '{key}',
	aggregates => '{count(*) AS n, sum(value) AS total}', retention => '10 seconds');
SELECT streamproc.create_detector('alerts', 'event', 'rule', rules => '{value > 100 AS high}',
	carry => '{id AS event_id}', retention => '10 seconds');
SELECT streamproc.wait_for();
CREATE FUNCTION rights(relid regclass, OUT grantee text, OUT rights text) RETURNS SETOF record LANGUAGE sql AS $$
	SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END,
		string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type) FILTER (WHERE a.privilege_type <> 'MAINTAIN')
	FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = relid GROUP BY 1 ORDER BY 1
$$;
SELECT * FROM rights('totals');
SELECT * FROM rights('alerts');
SELECT attname, attacl FROM pg_attribute WHERE attrelid = 'alerts'::regclass AND attacl IS NOT NULL ORDER BY attnum;

INSERT INTO event VALUES (1, 1, 10, '2026-01-01 12:00:00'), (2, 1, 200, '2026-01-01 12:00:00.5'), (3, 1, 300, '2026-01-01 12:00:01');
SELECT streamproc.wait_for();
SELECT window_start, key, n, total, is_final FROM totals ORDER BY 1;
-- Not even the owner writes results, but marks alerts.
INSERT INTO totals VALUES ('2026-01-01', '2026-01-02', 1, 1, 1, true, 1);
UPDATE totals SET n = 0;
DELETE FROM totals;
TRUNCATE totals;
DELETE FROM alerts;
UPDATE alerts SET score = 0;
UPDATE alerts SET status = 'closed', label = 'fraud', note = 'called' WHERE event_id = 2;
SELECT event_id, status, label, note FROM alerts ORDER BY id;
-- Who insists may.
GRANT DELETE ON totals TO CURRENT_USER;
DELETE FROM totals WHERE is_final;
REVOKE DELETE ON totals FROM CURRENT_USER;

-- A rebuild clears what an earlier life has written, whatever the owner may.
SELECT streamproc.pause('totals');
SELECT streamproc.pause('alerts');
SELECT streamproc.resume('totals');
SELECT streamproc.resume('alerts');
SELECT streamproc.wait_for();
SELECT window_start, key, n, total, is_final FROM totals ORDER BY 1;
SELECT event_id, status, label, ordinal < 0 AS of_an_earlier_life FROM alerts ORDER BY event_id;

-- A new owner has the rights that the old one had.
RESET ROLE;
GRANT regress_out_reader TO regress_out_owner;
GRANT CREATE ON SCHEMA out TO regress_out_reader;
GRANT USAGE ON SCHEMA out TO regress_out_reader;
ALTER TABLE event OWNER TO regress_out_reader;
ALTER TABLE alerts OWNER TO regress_out_reader;
SET ROLE regress_out_reader;
UPDATE alerts SET score = 0;
UPDATE alerts SET note = 'mine' WHERE event_id = 3;
INSERT INTO event VALUES (4, 1, 400, '2026-01-01 12:00:01');
SELECT streamproc.wait_for();
SELECT event_id, note FROM alerts ORDER BY event_id;
RESET ROLE;
ALTER TABLE event OWNER TO regress_out_owner;
ALTER TABLE alerts OWNER TO regress_out_owner;
SET ROLE regress_out_owner;

-- Row triggers fire, ordinary ones and ALWAYS ones, as the owner; REPLICA ones, statement triggers and rules don't.
CREATE TABLE seen (n serial, trigger text, op text, old_n bigint, new_n bigint, by name);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO out.seen (trigger, op, old_n, new_n, by)
	VALUES (TG_NAME, TG_OP, CASE WHEN TG_LEVEL = 'ROW' AND TG_OP <> 'INSERT' THEN OLD.n END,
		CASE WHEN TG_LEVEL = 'ROW' AND TG_OP <> 'DELETE' THEN NEW.n END, current_user);
	RETURN NULL;
END $$;
CREATE TRIGGER a_always AFTER INSERT OR UPDATE OR DELETE ON totals FOR EACH ROW EXECUTE FUNCTION see();
CREATE TRIGGER b_ordinary AFTER INSERT OR UPDATE OR DELETE ON totals FOR EACH ROW EXECUTE FUNCTION see();
CREATE TRIGGER c_replica AFTER INSERT OR UPDATE OR DELETE ON totals FOR EACH ROW EXECUTE FUNCTION see();
CREATE TRIGGER d_statement AFTER INSERT OR UPDATE OR DELETE ON totals EXECUTE FUNCTION see();
CREATE CONSTRAINT TRIGGER e_deferred AFTER DELETE ON totals DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION see();
ALTER TABLE totals ENABLE ALWAYS TRIGGER a_always;
ALTER TABLE totals ENABLE REPLICA TRIGGER c_replica;
ALTER TABLE totals ENABLE ALWAYS TRIGGER e_deferred;
CREATE RULE no_delete AS ON DELETE TO totals DO INSTEAD NOTHING;
INSERT INTO event VALUES (5, 1, 1, '2026-01-01 12:00:02');
SELECT streamproc.wait_for();
INSERT INTO event VALUES (6, 1, 1, '2026-01-01 12:00:02');
SELECT streamproc.wait_for();
SELECT trigger, op, old_n, new_n, by FROM seen ORDER BY n;
-- So for what retention deletes: more rows than one transaction deletes, with others in between.
TRUNCATE seen;
INSERT INTO event VALUES (7, 2, 1, '2026-01-01 14:00:00');
SELECT streamproc.wait_for();
RESET ROLE;
CREATE PROCEDURE until(condition text) LANGUAGE plpgsql AS $$
DECLARE
	done bool;
	deadline timestamptz = clock_timestamp() + interval '1 minute';
BEGIN
	WHILE clock_timestamp() < deadline LOOP
		EXECUTE 'SELECT ' || condition INTO done;
		EXIT WHEN done;
		COMMIT;
	END LOOP;
	IF done IS NOT TRUE THEN
		RAISE 'not within a minute: %', condition;
	END IF;
END $$;
CALL until('NOT EXISTS (SELECT FROM out.totals WHERE key = 1)');
CALL until('(SELECT count(*) FROM out.alerts) = 0');
SET ROLE regress_out_owner;
SELECT window_start, key, n FROM totals;
SELECT trigger, op, old_n, new_n, by FROM seen WHERE op = 'DELETE' ORDER BY n;
DROP TRIGGER a_always ON totals;
DROP TRIGGER b_ordinary ON totals;
DROP TRIGGER e_deferred ON totals;
INSERT INTO event SELECT i, i, 1, '2026-01-01 14:00:00.5' FROM generate_series(11, 25010) i;
INSERT INTO event VALUES (8, 1, 1, '2026-01-01 14:00:02');
SELECT streamproc.wait_for();
SELECT count(*) FROM totals WHERE is_final;
INSERT INTO event VALUES (9, 1, 1, '2026-01-01 16:00:00'), (10, 1, 1, '2026-01-01 16:00:01');
SELECT streamproc.wait_for();
RESET ROLE;
CALL until('(SELECT count(*) FROM out.totals) = 2');
SET ROLE regress_out_owner;
SELECT window_start, key, n FROM totals ORDER BY 1;

-- A stream without input gets older all the same.
CREATE TABLE idle_event (id int, value float8, ts timestamptz);
SELECT streamproc.create_stream('idle_event', 'ts', watermark => '0', idle_timeout => '1 second');
SELECT streamproc.create_window('idle_totals', 'idle_event', 'tumbling', size => '1 second',
	aggregates => '{count(*) AS n}', retention => '5 seconds');
SELECT streamproc.create_detector('idle_alerts', 'idle_event', 'rule', rules => '{value > 0 AS any}',
	retention => '5 seconds');
SELECT streamproc.wait_for();
INSERT INTO idle_event VALUES (1, 1, clock_timestamp());
SELECT streamproc.wait_for();
SELECT count(*) FROM idle_alerts;
RESET ROLE;
CALL until('(SELECT count(*) FROM out.idle_totals) + (SELECT count(*) FROM out.idle_alerts) = 0');
SET ROLE regress_out_owner;

-- What throws stops its own object, and says so.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no row today'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON totals FOR EACH ROW EXECUTE FUNCTION refuse();
ALTER TABLE totals ENABLE ALWAYS TRIGGER refuse;
INSERT INTO event VALUES (11, 7, 500, '2026-01-01 16:00:02');
RESET ROLE;
CALL until('(SELECT count(*) FROM out.alerts) = 1');
CALL until($$(SELECT reason IS NOT NULL FROM streamproc.status WHERE name = 'out.totals'::regclass)$$);
SET ROLE regress_out_owner;
SELECT name, state, reason FROM streamproc.status WHERE name IN ('totals'::regclass, 'alerts') ORDER BY 1;
DROP TRIGGER refuse ON totals;
SELECT streamproc.wait_for();
SELECT key, n FROM totals WHERE key = 7;

-- The worker runs no function of an index as anybody but the owner.
CREATE FUNCTION owner_only(n bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF current_user <> 'regress_out_owner' THEN
		RAISE 'run by %', current_user;
	END IF;
	RETURN n;
END $$;
CREATE INDEX ON totals ((n + out.owner_only(1)));
CREATE INDEX ON totals (key) WHERE n > out.owner_only(0);
INSERT INTO event VALUES (12, 8, 1, '2026-01-01 16:00:02');
SELECT streamproc.wait_for(timeout => '20 seconds');
SELECT key, n FROM totals WHERE key = 8;

-- Row security is for those who read, not for the worker.
ALTER TABLE totals ENABLE ROW LEVEL SECURITY;
CREATE POLICY nothing ON totals USING (key = 8);
INSERT INTO event VALUES (13, 9, 1, '2026-01-01 16:00:02');
SELECT streamproc.wait_for();
SET ROLE regress_out_reader;
SELECT key, n FROM out.totals;
RESET ROLE;
SELECT name, state, reason FROM streamproc.status WHERE name::text !~ '\.' AND reason IS NOT NULL;
DROP SCHEMA out CASCADE;
DROP OWNED BY regress_out_reader, regress_out_owner;
DROP ROLE regress_out_owner, regress_out_reader;
