/*
 * density_forest.h
 *	  How thin points lie where a point does, in trees of oblique cuts.
 *
 * Trees of an extended isolation forest (S. Hariri, M. Carrasco Kind and R. J. Brunner, IEEE
 * Transactions on Knowledge and Data Engineering 33, 2021), whose leaves tell density rather than
 * depth.
 *
 * A tree is made of psi points, without repeats, in z-scores of their columns, and as deep as it
 * takes.  A node is cut across a sum of q columns, chosen by chance among those that aren't
 * constant in it, each with a standard normal weight over the column's deviation in the node
 * (at least 1 % of its range there); at a place t, uniform within the range of that sum; what is
 * less goes left.  With f = (t - min) / (max - min), at least 1e-6 from 0 and 1, the side a point
 * goes to holds n_side / n of the points in a part f, or 1 - f, of the room: its logarithm of
 * density is the sum of ln((n_left / n) / f), or ln((n_right / n) / (1 - f)), along its path.
 * The score is minus the mean of that over the trees: 0 would be evenly spread.
 */
#ifndef SP_DENSITY_FOREST_H
#define SP_DENSITY_FOREST_H

#include "kernel/batch/kernels.h"

#define SP_DENSITY_FOREST_MAX_SAMPLE	4096
#define SP_DENSITY_FOREST_MAX_TREES		10000
#define SP_DENSITY_FOREST_MAX_COLUMNS	8	/* in a cut */

typedef struct SpDensityForestParams
{
	int32_t		trees;
	int32_t		sample_size;
	int32_t		columns;		/* q */
	int32_t		seed;
} SpDensityForestParams;

/* The scores of n >= 1 points. */
extern void sp_density_forest(const SpDensityForestParams *params, const SpMatrix *points,
							  double *scores, SpWork *work);

extern const SpBatchKernel sp_batch_density_forest;

#endif
