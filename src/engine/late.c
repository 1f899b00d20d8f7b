/*
 * late.c
 *	  Rows that come too late for their windows, or for some of them.
 */
#include "engine/internal.h"

#include "base/compat.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

/* The row counts in none of its windows. */
void
sp_late_reject(SpWindow *w, SpRowSet *rows, int i)
{
	if (rows->retract || rows->updated)
	{
		sp_retract_ignore(w);
		return;
	}
	w->late++;
	w->groups.any_dirty = true; /* the count is part of the state */
	if (w->stream->def->late_dead_letter)
		sp_output_dead(&w->output, rows, i, "late", NULL, NULL);
}

/* A time as the stream's type shows it. */
static const char *
show_time(const SpWindow *w, int64 time)
{
	switch (w->stream->def->time_type)
	{
		case DATEOID:
			return DatumGetCString(DirectFunctionCall1(date_out,
													   sp_result_time(time, DATEOID)));
		case TIMESTAMPOID:
			return DatumGetCString(DirectFunctionCall1(timestamp_out, TimestampGetDatum(time)));
		default:
			return DatumGetCString(DirectFunctionCall1(timestamptz_out, TimestampTzGetDatum(time)));
	}
}

/* It counts, or is taken back, but not in the windows that end from first to last. */
void
sp_late_partly(SpWindow *w, SpRowSet *rows, int i, int64 first, int64 last)
{
	const char *message;

	if (rows->retract || rows->updated)
	{
		sp_retract_ignore(w);
		return;
	}
	w->late++;
	w->groups.any_dirty = true;
	if (!w->stream->def->late_dead_letter || w->output.replaying)
		return;
	message = first == last ? psprintf("missed the window that ends at %s", show_time(w, first)) :
		psprintf("missed the windows that end from %s to %s", show_time(w, first),
				 show_time(w, last));
	sp_output_dead_partly(&w->output, rows, i, message, last);
}
