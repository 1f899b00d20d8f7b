/*
 * detector.c
 *	  Detectors: rows of a stream, or final rows of a window, to scores and alerts.
 *
 * For every row, in order: score against what was learned before, decide, then learn.
 * State is kept by key: the kernel's, and when the key was last alerted (cooldown).
 */
#include "engine/internal.h"

#include <math.h>

#include "access/xact.h"
#include "base/compat.h"
#include "base/guc.h"
#include "catalog/pg_type.h"
#include "engine/method.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#define NEVER_ALERTED	PG_INT64_MIN

/* A group's value: this, then the kernel's state. */
typedef struct KeyState
{
	int64		last_alert;		/* event time; NEVER_ALERTED */
} KeyState;

/* What became of one row. */
typedef struct Verdict
{
	bool		scored;			/* there was a value to score */
	bool		is_anomaly;
	bool		in_cooldown;	/* an anomaly of an episode that was alerted already */
	double		value;			/* NaN: none */
	SpScore		score;
	double		threshold;
	List	   *alerts;			/* of char * */
} Verdict;

static inline void *
kernel_state(SpDetector *d, SpGroup *group)
{
	return sp_group_value(&d->groups, group) + sizeof(KeyState);
}

static inline KeyState *
key_state(SpDetector *d, SpGroup *group)
{
	return (KeyState *) sp_group_value(&d->groups, group);
}

/* The columns of the result table that the worker writes: see definition.h. */
static void
describe_result(SpDetector *d)
{
	static const Oid scores[] = {FLOAT8OID, FLOAT8ARRAYOID, FLOAT8OID, FLOAT8OID, FLOAT8OID,
	BOOLOID, FLOAT8OID, FLOAT8OID, FLOAT8OID, TEXTARRAYOID, JSONBOID};
	Relation	rel = sp_registry_look_at(d->def->o.relid);
	const SpStream *stream = d->stream ? d->stream : d->window->stream;
	int			n = 0;
	int			i;

	d->natts = 2 + d->def->nkeys + lengthof(scores) + d->def->ncarry + 3;
	d->types = palloc(sizeof(Oid) * d->natts);
	d->types[n++] = INT8OID;
	d->types[n++] = stream->def->time_type;
	for (i = 0; i < d->def->nkeys; i++)
		d->types[n++] = d->evaluated[d->first_key + i]->type;
	for (i = 0; i < lengthof(scores); i++)
		d->types[n++] = scores[i];
	for (i = 0; i < d->def->ncarry; i++)
		d->types[n++] = d->evaluated[d->first_carry + i]->type;
	d->types[n++] = TIMESTAMPTZOID;
	d->types[n++] = PG_LSNOID;
	d->types[n++] = INT8OID;
	sp_registry_check_result(&d->def->o, RelationGetDescr(rel), d->natts, d->types);
	RelationClose(rel);
}

/* Bring a detector to life, without state.  One of stream and window is given. */
SpDetector *
sp_detector_open(SpDetectorDef *def, SpStream *stream, SpWindow *window)
{
	MemoryContext context = AllocSetContextCreate(sp_engine.context, "streamproc detector",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	SpDetector *d = palloc0(sizeof(SpDetector));
	int			i;

	d->context = context;
	d->def = def;
	d->stream = stream;
	d->window = window;
	d->method = sp_method_find(def->method);
	if (d->method == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("detector %s uses method \"%s\", which this version doesn't have",
						def->o.name, def->method)));
	d->params = sp_method_params(d->method,
								 DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
																	CStringGetDatum(def->params))));
	d->expressions = sp_expressions_open(&def->o, window ? window->result_desc : stream->desc);
	d->first_key = def->has_value ? 1 : 0;
	d->first_carry = d->first_key + def->nkeys;
	d->first_rule = d->first_carry + def->ncarry + def->nfeatures;
	d->nevaluated = d->first_rule + def->nrules;
	if (d->expressions->ncolumns != d->nevaluated)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the view that holds the expressions of \"%s\" was changed", def->o.name)));
	d->evaluated = palloc(sizeof(SpExpression *) * Max(1, d->nevaluated));
	for (i = 0; i < d->nevaluated; i++)
		d->evaluated[i] = &d->expressions->columns[i];
	sp_expressions_finish(d->expressions, d->evaluated, d->nevaluated);
	d->keyed = d->method->state_size > 0 || def->cooldown_us > 0;
	sp_group_init(&d->groups,
				  AllocSetContextCreate(context, "streamproc groups", ALLOCSET_DEFAULT_SIZES),
				  d->keyed ? def->nkeys : 0, d->evaluated + d->first_key,
				  sizeof(KeyState) + MAXALIGN(d->method->state_size));
	sp_spill_allow(&d->groups, sp_detector_write_value, sp_detector_read_value, NULL,
				   NULL, d);
	describe_result(d);
	sp_output_init(&d->output, context);
	d->retention.done = SP_NO_WATERMARK;
	MemoryContextSwitchTo(old);
	return d;
}

