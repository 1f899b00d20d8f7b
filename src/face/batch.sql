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

CREATE FUNCTION streamproc.extended_isolation_forest(features float8[], trees int4 = 100, sample_size int4 = 256, extension int4 = -1,
	seed int4 = 42)
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.extended_isolation_forest(float8[], int4, int4, int4, int4) IS
	'isolation forest whose cuts go in any direction: 0.5 or less is ordinary, 1 isolated at once';

CREATE FUNCTION streamproc.extended_isolation_forest(VARIADIC features float8[])
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.extended_isolation_forest(float8[]) IS
	'isolation forest whose cuts go in any direction: 0.5 or less is ordinary, 1 isolated at once';

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

CREATE FUNCTION streamproc.dbscan(features float8[], eps float8, min_points int4 = 5, scale text = 'none')
RETURNS int4
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.dbscan(float8[], float8, int4, text) IS
	'the number of the cluster of dense points that a row belongs to; NULL is noise';

CREATE FUNCTION streamproc.hdbscan(features float8[], min_points int4 = 5, min_cluster_size int4 = 0, scale text = 'robust')
RETURNS int4
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.hdbscan(float8[], int4, int4, text) IS
	'the number of the cluster, of whatever density, that a row belongs to; NULL is noise';

CREATE FUNCTION streamproc.hdbscan(VARIADIC features float8[])
RETURNS int4
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.hdbscan(float8[]) IS
	'the number of the cluster, of whatever density, that a row belongs to; NULL is noise';

CREATE FUNCTION streamproc.hdbscan_outlier(features float8[], min_points int4 = 5, min_cluster_size int4 = 0, scale text = 'robust')
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.hdbscan_outlier(float8[], int4, int4, text) IS
	'GLOSH: how far a row is from the densest of its cluster in the hierarchy of hdbscan; 0 is within, towards 1 far outside';

CREATE FUNCTION streamproc.hdbscan_outlier(VARIADIC features float8[])
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.hdbscan_outlier(float8[]) IS
	'GLOSH: how far a row is from the densest of its cluster in the hierarchy of hdbscan; 0 is within, towards 1 far outside';

CREATE FUNCTION streamproc.knn_distance(features float8[], k int4 = 50, aggregate text = 'largest', scale text = 'robust')
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.knn_distance(float8[], int4, text, text) IS
	'the distance to the k-th nearest point, or the mean or median of those to all k';

CREATE FUNCTION streamproc.knn_distance(VARIADIC features float8[])
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.knn_distance(float8[]) IS
	'the distance to the k-th nearest point, or the mean or median of those to all k';

CREATE FUNCTION streamproc.lof(features float8[], k int4 = 100, scale text = 'robust')
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.lof(float8[], int4, text) IS
	'local outlier factor: how much thinner points lie than about the neighbours; 1 is ordinary';

CREATE FUNCTION streamproc.lof(VARIADIC features float8[])
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.lof(float8[]) IS
	'local outlier factor: how much thinner points lie than about the neighbours; 1 is ordinary';

CREATE FUNCTION streamproc.ecod(features float8[])
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.ecod(float8[]) IS
	'how far in the tail of its column each feature is, summed';

CREATE FUNCTION streamproc.ecod(feature float8)
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.ecod(float8) IS
	'how far in the tail of its column each feature is, summed';

CREATE FUNCTION streamproc.ecod(feature float8, VARIADIC others float8[])
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.ecod(float8, float8[]) IS
	'how far in the tail of its column each feature is, summed';

CREATE FUNCTION streamproc.copod(features float8[])
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.copod(float8[]) IS
	'how far in the tail of its column each feature is, on the side to which it is skewed, summed';

CREATE FUNCTION streamproc.copod(feature float8)
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.copod(float8) IS
	'how far in the tail of its column each feature is, on the side to which it is skewed, summed';

CREATE FUNCTION streamproc.copod(feature float8, VARIADIC others float8[])
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.copod(float8, float8[]) IS
	'how far in the tail of its column each feature is, on the side to which it is skewed, summed';

CREATE FUNCTION streamproc.hbos(features float8[], bins int4 = 10, alpha float8 = 0.1)
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.hbos(float8[], int4, float8) IS
	'how thin each features bin in a histogram of its column is, summed';

CREATE FUNCTION streamproc.hbos(VARIADIC features float8[])
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.hbos(float8[]) IS
	'how thin each features bin in a histogram of its column is, summed';

