/*
 * test_mahalanobis.c
 *	  The updated factor against the weighted covariance of the whole history; what features that
 *	  don't vary, or vary together, do; how rarely a normal series is flagged.
 */
#include "kernel/online/mahalanobis.h"
#include "kernel/online/tail.h"
#include "kernel.h"

#define THRESHOLD	SP_MAHALANOBIS_THRESHOLD

static const SpKernel *const kernel = &sp_kernel_mahalanobis;

static SpMahalanobisParams chosen;

/* One with the defaults. */
static Series
open_default(int n)
{
	sp_online_defaults(kernel, &chosen);
	return open_features(kernel, &chosen, n, SP_DIRECTION_BOTH);
}

/* ---- brute force ---- */

#define MAX_N	16

/* The weighted mean and variances of x[0..count-1] (n numbers each). */
static void
weigh(const double *x, int n, int count, long double alpha, long double *mean, long double *var)
{
	long double total = 0;

	memset(mean, 0, sizeof(long double) * n);
	memset(var, 0, sizeof(long double) * n);
	for (int i = 0; i < count; i++)
	{
		long double weight = powl(1 - alpha, count - 1 - i);

		total += weight;
		for (int k = 0; k < n; k++)
			mean[k] += weight * x[i * n + k];
	}
	for (int k = 0; k < n; k++)
		mean[k] /= total;
	for (int i = 0; i < count; i++)
	{
		for (int k = 0; k < n; k++)
			var[k] += powl(1 - alpha, count - 1 - i) / total * (x[i * n + k] - mean[k]) *
				(x[i * n + k] - mean[k]);
	}
}

/* The score of a point by elimination in the weighted covariance with its ridge. */
static double
brute_force(const double *x, int n, int count, const SpMahalanobisParams *params,
			const double *point)
{
	static long double c[MAX_N][MAX_N + 1];
	long double mean[MAX_N],
				var[MAX_N],
				other_mean[MAX_N],
				other[MAX_N];
	long double total = 0,
				squares = 0,
				t = 0,
				features = 0;

	memset(c, 0, sizeof(c));
	weigh(x, n, count, params->alpha, mean, var);
	for (int i = 0; i < count; i++)
	{
		long double weight = powl(1 - (long double) params->alpha, count - 1 - i);
		int			turn = i % n;

		total += weight;
		squares += weight * weight;
		for (int j = 0; j < n; j++)
		{
			for (int k = 0; k < n; k++)
				c[j][k] += weight * (x[i * n + j] - mean[j]) * (x[i * n + k] - mean[k]);
		}
		weigh(x, n, i + 1, params->alpha, other_mean, other);
		c[turn][turn] += weight * n * params->ridge * other[turn];
	}
	for (int j = 0; j < n; j++)
	{
		for (int k = 0; k < n; k++)
			c[j][k] /= total;
		c[j][n] = point[j] - mean[j];
	}
	for (int j = 0; j < n; j++)
	{
		long double own = fmaxl(c[j][j], params->ridge * var[j]);

		features += 1 - params->ridge * var[j] / own;
		t += c[j][n] * c[j][n] / own;
		for (int i = j + 1; i < n; i++)
		{
			for (int k = n; k >= j; k--)
				c[i][k] -= c[i][j] / c[j][j] * c[j][k];
		}
	}
	squares /= total * total;
	t *= (1 - squares) / (1 + squares);
	return sp_tail_sigma(sp_tail_ln_hotelling((double) t, fmax((double) features, 1),
											  (double) (1 / squares - 1)));
}

static void
test_recursion(int n, double alpha, double ridge, double offset)
{
	enum
	{
		N = 220
	};
	double	   *x = malloc(sizeof(double) * N * n);
	uint64_t	random = 5;
	Series		s;

	s = open_default(n);
	chosen.alpha = alpha;
	chosen.ridge = ridge;
	chosen.warmup = n + 2;
	for (int i = 0; i < N; i++)
	{
		double		common = next_normal(&random);

		for (int k = 0; k < n; k++)
			x[i * n + k] = offset + (k + 1) * (next_normal(&random) + 2 * common);
		if (i >= 2 * n + 2 && i % 13 == 0)
		{
			double		expected = brute_force(x, n, i, &chosen, x + i * n);

			check_near(score_features(&s, x + i * n, NULL).score, expected, 1e-9 * (1 + fabs(offset)));
		}
		check(learn_features(&s, x + i * n));
	}
	close_series(&s);
	free(x);
}

