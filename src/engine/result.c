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
#include "engine/sample.h"
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
	/* a sliding one ends with the event that it answers */
	if (w->def->window_kind == SP_WINDOW_SLIDING)
		return end;
	return TIMESTAMP_NOT_FINITE(end) ? end : end - 1;
}

/* That of a running total: as far as the stream has come. */
static int64
total_time(const SpWindow *w, TimestampTz now)
{
	const SpStream *s = w->stream;

	return s->max_time != PG_INT64_MIN ? s->max_time :
		sp_time_from_utc(now, s->def->time_type, s->zone);
}

/* The result row of one group; of one that is gone only what tells it from the others. */
static void
make_row(SpWindow *w, SpGroup *group, Datum *values, bool *nulls)
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
	memset(nulls + n, true, w->nshown);
	for (i = 0; i < w->nshown && !(group->flags & SP_GROUP_GONE); i++)
		values[n + i] = sp_aggregate_result(w->aggs[i],
											sp_group_value(&w->groups, group) + w->agg_offset[i],
											&nulls[n + i]);
	n += w->nshown;
	values[n] = BoolGetDatum((group->flags & SP_GROUP_FINAL) != 0);
	nulls[n++] = false;
	/* a row that is written already has its number */
	values[n] = Int32GetDatum(group->revision + (sp_output_has(&w->output, group) ? 1 : 0));
	nulls[n] = false;
}

/* Do results run what a user wrote, with the owner's rights, which may throw? */
static inline bool
runs_user_code(const SpWindow *w)
{
	return !w->native || w->having != NULL;
}

/* Are there rows in it that were not taken back? */
static inline bool
has_rows(SpWindow *w, SpGroup *group)
{
	return !w->retracts || !w->has_tally || sp_window_tally(w, group)->rows > 0;
}

/*
 * The result rows of n groups, w->natts columns each, by-reference values in the current
 * memory context.  Groups that HAVING leaves out become absent, the others present.  May
 * throw what a user's function throws.
 */
void
sp_result_rows(SpWindow *w, SpGroup **groups, int n, Datum *values, bool *nulls)
{
	SpUserContext user;
	int			i;

	if (runs_user_code(w))
		sp_user_enter(&user, w->expressions->owner, w->expressions->settings);
	for (i = 0; i < n; i++)
	{
		Datum	   *row = values + (Size) i * w->natts;
		bool	   *row_nulls = nulls + (Size) i * w->natts;

		make_row(w, groups[i], row, row_nulls);
		if (groups[i]->flags & SP_GROUP_GONE)
			continue;
		if (has_rows(w, groups[i]) && sp_having_passes(w, groups[i], row, row_nulls))
			groups[i]->flags &= ~SP_GROUP_ABSENT;
		else
			groups[i]->flags |= SP_GROUP_ABSENT;
	}
	if (runs_user_code(w))
		sp_user_leave(&user, true);
}

/* Does anybody read the window? */
bool
sp_result_is_read(const SpWindow *w)
{
	return w->detectors != NIL || w->windows != NIL || sp_starting_reads(w);
}

/* Rows that the event at lsn seals follow. */
void
sp_result_feed_begin(SpFeed *feed, SpWindow *w, XLogRecPtr lsn, TimestampTz time)
{
	feed->window = w;
	feed->wanted = sp_result_is_read(w);
	feed->provisional = false;
	feed->lsn = lsn;
	feed->time = time;
	feed->n = 0;
}

/* An empty rowset for rows of the window that are made within the event at lsn. */
void
sp_result_begin_rows(SpWindow *w, SpRowSet *rows, int capacity, XLogRecPtr lsn, TimestampTz time)
{
	if (w->feed_lsn != lsn)
		w->feed_ordinal = 0;
	w->feed_lsn = lsn;
	MemoryContextReset(w->result_context);
	sp_rowset_init(rows, w->result_context, w->natts, capacity);
	rows->time_type = w->stream->def->time_type;
	rows->zone = w->stream->zone;
	rows->lsn = lsn;
	rows->commit_time = time;
	rows->desc = w->result_desc;
	rows->first_ordinal = w->feed_ordinal;
}

/* What make_rows() works on. */
typedef struct RowsWork
{
	SpFeed	   *feed;
	SpRowSet   *rows;
} RowsWork;

/* For sp_run_guarded(), and for windows where nothing throws. */
static void
make_rows(void *arg)
{
	RowsWork   *work = arg;
	SpFeed	   *feed = work->feed;

	sp_result_rows(feed->window, feed->groups, feed->n, work->rows->values, work->rows->nulls);
}

