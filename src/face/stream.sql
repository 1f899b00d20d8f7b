/*
 * Streams: create_stream, drop_stream.
 *
 * Anyone may call the verbs: like DDL they check who owns what.
 */

CREATE FUNCTION streamproc.create_stream(
	relation regclass,
	time_column name = NULL,
	watermark interval = '10 seconds',
	idle_timeout interval = '1 minute',
	max_future interval = '1 minute',
	time_zone text = 'UTC',
	late text = 'dead_letter',
	dedup_key name[] = NULL,
	dedup_within interval = NULL,
	on_update text = 'ignore',
	if_not_exists boolean = false,
	replace boolean = false)
RETURNS regclass
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_create_stream';

COMMENT ON FUNCTION streamproc.create_stream(regclass, name, interval, interval, interval, text, text, name[],
	interval, text, boolean, boolean) IS
	'makes a stream of the rows that are written to a table from now on';

-- Triggers of tables whose stream has on_update 'error' call it; whoever owns a table may create those.
CREATE FUNCTION streamproc.refuse_on_update() RETURNS trigger
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_refuse_on_update';

COMMENT ON FUNCTION streamproc.refuse_on_update() IS
	'refuses UPDATE, DELETE and TRUNCATE of a table whose stream has on_update ''error''';

CREATE FUNCTION streamproc.drop_stream(name regclass, "cascade" boolean = false)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_drop_stream';

COMMENT ON FUNCTION streamproc.drop_stream(regclass, boolean) IS
	'ends a stream; its table stays. cascade drops the windows and detectors that read it';
