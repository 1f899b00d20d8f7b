/*
 * zscore.h
 *	  Deviation from the mean of the last events, in standard deviations.
 *
 * The window of a point at time t is the last `window` events that were learned; with an
 * `interval` only those of them whose time is after t - interval.  There an event that comes late
 * counts as of the time of the one before it.  One that is more than the interval earlier than
 * the one before it sets the clock back: an event far ahead doesn't empty the windows of those
 * that follow it.
 *
 *	mean = sum x_i / n;  s = sqrt(sum (x_i - mean)^2 / (n - 1));  z = (x - mean) / s
 *
 * The score is z for direction high, -z for low, |z| for both, as in normal.h.  It is 0 while the
 * window holds fewer than min(warmup, window) events.
 *
 * Nothing is ever subtracted, so that no error builds up, however long the series is.  The window
 * is cut in two: each entry of the front part has mean and squares of what is from it to the end
 * of that part, of the back part they are kept as a whole; merged (T. F. Chan, G. H. Golub,
 * R. J. LeVeque 1979) they are the window's.  When the front part is used up the back part
 * becomes it.  That is two updates an event, by B. P. Welford's recursion (Technometrics 4, 1962),
 * besides moving in time.
 *
 * A value beyond SP_MAX_LEARNED can't be learned.
 */
#ifndef SP_ZSCORE_H
#define SP_ZSCORE_H

#include "kernel/online/online.h"

#define SP_ZSCORE_THRESHOLD 3.0

typedef struct SpZscoreParams
{
	int32_t		window;
	int32_t		warmup;
	int64_t		interval;		/* 0: none */
} SpZscoreParams;

/* An event. */
typedef struct SpZscoreEntry
{
	int64_t		time;			/* not before that of the one before it, but for what is said above */
	double		x;
	double		mean;			/* from this to the end of the front part, if it is in that */
	double		squares;		/* sum of squared deviations from it */
} SpZscoreEntry;

/*
 * Events are numbered as they come, from 0 on; the last `window` are there.
 * oldest <= front <= first < split <= count, but for a state that has learned nothing.
 */
typedef struct SpZscore
{
	uint64_t	count;			/* events learned: the next one's number */
	uint64_t	first;			/* where the window of the last one begins */
	uint64_t	front;			/* from here to split entries have mean and squares */
	uint64_t	split;			/* here the back part begins */
	double		mean;			/* of the back part */
	double		squares;
	int32_t		next;			/* the entry that the next event gets */
	int32_t		unused;
	SpZscoreEntry entries[];	/* [window] */
} SpZscore;

extern const SpKernel sp_kernel_zscore;

#endif
