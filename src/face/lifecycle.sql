/*
 * What all objects have in common: pause, resume, and what follows a plain DROP.
 */

CREATE FUNCTION streamproc.pause(name regclass)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_pause';

COMMENT ON FUNCTION streamproc.pause(regclass) IS
	'lets a stream, window or detector, and what reads it, ignore rows until resume()';

CREATE FUNCTION streamproc.resume(name regclass)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_resume';

COMMENT ON FUNCTION streamproc.resume(regclass) IS
	'starts a stream, window or detector again that is paused, detached, failed or has a gap, with what it reads and what reads it; it is rebuilt from the source table; what was paused and can''t be, on a stream table or with backfill => false, goes on with what it had';

CREATE FUNCTION streamproc.on_drop()
RETURNS event_trigger
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'sp_on_drop';

REVOKE ALL ON FUNCTION streamproc.on_drop() FROM PUBLIC;

COMMENT ON FUNCTION streamproc.on_drop() IS
	'removes the definitions of streams, windows and detectors whose relations are dropped';

CREATE EVENT TRIGGER streamproc_on_drop ON sql_drop
	EXECUTE FUNCTION streamproc.on_drop();

COMMENT ON EVENT TRIGGER streamproc_on_drop IS
	'definitions don''t outlive their relations';

CREATE FUNCTION streamproc.before_drop()
RETURNS event_trigger
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'sp_before_drop';

REVOKE ALL ON FUNCTION streamproc.before_drop() FROM PUBLIC;

COMMENT ON FUNCTION streamproc.before_drop() IS
	'ends the backfill of what is about to be dropped';

CREATE EVENT TRIGGER streamproc_before_drop ON ddl_command_start
	WHEN TAG IN ('DROP TABLE', 'DROP EXTENSION')
	EXECUTE FUNCTION streamproc.before_drop();

COMMENT ON EVENT TRIGGER streamproc_before_drop IS
	'nobody who drops a table waits until its history is read';
