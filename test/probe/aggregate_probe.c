/*
 * aggregate_probe.c
 *	  A library for the server: drives the aggregates of the engine from SQL, so that they can
 *	  be compared with the server's own.
 *
 * aggregate_probe(view, needs, seed) takes the rows of a view's source in the order of its
 * first column, and computes the aggregate that is the view's only column by detours that
 * must not show: states are copied, gone back to, stored and loaded, built from pieces that
 * are combined (needs & 1), and rows that come later are added early and taken away again
 * (needs & 2).  What calls it compares with the view.
 *
 * It finds the engine's functions in streamproc, which the server has loaded before.
 */
#include "postgres.h"

#include "access/table.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "engine/aggregate.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(aggregate_probe);
PG_FUNCTION_INFO_V1(aggregate_kind);

#define MAX_EARLY 5

typedef struct Probe
{
	SpAggregate *agg;
	uint64		random;
	int			nrows;
	NullableDatum *args;		/* [nrows * SP_MAX_AGG_ARGS] */
	bool	   *taken;			/* [nrows]: its filter is true */
	int			early[MAX_EARLY];	/* rows that were added before their turn */
	int			nearly;
} Probe;

/* The same numbers for the same seed. */
static uint32
below(Probe *probe, uint32 n)
{
	probe->random = probe->random * UINT64CONST(6364136223846793005) + 1442695040888963407;
	return (uint32) (probe->random >> 33) % n;
}

/* The aggregate call of a view, over attributes of its source as varno 1. */
static Aggref *
read_call(Oid view, Oid *source)
{
	Relation	rel = table_open(view, AccessShareLock);
	Query	   *query = copyObject(get_view_query(rel));
	RangeTblRef *from = linitial_node(RangeTblRef, query->jointree->fromlist);
	Aggref	   *call = castNode(Aggref, linitial_node(TargetEntry, query->targetList)->expr);

	*source = rt_fetch(from->rtindex, query->rtable)->relid;
	ChangeVarNodes((Node *) call, from->rtindex, 1, 0);
	table_close(rel, AccessShareLock);
	return call;
}

