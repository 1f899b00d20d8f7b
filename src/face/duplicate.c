/*
 * duplicate.c
 *	  is_duplicate(ts, within) OVER (PARTITION BY key ORDER BY ts): the dedup_key of a stream in
 *	  plain SQL.
 *
 * A row is a duplicate when its time is less than within from that of the last row of its
 * partition that was none.  NULL and infinite times never are, and don't count: see
 * engine/dedup.c.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "common/int.h"
#include "fmgr.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"
#include "windowapi.h"

#include "base/compat.h"
#include "base/tumbling.h"
#include "catalog/definition.h"

/* Of a partition. */
typedef struct DuplicateState
{
	bool		any;
	int64		last;			/* time of the last row that was no duplicate */
	int64		newest;			/* and of the last one that has any */
} DuplicateState;

PG_FUNCTION_INFO_V1(sp_is_duplicate);

/* The distance that makes duplicates. */
static int64
get_within(WindowObject window)
{
	bool		isnull;
	Datum		value = WinGetFuncArgCurrent(window, 1, &isnull);
	Interval   *interval = isnull ? NULL : DatumGetIntervalP(value);
	int64		within = isnull ? 0 : sp_definition_interval_us(interval);

	if (within <= 0 || interval->month != 0 || INTERVAL_NOT_FINITE(interval))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"within\" must be finite, positive and without months: %s",
						isnull ? "NULL" : sp_tumbling_format_size(interval)),
				 errhint("For example, '1 hour'.")));
	return within;
}

/* Is the current row, of that time, a duplicate?  Remembers it when it isn't. */
static bool
is_duplicate(WindowObject window, int64 time)
{
	DuplicateState *state = WinGetPartitionLocalMemory(window, sizeof(DuplicateState));
	int64		within = get_within(window);
	int64		distance;

	WinSetMarkPosition(window, WinGetCurrentPosition(window));
	if (TIMESTAMP_NOT_FINITE(time))
		return false;
	if (state->any && time < state->newest)
		ereport(ERROR,
				(errcode(ERRCODE_WINDOWING_ERROR),
				 errmsg("is_duplicate() needs rows in ascending order of time"),
				 errhint("Write OVER (PARTITION BY key ORDER BY the time).")));
	state->newest = time;
	if (state->any &&
		!pg_sub_s64_overflow(time, state->last, &distance) &&
		distance < within)
		return true;
	state->any = true;
	state->last = time;
	return false;
}

/* A date that no timestamp can hold is as far away as infinity, for streams as well. */
static int64
date_to_time(DateADT date)
{
	if (DATE_NOT_FINITE(date) || date >= TIMESTAMP_END_JULIAN - POSTGRES_EPOCH_JDATE)
		return DT_NOEND;
	return (int64) date * USECS_PER_DAY;
}

/* ts is a timestamptz, timestamp or date. */
Datum
sp_is_duplicate(PG_FUNCTION_ARGS)
{
	WindowObject window = PG_WINDOW_OBJECT();
	bool		isnull;
	Datum		ts = WinGetFuncArgCurrent(window, 0, &isnull);

	if (isnull)
		PG_RETURN_BOOL(is_duplicate(window, DT_NOBEGIN));
	if (get_fn_expr_argtype(fcinfo->flinfo, 0) == DATEOID)
		PG_RETURN_BOOL(is_duplicate(window, date_to_time(DatumGetDateADT(ts))));
	PG_RETURN_BOOL(is_duplicate(window, DatumGetInt64(ts)));
}
