/*
 * dbscan.c
 *	  Clusters of dense points, and noise.
 *
 * Which points are core points and which of them are of one cluster is found on a grid or in a
 * k-d tree, whose points stand in an order of its own; what is said of it is the same.
 */
#include "kernel/batch/dbscan.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/batch/kd_tree.h"
#include "kernel/batch/scale.h"
#include "kernel/batch/sort.h"

#define BLOCK		256			/* points between two checks */
#define NONE		UINT32_MAX
#define MAX_CELLS	1e9			/* of a column */
#define MAX_KEY		1e18
#define MAX_ROWS	25
#define MAX_NEAR	124			/* cells near a cell: 5 * 5 * 5 - 1 */

typedef struct Params
{
	double		eps;
	int32_t		min_points;
	int32_t		scale;
} Params;

/* What is found out of the points, in the order in which they stand. */
typedef struct Clustering
{
	size_t		n;
	int			d;
	double		eps;
	uint32_t	min_points;
	const double *x;			/* [n * d] */
	const uint32_t *order;		/* [n]: their own numbers */
	bool	   *core;			/* [n] */
	uint32_t   *parent;			/* [n]: sets of core points, each with a root */
	uint32_t   *label;			/* [n], of a root that of the cluster */
	SpWork	   *work;
} Clustering;

static inline const double *
get_point(const Clustering *c, uint32_t place)
{
	return c->x + (size_t) place * (size_t) c->d;
}

/* No farther than eps? */
static inline bool
is_near(const Clustering *c, uint32_t a, uint32_t b)
{
	return sp_kd_distance(get_point(c, a), get_point(c, b), c->d) <= c->eps * c->eps;
}

/* ---- sets ---- */

static inline uint32_t
find_root(Clustering *c, uint32_t place)
{
	while (c->parent[place] != place)
	{
		c->parent[place] = c->parent[c->parent[place]];
		place = c->parent[place];
	}
	return place;
}

static inline void
unite(Clustering *c, uint32_t a, uint32_t b)
{
	a = find_root(c, a);
	b = find_root(c, b);
	if (a < b)
		c->parent[b] = a;
	else
		c->parent[a] = b;
}

/* Number the clusters; the labels of core points, by place. */
static void
number_clusters(Clustering *c)
{
	uint32_t   *place_of = c->work->allocate(c->work, c->n * sizeof(uint32_t));
	uint32_t	nclusters = 0;

	for (size_t i = 0; i < c->n; i++)
	{
		place_of[c->order[i]] = (uint32_t) i;
		c->label[i] = NONE;
	}
	for (size_t point = 0; point < c->n; point++)
	{
		uint32_t	place = place_of[point];
		uint32_t	root;

		if (point % BLOCK == 0)
			c->work->check(c->work);
		if (!c->core[place])
			continue;
		root = find_root(c, place);
		if (c->label[root] == NONE)
			c->label[root] = nclusters++;
		c->label[place] = c->label[root];
	}
	c->work->release(c->work, place_of);
}

/* ---- with a k-d tree ---- */

/* A point whose neighbours are visited. */
typedef struct Visit
{
	Clustering *c;
	uint32_t	place;
	uint32_t	n;
	uint32_t	label;			/* the least one of a core point */
} Visit;

static bool
count_neighbour(void *arg, uint32_t place)
{
	Visit	   *v = arg;

	(void) place;
	return ++v->n < v->c->min_points;
}

static bool
join_neighbour(void *arg, uint32_t place)
{
	Visit	   *v = arg;

	if (place < v->place && v->c->core[place])
		unite(v->c, v->place, place);
	return true;
}

static bool
look_for_core(void *arg, uint32_t place)
{
	Visit	   *v = arg;

	if (v->c->core[place] && v->c->label[place] < v->label)
		v->label = v->c->label[place];
	return true;
}

