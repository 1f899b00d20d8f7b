/*
 * kernel.h
 *	  What tests of online kernels need: one at work, and damaged states.
 */
#ifndef SP_UNIT_KERNEL_H
#define SP_UNIT_KERNEL_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/online/online.h"
#include "unit.h"

#define SECOND	INT64_C(1000000)
#define MINUTE	(60 * SECOND)
#define HOUR	(60 * MINUTE)
#define DAY		(24 * HOUR)

/* A kernel at work; the state is of exactly its size, so that the sanitizer sees its end. */
typedef struct Series
{
	const SpKernel *kernel;
	SpSetup		setup;
	size_t		size;
	void	   *state;
} Series;

/* Of n features. */
static inline Series
open_features(const SpKernel *kernel, const void *params, int n, SpDirection direction)
{
	Series		s = {kernel, {.params = params, .n = n, .direction = direction}, 0, NULL};

	check(kernel->conflict == NULL || kernel->conflict(params, n) == NULL);
	s.setup.threshold = sp_online_threshold(kernel, params, n);
	s.size = sp_online_state_size(kernel, params, n);
	s.state = malloc(s.size);
	sp_online_init(kernel, s.state, &s.setup);
	return s;
}

static inline Series
open_series(const SpKernel *kernel, const void *params, SpDirection direction)
{
	return open_features(kernel, params, 1, direction);
}

static inline void
close_series(Series *s)
{
	free(s->state);
}

static inline SpScore
score_at(const Series *s, int64_t time, double x)
{
	SpPoint		point = {time, time, &x};
	SpScore		score;

	s->kernel->score(s->state, &s->setup, &point, &score, NULL);
	return score;
}

static inline bool
learn_at(Series *s, int64_t time, double x)
{
	SpPoint		point = {time, time, &x};

	return s->kernel->learn(s->state, &s->setup, &point);
}

/* The score, then the point is learned. */
static inline double
step_at(Series *s, int64_t time, double x)
{
	double		score = score_at(s, time, x).score;

	check(learn_at(s, time, x));
	return score;
}

/* The same of a point of features, whose time doesn't matter. */
static inline SpScore
score_features(const Series *s, const double *x, SpExplanation *why)
{
	SpPoint		point = {0, 0, x};
	SpScore		score;

	s->kernel->score(s->state, &s->setup, &point, &score, why);
	return score;
}

static inline bool
learn_features(Series *s, const double *x)
{
	SpPoint		point = {0, 0, x};

	return s->kernel->learn(s->state, &s->setup, &point);
}

static inline SpScore
step_features(Series *s, const double *x)
{
	SpPoint		point = {0, 0, x};
	SpScore		score;

	check(sp_online_step(s->kernel, s->state, &s->setup, &point, &score, NULL));
	return score;
}

static inline bool
is_sound(const Series *s)
{
	return s->kernel->is_sound(s->state, &s->setup);
}

/* Roughly normal. */
static inline double
next_normal(uint64_t *random)
{
	double		sum = -6.0;

	for (int i = 0; i < 12; i++)
		sum += next_uniform(random);
	return sum;
}

/*
 * Values that stand for none, like the largest there is, aren't learned, and no others keep those
 * that follow from being learned.
 */
static inline void
check_extremes(const SpKernel *kernel, const void *params)
{
	static const double extremes[] = {1.7e308, -1.7e308, 1.01e100};
	Series		s = open_series(kernel, params, SP_DIRECTION_BOTH);
	uint64_t	random = 20260112;

	for (int i = 0; i < 3000; i++)
	{
		double		x = next_normal(&random);

		if (i % 100 == 0)
			check(!learn_at(&s, i * MINUTE, extremes[i / 100 % 3]));
		if (i % 70 < 2)
			x = i % 70 == 0 ? 1e100 : -1e100;
		check(learn_at(&s, i * MINUTE, x));
		if (i % 10 == 0)
			check(kernel->is_sound(s.state, &s.setup));
	}
	check(sp_online_learned(kernel, s.state, &s.setup) == 3000);
	close_series(&s);
}

/* Damage a state somewhere: a bit, or a number that is extreme in one way or another. */
static inline void
damage(char *state, size_t size, uint64_t *random)
{
	static const double extremes[] = {0.0, -1.0, 1e308, -1e308, 1e154, 1e-308, INFINITY, NAN, 1e18};
	size_t		at = next_random(random) % 3 == 0 ? next_random(random) % 64 % size :
		next_random(random) % size;
	uint64_t	word = next_random(random);

	switch (next_random(random) % 4)
	{
		case 0:
			state[at] ^= (char) (1 << (word % 8));
			return;
		case 1:
			memcpy(state + at / 8 * 8, &extremes[word % 9], 8);
			return;
		case 2:
			word >>= word % 64;
			memcpy(state + at / 8 * 8, &word, 8);
			return;
		default:
			memset(state + at / 4 * 4, word % 2 ? 0xff : 0, 4);
			return;
	}
}

/* Whatever bytes are said to be sound, points go on from there, and scores are in their range. */
static inline void
check_damaged(const SpKernel *kernel, const void *params, int n, int tries)
{
	static SpExplanation why;
	Series		s = open_series(kernel, params, SP_DIRECTION_BOTH);
	char	   *whole;
	uint64_t	random = 99;
	int			accepted = 0;

	for (int i = 0; i < n; i++)
		learn_at(&s, i * MINUTE, 10.0 + next_normal(&random) + i % 12);
	check(kernel->is_sound(s.state, &s.setup));
	whole = malloc(s.size);
	memcpy(whole, s.state, s.size);
	for (int t = 0; t < tries; t++)
	{
		memcpy(s.state, whole, s.size);
		for (int i = (int) (next_random(&random) % 3); i >= 0; i--)
			damage(s.state, s.size, &random);
		if (!kernel->is_sound(s.state, &s.setup))
			continue;
		accepted++;
		for (int i = 0; i < 20; i++)
		{
			double		x = i % 7 == 6 ? 1.7e308 : 10.0 + next_normal(&random);
			SpPoint		point = {(n + i) * MINUTE, (n + i) * MINUTE, &x};
			SpScore		score;

			kernel->score(s.state, &s.setup, &point, &score, &why);
			check(score.score >= 0.0 && score.score <= SP_SCORE_MAX);
			check(!(score.lower_bound > score.upper_bound));
			kernel->learn(s.state, &s.setup, &point);
			check(kernel->is_sound(s.state, &s.setup));
		}
	}
	check(accepted > 0 && accepted < tries);
	free(whole);
	close_series(&s);
}

#endif
