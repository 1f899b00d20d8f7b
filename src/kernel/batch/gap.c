/*
 * gap.c
 *	  Interpolation of a series.
 */
#include "kernel/batch/gap.h"

#include <math.h>

#define VALUES_AT_ONCE	(1 << 20)	/* between checks */

/* What is missing between from and to, so many values apart. */
static void
fill_between(double *x, size_t from, size_t to, size_t step)
{
	double		steps = (double) ((to - from) / step);
	double		width = x[to] - x[from];

	for (size_t i = from + step; i < to; i += step)
		x[i] = x[from] + width * ((double) ((i - from) / step) / steps);
}

/* The same value where there is none on the other side: from first to before end. */
static void
fill_end(double *x, size_t first, size_t end, size_t step, double value)
{
	for (size_t i = first; i < end; i += step)
		x[i] = value;
}

/* Those of a phase; false: all are missing. */
static bool
fill_phase(double *x, size_t phase, size_t n, size_t step)
{
	size_t		first = phase;
	size_t		last;

	while (first < n && isnan(x[first]))
		first += step;
	if (first >= n)
		return false;
	fill_end(x, phase, first, step, x[first]);
	last = first;
	for (size_t i = first + step; i < n; i += step)
	{
		if (isnan(x[i]))
			continue;
		fill_between(x, last, i, step);
		last = i;
	}
	fill_end(x, last + step, n, step, x[last]);
	return true;
}

bool
sp_gap_fill(double *x, size_t n, size_t period, SpWork *work)
{
	size_t		done = 0;

	for (size_t phase = 0; phase < period && phase < n; phase++)
	{
		(void) fill_phase(x, phase, n, period);
		done += n / period + 1;
		if (done >= VALUES_AT_ONCE)
		{
			work->check(work);
			done = 0;
		}
	}
	return fill_phase(x, 0, n, 1);
}