static void
visit_all(Clustering *c, const SpKdTree *tree, bool core, SpKdVisit visit,
		  void (*end) (Visit *))
{
	for (size_t i = 0; i < c->n; i++)
	{
		Visit		v = {c, (uint32_t) i, 0, NONE};

		c->work->check(c->work);
		if (c->core[i] != core)
			continue;
		sp_kd_visit_within(tree, get_point(c, (uint32_t) i), c->eps * c->eps, visit, &v);
		if (end != NULL)
			end(&v);
	}
}

static void
set_core(Visit *v)
{
	v->c->core[v->place] = v->n >= v->c->min_points;
}

static void
set_label(Visit *v)
{
	v->c->label[v->place] = v->label;
}

static void
cluster_in_tree(Clustering *c, const SpKdTree *tree)
{
	visit_all(c, tree, false, count_neighbour, set_core);
	visit_all(c, tree, true, join_neighbour, NULL);
	number_clusters(c);
	visit_all(c, tree, false, look_for_core, set_label);
}

/* ---- on a grid ---- */

typedef struct Cell
{
	int32_t		at[SP_DBSCAN_GRID_COLUMNS];
	uint32_t	first;			/* of its points */
	uint32_t	n;
	uint32_t	ncore;
	uint32_t	core;			/* the first core point, if there is one */
} Cell;

/* Cells that have points, in the order of their keys: the last column's number counts fastest. */
typedef struct Grid
{
	Clustering *c;
	double		min[SP_DBSCAN_GRID_COLUMNS];
	double		width;
	int64_t		count[SP_DBSCAN_GRID_COLUMNS];	/* cells of a column */
	int			reach;			/* differences of the numbers of cells with points that are near */
	uint32_t	ncells;
	Cell	   *cells;
} Grid;

/* A row of cells whose points may be near those of a cell: its differences but for the last column. */
typedef struct Row
{
	int			difference[SP_DBSCAN_GRID_COLUMNS - 1];
	int			gap;			/* sum of the squares of widths between them */
	uint32_t	cursor;			/* no cell before can be near this cell or those to come */
} Row;

/* Going over all cells in order. */
typedef struct Sweep
{
	const Grid *grid;
	int			nrows;
	Row			rows[MAX_ROWS];
} Sweep;

/* The square of the widths between two cells in a column. */
static inline int
square_gap(int difference)
{
	int			gap = (difference < 0 ? -difference : difference) - 1;

	return gap > 0 ? gap * gap : 0;
}

static inline int64_t
get_key(const Grid *g, const int32_t *at)
{
	int64_t		key = at[0];

	for (int j = 1; j < g->c->d; j++)
		key = key * g->count[j] + at[j];
	return key;
}

static void
begin_sweep(Sweep *s, const Grid *g)
{
	int			d = g->c->d;
	int			x_reach = d > 1 ? g->reach : 0;
	int			y_reach = d > 2 ? g->reach : 0;

	s->grid = g;
	s->nrows = 0;
	for (int x = -x_reach; x <= x_reach; x++)
	{
		for (int y = -y_reach; y <= y_reach; y++)
		{
			Row			row = {{x, y}, square_gap(x) + square_gap(y), 0};

			if (row.gap <= d)
				s->rows[s->nrows++] = row;
		}
	}
}

/* Where a row begins to be near a cell; false: it is outside of the grid. */
static bool
place_row(const Grid *g, const Row *row, const Cell *cell, int32_t *at)
{
	int			last = g->c->d - 1;

	for (int j = 0; j < last; j++)
	{
		at[j] = cell->at[j] + row->difference[j];
		if (at[j] < 0 || at[j] >= g->count[j])
			return false;
	}
	at[last] = cell->at[last] > g->reach ? cell->at[last] - g->reach : 0;
	return true;
}

