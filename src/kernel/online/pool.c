/*
 * pool.c
 *	  What the keys of a detector have in common.
 *
 * The formulas are in pool.h.
 */
#include "kernel/online/pool.h"

#include <math.h>
#include <string.h>

#include "kernel/online/online.h"

#define MEMORY		50000		/* scores */
#define FIRST		50			/* so many tell a threshold */
#define MAX_AGE		16			/* then it is told again */
#define MIN_SLACK	(-3.0)
#define MAX_SLACK	5.0

void
sp_pool_init(SpPool *pool)
{
	memset(pool, 0, sizeof(SpPool));
	pool->threshold = NAN;
	pool->age = MAX_AGE;
	sp_calibration_init(&pool->calibration.head, SP_CALIBRATION_FULL, MEMORY);
}

/* How many alerts is a score worth?  0: not known. */
static double
get_rate(const SpPool *pool, double alerts_per_day)
{
	double		events = sp_calibration_events_per_day(&pool->calibration.head);

	return events > 0.0 ? fmin(alerts_per_day / events, 1.0) : 0.0;
}

double
sp_pool_threshold(SpPool *pool, double alerts_per_day)
{
	const SpCalibration *c = &pool->calibration.head;
	double		rate;

	if (pool->alerted)
	{
		pool->slack = fmax(pool->slack - 1.0, MIN_SLACK);
		pool->alerted = 0;
		pool->age = MAX_AGE;
	}
	if (pool->age < MAX_AGE)
		return pool->threshold;
	rate = get_rate(pool, alerts_per_day);
	if (c->count < FIRST || rate == 0.0)
		return NAN;
	pool->age = 0;
	pool->threshold = sp_calibration_threshold(c, SP_CALIBRATION_FULL, rate * exp(pool->slack));
	return pool->threshold;
}

void
sp_pool_add(SpPool *pool, double score, int64_t time)
{
	sp_calibration_add(&pool->calibration.head, SP_CALIBRATION_FULL, score, time);
}

void
sp_pool_spend(SpPool *pool, double score, int64_t time, double alerts_per_day, bool is_alert)
{
	sp_pool_add(pool, score, time);
	pool->slack = fmin(pool->slack + get_rate(pool, alerts_per_day), MAX_SLACK);
	pool->alerted = is_alert;
	pool->age += pool->age < MAX_AGE;
}

void
sp_pool_alert(SpPool *pool)
{
	pool->alerted = 1;
}

void
sp_pool_forgive(SpPool *pool)
{
	pool->alerted = 0;
}

bool
sp_pool_is_sound(const SpPool *pool)
{
	if (!(pool->slack >= MIN_SLACK && pool->slack <= MAX_SLACK))
		return false;
	if (!isnan(pool->threshold) && !(pool->threshold >= 0.0 && pool->threshold <= SP_SCORE_MAX))
		return false;
	if (pool->age < 0 || pool->age > MAX_AGE || (pool->alerted != 0 && pool->alerted != 1))
		return false;
	return sp_calibration_is_sound(&pool->calibration.head, SP_CALIBRATION_FULL);
}
