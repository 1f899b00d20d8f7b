/*
 * records.h
 *	  Leaky records: how far a value, its means and its surprises go beyond where they ever went,
 *	  in ranges.
 *
 * A record of a signal y is an envelope hi, lo that leaks towards the long-run mean c of y in
 * about tau events, and jumps to y when y leaves it; it counts as broken by the part of its own
 * range by which y leaves it.  That has no unit, is 0 almost always, and limits itself: what broke
 * a record widens it.  The score is the largest of a few weighted records, when it is above `crest`
 * times what was emitted within the last `rest` events, else 0: one peak an episode, then quiet.
 * What is emitted is compared with one threshold for all series, that of its size.
 *
 *	size	threshold	bytes	signals
 *	micro	0.0175		   48	the value and two running means of it
 *	tiny	0.0284		  144	the value, three means, the surprise of the level 16 events ago given
 *								the level now (8 levels)
 *	medium	0.0325		  736	the same with 14 events and 16 levels, and the surprise of the hour of
 *								the day given the level
 *	full	0.0395		 3104	the value, three means, the residual from the mean of its hour of the
 *								week and two means of that, both surprises
 *
 * Each event does, in this order (i: events learned before, g = 1 / (i + 1); a running mean has the
 * gain max(g, alpha); log is natural; all in float):
 *
 *	record (two-sided): hi = lo = y where i = 0, else
 *		e = (y - hi) / range if y > hi, (lo - y) / range if y < lo, else 0; 0 until i > 50;
 *		range = hi - lo + 1e-9 |long-run mean of the value| + 1e-12, so that rounding is no record
 *		hi -= (hi - c) / tau, lo += (c - lo) / tau, then hi, lo include y
 *	  In full each record has its own c, the mean of y with gain max(g, 1 / tau), updated after e and
 *	  before the leak.  In the others all have that of the value, updated before.
 *	peak (one-sided record, of y >= 0): {hi, c} begin at {0, 0}
 *		e = (y - hi) / (hi + k1 c + 1e-9) if y > hi, else 0; 0 until i > 100
 *		c += max(g, 1 / taus) (y - c), hi -= (hi - c) / taus, then hi includes y
 *	surprise of j in a row of counts:
 *		log((sum of the row + lap * its length) / (row[j] + lap)), then row[j]++; a count that
 *		reaches its limit halves the row.  A peak takes the running mean of surprises.
 *	levels: floor(L u), where u is the value's place in its envelope (0 to 1) after it was included;
 *		0 where the envelope is within rounding.  In full the envelope for this is one of its own,
 *		whose mean has gain max(g, 0.001).
 *	emit: S = the largest weighted e; M = 0 if more than `rest` events passed since the last
 *		emission; if S > 0 and S > crest M: the score is S, and M = S; else the score is 0.
 *
 *	fine scores, for a budget of alerts: crest is 0 where none is given, and the score also says how near a
 *		record was that wasn't broken:
 *		score + 0.001 * 2^(-16 d), where d is the mean over all two-sided records (of values, means,
 *		residuals) of the distance from y to the nearer of hi and lo, in ranges, 0 to 1
 *
 * What has no past yet isn't scored: residuals until there were 51, and the surprise of hours until
 * 24 hours were seen (of the week in full; in medium until the hour of the day changed 24 times).
 *
 * The signals, weights and constants of the sizes are in records_small.c and records_full.c.  They
 * were fitted on all 58 series of the Numenta Anomaly Benchmark, where they reach 77.6 (full), 74.7,
 * 72.5 and 65.4 of 100 in its standard profile; fitted on a random half of the series full reaches
 * 71 on the other half.
 *
 * Time constants are in events.  Hours are those of the detector's time zone.  Direction high (low)
 * leaves out what goes below (above) its record, and surprises of values below (above) the mean.
 * expected is the long-run mean of the value; lower_bound and upper_bound are where the value's own
 * record reaches the threshold, or the crest while that rests: means, hours and surprises can be
 * anomalous within, and of fine scores values that are near many records.
 *
 * To keep the resolution of floats for values far from 0 all signals are relative to the first
 * value, itself rounded to a float; the difference is taken in double.  A value more than 1e36 away
 * from it, or a first value beyond that, can't be learned; it is scored as one at that distance.
 */
#ifndef SP_RECORDS_H
#define SP_RECORDS_H

#include "kernel/online/online.h"

#define SP_RECORDS_WARMUP		51	/* values that it takes until a record is scored */
#define SP_RECORDS_MAX_COUNT	1048575 /* values are counted up to that */
#define SP_RECORDS_MAX_REST		4000

#define SP_RECORDS_HOURS		24
#define SP_RECORDS_WEEK			168

typedef enum SpRecordsSize
{
	SP_RECORDS_MICRO,
	SP_RECORDS_TINY,
	SP_RECORDS_MEDIUM,
	SP_RECORDS_FULL
} SpRecordsSize;

