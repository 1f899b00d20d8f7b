/*
 * random_cut_forest.h
 *	  How much a point would displace those that are known, in a forest of random cut trees.
 *
 * S. Guha, N. Mishra, G. Roy and O. Schrijvers, Robust random cut forest based anomaly detection
 * on streams, ICML 2016.
 *
 * A point is the features of the last `shingle` events, the oldest first.  Each tree has a sample of
 * sample_size points, in which newer ones are likelier: their weight grows by exp(time_decay) an
 * event (cut_forest.h; cut_tree.h).  All that is by chance follows from `seed`.
 *
 * Features are put in frames first (frame.h), so that they may be in any units: cuts go where the
 * sides of boxes are long.  The frames are told from the first 64 events; from then on 64 of each
 * sample_size events say whether a frame still fits.  When by the decayed mean of the
 * logarithm a scale is off by a factor of 4, or at once by 1000, or the middle is a thousand scales
 * away, frames are made anew, the points are moved into them, and the trees are built again from
 * their samples.  Points are float32, within +-10000 scales.
 *
 * The displacement of a point is the expected CoDisp (cut_tree.h), the mean of the trees', between 0
 * and sample_size.  With normalize (the default) the score is (L - mean) / deviation, at least
 * 0, where L is ln(1 + displacement), mean is that of L over what was learned, and deviation
 * the root of the mean square of L - mean where it is above 0; both exponentially weighted with
 * alpha = 1 / (2 sample_size).  The deviation is taken as 0.25 at least, so that among equal points
 * the first other one scores some 20.  Without normalize the score is the displacement, and the
 * default threshold a quarter of sample_size.
 *
 * Parts: CoDisp by feature, in proportion: what is cut off in a dimension counts for its feature
 * (where a cut further up displaces more, for that cut's).  They add up.  expected is the
 * middle of the frame, nearest what nearest.h finds, after the events that were before.  What is normal
 * of one feature, the others being what they are, is no interval: there are no lower and upper.
 */
#ifndef SP_RANDOM_CUT_FOREST_H
#define SP_RANDOM_CUT_FOREST_H

#include "kernel/online/online.h"

#define SP_RANDOM_CUT_FOREST_THRESHOLD	3.0

typedef struct SpRandomCutForestParams
{
	int32_t		trees;
	int32_t		sample_size;
	int32_t		shingle;
	int32_t		warmup;
	int32_t		seed;
	int32_t		normalize;
	double		time_decay;		/* NaN: 1 / (10 sample_size) */
} SpRandomCutForestParams;

extern const SpKernel sp_kernel_random_cut_forest;

#endif
