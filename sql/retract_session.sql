--
-- Session windows of a stream with on_update => 'retract': without the rows that are taken back sessions are shorter, or
-- more than one, or none, as plain SQL over the rows that are there has it.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA retract_session_test;
SET search_path = retract_session_test, public;

-- ---- By hand ----

CREATE TABLE visit (id int PRIMARY KEY, person text, n int, ts timestamptz, note text);
ALTER TABLE visit REPLICA IDENTITY FULL;
SELECT streamproc.create_stream('visit', time_column => 'ts', watermark => '1 minute', idle_timeout => '1 day', on_update => 'retract');
SELECT streamproc.create_window('stay', 'visit', kind => 'session', gap => '10 minutes', keys => '{person}', grace => '15 minutes',
	aggregates => '{count(*) AS visits, sum(n) AS total, max(n) AS peak}', filter => 'n > 0');
SELECT streamproc.create_window('done', 'visit', kind => 'session', gap => '10 minutes', keys => '{person}', grace => '15 minutes',
	emit => 'final', aggregates => '{count(*) AS visits, sum(n) AS total}', filter => 'n > 0');
SELECT streamproc.create_window('by_hour', 'done', kind => 'tumbling', size => '1 hour', aggregates => '{count(*) AS sessions, sum(visits) AS visits}');
SELECT streamproc.create_window('rare', 'visit', kind => 'session', gap => '10 minutes', keys => '{person}', grace => '15 minutes',
	aggregates => '{count(*) AS visits, sum(n) AS total}', filter => 'n > 0', group_filter => 'count(*) >= 3');
SELECT streamproc.wait_for();
INSERT INTO visit VALUES (1, 'ann', 1, '2026-03-01 12:00+00'), (2, 'ann', 2, '2026-03-01 12:08+00'), (3, 'ann', 4, '2026-03-01 12:16+00'),
	(4, 'ann', 8, '2026-03-01 12:24+00'), (5, 'ann', 16, '2026-03-01 12:24+00'), (6, 'bob', 1, '2026-03-01 12:20+00');
SELECT streamproc.wait_for();
SELECT * FROM stay ORDER BY person, window_start;
-- In the middle: two of one.
DELETE FROM visit WHERE id = 3;
SELECT streamproc.wait_for();
SELECT window_start, window_end, person, visits, total, peak, is_final FROM stay ORDER BY person, window_start;
-- And one again; and two, with another row between them.
INSERT INTO visit VALUES (3, 'ann', 32, '2026-03-01 12:15+00');
SELECT streamproc.wait_for();
SELECT window_start, window_end, person, visits, total, peak, is_final FROM stay ORDER BY person, window_start;
SELECT window_start, person, visits, total FROM rare;
UPDATE visit SET ts = '2026-03-01 12:10+00' WHERE id = 3;
SELECT streamproc.wait_for();
SELECT window_start, window_end, person, visits, total, peak, is_final FROM stay ORDER BY person, window_start;
-- At its front, at its back, one of two of the same time, and the last one of a key.
DELETE FROM visit WHERE id = 1;
UPDATE visit SET person = 'bob' WHERE id = 5;
DELETE FROM visit WHERE id = 4;
SELECT streamproc.wait_for();
SELECT window_start, window_end, person, visits, total, peak, is_final FROM stay ORDER BY person, window_start;
SELECT count(*) FROM rare;
-- What the filter leaves out, and what changes nothing.
UPDATE visit SET n = 0 WHERE id = 6;
UPDATE visit SET note = 'seen';
SELECT streamproc.wait_for();
SELECT window_start, window_end, person, visits, total, peak, is_final FROM stay ORDER BY person, window_start;
-- Within a transaction in any order; what is rolled back never was.
BEGIN;
INSERT INTO visit SELECT 10 + i, 'cid', i, '2026-03-01 12:00+00'::timestamptz + i * interval '6 minutes' FROM generate_series(1, 5) i;
DELETE FROM visit WHERE id = 12;
UPDATE visit SET ts = ts + interval '1 minute', n = n + 1 WHERE id > 12;
SAVEPOINT s;
DELETE FROM visit;
TRUNCATE visit;
ROLLBACK TO s;
INSERT INTO visit VALUES (12, 'cid', 100, '2026-03-01 12:27+00');
DELETE FROM visit WHERE id = 13;
COMMIT;
SELECT streamproc.wait_for();
SELECT window_start, window_end, person, visits, total, peak, is_final FROM stay WHERE person = 'cid' ORDER BY window_start;
SELECT count(*) FROM done;

