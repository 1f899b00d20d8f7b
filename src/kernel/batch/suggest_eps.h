/*
 * suggest_eps.h
 *	  How far neighbours are at most, for dbscan: where the curve of distances turns up.
 *
 * The distance of each point to the nearest one with which it has min_points about it, itself
 * included, is the least eps with which it is a core point.  Sorted they rise slowly for points in
 * clusters, and then steeply (M. Ester and others, KDD 1996).  With the curve in a square of 1 x 1
 * the knee is where it is farthest below the straight line from its first to its last point
 * (V. Satopaa and others, Finding a "kneedle" in a haystack, ICDCS workshops 2011), the first of
 * several.
 */
#ifndef SP_SUGGEST_EPS_H
#define SP_SUGGEST_EPS_H

#include "kernel/batch/batch.h"

/* The distance at the knee; 0 where so many points are equal that there is none. */
extern double sp_suggest_eps(const SpMatrix *points, int32_t min_points, SpWork *work);

/* Bytes that it takes, but for the points. */
extern double sp_suggest_eps_memory(double n, int d, int32_t min_points);

/* The place of the knee of n >= 1 numbers that don't fall. */
extern size_t sp_suggest_eps_knee(const double *sorted, size_t n);

#endif
