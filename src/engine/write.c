/*
 * write.c
 *	  Output to tables: what objects have computed, in one transaction with the position.
 *
 * The objects whose output is due are written together.  When that throws (a locked
 * table, a trigger of the user's, a duplicate key), the transaction is rolled back and
 * each object is written in a subtransaction of its own, so that one doesn't stop the
 * others; the failed one keeps its output and is tried again later.  Output is forgotten
 * only after the commit.
 */
#include "engine/internal.h"

#include <time.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "base/compat.h"
#include "base/debug.h"
#include "base/guc.h"
#include "base/shared.h"
#include "catalog/pg_type.h"
#include "catalog/position.h"
#include "commands/async.h"
#include "engine/saving.h"
#include "engine/writer.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "replication/origin.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define FIRST_RETRY_MS	100
#define LAST_RETRY_MS	30000

/* One object whose output can be written. */
typedef struct Writable
{
	const SpObjectDef *def;
	Oid			source;			/* relation whose rows its dead letters are */
	SpOutput   *output;
	int64		trigger_us;
	SpStream   *stream;			/* one of these; of a stream: dead letters */
	SpWindow   *window;
	SpDetector *detector;
	SpReports  *reports;
	bool		written;		/* in the transaction at work */
} Writable;

/* How long results may wait.  Those of a micro-batch have waited: its trigger is when it ends. */
static inline int64
trigger_of(const SpDetector *d)
{
	return d->micro != NULL ? 0 : d->def->trigger_us;
}

/* All objects, in the current memory context. */
static List *
list_writables(void)
{
	List	   *result = NIL;
	ListCell   *lc;
	Writable   *x;

	foreach(lc, sp_engine.streams)
	{
		SpStream   *s = lfirst(lc);

		x = palloc0(sizeof(Writable));
		x->def = &s->def->o;
		x->source = s->def->o.relid;
		x->output = &s->output;
		x->stream = s;
		result = lappend(result, x);
	}
	foreach(lc, sp_engine.windows)
	{
		SpWindow   *w = lfirst(lc);

		x = palloc0(sizeof(Writable));
		x->def = &w->def->o;
		x->source = w->def->o.source;
		x->output = &w->output;
		x->trigger_us = w->def->trigger_us;
		x->window = w;
		result = lappend(result, x);
	}
	foreach(lc, sp_engine.detectors)
	{
		SpDetector *d = lfirst(lc);

		x = palloc0(sizeof(Writable));
		x->def = &d->def->o;
		x->source = d->def->o.source;
		x->output = &d->output;
		x->trigger_us = trigger_of(d);
		x->detector = d;
		result = lappend(result, x);
	}
	foreach(lc, sp_engine.reports)
	{
		SpReports  *r = lfirst(lc);

		x = palloc0(sizeof(Writable));
		x->def = &r->o;
		x->output = &r->output;
		x->reports = r;
		result = lappend(result, x);
	}
	return result;
}

/* Under which number its position is stored: a detector and its reports have one each. */
static inline int32
position_number(const Writable *x)
{
	return x->reports != NULL ? -x->def->id : x->def->id;
}

/* When may the object's output be written?  PG_INT64_MAX: there is none. */
static TimestampTz
due_at(const SpOutput *output, int64 trigger_us)
{
	TimestampTz due;

	if (output->replaying || sp_output_is_empty(output))
		return PG_INT64_MAX;
	due = output->first_change + trigger_us;
	return Max(due, output->retry_at);
}

/* The earliest time at which output becomes due. */
TimestampTz
sp_write_next_due(void)
{
	TimestampTz next = PG_INT64_MAX;
	ListCell   *lc;

	foreach(lc, sp_engine.streams)
		next = Min(next, due_at(&((SpStream *) lfirst(lc))->output, 0));
	foreach(lc, sp_engine.windows)
	{
		SpWindow   *w = lfirst(lc);

		next = Min(next, due_at(&w->output, w->def->trigger_us));
	}
	foreach(lc, sp_engine.detectors)
	{
		SpDetector *d = lfirst(lc);

		next = Min(next, due_at(&d->output, trigger_of(d)));
	}
	foreach(lc, sp_engine.reports)
		next = Min(next, due_at(&((SpReports *) lfirst(lc))->output, 0));
	return next;
}

