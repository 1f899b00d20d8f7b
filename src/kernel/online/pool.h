/*
 * pool.h
 *	  What the keys of a detector have in common: how probable their scores are.
 *
 * As with kernels it is plain memory of the caller's, without pointers.
 */
#ifndef SP_POOL_H
#define SP_POOL_H

#include "kernel/online/calibration.h"

typedef struct SpPool
{
	SpCalibrationFull calibration;
} SpPool;

extern void sp_pool_init(SpPool *pool);

/* Could scores have led to this?  Whatever it says yes to, all else is safe on. */
extern bool sp_pool_is_sound(const SpPool *pool);

#endif
