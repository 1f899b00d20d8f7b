/*
 * shield.c
 *	  A detector in a session: the worker's, on a stream without a clock, with one group, that of
 *	  the row at work.
 */
#include "engine/shield_internal.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "base/compat.h"
#include "base/shared.h"
#include "catalog/message.h"
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define MOST_ADDED		4096	/* bytes of a series' durable form beyond those in memory */

/* ---- opening ---- */

/* What the engine allocates goes with the shield.  window: NULL, the detector reads the stream. */
static void
open_objects(SpShield *shield, SpStreamDef *stream, SpWindowDef *window, SpDetectorDef *def)
{
	MemoryContext engine = sp_engine.context;

	PG_TRY();
	{
		sp_engine.context = shield->context;
		shield->stream = sp_registry_open_stream(stream);
		if (window != NULL)
		{
			shield->window = sp_window_open(window, shield->stream, NULL);
			shield->window->expressions->in_session = true;
		}
		shield->detector = sp_detector_open(def, window != NULL ? NULL : shield->stream,
											shield->window);
		shield->detector->expressions->in_session = true;
		shield->method = palloc(sizeof(SpMethod));
		*shield->method = *shield->detector->method;
		shield->detector->method = shield->method;
		shield->detector->groups.can_spill = false;
		shield->detector->overrides.can_spill = false;
	}
	PG_FINALLY();
	{
		sp_engine.context = engine;
	}
	PG_END_TRY();
}

/* Whose expressions tell the key of a row, and which of them. */
static const SpExpressions *
key_expressions(const SpShield *shield)
{
	return shield->window != NULL ? shield->window->expressions : shield->detector->expressions;
}

/* Equality of keys isn't that of a domain, whose constraints are a user's. */
static void
describe_keys(SpShield *shield)
{
	const SpDetector *d = shield->detector;

	shield->keys = palloc(sizeof(SpShieldKey) * Max(1, d->def->nkeys));
	for (int k = 0; k < d->def->nkeys; k++)
	{
		int			i = sp_shield_first_key(shield) + k;
		const SpExpression *e = shield->window != NULL ? shield->window->evaluated[i] :
			d->evaluated[i];
		SpShieldKey *key = &shield->keys[k];

		key->name = key_expressions(shield)->names[i];
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
find_stream_def(const SpDefinitions *definitions, Oid relid, const SpDetectorDef *def)
{
	ListCell   *lc;

	foreach(lc, definitions->streams)
	{
		SpStreamDef *stream = lfirst(lc);

		if (stream->o.relid == relid)
			return stream;
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the source of detector %s is not a stream, or a window of one, that can be used",
					def->o.name)));
	return NULL;
}

/* The sliding window that the detector reads, or NULL. */
static SpWindowDef *
find_window_def(const SpDefinitions *definitions, const SpDetectorDef *def)
{
	ListCell   *lc;

	foreach(lc, definitions->windows)
	{
		SpWindowDef *window = lfirst(lc);

		if (window->o.relid == def->o.source && window->window_kind == SP_WINDOW_SLIDING)
			return window;
	}
	return NULL;
}

/* The window's key is locked, and with it what is known of the detector's: it must be the same. */
static void
check_keys(const SpShield *shield)
{
	const SpDetector *d = shield->detector;
	bool		same = d->def->nkeys == shield->window->nkeys;

	for (int k = 0; k < d->def->nkeys && same; k++)
		same = d->evaluated[d->first_key + k]->attnum == 2 + k + 1;
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("detector %s can't be enforced: its keys are not those of window %s",
						d->def->o.name, shield->window->def->o.name),
				 errhint("Create it without keys, which then are the window's.")));
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
	SpWindowDef *window = find_window_def(definitions, def);

	shield->context = context;
	shield->row_context = AllocSetContextCreate(context, "streamproc shield row",
												ALLOCSET_SMALL_SIZES);
	open_objects(shield, find_stream_def(definitions, window ? window->o.source : def->o.source, def),
				 window, def);
	if (window != NULL)
		check_keys(shield);
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

const SpWindowDef *
sp_shield_window(const SpShield *shield)
{
	return shield->window != NULL ? shield->window->def : NULL;
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
		bms_is_member(attnum, key_expressions(shield)->attributes);
}

bool
sp_shield_is_made_of(const SpShield *shield, Oid relid)
{
	const SpObjectDef *d = &shield->detector->def->o;
	const SpObjectDef *w = shield->window != NULL ? &shield->window->def->o : NULL;

	return relid == d->relid || relid == d->expressions ||
		(w != NULL && (relid == w->relid || relid == w->expressions));
}

