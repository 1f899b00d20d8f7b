/*
 * pane.c
 *	  Hopping and cumulative windows that appear when they are closed.
 *
 * A row goes into one pane, however many windows the pane is part of (base/steps.h); the
 * groups of w->groups are panes by key.  When the watermark passes the end of a window, the
 * panes of each key make a result, a group of w->results, which is final from the start:
 *
 *	rows -> panes (w->groups, w->buckets) -> results (w->results, w->closed)
 *
 * Both are known by their end, and durable: panes for what comes, results until they are
 * written and past grace.  The rest is derived: keys (pane_key.c), and what their panes make
 * together (pane_total.c).  How windows are closed is in pane_close.c.
 *
 * w->closed_until is the watermark up to which windows have been closed.  A pane that gets a
 * row after one of its windows was closed (within grace, or because only the clock closed
 * it) is amended: at the commit's end the windows concerned are computed again.
 *
 * A row that is late in some of its windows counts in the others; the former take no more
 * rows from then on, whatever their time: the pane has a row now that they must not have.
 * That is w->spoiled.  Windows that have lost rows (w->floor) never appear.
 *
 * Keys are visited in the order of their turns, which they get when they first have a pane
 * in a window that is closed, and lose when they have none any more; turns are durable with
 * the panes, so that after a restart results come in the same order.
 */
#include "engine/pane.h"

#include "base/compat.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* SpWindowOps.open */
static void
open_panes(SpWindow *w)
{
	SpPanes    *panes = palloc0(sizeof(SpPanes));
	int			a;

	panes->context = AllocSetContextCreate(w->context, "streamproc panes", ALLOCSET_DEFAULT_SIZES);
	w->steps = palloc0(sizeof(SpSteps));
	sp_steps_init(w->steps, w->def->window_kind == SP_WINDOW_HOPPING ? SP_STEPS_HOPPING :
				  SP_STEPS_CUMULATIVE, &w->def->size, &w->def->slide, w->def->origin,
				  w->def->time_zone, w->stream->def->time_type);
	dlist_init(&panes->listed);
	dlist_init(&panes->stale);
	panes->window_start = panes->front_end = PG_INT64_MIN;
	for (a = 0; a < w->naggs; a++)
		panes->walks |= sp_aggregate_is_kept(w->aggs[a]);
	w->panes = panes;
	sp_bucket_init(&w->buckets, w->context);
	sp_bucket_init(&w->closed, w->context);
	sp_group_init(&w->results,
				  AllocSetContextCreate(w->context, "streamproc results", ALLOCSET_DEFAULT_SIZES),
				  w->nkeys, w->evaluated, w->value_size);
	w->groups.unhashed = w->results.unhashed = true;
	panes->has_only_key = w->nkeys == 1 && w->groups.keys[0].bitwise;
	w->results.first_page = SP_RESULT_PAGES;
	w->result_groups = &w->results;
	w->closed_until = SP_NO_WATERMARK;
}

/* ---- rows ---- */

/* Place row i, which misses the windows that end no later than missed. */
static void
place_partly(SpWindow *w, SpRowSet *rows, SpEvaluated *ev, int i, const SpPlacement *p,
			 int64 missed)
{
	uint64		before = w->rows + w->retracted;
	int64		first = p->end;

	sp_window_place(w, rows, ev, p, 1);
	if (w->rows + w->retracted == before)
		return;					/* it counts nowhere, and that is reported */
	if (missed <= w->floor)
		return;					/* they appear nowhere */
	w->spoiled = Max(w->spoiled, missed);
	while (first <= w->floor && sp_steps_next_end(w->steps, first, &first))
		;
	sp_late_partly(w, rows, i, first, missed);
}

/* The last window that takes nothing of row i, which is in the pane; PG_INT64_MIN: all take it. */
static int64
last_missed(SpWindow *w, SpRowSet *rows, int i, const SpPlacement *p, int64 last_end)
{
	int64		missed = PG_INT64_MIN;
	int64		end = p->end;

	while (sp_clock_is_late(w, rows, rows->time[i], end))
	{
		missed = end;
		if (end >= last_end || !sp_steps_next_end(w->steps, end, &end))
			break;
	}
	return missed;
}

