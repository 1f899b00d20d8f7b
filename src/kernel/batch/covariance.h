/*
 * covariance.h
 *	  Methods that look at how columns vary together: mahalanobis and pca_score.
 *
 *	mahalanobis	the squared distance from the mean in units of the covariance (P. C. Mahalanobis,
 *				1936), as scikit-learn's EmpiricalCovariance has it; a direction without variance
 *				doesn't count
 *	pca_score	on z-scored columns, with principal components v and the parts w of the variance that
 *				they have: the sum over all of them of the distance of the point from v, over w
 *				(M.-L. Shyu, S.-C. Chen, K. Sarinnapakorn and L. Chang, ICDM Foundations 2003, as
 *				PyOD has it); the sign of v is that with which the largest projection is positive
 */
#ifndef SP_COVARIANCE_H
#define SP_COVARIANCE_H

#include "kernel/batch/kernels.h"
#include "kernel/batch/model.h"

extern const SpBatchKernel sp_batch_mahalanobis;
extern const SpBatchKernel sp_batch_pca_score;

extern const SpModelKernel sp_model_mahalanobis;
extern const SpModelKernel sp_model_pca;

#endif
