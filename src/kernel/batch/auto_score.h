/*
 * auto_score.h
 *	  A detector without parameters: three views of the points, each on a robust scale, averaged.
 *
 *	far		distance to neighbours in a small sample			sample_knn.h
 *	alone	minus the mean path in an isolation forest			isolation_forest.h
 *	thin	minus the logarithm of density in oblique trees		density_forest.h
 *
 * Each is put on a scale of its own, asinh((s - median) / u), u the IQR / 1.349 of all its scores,
 * or their deviation where that is 0 (a view without any spread counts as 0), and the mean of the
 * three is the score: 0 is an ordinary point.  Constant columns are left out.
 */
#ifndef SP_AUTO_SCORE_H
#define SP_AUTO_SCORE_H

#include "kernel/batch/kernels.h"

#define SP_AUTO_SCORE_SAMPLE		512
#define SP_AUTO_SCORE_FRACTION		0.05
#define SP_AUTO_SCORE_TREES			100
#define SP_AUTO_SCORE_PSI			256
#define SP_AUTO_SCORE_COLUMNS		8

/* The scores of n points; 0 for all where there are less than 3, or all are equal. */
extern void sp_auto_score(int32_t seed, const SpMatrix *points, double *scores, SpWork *work);

extern const SpBatchKernel sp_batch_auto_score;

#endif
