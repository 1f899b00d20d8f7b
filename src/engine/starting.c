/*
 * starting.c
 *	  An object that is being filled, as the worker sees it: keep, catch up, publish.
 *
 * One object at a time.  While the helper reads history (backfill.c), the worker keeps what
 * the WAL brings for the object, with the stream's clock after each commit.  When the helper
 * has committed, the worker loads the state that it left and applies what was kept, a slice
 * at a time, so that the other objects go on; the object stands on a stream of its own then,
 * which shows the clock as it was.  When nothing is left, one transaction makes it a
 * running object: its state, its state row and a checkpoint of everything.
 *
 *	launched ---> [helper done] ---> filled ---> [nothing left] ---> running
 *
 * Invariant: of the commits that the worker meets from the launch on, each is either in the
 * helper's snapshot, or kept, or (once the object is running) applied at once.  So it can't
 * run before the worker has read as far as the snapshot sees: see cut_lsn.
 *
 * Nothing here outlives the process: after a restart the object is new, and filled again.
 */
#include "engine/internal.h"

#include "access/transam.h"
#include "access/xact.h"
#include "base/compat.h"
#include "base/debug.h"
#include "base/setting.h"
#include "base/shared.h"
#include "catalog/page.h"
#include "catalog/progress.h"
#include "engine/dedup.h"
#include "engine/starting.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#define HANDOVER_MS			10000	/* for the helper to take its snapshot */
#define TERMINATED_RETRY_MS 1000	/* somebody wants it gone: leave them time */

SpStarting *sp_starting = NULL;

/* ---- asking ---- */

bool
sp_starting_any(void)
{
	return sp_starting != NULL;
}

/* Is it this object that is being filled? */
bool
sp_starting_is(const SpObjectDef *def)
{
	return sp_starting != NULL && sp_starting->id == def->id;
}

/* Up to where in the WAL are the results of an object that is about to be written? */
XLogRecPtr
sp_starting_position(const SpObjectDef *def)
{
	if (!sp_starting_is(def))
		return sp_engine.upto;
	return Max(sp_starting->cut_lsn, sp_starting->event.lsn);
}

/* Does the object that is being filled read this window? */
bool
sp_starting_reads(const SpWindow *w)
{
	return sp_starting != NULL && sp_starting->keeps && sp_starting->reads_window &&
		!sp_starting->broken &&
		sp_starting->def->source == w->def->o.relid;
}

/* The window that it reads, or NULL. */
SpWindow *
sp_starting_upstream(void)
{
	return sp_starting->reads_window ? sp_registry_find_window(sp_starting->def->source) : NULL;
}

/* The stream that it reads, or that of the window. */
SpStream *
sp_starting_stream(void)
{
	SpWindow   *w = sp_starting_upstream();

	return w ? w->stream : sp_registry_find_stream(sp_starting->def->source);
}

/* Does it read a window of this stream? */
static inline bool
reads_window_of(const SpStream *s)
{
	SpWindow   *w;

	if (sp_starting == NULL || !sp_starting->keeps || !sp_starting->reads_window ||
		sp_starting->broken)
		return false;
	w = sp_starting_upstream();
	return w != NULL && w->stream == s;
}

/* Does it read this stream? */
static inline bool
reads_stream(const SpStream *s)
{
	return sp_starting != NULL && !sp_starting->reads_window && !sp_starting->broken &&
		sp_starting->def->source == s->def->o.relid;
}

/* ---- the beginning and the end ---- */

/* Not before so many milliseconds have passed. */
void
sp_starting_retry(int ms)
{
	sp_starting->retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
}