/* The nearest normal point is where brute force, on the way from the mean, reaches the threshold. */
static void
test_nearest(int n, double alpha, double offset)
{
	enum
	{
		N = 150
	};
	double	   *x = malloc(sizeof(double) * (N + 60) * n);
	uint64_t	random = 29;
	Series		s;
	int			flagged = 0;

	s = open_default(n);
	chosen.alpha = alpha;
	for (int i = 0; i < N + 60; i++)
	{
		double	   *point = x + i * n;
		double		common = next_normal(&random);
		SpExplanation why;
		long double mean[MAX_N],
					var[MAX_N];
		double		longest = 0,
					part = 0;

		for (int k = 0; k < n; k++)
			point[k] = offset + (k + 1) * (next_normal(&random) + 2 * common);
		if (i >= N)
			point[i % n] += 100 * next_uniform(&random) - 50;
		if (i < N)
			check(learn_features(&s, point));
		else if (score_features(&s, point, &why).score > THRESHOLD)
		{
			flagged++;
			weigh(x, n, N, alpha, mean, var);
			for (int k = 0; k < n; k++)
			{
				double		way = (double) (point[k] - mean[k]);

				part = fabs(way) > fabs(longest) ? (double) (why.nearest[k] - mean[k]) / way : part;
				longest = fabs(way) > fabs(longest) ? way : longest;
			}
			for (int k = 0; k < n; k++)
				check_near(why.nearest[k], (double) (mean[k] + part * (point[k] - mean[k])),
						   1e-9 * (1 + fabs(offset) + fabs(point[k])));
			check_near(brute_force(x, n, N, &chosen, why.nearest), THRESHOLD, 1e-7 * (1 + fabs(offset)));
			check(!(score_features(&s, why.nearest, NULL).score > THRESHOLD));
		}
	}
	check(flagged > 20);
	close_series(&s);
	free(x);
}

/* ---- what it finds ---- */

/* A normal series of n features that have much in common is above z as rarely as it should be. */
static void
test_calibration(int n, double least, double most)
{
	enum
	{
		N = 20000
	};
	double		x[SP_MAX_FEATURES];
	uint64_t	random = 77;
	int			flagged = 0;
	Series		s;

	s = open_default(n);
	for (int i = 0; i < N + 100; i++)
	{
		double		common = next_normal(&random);

		for (int k = 0; k < n; k++)
			x[k] = 1000 * k + (k + 1) * (next_normal(&random) + common);
		flagged += score_features(&s, x, NULL).score > 2.0;
		learn_features(&s, x);
	}
	/* 4.55 % of a normal distribution are beyond 2 */
	check(flagged > least * N && flagged < most * N);
	close_series(&s);
}

/* Two features that go together: one of them alone is strange, both aren't. */
static void
test_correlation(void)
{
	uint64_t	random = 3;
	double		x[3];
	SpExplanation why;
	SpScore		result;
	Series		s;

	s = open_default(3);
	for (int i = 0; i < 2000; i++)
	{
		double		common = next_normal(&random);

		x[0] = 10 + 5 * common;
		x[1] = -20 + common + 0.1 * next_normal(&random);
		x[2] = next_normal(&random);
		learn_features(&s, x);
	}
	x[0] = 10 + 10;
	x[1] = -20 + 2;
	x[2] = 0;
	check(score_features(&s, x, &why).score < THRESHOLD);
	x[1] = -20 - 2;
	result = score_features(&s, x, &why);
	check(result.score > 10);
	check(why.nparts == 3);
	check_near(why.parts[0].amount + why.parts[1].amount + why.parts[2].amount, result.score, 1e-9);
	check(fabs(why.parts[2].amount) < 0.1 && why.parts[1].amount > 3);

	/* at its bounds the score is the threshold, between them it is below; others have none */
	check(isfinite(why.lower[1]) && why.lower[1] > -20 && why.upper[1] < -20 + 4);
	check_near(why.expected[1], -20, 0.5);
	check(isnan(why.lower[2]) && isnan(why.upper[2]));
	x[1] = why.lower[1];
	check_near(score_features(&s, x, NULL).score, THRESHOLD, 1e-7);
	x[1] = 0.5 * (why.lower[1] + why.upper[1]);
	check(score_features(&s, x, NULL).score < THRESHOLD);
	x[1] = why.upper[1];
	check_near(score_features(&s, x, NULL).score, THRESHOLD, 1e-7);
	close_series(&s);
}

