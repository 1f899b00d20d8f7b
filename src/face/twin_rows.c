/*
 * twin_rows.c
 *	  The rows that a twin counts: those that were admitted.
 *
 * All of the source but those without an event time, and those that the stream or the
 * window put into the dead letters.  These are known by their event time and image only, so
 * that of n equal rows, m of them rejected, any n - m are counted; and those that missed
 * some windows only are counted in the others.  Rows whose event time no rejected row has
 * need no image; the others are few.
 *
 *	(SELECT * FROM (
 *		SELECT columns, time, NULL FROM source s WHERE no rejected row has s's event time
 *		UNION ALL
 *		SELECT columns, time, missed
 *		FROM (source s, numbered within equal images) s
 *			LEFT JOIN (rejections, numbered likewise) r
 *		WHERE there is none, or it is of some windows only
 *	) s OFFSET 0) s
 *
 * Where the stream has a dedup_key, duplicates are left out as well: of the rows that the
 * stream hasn't rejected, in order of time.  One that the window has rejected still has its
 * duplicates.
 *
 * OFFSET 0 is a fence: neither the filter nor other expressions run over rejected rows,
 * which may have been rejected because these fail.
 *
 * The source of a window on a window is the twin of that one, so that the whole chain is
 * computed from the table.  Its rows' event times are as the worker has them.  But what a
 * sliding window answered when a row came can't be computed any more when others came later:
 * the source of what reads it is its result table.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_class_d.h"
#include "catalog/pg_type_d.h"
#include "nodes/bitmapset.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "face/twin.h"

/* Names inside the view; a column may have the same as w, s, r or i, but not these. */
#define NUMBER		"\"row number among equal ones\""
#define DIGEST		"\"digest of the row\""
#define TABLE		"\"table of the row\""
#define PLACE		"\"place of the row\""
#define DUPLICATE	"\"is a duplicate\""
#define REJECTED	"\"is rejected\""
#define LEFT_OUT	"\"copies left out\""
#define EQUAL		"\"equal ones\""

/* A date that no timestamp can hold is infinite. */
char *
sp_twin_utc(const SpStreamDef *stream, const char *time)
{
	switch (stream->time_type)
	{
		case TIMESTAMPOID:
			return psprintf("(%s AT TIME ZONE 'UTC')", time);
		case DATEOID:
			return psprintf("(CASE WHEN %s > '294276-12-31' THEN 'infinity' "
							"ELSE %s::timestamp END AT TIME ZONE 'UTC')", time, time);
		default:
			return pstrdup(time);
	}
}

/* The numbers of the columns that expressions use, and with_key the dedup_key. */
static Bitmapset *
collect_columns(const SpWindowDraft *draft, bool with_key)
{
	const SpStreamDef *stream = draft->stream;
	Bitmapset  *attributes = NULL;
	List	   *clauses = list_concat_copy(draft->keys, draft->carry);
	ListCell   *cell;

	clauses = list_concat(clauses, draft->aggregates);
	if (draft->filter != NULL)
		clauses = lappend(clauses, draft->filter);
	if (draft->having != NULL)
		clauses = lappend(clauses, draft->having);
	foreach(cell, clauses)
		pull_varattnos(((SpClause *) lfirst(cell))->expr, 1, &attributes);
	for (int i = 0; with_key && i < stream->ndedup; i++)
		attributes = bms_add_member(attributes, stream->dedup_attnum[i] -
									FirstLowInvalidHeapAttributeNumber);
	return attributes;
}

/* A column of the source, as one of "s". */
static char *
source_column(const SpWindowDraft *draft, AttrNumber attnum)
{
	return psprintf("s.%s", quote_identifier(get_attname(draft->source.relid, attnum, false)));
}

/* "s.a, s.b, " */
static char *
list_columns(const SpWindowDraft *draft, bool with_key)
{
	StringInfoData list;
	Bitmapset  *attributes = collect_columns(draft, with_key);
	int			attribute = -1;

	initStringInfo(&list);
	while ((attribute = bms_next_member(attributes, attribute)) >= 0)
		appendStringInfo(&list, "%s, ",
						 source_column(draft, attribute + FirstLowInvalidHeapAttributeNumber));
	return list.data;
}

