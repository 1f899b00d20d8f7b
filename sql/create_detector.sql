--
-- create_detector() and drop_detector()
--
SET client_min_messages = warning;
CREATE ROLE regress_watcher;
RESET client_min_messages;
GRANT CREATE ON SCHEMA public TO regress_watcher;
SET TimeZone = 'UTC';

CREATE TABLE payments (id bigint NOT NULL, customer int NOT NULL, shop text, amount numeric, ts timestamptz);
SELECT streamproc.create_stream('payments', 'ts');
SELECT streamproc.create_window('totals', 'payments', 'tumbling', size => '1 minute',
	keys => '{customer,shop}', aggregates => '{count(*) AS n,sum(amount) AS total}');
SELECT streamproc.create_window('everything', 'payments', 'global', keys => '{shop}', aggregates => '{count(*) AS n}');

-- rules over a stream
SELECT streamproc.create_detector('fraud', 'payments', 'rule',
	rules => ARRAY['amount > 10000 AS large', 'CASE WHEN shop IS NULL THEN ''no shop'' END', 'shop = ''casino'' AS casino'],
	value => 'amount', keys => '{customer}', carry => ARRAY['id AS payment', 'upper(shop) AS "Shop"'], filter => 'amount > 0',
	notify => 'fraud', store => 'all', cooldown => '1 minute', direction => 'high', min_effect => 2, retention => '1 year');
\d fraud
SELECT attname, atttypid::regtype FROM pg_attribute
	WHERE attrelid = (SELECT expressions FROM streamproc.detector_definition WHERE relation = 'fraud'::regclass) AND attnum > 0
	ORDER BY attnum;
SELECT method, value, features, rules, keys, filter, carry, params, threshold, direction, min_effect, cooldown, learn, sample,
		trigger, history, store, notify, retention, backfill
	FROM streamproc.detector_definition WHERE relation = 'fraud'::regclass;
SELECT obj_description('fraud'::regclass);

-- a method over a window: its keys are the detector's
SELECT streamproc.create_detector('odd', 'totals', 'ewma', value => 'total / n', params => '{"alpha": 0.1, "warmup": 10}',
	threshold => 4, learn => 'normal');
SELECT attname, atttypid::regtype, attnotnull FROM pg_attribute WHERE attrelid = 'odd'::regclass AND attnum BETWEEN 1 AND 5;
SELECT keys, params, threshold, learn FROM streamproc.detector_definition WHERE relation = 'odd'::regclass;
SELECT streamproc.create_detector('odder', 'totals', 'ewma', value => 'n', keys => '{"shop || 1 AS k"}', carry => '{window_start}');
SELECT keys, carry FROM streamproc.detector_definition WHERE relation = 'odder'::regclass;
SELECT streamproc.create_detector('oddest', 'everything', 'rule', rules => '{n > 1000 AS many}', sample => 'update');
SELECT attname, atttypid::regtype FROM pg_attribute WHERE attrelid = 'oddest'::regclass AND attnum BETWEEN 1 AND 4;
SELECT streamproc.create_detector('keyless', 'totals', 'ewma', value => 'n', keys => '{}');
SELECT keys FROM streamproc.detector_definition WHERE relation = 'keyless'::regclass;

-- again
SELECT streamproc.create_detector('odd', 'totals', 'ewma', value => 'n');
SELECT streamproc.create_detector('odd', 'totals', 'ewma', value => 'n', if_not_exists => true);
SELECT streamproc.create_detector('odd', 'totals', 'ewma', value => 'n', replace => true);
SELECT value FROM streamproc.detector_definition WHERE relation = 'odd'::regclass;
SELECT streamproc.create_detector('totals', 'totals', 'ewma', value => 'n', replace => true);

-- what a method needs
\set VERBOSITY terse
SELECT streamproc.create_detector('d', 'payments', 'sorcery');
SELECT streamproc.create_detector('d', 'payments', 'rule');
\set VERBOSITY default
SELECT streamproc.create_detector('d', 'payments', 'ewma');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', rules => '{amount > 1 AS x}');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', params => '{"alpha": 0}');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', params => '{"alpha": "much"}');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', params => '{"alpha": [0.1]}');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', params => '{"alpha": 1e400}');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', params => '{"warmup": 2.5}');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', params => '{"beta": 1}');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', params => '[1]');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', params => '"much"');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', params => 'null');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', params => NULL);
SELECT streamproc.create_detector('d', 'payments', 'rule', rules => '{amount > 1 AS x}', params => '{"alpha": 0.1}');

