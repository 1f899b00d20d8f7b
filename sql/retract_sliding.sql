--
-- Sliding windows of a stream with on_update => 'retract': an answer that has counted a row that is taken back is given
-- again without it; an UPDATE at the same time and key counts as if the row had come so.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA retract_sliding_test;
SET search_path = retract_sliding_test, public;

-- ---- By hand ----

CREATE TABLE payment (id int PRIMARY KEY, who text, amount int, ts timestamptz, note text);
ALTER TABLE payment REPLICA IDENTITY FULL;
SELECT streamproc.create_stream('payment', time_column => 'ts', watermark => '1 minute', idle_timeout => '1 day', on_update => 'retract');
SELECT streamproc.create_window('velocity', 'payment', kind => 'sliding', size => '5 minutes', keys => '{who}', carry => '{id AS id}',
	aggregates => '{count(*) AS n, sum(amount) AS total, max(amount) AS peak}', filter => 'amount <> 0');
SELECT streamproc.create_window('busy', 'payment', kind => 'sliding', size => '5 minutes', keys => '{who}', carry => '{id AS id}',
	aggregates => '{count(*) AS n}', group_filter => 'count(*) >= 3', filter => 'amount <> 0');
SELECT streamproc.create_detector('watch', 'velocity', method => 'rule', rules => ARRAY['true AS "Came"'], carry => '{id AS payment, n AS n, total AS total}');
-- A window isn't told of answers that change: it can't read them.
SELECT streamproc.create_window('upper', 'velocity', kind => 'tumbling', size => '1 minute', aggregates => '{sum(n) AS n}');
SELECT streamproc.wait_for();
INSERT INTO payment VALUES (1, 'ann', 1, '2026-03-01 12:00+00'), (2, 'ann', 2, '2026-03-01 12:01+00'), (3, 'ann', 4, '2026-03-01 12:02+00'),
	(4, 'bob', 8, '2026-03-01 12:02+00'), (5, 'ann', 16, '2026-03-01 12:05+00'), (6, 'ann', 32, '2026-03-01 12:05+00');
SELECT streamproc.wait_for();
SELECT window_start, window_end, who, id, n, total, peak, is_final, revision FROM velocity ORDER BY id;
SELECT id, n FROM busy ORDER BY id;
-- A row goes: those after it count one less, as long as they could see it.
DELETE FROM payment WHERE id = 2;
SELECT streamproc.wait_for();
SELECT id, n, total, peak, revision FROM velocity ORDER BY id;
SELECT id, n FROM busy ORDER BY id;
-- It is another one, at its time: in its place.
UPDATE payment SET amount = 64 WHERE id = 3;
SELECT streamproc.wait_for();
SELECT id, n, total, peak, revision FROM velocity ORDER BY id;
-- Nothing that counts is changed.
UPDATE payment SET note = 'seen';
SELECT streamproc.wait_for();
SELECT id, n, total, peak, revision FROM velocity ORDER BY id;
-- Another time, another key, left out: it comes now, or goes. Those that came before don't count it.
UPDATE payment SET ts = '2026-03-01 12:04+00' WHERE id = 3;
UPDATE payment SET who = 'bob' WHERE id = 5;
UPDATE payment SET amount = 0 WHERE id = 1;
SELECT streamproc.wait_for();
SELECT window_end, who, id, n, total, peak, revision FROM velocity ORDER BY id;
SELECT id, n FROM busy ORDER BY id;
-- In one transaction, in any order; what is rolled back never was.
BEGIN;
INSERT INTO payment VALUES (7, 'cid', 1, '2026-03-01 12:05+00'), (8, 'cid', 2, '2026-03-01 12:05+00'), (9, 'cid', 4, '2026-03-01 12:06+00');
UPDATE payment SET amount = amount * 10 WHERE who = 'cid';
DELETE FROM payment WHERE id = 8;
SAVEPOINT s;
TRUNCATE payment;
ROLLBACK TO s;
INSERT INTO payment VALUES (8, 'cid', 3, '2026-03-01 12:06+00');
COMMIT;
SELECT streamproc.wait_for();
SELECT window_end, id, n, total, peak, revision FROM velocity WHERE who = 'cid' ORDER BY id;
SELECT id, n FROM busy ORDER BY id;
-- What reads the window has had each answer once, as it was when the event came, or its UPDATE.
SELECT payment, n, total FROM watch ORDER BY watch.lsn, ordinal;
-- Past grace all stays as it is.
INSERT INTO payment VALUES (10, 'x', 1, '2026-03-01 12:12+00');
SELECT streamproc.wait_for();
DELETE FROM payment WHERE id IN (6, 9);
UPDATE payment SET amount = 5 WHERE id = 5;
SELECT streamproc.wait_for();
SELECT window_end, who, id, n, total, peak, revision FROM velocity ORDER BY id;
SELECT rows, late, retracted, ignored FROM streamproc.status WHERE name = 'velocity'::regclass;
-- TRUNCATE takes all back that isn't.
BEGIN;
INSERT INTO payment VALUES (11, 'x', 2, '2026-03-01 12:12+00');
TRUNCATE payment;
INSERT INTO payment VALUES (12, 'x', 4, '2026-03-01 12:13+00');
COMMIT;
SELECT streamproc.wait_for();
SELECT window_end, id, n, total, peak, revision FROM velocity WHERE who = 'x' ORDER BY id;
SELECT streamproc.drop_stream('payment', cascade => true);

