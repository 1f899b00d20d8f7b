/*
 * engine.h
 *	  Rows to results: what the worker calls.
 *
 * The engine keeps definitions and state in memory.  The worker calls, in this order:
 * sp_engine_start() once; then for each batch sp_engine_apply() for its events and
 * sp_engine_write(); sp_engine_activate() when definitions may have changed;
 * sp_engine_checkpoint() now and then.  Each starts and ends its own transaction(s) and
 * must be called outside one.  An error that leaves is fatal for the process: state in
 * memory is thrown away, the next process starts from the checkpoint.
 */
#ifndef SP_ENGINE_H
#define SP_ENGINE_H

#include "base/event.h"

/*
 * Load definitions and the checkpointed state.  slot_confirmed: the slot's confirmed
 * position, or invalid when there is no (usable) slot; gap_reason then says why.  Objects
 * whose WAL is lost go to state gap.  Returns the LSN from which to decode: the
 * checkpoint's, or invalid when there is none (a new slot's start is then right).
 */
extern XLogRecPtr sp_engine_start(XLogRecPtr slot_confirmed, const char *gap_reason);

/* Are there definitions that want a worker at all? */
extern bool sp_engine_has_streams(void);

/* For sp_decode_open(). */
extern bool sp_engine_is_source(Oid relid);

/*
 * Process events in order, and write the results that are due (trigger '0', or whose
 * time has come, or all when flush).  Positions move with them.  Events are freed.
 * upto: everything before it is covered by the events up to now.
 */
extern void sp_engine_apply(dlist_head *events, XLogRecPtr upto, bool flush);

/*
 * Definitions changed by the commit at lsn (of transaction xid, waited for): load them,
 * drop what is gone, activate what is new: cut, backfill, publish.  upto: position.
 */
extern void sp_engine_activate(TransactionId xid, XLogRecPtr upto);

/* Anything to retry later: activation waiting for a lock, results waiting for a table. */
extern bool sp_engine_pending(void);

/*
 * Save changed state; *state_lsn is what may be confirmed once flush_lsn is flushed.
 */
extern bool sp_engine_checkpoint(XLogRecPtr *state_lsn, XLogRecPtr *flush_lsn);

/*
 * When (on the worker's clock) something is due: a trigger, an idle tick, a checkpoint.
 * PG_INT64_MAX: nothing.  sp_engine_tick() emits the tick messages that are due.
 */
extern TimestampTz sp_engine_next_due(void);
extern void sp_engine_tick(TimestampTz now);

#endif
