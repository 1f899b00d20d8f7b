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
#include "base/shared.h"
#include "catalog/page.h"
#include "catalog/progress.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#define SEGMENT_BYTES		((Size) 32 * 1024 * 1024)	/* of what is kept, in one spool */
#define SLICE_MS			10
#define WRITE_EVERY_ROWS	20000
#define HANDOVER_MS			10000	/* for the helper to take its snapshot */
#define TERMINATED_RETRY_MS 1000	/* somebody wants it gone: leave them time */
#define LOCKED_RETRY_MS		100
#define BEHIND_RETRY_MS		5

/* Stands before the rows of each commit that is kept, as a chunk of no relation. */
typedef struct KeptEvent
{
	SpChunk		chunk;
	XLogRecPtr	lsn;
	TransactionId xid;			/* invalid: a tick, or rows of a window */
	uint32		unused;
	TimestampTz time;
	int64		max_time;		/* the stream's clock after it */
	int64		watermark;
	int64		first_ordinal;	/* of a window's rows */
} KeptEvent;

typedef struct SpStarting
{
	MemoryContext context;
	SpObjectDef *def;			/* in sp_engine.definitions */
	int32		id;
	bool		reads_window;	/* else a stream */
	bool		keeps;			/* false: the window it reads is not handed over yet */
	bool		filled;			/* the helper is done, the object open */

	SpBackfillArea *area;		/* until it is filled */
	uint32		seen_phase;
	uint32		seen_waits_for;
	/* the helper's snapshot, once it is taken */
	bool		is_cut;
	XLogRecPtr	cut_lsn;
	TransactionId xmin;
	TransactionId xmax;
	uint32		nxip;
	TransactionId *xip;

	/* the clock: of the real stream when keeping began, then of history */
	int64		max_time;
	int64		watermark;
	int64		history_max;	/* PG_INT64_MIN: none */
	TimestampTz history_time;

	/* kept, oldest first */
	List	   *segments;		/* of SpSpool * */
	SpSpool    *tail;			/* the last one, open; NULL: none is */
	Size		tail_bytes;
	bool		reading;		/* the first one is being read */

	/* filled: the object, on a stream of its own, under a definition that is running */
	SpStream   *shadow;			/* NULL: reads a window */
	SpWindow   *window;
	SpDetector *detector;
	SpWindowDef window_def;
	SpDetectorDef detector_def;
	bool		in_event;
	KeptEvent	event;			/* being applied */
	bool		skip;			/* the snapshot has seen it */
	bool		publishing;		/* nothing but publication is left, and may be tried again */
	TimestampTz retry_at;		/* not before; 0: now */
} SpStarting;

static SpStarting *starting = NULL;

/* ---- asking ---- */

bool
sp_starting_any(void)
{
	return starting != NULL;
}

/* Is it this object that is being filled? */
bool
sp_starting_is(const SpObjectDef *def)
{
	return starting != NULL && starting->id == def->id;
}

/* Does the object that is being filled read this window? */
bool
sp_starting_reads(const SpWindow *w)
{
	return starting != NULL && starting->keeps && starting->reads_window &&
		starting->def->source == w->def->o.relid;
}

/* Does it read this stream? */
static inline bool
reads_stream(const SpStream *s)
{
	return starting != NULL && !starting->reads_window &&
		starting->def->source == s->def->o.relid;
}

static inline SpOutput *
object_output(void)
{
	return starting->window ? &starting->window->output : &starting->detector->output;
}

/* ---- the beginning and the end ---- */

/* Have an object filled; false, and *reason, when no process is to be had. */
bool
sp_starting_begin(SpObjectDef *def, const char **reason)
{
	SpStream   *s = sp_registry_find_stream(def->source);
	MemoryContext context;
	SpBackfillArea *area;

	Assert(starting == NULL);
	area = sp_engine.helper->launch(def->id, reason);
	if (area == NULL)
		return false;
	context = AllocSetContextCreate(sp_engine.context, "streamproc starting",
									ALLOCSET_DEFAULT_SIZES);
	starting = MemoryContextAllocZero(context, sizeof(SpStarting));
	starting->context = context;
	starting->def = def;
	starting->id = def->id;
	starting->area = area;
	starting->reads_window = s == NULL;
	starting->keeps = s != NULL;
	starting->max_time = s ? s->max_time : PG_INT64_MIN;
	starting->watermark = s ? s->watermark : SP_NO_WATERMARK;
	starting->history_max = PG_INT64_MIN;
	return true;
}

