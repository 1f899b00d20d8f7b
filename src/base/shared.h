/*
 * shared.h
 *	  Shared memory: one SpWorkerSlot for each database with a worker.
 *
 * Locks: sp_shared->lock (LWLock) guards the array: claiming and releasing a
 * slot, and the fields marked [lock].  Fields marked [worker] are written by the
 * database's worker alone and read by anyone without a lock; atomics as stated.
 */
#ifndef SP_SHARED_H
#define SP_SHARED_H

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/lwlock.h"

#include "base/unjudged.h"

#define SP_MAX_WORKERS		64	/* databases with a worker at the same time */
#define SP_LATENCY_BUCKETS	64	/* powers of sqrt(2) of a microsecond */

typedef enum SpWorkerState
{
	SP_WORKER_NONE = 0,			/* slot free, or its worker has not started yet */
	SP_WORKER_STARTING,			/* connected, loading definitions and state */
	SP_WORKER_CREATING_SLOT,	/* waits for running transactions to find a consistent point */
	SP_WORKER_RUNNING,			/* decodes */
	SP_WORKER_FAILED			/* exited with an error; the launcher will try again unless idle */
} SpWorkerState;

typedef struct SpWorkerSlot
{
	/* who */
	Oid			dboid;			/* [lock] InvalidOid: free */
	int			pid;			/* [lock] 0: not running */
	bool		stop_requested; /* [lock] streamproc.stop(): don't start again until start() */
	bool		started_by_hand;	/* [lock] start(): run whatever streamproc.autostart says */
	bool		start_requested;	/* [lock] a verb's commit or start(); cleared by the worker before
									 * it loads definitions */
	bool		idle;			/* [lock] the last worker found nothing to do, or a setting that
								 * forbids it: don't start again until start_requested */
	bool		launching;		/* [lock] the launcher registered a worker that has no pid yet */
	TimestampTz started_at;		/* [lock] */
	int			helper_pid;		/* [lock] the process that reads history; 0: none */
	int32		helper_object;	/* [lock] for which object */
	pg_atomic_uint32 state;		/* [worker] SpWorkerState */
	Latch	   *latch;			/* [worker, under lock] NULL when not running */

	/* waking */
	pg_atomic_uint32 sleeping;	/* 1: the worker waits on its latch; committers set it only then */
	pg_atomic_uint64 announced_lsn; /* end of the newest commit announced by its backend; only grows */

	/* read-your-writes: see face/wait.c */
	pg_atomic_uint64 flush_request; /* any backend: write pending triggers up to here; only grows */
	pg_atomic_uint64 applied_lsn;	/* [worker] everything before is processed and visible */
	pg_atomic_uint64 flushed_lsn;	/* [worker] same, and pending triggers were written */
	pg_atomic_uint64 current_until; /* [worker] a TimestampTz: what was committed until then is
									 * applied; only grows; 0: not known since the server's start */
	ConditionVariable applied_cv;	/* broadcast when one of the two moves and someone waits */
	pg_atomic_uint32 nwaiters;

	/* statistics: [worker], since its start */
	pg_atomic_uint64 rows;
	pg_atomic_uint64 commits;
	pg_atomic_uint64 batches;
	pg_atomic_uint64 results;	/* result rows written */
	pg_atomic_uint64 writing_us;	/* CPU that writing results took */
	pg_atomic_uint64 alerts;
	pg_atomic_uint64 dead;		/* rows to dead_letter */
	pg_atomic_uint64 checkpoints;
	pg_atomic_uint64 checkpoint_us; /* longest, from its beginning to its end */
	pg_atomic_uint64 checkpoint_slices;
	pg_atomic_uint64 checkpoint_pause_us;	/* longest slice: rows had to wait so long */
	pg_atomic_uint64 state_bytes;
	pg_atomic_uint64 spilled_pages; /* now */
	pg_atomic_uint64 excess_bytes;	/* of state in memory above the limit, a moment ago */
	pg_atomic_uint64 state_lsn;
	pg_atomic_uint64 latency[SP_LATENCY_BUCKETS];	/* source commit record to result commit */
	char		message[256];	/* [lock] why it is not running, for status */
} SpWorkerSlot;

typedef struct SpShared
{
	LWLock	   *lock;
	pg_atomic_uint32 generation;	/* counts claims and releases of slots, under lock; read without */
	Latch	   *launcher_latch; /* [lock] */
	int			launcher_pid;	/* [lock] */
	SpWorkerSlot slots[SP_MAX_WORKERS];
	SpUnjudged	unjudged[SP_MAX_UNJUDGED];	/* [lock] */
} SpShared;

extern SpShared *sp_shared;		/* NULL: not in shared_preload_libraries */
extern SpWorkerSlot *sp_my_worker;	/* in the worker: its slot */

extern void sp_shared_request(void);	/* from _PG_init: registers the shmem hooks */

/* The slot of a database, or NULL.  Slots stay with their database while it has streams. */
extern SpWorkerSlot *sp_shared_find(Oid dboid);
/* The same, claiming a free one; NULL when all are taken. */
extern SpWorkerSlot *sp_shared_claim(Oid dboid);
/* Give up a slot that is neither used nor wanted; by the launcher. */
extern void sp_shared_release(SpWorkerSlot *slot);

/* Set or clear (NULL) slot->message. */
extern void sp_shared_set_message(SpWorkerSlot *slot, const char *message);

extern void sp_shared_wake_launcher(void);

/*
 * Have the process end that reads history for an object of this database, if there is one,
 * and wait until it is gone: nobody who drops an object waits for all of its history.
 */
#define SP_ANY_OBJECT	(-1)
extern void sp_shared_end_backfill(int32 object);

/* Set the worker's latch if it sleeps; what it shall see must have been written before. */
extern void sp_shared_wake_worker(SpWorkerSlot *slot);

/* Tell the worker of a commit, or of anything else in the WAL that ends at lsn. */
extern void sp_shared_announce(SpWorkerSlot *slot, XLogRecPtr lsn);

/* The bucket of latency[] for a duration, and a duration in the middle of a bucket. */
extern int	sp_shared_latency_bucket(int64 us);
extern double sp_shared_latency_us(int bucket);

/* Raise an LSN that only grows; a full memory barrier. */
extern void sp_shared_raise_lsn(pg_atomic_uint64 *lsn, XLogRecPtr to);

/* The end of the last record in the WAL. */
extern XLogRecPtr sp_shared_insert_end(void);

#endif
