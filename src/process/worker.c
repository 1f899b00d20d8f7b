/*
 * worker.c
 *	  The life of the process that works for one database.
 *
 * It claims its SpWorkerSlot before it connects, so that whoever sees slot->pid
 * cleared may rely on the process having left the database, its replication slot
 * and its origin: exit callbacks run in the opposite order.
 *
 * Ends, and what the launcher does then:
 *
 *	stop_requested	nothing, until start()
 *	idle			nothing, until a verb's commit, start() or SIGHUP
 *	origin dropped	nothing: it no longer knows of this database
 *	otherwise		starts it again
 *
 * An error is never handled here: memory is thrown away with the process, and the
 * next one starts from the checkpoint.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/shared.h"
#include "catalog/definition.h"
#include "catalog/position.h"
#include "engine/engine.h"
#include "feed/decode.h"
#include "process/helper.h"
#include "process/loop.h"
#include "process/origin.h"
#include "process/worker.h"

#define EXTENSION_NAME	"streamproc"
#define EXTENSION_SCHEMA "streamproc"

/* A table whose drop tells that the extension may be gone. */
#define WATCHED_TABLE	"stream"

static Oid	extension_oid = InvalidOid;
static Oid	watched_relid = InvalidOid;
static bool extension_suspected = false;

/*
 * What a database's or a role's settings may not change.  The last does not exist
 * before PostgreSQL 17.
 */
static const char *const pinned_settings[][2] = {
	{"search_path", "pg_catalog, pg_temp"},
	{"session_replication_role", "origin"},
	{"default_transaction_isolation", "read committed"},
	{"default_transaction_read_only", "off"},
	{"default_transaction_deferrable", "off"},
	{"lock_timeout", "0"},
	{"transaction_timeout", "0"},
	{"temp_file_limit", "-1"},
};

/* Start counting anew. */
static void
reset_statistics(SpWorkerSlot *slot)
{
	pg_atomic_write_u64(&slot->rows, 0);
	pg_atomic_write_u64(&slot->commits, 0);
	pg_atomic_write_u64(&slot->batches, 0);
	pg_atomic_write_u64(&slot->results, 0);
	pg_atomic_write_u64(&slot->writing_us, 0);
	pg_atomic_write_u64(&slot->alerts, 0);
	pg_atomic_write_u64(&slot->dead, 0);
	pg_atomic_write_u64(&slot->checkpoints, 0);
	pg_atomic_write_u64(&slot->checkpoint_us, 0);
	pg_atomic_write_u64(&slot->checkpoint_slices, 0);
	pg_atomic_write_u64(&slot->checkpoint_pause_us, 0);
	pg_atomic_write_u64(&slot->state_bytes, 0);
	pg_atomic_write_u64(&slot->spilled_pages, 0);
	pg_atomic_write_u64(&slot->excess_bytes, 0);
	for (int i = 0; i < SP_LATENCY_BUCKETS; i++)
		pg_atomic_write_u64(&slot->latency[i], 0);
}

/* At exit: the slot is free for the next worker, who waits for us may go on. */
static void
release_slot(int code, Datum arg)
{
	SpWorkerSlot *slot = sp_my_worker;

	LWLockAcquire(sp_shared->lock, LW_EXCLUSIVE);
	slot->pid = 0;
	slot->latch = NULL;
	pg_atomic_write_u32(&slot->sleeping, 0);
	if (code == 0 || slot->stop_requested)
	{
		/* A setting that is missing is no error, but it is the reason to end. */
		if (!slot->idle)
			pg_atomic_write_u32(&slot->state, SP_WORKER_NONE);
	}
	else if (pg_atomic_read_u32(&slot->state) != SP_WORKER_FAILED)
	{
		pg_atomic_write_u32(&slot->state, SP_WORKER_FAILED);
		strlcpy(slot->message, "the worker was terminated: see the server's log",
				sizeof(slot->message));
	}
	if (sp_shared->launcher_latch != NULL)
		SetLatch(sp_shared->launcher_latch);
	LWLockRelease(sp_shared->lock);

	ConditionVariableBroadcast(&slot->applied_cv);
}