/* SpWindowOps.apply */
static void
apply_rows(SpWindow *w, SpRowSet *rows, SpEvaluated *ev)
{
	SpSteps    *steps = w->steps;
	SpPlacement *placements = MemoryContextAlloc(rows->context, sizeof(SpPlacement) * rows->n);
	int64		watermark = sp_clock_watermark(w);
	int			n = 0;
	int			i;

	for (i = 0; i < rows->n; i++)
	{
		SpPlacement *p = &placements[n];
		int64		last_end = 0;
		int64		missed;

		if (!ev->pass[i])
			continue;
		p->row = i;
		/* no pane is before the first one that is closed */
		if (rows->time[i] == DT_NOBEGIN ||
			!sp_steps_pane(steps, rows->time[i], &p->start, &p->end))
		{
			sp_output_dead(&w->output, rows, i, "time_range", "22008",
						   "a window of the row's event time is out of range");
			continue;
		}
		p->at = p->end;
		if ((p->end > watermark && p->end > w->floor && p->end > w->spoiled) ||
			!sp_steps_last_end(steps, p->start, &last_end) ||
			(missed = last_missed(w, rows, i, p, last_end)) == PG_INT64_MIN)
		{
			n++;
			continue;
		}
		if (missed >= last_end)
		{
			sp_late_reject(w, rows, i);
			continue;
		}
		/* rows in their order */
		sp_window_place(w, rows, ev, placements, n);
		placements[0] = *p;
		n = 0;
		place_partly(w, rows, ev, i, &placements[0], missed);
	}
	sp_window_place(w, rows, ev, placements, n);
}

/* SpWindowOps.added */
static void
pane_added(SpWindow *w, SpGroup *pane)
{
	SpPaneHead *head = sp_pane_head(w, pane);

	sp_pane_key_link(w, w->panes->found, pane);
	head->turn = head->key->is_listed ? head->key->turn : 0;
}

/* SpWindowOps.changed */
static void
pane_changed(SpWindow *w, SpGroup *pane)
{
	SpPanes    *panes = w->panes;
	SpPaneHead *head = sp_pane_head(w, pane);

	sp_group_changed(&w->groups, pane);
	if (pane->bucket->end > w->closed_until || head->is_amended)
		return;
	if (panes->namended == panes->amended_allocated)
	{
		int			allocated = Max(64, panes->amended_allocated * 2);
		SpGroup   **amended = MemoryContextAlloc(panes->context, sizeof(SpGroup *) * allocated);

		memcpy(amended, panes->amended, sizeof(SpGroup *) * panes->namended);
		if (panes->amended != NULL)
			pfree(panes->amended);
		panes->amended = amended;
		panes->amended_allocated = allocated;
	}
	panes->amended[panes->namended++] = pane;
	head->is_amended = true;
	sp_pane_key_spoil(w, head->key);
}

/* SpWindowOps.remove: a pane */
static void
remove_pane(SpWindow *w, SpGroup *pane)
{
	sp_group_changing(&w->groups, pane);
	sp_pane_key_unlink(w, pane);
	sp_window_release_value(w, pane);
	sp_bucket_detach(pane);
	sp_group_remove(&w->groups, pane);
}

/* SpWindowOps.truncate: windows past grace stay as they are, and so take no more rows. */
static void
truncate_panes(SpWindow *w)
{
	SpBuckets  *list = &w->buckets;
	int64		past = sp_clock_behind(sp_clock_watermark(w), w->def->grace_us);
	int			i;

	w->spoiled = Max(w->spoiled, past);
	sp_retract_ignore(w);		/* past grace there may be rows that are forgotten here */
	for (i = list->first; i < list->n; i++)
	{
		SpBucket   *bucket = list->array[i];
		int64		last_end;
		dlist_iter	iter;

		if (!sp_steps_last_end(w->steps, bucket->start, &last_end) || last_end <= past)
			continue;
		dlist_foreach(iter, &bucket->groups)
		{
			SpGroup    *pane = dlist_container(SpGroup, node, iter.cur);

			sp_group_changing(&w->groups, pane);
			w->retracted += sp_window_tally(w, pane)->rows;
			sp_window_tally(w, pane)->rows = 0;
			sp_window_release_value(w, pane);
			sp_window_init_value(w, pane);
			pane_changed(w, pane);
		}
	}
}

/* SpWindowOps.purge */
static void
purge(SpWindow *w, int64 data_watermark)
{
	SpBuckets  *list = &w->buckets;
	dlist_mutable_iter iter;

	sp_pane_forget_results(w, data_watermark);
	while (list->first < list->n)
	{
		SpBucket   *bucket = list->array[list->first];
		int64		last_end;

		if (!sp_steps_last_end(w->steps, bucket->start, &last_end) ||
			last_end > w->closed_until ||
			sp_clock_add(last_end, w->def->grace_us) > data_watermark)
			break;
		dlist_foreach_modify(iter, &bucket->groups)
			remove_pane(w, dlist_container(SpGroup, node, iter.cur));
		(void) sp_bucket_shift(list);
	}
}

/* SpWindowOps.bounds, of results */
static void
get_bounds(SpWindow *w, SpGroup *group, int64 *start, int64 *end)
{
	*start = group->bucket->start;
	*end = group->bucket->end;
}

