--
-- p_value: how probable a score is, told from those before it.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA calibration_test;
SET search_path = calibration_test, public;
CREATE TABLE reading (id int, sensor int, value float8, ts timestamptz);
SELECT streamproc.create_stream('reading', time_column => 'ts', watermark => '1 hour', idle_timeout => '1 day');

-- Uniform numbers by chance, and normal ones: the same everywhere.
CREATE FUNCTION uniform(i int) RETURNS float8 IMMUTABLE LANGUAGE sql AS
	$$ SELECT (('x' || substr(md5(i::text), 1, 8))::bit(32)::bigint + 0.5) / 4294967296 $$;
CREATE FUNCTION normal(i int) RETURNS float8 IMMUTABLE LANGUAGE sql AS
	$$ SELECT sqrt(-2 * ln(uniform(2 * i))) * cos(2 * pi() * uniform(2 * i + 1)) $$;

SELECT streamproc.create_detector('of_key', 'reading', method => 'ewma', value => 'value', keys => '{sensor}', carry => '{id AS reading}',
	params => '{"alpha": 0.01, "warmup": 50}', store => 'all');
SELECT streamproc.create_detector('of_all', 'reading', method => 'ewma', value => 'value', keys => '{sensor}', carry => '{id AS reading}',
	params => '{"alpha": 0.01, "warmup": 50, "calibrate": "detector"}', store => 'all');
SELECT streamproc.create_detector('of_none', 'reading', method => 'ewma', value => 'value', keys => '{sensor}', carry => '{id AS reading}',
	params => '{"alpha": 0.01, "warmup": 50, "calibrate": "none"}', store => 'all');
SELECT streamproc.create_detector('keyless', 'reading', method => 'ewma', value => 'value', carry => '{id AS reading}',
	params => '{"alpha": 0.01, "calibrate": "detector"}', store => 'all');
SELECT streamproc.create_detector('alerts', 'reading', method => 'ewma', value => 'value', keys => '{sensor}', carry => '{id AS reading}',
	params => '{"alpha": 0.01, "warmup": 50}', learn => 'normal');
SELECT streamproc.create_detector('unready', 'reading', method => 'page_hinkley', value => 'value', keys => '{sensor}',
	params => '{"calibrate": "none"}', store => 'all');
SELECT streamproc.create_detector('peaks', 'reading', method => 'records', value => 'value', store => 'all', carry => '{id AS reading}');
SELECT streamproc.wait_for();
INSERT INTO reading SELECT i, i % 3, normal(i) * (1 + i % 3), '2026-01-01'::timestamptz + i * interval '1 minute'
FROM generate_series(1, 2500) i;
SELECT streamproc.wait_for();
SELECT streamproc.stop();
SELECT streamproc.start();
INSERT INTO reading SELECT i, i % 3, normal(i) * (1 + i % 3), '2026-01-01'::timestamptz + i * interval '1 minute'
FROM generate_series(2501, 4500) i;
SELECT streamproc.wait_for();

-- Among the scores before it that were ready, as many are as high, within the width of a bin; beyond 1 in 20, which is
-- extrapolated, within a factor.
CREATE FUNCTION check_ranks(detector regclass, partition_by text, bin float8, OUT scores bigint, OUT unready bigint,
	OUT wrong_body bigint, OUT wrong_tail bigint) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format($q$
		WITH s AS (SELECT reading, sensor, score, p_value, row_number() OVER (PARTITION BY sensor ORDER BY reading) > 50 AS is_ready
			FROM %s),
		r AS (SELECT a.*, c.n, c.sure, c.most FROM s a, LATERAL (SELECT count(*) AS n, count(*) FILTER (WHERE b.score >= a.score * $1) AS sure,
			count(*) FILTER (WHERE b.score >= a.score / $1) AS most
			FROM s b WHERE b.is_ready AND b.reading < a.reading AND (%s)) c)
		SELECT count(*), count(*) FILTER (WHERE NOT is_ready AND p_value = 1 AND score = 0),
			count(*) FILTER (WHERE is_ready AND sure >= greatest(60, 0.07 * n)
				AND NOT p_value BETWEEN 0.95 * (sure + 1) / (n + 1) AND 1.05 * (most + 1) / (n + 1)),
			count(*) FILTER (WHERE is_ready AND sure BETWEEN 10 AND 60
				AND NOT p_value BETWEEN (sure + 1) / 2.5 / (n + 1) AND 2.5 * (most + 1) / (n + 1))
		FROM r$q$, detector, partition_by) INTO scores, unready, wrong_body, wrong_tail USING bin;