/* For one feature it is the distance in standard deviations; the bounds are where it is 3. */
static void
test_one_feature(void)
{
	uint64_t	random = 9;
	SpScore		result;
	Series		s;
	double		x;

	s = open_default(1);
	chosen.alpha = 1e-4;
	for (int i = 0; i < 100000; i++)
	{
		x = 50 + 2 * next_normal(&random);
		learn_features(&s, &x);
	}
	x = 50 + 2 * 3.5;
	result = score_features(&s, &x, NULL);
	check_near(result.score, 3.5, 0.1);
	check_near(result.expected, 50, 0.1);
	check_near(kernel->p_value(&s.setup, 3.0), 0.0026997960632601866, 1e-15);
	x = result.upper_bound;
	check_near(score_features(&s, &x, NULL).score, THRESHOLD, 1e-9);
	x = result.lower_bound;
	check_near(score_features(&s, &x, NULL).score, THRESHOLD, 1e-9);
	close_series(&s);
}

/* Constants, copies and sums of others: nothing while they are so, much when they aren't. */
static void
test_degenerate(void)
{
	uint64_t	random = 11;
	double		x[6];
	SpExplanation why;
	SpScore		result;
	Series		s;
	int			flagged = 0;

	s = open_default(6);
	for (int i = 0; i < 3000; i++)
	{
		x[0] = 0.1;
		x[1] = 100 + next_normal(&random);
		x[2] = x[1];
		x[3] = next_normal(&random) * 1e-6;
		x[4] = 3 * x[1] + 1e6 * x[3];
		x[5] = 0.0;
		flagged += score_features(&s, x, NULL).score > THRESHOLD;
		check(learn_features(&s, x));
	}
	check(flagged < 3000 * 0.01);
	check(is_sound(&s));

	/* another value of a constant */
	x[1] = x[2] = 100;
	x[3] = 0;
	x[4] = 300;
	check(score_features(&s, x, NULL).score < 1.0);
	x[0] = 0.2;
	result = score_features(&s, x, &why);
	check(result.score == SP_SCORE_MAX);
	check(why.parts[0].amount == result.score && why.parts[1].amount == 0.0);
	check(why.nearest[0] == 0.1 && why.nearest[1] == 100 && why.nearest[4] == 300 && why.nearest[5] == 0.0);
	check_near(why.lower[0], 0.1, 1e-15);
	check_near(why.upper[0], 0.1, 1e-15);
	x[0] = 0.1 + 1e-17;
	check(score_features(&s, x, NULL).score < 1.0);	/* rounding */
	x[0] = 0.1;
	x[5] = 1e-300;
	check(score_features(&s, x, NULL).score == SP_SCORE_MAX);
	x[5] = 0.0;

	/* a copy that isn't, and a sum that isn't */
	x[2] = 100.5;
	check(score_features(&s, x, &why).score > 10);
	check(fabs(why.parts[3].amount) < 0.5 * why.parts[2].amount);
	x[2] = 100;
	x[4] = 301;
	check(score_features(&s, x, NULL).score > 10);
	close_series(&s);

	/* a series of the same point, again and again */
	s = open_default(2);
	x[0] = 1e300;
	x[1] = -3;
	for (int i = 0; i < 1000; i++)
		check(learn_features(&s, x));
	check(score_features(&s, x, NULL).score == 0.0);
	x[1] = 3;
	check(score_features(&s, x, &why).score == SP_SCORE_MAX && why.parts[1].amount == SP_SCORE_MAX);
	close_series(&s);
}

/* Units don't matter: feature by feature in others the scores are the same. */
static void
test_units(void)
{
	static const double unit[4] = {1e-9, 1024, 1e6, -3};
	uint64_t	random = 13;
	Series		a;
	Series		b;

	a = open_default(4);
	b = open_default(4);
	for (int i = 0; i < 1000; i++)
	{
		double		common = next_normal(&random);
		double		x[4];
		double		y[4];

		for (int k = 0; k < 4; k++)
		{
			x[k] = next_normal(&random) + common;
			y[k] = x[k] * unit[k];
		}
		check_near(score_features(&a, x, NULL).score, score_features(&b, y, NULL).score, 1e-9);
		learn_features(&a, x);
		learn_features(&b, y);
	}
	close_series(&a);
	close_series(&b);
}

