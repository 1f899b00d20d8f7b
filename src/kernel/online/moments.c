/*
 * moments.c
 *	  Exponentially weighted mean and variance.
 *
 * The formulas are in moments.h.
 */
#include "kernel/online/moments.h"

#include <math.h>

/* Add a value. */
bool
sp_moments_add(SpMoments *m, double alpha, double x)
{
	double		weight = (1.0 - alpha) * m->weight + 1.0;
	double		r = 1.0 / weight;
	double		d = x - m->mean;
	double		mean = m->mean + r * d;
	double		variance = (1.0 - r) * (m->variance + r * d * d);

	/* the difference or its square overflows */
	if (!isfinite(mean) || !isfinite(variance))
		return false;

	m->weight = weight;
	m->mean = sp_moments_fade(mean);
	m->variance = sp_moments_fade(variance);
	return true;
}

/* Are these numbers that values can lead to? */
bool
sp_moments_is_sound(const SpMoments *m)
{
	if (!isfinite(m->weight) || !isfinite(m->mean) || !isfinite(m->variance))
		return false;
	if (m->weight == 0.0)
		return m->mean == 0.0 && m->variance == 0.0;
	return m->weight >= 1.0 && m->variance >= 0.0;
}
