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
 * Make of a covariance rows, as many as its rank, on which what is projected has variance 1: the
 * eigenvectors in units of their deviation.  Columns are in units [d], by default (NULL) their
 * deviations: else one of small numbers would have hardly any variance beside one of large ones.
 * Those with hardly any (sp_eigen_symmetric()'s rounding) are left out, as a pseudo-inverse does.
 * Returns the logarithm of the determinant, without those; such are comparable if their units are
 * the same.
 */
extern double sp_eigen_whiten(double *covariance, int d, const double *units, int *rank,
							  SpWork *work);

/* The squared Mahalanobis distance of a point; centered: room for d numbers, x - means then. */
extern double sp_eigen_distance(const double *means, const double *rows, int rank, int d,
								const double *x, double *centered);

/* Those of points, by a covariance that is used up; units and determinant are sp_eigen_whiten()'s. */
extern double sp_eigen_distances(const SpMatrix *points, const double *means, double *covariance,
								 const double *units, double *distances, SpWork *work);

#endif
