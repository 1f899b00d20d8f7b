/*
 * ewma.c
 *	  Deviation from an exponentially weighted mean, in standard deviations.
 *
 * The formulas are in ewma.h.
 */
#include "kernel/online/ewma.h"

#include <math.h>

#include "kernel/online/moments.h"
#include "kernel/online/normal.h"

static const SpParam param_table[] = {
	{"alpha", SP_PARAM_FLOAT, offsetof(SpEwmaParams, alpha), 0.05, 1e-6, 0.9,
	"weight of the newest value; a value loses half its weight in about 0.7 / alpha values",
	NULL, NULL},
	{"warmup", SP_PARAM_INT, offsetof(SpEwmaParams, warmup), 30, 2, 1000000000,
	"values to learn before the first score", NULL, NULL}
};

static void
score(const void *state, const SpSetup *setup, const SpPoint *point, SpScore *result,
	  SpExplanation *why)
{
	const SpEwma *s = state;
	const SpEwmaParams *params = setup->params;

	if (s->count >= (uint64_t) params->warmup)
	{
		sp_normal_score(setup, point->x[0], s->mean, sqrt(s->variance), result, why);
		return;
	}
	sp_online_clear_score(result);
	if (s->count > 0)
		result->expected = s->mean;
}

static bool
learn(void *state, const SpSetup *setup, const SpPoint *point)
{
	SpEwma	   *s = state;
	const SpEwmaParams *params = setup->params;
	double		weight = (1.0 - params->alpha) * s->weight + 1.0;
	double		r = 1.0 / weight;
	double		d = point->x[0] - s->mean;
	double		mean = s->mean + r * d;
	double		variance = (1.0 - r) * (s->variance + r * d * d);

	if (!sp_online_can_learn(point->x[0]) || !isfinite(mean) || !isfinite(variance))
		return false;

	s->weight = weight;
	s->mean = sp_moments_fade(mean);
	s->variance = sp_moments_fade(variance);
	s->count++;
	return true;
}

static bool
is_sound(const void *state, const SpSetup *setup)
{
	const SpEwma *s = state;

	(void) setup;
	if (!isfinite(s->mean) || !isfinite(s->weight) || !isfinite(s->variance))
		return false;
	if (s->variance < 0.0 || s->count > INT64_MAX / 2)
		return false;
	return s->count == 0 ? s->weight == 0.0 : s->weight >= 1.0;
}

const SpKernel sp_kernel_ewma = {
	.name = "ewma",
	.summary = "deviation from an exponentially weighted mean, in standard deviations",
	.reference = "Roberts 1959; West 1979; Finch 2009",
	.takes = SP_TAKES_VALUE,
	.has_direction = true,
	.sums_up = true,
	.version = 2,
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(SpEwmaParams),
	.threshold = SP_EWMA_THRESHOLD,
	.state_size = sizeof(SpEwma),
	.score = score,
	.learn = learn,
	.p_value = sp_normal_p_value,
	.is_sound = is_sound
};
