/*
 * test_half_space_trees.c
 *	  Scores against counting the window's values in spaces that are halved step by step; what
 *	  is found and what isn't; frames that change.
 */
#include "kernel/online/half_space_trees.h"
#include "kernel/online/frame.h"
#include "kernel/online/random.h"
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const SpKernel *const kernel = &sp_kernel_half_space_trees;

/* A series at work. */
typedef struct Series
{
	SpHalfSpaceTreesParams params;
	SpSetup		setup;
	void	   *state;
} Series;

static void
start_series(Series *s)
{
	s->setup.threshold = sp_online_threshold(kernel, &s->params, s->setup.n);
	s->state = malloc(sp_online_state_size(kernel, &s->params, s->setup.n));
	sp_online_init(kernel, s->state, &s->setup);
}

static void
open_series(Series *s, int n)
{
	sp_online_defaults(kernel, &s->params);
	s->setup = (SpSetup) {&s->params, n, SP_DIRECTION_BOTH, 0.0};
	start_series(s);
}

static SpScore
score(const Series *s, const double *x, SpExplanation *why)
{
	SpPoint		point = {0, 0, x};
	SpScore		result;

	kernel->score(s->state, &s->setup, &point, &result, why);
	return result;
}

static SpScore
step(Series *s, const double *x)
{
	SpPoint		point = {0, 0, x};
	SpScore		result;

	check(sp_online_step(kernel, s->state, &s->setup, &point, &result, NULL));
	return result;
}

/* Roughly normal. */
static double
next_normal(uint64_t *random)
{
	double		sum = -6.0;

	for (int i = 0; i < 12; i++)
		sum += next_uniform(random);
	return sum;
}

/* ---- brute force ---- */

#define MAX_N		4

/* What a tree has for each feature, and where it has come to on the way down. */
typedef struct Ranges
{
	long double low[MAX_N];
	long double high[MAX_N];
} Ranges;

/* The ranges of a tree, in units of 2^-28 of the frames. */
static void
choose_ranges(uint64_t key, int n, Ranges *ranges)
{
	for (int f = 0; f < n; f++)
	{
		uint64_t	bits = key ^ ((uint64_t) (f + 1) * SP_RANDOM_STEP);
		long double middle;
		long double width;

		bits = (bits ^ (bits >> 32)) * SP_RANDOM_ODD;
		middle = (long double) ((int64_t) bits >> 36);
		/* 2^31 / width is what is chosen */
		width = 0x1p31L / ((long double) (bits & 0x1FFFFFFF) + 0x1p29L) * 0x1p28L;
		check(fabsl(middle) <= 0x1p27L && width > 0x1p29L && width <= 0x1p30L);
		ranges->low[f] = middle - width / 2;
		ranges->high[f] = middle + width / 2;
	}
}

/* How many of the window are on the same path as the point for so many steps. */
static int
count_beside(const long double (*window)[MAX_N], int count, const long double *point, int n,
			 uint64_t key, int steps)
{
	int			beside = 0;

	for (int i = 0; i < count; i++)
	{
		Ranges		ranges;
		uint32_t	node = 1;
		bool		same = true;

		choose_ranges(key, n, &ranges);
		for (int s = 0; s < steps && same; s++)
		{
			uint64_t	mixed = key + node * SP_RANDOM_STEP;
			int			f;
			long double cut;

			mixed = (mixed ^ (mixed >> 32)) * SP_RANDOM_ODD;
			f = (int) (((mixed >> 32) * (uint64_t) n) >> 32);
			cut = (ranges.low[f] + ranges.high[f]) / 2;
			same = (window[i][f] >= cut) == (point[f] >= cut);
			node = 2 * node + (point[f] >= cut);
			if (point[f] >= cut)
				ranges.low[f] = cut;
			else
				ranges.high[f] = cut;
		}
		beside += same;
	}
	return beside;
}

