/*
 * build.c
 *	  From decoded tuples to chunks.
 *
 * Chunks under construction are of one transaction at a time.  Each takes rows of one
 * relation that were written by one subtransaction under one shape and have met one fate.
 *
 * Rows that an UPDATE or DELETE takes back gather in a chunk of their own, so that a
 * statement that changes many rows doesn't make a chunk of each.  They may come later than
 * they were taken back, but never before they were written: that chunk is not closed
 * before the other one.
 *
 * Of a row that is taken back the WAL has the columns of the relation's replica identity;
 * of a row that an UPDATE has left, all but TOASTed values that it has not changed, unless
 * the old row is there in full.  What is missing is not known, which the shape tells.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "lib/stringinfo.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "feed/feed.h"

#define SPARE_BUFFER_LARGEST	(1024 * 1024)	/* a chunk buffer larger than this isn't kept */
#define MOST_KNOWN		64		/* shapes of a relation that differ in what is known */

/* A chunk under construction; there is none when spool is NULL. */
typedef struct Builder
{
	SpSpool    *spool;
	const SpFeedRelation *relation; /* to compare with; may be stale */
	uint64		generation;		/* of relation */
	TransactionId xid;
	uint32		magic;
	uint32		row_length;		/* 0: rows have headers */
	bool		all_known;
	bool	   *known;			/* else: a copy, [natts] */
	int			known_allocated;
	StringInfoData buf;
	SpFeedSource *sources;		/* that want the rows */
	int			nsources;
	int			sources_allocated;
} Builder;

static Builder written;			/* inserted rows, and those that an UPDATE has left */
static Builder retracted;		/* rows that were taken back */

static MemoryContext row_context = NULL;	/* values of one row */

/* ---- chunks ---- */

/* The shape of the chunk's rows, read as rows of a source. */
static uint32
shape_for(const Builder *b, const SpFeedSource *source)
{
	return b->all_known ? source->shape :
		sp_shape_register_known(sp_shape_get(source->shape), b->known, PG_INT32_MAX)->id;
}

/* Close a chunk, if there is one. */
static void
close_chunk(Builder *b)
{
	SpSpool    *spool = b->spool;
	SpChunk    *chunk = (SpChunk *) b->buf.data;

	if (spool == NULL)
		return;
	b->spool = NULL;
	if (chunk->nrows > 0)
		for (int i = 0; i < b->nsources; i++)
			sp_spool_add_as(spool, chunk, b->sources[i].relid, shape_for(b, &b->sources[i]));

	if (b->buf.maxlen > SPARE_BUFFER_LARGEST)
	{
		pfree(b->buf.data);
		b->buf.data = NULL;
	}
}

/* Close what is under construction. */
void
sp_build_close(void)
{
	close_chunk(&written);
	close_chunk(&retracted);
}

/* The spool is about to go. */
void
sp_build_forget(const SpSpool *spool)
{
	if (written.spool == spool)
		written.spool = NULL;
	if (retracted.spool == spool)
		retracted.spool = NULL;
}

/* Note who wants rows of that fate. */
static void
note_sources(Builder *b, const SpFeedRelation *relation)
{
	if (b->sources_allocated < relation->nsources)
	{
		if (b->sources != NULL)
			pfree(b->sources);
		b->sources = NULL;
		b->sources_allocated = 0;
		b->sources = MemoryContextAlloc(sp_feed.context,
										relation->nsources * sizeof(SpFeedSource));
		b->sources_allocated = relation->nsources;
	}
	b->nsources = 0;
	for (int i = 0; i < relation->nsources; i++)
		if (b->magic == SP_CHUNK_MAGIC || relation->sources[i].retracts)
			b->sources[b->nsources++] = relation->sources[i];
}

/* Note what is known of the rows; NULL: everything. */
static void
note_known(Builder *b, const bool *known, int natts)
{
	b->all_known = known == NULL;
	if (known == NULL)
		return;
	if (b->known_allocated < natts)
	{
		if (b->known != NULL)
			pfree(b->known);
		b->known = NULL;
		b->known_allocated = 0;
		b->known = MemoryContextAlloc(sp_feed.context, natts);
		b->known_allocated = natts;
	}
	memcpy(b->known, known, natts);
}

/* Begin a chunk; fixed: none of its rows has a null. */
static void
open_chunk(Builder *b, SpSpool *spool, const SpFeedRelation *relation, TransactionId xid,
		   uint32 magic, const bool *known, bool fixed)
{
	SpChunk    *chunk;

	if (b == &retracted)
		close_chunk(&written);
	close_chunk(b);
	if (b->buf.data == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(sp_feed.context);

		initStringInfo(&b->buf);
		enlargeStringInfo(&b->buf, SP_CHUNK_TARGET);
		MemoryContextSwitchTo(old);
	}

	b->magic = magic;
	note_sources(b, relation);
	note_known(b, known, relation->shape->desc->natts);
	b->relation = relation;
	b->generation = relation->generation;
	b->xid = xid;
	b->row_length = fixed ? relation->shape->row_length : 0;

	chunk = (SpChunk *) b->buf.data;
	memset(chunk, 0, sizeof(SpChunk));
	chunk->magic = magic;
	chunk->size = sizeof(SpChunk);
	chunk->relid = relation->relid;
	chunk->xid = xid;
	chunk->sequence = SP_CHUNK_UNSEQUENCED;
	chunk->row_length = b->row_length;
	chunk->shape_hash = relation->shape->hash;
	b->buf.len = sizeof(SpChunk);
	b->spool = spool;
}

