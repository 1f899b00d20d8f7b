/*
 * pareto.c
 *	  The generalized Pareto distribution.
 *
 * The formulas are in pareto.h.  While it is fitted, everything is in units of the largest excess, so
 * that nothing overflows.
 */
#include "kernel/online/pareto.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

#define GOLDEN			0.6180339887498949
#define GOLDEN_STEPS	40

/* Where the likelihood is tried first: s = log(1 + x), in units of the largest excess. */
static const double grid[] = {
	-32, -16, -8, -5, -3.5, -2.5, -1.75, -1.25, -0.9, -0.6, -0.35, -0.15, 0,
	0.15, 0.35, 0.6, 1, 1.5, 2, 3, 4, 6, 9, 13, 20, 32
};

#define GRID_SIZE		((int) (sizeof(grid) / sizeof(grid[0])))

/* The excesses, in their largest's units by factor. */
typedef struct Sample
{
	const double *y;
	int			n;
	double		factor;			/* 1 / largest */
	double		largest;
	double		mean;
} Sample;

/* Infinity where 1 / y is: then y / y is computed otherwise. */
static double
in_units(const Sample *sample, int i)
{
	return isinf(sample->factor) ? sample->y[i] / sample->largest :
		sample->y[i] * sample->factor;
}

static void
take_sample(Sample *sample, const double *y, int n)
{
	sample->y = y;
	sample->n = n;
	sample->largest = 0.0;
	for (int i = 0; i < n; i++)
	{
		if (y[i] > sample->largest)
			sample->largest = y[i];
	}
	sample->factor = 1.0 / sample->largest;
	sample->mean = 0.0;
	for (int i = 0; i < n; i++)
		sample->mean += in_units(sample, i);
	sample->mean /= n;
}

/*
 * The best shape for x = expm1(s): the mean of log(1 + x y).  Factors lie between 1 and exp(s), and |s|
 * is at most 32: of 16 of them one logarithm will do.  Near 1 their product would lose what matters.
 */
static double
get_shape(const Sample *sample, double s)
{
	double		x = expm1(s);
	double		sum = 0.0;
	double		product = 1.0;

	if (fabs(s) < 0.01)
	{
		for (int i = 0; i < sample->n; i++)
			sum += log1p(x * in_units(sample, i));
		return sum / sample->n;
	}
	for (int i = 0; i < sample->n; i++)
	{
		product *= 1.0 + x * in_units(sample, i);
		if (i % 16 == 15)
		{
			sum += log(product);
			product = 1.0;
		}
	}
	return (sum + log(product)) / sample->n;
}

static double
get_scale(const Sample *sample, double s, double shape)
{
	return s == 0.0 ? sample->mean : shape / expm1(s);
}

/* l / n. */
static double
get_likelihood(const Sample *sample, double s)
{
	double		shape = get_shape(sample, s);

	if (!(shape >= SP_PARETO_MIN_SHAPE))
		return -INFINITY;
	return -(log(get_scale(sample, s, shape)) + shape + 1.0);
}

/* Within the limits, and back from units of the largest. */
static void
set_fit(const Sample *sample, double shape, double scale, SpPareto *fit)
{
	fit->shape = shape < SP_PARETO_MIN_SHAPE ? SP_PARETO_MIN_SHAPE :
		shape > SP_PARETO_MAX_SHAPE ? SP_PARETO_MAX_SHAPE : shape;
	fit->scale = scale * sample->largest;
	if (!(fit->scale >= DBL_MIN))
		fit->scale = DBL_MIN;
	if (!(fit->scale <= DBL_MAX))
		fit->scale = DBL_MAX;
}

/* By mean and variance; where the shape is limited, by the mean. */
static void
fit_moments(const Sample *sample, SpPareto *fit)
{
	double		variance = 0.0;
	double		shape;

	for (int i = 0; i < sample->n; i++)
	{
		double		d = in_units(sample, i) - sample->mean;

		variance += d * d;
	}
	variance /= sample->n;
	shape = 0.5 * (1.0 - sample->mean * sample->mean / variance);
	if (!(shape > SP_PARETO_MIN_SHAPE))
		shape = SP_PARETO_MIN_SHAPE;
	set_fit(sample, shape, sample->mean * (1.0 - shape), fit);
}

/* Where between two points of the grid the likelihood is highest. */
static double
search_golden(const Sample *sample, double from, double to)
{
	double		left = to - GOLDEN * (to - from);
	double		right = from + GOLDEN * (to - from);
	double		l_left = get_likelihood(sample, left);
	double		l_right = get_likelihood(sample, right);

	for (int i = 0; i < GOLDEN_STEPS && to - from > 1e-6; i++)
	{
		if (l_left < l_right)
		{
			from = left;
			left = right;
			l_left = l_right;
			right = from + GOLDEN * (to - from);
			l_right = get_likelihood(sample, right);
		}
		else
		{
			to = right;
			right = left;
			l_right = l_left;
			left = to - GOLDEN * (to - from);
			l_left = get_likelihood(sample, left);
		}
	}
	return 0.5 * (from + to);
}

void
sp_pareto_fit(const double *y, int n, SpPareto *fit)
{
	Sample		sample;
	int			best = 0;
	double		highest = -INFINITY;
	double		s;
	double		shape;

	take_sample(&sample, y, n);
	if (n < SP_PARETO_MIN_FIT)
	{
		set_fit(&sample, 0.0, sample.mean, fit);
		return;
	}
	for (int k = 0; k < GRID_SIZE; k++)
	{
		double		l = get_likelihood(&sample, grid[k]);

		if (l > highest)
		{
			highest = l;
			best = k;
		}
	}
	if (best == 0 || best == GRID_SIZE - 1)
	{
		fit_moments(&sample, fit);
		return;
	}
	s = search_golden(&sample, grid[best - 1], grid[best + 1]);
	shape = get_shape(&sample, s);
	if (!(shape > SP_PARETO_MIN_SHAPE + 1e-6))
	{
		fit_moments(&sample, fit);
		return;
	}
	set_fit(&sample, shape, get_scale(&sample, s, shape), fit);
}

double
sp_pareto_log_survival(const SpPareto *pareto, double y)
{
	double		z = y / pareto->scale;

	if (!(z > 0.0))
		return 0.0;
	if (fabs(pareto->shape) < 1e-12)
		return -z;
	if (pareto->shape * z <= -1.0)
		return -INFINITY;
	return -log1p(pareto->shape * z) / pareto->shape;
}

double
sp_pareto_quantile(const SpPareto *pareto, double log_p)
{
	if (!(log_p < 0.0))
		return 0.0;
	if (fabs(pareto->shape) < 1e-12)
		return -log_p * pareto->scale;
	return expm1(-log_p * pareto->shape) / pareto->shape * pareto->scale;
}

double
sp_pareto_likelihood(const SpPareto *pareto, const double *y, int n)
{
	double		sum = 0.0;

	for (int i = 0; i < n; i++)
		sum += sp_pareto_log_survival(pareto, y[i]) * (1.0 + pareto->shape);
	return sum - n * log(pareto->scale);
}
