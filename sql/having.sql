-- group_filter: which groups have a result row. Rows that stop to satisfy it are deleted, those that begin to
-- appear; what reads the window gets what the table has.
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET client_min_messages = warning;
CREATE SCHEMA having_test;
SET search_path = having_test;
CREATE TABLE payment (id int, shop text, price int, fee numeric, at timestamptz);
SELECT streamproc.create_stream('payment', 'at', watermark => '0');

-- over a shown aggregate, one that isn't shown, a key's expression, and several at once
SELECT streamproc.create_window('busy', 'payment', 'tumbling', size => '1 hour', keys => '{lower(shop) AS shop}',
	aggregates => '{count(*) AS n,sum(price) AS total}', group_filter => 'sum(price) > 100');
SELECT streamproc.create_window('hidden', 'payment', 'tumbling', size => '1 hour', keys => '{lower(shop) AS shop}',
	aggregates => '{sum(fee) AS fees}', filter => 'price IS NOT NULL',
	group_filter => 'count(*) BETWEEN 2 AND 12 AND max(price) - min(price) > 10 AND lower(shop) <> ''c''');
SELECT streamproc.create_window('odd', 'payment', 'tumbling', size => '1 hour', keys => '{shop}',
	aggregates => '{count(*) AS n}', group_filter => 'count(DISTINCT price) % 2 = 1 OR string_agg(shop, '''' ORDER BY id) = ''AA''');
SELECT streamproc.create_window('sums', 'payment', 'global', keys => '{shop}', aggregates => '{sum(price) AS total}',
	group_filter => 'sum(price) % 2 = 0');
SELECT streamproc.create_window('everything', 'payment', 'global', aggregates => '{count(*) AS n}',
	group_filter => 'count(*) FILTER (WHERE price > 50) > 1');
SELECT streamproc.create_window('closed', 'payment', 'tumbling', size => '1 hour', keys => '{shop}',
	aggregates => '{count(*) AS n}', group_filter => 'avg(price) >= 30', emit => 'final');
SELECT streamproc.create_detector('watcher', 'closed', 'rule', rules => '{n > 0 AS any}', store => 'all', keys => '{shop}');
-- A null is not true; no condition on a key needs an aggregate.
SELECT streamproc.create_window('maybe', 'payment', 'tumbling', size => '1 hour', keys => '{shop}',
	aggregates => '{sum(price) AS total}', group_filter => 'sum(price) > 0');
SELECT streamproc.create_window('chosen', 'payment', 'tumbling', size => '1 hour', keys => '{shop,price % 2 AS parity}',
	group_filter => 'shop IN (''a'', ''b'') AND price % 2 = 1');
-- Windows of panes, and a window that reads another one.
SELECT streamproc.create_window('hops', 'payment', 'hopping', size => '1 hour', slide => '20 minutes', keys => '{shop}',
	aggregates => '{count(DISTINCT price) AS prices}', group_filter => 'sum(price) > 0 AND count(DISTINCT fee) > 1');
SELECT streamproc.create_window('halves', 'busy', 'tumbling', size => '12 hours', keys => '{shop}',
	aggregates => '{count(*) AS hours,sum(total) AS total}', group_filter => 'count(*) > 1');
SELECT streamproc.wait_for();
\d busy
SELECT pg_get_viewdef(expressions) ~ 'HAVING .*count.*max.*min.*lower' AS has_condition FROM streamproc.window_definition WHERE relation = 'hidden'::regclass;
SELECT group_filter FROM streamproc.window_definition WHERE relation = 'hidden'::regclass;

INSERT INTO payment VALUES (1, 'A', 60, 0.5, '2026-01-01 10:00'), (2, 'b', 10, 1.25, '2026-01-01 10:01');
SELECT streamproc.wait_for();
SELECT shop, n, total FROM busy;
SELECT * FROM everything;
INSERT INTO payment VALUES (3, 'a', 41, 0.25, '2026-01-01 10:02'), (4, 'a', NULL, 1, '2026-01-01 10:02');
SELECT streamproc.wait_for();
SELECT shop, n, total, revision FROM busy;
SELECT shop, fees FROM hidden;
-- It goes again.
INSERT INTO payment VALUES (5, 'A', -30, 0.125, '2026-01-01 10:03'), (6, 'A', 80, 2, '2026-01-01 10:03'),
	(7, 'c', 1, 0, '2026-01-01 10:03'), (8, 'C', 99, 0, '2026-01-01 10:03');