/* Dead letters of an object. */
static uint64
write_dead(SpOutput *output, const SpObjectDef *def, Oid source)
{
	dlist_iter	iter;

	dlist_foreach(iter, &output->dead)
	{
		SpDeadLetter *dead = dlist_container(SpDeadLetter, node, iter.cur);

		sp_dead_letter_add(def, source, dead->reason, dead->sqlstate, dead->message,
						   dead->event_time, dead->missed_until, dead->lsn, dead->ordinal,
						   dead->desc, dead->values, dead->nulls);
	}
	return output->ndead;
}

/* Result rows of a detector, and its notifications. */
static uint64
write_detector(SpDetector *d, uint64 *alerts)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "streamproc write",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	SpWriter   *writer = sp_writer_open(d->def->o.relid, d->natts, d->types, 0, NULL);
	TupleTableSlot *slot = sp_writer_slot(writer);
	int			detected_at = d->natts - 3;
	TimestampTz now = GetCurrentTimestamp();
	dlist_iter	iter;
	uint64		n = 0;

	dlist_foreach(iter, &d->output.alerts)
	{
		SpAlert    *alert = dlist_container(SpAlert, node, iter.cur);
		int64		id = sp_writer_next_id(writer);

		if (++n % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		ExecClearTuple(slot);
		memcpy(slot->tts_values, alert->values, sizeof(Datum) * d->natts);
		memcpy(slot->tts_isnull, alert->nulls, sizeof(bool) * d->natts);
		slot->tts_values[0] = Int64GetDatum(id);
		slot->tts_isnull[0] = false;
		slot->tts_values[detected_at] = TimestampTzGetDatum(now);
		slot->tts_isnull[detected_at] = false;
		ExecStoreVirtualTuple(slot);
		sp_writer_insert(writer);
		if (alert->is_anomaly)
			(*alerts)++;
		if (alert->notify)
		{
			/* a listener must not hear of an alert that a crash takes back */
			ForceSyncCommit();
			Async_Notify(d->def->notify, psprintf(INT64_FORMAT, id));
		}
	}
	sp_writer_close(writer);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return n;
}

/* Reports of shields, in the current transaction; or they wait. */
static void
write_reports(Writable *x)
{
	uint64		rows;
	uint64		dead;

	x->written = sp_report_write(x->reports, &rows, &dead);
	if (x->written && x->output->reported)
		(void) sp_definition_set_problem(x->def->id, NULL);
	pg_atomic_fetch_add_u64(&sp_my_worker->results, rows);
	pg_atomic_fetch_add_u64(&sp_my_worker->alerts, rows);
	pg_atomic_fetch_add_u64(&sp_my_worker->dead, dead);
}

/* All output of one object, in the current transaction. */
static void
write_object(Writable *x)
{
	uint64		rows = 0;
	uint64		alerts = 0;

	if (x->reports != NULL)
	{
		write_reports(x);
		return;
	}
	if (x->output->ndead > 0)
	{
		write_dead(x->output, x->def, x->source);
		pg_atomic_fetch_add_u64(&sp_my_worker->dead, x->output->ndead);
	}
	if (x->window != NULL && (x->output->ngroups > 0 || x->output->npages > 0))
		rows = sp_write_window_groups(x->window);
	if (x->window != NULL && x->output->ninserts > 0)
		rows += sp_write_window_inserts(x->window);
	if (x->detector != NULL && x->output->nalerts > 0)
		rows = write_detector(x->detector, &alerts);
	if (x->output->reported)
		sp_definition_set_reason(x->def->id, NULL);
	pg_atomic_fetch_add_u64(&sp_my_worker->results, rows);
	pg_atomic_fetch_add_u64(&sp_my_worker->alerts, alerts);
	x->written = true;
}

/* After the commit: the object's output is in the tables. */
static void
output_committed(Writable *x, XLogRecPtr upto)
{
	sp_output_committed(x->output);
	x->output->reported = false;
	x->output->output_lsn = Max(x->output->output_lsn, upto);
}

/*
 * Store the position: results of the objects in written (and of those with nothing to
 * write) stand at upto, those of the others where they stood.
 */
