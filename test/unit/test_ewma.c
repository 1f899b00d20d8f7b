/*
 * test_ewma.c
 *	  The recursion against weighted sums over the whole history; its edges.
 */
#include "kernel/online/ewma.h"
#include "unit.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The kernel's calls with one value. */
static void
score_value(const SpEwma *state, const SpEwmaParams *params, double x, SpDirection direction,
			SpScore *score)
{
	SpSetup		setup = {.params = params, .n = 1, .direction = direction, .threshold = SP_EWMA_THRESHOLD};
	SpPoint		point = {0, 0, &x};

	sp_kernel_ewma.score(state, &setup, &point, score, NULL);
}

static bool
learn_value(SpEwma *state, const SpEwmaParams *params, double x)
{
	SpSetup		setup = {.params = params, .n = 1, .direction = SP_DIRECTION_BOTH, .threshold = SP_EWMA_THRESHOLD};
	SpPoint		point = {0, 0, &x};

	return sp_kernel_ewma.learn(state, &setup, &point);
}

static double
p_value(SpDirection direction, const SpScore *score)
{
	SpSetup		setup = {.params = NULL, .n = 1, .direction = direction, .threshold = SP_EWMA_THRESHOLD};

	return sp_kernel_ewma.p_value(&setup, score->score);
}

static void
init(SpEwma *state)
{
	memset(state, 0, sizeof(*state));
}

/* Mean and variance of x[0..n-1] with normalized weights, in long double. */
static void
brute_force(const double *x, int n, double alpha, double *mean, double *variance)
{
	long double weight = 1.0L,
				total = 0.0L,
				sum = 0.0L,
				squares = 0.0L;
	int			i;

	for (i = n - 1; i >= 0 && weight > 1e-30L; i--, weight *= 1.0L - (long double) alpha)
	{
		total += weight;
		sum += weight * x[i];
	}
	sum /= total;
	weight = 1.0L;
	for (i = n - 1; i >= 0 && weight > 1e-30L; i--, weight *= 1.0L - (long double) alpha)
		squares += weight * (x[i] - sum) * (x[i] - sum);
	*mean = (double) sum;
	*variance = (double) (squares / total);
}

/* Roughly normal. */
static double
next_normal(uint64_t *random)
{
	double		sum = -6.0;
	int			i;

	for (i = 0; i < 12; i++)
		sum += next_uniform(random);
	return sum;
}

static void
test_recursion(double alpha, double offset, double scale)
{
	enum
	{
		N = 3000
	};
	SpEwmaParams params = {alpha, 2};
	SpEwma		state;
	double	   *x = malloc(N * sizeof(double));
	uint64_t	random = 42;
	int			i;

	init(&state);
	for (i = 0; i < N; i++)
	{
		double		mean,
					variance;

		x[i] = offset + scale * next_normal(&random) + (i > N / 2 ? 5 * scale : 0);
		check(learn_value(&state, &params, x[i]));
		if (i > 100 && i % 97 != 0)
			continue;
		brute_force(x, i + 1, alpha, &mean, &variance);
		check_near(state.mean, mean, 1e-12 * (fabs(offset) + scale));
		check_near(state.variance, variance, 1e-12 * scale * (fabs(offset) + scale));
	}
	check(state.count == N);
	free(x);
}

/* After 10^7 events nothing has drifted away from what the last ones say. */
static void
test_drift(void)
{
	enum
	{
		N = 10000000,
		KEPT = 20000
	};
	SpEwmaParams params = {0.005, 2};
	SpEwma		state;
	double	   *last = malloc(KEPT * sizeof(double));
	double		mean,
				variance;
	uint64_t	random = 7;
	int			i;

	init(&state);
	for (i = 0; i < N; i++)
	{
		double		x = 1000.0 + 10.0 * sin(i * 1e-3) + next_uniform(&random);

		if (i >= N - KEPT)
			last[i - (N - KEPT)] = x;
		learn_value(&state, &params, x);
	}
	brute_force(last, KEPT, params.alpha, &mean, &variance);
	check_near(state.mean, mean, 1e-12 * 1000.0);
	check_near(state.variance, variance, 1e-12 * variance * 1000.0);
	check_near(state.weight, 1.0 / params.alpha, 1e-9);
	free(last);
}

static void
test_warmup(void)
{
	SpEwmaParams params = {0.1, 5};
	SpEwma		state;
	SpScore		score;
	int			i;

	init(&state);
	score_value(&state, &params, 1e9, SP_DIRECTION_BOTH, &score);
	check(score.score == 0.0 && !score.ready && isnan(score.expected));
	for (i = 0; i < 5; i++)
	{
		score_value(&state, &params, 1e9, SP_DIRECTION_BOTH, &score);
		check(score.score == 0.0 && !score.ready && isnan(score.lower_bound));
		learn_value(&state, &params, i);
	}
	score_value(&state, &params, 1e9, SP_DIRECTION_BOTH, &score);
	check(score.score == SP_SCORE_MAX && p_value(SP_DIRECTION_BOTH, &score) == 0.0);
	check(score.lower_bound < score.expected && score.expected < score.upper_bound);
}

/* A state with mean 10 and standard deviation 2, to the last bit. */
static void
set_state(SpEwma *state, const SpEwmaParams *params)
{
	(void) params;
	init(state);
	state->count = 100;
	state->weight = 10.0;
	state->mean = 10.0;
	state->variance = 4.0;
}

