/*
 * seasonal.h
 *	  Deviation from what is usual at this time of the day, the week, ..., in standard deviations.
 *
 * The cycle is cut into bins: the 24 hours of a day, the 168 of a week (from Monday), the 60 minutes
 * of an hour, or, with `interval`, `bins` equal parts of it, which begin at 2000-01-01 00:00.  All on
 * the clock of the detector's time zone, so that nine o'clock stays nine o'clock in summer.
 *
 * Known are, with weights as in moments.h: of each bin mean m_b, variance v_b, sum of weights W_b and
 * number of values n_b; of all values (with alpha / number of bins) mean m and variance v; and
 * likewise w, the mean of (x - m_b)^2 W_b / (W_b + 1), the variance within bins.  A bin with few
 * values leans on the others, as much as these differ from one another (empirical Bayes; W. James,
 * C. Stein 1961):
 *
 *	t^2      = max(0, v - w)                         variance between bins
 *	B        = (w / W_b) / (w / W_b + t^2)           1 for an empty bin
 *	expected = m_b + B (m - m_b)
 *	s^2      = (n_b v_b + shrinkage w) / (n_b + shrinkage) + B t^2
 *
 * The score is (x - expected) / s for direction high and so on, as in normal.h; 0 until warmup
 * values are learned.  Robust: from then on a value is learned as if it were within
 * SP_SEASONAL_CLIP s of what was expected (P. J. Huber 1964), if s isn't 0.  Deviations that last
 * widen s, and are taken up.
 *
 * A value beyond SP_MAX_LEARNED can't be learned.
 */
#ifndef SP_SEASONAL_H
#define SP_SEASONAL_H

#include "kernel/online/moments.h"
#include "kernel/online/online.h"

#define SP_SEASONAL_THRESHOLD	4.0
#define SP_SEASONAL_CLIP		3.0

typedef enum SpCycle
{
	SP_CYCLE_HOUR_OF_DAY,
	SP_CYCLE_HOUR_OF_WEEK,
	SP_CYCLE_MINUTE_OF_HOUR
} SpCycle;

typedef struct SpSeasonalParams
{
	int64_t		interval;		/* 0: period says it */
	int32_t		period;			/* SpCycle */
	int32_t		bins;			/* of interval */
	double		alpha;
	double		shrinkage;
	int32_t		warmup;
} SpSeasonalParams;

typedef struct SpSeasonalBin
{
	uint64_t	count;
	SpMoments	values;
} SpSeasonalBin;

typedef struct SpSeasonal
{
	uint64_t	count;			/* values learned */
	SpMoments	all;
	double		within_weight;	/* of the variance within bins */
	double		within;
	SpSeasonalBin bins[];
} SpSeasonal;

extern const SpKernel sp_kernel_seasonal;

/* How many bins there are, and the one of a time on the local clock. */
extern int	sp_seasonal_bins(const SpSeasonalParams *params);
extern int	sp_seasonal_bin(const SpSeasonalParams *params, int64_t local);

#endif
