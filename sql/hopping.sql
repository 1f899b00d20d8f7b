--
-- Hopping and cumulative windows: what they hold is what hop() and cumulate() make of the same rows in plain SQL.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA hopping_test;
SET search_path = hopping_test, public;

-- By hand: three minutes long, one each minute, seen when they are closed.
CREATE TABLE small (v int, ts timestamptz);
SELECT streamproc.create_stream('small', time_column => 'ts', watermark => '0', idle_timeout => '1 day');
SELECT streamproc.create_window('small_hop', 'small', kind => 'hopping', size => '3 minutes', slide => '1 minute',
	aggregates => ARRAY['count(*) AS n', 'sum(v) AS s', 'min(v) AS low', 'max(v) AS high']);
SELECT streamproc.create_window('small_cum', 'small', kind => 'cumulative', size => '3 minutes', slide => '1 minute',
	aggregates => ARRAY['count(*) AS n', 'sum(v) AS s', 'min(v) AS low', 'max(v) AS high']);
SELECT streamproc.create_window('small_live', 'small', kind => 'hopping', size => '3 minutes', slide => '1 minute',
	emit => 'update', aggregates => ARRAY['count(*) AS n', 'sum(v) AS s']);
SELECT streamproc.wait_for();
INSERT INTO small VALUES (1, '2026-01-01 00:00:30'), (5, '2026-01-01 00:01:30');
SELECT streamproc.wait_for();
SELECT * FROM small_hop ORDER BY 1;
SELECT * FROM small_live ORDER BY 1;
-- Nothing comes for minutes: windows with rows close, those without aren't there.
INSERT INTO small VALUES (3, '2026-01-01 00:06:10');
SELECT streamproc.wait_for();
SELECT * FROM small_hop ORDER BY 1;
SELECT * FROM small_cum ORDER BY 2;
SELECT * FROM small_live ORDER BY 1;
-- A late row counts in the windows that are still open; what it missed is told.
INSERT INTO small VALUES (100, '2026-01-01 00:05:59'), (7, '2026-01-01 00:06:20');
INSERT INTO small VALUES (200, '2026-01-01 00:03:59');
INSERT INTO small VALUES (4, '2026-01-01 00:09:00');
SELECT streamproc.wait_for();
SELECT window_start, window_end, n, s, low, high FROM small_hop WHERE window_end > '2026-01-01 00:05' ORDER BY 1;
SELECT window_start, window_end, n, s, low, high FROM small_cum WHERE window_end > '2026-01-01 00:05' ORDER BY 2;
SELECT window_start, window_end, n, s, is_final FROM small_live WHERE window_end > '2026-01-01 00:05' ORDER BY 1;
SELECT name, reason, event_time, message FROM streamproc.dead_letter WHERE source = 'small'::regclass
	ORDER BY name::text, event_time;
SELECT name, late FROM streamproc.status WHERE name::text ~ '^small' AND kind = 'window' ORDER BY name::text;

-- Grace: closed windows are amended, and their revision tells, also those that had no row of the key.
CREATE TABLE patient (k text, v int, ts timestamptz);
SELECT streamproc.create_stream('patient', time_column => 'ts', watermark => '0', idle_timeout => '1 day');
SELECT streamproc.create_window('patient_hop', 'patient', kind => 'hopping', size => '3 minutes', slide => '1 minute',
	keys => '{k}', grace => '2 minutes', aggregates => ARRAY['count(*) AS n', 'max(v) AS high']);
SELECT streamproc.create_detector('patient_seen', 'patient_hop', method => 'rule', rules => ARRAY['n > 0 AS seen'],
	carry => ARRAY['n', 'revision'], store => 'all');
SELECT streamproc.wait_for();
INSERT INTO patient VALUES ('a', 1, '2026-01-01 00:00:10');
INSERT INTO patient VALUES ('a', 2, '2026-01-01 00:02:00');
SELECT streamproc.wait_for();
INSERT INTO patient VALUES ('b', 3, '2026-01-01 00:00:20'), ('a', 9, '2026-01-01 00:01:59');
SELECT streamproc.wait_for();
SELECT window_start, window_end, k, n, high, is_final FROM patient_hop ORDER BY k, 1;
SELECT window_end, revision FROM patient_hop WHERE k = 'a' ORDER BY 1;
SELECT k, event_time, n FROM patient_seen ORDER BY k, event_time;
INSERT INTO patient VALUES ('a', 4, '2026-01-01 00:04:00');
-- 00:01 + 2 minutes is past; 00:02 + 2 minutes just now
INSERT INTO patient VALUES ('b', 5, '2026-01-01 00:00:40');
INSERT INTO patient VALUES ('a', 6, '2026-01-01 00:09:00');
SELECT streamproc.wait_for();
SELECT window_start, window_end, k, n, high, is_final FROM patient_hop ORDER BY k, 1;
-- what is handed on is handed on once, as it stays
SELECT h.k, h.window_end, h.n = s.n AND h.revision = s.revision AS same, count(*) OVER (PARTITION BY h.k, h.window_end)
	FROM patient_hop h FULL JOIN patient_seen s ON s.k = h.k AND s.event_time = h.window_end - interval '1 microsecond'
	ORDER BY 1, 2;
