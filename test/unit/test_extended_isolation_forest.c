/*
 * test_extended_isolation_forest.c
 *	  The forest against one that is grown here, a point at a time and by the paper's words.
 */
#include "batch.h"

#include "kernel/batch/extended_isolation_forest.h"
#include "kernel/batch/isolation_forest.h"

#define N		300
#define D		3
#define PSI		64
#define DEPTH	6
#define TREES	3000

static double
get_normal(uint64_t *random)
{
	double		sum = 0;

	for (int i = 0; i < 12; i++)
		sum += next_uniform(random);
	return sum - 6;
}

/* C(n) by its definition with harmonic numbers' approximation. */
static double
mean_length(int n)
{
	return n < 2 ? 0 : n == 2 ? 1 : 2 * (log(n - 1.0) + 0.5772156649) - 2 * (n - 1.0) / n;
}

/* Follow one point down a tree that is grown only where the point goes. */
static double
isolate(double points[][D], int n, const double *x, int depth, int ncolumns, uint64_t *random)
{
	double		normal[D] = {0};
	double		at[D] = {0};
	double		(*side)[D];
	int			nside = 0;
	double		length;
	double		own = 0;

	if (n < 2 || depth == DEPTH)
		return depth + mean_length(n);
	for (int chosen = 0; chosen < ncolumns;)
	{
		int			j = (int) (next_random(random) % D);
		double		min = points[0][j];
		double		max = min;

		if (normal[j] != 0)
			continue;
		for (int i = 1; i < n; i++)
		{
			min = fmin(min, points[i][j]);
			max = fmax(max, points[i][j]);
		}
		normal[j] = get_normal(random);
		at[j] = min + (max - min) * next_uniform(random);
		chosen++;
	}
	side = malloc(sizeof(*side) * (size_t) n);
	for (int j = 0; j < D; j++)
		own += (x[j] - at[j]) * normal[j];
	for (int i = 0; i < n; i++)
	{
		double		sum = 0;

		for (int j = 0; j < D; j++)
			sum += (points[i][j] - at[j]) * normal[j];
		if ((sum <= 0) == (own <= 0))
			memcpy(side[nside++], points[i], sizeof(side[0]));
	}
	length = isolate(side, nside, x, depth + 1, ncolumns, random);
	free(side);
	return length;
}

/* The same points, on a robust scale already, in one cloud with two far away. */
static double *
make_cloud(void)
{
	double	   *x = malloc(sizeof(double) * N * D);
	uint64_t	random = 5;

	for (int i = 0; i < N * D; i++)
		x[i] = get_normal(&random);
	for (int j = 0; j < D; j++)
	{
		x[j] = 6;
		x[D + j] = j == 0 ? 4 : 0;
	}
	return x;
}

/* The score of a point in a forest of the test's own. */
static double
score_plainly(const double *x, const double *point, int ncolumns)
{
	uint64_t	random = 17;
	double		sum = 0;

	for (int t = 0; t < TREES; t++)
	{
		double		sample[PSI][D];
		int			order[N];

		for (int i = 0; i < N; i++)
			order[i] = i;
		for (int i = 0; i < PSI; i++)
		{
			int			j = i + (int) (next_random(&random) % (uint64_t) (N - i));
			int			swap = order[i];

			order[i] = order[j];
			order[j] = swap;
			memcpy(sample[i], x + order[i] * D, sizeof(sample[i]));
		}
		sum += isolate(sample, PSI, point, 0, ncolumns, &random);
	}
	return exp2(-sum / TREES / mean_length(PSI));
}

/* By the paper, at each level of extension. */
static void
test_scores(void)
{
	double	   *x = make_cloud();

	for (int extension = 0; extension < D; extension++)
	{
		SpExtendedIsolationForestParams params = {1000, PSI, extension, 1};
		double	   *scores = score_points(&sp_batch_extended_isolation_forest, &params, x, N, D);

		for (int i = 0; i < 6; i++)
			check_near(scores[i], score_plainly(x, x + i * D, extension + 1), 0.02);
		check(scores[0] > 0.6);
		free(scores);
	}
	free(x);
}

