/*
 * test_fine.c
 *	  Scores for a budget of alerts: those that are above 0 anyway are a constant higher, the others
 *	  tell how near the value was; the model learns what it learns without a budget, whatever the
 *	  budget flags.
 */
#include "kernel.h"
#include "kernel/online/adwin.h"
#include "kernel/online/page_hinkley.h"
#include "kernel/online/spot.h"

#define STEP	0.001			/* what is added */

enum
{
	N = 4000
};

/* Noise with slow waves, jumps to another level, and spikes. */
static double
next_value(int i, uint64_t *random)
{
	return 20.0 + next_normal(random) + sin(i / 90.0) + (i / 900) % 2 * 5.0 +
		(next_random(random) % 200 == 0 ? 12.0 * (next_uniform(random) - 0.5) : 0.0);
}

/* How near x is to a tail, by the thresholds of both. */
static double
spot_nearness(const SpSpot *s, SpDirection direction, double x)
{
	double		upper = s->tails[SP_SPOT_UPPER].t;
	double		lower = s->tails[SP_SPOT_LOWER].t;
	double		high = (upper - (x - s->mean)) / ((upper - lower) / 2.0);
	double		low = ((x - s->mean) - lower) / ((upper - lower) / 2.0);

	return -4.0 * (direction == SP_DIRECTION_HIGH ? high : direction == SP_DIRECTION_LOW ? low :
				   fmin(high, low));
}

/* The sums with x, not cut off. */
static double
page_hinkley_nearness(const SpPageHinkley *s, const SpPageHinkleyParams *params,
					  SpDirection direction, double x)
{
	double		n = (double) s->since;
	double		mean = (s->base.mean * n + x) / (n + 1.0);
	double		d = (x - mean) / sqrt(s->base.variance);
	double		rise = params->alpha * s->rise + d - params->delta;
	double		fall = params->alpha * s->fall - d - params->delta;

	return direction == SP_DIRECTION_HIGH ? rise : direction == SP_DIRECTION_LOW ? fall :
		fmax(rise, fall);
}

/* What a score tells in octaves where it would be 0; NaN: this isn't checked. */
static double
get_nearness(const Series *s, double x)
{
	if (s->kernel == &sp_kernel_page_hinkley)
		return page_hinkley_nearness(s->state, s->setup.params, s->setup.direction, x);
	if (s->kernel == &sp_kernel_adwin)
		return NAN;
	return spot_nearness(s->state, s->setup.direction, x);
}

/* A threshold is reached at a bound, and not before; where scores jump, just behind it. */
static void
check_bound(Series *s, SpDirection direction, double bound)
{
	SpDirection all = s->setup.direction;
	double		outwards = (direction == SP_DIRECTION_HIGH ? 1e-8 : -1e-8) * fmax(1.0, fabs(bound));

	if (!isfinite(bound) || all == SP_DIRECTION_HIGH + SP_DIRECTION_LOW - direction)
		return;
	s->setup.direction = direction;
	check(score_at(s, 0, bound - outwards).score <= s->setup.threshold);
	check(score_at(s, 0, bound + outwards).score >= s->setup.threshold);
	s->setup.direction = all;
}

/* Beside a series with the method's own threshold one with a budget's. */
static void
test_fine(const SpKernel *kernel, const void *params, SpDirection direction, double threshold)
{
	Series		own = open_series(kernel, params, direction);
	Series		fine = open_series(kernel, params, direction);
	uint64_t	random = 20260107;
	int			above = 0,
				near = 0,
				ties = 0;
	double		last = -1.0;

	fine.setup.is_fine = true;
	fine.setup.threshold = threshold;
	for (int i = 0; i < N; i++)
	{
		double		x = next_value(i, &random);
		SpScore		plain = score_at(&own, 0, x);
		SpScore		score = score_at(&fine, 0, x);
		double		nearness = score.ready ? get_nearness(&fine, x) : NAN;

		check(score.ready == plain.ready);
		if (score.ready && plain.score > 0.0)
		{
			above++;
			check_near(score.score, fmin(plain.score + STEP, SP_SCORE_MAX), 1e-12 * plain.score);
		}
		else if (score.ready)
		{
			near++;
			ties += score.score == last;
			check(score.score > 0.0 && score.score <= STEP);
			if (!isnan(nearness))
				check_near(score.score, STEP * pow(2.0, fmin(nearness, 0.0)), 1e-6 * STEP);
		}
		else
			check(score.score == 0.0);
		last = score.score;
		if (score.ready && kernel != &sp_kernel_adwin &&
			(direction != SP_DIRECTION_BOTH || threshold > STEP))
		{
			check_bound(&fine, SP_DIRECTION_HIGH, score.upper_bound);
			check_bound(&fine, SP_DIRECTION_LOW, score.lower_bound);
		}
		check(learn_at(&own, 0, x) && learn_at(&fine, 0, x));
		check(memcmp(own.state, fine.state, own.size) == 0);
	}
	if (getenv("SHOW"))
		printf("%s %d %g: %d above 0, %d near, %d ties\n", kernel->name, direction, threshold, above,
			   near, ties);
	check(above > 20 && ties <= near / 50);
	check(near > 5 || (kernel == &sp_kernel_adwin && direction == SP_DIRECTION_BOTH));
	close_series(&own);
	close_series(&fine);
}

/* A series that never changed has all scores alike, and none is an anomaly to a budget. */
static void
test_constant(const SpKernel *kernel, const void *params)
{
	Series		s = open_series(kernel, params, SP_DIRECTION_BOTH);

	s.setup.is_fine = true;
	for (int i = 0; i < 2000; i++)
	{
		double		score = step_at(&s, 0, 7.0);

		check(score >= 0.0 && score <= STEP);
	}
	check(score_at(&s, 0, 8.0).score > 1.0);
	close_series(&s);
}

int
main(void)
{
	static const double thresholds[] = {0.0, 0.0004, STEP, 0.7, 2.5};
	SpSpotParams spot,
				dspot;
	SpAdwinParams adwin;
	SpPageHinkleyParams page_hinkley;
	const struct
	{
		const SpKernel *kernel;
		const void *params;
	}			methods[] = {{&sp_kernel_spot, &spot}, {&sp_kernel_dspot, &dspot},
	{&sp_kernel_adwin, &adwin}, {&sp_kernel_page_hinkley, &page_hinkley}};

	sp_online_defaults(&sp_kernel_spot, &spot);
	sp_online_defaults(&sp_kernel_dspot, &dspot);
	sp_online_defaults(&sp_kernel_adwin, &adwin);
	sp_online_defaults(&sp_kernel_page_hinkley, &page_hinkley);
	for (size_t m = 0; m < sizeof(methods) / sizeof(methods[0]); m++)
	{
		for (int direction = SP_DIRECTION_BOTH; direction <= SP_DIRECTION_LOW; direction++)
		{
			for (size_t t = 0; t < sizeof(thresholds) / sizeof(thresholds[0]); t++)
				test_fine(methods[m].kernel, methods[m].params, (SpDirection) direction,
						  thresholds[t]);
		}
		test_constant(methods[m].kernel, methods[m].params);
	}
	return failures > 0;
}