/* Forget all of it; the object itself only when it isn't published. */
static void
end_starting(bool with_object)
{
	ListCell   *lc;

	foreach(lc, starting->segments)
		sp_spool_free(lfirst(lc));
	if (starting->area != NULL)
		sp_engine.helper->end();
	if (with_object && starting->window != NULL)
		MemoryContextDelete(starting->window->context);
	if (with_object && starting->detector != NULL)
		MemoryContextDelete(starting->detector->context);
	if (with_object && starting->shadow != NULL)
		MemoryContextDelete(starting->shadow->context);
	MemoryContextDelete(starting->context);
	starting = NULL;
}

/* Give the object up, which stays new. */
void
sp_starting_abandon(void)
{
	if (starting != NULL)
		end_starting(true);
}

/* Let the definition that the object stands on be that of a running object. */
static void
point_to_definition(void)
{
	SpObjectDef *copy;

	if (starting->window != NULL)
	{
		starting->window_def = *(SpWindowDef *) starting->def;
		starting->window->def = &starting->window_def;
		starting->window->expressions->owner = starting->def->owner;
		copy = &starting->window_def.o;
	}
	else
	{
		starting->detector_def = *(SpDetectorDef *) starting->def;
		starting->detector->def = &starting->detector_def;
		starting->detector->expressions->owner = starting->def->owner;
		copy = &starting->detector_def.o;
	}
	copy->state = SP_STATE_RUNNING;
	copy->start_lsn = InvalidXLogRecPtr;
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

			if (def->id == starting->id && def->state == SP_STATE_NEW)
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

	if (starting == NULL)
		return;
	id = starting->id;
	starting->def = find_definition();
	s = starting->def ? sp_registry_find_stream(starting->def->source) : NULL;
	w = starting->def ? sp_registry_find_window(starting->def->source) : NULL;
	if (starting->def == NULL || (starting->reads_window ? w == NULL : s == NULL) ||
		(starting->detector != NULL && starting->detector->window != w))
	{
		sp_starting_abandon();
		sp_page_delete_all(id);
		sp_progress_delete(id);
		return;
	}
	if (!starting->filled)
		return;
	point_to_definition();
	if (starting->shadow != NULL)
		starting->shadow->def = s->def;
}

/* ---- keeping ---- */

/* Does the helper's snapshot see the transaction, which has committed? */
static bool
is_history(TransactionId xid)
{
	uint32		i;

	if (!starting->is_cut || !TransactionIdIsValid(xid) ||
		TransactionIdFollowsOrEquals(xid, starting->xmax))
		return false;
	if (TransactionIdPrecedes(xid, starting->xmin))
		return true;
	for (i = 0; i < starting->nxip; i++)
	{
		if (starting->xip[i] == xid)
			return false;
	}
	return true;
}

/* The spool that is being written. */
static SpSpool *
open_tail(void)
{
	MemoryContext old;

	if (starting->tail != NULL && starting->tail_bytes < SEGMENT_BYTES)
		return starting->tail;
	old = MemoryContextSwitchTo(starting->context);
	starting->tail = sp_spool_create();
	starting->tail_bytes = 0;
	starting->segments = lappend(starting->segments, starting->tail);
	MemoryContextSwitchTo(old);
	return starting->tail;
}

/* Keep a chunk, or an event's beginning. */
static void
keep(const SpChunk *chunk)
{
	sp_spool_keep(open_tail(), chunk);
	starting->tail_bytes += chunk->size;
}

static void
keep_event(XLogRecPtr lsn, TransactionId xid, TimestampTz time, int64 max_time, int64 watermark,
		   int64 first_ordinal)
{
	KeptEvent	event = {{0}};

	event.chunk.magic = SP_CHUNK_MAGIC;
	event.chunk.size = sizeof(event);
	event.lsn = lsn;
	event.xid = xid;
	event.time = time;
	event.max_time = max_time;
	event.watermark = watermark;
	event.first_ordinal = first_ordinal;
	keep(&event.chunk);
}

/* A commit with rows of the stream has been applied to the others. */
void
sp_starting_keep_commit(const SpStream *s, const SpEvent *event)
{
	const SpChunk *chunk;

	if (!reads_stream(s) || is_history(event->xid))
		return;
	keep_event(event->lsn, event->xid, event->commit_time, s->max_time, s->watermark, 0);
	sp_spool_rewind(event->spool);
	while ((chunk = sp_spool_next(event->spool)) != NULL)
	{
		if (chunk->source == s->def->o.relid)
			keep(chunk);
	}
}

