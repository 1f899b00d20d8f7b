/*
 * kd_tree.h
 *	  Points near a point: a tree that halves them at the median of their widest column.
 *
 * J. L. Bentley, Multidimensional binary search trees used for associative searching,
 * Communications of the ACM 18, 1975; leaves of some points, which stand in the tree's order.
 * Distances are Euclidean, and squared in what follows.
 */
#ifndef SP_KD_TREE_H
#define SP_KD_TREE_H

#include "kernel/batch/batch.h"

#define SP_KD_NONE	UINT32_MAX

typedef struct SpKdNode
{
	double		split;			/* what is less is on the left, what is greater on the right */
	int32_t		column;			/* -1: a leaf */
	uint32_t	first;			/* of its points */
	uint32_t	last;			/* behind them */
	uint32_t	right;			/* number of the node there; that on the left is the next */
} SpKdNode;

typedef struct SpKdTree
{
	size_t		n;
	int			d;
	double	   *x;				/* [n * d], in the tree's order */
	uint32_t   *order;			/* [n]: the points' own numbers */
	SpKdNode   *nodes;
	uint32_t	nnodes;
} SpKdTree;

/* The tree of n points, up to 2^32 - 2, whose numbers are finite and have finite squares. */
extern void sp_kd_build(SpKdTree *tree, const SpMatrix *points, SpWork *work);
extern void sp_kd_release(SpKdTree *tree, SpWork *work);

/* The nearest, as a heap whose first is the farthest of them. */
typedef struct SpKdNearest
{
	int			k;
	int			n;				/* so many are there, up to k */
	double	   *distances;		/* [k] */
	uint32_t   *places;			/* [k], in the tree's order */
} SpKdNearest;

/*
 * The k points that are nearest to a point, that at place self (or SP_KD_NONE) left out; of those
 * at the same distance any.  Fewer where there are no more.
 */
extern void sp_kd_find_nearest(const SpKdTree *tree, const double *point, uint32_t self,
							   SpKdNearest *nearest);

/* Sort by distance: the heap is one no more. */
extern void sp_kd_sort_nearest(SpKdNearest *nearest);

/*
 * Call visit with the place of each point no farther than a squared radius, until it returns
 * false.
 */
typedef bool (*SpKdVisit) (void *arg, uint32_t place);
extern void sp_kd_visit_within(const SpKdTree *tree, const double *point, double squared_radius,
							   SpKdVisit visit, void *arg);

/* The squared distance of two points. */
static inline double
sp_kd_distance(const double *a, const double *b, int d)
{
	double		sum = 0;

	for (int j = 0; j < d; j++)
		sum += (a[j] - b[j]) * (a[j] - b[j]);
	return sum;
}

#endif
