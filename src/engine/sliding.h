/*
 * sliding.h
 *	  What the files of sliding windows share: the events of a key, in a tree.
 *
 *	sliding.c			the kind of window: rows in, answers out, purging, durable form
 *	sliding_answer.c	the aggregates of an answer
 *	sliding_tree.c		the tree
 *	sliding_leaf.c		its leaves: where events come and go
 *	sliding_retract.c	events that are taken back
 *	sliding_settle.c	the end of their transaction: answers that are given again
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

/* What becomes of an event within a transaction. */
#define SP_SLIDING_NEW			0x01	/* it has come, and is to be answered at the end */
#define SP_SLIDING_UPDATED		0x02	/* and an UPDATE has left it */
#define SP_SLIDING_DEAD			0x04	/* it was taken back, and goes at the end */
#define SP_SLIDING_TRUNCATED	0x08	/* as all were */
#define SP_SLIDING_CHANGED		0x10	/* its answer is to be given again */

/* The result row of an event, behind its columns, where events may be taken back. */
typedef struct SpSlidingRow
{
	XLogRecPtr	lsn;			/* what tells it from the others */
	int64		ordinal;
	int64		revision;		/* of the result row; 0: there was none yet */
	int64		flags;			/* not durable */
} SpSlidingRow;

StaticAssertDecl(sizeof(SpSlidingRow) % sizeof(NullableDatum) == 0, "events are strides of columns");

/* An event, wherever it stands. */
typedef struct SpSlidingPlace
{
	struct SpSlidingKey *key;
	int64		time;
	uint64		arrival;
} SpSlidingPlace;

typedef struct SpSlidingPlaces
{
	SpSlidingPlace *list;
	int64		n;
	int64		allocated;
} SpSlidingPlaces;

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
	uint64		newest;			/* the latest arrival of all */
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
	bool		keeps_rows;		/* events have a SpSlidingRow: they may be taken back */

	uint64		nkeys;			/* that have events, all of which may be in a later answer's window */
	pairingheap *due;			/* leaves, by their last event or an earlier one */

	/* the transaction at work, where some of its rows are taken back */
	SpSlidingPlaces fresh;		/* events that have come */
	SpSlidingPlaces dead;		/* that were taken back */
	SpSlidingPlace passed;		/* of its key and time, those up to it are dead; key NULL: none */

	/* the row at work */
	SpSlidingEvent *event;
	uint64		before;			/* only events that arrived before that are counted */
	bool		retracting;		/* what throws is no row's: without running states all is well */
	bool		in_order;		/* the newest of its key: running states moved to it */
	char	   *states;			/* its answer's */
	bool		has_states[3];	/* by method: they have been initialized */
	Datum	   *results;		/* of the aggregates */
	bool	   *result_nulls;
	Datum	   *values;			/* of the result row */
	bool	   *nulls;
} SpSliding;

#define sp_sliding_row(s, event) \
	((SpSlidingRow *) ((char *) (event) + offsetof(SpSlidingEvent, columns) + \
					   sizeof(NullableDatum) * (s)->columns.n))
#define sp_sliding_event(s, leaf, i) ((SpSlidingEvent *) ((leaf)->events + (s)->event_size * (i)))

/* What was known of a node's states isn't true any more. */
static inline void
sp_sliding_forget_states(SpSlidingNode *node)
{
	node->known[SP_SLIDING_COMBINED] = node->known[SP_SLIDING_RUNNING] = SP_SLIDING_STALE;
}

/* A group's value is a pointer: the key's, whose start is 0, or a leaf's. */
#define sp_sliding_key_of(groups, group) (*(SpSlidingKey **) sp_group_value(groups, group))
#define sp_sliding_leaf_of(groups, group) (*(SpSlidingLeaf **) sp_group_value(groups, group))

/* sliding.c */
extern bool sp_sliding_window_of(SpWindow *w, int64 time, int64 *start, int64 *after);
extern SpSlidingKey *sp_sliding_find_key(SpWindow *w, const SpEvaluated *ev, int i, Datum *keys,
										 bool *nulls, uint32 *hash);
