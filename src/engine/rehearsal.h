/*
 * rehearsal.h
 *	  A detector tried over the history of its source, in the session that asks: what it would
 *	  have said, as it is defined or otherwise.
 *
 * It is the worker's own detector, without results being written: rows come in the order in
 * which a backfill takes them.  Its state is bounded as the worker's is, and may be spilled.
 */
#ifndef SP_REHEARSAL_H
#define SP_REHEARSAL_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "catalog/definition.h"
#include "utils/jsonb.h"

typedef struct SpRehearsal SpRehearsal;

/* What one of the definitions says of a row. */
typedef struct SpSaid
{
	int			variant;		/* the number of the definition, from 0 */
	TimestampTz time;			/* of the event */
	bool		is_anomaly;
	bool		is_alert;		/* and not of an episode that was alerted already */
	const Datum *values;		/* of the result table's columns: see definition.h */
	const bool *nulls;
} SpSaid;

typedef void (*SpRehearsalTake) (void *arg, const SpSaid *said);

/*
 * variants: of SpDetectorDef *, definitions of one detector that differ in their method's
 * use only.  explain_from: of rows from then on the column "explanation" tells in any case why
 * the row is an anomaly, or why not, see explanation.h; DT_NOEND: of none.  In the current memory
 * context.
 */
extern SpRehearsal *sp_rehearsal_open(const SpDefinitions *definitions, List *variants,
									  TimestampTz explain_from);

/*
 * Rows of events before that time, in order of event time; of those of one time in the order
 * in which they are in the table.
 */
extern void sp_rehearsal_run(SpRehearsal *rehearsal, TimestampTz before, SpRehearsalTake take,
							 void *arg);
extern void sp_rehearsal_close(SpRehearsal *rehearsal);

/* A time of its source as an instant. */
extern TimestampTz sp_rehearsal_time(const SpRehearsal *rehearsal, int64 time);

/*
 * The row's keys as an object of jsonb, or NULL: there are none.  Runs with the rights of the
 * detector's owner.  In the current memory context.
 */
extern Jsonb *sp_rehearsal_keys(SpRehearsal *rehearsal, const SpSaid *said);

#endif
