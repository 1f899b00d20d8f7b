/*
 * suggest_eps.c
 *	  How far neighbours are at most, for dbscan.
 */
#include "kernel/batch/suggest_eps.h"

#include <math.h>

#include "kernel/batch/sort.h"
#include "kernel/batch/spanning_tree.h"

size_t
sp_suggest_eps_knee(const double *sorted, size_t n)
{
	double		height = sorted[n - 1] - sorted[0];
	double		farthest = 0;
	size_t		knee = 0;

	for (size_t i = 0; i < n && height > 0; i++)
	{
		double		below = (double) i / (double) (n - 1) - (sorted[i] - sorted[0]) / height;

		if (below > farthest)
		{
			farthest = below;
			knee = i;
		}
	}
	return knee;
}

double
sp_suggest_eps(const SpMatrix *points, int32_t min_points, SpWork *work)
{
	size_t		n = points->n;
	double	   *distances = work->allocate(work, n * sizeof(double));
	SpKeyed    *keyed = work->allocate(work, n * sizeof(SpKeyed));
	double	   *sorted = work->allocate(work, n * sizeof(double));
	double		eps;
	SpKdTree	tree;

	sp_kd_build(&tree, points, work);
	sp_spanning_tree_find_core(&tree, min_points, distances, work);
	sp_kd_release(&tree, work);
	for (size_t i = 0; i < n; i++)
	{
		distances[i] = sqrt(distances[i]);
		keyed[i].key = sp_sort_key(distances[i]);
		keyed[i].number = (uint32_t) i;
	}
	sp_sort(keyed, n, work);
	for (size_t i = 0; i < n; i++)
		sorted[i] = distances[keyed[i].number];
	eps = sorted[sp_suggest_eps_knee(sorted, n)];
	work->release(work, sorted);
	work->release(work, keyed);
	work->release(work, distances);
	return eps;
}

double
sp_suggest_eps_memory(double n, int d, int32_t min_points)
{
	double		tree = n * ((double) d * sizeof(double) + sizeof(uint32_t) + sizeof(SpKdNode) / 4.0);

	return tree + n * (2 * sizeof(double) + 2 * sizeof(SpKeyed)) +
		fmin(min_points, n) * (sizeof(double) + sizeof(uint32_t)) + 1e5;
}
