/*
 * density_forest.c
 *	  How thin points lie where a point does, in trees of oblique cuts.
 *
 * A tree is an array of nodes, whose size depends on q: the two below a cut stand side by side.
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

typedef struct Term
{
	float		weight;
	int32_t		column;
} Term;

/* A cut, or a leaf. */
typedef struct Node
{
	int32_t		left;			/* number of the node there, the other's is one more; 0: a leaf */
	float		at;				/* what is less goes left; of a leaf its logarithm of density */
	Term		terms[];	/* q of them */
} Node;

/* All trees, and how points are put in z-scores. */
typedef struct Forest
{
	int			d;
	int			q;
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
	float	   *x;				/* of the points in the sample */
	float	   *projections;	/* of the points in a node */
	int		   *columns;		/* room for d */
} Growing;

static inline Node *
get_node(const char *tree, size_t node_size, int number)
{
	return (Node *) (tree + node_size * (size_t) number);
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
weigh_column(Growing *g, const int32_t *points, int n, int column, Term *term)
{
	const float *x = g->x + column;
	int			d = g->forest->d;
	float		min = x[points[0] * d];
	float		max = min;
	double		origin = min;
	double		sum = 0;
	double		squares = 0;
	double		deviation;

	for (int i = 1; i < n; i++)
	{
		float		v = x[points[i] * d];
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
	term->column = column;
	term->weight = (float) (sp_random_normal(&g->random) / deviation);
	return true;
}

/* Choose the terms of a cut, columns in an order by chance; false: all are constant. */
static bool
choose_terms(Growing *g, const int32_t *points, int n, Node *node)
{
	int			nterms = 0;

	for (int left = g->forest->d; left > 0 && nterms < g->forest->q; left--)
	{
		int			i = (int) sp_random_below(&g->random, (uint64_t) left);
		int			column = g->columns[i];

		g->columns[i] = g->columns[left - 1];
		g->columns[left - 1] = column;
		nterms += weigh_column(g, points, n, column, &node->terms[nterms]);
	}
	return nterms > 0;
}

/* The cut's sum of a point. */
static inline float
project(const Node *node, int q, const float *x)
{
	float		sum = node->terms[0].weight * x[node->terms[0].column];

	for (int i = 1; i < q; i++)
		sum += node->terms[i].weight * x[node->terms[i].column];
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
		g->projections[i] = project(node, g->forest->q, g->x + points[i] * g->forest->d);
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
		convert(f, points->x + sample[i] * (size_t) f->d, g->x + i * (size_t) f->d);
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

	g.x = work->allocate(work, psi * (size_t) f->d * sizeof(float));
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
descend_four(const char *tree, size_t node_size, int q, const float *x, int d, float *sums)
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
			nodes[i] = get_node(tree, node_size,
								node->left + !(project(node, q, x + i * d) < node->at));
		}
	}
	for (int i = 0; i < 4; i++)
		sums[i] += nodes[i]->at;
}

/* A block of points, up to a multiple of four, through all trees. */
static inline void
add_block(const Forest *f, int q, const float *x, int n, float *sums)
{
	for (int t = 0; t < f->trees; t++)
	{
		const char *tree = f->memory + f->tree_size * (size_t) t;

		for (int i = 0; i < n; i += 4)
			descend_four(tree, sizeof(Node) + sizeof(Term) * (size_t) q, q, x + i * f->d, f->d,
						 sums + i);
	}
}

static void
score(const Forest *f, const SpMatrix *points, double *scores, SpWork *work)
{
	size_t		d = (size_t) f->d;
	float	   *x = work->allocate(work, BLOCK * d * sizeof(float));

	memset(x, 0, BLOCK * d * sizeof(float));
	for (size_t first = 0; first < points->n; first += BLOCK)
	{
		int			n = points->n - first < BLOCK ? (int) (points->n - first) : BLOCK;
		float		sums[BLOCK] = {0};

		for (int i = 0; i < n; i++)
			convert(f, points->x + (first + (size_t) i) * d, x + (size_t) i * d);
		if (f->q == 1)
			add_block(f, 1, x, n, sums);
		else if (f->q == 2)
			add_block(f, 2, x, n, sums);
		else
			add_block(f, f->q, x, n, sums);
		for (int i = 0; i < n; i++)
			scores[first + (size_t) i] = -sums[i] / f->trees;
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

	f.q = params->columns < f.d ? params->columns : f.d;
	f.node_size = sizeof(Node) + sizeof(Term) * (size_t) f.q;
	f.tree_size = f.node_size * (2 * psi - 1);
	f.memory = work->allocate(work, f.tree_size * (size_t) f.trees);
	f.means = work->allocate(work, 2 * sizeof(double) * (size_t) f.d);
	f.units = f.means + f.d;
	for (int j = 0; j < f.d; j++)
	{
		SpColumn	c;

		sp_order_describe(points, j, NULL, &c);
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
	return (double) p->trees * 2 * p->sample_size *
		(sizeof(Node) + sizeof(Term) * (double) p->columns) +
		(double) p->sample_size * (4.0 * d + 16) + 1040.0 * d;
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
