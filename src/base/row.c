/*
 * row.c
 *	  Chunks of rows: how they are built, checked and read.
 *
 * The layout of a row is that of a heap tuple's data area, so that a decoded tuple
 * becomes a row by memcpy.  What reading needs to know of a descriptor is in its shape.
 *
 * Padding is always zero: whether a varlena begins here or after some padding is told
 * by its first byte.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "lib/stringinfo.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/row.h"
#include "base/shape.h"

#define LARGEST_ROW		(MaxAllocSize - 65536)	/* with its chunk within what can be allocated */

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
		length = att_align_nominal(length, att->attalign) + att->attlen;
	}
	return MAXALIGN(length);
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

		offset = TYPEALIGN(sp_shape_alignment(att->attalign), offset);
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
		uint8		align = sp_shape_alignment(att->attalign);
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
