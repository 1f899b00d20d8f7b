/*
 * eigen.c
 *	  Symmetric matrices: eigenvalues, and distances in units of a covariance.
 */
#include "kernel/batch/eigen.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/batch/pair.h"

#define MAX_STEPS	60			/* of QL for an eigenvalue; 3 are usual */
#define BLOCK		1024		/* points between two checks */
#define TILE		8			/* columns at once */
#define GATHERED	16			/* points at once */

/* ---- eigenvalues ---- */

/*
 * A column of the matrix after the other becomes 0 but beside the diagonal; the reflections that
 * do that are multiplied in z, whose columns are their product in the end.
 */
static void
reduce(double *z, int n, double *diagonal, double *beside, SpWork *work)
{
	for (int i = n - 1; i > 0; i--)
	{
		double	   *row = z + (size_t) i * (size_t) n;
		double		scale = 0;
		double		h = 0;
		double		f = 0;
		double		g;

		for (int k = 0; k < i; k++)
			scale += fabs(row[k]);
		diagonal[i] = 0;
		beside[i] = row[i - 1];
		if (i == 1 || !(scale > 0))
			continue;
		for (int k = 0; k < i; k++)
		{
			row[k] /= scale;
			h += row[k] * row[k];
		}
		g = row[i - 1] > 0 ? -sqrt(h) : sqrt(h);
		beside[i] = scale * g;
		h -= row[i - 1] * g;
		row[i - 1] -= g;
		for (int j = 0; j < i; j++)
		{
			double	   *other = z + (size_t) j * (size_t) n;

			other[i] = row[j] / h;
			g = 0;
			for (int k = 0; k <= j; k++)
				g += other[k] * row[k];
			for (int k = j + 1; k < i; k++)
				g += z[(size_t) k * (size_t) n + (size_t) j] * row[k];
			beside[j] = g / h;
			f += beside[j] * row[j];
		}
		for (int j = 0; j < i; j++)
		{
			double	   *other = z + (size_t) j * (size_t) n;

			g = beside[j] - f / (h + h) * row[j];
			beside[j] = g;
			for (int k = 0; k <= j; k++)
				other[k] -= row[j] * beside[k] + g * row[k];
		}
		diagonal[i] = h;
		if (n > 64)
			work->check(work);
	}
	diagonal[0] = 0;
	beside[0] = 0;
}

/* The product of the reflections. */
static void
multiply_reflections(double *z, int n, double *diagonal, SpWork *work)
{
	for (int i = 0; i < n; i++)
	{
		double	   *row = z + (size_t) i * (size_t) n;

		for (int j = 0; diagonal[i] != 0 && j < i; j++)
		{
			double		g = 0;

			for (int k = 0; k < i; k++)
				g += row[k] * z[(size_t) k * (size_t) n + (size_t) j];
			for (int k = 0; k < i; k++)
				z[(size_t) k * (size_t) n + (size_t) j] -= g * z[(size_t) k * (size_t) n + (size_t) i];
		}
		diagonal[i] = row[i];
		row[i] = 1;
		for (int k = 0; k < i; k++)
			row[k] = z[(size_t) k * (size_t) n + (size_t) i] = 0;
		if (n > 64)
			work->check(work);
	}
}

/* Turn columns i and i + 1 of z; rows of its transpose, which are near one another. */
static inline void
rotate(double *rows, int n, int i, double sine, double cosine)
{
	double	   *a = rows + (size_t) i * (size_t) n;
	double	   *b = a + n;

	for (int k = 0; k < n; k++)
	{
		double		f = b[k];

		b[k] = sine * a[k] + cosine * f;
		a[k] = cosine * a[k] - sine * f;
	}
}

/* One implicit QL step on the rows from low to high. */
static void
step(double *rows, int n, double *diagonal, double *beside, int low, int high)
{
	double		g = (diagonal[low + 1] - diagonal[low]) / (2 * beside[low]);
	double		r = hypot(g, 1);
	double		sine = 1;
	double		cosine = 1;
	double		p = 0;

	g = diagonal[high] - diagonal[low] + beside[low] / (g + (g < 0 ? -r : r));
	for (int i = high - 1; i >= low; i--)
	{
		double		f = sine * beside[i];
		double		b = cosine * beside[i];

		r = hypot(f, g);
		beside[i + 1] = r;
		if (r == 0)
		{
			diagonal[i + 1] -= p;
			beside[high] = 0;
			return;
		}
		sine = f / r;
		cosine = g / r;
		g = diagonal[i + 1] - p;
		r = (diagonal[i] - g) * sine + 2 * cosine * b;
		p = sine * r;
		diagonal[i + 1] = g + p;
		g = cosine * r - b;
		rotate(rows, n, i, sine, cosine);
	}
	diagonal[low] -= p;
	beside[low] = g;
	beside[high] = 0;
}

