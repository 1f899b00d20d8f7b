/*
 * rehearsal.c
 *	  A detector tried over the history of its source.
 *
 * The parts of the engine that it uses know no worker, but for where live objects are kept:
 * sp_engine.context is ours while they are made.  All of it goes with the memory context.
 */
#include "engine/rehearsal.h"

#include "access/htup_details.h"
#include "base/compat.h"
#include "base/shared.h"
#include "catalog/image.h"
#include "catalog/query.h"
#include "engine/detector.h"
#include "engine/history.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

struct SpRehearsal
{
	MemoryContext context;
	SpHistory	history;
	int64		sealed;			/* of a window that is read */
	int			n;
	SpDetector **detectors;		/* [n] */
	int64		explain_from;	/* in the source's time; DT_NOEND: never */
	SpImage		keys;			/* of the detector's keys, if it has any */

	/* at work */
	int64		before;			/* in the source's time */
	int64		max_time;
	SpRehearsalTake take;
	void	   *arg;
};

/* ---- open ---- */

/* How far a stream has come, in its own time. */
static int64
find_watermark(const SpStreamDef *def, pg_tz *zone)
{
	static const char sql[] = "SELECT watermark FROM streamproc.object_progress WHERE id = $1";
	Oid			type = INT4OID;
	Datum		id = Int32GetDatum(def->o.id);
	SpQueryScope scope;
	int64		watermark = SP_NO_WATERMARK;
	bool		isnull = true;

	sp_query_open(&scope, InvalidOid);
	sp_query_run(&scope, sql, SPI_OK_SELECT, 1, &type, &id, NULL);
	if (SPI_processed > 0)
		watermark = DatumGetTimestampTz(sp_query_value(0, 1, &isnull));
	sp_query_close(&scope);
	return isnull ? SP_NO_WATERMARK : sp_time_from_utc(watermark, def->time_type, zone);
}

/* Rows that a window may still amend have not been seen by who reads it. */
static int64
find_sealed(SpWindow *w)
{
	if (w->def->grace_us == 0)
		return DT_NOEND;
	w->stream->watermark = find_watermark(w->stream->def, w->stream->zone);
	return sp_clock_behind(sp_clock_watermark(w), w->def->grace_us);
}

/* A descriptor of the keys alone. */
static TupleDesc
describe_keys(const SpDetector *d)
{
	TupleDesc	desc = CreateTemplateTupleDesc(d->def->nkeys);

	for (int k = 0; k < d->def->nkeys; k++)
		TupleDescInitEntry(desc, k + 1, d->expressions->names[d->first_key + k],
						   d->evaluated[d->first_key + k]->type, -1, 0);
	return desc;
}

/* A row is judged with those that come after it in its micro-batch, which history doesn't know. */
static void
check_method(const SpDetector *d)
{
	if (d->method->judge.kernel != NULL && d->method->judge.kernel->batch != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("detector \"%s\" can't be tried over history: its method \"%s\" scores "
						"micro-batches", d->def->o.name, d->method->name),
				 errhint("The window function streamproc.%s() gives scores over history.",
						 d->method->name)));
}

/* What is to be tried, and what it reads. */
static void
open_objects(SpRehearsal *r, const SpDefinitions *definitions, List *variants)
{
	const SpDetectorDef *first = linitial(variants);
	ListCell   *lc;

	if (!sp_history_open(&r->history, definitions, first->o.source))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the source of %s can't be used", first->o.name),
				 errhint("streamproc.status tells why.")));
	foreach(lc, variants)
	{
		SpDetectorDef *def = palloc(sizeof(SpDetectorDef));
		SpDetector *d;

		CHECK_FOR_INTERRUPTS();
		*def = *(SpDetectorDef *) lfirst(lc);
		def->store_all = true;
		def->notify = NULL;
		d = sp_detector_open(def, r->history.source ? NULL : r->history.stream,
							 r->history.source);
		check_method(d);
		d->expressions->in_session = true;
		sp_override_load(d);
		r->detectors[r->n++] = d;
	}
	if (first->nkeys > 0)
		sp_image_open(&r->keys, describe_keys(r->detectors[0]));
}

