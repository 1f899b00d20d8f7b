/*
 * saving.c
 *	  A checkpoint, a slice at a time.
 *
 * A checkpoint is the state at one position.  It begins between two batches: what is dirty
 * then is marked, which takes a moment.  The pages are written in slices, each in a small
 * transaction of its own between the batches that follow, under a generation that isn't
 * valid yet.  The last slice writes the position, which makes the generation valid:
 *
 *	begin at L ---> slice, batch, slice, batch, ... ---> position (L, generation)
 *
 * A crash before that leaves the earlier checkpoint valid.  Results that are written
 * meanwhile move output_lsn, not state_lsn: a replay from L gathers them again and drops them.
 *
 * An object that comes to life has its state written in the transaction that makes it so, for
 * it takes no event before its start_lsn.  Where little else is dirty that transaction is a
 * whole checkpoint; where there is much, or a checkpoint is at work, the others' state is
 * left to the next one.
 */
#include "engine/internal.h"

#include "access/xact.h"
#include "base/compat.h"
#include "base/debug.h"
#include "base/shared.h"
#include "catalog/page.h"
#include "engine/dedup.h"
#include "engine/saving.h"
#include "portability/instr_time.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#define SLICE_MS		10
#define FEW_PAGES		200		/* so many take about as long as a slice */
#define AHEAD_SLICES	1000	/* then what is left is written at once */

/* A state that was asked for and had been met when the checkpoint began. */
typedef struct Request
{
	int32		object;
	TransactionId xid;
	int			nmet;			/* as settled in the last slice; 0: not */
} Request;

/* State that is being written. */
typedef struct Saving
{
	MemoryContext context;		/* NULL: nothing is */
	XLogRecPtr	lsn;			/* what it covers; invalid: it is one object's */
	int64		generation;
	List	   *parts;			/* of SpStatePart *; those not written yet */
	List	   *taken;			/* all of them */
	List	   *requests;		/* of Request * */
	bool		finished;		/* the position is written */
} Saving;

static Saving checkpoint;		/* in slices */
static Saving activation;		/* in the transaction that makes an object a running one */

/* Is a checkpoint at work? */
bool
sp_saving_is_running(void)
{
	return checkpoint.context != NULL;
}

/* ---- beginning ---- */

/* Start to note what is to be written. */
static void
begin_saving(Saving *work, XLogRecPtr lsn, int64 generation)
{
	Assert(work->context == NULL);
	memset(work, 0, sizeof(*work));
	work->context = AllocSetContextCreate(sp_engine.context, "streamproc saving",
										  ALLOCSET_SMALL_SIZES);
	work->lsn = lsn;
	work->generation = generation;
}

/* Note an object's state, if there is any to be written. */
static void
add_part(Saving *work, SpStatePart *part)
{
	if (part == NULL)
		return;
	work->parts = lappend(work->parts, part);
	work->taken = lappend(work->taken, part);
}

/* Note the states that were asked for: from the position on they need not be met again. */
static void
take_requests(Saving *work, List *defs)
{
	ListCell   *lc;

	foreach(lc, defs)
	{
		SpObjectDef *o = lfirst(lc);
		Request    *request;

		if (o->nmet == 0)
			continue;
		request = palloc0(sizeof(Request));
		request->object = o->id;
		request->xid = o->request_xids[o->nmet - 1];
		work->requests = lappend(work->requests, request);
	}
}

/* Take everybody's state, or only one object's. */
static void
take_parts(Saving *work, const SpObjectDef *only)
{
	MemoryContext old = MemoryContextSwitchTo(work->context);
	ListCell   *lc;

	foreach(lc, sp_engine.streams)
	{
		SpStream   *s = lfirst(lc);

		if (only == NULL || &s->def->o == only)
			add_part(work, sp_checkpoint_take_stream(s));
	}
	foreach(lc, sp_engine.windows)
	{
		SpWindow   *w = lfirst(lc);

		if (only == NULL || &w->def->o == only)
			add_part(work, sp_checkpoint_take_window(w));
	}
	foreach(lc, sp_engine.detectors)
	{
		SpDetector *d = lfirst(lc);

		if (only == NULL || &d->def->o == only)
			add_part(work, sp_checkpoint_take_detector(d));
	}
	MemoryContextSwitchTo(old);
}