/* ---- scoring ---- */

/* The state of a row's key, made when there is none; NULL: there may be no more. */
static SpGroup *
get_group(SpDetector *d, const SpEvaluated *ev, int i)
{
	Datum		keys[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	SpGroup    *group;
	uint32		hash;
	int			k;

	for (k = 0; k < d->groups.nkeys; k++)
	{
		keys[k] = ev->result[d->first_key + k][i].value;
		nulls[k] = ev->result[d->first_key + k][i].isnull;
	}
	hash = sp_group_hash(&d->groups, 0, keys, nulls);
	group = sp_group_find(&d->groups, hash, 0, keys, nulls);
	if (group == NULL && sp_guc_max_keys > 0 && sp_group_count(&d->groups) >= sp_guc_max_keys)
		return NULL;
	if (group == NULL)
	{
		group = sp_group_add(&d->groups, hash, 0, keys, nulls);
		key_state(d, group)->last_alert = NEVER_ALERTED;
		if (d->method->init != NULL)
			d->method->init(kernel_state(d, group), d->params);
	}
	return group;
}

/* What get_groups() works on. */
typedef struct GroupWork
{
	SpDetector *detector;
	SpEvaluated *ev;
	SpGroup   **groups;
	int			first;
	int			last;
} GroupWork;

/* Find the groups of a range of rows; keys' types may have functions that throw. */
static void
get_groups(void *arg)
{
	GroupWork  *work = arg;
	int			i;

	for (i = work->first; i <= work->last; i++)
	{
		if (work->ev->pass[i])
			work->groups[i] = get_group(work->detector, work->ev, i);
	}
}

/* Rows of keys that are too many stop passing. */
static void
reject_keys(SpDetector *d, SpRowSet *rows, SpEvaluated *ev, SpGroup **groups)
{
	int			i;

	for (i = 0; i < rows->n; i++)
	{
		if (!ev->pass[i] || groups[i] != NULL)
			continue;
		ev->pass[i] = false;
		sp_output_dead(&d->output, rows, i, "max_keys", "54000",
					   "the detector has streamproc.max_keys keys, and this is another");
	}
}

/* The groups of all passing rows.  Rows whose key can't be looked up stop passing. */
static SpGroup **
find_groups(SpDetector *d, SpRowSet *rows, SpEvaluated *ev)
{
	GroupWork	work = {d, ev, NULL, 0, rows->n - 1};
	ErrorData  *error;
	int			i;

	work.groups = MemoryContextAllocZero(rows->context, sizeof(SpGroup *) * rows->n);
	if (!d->keyed)
		return work.groups;
	if (d->groups.builtin)
		get_groups(&work);
	else if (!sp_run_guarded(d->expressions, rows->context, get_groups, &work, &error))
	{
		for (i = 0; i < rows->n; i++)
		{
			work.first = work.last = i;
			if (!ev->pass[i] ||
				sp_run_patiently(d->expressions, rows->context, get_groups, &work, &error))
				continue;
			ev->pass[i] = false;
			sp_output_dead(&d->output, rows, i, "key", unpack_sql_state(error->sqlerrcode),
						   error->message);
		}
	}
	reject_keys(d, rows, ev, work.groups);
	return work.groups;
}

/* Which rules hold. */
static void
judge_rules(SpDetector *d, const SpEvaluated *ev, int i, Verdict *v)
{
	int			r;

	for (r = 0; r < d->def->nrules; r++)
	{
		SpExpression *e = d->evaluated[d->first_rule + r];
		NullableDatum *result = &ev->result[d->first_rule + r][i];

		if (result->isnull)
			continue;
		if (e->type != BOOLOID)
			v->alerts = lappend(v->alerts, TextDatumGetCString(result->value));
		else if (DatumGetBool(result->value))
			v->alerts = lappend(v->alerts, d->def->rule_labels[r]);
	}
	v->scored = true;
	v->score.score = list_length(v->alerts);
	v->score.p_value = v->score.expected = v->score.lower_bound = v->score.upper_bound = NAN;
	v->is_anomaly = v->score.score >= v->threshold;
}

/* How far is the value from what is expected? */
static void
judge_value(SpDetector *d, SpGroup *group, SpRowSet *rows, int i, Verdict *v)
{
	SpDirection direction = d->def->direction == 0 ? SP_DIRECTION_BOTH :
		d->def->direction > 0 ? SP_DIRECTION_HIGH : SP_DIRECTION_LOW;

	if (!d->method->score(kernel_state(d, group), d->params, v->value, direction, v->threshold,
						  &v->score))
	{
		sp_output_dead(&d->output, rows, i, "not_finite", "22003",
					   "the detector's value is NaN or infinite");
		return;
	}
	v->scored = true;
	v->is_anomaly = d->method->warm(kernel_state(d, group), d->params) &&
		v->score.score > v->threshold &&
		!(fabs(v->value - v->score.expected) < d->def->min_effect);
	if (v->is_anomaly)
		v->alerts = list_make1(psprintf("value %g is %s the expected %g to %g by %.1f sigmas",
										v->value,
										v->value > v->score.expected ? "above" : "below",
										v->score.lower_bound, v->score.upper_bound,
										fabs(v->score.score)));
	if (!(v->is_anomaly && d->def->learn_normal))
		(void) d->method->learn(kernel_state(d, group), d->params, v->value);
	sp_group_changed(&d->groups, group);
}

/* One alert an episode: is this anomaly part of one that was alerted? */
static void
apply_cooldown(SpDetector *d, SpGroup *group, int64 time, Verdict *v)
{
	KeyState   *key = key_state(d, group);

	if (!v->is_anomaly || d->def->cooldown_us == 0)
		return;
	if (key->last_alert != NEVER_ALERTED && time - d->def->cooldown_us < key->last_alert)
		v->in_cooldown = true;
	else
	{
		key->last_alert = time;
		sp_group_changed(&d->groups, group);
	}
}

/* ---- results ---- */

/* Append "name": number, null where it isn't one. */
static void
append_number(StringInfo buf, const char *name, double x)
{
	appendStringInfo(buf, "\"%s\": ", name);
	if (isnan(x) || isinf(x))
		appendStringInfoString(buf, "null");
	else
		appendStringInfoString(buf, DatumGetCString(DirectFunctionCall1(float8out,
																		Float8GetDatum(x))));
}

/* Why: contributions, expected range, nearest normal value; or the rules that hold. */
static Datum
explain(SpDetector *d, const Verdict *v)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "{\"method\": \"%s\", \"contributions\": {", d->method->name);
	if (d->method->takes_value)
	{
		append_number(&buf, "value", v->score.score);
		appendStringInfoString(&buf, "}, \"expected\": {");
		append_number(&buf, "value", v->score.expected);
		appendStringInfoString(&buf, ", ");
		append_number(&buf, "lower", v->score.lower_bound);
		appendStringInfoString(&buf, ", ");
		append_number(&buf, "upper", v->score.upper_bound);
		appendStringInfoString(&buf, "}, ");
		append_number(&buf, "nearest_normal",
					  Min(Max(v->value, v->score.lower_bound), v->score.upper_bound));
	}
	else
	{
		foreach(lc, v->alerts)
		{
			if (lc != list_head(v->alerts))
				appendStringInfoString(&buf, ", ");
			escape_json(&buf, lfirst(lc));
			appendStringInfoString(&buf, ": 1");
		}
		appendStringInfoString(&buf, "}");
	}
	appendStringInfoString(&buf, "}");
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

