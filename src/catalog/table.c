/*
 * table.c
 *	  Rows in and out of plain heap tables: heap calls and index entries, without
 *	  SPI and without plans.  Rows that come in new: table_insert.c.
 *
 * An update costs one heap_update(): the page stays pinned from the look at the old
 * version on, and is pruned when we come to it, since heap_update() never prunes and
 * without room on the page every version would need new index entries.
 *
 * Snapshots are our own, taken when a row is first looked for and again whenever
 * somebody else turns out to have changed it, so that a row is seen as it is now.
 * Others may update and delete these rows at any time (they are users' tables): a lost
 * race is found by heap_update()'s result, and the row is looked up again.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "catalog/table.h"
#include "catalog/table_internal.h"

/* Take a relation that the caller has opened and locked. */
SpTable *
sp_table_open(Relation rel, int nkeys, const AttrNumber *keys)
{
	SpTableInfo  *info = sp_table_info_get(rel, nkeys, keys);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "streamproc table",
												  ALLOCSET_DEFAULT_SIZES);
	SpTable    *table = MemoryContextAllocZero(context, sizeof(SpTable));

	table->rel = rel;
	table->info = info;
	table->context = context;
	return table;
}

/* The same for one of the extension's own tables. */
SpTable *
sp_table_open_own(const char *name, int nkeys, const AttrNumber *keys)
{
	Oid			relid = get_relname_relid(name, get_namespace_oid("streamproc", false));

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"streamproc.%s\" does not exist", name),
				 errhint("It belongs to the extension: DROP and CREATE EXTENSION streamproc.")));
	return sp_table_open(table_open(relid, RowExclusiveLock), nkeys, keys);
}

Relation
sp_table_relation(const SpTable *table)
{
	return table->rel;
}

/* Tell somebody what is changed. */
void
sp_table_observe(SpTable *table, SpTableObserver observer, void *arg)
{
	table->observer = observer;
	table->observer_arg = arg;
}

bool
sp_table_is_observed(const SpTable *table)
{
	return table->observer != NULL;
}

/* A row was changed. */
void
sp_table_tell(SpTable *table, HeapTuple before, HeapTuple after)
{
	if (table->observer != NULL)
		table->observer(table->observer_arg, before, after);
}

Oid
sp_table_index(const SpTable *table)
{
	return table->info->index;
}

/* Raise the error that the executor would for a NULL where there may be none. */
void
sp_table_check_required(SpTable *table, const bool *nulls, int natts)
{
	const SpTableInfo *info = table->info;

	for (int i = 0; i < info->nrequired; i++)
	{
		int			attnum = info->required[i];

		if (attnum <= natts && nulls[attnum - 1])
			ereport(ERROR,
					(errcode(ERRCODE_NOT_NULL_VIOLATION),
					 errmsg("null value in column \"%s\" of relation \"%s\" violates not-null constraint",
							NameStr(TupleDescAttr(RelationGetDescr(table->rel), attnum - 1)->attname),
							RelationGetRelationName(table->rel)),
					 errtablecol(table->rel, attnum)));
	}
}

/* Open the indexes for new entries. */
static void
open_indexes(SpTable *table)
{
	MemoryContext oldcontext;

	if (table->estate != NULL)
		return;
	oldcontext = MemoryContextSwitchTo(table->context);
	table->estate = CreateExecutorState();
	table->rri = makeNode(ResultRelInfo);
	InitResultRelInfo(table->rri, table->rel, 0, NULL, 0);
	ExecOpenIndices(table->rri, false);
	MemoryContextSwitchTo(oldcontext);
}

/* Make index entries for the row in the slot. */
void
sp_table_insert_index_entries(SpTable *table, TupleTableSlot *slot, bool update, SpUpdateIndexes which)
{
	open_indexes(table);
	if (table->rri->ri_NumIndices == 0)
		return;
	(void) sp_compat_insert_index_tuples(table->rri, slot, table->estate, update, which);
	ResetPerTupleExprContext(table->estate);
}

/* End what depends on the snapshot, and the snapshot. */
static void
release_snapshot(SpTable *table)
{
	if (table->scan != NULL)
		index_endscan(table->scan);
	table->scan = NULL;
	if (table->snapshot != NULL)
		UnregisterSnapshot(table->snapshot);
	table->snapshot = NULL;
}

static Snapshot
get_snapshot(SpTable *table)
{
	if (table->snapshot == NULL)
		table->snapshot = RegisterSnapshot(GetLatestSnapshot());
	return table->snapshot;
}

