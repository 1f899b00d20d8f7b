/*
 * having.c
 *	  HAVING: which groups of a window have a result row.
 *
 * The condition stands over keys and aggregates.  Aggregates that the window doesn't show are
 * maintained with the others, behind them ("hidden"), and have no column in the result table.
 *
 * A group that doesn't satisfy it is absent: its result row, if there was one, is deleted, and
 * what reads the window doesn't get it.  An error in the condition is like one in a final
 * function: results can't be written while it lasts, and the window has failed when its rows
 * are to be handed on.
 */
#include "engine/having.h"

#include "engine/internal.h"

#include "base/compat.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"

struct SpHaving
{
	ExprState  *state;
	ExprContext *econtext;
	TupleTableSlot *slot;		/* keys, what the window shows, hidden aggregates */
};

typedef struct RewriteContext
{
	List	   *keys;
	List	   *aggregates;
	Var		   *stray;
} RewriteContext;

/* A column of the row. */
static Node *
make_column(int n, Node *expr)
{
	return (Node *) makeVar(OUTER_VAR, n, exprType(expr), exprTypmod(expr), exprCollation(expr), 0);
}

/* The place of what is in a list. */
static int
position_of(List *list, Node *node)
{
	int			n = 0;

	while (!equal(list_nth(list, n), node))
		n++;
	return n;
}

/* Replace keys and aggregates by columns of the row. */
static Node *
rewrite(Node *node, RewriteContext *context)
{
	ListCell   *lc;

	if (node == NULL)
		return NULL;
	foreach(lc, context->keys)
	{
		if (equal(node, lfirst(lc)))
			return make_column(foreach_current_index(lc) + 1, node);
	}
	if (IsA(node, Aggref))
	{
		context->aggregates = list_append_unique(context->aggregates, node);
		return make_column(list_length(context->keys) + 1 +
						   position_of(context->aggregates, node), node);
	}
	if (IsA(node, Var))
		context->stray = (Var *) node;
	return expression_tree_mutator(node, rewrite, context);
}

/* The condition over a row of keys and aggregates. */
Node *
sp_having_rewrite(Node *condition, List *keys, List **aggregates, Var **stray)
{
	RewriteContext context = {keys, *aggregates, NULL};
	Node	   *result = rewrite(condition, &context);

	*aggregates = context.aggregates;
	*stray = context.stray;
	return result;
}

/* A slot for rows of such expressions. */
static TupleTableSlot *
make_slot(Node **nodes, int n)
{
	TupleDesc	desc = CreateTemplateTupleDesc(n);

	for (int i = 0; i < n; i++)
		TupleDescInitEntry(desc, i + 1, NULL, exprType(nodes[i]), exprTypmod(nodes[i]), 0);
	return MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
}

/*
 * Prepare the condition, if there is one; its hidden aggregates join those of the window.
 * In the window's memory context, after its expressions were opened.
 */
void
sp_having_open(SpWindow *w)
{
	SpExpressions *exprs = w->expressions;
	List	   *keys = NIL;
	List	   *aggregates = NIL;
	Node	   *condition;
	Var		   *stray;
	SpUserContext user;
	ListCell   *lc;

	if (exprs->having == NULL)
		return;
	for (int i = 0; i < exprs->ncolumns; i++)
	{
		if (i < w->nkeys)
			keys = lappend(keys, exprs->nodes[i]);
		else
			aggregates = lappend(aggregates, exprs->nodes[i]);
	}
	condition = sp_having_rewrite(exprs->having, keys, &aggregates, &stray);
	if (stray != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the view that holds the expressions of \"%s\" was changed",
						w->def->o.name)));

	w->naggs += w->nkeys + list_length(aggregates) - exprs->ncolumns;
	exprs->nodes = repalloc(exprs->nodes,
							sizeof(Node *) * Max(1, w->nkeys + list_length(aggregates)));
	foreach(lc, aggregates)
		exprs->nodes[w->nkeys + foreach_current_index(lc)] = lfirst(lc);

	w->having = palloc(sizeof(SpHaving));
	w->having->slot = make_slot(exprs->nodes, w->nkeys + list_length(aggregates));
	w->having->econtext = CreateStandaloneExprContext();
	w->having->econtext->ecxt_outertuple = w->having->slot;
	sp_user_enter(&user, exprs->owner, exprs->settings);
	w->having->state = ExecInitExpr(expression_planner((Expr *) condition), NULL);
	sp_user_leave(&user, true);
}

/* Take what a result row shows; *hidden: where the hidden aggregates go, before judge(). */
static void
take_row(SpWindow *w, const Datum *values, const bool *nulls, Datum **hidden, bool **hidden_nulls)
{
	TupleTableSlot *slot = ExecClearTuple(w->having->slot);
	int			first = w->def->window_kind == SP_WINDOW_GLOBAL ? 0 : 2;
	int			nshown = w->expressions->ncolumns;

	memcpy(slot->tts_values, values + first, sizeof(Datum) * nshown);
	memcpy(slot->tts_isnull, nulls + first, sizeof(bool) * nshown);
	*hidden = slot->tts_values + nshown;
	*hidden_nulls = slot->tts_isnull + nshown;
}

/* Is the condition true for what was taken? */
static bool
judge(SpHaving *having)
{
	bool		isnull;
	Datum		result;

	ExecStoreVirtualTuple(having->slot);
	result = ExecEvalExprSwitchContext(having->state, having->econtext, &isnull);
	ResetExprContext(having->econtext);
	return !isnull && DatumGetBool(result);
}

/*
 * Is the condition true for a group, whose result row is in values?  May throw; it runs with
 * the owner's rights, which the caller has assumed.
 */
bool
sp_having_passes(SpWindow *w, SpGroup *group, const Datum *values, const bool *nulls)
{
	Datum	   *hidden;
	bool	   *hidden_nulls;

	if (w->having == NULL)
		return true;
	take_row(w, values, nulls, &hidden, &hidden_nulls);
	for (int i = w->nshown; i < w->naggs; i++)
		hidden[i - w->nshown] =
			sp_aggregate_result(w->aggs[i],
								sp_group_value(&w->groups, group) + w->agg_offset[i],
								&hidden_nulls[i - w->nshown]);
	return judge(w->having);
}

/* The same where the hidden aggregates' results are known. */
bool
sp_having_passes_row(SpWindow *w, const Datum *values, const bool *nulls, const Datum *results,
					 const bool *result_nulls)
{
	Datum	   *hidden;
	bool	   *hidden_nulls;
	int			n = w->naggs - w->nshown;

	if (w->having == NULL)
		return true;
	take_row(w, values, nulls, &hidden, &hidden_nulls);
	memcpy(hidden, results, sizeof(Datum) * n);
	memcpy(hidden_nulls, result_nulls, sizeof(bool) * n);
	return judge(w->having);
}
