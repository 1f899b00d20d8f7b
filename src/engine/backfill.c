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

#include "access/xact.h"
#include "base/compat.h"
#include "base/debug.h"
#include "base/shared.h"
#include "catalog/message.h"
#include "catalog/page.h"
#include "catalog/pg_authid_d.h"
#include "catalog/query.h"
#include "engine/backfill_cut.h"
#include "engine/dedup.h"
#include "engine/history.h"
#include "engine/micro_batch.h"
#include "engine/override.h"
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
	SpHistory	history;
	int64		limit;			/* event times beyond don't move the watermark */
	int64		max_time;
	int64		reported;		/* rows, when progress was last told */
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

/* Open the object and what it reads. */
static void
open_object(HistoryScan *scan, int32 id)
{
	SpObjectDef *def = find_new(id);
	SpHistory  *history = &scan->history;

	scan->def = def;
	history->context = sp_engine.rowset_context;
	if (!sp_history_open(history, sp_engine.definitions, def->source))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the source of %s is gone", def->name)));
	if (def->kind == SP_WINDOW)
		scan->window = sp_window_open((SpWindowDef *) def, history->stream, history->source);
	else
		scan->detector = sp_detector_open((SpDetectorDef *) def,
										  history->source ? NULL : history->stream,
										  history->source);
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
		" AND label IS NULL AND note IS NULL"
		/* what a shield has refused isn't in the table */
		" AND (ordinal IS NULL OR ordinal OPERATOR(pg_catalog.<) "
		CppAsString2(SP_REPORT_FIRST) "::pg_catalog.int8)";

	sp_sweep_delete(def->relid, sp_sweep_changes_of(def),
					psprintf("SELECT ctid FROM ONLY %s%s", table, unmarked), 0, NULL, NULL);
	/* what users marked is nobody's identity any more: history may give it to others */
	if (def->kind == SP_DETECTOR)
		sp_sweep_disown(def->relid, InvalidOid,
						psprintf("SELECT ctid, id FROM ONLY %s WHERE ordinal >= 0 "
								 "AND ordinal < " CppAsString2(SP_REPORT_FIRST) "::pg_catalog.int8", table));
	sp_query_open(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, "DELETE FROM streamproc.rejected_row WHERE object = $1 AND reason <> 'refusal'",
				 SPI_OK_DELETE, 1, &type, &id, NULL);
	sp_query_close(&scope);
	sp_page_delete_all(def->id);
	sp_page_delete_all(-def->id);
	CommandCounterIncrement();
}

/* Rows to a detector. */
static void
apply_to_detector(HistoryScan *scan, SpRowSet *rows)
{
	sp_detector_apply(scan->detector, rows);
	sp_failure_raise(scan->def->id);
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
	sp_pipeline_raise_clock(scan->history.stream, scan->max_time,
							sp_clock_behind(scan->max_time, scan->history.stream->def->watermark_us));
	sp_clock_advance(w, scan->history.lsn, rows->commit_time);
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

	if (scan->history.source != NULL && scan->history.source->def->window_kind != SP_WINDOW_SLIDING)
	{
		if (rows->n > 0 && scan->window != NULL)
			scan->max_time = Max(scan->max_time,
								 sp_clock_reach_for(scan->window, rows->time[rows->n - 1]));
		return;
	}
	if (scan->history.source == NULL && scan->history.stream->def->time_attnum == 0)
		return;
	for (i = 0; i < rows->n; i++)
	{
		if (!rows->no_time[i] && rows->time[i] <= scan->limit)
			scan->max_time = Max(scan->max_time, rows->time[i]);
	}
}

/* Let pg_stat_activity tell how far it is. */
static void
report_progress(HistoryScan *scan)
{
	char		text[256];

	scan->reported = scan->history.ordinal;
	snprintf(text, sizeof(text), "backfilling %s: " INT64_FORMAT " rows", scan->def->name,
			 scan->history.ordinal);
	pgstat_report_activity(STATE_RUNNING, text);
}

