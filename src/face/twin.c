/*
 * twin.c
 *	  Writes the plain-SQL twin of a window.
 *
 * The twin counts the rows that were admitted: all of the source but those without an
 * event time, and those that the stream or the window put into the dead letters.  These
 * are known by their event time and image only, so that of n equal rows, m of them
 * rejected, any n - m are counted.  Rows whose event time no rejected row has need no
 * image; the others are few.
 *
 *	SELECT w.window_start, w.window_end, keys, aggregates
 *	FROM (SELECT columns FROM source s WHERE no rejected row has s's event time
 *		  UNION ALL
 *		  SELECT columns FROM (source s, numbered within equal images) s
 *		  WHERE number > how many of these were rejected
 *		  OFFSET 0) s
 *		CROSS JOIN LATERAL streamproc.tumble(s.time, ...) w
 *	WHERE filter
 *	GROUP BY 1, 2, keys
 *
 * Where the stream has a dedup_key, duplicates are left out as well: of the rows that the
 * stream hasn't rejected, in order of time.  One that the window has rejected still has its
 * duplicates.
 *
 * OFFSET 0 is a fence: neither the filter nor other expressions run over rejected rows,
 * which may have been rejected because these fail.
 *
 * Expressions come from the analyzed trees, with every name in full.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/sysattr.h"
#include "catalog/pg_class_d.h"
#include "catalog/pg_type_d.h"
#include "commands/defrem.h"
#include "nodes/bitmapset.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "catalog/query.h"
#include "face/twin.h"

/* Names inside the view; a column may have the same as w, s, r or i, but not these. */
#define NUMBER "\"row number among equal ones\""
#define COPIES "\"rejected copies\""
#define TABLE "\"table of the row\""
#define PLACE "\"place of the row\""
#define DUPLICATE "\"is a duplicate\""
#define REJECTED "\"is rejected\""
#define LEFT_OUT "\"copies left out\""
#define EQUAL "\"equal ones\""

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

/* A column of the source, as one of "s". */
static const char *
source_column(const SpStreamDef *stream, AttrNumber attnum)
{
	return psprintf("s.%s", quote_identifier(get_attname(stream->o.relid, attnum, false)));
}

/* The columns that expressions use, the time column, and with_key the dedup_key: "s.a, s.b". */
static char *
list_columns(const SpTwin *twin, bool with_key)
{
	StringInfoData list;
	Bitmapset  *attributes = NULL;
	List	   *clauses = list_concat_copy(twin->keys, twin->aggregates);
	ListCell   *cell;
	int			attribute = -1;

	if (twin->filter != NULL)
		clauses = lappend(clauses, twin->filter);
	if (twin->having != NULL)
		clauses = lappend(clauses, twin->having);
	foreach(cell, clauses)
		pull_varattnos(((SpClause *) lfirst(cell))->expr, 1, &attributes);
	attributes = bms_add_member(attributes, twin->stream->time_attnum -
								FirstLowInvalidHeapAttributeNumber);
	for (int i = 0; with_key && i < twin->stream->ndedup; i++)
		attributes = bms_add_member(attributes, twin->stream->dedup_attnum[i] -
									FirstLowInvalidHeapAttributeNumber);

	initStringInfo(&list);
	while ((attribute = bms_next_member(attributes, attribute)) >= 0)
		appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "",
						 source_column(twin->stream, attribute +
									   FirstLowInvalidHeapAttributeNumber));
	return list.data;
}

/*
 * The event time as dead letters have it: a timestamp or date as if UTC.  A date that no
 * timestamp can hold is infinite.
 */
static const char *
format_time(const SpStreamDef *stream)
{
	const char *column = source_column(stream, stream->time_attnum);

	switch (stream->time_type)
	{
		case TIMESTAMPOID:
			return psprintf("(%s AT TIME ZONE 'UTC')", column);
		case DATEOID:
			return psprintf("(CASE WHEN %s > '294276-12-31' THEN 'infinity' "
							"ELSE %s::timestamp END AT TIME ZONE 'UTC')", column, column);
		default:
			return column;
	}
}

/* A value as its type's output function writes it, quoted. */
static char *
quote_value(PGFunction output, Datum value)
{
	return quote_literal_cstr(DatumGetCString(DirectFunctionCall1(output, value)));
}

/* The source as "s". */
static const char *
source_table(const SpStreamDef *stream)
{
	Oid			source = stream->o.relid;

	return psprintf("%s%s s", get_rel_relkind(source) == RELKIND_PARTITIONED_TABLE ? "" : "ONLY ",
					sp_relation_quote(source));
}

