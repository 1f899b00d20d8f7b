/*
 * test_silence.c
 *	  Gaps against sums over all of them; when a silence is due; what it finds, and what not;
 *	  events ahead and behind; edges.
 */
#include "kernel.h"
#include "kernel/online/silence.h"

static SpSilenceParams
default_params(void)
{
	SpSilenceParams params;

	sp_online_defaults(&sp_kernel_silence, &params);
	return params;
}

/* It is due at the first microsecond at which the score is above the threshold. */
static void
check_due(const Series *s)
{
	int64_t		due = sp_kernel_silence.due(s->state, &s->setup);

	if (due == INT64_MAX)
		return;
	check(score_at(s, due, 0.0).score > s->setup.threshold);
	check(score_at(s, due - 1, 0.0).score <= s->setup.threshold);
}

/* Seconds since that last event; none before it. */
static void
check_measure(const Series *s, int64_t last)
{
	SpPoint		point = {.time = last + 3 * SECOND / 2};

	check_near(sp_kernel_silence.measure(s->state, &s->setup, &point), 1.5, 1e-12);
	point.time = last - 1;
	check(isnan(sp_kernel_silence.measure(s->state, &s->setup, &point)));
}

static void
test_gaps(double alpha, int64_t memory)
{
	enum
	{
		N = 400
	};
	SpSilenceParams params = {alpha, 0.1, 1.5, SECOND, memory, 10};
	Series		s = open_series(&sp_kernel_silence, &params, SP_DIRECTION_BOTH);
	double		logs[N],
				lengths[N],
				raw[N];
	uint64_t	random = 20260110;
	int64_t		time = 5 * DAY;
	int			n = 0;

	for (int i = 0; i < N; i++)
	{
		double		gap = (double) SECOND * exp(2 * next_normal(&random) + (i % 50 == 49 ? 6 : 0));
		double		mean = 0.0,
					variance = 0.0,
					total = 0.0,
					longest = 0.0,
					decay = 1.0,
					deviation,
					z,
					due;
		SpScore		score;

		for (int k = n - 1; k >= 0; k--)
		{
			double		w = pow(1 - alpha, n - 1 - k);

			total += w;
			mean += w * logs[k];
			longest = fmax(longest, lengths[k] * decay);
			decay *= exp2(-raw[k] / (double) memory);
		}
		mean /= total;
		for (int k = n - 1; k >= 0; k--)
			variance += pow(1 - alpha, n - 1 - k) * (logs[k] - mean) * (logs[k] - mean) / total;
		deviation = fmax(sqrt(variance), 0.1);
		raw[n] = gap = floor(gap);
		time += i == 0 ? 0 : (int64_t) gap;
		score = score_at(&s, time, 0.0);
		check(score.ready == (n >= 10));
		z = (log(fmax(gap, 1e6)) - mean) / deviation;
		due = fmax(exp(mean + 3 * deviation), 1.5 * longest);
		if (score.ready)
		{
			if (!(gap > 1.5 * longest))
				z = fmin(z, 3.0);
			check_near(score.score, fmax(0.0, z), 1e-9);
			check_near(score.expected * 1e6, exp(mean), 1e-9 * exp(mean));
			check_near(score.upper_bound * 1e6, due, 1e-9 * due);
			if (score.score > 3.0)
				gap = fmin(gap, 4 * due);
			check_due(&s);
		}
		check(learn_at(&s, time, 0.0));
		if (i == 0)
			continue;
		lengths[n] = fmax(gap, 1e6);
		logs[n] = log(lengths[n]);
		n++;
	}
	check(sp_online_learned(&sp_kernel_silence, s.state, &s.setup) == N);
	close_series(&s);
}

/* A beat each minute: one that is missing is found, after a minute and a half. */
static void
test_regular(void)
{
	SpSilenceParams params = default_params();
	Series		s = open_series(&sp_kernel_silence, &params, SP_DIRECTION_BOTH);
	int64_t		outage = 1000 * MINUTE;
	int64_t		due;

	for (int i = 0; i <= 1000; i++)
	{
		check(step_at(&s, i * MINUTE, 0.0) == 0.0);
		check((sp_kernel_silence.due(s.state, &s.setup) == INT64_MAX) == (i < 20));
	}
	check_near((double) sp_kernel_silence.due(s.state, &s.setup), (double) (1000 * MINUTE + 90 * SECOND), 10);
	check_due(&s);
	check_measure(&s, 1000 * MINUTE);
	check(score_at(&s, 1001 * MINUTE + 10 * SECOND, 0.0).score < 3.0);
	check(score_at(&s, 1002 * MINUTE, 0.0).score > 3.0);

	/* ten days of silence; after that a few minutes of it are still found */
	check(step_at(&s, outage + 10 * DAY, 0.0) > 3.0);
	due = sp_kernel_silence.due(s.state, &s.setup);
	check(due > outage + 10 * DAY + MINUTE && due < outage + 10 * DAY + 15 * MINUTE);
	close_series(&s);
}

