/*
 * cusum.h
 *	  Cumulative sums of standardized deviations: small shifts of the level.
 *
 * E. S. Page, Continuous Inspection Schemes, Biometrika 41 (1954), as the two-sided tabular form;
 * against the mean and deviation of the values before instead of known ones: D. M. Hawkins,
 * Self-starting Cusums for Location and Scale, The Statistician 36 (1987).
 *
 *	z    = (x - mean) / s            of the values before; weights as in moments.h, alpha = 0 included
 *	high = max(0, high + z - drift)
 *	low  = max(0, low - z - drift)
 *
 * drift is half the shift to find, in standard deviations (k in the books).  The score is the sum
 * that the point leads to: high for direction high, low for low, the larger one for both, within
 * SP_SCORE_MAX; in standard deviations.  The threshold is h in the books.  With drift 0.5 and
 * threshold 5 a shift of one deviation is found after about 10 events, and normal noise is above it
 * once in about 465.
 *
 * Until warmup values are learned the score is 0, and the sums are.  Order of learning: the sums;
 * if the score is above the threshold, `reset`; mean and deviation.  reset 'none': a sum comes down
 * by drift an event when the shift is over; 'sums': both begin again at 0; 'all': mean and
 * deviation, too, with this value, so that warmup values are learned before the next score.
 *
 * Where the values before are all equal, z is +-SP_SCORE_MAX for any other.  A value beyond
 * SP_MAX_LEARNED can't be learned.
 */
#ifndef SP_CUSUM_H
#define SP_CUSUM_H

#include "kernel/online/moments.h"
#include "kernel/online/online.h"

#define SP_CUSUM_THRESHOLD	5.0

/* What begins again after an alarm; page_hinkley has it, too. */
typedef enum SpReset
{
	SP_RESET_NONE,
	SP_RESET_SUMS,
	SP_RESET_ALL
} SpReset;

typedef struct SpCusumParams
{
	double		drift;
	double		alpha;
	int32_t		warmup;
	int32_t		reset;			/* SpReset */
} SpCusumParams;

typedef struct SpCusum
{
	uint64_t	count;			/* values learned */
	uint64_t	since;			/* of them in mean and deviation */
	SpMoments	base;
	double		high;
	double		low;
} SpCusum;

extern const SpKernel sp_kernel_cusum;

#endif
