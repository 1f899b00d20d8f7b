/*
 * unjudged.h
 *	  How many rows shields have let in that they couldn't judge, since the server's start.
 *
 * In shared memory, for the count must outlive the transactions that it is about; without
 * shared_preload_libraries a session counts its own.
 */
#ifndef SP_UNJUDGED_H
#define SP_UNJUDGED_H

#include "datatype/timestamp.h"

#define SP_MAX_UNJUDGED		256 /* shields of all databases; more of them count anew now and then */

/* A shield, from an enforce() to the next; guarded by sp_shared->lock. */
typedef struct SpUnjudged
{
	Oid			dboid;			/* InvalidOid: free */
	int32		detector;
	TimestampTz since;			/* when enforce() was called */
	uint64		count;
	TimestampTz last;
	TimestampTz told;			/* when the log last had one of them */
	uint64		told_count;
} SpUnjudged;

/*
 * Count a row of this database.  True: it is to be told of, the first at once, then at most one
 * in a minute; *untold: how many there were since the last that was, this one included.
 */
extern bool sp_unjudged_add(int32 detector, TimestampTz since, uint64 *untold);

/* How many there were, and when the last; 0: none. */
extern uint64 sp_unjudged_get(int32 detector, TimestampTz since, TimestampTz *last);

#endif