static void
store_position(List *objects, XLogRecPtr upto, XLogRecPtr state_lsn, int64 generation)
{
	SpPosition	p;
	ListCell   *lc;

	/* where there is none yet, the first checkpoint makes it; nothing runs before */
	if (XLogRecPtrIsInvalid(state_lsn))
		return;
	p.slot_name = sp_engine.slot_name;
	p.system_identifier = GetSystemIdentifier();
	p.timeline = GetWALInsertionTimeLine();
	p.database = MyDatabaseId;
	p.state_lsn = state_lsn;
	p.generation = generation;
	p.nobjects = 0;
	p.object = palloc(sizeof(int32) * Max(1, list_length(objects)));
	p.output_lsn = palloc(sizeof(XLogRecPtr) * Max(1, list_length(objects)));
	foreach(lc, objects)
	{
		Writable   *x = lfirst(lc);
		bool		current = x->written ||
			(sp_output_is_empty(x->output) && !x->output->replaying);

		p.object[p.nobjects] = position_number(x);
		p.output_lsn[p.nobjects++] = current ? Max(upto, x->output->output_lsn) :
			x->output->output_lsn;
	}
	sp_position_store(&p);
	replorigin_session_origin_lsn = upto;
	replorigin_session_origin_timestamp = GetCurrentTimestamp();
}

/*
 * Store the position of a checkpoint, which is about state_lsn, in the current transaction.
 * Everything before upto is applied.
 */
void
sp_write_position(XLogRecPtr upto, XLogRecPtr state_lsn, int64 generation)
{
	store_position(list_writables(), upto, state_lsn, generation);
}

/* Forget what a commit has made durable. */
static void
after_commit(List *objects, XLogRecPtr upto)
{
	ListCell   *lc;

	foreach(lc, objects)
	{
		Writable   *x = lfirst(lc);

		if (x->written)
			output_committed(x, upto);
		else if (sp_output_is_empty(x->output) && !x->output->replaying)
			x->output->output_lsn = Max(x->output->output_lsn, upto);
	}
	sp_engine.changed = true;
}

/* Let status tell it. */
static void
tell_problem(Writable *x, const char *message)
{
	if (x->reports != NULL)
		x->output->reported |= sp_definition_set_problem(x->def->id, message);
	else if (!x->output->reported)
	{
		sp_definition_set_reason(x->def->id,
								 psprintf("results can't be written now: %s", message));
		x->output->reported = true;
	}
}

/* Note that an object couldn't be written; it waits longer each time. */
static void
write_failed(Writable *x, const ErrorData *error)
{
	int			delay = FIRST_RETRY_MS << Min(x->output->failures, 9);

	x->output->failures++;
	x->output->retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													  Min(delay, LAST_RETRY_MS));
	tell_problem(x, error->message);
	if (x->output->failures == 1 || x->output->failures % 20 == 0)
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("%s of %s can't be written now: %s",
						x->reports != NULL ? "refusals" : "results", x->def->name,
						error->message),
				 errdetail("Attempt %d; its changes are kept and the other objects go on.",
						   x->output->failures)));
}

/* Write one object in a subtransaction; false when it threw. */
static bool
write_guarded(Writable *x)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;
	volatile bool ok = true;
	int			failures = x->output->failures;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(oldcontext);
	PG_TRY();
	{
		x->output->failures = Max(failures, 1); /* look rows up rather than believe them new */
		write_object(x);
		x->output->failures = failures;
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
		x->written = false;
		x->output->failures = failures;
		write_failed(x, error);
		ok = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(oldcontext);
	CurrentResourceOwner = oldowner;
	return ok;
}

/* Is anything of this kind unwritten, which is in no checkpoint? */
static inline bool
holds_back_checkpoint(const SpOutput *output)
{
	return output->ndead > 0 || output->nalerts > 0 || output->ninserts > 0;
}

/* The due ones among the objects. */
static List *
select_due(List *objects, SpWriteWhat what)
{
	TimestampTz now = GetCurrentTimestamp();
	List	   *due = NIL;
	ListCell   *lc;

	foreach(lc, objects)
	{
		Writable   *x = lfirst(lc);

		if (x->output->replaying || sp_output_is_empty(x->output) ||
			x->def->state == SP_STATE_FAILED)
			continue;
		if (what == SP_WRITE_ALL || due_at(x->output, x->trigger_us) <= now ||
			(what == SP_WRITE_FOR_CHECKPOINT && holds_back_checkpoint(x->output)))
			due = lappend(due, x);
	}
	return due;
}

/* The ordinary way: all due objects at once.  Throws when any does. */
static void
write_together(List *objects, List *due, XLogRecPtr upto, bool progress)
{
	ListCell   *lc;

	foreach(lc, due)
		write_object(lfirst(lc));
	if (progress)
		sp_checkpoint_progress();
	if (due != NIL)
		store_position(objects, upto, sp_engine.state_lsn, sp_engine.generation);
	sp_debug_point("before-write-commit");
}

