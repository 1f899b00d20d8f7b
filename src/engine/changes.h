/*
 * changes.h
 *	  The change feed of a window: a row of <name>_changes for each row that is inserted into
 *	  the result table, updated or deleted there.
 *
 * Within the transaction that writes the results; what it adds is durable before anybody
 * sees it, so that no reader has seen a change that a crash takes back.
 */
#ifndef SP_CHANGES_H
#define SP_CHANGES_H

#include "access/htup.h"
#include "access/xlogdefs.h"
#include "utils/relcache.h"

typedef struct SpChanges SpChanges;

/*
 * Open the feed relid of an open result table; NULL when it is gone: then nobody wants it any
 * more.  Results stand at lsn.  In the current memory context.
 */
extern SpChanges *sp_changes_open(Oid relid, Relation result, XLogRecPtr lsn);

/* An SpTableObserver. */
extern void sp_changes_note(void *changes, HeapTuple before, HeapTuple after);

/* Write what has gathered, if it is much; between two rows. */
extern void sp_changes_relieve(SpChanges *changes);
extern void sp_changes_close(SpChanges *changes);

#endif
