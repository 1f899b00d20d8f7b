/*
 * operate.c
 *	  start(), stop(), and what the view worker shows.
 *
 * stop() first asks the worker, which checkpoints and exits; one that doesn't
 * listen, for it waits for other transactions or has much to do, is terminated:
 * the next one starts from the last checkpoint.
 */
#include "postgres.h"

#include <signal.h>

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

#include "base/shared.h"
#include "face/wait.h"

/* How long a running worker may take to stop by itself. */
#define POLITE_US		(5 * USECS_PER_SEC)
#define RECHECK_MS		100

#define WORKER_COLUMNS	24

PG_FUNCTION_INFO_V1(sp_start);
PG_FUNCTION_INFO_V1(sp_stop);
PG_FUNCTION_INFO_V1(sp_worker_status);

/* The slot of this database; an error when there can't be one. */
static SpWorkerSlot *
require_slot(void)
{
	SpWorkerSlot *slot;

	if (sp_shared == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("streamproc is not preloaded"),
				 errhint("Add streamproc to shared_preload_libraries and restart the server.")));

	slot = sp_shared_claim(MyDatabaseId);
	if (slot == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("%d other databases have a streamproc worker", SP_MAX_WORKERS)));
	return slot;
}

/* start(): have a worker run in this database. */
Datum
sp_start(PG_FUNCTION_ARGS)
{
	SpWorkerSlot *slot = require_slot();

	LWLockAcquire(sp_shared->lock, LW_EXCLUSIVE);
	slot->stop_requested = false;
	slot->idle = false;
	slot->started_by_hand = true;
	slot->start_requested = true;
	LWLockRelease(sp_shared->lock);

	sp_shared_wake_launcher();
	PG_RETURN_VOID();
}

/* Mark the database as stopped and tell its worker. */
static void
request_stop(SpWorkerSlot *slot)
{
	LWLockAcquire(sp_shared->lock, LW_EXCLUSIVE);
	slot->stop_requested = true;
	slot->started_by_hand = false;
	LWLockRelease(sp_shared->lock);

	sp_shared_wake_worker(slot);
}

/* Is there no worker, nor one about to start?  Terminates it on demand. */
static bool
is_stopped(SpWorkerSlot *slot, bool terminate)
{
	bool		stopped;

	LWLockAcquire(sp_shared->lock, LW_SHARED);
	stopped = slot->pid == 0 && !slot->launching;
	if (slot->pid != 0 &&
		(terminate || pg_atomic_read_u32(&slot->state) == SP_WORKER_CREATING_SLOT))
		kill(slot->pid, SIGTERM);
	LWLockRelease(sp_shared->lock);
	return stopped;
}

/* stop(timeout): end the worker of this database, and start none. */
Datum
sp_stop(PG_FUNCTION_ARGS)
{
	TimestampTz deadline = sp_wait_deadline(fcinfo, 0);
	TimestampTz start = GetCurrentTimestamp();
	TimestampTz patience = Min(start + POLITE_US, start + (deadline - start) / 2);
	SpWorkerSlot *slot = require_slot();

	request_stop(slot);
	ConditionVariablePrepareToSleep(&slot->applied_cv);
	while (!is_stopped(slot, GetCurrentTimestamp() > patience))
	{
		if (GetCurrentTimestamp() > deadline)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("timed out waiting for the streamproc worker to stop"),
					 errdetail("Process %d has been told to end.", slot->pid)));
		(void) ConditionVariableTimedSleep(&slot->applied_cv, RECHECK_MS, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	PG_RETURN_VOID();
}

/* Private memory of a process in bytes, -1 when the system doesn't tell. */
static int64
read_memory(int pid)
{
	char		path[64];
	char		line[256];
	int64		kilobytes = -1;
	FILE	   *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = AllocateFile(path, "r");
	if (file == NULL)
		return -1;
	while (kilobytes < 0 && fgets(line, sizeof(line), file) != NULL)
	{
		if (strncmp(line, "RssAnon:", 8) == 0)
			kilobytes = strtoi64(line + 8, NULL, 10);
	}
	FreeFile(file);
	return kilobytes < 0 ? -1 : kilobytes * 1024;
}

/* The latency in ms that a fraction of the commits did not exceed; -1: no commits. */
static double
compute_percentile(SpWorkerSlot *slot, double fraction)
{
	uint64		counts[SP_LATENCY_BUCKETS];
	uint64		total = 0;
	uint64		sum = 0;

	for (int i = 0; i < SP_LATENCY_BUCKETS; i++)
	{
		counts[i] = pg_atomic_read_u64(&slot->latency[i]);
		total += counts[i];
	}
	for (int i = 0; i < SP_LATENCY_BUCKETS; i++)
	{
		sum += counts[i];
		if (counts[i] > 0 && sum >= fraction * total)
			return sp_shared_latency_us(i) / 1000.0;
	}
	return -1;
}

/*
 * How many seconds ago the oldest commit was made, at most, that isn't in the results; 0
 * when all are, -1 when that isn't known.
 */
