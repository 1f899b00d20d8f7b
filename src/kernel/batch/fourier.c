/*
 * fourier.c
 *	  The discrete Fourier transform of any number of values.
 */
#include "kernel/batch/fourier.h"

#include <math.h>
#include <string.h>

#define TURN	6.283185307179586476925
#define AT_ONCE	65536		/* numbers, between checks */

/* Put the numbers in the order in which halving leaves them. */
static void
reorder(double *x, size_t n)
{
	for (size_t i = 1, j = 0; i < n; i++)
	{
		size_t		bit = n >> 1;

		for (; j & bit; bit >>= 1)
			j ^= bit;
		j |= bit;
		if (i >= j)
			continue;
		for (int part = 0; part < 2; part++)
		{
			double		swap = x[2 * i + part];

			x[2 * i + part] = x[2 * j + part];
			x[2 * j + part] = swap;
		}
	}
}

/* n a power of 2; turns: [n / 2] exp(-2 pi i k / n). */
static void
transform(double *x, size_t n, const double *turns, SpWork *work)
{
	reorder(x, n);
	work->check(work);
	for (size_t half = 1; half < n; half *= 2)
	{
		size_t		stride = n / (2 * half);

		for (size_t first = 0; first < n; first += 2 * half)
		{
			if (first % AT_ONCE == 0)
				work->check(work);
			for (size_t k = 0; k < half; k++)
			{
				const double *w = turns + 2 * k * stride;
				double	   *a = x + 2 * (first + k);
				double	   *b = a + 2 * half;
				double		re = b[0] * w[0] - b[1] * w[1];
				double		im = b[0] * w[1] + b[1] * w[0];

				b[0] = a[0] - re;
				b[1] = a[1] - im;
				a[0] += re;
				a[1] += im;
				if (k % AT_ONCE == AT_ONCE - 1)
					work->check(work);
			}
		}
	}
}

static double *
make_turns(size_t n, SpWork *work)
{
	double	   *turns = work->allocate(work, (n + 2) * sizeof(double));

	for (size_t k = 0; k < n / 2; k++)
	{
		if (k % AT_ONCE == 0)
			work->check(work);
		turns[2 * k] = cos(TURN * (double) k / (double) n);
		turns[2 * k + 1] = -sin(TURN * (double) k / (double) n);
	}
	return turns;
}

static inline void
multiply(double *a, const double *b)
{
	double		re = a[0] * b[0] - a[1] * b[1];

	a[1] = a[0] * b[1] + a[1] * b[0];
	a[0] = re;
}

/* A transform as a convolution with chirps exp(pi i k^2 / n), which is one of m >= 2 n - 1. */
static void
transform_any(double *x, size_t n, SpWork *work)
{
	size_t		m = 1;
	double	   *chirp = work->allocate(work, 2 * n * sizeof(double));
	double	   *turns;
	double	   *a;
	double	   *b;

	while (m < 2 * n - 1)
		m *= 2;
	turns = make_turns(m, work);
	a = work->allocate(work, 4 * m * sizeof(double));
	b = a + 2 * m;
	memset(a, 0, 4 * m * sizeof(double));
	for (size_t k = 0; k < n; k++)
	{
		/* k^2 modulo 2 n, lest the angle loses its digits */
		double		angle = TURN / 2 * (double) ((uint64_t) k * k % (2 * n)) / (double) n;

		if (k % AT_ONCE == 0)
			work->check(work);
		chirp[2 * k] = cos(angle);
		chirp[2 * k + 1] = -sin(angle);
		memcpy(a + 2 * k, x + 2 * k, 2 * sizeof(double));
		multiply(a + 2 * k, chirp + 2 * k);
		b[2 * k] = chirp[2 * k];
		b[2 * k + 1] = -chirp[2 * k + 1];
		if (k > 0)
			memcpy(b + 2 * (m - k), b + 2 * k, 2 * sizeof(double));
	}
	transform(a, m, turns, work);
	transform(b, m, turns, work);
	for (size_t k = 0; k < m; k++)
	{
		multiply(a + 2 * k, b + 2 * k);
		a[2 * k + 1] = -a[2 * k + 1];	/* so that the next transform goes back */
	}
	transform(a, m, turns, work);
	for (size_t k = 0; k < n; k++)
	{
		x[2 * k] = a[2 * k] / (double) m;
		x[2 * k + 1] = -a[2 * k + 1] / (double) m;
		multiply(x + 2 * k, chirp + 2 * k);
	}
	work->release(work, a);
	work->release(work, turns);
	work->release(work, chirp);
}

void
sp_fourier(double *x, size_t n, SpWork *work)
{
	double	   *turns;

	if (n < 2)
		return;
	if ((n & (n - 1)) != 0)
	{
		transform_any(x, n, work);
		return;
	}
	turns = make_turns(n, work);
	transform(x, n, turns, work);
	work->release(work, turns);
}

void
sp_fourier_inverse(double *x, size_t n, SpWork *work)
{
	for (size_t i = 0; i < n; i++)
		x[2 * i + 1] = -x[2 * i + 1];
	sp_fourier(x, n, work);
	for (size_t i = 0; i < n; i++)
	{
		x[2 * i] /= (double) n;
		x[2 * i + 1] /= -(double) n;
	}
}
