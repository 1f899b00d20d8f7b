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
 * (DISTINCT, ORDER BY) are subqueries over the same rows.
 *
 * It says what is known in the end; the window says what was known when each row came.
 */
#include "postgres.h"

#include "catalog/pg_aggregate_d.h"
#include "nodes/primnodes.h"
#include "utils/builtins.h"
#include "utils/ruleutils.h"

#include "base/compat.h"
#include "face/twin.h"

/* Can the aggregate be called OVER a window? */
static bool
can_be_over(const SpClause *clause)
{
	const Aggref *aggref = castNode(Aggref, clause->expr);

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
append_subquery(StringInfo sql, const SpTwin *twin, const SpClause *clause, const char *preceding)
{
	List	   *context = deparse_context_for("b", twin->draft->source.relid);

	appendStringInfo(sql, "(SELECT %s FROM admitted b WHERE b." SP_TWIN_TIME " <= s." SP_TWIN_TIME
					 " AND b." SP_TWIN_TIME " >= s." SP_TWIN_TIME " - %s",
					 deparse_expression(clause->expr, context, true, false), preceding);
	if (twin->draft->keys != NIL)
		appendStringInfo(sql, " AND record_eq(ROW(%s), ROW(%s))", list_keys(twin, context),
						 list_keys(twin, twin->context));
	appendStringInfoChar(sql, ')');
}

static void
append_aggregates(StringInfo sql, const SpTwin *twin, const char *preceding)
{
	ListCell   *cell;

	foreach(cell, twin->draft->aggregates)
	{
		SpClause   *clause = lfirst(cell);

		appendStringInfoString(sql, ", ");
		if (can_be_over(clause))
			appendStringInfo(sql, "%s OVER w",
							 deparse_expression(clause->expr, twin->context, true, false));
		else
			append_subquery(sql, twin, clause, preceding);
		appendStringInfo(sql, " AS %s", quote_identifier(clause->name));
	}
}

void
sp_twin_append_sliding(StringInfo sql, const SpTwin *twin)
{
	const SpWindowDraft *draft = twin->draft;
	int64		size = sp_definition_interval_us(draft->size);
	const char *preceding = sp_twin_quote_us(draft->closed ? size : size - 1);

	appendStringInfoString(sql, "WITH admitted AS MATERIALIZED (SELECT s.* FROM ");
	sp_twin_append_rows(sql, twin);
	sp_twin_append_filter(sql, twin, " WHERE ");
	appendStringInfo(sql, ") SELECT (s." SP_TWIN_TIME " - %s)%s AS window_start, s." SP_TWIN_TIME
					 " AS window_end", sp_twin_quote_us(size), sp_twin_cast(draft->stream));
	sp_twin_append_targets(sql, list_concat_copy(draft->keys, draft->carry), twin->context, false);
	append_aggregates(sql, twin, preceding);
	appendStringInfo(sql, " FROM admitted s WINDOW w AS (%s%s ORDER BY s." SP_TWIN_TIME
					 " RANGE BETWEEN %s PRECEDING AND CURRENT ROW)",
					 draft->keys != NIL ? "PARTITION BY " : "", list_keys(twin, twin->context),
					 preceding);
}
