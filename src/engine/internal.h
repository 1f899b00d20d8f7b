/*
 * internal.h
 *	  What the files of the engine share: objects in memory, groups, rows at work.
 *
 * Everything here belongs to the worker process, which has one thread of control; no
 * locks.  An object (stream, window, detector) owns a memory context; dropping it drops
 * all that the object has.
 *
 * How a change gets from a row to the disk:
 *
 *	apply	a row changes a group; the group is dirty: its result row must be written, and
 *			its page is dirty: its state must be checkpointed
 *	write	the object's dirty groups, alerts and dead letters go to their tables in one
 *			transaction with the position; after its commit (only then) they are clean
 *	save	a checkpoint writes the dirty pages; a group's "dirty" flag is part of its state
 *
 * After a crash the pages are older than the results: events before an object's
 * output_lsn are applied but their output is dropped (SpOutput.replaying).
 *
 * A group may end before its window does (its session was absorbed, its last row taken
 * back).  Its result row is then deleted as others are updated: sp_output_gone() hides the
 * group, so that nothing finds it any more and its key may begin anew as another group; it
 * stays on its page, with what tells its row, until the deletion is committed.
 *
 * Where a window is closed that has more groups than memory holds, whole pages wait to be written
 * rather than groups: see bucket_page.c.
 */
#ifndef SP_ENGINE_INTERNAL_H
#define SP_ENGINE_INTERNAL_H

#include "postgres.h"

#include "base/event.h"
#include "base/tumbling.h"
#include "catalog/dead_letter.h"
#include "catalog/definition.h"
#include "engine/aggregate.h"
#include "engine/engine.h"
#include "engine/expression.h"
#include "engine/group.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "nodes/bitmapset.h"
#include "storage/itemptr.h"
#include "utils/relcache.h"

#define SP_ROWSET_MAX		512 /* rows worked on at a time */
#define SP_NO_WATERMARK		PG_INT64_MIN
#define SP_RESULT_PAGES		(1 << 30)	/* pages of a second set of groups are numbered from here on */
#define SP_TOLD_PAGES		(3 << 29)	/* those of a third */

typedef struct SpStream SpStream;
typedef struct SpWindow SpWindow;
typedef struct SpDetector SpDetector;
typedef struct SpHaving SpHaving;
typedef struct SpInserts SpInserts;
typedef struct SpOrigin SpOrigin;
typedef struct SpSamples SpSamples;

/* ---- rows at work (rowset.c) ---- */

/*
 * Up to SP_ROWSET_MAX rows of one source and one transaction, as arrays of values by the
 * source's attribute numbers, row after row.  Memory: context, reset for the next rowset.
 */
struct SpRowSet
{
	MemoryContext context;
	int			n;
	int			natts;
	Datum	   *values;			/* [n * natts] */
	bool	   *nulls;			/* [n * natts] */
	int64	   *time;			/* [n] event time, in the unit of the source's time type */
	Oid			time_type;
	pg_tz	   *zone;
	bool	   *no_time;		/* [n] event time is null */
	bool	   *skip;			/* [n] nobody shall see the row; NULL: all are seen */
	int64		first_ordinal;	/* of the first row, within the transaction and source */
	XLogRecPtr	lsn;			/* commit record; no record's in a backfill */
	TimestampTz commit_time;
	bool		backfill;
	bool		retract;		/* rows as they were until an UPDATE or DELETE */
	bool		updated;		/* rows as an UPDATE has left them */
	Bitmapset  *unknown;		/* attributes that the WAL doesn't have of these rows */
	bool		provisional;	/* a window's, not sealed: to be scored, not learned */
	SpOrigin   *origin;			/* [n] of a window whose updates are scored; else NULL: sample.h */

	/* the whole row, for dead letters: one of the two */
	const SpChunk *chunk;
	const char **row_at;		/* [n] */
	TupleDesc	desc;			/* backfill: values holds every attribute */
};

/* ---- output ---- */

typedef struct SpDeadLetter
{
	dlist_node	node;
	const char *reason;			/* constant */
	char	   *sqlstate;
	char	   *message;
	int64		event_time;		/* as timestamptz; SP_NO_TIME */
	int64		missed_until;	/* likewise: end of the last window it is not in; SP_NO_TIME: all */
	XLogRecPtr	lsn;
	int64		ordinal;
	TupleDesc	desc;
	Datum	   *values;
	bool	   *nulls;
} SpDeadLetter;