-- The watermark stands at 12:32. A final session is amended within grace, and may end in two, each final.
INSERT INTO visit VALUES (20, 'dan', 1, '2026-03-01 12:23+00'), (21, 'dan', 2, '2026-03-01 12:28+00'), (22, 'dan', 4, '2026-03-01 12:33+00'),
	(23, 'gus', 1, '2026-03-01 12:18+00'), (24, 'gus', 2, '2026-03-01 12:27+00');
INSERT INTO visit VALUES (30, 'x', 1, '2026-03-01 12:45+00');
SELECT streamproc.wait_for();
SELECT window_start, window_end, person, visits, total, is_final FROM done ORDER BY person, window_start;
DELETE FROM visit WHERE id = 21;
SELECT streamproc.wait_for();
SELECT window_start, window_end, visits, total, is_final FROM done WHERE person = 'dan' ORDER BY window_start;
SELECT window_start, window_end, visits, total, is_final FROM stay WHERE person = 'dan' ORDER BY window_start;
-- A row that goes ends a session earlier: it is final, or over, at once.
INSERT INTO visit VALUES (31, 'eve', 1, '2026-03-01 12:27+00'), (32, 'eve', 2, '2026-03-01 12:36+00'), (33, 'eve', 4, '2026-03-01 12:44+00');
SELECT streamproc.wait_for();
SELECT window_start, window_end, visits, is_final FROM stay WHERE person = 'eve' ORDER BY window_start;
DELETE FROM visit WHERE id = 33;
SELECT streamproc.wait_for();
SELECT window_start, window_end, visits, is_final FROM stay WHERE person = 'eve' ORDER BY window_start;
DELETE FROM visit WHERE id = 32;
SELECT streamproc.wait_for();
SELECT window_start, window_end, visits, is_final FROM stay WHERE person = 'eve' ORDER BY window_start;
SELECT window_start, window_end, visits, is_final FROM done WHERE person = 'eve' ORDER BY window_start;
DELETE FROM visit WHERE id = 24;
SELECT streamproc.wait_for();
DELETE FROM visit WHERE id = 23;
SELECT streamproc.wait_for();
SELECT window_start, window_end, visits, is_final FROM stay WHERE person = 'gus' ORDER BY window_start;
-- Past grace all stays as it is. What is old doesn't make a session longer at its front; later in it, it does count.
INSERT INTO visit VALUES (40, 'fay', 1, '2026-03-01 12:51+00');
INSERT INTO visit VALUES (41, 'x', 1, '2026-03-01 13:16+00');
INSERT INTO visit VALUES (42, 'fay', 2, '2026-03-01 12:43+00'), (43, 'fay', 4, '2026-03-01 13:00+00');
INSERT INTO visit VALUES (44, 'x', 1, '2026-03-01 13:18+00');
INSERT INTO visit VALUES (45, 'fay', 8, '2026-03-01 12:52+00');
DELETE FROM visit WHERE person IN ('ann', 'eve');
UPDATE visit SET n = 1000 WHERE id = 20;
SELECT streamproc.wait_for();
SELECT window_start, window_end, person, visits, total, is_final FROM stay ORDER BY person, window_start;
SELECT name, rows, late, retracted, ignored FROM streamproc.status WHERE name = 'stay'::regclass;
SELECT row_data->>'id' AS id FROM streamproc.dead_letter WHERE name = 'stay'::regclass ORDER BY 1;
SELECT difference, expected, actual, explained_by FROM streamproc.verify('stay') ORDER BY difference, expected, actual;
-- What reads the window has had each session once, when it was over.
INSERT INTO visit VALUES (50, 'x', 1, '2026-03-01 15:00+00');
SELECT streamproc.wait_for();
SELECT window_start, sessions, visits, is_final FROM by_hour ORDER BY 1;
SELECT count(*), sum(visits) FROM done WHERE window_end - interval '1 us' < '2026-03-01 13:00+00';
-- TRUNCATE takes all back that isn't past grace.
INSERT INTO visit VALUES (51, 'ann', 1, '2026-03-01 14:57+00');
BEGIN;
INSERT INTO visit VALUES (52, 'ann', 2, '2026-03-01 14:59+00');
DELETE FROM visit WHERE id = 51;
TRUNCATE visit;
INSERT INTO visit VALUES (53, 'ann', 4, '2026-03-01 14:58+00');
COMMIT;
SELECT streamproc.wait_for();
SELECT window_start, window_end, person, visits, total, is_final FROM stay WHERE window_end > '2026-03-01 14:00+00' ORDER BY person, window_start;
SELECT streamproc.drop_stream('visit', cascade => true);

