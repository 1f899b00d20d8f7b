/*
 * test_velocity.c
 *	  Counts and sums against all events, ties, late ones, more than can be remembered, and the
 *	  edge cases of the fraud rule.
 */
#include "kernel.h"
#include "kernel/online/velocity.h"

enum
{
	N = 4000
};

static int64_t times[N];
static double values[N];

static SpVelocityParams
limits(int events, double sum, int64_t interval, int max_events)
{
	return (SpVelocityParams){events, max_events, sum, interval};
}

/* What is in the interval of event n of those up to it, by all times. */
static void
brute_force(int n, int64_t interval, int *count, double *sum)
{
	*count = 0;
	*sum = 0.0;
	for (int i = 0; i <= n; i++)
	{
		if (times[i] <= times[n] && times[i] > times[n] - interval)
		{
			(*count)++;
			*sum += values[i];
		}
	}
}

/*
 * Series with ties and with events that come up to `late` late.  Exact where memory reaches;
 * `exact` says that it reaches always.
 */
static void
test_counts(SpVelocityParams params, int64_t step, int64_t late, bool exact)
{
	Series		s = open_series(&sp_kernel_velocity, &params, SP_DIRECTION_BOTH);
	uint64_t	random = 17;
	int64_t		time = 0;
	int			over = 0;

	for (int i = 0; i < N; i++)
	{
		double		expected,
					sum,
					score;
		int			count;

		time += (int64_t) (next_random(&random) % 3) * step;
		times[i] = time - (next_random(&random) % 7 == 0 ?
						   (int64_t) (next_uniform(&random) * (double) late) : 0);
		values[i] = (double) (next_random(&random) % 1000) - 100;
		brute_force(i, params.interval, &count, &sum);
		score = score_at(&s, times[i], values[i]).score;
		expected = params.events > 0 ? (double) count / params.events : 0.0;
		if (!isnan(params.sum))
			expected = fmax(expected, sum / params.sum);
		if (exact)
			check(score == fmax(expected, 0.0));
		else
			check(score >= expected);	/* never early */
		if (count > params.max_events)
			over++;
		check(learn_at(&s, times[i], values[i]));
		if (i % 50 == 0)
			check(sp_kernel_velocity.is_sound(s.state, &s.setup));
	}
	check((over > 0) == !exact);
	check(sp_online_learned(&sp_kernel_velocity, s.state, &s.setup) == N);
	close_series(&s);
}

/* More events than can be remembered, in order of time, against a plain list of all. */
static void
test_full(int max_events, int64_t interval)
{
	SpVelocityParams params = limits(3, NAN, interval, max_events);
	Series		s = open_series(&sp_kernel_velocity, &params, SP_DIRECTION_BOTH);
	static int64_t leaves[N];	/* when the event is no longer counted, less the interval */
	static int	present[N];
	uint64_t	random = 23;
	int64_t		time = 0;

	for (int i = 0; i < N; i++)
	{
		int			count = 1;
		int			entries = 0;
		int			oldest = -1,
					second = -1;

		time += (int64_t) (next_random(&random) % 4);
		for (int k = 0; k < i; k++)
			count += present[k] && leaves[k] > time - interval;
		check(score_at(&s, time, 0.0).score == count / 3.0);
		learn_at(&s, time, 0.0);

		present[i] = 1;
		leaves[i] = time;
		/* entries are runs of events that leave together, in this series of a merged first one */
		for (int k = 0; k <= i; k++)
		{
			if (!present[k])
				continue;
			if (present[k] == 2 && oldest >= 0)
				continue;
			entries++;
			if (oldest < 0)
				oldest = k;
			else if (second < 0)
				second = k;
		}
		if (entries <= max_events)
			continue;
		if (leaves[oldest] <= time - interval)
		{
			for (int k = 0; k <= i; k++)
			{
				if (k == oldest || present[k] == 2)
					present[k] = 0;
			}
			continue;
		}
		for (int k = 0; k < second; k++)
		{
			if (present[k])
				leaves[k] = leaves[second];
		}
		present[oldest] = 1;
		for (int k = oldest + 1; k <= second; k++)
		{
			if (present[k])
				present[k] = 2;
		}
	}
	close_series(&s);
}

