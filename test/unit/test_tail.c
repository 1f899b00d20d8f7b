/*
 * test_tail.c
 *	  Tails against closed forms and published tables.
 */
#include "kernel/online/tail.h"
#include "unit.h"

#include <math.h>

/* Critical values as printed in tables of F and of Student's t. */
static void
test_tables(void)
{
	/* F: m, degrees of freedom of the denominator, the upper 5 % and 1 % points */
	static const double f[][4] = {
		{1, 10, 4.9646, 10.0443},
		{2, 10, 4.1028, 7.5594},
		{5, 20, 2.7109, 4.1027},
		{10, 30, 2.1646, 2.9791},
		{4, 120, 2.4472, 3.4795}
	};

	for (int i = 0; i < 5; i++)
	{
		double		m = f[i][0];
		double		nu = f[i][1] + m - 1;
		double		scale = nu * m / f[i][1];

		check_near(exp(sp_tail_ln_hotelling(scale * f[i][2], m, nu)), 0.05, 5e-6);
		check_near(exp(sp_tail_ln_hotelling(scale * f[i][3], m, nu)), 0.01, 1e-6);
		check_near(sp_tail_hotelling_quantile(log(0.05), m, nu), scale * f[i][2], scale * 1e-4);
	}
	/* Student: t(10) */
	check_near(exp(sp_tail_ln_hotelling(2.2281 * 2.2281, 1, 10)), 0.05, 5e-6);
	/* chi-square of 3 and of 64 */
	check_near(exp(sp_tail_ln_hotelling(7.8147, 3, 1e7)), 0.05, 5e-6);
	check_near(exp(sp_tail_ln_hotelling(93.2169, 64, 1e7)), 0.01, 2e-6);
}

/* Of two features the tail is (1 + t / nu)^(-(nu - 1) / 2). */
static void
test_two_features(void)
{
	for (double nu = 3; nu < 1e4; nu *= 3.7)
	{
		for (double t = 1e-6; t < 1e300; t *= 7e2)
		{
			double		expected = -0.5 * (nu - 1) * log1p(t / nu);

			check_near(sp_tail_ln_hotelling(t, 2, nu), expected,
					   1e-11 * fabs(expected) + 1e-11);
			if (expected < -1e-3 && expected > -1e3)
				check_near(sp_tail_hotelling_quantile(expected, 2, nu), t, 1e-9 * t);
		}
	}
}

static void
test_sigma(void)
{
	check_near(sp_tail_sigma(log(0.0026997960632601866)), 3.0, 1e-14);
	check_near(sp_tail_sigma(log(1.5239706048321052e-23)), 10.0, 1e-13);
	check_near(sp_tail_ln_normal(40.0), -804.608443 + log(2.0), 1e-6);
	check_near(sp_tail_ln_normal(24.999999), sp_tail_ln_normal(25.000001), 1e-4);
	for (double z = 1e-3; z < 1e9; z *= 1.7)
		check_near(sp_tail_sigma(sp_tail_ln_normal(z)), z, 1e-10 * z);
	check(sp_tail_sigma(0.0) == 0.0 && sp_tail_ln_normal(0.0) == 0.0);
}

/* Falling, whatever the numbers, and never NaN. */
static void
test_order(void)
{
	for (double m = 1; m < 65; m += 3.3)
	{
		for (double nu = m; nu <= 1e4; nu *= 5)
		{
			double		last = 0.0;

			check(sp_tail_ln_hotelling(0.0, m, nu) == 0.0);
			for (double t = 1e-300; t < INFINITY; t *= 1e3)
			{
				double		p = sp_tail_ln_hotelling(t, m, nu);

				check(p <= last + 1e-12 * fabs(last));
				last = p;
			}
			check(sp_tail_ln_hotelling(INFINITY, m, nu) <= last && isfinite(last));
		}
	}
}

int
main(void)
{
	test_tables();
	test_two_features();
	test_sigma();
	test_order();
	return failures > 0;
}