/* Make what this transaction has written so far visible to lookups. */
void
sp_table_refresh(SpTable *table)
{
	sp_table_flush(table);
	CommandCounterIncrement();
	release_snapshot(table);
}

void
sp_table_set_room(SpTable *table, Size room)
{
	table->room = room;
}

/* Is there room on the pinned page?  Without a lock this is a guess, as the server's own is. */
static inline bool
has_room(const SpTable *table)
{
	return table->room > 0 && PageGetHeapFreeSpace(BufferGetPage(table->buffer)) >= table->room;
}

/* Pin a page and give it a chance to be pruned. */
static bool
pin_page(SpTable *table, BlockNumber block)
{
	if (BufferIsValid(table->buffer) && BufferGetBlockNumber(table->buffer) == block)
		return true;

	/* VACUUM may have cut it off since the caller saw it. */
	if (block >= table->nblocks)
	{
		table->nblocks = RelationGetNumberOfBlocks(table->rel);
		if (block >= table->nblocks)
			return false;
	}
	table->buffer = ReleaseAndReadBuffer(table->buffer, table->rel, block);
	if (!has_room(table))
		heap_page_prune_opt(table->rel, table->buffer);
	return true;
}

/* Point table->row to the row at tid; false when none is visible there. */
static bool
look_at_row(SpTable *table, ItemPointer tid)
{
	Snapshot	snapshot = get_snapshot(table);
	OffsetNumber offset = ItemPointerGetOffsetNumber(tid);
	bool		visible = false;
	bool		ours = false;
	Page		page;

	if (!pin_page(table, ItemPointerGetBlockNumber(tid)))
		return false;

	LockBuffer(table->buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(table->buffer);
	if (offset <= PageGetMaxOffsetNumber(page) && ItemIdIsNormal(PageGetItemId(page, offset)))
	{
		ItemId		item = PageGetItemId(page, offset);

		table->row.t_data = (HeapTupleHeader) PageGetItem(page, item);
		table->row.t_len = ItemIdGetLength(item);
		table->row.t_tableOid = RelationGetRelid(table->rel);
		table->row.t_self = *tid;
		visible = HeapTupleSatisfiesVisibility(&table->row, snapshot, table->buffer);
		ours = !visible &&
			TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(table->row.t_data));
	}
	LockBuffer(table->buffer, BUFFER_LOCK_UNLOCK);

	/* Written by ourselves since the snapshot was taken. */
	if (ours && HeapTupleHeaderGetCmin(table->row.t_data) >= snapshot->curcid)
	{
		sp_table_refresh(table);
		return look_at_row(table, tid);
	}
	return visible;
}

/* Has table->row these keys?  Our pin is enough to read it. */
static bool
has_keys(SpTable *table, const Datum *values, const bool *nulls)
{
	const SpTableInfo *info = table->info;
	TupleDesc	desc = RelationGetDescr(table->rel);

	for (int i = 0; i < info->nkeys; i++)
	{
		int			attnum = info->keys[i];
		bool		isnull;
		Datum		value = heap_getattr(&table->row, attnum, desc, &isnull);

		if (isnull != nulls[attnum - 1])
			return false;
		if (isnull)
			continue;
		if (!OidIsValid(info->equal[i].fn_oid))
		{
			if (value != values[attnum - 1])
				return false;
		}
		else if (!DatumGetBool(FunctionCall2Coll(&table->info->equal[i],
												 TupleDescAttr(desc, attnum - 1)->attcollation,
												 value, values[attnum - 1])))
			return false;
	}
	return true;
}

/* Start, or start again, a scan of the unique index for these keys. */
static void
scan_index(SpTable *table, const Datum *values, const bool *nulls)
{
	const SpTableInfo *info = table->info;

	if (table->index == NULL)
		table->index = index_open(info->index, RowExclusiveLock);
	if (table->scan_keys == NULL)
	{
		table->scan_keys = MemoryContextAlloc(table->context, info->nkeys * sizeof(ScanKeyData));
		for (int i = 0; i < info->nkeys; i++)
			ScanKeyEntryInitialize(&table->scan_keys[i], 0, i + 1, BTEqualStrategyNumber,
								   InvalidOid, table->index->rd_indcollation[i],
								   info->index_equal[i], (Datum) 0);
	}
	for (int i = 0; i < info->nkeys; i++)
	{
		int			attnum = info->index_keys[i];

		table->scan_keys[i].sk_argument = nulls[attnum - 1] ? (Datum) 0 : values[attnum - 1];
		table->scan_keys[i].sk_flags = nulls[attnum - 1] ? SK_ISNULL | SK_SEARCHNULL : 0;
	}
	if (table->scan == NULL)
		table->scan = sp_compat_index_beginscan(table->rel, table->index, get_snapshot(table),
												info->nkeys);
	index_rescan(table->scan, table->scan_keys, info->nkeys, NULL, 0);
}