-- ---- Against plain SQL: nothing is past grace ----

\i test/sql/differences.sql
\i test/sql/entries.sql
CALL begin_entries();
SELECT streamproc.create_stream('entry', time_column => 'ts', watermark => '30 seconds', idle_timeout => '1 day', on_update => 'retract');
CREATE FUNCTION make_window(name text, emit text) RETURNS void LANGUAGE sql AS $$
	SELECT streamproc.create_window(name, 'retract_session_test.entry', kind => 'session', gap => '20 seconds', grace => '1 day', emit => emit,
		keys => ARRAY['k'], filter => 'n % 11 <> 0', aggregates => retract_session_test.entry_aggregates())
$$;
SELECT make_window('stays', 'update');
SELECT make_window('stays_final', 'final');
SELECT streamproc.create_window('native', 'entry', kind => 'session', gap => '20 seconds', grace => '1 day',
	keys => '{k}', filter => 'n % 11 <> 0', aggregates => '{count(*) AS c, sum(n) AS total}');
SELECT streamproc.create_window('slow', 'entry', kind => 'session', gap => '20 seconds', grace => '1 day', trigger => '1 hour',
	keys => '{k}', filter => 'n % 11 <> 0', aggregates => '{count(*) AS c, sum(n) AS total}', changes => true);
SELECT streamproc.wait_for();
CREATE VIEW expected AS
	WITH begun AS (SELECT *, ts - lag(ts) OVER k < '20 s' AS goes_on FROM entry WHERE n % 11 <> 0 WINDOW k AS (PARTITION BY k ORDER BY ts)),
		numbered AS (SELECT *, count(*) FILTER (WHERE goes_on IS NOT TRUE) OVER (PARTITION BY k ORDER BY ts) AS session FROM begun)
	SELECT min(ts) AS window_start, max(ts) + interval '20 s' AS window_end, k, count(*) AS c, sum(n) AS total, min(x) AS low,
		max(x) AS high, avg(n) AS mean, sum(d) AS money, round(sum(x)::numeric, 6) AS weight,
		array_agg(n ORDER BY n, id) AS list, count(DISTINCT s) AS names,
		string_agg(left(s, 3), ',' ORDER BY s, id) FILTER (WHERE n % 2 = 0) AS even,
		percentile_cont(0.5) WITHIN GROUP (ORDER BY x) AS middle, bool_or(n > 50) AS any_large, stddev(n) AS spread
	FROM numbered GROUP BY k, session;
CREATE FUNCTION differences() RETURNS TABLE (name text, n bigint) LANGUAGE plpgsql AS $$
DECLARE
	closed timestamp := (SELECT watermark AT TIME ZONE 'UTC' FROM streamproc.status s WHERE s.name = 'entry'::regclass);
	columns text;
