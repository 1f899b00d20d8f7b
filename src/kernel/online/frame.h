/*
 * frame.h
 *	  A feature's frame: where the bulk of its values lies, so that features of whatever units
 *	  can be compared, and outliers don't stretch it.
 *
 * From some values, sorted: center = (q10 + q90) / 2, scale = 2 (q90 - q10), so that
 * (x - center) / scale is within +-0.25 for four fifths of them and within about +-0.5 for
 * nearly all.  Where q10 = q90, the smallest and the largest value take their places.
 * Where all are equal the scale is so small that every other value is far away.
 */
#ifndef SP_FRAME_H
#define SP_FRAME_H

#include <stdbool.h>
#include <stdint.h>

typedef struct SpFrame
{
	double		center;
	double		scale;			/* > 0 when there is one */
} SpFrame;

/* The frame of count values, which are sorted; false: they are all equal. */
extern bool sp_frame_fit(double *values, int count, SpFrame *frame);

/*
 * Of each window of so many values some are kept for the next frame, one by chance of each of as
 * many parts.  Which of them is the value that comes after so many?  -1: it isn't kept.
 */
extern int	sp_frame_choose(uint64_t count, int window, int kept, uint64_t seed);

/* Is it one that values can be put in? */
extern bool sp_frame_is_sound(const SpFrame *frame);

/* Within +-limit. */
static inline double
sp_frame_place(const SpFrame *frame, double x, double limit)
{
	double		y = (x - frame->center) / frame->scale; /* may overflow to infinity */

	return y > limit ? limit : y < -limit ? -limit : y;
}

#endif