/* Find the row by the unique index, or the only row of a table without keys. */
static bool
search_row(SpTable *table, ItemPointer tid, const Datum *values, const bool *nulls)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(table->context);
	bool		found;

	if (table->found == NULL)
		table->found = table_slot_create(table->rel, NULL);
	if (table->info->nkeys > 0)
	{
		scan_index(table, values, nulls);
		found = index_getnext_slot(table->scan, ForwardScanDirection, table->found);
	}
	else
	{
		TableScanDesc scan = table_beginscan(table->rel, get_snapshot(table), 0, NULL);

		found = table_scan_getnextslot(scan, ForwardScanDirection, table->found);
		table_endscan(scan);
	}
	if (found)
		*tid = table->found->tts_tid;
	ExecClearTuple(table->found);
	MemoryContextSwitchTo(oldcontext);
	return found;
}

/* Where is the row with these keys now? */
bool
sp_table_find(SpTable *table, ItemPointer tid, const Datum *values, const bool *nulls)
{
	if (sp_table_is_pending(tid))
	{
		/* Unless its transaction failed, it is one of ours. */
		sp_table_flush(table);
		if (sp_table_is_pending(tid))
			ItemPointerSetInvalid(tid);
	}
	if (ItemPointerIsValid(tid) && look_at_row(table, tid) && has_keys(table, values, nulls))
		return true;
	if (search_row(table, tid, values, nulls) && look_at_row(table, tid))
		return true;
	ItemPointerSetInvalid(tid);
	return false;
}

/* The new version of table->row: natts columns as given, the others as they are. */
static HeapTuple
form_version(SpTable *table, int natts, const Datum *values, const bool *nulls)
{
	TupleDesc	desc = RelationGetDescr(table->rel);
	Datum	   *all_values;
	bool	   *all_nulls;
	HeapTuple	tuple;

	if (natts >= desc->natts)
		return heap_form_tuple(desc, unconstify(Datum *, values), unconstify(bool *, nulls));

	all_values = palloc(desc->natts * sizeof(Datum));
	all_nulls = palloc(desc->natts * sizeof(bool));
	heap_deform_tuple(&table->row, desc, all_values, all_nulls);
	memcpy(all_values, values, natts * sizeof(Datum));
	memcpy(all_nulls, nulls, natts * sizeof(bool));
	for (int i = natts; i < desc->natts; i++)
		if (TupleDescAttr(desc, i)->attisdropped)
			all_nulls[i] = true;
	tuple = heap_form_tuple(desc, all_values, all_nulls);
	pfree(all_values);
	pfree(all_nulls);
	return tuple;
}

/* Make the index entries of an updated row that is not heap-only. */
static void
index_version(SpTable *table, HeapTuple tuple, SpUpdateIndexes which)
{
	if (table->changed == NULL)
	{
		MemoryContext oldcontext = MemoryContextSwitchTo(table->context);

		table->changed = MakeSingleTupleTableSlot(RelationGetDescr(table->rel),
												  &TTSOpsHeapTuple);
		MemoryContextSwitchTo(oldcontext);
	}
	ExecStoreHeapTuple(tuple, table->changed, false);
	table->changed->tts_tableOid = RelationGetRelid(table->rel);
	sp_table_insert_index_entries(table, table->changed, true, which);
	ExecClearTuple(table->changed);
}

/* Put a new version in place of the row at tid. */
static TM_Result
replace_row(SpTable *table, ItemPointer tid, int natts, const Datum *values, const bool *nulls)
{
	HeapTuple	tuple = form_version(table, natts, values, nulls);
	TM_FailureData failure;
	LockTupleMode lockmode;
	SpUpdateIndexes which = SP_ALL_INDEXES;
	TM_Result	result;

	tuple->t_tableOid = RelationGetRelid(table->rel);
	result = sp_compat_heap_update(table->rel, tid, tuple, GetCurrentCommandId(true),
								   &failure, &lockmode, &which);
	if (result == TM_Ok)
	{
		sp_table_tell(table, &table->row, tuple);
		*tid = tuple->t_self;
		if (sp_compat_updates_indexes(which, tuple))
			index_version(table, tuple, which);
	}
	heap_freetuple(tuple);
	return result;
}

