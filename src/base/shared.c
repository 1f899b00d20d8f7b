/*
 * shared.c
 *	  Requests, initializes and searches the shared memory.
 *
 * A slot's latch points into the array of PGPROCs, which outlives everyone, so
 * that a latch that went away meanwhile is at worst a needless wakeup of another
 * process.
 *
 * Waking without lost wakeups: who has news writes it (announced_lsn,
 * flush_request, stop_requested) and then reads sleeping; the worker writes
 * sleeping and then reads the news again before it waits.  With a full barrier
 * between the two on both sides at least one of them sees the other.
 */
#include "postgres.h"

#include <math.h>
#include <signal.h>

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/wait_event.h"

#include "base/shared.h"

#define LOCK_TRANCHE	"streamproc"
#define END_POLL_MS		5

SpShared   *sp_shared = NULL;
SpWorkerSlot *sp_my_worker = NULL;

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

/* Reset what belongs to one database; the latch and counters belong to its worker. */
static void
initialize_slot(SpWorkerSlot *slot)
{
	slot->dboid = InvalidOid;
	slot->pid = 0;
	slot->stop_requested = false;
	slot->started_by_hand = false;
	slot->start_requested = false;
	slot->idle = false;
	slot->launching = false;
	slot->started_at = 0;
	slot->helper_pid = 0;
	slot->helper_object = 0;
	slot->latch = NULL;
	slot->message[0] = '\0';

	pg_atomic_write_u32(&slot->state, SP_WORKER_NONE);
	pg_atomic_write_u32(&slot->sleeping, 0);
	pg_atomic_write_u64(&slot->announced_lsn, InvalidXLogRecPtr);
	pg_atomic_write_u64(&slot->flush_request, InvalidXLogRecPtr);
	pg_atomic_write_u64(&slot->applied_lsn, InvalidXLogRecPtr);
	pg_atomic_write_u64(&slot->flushed_lsn, InvalidXLogRecPtr);
	pg_atomic_write_u64(&slot->current_until, 0);
}

/* Atomics and condition variables are initialized once, before anyone uses them. */
static void
create_slot(SpWorkerSlot *slot)
{
	pg_atomic_init_u32(&slot->state, SP_WORKER_NONE);
	pg_atomic_init_u32(&slot->sleeping, 0);
	pg_atomic_init_u64(&slot->announced_lsn, InvalidXLogRecPtr);
	pg_atomic_init_u64(&slot->flush_request, InvalidXLogRecPtr);
	pg_atomic_init_u64(&slot->applied_lsn, InvalidXLogRecPtr);
	pg_atomic_init_u64(&slot->flushed_lsn, InvalidXLogRecPtr);
	pg_atomic_init_u64(&slot->current_until, 0);
	pg_atomic_init_u32(&slot->nwaiters, 0);
	ConditionVariableInit(&slot->applied_cv);

	pg_atomic_init_u64(&slot->rows, 0);
	pg_atomic_init_u64(&slot->commits, 0);
	pg_atomic_init_u64(&slot->batches, 0);
	pg_atomic_init_u64(&slot->results, 0);
	pg_atomic_init_u64(&slot->alerts, 0);
	pg_atomic_init_u64(&slot->dead, 0);
	pg_atomic_init_u64(&slot->checkpoints, 0);
	pg_atomic_init_u64(&slot->checkpoint_us, 0);
	pg_atomic_init_u64(&slot->checkpoint_slices, 0);
	pg_atomic_init_u64(&slot->checkpoint_pause_us, 0);
	pg_atomic_init_u64(&slot->state_bytes, 0);
	pg_atomic_init_u64(&slot->spilled_pages, 0);
	pg_atomic_init_u64(&slot->excess_bytes, 0);
	pg_atomic_init_u64(&slot->state_lsn, 0);
	for (int i = 0; i < SP_LATENCY_BUCKETS; i++)
		pg_atomic_init_u64(&slot->latency[i], 0);
}

/* Ask for the memory and the lock. */
static void
request_memory(void)
{
	if (previous_request_hook)
		previous_request_hook();

	RequestAddinShmemSpace(MAXALIGN(sizeof(SpShared)));
	RequestNamedLWLockTranche(LOCK_TRANCHE, 1);
}

/* Find the memory, or initialize it: at server start and again after a crash. */
static void
attach_memory(void)
{
	bool		found;

	if (previous_startup_hook)
		previous_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	sp_shared = ShmemInitStruct("streamproc", sizeof(SpShared), &found);
	if (!found)
	{
		memset(sp_shared, 0, sizeof(SpShared));
		sp_shared->lock = &(GetNamedLWLockTranche(LOCK_TRANCHE))->lock;
		pg_atomic_init_u32(&sp_shared->generation, 1);
		for (int i = 0; i < SP_MAX_WORKERS; i++)
			create_slot(&sp_shared->slots[i]);
	}
	LWLockRelease(AddinShmemInitLock);
}

/* Register the hooks; only while shared_preload_libraries is being processed. */
void
sp_shared_request(void)
{
	Assert(process_shared_preload_libraries_in_progress);

	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = attach_memory;
}

/* The slot of a database (InvalidOid: a free one), or NULL.  Needs the lock. */
static SpWorkerSlot *
search_slot(Oid dboid)
{
	for (int i = 0; i < SP_MAX_WORKERS; i++)
	{
		if (sp_shared->slots[i].dboid == dboid)
			return &sp_shared->slots[i];
	}
	return NULL;
}

/* Look a database's slot up. */
SpWorkerSlot *
sp_shared_find(Oid dboid)
{
	SpWorkerSlot *slot;

	if (sp_shared == NULL || !OidIsValid(dboid))
		return NULL;

	LWLockAcquire(sp_shared->lock, LW_SHARED);
	slot = search_slot(dboid);
	LWLockRelease(sp_shared->lock);
	return slot;
}

