/*
 * history.c
 *	  The query that reads a stream's history.
 *
 * Rows come in order of event time.  Where the stream has a dedup_key, those are left out
 * that it has put into the dead letters: what it decided in the order of the WAL holds for
 * history as well.  They are known by event time and image only, so that of n equal rows, m
 * of them rejected, any n - m are read (as the twins have it: see face/twin.c).
 *
 * The worker may be behind the snapshot: its dead letters are complete when it has read as
 * far, which its helper waits for.  A session does not: it may have written itself.
 */
#include "engine/internal.h"

#include "access/xlog.h"
#include "base/compat.h"
#include "base/shared.h"
#include "catalog/pg_type.h"
#include "catalog/query.h"
#include "engine/history.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#define POLL_MS	2

/* Names inside the query, which no column should have. */
#define TABLE "\"table of the row\""
#define PLACE "\"place of the row\""
#define NUMBER "\"number among equal rows\""
#define COPIES "\"rejected copies\""

/* The name of a column. */
static const char *
column_name(const SpStream *s, AttrNumber attnum)
{
	return quote_identifier(NameStr(TupleDescAttr(s->desc, attnum - 1)->attname));
}

/* "t.a, t.b": all columns that the WAL has, too; *map tells the attribute of each. */
static char *
list_columns(const SpStream *s, AttrNumber **map)
{
	StringInfoData list;
	int			n = 0;
	int			i;

	*map = palloc(sizeof(AttrNumber) * Max(1, s->desc->natts));
	initStringInfo(&list);
	for (i = 1; i <= s->desc->natts; i++)
	{
		if (TupleDescAttr(s->desc, i - 1)->attisdropped ||
			sp_compat_is_virtual_column(s->def->o.relid, i))
			continue;
		appendStringInfo(&list, "%st.%s", n > 0 ? ", " : "", column_name(s, i));
		(*map)[n++] = i;
	}
	return list.data;
}

/* The table and its alias. */
static char *
source_table(const SpStream *s)
{
	return psprintf("%s%s t", s->partitioned ? "" : "ONLY ",
					sp_registry_relation_name(s->def->o.relid));
}

/* The worker has processed all that is in the WAL now. */
static void
wait_for_worker(void)
{
	XLogRecPtr	end = sp_shared_insert_end();

	XLogFlush(end);
	sp_shared_announce(sp_my_worker, end);
	while (pg_atomic_read_u64(&sp_my_worker->applied_lsn) < end)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, POLL_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* What the stream has rejected, as the query's arguments; false: nothing. */
static bool
load_rejected(const SpStream *s, Datum *args)
{
	static const char sql[] =
	"SELECT pg_catalog.array_agg(event_time), pg_catalog.array_agg(digest), "
	"pg_catalog.array_agg(copies) FROM streamproc.rejection WHERE object = $1";
	MemoryContext context = CurrentMemoryContext;
	Oid			type = INT4OID;
	Datum		id = Int32GetDatum(s->def->o.id);
	SpQueryScope scope;
	MemoryContext old;
	bool		isnull;
	int			i;

	sp_query_open_latest(&scope, s->def->o.owner);
	sp_query_run(&scope, sql, SPI_OK_SELECT, 1, &type, &id, NULL);
	old = MemoryContextSwitchTo(context);
	for (i = 0; i < SP_HISTORY_ARGS; i++)
	{
		args[i] = sp_query_value(0, i + 1, &isnull);
		if (!isnull)
			args[i] = PointerGetDatum(DatumGetArrayTypePCopy(args[i]));
	}
	MemoryContextSwitchTo(old);
	sp_query_close(&scope);
	return !isnull;
}

/*
 * The event time as dead letters have it: a timestamp or date as if UTC.  A date that no
 * timestamp can hold is infinite.
 */
static const char *
format_time(const SpStream *s)
{
	const char *column = column_name(s, s->def->time_attnum);

	switch (s->def->time_type)
	{
		case TIMESTAMPOID:
			return psprintf("(t.%s AT TIME ZONE 'UTC')", column);
		case DATEOID:
			return psprintf("(CASE WHEN t.%s > '294276-12-31' THEN 'infinity' "
							"ELSE t.%s::timestamp END AT TIME ZONE 'UTC')", column, column);
		default:
			return psprintf("t.%s", column);
	}
}

/* FROM item "(...) t" without the rejected rows. */
static char *
accepted_rows(const SpStream *s, const char *columns)
{
	const char *time = format_time(s);
	char	   *table = source_table(s);

	return psprintf("(SELECT %s, t.tableoid AS " TABLE ", t.ctid AS " PLACE " FROM %s "
					"WHERE NOT EXISTS (SELECT FROM r WHERE r.event_time = %s) "
					"UNION ALL SELECT %s, " TABLE ", " PLACE " FROM (SELECT %s, "
					"t.tableoid AS " TABLE ", t.ctid AS " PLACE ", r.copies AS " COPIES ", "
					"row_number() OVER (PARTITION BY i.digest) AS " NUMBER " FROM %s "
					"CROSS JOIN LATERAL (SELECT streamproc.digest(streamproc.row_image(t.*)) "
					"AS digest OFFSET 0) i "
					"LEFT JOIN r ON r.event_time = %s AND r.digest = i.digest "
					"WHERE EXISTS (SELECT FROM r WHERE r.event_time = %s)) t "
					"WHERE t." NUMBER " > coalesce(t." COPIES ", 0)) t",
					columns, table, time, columns, columns, table, time, time);
}

/*
 * The query, and what it needs.  Called when the snapshot of history has been taken; in the
 * current memory context.
 */
SpHistoryQuery *
sp_history_query(const SpStream *s)
{
	static const Oid types[SP_HISTORY_ARGS] = {TIMESTAMPTZARRAYOID, TEXTARRAYOID, INT8ARRAYOID};
	SpHistoryQuery *query = palloc0(sizeof(SpHistoryQuery));
	char	   *columns = list_columns(s, &query->map);
	StringInfoData sql;

	initStringInfo(&sql);
	if (s->dedup != NULL)
	{
		if (sp_my_worker != NULL)
			wait_for_worker();
		if (load_rejected(s, query->args))
			query->nargs = SP_HISTORY_ARGS;
	}
	memcpy(query->types, types, sizeof(types));
	if (query->nargs > 0)
		appendStringInfoString(&sql, "WITH r AS MATERIALIZED (SELECT * FROM "
							   "unnest($1, $2, $3) AS r (event_time, digest, copies)) ");
	appendStringInfo(&sql, "SELECT %s FROM %s ORDER BY ", columns,
					 query->nargs > 0 ? accepted_rows(s, columns) : source_table(s));
	if (s->def->time_attnum > 0)
		appendStringInfo(&sql, "t.%s, ", column_name(s, s->def->time_attnum));
	appendStringInfoString(&sql, query->nargs > 0 ? "t." TABLE ", t." PLACE : "t.tableoid, t.ctid");
	query->sql = sql.data;
	return query;
}
