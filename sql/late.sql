--
-- Late rows: the watermark, grace, drop and dead letters, rows from the future, rows without a time.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA late_test;
SET search_path = late_test, public;

CREATE TABLE event (id int, ts timestamptz);
SELECT streamproc.create_stream('event', time_column => 'ts', watermark => '30 seconds', idle_timeout => '1 day');
SELECT streamproc.create_window('strict', 'event', kind => 'tumbling', size => '1 minute',
	aggregates => ARRAY['count(*) AS n', 'max(id) AS last']);
SELECT streamproc.create_window('kind', 'event', kind => 'tumbling', size => '1 minute', grace => '2 minutes',
	aggregates => ARRAY['count(*) AS n', 'max(id) AS last']);
SELECT streamproc.create_window('patient', 'event', kind => 'tumbling', size => '1 minute', grace => '1 day',
	aggregates => ARRAY['count(*) AS n', 'max(id) AS last']);
SELECT streamproc.wait_for();

-- Closed at exactly 10:01:30, by the largest time so far.
INSERT INTO event VALUES (1, '2026-01-01 10:00:00+00');
INSERT INTO event VALUES (2, '2026-01-01 10:01:29.999999+00');
INSERT INTO event VALUES (3, '2026-01-01 10:00:59+00');
SELECT streamproc.wait_for();
SELECT window_start, n, last, is_final FROM strict ORDER BY 1;
INSERT INTO event VALUES (4, '2026-01-01 10:01:30+00');
-- Late for one; within the grace of the others, whose final rows are amended.
INSERT INTO event VALUES (5, '2026-01-01 10:00:59.999999+00');
SELECT streamproc.wait_for();
SELECT window_start, n, last, is_final FROM strict ORDER BY 1;
SELECT window_start, n, last, is_final FROM kind ORDER BY 1;
SELECT window_start, n, last, is_final FROM patient ORDER BY 1;
SELECT name, reason, event_time, row_data FROM streamproc.dead_letter
WHERE source = 'event'::regclass ORDER BY id;

-- The watermark moves at commits: one transaction in the wrong order is not late against itself.
BEGIN;
INSERT INTO event VALUES (6, '2026-01-01 12:00:00+00');
INSERT INTO event VALUES (7, '2026-01-01 10:01:45+00');
COMMIT;
INSERT INTO event VALUES (8, '2026-01-01 10:01:46+00');
SELECT streamproc.wait_for();
SELECT window_start, n, last, is_final FROM strict ORDER BY 1;
SELECT window_start, n, last, is_final FROM kind ORDER BY 1;
SELECT name, row_data->>'id' AS id FROM streamproc.dead_letter WHERE source = 'event'::regclass ORDER BY id;

-- A clock that is wrong by years is counted, and closes nothing.
INSERT INTO event VALUES (9, '2126-01-01 00:00:00+00');
INSERT INTO event VALUES (10, '2026-01-01 12:00:10+00');
-- No time, no window.
INSERT INTO event VALUES (11, NULL), (12, 'infinity'), (13, '-infinity');
SELECT streamproc.wait_for();
SELECT window_start, n, last, is_final FROM strict ORDER BY 1;
SELECT name, reason, row_data->>'id' AS id FROM streamproc.dead_letter
WHERE source = 'event'::regclass AND (row_data->>'id')::int > 8 ORDER BY id;
SELECT name, kind, watermark, rows, late, rejected FROM streamproc.status
WHERE name IN ('event'::regclass, 'strict'::regclass, 'kind'::regclass);
SELECT * FROM streamproc.verify('strict');
SELECT * FROM streamproc.verify('kind');
SELECT * FROM streamproc.verify('patient');

-- Dropped instead: counted, and verify() says where a difference comes from.
CREATE TABLE sparse (id int, ts timestamp);
SELECT streamproc.create_stream('sparse', time_column => 'ts', watermark => '0', late => 'drop', idle_timeout => '1 day');
SELECT streamproc.create_window('sparse_minute', 'sparse', kind => 'tumbling', size => '1 minute',
	aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.wait_for();
INSERT INTO sparse VALUES (1, '2026-01-01 10:00:00');
INSERT INTO sparse VALUES (2, '2026-01-01 10:05:00');
INSERT INTO sparse VALUES (3, '2026-01-01 10:00:30');
SELECT streamproc.wait_for();
SELECT window_start, n, is_final FROM sparse_minute ORDER BY 1;
SELECT count(*) FROM streamproc.dead_letter WHERE source = 'sparse'::regclass;
SELECT * FROM streamproc.verify('sparse_minute');

-- Without a time column rows are never late: their time is that of their commit.
CREATE TABLE note (word text);
SELECT streamproc.create_stream('note');
SELECT streamproc.create_window('note_day', 'note', kind => 'tumbling', size => '1 day',
	aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.wait_for();
INSERT INTO note VALUES ('now'), ('then');
SELECT streamproc.wait_for();
SELECT sum(n), bool_and(window_start <= now() AND window_end > now() - interval '1 minute') AS today FROM note_day;

SET client_min_messages = warning;
DROP SCHEMA late_test CASCADE;
