/*
 * engine.c
 *	  The engine as the worker sees it.
 */
#include "engine/internal.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "base/compat.h"
#include "base/debug.h"
#include "base/guc.h"
#include "base/shared.h"
#include "catalog/message.h"
#include "catalog/page.h"
#include "catalog/position.h"
#include "engine/sample.h"
#include "engine/saving.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

/* Below this much WAL without anything of ours a checkpoint isn't worth its own WAL. */
#define IDLE_CHECKPOINT_WAL (64 * 1024)

SpEngine	sp_engine;

/* A transaction's start time is that of the last statement, which we must tell. */
void
sp_engine_begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

/* A user who holds a lock for long must not stop the others' streams. */
void
sp_engine_limit_waits(void)
{
	char		timeout[32];

	snprintf(timeout, sizeof(timeout), "%d", sp_guc_lock_timeout);
	(void) set_config_option("lock_timeout", timeout, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
}

/* ---- starting ---- */

/*
 * Why the stored position can't be continued, or NULL; *state is what objects become.
 */
static char *
find_gap(const SpPosition *position, XLogRecPtr slot_confirmed, const char *gap_reason,
		 SpObjectState *state)
{
	*state = SP_STATE_GAP;
	if (position->database != MyDatabaseId)
	{
		*state = SP_STATE_DETACHED;
		return pstrdup("this database is a copy of the one that the object was created in");
	}
	if (position->system_identifier != GetSystemIdentifier())
	{
		*state = SP_STATE_DETACHED;
		return pstrdup("this cluster is not the one that the object was created in");
	}
	if (position->timeline != GetWALInsertionTimeLine())
		return psprintf("the server's timeline changed from %u to %u: the object stands at %X/%X",
						position->timeline, GetWALInsertionTimeLine(),
						LSN_FORMAT_ARGS(position->state_lsn));
	if (XLogRecPtrIsInvalid(slot_confirmed))
		return psprintf("%s; the object stands at %X/%X",
						gap_reason ? gap_reason : "the replication slot is gone",
						LSN_FORMAT_ARGS(position->state_lsn));
	if (slot_confirmed > position->state_lsn)
		return psprintf("the replication slot was advanced to %X/%X, the object stands at %X/%X",
						LSN_FORMAT_ARGS(slot_confirmed), LSN_FORMAT_ARGS(position->state_lsn));
	return NULL;
}

/* Was the object alive?  One may have been paused before it ever ran. */
static bool
was_alive(const SpObjectDef *o)
{
	return (o->state == SP_STATE_RUNNING || o->state == SP_STATE_PAUSED) &&
		!XLogRecPtrIsInvalid(o->start_lsn);
}

/* The WAL between the position and now is lost: nobody may carry on as if it weren't. */
static void
declare_gap(SpObjectState state, const char *reason)
{
	SpDefinitions *defs = sp_engine.definitions;
	List	   *lists[3] = {defs->streams, defs->windows, defs->detectors};
	int			i;

	for (i = 0; i < 3; i++)
	{
		ListCell   *lc;

		foreach(lc, lists[i])
		{
			SpObjectDef *o = lfirst(lc);

			sp_page_delete_all(o->id);
			if (!was_alive(o))
				continue;
			if (o->kind == SP_STREAM)
			{
				/* it has only a watermark, which starts anew */
				o->state = SP_STATE_NEW;
				sp_definition_set_state(o->id, SP_STATE_NEW, InvalidXLogRecPtr, NULL);
				continue;
			}
			o->state = state;
			sp_definition_set_state(o->id, state, o->start_lsn, reason);
		}
	}
	sp_position_delete();
	ereport(WARNING,
			(errmsg("streams of this database can't be continued: %s", reason),
			 errhint("streamproc.resume() rebuilds a window or detector from its table.")));
}

/* Where the object's results stand according to the position. */
static void
set_output_lsn(SpOutput *output, const SpPosition *position, int32 id)
{
	int			i;

	output->output_lsn = position->state_lsn;
	for (i = 0; i < position->nobjects; i++)
	{
		if (position->object[i] == id)
			output->output_lsn = position->output_lsn[i];
	}
	output->replaying = output->output_lsn > position->state_lsn;
}

/* The object that an object reads, when there is one: else neither can be brought back. */
static void *
require_source(const SpObjectDef *o, void *source)
{
	if (source == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the source of %s is not running", o->name)));
	return source;
}

/* Which reports are written, of those that come again. */
static void
restore_reports(const SpPosition *position)
{
	for (int i = 0; i < position->nobjects; i++)
	{
		if (position->object[i] < 0)
			set_output_lsn(&sp_report_get(-position->object[i])->output, position,
						   position->object[i]);
	}
}

/* Bring one object back, with its state. */
static void
restore_object(SpObjectDef *o, const SpPosition *position)
{
	SpWindow   *w;
	SpWindow   *upstream;
	SpStream   *s;
	SpDetector *d;

	switch (o->kind)
	{
		case SP_STREAM:
			s = sp_registry_open_stream((SpStreamDef *) o);
			sp_engine.streams = sp_registry_append(sp_engine.streams, s);
			sp_checkpoint_load_stream(s);
			set_output_lsn(&s->output, position, o->id);
			break;
		case SP_WINDOW:
			upstream = sp_registry_find_window(o->source);
			s = upstream ? upstream->stream :
				require_source(o, sp_registry_find_stream(o->source));
			w = sp_window_open((SpWindowDef *) o, s, upstream);
			sp_registry_add_window(w);
			sp_checkpoint_load_window(w);
			set_output_lsn(&w->output, position, o->id);
			break;
		case SP_DETECTOR:
			w = sp_registry_find_window(o->source);
			s = w ? NULL : require_source(o, sp_registry_find_stream(o->source));
			d = sp_detector_open((SpDetectorDef *) o, s, w);
			sp_engine.detectors = sp_registry_append(sp_engine.detectors, d);
			if (w != NULL)
				sp_sample_attach(w, d);
			else
			{
				s->detectors = sp_registry_append(s->detectors, d);
				sp_registry_need_attributes(s, d->expressions);
			}
			sp_checkpoint_load_detector(d);
			set_output_lsn(&d->output, position, o->id);
			break;
	}
}

/* The object can't be brought back: it is to be built anew once that is mended. */
static void
give_up(SpObjectDef *o, const ErrorData *error)
{
	sp_page_delete_all(o->id);
	o->state = SP_STATE_FAILED;
	sp_definition_set_state(o->id, SP_STATE_FAILED, InvalidXLogRecPtr, error->message);
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg("%s can't be continued: %s", o->name, error->message),
			 errhint("Once that is mended, streamproc.resume() rebuilds it.")));
}