SELECT streamproc.wait_for();
SELECT shop, n, total FROM busy;
INSERT INTO payment VALUES (9, 'a', -90, 1, '2026-01-01 10:04');
SELECT streamproc.wait_for();
SELECT shop, n, total FROM busy ORDER BY shop;
SELECT shop, fees FROM hidden;

-- Many rows, a restart in between: each window equals SQL's HAVING.
CREATE FUNCTION fill(first int, last int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO payment SELECT x, (ARRAY['a', 'A', 'b', 'c', 'd', NULL])[1 + x * 7 % 6], nullif(x * 7919 % 101, 5) - 40,
		(x % 7) * 0.25, '2026-01-01 11:00'::timestamptz + x * interval '1 minute' FROM generate_series(first, last) x $$;
SELECT fill(10, 100);
SELECT streamproc.stop();
SELECT fill(101, 200);
SELECT streamproc.start();
SELECT fill(201, 400);
SELECT streamproc.wait_for();
\i test/sql/differences.sql
SELECT * FROM compared('SELECT window_start, shop, n, total FROM busy',
	'SELECT date_trunc(''hour'', at) AS window_start, lower(shop) AS shop, count(*) AS n,
	sum(price) AS total FROM payment GROUP BY 1, 2 HAVING sum(price) > 100');
SELECT * FROM compared('SELECT window_start, shop, fees FROM hidden',
	'SELECT date_trunc(''hour'', at) AS window_start, lower(shop) AS shop, sum(fee) AS fees
	FROM payment WHERE price IS NOT NULL GROUP BY 1, 2
	HAVING count(*) BETWEEN 2 AND 12 AND max(price) - min(price) > 10 AND lower(shop) <> ''c''');
SELECT * FROM compared('SELECT window_start, shop, n FROM odd',
	'SELECT date_trunc(''hour'', at) AS window_start, shop, count(*) AS n FROM payment
	GROUP BY 1, 2 HAVING count(DISTINCT price) % 2 = 1 OR string_agg(shop, '''' ORDER BY id) = ''AA''');
SELECT * FROM compared('SELECT shop, total FROM sums',
	'SELECT shop, sum(price) AS total FROM payment GROUP BY 1 HAVING sum(price) % 2 = 0');
SELECT * FROM compared('SELECT n FROM everything',
	'SELECT count(*) AS n FROM payment HAVING count(*) FILTER (WHERE price > 50) > 1');
SELECT * FROM compared('SELECT window_start, shop, n FROM closed',
	'SELECT date_trunc(''hour'', at) AS window_start, shop, count(*) AS n FROM payment
	WHERE at < (SELECT date_trunc(''hour'', max(at)) FROM payment) GROUP BY 1, 2 HAVING avg(price) >= 30');
SELECT * FROM compared('SELECT window_start, shop, total FROM maybe',
	'SELECT date_trunc(''hour'', at) AS window_start, shop, sum(price) AS total FROM payment
	GROUP BY 1, 2 HAVING sum(price) > 0');
SELECT * FROM compared('SELECT window_start, shop, parity FROM chosen',
	'SELECT DISTINCT date_trunc(''hour'', at) AS window_start, shop, price % 2 AS parity
	FROM payment WHERE shop IN (''a'', ''b'') AND price % 2 = 1');
SELECT * FROM compared('SELECT window_start, shop, prices FROM hops',
	'SELECT w.window_start, shop, count(DISTINCT price) AS prices FROM payment p
	CROSS JOIN LATERAL streamproc.hop(at, ''20 minutes'', ''1 hour'') w WHERE w.window_end <= (SELECT max(at) FROM payment)
	GROUP BY 1, 2 HAVING sum(price) > 0 AND count(DISTINCT fee) > 1');
SELECT * FROM compared('SELECT window_start, shop, hours, total FROM halves',
	'SELECT CASE WHEN window_start < ''2026-01-01 12:00'' THEN timestamptz ''2026-01-01''
	ELSE ''2026-01-01 12:00'' END AS window_start, shop, count(*) AS hours, sum(total) AS total FROM busy
	WHERE is_final AND window_start < ''2026-02-01'' GROUP BY 1, 2 HAVING count(*) > 1');
-- The detector has seen what the window shows.
SELECT count(*) AS "rows", (SELECT count(*) FROM closed c WHERE NOT EXISTS (SELECT FROM watcher w
	WHERE w.shop IS NOT DISTINCT FROM c.shop AND w.event_time = c.window_end - interval '1 microsecond')) AS missing,
	(SELECT count(*) FROM watcher) - count(*) AS more FROM closed;
-- So do the twins.
SELECT count(*) FROM streamproc.verify('busy');
SELECT count(*) FROM streamproc.verify('hidden');
SELECT count(*) FROM streamproc.verify('sums');
SELECT count(*) FROM streamproc.verify('everything');
SELECT count(*) FROM streamproc.verify('closed');

-- A condition that fails is its window's affair alone.
SELECT streamproc.create_window('failing', 'payment', 'tumbling', size => '1 hour', keys => '{shop}',
	aggregates => '{count(*) AS n}', group_filter => '100 / (count(*) - 3) > 0', emit => 'final', backfill => false);
SELECT streamproc.create_detector('reader', 'failing', 'rule', rules => '{n > 0 AS any}', backfill => false);
SELECT streamproc.wait_for();
INSERT INTO payment SELECT 1000 + x, 'three', 1, 1, '2026-02-01 10:00' FROM generate_series(1, 3) x;
INSERT INTO payment VALUES (1010, 'one', 1, 1, '2026-02-01 11:00');
SELECT streamproc.wait_for();
SELECT name, state, reason FROM streamproc.status WHERE name IN ('failing'::regclass, 'reader'::regclass, 'busy'::regclass)
	ORDER BY name::text;

-- What it can't be.
SELECT streamproc.create_window('w', 'payment', 'global', keys => '{shop}', aggregates => '{count(*) AS n}', group_filter => 'price > 1');
SELECT streamproc.create_window('w', 'payment', 'global', keys => '{shop}', aggregates => '{count(*) AS n}', group_filter => 'count(*)');
SELECT streamproc.create_window('w', 'payment', 'global', keys => '{shop}', aggregates => '{count(*) AS n}', group_filter => 'n > 1');
SELECT streamproc.create_window('w', 'payment', 'global', keys => '{shop}', aggregates => '{count(*) AS n}', group_filter => 'count(*) > 1 AS x');
SELECT streamproc.create_window('w', 'payment', 'global', keys => '{shop}', aggregates => '{count(*) AS n}', group_filter => 'count(*) > random()');
SELECT streamproc.create_window('w', 'payment', 'global', keys => '{shop}', aggregates => '{count(*) AS n}', group_filter => 'max(at) < now()');
SELECT streamproc.create_window('w', 'payment', 'global', keys => '{shop}', aggregates => '{count(*) AS n}', group_filter => 'count(*) > (SELECT 1)');
SELECT streamproc.create_window('w', 'payment', 'global', keys => '{shop}', aggregates => '{count(*) AS n}', group_filter => 'rank() OVER () = 1');
SELECT streamproc.create_window('w', 'payment', 'global', keys => '{shop}', aggregates => '{count(*) AS n}', group_filter => 'count(*) > 1 ORDER BY 1');
SELECT streamproc.create_window('w', 'payment', 'global', keys => '{shop}', aggregates => '{count(*) AS n}', group_filter => '');
-- A primary key decides the other columns, but not what the worker keeps.
CREATE TABLE item (id int PRIMARY KEY, price int, at timestamptz);
SELECT streamproc.create_stream('item', 'at');
SELECT streamproc.create_window('w', 'item', 'global', keys => '{id}', aggregates => '{count(*) AS n}', group_filter => 'price > 1');

SELECT streamproc.drop_stream('payment', cascade => true);
SELECT streamproc.drop_stream('item', cascade => true);
RESET search_path;
DROP SCHEMA having_test CASCADE;
