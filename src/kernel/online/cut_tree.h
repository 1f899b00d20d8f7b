/*
 * cut_tree.h
 *	  One random cut tree in flat memory.
 *
 * S. Guha, N. Mishra, G. Roy and O. Schrijvers, Robust random cut forest based anomaly detection
 * on streams, ICML 2016.
 *
 * A tree of points: an inner node cuts the bounding box of its points in two, in a dimension
 * chosen with a probability that is proportional to the box's side, at a place uniform
 * in it; p goes left if p[dim] <= cut.  Equal points share a leaf, which counts them.  Inserting
 * a point (the paper's InsertPoint) and deleting one give a tree of the distribution that one
 * built from its points would have.
 *
 * With the point in the tree, and m_C the points of a subtree C that has it, its collusive
 * displacement is
 *
 *	CoDisp = max over C of (points of the sibling of C) / m_C
 *
 * sp_cut_tree_score() is its expectation over the cuts that inserting the point might draw, exactly,
 * in one walk: at a node with the sides' sum r, whose box had to grow by g for the point, the point
 * is cut off with probability g / (r + g).
 *
 * Points are float32, of a store that trees share.  A number is that of an inner node, or
 * from `size` on of a leaf.  What isn't in use has mass 0.
 */
#ifndef SP_CUT_TREE_H
#define SP_CUT_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SP_CUT_TREE_MAX_SIZE	1024
#define SP_CUT_TREE_MAX_DIMS	256

typedef struct SpCutNode
{
	uint16_t	left;
	uint16_t	right;
	uint16_t	dim;
	uint16_t	mass;			/* points below */
	float		cut;
} SpCutNode;

/* Where a tree's parts stand. */
typedef struct SpCutTree
{
	int			size;			/* leaves at most */
	int			dims;
	const float *points;		/* the store, [][dims] */
	float	   *boxes;			/* of inner nodes [size][2][dims]: lows, highs */
	SpCutNode  *nodes;			/* [size] */
	uint16_t   *leaf_points;	/* [size], numbers in the store */
	uint16_t   *leaf_masses;	/* [size], how many points are equal */
	uint16_t   *root;
} SpCutTree;

/* Bytes of a tree, a multiple of 8; zeroed it is empty. */
extern size_t sp_cut_tree_bytes(int size, int dims);
extern SpCutTree sp_cut_tree_view(void *memory, int size, int dims, const float *points);

/* How many points there are. */
extern int	sp_cut_tree_mass(const SpCutTree *tree);

/*
 * Insert a point of the store, by the random numbers of a sequence.  There must be a free leaf.
 * Returns the number of an equal point in the tree, which stands for this one, too, or its own.
 */
extern uint16_t sp_cut_tree_insert(SpCutTree *tree, uint16_t point, uint64_t sequence);

/* Delete a point under the number that insert returned. */
extern void sp_cut_tree_delete(SpCutTree *tree, uint16_t point);

/*
 * The expected CoDisp of a point.  parts: NULL, or by dimension what is added for it: they
 * add up to the result.
 */
extern double sp_cut_tree_score(const SpCutTree *tree, const float *p, double *parts);

/* Is everything where it must be?  The points of the store must be finite. */
extern bool sp_cut_tree_is_sound(const SpCutTree *tree, int points);

#endif