/* The clock has moved the stream's watermark. */
void
sp_starting_keep_tick(const SpStream *s, const SpEvent *event)
{
	if (reads_stream(s))
		keep_event(event->lsn, InvalidTransactionId, event->tick_time, s->max_time,
				   s->watermark, 0);
}

/* Rows of a window have become final. */
void
sp_starting_keep_rows(const SpWindow *w, const SpRowSet *rows)
{
	StringInfoData buf;
	SpChunk    *chunk;
	int			i;

	if (!sp_starting_reads(w))
		return;
	keep_event(rows->lsn, InvalidTransactionId, rows->commit_time, 0, 0, rows->first_ordinal);
	initStringInfo(&buf);
	sp_chunk_start(&buf, w->def->o.relid, w->result_desc, false);
	for (i = 0; i < rows->n; i++)
		(void) sp_chunk_append(&buf, w->result_desc, rows->values + (Size) i * rows->natts,
							   rows->nulls + (Size) i * rows->natts);
	chunk = (SpChunk *) buf.data;
	chunk->source = w->def->o.relid;
	chunk->shape = sp_shape_register(w->def->o.relid, w->result_desc)->id;
	keep(chunk);
	pfree(buf.data);
}

/* The next chunk of what was kept, or NULL when there is none. */
static const SpChunk *
next_kept(void)
{
	while (starting->segments != NIL)
	{
		SpSpool    *spool = linitial(starting->segments);
		const SpChunk *chunk;

		if (!starting->reading)
		{
			if (spool == starting->tail)
				starting->tail = NULL;	/* what comes now goes to a new one */
			sp_spool_rewind(spool);
			starting->reading = true;
		}
		chunk = sp_spool_next(spool);
		if (chunk != NULL)
			return chunk;
		sp_spool_free(spool);
		starting->segments = list_delete_first(starting->segments);
		starting->reading = false;
	}
	return NULL;
}

/* ---- the helper ---- */

/* It is gone, or has failed: the object is tried again later, or fails. */
static void
give_up(ErrorData *error, int least_ms)
{
	SpObjectDef *def = starting->def;

	end_starting(true);
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
	SpBackfillArea *area = starting->area;

	if (starting->is_cut)
		return;
	pg_memory_barrier();
	starting->cut_lsn = area->cut_lsn;
	starting->xmin = area->xmin;
	starting->xmax = area->xmax;
	starting->nxip = area->nxip;
	starting->xip = MemoryContextAlloc(starting->context,
									   sizeof(TransactionId) * Max(1, area->nxip));
	memcpy(starting->xip, area->xip, sizeof(TransactionId) * area->nxip);
	starting->is_cut = true;
}

/*
 * The helper waits to read a window's results.  All of them must stand in the table; from
 * here on they are kept.  It is quick: it only has to take a snapshot.
 */
static void
hand_over_results(void)
{
	SpWindow   *w = sp_registry_find_window(starting->def->source);
	int			ms;

	if (!sp_output_is_empty(&w->output) || w->output.replaying)
		sp_activate_write_all(sp_engine.upto);
	if (!sp_output_is_empty(&w->output) || w->output.replaying)
	{
		starting->retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LOCKED_RETRY_MS);
		return;
	}
	starting->keeps = true;
	pg_memory_barrier();
	pg_atomic_write_u32(&starting->area->may_cut, 1);
	for (ms = 0; ms < HANDOVER_MS; ms++)
	{
		if (pg_atomic_read_u32(&starting->area->phase) >= SP_BACKFILL_CUT ||
			!sp_engine.helper->is_running())
			return;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	ereport(LOG,
			(errmsg("%s can't be started yet: the backfill took too long to begin",
					starting->def->name)));
	give_up(NULL, TERMINATED_RETRY_MS);
}

/* Let status tell what the helper waits for. */
static void
report_wait(void)
{
	uint32		pid = pg_atomic_read_u32(&starting->area->waits_for);
	const char *reason = NULL;

	if (pid == starting->seen_waits_for)
		return;
	starting->seen_waits_for = pid;
	if (pid == 1)
		reason = "waits for a prepared transaction that has written to its source";
	else if (pid != 0)
		reason = psprintf("waits for the transaction of process %u, which has written to its source",
						  pid);
	sp_activate_tell(starting->def, reason);
}

