/*
 * seasonal.c
 *	  Deviation from what is usual at this time of the cycle.
 *
 * The formulas are in seasonal.h.
 */
#include "kernel/online/seasonal.h"

#include <math.h>

#include "kernel/online/normal.h"

#define MINUTE	INT64_C(60000000)
#define HOUR	(60 * MINUTE)
#define DAY		(24 * HOUR)
#define WEEK	(7 * DAY)

/* Times count from a Saturday on. */
#define SINCE_MONDAY	(5 * DAY)

/* What is expected of a value. */
typedef struct Expectation
{
	double		center;
	double		scale;
} Expectation;

static const char *const period_choices[] = {
	"hour_of_day", "hour_of_week", "minute_of_hour", NULL
};

static const SpParam param_table[] = {
	{"period", SP_PARAM_CHOICE, offsetof(SpSeasonalParams, period), SP_CYCLE_HOUR_OF_DAY, 0, 0,
	"the cycle, and its bins", period_choices, NULL},
	{"interval", SP_PARAM_INTERVAL, offsetof(SpSeasonalParams, interval), NAN, 1, 3.2e15,
	"length of the cycle, instead of period", NULL, "period says it"},
	{"bins", SP_PARAM_INT, offsetof(SpSeasonalParams, bins), 24, 2, 10000,
	"parts of interval", NULL, NULL},
	{"alpha", SP_PARAM_FLOAT, offsetof(SpSeasonalParams, alpha), 0.02, 1e-6, 0.5,
	"weight of a bin's newest value", NULL, NULL},
	{"shrinkage", SP_PARAM_FLOAT, offsetof(SpSeasonalParams, shrinkage), 10.0, 0.0, 1e9,
	"so many values the other bins' variance counts as", NULL, NULL},
	{"warmup", SP_PARAM_INT, offsetof(SpSeasonalParams, warmup), 50, 2, 1000000000,
	"values to learn before the first score", NULL, NULL}
};

/* ---- parameters ---- */

static int64_t
get_cycle(const SpSeasonalParams *params)
{
	if (params->interval > 0)
		return params->interval;
	return params->period == SP_CYCLE_HOUR_OF_DAY ? DAY :
		params->period == SP_CYCLE_HOUR_OF_WEEK ? WEEK : HOUR;
}

/* How many bins there are. */
int
sp_seasonal_bins(const SpSeasonalParams *params)
{
	if (params->interval > 0)
		return params->bins;
	return params->period == SP_CYCLE_HOUR_OF_DAY ? 24 :
		params->period == SP_CYCLE_HOUR_OF_WEEK ? 7 * 24 : 60;
}

/* The bin of a time on the local clock. */
int
sp_seasonal_bin(const SpSeasonalParams *params, int64_t local)
{
	int64_t		cycle = get_cycle(params);
	int			bins = sp_seasonal_bins(params);
	int64_t		bin;

	local %= cycle;
	if (local < 0)
		local += cycle;
	if (params->interval == 0 && params->period == SP_CYCLE_HOUR_OF_WEEK)
		local = (local + SINCE_MONDAY) % cycle;
	bin = local / (cycle / bins);
	return bin < bins ? (int) bin : bins - 1;
}

static const char *
get_conflict(const void *params, int n)
{
	const SpSeasonalParams *p = params;

	(void) n;
	return get_cycle(p) < sp_seasonal_bins(p) ? "interval must be at least a microsecond a bin" : NULL;
}

static size_t
get_state_size(const void *params, int n)
{
	(void) n;
	return sizeof(SpSeasonal) + (size_t) sp_seasonal_bins(params) * sizeof(SpSeasonalBin);
}

/* ---- calls ---- */

/* What is expected of a value in that bin; not finite where that isn't known. */
static Expectation
compute_expectation(const SpSeasonal *s, const SpSeasonalParams *params, const SpSeasonalBin *bin)
{
	double		within = s->within_weight > 0.0 ? s->within : s->all.variance;
	double		between = fmax(0.0, s->all.variance - within);
	double		lean = 1.0;
	double		variance = within;
	double		prior = params->shrinkage;

	if (bin->count > 0)
	{
		double		uncertainty = within / bin->values.weight;
		double		n = (double) bin->count;

		lean = uncertainty > 0.0 ? uncertainty / (uncertainty + between) : 0.0;
		variance = bin->values.variance * (n / (n + prior)) + within * (prior / (n + prior));
	}
	return (Expectation){
		bin->values.mean + lean * (s->all.mean - bin->values.mean),
		sqrt(variance + lean * between)
	};
}

