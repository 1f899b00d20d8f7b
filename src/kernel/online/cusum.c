/*
 * cusum.c
 *	  Cumulative sums of standardized deviations.
 *
 * The formulas are in cusum.h.
 */
#include "kernel/online/cusum.h"

#include <math.h>

#include "kernel/online/normal.h"

static const char *const reset_choices[] = {"none", "sums", "all", NULL};

static const SpParam param_table[] = {
	{"drift", SP_PARAM_FLOAT, offsetof(SpCusumParams, drift), 0.5, 0.0, 100,
	"half the shift to find, in standard deviations", NULL, NULL},
	{"alpha", SP_PARAM_FLOAT, offsetof(SpCusumParams, alpha), 0.01, 0.0, 0.5,
	"weight of the newest value in mean and deviation; 0: all weigh the same", NULL, NULL},
	{"warmup", SP_PARAM_INT, offsetof(SpCusumParams, warmup), 100, 2, 1000000000,
	"values to learn before the first score", NULL, NULL},
	{"reset", SP_PARAM_CHOICE, offsetof(SpCusumParams, reset), SP_RESET_SUMS, 0, 0,
	"what begins again after a score above the threshold", reset_choices, NULL}
};

static bool
is_ready(const SpCusum *s, const SpCusumParams *params)
{
	return s->since >= (uint64_t) params->warmup;
}

/* A sum that grows by that. */
static double
add_to_sum(double sum, double amount)
{
	return fmax(0.0, sp_online_limit(sum + amount));
}

/* The sums with x. */
static void
compute_sums(const SpCusum *s, const SpCusumParams *params, double x, double *high, double *low)
{
	double		z = sp_normal_standardize(x, s->base.mean, sqrt(s->base.variance));

	*high = add_to_sum(s->high, z - params->drift);
	*low = add_to_sum(s->low, -z - params->drift);
}

/* The one that counts. */
static bool
is_high(SpDirection direction, double high, double low)
{
	return direction == SP_DIRECTION_HIGH || (direction == SP_DIRECTION_BOTH && high >= low);
}

static void
score(const void *state, const SpSetup *setup, const SpPoint *point, SpScore *result,
	  SpExplanation *why)
{
	const SpCusum *s = state;
	const SpCusumParams *params = setup->params;
	double		limit = setup->threshold + params->drift;
	double		deviation = sqrt(s->base.variance);
	double		high,
				low,
				before;

	sp_online_clear_score(result);
	if (s->since > 0)
		result->expected = s->base.mean;
	if (!is_ready(s, params))
		return;
	compute_sums(s, params, point->x[0], &high, &low);
	result->score = is_high(setup->direction, high, low) ? high : low;
	result->ready = true;
	/* unless a sum would be above the threshold with any value */
	if (s->high + s->low <= 2.0 * limit)
	{
		result->lower_bound = s->base.mean - (limit - s->low) * deviation;
		result->upper_bound = s->base.mean + (limit - s->high) * deviation;
	}
	if (!sp_online_explains(setup, result, why))
		return;
	before = is_high(setup->direction, high, low) ? s->high : s->low;
	sp_online_clear_explanation(why, 1);
	why->nparts = 2;
	why->parts[0] = (SpPart){NULL, 0, result->score - before};
	why->parts[1] = (SpPart){"values before", 0, before};
	why->expected[0] = s->base.mean;
	why->lower[0] = result->lower_bound;
	why->upper[0] = result->upper_bound;
}

static bool
learn(void *state, const SpSetup *setup, const SpPoint *point)
{
	SpCusum    *s = state;
	const SpCusumParams *params = setup->params;
	SpMoments	base = s->base;
	double		high = 0.0;
	double		low = 0.0;
	bool		alarm = false;

	if (is_ready(s, params))
	{
		compute_sums(s, params, point->x[0], &high, &low);
		alarm = (is_high(setup->direction, high, low) ? high : low) > setup->threshold;
	}
	if (alarm && params->reset == SP_RESET_ALL)
		base = (SpMoments){0.0, 0.0, 0.0};
	if (!sp_online_can_learn(point->x[0]) ||
		!sp_moments_add(&base, params->alpha, point->x[0]))
		return false;
	s->base = base;
	s->since = alarm && params->reset == SP_RESET_ALL ? 1 : s->since + 1;
	s->high = alarm && params->reset != SP_RESET_NONE ? 0.0 : high;
	s->low = alarm && params->reset != SP_RESET_NONE ? 0.0 : low;
	s->count++;
	return true;
}

static bool
is_sound(const void *state, const SpSetup *setup)
{
	const SpCusum *s = state;

	(void) setup;
	if (s->count > INT64_MAX / 2 || s->since > s->count || (s->since == 0) != (s->count == 0))
		return false;
	return sp_moments_is_sound(&s->base) && (s->since == 0) == (s->base.weight == 0.0) &&
		s->high >= 0.0 && s->high <= SP_SCORE_MAX && s->low >= 0.0 && s->low <= SP_SCORE_MAX;
}

const SpKernel sp_kernel_cusum = {
	.name = "cusum",
	.summary = "cumulative sums of deviations in standard deviations: small shifts of the level",
	.reference = "Page 1954; Hawkins 1987",
	.takes = SP_TAKES_VALUE,
	.has_direction = true,
	.sums_up = true,
	.version = 1,
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(SpCusumParams),
	.threshold = SP_CUSUM_THRESHOLD,
	.state_size = sizeof(SpCusum),
	.score = score,
	.learn = learn,
	.is_sound = is_sound
};