/* The cells near the next cell, itself not among them. */
static int
list_near(Sweep *s, const Cell *cell, uint32_t *list)
{
	const Grid *g = s->grid;
	int			last = g->c->d - 1;
	int			n = 0;

	for (int r = 0; r < s->nrows; r++)
	{
		Row		   *row = &s->rows[r];
		int32_t		at[SP_DBSCAN_GRID_COLUMNS];
		int64_t		first;
		int64_t		end;

		if (!place_row(g, row, cell, at))
			continue;
		first = get_key(g, at);
		end = first - at[last] + cell->at[last] + g->reach;
		if (cell->at[last] + g->reach >= g->count[last])
			end = first - at[last] + g->count[last] - 1;
		while (row->cursor < g->ncells && get_key(g, g->cells[row->cursor].at) < first)
			row->cursor++;
		for (uint32_t i = row->cursor; i < g->ncells && get_key(g, g->cells[i].at) <= end; i++)
		{
			const Cell *other = &g->cells[i];

			if (other != cell &&
				row->gap + square_gap(other->at[last] - cell->at[last]) <= g->c->d)
				list[n++] = i;
		}
	}
	return n;
}

/* Can there be a grid?  Its cells are numbered by integers, and rounding must be far below them. */
static bool
begin_grid(Grid *g, const SpMatrix *points)
{
	Clustering *c = g->c;
	double		cells = 1;

	if (c->d > SP_DBSCAN_GRID_COLUMNS)
		return false;
	g->reach = c->d == 1 ? 1 : 2;
	/* a little less than what the diagonal allows, so that rounding doesn't matter */
	g->width = c->eps / sqrt(c->d) * (1 - 1e-9);
	for (int j = 0; j < c->d; j++)
	{
		double		min = points->x[j];
		double		max = min;

		for (size_t i = 1; i < points->n; i++)
		{
			double		v = points->x[i * (size_t) c->d + (size_t) j];

			min = v < min ? v : min;
			max = v > max ? v : max;
		}
		g->min[j] = min;
		if ((max - min) / g->width > MAX_CELLS ||
			fmax(fabs(min), fabs(max)) * DBL_EPSILON > g->width * 1e-10)
			return false;
		g->count[j] = (int64_t) ((max - min) / g->width) + 1;
		cells *= (double) g->count[j];
	}
	return cells < MAX_KEY;
}

/* The cells of sorted keys. */
static void
list_cells(Grid *g, const SpKeyed *keyed)
{
	for (size_t i = 0; i < g->c->n; i++)
	{
		Cell	   *cell;
		int64_t		key = (int64_t) keyed[i].key;

		if (i == 0 || keyed[i].key != keyed[i - 1].key)
		{
			cell = &g->cells[g->ncells++];
			memset(cell, 0, sizeof(Cell));
			cell->first = (uint32_t) i;
			for (int j = g->c->d - 1; j >= 0; j--)
			{
				cell->at[j] = (int32_t) (key % g->count[j]);
				key /= g->count[j];
			}
		}
		g->cells[g->ncells - 1].n++;
	}
}

/* Sort the points by their cells. */
static void
fill_grid(Grid *g, const SpMatrix *points, double *x, uint32_t *order)
{
	SpWork	   *work = g->c->work;
	size_t		d = (size_t) g->c->d;
	SpKeyed    *keyed = work->allocate(work, points->n * sizeof(SpKeyed));
	uint32_t	ncells = 0;

	for (size_t i = 0; i < points->n; i++)
	{
		int32_t		at[SP_DBSCAN_GRID_COLUMNS];

		for (size_t j = 0; j < d; j++)
			at[j] = (int32_t) ((points->x[i * d + j] - g->min[j]) / g->width);
		keyed[i].key = (uint64_t) get_key(g, at);
		keyed[i].number = (uint32_t) i;
	}
	sp_sort(keyed, points->n, work);
	for (size_t i = 0; i < points->n; i++)
	{
		order[i] = keyed[i].number;
		memcpy(x + i * d, points->x + keyed[i].number * d, d * sizeof(double));
		ncells += i == 0 || keyed[i].key != keyed[i - 1].key;
	}
	g->cells = work->allocate(work, ncells * sizeof(Cell));
	list_cells(g, keyed);
	work->release(work, keyed);
}