/* After 10^6 events nothing has drifted away from what the last ones say. */
static void
test_drift(void)
{
	enum
	{
		N = 1000000,
		KEPT = 800,
		FEATURES = 3
	};
	double	   *last = malloc(sizeof(double) * KEPT * FEATURES);
	double		x[FEATURES] = {100, 99.5, 42};
	uint64_t	random = 17;
	Series		s;

	s = open_default(FEATURES);
	chosen.alpha = 0.05;
	for (int i = 0; i < N; i++)
	{
		double	   *to = i >= N - KEPT ? last + (i - (N - KEPT)) * FEATURES : x;

		to[0] = 100 + sin(i * 1e-3) + next_uniform(&random);
		to[1] = to[0] + 1e-2 * next_uniform(&random);
		to[2] = next_uniform(&random);
		learn_features(&s, to);
	}
	/* the features' turns are those of the whole series: 999,200 of them left before */
	check((N - KEPT) % FEATURES == 2);
	memmove(last, last + FEATURES, sizeof(double) * (KEPT - 1) * FEATURES);
	x[0] = 101;
	x[1] = 101.02;
	check_near(score_features(&s, x, NULL).score, brute_force(last, FEATURES, KEPT - 1, &chosen, x), 1e-6);
	close_series(&s);
	free(last);
}

/* ---- edges ---- */

static void
test_edges(void)
{
	uint64_t	random = 19;
	double		x[2] = {1e200, -1e-200};
	double		far[2] = {1.7e308, 0};
	SpExplanation why;
	Series		s;
	void	   *before;
	size_t		size;

	s = open_default(2);
	size = sp_online_state_size(kernel, &chosen, 2);
	before = malloc(size);
	check(learn_features(&s, x));		/* the first value, however large */
	for (int i = 0; i < 99; i++)
	{
		check(score_features(&s, far, NULL).score == 0.0 && !score_features(&s, far, NULL).ready);
		x[1] = next_normal(&random);
		check(learn_features(&s, x));
	}
	check(sp_online_learned(kernel, s.state, &s.setup) == 100 && score_features(&s, x, NULL).ready);
	memcpy(before, s.state, size);
	check(!learn_features(&s, far));		/* its square is infinite */
	check(memcmp(before, s.state, size) == 0);
	check(score_features(&s, far, &why).score == SP_SCORE_MAX && why.parts[0].amount == SP_SCORE_MAX);
	free(before);
	close_series(&s);
}

static void
test_conflicts(void)
{
	SpMahalanobisParams params;

	sp_online_defaults(kernel, &params);
	check(params.alpha == 0.01 && params.warmup == 100 && params.ridge == 1e-4);
	check(kernel->conflict(&params, 64) == NULL);
	params.alpha = 0.02;
	check(kernel->conflict(&params, 49) == NULL && kernel->conflict(&params, 50) != NULL);
	params.alpha = 0.01;
	params.warmup = 10;
	check(kernel->conflict(&params, 8) == NULL && kernel->conflict(&params, 9) != NULL);
}

static void
test_soundness(void)
{
	uint64_t	random = 23;
	double		x[2];
	Series		s;
	SpMahalanobis *state;

	s = open_default(2);
	state = s.state;
	check(kernel->is_sound(state, &s.setup));
	for (int i = 0; i < 50; i++)
	{
		x[0] = next_normal(&random);
		x[1] = next_normal(&random);
		learn_features(&s, x);
	}
	check(kernel->is_sound(state, &s.setup));

#define check_refused(field, bad) \
	do { \
		double		good = (double) state->field; \
		state->field = (bad); \
		check(!kernel->is_sound(state, &s.setup)); \
		state->field = good; \
	} while (0)
	check_refused(weight, 0.5);
	check_refused(weight, INFINITY);
	check_refused(square_weight, 1e9);
	check_refused(count, 0);
	check_refused(numbers[0], NAN);
	check_refused(numbers[2], -1.0);
	check_refused(numbers[4], -1.0);
	check_refused(numbers[6], INFINITY);
	check(kernel->is_sound(state, &s.setup));
	close_series(&s);
}

int
main(void)
{
	test_recursion(1, 0.05, 1e-4, 0);
	test_recursion(2, 0.1, 1e-2, 100);
	test_recursion(5, 0.01, 1e-4, -10);
	test_recursion(7, 0.001, 1.0, 0);
	test_nearest(1, 0.01, 0);
	test_nearest(4, 0.05, -7);
	test_nearest(6, 0.02, 1e4);
	test_calibration(1, 0.04, 0.05);
	test_calibration(8, 0.04, 0.05);
	test_calibration(40, 0.03, 0.05);
	test_correlation();
	test_one_feature();
	test_degenerate();
	test_units();
	test_drift();
	test_edges();
	test_conflicts();
	test_soundness();
	return failures > 0;
}