/* Open the object on a stream of its own, with the state that the helper has left. */
static void
open_filled(void)
{
	SpObjectDef *def = starting->def;
	SpStream   *s = sp_registry_find_stream(def->source);

	if (s != NULL)
	{
		starting->shadow = sp_registry_open_stream(s->def);
		starting->shadow->output.replaying = true;	/* its dead letters are the real one's */
		starting->shadow->output.output_lsn = PG_UINT64_MAX;
		sp_pipeline_raise_clock(starting->shadow, starting->max_time, starting->watermark);
		sp_pipeline_raise_clock(starting->shadow, starting->history_max,
								sp_pipeline_behind(starting->history_max, s->def->watermark_us));
	}
	if (def->kind == SP_WINDOW)
	{
		starting->window = sp_window_open((SpWindowDef *) def, starting->shadow);
		sp_registry_need_attributes(starting->shadow, starting->window->expressions);
		starting->shadow->windows = sp_registry_append(NIL, starting->window);
		sp_checkpoint_load_window(starting->window);
	}
	else
	{
		starting->detector = sp_detector_open((SpDetectorDef *) def, starting->shadow,
											  s ? NULL : sp_registry_find_window(def->source));
		if (starting->shadow != NULL)
		{
			sp_registry_need_attributes(starting->shadow, starting->detector->expressions);
			starting->shadow->detectors = sp_registry_append(NIL, starting->detector);
		}
		sp_checkpoint_load_detector(starting->detector);
	}
	point_to_definition();
	object_output()->output_lsn = sp_engine.upto;
}

/* The helper has committed. */
static void
take_over(void)
{
	note_cut();
	starting->history_max = starting->area->max_time;
	starting->history_time = starting->area->time;
	sp_engine_begin();
	sp_engine_limit_waits();
	sp_definition_set_starting(starting->id, NULL);
	open_filled();
	PopActiveSnapshot();
	CommitTransactionCommand();
	sp_engine.helper->end();
	starting->area = NULL;
	starting->filled = true;
}

/* What the helper says in its phase; false when it is gone. */
static void
follow_helper(void)
{
	bool		running = sp_engine.helper->is_running();	/* asked before the phase is read */
	uint32		phase = pg_atomic_read_u32(&starting->area->phase);
	ErrorData	error = {0};

	pg_memory_barrier();
	starting->seen_phase = phase;
	switch ((SpBackfillPhase) phase)
	{
		case SP_BACKFILL_DONE:
			take_over();
			return;
		case SP_BACKFILL_FAILED:
			error.sqlerrcode = starting->area->sqlerrcode;
			error.message = MemoryContextStrdup(sp_engine.rowset_context, starting->area->message);
			give_up(&error, 0);
			return;
		case SP_BACKFILL_READY:
			if (running && !starting->keeps)
				hand_over_results();
			break;
		case SP_BACKFILL_CUT:
			note_cut();
			break;
		case SP_BACKFILL_LAUNCHED:
			break;
	}
	if (starting == NULL || starting->filled)
		return;
	report_wait();
	if (!running)
	{
		ereport(LOG,
				(errmsg("%s can't be started yet: its backfill was terminated",
						starting->def->name)));
		give_up(NULL, TERMINATED_RETRY_MS);
	}
}

/* ---- catching up ---- */

/* The event being applied is complete: the clock moves, windows close. */
static void
finish_event(void)
{
	if (!starting->in_event)
		return;
	starting->in_event = false;
	if (starting->shadow == NULL)
		return;
	sp_pipeline_raise_clock(starting->shadow, starting->event.max_time, starting->event.watermark);
	sp_pipeline_close_windows(starting->shadow, starting->event.lsn, starting->event.time);
}

static void
begin_event(const KeptEvent *event)
{
	finish_event();
	starting->event = *event;
	starting->in_event = true;
	starting->skip = is_history(event->xid);
	if (starting->shadow == NULL)
		return;
	starting->shadow->txn_max = PG_INT64_MIN;
	starting->shadow->txn_ordinal = 0;
}