/* Become the worker of the database; false when it has one, or shall have none. */
static bool
claim_slot(Oid dboid)
{
	SpWorkerSlot *slot = sp_shared_claim(dboid);
	bool		claimed;

	if (slot == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no streamproc worker for database %u: %d databases have one",
						dboid, SP_MAX_WORKERS)));

	LWLockAcquire(sp_shared->lock, LW_EXCLUSIVE);
	slot->launching = false;
	claimed = slot->pid == 0 && !slot->stop_requested;
	if (claimed)
	{
		slot->pid = MyProcPid;
		slot->latch = MyLatch;
		slot->started_at = GetCurrentTimestamp();
		slot->start_requested = false;
		slot->idle = false;
		slot->message[0] = '\0';
		pg_atomic_write_u32(&slot->state, SP_WORKER_STARTING);
		pg_atomic_write_u32(&slot->sleeping, 0);
		reset_statistics(slot);
		sp_my_worker = slot;
	}
	LWLockRelease(sp_shared->lock);

	if (claimed)
		on_shmem_exit(release_slot, (Datum) 0);
	else
		ConditionVariableBroadcast(&slot->applied_cv);
	return claimed;
}

/* Forget that someone asked for a worker. */
void
sp_worker_take_request(void)
{
	LWLockAcquire(sp_shared->lock, LW_EXCLUSIVE);
	sp_my_worker->start_requested = false;
	LWLockRelease(sp_shared->lock);
}

/* Publish the state, and why (NULL: nothing to say). */
void
sp_worker_set_state(SpWorkerState state, const char *message)
{
	sp_shared_set_message(sp_my_worker, message);
	pg_atomic_write_u32(&sp_my_worker->state, state);
}

/* The launcher is not to start us again, unless someone asked for it meanwhile. */
static void
become_idle(SpWorkerState state, const char *reason)
{
	sp_worker_set_state(state, reason);

	LWLockAcquire(sp_shared->lock, LW_EXCLUSIVE);
	sp_my_worker->idle = !sp_my_worker->start_requested;
	LWLockRelease(sp_shared->lock);
}

/* Make the session the same in every database. */
void
sp_worker_pin_settings(const char *name)
{
	SetConfigOption("application_name", name, PGC_SUSET, PGC_S_OVERRIDE);
	for (int i = 0; i < lengthof(pinned_settings); i++)
	{
		const char *setting = pinned_settings[i][0];

		if (GetConfigOption(setting, true, false) != NULL)
			SetConfigOption(setting, pinned_settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	}
	pgstat_report_appname(application_name);
}

/* Relation cache callback; also called while decoding, so it only takes a note. */
static void
suspect_extension(Datum arg, Oid relid)
{
	if (relid == watched_relid || relid == InvalidOid)
		extension_suspected = true;
}

/* Is the extension there?  If so, watch it. */
static bool
find_extension(void)
{
	Oid			schema;

	StartTransactionCommand();
	extension_oid = get_extension_oid(EXTENSION_NAME, true);
	schema = get_namespace_oid(EXTENSION_SCHEMA, true);
	if (OidIsValid(extension_oid) && OidIsValid(schema))
		watched_relid = get_relname_relid(WATCHED_TABLE, schema);
	CommitTransactionCommand();

	CacheRegisterRelcacheCallback(suspect_extension, (Datum) 0);
	return OidIsValid(extension_oid);
}

/* Was the extension dropped, or created anew? */
bool
sp_worker_extension_gone(void)
{
	MemoryContext old = CurrentMemoryContext;
	Oid			current;

	if (!extension_suspected)
		return false;
	extension_suspected = false;

	StartTransactionCommand();
	current = get_extension_oid(EXTENSION_NAME, true);
	CommitTransactionCommand();
	MemoryContextSwitchTo(old);
	return current != extension_oid;
}

/* Drop our replication slot, if it is there and nobody else's. */
static void
drop_slot(void)
{
	SpSlotInfo	info = sp_slot_inspect(sp_slot_name());

	if (info.exists && info.ours && info.active_pid == 0)
	{
		sp_slot_drop(sp_slot_name());
		ereport(LOG,
				(errmsg("dropped replication slot \"%s\"", sp_slot_name())));
	}
}

/* The extension is gone: so is what it had outside the database. */
static void
clean_up(void)
{
	bool		exists_anew;

	StartTransactionCommand();
	exists_anew = OidIsValid(get_extension_oid(EXTENSION_NAME, true));
	CommitTransactionCommand();

	drop_slot();
	sp_origin_reset(!exists_anew);
}

/* Are there any definitions, whatever their state? */
static bool
has_definitions(void)
{
	SpDefinitions *definitions;
	bool		found;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	definitions = sp_definition_load();
	found = definitions->streams != NIL || definitions->broken != NIL;
	PopActiveSnapshot();
	CommitTransactionCommand();
	return found;
}

/* There is nothing to come back to: the next stream starts anew. */
static void
forget_position(void)
{
	StartTransactionCommand();
	sp_position_delete();
	CommitTransactionCommand();
	drop_slot();
}

/* No definition wants a worker: keep no WAL without need, and go. */
static void
leave_unwanted(void)
{
	if (!has_definitions())
		forget_position();
	become_idle(SP_WORKER_NONE, "nothing to do");
}

/* The slot as found; raises an error when it isn't ours to use. */
static SpSlotInfo
inspect_slot(void)
{
	const char *name = sp_slot_name();
	SpSlotInfo	info = sp_slot_inspect(name);

	if (info.exists && !info.ours)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("replication slot \"%s\" belongs to another database or output plugin",
						name),
				 errhint("Drop it with pg_drop_replication_slot(), or drop the extension.")));
	if (info.exists && info.active_pid != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("replication slot \"%s\" is in use by process %d",
						name, info.active_pid)));
	return info;
}