typedef struct SpAlert
{
	dlist_node	node;
	bool		is_anomaly;
	bool		notify;
	int64		time;			/* of the event, in the unit of the source's time type */
	XLogRecPtr	lsn;
	int64		ordinal;
	Datum	   *values;			/* of the result table's columns */
	bool	   *nulls;
	const struct SpReport *report;	/* of SpReports: all there is of it */
} SpAlert;

/* What an object has computed and not yet written. */
struct SpOutput
{
	SpWindow   *window;			/* whose groups there are; NULL: there are none */
	MemoryContext context;		/* alerts and dead letters; reset when all are written */
	dlist_head	dead;
	dlist_head	alerts;
	uint64		ndead;
	uint64		nalerts;
	SpGroup   **groups;			/* dirty ones (windows) */
	int			ngroups;
	int			groups_allocated;
	bool		any_gone;		/* among the dirty groups */
	SpPage	  **pages;			/* all of whose other groups are to be written, too */
	int			npages;
	int			pages_allocated;
	uint64		npage_groups;	/* on them */
	SpInserts  *inserts;		/* result rows that never change; NULL: there are no such */
	uint64		ninserts;
	XLogRecPtr	output_lsn;		/* results are written up to here, as last committed */
	bool		replaying;		/* events before output_lsn: their output is dropped */
	TimestampTz first_change;	/* when the oldest unwritten change came; 0: none */
	TimestampTz retry_at;		/* writing failed: not before; 0: it didn't */
	int			failures;
	bool		reported;		/* object_state tells that writing fails */
	bool		lookup;			/* result rows may exist that we have no TID of */
};

/* ---- objects ---- */

/* Deleting old results: when next, and up to which watermark it is done. */
typedef struct SpRetention
{
	TimestampTz at;
	int64		done;
	bool		reported;		/* object_state tells that it fails */
} SpRetention;

struct SpStream
{
	MemoryContext context;
	SpStreamDef *def;
	TupleDesc	desc;			/* of the relation */
	bool		is_stream_table;
	bool		partitioned;
	List	   *windows;		/* of SpWindow *, that take its rows, in order of id */
	List	   *detectors;
	int			max_attnum;		/* highest attribute that anyone needs */
	Bitmapset  *attributes;		/* that someone needs */
	pg_tz	   *zone;			/* of timestamp and date columns */
	SpOutput	output;			/* dead letters of the stream itself: rows without time */

	/* state, saved in page 0 of the stream */
	int64		max_time;		/* largest event time that moved the watermark; PG_INT64_MIN */
	int64		watermark;		/* SP_NO_WATERMARK */
	TimestampTz last_input;		/* commit time of the last transaction with rows; 0 */
	uint64		rows;
	uint64		updates;		/* not followed; likewise: */
	uint64		deletes;
	uint64		truncates;
	bool		changed;		/* since the last checkpoint */

	struct SpDedup *dedup;		/* NULL: there is no dedup_key; has state as well */

	/* the transaction at work */
	int64		txn_max;		/* PG_INT64_MIN: no row moved it */
	int64		txn_ordinal;	/* rows seen */
	bool		txn_retracts;	/* some of its rows are taken back, or may be */
	bool		txn_changed;	/* rows were taken back */

	TimestampTz tick_sent;		/* not read back yet; 0: none */
};

/*
 * One window in time, or one pane, with its groups.  "at" tells it from the others of its
 * list and orders them: the start, or where windows share a start the end.
 */
struct SpBucket
{
	int64		at;
	int64		start;
	int64		end;
	bool		final;			/* and so are all its groups */
	bool		sealed;			/* and so are all its groups */
	bool		entered;		/* its groups are in the hash table, where that is done late */
	int			ngroups;
	int			ndirty;			/* groups not written yet, or more */
	dlist_head	groups;			/* in order of creation: all, or the first */
	SpPage	  **pages;			/* that are its own: see bucket_page.c */
	int			npages;
	int			pages_allocated;
	int			first_open_page;	/* index: on all before it all groups are final */
	int			first_unsealed_page;	/* index: likewise sealed */
};

