/*
 * writer_slow.c
 *	  Writes rows of result tables by the executor's routines: row triggers, constraints,
 *	  generated columns, any default and any index.
 *
 * Each row is a command of its own, as in logical replication's apply: its AFTER triggers
 * fire before the next row, and what they do is visible to it.  Everything runs with the
 * rights of the table's owner, in a security-restricted operation, with search_path
 * pinned.  Deferred constraints are checked at once: at commit they would run with ours.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_relation.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "engine/writer_internal.h"

struct SpWriterSlow
{
	Relation	rel;
	SpTable    *table;			/* finds rows */
	const SpWriterPlan *plan;
	EState	   *estate;
	ResultRelInfo *rri;
	EPQState	epq;
	TupleTableSlot *old;		/* the row to be changed */
	ExprState **defaults;		/* of the user's columns; NULL: NULL */
	SpOwnerRights rights;		/* while a row is written */
};

/* The columns that an update of ours changes, for UPDATE OF triggers and row locks. */
static Bitmapset *
collect_updated(const SpWriterPlan *plan, int nkeys, const AttrNumber *keys)
{
	Bitmapset  *updated = NULL;

	for (int i = 1; i <= plan->natts; i++)
		updated = bms_add_member(updated, i - FirstLowInvalidHeapAttributeNumber);
	for (int i = 0; i < nkeys; i++)
		updated = bms_del_member(updated, keys[i] - FirstLowInvalidHeapAttributeNumber);
	return updated;
}

/* Make the executor believe that it runs a statement on the table. */
static void
init_executor(SpWriterSlow *slow, int nkeys, const AttrNumber *keys)
{
	EState	   *estate = slow->estate;
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = RTE_RELATION;
	rte->relid = RelationGetRelid(slow->rel);
	rte->relkind = slow->rel->rd_rel->relkind;
	rte->rellockmode = RowExclusiveLock;
	sp_compat_init_range_table(estate, rte, collect_updated(slow->plan, nkeys, keys));

	slow->rri = makeNode(ResultRelInfo);
	InitResultRelInfo(slow->rri, slow->rel, 1, NULL, 0);
	estate->es_opened_result_relations = lappend(estate->es_opened_result_relations, slow->rri);
	ExecOpenIndices(slow->rri, false);
	sp_compat_epq_init(&slow->epq, estate);
	slow->old = table_slot_create(slow->rel, &estate->es_tupleTable);
}

/* From here on constraints are checked at once. */
static void
undefer_constraints(void)
{
	ConstraintsSetStmt *statement = makeNode(ConstraintsSetStmt);

	statement->constraints = NIL;	/* all */
	statement->deferred = false;
	AfterTriggerSetState(statement);
}

/* Open the executor's path to a table. */
SpWriterSlow *
sp_writer_slow_open(SpTable *table, const SpWriterPlan *plan,
					int nkeys, const AttrNumber *keys)
{
	SpWriterSlow *slow = palloc0(sizeof(SpWriterSlow));
	MemoryContext oldcontext;
	SpOwnerRights rights;

	slow->rel = sp_table_relation(table);
	slow->table = table;
	slow->plan = plan;
	slow->estate = CreateExecutorState();

	/* the expressions of indexes are simplified when they are opened */
	sp_writer_plan_assume_owner(plan->owner, &rights);
	oldcontext = MemoryContextSwitchTo(slow->estate->es_query_cxt);
	init_executor(slow, nkeys, keys);
	slow->defaults = palloc0(Max(plan->nothers, 1) * sizeof(ExprState *));
	for (int i = 0; i < plan->nothers; i++)
		if (plan->defaults[i] != NULL)
			slow->defaults[i] = ExecInitExpr(plan->defaults[i], NULL);
	MemoryContextSwitchTo(oldcontext);
	sp_writer_plan_resume(&rights);

	if (plan->deferrable)
		undefer_constraints();
	return slow;
}

/* Start the command that writes a row. */
static void
begin_row(SpWriterSlow *slow)
{
	EState	   *estate = slow->estate;

	sp_writer_plan_assume_owner(slow->plan->owner, &slow->rights);
	estate->es_output_cid = GetCurrentCommandId(true);
	estate->es_snapshot = RegisterSnapshot(GetLatestSnapshot());
	PushActiveSnapshot(estate->es_snapshot);
	AfterTriggerBeginQuery();
}

