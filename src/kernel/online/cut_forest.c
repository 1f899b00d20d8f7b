/*
 * cut_forest.c
 *	  Random cut trees of time-decayed samples, in flat memory.
 *
 * What is where is in cut_forest.h.
 */
#include "kernel/online/cut_forest.h"

#include <math.h>
#include <string.h>

#include "kernel/online/cut_tree.h"
#include "kernel/online/random.h"

/* With less, keys hardly grow in all the time there is. */
#define LEAST_DECAY	1e-15

/* A tree's sample. */
typedef struct Reservoir
{
	SpCutTree	tree;
	uint64_t   *taken;
	float	   *keys;			/* the largest one first */
	uint16_t   *points;
} Reservoir;

static size_t
align8(size_t bytes)
{
	return (bytes + 7) & ~(size_t) 7;
}

/* Bytes of a tree with its sample. */
static size_t
get_reservoir_bytes(int size, int dims)
{
	return sp_cut_tree_bytes(size, dims) + sizeof(uint64_t) +
		align8((size_t) size * (sizeof(float) + sizeof(uint16_t)));
}

size_t
sp_cut_forest_bytes(int trees, int size, int dims)
{
	size_t		places = (size_t) trees * (size_t) size;

	return sizeof(uint64_t) + align8(places * (size_t) dims * sizeof(float)) +
		align8(places * sizeof(uint16_t)) + (size_t) trees * get_reservoir_bytes(size, dims);
}

SpCutForest
sp_cut_forest_view(void *memory, int trees, int size, int dims, double decay, uint64_t seed)
{
	SpCutForest forest;
	char	   *at = memory;

	forest.trees = trees;
	forest.size = size;
	forest.dims = dims;
	forest.places = trees * size;
	forest.decay = decay;
	forest.seed = seed;
	forest.next = (uint64_t *) at;
	at += sizeof(uint64_t);
	forest.store = (float *) at;
	at += align8((size_t) forest.places * (size_t) dims * sizeof(float));
	forest.counts = (uint16_t *) at;
	forest.reservoirs = at + align8((size_t) forest.places * sizeof(uint16_t));
	forest.reservoir_bytes = get_reservoir_bytes(size, dims);
	return forest;
}

static Reservoir
get_reservoir(const SpCutForest *forest, int tree)
{
	Reservoir	r;
	char	   *at = forest->reservoirs + forest->reservoir_bytes * (size_t) tree;

	r.tree = sp_cut_tree_view(at, forest->size, forest->dims, forest->store);
	r.taken = (uint64_t *) (at + sp_cut_tree_bytes(forest->size, forest->dims));
	r.keys = (float *) (r.taken + 1);
	r.points = (uint16_t *) (r.keys + forest->size);
	return r;
}

/* Exchange two places of the heap. */
static void
swap_places(Reservoir *r, uint64_t a, uint64_t b)
{
	float		key = r->keys[a];
	uint16_t	point = r->points[a];

	r->keys[a] = r->keys[b];
	r->points[a] = r->points[b];
	r->keys[b] = key;
	r->points[b] = point;
}

/* Put the last place where it belongs. */
static void
sift_up(Reservoir *r, uint64_t at)
{
	for (; at > 0 && r->keys[(at - 1) / 2] < r->keys[at]; at = (at - 1) / 2)
		swap_places(r, at, (at - 1) / 2);
}

/* Put the first one there. */
static void
sift_down(Reservoir *r)
{
	uint64_t	at = 0;

	while (2 * at + 1 < *r->taken)
	{
		uint64_t	child = 2 * at + 1;

		if (child + 1 < *r->taken && r->keys[child + 1] > r->keys[child])
			child++;
		if (!(r->keys[child] > r->keys[at]))
			break;
		swap_places(r, at, child);
		at = child;
	}
}

/* Events after which keys are moved, so that they never grow beyond float32. */
static uint64_t
get_period(const SpCutForest *forest)
{
	return forest->decay > LEAST_DECAY ? (uint64_t) ceil(1.0 / forest->decay) : UINT64_MAX;
}

/* Keys are of time 0 = the last multiple of the period: it has come again. */
static void
move_keys(const SpCutForest *forest)
{
	float		step = (float) (forest->decay * (double) get_period(forest));

	for (int tree = 0; tree < forest->trees; tree++)
	{
		Reservoir	r = get_reservoir(forest, tree);

		for (uint64_t i = 0; i < *r.taken; i++)
			r.keys[i] += step;
	}
}

/* A point of the store that no sample has; there is one, as a sample has a free place. */
static uint16_t
take_point(const SpCutForest *forest, const float *p)
{
	uint64_t	at = *forest->next;

	while (forest->counts[at] != 0)
		at = at + 1 < (uint64_t) forest->places ? at + 1 : 0;
	*forest->next = at;
	memcpy(forest->store + at * (size_t) forest->dims, p, (size_t) forest->dims * sizeof(float));
	return (uint16_t) at;
}

