/*
 * pane_key.c
 *	  The keys of panes: found by their values, each with its panes in order of time.
 *
 * Panes are found through their key, of which the newest pane is mostly the one, rather than
 * among all panes: so those of the last windows, and no others, stay in the processor's
 * caches.  Keys are derived from the panes, and made anew when they are loaded.
 */
#include "engine/pane.h"

#include "base/compat.h"
#include "base/prefetch.h"
#include "utils/memutils.h"

#define INITIAL_TABLE_SIZE 64

/* ---- finding ---- */

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

/* Is it the key with these values?  One without panes isn't. */
static inline bool
is_key(SpWindow *w, SpPaneKey *key, const Datum *keys, const bool *nulls)
{
	if (key->newest == NULL)
		return false;
	if (w->panes->has_only_key)
		return key->only_isnull == nulls[0] && (nulls[0] || key->only_key == keys[0]);
	return sp_group_has_keys(&w->groups, key->newest, keys, nulls);
}

/* The key with these values, or NULL. */
static SpPaneKey *
find_key(SpWindow *w, uint32 hash, const Datum *keys, const bool *nulls)
{
	SpPanes    *panes = w->panes;
	SpPaneKey  *key = panes->table_size == 0 ? NULL : panes->table[hash & (panes->table_size - 1)];

	while (key != NULL && (key->hash != hash || !is_key(w, key, keys, nulls)))
		key = key->chain;
	return key;
}

/* A new key. */
static SpPaneKey *
add_key(SpWindow *w, uint32 hash)
{
	SpPanes    *panes = w->panes;
	SpPaneKey  *key;

	if (panes->nkeys >= panes->table_size)
		grow_table(panes);
	key = MemoryContextAllocZero(panes->context,
								 MAXALIGN(sizeof(SpPaneKey)) + sp_window_partial_size(w));
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
	if (key->is_stale)
		dlist_delete(&key->stale_node);
	if (panes->found == key)
		panes->found = NULL;
	pfree(key);
}

/* SpWindowOps.find */
SpGroup *
sp_pane_key_find(SpWindow *w, uint32 hash, int64 at, const Datum *keys, const bool *nulls)
{
	SpPaneKey  *key = find_key(w, hash, keys, nulls);
	SpGroup    *pane;

	w->panes->found = key;
	if (key == NULL)
		return NULL;
	for (pane = key->newest; pane != NULL && pane->start > at; pane = sp_pane_head(w, pane)->prev)
		;
	if (pane == NULL || pane->start != at)
		return NULL;
	sp_group_changing(&w->groups, pane);
	return pane;
}

/* SpWindowOps.prefetch: the chain, its first key, that key's newest pane. */
void
sp_pane_key_prefetch(SpWindow *w, uint32 hash, int step)
{
	SpPanes    *panes = w->panes;
	SpPaneKey **chain = panes->table + (hash & (panes->table_size - 1));

	if (panes->table_size == 0)
		return;
	if (step == 0)
		sp_prefetch(chain);
	else if (step == 1)
		sp_prefetch(*chain);
	else if (*chain != NULL && (*chain)->newest != NULL)
	{
		sp_prefetch((*chain)->newest);
		sp_prefetch(sp_group_value(&w->groups, (*chain)->newest) + w->agg_start);
	}
}

/* The key of a pane that was loaded, made when this is the first one. */
SpPaneKey *
sp_pane_key_of(SpWindow *w, SpGroup *pane)
{
	const Datum *keys = sp_group_keys(&w->groups, pane);
	const bool *nulls = sp_group_nulls(&w->groups, pane);
	uint32		hash = sp_group_hash(&w->groups, 0, keys, nulls);
	SpPaneKey  *key = find_key(w, hash, keys, nulls);

	return key != NULL ? key : add_key(w, hash);
}

/* ---- panes ---- */

/*
 * A new pane takes its place among those of its key, which has none yet when it is NULL; the
 * pane has the hash that finding it has given.
 */
void
sp_pane_key_link(SpWindow *w, SpPaneKey *key, SpGroup *pane)
{
	SpPaneHead *head = sp_pane_head(w, pane);
	SpGroup    *before;

	if (key == NULL)
		key = add_key(w, pane->hash);
	if (w->panes->has_only_key)
	{
		key->only_key = sp_group_keys(&w->groups, pane)[0];
		key->only_isnull = sp_group_nulls(&w->groups, pane)[0];
	}
	before = key->newest;
	while (before != NULL && before->start > pane->start)
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
}

/* The pane is about to go. */
void
sp_pane_key_unlink(SpWindow *w, SpGroup *pane)
{
	SpPaneHead *head = sp_pane_head(w, pane);
	SpPaneKey  *key = head->key;

	/* mostly it is first: the window closed last was its last one */
	sp_pane_total_evict(w, pane);
	if (key->last == pane)
	{
		key->last = NULL;
		sp_pane_key_spoil(w, key);
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

/* It has none any more, nor suffixes. */
void
sp_pane_key_unlist(SpWindow *w, SpPaneKey *key)
{
	sp_pane_total_drop_back(w, key);
	key->first = key->last = NULL;
	key->is_listed = false;
	dlist_delete(&key->node);
	if (key->oldest == NULL)
		drop_key(w->panes, key);
}

/* A pane of closed windows has changed. */
void
sp_pane_key_spoil(SpWindow *w, SpPaneKey *key)
{
	if (key->is_stale)
		return;
	key->is_stale = true;
	dlist_push_tail(&w->panes->stale, &key->stale_node);
}
