/*
 * table_am.c
 *	  CREATE TABLE ... USING streamproc: rows go into the WAL and nowhere else.
 *
 * The relation has the files of an ordinary table, always empty, so that everything
 * that copies, truncates or vacuums files works as it stands: those callbacks are
 * heap's.  Rows come in through tuple_insert and multi_insert.  Scans find nothing.
 *
 * What would need a stored row is an error here, whoever calls it.  Foreign keys and
 * AFTER ROW triggers fetch the row again by its TID; UPDATE and DELETE never get as far
 * as this, for they find no rows: see guard.c.  Slots are virtual: a function of heap's
 * that is handed one of them would take it for its own kind and crash.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/multixact.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "fmgr.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "feed/guard.h"
#include "feed/pack.h"
#include "feed/table_am.h"

static TableAmRoutine routine;

/* The error of everything that needs a stored row. */
static void
refuse(Relation rel, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("stream table \"%s\" does not support %s",
					RelationGetRelationName(rel), what),
			 errdetail("Rows of a stream table are handed to its streams and not kept."),
			 hint != NULL ? errhint("%s", hint) : 0));
}

/* COPY hands over such slots as they are, without forming tuples. */
static const TupleTableSlotOps *
choose_slots(Relation rel)
{
	return &TTSOpsVirtual;
}

/*
 * Rows come in
 */

static void
insert_row(Relation rel, TupleTableSlot *slot, CommandId cid, int options,
		   BulkInsertState bistate)
{
	sp_pack_rows(rel, &slot, 1);
}

static void
insert_rows(Relation rel, TupleTableSlot **slots, int nslots, CommandId cid, int options,
			BulkInsertState bistate)
{
	sp_pack_rows(rel, slots, nslots);
}

/*
 * Scans find nothing
 */

static bool
scan_row(TableScanDesc scan, ScanDirection direction, TupleTableSlot *slot)
{
	ExecClearTuple(slot);
	return false;
}

static bool
sample_block(TableScanDesc scan, SampleScanState *state)
{
	return false;
}

static bool
sample_row(TableScanDesc scan, SampleScanState *state, TupleTableSlot *slot)
{
	ExecClearTuple(slot);
	return false;
}

static bool
is_tid_valid(TableScanDesc scan, ItemPointer tid)
{
	return false;
}

static void
estimate_size(Relation rel, int32 *attr_widths, BlockNumber *pages, double *tuples,
			  double *allvisfrac)
{
	*pages = 0;
	*tuples = 0;
	*allvisfrac = 0;
}

/* VACUUM FULL: from an empty table to an empty table. */
static void
copy_for_cluster(Relation from, Relation to, Relation index, bool use_sort,
				 TransactionId oldest_xmin, TransactionId *freeze_xid, MultiXactId *cutoff_multi,
				 double *kept, double *vacuumed, double *recently_dead)
{
	*kept = 0;
	*vacuumed = 0;
	*recently_dead = 0;
}

static bool
needs_toast_table(Relation rel)
{
	return false;
}

/*
 * Errors
 */

static bool
fetch_row(Relation rel, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot)
{
	refuse(rel, "AFTER ROW triggers or foreign keys",
		   "Use a BEFORE ROW trigger, or an AFTER STATEMENT trigger with a transition table.");
	return false;
}

static bool
satisfies_snapshot(Relation rel, TupleTableSlot *slot, Snapshot snapshot)
{
	refuse(rel, "foreign keys", "Check the values where they come from, or in a BEFORE ROW trigger.");
	return false;
}

static void
latest_tid(TableScanDesc scan, ItemPointer tid)
{
	refuse(scan->rs_rd, "row identifiers", NULL);
}

static void
insert_speculative(Relation rel, TupleTableSlot *slot, CommandId cid, int options,
				   BulkInsertState bistate, uint32 token)
{
	refuse(rel, "ON CONFLICT with a unique index", "Use the stream's dedup_key.");
}

static void
complete_speculative(Relation rel, TupleTableSlot *slot, uint32 token, bool succeeded)
{
	refuse(rel, "ON CONFLICT with a unique index", "Use the stream's dedup_key.");
}

static TM_Result
delete_row(Relation rel, ItemPointer tid, CommandId cid, Snapshot snapshot, Snapshot crosscheck,
		   bool wait, TM_FailureData *failure, bool changing_partition)
{
	refuse(rel, "DELETE", NULL);
	return TM_Invisible;
}

