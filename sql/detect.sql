--
-- detect(): batch detectors by the name of a table, against the window functions over the same rows.
--
SET timezone = 'UTC';
CREATE SCHEMA detect_test;
SET search_path = detect_test, public;

CREATE TABLE payment (region text, id int, amount numeric, hour int, at timestamptz, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE payment_north PARTITION OF payment FOR VALUES IN ('north');
CREATE TABLE payment_rest PARTITION OF payment DEFAULT;
INSERT INTO payment SELECT (ARRAY['north', 'east', 'west'])[1 + i % 3], i, 10 + hashint4(i) % 7, i % 24, '2026-01-01'::timestamptz + i * interval '1 hour'
FROM generate_series(1, 900) i;
INSERT INTO payment VALUES ('north', 1001, 5000, 3, '2026-03-01'), ('east', 1002, NULL, 3, '2026-03-01'), ('west', 1003, 'NaN', 3, '2026-03-01');

-- The same scores as OVER (PARTITION BY ... ORDER BY ...), for every row.
CREATE FUNCTION same(method text, features text[], call text, params jsonb = '{}') RETURNS TABLE (rows bigint, scores bigint, differences bigint)
LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT count(*), count(d.score), count(*) FILTER (WHERE d.score IS DISTINCT FROM w.score OR d.key IS DISTINCT FROM w.key)
		FROM streamproc.detect(''payment'', $1, $2, partition_by => ''{region}'', order_by => ''at DESC, id'', filter => ''id %% 10 <> 0'', params => $3) d
		FULL JOIN (SELECT tableoid, ctid, jsonb_build_object(''region'', region, ''id'', id) AS key,
			%s OVER (PARTITION BY region ORDER BY at DESC, id) AS score FROM payment WHERE id %% 10 <> 0) w ON d.tableoid = w.tableoid AND d.tid = w.ctid',
		call) USING method, features, params;
END $$;
SELECT * FROM same('zscore', '{amount}', 'streamproc.zscore(amount::float8)');
SELECT * FROM same('isolation_forest', '{amount, hour}', 'streamproc.isolation_forest(amount, hour)');
SELECT * FROM same('auto_score', '{amount, hour, amount * hour AS product}', 'streamproc.auto_score(amount, hour, amount * hour)');
SELECT * FROM same('lof', '{amount, hour}', 'streamproc.lof(ARRAY[amount, hour]::float8[], 7, ''minmax'')', '{"k": 7, "scale": "minmax"}');
SELECT * FROM same('matrix_profile', '{amount}', 'streamproc.matrix_profile(amount::float8, 12)', '{"m": 12}');

-- Without order_by rows are taken as they stand in the table.
SELECT count(*) AS rows, count(*) FILTER (WHERE d.score IS DISTINCT FROM w.score) AS differences FROM streamproc.detect('payment_rest', 'isolation_forest', '{amount, hour}') d
FULL JOIN (SELECT ctid, streamproc.isolation_forest(amount, hour) OVER (ORDER BY ctid) AS score FROM payment_rest) w ON d.tid = w.ctid;

-- So they are in partitions, however the server has them sorted or read.
CREATE TABLE mixed (part int, v float8);
INSERT INTO mixed SELECT nullif(hashint4(i) % 5, 4), hashint4(i * 7) % 100 FROM generate_series(1, 20000) i;
CREATE FUNCTION disordered() RETURNS TABLE (rows bigint, differences bigint) BEGIN ATOMIC
	SELECT count(*), count(*) FILTER (WHERE d.score IS DISTINCT FROM w.score OR d.key IS DISTINCT FROM w.key)
	FROM streamproc.detect('mixed', 'isolation_forest', '{v}', '{part}', params => '{"sample_size": 32}') d
	FULL JOIN (SELECT ctid, jsonb_build_object('part', part) AS key,
		streamproc.isolation_forest(ARRAY[v], 100, 32) OVER (PARTITION BY part ORDER BY ctid) AS score FROM mixed) w ON d.tid = w.ctid;
END;
SELECT * FROM disordered();
SET work_mem = '64kB';
SELECT * FROM disordered();
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT * FROM disordered();
RESET work_mem;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
SELECT count(*) AS rows, count(*) FILTER (WHERE d.score IS DISTINCT FROM w.score) AS differences
FROM streamproc.detect('payment', 'isolation_forest', '{amount, hour}', params => '{"sample_size": 32}') d
FULL JOIN (SELECT tableoid, ctid, streamproc.isolation_forest(ARRAY[amount, hour]::float8[], 100, 32) OVER (ORDER BY tableoid, ctid) AS score FROM payment) w
ON d.tableoid = w.tableoid AND d.tid = w.ctid;

-- What order_by says is of the table, whatever features are called.
CREATE TABLE trend (i int PRIMARY KEY, v float8);
INSERT INTO trend SELECT i, hashint4(i) % 100 + CASE WHEN i % 24 = 0 THEN 50 ELSE 0 END FROM generate_series(1, 300) i;
SELECT count(*) AS rows, count(*) FILTER (WHERE d.score IS DISTINCT FROM w.score) AS differences
FROM streamproc.detect('trend', 'matrix_profile', ARRAY['(v::int % 7) AS i'], order_by => 'i DESC', params => '{"m": 12}') d
FULL JOIN (SELECT ctid, streamproc.matrix_profile((v::int % 7)::float8, 12) OVER (ORDER BY i DESC) AS score FROM trend) w ON d.tid = w.ctid;

