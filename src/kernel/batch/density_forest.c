/*
 * density_forest.c
 *	  How thin points lie where a point does, in trees of oblique cuts.
 *
 * A tree is an array of nodes, all of one size: the two below a cut stand side by side.
 *
 * A cut's weights are kept in one of two ways.  Where the columns are few beside q it has one for
 * every column, most of them 0, and all are multiplied side by side: twice as fast as looking q
 * columns up.  Where they are many it names its q columns.
 */
#include "kernel/batch/density_forest.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/batch/order.h"

#define BLOCK				256		/* points that go through a tree together */
#define SMALLEST_PART		1e-6
#define SMALLEST_DEVIATION	1e-2	/* in ranges */
#define MAX_Z				1e15	/* so that sums of products stay finite */
#define LANES				4		/* columns that are multiplied side by side */
#define FEW					3		/* columns for each of q: then all have weights */

typedef struct Term
{
	float		weight;
	int32_t		column;
} Term;

/* A cut, or a leaf; behind it the weights of all columns, or q terms. */
typedef struct Node
{
	int32_t		left;			/* number of the node there, the other's is one more; 0: a leaf */
	float		at;				/* what is less goes left; of a leaf its logarithm of density */
} Node;

/* How a point's sum is made. */
typedef struct Shape
{
	int			width;			/* columns, up to a multiple of LANES; 0: by terms */
	int			q;
} Shape;

/* All trees, and how points are put in z-scores. */
typedef struct Forest
{
	int			d;
	Shape		shape;
	int			stride;			/* numbers from one point to the next */
	int			trees;
	size_t		node_size;
	size_t		tree_size;
	char	   *memory;
	double	   *means;
	double	   *units;
} Forest;

/* What makes a tree. */
typedef struct Growing
{
	const Forest *forest;
	char	   *tree;
	int			nnodes;
	SpRandom	random;
	float	   *x;				/* of the points in the sample, each as long as the stride */
	float	   *projections;	/* of the points in a node */
	int		   *columns;		/* room for d */
} Growing;

static inline Node *
get_node(const char *tree, size_t node_size, int number)
{
	return (Node *) (tree + node_size * (size_t) number);
}

static inline size_t
get_node_size(Shape shape)
{
	return sizeof(Node) + (shape.width > 0 ? sizeof(float) * (size_t) shape.width :
						   sizeof(Term) * (size_t) shape.q);
}

static inline Shape
find_shape(int d, int columns)
{
	Shape		shape = {(d + LANES - 1) / LANES * LANES, columns < d ? columns : d};

	if (shape.width > FEW * shape.q)
		shape.width = 0;
	return shape;
}

/* Some points in z-scores. */
static void
convert(const Forest *f, const double *from, float *to)
{
	for (int j = 0; j < f->d; j++)
	{
		double		z = (from[j] - f->means[j]) * f->units[j];

		to[j] = (float) (z > MAX_Z ? MAX_Z : z < -MAX_Z ? -MAX_Z : z);
	}
}

/* ---- growing ---- */

/* A weight for a column; false: it is constant in the node. */
static bool
weigh_column(Growing *g, const int32_t *points, int n, int column, float *weight)
{
	const float *x = g->x + column;
	int			stride = g->forest->stride;
	float		min = x[points[0] * stride];
	float		max = min;
	double		origin = min;
	double		sum = 0;
	double		squares = 0;
	double		deviation;

	for (int i = 1; i < n; i++)
	{
		float		v = x[points[i] * stride];
		double		difference = v - origin;

		min = v < min ? v : min;
		max = v > max ? v : max;
		sum += difference;
		squares += difference * difference;
	}
	if (!(min < max))
		return false;
	squares = squares / n - sum / n * (sum / n);
	deviation = squares > 0 ? sqrt(squares) : 0;
	if (deviation < SMALLEST_DEVIATION * ((double) max - min))
		deviation = SMALLEST_DEVIATION * ((double) max - min);
	*weight = (float) (sp_random_normal(&g->random) / deviation);
	return true;
}

/* Choose the terms of a cut, columns in an order by chance; false: all are constant. */
static bool
choose_terms(Growing *g, const int32_t *points, int n, Node *node)
{
	const Forest *f = g->forest;
	int			nterms = 0;

	for (int left = f->d; left > 0 && nterms < f->shape.q; left--)
	{
		int			i = (int) sp_random_below(&g->random, (uint64_t) left);
		int			column = g->columns[i];
		float		weight;

		g->columns[i] = g->columns[left - 1];
		g->columns[left - 1] = column;
		if (!weigh_column(g, points, n, column, &weight))
			continue;
		if (f->shape.width > 0)
			((float *) (node + 1))[column] = weight;
		else
			((Term *) (node + 1))[nterms] = (Term){weight, column};
		nterms++;
	}
	return nterms > 0;
}

