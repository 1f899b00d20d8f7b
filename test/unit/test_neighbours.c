/*
 * test_neighbours.c
 *	  Distances to neighbours and local outlier factors, from the distances of all pairs.
 */
#include "batch.h"

#include "kernel/batch/neighbours.h"

#define MOST	120
#define NONE	3				/* of scales */

typedef struct KnnParams
{
	int32_t		k;
	int32_t		aggregate;
	int32_t		scale;
} KnnParams;

typedef struct LofParams
{
	int32_t		k;
	int32_t		scale;
} LofParams;

/* A point's distances from all others, by size. */
typedef struct Other
{
	double		distance;
	int			point;
} Other;

static Other others[MOST][MOST];

static int
compare(const void *a, const void *b)
{
	double		x = ((const Other *) a)->distance;
	double		y = ((const Other *) b)->distance;

	return x < y ? -1 : x > y;
}

static void
sort_others(const double *x, int n, int d)
{
	for (int i = 0; i < n; i++)
	{
		int			count = 0;

		for (int j = 0; j < n; j++)
		{
			double		sum = 0;

			for (int c = 0; c < d; c++)
				sum += pow(x[i * d + c] - x[j * d + c], 2);
			if (j != i)
				others[i][count++] = (Other) {sqrt(sum), j};
		}
		qsort(others[i], (size_t) count, sizeof(Other), compare);
	}
}

static void
check_knn(const double *x, int n, int d, int k)
{
	int			m = k < n ? k : n - 1;

	for (int aggregate = 0; aggregate < 3; aggregate++)
	{
		KnnParams	params = {k, aggregate, NONE};
		double	   *scores = score_points(&sp_batch_knn_distance, &params, x, (size_t) n, d);

		for (int i = 0; i < n; i++)
		{
			double		expected = m > 0 ? others[i][m - 1].distance : 0;
			double		sum = 0;

			for (int j = 0; j < m; j++)
				sum += others[i][j].distance;
			if (aggregate == 1 && m > 0)
				expected = sum / m;
			else if (aggregate == 2 && m > 0)
				expected = (others[i][(m - 1) / 2].distance + others[i][m / 2].distance) / 2;
			check_near(scores[i], expected, 1e-12);
		}
		free(scores);
	}
}

/* How close a point's neighbours can be reached, 1 / density. */
static double
get_reach(int i, int m)
{
	double		sum = 0;

	for (int j = 0; j < m; j++)
		sum += fmax(others[i][j].distance, others[others[i][j].point][m - 1].distance);
	return sum / m + 1e-10;
}

static void
check_lof(const double *x, int n, int d, int k)
{
	LofParams	params = {k, NONE};
	int			m = k < n ? k : n - 1;
	double	   *scores = score_points(&sp_batch_lof, &params, x, (size_t) n, d);

	for (int i = 0; i < n; i++)
	{
		double		sum = 0;

		for (int j = 0; j < m; j++)
			sum += get_reach(i, m) / get_reach(others[i][j].point, m);
		check_near(scores[i], m > 0 ? sum / m : 1, 1e-10);
	}
	free(scores);
}

int
main(void)
{
	static const int ks[] = {1, 2, 5, 20, 119, 1000};
	uint64_t	random = 8;
	double		x[MOST * 6];

	for (int round = 0; round < 60; round++)
	{
		int			n = 1 + (int) (next_random(&random) % MOST);
		int			d = 1 + round % 6;

		for (int i = 0; i < n * d; i++)
			x[i] = next_uniform(&random) * (i % 7) + next_uniform(&random);
		sort_others(x, n, d);
		check_knn(x, n, d, ks[round % 6]);
		check_lof(x, n, d, ks[round % 6]);
		/* of points at equal distances any is a neighbour, which their distances don't depend on */
		for (int i = 0; i < n * d; i++)
			x[i] = (double) (next_random(&random) % 4);
		sort_others(x, n, d);
		check_knn(x, n, d, ks[round % 6]);
	}
	return failures > 0;
}
