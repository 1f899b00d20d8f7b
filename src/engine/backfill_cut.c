/*
 * backfill_cut.c
 *	  The exact cut between history and what the worker decodes.
 *
 * It takes no lock that a writer could notice.  The worker keeps, for the object that is
 * being filled, every commit it decodes from before the helper was started.  The helper
 *
 *	1.	waits for the transactions that hold the lock of writers on the table right now: what
 *		they wrote before the worker knew of the stream may not be in what it keeps;
 *	2.	takes a snapshot.  What it sees is history; of the commits that are kept, the worker
 *		takes those that the snapshot doesn't see.
 *
 * A transaction that the worker met before it began to keep is visible in the snapshot, or
 * was waited for: it gives back its locks only after it has become visible.
 */
#include "engine/internal.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "base/compat.h"
#include "base/debug.h"
#include "base/shared.h"
#include "catalog/pg_authid_d.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "catalog/query.h"
#include "engine/backfill_cut.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#define SHORTEST_WAIT_MS	2
#define LONGEST_WAIT_MS		200
#define PATIENCE_MS			1000	/* then people are told what is waited for */

/* The process's latch is set for many reasons. */
static void
nap(int ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Enter a phase, for the worker to see. */
void
sp_backfill_cut_enter_phase(SpBackfillArea *area, SpBackfillPhase phase)
{
	pg_memory_barrier();
	pg_atomic_write_u32(&area->phase, phase);
	pg_memory_barrier();
	sp_shared_wake_worker(sp_my_worker);
}

/* Tell the worker whom we wait for, so that it can tell people. */
static void
report_wait(SpBackfillArea *area, uint32 pid)
{
	if (pg_atomic_read_u32(&area->waits_for) == pid)
		return;
	pg_atomic_write_u32(&area->waits_for, pid);
	sp_shared_wake_worker(sp_my_worker);
}

/* The table and its partitions. */
static Datum
list_relations(Oid relid)
{
	List	   *relids = find_all_inheritors(relid, NoLock, NULL);
	Datum	   *elements = palloc(sizeof(Datum) * list_length(relids));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, relids)
		elements[n++] = ObjectIdGetDatum(lfirst_oid(lc));
	return PointerGetDatum(construct_array(elements, n, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
}

/*
 * Transactions that have written, and hold the lock of writers on any of the relations: all
 * of them, or those of an earlier answer that still run.  Transaction ids as text, for a
 * prepared transaction keeps nothing else.  *pid is one of their processes, 1 for a
 * prepared one.  In the memory context; NULL: none.
 */
static ArrayType *
find_writers(Oid relid, ArrayType *among, TransactionId limit, MemoryContext context, uint32 *pid)
{
	static const char sql[] =
	"WITH l AS MATERIALIZED (SELECT * FROM pg_locks WHERE granted) "
	"SELECT array_agg(DISTINCT x.transactionid::text), coalesce(min(x.pid), 1) "
	"FROM l x WHERE x.locktype = 'transactionid' AND x.mode = 'ExclusiveLock' "
	"AND ($2 IS NULL OR x.transactionid::text = ANY ($2)) "
	"AND age(x.transactionid) > age($3::text::xid) "
	"AND ($2 IS NOT NULL OR x.virtualtransaction IN (SELECT w.virtualtransaction FROM l w "
	"WHERE w.locktype = 'relation' AND w.relation = ANY ($1) AND w.mode = 'RowExclusiveLock' "
	"AND w.database = (SELECT oid FROM pg_database WHERE datname = current_database())))";
	Oid			types[] = {OIDARRAYOID, TEXTARRAYOID, INT8OID};
	Datum		values[3];
	char		nulls[3] = {' ', ' ', ' '};
	ArrayType  *found = NULL;
	SpQueryScope scope;
	bool		isnull;
	Datum		value;

	sp_engine_begin();
	values[0] = list_relations(relid);
	values[1] = PointerGetDatum(among);
	values[2] = Int64GetDatum((int64) limit);
	if (among == NULL)
		nulls[1] = 'n';
	sp_query_open(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, sql, SPI_OK_SELECT, 3, types, values, nulls);
	value = sp_query_value(0, 1, &isnull);
	if (!isnull)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		found = DatumGetArrayTypePCopy(value);
		MemoryContextSwitchTo(old);
		*pid = DatumGetInt32(sp_query_value(0, 2, &isnull));
	}
	sp_query_close(&scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
	return found;
}

/*
 * Wait until the transactions that write to the table at this moment have ended; later ones
 * have ids from limit on.  Twice: a look at the locks may fall into a PREPARE TRANSACTION
 * that has handed over only some of its own, but it can't happen again.
 */
void
sp_backfill_cut_await_writers(SpBackfillArea *area, Oid relid)
{
	int			waited = 0;
	int			round;
	TransactionId limit = ReadNextTransactionId();

	for (round = 0; round < 2; round++)
	{
		uint32		pid = 0;
		ArrayType  *writers = find_writers(relid, NULL, limit, sp_engine.context, &pid);
		int			ms = SHORTEST_WAIT_MS;

		while (writers != NULL)
		{
			nap(ms);
			waited += ms;
			if (waited >= PATIENCE_MS)
				report_wait(area, pid);
			ms = Min(ms * 2, LONGEST_WAIT_MS);
			writers = find_writers(relid, writers, limit, sp_engine.context, &pid);
		}
	}
	report_wait(area, 0);
}

/* The worker must have written what we are about to read, and keep what comes after. */
void
sp_backfill_cut_await_worker(SpBackfillArea *area)
{
	/* all streams wait for the snapshot then */
	sp_backfill_cut_enter_phase(area, SP_BACKFILL_READY);
	while (pg_atomic_read_u32(&area->may_cut) == 0)
		nap(SHORTEST_WAIT_MS);
	pg_memory_barrier();
}

/*
 * Take the snapshot, which becomes the active one.  The tables are locked as a reader does
 * before, for a table that is rewritten meanwhile would look empty to an older snapshot.
 */
void
sp_backfill_cut_take(SpBackfillArea *area, Oid relid)
{
	Snapshot	snapshot;
	uint32		i;

	LockRelationOid(relid, AccessShareLock);
	(void) find_all_inheritors(relid, AccessShareLock, NULL);
	AcceptInvalidationMessages();
	snapshot = GetLatestSnapshot();
	PushActiveSnapshot(snapshot);
	if (snapshot->xcnt > area->xip_allocated)
		elog(ERROR, "a snapshot of %u transactions has no room", snapshot->xcnt);
	area->cut_lsn = GetXLogInsertRecPtr();
	area->xmin = snapshot->xmin;
	area->xmax = snapshot->xmax;
	area->nxip = snapshot->xcnt;
	for (i = 0; i < snapshot->xcnt; i++)
		area->xip[i] = snapshot->xip[i];
	sp_backfill_cut_enter_phase(area, SP_BACKFILL_CUT);
	sp_debug_point("backfill-cut");
}
