/*
 * records_step.h
 *	  The pieces that the sizes of leaky records are put together from; for records*.c alone.
 *
 * The formulas are in records.h.  Everything is inlined: the constants of a size fold.
 */
#ifndef SP_RECORDS_STEP_H
#define SP_RECORDS_STEP_H

#include <math.h>

#include "kernel/online/records.h"

#define RECORD_WARMUP	50
#define PEAK_WARMUP		100

/* What keeps the range of surprises from being 0. */
#define PEAK_RESOLUTION 1e-9f

/* What an event of one size is done with; the names of its experts are in records.c. */
typedef struct SpRecordsStep
{
	/* set before */
	float		value;			/* relative to the origin */
	float		leak;			/* 1 / tau */
	bool		may_rise;		/* records broken above count */
	bool		may_fall;		/* likewise below */
	bool		is_fine;		/* distances are wanted */
	int64_t		local;			/* time */

	/* by begin_step */
	int			count;			/* events learned before */
	float		gain;			/* g */
	bool		is_first;
	bool		records_ready;
	bool		peaks_ready;

	/* the result */
	float		best;			/* S */
	int			expert;			/* whose it is */
	float		distance;		/* sum of the records' distances */
	int			ndistances;
} SpRecordsStep;

/* Score and learn a value with each size; what is emitted is up to the caller. */
extern void sp_records_step_micro(SpRecordsMicro *s, SpRecordsStep *step);
extern void sp_records_step_tiny(SpRecordsTiny *s, SpRecordsStep *step);
extern void sp_records_step_medium(SpRecordsMedium *s, SpRecordsStep *step);
extern void sp_records_step_full(SpRecordsFull *s, SpRecordsStep *step);

extern bool sp_records_is_sound_micro(const SpRecordsMicro *s);
extern bool sp_records_is_sound_tiny(const SpRecordsTiny *s);
extern bool sp_records_is_sound_medium(const SpRecordsMedium *s);
extern bool sp_records_is_sound_full(const SpRecordsFull *s);

#define SP_RECORDS_REACH	1e36	/* how far from the origin values may be */

/* Values and what is made of them (residuals, and rounding) are within. */
#define REACH_OF_STATE		8e36f

/* ---- pieces ---- */

static inline float
larger(float a, float b)
{
	return a > b ? a : b;
}

static inline float
smaller(float a, float b)
{
	return a < b ? a : b;
}

/* What is added to the ranges of records: less is rounding. */
static inline float
sp_records_resolution(const SpRecordsHead *head)
{
	return 1e-9f * fabsf(head->origin + head->center) + 1e-12f;
}

static inline void
begin_step(SpRecordsStep *step, const SpRecordsHead *head)
{
	step->count = sp_records_count(head);
	step->gain = 1.0f / (float) (step->count + 1);
	step->is_first = step->count == 0;
	step->records_ready = step->count > RECORD_WARMUP;
	step->peaks_ready = step->count > PEAK_WARMUP;
	step->best = 0.0f;
	step->expert = 0;
	step->distance = 0.0f;
	step->ndistances = 0;
}

/* How far is it to a record, in ranges? */
static inline void
add_distance(SpRecordsStep *step, float gap, float range)
{
	float		distance = gap / range;

	step->distance += distance < 0.0f ? 0.0f : distance > 1.0f ? 1.0f : distance;
	step->ndistances++;
}

/* To the nearer end of an envelope. */
static inline void
measure_record(SpRecordsStep *step, float hi, float lo, float y, float resolution)
{
	float		gap = step->may_rise ? hi - y : y - lo;

	if (step->may_rise && step->may_fall)
		gap = smaller(gap, y - lo);
	if (step->records_ready)
		add_distance(step, gap, hi - lo + resolution);
}

/* An expert's weighted excess. */
static inline void
offer(SpRecordsStep *step, int expert, float score)
{
	if (score > step->best)
	{
		step->best = score;
		step->expert = expert;
	}
}

static inline void
update_mean(const SpRecordsStep *step, float *mean, float alpha, float y)
{
	*mean += larger(step->gain, alpha) * (y - *mean);
}

/* Leaving an envelope upwards or downwards: by how many ranges? */
static inline void
score_record(SpRecordsStep *step, int expert, float weight, float hi, float lo, float y,
			 float resolution)
{
	if (!step->records_ready)
		return;
	if (y > hi && step->may_rise)
		offer(step, expert, weight * ((y - hi) / (hi - lo + resolution)));
	else if (y < lo && step->may_fall)
		offer(step, expert, weight * ((lo - y) / (hi - lo + resolution)));
}

/* Leak towards the center, then include y. */
static inline void
update_record(float *hi, float *lo, float y, float center, float leak)
{
	*hi = larger(*hi - (*hi - center) * leak, y);
	*lo = smaller(*lo + (center - *lo) * leak, y);
}