/* The cut's sum of a point. */
static inline float
project(const Node *node, Shape shape, const float *x)
{
	const float *weights = (const float *) (node + 1);
	const Term *terms = (const Term *) (node + 1);
	float		sums[LANES] = {0};
	float		sum;

	if (shape.width > 0)
	{
		for (int j = 0; j < shape.width; j += LANES)
		{
			for (int lane = 0; lane < LANES; lane++)
				sums[lane] += weights[j + lane] * x[j + lane];
		}
		return (sums[0] + sums[2]) + (sums[1] + sums[3]);
	}
	sum = terms[0].weight * x[terms[0].column];
	for (int i = 1; i < shape.q; i++)
		sum += terms[i].weight * x[terms[i].column];
	return sum;
}

/* Choose a cut of the node's points; false: there is none.  *part: of the room on its left. */
static bool
choose_cut(Growing *g, const int32_t *points, int n, Node *node, double *part)
{
	float		min;
	float		max;

	if (!choose_terms(g, points, n, node))
		return false;
	for (int i = 0; i < n; i++)
		g->projections[i] = project(node, g->forest->shape, g->x + points[i] * g->forest->stride);
	min = max = g->projections[0];
	for (int i = 1; i < n; i++)
	{
		min = g->projections[i] < min ? g->projections[i] : min;
		max = g->projections[i] > max ? g->projections[i] : max;
	}
	if (!(min < max))
		return false;
	node->at = (float) (max - sp_random_next(&g->random) * ((double) max - min));
	if (!(node->at > min))
		node->at = max;
	*part = ((double) node->at - min) / ((double) max - min);
	*part = *part < SMALLEST_PART ? SMALLEST_PART :
		*part > 1 - SMALLEST_PART ? 1 - SMALLEST_PART : *part;
	return true;
}

/* A node of n points, which are reordered, and all below; density: of the path that leads there. */
static void
grow(Growing *g, int number, int32_t *points, int n, double density)
{
	Node	   *node = get_node(g->tree, g->forest->node_size, number);
	int			nleft = 0;
	double		part;

	memset(node, 0, g->forest->node_size);
	if (n < 2 || !choose_cut(g, points, n, node, &part))
	{
		memset(node, 0, g->forest->node_size);
		node->at = (float) density;
		return;
	}
	for (int i = 0; i < n; i++)
	{
		int32_t		point = points[i];

		if (!(g->projections[i] < node->at))
			continue;
		/* what stood there has been looked at, and its projection isn't needed again */
		points[i] = points[nleft];
		points[nleft++] = point;
	}
	node->left = g->nnodes;
	g->nnodes += 2;
	number = node->left;
	grow(g, number, points, nleft, density + log((double) nleft / n / part));
	grow(g, number + 1, points + nleft, n - nleft,
		 density + log((double) (n - nleft) / n / (1 - part)));
}

/* One tree of psi of the points. */
static void
train_tree(Growing *g, int tree, const SpMatrix *points, size_t psi, size_t *sample,
		   int32_t *order, SpWork *work)
{
	const Forest *f = g->forest;

	sp_random_sample(&g->random, points->n, psi, sample, work);
	for (size_t i = 0; i < psi; i++)
	{
		convert(f, points->x + sample[i] * (size_t) f->d, g->x + i * (size_t) f->stride);
		order[i] = (int32_t) i;
	}
	for (int j = 0; j < f->d; j++)
		g->columns[j] = j;
	g->tree = f->memory + f->tree_size * (size_t) tree;
	g->nnodes = 1;
	grow(g, 0, order, (int) psi, 0);
}

/* All trees. */
static void
train(const Forest *f, const SpMatrix *points, size_t psi, int32_t seed, SpWork *work)
{
	Growing		g = {.forest = f};
	size_t	   *sample = work->allocate(work, psi * sizeof(size_t));
	int32_t    *order = work->allocate(work, psi * sizeof(int32_t));

	g.x = work->allocate(work, psi * (size_t) f->stride * sizeof(float));
	memset(g.x, 0, psi * (size_t) f->stride * sizeof(float));
	g.projections = work->allocate(work, psi * sizeof(float));
	g.columns = work->allocate(work, (size_t) f->d * sizeof(int));
	for (int t = 0; t < f->trees; t++)
	{
		g.random = sp_random_begin(seed, (uint64_t) t);
		train_tree(&g, t, points, psi, sample, order, work);
		work->check(work);
	}
	work->release(work, g.columns);
	work->release(work, g.projections);
	work->release(work, g.x);
	work->release(work, order);
	work->release(work, sample);
}

/* ---- scoring ---- */

/* The leaves of four points at once: their steps don't wait for one another. */
static inline void
descend_four(const char *tree, Shape shape, const float *x, int stride, float *sums)
{
	const Node *nodes[4];
	bool		any = true;

	for (int i = 0; i < 4; i++)
		nodes[i] = (const Node *) tree;
	while (any)
	{
		any = false;
		for (int i = 0; i < 4; i++)
		{
			const Node *node = nodes[i];

			if (node->left == 0)
				continue;
			any = true;
			nodes[i] = get_node(tree, get_node_size(shape), node->left +
								!(project(node, shape, x + i * stride) < node->at));
		}
	}
	for (int i = 0; i < 4; i++)
		sums[i] += nodes[i]->at;
}

