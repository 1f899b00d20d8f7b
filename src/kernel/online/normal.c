/*
 * normal.c
 *	  Scores that are deviations from what is expected, in units of a scale.
 */
#include "kernel/online/normal.h"

#include <float.h>
#include <math.h>

/* A difference from the center of that many units in the last place is rounding. */
#define ROUNDING_ULPS	8

/* (x - center) / scale, within +-SP_SCORE_MAX, defined also for a scale of 0. */
double
sp_normal_standardize(double x, double center, double scale)
{
	double		difference = x - center;	/* may overflow to infinity */

	if (fabs(difference) <= ROUNDING_ULPS * DBL_EPSILON * fabs(center))
		return 0.0;
	if (scale == 0.0)
		return copysign(SP_SCORE_MAX, difference);
	return sp_online_limit(difference / scale);
}

/* A score of which everything is known. */
void
sp_normal_score(const SpSetup *setup, double x, double center, double scale, SpScore *result,
				SpExplanation *why)
{
	double		z = sp_normal_standardize(x, center, scale);

	result->score = setup->direction == SP_DIRECTION_BOTH ? fabs(z) :
		setup->direction == SP_DIRECTION_HIGH ? z : -z;
	result->expected = center;
	result->lower_bound = center - setup->threshold * scale;
	result->upper_bound = center + setup->threshold * scale;
	result->ready = true;
	if (!sp_online_explains(setup, result, why))
		return;
	sp_online_clear_explanation(why, 1);
	why->nparts = 1;
	why->parts[0] = (SpPart){NULL, 0, result->score};
	why->expected[0] = center;
	why->lower[0] = result->lower_bound;
	why->upper[0] = result->upper_bound;
}

/* The probability of such a score or a higher one. */
double
sp_normal_p_value(const SpSetup *setup, double score)
{
	if (setup->direction == SP_DIRECTION_BOTH)
		return erfc(score * M_SQRT1_2);
	return 0.5 * erfc(score * M_SQRT1_2);
}
