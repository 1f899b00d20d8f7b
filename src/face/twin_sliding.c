/*
 * twin_sliding.c
 *	  The twin of a sliding window.
 *
 *	SELECT s.time - size AS window_start, s.time AS window_end, keys, carry,
 *		aggregate OVER (PARTITION BY keys ORDER BY s.time
 *						RANGE BETWEEN size PRECEDING AND CURRENT ROW), ...
 *	FROM admitted s WHERE filter
 *
 * with size less 1 us for the bounds '(]'.  Aggregates that aren't possible OVER a window
 * (DISTINCT, ORDER BY) are subqueries over the same rows.  With a group_filter all this, and
 * the aggregates that only the condition has, is a subquery, and the condition one over its
 * columns.
 *
 * It says what is known in the end; the window says what was known when each row came.
 */
#include "postgres.h"

#include "catalog/pg_aggregate_d.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/primnodes.h"
#include "utils/builtins.h"
#include "utils/ruleutils.h"

#include "base/compat.h"
#include "engine/having.h"
#include "face/twin.h"

/* Can the aggregate be called OVER a window? */
static bool
can_be_over(const Aggref *aggref)
{
	return aggref->aggdistinct == NIL && aggref->aggorder == NIL &&
		!AGGKIND_IS_ORDERED_SET(aggref->aggkind);
}

/* The keys, as expressions over s or b. */
static char *
list_keys(const SpTwin *twin, List *context)
{
	StringInfoData list;
	ListCell   *cell;

	initStringInfo(&list);
	foreach(cell, twin->draft->keys)
		appendStringInfo(&list, "%s%s", foreach_current_index(cell) > 0 ? ", " : "",
						 deparse_expression(((SpClause *) lfirst(cell))->expr, context, true,
											false));
	return list.data;
}

/* "(SELECT aggregate FROM rows b WHERE b is in the window of s)" */
static void
append_subquery(StringInfo sql, const SpTwin *twin, Node *aggref, const char *preceding)
{
	List	   *context = deparse_context_for("b", twin->draft->source.relid);

	appendStringInfo(sql, "(SELECT %s FROM admitted b WHERE b." SP_TWIN_TIME " <= s." SP_TWIN_TIME
					 " AND b." SP_TWIN_TIME " >= s." SP_TWIN_TIME " - %s",
					 deparse_expression(aggref, context, true, false), preceding);
	if (twin->draft->keys != NIL)
		appendStringInfo(sql, " AND record_eq(ROW(%s), ROW(%s))", list_keys(twin, context),
						 list_keys(twin, twin->context));
	appendStringInfoChar(sql, ')');
}

static void
append_aggregate(StringInfo sql, const SpTwin *twin, Node *aggref, const char *preceding,
				 const char *name)
{
	appendStringInfoString(sql, ", ");
	if (can_be_over(castNode(Aggref, aggref)))
		appendStringInfo(sql, "%s OVER w", deparse_expression(aggref, twin->context, true, false));
	else
		append_subquery(sql, twin, aggref, preceding);
	appendStringInfo(sql, " AS %s", quote_identifier(name));
}

/* ---- The group_filter. ---- */

/* The columns that the condition is over: keys, the window's aggregates, its own ones. */
typedef struct Condition
{
	List	   *names;			/* quoted */
	List	   *hidden;			/* aggregates of its own */
	char	   *text;
} Condition;

/* The nth aggregate that the window doesn't show. */
static char *
hidden_name(int n)
{
	return psprintf("hidden aggregate %d", n);
}

/* The condition's columns as parameters, which can be written down without a relation. */
static Node *
make_parameters(Node *node, void *context)
{
	Var		   *var = (Var *) node;
	Param	   *param;

	if (node == NULL || !IsA(node, Var))
		return expression_tree_mutator(node, make_parameters, context);
	param = makeNode(Param);
	param->paramkind = PARAM_EXTERN;
	param->paramid = var->varattno;
	param->paramtype = var->vartype;
	param->paramtypmod = var->vartypmod;
	param->paramcollid = var->varcollid;
	param->location = -1;
	return (Node *) param;
}

