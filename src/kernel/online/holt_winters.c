/*
 * holt_winters.c
 *	  Error of the Holt-Winters forecast of the next value.
 *
 * The formulas are in holt_winters.h.
 */
#include "kernel/online/holt_winters.h"

#include <float.h>
#include <math.h>

#include "kernel/online/normal.h"

/* What rounding comes to, in units in the last place of level and season. */
#define ROUNDING_ULPS	32

static const char *const seasonality_choices[] = {"none", "additive", "multiplicative", NULL};

static const SpParam param_table[] = {
	{"seasonality", SP_PARAM_CHOICE, offsetof(SpHoltWintersParams, seasonality),
	SP_SEASONALITY_ADDITIVE, 0, 0, "what the season does to the level", seasonality_choices, NULL},
	{"period", SP_PARAM_INT, offsetof(SpHoltWintersParams, period), 24, 1, 10000,
	"length of the season, in events", NULL, NULL},
	{"trend", SP_PARAM_BOOL, offsetof(SpHoltWintersParams, trend), 1, 0, 1,
	"the level may have a trend", NULL, NULL},
	{"alpha", SP_PARAM_FLOAT, offsetof(SpHoltWintersParams, alpha), 0.2, 0.0, 1.0,
	"smoothing of the level", NULL, NULL},
	{"beta", SP_PARAM_FLOAT, offsetof(SpHoltWintersParams, beta), 0.02, 0.0, 1.0,
	"smoothing of the trend", NULL, NULL},
	{"gamma", SP_PARAM_FLOAT, offsetof(SpHoltWintersParams, gamma), 0.1, 0.0, 1.0,
	"smoothing of the season", NULL, NULL},
	{"scale_alpha", SP_PARAM_FLOAT, offsetof(SpHoltWintersParams, scale_alpha), 0.02, 1e-6, 0.5,
	"weight of the newest error in the errors' standard deviation", NULL, NULL},
	{"warmup", SP_PARAM_INT, offsetof(SpHoltWintersParams, warmup), 24, 2, 1000000000,
	"forecasts before the first score, after two periods", NULL, NULL}
};

/* ---- parameters ---- */

static bool
has_season(const SpHoltWintersParams *params)
{
	return params->seasonality != SP_SEASONALITY_NONE;
}

/* How long a period is, or what serves as one for the initial values. */
static int
get_period(const SpHoltWintersParams *params)
{
	return has_season(params) ? params->period : SP_HOLT_WINTERS_LEAD;
}

static const char *
get_conflict(const void *params, int n)
{
	const SpHoltWintersParams *p = params;

	(void) n;
	return has_season(p) && p->period < 2 ? "period must be at least 2 if there is a season" : NULL;
}

static size_t
get_state_size(const void *params, int n)
{
	const SpHoltWintersParams *p = params;

	(void) n;
	return sizeof(SpHoltWinters) + (has_season(p) ? (size_t) p->period * sizeof(double) : 0);
}

static int64_t
get_needed(const void *params, int n)
{
	const SpHoltWintersParams *p = params;

	(void) n;
	return 2 * (int64_t) get_period(p) + p->warmup;
}

/* ---- the first two periods ---- */

/* The season's value that this mean of two values says, where the line of the trend is so. */
static double
get_initial_season(const SpHoltWintersParams *params, double mean, double line)
{
	if (params->seasonality == SP_SEASONALITY_ADDITIVE)
		return mean - line;
	return line > 0.0 && isfinite(mean / line) ? mean / line : 1.0;
}

/* How far the middle of a place's two values is from the middle of both periods. */
static double
get_offset(const SpHoltWintersParams *params, int place)
{
	return place - (get_period(params) - 1) / 2.0;
}

/* Begin, when the second period's last value has been taken; false: a number would be infinite. */
static bool
begin(SpHoltWinters *s, const SpHoltWintersParams *params, double second_mean)
{
	double		period = get_period(params);
	double		mean = s->level * 0.5 + second_mean * 0.5;
	double		trend = params->trend ? (second_mean - s->level) / period : 0.0;
	double		level = mean + trend * (period - 0.5);

	if (!isfinite(trend) || !isfinite(level))
		return false;
	for (int i = 0; has_season(params) && i < params->period; i++)
	{
		if (!isfinite(get_initial_season(params, s->season[i], mean + trend * get_offset(params, i))))
			return false;
	}
	for (int i = 0; has_season(params) && i < params->period; i++)
		s->season[i] = get_initial_season(params, s->season[i], mean + trend * get_offset(params, i));
	s->level = level;
	s->trend = trend;
	return true;
}