/* End it: AFTER triggers, then make it visible. */
static void
end_row(SpWriterSlow *slow)
{
	EState	   *estate = slow->estate;

	AfterTriggerEndQuery(estate);
	PopActiveSnapshot();
	UnregisterSnapshot(estate->es_snapshot);
	estate->es_snapshot = InvalidSnapshot;
	sp_writer_plan_resume(&slow->rights);
	ResetPerTupleExprContext(estate);
	sp_table_refresh(slow->table);
}

/* Fill the user's columns with their defaults. */
static void
evaluate_defaults(SpWriterSlow *slow, TupleTableSlot *slot)
{
	ExprContext *econtext = GetPerTupleExprContext(slow->estate);
	int			natts = slow->plan->natts;

	for (int i = 0; i < slow->plan->nothers; i++)
	{
		if (slow->defaults[i] == NULL)
		{
			slot->tts_values[natts + i] = (Datum) 0;
			slot->tts_isnull[natts + i] = true;
		}
		else
			slot->tts_values[natts + i] =
				ExecEvalExprSwitchContext(slow->defaults[i], econtext,
										  &slot->tts_isnull[natts + i]);
	}
}

/* Fill the user's columns with what they have in the old row. */
static void
keep_others(SpWriterSlow *slow, TupleTableSlot *slot)
{
	int			natts = slow->plan->natts;

	slot_getallattrs(slow->old);
	for (int i = natts; i < natts + slow->plan->nothers; i++)
	{
		slot->tts_values[i] = slow->old->tts_values[i];
		slot->tts_isnull[i] = slow->old->tts_isnull[i];
	}
}

/* Tell the observer what became of a row. */
static void
tell(SpWriterSlow *slow, TupleTableSlot *before, TupleTableSlot *after)
{
	HeapTuple	old;
	HeapTuple	new;

	if (!sp_table_is_observed(slow->table))
		return;
	old = before ? ExecCopySlotHeapTuple(before) : NULL;
	new = after ? ExecCopySlotHeapTuple(after) : NULL;
	sp_table_tell(slow->table, old, new);
	if (old != NULL)
		heap_freetuple(old);
	if (new != NULL)
		heap_freetuple(new);
}

/* Insert the row in the slot. */
void
sp_writer_slow_insert(SpWriterSlow *slow, TupleTableSlot *slot, ItemPointer tid)
{
	begin_row(slow);
	evaluate_defaults(slow, slot);
	if (TTS_EMPTY(slot))
		ExecStoreVirtualTuple(slot);
	slot->tts_tableOid = RelationGetRelid(slow->rel);

	/* A BEFORE trigger may keep it out. */
	ItemPointerSetInvalid(&slot->tts_tid);
	ExecSimpleRelationInsert(slow->rri, slow->estate, slot);
	if (tid != NULL)
		*tid = slot->tts_tid;
	if (ItemPointerIsValid(&slot->tts_tid))
		tell(slow, NULL, slot);
	end_row(slow);
}

/* Find and lock the row with the key in the slot; its latest version goes to slow->old. */
static bool
lock_row(SpWriterSlow *slow, TupleTableSlot *slot, ItemPointer tid, LockTupleMode mode)
{
	TM_FailureData failure;

	while (sp_table_find(slow->table, tid, slot->tts_values, slot->tts_isnull))
	{
		TM_Result	result = table_tuple_lock(slow->rel, tid, slow->estate->es_snapshot,
											  slow->old, slow->estate->es_output_cid,
											  mode, LockWaitBlock, 0, &failure);

		if (result == TM_Ok)
			return true;
		if (result != TM_Updated && result != TM_Deleted)
			elog(ERROR, "unexpected result %d of locking a row of \"%s\"",
				 result, RelationGetRelationName(slow->rel));

		/* Somebody was faster: look again. */
		CHECK_FOR_INTERRUPTS();
		ItemPointerSetInvalid(tid);
		sp_table_refresh(slow->table);
	}
	return false;
}

