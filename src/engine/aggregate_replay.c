/*
 * aggregate_replay.c
 *	  Aggregates that keep their rows: which they are, and their results.
 *
 * A result is what the server's own executor makes of the rows: an Agg node over a node
 * that reads a state.  So sorting (ORDER BY, WITHIN GROUP), DISTINCT, strictness and direct
 * arguments are its affair, and ordered-set aggregates find the surroundings they need.
 * The nodes are made once, and scanned again for each result; after an error they are made
 * anew, for nobody knows what they hold.  They keep nothing from one result to the next, and
 * so don't mind that transactions end in between.
 *
 * Where the server would only count or add up different values, the kernel does it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/stratnum.h"
#include "access/transam.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/nodeAgg.h"
#include "funcapi.h"
#include "nodes/extensible.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_agg.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "engine/aggregate_internal.h"
#include "engine/internal.h"

StaticAssertDecl(MaxAllocSize / SP_PAGE_GROUPS > SP_AGG_LARGEST_STATE + SP_AGG_LARGEST_STATE / 8,
				 "a page of them can be saved");

struct SpReplay
{
	Plan	   *plan;			/* in the aggregate's context */
	MemoryContext context;		/* of the nodes; NULL: they must be made */
	PlanState  *node;
};

/* The node below the aggregate: the rows of a state. */
typedef struct ReplayScan
{
	CustomScanState css;		/* must be first */
	SpKeptCursor cursor;
	MemoryContext row;			/* of the row at hand */
	uint64		again;			/* how often that is still to come */
} ReplayScan;

/* ---- the scan ---- */

/* Callback: the next row. */
static TupleTableSlot *
next_row(CustomScanState *node)
{
	ReplayScan *scan = (ReplayScan *) node;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	MemoryContext old;
	bool		found;

	if (scan->again > 0)
	{
		scan->again--;
		return slot;
	}
	ExecClearTuple(slot);
	MemoryContextReset(scan->row);
	old = MemoryContextSwitchTo(scan->row);
	found = sp_keeper_next(&scan->cursor, slot->tts_values, slot->tts_isnull, &scan->again);
	MemoryContextSwitchTo(old);
	if (!found)
		return slot;
	scan->again = scan->cursor.keeper->distinct ? 0 : scan->again - 1;
	return ExecStoreVirtualTuple(slot);
}

/* Callback: the nodes are being made. */
static void
begin_scan(CustomScanState *node, EState *estate, int eflags)
{
	((ReplayScan *) node)->row = AllocSetContextCreate(estate->es_query_cxt, "aggregate row",
													   ALLOCSET_SMALL_SIZES);
}

/* Callbacks: each scan is given its state from outside. */
static void
end_scan(CustomScanState *node)
{
}

static const CustomExecMethods scan_exec_methods = {
	.CustomName = "streamproc kept rows",
	.BeginCustomScan = begin_scan,
	.ExecCustomScan = next_row,
	.EndCustomScan = end_scan,
	.ReScanCustomScan = end_scan
};

/* Callback: the node of a plan. */
static Node *
create_scan(CustomScan *plan)
{
	ReplayScan *scan = (ReplayScan *) newNode(sizeof(ReplayScan), T_CustomScanState);

	scan->css.methods = &scan_exec_methods;
	return (Node *) scan;
}

static const CustomScanMethods scan_methods = {
	.CustomName = "streamproc kept rows",
	.CreateCustomScanState = create_scan
};

/* ---- the plan ---- */

/* The columns of a row, as the targets of a plan. */
static List *
make_targets(const Aggref *aggref, int varno)
{
	List	   *targets = NIL;
	ListCell   *lc;

	foreach(lc, aggref->args)
	{
		Node	   *expr = (Node *) lfirst_node(TargetEntry, lc)->expr;
		AttrNumber	n = foreach_current_index(lc) + 1;

		targets = lappend(targets,
						  makeTargetEntry((Expr *) makeVar(varno, n, exprType(expr),
														   exprTypmod(expr),
														   exprCollation(expr), 0),
										  n, NULL, false));
	}
	return targets;
}

/* The call, over the columns of the node below it. */
static Aggref *
make_call(const Aggref *aggref)
{
	Aggref	   *call = (Aggref *) copyObjectImpl(aggref);
	ListCell   *lc;
	ListCell   *column;

	forboth(lc, call->args, column, make_targets(aggref, OUTER_VAR))
		lfirst_node(TargetEntry, lc)->expr = lfirst_node(TargetEntry, column)->expr;
	call->aggdirectargs = (List *) expression_planner((Expr *) call->aggdirectargs);
	call->aggfilter = NULL;		/* rows that don't pass it aren't kept */
	call->aggsplit = AGGSPLIT_SIMPLE;
	call->aggno = call->aggtransno = 0;
	return call;
}