/* Rows of a window that became final. */
static void
apply_results(const SpChunk *chunk)
{
	SpDetector *d = starting->detector;
	SpWindow   *w = d->window;
	SpRowCursor cursor;
	SpRowSet	rows;

	MemoryContextReset(sp_engine.rowset_context);
	sp_rowset_init(&rows, sp_engine.rowset_context, w->result_desc->natts, chunk->nrows);
	rows.first_ordinal = starting->event.first_ordinal;
	rows.lsn = starting->event.lsn;
	rows.commit_time = starting->event.time;
	rows.time_type = w->stream->def->time_type;
	rows.zone = w->stream->zone;
	rows.desc = w->result_desc;
	sp_row_begin(&cursor, chunk);
	while (rows.n < chunk->nrows &&
		   sp_row_next(&cursor, rows.natts, rows.values + (Size) rows.n * rows.natts,
					   rows.nulls + (Size) rows.n * rows.natts))
	{
		sp_rowset_set_result_time(&rows, rows.n, w);
		rows.n++;
	}
	sp_detector_apply(d, &rows);
}

/* Apply what was kept for a while; true when nothing is left. */
static bool
apply_kept(void)
{
	instr_time	begin;
	const SpChunk *chunk;

	INSTR_TIME_SET_CURRENT(begin);
	while ((chunk = next_kept()) != NULL)
	{
		instr_time	spent;

		if (chunk->relid == InvalidOid)
			begin_event((const KeptEvent *) chunk);
		else if (!starting->skip && starting->shadow == NULL)
			apply_results(chunk);
		else if (!starting->skip)
		{
			SpEvent		event = {.kind = SP_EVENT_COMMIT,.lsn = starting->event.lsn,
			.xid = starting->event.xid,.commit_time = starting->event.time};

			sp_rowset_each(starting->shadow, chunk, &event, sp_pipeline_stream_rows);
		}
		INSTR_TIME_SET_CURRENT(spent);
		INSTR_TIME_SUBTRACT(spent, begin);
		if (INSTR_TIME_GET_MILLISEC(spent) >= SLICE_MS)
			return false;
	}
	finish_event();
	return true;
}

/* Write what has gathered; false when that must wait. */
static bool
write_output(void)
{
	SpOutput   *output = object_output();

	if (sp_output_is_empty(output))
		return true;
	if (sp_write_alone(starting->window, starting->detector))
		return true;
	starting->retry_at = output->retry_at;
	return false;
}

/* ---- publication ---- */

/*
 * The real stream learns of the history that was read: from here on, for everybody, as if
 * its rows had come now.  Part of the stream's state, so that a replay does it again.
 */
static void
raise_real_clock(SpStream *s)
{
	if (starting->history_max == PG_INT64_MIN ||
		(!XLogRecPtrIsInvalid(s->pending_lsn) && s->pending_max >= starting->history_max))
		return;
	s->pending_lsn = sp_engine.upto;
	s->pending_max = starting->history_max;
	s->pending_time = starting->history_time;
	s->changed = true;
}

/* Put the object among those that are alive. */
static void
attach(SpStream *s)
{
	starting->def->state = SP_STATE_RUNNING;
	starting->def->start_lsn = sp_engine.upto;
	if (s != NULL)
		sp_registry_need_attributes(s, starting->window ? starting->window->expressions :
									starting->detector->expressions);
	if (starting->window != NULL)
	{
		SpWindow   *w = starting->window;

		w->def = (SpWindowDef *) starting->def;
		w->stream = s;
		w->output.output_lsn = sp_engine.upto;
		s->windows = sp_registry_append(s->windows, w);
		sp_engine.windows = sp_registry_append(sp_engine.windows, w);
	}
	else
	{
		SpDetector *d = starting->detector;

		d->def = (SpDetectorDef *) starting->def;
		d->stream = s;
		d->output.output_lsn = sp_engine.upto;
		if (s != NULL)
			s->detectors = sp_registry_append(s->detectors, d);
		else
			d->window->detectors = sp_registry_append(d->window->detectors, d);
		sp_engine.detectors = sp_registry_append(sp_engine.detectors, d);
	}
}

/* And back. */
static void
detach(SpStream *s)
{
	starting->def->state = SP_STATE_NEW;
	if (starting->window != NULL)
	{
		SpWindow   *w = starting->window;

		s->windows = list_delete_ptr(s->windows, w);
		sp_engine.windows = list_delete_ptr(sp_engine.windows, w);
		w->stream = starting->shadow;
	}
	else
	{
		SpDetector *d = starting->detector;

		if (s != NULL)
			s->detectors = list_delete_ptr(s->detectors, d);
		else
			d->window->detectors = list_delete_ptr(d->window->detectors, d);
		sp_engine.detectors = list_delete_ptr(sp_engine.detectors, d);
		d->stream = starting->shadow;
	}
	point_to_definition();
}

