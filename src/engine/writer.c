/*
 * writer.c
 *	  Writes rows of result tables: opens them and chooses the path for each row.
 *
 * How a table is written is decided once (writer_plan.c) and remembered.  The fast path is
 * catalog/table.c; the executor's is writer_slow.c, which uses the same table to find rows.
 */
#include "postgres.h"

#include "access/relation.h"
#include "executor/executor.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/guc.h"

#include "base/guc.h"
#include "engine/changes.h"
#include "engine/writer_internal.h"

struct SpWriter
{
	Relation	rel;
	SpWriterPlan *plan;
	SpTable    *table;
	SpWriterSlow *slow;			/* NULL: the fast path */
	SpChanges  *changes;		/* NULL: no feed */
	TupleTableSlot *slot;
	bool		lookup;
	bool		update_checked;
	bool		delete_checked;
	uint64		count;
};

/* Don't wait for locks longer than streamproc.lock_timeout, until the transaction ends. */
static void
limit_lock_waits(void)
{
	char		value[32];

	if (LockTimeout == sp_guc_lock_timeout)
		return;
	snprintf(value, sizeof(value), "%d", sp_guc_lock_timeout);
	(void) set_config_option("lock_timeout", value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
}

/* Open the relation, locked. */
static Relation
open_relation(Oid relid)
{
	Relation	rel;

	limit_lock_waits();
	rel = try_relation_open(relid, RowExclusiveLock);
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("result table with OID %u does not exist", relid)));
	return rel;
}

/* Make a writer of a relation that is open and locked. */
static SpWriter *
make_writer(Relation rel, int natts, const Oid *types, int nkeys, const AttrNumber *key_attnums)
{
	SpWriter   *writer = palloc0(sizeof(SpWriter));

	writer->rel = rel;
	writer->plan = sp_writer_plan_get(rel, natts, types);
	writer->table = sp_table_open(rel, nkeys, key_attnums);
	writer->slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
	if (writer->plan->executor)
		writer->slow = sp_writer_slow_open(writer->table, writer->plan, nkeys, key_attnums);
	return writer;
}

/* Open a result table for writing. */
SpWriter *
sp_writer_open(Oid relid, int natts, const Oid *types,
			   int nkeys, const AttrNumber *key_attnums)
{
	return make_writer(open_relation(relid), natts, types, nkeys, key_attnums);
}

/* Open it with the columns that it has. */
SpWriter *
sp_writer_open_any(Oid relid)
{
	Relation	rel = open_relation(relid);
	TupleDesc	desc = RelationGetDescr(rel);
	Oid		   *types = palloc(sizeof(Oid) * Max(desc->natts, 1));
	int			natts;

	for (natts = 0; natts < desc->natts && !TupleDescAttr(desc, natts)->attisdropped; natts++)
		types[natts] = TupleDescAttr(desc, natts)->atttypid;
	return make_writer(rel, natts, types, 0, NULL);
}

/* Let a change feed have what is written. */
void
sp_writer_log(SpWriter *writer, Oid changes, XLogRecPtr lsn)
{
	if (OidIsValid(changes))
		writer->changes = sp_changes_open(changes, writer->rel, lsn);
	if (writer->changes != NULL)
		sp_table_observe(writer->table, sp_changes_note, writer->changes);
}

/* One more row was written, or not. */
static inline void
end_row(SpWriter *writer, bool written)
{
	writer->count += written;
	if (writer->changes != NULL)
		sp_changes_relieve(writer->changes);
}

void
sp_writer_set_lookup(SpWriter *writer, bool lookup)
{
	writer->lookup = lookup;
}

/*
 * Where keys are compared by functions that may be somebody's own, these have the rights of the
 * table's owner.
 */
static inline void
assume_owner(const SpWriter *writer, SpOwnerRights *rights)
{
	if (unlikely(writer->plan->compares))
		sp_writer_plan_assume_owner(writer->plan->owner, rights);
}

static inline void
resume(const SpWriter *writer, const SpOwnerRights *rights)
{
	if (unlikely(writer->plan->compares))
		sp_writer_plan_resume(rights);
}

/* The slot to be filled for the next call. */
TupleTableSlot *
sp_writer_slot(SpWriter *writer)
{
	return ExecClearTuple(writer->slot);
}

/* Fill the user's columns with their defaults, which are constants on the fast path. */
static void
set_defaults(SpWriter *writer)
{
	const SpWriterPlan *plan = writer->plan;

	for (int i = 0; i < plan->nothers; i++)
	{
		Const	   *value = (Const *) plan->defaults[i];

		writer->slot->tts_values[plan->natts + i] = value == NULL ? (Datum) 0 : value->constvalue;
		writer->slot->tts_isnull[plan->natts + i] = value == NULL || value->constisnull;
	}
}

