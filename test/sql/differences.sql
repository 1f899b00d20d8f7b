\set ECHO none
-- What the tests of sql/ compare with. \i puts it into the first schema of the search_path.

-- The number of rows that only one of two queries has.
CREATE FUNCTION differences(one text, other text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	result bigint;
BEGIN
	EXECUTE format('WITH a AS MATERIALIZED (%s), b AS MATERIALIZED (%s) SELECT count(*) FROM
		((TABLE a EXCEPT ALL TABLE b) UNION ALL (TABLE b EXCEPT ALL TABLE a)) d', one, other) INTO result;
	RETURN result;
END $$;

-- The same, and how many rows the other has: where all are equal there should be some.
CREATE FUNCTION compared(one text, other text, OUT nrows bigint, OUT differing bigint) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('WITH a AS MATERIALIZED (%s), b AS MATERIALIZED (%s) SELECT (SELECT count(*) FROM b), (SELECT count(*) FROM
		((TABLE a EXCEPT ALL TABLE b) UNION ALL (TABLE b EXCEPT ALL TABLE a)) d)', one, other) INTO nrows, differing;
END $$;
\set ECHO all
