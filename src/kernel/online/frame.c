/*
 * frame.c
 *	  A feature's frame: where the bulk of its values lies.
 */
#include "kernel/online/frame.h"

#include <float.h>
#include <math.h>

#include "kernel/online/random.h"

/* Of a constant: more than rounding, less than any difference that means something. */
#define CONSTANT_SCALE	1e-9

/* Shell's, with M. Ciura's steps: for some hundreds of values at most. */
static void
sort(double *values, int count)
{
	static const int steps[] = {701, 301, 132, 57, 23, 10, 4, 1};

	for (int s = 0; s < (int) (sizeof(steps) / sizeof(steps[0])); s++)
	{
		int			step = steps[s];

		for (int i = step; i < count; i++)
		{
			double		value = values[i];
			int			at = i;

			for (; at >= step && values[at - step] > value; at -= step)
				values[at] = values[at - step];
			values[at] = value;
		}
	}
}

bool
sp_frame_fit(double *values, int count, SpFrame *frame)
{
	double		low;
	double		high;

	sort(values, count);
	low = values[count / 10];
	high = values[count - 1 - count / 10];
	if (low == high)
	{
		low = values[0];
		high = values[count - 1];
	}
	frame->center = 0.5 * low + 0.5 * high;
	frame->scale = fmin(0.5 * high - 0.5 * low, DBL_MAX / 8) * 4.0;
	if (frame->scale > 0.0)
		return true;
	frame->scale = fmax(fabs(frame->center) * CONSTANT_SCALE, DBL_MIN);
	return false;
}

int
sp_frame_choose(uint64_t count, int window, int kept, uint64_t seed)
{
	int64_t		position = (int64_t) (count % (uint64_t) window);
	int64_t		part = position * kept / window;
	int64_t		first = (part * window + kept - 1) / kept;
	int64_t		next = ((part + 1) * window + kept - 1) / kept;
	uint64_t	bits = sp_random_at(~seed, count - (uint64_t) (position - first));

	return position - first == (int64_t) (bits % (uint64_t) (next - first)) ? (int) part : -1;
}

bool
sp_frame_is_sound(const SpFrame *frame)
{
	return isfinite(frame->center) && isfinite(frame->scale) && frame->scale > 0.0;
}
