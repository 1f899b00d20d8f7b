/*
 * cut_tree.c
 *	  One random cut tree in flat memory.
 *
 * The method is in cut_tree.h.
 */
#include "kernel/online/cut_tree.h"

#include <math.h>
#include <string.h>

#include "kernel/online/random.h"

/* Sums are of four lanes, of every fourth dimension, so that a compiler may do four at once; and the rest. */
#define LANES	4

size_t
sp_cut_tree_bytes(int size, int dims)
{
	size_t		bytes = (size_t) size * (2 * (size_t) dims * sizeof(float) + sizeof(SpCutNode) +
										 2 * sizeof(uint16_t)) + sizeof(uint16_t);

	return (bytes + 7) & ~(size_t) 7;
}

SpCutTree
sp_cut_tree_view(void *memory, int size, int dims, const float *points)
{
	SpCutTree	tree;

	tree.size = size;
	tree.dims = dims;
	tree.points = points;
	tree.boxes = memory;
	tree.nodes = (SpCutNode *) (tree.boxes + (size_t) size * 2 * (size_t) dims);
	tree.leaf_points = (uint16_t *) (tree.nodes + size);
	tree.leaf_masses = tree.leaf_points + size;
	tree.root = tree.leaf_masses + size;
	return tree;
}

static inline bool
is_leaf(const SpCutTree *tree, int node)
{
	return node >= tree->size;
}

static inline int
get_mass(const SpCutTree *tree, int node)
{
	return is_leaf(tree, node) ? tree->leaf_masses[node - tree->size] : tree->nodes[node].mass;
}

static inline const float *
get_point(const SpCutTree *tree, uint16_t point)
{
	return tree->points + (size_t) point * (size_t) tree->dims;
}

static inline float *
get_box(const SpCutTree *tree, int node)
{
	return tree->boxes + (size_t) node * 2 * (size_t) tree->dims;
}

/* A node's bounds in each dimension; of a leaf both are its point. */
static inline void
get_bounds(const SpCutTree *tree, int node, const float **low, const float **high)
{
	if (is_leaf(tree, node))
		*low = *high = get_point(tree, tree->leaf_points[node - tree->size]);
	else
	{
		*low = get_box(tree, node);
		*high = *low + tree->dims;
	}
}

/* How far p is outside in a dimension. */
static inline float
get_growth(float low, float high, float p)
{
	float		below = low - p;
	float		above = p - high;
	float		more = below > above ? below : above;

	return more > 0.0f ? more : 0.0f;
}

/* How much the box had to grow to have p, and the sum of its sides. */
static inline float
measure(const float *low, const float *high, const float *p, int dims, float *sides)
{
	float		growth[LANES] = {0.0f};
	float		side[LANES] = {0.0f};
	float		rest_growth = 0.0f;
	float		rest_side = 0.0f;
	int			whole = dims - dims % LANES;

	for (int d = 0; d < whole; d += LANES)
	{
		for (int i = 0; i < LANES; i++)
		{
			growth[i] += get_growth(low[d + i], high[d + i], p[d + i]);
			side[i] += high[d + i] - low[d + i];
		}
	}
	for (int d = whole; d < dims; d++)
	{
		rest_growth += get_growth(low[d], high[d], p[d]);
		rest_side += high[d] - low[d];
	}
	*sides = (side[0] + side[1]) + (side[2] + side[3]) + rest_side;
	return (growth[0] + growth[1]) + (growth[2] + growth[3]) + rest_growth;
}

int
sp_cut_tree_mass(const SpCutTree *tree)
{
	return get_mass(tree, *tree->root);
}

/* ---- insertion and deletion ---- */

/* The box of a node that gets a point. */
static void
grow_box(float *box, const float *p, int dims)
{
	for (int d = 0; d < dims; d++)
	{
		if (p[d] < box[d])
			box[d] = p[d];
		if (p[d] > box[dims + d])
			box[dims + d] = p[d];
	}
}

/* Make a node's box that of its children. */
static void
unite_boxes(const SpCutTree *tree, int node)
{
	float	   *box = get_box(tree, node);
	const float *low;
	const float *high;
	const float *other_low;
	const float *other_high;

	get_bounds(tree, tree->nodes[node].left, &low, &high);
	get_bounds(tree, tree->nodes[node].right, &other_low, &other_high);
	for (int d = 0; d < tree->dims; d++)
	{
		box[d] = low[d] < other_low[d] ? low[d] : other_low[d];
		box[tree->dims + d] = high[d] > other_high[d] ? high[d] : other_high[d];
	}
}

/* Let another node take the place of a parent's child; parent < 0: of the root. */
static void
replace_child(SpCutTree *tree, int parent, int child, int with)
{
	if (parent < 0)
		*tree->root = (uint16_t) with;
	else if (tree->nodes[parent].left == child)
		tree->nodes[parent].left = (uint16_t) with;
	else
		tree->nodes[parent].right = (uint16_t) with;
}

static int
find_free_leaf(const SpCutTree *tree)
{
	int			leaf = 0;

	while (leaf < tree->size - 1 && tree->leaf_masses[leaf] != 0)
		leaf++;
	return leaf;
}

