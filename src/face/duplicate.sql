/*
 * Rows that repeat others, in plain SQL: OVER (PARTITION BY key ORDER BY ts).
 */

CREATE FUNCTION streamproc.is_duplicate(ts timestamptz, within interval)
RETURNS boolean
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_is_duplicate';

COMMENT ON FUNCTION streamproc.is_duplicate(timestamptz, interval) IS
	'is the row less than within from the last one of its partition that was no duplicate? Use OVER (PARTITION BY key ORDER BY ts)';

CREATE FUNCTION streamproc.is_duplicate(ts timestamp, within interval)
RETURNS boolean
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_is_duplicate';

COMMENT ON FUNCTION streamproc.is_duplicate(timestamp, interval) IS
	'is the row less than within from the last one of its partition that was no duplicate? Use OVER (PARTITION BY key ORDER BY ts)';

CREATE FUNCTION streamproc.is_duplicate(ts date, within interval)
RETURNS boolean
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_is_duplicate';

COMMENT ON FUNCTION streamproc.is_duplicate(date, interval) IS
	'is the row less than within from the last one of its partition that was no duplicate? Use OVER (PARTITION BY key ORDER BY ts)';
