/*
 * result.c
 *	  Result rows of windows, and handing them to what reads a window.
 *
 * Detectors and windows that read a window get each of its rows once, when it is sealed,
 * within the event that sealed it and before their own clock moves.
 */
#include "engine/internal.h"

#include "base/compat.h"
#include "catalog/pg_type.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* A time as a datum of a result column's type. */
Datum
sp_result_time(int64 time, Oid type)
{
	if (type != DATEOID)
		return Int64GetDatum(time);
	return DirectFunctionCall1(timestamp_date, TimestampGetDatum(time));
}

/* The event time of a result row, for what reads it: the last microsecond of its window. */
int64
sp_result_event_time(const SpWindow *w, int64 end)
{
	return TIMESTAMP_NOT_FINITE(end) ? end : end - 1;
}

/* The result row of a group, by-reference values in the current memory context. */
void
sp_result_row(SpWindow *w, SpGroup *group, Datum *values, bool *nulls)
{
	int			n = 0;
	int			i;

	if (w->def->window_kind != SP_WINDOW_GLOBAL)
	{
		int64		start;
		int64		end;

		w->ops->bounds(w, group, &start, &end);
		values[0] = sp_result_time(start, w->types[0]);
		values[1] = sp_result_time(end, w->types[1]);
		nulls[0] = nulls[1] = false;
		n = 2;
	}
	for (i = 0; i < w->nkeys; i++, n++)
	{
		values[n] = sp_group_keys(&w->groups, group)[i];
		nulls[n] = sp_group_nulls(&w->groups, group)[i];
	}
	for (i = 0; i < w->naggs; i++, n++)
		values[n] = sp_aggregate_result(w->aggs[i], sp_group_value(&w->groups, group) + w->agg_offset[i],
										&nulls[n]);
	values[n] = BoolGetDatum((group->flags & SP_GROUP_FINAL) != 0);
	nulls[n++] = false;
	values[n] = Int32GetDatum(group->revision + 1);
	nulls[n] = false;
}

/* Does anybody read the window? */
bool
sp_result_is_read(const SpWindow *w)
{
	return w->detectors != NIL || w->windows != NIL || sp_starting_reads(w);
}

/* An empty rowset of result rows. */
static void
begin_rows(SpFeed *feed)
{
	SpWindow   *w = feed->window;

	MemoryContextReset(w->result_context);
	sp_rowset_init(&feed->rows, w->result_context, w->natts, SP_ROWSET_MAX);
	feed->rows.time_type = w->stream->def->time_type;
	feed->rows.zone = w->stream->zone;
	feed->rows.lsn = feed->lsn;
	feed->rows.commit_time = feed->time;
	feed->rows.desc = w->result_desc;
}

/* Rows that the event at lsn seals follow. */
void
sp_result_feed_begin(SpFeed *feed, SpWindow *w, XLogRecPtr lsn, TimestampTz time)
{
	feed->window = w;
	feed->wanted = sp_result_is_read(w);
	feed->lsn = lsn;
	feed->time = time;
	feed->rows.n = 0;
	if (!feed->wanted)
		return;
	if (w->feed_lsn != lsn)
		w->feed_ordinal = 0;
	w->feed_lsn = lsn;
	begin_rows(feed);
}

/* Hand over the rows that have gathered. */
static void
flush(SpFeed *feed)
{
	SpWindow   *w = feed->window;
	ListCell   *lc;

	if (feed->rows.n == 0)
		return;
	feed->rows.first_ordinal = w->feed_ordinal;
	foreach(lc, w->windows)
	{
		SpWindow   *downstream = lfirst(lc);

		if (sp_clock_takes(&downstream->def->o, feed->lsn))
			sp_window_apply(downstream, &feed->rows);
	}
	foreach(lc, w->detectors)
	{
		SpDetector *d = lfirst(lc);

		if (sp_clock_takes(&d->def->o, feed->lsn))
			sp_detector_apply(d, &feed->rows);
	}
	sp_starting_keep_rows(w, &feed->rows);
	w->feed_ordinal += feed->rows.n;
}

/* The row of a group. */
void
sp_result_feed_group(SpFeed *feed, SpGroup *group)
{
	SpWindow   *w = feed->window;
	SpRowSet   *rows = &feed->rows;
	MemoryContext old;
	int64		start;
	int64		end;

	if (!feed->wanted)
		return;
	if (rows->n == SP_ROWSET_MAX)
	{
		flush(feed);
		begin_rows(feed);
	}
	w->ops->bounds(w, group, &start, &end);
	old = MemoryContextSwitchTo(rows->context);
	sp_result_row(w, group, rows->values + (Size) rows->n * rows->natts,
				  rows->nulls + (Size) rows->n * rows->natts);
	rows->time[rows->n] = sp_result_event_time(w, end);
	rows->no_time[rows->n] = false;
	rows->n++;
	MemoryContextSwitchTo(old);
}

/* That was all. */
void
sp_result_feed_end(SpFeed *feed)
{
	flush(feed);
	feed->rows.n = 0;
}