#define SP_RECORDS_NSIZES		4

typedef struct SpRecordsParams
{
	int32_t		size;			/* SpRecordsSize */
	int32_t		rest;			/* 0: by size */
	double		tau;			/* NaN: by size */
	double		crest;			/* NaN: by size */
} SpRecordsParams;

/* A two-sided record with a mean of its own. */
typedef struct SpRecord
{
	float		hi;
	float		lo;
	float		center;
} SpRecord;

/* The running mean of a surprise and its one-sided record. */
typedef struct SpPeak
{
	float		mean;
	float		hi;
	float		center;
} SpPeak;

/* What states of all sizes begin with. */
typedef struct SpRecordsHead
{
	float		origin;			/* the first value; all others are relative to it */
	uint32_t	clock;			/* lower 20 bits: values learned, up to SP_RECORDS_MAX_COUNT; */
								/* upper 12: events since the last emission, up to 4095 */
	float		emitted;		/* M */
	float		center;			/* long-run mean of the value */
} SpRecordsHead;

static inline int
sp_records_count(const SpRecordsHead *head)
{
	return (int) (head->clock & SP_RECORDS_MAX_COUNT);
}

static inline int
sp_records_quiet(const SpRecordsHead *head)
{
	return (int) (head->clock >> 20);
}

#define SP_MICRO_BANDS		3
#define SP_MICRO_MEANS		(SP_MICRO_BANDS - 1)

typedef struct SpRecordsMicro
{
	SpRecordsHead head;
	float		hi[SP_MICRO_BANDS]; /* envelopes: of the value, of its means */
	float		lo[SP_MICRO_BANDS];
	float		means[SP_MICRO_MEANS];
} SpRecordsMicro;

#define SP_TINY_BANDS		4
#define SP_TINY_MEANS		(SP_TINY_BANDS - 1)
#define SP_TINY_LEVELS		8

typedef struct SpRecordsTiny
{
	SpRecordsHead head;
	uint64_t	levels;			/* the last 16 levels, 4 bits each, the newest lowest */
	float		hi[SP_TINY_BANDS];
	float		lo[SP_TINY_BANDS];
	float		means[SP_TINY_MEANS];
	SpPeak		pattern;
	uint64_t	lagged[SP_TINY_LEVELS]; /* by level now: 8 counts by level before, the first lowest */
} SpRecordsTiny;

#define SP_MEDIUM_LEVELS	16

typedef struct SpRecordsMedium
{
	SpRecordsHead head;
	uint64_t	levels;
	float		hi[SP_TINY_BANDS];
	float		lo[SP_TINY_BANDS];
	float		means[SP_TINY_MEANS];
	SpPeak		pattern;
	SpPeak		hour;
	uint8_t		last_hour;		/* of the day */
	uint8_t		nhours;			/* how often it changed, up to SP_RECORDS_HOURS */
	uint8_t		unused[2];		/* 0 */
	uint64_t	lagged[SP_MEDIUM_LEVELS][SP_MEDIUM_LEVELS / 8]; /* likewise */
	uint64_t	hours[SP_MEDIUM_LEVELS][SP_RECORDS_HOURS / 8];	/* by level now, hour */
} SpRecordsMedium;

#define SP_FULL_MEANS		3
#define SP_FULL_RESIDUALS	2	/* means of residuals */
#define SP_FULL_LEVELS		18	/* of the lagged tables */
#define SP_FULL_HOUR_LEVELS 16
#define SP_FULL_LAG			45	/* the longest */

typedef struct SpRecordsFull
{
	SpRecordsHead head;
	float		hi;				/* envelope of the value */
	float		lo;
	SpRecord	mean_records[SP_FULL_MEANS];
	SpRecord	residual_records[1 + SP_FULL_RESIDUALS];	/* of the residual, of its means */
	float		means[SP_FULL_MEANS];
	float		residuals[SP_FULL_RESIDUALS];
	SpRecord	range;			/* of the value, for levels */
	SpPeak		pattern;
	SpPeak		hour;
	float		week[SP_RECORDS_WEEK];	/* means by hour of the week, from Sunday */
	uint16_t	near[SP_FULL_LEVELS][SP_FULL_LEVELS];	/* by level now, level 15 events ago */
	uint16_t	far[SP_FULL_LEVELS][SP_FULL_LEVELS];	/* 45 events ago */
	uint16_t	hours[SP_FULL_HOUR_LEVELS][SP_RECORDS_HOURS];
	uint8_t		seen[SP_RECORDS_WEEK];	/* values of an hour of the week, up to 255 */
	uint8_t		levels[SP_FULL_LAG];	/* a ring of the last ones */
	uint8_t		next;			/* place of the next */
	uint8_t		nhours;			/* hours of the week that were seen */
	uint8_t		nresiduals;		/* values of hours that were seen before, up to 255 */
} SpRecordsFull;

extern const SpKernel sp_kernel_records;

#endif
