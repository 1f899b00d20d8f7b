--
-- Somebody alters a result table while the worker is away: that object fails and says why, the others go
-- on, and resume() rebuilds it once the table is as it was.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET client_min_messages = warning;
CREATE SCHEMA altered_test;
SET search_path = altered_test, public;

CREATE TABLE reading (id int, value float8, ts timestamptz);
SELECT streamproc.create_stream('reading', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_window('hourly', 'reading', kind => 'tumbling', size => '1 hour',
	aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_detector('odd', 'reading', method => 'ewma', value => 'value', threshold => 1);
SELECT streamproc.create_detector('many', 'hourly', method => 'rule', rules => ARRAY['n > 5 AS "Many"']);
CREATE FUNCTION fill(first int, last int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO reading SELECT i, i * i, '2026-01-01'::timestamptz + i * interval '1 minute'
	FROM generate_series(first, last) i $$;
SELECT fill(1, 500);
SELECT streamproc.wait_for();
SELECT streamproc.stop();
ALTER TABLE odd ALTER score TYPE text;
SELECT streamproc.start();
SELECT fill(501, 1000);
SELECT streamproc.wait_for();
SELECT name, state, reason FROM streamproc.status WHERE name::text IN ('reading', 'hourly', 'odd', 'many') ORDER BY 1;
SELECT * FROM streamproc.verify('hourly');
SELECT count(*) FROM many;
SELECT count(*) FROM hourly WHERE is_final AND n > 5;

ALTER TABLE odd ALTER score TYPE float8 USING score::float8;
SELECT streamproc.resume('odd');
SELECT streamproc.wait_for();
SELECT name, state FROM streamproc.status WHERE name::text = 'odd';
-- Built anew over all rows it goes on, and says nothing twice.
SELECT max(event_time) > '2026-01-01 16:00+00' AS goes_on, count(*) = count(DISTINCT event_time) AS once FROM odd;

SELECT streamproc.drop_detector('many');
SELECT streamproc.drop_detector('odd');
SELECT streamproc.drop_window('hourly');
SELECT streamproc.drop_stream('reading');
DROP SCHEMA altered_test CASCADE;
