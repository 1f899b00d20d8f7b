/*
 * retention.c
 *	  Old results of the objects that ask for it are deleted, some at a time.
 *
 * A window's row is old when its end, an alert when its event time, is more than the
 * retention behind the watermark; of a stream without input, behind where the clock would
 * put it.  Rows of a change feed are old when they were written so long ago.  Nothing is kept
 * of what was deleted: after a crash old rows are simply looked for again.
 */
#include "engine/internal.h"

#include "access/xact.h"
#include "base/compat.h"
#include "catalog/pg_type.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define SHORTEST_PAUSE_US	(1 * USECS_PER_SEC)
#define LONGEST_PAUSE_US	(10 * USECS_PER_SEC)
#define ROWS				10000	/* of one transaction */

/* What is to be deleted of an object. */
typedef struct Task
{
	const SpObjectDef *def;
	Oid			relid;			/* from which */
	Oid			changes;		/* that table's change feed */
	int64		watermark;
	SpRetention *retention;
	int64		us;
	Oid			type;			/* of the column of time */
	const char *condition;		/* on $1 */
} Task;

/* Where the stream's watermark is, or would be. */
static int64
stream_watermark(const SpStream *s, TimestampTz now)
{
	return Max(s->watermark, sp_pipeline_idle_watermark(s, now));
}

/* A window's watermark, likewise. */
static int64
window_watermark(const SpWindow *w, TimestampTz now)
{
	return sp_clock_watermark_at(w, stream_watermark(w->stream, now));
}

/* A window's task.  The index of a result table begins with window_start. */
static Task
window_task(SpWindow *w, TimestampTz now)
{
	Task		task = {&w->def->o, w->def->o.relid, w->def->changes,
		window_watermark(w, now), &w->retention, w->def->retention_us, w->types[1],
	"window_start OPERATOR(pg_catalog.<) $1 AND window_end OPERATOR(pg_catalog.<) $1 AND is_final"};

	return task;
}

/* Its change feed's. */
static Task
changes_task(SpWindow *w, TimestampTz now)
{
	Task		task = {&w->def->o, w->def->changes, InvalidOid,
		now, &w->changes_retention, OidIsValid(w->def->changes) ? w->def->retention_us : 0,
	TIMESTAMPTZOID, "changed_at OPERATOR(pg_catalog.<) $1"};

	return task;
}

/* A detector's. */
static Task
detector_task(SpDetector *d, TimestampTz now)
{
	Task		task = {&d->def->o, d->def->o.relid, InvalidOid,
		d->stream ? stream_watermark(d->stream, now) : window_watermark(d->window, now),
	&d->retention, d->def->retention_us, d->types[1], "event_time OPERATOR(pg_catalog.<) $1"};

	return task;
}

/* When may it be done?  PG_INT64_MAX: there is nothing to do. */
static TimestampTz
due_at(Task task)
{
	if (task.us == 0 || task.watermark == SP_NO_WATERMARK ||
		task.watermark <= task.retention->done)
		return PG_INT64_MAX;
	return task.retention->at;
}

/* The earliest time at which old results are to be deleted. */
TimestampTz
sp_retention_next_due(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = PG_INT64_MAX;
	ListCell   *lc;

	foreach(lc, sp_engine.windows)
	{
		TimestampTz due = due_at(window_task(lfirst(lc), now));
		TimestampTz changes_due = due_at(changes_task(lfirst(lc), now));

		next = Min(next, Min(due, changes_due));
	}
	foreach(lc, sp_engine.detectors)
	{
		TimestampTz due = due_at(detector_task(lfirst(lc), now));

		next = Min(next, due);
	}
	return next;
}

/* Delete at most ROWS old rows; returns how many. */
static uint64
delete_rows(const Task *task)
{
	int64		before = task->watermark - task->us;
	Oid			type = task->type;
	Datum		arg = type == DATEOID ?
		DirectFunctionCall1(timestamp_date, Int64GetDatum(before)) : Int64GetDatum(before);

	/* a change feed may be gone */
	if (task->relid != task->def->relid && get_rel_name(task->relid) == NULL)
		return 0;
	return sp_sweep_delete(task->relid, task->changes,
						   psprintf("SELECT ctid FROM ONLY %s WHERE %s LIMIT %d",
									sp_registry_relation_name(task->relid),
									task->condition, ROWS),
						   1, &type, &arg);
}

/* Let status tell why old results stay. */
static void
report_failure(const Task *task, const char *message)
{
	ereport(LOG,
			(errmsg("old results of %s can't be deleted now: %s", task->def->name, message)));
	if (task->retention->reported)
		return;
	sp_engine_begin();
	sp_definition_set_reason(task->def->id,
							 psprintf("old results can't be deleted now: %s", message));
	PopActiveSnapshot();
	CommitTransactionCommand();
	task->retention->reported = true;
}

/* One step, in a transaction of its own. */
static void
run_step(const Task *task, TimestampTz now)
{
	int64		pause = Max(SHORTEST_PAUSE_US, Min(LONGEST_PAUSE_US, task->us / 10));

	task->retention->at = now + pause;
	sp_engine_begin();
	sp_engine_limit_waits();
	if (delete_rows(task) < ROWS)
		task->retention->done = task->watermark;
	else
		task->retention->at = now;	/* there are more */
	if (task->retention->reported)
		sp_definition_set_reason(task->def->id, NULL);
	PopActiveSnapshot();
	CommitTransactionCommand();
	task->retention->reported = false;
}

/* One step for one object; what goes wrong is tried again. */
static void
run_task(Task task, TimestampTz now)
{
	MemoryContext old = CurrentMemoryContext;

	if (due_at(task) > now)
		return;
	PG_TRY();
	{
		run_step(&task, now);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(old);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		report_failure(&task, error->message);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
}

/* Delete what is due. */
void
sp_retention_run(TimestampTz now)
{
	ListCell   *lc;

	foreach(lc, sp_engine.windows)
	{
		run_task(window_task(lfirst(lc), now), now);
		run_task(changes_task(lfirst(lc), now), now);
	}
	foreach(lc, sp_engine.detectors)
		run_task(detector_task(lfirst(lc), now), now);
}
