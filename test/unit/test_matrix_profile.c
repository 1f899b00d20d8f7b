/*
 * test_matrix_profile.c
 *	  The nearest stretch of each, from the z-scores of all of them.
 */
#include "batch.h"

#include "kernel/batch/matrix_profile.h"

#define MOST	240

static bool
is_constant(const double *x, int m)
{
	for (int i = 1; i < m; i++)
	{
		if (x[i] != x[0])
			return false;
	}
	return true;
}

/* The distance of two stretches. */
static double
get_distance(const double *a, const double *b, int m)
{
	const double *both[2] = {a, b};
	double		mean[2] = {0};
	double		deviation[2] = {0};
	double		sum = 0;

	if (is_constant(a, m) || is_constant(b, m))
		return is_constant(a, m) && is_constant(b, m) ? 0 : sqrt(m);
	for (int k = 0; k < 2; k++)
	{
		for (int i = 0; i < m; i++)
			mean[k] += both[k][i] / m;
		for (int i = 0; i < m; i++)
			deviation[k] += pow(both[k][i] - mean[k], 2) / m;
		deviation[k] = sqrt(deviation[k]);
	}
	for (int i = 0; i < m; i++)
		sum += pow((a[i] - mean[0]) / deviation[0] - (b[i] - mean[1]) / deviation[1], 2);
	return sqrt(sum);
}

static void
check_series(const double *x, int n, int m)
{
	double		distances[MOST];
	int64_t		neighbours[MOST];
	int			zone = (m + 3) / 4;
	int			stretches = n - m + 1;
	Lending		l;

	begin_lending(&l);
	sp_matrix_profile(x, (size_t) n, (size_t) m, distances, neighbours, &l.work);
	end_lending(&l);
	for (int i = 0; i < stretches; i++)
	{
		double		nearest = INFINITY;

		for (int j = 0; j < stretches; j++)
		{
			if (abs(i - j) > zone)
				nearest = fmin(nearest, get_distance(x + i, x + j, m));
		}
		if (isinf(nearest))
		{
			check(isnan(distances[i]) && neighbours[i] == -1);
			continue;
		}
		check_near(distances[i], nearest, 1e-8);
		check(neighbours[i] >= 0 && neighbours[i] < stretches &&
			  llabs(neighbours[i] - i) > zone);
		/* of several that are as near any */
		if (neighbours[i] >= 0 && neighbours[i] < stretches)
			check_near(get_distance(x + i, x + neighbours[i], m), nearest, 1e-8);
	}
}

int
main(void)
{
	uint64_t	random = 2;
	double		x[MOST];

	for (int round = 0; round < 60; round++)
	{
		int			m = SP_MATRIX_PROFILE_MIN + (int) (next_random(&random) % 20);
		int			n = m + (int) (next_random(&random) % (MOST - 30));
		double		offset = round % 2 == 0 ? 0 : 1e4;

		for (int i = 0; i < n; i++)
			x[i] = offset + sin(i * 0.3) + next_uniform(&random) + (i % 50 == 20 ? 3 : 0);
		/* some stretches are constant, some equal */
		for (int i = n / 3; i < n / 3 + 2 * m && i < n && round % 3 == 0; i++)
			x[i] = 2;
		for (int i = n / 2; i < n && round % 5 == 0; i++)
			x[i] = x[i - n / 2];
		check_series(x, n, m);
	}
	return failures > 0;
}
