-- Every kind of aggregate and key, kept up to date through many commits and a restart of
-- the worker in the middle, equals plain SQL: verify() compares with the twin.
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET client_min_messages = warning;

CREATE TYPE mood AS ENUM ('calm', 'busy', 'angry');
CREATE TABLE measurement (
	id bigint, small int2, number int4, big int8, single float4, double float8, exact numeric,
	word text, flag boolean, feeling mood, at timestamptz, day date, span interval,
	place inet, doc jsonb);
SELECT streamproc.create_stream('measurement', time_column => 'at', watermark => '1 hour');

-- History, before the windows are made. Some values are null, some special.
CREATE FUNCTION fill(first int, last int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO measurement
	SELECT i, (i * 37 % 200 - 100)::int2, nullif(i * 7919 % 1000, 7), i::bigint * i * 1000003,
		(i % 13) / 4.0, CASE i % 97 WHEN 0 THEN 'NaN' WHEN 1 THEN 'Infinity' ELSE sqrt(i) END,
		nullif(i % 11, 3) * 1.10, 'word ' || i % 5, i % 3 = 0,
		(enum_range(NULL::mood))[1 + i % 3], '2026-03-01 00:00+00'::timestamptz + i * interval '7 seconds',
		'2026-01-01'::date + i % 50, make_interval(mins => i % 90),
		'10.0.0.0'::inet + i % 6, jsonb_build_object('n', i % 4)
	FROM generate_series(first, last) i $$;
SELECT fill(1, 700);

SELECT streamproc.create_window('native', 'measurement', kind => 'tumbling', size => '10 minutes',
	keys => ARRAY['number % 3 AS key'],
	aggregates => ARRAY['count(*) AS n', 'count(number) AS n_number',
		'sum(small) AS sum2', 'sum(number) AS sum4', 'sum(big) AS sum8', 'sum(single) AS sum_single',
		'sum(double) FILTER (WHERE id % 97 > 1) AS sum_double',
		'avg(small) AS avg2', 'avg(number) AS avg4', 'avg(big) AS avg8', 'avg(single) AS avg_single',
		'min(small) AS min2', 'max(number) AS max4', 'min(big) AS min8', 'max(double) AS max_double',
		'min(at) AS first_at', 'max(day) AS last_day',
		'variance(number) AS var4', 'stddev_pop(big) AS sd8', 'var_pop(single) AS var_single',
		'stddev(double) FILTER (WHERE id % 97 > 1) AS sd_double']);
SELECT streamproc.create_window('generic', 'measurement', kind => 'tumbling', size => '1 hour',
	keys => ARRAY['word', 'feeling'],
	aggregates => ARRAY['sum(exact) AS total', 'avg(exact) AS mean', 'stddev(exact) AS sd',
		'min(word) AS low', 'max(exact) AS high', 'bool_and(flag) AS every_flag', 'bool_or(flag) AS any_flag',
		'bit_or(number) AS any_bit', 'bit_xor(big) AS parity', 'sum(span) AS spent', 'avg(span) AS mean_span',
		'max(place) AS last_place', 'corr(double, number) FILTER (WHERE id % 97 > 1) AS r',
		'regr_slope(single, number) AS slope', 'min(feeling) AS calmest'],
	filter => 'id % 10 <> 0');
SELECT streamproc.create_window('keyed', 'measurement', kind => 'tumbling', size => '1 day',
	keys => ARRAY['exact', 'single', 'flag', 'span', 'place', 'doc'],
	aggregates => ARRAY['count(*) AS n', 'sum(exact) AS total']);
SELECT streamproc.create_window('totals', 'measurement', kind => 'global', keys => ARRAY['flag'],
	aggregates => ARRAY['count(*) AS n', 'sum(exact) AS total', 'max(word) AS last_word']);
SELECT streamproc.create_window('slow', 'measurement', kind => 'tumbling', size => '10 minutes',
	aggregates => ARRAY['count(*) AS n', 'avg(exact) AS mean'], trigger => '1 hour', emit => 'final');

SELECT fill(701, 1000);
SELECT fill(1001, 1001);
-- The state goes to disk and comes back.
SELECT streamproc.stop();
SELECT fill(1002, 1500);
SELECT streamproc.start();
SELECT fill(1501, 2400);
-- One row that closes all windows.
SELECT fill(20000, 20000);
SELECT streamproc.wait_for();

SELECT count(*) FROM streamproc.verify('native');
SELECT count(*) FROM streamproc.verify('generic');
SELECT count(*) FROM streamproc.verify('keyed');
SELECT count(*) FROM streamproc.verify('totals');
SELECT count(*) FROM streamproc.verify('slow');
-- verify() compares something, and floats are not merely near when they are the same sums.
SELECT (SELECT sum(n) FROM native) AS native, (SELECT count(*) FROM generic WHERE is_final) > 20 AS generic,
	(SELECT sum(n) FROM keyed) AS keyed, (SELECT sum(n) FROM totals) AS totals, (SELECT sum(n) FROM slow) AS slow;
SELECT key, n, sum4, var4, first_at FROM native WHERE window_start = '2026-03-01 00:00+00' ORDER BY key;
SELECT number % 3 AS key, count(*), sum(number), variance(number), min(at) FROM measurement
	WHERE at < '2026-03-01 00:10+00' GROUP BY 1 ORDER BY 1;

SELECT streamproc.drop_window('native');
SELECT streamproc.drop_window('generic');
SELECT streamproc.drop_window('keyed');
SELECT streamproc.drop_window('totals');
SELECT streamproc.drop_window('slow');
SELECT streamproc.drop_stream('measurement');
DROP TABLE measurement;
DROP FUNCTION fill;
DROP TYPE mood;
