/*
 * wait.c
 *	  wait_for(): read your writes.
 *
 * The waiter flushes the WAL up to the LSN it asks for, raises flush_request to it
 * and wakes the worker.  The worker publishes flushed_lsn when everything before it
 * is processed, pending triggers are written and nothing waits to be activated.
 *
 * It would wait for itself if its own transaction had written, and would not see
 * what it waited for under a snapshot taken before: both are refused.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/shared.h"
#include "catalog/definition.h"
#include "face/parameter.h"
#include "face/wait.h"
#include "process/origin.h"
#include "process/wakeup.h"

/* A broadcast wakes us; this only bounds what an unforeseen end of the worker costs. */
#define RECHECK_MS			1000

PG_FUNCTION_INFO_V1(sp_wait_for);

TimestampTz
sp_wait_deadline(FunctionCallInfo fcinfo, int argno)
{
	Interval   *interval;

	if (PG_ARGISNULL(argno))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("parameter \"timeout\" must not be null"),
				 errhint("Leave it out to have the default, or give a long one, such as "
						 "'100 days'.")));
	interval = sp_parameter_interval(fcinfo, argno, "timeout", SP_INTERVAL_ANY);
	return GetCurrentTimestamp() + sp_definition_interval_us(interval);
}

/* What the worker's state is called in SQL. */
const char *
sp_wait_state_name(SpWorkerSlot *slot)
{
	if (slot == NULL)
		return "not running";
	if (slot->pid == 0 && slot->stop_requested)
		return "stopped";

	switch ((SpWorkerState) pg_atomic_read_u32(&slot->state))
	{
		case SP_WORKER_NONE:
			return "not running";
		case SP_WORKER_STARTING:
			return "starting";
		case SP_WORKER_CREATING_SLOT:
			return "creating slot";
		case SP_WORKER_RUNNING:
			return "running";
		case SP_WORKER_FAILED:
			return "failed";
	}
	return "unknown";
}

/* Refuse what could never end well. */
static void
check_transaction(void)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot wait for streamproc during recovery")));
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("wait_for() cannot run in a transaction that has written"),
				 errdetail("It would wait for the end of its own transaction."),
				 errhint("Commit first, then wait.")));
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("wait_for() cannot run in a transaction of isolation level %s",
						XactIsoLevel == XACT_SERIALIZABLE ? "SERIALIZABLE" : "REPEATABLE READ"),
				 errdetail("Its snapshot would not show the results waited for."),
				 errhint("Use READ COMMITTED.")));
}

/* Does this database have a stream? */
static bool
has_streams(void)
{
	bool		found;

	SPI_connect();
	if (SPI_execute("SELECT FROM streamproc.stream LIMIT 1", true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read streamproc.stream");
	found = SPI_processed > 0;
	SPI_finish();
	return found;
}

/* Why no worker would ever get there, or NULL; and what to do about it. */
static const char *
find_obstacle(SpWorkerSlot *slot, const char **hint)
{
	bool		running = false;
	bool		stopped = false;
	bool		by_hand = false;
	bool		requested = false;

	*hint = NULL;
	if (wal_level < WAL_LEVEL_LOGICAL)
	{
		*hint = "Set wal_level to \"logical\" and restart the server.";
		return "The setting wal_level is not \"logical\".";
	}
	if (slot != NULL)
	{
		LWLockAcquire(sp_shared->lock, LW_SHARED);
		running = slot->pid != 0 || slot->launching;
		stopped = slot->stop_requested;
		by_hand = slot->started_by_hand;
		requested = slot->start_requested;
		LWLockRelease(sp_shared->lock);
	}
	if (stopped)
	{
		*hint = "Start it with SELECT streamproc.start().";
		return "The worker of this database was stopped by streamproc.stop().";
	}
	if (!running && !sp_guc_autostart && !by_hand)
	{
		*hint = "Start it with SELECT streamproc.start().";
		return "No worker runs in this database, and streamproc.autostart is off.";
	}
	if (!has_streams())
		return "This database has no streams.";
	if (!running && !requested && !sp_origin_exists())
	{
		*hint = "Attach its streams and windows with streamproc.resume().";
		return "The streams of this database came with a restore, or with a copy of a database.";
	}
	return NULL;
}

/* Raise an error when nobody would ever answer. */
static void
check_worker(SpWorkerSlot *slot)
{
	const char *hint;
	const char *obstacle;

	if (sp_shared == NULL)
	{
		obstacle = "The library is not preloaded.";
		hint = "Add streamproc to shared_preload_libraries and restart the server.";
	}
	else
		obstacle = find_obstacle(slot, &hint);

	if (obstacle != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot wait: no streamproc worker will process this"),
				 errdetail_internal("%s", obstacle),
				 hint != NULL ? errhint("%s", hint) : 0));
}

/* The wait took too long: say where the worker stands. */
static void
report_timeout(SpWorkerSlot *slot, XLogRecPtr lsn)
{
	XLogRecPtr	applied = pg_atomic_read_u64(&slot->applied_lsn);
	char		message[sizeof(slot->message)];

	LWLockAcquire(sp_shared->lock, LW_SHARED);
	strlcpy(message, slot->message, sizeof(message));
	LWLockRelease(sp_shared->lock);

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("timed out waiting for streamproc to reach %X/%X", LSN_FORMAT_ARGS(lsn)),
			 errdetail("State of the worker: %s%s%s. Everything before %X/%X is processed%s.",
					   sp_wait_state_name(slot),
					   message[0] != '\0' ? ", " : "", message,
					   LSN_FORMAT_ARGS(applied),
					   applied >= lsn ? ", but results or activations are pending" : "")));
}