/* S of a point; if it is one of the window's own it doesn't count itself. */
static double
brute_surprise(const long double (*window)[MAX_N], const SpHalfSpaceTreesParams *params,
			   const long double *point, int n, int own)
{
	double		sum = 0;
	double		beyond = 1e9;

	for (int t = 0; t < params->trees; t++)
	{
		uint64_t	key = sp_random_at((uint64_t) params->seed, (uint64_t) t);
		int			steps = 0;
		int			mass = params->window - own;

		while (steps < params->depth && mass > (int) (params->size_limit * params->window))
			mass = count_beside(window, params->window, point, n, key, ++steps) - own;
		sum += log2(mass + 0.5) + steps;
	}
	for (int f = 0; f < n; f++)
	{
		int			mass = -own;

		for (int i = 0; i < params->window; i++)
			mass += point[f] > 0 ? window[i][f] > 1.25L * 0x1p28L : window[i][f] < -1.25L * 0x1p28L;
		if (fabsl(point[f]) > 1.25L * 0x1p28L)
			beyond = fmin(beyond, log2(mass + 0.5));
	}
	return log2(params->window - own + 0.5) - fmin(sum / params->trees, beyond);
}

static int
compare(const void *a, const void *b)
{
	return *(const double *) a < *(const double *) b ? -1 : 1;
}

/* A window's values in its frames, as integers. */
static void
place(const double *x, const SpFrame *frames, int count, int n, long double (*to)[MAX_N])
{
	for (int i = 0; i < count; i++)
	{
		for (int f = 0; f < n; f++)
			to[i][f] = truncl(fmax(-6, fmin(6, (x[i * n + f] - frames[f].center) / frames[f].scale)) *
							  0x1p28);
	}
}

/* Location and scale of the window by the values that were kept of it. */
static void
brute_moments(const long double (*window)[MAX_N], const SpHalfSpaceTreesParams *params, int n,
			  uint64_t before, double *location, double *scale)
{
	double		surprise[64];
	double		square = 0;
	int			above = 0;

	*location = 0;
	for (int s = 0; s < 64; s++)
	{
		int			first = (s * params->window + 63) / 64;
		int			next = ((s + 1) * params->window + 63) / 64;
		uint64_t	bits = sp_random_at(~(uint64_t) params->seed, before + (uint64_t) first);
		int			at = first + (int) (bits % (uint64_t) (next - first));

		/* of the first window the first 64 were kept, some of them replaced */
		if (before == 0 && at < 64)
			at = s;
		surprise[s] = brute_surprise(window, params, window[at], n, 1);
		*location += surprise[s] / 64;
	}
	for (int s = 0; s < 64; s++)
	{
		above += surprise[s] > *location;
		square += surprise[s] > *location ? pow(surprise[s] - *location, 2) : 0;
	}
	square = sqrt(square / above);
	*scale = fmax(0.5, *scale == 0 ? square : 0.7 * *scale + 0.3 * square);
}

static void
test_counting(int n, int trees, int depth, int window, double size_limit)
{
	enum
	{
		WINDOWS = 3
	};
	SpFrame		frames[MAX_N];
	double	   *x = malloc(sizeof(double) * window * WINDOWS * n);
	long double (*placed)[MAX_N] = malloc(sizeof(long double[MAX_N]) * window);
	uint64_t	random = 4;
	double		location,
				scale = 0;
	Series		s;

	open_series(&s, n);
	free(s.state);
	s.params = (SpHalfSpaceTreesParams) {trees, depth, window, 7, size_limit};
	start_series(&s);
	for (int i = 0; i < window * WINDOWS; i++)
	{
		for (int f = 0; f < n; f++)
			x[i * n + f] = 50 * f + pow(10, f) * (next_normal(&random) + (i % 31 == 0 ? 9 : 0));
	}
	for (int i = 0; i < window; i++)
		check(!step(&s, x + i * n).ready);

	/* the frames of the first 64 hold as long as the bulk stays there */
	for (int f = 0; f < n; f++)
	{
		double		values[64];

		for (int i = 0; i < 64; i++)
			values[i] = x[i * n + f];
		qsort(values, 64, sizeof(double), compare);
		frames[f].center = (values[6] + values[57]) / 2;
		frames[f].scale = 2 * (values[57] - values[6]);
	}
	for (int w = 0; w + 1 < WINDOWS; w++)
	{
		place(x + w * window * n, frames, window, n, placed);
		brute_moments(placed, &s.params, n, (uint64_t) (w * window), &location, &scale);
		for (int i = (w + 1) * window; i < (w + 2) * window; i++)
		{
			long double point[1][MAX_N];
			SpScore		result = score(&s, x + i * n, NULL);

			place(x + i * n, frames, 1, n, point);
			if (i % 7 == 0 || i % 31 == 0)
				check_near(result.score,
						   fmax(0, (brute_surprise(placed, &s.params, point[0], n, 0) - location) / scale),
						   1e-9);
			check(result.ready);
			step(&s, x + i * n);
		}
	}
	free(x);
	free(placed);
	free(s.state);
}

