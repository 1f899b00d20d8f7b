/*
 * test_spot.c
 *	  Extreme values by their probability: the stream against the algorithm of the paper written
 *	  plainly, its promise of a risk, what moves to another level, edges.
 */
#include "kernel/online/spot.h"
#include "kernel/online/judge.h"
#include "unit.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_VALUES	300000

/* ---- chance ---- */

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

/* Generalized Pareto, by inversion. */
static double
next_pareto(uint64_t *random, double shape, double scale)
{
	double		e = next_exponential(random);

	return shape == 0.0 ? scale * e : scale * expm1(shape * e) / shape;
}

/* ---- the stream ---- */

static SpSetup
make_setup(const SpKernel *kernel, SpSpotParams *params)
{
	SpSetup		setup = {.params = params, .n = 1, .direction = SP_DIRECTION_BOTH, .threshold = 0.0};

	sp_online_defaults(kernel, params);
	setup.threshold = sp_online_threshold(kernel, params, 1);
	return setup;
}

static void *
make_state(const SpKernel *kernel, const SpSetup *setup)
{
	void	   *state = malloc(sp_online_state_size(kernel, setup->params, 1));

	setup->params != NULL ? sp_online_init(kernel, state, setup) : (void) 0;
	return state;
}

static SpScore
step_value(const SpKernel *kernel, void *state, const SpSetup *setup, double x)
{
	SpPoint		point = {0, 0, &x};
	SpScore		score;

	sp_online_step(kernel, state, setup, &point, &score, NULL);
	return score;
}