extern void sp_sliding_fill_row(SpWindow *w, const SpRowSet *rows, const SpEvaluated *ev, int i,
								int64 start);

/* sliding_answer.c */
extern void sp_sliding_bind(SpSliding *s);
extern const char *sp_sliding_answer(SpSliding *s, SpSlidingKey *key, int64 after,
									 int *sqlstate);
extern const char *sp_sliding_answer_of(SpSliding *s, const SpSlidingEvent *events, int n,
										int *sqlstate);
extern void sp_sliding_follow(SpSliding *s, SpSlidingLeaf *leaf, int index);
extern const char *sp_sliding_advance(SpSliding *s, int a, char *states,
									  const SpSlidingEvent *events, int n, int *sqlstate);
extern void sp_sliding_init_states(SpSliding *s, SpSlidingMethod method, char *states);
extern void sp_sliding_release_states(SpSliding *s, SpSlidingMethod method, char *states);

/* sliding_tree.c */
extern const char *sp_sliding_fold(SpSliding *s, SpSlidingNode *node, SpSlidingMethod method,
								   int64 after, int64 upto, char *states, int *sqlstate);
extern bool sp_sliding_next_run(SpSliding *s, SpSlidingLeaf *leaf, int *first, int end, int *n);
extern void sp_sliding_note_change(SpSlidingNode *node);
extern void sp_sliding_note_loss(SpSlidingNode *node);
extern void sp_sliding_add_sibling(SpSliding *s, SpSlidingKey *key, SpSlidingNode *node,
								   SpSlidingNode *sibling);
extern void sp_sliding_add_last(SpSliding *s, SpSlidingKey *key, SpSlidingNode *node, int rank);
extern int	sp_sliding_first_after(SpSliding *s, const SpSlidingLeaf *leaf, int64 time);
extern SpSlidingLeaf *sp_sliding_first_leaf(SpSlidingNode *node);
extern SpSlidingLeaf *sp_sliding_leaf_before(SpSlidingNode *node);
extern void sp_sliding_detach(SpSliding *s, SpSlidingKey *key, SpSlidingNode *node);
extern void sp_sliding_free_node(SpSliding *s, SpSlidingNode *node);

/* sliding_leaf.c */
extern SpSlidingLeaf *sp_sliding_find(SpSliding *s, SpSlidingKey *key, int64 after, int *index);
extern SpSlidingLeaf *sp_sliding_locate(SpSliding *s, const SpSlidingPlace *place, int *index);
extern SpSlidingLeaf *sp_sliding_place(SpSliding *s, SpSlidingKey *key, int64 time, int *index);
extern SpSlidingLeaf *sp_sliding_loaded_leaf(SpSliding *s, SpGroup *group, int n);
extern void sp_sliding_attach(SpSliding *s, SpSlidingKey *key, SpSlidingLeaf *leaf);
extern void sp_sliding_leaf_changed(SpSliding *s, SpSlidingLeaf *leaf);
extern void sp_sliding_remove(SpSliding *s, SpSlidingLeaf *leaf, int index, bool with_values);
extern void sp_sliding_forget_key(SpSliding *s, SpSlidingKey *key);
extern void sp_sliding_purge(SpSliding *s, int64 upto);

/* sliding_retract.c */
extern void sp_sliding_add_place(SpSliding *s, SpSlidingPlaces *places,
								 const SpSlidingPlace *place);
extern void sp_sliding_note(SpSliding *s, SpSlidingPlaces *places, SpSlidingKey *key,
							const SpSlidingEvent *event);
extern void sp_sliding_take_back(SpWindow *w, SpRowSet *rows, SpEvaluated *ev);
extern void sp_sliding_truncate(SpWindow *w);
extern void sp_sliding_fail(SpWindow *w, const char *problem);

/* sliding_settle.c */
extern void sp_sliding_settle(SpWindow *w, XLogRecPtr lsn, TimestampTz time);

#endif
