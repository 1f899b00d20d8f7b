/*
 * nearest.h
 *	  A normal point near one that isn't, of scores that have no formula to be solved for it.
 *
 * On the segment from a typical point to the one that is flagged, the point farthest out that
 * bisection finds normal; each that is tried is scored, so that what is returned is normal
 * whether or not scores rise along the way.  Steps are as fine as the way is short, beyond
 * an eighth of a scale in proportion: somebody a million scales away isn't a few large steps from
 * the bulk.
 *
 * Typical is the middle of the frames; where that isn't normal (there may be nothing between two
 * modes), the nearest of a sample; where neither is, there is no answer.
 */
#ifndef SP_NEAREST_H
#define SP_NEAREST_H

#include <stdbool.h>

#include "kernel/online/frame.h"

typedef struct SpNearest
{
	bool		(*is_normal) (const void *model, const double *x);
	const void *model;
	int			n;				/* features */
	int			steps;			/* of the bisection; each is a score */
	const SpFrame *frames;		/* [n] */
	const double *sample;		/* [count][n] */
	int			count;
} SpNearest;

/* False: there is none; to is undefined then. */
extern bool sp_nearest_find(const SpNearest *search, const double *x, double *to);

/* The same for an explanation: x itself where it isn't flagged; where there is none to stays as it is. */
extern void sp_nearest_explain(const SpNearest *search, const double *x, bool is_flagged,
							   double *to);

#endif