static int
compare(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

/* A tail of the plain algorithm; values below are turned around. */
typedef struct Plain
{
	double		t;
	double		peaks[MAX_VALUES / 10];
	int			npeaks;
	SpPareto	fit;
	double		zq;
} Plain;

/* The paper's Algorithm 1 for a tail: threshold t, peaks, z_q. */
static void
plain_refit(Plain *plain, double q, int n, int max_excesses)
{
	int			kept = plain->npeaks < max_excesses ? plain->npeaks : max_excesses;
	double		r = q * n / plain->npeaks;

	sp_pareto_fit(plain->peaks + plain->npeaks - kept, kept, &plain->fit);
	plain->zq = fabs(plain->fit.shape) < 1e-12 ? plain->t - plain->fit.scale * log(r) :
		plain->t + plain->fit.scale / plain->fit.shape * (pow(r, -plain->fit.shape) - 1);
}

static void
plain_begin(Plain *plain, const double *x, int n, double level, double sign, double q,
			int max_excesses)
{
	double	   *sorted = malloc(sizeof(double) * (size_t) n);

	for (int i = 0; i < n; i++)
		sorted[i] = sign * x[i];
	qsort(sorted, (size_t) n, sizeof(double), compare);
	plain->t = sorted[(int) (level * n)];
	plain->npeaks = 0;
	for (int i = 0; i < n; i++)
	{
		if (sign * x[i] > plain->t)
			plain->peaks[plain->npeaks++] = sign * x[i] - plain->t;
	}
	plain_refit(plain, q, n, max_excesses);
	free(sorted);
}

/* Alarms, thresholds and numbers of peaks are those of the paper's algorithms. */
static void
test_stream(const SpKernel *kernel, int depth, uint64_t seed)
{
	enum
	{
		N = 6000, WARMUP = 800
	};
	static Plain upper;
	static Plain lower;
	static double kept[N];		/* values learned */
	static double known[N];		/* less their mean */
	SpSpotParams params;
	SpSetup		setup = make_setup(kernel, &params);
	SpSpot	   *state;
	uint64_t	random = seed;
	int			nkept = 0;
	int			alarms = 0;

	params.warmup = WARMUP;
	params.max_excesses = 60;
	params.risk = 1e-3;
	params.level = 0.95;
	params.depth = depth;
	setup.escape = depth == 0 ? 20 : 0; /* where nothing moves the paper's numbers all the same */
	setup.threshold = sp_online_threshold(kernel, &params, 1);
	state = make_state(kernel, &setup);
	for (int i = 0; i < N; i++)
	{
		double		x = next_normal(&random) + (depth > 0 ? 0.01 * i : 0.0) +
			(next_random(&random) % 300 == 0 ? 12 * (next_uniform(&random) - 0.5) : 0.0);
		SpScore		score = step_value(kernel, state, &setup, x);
		double		mean = 0.0;
		int			n = nkept - depth;
		double		difference;

		for (int j = 0; j < depth && nkept >= depth; j++)
			mean += kept[nkept - 1 - j] / depth;
		difference = x - mean;
		check(score.ready == (n >= WARMUP));
		if (n >= WARMUP)
		{
			bool		is_alarm = difference > upper.zq || -difference > lower.zq;

			check((score.score > 3.0) == is_alarm);
			check_near(score.upper_bound, mean + upper.zq, 1e-6 * (1 + fabs(mean)));
			check_near(score.lower_bound, mean - lower.zq, 1e-6 * (1 + fabs(mean)));
			check(depth == 0 ? isnan(score.expected) : fabs(score.expected - mean) < 1e-9);
			alarms += is_alarm;
			if (is_alarm)
				continue;
		}
		kept[nkept++] = x;
		if (n >= 0)
			known[n] = difference;
		if (n + 1 == WARMUP)
		{
			plain_begin(&upper, known, WARMUP, 0.95, 1, 1e-3, 60);
			plain_begin(&lower, known, WARMUP, 0.95, -1, 1e-3, 60);
		}
		else if (n >= WARMUP)
		{
			if (difference > upper.t)
				upper.peaks[upper.npeaks++] = difference - upper.t;
			if (-difference > lower.t)
				lower.peaks[lower.npeaks++] = -difference - lower.t;
			if (difference > upper.t)
				plain_refit(&upper, 1e-3, n, 60);
			if (-difference > lower.t)
				plain_refit(&lower, 1e-3, n, 60);
			upper.zq = sp_pareto_quantile(&upper.fit, log(1e-3 * (n + 1) / upper.npeaks)) + upper.t;
			lower.zq = sp_pareto_quantile(&lower.fit, log(1e-3 * (n + 1) / lower.npeaks)) + lower.t;
		}
		check(sp_online_learned(kernel, state, &setup) == nkept);
	}
	check(alarms > 5);
	check(state->tails[SP_SPOT_UPPER].npeaks == upper.npeaks);
	check(state->tails[SP_SPOT_LOWER].npeaks == lower.npeaks);
	free(state);
}

/*
 * The paper's promise: of values of one distribution the share beyond z_q is of the order of q,
 * whatever the distribution.  It is up to some times q, and z_q below the quantile: flagged values
 * are not learned, which cuts the tail that is fitted.
 */
static void
test_risk(int distribution, double q, double quantile)
{
	SpSpotParams params;
	SpSetup		setup = make_setup(&sp_kernel_spot, &params);
	void	   *state;
	uint64_t	random = 5 + (uint64_t) distribution;
	SpScore		score;
	int			n = MAX_VALUES;
	int			alarms = 0;

	params.risk = q;
	params.max_excesses = 2000;
	setup.threshold = sp_online_threshold(&sp_kernel_spot, &params, 1);
	setup.direction = SP_DIRECTION_HIGH;
	state = make_state(&sp_kernel_spot, &setup);
	for (int i = 0; i < n; i++)
	{
		double		x = distribution == 0 ? next_normal(&random) :
			distribution == 1 ? next_exponential(&random) :
			distribution == 2 ? next_uniform(&random) :
			next_pareto(&random, 0.3, 1.0);

		if (i > 30000 && i % 20 != 0)
			continue;			/* the fits are what takes time */
		score = step_value(&sp_kernel_spot, state, &setup, x);
		alarms += score.score > setup.threshold;
	}
	n = 30001 + (n - 30001) / 20;
	check(score.upper_bound > 0.5 * quantile && score.upper_bound < 1.2 * quantile);
	check(isnan(score.lower_bound));
	check(alarms > 0.2 * q * n && alarms < 5 * q * n);
	if (getenv("SHOW"))
		printf("%d: %d alarms of %g, bound %g of %g\n", distribution, alarms, q * n,
			   score.upper_bound, quantile);
	free(state);
}

/* The score is the tail's probability, in powers of ten. */
static void
test_scores(void)
{
	SpSpotParams params;
	SpSetup		setup = make_setup(&sp_kernel_spot, &params);
	SpSpot	   *state = make_state(&sp_kernel_spot, &setup);
	uint64_t	random = 3;
	double		last = 0.0;
	double		x;
	SpPoint		point = {0, 0, &x};
	SpScore		score;

	for (int i = 0; i < 5000; i++)
		step_value(&sp_kernel_spot, state, &setup, next_exponential(&random));
	for (x = 1.0; x < 200; x += 0.25)
	{
		double		p;

		sp_kernel_spot.score(state, &setup, &point, &score, NULL);
		p = sp_kernel_spot.p_value(&setup, score.score);
		check(score.score >= last);
		last = score.score;
		if (x > 4 && x < 7)
			check_near(log(p / 2), -x, 1.5);	/* of the exponential distribution */
	}
	x = score.upper_bound * (1 + 1e-9);
	sp_kernel_spot.score(state, &setup, &point, &score, NULL);
	check(score.score > 4.0);
	x = score.upper_bound * (1 - 1e-9);
	sp_kernel_spot.score(state, &setup, &point, &score, NULL);
	check(score.score < 4.0 && score.score > 3.999);
	check_near(sp_kernel_spot.p_value(&setup, 4.0), 2e-4, 1e-15);
	setup.direction = SP_DIRECTION_HIGH;
	check_near(sp_kernel_spot.p_value(&setup, 4.0), 1e-4, 1e-15);

	/* the other side doesn't count */
	setup.direction = SP_DIRECTION_LOW;
	x = 50;
	sp_kernel_spot.score(state, &setup, &point, &score, NULL);
	check(score.score == 0.0);
	free(state);
}

/* Beyond the end that a fit of negative shape has, scores go on rising, from what they were at z_q. */
static void
test_end(void)
{
	SpSpotParams params;
	SpSetup		setup = make_setup(&sp_kernel_spot, &params);
	SpSpot	   *state = make_state(&sp_kernel_spot, &setup);
	const SpPareto *fit = &state->tails[SP_SPOT_UPPER].fit;
	uint64_t	random = 77;
	double		x;
	double		zq;
	double		last = 0.0;
	SpPoint		point = {0, 0, &x};
	SpScore		score;

	for (int i = 0; i < 5000; i++)
		step_value(&sp_kernel_spot, state, &setup, next_uniform(&random));
	check(fit->shape < -0.3);
	x = 0.5;
	sp_kernel_spot.score(state, &setup, &point, &score, NULL);
	zq = score.upper_bound;
	check(zq > 0.99 && zq < 1.01);
	for (int i = 0; i < 4000; i++)
	{
		x = i < 2000 ? 0.99 + i * 1e-5 : last < 1e5 ? x * 1.001 : x;
		sp_kernel_spot.score(state, &setup, &point, &score, NULL);
		check(score.score >= last && (x <= zq || score.score > last || last == 0.0 || last >= 1e5));
		check(i == 0 || i >= 2000 || score.score - last < 0.1);
		check((score.score > 4.0) == (x > zq));
		last = score.score;
	}
	x = zq + fit->scale * 10;
	sp_kernel_spot.score(state, &setup, &point, &score, NULL);
	check_near(score.score, 4.0 + 10 / log(10), 1e-9);

	/* bounds are where a score is, also beyond */
	setup.threshold = 9.5;
	sp_kernel_spot.score(state, &setup, &point, &score, NULL);
	x = score.upper_bound;
	sp_kernel_spot.score(state, &setup, &point, &score, NULL);
	check_near(score.score, 9.5, 1e-9);
	x = score.lower_bound;
	sp_kernel_spot.score(state, &setup, &point, &score, NULL);
	check_near(score.score, 9.5, 1e-9);
	free(state);
}

/* How many of n values around a level are flagged. */
static int
count_flagged(const SpKernel *kernel, void *state, const SpSetup *setup, double level,
			  double deviation, int n, uint64_t *random)
{
	int			flagged = 0;

	for (int i = 0; i < n; i++)
		flagged += step_value(kernel, state, setup, level + deviation * next_normal(random)).score >
			setup->threshold;
	check(kernel->is_sound(state, setup));
	if (getenv("SHOW"))
		printf("%s, level %g, deviation %g: %d of %d flagged\n", kernel->name, level, deviation, flagged, n);
	return flagged;
}

static bool
is_flagged(const SpKernel *kernel, const void *state, const SpSetup *setup, double x)
{
	SpPoint		point = {0, 0, &x};
	SpScore		score;

	kernel->score(state, setup, &point, &score, NULL);
	return score.score > setup->threshold;
}

/* What has moved to another level is flagged 20 times; then that is what is usual. */
static void
test_move(const SpKernel *kernel, SpDirection direction, double unit)
{
	SpSpotParams params;
	SpSetup		setup = make_setup(kernel, &params);
	void	   *state;
	uint64_t	random = 41;
	double		sign = direction == SP_DIRECTION_LOW ? -unit : unit;

	setup.direction = direction;
	setup.escape = 20;
	state = make_state(kernel, &setup);
	check(count_flagged(kernel, state, &setup, 0, unit, 3000, &random) < 4);
	check(count_flagged(kernel, state, &setup, 1000 * sign, unit, 20, &random) == 20);
	check(count_flagged(kernel, state, &setup, 1000 * sign, unit, 3000, &random) < 6);
	check(is_flagged(kernel, state, &setup, 1012 * sign));
	check(is_flagged(kernel, state, &setup, 988 * sign) == (direction == SP_DIRECTION_BOTH));
	check(is_flagged(kernel, state, &setup, 0) == (direction == SP_DIRECTION_BOTH));
	check(!is_flagged(kernel, state, &setup, 1000 * sign));

	/* a further step, and a scale that grows with it */
	check(count_flagged(kernel, state, &setup, 3000 * sign, 40 * unit, 3000, &random) < 300);
	check(is_flagged(kernel, state, &setup, 3800 * sign));
	check(!is_flagged(kernel, state, &setup, 3020 * sign));

	/* never, if so wished */
	setup.escape = 0;
	check(count_flagged(kernel, state, &setup, 9000 * sign, unit, 100, &random) == 100);
	free(state);
}

/* Twenty times as wide around the same level: hardly ever 20 in a row, but more than are learned. */
static void
test_widening(void)
{
	SpSpotParams params;
	SpSetup		setup = make_setup(&sp_kernel_spot, &params);
	void	   *state = make_state(&sp_kernel_spot, &setup);
	uint64_t	random = 43;

	setup.escape = 20;
	check(count_flagged(&sp_kernel_spot, state, &setup, 5, 1, 3000, &random) < 4);
	check(count_flagged(&sp_kernel_spot, state, &setup, 5, 20, 3000, &random) < 150);
	check(count_flagged(&sp_kernel_spot, state, &setup, 5, 20, 3000, &random) < 30);
	check(is_flagged(&sp_kernel_spot, state, &setup, 400));
	free(state);
}

/* With what is flagged kept from learning by the judge it is the same. */
static void
test_judged(SpLearn learn, int least, int most)
{
	SpSpotParams params;
	SpJudge		judge = {&sp_kernel_spot, make_setup(&sp_kernel_spot, &params), learn, 0.0};
	void	   *state = make_state(&sp_kernel_spot, &judge.setup);
	uint64_t	random = 47;
	int32_t		run = 0;
	int			flagged = 0;

	judge.setup.escape = 20;
	for (int i = 0; i < 4000; i++)
	{
		double		x = next_normal(&random) + (i < 2000 ? 0 : 500);
		SpPoint		point = {0, 0, &x};
		SpScore		score;

		flagged += sp_judge_point(&judge, &run, state, &point, &score, NULL);
	}
	if (getenv("SHOW"))
		printf("learn %d: %d flagged\n", learn, flagged);
	check(flagged >= least && flagged <= most);
	free(state);
}

/* What is flagged isn't learned, but for the first departure from a constant. */
static void
test_constant(void)
{
	SpSpotParams params;
	SpSetup		setup = make_setup(&sp_kernel_spot, &params);
	size_t		size;
	SpSpot	   *state;
	void	   *before;

	params.warmup = 100;
	size = sp_online_state_size(&sp_kernel_spot, &params, 1);
	state = make_state(&sp_kernel_spot, &setup);
	before = malloc(size);
	for (int i = 0; i < 2000; i++)
		check(step_value(&sp_kernel_spot, state, &setup, 7.0).score == 0.0);
	check(step_value(&sp_kernel_spot, state, &setup, 8.0).score == SP_SCORE_MAX);
	check(state->tails[SP_SPOT_UPPER].npeaks == 1);

	/* one in 2001 was so high: one as high isn't anomalous, one far higher is, and isn't learned */
	check(step_value(&sp_kernel_spot, state, &setup, 8.0).score < 4.0);
	memcpy(before, state, size);
	for (int i = 0; i < 3; i++)
		check(step_value(&sp_kernel_spot, state, &setup, 20.0).score > 4.0);
	check(memcmp(before, state, size) == 0);
	check(step_value(&sp_kernel_spot, state, &setup, -7.0).score == SP_SCORE_MAX);
	free(before);
	free(state);
}

/* A drift widens the tail of spot until it finds nothing; dspot follows it. */
static void
test_drift(void)
{
	uint64_t	random = 8;
	int			alarms[2] = {0, 0};

	for (int k = 0; k < 2; k++)
	{
		const SpKernel *kernel = k == 0 ? &sp_kernel_spot : &sp_kernel_dspot;
		SpSpotParams params;
		SpSetup		setup = make_setup(kernel, &params);
		void	   *state = make_state(kernel, &setup);

		for (int i = 0; i < 10000; i++)
		{
			SpScore		score = step_value(kernel, state, &setup,
										   next_normal(&random) + i * 0.005);

			alarms[k] += score.score > setup.threshold;
		}
		check((step_value(kernel, state, &setup, 65.0).score > setup.threshold) == (k == 1));
		check((step_value(kernel, state, &setup, 35.0).score > setup.threshold) == (k == 1));
		free(state);
	}
	if (getenv("SHOW"))
		printf("drift: %d, %d alarms\n", alarms[0], alarms[1]);
	check(alarms[1] < 20);
}

static void
test_params(void)
{
	SpSpotParams params;
	SpSetup		setup = make_setup(&sp_kernel_dspot, &params);

	check(setup.threshold == 4.0);
	check(sp_online_needed(&sp_kernel_dspot, &params, 1) == 1020);
	check(sp_kernel_dspot.conflict(&params, 1) == NULL);
	params.level = 0.8;
	check(sp_kernel_dspot.conflict(&params, 1) == NULL);	/* 199 beyond */
	params.level = 0.79;
	check(sp_kernel_dspot.conflict(&params, 1) != NULL);
}

/* Whatever damaged state is taken for sound, it works. */
static void
test_damage(const SpKernel *kernel)
{
	SpSpotParams params;
	SpSetup		setup = make_setup(kernel, &params);
	size_t		size;
	unsigned char *state;
	uint64_t	random = 31;
	int			sound = 0;

	setup.escape = 5;
	params.warmup = 40;
	params.level = 0.8;
	params.max_excesses = 12;
	if (params.depth > 0)
		params.depth = 5;
	size = sp_online_state_size(kernel, &params, 1);
	state = make_state(kernel, &setup);
	for (int round = 0; round < 4000; round++)
	{
		sp_online_init(kernel, state, &setup);
		for (int i = 0; i < (round % 2 ? 30 : 100); i++)
			step_value(kernel, state, &setup, next_normal(&random));
		for (uint64_t i = next_random(&random) % 6; i > 0; i--)
			state[next_random(&random) % size] = (unsigned char) next_random(&random);
		if (!kernel->is_sound(state, &setup))
			continue;
		sound++;
		for (int i = 0; i < 60; i++)
		{
			SpScore		score = step_value(kernel, state, &setup,
										   ldexp(next_uniform(&random) - 0.5,
												 (int) (next_random(&random) % 1000)));

			check(score.score >= 0.0 && score.score <= SP_SCORE_MAX);
			check(!(score.lower_bound > score.upper_bound));
		}
		check(kernel->is_sound(state, &setup));
	}
	check(sound > 500);
	free(state);
}

int
main(void)
{
	test_stream(&sp_kernel_spot, 0, 1);
	test_stream(&sp_kernel_spot, 0, 2);
	test_stream(&sp_kernel_dspot, 20, 3);
	test_stream(&sp_kernel_dspot, 1, 4);
	test_risk(0, 1e-3, 3.0902);
	test_risk(1, 1e-3, 6.9078);
	test_risk(2, 1e-3, 0.999);
	test_risk(3, 1e-3, (pow(1e3, 0.3) - 1) / 0.3);
	test_scores();
	test_end();
	test_move(&sp_kernel_spot, SP_DIRECTION_BOTH, 1.0);
	test_move(&sp_kernel_spot, SP_DIRECTION_HIGH, 1e-3);
	test_move(&sp_kernel_spot, SP_DIRECTION_LOW, 1.0);
	test_move(&sp_kernel_dspot, SP_DIRECTION_BOTH, 1e6);
	test_move(&sp_kernel_dspot, SP_DIRECTION_HIGH, 1.0);
	test_widening();
	test_judged(SP_LEARN_ALL, 20, 26);
	test_judged(SP_LEARN_NORMAL, 20, 26);
	test_judged(SP_LEARN_CAPPED, 1, 46);
	test_constant();
	test_drift();
	test_params();
	test_damage(&sp_kernel_spot);
	test_damage(&sp_kernel_dspot);
	return failures > 0;
}
