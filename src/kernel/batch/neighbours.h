/*
 * neighbours.h
 *	  Methods that look at the k nearest points: knn_distance and lof.
 *
 * Distances are Euclidean, on a scale (scale.h); a point isn't a neighbour of its own, an equal
 * one is; where there are less than k others, all of them are.
 *
 *	knn_distance	the distance to the k-th neighbour, or the mean or median of all k
 *					(S. Ramaswamy, R. Rastogi and K. Shim, SIGMOD 2000; F. Angiulli and C. Pizzuti,
 *					PKDD 2002)
 *	lof				M. M. Breunig, H.-P. Kriegel, R. T. Ng and J. Sander, LOF: identifying
 *					density-based local outliers, SIGMOD 2000, as scikit-learn has it:
 *					  reach(p, o) = max(distance(p, o), distance of o to its k-th neighbour)
 *					  density(p) = 1 / (mean of reach(p, o) over the neighbours o + 1e-10)
 *					  LOF(p) = mean of density(o) / density(p)
 *					1 is as dense as its neighbours are.  Of points at equal distances any count.
 */
#ifndef SP_NEIGHBOURS_H
#define SP_NEIGHBOURS_H

#include "kernel/batch/kernels.h"

extern const SpBatchKernel sp_batch_knn_distance;
extern const SpBatchKernel sp_batch_lof;

#endif
