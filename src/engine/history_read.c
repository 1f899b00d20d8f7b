/*
 * history_read.c
 *	  The rows of history, a rowset at a time.
 */
#include "engine/internal.h"

#include "access/detoast.h"
#include "base/compat.h"
#include "engine/dedup.h"
#include "engine/history.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* ---- the source ---- */

/* The stream of a relation, or NULL. */
static SpStream *
open_stream(const SpDefinitions *definitions, Oid relid)
{
	ListCell   *lc;

	foreach(lc, definitions->streams)
	{
		SpStreamDef *def = lfirst(lc);

		if (def->o.relid == relid)
			return sp_registry_open_stream(def);
	}
	return NULL;
}

/* The window of a result table, or NULL. */
static SpWindow *
open_window(const SpDefinitions *definitions, Oid relid)
{
	ListCell   *lc;

	foreach(lc, definitions->windows)
	{
		SpWindowDef *def = lfirst(lc);
		SpWindow   *upstream;
		SpStream   *stream;

		if (def->o.relid != relid)
			continue;
		upstream = open_window(definitions, def->o.source);
		stream = upstream ? upstream->stream : open_stream(definitions, def->o.source);
		return stream ? sp_window_open(def, stream, upstream) : NULL;
	}
	return NULL;
}

bool
sp_history_open(SpHistory *history, const SpDefinitions *definitions, Oid source)
{
	history->source = NULL;
	history->ordinal = 0;
	history->stream = open_stream(definitions, source);
	if (history->stream != NULL)
		return true;
	history->source = open_window(definitions, source);
	if (history->source != NULL)
		history->stream = history->source->stream;
	return history->source != NULL;
}

/* ---- reading ---- */

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

/* The rows that SPI has fetched. */
static void
fill_rowset(SpHistory *history, const AttrNumber *map, SpRowSet *rows)
{
	SpStream   *s = history->stream;
	SpWindow   *source = history->source;
	MemoryContext old;
	uint64		i;

	MemoryContextReset(history->context);
	sp_rowset_init(rows, history->context, source ? source->result_desc->natts : s->desc->natts,
				   SPI_processed);
	old = MemoryContextSwitchTo(rows->context);
	rows->first_ordinal = history->ordinal;
	rows->lsn = history->lsn;
	rows->commit_time = GetCurrentTransactionStartTimestamp();
	rows->time_type = s->def->time_type;
	rows->zone = s->zone;
	rows->backfill = true;
	rows->desc = source ? source->result_desc : s->desc;
	for (i = 0; i < SPI_processed; i++)
	{
		take_tuple(rows, i, SPI_tuptable->vals[i], SPI_tuptable->tupdesc, map);
		if (source == NULL)
			sp_rowset_set_time(rows, i, s);
		else
			sp_rowset_set_result_time(rows, i, source);
	}
	rows->n = SPI_processed;
	history->ordinal += rows->n;
	MemoryContextSwitchTo(old);
}

void
sp_history_dedup(SpHistory *history, SpRowSet *rows, int64 max_time)
{
	SpStream   *s = history->stream;

	if (history->source != NULL || s->dedup == NULL)
		return;
	sp_dedup_apply(s, rows);
	sp_dedup_advance(s->dedup, sp_clock_behind(max_time, s->def->watermark_us));
}

/* Run the query under the active snapshot, with the rights of reader. */
static void
run_query(SpHistory *history, SpHistoryQuery *query, Oid reader, SpHistoryTake take, void *arg)
{
	List	   *settings = list_make1("search_path=pg_catalog, pg_temp");
	SpUserContext user;
	SPIPlanPtr	plan;
	Portal		portal;
	bool		more = true;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	sp_user_enter(&user, reader, settings);
	plan = SPI_prepare(query->sql, query->nargs, query->types);
	if (plan == NULL)
		elog(ERROR, "the query over history can't be prepared: %s", query->sql);
	portal = SPI_cursor_open(NULL, plan, query->args, NULL, true);
	sp_user_leave(&user, true);
	while (more)
	{
		SpRowSet	rows;

		CHECK_FOR_INTERRUPTS();
		sp_user_enter(&user, reader, settings);
		SPI_cursor_fetch(portal, true, SP_ROWSET_MAX);
		sp_user_leave(&user, true);
		if (SPI_processed == 0)
			break;
		fill_rowset(history, query->map, &rows);
		more = take(arg, &rows);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	SPI_finish();
}

void
sp_history_read(SpHistory *history, int64 sealed, SpHistoryTake take, void *arg)
{
	SpStream   *s = history->stream;

	if (history->source == NULL)
	{
		sp_registry_refresh_stream(s);
		run_query(history, sp_history_query(s), s->def->o.owner, take, arg);
	}
	else
	{
		SpHistoryQuery query = {results_query(history->source, sealed)};

		run_query(history, &query, history->source->def->o.owner, take, arg);
	}
}
