/*
 * Stream tables: CREATE TABLE ... USING streamproc.
 *
 * What can't work on them is refused by the library: see src/feed/guard.c.
 */

CREATE FUNCTION streamproc.table_am_handler(internal) RETURNS table_am_handler
	LANGUAGE c VOLATILE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'sp_table_am_handler';
COMMENT ON FUNCTION streamproc.table_am_handler(internal) IS 'handler of the access method streamproc';

CREATE ACCESS METHOD streamproc TYPE TABLE HANDLER streamproc.table_am_handler;
COMMENT ON ACCESS METHOD streamproc IS 'stream tables: rows go into the WAL for the streams that read them, and are not kept';

-- An internal trigger of each stream table calls it.
CREATE FUNCTION streamproc.refuse_change() RETURNS trigger
	LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'sp_refuse_change';
REVOKE ALL ON FUNCTION streamproc.refuse_change() FROM PUBLIC;
COMMENT ON FUNCTION streamproc.refuse_change() IS 'refuses UPDATE and DELETE of stream tables';

CREATE FUNCTION streamproc.random_key() RETURNS bytea
	LANGUAGE c VOLATILE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'sp_random_key';
REVOKE ALL ON FUNCTION streamproc.random_key() FROM PUBLIC;
COMMENT ON FUNCTION streamproc.random_key() IS 'a new key for streamproc.secret';

INSERT INTO streamproc.secret (key) SELECT streamproc.random_key();