/* Buckets in order of "at" (bucket.c). */
typedef struct SpBuckets
{
	MemoryContext context;
	SpBucket  **array;
	int			first;			/* index of the first one */
	int			n;				/* index behind the last one */
	int			allocated;
	int			first_open;		/* index: all before it are final */
	int			first_unsealed; /* index: all before it are sealed */
	SpBucket   *last;			/* used last; NULL: none */
} SpBuckets;

/* A row of a rowset in one of its windows, or in its pane. */
typedef struct SpPlacement
{
	int			row;
	int64		at;
	int64		start;
	int64		end;
} SpPlacement;

/*
 * What a kind of windows does its own way.  Everything is decided by the rows, the clock and
 * the durable state, in an order that is the same after a restart.
 */
typedef struct SpWindowOps
{
	Size		head_size;		/* of what is its own in a group's value, before the aggregates */
	Size		value_size;		/* of all of a group's value, where it doesn't have them; else 0 */
	int			needs;			/* SP_AGG_* of its aggregates */
	bool		has_partials;	/* behind a group's value: aggregates again, see pane.h */
	/* the aggregates are bound, their places in a group's value known */
	void		(*open) (SpWindow *w);
	/* rows that pass, their expressions evaluated */
	void		(*apply) (SpWindow *w, SpRowSet *rows, SpEvaluated *ev);
	/* all rows are taken back, but for windows past grace */
	void		(*truncate) (SpWindow *w);
	/* the rows of a transaction are in, some of them taken back; NULL: there is nothing to do */
	void		(*settle) (SpWindow *w, XLogRecPtr lsn, TimestampTz time);
	/* the watermark stands there since the event at lsn, or before */
	void		(*close) (SpWindow *w, int64 watermark, XLogRecPtr lsn, TimestampTz time);
	/* forget what no row can amend any more, and is written */
	void		(*purge) (SpWindow *w, int64 data_watermark);
	/* the watermark at which something is to be closed next; DT_NOEND: none */
	int64		(*next_due) (const SpWindow *w);
	/* start and end of a group's result row */
	void		(*bounds) (SpWindow *w, SpGroup *group, int64 *start, int64 *end);
	/* the group with these keys, of sp_window_hash(), or NULL; NULL: by w->groups' hash table */
	SpGroup    *(*find) (SpWindow *w, uint32 hash, int64 at, const Datum *keys, const bool *nulls);
	/* have what find looks at in the cache by then, in three steps from 0; NULL where find is */
	void		(*prefetch) (SpWindow *w, uint32 hash, int step);
	/* sp_window_add_group() has made a group, which has no rows yet */
	void		(*added) (SpWindow *w, SpGroup *group);
	/* rows have changed it */
	void		(*changed) (SpWindow *w, SpGroup *group);
	/* forget it */
	void		(*remove) (SpWindow *w, SpGroup *group);
	SpValueWrite write_value;
	SpValueRead read_value;
	/* all pages are loaded: bring the groups into order */
	void		(*loaded) (SpWindow *w);
} SpWindowOps;

/* At the head of a group's value, where w->has_tally. */
typedef struct SpTally
{
	int64		rows;			/* that it holds */
	int64		silent;			/* windows of its key without rows, up to and with the one before */
} SpTally;

struct SpWindow
{
	MemoryContext context;
	SpWindowDef *def;
	SpStream   *stream;			/* whose clock it follows */
	SpWindow   *upstream;		/* whose rows it takes; NULL: the stream's */
	const SpWindowOps *ops;
	SpExpressions *expressions;
	SpTumbling	tumbling;
	struct SpSteps *steps;		/* of windows that overlap */
	int			nkeys;
	int			ncarry;
	int			naggs;
	int			nshown;			/* of these: the others are for HAVING only */
	SpAggregate **aggs;
	Size	   *agg_offset;		/* within the group's value */
	Size		agg_start;		/* of the first one */
	Size		value_size;
	bool		has_tally;		/* before all else in the value */
	bool		retracts;		/* rows may be taken back: see retract.c */
	bool		native;			/* all aggregates */
	int			nkept;			/* what shares the room for rows in a value */
	SpHaving   *having;			/* which groups have a result row; NULL: all */
	/* which of the evaluated expressions are the aggregates' filters and arguments */
	int			nevaluated;
	SpExpression **evaluated;	/* keys first, then what is carried */
	int		   *agg_filter;		/* -1: none */
	int		   *agg_first_arg;

