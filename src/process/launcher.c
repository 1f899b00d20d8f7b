/*
 * launcher.c
 *	  Starts a worker in each database that has streams, and again when it died.
 *
 * The launcher is connected to shared catalogs only.  It acts when it is woken: by
 * the commit of a definition, by start(), by the end of a worker, by SIGHUP; and
 * once a minute.
 *
 * What it remembers of a worker (the handle, failures) is its own; what others
 * must see is in the SpWorkerSlot.  A launcher that was restarted has lost the
 * handles and goes by slot->pid, which a worker clears when it exits.
 *
 * A worker that dies is started again at once; when it dies again soon after its
 * start, after 1, 2, 4, ... 60 seconds.  A worker that marked its slot idle is left
 * alone until someone asks for it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/shared.h"
#include "process/launcher.h"
#include "process/origin.h"

#define LIBRARY_NAME		"streamproc"
#define SCAN_INTERVAL_MS	60000
#define LONGEST_BACKOFF_S	60
#define LAUNCHER_RESTART_S	1

/* A worker that lived longer than this has not failed at its start. */
#define HEALTHY_LIFE_MS		30000

/* What the launcher remembers of the worker of sp_shared->slots[i]. */
typedef struct Attempt
{
	Oid			dboid;			/* InvalidOid: nothing remembered */
	BackgroundWorkerHandle *handle; /* NULL: not started by this launcher, or ended */
	bool		running;		/* when last looked at */
	TimestampTz started_at;
	TimestampTz next_try;
	int			failures;		/* deaths soon after the start, in a row */
	bool		complained;		/* about this row of failures, in the log */
} Attempt;

static Attempt attempts[SP_MAX_WORKERS];
static MemoryContext scan_context;

/* Register the launcher with the postmaster. */
void
sp_launcher_register(void)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = LAUNCHER_RESTART_S;
	strlcpy(worker.bgw_library_name, LIBRARY_NAME, BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "sp_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "streamproc launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "streamproc launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

/* Nobody is to set the latch of a process that is gone. */
static void
forget_launcher(int code, Datum arg)
{
	LWLockAcquire(sp_shared->lock, LW_EXCLUSIVE);
	sp_shared->launcher_latch = NULL;
	sp_shared->launcher_pid = 0;
	LWLockRelease(sp_shared->lock);
}

/* Become known to those who wake the launcher. */
static void
announce_launcher(void)
{
	LWLockAcquire(sp_shared->lock, LW_EXCLUSIVE);
	sp_shared->launcher_latch = MyLatch;
	sp_shared->launcher_pid = MyProcPid;
	/* A predecessor may have died between registering a worker and its start. */
	for (int i = 0; i < SP_MAX_WORKERS; i++)
		sp_shared->slots[i].launching = false;
	LWLockRelease(sp_shared->lock);
	on_shmem_exit(forget_launcher, (Datum) 0);
}

/* Settings may have changed that kept a worker from running: try all again. */
static void
reload_settings(void)
{
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);

	LWLockAcquire(sp_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < SP_MAX_WORKERS; i++)
	{
		sp_shared->slots[i].idle = false;
		attempts[i].next_try = 0;
	}
	LWLockRelease(sp_shared->lock);
}

/* Register a dynamic worker for a database. */
static bool
register_worker(const char *function, Oid dboid, const char *dbname,
				BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker = {0};
	MemoryContext old;
	bool		registered;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(dboid);
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, LIBRARY_NAME, BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, function, BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "streamproc worker for database \"%s\"", dbname);
	strlcpy(worker.bgw_type, "streamproc worker", BGW_MAXLEN);

	old = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&worker, handle);
	MemoryContextSwitchTo(old);
	return registered;
}

/* When to try again after the given number of failures in a row. */
static TimestampTz
retry_time(int failures)
{
	int			seconds = 0;

	if (failures > 1)
		seconds = Min(1 << Min(failures - 2, 10), LONGEST_BACKOFF_S);
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), seconds * INT64CONST(1000));
}

