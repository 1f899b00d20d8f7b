/*
 * position.h
 *	  How far the worker of this database has got: the one row of
 *	  streamproc.position.
 *
 * Invariants: the slot's confirmed position <= state_lsn on disk, always; an
 * object's output_lsn moves only in the transaction that writes its results.
 */
#ifndef SP_POSITION_H
#define SP_POSITION_H

#include "access/xlogdefs.h"

typedef struct SpPosition
{
	char	   *slot_name;
	uint64		system_identifier;
	TimeLineID	timeline;
	Oid			database;
	XLogRecPtr	state_lsn;
	int64		generation;		/* of the state pages: see page.h */
	int			nobjects;
	int32	   *object;
	XLogRecPtr *output_lsn;
} SpPosition;

/* NULL: there is none.  In the current memory context. */
extern SpPosition *sp_position_load(void);

/* Write it: inserted when new, else updated in place.  Needs a transaction. */
extern void sp_position_store(const SpPosition *position);
extern void sp_position_delete(void);

#endif
