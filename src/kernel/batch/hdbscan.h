/*
 * hdbscan.h
 *	  Clusters of whatever density, noise, and how far points are from clusters: hdbscan and
 *	  hdbscan_outlier.
 *
 * R. J. G. B. Campello, D. Moulavi and J. Sander, Density-based clustering based on hierarchical
 * density estimates, PAKDD 2013; with A. Zimek, Hierarchical density estimates for data
 * clustering, visualization, and outlier detection, ACM TKDD 10, 2015.
 *
 * At each radius the points that are connected by mutual reachability distances (spanning_tree.h)
 * up to it are one; as the radius shrinks a cluster loses points, or falls into several parts.
 * With a single part of at least min_cluster_size points that is the cluster still, and the other
 * points leave it; of several such parts each is a cluster of its own; without one it ends.  All
 * edges of one length are cut at once, so that no order of the points matters: a point that lies
 * just between two clusters belongs to neither (where implementations that cut one edge after the
 * other give it to one of them).
 *
 *	hdbscan			The clusters that are the most stable: a cluster's stability is the sum over its
 *					points of 1 / (radius at which they leave it) - 1 / (radius at which it came to
 *					be), and it counts unless those within it have more together.  All points
 *					together never are one: where nothing falls apart all is noise.  Clusters are
 *					numbered from 0 in the order of their first points; NaN is noise.
 *	hdbscan_outlier	GLOSH: 1 - (least radius at which the last cluster of a point, or one within it,
 *					still is) / (radius at which the point leaves it).  0 within a cluster, towards 1
 *					the farther it is outside of what is densest there; where min_cluster_size
 *					points are equal that radius is 0, and what is not equal to them has 1.
 *
 * A radius of 0 is that of points of which enough are equal.  min_cluster_size 0 is min_points;
 * it is at least 2.
 */
#ifndef SP_HDBSCAN_H
#define SP_HDBSCAN_H

#include "kernel/batch/kernels.h"

extern const SpBatchKernel sp_batch_hdbscan;
extern const SpBatchKernel sp_batch_hdbscan_outlier;

#endif