/* A block of points, up to a multiple of four, through all trees. */
static inline void
add_block(const Forest *f, Shape shape, const float *x, int n, float *sums)
{
	for (int t = 0; t < f->trees; t++)
	{
		const char *tree = f->memory + f->tree_size * (size_t) t;

		for (int i = 0; i < n; i += 4)
			descend_four(tree, shape, x + i * f->stride, f->stride, sums + i);
	}
}

/* Likewise; the usual shapes are known to the compiler. */
static void
add_block_shaped(const Forest *f, const float *x, int n, float *sums)
{
	Shape		shape = f->shape;

	if (shape.width == 4)
		add_block(f, (Shape){4, 0}, x, n, sums);
	else if (shape.width == 8)
		add_block(f, (Shape){8, 0}, x, n, sums);
	else if (shape.width == 12)
		add_block(f, (Shape){12, 0}, x, n, sums);
	else if (shape.width == 16)
		add_block(f, (Shape){16, 0}, x, n, sums);
	else if (shape.width == 0 && shape.q == 2)
		add_block(f, (Shape){0, 2}, x, n, sums);
	else if (shape.width == 0 && shape.q == 8)
		add_block(f, (Shape){0, 8}, x, n, sums);
	else
		add_block(f, shape, x, n, sums);
}

static void
score(const Forest *f, const SpMatrix *points, double *scores, SpWork *work)
{
	size_t		d = (size_t) f->d;
	size_t		size = BLOCK * (size_t) f->stride * sizeof(float);
	float	   *x = work->allocate(work, size);

	memset(x, 0, size);
	for (size_t first = 0; first < points->n; first += BLOCK)
	{
		int			n = points->n - first < BLOCK ? (int) (points->n - first) : BLOCK;
		float		sums[BLOCK] = {0};

		for (int i = 0; i < n; i++)
			convert(f, points->x + (first + (size_t) i) * d, x + i * f->stride);
		add_block_shaped(f, x, n, sums);
		for (int i = 0; i < n; i++)
			scores[first + (size_t) i] = 0 - sums[i] / f->trees;	/* 0 is no -0 */
		work->check(work);
	}
	work->release(work, x);
}

void
sp_density_forest(const SpDensityForestParams *params, const SpMatrix *points, double *scores,
				  SpWork *work)
{
	size_t		psi = points->n < (size_t) params->sample_size ? points->n :
		(size_t) params->sample_size;
	Forest		f = {.d = points->d, .trees = params->trees};

	f.shape = find_shape(f.d, params->columns);
	f.stride = f.shape.width > 0 ? f.shape.width : f.d;
	f.node_size = get_node_size(f.shape);
	f.tree_size = f.node_size * (2 * psi - 1);
	f.memory = work->allocate(work, f.tree_size * (size_t) f.trees);
	f.means = work->allocate(work, 2 * sizeof(double) * (size_t) f.d);
	f.units = f.means + f.d;
	for (int j = 0; j < f.d; j++)
	{
		SpColumn	c;

		sp_order_describe(points, j, NULL, &c, work);
		f.means[j] = c.mean;
		f.units[j] = c.deviation > DBL_MIN && c.deviation < DBL_MAX ? 1 / c.deviation : 1;
		work->check(work);
	}
	train(&f, points, psi, params->seed, work);
	score(&f, points, scores, work);
	work->release(work, f.means);
	work->release(work, f.memory);
}

/* ---- the kernel ---- */

static const SpParam param_table[] = {
	{"trees", SP_PARAM_INT, offsetof(SpDensityForestParams, trees), 100, 1,
	SP_DENSITY_FOREST_MAX_TREES, "trees", NULL, NULL},
	{"sample_size", SP_PARAM_INT, offsetof(SpDensityForestParams, sample_size), 256, 1,
	SP_DENSITY_FOREST_MAX_SAMPLE, "points of which a tree is made", NULL, NULL},
	{"columns", SP_PARAM_INT, offsetof(SpDensityForestParams, columns), 2, 1,
	SP_DENSITY_FOREST_MAX_COLUMNS, "columns that a cut looks at", NULL, NULL},
	{"seed", SP_PARAM_INT, offsetof(SpDensityForestParams, seed), SP_BATCH_SEED, INT32_MIN, INT32_MAX,
	"what is chosen by chance follows from it", NULL, NULL}
};

static double
estimate_memory(const void *params, double n, int d)
{
	const SpDensityForestParams *p = params;

	(void) n;
	return (double) p->trees * 2 * p->sample_size * (double) get_node_size(find_shape(d, p->columns)) +
		(double) p->sample_size * (4.0 * d + 28) + 1040.0 * d + 3120;
}

static void
score_all(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	sp_density_forest(params, points, scores, work);
}

const SpBatchKernel sp_batch_density_forest = {
	.name = "density_forest",
	.summary = "how thin points lie where a point does, in trees of oblique cuts",
	.reference = "after S. Hariri, M. Carrasco Kind, R. J. Brunner, Extended isolation forest, "
	"IEEE TKDE 33, 2021",
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(SpDensityForestParams),
	.memory = estimate_memory,
	.score = score_all
};
