/*
 * half_space.h
 *	  What the trees of halved spaces halve, which follows from a tree's key alone.
 *
 * A node's number is 1 for the root, 2 i and 2 i + 1 for the children of i.  As ranges are halved,
 * the path of a point is in the binary digits of where it lies in its tree's ranges: of a
 * feature's place as a fraction of 2^32, each node that splits the feature takes the next one.
 */
#ifndef SP_HALF_SPACE_H
#define SP_HALF_SPACE_H

#include <stdint.h>

#include "kernel/online/random.h"

/* Places are values in units of 2^-SP_PLACE_BITS of their frame's scale. */
#define SP_PLACE_BITS	28
#define SP_PLACE_UNIT	((double) (1 << SP_PLACE_BITS))
#define SP_PLACE_LIMIT	6.0		/* of the scale */

/* The feature that a node splits: a mix that is cheap, for it is on the path from node to node. */
static inline int
sp_half_space_feature(uint64_t key, uint32_t node, int n)
{
	uint64_t	x = key + node * SP_RANDOM_STEP;

	x = (x ^ (x >> 32)) * SP_RANDOM_ODD;
	return (int) (((x >> 32) * (uint64_t) n) >> 32);
}

/*
 * Find where a point is in a tree's ranges.  The middle of a range is within +-2^(SP_PLACE_BITS - 1),
 * and 2^31 / width between 2^29 and 2^30.
 */
static inline void
sp_half_space_digits(uint64_t key, const int64_t *places, int n, uint32_t *to)
{
	for (int f = 0; f < n; f++)
	{
		uint64_t	bits = key ^ ((uint64_t) (f + 1) * SP_RANDOM_STEP);
		int64_t		middle;
		int64_t		width;
		int64_t		digits;

		bits = (bits ^ (bits >> 32)) * SP_RANDOM_ODD;
		middle = (int64_t) bits >> (64 - SP_PLACE_BITS);
		width = (int64_t) ((bits & 0x1FFFFFFF) + 0x20000000);
		digits = (((places[f] - middle) * width) >> (SP_PLACE_BITS - 1)) + (INT64_C(1) << 31);
		to[f] = digits < 0 ? 0 : digits > UINT32_MAX ? UINT32_MAX : (uint32_t) digits;
	}
}

/* The child of a node on the path; the digits are used up on the way. */
static inline uint32_t
sp_half_space_descend(uint64_t key, uint32_t node, int n, uint32_t *digits)
{
	uint32_t   *d = &digits[sp_half_space_feature(key, node, n)];
	uint32_t	child = 2 * node + (*d >> 31);

	*d <<= 1;
	return child;
}

#endif
