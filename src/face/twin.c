/*
 * twin.c
 *	  Writes the plain-SQL twin of a window.
 *
 *	SELECT w.window_start, w.window_end, keys, aggregates
 *	FROM admitted s CROSS JOIN LATERAL streamproc.tumble(s.time, ...) w
 *	WHERE filter
 *	GROUP BY 1, 2, keys
 *
 * The admitted rows are those of twin_rows.c.  Expressions come from the analyzed trees,
 * with every name in full.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type_d.h"
#include "commands/defrem.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "catalog/query.h"
#include "face/twin.h"

const char *
sp_twin_obstacle(const SpStreamDef *stream)
{
	Relation	relation = relation_open(stream->o.relid, AccessShareLock);
	Oid			am = relation->rd_rel->relam;
	char	   *am_name = OidIsValid(am) ? get_am_name(am) : NULL;

	relation_close(relation, NoLock);
	if (am_name != NULL && strcmp(am_name, "streamproc") == 0)
		return "Its source is a stream table, which keeps no rows.";
	if (stream->time_attnum == 0)
		return "Its stream goes by commit time, which no column of the source has.";
	return NULL;
}

/* ---- Pieces. ---- */

void
sp_twin_append_targets(StringInfo sql, List *clauses, List *context, bool first)
{
	ListCell   *cell;

	foreach(cell, clauses)
	{
		SpClause   *clause = lfirst(cell);

		appendStringInfo(sql, "%s%s AS %s", first ? "" : ", ",
						 deparse_expression(clause->expr, context, true, false),
						 quote_identifier(clause->name));
		first = false;
	}
}

void
sp_twin_append_filter(StringInfo sql, const SpTwin *twin, const char *word)
{
	if (twin->draft->filter != NULL)
		appendStringInfo(sql, "%s(%s)", word,
						 deparse_expression(twin->draft->filter->expr, twin->context, true, false));
}

void
sp_twin_append_having(StringInfo sql, const SpTwin *twin, const char *word)
{
	if (twin->draft->having != NULL)
		appendStringInfo(sql, "%s(%s)", word,
						 deparse_expression(twin->draft->having->expr, twin->context, true, false));
}

/* A value as its type's output function writes it, quoted. */
static char *
quote_value(PGFunction output, Datum value)
{
	return quote_literal_cstr(DatumGetCString(DirectFunctionCall1(output, value)));
}

char *
sp_twin_quote_interval(const Interval *interval)
{
	return psprintf("%s::interval", quote_value(interval_out, IntervalPGetDatum(interval)));
}

char *
sp_twin_quote_us(int64 us)
{
	Interval	interval = {0};

	interval.time = us;
	return sp_twin_quote_interval(&interval);
}

const char *
sp_twin_cast(const SpStreamDef *stream)
{
	return stream->time_type == DATEOID ? "::date" : "";
}

/* ---- Windows that a function finds, and running totals. ---- */

void
sp_twin_append_function(StringInfo sql, const SpTwin *twin, const char *time)
{
	const SpWindowDraft *draft = twin->draft;
	const char *function = draft->kind == SP_WINDOW_TUMBLING ? "tumble" :
		draft->kind == SP_WINDOW_HOPPING ? "hop" : "cumulate";
	const char *origin = "NULL";

	if (draft->origin != NULL)
		origin = quote_value(timestamp_out, TimestampGetDatum(*draft->origin));
	appendStringInfo(sql, "streamproc.%s(%s, ", function, time);
	if (draft->slide != NULL)
		appendStringInfo(sql, "%s, ", sp_twin_quote_interval(draft->slide));
	appendStringInfo(sql, "%s, %s::timestamp, %s)", sp_twin_quote_interval(draft->size), origin,
					 quote_literal_cstr(draft->time_zone));
}

void
sp_twin_append_groups(StringInfo sql, const SpTwin *twin)
{
	const SpWindowDraft *draft = twin->draft;
	bool		global = draft->kind == SP_WINDOW_GLOBAL;
	int			ngroup = list_length(draft->keys) + (global ? 0 : 2);

	appendStringInfo(sql, "SELECT %s", global ? "" : "w.window_start, w.window_end");
	sp_twin_append_targets(sql, list_concat_copy(draft->keys, draft->aggregates), twin->context,
						   global);
	if (draft->fill_zero)
	{
		sp_twin_append_having(sql, twin, ", ");
		appendStringInfoString(sql, draft->having != NULL ? " AS " SP_TWIN_SATISFIES : "");
	}
	appendStringInfoString(sql, " FROM ");
	sp_twin_append_rows(sql, twin);
	if (!global)
	{
		appendStringInfoString(sql, " CROSS JOIN LATERAL ");
		sp_twin_append_function(sql, twin, "s." SP_TWIN_TIME);
		appendStringInfoString(sql, " w");
	}
	appendStringInfoString(sql, " WHERE true");
	if (draft->slide != NULL)
		appendStringInfo(sql, " AND (s." SP_TWIN_MISSED " IS NULL OR %s > s." SP_TWIN_MISSED ")",
						 sp_twin_utc(draft->stream, "w.window_end"));
	sp_twin_append_filter(sql, twin, " AND ");
	for (int i = 1; i <= ngroup; i++)
		appendStringInfo(sql, "%s%d", i == 1 ? " GROUP BY " : ", ", i);
	/* No row yet, no result row. */
	if (ngroup == 0)
		appendStringInfoString(sql, " HAVING count(*) > 0");
	if (!draft->fill_zero)
		sp_twin_append_having(sql, twin, ngroup == 0 ? " AND " : " HAVING ");
}

/* ---- The view. ---- */

/* CREATE VIEW name AS ... */
static char *
write_twin(const SpTwin *twin, const char *name)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE VIEW %s AS ", name);
	switch (twin->draft->kind)
	{
		case SP_WINDOW_SESSION:
			sp_twin_append_sessions(&sql, twin);
			break;
		case SP_WINDOW_SLIDING:
			sp_twin_append_sliding(&sql, twin);
			break;
		default:
			(twin->draft->fill_zero ? sp_twin_append_filled : sp_twin_append_groups) (&sql, twin);
			break;
	}
	return sql.data;
}

/*
 * Are there the rows to compute it from?  Those of a stream; those that a window should have,
 * or those that a sliding one has.
 */
static bool
has_rows(const SpWindowDraft *draft)
{
	if (draft->upstream == NULL)
		return sp_twin_obstacle(draft->stream) == NULL;
	return draft->upstream->window_kind == SP_WINDOW_SLIDING || OidIsValid(draft->source.twin);
}

Oid
sp_twin_create(const SpWindowDraft *draft, int32 id)
{
	SpQueryScope scope;
	SpRelationName name;
	SpTwin		twin = {draft, id, deparse_context_for("s", draft->source.relid)};
	Oid			twin_relid;
	char	   *comment;
	char	   *sql;

	if (!has_rows(draft))
		return InvalidOid;
	/* Before the names are written: which need their schema depends on the search_path. */
	sp_query_open(&scope, InvalidOid);
	name = sp_relation_beside(&draft->name, SP_WINDOW, "sql", "plain-SQL twin");
	sql = write_twin(&twin, name.quoted);
	comment = psprintf("what window \"%s\" should be, computed from its source by plain SQL",
					   draft->name.relation);
	sp_relation_run(sql, InvalidOid);
	sp_relation_run(psprintf("COMMENT ON VIEW %s IS %s", name.quoted,
							 quote_literal_cstr(comment)), InvalidOid);
	/* The name lives in the scope's memory. */
	twin_relid = sp_relation_oid(&name);
	sp_query_close(&scope);
	return twin_relid;
}