/* A two-sided record with a center of its own; it may have to wait. */
static inline void
step_record(SpRecordsStep *step, int expert, float weight, float *hi, float *lo, float *center,
			float y, float resolution, bool is_ready)
{
	if (step->is_first)
	{
		*hi = *lo = *center = y;
		return;
	}
	if (step->is_fine && is_ready)
		measure_record(step, *hi, *lo, y, resolution);
	if (is_ready && (y > *hi || y < *lo))
		score_record(step, expert, weight, *hi, *lo, y, resolution);
	update_mean(step, center, step->leak, y);
	update_record(hi, lo, y, *center, step->leak);
}

/* A one-sided record of the running mean of surprises; it may have to wait. */
static inline void
step_peak(SpRecordsStep *step, int expert, float weight, SpPeak *peak, float alpha, float surprise,
		  float leak, float k1, float center, bool is_ready)
{
	float		y;

	update_mean(step, &peak->mean, alpha, surprise);
	y = peak->mean;
	if (y > peak->hi && step->peaks_ready && is_ready &&
		((step->may_rise && step->may_fall) ||
		 (step->may_rise ? step->value > center : step->value < center)))
		offer(step, expert, weight * ((y - peak->hi) / (peak->hi + k1 * peak->center + PEAK_RESOLUTION)));
	update_mean(step, &peak->center, leak, y);
	peak->hi -= (peak->hi - peak->center) * leak;
	if (y > peak->hi)
		peak->hi = y;
}

static inline float
get_surprise(int total, int length, int count, float lap)
{
	return logf(((float) total + lap * (float) length) / ((float) count + lap));
}

/* The sum of the 8 counts in a word. */
static inline int
sum_counts8(uint64_t counts)
{
	const uint64_t even = UINT64_C(0x00ff00ff00ff00ff);

	return (int) (((counts & even) + (counts >> 8 & even)) * UINT64_C(0x0001000100010001) >> 48);
}

/*
 * The surprise of j in a row of small counts, which counts it then.  They are read and written 8 in
 * a word: reading a word would wait long for a count written just before.
 */
static inline float
take_surprise8(uint64_t *row, int nwords, int j, float lap)
{
	int			shift = 8 * (j % 8);
	uint64_t	word = row[j / 8];
	int			count = (int) (word >> shift & UINT8_MAX);
	int			total = 0;

	for (int k = 0; k < nwords; k++)
		total += sum_counts8(row[k]);
	row[j / 8] = word + (UINT64_C(1) << shift);
	if (count + 1 == UINT8_MAX)
	{
		for (int k = 0; k < nwords; k++)
			row[k] = row[k] >> 1 & UINT64_C(0x7f7f7f7f7f7f7f7f);
	}
	return get_surprise(total, 8 * nwords, count, lap);
}

/* Likewise in a row of larger counts. */
static inline float
take_surprise16(uint16_t *row, int length, int j, float lap)
{
	int			total = 0;
	float		surprise;

	for (int k = 0; k < length; k++)
		total += row[k];
	surprise = get_surprise(total, length, row[j], lap);
	if (++row[j] == UINT16_MAX)
	{
		for (int k = 0; k < length; k++)
			row[k] >>= 1;
	}
	return surprise;
}

/* The level of a value in an envelope that includes it; where all of that is rounding, the first. */
static inline int
find_level(float value, float hi, float lo, float resolution, int nlevels)
{
	int			level;

	if (!(hi - lo > resolution))
		return 0;
	level = (int) ((float) nlevels * ((value - lo) / (hi - lo)));
	return level < 0 ? 0 : level >= nlevels ? nlevels - 1 : level;
}

/* The hour of the week, from Sunday 0h; 2000-01-01 was a Saturday. */
static inline int
get_hour_of_week(int64_t local)
{
	int64_t		hour = local / INT64_C(3600000000) - (local % INT64_C(3600000000) < 0);
	int			of_week = (int) ((hour + 6 * SP_RECORDS_HOURS) % SP_RECORDS_WEEK);

	return of_week < 0 ? of_week + SP_RECORDS_WEEK : of_week;
}

/* ---- soundness ---- */

static inline bool
is_within(float y, float limit)
{
	return y >= -limit && y <= limit;	/* not NaN */
}

static inline bool
is_sound_band(float hi, float lo)
{
	return is_within(hi, REACH_OF_STATE) && is_within(lo, REACH_OF_STATE) && hi >= lo;
}

static inline bool
are_sound_floats(const float *y, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (!is_within(y[i], REACH_OF_STATE))
			return false;
	}
	return true;
}

/* Surprises are at least 0, and below the logarithm of all counts. */
static inline bool
is_sound_peak(const SpPeak *peak)
{
	return peak->mean >= 0.0f && peak->mean <= 100.0f && peak->hi >= 0.0f && peak->hi <= 100.0f &&
		peak->center >= 0.0f && peak->center <= 100.0f;
}

static inline bool
are_sound_counts8(const uint64_t *words, int nwords)
{
	for (int i = 0; i < 8 * nwords; i++)
	{
		if ((words[i / 8] >> 8 * (i % 8) & UINT8_MAX) == UINT8_MAX)
			return false;
	}
	return true;
}

static inline bool
are_sound_counts16(const uint16_t *counts, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (counts[i] == UINT16_MAX)
			return false;
	}
	return true;
}

#endif
