/*
 * kd_tree.c
 *	  Points near a point.
 */
#include "kernel/batch/kd_tree.h"

#include <string.h>

#define LEAF		16			/* points at most, unless they are equal */
#define CHECKED		4096		/* points: checks for nodes of so many */

/* ---- building ---- */

typedef struct Building
{
	SpKdTree   *tree;
	const SpMatrix *points;
	SpWork	   *work;
} Building;

static inline double
get_value(const Building *b, uint32_t place, int column)
{
	return b->points->x[(size_t) b->tree->order[place] * (size_t) b->tree->d + (size_t) column];
}

/* The widest column of some points; its middle for where selection can't go on; -1: all are equal. */
static int
find_widest(const Building *b, uint32_t first, uint32_t last)
{
	double		widest = 0;
	int			column = -1;

	for (int j = 0; j < b->tree->d; j++)
	{
		double		min = get_value(b, first, j);
		double		max = min;

		if (last - first > CHECKED)
			b->work->check(b->work);
		for (uint32_t i = first + 1; i < last; i++)
		{
			double		v = get_value(b, i, j);

			min = v < min ? v : min;
			max = v > max ? v : max;
		}
		if (max - min > widest)
		{
			widest = max - min;
			column = j;
		}
	}
	return column;
}

/* Order points such that none before the middle is greater, and none behind it less. */
static void
halve(const Building *b, int column, uint32_t first, uint32_t last, uint32_t middle)
{
	uint32_t   *order = b->tree->order;
	SpRandom	random = {first, 0};
	int64_t		low = first;
	int64_t		high = (int64_t) last - 1;

	while (low < high)
	{
		uint32_t	at = (uint32_t) (low + sp_random_below(&random, (uint64_t) (high - low + 1)));
		double		pivot = get_value(b, at, column);
		int64_t		i = low;
		int64_t		j = high;

		if (high - low > CHECKED)
			b->work->check(b->work);
		do
		{
			while (get_value(b, (uint32_t) i, column) < pivot)
				i++;
			while (pivot < get_value(b, (uint32_t) j, column))
				j--;
			if (i <= j)
			{
				uint32_t	swap = order[i];

				order[i++] = order[j];
				order[j--] = swap;
			}
		} while (i <= j);
		if (middle <= j)
			high = j;
		else if (middle >= i)
			low = i;
		else
			break;
	}
}

/* A node of the points from first on, and all below. */
static void
build_node(Building *b, uint32_t first, uint32_t last)
{
	uint32_t	number = b->tree->nnodes++;
	SpKdNode   *node = &b->tree->nodes[number];
	uint32_t	middle = first + (last - first) / 2;

	memset(node, 0, sizeof(SpKdNode));
	node->first = first;
	node->last = last;
	node->column = last - first <= LEAF ? -1 : find_widest(b, first, last);
	if (node->column < 0)
		return;
	halve(b, node->column, first, last, middle);
	node->split = get_value(b, middle, node->column);
	build_node(b, first, middle);
	b->tree->nodes[number].right = b->tree->nnodes;
	build_node(b, middle, last);
}

void
sp_kd_build(SpKdTree *tree, const SpMatrix *points, SpWork *work)
{
	size_t		d = (size_t) points->d;
	Building	b = {tree, points, work};

	memset(tree, 0, sizeof(SpKdTree));
	tree->n = points->n;
	tree->d = points->d;
	tree->order = work->allocate(work, tree->n * sizeof(uint32_t));
	/* no leaf has less than LEAF / 2 points, unless it is the only one */
	tree->nodes = work->allocate(work, (tree->n / (LEAF / 2) * 2 + 1) * sizeof(SpKdNode));
	for (size_t i = 0; i < tree->n; i++)
		tree->order[i] = (uint32_t) i;
	build_node(&b, 0, (uint32_t) tree->n);
	tree->x = work->allocate(work, tree->n * d * sizeof(double));
	for (size_t i = 0; i < tree->n; i++)
	{
		if (i % CHECKED == 0)
			work->check(work);
		memcpy(tree->x + i * d, points->x + tree->order[i] * d, d * sizeof(double));
	}
}

void
sp_kd_release(SpKdTree *tree, SpWork *work)
{
	work->release(work, tree->x);
	work->release(work, tree->nodes);
	work->release(work, tree->order);
}

/* ---- the nearest ---- */

/* Put one in the place of the farthest, and let it sink. */
static inline void
sink(SpKdNearest *h, int n, int at, double distance, uint32_t place)
{
	for (;;)
	{
		int			child = 2 * at + 1;

		if (child >= n)
			break;
		if (child + 1 < n && h->distances[child + 1] > h->distances[child])
			child++;
		if (!(h->distances[child] > distance))
			break;
		h->distances[at] = h->distances[child];
		h->places[at] = h->places[child];
		at = child;
	}
	h->distances[at] = distance;
	h->places[at] = place;
}

