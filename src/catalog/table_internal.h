/*
 * table_internal.h
 *	  A table at work: what table.c and table_insert.c share.
 */
#ifndef SP_TABLE_INTERNAL_H
#define SP_TABLE_INTERNAL_H

#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/hio.h"
#include "executor/executor.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "catalog/table.h"
#include "catalog/table_info.h"

struct SpTable
{
	Relation	rel;
	SpTableInfo  *info;
	MemoryContext context;		/* until close */

	/* looking at rows */
	Snapshot	snapshot;		/* registered; NULL: not needed yet */
	Buffer		buffer;			/* pinned */
	Size		room;			/* a page with so much is not pruned; 0: as the server thinks */
	BlockNumber nblocks;		/* at least so many: only grows while we hold the lock */
	HeapTupleData row;			/* in buffer */
	Relation	index;
	IndexScanDesc scan;			/* by key, under snapshot */
	ScanKeyData *scan_keys;
	TupleTableSlot *found;

	/* index entries */
	EState	   *estate;
	ResultRelInfo *rri;
	TupleTableSlot *changed;	/* an updated row */

	/* rows to be inserted */
	MemoryContext waiting;		/* the rows */
	int			nwaiting;
	Size		waiting_bytes;
	TupleDesc	desc;			/* the slots': a copy, since pinning the relation's costs more */
	int			nslots;			/* made */
	int			maxslots;		/* room in the arrays */
	TupleTableSlot **slots;
	ItemPointer *tids;
	BulkInsertState bulk;

	bool		written;
	SpTableObserver observer;	/* NULL: none */
	void	   *observer_arg;
};

extern void sp_table_check_required(SpTable *table, const bool *nulls, int natts);
extern void sp_table_insert_index_entries(SpTable *table, TupleTableSlot *slot, bool update,
										  SpUpdateIndexes which);

#endif