-- expressions
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'shop');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount AS x');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'sum(amount)');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount * random()');
SELECT streamproc.create_detector('d', 'payments', 'rule', rules => '{amount > 1}');
SELECT streamproc.create_detector('d', 'payments', 'rule', rules => '{amount AS x}');
SELECT streamproc.create_detector('d', 'payments', 'rule', rules => '{amount > 1 AS x,amount > 2 AS x}');
SELECT streamproc.create_detector('d', 'payments', 'rule', rules => '{amount > 1 AS x}', carry => '{id}');
SELECT streamproc.create_detector('d', 'payments', 'rule', rules => '{amount > 1 AS x}', carry => '{shop AS x}');
SELECT streamproc.create_detector('d', 'payments', 'rule', rules => '{amount > 1 AS x}', keys => '{nothing}');
SELECT streamproc.create_detector('d', 'payments', 'rule', rules => '{amount > 1 AS x}', filter => 'amount');

-- parameters
SELECT streamproc.create_detector('d', 'fraud', 'rule', rules => '{id > 1 AS x}');
SELECT streamproc.create_detector('d', NULL, 'rule', rules => '{id > 1 AS x}');
SELECT streamproc.create_detector('d', 0, 'rule', rules => '{id > 1 AS x}');
SELECT streamproc.create_detector(NULL, 'payments', 'rule', rules => '{id > 1 AS x}');
SELECT streamproc.create_detector('"d', 'payments', 'rule', rules => '{id > 1 AS x}');
SELECT streamproc.create_detector('d', 'payments', NULL, rules => '{id > 1 AS x}');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', threshold => 0);
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', threshold => 'Infinity');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', min_effect => -1);
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', min_effect => 'NaN');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', direction => 'sideways');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', learn => 'nothing');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', store => 'some');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', cooldown => '-1 s');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', trigger => '1 month');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', notify => '');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', notify => repeat('n', 64));

-- not yet
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', features => '{amount}');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', history => '1 day');
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount', sample => 'update');

-- all detectors together; each sees those that one may read
-- (the worker empties the tables of new detectors: let it be done with that)
SELECT streamproc.wait_for();
INSERT INTO fraud (event_time, customer, value, score, is_anomaly, alerts, explanation, lsn, ordinal)
	VALUES ('2024-01-01', 7, 12000, 1, true, '{large}', '{"rules": ["large"]}', '0/1', 1);
INSERT INTO odder (event_time, k, value, score, p_value, is_anomaly, lsn, ordinal)
	VALUES ('2024-01-01 00:01', 'a1', 3, 5, 0.001, true, '0/1', 1);
SELECT detector, event_time, key, value, score, p_value, is_anomaly, alerts, explanation, status
	FROM streamproc.anomalies WHERE detector IN ('fraud'::regclass, 'odder'::regclass) ORDER BY event_time;
GRANT SELECT ON odder TO regress_watcher;
SET ROLE regress_watcher;
SELECT detector, key FROM streamproc.anomalies;
SELECT name, kind FROM streamproc.status;
SELECT streamproc.create_detector('d', 'payments', 'ewma', value => 'amount');
SELECT streamproc.drop_detector('odder');
RESET ROLE;

-- drop: what others read only with them
SELECT streamproc.drop_window('totals');
SELECT streamproc.drop_detector('totals');
SELECT streamproc.drop_detector('odder');
SELECT streamproc.drop_window('totals', cascade => true);
SELECT to_regclass('totals'), to_regclass('odd'), to_regclass('odder'), to_regclass('keyless');
-- and plain DROP of the source of one
SET client_min_messages = warning;
DROP TABLE everything CASCADE;
RESET client_min_messages;
SELECT to_regclass('oddest') AS stays,
	(SELECT count(*) FROM streamproc.detector_definition WHERE relation = 'oddest'::regclass) AS definitions;

SELECT streamproc.drop_stream('payments', cascade => true);
DROP TABLE payments, oddest;
REVOKE CREATE ON SCHEMA public FROM regress_watcher;
DROP ROLE regress_watcher;
