/*
 * detector.c
 *	  Detectors: rows of a stream, or final rows of a window, to scores and alerts.
 *
 * State is kept by key: the kernel's, and when the key was last alerted.  What is done with a
 * row is in detector_judge.c, its result row in detector_result.c.
 */
#include "engine/detector.h"

#include "base/compat.h"
#include "base/guc.h"
#include "catalog/pg_type.h"
#include "engine/micro_batch.h"
#include "engine/sample.h"
#include "engine/timer.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/rel.h"

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

/* The method with its parameters. */
static SpMethod *
open_method(SpDetectorDef *def)
{
	const SpKernel *kernel;
	Datum		params;
	SpMethodUse use = {
		.n = def->has_value ? 1 : def->nfeatures,
		.direction = def->direction == 0 ? SP_DIRECTION_BOTH :
		def->direction > 0 ? SP_DIRECTION_HIGH : SP_DIRECTION_LOW,
		.threshold = def->threshold,
		.min_effect = def->min_effect,
		.learn = def->learn
	};

	if (!sp_method_find(def->method, &kernel))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("detector %s uses method \"%s\", which this version doesn't have",
						def->o.name, def->method)));
	params = DirectFunctionCall1(jsonb_in, CStringGetDatum(def->params));
	return sp_method_open(def->method, DatumGetJsonbP(params), &use);
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
	d->method = open_method(def);
	if (sp_series_have_pool(d->method))
	{
		d->pool = palloc(sizeof(SpPool));
		sp_pool_init(d->pool);
	}
	d->explanation = palloc(sizeof(SpExplanation));
	d->expressions = sp_expressions_open(&def->o, window ? window->result_desc : stream->desc);
	d->first_key = def->has_value ? 1 : 0;
	d->first_carry = d->first_key + def->nkeys;
	d->first_feature = d->first_carry + def->ncarry;
	d->first_rule = d->first_feature + def->nfeatures;
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
	sp_micro_open(d);
	sp_group_init(&d->groups,
				  AllocSetContextCreate(sp_micro_has(d) ? d->micro->context : context,
										"streamproc groups", ALLOCSET_DEFAULT_SIZES),
				  d->keyed ? def->nkeys : 0, d->evaluated + d->first_key,
				  sp_series_size(d->method) + sp_timer_size(d->method) + sp_micro_size(d->method));
	sp_timer_open(d);
	if (sp_micro_has(d))
		sp_micro_open_groups(d);
	else if (!sp_timer_has(d))
		sp_spill_allow(&d->groups, sp_detector_write_value, sp_detector_read_value, NULL,
					   NULL, d);
	sp_override_open(d);
	sp_sample_open(d);
	describe_result(d);
	sp_output_init(&d->output, context);
	d->retention.done = SP_NO_WATERMARK;
	MemoryContextSwitchTo(old);
	return d;
}

/* ---- scoring ---- */

/* The state of a row's key, made when there is none; NULL: there may be no more. */
static SpGroup *
get_group(SpDetector *d, const Datum *keys, const bool *nulls)
{
	SpGroup    *group;
	uint32		hash;

	hash = sp_group_hash(&d->groups, 0, keys, nulls);
	group = sp_group_find(&d->groups, hash, 0, keys, nulls);
	if (group == NULL && sp_guc_max_keys > 0 && sp_group_count(&d->groups) >= sp_guc_max_keys)
		return NULL;
	if (group == NULL)
	{
		group = sp_group_add(&d->groups, hash, 0, keys, nulls);
		sp_series_init(d->method, sp_detector_series(d, group));
		if (sp_timer_has(d))
			sp_timer_init(d, group);
		if (sp_micro_has(d))
			sp_micro_init(d, group);
		d->ready += sp_detector_series(d, group)->ready;
	}
	return group;
}

/* What get_groups() works on. */
typedef struct GroupWork
{
	SpDetector *detector;
	SpEvaluated *ev;
	SpGroup   **groups;
	const SpOverride **overrides;	/* NULL: there are none */
	int			first;
	int			last;
} GroupWork;