/* The arguments of all rows. */
static void
read_rows(Probe *probe, Oid source)
{
	char	   *sql = psprintf("SELECT * FROM %s ORDER BY 1", DatumGetCString(DirectFunctionCall1(regclassout, source)));
	List	   *exprs = sp_aggregate_args(probe->agg);
	Expr	   *filter = sp_aggregate_filter(probe->agg);
	ExprContext *econtext = CreateStandaloneExprContext();
	TupleTableSlot *slot;

	if (SPI_execute(sql, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "no rows");
	probe->nrows = SPI_processed;
	probe->args = palloc0(sizeof(NullableDatum) * SP_MAX_AGG_ARGS * probe->nrows);
	probe->taken = palloc0(probe->nrows);
	slot = MakeSingleTupleTableSlot(SPI_tuptable->tupdesc, &TTSOpsHeapTuple);
	econtext->ecxt_scantuple = slot;
	econtext->ecxt_per_tuple_memory = CurrentMemoryContext;
	for (int i = 0; i < probe->nrows; i++)
	{
		ListCell   *lc;
		bool		isnull = false;

		ExecStoreHeapTuple(SPI_tuptable->vals[i], slot, false);
		probe->taken[i] = filter == NULL ||
			(DatumGetBool(ExecEvalExpr(ExecInitExpr(expression_planner(filter), NULL), econtext, &isnull)) && !isnull);
		foreach(lc, exprs)
		{
			NullableDatum *arg = &probe->args[i * SP_MAX_AGG_ARGS + foreach_current_index(lc)];
			Oid			type = exprType(lfirst(lc));
			int16		typlen;
			bool		typbyval;

			if (!probe->taken[i])
				break;
			get_typlenbyval(type, &typlen, &typbyval);
			arg->value = ExecEvalExpr(ExecInitExpr(expression_planner(lfirst(lc)), NULL), econtext,
									  &arg->isnull);
			if (!arg->isnull)
				arg->value = datumCopy(arg->value, typbyval, typlen);
		}
	}
}

static void
check(const char *message, int sqlstate)
{
	if (message != NULL)
		ereport(ERROR, (errcode(sqlstate), errmsg("%s", message)));
}

static void
advance(Probe *probe, char *state, int row)
{
	int			sqlstate = 0;

	if (probe->taken[row])
		check(sp_aggregate_advance(probe->agg, state, &probe->args[row * SP_MAX_AGG_ARGS], &sqlstate),
			  sqlstate);
}

static void
retract(Probe *probe, char *state, int row)
{
	int			sqlstate = 0;

	if (probe->taken[row])
		check(sp_aggregate_retract(probe->agg, state, &probe->args[row * SP_MAX_AGG_ARGS], &sqlstate),
			  sqlstate);
}

/* A state of its own memory. */
static char *
new_state(Probe *probe)
{
	char	   *state = palloc0(sp_aggregate_state_size(probe->agg));

	sp_aggregate_init(probe->agg, state);
	return state;
}

/* Store and load. */
static char *
reload(Probe *probe, char *state)
{
	StringInfoData buf;
	char	   *loaded = palloc0(sp_aggregate_state_size(probe->agg));
	const char *p;

	initStringInfo(&buf);
	sp_aggregate_serialize(probe->agg, state, &buf);
	sp_aggregate_release(probe->agg, state);
	p = buf.data;
	sp_aggregate_deserialize(probe->agg, loaded, &p, buf.data + buf.len);
	if (p != buf.data + buf.len)
		elog(ERROR, "not all of a stored state was read");
	return loaded;
}

/* Change a state, and go back to a copy. */
static char *
go_back(Probe *probe, char *state, int row)
{
	char	   *copy = palloc0(sp_aggregate_state_size(probe->agg));

	sp_aggregate_copy(probe->agg, copy, state);
	for (int i = below(probe, 4); i >= 0; i--)
		advance(probe, state, (row + i) % probe->nrows);
	sp_aggregate_release(probe->agg, state);
	memcpy(state, copy, sp_aggregate_state_size(probe->agg));
	return state;
}

/* Look at a result in between, which must not change the state. */
static void
look(Probe *probe, char *state)
{
	bool		isnull;

	(void) sp_aggregate_result(probe->agg, state, &isnull);
}

/* Rows first..last-1, by detours. */
static char *
build(Probe *probe, int first, int last, bool with_retraction)
{
	char	   *state = new_state(probe);

	probe->nearly = 0;
	for (int row = first; row < last || probe->nearly > 0; row++)
	{
		if (row < last)
			advance(probe, state, row);
		if (with_retraction && row + 1 < last && probe->nearly < MAX_EARLY && below(probe, 3) == 0)
		{
			probe->early[probe->nearly] = row + 1 + below(probe, last - row - 1);
			advance(probe, state, probe->early[probe->nearly++]);
		}
		/* Take one back, at the latest before it comes itself. */
		for (int i = probe->nearly - 1; i >= 0; i--)
		{
			if (probe->early[i] > row + 1 && row + 1 < last && below(probe, 4) > 0)
				continue;
			retract(probe, state, probe->early[i]);
			probe->early[i] = probe->early[--probe->nearly];
		}
		if (below(probe, 10) == 0)
			state = reload(probe, state);
		if (below(probe, 10) == 0)
			state = go_back(probe, state, row);
		if (below(probe, 10) == 0)
			look(probe, state);
	}
	return state;
}

/* All rows, from pieces. */
static char *
combine(Probe *probe, bool with_retraction)
{
	char	   *state = new_state(probe);
	int			first = 0;

	while (first < probe->nrows)
	{
		int			n = below(probe, 2 * probe->nrows / 5 + 2);
		int			last = Min(probe->nrows, first + n);
		char	   *piece = build(probe, first, last, with_retraction);
		int			sqlstate = 0;

		check(sp_aggregate_combine(probe->agg, state, piece, &sqlstate), sqlstate);
		if (below(probe, 3) == 0)
			look(probe, piece);
		sp_aggregate_release(probe->agg, piece);
		first = last;
	}
	return state;
}

Datum
aggregate_probe(PG_FUNCTION_ARGS)
{
	Oid			view = PG_GETARG_OID(0);
	int			needs = PG_GETARG_INT32(1);
	Probe		probe = {.random = PG_GETARG_INT32(2)};
	MemoryContext context = CurrentMemoryContext;
	Oid			source;
	char	   *state;
	Datum		result;
	bool		isnull;
	Oid			output;
	bool		varlena;
	char	   *text;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	probe.agg = sp_aggregate_bind(read_call(view, &source), CurrentMemoryContext, needs);
	if (((needs & SP_AGG_COMBINE) != 0 && !sp_aggregate_can_combine(probe.agg)) ||
		((needs & SP_AGG_RETRACT) != 0 && !sp_aggregate_can_retract(probe.agg)))
		elog(ERROR, "it was bound without what it needs");
	read_rows(&probe, source);
	state = (needs & SP_AGG_COMBINE) != 0 ? combine(&probe, (needs & SP_AGG_RETRACT) != 0) :
		build(&probe, 0, probe.nrows, (needs & SP_AGG_RETRACT) != 0);
	result = sp_aggregate_result(probe.agg, state, &isnull);
	if (isnull)
	{
		SPI_finish();
		PG_RETURN_NULL();
	}
	getTypeOutputInfo(sp_aggregate_result_type(probe.agg), &output, &varlena);
	text = MemoryContextStrdup(context, OidOutputFunctionCall(output, result));
	sp_aggregate_release(probe.agg, state);
	SPI_finish();
	PG_RETURN_TEXT_P(cstring_to_text(text));
}

/* How it is maintained. */
Datum
aggregate_kind(PG_FUNCTION_ARGS)
{
	Oid			source;
	SpAggregate *agg = sp_aggregate_bind(read_call(PG_GETARG_OID(0), &source), CurrentMemoryContext,
										 PG_GETARG_INT32(1));

	PG_RETURN_TEXT_P(cstring_to_text(sp_aggregate_is_native(agg) ? "native" :
									 sp_aggregate_is_kept(agg) ? "kept" : "generic"));
}
