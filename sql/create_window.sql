--
-- create_window() and drop_window()
--
SET client_min_messages = warning;
CREATE ROLE regress_windower;
RESET client_min_messages;
GRANT CREATE ON SCHEMA public TO regress_windower;
SET TimeZone = 'UTC';

CREATE TABLE payments (id bigint NOT NULL, customer int NOT NULL, shop text, amount float8, price numeric(10, 2),
	doc json, ts timestamptz, local timestamp, day date);
SELECT streamproc.create_stream('payments', 'ts');

-- result table, twin, definition
SELECT streamproc.create_window('totals', 'payments', 'tumbling', size => '1 minute',
	keys => '{customer}', aggregates => '{count(*) AS n,sum(amount) AS total,"max(price) FILTER (WHERE amount > 0) AS \"Top\""}');
\d totals
SELECT d.kind, d.size, d.source, d.twin, d.keys, d.aggregates, d.emit, d.trigger, d.grace, d.origin, d.time_zone, d.retention,
		d.backfill
	FROM streamproc.window_definition d WHERE relation = 'totals'::regclass;
SELECT reloptions, amname FROM pg_class JOIN pg_am ON pg_am.oid = relam WHERE relname = 'totals';
SELECT obj_description('totals'::regclass), obj_description('totals_sql'::regclass);

-- keys that can be null, expressions, a collation; names that need quotes; final rows are written once
CREATE SCHEMA results;
SELECT streamproc.create_window('results."By Shop"', 'payments', 'tumbling', size => '1 day',
	keys => '{shop,"lower(shop) COLLATE \"C\" AS \"Lower\"","payments.price AS price"}', aggregates => '{avg(amount) AS avg}',
	filter => 'amount IS NOT NULL', emit => 'final', trigger => '30 seconds', grace => '1 hour', origin => '2024-01-01 06:00',
	time_zone => 'Europe/Berlin', retention => '1 year', backfill => false);
\d results."By Shop"
SELECT reloptions FROM pg_class WHERE relname = 'By Shop';
SELECT keys, aggregates, filter, emit, trigger, grace, origin, time_zone, retention, backfill
	FROM streamproc.window_definition WHERE relation = 'results."By Shop"'::regclass;
\d results."By Shop_sql"

-- running totals, by key and of everything
SELECT streamproc.create_window('by_shop', 'payments', 'global', keys => '{shop}', aggregates => '{sum(price) AS sum}');
\d by_shop
SELECT streamproc.create_window('everything', 'payments', 'global', aggregates => '{count(*) AS n}');
\d everything

-- timestamp, date and commit time
CREATE TABLE local_payments (LIKE payments);
SELECT streamproc.create_stream('local_payments', 'local', time_zone => 'Asia/Tokyo');
SELECT streamproc.create_window('local_totals', 'local_payments', 'tumbling', size => '1 hour', aggregates => '{count(*) AS n}');
CREATE TABLE daily_payments (LIKE payments);
SELECT streamproc.create_stream('daily_payments', 'day');
SELECT streamproc.create_window('daily_totals', 'daily_payments', 'tumbling', size => '1 month', aggregates => '{count(*) AS n}');
CREATE TABLE untimed (LIKE payments);
SELECT streamproc.create_stream('untimed');
SELECT streamproc.create_window('untimed_totals', 'untimed', 'tumbling', size => '1 hour', aggregates => '{count(*) AS n}');
SELECT r.relation, t.atttypid::regtype, r.twin FROM streamproc.window_definition r
	JOIN pg_attribute t ON t.attrelid = r.relation AND t.attname = 'window_start'
	WHERE r.relation::text ~ '^(local|daily|untimed)' ORDER BY r.id;

-- verify needs a twin
SELECT * FROM streamproc.verify('totals');
SELECT * FROM streamproc.verify('untimed_totals');
SELECT * FROM streamproc.verify('payments');
SELECT * FROM streamproc.verify('totals_sql');
SELECT * FROM streamproc.verify('streamproc.status');
SELECT * FROM streamproc.verify(NULL);
SELECT * FROM streamproc.verify(0);
SELECT * FROM streamproc.verify(4294967295);
CREATE TABLE clicks (ts timestamptz) USING streamproc;
SELECT streamproc.create_stream('clicks', 'ts');
SELECT streamproc.create_window('click_totals', 'clicks', 'tumbling', size => '1 hour', aggregates => '{count(*) AS n}');
SELECT * FROM streamproc.verify('click_totals');
SELECT streamproc.drop_stream('clicks', cascade => true);
DROP TABLE clicks;

