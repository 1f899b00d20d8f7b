/*
 * lookup.h
 *	  One row of a table by its key: as a snapshot sees it, or locked.
 */
#ifndef SP_LOOKUP_H
#define SP_LOOKUP_H

#include "executor/tuptable.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

/*
 * Put the row whose first nkeys columns are these into slot, which is the relation's, and
 * return true; false: there is none.  nkeys 0: the table has one row at most.  The relation is
 * open and locked.  Raises an error (ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE) where there is
 * no unique index on exactly these columns; calls the functions by which it orders keys.
 */
extern bool sp_lookup_row(Relation rel, int nkeys, const Datum *keys, const bool *nulls,
						  Snapshot snapshot, TupleTableSlot *slot);

/*
 * The same of a heap, with keys, whose pages aren't pruned on the way: who updates its rows does
 * that when there is no room.
 */
extern bool sp_lookup_heap_row(Relation rel, int nkeys, const Datum *keys, const bool *nulls,
							   Snapshot snapshot, TupleTableSlot *slot);

/*
 * The same row, locked for updates until the (sub)transaction ends, as a SELECT ... FOR NO KEY
 * UPDATE would: who has it is waited for; then it is the newest version that is in slot, or,
 * where the transaction has one snapshot, a serialization failure.  slot is of the kind that
 * table_slot_create() makes; its tts_tid tells where the row is.  Rows' keys never change.
 */
extern bool sp_lookup_and_lock(Relation rel, int nkeys, const Datum *keys, const bool *nulls,
							   TupleTableSlot *slot);

#endif
