/*
 * pane_close.c
 *	  Closing hopping and cumulative windows: results from panes (see pane.c).
 */
#include "engine/pane.h"

#include "base/compat.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define LOOK_AHEAD 8			/* keys whose memory is asked for before they are looked at */

/* ---- results ---- */

/* Forget a result. */
static void
remove_result(SpWindow *w, SpGroup *result)
{
	sp_group_changing(&w->results, result);
	sp_window_release_value(w, result);
	sp_bucket_detach(result);
	sp_group_remove(&w->results, result);
}

/* A result without a value, of the keys that a pane has. */
static SpGroup *
add_result(SpWindow *w, SpBucket *bucket, SpGroup *pane)
{
	SpGroup    *result = sp_group_add(&w->results, 0, bucket->at, sp_group_keys(&w->groups, pane),
									  sp_group_nulls(&w->groups, pane));

	result->flags |= SP_GROUP_FINAL;
	if (w->output.lookup || w->output.replaying)
		result->flags |= SP_GROUP_WRITTEN;
	sp_bucket_attach(&w->closed, bucket, result);
	return result;
}

/*
 * The result of the keys that a pane has, in a window that was closed before; without a value
 * when new.  Results are looked for only here, so that most never enter a hash table.
 */
static SpGroup *
get_result(SpWindow *w, SpGroup *pane, int64 start, int64 end, bool *is_new)
{
	const Datum *keys = sp_group_keys(&w->groups, pane);
	const bool *nulls = sp_group_nulls(&w->groups, pane);
	SpBucket   *bucket = sp_bucket_get(&w->closed, end, start, end);
	SpGroup    *result;
	dlist_iter	iter;

	if (!bucket->entered)
	{
		dlist_foreach(iter, &bucket->groups)
			sp_group_enter(&w->results, dlist_container(SpGroup, node, iter.cur));
		bucket->entered = true;
	}
	result = sp_group_find(&w->results, sp_group_hash(&w->results, end, keys, nulls), end, keys,
						   nulls);
	*is_new = result == NULL;
	if (result != NULL)
		return result;
	result = add_result(w, bucket, pane);
	sp_group_enter(&w->results, result);
	return result;
}

/* The result is to be written. */
static void
result_changed(SpWindow *w, SpGroup *result)
{
	sp_group_changed(&w->results, result);
	sp_output_group(&w->output, result);
}

/* ---- closing ---- */

/* One window of a pane that has new rows is computed again. */
static void
amend_result(SpWindow *w, SpGroup *pane, int64 end)
{
	SpGroup    *result;
	bool		is_new;
	int64		start;

	if (!sp_steps_window_start(w->steps, end, &start))
		return;
	result = get_result(w, pane, start, end, &is_new);
	if (!is_new)
		sp_window_release_value(w, result);
	(void) sp_pane_total_of(w, sp_pane_head(w, pane)->key, start, end, result);
	if (is_new)
		sp_bucket_reopen(&w->closed, result->bucket);
	result->bucket->final = true;
	result_changed(w, result);
}

/* Rows have come to panes of closed windows; what the key lives on in then is amended as well. */
static void
amend_results(SpWindow *w)
{
	SpPanes    *panes = w->panes;
	int			i;

	for (i = 0; i < panes->namended; i++)
	{
		SpGroup    *pane = panes->amended[i];
		SpPaneHead *head = sp_pane_head(w, pane);
		int64		end = pane->bucket->end;
		int64		last_end;
		int64		next;

		head->is_amended = false;
		if (sp_steps_next_end(w->steps, end, &next))
			sp_fill_carry_group(w, pane, next, end, next);
		if (!sp_steps_last_end(w->steps, pane->bucket->start, &last_end))
			continue;
		for (;;)
		{
			if (end > w->closed_until)
				break;
			if (end > w->floor && end > w->spoiled)
				amend_result(w, pane, end);
			if (end >= last_end || !sp_steps_next_end(w->steps, end, &end))
				break;
		}
		if (last_end <= w->closed_until)
			continue;
		/* it is part of windows to come */
		if (!head->key->is_listed)
			sp_pane_key_list(w, head->key, panes->next_turn++);
		sp_group_changing(&w->groups, pane);
		head->turn = head->key->turn;
		sp_group_changed(&w->groups, pane);
	}
	panes->namended = 0;
}

/* The panes that end with the window come in. */
static void
push_panes(SpWindow *w, SpBucket *bucket)
{
	SpPanes    *panes = w->panes;
	dlist_iter	iter;

	dlist_foreach(iter, &bucket->groups)
	{
		SpGroup    *pane = dlist_container(SpGroup, node, iter.cur);
		SpPaneHead *head = sp_pane_head(w, pane);
		SpPaneKey  *key = head->key;

		if (!key->is_listed)
			sp_pane_key_list(w, key, panes->next_turn++);
		sp_pane_total_push(w, key, pane);
		if (head->turn == key->turn)
			continue;
		sp_group_changing(&w->groups, pane);
		head->turn = key->turn;
		sp_group_changed(&w->groups, pane);
	}
}

