/*
 * test_random_cut_forest.c
 *	  Forests against samples drawn by sorting and trees of theirs (which test_cut_tree.c is
 *	  about); what is found and what isn't; frames that change.
 */
#include "kernel/online/random_cut_forest.h"
#include "kernel/online/cut_tree.h"
#include "kernel/online/random.h"
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const SpKernel *const kernel = &sp_kernel_random_cut_forest;

/* A series at work. */
typedef struct Series
{
	SpRandomCutForestParams params;
	SpSetup		setup;
	size_t		size;
	void	   *state;
} Series;

static void
start_series(Series *s)
{
	check(kernel->conflict(&s->params, s->setup.n) == NULL);
	s->setup.threshold = sp_online_threshold(kernel, &s->params, s->setup.n);
	s->size = sp_online_state_size(kernel, &s->params, s->setup.n);
	s->state = malloc(s->size);
	sp_online_init(kernel, s->state, &s->setup);
}

/* The defaults, but for the trees: a few will do. */
static void
choose_series(Series *s, int n)
{
	sp_online_defaults(kernel, &s->params);
	s->params.trees = 20;
	s->setup = (SpSetup) {&s->params, n, SP_DIRECTION_BOTH, 0.0};
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

static bool
is_sound(const Series *s)
{
	return kernel->is_sound(s->state, &s->setup);
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

static int
compare(const void *a, const void *b)
{
	return *(const double *) a < *(const double *) b ? -1 : 1;
}

/* Points of the whole series, in the frames of its first 64 events. */
static void
frame_points(const double *x, int n, int count, int shingle, float *points)
{
	int			dims = n * shingle;

	for (int f = 0; f < n; f++)
	{
		double		values[64];
		double		center;
		double		scale;

		for (int i = 0; i < 64; i++)
			values[i] = x[i * n + f];
		qsort(values, 64, sizeof(double), compare);
		center = (values[6] + values[57]) / 2;
		scale = 2 * (values[57] - values[6]);
		for (int i = 0; i < count; i++)
		{
			for (int lag = 0; lag < shingle; lag++)
			{
				int			event = i - (shingle - 1) + lag;

				points[i * dims + lag * n + f] = event < 0 ? 0 :
					(float) ((x[event * n + f] - center) / scale);
			}
		}
	}
}

/*
 * The displacement by a forest whose samples are kept without heaps, with keys that are never
 * moved, and whose every event has a place of its own in the store.
 */
static void
test_forest(int n, int shingle, int trees, int size, double decay)
{
	enum
	{
		N = 600
	};
	int			dims = n * shingle;
	double	   *x = malloc(sizeof(double) * N * n);
	float	   *points = malloc(sizeof(float) * N * dims);
	size_t		bytes = sp_cut_tree_bytes(size, dims);
	char	   *memory = calloc((size_t) trees, bytes);
	uint16_t   *held = malloc(sizeof(uint16_t) * trees * size);
	double	   *keys = malloc(sizeof(double) * trees * size);
	int			taken = 0;
	uint64_t	random = 21;
	Series		s;

	choose_series(&s, n);
	s.params = (SpRandomCutForestParams) {trees, size, shingle, 100, 7, 0, decay};
	start_series(&s);
	decay = isnan(decay) ? 1.0 / (10 * size) : decay;
	for (int i = 0; i < N * n; i++)
		x[i] = i % 5 == 0 ? (double) (next_random(&random) % 3) : next_normal(&random);
	frame_points(x, n, N, shingle, points);
	for (int i = 0; i < N; i++)
	{
		const float *p = points + i * dims;
		double		sum = 0;

		for (int t = 0; t < trees; t++)
		{
			SpCutTree	tree = sp_cut_tree_view(memory + t * bytes, size, dims, points);

			sum += sp_cut_tree_score(&tree, p, NULL) / trees;
		}
		if (i >= 100)
		{
			SpScore		result = score(&s, x + i * n, NULL);

			check(result.ready);
			check_near(result.score, sum, 1e-9);
		}
		step(&s, x + i * n);
		check(i % 50 != 0 || is_sound(&s));
		if (i < shingle - 1)
			continue;
		for (int t = 0; t < trees; t++)
		{
			SpCutTree	tree = sp_cut_tree_view(memory + t * bytes, size, dims, points);
			uint64_t	sequence = sp_random_at(sp_random_at(7, (uint64_t) t), (uint64_t) i);
			double		key = log(-log(sp_random_uniform(sequence))) - decay * i;
			int			last = 0;
			int			at = taken;

			if (taken == size)
			{
				for (int j = 1; j < size; j++)
				{
					if (keys[t * size + j] > keys[t * size + last])
						last = j;
				}
				if (key >= keys[t * size + last])
					continue;
				at = last;
				sp_cut_tree_delete(&tree, held[t * size + at]);
			}
			held[t * size + at] = sp_cut_tree_insert(&tree, (uint16_t) i, sequence);
			keys[t * size + at] = key;
		}
		taken += taken < size;
	}
	free(x);
	free(points);
	free(memory);
	free(held);
	free(keys);
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

	choose_series(&s, n);
	start_series(&s);
	for (int i = 0; i < 4000; i++)
	{
		SpScore		result;

		make_normal(x, n, &random);
		result = step(&s, x);
		check(result.ready == (i >= 256));
		flagged += result.score > s.setup.threshold;
	}
	check(flagged < 4000 * 0.012);
	for (int f = 0; f < n; f++)
		x[f] = 1e3 * f;
	check(score(&s, x, NULL).score < 1.5);
	for (int f = 0; f < n; f += n > 1 ? n - 1 : 1)
	{
		for (int sign = -1; sign <= 1; sign += 2)
		{
			double		sum = 0;
			SpScore		result;

			x[f] = 1e3 * f + sign * 40 * (f + 1);
			result = score(&s, x, &why);
			check(result.score > s.setup.threshold);
			for (int i = 0; i < why.nparts; i++)
				sum += why.parts[i].amount;
			check(why.nparts == n);
			check_near(sum, result.score, 1e-9);
			check(why.parts[f].amount > 0.7 * result.score);
			check_near(why.expected[f], 1e3 * f, 2 * (f + 1));
		}
		x[f] = 1e3 * f;
	}
	free(s.state);
}

/* A beat that is missing, or a flat line, is strange to who sees the last events together. */
static void
test_shingle(void)
{
	static const int shingles[2] = {1, 8};

	for (int i = 0; i < 2; i++)
	{
		double		x;
		double		most = 0;
		uint64_t	random = 61;
		Series		s;

		choose_series(&s, 1);
		s.params.shingle = shingles[i];
		start_series(&s);
		for (int j = 0; j < 2000; j++)
		{
			x = (j % 8 == 0 ? 10 : j % 8) + 0.1 * next_normal(&random);
			step(&s, &x);
		}
		for (int j = 0; j < 8; j++)
		{
			x = 3;
			most = fmax(most, step(&s, &x).score);
		}
		check((most > s.setup.threshold) == (shingles[i] > 1));
		free(s.state);
	}
}

/* Points that come and aren't learned are of the next points, too. */
static void
test_pass(void)
{
	double		x = 0;
	SpPoint		point = {0, 0, &x};
	uint64_t	random = 67;
	double		first;
	Series		s;

	choose_series(&s, 1);
	s.params.shingle = 4;
	start_series(&s);
	for (int j = 0; j < 1000; j++)
	{
		x = j % 4 + 0.01 * next_normal(&random);
		step(&s, &x);
	}
	x = 0;
	first = score(&s, &x, NULL).score;
	check(first < s.setup.threshold);
	kernel->pass(s.state, &s.setup, &point);
	check(score(&s, &x, NULL).score > s.setup.threshold);	/* after 0 comes 1 */
	check(sp_online_learned(kernel, s.state, &s.setup) == 1000);
	x = 1;
	check(score(&s, &x, NULL).score < s.setup.threshold);
	check(is_sound(&s));
	free(s.state);
}

/* A new level is strange at first, usual when enough has come; without decay it takes longer. */
static void
test_level(void)
{
	static const double decays[3] = {NAN, 0.02, 0.0};
	int			flagged[3] = {0};

	for (int i = 0; i < 3; i++)
	{
		double		x[2];
		uint64_t	random = 71;
		Series		s;

		choose_series(&s, 2);
		s.params.sample_size = 64;
		s.params.time_decay = decays[i];
		start_series(&s);
		for (int j = 0; j < 3000; j++)
		{
			make_normal(x, 2, &random);
			step(&s, x);
		}
		for (int j = 0; j < 3000; j++)
		{
			SpScore		result;

			make_normal(x, 2, &random);
			x[0] += 1e5;
			x[1] -= 1e5;
			result = step(&s, x);
			check(j > 0 || result.score > 1.2 * s.setup.threshold);
			flagged[i] += result.score > s.setup.threshold;
		}
		check(flagged[i] < 50);
		check(is_sound(&s));
		free(s.state);
	}
	check(flagged[1] < flagged[0] && flagged[0] < flagged[2]);
}

/* Constants and equal points: nothing while they are so, strange when they aren't. */
static void
test_constant(void)
{
	static const double values[2] = {42.0, 0.0};

	for (int c = 0; c < 2; c++)
	{
		double		x[2];
		uint64_t	random = 73;
		SpExplanation why;
		Series		s;

		choose_series(&s, 2);
		start_series(&s);
		for (int i = 0; i < 1500; i++)
		{
			x[0] = values[c];
			x[1] = (double) (next_random(&random) % 4);
			check(step(&s, x).score < 1.0);
		}
		x[0] = values[c] + 1e-3;
		check(score(&s, x, &why).score > s.setup.threshold);
		check(why.parts[0].amount > why.parts[1].amount);

		/* it varies from now on: that gets usual, and what is far stays strange */
		for (int i = 0; i < 3000; i++)
		{
			x[0] = values[c] + 5 * next_normal(&random);
			step(&s, x);
		}
		check(is_sound(&s));
		x[0] = values[c] + 1;
		check(score(&s, x, NULL).score < 2.0);
		x[0] = values[c] + 200;
		check(score(&s, x, NULL).score > s.setup.threshold);
		free(s.state);
	}
}

/* A scale that grows a millionfold: the frames follow, the trees are built again. */
static void
test_scale(void)
{
	double		x[2];
	uint64_t	random = 79;
	int			flagged = 0;
	Series		s;

	choose_series(&s, 2);
	s.params.sample_size = 64;
	start_series(&s);
	for (int i = 0; i < 6000; i++)
	{
		double		unit = i < 2000 ? 1 : 1e6;

		x[0] = unit * next_normal(&random);
		x[1] = 7 + next_normal(&random);
		flagged += step(&s, x).score > s.setup.threshold && i > 4000;
		check(i % 500 != 0 || is_sound(&s));
	}
	check(flagged < 2000 * 0.02);
	/* the other feature still counts */
	x[0] = 0;
	x[1] = 7;
	check(score(&s, x, NULL).score < 1.5);
	x[1] = 57;
	check(score(&s, x, NULL).score > s.setup.threshold);
	free(s.state);
}

/* Units don't matter. */
static void
test_units(void)
{
	static const double unit[3] = {1 / 1024.0, 65536, -4};
	uint64_t	random = 83;
	Series		a;
	Series		b;

	choose_series(&a, 2);
	choose_series(&b, 2);
	start_series(&a);
	start_series(&b);
	for (int i = 0; i < 1500; i++)
	{
		double		x[2];
		double		y[2];

		make_normal(x, 2, &random);
		for (int f = 0; f < 2; f++)
			y[f] = x[f] * unit[f];
		check(fabs(step(&a, x).score - step(&b, y).score) < 1e-9);
	}
	free(a.state);
	free(b.state);
}

/* ---- soundness ---- */

static void
test_soundness(void)
{
	double		x[2];
	uint64_t	random = 89;
	char	   *good;
	int			refused = 0;
	Series		s;

	choose_series(&s, 2);
	s.params.trees = 3;
	s.params.sample_size = 16;
	start_series(&s);
	for (int i = 0; i < 500; i++)
	{
		x[0] = (double) (next_random(&random) % 5);
		x[1] = next_normal(&random);
		step(&s, x);
		check(is_sound(&s));
	}
	good = malloc(s.size);
	memcpy(good, s.state, s.size);
	for (int i = 0; i < 10000; i++)
	{
		memcpy(s.state, good, s.size);
		for (uint64_t edits = 1 + next_random(&random) % 2; edits > 0; edits--)
		{
			uint64_t	at = next_random(&random) % s.size;

			((char *) s.state)[at] = (char) (next_random(&random) % 2 == 0 ? next_random(&random) :
											 next_random(&random) % 50);
		}
		if (!is_sound(&s))
		{
			refused++;
			continue;
		}
		for (int j = 0; j < 30; j++)
		{
			x[0] = (double) (next_random(&random) % 5);
			x[1] = next_normal(&random);
			step(&s, x);
		}
		check(is_sound(&s));
	}
	check(refused > 5000 && refused < 10000);
	free(good);
	free(s.state);
}

static void
test_conflicts(void)
{
	SpRandomCutForestParams params;

	sp_online_defaults(kernel, &params);
	check(params.trees == 50 && params.sample_size == 256 && isnan(params.time_decay));
	check(params.normalize == 1 && sp_online_threshold(kernel, &params, 3) == SP_RANDOM_CUT_FOREST_THRESHOLD);
	check(kernel->conflict(&params, 64) == NULL);
	params.shingle = 16;
	check(kernel->conflict(&params, 16) == NULL && kernel->conflict(&params, 17) != NULL);
	params.shingle = 1;
	params.trees = 128;
	check(kernel->conflict(&params, 1) == NULL && kernel->conflict(&params, 64) == NULL);
	params.shingle = 4;
	check(kernel->conflict(&params, 64) != NULL);
	params.trees = 129;
	check(kernel->conflict(&params, 1) != NULL);
	params.normalize = 0;
	check(sp_online_threshold(kernel, &params, 1) == 64.0);
}

int
main(void)
{
	test_conflicts();
	test_forest(1, 1, 5, 16, NAN);
	test_forest(3, 1, 20, 64, NAN);
	test_forest(2, 4, 4, 32, 0.1);
	test_forest(2, 1, 4, 256, 0.0);
	test_spikes(1);
	test_spikes(4);
	test_spikes(10);
	test_shingle();
	test_pass();
	test_level();
	test_constant();
	test_scale();
	test_units();
	test_soundness();
	return failures > 0;
}
