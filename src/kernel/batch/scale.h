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

/* The points on a scale, [n * d]; finite.  To be released. */
extern double *sp_scale_points(SpScale scale, const SpMatrix *points, SpWork *work);

#endif