const SpShieldKey *
sp_shield_key(const SpShield *shield, int k)
{
	return &shield->keys[k];
}

/* ---- states ---- */

/*
 * What a fitted model says of a row doesn't depend on those before it, but where those give it
 * what is missing, or are of an episode that is alerted once.
 */
bool
sp_shield_has_state(const SpShield *shield)
{
	const SpDetector *d = shield->detector;
	const SpKernel *kernel = d->method->judge.kernel;

	if (shield->window != NULL)
		return true;
	if (kernel != NULL && kernel->is_fitted && d->def->cooldown_us == 0 &&
		!sp_series_remembers(d->method))
		return false;
	return d->keyed;
}

/* Room for one. */
static SpShieldState *
make_state(const SpShield *shield)
{
	return palloc0(offsetof(SpShieldState, series) + sp_shield_series_size(shield));
}

SpShieldState *
sp_shield_new_state(const SpShield *shield)
{
	SpShieldState *state = make_state(shield);

	sp_trail_init(&state->trail);
	if (sp_shield_has_series(shield))
		sp_series_init(shield->detector->method, (SpSeries *) state->series);
	return state;
}

SpShieldState *
sp_shield_copy_state(const SpShield *shield, const SpShieldState *state)
{
	SpShieldState *copy = make_state(shield);

	memcpy(copy->series, state->series, sp_shield_series_size(shield));
	if (shield->window != NULL)
		sp_trail_copy(shield->window, &copy->trail, &state->trail);
	return copy;
}

void
sp_shield_free_state(const SpShield *shield, SpShieldState *state)
{
	if (shield->window != NULL)
		sp_trail_free(shield->window, &state->trail);
	pfree(state);
}

Size
sp_shield_state_bytes(const SpShield *shield, const SpShieldState *state)
{
	return offsetof(SpShieldState, series) + sp_shield_series_size(shield) +
		(shield->window != NULL ? 2 * state->trail.bytes : 0);
}

void
sp_shield_write_state(const SpShield *shield, const SpShieldState *state, StringInfo buf)
{
	if (sp_shield_has_series(shield))
		sp_series_write(shield->detector->method, (SpSeries *) state->series, buf);
	if (shield->window != NULL)
		sp_trail_write(shield->window, &state->trail, buf);
}

Size
sp_shield_most_state(const SpShield *shield)
{
	return sp_shield_series_size(shield) + MOST_ADDED + (shield->window != NULL ? SP_TRAIL_MOST : 0);
}

SpShieldState *
sp_shield_read_state(const SpShield *shield, const char *data, Size size)
{
	SpShieldState *state = make_state(shield);
	const char *end = data + size;

	if (sp_shield_has_series(shield))
		data = sp_series_read(shield->detector->method, (SpSeries *) state->series, data, end);
	if (data == NULL || (shield->window == NULL && data != end))
		return NULL;
	if (shield->window != NULL)
		sp_trail_read(shield->window, &state->trail, data, end - data);
	return state;
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
		const NullableDatum *result = &shield->taken->result[sp_shield_first_key(shield) + k][0];
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
	appendStringInfo(&buf, "Method \"%s\": ", d->method->name);
	foreach(lc, shield->verdict.alerts)
		appendStringInfo(&buf, "%s%s", lc == list_head(shield->verdict.alerts) ? "" : "; ",
						 (char *) lfirst(lc));
	append_parts(shield, &buf);
	if (shield->window != NULL)
		sp_shield_window_describe(shield, &buf);
	sp_user_leave(&user, true);
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
	shield->judged->lsn = sp_shared_insert_end();
	shield->judged->first_ordinal = SP_REPORT_ORDINAL |
		(int64) (pg_prng_uint64(&pg_global_prng_state) >> 2);
	shield->verdict.in_cooldown = false;
	sp_detector_add_result(d, shield->judged, shield->evaluated, 0, &shield->verdict);
	tuple = form_result(d, dlist_head_element(SpAlert, node, &d->output.alerts));
	size = sizeof(SpMessage) + offset + tuple->t_len;
	message = palloc0(size);
	sp_message_init(message, SP_MESSAGE_REPORT, size, InvalidTransactionId);
	report = (SpReport *) (message + 1);
	report->detector = d->def->o.id;
	report->source = shield->stream->def->o.relid;
	report->lsn = shield->judged->lsn;
	report->ordinal = shield->judged->first_ordinal;
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