/* More than five in five minutes. */
static void
test_fraud_rule(void)
{
	SpVelocityParams params = limits(5, NAN, 5 * MINUTE, 1000);
	Series		s = open_series(&sp_kernel_velocity, &params, SP_DIRECTION_BOTH);

	/* six rows in 150 s: the sixth alerts */
	for (int i = 0; i < 6; i++)
		check((step_at(&s, i * 30 * SECOND, 1.0) > 1.0) == (i == 5));
	close_series(&s);

	/* the sixth exactly 5:00 after the first: five; a microsecond earlier: six */
	s = open_series(&sp_kernel_velocity, &params, SP_DIRECTION_BOTH);
	for (int i = 0; i < 5; i++)
		step_at(&s, i * 30 * SECOND, 1.0);
	check(score_at(&s, 5 * MINUTE, 1.0).score == 1.0);
	check(score_at(&s, 5 * MINUTE - 1, 1.0).score == 1.2);
	close_series(&s);

	/* three of one time */
	s = open_series(&sp_kernel_velocity, &params, SP_DIRECTION_BOTH);
	for (int i = 1; i <= 3; i++)
		check(step_at(&s, 7, 1.0) == i / 5.0);

	/* a late one counts what is in its own interval */
	check(step_at(&s, 4 * MINUTE, 1.0) == 4 / 5.0);
	check(step_at(&s, 2 * MINUTE, 1.0) == 4 / 5.0);
	check(step_at(&s, -1, 1.0) == 1 / 5.0);
	check(step_at(&s, 4 * MINUTE, 1.0) == 7 / 5.0);
	close_series(&s);

	/* one a quarter of an hour ahead, then back to normal */
	s = open_series(&sp_kernel_velocity, &params, SP_DIRECTION_BOTH);
	for (int i = 0; i < 4; i++)
		step_at(&s, i * 10 * SECOND, 1.0);
	check(step_at(&s, 16 * MINUTE, 1.0) == 1 / 5.0);
	check(step_at(&s, 50 * SECOND, 1.0) == 5 / 5.0);
	check(step_at(&s, 60 * SECOND, 1.0) == 6 / 5.0);
	check(step_at(&s, 16 * MINUTE, 1.0) == 2 / 5.0);
	close_series(&s);
}

static void
test_sum(void)
{
	SpVelocityParams params = limits(0, 100.0, MINUTE, 1000);
	Series		s = open_series(&sp_kernel_velocity, &params, SP_DIRECTION_BOTH);
	SpExplanation why;
	SpScore		score;
	double		x = 41.0;
	SpPoint		point = {3, 3, &x};

	check(step_at(&s, 0, 60.0) == 0.6);
	score = score_at(&s, 1, 40.0);
	check(score.score == 1.0 && score.upper_bound == 40.0 && score.ready);
	check(score_at(&s, 1, 40.0 + 1e-13).score > 1.0);
	sp_kernel_velocity.score(s.state, &s.setup, &point, &score, &why);
	check(score.score == 1.01 && why.nparts == 1 && strcmp(why.parts[0].name, "sum") == 0);
	check(why.parts[0].amount == 1.01 && why.upper[0] == 40.0);
	check(step_at(&s, 2, -90.0) == 0.0);
	check(step_at(&s, 3, 100.0) == 0.7);
	close_series(&s);

	/* a limit of which nothing above is lost in rounding */
	params.sum = nextafter(2.0, 1.0);
	s = open_series(&sp_kernel_velocity, &params, SP_DIRECTION_BOTH);
	check(score_at(&s, 0, params.sum).score == 1.0);
	check(score_at(&s, 0, 2.0).score > 1.0);
	close_series(&s);

	/* both limits: the larger share */
	params = limits(4, 100.0, MINUTE, 1000);
	s = open_series(&sp_kernel_velocity, &params, SP_DIRECTION_BOTH);
	check(step_at(&s, 0, 10.0) == 0.25);
	check(step_at(&s, 0, 90.0) == 1.0);
	check(step_at(&s, 0, -90.0) == 0.75);
	close_series(&s);

	/* sums too large for a number */
	params.max_events = 5;
	s = open_series(&sp_kernel_velocity, &params, SP_DIRECTION_BOTH);
	for (int i = 0; i < 5; i++)
		check(learn_at(&s, i, 1.7e308));
	check(!learn_at(&s, 5, 1.7e308) && sp_online_learned(&sp_kernel_velocity, s.state, &s.setup) == 5);
	check(score_at(&s, 5, 1.0).score == SP_SCORE_MAX && isnan(score_at(&s, 5, 1.0).upper_bound));
	close_series(&s);
}

