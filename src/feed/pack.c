/*
 * pack.c
 *	  Rows of stream tables on their way into the WAL.
 *
 * Each (relation, subtransaction) has a pack: the message under construction.  A
 * logical message belongs to the subtransaction that is current when it is written,
 * and so do its rows: they live and die together.  Therefore a pack is written
 *
 *	- when it is full: the rows are the current subtransaction's;
 *	- at PRE_COMMIT_SUB, PRE_COMMIT or PRE_PREPARE of its subtransaction;
 *	- never for a parent while a child is current.  A child may already be current
 *	  at START_SUB, so that nothing can be written then either.
 *
 * An aborted subtransaction's packs are thrown away; what it has written already is
 * thrown away by the decoder.
 *
 * So a parent's rows may be written after those that its child wrote later.  Chunks
 * carry their place: sequence counts the chunks of the top transaction as they are
 * begun, and a parent's chunk takes no more rows once a child has begun one of the same
 * relation.  Order between different relations isn't kept.
 *
 * packs is a stack: those of the current subtransaction, if it has any, come first.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/row.h"
#include "catalog/message.h"
#include "feed/pack.h"
#include "feed/target.h"

#define FULL_BLOCK	(sizeof(SpMessage) + SP_CHUNK_TARGET)
#define FIRST_BLOCK 4096

typedef struct SpPack
{
	dlist_node	node;
	SubTransactionId subid;
	SpTarget   *target;
	bool		closed;			/* a child has begun a chunk of the same relation since */
	bool		varying;		/* a null was met: rows have headers from now on */

	/* the message under construction: SpMessage, SpChunk, rows */
	char	   *block;
	Size		capacity;
	Size		used;			/* 0: no chunk begun */
	uint32		row_length;		/* of the chunk; 0: its rows have headers */
	uint32		shape_hash;		/* of the chunk */
} SpPack;

StaticAssertDecl(sizeof(SpMessage) % MAXIMUM_ALIGNOF == 0, "a chunk stands behind a SpMessage");

static dlist_head packs = DLIST_STATIC_INIT(packs);
static SpPack *last_pack = NULL;	/* took the last row; may have to be found anew */
static uint32 last_sequence = 0;
static bool committing = false; /* packs were written for the last time */

static char *spare_block = NULL;	/* FULL_BLOCK, kept between transactions */
static bool spare_taken = false;
static MemoryContext scratch = NULL;	/* values fetched from TOAST, for one row */

#define pack_chunk(pack)	((SpChunk *) ((pack)->block + sizeof(SpMessage)))

/* Give back a pack's memory. */
static void
free_block(SpPack *pack)
{
	if (pack->block == spare_block)
		spare_taken = false;
	else if (pack->block != NULL)
		pfree(pack->block);
	pack->block = NULL;
	pack->capacity = 0;
}

/* Make room for size more bytes. */
static void
reserve(SpPack *pack, Size size)
{
	Size		capacity = Max(pack->capacity * 2, FIRST_BLOCK);
	char	   *block;

	if (pack->used + size <= pack->capacity)
		return;
	if (pack->block == NULL && !spare_taken && size <= FULL_BLOCK)
	{
		if (spare_block == NULL)
			spare_block = MemoryContextAlloc(TopMemoryContext, FULL_BLOCK);
		spare_taken = true;
		pack->block = spare_block;
		pack->capacity = FULL_BLOCK;
		return;
	}

	if (pack->used + size <= FULL_BLOCK)
		capacity = Min(capacity, FULL_BLOCK);
	capacity = Max(capacity, pack->used + size);
	if (capacity > MaxAllocSize)
		capacity = pack->used + size;
	block = MemoryContextAlloc(TopTransactionContext, capacity);
	if (pack->used > 0)
		memcpy(block, pack->block, pack->used);
	free_block(pack);
	pack->block = block;
	pack->capacity = capacity;
}

/* Write a pack of the current subtransaction. */
static void
write_pack(SpPack *pack)
{
	SpMessage  *message = (SpMessage *) pack->block;
	SpChunk    *chunk;

	Assert(pack->subid == GetCurrentSubTransactionId());
	if (pack->used == 0 || pack_chunk(pack)->nrows == 0)
	{
		pack->used = 0;
		return;
	}
	chunk = pack_chunk(pack);
	chunk->size = pack->used - sizeof(SpMessage);
	chunk->xid = GetCurrentTransactionId();
	sp_message_init(message, SP_MESSAGE_CHUNK, pack->used, GetTopTransactionId());
	sp_message_emit(message, true);

	pack->used = 0;
	if (pack->capacity > 4 * FULL_BLOCK)
		free_block(pack);
}

