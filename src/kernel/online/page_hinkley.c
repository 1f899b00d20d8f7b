/*
 * page_hinkley.c
 *	  The Page-Hinkley test.
 *
 * The formulas are in page_hinkley.h.
 */
#include "kernel/online/page_hinkley.h"

#include <math.h>

#include "kernel/online/cusum.h"
#include "kernel/online/normal.h"

static const char *const reset_choices[] = {"none", "sums", "all", NULL};

static const SpParam param_table[] = {
	{"delta", SP_PARAM_FLOAT, offsetof(SpPageHinkleyParams, delta), 0.25, 0.0, 1e6,
	"change that is tolerated, in standard deviations or, without standardize, in the value's units",
	NULL, NULL},
	{"alpha", SP_PARAM_FLOAT, offsetof(SpPageHinkleyParams, alpha), 0.9999, 0.5, 1.0,
	"what remains of the sums from event to event; 1: all", NULL, NULL},
	{"standardize", SP_PARAM_BOOL, offsetof(SpPageHinkleyParams, standardize), 1, 0, 1,
	"divide by the standard deviation", NULL, NULL},
	{"warmup", SP_PARAM_INT, offsetof(SpPageHinkleyParams, warmup), 100, 2, 1000000000,
	"values to learn before the first score", NULL, NULL},
	{"reset", SP_PARAM_CHOICE, offsetof(SpPageHinkleyParams, reset), SP_RESET_ALL, 0, 0,
	"what begins again after a score above the threshold", reset_choices, NULL}
};

static bool
is_ready(const SpPageHinkley *s, const SpPageHinkleyParams *params)
{
	return s->since >= (uint64_t) params->warmup;
}

/* What the distance of a value from the mean before it is divided by: it moves the mean, too. */
static double
get_scale(const SpPageHinkley *s, const SpPageHinkleyParams *params)
{
	double		n = (double) s->since;

	return (params->standardize ? sqrt(s->base.variance) : 1.0) * ((n + 1.0) / n);
}

/* The sums with x, before they are cut off at 0; they may be infinite. */
static void
compute_sums(const SpPageHinkley *s, const SpPageHinkleyParams *params, double x, double *rise,
			 double *fall)
{
	double		scale = get_scale(s, params);
	double		d = params->standardize ? sp_normal_standardize(x, s->base.mean, scale) :
		(x - s->base.mean) / scale;

	*rise = params->alpha * s->rise + d - params->delta;
	*fall = params->alpha * s->fall - d - params->delta;
}

/* Does the rise count rather than the fall? */
static bool
is_high(SpDirection direction, double rise, double fall)
{
	return direction == SP_DIRECTION_HIGH || (direction == SP_DIRECTION_BOTH && rise >= fall);
}

/* The sum that counts. */
static double
get_sum(SpDirection direction, double rise, double fall)
{
	return sp_online_limit(is_high(direction, rise, fall) ? rise : fall);
}

/* The sum that is a change: with a budget of alerts the method's own, whatever is an alert. */
static double
get_change(const SpSetup *setup)
{
	return setup->is_fine ? SP_PAGE_HINKLEY_THRESHOLD : setup->threshold;
}

/* The values with which a sum reaches the threshold, unless it is above with any. */
static void
compute_bounds(const SpPageHinkley *s, const SpSetup *setup, SpScore *result)
{
	const SpPageHinkleyParams *params = setup->params;
	double		scale = get_scale(s, params);
	double		limit = params->delta + (setup->is_fine ? sp_online_fine_statistic(setup->threshold) :
										 setup->threshold);
	double		up = limit - params->alpha * s->rise;
	double		down = limit - params->alpha * s->fall;

	if (!(up + down >= 0.0))
		return;
	result->lower_bound = s->base.mean - down * scale;
	result->upper_bound = s->base.mean + up * scale;
}

static void
score(const void *state, const SpSetup *setup, const SpPoint *point, SpScore *result,
	  SpExplanation *why)
{
	const SpPageHinkley *s = state;
	const SpPageHinkleyParams *params = setup->params;
	double		rise,
				fall,
				before;

	sp_online_clear_score(result);
	if (s->since > 0)
		result->expected = s->base.mean;
	if (!is_ready(s, params))
		return;
	compute_sums(s, params, point->x[0], &rise, &fall);
	result->score = get_sum(setup->direction, rise, fall);
	result->score = setup->is_fine ? sp_online_fine_score(result->score) : fmax(0.0, result->score);
	result->ready = true;
	compute_bounds(s, setup, result);
	if (!sp_online_explains(setup, result, why))
		return;
	before = params->alpha * (is_high(setup->direction, rise, fall) ? s->rise : s->fall);
	before = sp_online_limit(before);
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
	SpPageHinkley *s = state;
	const SpPageHinkleyParams *params = setup->params;
	SpMoments	base = s->base;
	double		rise = 0.0;
	double		fall = 0.0;
	bool		alarm = false;

	if (is_ready(s, params))
	{
		compute_sums(s, params, point->x[0], &rise, &fall);
		alarm = fmax(0.0, get_sum(setup->direction, rise, fall)) > get_change(setup);
		rise = fmax(0.0, rise);
		fall = fmax(0.0, fall);
	}
	if (alarm && params->reset != SP_RESET_NONE)
		rise = fall = 0.0;
	if (alarm && params->reset == SP_RESET_ALL)
		base = (SpMoments){0.0, 0.0, 0.0};
	if (!sp_online_can_learn(point->x[0]) || !isfinite(rise) || !isfinite(fall) ||
		!sp_moments_add(&base, 0.0, point->x[0]))
		return false;
	s->base = base;
	s->rise = rise;
	s->fall = fall;
	s->since = alarm && params->reset == SP_RESET_ALL ? 1 : s->since + 1;
	s->count++;
	return true;
}

static bool
is_sound(const void *state, const SpSetup *setup)
{
	const SpPageHinkley *s = state;

	(void) setup;
	if (s->count > INT64_MAX / 2 || s->since > s->count || (s->since == 0) != (s->count == 0))
		return false;
	return sp_moments_is_sound(&s->base) && (s->since == 0) == (s->base.weight == 0.0) &&
		isfinite(s->rise) && s->rise >= 0.0 && isfinite(s->fall) && s->fall >= 0.0;
}

const SpKernel sp_kernel_page_hinkley = {
	.name = "page_hinkley",
	.summary = "Page-Hinkley test: a lasting change of the mean",
	.reference = "Page 1954; Hinkley 1971",
	.takes = SP_TAKES_VALUE,
	.has_direction = true,
	.sums_up = true,
	.version = 1,
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(SpPageHinkleyParams),
	.threshold = SP_PAGE_HINKLEY_THRESHOLD,
	.state_size = sizeof(SpPageHinkley),
	.score = score,
	.learn = learn,
	.is_sound = is_sound
};
