/*
 * test_cut_tree.c
 *	  Random cut trees: what inserting and deleting leave, how trees are distributed, and the
 *	  expected displacement against deleting and measuring.
 */
#include "kernel/online/cut_tree.h"
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STORE	1100

/* A tree with its store and memory. */
typedef struct Garden
{
	float	   *store;
	char	   *memory;
	size_t		bytes;
	SpCutTree	tree;
} Garden;

static void
plant(Garden *g, int size, int dims)
{
	g->store = calloc((size_t) STORE * dims, sizeof(float));
	g->bytes = sp_cut_tree_bytes(size, dims);
	check(g->bytes % 8 == 0);
	g->memory = calloc(1, g->bytes);
	g->tree = sp_cut_tree_view(g->memory, size, dims, g->store);
	check(sp_cut_tree_is_sound(&g->tree, STORE) && sp_cut_tree_mass(&g->tree) == 0);
}

static void
fell(Garden *g)
{
	free(g->store);
	free(g->memory);
}

/* ---- inserting and deleting ---- */

/*
 * Points by chance, on a grid so coarse that many are equal, come and go; what is left is sound,
 * and a point that goes at once leaves the tree as it was.
 */
static void
test_changes(int size, int dims, int grid)
{
	uint64_t	random = 7;
	uint16_t	held[SP_CUT_TREE_MAX_SIZE];
	int			count = 0;
	Garden		g;
	char	   *before;

	plant(&g, size, dims);
	before = malloc(g.bytes);
	for (int i = 0; i < STORE * dims; i++)
		g.store[i] = (float) (next_random(&random) % (uint64_t) grid) - 1.0f;
	for (int i = 0; i < 3000; i++)
	{
		uint16_t	point = (uint16_t) (next_random(&random) % STORE);

		if (count == size || (count > 0 && next_random(&random) % 3 == 0))
		{
			int			at = (int) (next_random(&random) % (uint64_t) count);

			sp_cut_tree_delete(&g.tree, held[at]);
			held[at] = held[--count];
		}
		else
		{
			uint16_t	number;

			memcpy(before, g.memory, g.bytes);
			number = sp_cut_tree_insert(&g.tree, point, next_random(&random));
			check(memcmp(g.store + number * dims, g.store + point * dims, dims * sizeof(float)) == 0);
			sp_cut_tree_delete(&g.tree, number);
			check(memcmp(before, g.memory, g.bytes) == 0);
			held[count++] = sp_cut_tree_insert(&g.tree, point, next_random(&random));
		}
		check(sp_cut_tree_mass(&g.tree) == count);
		check(i % 10 != 0 || sp_cut_tree_is_sound(&g.tree, STORE));
	}
	while (count > 0)
		sp_cut_tree_delete(&g.tree, held[--count]);
	for (size_t i = 0; i < g.bytes; i++)
		check(g.memory[i] == 0);
	free(before);
	fell(&g);
}

/*
 * Points on a line: the root's cut falls between two neighbours with a probability of
 * their distance by that of the ends, whatever the order and whatever came and went.
 */
static void
test_distribution(void)
{
	static const float values[] = {3, 0, 7, 1, -40, 5.5f, 100};
	static const double expected[] = {1 / 7.0, 2 / 7.0, 4 / 7.0};
	enum
	{
		ROUNDS = 30000
	};
	int			counts[3] = {0};
	uint64_t	random = 99;
	Garden		g;

	plant(&g, 8, 1);
	memcpy(g.store, values, sizeof(values));
	for (int i = 0; i < ROUNDS; i++)
	{
		uint16_t	order[7] = {0, 1, 2, 3, 4, 5, 6};
		const SpCutNode *root;
		int			left;

		for (int j = 6; j > 0; j--)
		{
			int			other = (int) (next_random(&random) % (uint64_t) (j + 1));
			uint16_t	number = order[j];

			order[j] = order[other];
			order[other] = number;
		}
		memset(g.memory, 0, g.bytes);
		for (int j = 0; j < 7; j++)
			sp_cut_tree_insert(&g.tree, order[j], next_random(&random));
		for (uint16_t j = 4; j < 7; j++)
			sp_cut_tree_delete(&g.tree, j);
		root = &g.tree.nodes[*g.tree.root];
		left = root->left >= 8 ? 1 : g.tree.nodes[root->left].mass;
		counts[left - 1]++;
	}
	for (int i = 0; i < 3; i++)
		check_near(counts[i] / (double) ROUNDS, expected[i],
				   4 * sqrt(expected[i] * (1 - expected[i]) / ROUNDS));
	fell(&g);
}