/* Write columns "q.name" for the parameters $n that are not within quotes. */
static char *
name_parameters(const char *text, List *names)
{
	StringInfoData result;
	char		quote = '\0';

	initStringInfo(&result);
	for (const char *p = text; *p != '\0'; p++)
	{
		if (*p == quote)
			quote = '\0';
		else if (quote == '\0' && (*p == '\'' || *p == '"'))
			quote = *p;
		if (quote == '\0' && *p == '$')
		{
			char	   *end;
			long		n = strtol(p + 1, &end, 10);

			appendStringInfo(&result, "q.%s", (char *) list_nth(names, n - 1));
			p = end - 1;
		}
		else
			appendStringInfoChar(&result, *p);
	}
	return result.data;
}

static void
read_condition(const SpTwin *twin, Condition *condition)
{
	const SpWindowDraft *draft = twin->draft;
	List	   *keys = NIL;
	List	   *aggregates = NIL;
	Node	   *node;
	Var		   *stray;
	ListCell   *cell;

	memset(condition, 0, sizeof(*condition));
	foreach(cell, draft->keys)
		keys = lappend(keys, ((SpClause *) lfirst(cell))->expr);
	foreach(cell, draft->aggregates)
		aggregates = lappend(aggregates, ((SpClause *) lfirst(cell))->expr);
	node = sp_having_rewrite(draft->having->expr, keys, &aggregates, &stray);
	condition->hidden = list_copy_tail(aggregates, list_length(draft->aggregates));

	foreach(cell, list_concat_copy(draft->keys, draft->aggregates))
	{
		SpClause   *clause = lfirst(cell);

		condition->names = lappend(condition->names, pstrdup(quote_identifier(clause->name)));
	}
	for (int i = 1; i <= list_length(condition->hidden); i++)
		condition->names = lappend(condition->names, pstrdup(quote_identifier(hidden_name(i))));
	condition->text = name_parameters(deparse_expression(make_parameters(node, NULL), NIL, true,
														 false), condition->names);
}

/* "SELECT the window's columns FROM (...) q WHERE condition"; what is before the query, and behind. */
static void
append_before(StringInfo sql, const SpWindowDraft *draft)
{
	List	   *clauses = list_concat_copy(draft->keys, draft->carry);
	ListCell   *cell;

	appendStringInfoString(sql, "SELECT q.window_start, q.window_end");
	foreach(cell, list_concat(clauses, draft->aggregates))
		appendStringInfo(sql, ", q.%s", quote_identifier(((SpClause *) lfirst(cell))->name));
	appendStringInfoString(sql, " FROM (");
}

static void
append_behind(StringInfo sql, const Condition *condition)
{
	appendStringInfo(sql, ") q WHERE %s", condition->text);
}

/* ---- The query. ---- */

static void
append_answers(StringInfo sql, const SpTwin *twin, const Condition *condition)
{
	const SpWindowDraft *draft = twin->draft;
	int64		size = sp_definition_interval_us(draft->size);
	const char *preceding = sp_twin_quote_us(draft->closed ? size : size - 1);
	ListCell   *cell;

	appendStringInfo(sql, "SELECT (s." SP_TWIN_TIME " - %s)%s AS window_start, s." SP_TWIN_TIME
					 " AS window_end", sp_twin_quote_us(size), sp_twin_cast(draft->stream));
	sp_twin_append_targets(sql, list_concat_copy(draft->keys, draft->carry), twin->context, false);
	foreach(cell, draft->aggregates)
		append_aggregate(sql, twin, ((SpClause *) lfirst(cell))->expr, preceding,
						 ((SpClause *) lfirst(cell))->name);
	foreach(cell, condition->hidden)
		append_aggregate(sql, twin, lfirst(cell), preceding,
						 hidden_name(foreach_current_index(cell) + 1));
	appendStringInfo(sql, " FROM admitted s WINDOW w AS (%s%s ORDER BY s." SP_TWIN_TIME
					 " RANGE BETWEEN %s PRECEDING AND CURRENT ROW)",
					 draft->keys != NIL ? "PARTITION BY " : "", list_keys(twin, twin->context),
					 preceding);
}

void
sp_twin_append_sliding(StringInfo sql, const SpTwin *twin)
{
	const SpWindowDraft *draft = twin->draft;
	Condition	condition = {0};

	appendStringInfoString(sql, "WITH admitted AS MATERIALIZED (SELECT s.* FROM ");
	sp_twin_append_rows(sql, twin);
	sp_twin_append_filter(sql, twin, " WHERE ");
	appendStringInfoString(sql, ") ");
	if (draft->having != NULL)
	{
		read_condition(twin, &condition);
		append_before(sql, draft);
	}
	append_answers(sql, twin, &condition);
	if (draft->having != NULL)
		append_behind(sql, &condition);
}
