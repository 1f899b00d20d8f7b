/*
 * engine.h
 *	  Rows to results: what the worker calls.
 *
 * The engine keeps definitions and state in memory.  The worker calls, in this order:
 * sp_engine_start() once; then for each batch sp_engine_apply() for its events and
 * sp_engine_write(); sp_engine_activate() when definitions may have changed;
 * sp_engine_checkpoint_begin() now and then, and its slices.  Each starts and ends its own
 * transaction(s) and must be called outside one.  An error that leaves is fatal for the
 * process: state in memory is thrown away, the next process starts from the checkpoint.
 */
#ifndef SP_ENGINE_H
#define SP_ENGINE_H

#include "base/event.h"
#include "port/atomics.h"

/*
 * Backfill: history is read in a process of its own, the helper, so that the other streams
 * go on.  Worker and helper share an area.  Its fields say who writes them; the helper
 * writes what a phase promises before it enters it.
 */
typedef enum SpBackfillPhase
{
	SP_BACKFILL_LAUNCHED,		/* not there yet, or waiting for writers: see waits_for */
	SP_BACKFILL_READY,			/* waits for may_cut */
	SP_BACKFILL_CUT,			/* the snapshot is taken: cut_lsn, xmin, xmax, nxip, xip */
	SP_BACKFILL_DONE,			/* committed: max_time */
	SP_BACKFILL_FAILED			/* rolled back: sqlerrcode, message */
} SpBackfillPhase;

typedef struct SpBackfillArea
{
	int32		object;			/* [worker, before the launch] */
	uint32		xip_allocated;	/* [worker, before the launch] */
	XLogRecPtr	lsn;			/* [worker, before the cut] of alerts from history: before all that is
								 * kept, and where no record begins */
	int64		horizon;		/* [worker, before the launch] no row older than that is looked up in
								 * the dedup memory; PG_INT64_MAX: history decides */
	int64		sealed;			/* [worker] before may_cut: rows of the window that is read and end no
								 * later are history */
	pg_atomic_uint32 may_cut;	/* [worker] 1: what the object is to read is in its tables */
	pg_atomic_uint32 phase;		/* [helper] SpBackfillPhase, only grows */
	pg_atomic_uint32 waits_for; /* [helper] process whose transaction it waits for; 0: none, 1: a
								 * prepared one */
	int64		max_time;		/* [helper] largest event time read; PG_INT64_MIN: none */
	int			sqlerrcode;		/* [helper] */
	char		message[512];	/* [helper] */
	XLogRecPtr	cut_lsn;		/* [helper] what the snapshot sees was committed before */
	TransactionId xmin;			/* [helper] the snapshot: what it sees is history */
	TransactionId xmax;
	uint32		nxip;
	TransactionId xip[FLEXIBLE_ARRAY_MEMBER];
} SpBackfillArea;

/* How the engine has a helper started and ended: given by the process layer. */
typedef struct SpHelperRoutine
{
	/* Start one for the object; NULL, and *reason, when there can be none now. */
	SpBackfillArea *(*launch) (int32 object, XLogRecPtr lsn, int64 horizon,
							   const char **reason);
	bool		(*is_running) (void);
	/* Terminate it if it runs, wait until it is gone, give the area back. */
	void		(*end) (void);
} SpHelperRoutine;

/* In the helper: fill the area's object. */
extern void sp_engine_backfill(SpBackfillArea *area);

/*
 * Load definitions and the checkpointed state.  slot_confirmed: the slot's confirmed
 * position, or invalid when there is no (usable) slot; gap_reason then says why.  Objects
 * whose WAL is lost go to state gap.  Returns the LSN from which to decode: the
 * checkpoint's, or invalid when there is none (a new slot's start is then right).
 */
extern XLogRecPtr sp_engine_start(XLogRecPtr slot_confirmed, const char *gap_reason,
								  const SpHelperRoutine *helper);

/* The worker is about to end: give up what is being filled. */
extern void sp_engine_stop(void);

/* Are there definitions that want a worker at all? */
extern bool sp_engine_has_streams(void);

/* For sp_decode_open(). */
extern SpSourceKind sp_engine_is_source(Oid relid);

/*
 * Process events in order, and write the results that are due (trigger '0', or whose
 * time has come, or all when flush).  Positions move with them.  Events are freed.
 * upto: everything before it is covered by the events up to now.
 */
extern void sp_engine_apply(dlist_head *events, XLogRecPtr upto, bool flush);

/*
 * Definitions changed by the commit at lsn (of transaction xid, waited for): load them,
 * drop what is gone, activate what is new, or have it filled first.  upto: position.
 */
extern void sp_engine_activate(TransactionId xid, XLogRecPtr upto);

/* Anything unfinished: objects being filled or to be activated, results waiting for a table. */
extern bool sp_engine_pending(void);

/* Has the helper come further, or can an object that is being filled go on now? */
extern bool sp_engine_has_news(void);

/*
 * Save changed state: begin, at the position that has been applied; false when there is
 * nothing to save, or results that can't be written now must be first.  Then slices, one
 * after each batch: true when the last one is written, and *state_lsn may be confirmed once
 * flush_lsn is flushed.
 */
extern bool sp_engine_checkpoint_begin(void);
extern bool sp_engine_checkpoint_running(void);
extern bool sp_engine_checkpoint_slice(XLogRecPtr *state_lsn, XLogRecPtr *flush_lsn);

/*
 * When (on the worker's clock) something is due: a trigger, an idle tick, a checkpoint.
 * PG_INT64_MAX: nothing.  sp_engine_tick() emits the tick messages that are due, and takes
 * objects that are being filled further.
 */
extern TimestampTz sp_engine_next_due(void);
extern void sp_engine_tick(TimestampTz now);

#endif
