/*
 * explanation.c
 *	  Why a row of a detector is an anomaly, or why not, as jsonb.
 */
#include "engine/explanation.h"

#include <math.h>

#include "base/compat.h"
#include "base/json.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

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
		double		normal = v->why->nearest[f];

		if (isnan(expected) && isnan(lower) && isnan(upper) && isnan(normal))
			continue;
		if (isnan(normal) && !(isnan(lower) && isnan(upper)))
			normal = v->x[f] < lower ? lower : v->x[f] > upper ? upper : v->x[f];
		append_name(buf, feature_name(d, f), !any);
		appendStringInfoChar(buf, '{');
		sp_json_append_number(buf, "value", expected);
		appendStringInfoString(buf, ", ");
		sp_json_append_number(buf, "lower", lower);
		appendStringInfoString(buf, ", ");
		sp_json_append_number(buf, "upper", upper);
		appendStringInfoChar(buf, '}');
		if (any)
			appendStringInfoString(&nearest, ", ");
		sp_json_append_number(&nearest, feature_name(d, f), normal);
		any = true;
	}
	appendStringInfo(buf, "}, \"nearest_normal\": {%s}", nearest.data);
}

/* What has contributed how much. */
static void
append_contributions(const SpDetector *d, const SpVerdict *v, StringInfo buf)
{
	ListCell   *lc;

	appendStringInfoString(buf, "\"contributions\": {");
	if (v->why == NULL)
	{
		foreach(lc, v->alerts)
		{
			append_name(buf, lfirst(lc), lc == list_head(v->alerts));
			appendStringInfoChar(buf, '1');
		}
	}
	for (int i = 0; v->why != NULL && i < v->why->nparts; i++)
	{
		const SpPart *part = &v->why->parts[i];

		if (i > 0)
			appendStringInfoString(buf, ", ");
		sp_json_append_number(buf, part->name != NULL ? part->name : feature_name(d, part->feature),
					  part->amount);
	}
	appendStringInfoChar(buf, '}');
}

/* ---- in words ---- */

/* A time of the source, as text. */
static char *
format_time(Oid time_type, int64 time)
{
	if (time_type == TIMESTAMPTZOID)
		return pstrdup(timestamptz_to_str(time));
	return DatumGetCString(DirectFunctionCall1(timestamp_out, TimestampGetDatum(time)));
}

/* A span of time, as text. */
static char *
format_span(int64 us)
{
	Interval	interval = {0};

	interval.time = us;
	return DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(&interval)));
}

/* "score 1.2 is 2.8 below the threshold 4" */
static char *
describe_score(const SpVerdict *v)
{
	double		score = v->finding.score.score;
	double		threshold = v->finding.threshold;

	if (score == threshold)
		return psprintf("score %g is not above the threshold", score);
	return psprintf("score %.3g is %.3g below the threshold %.3g", score, threshold - score,
					threshold);
}

/* The value is on the side that nobody looks at; NULL: it isn't. */
static char *
describe_side(const SpDetector *d, const SpVerdict *v)
{
	SpMethod	tuned;
	const SpJudge *judge = &sp_override_method(d, v->override, &tuned)->judge;
	int			side = sp_judge_side(judge, &v->point, &v->finding.score);

	if (judge->setup.direction == SP_DIRECTION_HIGH && side < 0)
		return psprintf("value %g is below the expected %g, and direction \"high\" looks above it only",
						v->value, v->finding.score.expected);
	if (judge->setup.direction == SP_DIRECTION_LOW && side > 0)
		return psprintf("value %g is above the expected %g, and direction \"low\" looks below it only",
						v->value, v->finding.score.expected);
	return NULL;
}

/* Why a row isn't flagged, as a list of char *. */
static List *
list_reasons_not(const SpDetector *d, const SpVerdict *v)
{
	const SpScore *score = &v->finding.score;
	List	   *reasons = NIL;
	char	   *side;

	if (d->method->judge.kernel == NULL)
		return list_make1(v->alerts == NIL ? pstrdup("no rule holds") : describe_score(v));
	if (!score->ready)
		return list_make1(psprintf("warming up: " INT64_FORMAT " of " INT64_FORMAT " values",
								   v->learned, d->method->needed));
	side = describe_side(d, v);
	if (!(score->score > v->finding.threshold))
		reasons = lappend(reasons, describe_score(v));
	else if (side == NULL)
		reasons = lappend(reasons, psprintf("value %g is %.3g from the expected %g, less than "
											"min_effect %g", v->value,
											fabs(v->value - score->expected), score->expected,
											d->method->judge.min_effect));
	return side != NULL ? lappend(reasons, side) : reasons;
}

/* Why a row is flagged or not, alerted or not. */
static List *
list_reasons(const SpDetector *d, Oid time_type, const SpVerdict *v)
{
	List	   *reasons;

	if (!v->finding.is_anomaly)
		return list_reasons_not(d, v);
	reasons = list_copy(v->alerts);
	if (v->muted)
		reasons = lappend(reasons, pstrdup("not alerted: its key is muted"));
	if (v->in_cooldown && v->last_alert == SP_NEVER_ALERTED)
		reasons = lappend(reasons, pstrdup("not alerted: this silence was, when it was overdue"));
	else if (v->in_cooldown)
		reasons = lappend(reasons, psprintf("not alerted: within the cooldown of %s of the alert at %s",
											format_span(d->def->cooldown_us),
											format_time(time_type, v->last_alert)));
	return reasons;
}

static void
append_judgement(const SpDetector *d, Oid time_type, const SpVerdict *v, StringInfo buf)
{
	List	   *reasons = list_reasons(d, time_type, v);
	ListCell   *lc;

	appendStringInfoString(buf, ", ");
	sp_json_append_number(buf, "score", v->finding.score.score);
	appendStringInfoString(buf, ", ");
	sp_json_append_number(buf, "threshold", v->finding.threshold);
	appendStringInfoString(buf, ", ");
	sp_json_append_number(buf, "margin", v->finding.score.score - v->finding.threshold);
	appendStringInfo(buf, ", \"is_anomaly\": %s, \"is_alert\": %s",
					 v->finding.is_anomaly ? "true" : "false",
					 v->finding.is_anomaly && !v->in_cooldown && !v->muted ? "true" : "false");
	if (d->method->judge.kernel != NULL)
		appendStringInfo(buf, ", \"learned\": " INT64_FORMAT ", \"needed\": " INT64_FORMAT,
						 v->learned, d->method->needed);
	appendStringInfoString(buf, ", \"reasons\": [");
	foreach(lc, reasons)
	{
		if (lc != list_head(reasons))
			appendStringInfoString(buf, ", ");
		escape_json(buf, lfirst(lc));
	}
	appendStringInfoChar(buf, ']');
}

Datum
sp_explanation_make(const SpDetector *d, Oid time_type, const SpVerdict *v)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "{\"method\": \"%s\", ", d->method->name);
	append_contributions(d, v, &buf);
	if (v->why != NULL)
		append_expected(d, v, &buf);
	else
		appendStringInfoString(&buf, ", \"expected\": {}, \"nearest_normal\": {}");
	if (d->method->judge.setup.explain_all)
		append_judgement(d, time_type, v, &buf);
	appendStringInfoChar(&buf, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(buf.data));
}
