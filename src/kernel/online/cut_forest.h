/*
 * cut_forest.h
 *	  Random cut trees of time-decayed samples, in flat memory.
 *
 * Each tree (cut_tree.h) has a sample of `size` points, drawn by a reservoir: the point of time t has
 * the weight exp(decay t), and those with the smallest ln(-ln u) - decay t stay, where u is uniform
 * (P. Efraimidis and P. Spirakis, Information Processing Letters 97, 2006).  A point that enters
 * is inserted, the one that leaves is deleted.
 *
 * The trees share one store of points, which are counted by the places in samples that they have.
 * A sample is a heap of places, the next one to leave first.  Of equal points in a sample all
 * places have the same number in the store, the one that the tree knows.
 */
#ifndef SP_CUT_FOREST_H
#define SP_CUT_FOREST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SP_CUT_FOREST_MAX_PLACES	32768	/* trees times size */

/* Where a forest's parts stand. */
typedef struct SpCutForest
{
	int			trees;
	int			size;			/* of a sample */
	int			dims;			/* of a point */
	int			places;			/* of all samples */
	double		decay;
	uint64_t	seed;
	uint64_t   *next;			/* where a free point is looked for in the store */
	float	   *store;			/* [places][dims] */
	uint16_t   *counts;			/* how many places a point has [places] */
	char	   *reservoirs;		/* by tree: the tree, how many places are taken (8 bytes), keys of
								 * the heap [size], points [size] */
	size_t		reservoir_bytes;
} SpCutForest;

/* Bytes of a forest, a multiple of 8; zeroed it is empty. */
extern size_t sp_cut_forest_bytes(int trees, int size, int dims);
extern SpCutForest sp_cut_forest_view(void *memory, int trees, int size, int dims, double decay,
									  uint64_t seed);

/* Let all samples draw the point of that time.  Then, with or without a point, the time is over. */
extern void sp_cut_forest_add(const SpCutForest *forest, const float *p, uint64_t time);
extern void sp_cut_forest_end_time(const SpCutForest *forest, uint64_t time);

/* The points have been changed, each number in the same order as before: build the trees again. */
extern void sp_cut_forest_rebuild(const SpCutForest *forest, uint64_t nth);

/* The mean of the trees' expected CoDisp; parts: NULL, or by dimension what is added for it. */
extern double sp_cut_forest_score(const SpCutForest *forest, const float *p, double *parts);

/* Is everything where it must be, and the points in use within +-limit? */
extern bool sp_cut_forest_is_sound(const SpCutForest *forest, float limit);
extern bool sp_cut_forest_is_empty(const SpCutForest *forest);

#endif
