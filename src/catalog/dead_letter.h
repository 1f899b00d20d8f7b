/*
 * dead_letter.h
 *	  Rows that an object could not take: streamproc.rejected_row.
 */
#ifndef SP_DEAD_LETTER_H
#define SP_DEAD_LETTER_H

#include "access/tupdesc.h"
#include "access/xlogdefs.h"
#include "catalog/definition.h"
#include "datatype/timestamp.h"

/* No event time: no timestamp has this value, infinite ones included. */
#define SP_NO_TIME	(PG_INT64_MIN + 1)

/*
 * Add one, in the current transaction, which has an active snapshot.  sqlstate and message
 * may be NULL.  event_time, and missed_until (the end of the last window that the row is not
 * in): as timestamptz, or SP_NO_TIME (which is: in none).  lsn: invalid in a backfill; then
 * the ordinal isn't stored either.
 *
 * The row becomes what to_jsonb() makes of it, in the columns of desc; desc NULL: there is
 * no row.  Output functions run with the rights of the owner of source; where one fails, the
 * column gets the error's text.
 */
extern void sp_dead_letter_add(const SpObjectDef *object, Oid source, const char *reason,
							   const char *sqlstate, const char *message,
							   int64 event_time, int64 missed_until, XLogRecPtr lsn, int64 ordinal,
							   TupleDesc desc, const Datum *values, const bool *nulls);

/* Rows that an object has rejected for its stream, by the dedup_key, become the stream's. */
extern void sp_dead_letter_move(int32 object, const SpObjectDef *stream);

#endif
