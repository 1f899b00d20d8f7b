/*
 * report.c
 *	  Rows that shields have refused, to the result tables of their detectors.
 *
 * A message in the WAL brings each.  A shield doesn't wait for the worker, so what it has
 * refused is written whatever state the detector and its stream are in: reports are not their
 * output but the engine's own, kept by the detector's number.  They have a position of their own
 * as well, under that number turned negative, which tells those apart that come again after a
 * crash; and no checkpoint passes over one that isn't written.
 *
 * A row is known by its lsn and ordinal, which the session has chosen, and isn't written again,
 * whoever repeats the message.
 *
 * What can't go to the table goes to the dead letters: where the table has other columns than it
 * had then, and where it has refused more than memory is to hold.
 */
#include "engine/internal.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "base/compat.h"
#include "catalog/message.h"
#include "catalog/pg_authid_d.h"
#include "catalog/pg_type.h"
#include "catalog/query.h"
#include "commands/async.h"
#include "engine/writer.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#define MOST_BYTES		((Size) 16 * 1024 * 1024)	/* of a detector's reports that can't be written */
#define WAIT_MS			200		/* for a transaction to end */

/* ---- taking ---- */

/* Do the sizes agree? */
static bool
is_plausible(const SpReport *report, Size size)
{
	return report->natts > 3 && report->natts <= MaxTupleAttributeNumber &&
		report->tuple_size >= SizeofHeapTupleHeader &&
		size == sp_report_tuple_offset(report->natts) + report->tuple_size;
}

static void
set_name(SpReports *r, const char *name)
{
	char	   *copy = MemoryContextStrdup(r->context, name);

	if (r->o.name != NULL)
		pfree(r->o.name);
	r->o.name = copy;
}

static SpReports *
create_reports(int32 detector)
{
	MemoryContext context = AllocSetContextCreate(sp_engine.context, "streamproc reports",
												  ALLOCSET_SMALL_SIZES);
	SpReports  *r = MemoryContextAllocZero(context, sizeof(SpReports));

	r->context = context;
	r->o.kind = SP_DETECTOR;
	r->o.id = detector;
	r->o.state = SP_STATE_RUNNING;
	set_name(r, psprintf("detector %d", detector));
	sp_output_init(&r->output, context);
	sp_engine.reports = sp_registry_append(sp_engine.reports, r);
	return r;
}

/* A detector's reports, whether there is such a detector or not. */
SpReports *
sp_report_get(int32 detector)
{
	ListCell   *lc;

	foreach(lc, sp_engine.reports)
	{
		SpReports  *r = lfirst(lc);

		if (r->o.id == detector)
			return r;
	}
	return create_reports(detector);
}

/* Are there too many to wait for better times? */
static bool
are_too_many(const SpReports *r)
{
	return MemoryContextMemAllocated(r->output.context, false) > MOST_BYTES;
}

void
sp_report_take(const SpEvent *event)
{
	const SpReport *report = (const SpReport *) event->report;
	SpReports  *r;
	SpAlert    *alert;
	char	   *copy;

	if (!is_plausible(report, event->report_size))
		return;
	r = sp_report_get(report->detector);
	if (r->output.replaying)
		return;
	copy = MemoryContextAllocHuge(r->output.context, event->report_size);
	memcpy(copy, report, event->report_size);
	alert = MemoryContextAllocZero(r->output.context, sizeof(SpAlert));
	alert->report = (SpReport *) copy;
	dlist_push_tail(&r->output.alerts, &alert->node);
	r->output.nalerts++;
	if (r->output.first_change == 0)
		r->output.first_change = GetCurrentTransactionStartTimestamp();
	if (are_too_many(r))
		r->output.retry_at = 0;
}

/* Is the detector among the definitions? */
static bool
is_defined(int32 id)
{
	SpDefinitions *defs = sp_engine.definitions;
	ListCell   *lc;

	foreach(lc, defs->detectors)
	{
		if (((SpDetectorDef *) lfirst(lc))->o.id == id)
			return true;
	}
	foreach(lc, defs->broken)
	{
		if (((SpBrokenDef *) lfirst(lc))->o.id == id)
			return true;
	}
	return false;
}