-- all in one transaction, and undone in part
BEGIN;
CREATE TABLE short (ts timestamptz, v int);
SELECT streamproc.create_stream('short', 'ts');
SELECT streamproc.create_window('short_totals', 'short', 'global', aggregates => '{sum(v) AS v}');
SAVEPOINT s;
SELECT streamproc.drop_window('short_totals');
SELECT streamproc.create_window('short_totals', 'short', 'tumbling', size => '1 day', aggregates => '{sum(v) AS v}');
ROLLBACK TO s;
SELECT streamproc.create_detector('short_watch', 'short_totals', 'rule', rules => '{v > 1 AS many}', sample => 'update');
COMMIT;
SELECT kind FROM streamproc.window_definition WHERE relation = 'short_totals'::regclass;
SELECT streamproc.drop_stream('short', cascade => true);
DROP TABLE short;

-- again
SELECT streamproc.create_window('totals', 'payments', 'global', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('totals', 'payments', 'global', aggregates => '{count(*) AS n}', if_not_exists => true);
SELECT streamproc.create_window('totals', 'payments', 'global', aggregates => '{count(*) AS n}', replace => true);
SELECT kind FROM streamproc.window_definition WHERE relation = 'totals'::regclass;
SELECT streamproc.create_window('payments', 'payments', 'global', aggregates => '{count(*) AS n}', replace => true);
SELECT streamproc.create_window('pg_temp.totals', 'payments', 'global', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('nowhere.totals', 'payments', 'global', aggregates => '{count(*) AS n}');

-- expressions: errors point into them
SELECT streamproc.create_window('w', 'payments', 'global', aggregates => '{sum(amountt) AS x}');
SELECT streamproc.create_window('w', 'payments', 'global', keys => '{shop,"customer +  AS x"}');
SELECT streamproc.create_window('w', 'payments', 'global', keys => '{shop + 1 AS x}');
SELECT streamproc.create_window('w', 'payments', 'global', keys => '{""}');
SELECT streamproc.create_window('w', 'payments', 'global', keys => '{"shop AS a, shop AS b"}');
SELECT streamproc.create_window('w', 'payments', 'global', keys => '{shop FROM payments}');
SELECT streamproc.create_window('w', 'payments', 'global', keys => '{DISTINCT shop}');
SELECT streamproc.create_window('w', 'payments', 'global', keys => '{shop; DROP TABLE payments}');
SELECT streamproc.create_window('w', 'payments', 'global', keys => '{payments.*}');
SELECT streamproc.create_window('w', 'payments', 'global', keys => '{*}');
SELECT streamproc.create_window('w', 'payments', 'global', filter => '*', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'global', keys => '{payments AS p}');
SELECT streamproc.create_window('w', 'payments', 'global', keys => '{payments.* AS p}');
SELECT streamproc.create_window('w', 'payments', 'global', keys => '{ctid}');
SELECT streamproc.create_window('w', 'payments', 'global', keys => '{upper(shop)}');
SELECT streamproc.create_window('w', 'payments', 'global', keys => '{$1 AS x}');
SELECT streamproc.create_window('w', 'payments', 'global', keys => '{(SELECT 1) AS x}');
SELECT streamproc.create_window('w', 'payments', 'global', keys => ARRAY['generate_series(1, 2) AS x']);
SELECT streamproc.create_window('w', 'payments', 'global', keys => '{row_number() OVER () AS x}');
SELECT streamproc.create_window('w', 'payments', 'global', keys => '{count(*) AS x}');
SELECT streamproc.create_window('w', 'payments', 'global', keys => '{random() AS x}');
SELECT streamproc.create_window('w', 'payments', 'global', keys => '{now() - ts AS age}');
SELECT streamproc.create_window('w', 'payments', 'global', keys => '{CURRENT_DATE AS today}');
SELECT streamproc.create_window('w', 'payments', 'global', keys => '{age(ts) AS age}');
SELECT streamproc.create_window('w', 'payments', 'global', keys => '{doc}');
SELECT streamproc.create_window('w', 'payments', 'global', keys => '{shop,upper(shop) AS shop}');
SELECT streamproc.create_window('w', 'payments', 'tumbling', size => '1 hour', keys => '{ts AS window_start}');
SELECT streamproc.create_window('w', 'payments', 'global', keys => ARRAY[['shop']]);
SELECT streamproc.create_window('w', 'payments', 'global', keys => ARRAY['shop', NULL]);
SELECT streamproc.create_window('w', 'payments', 'global', aggregates => '{count(*)}');
SELECT streamproc.create_window('w', 'payments', 'global', aggregates => '{amount AS x}');
SELECT streamproc.create_window('w', 'payments', 'global', aggregates => '{sum(amount) / count(*) AS x}');
SELECT streamproc.create_window('w', 'payments', 'global', aggregates => '{sum(sum(amount)) AS x}');
SELECT streamproc.create_window('w', 'payments', 'global', aggregates => '{sum(amount * random()) AS x}');
SELECT streamproc.create_window('w', 'payments', 'global', filter => 'amount', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'global', filter => 'count(*) > 1', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'global', filter => 'shop = ''a'' AS b', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'global', filter => 'ts < clock_timestamp()', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'global');

-- parameters
SELECT streamproc.create_window('w', 'payments', 'hoping', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', NULL, aggregates => '{count(*) AS n}');
SELECT streamproc.create_window(NULL, 'payments', 'global', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('', 'payments', 'global', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('a..b', 'payments', 'global', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('elsewhere.public.w', 'payments', 'global', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', NULL, 'global', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 0, 'global', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('a b', 'payments', 'global', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'tumbling', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'tumbling', size => '0', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'tumbling', size => '-1 day', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'tumbling', size => '1 day 1 hour', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'daily_payments', 'tumbling', size => '1 hour', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'daily_payments', 'tumbling', size => '1 day', origin => '2024-01-01 06:00', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'local_payments', 'tumbling', size => '1 day', time_zone => 'Europe/Berlin', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'tumbling', size => '1 day', origin => 'infinity', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'tumbling', size => '1 day', origin => '4714-11-24 00:00 BC', time_zone => 'Asia/Tokyo',
	aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'tumbling', size => '1 day', time_zone => 'Middle/Earth', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'tumbling', size => '1 day', trigger => '-1 s', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'tumbling', size => '1 day', grace => '1 month', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'tumbling', size => '1 day', retention => '0', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'tumbling', size => '1 day', emit => 'never', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'tumbling', size => '1 day', backfill => NULL, aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'global', size => '1 day', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'global', grace => '1 day', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'global', emit => 'final', aggregates => '{count(*) AS n}');

-- which parameters go with which kind
SELECT streamproc.create_window('w', 'payments', 'tumbling', size => '1 day', slide => '1 hour', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'tumbling', size => '1 day', gap => '1 hour', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'tumbling', size => '1 day', carry => '{id}', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'tumbling', size => '1 day', bounds => '[]', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'hopping', size => '1 hour', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'hopping', slide => '1 hour', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'cumulative', size => '1 hour', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'session', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'session', gap => '1 hour', size => '1 day', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'session', gap => '1 hour', origin => '2024-01-01', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'session', gap => '1 hour', fill => 'zero', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'sliding', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'sliding', size => '1 hour', slide => '1 minute', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'sliding', size => '1 hour', emit => 'final', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'sliding', size => '1 hour', fill => 'zero', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'global', watermark => '1 hour', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'global', carry => '{id}', aggregates => '{count(*) AS n}');
-- sizes
SELECT streamproc.create_window('w', 'payments', 'hopping', size => '0', slide => '1 hour', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'hopping', size => '-1 hour', slide => '1 hour', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'hopping', size => '1 hour', slide => '0', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'hopping', size => '1 hour', slide => '-1 minute', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'hopping', size => '1 hour', slide => '2 hours', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'hopping', size => '1 hour', slide => '7 minutes', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'hopping', size => '1 day', slide => '1 hour', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'hopping', size => '1 month', slide => '1 day', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'hopping', size => '1 month 1 day', slide => '1 day', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'hopping', size => '1001 seconds', slide => '1 second', aggregates => '{count(*) AS n}');
SET streamproc.max_windows_per_row = 59;
SELECT streamproc.create_window('w', 'payments', 'hopping', size => '1 hour', slide => '1 minute', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'cumulative', size => '1 day', slide => '10 minutes', aggregates => '{count(*) AS n}');
RESET streamproc.max_windows_per_row;
SELECT streamproc.create_window('w', 'payments', 'cumulative', size => '1 day', slide => '1 month', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'cumulative', size => '7 days', slide => '2 days', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'cumulative', size => '7 days', slide => '1000 hours', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'daily_payments', 'cumulative', size => '7 days', slide => '12 hours', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'session', gap => '0', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'session', gap => '-1 minute', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'session', gap => '1 month', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'daily_payments', 'session', gap => '36 hours', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'sliding', size => '0', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'sliding', size => '1 month', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'sliding', size => '300000 years'::interval, aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'sliding', size => '1 hour', bounds => '[)', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'daily_payments', 'sliding', size => '1 hour', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'tumbling', size => '1 day', fill => 'one', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'payments', 'tumbling', size => '1 day', watermark => '-1 hour', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'by_shop', 'tumbling', size => '1 day', aggregates => '{count(*) AS n}');
SELECT streamproc.create_window('w', 'results."By Shop"', 'tumbling', size => '1 day', watermark => '1 hour', aggregates => '{count(*) AS n}');

-- a table that is no stream
CREATE TABLE plain (ts timestamptz);
SELECT streamproc.create_window('w', 'plain', 'global', aggregates => '{count(*) AS n}');

-- rights: one's own result table, others' rows only when one may read them
SET ROLE regress_windower;
SELECT streamproc.create_window('w', 'payments', 'global', aggregates => '{count(*) AS n}');
RESET ROLE;
GRANT SELECT (ts, amount) ON payments TO regress_windower;
SET ROLE regress_windower;
SELECT streamproc.create_window('w', 'payments', 'global', aggregates => '{sum(amount) AS total}');
RESET ROLE;
GRANT SELECT ON payments TO regress_windower;
CREATE FUNCTION secret(float8) RETURNS float8 LANGUAGE sql IMMUTABLE RETURN $1;
REVOKE EXECUTE ON FUNCTION secret FROM PUBLIC;
SET ROLE regress_windower;
\set VERBOSITY terse
SELECT streamproc.create_window('w', 'payments', 'global', aggregates => '{sum(secret(amount)) AS total}');
SELECT streamproc.create_window('results.w', 'payments', 'global', aggregates => '{count(*) AS n}');
\set VERBOSITY default
SELECT streamproc.create_window('w', 'payments', 'global', aggregates => '{sum(amount) AS total}');
SELECT * FROM w_sql;
SELECT relname, relowner::regrole FROM pg_class WHERE oid IN
	(SELECT unnest(ARRAY[relation, twin]) FROM streamproc.window_definition WHERE relation = 'w'::regclass) ORDER BY 1;
SELECT relowner::regrole FROM pg_class
	WHERE oid = (SELECT expressions FROM streamproc.window_definition WHERE relation = 'w'::regclass);
SELECT streamproc.drop_window('totals');
SELECT streamproc.create_window('totals', 'payments', 'global', aggregates => '{sum(amount) AS total}', replace => true);
RESET ROLE;
-- row security
ALTER TABLE payments ENABLE ROW LEVEL SECURITY;
SET ROLE regress_windower;
SELECT streamproc.create_window('w3', 'payments', 'global', aggregates => '{sum(amount) AS total}');
RESET ROLE;
ALTER TABLE payments DISABLE ROW LEVEL SECURITY;
-- names are looked up by whoever creates the window: nobody else's function of that name gets in
CREATE FUNCTION results.lower(text) RETURNS text LANGUAGE sql IMMUTABLE RETURN 'hijacked';
SET search_path = results, public, pg_catalog;
SELECT streamproc.create_window('public.mine', 'public.payments', 'global', keys => '{lower(shop) AS k}', aggregates => '{count(*) AS n}');
RESET search_path;
SELECT substring(pg_get_viewdef(twin) FROM '[a-z.]*lower') FROM streamproc.window_definition WHERE relation = 'mine'::regclass;
SELECT session_settings FROM streamproc.window_definition WHERE relation = 'mine'::regclass;

-- the source's columns: renamed, not dropped
ALTER TABLE payments RENAME COLUMN amount TO sum_paid;
SELECT * FROM w_sql;
ALTER TABLE payments RENAME COLUMN sum_paid TO amount;
\set VERBOSITY terse
ALTER TABLE payments DROP COLUMN amount;
DROP TABLE payments;
\set VERBOSITY default

-- drop
SELECT streamproc.drop_stream('payments');
SELECT streamproc.drop_stream('totals');
SELECT streamproc.drop_window('totals');
SELECT to_regclass('totals'), to_regclass('totals_sql'),
	(SELECT count(*) FROM streamproc.window_definition WHERE relation::text = 'totals') AS definitions;
-- plain DROP, of the result table and of the source
SELECT id, expressions AS view FROM streamproc.window_definition WHERE relation = 'everything'::regclass \gset
DROP TABLE everything;
SELECT to_regclass('everything_sql'), to_regclass(:'view'), count(*) FROM streamproc.window_definition WHERE id = :id;
SET client_min_messages = warning;
DROP TABLE local_payments CASCADE;
RESET client_min_messages;
SELECT to_regclass('local_totals') AS stays, to_regclass('local_totals_sql') AS goes,
	(SELECT count(*) FROM streamproc.window_definition WHERE relation = 'local_totals'::regclass) AS definitions;
-- a view on a result table
CREATE VIEW report AS SELECT * FROM by_shop;
SELECT streamproc.drop_window('by_shop');
\set VERBOSITY terse
SELECT streamproc.drop_window('by_shop', cascade => true);
SELECT to_regclass('by_shop'), to_regclass('report');
SELECT streamproc.drop_stream('payments', cascade => true);
\set VERBOSITY default
SELECT count(*) AS left_over FROM streamproc.window_definition WHERE source = 'payments'::regclass;

SET client_min_messages = warning;
DROP SCHEMA results CASCADE;
DROP TABLE payments, daily_payments, untimed, plain, local_totals CASCADE;
DROP TABLE IF EXISTS daily_totals, untimed_totals;
DROP FUNCTION secret;
RESET client_min_messages;
REVOKE CREATE ON SCHEMA public FROM regress_windower;
DROP ROLE regress_windower;
