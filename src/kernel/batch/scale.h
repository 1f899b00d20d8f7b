/*
 * scale.h
 *	  Columns on scales on which they can be compared, for methods that measure distances.
 *
 *	robust	(x - median) / u, u the IQR / 1.349, or the deviation where that is 0
 *	zscore	(x - mean) / deviation, of the population
 *	minmax	(x - min) / (max - min)
 *	none	x
 *
 * A constant column is 0, but for none.
 */
#ifndef SP_SCALE_H
#define SP_SCALE_H

#include "kernel/batch/batch.h"

typedef enum SpScale
{
	SP_SCALE_ROBUST,
	SP_SCALE_ZSCORE,
	SP_SCALE_MINMAX,
	SP_SCALE_NONE
} SpScale;

extern const char *const sp_scale_names[];	/* NULL at the end */

/* Where column j's 0 is, and 1 over what its 1 is; scratch: room for n numbers, of robust. */
extern void sp_scale_find(SpScale scale, const SpMatrix *points, int j, double *scratch,
						  double *center, double *unit, SpWork *work);

/* A number on a scale: larger ones would have squares that are infinite. */
static inline double
sp_scale_limit(double x)
{
	return x > SP_BATCH_MAX ? SP_BATCH_MAX : x < -SP_BATCH_MAX ? -SP_BATCH_MAX : x;
}

/* The points on a scale, [n * d]; finite.  To be released. */
extern double *sp_scale_points(SpScale scale, const SpMatrix *points, SpWork *work);

#endif
