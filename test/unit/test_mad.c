/*
 * test_mad.c
 *	  Medians and median deviations against sorting the window anew; edges; the published example.
 */
#include "kernel.h"
#include "kernel/online/mad.h"

static int
compare(const void *a, const void *b)
{
	double		x = *(const double *) a,
				y = *(const double *) b;

	return x < y ? -1 : x > y;
}

static double
median_of(double *x, int n)
{
	qsort(x, (size_t) n, sizeof(double), compare);
	return n % 2 == 1 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

/* Median and scale of the last values of n. */
static void
brute_force(const double *x, int n, int window, double *median, double *scale)
{
	double	   *sorted = malloc((size_t) window * sizeof(double));
	double		mean = 0.0;

	if (n > window)
	{
		x += n - window;
		n = window;
	}
	memcpy(sorted, x, (size_t) n * sizeof(double));
	*median = median_of(sorted, n);
	for (int i = 0; i < n; i++)
	{
		sorted[i] = fabs(x[i] - *median);
		mean += sorted[i] / n;
	}
	*scale = median_of(sorted, n) / 0.6744897501960817;
	if (*scale == 0.0)
		*scale = mean * sqrt(M_PI / 2);
	free(sorted);
}

/* kind 0: continuous; 1: few values, many ties; 2: mostly one value; 3: skewed, with outliers */
static void
test_windows(int window, int kind)
{
	enum
	{
		N = 1500
	};
	SpMadParams params = {window, 3};
	Series		s = open_series(&sp_kernel_mad, &params, SP_DIRECTION_HIGH);
	static double x[N];
	uint64_t	random = 11;

	for (int i = 0; i < N; i++)
	{
		double		median,
					scale;
		SpScore		score;

		x[i] = kind == 0 ? next_normal(&random) + (i > 700 ? 10 : 0) :
			kind == 1 ? (double) (next_random(&random) % 5) - 2.0 :
			kind == 2 ? (next_random(&random) % 5 == 0 ? next_normal(&random) : 7.5) :
			exp(3 * next_normal(&random));
		score = score_at(&s, 0, x[i]);
		check(score.ready == (i >= 3));
		if (i >= 3)
		{
			brute_force(x, i, window, &median, &scale);
			check(score.expected == median);
			check_near(score.upper_bound, median + 3.5 * scale, 1e-12 * (fabs(median) + scale));
			if (scale > 0.0)
				check_near(score.score, (x[i] - median) / scale, 1e-11 * (1 + fabs(score.score)));
		}
		check(learn_at(&s, 0, x[i]));
	}
	check(sp_kernel_mad.is_sound(s.state, &s.setup));
	close_series(&s);
}

/* The ten values of Iglewicz and Hoaglin's example: the last two stand out. */
static void
test_published(void)
{
	static const double x[] = {2.1, 2.6, 2.4, 2.5, 2.3, 2.1, 2.3, 2.6, 8.2, 8.3};
	SpMadParams params = {10, 10};
	Series		s = open_series(&sp_kernel_mad, &params, SP_DIRECTION_BOTH);

	for (int i = 0; i < 10; i++)
		check(step_at(&s, 0, x[i]) == 0.0);
	check_near(score_at(&s, 0, 2.1).expected, 2.45, 1e-15);
	for (int i = 0; i < 10; i++)
	{
		check_near(score_at(&s, 0, x[i]).score, 0.6745 * fabs(x[i] - 2.45) / 0.15, 1e-3);
		check((score_at(&s, 0, x[i]).score > s.setup.threshold) == (i >= 8));
	}
	close_series(&s);
}

static void
test_edges(void)
{
	SpMadParams params = {20, 5};
	Series		s = open_series(&sp_kernel_mad, &params, SP_DIRECTION_BOTH);

	for (int i = 0; i < 20; i++)
		learn_at(&s, 0, i % 2 == 0 ? 0.0 : -0.0);
	check(score_at(&s, 0, -0.0).score == 0.0 && score_at(&s, 0, 1e-300).score == SP_SCORE_MAX);
	check(score_at(&s, 0, 0.0).lower_bound == 0.0);
	check(sp_kernel_mad.is_sound(s.state, &s.setup));

	/* one of twenty is different: the median deviation is 0, the mean one isn't */
	learn_at(&s, 0, 1.0);
	check_near(score_at(&s, 0, 1.0).score, 20 / 1.2533141373155, 1e-9);

	/* a spike isn't a level: a window of which nearly half are spikes stays where it was */
	for (int i = 0; i < 20; i++)
		learn_at(&s, 0, i % 20 < 11 ? 5.0 + 0.01 * i : 1e6);
	check(fabs(score_at(&s, 0, 5.0).expected - 5.1) < 0.01);
	check(score_at(&s, 0, 1e6).score > 100.0);

	/* a level, taken up when half of the window is at it */
	for (int i = 0; i < 11; i++)
		learn_at(&s, 0, 1e6);
	check(score_at(&s, 0, 1e6).score < 3.5);

	check(score_at(&s, 0, 1.7e308).score == SP_SCORE_MAX);
	close_series(&s);

	s = open_series(&sp_kernel_mad, &params, SP_DIRECTION_BOTH);
	for (int i = 0; i < 20; i++)
		check(learn_at(&s, 0, 1e100));
	check(score_at(&s, 0, 1e100).score == 0.0 && score_at(&s, 0, -1e100).score == SP_SCORE_MAX);
	check(score_at(&s, 0, 1.7e308).score == SP_SCORE_MAX);
	close_series(&s);
}

int
main(void)
{
	SpMadParams params;

	sp_online_defaults(&sp_kernel_mad, &params);
	check(params.window == 100 && params.warmup == 30);
	for (int kind = 0; kind < 4; kind++)
	{
		test_windows(3, kind);
		test_windows(4, kind);
		test_windows(5, kind);
		test_windows(100, kind);
		test_windows(321, kind);
	}
	test_published();
	test_edges();
	check_extremes(&sp_kernel_mad, &params);
	check_damaged(&sp_kernel_mad, &params, 250, 3000);
	params = (SpMadParams){5, 3};
	check_damaged(&sp_kernel_mad, &params, 4, 3000);
	return failures > 0;
}
