/*
 * ewma.c
 *	  Deviation from an exponentially weighted mean, in standard deviations.
 *
 * The formulas are in ewma.h.
 */
#include "kernel/online/ewma.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* A difference from the mean of that many units in the last place is rounding. */
#define ROUNDING_ULPS	8

typedef char state_has_padding[sizeof(SpEwma) == SP_EWMA_WRITTEN_SIZE ? 1 : -1];

const SpParam sp_ewma_param_table[SP_EWMA_NPARAMS] = {
	{"alpha", SP_PARAM_FLOAT, offsetof(SpEwmaParams, alpha), 0.05, 1e-6, 0.9,
		"weight of the newest value; a value loses half its weight in about 0.7 / alpha values"},
	{"warmup", SP_PARAM_INT, offsetof(SpEwmaParams, warmup), 30, 2, 1000000000,
		"values to learn before the first score"}
};

/* Fill in the defaults of the table. */
void
sp_ewma_default_params(SpEwmaParams *params)
{
	params->alpha = sp_ewma_param_table[0].default_value;
	params->warmup = (int32_t) sp_ewma_param_table[1].default_value;
}

/* A state that has learned nothing. */
void
sp_ewma_init(SpEwma *state, const SpEwmaParams *params)
{
	(void) params;
	state->version = SP_EWMA_VERSION;
	state->count = 0;
	state->weight = 0.0;
	state->mean = 0.0;
	state->variance = 0.0;
}

/* (x - mean) / sd, within +-SP_SCORE_MAX, defined also for a constant series. */
static double
standardize(const SpEwma *state, double sd, double x)
{
	double		difference = x - state->mean;	/* may overflow to infinity */
	double		z;

	if (fabs(difference) <= ROUNDING_ULPS * DBL_EPSILON * fabs(state->mean))
		return 0.0;
	if (sd == 0.0)
		return copysign(SP_SCORE_MAX, difference);
	z = difference / sd;
	return z > SP_SCORE_MAX ? SP_SCORE_MAX : z < -SP_SCORE_MAX ? -SP_SCORE_MAX : z;
}

/* Score x against what was learned before. */
bool
sp_ewma_score(const SpEwma *state, const SpEwmaParams *params, double x,
			  SpDirection direction, double threshold, SpScore *result)
{
	double		sd;
	double		z;

	if (!isfinite(x))
		return false;

	result->score = 0.0;
	result->p_value = 1.0;
	result->expected = state->count > 0 ? state->mean : NAN;
	result->lower_bound = NAN;
	result->upper_bound = NAN;
	if (state->count < (uint32_t) params->warmup)
		return true;

	sd = sqrt(state->variance);
	z = standardize(state, sd, x);
	switch (direction)
	{
		case SP_DIRECTION_BOTH:
			result->score = fabs(z);
			result->p_value = erfc(fabs(z) * M_SQRT1_2);
			break;
		case SP_DIRECTION_HIGH:
			result->score = z;
			result->p_value = 0.5 * erfc(z * M_SQRT1_2);
			break;
		case SP_DIRECTION_LOW:
			result->score = -z;
			result->p_value = 0.5 * erfc(-z * M_SQRT1_2);
			break;
	}
	result->lower_bound = state->mean - threshold * sd;
	result->upper_bound = state->mean + threshold * sd;
	return true;
}

/* Learn x. */
bool
sp_ewma_learn(SpEwma *state, const SpEwmaParams *params, double x)
{
	double		weight = (1.0 - params->alpha) * state->weight + 1.0;
	double		r = 1.0 / weight;
	double		d = x - state->mean;
	double		mean = state->mean + r * d;
	double		variance = (1.0 - r) * (state->variance + r * d * d);

	/* Infinite or NaN when x is, and when the difference or its square overflows. */
	if (!isfinite(mean) || !isfinite(variance))
		return false;

	state->weight = weight;
	state->mean = mean;
	state->variance = variance;
	if (state->count < UINT32_MAX)
		state->count++;
	return true;
}

/* Write the durable form; returns its end. */
char *
sp_ewma_write(const SpEwma *state, char *to)
{
	memcpy(to, state, SP_EWMA_WRITTEN_SIZE);
	return to + SP_EWMA_WRITTEN_SIZE;
}

/* Could a sequence of values have led here? */
static bool
is_sound(const SpEwma *state)
{
	if (state->version != SP_EWMA_VERSION)
		return false;
	if (!isfinite(state->mean) || !isfinite(state->weight) || !isfinite(state->variance))
		return false;
	if (state->variance < 0.0)
		return false;
	return state->count == 0 ? state->weight == 0.0 : state->weight >= 1.0;
}

/* Read the durable form; returns its end, or NULL when it isn't one. */
const char *
sp_ewma_read(SpEwma *state, const char *from, const char *end)
{
	SpEwma		read;

	if (from > end || end - from < SP_EWMA_WRITTEN_SIZE)
		return NULL;
	memcpy(&read, from, SP_EWMA_WRITTEN_SIZE);
	if (!is_sound(&read))
		return NULL;
	*state = read;
	return from + SP_EWMA_WRITTEN_SIZE;
}