/* Put the slot in place of the row that is locked; false when a trigger keeps that as it is. */
static bool
replace_locked(SpWriterSlow *slow, TupleTableSlot *slot)
{
	if (TTS_EMPTY(slot))
		ExecStoreVirtualTuple(slot);
	slot->tts_tableOid = RelationGetRelid(slow->rel);
	slot->tts_tid = slow->old->tts_tid;
	ExecSimpleRelationUpdate(slow->rri, slow->estate, &slow->epq, slow->old, slot);
	if (ItemPointerEquals(&slot->tts_tid, &slow->old->tts_tid))
		return false;
	tell(slow, slow->old, slot);
	return true;
}

/* Update the row with the key in the slot; false when there is none. */
bool
sp_writer_slow_update(SpWriterSlow *slow, TupleTableSlot *slot, ItemPointer tid)
{
	bool		found;

	begin_row(slow);
	found = lock_row(slow, slot, tid, ExecUpdateLockMode(slow->estate, slow->rri));
	if (found)
	{
		keep_others(slow, slot);
		(void) replace_locked(slow, slot);
		*tid = slot->tts_tid;
		ExecClearTuple(slow->old);
	}
	end_row(slow);
	return found;
}

/* End the command that deletes the row in slow->old, at tid; false when a trigger keeps it. */
static bool
delete_locked(SpWriterSlow *slow, ItemPointer tid)
{
	ExecSimpleRelationDelete(slow->rri, slow->estate, &slow->epq, slow->old);
	end_row(slow);
	if (sp_table_look(slow->table, tid))
		return false;
	tell(slow, slow->old, NULL);
	ExecClearTuple(slow->old);
	return true;
}

/* Delete the row with the key in the slot; false when there is none. */
bool
sp_writer_slow_delete(SpWriterSlow *slow, TupleTableSlot *slot, ItemPointer tid)
{
	begin_row(slow);
	if (!lock_row(slow, slot, tid, LockTupleExclusive))
	{
		end_row(slow);
		return false;
	}
	if (delete_locked(slow, tid))
		ItemPointerSetInvalid(tid);
	return true;
}

/* Lock the row at a position, unless it has changed; it goes to slow->old. */
static bool
lock_row_at(SpWriterSlow *slow, ItemPointer tid, LockTupleMode mode)
{
	TM_FailureData failure;

	return sp_table_look(slow->table, tid) &&
		table_tuple_lock(slow->rel, tid, slow->estate->es_snapshot, slow->old,
						 slow->estate->es_output_cid, mode, LockWaitBlock, 0,
						 &failure) == TM_Ok;
}

/* Delete the row at a position. */
SpAtResult
sp_writer_slow_delete_at(SpWriterSlow *slow, ItemPointer tid)
{
	begin_row(slow);
	if (!lock_row_at(slow, tid, LockTupleExclusive))
	{
		end_row(slow);
		return SP_AT_CHANGED;
	}
	return delete_locked(slow, tid) ? SP_AT_DONE : SP_AT_KEPT;
}

/* Set a column of the row at a position; the slot is for its new version. */
SpAtResult
sp_writer_slow_set_at(SpWriterSlow *slow, TupleTableSlot *slot, ItemPointer tid,
					  AttrNumber attnum, Datum value)
{
	SpAtResult	result = SP_AT_CHANGED;
	int			natts = slot->tts_tupleDescriptor->natts;

	begin_row(slow);
	if (lock_row_at(slow, tid, ExecUpdateLockMode(slow->estate, slow->rri)))
	{
		slot_getallattrs(slow->old);
		memcpy(slot->tts_values, slow->old->tts_values, natts * sizeof(Datum));
		memcpy(slot->tts_isnull, slow->old->tts_isnull, natts * sizeof(bool));
		slot->tts_values[attnum - 1] = value;
		slot->tts_isnull[attnum - 1] = false;
		result = replace_locked(slow, slot) ? SP_AT_DONE : SP_AT_KEPT;
		ExecClearTuple(slow->old);
	}
	end_row(slow);
	return result;
}

/* Give the executor's state back. */
void
sp_writer_slow_close(SpWriterSlow *slow)
{
	EvalPlanQualEnd(&slow->epq);
	ExecCloseIndices(slow->rri);

	/* The relation itself belongs to the table: nothing else was opened. */
	ExecResetTupleTable(slow->estate->es_tupleTable, false);
	FreeExecutorState(slow->estate);
	pfree(slow);
}
