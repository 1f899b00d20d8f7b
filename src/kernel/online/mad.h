/*
 * mad.h
 *	  Deviation from the median of the last events, by their median absolute deviation.
 *
 * F. R. Hampel, The Influence Curve and Its Role in Robust Estimation, JASA 69 (1974);
 * B. Iglewicz, D. C. Hoaglin, How to Detect and Handle Outliers (1993): the modified z-score and its
 * threshold of 3.5.
 *
 *	MAD = median |x_i - median|            of the last `window` values learned
 *	z   = 0.6745 (x - median) / MAD        0.6745: the third quartile of the normal distribution
 *	z   = (x - median) / (1.2533 mean |x_i - median|)      where MAD is 0; 1.2533 = sqrt(pi / 2)
 *
 * Both units are standard deviations if the values are normal.  The median of an even number of
 * values is the mean of the two in the middle.  The score is z for direction high, -z for low, |z|
 * for both, as in normal.h; 0 until min(warmup, window) values are learned.
 *
 * Exact: the state holds the window's values twice, in order of arrival and in order of size.  An
 * event costs O(log window) comparisons: two searches for the places of what goes and what comes,
 * one that finds the MAD in the two sorted runs left and right of the median; and one move of the
 * values between the two places, which up to the largest window costs less than a tree's cache
 * misses would (window 100: 0.12 us an event, 10,000: 0.9 us).  Only where MAD is 0 each value is
 * looked at.
 *
 * A value beyond SP_MAX_LEARNED can't be learned.
 */
#ifndef SP_MAD_H
#define SP_MAD_H

#include "kernel/online/online.h"

#define SP_MAD_THRESHOLD	3.5

typedef struct SpMadParams
{
	int32_t		window;
	int32_t		warmup;
} SpMadParams;

typedef struct SpMad
{
	uint64_t	count;			/* values learned */
	int32_t		next;			/* where in the second half of values the next one goes */
	int32_t		unused;
	double		values[];		/* [2 * window]: by size, then by arrival, in a ring */
} SpMad;

extern const SpKernel sp_kernel_mad;

#endif
