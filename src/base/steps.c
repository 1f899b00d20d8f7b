/*
 * steps.c
 *	  Which hopping or cumulative windows does a time fall into?
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/steps.h"
#include "utils/timestamp.h"

/* A month has no more days. */
#define LONGEST_MONTH 31

typedef enum Unit
{
	TIME,
	DAYS,
	MONTHS
} Unit;

static Unit
get_unit(const Interval *interval)
{
	return interval->month != 0 ? MONTHS : interval->day != 0 ? DAYS : TIME;
}

/* The interval in a unit that is no larger than its own; at most, where lengths vary. */
static int64
count_units(const Interval *interval, Unit unit)
{
	int64		days = interval->month != 0 ?
		(int64) interval->month * LONGEST_MONTH : interval->day;

	if (unit == MONTHS)
		return interval->month;
	if (unit == DAYS)
		return days;
	/* 2 ^ 31 months are more microseconds than there can be. */
	return interval->time != 0 ? interval->time :
		Min(days, PG_INT64_MAX / USECS_PER_DAY) * USECS_PER_DAY;
}

const char *
sp_steps_check(SpStepsKind kind, const Interval *size, const Interval *slide)
{
	Unit		unit = get_unit(slide);
	Unit		size_unit = get_unit(size);

	if (kind == SP_STEPS_HOPPING && unit != size_unit)
		return "must be in the unit of the size: months, or days, or hours and below";
	if (unit > size_unit)
		return "must be in the unit of the size or a smaller one: months, days, hours and below";
	if (count_units(slide, unit) > count_units(size, unit))
		return "must not be longer than the size";
	if (unit == size_unit && count_units(size, unit) % count_units(slide, unit) != 0)
		return "must divide the size without a remainder";
	return NULL;
}

int64
sp_steps_per_row(SpStepsKind kind, const Interval *size, const Interval *slide)
{
	Unit		unit = get_unit(slide);
	int64		slide_units = count_units(slide, unit);
	int64		size_units = count_units(size, unit);

	return size_units / slide_units + (size_units % slide_units != 0);
}

static void
check(SpStepsKind kind, const Interval *size, const Interval *slide)
{
	const char *kind_name = kind == SP_STEPS_HOPPING ? "hopping" : "cumulative";
	const char *slide_name = kind == SP_STEPS_HOPPING ? "slide" : "step";
	const char *problem = sp_tumbling_check_size(size);

	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("size of a %s window %s: %s", kind_name, problem,
						sp_tumbling_format_size(size))));
	problem = sp_tumbling_check_size(slide);
	if (problem == NULL)
		problem = sp_steps_check(kind, size, slide);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s of a %s window %s: %s", slide_name, kind_name, problem,
						sp_tumbling_format_size(slide))));
}

void
sp_steps_init(SpSteps *steps, SpStepsKind kind, const Interval *size, const Interval *slide,
			  Timestamp origin, const char *time_zone, Oid time_type)
{
	check(kind, size, slide);
	memset(steps, 0, sizeof(SpSteps));
	steps->kind = kind;
	steps->n = sp_steps_per_row(kind, size, slide);
	steps->mixed = get_unit(size) != get_unit(slide);
	steps->last_start = 1;		/* later than last_end: nothing remembered */
	sp_tumbling_init(&steps->panes, slide, origin, time_zone, time_type);
	sp_tumbling_init(&steps->base, size, origin, time_zone, time_type);
}

/* The pane of a finite time within its base window, [base_start, base_end). */
static bool
find_mixed(SpSteps *steps, int64 ts, int64 base_start, int64 base_end, int64 *start, int64 *end)
{
	if (steps->panes.us != 0)
	{
		*start = ts - (ts - base_start) % steps->panes.us;
		*end = Min(base_end - *start, steps->panes.us) + *start;
		return true;
	}
	/* Days of a month: from its first one on. */
	if (!sp_tumbling_local_start(&steps->base, ts, &steps->panes.origin) ||
		!sp_tumbling_window(&steps->panes, ts, start, end))
		return false;
	*end = Min(*end, base_end);
	return true;
}

static bool
find_cumulative(SpSteps *steps, int64 ts, int64 *start, int64 *end)
{
	int64		base_start;
	int64		base_end;

	if (!sp_tumbling_assign(&steps->base, ts, &base_start, &base_end))
		return false;
	if (steps->mixed)
		return find_mixed(steps, ts, base_start, base_end, start, end);
	return sp_tumbling_assign(&steps->panes, ts, start, end);
}

static bool
find_hopping(SpSteps *steps, int64 ts, int64 *start, int64 *end)
{
	int64		other;

	return sp_tumbling_window(&steps->panes, ts, start, end) &&
		sp_tumbling_move(&steps->panes, *end, -steps->n, &other) &&
		sp_tumbling_move(&steps->panes, *start, steps->n, &other);
}

bool
sp_steps_find(SpSteps *steps, int64 ts, int64 *start, int64 *end)
{
	if (TIMESTAMP_NOT_FINITE(ts))
	{
		*start = *end = ts;
		return true;
	}
	if (!(steps->kind == SP_STEPS_HOPPING ? find_hopping : find_cumulative) (steps, ts, start, end))
		return false;
	steps->last_start = *start;
	steps->last_end = *end;
	return true;
}

bool
sp_steps_block_start(SpSteps *steps, int64 end, int64 *start)
{
	int64		base_end;

	return sp_tumbling_assign(&steps->base, TIMESTAMP_NOT_FINITE(end) ? end : end - 1, start,
							  &base_end);
}

bool
sp_steps_window_start(SpSteps *steps, int64 end, int64 *start)
{
	if (steps->kind == SP_STEPS_HOPPING)
		return sp_tumbling_move(&steps->panes, end, -steps->n, start);
	return sp_steps_block_start(steps, end, start);
}

bool
sp_steps_next_end(SpSteps *steps, int64 end, int64 *next)
{
	int64		start;

	if (TIMESTAMP_NOT_FINITE(end))
	{
		*next = end;
		return true;
	}
	if (steps->kind == SP_STEPS_HOPPING)
		return sp_tumbling_move(&steps->panes, end, 1, next);
	return find_cumulative(steps, end, &start, next);
}

bool
sp_steps_last_end(SpSteps *steps, int64 start, int64 *end)
{
	int64		base_start;

	if (steps->kind == SP_STEPS_HOPPING)
		return sp_tumbling_move(&steps->panes, start, steps->n, end);
	return sp_tumbling_assign(&steps->base, start, &base_start, end);
}
