/*
 * tally.h
 *	  What becomes of a detector's alerts: how many there are, and how many of them are right.
 *
 *	true positives	labels of an anomaly in which an alert lies: start <= event time <= end, and
 *					the same keys
 *	false negatives	labels of an anomaly in which none does
 *	false positives	alerts in no label of an anomaly; where labels are what users have set, only
 *					those that lie in a label of none
 *	precision		true positives / (true positives + false positives): further alerts in an
 *					anomaly are neither
 *	recall			true positives / (true positives + false negatives)
 *	f1				2 * true positives / (2 * true positives + false positives + false negatives)
 *	latency			from the start of a label to the first alert in it, on average
 *
 * What would be a division by zero is null, and all of it where there are no labels.
 */
#ifndef SP_TALLY_H
#define SP_TALLY_H

#include "postgres.h"

#include "engine/rehearsal.h"
#include "face/labels.h"

#define SP_TALLY_COLUMNS	11

typedef struct SpTally
{
	const SpLabels *labels;		/* NULL: there are none */
	MemoryContext context;		/* for a short time */
	int64		events;			/* judged */
	int64		anomalies;		/* flagged */
	int64		alerts;
	int64		false_alerts;
	TimestampTz first;			/* event judged, and the last one: of those at a finite time */
	TimestampTz last;
	TimestampTz *found;			/* of each label: its first alert; DT_NOEND: none */
} SpTally;

/* In the current memory context. */
extern void sp_tally_init(SpTally *tally, const SpLabels *labels);

extern void sp_tally_add(SpTally *tally, SpRehearsal *rehearsal, const SpSaid *said);

/* The columns of backtest(), from events to latency. */
extern void sp_tally_finish(const SpTally *tally, Datum *values, bool *nulls);

#endif
