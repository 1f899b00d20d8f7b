/*
 * distribution.c
 *	  Quantiles of the distributions that tests are made of: of their integrals, by bisection.
 *
 * The integrals are the incomplete gamma and beta functions, by their series and continued
 * fractions (M. Abramowitz and I. A. Stegun, Handbook of mathematical functions, 6.5.29, 6.5.31
 * and 26.5.8), the latter by W. J. Lentz's method.
 */
#include "kernel/batch/distribution.h"

#include <float.h>
#include <math.h>

#define TERMS	100000
#define TINY	1e-300

/* ln of gamma(a + 1/2) / gamma(a); both would be far larger than that. */
static double
log_half_step(double a)
{
	double		i = 1 / a;

	if (a < 100)
		return lgamma(a + 0.5) - lgamma(a);
	return 0.5 * log(a) - i / 8 + i * i * i / 192 - i * i * i * i * i / 640;
}

/* P(X > x) for a gamma distribution of shape a, x > 0. */
static double
gamma_above(double a, double x)
{
	double		scale = exp(a * log(x) - x - lgamma(a));
	double		b;
	double		c;
	double		d;
	double		h;

	if (x < a + 1)
	{
		double		term = 1 / a;
		double		sum = term;

		for (int i = 1; i < TERMS && term > sum * DBL_EPSILON / 8; i++)
		{
			term *= x / (a + i);
			sum += term;
		}
		return 1 - sum * scale;
	}
	b = x + 1 - a;
	c = 1 / TINY;
	d = 1 / b;
	h = d;
	for (int i = 1; i < TERMS; i++)
	{
		double		an = -i * (i - a);
		double		factor;

		b += 2;
		d = an * d + b;
		d = 1 / (fabs(d) < TINY ? TINY : d);
		c = b + an / c;
		c = fabs(c) < TINY ? TINY : c;
		factor = c * d;
		h *= factor;
		if (fabs(factor - 1) < DBL_EPSILON)
			break;
	}
	return scale * h;
}

/* The continued fraction of the incomplete beta function. */
static double
beta_fraction(double a, double b, double x)
{
	double		c = 1;
	double		d = 1 - (a + b) * x / (a + 1);
	double		h;

	d = 1 / (fabs(d) < TINY ? TINY : d);
	h = d;
	for (int m = 1; m < TERMS; m++)
	{
		double		even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
		double		odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
		double		factor;

		d = 1 + even * d;
		d = 1 / (fabs(d) < TINY ? TINY : d);
		c = 1 + even / c;
		c = fabs(c) < TINY ? TINY : c;
		h *= d * c;
		d = 1 + odd * d;
		d = 1 / (fabs(d) < TINY ? TINY : d);
		c = 1 + odd / c;
		c = fabs(c) < TINY ? TINY : c;
		factor = d * c;
		h *= factor;
		if (fabs(factor - 1) < DBL_EPSILON)
			break;
	}
	return h;
}

/* The incomplete beta function I_x(a, 1/2); y = 1 - x, lest it is lost. */
static double
beta_half(double a, double x, double y)
{
	double		scale;

	if (x <= 0)
		return 0;
	if (y <= 0)
		return 1;
	/* gamma(1/2) is the root of pi */
	scale = exp(log_half_step(a) + a * (x < 0.5 ? log(x) : log1p(-y))) * sqrt(y / 3.141592653589793);
	if (x < (a + 1) / (a + 2.5))
		return scale * beta_fraction(a, 0.5, x) / a;
	return 1 - scale * beta_fraction(0.5, a, y) / 0.5;
}

/* P(T > t) of Student's t, t >= 0. */
static double
student_above(double degrees, double t)
{
	double		whole = degrees + t * t;

	return 0.5 * beta_half(degrees / 2, degrees / whole, t * t / whole);
}

/* Where a falling function is p, between low and high. */
static double
bisect(double (*above) (double, double), double degrees, double p, double low, double high)
{
	for (int i = 0; i < 200 && high - low > 1e-15 * high; i++)
	{
		double		middle = low + (high - low) / 2;

		if (above(degrees, middle) > p)
			low = middle;
		else
			high = middle;
	}
	return low + (high - low) / 2;
}

static double
chi_squared_above(double degrees, double x)
{
	return gamma_above(degrees / 2, x / 2);
}

double
sp_chi_squared_above(double degrees, double p)
{
	double		high = degrees + 1;

	while (chi_squared_above(degrees, high) > p && high < 1e300)
		high *= 2;
	return bisect(chi_squared_above, degrees, p, 0, high);
}

double
sp_student_above(double degrees, double p)
{
	double		high = 2;

	if (p > 0.5)
		return -sp_student_above(degrees, 1 - p);
	while (student_above(degrees, high) > p && high < 1e150)
		high *= 2;
	return bisect(student_above, degrees, p, 0, high);
}
