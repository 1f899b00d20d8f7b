/*
 * detector_result.c
 *	  Result rows of detectors: what was found, and why.
 */
#include "engine/explanation.h"

#include <math.h>

#include "access/xact.h"
#include "base/compat.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

/* text[] of strings */
static Datum
text_array(List *strings)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(1, list_length(strings)));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, strings)
		elements[n++] = CStringGetTextDatum(lfirst(lc));
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* A float8 column, null for NaN. */
static void
set_float(SpAlert *alert, int at, double x)
{
	alert->nulls[at] = isnan(x);
	alert->values[at] = Float8GetDatum(x);
}

/* Copy evaluated columns, which live no longer than the rowset. */
static int
copy_columns(SpDetector *d, SpAlert *alert, int at, const SpEvaluated *ev, int first, int n, int i)
{
	int			c;

	for (c = first; c < first + n; c++, at++)
	{
		SpExpression *e = d->evaluated[c];

		alert->nulls[at] = ev->result[c][i].isnull;
		alert->values[at] = alert->nulls[at] ? (Datum) 0 :
			datumCopy(ev->result[c][i].value, e->typbyval, e->typlen);
	}
	return at;
}

/* float8[] of the features, null where the method has a value. */
static void
set_features(const SpDetector *d, SpAlert *alert, int at, const SpVerdict *v)
{
	Datum		elements[SP_MAX_FEATURES];
	int			n = d->method->judge.setup.n;

	if (d->method->judge.kernel == NULL || d->def->has_value || n == 0)
		return;
	for (int f = 0; f < n; f++)
		elements[f] = Float8GetDatum(v->x[f]);
	alert->values[at] = PointerGetDatum(construct_array(elements, n, FLOAT8OID, sizeof(float8),
														FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	alert->nulls[at] = false;
}

/* Copy the keys of a group, which may be gone by the time when they are written. */
static int
copy_keys(SpDetector *d, SpAlert *alert, int at, SpGroup *group)
{
	for (int k = 0; k < d->def->nkeys; k++, at++)
	{
		const SpKeyColumn *key = &d->groups.keys[k];

		alert->nulls[at] = sp_group_nulls(&d->groups, group)[k];
		alert->values[at] = alert->nulls[at] ? (Datum) 0 :
			datumCopy(sp_group_keys(&d->groups, group)[k], key->typbyval, key->typlen);
	}
	return at;
}

/* A result row with nothing but where it comes from. */
static SpAlert *
begin_result(SpDetector *d, const SpMoment *moment, const SpVerdict *v)
{
	SpAlert    *alert = palloc0(sizeof(SpAlert));

	alert->is_anomaly = v->finding.is_anomaly && !v->in_cooldown && !v->muted;
	alert->notify = alert->is_anomaly && d->def->notify != NULL && !moment->backfill;
	alert->time = moment->time;
	alert->lsn = moment->lsn;
	alert->ordinal = moment->ordinal;
	alert->values = palloc0(sizeof(Datum) * d->natts);
	alert->nulls = palloc(sizeof(bool) * d->natts);
	memset(alert->nulls, true, d->natts);
	alert->nulls[1] = false;
	alert->values[1] = d->types[1] == DATEOID ?
		DirectFunctionCall1(timestamp_date, TimestampGetDatum(moment->time)) :
		Int64GetDatum(moment->time);
	return alert;
}

/* What the verdict says, from a column on; the next one. */
static int
set_verdict(SpDetector *d, SpAlert *alert, int at, const SpMoment *moment, const SpVerdict *v)
{
	set_float(alert, at++, v->value);
	set_features(d, alert, at++, v);
	set_float(alert, at++, v->finding.score.score);
	set_float(alert, at++, v->finding.p_value);
	set_float(alert, at++, v->finding.threshold);
	alert->values[at] = BoolGetDatum(v->finding.is_anomaly);
	alert->nulls[at++] = false;
	set_float(alert, at++, v->finding.score.expected);
	set_float(alert, at++, v->finding.score.lower_bound);
	set_float(alert, at++, v->finding.score.upper_bound);
	if (v->finding.is_anomaly)
	{
		alert->values[at] = text_array(v->alerts);
		alert->nulls[at] = false;
	}
	if (v->finding.is_anomaly || d->method->judge.setup.explain_all)
	{
		alert->values[at + 1] = sp_explanation_make(d, moment->time_type, v);
		alert->nulls[at + 1] = false;
	}
	return at + 2;
}

/* The columns behind what is carried along; id and detected_at come when the row is written. */
static void
end_result(SpDetector *d, SpAlert *alert)
{
	int			at = d->natts - 2;

	alert->values[at] = LSNGetDatum(alert->lsn);
	alert->nulls[at++] = false;
	alert->values[at] = Int64GetDatum(alert->ordinal);
	alert->nulls[at] = false;
	dlist_push_tail(&d->output.alerts, &alert->node);
	d->output.nalerts++;
	if (d->output.first_change == 0)
		d->output.first_change = GetCurrentTransactionStartTimestamp();
}

/* Keep the result row of row i until it is written. */
void
sp_detector_add_result(SpDetector *d, SpRowSet *rows, SpEvaluated *ev, int i, const SpVerdict *v)
{
	SpMoment	moment = {rows->time[i], rows->time_type, rows->lsn, rows->first_ordinal + i, rows->backfill};
	MemoryContext old;
	SpAlert    *alert;
	int			at;

	if (d->output.replaying)
		return;
	old = MemoryContextSwitchTo(d->output.context);
	alert = begin_result(d, &moment, v);
	at = copy_columns(d, alert, 2, ev, d->first_key, d->def->nkeys, i);
	at = set_verdict(d, alert, at, &moment, v);
	(void) copy_columns(d, alert, at, ev, d->first_carry, d->def->ncarry, i);
	end_result(d, alert);
	MemoryContextSwitchTo(old);
}

/* Copy what a row carried along that isn't at hand any more. */
static void
copy_carried(SpDetector *d, SpAlert *alert, int at, const NullableDatum *carry)
{
	for (int c = 0; c < d->def->ncarry; c++, at++)
	{
		SpExpression *e = d->evaluated[d->first_carry + c];

		alert->nulls[at] = carry[c].isnull;
		alert->values[at] = alert->nulls[at] ? (Datum) 0 :
			datumCopy(carry[c].value, e->typbyval, e->typlen);
	}
}

/* Where there is no row, for a key is overdue, nothing is carried along. */
void
sp_detector_add_key_result(SpDetector *d, SpGroup *group, const SpMoment *moment,
						   const SpVerdict *v, const NullableDatum *carry)
{
	MemoryContext old;
	SpAlert    *alert;
	int			at;

	if (d->output.replaying)
		return;
	old = MemoryContextSwitchTo(d->output.context);
	alert = begin_result(d, moment, v);
	at = set_verdict(d, alert, copy_keys(d, alert, 2, group), moment, v);
	if (carry != NULL)
		copy_carried(d, alert, at, carry);
	end_result(d, alert);
	MemoryContextSwitchTo(old);
}
