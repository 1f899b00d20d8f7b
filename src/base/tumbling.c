/*
 * tumbling.c
 *	  Which tumbling window does a time fall into?
 *
 * Calendar windows are found by an estimate from the local time and then moved until
 * they contain the instant.  The move is needed where a local time occurs twice: the
 * instant may come before the boundary that its local time lies behind.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/tumbling.h"
#include "catalog/pg_type_d.h"
#include "common/int.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

/* One beyond any sensible size: 16,000 years, so that twice the size can't overflow. */
#define MAX_SIZE_US		(INT64CONST(1) << 59)

/* Steps from the estimate to the window; a change of the clocks takes one, or two. */
#define MAX_STEPS		4

const char *
sp_tumbling_check_size(const Interval *size)
{
	int			units = (size->month != 0) + (size->day != 0) + (size->time != 0);

	if (INTERVAL_NOT_FINITE(size))
		return "must be finite";
	if (units > 1)
		return "mixes months, days and time of day, which differ in length";
	if (size->month < 0 || size->day < 0 || size->time < 0 || units == 0)
		return "must be positive";
	if (size->time > MAX_SIZE_US)
		return "is too long";
	return NULL;
}

pg_tz *
sp_tumbling_zone(const char *name)
{
	pg_tz	   *zone;

	if (strlen(name) > TZ_STRLEN_MAX)
		return NULL;
	zone = pg_tzset(name);
	return zone && pg_tz_acceptable(zone) ? zone : NULL;
}

/* The instant of a local time; false when out of range. */
static bool
local_to_instant(const SpTumbling *t, int64 local, int64 *instant)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			offset;

	if (!IS_VALID_TIMESTAMP(local))
		return false;
	*instant = local;
	if (t->zone == NULL)
		return true;
	if (timestamp2tm(local, NULL, &tm, &fsec, NULL, NULL) != 0)
		return false;
	offset = DetermineTimeZoneOffset(&tm, t->zone);
	*instant = local + (int64) offset * USECS_PER_SEC;
	return IS_VALID_TIMESTAMP(*instant);
}

/* The local time of an instant; false when out of range. */
static bool
instant_to_local(const SpTumbling *t, int64 instant, int64 *local)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			offset;

	*local = instant;
	if (t->zone == NULL)
		return true;
	return timestamp2tm(instant, &offset, &tm, &fsec, NULL, t->zone) == 0 &&
		tm2timestamp(&tm, fsec, NULL, local) == 0;
}

/* a / b rounded down; b > 0. */
static int64
divide_down(int64 a, int64 b)
{
	return a / b - (a % b < 0);
}

/* Months since year 0 of a local time, which is valid. */
static int64
month_number(int64 local)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(local, NULL, &tm, &fsec, NULL, NULL) != 0)
		return 0;
	return (int64) tm.tm_year * MONTHS_PER_YEAR + tm.tm_mon - 1;
}

/* origin + k * months, local; the last day of the month where it has no such day. */
static bool
month_boundary(const SpTumbling *t, int64 k, int64 *local)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int64		month = month_number(t->origin) + k * t->months;
	int64		year = divide_down(month, MONTHS_PER_YEAR);

	if (timestamp2tm(t->origin, NULL, &tm, &fsec, NULL, NULL) != 0 ||
		year < JULIAN_MINYEAR || year >= JULIAN_MAXYEAR)
		return false;
	tm.tm_year = (int) year;
	tm.tm_mon = (int) (month - year * MONTHS_PER_YEAR) + 1;
	tm.tm_mday = Min(tm.tm_mday, day_tab[isleap(tm.tm_year)][tm.tm_mon - 1]);
	return tm2timestamp(&tm, fsec, NULL, local) == 0;
}

/* The instant of the kth boundary; false when out of range. */
static bool
boundary(const SpTumbling *t, int64 k, int64 *instant)
{
	int64		local;

	if (t->months != 0)
	{
		if (!month_boundary(t, k, &local))
			return false;
	}
	else if (pg_mul_s64_overflow(k, t->days * USECS_PER_DAY, &local) ||
			 pg_add_s64_overflow(local, t->origin, &local))
		return false;
	return local_to_instant(t, local, instant);
}

static bool
find_calendar(const SpTumbling *t, int64 ts, int64 *start, int64 *end)
{
	int64		local;
	int64		k;
	int			steps;

	if (!instant_to_local(t, ts, &local))
		return false;
	if (t->months != 0)
		k = divide_down(month_number(local) - month_number(t->origin), t->months);
	else if (!pg_sub_s64_overflow(local, t->origin, &k))
		k = divide_down(k, t->days * USECS_PER_DAY);
	else
		return false;

	for (steps = 0; steps < MAX_STEPS; steps++)
	{
		if (!boundary(t, k, start) || !boundary(t, k + 1, end))
			return false;
		if (ts >= *start && ts < *end)
			return true;
		k += ts < *start ? -1 : 1;
	}
	return false;
}

static bool
find_absolute(const SpTumbling *t, int64 ts, int64 *start, int64 *end)
{
	int64		offset = ts % t->us - t->phase;

	if (offset < 0)
		offset += t->us;
	if (offset < 0)				/* ts was negative as well */
		offset += t->us;
	return !pg_sub_s64_overflow(ts, offset, start) &&
		!pg_add_s64_overflow(*start, t->us, end) &&
		IS_VALID_TIMESTAMP(*start) && IS_VALID_TIMESTAMP(*end);
}

bool
sp_tumbling_find(SpTumbling *t, int64 ts, int64 *start, int64 *end)
{
	if (TIMESTAMP_NOT_FINITE(ts))
	{
		*start = *end = ts;
		return true;
	}
	if (!IS_VALID_TIMESTAMP(ts) ||
		!(t->us != 0 ? find_absolute : find_calendar) (t, ts, start, end))
		return false;
	t->last_start = *start;
	t->last_end = *end;
	return true;
}

void
sp_tumbling_init(SpTumbling *t, const Interval *size, Timestamp origin,
				 const char *time_zone, Oid time_type)
{
	const char *problem = sp_tumbling_check_size(size);
	int64		instant;

	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("size of a tumbling window %s", problem)));
	memset(t, 0, sizeof(SpTumbling));
	t->months = size->month;
	t->days = size->day;
	t->us = size->time;
	t->origin = origin;
	t->last_start = 1;			/* later than last_end: nothing remembered */

	if (time_type == TIMESTAMPTZOID)
	{
		t->zone = sp_tumbling_zone(time_zone);
		if (t->zone == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("time zone \"%s\" not recognized", time_zone)));
	}
	if (!local_to_instant(t, origin, &instant))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("origin of a tumbling window is out of range")));
	if (t->us != 0)
	{
		t->phase = instant % t->us;
		if (t->phase < 0)
			t->phase += t->us;
	}
}
