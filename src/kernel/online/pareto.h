/*
 * pareto.h
 *	  The generalized Pareto distribution, to which excesses over a high threshold tend.
 *
 *	P(Y > y) = (1 + shape y / scale)^(-1 / shape), or exp(-y / scale) where shape is 0;
 *	y >= 0, and y <= -scale / shape where shape < 0
 *
 * The fit is by maximum likelihood after S. D. Grimshaw, Computing Maximum Likelihood Estimates for
 * the Generalized Pareto Distribution, Technometrics 35 (1993): with x = shape / scale the best
 * shape is the mean of log(1 + x y), and the likelihood a function of x alone,
 *
 *	l(x) = -n (log(shape / x) + shape + 1)
 *
 * of which the maximum is searched for on a grid and refined by golden section.  Shapes below -0.5,
 * where the likelihood has no use, aren't considered; where the maximum would be there, the fit is by
 * the moments, within the same limit.  Fewer than 10 excesses say nothing about the shape: 0 then.
 */
#ifndef SP_PARETO_H
#define SP_PARETO_H

#define SP_PARETO_MIN_SHAPE (-0.5)
#define SP_PARETO_MAX_SHAPE 100.0
#define SP_PARETO_MIN_FIT	10	/* excesses for a shape */

typedef struct SpPareto
{
	double		shape;
	double		scale;			/* > 0 */
} SpPareto;

/* Fit to n excesses, all > 0, n > 0. */
extern void sp_pareto_fit(const double *y, int n, SpPareto *fit);

/* log P(Y > y); -infinity beyond the end. */
extern double sp_pareto_log_survival(const SpPareto *pareto, double y);

/* The y of which log P(Y > y) is log_p; 0 for log_p >= 0. */
extern double sp_pareto_quantile(const SpPareto *pareto, double log_p);

/* The log likelihood of n excesses. */
extern double sp_pareto_likelihood(const SpPareto *pareto, const double *y, int n);

#endif