/* Eigenvalues of what is left beside the diagonal; rows are the eigenvectors. */
static void
find_values(double *rows, int n, double *diagonal, double *beside, SpWork *work)
{
	memmove(beside, beside + 1, (size_t) (n - 1) * sizeof(double));
	beside[n - 1] = 0;
	for (int low = 0; low < n; low++)
	{
		for (int steps = 0; steps < MAX_STEPS; steps++)
		{
			int			high = low;

			while (high < n - 1 && fabs(beside[high]) >
				   DBL_EPSILON * (fabs(diagonal[high]) + fabs(diagonal[high + 1])))
				high++;
			if (high == low)
				break;
			step(rows, n, diagonal, beside, low, high);
			if (n > 64)
				work->check(work);
		}
	}
}

/* Sort by value, the largest first. */
static void
sort_values(double *rows, int n, double *values)
{
	for (int i = 0; i < n - 1; i++)
	{
		int			largest = i;
		double		swap;

		for (int j = i + 1; j < n; j++)
			largest = values[j] > values[largest] ? j : largest;
		if (largest == i)
			continue;
		for (int k = 0; k < n; k++)
		{
			swap = rows[(size_t) i * (size_t) n + (size_t) k];

			rows[(size_t) i * (size_t) n + (size_t) k] =
				rows[(size_t) largest * (size_t) n + (size_t) k];
			rows[(size_t) largest * (size_t) n + (size_t) k] = swap;
		}
		swap = values[i];
		values[i] = values[largest];
		values[largest] = swap;
	}
}

static void
transpose(double *z, int n)
{
	for (int i = 0; i < n; i++)
	{
		for (int j = 0; j < i; j++)
		{
			double		swap = z[(size_t) i * (size_t) n + (size_t) j];

			z[(size_t) i * (size_t) n + (size_t) j] = z[(size_t) j * (size_t) n + (size_t) i];
			z[(size_t) j * (size_t) n + (size_t) i] = swap;
		}
	}
}

void
sp_eigen_symmetric(double *matrix, int d, double *values, SpWork *work)
{
	double	   *beside = work->allocate(work, (size_t) d * sizeof(double));

	reduce(matrix, d, values, beside, work);
	multiply_reflections(matrix, d, values, work);
	transpose(matrix, d);
	find_values(matrix, d, values, beside, work);
	sort_values(matrix, d, values);
	work->release(work, beside);
}

/* ---- covariance ---- */

/* Add to two rows of TILE sums the products of x[0] and x[1] with y, of n points. */
static void
add_tile(const double *x, const SpPair *y, size_t n, size_t stride, SpPair *a, SpPair *b)
{
	SpPair		a0 = a[0];
	SpPair		a1 = a[1];
	SpPair		a2 = a[2];
	SpPair		a3 = a[3];
	SpPair		b0 = b[0];
	SpPair		b1 = b[1];
	SpPair		b2 = b[2];
	SpPair		b3 = b[3];

	for (size_t i = 0; i < n; i++, x += stride, y += stride / 2)
	{
		a0 += y[0] * x[0];
		a1 += y[1] * x[0];
		a2 += y[2] * x[0];
		a3 += y[3] * x[0];
		b0 += y[0] * x[1];
		b1 += y[1] * x[1];
		b2 += y[2] * x[1];
		b3 += y[3] * x[1];
	}
	a[0] = a0;
	a[1] = a1;
	a[2] = a2;
	a[3] = a3;
	b[0] = b0;
	b[1] = b1;
	b[2] = b2;
	b[3] = b3;
}

/*
 * Add products of n points' columns, to the lower triangle: each sum is as if it were made by
 * itself, point after point.  centered: rows of `stride` numbers, a multiple of TILE, 0 behind the
 * d-th.
 */
static void
add_products(const double *centered, size_t n, size_t stride, double *covariance, size_t d)
{
	for (size_t j = 0; j < d; j += 2)
	{
		for (size_t k = 0; k <= j + 1 && k < d; k += TILE)
		{
			size_t		size = (d - k < TILE ? d - k : TILE) * sizeof(double);
			double	   *row = covariance + j * d + k;
			SpPair		a[TILE / 2] = {{0}};
			SpPair		b[TILE / 2] = {{0}};

			memcpy(a, row, size);
			if (j + 1 < d)
				memcpy(b, row + d, size);
			add_tile(centered + j, (const SpPair *) (centered + k), n, stride, a, b);
			memcpy(row, a, size);
			if (j + 1 < d)
				memcpy(row + d, b, size);
		}
	}
}