/* The dimension of a cut is chosen by the sides of the box. */
static void
test_dimensions(void)
{
	enum
	{
		ROUNDS = 20000
	};
	int			first = 0;
	uint64_t	random = 5;
	Garden		g;

	plant(&g, 8, 5);
	for (int i = 0; i < 6; i++)
	{
		g.store[i * 5] = 30.0f * i / 5;
		g.store[i * 5 + 4] = 10.0f * ((i * 2) % 6) / 4;
	}
	for (int i = 0; i < ROUNDS; i++)
	{
		memset(g.memory, 0, g.bytes);
		for (uint16_t j = 0; j < 6; j++)
			sp_cut_tree_insert(&g.tree, j, next_random(&random));
		first += g.tree.nodes[*g.tree.root].dim == 0;
		check(g.tree.nodes[*g.tree.root].dim % 4 == 0);
	}
	check_near(first / (double) ROUNDS, 0.75, 4 * sqrt(0.75 * 0.25 / ROUNDS));
	fell(&g);
}

/* ---- displacement ---- */

/* The depth of a point. */
static int
find_depth(const SpCutTree *tree, uint16_t point)
{
	const float *p = tree->points + (size_t) point * tree->dims;
	int			node = *tree->root;
	int			depth = 0;

	for (; node < tree->size; depth++)
		node = p[tree->nodes[node].dim] <= tree->nodes[node].cut ? tree->nodes[node].left :
			tree->nodes[node].right;
	return depth;
}

/*
 * CoDisp of a point in the tree by its definition: for each set of points that has it and is a
 * subtree, by how much all others come up when the set is deleted, by the size of the set.
 */
static double
measure_codisp(const SpCutTree *tree, const char *memory, size_t bytes, const uint16_t *points,
			   int count, uint16_t x)
{
	char	   *copy = malloc(bytes);
	double		most = 0;

	for (int up = 0; up < find_depth(tree, x); up++)
	{
		const float *p = tree->points + (size_t) x * tree->dims;
		SpCutTree	other;
		bool		in_set[32] = {false};
		int			top = *tree->root;
		int			size = 0;
		double		rise = 0;

		/* the subtree's root is `up` above the leaf of x */
		for (int d = find_depth(tree, x) - up; d > 0; d--)
			top = p[tree->nodes[top].dim] <= tree->nodes[top].cut ? tree->nodes[top].left :
				tree->nodes[top].right;
		for (int i = 0; i < count; i++)
		{
			const float *q = tree->points + (size_t) points[i] * tree->dims;
			int			node = *tree->root;

			while (node < tree->size && node != top)
				node = q[tree->nodes[node].dim] <= tree->nodes[node].cut ? tree->nodes[node].left :
					tree->nodes[node].right;
			in_set[i] = node == top;
			size += in_set[i];
		}
		memcpy(copy, memory, bytes);
		other = sp_cut_tree_view(copy, tree->size, tree->dims, tree->points);
		for (int i = 0; i < count; i++)
		{
			if (in_set[i])
				sp_cut_tree_delete(&other, points[i]);
		}
		for (int i = 0; i < count; i++)
		{
			if (!in_set[i])
				rise += find_depth(tree, points[i]) - find_depth(&other, points[i]);
		}
		most = fmax(most, rise / size);
	}
	free(copy);
	return most;
}