/* Keep the result row of row i until it is written; id and detected_at come then. */
static void
add_result(SpDetector *d, SpRowSet *rows, SpEvaluated *ev, int i, const Verdict *v)
{
	MemoryContext old;
	SpAlert    *alert;
	int			at = 1;

	if (d->output.replaying)
		return;
	old = MemoryContextSwitchTo(d->output.context);
	alert = palloc0(sizeof(SpAlert));
	alert->is_anomaly = v->is_anomaly && !v->in_cooldown;
	alert->notify = alert->is_anomaly && d->def->notify != NULL && !rows->backfill;
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
	at++;						/* features */
	set_float(alert, at++, v->score.score);
	set_float(alert, at++, v->score.p_value);
	set_float(alert, at++, v->threshold);
	alert->values[at] = BoolGetDatum(v->is_anomaly);
	alert->nulls[at++] = false;
	set_float(alert, at++, v->score.expected);
	set_float(alert, at++, v->score.lower_bound);
	set_float(alert, at++, v->score.upper_bound);
	if (v->is_anomaly)
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

/* Score, decide, learn, store: one row. */
static void
apply_row(SpDetector *d, SpRowSet *rows, SpEvaluated *ev, int i, SpGroup *group)
{
	Verdict		v = {0};

	v.threshold = isnan(d->def->threshold) ? d->method->default_threshold : d->def->threshold;
	v.value = NAN;
	if (d->def->has_value && !ev->result[0][i].isnull)
		v.value = DatumGetFloat8(ev->result[0][i].value);
	if (!d->method->takes_value)
		judge_rules(d, ev, i, &v);
	else if (!ev->result[0][i].isnull)
		judge_value(d, group, rows, i, &v);
	if (!v.scored)
		return;
	d->rows++;
	d->changed = true;
	if (group != NULL)
		apply_cooldown(d, group, rows->time[i], &v);
	if (d->def->store_all || (v.is_anomaly && !v.in_cooldown))
		add_result(d, rows, ev, i, &v);
}

/* A rowset of the source, in order. */
void
sp_detector_apply(SpDetector *d, SpRowSet *rows)
{
	SpEvaluated *ev = sp_expressions_evaluate(d->expressions, d->evaluated, d->nevaluated,
											  rows, &d->output);
	SpGroup   **groups = find_groups(d, rows, ev);
	MemoryContext old = MemoryContextSwitchTo(rows->context);
	int			i;

	for (i = 0; i < rows->n; i++)
	{
		if (ev->pass[i] && !rows->no_time[i])
			apply_row(d, rows, ev, i, groups[i]);
	}
	MemoryContextSwitchTo(old);
}

/* ---- durable form ---- */

/* SpValueWrite */
void
sp_detector_write_value(void *detector, SpGroup *group, StringInfo buf)
{
	SpDetector *d = detector;
	char	   *to;

	appendBinaryStringInfo(buf, (char *) key_state(d, group), sizeof(KeyState));
	if (d->method->written_size == 0)
		return;
	enlargeStringInfo(buf, d->method->written_size);
	to = d->method->write(kernel_state(d, group), buf->data + buf->len);
	buf->len = to - buf->data;
	buf->data[buf->len] = '\0';
}

/* SpValueRead */
void
sp_detector_read_value(void *detector, SpGroup *group, const char **p, const char *end)
{
	SpDetector *d = detector;

	sp_read_bytes(p, end, key_state(d, group), sizeof(KeyState));
	if (d->method->written_size == 0)
		return;
	*p = d->method->read(kernel_state(d, group), *p, end);
	if (*p == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the state of detector %s is damaged", d->def->o.name),
				 errhint("Rebuild the detector with streamproc.resume().")));
}
