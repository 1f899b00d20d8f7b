/*
 * test_calibration.c
 *	  Probabilities of scores: against the distributions that the scores are drawn from.
 */
#include "kernel/online/calibration.h"
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SECOND	INT64_C(1000000)
#define NFRESH	20000

static SpCalibrationFull full;
static SpCalibrationSmall small;

static SpCalibration *
begin(SpCalibrationSize size, int memory)
{
	SpCalibration *c = size == SP_CALIBRATION_FULL ? &full.head : &small.head;

	sp_calibration_init(c, size, memory);
	check(sp_calibration_is_sound(c, size));
	return c;
}

/* ---- distributions of scores, and the probability of one as high ---- */

typedef enum Law
{
	HALF_NORMAL, EXPONENTIAL, LOGNORMAL, PARETO, UNIFORM, NLAWS
} Law;

static double
next_exponential(uint64_t *random)
{
	return -log1p(-next_uniform(random));
}

static double
next_normal(uint64_t *random)
{
	return sqrt(2.0 * next_exponential(random)) * cos(2.0 * M_PI * next_uniform(random));
}

static double
next_score(Law law, uint64_t *random)
{
	switch (law)
	{
		case HALF_NORMAL:
			return fabs(next_normal(random));
		case EXPONENTIAL:
			return next_exponential(random);
		case LOGNORMAL:
			return exp(0.7 * next_normal(random));
		case PARETO:
			return expm1(0.25 * next_exponential(random)) / 0.25;
		default:
			return next_uniform(random);
	}
}

static double
get_probability(Law law, double s)
{
	switch (law)
	{
		case HALF_NORMAL:
			return erfc(s * M_SQRT1_2);
		case EXPONENTIAL:
			return exp(-s);
		case LOGNORMAL:
			return 0.5 * erfc(log(s) / 0.7 * M_SQRT1_2);
		case PARETO:
			return pow(1.0 + 0.25 * s, -4.0);
		default:
			return 1.0 - s;
	}
}

/* By bisection. */
static double
get_quantile(Law law, double p)
{
	double		from = 0.0;
	double		to = law == UNIFORM ? 1.0 : 1e6;

	for (int i = 0; i < 200; i++)
	{
		double		middle = 0.5 * (from + to);

		if (get_probability(law, middle) > p)
			from = middle;
		else
			to = middle;
	}
	return to;
}

/* ---- tests ---- */

