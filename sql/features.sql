--
-- Detectors of several features.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA features_test;
SET search_path = features_test, public;
CREATE TABLE trip (id int, city text, km float8, minutes numeric, fare numeric, ts timestamptz);
SELECT streamproc.create_stream('trip', time_column => 'ts', watermark => '1 hour', idle_timeout => '1 day');

-- Names may be those of keys or of what is carried along.
SELECT streamproc.create_detector('odd', 'trip', method => 'mahalanobis', features => ARRAY['km', 'minutes', 'fare / 10 AS fare'],
	keys => '{city}', carry => ARRAY['id AS trip', 'km'], params => '{"alpha": 0.01, "warmup": 100}', threshold => 5);
\d odd
SELECT count(*) > 0 AS some FROM streamproc.methods, streamproc.create_detector('d_' || method, 'trip', method,
	features => ARRAY['km', 'minutes', 'fare'], keys => '{city}', carry => ARRAY['id AS trip'], store => 'all') WHERE takes LIKE '%features';
SELECT streamproc.wait_for();
INSERT INTO trip SELECT i, 'city ' || i % 2, d, d * 3 + (i * 7919 % 101) / 25.0, 50 + d * 12 + (i * 104729 % 97) / 10.0,
	'2026-01-01'::timestamptz + i * interval '1 minute' FROM generate_series(1, 1200) i, LATERAL (SELECT 2 + (i * 31 % 89) / 10.0 AS d) x;
SELECT streamproc.stop();
SELECT streamproc.start();
-- Each of them is usual by itself, but not with the others; a value is missing; and one is none.
INSERT INTO trip VALUES (2001, 'city 1', 2.5, 29, 80, '2026-01-02'), (2002, 'city 0', NULL, 29, 80, '2026-01-02'),
	(2003, 'city 0', 'NaN', 29, 80, '2026-01-02'), (2004, 'city 0', 8, 24, 146, '2026-01-02');
