/*
 * isolation_forest.h
 *	  How few cuts by chance isolate a point.
 *
 * F. T. Liu, K. M. Ting and Z.-H. Zhou, Isolation forest, ICDM 2008.
 *
 * Each tree is made of psi of the points, without repeats, and is at most ceil(log2 psi) deep.  A
 * node is cut at a column, as likely any of those that aren't constant in it, and at a place,
 * uniform within its range; what is less goes left.  A leaf with c points at depth h has length
 * h + C(c), C(c) = 2 (ln(c - 1) + 0.5772156649) - 2 (c - 1) / c, C(2) = 1, C(1) = 0.
 * The score is 2^(-mean length / C(psi)): 1 is isolated at once, 0.5 or less is ordinary.  A forest
 * of one point knows nothing of others, and takes all for ordinary.
 *
 * Points are put in units of their columns first, (x - median) / unit, and then rounded to
 * floats; a forest doesn't depend on such units, and so a large offset costs no resolution.
 *
 * A forest is plain memory without pointers: it can be copied and stored as it is.  Trees are
 * complete, with 2^depth - 1 inner nodes, of which number i has its children at 2 i + 1 and
 * 2 i + 2, and 2^depth leaves; where there are fewer, all cuts below send points left, and all
 * leaves below are the same.
 */
#ifndef SP_ISOLATION_FOREST_H
#define SP_ISOLATION_FOREST_H

#include "kernel/batch/kernels.h"

#define SP_ISOLATION_FOREST_MAX_SAMPLE	4096
#define SP_ISOLATION_FOREST_MAX_TREES	10000

typedef struct SpIsolationForestParams
{
	int32_t		trees;
	int32_t		sample_size;
	int32_t		seed;
} SpIsolationForestParams;

#define SP_ISOLATION_FOREST_NPARAMS	3
extern const SpParam sp_isolation_forest_param_table[SP_ISOLATION_FOREST_NPARAMS];

/* Behind it: double center[d], unit[d]; then for each tree its nodes and its leaves. */
typedef struct SpIsolationForest
{
	int32_t		d;
	int32_t		trees;
	int32_t		depth;
	int32_t		sample_size;	/* psi, as it was */
} SpIsolationForest;

/* Bytes of a forest for n points. */
extern size_t sp_isolation_forest_size(const SpIsolationForestParams *params, size_t n, int d);

/* Make one, of n >= 1 points, in memory of that size. */
extern void sp_isolation_forest_train(SpIsolationForest *forest,
									  const SpIsolationForestParams *params,
									  const SpMatrix *points, SpWork *work);

/* The mean length of each point's paths, over C(psi): the shorter the more anomalous. */
extern void sp_isolation_forest_lengths(const SpIsolationForest *forest, const SpMatrix *points,
										double *lengths, SpWork *work);

/* The scores. */
extern void sp_isolation_forest_score(const SpIsolationForest *forest, const SpMatrix *points,
									  double *scores, SpWork *work);

/* A single point's score, of the d floats that its numbers are here. */
extern void sp_isolation_forest_convert(const SpIsolationForest *forest, const double *x,
										float *converted);
extern double sp_isolation_forest_score_converted(const SpIsolationForest *forest, const float *x);

/* Could training have led to this, of so many bytes?  Whatever it says yes to is safe to score with. */
extern bool sp_isolation_forest_is_sound(const SpIsolationForest *forest, size_t size);

extern const SpBatchKernel sp_batch_isolation_forest;

#endif