-- Keys are what jsonb_build_object() makes of them; equal values of a partition each stay as they are.
CREATE DOMAIN odd AS int CHECK (VALUE % 2 = 1);
CREATE TYPE pair AS (a int, b text);
CREATE TABLE keyed (a int2, b int8, c numeric, d text, e bool, f timestamptz, g float8, h jsonb, i odd, j pair, k int[], l uuid, m varchar, n "char",
	v float8, PRIMARY KEY (a, b, c, d, e, f, g, h, i, j, k, l, m, n));
INSERT INTO keyed VALUES
	(1, -5, 'NaN', 'é "q" \', true, '2026-01-01', 'Infinity', '{"x": [1, {"y": null}]}', 3, (1, 'x'), '{1,NULL}', '00000000-0000-0000-0000-000000000001', 'm', 'n', 1),
	(-2, 9223372036854775807, 1.50, '', false, '-infinity', '-0', '"s"', 5, (NULL, 'y'), '{}', '00000000-0000-0000-0000-000000000002', repeat('long', 2000), 'n', 2),
	(0, 0, 1.5, 'd', false, '2026-01-01 12:00:00.5+03', 1e-300, '[]', 7, (NULL, NULL), '{{1},{2}}', '00000000-0000-0000-0000-000000000003', '', 'n', 3);
SELECT count(*) AS rows, count(*) FILTER (WHERE d.key::text IS DISTINCT FROM jsonb_build_object('a', a, 'b', b, 'c', c, 'd', t.d, 'e', e, 'f', f, 'g', g, 'h', h,
	'i', i, 'j', j, 'k', k, 'l', l, 'm', m, 'n', n)::text) AS differences
FROM streamproc.detect('keyed', 'zscore', '{v}') d FULL JOIN keyed t ON d.tid = t.ctid;
CREATE TABLE almost (p numeric, q text, v float8);
INSERT INTO almost SELECT (ARRAY['1.0', '1.00', '2', NULL, 'NaN'])[1 + i % 5]::numeric, (ARRAY['x', NULL])[1 + i % 2], i FROM generate_series(1, 100) i;
SELECT count(*) AS rows, count(*) FILTER (WHERE d.key::text IS DISTINCT FROM jsonb_build_object('p', p, 'q', q)::text) AS keys,
	count(*) FILTER (WHERE abs(d.score - w.score) > 1e-12 OR (d.score IS NULL) <> (w.score IS NULL)) AS differences
FROM streamproc.detect('almost', 'zscore', '{v}', '{p, q}') d
FULL JOIN (SELECT ctid, p, q, abs(v - avg(v) OVER part) / stddev(v) OVER part AS score FROM almost WINDOW part AS (PARTITION BY p, q)) w
ON d.tid = w.ctid;

-- Anomalies: by the method's own threshold, or so many of each partition; where there is neither nobody knows.
SELECT key, round(score::numeric, 1) AS score, explanation FROM streamproc.detect('payment', 'modified_zscore', '{amount}') WHERE is_anomaly;
SELECT key->>'region' AS region, count(*), count(score), count(*) FILTER (WHERE is_anomaly) AS anomalies,
	count(*) FILTER (WHERE is_anomaly AND score < 0.5) AS low, count(explanation) AS explained
FROM streamproc.detect('payment', 'isolation_forest', '{amount, hour}', '{region}', contamination => 0.01) GROUP BY 1 ORDER BY 1;
SELECT count(*) AS rows, count(is_anomaly) AS known FROM streamproc.detect('payment', 'isolation_forest', '{amount, hour}');
SELECT key, score, is_anomaly, explanation->'contributions' ? 'amount' AS explained FROM streamproc.detect('payment', 'dbscan', '{amount}', params => '{"eps": 30}')
WHERE is_anomaly OR score IS NULL ORDER BY key->'id';

-- Subqueries, and what depends on the session, may be used; rows without a key have none.
CREATE TABLE plain (v int);
INSERT INTO plain SELECT i % 5 FROM generate_series(1, 100) i;
SELECT count(*) AS rows, count(key) AS keys FROM streamproc.detect('plain', 'zscore', ARRAY['v + (SELECT 1)'], filter => 'now() > ''2020-01-01''');
SELECT DISTINCT key FROM streamproc.detect('plain', 'zscore', '{v}', partition_by => '{v % 2 AS odd}') ORDER BY 1;

-- Into a table.
SELECT * FROM streamproc.detect('payment', 'modified_zscore', '{amount}', into_table => 'detect_test."Found"');
SELECT count(*) AS rows, count(*) FILTER (WHERE f.score IS DISTINCT FROM d.score OR f.explanation IS DISTINCT FROM d.explanation) AS differences
FROM "Found" f FULL JOIN streamproc.detect('payment', 'modified_zscore', '{amount}') d ON f.source = d.tableoid AND f.tid = d.tid;
SELECT id, f.source FROM "Found" f JOIN payment p ON p.tableoid = f.source AND p.ctid = f.tid WHERE f.is_anomaly;
SELECT * FROM streamproc.detect('payment', 'zscore', '{amount}', into_table => 'detect_test."Found"');
-- Without a line between anomalies and others there are none, but that isn't said of the rows.
SELECT count(*) FROM streamproc.detect('payment', 'auto_score', '{amount}', into_table => 'detect_test.rated');
SELECT count(*) AS rows, count(score) > 0 AS scored, count(is_anomaly) AS known, count(explanation) AS explained FROM rated;

-- No rows.
SELECT * FROM streamproc.detect('payment', 'mcd', '{amount}', filter => 'false');
SELECT count(*), count(score) FROM streamproc.detect('payment', 'mcd', ARRAY['NULL::int AS nothing'], contamination => 0.1);

-- What isn't possible is told.
\set VERBOSITY terse
SELECT * FROM streamproc.detect('payment', 'magic', '{amount}');
\set VERBOSITY default
SELECT * FROM streamproc.detect('payment', 'zscore', '{amount, hour}');
SELECT * FROM streamproc.detect('payment', 'lof', '{}');
SELECT * FROM streamproc.detect('payment', 'lof', '{amount, hour, amount}');
SELECT * FROM streamproc.detect('payment', 'lof', '{amount}', '{region AS part, hour AS part}');
SELECT * FROM streamproc.detect('payment', 'lof', '{region}');
SELECT * FROM streamproc.detect('payment', 'lof', '{nothing}');
SELECT * FROM streamproc.detect('payment', 'lof', ARRAY['amount); DROP TABLE payment; --']);
SELECT * FROM streamproc.detect('payment', 'lof', '{sum(amount)}');
SELECT * FROM streamproc.detect('payment', 'lof', ARRAY['generate_series(1, hour)']);
SELECT * FROM streamproc.detect('payment', 'lof', '{amount}', order_by => 'at LIMIT 1');
SELECT * FROM streamproc.detect('payment', 'lof', '{amount}', order_by => 'att');
SELECT * FROM streamproc.detect('payment', 'lof', '{amount}', filter => 'amount');
SELECT * FROM streamproc.detect('payment', 'lof', '{amount}', filter => 'true; DELETE FROM payment');
SELECT * FROM streamproc.detect('payment', 'lof', '{amount}', params => '{"kk": 3}');
SELECT * FROM streamproc.detect('payment', 'lof', '{amount}', params => '{"k": 0}');
SELECT * FROM streamproc.detect('payment', 'dbscan', '{amount}');
SELECT * FROM streamproc.detect('payment', 'dbscan', '{amount}', params => '{"eps": 1}', contamination => 0.1);
SELECT * FROM streamproc.detect('payment', 'lof', '{amount}', contamination => 0.7);
SELECT * FROM streamproc.detect('payment', 'stl_residual', '{amount}', params => '{"period": 24}');
SELECT * FROM streamproc.detect(NULL, 'lof', '{amount}');
SELECT * FROM streamproc.detect(4294967295::oid, 'lof', '{amount}');
CREATE VIEW seen AS SELECT * FROM payment;
SELECT * FROM streamproc.detect('seen', 'lof', '{amount}');
SET streamproc.max_batch_memory = '1MB';
SELECT count(*) FROM streamproc.detect('payment', 'lof', ARRAY(SELECT 'hour + ' || i FROM generate_series(1, 200) i));
RESET streamproc.max_batch_memory;

-- It reads with the caller's rights.
CREATE ROLE detect_reader;
GRANT USAGE ON SCHEMA detect_test TO detect_reader;
SET ROLE detect_reader;
SELECT * FROM streamproc.detect('payment', 'zscore', '{amount}');
RESET ROLE;
GRANT SELECT ON payment TO detect_reader;
CREATE POLICY north ON payment USING (region = 'north');
ALTER TABLE payment ENABLE ROW LEVEL SECURITY;
SET ROLE detect_reader;
SELECT key->'region' AS region, count(*) FROM streamproc.detect('payment', 'zscore', '{hour}') GROUP BY 1;
SELECT * FROM streamproc.detect('payment', 'zscore', '{hour}', into_table => 'detect_test.mine');
RESET ROLE;

-- How far it is: seen from within, by a feature that looks.
CREATE FUNCTION look(int) RETURNS int LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	IF $1 = 300 THEN
		PERFORM pg_stat_clear_snapshot();
		RAISE NOTICE '%', (SELECT format('%s %s %s', relid::regclass, method, phase) FROM streamproc.progress_detect WHERE pid = pg_backend_pid());
	END IF;
	RETURN $1;
END $$;
SELECT count(*) FROM streamproc.detect('payment', 'zscore', '{look(id) AS id}');
SELECT pg_stat_clear_snapshot();
SELECT count(*) AS running FROM streamproc.progress_detect;

SET client_min_messages = warning;
DROP SCHEMA detect_test CASCADE;
DROP ROLE detect_reader;
