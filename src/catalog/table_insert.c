/*
 * table_insert.c
 *	  Rows into plain heap tables: they wait until there are many, and go in together.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

#include "catalog/table_internal.h"

#define MAX_WAITING_ROWS	1000	/* as COPY does */
#define MAX_WAITING_BYTES	65536

/* A TID that is not known before the flush: no block has this number. */
#define PENDING_BLOCK	(InvalidBlockNumber - 1)
#define set_pending(tid)	ItemPointerSet((tid), PENDING_BLOCK, InvalidOffsetNumber)

/* A page to fill stays pinned over many batches, without the ring of buffers of COPY. */
static BulkInsertState
start_bulk_insert(SpTable *table)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(table->context);
	BulkInsertState bulk = GetBulkInsertState();

	/*
	 * The rows will be updated soon.  In COPY's small ring they would be written out
	 * before, each time after a flush of the WAL.
	 */
	FreeAccessStrategy(bulk->strategy);
	bulk->strategy = NULL;
	MemoryContextSwitchTo(oldcontext);
	return bulk;
}

/* The slot of the next row to wait. */
static TupleTableSlot *
next_slot(SpTable *table)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(table->context);

	if (table->waiting == NULL)
	{
		table->waiting = AllocSetContextCreate(table->context, "streamproc waiting rows",
											   ALLOCSET_DEFAULT_SIZES);
		table->desc = CreateTupleDescCopy(RelationGetDescr(table->rel));
		table->maxslots = 8;
		table->slots = palloc(table->maxslots * sizeof(TupleTableSlot *));
		table->tids = palloc(table->maxslots * sizeof(ItemPointer));
	}
	if (table->nwaiting == table->maxslots)
	{
		table->maxslots = Min(table->maxslots * 4, MAX_WAITING_ROWS);
		table->slots = repalloc(table->slots, table->maxslots * sizeof(TupleTableSlot *));
		table->tids = repalloc(table->tids, table->maxslots * sizeof(ItemPointer));
	}
	if (table->nwaiting == table->nslots)
		table->slots[table->nslots++] =
			MakeSingleTupleTableSlot(table->desc, &TTSOpsHeapTuple);
	MemoryContextSwitchTo(oldcontext);
	return table->slots[table->nwaiting];
}

/* Insert a row with the next batch. */
void
sp_table_insert(SpTable *table, const Datum *values, const bool *nulls, ItemPointer tid)
{
	TupleDesc	desc = RelationGetDescr(table->rel);
	MemoryContext oldcontext;
	HeapTuple	tuple;
	TupleTableSlot *slot;

	sp_table_check_required(table, nulls, desc->natts);
	slot = next_slot(table);
	oldcontext = MemoryContextSwitchTo(table->waiting);
	tuple = heap_form_tuple(desc, unconstify(Datum *, values), unconstify(bool *, nulls));
	MemoryContextSwitchTo(oldcontext);

	/* The slot owns the tuple, otherwise heap_multi_insert() would copy it. */
	ExecStoreHeapTuple(tuple, slot, true);
	slot->tts_tableOid = RelationGetRelid(table->rel);
	if (tid != NULL)
		set_pending(tid);
	table->tids[table->nwaiting++] = tid;
	table->waiting_bytes += tuple->t_len;
	sp_table_tell(table, NULL, tuple);
	if (table->nwaiting == MAX_WAITING_ROWS || table->waiting_bytes >= MAX_WAITING_BYTES)
	{
		if (table->bulk == NULL)
			table->bulk = start_bulk_insert(table);
		sp_table_flush(table);
	}
}

/* Is this the TID of a row that waits to be inserted? */
bool
sp_table_is_pending(const ItemPointerData *tid)
{
	return ItemPointerGetBlockNumberNoCheck(tid) == PENDING_BLOCK &&
		ItemPointerGetOffsetNumberNoCheck(tid) == InvalidOffsetNumber;
}

/* Insert the rows that wait. */
void
sp_table_flush(SpTable *table)
{
	int			n = table->nwaiting;
	MemoryContext oldcontext;

	if (n == 0)
		return;

	oldcontext = MemoryContextSwitchTo(table->waiting);
	if (n == 1)
		table_tuple_insert(table->rel, table->slots[0], GetCurrentCommandId(true), 0,
						   table->bulk);
	else
		table_multi_insert(table->rel, table->slots, n, GetCurrentCommandId(true), 0,
						   table->bulk);
	for (int i = 0; i < n; i++)
	{
		sp_table_insert_index_entries(table, table->slots[i], false, SP_ALL_INDEXES);
		if (table->tids[i] != NULL)
			*table->tids[i] = table->slots[i]->tts_tid;
		ExecClearTuple(table->slots[i]);
	}
	MemoryContextSwitchTo(oldcontext);
	MemoryContextReset(table->waiting);
	table->nwaiting = 0;
	table->waiting_bytes = 0;
	table->written = true;
}