BEGIN
	FOR name IN VALUES ('stays'), ('stays_final'), ('native'), ('slow') LOOP
		columns := CASE WHEN name LIKE 'stays%' THEN 'window_start, window_end, k, c, total, low, high, mean, money,
			round(weight::numeric, 6), list, names, even, middle, any_large, spread' ELSE 'window_start, window_end, k, c, total' END;
		n := differences(format('SELECT %s, window_end <= %L AS is_final FROM expected WHERE NOT %L OR window_end <= %2$L', columns, closed,
			name LIKE '%final'), format('SELECT %s, is_final FROM %I', columns, name));
		IF n > 0 THEN
			RETURN NEXT;
		END IF;
	END LOOP;
	RETURN QUERY SELECT * FROM unverified('stays', 'stays_final', 'native', 'slow');
	RETURN QUERY SELECT 'changes', m FROM misled('slow', '{window_start,k}', '{total}') m WHERE m > 0;
END
$$;
SELECT * FROM differences();

-- Random changes.
SELECT setseed(0.43);
CALL changes(60, 1);
SELECT streamproc.wait_for();
SELECT * FROM differences();
SELECT (SELECT count(*) FROM stays) > 20 AS stays, (SELECT count(*) FROM stays_final WHERE c > 2) > 5 AS stays_final;
CALL changes(60, 7);
SELECT streamproc.wait_for();
SELECT * FROM differences();
CALL changes(40, 40);
SELECT streamproc.wait_for();
SELECT * FROM differences();
SELECT name, state, late, rejected, retracted > 100 AS retracted, ignored FROM streamproc.status
	WHERE name IN ('stays'::regclass, 'stays_final'::regclass, 'slow'::regclass) ORDER BY name::text;
-- Many rows of one session, all of them changed, thinned out, and gone.
INSERT INTO entry SELECT i, 9, i % 100, i, i, 'copy', timestamp '2026-03-01' + i * interval '2 seconds'
	FROM generate_series(1001, 4000) i;
UPDATE entry SET n = n + 1 WHERE k = 9;
SELECT streamproc.wait_for();
SELECT * FROM differences();
DELETE FROM entry WHERE k = 9 AND id % 50 < 20;
SELECT streamproc.wait_for();
SELECT * FROM differences();
SELECT count(*) FROM native WHERE k = 9;
UPDATE entry SET ts = timestamp '2026-03-01' + (id % 3) * interval '1 hour' WHERE k = 9;
SELECT streamproc.wait_for();
SELECT * FROM differences();
DELETE FROM entry WHERE k = 9;
SELECT streamproc.wait_for();
SELECT * FROM differences();
TRUNCATE entry;
SELECT streamproc.wait_for();
SELECT * FROM differences();
SELECT (SELECT count(*) FROM stays) AS stays, (SELECT count(*) FROM stays_final) AS stays_final;
CALL changes(40, 5);
SELECT streamproc.wait_for();
SELECT * FROM differences();
-- One that is created later, or built anew, counts what is there, and goes on from it.
SELECT streamproc.pause('stays');
CALL changes(20, 3);
SELECT streamproc.resume('stays');
CALL changes(20, 3);
SELECT streamproc.wait_for();
SELECT * FROM differences();
SELECT streamproc.drop_stream('entry', cascade => true);

-- ---- With a short grace: late rows, rows past grace, equal ones of which some are late ----

CREATE TABLE click (id int PRIMARY KEY, k int, n int, ts timestamptz);
ALTER TABLE click REPLICA IDENTITY FULL;
-- What was done to it, in order.
CREATE TABLE done_to (seq serial, txn bigint, op text, id int, k int, n int, ts timestamptz, updated boolean);
CREATE FUNCTION note_click() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP <> 'INSERT' THEN
		INSERT INTO done_to (txn, op, id, k, n, ts) VALUES (txid_current(), '-', OLD.id, OLD.k, OLD.n, OLD.ts);
	END IF;
	IF TG_OP <> 'DELETE' THEN
		INSERT INTO done_to (txn, op, id, k, n, ts, updated) VALUES (txid_current(), '+', NEW.id, NEW.k, NEW.n, NEW.ts, TG_OP = 'UPDATE');
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER note_click AFTER INSERT OR UPDATE OR DELETE ON click FOR EACH ROW EXECUTE FUNCTION note_click();
SELECT streamproc.create_stream('click', time_column => 'ts', watermark => '10 seconds', idle_timeout => '1 day', on_update => 'retract');
SELECT streamproc.create_window('click_stay', 'click', kind => 'session', gap => '6 seconds', grace => '8 seconds', keys => '{k}',
	aggregates => '{count(*) AS c, sum(n) AS total}');