CREATE FUNCTION streamproc.pca_score(features float8[])
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.pca_score(float8[]) IS
	'distances from the principal components, those of little variance counting most';

CREATE FUNCTION streamproc.pca_score(feature float8)
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.pca_score(float8) IS
	'distances from the principal components, those of little variance counting most';

CREATE FUNCTION streamproc.pca_score(feature float8, VARIADIC others float8[])
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.pca_score(float8, float8[]) IS
	'distances from the principal components, those of little variance counting most';

CREATE FUNCTION streamproc.mahalanobis(features float8[])
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.mahalanobis(float8[]) IS
	'the squared distance from the mean, in units of the covariance';

CREATE FUNCTION streamproc.mahalanobis(feature float8)
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.mahalanobis(float8) IS
	'the squared distance from the mean, in units of the covariance';

CREATE FUNCTION streamproc.mahalanobis(feature float8, VARIADIC others float8[])
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.mahalanobis(float8, float8[]) IS
	'the squared distance from the mean, in units of the covariance';

CREATE FUNCTION streamproc.zscore(v float8)
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.zscore(float8) IS
	'distance from the mean, in deviations';

CREATE FUNCTION streamproc.modified_zscore(v float8)
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.modified_zscore(float8) IS
	'distance from the median, in median absolute deviations; above 3.5 is an outlier';

CREATE FUNCTION streamproc.tukey(v float8, k float8 = 1.5)
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.tukey(float8, float8) IS
	'distance beyond the fences, k interquartile ranges from the quartiles, in such ranges; 0 within';

CREATE FUNCTION streamproc.grubbs(v float8, alpha float8 = 0.05)
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.grubbs(float8, float8) IS
	'distance from the mean over its critical value; the farthest is an outlier above 1';

CREATE FUNCTION streamproc.generalized_esd(v float8, max_outliers int4 = 10, alpha float8 = 0.05)
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.generalized_esd(float8, int4, float8) IS
	'distance from the mean over its critical value, one value after the other; above 1 is an outlier';

CREATE FUNCTION streamproc.mcd(features float8[], seed int4 = 42)
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.mcd(float8[], int4) IS
	'the squared distance by mean and covariance of the half of the points that lies closest together';

CREATE FUNCTION streamproc.mcd(VARIADIC features float8[])
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.mcd(float8[]) IS
	'the squared distance by mean and covariance of the half of the points that lies closest together';

CREATE FUNCTION streamproc.loda(features float8[], projections int4 = 100, bins int4 = 100, seed int4 = 42)
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.loda(float8[], int4, int4, int4) IS
	'how thin points lie on lines by chance, in histograms';

CREATE FUNCTION streamproc.loda(VARIADIC features float8[])
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.loda(float8[]) IS
	'how thin points lie on lines by chance, in histograms';

CREATE FUNCTION streamproc.seasonal_esd(v float8, period int4, max_part float8 = 0.02, alpha float8 = 0.05, direction text = 'both')
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.seasonal_esd(float8, int4, float8, float8, text) IS
	'S-H-ESD, for rows in the order of the window: distance from what season and median say over its critical value; above 1 is an outlier';

CREATE FUNCTION streamproc.stl_residual(v float8, period int4, robust boolean = true, seasonal int4 = 7)
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.stl_residual(float8, int4, boolean, int4) IS
	'distance from season and trend (STL), in median absolute deviations, for rows in the order of the window';

CREATE FUNCTION streamproc.matrix_profile(v float8, m int4)
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.matrix_profile(float8, int4) IS
	'how unlike all others the stretch of m rows is that begins with the row, in the order of the window; the last m - 1 rows have no score';

CREATE FUNCTION streamproc.spectral_residual(v float8, "window" int4 = 21, "filter" int4 = 3, extension int4 = 5)
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.spectral_residual(float8, int4, int4, int4) IS
	'how salient a row is in a series, in the order of the window, without what its spectrum repeats; 0 is ordinary';

CREATE FUNCTION streamproc.bayesian_changepoint(v float8, run_length float8 = 250, lag int4 = 10, kappa float8 = 0.1)
RETURNS float8
LANGUAGE C IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT WINDOW
AS 'MODULE_PATHNAME', 'sp_batch_window';

COMMENT ON FUNCTION streamproc.bayesian_changepoint(float8, float8, int4, float8) IS
	'how probable it is that the series, in the order of the window, changes with the row';
