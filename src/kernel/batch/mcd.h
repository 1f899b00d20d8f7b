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
 *
 * Points are wide from 20 columns on, and the search is another one.  Of d + 1 points by chance, as
 * the paper begins with, hardly ever all are ordinary, and their covariance is next to singular: it
 * begins with h of them, as scikit-learn does, and once, of each sample, with those h nearest to
 * the medians of the columns in units of their IQR, on which outliers have no bearing (after M.
 * Hubert, P. J. Rousseeuw and T. Verdonck, A deterministic algorithm for robust location and
 * scatter, Journal of Computational and Graphical Statistics 21, 2012).  Steps from these lead to
 * few different ends and cost d^3, so there are 5000 / d starts instead of 500, at least 30, as
 * many as scikit-learn has for up to 500 points; each takes 4 steps, because after 2 it shows less
 * than with few columns which are the best, and the best 10 of each sample go on until nothing
 * changes, as there.  A sample has at least 5 d points instead of 300: half of them must be more
 * than d.
 */
#ifndef SP_MCD_H
#define SP_MCD_H

#include "kernel/batch/kernels.h"
#include "kernel/batch/model.h"

/* Which points those h are, and the logarithm of their determinant. */
extern double sp_mcd_choose(int32_t seed, const SpMatrix *points, bool *chosen, SpWork *work);

extern const SpBatchKernel sp_batch_mcd;
extern const SpModelKernel sp_model_mcd;

#endif