/* The worker could not be registered: say so once, try again later. */
static void
note_no_worker(SpWorkerSlot *slot, Attempt *attempt, const char *dbname)
{
	attempt->failures = Max(attempt->failures, 1) + 1;
	attempt->next_try = retry_time(attempt->failures);
	pg_atomic_write_u32(&slot->state, SP_WORKER_FAILED);
	sp_shared_set_message(slot, "no background worker is free: max_worker_processes is too low");

	if (attempt->complained)
		return;
	attempt->complained = true;
	ereport(LOG,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("could not start the streamproc worker for database \"%s\": "
					"no background worker is free", dbname),
			 errhint("Increase max_worker_processes. Trying again in the background.")));
}

/* Start the worker of a slot. */
static void
start_worker(SpWorkerSlot *slot, Attempt *attempt, const SpOriginDatabase *database)
{
	LWLockAcquire(sp_shared->lock, LW_EXCLUSIVE);
	slot->launching = true;
	LWLockRelease(sp_shared->lock);

	if (register_worker("sp_worker_main", database->dboid, NameStr(database->name),
						&attempt->handle))
	{
		attempt->running = true;
		attempt->started_at = GetCurrentTimestamp();
		return;
	}

	LWLockAcquire(sp_shared->lock, LW_EXCLUSIVE);
	slot->launching = false;
	LWLockRelease(sp_shared->lock);
	note_no_worker(slot, attempt, NameStr(database->name));
}

/* Does the worker of the slot run, or is it about to? */
static bool
is_running(SpWorkerSlot *slot, Attempt *attempt)
{
	pid_t		pid;
	int			slot_pid;

	if (attempt->handle != NULL)
	{
		switch (GetBackgroundWorkerPid(attempt->handle, &pid))
		{
			case BGWH_STARTED:
			case BGWH_NOT_YET_STARTED:
				return true;
			case BGWH_POSTMASTER_DIED:
				proc_exit(1);
			case BGWH_STOPPED:
				pfree(attempt->handle);
				attempt->handle = NULL;
				break;
		}
	}

	LWLockAcquire(sp_shared->lock, LW_EXCLUSIVE);
	slot->launching = false;
	slot_pid = slot->pid;
	LWLockRelease(sp_shared->lock);
	return slot_pid != 0;
}

/* A worker has ended: was it a failure, and when may it be started again? */
static void
note_end(SpWorkerSlot *slot, Attempt *attempt, const char *dbname)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		expected;
	bool		failed;
	char		message[sizeof(slot->message)];

	LWLockAcquire(sp_shared->lock, LW_SHARED);
	expected = slot->idle || slot->stop_requested;
	failed = pg_atomic_read_u32(&slot->state) == SP_WORKER_FAILED;
	strlcpy(message, slot->message, sizeof(message));
	LWLockRelease(sp_shared->lock);

	attempt->running = false;
	if (expected || TimestampDifferenceExceeds(attempt->started_at, now, HEALTHY_LIFE_MS))
	{
		attempt->failures = 0;
		attempt->complained = false;
	}
	if (expected)
		return;

	attempt->failures++;
	attempt->next_try = retry_time(attempt->failures);
	if (attempt->failures < 2 || attempt->complained || !failed)
		return;
	attempt->complained = true;
	ereport(LOG,
			(errmsg("the streamproc worker for database \"%s\" keeps ending soon after its start",
					dbname),
			 message[0] != '\0' ? errdetail("Last reason: %s", message) : 0,
			 errhint("It is started again and again, at most once in %d seconds.",
					 LONGEST_BACKOFF_S)));
}

/* Should a worker run for this slot, as far as the slot tells? */
static bool
is_wanted(SpWorkerSlot *slot, bool has_origin)
{
	bool		wanted;

	LWLockAcquire(sp_shared->lock, LW_SHARED);
	wanted = !slot->stop_requested && !slot->idle &&
		(sp_guc_autostart || slot->started_by_hand) &&
		(has_origin || slot->start_requested);
	LWLockRelease(sp_shared->lock);
	return wanted;
}

/*
 * Look after one slot: note its worker's end, start one if it is time.  Returns when
 * to look again, or DT_NOEND.
 */
static TimestampTz
manage_slot(SpWorkerSlot *slot, Attempt *attempt, const SpOriginDatabase *database,
			bool has_origin)
{
	if (attempt->dboid != slot->dboid)
	{
		memset(attempt, 0, sizeof(*attempt));
		attempt->dboid = slot->dboid;
	}

	if (is_running(slot, attempt))
	{
		attempt->running = true;
		return DT_NOEND;
	}
	if (attempt->running)
		note_end(slot, attempt, NameStr(database->name));

	if (!database->connectable || !is_wanted(slot, has_origin))
		return DT_NOEND;
	if (attempt->next_try > GetCurrentTimestamp() && !slot->start_requested)
		return attempt->next_try;

	start_worker(slot, attempt, database);
	return attempt->handle != NULL ? DT_NOEND : attempt->next_try;
}

