/*
 * stored_model.c
 *	  Events scored by a stored model.
 */
#include "kernel/batch/stored_model.h"

#include <math.h>
#include <string.h>

#define FOREST_THRESHOLD	0.65	/* of isolation forests, plain and extended */

static const SpParam param_table[] = {
	{"model", SP_PARAM_MODEL, offsetof(SpStoredModelParams, model), NAN, 0, 0,
	"the text of a value of type streamproc.model", NULL, "none: it must be given"}
};

static const char *
find_conflict(const void *params, int n)
{
	const SpStoredModelParams *p = params;

	if (p->model.view.kernel != NULL && p->model.view.d != n)
		return "\"model\" was made of another number of features";
	return NULL;
}

/* Others' scores depend on the scale of what they were made of. */
static double
get_threshold(const void *params, int n)
{
	const SpModelKernel *kernel = ((const SpStoredModelParams *) params)->model.view.kernel;

	(void) n;
	if (kernel != NULL && (strcmp(kernel->name, "isolation_forest") == 0 ||
						   strcmp(kernel->name, "extended_isolation_forest") == 0))
		return FOREST_THRESHOLD;
	return NAN;
}

/* The point as models take it: very large numbers would have no finite squares. */
static void
limit_point(const SpPoint *point, int n, double *x)
{
	for (int f = 0; f < n; f++)
		x[f] = fmax(fmin(point->x[f], SP_BATCH_MAX), -SP_BATCH_MAX);
}

static void
score(const void *state, const SpSetup *setup, const SpPoint *point, SpScore *result,
	  SpExplanation *why)
{
	const SpStoredModel *model = &((const SpStoredModelParams *) setup->params)->model;
	double	   *x = model->scratch + 3 * (size_t) setup->n;
	double		parts[SP_MAX_FEATURES];

	(void) state;
	sp_online_clear_score(result);
	if (model->view.kernel == NULL)
		return;
	limit_point(point, setup->n, x);
	result->score = sp_online_limit(sp_model_score(&model->view, x, model->scratch));
	result->ready = true;
	if (!sp_online_explains(setup, result, why))
		return;
	sp_online_clear_explanation(why, setup->n);
	sp_model_explain(&model->view, x, parts, model->scratch);
	why->nparts = setup->n;
	for (int f = 0; f < setup->n; f++)
		why->parts[f] = (SpPart){NULL, f, parts[f]};
}

static bool
learn(void *state, const SpSetup *setup, const SpPoint *point)
{
	int64_t    *count = state;

	(void) setup;
	(void) point;
	*count += *count < INT64_MAX;
	return true;
}

static bool
is_sound(const void *state, const SpSetup *setup)
{
	(void) setup;
	return *(const int64_t *) state >= 0;
}

const SpKernel sp_kernel_model = {
	.name = "model",
	.summary = "the score that a stored model of a batch method gives each event",
	.reference = "what the model's own method has",
	.takes = SP_TAKES_FEATURES,
	.is_fitted = true,
	.version = 1,
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(SpStoredModelParams),
	.conflict = find_conflict,
	.get_threshold = get_threshold,
	.state_size = sizeof(int64_t),
	.score = score,
	.learn = learn,
	.is_sound = is_sound
};