/* Is as much known of the chunk's rows? */
static inline bool
same_known(const Builder *b, const SpFeedRelation *relation, const bool *known)
{
	if (known == NULL || b->all_known)
		return known == NULL && b->all_known;
	return memcmp(b->known, known, relation->shape->desc->natts) == 0;
}

/*
 * Have a chunk to which a row of so many bytes, at most, can be added.  What is of another
 * relation or subtransaction ends both chunks, so that their order is that of their rows.
 */
static inline void
ready_chunk(Builder *b, SpSpool *spool, const SpFeedRelation *relation, TransactionId xid,
			uint32 magic, const bool *known, bool fixed, Size length)
{
	Builder    *other = b == &written ? &retracted : &written;

	if (unlikely(other->spool != NULL) &&
		(other->spool != spool || other->relation != relation ||
		 other->generation != relation->generation || other->xid != xid))
		sp_build_close();
	if (b->spool == NULL || b->spool != spool || b->relation != relation ||
		b->generation != relation->generation || b->xid != xid || b->magic != magic ||
		(b->row_length > 0 && !fixed) || !same_known(b, relation, known) ||
		b->buf.len + length > SP_CHUNK_TARGET)
		open_chunk(b, spool, relation, xid, magic, known, fixed);
}

/* Does a tuple have a value for every column, and all of them within itself? */
static inline bool
is_plain(const SpFeedRelation *relation, HeapTuple tuple)
{
	return (tuple->t_data->t_infomask & (HEAP_HASNULL | HEAP_HASEXTERNAL)) == 0 &&
		HeapTupleHeaderGetNatts(tuple->t_data) == relation->shape->desc->natts;
}

/* Add a tuple without external values. */
static inline void
add_tuple(Builder *b, SpSpool *spool, const SpFeedRelation *relation, TransactionId xid,
		  uint32 magic, const bool *known, HeapTuple tuple)
{
	/* What the row needs at most: a header, a bitmap, its data. */
	ready_chunk(b, spool, relation, xid, magic, known,
				is_plain(relation, tuple) && relation->shape->row_length > 0,
				MAXALIGN(tuple->t_len));
	sp_chunk_append_tuple(&b->buf, tuple);
}

/* ---- rows that need a closer look ---- */

/* A row as values, in row_context. */
typedef struct Row
{
	Datum	   *values;
	bool	   *nulls;
	bool	   *known;
	bool		all_known;
} Row;

/* A tuple's values, which may be external; NULL: nothing is known of the row. */
static void
take_apart(const SpFeedRelation *relation, HeapTuple tuple, Row *row)
{
	TupleDesc	desc = relation->shape->desc;

	row->values = palloc0(sizeof(Datum) * Max(desc->natts, 1));
	row->nulls = palloc(Max(desc->natts, 1));
	row->known = palloc(Max(desc->natts, 1));
	row->all_known = tuple != NULL;
	memset(row->nulls, true, desc->natts);
	memset(row->known, tuple != NULL, desc->natts);
	if (tuple != NULL)
		heap_deform_tuple(tuple, desc, row->values, row->nulls);
}

/* A column that the WAL doesn't have. */
static inline void
lose_column(Row *row, int i)
{
	row->nulls[i] = true;
	row->known[i] = false;
	row->all_known = false;
}

/*
 * Fetch the row's external values.  One that lies in the TOAST table was not changed: then
 * the old row has it, if it is there with this column.
 */
static void
fetch_values(const SpFeedRelation *relation, Row *row, const Row *old)
{
	TupleDesc	desc = relation->shape->desc;

	for (int i = 0; i < desc->natts; i++)
	{
		struct varlena *value;

		if (row->nulls[i] || TupleDescAttr(desc, i)->attlen != -1)
			continue;
		value = (struct varlena *) DatumGetPointer(row->values[i]);
		if (!VARATT_IS_EXTERNAL(value))
			continue;
		if (!VARATT_IS_EXTERNAL_ONDISK(value))
			row->values[i] = PointerGetDatum(detoast_external_attr(value));
		else if (old != NULL && old->known[i] && !old->nulls[i] &&
				 !VARATT_IS_EXTERNAL(DatumGetPointer(old->values[i])))
			row->values[i] = old->values[i];
		else
			lose_column(row, i);
	}
}

/*
 * What is known of rows becomes a part of their shape, and shapes are for ever: of very many
 * different ones, only what has a fixed length is taken.
 */
