/*
 * univariate.h
 *	  Methods for one column: zscore, modified_zscore, tukey, grubbs and generalized_esd.
 *
 *	zscore			|x - mean| / s, s the deviation of the sample (n - 1)
 *	modified_zscore	|x - median| / (1.482602 MAD), MAD the median of |x - median|; where that is 0,
 *					|x - median| / (1.253314 times the mean of |x - median|).  B. Iglewicz and
 *					D. C. Hoaglin, How to detect and handle outliers, 1993: above 3.5 is one
 *	tukey			how far beyond the fences, q1 - k IQR and q3 + k IQR, in IQRs; 0 within.  Quartiles
 *					are of type 7; where the IQR is 0 distances are in deviations.  J. W. Tukey,
 *					Exploratory data analysis, 1977
 *	grubbs			the two-sided test's |x - mean| / s, over its critical value for alpha: the
 *					farthest value is an outlier where that is above 1.  F. E. Grubbs, Technometrics
 *					11, 1969
 *	generalized_esd	the same for the farthest value, then for the farthest of the others, and so on,
 *					up to max_outliers times: outliers are all up to the last one with more than 1,
 *					and what is among them with less has as much as that.  Others are below 1.
 *					B. Rosner, Technometrics 25, 1983
 *
 * Where all values are equal the score is 0.  grubbs and generalized_esd need 3 values, else it is 0.
 */
#ifndef SP_UNIVARIATE_H
#define SP_UNIVARIATE_H

#include "kernel/batch/kernels.h"

extern const SpBatchKernel sp_batch_zscore;
extern const SpBatchKernel sp_batch_modified_zscore;
extern const SpBatchKernel sp_batch_tukey;
extern const SpBatchKernel sp_batch_grubbs;
extern const SpBatchKernel sp_batch_generalized_esd;

/*
 * The two-sided critical value of |x - mean| / s for the farthest of n >= 3 values, at level alpha.
 */
extern double sp_grubbs_critical(double n, double alpha);

#endif
