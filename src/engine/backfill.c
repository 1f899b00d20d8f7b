/*
 * backfill.c
 *	  History, as the helper reads it: behind the exact cut (backfill_cut.c) all that a table
 *	  holds.
 *
 * History has no commit order: it is read in order of event time, and no row of it is
 * late.  Windows close as the reading goes on.  Results and state become visible by one
 * commit.  The object isn't running by then: the worker takes it from there (starting.c),
 * and should it not come to that, the next attempt clears everything away.
 */
#include "engine/internal.h"

#include "access/detoast.h"
#include "access/xact.h"
#include "base/compat.h"
#include "base/debug.h"
#include "base/shared.h"
#include "catalog/page.h"
#include "catalog/pg_authid_d.h"
#include "catalog/query.h"
#include "engine/backfill_cut.h"
#include "engine/dedup.h"
#include "engine/history.h"
#include "engine/saving.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define WRITE_EVERY_ROWS	20000
#define REPORT_EVERY_ROWS	100000

/* Who takes the rows of a scan. */
typedef struct HistoryScan
{
	SpObjectDef *def;
	SpWindow   *window;			/* one of the two */
	SpDetector *detector;
	SpStream   *stream;			/* read, or whose clock the window that is read follows */
	SpWindow   *source;			/* the window that is read; NULL: the stream is */
	XLogRecPtr	lsn;
	int64		limit;			/* event times beyond don't move the watermark */
	int64		max_time;
	int64		ordinal;
} HistoryScan;

/* ---- the object ---- */

/* The definition of the object to be filled. */
static SpObjectDef *
find_new(int32 id)
{
	List	   *lists[2] = {sp_engine.definitions->windows, sp_engine.definitions->detectors};
	ListCell   *lc;
	int			i;

	for (i = 0; i < 2; i++)
	{
		foreach(lc, lists[i])
		{
			SpObjectDef *def = lfirst(lc);

			if (def->id == id && def->state == SP_STATE_NEW)
				return def;
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("object %d is not to be filled any more", id)));
	return NULL;
}

/* The stream of a relation, without state. */
static SpStream *
open_stream(Oid relid)
{
	ListCell   *lc;

	foreach(lc, sp_engine.definitions->streams)
	{
		SpStreamDef *def = lfirst(lc);

		if (def->o.relid == relid)
			return sp_registry_open_stream(def);
	}
	return NULL;
}

/* The window of a result table, without state, or NULL. */
static SpWindow *
open_source_window(Oid relid)
{
	ListCell   *lc;

	foreach(lc, sp_engine.definitions->windows)
	{
		SpWindowDef *def = lfirst(lc);
		SpWindow   *upstream;

		if (def->o.relid != relid)
			continue;
		upstream = open_source_window(def->o.source);
		return sp_window_open(def, upstream ? upstream->stream : open_stream(def->o.source),
							  upstream);
	}
	return NULL;
}