/* Is a slot of no use any more?  stop() is remembered as long as the database exists. */
static bool
is_forgettable(SpWorkerSlot *slot, const SpOriginDatabase *database, bool has_origin)
{
	return !database->exists ||
		(!has_origin && !slot->stop_requested && !slot->start_requested);
}

/* Look after a slot whose database and origin are to be looked up. */
static TimestampTz
visit_slot(SpWorkerSlot *slot, Attempt *attempt, List *databases)
{
	SpOriginDatabase database;
	bool		has_origin = false;
	TimestampTz next;
	ListCell   *cell;

	foreach(cell, databases)
	{
		if (((SpOriginDatabase *) lfirst(cell))->dboid == slot->dboid)
		{
			database = *(SpOriginDatabase *) lfirst(cell);
			has_origin = true;
		}
	}
	if (!has_origin)
		sp_origin_database(slot->dboid, &database);

	next = manage_slot(slot, attempt, &database, has_origin);
	if (!attempt->running && is_forgettable(slot, &database, has_origin))
		sp_shared_release(slot);
	return next;
}

/* Let a worker that is connected to some database remove orphaned origins. */
static void
sweep_orphans(List *databases, Oid any_database)
{
	static TimestampTz last_sweep = 0;
	TimestampTz now = GetCurrentTimestamp();
	BackgroundWorkerHandle *handle;
	bool		found = false;
	ListCell   *cell;

	foreach(cell, databases)
		found |= !((SpOriginDatabase *) lfirst(cell))->exists;

	if (!found || !OidIsValid(any_database) ||
		!TimestampDifferenceExceeds(last_sweep, now, SCAN_INTERVAL_MS))
		return;
	last_sweep = now;
	if (register_worker("sp_launcher_sweep_main", any_database, "", &handle))
		pfree(handle);
}

/* Give a slot to each database with streams that may have a worker. */
static void
claim_slots(List *databases)
{
	static bool complained = false;
	ListCell   *cell;

	foreach(cell, databases)
	{
		SpOriginDatabase *database = lfirst(cell);

		if (!database->connectable || sp_shared_claim(database->dboid) != NULL)
			continue;
		if (!complained)
			ereport(LOG,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("no streamproc worker for database \"%s\": %d databases have one",
							NameStr(database->name), SP_MAX_WORKERS)));
		complained = true;
	}
}

/* Look at every database with streams; returns when to look again, or DT_NOEND. */
static TimestampTz
look_around(void)
{
	TimestampTz next = DT_NOEND;
	List	   *databases;
	Oid			any_database;

	StartTransactionCommand();
	MemoryContextSwitchTo(scan_context);
	databases = sp_origin_load(&any_database);
	claim_slots(databases);
	for (int i = 0; i < SP_MAX_WORKERS; i++)
	{
		if (OidIsValid(sp_shared->slots[i].dboid))
			next = Min(next, visit_slot(&sp_shared->slots[i], &attempts[i], databases));
	}
	sweep_orphans(databases, any_database);
	CommitTransactionCommand();

	MemoryContextSwitchTo(scan_context);
	MemoryContextReset(scan_context);
	return next;
}

/* The launcher's main loop. */
void
sp_launcher_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	scan_context = AllocSetContextCreate(TopMemoryContext, "streamproc launcher",
										 ALLOCSET_DEFAULT_SIZES);
	announce_launcher();

	for (;;)
	{
		TimestampTz next;
		long		timeout;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
			reload_settings();

		next = look_around();
		timeout = Min(TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next),
					  SCAN_INTERVAL_MS);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 timeout, PG_WAIT_EXTENSION);
	}
}

/* A short-lived worker that removes orphaned origins: that takes a database. */
void
sp_launcher_sweep_main(Datum dboid)
{
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(dboid), InvalidOid, 0);

	StartTransactionCommand();
	sp_origin_drop_orphans();
	CommitTransactionCommand();
	proc_exit(0);
}
