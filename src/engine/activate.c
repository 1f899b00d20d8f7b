/*
 * activate.c
 *	  New objects come to life.
 *
 * A stream has no history, and neither has what reads a stream table: those start at the
 * position, in one transaction with their state row and their state, so that a crash leaves
 * either a running object whose state is on disk, or nothing.  All others are
 * filled first, one at a time: starting.c.
 *
 * An object's turn comes when what it reads is alive.
 */
#include "engine/internal.h"

#include "access/xact.h"
#include "base/compat.h"
#include "catalog/message.h"
#include "catalog/page.h"
#include "catalog/pg_type.h"
#include "engine/override.h"
#include "engine/sample.h"
#include "engine/saving.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/date.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define FIRST_RETRY_MS	50
#define LAST_RETRY_MS	5000
#define LAST_ATTEMPT	10		/* where it isn't a lock that stands in the way */

/* A stream. */
static void
activate_stream(SpObjectDef *def)
{
	SpStream   *s = sp_registry_open_stream((SpStreamDef *) def);

	s->output.output_lsn = def->start_lsn;
	s->changed = true;
	sp_engine.streams = sp_registry_append(sp_engine.streams, s);
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

/* The latest end of a window in its result table, in the unit of its stream's times. */
static bool
find_last_end(const char *table, int64 *end)
{
	bool		none;
	Datum		value;

	if (SPI_execute(psprintf("SELECT max(window_end) FROM ONLY %s", table), true, 1) != SPI_OK_SELECT)
		elog(ERROR, "reading %s failed", table);
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &none);
	if (none)
		return false;
	*end = SPI_gettypeid(SPI_tuptable->tupdesc, 1) == DATEOID ?
		(int64) DatumGetDateADT(value) * USECS_PER_DAY : DatumGetInt64(value);
	return true;
}

/*
 * Results of an earlier life that can't be computed again: what is final stays.  Returns up
 * to which end windows must take no more rows, lest one that has lost some appears, or a
 * final one is overwritten; PG_INT64_MIN: there are none.
 */
static int64
keep_window_results(const SpWindowDef *def)
{
	char	   *table = sp_registry_relation_name(def->o.relid);
	int64		end = PG_INT64_MIN;
	SpUserContext user;

	sp_user_enter(&user, def->o.owner, list_make1("search_path=pg_catalog, pg_temp"));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	(void) find_last_end(table, &end);
	SPI_finish();
	sp_user_leave(&user, true);
	sp_sweep_delete(def->o.relid, def->changes,
					psprintf("SELECT ctid FROM ONLY %s WHERE NOT is_final", table),
					0, NULL, NULL);
	sp_page_delete_all(def->o.id);
	CommandCounterIncrement();
	return end;
}

/*
 * The same for answers to events, which all are final; new ones begin with an empty memory.
 * LSNs of another cluster may come again: they are nobody's identity.
 */
static void
keep_answers(const SpObjectDef *def)
{
	static const char sql[] =
	"SELECT ctid, row_number() OVER (ORDER BY lsn, ordinal) + "
	"(SELECT coalesce(max(-ordinal), 0) FROM ONLY %s WHERE ordinal < 0) "
	"FROM ONLY %s WHERE ordinal >= 0 AND lsn >= '%X/%X'";
	char	   *table = sp_registry_relation_name(def->relid);

	sp_sweep_disown(def->relid, sp_sweep_changes_of(def),
					psprintf(sql, table, table, LSN_FORMAT_ARGS(def->start_lsn)));
	sp_page_delete_all(def->id);
	CommandCounterIncrement();
}

/*
 * The same for alerts.  LSNs of another cluster may come again: they are nobody's identity.
 * What a shield has refused has another one, which the WAL may bring again.
 */
static void
keep_alerts(const SpObjectDef *def)
{
	sp_sweep_disown(def->relid, InvalidOid,
					psprintf("SELECT ctid, id FROM ONLY %s WHERE ordinal >= 0 AND ordinal < "
							 CppAsString2(SP_REPORT_FIRST) "::pg_catalog.int8 AND lsn >= '%X/%X'",
							 sp_registry_relation_name(def->relid),
							 LSN_FORMAT_ARGS(def->start_lsn)));
	sp_page_delete_all(def->id);
	CommandCounterIncrement();
}