/* Have an object filled; false, and *reason, when no process is to be had. */
bool
sp_starting_begin(SpObjectDef *def, const char **reason)
{
	SpStream   *s = sp_registry_find_stream(def->source);
	MemoryContext context;
	SpBackfillArea *area;
	int64		horizon = PG_INT64_MAX;

	Assert(sp_starting == NULL);
	if (s != NULL && s->dedup != NULL && s->dedup->has_history)
		horizon = s->dedup->horizon;
	area = sp_engine.helper->launch(def->id, sp_engine.upto - 1, horizon, reason);
	if (area == NULL)
		return false;
	context = AllocSetContextCreate(sp_engine.context, "streamproc starting",
									ALLOCSET_DEFAULT_SIZES);
	sp_starting = MemoryContextAllocZero(context, sizeof(SpStarting));
	sp_starting->context = context;
	sp_starting->kept = sp_kept_create(context);
	sp_starting->def = def;
	sp_starting->id = def->id;
	sp_starting->area = area;
	sp_starting->reads_window = s == NULL;
	sp_starting->keeps = s != NULL;
	sp_starting->max_time = s ? s->max_time : PG_INT64_MIN;
	sp_starting->watermark = s ? s->watermark : SP_NO_WATERMARK;
	sp_starting->history_max = PG_INT64_MIN;
	return true;
}

/* Forget all of it; the object itself only when it isn't published. */
void
sp_starting_end(bool with_object)
{
	sp_kept_free(sp_starting->kept);
	if (sp_starting->area != NULL)
		sp_engine.helper->end();
	if (with_object && sp_starting->window != NULL)
		MemoryContextDelete(sp_starting->window->context);
	if (with_object && sp_starting->detector != NULL)
		MemoryContextDelete(sp_starting->detector->context);
	if (with_object && sp_starting->shadow != NULL)
		MemoryContextDelete(sp_starting->shadow->context);
	MemoryContextDelete(sp_starting->context);
	sp_starting = NULL;
}

/* Give the object up, which stays new. */
void
sp_starting_abandon(void)
{
	if (sp_starting != NULL)
		sp_starting_end(true);
}

/* The object's new definition, when it is still to be started; else NULL. */
static SpObjectDef *
find_definition(void)
{
	List	   *lists[2] = {sp_engine.definitions->windows, sp_engine.definitions->detectors};
	ListCell   *lc;
	int			i;

	for (i = 0; i < 2; i++)
	{
		foreach(lc, lists[i])
		{
			SpObjectDef *def = lfirst(lc);

			if (def->id == sp_starting->id && def->state == SP_STATE_NEW)
				return def;
		}
	}
	return NULL;
}

/* The definitions were loaded anew: follow them, or give up.  Needs a transaction. */
void
sp_starting_sync(void)
{
	int32		id;
	SpStream   *s;
	SpWindow   *w;

	if (sp_starting == NULL)
		return;
	id = sp_starting->id;
	sp_starting->def = find_definition();
	s = sp_starting->def ? sp_registry_find_stream(sp_starting->def->source) : NULL;
	w = sp_starting->def ? sp_registry_find_window(sp_starting->def->source) : NULL;
	if (sp_starting->def == NULL || (sp_starting->reads_window ? w == NULL : s == NULL) ||
		(sp_starting->detector != NULL && sp_starting->detector->window != w))
	{
		sp_starting_abandon();
		sp_page_delete_all(id);
		sp_progress_delete(id);
		return;
	}
	if (!sp_starting->filled)
		return;
	sp_catch_up_follow_definition();
	if (sp_starting->shadow != NULL)
		sp_starting->shadow->def = s ? s->def : w->stream->def;
	if (sp_starting->window != NULL)
		sp_starting->window->upstream = w;
}

/* ---- keeping ---- */

/* Does the helper's snapshot see the transaction, which has committed? */
bool
sp_starting_in_history(TransactionId xid)
{
	uint32		i;

	if (!sp_starting->is_cut || !TransactionIdIsValid(xid) ||
		TransactionIdFollowsOrEquals(xid, sp_starting->xmax))
		return false;
	if (TransactionIdPrecedes(xid, sp_starting->xmin))
		return true;
	for (i = 0; i < sp_starting->nxip; i++)
	{
		if (sp_starting->xip[i] == xid)
			return false;
	}
	return true;
}

