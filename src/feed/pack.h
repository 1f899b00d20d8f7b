/*
 * pack.h
 *	  Rows of stream tables on their way into the WAL.
 */
#ifndef SP_PACK_H
#define SP_PACK_H

#include "executor/tuptable.h"
#include "utils/relcache.h"

#define SP_ROW_LIMIT	(MaxAllocSize / 2)	/* bytes of one row: its message stays below 1 GB */

/*
 * Take rows of a stream table, for the current subtransaction.  They are in the WAL
 * when their transaction commits.
 */
extern void sp_pack_rows(Relation rel, TupleTableSlot **slots, int nslots);

/* Does this transaction hold rows of the relation that it hasn't written yet? */
extern bool sp_pack_has_rows(Oid relid);

#endif
