/*
 * bucket_window.c
 *	  Windows whose groups stand in buckets, one bucket for each window: tumbling, global.
 *
 * A bucket's life:
 *
 *	open		rows come
 *	final		the watermark has passed its end; within grace late rows still amend it
 *	sealed		the watermark has passed end + grace: what reads the window gets its rows
 *	purged		end + grace is behind the largest event time too, and every result row is
 *				written: its groups are forgotten
 *
 * The watermark may be ahead of the data, when the clock moved it.  So a row newer than
 * all before it is never late: its bucket has not been purged.
 */
#include "engine/internal.h"

#include "base/compat.h"
#include "utils/timestamp.h"

static inline bool
is_global(const SpWindow *w)
{
	return w->def->window_kind == SP_WINDOW_GLOBAL;
}

/* SpWindowOps.open */
static void
open_window(SpWindow *w)
{
	w->result_groups = &w->groups;
	sp_bucket_init(&w->buckets, w->context);
	if (!is_global(w))
		sp_tumbling_init(&w->tumbling, &w->def->size, w->def->origin, w->def->time_zone,
						 w->stream->def->time_type);
}

/* Where row i belongs; false: nowhere, and that is reported. */
static bool
find_window(SpWindow *w, SpRowSet *rows, int i, SpPlacement *p)
{
	int64		time = rows->time[i];

	p->row = i;
	if (is_global(w))
		p->at = p->start = p->end = 0;
	else if (!sp_tumbling_assign(&w->tumbling, time, &p->start, &p->end))
	{
		sp_output_dead(&w->output, rows, i, "time_range", "22008",
					   "the window of the row's event time is out of range");
		return false;
	}
	else if (sp_clock_is_late(w, rows, time, p->end))
	{
		sp_late_reject(w, rows, i);
		return false;
	}
	p->at = p->start;
	return true;
}

/* SpWindowOps.apply */
static void
apply_rows(SpWindow *w, SpRowSet *rows, SpEvaluated *ev)
{
	SpPlacement *placements = MemoryContextAlloc(rows->context, sizeof(SpPlacement) * rows->n);
	int			n = 0;
	int			i;

	for (i = 0; i < rows->n; i++)
	{
		if (ev->pass[i] && find_window(w, rows, i, &placements[n]))
			n++;
	}
	sp_window_place(w, rows, ev, placements, n);
}

/* SpWindowOps.added: in a final bucket the group becomes final at the commit's end. */
static void
group_added(SpWindow *w, SpGroup *group)
{
	if (w->output.lookup || w->output.replaying)
		group->flags |= SP_GROUP_WRITTEN;
	sp_bucket_reopen(&w->buckets, group->bucket);
}

/* SpWindowOps.changed: the result row and the state of a group. */
void
sp_bucket_window_changed(SpWindow *w, SpGroup *group)
{
	sp_group_changed(&w->groups, group);
	if (!w->def->emit_final || (group->flags & SP_GROUP_FINAL))
		sp_output_group(&w->output, group);
}

/* SpWindowOps.remove */
static void
remove_group(SpWindow *w, SpGroup *group)
{
	sp_window_release_value(w, group);
	sp_bucket_detach(group);
	sp_group_remove(&w->groups, group);
}

/* ---- closing ---- */

/* The watermark has passed the bucket's end. */
static void
finish_bucket(SpWindow *w, SpBucket *bucket)
{
	dlist_iter	iter;

	bucket->final = true;
	dlist_foreach(iter, &bucket->groups)
	{
		SpGroup    *group = dlist_container(SpGroup, node, iter.cur);

		if (group->flags & SP_GROUP_FINAL)
			continue;
		group->flags |= SP_GROUP_FINAL;
		sp_bucket_window_changed(w, group);
	}
}

/* Nothing amends it any more: whoever reads the window gets what is in it. */
static void
seal_bucket(SpWindow *w, SpBucket *bucket, SpFeed *feed)
{
	dlist_iter	iter;

	bucket->sealed = true;
	dlist_foreach(iter, &bucket->groups)
	{
		SpGroup    *group = dlist_container(SpGroup, node, iter.cur);

		if (group->flags & SP_GROUP_SEALED)
			continue;
		group->flags |= SP_GROUP_SEALED;
		sp_group_changed(&w->groups, group);
		sp_result_feed_group(feed, group);
	}
}

