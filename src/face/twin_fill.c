/*
 * twin_fill.c
 *	  The windows without rows of keys that are alive (fill => 'zero'), in a twin.
 *
 *	WITH RECURSIVE answer AS (the windows with rows),
 *		fill AS (
 *			SELECT window, keys, 0 AS silent, the key's next window FROM answer
 *			UNION ALL
 *			SELECT the window behind, keys, silent + 1, the key's next window FROM fill
 *			WHERE the key is alive, and that is before its next window)
 *	SELECT * FROM answer
 *	UNION ALL
 *	SELECT window, keys, aggregates of nothing
 *	FROM fill JOIN nothing, which is grouped by the keys,
 *	WHERE silent > 0
 *
 * A group that the group_filter leaves out lives on, so that answer has all of them, with a
 * mark.  How far time has come, beyond the last row, is known from the last window that is final:
 * when the stream is idle, the clock closes windows.
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "face/twin.h"

/* Windows for which a key may be silent, without retention. */
#define MOST_SILENT 10000

#define SILENT	"\"windows of silence\""
#define NEXT	"\"end of the next window with rows\""

/* ", f.name, ..." of each clause */
static char *
list_columns(List *clauses, const char *alias)
{
	StringInfoData list;
	ListCell   *cell;

	initStringInfo(&list);
	foreach(cell, clauses)
		appendStringInfo(&list, ", %s.%s", alias,
						 quote_identifier(((SpClause *) lfirst(cell))->name));
	return list.data;
}

/* For how many windows a key may be silent; as the worker has it. */
static int64
count_most(const SpWindowDraft *draft)
{
	const Interval *step = draft->slide != NULL ? draft->slide : draft->size;

	if (draft->retention == NULL)
		return MOST_SILENT;
	return Max(1, Min(sp_definition_interval_us(draft->retention) /
					  sp_definition_interval_us(step), MOST_SILENT));
}

/* The end of the last window that there is, or has been closed. */
static char *
format_last(const SpTwin *twin)
{
	const SpWindowDraft *draft = twin->draft;
	Oid			relid = sp_relation_oid(&draft->name);
	int			is_final = 3 + list_length(draft->keys) + list_length(draft->aggregates);
	const char *end = quote_identifier(get_attname(relid, 2, false));

	return psprintf("greatest((SELECT max(a.window_end) FROM answer a WHERE isfinite(a.window_end)), "
					"(SELECT max(r.%s) FROM %s r WHERE r.%s AND isfinite(r.%s)))",
					end, draft->name.quoted,
					quote_identifier(get_attname(relid, is_final, false)), end);
}

static void
append_recursion(StringInfo sql, const SpTwin *twin)
{
	const char *keys = list_columns(twin->draft->keys, "a");

	appendStringInfo(sql, "fill AS (SELECT a.window_start, a.window_end%s, 0 AS " SILENT
					 ", lead(a.window_end) OVER (%s%s ORDER BY a.window_end) AS " NEXT
					 " FROM answer a WHERE isfinite(a.window_end) UNION ALL SELECT "
					 "w.window_start, w.window_end%s, f." SILENT " + 1, f." NEXT " FROM fill f "
					 "CROSS JOIN LATERAL (SELECT w.window_start, w.window_end FROM ",
					 keys, *keys ? "PARTITION BY " : "", *keys ? keys + 2 : "",
					 list_columns(twin->draft->keys, "f"));
	sp_twin_append_function(sql, twin, "f.window_end");
	appendStringInfo(sql, " w LIMIT 1) w WHERE f." SILENT " < " INT64_FORMAT
					 " AND w.window_end <= %s AND (f." NEXT " IS NULL OR w.window_end < f." NEXT "))",
					 count_most(twin->draft), format_last(twin));
}

/* Let an aggregate see nothing. */
static Node *
empty_aggregates(Node *node, void *context)
{
	Aggref	   *aggref;

	if (node == NULL || !IsA(node, Aggref))
		return expression_tree_mutator(node, empty_aggregates, context);
	aggref = copyObject((Aggref *) node);
	aggref->aggfilter = (Expr *) makeBoolConst(false, false);
	return (Node *) aggref;
}

static SpClause *
empty_clause(const SpClause *clause)
{
	SpClause   *empty = palloc(sizeof(SpClause));

	*empty = *clause;
	empty->expr = empty_aggregates(clause->expr, NULL);
	return empty;
}

/* Does what aggregates are of no rows depend on the keys? */
static bool
depends_on_keys(const SpWindowDraft *draft)
{
	ListCell   *cell;

	if (draft->having != NULL)
		return true;
	foreach(cell, draft->aggregates)
	{
		if (castNode(Aggref, ((SpClause *) lfirst(cell))->expr)->aggdirectargs != NIL)
			return true;
	}
	return false;
}

/* What aggregates are of no rows; for each key where that matters. */
static void
append_nothing(StringInfo sql, const SpTwin *twin)
{
	SpWindowDraft draft = *twin->draft;
	SpTwin		empty = *twin;
	ListCell   *cell;

	empty.draft = &draft;
	draft.kind = SP_WINDOW_GLOBAL;
	draft.slide = NULL;
	draft.aggregates = NIL;
	if (!depends_on_keys(twin->draft))
		draft.keys = NIL;
	foreach(cell, twin->draft->aggregates)
		draft.aggregates = lappend(draft.aggregates, empty_clause(lfirst(cell)));
	if (draft.having != NULL)
		draft.having = empty_clause(draft.having);
	appendStringInfoString(sql, ", nothing AS MATERIALIZED (");
	sp_twin_append_groups(sql, &empty);
	appendStringInfoChar(sql, ')');
}

void
sp_twin_append_filled(StringInfo sql, const SpTwin *twin)
{
	const SpWindowDraft *draft = twin->draft;
	const char *keys = list_columns(draft->keys, "f");
	const char *condition = draft->having != NULL ? SP_TWIN_SATISFIES : "true";

	appendStringInfoString(sql, "WITH RECURSIVE answer AS MATERIALIZED (");
	sp_twin_append_groups(sql, twin);
	appendStringInfoString(sql, "), ");
	append_recursion(sql, twin);
	append_nothing(sql, twin);
	appendStringInfo(sql, " SELECT a.window_start, a.window_end%s%s FROM answer a WHERE %s "
					 "UNION ALL SELECT f.window_start, f.window_end%s%s FROM fill f JOIN nothing n "
					 "ON %s WHERE f." SILENT " > 0 AND %s",
					 list_columns(draft->keys, "a"), list_columns(draft->aggregates, "a"), condition,
					 keys, list_columns(draft->aggregates, "n"),
					 draft->keys == NIL || !depends_on_keys(draft) ? "true" :
					 psprintf("record_eq(ROW(%s), ROW(%s))", keys + 2,
							  list_columns(draft->keys, "n") + 2),
					 condition);
}