/* Let a tree's sample draw the point, whose number is -1 until it is in the store. */
static void
offer(const SpCutForest *forest, int tree, const float *p, uint64_t time, int *point)
{
	Reservoir	r = get_reservoir(forest, tree);
	uint64_t	sequence = sp_random_at(sp_random_at(forest->seed, (uint64_t) tree), time);
	float		key = (float) (log(-log(sp_random_uniform(sequence))) -
							   forest->decay * (double) (time % get_period(forest)));
	uint64_t	place = *r.taken;
	uint16_t	number;

	if (place == (uint64_t) forest->size)
	{
		if (!(key < r.keys[0]))
			return;
		place = 0;
		sp_cut_tree_delete(&r.tree, r.points[0]);
		forest->counts[r.points[0]]--;
	}
	if (*point < 0)
		*point = take_point(forest, p);
	number = sp_cut_tree_insert(&r.tree, (uint16_t) *point, sequence);
	forest->counts[number]++;
	r.keys[place] = key;
	r.points[place] = number;
	if (place == 0 && *r.taken == (uint64_t) forest->size)
		sift_down(&r);
	else
	{
		(*r.taken)++;
		sift_up(&r, place);
	}
}

void
sp_cut_forest_add(const SpCutForest *forest, const float *p, uint64_t time)
{
	int			point = -1;

	for (int tree = 0; tree < forest->trees; tree++)
		offer(forest, tree, p, time, &point);
}

void
sp_cut_forest_end_time(const SpCutForest *forest, uint64_t time)
{
	if ((time + 1) % get_period(forest) == 0)
		move_keys(forest);
}

void
sp_cut_forest_rebuild(const SpCutForest *forest, uint64_t nth)
{
	for (int tree = 0; tree < forest->trees; tree++)
	{
		Reservoir	r = get_reservoir(forest, tree);
		uint64_t	sequence = sp_random_at(~forest->seed - (uint64_t) tree, nth);

		memset(forest->reservoirs + forest->reservoir_bytes * (size_t) tree, 0,
			   sp_cut_tree_bytes(forest->size, forest->dims));
		for (uint64_t i = 0; i < *r.taken; i++)
		{
			uint16_t	number = sp_cut_tree_insert(&r.tree, r.points[i], sp_random_at(sequence, i));

			forest->counts[r.points[i]]--;
			forest->counts[number]++;
			r.points[i] = number;
		}
	}
}

double
sp_cut_forest_score(const SpCutForest *forest, const float *p, double *parts)
{
	double		sum = 0.0;

	for (int tree = 0; tree < forest->trees; tree++)
	{
		Reservoir	r = get_reservoir(forest, tree);

		sum += sp_cut_tree_score(&r.tree, p, parts);
	}
	for (int d = 0; parts != NULL && d < forest->dims; d++)
		parts[d] /= forest->trees;
	return sum / forest->trees;
}

/* Is a tree the tree of its sample?  Its places are added to the counts. */
static bool
is_reservoir_sound(const SpCutForest *forest, int tree, uint16_t *counts, uint16_t *own)
{
	Reservoir	r = get_reservoir(forest, tree);
	bool		is_sound = true;

	if (*r.taken > (uint64_t) forest->size)
		return false;
	for (uint64_t i = 0; i < *r.taken; i++)
	{
		if (r.points[i] >= forest->places || !isfinite(r.keys[i]))
			return false;
	}
	if (!sp_cut_tree_is_sound(&r.tree, forest->places) ||
		(uint64_t) sp_cut_tree_mass(&r.tree) != *r.taken)
		return false;
	for (uint64_t i = 0; i < *r.taken; i++)
	{
		counts[r.points[i]]++;
		own[r.points[i]]++;
	}
	/* as many places as there are points, and each leaf has its own: so all are in leaves */
	for (int leaf = 0; leaf < forest->size; leaf++)
	{
		uint16_t	mass = r.tree.leaf_masses[leaf];

		is_sound = is_sound && (mass == 0 || own[r.tree.leaf_points[leaf]] == mass);
	}
	for (uint64_t i = 0; i < *r.taken; i++)
		own[r.points[i]] = 0;
	return is_sound;
}

/* Are the points in use within the limit? */
static bool
is_store_sound(const SpCutForest *forest, float limit)
{
	for (int i = 0; i < forest->places; i++)
	{
		for (int d = 0; forest->counts[i] != 0 && d < forest->dims; d++)
		{
			if (!(fabsf(forest->store[(size_t) i * forest->dims + d]) <= limit))
				return false;
		}
	}
	return true;
}

bool
sp_cut_forest_is_sound(const SpCutForest *forest, float limit)
{
	uint16_t	counts[SP_CUT_FOREST_MAX_PLACES] = {0};
	uint16_t	own[SP_CUT_FOREST_MAX_PLACES] = {0};

	if (*forest->next >= (uint64_t) forest->places || !is_store_sound(forest, limit))
		return false;
	for (int tree = 0; tree < forest->trees; tree++)
	{
		if (!is_reservoir_sound(forest, tree, counts, own))
			return false;
	}
	return memcmp(counts, forest->counts, (size_t) forest->places * sizeof(uint16_t)) == 0;
}

bool
sp_cut_forest_is_empty(const SpCutForest *forest)
{
	for (int tree = 0; tree < forest->trees; tree++)
	{
		if (*get_reservoir(forest, tree).taken != 0)
			return false;
	}
	return true;
}