-- ---- Against plain SQL ----

-- When a row has come: it is new when it is inserted and when it is updated, unless it then has the time, and the key, that it had
-- when the transaction began, and was counted then. Times are those of one row only.
\i test/sql/differences.sql
\i test/sql/entries.sql
ALTER TABLE entry ADD came bigint, ADD came_to_all bigint, ADD began jsonb, ADD txn bigint;
CREATE SEQUENCE comings;
CREATE FUNCTION note_coming() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'INSERT' THEN
		NEW.began := NULL;
	ELSIF OLD.txn <> txid_current() THEN
		NEW.began := CASE WHEN OLD.n % 11 <> 0 THEN to_jsonb(OLD) - 'began' END;
	END IF;
	NEW.txn := txid_current();
	NEW.came := nextval('retract_sliding_test.comings');
	NEW.came_to_all := NEW.came;
	IF NEW.ts = (NEW.began->>'ts')::timestamp THEN
		NEW.came_to_all := NEW.began->'came_to_all';
		IF NEW.k IS NOT DISTINCT FROM (NEW.began->>'k')::int THEN
			NEW.came := NEW.began->'came';
		END IF;
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER note_coming BEFORE INSERT OR UPDATE ON entry FOR EACH ROW EXECUTE FUNCTION note_coming();
CALL begin_entries();
SELECT streamproc.create_stream('entry', time_column => 'ts', watermark => '30 seconds', idle_timeout => '1 day', on_update => 'retract');
CREATE FUNCTION make_window(name text, filter text = NULL, more jsonb = '{}') RETURNS void LANGUAGE sql AS $$
	SELECT streamproc.create_window(name, 'retract_sliding_test.entry', kind => 'sliding', size => '20 seconds', grace => '1 day',
		keys => ARRAY['k'], filter => 'n % 11 <> 0', group_filter => filter, carry => ARRAY['id AS id', 's AS s'],
		trigger => coalesce(more->>'trigger', '0')::interval, bounds => more->>'bounds', changes => more ? 'trigger',
		aggregates => retract_sliding_test.entry_aggregates())
$$;
SELECT make_window('answers');
SELECT make_window('closed', NULL, '{"bounds": "[]"}');
SELECT make_window('many', 'count(*) >= 4 AND sum(n) > 100');
SELECT make_window('slow', NULL, '{"trigger": "1 hour"}');
SELECT streamproc.create_window('native', 'entry', kind => 'sliding', size => '20 seconds', grace => '1 day', keys => '{k}',
	filter => 'n % 11 <> 0', carry => '{id AS id}', aggregates => '{count(*) AS c, sum(n) AS total, max(n) AS high}');
SELECT streamproc.create_window('everybody', 'entry', kind => 'sliding', size => '1 minute', grace => '1 day',
	filter => 'n % 11 <> 0', carry => '{id AS id}', aggregates => '{count(*) AS c, sum(n) AS total, sum(d) AS money}');
