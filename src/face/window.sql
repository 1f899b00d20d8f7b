/*
 * Windows: create_window, drop_window, their plain-SQL twins and verify.
 */

CREATE FUNCTION streamproc.create_window(
	name text,
	source regclass,
	kind text,
	size interval = NULL,
	slide interval = NULL,
	gap interval = NULL,
	keys text[] = '{}',
	aggregates text[] = '{}',
	filter text = NULL,
	group_filter text = NULL,
	carry text[] = '{}',
	emit text = NULL,
	trigger interval = '0',
	watermark interval = NULL,
	grace interval = '0',
	origin timestamp = NULL,
	time_zone text = 'UTC',
	bounds text = NULL,
	fill text = 'none',
	retention interval = NULL,
	backfill boolean = true,
	changes boolean = false,
	if_not_exists boolean = false,
	replace boolean = false)
RETURNS regclass
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_create_window';

COMMENT ON FUNCTION streamproc.create_window(text, regclass, text, interval, interval, interval, text[], text[],
	text, text, text[], text, interval, interval, interval, timestamp, text, text, text, interval, boolean, boolean,
	boolean, boolean) IS
	'creates the table name, which holds aggregates over windows of a stream and is kept up to date';

CREATE FUNCTION streamproc.drop_window(name regclass, "cascade" boolean = false)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_drop_window';

COMMENT ON FUNCTION streamproc.drop_window(regclass, boolean) IS
	'drops a window and its result table; cascade drops the detectors that read it, and views on it';

/*
 * What twins know of rows that were not admitted.  The image of a row must not depend on
 * the session, and digests tell equal images without showing them to those who may read
 * a twin but not its source.
 */

CREATE FUNCTION streamproc.row_image(row_value anyelement)
RETURNS jsonb
LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT
SET TimeZone = 'UTC'
SET DateStyle = 'ISO, YMD'
SET IntervalStyle = 'postgres'
SET extra_float_digits = 1
SET bytea_output = 'hex'
AS 'MODULE_PATHNAME', 'sp_row_image';

COMMENT ON FUNCTION streamproc.row_image(anyelement) IS
	'a row as jsonb, the same in every session; without virtual columns, which no dead letter has';

CREATE FUNCTION streamproc.digest(image jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN pg_catalog.md5(pg_catalog.jsonb_strip_nulls(image)::text);

COMMENT ON FUNCTION streamproc.digest(jsonb) IS
	'tells rows from each other; columns without a value don''t count, so that added ones don''t either';

CREATE FUNCTION streamproc.result_digest(image jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN streamproc.digest(image OPERATOR(pg_catalog.-) '{is_final,revision,lsn,ordinal}'::text[]);

COMMENT ON FUNCTION streamproc.result_digest(jsonb) IS
	'tells rows of a window from each other, without what a twin doesn''t have';

CREATE FUNCTION streamproc.added_columns(relation regclass)
RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE STRICT
SET TimeZone = 'UTC'
SET DateStyle = 'ISO, YMD'
SET IntervalStyle = 'postgres'
SET extra_float_digits = 1
SET bytea_output = 'hex'
RETURN (SELECT pg_catalog.jsonb_object_agg(a.attname, pg_catalog.to_jsonb(a.attmissingval) OPERATOR(pg_catalog.->) 0)
		FROM pg_catalog.pg_attribute a
		WHERE (a.attrelid OPERATOR(pg_catalog.=) relation
				OR a.attrelid IN (SELECT t.relid FROM pg_catalog.pg_partition_tree(relation) t))
			AND a.atthasmissing AND NOT a.attisdropped);

COMMENT ON FUNCTION streamproc.added_columns(regclass) IS
	'columns that were added to a table with a default, and what rows that were there have in them; NULL if there are none';

CREATE VIEW streamproc.rejection WITH (security_barrier) AS
	SELECT r.object, r.event_time, i.digest, r.missed_until, pg_catalog.count(*) AS copies
	FROM streamproc.rejected_row r
		LEFT JOIN streamproc.window_definition u ON u.relation OPERATOR(pg_catalog.=) r.source
		-- once for each stream, not for each row
		LEFT JOIN (SELECT t.relation, streamproc.added_columns(t.relation) AS columns FROM streamproc.stream t OFFSET 0) added
			ON added.relation OPERATOR(pg_catalog.=) r.source,
		LATERAL (SELECT CASE WHEN u.id IS NULL THEN streamproc.digest(coalesce(added.columns OPERATOR(pg_catalog.||) r.row_data, r.row_data))
			ELSE streamproc.result_digest(r.row_data) END AS digest) i
	WHERE r.event_time IS NOT NULL
		AND (pg_catalog.has_table_privilege(r.source, 'SELECT') AND NOT pg_catalog.row_security_active(r.source)
			OR EXISTS (SELECT FROM streamproc.window_definition d
				WHERE d.source = r.source AND pg_catalog.has_table_privilege(d.twin, 'SELECT')))
	GROUP BY r.object, r.event_time, i.digest, r.missed_until;

GRANT SELECT ON streamproc.rejection TO PUBLIC;

COMMENT ON VIEW streamproc.rejection IS
	'how many rows with the same content and event time an object has rejected, from which windows on not; for twins';
COMMENT ON COLUMN streamproc.rejection.object IS
	'number of the stream or window';
COMMENT ON COLUMN streamproc.rejection.event_time IS
	'a time without zone as if it were UTC';
COMMENT ON COLUMN streamproc.rejection.digest IS
	'of the rows';
COMMENT ON COLUMN streamproc.rejection.missed_until IS
	'they are in windows that end later than that; NULL: in none';
COMMENT ON COLUMN streamproc.rejection.copies IS
	'how many equal rows';

CREATE FUNCTION streamproc.nearly_equal(a float8, b float8)
RETURNS boolean
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_nearly_equal';

COMMENT ON FUNCTION streamproc.nearly_equal(float8, float8) IS
	'are two sums of floats the same, but for the order in which they were added?';

CREATE FUNCTION streamproc.verify(name regclass)
RETURNS TABLE (
	difference text,
	window_start timestamptz,
	key jsonb,
	expected jsonb,
	actual jsonb,
	explained_by text)
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_verify';

COMMENT ON FUNCTION streamproc.verify(regclass) IS
	'rows in which a window differs from its plain-SQL twin on closed windows: none, or there is a bug';
