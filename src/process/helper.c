/*
 * helper.c
 *	  Starts and ends the process that reads history, and is that process.
 *
 * A dynamic background worker, one at a time for a database.  What it has to say stands in
 * an area of dynamic shared memory (SpBackfillArea, engine.h), whose handle it is started
 * with.  SpWorkerSlot.helper_pid tells everybody that it is there: while it is, no other
 * may start, and a worker that ends waits for it, so that nobody of ours is left in the
 * database.
 *
 * What it writes is not to be decoded again.  The database's replication origin can be
 * used by one process only, its worker; so the helper writes under "do not replicate",
 * which our output plugin leaves out as well.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "replication/origin.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "base/compat.h"
#include "base/shared.h"
#include "process/helper.h"
#include "process/worker.h"

#define LIBRARY_NAME	"streamproc"
#define END_POLL_MS		5
#define END_PATIENCE_MS 10000	/* for it to end, when the worker itself is ending */

/* The worker's side. */
static BackgroundWorkerHandle *handle = NULL;
static dsm_segment *segment = NULL;

/* Is there one, whoever started it? */
static bool
is_any_running(void)
{
	int			pid;

	LWLockAcquire(sp_shared->lock, LW_SHARED);
	pid = sp_my_worker->helper_pid;
	LWLockRelease(sp_shared->lock);
	return pid != 0;
}

/* Make the area that both will share. */
static SpBackfillArea *
create_area(int32 object, XLogRecPtr lsn)
{
	uint32		n = GetMaxSnapshotXidCount();
	SpBackfillArea *area;

	segment = dsm_create(offsetof(SpBackfillArea, xip) + sizeof(TransactionId) * n, 0);
	dsm_pin_mapping(segment);
	area = dsm_segment_address(segment);
	memset(area, 0, offsetof(SpBackfillArea, xip));
	area->object = object;
	area->lsn = lsn;
	area->xip_allocated = n;
	pg_atomic_init_u32(&area->may_cut, 0);
	pg_atomic_init_u32(&area->phase, SP_BACKFILL_LAUNCHED);
	pg_atomic_init_u32(&area->waits_for, 0);
	return area;
}

/* Register the process. */
static bool
register_helper(void)
{
	BackgroundWorker worker = {0};
	dsm_handle	area = dsm_segment_handle(segment);
	MemoryContext old;
	bool		registered;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
	worker.bgw_notify_pid = MyProcPid;
	memcpy(worker.bgw_extra, &area, sizeof(area));
	strlcpy(worker.bgw_library_name, LIBRARY_NAME, BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "sp_helper_main", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "streamproc backfill in database %u", MyDatabaseId);
	strlcpy(worker.bgw_type, "streamproc backfill", BGW_MAXLEN);

	old = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&worker, &handle);
	MemoryContextSwitchTo(old);
	return registered;
}

/* SpHelperRoutine.is_running */
static bool
is_running(void)
{
	pid_t		pid;

	return handle != NULL && GetBackgroundWorkerPid(handle, &pid) != BGWH_STOPPED;
}

/* Give back what belongs to one that is gone. */
static void
release(void)
{
	if (handle != NULL)
		pfree(handle);
	handle = NULL;
	if (segment != NULL)
		dsm_detach(segment);
	segment = NULL;
}

/* SpHelperRoutine.end */
static void
end(void)
{
	if (handle != NULL)
	{
		TerminateBackgroundWorker(handle);
		(void) WaitForBackgroundWorkerShutdown(handle);
	}
	release();
}

/* SpHelperRoutine.launch */
static SpBackfillArea *
launch(int32 object, XLogRecPtr lsn, int64 horizon, const char **reason)
{
	SpBackfillArea *area;

	end();
	if (is_any_running())
	{
		*reason = "an earlier backfill is still ending";
		return NULL;
	}
	area = create_area(object, lsn);
	area->horizon = horizon;
	if (register_helper())
		return area;
	handle = NULL;
	release();
	*reason = "no background worker is free: max_worker_processes is too low";
	return NULL;
}

const SpHelperRoutine sp_helper_routine = {launch, is_running, end};

/* However the worker ends: not before its helper, as long as that doesn't hang. */
static void
end_at_exit(int code, Datum arg)
{
	int			waited;

	if (handle == NULL)
		return;
	TerminateBackgroundWorker(handle);
	for (waited = 0; waited < END_PATIENCE_MS && is_running(); waited += END_POLL_MS)
		(void) WaitLatch(NULL, WL_TIMEOUT | WL_POSTMASTER_DEATH, END_POLL_MS, PG_WAIT_EXTENSION);
}

/* Have it ended with us. */
void
sp_helper_register(void)
{
	before_shmem_exit(end_at_exit, (Datum) 0);
}

/* ---- the helper ---- */

/* At exit: the next one may start. */
static void
leave(int code, Datum arg)
{
	LWLockAcquire(sp_shared->lock, LW_EXCLUSIVE);
	sp_my_worker->helper_pid = 0;
	sp_my_worker->helper_object = 0;
	LWLockRelease(sp_shared->lock);
}

/* Be known; false when there is another, or no worker to work for. */
static bool
enter(Oid dboid, int32 object)
{
	SpWorkerSlot *slot = sp_shared_find(dboid);
	bool		entered = false;

	if (slot == NULL)
		return false;
	LWLockAcquire(sp_shared->lock, LW_EXCLUSIVE);
	if (slot->helper_pid == 0 && slot->pid != 0)
	{
		slot->helper_pid = MyProcPid;
		slot->helper_object = object;
		sp_my_worker = slot;
		entered = true;
	}
	LWLockRelease(sp_shared->lock);
	if (entered)
		on_shmem_exit(leave, (Datum) 0);
	return entered;
}

/* Entry point of the process. */
void
sp_helper_main(Datum dboid)
{
	dsm_handle	area_handle;
	SpBackfillArea *area;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	memcpy(&area_handle, MyBgworkerEntry->bgw_extra, sizeof(area_handle));
	segment = dsm_attach(area_handle);
	if (segment == NULL)
		proc_exit(0);			/* the worker is gone */
	dsm_pin_mapping(segment);
	area = dsm_segment_address(segment);
	if (!enter(DatumGetObjectId(dboid), area->object))
		proc_exit(0);

	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(dboid), InvalidOid, 0);
	sp_worker_pin_settings("streamproc backfill");
	replorigin_session_origin = DoNotReplicateId;
	pgstat_report_activity(STATE_RUNNING, "backfilling");
	sp_engine_backfill(area);
	proc_exit(0);
}