/* ---- durable form ---- */

/* SpValueWrite: of panes also the turn. */
static void
write_pane(void *window, SpGroup *pane, StringInfo buf)
{
	SpWindow   *w = window;

	appendBinaryStringInfo(buf, (char *) &sp_pane_head(w, pane)->turn, sizeof(uint64));
	sp_window_write_value(w, pane, buf);
}

/* SpValueRead */
static void
read_pane(void *window, SpGroup *pane, const char **p, const char *end)
{
	SpWindow   *w = window;

	sp_read_bytes(p, end, &sp_pane_head(w, pane)->turn, sizeof(uint64));
	sp_window_read_value(w, pane, p, end);
}

/* The bucket of a group that was loaded, which has the end of a pane or of a window. */
static SpBucket *
bucket_of(SpWindow *w, SpBuckets *list, SpGroup *group)
{
	SpSteps    *steps = w->steps;
	int64		start = group->start;
	int64		end = group->start;

	if (list == &w->closed)
		(void) sp_steps_window_start(steps, end, &start);
	else if (!TIMESTAMP_NOT_FINITE(end))
		(void) sp_steps_pane(steps, end - 1, &start, &end);
	return sp_bucket_get(list, group->start, start, group->start);
}

/* Keys in the order of the turns that they had. */
static int
compare_turns(const ListCell *a, const ListCell *b)
{
	const SpPaneKey *x = lfirst(a);
	const SpPaneKey *y = lfirst(b);

	return x->turn < y->turn ? -1 : x->turn > y->turn;
}

/* Which keys have panes in the next window already? */
static void
restore_list(SpWindow *w, List *loaded)
{
	SpPanes    *panes = w->panes;
	List	   *keys = NIL;
	ListCell   *lc;
	int64		start;
	int64		end;

	if (!sp_steps_pane(w->steps, w->closed_until, &start, &end) ||
		!sp_steps_window_start(w->steps, end, &start))
		return;
	panes->window_start = start;
	foreach(lc, loaded)
	{
		SpGroup    *pane = lfirst(lc);
		SpPaneHead *head = sp_pane_head(w, pane);

		panes->next_turn = Max(panes->next_turn, head->turn + 1);
		if (pane->bucket->end > w->closed_until || pane->bucket->start < start)
			continue;
		if (!head->key->is_stale)
			keys = lappend(keys, head->key);
		sp_pane_key_spoil(w, head->key);
		head->key->turn = Max(head->key->turn, head->turn);
	}
	list_sort(keys, compare_turns);
	foreach(lc, keys)
	{
		SpPaneKey  *key = lfirst(lc);

		sp_pane_key_list(w, key, key->turn);
	}
	list_free(keys);
}

/* Results, in order of creation. */
static void
results_loaded(SpWindow *w)
{
	List	   *loaded = sp_bucket_sorted_groups(&w->results);
	ListCell   *lc;
	int			i;

	foreach(lc, loaded)
	{
		SpGroup    *result = lfirst(lc);

		sp_bucket_attach(&w->closed, bucket_of(w, &w->closed, result), result);
		if (result->flags & SP_GROUP_DIRTY)
		{
			result->flags &= ~SP_GROUP_DIRTY;
			sp_output_group(&w->output, result);
		}
	}
	for (i = w->closed.first; i < w->closed.n; i++)
		sp_bucket_mark(w->closed.array[i]);
	list_free(loaded);
}

/* SpWindowOps.loaded */
static void
all_loaded(SpWindow *w)
{
	List	   *loaded = sp_bucket_sorted_groups(&w->groups);
	ListCell   *lc;

	foreach(lc, loaded)
	{
		SpGroup    *pane = lfirst(lc);

		sp_bucket_attach(&w->buckets, bucket_of(w, &w->buckets, pane), pane);
		sp_pane_key_link(w, sp_pane_key_of(w, pane), pane);
	}
	if (w->closed_until != SP_NO_WATERMARK)
		restore_list(w, loaded);
	list_free(loaded);
	results_loaded(w);
}

const SpWindowOps sp_pane_ops = {
	.head_size = sizeof(SpPaneHead),
	.needs = SP_AGG_COMBINE,
	.has_partials = true,
	.open = open_panes,
	.apply = apply_rows,
	.truncate = truncate_panes,
	.close = sp_pane_close,
	.purge = purge,
	.next_due = sp_pane_next_due,
	.bounds = get_bounds,
	.find = sp_pane_key_find,
	.prefetch = sp_pane_key_prefetch,
	.added = pane_added,
	.changed = pane_changed,
	.remove = remove_pane,
	.write_value = write_pane,
	.read_value = read_pane,
	.loaded = all_loaded
};
