/*
 * neighbours.c
 *	  Methods that look at the k nearest points.
 *
 * Points are taken in the order of the tree, so that one's neighbours are in the cache for the next.
 */
#include "kernel/batch/neighbours.h"

#include <math.h>

#include "kernel/batch/kd_tree.h"
#include "kernel/batch/order.h"
#include "kernel/batch/scale.h"

#define BLOCK		64			/* points between two checks */
#define MAX_K		10000
#define SMALLEST	1e-10		/* of what densities are the reciprocals of */

typedef enum Aggregate
{
	LARGEST,
	MEAN,
	MEDIAN
} Aggregate;

static const char *const aggregates[] = {"largest", "mean", "median", NULL};

typedef struct KnnParams
{
	int32_t		k;
	int32_t		aggregate;
	int32_t		scale;
} KnnParams;

typedef struct LofParams
{
	int32_t		k;
	int32_t		scale;
} LofParams;

/* The tree of the points on their scale. */
static void
build_scaled(SpKdTree *tree, SpScale scale, const SpMatrix *points, SpWork *work)
{
	SpMatrix	scaled = *points;
	double	   *x = sp_scale_points(scale, points, work);

	scaled.x = x;
	sp_kd_build(tree, &scaled, work);
	work->release(work, x);
}

/* Room for k neighbours of n points. */
static void
begin_nearest(SpKdNearest *nearest, int32_t k, size_t n, SpWork *work)
{
	nearest->k = (size_t) k < n ? k : (int) (n - 1);
	nearest->n = 0;
	nearest->distances = work->allocate(work, (size_t) (nearest->k + 1) * sizeof(double));
	nearest->places = work->allocate(work, (size_t) (nearest->k + 1) * sizeof(uint32_t));
}

static void
end_nearest(SpKdNearest *nearest, SpWork *work)
{
	work->release(work, nearest->places);
	work->release(work, nearest->distances);
}

static inline const double *
get_point(const SpKdTree *tree, size_t place)
{
	return tree->x + place * (size_t) tree->d;
}

/* ---- knn_distance ---- */

/* What is said of a point with these neighbours, whose distances are squared and reordered. */
static double
aggregate_distances(Aggregate aggregate, SpKdNearest *nearest)
{
	double		sum = 0;

	if (nearest->n == 0)
		return 0;
	if (aggregate == LARGEST)
		return sqrt(nearest->distances[0]);
	for (int i = 0; i < nearest->n; i++)
	{
		nearest->distances[i] = sqrt(nearest->distances[i]);
		sum += nearest->distances[i];
	}
	return aggregate == MEAN ? sum / nearest->n :
		sp_order_quantile(nearest->distances, (size_t) nearest->n, 0.5, NULL);
}

static void
score_knn(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	const KnnParams *p = params;
	SpKdTree	tree;
	SpKdNearest nearest;

	build_scaled(&tree, (SpScale) p->scale, points, work);
	begin_nearest(&nearest, p->k, points->n, work);
	for (size_t i = 0; i < tree.n; i++)
	{
		sp_kd_find_nearest(&tree, get_point(&tree, i), (uint32_t) i, &nearest);
		scores[tree.order[i]] = aggregate_distances((Aggregate) p->aggregate, &nearest);
		work->check(work);
	}
	end_nearest(&nearest, work);
	sp_kd_release(&tree, work);
}

/* ---- lof ---- */

/* What lof knows of the points, in the tree's order. */
typedef struct Densities
{
	SpKdTree	tree;
	int			k;
	uint32_t   *neighbours;		/* [n * k] */
	double	   *reach;			/* [n] distance to the k-th neighbour */
	double	   *density;		/* [n] */
} Densities;

static void
find_neighbours(Densities *s, SpKdNearest *nearest, SpWork *work)
{
	for (size_t i = 0; i < s->tree.n; i++)
	{
		sp_kd_find_nearest(&s->tree, get_point(&s->tree, i), (uint32_t) i, nearest);
		s->reach[i] = sqrt(nearest->distances[0]);
		for (int j = 0; j < s->k; j++)
			s->neighbours[i * (size_t) s->k + (size_t) j] = nearest->places[j];
		work->check(work);
	}
}

