/*
 * test_half_space_trees.c
 *	  Scores against counting the window's values in spaces that are halved step by step; what
 *	  is found and what isn't; frames that change.
 */
#include "kernel/online/half_space_trees.h"
#include "kernel/online/frame.h"
#include "kernel/online/random.h"
#include "forest.h"

static const SpKernel *const kernel = &sp_kernel_half_space_trees;

static SpHalfSpaceTreesParams chosen;

/* One with the defaults. */
static Series
open_default(int n)
{
	sp_online_defaults(kernel, &chosen);
	return open_features(kernel, &chosen, n, SP_DIRECTION_BOTH);
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

	chosen = (SpHalfSpaceTreesParams) {trees, depth, window, 7, size_limit};
	s = open_features(kernel, &chosen, n, SP_DIRECTION_BOTH);
	for (int i = 0; i < window * WINDOWS; i++)
	{
		for (int f = 0; f < n; f++)
			x[i * n + f] = 50 * f + pow(10, f) * (next_normal(&random) + (i % 31 == 0 ? 9 : 0));
	}
	for (int i = 0; i < window; i++)
		check(!step_features(&s, x + i * n).ready);

	/* the frames of the first 64 hold as long as the bulk stays there */
	for (int f = 0; f < n; f++)
		find_frame(x + f, n, &frames[f].center, &frames[f].scale);
	for (int w = 0; w + 1 < WINDOWS; w++)
	{
		place(x + w * window * n, frames, window, n, placed);
		brute_moments(placed, &chosen, n, (uint64_t) (w * window), &location, &scale);
		for (int i = (w + 1) * window; i < (w + 2) * window; i++)
		{
			long double point[1][MAX_N];
			SpScore		result = score_features(&s, x + i * n, NULL);

			place(x + i * n, frames, 1, n, point);
			if (i % 7 == 0 || i % 31 == 0)
				check_near(result.score,
						   fmax(0, (brute_surprise(placed, &chosen, point[0], n, 0) - location) / scale),
						   1e-9);
			check(result.ready);
			step_features(&s, x + i * n);
		}
	}
	free(x);
	free(placed);
	close_series(&s);
}

/* ---- what it finds ---- */

/* Where two features never are together it is strange, though each of them is as usual. */
static void
test_together(void)
{
	uint64_t	random = 37;
	double		x[2];
	SpExplanation why;
	SpScore		result;
	Series		s;

	s = open_default(2);
	for (int i = 0; i < 2000; i++)
	{
		x[0] = next_random(&random) % 2 == 0 ? 10 : -10;
		x[1] = x[0] + next_normal(&random);
		x[0] += next_normal(&random);
		step_features(&s, x);
	}
	x[0] = x[1] = 10;
	check(score_features(&s, x, NULL).score < 1.5);
	x[1] = -10;
	result = score_features(&s, x, &why);
	check(result.score > s.setup.threshold);
	check(why.parts[0].amount > 0.2 * result.score && why.parts[1].amount > 0.2 * result.score);

	/* to where the two are together, though not in the middle */
	check(fabs(why.nearest[0] - why.nearest[1]) < 12 && fabs(why.nearest[0] + why.nearest[1]) > 6);
	check(!(score_features(&s, why.nearest, NULL).score > s.setup.threshold));
	check_near(why.parts[0].amount + why.parts[1].amount, result.score, 1e-9);
	close_series(&s);
}

/* A new level is strange at first, then usual; the frame follows. */
static void
test_level(void)
{
	uint64_t	random = 41;
	double		x;
	Series		s;
	int			flagged = 0;

	s = open_default(1);
	for (int i = 0; i < 1000; i++)
	{
		x = next_normal(&random);
		step_features(&s, &x);
	}
	for (int i = 0; i < 1000; i++)
	{
		x = 1e6 + next_normal(&random);
		flagged += step_features(&s, &x).score > s.setup.threshold;
		check(i > 0 || flagged == 1);
		check(i != 249 || flagged == 250);
	}
	check(flagged < 260);
	x = 1e6 + 40;
	check(score_features(&s, &x, NULL).score > s.setup.threshold);
	x = 0;
	check(score_features(&s, &x, NULL).score > s.setup.threshold);
	close_series(&s);
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

		s = open_default(2);
		for (int i = 0; i < 1000; i++)
		{
			x[0] = values[c];
			x[1] = next_normal(&random);
			check(step_features(&s, x).score < s.setup.threshold + 1);
		}
		x[1] = 0;
		check(score_features(&s, x, NULL).score < 1.5);
		x[0] = values[c] * (1 + 1e-16);
		check(score_features(&s, x, NULL).score < 1.5);
		x[0] = values[c] + 1e-3;
		check(score_features(&s, x, NULL).score > s.setup.threshold);
		close_series(&s);
	}
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

	s = open_default(2);
	size = sp_online_state_size(kernel, &chosen, 2);
	good = malloc(size);
	for (int i = 0; i < 777; i++)
	{
		check(i % 10 != 0 || is_sound(&s));
		make_normal(x, 2, &random);
		step_features(&s, x);
	}
	check(sp_online_learned(kernel, s.state, &s.setup) == 777);
	memcpy(good, s.state, size);
	/* the count, the frames and nearly all masses are checked against one another */
	for (int i = 0; i < 1000; i++)
	{
		size_t		at = 2000 + next_random(&random) % (size - 2000);

		((char *) s.state)[at] ^= 1;
		refused += !is_sound(&s);
		memcpy(s.state, good, size);
	}
	check(refused > 980);
	((char *) s.state)[0] ^= 1;
	check(!is_sound(&s));
	memcpy(s.state, good, size);
	memset((char *) s.state + 16, 0, 8);	/* scale */
	check(!is_sound(&s));
	free(good);
	close_series(&s);
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
	sp_online_defaults(kernel, &chosen);
	check_spikes(kernel, &chosen, 1);
	check_spikes(kernel, &chosen, 3);
	check_spikes(kernel, &chosen, 10);
	check_spikes(kernel, &chosen, 40);
	test_together();
	test_level();
	test_constant();
	check_units(kernel, &chosen, 0.0);
	check_units(kernel, &chosen, 8.0);
	test_soundness();
	return failures > 0;
}
