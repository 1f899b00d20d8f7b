/*
 * lookup.c
 *	  One row of a table by its key: as a snapshot sees it, or locked.
 *
 * For sessions, which look for a row now and then: nothing stays open from one lookup to the
 * next.  What is known of the relation's index is kept, by table_info.c.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/nbtree.h"
#include "access/relscan.h"
#include "access/skey.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "catalog/lookup.h"
#include "catalog/table_info.h"

/* The first columns, which have the keys. */
static SpTableInfo *
get_info(Relation rel, int nkeys)
{
	AttrNumber	attnums[INDEX_MAX_KEYS] = {0};

	for (int i = 0; i < nkeys; i++)
		attnums[i] = i + 1;
	return sp_table_info_get(rel, nkeys, attnums);
}

/* The first row of a table. */
static bool
look_at_all(Relation rel, Snapshot snapshot, TupleTableSlot *slot)
{
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	bool		found = table_scan_getnextslot(scan, ForwardScanDirection, slot);

	if (found)
		ExecMaterializeSlot(slot);
	table_endscan(scan);
	return found;
}

/* NULL is a key like others. */
static void
set_scan_keys(ScanKey scan_keys, const SpTableInfo *info, Relation index, const Datum *keys,
			  const bool *nulls)
{
	for (int i = 0; i < info->nkeys; i++)
	{
		int			k = info->index_keys[i] - 1;

		ScanKeyEntryInitialize(&scan_keys[i], nulls[k] ? SK_ISNULL | SK_SEARCHNULL : 0, i + 1,
							   BTEqualStrategyNumber, InvalidOid, index->rd_indcollation[i],
							   info->index_equal[i], nulls[k] ? (Datum) 0 : keys[k]);
	}
}

/* The version in the chain at tid that the snapshot sees. */
static bool
fetch_version(Relation rel, ItemPointerData tid, Snapshot snapshot, TupleTableSlot *slot)
{
	Buffer		buffer = ReadBuffer(rel, ItemPointerGetBlockNumber(&tid));
	HeapTupleData tuple;
	bool		found;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	found = heap_hot_search_buffer(&tid, rel, buffer, snapshot, &tuple, NULL, true);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	if (found)
	{
		/* our pin is enough to read it */
		tuple.t_tableOid = RelationGetRelid(rel);
		tuple.t_self = tid;
		ExecStoreBufferHeapTuple(&tuple, slot, buffer);
		ExecMaterializeSlot(slot);
	}
	ReleaseBuffer(buffer);
	return found;
}

bool
sp_lookup_heap_row(Relation rel, int nkeys, const Datum *keys, const bool *nulls,
				   Snapshot snapshot, TupleTableSlot *slot)
{
	const SpTableInfo *info = get_info(rel, nkeys);
	Relation	index = index_open(info->index, AccessShareLock);
	ScanKeyData scan_keys[INDEX_MAX_KEYS];
	IndexScanDesc scan;
	ItemPointer tid;
	bool		found = false;

	set_scan_keys(scan_keys, info, index, keys, nulls);
	scan = sp_compat_index_beginscan(rel, index, snapshot, nkeys);
	index_rescan(scan, scan_keys, nkeys, NULL, 0);
	while (!found && (tid = index_getnext_tid(scan, ForwardScanDirection)) != NULL)
		found = fetch_version(rel, *tid, snapshot, slot);
	index_endscan(scan);
	index_close(index, AccessShareLock);
	return found;
}

bool
sp_lookup_row(Relation rel, int nkeys, const Datum *keys, const bool *nulls, Snapshot snapshot,
			  TupleTableSlot *slot)
{
	const SpTableInfo *info = get_info(rel, nkeys);
	ScanKeyData scan_keys[INDEX_MAX_KEYS];
	IndexScanDesc scan;
	Relation	index;
	bool		found;

	if (nkeys == 0)
		return look_at_all(rel, snapshot, slot);
	index = index_open(info->index, AccessShareLock);
	set_scan_keys(scan_keys, info, index, keys, nulls);
	scan = sp_compat_index_beginscan(rel, index, snapshot, nkeys);
	index_rescan(scan, scan_keys, nkeys, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, slot);
	if (found)
		ExecMaterializeSlot(slot);
	index_endscan(scan);
	index_close(index, AccessShareLock);
	return found;
}

/* Lock the row that was found; false: it is deleted. */
static bool
lock_row(Relation rel, ItemPointerData tid, TupleTableSlot *slot)
{
	uint8		flags = TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS;
	TM_FailureData failure;
	TM_Result	result;

	if (!IsolationUsesXactSnapshot())
		flags |= TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
	result = table_tuple_lock(rel, &tid, GetActiveSnapshot(), slot, GetCurrentCommandId(true),
							  LockTupleNoKeyExclusive, LockWaitBlock, flags, &failure);
	if (result == TM_Ok)
		return true;
	if (IsolationUsesXactSnapshot() && (result == TM_Updated || result == TM_Deleted))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update")));
	if (result != TM_Deleted)
		elog(ERROR, "unexpected result %d of locking a row of \"%s\"", result,
			 RelationGetRelationName(rel));
	return false;
}

bool
sp_lookup_and_lock(Relation rel, int nkeys, const Datum *keys, const bool *nulls,
				   TupleTableSlot *slot)
{
	ItemPointerData tid;
	bool		found;

	PushActiveSnapshot(GetTransactionSnapshot());
	found = sp_lookup_heap_row(rel, nkeys, keys, nulls, GetActiveSnapshot(), slot);
	tid = slot->tts_tid;
	ExecClearTuple(slot);
	found = found && lock_row(rel, tid, slot);
	PopActiveSnapshot();
	return found;
}
