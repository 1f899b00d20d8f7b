/*
 * unit.h
 *	  What the unit tests need: checks that say where and what, and random numbers.
 */
#ifndef SP_UNIT_H
#define SP_UNIT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

static int	failures;

#define check(condition) \
	do { \
		if (!(condition)) \
		{ \
			failures++; \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
		} \
	} while (0)

/* The same, with two doubles that are equal or at most tolerance apart. */
#define check_near(a, b, tolerance) \
	do { \
		double		check_a = (a), \
					check_b = (b), \
					check_difference = check_a - check_b; \
		if (check_a != check_b && !(check_difference <= (tolerance) && \
									-check_difference <= (tolerance))) \
		{ \
			failures++; \
			fprintf(stderr, "%s:%d: %s is %.17g, not %.17g\n", \
					__FILE__, __LINE__, #a, check_a, check_b); \
		} \
	} while (0)

/* Marsaglia's xorshift64*: the same numbers in every run. */
static inline uint64_t
next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

/* Uniform in [0, 1). */
static inline double
next_uniform(uint64_t *state)
{
	return (double) (next_random(state) >> 11) / 9007199254740992.0;
}

#endif