/* In the transaction that makes the object a running one. */
static void
publish_in_transaction(void)
{
	/* Who was told that it runs must not find it starting anew, in another order, after a crash. */
	ForceSyncCommit();
	sp_activate_set_running(starting->def);
	sp_checkpoint_write(sp_engine.upto);
	sp_debug_point("before-publish");
}

/* What throws leaves everything as it was. */
static void
publish(void)
{
	SpStream   *s = starting->shadow ? sp_registry_find_stream(starting->def->source) : NULL;
	XLogRecPtr	pending_lsn = s ? s->pending_lsn : InvalidXLogRecPtr;
	int64		pending_max = s ? s->pending_max : 0;
	TimestampTz pending_time = s ? s->pending_time : 0;

	starting->publishing = true;
	sp_engine_begin();
	sp_engine_limit_waits();
	if (s != NULL)
		sp_registry_refresh_stream(s);
	PG_TRY();
	{
		if (s != NULL)
			raise_real_clock(s);
		attach(s);
		publish_in_transaction();
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		detach(s);
		if (s != NULL)
		{
			s->pending_lsn = pending_lsn;
			s->pending_max = pending_max;
			s->pending_time = pending_time;
		}
		PG_RE_THROW();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(TopMemoryContext);
	sp_checkpoint_committed(sp_engine.upto);
	sp_engine.activation_failures = 0;
	/* the object's expressions point to the descriptor that they were made for */
	if (starting->shadow != NULL)
		MemoryContextSetParent(starting->shadow->context,
							   starting->window ? starting->window->context :
							   starting->detector->context);
	end_starting(false);
	sp_activate_soon();			/* others have waited for their turn */
}

/* Apply, write, publish: as far as it goes now. */
static void
catch_up(void)
{
	SpStream   *s = starting->shadow ? sp_registry_find_stream(starting->def->source) : NULL;
	SpOutput   *output = object_output();
	bool		done;

	sp_debug_point("catching-up");
	starting->publishing = false;
	sp_engine_begin();
	done = apply_kept();
	if (done && s != NULL)
	{
		/* what was in the snapshot has moved the clock, too */
		sp_pipeline_raise_clock(starting->shadow, s->max_time, s->watermark);
		sp_pipeline_close_windows(starting->shadow, sp_engine.upto, GetCurrentTimestamp());
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(TopMemoryContext);
	if ((done && sp_engine.upto >= starting->cut_lsn) ||
		output->ngroups + output->nalerts + output->ndead >= WRITE_EVERY_ROWS)
	{
		if (!write_output() || !done)
			return;
	}
	if (!done)
		return;
	if (sp_engine.upto < starting->cut_lsn)
	{
		starting->retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), BEHIND_RETRY_MS);
		return;
	}
	if (!sp_activate_is_settled())
		sp_activate_write_all(sp_engine.upto);
	if (!sp_activate_is_settled())
		starting->retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LOCKED_RETRY_MS);
	else
		publish();
}

/* Something threw: a lock is waited for, all else is the object's end, or a new beginning. */
static void
step_failed(ErrorData *error)
{
	bool		locked = error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED;

	if (locked && (!starting->filled || starting->publishing))
	{
		starting->retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LOCKED_RETRY_MS);
		if (starting->filled)
			return;
		/* half open, perhaps */
		if (starting->window != NULL)
			MemoryContextDelete(starting->window->context);
		if (starting->detector != NULL)
			MemoryContextDelete(starting->detector->context);
		if (starting->shadow != NULL)
			MemoryContextDelete(starting->shadow->context);
		starting->window = NULL;
		starting->detector = NULL;
		starting->shadow = NULL;
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

	if (starting == NULL || sp_starting_due() > now)
		return;
	starting->retry_at = 0;
	PG_TRY();
	{
		if (!starting->filled)
			follow_helper();
		else
			catch_up();
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
	if (starting == NULL)
		return PG_INT64_MAX;
	if (starting->retry_at != 0 || starting->filled)
		return starting->retry_at;
	if (pg_atomic_read_u32(&starting->area->phase) != starting->seen_phase ||
		pg_atomic_read_u32(&starting->area->waits_for) != starting->seen_waits_for ||
		!sp_engine.helper->is_running())
		return 0;
	return PG_INT64_MAX;
}
