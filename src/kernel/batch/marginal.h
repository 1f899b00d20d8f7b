/*
 * marginal.h
 *	  Methods that look at one column after the other: ecod, copod and hbos.
 *
 * With L = -ln(#{<= x} / n) and R = -ln(#{>= x} / n) for the x of a column:
 *
 *	ecod	the sum over the columns of max(L, R).  Z. Li, Y. Zhao, X. Hu, N. Botta, C. Ionescu and
 *			G. Chen, ECOD, IEEE Transactions on Knowledge and Data Engineering 35, 2023, as PyOD
 *			has it: there tails are chosen by column (the paper sums first, and chooses then).
 *	copod	the sum of max(S, (L + R) / 2), S = L where a column's skewness is negative, R where it is
 *			positive, L + R where it is 0.  Z. Li, Y. Zhao, N. Botta, C. Ionescu and X. Hu, COPOD,
 *			ICDM 2020, as PyOD has it.
 *	hbos	the sum of -log2(density + alpha), the density that of a histogram of the column with
 *			bins of equal width.  M. Goldstein and A. Dengel, Histogram-based outlier score, KI
 *			2012, as PyOD has it.  Densities are per unit of the column; a value on the edge of two bins
 *			counts in the upper one, and has the density of the lower one.
 */
#ifndef SP_MARGINAL_H
#define SP_MARGINAL_H

#include "kernel/batch/kernels.h"
#include "kernel/batch/model.h"

extern const SpBatchKernel sp_batch_ecod;
extern const SpBatchKernel sp_batch_copod;
extern const SpBatchKernel sp_batch_hbos;

extern const SpModelKernel sp_model_hbos;

#endif
