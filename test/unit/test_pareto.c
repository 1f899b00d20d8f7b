/*
 * test_pareto.c
 *	  The fit of the generalized Pareto distribution against a search of the whole likelihood, and its
 *	  edges; survival against quantile.
 */
#include "kernel/online/pareto.h"
#include "unit.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* Generalized Pareto, by inversion. */
static double
next_pareto(uint64_t *random, double shape, double scale)
{
	double		e = -log1p(-next_uniform(random));

	return shape == 0.0 ? scale * e : scale * expm1(shape * e) / shape;
}

/* log likelihood by the density alone. */
static double
get_likelihood(const double *y, int n, double shape, double scale)
{
	double		sum = 0.0;

	for (int i = 0; i < n; i++)
	{
		double		base = 1.0 + shape * y[i] / scale;

		if (base <= 0.0)
			return -INFINITY;
		sum += -log(scale) - (fabs(shape) < 1e-9 ? y[i] / scale : (1.0 + 1.0 / shape) * log(base));
	}
	return sum;
}

/* The highest likelihood over shape and scale, on grids that get finer around the best. */
static double
search_likelihood(const double *y, int n, double *shape, double *scale)
{
	double		center[2] = {0.75, 0.0};
	double		width[2] = {1.25, 6.0};
	double		mean = 0.0;
	double		best = -INFINITY;

	for (int i = 0; i < n; i++)
		mean += y[i] / n;
	for (int round = 0; round < 40; round++)
	{
		double		at[2] = {center[0], center[1]};

		for (int i = -20; i <= 20; i++)
		{
			for (int j = -20; j <= 20; j++)
			{
				double		a = at[0] + width[0] * i / 20;
				double		b = at[1] + width[1] * j / 20;
				double		l;

				if (a < -0.5)
					continue;
				l = get_likelihood(y, n, a, mean * exp(b));
				if (l > best)
				{
					best = l;
					center[0] = a;
					center[1] = b;
				}
			}
		}
		width[0] *= 0.7;
		width[1] *= 0.7;
	}
	*shape = center[0];
	*scale = mean * exp(center[1]);
	return best;
}

static void
test_fit(void)
{
	const double shapes[] = {-0.3, -0.1, 0.0, 0.1, 0.3, 0.6, 1.0};
	const double scales[] = {1.0, 1e-200, 1e200};
	uint64_t	random = 11;
	double		y[200];

	for (size_t k = 0; k < sizeof(shapes) / sizeof(shapes[0]); k++)
	{
		for (int n = 50; n <= 200; n += 150)
		{
			SpPareto	fit;
			double		shape;
			double		scale;
			double		best;

			for (int i = 0; i < n; i++)
				y[i] = next_pareto(&random, shapes[k], 3.0);
			sp_pareto_fit(y, n, &fit);
			best = search_likelihood(y, n, &shape, &scale);
			check_near(get_likelihood(y, n, fit.shape, fit.scale), best, 1e-6);
			check_near(sp_pareto_likelihood(&fit, y, n),
					   get_likelihood(y, n, fit.shape, fit.scale), 1e-8);
			check_near(fit.shape, shape, 1e-3);
			check_near(fit.scale, scale, 3e-3 * scale);
			if (n == 200)
				check_near(fit.shape, shapes[k], 0.35);

			/* in another unit */
			for (int j = 1; j < 3; j++)
			{
				SpPareto	other;
				double		z[200];

				for (int i = 0; i < n; i++)
					z[i] = y[i] * scales[j];
				sp_pareto_fit(z, n, &other);
				check_near(other.shape, fit.shape, 1e-6);
				check_near(other.scale / scales[j], fit.scale, 1e-6 * fit.scale);
			}
		}
	}
}

/* Samples that have no fit inside: by moments, or exponential. */
static void
test_fit_edges(void)
{
	double		y[40];
	SpPareto	fit;

	y[0] = 2.0;
	sp_pareto_fit(y, 1, &fit);
	check(fit.shape == 0.0 && fit.scale == 2.0);
	for (int i = 0; i < 40; i++)
		y[i] = 3.0;
	sp_pareto_fit(y, 40, &fit);
	check(fit.shape == -0.5 && fit.scale == 4.5);
	for (int i = 0; i < 40; i++)
		y[i] = i + 1;			/* uniform: shape -1 */
	sp_pareto_fit(y, 40, &fit);
	check(fit.shape == -0.5);
	check_near(fit.scale, 20.5 * 1.5, 1e-9);
	for (int i = 0; i < 40; i++)
		y[i] = i % 2 == 0 ? DBL_MAX : DBL_TRUE_MIN;
	sp_pareto_fit(y, 40, &fit);
	check(isfinite(fit.shape) && isfinite(fit.scale) && fit.scale > 0);
	for (int i = 0; i < 40; i++)
		y[i] = DBL_TRUE_MIN * (1 + i % 3);
	sp_pareto_fit(y, 40, &fit);
	check(isfinite(fit.shape) && fit.scale >= DBL_MIN);
}

/* Survival and quantile are each other's inverse. */
static void
test_quantiles(void)
{
	for (double shape = -0.5; shape < 2; shape += 0.125)
	{
		SpPareto	pareto = {shape, 2.5};

		for (double log_p = -0.01; log_p > -40; log_p *= 1.7)
		{
			double		y = sp_pareto_quantile(&pareto, log_p);

			check_near(sp_pareto_log_survival(&pareto, y), log_p, 1e-6 * -log_p);
		}
		check(sp_pareto_quantile(&pareto, 0.0) == 0.0);
		check(sp_pareto_log_survival(&pareto, 0.0) == 0.0);
	}
	check(sp_pareto_log_survival(&(SpPareto) {-0.5, 1.0}, 2.0) == -INFINITY);
	check_near(sp_pareto_log_survival(&(SpPareto) {0.25, 1.0}, 4.0), -4 * log(2.0), 1e-15);
}

int
main(void)
{
	test_fit();
	test_fit_edges();
	test_quantiles();
	return failures > 0;
}
