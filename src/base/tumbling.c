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
#include "utils/builtins.h"
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

char *
sp_tumbling_format_size(const Interval *size)
{
	return DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(size)));
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

/* The kth boundary of days or months, local; false when out of range. */
static bool
local_boundary(const SpTumbling *t, int64 k, int64 *local)
{
	if (t->months != 0)
		return month_boundary(t, k, local);
	return !pg_mul_s64_overflow(k, t->days * USECS_PER_DAY, local) &&
		!pg_add_s64_overflow(*local, t->origin, local);
}

/* The instant of the kth boundary; false when out of range. */
static bool
boundary(const SpTumbling *t, int64 k, int64 *instant)
{
	int64		local;

	return local_boundary(t, k, &local) && local_to_instant(t, local, instant);
}

/* The window of ts, and its number k: it lies between the boundaries k and k + 1. */
static bool
find_calendar(const SpTumbling *t, int64 ts, int64 *k, int64 *start, int64 *end)
{
	int64		local;
	int			steps;

	if (!instant_to_local(t, ts, &local))
		return false;
	if (t->months != 0)
		*k = divide_down(month_number(local) - month_number(t->origin), t->months);
	else if (!pg_sub_s64_overflow(local, t->origin, k))
		*k = divide_down(*k, t->days * USECS_PER_DAY);
	else
		return false;

	for (steps = 0; steps < MAX_STEPS; steps++)
	{
		if (!boundary(t, *k, start) || !boundary(t, *k + 1, end))
			return false;
		if (ts >= *start && ts < *end)
			return true;
		*k += ts < *start ? -1 : 1;
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
sp_tumbling_window(const SpTumbling *t, int64 ts, int64 *start, int64 *end)
{
	int64		k;

	if (TIMESTAMP_NOT_FINITE(ts))
	{
		*start = *end = ts;
		return true;
	}
	if (!IS_VALID_TIMESTAMP(ts))
		return false;
	return t->us != 0 ? find_absolute(t, ts, start, end) : find_calendar(t, ts, &k, start, end);
}

bool
sp_tumbling_find(SpTumbling *t, int64 ts, int64 *start, int64 *end)
{
	if (!sp_tumbling_window(t, ts, start, end))
		return false;
	if (!TIMESTAMP_NOT_FINITE(ts))
	{
		t->last_start = *start;
		t->last_end = *end;
	}
	return true;
}

bool
sp_tumbling_local_start(const SpTumbling *t, int64 ts, int64 *local)
{
	int64		k;
	int64		start;
	int64		end;

	return find_calendar(t, ts, &k, &start, &end) && local_boundary(t, k, local);
}

/*
 * May some of n windows between two boundaries be empty?  Only days can, which a zone
 * skips when it changes to the other side of the date line: then a whole day is missing.
 */
static bool
may_be_empty(const SpTumbling *t, int64 from, int64 to, int64 n)
{
	return t->zone != NULL && t->days == 1 &&
		(n < 0 ? -n : n) * USECS_PER_DAY - (to < from ? from - to : to - from) > USECS_PER_DAY / 2;
}

/* From a boundary to the next one, n times, or back. */
static bool
walk(const SpTumbling *t, int64 from, int64 n, int64 *to)
{
	int64		start = from;
	int64		end = from;

	for (; n > 0; n--)
	{
		if (!sp_tumbling_window(t, end, &start, &end))
			return false;
		*to = end;
	}
	for (; n < 0; n++)
	{
		if (!sp_tumbling_window(t, start - 1, &start, &end))
			return false;
		*to = start;
	}
	return true;
}

bool
sp_tumbling_move(const SpTumbling *t, int64 from, int64 n, int64 *to)
{
	int64		k;
	int64		start;
	int64		end;

	*to = from;
	if (n == 0 || TIMESTAMP_NOT_FINITE(from))
		return true;
	if (!IS_VALID_TIMESTAMP(from))
		return false;
	if (t->us != 0)
		return !pg_mul_s64_overflow(n, t->us, &k) && !pg_add_s64_overflow(from, k, to) &&
			IS_VALID_TIMESTAMP(*to);
	/* The window on the side that we go to, which is not empty. */
	if (!find_calendar(t, n < 0 ? from - 1 : from, &k, &start, &end) ||
		!boundary(t, k + (n < 0) + n, to))
		return false;
	return !may_be_empty(t, from, *to, n) || walk(t, from, n, to);
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
				 errmsg("size of a tumbling window %s: %s", problem,
						sp_tumbling_format_size(size))));
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
				 errmsg("origin of a window is out of range: %s",
						DatumGetCString(DirectFunctionCall1(timestamp_out,
															TimestampGetDatum(origin))))));
	if (t->us != 0)
	{
		t->phase = instant % t->us;
		if (t->phase < 0)
			t->phase += t->us;
	}
}
