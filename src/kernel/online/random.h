/*
 * random.h
 *	  Numbers as if by chance that follow from a seed and from what they are for.
 */
#ifndef SP_RANDOM_H
#define SP_RANDOM_H

#include <stdint.h>

/* Odd, and irregular in their bits: 2^64 and 2^32 by the golden ratio, and others. */
#define SP_RANDOM_STEP	UINT64_C(0x9E3779B97F4A7C15)
#define SP_RANDOM_ODD	UINT64_C(0xD6E8FEB86659FD93)

/* Every bit of the result depends on every bit of x (the finalizer of D. Stafford's splitmix64). */
static inline uint64_t
sp_random_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
	return x ^ (x >> 31);
}

/* The i-th number of a sequence. */
static inline uint64_t
sp_random_at(uint64_t sequence, uint64_t i)
{
	return sp_random_mix(sequence + (i + 1) * SP_RANDOM_STEP);
}

/* In (0, 1), from the bits of such a number. */
static inline double
sp_random_uniform(uint64_t bits)
{
	return ((double) (bits >> 12) + 0.5) / 4503599627370496.0;
}

#endif