	SpGroups	groups;
	SpBuckets	buckets;		/* of the groups: open, and closed ones still in memory */
	struct SpPanes *panes;		/* the groups are panes; NULL: they aren't, they have the result rows */
	SpGroups	results;		/* of panes: values as in groups */
	SpBuckets	closed;			/* of the results */
	SpGroups   *result_groups;	/* those that have result rows */
	int64		spoiled;		/* panes: windows that end here or before take no more rows; page 0 */
	int64		closed_until;	/* panes: the watermark up to which windows are closed; page 0 */
	int64		advanced_to;	/* watermark up to which it has closed what there was */
	struct SpSliding *sliding;	/* of a sliding window; its groups are in no buckets */
	struct SpSessions *sessions;	/* the groups are sessions; NULL: they aren't */
	uint64		rows;			/* taken; page 0 */
	uint64		late;			/* not taken; page 0 */
	uint64		retracted;		/* taken back; page 0 */
	uint64		ignored;		/* neither, for their windows are past grace, or never had them; page 0 */
	struct SpRefusal *refused;	/* rows that a transition refused (refusal.c); page 0 */
	int			nrefused;
	int64		floor;			/* windows that end here or before take no rows: they have lost some
								 * that can't be read again; page 0 */

	SpOutput	output;
	List	   *detectors;		/* that take our rows when they are sealed */
	List	   *windows;		/* likewise */
	SpSamples  *samples;		/* changed groups, for those that score updates; NULL: nobody does */
	MemoryContext result_context;
	int			natts;			/* of the result table, as created */
	Oid		   *types;
	TupleDesc	result_desc;
	int			nresult_keys;	/* the key of the result table */
	AttrNumber *result_keys;
	XLogRecPtr	feed_lsn;		/* event whose sealed rows are being counted */
	int64		feed_ordinal;
	SpRetention retention;
	SpRetention changes_retention;
};

struct SpDetector
{
	MemoryContext context;
	SpDetectorDef *def;
	SpStream   *stream;			/* one of the two */
	SpWindow   *window;
	const struct SpMethod *method;
	struct SpPool *pool;		/* what its keys have in common; NULL: nothing; page 0 */
	struct SpExplanation *explanation;	/* room for that of the row at work */
	SpExpressions *expressions;
	SpExpression **evaluated;	/* all columns: [value,] keys, carry, features, rules */
	int			nevaluated;
	int			first_key;
	int			first_carry;
	int			first_feature;
	int			first_rule;
	bool		keyed;			/* has state by key: the method's, or the cooldown's */
	SpGroups	groups;
	struct SpTimers *timers;	/* NULL: what the clock says doesn't matter (timer.h) */
	struct SpMicro *micro;		/* NULL: each row is scored when it comes (micro_batch.h) */
	SpGroups	overrides;		/* what is set for single keys: override.h */
	XLogRecPtr	settings_lsn;	/* of commits that start before, it is in them; page 0 */
	Oid			time_type;
	int			natts;			/* of the result table */
	Oid		   *types;
	uint64		rows;			/* scored; page 0 */
	uint64		ready;			/* keys that have learned enough; page 0 */
	int64		learned;		/* by the last one that had not; page 0 */
	SpGroups	told;			/* rows of a window that it has told of, not sealed yet: sample.h */
	int64		told_due;		/* none of them can be forgotten before that watermark */
	bool		changed;		/* since the last checkpoint */
	SpOutput	output;
	SpRetention retention;
};

/* Rows that a detector's shield has refused: the engine's, whatever state the detector is in. */
typedef struct SpReports
{
	MemoryContext context;
	SpObjectDef o;				/* the detector, as last seen; relid invalid: it isn't there */
	SpOutput	output;
} SpReports;

typedef struct SpEngine
{
	MemoryContext context;
	List	   *streams;		/* of SpStream *, SpWindow *, SpDetector *, in order of id */
	List	   *windows;
	List	   *detectors;
	List	   *reports;		/* of SpReports * */
	MemoryContext definitions_context;	/* of the definitions that objects point to */
	SpDefinitions *definitions;
	char	   *slot_name;
	XLogRecPtr	upto;			/* everything before it is applied */
	XLogRecPtr	state_lsn;		/* of the last checkpoint */
	int64		generation;		/* of its state pages */
	bool		changed;		/* positions or state moved since the last checkpoint */
	bool		progressed;		/* since object_progress was written */
	bool		activation_pending;
	TimestampTz activation_retry;
	int			activation_failures;
	MemoryContext rowset_context;
	const SpHelperRoutine *helper;
	int			nwaiting;		/* objects that wait until another one is filled */
	int32		fill_after;		/* whose turn comes last, and of those before it */
	bool		fresh;			/* without a position: whatever is defined is met */
} SpEngine;

