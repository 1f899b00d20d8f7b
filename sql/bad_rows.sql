--
-- Rows that can't be processed go to the dead letters, alone; the others go on.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA bad_test;
SET search_path = bad_test, public;

CREATE TABLE item (id int, price numeric, pieces int, label text, big bigint, ts timestamptz);
SELECT streamproc.create_stream('item', time_column => 'ts', idle_timeout => '1 day');

-- Each of these fails for some row: a key, an aggregate's argument, a filter, a transition, a rule, a value.
SELECT streamproc.create_window('by_unit', 'item', kind => 'tumbling', size => '1 hour',
	keys => ARRAY['(price / pieces > 5) AS dear'], aggregates => ARRAY['count(*) AS n', 'max(id) AS last']);
SELECT streamproc.create_window('totals', 'item', kind => 'tumbling', size => '1 hour',
	aggregates => ARRAY['count(*) AS n', 'sum(price / pieces) AS unit_prices']);
SELECT streamproc.create_window('filtered', 'item', kind => 'global', filter => 'label::int > 0',
	aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('overflowing', 'item', kind => 'global',
	aggregates => ARRAY['count(*) AS n', 'sum(big) AS total', 'max(power(big, 150)) AS power']);
SELECT streamproc.create_detector('cheap', 'item', method => 'rule', rules => ARRAY['price / pieces < 2 AS "Cheap"'],
	carry => ARRAY['id AS item_id']);
SELECT streamproc.create_detector('odd', 'item', method => 'ewma', value => 'price / pieces', store => 'all',
	carry => ARRAY['id AS item_id']);
SELECT streamproc.wait_for();

INSERT INTO item VALUES
	(1, 10, 1, '1', 1, '2026-01-01 10:00+00'),
	(2, 10, 0, '2', 2, '2026-01-01 10:01+00'),
	(3, 10, 10, 'three', 3, '2026-01-01 10:02+00'),
	(4, 10, 4, '4', 4, '2026-01-01 10:03+00');
INSERT INTO item VALUES (5, 'NaN', 1, '99999999999', 5, '2026-01-01 10:04+00');
INSERT INTO item VALUES (6, 12, 3, NULL, 200, '2026-01-01 10:05+00');
SELECT streamproc.wait_for();

SELECT window_start, dear, n, last FROM by_unit ORDER BY 1, 2;
SELECT window_start, n, unit_prices FROM totals ORDER BY 1;
SELECT n FROM filtered;
SELECT n, total FROM overflowing;
SELECT item_id, alerts FROM cheap ORDER BY id;
SELECT item_id, value FROM odd ORDER BY id;
SELECT name, reason, sqlstate, message, ordinal, row_data->>'id' AS id FROM streamproc.dead_letter
WHERE source = 'item'::regclass ORDER BY name::text, (row_data->>'id')::int;
SELECT row_data FROM streamproc.dead_letter WHERE name = 'cheap'::regclass;

-- What was rejected is left out of the comparison, what was taken is in it.
SELECT * FROM streamproc.verify('by_unit');
SELECT * FROM streamproc.verify('totals');
SELECT * FROM streamproc.verify('filtered');

-- Nothing stopped.
SELECT name, kind, state, reason, source, rejected FROM streamproc.status WHERE name::text ~ '^(item|totals|cheap)$' ORDER BY name::text;

-- UPDATE and DELETE of the source change nothing, they are counted; verify() says so.
UPDATE item SET price = 1000 WHERE id = 1;
DELETE FROM item WHERE id = 4;
INSERT INTO item VALUES (7, 12, 3, '7', 7, '2026-01-01 12:00+00');
SELECT streamproc.wait_for();
SELECT window_start, n, unit_prices, is_final FROM totals ORDER BY 1;
SELECT difference, window_start, expected->'n' AS expected, actual->'n' AS actual, explained_by
FROM streamproc.verify('totals');
SELECT name, rows, ignored, rejected FROM streamproc.status WHERE name IN ('item'::regclass, 'totals'::regclass);

SET client_min_messages = warning;
DROP SCHEMA bad_test CASCADE;
