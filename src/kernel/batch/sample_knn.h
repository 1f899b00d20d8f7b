/*
 * sample_knn.h
 *	  How far a point is from its neighbours in a small random sample.
 *
 * Of the points m are the reference, without repeats.  The score of a point is its distance to
 * the k-th nearest of these, itself left out, k = ceil(fraction m), at least 3: so that a group
 * of anomalies, which are near one another, are as far from the rest as they are.  Distances are
 * sums of absolute differences (L1) of columns on a robust scale that large values don't rule:
 * asinh((x - median) / u), u the IQR / 1.349, or the deviation where that is 0.
 */
#ifndef SP_SAMPLE_KNN_H
#define SP_SAMPLE_KNN_H

#include "kernel/batch/kernels.h"

#define SP_SAMPLE_KNN_MAX_SAMPLE	65536
#define SP_SAMPLE_KNN_MIN_K			3

typedef struct SpSampleKnnParams
{
	double		fraction;
	int32_t		sample_size;	/* m */
	int32_t		seed;
} SpSampleKnnParams;

/* The scores of n >= 1 points; 0 where there is no neighbour. */
extern void sp_sample_knn(const SpSampleKnnParams *params, const SpMatrix *points,
						  double *scores, SpWork *work);

extern const SpBatchKernel sp_batch_sample_knn;

#endif
