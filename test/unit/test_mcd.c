/*
 * test_mcd.c
 *	  Distances by the half of the points that lies closest together: of one column found among all
 *	  halves, of several by what must hold for it, of many by steps from many starts, plainly made.
 */
#include "batch.h"

#include "kernel/batch/mcd.h"

#define N		80
#define D		3
#define MEDIAN	0.454936423119573	/* of chi-squared with 1 degree of freedom */
#define WIDE_N	160
#define WIDE_D	24
#define STARTS	100
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

/* ---- many columns ---- */

/* Points of which only the first d of WIDE_D columns are looked at. */
typedef struct Plain
{
	const double *x;
	int			d;
	int			h;
	bool		chosen[WIDE_N];
	double		distances[WIDE_N];
} Plain;

/* Distances by those chosen, by elimination of a covariance beside the points; its determinant. */
static double
measure_plainly(Plain *p)
{
	static double a[WIDE_D][WIDE_D + WIDE_N];
	double		determinant = 0;
	int			d = p->d;

	for (int j = 0; j < d; j++)
	{
		double		mean = 0;

		for (int i = 0; i < WIDE_N; i++)
			mean += p->chosen[i] ? p->x[i * WIDE_D + j] / p->h : 0;
		for (int i = 0; i < WIDE_N; i++)
			a[j][WIDE_D + i] = p->x[i * WIDE_D + j] - mean;
	}
	for (int j = 0; j < d; j++)
	{
		for (int k = 0; k < d; k++)
		{
			a[j][k] = 0;
			for (int i = 0; i < WIDE_N; i++)
				a[j][k] += p->chosen[i] ? a[j][WIDE_D + i] * a[k][WIDE_D + i] / p->h : 0;
		}
	}
	memset(p->distances, 0, sizeof(p->distances));
	for (int j = 0; j < d; j++)
	{
		determinant += log(a[j][j]);
		for (int i = 0; i < WIDE_N; i++)
			p->distances[i] += pow(a[j][WIDE_D + i], 2) / a[j][j];
		for (int k = j + 1; k < d; k++)
		{
			double		factor = a[k][j] / a[j][j];

			for (int i = j; i < WIDE_D + WIDE_N; i++)
				a[k][i] -= factor * a[j][i];
		}
	}
	return determinant;
}

/* The h nearest ones' farthest distance. */
static double
find_limit(const Plain *p)
{
	double		sorted[WIDE_N];

	memcpy(sorted, p->distances, sizeof(sorted));
	qsort(sorted, WIDE_N, sizeof(double), compare);
	return sorted[p->h - 1];
}

/* Steps until nothing changes, from many starts: the least determinant. */
static double
search_plainly(Plain *p, uint64_t *random)
{
	double		least = INFINITY;

	for (int start = 0; start < STARTS; start++)
	{
		double		last = INFINITY;
		double		determinant;

		memset(p->chosen, 0, sizeof(p->chosen));
		for (int left = p->h; left > 0;)
		{
			int			i = (int) (next_random(random) % WIDE_N);

			left -= !p->chosen[i];
			p->chosen[i] = true;
		}
		while ((determinant = measure_plainly(p)) < last)
		{
			double		limit = find_limit(p);

			last = determinant;
			for (int i = 0; i < WIDE_N; i++)
				p->chosen[i] = p->distances[i] <= limit;
		}
		least = last < least ? last : least;
	}
	return least;
}

/* Columns that vary together; one in ten points far out, as many in a cluster. */
static void
make_wide(double *x, uint64_t *random)
{
	for (int i = 0; i < WIDE_N; i++)
	{
		double	   *p = x + i * WIDE_D;

		for (int j = 0; j < WIDE_D; j++)
		{
			p[j] = next_uniform(random) + next_uniform(random) + next_uniform(random) - 1.5;
			p[j] *= i % 10 == 3 ? 8 : 1;
			p[j] += i % 10 == 7 ? 6 + j % 3 : 0;
			p[j] += j > 0 ? p[j - 1] * 0.7 : 0;
		}
	}
}