static double
compute_lag(SpWorkerSlot *slot)
{
	XLogRecPtr	announced = pg_atomic_read_u64(&slot->announced_lsn);
	TimestampTz until;

	if (XLogRecPtrIsInvalid(announced))
		return -1;
	pg_read_barrier();
	if (pg_atomic_read_u64(&slot->applied_lsn) >= announced)
		return 0;
	until = (TimestampTz) pg_atomic_read_u64(&slot->current_until);
	if (until == 0)
		return -1;
	return Max(GetCurrentTimestamp() - until, 0) / (double) USECS_PER_SEC;
}

/* A row under construction. */
typedef struct RowBuilder
{
	int			n;
	Datum		values[WORKER_COLUMNS];
	bool		nulls[WORKER_COLUMNS];
} RowBuilder;

/* Append a column. */
static void
add_column(RowBuilder *row, Datum value, bool isnull)
{
	Assert(row->n < WORKER_COLUMNS);
	row->values[row->n] = value;
	row->nulls[row->n] = isnull;
	row->n++;
}

/* Append a counter. */
static void
add_counter(RowBuilder *row, pg_atomic_uint64 *counter)
{
	add_column(row, Int64GetDatum((int64) pg_atomic_read_u64(counter)), false);
}

/* Append an LSN, NULL when invalid. */
static void
add_lsn(RowBuilder *row, pg_atomic_uint64 *value)
{
	XLogRecPtr	lsn = pg_atomic_read_u64(value);

	add_column(row, LSNGetDatum(lsn), XLogRecPtrIsInvalid(lsn));
}

/* Append text, NULL when there is none. */
static void
add_text(RowBuilder *row, const char *text)
{
	bool		isnull = text == NULL || text[0] == '\0';

	add_column(row, isnull ? (Datum) 0 : CStringGetTextDatum(text), isnull);
}

/* Append the columns that count. */
static void
add_statistics(RowBuilder *row, SpWorkerSlot *slot, int pid, TimestampTz started_at)
{
	double		seconds = (GetCurrentTimestamp() - started_at) / (double) USECS_PER_SEC;
	double		p50 = compute_percentile(slot, 0.5);
	double		p99 = compute_percentile(slot, 0.99);
	double		lag = compute_lag(slot);
	int64		memory = pid != 0 ? read_memory(pid) : -1;

	add_counter(row, &slot->rows);
	add_column(row, Float8GetDatum(pg_atomic_read_u64(&slot->rows) / Max(seconds, 1e-6)),
			   pid == 0);
	add_counter(row, &slot->commits);
	add_counter(row, &slot->batches);
	add_counter(row, &slot->results);
	add_column(row, Float8GetDatum(pg_atomic_read_u64(&slot->writing_us) / 1e6), false);
	add_counter(row, &slot->alerts);
	add_counter(row, &slot->dead);
	add_counter(row, &slot->checkpoints);
	add_column(row, Float8GetDatum(pg_atomic_read_u64(&slot->checkpoint_us) / 1000.0), false);
	add_counter(row, &slot->checkpoint_slices);
	add_column(row, Float8GetDatum(pg_atomic_read_u64(&slot->checkpoint_pause_us) / 1000.0), false);
	add_counter(row, &slot->state_bytes);
	add_counter(row, &slot->spilled_pages);
	add_counter(row, &slot->excess_bytes);
	add_column(row, Int64GetDatum(memory), memory < 0);
	add_column(row, Float8GetDatum(p50), p50 < 0);
	add_column(row, Float8GetDatum(p99), p99 < 0);
	add_lsn(row, &slot->applied_lsn);
	add_column(row, Float8GetDatum(lag), lag < 0);
}

/* Append NULLs up to the last column but one. */
static void
add_nothing(RowBuilder *row)
{
	while (row->n < WORKER_COLUMNS - 1)
		add_column(row, (Datum) 0, true);
}

/* An error's message may quote data: not for everyone. */
static const char *
censor_message(const char *message)
{
	if (message[0] == '\0' || has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS))
		return message;
	return "<insufficient privilege>";
}

/* The row of the view worker. */
Datum
sp_worker_status(PG_FUNCTION_ARGS)
{
	SpWorkerSlot *slot = sp_shared_find(MyDatabaseId);
	char		message[sizeof(slot->message)];
	RowBuilder	row = {0};
	TupleDesc	desc;
	int			pid = 0;
	TimestampTz started_at = 0;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	if (slot != NULL)
	{
		LWLockAcquire(sp_shared->lock, LW_SHARED);
		pid = slot->pid;
		started_at = slot->started_at;
		strlcpy(message, slot->message, sizeof(message));
		LWLockRelease(sp_shared->lock);
	}

	add_column(&row, Int32GetDatum(pid), pid == 0);
	add_text(&row, sp_wait_state_name(slot));
	add_column(&row, TimestampTzGetDatum(started_at), started_at == 0);
	if (slot != NULL)
		add_statistics(&row, slot, pid, started_at);
	else
		add_nothing(&row);

	if (sp_shared == NULL)
		add_text(&row, "streamproc is not in shared_preload_libraries");
	else
		add_text(&row, slot != NULL ? censor_message(message) : NULL);

	desc = BlessTupleDesc(desc);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, row.values, row.nulls)));
}