/* Begin to save everything, as it is at lsn. */
static void
begin_all(Saving *work, XLogRecPtr lsn)
{
	SpDefinitions *defs = sp_engine.definitions;
	MemoryContext old;

	begin_saving(work, lsn, sp_page_new_generation());
	take_parts(work, NULL);
	old = MemoryContextSwitchTo(work->context);
	take_requests(work, defs->streams);
	take_requests(work, defs->windows);
	take_requests(work, defs->detectors);
	MemoryContextSwitchTo(old);
	sp_engine.changed = false;
}

/* Begin a checkpoint of what has been applied, up to state_lsn. */
void
sp_saving_begin(XLogRecPtr state_lsn)
{
	begin_all(&checkpoint, state_lsn);
}

/* ---- writing ---- */

/* The definition of that id, or NULL. */
static SpObjectDef *
find_definition(int32 id)
{
	SpDefinitions *defs = sp_engine.definitions;
	List	   *lists[3] = {defs->streams, defs->windows, defs->detectors};
	ListCell   *lc;
	int			i;

	for (i = 0; i < 3; i++)
	{
		foreach(lc, lists[i])
		{
			if (((SpObjectDef *) lfirst(lc))->id == id)
				return lfirst(lc);
		}
	}
	return NULL;
}

/* States that were asked for, and met: from now on no replay comes to where they began. */
static void
settle_requests(Saving *work)
{
	ListCell   *lc;
	int			i;

	foreach(lc, work->requests)
	{
		Request    *request = lfirst(lc);
		SpObjectDef *o = find_definition(request->object);

		request->nmet = 0;
		for (i = o ? o->nmet : 0; i > 0 && o->request_xids[i - 1] != request->xid; i--)
			;
		if (i > 0 && sp_definition_settle(o, i))
			request->nmet = i;
	}
}

/* The transaction that settled them has committed. */
static void
forget_requests(Saving *work)
{
	ListCell   *lc;

	foreach(lc, work->requests)
	{
		Request    *request = lfirst(lc);
		SpObjectDef *o = find_definition(request->object);
		int			n = request->nmet;

		if (o == NULL || n == 0)
			continue;
		o->nrequests -= n;
		o->nmet -= n;
		memmove(o->requests, o->requests + n, sizeof(SpObjectState) * o->nrequests);
		memmove(o->request_xids, o->request_xids + n, sizeof(TransactionId) * o->nrequests);
	}
}

/* Is a slice's time over?  Tests want as many slices as there can be. */
static bool
is_over(const instr_time *begin)
{
	instr_time	spent;

	if (sp_guc_debug_points)
		return true;
	INSTR_TIME_SET_CURRENT(spent);
	INSTR_TIME_SUBTRACT(spent, *begin);
	return INSTR_TIME_GET_MILLISEC(spent) >= SLICE_MS;
}

/* Write pages, all or for the time of a slice; true: all are written. */
static bool
write_pages(Saving *work, bool limited)
{
	instr_time	begin;

	INSTR_TIME_SET_CURRENT(begin);
	sp_page_begin(work->generation);
	while (work->parts != NIL)
	{
		if (!sp_checkpoint_save_next(linitial(work->parts)))
			work->parts = list_delete_first(work->parts);
		else if (limited && is_over(&begin))
			break;
	}
	sp_page_end();
	return work->parts == NIL;
}

/* Write what belongs to the position, and it. */
static void
write_position(Saving *work, XLogRecPtr upto)
{
	settle_requests(work);
	sp_checkpoint_progress();
	sp_debug_point("mid-checkpoint");
	sp_write_position(upto, work->lsn, work->generation);
	work->finished = true;
}

/*
 * Write a slice of the checkpoint in the current transaction; true: that was the last one.
 * An error must be the end of the process, for what was written counts as clean.
 */
bool
sp_saving_write_slice(void)
{
	if (write_pages(&checkpoint, true))
		write_position(&checkpoint, sp_engine.upto);
	return checkpoint.finished;
}

/* ---- the end ---- */

/* It is over. */
static void
end_saving(Saving *work)
{
	ListCell   *lc;

	foreach(lc, work->taken)
		sp_checkpoint_save_end(lfirst(lc));
	MemoryContextDelete(work->context);
	work->context = NULL;
}