/* Many events of the future don't make it blind for the present. */
static void
test_future(void)
{
	SpVelocityParams params = limits(3, NAN, MINUTE, 10);
	Series		s = open_series(&sp_kernel_velocity, &params, SP_DIRECTION_BOTH);

	for (int round = 0; round < 3; round++)
	{
		for (int i = 0; i < 30; i++)
			step_at(&s, DAY + (round == 1 ? i * HOUR : 0), 0.0);
		for (int i = 0; i < 8; i++)
			check(step_at(&s, (10 + round) * MINUTE + i, 0.0) == (i + 1) / 3.0);
	}
	check(score_at(&s, INT64_MAX, 0.0).score > 0.0 && score_at(&s, INT64_MIN, 0.0).score > 0.0);
	close_series(&s);
}

static void
test_params(void)
{
	SpVelocityParams params;

	sp_online_defaults(&sp_kernel_velocity, &params);
	check(params.events == 0 && isnan(params.sum) && params.interval == 5 * MINUTE);
	check(params.max_events == 1000);
	check(sp_kernel_velocity.conflict(&params, 0) == NULL);
	check(sp_online_state_size(&sp_kernel_velocity, &params, 1) == sizeof(SpVelocity) + 8000);
	params.sum = 5.0;
	check(sp_kernel_velocity.conflict(&params, 0) != NULL);
	check(sp_kernel_velocity.conflict(&params, 1) == NULL);
	check(sp_online_state_size(&sp_kernel_velocity, &params, 1) == sizeof(SpVelocity) + 16000);
	params.events = 1000;
	check(sp_kernel_velocity.conflict(&params, 1) != NULL);
}

/* The most that an interval holds that ends with event n or a later one that came before, and has n. */
static double
find_most(int n, const SpVelocityParams *params)
{
	double		most = 0.0;

	for (int e = 0; e <= n; e++)
	{
		double		sum = 0.0;
		int			count = 0;

		if (times[e] < times[n] || times[e] - params->interval >= times[n])
			continue;
		for (int i = 0; i <= n; i++)
		{
			if (times[i] <= times[e] && times[i] > times[e] - params->interval)
			{
				count++;
				sum += values[i];
			}
		}
		most = fmax(most, fmax((double) count / params->events, sum / params->sum));
	}
	return most;
}

/* Looking ahead: late events count in the intervals of those after them. */
static void
test_ahead(void)
{
	SpVelocityParams params = limits(5, 3000.0, 50, 1000);
	Series		s = open_series(&sp_kernel_velocity, &params, SP_DIRECTION_BOTH);
	uint64_t	random = 23;
	int64_t		time = 0;
	int			more = 0;

	s.setup.looks_ahead = true;
	for (int i = 0; i < N / 4; i++)
	{
		double		score;

		time += (int64_t) (next_random(&random) % 3);
		times[i] = time - (next_random(&random) % 3 == 0 ? (int64_t) (next_random(&random) % 90) : 0);
		values[i] = (double) (next_random(&random) % 1000) - 100;
		score = score_at(&s, times[i], values[i]).score;
		check(score == find_most(i, &params));
		s.setup.looks_ahead = false;
		more += score > score_at(&s, times[i], values[i]).score ? 1 : 0;
		s.setup.looks_ahead = true;
		check(learn_at(&s, times[i], values[i]));
	}
	check(more > N / 40);
	close_series(&s);
}

int
main(void)
{
	SpVelocityParams params;

	test_params();
	test_counts(limits(5, NAN, 20, 1000), 1, 0, true);
	test_counts(limits(5, NAN, 20, 1000), 1, 30, true);
	test_counts(limits(5, 3000.0, 50, 400), 1, 100, true);
	test_counts(limits(0, 3000.0, 5 * MINUTE, 1000), SECOND, 10 * MINUTE, true);
	test_counts(limits(5, NAN, 60, 30), 1, 0, false);
	test_counts(limits(5, NAN, 60, 30), 1, 10, false);
	test_full(4, 10);
	test_full(10, 12);
	test_full(30, 60);
	test_fraud_rule();
	test_sum();
	test_future();
	test_ahead();
	params = limits(5, 1000.0, 10 * MINUTE, 40);
	check_damaged(&sp_kernel_velocity, &params, 100, 3000);
	params = limits(5, NAN, 10 * MINUTE, 40);
	check_damaged(&sp_kernel_velocity, &params, 20, 3000);
	return failures > 0;
}
