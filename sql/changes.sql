--
-- The change feed of a window: old and new of each result row that is written, as it is in the table.
--
SET timezone = 'America/New_York';
SET datestyle = 'SQL, DMY';
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE regress_feed;
CREATE SCHEMA feed AUTHORIZATION regress_feed;
SET ROLE regress_feed;
SET search_path = feed;
CREATE TABLE event (id int, key int, value float8, ts timestamptz);
SELECT streamproc.create_stream('event', 'ts', watermark => '0');
SELECT streamproc.create_window('plain', 'event', 'global', aggregates => '{count(*) AS n}', changes => NULL);
SELECT streamproc.create_window('plain', 'event', 'global', aggregates => '{count(*) AS n}');
SELECT to_regclass('plain_changes');
SELECT streamproc.create_window('totals', 'event', 'tumbling', size => '1 minute', keys => '{key}',
	aggregates => '{count(*) AS n, max(value) AS high}', grace => '1 hour', changes => true);
SELECT streamproc.create_window('total', 'event', 'global', aggregates => '{count(*) AS n}', changes => true);
SELECT a.attname, a.atttypid::regtype, a.attnotnull, a.attidentity FROM pg_attribute a
WHERE a.attrelid = 'totals_changes'::regclass AND a.attnum > 0 ORDER BY a.attnum;
SELECT a.privilege_type FROM pg_class c, aclexplode(c.relacl) a
WHERE c.oid = 'totals_changes'::regclass AND a.privilege_type <> 'MAINTAIN' ORDER BY 1;
SELECT obj_description('totals_changes'::regclass);
SELECT streamproc.wait_for();

-- What the feed says, one change after the other, must give the table.
CREATE FUNCTION replayed(feed regclass) RETURNS SETOF jsonb LANGUAGE plpgsql AS $$
DECLARE
	change record;
	rows jsonb[] := '{}';
BEGIN
	FOR change IN EXECUTE format('SELECT * FROM %s ORDER BY id', feed) LOOP
		IF change.old IS NOT NULL THEN
			IF NOT change.old = ANY (rows) THEN
				RAISE 'change % has an old row that is not there: %', change.id, change.old;
			END IF;
			rows := array_remove(rows, change.old);
		END IF;
		IF change.new IS NOT NULL THEN
			rows := rows || change.new;
		END IF;
	END LOOP;
	RETURN QUERY SELECT * FROM unnest(rows);
END $$;
CREATE FUNCTION differences(result regclass) RETURNS SETOF jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('(SELECT streamproc.row_image(t) FROM %1$s t EXCEPT ALL SELECT * FROM feed.replayed(%2$L))
		UNION ALL (SELECT * FROM feed.replayed(%2$L) EXCEPT ALL SELECT streamproc.row_image(t) FROM %1$s t)',
		result, result || '_changes');
END $$;
-- row_image() is not for everybody.
RESET ROLE;
GRANT EXECUTE ON FUNCTION streamproc.row_image(anyelement) TO regress_feed;
SET ROLE regress_feed;

INSERT INTO event VALUES (1, 1, 10, '2026-01-01 12:00+00'), (2, 1, 20, '2026-01-01 12:00:30+00'), (3, 2, 30, '2026-01-01 12:00:40+00');
SELECT streamproc.wait_for();
SELECT id, old, new FROM totals_changes ORDER BY id;
INSERT INTO event VALUES (4, 1, 5, '2026-01-01 12:00:50+00');
SELECT streamproc.wait_for();
SELECT old, new FROM totals_changes WHERE id > 2;
-- Windows become final; a late row amends one.
INSERT INTO event VALUES (5, 1, 7, '2026-01-01 12:01+00');
SELECT streamproc.wait_for();
INSERT INTO event VALUES (6, 2, 70, '2026-01-01 12:00:59+00');
SELECT streamproc.wait_for();
SELECT old - '{window_start,window_end}'::text[] AS old, new - '{window_start,window_end}'::text[] AS new
FROM totals_changes WHERE id > 3 ORDER BY id;
SELECT old, new FROM total_changes ORDER BY id;
SELECT * FROM differences('totals');
SELECT * FROM differences('total');
-- lsn: up to where the results stand. What was committed before it is in them.
SELECT bool_and(lsn >= before) AS in_order, bool_and(lsn <= pg_current_wal_insert_lsn()) AS not_ahead,
	bool_and(changed_at >= changed_before) AS in_time
FROM (SELECT lsn, lag(lsn, 1, lsn) OVER (ORDER BY id) AS before,
	changed_at, lag(changed_at, 1, changed_at) OVER (ORDER BY id) AS changed_before FROM totals_changes) c;
SELECT count(*) > 0 AS follows FROM totals_changes WHERE lsn > (SELECT min(lsn) FROM totals_changes);

