/*
 * nearest.c
 *	  A normal point near one that isn't.
 *
 * How it is looked for is in nearest.h.
 */
#include "kernel/online/nearest.h"

#include <math.h>
#include <string.h>

#include "kernel/online/online.h"

/* Up to 1 / NEAR of a scale steps are of one size. */
#define NEAR		8.0

/* As far as that all is one. */
#define MAX_SCALES	1e300

/* How far apart two points are, in scales of the feature where that is most. */
static double
get_distance(const SpNearest *search, const double *a, const double *b)
{
	double		most = 0.0;

	for (int f = 0; f < search->n; f++)
		most = fmax(most, fabs(0.5 * a[f] - 0.5 * b[f]) / search->frames[f].scale);
	return fmin(2.0 * most, MAX_SCALES);
}

/* The point of the sample that is nearest. */
static const double *
choose_sample(const SpNearest *search, const double *x)
{
	const double *chosen = search->sample;

	for (int i = 1; i < search->count; i++)
	{
		const double *other = search->sample + (size_t) i * (size_t) search->n;

		if (get_distance(search, other, x) < get_distance(search, chosen, x))
			chosen = other;
	}
	return chosen;
}

/* Look on the way from a typical point. */
static bool
find_from(const SpNearest *search, const double *typical, const double *x, double *to)
{
	double		end = log1p(NEAR * get_distance(search, typical, x));
	double		low = 0.0;
	double		high = 1.0;
	double		y[SP_MAX_FEATURES];

	if (!search->is_normal(search->model, typical))
		return false;
	memcpy(to, typical, (size_t) search->n * sizeof(double));
	for (int i = 0; i < search->steps; i++)
	{
		double		middle = 0.5 * (low + high);
		double		part = end > 0.0 ? expm1(middle * end) / expm1(end) : middle;

		for (int f = 0; f < search->n; f++)
			y[f] = typical[f] == x[f] ? x[f] : (1.0 - part) * typical[f] + part * x[f];
		if (search->is_normal(search->model, y))
		{
			low = middle;
			memcpy(to, y, (size_t) search->n * sizeof(double));
		}
		else
			high = middle;
	}
	return true;
}

bool
sp_nearest_find(const SpNearest *search, const double *x, double *to)
{
	double		centers[SP_MAX_FEATURES];

	for (int f = 0; f < search->n; f++)
		centers[f] = search->frames[f].center;
	if (find_from(search, centers, x, to))
		return true;
	return search->count > 0 && find_from(search, choose_sample(search, x), x, to);
}

void
sp_nearest_explain(const SpNearest *search, const double *x, bool is_flagged, double *to)
{
	double		found[SP_MAX_FEATURES];
	size_t		size = (size_t) search->n * sizeof(double);

	if (!is_flagged)
		memcpy(to, x, size);
	else if (sp_nearest_find(search, x, found))
		memcpy(to, found, size);
}
