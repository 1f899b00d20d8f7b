--
-- create_stream() and drop_stream()
--
SET client_min_messages = warning;
CREATE ROLE regress_streamer;
CREATE ROLE regress_other;
RESET client_min_messages;
GRANT CREATE ON SCHEMA public TO regress_streamer;

CREATE TABLE payments (id bigint, ts timestamptz, local timestamp, day date, amount float8);

-- defaults, and everything given
SELECT streamproc.create_stream('payments');
SELECT relation, expressions, time_column, watermark, idle_timeout, max_future, time_zone, late, on_update
	FROM streamproc.stream WHERE relation = 'payments'::regclass;
SELECT streamproc.drop_stream('payments');
SELECT streamproc.create_stream('payments', 'ts', '5 seconds', '2 minutes', '3 minutes', 'Europe/Berlin', 'drop',
	NULL, NULL, 'ignore');
SELECT relation, time_column, watermark, idle_timeout, max_future, time_zone, late, on_update
	FROM streamproc.stream WHERE relation = 'payments'::regclass;
SELECT count(*) AS origins FROM pg_replication_origin, pg_database
	WHERE roname = 'streamproc_' || pg_database.oid AND datname = current_database();

-- again
SELECT streamproc.create_stream('payments', 'ts');
SELECT streamproc.create_stream('payments', 'ts', if_not_exists => true);
SELECT streamproc.create_stream('payments', 'local', time_zone => 'Asia/Tokyo', replace => true);
SELECT relation, time_column, time_zone FROM streamproc.stream WHERE relation = 'payments'::regclass;
SELECT streamproc.create_stream('payments', 'ts', if_not_exists => true, replace => true);

-- the time column: can be renamed, not dropped, nor change its type
ALTER TABLE payments RENAME COLUMN local TO happened;
\set VERBOSITY terse
ALTER TABLE payments DROP COLUMN happened;
ALTER TABLE payments ALTER COLUMN happened TYPE date;
\set VERBOSITY default
SELECT streamproc.drop_stream('payments');
ALTER TABLE payments RENAME COLUMN happened TO local;

-- undone by rollback
BEGIN;
SELECT streamproc.create_stream('payments', 'day');
ROLLBACK;
SELECT count(*) FROM streamproc.stream WHERE relation = 'payments'::regclass;
BEGIN;
SELECT streamproc.create_stream('payments', 'day');
SAVEPOINT s;
SELECT streamproc.drop_stream('payments');
ROLLBACK TO s;
COMMIT;
SELECT relation, time_column FROM streamproc.stream WHERE relation = 'payments'::regclass;

-- plain DROP TABLE ends the stream
SELECT id, expressions AS view FROM streamproc.stream WHERE relation = 'payments'::regclass \gset
DROP TABLE payments;
SELECT (SELECT count(*) FROM streamproc.stream WHERE id = :id) AS streams, to_regclass(:'view') AS view;

-- values that make no sense
CREATE TABLE payments (id bigint, ts timestamptz, amount float8, raw json);
SELECT streamproc.create_stream(NULL);
SELECT streamproc.create_stream(0);
SELECT streamproc.create_stream(4294967295);
SELECT streamproc.create_stream('nowhere');
SELECT streamproc.create_stream('payments', 'tss');
SELECT streamproc.create_stream('payments', 'ctid');
SELECT streamproc.create_stream('payments', 'amount');
SELECT streamproc.create_stream('payments', watermark => '-1 second');
SELECT streamproc.create_stream('payments', watermark => '1 month');
SELECT streamproc.create_stream('payments', watermark => NULL);
SELECT streamproc.create_stream('payments', idle_timeout => '0');
SELECT streamproc.create_stream('payments', idle_timeout => '2 days -50 hours');
SELECT streamproc.create_stream('payments', max_future => '-00:00:00.000001');
SELECT streamproc.create_stream('payments', max_future => '178000000 years');
SELECT streamproc.create_stream('payments', time_zone => 'Mars/Olympus');
SELECT streamproc.create_stream('payments', late => 'amend');
SELECT streamproc.create_stream('payments', on_update => 'shrug');

