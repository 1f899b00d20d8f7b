/*
 * intact.c
 *	  Are an object's relations still what was made for it?
 *
 * They are their owner's, who may alter them, which must harm nobody else: an object whose
 * relations were changed counts for nothing.
 */
#include "postgres.h"

#include "access/relation.h"
#include "nodes/parsenodes.h"
#include "optimizer/clauses.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "catalog/intact.h"

bool
sp_intact_view(const SpObjectDef *object, int nplain, int naggregates)
{
	Oid			source = object->kind == SP_STREAM ? object->relid : object->source;
	Relation	view = try_relation_open(object->expressions, AccessShareLock);
	Query	   *query;
	RangeTblRef *from;
	ListCell   *cell;
	bool		intact;
	int			n = 0;

	if (view == NULL)
		return false;
	query = get_view_query(view);
	from = query->jointree->fromlist == NIL ? NULL : linitial(query->jointree->fromlist);
	intact = list_length(query->jointree->fromlist) == 1 && IsA(from, RangeTblRef) &&
		rt_fetch(from->rtindex, query->rtable)->relid == source &&
		!query->hasSubLinks && !query->hasWindowFuncs && !query->hasTargetSRFs;
	foreach(cell, query->targetList)
	{
		TargetEntry *target = lfirst(cell);

		if (target->resjunk)
			continue;
		if (n++ < nplain)
			intact = intact && !contain_agg_clause((Node *) target->expr);
		else
			intact = intact && IsA(target->expr, Aggref);
	}
	relation_close(view, AccessShareLock);
	return intact && n == nplain + naggregates;
}

bool
sp_intact_result(const SpWindowDef *window)
{
	Relation	table = try_relation_open(window->o.relid, AccessShareLock);
	Relation	view = try_relation_open(window->o.expressions, AccessShareLock);
	int			first = window->window_kind == SP_WINDOW_GLOBAL ? 0 : 2;
	bool		same = view != NULL && table != NULL &&
		RelationGetDescr(table)->natts >= first + RelationGetDescr(view)->natts;

	for (int i = 0; same && i < RelationGetDescr(view)->natts; i++)
		same = TupleDescAttr(RelationGetDescr(view), i)->atttypid ==
			TupleDescAttr(RelationGetDescr(table), first + i)->atttypid;
	if (view != NULL)
		relation_close(view, AccessShareLock);
	if (table != NULL)
		relation_close(table, AccessShareLock);
	return same;
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
