/*
 * window_open.c
 *	  Bringing a window to life: its aggregates, keys and result table.
 */
#include "engine/internal.h"

#include "access/transam.h"
#include "base/compat.h"
#include "catalog/pg_type.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* What is carried is the argument of an aggregate in the view: see definition.h. */
static void
unwrap_carried(SpWindow *w)
{
	Node	  **nodes = w->expressions->nodes + w->nkeys;
	int			i;

	for (i = 0; i < w->ncarry; i++)
	{
		Aggref	   *gather = (Aggref *) nodes[i];

		if (!IsA(gather, Aggref) || list_length(gather->args) != 1)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the view that holds the expressions of \"%s\" was changed",
							w->def->o.name)));
		nodes[i] = (Node *) linitial_node(TargetEntry, gather->args)->expr;
	}
}

/* Bind the aggregates of the view, and collect what has to be evaluated for each row. */
static void
bind_aggregates(SpWindow *w)
{
	SpExpressions *exprs = w->expressions;
	SpUserContext user;
	int			needs = w->ops->needs | (w->retracts ? SP_AGG_RETRACT : 0);
	/* a session that keeps its rows needs room for them as well */
	int			nkept = w->retracts && w->def->window_kind == SP_WINDOW_SESSION ? 1 : 0;
	int			i;

	w->aggs = palloc(sizeof(SpAggregate *) * w->naggs);
	w->agg_offset = palloc(sizeof(Size) * w->naggs);
	w->agg_filter = palloc(sizeof(int) * w->naggs);
	w->agg_first_arg = palloc(sizeof(int) * w->naggs);
	w->evaluated = palloc0(sizeof(SpExpression *) *
						   (w->nkeys + w->ncarry + w->naggs * (SP_MAX_AGG_ARGS + 1)));
	for (i = 0; i < w->nkeys; i++)
		w->evaluated[w->nevaluated++] = &exprs->columns[i];
	w->native = true;

	sp_user_enter(&user, exprs->owner, exprs->settings);
	for (i = 0; i < w->ncarry; i++)
	{
		SpExpression *e = palloc(sizeof(SpExpression));

		sp_expression_compile(exprs, e, exprs->nodes[w->nkeys + i]);
		w->evaluated[w->nevaluated++] = e;
	}
	for (i = 0; i < w->naggs; i++)
	{
		Aggref	   *aggref = (Aggref *) exprs->nodes[w->nkeys + w->ncarry + i];
		SpAggregate *agg;
		ListCell   *lc;

		if (!IsA(aggref, Aggref))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the view that holds the expressions of \"%s\" was changed",
							w->def->o.name)));
		agg = sp_aggregate_bind(aggref, w->context,
								w->def->window_kind == SP_WINDOW_SLIDING ?
								sp_aggregate_offers(aggref) : needs);
		w->aggs[i] = agg;
		w->agg_offset[i] = w->value_size;
		w->value_size += MAXALIGN(sp_aggregate_state_size(agg));
		w->native &= sp_aggregate_is_native(agg);
		nkept += sp_aggregate_is_kept(agg);
		w->agg_filter[i] = -1;
		if (sp_aggregate_filter(agg) != NULL)
		{
			SpExpression *e = palloc(sizeof(SpExpression));

			sp_expression_compile(exprs, e, (Node *) sp_aggregate_filter(agg));
			w->agg_filter[i] = w->nevaluated;
			w->evaluated[w->nevaluated++] = e;
		}
		w->agg_first_arg[i] = w->nevaluated;
		foreach(lc, sp_aggregate_args(agg))
		{
			SpExpression *e = palloc(sizeof(SpExpression));

			sp_expression_compile(exprs, e, lfirst(lc));
			e->guard = w->agg_filter[i] + 1;
			w->evaluated[w->nevaluated++] = e;
		}
	}
	sp_user_leave(&user, true);
	w->nkept = Max(nkept, 1);
	for (i = 0; i < w->naggs; i++)
		sp_aggregate_share(w->aggs[i], w->nkept);
}

/* The columns of the result table that the worker writes, and its key: see definition.h. */
static void
describe_result(SpWindow *w)
{
	Relation	rel = sp_registry_look_at(w->def->o.relid);
	TupleDesc	desc = RelationGetDescr(rel);
	bool		global = w->def->window_kind == SP_WINDOW_GLOBAL;
	bool		sliding = w->def->window_kind == SP_WINDOW_SLIDING;
	int			first_key = global ? 1 : 3;
	int			n = 0;
	int			i;

	w->natts = (global ? 0 : 2) + w->nkeys + w->ncarry + w->nshown + (sliding ? 4 : 2);
	w->types = palloc(sizeof(Oid) * w->natts);
	if (!global)
	{
		w->types[n++] = w->stream->def->time_type;
		w->types[n++] = w->stream->def->time_type;
	}
	for (i = 0; i < w->nkeys + w->ncarry; i++)
		w->types[n++] = w->evaluated[i]->type;
	for (i = 0; i < w->nshown; i++)
		w->types[n++] = sp_aggregate_result_type(w->aggs[i]);
	w->types[n++] = BOOLOID;
	w->types[n++] = INT4OID;
	if (sliding)
	{
		w->types[n++] = PG_LSNOID;
		w->types[n++] = INT8OID;
	}
	sp_registry_check_result(&w->def->o, desc, w->natts, w->types);
	w->result_desc = CreateTemplateTupleDesc(w->natts);
	for (i = 0; i < w->natts; i++)
		TupleDescCopyEntry(w->result_desc, i + 1, desc, i + 1);
	w->result_keys = palloc(sizeof(AttrNumber) * (w->nkeys + 2));
	if (sliding)
	{
		w->result_keys[w->nresult_keys++] = w->natts - 1;	/* lsn, ordinal */
		w->result_keys[w->nresult_keys++] = w->natts;
		RelationClose(rel);
		return;
	}
	if (!global)
		w->result_keys[w->nresult_keys++] =
			w->def->window_kind == SP_WINDOW_CUMULATIVE ? 2 : 1;
	for (i = 0; i < w->nkeys; i++)
		w->result_keys[w->nresult_keys++] = first_key + i;
	if (w->nresult_keys == 0)
		w->result_keys[w->nresult_keys++] = w->natts - 1;	/* is_final: there is one row */
	RelationClose(rel);
}

