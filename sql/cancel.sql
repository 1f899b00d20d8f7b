--
-- A query that is cancelled ends while the batch detector is at work. What cancels it is a part of the query itself: evaluated
-- last before the detector begins. "finished" is advanced when the detector has come to its end after all, and stays so.
--
CREATE SCHEMA cancel_test;
SET search_path = cancel_test, public;

CREATE TABLE point (i int PRIMARY KEY, x float8, y float8);
INSERT INTO point SELECT i, sin(i * 1.7) + hashint4(i) / 1e9, cos(i * 0.9) + hashint4(-i) / 1e9 FROM generate_series(1, 3000) i;
ANALYZE point;

-- The last value is there only when the query is to be cancelled.
CREATE FUNCTION value(i int, x float8, cancels boolean) RETURNS float8 LANGUAGE sql VOLATILE AS
	$$SELECT CASE WHEN cancels AND i = 3000 THEN pg_cancel_backend(pg_backend_pid())::int ELSE x END$$;
CREATE AGGREGATE cancel(int) (SFUNC = int4larger, STYPE = int, FINALFUNC = pg_cancel_backend);
CREATE SEQUENCE finished;

-- Runs it three times: what it gives, whether it ends when it is cancelled, and whether it gives the same afterwards.
CREATE FUNCTION try(name text, query text, cancelling text) RETURNS TABLE (method text, ended text, again boolean) LANGUAGE plpgsql AS $$
DECLARE
	was text;
	now text;
	before bigint := nextval('finished');
BEGIN
	method := name;
	EXECUTE format('SELECT md5(string_agg(q::text, %L)) FROM (%s) q', ' ', query) INTO was;
	BEGIN
		EXECUTE cancelling;
		ended := 'never';
	EXCEPTION WHEN query_canceled THEN
		ended := CASE WHEN nextval('finished') = before + 1 THEN 'at work' ELSE 'only when it was done' END;
	END;
	EXECUTE format('SELECT md5(string_agg(q::text, %L)) FROM (%s) q', ' ', query) INTO now;
	again := was = now;
	RETURN NEXT;
END
$$;

-- Window functions, all that there are.
CREATE VIEW call AS
SELECT DISTINCT proname AS name, format('streamproc.%I(%s%s) OVER (ORDER BY i)', proname,
	CASE WHEN proargtypes[0] = 'float8'::regtype THEN 'value(i, x, %1$L)' ELSE 'ARRAY[x, value(i, y, %1$L)]' END,
	CASE WHEN proname = 'dbscan' THEN ', 0.1' WHEN proname = 'matrix_profile' THEN ', 100'
		WHEN proargnames[2] = 'period' THEN ', 50' WHEN proname = 'generalized_esd' THEN ', 500' END) AS call
FROM pg_proc WHERE pronamespace = 'streamproc'::regnamespace AND prosrc = 'sp_batch_window' AND provariadic = 0;
SELECT t.* FROM (SELECT * FROM call ORDER BY name COLLATE "C") c,
	try(name, format('SELECT ' || call || ' FROM point', false), format('SELECT nextval(''finished''), ' || call || ' FROM point', true)) t;

-- Aggregates, all that train a model, and the others.
SELECT t.* FROM (SELECT DISTINCT proname AS name FROM pg_proc WHERE pronamespace = 'streamproc'::regnamespace AND prokind = 'a'
		AND proname LIKE '%\_train' ORDER BY 1) a,
	try(name, format('SELECT streamproc.%s(ARRAY[x, y] || array_fill(y, ARRAY[70]) ORDER BY i) FROM point', name),
		format('SELECT cancel(pg_backend_pid()), streamproc.%s(ARRAY[x, y] || array_fill(y, ARRAY[70]) ORDER BY i), nextval(''finished'') FROM point', name)) t;
SELECT t.* FROM (VALUES ('robust_stats(x)'), ('suggest_eps(ARRAY[x, y], 5)'), ('anomaly_threshold(0.01) WITHIN GROUP (ORDER BY x)')) c (call),
	try(call, format('SELECT streamproc.%s FROM point', call),
		format('SELECT cancel(pg_backend_pid()), streamproc.%s, nextval(''finished'') FROM point', call)) t;

-- Functions of arrays.
CREATE FUNCTION number(n int, cancels boolean) RETURNS int LANGUAGE sql VOLATILE AS
	$$SELECT CASE WHEN cancels AND pg_cancel_backend(pg_backend_pid()) IS NULL THEN 0 ELSE n END$$;
SELECT t.* FROM (VALUES ('stl_decompose(v, number(50, %L))'), ('matrix_profile_full(v, number(100, %L))'), ('find_period(v[:number(3000, %L)])')) c (call),
	try(split_part(call, '(', 1), format('SELECT streamproc.' || call || ' FROM (SELECT array_agg(x ORDER BY i) AS v FROM point) a', false),
		format('SELECT streamproc.' || call || ', nextval(''finished'') FROM (SELECT array_agg(x ORDER BY i) AS v FROM point) a', true)) t;

SET client_min_messages = warning;
DROP SCHEMA cancel_test CASCADE;