/* Take a value of the first two periods. */
static bool
learn_initial(SpHoltWinters *s, const SpHoltWintersParams *params, double x)
{
	int			period = get_period(params);
	bool		is_second = s->count >= (uint64_t) period;
	double		mean = is_second ? s->trend : s->level;
	double		old = has_season(params) ? s->season[s->place] : 0.0;

	mean += (x - mean) / (s->place + 1);
	if (!isfinite(mean))
		return false;
	if (has_season(params))
		s->season[s->place] = is_second ? old * 0.5 + x * 0.5 : x;
	if (s->count == 2 * (uint64_t) period - 1)
	{
		if (!begin(s, params, mean))
		{
			if (has_season(params))
				s->season[s->place] = old;
			return false;
		}
	}
	else if (is_second)
		s->trend = mean;
	else
		s->level = mean;
	return true;
}

/* ---- calls ---- */

static double
get_forecast(const SpHoltWinters *s, const SpHoltWintersParams *params)
{
	double		base = s->level + s->trend;

	if (!has_season(params))
		return base;
	return params->seasonality == SP_SEASONALITY_ADDITIVE ? base + s->season[s->place] :
		base * s->season[s->place];
}

static void
score(const void *state, const SpSetup *setup, const SpPoint *point, SpScore *result,
	  SpExplanation *why)
{
	const SpHoltWinters *s = state;
	const SpHoltWintersParams *params = setup->params;
	double		forecast;
	double		rounding;

	sp_online_clear_score(result);
	if (s->count < 2 * (uint64_t) get_period(params))
		return;
	forecast = get_forecast(s, params);
	if (!isfinite(forecast))
		return;
	rounding = ROUNDING_ULPS * DBL_EPSILON * (fabs(s->level) + fabs(s->trend) + fabs(forecast));
	if (s->count >= (uint64_t) get_needed(params, 1) && isfinite(rounding))
		sp_normal_score(setup, point->x[0], forecast, fmax(sqrt(s->squares), rounding), result, why);
	else
		result->expected = forecast;
}

/* Take an error; false: it is too large. */
static bool
learn_error(SpHoltWinters *s, const SpHoltWintersParams *params, double error)
{
	double		weight = (1.0 - params->scale_alpha) * s->weight + 1.0;
	double		squares = s->squares + (error * error - s->squares) / weight;

	if (!isfinite(squares))
		return false;
	s->weight = weight;
	s->squares = squares;
	return true;
}

/* Take a value after the first two periods; false: a number would be infinite. */
static bool
learn_value(SpHoltWinters *s, const SpHoltWintersParams *params, double x)
{
	double		base = s->level + s->trend;
	double		error = x - get_forecast(s, params);
	double		level = base + params->alpha * error;
	double		season = has_season(params) ? s->season[s->place] : 0.0;
	double		trend;

	if (params->seasonality == SP_SEASONALITY_ADDITIVE)
		season += params->gamma * error;
	else if (params->seasonality == SP_SEASONALITY_MULTIPLICATIVE)
	{
		level = base + params->alpha * (x / fmax(season, SP_HOLT_WINTERS_FACTOR) - base);
		if (base > 0.0)
			season += params->gamma * (x / base - season);
	}
	trend = params->trend ? s->trend + params->beta * (level - base) : 0.0;
	if (!isfinite(level) || !isfinite(trend) || !isfinite(season) ||
		!learn_error(s, params, error))
		return false;
	s->level = level;
	s->trend = trend;
	if (has_season(params))
		s->season[s->place] = season;
	return true;
}

static bool
learn(void *state, const SpSetup *setup, const SpPoint *point)
{
	SpHoltWinters *s = state;
	const SpHoltWintersParams *params = setup->params;
	bool		is_initial = s->count < 2 * (uint64_t) get_period(params);

	if (!sp_online_can_learn(point->x[0]) ||
		!(is_initial ? learn_initial : learn_value) (s, params, point->x[0]))
		return false;
	s->place = s->place + 1 < get_period(params) ? s->place + 1 : 0;
	s->count++;
	return true;
}

static bool
is_sound(const void *state, const SpSetup *setup)
{
	const SpHoltWinters *s = state;
	const SpHoltWintersParams *params = setup->params;

	if (s->count > INT64_MAX / 2 || s->place != (int64_t) (s->count % (uint64_t) get_period(params)))
		return false;
	if (!isfinite(s->level) || !isfinite(s->trend) || !isfinite(s->weight) || s->weight < 0.0 ||
		!isfinite(s->squares) || s->squares < 0.0)
		return false;
	for (int i = 0; has_season(params) && i < params->period; i++)
	{
		if (!isfinite(s->season[i]))
			return false;
	}
	return true;
}

const SpKernel sp_kernel_holt_winters = {
	.name = "holt_winters",
	.summary = "error of the forecast from level, trend and season, in standard deviations of errors",
	.reference = "Holt 1957; Winters 1960",
	.takes = SP_TAKES_VALUE,
	.has_direction = true,
	.sums_up = true,
	.version = 1,
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(SpHoltWintersParams),
	.conflict = get_conflict,
	.threshold = SP_HOLT_WINTERS_THRESHOLD,
	.get_state_size = get_state_size,
	.score = score,
	.learn = learn,
	.p_value = sp_normal_p_value,
	.get_needed = get_needed,
	.is_sound = is_sound
};
