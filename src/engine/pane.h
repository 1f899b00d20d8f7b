/*
 * pane.h
 *	  Panes of hopping and cumulative windows: what pane.c and pane_key.c share.
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
	char	   *suffix;			/* aggregates of this pane and those behind it, up to the key's front;
								 * NULL: none */
	bool		is_amended;		/* in SpPanes.amended */
	uint64		turn;			/* of its key when a window took it; durable */
} SpPaneHead;

/*
 * A key's panes, and its part of the window that was closed last, first .. last:
 *
 *	oldest ... first ... front ... last ... newest
 *	           [suffixes-----][back----]
 *
 * The window's aggregates are first's suffix and back, so that the next window costs no
 * more than a pane that goes and one that comes, however many there are between (two
 * stacks, as in Tangwongsan et al., "Low-latency sliding-window aggregation in worst-case
 * constant time", 2017, section 2).
 */
struct SpPaneKey
{
	SpPaneKey  *chain;			/* hash chain */
	uint32		hash;			/* of the key alone */
	bool		is_listed;		/* has panes in the window */
	bool		is_stale;		/* a pane within the window has changed: begin anew */
	bool		has_back;
	dlist_node	node;			/* in SpPanes.listed, when listed */
	uint64		turn;			/* its place there */
	SpGroup    *oldest;
	SpGroup    *newest;
	SpGroup    *first;			/* NULL: nothing in the window */
	SpGroup    *last;
	SpGroup    *front;			/* NULL: no suffixes */
	char	   *back;
};

/* What a window over panes has besides its groups, which are the panes. */
typedef struct SpPanes
{
	MemoryContext context;
	bool		walks;			/* an aggregate keeps its rows: no partial aggregates of windows */
	SpPaneKey **table;			/* by key; size is a power of two */
	uint32		table_size;
	uint32		nkeys;
	dlist_head	listed;			/* keys with panes in the window closed last, by turn */
	uint64		next_turn;
	SpGroup   **amended;		/* panes of closed windows with new rows, in their order */
	int			namended;
	int			amended_allocated;
	char	   *free_state;		/* given back, chained */
	const char *problem;		/* a native aggregate left its range */
} SpPanes;

static inline SpPaneHead *
sp_pane_head(SpWindow *w, SpGroup *group)
{
	return (SpPaneHead *) (sp_group_value(&w->groups, group) + (w->has_tally ? sizeof(SpTally) : 0));
}

/* pane_key.c */
extern void sp_pane_key_link(SpWindow *w, SpGroup *pane);
extern void sp_pane_key_unlink(SpWindow *w, SpGroup *pane);
extern void sp_pane_key_list(SpWindow *w, SpPaneKey *key, uint64 turn);
extern void sp_pane_key_unlist(SpWindow *w, SpPaneKey *key);
extern void sp_pane_key_evict(SpWindow *w, SpPaneKey *key, int64 start, int64 end);
extern void sp_pane_key_push(SpWindow *w, SpPaneKey *key, SpGroup *pane);
extern void sp_pane_key_total(SpWindow *w, SpPaneKey *key, char *to);
extern bool sp_pane_key_total_of(SpWindow *w, SpPaneKey *key, int64 start, int64 end, char *to);

#endif
