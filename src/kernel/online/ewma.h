/*
 * ewma.h
 *	  Deviation from an exponentially weighted mean, in standard deviations.
 *
 * S. W. Roberts, Control Chart Tests Based on Geometric Moving Averages, Technometrics
 * 1 (1959); the variance by D. H. D. West (Communications of the ACM 22, 1979) and
 * T. Finch, Incremental calculation of weighted mean and variance (2009).
 *
 * After x_1 .. x_n the weight of x_i is (1 - alpha)^(n - i).  The weights are divided
 * by their sum, so that mean and variance are unbiased by where the series began: the
 * first values form a plain mean, not one that creeps away from zero or from x_1.
 *
 *	W_n    = (1 - alpha) W_(n-1) + 1                   sum of weights; tends to 1 / alpha
 *	r      = 1 / W_n
 *	d      = x_n - mean_(n-1)
 *	mean_n = mean_(n-1) + r d
 *	var_n  = (1 - r) (var_(n-1) + r d^2)               = sum w_i (x_i - mean_n)^2 / W_n
 *
 * (Fading to 0 as in moments.h.)
 *
 * The score of x against a state is z = (x - mean) / sqrt(var) for direction high, -z for
 * low, |z| for both; it lies within +-SP_SCORE_MAX.  Where var is 0 (the series was
 * constant) a value equal to the mean, up to rounding, scores 0, and any other
 * +-SP_SCORE_MAX.  The p-value is that of the normal distribution.  Until warmup values
 * are learned the score is 0 and the bounds NaN.
 *
 * A value beyond SP_MAX_LEARNED can't be learned.
 */
#ifndef SP_EWMA_H
#define SP_EWMA_H

#include "kernel/online/online.h"

#define SP_EWMA_THRESHOLD	3.0 /* Roberts' usual control limits */

typedef struct SpEwmaParams
{
	double		alpha;
	int32_t		warmup;
} SpEwmaParams;

typedef struct SpEwma
{
	uint64_t	count;			/* values learned */
	double		weight;			/* W */
	double		mean;
	double		variance;
} SpEwma;

extern const SpKernel sp_kernel_ewma;

#endif
