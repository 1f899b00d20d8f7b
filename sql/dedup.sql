--
-- dedup_key and dedup_within: rows that repeat others reach neither windows nor detectors.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA dedup_test;
SET search_path = dedup_test, public;

-- What the definition says, row by row; rows were committed in order of id, all of one txn together.
CREATE TABLE verdict (id int, verdict text);
CREATE FUNCTION judge(source regclass, within interval, watermark interval) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	r record;
	admitted timestamptz[];
	horizon timestamptz;
	newest timestamptz;
	txn int;
	v text;
BEGIN
	CREATE TEMP TABLE memory (k int, word text, ts timestamptz);
	CREATE INDEX ON memory (k);
	TRUNCATE verdict;
	FOR r IN EXECUTE format('SELECT * FROM %s ORDER BY id', source) LOOP
		IF r.txn IS DISTINCT FROM txn THEN
			horizon := newest - watermark - within;
			txn := r.txn;
		END IF;
		IF r.ts <= now() + interval '1 minute' THEN
			newest := greatest(newest, nullif(r.ts, '-infinity'));
		END IF;
		IF r.ts IS NULL THEN
			v := 'null_time';
		ELSIF r.k IS NULL OR r.word IS NULL OR NOT isfinite(r.ts) THEN
			v := 'admitted';
		ELSIF r.ts < horizon THEN
			v := 'dedup_late';
		ELSE
			SELECT array_agg(m.ts) INTO admitted FROM memory m
			WHERE m.k = r.k AND m.word = r.word AND m.ts - r.ts < within AND r.ts - m.ts < within;
			IF admitted IS NULL THEN
				v := 'admitted';
				INSERT INTO memory VALUES (r.k, r.word, r.ts);
			ELSIF r.ts >= ANY (admitted) THEN
				v := 'counted';
			ELSE
				v := 'duplicate';
			END IF;
		END IF;
		INSERT INTO verdict VALUES (r.id, v);
	END LOOP;
	DROP TABLE memory;
END $$;

-- Rows of a few keys with and without nulls, in disorder: some far behind, some far ahead, some without a time.
CREATE FUNCTION some_row(i bigint, OUT id int, OUT k int, OUT word text, OUT ts timestamptz, OUT txn int) LANGUAGE sql AS $$
	SELECT i::int, nullif(i * 7919 % 8, 7)::int, CASE WHEN i * 104729 % 5 > 0 THEN repeat('w', (i * 31 % 2 + 1)::int) END,
		CASE WHEN i % 97 = 5 THEN NULL WHEN i % 97 = 6 THEN 'infinity' WHEN i % 97 = 7 THEN '-infinity'
		WHEN i % 97 = 8 THEN '2126-01-01 00:00+00'::timestamptz + i % 2 * interval '20 seconds'
		ELSE '2026-01-01 10:00+00'::timestamptz + i * interval '0.9 seconds'
			- (i * 1299709 % 61) * interval '1 second' - (i % 29 / 28) * (i * 7907 % 400) * interval '1 second' END,
		NULL::int
$$;
-- Commits of 1, 2, 3 ... rows.
CREATE PROCEDURE insert_rows(target regclass, first int, last int) LANGUAGE plpgsql AS $$
DECLARE
	i int := first;
	n int := 1;
BEGIN
	WHILE i <= last LOOP
		EXECUTE format('INSERT INTO %s (id, k, word, ts, txn) SELECT r.id, r.k, r.word, r.ts, %s FROM '
			'generate_series(%s, %s) i, LATERAL dedup_test.some_row(i) r ORDER BY i',
			target, i, i, least(i + n - 1, last));
		COMMIT;
		i := i + n;
		n := n % 25 + 1;
	END LOOP;
END $$;

CREATE TABLE event (id int, k int, word text, ts timestamptz, txn int);
CREATE TABLE click (LIKE event) USING streamproc;
CREATE TABLE part (LIKE event) PARTITION BY LIST (k);
CREATE TABLE part_0 PARTITION OF part FOR VALUES IN (0, 1, 2, 3);
CREATE TABLE part_1 (gone int, ts timestamptz, word text, k int, txn int, id int);
ALTER TABLE part_1 DROP COLUMN gone;
ALTER TABLE part ATTACH PARTITION part_1 DEFAULT;
SELECT streamproc.create_stream(s, 'ts', watermark => '20 seconds', idle_timeout => '1 day',
	dedup_key => '{k, word}', dedup_within => '30 seconds') FROM unnest('{event, click, part}'::regclass[]) s;
