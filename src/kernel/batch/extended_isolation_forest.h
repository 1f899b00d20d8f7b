/*
 * extended_isolation_forest.h
 *	  How few cuts in directions by chance isolate a point.
 *
 * S. Hariri, M. Carrasco Kind and R. J. Brunner, Extended isolation forest, IEEE Transactions on
 * Knowledge and Data Engineering 33, 2021 (arXiv:1811.02141).
 *
 * As an isolation forest (isolation_forest.h), but a node is cut across a sum of columns with
 * standard normal weights, at a place that is uniform in the box about the node's points; what is
 * less goes left.  Of `extension` + 1 columns, chosen by chance among those that aren't constant
 * in the node; all of them by default, and at extension 0 it cuts as an isolation forest does,
 * but for its columns.  A side may be empty: C(0) = 0.  The score is 2^(-mean length / C(psi)).
 *
 * Directions depend on the columns' units: points are put in those of a robust scale first,
 * (x - median) / unit, at most 1e15.
 *
 * A forest is plain memory without pointers, with complete trees as an isolation forest's.
 */
#ifndef SP_EXTENDED_ISOLATION_FOREST_H
#define SP_EXTENDED_ISOLATION_FOREST_H

#include "kernel/batch/kernels.h"

#define SP_EXTENDED_ISOLATION_FOREST_MAX_SAMPLE	4096
#define SP_EXTENDED_ISOLATION_FOREST_MAX_TREES	10000

typedef struct SpExtendedIsolationForestParams
{
	int32_t		trees;
	int32_t		sample_size;
	int32_t		extension;		/* -1: all columns */
	int32_t		seed;
} SpExtendedIsolationForestParams;

#define SP_EXTENDED_ISOLATION_FOREST_NPARAMS	4
extern const SpParam
			sp_extended_isolation_forest_param_table[SP_EXTENDED_ISOLATION_FOREST_NPARAMS];

/*
 * Behind it: double center[d], unit[d]; then for each tree its inner nodes, each a place and d
 * weights, and its leaves, all of them floats.
 */
typedef struct SpExtendedIsolationForest
{
	int32_t		d;
	int32_t		trees;
	int32_t		depth;
	int32_t		sample_size;	/* psi, as it was */
} SpExtendedIsolationForest;

/* Bytes of a forest for n points. */
extern size_t sp_extended_isolation_forest_size(const SpExtendedIsolationForestParams *params,
												size_t n, int d);

/* Make one, of n >= 1 points, in memory of that size. */
extern void sp_extended_isolation_forest_train(SpExtendedIsolationForest *forest,
											   const SpExtendedIsolationForestParams *params,
											   const SpMatrix *points, SpWork *work);

/* The scores of points. */
extern void sp_extended_isolation_forest_score(const SpExtendedIsolationForest *forest,
											   const SpMatrix *points, double *scores,
											   SpWork *work);

/* A single point's score, of the d floats that its numbers are here. */
extern void sp_extended_isolation_forest_convert(const SpExtendedIsolationForest *forest,
												 const double *x, float *converted);
extern double sp_extended_isolation_forest_score_converted(const SpExtendedIsolationForest *forest,
														   const float *x);

/* Could training have led to this, of so many bytes?  Whatever it says yes to is safe to score with. */
extern bool sp_extended_isolation_forest_is_sound(const SpExtendedIsolationForest *forest,
												  size_t size);

extern const SpBatchKernel sp_batch_extended_isolation_forest;

#endif