SELECT streamproc.create_window('click_list', 'click', kind => 'session', gap => '6 seconds', grace => '8 seconds', keys => '{k}',
	emit => 'final', aggregates => '{"array_agg(n ORDER BY n) AS list", min(n) AS low}');
SELECT streamproc.create_detector('click_seen', 'click_list', method => 'rule', rules => '{low IS NOT NULL AS Seen}', keys => '{k}',
	carry => '{window_start AS began, list AS list}');
SELECT streamproc.wait_for();
-- Rows that count, found without forgetting anything: what a transaction writes first, then what it takes back.
CREATE TABLE counted (id int, k int, n int, ts timestamptz, closed boolean DEFAULT false, dead boolean DEFAULT false);
CREATE TABLE tally (late int DEFAULT 0, retracted int DEFAULT 0, ignored int DEFAULT 0);
INSERT INTO tally DEFAULT VALUES;
CREATE VIEW counted_sessions AS
	WITH begun AS (SELECT *, ts - lag(ts) OVER k < '6 s' AS goes_on FROM counted WINDOW k AS (PARTITION BY k ORDER BY ts)),
		numbered AS (SELECT *, count(*) FILTER (WHERE goes_on IS NOT TRUE) OVER (PARTITION BY k ORDER BY ts) AS session FROM begun)
	SELECT k, session, min(ts) AS first, max(ts) AS last, bool_or(closed) AS closed, count(*) AS c, sum(n) AS total,
		array_agg(n ORDER BY n) AS list, min(n) AS low FROM numbered GROUP BY k, session;
CREATE PROCEDURE replay() LANGUAGE plpgsql AS $$
DECLARE
	t bigint;
	r record;
	s record;
	largest timestamptz;
	watermark timestamptz;
	n int;
BEGIN
	FOR t IN SELECT txn FROM done_to GROUP BY txn ORDER BY min(seq) LOOP
		FOR r IN SELECT * FROM done_to WHERE txn = t AND op = '+' ORDER BY seq LOOP
			SELECT count(*) AS n, min(first) AS first, max(last) AS last, bool_or(closed) AS closed INTO s FROM counted_sessions c
				WHERE c.k IS NOT DISTINCT FROM r.k AND r.ts > c.first - interval '6 s' AND r.ts < c.last + interval '6 s';
			IF r.ts <= largest AND (greatest(r.ts, s.last) + interval '14 s' <= watermark OR s.closed OR
				(s.n > 0 AND r.ts < s.first AND r.ts + interval '14 s' <= watermark)) THEN
				UPDATE tally SET late = late + (NOT r.updated)::int, ignored = ignored + r.updated::int;
			ELSE
				INSERT INTO counted VALUES (r.id, r.k, r.n, r.ts);
			END IF;
		END LOOP;
		FOR r IN SELECT * FROM done_to WHERE txn = t AND op = '-' ORDER BY seq LOOP
			UPDATE counted c SET dead = true WHERE c.ctid = (SELECT e.ctid FROM counted e WHERE e.id = r.id AND e.ts = r.ts AND e.n = r.n
				AND e.k IS NOT DISTINCT FROM r.k AND NOT e.closed AND NOT e.dead LIMIT 1);
			GET DIAGNOSTICS n = ROW_COUNT;
			UPDATE tally SET retracted = retracted + n, ignored = ignored + 1 - n;
		END LOOP;
		DELETE FROM counted WHERE dead;
		largest := greatest(largest, (SELECT max(ts) FROM done_to WHERE txn = t AND op = '+'));
		watermark := largest - interval '10 s';
		UPDATE counted c SET closed = true FROM counted_sessions o WHERE NOT c.closed AND o.k IS NOT DISTINCT FROM c.k
			AND c.ts BETWEEN o.first AND o.last AND o.last + interval '14 s' <= watermark;
	END LOOP;