/* SpWindowOps.close */
static void
close_windows(SpWindow *w, int64 watermark, XLogRecPtr lsn, TimestampTz time)
{
	SpBuckets  *list = &w->buckets;
	SpFeed		feed;
	int			i;

	if (is_global(w))
		return;
	for (i = Max(list->first_open, list->first); i < list->n && list->array[i]->end <= watermark; i++)
	{
		if (!list->array[i]->final)
			finish_bucket(w, list->array[i]);
		list->first_open = i + 1;
	}
	sp_result_feed_begin(&feed, w, lsn, time);
	for (i = Max(list->first_unsealed, list->first); i < list->first_open; i++)
	{
		SpBucket   *bucket = list->array[i];

		if (sp_clock_add(bucket->end, w->def->grace_us) > watermark)
			break;
		if (!bucket->sealed)
			seal_bucket(w, bucket, &feed);
		list->first_unsealed = i + 1;
	}
	sp_result_feed_end(&feed);
}

/* SpWindowOps.purge */
static void
purge_windows(SpWindow *w, int64 data_watermark)
{
	SpBuckets  *list = &w->buckets;

	while (list->first < list->n)
	{
		SpBucket   *bucket = list->array[list->first];
		dlist_mutable_iter iter;

		if (!bucket->sealed || bucket->ndirty > 0 ||
			sp_clock_add(bucket->end, w->def->grace_us) > data_watermark)
			break;
		dlist_foreach_modify(iter, &bucket->groups)
			remove_group(w, dlist_container(SpGroup, node, iter.cur));
		(void) sp_bucket_shift(list);
	}
}

/* SpWindowOps.next_due */
static int64
next_due(const SpWindow *w)
{
	const SpBuckets *list = &w->buckets;
	int			open = Max(list->first_open, list->first);
	int			unsealed = Max(list->first_unsealed, list->first);
	int64		due = DT_NOEND;

	if (is_global(w))
		return DT_NOEND;
	if (open < list->n)
		due = list->array[open]->end;
	if (unsealed < list->n && sp_result_is_read(w))
		due = Min(due, sp_clock_add(list->array[unsealed]->end, w->def->grace_us));
	return due;
}

/* SpWindowOps.bounds */
static void
get_bounds(SpWindow *w, SpGroup *group, int64 *start, int64 *end)
{
	*start = group->bucket->start;
	*end = group->bucket->end;
}

/* ---- loading ---- */

/* SpWindowOps.loaded: put the groups into their buckets, in order of creation. */
static void
all_loaded(SpWindow *w)
{
	List	   *loaded = sp_bucket_sorted_groups(&w->groups);
	ListCell   *lc;
	int			i;

	foreach(lc, loaded)
	{
		SpGroup    *group = lfirst(lc);
		int64		start = group->start;
		int64		end = group->start;

		if (!is_global(w))
			(void) sp_tumbling_assign(&w->tumbling, group->start, &start, &end);
		sp_bucket_attach(&w->buckets, sp_bucket_get(&w->buckets, group->start, start, end), group);
		if (group->flags & SP_GROUP_DIRTY)
		{
			group->flags &= ~SP_GROUP_DIRTY;
			sp_output_group(&w->output, group);
		}
	}
	for (i = w->buckets.first; i < w->buckets.n; i++)
	{
		if (!is_global(w))
			sp_bucket_mark(w->buckets.array[i]);
	}
	list_free(loaded);
}

const SpWindowOps sp_bucket_window_ops = {
	.open = open_window,
	.apply = apply_rows,
	.close = close_windows,
	.purge = purge_windows,
	.next_due = next_due,
	.bounds = get_bounds,
	.added = group_added,
	.changed = sp_bucket_window_changed,
	.remove = remove_group,
	.write_value = sp_window_write_value,
	.read_value = sp_window_read_value,
	.loaded = all_loaded
};
