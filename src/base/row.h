/*
 * row.h
 *	  Rows on their way from the WAL to the engine.
 *
 * A chunk holds rows of one relation, written by one (sub)transaction, in the
 * order written.  The change feed makes chunks from decoded heap tuples; the
 * stream table's access method makes them in the writing backend and puts them
 * into the WAL as they are.  Behind the chunk's header follow its rows:
 *
 *	row_length > 0	rows of that many bytes each, without nulls, nothing between
 *	row_length = 0	each row begins with a SpRowHeader that has its length
 *
 * The data of a row is laid out as in a heap tuple (heap_fill_tuple), and every
 * row starts MAXALIGNed relative to the chunk, so that a chunk at a MAXALIGNed
 * address can be deformed in place.  No value is an external TOAST pointer.
 *
 * The magic says what has become of the rows.  The change feed makes chunks of every kind; a
 * message holds inserted rows only.  A chunk that is truncated has no rows: its relation was
 * truncated, which is the source itself, or a part of it.  It counts as a row.
 *
 * A shape is the descriptor under which rows were written.  Shapes outlive the
 * relation's descriptor: a row written before an ALTER TABLE is read with the
 * shape it was written under.
 */
#ifndef SP_ROW_H
#define SP_ROW_H

#include "access/htup.h"
#include "access/tupdesc.h"

#define SP_CHUNK_MAGIC		0x53504331	/* "SPC1": inserted */
#define SP_CHUNK_UPDATED	0x53505531	/* "SPU1": as an UPDATE has left them */
#define SP_CHUNK_RETRACTED	0x53505231	/* "SPR1": as they were until an UPDATE or DELETE */
#define SP_CHUNK_TRUNCATED	0x53505431	/* "SPT1" */
#define SP_CHUNK_SETTING	0x53505331	/* "SPS1": no rows, see setting.h */
#define SP_CHUNK_TARGET		65536		/* bytes at which a chunk is closed */
#define SP_CHUNK_UNSEQUENCED	PG_UINT32_MAX	/* sequence of the change feed's chunks */

typedef struct SpChunk
{
	uint32		magic;			/* SP_CHUNK_MAGIC, or of another kind */
	uint32		size;			/* bytes, this header included */
	Oid			relid;			/* relation that was written: a leaf partition */
	Oid			source;			/* its root: the stream's relation (set by feed) */
	TransactionId xid;			/* the subtransaction that wrote the rows */
	uint32		sequence;		/* order within the top transaction, or UNSEQUENCED */
	uint32		nrows;
	uint32		row_length;		/* 0: rows have headers */
	uint32		shape_hash;		/* sp_shape_hash() of the writer's descriptor */
	uint32		shape;			/* index into the shape registry (set by feed) */
} SpChunk;

StaticAssertDecl(sizeof(SpChunk) == 40, "SpChunk is a WAL format");
StaticAssertDecl(sizeof(SpChunk) % 8 == 0, "rows behind a SpChunk must be aligned");

typedef struct SpRowHeader
{
	uint32		length;			/* bytes, this header included, MAXALIGNed */
	uint16		natts;			/* attributes present; later ones have their default */
	uint16		has_nulls;		/* a null bitmap of natts bits follows, padded to MAXALIGN */
} SpRowHeader;

StaticAssertDecl(sizeof(SpRowHeader) == 8, "SpRowHeader is a WAL format");

typedef struct SpShape
{
	uint32		id;
	Oid			relid;			/* the relation it describes */
	uint32		hash;
	TupleDesc	desc;			/* a copy, with missing values; worker lifetime */
	TupleDesc	source_desc;	/* of the source at the same time; NULL: it is the relation */
	uint32		row_length;		/* sp_row_fixed_length() */
	bool	   *known;			/* [natts] columns that the rows have; NULL: all */
	struct SpShapeColumn *columns;	/* how to read them (shape.h) */
	struct SpShape *next;		/* of the same relation and hash */
} SpShape;

/* Hash of what the layout of a row depends on: type, length, alignment, dropped. */
extern uint32 sp_shape_hash(TupleDesc desc);

/* The shape of a relation's descriptor as it is now; registers it when new. */
extern SpShape *sp_shape_register(Oid relid, TupleDesc desc);

/*
 * The same for rows that are read as those of a partitioned source: its descriptor of the
 * same time tells which of its columns each column is.
 */
extern SpShape *sp_shape_register_under(Oid relid, TupleDesc desc, TupleDesc source_desc);
extern SpShape *sp_shape_get(uint32 id);

/*
 * The same shape, for rows of which only these columns are known, and the others null.  NULL
 * when there are as many such shapes of the relation already.
 */
extern SpShape *sp_shape_register_known(const SpShape *shape, const bool *known, int most);

/* > 0: every row without nulls has this many bytes (MAXALIGNed); 0: they vary. */
extern uint32 sp_row_fixed_length(TupleDesc desc);

/*
 * Append one row to buf (a chunk under construction; buf->data is MAXALIGNed and
 * starts at the SpChunk header).  Returns false, appending nothing, when the
 * chunk is of fixed length and this row has a null.  External values must have
 * been fetched by the caller.
 */
struct StringInfoData;
extern void sp_chunk_start(struct StringInfoData *buf, Oid relid, TupleDesc desc, bool fixed);
extern bool sp_chunk_append(struct StringInfoData *buf, TupleDesc desc,
							const Datum *values, const bool *nulls);
/* The same from a heap tuple without external values; memcpy of its data area. */
extern void sp_chunk_append_tuple(struct StringInfoData *buf, HeapTuple tuple);

/*
 * Check a chunk that came from outside (a WAL message): header, lengths, every
 * row within bounds, every varlena within its row.  Returns NULL when sound,
 * else what is wrong with it.
 */
extern const char *sp_chunk_check(const SpChunk *chunk, Size size, TupleDesc desc);

/* Iterate over a chunk's rows. */
typedef struct SpRowCursor
{
	const SpChunk *chunk;
	const SpShape *shape;
	uint32		row;			/* next row to read */
	const char *next;			/* its address */
} SpRowCursor;

extern void sp_row_begin(SpRowCursor *cursor, const SpChunk *chunk);

/*
 * Deform the next row: attributes 1..natts go to values[0..] and nulls[0..].
 * By-reference values point into the chunk, or into the shape for missing ones.
 * Returns false after the last row.
 */
extern bool sp_row_next(SpRowCursor *cursor, int natts, Datum *values, bool *nulls);

#endif