static void
find_densities(Densities *s, SpWork *work)
{
	for (size_t i = 0; i < s->tree.n; i++)
	{
		const uint32_t *neighbours = s->neighbours + i * (size_t) s->k;
		double		sum = 0;

		for (int j = 0; j < s->k; j++)
		{
			double		distance = sqrt(sp_kd_distance(get_point(&s->tree, i),
													   get_point(&s->tree, neighbours[j]),
													   s->tree.d));

			sum += fmax(distance, s->reach[neighbours[j]]);
		}
		s->density[i] = 1 / (sum / s->k + SMALLEST);
		if (i % BLOCK == 0)
			work->check(work);
	}
}

static void
score_lof(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	const LofParams *p = params;
	Densities	s;
	SpKdNearest nearest;

	build_scaled(&s.tree, (SpScale) p->scale, points, work);
	begin_nearest(&nearest, p->k, points->n, work);
	s.k = nearest.k;
	s.neighbours = work->allocate(work, points->n * (size_t) s.k * sizeof(uint32_t));
	s.reach = work->allocate(work, points->n * sizeof(double));
	s.density = work->allocate(work, points->n * sizeof(double));
	if (s.k > 0)
	{
		find_neighbours(&s, &nearest, work);
		find_densities(&s, work);
	}
	for (size_t i = 0; i < points->n; i++)
	{
		double		sum = 0;

		for (int j = 0; j < s.k; j++)
			sum += s.density[s.neighbours[i * (size_t) s.k + (size_t) j]];
		scores[s.tree.order[i]] = s.k > 0 ? sum / s.k / s.density[i] : 1;
		if (i % BLOCK == 0)
			work->check(work);
	}
	work->release(work, s.density);
	work->release(work, s.reach);
	work->release(work, s.neighbours);
	end_nearest(&nearest, work);
	sp_kd_release(&s.tree, work);
}

/* ---- the kernels ---- */

static const SpParam knn_table[] = {
	{"k", SP_PARAM_INT, offsetof(KnnParams, k), 50, 1, MAX_K, "neighbours", NULL, NULL},
	{"aggregate", SP_PARAM_CHOICE, offsetof(KnnParams, aggregate), LARGEST, 0, 0,
	"of the distances to the k neighbours: the largest, their mean or median", aggregates, NULL},
	{"scale", SP_PARAM_CHOICE, offsetof(KnnParams, scale), SP_SCALE_ROBUST, 0, 0,
	"of the columns", sp_scale_names, NULL}
};

static const SpParam lof_table[] = {
	{"k", SP_PARAM_INT, offsetof(LofParams, k), 100, 1, MAX_K, "neighbours", NULL, NULL},
	{"scale", SP_PARAM_CHOICE, offsetof(LofParams, scale), SP_SCALE_ROBUST, 0, 0,
	"of the columns", sp_scale_names, NULL}
};

/* Of the points on their scale, before and in the tree, and of its order and nodes. */
static double
estimate_tree(double n, int d)
{
	return n * (2.0 * d * sizeof(double) + sizeof(uint32_t) + sizeof(SpKdNode) / 4.0) + 1e5;
}

static double
estimate_knn(const void *params, double n, int d)
{
	(void) params;
	return estimate_tree(n, d);
}

static double
estimate_lof(const void *params, double n, int d)
{
	double		k = ((const LofParams *) params)->k;

	return estimate_tree(n, d) + n * ((k < n ? k : n) * sizeof(uint32_t) + 2 * sizeof(double));
}

const SpBatchKernel sp_batch_knn_distance = {
	.name = "knn_distance",
	.summary = "the distance to the k-th nearest point",
	.reference = "S. Ramaswamy, R. Rastogi, K. Shim, SIGMOD 2000",
	.nparams = sizeof(knn_table) / sizeof(knn_table[0]),
	.param_table = knn_table,
	.params_size = sizeof(KnnParams),
	.memory = estimate_knn,
	.score = score_knn
};

const SpBatchKernel sp_batch_lof = {
	.name = "lof",
	.summary = "local outlier factor: how much thinner points lie than about the neighbours; 1 is "
	"ordinary",
	.reference = "M. M. Breunig, H.-P. Kriegel, R. T. Ng, J. Sander, SIGMOD 2000",
	.stream_threshold = 2,
	.nparams = sizeof(lof_table) / sizeof(lof_table[0]),
	.param_table = lof_table,
	.params_size = sizeof(LofParams),
	.memory = estimate_lof,
	.score = score_lof
};
