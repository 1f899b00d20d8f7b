/*
 * order.c
 *	  Order statistics: selection by partition (C. A. R. Hoare's), ties halved as others are.
 *
 * The pivot is the median of three, or of nine; where that has made too little progress too
 * often, one chosen by chance, so that no order of the numbers makes it slow.
 */
#include "kernel/batch/order.h"

#include <math.h>

#define MANY			64		/* numbers: from here on the pivot is a median of nine */
#define PATIENCE		16		/* poor pivots */
#define BETWEEN_CHECKS	0xfffff /* exchanges, less one */

/* For double and float. */
#define DEFINE_SELECT(name, type) \
static inline type \
name##_middle(type a, type b, type c) \
{ \
	type		low = a < b ? a : b; \
	type		high = a < b ? b : a; \
\
	return c < low ? low : c > high ? high : c; \
} \
\
static inline type \
name##_pivot(const type *x, size_t n) \
{ \
	size_t		step = n / 8; \
\
	if (n < MANY) \
		return name##_middle(x[0], x[n / 2], x[n - 1]); \
	return name##_middle(name##_middle(x[0], x[step], x[2 * step]), \
						 name##_middle(x[3 * step], x[n / 2], x[5 * step]), \
						 name##_middle(x[6 * step], x[7 * step], x[n - 1])); \
} \
\
type \
name(type *x, size_t n, size_t k, SpWork *work) \
{ \
	SpRandom	random = {1, 0}; \
	size_t		exchanges = 0; \
	ptrdiff_t	low = 0; \
	ptrdiff_t	high = (ptrdiff_t) n - 1; \
	ptrdiff_t	at = (ptrdiff_t) k; \
	int			poor = 0; \
\
	while (low < high) \
	{ \
		ptrdiff_t	length = high - low + 1; \
		type		pivot = poor < PATIENCE ? name##_pivot(x + low, (size_t) length) : \
			x[low + sp_random_below(&random, (uint64_t) length)]; \
		ptrdiff_t	i = low; \
		ptrdiff_t	j = high; \
\
		do \
		{ \
			while (x[i] < pivot) \
				i++; \
			while (pivot < x[j]) \
				j--; \
			if (i <= j) \
			{ \
				type		swap = x[i]; \
\
				x[i++] = x[j]; \
				x[j--] = swap; \
				if ((++exchanges & BETWEEN_CHECKS) == 0 && work != NULL) \
					work->check(work); \
			} \
		} while (i <= j); \
		if (work != NULL) \
			work->check(work); \
		if (at <= j) \
			high = j; \
		else if (at >= i) \
			low = i; \
		else \
			break; \
		poor += high - low + 1 > length - length / 8; \
	} \
	return x[k]; \
}

DEFINE_SELECT(sp_order_select, double)
DEFINE_SELECT(sp_order_select_float, float)

double
sp_order_quantile(double *x, size_t n, double fraction, SpWork *work)
{
	double		at = fraction * (double) (n - 1);
	size_t		k = (size_t) at;
	double		low = sp_order_select(x, n, k, work);
	double		high = low;

	if (k + 1 < n)
	{
		high = x[k + 1];
		for (size_t i = k + 2; i < n; i++)
			high = x[i] < high ? x[i] : high;
	}
	return low + (at - (double) k) * (high - low);
}

/* Mean and deviation, about a value of the column's own, lest they cancel. */
static void
find_moments(const double *x, size_t n, size_t stride, SpColumn *c, SpWork *work)
{
	double		origin = x[0];
	double		sum = 0;
	double		squares = 0;

	c->min = c->max = origin;
	for (size_t i = 0; i < n; i++)
	{
		double		v = x[i * stride];

		c->min = v < c->min ? v : c->min;
		c->max = v > c->max ? v : c->max;
		sum += v - origin;
	}
	c->mean = origin + sum / (double) n;
	if (work != NULL)
		work->check(work);
	for (size_t i = 0; i < n; i++)
	{
		double		difference = x[i * stride] - c->mean;

		squares += difference * difference;
	}
	c->deviation = sqrt(squares / (double) n);
	if (work != NULL)
		work->check(work);
}

/* The quartiles of what find_moments() has described; reorders x. */
static void
find_quartiles(double *x, size_t n, SpColumn *c, SpWork *work)
{
	c->median = sp_order_quantile(x, n, 0.5, work);
	c->q1 = sp_order_quantile(x, n, 0.25, work);
	c->q3 = sp_order_quantile(x, n, 0.75, work);
}

void
sp_order_describe(const SpMatrix *points, int j, double *scratch, SpColumn *column, SpWork *work)
{
	find_moments(points->x + j, points->n, (size_t) points->d, column, work);
	column->q1 = column->median = column->q3 = 0;
	if (scratch == NULL)
		return;
	for (size_t i = 0; i < points->n; i++)
		scratch[i] = points->x[i * (size_t) points->d + (size_t) j];
	find_quartiles(scratch, points->n, column, work);
}

void
sp_order_describe_values(double *x, size_t n, SpColumn *column, SpWork *work)
{
	find_moments(x, n, 1, column, work);
	find_quartiles(x, n, column, work);
}

double
sp_order_unit(const SpColumn *column)
{
	double		unit = (column->q3 - column->q1) / SP_NORMAL_IQR;

	return unit > 1e-9 * column->deviation ? unit : column->deviation;
}
