/*
 * What batch methods say of a series in an array, and aggregates that choose the settings of batch detectors.
 */

CREATE TYPE streamproc.stl_row AS (
	i int4,
	observed float8,
	trend float8,
	seasonal float8,
	residual float8,
	score float8,
	is_anomaly boolean);

COMMENT ON TYPE streamproc.stl_row IS 'a value of a series, and what stl_decompose() makes of it';

CREATE FUNCTION streamproc.stl_decompose(v float8[], period int4, robust boolean = true, seasonal int4 = 7, threshold float8 = 3)
RETURNS SETOF streamproc.stl_row
LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'sp_stl_decompose';

COMMENT ON FUNCTION streamproc.stl_decompose(float8[], int4, boolean, int4, float8) IS
	'season, trend and the rest of a series (STL); a value whose rest is above the threshold, in median absolute deviations, is an anomaly';

CREATE TYPE streamproc.matrix_profile_row AS (
	i int4,
	distance float8,
	neighbour int4,
	is_discord boolean);

COMMENT ON TYPE streamproc.matrix_profile_row IS 'a stretch of a series, which begins with value i, and the one most like it';

CREATE FUNCTION streamproc.matrix_profile_full(v float8[], m int4, discords int4 = 1)
RETURNS SETOF streamproc.matrix_profile_row
LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'sp_matrix_profile_full';

COMMENT ON FUNCTION streamproc.matrix_profile_full(float8[], int4, int4) IS
	'how unlike all others each stretch of m values is, and where the one most like it begins; discords don''t overlap';

CREATE FUNCTION streamproc.find_period(v float8[])
RETURNS int4
LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'sp_find_period_of';

COMMENT ON FUNCTION streamproc.find_period(float8[]) IS
	'the number of values after which a series repeats itself; NULL: it doesn''t';

CREATE FUNCTION streamproc.suggest_eps_add(internal, float8[], int4)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_suggest_eps_add';

COMMENT ON FUNCTION streamproc.suggest_eps_add(internal, float8[], int4) IS 'a transition of suggest_eps()';

CREATE FUNCTION streamproc.suggest_eps_final(internal)
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_suggest_eps_final';

COMMENT ON FUNCTION streamproc.suggest_eps_final(internal) IS 'the end of suggest_eps()';

CREATE AGGREGATE streamproc.suggest_eps(features float8[], min_points int4) (
	SFUNC = streamproc.suggest_eps_add,
	STYPE = internal,
	FINALFUNC = streamproc.suggest_eps_final,
	PARALLEL = SAFE);

COMMENT ON AGGREGATE streamproc.suggest_eps(float8[], int4) IS
	'an eps for dbscan: the distance to the min_points-th point, itself the first, where its sorted curve turns up';

CREATE FUNCTION streamproc.anomaly_threshold_add(internal, float8)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_anomaly_threshold_add';

COMMENT ON FUNCTION streamproc.anomaly_threshold_add(internal, float8) IS 'a transition of anomaly_threshold()';

CREATE FUNCTION streamproc.anomaly_threshold_final(internal, float8)
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_anomaly_threshold_final';

COMMENT ON FUNCTION streamproc.anomaly_threshold_final(internal, float8) IS 'the end of anomaly_threshold()';

CREATE AGGREGATE streamproc.anomaly_threshold(contamination float8 ORDER BY score float8) (
	SFUNC = streamproc.anomaly_threshold_add,
	STYPE = internal,
	FINALFUNC = streamproc.anomaly_threshold_final,
	PARALLEL = SAFE);

COMMENT ON AGGREGATE streamproc.anomaly_threshold(float8, float8) IS
	'the least threshold above which there are at most this part of the scores, NULLs not counted';
