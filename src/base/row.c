/*
 * row.c
 *	  Chunks of rows: how they are built, checked and read.
 *
 * The layout of a row is that of a heap tuple's data area, so that a decoded tuple
 * becomes a row by memcpy.  What reading needs to know of a descriptor is worked out
 * once for each shape: offsets that never change, missing values, how to fetch.
 *
 * Padding is always zero: whether a varlena begins here or after some padding is told
 * by its first byte.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/row.h"

#define LARGEST_ROW		(MaxAllocSize - 65536)	/* with its chunk within what can be allocated */

typedef enum FetchKind
{
	FETCH_POINTER,				/* by reference, of fixed length */
	FETCH_1,
	FETCH_2,
	FETCH_4,
	FETCH_8,
	FETCH_VARLENA,
	FETCH_CSTRING
} FetchKind;

typedef struct SpShapeColumn
{
	int32		offset;			/* in rows without nulls; -1: depends on the row */
	int16		length;
	uint8		align;			/* bytes */
	uint8		fetch;			/* FetchKind */
	bool		is_dropped;
	bool		missing_null;
	Datum		missing;		/* value in rows that end before it */
} SpShapeColumn;

typedef struct ShapeKey
{
	Oid			relid;
	uint32		hash;
} ShapeKey;

typedef struct ShapeEntry
{
	ShapeKey	key;
	SpShape    *first;
} ShapeEntry;

/* The registry: grows only; an id is an index into shapes. */
static MemoryContext shape_context = NULL;
static HTAB *shape_table = NULL;
static SpShape **shapes = NULL;
static uint32 nshapes = 0;
static uint32 shapes_allocated = 0;

/* Bytes that a type's values are aligned to. */
static inline uint8
alignment_of(char attalign)
{
	switch (attalign)
	{
		case TYPALIGN_CHAR:
			return 1;
		case TYPALIGN_SHORT:
			return ALIGNOF_SHORT;
		case TYPALIGN_INT:
			return ALIGNOF_INT;
		default:
			return ALIGNOF_DOUBLE;
	}
}

/* Hash of what the layout of a row depends on. */
uint32
sp_shape_hash(TupleDesc desc)
{
	uint32		hash = murmurhash32(desc->natts);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		uint32		layout;

		layout = ((uint32) (uint16) att->attlen << 16) | ((uint32) (uint8) att->attalign << 8) |
			(att->attisdropped ? 1 : 0);
		hash = hash_combine(hash, murmurhash32(att->atttypid));
		hash = hash_combine(hash, murmurhash32(layout));
	}
	return hash;
}

/* Bytes of every row of this descriptor, MAXALIGNed, or 0 when they may vary. */
uint32
sp_row_fixed_length(TupleDesc desc)
{
	uint32		length = 0;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		/* Dropped and virtual columns are null in every new row. */
		if (att->attlen <= 0 || att->attisdropped || sp_compat_is_virtual(att))
			return 0;
		length = TYPEALIGN(alignment_of(att->attalign), length) + att->attlen;
	}
	return MAXALIGN(length);
}

/* Do two descriptors agree on a column's missing value? */
static bool
same_missing(TupleDesc a, TupleDesc b, int i)
{
	Form_pg_attribute att = TupleDescAttr(a, i);
	bool		null_a;
	bool		null_b;
	Datum		value_a;
	Datum		value_b;

	if (att->atthasmissing != TupleDescAttr(b, i)->atthasmissing)
		return false;
	if (!att->atthasmissing)
		return true;
	value_a = getmissingattr(a, i + 1, &null_a);
	value_b = getmissingattr(b, i + 1, &null_b);
	return null_a == null_b &&
		(null_a || datumIsEqual(value_a, value_b, att->attbyval, att->attlen));
}

/* Do the descriptors agree in all that a reader of rows may look at, names included? */
static bool
same_descriptor(TupleDesc a, TupleDesc b)
{
	if (a->natts != b->natts)
		return false;
	for (int i = 0; i < a->natts; i++)
	{
		Form_pg_attribute x = TupleDescAttr(a, i);
		Form_pg_attribute y = TupleDescAttr(b, i);

		if (x->atttypid != y->atttypid || x->atttypmod != y->atttypmod ||
			x->attlen != y->attlen || x->attbyval != y->attbyval ||
			x->attalign != y->attalign || x->attisdropped != y->attisdropped ||
			x->attcollation != y->attcollation ||
			strcmp(NameStr(x->attname), NameStr(y->attname)) != 0 ||
			!same_missing(a, b, i))
			return false;
	}
	return true;
}

