/*
 * pane_total.c
 *	  What the panes of a key make together in a window: see SpPanes.
 *
 * All of this is derived from the panes.  A generic aggregate's combine function may throw:
 * callers run guarded, and what throws is the window's failure.  A native one that leaves its
 * range is noted in SpPanes.problem.
 */
#include "engine/pane.h"

#include "base/compat.h"
#include "base/prefetch.h"

/* ---- partials ---- */

/* Where a partial is, be it a part of a group's value or not. */
typedef struct Partial
{
	SpTally    *tally;			/* where the window has one */
	char	   *base;			/* aggregate a is at base + agg_offset[a] */
} Partial;

/* What a group's value holds itself. */
static inline Partial
value_of(SpWindow *w, SpGroup *group)
{
	char	   *value = sp_group_value(&w->groups, group);
	Partial		p = {(SpTally *) value, value};

	return p;
}

/* A partial that isn't a value. */
static inline Partial
partial_at(SpWindow *w, char *at)
{
	Partial		p = {(SpTally *) at, at + (w->has_tally ? sizeof(SpTally) : 0) - w->agg_start};

	return p;
}

/* Behind a pane's own aggregates. */
static inline Partial
suffix_of(SpWindow *w, SpGroup *pane)
{
	return partial_at(w, sp_group_value(&w->groups, pane) + w->value_size);
}

/* Behind the key itself. */
static inline Partial
back_of(SpWindow *w, SpPaneKey *key)
{
	return partial_at(w, (char *) key + MAXALIGN(sizeof(SpPaneKey)));
}

/* Give up what the aggregates refer to. */
static void
release_partial(SpWindow *w, Partial p)
{
	int			a;

	for (a = 0; a < w->naggs && !w->native; a++)
		sp_aggregate_release(w->aggs[a], p.base + w->agg_offset[a]);
}

/* What was in "to" is not released. */
static void
copy_partial(SpWindow *w, Partial to, Partial from)
{
	int			a;

	if (w->has_tally)
		*to.tally = *from.tally;
	if (w->native)
	{
		memcpy(to.base + w->agg_start, from.base + w->agg_start, w->value_size - w->agg_start);
		return;
	}
	for (a = 0; a < w->naggs; a++)
		sp_aggregate_copy(w->aggs[a], to.base + w->agg_offset[a], from.base + w->agg_offset[a]);
}

/* to := to and then from */
static void
combine_partials(SpWindow *w, Partial to, Partial from)
{
	int			a;

	if (w->has_tally)
		to.tally->rows += from.tally->rows;
	for (a = 0; a < w->naggs; a++)
	{
		int			sqlstate = 0;
		const char *message = sp_aggregate_combine(w->aggs[a], to.base + w->agg_offset[a],
												   from.base + w->agg_offset[a], &sqlstate);

		if (unlikely(message != NULL))
			w->panes->problem = message;
	}
}

/* The pane has no suffix any more, if it had one. */
void
sp_pane_total_drop_suffix(SpWindow *w, SpGroup *pane)
{
	SpPaneHead *head = sp_pane_head(w, pane);

	if (!head->has_suffix)
		return;
	head->has_suffix = false;
	release_partial(w, suffix_of(w, pane));
}

/* Nothing is in back any more. */
void
sp_pane_total_drop_back(SpWindow *w, SpPaneKey *key)
{
	if (!key->has_back)
		return;
	key->has_back = false;
	release_partial(w, back_of(w, key));
}

/* A pane in front gets its suffix; the one behind it, if that is in front, has its own. */
static void
make_suffix(SpWindow *w, SpGroup *pane)
{
	SpPaneHead *head = sp_pane_head(w, pane);

	sp_pane_total_drop_suffix(w, pane);
	copy_partial(w, suffix_of(w, pane), value_of(w, pane));
	head->has_suffix = true;
	if (head->next != NULL && sp_pane_head(w, head->next)->has_suffix)
		combine_partials(w, suffix_of(w, pane), suffix_of(w, head->next));
}

/* A pane behind front. */
static void
add_to_back(SpWindow *w, SpPaneKey *key, SpGroup *pane)
{
	if (key->has_back)
		combine_partials(w, back_of(w, key), value_of(w, pane));
	else
		copy_partial(w, back_of(w, key), value_of(w, pane));
	key->has_back = true;
}

/* ---- from one window to the next ---- */

/* The pane is in no window to come. */
void
sp_pane_total_evict(SpWindow *w, SpGroup *pane)
{
	SpPaneHead *head = sp_pane_head(w, pane);
	SpPaneKey  *key = head->key;

	sp_pane_total_drop_suffix(w, pane);
	if (key->first != pane)
		return;
	key->first = head->next != NULL && head->next->start <= w->closed_until ? head->next : NULL;
	if (key->first == NULL && !key->is_stale)
		sp_pane_key_unlist(w, key);
}

/* All panes that begin before the window. */
static void
evict_panes(SpWindow *w, int64 start)
{
	SpBuckets  *list = &w->buckets;
	dlist_iter	iter;
	int			i;

	for (i = sp_bucket_position(list, w->panes->window_start); i < list->n; i++)
	{
		SpBucket   *bucket = list->array[i];

		if (bucket->start >= start || bucket->end > w->closed_until)
			break;
		dlist_foreach(iter, &bucket->groups)
			sp_pane_total_evict(w, dlist_container(SpGroup, node, iter.cur));
	}
}