/* A window on a stream, or on a window. */
static void
activate_window(SpObjectDef *def)
{
	SpWindow   *upstream = sp_registry_find_window(def->source);
	SpStream   *s = upstream ? upstream->stream : require_stream(def);
	SpWindow   *w;
	int64		floor = PG_INT64_MIN;

	if (((SpWindowDef *) def)->window_kind == SP_WINDOW_GLOBAL)
		sp_backfill_clear(def);
	else if (((SpWindowDef *) def)->window_kind == SP_WINDOW_SLIDING)
		keep_answers(def);
	else
		floor = keep_window_results((SpWindowDef *) def);
	w = sp_window_open((SpWindowDef *) def, s, upstream);
	w->floor = sp_clock_last_of(w, floor);
	sp_clock_set(w);
	w->groups.any_dirty = true; /* the floor is part of the state */
	w->output.output_lsn = def->start_lsn;
	sp_registry_add_window(w);
}

/* A detector on a stream or a window. */
static void
activate_detector(SpObjectDef *def)
{
	SpWindow   *w = sp_registry_find_window(def->source);
	SpStream   *s = w == NULL ? require_stream(def) : NULL;
	SpDetector *d;

	keep_alerts(def);
	d = sp_detector_open((SpDetectorDef *) def, s, w);
	sp_override_load_now(d);
	d->output.output_lsn = def->start_lsn;
	sp_engine.detectors = sp_registry_append(sp_engine.detectors, d);
	if (w != NULL)
	{
		sp_sample_attach(w, d);
		return;
	}
	s->detectors = sp_registry_append(s->detectors, d);
	sp_registry_need_attributes(s, d->expressions);
}

/* Note that an object runs, in the transaction that makes it so. */
void
sp_activate_set_running(const SpObjectDef *def)
{
	if (!sp_definition_set_activated(def->id, SP_STATE_RUNNING, def->start_lsn, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("%s was paused or dropped meanwhile", def->name)));
}

/* In the activation's transaction. */
static void
activate_in_transaction(SpObjectDef *def, XLogRecPtr upto)
{
	def->state = SP_STATE_RUNNING;
	def->start_lsn = upto;
	switch (def->kind)
	{
		case SP_STREAM:
			activate_stream(def);
			break;
		case SP_WINDOW:
			activate_window(def);
			break;
		case SP_DETECTOR:
			activate_detector(def);
			break;
	}
	/* Who was told that it runs must not find it starting anew, in another order, after a crash. */
	ForceSyncCommit();
	sp_activate_set_running(def);
	sp_saving_activate(def, upto, false);
}

/* Try again after a while, longer each time; returns the attempt's number. */
int
sp_activate_postpone(int least_ms)
{
	int			delay = FIRST_RETRY_MS << Min(sp_engine.activation_failures, 7);

	delay = Max(Min(delay, LAST_RETRY_MS), least_ms);
	sp_engine.activation_pending = true;
	sp_engine.activation_retry = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), delay);
	return ++sp_engine.activation_failures;
}

/* Look again for what is to be activated, as soon as the worker is back in its loop. */
void
sp_activate_soon(void)
{
	sp_engine.activation_pending = true;
	sp_engine.activation_retry = 0;
}

/* May the next attempt go better for sure? */
static bool
is_passing(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TRANSACTION_ROLLBACK;
}

