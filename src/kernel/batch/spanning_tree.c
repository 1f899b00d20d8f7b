/*
 * spanning_tree.c
 *	  The tree of least length that connects all points, by how well they can be reached.
 *
 * Of several ways that are equally short any is taken, and one that would close a circle isn't:
 * what is left is a tree of least length all the same, for between the parts that a round has
 * joined there is no way longer than the shortest one out of either.
 */
#include "kernel/batch/spanning_tree.h"

#include <math.h>
#include <string.h>

#include "kernel/batch/sort.h"

#define BLOCK	64				/* points between two checks */
#define LEAVES	256				/* likewise */

typedef struct Spanning
{
	const SpKdTree *tree;
	const double *core;
	double	   *node_core;		/* [nnodes]: the least of its points */
	uint32_t   *node_part;		/* [nnodes]: of all its points; SP_KD_NONE: of several */
	uint32_t   *parent;			/* [n]: parts, each with a root */
	double	   *best;			/* [n], of a root: the shortest way to another part */
	uint32_t   *from;			/* likewise: where it begins; SP_KD_NONE: there is none yet */
	uint32_t   *to;
	SpWork	   *work;
	unsigned	nleaves;		/* that were looked at */
} Spanning;

/* ---- core distances ---- */

void
sp_spanning_tree_find_core(const SpKdTree *tree, int32_t min_points, double *core, SpWork *work)
{
	size_t		k = (size_t) min_points - 1;
	SpKdNearest nearest = {0};

	nearest.k = (int) (k < tree->n ? k : tree->n - 1);
	nearest.distances = work->allocate(work, (size_t) (nearest.k + 1) * sizeof(double));
	nearest.places = work->allocate(work, (size_t) (nearest.k + 1) * sizeof(uint32_t));
	for (size_t i = 0; i < tree->n; i++)
	{
		sp_kd_find_nearest(tree, tree->x + i * (size_t) tree->d, (uint32_t) i, &nearest);
		core[i] = nearest.n > 0 ? nearest.distances[0] : 0;
		work->check(work);
	}
	work->release(work, nearest.places);
	work->release(work, nearest.distances);
}

/* ---- parts ---- */

static inline uint32_t
find_root(Spanning *s, uint32_t place)
{
	while (s->parent[place] != place)
	{
		s->parent[place] = s->parent[s->parent[place]];
		place = s->parent[place];
	}
	return place;
}

/* Let each point's parent be the root, and each node know of which part its points are. */
static void
begin_round(Spanning *s)
{
	const SpKdTree *tree = s->tree;

	for (size_t i = 0; i < tree->n; i++)
	{
		s->parent[i] = find_root(s, (uint32_t) i);
		s->best[i] = INFINITY;
		s->from[i] = SP_KD_NONE;
	}
	/* nodes below a node come behind it */
	for (uint32_t number = tree->nnodes; number-- > 0;)
	{
		const SpKdNode *node = &tree->nodes[number];
		uint32_t	part;

		if (node->column < 0)
		{
			part = s->parent[node->first];
			for (uint32_t i = node->first; i < node->last && part != SP_KD_NONE; i++)
				part = s->parent[i] == part ? part : SP_KD_NONE;
		}
		else
			part = s->node_part[number + 1] == s->node_part[node->right] ?
				s->node_part[node->right] : SP_KD_NONE;
		s->node_part[number] = part;
	}
	s->work->check(s->work);
}

/* The least core distance of each node. */
static void
find_node_core(Spanning *s)
{
	for (uint32_t number = s->tree->nnodes; number-- > 0;)
	{
		const SpKdNode *node = &s->tree->nodes[number];
		double		least = INFINITY;

		if (node->column < 0)
		{
			for (uint32_t i = node->first; i < node->last; i++)
				least = s->core[i] < least ? s->core[i] : least;
		}
		else
			least = fmin(s->node_core[number + 1], s->node_core[node->right]);
		s->node_core[number] = least;
	}
}

/* ---- ways ---- */

/* A shorter way from a point to those of a leaf, if there is one. */
static void
look_at_leaf(Spanning *s, uint32_t place, uint32_t part, const SpKdNode *node)
{
	int			d = s->tree->d;
	const double *point = s->tree->x + (size_t) place * (size_t) d;

	for (uint32_t i = node->first; i < node->last; i++)
	{
		double		distance;

		if (s->parent[i] == part || !(s->core[i] < s->best[part]))
			continue;
		distance = sp_kd_distance(point, s->tree->x + (size_t) i * (size_t) d, d);
		distance = fmax(distance, fmax(s->core[place], s->core[i]));
		if (!(distance < s->best[part]))
			continue;
		s->best[part] = distance;
		s->from[part] = place;
		s->to[part] = i;
		/* there is no shorter one from here */
		if (distance <= s->core[place])
			return;
	}
	if (++s->nleaves % LEAVES == 0)
		s->work->check(s->work);
}

