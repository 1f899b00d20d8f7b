/*
 * twin_session.c
 *	  The twin of a session window.
 *
 *	SELECT s.start AS window_start, max(s.time) + gap AS window_end, keys, aggregates
 *	FROM (SELECT s.*, streamproc.session_start(s.time, gap) OVER
 *				(PARTITION BY keys ORDER BY s.time) AS start
 *		  FROM admitted s WHERE filter) s
 *	GROUP BY s.start, keys
 */
#include "postgres.h"

#include "utils/ruleutils.h"

#include "base/compat.h"
#include "face/twin.h"

#define START "\"start of the session\""

/* "PARTITION BY keys " */
static void
append_partition(StringInfo sql, const SpTwin *twin)
{
	ListCell   *cell;

	foreach(cell, twin->draft->keys)
		appendStringInfo(sql, "%s%s%s",
						 foreach_current_index(cell) == 0 ? "PARTITION BY " : ", ",
						 deparse_expression(((SpClause *) lfirst(cell))->expr, twin->context, true,
											false),
						 lnext(twin->draft->keys, cell) == NULL ? " " : "");
}

void
sp_twin_append_sessions(StringInfo sql, const SpTwin *twin)
{
	const SpWindowDraft *draft = twin->draft;
	const char *gap = sp_twin_quote_us(sp_definition_interval_us(draft->gap));
	int			nkeys = list_length(draft->keys);

	appendStringInfo(sql, "SELECT s." START " AS window_start, (max(s." SP_TWIN_TIME ") + %s)%s "
					 "AS window_end", gap, sp_twin_cast(draft->stream));
	sp_twin_append_targets(sql, list_concat_copy(draft->keys, draft->aggregates), twin->context,
						   false);
	appendStringInfo(sql, " FROM (SELECT s.*, streamproc.session_start(s." SP_TWIN_TIME ", %s) "
					 "OVER (", gap);
	append_partition(sql, twin);
	appendStringInfoString(sql, "ORDER BY s." SP_TWIN_TIME ") AS " START " FROM ");
	sp_twin_append_rows(sql, twin);
	sp_twin_append_filter(sql, twin, " WHERE ");
	appendStringInfoString(sql, ") s GROUP BY 1");
	for (int i = 0; i < nkeys; i++)
		appendStringInfo(sql, ", %d", i + 3);
	sp_twin_append_having(sql, twin, " HAVING ");
}
