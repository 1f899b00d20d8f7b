--
-- verify() of every kind of window: rows shuffled, some of the same time, some too late for some of their windows
--
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE SCHEMA verify_test;
SET search_path = verify_test, public;

CREATE TABLE event (id int, key text, v numeric, f float8, ts timestamptz);
SELECT streamproc.create_stream('event', 'ts', watermark => '5 minutes', idle_timeout => '1 day');
CREATE PROCEDURE load(from_id int, to_id int, batch int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 0 .. (to_id - from_id) / batch LOOP
		INSERT INTO event SELECT g, nullif('k' || g % 5, 'k4'), hashint4(g) % 100, g / 7.0,
			'2026-03-28 12:00+00'::timestamptz + g * interval '90 seconds' + abs(hashint4(g)) % 10 * interval '1 minute'
			FROM generate_series(from_id + i * batch, least(from_id + (i + 1) * batch - 1, to_id)) g;
		COMMIT;
	END LOOP;
END $$;
-- some of it is history
CALL load(1, 200, 50);

SELECT streamproc.create_window('hops', 'event', 'hopping', size => '30 minutes', slide => '5 minutes', keys => '{key}',
	aggregates => '{count(*) AS n,sum(v) AS s,avg(f) AS a}', filter => 'id % 9 > 0');
SELECT streamproc.create_window('hops_eager', 'event', 'hopping', size => '30 minutes', slide => '5 minutes', emit => 'update',
	keys => '{key}', watermark => '0', aggregates => '{count(*) AS n,sum(v) AS s}');
SELECT streamproc.create_window('hops_strict', 'event', 'hopping', size => '30 minutes', slide => '5 minutes', keys => '{key}',
	watermark => '0', aggregates => '{count(*) AS n,sum(v) AS s}');
SELECT streamproc.create_window('days_ending', 'event', 'hopping', size => '2 days', slide => '1 day', time_zone => 'Europe/Berlin',
	aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('so_far', 'event', 'cumulative', size => '1 day', slide => '90 minutes', time_zone => 'Europe/Berlin',
	keys => '{key}', aggregates => '{count(*) AS n,max(v) AS m}');
SELECT streamproc.create_window('so_far_strict', 'event', 'cumulative', size => '1 hour', slide => '4 minutes', emit => 'update',
	watermark => '0', grace => '1 minute', aggregates => '{count(*) AS n,sum(v) AS s}');
SELECT streamproc.create_window('minutes', 'event', 'tumbling', size => '10 minutes', keys => '{key,"id % 2 AS odd"}',
	aggregates => '{count(*) AS n,sum(v) AS s}', grace => '3 minutes');
SELECT streamproc.create_window('hours', 'minutes', 'tumbling', size => '1 hour', keys => '{key}', aggregates => '{sum(n) AS n,max(s) AS m}');
SELECT streamproc.create_window('shifts', 'hours', 'hopping', size => '8 hours', slide => '4 hours', aggregates => '{sum(n) AS n,count(*) AS keys}',
	filter => 'key IS NOT NULL');
SELECT streamproc.create_window('alive', 'event', 'tumbling', size => '2 minutes', keys => '{key}', fill => 'zero',
	aggregates => '{count(*) AS n,sum(v) AS s}');
SELECT streamproc.create_window('alive_so_far', 'event', 'cumulative', size => '1 hour', slide => '20 minutes', keys => '{key,"v % 3 AS r"}',
	fill => 'zero', filter => 'id < 700', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('alive_awhile', 'event', 'hopping', size => '20 minutes', slide => '10 minutes', keys => '{v}', fill => 'zero',
	retention => '2 hours', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('alive_few', 'event', 'tumbling', size => '10 minutes', keys => '{key}', fill => 'zero',
	aggregates => '{count(*) AS n,percentile_cont(0.5) WITHIN GROUP (ORDER BY f) AS m}', group_filter => 'count(*) < 3 AND key <> ''k1''');
SELECT streamproc.create_window('visits', 'event', 'session', gap => '9 minutes', keys => '{key}', aggregates => '{count(*) AS n,sum(v) AS s}');
SELECT streamproc.create_window('visits_final', 'event', 'session', gap => '6 minutes', keys => '{key}', emit => 'final', watermark => '0',
	grace => '2 minutes', aggregates => '{count(*) AS n,"string_agg(id::text, '','' ORDER BY id) AS ids"}', filter => 'v <> 3', group_filter => 'count(*) > 1');
SELECT streamproc.create_window('visits_a_day', 'visits', 'tumbling', size => '1 day', keys => '{key}', aggregates => '{count(*) AS n,max(n) AS longest}');
SELECT streamproc.create_window('velocity', 'event', 'sliding', size => '20 minutes', keys => '{key}', carry => '{id,v}',
	aggregates => '{count(*) AS n,sum(v) AS s,count(DISTINCT v) AS d}', filter => 'id % 11 > 0');
SELECT streamproc.create_window('velocity_closed', 'event', 'sliding', size => '6 minutes', bounds => '[]', aggregates => '{count(*) AS n,max(f) AS m}');
-- with a group_filter; and windows on sliding ones, which count what these have answered, whatever comes later
SELECT streamproc.create_window('velocity_high', 'event', 'sliding', size => '20 minutes', keys => '{key}', carry => '{id}',
	aggregates => '{count(*) AS n}', group_filter => 'count(*) > 2 AND sum(v) > 100');
SELECT streamproc.create_window('peaks', 'velocity', 'tumbling', size => '1 hour', keys => '{key}', aggregates => '{max(n) AS n,sum(s) AS s,count(*) AS rows}');
SELECT streamproc.create_window('peaks_high', 'velocity_high', 'hopping', size => '4 hours', slide => '1 hour', aggregates => '{max(n) AS n,count(*) AS rows}');
SELECT streamproc.create_window('peaks_a_day', 'peaks', 'cumulative', size => '1 day', slide => '6 hours', aggregates => '{max(n) AS n,sum(rows) AS rows}');
SELECT streamproc.create_window('velocity_brief', 'event', 'sliding', size => '10 minutes', retention => '3 hours', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('peaks_brief', 'velocity_brief', 'tumbling', size => '10 minutes', aggregates => '{max(n) AS n,count(*) AS rows}');
SELECT streamproc.create_window('total_brief', 'velocity_brief', 'global', aggregates => '{sum(n) AS n,count(*) AS rows}');
SELECT streamproc.wait_for();
CALL load(201, 230, 1);
CALL load(231, 800, 37);
CALL load(801, 1200, 400);
SELECT streamproc.wait_for();

-- some windows have missed rows, in part; what is there is nevertheless what should be
SELECT name, reason, count(*) > 10 AS many, count(missed_until) = count(*) AS in_part
	FROM (SELECT relation AS name, reason, missed_until FROM streamproc.rejected_row WHERE source = 'event'::regclass) r
	GROUP BY 1, 2 ORDER BY name::text, 2;
CREATE FUNCTION verified() RETURNS TABLE (name regclass, kind text, rows int8, finals int8, differences int8) LANGUAGE plpgsql AS $$
DECLARE
	kept bool;
BEGIN
	FOR name, kind, kept IN SELECT d.relation, d.kind, d.retention IS NULL FROM streamproc.window_definition d
			WHERE d.relation::text !~ '\.' ORDER BY d.relation::text LOOP
		EXECUTE format('SELECT count(*), count(*) FILTER (WHERE is_final) FROM %s', name) INTO rows, finals;
		SELECT count(*) INTO differences FROM streamproc.verify(name) WHERE explained_by IS NULL;
		-- when old rows are deleted is the worker's affair
		IF NOT kept THEN
			rows := least(rows, 100);
			finals := least(finals, 100);
		END IF;
		RETURN NEXT;
	END LOOP;
END $$;
SELECT * FROM verified();
SELECT count(*) FILTER (WHERE n = 0) > 100 AS silent, count(*) FILTER (WHERE n > 0) > 100 AS heard FROM alive_awhile;

-- a sliding window says what was known: what came into the window of a row after it is told
SELECT name, count(*) > 10 AS some, min(explained_by), max(explained_by), count(*) FILTER (WHERE difference <> 'different') AS others
	FROM unnest('{velocity,velocity_closed}'::regclass[]) name, streamproc.verify(name) GROUP BY 1 ORDER BY name::text;
CREATE FUNCTION later(a velocity) RETURNS boolean LANGUAGE sql BEGIN ATOMIC
	SELECT EXISTS (SELECT FROM velocity b WHERE b.key IS NOT DISTINCT FROM a.key AND b.window_end > a.window_start AND b.window_end <= a.window_end
		AND (b.lsn, b.ordinal) > (a.lsn, a.ordinal));
END;
SELECT count(*) AS told, count(*) FILTER (WHERE later(w)) AS later FROM streamproc.verify('velocity') d JOIN velocity w ON w.id = (d.key->>'id')::int;
-- what the windows on sliding ones have counted is what these have answered: nothing needs to be explained
SELECT name, (SELECT count(*) FROM streamproc.verify(name)) FROM unnest('{peaks,peaks_high,peaks_a_day,peaks_brief}'::regclass[]) name;
SELECT count(*) > 0 AS some, min(explained_by), max(explained_by) FROM streamproc.verify('velocity_high');
-- rows that came in order leave nothing to a group_filter either
CREATE TABLE calm (id int, v int, ts timestamptz);
INSERT INTO calm SELECT g, g % 10, '2026-03-28'::timestamptz + g * interval '1 minute' FROM generate_series(1, 300) g;
SELECT streamproc.create_stream('calm', 'ts');
SELECT streamproc.create_window('calm_high', 'calm', 'sliding', size => '5 minutes', keys => '{v % 2 AS odd}', carry => '{id}',
	aggregates => '{sum(v) AS s}', group_filter => 'sum(v) > 9 AND min(v) <> 3');
SELECT streamproc.wait_for();
INSERT INTO calm SELECT g, g % 10, '2026-03-28'::timestamptz + g * interval '1 minute' FROM generate_series(301, 600) g;
SELECT streamproc.wait_for();
SELECT count(*), (SELECT count(*) FROM streamproc.verify('calm_high')) AS differences FROM calm_high;

-- and what isn't what should be is found
UPDATE hops SET n = n + 1 WHERE window_start = '2026-03-28 20:00+00' AND key = 'k1';
DELETE FROM so_far WHERE window_end = '2026-03-29 02:00+00' AND key = 'k2';
UPDATE hours SET window_start = window_start - interval '1 minute' WHERE window_end = '2026-03-29 06:00+00' AND key IS NULL;
UPDATE shifts SET n = n - 1 WHERE window_end = '2026-03-29 04:00+00';
UPDATE alive SET s = 0 WHERE s IS NULL AND key = 'k3' AND window_start = (SELECT min(window_start) FROM alive WHERE key = 'k3' AND n = 0);
UPDATE peaks SET rows = rows + 1 WHERE key = 'k1' AND window_start = '2026-03-28 20:00+00';
DELETE FROM peaks_high WHERE window_start = '2026-03-29 02:00+00';
UPDATE peaks_brief SET n = n + 1 WHERE window_end = (SELECT max(window_end) FROM peaks_brief WHERE is_final);
SELECT difference, window_start, (actual->>'rows')::int - (expected->>'rows')::int AS rows, explained_by FROM streamproc.verify('peaks');
SELECT difference, window_start, actual, explained_by FROM streamproc.verify('peaks_high');
SELECT difference, (actual->>'n')::int - (expected->>'n')::int AS n, explained_by FROM streamproc.verify('peaks_brief');
SELECT * FROM streamproc.verify('hops');
SELECT difference, window_start, key, expected IS NULL AS not_expected, actual IS NULL AS not_there, explained_by FROM streamproc.verify('so_far');
SELECT difference, window_start, key, expected = actual AS same, explained_by FROM streamproc.verify('hours') ORDER BY window_start;
SELECT difference, window_start, (expected->>'n')::int - (actual->>'n')::int AS n, explained_by FROM streamproc.verify('shifts');
SELECT difference, key, expected, actual FROM streamproc.verify('alive');
UPDATE velocity w SET n = n + 1 WHERE id = (SELECT max(id) FROM velocity w WHERE id < 1100 AND NOT later(w));
DELETE FROM velocity WHERE id = 600;
SELECT difference, key, (actual->>'n')::int - (expected->>'n')::int AS n FROM streamproc.verify('velocity') WHERE explained_by IS NULL ORDER BY key->'id';

-- A row that is changed when some of its windows are past grace: those stay as they are, which is told.
CREATE TABLE deleted (id int, v int, ts timestamptz);
CREATE TABLE updated (LIKE deleted);
ALTER TABLE deleted REPLICA IDENTITY FULL;
ALTER TABLE updated REPLICA IDENTITY FULL;
SELECT streamproc.create_stream(t::regclass, 'ts', watermark => '0', idle_timeout => '1 day', on_update => 'retract')
	FROM unnest('{deleted,updated}'::text[]) t;
SELECT streamproc.create_window(t || '_' || e, t::regclass, 'hopping', size => '3 minutes', slide => '1 minute', emit => e,
	aggregates => '{sum(v) AS s}') FROM unnest('{deleted,updated}'::text[]) t, unnest('{update,final}'::text[]) e;
SELECT streamproc.wait_for();
INSERT INTO deleted VALUES (1, 10, '2026-01-01 12:00:30+00'), (2, 1, '2026-01-01 12:02:10+00');
INSERT INTO updated TABLE deleted;
DELETE FROM deleted WHERE id = 1;
UPDATE updated SET v = 20 WHERE id = 1;
INSERT INTO deleted VALUES (3, 100, '2026-01-01 12:05+00');
INSERT INTO updated VALUES (3, 100, '2026-01-01 12:05+00');
SELECT streamproc.wait_for();
SELECT window_start, d.s AS deleted, u.s AS updated FROM deleted_final d FULL JOIN updated_final u USING (window_start) ORDER BY 1;
SELECT name, difference, window_start, expected, actual, explained_by FROM unnest('{deleted_final,deleted_update,updated_final,updated_update}'::regclass[]) name,
	streamproc.verify(name) ORDER BY name::text, window_start;

-- Where late rows are dropped, not only rows can be missing: without them a session begins later, a row satisfies its
-- group_filter, and another one of those that repeat each other counts.
CREATE TABLE dropping (id int, k int, ts timestamptz);
SELECT streamproc.create_stream('dropping', 'ts', watermark => '0', idle_timeout => '1 day', late => 'drop');
SELECT streamproc.create_window('drop_sessions', 'dropping', 'session', gap => '10 minutes', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('drop_singles', 'dropping', 'tumbling', size => '1 hour', aggregates => '{count(*) AS n}', group_filter => 'count(*) < 2');
SELECT streamproc.create_window('drop_hours', 'dropping', 'tumbling', size => '1 hour', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('drop_counts', 'drop_hours', 'tumbling', size => '1 day', keys => '{n}', aggregates => '{count(*) AS hours}');
CREATE TABLE repeating (LIKE dropping);
SELECT streamproc.create_stream('repeating', 'ts', watermark => '1 hour', idle_timeout => '1 day', late => 'drop', dedup_key => '{k}', dedup_within => '1 hour');
SELECT streamproc.create_window('drop_repeated', 'repeating', 'tumbling', size => '10 minutes', aggregates => '{count(*) AS n}');
SELECT streamproc.wait_for();
INSERT INTO dropping VALUES (1, 1, '2026-01-01 12:05+00');
INSERT INTO dropping VALUES (2, 1, '2026-01-01 13:00+00');
INSERT INTO dropping VALUES (3, 1, '2026-01-01 12:00+00'), (4, 1, '2026-01-03 12:00+00');
INSERT INTO repeating VALUES (1, 1, '2026-01-01 12:30+00');
INSERT INTO repeating VALUES (2, 1, '2026-01-01 12:10+00');
INSERT INTO repeating VALUES (3, 2, '2026-01-01 18:00+00');
SELECT streamproc.wait_for();
SELECT name, difference, window_start, key, expected, actual, explained_by
	FROM unnest('{drop_sessions,drop_singles,drop_hours,drop_counts,drop_repeated}'::regclass[]) name, streamproc.verify(name) ORDER BY name::text, window_start, 2;

-- A column with a default is added: the rows rejected before are those that they were.
CREATE TABLE widened (id int, key int, ts timestamptz) PARTITION BY LIST (key);
CREATE TABLE widened_1 PARTITION OF widened FOR VALUES IN (1);
CREATE TABLE widened_2 (id int, key int, ts timestamptz);
SELECT count(*) FROM unnest('{widened,widened_2}'::text[]) t, streamproc.create_stream(t::regclass, time_column => 'ts', watermark => '5 minutes', idle_timeout => '1 day');
SELECT count(*) FROM unnest('{widened,widened_2}'::text[]) t, streamproc.create_window('of_' || t, t::regclass, kind => 'tumbling', size => '1 minute',
	keys => '{key}', aggregates => '{count(*) AS n}');
SELECT streamproc.wait_for();
INSERT INTO widened VALUES (1, 1, '2026-01-01 10:00+00'), (2, 1, '2026-01-01 11:00+00');
INSERT INTO widened VALUES (3, 1, '2026-01-01 10:00:30+00');
INSERT INTO widened_2 TABLE widened ORDER BY id LIMIT 2;
INSERT INTO widened_2 SELECT * FROM widened WHERE id = 3;
ALTER TABLE widened ADD COLUMN more int DEFAULT 7, ADD COLUMN at timestamptz DEFAULT '2026-01-01 00:00+01', ADD COLUMN note text;
ALTER TABLE widened_2 ADD COLUMN more int DEFAULT 7, ADD COLUMN at timestamptz DEFAULT '2026-01-01 00:00+01', ADD COLUMN note text;
INSERT INTO widened (id, key, ts, more) VALUES (4, 1, '2026-01-01 10:00:30+00', 7), (5, 1, '2026-01-01 10:00:31+00', NULL);
INSERT INTO widened_2 (id, key, ts, more) VALUES (4, 1, '2026-01-01 10:00:30+00', 7), (5, 1, '2026-01-01 10:00:31+00', NULL);
SELECT streamproc.wait_for();
SELECT name, count(*) AS rejected FROM streamproc.dead_letter WHERE name IN ('of_widened'::regclass, 'of_widened_2'::regclass) GROUP BY 1 ORDER BY 1;
SELECT count(*) AS differences FROM unnest('{of_widened,of_widened_2}'::regclass[]) w, streamproc.verify(w);

SET client_min_messages = warning;
DROP SCHEMA verify_test CASCADE;
