/*
 * matrix_profile.h
 *	  How unlike all others each stretch of a series is.
 *
 * C.-C. M. Yeh and others, Matrix profile I, ICDM 2016; by diagonals with a recurrence of
 * covariances as Z. Zimmerman and others, Matrix profile XIV (SCAMP), SoCC 2019.
 *
 * The distance of two stretches of m values is the Euclidean one of their z-scores (population),
 * sqrt(2 m (1 - correlation)).  Each stretch has the distance to the nearest one that begins more
 * than ceil(m / 4) values away, and its place.  A constant stretch is at distance 0 from another
 * and sqrt(m) from all others.
 */
#ifndef SP_MATRIX_PROFILE_H
#define SP_MATRIX_PROFILE_H

#include "kernel/batch/kernels.h"

#define SP_MATRIX_PROFILE_MIN	4	/* values of a stretch */

/*
 * distances and neighbours [n - m + 1] of n >= m values; NaN and -1 where there is no neighbour.
 * Takes n^2 / 2 steps.
 */
extern void sp_matrix_profile(const double *x, size_t n, size_t m, double *distances,
							  int64_t *neighbours, SpWork *work);

/* A row's score is the distance of the stretch that begins with it; the last m - 1 have none. */
extern const SpBatchKernel sp_batch_matrix_profile;

#endif