/* ---- what it finds ---- */

/* n normal features that have something in common. */
static void
make_normal(double *x, int n, uint64_t *random)
{
	double		common = next_normal(random);

	for (int f = 0; f < n; f++)
		x[f] = 1e3 * f + (f + 1) * (next_normal(random) + common);
}

static void
test_spikes(int n)
{
	double		x[SP_MAX_FEATURES];
	uint64_t	random = 31;
	int			flagged = 0;
	SpExplanation why;
	Series		s;

	open_series(&s, n);
	for (int i = 0; i < 5000; i++)
	{
		make_normal(x, n, &random);
		flagged += step(&s, x).score > s.setup.threshold;
	}
	check(flagged < 5000 * 0.012);
	/* at rest, a spike, a dip */
	for (int f = 0; f < n; f++)
		x[f] = 1e3 * f;
	check(score(&s, x, NULL).score < 1.5);
	for (int f = 0; f < n; f += n > 1 ? n - 1 : 1)
	{
		for (int sign = -1; sign <= 1; sign += 2)
		{
			double		sum = 0;
			SpScore		result;

			x[f] = 1e3 * f + sign * 30 * (f + 1);
			result = score(&s, x, &why);
			check(result.score > s.setup.threshold);
			for (int i = 0; i < why.nparts; i++)
				sum += why.parts[i].amount;
			check_near(sum, result.score, 1e-9);
			check(why.parts[f].amount > 0.7 * result.score);
			check_near(why.expected[f], 1e3 * f, 2 * (f + 1));
		}
		x[f] = 1e3 * f;
	}
	free(s.state);
}

/* Where two features never are together it is strange, though each of them is as usual. */
static void
test_together(void)
{
	uint64_t	random = 37;
	double		x[2];
	SpExplanation why;
	SpScore		result;
	Series		s;

	open_series(&s, 2);
	for (int i = 0; i < 2000; i++)
	{
		x[0] = next_random(&random) % 2 == 0 ? 10 : -10;
		x[1] = x[0] + next_normal(&random);
		x[0] += next_normal(&random);
		step(&s, x);
	}
	x[0] = x[1] = 10;
	check(score(&s, x, NULL).score < 1.5);
	x[1] = -10;
	result = score(&s, x, &why);
	check(result.score > s.setup.threshold);
	check(why.parts[0].amount > 0.2 * result.score && why.parts[1].amount > 0.2 * result.score);
	check_near(why.parts[0].amount + why.parts[1].amount, result.score, 1e-9);
	free(s.state);
}

/* A new level is strange at first, then usual; the frame follows. */
static void
test_level(void)
{
	uint64_t	random = 41;
	double		x;
	Series		s;
	int			flagged = 0;

	open_series(&s, 1);
	for (int i = 0; i < 1000; i++)
	{
		x = next_normal(&random);
		step(&s, &x);
	}
	for (int i = 0; i < 1000; i++)
	{
		x = 1e6 + next_normal(&random);
		flagged += step(&s, &x).score > s.setup.threshold;
		check(i > 0 || flagged == 1);
		check(i != 249 || flagged == 250);
	}
	check(flagged < 260);
	x = 1e6 + 40;
	check(score(&s, &x, NULL).score > s.setup.threshold);
	x = 0;
	check(score(&s, &x, NULL).score > s.setup.threshold);
	free(s.state);
}

