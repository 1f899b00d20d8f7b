/*
 * pool.h
 *	  What the keys of a detector have in common: how probable their scores are, and above which
 *	  score there are so many alerts a day.
 *
 * The budget's threshold t is that of the probability P(S > t) = rate exp(slack), where rate is alerts a
 * day / scores a day, both of late.  Scores come in bursts, and what was so seldom in the past need not
 * be in the future; so slack is what wasn't spent yet, in alerts,
 *
 *	slack += rate			with each score
 *	slack -= 1				with each alert
 *
 * within -3 and 5: what is one alert ahead is made 2.7 times as improbable (adaptive conformal inference,
 * I. Gibbs, E. Candes, NeurIPS 2021, on the logarithm of the probability).  Hence after n scores there
 * were rate n alerts and at most 8 more or less, wherever the limits were not reached.  They are
 * reached where scores are equal, or while they are so much higher or lower than all before that the
 * past doesn't tell how probable they are.
 *
 * As with kernels it is plain memory of the caller's, without pointers; the same calls give the same
 * bits.
 */
#ifndef SP_POOL_H
#define SP_POOL_H

#include "kernel/online/calibration.h"

typedef struct SpPool
{
	double		slack;
	double		threshold;		/* of the budget; NaN: not known yet */
	int32_t		age;			/* scores since that was told */
	int32_t		alerted;		/* there was an alert since the threshold was told; it hasn't counted yet */
	SpCalibrationFull calibration;
} SpPool;

extern void sp_pool_init(SpPool *pool);

/*
 * The threshold for the next score, with a budget of so many alerts a day; NaN: not known, less than
 * 50 scores have come.
 */
extern double sp_pool_threshold(SpPool *pool, double alerts_per_day);

/* Count a score: without a budget, and with one. */
extern void sp_pool_add(SpPool *pool, double score, int64_t time);
extern void sp_pool_spend(SpPool *pool, double score, int64_t time, double alerts_per_day,
						  bool is_alert);

/* There is an alert of a score that doesn't count, which the threshold that was told last was for. */
extern void sp_pool_alert(SpPool *pool);

/* The last score was no alert after all. */
extern void sp_pool_forgive(SpPool *pool);

/* Could scores have led to this?  Whatever it says yes to, all else is safe on. */
extern bool sp_pool_is_sound(const SpPool *pool);

#endif