/* Open the object and what it reads. */
static void
open_object(HistoryScan *scan, int32 id)
{
	SpObjectDef *def = find_new(id);

	scan->def = def;
	scan->stream = open_stream(def->source);
	if (scan->stream == NULL)
		scan->source = open_source_window(def->source);
	if (scan->source != NULL)
		scan->stream = scan->source->stream;
	if (scan->stream == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the source of %s is gone", def->name)));
	if (def->kind == SP_WINDOW)
		scan->window = sp_window_open((SpWindowDef *) def, scan->stream, scan->source);
	else
		scan->detector = sp_detector_open((SpDetectorDef *) def,
										  scan->source ? NULL : scan->stream, scan->source);
}

/* Is history asked for? */
static bool
wants_history(const HistoryScan *scan)
{
	return scan->window ? scan->window->def->backfill : scan->detector->def->backfill;
}

/* ---- reading ---- */

/*
 * Delete what an earlier life of the object has written: results, but for what users
 * marked, and rows it could not take.
 */
void
sp_backfill_clear(const SpObjectDef *def)
{
	SpQueryScope scope;
	Oid			type = INT4OID;
	Datum		id = Int32GetDatum(def->id);
	char	   *table = sp_registry_relation_name(def->relid);
	const char *unmarked = def->kind == SP_WINDOW ? "" :
		" WHERE status OPERATOR(pg_catalog.=) 'open'::pg_catalog.text"
		" AND label IS NULL AND note IS NULL";

	sp_sweep_delete(def->relid, sp_sweep_changes_of(def),
					psprintf("SELECT ctid FROM ONLY %s%s", table, unmarked), 0, NULL, NULL);
	/* what users marked is nobody's identity any more: history may give it to others */
	if (def->kind == SP_DETECTOR)
		sp_sweep_disown(def->relid, InvalidOid,
						psprintf("SELECT ctid, id FROM ONLY %s WHERE ordinal >= 0", table));
	sp_query_open(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, "DELETE FROM streamproc.rejected_row WHERE object = $1",
				 SPI_OK_DELETE, 1, &type, &id, NULL);
	sp_query_close(&scope);
	sp_page_delete_all(def->id);
	sp_page_delete_all(-def->id);
	CommandCounterIncrement();
}

/* The query that reads a window's rows that end no later than what is sealed. */
static char *
results_query(const SpWindow *w, int64 sealed)
{
	Oid			output;
	bool		is_varlena;

	StringInfoData buf;
	int			i;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "SELECT ");
	for (i = 0; i < w->natts; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "",
						 quote_identifier(NameStr(TupleDescAttr(w->result_desc, i)->attname)));
	getTypeOutputInfo(w->types[1], &output, &is_varlena);
	appendStringInfo(&buf, " FROM %s", sp_registry_relation_name(w->def->o.relid));
	if (w->def->window_kind == SP_WINDOW_SLIDING)
	{
		/* each was handed on as soon as it was there */
		appendStringInfoString(&buf, " ORDER BY window_end, lsn, ordinal");
		return buf.data;
	}
	appendStringInfo(&buf, " WHERE is_final AND window_end OPERATOR(pg_catalog.<=) %s "
					 "ORDER BY window_end",
					 quote_literal_cstr(OidOutputFunctionCall(output,
															  sp_result_time(sealed, w->types[1]))));
	for (i = 0; i < w->nkeys; i++)
		appendStringInfo(&buf, ", %d", i + 3);
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

/* Rows to a detector. */
static void
apply_to_detector(HistoryScan *scan, SpRowSet *rows)
{
	sp_detector_apply(scan->detector, rows);
	if (sp_output_count(&scan->detector->output) >= WRITE_EVERY_ROWS)
		sp_write_backfill(NULL, scan->detector);
}

/* Rows to a window, which closes behind them: history has an order, and nothing in it is late. */
static void
apply_to_window(HistoryScan *scan, SpRowSet *rows)
{
	SpWindow   *w = scan->window;

	sp_window_apply(w, rows);
	if (sp_output_count(&w->output) >= WRITE_EVERY_ROWS)
		sp_write_backfill(w, NULL);
	if (scan->max_time == PG_INT64_MIN)
		return;
	sp_pipeline_raise_clock(scan->stream, scan->max_time,
							sp_clock_behind(scan->max_time, scan->stream->def->watermark_us));
	sp_clock_advance(w, scan->lsn, rows->commit_time);
	sp_failure_raise(w->def->o.id);
}

/*
 * The largest time that may move the watermark.  A commit's time is not known any more.  A
 * window's rows come in the order of their ends: the stream had come at least as far as to
 * seal them.  Those of a sliding one are there as soon as their events, which move it as
 * they do without a window between.
 */
static void
note_times(HistoryScan *scan, const SpRowSet *rows)
{
	int			i;

	if (scan->source != NULL && scan->source->def->window_kind != SP_WINDOW_SLIDING)
	{
		if (rows->n > 0 && scan->window != NULL)
			scan->max_time = Max(scan->max_time,
								 sp_clock_reach_for(scan->window, rows->time[rows->n - 1]));
		return;
	}
	if (scan->source == NULL && scan->stream->def->time_attnum == 0)
		return;
	for (i = 0; i < rows->n; i++)
	{
		if (!rows->no_time[i] && rows->time[i] <= scan->limit)
			scan->max_time = Max(scan->max_time, rows->time[i]);
	}
}

/* The rows that SPI has fetched. */
static void
apply_fetched(HistoryScan *scan, const AttrNumber *map)
{
	SpStream   *s = scan->stream;
	SpWindow   *source = scan->source;
	SpRowSet	rows;
	MemoryContext old;
	uint64		i;

	MemoryContextReset(sp_engine.rowset_context);
	sp_rowset_init(&rows, sp_engine.rowset_context,
				   source ? source->result_desc->natts : s->desc->natts, SPI_processed);
	old = MemoryContextSwitchTo(rows.context);
	rows.first_ordinal = scan->ordinal;
	rows.lsn = scan->lsn;
	rows.commit_time = GetCurrentTransactionStartTimestamp();
	rows.time_type = s->def->time_type;
	rows.zone = s->zone;
	rows.backfill = true;
	rows.desc = source ? source->result_desc : s->desc;
	for (i = 0; i < SPI_processed; i++)
	{
		take_tuple(&rows, i, SPI_tuptable->vals[i], SPI_tuptable->tupdesc, map);
		if (source == NULL)
			sp_rowset_set_time(&rows, i, s);
		else
			sp_rowset_set_result_time(&rows, i, source);
	}
	rows.n = SPI_processed;
	scan->ordinal += rows.n;
	MemoryContextSwitchTo(old);
	note_times(scan, &rows);
	if (source == NULL && s->dedup != NULL)
	{
		sp_dedup_apply(s, &rows);
		sp_dedup_advance(s->dedup, sp_clock_behind(scan->max_time, s->def->watermark_us));
	}
	if (scan->window != NULL)
		apply_to_window(scan, &rows);
	else
		apply_to_detector(scan, &rows);
	sp_spill_try_again();
}

/* Let pg_stat_activity tell how far it is. */
static void
report_progress(const HistoryScan *scan)
{
	char		text[256];

	snprintf(text, sizeof(text), "backfilling %s: " INT64_FORMAT " rows", scan->def->name,
			 scan->ordinal);
	pgstat_report_activity(STATE_RUNNING, text);
}

/* Run the query under the active snapshot, a rowset at a time. */
static void
scan_query(HistoryScan *scan, SpHistoryQuery *query, Oid reader)
{
	List	   *settings = list_make1("search_path=pg_catalog, pg_temp");
	SpUserContext user;
	SPIPlanPtr	plan;
	Portal		portal;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	sp_user_enter(&user, reader, settings);
	plan = SPI_prepare(query->sql, query->nargs, query->types);
	if (plan == NULL)
		elog(ERROR, "the query over history can't be prepared: %s", query->sql);
	portal = SPI_cursor_open(NULL, plan, query->args, NULL, true);
	sp_user_leave(&user, true);
	for (;;)
	{
		int64		before = scan->ordinal;

		sp_user_enter(&user, reader, settings);
		SPI_cursor_fetch(portal, true, SP_ROWSET_MAX);
		sp_user_leave(&user, true);
		if (SPI_processed == 0)
			break;
		apply_fetched(scan, query->map);
		SPI_freetuptable(SPI_tuptable);
		if (before / REPORT_EVERY_ROWS != scan->ordinal / REPORT_EVERY_ROWS)
			report_progress(scan);
		sp_debug_point("mid-backfill");
	}
	SPI_cursor_close(portal);
	SPI_finish();
}

/* All that the active snapshot sees, through the object; of a window's rows those sealed. */
static void
scan_history(HistoryScan *scan, int64 sealed)
{
	SpStream   *s = scan->stream;
	TimestampTz now = GetCurrentTransactionStartTimestamp();

	scan->limit = sp_time_from_utc(now, s->def->time_type, s->zone);
	scan->limit += Min(s->def->max_future_us, PG_INT64_MAX - 1 - Max(scan->limit, 0));
	if (scan->source == NULL)
	{
		sp_registry_refresh_stream(s);
		scan_query(scan, sp_history_query(s), s->def->o.owner);
	}
	else
	{
		SpHistoryQuery query = {results_query(scan->source, sealed)};

		scan_query(scan, &query, scan->source->def->o.owner);
	}
}

/*
 * Alerts that users marked have outlived the rebuild, and history has brought them again:
 * of each such pair the marked one stays.  Scores aren't compared: they may depend on
 * settings that were changed.
 */
static void
drop_repeated(const SpObjectDef *def)
{
	static const char sql[] =
	"WITH a AS (SELECT id, ordinal < 0 AS marked, to_jsonb(t) - '{id,detected_at,lsn,ordinal,"
	"status,label,note,score,p_value,threshold,expected,lower_bound,upper_bound,explanation}'"
	"::text[] AS alert FROM ONLY %s t), "
	"n AS (SELECT id, marked, alert, "
	"row_number() OVER (PARTITION BY marked, alert ORDER BY id) AS number FROM a) "
	"SELECT ctid FROM ONLY %s WHERE id IN (SELECT n.id FROM n JOIN n m ON m.alert = n.alert "
	"AND m.number = n.number AND m.marked WHERE NOT n.marked)";
	char	   *table = sp_registry_relation_name(def->relid);
	SpUserContext user;
	bool		any;

	sp_user_enter(&user, def->owner, list_make1("search_path=pg_catalog, pg_temp"));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute(psprintf("SELECT FROM ONLY %s WHERE ordinal < 0", table), false, 1) !=
		SPI_OK_SELECT)
		elog(ERROR, "reading the results of %s failed", def->name);
	any = SPI_processed > 0;
	SPI_finish();
	sp_user_leave(&user, true);
	if (any)
		sp_sweep_delete(def->relid, sp_sweep_changes_of(def), psprintf(sql, table, table), 0, NULL, NULL);
}

