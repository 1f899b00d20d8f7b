/*
 * shield.c
 *	  A detector in a session: the worker's, on a stream without a clock, with one group, that of
 *	  the row at work.
 */
#include "engine/detector.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "base/compat.h"
#include "base/shared.h"
#include "catalog/message.h"
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "engine/history.h"
#include "engine/shield.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

struct SpShield
{
	MemoryContext context;
	MemoryContext row_context;	/* reset for each row */
	SpStream   *stream;
	SpDetector *detector;
	SpShieldKey *keys;
	SpGroup    *group;			/* holds the series at work; NULL: there is no state */
	SpRowSet	rows;			/* the row at work */
	SpEvaluated *evaluated;
	SpOverride	override;		/* what is set for its key, where verdict refers to it */
	SpVerdict	verdict;
};

/* ---- opening ---- */

/* What the engine allocates goes with the shield. */
static void
open_objects(SpShield *shield, SpStreamDef *stream, SpDetectorDef *def)
{
	MemoryContext engine = sp_engine.context;

	PG_TRY();
	{
		sp_engine.context = shield->context;
		shield->stream = sp_registry_open_stream(stream);
		shield->detector = sp_detector_open(def, shield->stream, NULL);
		shield->detector->expressions->in_session = true;
		shield->detector->groups.can_spill = false;
		shield->detector->overrides.can_spill = false;
	}
	PG_FINALLY();
	{
		sp_engine.context = engine;
	}
	PG_END_TRY();
}

/* Equality of keys isn't that of a domain, whose constraints are a user's. */
static void
describe_keys(SpShield *shield)
{
	const SpDetector *d = shield->detector;

	shield->keys = palloc(sizeof(SpShieldKey) * Max(1, d->def->nkeys));
	for (int k = 0; k < d->def->nkeys; k++)
	{
		const SpExpression *e = d->evaluated[d->first_key + k];
		SpShieldKey *key = &shield->keys[k];

		key->name = d->expressions->names[d->first_key + k];
		key->type = getBaseType(e->type);
		key->collation = exprCollation((Node *) e->expr);
		key->typlen = e->typlen;
		key->typbyval = e->typbyval;
	}
}

/* The only group, without a key of its own. */
static SpGroup *
add_group(SpDetector *d)
{
	Datum		keys[INDEX_MAX_KEYS] = {0};
	bool		nulls[INDEX_MAX_KEYS];
	SpGroup    *group;

	memset(nulls, true, sizeof(nulls));
	group = sp_group_add(&d->groups, 0, 0, keys, nulls);
	sp_series_init(d->method, sp_detector_series(d, group));
	return group;
}

static SpDetectorDef *
find_detector(const SpDefinitions *definitions, int32 id)
{
	ListCell   *lc;
	const char *problem;

	foreach(lc, definitions->detectors)
	{
		SpDetectorDef *def = lfirst(lc);

		if (def->o.id == id)
			return def;
	}
	problem = sp_definition_problem(definitions, id);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("detector %d can't be used", id),
			 errdetail("The reason: %s.", problem != NULL ? problem : "it was dropped"),
			 errhint("Mend it, or call streamproc.unenforce().")));
	return NULL;
}