static void
test_directions(void)
{
	SpEwmaParams params = {0.1, 5};
	SpEwma		state;
	SpScore		score;

	set_state(&state, &params);
	score_value(&state, &params, 16.0, SP_DIRECTION_BOTH, &score);
	check(score.score == 3.0 && score.expected == 10.0);
	check(score.lower_bound == 4.0 && score.upper_bound == 16.0);
	check_near(p_value(SP_DIRECTION_BOTH, &score), 0.0026997960632601866, 1e-15);
	score_value(&state, &params, 4.0, SP_DIRECTION_BOTH, &score);
	check(score.score == 3.0);
	score_value(&state, &params, 16.0, SP_DIRECTION_HIGH, &score);
	check(score.score == 3.0);
	check_near(p_value(SP_DIRECTION_HIGH, &score), 0.0013498980316300933, 1e-15);
	score_value(&state, &params, 16.0, SP_DIRECTION_LOW, &score);
	check(score.score == -3.0);
	check_near(p_value(SP_DIRECTION_LOW, &score), 1.0 - 0.0013498980316300933, 1e-15);
	score_value(&state, &params, 4.0, SP_DIRECTION_LOW, &score);
	check(score.score == 3.0);
	score_value(&state, &params, 10.0, SP_DIRECTION_BOTH, &score);
	check(score.score == 0.0 && p_value(SP_DIRECTION_BOTH, &score) == 1.0);
}

static void
test_constant(void)
{
	SpEwmaParams params = {0.05, 30};
	SpEwma		state;
	SpScore		score;
	int			i;

	init(&state);
	for (i = 0; i < 100000; i++)
		learn_value(&state, &params, 0.1);
	check(state.mean == 0.1 && state.variance == 0.0);
	score_value(&state, &params, 0.1, SP_DIRECTION_BOTH, &score);
	check(score.score == 0.0 && p_value(SP_DIRECTION_BOTH, &score) == 1.0);
	check(score.lower_bound == 0.1 && score.upper_bound == 0.1);
	score_value(&state, &params, 0.1 + DBL_EPSILON / 16, SP_DIRECTION_BOTH, &score);
	check(score.score == 0.0);	/* rounding */

	/* the first departure, and the way back */
	score_value(&state, &params, 0.2, SP_DIRECTION_BOTH, &score);
	check(score.score == SP_SCORE_MAX && p_value(SP_DIRECTION_BOTH, &score) == 0.0);
	score_value(&state, &params, 0.2, SP_DIRECTION_LOW, &score);
	check(score.score == -SP_SCORE_MAX && p_value(SP_DIRECTION_LOW, &score) == 1.0);
	score_value(&state, &params, 0.0, SP_DIRECTION_LOW, &score);
	check(score.score == SP_SCORE_MAX);
	learn_value(&state, &params, 0.2);
	for (i = 0; i < 100000; i++)
	{
		score_value(&state, &params, 0.1, SP_DIRECTION_BOTH, &score);
		check(score.score < 3.0);
		learn_value(&state, &params, 0.1);
	}

	/* a series of zeros */
	init(&state);
	for (i = 0; i < 100; i++)
		learn_value(&state, &params, 0.0);
	score_value(&state, &params, -0.0, SP_DIRECTION_BOTH, &score);
	check(score.score == 0.0);
	score_value(&state, &params, DBL_MIN, SP_DIRECTION_BOTH, &score);
	check(score.score == SP_SCORE_MAX);
}

static void
test_bad_values(void)
{
	SpEwmaParams params = {0.1, 2};
	SpEwma		state,
				before;
	SpScore		score;

	set_state(&state, &params);
	before = state;
	check(!learn_value(&state, &params, DBL_MAX));	/* its square is infinite */
	check(memcmp(&state, &before, sizeof(state)) == 0);
	score_value(&state, &params, DBL_MAX, SP_DIRECTION_BOTH, &score);
	check(score.score == SP_SCORE_MAX);
	init(&state);
	state.mean = -DBL_MAX;
	state.count = 2;
	score_value(&state, &params, DBL_MAX, SP_DIRECTION_HIGH, &score);
	check(score.score == SP_SCORE_MAX && p_value(SP_DIRECTION_HIGH, &score) == 0.0);
}

static void
test_soundness(void)
{
	SpEwmaParams params = {0.1, 5};
	SpSetup		setup = {.params = &params, .n = 1, .direction = SP_DIRECTION_BOTH, .threshold = SP_EWMA_THRESHOLD};
	SpEwma		state,
				damaged;

	set_state(&state, &params);
	check(sp_kernel_ewma.is_sound(&state, &setup));

#define check_refused(field, bad) \
	do { \
		damaged = state; \
		damaged.field = (bad); \
		check(!sp_kernel_ewma.is_sound(&damaged, &setup)); \
	} while (0)
	check_refused(mean, NAN);
	check_refused(variance, -1.0);
	check_refused(variance, INFINITY);
	check_refused(weight, 0.5);
	check_refused(count, 0);
}

int
main(void)
{
	SpEwmaParams params;

	sp_online_defaults(&sp_kernel_ewma, &params);
	check(params.alpha == 0.05 && params.warmup == 30);
	test_recursion(0.05, 0.0, 1.0);
	test_recursion(0.3, 100.0, 1.0);
	test_recursion(0.9, -1000.0, 3.0);
	test_recursion(0.001, 1e6, 1e3);
	test_recursion(1e-6, 0.0, 1e-8);
	test_drift();
	test_warmup();
	test_directions();
	test_constant();
	test_bad_values();
	test_soundness();
	return failures > 0;
}
