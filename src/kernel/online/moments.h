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
 * Where a mean or a variance fades to less than DBL_MIN it is 0: less than that has fewer and fewer
 * digits, never gets to 0 by itself, and takes a processor many times as long.
 *
 * D. H. D. West (Communications of the ACM 22, 1979); T. Finch, Incremental calculation of
 * weighted mean and variance (2009).
 */
#ifndef SP_MOMENTS_H
#define SP_MOMENTS_H

#include <float.h>
#include <stdbool.h>

/* Of zeros it has learned nothing. */
typedef struct SpMoments
{
	double		weight;
	double		mean;
	double		variance;
} SpMoments;

/* A number that may have faded away. */
static inline double
sp_moments_fade(double x)
{
	return x >= DBL_MIN || x <= -DBL_MIN ? x : 0.0;
}

/* Add a value; false, with m unchanged: it would be infinite. */
extern bool sp_moments_add(SpMoments *m, double alpha, double x);

/* Are these numbers that values can lead to? */
extern bool sp_moments_is_sound(const SpMoments *m);

#endif
