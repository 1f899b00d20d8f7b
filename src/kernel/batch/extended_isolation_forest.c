/*
 * extended_isolation_forest.c
 *	  How few cuts in directions by chance isolate a point.
 */
#include "kernel/batch/extended_isolation_forest.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/batch/isolation.h"

#define BLOCK			256		/* points that go through a tree together */
#define MAX_CONVERTED	1e15	/* so that sums of products stay finite */

typedef SpExtendedIsolationForest Forest;
typedef SpExtendedIsolationForestParams Params;

/* ---- the parts of a forest ---- */

static inline double *
get_centers(const Forest *forest)
{
	return (double *) (forest + 1);
}

static inline double *
get_units(const Forest *forest)
{
	return get_centers(forest) + forest->d;
}

/* Floats of a node: a place (less goes left; infinite: all does), then a weight for each column. */
static inline size_t
get_node_length(int d)
{
	return (size_t) d + 1;
}

static inline size_t
get_tree_length(int d, int depth)
{
	size_t		leaves = (size_t) 1 << depth;

	return (leaves - 1) * get_node_length(d) + leaves;
}

static inline float *
get_nodes(const Forest *forest, int tree)
{
	return (float *) (get_units(forest) + forest->d) +
		get_tree_length(forest->d, forest->depth) * (size_t) tree;
}

static inline float *
get_leaves(const Forest *forest, int tree)
{
	return get_nodes(forest, tree) +
		(((size_t) 1 << forest->depth) - 1) * get_node_length(forest->d);
}

static size_t
get_size(int d, int trees, int depth)
{
	size_t		size = sizeof(Forest) + 2 * sizeof(double) * (size_t) d +
		sizeof(float) * get_tree_length(d, depth) * (size_t) trees;

	return (size + 7) / 8 * 8;
}

static size_t
get_psi(const Params *params, size_t n)
{
	return n < (size_t) params->sample_size ? n : (size_t) params->sample_size;
}

size_t
sp_extended_isolation_forest_size(const Params *params, size_t n, int d)
{
	return get_size(d, params->trees, sp_isolation_depth(get_psi(params, n)));
}

/* A point in the columns' units. */
static void
convert(const Forest *forest, const double *from, float *to)
{
	const double *centers = get_centers(forest);
	const double *units = get_units(forest);

	for (int j = 0; j < forest->d; j++)
	{
		double		y = (from[j] - centers[j]) * units[j];

		to[j] = (float) (y > MAX_CONVERTED ? MAX_CONVERTED :
						 y < -MAX_CONVERTED ? -MAX_CONVERTED : y);
	}
}

/*
 * A node's sum of a point.  Four sums, which don't wait for one another; training and scoring
 * must add in the same order, so that a point falls to the side on which it was.
 */
static inline float
project(const float *node, const float *x, int d)
{
	const float *weights = node + 1;
	float		a = 0;
	float		b = 0;
	float		c = 0;
	float		e = 0;
	int			j = 0;

	for (; j + 4 <= d; j += 4)
	{
		a += weights[j] * x[j];
		b += weights[j + 1] * x[j + 1];
		c += weights[j + 2] * x[j + 2];
		e += weights[j + 3] * x[j + 3];
	}
	for (; j < d; j++)
		a += weights[j] * x[j];
	return (a + b) + (c + e);
}

/* ---- training ---- */

/* What makes a tree. */
typedef struct Growing
{
	const Forest *forest;
	SpRandom	random;
	const float *x;				/* of all points in the sample */
	float	   *nodes;
	float	   *leaves;
	int			ncolumns;		/* of a cut, at most */
	int		   *columns;		/* room for d */
} Growing;

/* A weight for a column, and a place in it, which adds to the node's; false: it is constant. */
static bool
weigh_column(Growing *g, const int32_t *points, int n, int column, float *node, double *at)
{
	int			d = g->forest->d;
	float		min = g->x[points[0] * d + column];
	float		max = min;
	float		weight;

	for (int i = 1; i < n; i++)
	{
		float		v = g->x[points[i] * d + column];

		min = v < min ? v : min;
		max = v > max ? v : max;
	}
	if (!(min < max))
		return false;
	weight = (float) sp_random_normal(&g->random);
	node[1 + column] = weight;
	*at += weight * ((double) min + sp_random_next(&g->random) * ((double) max - (double) min));
	return true;
}