/* Are at least min_points near a point of the cell? */
static bool
is_core(const Grid *g, const Cell *cell, uint32_t place, const uint32_t *near, int nnear)
{
	uint32_t	n = cell->n;

	for (int i = 0; i < nnear; i++)
	{
		const Cell *other = &g->cells[near[i]];

		for (uint32_t p = other->first; p < other->first + other->n; p++)
		{
			n += is_near(g->c, place, p);
			if (n >= g->c->min_points)
				return true;
		}
	}
	return n >= g->c->min_points;
}

static void
find_core(Grid *g)
{
	Clustering *c = g->c;
	uint32_t	near[MAX_NEAR];
	Sweep		sweep;

	begin_sweep(&sweep, g);
	for (uint32_t i = 0; i < g->ncells; i++)
	{
		Cell	   *cell = &g->cells[i];
		int			nnear = cell->n < c->min_points ? list_near(&sweep, cell, near) : 0;

		for (uint32_t p = cell->first; p < cell->first + cell->n; p++)
		{
			c->core[p] = is_core(g, cell, p, near, nnear);
			cell->ncore += c->core[p];
			/* core points of a cell are of one cluster */
			if (!c->core[p])
				continue;
			if (cell->ncore == 1)
				cell->core = p;
			unite(c, cell->core, p);
		}
		if (i % BLOCK == 0)
			c->work->check(c->work);
	}
}

/* Is a point near the room of a cell?  No more than a bound: some that aren't are said to be. */
static bool
is_near_room(const Grid *g, uint32_t place, const Cell *cell)
{
	const double *x = get_point(g->c, place);
	double		sum = 0;

	for (int j = 0; j < g->c->d; j++)
	{
		double		low = g->min[j] + g->width * cell->at[j];
		double		high = low + g->width;
		double		off = x[j] < low ? low - x[j] : x[j] > high ? x[j] - high : 0;

		sum += off * off;
	}
	return sum <= g->c->eps * g->c->eps * (1 + 1e-6);
}

/* Is a core point of one cell near one of the other? */
static bool
touch(const Grid *g, const Cell *a, const Cell *b)
{
	const Clustering *c = g->c;

	for (uint32_t p = a->core; p < a->first + a->n; p++)
	{
		if (!c->core[p] || !is_near_room(g, p, b))
			continue;
		for (uint32_t q = b->core; q < b->first + b->n; q++)
		{
			if (c->core[q] && is_near(c, p, q))
				return true;
		}
		c->work->check(c->work);
	}
	return false;
}

/* Which cells' core points are of one cluster. */
static void
join_cells(Grid *g)
{
	Clustering *c = g->c;
	uint32_t	near[MAX_NEAR];
	Sweep		sweep;

	begin_sweep(&sweep, g);
	for (uint32_t i = 0; i < g->ncells; i++)
	{
		const Cell *cell = &g->cells[i];
		int			nnear = cell->ncore > 0 ? list_near(&sweep, cell, near) : 0;

		for (int k = 0; k < nnear; k++)
		{
			const Cell *other = &g->cells[near[k]];

			if (near[k] < i && other->ncore > 0 &&
				find_root(c, cell->core) != find_root(c, other->core) && touch(g, cell, other))
				unite(c, cell->core, other->core);
		}
		if (i % BLOCK == 0)
			c->work->check(c->work);
	}
}

/* The least label of the core points near a point, of these cells. */
static uint32_t
find_label(const Grid *g, const Cell *cell, uint32_t place, const uint32_t *near, int nnear)
{
	const Clustering *c = g->c;
	uint32_t	label = cell->ncore > 0 ? c->label[cell->core] : NONE;

	for (int k = 0; k < nnear; k++)
	{
		const Cell *other = &g->cells[near[k]];

		/* all core points of a cell have one label */
		if (other->ncore == 0 || c->label[other->core] >= label)
			continue;
		for (uint32_t p = other->core; p < other->first + other->n; p++)
		{
			if (c->core[p] && is_near(c, place, p))
			{
				label = c->label[p];
				break;
			}
		}
	}
	return label;
}

