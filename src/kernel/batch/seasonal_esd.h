/*
 * seasonal_esd.h
 *	  Outliers of a series with a season: S-H-ESD.
 *
 * J. Hochenbaum, O. S. Vallis and A. Kejariwal, Automatic anomaly detection in the cloud via
 * statistical learning, arXiv:1704.07706, 2017.
 *
 * The season is that of a robust STL (stl.h) whose seasonal window is all of the series, each
 * phase its mean; what is left is the value less the season and the median of all values.  Of
 * these the farthest from their median is tested, then the farthest of the others, and so on, as
 * generalized_esd does (univariate.h), by median and MAD (times 1.482602) instead of mean and
 * deviation, up to max_part of the values.
 *
 * The score is that distance over its critical value for alpha: outliers are above 1.
 */
#ifndef SP_SEASONAL_ESD_H
#define SP_SEASONAL_ESD_H

#include "kernel/batch/kernels.h"

extern const SpBatchKernel sp_batch_seasonal_esd;
extern const SpBatchKernel sp_batch_stl_residual;

#endif