/*
 * The same in a subtransaction, with some patience: an object that can't be brought back
 * (somebody has altered its table or a function, its state is damaged) fails for itself, the
 * others go on.
 */
static void
restore_guarded(SpObjectDef *o, const SpPosition *position, int attempt)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;
	ErrorData  *volatile failed = NULL;

	if (!was_alive(o))
		return;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(oldcontext);
	PG_TRY();
	{
		restore_object(o, position);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(oldcontext);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(oldcontext);
		CurrentResourceOwner = oldowner;
		sp_registry_forget(o);
		failed = error;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(oldcontext);
	CurrentResourceOwner = oldowner;
	if (failed == NULL)
		return;
	if (sp_error_is_environment(failed) && attempt < SP_ATTEMPTS)
		restore_guarded(o, position, attempt + 1);
	else
		give_up(o, failed);
}

/* Bring back what was alive, with its state. */
static void
restore_objects(const SpPosition *position)
{
	SpDefinitions *defs = sp_engine.definitions;
	List	   *lists[3] = {defs->streams, defs->windows, defs->detectors};
	ListCell   *lc;
	int			i;

	for (i = 0; i < 3; i++)
	{
		foreach(lc, lists[i])
			restore_guarded(lfirst(lc), position, 1);
	}
}

/* Has any object been activated before? */
static bool
any_was_running(void)
{
	SpDefinitions *defs = sp_engine.definitions;
	List	   *lists[3] = {defs->streams, defs->windows, defs->detectors};
	ListCell   *lc;
	int			i;

	for (i = 0; i < 3; i++)
	{
		foreach(lc, lists[i])
		{
			if (was_alive(lfirst(lc)))
				return true;
		}
	}
	return false;
}

/* Set up what does not depend on any stream. */
void
sp_engine_initialize(void)
{
	sp_engine.context = AllocSetContextCreate(TopMemoryContext, "streamproc engine",
											  ALLOCSET_DEFAULT_SIZES);
	sp_engine.rowset_context = AllocSetContextCreate(sp_engine.context, "streamproc rows",
													 ALLOCSET_DEFAULT_SIZES);
	sp_engine.slot_name = MemoryContextStrdup(sp_engine.context,
											  psprintf("streamproc_%u", MyDatabaseId));
	/* results can be written again from the WAL */
	SetConfigOption("synchronous_commit", "off", PGC_USERSET, PGC_S_OVERRIDE);
}