/* Choose a cut; columns are tried in an order by chance.  False: all points are equal. */
static bool
choose_cut(Growing *g, const int32_t *points, int n, float *node)
{
	double		at = 0;
	int			nchosen = 0;

	for (int left = g->forest->d; left > 0 && nchosen < g->ncolumns; left--)
	{
		int			i = (int) sp_random_below(&g->random, (uint64_t) left);
		int			column = g->columns[i];

		nchosen += weigh_column(g, points, n, column, node, &at);
		g->columns[i] = g->columns[left - 1];
		g->columns[left - 1] = column;
	}
	node[0] = (float) at;
	return nchosen > 0;
}

/* Nothing is cut below the node: all its leaves are the same.  Nodes are zeros before. */
static void
end_path(Growing *g, int node, int depth, double length)
{
	int			below = g->forest->depth - depth;
	int			first = ((node + 1) << below) - (1 << g->forest->depth);
	size_t		node_length = get_node_length(g->forest->d);

	for (int level = 0; level < below; level++)
	{
		size_t		left = ((size_t) (node + 1) << level) - 1;

		for (size_t i = 0; i < (size_t) 1 << level; i++)
			g->nodes[(left + i) * node_length] = INFINITY;
	}
	for (int i = 0; i < 1 << below; i++)
		g->leaves[first + i] = (float) length;
}

/* The node and all below, of n points, which are reordered. */
static void
grow(Growing *g, int32_t *points, int n, int number, int depth)
{
	int			d = g->forest->d;
	float	   *node = g->nodes + get_node_length(d) * (size_t) number;
	int			nleft = 0;

	if (n < 2 || depth >= g->forest->depth || !choose_cut(g, points, n, node))
	{
		end_path(g, number, depth, depth + sp_isolation_mean_length((size_t) n));
		return;
	}
	for (int i = 0; i < n; i++)
	{
		int32_t		point = points[i];

		if (!(project(node, g->x + (size_t) point * (size_t) d, d) < node[0]))
			continue;
		points[i] = points[nleft];
		points[nleft++] = point;
	}
	grow(g, points, nleft, 2 * number + 1, depth + 1);
	grow(g, points + nleft, n - nleft, 2 * number + 2, depth + 1);
}

/* One tree; sample, x and points have room for psi points. */
static void
train_tree(Growing *g, int tree, const SpMatrix *points, size_t *sample, float *x,
		   int32_t *order, SpWork *work)
{
	size_t		d = (size_t) g->forest->d;
	int			psi = g->forest->sample_size;

	sp_random_sample(&g->random, points->n, (size_t) psi, sample, work);
	for (int i = 0; i < psi; i++)
	{
		convert(g->forest, points->x + sample[i] * d, x + (size_t) i * d);
		order[i] = i;
	}
	for (int j = 0; j < g->forest->d; j++)
		g->columns[j] = j;
	g->x = x;
	g->nodes = get_nodes(g->forest, tree);
	g->leaves = get_leaves(g->forest, tree);
	grow(g, order, psi, 0, 0);
}

void
sp_extended_isolation_forest_train(Forest *forest, const Params *params, const SpMatrix *points,
								   SpWork *work)
{
	size_t		psi = get_psi(params, points->n);
	Growing		g = {.forest = forest};
	size_t	   *sample = work->allocate(work, psi * sizeof(size_t));
	float	   *x = work->allocate(work, psi * (size_t) points->d * sizeof(float));
	int32_t    *order = work->allocate(work, psi * sizeof(int32_t));

	g.columns = work->allocate(work, (size_t) points->d * sizeof(int));
	g.ncolumns = params->extension < 0 || params->extension >= points->d ? points->d :
		params->extension + 1;
	memset(forest, 0, sp_extended_isolation_forest_size(params, points->n, points->d));
	forest->d = points->d;
	forest->trees = params->trees;
	forest->depth = sp_isolation_depth(psi);
	forest->sample_size = (int32_t) psi;
	sp_isolation_find_units(points, get_centers(forest), get_units(forest), work);
	for (int t = 0; t < forest->trees; t++)
	{
		g.random = sp_random_begin(params->seed, (uint64_t) t);
		train_tree(&g, t, points, sample, x, order, work);
		work->check(work);
	}
	work->release(work, g.columns);
	work->release(work, order);
	work->release(work, x);
	work->release(work, sample);
}

