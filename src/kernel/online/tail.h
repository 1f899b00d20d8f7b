/*
 * tail.h
 *	  Tails of distributions, and what they are in standard deviations.
 *
 * Hotelling's T^2 with m features and nu degrees of freedom, both real numbers > 0, nu > m - 1,
 * is nu m / (nu - m + 1) times an F of m and nu - m + 1; so
 *
 *	P(T^2 > t) = I_x(b, a)		x = nu / (nu + t), a = m / 2, b = (nu - m + 1) / 2
 *
 * the regularized incomplete beta function, here by its continued fraction (modified Lentz:
 * I. J. Thompson and A. R. Barnett, Journal of Computational Physics 64, 1986).  With nu towards
 * infinity it is the chi-square tail of m degrees of freedom.  Logarithms, so that tails too small
 * for a number still have an order.
 */
#ifndef SP_TAIL_H
#define SP_TAIL_H

/* ln P(T^2 > t), t >= 0, maybe infinite. */
extern double sp_tail_ln_hotelling(double t, double m, double nu);

/* The z >= 0 with P(|normal deviate| > z) = exp(ln_p). */
extern double sp_tail_sigma(double ln_p);

/* ln P(|normal deviate| > z), z >= 0. */
extern double sp_tail_ln_normal(double z);

/* The t where P(T^2 > t) is exp(ln_p). */
extern double sp_tail_hotelling_quantile(double ln_p, double m, double nu);

#endif
