/*
 * isolation_forest.c
 *	  How few cuts by chance isolate a point.
 */
#include "kernel/batch/isolation_forest.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/batch/isolation.h"

#define BLOCK			64		/* points that go through a tree together */

typedef struct Node
{
	float		at;				/* less goes left; infinite: all does */
	int32_t		column;
} Node;

/* ---- the parts of a forest ---- */

static inline double *
get_centers(const SpIsolationForest *forest)
{
	return (double *) (forest + 1);
}

static inline double *
get_units(const SpIsolationForest *forest)
{
	return get_centers(forest) + forest->d;
}

static inline size_t
get_tree_size(int depth)
{
	size_t		leaves = (size_t) 1 << depth;

	return (leaves - 1) * sizeof(Node) + leaves * sizeof(float);
}

static inline Node *
get_nodes(const SpIsolationForest *forest, int tree)
{
	return (Node *) ((char *) (get_units(forest) + forest->d) +
					 get_tree_size(forest->depth) * (size_t) tree);
}

static inline float *
get_leaves(const SpIsolationForest *forest, int tree)
{
	return (float *) (get_nodes(forest, tree) + (((size_t) 1 << forest->depth) - 1));
}

static size_t
get_size(int d, int trees, int depth)
{
	size_t		size = sizeof(SpIsolationForest) + 2 * sizeof(double) * (size_t) d +
		get_tree_size(depth) * (size_t) trees;

	return (size + 7) / 8 * 8;
}

static size_t
get_psi(const SpIsolationForestParams *params, size_t n)
{
	return n < (size_t) params->sample_size ? n : (size_t) params->sample_size;
}

size_t
sp_isolation_forest_size(const SpIsolationForestParams *params, size_t n, int d)
{
	return get_size(d, params->trees, sp_isolation_depth(get_psi(params, n)));
}

/* ---- training ---- */

/* A number in its column's units. */
static inline float
convert(double x, double center, double unit)
{
	double		y = (x - center) * unit;

	return y > FLT_MAX ? FLT_MAX : y < -FLT_MAX ? -FLT_MAX : (float) y;
}

/* What makes a tree. */
typedef struct Growing
{
	const SpIsolationForest *forest;
	SpRandom	random;
	const float *x;				/* of all points in the sample */
	Node	   *nodes;
	float	   *leaves;
	int		   *columns;		/* room for d */
} Growing;

/* The range of a column in a node. */
static inline void
find_range(const Growing *g, const int32_t *points, int n, int column, float *min, float *max)
{
	int			d = g->forest->d;

	*min = *max = g->x[points[0] * d + column];
	for (int i = 1; i < n; i++)
	{
		float		v = g->x[points[i] * d + column];

		*min = v < *min ? v : *min;
		*max = v > *max ? v : *max;
	}
}

/*
 * A column that isn't constant in the node, any as likely: columns are tried in an order by
 * chance.  -1: all are constant.
 */
static int
choose_column(Growing *g, const int32_t *points, int n, float *min, float *max)
{
	for (int left = g->forest->d; left > 0; left--)
	{
		int			i = (int) sp_random_below(&g->random, (uint64_t) left);
		int			column = g->columns[i];

		find_range(g, points, n, column, min, max);
		if (*min < *max)
			return column;
		g->columns[i] = g->columns[left - 1];
		g->columns[left - 1] = column;
	}
	return -1;
}

/* A place within (min, max]. */
static float
choose_place(Growing *g, float min, float max)
{
	double		u = sp_random_next(&g->random);
	float		at = (float) ((double) max - u * ((double) max - (double) min));

	return at > min ? at : max;
}

/* Nothing is cut below the node: all its leaves are the same. */
static void
end_path(Growing *g, int node, int depth, double length)
{
	int			below = g->forest->depth - depth;
	int			width = 1 << below;
	int			first = ((node + 1) << below) - (1 << g->forest->depth);

	for (int level = 0; level < below; level++)
	{
		for (int i = 0; i < 1 << level; i++)
		{
			g->nodes[((node + 1) << level) - 1 + i].at = INFINITY;
			g->nodes[((node + 1) << level) - 1 + i].column = 0;
		}
	}
	for (int i = 0; i < width; i++)
		g->leaves[first + i] = (float) length;
}