/* Create the slot: that waits for the transactions that write at the moment. */
static XLogRecPtr
create_slot(void)
{
	XLogRecPtr	start;

	sp_worker_set_state(SP_WORKER_CREATING_SLOT, "waits for running transactions to end");
	pgstat_report_activity(STATE_RUNNING, "creating the replication slot");
	start = sp_slot_create();
	ereport(LOG,
			(errmsg("created replication slot \"%s\", starting at %X/%X",
					sp_slot_name(), LSN_FORMAT_ARGS(start))));
	return start;
}

/* Load the engine and open the feed; false when no definition wants a worker. */
static bool
open_feed(void)
{
	SpSlotInfo	info = inspect_slot();
	bool		usable = info.exists && !info.lost;
	const char *reason = NULL;
	XLogRecPtr	start;
	XLogRecPtr	first;

	if (info.lost)
		reason = "the replication slot was invalidated: WAL it needed is gone";
	else if (!info.exists)
		reason = "the replication slot does not exist";

	start = sp_engine_start(usable ? info.confirmed_lsn : InvalidXLogRecPtr, reason,
							&sp_helper_routine);
	if (!sp_engine_has_streams())
		return false;

	if (info.lost)
		drop_slot();
	first = usable ? info.confirmed_lsn : create_slot();
	sp_decode_open(Max(start, first), sp_engine_is_source);
	return true;
}

/* Do the database's work until there is a reason to end. */
static void
work(void)
{
	SpLoopEnd	end;

	if (!find_extension())
	{
		clean_up();
		return;
	}
	if (wal_level < WAL_LEVEL_LOGICAL)
	{
		ereport(LOG,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("streamproc can't run: wal_level is not \"logical\""),
				 errhint("Set wal_level to \"logical\" and restart the server.")));
		become_idle(SP_WORKER_FAILED, "wal_level is not \"logical\"");
		return;
	}

	if (!has_definitions())
	{
		leave_unwanted();
		return;
	}

	sp_origin_setup();
	pgstat_report_activity(STATE_RUNNING, "loading definitions and state");
	if (!open_feed())
	{
		leave_unwanted();
		return;
	}

	sp_worker_set_state(SP_WORKER_RUNNING, NULL);
	pgstat_report_activity(STATE_RUNNING, "processing commits");
	end = sp_loop_run();
	sp_decode_close();

	if (end == SP_LOOP_DROPPED)
		clean_up();
	else if (end == SP_LOOP_UNWANTED)
		leave_unwanted();
}

/* Let status tell what went wrong. */
static void
remember_error(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	ErrorData  *edata = CopyErrorData();

	LWLockReleaseAll();
	sp_worker_set_state(SP_WORKER_FAILED, edata->message);
	FreeErrorData(edata);
	MemoryContextSwitchTo(old);
}

/* Entry point of the worker process. */
void
sp_worker_main(Datum dboid)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	if (!claim_slot(DatumGetObjectId(dboid)))
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(dboid), InvalidOid, 0);
	sp_worker_pin_settings("streamproc worker");
	sp_helper_register();

	PG_TRY();
	{
		work();
	}
	PG_CATCH();
	{
		remember_error();
		PG_RE_THROW();
	}
	PG_END_TRY();
	proc_exit(0);
}