/* How to fetch a column's value. */
static FetchKind
fetch_kind(Form_pg_attribute att)
{
	if (att->attlen == -1)
		return FETCH_VARLENA;
	if (att->attlen == -2)
		return FETCH_CSTRING;
	if (!att->attbyval)
		return FETCH_POINTER;
	switch (att->attlen)
	{
		case 1:
			return FETCH_1;
		case 2:
			return FETCH_2;
		case 4:
			return FETCH_4;
		case 8:
			return FETCH_8;
		default:
			elog(ERROR, "unsupported length of a value passed by value: %d", att->attlen);
	}
}

/* Work out what reading rows of the shape needs. */
static void
describe_columns(SpShape *shape)
{
	TupleDesc	desc = shape->desc;
	int32		offset = 0;

	shape->columns = palloc0(sizeof(SpShapeColumn) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		SpShapeColumn *column = &shape->columns[i];

		column->length = att->attlen;
		column->align = alignment_of(att->attalign);
		column->fetch = fetch_kind(att);
		column->is_dropped = att->attisdropped;
		column->missing_null = true;
		if (!att->attisdropped)
			column->missing = getmissingattr(desc, i + 1, &column->missing_null);

		column->offset = -1;
		if (offset >= 0 && att->attlen > 0)
		{
			column->offset = TYPEALIGN(column->align, offset);
			offset = column->offset + att->attlen;
		}
		else
			offset = -1;
	}
}

/* Make the registry. */
static void
create_registry(void)
{
	HASHCTL		ctl;

	shape_context = AllocSetContextCreate(TopMemoryContext, "streamproc shapes",
										  ALLOCSET_DEFAULT_SIZES);
	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(ShapeKey);
	ctl.entrysize = sizeof(ShapeEntry);
	ctl.hcxt = shape_context;
	shape_table = hash_create("streamproc shapes", 64, &ctl,
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	shapes_allocated = 64;
	shapes = MemoryContextAlloc(shape_context, sizeof(SpShape *) * shapes_allocated);
}

/* Add a shape to the registry. */
static SpShape *
add_shape(ShapeEntry *entry, TupleDesc desc, TupleDesc source_desc, const bool *known)
{
	MemoryContext old = MemoryContextSwitchTo(shape_context);
	SpShape    *shape = palloc0(sizeof(SpShape));

	if (nshapes == shapes_allocated)
	{
		shapes_allocated *= 2;
		shapes = repalloc(shapes, sizeof(SpShape *) * shapes_allocated);
	}
	shape->id = nshapes;
	shape->relid = entry->key.relid;
	shape->hash = entry->key.hash;
	shape->desc = CreateTupleDescCopyConstr(desc);
	if (source_desc != NULL)
		shape->source_desc = CreateTupleDescCopy(source_desc);
	shape->row_length = sp_row_fixed_length(desc);
	if (known != NULL)
	{
		shape->known = palloc(Max(desc->natts, 1));
		memcpy(shape->known, known, desc->natts);
	}
	describe_columns(shape);

	shape->next = entry->first;
	entry->first = shape;
	shapes[nshapes++] = shape;
	MemoryContextSwitchTo(old);
	return shape;
}

/* Is it the shape of these two descriptors, and of rows that have these columns? */
static bool
is_shape_of(const SpShape *shape, TupleDesc desc, TupleDesc source_desc, const bool *known)
{
	if ((shape->source_desc == NULL) != (source_desc == NULL) ||
		(shape->known == NULL) != (known == NULL) || !same_descriptor(shape->desc, desc) ||
		(known != NULL && memcmp(shape->known, known, desc->natts) != 0))
		return false;
	return source_desc == NULL || same_descriptor(shape->source_desc, source_desc);
}

/* The shape of a relation's descriptor as it is now; registers it when new. */
SpShape *
sp_shape_register(Oid relid, TupleDesc desc)
{
	return sp_shape_register_under(relid, desc, NULL);
}

/* The registered shape, made when it is new. */
static SpShape *
get_shape(Oid relid, TupleDesc desc, TupleDesc source_desc, const bool *known, int most)
{
	ShapeKey	key;
	ShapeEntry *entry;
	bool		found;
	int			nknown = 0;

	if (shape_table == NULL)
		create_registry();

	key.relid = relid;
	key.hash = sp_shape_hash(desc);
	entry = hash_search(shape_table, &key, HASH_ENTER, &found);
	if (!found)
		entry->first = NULL;

	for (SpShape *shape = entry->first; shape != NULL; shape = shape->next)
	{
		if (is_shape_of(shape, desc, source_desc, known))
			return shape;
		nknown += shape->known != NULL;
	}
	if (known != NULL && nknown >= most)
		return NULL;
	return add_shape(entry, desc, source_desc, known);
}

/* The shape of rows that are read as rows of a source. */
SpShape *
sp_shape_register_under(Oid relid, TupleDesc desc, TupleDesc source_desc)
{
	return get_shape(relid, desc, source_desc, NULL, 0);
}

/* The same shape where some columns are unknown. */
SpShape *
sp_shape_register_known(const SpShape *shape, const bool *known, int most)
{
	return get_shape(shape->relid, shape->desc, shape->source_desc, known, most);
}

/* A registered shape. */
SpShape *
sp_shape_get(uint32 id)
{
	if (id >= nshapes)
		elog(ERROR, "unknown shape of rows: %u", id);
	return shapes[id];
}

/* Begin a chunk in buf, whose former contents are forgotten. */
void
sp_chunk_start(StringInfo buf, Oid relid, TupleDesc desc, bool fixed)
{
	SpChunk		header;

	memset(&header, 0, sizeof(header));
	header.magic = SP_CHUNK_MAGIC;
	header.size = sizeof(header);
	header.relid = relid;
	header.row_length = fixed ? sp_row_fixed_length(desc) : 0;
	header.shape_hash = sp_shape_hash(desc);

	resetStringInfo(buf);
	appendBinaryStringInfo(buf, (char *) &header, sizeof(header));
}

/* Room for a row at the end of the chunk, counted as written. */
static inline char *
extend_chunk(StringInfo buf, Size length)
{
	SpChunk    *chunk;
	char	   *row;

	if (unlikely(buf->maxlen - buf->len <= (int) length))
		enlargeStringInfo(buf, length);
	row = buf->data + buf->len;
	buf->len += length;
	chunk = (SpChunk *) buf->data;
	chunk->size = buf->len;
	chunk->nrows++;
	return row;
}

/* Write a row of fixed length, which has no null. */
static void
append_fixed(StringInfo buf, TupleDesc desc, const Datum *values, uint32 row_length)
{
	char	   *row = extend_chunk(buf, row_length);
	Size		offset = 0;

	memset(row, 0, row_length);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		offset = TYPEALIGN(alignment_of(att->attalign), offset);
		if (att->attbyval)
			store_att_byval(row + offset, values[i], att->attlen);
		else
			memcpy(row + offset, DatumGetPointer(values[i]), att->attlen);
		offset += att->attlen;
	}
}

