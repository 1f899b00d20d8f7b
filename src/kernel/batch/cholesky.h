/*
 * cholesky.h
 *	  Distances in units of a covariance that isn't singular, by its triangular factor.
 *
 * What eigen.h does, in a fraction of the time; where it can't say for sure, it says so.
 */
#ifndef SP_CHOLESKY_H
#define SP_CHOLESKY_H

#include "kernel/batch/batch.h"

/*
 * Make of a covariance [d * d] its factor in units [d], and the logarithm of its determinant.
 * Columns that are left out (NULL: none) count for neither.  False: it is singular or nearly so,
 * a pivot being next to nothing beside the largest variance; it is destroyed then.
 */
extern bool sp_cholesky_factor(double *covariance, int d, const double *units,
							   const bool *left_out, double *determinant, SpWork *work);

/*
 * Which columns follow from those before them, as far as rounding tells, [d]: how many do not.
 * The covariance is destroyed.
 */
extern int	sp_cholesky_find_dependent(double *covariance, int d, const double *units,
									   bool *dependent, double *determinant, SpWork *work);

/* The squared Mahalanobis distances of points by a mean and a factor. */
extern void sp_cholesky_distances(const SpMatrix *points, const double *means,
								  const double *factor, double *distances, SpWork *work);

#endif