/* Load definitions and state. */
XLogRecPtr
sp_engine_start(XLogRecPtr slot_confirmed, const char *gap_reason, const SpHelperRoutine *helper)
{
	SpPosition *position;
	SpObjectState state;
	char	   *reason = NULL;
	XLogRecPtr	result = InvalidXLogRecPtr;

	sp_engine_initialize();
	sp_engine.helper = helper;
	sp_engine_begin();
	position = sp_position_load();
	sp_engine.fresh = position == NULL;
	if (position != NULL)
		sp_page_publish(position->generation);
	sp_registry_sync(InvalidTransactionId);
	sp_page_delete_orphans();
	sp_definition_delete_orphans();
	if (position != NULL)
	{
		reason = find_gap(position, slot_confirmed, gap_reason, &state);
		if (reason != NULL)
		{
			declare_gap(state, reason);
			sp_engine.fresh = true;
		}
		else
		{
			restore_objects(position);
			restore_reports(position);
			result = position->state_lsn;
			sp_engine.upto = sp_engine.state_lsn = result;
			sp_engine.generation = position->generation;
		}
	}
	else if (any_was_running())
		declare_gap(SP_STATE_GAP, "the worker's position is missing");	/* somebody deleted it */
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(TopMemoryContext);
	return result;
}

/* The worker is about to end. */
void
sp_engine_stop(void)
{
	sp_starting_abandon();
}

/* Is there anything to do for a worker?  What can't be used may have refusals to be reported. */
bool
sp_engine_has_streams(void)
{
	return sp_engine.definitions != NULL &&
		(sp_engine.definitions->streams != NIL || sp_engine.definitions->broken != NIL);
}

/* Is the relation that of a stream, and what does the stream want of it? */
SpSourceKind
sp_engine_is_source(Oid relid)
{
	ListCell   *lc;

	foreach(lc, sp_engine.definitions->streams)
	{
		const SpStreamDef *def = lfirst(lc);

		if (def->o.relid == relid)
			return def->on_update == SP_ON_UPDATE_RETRACT ? SP_SOURCE_ALL : SP_SOURCE_INSERTS;
	}
	return SP_SOURCE_NONE;
}

/* ---- running ---- */

/* Results must be written for want of memory, before the event at lsn. */
static void
write_between(XLogRecPtr lsn)
{
	sp_pipeline_reach(lsn);
	sp_engine.upto = Max(sp_engine.upto, lsn);
	sp_write_and_commit(sp_engine.upto, SP_WRITE_ALL);
	sp_spill_try_again();
	MemoryContextSwitchTo(TopMemoryContext);
	sp_engine_begin();
}

/* Process events in order, then write what is due. */
void
sp_engine_apply(dlist_head *events, XLogRecPtr upto, bool flush)
{
	sp_engine_begin();
	while (!dlist_is_empty(events))
	{
		SpEvent    *event = dlist_container(SpEvent, node, dlist_pop_head_node(events));

		if (sp_spill_wants_writing())
			write_between(event->lsn);
		sp_pipeline_apply(event);
		sp_engine.changed = true;
		sp_engine.progressed = true;
		sp_event_free(event);
	}
	sp_pipeline_reach(upto);
	sp_engine.upto = Max(sp_engine.upto, upto);
	sp_write_and_commit(sp_engine.upto,
						flush || sp_spill_wants_writing() ? SP_WRITE_ALL : SP_WRITE_DUE);
	sp_spill_try_again();
	sp_memory_watch();
	MemoryContextSwitchTo(TopMemoryContext);
	sp_failure_settle();
}