/* Begin a row with a header; returns where its data go. */
static char *
start_row(StringInfo buf, int natts, bool has_nulls, Size data_length, bits8 **bits)
{
	Size		bitmap_length = has_nulls ? MAXALIGN(BITMAPLEN(natts)) : 0;
	Size		length = sizeof(SpRowHeader) + bitmap_length + MAXALIGN(data_length);
	SpRowHeader *header;
	char	   *data;

	if (length > LARGEST_ROW)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("row of %zu bytes is too large for a stream", length),
				 errdetail("The limit is %zu bytes.", (Size) LARGEST_ROW)));

	header = (SpRowHeader *) extend_chunk(buf, length);
	header->length = length;
	header->natts = natts;
	header->has_nulls = has_nulls;
	data = (char *) (header + 1) + bitmap_length;
	if (has_nulls)
	{
		*bits = (bits8 *) (header + 1);
		memset(*bits, 0, bitmap_length);
	}
	else
		*bits = NULL;
	return data;
}

/* Is any of the values null? */
static inline bool
any_null(const bool *nulls, int natts)
{
	return natts > 0 && memchr(nulls, true, natts) != NULL;
}

/* Append a row; false when it has a null and the chunk's rows can't. */
bool
sp_chunk_append(StringInfo buf, TupleDesc desc, const Datum *values, const bool *nulls)
{
	uint32		row_length = ((SpChunk *) buf->data)->row_length;
	bool		has_nulls = any_null(nulls, desc->natts);
	Size		data_length;
	char	   *data;
	bits8	   *bits;
	uint16		infomask = 0;

	if (row_length > 0)
	{
		if (has_nulls)
			return false;
		append_fixed(buf, desc, values, row_length);
		return true;
	}

	/* The casts are for 15, whose functions don't say that they only read. */
	data_length = heap_compute_data_size(desc, (Datum *) values, (bool *) nulls);
	data = start_row(buf, desc->natts, has_nulls, data_length, &bits);
	memset(data, 0, MAXALIGN(data_length));
	heap_fill_tuple(desc, (Datum *) values, (bool *) nulls, data, data_length, &infomask, bits);
	return true;
}