END $$;
-- Times are whole seconds, and values few, so that many rows are alike.
CREATE PROCEDURE clicks(count int) LANGUAGE plpgsql AS $$
DECLARE
	newest timestamptz;
	last int;
	draw float8;
BEGIN
	FOR i IN 1 .. count LOOP
		newest := coalesce((SELECT max(ts) FROM click), '2026-03-01 00:00+00');
		last := coalesce((SELECT max(id) FROM click), 0);
		draw := random();
		INSERT INTO click SELECT id, pick(id, draw) * 3, pick(id, draw + 1) * 2, newest + floor(pick(id, draw + 2) * 8 - 4) * interval '1 second'
			FROM generate_series(last + 1, last + 3) id;
		IF random() < 0.3 THEN
			INSERT INTO click SELECT id, pick(id, draw) * 3, pick(id, draw + 1) * 2, newest - floor(pick(id, draw + 2) * 40) * interval '1 second'
				FROM generate_series(last + 4, last + 6) id;
		END IF;
		IF random() < 0.7 THEN
			DELETE FROM click WHERE id IN (SELECT id FROM click WHERE ts > newest - interval '45 seconds' ORDER BY pick(id, draw + 3) LIMIT 2);
		END IF;
		IF random() < 0.5 THEN
			UPDATE click SET ts = ts - floor(pick(id, draw + 4) * 8 - 4) * interval '1 second'
				WHERE id IN (SELECT id FROM click WHERE ts > newest - interval '30 seconds' ORDER BY pick(id, draw + 5) LIMIT 2);
		END IF;
		IF random() < 0.4 THEN
			UPDATE click SET k = (k + 1) % 3, n = n + 1
				WHERE id IN (SELECT id FROM click WHERE ts > newest - interval '45 seconds' ORDER BY pick(id, draw + 6) LIMIT 1);
		END IF;
		IF i % 3 = 0 THEN
			COMMIT;
		END IF;
	END LOOP;
END $$;
SELECT setseed(0.47);
CALL clicks(300);
CALL replay();
SELECT streamproc.wait_for();
SELECT count(*) FROM (
	(SELECT first, last + interval '6 s', k, c, total FROM counted_sessions EXCEPT ALL SELECT window_start, window_end, k, c, total FROM click_stay)
	UNION ALL
	(SELECT window_start, window_end, k, c, total FROM click_stay EXCEPT ALL SELECT first, last + interval '6 s', k, c, total FROM counted_sessions)) d;
SELECT count(*) FROM (
	(SELECT first, last + interval '6 s', k, list, low FROM counted_sessions, streamproc.status
		WHERE name = 'click'::regclass AND last + interval '6 s' <= watermark EXCEPT ALL SELECT window_start, window_end, k, list, low FROM click_list)
	UNION ALL
	(SELECT window_start, window_end, k, list, low FROM click_list EXCEPT ALL SELECT first, last + interval '6 s', k, list, low FROM counted_sessions)) d;
SELECT s.late - t.late AS late, s.retracted - t.retracted AS retracted, s.ignored - t.ignored AS ignored,
	t.late > 30 AND t.retracted > 300 AND t.ignored > 100 AS there_are FROM streamproc.status s, tally t WHERE s.name = 'click_stay'::regclass;
-- Whoever reads the window had each session when it was over, as it is now.
SELECT count(*) FROM (
	(SELECT first, k, list FROM counted_sessions WHERE closed EXCEPT ALL SELECT began, k, list FROM click_seen)
	UNION ALL
	(SELECT began, k, list FROM click_seen EXCEPT ALL SELECT first, k, list FROM counted_sessions WHERE closed)) d;
SELECT count(*) FROM streamproc.verify('click_stay') WHERE explained_by IS NULL;

SET client_min_messages = warning;
DROP SCHEMA retract_session_test CASCADE;
