/*
 * test_page_hinkley.c
 *	  Sums against those over all values, taken anew; what it finds, and what not; edges.
 */
#include "kernel.h"
#include "kernel/online/cusum.h"
#include "kernel/online/page_hinkley.h"

static void
test_sums(double delta, double alpha, bool standardize, SpDirection direction)
{
	enum
	{
		N = 300,
		WARMUP = 10
	};
	SpPageHinkleyParams params = {delta, alpha, WARMUP, SP_RESET_NONE, standardize};
	Series		s = open_series(&sp_kernel_page_hinkley, &params, direction);
	double		x[N],
				d[N],
				up[N],
				down[N];
	uint64_t	random = 13;

	for (int i = 0; i < N; i++)
	{
		double		before = 0.0,
					squares = 0.0,
					rise,
					fall;
		SpScore		score;

		x[i] = 100 + 3 * next_normal(&random) + (i > 150 ? 6 : 0);
		for (int k = 0; k < i; k++)
			before += x[k];
		for (int k = 0; k < i; k++)
			squares += (x[k] - before / i) * (x[k] - before / i) / i;
		d[i] = (x[i] - (before + x[i]) / (i + 1)) / (standardize ? sqrt(squares) : 1.0);
		up[i] = down[i] = 0.0;
		for (int k = WARMUP; k <= i; k++)
		{
			up[i] += pow(alpha, i - k) * (d[k] - delta);
			down[i] += pow(alpha, i - k) * (d[k] + delta);
		}
		rise = fmax(0.0, up[i]);
		fall = fmax(0.0, -down[i]);
		for (int k = WARMUP; k <= i; k++)
		{
			rise = fmax(rise, up[i] - pow(alpha, i - k) * up[k]);
			fall = fmax(fall, pow(alpha, i - k) * down[k] - down[i]);
		}
		score = score_at(&s, 0, x[i]);
		check(score.ready == (i >= WARMUP));
		if (i >= WARMUP)
			check_near(score.score, direction == SP_DIRECTION_HIGH ? rise :
					   direction == SP_DIRECTION_LOW ? fall : fmax(rise, fall), 1e-9);
		if (score.ready && !isnan(score.upper_bound))
		{
			s.setup.direction = SP_DIRECTION_HIGH;
			check_near(score_at(&s, 0, score.upper_bound).score, s.setup.threshold, 1e-9);
			s.setup.direction = SP_DIRECTION_LOW;
			check_near(score_at(&s, 0, score.lower_bound).score, s.setup.threshold, 1e-9);
			s.setup.direction = direction;
		}
		check(learn_at(&s, 0, x[i]));
	}
	close_series(&s);
}

/* Noise isn't a change; a shift of one deviation is, once, either way; it takes some events. */
static void
test_changes(double shift)
{
	SpPageHinkleyParams params;
	Series		s;
	uint64_t	random = 20260103;
	int			alarms = 0,
				first = 0;

	sp_online_defaults(&sp_kernel_page_hinkley, &params);
	s = open_series(&sp_kernel_page_hinkley, &params, SP_DIRECTION_BOTH);
	for (int i = 0; i < 20000; i++)
		check(step_at(&s, 0, 50 + 2 * next_normal(&random)) <= s.setup.threshold);
	for (int i = 0; i < 1000; i++)
	{
		if (step_at(&s, 0, 50 + shift + 2 * next_normal(&random)) > s.setup.threshold)
		{
			alarms++;
			first = first == 0 ? i : first;
		}
	}
	check(alarms == 1 && first >= 5 && first < 60);
	close_series(&s);
}

static void
test_edges(void)
{
	SpPageHinkleyParams params = {0.005, 0.9999, 5, SP_RESET_SUMS, false};
	Series		s = open_series(&sp_kernel_page_hinkley, &params, SP_DIRECTION_BOTH);

	/* in the value's units */
	s.setup.threshold = 50.0;
	for (int i = 0; i < 99; i++)
		check(step_at(&s, 0, 7.0) == 0.0);
	check_near(score_at(&s, 0, 17.0).score, 10 * 0.99, 1e-2);
	check(score_at(&s, 0, 1.7e308).score == SP_SCORE_MAX);
	check(step_at(&s, 0, 100.0) > 50.0 && score_at(&s, 0, 7.0).score < 1.0);
	close_series(&s);

	params = (SpPageHinkleyParams){0.25, 1.0, 5, SP_RESET_ALL, true};
	s = open_series(&sp_kernel_page_hinkley, &params, SP_DIRECTION_BOTH);
	for (int i = 0; i < 99; i++)
		check(step_at(&s, 0, 0.1) == 0.0);
	check(step_at(&s, 0, 0.2) > SP_SCORE_MAX - 1);
	for (int i = 0; i < 4; i++)
		check(!score_at(&s, 0, 0.3).ready && learn_at(&s, 0, 0.2));
	check(step_at(&s, 0, 0.2) == 0.0);
	close_series(&s);
}

int
main(void)
{
	SpPageHinkleyParams params;

	sp_online_defaults(&sp_kernel_page_hinkley, &params);
	check(params.delta == 0.25 && params.standardize && params.reset == SP_RESET_ALL);
	test_sums(0.25, 0.9999, true, SP_DIRECTION_BOTH);
	test_sums(0.1, 1.0, true, SP_DIRECTION_LOW);
	test_sums(0.005, 0.99, false, SP_DIRECTION_HIGH);
	test_sums(0.0, 0.5, false, SP_DIRECTION_BOTH);
	test_changes(2.0);
	test_changes(-2.0);
	test_edges();
	check_extremes(&sp_kernel_page_hinkley, &params);
	check_damaged(&sp_kernel_page_hinkley, &params, 250, 3000);
	params.standardize = false;
	check_damaged(&sp_kernel_page_hinkley, &params, 250, 3000);
	return failures > 0;
}