/* Write and forget, or only forget, the packs of a subtransaction. */
static void
end_packs(SubTransactionId subid, bool write)
{
	while (!dlist_is_empty(&packs))
	{
		SpPack	   *pack = dlist_head_element(SpPack, node, &packs);

		if (pack->subid != subid)
			break;
		if (write)
			write_pack(pack);
		dlist_delete(&pack->node);
		free_block(pack);
		pfree(pack);
	}
	last_pack = NULL;
}

/* The transaction is over: its memory goes by itself. */
static void
forget_packs(void)
{
	dlist_init(&packs);
	last_pack = NULL;
	last_sequence = 0;
	committing = false;
	spare_taken = false;
	if (scratch != NULL)
		MemoryContextReset(scratch);
}

/* Write what is left before the commit record, in the order of the stack. */
static void
end_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			end_packs(GetCurrentSubTransactionId(), true);

			/* Rows that other extensions' callbacks still insert are written at once. */
			committing = true;
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			forget_packs();
			break;
		default:
			break;
	}
}

/* The same for a subtransaction. */
static void
end_subtransaction(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_PRE_COMMIT_SUB)
		end_packs(subid, true);
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		end_packs(subid, false);
}

/* A pack for the current subtransaction, on top of the stack. */
static SpPack *
create_pack(SpTarget *target)
{
	static bool registered = false;
	SpPack	   *pack;

	if (!registered)
	{
		RegisterXactCallback(end_transaction, NULL);
		RegisterSubXactCallback(end_subtransaction, NULL);
		registered = true;
	}
	pack = MemoryContextAllocZero(TopTransactionContext, sizeof(SpPack));
	pack->subid = GetCurrentSubTransactionId();
	pack->target = target;
	dlist_push_head(&packs, &pack->node);
	return pack;
}

/* The pack that takes rows of the relation now; its chunk may be yet to begin. */
static SpPack *
find_pack(Relation rel)
{
	SpTarget   *target = sp_target_get(rel);
	SubTransactionId subid = GetCurrentSubTransactionId();
	SpPack	   *pack = NULL;
	dlist_iter	iter;

	dlist_foreach(iter, &packs)
	{
		SpPack	   *other = dlist_container(SpPack, node, iter.cur);

		if (other->target != target)
			continue;
		if (other->subid == subid)
			pack = other;
		else
			other->closed = true;
	}
	if (pack == NULL)
		pack = create_pack(target);
	else if (pack->closed || pack->shape_hash != target->shape_hash)
		write_pack(pack);
	pack->closed = false;
	return pack;
}

/* Begin a chunk. */
static void
begin_chunk(SpPack *pack, TupleDesc desc)
{
	bool		fixed = pack->target->row_length > 0 && !pack->varying;
	StringInfoData chunk;

	reserve(pack, sizeof(SpMessage) + sizeof(SpChunk) + 1);
	chunk.data = pack->block + sizeof(SpMessage);
	chunk.maxlen = pack->capacity - sizeof(SpMessage);
	chunk.len = 0;
	chunk.cursor = 0;
	sp_chunk_start(&chunk, pack->target->relid, desc, fixed);
	((SpChunk *) chunk.data)->sequence = ++last_sequence;

	pack->used = sizeof(SpMessage) + chunk.len;
	pack->row_length = fixed ? pack->target->row_length : 0;
	pack->shape_hash = pack->target->shape_hash;
}

/*
 * Append a row of fixed length without nulls, storing the columns directly; false,
 * appending nothing, when it has a null.  There must be room.
 */
static inline bool
append_fixed(SpPack *pack, const Datum *values, const bool *nulls)
{
	const SpTarget *target = pack->target;
	char	   *row = pack->block + pack->used;
	int			i;

	for (i = 0; i < target->ngaps; i++)
		*(uint64 *) (row + target->gaps[i]) = 0;
	for (i = 0; i < target->natts; i++)
	{
		const SpTargetField *field = &target->fields[i];
		char	   *place = row + field->offset;

		if (unlikely(nulls[i]))
			return false;
		if (unlikely(!field->byval))
		{
			memcpy(place, DatumGetPointer(values[i]), field->length);
			continue;
		}
		switch (field->length)
		{
			case sizeof(char):
				*place = DatumGetChar(values[i]);
				break;
			case sizeof(int16):
				*(int16 *) place = DatumGetInt16(values[i]);
				break;
			case sizeof(int32):
				*(int32 *) place = DatumGetInt32(values[i]);
				break;
			default:
				*(Datum *) place = values[i];
				break;
		}
	}
	pack->used += pack->row_length;
	pack_chunk(pack)->nrows++;
	return true;
}

/*
 * The row's values with nothing outside of them: TOAST pointers fetched, expanded
 * objects flattened.  Copies are made in scratch, only where needed.
 */