/*
 * Did it work?  If not, the row was changed between our look and our write: look again,
 * with a new snapshot and, where we changed it ourselves, a new command.
 */
static bool
is_done(SpTable *table, ItemPointer tid, TM_Result result)
{
	switch (result)
	{
		case TM_Ok:
			table->written = true;
			return true;
		case TM_SelfModified:
			sp_table_refresh(table);
			break;
		case TM_Updated:
		case TM_Deleted:
			release_snapshot(table);
			break;
		default:
			elog(ERROR, "unexpected result %d of changing a row of \"%s\"",
				 result, RelationGetRelationName(table->rel));
	}
	ItemPointerSetInvalid(tid);
	CHECK_FOR_INTERRUPTS();
	return false;
}

/* Replace the first natts columns of the row with these keys. */
bool
sp_table_update(SpTable *table, ItemPointer tid, int natts,
				const Datum *values, const bool *nulls)
{
	sp_table_check_required(table, nulls, natts);
	do
	{
		if (!sp_table_find(table, tid, values, nulls))
			return false;
	} while (!is_done(table, tid, replace_row(table, tid, natts, values, nulls)));
	return true;
}

/* Delete table->row. */
static TM_Result
remove_row(SpTable *table, ItemPointer tid)
{
	TM_FailureData failure;
	TM_Result	result = heap_delete(table->rel, tid, GetCurrentCommandId(true), InvalidSnapshot,
									 true, &failure, false);

	if (result == TM_Ok)
		sp_table_tell(table, &table->row, NULL);
	return result;
}

/* Delete the row with these keys. */
bool
sp_table_delete(SpTable *table, ItemPointer tid, const Datum *values, const bool *nulls)
{
	do
	{
		if (!sp_table_find(table, tid, values, nulls))
			return false;
	} while (!is_done(table, tid, remove_row(table, tid)));
	ItemPointerSetInvalid(tid);
	return true;
}

/* Is a row visible there now? */
bool
sp_table_look(SpTable *table, ItemPointer tid)
{
	return look_at_row(table, tid);
}

/* Delete the row at a position. */
bool
sp_table_delete_at(SpTable *table, ItemPointer tid)
{
	return look_at_row(table, tid) && is_done(table, tid, remove_row(table, tid));
}

/* Set one column of the row at a position. */
bool
sp_table_set_at(SpTable *table, ItemPointer tid, AttrNumber attnum, Datum value)
{
	TupleDesc	desc = RelationGetDescr(table->rel);
	Datum	   *values;
	bool	   *nulls;
	bool		done;

	if (!look_at_row(table, tid))
		return false;
	values = palloc(desc->natts * sizeof(Datum));
	nulls = palloc(desc->natts * sizeof(bool));
	heap_deform_tuple(&table->row, desc, values, nulls);
	values[attnum - 1] = value;
	nulls[attnum - 1] = false;
	done = is_done(table, tid, replace_row(table, tid, desc->natts, values, nulls));
	pfree(values);
	pfree(nulls);
	return done;
}

/* The next value of the identity sequence of the first column. */
int64
sp_table_next_id(SpTable *table)
{
	SpTableInfo  *info = table->info;

	if (!OidIsValid(info->sequence))
		info->sequence = sp_compat_identity_sequence(table->rel, 1);
	if (!OidIsValid(info->sequence))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the first column of table \"%s\" is no identity column any more",
						RelationGetRelationName(table->rel)),
				 errhint("ALTER TABLE ... ALTER COLUMN ... ADD GENERATED BY DEFAULT AS IDENTITY.")));
	return nextval_internal(info->sequence, false);
}

/* Flush and give everything back but the lock.  The waiting rows' slots are mere memory. */
void
sp_table_close(SpTable *table)
{
	sp_table_flush(table);
	release_snapshot(table);
	if (BufferIsValid(table->buffer))
		ReleaseBuffer(table->buffer);
	if (table->bulk != NULL)
		FreeBulkInsertState(table->bulk);
	if (table->index != NULL)
		index_close(table->index, NoLock);
	if (table->found != NULL)
		ExecDropSingleTupleTableSlot(table->found);
	if (table->changed != NULL)
		ExecDropSingleTupleTableSlot(table->changed);
	if (table->estate != NULL)
	{
		ExecCloseIndices(table->rri);
		FreeExecutorState(table->estate);
	}
	table_close(table->rel, NoLock);

	/* Whoever comes next in this transaction sees the rows. */
	if (table->written)
		CommandCounterIncrement();
	MemoryContextDelete(table->context);
}