static void
label_border(Grid *g)
{
	Clustering *c = g->c;
	uint32_t	near[MAX_NEAR];
	Sweep		sweep;

	begin_sweep(&sweep, g);
	for (uint32_t i = 0; i < g->ncells; i++)
	{
		const Cell *cell = &g->cells[i];
		int			nnear = cell->ncore < cell->n ? list_near(&sweep, cell, near) : 0;

		for (uint32_t p = cell->first; p < cell->first + cell->n; p++)
		{
			if (!c->core[p])
				c->label[p] = find_label(g, cell, p, near, nnear);
		}
		if (i % BLOCK == 0)
			c->work->check(c->work);
	}
}

static void
cluster_on_grid(Grid *g)
{
	find_core(g);
	join_cells(g);
	number_clusters(g->c);
	label_border(g);
	g->c->work->release(g->c->work, g->cells);
}

/* ---- the kernel ---- */

/* The clusters of points on their scale. */
static void
cluster(Clustering *c, const SpMatrix *points, double *labels)
{
	SpWork	   *work = c->work;
	Grid		grid = {.c = c};
	SpKdTree	tree;
	bool		has_grid = begin_grid(&grid, points);

	c->core = work->allocate(work, c->n * sizeof(bool));
	c->parent = work->allocate(work, c->n * sizeof(uint32_t));
	c->label = work->allocate(work, c->n * sizeof(uint32_t));
	memset(c->core, 0, c->n * sizeof(bool));
	for (size_t i = 0; i < c->n; i++)
		c->parent[i] = (uint32_t) i;
	if (has_grid)
	{
		double	   *x = work->allocate(work, c->n * (size_t) c->d * sizeof(double));
		uint32_t   *order = work->allocate(work, c->n * sizeof(uint32_t));

		fill_grid(&grid, points, x, order);
		c->x = x;
		c->order = order;
		cluster_on_grid(&grid);
	}
	else
	{
		sp_kd_build(&tree, points, work);
		c->x = tree.x;
		c->order = tree.order;
		cluster_in_tree(c, &tree);
	}
	for (size_t i = 0; i < c->n; i++)
		labels[c->order[i]] = c->label[i] == NONE ? NAN : c->label[i];
}

static void
score(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	const Params *p = params;
	Clustering	c = {.n = points->n, .d = points->d, .eps = p->eps, .work = work};
	SpMatrix	scaled = *points;

	c.min_points = (uint32_t) p->min_points;
	scaled.x = sp_scale_points((SpScale) p->scale, points, work);
	cluster(&c, &scaled, scores);
}

static const SpParam param_table[] = {
	{"eps", SP_PARAM_FLOAT, offsetof(Params, eps), NAN, DBL_MIN, 1e150,
	"how far neighbours are at most", NULL, "none: it must be given"},
	{"min_points", SP_PARAM_INT, offsetof(Params, min_points), 5, 1, INT32_MAX,
	"so many points within eps make a core point, itself included", NULL, NULL},
	{"scale", SP_PARAM_CHOICE, offsetof(Params, scale), SP_SCALE_NONE, 0, 0,
	"of the columns, in which eps is measured", sp_scale_names, NULL}
};

static double
estimate_memory(const void *params, double n, int d)
{
	(void) params;
	return n * (3.0 * d * sizeof(double) + 4 * sizeof(uint32_t) + 1 + sizeof(SpKdNode) / 4.0 +
				sizeof(Cell) + 2 * sizeof(SpKeyed)) + 1e6;
}

const SpBatchKernel sp_batch_dbscan = {
	.name = "dbscan",
	.summary = "the number of the cluster of dense points that a row belongs to; NULL is noise",
	.reference = "M. Ester, H.-P. Kriegel, J. Sander, X. Xu, KDD 1996",
	.is_label = true,
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(Params),
	.memory = estimate_memory,
	.score = score
};
