/*
 * normal.h
 *	  Scores that are deviations from what is expected, in units of a scale.
 *
 * z = (x - center) / scale; the score is z for direction high, -z for low, |z| for both, within
 * +-SP_SCORE_MAX.  Where the scale is 0 (the series was constant) a value equal to the center, up
 * to rounding, scores 0, and any other +-SP_SCORE_MAX.
 */
#ifndef SP_NORMAL_H
#define SP_NORMAL_H

#include "kernel/online/online.h"

/* z, defined as said above. */
extern double sp_normal_standardize(double x, double center, double scale);

/* The score of x; expected and the bounds follow from center, scale and the setup's threshold. */
extern void sp_normal_score(const SpSetup *setup, double x, double center, double scale,
							SpScore *result, SpExplanation *why);

/* The probability that a normal deviate's score is as high. */
extern double sp_normal_p_value(const SpSetup *setup, double score);

#endif
