/*
 * gather.h
 *	  What is kept of points that come one by one, until a model is made of them.
 *
 *	all		every point, in the order in which they came
 *	sample	every point up to a number of them; of more as many, each as likely (J. S. Vitter,
 *			Random sampling with a reservoir, ACM TOMS 11, 1985, algorithm R)
 *	moments	means and, about these, sums of products (B. P. Welford, 1962); two are combined as
 *			T. F. Chan, G. H. Golub and R. J. LeVeque do
 *
 * The same points in the same order leave the same bits, if they aren't gathered in parts.
 */
#ifndef SP_GATHER_H
#define SP_GATHER_H

#include "kernel/batch/batch.h"

typedef enum SpGathering
{
	SP_GATHER_ALL,
	SP_GATHER_SAMPLE,
	SP_GATHER_MOMENTS
} SpGathering;

/* Its memory is its owner's, who makes more when there is no room. */
typedef struct SpGather
{
	SpGathering kind;
	int			d;
	uint64_t	n;				/* points that came */
	uint64_t	kept;			/* points that stand in x; of moments 0 */
	uint64_t	most;			/* points that a sample has */
	SpRandom	random;
	double	   *x;				/* points; or d means, then sums [d * d], lower triangle */
	uint64_t	room;			/* points that fit; of moments 0, or 1: there is memory */
} SpGather;

/* Begin; most and seed are of a sample. */
extern void sp_gather_begin(SpGather *gather, SpGathering kind, int d, uint64_t most, int64_t seed);

/* Is there memory for one more? */
static inline bool
sp_gather_has_room(const SpGather *gather)
{
	if (gather->kind == SP_GATHER_MOMENTS)
		return gather->room > 0;
	return gather->kept < gather->room ||
		(gather->kind == SP_GATHER_SAMPLE && gather->kept == gather->most);
}

/* Bytes for so many points, of a sample at most those that it has. */
extern double sp_gather_size(const SpGather *gather, double points);

/* Where there is room.  scratch: [d], of moments. */
extern void sp_gather_add(SpGather *gather, const double *x, double *scratch);

/* Points that stand in x once another one is added to this: room for them must be there. */
extern uint64_t sp_gather_combined(const SpGather *gather, const SpGather *other);

/* Add what another one holds, of the same kind, columns and sample. */
extern void sp_gather_combine(SpGather *gather, const SpGather *other, SpWork *work);

/* The points. */
static inline SpMatrix
sp_gather_points(const SpGather *gather)
{
	SpMatrix	points = {gather->x, (size_t) gather->kept, gather->d};

	return points;
}

/* One point more, the n-th, in means and sums of products about these. */
extern void sp_gather_add_moments(double *means, double *sums, int d, double n, const double *x,
								  double *scratch);

/* What the sums of n points make: the covariance, both triangles. */
extern void sp_gather_covariance(const double *sums, int d, double n, double *covariance);

#endif