static const Datum *
fetch_values(const SpTarget *target, const Datum *values, const bool *nulls)
{
	Datum	   *fetched = NULL;
	int			i;

	for (i = 0; i < target->nvarlenas; i++)
	{
		int			att = target->varlenas[i];
		MemoryContext caller;

		if (nulls[att] || !VARATT_IS_EXTERNAL(DatumGetPointer(values[att])))
			continue;

		if (scratch == NULL)
			scratch = AllocSetContextCreate(TopMemoryContext, "streamproc row",
											ALLOCSET_DEFAULT_SIZES);
		caller = MemoryContextSwitchTo(scratch);
		if (fetched == NULL)
		{
			fetched = palloc(target->natts * sizeof(Datum));
			memcpy(fetched, values, target->natts * sizeof(Datum));
		}
		fetched[att] = PointerGetDatum(detoast_external_attr((struct varlena *)
															 DatumGetPointer(values[att])));
		MemoryContextSwitchTo(caller);
	}
	return fetched != NULL ? fetched : values;
}

/* Append a row that has a header. */
static void
append_varying(SpPack *pack, Relation rel, const Datum *values, const bool *nulls)
{
	TupleDesc	desc = RelationGetDescr(rel);
	const Datum *whole = fetch_values(pack->target, values, nulls);
	StringInfoData chunk;
	Size		size;

	size = sizeof(SpRowHeader) + MAXALIGN(BITMAPLEN(desc->natts)) +
		MAXALIGN(heap_compute_data_size(desc, (Datum *) whole, (bool *) nulls));
	if (size > SP_ROW_LIMIT)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("row of %zu bytes is too large for stream table \"%s\"",
						size, RelationGetRelationName(rel)),
				 errdetail("A row may have at most %zu bytes.", SP_ROW_LIMIT)));

	/* The chunk stands inside the block and must not be moved: room for it and a zero. */
	reserve(pack, size + 1);
	chunk.data = pack->block + sizeof(SpMessage);
	chunk.len = pack->used - sizeof(SpMessage);
	chunk.maxlen = pack->capacity - sizeof(SpMessage);
	chunk.cursor = 0;
	sp_chunk_append(&chunk, desc, whole, nulls);
	pack->used = sizeof(SpMessage) + chunk.len;

	if (whole != values)
		MemoryContextReset(scratch);
	if (pack->used >= FULL_BLOCK)
		write_pack(pack);
}

/* Append a row, beginning a new chunk where it can't go into the present one. */
static void
append_row(SpPack *pack, Relation rel, const Datum *values, const bool *nulls)
{
	if (pack->used > 0 && pack->row_length > 0)
	{
		if (pack->used + pack->row_length > Max(pack->capacity, FULL_BLOCK))
			write_pack(pack);
	}
	if (pack->used == 0)
		begin_chunk(pack, RelationGetDescr(rel));

	if (pack->row_length > 0)
	{
		reserve(pack, pack->row_length);
		if (append_fixed(pack, values, nulls))
			return;

		/* The first null: rows of this pack have headers from here on. */
		write_pack(pack);
		pack->varying = true;
		begin_chunk(pack, RelationGetDescr(rel));
	}
	append_varying(pack, rel, values, nulls);
}

/* Does this transaction hold rows of the relation that it hasn't written yet? */
bool
sp_pack_has_rows(Oid relid)
{
	dlist_iter	iter;

	dlist_foreach(iter, &packs)
	{
		SpPack	   *pack = dlist_container(SpPack, node, iter.cur);

		if (pack->target->relid == relid && pack->used > 0 && pack_chunk(pack)->nrows > 0)
			return true;
	}
	return false;
}

/* Take rows for the current subtransaction. */
void
sp_pack_rows(Relation rel, TupleTableSlot **slots, int nslots)
{
	SpPack	   *pack = last_pack;
	Oid			relid = RelationGetRelid(rel);
	int			i;

	if (pack == NULL || pack->target->relid != relid || !pack->target->valid || pack->closed ||
		pack->subid != GetCurrentSubTransactionId())
		last_pack = pack = find_pack(rel);

	for (i = 0; i < nslots; i++)
	{
		TupleTableSlot *slot = slots[i];

		slot_getallattrs(slot);
		if (likely(pack->used > 0 && pack->row_length > 0 &&
				   pack->used + pack->row_length <= pack->capacity))
		{
			if (unlikely(!append_fixed(pack, slot->tts_values, slot->tts_isnull)))
				append_row(pack, rel, slot->tts_values, slot->tts_isnull);
		}
		else
			append_row(pack, rel, slot->tts_values, slot->tts_isnull);

		/* The row has no place; some code wants a valid one. */
		ItemPointerSet(&slot->tts_tid, 0, FirstOffsetNumber);
		slot->tts_tableOid = relid;
	}

	if (unlikely(committing))
		end_packs(GetCurrentSubTransactionId(), true);
}
