/*
 * spanning_tree.h
 *	  The tree of least length that connects all points, by how well they can be reached from one
 *	  another.
 *
 * A point's core distance is that to the nearest point with which it has min_points about it,
 * itself included; the mutual reachability distance of two points is the largest of both core
 * distances and their own distance (R. J. G. B. Campello, D. Moulavi and J. Sander, PAKDD 2013).
 *
 * Each round finds for each part of the forest the shortest way to another part (O. Boruvka's
 * algorithm) in a k-d tree, whose nodes know the part that all their points are in, if there is
 * one, and the least core distance of them (W. B. March, P. Ram and A. G. Gray, KDD 2010).
 */
#ifndef SP_SPANNING_TREE_H
#define SP_SPANNING_TREE_H

#include "kernel/batch/kd_tree.h"

/* Points are places in the k-d tree's order, distances squared. */
typedef struct SpEdge
{
	double		distance;
	uint32_t	a;
	uint32_t	b;
} SpEdge;

/* The squared core distances, [n]. */
extern void sp_spanning_tree_find_core(const SpKdTree *tree, int32_t min_points, double *core,
									   SpWork *work);

/* The n - 1 edges, by length. */
extern void sp_spanning_tree_find(const SpKdTree *tree, const double *core, SpEdge *edges,
								  SpWork *work);

/* Bytes that these take for n points. */
extern double sp_spanning_tree_memory(double n, int32_t min_points);

#endif