/* Definitions have changed: forget reports, all written, of detectors that are gone. */
void
sp_report_forget(void)
{
	List	   *all = list_copy(sp_engine.reports);
	ListCell   *lc;

	foreach(lc, all)
	{
		SpReports  *r = lfirst(lc);

		if (!sp_output_is_empty(&r->output) || r->output.replaying || is_defined(r->o.id))
			continue;
		sp_engine.reports = list_delete_ptr(sp_engine.reports, r);
		MemoryContextDelete(r->context);
	}
	list_free(all);
}

/* ---- where they go ---- */

/*
 * Look for the detector and its table in the catalogs, as they are now: it needs not be one
 * that can run.  False: it isn't there.
 */
static bool
find_detector(SpReports *r, char **notify)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			type = INT4OID;
	Datum		id = Int32GetDatum(r->o.id);
	SpQueryScope scope;
	bool		isnull;

	r->o.relid = InvalidOid;
	*notify = NULL;
	sp_query_open_latest(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, "SELECT d.relation::oid, d.relation::text, d.notify "
				 "FROM streamproc.detector_definition d JOIN pg_class c ON c.oid = d.relation "
				 "WHERE d.id = $1", SPI_OK_SELECT, 1, &type, &id, NULL);
	if (SPI_processed > 0)
	{
		Datum		channel;

		r->o.relid = DatumGetObjectId(sp_query_value(0, 1, &isnull));
		set_name(r, TextDatumGetCString(sp_query_value(0, 2, &isnull)));
		channel = sp_query_value(0, 3, &isnull);
		if (!isnull)
			*notify = MemoryContextStrdup(context, TextDatumGetCString(channel));
	}
	sp_query_close(&scope);
	return OidIsValid(r->o.relid);
}

/* Was one of them refused in a transaction that is still at work, and may have made the detector? */
static bool
any_in_progress(const SpReports *r)
{
	dlist_iter	iter;

	dlist_foreach(iter, &unconstify(SpReports *, r)->output.alerts)
	{
		TransactionId xid = dlist_container(SpAlert, node, iter.cur)->report->xid;

		if (TransactionIdIsValid(xid) && TransactionIdIsInProgress(xid))
			return true;
	}
	return false;
}

/* Why the result table can't take it, or NULL. */
static const char *
find_misfit(const SpReports *r, const SpReport *report)
{
	Relation	rel = sp_registry_look_at(r->o.relid);
	bool		same = RelationGetDescr(rel)->natts >= report->natts;

	for (int i = 0; same && i < report->natts; i++)
		same = TupleDescAttr(RelationGetDescr(rel), i)->atttypid == sp_report_types(report)[i];
	RelationClose(rel);
	return same ? NULL : "the result table no longer has the columns that it had then";
}

/* Is the row there already? */
static bool
is_written(const SpReports *r, const SpReport *report)
{
	Oid			types[2] = {PG_LSNOID, INT8OID};
	Datum		args[2] = {LSNGetDatum(report->lsn), Int64GetDatum(report->ordinal)};
	SpQueryScope scope;
	bool		found;

	sp_query_open_latest(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, psprintf("SELECT FROM ONLY %s WHERE lsn = $1 AND ordinal = $2",
								  sp_registry_relation_name(r->o.relid)),
				 SPI_OK_SELECT, 2, types, args, NULL);
	found = SPI_processed > 0;
	sp_query_close(&scope);
	return found;
}

/* ---- writing ---- */

/* The row's columns, with the names that they have now; NULL: a type is no more. */
static TupleDesc
describe(const SpReports *r, const SpReport *report)
{
	TupleDesc	desc = CreateTemplateTupleDesc(report->natts);

	for (int i = 0; i < report->natts; i++)
	{
		Oid			type = sp_report_types(report)[i];
		char	   *name = get_attname(r->o.relid, i + 1, true);

		if (!SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(type)))
			return NULL;
		TupleDescInitEntry(desc, i + 1, name != NULL ? name : psprintf("column %d", i + 1),
						   type, -1, 0);
	}
	return desc;
}

