/*
 * page_hinkley.h
 *	  The Page-Hinkley test: a lasting change of the mean.
 *
 * E. S. Page, Continuous Inspection Schemes, Biometrika 41 (1954); D. V. Hinkley, Inference about
 * the change-point from cumulative sum tests, Biometrika 58 (1971).
 *
 *	d    = x_n - mean_n                       mean of all n values, x_n included
 *	d    = d / s_(n-1)                        with `standardize`: s is the deviation of those before
 *	rise = max(0, alpha rise + d - delta)     score for direction high
 *	fall = max(0, alpha fall - d - delta)     for low; for both the larger one
 *
 * With alpha = 1 rise is the test's U_n - min U_k, U being the sum of all d - delta.  Forgetting is
 * of this distance.  (Elsewhere U is forgotten.  Without a change it then settles at
 * -delta / (1 - alpha), from where it no longer tends to fall, and false alarms come after some
 * 1 / (1 - alpha) events.)
 *
 * The threshold is lambda.  rise and fall begin at 0 after warmup values; until then the score is
 * 0.  `reset` is what begins again when a score was above the threshold: nothing with 'none', the
 * 'sums', or 'all', mean and deviation, too, with this value.
 *
 * Fine scores, for a budget of alerts, are 0.001 higher, and where both sums would be below 0 they are
 * 0.001 * 2^(the larger one).  What the budget flags resets nothing then: only a sum above lambda.
 *
 * With standardize, where the values before are all equal, d is +-SP_SCORE_MAX for any other.  A
 * value beyond SP_MAX_LEARNED can't be learned.
 */
#ifndef SP_PAGE_HINKLEY_H
#define SP_PAGE_HINKLEY_H

#include "kernel/online/moments.h"
#include "kernel/online/online.h"

#define SP_PAGE_HINKLEY_THRESHOLD	20.0	/* lambda */

typedef struct SpPageHinkleyParams
{
	double		delta;
	double		alpha;
	int32_t		warmup;
	int32_t		reset;			/* SpReset, see cusum.h */
	int32_t		standardize;
} SpPageHinkleyParams;

typedef struct SpPageHinkley
{
	uint64_t	count;			/* values learned */
	uint64_t	since;			/* of them in mean and deviation */
	SpMoments	base;			/* of equal weights */
	double		rise;
	double		fall;
} SpPageHinkley;

extern const SpKernel sp_kernel_page_hinkley;

#endif