SpRehearsal *
sp_rehearsal_open(const SpDefinitions *definitions, List *variants, TimestampTz explain_from)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "streamproc rehearsal",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	MemoryContext engine = sp_engine.context;
	SpRehearsal *r = palloc0(sizeof(SpRehearsal));

	if (sp_my_worker != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a detector can't be tried inside the expressions of a stream")));
	r->context = context;
	r->detectors = palloc(sizeof(SpDetector *) * list_length(variants));
	r->history.context = AllocSetContextCreate(context, "streamproc rows",
											   ALLOCSET_DEFAULT_SIZES);
	sp_engine.context = context;
	PG_TRY();
	{
		open_objects(r, definitions, variants);
	}
	PG_FINALLY();
	{
		sp_engine.context = engine;
	}
	PG_END_TRY();
	r->explain_from = sp_time_from_utc(explain_from, r->history.stream->def->time_type,
									   r->history.stream->zone);
	if (r->history.source != NULL)
		r->sealed = find_sealed(r->history.source);
	MemoryContextSwitchTo(old);
	return r;
}

void
sp_rehearsal_close(SpRehearsal *rehearsal)
{
	MemoryContextDelete(rehearsal->context);
}

/* ---- run ---- */

/* Hand over what a detector has said of a rowset. */
static void
hand_over(SpRehearsal *r, int variant)
{
	SpDetector *d = r->detectors[variant];
	int			is_anomaly = 2 + d->def->nkeys + 5;
	dlist_iter	iter;

	dlist_foreach(iter, &d->output.alerts)
	{
		SpAlert    *alert = dlist_container(SpAlert, node, iter.cur);
		SpSaid		said = {
			.variant = variant,
			.time = sp_rehearsal_time(r, alert->time),
			.is_anomaly = DatumGetBool(alert->values[is_anomaly]),
			.is_alert = alert->is_anomaly,
			.values = alert->values,
			.nulls = alert->nulls
		};

		r->take(r->arg, &said);
	}
	sp_output_clear(&d->output);
}

/* Rows that are not to be looked at any more, in order of time, go; true: there are some. */
static bool
cut_rows(const SpRehearsal *r, SpRowSet *rows)
{
	int			n = 0;

	while (n < rows->n && !rows->no_time[n] &&
		   (rows->time[n] < r->before || r->before == DT_NOEND))
		n++;
	if (n == rows->n)
		return false;
	rows->n = n;
	return true;
}

/* Are there some among the rows that are to be explained, whatever is said of them? */
static void
explain_rows(const SpRehearsal *r, SpDetector *d, const SpRowSet *rows)
{
	unconstify(SpMethod *, d->method)->judge.setup.explain_all =
		r->explain_from != DT_NOEND && rows->time[rows->n - 1] >= r->explain_from;
}

/* SpHistoryTake */
static bool
take_rows(void *arg, SpRowSet *rows)
{
	SpRehearsal *r = arg;
	SpDetector *first = r->detectors[0];
	bool		is_last = cut_rows(r, rows);
	SpEvaluated *ev;
	bool	   *pass;

	if (rows->n == 0)
		return false;
	r->max_time = Max(r->max_time, rows->time[rows->n - 1]);
	sp_history_dedup(&r->history, rows, r->max_time);
	if (r->history.stream->output.ndead > 0)
		sp_output_clear(&r->history.stream->output);
	ev = sp_expressions_evaluate(first->expressions, first->evaluated, first->nevaluated, rows,
								 &first->output);
	pass = ev->pass;
	for (int v = 0; v < r->n; v++)
	{
		CHECK_FOR_INTERRUPTS();
		ev->pass = MemoryContextAlloc(rows->context, rows->n);
		memcpy(ev->pass, pass, rows->n);
		explain_rows(r, r->detectors[v], rows);
		sp_detector_apply_evaluated(r->detectors[v], rows, ev);
		hand_over(r, v);
	}
	sp_spill_try_again();
	return !is_last;
}

void
sp_rehearsal_run(SpRehearsal *rehearsal, TimestampTz before, SpRehearsalTake take, void *arg)
{
	const SpStream *s = rehearsal->history.stream;

	rehearsal->before = sp_time_from_utc(before, s->def->time_type, s->zone);
	rehearsal->max_time = PG_INT64_MIN;
	rehearsal->take = take;
	rehearsal->arg = arg;
	sp_history_read(&rehearsal->history, rehearsal->sealed, take_rows, rehearsal);
}

TimestampTz
sp_rehearsal_time(const SpRehearsal *rehearsal, int64 time)
{
	const SpStream *s = rehearsal->history.stream;

	return sp_time_to_utc(time, s->def->time_type, s->zone);
}

Jsonb *
sp_rehearsal_keys(SpRehearsal *rehearsal, const SpSaid *said)
{
	const SpDetector *d = rehearsal->detectors[0];
	SpUserContext user;
	Datum		keys;

	if (d->def->nkeys == 0)
		return NULL;
	sp_user_enter(&user, d->expressions->owner, NIL);
	keys = sp_image_make(&rehearsal->keys, said->values + 2, said->nulls + 2);
	sp_user_leave(&user, true);
	return DatumGetJsonbP(keys);
}