SELECT streamproc.wait_for();
CREATE FUNCTION expected(size interval, by_key bool, closed bool) RETURNS TABLE (window_start timestamp, window_end timestamp, k int,
	id int, s text, c bigint, total bigint, low float8, high float8, mean numeric, money numeric, weight numeric, list int[], names bigint,
	even text, middle float8, any_large bool, spread numeric, nhigh int)
LANGUAGE sql AS $$
	SELECT e.ts - size, e.ts, e.k, e.id, e.s, a.* FROM entry e CROSS JOIN LATERAL (
		SELECT count(*), sum(n), min(x), max(x), avg(n), sum(d), round(sum(x)::numeric, 6), array_agg(n ORDER BY n, id),
			count(DISTINCT s), string_agg(left(s, 3), ',' ORDER BY s, id) FILTER (WHERE n % 2 = 0),
			percentile_cont(0.5) WITHIN GROUP (ORDER BY x), bool_or(n > 50), stddev(n), max(n)
		FROM entry b WHERE b.n % 11 <> 0 AND (b.k IS NOT DISTINCT FROM e.k OR NOT by_key) AND CASE WHEN by_key THEN b.came <= e.came ELSE b.came_to_all <= e.came_to_all END AND b.ts <= e.ts
			AND (b.ts > e.ts - size OR (closed AND b.ts = e.ts - size))) a
	WHERE e.n % 11 <> 0
$$;
CREATE FUNCTION differences() RETURNS TABLE (name text, n bigint) LANGUAGE plpgsql AS $$
DECLARE
	r record;
	wide constant text := 'window_start, window_end, k, id, s, c, total, low, high, mean, money, round(weight::numeric, 6), list, names, even,
		middle, any_large, spread';
BEGIN
	FOR r IN SELECT * FROM (VALUES
		('answers', '20 s', true, false, 'true', wide), ('closed', '20 s', true, true, 'true', wide), ('slow', '20 s', true, false, 'true', wide),
		('many', '20 s', true, false, 'c >= 4 AND total > 100', wide),
		('native', '20 s', true, false, 'true', 'window_start, window_end, k, id, c, total, nhigh'),
		('everybody', '1 min', false, false, 'true', 'window_start, window_end, id, c, total, money')) v (w, size, by_key, closed, filter, columns)
	LOOP
		n := differences(format('SELECT %s FROM expected(%L, %L, %L) WHERE %s', r.columns, r.size, r.by_key, r.closed, r.filter),
			format('SELECT %s FROM %I', replace(r.columns, 'nhigh', 'high'), r.w));
		IF n > 0 THEN
			name := r.w;
			RETURN NEXT;
		END IF;
	END LOOP;
	RETURN QUERY SELECT * FROM unverified('answers', 'closed', 'slow', 'native', 'everybody');
	RETURN QUERY SELECT 'changes', m FROM misled('slow', '{lsn,ordinal}', '{total,revision}') m WHERE m > 0;
END
$$;
SELECT * FROM differences();

-- Random changes.
SELECT setseed(0.53);
CALL changes(60, 1);
SELECT streamproc.wait_for();
SELECT * FROM differences();
SELECT count(*) > 50 AS answers, max(c) > 5 AS windows, max(revision) > 3 AS amended FROM answers;
CALL changes(60, 3);
SELECT streamproc.wait_for();
SELECT * FROM differences();
SELECT name, state, late, rejected, retracted > 100 AS retracted, ignored FROM streamproc.status
	WHERE name IN ('answers'::regclass, 'slow'::regclass) ORDER BY name::text;
-- Many rows, thinned out, changed, and gone.
INSERT INTO entry (id, k, n, x, d, s, ts)
	SELECT i, 9, i % 100 * 11 + 1, i, i, 'copy', timestamp '2026-03-01' + i * interval '0.3 seconds' FROM generate_series(10001, 10400) i;