/* The score against the mean over many insertions of the point. */
static void
test_displacement(int seed, int grid)
{
	enum
	{
		N = 12,
		DIMS = 3,
		ROUNDS = 4000
	};
	uint64_t	random = 1000 + (uint64_t) seed;
	uint16_t	points[N + 1];
	double		parts[DIMS] = {0};
	double		sum = 0;
	double		squares = 0;
	double		score;
	char	   *before;
	Garden		g;

	plant(&g, 16, DIMS);
	before = malloc(g.bytes);
	for (int i = 0; i < (N + 1) * DIMS; i++)
		g.store[i] = grid > 0 ? (float) (next_random(&random) % (uint64_t) grid) :
			(float) next_uniform(&random);
	if (seed % 3 == 0)
		g.store[N * DIMS + 1] = 2.5f;
	for (uint16_t i = 0; i < N; i++)
		points[i] = sp_cut_tree_insert(&g.tree, i, next_random(&random));
	memcpy(before, g.memory, g.bytes);
	score = sp_cut_tree_score(&g.tree, g.store + N * DIMS, parts);
	check(memcmp(before, g.memory, g.bytes) == 0);
	check(sp_cut_tree_score(&g.tree, g.store + N * DIMS, NULL) == score);
	check_near(parts[0] + parts[1] + parts[2], score, 1e-12);
	for (int i = 0; i < ROUNDS; i++)
	{
		double		codisp;

		points[N] = sp_cut_tree_insert(&g.tree, N, next_random(&random));
		codisp = measure_codisp(&g.tree, g.memory, g.bytes, points, N + 1, points[N]);
		sum += codisp;
		squares += codisp * codisp;
		sp_cut_tree_delete(&g.tree, points[N]);
	}
	sum /= ROUNDS;
	check_near(score, sum, 4.5 * sqrt(fmax(squares / ROUNDS - sum * sum, 0) / ROUNDS) + 1e-9);
	free(before);
	fell(&g);
}

/* A far point displaces all; among equal points none does, and any other one does. */
static void
test_extremes(void)
{
	float		p[2] = {1000, 0};
	double		parts[2] = {0};
	uint64_t	random = 3;
	Garden		g;

	plant(&g, 256, 2);
	check(sp_cut_tree_score(&g.tree, p, NULL) == 0.0);
	for (uint16_t i = 0; i < 256; i++)
	{
		g.store[2 * i] = (float) next_uniform(&random);
		g.store[2 * i + 1] = (float) next_uniform(&random);
		sp_cut_tree_insert(&g.tree, i, next_random(&random));
	}
	check(sp_cut_tree_score(&g.tree, p, parts) > 254);
	check(parts[0] > 254 && parts[1] < 1);
	fell(&g);

	plant(&g, 256, 2);
	for (uint16_t i = 0; i < 256; i++)
		check(sp_cut_tree_insert(&g.tree, i, next_random(&random)) == 0);
	p[0] = 0;
	check(sp_cut_tree_score(&g.tree, p, NULL) == 0.0);
	p[1] = -1e-30f;
	check(sp_cut_tree_score(&g.tree, p, NULL) == 256.0);
	fell(&g);
}

/* ---- soundness ---- */

/* Whatever is changed in a tree is noticed, or does no harm. */
static void
test_soundness(void)
{
	uint64_t	random = 13;
	int			refused = 0;
	char	   *good;
	Garden		g;

	plant(&g, 16, 2);
	good = malloc(g.bytes);
	for (int i = 0; i < 2 * STORE; i++)
		g.store[i] = (float) (next_random(&random) % 5);
	for (uint16_t i = 0; i < 14; i++)
		sp_cut_tree_insert(&g.tree, i, next_random(&random));
	memcpy(good, g.memory, g.bytes);
	for (int i = 0; i < 20000; i++)
	{
		memcpy(g.memory, good, g.bytes);
		for (uint64_t edits = 1 + next_random(&random) % 2; edits > 0; edits--)
		{
			uint64_t	at = next_random(&random) % g.bytes;

			g.memory[at] = (char) (next_random(&random) % 3 == 0 ? next_random(&random) :
								   next_random(&random) % 34);
		}
		if (!sp_cut_tree_is_sound(&g.tree, STORE))
		{
			refused++;
			continue;
		}
		for (int j = 0; j < 20; j++)
		{
			uint16_t	point = (uint16_t) (next_random(&random) % STORE);
			double		parts[2] = {0};
			uint16_t	number;

			check(sp_cut_tree_score(&g.tree, g.store + 2 * point, parts) >= 0.0);
			number = sp_cut_tree_insert(&g.tree, point, next_random(&random));
			check(sp_cut_tree_is_sound(&g.tree, STORE));
			sp_cut_tree_delete(&g.tree, number);
		}
	}
	check(refused > 6000 && refused < 20000);
	free(good);
	fell(&g);
}

int
main(void)
{
	test_changes(64, 3, 4);
	test_changes(256, 5, 1000000);
	test_changes(32, 1, 3);
	test_changes(16, 8, 1);
	test_distribution();
	test_dimensions();
	for (int seed = 0; seed < 12; seed++)
		test_displacement(seed, seed % 2 == 0 ? 0 : 3);
	test_extremes();
	test_soundness();
	return failures > 0;
}