extern SpEngine sp_engine;

/* engine.c: set up what does not depend on any database's streams. */
extern void sp_engine_initialize(void);

/* Start a transaction, with a snapshot. */
extern void sp_engine_begin(void);

/* Until its end, wait for locks no longer than streamproc.lock_timeout. */
extern void sp_engine_limit_waits(void);

/* rowset.c */
extern void sp_rowset_init(SpRowSet *rows, MemoryContext context, int natts, int capacity);
extern void sp_rowset_each(SpStream *stream, const SpChunk *chunk, const SpEvent *event,
						   void (*apply) (SpStream *, SpRowSet *));
extern void sp_rowset_set_time(SpRowSet *rows, int i, const SpStream *stream);
extern void sp_rowset_set_result_time(SpRowSet *rows, int i, const SpWindow *w);
extern void sp_rowset_full_row(const SpRowSet *rows, int i, TupleDesc *desc,
							   Datum **values, bool **nulls);
extern int64 sp_time_to_utc(int64 time, Oid type, pg_tz *zone);
extern int64 sp_time_from_utc(TimestampTz time, Oid type, pg_tz *zone);

/* output.c */
extern void sp_output_init(SpOutput *output, MemoryContext parent);
extern void sp_output_dead(SpOutput *output, const SpRowSet *rows, int i,
						   const char *reason, const char *sqlstate, const char *message);
extern void sp_output_dead_partly(SpOutput *output, const SpRowSet *rows, int i,
								  const char *message, int64 missed_until);
extern void sp_output_group(SpOutput *output, SpGroup *group);
extern void sp_output_page(SpOutput *output, SpPage *page);
extern bool sp_output_has(const SpOutput *output, const SpGroup *group);
extern void sp_output_committed(SpOutput *output);
extern void sp_output_gone(SpWindow *w, SpGroup *group);
extern void sp_output_sort(SpOutput *output);
extern bool sp_output_is_empty(const SpOutput *output);
extern uint64 sp_output_count(const SpOutput *output);
extern void sp_output_reach(SpOutput *output, XLogRecPtr lsn);
extern void sp_output_clear(SpOutput *output);

/* inserts.c */
struct SpWriter;
extern SpInserts *sp_inserts_create(MemoryContext context, Oid relid, TupleDesc desc);
extern void sp_inserts_begin(SpOutput *output);
extern void sp_inserts_add(SpOutput *output, const Datum *values, const bool *nulls);
extern void sp_inserts_write(SpOutput *output, struct SpWriter *writer);
extern void sp_inserts_clear(SpOutput *output);

/* window_open.c, window.c */
extern SpWindow *sp_window_open(SpWindowDef *def, SpStream *stream, SpWindow *upstream);
extern void sp_window_apply(SpWindow *w, SpRowSet *rows);

/* key_size.c */
extern void sp_key_size_check(SpWindow *w, const SpRowSet *rows, SpEvaluated *ev);
extern bool sp_window_takes(const SpWindow *w, const SpEvaluated *ev, int a, int i);
extern const char *sp_window_refuse_key(int *sqlstate);
extern const char *sp_window_reason(const char *message);
extern SpGroup *sp_window_find(SpWindow *w, const SpEvaluated *ev, const SpPlacement *p);
extern uint32 sp_window_hash(SpWindow *w, int64 at, const Datum *keys, const bool *nulls);
extern SpGroup *sp_window_find_group(SpWindow *w, uint32 hash, int64 at, const Datum *keys,
									 const bool *nulls);
extern SpGroup *sp_window_add_group(SpWindow *w, uint32 hash, const SpPlacement *p,
									const Datum *keys, const bool *nulls);
extern void sp_window_init_value(SpWindow *w, SpGroup *group);
extern void sp_window_release_value(SpWindow *w, SpGroup *group);
extern void sp_window_release_any(void *window, SpGroup *group);
extern void sp_window_write_value(void *window, SpGroup *group, StringInfo buf);
extern void sp_window_read_value(void *window, SpGroup *group, const char **p, const char *end);
extern void sp_window_place(SpWindow *w, SpRowSet *rows, SpEvaluated *ev,
							const SpPlacement *placements, int n);