static void
limit_shapes(const SpFeedRelation *relation, Row *row)
{
	TupleDesc	desc = relation->shape->desc;

	if (row->all_known ||
		sp_shape_register_known(relation->shape, row->known, MOST_KNOWN) != NULL)
		return;
	for (int i = 0; i < desc->natts; i++)
		if (TupleDescAttr(desc, i)->attlen < 0 &&
			(relation->identity == NULL || !relation->identity[i]))
			lose_column(row, i);
}

/* Add a row of values. */
static void
add_row(Builder *b, SpSpool *spool, const SpFeedRelation *relation, TransactionId xid,
		uint32 magic, const Row *row)
{
	ready_chunk(b, spool, relation, xid, magic, row->all_known ? NULL : row->known, false, 0);
	(void) sp_chunk_append(&b->buf, relation->shape->desc, row->values, row->nulls);
}

/* Where to work on a row, which is gone when the next one comes. */
static MemoryContext
enter_row(void)
{
	if (row_context == NULL)
		row_context = AllocSetContextCreate(TopMemoryContext, "streamproc row",
											ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(row_context);
	return MemoryContextSwitchTo(row_context);
}

/* A row as an UPDATE or DELETE has found it.  The tuple has the columns of the identity. */
static void
read_old(const SpFeedRelation *relation, HeapTuple tuple, Row *row)
{
	take_apart(relation, tuple, row);
	for (int i = 0; relation->identity != NULL && i < relation->shape->desc->natts; i++)
		if (!relation->identity[i])
			lose_column(row, i);
}

/* ---- what has become of a row ---- */

/* An inserted row. */
void
sp_build_insert(SpSpool *spool, const SpFeedRelation *relation, TransactionId xid, HeapTuple tuple)
{
	MemoryContext old;
	Row			row;

	if (likely((tuple->t_data->t_infomask & HEAP_HASEXTERNAL) == 0))
	{
		add_tuple(&written, spool, relation, xid, SP_CHUNK_MAGIC, NULL, tuple);
		return;
	}
	old = enter_row();
	take_apart(relation, tuple, &row);
	fetch_values(relation, &row, NULL);
	/* An insert brings its values along; only an update may refer to old ones. */
	if (!row.all_known)
		elog(ERROR, "a value of an inserted row of relation %u is not in the WAL", relation->relid);
	add_row(&written, spool, relation, xid, SP_CHUNK_MAGIC, &row);
	MemoryContextSwitchTo(old);
}

/* Is the tuple an old row with all its columns? */
static inline bool
is_whole(const SpFeedRelation *relation, HeapTuple tuple)
{
	return relation->identity == NULL && tuple != NULL &&
		(tuple->t_data->t_infomask & HEAP_HASEXTERNAL) == 0;
}

/* A deleted row. */
void
sp_build_delete(SpSpool *spool, const SpFeedRelation *relation, TransactionId xid, HeapTuple old)
{
	MemoryContext context;
	Row			row;

	if (is_whole(relation, old))
	{
		add_tuple(&retracted, spool, relation, xid, SP_CHUNK_RETRACTED, NULL, old);
		return;
	}
	context = enter_row();
	read_old(relation, old, &row);
	fetch_values(relation, &row, NULL);
	add_row(&retracted, spool, relation, xid, SP_CHUNK_RETRACTED, &row);
	MemoryContextSwitchTo(context);
}

/*
 * An updated row.  There is no old tuple where the WAL needs none: the columns of the
 * identity are as they were.
 */
void
sp_build_update(SpSpool *spool, const SpFeedRelation *relation, TransactionId xid,
				HeapTuple old, HeapTuple new)
{
	MemoryContext context;
	Row			old_row;
	Row			new_row;

	if (is_whole(relation, old) && (new->t_data->t_infomask &HEAP_HASEXTERNAL) == 0)
	{
		add_tuple(&retracted, spool, relation, xid, SP_CHUNK_RETRACTED, NULL, old);
		add_tuple(&written, spool, relation, xid, SP_CHUNK_UPDATED, NULL, new);
		return;
	}
	context = enter_row();
	read_old(relation, old != NULL ? old : relation->identity != NULL ? new : NULL, &old_row);
	fetch_values(relation, &old_row, NULL);
	take_apart(relation, new, &new_row);
	fetch_values(relation, &new_row, &old_row);
	limit_shapes(relation, &new_row);
	add_row(&retracted, spool, relation, xid, SP_CHUNK_RETRACTED, &old_row);
	add_row(&written, spool, relation, xid, SP_CHUNK_UPDATED, &new_row);
	MemoryContextSwitchTo(context);
}

/* The source was truncated, or this part of it. */
void
sp_build_truncate(SpSpool *spool, Oid relid, TransactionId xid, Oid source)
{
	SpChunk		chunk = {0};

	sp_build_close();
	chunk.magic = SP_CHUNK_TRUNCATED;
	chunk.size = sizeof(chunk);
	chunk.relid = relid;
	chunk.xid = xid;
	chunk.sequence = SP_CHUNK_UNSEQUENCED;
	chunk.nrows = 1;
	sp_spool_add_as(spool, &chunk, source, 0);
}
