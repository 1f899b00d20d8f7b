/*
 * tumbling.h
 *	  Which tumbling window does a time fall into?  The one definition of it, for
 *	  the engine and for streamproc.tumble() alike.
 *
 * Times are int64 microseconds as PostgreSQL counts them: of a timestamptz column
 * UTC, of a timestamp column local (the time zone then plays no part), of a date
 * column the local midnight.
 *
 * A size has either months, or days, or microseconds.  Boundaries:
 *
 *	microseconds	origin + k * size; the origin is local to time_zone, and
 *					becomes an instant first
 *	days, months	origin + k * size in local time, each then becomes the instant that
 *					"local AT TIME ZONE time_zone" gives: days have 23 or 25 hours
 *					around a change of the clocks
 *
 * Windows are [start, end), and partition the time.  An infinite time is a window of
 * its own, whose start and end are that infinity, as in date_bin().
 */
#ifndef SP_TUMBLING_H
#define SP_TUMBLING_H

#include "datatype/timestamp.h"
#include "pgtime.h"

/* Origins when none is given: a Monday, and for months the beginning of a year. */
#define SP_TUMBLING_ORIGIN			(INT64CONST(2) * USECS_PER_DAY)	/* 2000-01-03 */
#define SP_TUMBLING_ORIGIN_MONTHS	INT64CONST(0)	/* 2000-01-01 */

typedef struct SpTumbling
{
	/* definition; one of months, days, us is positive, the others are 0 */
	int32		months;
	int32		days;
	int64		us;
	Timestamp	origin;			/* local */
	pg_tz	   *zone;			/* NULL: times are local */
	int64		phase;			/* us: the origin modulo us, 0 <= phase < us */

	/* the window of the last call; start > end: there was none */
	int64		last_start;
	int64		last_end;
} SpTumbling;

/*
 * Raises an error when the size isn't one of the three forms and positive, the zone is
 * unknown or the origin infinite.  time_type: TIMESTAMPTZOID, TIMESTAMPOID or DATEOID.
 */
extern void sp_tumbling_init(SpTumbling *t, const Interval *size, Timestamp origin,
							 const char *time_zone, Oid time_type);

/* NULL when size is a valid one, else what is wrong with it: a sentence's end. */
extern const char *sp_tumbling_check_size(const Interval *size);

/* The size as SQL writes it, for messages. */
extern char *sp_tumbling_format_size(const Interval *size);

/* The time zone of that name, or NULL.  Lives as long as the process. */
extern pg_tz *sp_tumbling_zone(const char *name);

/* The window of ts; false when a boundary is out of the range of timestamps. */
extern bool sp_tumbling_window(const SpTumbling *t, int64 ts, int64 *start, int64 *end);

/* The start of the window of ts in local time, for sizes of days and months. */
extern bool sp_tumbling_local_start(const SpTumbling *t, int64 ts, int64 *local);

/*
 * The boundary that is n windows behind a boundary, or before it when n is negative; false
 * when it is out of range.  Days that a time zone skipped are none.
 */
extern bool sp_tumbling_move(const SpTumbling *t, int64 from, int64 n, int64 *to);

/* The same as sp_tumbling_window(), and remember it. */
extern bool sp_tumbling_find(SpTumbling *t, int64 ts, int64 *start, int64 *end);

/* The same, quickly for times in the window of the last one. */
static inline bool
sp_tumbling_assign(SpTumbling *t, int64 ts, int64 *start, int64 *end)
{
	if (ts < t->last_start || ts >= t->last_end)
		return sp_tumbling_find(t, ts, start, end);
	*start = t->last_start;
	*end = t->last_end;
	return true;
}

#endif