#define sp_window_tally(w, group) ((SpTally *) sp_group_value(&(w)->groups, group))

/* Do its groups stand in buckets? */
static inline bool
sp_window_has_buckets(const SpWindow *w)
{
	return !w->groups.can_spill || w->groups.own_only;
}

/* A value without its head: the tally, if there is one, and the aggregates. */
static inline Size
sp_window_partial_size(const SpWindow *w)
{
	return (w->has_tally ? sizeof(SpTally) : 0) + w->value_size - w->agg_start;
}

/* retract.c: rows that are taken back */
extern void sp_retract_chunk(SpStream *s, const SpChunk *chunk, const SpEvent *event);
extern bool sp_retract_knows_time(SpStream *s, const SpRowSet *rows);
extern bool sp_retract_window_knows(SpWindow *w, const SpRowSet *rows);
extern bool sp_retract_detector_knows(SpDetector *d, const SpRowSet *rows);
extern void sp_retract_place(SpWindow *w, SpRowSet *rows, SpEvaluated *ev,
							 const SpPlacement *p, int n);
extern void sp_retract_ignore(SpWindow *w);
extern void sp_retract_refuse(SpStream *s, XLogRecPtr lsn);

/* refusal.c: rows that can't be, for a transition has refused them */
extern void sp_refusal_note(SpWindow *w, const SpRowSet *rows, const SpEvaluated *ev,
							const SpPlacement *last);
extern bool sp_refusal_take(SpWindow *w, const SpRowSet *rows, const SpEvaluated *ev, int i);
extern void sp_refusal_write(const SpWindow *w, StringInfo buf);
extern void sp_refusal_read(SpWindow *w, const char **p, const char *end);

/* clock.c */
extern int64 sp_clock_watermark(const SpWindow *w);
extern void sp_clock_set(SpWindow *w);
extern int64 sp_clock_watermark_at(const SpWindow *w, int64 watermark);
extern int64 sp_clock_data_watermark(const SpWindow *w);
extern int64 sp_clock_reach_for(const SpWindow *w, int64 watermark);
extern int64 sp_clock_last_of(const SpWindow *w, int64 end);
extern bool sp_clock_is_late(const SpWindow *w, const SpRowSet *rows, int64 time, int64 end);
extern void sp_clock_advance(SpWindow *w, XLogRecPtr lsn, TimestampTz time);
extern int64 sp_clock_add(int64 time, int64 us);
extern int64 sp_clock_behind(int64 time, int64 us);

/* Does the object take what comes with the event at lsn? */
static inline bool
sp_clock_takes(const SpObjectDef *o, XLogRecPtr lsn)
{
	return o->state == SP_STATE_RUNNING && lsn >= o->start_lsn;
}

/* bucket.c: lists of buckets */
extern void sp_bucket_init(SpBuckets *list, MemoryContext context);
extern int	sp_bucket_position(const SpBuckets *list, int64 at);
extern SpBucket *sp_bucket_find(SpBuckets *list, int64 at);
extern SpBucket *sp_bucket_get(SpBuckets *list, int64 at, int64 start, int64 end);
extern void sp_bucket_reopen(SpBuckets *list, SpBucket *bucket);
extern void sp_bucket_attach(SpBuckets *list, SpBucket *bucket, SpGroup *group);
extern void sp_bucket_hide(SpGroup *group);
extern void sp_bucket_detach(SpGroup *group);
extern bool sp_bucket_shift(SpBuckets *list);
extern List *sp_bucket_sorted_groups(const SpGroups *groups);

extern void sp_bucket_mark(SpBucket *bucket);

/* late.c */
extern void sp_late_reject(SpWindow *w, SpRowSet *rows, int i);
extern void sp_late_partly(SpWindow *w, SpRowSet *rows, int i, int64 first, int64 last);

/* fill.c */
extern void sp_fill_carry(SpWindow *w, SpBucket *bucket, int64 at, int64 start, int64 end);
extern void sp_fill_carry_group(SpWindow *w, SpGroup *group, int64 at, int64 start, int64 end);

/* pane.c: hopping and cumulative windows that appear when they are closed */
extern const SpWindowOps sp_pane_ops;

