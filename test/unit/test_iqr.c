/*
 * test_iqr.c
 *	  The sketch's quartiles against those of all values with their weights; fences; edges.
 */
#include "kernel.h"
#include "kernel/online/iqr.h"

enum
{
	N = 6000
};

static double x[N];

/* A series of a character. */
static double
make_value(int character, int i, uint64_t *random)
{
	switch (character)
	{
		case 0:
			return next_normal(random);
		case 1:					/* skewed */
			return exp(2 * next_normal(random));
		case 2:					/* ever new values at the end, the old ones fall out */
			return i * 0.01;
		case 3:					/* likewise, downwards, and noisy */
			return -0.001 * i + next_normal(random);
		case 4:					/* a level that shifts */
			return (i / 700) % 2 * 20 + next_normal(random);
		case 5:					/* a season */
			return 10 * sin(i * 0.05) + 0.1 * next_normal(random);
		case 6:					/* of few kinds: exact */
			return (double) (next_random(random) % 7);
		default:				/* two clusters and outliers */
			return next_random(random) % 50 == 0 ? 1e6 * next_normal(random) :
				(double) (next_random(random) % 2) * 100 + next_normal(random);
	}
}

/*
 * How far, in rank, a value is from the quantile p of the first n values with their weights: 0
 * where p falls on that value, however much of the weight it has.
 */
static double
rank_error(int n, double alpha, double value, double p)
{
	double		weight = 1.0,
				total = 0.0,
				less = 0.0,
				equal = 0.0;

	for (int i = n - 1; i >= 0; i--, weight *= 1.0 - alpha)
	{
		total += weight;
		if (x[i] < value)
			less += weight;
		else if (x[i] == value)
			equal += weight;
	}
	return fmax(0.0, fmax(less / total - p, p - (less + equal) / total));
}

/* Quartiles at several moments; the worst error. */
static double
test_quartiles(int character, double alpha)
{
	SpIqrParams params = {alpha, 4};
	Series		s = open_series(&sp_kernel_iqr, &params, SP_DIRECTION_BOTH);
	uint64_t	random = 8;
	double		worst = 0.0;

	for (int i = 0; i < N; i++)
	{
		x[i] = make_value(character, i, &random);
		check(learn_at(&s, 0, x[i]));
		if (i > 50 && i % 37 != 0)
			continue;
		if (i < 4)
			continue;
		check(sp_kernel_iqr.is_sound(s.state, &s.setup));
		s.setup.threshold = 0.0;	/* the bounds are the quartiles */
		worst = fmax(worst, rank_error(i + 1, alpha, score_at(&s, 0, 0).lower_bound, 0.25));
		worst = fmax(worst, rank_error(i + 1, alpha, score_at(&s, 0, 0).expected, 0.5));
		worst = fmax(worst, rank_error(i + 1, alpha, score_at(&s, 0, 0).upper_bound, 0.75));
	}
	close_series(&s);
	return worst;
}

/* Quartiles 20, 30 and 50: the lower half is half as wide as the upper one. */
static void
test_fences(void)
{
	static const double values[] = {10, 20, 30, 30, 40, 50, 60};
	SpIqrParams params = {1e-6, 7};
	Series		s = open_series(&sp_kernel_iqr, &params, SP_DIRECTION_BOTH);
	SpScore		score;

	for (int i = 0; i < 7; i++)
	{
		check(!score_at(&s, 0, 1e9).ready);
		learn_at(&s, 0, values[i]);
	}
	score = score_at(&s, 0, 35);
	check(score.ready && score.score == 0.0 && score.expected == 30.0);
	check(score.lower_bound == 20 - 1.5 * 20 && score.upper_bound == 50 + 1.5 * 40);
	check(score_at(&s, 0, 110).score == 1.5 && score_at(&s, 0, -10).score == 1.5);
	check(score_at(&s, 0, 110.1).score > s.setup.threshold);
	check_near(sp_kernel_iqr.p_value(&s.setup, 1.5), 0.006976603, 1e-8);	/* Tukey's 0.7 % */
	check(sp_kernel_iqr.p_value(&s.setup, 0.0) == 1.0);
	s.setup.direction = SP_DIRECTION_HIGH;
	check(score_at(&s, 0, 110).score == 1.5 && score_at(&s, 0, -10).score == -1.5);
	check(score_at(&s, 0, 25).score == 0.0);
	check_near(sp_kernel_iqr.p_value(&s.setup, 1.5), 0.006976603 / 2, 1e-8);
	check_near(sp_kernel_iqr.p_value(&s.setup, 0.0), 0.75, 1e-8);
	s.setup.direction = SP_DIRECTION_LOW;
	check(score_at(&s, 0, 110).score == -1.5 && score_at(&s, 0, -10).score == 1.5);
	close_series(&s);
}

static void
test_edges(void)
{
	SpIqrParams params = {0.01, 10};
	Series		s = open_series(&sp_kernel_iqr, &params, SP_DIRECTION_BOTH);
	double		mean_deviation;

	for (int i = 0; i < 100000; i++)
		learn_at(&s, 0, 0.1);
	check(score_at(&s, 0, 0.1).score == 0.0 && score_at(&s, 0, 0.2).score == SP_SCORE_MAX);
	check(score_at(&s, 0, 0.1).upper_bound == 0.1);

	/* nearly all are equal */
	learn_at(&s, 0, 0.2);
	mean_deviation = 0.1 * 0.01;
	check_near(score_at(&s, 0, 0.2).score, 0.1 / (1.6906934 * mean_deviation), 1e-4);

	/* a half of no width is as wide as the box */
	for (int i = 0; i < 2000; i++)
		learn_at(&s, 0, i % 3 == 0 ? 1.0 : 5.0);
	check(score_at(&s, 0, 7.0).score == 0.5 && score_at(&s, 0, -7.0).score == 1.0);

	check(score_at(&s, 0, 1.7e308).score == SP_SCORE_MAX);
	close_series(&s);
}

int
main(void)
{
	SpIqrParams params;

	sp_online_defaults(&sp_kernel_iqr, &params);
	check(params.alpha == 0.005 && params.warmup == 30);
	for (int character = 0; character < 8; character++)
	{
		static const double alphas[] = {1e-6, 0.0005, 0.005, 0.1, 0.5};

		for (int i = 0; i < 5; i++)
		{
			double		worst = test_quartiles(character, alphas[i]);

			check(worst < (character == 6 ? 1e-12 : 0.02));
			if (getenv("SHOW"))
				printf("%d %g: %.4f\n", character, alphas[i], worst);
		}
	}
	test_fences();
	test_edges();
	check_extremes(&sp_kernel_iqr, &params);
	check_damaged(&sp_kernel_iqr, &params, 1000, 3000);
	return failures > 0;
}