static SpStreamDef *
find_stream_def(const SpDefinitions *definitions, const SpDetectorDef *def)
{
	ListCell   *lc;

	foreach(lc, definitions->streams)
	{
		SpStreamDef *stream = lfirst(lc);

		if (stream->o.relid == def->o.source)
			return stream;
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the source of detector %s is not a stream that can be used", def->o.name)));
	return NULL;
}

SpShield *
sp_shield_open(MemoryContext parent, int32 id)
{
	MemoryContext context = AllocSetContextCreate(parent, "streamproc shield",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	SpShield   *shield = palloc0(sizeof(SpShield));
	SpDefinitions *definitions = sp_definition_load();
	SpDetectorDef *def = find_detector(definitions, id);

	shield->context = context;
	shield->row_context = AllocSetContextCreate(context, "streamproc shield row",
												ALLOCSET_SMALL_SIZES);
	open_objects(shield, find_stream_def(definitions, def), def);
	describe_keys(shield);
	if (shield->detector->keyed)
		shield->group = add_group(shield->detector);
	MemoryContextSwitchTo(old);
	return shield;
}

void
sp_shield_close(SpShield *shield)
{
	MemoryContextDelete(shield->context);
}

const SpDetectorDef *
sp_shield_def(const SpShield *shield)
{
	return shield->detector->def;
}

const SpStreamDef *
sp_shield_stream(const SpShield *shield)
{
	return shield->stream->def;
}

const SpMethod *
sp_shield_method(const SpShield *shield)
{
	return shield->detector->method;
}

TupleDesc
sp_shield_desc(const SpShield *shield)
{
	return shield->stream->desc;
}

bool
sp_shield_uses(const SpShield *shield, AttrNumber attnum)
{
	return attnum == shield->stream->def->time_attnum ||
		bms_is_member(attnum, shield->detector->expressions->attributes);
}

const SpShieldKey *
sp_shield_key(const SpShield *shield, int k)
{
	return &shield->keys[k];
}

/*
 * What a fitted model says of a row doesn't depend on those before it, but where those give it
 * what is missing, or are of an episode that is alerted once.
 */
bool
sp_shield_has_state(const SpShield *shield)
{
	const SpDetector *d = shield->detector;
	const SpKernel *kernel = d->method->judge.kernel;

	if (kernel != NULL && kernel->is_fitted && d->def->cooldown_us == 0 &&
		!sp_series_remembers(d->method))
		return false;
	return d->keyed;
}

/* ---- a row ---- */

void
sp_shield_set_row(SpShield *shield, const Datum *values, const bool *nulls)
{
	SpRowSet   *rows = &shield->rows;
	TupleDesc	desc = shield->stream->desc;

	MemoryContextReset(shield->row_context);
	sp_output_clear(&shield->detector->output);
	sp_rowset_init(rows, shield->row_context, desc->natts, 1);
	memcpy(rows->values, values, sizeof(Datum) * desc->natts);
	memcpy(rows->nulls, nulls, sizeof(bool) * desc->natts);
	rows->n = 1;
	rows->commit_time = GetCurrentTimestamp();	/* near enough */
	rows->time_type = shield->stream->def->time_type;
	rows->zone = shield->stream->zone;
	rows->desc = desc;
	sp_rowset_set_time(rows, 0, shield->stream);
}

bool
sp_shield_evaluate(SpShield *shield)
{
	SpDetector *d = shield->detector;
	SpUserContext user;

	sp_user_enter(&user, d->expressions->owner, d->expressions->settings);
	shield->evaluated = sp_expressions_evaluate_here(d->expressions, d->evaluated, d->nevaluated,
													 &shield->rows);
	sp_user_leave(&user, true);
	return shield->evaluated->pass[0];
}

void
sp_shield_get_key(const SpShield *shield, Datum *keys, bool *nulls)
{
	const SpDetector *d = shield->detector;

	for (int k = 0; k < d->def->nkeys; k++)
	{
		const NullableDatum *result = &shield->evaluated->result[d->first_key + k][0];

		keys[k] = result->value;
		nulls[k] = result->isnull;
	}
}

/*
 * What a query in a trigger would see: all that is committed by now, or with an isolation level
 * that has one snapshot for the transaction, what that sees; and the transaction's own changes.
 */
void
sp_shield_take_override(SpShield *shield)
{
	SpVerdict  *v = &shield->verdict;
	MemoryContext old = MemoryContextSwitchTo(shield->row_context);
	Datum		keys[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	v->override = NULL;
	if (OidIsValid(shield->detector->def->overrides))
	{
		sp_shield_get_key(shield, keys, nulls);
		PushActiveSnapshot(GetTransactionSnapshot());
		if (sp_override_look_up(shield->detector, keys, nulls, GetActiveSnapshot(),
								&shield->override))
			v->override = &shield->override;
		PopActiveSnapshot();
	}
	MemoryContextSwitchTo(old);
}

SpShieldSays
sp_shield_judge(SpShield *shield, SpSeries *series)
{
	SpDetector *d = shield->detector;
	SpVerdict  *v = &shield->verdict;
	MemoryContext old = MemoryContextSwitchTo(shield->row_context);
	Size		size = sp_series_size(d->method);

	if (shield->rows.no_time[0])
		sp_output_dead(&d->output, &shield->rows, 0, "null_time", "22004",
					   "the event time is null");
	else
	{
		if (series != NULL)
			memcpy(sp_detector_series(d, shield->group), series, size);
		else if (shield->group != NULL)
			sp_series_init(d->method, sp_detector_series(d, shield->group));
		sp_detector_judge(d, &shield->rows, shield->evaluated, 0, shield->group, v);
		if (series != NULL)
			memcpy(series, sp_detector_series(d, shield->group), size);
		/* a session doesn't know the scores of all keys, nor any without a state */
		if (d->method->calibrate == SP_CALIBRATE_DETECTOR ||
			(series == NULL && d->method->calibrate == SP_CALIBRATE_KEY))
			v->finding.p_value = get_float8_nan();
	}
	MemoryContextSwitchTo(old);
	if (d->output.ndead > 0)
		return SP_SHIELD_FAILS;
	return v->scored && v->finding.is_anomaly && !v->muted ? SP_SHIELD_FINDS : SP_SHIELD_PASSES;
}

const char *
sp_shield_problem(const SpShield *shield, int *sqlstate)
{
	const SpDeadLetter *dead = dlist_head_element(SpDeadLetter, node,
												  &shield->detector->output.dead);

	*sqlstate = MAKE_SQLSTATE(dead->sqlstate[0], dead->sqlstate[1], dead->sqlstate[2],
							  dead->sqlstate[3], dead->sqlstate[4]);
	return dead->message;
}

bool
sp_shield_in_cooldown(const SpShield *shield)
{
	return shield->verdict.in_cooldown;
}

/* ---- what was found ---- */

/* "Key (customer) = (7)." */
static void
append_key(const SpShield *shield, StringInfo buf)
{
	const SpDetector *d = shield->detector;

	if (d->def->nkeys == 0)
		return;
	appendStringInfoString(buf, "Key (");
	for (int k = 0; k < d->def->nkeys; k++)
		appendStringInfo(buf, "%s%s", k > 0 ? ", " : "", shield->keys[k].name);
	appendStringInfoString(buf, ") = (");
	for (int k = 0; k < d->def->nkeys; k++)
	{
		const NullableDatum *result = &shield->evaluated->result[d->first_key + k][0];
		Oid			output;
		bool		is_varlena;

		getTypeOutputInfo(shield->keys[k].type, &output, &is_varlena);
		appendStringInfo(buf, "%s%s", k > 0 ? ", " : "",
						 result->isnull ? "null" : OidOutputFunctionCall(output, result->value));
	}
	appendStringInfoString(buf, "). ");
}

/* " (events 1.2)": the parts of the score. */
static void
append_parts(const SpShield *shield, StringInfo buf)
{
	const SpDetector *d = shield->detector;
	const SpExplanation *why = shield->verdict.why;

	if (why == NULL || why->nparts == 0)
		return;
	appendStringInfoString(buf, " (");
	for (int i = 0; i < why->nparts; i++)
	{
		const SpPart *part = &why->parts[i];
		const char *name = part->name != NULL ? part->name :
			d->def->has_value ? "value" : d->def->feature_names[part->feature];

		appendStringInfo(buf, "%s%s %.4g", i > 0 ? ", " : "", name, part->amount);
	}
	appendStringInfoChar(buf, ')');
}

char *
sp_shield_describe(const SpShield *shield)
{
	const SpDetector *d = shield->detector;
	StringInfoData buf;
	SpUserContext user;
	ListCell   *lc;

	initStringInfo(&buf);
	sp_user_enter(&user, d->expressions->owner, d->expressions->settings);
	append_key(shield, &buf);
	sp_user_leave(&user, true);
	appendStringInfo(&buf, "Method \"%s\": ", d->method->name);
	foreach(lc, shield->verdict.alerts)
		appendStringInfo(&buf, "%s%s", lc == list_head(shield->verdict.alerts) ? "" : "; ",
						 (char *) lfirst(lc));
	append_parts(shield, &buf);
	appendStringInfoChar(&buf, '.');
	return buf.data;
}

/* ---- telling the worker ---- */

/* The result row as a tuple of these types, in which nothing is external. */
static HeapTuple
form_result(const SpDetector *d, const SpAlert *alert)
{
	TupleDesc	desc = CreateTemplateTupleDesc(d->natts);

	for (int i = 0; i < d->natts; i++)
	{
		TupleDescInitEntry(desc, i + 1, NULL, d->types[i], -1, 0);
		if (!alert->nulls[i] && TupleDescAttr(desc, i)->attlen == -1)
			alert->values[i] = PointerGetDatum(PG_DETOAST_DATUM(alert->values[i]));
	}
	return heap_form_tuple(desc, alert->values, alert->nulls);
}

/* No commit tells the worker of what is refused. */
static void
announce(XLogRecPtr lsn)
{
	SpWorkerSlot *slot = sp_shared != NULL ? sp_shared_find(MyDatabaseId) : NULL;

	if (slot != NULL)
		sp_shared_announce(slot, lsn);
}

void
sp_shield_report(SpShield *shield, bool flush)
{
	SpDetector *d = shield->detector;
	MemoryContext old = MemoryContextSwitchTo(shield->row_context);
	SpMessage  *message;
	SpReport   *report;
	XLogRecPtr	lsn;
	HeapTuple	tuple;
	Size		offset = sp_report_tuple_offset(d->natts);
	Size		size;

	/* who repeats the message doesn't make another alert of it */
	shield->rows.lsn = sp_shared_insert_end();
	shield->rows.first_ordinal = SP_REPORT_ORDINAL |
		(int64) (pg_prng_uint64(&pg_global_prng_state) >> 2);
	shield->verdict.in_cooldown = false;
	sp_detector_add_result(d, &shield->rows, shield->evaluated, 0, &shield->verdict);
	tuple = form_result(d, dlist_head_element(SpAlert, node, &d->output.alerts));
	size = sizeof(SpMessage) + offset + tuple->t_len;
	message = palloc0(size);
	sp_message_init(message, SP_MESSAGE_REPORT, size, InvalidTransactionId);
	report = (SpReport *) (message + 1);
	report->detector = d->def->o.id;
	report->source = d->def->o.source;
	report->lsn = shield->rows.lsn;
	report->ordinal = shield->rows.first_ordinal;
	report->natts = d->natts;
	report->tuple_size = tuple->t_len;
	report->xid = GetTopTransactionIdIfAny();
	memcpy(sp_report_types(report), d->types, sizeof(Oid) * d->natts);
	memcpy((char *) report + offset, tuple->t_data, tuple->t_len);
	lsn = sp_message_emit(message, false);
	if (flush)
	{
		XLogFlush(lsn);
		announce(lsn);
	}
	MemoryContextSwitchTo(old);
}

void
sp_shield_get_finding(const SpShield *shield, Datum *values)
{
	const SpDetector *d = shield->detector;
	const SpAlert *alert = dlist_head_element(SpAlert, node,
											  (dlist_head *) &d->output.alerts);
	int			score = 2 + d->def->nkeys + 2;	/* see definition.h */

	values[0] = alert->values[score];
	values[1] = alert->values[score + 7];
	values[2] = alert->values[score + 8];
}

/* ---- history ---- */

/* SpHistoryTake */
static bool
take_rows(void *arg, SpRowSet *rows)
{
	sp_detector_apply(arg, rows);
	return true;
}

void
sp_shield_seed(SpShield *shield, SpShieldTake take, void *arg)
{
	SpDetector *d = shield->detector;
	SpHistory	history = {.stream = shield->stream};
	ListCell   *lc;

	if (shield->group != NULL)
		sp_group_remove(&d->groups, shield->group);
	shield->group = NULL;
	history.context = AllocSetContextCreate(shield->context, "streamproc rows",
											ALLOCSET_DEFAULT_SIZES);
	d->output.replaying = true; /* what it says is dropped */
	sp_override_load(d);
	sp_history_read(&history, SP_NO_WATERMARK, take_rows, d);
	foreach(lc, sp_bucket_sorted_groups(&d->groups))
	{
		SpGroup    *group = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		take(arg, sp_group_keys(&d->groups, group), sp_group_nulls(&d->groups, group),
			 sp_detector_series(d, group));
	}
}