/* The source as FROM item s: a table, or a window's rows, with the column names of that. */
static char *
format_source(const SpWindowDraft *draft)
{
	const SpWindowDef *upstream = draft->upstream;
	Oid			relid = draft->source.relid;
	Oid			rows;
	StringInfoData sql;

	if (upstream == NULL)
		return psprintf("%s%s s",
						get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE ? "" : "ONLY ",
						sp_relation_quote(relid));
	rows = upstream->window_kind == SP_WINDOW_SLIDING ? relid : draft->source.twin;
	initStringInfo(&sql);
	for (int i = 1; i <= 2 + upstream->nkeys + upstream->ncarry + upstream->naggs; i++)
		appendStringInfo(&sql, "%st.%s AS %s", i > 1 ? ", " : "(SELECT ",
						 quote_identifier(get_attname(rows, i, false)),
						 quote_identifier(get_attname(relid, i, false)));
	appendStringInfo(&sql, " FROM %s%s t) s", rows == relid ? "ONLY " : "",
					 sp_relation_quote(rows));
	return sql.data;
}

/* A row's event time. */
static char *
format_time(const SpWindowDraft *draft)
{
	char	   *column = source_column(draft, draft->upstream != NULL ? 2 :
									   draft->stream->time_attnum);

	/* A window ends before its end; a sliding one with its row. */
	if (draft->upstream == NULL || draft->upstream->window_kind == SP_WINDOW_SLIDING)
		return column;
	return psprintf("(%s - %s)%s", column, sp_twin_quote_us(1), sp_twin_cast(draft->stream));
}

/* The function that tells rows of the source from one another. */
static const char *
digest_function(const SpWindowDraft *draft)
{
	return draft->upstream != NULL ? "result_digest" : "digest";
}

/*
 * "JOIN (...) r ON ...": the rejections of what matches ours, as ranges of numbers among
 * equal rows s.
 */
static void
append_ranges(StringInfo sql, const SpWindowDraft *draft, const char *ours)
{
	appendStringInfo(sql, "LEFT JOIN (SELECT r.event_time, r.digest, r.missed_until, "
					 "sum(r.copies) OVER w - r.copies AS before, sum(r.copies) OVER w AS upto "
					 "FROM streamproc.rejection r WHERE %s WINDOW w AS (PARTITION BY "
					 "r.event_time, r.digest ORDER BY r.missed_until DESC NULLS FIRST "
					 "ROWS UNBOUNDED PRECEDING)) r ON r.event_time = %s AND r.digest = s." DIGEST
					 " AND s." NUMBER " > r.before AND s." NUMBER " <= r.upto",
					 ours, sp_twin_utc(draft->stream, "s." SP_TWIN_TIME));
}

/* "EXISTS (a rejection of what matches ours at the time of s)" */
static char *
format_suspicion(const SpWindowDraft *draft, const char *ours)
{
	return psprintf("EXISTS (SELECT FROM streamproc.rejection r WHERE %s AND r.event_time = %s)",
					ours, sp_twin_utc(draft->stream, format_time(draft)));
}

/* FROM item "(...) s" with the rows that were not rejected. */
static void
append_accepted(StringInfo sql, const SpTwin *twin, const char *ours)
{
	const SpWindowDraft *draft = twin->draft;
	const char *columns = list_columns(draft, false);
	const char *time = format_time(draft);
	const char *suspicion = format_suspicion(draft, ours);

	appendStringInfo(sql, "(SELECT * FROM (SELECT %s%s AS " SP_TWIN_TIME ", NULL::timestamptz AS "
					 SP_TWIN_MISSED " FROM %s WHERE %s IS NOT NULL AND NOT %s UNION ALL ",
					 columns, time, format_source(draft), time, suspicion);
	appendStringInfo(sql, "SELECT %ss." SP_TWIN_TIME ", r.missed_until FROM (SELECT %s%s AS "
					 SP_TWIN_TIME ", i.digest AS " DIGEST ", row_number() OVER (PARTITION BY "
					 "i.digest) AS " NUMBER " FROM %s CROSS JOIN LATERAL (SELECT streamproc.%s("
					 "streamproc.row_image(s.*)) AS digest OFFSET 0) i WHERE %s) s ",
					 columns, columns, time, format_source(draft), digest_function(draft),
					 suspicion);
	append_ranges(sql, draft, ours);
	appendStringInfoString(sql, " WHERE r.event_time IS NULL OR r.missed_until IS NOT NULL) s "
						   "OFFSET 0) s");
}

/* ---- With a dedup_key. ---- */

