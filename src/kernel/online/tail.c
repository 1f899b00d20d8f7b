/*
 * tail.c
 *	  Tails of distributions, and what they are in standard deviations.
 */
#include "kernel/online/tail.h"

#include <float.h>
#include <math.h>

/* Beyond it erfc() loses digits, then is 0: its asymptotic series has all of them. */
#define FAR_SIGMA		25.0

/* Of a t that is a number, whose inverse is one. */
#define MAX_LN			700.0

/* The continued fraction takes some sqrt(max(a, b)) steps. */
#define MAX_STEPS		1000

/* The continued fraction of the incomplete beta function. */
static double
evaluate_fraction(double a, double b, double x)
{
	double		c = 1.0;
	double		d = 1.0 - (a + b) * x / (a + 1.0);
	double		value;

	d = 1.0 / (fabs(d) < DBL_MIN ? DBL_MIN : d);
	value = d;
	for (int i = 1; i <= MAX_STEPS; i++)
	{
		double		even = i * (b - i) * x / ((a + 2 * i - 1.0) * (a + 2 * i));
		double		odd = -(a + i) * (a + b + i) * x / ((a + 2 * i) * (a + 2 * i + 1.0));
		double		factor;

		d = 1.0 + even * d;
		d = 1.0 / (fabs(d) < DBL_MIN ? DBL_MIN : d);
		c = 1.0 + even / c;
		c = fabs(c) < DBL_MIN ? DBL_MIN : c;
		value *= d * c;
		d = 1.0 + odd * d;
		d = 1.0 / (fabs(d) < DBL_MIN ? DBL_MIN : d);
		c = 1.0 + odd / c;
		c = fabs(c) < DBL_MIN ? DBL_MIN : c;
		factor = d * c;
		value *= factor;
		if (fabs(factor - 1.0) <= 2 * DBL_EPSILON)
			break;
	}
	return value;
}

/* lgamma() sets a global; this doesn't. */
static double
ln_gamma(double x)
{
	int			sign;

	return lgamma_r(x, &sign);
}

/* x^b (1 - x)^a / B(a, b): minus the slope of the tail over ln t. */
static double
ln_front(double t, double a, double b, double nu)
{
	return -b * log1p(t / nu) + a * (log(t) - log(nu + t)) + ln_gamma(a + b) - ln_gamma(a) -
		ln_gamma(b);
}

/* The tail, when the above is known. */
static double
ln_tail(double t, double a, double b, double nu, double front)
{
	double		x = nu / (nu + t);
	double		below;

	if (x < (b + 1.0) / (a + b + 2.0))
		return front + log(evaluate_fraction(b, a, x) / b);
	below = exp(front) * evaluate_fraction(a, b, t / (nu + t)) / a;
	return below < 1.0 ? log1p(-below) : -INFINITY;
}

double
sp_tail_ln_hotelling(double t, double m, double nu)
{
	double		a = 0.5 * m;
	double		b = 0.5 * (nu - m + 1.0);

	if (t <= 0.0)
		return 0.0;
	t = fmin(t, DBL_MAX / 4);
	return ln_tail(t, a, b, nu, ln_front(t, a, b, nu));
}

double
sp_tail_ln_normal(double z)
{
	double		r = 1.0 / (z * z);

	if (z < FAR_SIGMA)
		return log(erfc(z * M_SQRT1_2));
	return -0.5 * z * z - log(z * sqrt(M_PI_2)) + log1p(-r * (1.0 - 3.0 * r * (1.0 - 5.0 * r)));
}

/*
 * Newton from the right: the logarithm is concave and no tail is above exp(-z^2 / 2), so that no
 * step goes too far.
 */
double
sp_tail_sigma(double ln_p)
{
	double		z = sqrt(-2.0 * ln_p);

	if (!(ln_p < 0.0))
		return 0.0;
	if (z > 1e7)
		return z;				/* to the last digit */
	for (int i = 0; i < 50; i++)
	{
		double		ln_q = sp_tail_ln_normal(z);
		double		slope = -sqrt(M_2_PI) * exp(-0.5 * z * z - ln_q);
		double		step = (ln_q - ln_p) / slope;

		z = z - step > 0.0 ? z - step : 0.0;
		if (fabs(step) <= 1e-14 * z)
			break;
	}
	return z;
}

/* Newton over ln t, over which the logarithm of the tail is concave, too. */
double
sp_tail_hotelling_quantile(double ln_p, double m, double nu)
{
	double		a = 0.5 * m;
	double		b = 0.5 * (nu - m + 1.0);
	double		ln_t = log(m);

	if (!(ln_p < 0.0))
		return 0.0;
	for (int i = 0; i < 100; i++)
	{
		double		t = exp(ln_t);
		double		front = ln_front(t, a, b, nu);
		double		ln_q = ln_tail(t, a, b, nu, front);
		double		last = ln_t;

		ln_t = fmax(-MAX_LN, fmin(MAX_LN, ln_t - (ln_p - ln_q) * exp(ln_q - front)));
		if (fabs(ln_t - last) <= 1e-13)
			break;
	}
	return exp(ln_t);
}