/* ---- scoring ---- */

/* The lengths of four points' paths at once: their steps don't wait for one another. */
static inline void
descend_four(const Forest *forest, int tree, const float *x, float *sums)
{
	const float *nodes = get_nodes(forest, tree);
	const float *leaves = get_leaves(forest, tree);
	size_t		node_length = get_node_length(forest->d);
	int			d = forest->d;
	size_t		at[4] = {0, 0, 0, 0};

	for (int level = 0; level < forest->depth; level++)
	{
		for (int i = 0; i < 4; i++)
		{
			const float *node = nodes + node_length * at[i];

			at[i] = 2 * at[i] + 1 + !(project(node, x + i * d, d) < node[0]);
		}
	}
	for (int i = 0; i < 4; i++)
		sums[i] += leaves[at[i] - (((size_t) 1 << forest->depth) - 1)];
}

void
sp_extended_isolation_forest_score(const Forest *forest, const SpMatrix *points, double *scores,
								   SpWork *work)
{
	size_t		d = (size_t) forest->d;
	float	   *x = work->allocate(work, BLOCK * d * sizeof(float));
	double		whole = sp_isolation_mean_length((size_t) forest->sample_size);
	double		unit = (whole > 0 ? 1 / whole : 0) / forest->trees;

	memset(x, 0, BLOCK * d * sizeof(float));
	for (size_t first = 0; first < points->n; first += BLOCK)
	{
		int			n = points->n - first < BLOCK ? (int) (points->n - first) : BLOCK;
		float		sums[BLOCK] = {0};

		for (int i = 0; i < n; i++)
			convert(forest, points->x + (first + (size_t) i) * d, x + (size_t) i * d);
		for (int t = 0; t < forest->trees; t++)
		{
			for (int i = 0; i < n; i += 4)
				descend_four(forest, t, x + (size_t) i * d, sums + i);
			if (t % 16 == 0)
				work->check(work);
		}
		for (int i = 0; i < n; i++)
			scores[first + (size_t) i] = whole > 0 ? exp2(-sums[i] * unit) : 0.5;
	}
	work->release(work, x);
}

void
sp_extended_isolation_forest_convert(const Forest *forest, const double *x, float *converted)
{
	convert(forest, x, converted);
}

/* The leaves of a point in four trees. */
static inline void
descend_trees(const Forest *forest, int tree, const float *x, float *leaves)
{
	const float *nodes[4];
	size_t		node_length = get_node_length(forest->d);
	size_t		at[4] = {0, 0, 0, 0};

	for (int i = 0; i < 4; i++)
		nodes[i] = get_nodes(forest, tree + i);
	for (int level = 0; level < forest->depth; level++)
	{
		for (int i = 0; i < 4; i++)
		{
			const float *node = nodes[i] + node_length * at[i];

			at[i] = 2 * at[i] + 1 + !(project(node, x, forest->d) < node[0]);
		}
	}
	for (int i = 0; i < 4; i++)
		leaves[i] = get_leaves(forest, tree + i)[at[i] - (((size_t) 1 << forest->depth) - 1)];
}

/* The leaf of a point in one. */
static float
descend_tree(const Forest *forest, int tree, const float *x)
{
	const float *nodes = get_nodes(forest, tree);
	size_t		at = 0;

	for (int level = 0; level < forest->depth; level++)
	{
		const float *node = nodes + get_node_length(forest->d) * at;

		at = 2 * at + 1 + !(project(node, x, forest->d) < node[0]);
	}
	return get_leaves(forest, tree)[at - (((size_t) 1 << forest->depth) - 1)];
}