/* Note that an object has failed; false when somebody is at its state, or it can't be written. */
static bool
store_failed(const SpObjectDef *def, const char *reason)
{
	MemoryContext old = CurrentMemoryContext;
	volatile bool ok = true;

	PG_TRY();
	{
		sp_engine_begin();
		sp_engine_limit_waits();
		(void) sp_definition_set_activated(def->id, SP_STATE_FAILED, InvalidXLogRecPtr, reason);
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		FlushErrorState();
		AbortCurrentTransaction();
		ok = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	return ok;
}

/*
 * The error that stopped an activation: try again, or give the object up?  What looks like
 * the environment's doing may be raised by a user's function, so that isn't tried for ever.
 */
void
sp_activate_failed(SpObjectDef *def, const ErrorData *error)
{
	if (is_passing(error) ||
		(sp_error_is_environment(error) && sp_engine.activation_failures < LAST_ATTEMPT))
	{
		if (sp_activate_postpone(0) % 20 == 1)
			ereport(LOG,
					(errmsg("%s can't be started yet: %s", def->name, error->message),
					 errdetail("Attempt %d.", sp_engine.activation_failures)));
		return;
	}
	if (!store_failed(def, error->message))
	{
		(void) sp_activate_postpone(0);
		return;
	}
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg("%s can't be started: %s", def->name, error->message)));
	def->state = SP_STATE_FAILED;
}

/* Bring one object to life; what goes wrong is its own affair. */
static void
activate(SpObjectDef *def, XLogRecPtr upto)
{
	MemoryContext old = CurrentMemoryContext;

	PG_TRY();
	{
		sp_engine_begin();
		sp_engine_limit_waits();
		activate_in_transaction(def, upto);
		PopActiveSnapshot();
		CommitTransactionCommand();
		MemoryContextSwitchTo(old);
		sp_saving_activated(true);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(sp_engine.context);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		MemoryContextSwitchTo(old);
		sp_saving_activated(false);
		sp_registry_forget(def);
		def->state = SP_STATE_NEW;
		sp_activate_failed(def, error);
		FreeErrorData(error);
	}
	PG_END_TRY();
}

/* Is the object new, and the commit met that made it so? */
static bool
is_due(const SpObjectDef *def)
{
	return def->state == SP_STATE_NEW && def->nmet == def->nrequests;
}