/* Every key with panes in the window has a result. */
static void
add_results(SpWindow *w, int64 start, int64 end)
{
	dlist_head *listed = &w->panes->listed;
	dlist_node *ahead = &listed->head;
	SpBucket   *closed;
	dlist_iter	iter;
	int			i;

	if (dlist_is_empty(listed))
		return;
	closed = sp_bucket_get(&w->closed, end, start, end);
	for (i = 0; i < LOOK_AHEAD && ahead->next != &listed->head; i++)
		ahead = ahead->next;
	dlist_foreach(iter, listed)
	{
		SpPaneKey  *key = dlist_container(SpPaneKey, node, iter.cur);
		SpGroup    *result;

		if (ahead->next != &listed->head)
		{
			ahead = ahead->next;
			sp_pane_total_prefetch(w, dlist_container(SpPaneKey, node, ahead));
		}
		result = add_result(w, closed, key->first);
		sp_pane_total_get(w, key, result);
		result_changed(w, result);
	}
	closed->final = true;
}

/* The window that ends at end is closed, and appears unless it has lost rows. */
static void
close_window(SpWindow *w, int64 start, int64 end, bool appears)
{
	SpBucket   *bucket = sp_bucket_find(&w->buckets, end);
	int64		next;

	sp_pane_total_move(w, start, end);
	if (bucket != NULL)
		push_panes(w, bucket);
	if (bucket != NULL && sp_steps_next_end(w->steps, end, &next))
		sp_fill_carry(w, bucket, next, end, next);
	if (appears)
		add_results(w, start, end);
}

/* The end of the next window to be closed; DT_NOEND: there is none. */
static int64
next_end(const SpWindow *w)
{
	SpPanes    *panes = w->panes;
	int			i;
	int64		start;
	int64		end;

	if (!dlist_is_empty(&panes->listed) &&
		sp_steps_pane(w->steps, w->closed_until, &start, &end))
		return end;
	i = w->buckets.first;
	if (w->closed_until != SP_NO_WATERMARK)
	{
		i = sp_bucket_position(&w->buckets, w->closed_until);
		if (i < w->buckets.n && w->buckets.array[i]->end <= w->closed_until)
			i++;
	}
	return i < w->buckets.n ? w->buckets.array[i]->end : DT_NOEND;
}

/* What close_all() works on. */
typedef struct CloseWork
{
	SpWindow   *window;
	int64		watermark;
} CloseWork;

/* Close all that the watermark has passed; for sp_run_guarded(), and where nothing throws. */
static void
close_all(void *arg)
{
	CloseWork  *work = arg;
	SpWindow   *w = work->window;
	int64		end;
	int64		start;

	amend_results(w);
	while ((end = next_end(w)) <= work->watermark && end != DT_NOEND)
	{
		CHECK_FOR_INTERRUPTS();
		if (sp_steps_window_start(w->steps, end, &start))
			close_window(w, start, end, end > w->floor);
		w->closed_until = end;
		if (w->panes->problem != NULL)
			return;
	}
}

/* Hand on the results of windows that nothing amends any more. */
static void
seal_results(SpWindow *w, int64 watermark, XLogRecPtr lsn, TimestampTz time)
{
	SpBuckets  *list = &w->closed;
	SpFeed		feed;
	int			i;

	sp_result_feed_begin(&feed, w, lsn, time);
	for (i = Max(list->first_unsealed, list->first); i < list->n; i++)
	{
		SpBucket   *bucket = list->array[i];

		if (sp_clock_add(bucket->end, w->def->grace_us) > watermark)
			break;
		list->first_unsealed = i + 1;
		if (!bucket->sealed)
			sp_result_seal(&feed, bucket);
	}
	sp_result_feed_end(&feed);
}

/* SpWindowOps.close */
void
sp_pane_close(SpWindow *w, int64 watermark, XLogRecPtr lsn, TimestampTz time)
{
	CloseWork	work = {w, watermark};
	ErrorData  *error;

	if (w->panes->namended > 0 || next_end(w) <= watermark)
	{
		if (w->native)
			close_all(&work);
		else if (!sp_run_guarded(w->expressions, w->result_context, close_all, &work, &error))
		{
			sp_failure_window(w, error->message);
			return;
		}
		if (w->panes->problem != NULL)
		{
			sp_failure_window(w, w->panes->problem);
			return;
		}
	}
	if (watermark > w->closed_until)
	{
		w->closed_until = watermark;
		w->groups.any_dirty = true; /* it is part of the state */
	}
	seal_results(w, watermark, lsn, time);
}

/* Forget results that nothing amends any more, and that are written. */
void
sp_pane_forget_results(SpWindow *w, int64 data_watermark)
{
	SpBuckets  *list = &w->closed;
	dlist_mutable_iter iter;

	while (list->first < list->n)
	{
		SpBucket   *bucket = list->array[list->first];

		if (!bucket->sealed || bucket->ndirty > 0 ||
			sp_clock_add(bucket->end, w->def->grace_us) > data_watermark)
			break;
		dlist_foreach_modify(iter, &bucket->groups)
			remove_result(w, dlist_container(SpGroup, node, iter.cur));
		(void) sp_bucket_shift(list);
	}
}

/* SpWindowOps.next_due */
int64
sp_pane_next_due(const SpWindow *w)
{
	const SpBuckets *list = &w->closed;
	int			unsealed = Max(list->first_unsealed, list->first);
	int64		due = next_end(w);

	if (unsealed < list->n && sp_result_is_read(w))
		due = Min(due, sp_clock_add(list->array[unsealed]->end, w->def->grace_us));
	return due;
}