/* A commit may be decoded before it is visible. */
static void
wait_until_visible(TransactionId xid)
{
	while (TransactionIdIsValid(xid) && TransactionIdIsInProgress(xid))
	{
		CHECK_FOR_INTERRUPTS();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

/* Follow the definitions. */
void
sp_engine_activate(TransactionId xid, XLogRecPtr upto)
{
	wait_until_visible(xid);
	sp_engine.upto = Max(sp_engine.upto, upto);
	sp_failure_settle();

	sp_engine_begin();
	sp_registry_sync(xid);
	PopActiveSnapshot();
	CommitTransactionCommand();
	sp_engine.fresh = false;
	MemoryContextSwitchTo(TopMemoryContext);

	sp_activate_new(sp_engine.upto);
	MemoryContextSwitchTo(TopMemoryContext);
	sp_engine.changed = true;	/* a state that was asked for is to be stored */
}

/* Waits anything for being tried again? */
bool
sp_engine_pending(void)
{
	ListCell   *lc;

	if (sp_engine.activation_pending || sp_starting_any() || sp_failure_any())
		return true;
	foreach(lc, sp_engine.windows)
	{
		if (((SpWindow *) lfirst(lc))->output.failures > 0)
			return true;
	}
	foreach(lc, sp_engine.detectors)
	{
		if (((SpDetector *) lfirst(lc))->output.failures > 0)
			return true;
	}
	foreach(lc, sp_engine.reports)
	{
		if (((SpReports *) lfirst(lc))->output.failures > 0)
			return true;
	}
	return false;
}

/* Is there something to do that nobody's commit would wake us for? */
bool
sp_engine_has_news(void)
{
	TimestampTz due = sp_starting_due();

	if (sp_engine.activation_pending)
		due = Min(due, sp_engine.activation_retry);
	return due != PG_INT64_MAX && due <= GetCurrentTimestamp();
}

/* Begin a checkpoint of the state as it is. */
bool
sp_engine_checkpoint_begin(void)
{
	Assert(!sp_saving_is_running());
	sp_failure_settle();
	if (sp_failure_any())
		return false;
	if (!sp_engine.changed && sp_engine.upto - sp_engine.state_lsn < IDLE_CHECKPOINT_WAL)
		return false;
	if (sp_write_holds_back_checkpoint())
	{
		sp_engine_begin();
		sp_write_and_commit(sp_engine.upto, SP_WRITE_FOR_CHECKPOINT);
		MemoryContextSwitchTo(TopMemoryContext);
		if (sp_write_holds_back_checkpoint())
			return false;
	}
	sp_saving_begin(sp_engine.upto);
	return true;
}

/* Is there one that isn't finished? */
bool
sp_engine_checkpoint_running(void)
{
	return sp_saving_is_running();
}

/* Take it a slice further. */
bool
sp_engine_checkpoint_slice(XLogRecPtr *state_lsn, XLogRecPtr *flush_lsn)
{
	bool		finished;

	sp_engine_begin();
	finished = sp_saving_write_slice();
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(TopMemoryContext);
	if (!finished)
	{
		sp_debug_point("checkpoint-slice");
		return false;
	}
	sp_saving_committed();
	*state_lsn = sp_engine.state_lsn;
	*flush_lsn = XactLastCommitEnd;
	pg_atomic_write_u64(&sp_my_worker->state_bytes,
						MemoryContextMemAllocated(sp_engine.context, true));
	return true;
}

/* ---- the clock ---- */

/* When something is due. */
TimestampTz
sp_engine_next_due(void)
{
	TimestampTz writing = sp_write_next_due();
	TimestampTz deleting = sp_retention_next_due();
	TimestampTz next = Min(writing, deleting);
	ListCell   *lc;

	next = Min(next, sp_starting_due());
	if (sp_engine.activation_pending)
		next = Min(next, sp_engine.activation_retry);
	foreach(lc, sp_engine.streams)
	{
		SpStream   *s = lfirst(lc);

		if (s->def->o.state == SP_STATE_RUNNING)
			next = Min(next, sp_pipeline_tick_due(s));
	}
	return next;
}

/*
 * Do what the clock says: another try at activation, a step of what is being filled, ticks
 * into the WAL, retention.
 */
void
sp_engine_tick(TimestampTz now)
{
	ListCell   *lc;

	sp_failure_settle();
	if (sp_engine.activation_pending && now >= sp_engine.activation_retry)
	{
		sp_activate_new(sp_engine.upto);
		MemoryContextSwitchTo(TopMemoryContext);
	}
	sp_starting_step(now);
	MemoryContextSwitchTo(TopMemoryContext);
	foreach(lc, sp_engine.streams)
	{
		SpStream   *s = lfirst(lc);

		if (s->def->o.state != SP_STATE_RUNNING || sp_pipeline_tick_due(s) > now)
			continue;
		/* flushed at once: the worker reads only what is flushed */
		XLogFlush(sp_message_tick(s->def->o.relid, now, PG_INT64_MIN));
		s->tick_sent = now;
	}
	sp_retention_run(now);
}