/* Is there anything to activate that isn't being filled already? */
static bool
any_new(List **lists)
{
	ListCell   *lc;
	int			i;

	for (i = 0; i < 3; i++)
	{
		foreach(lc, lists[i])
		{
			SpObjectDef *def = lfirst(lc);

			if (is_due(def) && !sp_starting_is(def))
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
bool
sp_activate_is_settled(void)
{
	ListCell   *lc;

	if (sp_write_holds_back_checkpoint() || sp_failure_any())
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
	foreach(lc, sp_engine.reports)
	{
		if (((SpReports *) lfirst(lc))->output.replaying)
			return false;
	}
	return true;
}

/* Write what is there to be written, due or not. */
void
sp_activate_write_all(XLogRecPtr upto)
{
	MemoryContext old = CurrentMemoryContext;

	sp_engine_begin();
	sp_write_and_commit(upto, SP_WRITE_ALL);
	MemoryContextSwitchTo(old);
}

static bool
wants_history(const SpObjectDef *def)
{
	return def->kind == SP_WINDOW ? ((const SpWindowDef *) def)->backfill :
		((const SpDetectorDef *) def)->backfill;
}

/* Is what the object reads going to be alive, but not yet? */
static bool
source_is_starting(const SpObjectDef *def)
{
	List	   *lists[2] = {sp_engine.definitions->streams, sp_engine.definitions->windows};
	ListCell   *lc;
	int			i;

	for (i = 0; i < 2 && def->kind != SP_STREAM; i++)
	{
		foreach(lc, lists[i])
		{
			SpObjectDef *source = lfirst(lc);

			if (source->relid == def->source && source->state == SP_STATE_NEW)
				return true;
		}
	}
	return false;
}

/* Commit times of history are not known any more; running totals need none. */
static bool
knows_times(const SpStream *s, const SpObjectDef *def)
{
	return s->def->time_attnum > 0 ||
		(def->kind == SP_WINDOW &&
		 ((const SpWindowDef *) def)->window_kind == SP_WINDOW_GLOBAL);
}

/* Must the object be filled with history before it runs? */
static bool
needs_filling(const SpObjectDef *def)
{
	SpStream   *s = sp_registry_find_stream(def->source);
	SpWindow   *w = sp_registry_find_window(def->source);

	if (def->kind == SP_STREAM || !wants_history(def))
		return false;
	if (s != NULL)
		return !s->is_stream_table && knows_times(s, def);
	return w != NULL && w->def->window_kind != SP_WINDOW_GLOBAL;
}

/* Let status tell why an object doesn't run yet.  That it can't now is no reason to fail. */
void
sp_activate_tell(const SpObjectDef *def, const char *reason)
{
	MemoryContext old = CurrentMemoryContext;

	PG_TRY();
	{
		sp_engine_begin();
		sp_engine_limit_waits();
		sp_definition_set_starting(def->id, reason);
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
}

/* Start the process that fills an object; false, and why, when there is none to be had. */
static bool
launch(SpObjectDef *def, const char **reason)
{
	MemoryContext old = CurrentMemoryContext;
	volatile bool ok = false;

	PG_TRY();
	{
		ok = sp_starting_begin(def, reason);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(sp_engine.rowset_context);
		error = CopyErrorData();
		FlushErrorState();
		MemoryContextSwitchTo(old);
		*reason = error->message;
	}
	PG_END_TRY();
	return ok;
}

/* Have an object filled. */
static void
start_filling(SpObjectDef *def)
{
	const char *reason;

	if (launch(def, &reason) || sp_activate_postpone(0) % 20 != 1)
		return;
	sp_activate_tell(def, reason);
	ereport(LOG,
			(errmsg("%s can't be started yet: %s", def->name, reason)));
}

/*
 * Of the objects that are to be filled, which is next?  In order of id, but first those
 * behind the last one that had to wait for somebody's transaction.
 */
static SpObjectDef *
next_to_fill(List *waiting)
{
	SpObjectDef *first = NULL;
	ListCell   *lc;

	foreach(lc, waiting)
	{
		SpObjectDef *def = lfirst(lc);

		if (first == NULL || (def->id > sp_engine.fill_after) > (first->id > sp_engine.fill_after) ||
			((def->id > sp_engine.fill_after) == (first->id > sp_engine.fill_after) &&
			 def->id < first->id))
			first = def;
	}
	return first;
}

/* Does another object wait for being filled? */
bool
sp_activate_others_wait(void)
{
	return sp_engine.nwaiting > 0;
}

/* Activate every object that is new.  Those whose turn hasn't come stay so. */
void
sp_activate_new(XLogRecPtr upto)
{
	List	   *lists[3] = {sp_engine.definitions->streams, sp_engine.definitions->windows,
	sp_engine.definitions->detectors};
	List	   *waiting = NIL;
	int			i;

	sp_engine.activation_pending = false;
	/* a running object without a position would look like one whose position is lost */
	if (XLogRecPtrIsInvalid(sp_engine.state_lsn))
		sp_saving_finish();
	if (any_new(lists) && !sp_activate_is_settled())
	{
		/* replaying objects settle by themselves */
		sp_activate_write_all(upto);
		if (!sp_activate_is_settled())
		{
			if (sp_activate_postpone(0) % 20 == 1)
				ereport(LOG,
						(errmsg("new objects wait for results of others to be written")));
			return;
		}
	}
	for (i = 0; i < 3; i++)
	{
		ListCell   *lc;

		foreach(lc, lists[i])
		{
			SpObjectDef *def = lfirst(lc);

			CHECK_FOR_INTERRUPTS();
			if (!is_due(def) || sp_starting_is(def) || source_is_starting(def))
				continue;
			if (needs_filling(def))
				waiting = lappend(waiting, def);
			else
				activate(def, upto);
		}
	}
	sp_engine.nwaiting = list_length(waiting);
	if (waiting != NIL && !sp_starting_any())
	{
		sp_engine.nwaiting--;
		start_filling(next_to_fill(waiting));
	}
	list_free(waiting);
	if (!sp_engine.activation_pending && !sp_starting_any())
		sp_engine.activation_failures = 0;
}
