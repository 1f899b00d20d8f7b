/*
 * gap.h
 *	  What stands in for values that a series lacks.
 */
#ifndef SP_GAP_H
#define SP_GAP_H

#include "kernel/batch/batch.h"

/*
 * Put a number in the place of each NaN of x: on the line between the values next to it among those
 * that are so many periods away, the value itself where there is one on one side only; where there is
 * none, the same among all values.  So a season keeps its place, and a straight trend goes on.  Period
 * 1: straight lines.  False: there is no value at all, and x is as it was.
 */
extern bool sp_gap_fill(double *x, size_t n, size_t period, SpWork *work);

#endif
