/*
 * Batch detectors: window functions that score all rows of a partition.  Higher is more anomalous; a row with a
 * feature that is NULL, NaN or infinite has no score.
 */

CREATE FUNCTION streamproc.auto_score(features float8[], seed int4 = 42)
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.auto_score(float8[], int4) IS
	'needs no parameters: three views of the points, averaged; 0 is ordinary';

CREATE FUNCTION streamproc.auto_score(VARIADIC features float8[])
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.auto_score(float8[]) IS
	'needs no parameters: three views of the points, averaged; 0 is ordinary';

CREATE FUNCTION streamproc.isolation_forest(features float8[], trees int4 = 100, sample_size int4 = 256, seed int4 = 42)
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.isolation_forest(float8[], int4, int4, int4) IS
	'isolation forest: 0.5 or less is ordinary, 1 isolated at once';

CREATE FUNCTION streamproc.isolation_forest(VARIADIC features float8[])
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.isolation_forest(float8[]) IS
	'isolation forest: 0.5 or less is ordinary, 1 isolated at once';

CREATE FUNCTION streamproc.density_forest(features float8[], trees int4 = 100, sample_size int4 = 256, columns int4 = 2, seed int4 = 42)
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.density_forest(float8[], int4, int4, int4, int4) IS
	'how thin points lie, in trees of oblique cuts; 0 is evenly spread';

CREATE FUNCTION streamproc.density_forest(VARIADIC features float8[])
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.density_forest(float8[]) IS
	'how thin points lie, in trees of oblique cuts; 0 is evenly spread';

CREATE FUNCTION streamproc.sample_knn(features float8[], sample_size int4 = 512, fraction float8 = 0.05, seed int4 = 42)
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.sample_knn(float8[], int4, float8, int4) IS
	'the distance to neighbours in a small random sample, on a robust scale';

CREATE FUNCTION streamproc.sample_knn(VARIADIC features float8[])
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.sample_knn(float8[]) IS
	'the distance to neighbours in a small random sample, on a robust scale';