/* Is there HAVING, or an aggregate not PostgreSQL's own or run as a whole?  That may. */
static bool
depends_on_settings(const SpWindow *w)
{
	int			a;

	if (w->having != NULL)
		return true;
	for (a = 0; a < w->naggs; a++)
	{
		Aggref	   *aggref = (Aggref *) w->expressions->nodes[w->nkeys + w->ncarry + a];

		if (aggref->aggfnoid >= FirstNormalObjectId || sp_aggregate_is_kept(w->aggs[a]))
			return true;
	}
	return false;
}

/* The operations of a kind. */
static const SpWindowOps *
find_ops(const SpWindowDef *def)
{
	switch (def->window_kind)
	{
		case SP_WINDOW_TUMBLING:
		case SP_WINDOW_GLOBAL:
			return &sp_bucket_window_ops;
		case SP_WINDOW_SESSION:
			return &sp_session_ops;
		case SP_WINDOW_HOPPING:
			return def->emit_final ? &sp_pane_ops : &sp_bucket_window_ops;
		case SP_WINDOW_CUMULATIVE:
			/* An empty pane doesn't tell for how many windows its key has been silent. */
			return def->emit_final && !def->fill_zero ? &sp_pane_ops : &sp_bucket_window_ops;
		case SP_WINDOW_SLIDING:
			return &sp_sliding_ops;
	}
	elog(ERROR, "unknown kind of window: %d", (int) def->window_kind);
	return NULL;
}

/*
 * Bring a window to life, without state, that takes the stream's rows or, when it is given,
 * those of another window on that stream.  Needs a transaction.
 */
SpWindow *
sp_window_open(SpWindowDef *def, SpStream *stream, SpWindow *upstream)
{
	MemoryContext context = AllocSetContextCreate(sp_engine.context, "streamproc window",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	SpWindow   *w = palloc0(sizeof(SpWindow));
	List	   *settings;

	w->context = context;
	w->def = def;
	w->stream = stream;
	w->upstream = upstream;
	w->ops = find_ops(def);
	w->nkeys = def->nkeys;
	w->ncarry = def->ncarry;
	w->naggs = w->nshown = def->naggs;
	w->retention.done = SP_NO_WATERMARK;
	w->floor = w->spoiled = PG_INT64_MIN;
	w->closed_until = SP_NO_WATERMARK;
	w->result_context = AllocSetContextCreate(context, "streamproc result", ALLOCSET_DEFAULT_SIZES);
	w->expressions = sp_expressions_open(&def->o, upstream ? upstream->result_desc : stream->desc);
	if (w->expressions->ncolumns != w->nkeys + w->ncarry + w->naggs)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the view that holds the expressions of \"%s\" was changed", def->o.name)));
	unwrap_carried(w);
	sp_having_open(w);
	w->retracts = upstream == NULL && stream->def->on_update == SP_ON_UPDATE_RETRACT;
	w->has_tally = def->fill_zero || (w->retracts && def->window_kind != SP_WINDOW_SESSION &&
									  def->window_kind != SP_WINDOW_SLIDING);
	w->agg_start = (w->has_tally ? sizeof(SpTally) : 0) + MAXALIGN(w->ops->head_size);
	w->value_size = w->agg_start;
	bind_aggregates(w);
	settings = w->expressions->settings;
	sp_expressions_finish(w->expressions, w->evaluated, w->nevaluated);
	if (depends_on_settings(w))
		w->expressions->settings = settings;
	sp_group_init(&w->groups,
				  AllocSetContextCreate(context, "streamproc groups", ALLOCSET_DEFAULT_SIZES),
				  w->nkeys, w->evaluated,
				  (w->ops->value_size ? w->ops->value_size : w->value_size) +
				  (w->ops->has_partials ? sp_window_partial_size(w) : 0));
	if (!w->groups.builtin)
		w->native = false;
	/* TRUNCATE takes all groups back, one by one, and so does fill => 'zero' look at each */
	if (w->ops == &sp_bucket_window_ops && !w->retracts && !def->fill_zero)
		sp_spill_allow(&w->groups, w->ops->write_value, w->ops->read_value,
					   w->native ? NULL : sp_window_release_any, context, w);
	w->groups.own_only = w->groups.can_spill && def->window_kind != SP_WINDOW_GLOBAL;
	w->ops->open(w);
	describe_result(w);
	sp_output_init(&w->output, context);
	w->output.window = w;
	if (def->window_kind == SP_WINDOW_SLIDING)
		w->output.inserts = sp_inserts_create(context, def->o.relid, w->result_desc);
	MemoryContextSwitchTo(old);
	return w;
}