END $$;
SELECT * FROM check_ranks('of_key', 'b.sensor = a.sensor', 2 ^ 0.25);
SELECT * FROM check_ranks('of_all', 'true', 2 ^ (1 / 32.0));

-- Of data that stay the same it is uniform: as many below p as p says.
SELECT name, max(abs(rank - p_value)) < 0.04 AS is_uniform, count(*) FILTER (WHERE p_value < 0.01) BETWEEN 8 AND 40 AS one_in_100
FROM (SELECT name, p_value, row_number() OVER (PARTITION BY name ORDER BY p_value) / count(*) OVER (PARTITION BY name)::float8 AS rank
	FROM (SELECT 'of_key' AS name, reading, p_value FROM of_key UNION ALL SELECT 'of_all', reading, p_value FROM of_all
		UNION ALL SELECT 'keyless', reading, p_value FROM keyless) a WHERE reading > 2000) r GROUP BY name ORDER BY name;

-- What is only alerted has the same p_value: all scores count, flagged ones too.
SELECT count(*) > 5 AS some, count(*) FILTER (WHERE k.p_value < 0.02) = count(*) AS are_rare FROM alerts a JOIN of_key k USING (reading);
SELECT count(*) FROM (SELECT reading, score, p_value FROM (SELECT a.*, s.s FROM alerts a JOIN (SELECT id,
	streamproc.score_online('ewma', ts, value, '{"alpha": 0.01, "warmup": 50}', learn => 'normal') OVER (PARTITION BY sensor ORDER BY ts) AS s
	FROM reading) s ON s.id = a.reading) a WHERE (s).score IS DISTINCT FROM score OR (s).p_value IS DISTINCT FROM p_value) d;

-- Without calibration it is what the method's theory says, or unknown.
SELECT count(*) FILTER (WHERE reading > 300 AND p_value < 0.01) BETWEEN 20 AND 90 AS by_theory, count(*) FILTER (WHERE p_value IS NULL) AS unknown
FROM of_none;
SELECT count(*) > 0 AS some, count(p_value) AS known FROM unready;

-- The scores of all keys: a query has them where there is one partition. Across a restart, and if it is made from history.
SELECT streamproc.create_detector('again', 'reading', method => 'ewma', value => 'value', carry => '{id AS reading}',
	params => '{"alpha": 0.01, "calibrate": "detector"}', store => 'all');
SELECT streamproc.wait_for();
INSERT INTO reading SELECT i, i % 3, normal(i) * (1 + i % 3), '2026-01-01'::timestamptz + i * interval '1 minute'
FROM generate_series(4501, 4600) i;
SELECT streamproc.wait_for();
WITH s AS (SELECT id, streamproc.score_online('ewma', ts, value, '{"alpha": 0.01, "calibrate": "detector"}') OVER (ORDER BY ts) AS e,
	streamproc.score_online('records', ts, value) OVER (ORDER BY ts) AS r FROM reading)
SELECT count(*) AS rows, count(*) FILTER (WHERE k.p_value IS DISTINCT FROM (e).p_value OR k.score IS DISTINCT FROM (e).score) AS streamed,
	count(*) FILTER (WHERE a.p_value IS DISTINCT FROM (e).p_value OR a.score IS DISTINCT FROM (e).score) AS from_history,
	count(*) FILTER (WHERE p.p_value IS DISTINCT FROM (r).p_value OR p.score IS DISTINCT FROM (r).score) AS of_records
FROM s LEFT JOIN keyless k ON k.reading = s.id LEFT JOIN again a ON a.reading = s.id LEFT JOIN peaks p ON p.reading = s.id;

-- Bad input
SELECT streamproc.create_detector('bad', 'reading', method => 'ewma', value => 'value', params => '{"calibrate": "all"}');
SELECT method, default_value, range FROM streamproc.method_parameters WHERE parameter = 'calibrate' AND method IN ('ewma', 'records');

SET client_min_messages = warning;
SELECT streamproc.drop_stream('reading', cascade => true);
DROP SCHEMA calibration_test CASCADE;
