/*
 * inserts.c
 *	  Result rows of a window that answers each row, until they are written.
 *
 * A window that answers each row has as many of them as the transaction had rows.  They
 * stand packed in a spool, which moves to a temporary file as the spools of transactions do,
 * and are no part of the durable state: a checkpoint waits until they are written
 * (sp_write_holds_back_checkpoint()).
 *
 * Mostly they are inserted and never change.  Where rows of the source may be taken back, the
 * revision tells what is to be done: 1 is a new row, a later one is that of a row which may be
 * there, 0 that it is to be deleted.  A row is changed once at most between two calls of
 * sp_inserts_begin(), which therefore begins a chunk.
 */
#include "engine/internal.h"

#include "access/xact.h"
#include "base/compat.h"
#include "engine/writer.h"
#include "miscadmin.h"
#include "utils/memutils.h"

struct SpInserts
{
	Oid			relid;			/* the result table */
	TupleDesc	desc;			/* of the columns that are written */
	SpSpool    *spool;			/* NULL: nothing is in it */
	StringInfoData chunk;		/* the last ones; no data: none */
};

/* MemoryContextCallbackFunction: spools live elsewhere. */
static void
free_spool(void *arg)
{
	SpInserts  *inserts = arg;

	if (inserts->spool != NULL)
		sp_spool_free(inserts->spool);
	inserts->spool = NULL;
}

/* No rows yet.  context: the object's; desc lives as long. */
SpInserts *
sp_inserts_create(MemoryContext context, Oid relid, TupleDesc desc)
{
	SpInserts  *inserts = MemoryContextAllocZero(context, sizeof(SpInserts));
	MemoryContextCallback *callback = MemoryContextAlloc(context, sizeof(MemoryContextCallback));
	MemoryContext old = MemoryContextSwitchTo(context);

	inserts->relid = relid;
	inserts->desc = desc;
	initStringInfo(&inserts->chunk);
	callback->func = free_spool;
	callback->arg = inserts;
	MemoryContextRegisterResetCallback(context, callback);
	MemoryContextSwitchTo(old);
	return inserts;
}

/* Move the chunk under construction to the spool. */
static void
close_chunk(SpInserts *inserts)
{
	SpChunk    *chunk = (SpChunk *) inserts->chunk.data;

	if (inserts->chunk.len == 0)
		return;
	if (inserts->spool == NULL)
		inserts->spool = sp_spool_create();
	/* Writing may have failed before it had read all. */
	sp_spool_rewind(inserts->spool);
	chunk->source = inserts->relid;
	chunk->shape = sp_shape_register(inserts->relid, inserts->desc)->id;
	sp_spool_keep(inserts->spool, chunk);
	resetStringInfo(&inserts->chunk);
}

/* Rows may follow that change those before. */
void
sp_inserts_begin(SpOutput *output)
{
	if (!output->replaying)
		close_chunk(output->inserts);
}

/* One more row; its values are copied. */
void
sp_inserts_add(SpOutput *output, const Datum *values, const bool *nulls)
{
	SpInserts  *inserts = output->inserts;

	if (output->replaying)
		return;
	if (inserts->chunk.len >= SP_CHUNK_TARGET)
		close_chunk(inserts);
	if (inserts->chunk.len == 0)
		sp_chunk_start(&inserts->chunk, inserts->relid, inserts->desc, false);
	(void) sp_chunk_append(&inserts->chunk, inserts->desc, values, nulls);
	output->ninserts++;
	if (output->first_change == 0)
		output->first_change = GetCurrentTransactionStartTimestamp();
}

/* Write the row in the slot, which may change one that is there; *refreshed: since the chunk began. */
static void
write_row(SpWriter *writer, TupleTableSlot *slot, int natts, bool *refreshed)
{
	int32		revision = DatumGetInt32(slot->tts_values[natts - 3]);
	ItemPointer tid;

	if (revision == 1)
	{
		sp_writer_insert(writer);
		return;
	}
	if (!*refreshed)
		sp_writer_refresh(writer);
	*refreshed = true;
	sp_writer_set_lookup(writer, true);
	tid = palloc(sizeof(ItemPointerData));
	ItemPointerSetInvalid(tid);
	if (revision == 0)
		sp_writer_delete(writer, tid);
	else
		sp_writer_upsert(writer, tid);
}

/* Write all of them; they are kept, for the transaction may not commit. */
void
sp_inserts_write(SpOutput *output, SpWriter *writer)
{
	SpInserts  *inserts = output->inserts;
	TupleTableSlot *slot = sp_writer_slot(writer);
	const SpChunk *chunk;

	close_chunk(inserts);
	sp_spool_rewind(inserts->spool);
	while ((chunk = sp_spool_next(inserts->spool)) != NULL)
	{
		SpRowCursor cursor;
		bool		refreshed = false;

		CHECK_FOR_INTERRUPTS();
		sp_row_begin(&cursor, chunk);
		ExecClearTuple(slot);
		while (sp_row_next(&cursor, inserts->desc->natts, slot->tts_values, slot->tts_isnull))
		{
			ExecStoreVirtualTuple(slot);
			write_row(writer, slot, inserts->desc->natts, &refreshed);
			ExecClearTuple(slot);
		}
	}
}

/* They are in the table. */
void
sp_inserts_clear(SpOutput *output)
{
	SpInserts  *inserts = output->inserts;

	if (output->ninserts == 0)
		return;
	free_spool(inserts);
	resetStringInfo(&inserts->chunk);
	output->ninserts = 0;
}
