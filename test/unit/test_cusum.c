/*
 * test_cusum.c
 *	  Sums against the largest of all partial sums, a published table, run lengths; edges.
 */
#include "kernel.h"
#include "kernel/online/cusum.h"

/* Montgomery, Introduction to Statistical Quality Control: mean 10, deviation 1, k = 0.5, h = 5. */
static void
test_published(void)
{
	static const double x[30] = {
		9.45, 7.99, 9.29, 11.66, 12.16, 10.18, 8.04, 11.46, 9.20, 10.34,
		9.03, 11.47, 10.51, 9.40, 10.08, 9.37, 10.62, 10.31, 8.52, 10.84,
		10.90, 9.33, 12.29, 11.50, 10.60, 11.08, 10.38, 11.62, 11.31, 10.52
	};
	static const double high[30] = {
		0, 0, 0, 1.16, 2.82, 2.50, 0.04, 1.00, 0, 0,
		0, 0.97, 0.98, 0, 0, 0, 0.12, 0, 0, 0.34,
		0.74, 0, 1.79, 2.79, 2.89, 3.47, 3.35, 4.47, 5.28, 5.30
	};
	SpCusumParams params = {0.5, 0.01, 2, SP_RESET_NONE};
	Series		s = open_series(&sp_kernel_cusum, &params, SP_DIRECTION_HIGH);
	SpCusum    *state = s.state;

	state->count = state->since = 100;
	for (int i = 0; i < 30; i++)
	{
		state->base = (SpMoments){10.0, 10.0, 1.0};
		check_near(step_at(&s, 0, x[i]), high[i], 1e-9);
		check((high[i] > s.setup.threshold) == (i >= 28));
	}
	close_series(&s);
}

/* The sum is the largest of those over the last values, however many, or none. */
static void
test_sums(double drift, double alpha, SpDirection direction)
{
	enum
	{
		N = 400,
		WARMUP = 20
	};
	SpCusumParams params = {drift, alpha, WARMUP, SP_RESET_NONE};
	Series		s = open_series(&sp_kernel_cusum, &params, direction);
	double		x[N],
				z[N];
	uint64_t	random = 31;

	for (int i = 0; i < N; i++)
	{
		double		total = 0.0,
					mean = 0.0,
					variance = 0.0,
					weight = 1.0,
					best[2] = {0.0, 0.0},
					expected;
		SpScore		score;

		x[i] = 5.0 + next_normal(&random) + (i / 60) % 3;
		for (int k = i - 1; k >= 0; k--, weight *= 1.0 - alpha)
		{
			total += weight;
			mean += weight * x[k];
		}
		mean /= total;
		weight = 1.0;
		for (int k = i - 1; k >= 0; k--, weight *= 1.0 - alpha)
			variance += weight * (x[k] - mean) * (x[k] - mean) / total;
		z[i] = (x[i] - mean) / sqrt(variance);
		for (int sign = 0; sign < 2; sign++)
		{
			double		sum = 0.0;

			for (int k = i; k >= WARMUP; k--)
			{
				sum += (sign == 0 ? z[k] : -z[k]) - drift;
				best[sign] = fmax(best[sign], sum);
			}
		}
		expected = direction == SP_DIRECTION_HIGH ? best[0] :
			direction == SP_DIRECTION_LOW ? best[1] : fmax(best[0], best[1]);
		score = score_at(&s, 0, x[i]);
		check(score.ready == (i >= WARMUP));
		check_near(score.score, i >= WARMUP ? expected : 0.0, 1e-9);
		if (score.ready && !isnan(score.upper_bound))
		{
			/* at the bounds it is at the threshold */
			s.setup.direction = SP_DIRECTION_HIGH;
			check_near(score_at(&s, 0, score.upper_bound).score, 5.0, 1e-9);
			s.setup.direction = SP_DIRECTION_LOW;
			check_near(score_at(&s, 0, score.lower_bound).score, 5.0, 1e-9);
			s.setup.direction = direction;
		}
		check(learn_at(&s, 0, x[i]));
	}
	close_series(&s);
}

/* Events until the threshold, of known mean and deviation and a shift by so many deviations. */
static double
measure_run_length(double shift, int runs)
{
	SpCusumParams params = {0.5, 0.01, 2, SP_RESET_SUMS};
	Series		s = open_series(&sp_kernel_cusum, &params, SP_DIRECTION_BOTH);
	SpCusum    *state = s.state;
	uint64_t	random = 77;
	int64_t		events = 0;

	state->count = state->since = 100;
	for (int alarms = 0; alarms < runs; events++)
	{
		state->base = (SpMoments){10.0, 0.0, 1.0};
		alarms += step_at(&s, 0, next_normal(&random) + shift) > 5.0;
	}
	close_series(&s);
	return (double) events / runs;
}

static void
test_reset(SpReset reset, int alarms_at_most, int alarms_at_least)
{
	SpCusumParams params = {0.5, 0.01, 50, (int32_t) reset};
	Series		s = open_series(&sp_kernel_cusum, &params, SP_DIRECTION_BOTH);
	uint64_t	random = 20260107;
	int			alarms = 0;

	for (int i = 0; i < 100; i++)
		check(step_at(&s, 0, 0.1 * next_normal(&random)) < 5.0);
	for (int i = 0; i < 100; i++)
		alarms += step_at(&s, 0, 0.3 + 0.1 * next_normal(&random)) > 5.0;
	check(alarms >= alarms_at_least && alarms <= alarms_at_most);
	check(sp_online_learned(&sp_kernel_cusum, s.state, &s.setup) == 200);
	close_series(&s);
}

static void
test_edges(void)
{
	SpCusumParams params = {0.5, 0.01, 5, SP_RESET_SUMS};
	Series		s = open_series(&sp_kernel_cusum, &params, SP_DIRECTION_BOTH);
	SpExplanation why;
	SpScore		score;
	double		x = 0.2;
	SpPoint		point = {0, 0, &x};

	for (int i = 0; i < 1000; i++)
		check(step_at(&s, 0, 0.1) == 0.0);
	sp_kernel_cusum.score(s.state, &s.setup, &point, &score, &why);
	check(score.score > SP_SCORE_MAX - 1 && why.nparts == 2);
	check(learn_at(&s, 0, 0.2) && score_at(&s, 0, 0.1).score < 1.0);
	close_series(&s);
}

int
main(void)
{
	SpCusumParams params;
	double		length;

	sp_online_defaults(&sp_kernel_cusum, &params);
	check(params.drift == 0.5 && params.warmup == 100 && params.reset == SP_RESET_SUMS);
	test_published();
	test_sums(0.5, 0.05, SP_DIRECTION_BOTH);
	test_sums(0.5, 0.0, SP_DIRECTION_HIGH);
	test_sums(0.25, 0.01, SP_DIRECTION_LOW);
	test_sums(0.0, 0.3, SP_DIRECTION_BOTH);
	length = measure_run_length(0.0, 2000);
	check(length > 420 && length < 520);	/* 465 */
	length = measure_run_length(1.0, 2000);
	check(length > 9.8 && length < 10.8);	/* 10.4 from 0 on */
	length = measure_run_length(-2.0, 2000);
	check(length > 3.8 && length < 4.2);	/* 4.01 */
	test_reset(SP_RESET_NONE, 100, 40);
	test_reset(SP_RESET_SUMS, 40, 5);
	test_reset(SP_RESET_ALL, 1, 1);
	test_edges();
	check_extremes(&sp_kernel_cusum, &params);
	check_damaged(&sp_kernel_cusum, &params, 250, 3000);
	return failures > 0;
}