/* SpHistoryTake: rows through the object. */
static bool
take_rows(void *arg, SpRowSet *rows)
{
	HistoryScan *scan = arg;

	note_times(scan, rows);
	sp_history_dedup(&scan->history, rows, scan->max_time);
	if (scan->window != NULL)
		apply_to_window(scan, rows);
	else
		apply_to_detector(scan, rows);
	sp_spill_try_again();
	if (scan->history.ordinal - scan->reported >= REPORT_EVERY_ROWS)
		report_progress(scan);
	sp_debug_point("mid-backfill");
	return true;
}

/* All that the active snapshot sees, through the object; of a window's rows those sealed. */
static void
scan_history(HistoryScan *scan, int64 sealed)
{
	SpStream   *s = scan->history.stream;
	TimestampTz now = GetCurrentTransactionStartTimestamp();

	scan->limit = sp_time_from_utc(now, s->def->time_type, s->zone);
	scan->limit += Min(s->def->max_future_us, PG_INT64_MAX - 1 - Max(scan->limit, 0));
	sp_history_read(&scan->history, sealed, take_rows, scan);
}

/*
 * Alerts that users marked have outlived the rebuild, and history has brought them again:
 * of each such pair the marked one stays.  Scores aren't compared: they may depend on
 * settings that were changed, as does what is said of a score.
 */
static void
drop_repeated(const SpDetectorDef *detector)
{
	static const char sql[] =
	"WITH a AS (SELECT id, ordinal < 0 AS marked, to_jsonb(t) - '{id,detected_at,lsn,ordinal,"
	"status,label,note,score,p_value,threshold,expected,lower_bound,upper_bound,explanation%s}'"
	"::text[] AS alert FROM ONLY %s t), "
	"n AS (SELECT id, marked, alert, "
	"row_number() OVER (PARTITION BY marked, alert ORDER BY id) AS number FROM a) "
	"SELECT ctid FROM ONLY %s WHERE id IN (SELECT n.id FROM n JOIN n m ON m.alert = n.alert "
	"AND m.number = n.number AND m.marked WHERE NOT n.marked)";
	const SpObjectDef *def = &detector->o;
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
		sp_sweep_delete(def->relid, InvalidOid,
						psprintf(sql, detector->nrules > 0 ? "" : ",is_anomaly,alerts", table, table),
						0, NULL, NULL);
}

/* ---- the helper ---- */

/* The stream whose rows are read, if it has a memory of them; else NULL. */
static SpStream *
get_dedup_stream(const HistoryScan *scan)
{
	return scan->history.source == NULL && scan->history.stream->dedup != NULL ? scan->history.stream : NULL;
}

/* In one transaction: the cut, what is before it, results, state. */
static void
fill(SpBackfillArea *area, HistoryScan *scan)
{
	Oid			source = scan->def->source;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	sp_engine_limit_waits();
	if (scan->history.source != NULL)
		sp_backfill_cut_await_worker(area);
	sp_backfill_cut_take(area, source);
	sp_engine.upto = area->cut_lsn;
	scan->history.lsn = area->lsn;
	scan->max_time = PG_INT64_MIN;
	if (get_dedup_stream(scan) != NULL)
	{
		scan->history.stream->dedup->horizon_limit = area->horizon;
		scan->history.stream->dedup->output = scan->window ? &scan->window->output :
			&scan->detector->output;
	}
	sp_backfill_clear(scan->def);
	if (scan->detector != NULL)
		sp_override_load(scan->detector);
	report_progress(scan);
	if (wants_history(scan))
		scan_history(scan, area->sealed);
	if (scan->detector != NULL)
	{
		sp_micro_finish(scan->detector);
		sp_failure_raise(scan->def->id);
	}
	sp_write_backfill(scan->window, scan->detector);
	if (scan->detector != NULL)
		drop_repeated(scan->detector->def);
	sp_checkpoint_save_filled(scan->window, scan->detector, get_dedup_stream(scan));
	area->max_time = scan->history.source ? PG_INT64_MIN : scan->max_time;
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
		if (s->history.source == NULL)
			sp_backfill_cut_await_writers(area, s->def->source);
		if (s->detector != NULL && OidIsValid(s->detector->def->overrides))
			sp_backfill_cut_await_writers(area, s->detector->def->overrides);
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
