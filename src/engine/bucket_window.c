/*
 * bucket_window.c
 *	  Windows whose groups stand in buckets, one bucket for each window: tumbling and global
 *	  ones, and those that overlap where each change is to be seen (emit 'update'), so that a
 *	  row is in as many groups as it has windows.
 *
 * A bucket's life:
 *
 *	open		rows come
 *	final		the watermark has passed its end; within grace late rows still amend it
 *	sealed		the watermark has passed end + grace: what reads the window gets its rows
 *	purged		end + grace is behind the largest event time too, and every result row is
 *				written: its groups are forgotten
 *
 * Where there are many groups most of them stand on pages of the bucket's own, which may be
 * spilled: bucket_page.c.
 *
 * The watermark may be ahead of the data, when the clock moved it.  So a row newer than
 * all before it is never late: its bucket has not been purged.
 */
#include "engine/internal.h"

#include "base/compat.h"
#include "base/steps.h"
#include "engine/sample.h"
#include "miscadmin.h"
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
	if (w->def->window_kind == SP_WINDOW_TUMBLING)
		sp_tumbling_init(&w->tumbling, &w->def->size, w->def->origin, w->def->time_zone,
						 w->stream->def->time_type);
	else if (!is_global(w))
	{
		w->steps = palloc0(sizeof(SpSteps));
		sp_steps_init(w->steps, w->def->window_kind == SP_WINDOW_HOPPING ? SP_STEPS_HOPPING :
					  SP_STEPS_CUMULATIVE, &w->def->size, &w->def->slide, w->def->origin,
					  w->def->time_zone, w->stream->def->time_type);
	}
}

/* ---- where rows belong ---- */

/* Places of the rows of a rowset, as many as come. */
typedef struct Places
{
	SpPlacement *list;
	int			n;
	int			allocated;
} Places;

/* Row i belongs to that window. */
static void
add_place(Places *places, MemoryContext context, int i, int64 at, int64 start, int64 end)
{
	SpPlacement *p;

	if (places->n == places->allocated)
	{
		int			allocated = places->allocated * 2;
		SpPlacement *list = MemoryContextAlloc(context, sizeof(SpPlacement) * allocated);

		memcpy(list, places->list, sizeof(SpPlacement) * places->n);
		places->list = list;
		places->allocated = allocated;
	}
	p = &places->list[places->n++];
	p->row = i;
	p->at = at;
	p->start = start;
	p->end = end;
}

/* The row's window, or windows, can't be computed. */
static void
reject_time(SpWindow *w, SpRowSet *rows, int i)
{
	sp_output_dead(&w->output, rows, i, "time_range", "22008",
				   "the window of the row's event time is out of range");
}

/* Windows that partition the time. */
static void
find_window(SpWindow *w, SpRowSet *rows, int i, Places *places)
{
	int64		start = 0;
	int64		end = 0;

	if (!is_global(w))
	{
		if (!sp_tumbling_assign(&w->tumbling, rows->time[i], &start, &end))
		{
			reject_time(w, rows, i);
			return;
		}
		if (sp_clock_is_late(w, rows, rows->time[i], end))
		{
			sp_late_reject(w, rows, i);
			return;
		}
	}
	add_place(places, rows->context, i, start, start, end);
}

/* Windows of a row that overlap and take it no more, the first of them; but for lost ones. */
typedef struct Missed
{
	bool		any;
	int64		first_end;
	int64		last_end;
} Missed;

/* Windows that overlap, each known by its end. */
static void
find_windows(SpWindow *w, SpRowSet *rows, int i, Places *places, Missed *missed)
{
	int64		pane_start;
	int64		end;
	int64		last_end;
	bool		is_lost = false;	/* the last window is: they are lost from the first one on */

	if (!sp_steps_pane(w->steps, rows->time[i], &pane_start, &end) ||
		!sp_steps_last_end(w->steps, pane_start, &last_end))
	{
		reject_time(w, rows, i);
		return;
	}
	for (;;)
	{
		int64		start;

		is_lost = sp_clock_is_late(w, rows, rows->time[i], end);
		if (is_lost)
		{
			if (end > w->floor)
			{
				if (!missed->any)
					missed->first_end = end;
				missed->last_end = end;
				missed->any = true;
			}
		}
		else if (sp_steps_window_start(w->steps, end, &start))
			add_place(places, rows->context, i, end, start, end);
		if (end >= last_end || !sp_steps_next_end(w->steps, end, &end))
			break;
	}
	if (is_lost)
	{
		sp_late_reject(w, rows, i);
		missed->any = false;
	}
}