static int
find_free_node(const SpCutTree *tree)
{
	int			node = 0;

	while (node < tree->size - 1 && tree->nodes[node].mass != 0)
		node++;
	return node;
}

/*
 * Choose the cut between a node's box and a point outside: at `place` of 0 to 1 of all that the
 * box grows by.  Returns whether the point is on the left.
 */
static bool
choose_cut(const SpCutTree *tree, int node, const float *p, double place, SpCutNode *chosen)
{
	const float *low;
	const float *high;
	float		sides;
	double		rest;
	int			dim = -1;
	double		offset = 0.0;

	get_bounds(tree, node, &low, &high);
	rest = place * measure(low, high, p, tree->dims, &sides);
	for (int d = 0; d < tree->dims && rest >= 0.0; d++)
	{
		double		growth = get_growth(low[d], high[d], p[d]);

		if (growth == 0.0)
			continue;
		dim = d;
		offset = rest;
		rest -= growth;
	}
	chosen->dim = (uint16_t) dim;
	if (p[dim] < low[dim])
	{
		chosen->cut = (float) (p[dim] + offset);
		if (!(chosen->cut < low[dim]))
			chosen->cut = p[dim];
		return true;
	}
	chosen->cut = (float) (high[dim] + offset);
	if (!(chosen->cut < p[dim]))
		chosen->cut = high[dim];
	return false;
}

/* Put a new leaf with the point beside a node. */
static void
cut_off(SpCutTree *tree, int parent, int node, uint16_t point, double place)
{
	int			leaf = find_free_leaf(tree);
	int			added = find_free_node(tree);
	SpCutNode	made;
	bool		goes_left = choose_cut(tree, node, get_point(tree, point), place, &made);

	tree->leaf_points[leaf] = point;
	tree->leaf_masses[leaf] = 1;
	leaf += tree->size;
	made.mass = (uint16_t) (get_mass(tree, node) + 1);
	made.left = (uint16_t) (goes_left ? leaf : node);
	made.right = (uint16_t) (goes_left ? node : leaf);
	tree->nodes[added] = made;
	unite_boxes(tree, added);
	replace_child(tree, parent, node, added);
}

uint16_t
sp_cut_tree_insert(SpCutTree *tree, uint16_t point, uint64_t sequence)
{
	const float *p = get_point(tree, point);
	int			parent = -1;
	int			node = *tree->root;

	if (get_mass(tree, node) == 0)
	{
		*tree->root = (uint16_t) tree->size;
		tree->leaf_points[0] = point;
		tree->leaf_masses[0] = 1;
		return point;
	}
	for (uint64_t depth = 0;; depth++)
	{
		const float *low;
		const float *high;
		float		sides;
		float		growth;

		get_bounds(tree, node, &low, &high);
		growth = measure(low, high, p, tree->dims, &sides);
		if (growth > 0.0f &&
			sp_random_uniform(sp_random_at(sequence, 2 * depth)) * ((double) sides + growth) < growth)
		{
			cut_off(tree, parent, node, point,
					sp_random_uniform(sp_random_at(sequence, 2 * depth + 1)));
			return point;
		}
		if (is_leaf(tree, node))
		{
			tree->leaf_masses[node - tree->size]++;
			return tree->leaf_points[node - tree->size];
		}
		if (growth > 0.0f)
			grow_box(get_box(tree, node), p, tree->dims);
		tree->nodes[node].mass++;
		parent = node;
		node = p[tree->nodes[node].dim] <= tree->nodes[node].cut ? tree->nodes[node].left :
			tree->nodes[node].right;
	}
}

/* Does p lie on a side of the box, which may be nearer without it? */
static bool
is_on_side(const float *box, const float *p, int dims)
{
	for (int d = 0; d < dims; d++)
	{
		if ((p[d] == box[d] || p[d] == box[dims + d]) && box[d] < box[dims + d])
			return true;
	}
	return false;
}

void
sp_cut_tree_delete(SpCutTree *tree, uint16_t point)
{
	const float *p = get_point(tree, point);
	uint16_t	path[SP_CUT_TREE_MAX_SIZE];
	int			depth = 0;
	int			node = *tree->root;
	int			parent;
	int			sibling;

	for (; !is_leaf(tree, node); depth++)
	{
		path[depth] = (uint16_t) node;
		tree->nodes[node].mass--;
		node = p[tree->nodes[node].dim] <= tree->nodes[node].cut ? tree->nodes[node].left :
			tree->nodes[node].right;
	}
	if (--tree->leaf_masses[node - tree->size] > 0)
		return;

	tree->leaf_points[node - tree->size] = 0;
	if (depth == 0)
	{
		*tree->root = 0;
		return;
	}
	parent = path[--depth];
	sibling = tree->nodes[parent].left == node ? tree->nodes[parent].right :
		tree->nodes[parent].left;
	replace_child(tree, depth > 0 ? path[depth - 1] : -1, parent, sibling);
	memset(&tree->nodes[parent], 0, sizeof(SpCutNode));
	memset(get_box(tree, parent), 0, 2 * (size_t) tree->dims * sizeof(float));
	/* boxes above have all of those below: where p is inside, it is inside above */
	while (--depth >= 0 && is_on_side(get_box(tree, path[depth]), p, tree->dims))
		unite_boxes(tree, path[depth]);
}