static void
keep_event(XLogRecPtr lsn, TransactionId xid, TimestampTz time, int64 max_time, int64 watermark,
		   int64 first_ordinal, uint64 admitted)
{
	SpKeptEvent	event = {{0}};

	event.chunk.magic = SP_CHUNK_MAGIC;
	event.chunk.size = sizeof(event);
	event.lsn = lsn;
	event.xid = xid;
	event.time = time;
	event.max_time = max_time;
	event.watermark = watermark;
	event.first_ordinal = first_ordinal;
	event.admitted = admitted;
	sp_kept_add(sp_starting->kept, &event.chunk);
}

/*
 * What can't be kept, for there is no room for temporary files, is the end of this attempt
 * to fill the object; the others have had it already.
 */
static void
keep_failed(MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	if (!sp_error_is_environment(error) || error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
		ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		PG_RE_THROW();
	FlushErrorState();
	ereport(LOG,
			(errmsg("what is committed while %s is filled can't be kept: %s",
					sp_starting->def->name, error->message)));
	FreeErrorData(error);
	sp_starting->broken = true;
}

/* A commit with rows of the stream has been applied to the others. */
void
sp_starting_keep_commit(const SpStream *s, const SpEvent *event)
{
	MemoryContext context = CurrentMemoryContext;
	const SpChunk *chunk;

	bool		clock_only = reads_window_of(s);

	if (!clock_only && (!reads_stream(s) || sp_starting_in_history(event->xid)))
		return;
	PG_TRY();
	{
		keep_event(event->lsn, clock_only ? InvalidTransactionId : event->xid,
				   event->commit_time, s->max_time, s->watermark, 0,
				   s->dedup ? s->dedup->admitted : 0);
		sp_spool_rewind(event->spool);
		while (!clock_only && (chunk = sp_spool_next(event->spool)) != NULL)
		{
			if (chunk->source == s->def->o.relid)
				sp_kept_add(sp_starting->kept, chunk);
		}
	}
	PG_CATCH();
	{
		keep_failed(context);
	}
	PG_END_TRY();
}

/*
 * Something is set for a key of the detector.  Kept from the beginning, whatever it reads:
 * which settings the snapshot sees, its transactions tell.
 */
void
sp_starting_keep_setting(const SpSetting *setting, const SpEvent *event)
{
	MemoryContext context = CurrentMemoryContext;
	SpStream   *s;

	if (sp_starting == NULL || sp_starting->id != setting->detector || sp_starting->broken)
		return;
	s = sp_starting_stream();
	if (s == NULL)
	{
		/* its source has failed meanwhile */
		sp_starting->broken = true;
		return;
	}
	PG_TRY();
	{
		keep_event(event->lsn, event->xid, event->commit_time, s->max_time, s->watermark, 0, 0);
		sp_kept_add(sp_starting->kept, &setting->chunk);
	}
	PG_CATCH();
	{
		keep_failed(context);
	}
	PG_END_TRY();
}

/* Something has happened to the stream's relation that nothing tells the object of. */
void
sp_starting_break(const SpStream *s)
{
	if (reads_stream(s))
		sp_starting->broken = true;
}

/* The clock has moved the stream's watermark. */
void
sp_starting_keep_tick(const SpStream *s, const SpEvent *event)
{
	if (reads_stream(s) || reads_window_of(s))
		keep_event(event->lsn, InvalidTransactionId, event->tick_time, s->max_time,
				   s->watermark, 0, 0);
}

/* Rows of a window are sealed.  The clock moves behind all that an event seals. */
void
sp_starting_keep_rows(const SpWindow *w, const SpRowSet *rows)
{
	StringInfoData buf;
	SpChunk    *chunk;
	int			i;

	if (!sp_starting_reads(w))
		return;
	keep_event(rows->lsn, InvalidTransactionId, rows->commit_time, PG_INT64_MIN, SP_NO_WATERMARK,
			   rows->first_ordinal, 0);
	initStringInfo(&buf);
	sp_chunk_start(&buf, w->def->o.relid, w->result_desc, false);
	for (i = 0; i < rows->n; i++)
		(void) sp_chunk_append(&buf, w->result_desc, rows->values + (Size) i * rows->natts,
							   rows->nulls + (Size) i * rows->natts);
	chunk = (SpChunk *) buf.data;
	chunk->source = w->def->o.relid;
	chunk->shape = sp_shape_register(w->def->o.relid, w->result_desc)->id;
	sp_kept_add(sp_starting->kept, chunk);
	pfree(buf.data);
}

/* ---- the helper ---- */

/* It is gone, or has failed: the object is tried again later, or fails. */
static void
give_up(ErrorData *error, int least_ms)
{
	SpObjectDef *def = sp_starting->def;

	sp_starting_end(true);
	sp_activate_soon();			/* others have waited for their turn */
	if (error != NULL)
		sp_activate_failed(def, error);
	else
		(void) sp_activate_postpone(least_ms);
}

/* Note the helper's snapshot. */
static void
note_cut(void)
{
	SpBackfillArea *area = sp_starting->area;

	if (sp_starting->is_cut)
		return;
	pg_memory_barrier();
	sp_starting->cut_lsn = area->cut_lsn;
	sp_starting->xmin = area->xmin;
	sp_starting->xmax = area->xmax;
	sp_starting->nxip = area->nxip;
	sp_starting->xip = MemoryContextAlloc(sp_starting->context,
									   sizeof(TransactionId) * Max(1, area->nxip));
	memcpy(sp_starting->xip, area->xip, sizeof(TransactionId) * area->nxip);
	sp_starting->is_cut = true;
}

/*
 * The helper waits to read a window's results.  All of them must stand in the table; from
 * here on they are kept.  It is quick: it only has to take a snapshot.
 */
static void
hand_over_results(void)
{
	SpWindow   *w = sp_registry_find_window(sp_starting->def->source);
	int			ms;

	if (!sp_output_is_empty(&w->output) || w->output.replaying)
		sp_activate_write_all(sp_engine.upto);
	if (!sp_output_is_empty(&w->output) || w->output.replaying)
	{
		sp_starting_retry(SP_STARTING_RETRY_MS);
		return;
	}
	sp_starting->keeps = true;
	sp_starting->max_time = w->stream->max_time;
	sp_starting->watermark = w->stream->watermark;
	sp_starting->area->lsn = sp_engine.upto - 1;
	sp_starting->area->sealed = sp_clock_behind(sp_clock_watermark(w), w->def->grace_us);
	pg_memory_barrier();
	pg_atomic_write_u32(&sp_starting->area->may_cut, 1);
	for (ms = 0; ms < HANDOVER_MS; ms++)
	{
		if (pg_atomic_read_u32(&sp_starting->area->phase) >= SP_BACKFILL_CUT ||
			!sp_engine.helper->is_running())
			return;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	ereport(LOG,
			(errmsg("%s can't be started yet: the backfill took too long to begin",
					sp_starting->def->name)));
	give_up(NULL, TERMINATED_RETRY_MS);
}

/* Let status tell what the helper waits for. */
static void
report_wait(void)
{
	uint32		pid = pg_atomic_read_u32(&sp_starting->area->waits_for);
	const char *reason = NULL;

	if (pid == sp_starting->seen_waits_for)
		return;
	sp_starting->seen_waits_for = pid;
	if (pid == 1)
		reason = "waits for a prepared transaction that has written to its source";
	else if (pid != 0)
		reason = psprintf("waits for the transaction of process %u, which has written to its source",
						  pid);
	sp_activate_tell(sp_starting->def, reason);
	if (pid == 0 || !sp_activate_others_wait())
		return;
	/* what the transaction isn't in the way of comes first */
	sp_engine.fill_after = sp_starting->id;
	give_up(NULL, 0);
}

/* The helper has committed. */
static void
take_over(void)
{
	note_cut();
	sp_starting->history_max = sp_starting->area->max_time;
	sp_engine_begin();
	sp_engine_limit_waits();
	sp_definition_set_starting(sp_starting->id, NULL);
	sp_catch_up_open();
	PopActiveSnapshot();
	CommitTransactionCommand();
	sp_engine.helper->end();
	sp_starting->area = NULL;
	sp_starting->filled = true;
}

/* What the helper says in its phase; false when it is gone. */
static void
follow_helper(void)
{
	bool		running = sp_engine.helper->is_running();	/* asked before the phase is read */
	uint32		phase = pg_atomic_read_u32(&sp_starting->area->phase);
	ErrorData	error = {0};

	pg_memory_barrier();
	sp_starting->seen_phase = phase;
	switch ((SpBackfillPhase) phase)
	{
		case SP_BACKFILL_DONE:
			take_over();
			return;
		case SP_BACKFILL_FAILED:
			error.sqlerrcode = sp_starting->area->sqlerrcode;
			error.message = MemoryContextStrdup(sp_engine.rowset_context, sp_starting->area->message);
			give_up(&error, 0);
			return;
		case SP_BACKFILL_READY:
			if (running && !sp_starting->keeps)
				hand_over_results();
			break;
		case SP_BACKFILL_CUT:
			note_cut();
			break;
		case SP_BACKFILL_LAUNCHED:
			break;
	}
	if (sp_starting == NULL || sp_starting->filled)
		return;
	report_wait();
	if (!running)
	{
		ereport(LOG,
				(errmsg("%s can't be started yet: its backfill was terminated",
						sp_starting->def->name)));
		give_up(NULL, TERMINATED_RETRY_MS);
	}
}

/* Something threw: a lock is waited for, all else is the object's end, or a new beginning. */
static void
step_failed(ErrorData *error)
{
	bool		locked;

	/* it was given up already, and that failed */
	if (sp_starting == NULL)
	{
		(void) sp_activate_postpone(0);
		return;
	}
	locked = error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED;

	if (locked && (!sp_starting->filled || sp_starting->publishing))
	{
		sp_starting_retry(SP_STARTING_RETRY_MS);
		if (sp_starting->filled)
			return;
		/* half open, perhaps */
		if (sp_starting->window != NULL)
			MemoryContextDelete(sp_starting->window->context);
		if (sp_starting->detector != NULL)
			MemoryContextDelete(sp_starting->detector->context);
		if (sp_starting->shadow != NULL)
			MemoryContextDelete(sp_starting->shadow->context);
		sp_starting->window = NULL;
		sp_starting->detector = NULL;
		sp_starting->shadow = NULL;
		return;
	}
	/* where kept rows were being applied, some have been: only a new beginning is exact */
	give_up(error, 0);
}

/* Take the object that is being filled further, if it can go on. */
void
sp_starting_step(TimestampTz now)
{
	MemoryContext old = CurrentMemoryContext;

	if (sp_starting == NULL || sp_starting_due() > now)
		return;
	sp_starting->retry_at = 0;
	if (sp_starting->broken)
	{
		give_up(NULL, TERMINATED_RETRY_MS);
		return;
	}
	PG_TRY();
	{
		if (!sp_starting->filled)
			follow_helper();
		else
			sp_catch_up();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(sp_engine.context);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		MemoryContextSwitchTo(old);
		step_failed(error);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
}

/* When it can go on; PG_INT64_MAX: when the helper has something to say. */
TimestampTz
sp_starting_due(void)
{
	if (sp_starting == NULL)
		return PG_INT64_MAX;
	if (sp_starting->broken)
		return 0;
	if (sp_starting->retry_at != 0 || sp_starting->filled)
		return sp_starting->retry_at;
	if (pg_atomic_read_u32(&sp_starting->area->phase) != sp_starting->seen_phase ||
		pg_atomic_read_u32(&sp_starting->area->waits_for) != sp_starting->seen_waits_for ||
		!sp_engine.helper->is_running())
		return 0;
	return PG_INT64_MAX;
}
