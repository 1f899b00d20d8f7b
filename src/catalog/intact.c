/*
 * intact.c
 *	  Are an object's relations still what was made for it?
 *
 * They are their owner's, who may alter them, which must harm nobody else: an object whose
 * relations were changed counts for nothing.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class_d.h"
#include "catalog/pg_rewrite.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteSupport.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "catalog/intact.h"

/* The query of a view as it is stored, or NULL when there is no such view. */
static Query *
load_query(Oid view)
{
	HeapTuple	tuple;
	Datum		action;
	bool		isnull;
	List	   *queries;

	if (get_rel_relkind(view) != RELKIND_VIEW)
		return NULL;
	tuple = SearchSysCache2(RULERELNAME, ObjectIdGetDatum(view), CStringGetDatum(ViewSelectRuleName));
	if (!HeapTupleIsValid(tuple))
		return NULL;
	action = SysCacheGetAttr(RULERELNAME, tuple, Anum_pg_rewrite_ev_action, &isnull);
	queries = isnull ? NIL : (List *) stringToNode(TextDatumGetCString(action));
	ReleaseSysCache(tuple);
	return queries == NIL ? NULL : linitial_node(Query, queries);
}

/* Does the query read the one relation, and nothing else? */
static bool
reads_only(Query *query, Oid source)
{
	RangeTblRef *from;

	if (query->hasSubLinks || query->hasWindowFuncs || query->hasTargetSRFs ||
		list_length(query->jointree->fromlist) != 1)
		return false;
	from = linitial(query->jointree->fromlist);
	return IsA(from, RangeTblRef) && rt_fetch(from->rtindex, query->rtable)->relid == source;
}

Query *
sp_intact_view(const SpObjectDef *object, int nplain, int naggregates)
{
	Query	   *query = load_query(object->expressions);
	ListCell   *cell;
	int			n = 0;

	if (query == NULL ||
		!reads_only(query, object->kind == SP_STREAM ? object->relid : object->source))
		return NULL;
	foreach(cell, query->targetList)
	{
		TargetEntry *target = lfirst(cell);

		if (target->resjunk)
			continue;
		if (n++ < nplain ? contain_agg_clause((Node *) target->expr) :
			!IsA(target->expr, Aggref))
			return NULL;
	}
	return n == nplain + naggregates ? query : NULL;
}

const char *
sp_intact_describe_view(const SpObjectDef *object)
{
	char	   *view = get_rel_name(object->expressions);

	if (view == NULL)
		return "the view that held its expressions was dropped";
	return psprintf("view %s.%s, which holds its expressions, was altered",
					get_namespace_name(get_rel_namespace(object->expressions)), view);
}

bool
sp_intact_result(const SpWindowDef *window, Query *view)
{
	int			attnum = window->window_kind == SP_WINDOW_GLOBAL ? 1 : 3;
	int			first_carry = attnum + window->nkeys;
	ListCell   *cell;

	foreach(cell, view->targetList)
	{
		TargetEntry *target = lfirst(cell);
		Node	   *expr = (Node *) target->expr;

		if (target->resjunk)
			continue;
		if (attnum >= first_carry && attnum < first_carry + window->ncarry)
		{
			Aggref	   *gather = castNode(Aggref, expr);

			if (list_length(gather->args) != 1)
				return false;
			expr = (Node *) linitial_node(TargetEntry, gather->args)->expr;
		}
		if (get_atttype(window->o.relid, attnum++) != exprType(expr))
			return false;
	}
	return true;
}