/* bucket_window.c: windows whose groups stand in buckets, one for each window */
extern const SpWindowOps sp_bucket_window_ops;
extern void sp_bucket_window_changed(SpWindow *w, SpGroup *group);
extern SpBucket *sp_bucket_window_get(SpWindow *w, int64 at);

/* bucket_page.c: pages that are a bucket's own */
extern bool sp_bucket_page_is_next(const SpBucket *bucket);
extern SpGroup *sp_bucket_page_add(SpGroups *groups, SpBucket *bucket, uint32 hash,
								   const Datum *keys, const bool *nulls);
extern void sp_bucket_page_leave(SpGroups *groups, SpGroup *group);
extern void sp_bucket_page_finish(SpWindow *w, SpBucket *bucket);
extern void sp_bucket_page_drop_all(SpGroups *groups, SpBucket *bucket);
extern void sp_bucket_page_loaded(SpWindow *w, SpPage *page);
extern void sp_bucket_page_all_loaded(SpBucket *bucket);

/* sliding.c: an answer for each event */
extern const SpWindowOps sp_sliding_ops;

/* session_close.c: sessions */
extern const SpWindowOps sp_session_ops;
extern int64 sp_session_oldest(SpWindow *w);

/* result.c: result rows, and handing them to what reads the window */
typedef struct SpFeed
{
	SpWindow   *window;
	bool		wanted;			/* somebody reads the window */
	bool		provisional;	/* the rows aren't sealed: for those that score updates */
	XLogRecPtr	lsn;
	TimestampTz time;
	int			n;
	SpGroup    *groups[SP_ROWSET_MAX];
} SpFeed;

extern void sp_result_rows(SpWindow *w, SpGroup **groups, int n, Datum *values, bool *nulls);
extern Datum sp_result_time(int64 time, Oid type);
extern int64 sp_result_event_time(const SpWindow *w, int64 end);
extern bool sp_result_is_read(const SpWindow *w);
extern void sp_result_feed_begin(SpFeed *feed, SpWindow *w, XLogRecPtr lsn, TimestampTz time);
extern void sp_result_feed_group(SpFeed *feed, SpGroup *group);
extern void sp_result_seal(SpFeed *feed, SpBucket *bucket);
extern void sp_result_feed_end(SpFeed *feed);
extern void sp_result_begin_rows(SpWindow *w, SpRowSet *rows, int capacity, XLogRecPtr lsn,
								 TimestampTz time);
extern void sp_result_feed_rows(SpWindow *w, SpRowSet *rows);

/* having.c */
extern void sp_having_open(SpWindow *w);
extern bool sp_having_passes(SpWindow *w, SpGroup *group, const Datum *values, const bool *nulls);
extern bool sp_having_passes_row(SpWindow *w, const Datum *values, const bool *nulls,
								 const Datum *results, const bool *result_nulls);

/* detector.c */
extern SpDetector *sp_detector_open(SpDetectorDef *def, SpStream *stream, SpWindow *window);
extern void sp_detector_apply(SpDetector *d, SpRowSet *rows);
extern void sp_detector_is_damaged(const SpDetector *d);
extern void sp_detector_apply_evaluated(SpDetector *d, SpRowSet *rows, SpEvaluated *ev);
extern void sp_detector_write_value(void *detector, SpGroup *group, StringInfo buf);
extern void sp_detector_read_value(void *detector, SpGroup *group, const char **p, const char *end);

/* report.c: rows that shields have refused */
extern SpReports *sp_report_get(int32 detector);
extern void sp_report_take(const SpEvent *event);
extern bool sp_report_write(SpReports *r, uint64 *written, uint64 *dead);
extern void sp_report_forget(void);

/* write.c */
typedef enum SpWriteWhat
{
	SP_WRITE_DUE,				/* what is due */
	SP_WRITE_FOR_CHECKPOINT,	/* and what is in no checkpoint */
	SP_WRITE_ALL
} SpWriteWhat;
extern void sp_write_and_commit(XLogRecPtr upto, SpWriteWhat what);
extern void sp_write_backfill(SpWindow *w, SpDetector *d);
extern bool sp_write_alone(SpWindow *w, SpDetector *d);
extern void sp_write_position(XLogRecPtr upto, XLogRecPtr state_lsn, int64 generation);
extern bool sp_write_holds_back_checkpoint(void);
extern TimestampTz sp_write_next_due(void);