/* Append a heap tuple's data, which must suit the chunk and hold no external value. */
void
sp_chunk_append_tuple(StringInfo buf, HeapTuple tuple)
{
	HeapTupleHeader header = tuple->t_data;
	uint32		row_length = ((SpChunk *) buf->data)->row_length;
	Size		data_length = tuple->t_len - header->t_hoff;
	char	   *data;
	bits8	   *bits;

	if (likely(row_length > 0))
	{
		if (unlikely(MAXALIGN(data_length) != row_length))
			elog(ERROR, "row has %zu bytes instead of %u", data_length, row_length);
		data = extend_chunk(buf, row_length);
	}
	else
	{
		int			natts = HeapTupleHeaderGetNatts(header);
		bool		has_nulls = (header->t_infomask & HEAP_HASNULL) != 0;

		data = start_row(buf, natts, has_nulls, data_length, &bits);
		if (has_nulls)
			memcpy(bits, header->t_bits, BITMAPLEN(natts));
	}
	memcpy(data, (char *) header + header->t_hoff, data_length);
	memset(data + data_length, 0, MAXALIGN(data_length) - data_length);
}

/* Bytes of the varlena at data + offset, or 0 when it is not sound. */
static Size
checked_varlena_size(const char *data, Size offset, Size length, uint8 align)
{
	const char *p = data + offset;
	Size		size;

	if (offset >= length || VARATT_IS_1B_E(p))
		return 0;
	if (VARATT_IS_1B(p))
		size = VARSIZE_1B(p);
	else
	{
		/* A long header stands aligned, and only a compressed value has a second word. */
		if (offset % align != 0 || offset % sizeof(int32) != 0 || length - offset < VARHDRSZ)
			return 0;
		size = VARSIZE_4B(p);
		if (size < (VARATT_IS_4B_C(p) ? VARHDRSZ_COMPRESSED : VARHDRSZ))
			return 0;
	}
	return size <= length - offset ? size : 0;
}

/* Is every value within the length bytes at data?  bits is NULL when none is null. */
static bool
check_values(const char *data, Size length, int natts, const bits8 *bits, TupleDesc desc)
{
	Size		offset = 0;

	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		uint8		align = alignment_of(att->attalign);
		Size		size;

		if (bits != NULL && att_isnull(i, bits))
			continue;
		if (att->attlen == -1 && offset < length && VARATT_NOT_PAD_BYTE(data + offset))
			;					/* a varlena may begin unaligned */
		else
			offset = TYPEALIGN(align, offset);

		if (att->attlen == -1)
			size = checked_varlena_size(data, offset, length, align);
		else if (att->attlen == -2)
			size = offset < length ? strnlen(data + offset, length - offset) + 1 : 0;
		else
			size = att->attlen;
		if (size == 0 || offset > length || size > length - offset)
			return false;
		offset += size;
	}
	return MAXALIGN(offset) == length;
}

/* Check the rows of a chunk whose rows have headers. */
static const char *
check_rows(const SpChunk *chunk, TupleDesc desc)
{
	const char *row = (const char *) (chunk + 1);
	Size		left = chunk->size - sizeof(SpChunk);

	for (uint32 i = 0; i < chunk->nrows; i++)
	{
		const SpRowHeader *header = (const SpRowHeader *) row;
		Size		skip = sizeof(SpRowHeader);
		const bits8 *bits = NULL;

		if (left < sizeof(SpRowHeader))
			return "a row is outside the chunk";
		if (header->natts > desc->natts || header->has_nulls > 1)
			return "invalid row header";
		if (header->has_nulls)
		{
			bits = (const bits8 *) (header + 1);
			skip += MAXALIGN(BITMAPLEN(header->natts));
		}
		if (header->length > left || header->length < skip ||
			header->length != MAXALIGN(header->length))
			return "invalid row length";
		if (!check_values(row + skip, header->length - skip, header->natts, bits, desc))
			return "a value is outside its row";
		row += header->length;
		left -= header->length;
	}
	return left == 0 ? NULL : "bytes behind the last row";
}

