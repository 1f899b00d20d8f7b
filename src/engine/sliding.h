/*
 * sliding.h
 *	  What the files of sliding windows share: the events of a key, in a tree.
 *
 *	sliding.c			the kind of window: rows in, answers out, purging, durable form
 *	sliding_answer.c	the aggregates of an answer
 *	sliding_tree.c		the tree
 */
#ifndef SP_SLIDING_H
#define SP_SLIDING_H

#include "engine/columns.h"
#include "engine/internal.h"

#include "lib/pairingheap.h"

#define SP_SLIDING_LEAF		32	/* events of a leaf */
#define SP_SLIDING_FANOUT	8	/* children of a node */
#define SP_SLIDING_MAX_LEVEL	40	/* of a tree: more events than there can be */

/* An event in memory; the columns are those of SpSliding. */
typedef struct SpSlidingEvent
{
	int64		time;
	uint64		arrival;		/* orders events of one time */
	NullableDatum columns[FLEXIBLE_ARRAY_MEMBER];
} SpSlidingEvent;

/* How an aggregate is computed over the events of a window. */
typedef enum SpSlidingMethod
{
	/* from the states of whole nodes of the tree */
	SP_SLIDING_COMBINED,
	/* by a state that moves with the newest event; for an older one as above */
	SP_SLIDING_RUNNING,
	/* from the events, one by one */
	SP_SLIDING_WALKED
} SpSlidingMethod;

/* What is known of a node's states; for each of the first two methods. */
typedef enum SpSlidingKnown
{
	SP_SLIDING_STALE,			/* nothing */
	SP_SLIDING_KNOWN,			/* they are those of all its events */
	SP_SLIDING_BROKEN			/* there is none, say, a sum overflows: look below */
} SpSlidingKnown;

/* What leaves and inner nodes begin with. */
typedef struct SpSlidingNode
{
	struct SpSlidingInner *parent;
	int64		first;			/* time of its first event */
	int64		last;			/* and of its last one */
	char	   *states;			/* of its aggregates, by agg_offset; NULL: never needed */
	int16		level;			/* 0: a leaf */
	int16		n;				/* events, or children */
	uint8		known[2];		/* SpSlidingKnown by method */
	bool		has_states[2];	/* the states of that method have been initialized */
} SpSlidingNode;

typedef struct SpSlidingLeaf
{
	SpSlidingNode node;
	struct SpSlidingLeaf *next; /* of the same key */
	struct SpSlidingKey *key;
	SpGroup    *group;			/* durable */
	char	   *events;
	int16		allocated;
	uint8		rank;			/* levels of nodes that begin with this leaf; durable */
	int64		due;			/* the time by which it stands in SpSliding.due */
	pairingheap_node due_node;
} SpSlidingLeaf;

typedef struct SpSlidingInner
{
	SpSlidingNode node;
	SpSlidingNode *children[SP_SLIDING_FANOUT + 1]; /* one too many until it is split */

	/* native aggregates: states of the first nfolded children, which don't change any more */
	char	   *folded;
	int16		nfolded[2];		/* by method */
} SpSlidingInner;

typedef struct SpSlidingKey
{
	SpGroup    *group;			/* durable, without a value of its own */
	SpSlidingNode *root;
	SpSlidingLeaf *tail;		/* the last leaf */

	/* what the running states have: the events with a time > running_after */
	char	   *running;		/* by agg_offset; NULL: never needed */
	bool		has_running;	/* they have been initialized */
	bool		is_running;		/* they are valid */
	int64		running_after;
	SpSlidingLeaf *oldest;		/* the first of them; NULL: there is none */
	int			oldest_index;
} SpSlidingKey;

typedef struct SpSliding
{
	SpWindow   *window;
	MemoryContext context;		/* of the events and trees */
	Size		states_size;	/* of the aggregates' states */
	SpSlidingMethod *method;	/* by aggregate */
	bool		uses[3];		/* is there an aggregate of the method? */

	SpColumns	columns;		/* of an event */
	Size		event_size;
	bool		native;			/* all aggregates: their states need not be given up */
	bool		guarded;		/* a row may throw */

	uint64		nkeys;			/* that have events, all of which may be in a later answer's window */
	pairingheap *due;			/* leaves, by their last event or an earlier one */

	/* the row at work */
	SpSlidingEvent *event;
	bool		retracting;		/* what throws is no row's: without running states all is well */
	bool		in_order;		/* the newest of its key: running states moved to it */
	char	   *states;			/* its answer's */
	bool		has_states[3];	/* by method: they have been initialized */
	Datum	   *results;		/* of the aggregates */
	bool	   *result_nulls;
	Datum	   *values;			/* of the result row */
	bool	   *nulls;
} SpSliding;

#define sp_sliding_event(s, leaf, i) ((SpSlidingEvent *) ((leaf)->events + (s)->event_size * (i)))

/* A group's value is a pointer: the key's, whose start is 0, or a leaf's. */
#define sp_sliding_key_of(groups, group) (*(SpSlidingKey **) sp_group_value(groups, group))
#define sp_sliding_leaf_of(groups, group) (*(SpSlidingLeaf **) sp_group_value(groups, group))

/* sliding_answer.c */
extern void sp_sliding_bind(SpSliding *s);
extern const char *sp_sliding_answer(SpSliding *s, SpSlidingKey *key, int64 after,
									 int *sqlstate);
extern void sp_sliding_follow(SpSliding *s, SpSlidingLeaf *leaf, int index);
extern const char *sp_sliding_advance(SpSliding *s, int a, char *states,
									  const SpSlidingEvent *events, int n, int *sqlstate);
extern void sp_sliding_init_states(SpSliding *s, SpSlidingMethod method, char *states);
extern void sp_sliding_release_states(SpSliding *s, SpSlidingMethod method, char *states);

/* sliding_tree.c */
extern const char *sp_sliding_fold(SpSliding *s, SpSlidingNode *node, SpSlidingMethod method,
								   int64 after, int64 upto, char *states, int *sqlstate);
extern SpSlidingLeaf *sp_sliding_find(SpSliding *s, SpSlidingKey *key, int64 after, int *index);
extern SpSlidingLeaf *sp_sliding_place(SpSliding *s, SpSlidingKey *key, int64 time, int *index);
extern SpSlidingLeaf *sp_sliding_loaded_leaf(SpSliding *s, SpGroup *group, int n);
extern void sp_sliding_attach(SpSliding *s, SpSlidingKey *key, SpSlidingLeaf *leaf);
extern void sp_sliding_purge(SpSliding *s, int64 upto);

#endif
