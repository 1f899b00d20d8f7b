/*
 * ensemble.h
 *	  Several methods on the same value or features, combined by how probable their scores are.
 *
 * Each member, with its default parameters, scores a point; what its scores were before says with
 * which probability p there is such a score or a higher one (calibration.h, the small size, which
 * remembers SP_ENSEMBLE_MEMORY scores).  Members that aren't ready have none.  They are combined by
 * the Cauchy combination test, which holds however much the members depend on one another
 * (Y. Liu and J. Xie, Journal of the American Statistical Association 115, 2020):
 *
 *	T = the mean of tan((1/2 - p) pi), p at most 0.99,	P = 1/2 - atan(T) / pi,	score = -log10(P)
 *
 * so that the score says itself how probable it is: 3, the threshold, is one in a thousand.  It is
 * ready when all members are, and have given SP_ENSEMBLE_SCORES scores since.
 *
 * Parts: the members, each with the part of the score that its share of the positive tangents is;
 * they add up.  expected is that of the member with the largest share, if it has one; there are no
 * bounds, so that learn 'capped' is as 'normal' is.  Nor is there a nearest: within all members'
 * bounds together their scores may still be too improbable, and when step() knows that there is
 * something to be explained, members have learned the point and can't be asked about others.
 * A point that a member can't learn is learned by the others.
 */
#ifndef SP_ENSEMBLE_H
#define SP_ENSEMBLE_H

#include "kernel/online/online.h"

#define SP_ENSEMBLE_THRESHOLD	3.0
#define SP_ENSEMBLE_MEMORY		20000
#define SP_ENSEMBLE_SCORES		200

typedef struct SpEnsembleParams
{
	int32_t		methods;		/* bits: of the table in ensemble.c; 0: those for its input */
} SpEnsembleParams;

/* Then each member's state and its calibration. */
typedef struct SpEnsemble
{
	uint64_t	count;			/* points learned */
} SpEnsemble;

extern const SpKernel sp_kernel_ensemble;

#endif
