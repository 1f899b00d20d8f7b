/*
 * failure.c
 *	  Objects that can't go on: what a user's function threw where no row is to blame.
 *
 * Such an object has failed from that event on.  It takes no more rows at once; that it has
 * failed is stored in a transaction of its own as soon as there is none, and only then the
 * object is forgotten, with its state, and with what reads it.  Until that is done no
 * checkpoint may be written, lest the state of an object that has failed half way is taken
 * for good.  A crash before it is stored repeats the event, and with it the failure.
 */
#include "engine/internal.h"

#include "access/xact.h"
#include "base/compat.h"
#include "catalog/page.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

typedef struct Failure
{
	int32		id;
	char	   *name;
	char	   *reason;
} Failure;

#define LOG_EVERY	100			/* attempts to store that failed */

static int	attempts = 0;		/* to store, that failed */
static List *failures = NIL;	/* of Failure *, in sp_engine.context, not stored yet */

/* The object has failed, here and now. */
static void
note(SpObjectDef *o, SpOutput *output, const char *reason)
{
	MemoryContext old;
	Failure    *failure;

	if (o->state == SP_STATE_FAILED)
		return;
	o->state = SP_STATE_FAILED;
	sp_output_clear(output);
	old = MemoryContextSwitchTo(sp_engine.context);
	failure = palloc(sizeof(Failure));
	failure->id = o->id;
	failure->name = pstrdup(o->name);
	failure->reason = pstrdup(reason);
	failures = lappend(failures, failure);
	MemoryContextSwitchTo(old);
}

/* A detector has failed. */
void
sp_failure_detector(SpDetector *d, const char *reason)
{
	note(&d->def->o, &d->output, reason);
}

/* A window has failed, and with it what reads it. */
void
sp_failure_window(SpWindow *w, const char *reason)
{
	const char *consequence = psprintf("its source %s has failed", w->def->o.name);
	ListCell   *lc;

	note(&w->def->o, &w->output, reason);
	foreach(lc, w->windows)
		sp_failure_window(lfirst(lc), consequence);
	foreach(lc, w->detectors)
		sp_failure_detector(lfirst(lc), consequence);
}

/* All that reads the stream has failed. */
void
sp_failure_readers(SpStream *s, const char *reason)
{
	ListCell   *lc;

	foreach(lc, s->windows)
		sp_failure_window(lfirst(lc), reason);
	foreach(lc, s->detectors)
		sp_failure_detector(lfirst(lc), reason);
}

/* Are there failures that aren't stored? */
bool
sp_failure_any(void)
{
	return failures != NIL;
}

/* Has that object failed, and it isn't stored yet? */
bool
sp_failure_is(int32 id)
{
	ListCell   *lc;

	foreach(lc, failures)
	{
		if (((Failure *) lfirst(lc))->id == id)
			return true;
	}
	return false;
}

/* An object that isn't alive yet: its failure is an error of whoever brings it to life. */
void
sp_failure_raise(int32 id)
{
	ListCell   *lc;

	foreach(lc, failures)
	{
		Failure    *failure = lfirst(lc);

		if (failure->id != id)
			continue;
		failures = foreach_delete_current(failures, lc);
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("%s", failure->reason)));
	}
}

/* In a transaction: the states of all that have failed. */
static void
store_all(void)
{
	ListCell   *lc;

	foreach(lc, failures)
	{
		Failure    *failure = lfirst(lc);

		(void) sp_definition_set_failed(failure->id, failure->reason);
		sp_page_delete_all(failure->id);
	}
}

/* Forget the live objects; those that are read take along what reads them, failed as well. */
static void
forget_all(void)
{
	ListCell   *lc;

	foreach(lc, failures)
	{
		Failure    *failure = lfirst(lc);

		ereport(LOG,
				(errmsg("%s has failed: %s", failure->name, failure->reason),
				 errhint("Once that is mended, streamproc.resume() rebuilds it.")));
		sp_registry_forget_id(failure->id);
		pfree(failure->name);
		pfree(failure->reason);
		pfree(failure);
	}
	list_free(failures);
	failures = NIL;
	attempts = 0;
}

/* Store what has failed; outside of a transaction.  What can't be stored now is tried again. */
void
sp_failure_settle(void)
{
	MemoryContext old = CurrentMemoryContext;

	if (failures == NIL)
		return;
	PG_TRY();
	{
		sp_engine_begin();
		sp_engine_limit_waits();
		store_all();
		PopActiveSnapshot();
		CommitTransactionCommand();
		MemoryContextSwitchTo(old);
		forget_all();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(sp_engine.context);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		/* no checkpoint is written until it can be: people must hear of it */
		if (attempts++ % LOG_EVERY == 0)
			ereport(LOG,
					(errcode(error->sqlerrcode),
					 errmsg("that objects have failed can't be stored now: %s", error->message),
					 errdetail("Checkpoints wait for it.  Attempt %d.", attempts)));
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
}