/* "s.a, s.b" of the dedup_key, or with something behind and between them. */
static char *
list_dedup_key(const SpWindowDraft *draft, const char *between, const char *behind)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < draft->stream->ndedup; i++)
		appendStringInfo(&list, "%s%s%s", i > 0 ? between : "",
						 source_column(draft, draft->stream->dedup_attnum[i]), behind);
	return list.data;
}

/*
 * FROM item "(...) s": all rows but those that the stream has rejected, with a mark on those
 * that the window has.  Of equal rows the first one was admitted, if any was: the window
 * has rejected that, the stream the others.
 */
static void
append_marked(StringInfo sql, const SpTwin *twin, const char *ours)
{
	const SpWindowDraft *draft = twin->draft;
	const char *columns = list_columns(draft, true);
	const char *time = format_time(draft);
	const char *source = format_source(draft);
	const char *suspicion = format_suspicion(draft, ours);

	appendStringInfo(sql, "(SELECT %s%s AS " SP_TWIN_TIME ", NULL::timestamptz AS " SP_TWIN_MISSED
					 ", s.tableoid AS " TABLE ", s.ctid AS " PLACE ", false AS " REJECTED
					 " FROM %s WHERE %s IS NOT NULL AND NOT %s UNION ALL ",
					 columns, time, source, time, suspicion);
	appendStringInfo(sql, "SELECT %ss." SP_TWIN_TIME ", r.missed_until, s." TABLE ", s." PLACE ", "
					 "r.event_time IS NOT NULL AND r.missed_until IS NULL FROM (SELECT %s%s AS "
					 SP_TWIN_TIME ", s.tableoid AS " TABLE ", s.ctid AS " PLACE ", i.digest AS "
					 DIGEST ", row_number() OVER (PARTITION BY i.digest ORDER BY s.tableoid, s.ctid) "
					 "AS " NUMBER ", count(*) OVER (PARTITION BY i.digest) AS " EQUAL ", ",
					 columns, columns, time);
	appendStringInfo(sql, "coalesce((SELECT sum(r.copies) FROM streamproc.rejection r WHERE "
					 "r.object = %d AND r.event_time = %s AND r.digest = i.digest), 0) AS " LEFT_OUT
					 " FROM %s CROSS JOIN LATERAL (SELECT streamproc.digest(streamproc.row_image("
					 "s.*)) AS digest OFFSET 0) i WHERE %s) s ",
					 draft->stream->o.id, sp_twin_utc(draft->stream, time), source, suspicion);
	append_ranges(sql, draft, psprintf("r.object = %d", twin->id));
	appendStringInfoString(sql, " WHERE s." NUMBER " <= s." EQUAL " - s." LEFT_OUT ") s");
}

/* FROM item "(...) s" with the rows that were neither rejected nor duplicates. */
static void
append_unrepeated(StringInfo sql, const SpTwin *twin, const char *ours)
{
	const SpWindowDraft *draft = twin->draft;

	appendStringInfo(sql, "(SELECT %ss." SP_TWIN_TIME ", s." SP_TWIN_MISSED " FROM (SELECT s.*, "
					 "streamproc.is_duplicate(s." SP_TWIN_TIME ", %s) OVER (PARTITION BY %s "
					 "ORDER BY s." SP_TWIN_TIME ", s." TABLE ", s." PLACE ") AS " DUPLICATE " FROM ",
					 list_columns(draft, false),
					 sp_twin_quote_us(draft->stream->dedup_within_us),
					 list_dedup_key(draft, ", ", ""));
	append_marked(sql, twin, ours);
	appendStringInfo(sql, ") s WHERE NOT s." REJECTED " AND (NOT s." DUPLICATE " OR %s) "
					 "OFFSET 0) s",
					 list_dedup_key(draft, " OR ", " IS NOT DISTINCT FROM NULL"));
}

void
sp_twin_append_rows(StringInfo sql, const SpTwin *twin)
{
	const SpWindowDraft *draft = twin->draft;
	char	   *ours = psprintf("r.object IN (%d, %d)", draft->stream->o.id, twin->id);

	/* What the stream rejected never was a row of the window that reads it. */
	if (draft->upstream != NULL)
		append_accepted(sql, twin, psprintf("r.object = %d", twin->id));
	else if (draft->stream->ndedup > 0)
		append_unrepeated(sql, twin, ours);
	else
		append_accepted(sql, twin, ours);
}
