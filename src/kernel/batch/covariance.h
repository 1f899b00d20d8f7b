/*
 * covariance.h
 *	  Methods that look at how columns vary together: mahalanobis, pca_score and mcd.
 *
 *	mahalanobis	the squared distance from the mean in units of the covariance (P. C. Mahalanobis,
 *				1936), as scikit-learn's EmpiricalCovariance has it; a direction without variance
 *				doesn't count
 *	pca_score	on z-scored columns, with principal components v and the parts w of the variance that
 *				they have: the sum over all of them of the distance of the point from v, over w
 *				(M.-L. Shyu, S.-C. Chen, K. Sarinnapakorn and L. Chang, ICDM Foundations 2003, as
 *				PyOD has it); the sign of v is that with which the largest projection is positive
 *	mcd			the squared distance by mean and covariance of those h points whose covariance has
 *				the least determinant, h = (n + d + 1) / 2, then of all that are within the 97.5 %
 *				quantile of chi-squared by these (P. J. Rousseeuw and K. Van Driessen, A fast
 *				algorithm for the minimum covariance determinant estimator, Technometrics 41, 1999)
 */
#ifndef SP_COVARIANCE_H
#define SP_COVARIANCE_H

#include "kernel/batch/kernels.h"

extern const SpBatchKernel sp_batch_mahalanobis;
extern const SpBatchKernel sp_batch_pca_score;

#endif