-- a dedup_key and how far apart its rows may be
SELECT streamproc.create_stream('payments', dedup_key => '{id}');
SELECT streamproc.create_stream('payments', dedup_within => '1 hour');
SELECT streamproc.create_stream('payments', dedup_key => '{}', dedup_within => '1 hour');
SELECT streamproc.create_stream('payments', dedup_key => '{id, NULL}', dedup_within => '1 hour');
SELECT streamproc.create_stream('payments', dedup_key => '{{id}}', dedup_within => '1 hour');
SELECT streamproc.create_stream('payments', dedup_key => array_fill('id'::name, '{33}'), dedup_within => '1 hour');
SELECT streamproc.create_stream('payments', dedup_key => '{id, idd}', dedup_within => '1 hour');
SELECT streamproc.create_stream('payments', dedup_key => '{ctid}', dedup_within => '1 hour');
SELECT streamproc.create_stream('payments', dedup_key => '{id, ts, id}', dedup_within => '1 hour');
SELECT streamproc.create_stream('payments', dedup_key => '{raw}', dedup_within => '1 hour');
SELECT streamproc.create_stream('payments', dedup_key => '{id}', dedup_within => '0');
SELECT streamproc.create_stream('payments', dedup_key => '{id}', dedup_within => '-1 second');
SELECT streamproc.create_stream('payments', dedup_key => '{id}', dedup_within => '1 month');
SELECT streamproc.create_stream('payments', dedup_key => '{id}', dedup_within => '1 month -20 days');
SELECT streamproc.create_stream('payments', dedup_key => '{id}', dedup_within => '300000 years');
SELECT streamproc.create_stream('payments', dedup_key => '{id}', dedup_within => '1 hour', on_update => 'retract');
SELECT streamproc.create_stream('payments', 'ts', dedup_key => '{ts, id}', dedup_within => '1 day 1 hour');
SELECT time_column, dedup_key, dedup_within FROM streamproc.stream WHERE relation = 'payments'::regclass;
SELECT streamproc.drop_stream('payments');

-- what is taken back must be in the WAL
SELECT streamproc.create_stream('payments', on_update => 'retract');

-- relations that can't be streams
CREATE VIEW payment_view AS SELECT * FROM payments;
SELECT streamproc.create_stream('payment_view');
CREATE INDEX payment_index ON payments (id);
SELECT streamproc.create_stream('payment_index');
CREATE UNLOGGED TABLE fleeting (ts timestamptz);
SELECT streamproc.create_stream('fleeting');
CREATE TEMP TABLE passing (ts timestamptz);
SELECT streamproc.create_stream('passing');
SELECT streamproc.create_stream('pg_class');
SELECT streamproc.create_stream('streamproc.stream');
CREATE TABLE cataloged (ts timestamptz) WITH (user_catalog_table = true);
SELECT streamproc.create_stream('cataloged');
CREATE TABLE parted (ts timestamptz) PARTITION BY RANGE (ts);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE UNLOGGED TABLE parted_2 PARTITION OF parted FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
SELECT streamproc.create_stream('parted', 'ts');
DROP TABLE parted_2;
SELECT streamproc.create_stream('parted', 'ts');
SELECT streamproc.create_stream('parted_1', 'ts');
SELECT streamproc.drop_stream('parted_1');
SELECT streamproc.drop_stream('parted');

-- rights
SET ROLE regress_streamer;
SELECT streamproc.create_stream('payments');
CREATE TABLE mine (ts timestamptz, tenant text);
SELECT streamproc.create_stream('mine', 'ts');
SELECT name, kind, state IN ('starting', 'running') AS alive FROM streamproc.status WHERE source IS NULL;
RESET ROLE;
SET ROLE regress_other;
SELECT streamproc.drop_stream('mine');
SELECT streamproc.pause('mine');
SELECT streamproc.resume('mine');
SELECT count(*) FROM streamproc.status;
DELETE FROM streamproc.stream;
SELECT * FROM streamproc.secret;
SELECT * FROM streamproc.rejected_row;
RESET ROLE;

-- row security: the WAL knows no policies
SET ROLE regress_streamer;
SELECT streamproc.drop_stream('mine');
ALTER TABLE mine ENABLE ROW LEVEL SECURITY;
SELECT streamproc.create_stream('mine', 'ts');
SELECT streamproc.drop_stream('mine');
ALTER TABLE mine FORCE ROW LEVEL SECURITY;
SELECT streamproc.create_stream('mine', 'ts');
RESET ROLE;

-- pause and resume
SELECT streamproc.create_stream('payments', 'ts');
SELECT streamproc.pause('payments');
SELECT name, state, reason = 'paused by ' || current_user AS ok FROM streamproc.status WHERE name = 'payments'::regclass;
SELECT streamproc.create_window('of_paused', 'payments', 'global', aggregates => '{count(*) AS n}');
SELECT streamproc.resume('payments');
SELECT name, state IN ('starting', 'running') AS alive FROM streamproc.status WHERE name = 'payments'::regclass;
SELECT streamproc.pause('payment_view');
SELECT streamproc.pause(NULL);
SELECT streamproc.pause(0);
SELECT streamproc.resume(NULL);
SELECT streamproc.resume(4294967295);
SELECT streamproc.drop_window('payments');
SELECT streamproc.drop_window(NULL);
SELECT streamproc.drop_window(0);
SELECT streamproc.drop_detector(NULL);
SELECT streamproc.drop_detector(0);
SELECT streamproc.drop_stream(NULL);
SELECT streamproc.drop_stream(0);
SELECT streamproc.drop_stream('payments', cascade => NULL);
SELECT streamproc.drop_stream('payment_view');
SELECT streamproc.drop_stream('payments');

DROP TABLE payments, fleeting, cataloged, parted, mine CASCADE;
REVOKE CREATE ON SCHEMA public FROM regress_streamer;
DROP ROLE regress_streamer, regress_other;
