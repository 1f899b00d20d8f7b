--
-- Windows over windows: they take the rows of their source once, when nothing amends them any more.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA stacked_test;
SET search_path = stacked_test, public;

\i test/sql/differences.sql

-- By hand: the busiest minute of each five. A row of the upper window is that of its last microsecond.
CREATE TABLE visit (person text, ts timestamptz);
SELECT streamproc.create_stream('visit', time_column => 'ts', watermark => '0', idle_timeout => '1 day');
SELECT streamproc.create_window('by_minute', 'visit', kind => 'tumbling', size => '1 minute',
	aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('busiest', 'by_minute', kind => 'tumbling', size => '5 minutes',
	aggregates => ARRAY['max(n) AS most', 'count(*) AS minutes', 'sum(n) AS visits']);
SELECT streamproc.create_detector('busy', 'busiest', method => 'rule', rules => ARRAY['most > 2 AS busy'], carry => '{most}');
SELECT streamproc.wait_for();
INSERT INTO visit VALUES ('a', '2026-01-01 00:00:10'), ('b', '2026-01-01 00:00:20'), ('c', '2026-01-01 00:00:59.999999'),
	('a', '2026-01-01 00:01:00');
SELECT streamproc.wait_for();
SELECT * FROM busiest;
INSERT INTO visit VALUES ('d', '2026-01-01 00:04:59');
SELECT streamproc.wait_for();
SELECT window_start, most, minutes, visits, is_final FROM busiest;
-- closes the minute 00:04 and at once the five minutes: nothing of them is late
INSERT INTO visit VALUES ('e', '2026-01-01 00:05:00');
SELECT streamproc.wait_for();
SELECT window_start, most, minutes, visits, is_final FROM busiest;
-- ... which takes one more microsecond, since the watermark below is behind by that
INSERT INTO visit VALUES ('e', '2026-01-01 00:05:00.000001');
SELECT streamproc.wait_for();
SELECT window_start, most, minutes, visits, is_final FROM busiest;
SELECT event_time, most, alerts FROM busy;

-- Three storeys; grace in the middle; history first, then the stream; a restart.
CREATE TABLE event (id int, key int, value int, ts timestamptz);
SELECT streamproc.create_stream('event', time_column => 'ts', watermark => '20 seconds', idle_timeout => '1 day');
CREATE PROCEDURE load(from_id int, to_id int, batch int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 0 .. (to_id - from_id) / batch LOOP
		INSERT INTO event SELECT g, g % 4, g * 7919 % 1000,
			'2026-01-01 00:00+00'::timestamptz + g * interval '2.3 seconds' + g * 31 % 15 * interval '1 second'
			FROM generate_series(from_id + i * batch, least(from_id + (i + 1) * batch - 1, to_id)) g;
		COMMIT;
	END LOOP;
END $$;
CALL load(1, 500, 100);
SELECT streamproc.create_window('first', 'event', kind => 'tumbling', size => '10 seconds', keys => '{key}',
	aggregates => '{count(*) AS n,sum(value) AS s}');
SELECT streamproc.create_window('second', 'first', kind => 'hopping', size => '1 minute', slide => '20 seconds', keys => '{key}',
	grace => '30 seconds', aggregates => '{sum(n) AS n,max(s) AS high,count(*) AS parts}');
SELECT streamproc.create_window('third', 'second', kind => 'cumulative', size => '5 minutes', slide => '1 minute',
	aggregates => '{sum(n) AS n,max(high) AS high,count(*) AS parts}', filter => 'key > 0');
SELECT streamproc.create_window('live', 'first', kind => 'tumbling', size => '1 minute', emit => 'update',
	aggregates => '{sum(n) AS n,max(s) AS high}');
SELECT streamproc.wait_for();
CALL load(501, 700, 20);
-- on windows that have rows already
SELECT streamproc.create_window('later', 'second', kind => 'tumbling', size => '2 minutes', aggregates => '{sum(n) AS n,count(*) AS parts}');
SELECT streamproc.wait_for();
CALL load(701, 900, 1);
SELECT streamproc.stop();
CALL load(901, 1000, 10);
SELECT streamproc.start();
CALL load(1001, 1300, 60);
SELECT streamproc.wait_for();

CREATE VIEW first_sql_ AS SELECT w.*, key, count(*) AS n, sum(value) AS s FROM event, streamproc.tumble(ts, '10 seconds') w
	GROUP BY 1, 2, 3 HAVING w.window_end <= (SELECT max(ts) - interval '20 seconds' FROM event);
CREATE VIEW second_sql_ AS SELECT w.*, key, sum(n) AS n, max(s) AS high, count(*) AS parts
	FROM first_sql_ f, streamproc.hop(f.window_end - interval '1 microsecond', '20 seconds', '1 minute') w
	GROUP BY 1, 2, 3 HAVING w.window_end <= (SELECT max(ts) - interval '20.000001 seconds' FROM event);
CREATE VIEW sealed AS SELECT * FROM second_sql_
	WHERE window_end <= (SELECT max(ts) - interval '50.000001 seconds' FROM event);
CREATE VIEW third_sql_ AS SELECT w.*, sum(n) AS n, max(high) AS high, count(*) AS parts
	FROM sealed f, streamproc.cumulate(f.window_end - interval '1 microsecond', '1 minute', '5 minutes') w WHERE key > 0
	GROUP BY 1, 2 HAVING w.window_end <= (SELECT max(ts) - interval '50.000002 seconds' FROM event);
CREATE VIEW later_sql_ AS SELECT w.*, sum(n) AS n, count(*) AS parts
	FROM sealed f, streamproc.tumble(f.window_end - interval '1 microsecond', '2 minutes') w GROUP BY 1, 2;
CREATE VIEW live_sql_ AS SELECT w.*, sum(n) AS n, max(s) AS high
	FROM first_sql_ f, streamproc.tumble(f.window_end - interval '1 microsecond', '1 minute') w GROUP BY 1, 2;
SELECT differences('SELECT window_start, window_end, key, n, s FROM first WHERE is_final', 'SELECT * FROM first_sql_') AS first,
	differences('SELECT window_start, window_end, key, n, high, parts FROM second', 'SELECT * FROM second_sql_') AS second,
	differences('SELECT window_start, window_end, n, high, parts FROM third', 'SELECT * FROM third_sql_') AS third,
	differences('SELECT window_start, window_end, n, parts FROM later', 'SELECT * FROM later_sql_') AS later,
	differences('SELECT window_start, window_end, n, high FROM live', 'SELECT * FROM live_sql_') AS live;
SELECT (SELECT count(*) FROM third) > 20 AS third, (SELECT count(*) FROM later) > 15 AS later;
SELECT count(*) FROM streamproc.dead_letter WHERE name IN ('first'::regclass, 'second'::regclass, 'third'::regclass, 'later'::regclass);

-- What is read can't be dropped alone.
SELECT streamproc.drop_window('second');
SELECT streamproc.drop_window('second', cascade => true);
SELECT streamproc.wait_for();
SELECT name, kind, state FROM streamproc.status WHERE name IN ('event'::regclass, 'first'::regclass, 'live'::regclass)
	ORDER BY name::text;
SELECT to_regclass('third'), to_regclass('later');
CALL load(1301, 1350, 10);
SELECT streamproc.wait_for();
SELECT differences('SELECT window_start, window_end, n, high FROM live', 'SELECT * FROM live_sql_') AS live;

SET client_min_messages = warning;
DROP SCHEMA stacked_test CASCADE;