SELECT streamproc.wait_for();
SELECT trip, city, km, value, features, round(score::numeric, 1) AS score, alerts, jsonb_object_keys(explanation) AS explained FROM odd ORDER BY trip;
SELECT trip, part.key, round(part.value::numeric, 1) AS contribution, (explanation #>> ARRAY['expected', part.key, 'lower'])::float8 <
	(explanation #>> ARRAY['expected', part.key, 'upper'])::float8 AS bounded FROM odd, jsonb_each_text(explanation->'contributions') part ORDER BY 1, 2;
SELECT trip, abs(sum(part.value::float8) - score) < 1e-9 AS adds_up FROM odd, jsonb_each_text(explanation->'contributions') part GROUP BY trip, score;
-- Which one could be moved by itself to make the trip normal?
SELECT trip, range.key, range.value->>'lower' IS NOT NULL AS alone, (range.value->>'upper')::float8 < features[n] AS lower FROM odd, jsonb_each(explanation->'expected') range
	JOIN (VALUES ('km', 1), ('minutes', 2), ('fare', 3)) f (key, n) USING (key) ORDER BY 1, n;
SELECT name, reason, message, row_data->>'id' AS trip FROM streamproc.dead_letter WHERE name = 'odd'::regclass;

-- The stream and the query agree to the last bit.
CREATE FUNCTION differences(method text, OUT scored bigint, OUT different bigint) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SELECT count(*) FROM %I', 'd_' || method) INTO scored;
	EXECUTE format($q$
		WITH history AS (SELECT id, streamproc.score_online(%L, ts, ARRAY[km, minutes::float8, fare::float8])
			OVER (PARTITION BY city ORDER BY id) AS s FROM trip),
		a AS (SELECT id, (s).score, (s).is_anomaly FROM history WHERE (s).score IS NOT NULL),
		b AS (SELECT trip, score, is_anomaly FROM %I)
		SELECT count(*) FROM ((TABLE a EXCEPT ALL TABLE b) UNION ALL (TABLE b EXCEPT ALL TABLE a)) d$q$, method, 'd_' || method) INTO different;
END $$;
SELECT m.method, scored, different FROM streamproc.methods m, differences(m.method) WHERE takes LIKE '%features' AND (scored <> 1202 OR different <> 0);

-- With the nearest normal point in its place, a row that was flagged isn't, to the last bit of what is stored.
CREATE FUNCTION still_flagged(method text, OUT alerts bigint, OUT answered bigint, OUT moved bigint, OUT flagged bigint) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format($q$
		WITH alert AS (SELECT trip, city, features, ARRAY[(near->>'km')::float8, (near->>'minutes')::float8, (near->>'fare')::float8] AS normal
			FROM (SELECT *, explanation->'nearest_normal' AS near FROM %1$I WHERE is_anomaly ORDER BY trip DESC LIMIT 12) d),
		again AS (SELECT trip, normal, (SELECT (s).is_anomaly FROM (SELECT id, streamproc.score_online(%2$L, ts, CASE WHEN id = a.trip THEN a.normal
			ELSE ARRAY[km, minutes::float8, fare::float8] END) OVER (ORDER BY id) AS s FROM trip WHERE city = a.city AND id <= a.trip) r WHERE id = a.trip) AS flagged
			FROM alert a WHERE array_position(normal, NULL) IS NULL)
		SELECT count(*), count(again.trip), count(*) FILTER (WHERE again.normal <> features), count(*) FILTER (WHERE flagged IS NOT FALSE AND again.trip IS NOT NULL)
		FROM alert LEFT JOIN again USING (trip)$q$, 'd_' || method, method) INTO alerts, answered, moved, flagged;
END $$;
SELECT m.method, alerts > 0 AS some, answered > alerts / 2 AS most, moved = answered AS moved, flagged FROM streamproc.methods m, still_flagged(m.method)
WHERE m.method IN ('mahalanobis', 'half_space_trees', 'random_cut_forest') ORDER BY 1;

-- Bad input
SELECT streamproc.create_detector('d', 'trip', 'mahalanobis');
SELECT streamproc.create_detector('d', 'trip', 'mahalanobis', features => '{}');
SELECT streamproc.create_detector('d', 'trip', 'mahalanobis', value => 'km', features => '{km}');
SELECT streamproc.create_detector('d', 'trip', 'ewma', features => '{km}');
SELECT streamproc.create_detector('d', 'trip', 'mahalanobis', features => '{km, city}');
SELECT streamproc.create_detector('d', 'trip', 'mahalanobis', features => '{km, km}');
SELECT streamproc.create_detector('d', 'trip', 'mahalanobis', features => '{km * 2}');
SELECT streamproc.create_detector('d', 'trip', 'mahalanobis', features => '{km}', direction => 'high');
SELECT streamproc.create_detector('d', 'trip', 'mahalanobis', features => '{km}', learn => 'capped');
SELECT streamproc.create_detector('d', 'trip', 'mahalanobis', features => (SELECT array_agg('km + ' || i || ' AS f' || i) FROM generate_series(1, 65) i));
SELECT streamproc.create_detector('d', 'trip', 'random_cut_forest', params => '{"shingle": 4, "sample_size": 256, "trees": 128}',
	features => (SELECT array_agg('km + ' || i || ' AS f' || i) FROM generate_series(1, 64) i));
SELECT streamproc.score_online('mahalanobis', ts, ARRAY[km, 1]) OVER (), streamproc.score_online('mahalanobis', ts, '{}'::float8[]) OVER () FROM trip LIMIT 1;
SELECT streamproc.score_online('mahalanobis', ts, CASE WHEN id = 1 THEN ARRAY[km] ELSE ARRAY[km, 1] END) OVER (ORDER BY id) FROM trip WHERE id < 3;
SELECT (streamproc.score_online('mahalanobis', ts, ARRAY[km, NULL]) OVER ()).score FROM trip WHERE id < 3;
SELECT count(*) AS n, count(s.score) AS scored FROM (SELECT (streamproc.score_online('mahalanobis', ts,
	CASE WHEN id > 100 THEN ARRAY[km, minutes] END) OVER (ORDER BY id)).score FROM trip WHERE id <= 1200) s;

SET client_min_messages = warning;
SELECT streamproc.drop_stream('trip', cascade => true);
DROP SCHEMA features_test CASCADE;
