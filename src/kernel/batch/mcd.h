/*
 * mcd.h
 *	  The covariance of those points that lie closest together: minimum covariance determinant.
 *
 * P. J. Rousseeuw and K. Van Driessen, A fast algorithm for the minimum covariance determinant
 * estimator, Technometrics 41, 1999; with one reweighting.
 *
 * Of h = (n + d + 1) / 2 points those whose covariance has the least determinant give a mean and
 * a covariance, which is multiplied such that the median of all squared distances is that of
 * chi-squared with d degrees of freedom.  Mean and covariance of all points within the 97.5 %
 * quantile of that are the final ones, and the score is the squared Mahalanobis distance by them.
 * A direction without variance doesn't count.
 */
#ifndef SP_MCD_H
#define SP_MCD_H

#include "kernel/batch/kernels.h"
#include "kernel/batch/model.h"

extern const SpBatchKernel sp_batch_mcd;
extern const SpModelKernel sp_model_mcd;

#endif