void
sp_eigen_covariance(const SpMatrix *points, const bool *chosen, double *means,
					double *covariance, SpWork *work)
{
	size_t		d = (size_t) points->d;
	size_t		stride = (d + TILE - 1) / TILE * TILE;
	double	   *centered = work->allocate(work, GATHERED * stride * sizeof(double));
	size_t		gathered = 0;
	double		n = 0;

	memset(means, 0, d * sizeof(double));
	memset(covariance, 0, d * d * sizeof(double));
	memset(centered, 0, GATHERED * stride * sizeof(double));
	for (size_t i = 0; i < points->n; i++)
	{
		if (chosen != NULL && !chosen[i])
			continue;
		n++;
		/* by the mean so far, so that large numbers don't overflow, nor cancel */
		for (size_t j = 0; j < d; j++)
			means[j] += (points->x[i * d + j] - means[j]) / n;
		if (i % BLOCK == 0)
			work->check(work);
	}
	for (size_t i = 0; i < points->n; i++)
	{
		if (chosen == NULL || chosen[i])
		{
			for (size_t j = 0; j < d; j++)
				centered[gathered * stride + j] = points->x[i * d + j] - means[j];
			gathered++;
		}
		if (gathered == GATHERED || i + 1 == points->n)
		{
			add_products(centered, gathered, stride, covariance, d);
			gathered = 0;
			work->check(work);
		}
	}
	for (size_t j = 0; j < d; j++)
	{
		for (size_t k = 0; k <= j; k++)
			covariance[j * d + k] = covariance[k * d + j] = covariance[j * d + k] / n;
		if (d > 64)
			work->check(work);
	}
	work->release(work, centered);
}

/* Put a covariance in units, by default the columns' deviations; returns the logarithm of their square. */
static double
change_units(double *covariance, int d, const double *given, double *units)
{
	double		squared = 0;

	for (int j = 0; j < d; j++)
	{
		double		variance = covariance[(size_t) j * (size_t) d + (size_t) j];

		units[j] = given != NULL ? given[j] : variance > DBL_MIN ? sqrt(variance) : 1;
		squared += 2 * log(units[j]);
	}
	for (int j = 0; j < d; j++)
	{
		for (int k = 0; k < d; k++)
			covariance[(size_t) j * (size_t) d + (size_t) k] /= units[j] * units[k];
	}
	return squared;
}

double
sp_eigen_whiten(double *covariance, int d, const double *given, int *rank, SpWork *work)
{
	double	   *values = work->allocate(work, 2 * (size_t) d * sizeof(double));
	double	   *units = values + d;
	double		determinant = change_units(covariance, d, given, units);

	sp_eigen_symmetric(covariance, d, values, work);
	for (*rank = 0; *rank < d && values[*rank] > DBL_EPSILON * (double) d * values[0]; ++*rank)
	{
		double	   *row = covariance + (size_t) *rank * (size_t) d;

		determinant += log(values[*rank]);
		for (int k = 0; k < d; k++)
			row[k] /= sqrt(values[*rank]) * units[k];
	}
	work->release(work, values);
	return determinant;
}

double
sp_eigen_distance(const double *means, const double *rows, int rank, int d, const double *x,
				  double *centered)
{
	double		sum = 0;

	for (int j = 0; j < d; j++)
		centered[j] = x[j] - means[j];
	for (int r = 0; r < rank; r++)
	{
		const double *row = rows + (size_t) r * (size_t) d;
		double		projection = 0;

		for (int j = 0; j < d; j++)
			projection += row[j] * centered[j];
		sum += projection * projection;
	}
	return sum;
}

double
sp_eigen_distances(const SpMatrix *points, const double *means, double *covariance,
				   const double *units, double *distances, SpWork *work)
{
	size_t		d = (size_t) points->d;
	double	   *centered = work->allocate(work, d * sizeof(double));
	int			rank;
	double		determinant = sp_eigen_whiten(covariance, points->d, units, &rank, work);

	for (size_t i = 0; i < points->n; i++)
	{
		distances[i] = sp_eigen_distance(means, covariance, rank, points->d, points->x + i * d,
										 centered);
		if (i % BLOCK == 0 || d > 64)
			work->check(work);
	}
	work->release(work, centered);
	return determinant;
}
