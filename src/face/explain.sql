/*
 * Why a detector has flagged a row, or why not: explain.
 */

CREATE FUNCTION streamproc.explain(detector regclass, id bigint)
RETURNS jsonb
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_explain_row';

COMMENT ON FUNCTION streamproc.explain(regclass, bigint) IS
	'why a row of a detector''s result table was flagged, or why not';

CREATE FUNCTION streamproc.explain(detector regclass, event_time timestamptz, keys jsonb = NULL)
RETURNS SETOF jsonb
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT ROWS 1
AS 'MODULE_PATHNAME', 'sp_explain_time';

COMMENT ON FUNCTION streamproc.explain(regclass, timestamptz, jsonb) IS
	'why a detector flags an event of the history of its source, or why not';
