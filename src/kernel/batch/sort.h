/*
 * sort.h
 *	  Sorting many numbers, each with the number of what it belongs to.
 */
#ifndef SP_SORT_H
#define SP_SORT_H

#include <string.h>

#include "kernel/batch/batch.h"

typedef struct SpKeyed
{
	uint64_t	key;
	uint32_t	number;
} SpKeyed;

/* Sort by key, equal ones in the order in which they stand; stable and linear. */
extern void sp_sort(SpKeyed *keyed, size_t n, SpWork *work);

/* A key that sorts as a double does; not of NaN.  -0 sorts before 0. */
static inline uint64_t
sp_sort_key(double x)
{
	uint64_t	bits;

	memcpy(&bits, &x, sizeof(bits));
	return bits ^ ((bits >> 63) ? UINT64_MAX : UINT64_C(1) << 63);
}

#endif
