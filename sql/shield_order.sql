--
-- The shield where rows get in, by the clock, in another order than that of their times: as those of several sessions do.
--
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
CREATE SCHEMA shield_order;
SET search_path = shield_order, public;

CREATE TABLE counted (id int, k int, amount float8, ts timestamptz);
CREATE TABLE summed (LIKE counted);
CREATE TABLE slid (LIKE counted);
CREATE TABLE closed (LIKE counted);
CREATE TABLE undated (LIKE counted);
SELECT streamproc.create_stream(t, time_column => CASE WHEN t <> 'undated' THEN 'ts' END::name, watermark => '10 minutes', idle_timeout => '1 day')
FROM unnest(ARRAY['counted', 'summed', 'slid', 'closed', 'undated']) t;
SELECT streamproc.create_detector('on_' || t, t, 'velocity', keys => ARRAY['k'], params => '{"events": 5, "interval": "2 seconds"}')
FROM unnest(ARRAY['counted', 'undated']) t;
SELECT streamproc.create_detector('on_summed', 'summed', 'velocity', value => 'amount', keys => ARRAY['k'], params => '{"sum": 20, "interval": "2 seconds"}');
SELECT streamproc.create_window('last_' || t, t, kind => 'sliding', size => '2 seconds', bounds => b, keys => ARRAY['k'], carry => ARRAY['id'],
	aggregates => ARRAY['count(*) AS n', 'sum(amount) AS total']) FROM (VALUES ('slid', '(]'), ('closed', '[]')) v (t, b);
SELECT streamproc.create_detector('on_' || t, 'last_' || t, 'rule', rules => ARRAY['n > 5 AS burst'], carry => ARRAY['id AS row_id', 'n'])
FROM unnest(ARRAY['slid', 'closed']) t;
SELECT streamproc.wait_for();
SELECT streamproc.enforce('on_' || t) FROM unnest(ARRAY['counted', 'summed', 'slid', 'closed', 'undated']) t;

CREATE TABLE offer (LIKE counted);
CREATE PROCEDURE offer_all(target regclass) LANGUAGE plpgsql AS $$
DECLARE o offer;
BEGIN
	FOR o IN SELECT * FROM offer ORDER BY id LOOP
		BEGIN
			EXECUTE format('INSERT INTO %s VALUES ($1.*)', target) USING o;
		EXCEPTION WHEN check_violation THEN NULL;
		END;
	END LOOP;
END $$;

-- Eight rows of one instant or nearly, the latest first: five are in, whoever counts.
INSERT INTO offer SELECT i, 1, 4, clock_timestamp() - i * interval '1 ms' FROM generate_series(1, 8) i;
CALL offer_all('counted');
CALL offer_all('summed');
CALL offer_all('slid');
CALL offer_all('closed');
CALL offer_all('undated');
SELECT (SELECT array_agg(id ORDER BY id) FROM counted) AS counted, (SELECT array_agg(id ORDER BY id) FROM summed) AS summed,
	(SELECT array_agg(id ORDER BY id) FROM slid) AS slid, (SELECT array_agg(id ORDER BY id) FROM closed) AS closed,
	(SELECT array_agg(id ORDER BY id) FROM undated) AS undated;
SELECT streamproc.wait_for();
-- the refusal has its own time, and the number of the interval that it would have filled
SELECT row_id, n, event_time = (SELECT ts FROM offer o WHERE o.id = row_id) AS its_time, alerts FROM on_slid ORDER BY row_id;

-- Some hundreds in disorder: in is each with which no interval of 2 seconds has more than five, or more than 20.
TRUNCATE offer, counted, summed, slid, closed;
SELECT streamproc.enforce('on_' || t) FROM unnest(ARRAY['counted', 'summed', 'slid', 'closed']) t;
INSERT INTO offer SELECT i, h % 3, 1 + h / 7 % 6, clock_timestamp() - (h % 10000 / 10) * interval '10 ms'
FROM (SELECT i, abs(hashint8extended(i, 3)) AS h FROM generate_series(1, 400) i) s;
CREATE FUNCTION expected(events int, sum float8, closed bool) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
	o offer;
	accepted int[] := '{}';
BEGIN
	FOR o IN SELECT * FROM offer ORDER BY id LOOP
		IF NOT EXISTS (SELECT FROM (SELECT count(*) OVER open AS open, sum(a.amount) OVER open AS total, count(*) OVER closed AS closed
				FROM offer a WHERE a.k = o.k AND (a.id = ANY (accepted) OR a.id = o.id)
				WINDOW open AS (ORDER BY a.ts RANGE BETWEEN '1.999999' PRECEDING AND CURRENT ROW),
					closed AS (ORDER BY a.ts RANGE BETWEEN '2' PRECEDING AND CURRENT ROW)) w
			WHERE CASE WHEN expected.closed THEN w.closed ELSE w.open END > events OR w.total > sum) THEN
			accepted := accepted || o.id;
		END IF;
	END LOOP;
	RETURN accepted;
END $$;
CALL offer_all('counted');
CALL offer_all('summed');
CALL offer_all('slid');
CALL offer_all('closed');
SELECT count(*) BETWEEN 50 AND 350 AS some, array_agg(id ORDER BY id) = expected(5, 'infinity', false) AS right FROM counted;
SELECT count(*) BETWEEN 50 AND 350 AS some, array_agg(id ORDER BY id) = expected(1000, 20, false) AS right FROM summed;
SELECT count(*) BETWEEN 50 AND 350 AS some, array_agg(id ORDER BY id) = expected(5, 'infinity', false) AS right FROM slid;
SELECT count(*) BETWEEN 50 AND 350 AS some, array_agg(id ORDER BY id) = expected(5, 'infinity', true) AS right FROM closed;

-- What isn't of the present is judged by what is known when it comes, as the detector judges it: a late row by its own interval.
TRUNCATE offer;
INSERT INTO offer SELECT i, 9, 4, '2026-01-01 12:00+00'::timestamptz - i * interval '1 ms' FROM generate_series(1, 8) i;
CALL offer_all('counted');
SELECT count(*) FROM counted WHERE k = 9;

SET client_min_messages = warning;
DROP SCHEMA shield_order CASCADE;