SELECT streamproc.wait_for();
DELETE FROM entry WHERE k = 9 AND id % 5 = 0;
SELECT streamproc.wait_for();
SELECT * FROM differences();
UPDATE entry SET n = n + 11 WHERE k = 9 AND id % 3 = 0;
SELECT streamproc.wait_for();
SELECT * FROM differences();
DELETE FROM entry WHERE k = 9 AND id > 10050;
SELECT streamproc.wait_for();
SELECT * FROM differences();
TRUNCATE entry;
SELECT streamproc.wait_for();
SELECT * FROM differences();
SELECT (SELECT count(*) FROM answers) AS answers, (SELECT count(*) FROM many) AS many;
CALL changes(40, 5);
SELECT streamproc.wait_for();
SELECT * FROM differences();
SELECT streamproc.drop_stream('entry', cascade => true);

-- ---- Thousands of one key and one time ----

-- All is in one window, so that an answer has counted the rows before its own: each is numbered by them. The last ones have
-- come, with an early time, after those from 8001 to 8400: neither counts the other.
CREATE TABLE burst (id int, k int, x int, ts timestamptz);
ALTER TABLE burst REPLICA IDENTITY FULL;
SELECT streamproc.create_stream('burst', time_column => 'ts', watermark => '1 minute', idle_timeout => '1 day', on_update => 'retract');
SELECT streamproc.create_window('numbered', 'burst', kind => 'sliding', size => '1 hour', keys => '{k}', carry => '{id AS id}',
	aggregates => '{count(*) AS n, sum(x) AS total}');
SELECT streamproc.create_window('alike', 'burst', kind => 'sliding', size => '1 hour', keys => '{k}', aggregates => '{count(*) AS n}');
CREATE VIEW burst_differences AS
WITH expected AS (
	SELECT k, id, row_number() OVER earlier AS n, sum(x) OVER earlier AS total FROM burst WHERE id <= 8400
	WINDOW earlier AS (PARTITION BY k ORDER BY id)
	UNION ALL
	SELECT * FROM (
		SELECT k, id, row_number() OVER earlier AS n, sum(x) OVER earlier AS total FROM burst WHERE id NOT BETWEEN 8001 AND 8400
		WINDOW earlier AS (PARTITION BY k ORDER BY id)) late
	WHERE id > 8400),
e AS (SELECT * FROM expected EXCEPT SELECT k, id, n, total FROM numbered),
a AS (SELECT k, id, n, total FROM numbered EXCEPT SELECT * FROM expected),
n AS (SELECT k, n FROM expected EXCEPT ALL SELECT k, n FROM alike),
m AS (SELECT k, n FROM alike EXCEPT ALL SELECT k, n FROM expected)
SELECT (SELECT count(*) FROM burst) AS rows, (SELECT count(*) FROM e) AS missing, (SELECT count(*) FROM a) AS wrong,
	(SELECT count(*) FROM n) AS alike_missing, (SELECT count(*) FROM m) AS alike_wrong;
SELECT streamproc.wait_for();
INSERT INTO burst SELECT i, i % 2, i % 7, '2026-03-01 12:00+00' FROM generate_series(1, 8000) i;
INSERT INTO burst SELECT i, i % 2, i % 7, timestamptz '2026-03-01 12:00+00' + (i - 8000) * interval '10 ms' FROM generate_series(8001, 8400) i;
SELECT streamproc.wait_for();
SELECT * FROM burst_differences;
-- In the order in which they came, all but every tenth; the others backwards, and new ones in the same transaction.
DELETE FROM burst WHERE id <= 7000 AND id % 10 > 1;
SELECT streamproc.wait_for();
SELECT * FROM burst_differences;
BEGIN;
DO $$ BEGIN
	FOR i IN REVERSE 1000 .. 1 LOOP
		DELETE FROM burst WHERE id = i * 7;
	END LOOP;
END $$;
INSERT INTO burst SELECT i, i % 2, i % 7, '2026-03-01 12:00+00' FROM generate_series(8401, 9000) i;
DELETE FROM burst WHERE id BETWEEN 7001 AND 8400 AND id % 3 = 0;
COMMIT;
SELECT streamproc.wait_for();
SELECT * FROM burst_differences;
SELECT streamproc.drop_stream('burst', cascade => true);

SET client_min_messages = warning;
DROP SCHEMA retract_sliding_test CASCADE;