-- The user's own columns, and triggers, which take the executor's path.
ALTER TABLE totals ADD COLUMN seen text DEFAULT 'no', ADD COLUMN twice bigint GENERATED ALWAYS AS (n * 2) STORED;
ALTER TABLE totals_changes ADD COLUMN done boolean DEFAULT false;
GRANT UPDATE (seen) ON totals TO regress_feed;
CREATE FUNCTION mark() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
	IF NEW.key = 13 THEN RETURN NULL; END IF;
	NEW.seen := TG_OP;
	RETURN NEW;
END $$;
CREATE TRIGGER mark BEFORE INSERT OR UPDATE OR DELETE ON totals FOR EACH ROW EXECUTE FUNCTION mark();
TRUNCATE totals_changes;
INSERT INTO event VALUES (7, 3, 1, '2026-01-01 12:01+00'), (8, 13, 1, '2026-01-01 12:01+00');
SELECT streamproc.wait_for();
INSERT INTO event VALUES (9, 3, 2, '2026-01-01 12:01+00'), (10, 13, 2, '2026-01-01 12:01+00');
SELECT streamproc.wait_for();
SELECT old - '{window_start,window_end,high}'::text[] AS old, new - '{window_start,window_end,high}'::text[] AS new, done
FROM totals_changes ORDER BY id;
DROP TRIGGER mark ON totals;
ALTER TABLE totals DROP COLUMN twice;

-- A rebuild replaces the rows: the feed tells.
TRUNCATE totals_changes;
SELECT streamproc.pause('totals');
SELECT streamproc.resume('totals');
SELECT streamproc.wait_for();
SELECT count(*) FILTER (WHERE new IS NULL) AS deleted, count(*) FILTER (WHERE old IS NULL) AS inserted,
	count(*) FILTER (WHERE old IS NOT NULL AND new IS NOT NULL) AS updated FROM totals_changes;
-- History comes as inserts, and many changes at once are all there.
SELECT streamproc.create_window('later', 'event', 'tumbling', size => '1 minute', keys => '{id}',
	aggregates => '{count(*) AS n}', changes => true);
SELECT streamproc.wait_for();
SELECT * FROM differences('later');
INSERT INTO event SELECT i, 4, i, '2026-01-01 12:02+00' FROM generate_series(101, 3600) i;
SELECT streamproc.wait_for();
SELECT count(*), count(*) FILTER (WHERE old IS NULL) AS inserted, count(DISTINCT new -> 'id') FROM later_changes
WHERE new ->> 'id' >= '100' AND (new -> 'id')::int > 100;

-- Who may not read the results doesn't read the feed, and nobody but the worker adds to it.
INSERT INTO totals_changes (lsn, changed_at) VALUES ('0/0', now());
UPDATE totals_changes SET new = NULL;
DELETE FROM totals_changes;
-- Retention goes for the feed as well, by the time of the change.
SELECT streamproc.create_window('short', 'event', 'tumbling', size => '1 minute', keys => '{key}',
	aggregates => '{count(*) AS n}', retention => '1 second', changes => true);
SELECT streamproc.wait_for();
RESET ROLE;
DO $$
DECLARE
	deadline timestamptz = clock_timestamp() + interval '1 minute';
BEGIN
	WHILE clock_timestamp() < deadline LOOP
		EXIT WHEN (SELECT count(*) FROM feed.short_changes) = 0;
		COMMIT;
	END LOOP;
END $$;
SET ROLE regress_feed;
SELECT count(*), (SELECT pg_sequence_last_value('short_changes_id_seq') > 0) AS there_were_some FROM short_changes;
INSERT INTO event VALUES (11, 5, 1, '2026-01-01 12:03+00');
SELECT streamproc.wait_for();

-- A feed that is dropped is no longer wanted; the window goes on.
DROP TABLE total_changes;
SELECT changes FROM streamproc.window_definition WHERE relation = 'total'::regclass;
INSERT INTO event VALUES (12, 5, 1, '2026-01-01 12:03+00');
SELECT streamproc.wait_for();
SELECT n = (SELECT count(*) FROM event) AS up_to_date FROM total;
-- It goes with its window: dropped by the verb, as a table, replaced without one.
SELECT streamproc.drop_window('later');
DROP TABLE short;
SELECT streamproc.create_window('totals', 'event', 'global', aggregates => '{count(*) AS n}', replace => true);
SELECT relname FROM pg_class WHERE relnamespace = 'feed'::regnamespace AND relname ~ 'changes$';
SELECT name, reason FROM streamproc.status WHERE reason IS NOT NULL;
RESET ROLE;
DROP SCHEMA feed CASCADE;
DROP OWNED BY regress_feed;
DROP ROLE regress_feed;
