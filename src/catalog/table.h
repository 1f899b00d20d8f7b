/*
 * table.h
 *	  Rows in and out of plain heap tables: heap calls and index entries, without
 *	  SPI and without plans.
 *
 * For tables whose rows need nothing but storing: the extension's own, and result
 * tables without triggers, checks and the like (engine/writer.c tells them apart).
 * Call within a transaction; nothing here starts or ends one.  After an error the
 * open table is lost with its (sub)transaction.
 *
 * A table opened with keys has a unique index on exactly these columns.  TIDs that
 * callers remember are hints: the row found there is compared by key before it is
 * touched, and looked up by that index otherwise.
 *
 * Rows are updated at once; inserted ones wait until 1000 rows or 64 kB are there, or
 * sp_table_flush().  A key may be inserted, updated and deleted in any order through
 * the same ItemPointer; through different ones it may be inserted only once between
 * open and close.
 */
#ifndef SP_TABLE_H
#define SP_TABLE_H

#include "access/attnum.h"
#include "access/htup.h"
#include "storage/itemptr.h"
#include "utils/relcache.h"

typedef struct SpTable SpTable;

/*
 * Take a relation that the caller has opened and locked (RowExclusiveLock or more);
 * sp_table_close() closes it, keeping the lock.  Raises an error
 * (ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE) when there is no unique index on the keys.
 */
extern SpTable *sp_table_open(Relation rel, int nkeys, const AttrNumber *keys);

/* The same for streamproc.NAME, which must exist. */
extern SpTable *sp_table_open_own(const char *name, int nkeys, const AttrNumber *keys);

extern Relation sp_table_relation(const SpTable *table);
extern Oid	sp_table_index(const SpTable *table);	/* the unique index on its keys */

/*
 * values and nulls have all the table's columns.  tid may be NULL; otherwise it must
 * stay where it is until the next flush, which sets it.
 */
extern void sp_table_insert(SpTable *table, const Datum *values, const bool *nulls,
							ItemPointer tid);

/*
 * Replace the first natts columns of the row with these keys, keeping the others; *tid
 * receives the new position.  Returns false, changing nothing, when there is no such row.
 */
extern bool sp_table_update(SpTable *table, ItemPointer tid, int natts,
							const Datum *values, const bool *nulls);

/* Delete the row with these keys; false when there is none.  *tid becomes invalid. */
extern bool sp_table_delete(SpTable *table, ItemPointer tid,
							const Datum *values, const bool *nulls);

/*
 * Pages with so much room needn't be pruned when a row is replaced: one record in the WAL the
 * less.
 */
extern void sp_table_set_room(SpTable *table, Size room);

/*
 * The same for the row at a position where the caller has seen it, and what sets one of its
 * columns; false when somebody has changed it since.
 */
extern bool sp_table_delete_at(SpTable *table, ItemPointer tid);
extern bool sp_table_set_at(SpTable *table, ItemPointer tid, AttrNumber attnum, Datum value);

/*
 * Tell somebody of each row that is inserted (before: NULL), updated, or deleted (after: NULL)
 * from here on.  The tuples are the table's, valid during the call.
 */
typedef void (*SpTableObserver) (void *arg, HeapTuple before, HeapTuple after);

extern void sp_table_observe(SpTable *table, SpTableObserver observer, void *arg);

/* For those who write to the relation by other means: is there anybody, and pass it on. */
extern bool sp_table_is_observed(const SpTable *table);
extern void sp_table_tell(SpTable *table, HeapTuple before, HeapTuple after);

/* Is a row visible there now? */
extern bool sp_table_look(SpTable *table, ItemPointer tid);

/*
 * Where is the row with these keys now?  *tid: a hint, and the answer.  A table without
 * keys has one row.
 */
extern bool sp_table_find(SpTable *table, ItemPointer tid,
						  const Datum *values, const bool *nulls);

/* Make what this transaction has written so far visible to sp_table_find(). */
extern void sp_table_refresh(SpTable *table);

/* The next value of the identity sequence of the first column. */
extern int64 sp_table_next_id(SpTable *table);

/* Is this the TID of a row that waits to be inserted? */
extern bool sp_table_is_pending(const ItemPointerData *tid);

extern void sp_table_flush(SpTable *table);
extern void sp_table_close(SpTable *table);

#endif
