/*
 * pane_key.c
 *	  The panes of a key, and what they make together.
 *
 * See pane.h.  All of this is derived from the panes, and made anew when they are loaded.
 * A generic aggregate's combine function may throw: callers run guarded, and what throws is
 * the window's failure.  A native one that leaves its range is noted in SpPanes.problem.
 */
#include "engine/pane.h"

#include "base/compat.h"
#include "utils/memutils.h"

#define INITIAL_TABLE_SIZE 64

/* ---- partial aggregates: as much memory as a value, of which the tally and the aggregates are used ---- */

/* Nothing in it yet. */
static char *
new_state(SpWindow *w)
{
	SpPanes    *panes = w->panes;
	char	   *state = panes->free_state;

	if (state == NULL)
		return MemoryContextAlloc(panes->context, Max(w->value_size, sizeof(char *)));
	panes->free_state = *(char **) state;
	return state;
}

/* Give up what the aggregates refer to. */
static void
release_aggregates(SpWindow *w, char *state)
{
	int			a;

	for (a = 0; a < w->naggs; a++)
		sp_aggregate_release(w->aggs[a], state + w->agg_offset[a]);
}

static void
free_state(SpWindow *w, char *state)
{
	release_aggregates(w, state);
	*(char **) state = w->panes->free_state;
	w->panes->free_state = state;
}

/* What was in "to" is not released. */
static void
copy_state(SpWindow *w, char *to, const char *from)
{
	int			a;

	if (w->has_tally)
		memcpy(to, from, sizeof(SpTally));
	for (a = 0; a < w->naggs; a++)
		sp_aggregate_copy(w->aggs[a], to + w->agg_offset[a], from + w->agg_offset[a]);
}

/* to := to and then from */
static void
combine_state(SpWindow *w, char *to, const char *from)
{
	int			a;

	if (w->has_tally)
		((SpTally *) to)->rows += ((const SpTally *) from)->rows;
	for (a = 0; a < w->naggs; a++)
	{
		int			sqlstate = 0;
		const char *message = sp_aggregate_combine(w->aggs[a], to + w->agg_offset[a],
												   from + w->agg_offset[a], &sqlstate);

		if (unlikely(message != NULL))
			w->panes->problem = message;
	}
}

static inline char *
value_of(SpWindow *w, SpGroup *pane)
{
	return sp_group_value(&w->groups, pane);
}

/* ---- keys ---- */