/* No step leads on from what is chosen, and the plain search finds nothing that is much less. */
static void
check_wide(const double *x, int d, int32_t seed, uint64_t *random)
{
	SpMatrix	points = {x, WIDE_N, WIDE_D};
	Plain		p = {.x = x, .d = d, .h = (WIDE_N + WIDE_D + 2) / 2};
	Lending		l;
	double		found;
	double		determinant;
	double		limit;
	double		plain;
	int			n = 0;

	begin_lending(&l);
	found = sp_mcd_choose(seed, &points, p.chosen, &l.work);
	end_lending(&l);
	determinant = measure_plainly(&p);
	if (d == WIDE_D)
		check_near(found, determinant, 1e-9 * fabs(determinant));
	limit = find_limit(&p);
	for (int i = 0; i < WIDE_N; i++)
	{
		n += p.chosen[i];
		check(p.chosen[i] ? p.distances[i] <= limit * (1 + 1e-9) :
			  p.distances[i] >= limit * (1 - 1e-9));
	}
	check(n == p.h);
	plain = search_plainly(&p, random);
	check(determinant <= plain + 0.005 * fabs(plain));
}

static void
test_wide(void)
{
	static double x[WIDE_N * WIDE_D];
	static double other[WIDE_N * WIDE_D];
	uint64_t	random = 77;
	int32_t		seed = 42;
	double	   *scores;
	double	   *same;

	for (int round = 0; round < 4; round++)
	{
		make_wide(x, &random);
		check_wide(x, WIDE_D, round, &random);
	}
	/* units don't matter */
	scores = score_points(&sp_batch_mcd, &seed, x, WIDE_N, WIDE_D);
	for (int i = 0; i < WIDE_N * WIDE_D; i++)
		other[i] = x[i] * pow(10, i % WIDE_D % 7 * 6 - 18);
	same = score_points(&sp_batch_mcd, &seed, other, WIDE_N, WIDE_D);
	for (int i = 0; i < WIDE_N; i++)
		check_near(same[i], scores[i], 1e-6 * (1 + scores[i]));
	free(same);
	free(scores);
	/* a column that follows from others, and one that is constant */
	for (int i = 0; i < WIDE_N; i++)
	{
		x[i * WIDE_D + WIDE_D - 1] = x[i * WIDE_D + 1] - 2 * x[i * WIDE_D + 3];
		x[i * WIDE_D + WIDE_D - 2] = 5;
	}
	check_wide(x, WIDE_D - 2, 1, &random);
	/* one that is constant but for a few points: most choices are singular, not all */
	for (int i = 0; i < WIDE_N; i++)
		x[i * WIDE_D + WIDE_D - 2] = i % 16 == 0 ? i : 0;
	scores = score_points(&sp_batch_mcd, &seed, x, WIDE_N, WIDE_D);
	for (int i = 0; i < WIDE_N; i++)
		check(scores[i] >= 0 && isfinite(scores[i]));
	free(scores);
}

/* As many columns as points, more of them, and several samples: the memory is what was said. */
static void
test_shapes(void)
{
	const size_t shapes[][2] = {{20, 20}, {21, 20}, {30, 45}, {41, 20}, {700, 21}, {1600, 20}};
	uint64_t	random = 3;
	int32_t		seed = 42;

	for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
	{
		size_t		size = shapes[s][0] * shapes[s][1];
		double	   *x = malloc(size * sizeof(double));
		double	   *scores;

		for (size_t i = 0; i < size; i++)
			x[i] = next_uniform(&random);
		scores = score_points(&sp_batch_mcd, &seed, x, shapes[s][0], (int) shapes[s][1]);
		for (size_t i = 0; i < shapes[s][0]; i++)
			check(scores[i] >= 0 && isfinite(scores[i]));
		free(scores);
		free(x);
	}
}

int
main(void)
{
	test_one_column();
	test_robust();
	test_wide();
	test_shapes();
	return failures > 0;
}