/* Of one column there is one direction only: an isolation forest. */
static void
test_one_column(void)
{
	double	   *x = make_cloud();
	SpExtendedIsolationForestParams params = {2000, 256, -1, 3};
	SpIsolationForestParams plain = {2000, 256, 4};
	double	   *scores = score_points(&sp_batch_extended_isolation_forest, &params, x, N, 1);
	double	   *others = score_points(&sp_batch_isolation_forest, &plain, x, N, 1);

	for (int i = 0; i < N; i++)
		check_near(scores[i], others[i], 0.015);
	free(others);
	free(scores);
	free(x);
}

/* What the cuts' directions are for: points equally far from a round cloud score alike. */
static void
test_round(void)
{
	double		x[2 * 2000];
	double		ring[2 * 64];
	double		scores[64];
	double		spread[2];
	uint64_t	random = 9;
	SpMatrix	cloud = {x, 2000, 2};
	SpMatrix	points = {ring, 64, 2};
	Lending		l;

	for (int i = 0; i < 2 * 2000; i++)
		x[i] = get_normal(&random);
	for (int i = 0; i < 64; i++)
	{
		ring[2 * i] = 3.5 * cos(i * 0.09817477042468103);
		ring[2 * i + 1] = 3.5 * sin(i * 0.09817477042468103);
	}
	begin_lending(&l);
	for (int extension = 0; extension < 2; extension++)
	{
		SpExtendedIsolationForestParams params = {500, 256, extension, 1};
		size_t		size = sp_extended_isolation_forest_size(&params, cloud.n, 2);
		SpExtendedIsolationForest *forest = malloc(size);
		double		min = 1;
		double		max = 0;

		sp_extended_isolation_forest_train(forest, &params, &cloud, &l.work);
		sp_extended_isolation_forest_score(forest, &points, scores, &l.work);
		for (int i = 0; i < 64; i++)
		{
			min = fmin(min, scores[i]);
			max = fmax(max, scores[i]);
		}
		spread[extension] = max - min;
		free(forest);
	}
	end_lending(&l);
	check(spread[1] < spread[0] / 2);
}

/* A forest's bytes are sound; others that are not are told. */
static void
test_sound(void)
{
	double	   *x = make_cloud();
	SpMatrix	points = {x, N, D};
	SpExtendedIsolationForestParams params = {20, 32, 1, 1};
	size_t		size = sp_extended_isolation_forest_size(&params, N, D);
	SpExtendedIsolationForest *forest = malloc(size);
	float	   *floats = (float *) forest;
	size_t		nfloats = size / sizeof(float);
	Lending		l;

	begin_lending(&l);
	sp_extended_isolation_forest_train(forest, &params, &points, &l.work);
	end_lending(&l);
	check(sp_extended_isolation_forest_is_sound(forest, size));
	check(!sp_extended_isolation_forest_is_sound(forest, size - 8));
	check(!sp_extended_isolation_forest_is_sound(forest, 4));
	forest->depth++;
	check(!sp_extended_isolation_forest_is_sound(forest, size));
	forest->depth--;
	for (size_t i = 0; i < nfloats; i++)
	{
		float		old = floats[i];

		/* all else is NaN then, whether it is a half of a double or a float */
		memset(&floats[i], 0xff, sizeof(float));
		if (i != nfloats - 1 && (i < 4 || i >= 4 + 4 * D || i % 2 == 1))
			check(!sp_extended_isolation_forest_is_sound(forest, size));
		floats[i] = old;
	}
	check(sp_extended_isolation_forest_is_sound(forest, size));
	free(forest);
	free(x);
}

int
main(void)
{
	test_scores();
	test_one_column();
	test_round();
	test_sound();
	return failures > 0;
}
