/*
 * retention.c
 *	  Old results of the objects that ask for it are deleted, some at a time.
 *
 * A window's row is old when its end, an alert when its event time, is more than the
 * retention behind the watermark.  Nothing is kept of what was deleted: after a crash old
 * rows are simply looked for again.
 */
#include "engine/internal.h"

#include "access/xact.h"
#include "base/compat.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define EVERY_MS	10000
#define ROWS		10000		/* of one transaction */

/* What is to be deleted of an object. */
typedef struct Task
{
	const SpObjectDef *def;
	int64		watermark;
	SpRetention *retention;
	int64		us;
	Oid			type;			/* of the column of time */
	const char *condition;		/* on $1 */
} Task;

/* A window's task. */
static Task
window_task(SpWindow *w)
{
	Task		task = {&w->def->o, sp_clock_watermark(w), &w->retention, w->def->retention_us, w->types[1],
	"window_end OPERATOR(pg_catalog.<) $1 AND is_final"};

	return task;
}

/* A detector's. */
static Task
detector_task(SpDetector *d)
{
	Task		task = {&d->def->o, d->stream ? d->stream->watermark : sp_clock_watermark(d->window),
	&d->retention, d->def->retention_us, d->types[1], "event_time OPERATOR(pg_catalog.<) $1"};

	return task;
}

/* When may it be done?  PG_INT64_MAX: there is nothing to do. */
static TimestampTz
due_at(Task task)
{
	if (task.us == 0 || task.watermark == SP_NO_WATERMARK ||
		task.watermark == task.retention->done)
		return PG_INT64_MAX;
	return task.retention->at;
}

/* The earliest time at which old results are to be deleted. */
TimestampTz
sp_retention_next_due(void)
{
	TimestampTz next = PG_INT64_MAX;
	ListCell   *lc;

	foreach(lc, sp_engine.windows)
	{
		TimestampTz due = due_at(window_task(lfirst(lc)));

		next = Min(next, due);
	}
	foreach(lc, sp_engine.detectors)
	{
		TimestampTz due = due_at(detector_task(lfirst(lc)));

		next = Min(next, due);
	}
	return next;
}

/* Delete at most ROWS old rows, with the owner's rights; returns how many. */
static uint64
delete_rows(const Task *task)
{
	int64		before = task->watermark - task->us;
	Oid			type = task->type;
	Datum		arg = type == DATEOID ?
		DirectFunctionCall1(timestamp_date, Int64GetDatum(before)) : Int64GetDatum(before);
	char	   *table = sp_registry_relation_name(task->def->relid);
	SpUserContext user;
	uint64		n;

	sp_user_enter(&user, task->def->owner, list_make1("search_path=pg_catalog, pg_temp"));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(psprintf("DELETE FROM %s WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
									   "SELECT ctid FROM %s WHERE %s LIMIT %d))",
									   table, table, task->condition, ROWS),
							  1, &type, &arg, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "deleting old result rows failed");
	n = SPI_processed;
	SPI_finish();
	sp_user_leave(&user, true);
	return n;
}

/* One step for one object; what goes wrong is tried again. */
static void
run_task(Task task, TimestampTz now)
{
	MemoryContext old = CurrentMemoryContext;

	if (due_at(task) > now)
		return;
	task.retention->at = TimestampTzPlusMilliseconds(now, EVERY_MS);
	PG_TRY();
	{
		sp_engine_begin();
		sp_engine_limit_waits();
		if (delete_rows(&task) < ROWS)
			task.retention->done = task.watermark;
		else
			task.retention->at = now;	/* there are more */
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(old);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		ereport(LOG,
				(errmsg("old results of %s can't be deleted now: %s",
						task.def->name, error->message)));
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
		run_task(window_task(lfirst(lc)), now);
	foreach(lc, sp_engine.detectors)
		run_task(detector_task(lfirst(lc)), now);
}