SELECT reason, event_time, message FROM streamproc.dead_letter WHERE name = 'patient_hop'::regclass;

-- Generated rows, shuffled within the watermark, some of the same time; in all sizes of commits; also a restart.
CREATE TABLE event (id int, key int, value float8, price numeric, name text, ts timestamptz);
SELECT streamproc.create_stream('event', time_column => 'ts', watermark => '30 seconds', idle_timeout => '1 day');
CREATE PROCEDURE load(from_id int, to_id int, batch int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 0 .. (to_id - from_id) / batch LOOP
		INSERT INTO event SELECT g, nullif(g % 6, 5), g * 7919 % 1000 / 8.0, (g * 31 % 997) / 100.0, 'n' || g % 17,
			'2026-01-01 00:00+00'::timestamptz + g * interval '3.7 seconds' + g * 31 % 20 * interval '1 second'
			FROM generate_series(from_id + i * batch, least(from_id + (i + 1) * batch - 1, to_id)) g;
		COMMIT;
	END LOOP;
END $$;
CALL load(1, 300, 300);
SELECT streamproc.create_window('h', 'event', kind => 'hopping', size => '5 minutes', slide => '1 minute', keys => '{key}',
	aggregates => '{count(*) AS n,sum(value) AS s,min(value) AS low,max(value) AS high,avg(id) AS mean}');
SELECT streamproc.create_window('h_generic', 'event', kind => 'hopping', size => '5 minutes', slide => '1 minute',
	keys => '{upper(name) AS name}', filter => 'id % 3 <> 0',
	aggregates => '{sum(price) AS s,max(name) AS last,stddev(value) AS spread,bit_xor(id) FILTER (WHERE key = 1) AS bits}');
SELECT streamproc.create_window('h_late', 'event', kind => 'hopping', size => '5 minutes', slide => '1 minute', keys => '{key}',
	watermark => '0', aggregates => '{count(*) AS n,sum(value) AS s}');
SELECT streamproc.create_window('h_live', 'event', kind => 'hopping', size => '5 minutes', slide => '1 minute', keys => '{key}',
	emit => 'update', aggregates => '{count(*) AS n,sum(value) AS s,min(value) AS low,max(value) AS high,avg(id) AS mean}');
SELECT streamproc.create_window('c', 'event', kind => 'cumulative', size => '10 minutes', slide => '2 minutes', keys => '{key}',
	aggregates => '{count(*) AS n,sum(value) AS s,min(value) AS low,max(value) AS high,avg(id) AS mean}');
SELECT streamproc.create_window('c_live', 'event', kind => 'cumulative', size => '10 minutes', slide => '2 minutes', keys => '{key}',
	emit => 'update', aggregates => '{count(*) AS n,sum(value) AS s,min(value) AS low,max(value) AS high,avg(id) AS mean}');
SELECT streamproc.wait_for();
CALL load(301, 320, 1);
CALL load(321, 900, 100);
SELECT streamproc.wait_for();
SELECT streamproc.stop();
CALL load(901, 1000, 7);
SELECT streamproc.start();
CALL load(1001, 1500, 50);
SELECT streamproc.wait_for();

CREATE VIEW closed AS SELECT max(ts) - interval '30 seconds' AS at FROM event;
CREATE VIEW hops AS SELECT w.*, key, count(*) AS n, sum(value) AS s, min(value) AS low, max(value) AS high, avg(id) AS mean
	FROM event, streamproc.hop(ts, '1 minute', '5 minutes') w GROUP BY 1, 2, 3;
CREATE VIEW cumulations AS SELECT w.*, key, count(*) AS n, sum(value) AS s, min(value) AS low, max(value) AS high, avg(id) AS mean
	FROM event, streamproc.cumulate(ts, '2 minutes', '10 minutes') w GROUP BY 1, 2, 3;
CREATE VIEW generic_hops AS SELECT w.*, upper(name) AS name, sum(price) AS s, max(name) AS last, stddev(value) AS spread,
	bit_xor(id) FILTER (WHERE key = 1) AS bits
	FROM event, streamproc.hop(ts, '1 minute', '5 minutes') w WHERE id % 3 <> 0 GROUP BY 1, 2, 3;
\i test/sql/differences.sql
SELECT count(*) > 500 AS many FROM h;
SELECT differences('SELECT window_start, window_end, key, n, s, low, high, mean FROM h',
	'SELECT * FROM hops WHERE window_end <= (SELECT at FROM closed)') AS h,
	differences('SELECT window_start, window_end, key, n, s, low, high, mean FROM h_live', 'SELECT * FROM hops') AS h_live,
	differences('SELECT window_start, window_end, key, n, s, low, high, mean FROM c',
	'SELECT * FROM cumulations WHERE window_end <= (SELECT at FROM closed)') AS c,
	differences('SELECT window_start, window_end, key, n, s, low, high, mean FROM c_live', 'SELECT * FROM cumulations') AS c_live,
	differences('SELECT window_start, window_end, name, s, last, round(spread::numeric, 9), bits FROM h_generic',
	'SELECT window_start, window_end, name, s, last, round(spread::numeric, 9), bits FROM generic_hops
	WHERE window_end <= (SELECT at FROM closed)') AS h_generic;
SELECT count(*) FILTER (WHERE is_final), min(revision), max(revision) FROM h;
SELECT count(*) AS wrong FROM h_live, closed WHERE is_final <> (window_end <= at);
-- Its own watermark: late rows, in part, of the one window only. What it holds, and what it missed, is every row.
SELECT count(DISTINCT reason) AS reasons, count(*) > 0 AS some, count(*) FILTER (WHERE name <> 'h_late'::regclass) AS others
	FROM streamproc.dead_letter WHERE source = 'event'::regclass;
SELECT differences('SELECT window_start, window_end, key, n, s FROM h_late',
	'SELECT window_start, window_end, key, count(*), sum(value) FROM event CROSS JOIN LATERAL
		streamproc.hop(ts, ''1 minute'', ''5 minutes'') w
		LEFT JOIN (SELECT (r.row_data->>''id'')::int AS id, r.missed_until FROM streamproc.rejected_row r
			WHERE r.relation = ''h_late''::regclass) m USING (id)
		WHERE window_end <= (SELECT max(ts) FROM event) AND (m.id IS NULL OR window_end > m.missed_until)
		GROUP BY 1, 2, 3') AS h_late;

-- Days of a zone, months, and steps that don't divide a day of 25 hours.
CREATE TABLE visit (at timestamptz, person int);
SELECT streamproc.create_stream('visit', time_column => 'at', watermark => '0', idle_timeout => '1 day');
SELECT streamproc.create_window('week', 'visit', kind => 'hopping', size => '7 days', slide => '1 day', time_zone => 'Europe/Berlin',
	aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('quarter', 'visit', kind => 'hopping', size => '3 months', slide => '1 month',
	time_zone => 'Europe/Berlin', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('today', 'visit', kind => 'cumulative', size => '1 day', slide => '5 hours',
	time_zone => 'Europe/Berlin', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.wait_for();
INSERT INTO visit SELECT '2026-03-20 00:00+00'::timestamptz + i * interval '100 minutes', i FROM generate_series(0, 3500) i;
SELECT streamproc.wait_for();
SELECT differences('SELECT window_start, window_end, n FROM week',
	'SELECT w.*, count(*) FROM visit, streamproc.hop(at, ''1 day'', ''7 days'', NULL, ''Europe/Berlin'') w
	WHERE window_end <= (SELECT max(at) FROM visit) GROUP BY 1, 2') AS week,
	differences('SELECT window_start, window_end, n FROM quarter',
	'SELECT w.*, count(*) FROM visit, streamproc.hop(at, ''1 month'', ''3 months'', NULL, ''Europe/Berlin'') w
	WHERE window_end <= (SELECT max(at) FROM visit) GROUP BY 1, 2') AS quarter,
	differences('SELECT window_start, window_end, n FROM today',
	'SELECT w.*, count(*) FROM visit, streamproc.cumulate(at, ''5 hours'', ''1 day'', NULL, ''Europe/Berlin'') w
	WHERE window_end <= (SELECT max(at) FROM visit) GROUP BY 1, 2') AS today;
SELECT window_start, window_end, n FROM today WHERE window_start = '2026-10-25 00:00+02' ORDER BY 2;
SELECT name, state, reason FROM streamproc.status WHERE name::text !~ '\.' AND state <> 'running';

SET client_min_messages = warning;
DROP SCHEMA hopping_test CASCADE;
