/*
 * records_full.c
 *	  Leaky records in full size.
 *
 * The formulas are in records.h.
 */
#include "kernel/online/records_step.h"

#define NEAR_LAG		15

/* Experts, in the order of their names in records.c. */
enum
{
	VALUE,
	FIRST_MEAN,
	RESIDUAL = FIRST_MEAN + SP_FULL_MEANS,
	FIRST_RESIDUAL_MEAN,
	PATTERN = FIRST_RESIDUAL_MEAN + SP_FULL_RESIDUALS,
	HOUR
};

static const float alphas[SP_FULL_MEANS] = {0.23f, 0.099f, 0.012f};
static const float residual_alphas[SP_FULL_RESIDUALS] = {0.23f, 0.27f};
static const float weights[] = {1.3f, 0.46f, 1.4f, 2.7f, 0.43f, 0.49f, 0.34f};

static const float week_alpha = 0.25f;
static const float range_alpha = 0.001f;
static const float range_leak = 1.0f / 16000.0f;
static const float surprise_leak = 1.0f / 9300.0f;
static const float surprise_k1 = 1.0f;
static const float lap = 0.23f;

/* What is left of the value after the mean of its hour of the week, which learns it. */
static inline float
take_residual(SpRecordsFull *s, int hour, float value)
{
	float		residual = s->seen[hour] > 0 ? value - s->week[hour] : 0.0f;

	if (s->seen[hour] == 0)
		s->nhours += s->nhours < SP_RECORDS_WEEK;
	else if (s->nresiduals < UINT8_MAX)
		s->nresiduals++;
	if (s->seen[hour] < UINT8_MAX)
		s->seen[hour]++;
	s->week[hour] += larger(1.0f / (float) s->seen[hour], week_alpha) * (value - s->week[hour]);
	return residual;
}

/* The range of the value includes it, for its levels. */
static inline void
update_range(const SpRecordsStep *step, SpRecord *range)
{
	if (step->is_first)
		range->hi = range->lo = range->center = step->value;
	update_mean(step, &range->center, range_alpha, step->value);
	update_record(&range->hi, &range->lo, step->value, range->center, range_leak);
}

/* How surprising were the levels 15 and 45 events ago, given the level now?  The latter counts twice. */
static inline float
take_pattern(SpRecordsFull *s, const SpRecordsStep *step, int level)
{
	float		surprise = 0.0f;
	int			next = s->next;
	int			near = next >= NEAR_LAG ? next - NEAR_LAG : next - NEAR_LAG + SP_FULL_LAG;

	if (step->count >= NEAR_LAG)
		surprise += take_surprise16(s->near[level], SP_FULL_LEVELS, s->levels[near], lap);
	if (step->count >= SP_FULL_LAG)
		surprise += 2.0f * take_surprise16(s->far[level], SP_FULL_LEVELS, s->levels[next], lap);
	s->levels[next] = (uint8_t) level;
	s->next = (uint8_t) (next + 1 == SP_FULL_LAG ? 0 : next + 1);
	return surprise / 3.0f;
}

void
sp_records_step_full(SpRecordsFull *s, SpRecordsStep *step)
{
	float		value = step->value;
	int			hour = get_hour_of_week(step->local);
	float		residual;
	float		resolution = sp_records_resolution(&s->head);
	int			level;
	float		pattern;
	float		surprise;

	begin_step(step, &s->head);
	residual = take_residual(s, hour, value);
	for (int k = 0; k < SP_FULL_MEANS; k++)
	{
		if (step->is_first)
			s->means[k] = value;
		update_mean(step, &s->means[k], alphas[k], value);
	}
	for (int k = 0; k < SP_FULL_RESIDUALS; k++)
		update_mean(step, &s->residuals[k], residual_alphas[k], residual);

	update_range(step, &s->range);
	level = find_level(value, s->range.hi, s->range.lo, resolution, SP_FULL_LEVELS);
	pattern = take_pattern(s, step, level);
	level = find_level(value, s->range.hi, s->range.lo, resolution, SP_FULL_HOUR_LEVELS);
	surprise = take_surprise16(s->hours[level], SP_RECORDS_HOURS, hour % SP_RECORDS_HOURS, lap);

	step_record(step, VALUE, weights[VALUE], &s->hi, &s->lo, &s->head.center, value, resolution,
				true);
	for (int k = 0; k < SP_FULL_MEANS; k++)
	{
		SpRecord   *r = &s->mean_records[k];

		step_record(step, FIRST_MEAN + k, weights[FIRST_MEAN + k], &r->hi, &r->lo,
					&r->center, s->means[k], resolution, true);
	}
	for (int k = 0; k <= SP_FULL_RESIDUALS; k++)
	{
		SpRecord   *r = &s->residual_records[k];

		step_record(step, RESIDUAL + k, weights[RESIDUAL + k], &r->hi, &r->lo,
					&r->center, k == 0 ? residual : s->residuals[k - 1], resolution,
					s->nresiduals > RECORD_WARMUP);
	}
	step_peak(step, PATTERN, 2.1f, &s->pattern, 0.087f, pattern, surprise_leak, surprise_k1,
			  s->head.center, true);
	step_peak(step, HOUR, 2.7f, &s->hour, 0.11f, surprise, surprise_leak, surprise_k1,
			  s->head.center, s->nhours >= SP_RECORDS_HOURS);
}

/* ---- soundness; the head is looked at by the caller ---- */

static bool
are_sound_records(const SpRecord *records, int n)
{
	for (int k = 0; k < n; k++)
	{
		if (!is_sound_band(records[k].hi, records[k].lo) || !is_within(records[k].center, REACH_OF_STATE))
			return false;
	}
	return true;
}

bool
sp_records_is_sound_full(const SpRecordsFull *s)
{
	for (int k = 0; k < SP_FULL_LAG; k++)
	{
		if (s->levels[k] >= SP_FULL_LEVELS)
			return false;
	}
	return s->next < SP_FULL_LAG && s->nhours <= SP_RECORDS_WEEK && is_sound_band(s->hi, s->lo) &&
		are_sound_records(s->mean_records, SP_FULL_MEANS) &&
		are_sound_records(s->residual_records, 1 + SP_FULL_RESIDUALS) &&
		are_sound_records(&s->range, 1) && are_sound_floats(s->means, SP_FULL_MEANS) &&
		are_sound_floats(s->residuals, SP_FULL_RESIDUALS) && is_sound_peak(&s->pattern) &&
		is_sound_peak(&s->hour) && are_sound_floats(s->week, SP_RECORDS_WEEK) &&
		are_sound_counts16(&s->near[0][0], SP_FULL_LEVELS * SP_FULL_LEVELS) &&
		are_sound_counts16(&s->far[0][0], SP_FULL_LEVELS * SP_FULL_LEVELS) &&
		are_sound_counts16(&s->hours[0][0], SP_FULL_HOUR_LEVELS * SP_RECORDS_HOURS);
}