/* Look a database's slot up, or take a free one for it. */
SpWorkerSlot *
sp_shared_claim(Oid dboid)
{
	SpWorkerSlot *slot;

	if (sp_shared == NULL || !OidIsValid(dboid))
		return NULL;

	LWLockAcquire(sp_shared->lock, LW_EXCLUSIVE);
	slot = search_slot(dboid);
	if (slot == NULL)
	{
		slot = search_slot(InvalidOid);
		if (slot != NULL)
		{
			initialize_slot(slot);
			slot->dboid = dboid;
			pg_atomic_fetch_add_u32(&sp_shared->generation, 1);
		}
	}
	LWLockRelease(sp_shared->lock);
	return slot;
}

/* Give a slot up, unless it has come into use since the launcher looked. */
void
sp_shared_release(SpWorkerSlot *slot)
{
	LWLockAcquire(sp_shared->lock, LW_EXCLUSIVE);
	if (slot->pid == 0 && !slot->launching && !slot->start_requested)
	{
		initialize_slot(slot);
		pg_atomic_fetch_add_u32(&sp_shared->generation, 1);
	}
	LWLockRelease(sp_shared->lock);
	ConditionVariableBroadcast(&slot->applied_cv);
}

/* Say why a worker isn't running; a long message is cut at a character's border. */
void
sp_shared_set_message(SpWorkerSlot *slot, const char *message)
{
	int			length = 0;

	if (message != NULL)
		length = pg_mbcliplen(message, strlen(message), sizeof(slot->message) - 1);

	LWLockAcquire(sp_shared->lock, LW_EXCLUSIVE);
	memcpy(slot->message, message != NULL ? message : "", length);
	slot->message[length] = '\0';
	LWLockRelease(sp_shared->lock);
}

/* Terminate the process that reads history for an object; false when there is none. */
static bool
terminate_backfill(int32 object)
{
	SpWorkerSlot *slot = sp_shared == NULL ? NULL : sp_shared_find(MyDatabaseId);
	bool		found;

	if (slot == NULL)
		return false;
	LWLockAcquire(sp_shared->lock, LW_SHARED);
	found = slot->helper_pid != 0 &&
		(object == SP_ANY_OBJECT || slot->helper_object == object);
	if (found)
		(void) kill(slot->helper_pid, SIGTERM);
	LWLockRelease(sp_shared->lock);
	return found;
}

/* Have it end, and wait for that. */
void
sp_shared_end_backfill(int32 object)
{
	while (terminate_backfill(object))
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 END_POLL_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Let the launcher look at the slots, and for databases with streams. */
void
sp_shared_wake_launcher(void)
{
	if (sp_shared == NULL)
		return;

	LWLockAcquire(sp_shared->lock, LW_SHARED);
	if (sp_shared->launcher_latch != NULL)
		SetLatch(sp_shared->launcher_latch);
	LWLockRelease(sp_shared->lock);
}

/* Set the worker's latch if it sleeps: the first to come does it for all. */
void
sp_shared_wake_worker(SpWorkerSlot *slot)
{
	Latch	   *latch;

	pg_memory_barrier();
	if (pg_atomic_read_u32(&slot->sleeping) == 0)
		return;
	if (pg_atomic_exchange_u32(&slot->sleeping, 0) == 0)
		return;

	latch = *(Latch *volatile *) &slot->latch;
	if (latch != NULL)
		SetLatch(latch);
}

/* Raise an LSN that only grows. */
void
sp_shared_raise_lsn(pg_atomic_uint64 *lsn, XLogRecPtr to)
{
	uint64		old = pg_atomic_read_u64(lsn);

	while (old < to && !pg_atomic_compare_exchange_u64(lsn, &old, to))
		;
	if (old >= to)
		pg_memory_barrier();	/* no exchange, which would have been one */
}

/* Tell the worker that WAL up to lsn concerns it. */
void
sp_shared_announce(SpWorkerSlot *slot, XLogRecPtr lsn)
{
	sp_shared_raise_lsn(&slot->announced_lsn, lsn);
	sp_shared_wake_worker(slot);
}

/* Bucket i holds durations from 2^(i/2) up to 2^((i+1)/2) microseconds. */
int
sp_shared_latency_bucket(int64 us)
{
	int			exponent;
	uint64		fraction;

	if (us < 1)
		return 0;
	if (us >= INT64CONST(1) << (SP_LATENCY_BUCKETS / 2))
		return SP_LATENCY_BUCKETS - 1;

	/* The square of us / 2^exponent is beyond 2 in the upper half. */
	exponent = pg_leftmost_one_pos64((uint64) us);
	fraction = (uint64) us * (uint64) us;
	return 2 * exponent + ((fraction >> (2 * exponent + 1)) != 0 ? 1 : 0);
}

/* The middle of a bucket, on its logarithmic scale. */
double
sp_shared_latency_us(int bucket)
{
	return pow(2.0, (bucket + 0.5) / 2.0);
}

/*
 * The end of the last record in the WAL.  The insert pointer at the beginning of a
 * page stands behind the page's header, which is not written yet: then the record
 * ends where the page begins.
 */
XLogRecPtr
sp_shared_insert_end(void)
{
	XLogRecPtr	lsn = GetXLogInsertRecPtr();

	if (XLogSegmentOffset(lsn, wal_segment_size) == SizeOfXLogLongPHD)
		lsn -= SizeOfXLogLongPHD;
	else if (lsn % XLOG_BLCKSZ == SizeOfXLogShortPHD &&
			 XLogSegmentOffset(lsn, wal_segment_size) > XLOG_BLCKSZ)
		lsn -= SizeOfXLogShortPHD;
	return lsn;
}
