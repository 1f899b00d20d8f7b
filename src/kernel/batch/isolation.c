/*
 * isolation.c
 *	  What forests that isolate points have in common.
 */
#include "kernel/batch/isolation.h"

#include <float.h>
#include <math.h>

#include "kernel/batch/order.h"

#define EULER			0.5772156649015329
#define LOOKED_AT		65536	/* points that tell the units */

int
sp_isolation_depth(size_t psi)
{
	int			depth = 0;

	while (((size_t) 1 << depth) < psi)
		depth++;
	return depth;
}

double
sp_isolation_mean_length(size_t c)
{
	double		n = (double) c;

	if (c <= 2)
		return c == 2 ? 1 : 0;
	return 2 * (log(n - 1) + EULER) - 2 * (n - 1) / n;
}

void
sp_isolation_find_units(const SpMatrix *points, double *centers, double *units, SpWork *work)
{
	size_t		m = points->n < LOOKED_AT ? points->n : LOOKED_AT;
	size_t		step = points->n / m;
	size_t		d = (size_t) points->d;
	double	   *column = work->allocate(work, m * sizeof(double));

	for (size_t j = 0; j < d; j++)
	{
		SpColumn	c;
		double		unit;

		for (size_t i = 0; i < m; i++)
			column[i] = points->x[i * step * d + j];
		sp_order_describe_values(column, m, &c, work);
		unit = sp_order_unit(&c);
		centers[j] = c.median;
		units[j] = unit > DBL_MIN && unit < DBL_MAX ? 1 / unit : 1;
	}
	work->release(work, column);
}
