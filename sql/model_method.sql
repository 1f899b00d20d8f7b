--
-- Method "model": a stored model of a batch method, applied to each event; against score() over the same rows.
--
SET timezone = 'UTC';
CREATE SCHEMA model_method_test;
SET search_path = model_method_test, public;

CREATE TABLE payment (number int, card int, amount float8, hour int, ts timestamptz);
CREATE TABLE past AS SELECT i AS id, 20 + hashint4(i) % 10 AS amount, i % 24 AS hour FROM generate_series(1, 2000) i;
CREATE TABLE model AS SELECT streamproc.isolation_forest_train(ARRAY[amount, hour]::float8[]) AS forest,
	streamproc.mahalanobis_train(ARRAY[amount, hour]::float8[]) AS mahalanobis FROM past;
SELECT streamproc.create_stream('payment', 'ts', watermark => '1 hour', idle_timeout => '1 day');
SELECT streamproc.create_detector('by_forest', 'payment', 'model', features => '{amount, hour}', keys => '{card}', carry => '{number}', store => 'all', threshold => 0.6,
	params => jsonb_build_object('model', forest::text)) FROM model;
SELECT streamproc.create_detector('by_distance', 'payment', 'model', features => '{amount, hour}', carry => '{number}', store => 'all', threshold => 4,
	params => jsonb_build_object('model', mahalanobis::text)) FROM model;
SELECT streamproc.wait_for();
INSERT INTO payment SELECT i, i % 7, CASE WHEN i % 100 = 0 THEN 500 ELSE 20 + hashint4(i) % 12 END, i % 24, '2026-01-01'::timestamptz + i * interval '1 minute'
FROM generate_series(1, 1000) i;
INSERT INTO payment VALUES (1001, 1, NULL, 3, '2026-01-02'), (1002, 1, 1e300, 3, '2026-01-02');
SELECT streamproc.wait_for();
SELECT count(*) AS rows, count(*) FILTER (WHERE f.score IS DISTINCT FROM streamproc.score(m.forest, p.amount, p.hour)) AS scores,
	count(*) FILTER (WHERE f.is_anomaly IS DISTINCT FROM (streamproc.score(m.forest, p.amount, p.hour) > 0.6)) AS anomalies,
	count(*) FILTER (WHERE f.is_anomaly) > 5 AS some
FROM by_forest f JOIN payment p USING (number), model m;
SELECT count(*) AS rows, count(*) FILTER (WHERE d.score IS DISTINCT FROM streamproc.score(m.mahalanobis, p.amount, p.hour)) AS scores,
	count(*) FILTER (WHERE d.is_anomaly IS DISTINCT FROM (streamproc.score(m.mahalanobis, p.amount, p.hour) > 4)) AS anomalies
FROM by_distance d JOIN payment p USING (number), model m WHERE number <> 1002;
-- of detectors' scores that is the highest one
SELECT max(score) FROM by_distance WHERE number = 1002;

-- What each feature contributes is what explain() says of the model.
SELECT count(*) > 5 AS some, count(*) FILTER (WHERE (d.explanation->'contributions'->>'amount')::float8 IS DISTINCT FROM
	(streamproc.explain(m.mahalanobis, ARRAY[p.amount, p.hour], '{amount, hour}')->'contributions'->>'amount')::float8) AS differences
FROM by_distance d JOIN payment p USING (number), model m WHERE d.is_anomaly AND d.number <= 1000;

-- The query says the same as the stream.
SELECT format('SELECT count(*) AS rows, count(*) FILTER (WHERE (f.score, f.is_anomaly, f.p_value) IS DISTINCT FROM ((o).score, (o).is_anomaly, (o).p_value)) AS differences
	FROM by_forest f JOIN (SELECT number, streamproc.score_online(''model'', ts, ARRAY[amount, hour]::float8[], %L, threshold => 0.6) OVER (PARTITION BY card ORDER BY number) AS o
	FROM payment WHERE amount IS NOT NULL) w USING (number)', jsonb_build_object('model', forest::text)) AS query FROM model \gset
\set ECHO none
:query;
\set ECHO all

-- Within the row's own transaction.
SELECT streamproc.enforce('by_forest', 'reject');
\set VERBOSITY terse
-- it is refused by what the model says of it, and its refusal is a row of the detector's
INSERT INTO payment VALUES (2000, 1, 5000, 400, '2026-01-03');
\set VERBOSITY default
INSERT INTO payment VALUES (2001, 1, 22, 3, '2026-01-03');
SELECT number FROM payment WHERE number >= 2000;
SELECT streamproc.wait_for();
SELECT number, is_anomaly, f.score IS NOT DISTINCT FROM streamproc.score(m.forest, x, y) AS as_score FROM by_forest f JOIN (VALUES (2000, 5000, 400), (2001, 22, 3)) v (number, x, y) USING (number), model m
ORDER BY number;

-- What isn't possible is told.
SELECT streamproc.create_detector('no', 'payment', 'model', features => '{amount, hour}');
SELECT streamproc.create_detector('no', 'payment', 'model', features => '{amount, hour}', params => '{"model": 3}');
SELECT streamproc.create_detector('no', 'payment', 'model', features => '{amount, hour}', params => '{"model": "isolation_forest:00"}');
\set VERBOSITY terse
SELECT streamproc.create_detector('no', 'payment', 'model', features => '{amount}', params => jsonb_build_object('model', forest::text)) FROM model;
SELECT streamproc.create_detector('no', 'payment', 'model', features => '{amount, hour}', params => jsonb_build_object('model', mahalanobis::text)) FROM model;
SELECT streamproc.create_detector('no', 'payment', 'model', value => 'amount', params => jsonb_build_object('model', forest::text)) FROM model;
\set VERBOSITY default
SELECT method, takes, default_threshold FROM streamproc.methods WHERE method = 'model';
SELECT parameter, type, default_value, range FROM streamproc.method_parameters WHERE method = 'model' AND parameter = 'model';

SET client_min_messages = warning;
DROP SCHEMA model_method_test CASCADE;