/* Twice as many chains. */
static void
grow_table(SpPanes *panes)
{
	uint32		size = Max(INITIAL_TABLE_SIZE, panes->table_size * 2);
	SpPaneKey **table = MemoryContextAllocExtended(panes->context, sizeof(SpPaneKey *) * (Size) size,
												   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	uint32		i;

	for (i = 0; i < panes->table_size; i++)
	{
		SpPaneKey  *key = panes->table[i];

		while (key != NULL)
		{
			SpPaneKey  *next = key->chain;

			key->chain = table[key->hash & (size - 1)];
			table[key->hash & (size - 1)] = key;
			key = next;
		}
	}
	if (panes->table != NULL)
		pfree(panes->table);
	panes->table = table;
	panes->table_size = size;
}

/* The key of a pane, made when it is the first; a key without panes is found no more. */
static SpPaneKey *
get_key(SpWindow *w, SpGroup *pane)
{
	SpPanes    *panes = w->panes;
	uint32		hash = sp_group_hash(&w->groups, 0, sp_group_keys(&w->groups, pane),
									 sp_group_nulls(&w->groups, pane));
	SpPaneKey  *key;

	if (panes->nkeys >= panes->table_size)
		grow_table(panes);
	key = panes->table[hash & (panes->table_size - 1)];
	for (; key != NULL; key = key->chain)
	{
		if (key->hash == hash && key->oldest != NULL &&
			sp_group_same_keys(&w->groups, key->oldest, pane))
			return key;
	}
	key = MemoryContextAllocZero(panes->context, sizeof(SpPaneKey));
	key->hash = hash;
	key->chain = panes->table[hash & (panes->table_size - 1)];
	panes->table[hash & (panes->table_size - 1)] = key;
	panes->nkeys++;
	return key;
}

/* Forget a key without panes. */
static void
drop_key(SpPanes *panes, SpPaneKey *key)
{
	SpPaneKey **link = &panes->table[key->hash & (panes->table_size - 1)];

	while (*link != key)
		link = &(*link)->chain;
	*link = key->chain;
	panes->nkeys--;
	pfree(key);
}

/* No suffixes, nothing in back, no panes in the window. */
static void
clear_window(SpWindow *w, SpPaneKey *key)
{
	SpGroup    *pane;

	for (pane = key->front ? key->first : NULL; pane != NULL; pane = sp_pane_head(w, pane)->next)
	{
		free_state(w, sp_pane_head(w, pane)->suffix);
		sp_pane_head(w, pane)->suffix = NULL;
		if (pane == key->front)
			break;
	}
	if (key->has_back)
		free_state(w, key->back);
	key->front = key->first = key->last = NULL;
	key->has_back = false;
	key->is_stale = false;
}

/* A new pane takes its place among those of its key. */
void
sp_pane_key_link(SpWindow *w, SpGroup *pane)
{
	SpPaneHead *head = sp_pane_head(w, pane);
	SpPaneKey  *key = get_key(w, pane);
	SpGroup    *before = key->newest;

	while (before != NULL && before->bucket->start > pane->bucket->start)
		before = sp_pane_head(w, before)->prev;
	head->key = key;
	head->prev = before;
	head->next = before ? sp_pane_head(w, before)->next : key->oldest;
	if (head->prev != NULL)
		sp_pane_head(w, head->prev)->next = pane;
	else
		key->oldest = pane;
	if (head->next != NULL)
		sp_pane_head(w, head->next)->prev = pane;
	else
		key->newest = pane;
	/* between others of the window: what they make together has to be found anew */
	if (key->last != NULL && pane->bucket->start < key->last->bucket->start)
		key->is_stale = true;
}

/* The pane is about to go. */
void
sp_pane_key_unlink(SpWindow *w, SpGroup *pane)
{
	SpPaneHead *head = sp_pane_head(w, pane);
	SpPaneKey  *key = head->key;

	if (key->first != NULL && pane->bucket->start >= key->first->bucket->start &&
		pane->bucket->start <= key->last->bucket->start)
	{
		clear_window(w, key);
		key->is_stale = true;
	}
	if (head->prev != NULL)
		sp_pane_head(w, head->prev)->next = head->next;
	else
		key->oldest = head->next;
	if (head->next != NULL)
		sp_pane_head(w, head->next)->prev = head->prev;
	else
		key->newest = head->prev;
	if (key->oldest == NULL && !key->is_listed)
		drop_key(w->panes, key);
}

/* The key has panes in the window. */
void
sp_pane_key_list(SpWindow *w, SpPaneKey *key, uint64 turn)
{
	key->is_listed = true;
	key->turn = turn;
	dlist_push_tail(&w->panes->listed, &key->node);
}

/* It has none any more. */
void
sp_pane_key_unlist(SpWindow *w, SpPaneKey *key)
{
	clear_window(w, key);
	key->is_listed = false;
	dlist_delete(&key->node);
	if (key->oldest == NULL)
		drop_key(w->panes, key);
}

/* ---- the window ---- */

/* Panes first..last from scratch: all of them in back. */
static void
rebuild(SpWindow *w, SpPaneKey *key, int64 start, int64 end)
{
	SpGroup    *pane;

	clear_window(w, key);
	for (pane = key->newest; pane != NULL; pane = sp_pane_head(w, pane)->prev)
	{
		if (pane->bucket->start < start)
			break;
		if (pane->bucket->end >= end)
			continue;
		if (key->last == NULL)
			key->last = pane;
		key->first = pane;
	}
	if (key->first == NULL || w->panes->walks)
		return;
	key->back = new_state(w);
	copy_state(w, key->back, value_of(w, key->first));
	key->has_back = true;
	for (pane = key->first; pane != key->last;)
	{
		pane = sp_pane_head(w, pane)->next;
		combine_state(w, key->back, value_of(w, pane));
	}
}

/* All panes get suffixes, and back is empty. */
static void
flip(SpWindow *w, SpPaneKey *key)
{
	SpGroup    *pane = key->last;
	char	   *behind = NULL;

	for (;;)
	{
		SpPaneHead *head = sp_pane_head(w, pane);

		head->suffix = new_state(w);
		copy_state(w, head->suffix, value_of(w, pane));
		if (behind != NULL)
			combine_state(w, head->suffix, behind);
		behind = head->suffix;
		if (pane == key->first)
			break;
		pane = head->prev;
	}
	key->front = key->last;
	if (key->has_back)
		free_state(w, key->back);
	key->has_back = false;
}

/* The next window begins at start, and ends at end: what is before goes. */
void
sp_pane_key_evict(SpWindow *w, SpPaneKey *key, int64 start, int64 end)
{
	if (key->is_stale)
		rebuild(w, key, start, end);
	if (key->first != NULL && key->last->bucket->start < start)
		clear_window(w, key);
	while (key->first != NULL && key->first->bucket->start < start)
	{
		SpGroup    *pane = key->first;

		if (!w->panes->walks)
		{
			if (key->front == NULL)
				flip(w, key);
			free_state(w, sp_pane_head(w, pane)->suffix);
			sp_pane_head(w, pane)->suffix = NULL;
			if (key->front == pane)
				key->front = NULL;
		}
		/* not the last: that begins in the window */
		key->first = sp_pane_head(w, pane)->next;
	}
}

/* A pane, behind all others of the window, comes. */
void
sp_pane_key_push(SpWindow *w, SpPaneKey *key, SpGroup *pane)
{
	if (key->first == NULL)
		key->first = pane;
	key->last = pane;
	if (w->panes->walks)
		return;
	if (key->has_back)
	{
		combine_state(w, key->back, value_of(w, pane));
		return;
	}
	key->back = new_state(w);
	copy_state(w, key->back, value_of(w, pane));
	key->has_back = true;
}

/* The aggregates of all panes from one to another, into a value that has none. */
static void
walk(SpWindow *w, SpGroup *from, SpGroup *last, char *to)
{
	copy_state(w, to, value_of(w, from));
	while (from != last)
	{
		from = sp_pane_head(w, from)->next;
		combine_state(w, to, value_of(w, from));
	}
}

/* The aggregates of the window, into a value that has none. */
void
sp_pane_key_total(SpWindow *w, SpPaneKey *key, char *to)
{
	if (w->panes->walks)
		walk(w, key->first, key->last, to);
	else if (key->front == NULL)
		copy_state(w, to, key->back);
	else
	{
		copy_state(w, to, sp_pane_head(w, key->first)->suffix);
		if (key->has_back)
			combine_state(w, to, key->back);
	}
}

/* The same for any window; false: the key has nothing in it. */
bool
sp_pane_key_total_of(SpWindow *w, SpPaneKey *key, int64 start, int64 end, char *to)
{
	SpGroup    *first = NULL;
	SpGroup    *last = NULL;
	SpGroup    *pane;

	for (pane = key->newest; pane != NULL && pane->bucket->start >= start;
		 pane = sp_pane_head(w, pane)->prev)
	{
		if (pane->bucket->end > end)
			continue;
		if (last == NULL)
			last = pane;
		first = pane;
	}
	if (first == NULL)
		return false;
	walk(w, first, last, to);
	return true;
}
