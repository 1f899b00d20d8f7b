/*
 * times.h
 *	  Sums and differences of times that stay in range, whatever the times are.
 */
#ifndef SP_TIMES_H
#define SP_TIMES_H

#include <stdint.h>

/* time - interval, for an interval that isn't negative. */
static inline int64_t
sp_times_back(int64_t time, int64_t interval)
{
	int64_t		result;

	return __builtin_sub_overflow(time, interval, &result) ? INT64_MIN : result;
}

/* time + interval, for an interval that isn't negative. */
static inline int64_t
sp_times_forth(int64_t time, int64_t interval)
{
	int64_t		result;

	return __builtin_add_overflow(time, interval, &result) ? INT64_MAX : result;
}

/* How long it is from one time to a later one; 0 where it isn't later. */
static inline int64_t
sp_times_between(int64_t from, int64_t to)
{
	int64_t		result;

	if (to <= from)
		return 0;
	return __builtin_sub_overflow(to, from, &result) ? INT64_MAX : result;
}

#endif