/* Row i, whose windows overlap. */
static void
place_in_windows(SpWindow *w, SpRowSet *rows, SpEvaluated *ev, int i, Places *places)
{
	int			before = places->n;
	uint64		counted;
	Missed		missed = {false};

	find_windows(w, rows, i, places, &missed);
	if (!missed.any)
		return;
	/* by itself, in its order: what it misses is told only if it counts elsewhere */
	sp_window_place(w, rows, ev, places->list, before);
	counted = w->rows + w->retracted;
	sp_window_place(w, rows, ev, places->list + before, places->n - before);
	if (w->rows + w->retracted > counted)
		sp_late_partly(w, rows, i, missed.first_end, missed.last_end);
	places->n = 0;
}

/* SpWindowOps.apply */
static void
apply_rows(SpWindow *w, SpRowSet *rows, SpEvaluated *ev)
{
	Places		places = {NULL, 0, rows->n};
	int			i;

	places.list = MemoryContextAlloc(rows->context, sizeof(SpPlacement) * rows->n);
	for (i = 0; i < rows->n; i++)
	{
		if (!ev->pass[i])
			continue;
		if (w->steps != NULL)
			place_in_windows(w, rows, ev, i, &places);
		else
			find_window(w, rows, i, &places);
	}
	sp_window_place(w, rows, ev, places.list, places.n);
}

/* SpWindowOps.added: in a final bucket the group becomes final at the commit's end. */
static void
group_added(SpWindow *w, SpGroup *group)
{
	if (w->output.lookup || w->output.replaying)
		group->flags |= SP_GROUP_WRITTEN;
	if (group->bucket != NULL)
		sp_bucket_reopen(&w->buckets, group->bucket);
}

/* SpWindowOps.changed: the result row and the state of a group. */
void
sp_bucket_window_changed(SpWindow *w, SpGroup *group)
{
	sp_group_changed(&w->groups, group);
	sp_sample_note(w, group);
	if (!w->def->emit_final || (group->flags & SP_GROUP_FINAL))
		sp_output_group(&w->output, group);
}

/* SpWindowOps.remove */
static void
remove_group(SpWindow *w, SpGroup *group)
{
	sp_group_changing(&w->groups, group);
	sp_window_release_value(w, group);
	if (w->groups.pages[group->page]->bucket != NULL)
		sp_bucket_page_leave(&w->groups, group);
	else if (group->bucket != NULL)
		sp_bucket_detach(group);
	sp_group_remove(&w->groups, group);
}

/* SpWindowOps.truncate: sealed groups are past grace, all others end. */
static void
truncate_windows(SpWindow *w)
{
	SpBuckets  *list = &w->buckets;
	dlist_mutable_iter iter;
	int			i;

	for (i = list->first; i < list->n; i++)
	{
		dlist_foreach_modify(iter, &list->array[i]->groups)
		{
			SpGroup    *group = dlist_container(SpGroup, node, iter.cur);

			if (group->flags & SP_GROUP_SEALED)
				continue;
			w->retracted += sp_window_tally(w, group)->rows;
			sp_output_gone(w, group);
		}
	}
	if (is_global(w))
		w->groups.any_dirty = true;
	else
		sp_retract_ignore(w);	/* past grace there may be rows that are forgotten here */
}

/* ---- closing ---- */

/* The window behind the bucket's. */
static bool
find_next(SpWindow *w, const SpBucket *bucket, int64 *at, int64 *start, int64 *end)
{
	if (w->steps == NULL)
	{
		if (!sp_tumbling_assign(&w->tumbling, bucket->end, start, end))
			return false;
		*at = *start;
		return true;
	}
	*at = *end = 0;
	if (!sp_steps_next_end(w->steps, bucket->end, end))
		return false;
	*at = *end;
	return sp_steps_window_start(w->steps, *end, start);
}

/* The watermark has passed the bucket's end. */
static void
finish_bucket(SpWindow *w, SpBucket *bucket)
{
	dlist_iter	iter;
	int64		at,
				start,
				end;

	bucket->final = true;
	dlist_foreach(iter, &bucket->groups)
	{
		SpGroup    *group = dlist_container(SpGroup, node, iter.cur);

		if (group->flags & SP_GROUP_FINAL)
			continue;
		sp_group_changing(&w->groups, group);
		group->flags |= SP_GROUP_FINAL;
		sp_bucket_window_changed(w, group);
	}
	sp_bucket_page_finish(w, bucket);
	if (w->def->fill_zero && find_next(w, bucket, &at, &start, &end))
		sp_fill_carry(w, bucket, at, start, end);
}

