/*
 * auto_score.c
 *	  A detector without parameters: three views of the points, averaged.
 */
#include "kernel/batch/auto_score.h"

#include <math.h>
#include <string.h>

#include "kernel/batch/density_forest.h"
#include "kernel/batch/isolation_forest.h"
#include "kernel/batch/order.h"
#include "kernel/batch/sample_knn.h"

#define VIEWS	3

/* Add a view's scores on their scale to the sum; scratch: room for n numbers. */
static void
add_view(const double *view, size_t n, double *sum, double *scratch, SpWork *work)
{
	SpColumn	c;
	double		unit;

	memcpy(scratch, view, n * sizeof(double));
	sp_order_describe_values(scratch, n, &c, work);
	unit = (c.q3 - c.q1) / SP_NORMAL_IQR;
	if (unit <= 1e-12 * fmax(fabs(c.min), fabs(c.max)))
		unit = c.deviation;
	if (!(unit > 0))
		return;
	for (size_t i = 0; i < n; i++)
		sum[i] += asinh((view[i] - c.median) / unit);
}

/* Minus the mean path lengths. */
static void
find_alone(int32_t seed, const SpMatrix *points, double *view, SpWork *work)
{
	SpIsolationForestParams params = {SP_AUTO_SCORE_TREES, SP_AUTO_SCORE_PSI, seed};
	SpIsolationForest *forest =
		work->allocate(work, sp_isolation_forest_size(&params, points->n, points->d));

	sp_isolation_forest_train(forest, &params, points, work);
	sp_isolation_forest_lengths(forest, points, view, work);
	work->release(work, forest);
	for (size_t i = 0; i < points->n; i++)
		view[i] = -view[i];
}

void
sp_auto_score(int32_t seed, const SpMatrix *points, double *scores, SpWork *work)
{
	SpSampleKnnParams knn = {SP_AUTO_SCORE_FRACTION, SP_AUTO_SCORE_SAMPLE, seed};
	SpDensityForestParams density = {SP_AUTO_SCORE_TREES, SP_AUTO_SCORE_PSI,
	SP_AUTO_SCORE_COLUMNS, seed};
	size_t		size = points->n * sizeof(double);
	double	   *view;
	double	   *scratch;

	memset(scores, 0, size);
	if (points->n < 3)
		return;
	view = work->allocate(work, size);
	scratch = work->allocate(work, size);
	sp_sample_knn(&knn, points, view, work);
	add_view(view, points->n, scores, scratch, work);
	find_alone(seed, points, view, work);
	add_view(view, points->n, scores, scratch, work);
	sp_density_forest(&density, points, view, work);
	add_view(view, points->n, scores, scratch, work);
	for (size_t i = 0; i < points->n; i++)
		scores[i] /= VIEWS;
	work->release(work, scratch);
	work->release(work, view);
}

/* ---- the kernel ---- */

typedef struct Params
{
	int32_t		seed;
} Params;

static const SpParam param_table[] = {
	{"seed", SP_PARAM_INT, offsetof(Params, seed), SP_BATCH_SEED, INT32_MIN, INT32_MAX,
	"what is chosen by chance follows from it", NULL, NULL}
};

static double
estimate_memory(const void *params, double n, int d)
{
	(void) params;
	return 24 * n + 8e6 + 4096.0 * d;
}

static void
score_all(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	sp_auto_score(((const Params *) params)->seed, points, scores, work);
}

const SpBatchKernel sp_batch_auto_score = {
	.name = "auto_score",
	.summary = "needs no parameters: the mean of sample_knn, isolation_forest and density_forest, "
	"each on a robust scale; 0 is ordinary",
	.reference = "see these three",
	.stream_threshold = 2,
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(Params),
	.memory = estimate_memory,
	.score = score_all
};