/* The node and all below, of n points, which are reordered. */
static void
grow(Growing *g, int32_t *points, int n, int node, int depth)
{
	int			column = -1;
	int			nleft = 0;
	float		min = 0;
	float		max = 0;
	float		at;

	if (n > 1 && depth < g->forest->depth)
		column = choose_column(g, points, n, &min, &max);
	if (column < 0)
	{
		end_path(g, node, depth, depth + sp_isolation_mean_length((size_t) n));
		return;
	}
	at = choose_place(g, min, max);
	for (int i = 0; i < n; i++)
	{
		int32_t		point = points[i];

		if (!(g->x[point * g->forest->d + column] < at))
			continue;
		points[i] = points[nleft];
		points[nleft++] = point;
	}
	g->nodes[node].at = at;
	g->nodes[node].column = column;
	grow(g, points, nleft, 2 * node + 1, depth + 1);
	grow(g, points + nleft, n - nleft, 2 * node + 2, depth + 1);
}

/* One tree; sample, x and points have room for psi points. */
static void
train_tree(Growing *g, int tree, const SpMatrix *points, size_t *sample, float *x,
		   int32_t *order, SpWork *work)
{
	int			d = g->forest->d;
	int			psi = g->forest->sample_size;

	sp_random_sample(&g->random, points->n, (size_t) psi, sample, work);
	for (int i = 0; i < psi; i++)
	{
		for (int j = 0; j < d; j++)
			x[i * d + j] = convert(points->x[sample[i] * (size_t) d + (size_t) j],
								   get_centers(g->forest)[j], get_units(g->forest)[j]);
		order[i] = i;
	}
	for (int j = 0; j < d; j++)
		g->columns[j] = j;
	g->x = x;
	g->nodes = get_nodes(g->forest, tree);
	g->leaves = get_leaves(g->forest, tree);
	grow(g, order, psi, 0, 0);
}

