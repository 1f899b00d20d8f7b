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

/* Keep the result row of row i until it is written; id and detected_at come then. */
void
sp_detector_add_result(SpDetector *d, SpRowSet *rows, SpEvaluated *ev, int i, const SpVerdict *v)
{
	MemoryContext old;
	SpAlert    *alert;
	int			at = 1;

	if (d->output.replaying)
		return;
	old = MemoryContextSwitchTo(d->output.context);
	alert = palloc0(sizeof(SpAlert));
	alert->is_anomaly = v->finding.is_anomaly && !v->in_cooldown && !v->muted;
	alert->notify = alert->is_anomaly && d->def->notify != NULL && !rows->backfill;
	alert->time = rows->time[i];
	alert->lsn = rows->lsn;
	alert->ordinal = rows->first_ordinal + i;
	alert->values = palloc0(sizeof(Datum) * d->natts);
	alert->nulls = palloc(sizeof(bool) * d->natts);
	memset(alert->nulls, true, d->natts);

	alert->nulls[at] = rows->no_time[i];
	alert->values[at] = d->types[at] == DATEOID ?
		DirectFunctionCall1(timestamp_date, TimestampGetDatum(rows->time[i])) :
		Int64GetDatum(rows->time[i]);
	at = copy_columns(d, alert, at + 1, ev, d->first_key, d->def->nkeys, i);
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
		alert->values[at + 1] = sp_explanation_make(d, rows, v);
		alert->nulls[at + 1] = false;
	}
	at = copy_columns(d, alert, at + 2, ev, d->first_carry, d->def->ncarry, i);
	at++;						/* detected_at */
	alert->values[at] = LSNGetDatum(alert->lsn);
	alert->nulls[at++] = false;
	alert->values[at] = Int64GetDatum(alert->ordinal);
	alert->nulls[at++] = false;
	dlist_push_tail(&d->output.alerts, &alert->node);
	d->output.nalerts++;
	if (d->output.first_change == 0)
		d->output.first_change = GetCurrentTransactionStartTimestamp();
	MemoryContextSwitchTo(old);
}