/* Insert the row in the slot; its position goes to *tid in time. */
static void
insert_row(SpWriter *writer, ItemPointer tid)
{
	if (writer->slow != NULL)
	{
		sp_writer_slow_insert(writer->slow, writer->slot, tid);
		return;
	}
	set_defaults(writer);
	sp_table_insert(writer->table, writer->slot->tts_values, writer->slot->tts_isnull, tid);
}

/* A publication may ask for a replica identity; it is the user's to give one. */
static void
check_update(SpWriter *writer)
{
	if (!writer->update_checked)
		CheckCmdReplicaIdentity(writer->rel, CMD_UPDATE);
	writer->update_checked = true;
}

static void
check_delete(SpWriter *writer)
{
	if (!writer->delete_checked)
		CheckCmdReplicaIdentity(writer->rel, CMD_DELETE);
	writer->delete_checked = true;
}

/* Update the row with the key in the slot; false when there is none. */
static bool
update_row(SpWriter *writer, ItemPointer tid)
{
	if (writer->slow != NULL)
		return sp_writer_slow_update(writer->slow, writer->slot, tid);
	check_update(writer);
	return sp_table_update(writer->table, tid, writer->plan->natts,
						   writer->slot->tts_values, writer->slot->tts_isnull);
}

/* Insert or update the row in the slot by its key. */
void
sp_writer_upsert(SpWriter *writer, ItemPointer tid)
{
	/* A trigger may have kept a row out, so that nothing is believed new. */
	bool		lookup = writer->lookup || writer->slow != NULL;
	SpOwnerRights rights;

	assume_owner(writer, &rights);
	if (!((lookup || ItemPointerIsValid(tid) || sp_table_is_pending(tid)) &&
		  update_row(writer, tid)))
		insert_row(writer, tid);
	resume(writer, &rights);
	end_row(writer, true);
}

/* Insert the row in the slot. */
void
sp_writer_insert(SpWriter *writer)
{
	SpOwnerRights rights;

	assume_owner(writer, &rights);
	insert_row(writer, NULL);
	resume(writer, &rights);
	end_row(writer, true);
}

/* Delete the row with the key in the slot, if there. */
void
sp_writer_delete(SpWriter *writer, ItemPointer tid)
{
	SpOwnerRights rights;
	bool		found;

	assume_owner(writer, &rights);
	if (writer->slow != NULL)
		found = sp_writer_slow_delete(writer->slow, writer->slot, tid);
	else
	{
		check_delete(writer);
		found = sp_table_delete(writer->table, tid, writer->slot->tts_values,
								writer->slot->tts_isnull);
	}
	resume(writer, &rights);
	end_row(writer, found);
}

/* Write what waits. */
void
sp_writer_flush(SpWriter *writer)
{
	sp_table_flush(writer->table);
}

/* Let the rows that were written be looked up. */
void
sp_writer_refresh(SpWriter *writer)
{
	SpOwnerRights rights;

	assume_owner(writer, &rights);
	sp_table_refresh(writer->table);
	resume(writer, &rights);
}

/* Count a row that was changed at a position. */
static SpAtResult
count_at(SpWriter *writer, SpAtResult result)
{
	end_row(writer, result == SP_AT_DONE);
	return result;
}

/* Delete the row at a position. */
SpAtResult
sp_writer_delete_at(SpWriter *writer, ItemPointer tid)
{
	if (writer->slow != NULL)
		return count_at(writer, sp_writer_slow_delete_at(writer->slow, tid));
	check_delete(writer);
	return count_at(writer, sp_table_delete_at(writer->table, tid) ? SP_AT_DONE : SP_AT_CHANGED);
}

/* Set a column of the row at a position. */
SpAtResult
sp_writer_set_at(SpWriter *writer, ItemPointer tid, AttrNumber attnum, Datum value)
{
	SpOwnerRights rights;
	SpAtResult	result;

	assume_owner(writer, &rights);
	if (writer->slow != NULL)
		result = sp_writer_slow_set_at(writer->slow, writer->slot, tid, attnum, value);
	else
	{
		check_update(writer);
		result = sp_table_set_at(writer->table, tid, attnum, value) ? SP_AT_DONE : SP_AT_CHANGED;
	}
	resume(writer, &rights);
	return count_at(writer, result);
}

/* The next value of the identity column that the table begins with. */
int64
sp_writer_next_id(SpWriter *writer)
{
	return sp_table_next_id(writer->table);
}

Oid
sp_writer_owner(const SpWriter *writer)
{
	return writer->rel->rd_rel->relowner;
}

uint64
sp_writer_count(const SpWriter *writer)
{
	return writer->count;
}

/* Flush and close. */
void
sp_writer_close(SpWriter *writer)
{
	SpOwnerRights rights;

	if (writer->slow != NULL)
		sp_writer_slow_close(writer->slow);
	if (writer->changes != NULL)
		sp_changes_close(writer->changes);
	ExecDropSingleTupleTableSlot(writer->slot);
	assume_owner(writer, &rights);
	sp_table_close(writer->table);
	resume(writer, &rights);
	pfree(writer);
}
