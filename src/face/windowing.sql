/*
 * The windows of a time, for plain SQL: FROM events, LATERAL streamproc.tumble(...).
 * No row for NULL.
 */

CREATE FUNCTION streamproc.tumble(ts timestamptz, size interval, origin timestamp = NULL, time_zone text = 'UTC')
RETURNS TABLE (window_start timestamptz, window_end timestamptz)
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT COST 1 ROWS 1
AS 'MODULE_PATHNAME', 'sp_tumble';

COMMENT ON FUNCTION streamproc.tumble(timestamptz, interval, timestamp, text) IS
	'the tumbling window of a time; days and months are those of time_zone';

CREATE FUNCTION streamproc.tumble(ts timestamp, size interval, origin timestamp = NULL, time_zone text = 'UTC')
RETURNS TABLE (window_start timestamp, window_end timestamp)
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT COST 1 ROWS 1
AS 'MODULE_PATHNAME', 'sp_tumble';

COMMENT ON FUNCTION streamproc.tumble(timestamp, interval, timestamp, text) IS
	'the tumbling window of a time without zone, taken as it is';

CREATE FUNCTION streamproc.tumble(ts date, size interval, origin timestamp = NULL, time_zone text = 'UTC')
RETURNS TABLE (window_start date, window_end date)
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT COST 1 ROWS 1
AS 'MODULE_PATHNAME', 'sp_tumble';

COMMENT ON FUNCTION streamproc.tumble(date, interval, timestamp, text) IS
	'the tumbling window of a date; size in days or months';

CREATE FUNCTION streamproc.hop(ts timestamptz, slide interval, size interval, origin timestamp = NULL, time_zone text = 'UTC')
RETURNS TABLE (window_start timestamptz, window_end timestamptz)
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT COST 1 ROWS 10
AS 'MODULE_PATHNAME', 'sp_hop';

COMMENT ON FUNCTION streamproc.hop(timestamptz, interval, interval, timestamp, text) IS
	'the hopping windows of a time, in order; days and months are those of time_zone';

CREATE FUNCTION streamproc.hop(ts timestamp, slide interval, size interval, origin timestamp = NULL, time_zone text = 'UTC')
RETURNS TABLE (window_start timestamp, window_end timestamp)
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT COST 1 ROWS 10
AS 'MODULE_PATHNAME', 'sp_hop';

COMMENT ON FUNCTION streamproc.hop(timestamp, interval, interval, timestamp, text) IS
	'the hopping windows of a time, in order; the time has no zone and is taken as it is';

CREATE FUNCTION streamproc.hop(ts date, slide interval, size interval, origin timestamp = NULL, time_zone text = 'UTC')
RETURNS TABLE (window_start date, window_end date)
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT COST 1 ROWS 10
AS 'MODULE_PATHNAME', 'sp_hop';

COMMENT ON FUNCTION streamproc.hop(date, interval, interval, timestamp, text) IS
	'the hopping windows of a time, in order; size and slide in days or months';

CREATE FUNCTION streamproc.cumulate(ts timestamptz, step interval, size interval, origin timestamp = NULL, time_zone text = 'UTC')
RETURNS TABLE (window_start timestamptz, window_end timestamptz)
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT COST 1 ROWS 10
AS 'MODULE_PATHNAME', 'sp_cumulate';

COMMENT ON FUNCTION streamproc.cumulate(timestamptz, interval, interval, timestamp, text) IS
	'the cumulative windows of a time, in order; days and months are those of time_zone';

CREATE FUNCTION streamproc.cumulate(ts timestamp, step interval, size interval, origin timestamp = NULL, time_zone text = 'UTC')
RETURNS TABLE (window_start timestamp, window_end timestamp)
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT COST 1 ROWS 10
AS 'MODULE_PATHNAME', 'sp_cumulate';

COMMENT ON FUNCTION streamproc.cumulate(timestamp, interval, interval, timestamp, text) IS
	'the cumulative windows of a time, in order; the time has no zone and is taken as it is';

CREATE FUNCTION streamproc.cumulate(ts date, step interval, size interval, origin timestamp = NULL, time_zone text = 'UTC')
RETURNS TABLE (window_start date, window_end date)
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT COST 1 ROWS 10
AS 'MODULE_PATHNAME', 'sp_cumulate';

COMMENT ON FUNCTION streamproc.cumulate(date, interval, interval, timestamp, text) IS
	'the cumulative windows of a time, in order; size and step in days or months';

/* The session of a row among those of its partition. */

CREATE FUNCTION streamproc.session_start(ts timestamptz, gap interval)
RETURNS timestamptz
LANGUAGE C WINDOW IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_session_start';

COMMENT ON FUNCTION streamproc.session_start(timestamptz, interval) IS
	'OVER (PARTITION BY key ORDER BY ts): the first time of the row''s session; rows less than gap apart are one';

CREATE FUNCTION streamproc.session_start(ts timestamp, gap interval)
RETURNS timestamp
LANGUAGE C WINDOW IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_session_start';

COMMENT ON FUNCTION streamproc.session_start(timestamp, interval) IS
	'OVER (PARTITION BY key ORDER BY ts): the first time of the row''s session, without zone';

CREATE FUNCTION streamproc.session_start(ts date, gap interval)
RETURNS date
LANGUAGE C WINDOW IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_session_start';

COMMENT ON FUNCTION streamproc.session_start(date, interval) IS
	'OVER (PARTITION BY key ORDER BY ts): the first date of the row''s session';