double
sp_extended_isolation_forest_score_converted(const Forest *forest, const float *x)
{
	double		whole = sp_isolation_mean_length((size_t) forest->sample_size);
	double		unit = (whole > 0 ? 1 / whole : 0) / forest->trees;
	float		sum = 0;
	float		leaves[4];
	int			t = 0;

	for (; t + 4 <= forest->trees; t += 4)
	{
		descend_trees(forest, t, x, leaves);
		for (int i = 0; i < 4; i++)
			sum += leaves[i];
	}
	for (; t < forest->trees; t++)
		sum += descend_tree(forest, t, x);
	return whole > 0 ? exp2(-sum * unit) : 0.5;
}

bool
sp_extended_isolation_forest_is_sound(const Forest *forest, size_t size)
{
	size_t		inner;

	if (size < sizeof(Forest) || forest->d < 1 || forest->d > SP_BATCH_MAX_COLUMNS ||
		forest->trees < 1 || forest->trees > SP_EXTENDED_ISOLATION_FOREST_MAX_TREES ||
		forest->sample_size < 1 ||
		forest->sample_size > SP_EXTENDED_ISOLATION_FOREST_MAX_SAMPLE ||
		forest->depth != sp_isolation_depth((size_t) forest->sample_size) ||
		size != get_size(forest->d, forest->trees, forest->depth))
		return false;
	for (int j = 0; j < forest->d; j++)
	{
		if (!isfinite(get_centers(forest)[j]) || !isfinite(get_units(forest)[j]))
			return false;
	}
	inner = (((size_t) 1 << forest->depth) - 1) * get_node_length(forest->d);
	for (int t = 0; t < forest->trees; t++)
	{
		const float *nodes = get_nodes(forest, t);
		const float *leaves = get_leaves(forest, t);

		for (size_t i = 0; i < inner; i++)
		{
			bool		is_place = i % get_node_length(forest->d) == 0;

			if (is_place ? isnan(nodes[i]) : !(fabsf(nodes[i]) < 100))
				return false;
		}
		for (size_t i = 0; i < (size_t) 1 << forest->depth; i++)
		{
			if (!(leaves[i] >= 0 && leaves[i] < 1e6f))
				return false;
		}
	}
	return true;
}

/* ---- the kernel ---- */

const SpParam sp_extended_isolation_forest_param_table[] = {
	{"trees", SP_PARAM_INT, offsetof(Params, trees), 100, 1,
	SP_EXTENDED_ISOLATION_FOREST_MAX_TREES, "trees", NULL, NULL},
	{"sample_size", SP_PARAM_INT, offsetof(Params, sample_size), 256, 1,
	SP_EXTENDED_ISOLATION_FOREST_MAX_SAMPLE, "points of which a tree is made", NULL, NULL},
	{"extension", SP_PARAM_INT, offsetof(Params, extension), -1, -1, SP_BATCH_MAX_COLUMNS - 1,
	"columns that a cut looks at beside one; -1: all", NULL, NULL},
	{"seed", SP_PARAM_INT, offsetof(Params, seed), SP_BATCH_SEED, INT32_MIN, INT32_MAX,
	"what is chosen by chance follows from it", NULL, NULL}
};

static double
estimate_memory(const void *params, double n, int d)
{
	const Params *p = params;

	return (double) sp_extended_isolation_forest_size(p, n < 1e9 ? (size_t) n : 1000000000, d) +
		(double) p->sample_size * (4.0 * d + 12) + 4.0 * (BLOCK + 1) * d + 1e6;
}

static void
score_all(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	Forest	   *forest = work->allocate(work, sp_extended_isolation_forest_size(params, points->n,
																				points->d));

	sp_extended_isolation_forest_train(forest, params, points, work);
	sp_extended_isolation_forest_score(forest, points, scores, work);
	work->release(work, forest);
}

const SpBatchKernel sp_batch_extended_isolation_forest = {
	.name = "extended_isolation_forest",
	.summary = "how few cuts in directions by chance isolate a point; 0.5 or less is ordinary",
	.reference = "S. Hariri, M. Carrasco Kind, R. J. Brunner, Extended isolation forest, IEEE TKDE 33, "
	"2021",
	.nparams = SP_EXTENDED_ISOLATION_FOREST_NPARAMS,
	.param_table = sp_extended_isolation_forest_param_table,
	.params_size = sizeof(Params),
	.memory = estimate_memory,
	.score = score_all
};