/* FROM item "(...) s" with the rows that were not rejected. */
static void
append_accepted(StringInfo sql, const SpTwin *twin)
{
	const SpStreamDef *stream = twin->stream;
	const char *columns = list_columns(twin, false);
	const char *column = source_column(stream, stream->time_attnum);
	const char *time = format_time(stream);
	const char *from = source_table(stream);
	const char *ours = psprintf("r.object IN (%d, %d)", stream->o.id, twin->id);

	appendStringInfo(sql, "(SELECT * FROM (SELECT %s FROM %s WHERE %s IS NOT NULL AND NOT EXISTS "
					 "(SELECT FROM streamproc.rejection r WHERE %s AND r.event_time = %s)",
					 columns, from, column, ours, time);
	appendStringInfo(sql, " UNION ALL SELECT %s FROM (SELECT %s, r.copies AS " COPIES ", "
					 "row_number() OVER (PARTITION BY i.digest) AS " NUMBER " FROM %s "
					 "CROSS JOIN LATERAL (SELECT streamproc.digest(streamproc.row_image(s.*)) "
					 "AS digest OFFSET 0) i "
					 "LEFT JOIN (SELECT r.event_time, r.digest, sum(r.copies) AS copies "
					 "FROM streamproc.rejection r WHERE %s GROUP BY 1, 2) r "
					 "ON r.event_time = %s AND r.digest = i.digest "
					 "WHERE EXISTS (SELECT FROM streamproc.rejection r "
					 "WHERE %s AND r.event_time = %s)) s "
					 "WHERE s." NUMBER " > coalesce(s." COPIES ", 0)) s OFFSET 0) s",
					 columns, columns, from, ours, time, ours, time);
}

/* ---- With a dedup_key. ---- */

/* "s.a, s.b" of the dedup_key, or with something behind and between them. */
static char *
list_dedup_key(const SpStreamDef *stream, const char *between, const char *behind)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < stream->ndedup; i++)
		appendStringInfo(&list, "%s%s%s", i > 0 ? between : "",
						 source_column(stream, stream->dedup_attnum[i]), behind);
	return list.data;
}

/*
 * FROM item "(...) s": all rows but those that the stream has rejected, with a mark on those
 * that the window has.  Of equal rows the first one was admitted, if any was: the window
 * has rejected that, the stream the others.
 */
static void
append_marked(StringInfo sql, const SpTwin *twin)
{
	const SpStreamDef *stream = twin->stream;
	const char *columns = list_columns(twin, true);
	const char *column = source_column(stream, stream->time_attnum);
	const char *time = format_time(stream);
	const char *from = source_table(stream);
	const char *any = psprintf("SELECT FROM streamproc.rejection r WHERE r.object IN (%d, %d) "
							   "AND r.event_time = %s", stream->o.id, twin->id, time);

	appendStringInfo(sql, "(SELECT %s, s.tableoid AS " TABLE ", s.ctid AS " PLACE ", "
					 "false AS " REJECTED " FROM %s WHERE %s IS NOT NULL AND NOT EXISTS (%s)",
					 columns, from, column, any);
	appendStringInfo(sql, " UNION ALL SELECT %s, s." TABLE ", s." PLACE ", "
					 "s." NUMBER " <= s." COPIES " FROM (SELECT %s, s.tableoid AS " TABLE ", "
					 "s.ctid AS " PLACE ", coalesce(r.copies, 0) AS " COPIES ", "
					 "coalesce(r.left_out, 0) AS " LEFT_OUT ", "
					 "row_number() OVER (PARTITION BY i.digest ORDER BY s.tableoid, s.ctid) "
					 "AS " NUMBER ", count(*) OVER (PARTITION BY i.digest) AS " EQUAL " FROM %s ",
					 columns, columns, from);
	appendStringInfo(sql, "CROSS JOIN LATERAL (SELECT streamproc.digest(streamproc.row_image(s.*)) "
					 "AS digest OFFSET 0) i LEFT JOIN (SELECT r.event_time, r.digest, "
					 "sum(r.copies) FILTER (WHERE r.object = %d) AS copies, "
					 "sum(r.copies) FILTER (WHERE r.object = %d) AS left_out "
					 "FROM streamproc.rejection r WHERE r.object IN (%d, %d) GROUP BY 1, 2) r "
					 "ON r.event_time = %s AND r.digest = i.digest WHERE EXISTS (%s)) s "
					 "WHERE s." NUMBER " <= s." EQUAL " - s." LEFT_OUT ") s",
					 twin->id, stream->o.id, stream->o.id, twin->id, time, any);
}

