/*
 * velocity.h
 *	  More than so many events, or a sum above a limit, within an interval: the fraud rule.
 *
 * For a point at time t those events count that were learned, and it itself, with
 *
 *	t - interval < time <= t
 *
 * as in sliding windows: what is known when the point comes.  Five events and then one exactly an
 * interval after the first make five; three of the same time are one, two and three; a late one
 * sees what is in its own interval; one far ahead changes nothing for those after it.
 *
 *	score = max(count / events, sum of the value / sum), at least 0
 *
 * so that it is above 1, the threshold, exactly if there are more than `events` or the sum
 * is above `sum`.  There is a score from the first event on.  The upper bound is the value with
 * which the sum would reach its limit.
 *
 * Where the setup looks ahead, count and sum are the highest of all intervals in which the point is
 * and that end with it or with an event after it that was learned already (the SP_VELOCITY_AHEAD
 * latest ones): so where all points above the threshold are refused there never is an interval with
 * more, in whatever order they come.
 *
 * Bounded: `max_events` entries, in order of time, and of arrival where times are equal.  When an
 * event comes and they are full, the oldest is dropped if it is out of that event's interval; else
 * the youngest if it is more than an interval ahead of the event; else the two oldest (the event
 * may be one of them) become one that leaves with the younger of them: never early.  So counts
 * are exact while no more than `max_events` events are in an interval.  While there are more they
 * are too high, the more the longer it lasts, until one interval after it has ended.  An event from
 * before an oldest entry that stands for several is added to it; if that is more than an interval
 * ahead, with all others, they are forgotten.
 */
#ifndef SP_VELOCITY_H
#define SP_VELOCITY_H

#include "kernel/online/online.h"

#define SP_VELOCITY_THRESHOLD	1.0
#define SP_VELOCITY_EVENTS		5	/* where neither limit is given */
#define SP_VELOCITY_AHEAD		100

typedef struct SpVelocityParams
{
	int32_t		events;			/* 0: not given */
	int32_t		max_events;
	double		sum;			/* NaN: no limit */
	int64_t		interval;
} SpVelocityParams;

typedef struct SpVelocity
{
	uint64_t	count;			/* events learned */
	int64_t		oldest_count;	/* for how many events the oldest entry stands; 0 without entries */
	int32_t		first;			/* where the oldest is */
	int32_t		length;			/* entries, from there on, in a ring */
	int64_t		times[];		/* [max_events], then, with a limit of the sum, double sums[max_events] */
} SpVelocity;

extern const SpKernel sp_kernel_velocity;

#endif