/* One more, while there is room. */
static inline void
rise(SpKdNearest *h, double distance, uint32_t place)
{
	int			at = h->n++;

	while (at > 0 && h->distances[(at - 1) / 2] < distance)
	{
		h->distances[at] = h->distances[(at - 1) / 2];
		h->places[at] = h->places[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	h->distances[at] = distance;
	h->places[at] = place;
}

/* A search: the point's distance from a node's room is a sum over its columns. */
typedef struct Search
{
	const SpKdTree *tree;
	const double *point;
	uint32_t	self;
	SpKdNearest *nearest;
	SpKdVisit	visit;
	void	   *arg;
	double		limit;			/* what is farther isn't looked at */
} Search;

static inline void
look_at_leaf(Search *s, const SpKdNode *node)
{
	SpKdNearest *h = s->nearest;
	int			d = s->tree->d;

	for (uint32_t i = node->first; i < node->last; i++)
	{
		double		distance = sp_kd_distance(s->point, s->tree->x + (size_t) i * (size_t) d, d);

		if (i == s->self || (h->n == h->k && !(distance < s->limit)))
			continue;
		if (h->n < h->k)
			rise(h, distance, i);
		else
			sink(h, h->n, 0, distance, i);
		if (h->n == h->k)
		{
			s->limit = h->distances[0];
			if (s->limit <= 0)
				return;			/* of many that are equal k are enough */
		}
	}
}

/*
 * The nearest in a node, which is at a squared distance, to which each column adds the square of
 * its part in off.
 */
static void
find_in_node(Search *s, uint32_t number, double distance, double *off)
{
	const SpKdNode *node = &s->tree->nodes[number];
	double		difference;
	double		old;
	double		farther;
	bool		left;

	if (node->column < 0)
	{
		if (s->nearest->n < s->nearest->k || s->limit > 0)
			look_at_leaf(s, node);
		return;
	}
	difference = s->point[node->column] - node->split;
	left = difference < 0;
	find_in_node(s, left ? number + 1 : node->right, distance, off);
	old = off[node->column];
	farther = distance - old * old + difference * difference;
	if (s->nearest->n == s->nearest->k && farther > s->limit * (1 + 1e-12))
		return;
	off[node->column] = difference;
	find_in_node(s, left ? node->right : number + 1, farther, off);
	off[node->column] = old;
}

void
sp_kd_find_nearest(const SpKdTree *tree, const double *point, uint32_t self, SpKdNearest *nearest)
{
	Search		s = {.tree = tree, .point = point, .self = self, .nearest = nearest};
	double		off[SP_BATCH_MAX_COLUMNS];

	memset(off, 0, sizeof(double) * (size_t) tree->d);
	nearest->n = 0;
	if (nearest->k > 0)
		find_in_node(&s, 0, 0, off);
}

void
sp_kd_sort_nearest(SpKdNearest *h)
{
	for (int last = h->n - 1; last > 0; last--)
	{
		double		distance = h->distances[last];
		uint32_t	place = h->places[last];

		h->distances[last] = h->distances[0];
		h->places[last] = h->places[0];
		sink(h, last, 0, distance, place);
	}
}

/* ---- all within a radius ---- */

/* False: that is enough. */
static bool
visit_node(Search *s, uint32_t number, double distance, double *off)
{
	const SpKdNode *node = &s->tree->nodes[number];
	int			d = s->tree->d;
	double		difference;
	double		old;
	double		farther;
	bool		left;

	if (node->column < 0)
	{
		for (uint32_t i = node->first; i < node->last; i++)
		{
			if (sp_kd_distance(s->point, s->tree->x + (size_t) i * (size_t) d, d) <= s->limit &&
				!s->visit(s->arg, i))
				return false;
		}
		return true;
	}
	difference = s->point[node->column] - node->split;
	left = difference < 0;
	if (!visit_node(s, left ? number + 1 : node->right, distance, off))
		return false;
	old = off[node->column];
	farther = distance - old * old + difference * difference;
	if (farther > s->limit * (1 + 1e-12))
		return true;
	off[node->column] = difference;
	if (!visit_node(s, left ? node->right : number + 1, farther, off))
		return false;
	off[node->column] = old;
	return true;
}

void
sp_kd_visit_within(const SpKdTree *tree, const double *point, double squared_radius,
				   SpKdVisit visit, void *arg)
{
	Search		s = {.tree = tree, .point = point, .visit = visit, .arg = arg,
	.limit = squared_radius};
	double		off[SP_BATCH_MAX_COLUMNS];

	memset(off, 0, sizeof(double) * (size_t) tree->d);
	(void) visit_node(&s, 0, 0, off);
}
