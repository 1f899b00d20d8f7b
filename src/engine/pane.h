/*
 * pane.h
 *	  Panes of hopping and cumulative windows: what pane.c, pane_close.c, pane_key.c and
 *	  pane_total.c share.
 */
#ifndef SP_PANE_H
#define SP_PANE_H

#include "engine/internal.h"

#include "base/steps.h"

typedef struct SpPaneKey SpPaneKey;

/* In a pane's value, before the aggregates. */
typedef struct SpPaneHead
{
	SpPaneKey  *key;
	SpGroup    *prev;			/* panes of the key, in order of time */
	SpGroup    *next;
	uint64		turn;			/* of its key when a window took it; durable */
	bool		has_suffix;		/* behind the value: see SpPanes */
	bool		is_amended;		/* in SpPanes.amended */
} SpPaneHead;

/* A key's panes, and which of them are in the window that was closed last. */
struct SpPaneKey
{
	/* what finding it looks at comes first, in one line of the processor's cache */
	SpPaneKey  *chain;			/* hash chain */
	uint32		hash;			/* of the key alone */
	bool		only_isnull;
	bool		is_listed;		/* has panes in the window */
	bool		is_stale;		/* a pane of closed windows has changed: look at all again */
	bool		has_back;
	Datum		only_key;		/* where there is one, whose equality is that of bits */
	SpGroup    *newest;
	SpGroup    *oldest;
	SpGroup    *first;			/* in the window; NULL: none */
	SpGroup    *last;
	uint64		turn;			/* its place among those listed */
	dlist_node	node;			/* in SpPanes.listed, when listed */
	dlist_node	stale_node;		/* in SpPanes.stale, when stale */
	/* back: a partial, MAXALIGNed */
};

/*
 * What a window over panes has besides its groups, which are the panes.
 *
 * Of each key, the aggregates of the window closed last are kept in two parts:
 *
 *	panes of a key     oldest ... first ... | ... last ... newest
 *	                              [suffixes][back----]
 *	                                        ^ front_end
 *
 * A pane in front has, behind its value, the aggregates of itself and the panes behind it
 * in front; those of the panes behind front are in the key's back.  So the next window costs
 * a key no more than a pane that goes and one that comes, however many there are between
 * (two stacks, as in Tangwongsan et al., "Low-latency sliding-window aggregation in
 * worst-case constant time", 2017, section 2).  front_end is a boundary between blocks as
 * long as a window: the same for all keys, so that they are gone through in the order in
 * which panes lie in memory, and after a restart, so that floats are added up in the same
 * order.
 */
typedef struct SpPanes
{
	MemoryContext context;
	bool		has_only_key;	/* see SpPaneKey.only_key */
	bool		walks;			/* an aggregate keeps its rows: no partials */
	SpPaneKey **table;			/* by key; size is a power of two */
	uint32		table_size;		/* 0: none yet */
	uint32		nkeys;
	SpPaneKey  *found;			/* key that sp_pane_key_find() looked for last; NULL: none */
	dlist_head	listed;			/* keys with panes in the window closed last, by turn */
	dlist_head	stale;			/* keys whose part of it must be made again */
	uint64		next_turn;
	int64		window_start;	/* of the window closed last */
	int64		front_end;
	SpGroup   **amended;		/* panes of closed windows with new rows, in their order */
	int			namended;
	int			amended_allocated;
	const char *problem;		/* a native aggregate left its range */
} SpPanes;

static inline SpPaneHead *
sp_pane_head(SpWindow *w, SpGroup *group)
{
	return (SpPaneHead *) (sp_group_value(&w->groups, group) + (w->has_tally ? sizeof(SpTally) : 0));
}

/* pane_key.c: keys, and their panes */
extern SpGroup *sp_pane_key_find(SpWindow *w, uint32 hash, int64 at, const Datum *keys,
								 const bool *nulls);
extern void sp_pane_key_prefetch(SpWindow *w, uint32 hash, int step);
extern SpPaneKey *sp_pane_key_of(SpWindow *w, SpGroup *pane);
extern void sp_pane_key_link(SpWindow *w, SpPaneKey *key, SpGroup *pane);
extern void sp_pane_key_unlink(SpWindow *w, SpGroup *pane);
extern void sp_pane_key_list(SpWindow *w, SpPaneKey *key, uint64 turn);
extern void sp_pane_key_unlist(SpWindow *w, SpPaneKey *key);
extern void sp_pane_key_spoil(SpWindow *w, SpPaneKey *key);

/* pane_total.c: what the panes of a key make together */
extern void sp_pane_total_drop_suffix(SpWindow *w, SpGroup *pane);
extern void sp_pane_total_drop_back(SpWindow *w, SpPaneKey *key);
extern void sp_pane_total_evict(SpWindow *w, SpGroup *pane);
extern void sp_pane_total_move(SpWindow *w, int64 start, int64 end);
extern void sp_pane_total_push(SpWindow *w, SpPaneKey *key, SpGroup *pane);
extern void sp_pane_total_prefetch(SpWindow *w, SpPaneKey *key);
extern void sp_pane_total_get(SpWindow *w, SpPaneKey *key, SpGroup *result);
extern bool sp_pane_total_of(SpWindow *w, SpPaneKey *key, int64 start, int64 end, SpGroup *result);

/* pane_close.c: results */
extern void sp_pane_close(SpWindow *w, int64 watermark, XLogRecPtr lsn, TimestampTz time);
extern void sp_pane_forget_results(SpWindow *w, int64 data_watermark);
extern int64 sp_pane_next_due(const SpWindow *w);

#endif