/* Row i of the groups is among the rows, unless the group is absent. */
static void
keep_row(SpFeed *feed, SpRowSet *rows, int i)
{
	SpWindow   *w = feed->window;
	int			n = rows->n;
	int64		start;
	int64		end;

	if (feed->groups[i]->flags & SP_GROUP_ABSENT)
		return;
	memmove(rows->values + (Size) n * w->natts, rows->values + (Size) i * w->natts,
			sizeof(Datum) * w->natts);
	memmove(rows->nulls + (Size) n * w->natts, rows->nulls + (Size) i * w->natts,
			sizeof(bool) * w->natts);
	w->ops->bounds(w, feed->groups[i], &start, &end);
	rows->time[n] = w->def->window_kind == SP_WINDOW_GLOBAL ? total_time(w, feed->time) :
		sp_result_event_time(w, end);
	if (rows->origin != NULL)
		sp_sample_describe(w, feed->groups[i], end, &rows->origin[n]);
	rows->no_time[n] = false;
	rows->n++;
}

/* The rows of the groups that have gathered; false: the window has failed. */
static bool
fill_rows(SpFeed *feed, SpRowSet *rows)
{
	SpWindow   *w = feed->window;
	RowsWork	work = {feed, rows};
	MemoryContext old;
	ErrorData  *error;
	int			i;

	sp_result_begin_rows(w, rows, feed->n, feed->lsn, feed->time);
	rows->provisional = feed->provisional;
	if (w->samples != NULL)
		rows->origin = MemoryContextAlloc(rows->context, sizeof(SpOrigin) * feed->n);
	if (!runs_user_code(w))
	{
		old = MemoryContextSwitchTo(rows->context);
		make_rows(&work);
		MemoryContextSwitchTo(old);
	}
	else if (!sp_run_patiently(w->expressions, rows->context, make_rows, &work, &error))
	{
		sp_failure_window(w, error->message);
		return false;
	}
	for (i = 0; i < feed->n; i++)
		keep_row(feed, rows, i);
	return true;
}

/* Hand over rows that are ready. */
void
sp_result_feed_rows(SpWindow *w, SpRowSet *rows)
{
	ListCell   *lc;

	if (rows->n == 0)
		return;
	foreach(lc, w->windows)
	{
		SpWindow   *downstream = lfirst(lc);

		if (!rows->provisional && sp_clock_takes(&downstream->def->o, rows->lsn))
			sp_window_apply(downstream, rows);
	}
	foreach(lc, w->detectors)
	{
		SpDetector *d = lfirst(lc);

		if ((!rows->provisional || d->def->sample_update) &&
			sp_clock_takes(&d->def->o, rows->lsn))
			sp_detector_apply(d, rows);
	}
	if (!rows->provisional)
		sp_starting_keep_rows(w, rows);
	w->feed_ordinal += rows->n;
}

/* Hand over the rows of the groups that have gathered. */
static void
flush(SpFeed *feed)
{
	SpRowSet	rows;

	if (feed->n == 0 || !fill_rows(feed, &rows))
		return;
	sp_result_feed_rows(feed->window, &rows);
	feed->n = 0;
	sp_spill_run();
}

/* The row of a group. */
void
sp_result_feed_group(SpFeed *feed, SpGroup *group)
{
	if (!feed->wanted)
		return;
	if (feed->n == SP_ROWSET_MAX)
		flush(feed);
	if (feed->window->def->o.state != SP_STATE_FAILED)
		feed->groups[feed->n++] = group;
}

/* The groups of a page that is a bucket's own; it comes back only if somebody reads them. */
static void
seal_page(SpFeed *feed, SpPage *page)
{
	SpGroups   *groups = feed->window->result_groups;
	int			i;

	if (page->nsealed == page->ntotal)
		return;
	/* not amid the page, which might go then */
	if (feed->n + SP_PAGE_GROUPS > SP_ROWSET_MAX)
		flush(feed);
	if (feed->wanted && page->spilled_size > 0)
		sp_spill_bring_page(groups, page);
	for (i = 0; feed->wanted && i < SP_PAGE_GROUPS; i++)
	{
		SpGroup    *group = sp_page_group(groups, page, i);

		if (group != NULL && !(group->flags & SP_GROUP_SEALED))
			sp_result_feed_group(feed, group);
	}
	sp_group_mark_page(groups, page, SP_PAGE_SEALED);
	page->nsealed = page->ntotal;
}

/* Nothing amends what is in the bucket any more: whoever reads the window gets each row, once. */
void
sp_result_seal(SpFeed *feed, SpBucket *bucket)
{
	SpGroups   *groups = feed->window->result_groups;
	dlist_iter	iter;
	int			i;

	bucket->sealed = true;
	dlist_foreach(iter, &bucket->groups)
	{
		SpGroup    *group = dlist_container(SpGroup, node, iter.cur);

		if (group->flags & SP_GROUP_SEALED)
			continue;
		sp_group_changing(groups, group);
		group->flags |= SP_GROUP_SEALED;
		sp_group_changed(groups, group);
		sp_result_feed_group(feed, group);
	}
	for (i = bucket->first_unsealed_page; i < bucket->npages; i++)
	{
		if (feed->window->def->o.state == SP_STATE_FAILED)
			return;
		seal_page(feed, bucket->pages[i]);
	}
	bucket->first_unsealed_page = Max(0, bucket->npages - 1);
}

/* That was all. */
void
sp_result_feed_end(SpFeed *feed)
{
	flush(feed);
	feed->n = 0;
}
