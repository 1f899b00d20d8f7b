/*
 * eigen.h
 *	  Symmetric matrices: eigenvalues, and distances in units of a covariance.
 */
#ifndef SP_EIGEN_H
#define SP_EIGEN_H

#include "kernel/batch/batch.h"

/*
 * Eigenvalues of a symmetric matrix [d * d], in descending order, and its eigenvectors in the
 * rows of the matrix: Householder's reduction and implicit QL (H. Bowdler, R. S. Martin,
 * C. Reinsch and J. H. Wilkinson, Numerische Mathematik 11, 1968).
 */
extern void sp_eigen_symmetric(double *matrix, int d, double *values, SpWork *work);

/* Means and covariance of points, those with weight 0 left out; weights NULL: all are 1.  1 / n. */
extern void sp_eigen_covariance(const SpMatrix *points, const bool *chosen, double *means,
								double *covariance, SpWork *work);

/*
 * The squared Mahalanobis distances of points: by eigenvectors, of which those with hardly any
 * variance (sp_eigen_symmetric()'s rounding) are left out, as a pseudo-inverse does.  covariance
 * is used up.  Returns the logarithm of the determinant, without those.
 */
extern double sp_eigen_distances(const SpMatrix *points, const double *means, double *covariance,
								 double *distances, SpWork *work);

#endif
