/*
 * backfill_cut.h
 *	  The exact cut between history and what the worker decodes: for the helper alone.
 */
#ifndef SP_BACKFILL_CUT_H
#define SP_BACKFILL_CUT_H

#include "engine/engine.h"

/* Enter a phase, for the worker to see. */
extern void sp_backfill_cut_enter_phase(SpBackfillArea *area, SpBackfillPhase phase);

/* Wait for the transactions that are writing to the table; outside of a transaction. */
extern void sp_backfill_cut_await_writers(SpBackfillArea *area, Oid relid);

/* Wait until the worker has written what the window that is read has, and stands still. */
extern void sp_backfill_cut_await_worker(SpBackfillArea *area);

/* Take the snapshot, which becomes the active one, and tell the worker what it sees. */
extern void sp_backfill_cut_take(SpBackfillArea *area, Oid relid);

#endif
