\set ECHO none
-- What the tests of rows that are taken back share: a table, a window's aggregates over it, random changes, comparisons. \i puts it
-- into the first schema of the search_path.
--
-- Which rows a change takes, and what it makes of them, depends on the seed and on the rows: never on the order in which they stand
-- in the table, which depends on what was vacuumed when, and so on everybody's snapshots.

CREATE TABLE entry (id int PRIMARY KEY, k int, n int, x float8, d numeric, s text, ts timestamp NOT NULL);
ALTER TABLE entry REPLICA IDENTITY FULL;
ALTER TABLE entry ALTER s SET STORAGE EXTERNAL;
CREATE SEQUENCE ids START 61;

-- The first rows.
CREATE PROCEDURE begin_entries() LANGUAGE sql AS $$
	INSERT INTO entry (id, k, n, x, d, s, ts)
		SELECT i, i % 5, i, i / 7.0, i / 10.0, 'row ' || i, timestamp '2026-03-01' + i * interval '3.000001 seconds'
		FROM generate_series(1, 60) i
$$;

CREATE FUNCTION entry_aggregates() RETURNS text[] LANGUAGE sql AS $$
	SELECT ARRAY['count(*) AS c', 'sum(n) AS total', 'min(x) AS low', 'max(x) AS high', 'avg(n) AS mean', 'sum(d) AS money',
		'sum(x) AS weight', 'array_agg(n ORDER BY n, id) AS list', 'count(DISTINCT s) AS names',
		'string_agg(left(s, 3), '','' ORDER BY s, id) FILTER (WHERE n % 2 = 0) AS even',
		'percentile_cont(0.5) WITHIN GROUP (ORDER BY x) AS middle', 'bool_or(n > 50) AS any_large', 'stddev(n) AS spread']
$$;

-- A number from 0 to 1 for a row; draw is one of its change.
CREATE FUNCTION pick(id int, draw float8) RETURNS float8 IMMUTABLE LANGUAGE sql AS $$
	SELECT ('x' || left(md5(id || ' ' || draw), 8))::bit(32)::bigint / 4294967296.0
$$;

-- One change of the table. No two rows are of the same time.
CREATE PROCEDURE change(what int) LANGUAGE plpgsql AS $$
DECLARE
	newest timestamp := date_trunc('second', coalesce((SELECT max(ts) FROM entry), '2026-03-01'));
	first int := 1 + floor(random() * 60);
	draw float8 := random();
BEGIN
	CASE what
		WHEN 0, 1 THEN
			INSERT INTO entry (id, k, n, x, d, s, ts)
				SELECT i, pick(i, draw) * 4, pick(i, draw + 1) * 100, pick(i, draw + 2) * 1000, pick(i, draw + 3) * 10, repeat('s' || i % 7, 2),
					newest + floor(pick(i, draw + 4) * 60 - 40) * interval '1 second' + i * interval '1 microsecond'
				FROM (SELECT nextval('ids')::int AS i FROM generate_series(1, 8)) i;
		WHEN 2 THEN
			UPDATE entry SET k = (k + 1) % 5 WHERE id % 60 = first;
		WHEN 3 THEN
			UPDATE entry SET ts = ts - floor(pick(id, draw) * 60) * interval '1 second', n = n + 1 WHERE id % 60 BETWEEN first AND first + 3;
		WHEN 4 THEN
			DELETE FROM entry WHERE id % 60 BETWEEN first AND first + 2;
		WHEN 5 THEN
			UPDATE entry SET n = n + 1, d = NULL WHERE id % 60 BETWEEN first AND first + 5;
			UPDATE entry SET n = n + 1, ts = ts + interval '5 seconds' WHERE id % 60 = first;
			DELETE FROM entry WHERE id % 60 = first + 1;
		WHEN 6 THEN
			INSERT INTO entry (id, k, n, x, d, s, ts)
				SELECT i, 1, i, i, i, 'conflict', newest + interval '1 second' + i * interval '1 microsecond' FROM generate_series(first, first + 5) i
				ON CONFLICT (id) DO UPDATE SET n = entry.n + 11, s = NULL, x = entry.x + 1, k = nullif(entry.k, 2);
		WHEN 7 THEN
			MERGE INTO entry e USING generate_series(first, first + 5) i ON e.id = i
				WHEN MATCHED AND i % 2 = 0 THEN DELETE
				WHEN MATCHED THEN UPDATE SET x = NULL, d = -d, ts = ts - interval '10 seconds'
				WHEN NOT MATCHED THEN INSERT (id, k, n, x, d, s, ts)
					VALUES (i, 3, 34, 3.3, 0.3, 'merged', newest + interval '1 second' + i * interval '1 microsecond');
		WHEN 8 THEN
			-- values that are stored out of line, and not touched by the next update
			UPDATE entry SET s = repeat(md5(id::text), 400) WHERE id % 60 = first;
			UPDATE entry SET n = n + 2 WHERE id % 60 = first;
		ELSE
			UPDATE entry SET n = 77 WHERE id = first;
			BEGIN
				DELETE FROM entry WHERE id % 3 = 0;
				UPDATE entry SET n = 0;
				RAISE EXCEPTION 'no';
			EXCEPTION WHEN raise_exception THEN
				UPDATE entry SET n = n - 1 WHERE id % 60 = first;
			END;
	END CASE;
END $$;

-- So many, at_once of them in a transaction.
CREATE PROCEDURE changes(count int, at_once int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. count LOOP
		CALL change(floor(random() * 10)::int);
		IF i % at_once = 0 THEN
			COMMIT;
		END IF;
	END LOOP;
END $$;

-- Windows with rows that verify() finds wrong, but for answers of sliding ones to which others came later.
CREATE FUNCTION unverified(VARIADIC windows text[]) RETURNS TABLE (name text, n bigint) LANGUAGE plpgsql AS $$
BEGIN
	FOREACH name IN ARRAY windows LOOP
		SELECT count(*) INTO n FROM streamproc.verify(unverified.name::regclass)
			WHERE explained_by IS DISTINCT FROM 'rows that arrived later';
		name := name || ' verified';
		IF n > 0 THEN
			RETURN NEXT;
		END IF;
	END LOOP;
END $$;

-- Does the change feed lead to what is there?  The number of rows, by what tells them apart, where it doesn't.
CREATE FUNCTION misled(result text, key text[], columns text[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	keys text := (SELECT string_agg(format('coalesce(new, old)->>%L', c), ', ') FROM unnest(key) c);
	list text := (SELECT string_agg(format('new->>%L', c), ', ') FROM unnest(key || columns) c);
BEGIN
	RETURN differences(format('SELECT %s FROM (SELECT DISTINCT ON (%s) new FROM %I ORDER BY %s, id DESC) f WHERE new IS NOT NULL',
		list, keys, result || '_changes', keys), format('SELECT %s FROM (SELECT to_jsonb(w) AS new FROM %I w) f', list, result));
END $$;
\set ECHO all