/* ---- scores ---- */

/* Add to the parts of the dimensions in which p is outside of the box, in proportion. */
static void
add_growth(const float *low, const float *high, const float *p, int dims, double amount,
		   double *parts)
{
	double		sum = 0.0;

	for (int d = 0; d < dims; d++)
		sum += get_growth(low[d], high[d], p[d]);
	for (int d = 0; d < dims; d++)
		parts[d] += amount * (get_growth(low[d], high[d], p[d]) / sum);
}

double
sp_cut_tree_score(const SpCutTree *tree, const float *p, double *parts)
{
	double		score = 0.0;
	double		reached = 1.0;	/* the probability that the point isn't cut off above */
	double		above = 0.0;	/* the displacement by subtrees above, */
	int			above_dim = 0;	/* and the dimension of the cut that made it */
	int			node = *tree->root;

	if (get_mass(tree, node) == 0)
		return 0.0;
	for (;;)
	{
		int			mass = get_mass(tree, node);
		const float *low;
		const float *high;
		float		sides;
		float		growth;
		const SpCutNode *inner;
		bool		goes_left;
		double		displacement;

		get_bounds(tree, node, &low, &high);
		growth = measure(low, high, p, tree->dims, &sides);
		if (growth > 0.0f)
		{
			double		cut_off = reached * (growth / ((double) sides + growth));

			score += cut_off * (mass > above ? mass : above);
			if (parts != NULL && mass > above)
				add_growth(low, high, p, tree->dims, cut_off * mass, parts);
			else if (parts != NULL)
				parts[above_dim] += cut_off * above;
			reached *= sides / ((double) sides + growth);
		}
		if (is_leaf(tree, node) || reached == 0.0)
			break;
		inner = &tree->nodes[node];
		goes_left = p[inner->dim] <= inner->cut;
		node = goes_left ? inner->left : inner->right;
		displacement = (double) get_mass(tree, goes_left ? inner->right : inner->left) /
			(get_mass(tree, node) + 1);
		if (displacement > above)
		{
			above = displacement;
			above_dim = inner->dim;
		}
	}
	/* an equal point is there (a leaf has no sides, and cuts off every other) */
	if (parts != NULL)
		parts[above_dim] += reached * above;
	return score + reached * above;
}

/* ---- soundness ---- */

/* Do an inner node's children, cut, mass and box agree? */
static bool
is_node_sound(const SpCutTree *tree, int node)
{
	const SpCutNode *inner = &tree->nodes[node];
	const float *box = get_box(tree, node);
	const float *low;
	const float *high;
	const float *other_low;
	const float *other_high;

	if (inner->dim >= tree->dims || inner->mass !=
		get_mass(tree, inner->left) + get_mass(tree, inner->right))
		return false;
	get_bounds(tree, inner->left, &low, &high);
	get_bounds(tree, inner->right, &other_low, &other_high);
	if (!(high[inner->dim] <= inner->cut && inner->cut < other_low[inner->dim]))
		return false;
	for (int d = 0; d < tree->dims; d++)
	{
		if (!(box[d] == (low[d] < other_low[d] ? low[d] : other_low[d])) ||
			!(box[tree->dims + d] == (high[d] > other_high[d] ? high[d] : other_high[d])))
			return false;
	}
	return true;
}

/* A child's number is one, it is in use and wasn't come to before. */
static bool
visit(const SpCutTree *tree, int node, int points, bool *visited)
{
	if (node >= 2 * tree->size || visited[node] || get_mass(tree, node) == 0)
		return false;
	visited[node] = true;
	return !is_leaf(tree, node) || tree->leaf_points[node - tree->size] < points;
}

bool
sp_cut_tree_is_sound(const SpCutTree *tree, int points)
{
	bool		visited[2 * SP_CUT_TREE_MAX_SIZE] = {false};
	uint16_t	stack[SP_CUT_TREE_MAX_SIZE];
	int			depth = 0;
	int			used = 0;
	int			reached = 0;

	for (int node = 0; node < 2 * tree->size; node++)
		used += get_mass(tree, node) > 0;
	if (used == 0)
		return *tree->root == 0;
	if (!visit(tree, *tree->root, points, visited))
		return false;
	stack[depth++] = *tree->root;
	while (depth > 0)
	{
		int			node = stack[--depth];

		reached++;
		if (is_leaf(tree, node))
			continue;
		if (!visit(tree, tree->nodes[node].left, points, visited) ||
			!visit(tree, tree->nodes[node].right, points, visited) || !is_node_sound(tree, node) ||
			depth + 2 > SP_CUT_TREE_MAX_SIZE)
			return false;
		stack[depth++] = tree->nodes[node].left;
		stack[depth++] = tree->nodes[node].right;
	}
	return reached == used;
}