/* The row's values. */
static void
deform(const SpReport *report, TupleDesc desc, Datum *values, bool *nulls)
{
	HeapTupleData tuple = {0};

	tuple.t_len = report->tuple_size;
	tuple.t_data = (HeapTupleHeader) ((char *) report + sp_report_tuple_offset(report->natts));
	ItemPointerSetInvalid(&tuple.t_self);
	heap_deform_tuple(&tuple, desc, values, nulls);
}

/* Write one to the dead letters, and why. */
static void
bury(const SpReports *r, const SpReport *report, const char *reason)
{
	TupleDesc	desc = describe(r, report);
	Datum	   *values = palloc(sizeof(Datum) * report->natts);
	bool	   *nulls = palloc(sizeof(bool) * report->natts);

	if (desc != NULL)
		deform(report, desc, values, nulls);
	/* shown with the rights of the result table's owner, who may have made its types */
	sp_dead_letter_add(&r->o, r->o.relid, "refusal", NULL, reason, SP_NO_TIME, SP_NO_TIME,
					   report->lsn, report->ordinal, desc, values, nulls);
}

/* Write one to the result table. */
static void
write_row(const SpReports *r, const SpReport *report, const char *notify)
{
	SpWriter   *writer = sp_writer_open(r->o.relid, report->natts, sp_report_types(report), 0, NULL);
	TupleTableSlot *slot = sp_writer_slot(writer);
	int			detected_at = report->natts - 3;
	int64		id = sp_writer_next_id(writer);

	ExecClearTuple(slot);
	deform(report, describe(r, report), slot->tts_values, slot->tts_isnull);
	slot->tts_values[0] = Int64GetDatum(id);
	slot->tts_isnull[0] = false;
	slot->tts_values[detected_at] = TimestampTzGetDatum(GetCurrentTimestamp());
	slot->tts_isnull[detected_at] = false;
	ExecStoreVirtualTuple(slot);
	sp_writer_insert(writer);
	sp_writer_close(writer);
	CommandCounterIncrement();
	if (notify != NULL)
	{
		/* a listener must not hear of an alert that a crash takes back */
		ForceSyncCommit();
		Async_Notify(notify, psprintf(INT64_FORMAT, id));
	}
}

/* Why they can't be written to the table now, and not later either; NULL: they can. */
static const char *
give_up(const SpReports *r)
{
	return r->output.failures > 1 && are_too_many(r) ?
		"the result table could not be written for too long" : NULL;
}

/* There is no such detector, nor is there going to be one. */
static void
tell_gone(const SpReports *r)
{
	ereport(LOG,
			(errmsg(UINT64_FORMAT " refusals of %s are not reported", r->output.nalerts, r->o.name),
			 errdetail("The detector was dropped, or was never committed.")));
}

/*
 * Write all that wait, in the current transaction.  False: nothing is written, for it isn't known
 * yet whether there is going to be a detector.
 */
bool
sp_report_write(SpReports *r, uint64 *written, uint64 *dead)
{
	/* asked in this order, for it may end in between */
	bool		in_progress = any_in_progress(r);
	MemoryContext context;
	MemoryContext old;
	char	   *notify;
	dlist_iter	iter;

	*written = *dead = 0;
	sp_engine_limit_waits();
	if (!find_detector(r, &notify))
	{
		if (in_progress && !are_too_many(r))
		{
			r->output.retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), WAIT_MS);
			return false;
		}
		tell_gone(r);
		return true;
	}
	context = AllocSetContextCreate(CurrentMemoryContext, "streamproc report",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	dlist_foreach(iter, &r->output.alerts)
	{
		const SpReport *report = dlist_container(SpAlert, node, iter.cur)->report;
		const char *misfit = find_misfit(r, report);

		CHECK_FOR_INTERRUPTS();
		if (misfit == NULL)
			misfit = give_up(r);
		if (misfit != NULL)
		{
			bury(r, report, misfit);
			(*dead)++;
		}
		else if (!is_written(r, report))
		{
			write_row(r, report, notify);
			(*written)++;
		}
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return true;
}
