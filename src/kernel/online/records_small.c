/*
 * records_small.c
 *	  Leaky records in three small sizes.
 *
 * The formulas are in records.h.
 */
#include "kernel/online/records_step.h"

#define LEVEL_BITS		4
#define TINY_LAG		16
#define MEDIUM_LAG		14

static const float micro_alphas[SP_MICRO_MEANS] = {0.088f, 0.0185f};
static const float micro_weights[SP_MICRO_BANDS] = {0.810f, 1.093f, 1.045f};

static const float tiny_alphas[SP_TINY_MEANS] = {0.8565f, 0.0786f, 0.02f};
static const float tiny_weights[SP_TINY_BANDS] = {0.9171f, 0.1926f, 0.8218f, 1.653f};

static const float medium_alphas[SP_TINY_MEANS] = {0.25f, 0.1f, 0.02f};
static const float medium_weights[SP_TINY_BANDS] = {0.95f, 0.34f, 0.55f, 1.0f};

/*
 * The means and the center, then the records of value and means.  The loops are short and of a
 * constant length, for the compiler to vectorize or unroll.
 */
static inline void
step_bands(SpRecordsStep *step, SpRecordsHead *head, int nbands, float *hi, float *lo,
		   float *means, const float *alphas, const float *weights)
{
	float		y[SP_TINY_BANDS];
	float		leak = step->leak;
	float		center;
	bool		is_broken = false;

	begin_step(step, head);
	y[0] = step->value;
#pragma GCC unroll 4
	for (int k = 1; k < nbands; k++)
	{
		float		mean = step->is_first ? step->value : means[k - 1];

		mean += larger(step->gain, alphas[k - 1]) * (step->value - mean);
		means[k - 1] = y[k] = mean;
	}
	update_mean(step, &head->center, leak, step->value);
	center = head->center;

	if (step->is_first)
	{
		for (int k = 0; k < nbands; k++)
			hi[k] = lo[k] = y[k];
		return;
	}
#pragma GCC unroll 4
	for (int k = 0; k < nbands; k++)
		is_broken |= (y[k] > hi[k]) | (y[k] < lo[k]);
	if (step->is_fine)
	{
		for (int k = 0; k < nbands; k++)
			measure_record(step, hi[k], lo[k], y[k], sp_records_resolution(head));
	}
	if (is_broken)
	{
		float		resolution = sp_records_resolution(head);

		for (int k = 0; k < nbands; k++)
			score_record(step, k, weights[k], hi[k], lo[k], y[k], resolution);
	}
#pragma GCC unroll 4
	for (int k = 0; k < nbands; k++)
		update_record(&hi[k], &lo[k], y[k], center, leak);
}

/* The level `lag` events ago; the one now is remembered. */
static inline int
exchange_level(uint64_t *levels, int lag, int level)
{
	int			before = (int) (*levels >> (LEVEL_BITS * (lag - 1)));

	*levels = *levels << LEVEL_BITS | (uint64_t) level;
	return before & ((1 << LEVEL_BITS) - 1);
}

/* Experts: the value, two means. */
void
sp_records_step_micro(SpRecordsMicro *s, SpRecordsStep *step)
{
	step_bands(step, &s->head, SP_MICRO_BANDS, s->hi, s->lo, s->means, micro_alphas, micro_weights);
}

/* Experts: the value, three means, the pattern. */
void
sp_records_step_tiny(SpRecordsTiny *s, SpRecordsStep *step)
{
	const float lap = 0.736f;
	float		surprise = 0.0f;
	int			level;
	int			before;

	step_bands(step, &s->head, SP_TINY_BANDS, s->hi, s->lo, s->means, tiny_alphas, tiny_weights);
	level = find_level(step->value, s->hi[0], s->lo[0], sp_records_resolution(&s->head),
					   SP_TINY_LEVELS);
	before = exchange_level(&s->levels, TINY_LAG, level) & (SP_TINY_LEVELS - 1);
	if (step->count >= TINY_LAG)
		surprise = take_surprise8(&s->lagged[level], 1, before, lap);
	step_peak(step, SP_TINY_BANDS, 2.188f, &s->pattern, 0.0955f, surprise, 1.0f / 33215.0f, 1.5243f,
			  s->head.center, true);
}

/* Experts: the value, three means, the pattern, the hour. */
void
sp_records_step_medium(SpRecordsMedium *s, SpRecordsStep *step)
{
	const float leak = 1.0f / 21000.0f;
	const float k1 = 1.2f;
	float		surprise = 0.0f;
	int			hour = get_hour_of_week(step->local) % SP_RECORDS_HOURS;
	int			level;
	int			before;

	step_bands(step, &s->head, SP_TINY_BANDS, s->hi, s->lo, s->means, medium_alphas, medium_weights);
	level = find_level(step->value, s->hi[0], s->lo[0], sp_records_resolution(&s->head),
					   SP_MEDIUM_LEVELS);
	before = exchange_level(&s->levels, MEDIUM_LAG, level);
	if (step->count >= MEDIUM_LAG)
		surprise = take_surprise8(s->lagged[level], SP_MEDIUM_LEVELS / 8, before, 0.33f);
	step_peak(step, SP_TINY_BANDS, 2.0f, &s->pattern, 0.062f, surprise, leak, k1,
			  s->head.center, true);

	surprise = take_surprise8(s->hours[level], SP_RECORDS_HOURS / 8, hour, 0.46f);
	if (hour != s->last_hour && s->nhours < SP_RECORDS_HOURS)
		s->nhours++;
	s->last_hour = (uint8_t) hour;
	step_peak(step, SP_TINY_BANDS + 1, 3.3f, &s->hour, 0.12f, surprise, leak, k1, s->head.center,
			  s->nhours >= SP_RECORDS_HOURS);
}

/* ---- soundness; the head is looked at by the caller ---- */

static bool
are_sound_bands(const float *hi, const float *lo, int n)
{
	for (int k = 0; k < n; k++)
	{
		if (!is_sound_band(hi[k], lo[k]))
			return false;
	}
	return true;
}

bool
sp_records_is_sound_micro(const SpRecordsMicro *s)
{
	return are_sound_bands(s->hi, s->lo, SP_MICRO_BANDS) && are_sound_floats(s->means, SP_MICRO_MEANS);
}

bool
sp_records_is_sound_tiny(const SpRecordsTiny *s)
{
	return are_sound_bands(s->hi, s->lo, SP_TINY_BANDS) && are_sound_floats(s->means, SP_TINY_MEANS) &&
		is_sound_peak(&s->pattern) && are_sound_counts8(s->lagged, SP_TINY_LEVELS);
}

bool
sp_records_is_sound_medium(const SpRecordsMedium *s)
{
	return are_sound_bands(s->hi, s->lo, SP_TINY_BANDS) && are_sound_floats(s->means, SP_TINY_MEANS) &&
		is_sound_peak(&s->pattern) && is_sound_peak(&s->hour) &&
		are_sound_counts8(&s->lagged[0][0], SP_MEDIUM_LEVELS * SP_MEDIUM_LEVELS / 8) &&
		are_sound_counts8(&s->hours[0][0], SP_MEDIUM_LEVELS * SP_RECORDS_HOURS / 8);
}
