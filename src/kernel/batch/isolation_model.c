/*
 * isolation_model.c
 *	  Isolation forests and extended ones as models.
 */
#include "kernel/batch/isolation_model.h"

#include "kernel/batch/extended_isolation_forest.h"
#include "kernel/batch/isolation_forest.h"

#define SAMPLE		32768		/* points */
#define MAX_NUMBERS	(8 * 1024 * 1024)	/* in a sample, but for what trees need */

/* Points of d columns to make trees of, each of so many of them. */
static uint64_t
count_points(int32_t sample_size, int d)
{
	uint64_t	most = MAX_NUMBERS / d < SAMPLE ? MAX_NUMBERS / d : SAMPLE;
	uint64_t	least = 2 * (uint64_t) sample_size;

	return most < least ? least : most;
}

static uint64_t
count_sample(const void *params, int d)
{
	return count_points(((const SpIsolationForestParams *) params)->sample_size, d);
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

/* ---- extended ---- */

static uint64_t
count_extended_sample(const void *params, int d)
{
	return count_points(((const SpExtendedIsolationForestParams *) params)->sample_size, d);
}

static void *
train_extended(const void *params, const SpGather *gather, SpWork *work, size_t *size)
{
	SpMatrix	points = sp_gather_points(gather);
	SpExtendedIsolationForest *forest;

	*size = sp_extended_isolation_forest_size(params, points.n, points.d);
	forest = work->allocate(work, *size);
	sp_extended_isolation_forest_train(forest, params, &points, work);
	return forest;
}

static double
estimate_extended_memory(const void *params, double n, int d)
{
	return sp_batch_extended_isolation_forest.memory(params, n, d);
}

static bool
is_extended_sound(const SpModelView *model)
{
	const SpExtendedIsolationForest *forest = model->body;
	const SpExtendedIsolationForestParams *p = model->params;

	return sp_extended_isolation_forest_is_sound(forest, model->size) && forest->d == model->d &&
		forest->trees == p->trees;
}

static double
score_extended(const SpModelView *model, const double *x, double *scratch)
{
	float	   *converted = (float *) scratch;

	sp_extended_isolation_forest_convert(model->body, x, converted);
	return sp_extended_isolation_forest_score_converted(model->body, converted);
}

static void
explain_extended(const SpModelView *model, const double *x, double *parts, double *scratch)
{
	float	   *converted = (float *) scratch;
	double		whole = score_extended(model, x, scratch);

	for (int j = 0; j < model->d; j++)
	{
		float		given = converted[j];

		converted[j] = 0;
		parts[j] = whole - sp_extended_isolation_forest_score_converted(model->body, converted);
		converted[j] = given;
	}
}

const SpModelKernel sp_model_extended_isolation_forest = {
	.number = 8,
	.name = "extended_isolation_forest",
	.nparams = SP_EXTENDED_ISOLATION_FOREST_NPARAMS,
	.param_table = sp_extended_isolation_forest_param_table,
	.params_size = sizeof(SpExtendedIsolationForestParams),
	.gathers = SP_GATHER_SAMPLE,
	.sample = count_extended_sample,
	.memory = estimate_extended_memory,
	.train = train_extended,
	.is_sound = is_extended_sound,
	.score = score_extended,
	.explain = explain_extended
};
