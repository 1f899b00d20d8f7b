/*
 * backfill.c
 *	  History: the exact cut between what a table holds and what the WAL brings.
 *
 * Under a SHARE lock on the table and its partitions no writer is at work: a snapshot
 * taken then sees every commit before the insert position of the WAL (the cut), and none
 * behind it.  The locks are given back at once; commits before the cut are ignored when
 * they are decoded.
 *
 * History has no commit order: it is read in order of event time, and no row of it is
 * late.  Windows close as the reading goes on.
 */
#include "engine/internal.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "base/compat.h"
#include "base/debug.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define WRITE_EVERY_ROWS 20000

/* Who takes the rows of a scan. */
typedef struct HistoryScan
{
	SpWindow   *window;
	SpDetector *detector;
	SpStream   *stream;
	XLogRecPtr	cut;
	int64		limit;			/* event times beyond don't move the watermark */
	int64		max_time;
	int64		ordinal;
} HistoryScan;

/*
 * Lock, note, snapshot, unlock.  The snapshot becomes the active one.  The caller has
 * limited how long a lock is waited for.
 */
XLogRecPtr
sp_backfill_cut(const SpStream *stream)
{
	List	   *relids;
	ListCell   *lc;
	XLogRecPtr	cut;

	LockRelationOid(stream->def->o.relid, ShareLock);
	relids = stream->partitioned ?
		find_all_inheritors(stream->def->o.relid, ShareLock, NULL) :
		list_make1_oid(stream->def->o.relid);
	AcceptInvalidationMessages();
	cut = GetXLogInsertRecPtr();
	PushActiveSnapshot(GetLatestSnapshot());
	foreach(lc, relids)
		UnlockRelationOid(lfirst_oid(lc), ShareLock);
	return cut;
}

/* Delete what an earlier life of the object has written, but for what users marked. */
void
sp_backfill_clear_results(const SpObjectDef *def)
{
	SpUserContext user;
	char	   *table = sp_registry_relation_name(def->relid);

	sp_user_enter(&user, def->owner, list_make1("search_path=pg_catalog, pg_temp"));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute(psprintf("DELETE FROM %s%s", table, def->kind == SP_WINDOW ? "" :
							 " WHERE status OPERATOR(pg_catalog.=) 'open'::pg_catalog.text"
							 " AND label IS NULL AND note IS NULL"),
					false, 0) != SPI_OK_DELETE)
		elog(ERROR, "deleting the results of %s failed", def->name);
	SPI_finish();
	sp_user_leave(&user, true);
	CommandCounterIncrement();
}

/* The query that reads the stream's history; *map tells the attribute of each column. */
static char *
history_query(const SpStream *s, AttrNumber **map)
{
	StringInfoData buf;
	int			n = 0;
	int			i;

	*map = palloc(sizeof(AttrNumber) * s->desc->natts);
	initStringInfo(&buf);
	appendStringInfoString(&buf, "SELECT ");
	for (i = 0; i < s->desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(s->desc, i);

		if (attr->attisdropped)
			continue;
		appendStringInfo(&buf, "%st.%s", n > 0 ? ", " : "", quote_identifier(NameStr(attr->attname)));
		(*map)[n++] = i + 1;
	}
	appendStringInfo(&buf, " FROM %s%s t ORDER BY ", s->partitioned ? "" : "ONLY ",
					 sp_registry_relation_name(s->def->o.relid));
	if (s->def->time_attnum > 0)
		appendStringInfo(&buf, "t.%s, ",
						 quote_identifier(NameStr(TupleDescAttr(s->desc, s->def->time_attnum - 1)->attname)));
	appendStringInfoString(&buf, "t.tableoid, t.ctid");
	return buf.data;
}

/* Take one tuple into row i; no value stays external, states may keep them. */
static void
take_tuple(SpRowSet *rows, int i, HeapTuple tuple, TupleDesc desc, const AttrNumber *map)
{
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	Datum	   *to = rows->values + (Size) i * rows->natts;
	bool	   *to_null = rows->nulls + (Size) i * rows->natts;
	int			c;

	memset(to_null, true, rows->natts);
	heap_deform_tuple(tuple, desc, values, nulls);
	for (c = 0; c < desc->natts; c++)
	{
		int			a = map ? map[c] - 1 : c;

		if (nulls[c] || a >= rows->natts)
			continue;
		if (TupleDescAttr(desc, c)->attlen == -1 &&
			VARATT_IS_EXTERNAL(DatumGetPointer(values[c])))
			values[c] = PointerGetDatum(detoast_external_attr((struct varlena *)
															  DatumGetPointer(values[c])));
		to[a] = values[c];
		to_null[a] = false;
	}
}

/* Rows of a stream's history to a window or detector. */
static void
apply_history(HistoryScan *scan, SpRowSet *rows)
{
	SpStream   *s = scan->stream;
	int			i;

	for (i = 0; i < rows->n; i++)
	{
		if (!rows->no_time[i] && rows->time[i] <= scan->limit)
			scan->max_time = Max(scan->max_time, rows->time[i]);
	}
	if (scan->detector != NULL)
	{
		sp_detector_apply(scan->detector, rows);
		if (scan->detector->output.nalerts + scan->detector->output.ndead >= WRITE_EVERY_ROWS)
			sp_write_backfill(NULL, scan->detector);
		return;
	}
	sp_window_apply(scan->window, rows);
	if (scan->max_time != PG_INT64_MIN && s->def->time_attnum > 0)
		sp_bucket_close(scan->window, scan->max_time - s->def->watermark_us, scan->cut,
						rows->commit_time);
	if (scan->window->output.ngroups + scan->window->output.ndead >= WRITE_EVERY_ROWS)
	{
		sp_write_backfill(scan->window, NULL);
		if (scan->max_time != PG_INT64_MIN)
			sp_bucket_purge(scan->window, scan->max_time - s->def->watermark_us);
	}
}