/* Find the groups of a range of rows; keys' types may have functions that throw. */
static void
get_groups(void *arg)
{
	GroupWork  *work = arg;
	SpDetector *d = work->detector;
	Datum		keys[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	int			i;
	int			k;

	for (i = work->first; i <= work->last; i++)
	{
		if (!work->ev->pass[i])
			continue;
		for (k = 0; k < d->def->nkeys; k++)
		{
			keys[k] = work->ev->result[d->first_key + k][i].value;
			nulls[k] = work->ev->result[d->first_key + k][i].isnull;
		}
		if (work->overrides != NULL)
			work->overrides[i] = sp_override_find(d, keys, nulls);
		if (d->keyed)
			work->groups[i] = get_group(d, keys, nulls);
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

/*
 * The groups of all passing rows, and what is set for their keys.  Rows whose key can't be
 * looked up stop passing.
 */
static SpGroup **
find_groups(SpDetector *d, SpRowSet *rows, SpEvaluated *ev, const SpOverride ***overrides)
{
	GroupWork	work = {d, ev, NULL, NULL, 0, rows->n - 1};
	ErrorData  *error;
	int			i;

	work.groups = MemoryContextAllocZero(rows->context, sizeof(SpGroup *) * rows->n);
	if (sp_override_any(d))
		work.overrides = MemoryContextAllocZero(rows->context, sizeof(SpOverride *) * rows->n);
	*overrides = work.overrides;
	if (!d->keyed && work.overrides == NULL)
		return work.groups;
	if (d->overrides.builtin)
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
	if (d->keyed)
		reject_keys(d, rows, ev, work.groups);
	return work.groups;
}

/* One row. */
static void
apply_row(SpDetector *d, SpRowSet *rows, SpEvaluated *ev, int i, SpGroup *group,
		  const SpOverride *override)
{
	SpVerdict	v;

	v.override = override;
	sp_detector_judge(d, rows, ev, i, group, &v);
	if (!v.scored)
		return;
	d->rows += !rows->provisional;
	d->changed = true;
	if (d->def->store_all || (v.finding.is_anomaly && !v.in_cooldown && !v.muted))
		sp_detector_add_result(d, rows, ev, i, &v);
}

/* A rowset of the source, in order, its expressions evaluated. */
void
sp_detector_apply_evaluated(SpDetector *d, SpRowSet *rows, SpEvaluated *ev)
{
	const SpOverride **overrides;
	SpGroup   **groups = find_groups(d, rows, ev, &overrides);
	MemoryContext old = MemoryContextSwitchTo(rows->context);
	int			i;

	for (i = 0; i < rows->n; i++)
	{
		if (ev->pass[i] && !rows->no_time[i] && sp_micro_has(d))
			sp_micro_add(d, rows, ev, i, groups[i]);
		else if (ev->pass[i] && !rows->no_time[i])
			apply_row(d, rows, ev, i, groups[i], overrides ? overrides[i] : NULL);
		if (rows->backfill && sp_timer_has(d))
			sp_timer_pass(d, rows, i);
	}
	MemoryContextSwitchTo(old);
}

/* The same, to be evaluated. */
void
sp_detector_apply(SpDetector *d, SpRowSet *rows)
{
	sp_detector_apply_evaluated(d, rows,
								sp_expressions_evaluate(d->expressions, d->evaluated,
														d->nevaluated, rows, &d->output));
}

/* ---- durable form ---- */

/* SpValueWrite */
void
sp_detector_write_value(void *detector, SpGroup *group, StringInfo buf)
{
	SpDetector *d = detector;

	sp_series_write(d->method, sp_detector_series(d, group), buf);
	if (sp_micro_has(d))
		sp_micro_write(d, group, buf);
}

/* What was read can't be its state. */
void
sp_detector_is_damaged(const SpDetector *d)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("the state of detector %s is damaged, or of another version", d->def->o.name),
			 errhint("Rebuild the detector with streamproc.resume().")));
}

/* SpValueRead */
void
sp_detector_read_value(void *detector, SpGroup *group, const char **p, const char *end)
{
	SpDetector *d = detector;

	*p = sp_series_read(d->method, sp_detector_series(d, group), *p, end);
	if (*p != NULL && sp_micro_has(d))
		*p = sp_micro_read(d, group, *p, end);
	if (*p == NULL)
		sp_detector_is_damaged(d);
}