static int
compare(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

/* The largest distance of p-values from uniform ones (Kolmogorov, Smirnov). */
static double
get_distance(double *p, int n)
{
	double		distance = 0.0;

	qsort(p, (size_t) n, sizeof(double), compare);
	for (int i = 0; i < n; i++)
		distance = fmax(distance, fmax(fabs(p[i] - (i + 1.0) / n), fabs(p[i] - (double) i / n)));
	return distance;
}

/* The p-values of new scores are uniform, and those far out are what the law says. */
static void
test_law(SpCalibrationSize size, Law law, int n, double max_distance, double max_ratio)
{
	static double p[NFRESH];
	SpCalibration *c = begin(size, SP_CALIBRATION_MAX_MEMORY);
	uint64_t	random = 1000 + (uint64_t) law;
	double		distance;

	for (int i = 0; i < n; i++)
		sp_calibration_add(c, size, next_score(law, &random), i * SECOND);
	check(sp_calibration_is_sound(c, size));
	for (int i = 0; i < NFRESH; i++)
		p[i] = sp_calibration_p_value(c, size, next_score(law, &random));
	distance = get_distance(p, NFRESH);
	if (getenv("SHOW"))
		printf("size %d law %d n %d: distance %.4f;", size, law, n, distance);
	check(distance < max_distance);
	for (double tail = 1e-1; tail > 0.9e-6; tail /= 10)
	{
		double		s = get_quantile(law, tail);
		double		ratio = sp_calibration_p_value(c, size, s) / tail;
		double		limit = max_ratio * (tail < 2e-6 ? 6 : tail < 2e-5 ? 2.5 : 1);

		if (getenv("SHOW"))
			printf(" %.2g", ratio);
		if (law == UNIFORM && tail < 0.05)
			continue;			/* within the last bin: P is that of all of it */
		check(ratio < limit && ratio > 1 / limit);
	}
	if (getenv("SHOW"))
		printf("\n");
}

/* 99 % zeros, or scores below. */
static void
test_sparse(SpCalibrationSize size)
{
	SpCalibration *c = begin(size, 100000);
	uint64_t	random = 4;

	for (int i = 0; i < 100000; i++)
	{
		double		score = next_random(&random) % 100 == 0 ? next_exponential(&random) :
			next_random(&random) % 2 == 0 ? 0.0 : -1.0;

		sp_calibration_add(c, size, score, i * SECOND);
	}
	check(sp_calibration_p_value(c, size, 0.0) == 1.0);
	check(sp_calibration_p_value(c, size, -3.0) == 1.0);
	for (double s = 0.1; s < 7; s += 0.7)
	{
		double		ratio = sp_calibration_p_value(c, size, s) / (0.01 * exp(-s));

		check(ratio > 0.4 && ratio < 2.5);
	}
	check(sp_calibration_threshold(c, size, 0.05) == 0.0);
	check_near(sp_calibration_threshold(c, size, 0.001), log(10), 0.5);

	/* nothing but zeros: the first score above is as rare as can be told */
	c = begin(size, 100000);
	check(sp_calibration_p_value(c, size, 1.0) == 1.0);
	check(isnan(sp_calibration_threshold(c, size, 0.01)));
	for (int i = 0; i < 999; i++)
		sp_calibration_add(c, size, 0.0, i * SECOND);
	check_near(sp_calibration_p_value(c, size, 1e-9), 1e-3, 2e-5);
	check(sp_calibration_threshold(c, size, 1e-6) == 0.0);
}

/* Scores of few values: equal ones count whole. */
static void
test_discrete(SpCalibrationSize size)
{
	SpCalibration *c = begin(size, 10000);
	uint64_t	random = 6;

	for (int i = 0; i < 50000; i++)
	{
		double		u = next_uniform(&random);

		sp_calibration_add(c, size, u < 0.9 ? 0 : u < 0.98 ? 1 : 3, i * SECOND);
	}
	check_near(sp_calibration_p_value(c, size, 1.0), 0.1, 0.02);
	check_near(sp_calibration_p_value(c, size, 3.0), 0.02, size == SP_CALIBRATION_FULL ? 0.01 : 0.015);
	check(sp_calibration_threshold(c, size, 0.2) < 1.0);
	check(sp_calibration_threshold(c, size, 0.05) > 1.0);
	check(sp_calibration_threshold(c, size, 0.05) < 3.0);

	/* all the same */
	c = begin(size, 10000);
	for (int i = 0; i < 5000; i++)
		sp_calibration_add(c, size, 5.0, i * SECOND);
	check_near(sp_calibration_p_value(c, size, 5.0), 1.0, 1e-9);
	check(sp_calibration_p_value(c, size, 10.0) < 1e-3);
	check(sp_calibration_threshold(c, size, 0.01) > 5.0);
	check(sp_calibration_threshold(c, size, 0.01) < 8.0);
}

/* Scores become three times as high: old ones are forgotten. */
static void
test_drift(SpCalibrationSize size)
{
	SpCalibration *c = begin(size, 2000);
	uint64_t	random = 12;

	for (int i = 0; i < 40000; i++)
		sp_calibration_add(c, size, next_exponential(&random), i * SECOND);
	check_near(log(sp_calibration_p_value(c, size, 7.0)), -7.0, 0.8);
	for (int i = 0; i < 10000; i++)
		sp_calibration_add(c, size, 3 * next_exponential(&random), i * SECOND);
	check_near(log(sp_calibration_p_value(c, size, 21.0)), -7.0, 0.8);
	check_near(log(sp_calibration_p_value(c, size, 3.0)), -1.0, 0.2);
	for (int i = 0; i < 16000; i++)
		sp_calibration_add(c, size, 0.01 * next_exponential(&random), i * SECOND);
	check(sp_calibration_p_value(c, size, 1.0) < 0.01);
	check(sp_calibration_is_sound(c, size));
}

/* P never rises with the score, and thresholds keep what they promise. */
static void
test_monotony(SpCalibrationSize size, Law law, int n)
{
	SpCalibration *c = begin(size, 5000);
	uint64_t	random = 900 + (uint64_t) n;
	double		last = 1.0;
	double		threshold = INFINITY;

	for (int i = 0; i < n; i++)
		sp_calibration_add(c, size, next_random(&random) % 2 ? next_score(law, &random) : 0.0,
						   i * SECOND);
	for (double s = 1e-8; s < 2e6; s *= 1.003)
	{
		double		p = sp_calibration_p_value(c, size, s);

		check(p <= last && p > 0.0);
		last = p;
	}
	for (double p = 1e-9; p < 1.0; p *= 1.1)
	{
		double		t = sp_calibration_threshold(c, size, p);
		double		bin = size == SP_CALIBRATION_FULL ? 1.03 : 1.2;

		check(t <= threshold && t >= 0.0);
		check(sp_calibration_p_value(c, size, nextafter(t, INFINITY)) <= p * (1 + 1e-9));
		if (t > 0.0 && t < 1e5)
			check(sp_calibration_p_value(c, size, t / bin / bin) > p);
		threshold = t;
	}
}

/* A budget of alerts is kept, by what was seen before. */
static void
test_budget(SpCalibrationSize size, Law law, double zeros)
{
	SpCalibration *c = begin(size, 50000);
	uint64_t	random = 77;
	double		time = 7e8;
	double		threshold;
	int			alerts = 0;
	int			n = 200000;
	double		allowed = size == SP_CALIBRATION_FULL ? 1.4 : 2.2;

	check(isnan(sp_calibration_budget_threshold(c, size, 20)));
	for (int i = 0; i < n; i++)
	{
		double		score = next_uniform(&random) < zeros ? 0.0 : next_score(law, &random);

		/* on average 10 seconds apart, now and then out of order: 8640 a day */
		time += 10 * next_exponential(&random);
		sp_calibration_add(c, size, score,
						   (int64_t) ((time - 60 * (next_random(&random) % 20 == 0)) * 1e6));
	}
	check_near(sp_calibration_events_per_day(c), 8640, 300);
	threshold = sp_calibration_budget_threshold(c, size, 20);
	for (int i = 0; i < n; i++)
		alerts += (next_uniform(&random) < zeros ? 0.0 : next_score(law, &random)) > threshold;
	if (getenv("SHOW"))
		printf("budget: size %d law %d: %g a day\n", size, law, alerts * 8640.0 / n);
	check(alerts * 8640.0 / n > 20 / allowed && alerts * 8640.0 / n < 20 * allowed);
	check(sp_calibration_budget_threshold(c, size, 1e5) == 0.0);
}

/* Absurd scores and times. */
static void
test_extremes(SpCalibrationSize size)
{
	SpCalibration *c = begin(size, 100);
	const double scores[] = {1e-320, 1e6, -1e6, 1e-9, 1e308, 0.0, 1.0};
	const int64_t times[] = {INT64_MIN, INT64_MAX, 0, -1, INT64_MAX, INT64_MIN, 1};

	for (int i = 0; i < 5000; i++)
	{
		sp_calibration_add(c, size, scores[i % 7], times[(i / 3) % 7]);
		check(sp_calibration_is_sound(c, size));
		check(sp_calibration_events_per_day(c) >= 0.0);
	}
	for (int i = 0; i < 7; i++)
	{
		double		p = sp_calibration_p_value(c, size, scores[i]);

		check(p > 0.0 && p <= 1.0);
	}

	/* a clock that was far ahead once is forgotten */
	c = begin(size, 1000);
	for (int i = 0; i < 20000; i++)
		sp_calibration_add(c, size, 1.0, i == 5000 ? INT64_MAX : i * 60 * SECOND);
	check_near(sp_calibration_events_per_day(c), 1440, 1);
}

/* Whatever damaged state is taken for sound, it works. */
static void
test_damage(SpCalibrationSize size)
{
	SpCalibration *c = begin(size, 1000);
	size_t		bytes = sp_calibration_state_size(size);
	uint64_t	random = 55;
	int			sound = 0;

	for (int round = 0; round < 3000; round++)
	{
		sp_calibration_init(c, size, 200);
		for (int i = 0; i < 300; i++)
			sp_calibration_add(c, size, next_normal(&random), i * SECOND);
		for (uint64_t i = next_random(&random) % 3; i > 0; i--)
			((unsigned char *) c)[next_random(&random) % bytes] = (unsigned char) next_random(&random);
		if (!sp_calibration_is_sound(c, size))
			continue;
		sound++;
		for (int i = 0; i < 30; i++)
		{
			double		p = sp_calibration_p_value(c, size, next_exponential(&random) * 3);
			double		t = sp_calibration_threshold(c, size, next_uniform(&random));

			check(p > 0.0 && p <= 1.0);
			check(isnan(t) || (t >= 0.0 && t <= 1e6));
			sp_calibration_add(c, size, 100 * next_normal(&random), (int64_t) next_random(&random));
		}
	}
	check(sound > 500);
}

int
main(void)
{
	check(sp_calibration_state_size(SP_CALIBRATION_SMALL) <= 100);
	for (int law = 0; law < NLAWS; law++)
	{
		test_law(SP_CALIBRATION_FULL, (Law) law, 100000, 0.025, 1.5);
		test_law(SP_CALIBRATION_FULL, (Law) law, 5000, 0.04, 2.0);
		test_law(SP_CALIBRATION_SMALL, (Law) law, 20000, law == UNIFORM ? 0.18 : 0.08, 4.5);
	}
	for (int size = SP_CALIBRATION_SMALL; size <= SP_CALIBRATION_FULL; size++)
	{
		test_sparse((SpCalibrationSize) size);
		test_discrete((SpCalibrationSize) size);
		test_drift((SpCalibrationSize) size);
		for (int law = 0; law < NLAWS; law++)
		{
			test_monotony((SpCalibrationSize) size, (Law) law, 20);
			test_monotony((SpCalibrationSize) size, (Law) law, 20000);
			if (law != UNIFORM)
				test_budget((SpCalibrationSize) size, (Law) law, law % 2 == 0 ? 0.0 : 0.9);
		}
		test_extremes((SpCalibrationSize) size);
		test_damage((SpCalibrationSize) size);
	}
	return failures > 0;
}