SELECT streamproc.create_window('event_minute', 'event', kind => 'tumbling', size => '1 minute',
	keys => ARRAY['k'], aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids']);
SELECT streamproc.create_window('part_minute', 'part', kind => 'tumbling', size => '1 minute', grace => '30 seconds',
	keys => ARRAY['k'], aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids']);
SELECT streamproc.create_window('event_total', 'event', kind => 'global', filter => 'id > 0',
	aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids']);
SELECT streamproc.create_window('click_total', 'click', kind => 'global',
	aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids']);
SELECT streamproc.create_window('event_hopping', 'event', kind => 'hopping', size => '1 minute', slide => '20 seconds',
	keys => ARRAY['k'], aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids']);
SELECT streamproc.create_window('event_cumulative', 'event', kind => 'cumulative', size => '1 minute', slide => '30 seconds',
	emit => 'update', keys => ARRAY['k'], aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids']);
SELECT streamproc.create_window('event_sliding', 'event', kind => 'sliding', size => '1 minute', carry => ARRAY['id'],
	keys => ARRAY['k'], aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids']);
-- sees every row that the stream admits
SELECT streamproc.create_detector(s || '_admitted', s::regclass, method => 'rule', rules => ARRAY['true AS "Here"'],
	carry => ARRAY['id AS event_id']) FROM unnest('{event, click, part}'::text[]) s;
SELECT streamproc.wait_for();
CALL insert_rows('event', 1, 2000);
CALL insert_rows('click', 1, 2000);
CALL insert_rows('part', 1, 2000);
SELECT streamproc.wait_for();

SELECT judge('event', '30 seconds', '20 seconds');
SELECT verdict, count(*) > 10 AS some FROM verdict GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM (SELECT id FROM verdict WHERE verdict = 'admitted' EXCEPT SELECT event_id FROM event_admitted) x;
SELECT count(*) FROM (SELECT event_id FROM event_admitted EXCEPT SELECT id FROM verdict WHERE verdict = 'admitted') x;
SELECT count(*) FROM (SELECT event_id FROM click_admitted EXCEPT SELECT event_id FROM event_admitted) x;
SELECT count(*) FROM (SELECT event_id FROM event_admitted EXCEPT SELECT event_id FROM click_admitted) x;
SELECT count(*) FROM (SELECT event_id FROM part_admitted EXCEPT SELECT event_id FROM event_admitted) x;
SELECT count(*) FROM (SELECT event_id FROM event_admitted EXCEPT SELECT event_id FROM part_admitted) x;
SELECT count(*) FROM (SELECT event_id, count(*) FROM event_admitted GROUP BY 1 HAVING count(*) > 1) x;
SELECT s.name, s.rows, s.late = v.late AS late, s.duplicates = v.duplicates AS duplicates, s.rejected = v.rejected AS rejected
FROM streamproc.status s, (SELECT count(*) FILTER (WHERE verdict = 'dedup_late') AS late,
	count(*) FILTER (WHERE verdict IN ('counted', 'duplicate')) AS duplicates,
	count(*) FILTER (WHERE verdict IN ('dedup_late', 'duplicate', 'null_time')) AS rejected FROM verdict) v
WHERE name IN ('event'::regclass, 'click'::regclass, 'part'::regclass) ORDER BY name::text;
SELECT count(*) AS wrong FROM (SELECT reason, (row_data->>'id')::int AS id FROM streamproc.dead_letter WHERE name = 'event'::regclass) d
	FULL JOIN (SELECT * FROM verdict WHERE verdict NOT IN ('counted', 'admitted')) v USING (id) WHERE verdict IS DISTINCT FROM reason;
SELECT t.n = v.n AS n, t.ids = v.ids AS ids FROM event_total t, (SELECT count(*) AS n, sum(id) AS ids FROM verdict
	WHERE verdict = 'admitted') v;
SELECT t.n = e.n AS n, t.ids = e.ids AS ids FROM click_total t, event_total e;
-- Minutes without the rows that the window itself found late.
SELECT count(*) > 50 AS some, count(*) FILTER (WHERE w.n IS DISTINCT FROM o.n OR w.ids IS DISTINCT FROM o.ids) AS wrong
FROM event_minute w FULL JOIN (SELECT date_bin('1 minute', ts, '2026-01-01 00:00+00') AS window_start, k, count(*) AS n, sum(id) AS ids
	FROM event JOIN verdict USING (id) WHERE verdict = 'admitted' AND isfinite(ts) AND id NOT IN
	(SELECT (row_data->>'id')::int FROM streamproc.dead_letter WHERE name = 'event_minute'::regclass) GROUP BY 1, 2) o
ON o.window_start = w.window_start AND o.k IS NOT DISTINCT FROM w.k WHERE coalesce(isfinite(w.window_start), true);
SELECT * FROM streamproc.verify('event_minute');
SELECT * FROM streamproc.verify('event_total');
SELECT * FROM streamproc.verify('part_minute');
SELECT * FROM streamproc.verify('event_hopping');
SELECT * FROM streamproc.verify('event_cumulative');
SELECT DISTINCT explained_by FROM streamproc.verify('event_sliding');
SELECT count(*) AS wrong FROM event_sliding s JOIN verdict USING (id) WHERE verdict <> 'admitted';

-- Windows that are made now see the same rows in history, but for those that only a window found late.
SELECT streamproc.create_window('event_later', 'event', kind => 'global', filter => 'id > 0',
	aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids']);
SELECT streamproc.create_window('event_minute_later', 'event', kind => 'tumbling', size => '1 minute',
	keys => ARRAY['k'], aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids']);
SELECT streamproc.create_detector('event_admitted_later', 'event', method => 'rule', rules => ARRAY['true AS "Here"'],
	carry => ARRAY['id AS event_id']);
SELECT streamproc.wait_for();
SELECT l.n = t.n AS n, l.ids = t.ids AS ids FROM event_later l, event_total t;
SELECT * FROM streamproc.verify('event_minute_later');
SELECT count(*) FROM (SELECT event_id FROM event_admitted_later EXCEPT SELECT event_id FROM event_admitted) x;
SELECT count(*) FROM (SELECT event_id FROM event_admitted EXCEPT SELECT event_id FROM event_admitted_later) x;
-- What comes then is compared with all that came before, and a column may have another name by then.
ALTER TABLE event RENAME COLUMN word TO "the word";
ALTER TABLE event RENAME COLUMN k TO key;
ALTER TABLE event RENAME COLUMN "the word" TO word;
ALTER TABLE event RENAME COLUMN key TO k;
ALTER TABLE event ADD COLUMN more int;
CALL insert_rows('event', 2001, 3000);
SELECT streamproc.wait_for();
SELECT judge('event', '30 seconds', '20 seconds');
SELECT t.n = v.n AS n, t.ids = v.ids AS ids, t.n = l.n AS n_later, t.ids = l.ids AS ids_later
FROM event_total t, event_later l, (SELECT count(*) AS n, sum(id) AS ids FROM verdict WHERE verdict = 'admitted') v;
SELECT * FROM streamproc.verify('event_minute');
SELECT * FROM streamproc.verify('event_minute_later');
SELECT * FROM streamproc.verify('event_later');
\set VERBOSITY terse
ALTER TABLE event DROP COLUMN word;
ALTER TABLE event ALTER COLUMN k TYPE bigint;
\set VERBOSITY default

-- The table has rows from before the stream: their duplicates come as history of a window, and after it.
CREATE TABLE old (id int, k int, ts timestamp);
INSERT INTO old VALUES (1, 1, '2026-01-01 10:00:00'), (2, 1, '2026-01-01 10:00:30'), (3, 1, '2026-01-01 10:01:00'),
	(4, 2, '2026-01-01 10:01:30'), (5, 3, '2026-01-01 10:01:40');
SELECT streamproc.create_stream('old', 'ts', idle_timeout => '1 day', dedup_key => '{k}', dedup_within => '1 minute');
SELECT streamproc.create_window('old_from_now', 'old', kind => 'global', aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids'],
	backfill => false);
SELECT streamproc.wait_for();
INSERT INTO old VALUES (6, 1, '2026-01-01 10:01:50');	-- repeats 3
INSERT INTO old VALUES (7, 2, '2026-01-01 10:01:20');	-- repeats 4, which is later: in history the earlier one counts
SELECT streamproc.create_window('old_total', 'old', kind => 'global', aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids']);
SELECT streamproc.create_window('old_minute', 'old', kind => 'tumbling', size => '1 minute',
	aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids']);
SELECT streamproc.wait_for();
SELECT 1 + 3 + 5 + 7 AS ids, n, t.ids FROM old_total t;
INSERT INTO old VALUES (8, 1, '2026-01-01 10:01:59.999999');	-- repeats 3
INSERT INTO old VALUES (9, 1, '2026-01-01 10:02:00');			-- doesn't
INSERT INTO old VALUES (10, 3, '2026-01-01 10:01:00');			-- repeats 5, which is later and stays
INSERT INTO old VALUES (11, 2, '2026-01-01 10:02:19');			-- repeats 7
INSERT INTO old VALUES (12, 2, '2026-01-01 10:02:20');			-- doesn't
SELECT streamproc.wait_for();
SELECT 1 + 3 + 5 + 7 + 9 + 12 AS ids, n, t.ids FROM old_total t;
SELECT 6 + 7 + 9 + 12 AS ids, n, t.ids FROM old_from_now t;
SELECT * FROM streamproc.verify('old_total');
SELECT * FROM streamproc.verify('old_minute');
SELECT name, reason, row_data->>'id' AS id FROM streamproc.dead_letter WHERE source = 'old'::regclass ORDER BY streamproc.dead_letter.id;
SELECT name, rows, late, duplicates FROM streamproc.status WHERE name = 'old'::regclass;

-- Of equal keys and times the first one committed counts; where copies differ, verify() can't know and says so.
INSERT INTO old VALUES (13, 5, '2026-01-01 10:03:00'), (14, 5, '2026-01-01 10:03:00');
UPDATE old SET id = id WHERE id = 13;
INSERT INTO old VALUES (15, 6, '2026-01-01 10:10:00');
SELECT streamproc.wait_for();
SELECT difference, window_start, expected, actual, explained_by FROM streamproc.verify('old_minute');

-- Dates; late => 'drop' keeps no dead letters.
CREATE TABLE daily (id int, k text, day date);
SELECT streamproc.create_stream('daily', 'day', watermark => '1 day', idle_timeout => '1 day', late => 'drop',
	dedup_key => '{k}', dedup_within => '3 days');
SELECT streamproc.create_window('daily_total', 'daily', kind => 'global', aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids']);
SELECT streamproc.wait_for();
INSERT INTO daily VALUES (1, 'a', '2026-01-01'), (2, 'a', '2026-01-03'), (4, 'a', '2026-01-04'), (8, 'a', '2026-01-07'), (16, 'b', '0044-03-15 BC');
INSERT INTO daily VALUES (32, 'a', '2026-01-03'), (64, 'b', '2026-01-02'), (128, 'a', 'infinity'), (256, 'a', 'infinity');
INSERT INTO daily VALUES (512, 'c', '5874897-12-31'), (1024, 'c', '5874897-12-31');
SELECT streamproc.wait_for();
-- 32 repeats 4; 64 is four days behind the watermark
SELECT 1 + 4 + 8 + 16 + 128 + 256 + 512 + 1024 AS ids, n, t.ids FROM daily_total t;
SELECT name, late, duplicates, rejected FROM streamproc.status WHERE name = 'daily'::regclass;
SELECT count(*) FROM streamproc.verify('daily_total') WHERE explained_by IS NULL;

-- By commit time.
CREATE TABLE note (id int, word text);
SELECT streamproc.create_stream('note', dedup_key => '{word}', dedup_within => '1 hour');
SELECT streamproc.create_window('note_total', 'note', kind => 'global', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('note_total', 'note', kind => 'global', aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids'],
	backfill => false);
SELECT streamproc.wait_for();
INSERT INTO note VALUES (1, 'a'), (2, 'a'), (4, 'b'), (8, NULL), (16, NULL);
INSERT INTO note VALUES (32, 'a'), (64, 'c');
SELECT streamproc.wait_for();
SELECT 1 + 4 + 8 + 16 + 64 AS ids, n, t.ids FROM note_total t;

-- A type whose functions a user wrote: what they throw is the row's affair.
CREATE DOMAIN simple AS text;
CREATE TYPE careful AS (n numeric);
CREATE FUNCTION careful_cmp(x careful, y careful) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT numeric_cmp(x.n, y.n)';
CREATE FUNCTION careful_lt(x careful, y careful) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT x.n < y.n';
CREATE FUNCTION careful_eq(x careful, y careful) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF x.n = 13 OR y.n = 13 THEN
		RAISE EXCEPTION 'unlucky';
	END IF;
	RETURN x.n = y.n;
END $$;
CREATE FUNCTION careful_hash(x careful) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF x.n < 0 THEN
		RAISE EXCEPTION 'negative';
	END IF;
	RETURN 1;
END $$;
CREATE OPERATOR < (LEFTARG = careful, RIGHTARG = careful, FUNCTION = careful_lt);
CREATE OPERATOR = (LEFTARG = careful, RIGHTARG = careful, FUNCTION = careful_eq, HASHES, MERGES);
CREATE OPERATOR CLASS careful_ops DEFAULT FOR TYPE careful USING hash AS OPERATOR 1 =, FUNCTION 1 careful_hash(careful);
CREATE OPERATOR CLASS careful_ops DEFAULT FOR TYPE careful USING btree AS OPERATOR 1 <, OPERATOR 3 =, FUNCTION 1 careful_cmp;
CREATE TABLE careless (id int, k careful, word simple, ts timestamptz);
SELECT streamproc.create_stream('careless', 'ts', idle_timeout => '1 day', dedup_key => '{k, word}', dedup_within => '1 minute');
SELECT streamproc.create_window('careless_total', 'careless', kind => 'global', aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids']);
SELECT streamproc.wait_for();
INSERT INTO careless VALUES (1, ROW(1), 'a', '2026-01-01 10:00+00'), (2, ROW(2), 'a', '2026-01-01 10:00+00'),
	(4, ROW(13), 'a', '2026-01-01 10:00+00'), (8, ROW(1.0), 'a', '2026-01-01 10:00+00'),
	(16, ROW(-1), 'a', '2026-01-01 10:00+00'), (32, ROW(1), 'b', '2026-01-01 10:00+00'),
	(64, ROW(2.00), 'a', '2026-01-01 10:00+00'), (128, NULL, 'a', '2026-01-01 10:00+00');
SELECT streamproc.wait_for();
SELECT 1 + 2 + 32 + 128 AS ids, n, t.ids FROM careless_total t;
SELECT name, reason, sqlstate, message, row_data->>'id' AS id FROM streamproc.dead_letter WHERE source = 'careless'::regclass ORDER BY 5;
SELECT state FROM streamproc.status WHERE name = 'careless'::regclass;
SELECT * FROM streamproc.verify('careless_total');

-- The time column may be part of the key: then only rows of one time repeat one another.
CREATE TABLE exact (id int, ts timestamptz);
SELECT streamproc.create_stream('exact', 'ts', idle_timeout => '1 day', dedup_key => '{id, ts}', dedup_within => '1 hour');
SELECT streamproc.create_window('exact_total', 'exact', kind => 'global', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.wait_for();
INSERT INTO exact SELECT i / 2, '2026-01-01 10:00+00'::timestamptz + i / 2 * interval '1 second' FROM generate_series(0, 199) i;
INSERT INTO exact VALUES (1, '2026-01-01 10:00:01.000001+00'), (1, '2026-01-01 10:00:01+00');
SELECT streamproc.wait_for();
SELECT n FROM exact_total;
SELECT * FROM streamproc.verify('exact_total');

-- Of a row that was dropped nothing is left. The history of another window may then have it, and not the later one
-- that it repeats; what a running window sees doesn't change by that.
CREATE TABLE forgotten (id int, k int, ts timestamptz);
SELECT streamproc.create_stream('forgotten', 'ts', late => 'drop', idle_timeout => '1 day', watermark => '1 minute',
	dedup_key => '{k}', dedup_within => '10 seconds');
SELECT streamproc.create_window('forgotten_ids', 'forgotten', kind => 'global', aggregates => ARRAY['array_agg(id ORDER BY id) AS ids']);
SELECT streamproc.wait_for();
INSERT INTO forgotten VALUES (1, 7, '2026-01-01 10:00:20+00');
INSERT INTO forgotten VALUES (2, 7, '2026-01-01 10:00:15+00');
SELECT streamproc.create_window('forgotten_later', 'forgotten', kind => 'global', aggregates => ARRAY['array_agg(id ORDER BY id) AS ids']);
SELECT streamproc.wait_for();
INSERT INTO forgotten VALUES (3, 7, '2026-01-01 10:00:27+00'), (4, 7, '2026-01-01 10:00:40+00');
SELECT streamproc.wait_for();
SELECT a.ids, b.ids AS later FROM forgotten_ids a, forgotten_later b;

-- In plain SQL.
SELECT id, streamproc.is_duplicate(ts, '1 minute') OVER (PARTITION BY k ORDER BY ts) FROM old WHERE k = 1 ORDER BY id;
SELECT day, streamproc.is_duplicate(day, '3 days') OVER (ORDER BY day) FROM daily WHERE k = 'a' ORDER BY id;
SELECT streamproc.is_duplicate(now(), '1 day') OVER (), streamproc.is_duplicate(NULL::timestamptz, '1 day') OVER () FROM generate_series(1, 2);
SELECT streamproc.is_duplicate(now(), '0') OVER ();
SELECT streamproc.is_duplicate(now(), NULL) OVER ();

SET client_min_messages = warning;
DROP SCHEMA dedup_test CASCADE;