/* Seconds by day, and a pause each night: found in the first nights, then usual. */
static void
test_nights(void)
{
	SpSilenceParams params = default_params();
	Series		s = open_series(&sp_kernel_silence, &params, SP_DIRECTION_BOTH);
	uint64_t	random = 20260111;
	int			alarms = 0;

	for (int day = 0; day < 30; day++)
	{
		int64_t		time = day * DAY + 8 * HOUR;

		for (int i = 0; i < 2000; i++)
		{
			bool		found = step_at(&s, time, 0.0) > 3.0;

			alarms += found;
			check(!found || (i == 0 && day < 8));
			time += (int64_t) (-log(1 - next_uniform(&random)) * 25 * (double) SECOND);
		}
	}
	check(alarms >= 1 && alarms <= 8);
	close_series(&s);
}

/* Events of the future, and late ones. */
static void
test_order(void)
{
	SpSilenceParams params = default_params();
	Series		s = open_series(&sp_kernel_silence, &params, SP_DIRECTION_BOTH);
	SpSilence  *state = s.state;
	SpSilence	before;
	double		x = 0.0;
	SpPoint		point = {121 * MINUTE, 0, &x};

	for (int i = 0; i <= 100; i++)
		learn_at(&s, i * MINUTE, 0.0);

	/* late ones, as many as may be, change nothing */
	before = *state;
	for (int i = 0; i < 50; i++)
		check(step_at(&s, i * MINUTE, 0.0) == 0.0);
	before.count += 50;
	check(memcmp(&before, state, sizeof(before)) == 0);

	/* one in two hundred years: then it goes on as before */
	learn_at(&s, 73000 * DAY, 0.0);
	for (int i = 101; i < 120; i++)
		learn_at(&s, i * MINUTE, 0.0);
	check(state->last == 119 * MINUTE);
	check_near((double) sp_kernel_silence.due(s.state, &s.setup), (double) (119 * MINUTE + 90 * SECOND), 10);

	/* one that isn't learned ends the silence */
	before = *state;
	sp_kernel_silence.pass(s.state, &s.setup, &point);
	check(state->last == 121 * MINUTE && state->gaps.count == before.gaps.count);
	check(score_at(&s, 122 * MINUTE, 0.0).score == 0.0);

	/* many at once */
	for (int i = 0; i < 5000; i++)
		check(step_at(&s, 122 * MINUTE + i / 500 * MINUTE, 0.0) <= 3.0);
	check_due(&s);
	check(sp_kernel_silence.due(s.state, &s.setup) > 131 * MINUTE + 60 * SECOND);
	close_series(&s);
}

static void
test_edges(void)
{
	SpSilenceParams params = default_params();
	Series		s = open_series(&sp_kernel_silence, &params, SP_DIRECTION_BOTH);
	SpExplanation why;
	SpScore		score;
	SpPoint		point = {INT64_MAX, INT64_MAX, NULL};

	check(params.memory == 14 * DAY && params.min_gap == SECOND && params.warmup == 20);
	check(sp_kernel_silence.due(s.state, &s.setup) == INT64_MAX);
	for (int i = 0; i < 30; i++)
		learn_at(&s, INT64_MIN, 0.0);
	check(score_at(&s, INT64_MAX, 0.0).score > 3.0);
	check_due(&s);
	learn_at(&s, INT64_MAX, 0.0);
	check(sp_kernel_silence.due(s.state, &s.setup) == INT64_MAX);
	check(sp_kernel_silence.is_sound(s.state, &s.setup));
	close_series(&s);

	/* without a value */
	s = open_series(&sp_kernel_silence, &params, SP_DIRECTION_BOTH);
	s.setup.n = 0;
	for (int i = 0; i < 30; i++)
	{
		point.time = i * MINUTE;
		check(sp_kernel_silence.learn(s.state, &s.setup, &point));
	}
	point.time = HOUR;
	sp_kernel_silence.score(s.state, &s.setup, &point, &score, &why);
	check(score.score > 3.0 && why.nparts == 1 && why.parts[0].amount == score.score);

	/* thresholds that are always, or never, passed */
	s.setup.threshold = -1.0;
	check(sp_kernel_silence.due(s.state, &s.setup) == 29 * MINUTE);
	s.setup.threshold = 1e9;
	check(sp_kernel_silence.due(s.state, &s.setup) == INT64_MAX);
	for (double threshold = 0.0; threshold < 300.0; threshold += 0.7)
	{
		s.setup.threshold = threshold;
		check_due(&s);
	}
	close_series(&s);
}

int
main(void)
{
	SpSilenceParams params = default_params();

	test_gaps(0.02, 14 * DAY);
	test_gaps(0.2, HOUR);
	test_regular();
	test_nights();
	test_order();
	test_edges();
	check_damaged(&sp_kernel_silence, &params, 100, 3000);
	return failures > 0;
}