/* What finish_buckets() works on. */
typedef struct FinishWork
{
	SpWindow   *window;
	int64		watermark;
} FinishWork;

/* All whose end the watermark has passed; for sp_run_guarded(), and where nothing throws. */
static void
finish_buckets(void *arg)
{
	FinishWork *work = arg;
	SpWindow   *w = work->window;
	SpBuckets  *list = &w->buckets;
	int			i;

	for (;;)
	{
		SpBucket   *bucket;
		int64		at;

		CHECK_FOR_INTERRUPTS();
		i = Max(list->first_open, list->first);
		if (i >= list->n || list->array[i]->end > work->watermark)
			break;
		bucket = list->array[i];
		at = bucket->at;
		if (!bucket->final)
			finish_bucket(w, bucket);
		/* making the next one may have moved it */
		list->first_open = sp_bucket_position(list, at) + 1;
	}
}

/* SpWindowOps.close */
static void
close_windows(SpWindow *w, int64 watermark, XLogRecPtr lsn, TimestampTz time)
{
	SpBuckets  *list = &w->buckets;
	FinishWork	work = {w, watermark};
	ErrorData  *error;
	SpFeed		feed;
	int			i;

	if (is_global(w))
		return;
	/* keys that live on are looked up */
	if (w->native || !w->def->fill_zero)
		finish_buckets(&work);
	else if (!sp_run_guarded(w->expressions, w->result_context, finish_buckets, &work, &error))
	{
		sp_failure_window(w, error->message);
		return;
	}
	sp_result_feed_begin(&feed, w, lsn, time);
	for (i = Max(list->first_unsealed, list->first); i < list->first_open; i++)
	{
		SpBucket   *bucket = list->array[i];

		if (sp_clock_add(bucket->end, w->def->grace_us) > watermark)
			break;
		if (!bucket->sealed)
			sp_result_seal(&feed, bucket);
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
		sp_bucket_page_drop_all(&w->groups, bucket);
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
	*start = is_global(w) ? 0 : group->bucket->start;
	*end = is_global(w) ? 0 : group->bucket->end;
}

/* ---- loading ---- */

/* The bucket at a place, made when there is none. */
SpBucket *
sp_bucket_window_get(SpWindow *w, int64 at)
{
	int64		start = at;
	int64		end = at;

	if (w->steps != NULL)
		(void) sp_steps_window_start(w->steps, end, &start);
	else if (!is_global(w))
		(void) sp_tumbling_assign(&w->tumbling, at, &start, &end);
	return sp_bucket_get(&w->buckets, at, start, end);
}

/* Groups that stand in no bucket. */
static void
note_unwritten(SpWindow *w)
{
	int32		p;
	int			i;

	for (p = 1; p < w->groups.npages; p++)
	{
		SpPage	   *page = w->groups.pages[p];

		for (i = 0; page != NULL && i < SP_PAGE_GROUPS; i++)
		{
			SpGroup    *group = sp_page_group(&w->groups, page, i);

			if (group == NULL || !(group->flags & SP_GROUP_DIRTY))
				continue;
			group->flags &= ~SP_GROUP_DIRTY;
			sp_output_group(&w->output, group);
		}
	}
}

/* SpWindowOps.loaded: put the groups into their buckets, in order of creation. */
static void
all_loaded(SpWindow *w)
{
	List	   *loaded;
	ListCell   *lc;
	int			i;

	if (!sp_window_has_buckets(w))
	{
		note_unwritten(w);
		return;
	}
	loaded = sp_bucket_sorted_groups(&w->groups);
	foreach(lc, loaded)
	{
		SpGroup    *group = lfirst(lc);

		sp_bucket_attach(&w->buckets, sp_bucket_window_get(w, group->start), group);
		if (group->flags & SP_GROUP_DIRTY)
		{
			group->flags &= ~SP_GROUP_DIRTY;
			sp_output_group(&w->output, group);
		}
	}
	for (i = w->buckets.first; i < w->buckets.n; i++)
	{
		if (is_global(w))
			continue;
		sp_bucket_mark(w->buckets.array[i]);
		sp_bucket_page_all_loaded(w->buckets.array[i]);
	}
	list_free(loaded);
}

const SpWindowOps sp_bucket_window_ops = {
	.open = open_window,
	.apply = apply_rows,
	.truncate = truncate_windows,
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
