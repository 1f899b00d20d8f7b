--
-- Refusals are reported whatever state the stream and the detector are in.
--
SET timezone = 'UTC';
CREATE SCHEMA shield_reports_test;
SET search_path = shield_reports_test, public;
CREATE TABLE payment (id int, amount float8, ts timestamptz);
SELECT streamproc.create_stream('payment', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_detector('large', 'payment', method => 'rule', rules => ARRAY['amount > 1000 AS large'], carry => ARRAY['id AS payment_id']);
SELECT streamproc.enforce('large');
-- From now on there is a replication slot.
SELECT streamproc.wait_for();
-- In the transaction that creates it, and before the worker has met it.
BEGIN;
CREATE TABLE other (LIKE payment);
SELECT streamproc.create_stream('other', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_detector('large_other', 'other', method => 'rule', rules => ARRAY['amount > 1000 AS large']);
SELECT streamproc.enforce('large_other');
INSERT INTO other VALUES (1, 5000, '2026-01-01 00:00+00');
ROLLBACK;
BEGIN;
CREATE TABLE other (LIKE payment);
SELECT streamproc.create_stream('other', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_detector('large_other', 'other', method => 'rule', rules => ARRAY['amount > 1000 AS large'], carry => ARRAY['id AS other_id']);
SELECT streamproc.enforce('large_other');
SAVEPOINT a;
INSERT INTO other VALUES (1, 5000, '2026-01-01 00:00+00');
ROLLBACK TO a;
-- The one above, of a transaction that was rolled back, is nobody's; this one waits for the commit.
COMMIT;
SELECT streamproc.wait_for();
INSERT INTO payment VALUES (2, 5000, '2026-01-01 00:00+00');
SELECT streamproc.wait_for();
SELECT other_id, alerts, lsn IS NOT NULL AS has_lsn FROM large_other;
-- The detector doesn't run.
SELECT streamproc.pause('large');
INSERT INTO payment VALUES (3, 5000, '2026-01-01 00:00+00');
SELECT streamproc.wait_for();
SELECT payment_id FROM large ORDER BY 1;
SELECT streamproc.resume('large');
SELECT streamproc.wait_for();
-- The stream neither.
SELECT streamproc.pause('payment');
INSERT INTO payment VALUES (4, 5000, '2026-01-01 00:00+00');
SELECT streamproc.wait_for();
SELECT payment_id FROM large ORDER BY 1;
SELECT streamproc.resume('payment');
SELECT streamproc.wait_for();
INSERT INTO payment VALUES (5, 5000, '2026-01-01 00:00+00');
SELECT streamproc.wait_for();
SELECT payment_id FROM large ORDER BY 1;
SET client_min_messages = warning;
SELECT streamproc.drop_stream('payment', cascade => true);
SELECT streamproc.drop_stream('other', cascade => true);
DROP SCHEMA shield_reports_test CASCADE;
