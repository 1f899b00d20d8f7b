/*
 * adwin.h
 *	  ADWIN: a window that is as long as its mean doesn't change.
 *
 * A. Bifet, R. Gavalda, Learning from Time-Changing Data with Adaptive Windowing, SIAM SDM (2007).
 *
 * The window of n values is cut in two in every place where buckets meet, n0 older and n1 newer
 * values, both at least SP_ADWIN_LEAST.  With variance v of the window,
 *
 *	1/m = 1/n0 + 1/n1;  L = ln(2 ln(n) / delta)
 *	epsilon = sqrt(2 v L / m) + 2/3 range L / m
 *	score   = max |mean of the newer - mean of the older| / epsilon
 *
 * over all cuts, the point itself being the newest value; so that above 1, the threshold, is a
 * change.  For direction high only cuts count in which the newer mean is higher (the others count
 * as negative), for low the other way round.  The paper's values are from [0, 1]: its range is 1.
 * Where none is given, it is the window's standard deviation.  The score is 0 until the window has
 * warmup values.
 *
 * Learning: while the score (in either direction) is above the threshold the oldest bucket is
 * dropped; then the value is put in.  Buckets are those of an exponential histogram: row r has at
 * most `max_buckets`, of 2^r values each, with mean and sum of squared deviations; one more, and
 * the two oldest become one of the next row.  There are SP_ADWIN_ROWS rows; beyond the last one
 * values are forgotten.
 *
 * Fine scores, for a budget of alerts, are 0.001 higher, and where they would be below 0 they are
 * 0.001 * 2^(16 score).  What the budget flags doesn't cut the window then: only a score above 1.
 *
 * expected is the mean of the window without the point.  nearest is the value on the way there with
 * which there would be no change (nearest.h).  There are no lower and upper: a value far
 * out widens the deviation by more than it moves a mean, so that what is normal of the point is no
 * interval.
 *
 * A value beyond SP_MAX_LEARNED can't be learned.
 */
#ifndef SP_ADWIN_H
#define SP_ADWIN_H

#include "kernel/online/online.h"

#define SP_ADWIN_THRESHOLD	1.0
#define SP_ADWIN_LEAST		5
#define SP_ADWIN_ROWS		30

typedef struct SpAdwinParams
{
	double		delta;
	double		range;			/* NaN: standard deviation */
	int32_t		max_buckets;
	int32_t		warmup;
} SpAdwinParams;

/* Some values, one after the other. */
typedef struct SpAdwinBucket
{
	double		mean;
	double		squares;
} SpAdwinBucket;

typedef struct SpAdwin
{
	uint64_t	count;			/* values learned */
	int32_t		nbuckets[SP_ADWIN_ROWS];	/* in each row */
	SpAdwinBucket buckets[];	/* [SP_ADWIN_ROWS][max_buckets + 1], the oldest first */
} SpAdwin;

extern const SpKernel sp_kernel_adwin;

#endif
