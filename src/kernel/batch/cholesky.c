/*
 * cholesky.c
 *	  Distances in units of a covariance that isn't singular, by its triangular factor.
 */
#include "kernel/batch/cholesky.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/batch/pair.h"

#define PAIRS		4			/* of points at once */
#define LANES		(2 * PAIRS)
#define STRIDE		4			/* numbers at once: a constant for the compiler to vectorize */
#define BLOCK		1024		/* points between two checks */
#define SINGULAR	1e-11		/* of the largest variance: what is less is left to eigenvalues */

/* to -= from * factor, n numbers. */
static inline void
subtract(double *to, const double *from, double factor, int n)
{
	int			i = 0;

	for (; i + STRIDE <= n; i += STRIDE)
	{
		for (int k = 0; k < STRIDE; k++)
			to[i + k] -= from[i + k] * factor;
	}
	for (; i < n; i++)
		to[i] -= from[i] * factor;
}

/* The upper triangle in units; returns the largest variance. */
static double
change_units(double *a, int d, const double *units)
{
	double		largest = 0;

	for (int j = 0; j < d; j++)
	{
		double	   *row = a + (size_t) j * (size_t) d;

		for (int k = j; k < d; k++)
			row[k] /= units[j] * units[k];
		largest = row[j] > largest ? row[j] : largest;
	}
	return largest;
}

/* Take row j out of those below it. */
static void
eliminate(double *a, int d, int j)
{
	const double *row = a + (size_t) j * (size_t) d;

	for (int i = j + 1; i < d; i++)
		subtract(a + (size_t) i * (size_t) d + i, row + i, row[i] / row[j], d - i);
}

/*
 * From rows above the diagonal, of which row j has its pivot first, to rows below it for
 * solve(): each over the root of its pivot, and on the diagonal what a column is multiplied by.
 */
static bool
arrange(double *a, int d, const double *units, const bool *left_out, SpWork *work)
{
	for (int j = 0; j < d; j++)
	{
		double	   *row = a + (size_t) j * (size_t) d;
		bool		out = left_out != NULL && left_out[j];
		double		root = out ? 0 : 1 / sqrt(row[j]);

		for (int i = j + 1; i < d; i++)
			a[(size_t) i * (size_t) d + (size_t) j] = row[i] * root;
		for (int k = 0; k < j; k++)
			row[k] *= root;
		row[j] = root / units[j];
		if (!isfinite(row[j]))
			return false;
		if (d > 64)
			work->check(work);
	}
	return true;
}

bool
sp_cholesky_factor(double *covariance, int d, const double *units, const bool *left_out,
				   double *determinant, SpWork *work)
{
	double		least = SINGULAR * change_units(covariance, d, units);

	*determinant = 0;
	for (int j = 0; j < d; j++)
	{
		double		pivot = covariance[(size_t) j * (size_t) d + (size_t) j];

		if (left_out != NULL && left_out[j])
			continue;
		if (!(pivot > least))
			return false;
		*determinant += log(pivot) + 2 * log(units[j]);
		eliminate(covariance, d, j);
		if (d > 64)
			work->check(work);
	}
	return arrange(covariance, d, units, left_out, work);
}

int
sp_cholesky_find_dependent(double *covariance, int d, const double *units, bool *dependent,
						   double *determinant, SpWork *work)
{
	double		least = DBL_EPSILON * d * change_units(covariance, d, units);
	int			rank = 0;

	*determinant = 0;
	for (int j = 0; j < d; j++)
	{
		double		pivot = covariance[(size_t) j * (size_t) d + (size_t) j];

		dependent[j] = !(pivot > least);
		if (dependent[j])
			continue;
		rank++;
		*determinant += log(pivot) + 2 * log(units[j]);
		eliminate(covariance, d, j);
		if (d > 64)
			work->check(work);
	}
	return rank;
}

/* Some points' distances; y [d * LANES] has them, centered. */
static void
solve(const double *factor, int d, SpPair *y, double *distances)
{
	SpPair		sums[PAIRS] = {{0}};

	for (int j = 0; j < d; j++)
	{
		const double *row = factor + (size_t) j * (size_t) d;
		const SpPair *from = y;
		SpPair	   *to = y + (size_t) j * PAIRS;
		SpPair		z0 = to[0] * row[j];
		SpPair		z1 = to[1] * row[j];
		SpPair		z2 = to[2] * row[j];
		SpPair		z3 = to[3] * row[j];

		for (int k = 0; k < j; k++, from += PAIRS)
		{
			z0 -= from[0] * row[k];
			z1 -= from[1] * row[k];
			z2 -= from[2] * row[k];
			z3 -= from[3] * row[k];
		}
		to[0] = z0;
		to[1] = z1;
		to[2] = z2;
		to[3] = z3;
		for (int p = 0; p < PAIRS; p++)
			sums[p] += to[p] * to[p];
	}
	memcpy(distances, sums, sizeof(sums));
}

void
sp_cholesky_distances(const SpMatrix *points, const double *means, const double *factor,
					  double *distances, SpWork *work)
{
	size_t		d = (size_t) points->d;
	double	   *y = work->allocate(work, d * LANES * sizeof(double));

	for (size_t i = 0; i < points->n; i += LANES)
	{
		size_t		n = points->n - i < LANES ? points->n - i : LANES;
		double		found[LANES];

		for (size_t p = 0; p < LANES; p++)
		{
			/* where there are less, the last one again */
			const double *x = points->x + (i + (p < n ? p : n - 1)) * d;

			for (size_t j = 0; j < d; j++)
				y[j * LANES + p] = x[j] - means[j];
		}
		solve(factor, points->d, (SpPair *) y, found);
		memcpy(distances + i, found, n * sizeof(double));
		if (i % BLOCK == 0 || d > 64)
			work->check(work);
	}
	work->release(work, y);
}
