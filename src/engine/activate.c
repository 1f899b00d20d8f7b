/*
 * activate.c
 *	  New objects come to life: cut, backfill, publish, each in one transaction.
 *
 * The transaction that activates an object writes its results and state, its state row
 * ("running" from the cut on) and a checkpoint of everything, so that a crash leaves
 * either a running object whose state is on disk, or nothing.
 *
 * Streams come first, then windows, then detectors, so that what an object reads is there.
 */
#include "engine/internal.h"

#include "access/xact.h"
#include "base/compat.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define FIRST_RETRY_MS	50
#define LAST_RETRY_MS	5000
#define LAST_ATTEMPT	10		/* where it isn't a lock that stands in the way */

/* An object that is being activated, and what has come of it so far. */
typedef struct Activation
{
	SpObjectDef *def;
	XLogRecPtr	upto;
	SpStream   *stream;
	SpWindow   *window;
	SpDetector *detector;
	/* the source's history read so far, as it was before */
	SpStream   *source;
	XLogRecPtr	pending_lsn;
	int64		pending_max;
	TimestampTz pending_time;
} Activation;

/* A stream has no history of its own. */
static void
activate_stream(Activation *a)
{
	a->def->state = SP_STATE_RUNNING;
	a->def->start_lsn = a->upto;
	a->stream = sp_registry_open_stream((SpStreamDef *) a->def);
	a->stream->output.output_lsn = a->upto;
	a->stream->changed = true;
	sp_engine.streams = sp_registry_append(sp_engine.streams, a->stream);
}

/* The source of a window or detector must be alive. */
static SpStream *
require_stream(const SpObjectDef *def)
{
	SpStream   *s = sp_registry_find_stream(def->source);

	if (s == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the source of %s is not a running stream", def->name)));
	sp_registry_refresh_stream(s);
	return s;
}

/*
 * Start at the cut, with a snapshot of what is before it, when the source is an ordinary
 * table; else at the position.  Returns whether there is history: its snapshot is active then.
 */
static bool
start_object(Activation *a, SpStream *s)
{
	XLogRecPtr	cut;

	a->def->state = SP_STATE_RUNNING;
	a->def->start_lsn = a->upto;
	sp_backfill_clear_results(a->def);
	if (s == NULL || s->is_stream_table)
		return false;
	a->source = s;
	a->pending_lsn = s->pending_lsn;
	a->pending_max = s->pending_max;
	a->pending_time = s->pending_time;
	cut = sp_backfill_cut(s);
	a->def->start_lsn = Max(a->upto, cut);
	return true;
}

/* A window on a stream. */
static void
activate_window(Activation *a)
{
	SpWindowDef *def = (SpWindowDef *) a->def;
	SpStream   *s = require_stream(a->def);
	bool		history = start_object(a, s);

	a->window = sp_window_open(def, s);
	a->window->output.output_lsn = a->upto;
	sp_engine.windows = sp_registry_append(sp_engine.windows, a->window);
	s->windows = sp_registry_append(s->windows, a->window);
	sp_registry_need_attributes(s, a->window->expressions);
	if (!history)
		return;
	if (def->backfill)
		sp_backfill_window(a->window, a->def->start_lsn);
	PopActiveSnapshot();
}

/* A detector on a stream or a window. */
static void
activate_detector(Activation *a)
{
	SpDetectorDef *def = (SpDetectorDef *) a->def;
	SpWindow   *w = sp_registry_find_window(a->def->source);
	SpStream   *s = w == NULL ? require_stream(a->def) : NULL;
	bool		history = start_object(a, s);

	a->detector = sp_detector_open(def, s, w);
	a->detector->output.output_lsn = a->upto;
	sp_engine.detectors = sp_registry_append(sp_engine.detectors, a->detector);
	if (w != NULL)
	{
		w->detectors = sp_registry_append(w->detectors, a->detector);
		if (def->backfill)
			sp_backfill_detector(a->detector, a->upto);
		return;
	}
	s->detectors = sp_registry_append(s->detectors, a->detector);
	sp_registry_need_attributes(s, a->detector->expressions);
	if (!history)
		return;
	if (def->backfill)
		sp_backfill_detector(a->detector, a->def->start_lsn);
	PopActiveSnapshot();
}

/* Take back what a failed activation has put into memory. */
static void
forget(Activation *a)
{
	sp_registry_forget(a->def);
	if (a->source != NULL)
	{
		a->source->pending_lsn = a->pending_lsn;
		a->source->pending_max = a->pending_max;
		a->source->pending_time = a->pending_time;
	}
	a->def->state = SP_STATE_NEW;
}

/* In the activation's transaction. */
static void
activate_in_transaction(Activation *a)
{
	switch (a->def->kind)
	{
		case SP_STREAM:
			activate_stream(a);
			break;
		case SP_WINDOW:
			activate_window(a);
			break;
		case SP_DETECTOR:
			activate_detector(a);
			break;
	}
	/* Who was told that it runs must not find it starting anew, in another order, after a crash. */
	ForceSyncCommit();
	sp_definition_set_state(a->def->id, SP_STATE_RUNNING, a->def->start_lsn, NULL);
	sp_checkpoint_write(a->upto);
}

/* Try again after a while, longer each time; returns the attempt's number. */
static int
postpone(void)
{
	int			delay = FIRST_RETRY_MS << Min(sp_engine.activation_failures, 7);

	sp_engine.activation_pending = true;
	sp_engine.activation_retry =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), Min(delay, LAST_RETRY_MS));
	return ++sp_engine.activation_failures;
}