/* All panes that were behind front are in front now. */
static void
flip(SpWindow *w, int64 start)
{
	SpPanes    *panes = w->panes;
	SpBuckets  *list = &w->buckets;
	dlist_iter	iter;
	int			i;

	i = sp_bucket_position(list, w->closed_until);
	if (i < list->n && list->array[i]->end == w->closed_until)
		i++;
	while (--i >= list->first && list->array[i]->start >= start)
	{
		dlist_foreach(iter, &list->array[i]->groups)
		{
			SpGroup    *pane = dlist_container(SpGroup, node, iter.cur);

			if (!sp_pane_head(w, pane)->key->is_stale)
				make_suffix(w, pane);
		}
	}
	dlist_foreach(iter, &panes->listed)
		sp_pane_total_drop_back(w, dlist_container(SpPaneKey, node, iter.cur));
}

/* Make anew what the key has in the window. */
static void
rebuild(SpWindow *w, SpPaneKey *key, int64 start)
{
	SpPanes    *panes = w->panes;
	SpGroup    *pane;

	sp_pane_total_drop_back(w, key);
	key->first = key->last = NULL;
	for (pane = key->newest; pane != NULL && pane->start > start;
		 pane = sp_pane_head(w, pane)->prev)
	{
		sp_pane_total_drop_suffix(w, pane);
		if (pane->start > w->closed_until)
			continue;
		if (key->last == NULL)
			key->last = pane;
		key->first = pane;
		if (pane->start <= panes->front_end && !panes->walks)
			make_suffix(w, pane);
	}
	for (pane = key->first; pane != NULL && !panes->walks && pane->start <= w->closed_until;
		 pane = sp_pane_head(w, pane)->next)
	{
		if (pane->start > panes->front_end)
			add_to_back(w, key, pane);
	}
	key->is_stale = false;
	dlist_delete(&key->stale_node);
	if (key->is_listed && key->first == NULL)
		sp_pane_key_unlist(w, key);
}

/* The next window is [start, end): what is before goes; what ends with it comes later. */
void
sp_pane_total_move(SpWindow *w, int64 start, int64 end)
{
	SpPanes    *panes = w->panes;
	int64		front_end;
	dlist_mutable_iter iter;

	evict_panes(w, start);
	if (!sp_steps_block_start(w->steps, end, &front_end))
		front_end = w->closed_until;	/* then with every window */
	if (front_end != panes->front_end && !panes->walks)
		flip(w, start);
	panes->front_end = front_end;
	panes->window_start = start;
	dlist_foreach_modify(iter, &panes->stale)
		rebuild(w, dlist_container(SpPaneKey, stale_node, iter.cur), start);
}

/* A pane that ends with the window comes. */
void
sp_pane_total_push(SpWindow *w, SpPaneKey *key, SpGroup *pane)
{
	if (key->first == NULL)
		key->first = pane;
	key->last = pane;
	if (!w->panes->walks)
		add_to_back(w, key, pane);
}

/* ---- totals ---- */

/* The aggregates of all panes from one to another, into a value that has none. */
static void
walk(SpWindow *w, SpGroup *from, SpGroup *last, SpGroup *result)
{
	copy_partial(w, value_of(w, result), value_of(w, from));
	while (from != last)
	{
		from = sp_pane_head(w, from)->next;
		combine_partials(w, value_of(w, result), value_of(w, from));
	}
}

/* The total of the key is asked for soon. */
void
sp_pane_total_prefetch(SpWindow *w, SpPaneKey *key)
{
	char	   *pane = (char *) key->first;
	Size		at;

	for (at = 0; pane != NULL && at < w->groups.group_size; at += 64)
		sp_prefetch(pane + at);
}

/* The aggregates of the key in the window, into a result that has none. */
void
sp_pane_total_get(SpWindow *w, SpPaneKey *key, SpGroup *result)
{
	if (w->panes->walks)
		walk(w, key->first, key->last, result);
	else if (!sp_pane_head(w, key->first)->has_suffix)
		copy_partial(w, value_of(w, result), back_of(w, key));
	else
	{
		copy_partial(w, value_of(w, result), suffix_of(w, key->first));
		if (key->has_back)
			combine_partials(w, value_of(w, result), back_of(w, key));
	}
}

/* The same in any window; false: the key has nothing in it. */
bool
sp_pane_total_of(SpWindow *w, SpPaneKey *key, int64 start, int64 end, SpGroup *result)
{
	SpGroup    *first = NULL;
	SpGroup    *last = NULL;
	SpGroup    *pane;

	for (pane = key->newest; pane != NULL && pane->bucket->start >= start;
		 pane = sp_pane_head(w, pane)->prev)
	{
		if (pane->start > end)
			continue;
		if (last == NULL)
			last = pane;
		first = pane;
	}
	if (first == NULL)
		return false;
	walk(w, first, last, result);
	return true;
}
