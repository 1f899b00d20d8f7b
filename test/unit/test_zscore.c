/*
 * test_zscore.c
 *	  Windows against sums over them, taken anew; edges; that nothing drifts.
 */
#include "kernel.h"
#include "kernel/online/zscore.h"

enum
{
	N = 3000
};

static int64_t times[N];		/* as which the events' times count */
static double values[N];

/*
 * Mean and sample deviation of what is in the window of a point at that time after n events, in
 * long double; how many there are.
 */
static int
brute_force(const SpZscoreParams *params, int n, int64_t time, double *mean, double *deviation)
{
	int			first = n > params->window ? n - params->window : 0;
	long double sum = 0.0L,
				squares = 0.0L;

	while (params->interval > 0 && first < n && times[first] <= time - params->interval)
		first++;
	for (int i = first; i < n; i++)
		sum += values[i];
	*mean = (double) (sum / (n - first));
	for (int i = first; i < n; i++)
		squares += (values[i] - sum / (n - first)) * (values[i] - sum / (n - first));
	*deviation = (double) sqrtl(squares / (n - first - 1));
	return n - first;
}

static void
test_windows(int window, int64_t interval, double offset, int64_t late)
{
	SpZscoreParams params = {window, 5, interval};
	Series		s = open_series(&sp_kernel_zscore, &params, SP_DIRECTION_HIGH);
	uint64_t	random = 5;
	int			needed = window < 5 ? window : 5;
	int64_t		time = 0,
				point_time;

	for (int i = 0; i < N; i++)
	{
		double		mean = 0.0,
					deviation = 0.0;
		SpScore		score;
		int			n;

		time += (int64_t) (next_random(&random) % 20) * SECOND;
		point_time = next_random(&random) % 9 == 0 ? time - late : time;
		times[i] = i > 0 && times[i - 1] > point_time ? times[i - 1] : point_time;
		values[i] = offset + next_normal(&random) * (i % 400 < 200 ? 1 : 50);
		n = brute_force(&params, i, times[i], &mean, &deviation);
		score = score_at(&s, point_time, values[i]);
		check(score.ready == (n >= needed));
		if (score.ready)
		{
			check_near(score.expected, mean, 1e-13 * fabs(mean) + 1e-12);
			check_near(score.score, (values[i] - mean) / deviation,
					   1e-9 * (1 + fabs(score.score)) * (1 + fabs(offset) * 1e-6));
			check_near(score.upper_bound, mean + 3 * deviation, 1e-9 * (fabs(mean) + deviation));
		}
		check(learn_at(&s, point_time, values[i]));
		check(sp_kernel_zscore.is_sound(s.state, &s.setup));
	}
	check(sp_online_learned(&sp_kernel_zscore, s.state, &s.setup) == N);
	close_series(&s);
}

/* After ten million events, after each of a different size, the window is what it is. */
static void
test_drift(void)
{
	SpZscoreParams params = {50, 30, 0};
	Series		s = open_series(&sp_kernel_zscore, &params, SP_DIRECTION_BOTH);
	uint64_t	random = 3;
	SpScore		score;

	for (int i = 0; i < 10000000; i++)
		learn_at(&s, i, i % 1000 < 500 ? 1e15 * next_uniform(&random) : next_uniform(&random));
	for (int i = 0; i < 50; i++)
		learn_at(&s, 10000000 + i, i % 2 == 0 ? 0.25 : 0.75);
	score = score_at(&s, 20000000, 1.0);
	check_near(score.expected, 0.5, 1e-15);
	check_near(score.score, 0.5 / sqrt(50.0 / 16.0 / 49.0), 1e-12);
	close_series(&s);
}

/* An event a quarter of an hour ahead: those that follow see the others as before. */
static void
test_ahead(void)
{
	SpZscoreParams params = {100, 3, 5 * MINUTE};
	Series		s = open_series(&sp_kernel_zscore, &params, SP_DIRECTION_BOTH);
	SpScore		before,
				after;

	for (int i = 0; i < 10; i++)
		learn_at(&s, i * 20 * SECOND, i);
	before = score_at(&s, 200 * SECOND, 5.0);
	check(!score_at(&s, 20 * MINUTE, 4.5).ready);
	learn_at(&s, 20 * MINUTE, 4.5);
	after = score_at(&s, 200 * SECOND, 5.0);
	check(after.ready && after.expected == before.expected && after.score < 1.0);
	learn_at(&s, 200 * SECOND, 5.0);
	check(score_at(&s, 210 * SECOND, 5.0).ready);
	close_series(&s);
}

static void
test_edges(void)
{
	SpZscoreParams params = {10, 30, 0};
	Series		s = open_series(&sp_kernel_zscore, &params, SP_DIRECTION_BOTH);

	/* the window is the warm-up */
	for (int i = 0; i < 10; i++)
	{
		check(!score_at(&s, 0, 1e9).ready);
		learn_at(&s, 0, 0.1);
	}
	check(sp_online_needed(&sp_kernel_zscore, &params, 1) == 10);

	/* constant, then not, then only that */
	check(score_at(&s, 0, 0.1).score == 0.0);
	check(score_at(&s, 0, 0.2).score == SP_SCORE_MAX);
	learn_at(&s, 0, 0.2);
	check_near(score_at(&s, 0, 0.2).score, 0.09 / sqrt(0.1 * 0.1 * 0.9 / 9), 1e-12);
	for (int i = 0; i < 10; i++)
		learn_at(&s, 0, 0.1);
	check(score_at(&s, 0, 0.1).score == 0.0 && score_at(&s, 0, 0.2).score == SP_SCORE_MAX);

	/* too far away, now and in every part of the window later */
	for (int i = 0; i < 30; i++)
		learn_at(&s, 0, i % 2 == 0 ? 5e99 : -5e99);
	check_near(score_at(&s, 0, 0.0).score, 0.0, 1e-12);
	close_series(&s);

	/* times as far apart as they can be */
	params = (SpZscoreParams){10, 2, MINUTE};
	s = open_series(&sp_kernel_zscore, &params, SP_DIRECTION_BOTH);
	for (int i = 0; i < 30; i++)
		learn_at(&s, i % 2 == 0 ? INT64_MIN : INT64_MAX, i);
	check(sp_kernel_zscore.is_sound(s.state, &s.setup));
	close_series(&s);
}

int
main(void)
{
	SpZscoreParams params;

	sp_online_defaults(&sp_kernel_zscore, &params);
	check(params.window == 100 && params.warmup == 30 && params.interval == 0);
	test_windows(100, 0, 0.0, 0);
	test_windows(2, 0, 5.0, 0);
	test_windows(7, 0, 1e6, MINUTE);
	test_windows(1000, 0, -1e3, 0);
	test_windows(100, 5 * MINUTE, 0.0, 0);
	test_windows(100, 5 * MINUTE, 0.0, 5 * MINUTE);
	test_windows(20, 5 * MINUTE, 10.0, MINUTE);
	test_windows(500, 10 * SECOND, 0.0, 9 * SECOND);
	test_drift();
	test_ahead();
	test_edges();
	check_extremes(&sp_kernel_zscore, &params);
	check_damaged(&sp_kernel_zscore, &params, 250, 3000);
	params = (SpZscoreParams){30, 5, 10 * MINUTE};
	check_damaged(&sp_kernel_zscore, &params, 100, 3000);
	return failures > 0;
}
