/*
 * isolation_model.c
 *	  Isolation forests as models.
 */
#include "kernel/batch/isolation_model.h"

#include "kernel/batch/isolation_forest.h"

#define SAMPLE		32768		/* points */
#define MAX_NUMBERS	(8 * 1024 * 1024)	/* in a sample, but for what trees need */

static uint64_t
count_sample(const void *params, int d)
{
	const SpIsolationForestParams *p = params;
	uint64_t	most = MAX_NUMBERS / d < SAMPLE ? MAX_NUMBERS / d : SAMPLE;
	uint64_t	least = 2 * (uint64_t) p->sample_size;

	return most < least ? least : most;
}

static void *
train(const void *params, const SpGather *gather, SpWork *work, size_t *size)
{
	SpMatrix	points = sp_gather_points(gather);
	SpIsolationForest *forest;

	*size = sp_isolation_forest_size(params, points.n, points.d);
	forest = work->allocate(work, *size);
	sp_isolation_forest_train(forest, params, &points, work);
	return forest;
}

static double
estimate_memory(const void *params, double n, int d)
{
	return sp_batch_isolation_forest.memory(params, n, d);
}

static bool
is_sound(const SpModelView *model)
{
	const SpIsolationForest *forest = model->body;
	const SpIsolationForestParams *p = model->params;

	return sp_isolation_forest_is_sound(forest, model->size) && forest->d == model->d &&
		forest->trees == p->trees;
}

static double
score(const SpModelView *model, const double *x, double *scratch)
{
	float	   *converted = (float *) scratch;

	sp_isolation_forest_convert(model->body, x, converted);
	return sp_isolation_forest_score_converted(model->body, converted);
}

static void
explain(const SpModelView *model, const double *x, double *parts, double *scratch)
{
	float	   *converted = (float *) scratch;
	double		whole = score(model, x, scratch);

	for (int j = 0; j < model->d; j++)
	{
		float		given = converted[j];

		converted[j] = 0;
		parts[j] = whole - sp_isolation_forest_score_converted(model->body, converted);
		converted[j] = given;
	}
}

const SpModelKernel sp_model_isolation_forest = {
	.number = 1,
	.name = "isolation_forest",
	.nparams = SP_ISOLATION_FOREST_NPARAMS,
	.param_table = sp_isolation_forest_param_table,
	.params_size = sizeof(SpIsolationForestParams),
	.gathers = SP_GATHER_SAMPLE,
	.sample = count_sample,
	.memory = estimate_memory,
	.train = train,
	.is_sound = is_sound,
	.score = score,
	.explain = explain
};