/* ---- the helper ---- */

/* The stream whose rows are read, if it has a memory of them; else NULL. */
static SpStream *
get_dedup_stream(const HistoryScan *scan)
{
	return scan->source == NULL && scan->stream->dedup != NULL ? scan->stream : NULL;
}

/* In one transaction: the cut, what is before it, results, state. */
static void
fill(SpBackfillArea *area, HistoryScan *scan)
{
	Oid			source = scan->def->source;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	sp_engine_limit_waits();
	if (scan->source != NULL)
		sp_backfill_cut_await_worker(area);
	sp_backfill_cut_take(area, source);
	sp_engine.upto = area->cut_lsn;
	scan->lsn = area->lsn;
	scan->max_time = PG_INT64_MIN;
	if (get_dedup_stream(scan) != NULL)
	{
		scan->stream->dedup->horizon_limit = area->horizon;
		scan->stream->dedup->output = scan->window ? &scan->window->output :
			&scan->detector->output;
	}
	sp_backfill_clear(scan->def);
	report_progress(scan);
	if (wants_history(scan))
		scan_history(scan, area->sealed);
	sp_write_backfill(scan->window, scan->detector);
	if (scan->detector != NULL)
		drop_repeated(scan->def);
	sp_checkpoint_save_filled(scan->window, scan->detector, get_dedup_stream(scan));
	area->max_time = scan->source ? PG_INT64_MIN : scan->max_time;
	PopActiveSnapshot();
	CommitTransactionCommand();
	sp_debug_point("backfilled");
	/* the worker must read as far as the cut, whoever else commits */
	sp_shared_announce(sp_my_worker, XactLastCommitEnd);
}

/* Tell the worker what went wrong. */
static void
report_failure(SpBackfillArea *area)
{
	ErrorData  *error;

	MemoryContextSwitchTo(sp_engine.context);
	error = CopyErrorData();
	area->sqlerrcode = error->sqlerrcode;
	strlcpy(area->message, error->message,
			pg_mbcliplen(error->message, strlen(error->message), sizeof(area->message) - 1) + 1);
	sp_backfill_cut_enter_phase(area, SP_BACKFILL_FAILED);
}

/* Fill the area's object. */
void
sp_engine_backfill(SpBackfillArea *area)
{
	HistoryScan scan = {NULL};
	HistoryScan *volatile s = &scan;

	sp_engine_initialize();
	PG_TRY();
	{
		sp_engine_begin();
		sp_registry_sync(InvalidTransactionId);
		open_object(s, area->object);
		PopActiveSnapshot();
		CommitTransactionCommand();
		if (s->source == NULL)
			sp_backfill_cut_await_writers(area, s->def->source);
		fill(area, s);
		sp_backfill_cut_enter_phase(area, SP_BACKFILL_DONE);
	}
	PG_CATCH();
	{
		report_failure(area);
		PG_RE_THROW();
	}
	PG_END_TRY();
}