/* The position is committed. */
static void
publish(Saving *work)
{
	sp_page_publish(work->generation);
	forget_requests(work);
	sp_engine.state_lsn = work->lsn;
	sp_engine.generation = work->generation;
	sp_engine.progressed = false;
	pg_atomic_write_u64(&sp_my_worker->state_lsn, work->lsn);
}

/* The last slice has committed. */
void
sp_saving_committed(void)
{
	Assert(checkpoint.finished);
	publish(&checkpoint);
	end_saving(&checkpoint);
}

/* Write what is left of the checkpoint now. */
void
sp_saving_finish(void)
{
	bool		finished = !sp_saving_is_running();

	while (!finished)
	{
		sp_engine_begin();
		finished = sp_saving_write_slice();
		PopActiveSnapshot();
		CommitTransactionCommand();
		if (finished)
			sp_saving_committed();
	}
}

/* Forget an object's part. */
static void
forget_part(Saving *work, int32 object)
{
	ListCell   *lc;

	if (work->context == NULL)
		return;
	foreach(lc, work->taken)
	{
		SpStatePart *part = lfirst(lc);

		if (part->object != object)
			continue;
		work->parts = list_delete_ptr(work->parts, part);
		work->taken = foreach_delete_current(work->taken, lc);
	}
}

/* An object is no more: nothing of it is to be written. */
void
sp_saving_forget(int32 object)
{
	forget_part(&checkpoint, object);
	forget_part(&activation, object);
}

/* ---- objects that come to life ---- */

/* How many pages a checkpoint would write. */
static int64
count_dirty(void)
{
	int64		n = 0;
	ListCell   *lc;

	foreach(lc, sp_engine.streams)
	{
		SpStream   *s = lfirst(lc);

		n += s->dedup != NULL ? s->dedup->groups.ndirty : 0;
	}
	foreach(lc, sp_engine.windows)
	{
		SpWindow   *w = lfirst(lc);

		n += w->groups.ndirty + w->results.ndirty;
	}
	foreach(lc, sp_engine.detectors)
		n += ((SpDetector *) lfirst(lc))->groups.ndirty;
	return n;
}

/*
 * Write state of an object that nobody relies on yet, in transactions of their own, until
 * little is left; false: come again, for the others must go on.
 */
bool
sp_saving_write_ahead(SpWindow *w, SpDetector *d)
{
	static int	nslices;
	int			ndirty = w ? w->groups.ndirty + w->results.ndirty : d->groups.ndirty;
	instr_time	begin;
	SpStatePart *part;

	if (ndirty <= FEW_PAGES || nslices >= AHEAD_SLICES)
	{
		nslices = 0;
		return true;
	}
	nslices++;
	INSTR_TIME_SET_CURRENT(begin);
	sp_engine_begin();
	sp_page_begin(SP_PAGE_AT_ONCE);
	part = w ? sp_checkpoint_take_window(w) : sp_checkpoint_take_detector(d);
	while (sp_checkpoint_save_next(part) && !is_over(&begin))
		;
	sp_page_end();
	PopActiveSnapshot();
	CommitTransactionCommand();
	sp_checkpoint_save_undo(part, false);
	return false;
}

/*
 * Write the state of an object that comes to life, which is in memory already, in the
 * transaction that makes it so; together with the others' and the position, or without.
 * whole: with them, however much it is; then no checkpoint is at work.
 */
void
sp_saving_activate(SpObjectDef *def, XLogRecPtr upto, bool whole)
{
	if (!whole && (sp_saving_is_running() || count_dirty() > FEW_PAGES))
	{
		begin_saving(&activation, InvalidXLogRecPtr, SP_PAGE_AT_ONCE);
		take_parts(&activation, def);
		(void) write_pages(&activation, false);
		return;
	}
	begin_all(&activation, upto);
	(void) write_pages(&activation, false);
	write_position(&activation, upto);
}

/* That transaction has committed, or failed: then all is dirty as before. */
void
sp_saving_activated(bool committed)
{
	ListCell   *lc;

	if (activation.context == NULL)
		return;
	if (committed && activation.finished)
		publish(&activation);
	if (!committed)
	{
		foreach(lc, activation.taken)
			sp_checkpoint_save_undo(lfirst(lc), true);
		foreach(lc, sp_engine.streams)
			((SpStream *) lfirst(lc))->changed = true;
		sp_engine.changed = true;
	}
	end_saving(&activation);
}