static bool
is_known(const Expectation *e)
{
	return isfinite(e->center) && isfinite(e->scale);
}

static void
score(const void *state, const SpSetup *setup, const SpPoint *point, SpScore *result,
	  SpExplanation *why)
{
	const SpSeasonal *s = state;
	const SpSeasonalParams *params = setup->params;
	Expectation e = compute_expectation(s, params, &s->bins[sp_seasonal_bin(params, point->local)]);

	sp_online_clear_score(result);
	if (s->count == 0 || !is_known(&e))
		return;
	if (s->count >= (uint64_t) params->warmup)
		sp_normal_score(setup, point->x[0], e.center, e.scale, result, why);
	else
		result->expected = e.center;
}

/* Take a value's distance from its bin's mean; false: it is too large. */
static bool
learn_within(SpSeasonal *s, double alpha, const SpSeasonalBin *bin, double x)
{
	double		d = x - bin->values.mean;
	double		square = d * d * (bin->values.weight / (bin->values.weight + 1.0));
	double		weight = (1.0 - alpha) * s->within_weight + 1.0;
	double		within = s->within + (square - s->within) / weight;

	if (bin->count == 0)
		return true;
	if (!isfinite(within))
		return false;
	s->within_weight = weight;
	s->within = within;
	return true;
}

static bool
learn(void *state, const SpSetup *setup, const SpPoint *point)
{
	SpSeasonal *s = state;
	const SpSeasonalParams *params = setup->params;
	SpSeasonalBin *bin = &s->bins[sp_seasonal_bin(params, point->local)];
	double		alpha = params->alpha / sp_seasonal_bins(params);
	Expectation e = compute_expectation(s, params, bin);
	double		x = point->x[0];
	SpMoments	all = s->all;
	SpMoments	values = bin->values;

	if (s->count >= (uint64_t) params->warmup && is_known(&e) && e.scale > 0.0)
	{
		x = fmin(x, e.center + SP_SEASONAL_CLIP * e.scale);
		x = fmax(x, e.center - SP_SEASONAL_CLIP * e.scale);
	}
	if (!sp_online_can_learn(point->x[0]) || !sp_moments_add(&all, alpha, x) ||
		!sp_moments_add(&values, params->alpha, x) ||
		!learn_within(s, alpha, bin, x))
		return false;
	s->all = all;
	bin->values = values;
	bin->count++;
	s->count++;
	return true;
}

static bool
is_sound(const void *state, const SpSetup *setup)
{
	const SpSeasonal *s = state;
	const SpSeasonalParams *params = setup->params;
	uint64_t	count = 0;

	if (s->count > INT64_MAX / 2 || !sp_moments_is_sound(&s->all) ||
		(s->count == 0) != (s->all.weight == 0.0) || !isfinite(s->within_weight) ||
		!(s->within_weight >= 0.0) || !isfinite(s->within) || !(s->within >= 0.0))
		return false;
	for (int i = 0; i < sp_seasonal_bins(params); i++)
	{
		const SpSeasonalBin *bin = &s->bins[i];

		if (bin->count > s->count || !sp_moments_is_sound(&bin->values) ||
			(bin->count == 0) != (bin->values.weight == 0.0))
			return false;
		count += bin->count;
	}
	return count == s->count;
}

const SpKernel sp_kernel_seasonal = {
	.name = "seasonal",
	.summary = "deviation from what is usual at this hour, or part of any cycle, in standard deviations",
	.reference = "profile by time; James, Stein 1961; Huber 1964",
	.takes = SP_TAKES_VALUE,
	.has_direction = true,
	.uses_time = true,
	.sums_up = true,
	.version = 1,
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(SpSeasonalParams),
	.conflict = get_conflict,
	.threshold = SP_SEASONAL_THRESHOLD,
	.get_state_size = get_state_size,
	.score = score,
	.learn = learn,
	.p_value = sp_normal_p_value,
	.is_sound = is_sound
};
