/*
 * test_random_cut_forest.c
 *	  Forests against samples drawn by sorting and trees of theirs (which test_cut_tree.c is
 *	  about); what is found and what isn't; frames that change.
 */
#include "kernel/online/random_cut_forest.h"
#include "kernel/online/cut_tree.h"
#include "kernel/online/random.h"
#include "forest.h"

static const SpKernel *const kernel = &sp_kernel_random_cut_forest;

static SpRandomCutForestParams chosen;

/* The defaults, but for the trees: a few will do. */
static void
choose_defaults(void)
{
	sp_online_defaults(kernel, &chosen);
	chosen.trees = 20;
}

static Series
open_chosen(int n)
{
	return open_features(kernel, &chosen, n, SP_DIRECTION_BOTH);
}

/* ---- brute force ---- */

/* Points of the whole series, in the frames of its first 64 events. */
static void
frame_points(const double *x, int n, int count, int shingle, float *points)
{
	int			dims = n * shingle;

	for (int f = 0; f < n; f++)
	{
		double		center;
		double		scale;

		find_frame(x + f, n, &center, &scale);
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

	chosen = (SpRandomCutForestParams) {trees, size, shingle, 100, 7, 0, decay};
	s = open_chosen(n);
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
			SpScore		result = score_features(&s, x + i * n, NULL);

			check(result.ready);
			check_near(result.score, sum, 1e-9);
		}
		step_features(&s, x + i * n);
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
	close_series(&s);
}

/* ---- what it finds ---- */

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

		choose_defaults();
		chosen.shingle = shingles[i];
		s = open_chosen(1);
		for (int j = 0; j < 2000; j++)
		{
			x = (j % 8 == 0 ? 10 : j % 8) + 0.1 * next_normal(&random);
			step_features(&s, &x);
		}
		for (int j = 0; j < 8; j++)
		{
			x = 3;
			most = fmax(most, step_features(&s, &x).score);
		}
		check((most > s.setup.threshold) == (shingles[i] > 1));
		close_series(&s);
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

	choose_defaults();
	chosen.shingle = 4;
	s = open_chosen(1);
	for (int j = 0; j < 1000; j++)
	{
		x = j % 4 + 0.01 * next_normal(&random);
		step_features(&s, &x);
	}
	x = 0;
	first = score_features(&s, &x, NULL).score;
	check(first < s.setup.threshold);
	kernel->pass(s.state, &s.setup, &point);
	check(score_features(&s, &x, NULL).score > s.setup.threshold);	/* after 0 comes 1 */
	check(sp_online_learned(kernel, s.state, &s.setup) == 1000);
	x = 1;
	check(score_features(&s, &x, NULL).score < s.setup.threshold);
	check(is_sound(&s));
	close_series(&s);
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

		choose_defaults();
		chosen.sample_size = 64;
		chosen.time_decay = decays[i];
		s = open_chosen(2);
		for (int j = 0; j < 3000; j++)
		{
			make_normal(x, 2, &random);
			step_features(&s, x);
		}
		for (int j = 0; j < 3000; j++)
		{
			SpScore		result;

			make_normal(x, 2, &random);
			x[0] += 1e5;
			x[1] -= 1e5;
			result = step_features(&s, x);
			check(j > 0 || result.score > 1.2 * s.setup.threshold);
			flagged[i] += result.score > s.setup.threshold;
		}
		check(flagged[i] < 50);
		check(is_sound(&s));
		close_series(&s);
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

		choose_defaults();
		s = open_chosen(2);
		for (int i = 0; i < 1500; i++)
		{
			x[0] = values[c];
			x[1] = (double) (next_random(&random) % 4);
			check(step_features(&s, x).score < 1.0);
		}
		x[0] = values[c] + 1e-3;
		check(score_features(&s, x, &why).score > s.setup.threshold);
		check(why.parts[0].amount > why.parts[1].amount);

		/* it varies from now on: that gets usual, and what is far stays strange */
		for (int i = 0; i < 3000; i++)
		{
			x[0] = values[c] + 5 * next_normal(&random);
			step_features(&s, x);
		}
		check(is_sound(&s));
		x[0] = values[c] + 1;
		check(score_features(&s, x, NULL).score < 2.0);
		x[0] = values[c] + 200;
		check(score_features(&s, x, NULL).score > s.setup.threshold);
		close_series(&s);
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

	choose_defaults();
	chosen.sample_size = 64;
	s = open_chosen(2);
	for (int i = 0; i < 6000; i++)
	{
		double		unit = i < 2000 ? 1 : 1e6;

		x[0] = unit * next_normal(&random);
		x[1] = 7 + next_normal(&random);
		flagged += step_features(&s, x).score > s.setup.threshold && i > 4000;
		check(i % 500 != 0 || is_sound(&s));
	}
	check(flagged < 2000 * 0.02);
	/* the other feature still counts */
	x[0] = 0;
	x[1] = 7;
	check(score_features(&s, x, NULL).score < 1.5);
	x[1] = 57;
	check(score_features(&s, x, NULL).score > s.setup.threshold);
	close_series(&s);
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

	choose_defaults();
	chosen.trees = 3;
	chosen.sample_size = 16;
	s = open_chosen(2);
	for (int i = 0; i < 500; i++)
	{
		x[0] = (double) (next_random(&random) % 5);
		x[1] = next_normal(&random);
		step_features(&s, x);
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
			step_features(&s, x);
		}
		check(is_sound(&s));
	}
	check(refused > 5000 && refused < 10000);
	free(good);
	close_series(&s);
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
	choose_defaults();
	check_spikes(kernel, &chosen, 1);
	check_spikes(kernel, &chosen, 4);
	check_spikes(kernel, &chosen, 10);
	test_shingle();
	test_pass();
	test_level();
	test_constant();
	test_scale();
	choose_defaults();
	check_units(kernel, &chosen, 0.0);
	test_soundness();
	return failures > 0;
}
