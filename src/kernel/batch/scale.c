/*
 * scale.c
 *	  Columns on scales on which they can be compared.
 */
#include "kernel/batch/scale.h"

#include <float.h>
#include <string.h>

#include "kernel/batch/order.h"

const char *const sp_scale_names[] = {"robust", "zscore", "minmax", "none", NULL};

void
sp_scale_find(SpScale scale, const SpMatrix *points, int j, double *scratch, double *center,
			  double *unit, SpWork *work)
{
	SpColumn	c;

	sp_order_describe(points, j, scale == SP_SCALE_ROBUST ? scratch : NULL, &c, work);
	*center = scale == SP_SCALE_ROBUST ? c.median : scale == SP_SCALE_ZSCORE ? c.mean : c.min;
	*unit = scale == SP_SCALE_ROBUST ? sp_order_unit(&c) :
		scale == SP_SCALE_ZSCORE ? c.deviation : c.max - c.min;
	*unit = c.min == c.max ? 0 : *unit > DBL_MIN && *unit < DBL_MAX ? 1 / *unit : 1;
}

double *
sp_scale_points(SpScale scale, const SpMatrix *points, SpWork *work)
{
	size_t		d = (size_t) points->d;
	double	   *scaled = work->allocate(work, points->n * d * sizeof(double));
	double	   *scratch;

	if (scale == SP_SCALE_NONE)
	{
		for (size_t i = 0; i < points->n * d; i++)
			scaled[i] = sp_scale_limit(points->x[i]);
		return scaled;
	}
	scratch = work->allocate(work, points->n * sizeof(double));
	for (size_t j = 0; j < d; j++)
	{
		double		center;
		double		unit;

		sp_scale_find(scale, points, (int) j, scratch, &center, &unit, work);
		for (size_t i = 0; i < points->n; i++)
			scaled[i * d + j] = sp_scale_limit((points->x[i * d + j] - center) * unit);
		work->check(work);
	}
	work->release(work, scratch);
	return scaled;
}