/* The aggregate over the rows of a state. */
static Plan *
make_plan(const Aggref *aggref)
{
	CustomScan *scan = makeNode(CustomScan);
	Agg		   *agg = makeNode(Agg);

	scan->custom_scan_tlist = make_targets(aggref, INDEX_VAR);
	scan->scan.plan.targetlist = scan->custom_scan_tlist;
	scan->methods = &scan_methods;

	agg->aggstrategy = AGG_PLAIN;
	agg->aggsplit = AGGSPLIT_SIMPLE;
	agg->numGroups = 1;
	agg->plan.targetlist = list_make1(makeTargetEntry((Expr *) make_call(aggref), 1, "result",
													  false));
	agg->plan.lefttree = (Plan *) scan;
	return (Plan *) agg;
}

/* Make the nodes.  Checks that the current user may run the aggregate. */
static void
start_plan(SpAggregate *agg)
{
	SpReplay   *replay = agg->keeper->replay;
	MemoryContext old = MemoryContextSwitchTo(agg->context);
	EState	   *estate = CreateExecutorState();

	replay->context = estate->es_query_cxt;
	MemoryContextSwitchTo(estate->es_query_cxt);
	replay->node = ExecInitNode(replay->plan, estate, 0);
	MemoryContextSwitchTo(old);
}

/* Forget the nodes, without asking them. */
static void
drop_plan(SpReplay *replay)
{
	if (replay->context != NULL)
		MemoryContextDelete(replay->context);
	replay->context = NULL;
	replay->node = NULL;
}

/* ---- results ---- */

/* Run the rows through the aggregate; the result in the current memory context. */
static Datum
run_plan(SpAggregate *agg, const char *state, bool *isnull)
{
	SpReplay   *replay = agg->keeper->replay;
	ReplayScan *scan;
	TupleTableSlot *slot;
	Datum		result;
	int16		typlen;
	bool		typbyval;

	if (replay->node == NULL)
		start_plan(agg);
	scan = (ReplayScan *) outerPlanState(replay->node);
	sp_keeper_begin(agg, state, &scan->cursor);
	scan->again = 0;

	slot = ExecProcNode(replay->node);
	result = slot_getattr(slot, 1, isnull);
	get_typlenbyval(agg->aggref->aggtype, &typlen, &typbyval);
	if (*isnull)
		result = (Datum) 0;
	else if (!typbyval)
		result = sp_generic_copy_flat(result, typlen);

	/* What the aggregate holds is of this transaction. */
	ExecReScan(replay->node);
	return result;
}

/* The result of the kernel's total; throws what the server would. */
static Datum
finish_total(SpAggregate *agg, const char *state, bool *isnull)
{
	const void *total;
	int			sqlstate = 0;
	const char *message = sp_aggregate_describe(sp_keeper_total(agg, state, &total), &sqlstate);

	if (message != NULL)
		ereport(ERROR, (errcode(sqlstate), errmsg_internal("%s", message)));
	return sp_aggregate_finish(agg->keeper->total, total, isnull);
}

