--
-- Partitions whose columns have other numbers than their root's, and columns renamed or altered while
-- rows are on their way: windows hold what plain SQL says.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET client_min_messages = warning;
CREATE SCHEMA partition_test;
SET search_path = partition_test, public;

CREATE TABLE sale (id int, remark text, shop int, amount float8, ts timestamptz) PARTITION BY LIST (shop);
CREATE TABLE sale_1 PARTITION OF sale FOR VALUES IN (1);
-- The same columns in another order, behind one that is gone.
CREATE TABLE sale_2 (ts timestamptz, amount float8, extra int, shop int, id int, remark text);
ALTER TABLE sale_2 DROP COLUMN extra;
-- Two columns of one type, swapped: telling them apart by type would mix them up.
CREATE TABLE sale_3 (shop int, remark text, id int, amount float8, ts timestamptz);
INSERT INTO sale_2 (id, remark, shop, amount, ts) VALUES (0, 'before', 2, 1, '2026-01-01 00:00+00');
ALTER TABLE sale ATTACH PARTITION sale_2 FOR VALUES IN (2);
ALTER TABLE sale ATTACH PARTITION sale_3 FOR VALUES IN (3);

SELECT streamproc.create_stream('sale', time_column => 'ts', watermark => '1 day', idle_timeout => '1 day');
SELECT streamproc.create_window('by_shop', 'sale', kind => 'tumbling', size => '1 hour', keys => ARRAY['shop'],
	aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids', 'sum(amount) AS total', 'max(remark) AS last_remark']);
SELECT streamproc.create_detector('odd_sale', 'sale', method => 'rule',
	rules => ARRAY['amount < id AS "Cheap"'], keys => ARRAY['shop'], carry => ARRAY['id AS sale_id']);

CREATE FUNCTION sell(first int, last int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO sale SELECT i, 'sale ' || i % 7, 1 + i % 3, CASE WHEN i % 500 = 0 THEN 0 ELSE i + 0.5 END,
		'2026-01-01'::timestamptz + i * interval '3 seconds' FROM generate_series(first, last) i $$;

SELECT sell(1, 2000);
-- The worker may read the rows above before or after this; both must do.
ALTER TABLE sale RENAME amount TO price;
ALTER TABLE sale ADD COLUMN note text DEFAULT 'none';
CREATE OR REPLACE FUNCTION sell(first int, last int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO sale (id, remark, shop, price, ts) SELECT i, 'sale ' || i % 7, 1 + i % 3,
		CASE WHEN i % 500 = 0 THEN 0 ELSE i + 0.5 END,
		'2026-01-01'::timestamptz + i * interval '3 seconds' FROM generate_series(first, last) i $$;
SELECT sell(2001, 4000);
-- A column that nobody reads may change its type, and rows of both kinds may wait for the worker.
ALTER TABLE sale ADD COLUMN code int DEFAULT 1;
SELECT sell(4001, 4500);
ALTER TABLE sale ALTER COLUMN code TYPE bigint;
-- A new partition, and rows that a session writes into one directly.
CREATE TABLE sale_4 PARTITION OF sale FOR VALUES IN (4);
INSERT INTO sale_4 (id, remark, shop, price, ts) VALUES (6000, 'direct', 4, 7, '2026-01-01 02:00+00');
SELECT sell(4501, 5000);
SELECT streamproc.wait_for();

-- Nothing differs from the plain aggregation, whether final or not.
SELECT window_start, shop, n, ids, total, last_remark FROM by_shop
EXCEPT
SELECT date_trunc('hour', ts), shop, count(*), sum(id), sum(price), max(remark) FROM sale GROUP BY 1, 2;
SELECT count(*) AS windows, sum(n) AS n, sum(ids) AS ids FROM by_shop;
SELECT count(*) AS n, sum(id) AS ids FROM sale;
SELECT * FROM streamproc.verify('by_shop');
SELECT sale_id, shop FROM odd_sale WHERE sale_id <> 6000
EXCEPT ALL
SELECT id, shop FROM sale WHERE price < id AND id <> 6000;
SELECT count(*) = (SELECT count(*) FROM sale WHERE price < id) AS all_alerted FROM odd_sale;

SELECT streamproc.drop_detector('odd_sale');
SELECT streamproc.drop_window('by_shop');
SELECT streamproc.drop_stream('sale');
DROP SCHEMA partition_test CASCADE;
