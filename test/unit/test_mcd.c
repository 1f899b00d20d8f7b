/*
 * test_mcd.c
 *	  Distances by the half of the points that lies closest together: of one column found among all
 *	  halves, of several by what must hold for it.
 */
#include "batch.h"

#include "kernel/batch/mcd.h"

#define N		80
#define D		3
#define MEDIAN	0.454936423119573	/* of chi-squared with 1 degree of freedom */
#define LIMIT	5.023886187314888	/* its 97.5 % quantile */

static int
compare(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return x < y ? -1 : x > y;
}

static void
describe(const double *x, int n, double *mean, double *variance)
{
	*mean = *variance = 0;
	for (int i = 0; i < n; i++)
		*mean += x[i] / n;
	for (int i = 0; i < n; i++)
		*variance += pow(x[i] - *mean, 2) / n;
}

/* Of one column the half of least variance is next to one another. */
static void
test_one_column(void)
{
	uint64_t	random = 21;

	for (int round = 0; round < 10; round++)
	{
		int32_t		seed = round;
		double		x[N];
		double		sorted[N];
		double		distances[N];
		double		kept[N];
		double		mean;
		double		variance;
		double		least = INFINITY;
		double		center = 0;
		double		correction;
		double	   *scores;
		int			h = (N + 2 + 1) / 2;
		int			nkept = 0;

		for (int i = 0; i < N; i++)
			x[i] = sorted[i] = i % 4 == 0 ? 40 + 30 * next_uniform(&random) :
				next_uniform(&random) + next_uniform(&random) + next_uniform(&random);
		qsort(sorted, N, sizeof(double), compare);
		for (int i = 0; i + h <= N; i++)
		{
			describe(sorted + i, h, &mean, &variance);
			if (variance < least)
			{
				least = variance;
				center = mean;
			}
		}
		for (int i = 0; i < N; i++)
			distances[i] = pow(x[i] - center, 2) / least;
		memcpy(sorted, distances, sizeof(sorted));
		qsort(sorted, N, sizeof(double), compare);
		correction = (sorted[N / 2 - 1] + sorted[N / 2]) / 2 / MEDIAN;
		for (int i = 0; i < N; i++)
		{
			if (distances[i] < LIMIT * correction)
				kept[nkept++] = x[i];
		}
		describe(kept, nkept, &mean, &variance);
		scores = score_points(&sp_batch_mcd, &seed, x, N, 1);
		for (int i = 0; i < N; i++)
			check_near(scores[i], pow(x[i] - mean, 2) / variance, 1e-7 * (1 + scores[i]));
		free(scores);
	}
}

/* 30 % of the points far away, and the others in a cloud that isn't round. */
static void
make_points(double *x, double away)
{
	uint64_t	random = 5;

	for (int i = 0; i < N; i++)
	{
		double		u[D];

		for (int j = 0; j < D; j++)
			u[j] = next_uniform(&random) + next_uniform(&random) + next_uniform(&random) - 1.5;
		x[i * D] = u[0];
		x[i * D + 1] = 2 * u[0] + u[1];
		x[i * D + 2] = u[2] - u[1];
		for (int j = 0; j < D && i % 10 < 3; j++)
			x[i * D + j] += away;
	}
}

/* Where the far points are doesn't matter for the others; nor do units, turns and shifts for any. */
static void
test_robust(void)
{
	int32_t		seed = 42;
	double		x[N * D];
	double	   *near;
	double	   *far;
	double	   *turned;

	make_points(x, 50);
	near = score_points(&sp_batch_mcd, &seed, x, N, D);
	make_points(x, 5000);
	far = score_points(&sp_batch_mcd, &seed, x, N, D);
	make_points(x, 50);
	for (int i = 0; i < N; i++)
	{
		double	   *p = x + i * D;
		double		a = 3 * p[0] + p[1] + 7;
		double		b = p[0] - 2 * p[1] + 0.5 * p[2] - 100;

		p[2] = 1000 * p[2] + p[0];
		p[0] = a * 1e12;
		p[1] = b * 1e-9;
	}
	turned = score_points(&sp_batch_mcd, &seed, x, N, D);
	for (int i = 0; i < N; i++)
	{
		check(i % 10 < 3 ? near[i] > 1000 : near[i] < 20);
		if (i % 10 >= 3)
			check_near(far[i], near[i], 1e-6);
		check_near(turned[i], near[i], 1e-6 * (1 + near[i]));
	}
	free(turned);
	free(far);
	free(near);
}

int
main(void)
{
	test_one_column();
	test_robust();
	return failures > 0;
}
