/*
 * changes.c
 *	  The change feed of a window.
 *
 * Rows become jsonb with the rights of the result table's owner, many at a time.  An update
 * that leaves a row as it was (after a crash one may be written twice) is no change.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "catalog/image.h"
#include "engine/changes.h"
#include "engine/writer_internal.h"

#define MAX_WAITING 1000

/* Columns of the feed; the user's may follow. */
enum
{
	CHANGE_ID,
	CHANGE_LSN,
	CHANGE_CHANGED_AT,
	CHANGE_OLD,
	CHANGE_NEW,
	CHANGE_COLUMNS
};

static const Oid types[CHANGE_COLUMNS] = {INT8OID, PG_LSNOID, TIMESTAMPTZOID, JSONBOID, JSONBOID};

struct SpChanges
{
	MemoryContext context;
	MemoryContext waiting;		/* the tuples, and what becomes of them */
	SpWriter   *writer;
	Oid			owner;			/* of the result table */
	TupleDesc	desc;			/* its rows */
	SpImage		image;
	Datum	   *values;
	bool	   *nulls;
	XLogRecPtr	lsn;
	TimestampTz now;
	int			n;
	HeapTuple	before[MAX_WAITING];
	HeapTuple	after[MAX_WAITING];
};

/* Open a feed. */
SpChanges *
sp_changes_open(Oid relid, Relation result, XLogRecPtr lsn)
{
	MemoryContext context;
	MemoryContext old;
	SpChanges  *changes;

	if (get_rel_name(relid) == NULL)
		return NULL;
	context = AllocSetContextCreate(CurrentMemoryContext, "streamproc changes",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	changes = palloc0(sizeof(SpChanges));
	changes->context = context;
	changes->waiting = AllocSetContextCreate(context, "streamproc waiting changes",
											 ALLOCSET_DEFAULT_SIZES);
	changes->writer = sp_writer_open(relid, CHANGE_COLUMNS, types, 0, NULL);
	changes->owner = result->rd_rel->relowner;
	changes->desc = CreateTupleDescCopy(RelationGetDescr(result));
	changes->values = palloc(sizeof(Datum) * Max(changes->desc->natts, 1));
	changes->nulls = palloc(sizeof(bool) * Max(changes->desc->natts, 1));
	changes->lsn = lsn;
	changes->now = GetCurrentTimestamp();
	sp_image_open(&changes->image, changes->desc);
	MemoryContextSwitchTo(old);
	return changes;
}

/* Keep both versions of a row. */
void
sp_changes_note(void *arg, HeapTuple before, HeapTuple after)
{
	SpChanges  *changes = arg;
	MemoryContext old = MemoryContextSwitchTo(changes->waiting);

	if (changes->n == MAX_WAITING)
		elog(ERROR, "changes were not written in time");
	changes->before[changes->n] = before ? heap_copytuple(before) : NULL;
	changes->after[changes->n++] = after ? heap_copytuple(after) : NULL;
	MemoryContextSwitchTo(old);
}

/* A version of a row as jsonb; NULL: there is none. */
static Jsonb *
make_image(SpChanges *changes, HeapTuple tuple)
{
	if (tuple == NULL)
		return NULL;
	heap_deform_tuple(tuple, changes->desc, changes->values, changes->nulls);
	return DatumGetJsonbP(sp_image_make(&changes->image, changes->values, changes->nulls));
}

/* Add one change. */
static void
add_change(SpChanges *changes, const Jsonb *before, const Jsonb *after)
{
	TupleTableSlot *slot;

	if (before != NULL && after != NULL && VARSIZE(before) == VARSIZE(after) &&
		memcmp(before, after, VARSIZE(before)) == 0)
		return;
	slot = sp_writer_slot(changes->writer);
	memset(slot->tts_isnull, false, sizeof(bool) * CHANGE_COLUMNS);
	slot->tts_values[CHANGE_ID] = Int64GetDatum(sp_writer_next_id(changes->writer));
	slot->tts_values[CHANGE_LSN] = LSNGetDatum(changes->lsn);
	slot->tts_values[CHANGE_CHANGED_AT] = TimestampTzGetDatum(changes->now);
	slot->tts_values[CHANGE_OLD] = PointerGetDatum(before);
	slot->tts_isnull[CHANGE_OLD] = before == NULL;
	slot->tts_values[CHANGE_NEW] = PointerGetDatum(after);
	slot->tts_isnull[CHANGE_NEW] = after == NULL;
	ExecStoreVirtualTuple(slot);
	sp_writer_insert(changes->writer);
}

/* Write what has gathered. */
static void
write_waiting(SpChanges *changes)
{
	MemoryContext old = MemoryContextSwitchTo(changes->waiting);
	Jsonb	  **images = palloc(sizeof(Jsonb *) * 2 * changes->n);
	SpOwnerRights rights;
	int			i;

	sp_writer_plan_assume_owner(changes->owner, &rights);
	sp_image_pin_settings();
	for (i = 0; i < changes->n; i++)
	{
		images[2 * i] = make_image(changes, changes->before[i]);
		images[2 * i + 1] = make_image(changes, changes->after[i]);
	}
	sp_writer_plan_resume(&rights);
	for (i = 0; i < changes->n; i++)
		add_change(changes, images[2 * i], images[2 * i + 1]);
	MemoryContextSwitchTo(old);
	MemoryContextReset(changes->waiting);
	changes->n = 0;
}

/* Is it much? */
void
sp_changes_relieve(SpChanges *changes)
{
	if (changes->n == MAX_WAITING)
		write_waiting(changes);
}

/* Write the rest. */
void
sp_changes_close(SpChanges *changes)
{
	if (changes->n > 0)
		write_waiting(changes);
	if (sp_writer_count(changes->writer) > 0)
		ForceSyncCommit();
	sp_writer_close(changes->writer);
	MemoryContextDelete(changes->context);
}