/* Stop being counted, whatever ends the wait. */
static void
end_wait(int code, Datum slot)
{
	ConditionVariableCancelSleep();
	pg_atomic_fetch_sub_u32(&((SpWorkerSlot *) DatumGetPointer(slot))->nwaiters, 1);
}

/*
 * pg_current_wal_insert_lsn() may stand behind the header of a page that has nothing else
 * yet, where no record ends: what is committed before it is what is before the page.
 */
static XLogRecPtr
skip_page_header(XLogRecPtr lsn)
{
	XLogRecPtr	header = XLogSegmentOffset(lsn, wal_segment_size) < XLOG_BLCKSZ ?
		SizeOfXLogLongPHD : SizeOfXLogShortPHD;

	return lsn % XLOG_BLCKSZ == header ? lsn - header : lsn;
}

/*
 * Have the worker write what is pending, up to lsn or the end of the WAL.  Never further:
 * the request only grows, and triggers would mean nothing until the WAL has got there.
 */
static void
request_flush(SpWorkerSlot *slot, XLogRecPtr lsn)
{
	XLogRecPtr	end = Min(lsn, sp_shared_insert_end());

	XLogFlush(end);
	sp_shared_raise_lsn(&slot->flush_request, end);
	sp_shared_wake_worker(slot);
}

/* Sleep until the worker has flushed lsn; false when the deadline has passed. */
static bool
sleep_until_flushed(SpWorkerSlot *slot, XLogRecPtr lsn, TimestampTz deadline)
{
	ConditionVariablePrepareToSleep(&slot->applied_cv);
	request_flush(slot, lsn);

	while (pg_atomic_read_u64(&slot->flushed_lsn) < lsn)
	{
		TimestampTz now = GetCurrentTimestamp();

		if (now >= deadline)
			return false;
		check_worker(slot);
		/* Where lsn was beyond the end of the WAL, there may be more of it by now. */
		if (ConditionVariableTimedSleep(&slot->applied_cv,
										Min(TimestampDifferenceMilliseconds(now, deadline) + 1,
											RECHECK_MS),
										PG_WAIT_EXTENSION))
			request_flush(slot, lsn);
	}
	return true;
}

/*
 * wait_for(lsn, timeout): until everything committed before lsn is in the results; lsn
 * NULL: before the call.
 */
Datum
sp_wait_for(PG_FUNCTION_ARGS)
{
	TimestampTz deadline = sp_wait_deadline(fcinfo, 1);
	XLogRecPtr	lsn;
	SpWorkerSlot *slot;
	bool		reached;

	check_transaction();
	slot = sp_shared_find(MyDatabaseId);
	check_worker(slot);
	slot = sp_shared_claim(MyDatabaseId);
	if (slot == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("cannot wait: %d other databases have a streamproc worker",
						SP_MAX_WORKERS)));

	lsn = PG_ARGISNULL(0) ? sp_shared_insert_end() : skip_page_header(PG_GETARG_LSN(0));

	pg_atomic_fetch_add_u32(&slot->nwaiters, 1);
	PG_ENSURE_ERROR_CLEANUP(end_wait, PointerGetDatum(slot));
	{
		reached = sleep_until_flushed(slot, lsn, deadline);
		if (!reached)
			report_timeout(slot, lsn);
	}
	PG_END_ENSURE_ERROR_CLEANUP(end_wait, PointerGetDatum(slot));
	end_wait(0, PointerGetDatum(slot));

	PG_RETURN_VOID();
}