void
sp_isolation_forest_train(SpIsolationForest *forest, const SpIsolationForestParams *params,
						  const SpMatrix *points, SpWork *work)
{
	size_t		psi = get_psi(params, points->n);
	Growing		g = {.forest = forest};
	size_t	   *sample = work->allocate(work, psi * sizeof(size_t));
	float	   *x = work->allocate(work, psi * (size_t) points->d * sizeof(float));
	int32_t    *order = work->allocate(work, psi * sizeof(int32_t));

	g.columns = work->allocate(work, (size_t) points->d * sizeof(int));
	memset(forest, 0, sp_isolation_forest_size(params, points->n, points->d));
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

/* The leaf of a point. */
static inline int
descend(const Node *nodes, int depth, const float *x)
{
	int			i = 0;

	for (int level = 0; level < depth; level++)
		i = 2 * i + 1 + (x[nodes[i].column] >= nodes[i].at);
	return i - ((1 << depth) - 1);
}

/* Those of four points at once: their steps don't wait for one another. */
static inline void
descend_four(const Node *nodes, const float *leaves, int depth, const float *x, int d, float *sums)
{
	const float *x1 = x + d;
	const float *x2 = x1 + d;
	const float *x3 = x2 + d;
	int			first = (1 << depth) - 1;
	int			i = 0;
	int			j = 0;
	int			k = 0;
	int			l = 0;

	for (int level = 0; level < depth; level++)
	{
		i = 2 * i + 1 + (x[nodes[i].column] >= nodes[i].at);
		j = 2 * j + 1 + (x1[nodes[j].column] >= nodes[j].at);
		k = 2 * k + 1 + (x2[nodes[k].column] >= nodes[k].at);
		l = 2 * l + 1 + (x3[nodes[l].column] >= nodes[l].at);
	}
	sums[0] += leaves[i - first];
	sums[1] += leaves[j - first];
	sums[2] += leaves[k - first];
	sums[3] += leaves[l - first];
}

/* The lengths of a block's paths, summed over the trees. */
static void
add_block(const SpIsolationForest *forest, const float *x, int n, float *sums)
{
	for (int t = 0; t < forest->trees; t++)
	{
		const Node *nodes = get_nodes(forest, t);
		const float *leaves = get_leaves(forest, t);
		int			i = 0;

		for (; i + 4 <= n; i += 4)
			descend_four(nodes, leaves, forest->depth, x + i * forest->d, forest->d, sums + i);
		for (; i < n; i++)
			sums[i] += leaves[descend(nodes, forest->depth, x + i * forest->d)];
	}
}

void
sp_isolation_forest_lengths(const SpIsolationForest *forest, const SpMatrix *points,
							double *lengths, SpWork *work)
{
	int			d = forest->d;
	float	   *x = work->allocate(work, BLOCK * (size_t) d * sizeof(float));
	double		whole = sp_isolation_mean_length((size_t) forest->sample_size);
	double		unit = (whole > 0 ? 1 / whole : 0) / forest->trees;

	for (size_t first = 0; first < points->n; first += BLOCK)
	{
		int			n = points->n - first < BLOCK ? (int) (points->n - first) : BLOCK;
		const double *from = points->x + first * (size_t) d;
		float		sums[BLOCK] = {0};

		for (int i = 0; i < n; i++)
		{
			for (int j = 0; j < d; j++)
				x[i * d + j] = convert(from[i * d + j], get_centers(forest)[j],
									   get_units(forest)[j]);
		}
		add_block(forest, x, n, sums);
		for (int i = 0; i < n; i++)
			lengths[first + (size_t) i] = whole > 0 ? sums[i] * unit : 1;
		work->check(work);
	}
	work->release(work, x);
}

void
sp_isolation_forest_score(const SpIsolationForest *forest, const SpMatrix *points,
						  double *scores, SpWork *work)
{
	sp_isolation_forest_lengths(forest, points, scores, work);
	for (size_t i = 0; i < points->n; i++)
		scores[i] = exp2(-scores[i]);
}

/* A step down in tree number k of those at nodes. */
#define STEP(k, i) \
	i = 2 * i + 1 + (x[nodes[k * size + i].column] >= nodes[k * size + i].at)
#define LEAF(k, i)	((const float *) (nodes + k * size + first))[i - first]

/*
 * The lengths of a point's paths in eight trees, added in the trees' order; a tree takes as much
 * room as so many nodes.
 */
static inline float
descend_eight(const Node *nodes, int size, int depth, const float *x, float sum)
{
	int			first = (1 << depth) - 1;
	int			a = 0,
				b = 0,
				c = 0,
				d = 0,
				e = 0,
				f = 0,
				g = 0,
				h = 0;

	for (int level = 0; level < depth; level++)
	{
		STEP(0, a);
		STEP(1, b);
		STEP(2, c);
		STEP(3, d);
		STEP(4, e);
		STEP(5, f);
		STEP(6, g);
		STEP(7, h);
	}
	sum += LEAF(0, a);
	sum += LEAF(1, b);
	sum += LEAF(2, c);
	sum += LEAF(3, d);
	sum += LEAF(4, e);
	sum += LEAF(5, f);
	sum += LEAF(6, g);
	return sum + LEAF(7, h);
}

void
sp_isolation_forest_convert(const SpIsolationForest *forest, const double *x, float *converted)
{
	for (int j = 0; j < forest->d; j++)
		converted[j] = convert(x[j], get_centers(forest)[j], get_units(forest)[j]);
}

double
sp_isolation_forest_score_converted(const SpIsolationForest *forest, const float *x)
{
	double		whole = sp_isolation_mean_length((size_t) forest->sample_size);
	double		unit = (whole > 0 ? 1 / whole : 0) / forest->trees;
	size_t		size = get_tree_size(forest->depth);
	float		sum = 0;
	int			t = 0;

	/* trees of one leaf are no multiple of a node */
	for (; t + 8 <= forest->trees && size % sizeof(Node) == 0; t += 8)
		sum = descend_eight(get_nodes(forest, t), (int) (size / sizeof(Node)), forest->depth, x, sum);
	for (; t < forest->trees; t++)
		sum += get_leaves(forest, t)[descend(get_nodes(forest, t), forest->depth, x)];
	return whole > 0 ? exp2(-(sum * unit)) : 0.5;
}

bool
sp_isolation_forest_is_sound(const SpIsolationForest *forest, size_t size)
{
	if (size < sizeof(SpIsolationForest) || forest->d < 1 || forest->d > SP_BATCH_MAX_COLUMNS ||
		forest->trees < 1 || forest->trees > SP_ISOLATION_FOREST_MAX_TREES ||
		forest->sample_size < 1 || forest->sample_size > SP_ISOLATION_FOREST_MAX_SAMPLE ||
		forest->depth != sp_isolation_depth((size_t) forest->sample_size) ||
		size != get_size(forest->d, forest->trees, forest->depth))
		return false;
	for (int j = 0; j < forest->d; j++)
	{
		if (!isfinite(get_centers(forest)[j]) || !isfinite(get_units(forest)[j]))
			return false;
	}
	for (int t = 0; t < forest->trees; t++)
	{
		for (int i = 0; i < (1 << forest->depth) - 1; i++)
		{
			if (get_nodes(forest, t)[i].column < 0 ||
				get_nodes(forest, t)[i].column >= forest->d || isnan(get_nodes(forest, t)[i].at))
				return false;
		}
		for (int i = 0; i < 1 << forest->depth; i++)
		{
			if (!(get_leaves(forest, t)[i] >= 0 && get_leaves(forest, t)[i] < 1e6f))
				return false;
		}
	}
	return true;
}

/* ---- the kernel ---- */

const SpParam sp_isolation_forest_param_table[] = {
	{"trees", SP_PARAM_INT, offsetof(SpIsolationForestParams, trees), 100, 1,
	SP_ISOLATION_FOREST_MAX_TREES, "trees", NULL, NULL},
	{"sample_size", SP_PARAM_INT, offsetof(SpIsolationForestParams, sample_size), 256, 1,
	SP_ISOLATION_FOREST_MAX_SAMPLE, "points of which a tree is made", NULL, NULL},
	{"seed", SP_PARAM_INT, offsetof(SpIsolationForestParams, seed), SP_BATCH_SEED, INT32_MIN, INT32_MAX,
	"what is chosen by chance follows from it", NULL, NULL}
};

static double
estimate_memory(const void *params, double n, int d)
{
	const SpIsolationForestParams *p = params;

	return (double) sp_isolation_forest_size(p, n < 1e9 ? (size_t) n : 1000000000, d) +
		(double) p->sample_size * (4.0 * d + 12) + 256.0 * d + 1e6;
}

static void
score_all(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	SpIsolationForest *forest =
		work->allocate(work, sp_isolation_forest_size(params, points->n, points->d));

	sp_isolation_forest_train(forest, params, points, work);
	sp_isolation_forest_score(forest, points, scores, work);
	work->release(work, forest);
}

const SpBatchKernel sp_batch_isolation_forest = {
	.name = "isolation_forest",
	.summary = "how few cuts by chance isolate a point; 0.5 or less is ordinary, 1 isolated at once",
	.reference = "F. T. Liu, K. M. Ting, Z.-H. Zhou, Isolation forest, ICDM 2008",
	.stream_threshold = 0.65,
	.nparams = SP_ISOLATION_FOREST_NPARAMS,
	.param_table = sp_isolation_forest_param_table,
	.params_size = sizeof(SpIsolationForestParams),
	.memory = estimate_memory,
	.score = score_all
};
