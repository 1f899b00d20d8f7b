/*
 * detector_result.c
 *	  Result rows of detectors: what was found, and why.
 *
 * The explanation is of one shape for every method:
 *
 *	{"method": name,
 *	 "contributions": {part: amount, ...},				by feature, rule, or what the method looks at
 *	 "expected": {feature: {"value": x, "lower": x, "upper": x}, ...},
 *	 "nearest_normal": {feature: x, ...}}		the value, moved to the next bound; null: there is none
 *
 * The only feature of a method that takes a value is called "value".  What isn't known is null;
 * the last two are left out for rules, and where nothing is known.
 */
#include "engine/detector.h"

#include <math.h>

#include "access/xact.h"
#include "base/compat.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

/* Append "name": number, null where it isn't one. */
static void
append_number(StringInfo buf, const char *name, double x)
{
	escape_json(buf, name);
	appendStringInfoString(buf, ": ");
	if (isnan(x) || isinf(x))
		appendStringInfoString(buf, "null");
	else
		appendStringInfoString(buf, DatumGetCString(DirectFunctionCall1(float8out,
																		Float8GetDatum(x))));
}

/* Append ["name": ], with a comma before all but the first. */
static void
append_name(StringInfo buf, const char *name, bool first)
{
	if (!first)
		appendStringInfoString(buf, ", ");
	escape_json(buf, name);
	appendStringInfoString(buf, ": ");
}

static const char *
feature_name(const SpDetector *d, int feature)
{
	return d->def->has_value ? "value" : d->def->feature_names[feature];
}

/* "expected" and "nearest_normal", where something is known. */
static void
append_expected(const SpDetector *d, const SpVerdict *v, StringInfo buf)
{
	int			n = d->method->judge.setup.n;
	StringInfoData nearest;
	bool		any = false;

	initStringInfo(&nearest);
	appendStringInfoString(buf, ", \"expected\": {");
	for (int f = 0; f < n; f++)
	{
		double		expected = v->why->expected[f];
		double		lower = v->why->lower[f];
		double		upper = v->why->upper[f];

		if (isnan(expected) && isnan(lower) && isnan(upper))
			continue;
		append_name(buf, feature_name(d, f), !any);
		appendStringInfoChar(buf, '{');
		append_number(buf, "value", expected);
		appendStringInfoString(buf, ", ");
		append_number(buf, "lower", lower);
		appendStringInfoString(buf, ", ");
		append_number(buf, "upper", upper);
		appendStringInfoChar(buf, '}');
		if (any)
			appendStringInfoString(&nearest, ", ");
		append_number(&nearest, feature_name(d, f), isnan(lower) && isnan(upper) ? NAN :
					  v->x[f] < lower ? lower : v->x[f] > upper ? upper : v->x[f]);
		any = true;
	}
	appendStringInfo(buf, "}, \"nearest_normal\": {%s}", nearest.data);
}

/* Why it is an anomaly. */
static Datum
explain(SpDetector *d, const SpVerdict *v)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "{\"method\": \"%s\", \"contributions\": {", d->method->name);
	if (v->why == NULL)
	{
		foreach(lc, v->alerts)
		{
			append_name(&buf, lfirst(lc), lc == list_head(v->alerts));
			appendStringInfoChar(&buf, '1');
		}
		appendStringInfoString(&buf, "}}");
		return DirectFunctionCall1(jsonb_in, CStringGetDatum(buf.data));
	}
	for (int i = 0; i < v->why->nparts; i++)
	{
		const SpPart *part = &v->why->parts[i];

		if (i > 0)
			appendStringInfoString(&buf, ", ");
		append_number(&buf, part->name != NULL ? part->name : feature_name(d, part->feature),
					  part->amount);
	}
	appendStringInfoChar(&buf, '}');
	append_expected(d, v, &buf);
	appendStringInfoChar(&buf, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(buf.data));
}

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
	alert->is_anomaly = v->finding.is_anomaly && !v->in_cooldown;
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
		alert->values[at + 1] = explain(d, v);
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