/* The careful way, in a new transaction. */
static void
write_separately(List *objects, List *due, XLogRecPtr upto)
{
	ListCell   *lc;
	bool		any = false;

	sp_engine_begin();
	sp_engine_limit_waits();
	foreach(lc, due)
		any |= write_guarded(lfirst(lc));
	if (any)
		store_position(objects, upto, sp_engine.state_lsn, sp_engine.generation);
	PopActiveSnapshot();
	CommitTransactionCommand();
	after_commit(objects, upto);
}

/* Write and commit; false, with the transaction rolled back, when that threw. */
static bool
try_together(List *objects, List *due, XLogRecPtr upto, bool progress)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool ok = true;

	PG_TRY();
	{
		if (due != NIL || progress)
			write_together(objects, due, upto, progress);
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		/* who is to blame comes out when they are written one by one */
		MemoryContextSwitchTo(context);
		FlushErrorState();
		AbortCurrentTransaction();
		ok = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return ok;
}

/* CPU time of this process. */
static int64
cpu_time_us(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) != 0)
		return 0;
	return t.tv_sec * USECS_PER_SEC + t.tv_nsec / 1000;
}

/*
 * Write the output that is due, or more, and end the current transaction, which holds nothing else
 * that must be kept.  Must be called with an active snapshot.
 */
void
sp_write_and_commit(XLogRecPtr upto, SpWriteWhat what)
{
	MemoryContext context = AllocSetContextCreate(sp_engine.context, "streamproc output list",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	List	   *objects = list_writables();
	List	   *due = select_due(objects, what);
	bool		progress = what == SP_WRITE_ALL && sp_engine.progressed;
	int64		cpu = due != NIL ? cpu_time_us() : 0;
	ListCell   *lc;

	if (try_together(objects, due, upto, progress))
	{
		after_commit(objects, upto);
		if (progress)
			sp_engine.progressed = false;
	}
	else
	{
		foreach(lc, due)
			((Writable *) lfirst(lc))->written = false;
		write_separately(objects, due, upto);
	}
	if (due != NIL)
		pg_atomic_fetch_add_u64(&sp_my_worker->writing_us, cpu_time_us() - cpu);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* One object that isn't among those that are alive. */
static Writable
make_writable(SpWindow *w, SpDetector *d)
{
	Writable	x = {0};

	x.def = w ? &w->def->o : &d->def->o;
	x.source = x.def->source;
	x.output = w ? &w->output : &d->output;
	x.window = w;
	x.detector = d;
	return x;
}

/*
 * Write one object's output in a transaction of its own; false when that threw: its output
 * is kept, and says when to try again.
 */
bool
sp_write_alone(SpWindow *w, SpDetector *d)
{
	Writable	x = make_writable(w, d);
	MemoryContext old = CurrentMemoryContext;
	bool		ok;

	sp_engine_begin();
	sp_engine_limit_waits();
	ok = write_guarded(&x);
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(old);
	if (ok)
		output_committed(&x, sp_engine.upto);
	return ok;
}

/* Write one object's output now, in the current transaction (a backfill's). */
void
sp_write_backfill(SpWindow *w, SpDetector *d)
{
	Writable	x = make_writable(w, d);

	if (sp_output_is_empty(x.output))
		return;
	/* see what this transaction wrote before */
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	write_object(&x);
	PopActiveSnapshot();
	/* the transaction's fate is the object's: it is forgotten when this is rolled back */
	sp_output_committed(x.output);
}

/* Is anything unwritten that a checkpoint must not pass over? */
bool
sp_write_holds_back_checkpoint(void)
{
	ListCell   *lc;

	foreach(lc, sp_engine.streams)
	{
		if (holds_back_checkpoint(&((SpStream *) lfirst(lc))->output))
			return true;
	}
	foreach(lc, sp_engine.windows)
	{
		if (holds_back_checkpoint(&((SpWindow *) lfirst(lc))->output))
			return true;
	}
	foreach(lc, sp_engine.detectors)
	{
		if (holds_back_checkpoint(&((SpDetector *) lfirst(lc))->output))
			return true;
	}
	foreach(lc, sp_engine.reports)
	{
		if (holds_back_checkpoint(&((SpReports *) lfirst(lc))->output))
			return true;
	}
	return false;
}