static TM_Result
update_row(Relation rel, ItemPointer otid, TupleTableSlot *slot, CommandId cid, Snapshot snapshot,
		   Snapshot crosscheck, bool wait, TM_FailureData *failure, LockTupleMode *lockmode,
		   SpUpdateIndexes *update_indexes)
{
	refuse(rel, "UPDATE", NULL);
	return TM_Invisible;
}

static TM_Result
lock_row(Relation rel, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot, CommandId cid,
		 LockTupleMode mode, LockWaitPolicy policy, uint8 flags, TM_FailureData *failure)
{
	refuse(rel, "row locks", NULL);
	return TM_Invisible;
}

static IndexFetchTableData *
begin_index_fetch(Relation rel)
{
	refuse(rel, "indexes", NULL);
	return NULL;
}

static bool
fetch_index_row(IndexFetchTableData *scan, ItemPointer tid, Snapshot snapshot,
				TupleTableSlot *slot, bool *call_again, bool *all_dead)
{
	refuse(scan->rel, "indexes", NULL);
	return false;
}

static TransactionId
delete_index_rows(Relation rel, TM_IndexDeleteOp *delstate)
{
	refuse(rel, "indexes", NULL);
	return InvalidTransactionId;
}

static double
build_index(Relation rel, Relation index, IndexInfo *info, bool allow_sync, bool anyvisible,
			bool progress, BlockNumber start, BlockNumber nblocks,
			IndexBuildCallback callback, void *state, TableScanDesc scan)
{
	refuse(rel, "indexes", "Index the result tables of its windows and detectors.");
	return 0;
}

static void
finish_index(Relation rel, Relation index, IndexInfo *info, Snapshot snapshot,
			 ValidateIndexState *state)
{
	refuse(rel, "indexes", "Index the result tables of its windows and detectors.");
}

/* Heap's callbacks for files, ours for rows. */
static void
fill_routine(void)
{
	routine = *GetHeapamTableAmRoutine();

	routine.slot_callbacks = choose_slots;
	routine.tuple_insert = insert_row;
	routine.multi_insert = insert_rows;

	routine.scan_getnextslot = scan_row;
	routine.scan_set_tidrange = NULL;
	routine.scan_getnextslot_tidrange = NULL;
	routine.scan_sample_next_block = sample_block;
	routine.scan_sample_next_tuple = sample_row;
	routine.tuple_tid_valid = is_tid_valid;
	routine.relation_estimate_size = estimate_size;
	routine.relation_copy_for_cluster = copy_for_cluster;
	routine.relation_needs_toast_table = needs_toast_table;

	routine.tuple_fetch_row_version = fetch_row;
	routine.tuple_satisfies_snapshot = satisfies_snapshot;
	routine.tuple_get_latest_tid = latest_tid;
	routine.tuple_insert_speculative = insert_speculative;
	routine.tuple_complete_speculative = complete_speculative;
	routine.tuple_delete = delete_row;
	routine.tuple_update = update_row;
	routine.tuple_lock = lock_row;
	routine.index_fetch_begin = begin_index_fetch;
	routine.index_fetch_tuple = fetch_index_row;
	routine.index_delete_tuples = delete_index_rows;
	routine.index_build_range_scan = build_index;
	routine.index_validate_scan = finish_index;
}

PG_FUNCTION_INFO_V1(sp_table_am_handler);

/*
 * The handler.  Called whenever the relcache makes an entry of a stream table, hence
 * before anything can be done to one: the guard is in place in time, also where the
 * library wasn't preloaded.
 */
Datum
sp_table_am_handler(PG_FUNCTION_ARGS)
{
	if (routine.type != T_TableAmRoutine)
	{
		fill_routine();
		sp_guard_install();
	}
	PG_RETURN_POINTER(&routine);
}

/* Is this access method ours? */
bool
sp_table_am_is_ours(Oid am)
{
	HeapTuple	tuple;
	Form_pg_am	form;
	bool		ours = false;

	if (!OidIsValid(am) || am == HEAP_TABLE_AM_OID)
		return false;
	tuple = SearchSysCache1(AMOID, ObjectIdGetDatum(am));
	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_am) GETSTRUCT(tuple);
	if (form->amtype == AMTYPE_TABLE)
		ours = GetTableAmRoutine(form->amhandler) == &routine;
	ReleaseSysCache(tuple);
	return ours;
}
