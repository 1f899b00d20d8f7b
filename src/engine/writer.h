/*
 * writer.h
 *	  Writes rows of result tables within the current transaction.
 *
 * Plain tables (no row triggers that fire for us, no CHECK or generated columns, no
 * expression or partial indexes, no deferrable constraints, not a partition, defaults of
 * the user's own columns constant) take the fast path: heap calls, in place by the
 * remembered TID, pruning explicitly, index entries only where needed.  Others take the
 * executor's path, row by row, under the owner's rights, in a security-restricted
 * operation.  As in logical replication's apply, statement triggers and rules don't fire,
 * and row security doesn't apply.
 *
 * Remembered TIDs are only hints: the row found there is compared by key before it is
 * updated, and looked up by the unique index otherwise, and inserted when there is none.
 *
 * Columns that the user has added behind ours get their default when a row is inserted and
 * are left alone when it is updated.
 */
#ifndef SP_WRITER_H
#define SP_WRITER_H

#include "access/xlogdefs.h"
#include "nodes/execnodes.h"
#include "storage/itemptr.h"

typedef struct SpWriter SpWriter;

/*
 * Open a result table for writing, RowExclusiveLock held until the end of the
 * transaction.  nkeys: the key is columns key_attnums[0..nkeys-1] (window_start and the
 * keys).  0: rows are only inserted.  Everything in the current memory context.
 * Raises an error when the lock isn't available within streamproc.lock_timeout, or when
 * the table no longer has the columns it was created with (natts, types given), or no
 * unique index on the key.  lock_timeout stays set until the end of the transaction, as
 * by SET LOCAL: rows may be locked too.
 *
 * After an error the writer is lost; roll back the (sub)transaction that opened it.
 */
extern SpWriter *sp_writer_open(Oid relid, int natts, const Oid *types,
								int nkeys, const AttrNumber *key_attnums);

/* The same to change rows found by their positions, whatever columns the table has now. */
extern SpWriter *sp_writer_open_any(Oid relid);

/*
 * Let what is written from here on go to the change feed of that relation, too (invalid:
 * there is none): see changes.h.
 */
extern void sp_writer_log(SpWriter *writer, Oid changes, XLogRecPtr lsn);

/*
 * On: rows without a remembered TID may exist all the same, so they are looked up by
 * key.  Off (the default): they are inserted, and one that exists is a unique_violation,
 * upon which the caller rolls back and tries again with lookup.
 */
extern void sp_writer_set_lookup(SpWriter *writer, bool lookup);

/*
 * The slot to be filled for the next call: tts_values and tts_isnull of the first natts
 * columns.  Whether it is marked as filled (ExecStoreVirtualTuple) doesn't matter.
 */
extern TupleTableSlot *sp_writer_slot(SpWriter *writer);

/*
 * Insert or update the row in the slot by its key; *tid is the remembered position
 * (invalid: none, row is believed new) and receives the new one, at the latest when
 * sp_writer_close() returns: it must stay where it is until then.  Until it is known,
 * ItemPointerIsValid() is false.
 */
extern void sp_writer_upsert(SpWriter *writer, ItemPointer tid);

/* Insert the row in the slot; buffered where possible. */
extern void sp_writer_insert(SpWriter *writer);

/* Delete the row with the key in the slot, if there; *tid becomes invalid. */
extern void sp_writer_delete(SpWriter *writer, ItemPointer tid);

/* Have all that was written so far in the table, and the positions set that were to be. */
extern void sp_writer_flush(SpWriter *writer);

/* Let rows be looked up that this writer has inserted, of which no TID was remembered. */
extern void sp_writer_refresh(SpWriter *writer);

/*
 * What becomes of a row that was seen at a position, when it is to be deleted, or one of its
 * columns set.
 */
typedef enum SpAtResult
{
	SP_AT_DONE,
	SP_AT_KEPT,					/* a trigger would not have it */
	SP_AT_CHANGED				/* somebody has changed it since: look for it again */
} SpAtResult;

extern SpAtResult sp_writer_delete_at(SpWriter *writer, ItemPointer tid);
extern SpAtResult sp_writer_set_at(SpWriter *writer, ItemPointer tid, AttrNumber attnum,
								   Datum value);

/* The next value of the identity column that the table begins with. */
extern int64 sp_writer_next_id(SpWriter *writer);

extern Oid	sp_writer_owner(const SpWriter *writer);	/* of the table */
extern uint64 sp_writer_count(const SpWriter *writer);	/* rows written */

/* Flush and close.  The lock stays. */
extern void sp_writer_close(SpWriter *writer);

#endif