/* The result, by-reference ones in the current memory context. */
static Datum
kept_result(SpAggregate *agg, const char *state, bool *isnull)
{
	MemoryContext old = CurrentMemoryContext;
	volatile Datum result = (Datum) 0;

	if (agg->keeper->total != NULL)
		return finish_total(agg, state, isnull);
	PG_TRY();
	{
		result = run_plan(agg, state, isnull);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		drop_plan(agg->keeper->replay);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return result;
}

const SpAggregateKind sp_keeper_kind = {
	.state_size = sp_keeper_state_size,
	.init = sp_keeper_init,
	.advance = sp_keeper_advance,
	.retract = sp_keeper_retract,
	.combine = sp_keeper_combine,
	.result = kept_result,
	.serialize = sp_keeper_serialize,
	.deserialize = sp_keeper_deserialize,
	.copy = sp_keeper_copy,
	.release = sp_keeper_release
};

/* ---- binding ---- */

/* The server's own aggregates, besides min and max, that don't care about the order of rows. */
static bool
ignores_order(const Aggref *aggref, const Form_pg_aggregate form)
{
	/* those that have a sort operator are the first value by it */
	if (OidIsValid(form->aggsortop))
		return true;
	switch (aggref->aggfnoid)
	{
		case F_BOOL_AND:
		case F_BOOL_OR:
		case F_EVERY:
		case F_BIT_AND_INT2:
		case F_BIT_AND_INT4:
		case F_BIT_AND_INT8:
		case F_BIT_AND_BIT:
		case F_BIT_OR_INT2:
		case F_BIT_OR_INT4:
		case F_BIT_OR_INT8:
		case F_BIT_OR_BIT:
		case F_BIT_XOR_INT2:
		case F_BIT_XOR_INT4:
		case F_BIT_XOR_INT8:
		case F_BIT_XOR_BIT:
			return true;
		default:
			return false;
	}
}

/* Are values that this sort operator takes for equal the same bytes, as for deduplicated indexes? */
static bool
equality_is_of_images(Oid sortop, Oid collation)
{
	Oid			opfamily;
	Oid			type;
	SpOrderingKind kind;
	Oid			function;

	if (!get_ordering_op_properties(sortop, &opfamily, &type, &kind))
		return false;
	function = get_opfamily_proc(opfamily, type, type, BTEQUALIMAGE_PROC);
	return OidIsValid(function) &&
		DatumGetBool(OidFunctionCall1Coll(function, collation, ObjectIdGetDatum(type)));
}

/* The kernel whose result over the rows, each once, is the aggregate's; NULL: none. */
static const SpAggKernel *
choose_total(const SpAggregate *agg, const SpAggKernel *kernel, bool distinct)
{
	const Aggref *aggref = agg->aggref;
	TargetEntry *argument;
	SortGroupClause *clause;

	if (kernel == NULL || agg->nargs != 1 || aggref->aggkind != AGGKIND_NORMAL)
		return NULL;
	if (!distinct)
		return aggref->aggorder == NIL ? kernel : NULL;

	/* The sum of different floats depends on their order, which is that of their values. */
	if (kernel->state_kind == SP_AGG_STATE_SUM_FLOAT || kernel->state_kind == SP_AGG_STATE_MOMENTS)
		return NULL;
	argument = linitial_node(TargetEntry, aggref->args);
	clause = linitial_node(SortGroupClause, aggref->aggdistinct);
	return equality_is_of_images(clause->sortop, exprCollation((Node *) argument->expr)) ?
		kernel : NULL;
}

/* How to keep the values of an expression. */
static void
describe_column(const SpAggregate *agg, SpKeptColumn *column, Expr *expr)
{
	Oid			type = exprType((Node *) expr);

	get_typlenbyval(type, &column->typlen, &column->typbyval);
	column->packable = column->typlen == -1 && get_typstorage(type) != TYPSTORAGE_PLAIN;
	if (type == RECORDARRAYOID || (type == RECORDOID && !IsA(expr, RowExpr)))
		sp_aggregate_refuse(agg,
							"Its argument is a record of no named type, and what that is made of is "
							"forgotten in a restart.",
							"Write it as ROW(...), or cast it to a composite type.");
	if (type == RECORDOID)
	{
		RowExpr    *row = (RowExpr *) expr;
		TupleDesc	desc = ExecTypeFromExprList(row->args);
		ListCell   *lc;

		foreach(lc, row->args)
		{
			Oid			field = exprType(lfirst(lc));

			if (field == RECORDOID || field == RECORDARRAYOID)
				sp_aggregate_refuse(agg,
									"Its argument is a record within a record, none of a named type.",
									"Cast it to a composite type.");
		}
		ExecTypeSetColNames(desc, row->colnames);
		BlessTupleDesc(desc);
		column->is_record = true;
		column->packable = false;
		column->record_typmod = desc->tdtypmod;
	}
}

/* Does anything in the direct arguments depend on rows? */
static void
check_direct_arguments(const SpAggregate *agg)
{
	if (contain_var_clause((Node *) agg->aggref->aggdirectargs))
		sp_aggregate_refuse(agg,
							"Its direct argument depends on the row.",
							"Write a constant before WITHIN GROUP.");
}

/* Prepare to keep rows; current memory context: the aggregate's. */
SpKeeper *
sp_replay_bind(SpAggregate *agg, HeapTuple tuple, int needs)
{
	Form_pg_aggregate form = (Form_pg_aggregate) GETSTRUCT(tuple);
	Aggref	   *aggref = agg->aggref;
	SpKeeper   *keeper = palloc0(sizeof(SpKeeper));
	ListCell   *lc;

	check_direct_arguments(agg);
	sp_generic_check_functions(agg, tuple);
	aggref->aggtranstype = sp_generic_resolve(agg, tuple);

	keeper->ncolumns = agg->nargs;
	keeper->columns = palloc0(sizeof(SpKeptColumn) * Max(1, agg->nargs));
	foreach(lc, aggref->args)
	{
		TargetEntry *argument = lfirst(lc);

		describe_column(agg, &keeper->columns[foreach_current_index(lc)], argument->expr);
		if (!argument->resjunk && func_strict(form->aggtransfn))
			keeper->nstrict++;
	}
	keeper->distinct = aggref->aggdistinct != NIL;
	keeper->counted = keeper->distinct ||
		((needs & SP_AGG_RETRACT) != 0 &&
		 (aggref->aggkind != AGGKIND_NORMAL ||
		  (aggref->aggorder == NIL && ignores_order(aggref, form))));
	keeper->limit = SP_AGG_LARGEST_STATE;
	keeper->temp = AllocSetContextCreate(agg->context, "aggregate temporary",
										 ALLOCSET_SMALL_SIZES);
	agg->keeper = keeper;
	keeper->total = choose_total(agg, sp_aggregate_find_kernel(aggref->aggfnoid),
								 keeper->distinct);
	if (keeper->total == NULL)
	{
		keeper->replay = palloc0(sizeof(SpReplay));
		keeper->replay->plan = make_plan(aggref);
		start_plan(agg);
	}
	return keeper;
}