/* Constants: nothing while they are so, strange when they aren't. */
static void
test_constant(void)
{
	static const double values[2] = {42.0, 0.0};

	for (int c = 0; c < 2; c++)
	{
		double		x[2];
		uint64_t	random = 43;
		Series		s;

		open_series(&s, 2);
		for (int i = 0; i < 1000; i++)
		{
			x[0] = values[c];
			x[1] = next_normal(&random);
			check(step(&s, x).score < s.setup.threshold + 1);
		}
		x[1] = 0;
		check(score(&s, x, NULL).score < 1.5);
		x[0] = values[c] * (1 + 1e-16);
		check(score(&s, x, NULL).score < 1.5);
		x[0] = values[c] + 1e-3;
		check(score(&s, x, NULL).score > s.setup.threshold);
		free(s.state);
	}
}

/* Units don't matter. */
static void
test_units(void)
{
	static const double unit[3] = {1 / 1024.0, 65536, -4};
	uint64_t	random = 47;
	Series		a;
	Series		b;
	int			flagged = 0;

	open_series(&a, 2);
	open_series(&b, 2);
	for (int i = 0; i < 2000; i++)
	{
		double		x[2];
		double		y[2];

		make_normal(x, 2, &random);
		for (int f = 0; f < 2; f++)
			y[f] = x[f] * unit[f] + 8;
		flagged += fabs(step(&a, x).score - step(&b, y).score) > 1e-3;
	}
	check(flagged < 20);		/* but for rounding */
	free(a.state);
	free(b.state);
}

static void
test_soundness(void)
{
	uint64_t	random = 53;
	double		x[2];
	size_t		size;
	char	   *good;
	int			refused = 0;
	Series		s;

	open_series(&s, 2);
	size = sp_online_state_size(kernel, &s.params, 2);
	good = malloc(size);
	for (int i = 0; i < 777; i++)
	{
		check(i % 10 != 0 || kernel->is_sound(s.state, &s.setup));
		make_normal(x, 2, &random);
		step(&s, x);
	}
	check(sp_online_learned(kernel, s.state, &s.setup) == 777);
	memcpy(good, s.state, size);
	/* the count, the frames and nearly all masses are checked against one another */
	for (int i = 0; i < 1000; i++)
	{
		size_t		at = 2000 + next_random(&random) % (size - 2000);

		((char *) s.state)[at] ^= 1;
		refused += !kernel->is_sound(s.state, &s.setup);
		memcpy(s.state, good, size);
	}
	check(refused > 980);
	((char *) s.state)[0] ^= 1;
	check(!kernel->is_sound(s.state, &s.setup));
	memcpy(s.state, good, size);
	memset((char *) s.state + 16, 0, 8);	/* scale */
	check(!kernel->is_sound(s.state, &s.setup));
	free(good);
	free(s.state);
}

static void
test_frame(void)
{
	double		values[20];
	SpFrame		frame;

	for (int i = 0; i < 20; i++)
		values[i] = (i * 7) % 20;	/* 0 to 19 */
	values[3] = 1e300;			/* instead of 1: q10 = 3, q90 = 17 now */
	check(sp_frame_fit(values, 20, &frame));
	check(values[0] == 0 && values[19] == 1e300);
	check_near(frame.center, 10.5, 1e-12);
	check_near(frame.scale, 30, 1e-12);
	for (int i = 0; i < 20; i++)
		values[i] = i == 7 ? 5 : 1;
	check(sp_frame_fit(values, 20, &frame));
	check(frame.center == 3 && frame.scale == 8);
	for (int i = 0; i < 20; i++)
		values[i] = 1000;
	check(!sp_frame_fit(values, 20, &frame));
	check(frame.center == 1000 && sp_frame_place(&frame, 1000.001, 6) == 6);
	for (int i = 0; i < 20; i++)
		values[i] = i % 2 == 0 ? 1.7e308 : -1.7e308;
	check(sp_frame_fit(values, 20, &frame) && sp_frame_is_sound(&frame));
	frame.scale = 0;
	check(!sp_frame_is_sound(&frame));
}

int
main(void)
{
	test_frame();
	test_counting(1, 5, 4, 80, 0.1);
	test_counting(2, 25, 8, 250, 0.1);
	test_counting(4, 40, 6, 128, 0.0);
	test_spikes(1);
	test_spikes(3);
	test_spikes(10);
	test_spikes(40);
	test_together();
	test_level();
	test_constant();
	test_units();
	test_soundness();
	return failures > 0;
}
