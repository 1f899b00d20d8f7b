/*
 * silence.h
 *	  A key that has stopped reporting: the time since its last event, against its usual gaps.
 *
 * A point's time is all that is looked at: that of an event, or that of a timer, which asks with a
 * point that isn't learned, whether the key is overdue.  With mean and variance of the logarithms of
 * gaps, weighted as in moments.h, and the longest gap, which is halved in every `memory`:
 *
 *	s     = max(sqrt(variance), min_deviation)
 *	score = max(0, (ln(gap) - mean) / s)
 *
 * but, until the gap is longer than tolerance * longest, no higher than the threshold: what has been
 * before, like the pause of every night, isn't an anomaly.  Gaps below min_gap count as that.  The
 * score is 0 until warmup gaps are learned, and where the point is before the last event.
 * due() is the time at which the score will be above the threshold if nothing comes, measure() the
 * gap, in seconds, from the last event on.
 *
 * Learning: one that is above the threshold is learned as at most SP_SILENCE_GROWTH times the gap
 * at which the score was, so that one failure doesn't make the next one normal.  An event that
 * isn't learned ends the silence all the same.  Events before the last one say nothing; but when
 * the gap to that was above the threshold, or during warm-up, and SP_SILENCE_BEHIND of them come
 * one after the other, it had been ahead of its time: the latest of these is the last event
 * then, and the gap that led ahead is forgotten.
 *
 * Expected and upper bound are gaps, in seconds: exp(mean), and that at which the score reaches
 * the threshold.
 */
#ifndef SP_SILENCE_H
#define SP_SILENCE_H

#include "kernel/online/moments.h"
#include "kernel/online/online.h"

#define SP_SILENCE_THRESHOLD	3.0
#define SP_SILENCE_GROWTH		4.0
#define SP_SILENCE_BEHIND		8

typedef struct SpSilenceParams
{
	double		alpha;
	double		min_deviation;
	double		tolerance;
	int64_t		min_gap;
	int64_t		memory;
	int32_t		warmup;
} SpSilenceParams;

/* What is known of gaps. */
typedef struct SpSilenceGaps
{
	uint64_t	count;
	SpMoments	logs;			/* of microseconds */
	double		longest;		/* microseconds, decayed */
} SpSilenceGaps;

typedef struct SpSilence
{
	uint64_t	count;			/* events learned */
	int64_t		last;			/* time of the last event */
	int64_t		latest_behind;	/* of the events in a row that were before it */
	int32_t		behind;			/* how many these are */
	int32_t		has_last;		/* has there been an event? */
	int32_t		is_suspect;		/* the last event may be ahead of its time */
	int32_t		unused;
	SpSilenceGaps gaps;
	SpSilenceGaps before;		/* without the gap to the last event */
} SpSilence;

extern const SpKernel sp_kernel_silence;

#endif
