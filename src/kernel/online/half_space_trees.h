/*
 * half_space_trees.h
 *	  How little of the last window lies where a point does, in trees of halved spaces.
 *
 * S. C. Tan, K. M. Ting and T. F. Liu, Fast anomaly detection for streaming data, IJCAI 2011.
 *
 * Features are put in their frames (frame.h) first, so that they may be in any units, the bulk of
 * their values within +-1/2.  A tree has for each feature a range that covers that and as much
 * again or more, chosen by chance: of width 2 to 4, its middle within +-1/2
 * (the paper has width 4 max(s, 1 - s) around s of [0, 1]; here the two are independent).  Each inner
 * node halves the rest of the range of a feature chosen by chance; a tree is complete and has
 * 2^depth leaves.  What is chosen follows from `seed`, so that only masses are kept.
 *
 * The masses r of the reference are how many values of the last full window were in a node.  With
 * k the depth of the first node on a point's path with r <= size_limit * window, or of its leaf,
 * its surprise is, in bits and on average over the trees,
 *
 *	S = log2(window + 1/2) - k - log2(r + 1/2)
 *
 * (the paper ranks by the sum of r 2^k; the mean of logarithms tells more of points that
 * some trees don't find strange, and is a sum over the steps of the path, each with its feature).
 * Few of a tree's nodes can look at any one feature, and what is far away shares its cells with
 * the bulk's ends.  So there are two half-spaces more for each feature, beyond +-1.25 of its
 * frame, with masses of their own; S is at least log2(window + 1/2) - log2(r + 1/2) of one where
 * the point lies.
 *
 * The score is (S - location) / scale, at least 0, where location and scale are those of up to 64
 * values of the window itself, each against the others: the mean, and the root of the mean
 * square above the mean, smoothed over windows, and at least half a bit.
 *
 * Learning: a value goes into the leaves of the latest masses; when the window is full they become
 * the reference.  64 values of each window, one by chance of each 64th part, give the next frame;
 * it is taken when it differs by much (by half of the scale, or a factor of 2), and while the
 * reference still has the old one each of the two is used with its own.  In the first window the
 * frame is that of its first 64 values, which are learned then.
 *
 * Parts: the steps of the path by feature, less what they are on average in the window; or all of
 * it for a feature beyond its bulk.  They add up.  expected is the middle of the frame, nearest what
 * nearest.h finds.  What is normal of one feature, the others being what they are, is no interval:
 * there are no lower and upper.
 */
#ifndef SP_HALF_SPACE_TREES_H
#define SP_HALF_SPACE_TREES_H

#include "kernel/online/online.h"

#define SP_HALF_SPACE_TREES_THRESHOLD	3.0

typedef struct SpHalfSpaceTreesParams
{
	int32_t		trees;
	int32_t		depth;
	int32_t		window;
	int32_t		seed;
	double		size_limit;
} SpHalfSpaceTreesParams;

extern const SpKernel sp_kernel_half_space_trees;

#endif
