/*
 * pool.c
 *	  What the keys of a detector have in common.
 */
#include "kernel/online/pool.h"

#define MEMORY	50000			/* scores */

void
sp_pool_init(SpPool *pool)
{
	sp_calibration_init(&pool->calibration.head, SP_CALIBRATION_FULL, MEMORY);
}

bool
sp_pool_is_sound(const SpPool *pool)
{
	return sp_calibration_is_sound(&pool->calibration.head, SP_CALIBRATION_FULL);
}
