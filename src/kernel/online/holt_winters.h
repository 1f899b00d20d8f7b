/*
 * holt_winters.h
 *	  Error of the Holt-Winters forecast of the next value, in standard deviations of such errors.
 *
 * C. C. Holt (1957; International Journal of Forecasting 20, 2004); P. R. Winters, Forecasting Sales
 * by Exponentially Weighted Moving Averages, Management Science 6 (1960).  The season is `period`
 * events long; s is its value for this place in it, of one period ago.
 *
 *	additive         forecast = level + trend + s;     e = x - forecast
 *		level' = level + trend + alpha e;              s' = s + gamma e
 *	multiplicative   forecast = (level + trend) s;     e = x - forecast
 *		level' = level + trend + alpha (x / s - level - trend)
 *		s'     = s + gamma (x / (level + trend) - s)
 *	both	trend' = trend + beta (level' - level - trend)
 *
 * which is what statsmodels' ExponentialSmoothing computes.  Seasonality none is Holt's method:
 * s = 0 and no period; without `trend` trend is 0.  The multiplicative form is for positive
 * values: an s below SP_HOLT_WINTERS_FACTOR counts as that where x is divided by it, and s stays
 * where level + trend isn't positive.  A period is counted in events: one that is missing moves
 * the season.
 *
 * Initial values are those of the two first periods (without a season, of twice
 * SP_HOLT_WINTERS_LEAD values): with their means m0, m1, trend = (m1 - m0) / period; level is
 * their mean, moved along the trend to the last value; s is the mean of the values in that place,
 * less the trend's line there, or divided by it.  So a line with an additive season is forecast
 * exactly from then on.
 *
 * The score is e / sqrt(v) for direction high, and so on as in normal.h; v is the mean of the
 * squared errors since then, weighted exponentially by scale_alpha, and sqrt(v) at least what
 * rounding of level and season comes to.  The score is 0 until there are warmup errors.
 *
 * A value beyond SP_MAX_LEARNED, or that would make a number infinite, can't be learned.
 */
#ifndef SP_HOLT_WINTERS_H
#define SP_HOLT_WINTERS_H

#include "kernel/online/online.h"

#define SP_HOLT_WINTERS_THRESHOLD	4.0
#define SP_HOLT_WINTERS_LEAD		5
#define SP_HOLT_WINTERS_FACTOR		0.01

typedef enum SpSeasonality
{
	SP_SEASONALITY_NONE,
	SP_SEASONALITY_ADDITIVE,
	SP_SEASONALITY_MULTIPLICATIVE
} SpSeasonality;

typedef struct SpHoltWintersParams
{
	double		alpha;
	double		beta;
	double		gamma;
	double		scale_alpha;
	int32_t		seasonality;	/* SpSeasonality */
	int32_t		period;
	int32_t		trend;			/* is there one? */
	int32_t		warmup;
} SpHoltWintersParams;

typedef struct SpHoltWinters
{
	uint64_t	count;			/* values learned */
	int32_t		place;			/* in the season, of the next value */
	int32_t		unused;
	double		level;			/* while the first two periods last, the mean of the first */
	double		trend;			/* and of the second */
	double		weight;			/* of all errors */
	double		squares;		/* mean of the squared errors */
	double		season[];		/* [period], if there is one; before, means of two values */
} SpHoltWinters;

extern const SpKernel sp_kernel_holt_winters;

#endif
