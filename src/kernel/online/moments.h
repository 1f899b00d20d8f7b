/*
 * moments.h
 *	  Exponentially weighted mean and variance.
 *
 * After x_1 .. x_n the weight of x_i is (1 - alpha)^(n - i); the weights are divided by their
 * sum, so that the first values form a plain mean.  With alpha = 0 all weigh the same.
 *
 *	W_n    = (1 - alpha) W_(n-1) + 1
 *	d      = x_n - mean_(n-1)
 *	mean_n = mean_(n-1) + d / W_n
 *	var_n  = (1 - 1 / W_n) (var_(n-1) + d^2 / W_n)
 *
 * D. H. D. West (Communications of the ACM 22, 1979); T. Finch, Incremental calculation of
 * weighted mean and variance (2009).
 */
#ifndef SP_MOMENTS_H
#define SP_MOMENTS_H

#include <stdbool.h>

/* Of zeros it has learned nothing. */
typedef struct SpMoments
{
	double		weight;
	double		mean;
	double		variance;
} SpMoments;

/* Add a value; false, with m unchanged: it would be infinite. */
extern bool sp_moments_add(SpMoments *m, double alpha, double x);

/* Are these numbers that values can lead to? */
extern bool sp_moments_is_sound(const SpMoments *m);

#endif
