/*
 * session_start.c
 *	  session_start(ts, gap) OVER (PARTITION BY key ORDER BY ts): the first time of the
 *	  session that a row is in.
 *
 * Rows less than gap apart are one session.  A row without a time is in none, and an
 * infinite time is a session of its own.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/timestamp.h"
#include "windowapi.h"

#include "base/compat.h"
#include "base/tumbling.h"
#include "catalog/definition.h"

/* Arguments. */
enum
{
	TS,
	GAP
};

/* The session of the partition's last row that had a time. */
typedef struct Session
{
	bool		exists;
	Interval	gap;			/* of the last call, and in microseconds */
	int64		gap_us;
	int64		start;
	int64		last;
} Session;

PG_FUNCTION_INFO_V1(sp_session_start);

static int64
get_gap(Session *session, const Interval *gap)
{
	int64		us;

	if (session->gap_us > 0 && memcmp(&session->gap, gap, sizeof(Interval)) == 0)
		return session->gap_us;
	us = sp_definition_interval_us(gap);
	if (INTERVAL_NOT_FINITE(gap) || gap->month != 0 || us <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("gap of sessions must be finite, positive and without months: %s",
						sp_tumbling_format_size(gap)),
				 errhint("Write it in days, or in hours and below.")));
	session->gap = *gap;
	session->gap_us = us;
	return us;
}

/* Are the times less than gap apart?  An infinite one is so from itself alone. */
static bool
is_near(int64 last, int64 time, int64 gap_us)
{
	if (TIMESTAMP_NOT_FINITE(last) || TIMESTAMP_NOT_FINITE(time))
		return last == time;
	/* Finite times are less than 2 ^ 64 apart. */
	return (uint64) time - (uint64) last < (uint64) gap_us;
}

/* The start of the session of the current row's time, which is not null. */
static int64
find_start(WindowObject window, int64 time, const Interval *gap)
{
	Session    *session = WinGetPartitionLocalMemory(window, sizeof(Session));
	int64		gap_us = get_gap(session, gap);

	if (session->exists && time < session->last)
		ereport(ERROR,
				(errcode(ERRCODE_WINDOWING_ERROR),
				 errmsg("session_start() needs rows in ascending order of time"),
				 errhint("Write OVER (PARTITION BY ... ORDER BY the time).")));
	if (!session->exists || !is_near(session->last, time, gap_us))
		session->start = time;
	session->exists = true;
	session->last = time;
	return session->start;
}

/* ts is a timestamptz, timestamp or date; a date counts as its midnight. */
Datum
sp_session_start(PG_FUNCTION_ARGS)
{
	WindowObject window = PG_WINDOW_OBJECT();
	bool		is_date = get_fn_expr_argtype(fcinfo->flinfo, TS) == DATEOID;
	bool		ts_is_null;
	bool		gap_is_null;
	Datum		ts = WinGetFuncArgCurrent(window, TS, &ts_is_null);
	Datum		gap = WinGetFuncArgCurrent(window, GAP, &gap_is_null);
	int64		start;

	if (ts_is_null || gap_is_null)
		PG_RETURN_NULL();
	if (is_date)
		ts = DirectFunctionCall1(date_timestamp, ts);
	start = find_start(window, DatumGetInt64(ts), DatumGetIntervalP(gap));
	return is_date ? DirectFunctionCall1(timestamp_date, TimestampGetDatum(start)) :
		Int64GetDatum(start);
}
