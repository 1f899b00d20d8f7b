/*
 * isolation.h
 *	  What forests that isolate points have in common.
 */
#ifndef SP_ISOLATION_H
#define SP_ISOLATION_H

#include "kernel/batch/batch.h"

/* How deep a tree of psi points is at most: ceil(log2 psi). */
extern int	sp_isolation_depth(size_t psi);

/* The mean length of a search for one of c in a binary search tree. */
extern double sp_isolation_mean_length(size_t c);

/* Where each column's 0 is and what its 1 is: median, and 1 / unit of a robust scale, of some points. */
extern void sp_isolation_find_units(const SpMatrix *points, double *centers, double *units,
									SpWork *work);

#endif