/* write_window.c */
extern uint64 sp_write_window_groups(SpWindow *w);
extern uint64 sp_write_window_inserts(SpWindow *w);

/* memory.c */
extern void sp_memory_watch(void);

/* failure.c */
extern void sp_failure_window(SpWindow *w, const char *reason);
extern void sp_failure_detector(SpDetector *d, const char *reason);
extern void sp_failure_readers(SpStream *s, const char *reason);
extern bool sp_failure_any(void);
extern bool sp_failure_is(int32 id);
extern void sp_failure_raise(int32 id);
extern void sp_failure_settle(void);

/* sweep.c */
extern Oid	sp_sweep_changes_of(const SpObjectDef *def);
extern uint64 sp_sweep_delete(Oid relid, Oid changes, const char *query, int nargs, Oid *types,
							  Datum *args);
extern void sp_sweep_disown(Oid relid, Oid changes, const char *query);

/* retention.c */
extern TimestampTz sp_retention_next_due(void);
extern void sp_retention_run(TimestampTz now);

/* pipeline.c */
extern void sp_pipeline_apply(SpEvent *event);
extern void sp_pipeline_reach(XLogRecPtr upto);
extern void sp_pipeline_stream_rows(SpStream *stream, SpRowSet *rows);
extern void sp_pipeline_raise_clock(SpStream *s, int64 max_time, int64 watermark);
extern void sp_pipeline_close_windows(SpStream *s, XLogRecPtr lsn, TimestampTz time);
extern int64 sp_pipeline_idle_watermark(const SpStream *stream, TimestampTz now);
extern TimestampTz sp_pipeline_tick_due(const SpStream *stream);

/* registry.c */
extern SpStream *sp_registry_open_stream(SpStreamDef *def);
extern Relation sp_registry_look_at(Oid relid);
extern char *sp_registry_relation_name(Oid relid);
extern void sp_registry_refresh_stream(SpStream *s);
extern void sp_registry_check_result(const SpObjectDef *o, TupleDesc desc, int natts,
									 const Oid *types);
extern void sp_registry_need_attributes(SpStream *stream, const SpExpressions *exprs);
extern List *sp_registry_append(List *list, void *object);
extern void sp_registry_add_window(SpWindow *w);
extern void sp_registry_drop_stream(SpStream *s);
extern void sp_registry_forget(const SpObjectDef *o);
extern void sp_registry_forget_id(int32 id);
extern SpStream *sp_registry_find_stream(Oid relid);
extern SpWindow *sp_registry_find_window(Oid relid);
extern void sp_registry_sync(TransactionId xid);
extern void sp_registry_drop_window(SpWindow *w);
extern void sp_registry_drop_detector(SpDetector *d);

/* activate.c */
extern void sp_activate_new(XLogRecPtr upto);

extern void sp_activate_failed(SpObjectDef *def, const ErrorData *error);
extern int	sp_activate_postpone(int least_ms);
extern void sp_activate_soon(void);
extern bool sp_activate_others_wait(void);
extern void sp_activate_tell(const SpObjectDef *def, const char *reason);
extern void sp_activate_set_running(const SpObjectDef *def);
extern bool sp_activate_is_settled(void);
extern void sp_activate_write_all(XLogRecPtr upto);

/* backfill.c: the helper's side; and deleting what an earlier life has written. */
extern void sp_backfill_clear(const SpObjectDef *def);

/* starting.c: the worker's side */
extern bool sp_starting_is(const SpObjectDef *def);
extern bool sp_starting_any(void);
extern XLogRecPtr sp_starting_position(const SpObjectDef *def);
extern bool sp_starting_begin(SpObjectDef *def, const char **reason);
extern bool sp_starting_reads(const SpWindow *w);
extern void sp_starting_keep_commit(const SpStream *s, const SpEvent *event);
struct SpSetting;
extern void sp_starting_keep_setting(const struct SpSetting *setting, const SpEvent *event);
extern void sp_starting_break(const SpStream *s);
extern void sp_starting_keep_tick(const SpStream *s, const SpEvent *event);
extern void sp_starting_keep_rows(const SpWindow *w, const SpRowSet *rows);
extern void sp_starting_step(TimestampTz now);
extern TimestampTz sp_starting_due(void);
extern void sp_starting_sync(void);
extern void sp_starting_abandon(void);

#endif