/* The same for all points of a node; its distance and off as in kd_tree.c. */
static void
look_at_node(Spanning *s, uint32_t place, uint32_t part, uint32_t number, double distance,
			 double *off)
{
	const SpKdNode *node = &s->tree->nodes[number];
	double		difference;
	double		old;
	bool		left;

	if (s->node_part[number] == part || !(s->core[place] < s->best[part]) ||
		!(s->node_core[number] < s->best[part]) || !(distance * (1 - 1e-12) < s->best[part]))
		return;
	if (node->column < 0)
	{
		look_at_leaf(s, place, part, node);
		return;
	}
	difference = s->tree->x[(size_t) place * (size_t) s->tree->d + (size_t) node->column] -
		node->split;
	left = difference < 0;
	look_at_node(s, place, part, left ? number + 1 : node->right, distance, off);
	old = off[node->column];
	off[node->column] = difference;
	look_at_node(s, place, part, left ? node->right : number + 1,
				 distance - old * old + difference * difference, off);
	off[node->column] = old;
}

/* The shortest way out of each part. */
static void
find_ways(Spanning *s)
{
	double		off[SP_BATCH_MAX_COLUMNS];

	memset(off, 0, sizeof(double) * (size_t) s->tree->d);
	for (size_t i = 0; i < s->tree->n; i++)
	{
		look_at_node(s, (uint32_t) i, s->parent[i], 0, 0, off);
		if (i % BLOCK == 0)
			s->work->check(s->work);
	}
}

/* Go all ways that lead to another part still; the edges there are then. */
static size_t
join_parts(Spanning *s, SpEdge *edges, size_t nedges)
{
	for (size_t i = 0; i < s->tree->n; i++)
	{
		uint32_t	a;
		uint32_t	b;

		if (s->from[i] == SP_KD_NONE)
			continue;
		a = find_root(s, s->from[i]);
		b = find_root(s, s->to[i]);
		if (a == b)
			continue;
		edges[nedges].distance = s->best[i];
		edges[nedges].a = s->from[i];
		edges[nedges++].b = s->to[i];
		s->parent[a < b ? b : a] = a < b ? a : b;
	}
	return nedges;
}

/* ---- the tree ---- */

static void
sort_edges(SpEdge *edges, size_t n, SpWork *work)
{
	SpKeyed    *keyed = work->allocate(work, n * sizeof(SpKeyed));
	SpEdge	   *sorted = work->allocate(work, n * sizeof(SpEdge));

	for (size_t i = 0; i < n; i++)
	{
		keyed[i].key = sp_sort_key(edges[i].distance);
		keyed[i].number = (uint32_t) i;
	}
	sp_sort(keyed, n, work);
	for (size_t i = 0; i < n; i++)
		sorted[i] = edges[keyed[i].number];
	memcpy(edges, sorted, n * sizeof(SpEdge));
	work->release(work, sorted);
	work->release(work, keyed);
}

void
sp_spanning_tree_find(const SpKdTree *tree, const double *core, SpEdge *edges, SpWork *work)
{
	Spanning	s = {.tree = tree, .core = core, .work = work};
	size_t		n = tree->n;
	size_t		nedges = 0;

	s.node_core = work->allocate(work, tree->nnodes * sizeof(double));
	s.node_part = work->allocate(work, tree->nnodes * sizeof(uint32_t));
	s.parent = work->allocate(work, n * sizeof(uint32_t));
	s.best = work->allocate(work, n * sizeof(double));
	s.from = work->allocate(work, n * sizeof(uint32_t));
	s.to = work->allocate(work, n * sizeof(uint32_t));
	for (size_t i = 0; i < n; i++)
		s.parent[i] = (uint32_t) i;
	find_node_core(&s);
	while (nedges + 1 < n)
	{
		begin_round(&s);
		find_ways(&s);
		nedges = join_parts(&s, edges, nedges);
	}
	work->release(work, s.to);
	work->release(work, s.from);
	work->release(work, s.best);
	work->release(work, s.parent);
	work->release(work, s.node_part);
	work->release(work, s.node_core);
	sort_edges(edges, nedges, work);
}

double
sp_spanning_tree_memory(double n, int32_t min_points)
{
	double		nearest = fmin(min_points, n) * (sizeof(double) + sizeof(uint32_t));
	double		nodes = (n / 4 + 1) * (sizeof(double) + sizeof(uint32_t));
	double		parts = n * (sizeof(double) + 3 * sizeof(uint32_t));

	return nearest + fmax(nodes + parts, n * (2 * sizeof(SpKeyed) + sizeof(SpEdge))) + 1e5;
}
