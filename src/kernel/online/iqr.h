/*
 * iqr.h
 *	  Distance from the quartiles, in interquartile ranges: Tukey's fences, on either side its own.
 *
 * J. W. Tukey, Exploratory Data Analysis (1977).  The quartiles q1, q2, q3 are those of all values
 * learned, the value of k events ago weighing (1 - alpha)^k.
 *
 *	upper = (x - q3) / (2 (q3 - q2))		lower = (q1 - x) / (2 (q2 - q1))
 *
 * In a symmetric distribution 2 (q3 - q2) is the interquartile range q3 - q1, so that a score of
 * 1.5 is Tukey's inner fence and 3 his outer one; in a skew one each side has the width of its own
 * half.  The score is the larger one but at least 0 for direction both; for high it is upper if
 * that is positive, else -lower if lower is, else 0; for low the same the other way round.  A
 * half that is 0 wide is taken to be q3 - q1 wide; if that is 0, too, it is as wide as the box of
 * a normal distribution with the same weighted mean of |x_i - q2|: 1.6907 of that.  If all values
 * are equal, any other scores +-SP_SCORE_MAX.  Until warmup values are learned the score is 0.
 *
 * The sketch: at most SP_IQR_CAPACITY pairs of a value and a weight, in order of size.  Each value
 * is added as a pair of its own, or to the pair of the same value.  When there is no room,
 * neighbours that have together at most 1 / SP_IQR_RESOLUTION of all weight become one with their
 * weighted mean.  A quantile is the value of the pair in which it falls, without interpolation:
 * exact while the values that count are few or of few kinds.  Else it is within 2 % of rank of the
 * exact one: 1.3 % was the worst in the tests' series, sorted and shifting ones among them;
 * neighbours are merged again and again, so that this is no proven bound.
 *
 * A value beyond SP_MAX_LEARNED can't be learned.
 */
#ifndef SP_IQR_H
#define SP_IQR_H

#include "kernel/online/online.h"

#define SP_IQR_THRESHOLD	1.5
#define SP_IQR_CAPACITY		192
#define SP_IQR_RESOLUTION	64

typedef struct SpIqrParams
{
	double		alpha;
	int32_t		warmup;
} SpIqrParams;

typedef struct SpIqr
{
	uint64_t	count;			/* values learned */
	double		weight;			/* of the next one; older ones' stay as they were */
	double		total;			/* of all weights */
	int32_t		npairs;
	int32_t		unused;
	double		values[SP_IQR_CAPACITY];	/* ascending */
	double		weights[SP_IQR_CAPACITY];
} SpIqr;

extern const SpKernel sp_kernel_iqr;

#endif
