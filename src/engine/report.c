/*
 * report.c
 *	  Rows that shields have refused, to the result tables of their detectors.
 *
 * A message in the WAL brings each.  They are output of the stream, so that they are written
 * whatever state the detector is in: a shield doesn't wait for the worker.  A row is known
 * by its lsn and ordinal, which the session has chosen, and isn't written again.
 */
#include "engine/internal.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "base/compat.h"
#include "catalog/message.h"
#include "catalog/pg_authid_d.h"
#include "catalog/pg_type.h"
#include "catalog/query.h"
#include "commands/async.h"
#include "engine/writer.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* Do the sizes agree? */
static bool
is_plausible(const SpReport *report, Size size)
{
	return report->natts > 0 && report->natts <= MaxTupleAttributeNumber &&
		report->tuple_size >= SizeofHeapTupleHeader &&
		size == sp_report_tuple_offset(report->natts) + report->tuple_size;
}

void
sp_report_take(const SpEvent *event)
{
	const SpReport *report = (const SpReport *) event->report;
	SpStream   *s = sp_registry_find_stream(report->source);
	SpAlert    *alert;
	char	   *copy;

	if (s == NULL || event->lsn < s->def->o.start_lsn || s->output.replaying ||
		!is_plausible(report, event->report_size))
		return;
	copy = MemoryContextAllocHuge(s->output.context, event->report_size);
	memcpy(copy, report, event->report_size);
	alert = MemoryContextAllocZero(s->output.context, sizeof(SpAlert));
	alert->report = (SpReport *) copy;
	dlist_push_tail(&s->output.alerts, &alert->node);
	s->output.nalerts++;
	if (s->output.first_change == 0)
		s->output.first_change = GetCurrentTransactionStartTimestamp();
	s->changed = true;
}

/* The detector, whatever state it is in; NULL: it is gone. */
static const SpObjectDef *
find_detector(int32 id, const char **notify)
{
	ListCell   *lc;

	*notify = NULL;
	foreach(lc, sp_engine.definitions->detectors)
	{
		SpDetectorDef *def = lfirst(lc);

		if (def->o.id != id)
			continue;
		*notify = def->notify;
		return &def->o;
	}
	foreach(lc, sp_engine.definitions->broken)
	{
		SpBrokenDef *def = lfirst(lc);

		if (def->o.id == id)
			return &def->o;
	}
	return NULL;
}

/* Does the result table still have these columns? */
static bool
fits(const SpReport *report, const SpObjectDef *def)
{
	Relation	rel;
	bool		same;

	if (get_rel_name(def->relid) == NULL)
		return false;
	rel = sp_registry_look_at(def->relid);
	same = RelationGetDescr(rel)->natts >= report->natts;
	for (int i = 0; same && i < report->natts; i++)
		same = TupleDescAttr(RelationGetDescr(rel), i)->atttypid == sp_report_types(report)[i];
	RelationClose(rel);
	if (!same)
		ereport(LOG,
				(errmsg("a row that detector %s has refused can't be reported", def->name),
				 errdetail("Its result table no longer has the columns it had then.")));
	return same;
}

/* Is the row there already? */
static bool
is_written(const SpReport *report, const SpObjectDef *def)
{
	Oid			types[2] = {PG_LSNOID, INT8OID};
	Datum		args[2] = {LSNGetDatum(report->lsn), Int64GetDatum(report->ordinal)};
	SpQueryScope scope;
	bool		found;

	sp_query_open_latest(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, psprintf("SELECT FROM ONLY %s WHERE lsn = $1 AND ordinal = $2",
								  sp_registry_relation_name(def->relid)),
				 SPI_OK_SELECT, 2, types, args, NULL);
	found = SPI_processed > 0;
	sp_query_close(&scope);
	return found;
}

/* The row's values. */
static void
deform(const SpReport *report, Datum *values, bool *nulls)
{
	TupleDesc	desc = CreateTemplateTupleDesc(report->natts);
	HeapTupleData tuple = {0};

	for (int i = 0; i < report->natts; i++)
		TupleDescInitEntry(desc, i + 1, NULL, sp_report_types(report)[i], -1, 0);
	tuple.t_len = report->tuple_size;
	tuple.t_data = (HeapTupleHeader) ((char *) report + sp_report_tuple_offset(report->natts));
	ItemPointerSetInvalid(&tuple.t_self);
	heap_deform_tuple(&tuple, desc, values, nulls);
}

/* Write one; false: it was there. */
static bool
write_report(const SpReport *report)
{
	const char *notify;
	const SpObjectDef *def = find_detector(report->detector, &notify);
	SpWriter   *writer;
	TupleTableSlot *slot;
	int			detected_at = report->natts - 3;
	int64		id;

	if (def == NULL || !fits(report, def) || is_written(report, def))
		return false;
	writer = sp_writer_open(def->relid, report->natts, sp_report_types(report), 0, NULL);
	slot = sp_writer_slot(writer);
	ExecClearTuple(slot);
	deform(report, slot->tts_values, slot->tts_isnull);
	id = sp_writer_next_id(writer);
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
	return true;
}

/* All reports that wait, in the current transaction. */
uint64
sp_report_write(SpStream *s)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "streamproc report",
												  ALLOCSET_DEFAULT_SIZES);
	dlist_iter	iter;
	uint64		n = 0;

	dlist_foreach(iter, &s->output.alerts)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		CHECK_FOR_INTERRUPTS();
		n += write_report(dlist_container(SpAlert, node, iter.cur)->report);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	MemoryContextDelete(context);
	return n;
}
