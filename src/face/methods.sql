/*
 * Which methods detectors can use, and their parameters.
 */

CREATE FUNCTION streamproc.list_methods(
	OUT method text, OUT takes text, OUT summary text, OUT has_direction boolean, OUT uses_time boolean,
	OUT default_threshold float8, OUT state_bytes int8, OUT reference text)
RETURNS SETOF record
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'sp_list_methods';

CREATE FUNCTION streamproc.list_method_parameters(
	OUT method text, OUT parameter text, OUT type text, OUT default_value text, OUT range text, OUT meaning text)
RETURNS SETOF record
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'sp_list_method_parameters';

CREATE VIEW streamproc.method_parameters AS SELECT * FROM streamproc.list_method_parameters();
CREATE VIEW streamproc.methods AS
	SELECT m.*, (
		SELECT coalesce(jsonb_object_agg(p.parameter, jsonb_build_object('type', p.type, 'default', p.default_value,
			'range', p.range, 'meaning', p.meaning)), '{}')
		FROM streamproc.method_parameters p WHERE p.method = m.method) AS parameters
	FROM streamproc.list_methods() m;

GRANT SELECT ON streamproc.methods, streamproc.method_parameters TO PUBLIC;

COMMENT ON FUNCTION streamproc.list_methods() IS 'the rows of streamproc.methods, without parameters';
COMMENT ON FUNCTION streamproc.list_method_parameters() IS 'the rows of streamproc.method_parameters';
COMMENT ON VIEW streamproc.methods IS
	'methods of create_detector() and, but for those in micro-batches, score_online(): what they take and do; state_bytes of a key, all that is kept of it, with the defaults, for one value or 4 features';
COMMENT ON VIEW streamproc.method_parameters IS 'what params of create_detector() and score_online() may contain, by method';
COMMENT ON COLUMN streamproc.methods.method IS 'name of the method';
COMMENT ON COLUMN streamproc.methods.takes IS 'what it scores: rules, value, value or nothing, features; or features in micro-batches, together with the history of their key';
COMMENT ON COLUMN streamproc.methods.summary IS 'what it does';
COMMENT ON COLUMN streamproc.methods.has_direction IS 'direction high and low mean something';
COMMENT ON COLUMN streamproc.methods.uses_time IS 'it looks at event times: params may have a time_zone';
COMMENT ON COLUMN streamproc.methods.default_threshold IS 'threshold where none is given, with the default parameters; NULL: it must be given, or alerts_per_day';
COMMENT ON COLUMN streamproc.methods.state_bytes IS 'bytes kept of a key, with the default parameters, for one value or 4 features';
COMMENT ON COLUMN streamproc.methods.reference IS 'where the method is published';
COMMENT ON COLUMN streamproc.methods.parameters IS 'what params may contain, by name: type, default, range, meaning, as in streamproc.method_parameters';
COMMENT ON COLUMN streamproc.method_parameters.method IS 'name of the method';
COMMENT ON COLUMN streamproc.method_parameters.parameter IS 'key in params';
COMMENT ON COLUMN streamproc.method_parameters.type IS 'type of its value in the jsonb; an interval is text';
COMMENT ON COLUMN streamproc.method_parameters.default_value IS 'what it is where it is not given';
COMMENT ON COLUMN streamproc.method_parameters.range IS 'which values it may have';
COMMENT ON COLUMN streamproc.method_parameters.meaning IS 'what it does';