/*
 * The error that stopped an activation: try again, or give the object up?  What looks like
 * the environment's doing may be raised by a user's function, so that isn't tried for ever.
 */
static void
activation_failed(Activation *a, ErrorData *error)
{
	bool		locked = error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED;

	if (locked ||
		(sp_error_is_environment(error) && sp_engine.activation_failures < LAST_ATTEMPT))
	{
		if (postpone() % 20 == 1)
			ereport(LOG,
					(errmsg("%s can't be started yet: %s", a->def->name, error->message),
					 errdetail("Attempt %d.", sp_engine.activation_failures)));
		return;
	}
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg("%s can't be started: %s", a->def->name, error->message)));
	sp_engine_begin();
	sp_definition_set_state(a->def->id, SP_STATE_FAILED, InvalidXLogRecPtr, error->message);
	PopActiveSnapshot();
	CommitTransactionCommand();
	a->def->state = SP_STATE_FAILED;
}

/* Bring one object to life; what goes wrong is its own affair. */
static void
activate(SpObjectDef *def, XLogRecPtr upto)
{
	Activation	a = {def, upto};
	Activation *volatile ap = &a;
	MemoryContext old = CurrentMemoryContext;

	PG_TRY();
	{
		sp_engine_begin();
		sp_engine_limit_waits();
		activate_in_transaction(ap);
		PopActiveSnapshot();
		CommitTransactionCommand();
		MemoryContextSwitchTo(old);
		sp_checkpoint_committed(upto);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(sp_engine.context);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		MemoryContextSwitchTo(old);
		forget(ap);
		activation_failed(ap, error);
		FreeErrorData(error);
	}
	PG_END_TRY();
}

/* Is there anything to activate? */
static bool
any_new(List **lists)
{
	ListCell   *lc;
	int			i;

	for (i = 0; i < 3; i++)
	{
		foreach(lc, lists[i])
		{
			if (((SpObjectDef *) lfirst(lc))->state == SP_STATE_NEW)
				return true;
		}
	}
	return false;
}

/*
 * May an activation checkpoint everything, and read the results of windows?  Not while
 * there are alerts or dead letters that aren't in the tables, not while tables are ahead
 * of the state they came from, and not while a window's results are unwritten.
 */
static bool
is_settled(void)
{
	ListCell   *lc;

	if (sp_write_holds_back_checkpoint())
		return false;
	foreach(lc, sp_engine.streams)
	{
		if (((SpStream *) lfirst(lc))->output.replaying)
			return false;
	}
	foreach(lc, sp_engine.windows)
	{
		if (((SpWindow *) lfirst(lc))->output.replaying)
			return false;
	}
	foreach(lc, sp_engine.detectors)
	{
		if (((SpDetector *) lfirst(lc))->output.replaying)
			return false;
	}
	return true;
}

/* Write what is there to be written, due or not. */
static void
write_all(XLogRecPtr upto)
{
	MemoryContext old = CurrentMemoryContext;

	sp_engine_begin();
	sp_write_and_commit(upto, true);
	MemoryContextSwitchTo(old);
}

/* The source of a detector is a window whose results don't all stand in its table. */
static bool
reads_unwritten(const SpObjectDef *def)
{
	SpWindow   *w = def->kind == SP_DETECTOR ? sp_registry_find_window(def->source) : NULL;

	return w != NULL && !sp_output_is_empty(&w->output);
}

/* Activate every object that is new.  Those whose turn hasn't come stay pending. */
void
sp_activate_new(XLogRecPtr upto)
{
	List	   *lists[3] = {sp_engine.definitions->streams, sp_engine.definitions->windows,
	sp_engine.definitions->detectors};
	int			i;

	sp_engine.activation_pending = false;
	if (any_new(lists) && !is_settled())
	{
		/* replaying objects settle by themselves */
		write_all(upto);
		if (!is_settled())
		{
			if (postpone() % 20 == 1)
				ereport(LOG,
						(errmsg("new objects wait for results of others to be written")));
			return;
		}
	}
	for (i = 0; i < 3 && !sp_engine.activation_pending; i++)
	{
		ListCell   *lc;

		foreach(lc, lists[i])
		{
			SpObjectDef *def = lfirst(lc);

			CHECK_FOR_INTERRUPTS();
			if (def->state != SP_STATE_NEW)
				continue;
			if (reads_unwritten(def))
				write_all(upto);
			if (reads_unwritten(def))
				(void) postpone();
			else
				activate(def, upto);
		}
	}
	if (!sp_engine.activation_pending)
		sp_engine.activation_failures = 0;
}