/* FROM item "(...) s" with the rows that were neither rejected nor duplicates. */
static void
append_unrepeated(StringInfo sql, const SpTwin *twin)
{
	const SpStreamDef *stream = twin->stream;
	const char *time = source_column(stream, stream->time_attnum);
	Interval	within = {.time = stream->dedup_within_us};

	appendStringInfo(sql, "(SELECT %s FROM (SELECT %s, s." REJECTED ", "
					 "streamproc.is_duplicate(%s, %s::interval) "
						  "OVER (PARTITION BY %s ORDER BY %s, s." TABLE ", "
					 "s." PLACE ") AS " DUPLICATE " FROM ",
					 list_columns(twin, false), list_columns(twin, true), time,
					 quote_value(interval_out, IntervalPGetDatum(&within)),
					 list_dedup_key(stream, ", ", ""), time);
	append_marked(sql, twin);
	appendStringInfo(sql, ") s WHERE NOT s." REJECTED " AND (NOT s." DUPLICATE " OR %s) "
					 "OFFSET 0) s",
					 list_dedup_key(stream, " OR ", " IS NOT DISTINCT FROM NULL"));
}

/* FROM item "(...) s" with the admitted rows. */
static void
append_admitted(StringInfo sql, const SpTwin *twin)
{
	if (twin->stream->ndedup > 0)
		append_unrepeated(sql, twin);
	else
		append_accepted(sql, twin);
}

/* ", expression AS name" of each clause; without the comma before the first. */
static void
append_targets(StringInfo sql, List *clauses, List *context, bool first)
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

/* CROSS JOIN LATERAL streamproc.tumble(...) w */
static void
append_tumble(StringInfo sql, const SpTwin *twin)
{
	const SpStreamDef *stream = twin->stream;
	const char *origin = "NULL";

	if (twin->origin != NULL)
		origin = quote_value(timestamp_out, TimestampGetDatum(*twin->origin));
	appendStringInfo(sql, " CROSS JOIN LATERAL streamproc.tumble(s.%s, %s::interval, "
					 "%s::timestamp, %s) w",
					 quote_identifier(get_attname(stream->o.relid, stream->time_attnum, false)),
					 quote_value(interval_out, IntervalPGetDatum(twin->size)),
					 origin, quote_literal_cstr(twin->time_zone));
}

/* CREATE VIEW name AS ... */
static char *
write_twin(const SpTwin *twin, const char *name)
{
	bool		tumbling = twin->size != NULL;
	int			ngroup = list_length(twin->keys) + (tumbling ? 2 : 0);
	List	   *context = deparse_context_for("s", twin->stream->o.relid);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE VIEW %s AS SELECT ", name);
	if (tumbling)
		appendStringInfoString(&sql, "w.window_start, w.window_end");
	append_targets(&sql, list_concat_copy(twin->keys, twin->aggregates), context, !tumbling);
	appendStringInfoString(&sql, " FROM ");
	append_admitted(&sql, twin);
	if (tumbling)
		append_tumble(&sql, twin);
	if (twin->filter != NULL)
		appendStringInfo(&sql, " WHERE %s",
						 deparse_expression(twin->filter->expr, context, true, false));
	for (int i = 1; i <= ngroup; i++)
		appendStringInfo(&sql, "%s%d", i == 1 ? " GROUP BY " : ", ", i);
	/* No row yet, no result row. */
	if (ngroup == 0)
		appendStringInfoString(&sql, " HAVING count(*) > 0");
	if (twin->having != NULL)
		appendStringInfo(&sql, " %s (%s)", ngroup == 0 ? "AND" : "HAVING",
						 deparse_expression(twin->having->expr, context, true, false));
	return sql.data;
}

Oid
sp_twin_create(const SpTwin *twin)
{
	SpQueryScope scope;
	SpRelationName name = *twin->window;
	Oid			twin_relid;
	char	   *comment;
	char	   *sql;

	/* Before the names are written: which need their schema depends on the search_path. */
	sp_query_open(&scope, InvalidOid);
	name.relation = makeObjectName(twin->window->relation, NULL, "sql");
	name.quoted = quote_qualified_identifier(name.schema, name.relation);
	sql = write_twin(twin, name.quoted);
	comment = psprintf("what window \"%s\" should be, computed from its source by plain SQL",
					   twin->window->relation);
	sp_relation_run(sql, InvalidOid);
	sp_relation_run(psprintf("COMMENT ON VIEW %s IS %s", name.quoted,
							 quote_literal_cstr(comment)), InvalidOid);
	/* The name lives in the scope's memory. */
	twin_relid = sp_relation_oid(&name);
	sp_query_close(&scope);
	return twin_relid;
}
