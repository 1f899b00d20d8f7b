/*
 * tally.c
 *	  Counts alerts, and finds the labels in which they lie.
 */
#include "face/tally.h"

#include <math.h>

#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define NOT_FOUND	DT_NOEND

void
sp_tally_init(SpTally *tally, const SpLabels *labels)
{
	memset(tally, 0, sizeof(SpTally));
	tally->labels = labels;
	tally->context = AllocSetContextCreate(CurrentMemoryContext, "streamproc tally",
										   ALLOCSET_SMALL_SIZES);
	tally->first = DT_NOEND;
	tally->last = DT_NOBEGIN;
	if (labels == NULL)
		return;
	tally->found = MemoryContextAllocHuge(CurrentMemoryContext,
										  sizeof(TimestampTz) * (Size) Max(1, labels->n));
	for (int i = 0; i < labels->n; i++)
		tally->found[i] = NOT_FOUND;
}

/* An alert: in which labels does it lie? */
static void
look_up(SpTally *tally, SpRehearsal *rehearsal, const SpSaid *said)
{
	const SpLabels *labels = tally->labels;
	MemoryContext old = MemoryContextSwitchTo(tally->context);
	Jsonb	   *keys = labels->keyed ? sp_rehearsal_keys(rehearsal, said) : NULL;
	bool		is_true = false;
	bool		is_false = labels->complete;

	for (int i = sp_labels_until(labels, said->time) - 1;
		 i >= 0 && labels->array[i].latest >= said->time; i--)
	{
		const SpLabel *label = &labels->array[i];

		if (label->end < said->time || !sp_label_is_of(label, keys))
			continue;
		if (label->is_false)
		{
			is_false = true;
			continue;
		}
		is_true = true;
		tally->found[i] = Min(tally->found[i], said->time);
	}
	if (is_false && !is_true)
		tally->false_alerts++;
	MemoryContextSwitchTo(old);
	MemoryContextReset(tally->context);
}

void
sp_tally_add(SpTally *tally, SpRehearsal *rehearsal, const SpSaid *said)
{
	tally->events++;
	tally->anomalies += said->is_anomaly;
	if (!TIMESTAMP_NOT_FINITE(said->time))
	{
		tally->first = Min(tally->first, said->time);
		tally->last = Max(tally->last, said->time);
	}
	if (!said->is_alert)
		return;
	tally->alerts++;
	if (tally->labels != NULL)
		look_up(tally, rehearsal, said);
}

/* A quotient, or null. */
static void
set_quotient(Datum *values, bool *nulls, int at, double dividend, double divisor)
{
	nulls[at] = !(divisor > 0);
	values[at] = nulls[at] ? (Datum) 0 : Float8GetDatum(dividend / divisor);
}

/* Columns that need labels, from true_positives on. */
static void
finish_labels(const SpTally *tally, Datum *values, bool *nulls)
{
	int64		found = 0;
	int64		missed = 0;
	double		latency = 0;
	Interval   *interval = palloc0(sizeof(Interval));

	for (int i = 0; i < tally->labels->n; i++)
	{
		const SpLabel *label = &tally->labels->array[i];

		if (label->is_false)
			continue;
		if (tally->found[i] == NOT_FOUND)
			missed++;
		else
		{
			found++;
			latency += TIMESTAMP_NOT_FINITE(label->start) ? NAN :
				(double) (tally->found[i] - label->start);
		}
	}
	values[0] = Int64GetDatum(found);
	values[1] = Int64GetDatum(tally->false_alerts);
	values[2] = Int64GetDatum(missed);
	memset(nulls, false, 3);
	set_quotient(values, nulls, 3, found, found + tally->false_alerts);
	set_quotient(values, nulls, 4, found, found + missed);
	set_quotient(values, nulls, 5, 2.0 * found, 2.0 * found + tally->false_alerts + missed);
	nulls[6] = found == 0 || isnan(latency);
	if (!nulls[6])
		interval->time = (TimeOffset) rint(latency / found);
	values[6] = IntervalPGetDatum(interval);
}

void
sp_tally_finish(const SpTally *tally, Datum *values, bool *nulls)
{
	values[0] = Int64GetDatum(tally->events);
	values[1] = Int64GetDatum(tally->anomalies);
	values[2] = Int64GetDatum(tally->alerts);
	memset(nulls, false, 3);
	set_quotient(values, nulls, 3, tally->alerts,
				 tally->last > tally->first ?
				 (tally->last - tally->first) / (double) USECS_PER_DAY : 0);
	memset(nulls + 4, true, SP_TALLY_COLUMNS - 4);
	if (tally->labels != NULL)
		finish_labels(tally, values + 4, nulls + 4);
}
