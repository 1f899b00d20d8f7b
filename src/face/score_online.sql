/*
 * Scores of online detectors, over history.
 */

CREATE TYPE streamproc.online_score AS (
	score float8,
	p_value float8,
	is_anomaly boolean,
	expected float8,
	lower_bound float8,
	upper_bound float8);

COMMENT ON TYPE streamproc.online_score IS 'what an online detector says of a row: see score_online()';

CREATE FUNCTION streamproc.score_online(method text, ts timestamptz, value float8, params jsonb = '{}',
	threshold float8 = NULL, direction text = 'both', min_effect float8 = 0, learn text = 'all')
RETURNS streamproc.online_score
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_score_online';

COMMENT ON FUNCTION streamproc.score_online(text, timestamptz, float8, jsonb, float8, text, float8, text) IS
	'what a detector with this method and these parameters says of rows in the order of the window: OVER (PARTITION BY key ORDER BY ts)';

CREATE FUNCTION streamproc.score_online(method text, ts timestamp, value float8, params jsonb = '{}',
	threshold float8 = NULL, direction text = 'both', min_effect float8 = 0, learn text = 'all')
RETURNS streamproc.online_score
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_score_online';

COMMENT ON FUNCTION streamproc.score_online(text, timestamp, float8, jsonb, float8, text, float8, text) IS
	'what a detector with this method and these parameters says of rows in the order of the window: OVER (PARTITION BY key ORDER BY ts)';

CREATE FUNCTION streamproc.score_online(method text, ts timestamptz, features float8[], params jsonb = '{}',
	threshold float8 = NULL, direction text = 'both', min_effect float8 = 0, learn text = 'all')
RETURNS streamproc.online_score
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_score_online';

COMMENT ON FUNCTION streamproc.score_online(text, timestamptz, float8[], jsonb, float8, text, float8, text) IS
	'what a detector with this method and these parameters says of rows in the order of the window: OVER (PARTITION BY key ORDER BY ts)';

CREATE FUNCTION streamproc.score_online(method text, ts timestamp, features float8[], params jsonb = '{}',
	threshold float8 = NULL, direction text = 'both', min_effect float8 = 0, learn text = 'all')
RETURNS streamproc.online_score
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_score_online';

COMMENT ON FUNCTION streamproc.score_online(text, timestamp, float8[], jsonb, float8, text, float8, text) IS
	'what a detector with this method and these parameters says of rows in the order of the window: OVER (PARTITION BY key ORDER BY ts)';