/* Rows of a window's results to a detector. */
static void
apply_results(HistoryScan *scan, SpRowSet *rows)
{
	sp_detector_apply(scan->detector, rows);
	if (scan->detector->output.nalerts + scan->detector->output.ndead >= WRITE_EVERY_ROWS)
		sp_write_backfill(NULL, scan->detector);
}

/* Set the event time of a window's result row: the last microsecond of the window. */
static void
set_result_time(SpRowSet *rows, int i, const SpWindow *w)
{
	Datum		end = rows->values[(Size) i * rows->natts + 1];
	int64		time = w->types[1] == DATEOID ?
		(int64) DatumGetDateADT(end) * USECS_PER_DAY : DatumGetInt64(end);

	rows->no_time[i] = false;
	rows->time[i] = TIMESTAMP_NOT_FINITE(time) ? time : time - 1;
}

/* Run the query under the active snapshot, a rowset at a time. */
static void
scan_query(HistoryScan *scan, const char *query, const AttrNumber *map, Oid reader)
{
	SpStream   *s = scan->stream;
	SpWindow   *source = s == NULL ? scan->detector->window : NULL;
	TupleDesc	desc = s ? s->desc : source->result_desc;
	SpUserContext user;
	SPIPlanPtr	plan;
	Portal		portal;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	sp_user_enter(&user, reader, list_make1("search_path=pg_catalog, pg_temp"));
	plan = SPI_prepare(query, 0, NULL);
	if (plan == NULL)
		elog(ERROR, "the query over history can't be prepared: %s", query);
	portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	sp_user_leave(&user, true);
	for (;;)
	{
		SpRowSet	rows;
		MemoryContext old;
		uint64		i;

		sp_user_enter(&user, reader, list_make1("search_path=pg_catalog, pg_temp"));
		SPI_cursor_fetch(portal, true, SP_ROWSET_MAX);
		sp_user_leave(&user, true);
		if (SPI_processed == 0)
			break;
		MemoryContextReset(sp_engine.rowset_context);
		sp_rowset_init(&rows, sp_engine.rowset_context, desc->natts, SPI_processed);
		old = MemoryContextSwitchTo(rows.context);
		rows.first_ordinal = scan->ordinal;
		rows.lsn = scan->cut;
		rows.commit_time = GetCurrentTransactionStartTimestamp();
		rows.time_type = s ? s->def->time_type : source->stream->def->time_type;
		rows.zone = s ? s->zone : source->stream->zone;
		rows.backfill = true;
		rows.desc = desc;
		for (i = 0; i < SPI_processed; i++)
		{
			take_tuple(&rows, i, SPI_tuptable->vals[i], SPI_tuptable->tupdesc, map);
			if (s != NULL)
				sp_rowset_set_time(&rows, i, s);
			else
				set_result_time(&rows, i, source);
		}
		rows.n = SPI_processed;
		scan->ordinal += rows.n;
		MemoryContextSwitchTo(old);
		if (s != NULL)
			apply_history(scan, &rows);
		else
			apply_results(scan, &rows);
		SPI_freetuptable(SPI_tuptable);
		sp_debug_point("mid-backfill");
	}
	SPI_cursor_close(portal);
	SPI_finish();
}

/* The stream's history through a window or a detector, which is new. */
static void
scan_history(SpWindow *w, SpDetector *d, SpStream *s, XLogRecPtr cut)
{
	HistoryScan		scan = {w, d, s, cut};
	AttrNumber *map;
	char	   *query = history_query(s, &map);

	scan.limit = sp_time_from_utc(GetCurrentTransactionStartTimestamp(), s->def->time_type, s->zone);
	scan.limit += Min(s->def->max_future_us, PG_INT64_MAX - 1 - Max(scan.limit, 0));
	scan.max_time = PG_INT64_MIN;
	scan_query(&scan, query, map, s->def->o.owner);
	if (w != NULL)
		sp_write_backfill(w, NULL);
	else
		sp_write_backfill(NULL, d);
	if (scan.max_time != PG_INT64_MIN &&
		(XLogRecPtrIsInvalid(s->pending_lsn) || scan.max_time > s->pending_max))
	{
		s->pending_lsn = cut;
		s->pending_max = scan.max_time;
		s->pending_time = GetCurrentTransactionStartTimestamp();
		s->changed = true;
	}
}

/* History up to the cut, under the active snapshot, into a new window. */
void
sp_backfill_window(SpWindow *w, XLogRecPtr cut)
{
	scan_history(w, NULL, w->stream, cut);
}

/* The same for a detector; one on a window reads the window's final rows. */
void
sp_backfill_detector(SpDetector *d, XLogRecPtr cut)
{
	HistoryScan		scan = {NULL, d, NULL, cut};
	StringInfoData buf;
	int			i;

	if (d->stream != NULL)
	{
		scan_history(NULL, d, d->stream, cut);
		return;
	}
	if (d->window->def->window_kind == SP_WINDOW_GLOBAL)
		return;
	initStringInfo(&buf);
	appendStringInfoString(&buf, "SELECT ");
	for (i = 0; i < d->window->natts; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "",
						 quote_identifier(NameStr(TupleDescAttr(d->window->result_desc, i)->attname)));
	appendStringInfo(&buf, " FROM %s WHERE is_final ORDER BY window_end",
					 sp_registry_relation_name(d->window->def->o.relid));
	for (i = 0; i < d->window->nkeys; i++)
		appendStringInfo(&buf, ", %d", i + 3);
	scan_query(&scan, buf.data, NULL, d->window->def->o.owner);
	sp_write_backfill(NULL, d);
}