/* Check a chunk that came from outside, at a MAXALIGNed address. */
const char *
sp_chunk_check(const SpChunk *chunk, Size size, TupleDesc desc)
{
	if (size < sizeof(SpChunk) || chunk->magic != SP_CHUNK_MAGIC)
		return "not a chunk";
	if (chunk->size != size || size != MAXALIGN(size))
		return "wrong size";
	if (chunk->shape_hash != sp_shape_hash(desc))
		return "written under another definition of the table";
	if (chunk->row_length == 0)
		return check_rows(chunk, desc);

	/* Rows of fixed length hold nothing that could be damaged. */
	if (chunk->row_length != sp_row_fixed_length(desc))
		return "invalid row length";
	if (size - sizeof(SpChunk) != (uint64) chunk->nrows * chunk->row_length)
		return "wrong number of rows";
	return NULL;
}

/* Begin to read a chunk's rows. */
void
sp_row_begin(SpRowCursor *cursor, const SpChunk *chunk)
{
	cursor->chunk = chunk;
	cursor->shape = sp_shape_get(chunk->shape);
	cursor->row = 0;
	cursor->next = (const char *) (chunk + 1);
}

/* The value at p. */
static inline Datum
fetch_value(const char *p, FetchKind fetch)
{
	switch (fetch)
	{
		case FETCH_1:
			return CharGetDatum(*p);
		case FETCH_2:
			return Int16GetDatum(*(const int16 *) p);
		case FETCH_4:
			return Int32GetDatum(*(const int32 *) p);
#if SIZEOF_DATUM == 8
		case FETCH_8:
			return *(const Datum *) p;
#endif
		default:
			return PointerGetDatum(p);
	}
}

/* Give the columns from first on their missing values. */
static void
fill_missing(const SpShape *shape, int first, int natts, Datum *values, bool *nulls)
{
	for (int i = first; i < natts; i++)
	{
		if (i < shape->desc->natts)
		{
			values[i] = shape->columns[i].missing;
			nulls[i] = shape->columns[i].missing_null;
		}
		else
		{
			values[i] = (Datum) 0;
			nulls[i] = true;
		}
	}
}

/* Read a row whose values lie where they lie in every row. */
static inline void
read_fixed(const SpShape *shape, const char *data, int natts, Datum *values, bool *nulls)
{
	const SpShapeColumn *column = shape->columns;
	int			present = Min(natts, shape->desc->natts);

	memset(nulls, false, present);
	for (int i = 0; i < present; i++, column++)
		values[i] = fetch_value(data + column->offset, column->fetch);
	if (unlikely(present < natts))
		fill_missing(shape, present, natts, values, nulls);
}

/* Read a row that has a header. */
static void
read_varying(const SpShape *shape, const SpRowHeader *header, int natts,
			 Datum *values, bool *nulls)
{
	const bits8 *bits = header->has_nulls ? (const bits8 *) (header + 1) : NULL;
	const char *data = (const char *) (header + 1);
	int			present = Min(natts, header->natts);
	Size		offset = 0;
	bool		moved = false;	/* offsets no longer those of the shape */

	if (bits != NULL)
		data += MAXALIGN(BITMAPLEN(header->natts));

	for (int i = 0; i < present; i++)
	{
		const SpShapeColumn *column = &shape->columns[i];

		if (bits != NULL && att_isnull(i, bits))
		{
			values[i] = (Datum) 0;
			nulls[i] = true;
			moved = true;
			continue;
		}
		if (!moved && column->offset >= 0)
			offset = column->offset;
		else if (column->fetch != FETCH_VARLENA || !VARATT_NOT_PAD_BYTE(data + offset))
			offset = TYPEALIGN(column->align, offset);

		nulls[i] = column->is_dropped;
		values[i] = column->is_dropped ? (Datum) 0 : fetch_value(data + offset, column->fetch);

		if (likely(column->length > 0))
			offset += column->length;
		else if (column->fetch == FETCH_VARLENA)
			offset += VARSIZE_ANY(data + offset);
		else
			offset += strlen(data + offset) + 1;
	}
	if (unlikely(present < natts))
		fill_missing(shape, present, natts, values, nulls);
}

/* Read the next row; false after the last. */
bool
sp_row_next(SpRowCursor *cursor, int natts, Datum *values, bool *nulls)
{
	const SpChunk *chunk = cursor->chunk;

	if (cursor->row >= chunk->nrows)
		return false;
	cursor->row++;

	if (likely(chunk->row_length > 0))
	{
		read_fixed(cursor->shape, cursor->next, natts, values, nulls);
		cursor->next += chunk->row_length;
	}
	else
	{
		const SpRowHeader *header = (const SpRowHeader *) cursor->next;

		read_varying(cursor->shape, header, natts, values, nulls);
		cursor->next += header->length;
	}
	return true;
}
