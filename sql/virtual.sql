--
-- Virtual generated columns (PostgreSQL 18): their values are not in the WAL, but what they are made of is.
-- Before 18 the same with stored ones.
--
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE SCHEMA virtual_test;
SET search_path = virtual_test, public;
SELECT CASE WHEN current_setting('server_version_num')::int >= 180000 THEN 'VIRTUAL' ELSE 'STORED' END AS kind \gset
CREATE TABLE sale (id int NOT NULL, shop text, price numeric, pieces int, at timestamptz,
	total numeric GENERATED ALWAYS AS (price * pieces) :kind, region text GENERATED ALWAYS AS (upper(left(shop, 1))) :kind,
	hour timestamp GENERATED ALWAYS AS (date_trunc('hour', at AT TIME ZONE 'UTC')) :kind, is_big boolean GENERATED ALWAYS AS (price > 50) :kind);
-- half of it is history
INSERT INTO sale SELECT i, chr(97 + i % 4) || 'x', i % 60, i % 7, '2026-01-01'::timestamptz + i * interval '5 minutes' FROM generate_series(1, 150) i;
SELECT streamproc.create_stream('sale', 'at', watermark => '0');

-- as key, in an aggregate and its filter, as filter and group_filter, carried, in a rule
SELECT streamproc.create_window('by_region', 'sale', 'tumbling', size => '1 hour', keys => '{region,pieces % 2 AS odd}',
	aggregates => '{sum(total) AS total,count(*) FILTER (WHERE is_big) AS big}', filter => 'total > 10', group_filter => 'max(total) > 20 AND region <> ''C''');
SELECT streamproc.create_window('running', 'sale', 'global', keys => '{region}', aggregates => '{sum(total) AS total,"string_agg(region, '','' ORDER BY total, id) AS regions"}');
SELECT streamproc.create_window('recent', 'sale', 'sliding', size => '2 hours', keys => '{region}', carry => '{id,total,hour}',
	aggregates => '{max(total) AS highest}', group_filter => 'sum(total) > 30');
SELECT streamproc.create_detector('high', 'sale', 'rule', rules => '{total > 500 AS high,is_big AS big}', keys => '{region}', value => 'total',
	filter => 'region <> ''B''', carry => '{id AS sale,hour}');
-- One that fails for some rows, which become dead letters: the twin finds them again.
SELECT streamproc.create_window('ratio', 'sale', 'tumbling', size => '1 hour', keys => '{region}', aggregates => '{sum(total / (pieces - 3)) AS ratio}');
SELECT streamproc.wait_for();
INSERT INTO sale SELECT i, chr(97 + i % 4) || 'x', i % 60, i % 7, '2026-01-01'::timestamptz + i * interval '5 minutes' FROM generate_series(151, 300) i;
SELECT streamproc.wait_for();

\i test/sql/differences.sql
SELECT * FROM compared('SELECT window_start, region, odd, total, big FROM by_region', $$SELECT date_trunc('hour', at), upper(left(shop, 1)), pieces % 2, sum(price * pieces),
	count(*) FILTER (WHERE price > 50) FROM sale WHERE price * pieces > 10 GROUP BY 1, 2, 3 HAVING max(price * pieces) > 20 AND upper(left(shop, 1)) <> 'C'$$);
SELECT * FROM compared('SELECT region, total, regions FROM running', $$SELECT upper(left(shop, 1)), sum(price * pieces),
	string_agg(upper(left(shop, 1)), ',' ORDER BY price * pieces, id) FROM sale GROUP BY 1$$);
SELECT * FROM compared('SELECT id, region, total, hour, highest FROM recent', $$SELECT id, upper(left(shop, 1)), price * pieces, date_trunc('hour', at AT TIME ZONE 'UTC'), highest FROM sale s,
	LATERAL (SELECT max(price * pieces) AS highest, sum(price * pieces) AS total FROM sale o WHERE o.at <= s.at AND o.at > s.at - interval '2 hours' AND left(o.shop, 1) = left(s.shop, 1)) o
	WHERE o.total > 30$$);
SELECT * FROM compared('SELECT sale, region, value::numeric, hour, alerts FROM high', $$SELECT id, upper(left(shop, 1)), price * pieces, date_trunc('hour', at AT TIME ZONE 'UTC'),
	array_remove(ARRAY[CASE WHEN price * pieces > 500 THEN 'high' END, CASE WHEN price > 50 THEN 'big' END], NULL) FROM sale
	WHERE (price * pieces > 500 OR price > 50) AND left(shop, 1) <> 'b'$$);
SELECT * FROM compared('SELECT window_start, region, ratio FROM ratio', $$SELECT date_trunc('hour', at), upper(left(shop, 1)), sum(price * pieces / (pieces - 3))
	FROM sale WHERE pieces <> 3 GROUP BY 1, 2$$);
SELECT count(*), min(reason), min(row_data->>'shop') FROM streamproc.dead_letter WHERE name = 'ratio'::regclass;
SELECT w, (SELECT count(*) FROM streamproc.verify(w)) FROM unnest('{by_region,running,recent,ratio}'::regclass[]) w;

-- The stream itself needs columns that are in the WAL.
CREATE FUNCTION attempt(arguments text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	hint text;
BEGIN
	IF current_setting('server_version_num')::int < 180000 THEN
		RETURN concat_ws(E'\n', '0A000 column "' || (regexp_match(arguments, '(hour|region)'))[1] || '" of table "sale" is virtual', 'It is the value of parameter "'
			|| (regexp_match(arguments, '^\w+'))[1] || '", and its values are not in the WAL.', 'Make it a STORED generated column.');
	END IF;
	EXECUTE format('SELECT streamproc.create_stream(''sale'', %s)', arguments);
	RETURN 'worked';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n', SQLSTATE || ' ' || SQLERRM, detail, hint);
END $$;
SELECT streamproc.drop_stream('sale', cascade => true);
\pset format unaligned
SELECT attempt('time_column => ''hour''');
SELECT attempt('dedup_key => ''{id,region}'', dedup_within => ''1 hour''');
\pset format aligned

DROP SCHEMA virtual_test CASCADE;
