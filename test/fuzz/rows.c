/*
 * rows.c
 *	  Tables of all sorts of columns, rows for them made of an input, and chunks of rows.
 */
#include "server.h"

#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "catalog/pg_type_d.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "rows.h"

RowKind		rows_kinds[ROWS_NKINDS];

/* Columns as pg_attribute has them: attlen, attbyval, attalign. */
#define BOOL		1, true, TYPALIGN_CHAR
#define INT2		2, true, TYPALIGN_SHORT
#define INT4		4, true, TYPALIGN_INT
#define INT8		8, true, TYPALIGN_DOUBLE
#define NAME		64, false, TYPALIGN_CHAR
#define TIMETZ		12, false, TYPALIGN_DOUBLE
#define UUID		16, false, TYPALIGN_CHAR
#define TEXT		-1, false, TYPALIGN_INT
#define INT8_ARRAY	-1, false, TYPALIGN_DOUBLE
#define CSTRING		-2, false, TYPALIGN_CHAR

/* Those of the many columns are the same again and again. */
#define REPEATED	7

static const struct
{
	int			ncolumns;
	ServerColumn columns[8];
}			kinds[ROWS_NKINDS] = {
	/* of fixed length, without padding and with it */
	{3, {{INT4}, {INT8}, {INT8}}},
	{7, {{INT2}, {BOOL}, {INT4}, {BOOL}, {INT8}, {UUID}, {TIMETZ}}},
	/* varying */
	{1, {{TEXT}}},
	{4, {{INT4}, {TEXT}, {INT8}, {TEXT}}},
	{4, {{BOOL}, {INT8_ARRAY}, {INT2}, {TEXT, .plain = true}}},
	{5, {{CSTRING}, {INT4}, {NAME}, {CSTRING}, {INT8}}},
	/* with columns that are gone */
	{6, {{INT4}, {TEXT, .dropped = true}, {INT8}, {INT8, .dropped = true}, {TEXT}, {CSTRING, .dropped = true}}},
	{3, {{TIMETZ}, {INT2, .dropped = true}, {INT4}}},
	/* with columns that are new */
	{6, {{INT4}, {TEXT}, {INT2, .missing = MISSING_VALUE}, {TEXT, .missing = MISSING_VALUE}, {INT4, .missing = MISSING_NULL}, {TIMETZ, .missing = MISSING_VALUE}}},
	{4, {{INT8}, {BOOL, .missing = MISSING_VALUE}, {UUID, .missing = MISSING_VALUE}, {INT8, .missing = MISSING_NULL}}},
	/* none, and so many that the bitmap of nulls has more than eight bytes */
	{0, {{0}}},
	{ROWS_MAX_ATTS, {{INT2}, {BOOL}, {TEXT}, {INT8}, {UUID}, {INT4}, {TEXT}}}
};

/* Make a table of each kind. */
void
rows_init(void)
{
	MemoryContext old;

	if (rows_kinds[0].desc != NULL)
		return;
	server_init();
	old = MemoryContextSwitchTo(TopMemoryContext);
	for (int i = 0; i < ROWS_NKINDS; i++)
	{
		ServerColumn columns[ROWS_MAX_ATTS];
		RowKind    *kind = &rows_kinds[i];

		for (int j = 0; j < kinds[i].ncolumns; j++)
			columns[j] = kinds[i].columns[j % (kinds[i].ncolumns > 8 ? REPEATED : 8)];
		kind->relid = ROWS_FIRST_RELID + i;
		kind->desc = server_descriptor(kinds[i].ncolumns, columns);
		kind->shape = sp_shape_register(kind->relid, kind->desc);
		demand(kind->shape == sp_shape_register(kind->relid, kind->desc));
	}
	MemoryContextSwitchTo(old);
}

/* A new row at the end. */
static Row *
add_row(Rows *rows, int natts)
{
	Row		   *row;

	if (rows->n == rows->allocated)
	{
		int			allocated = Max(rows->allocated * 2, 8);
		Row		   *larger = palloc(sizeof(Row) * allocated);

		if (rows->n > 0)
			memcpy(larger, rows->rows, sizeof(Row) * rows->n);
		rows->rows = larger;
		rows->allocated = allocated;
	}
	row = &rows->rows[rows->n++];
	row->natts = natts;
	row->data = NULL;
	row->values = palloc(sizeof(Datum) * natts);
	row->nulls = palloc(sizeof(bool) * natts);
	return row;
}

/* ---- values ---- */

/* Some bytes: a few from the input, then a pattern. */
static void
take_content(FuzzInput *in, char *to, Size size)
{
	char		start[4];

	take_bytes(in, start, sizeof(start));
	for (Size i = 0; i < size; i++)
		to[i] = i < sizeof(start) ? start[i] : start[0] + i;
}

/* A varlena with any of the headers that a stored value may have. */
static Datum
take_varlena(FuzzInput *in)
{
	unsigned	header = take_below(in, 4);
	Size		length = take_byte(in);
	char	   *value;

	if (header == 0)
	{
		length = length % (VARATT_SHORT_MAX - VARHDRSZ_SHORT + 1);
		value = palloc(VARHDRSZ_SHORT + length);
		SET_VARSIZE_SHORT(value, VARHDRSZ_SHORT + length);
		take_content(in, value + VARHDRSZ_SHORT, length);
	}
	else if (header == 1)
	{
		value = palloc(VARHDRSZ_COMPRESSED + length);
		take_content(in, value + VARHDRSZ, VARHDRSZ_COMPRESSED - VARHDRSZ + length);
		SET_VARSIZE_COMPRESSED(value, VARHDRSZ_COMPRESSED + length);
	}
	else
	{
		if (header == 3)
			length *= take_below(in, 16) == 1 ? 1200 : 40;
		value = palloc(VARHDRSZ + length);
		SET_VARSIZE(value, VARHDRSZ + length);
		take_content(in, value + VARHDRSZ, length);
	}
	return PointerGetDatum(value);
}

/* A value of a column. */
static Datum
take_value(FuzzInput *in, Form_pg_attribute att)
{
	Size		length = att->attlen;
	char	   *value;

	if (att->attbyval)
	{
		value = palloc(length);
		take_bytes(in, value, length);
		return fetch_att(value, true, att->attlen);
	}
	if (att->attlen == -1)
		return take_varlena(in);
	if (att->attlen == -2)
		length = take_byte(in) + 1;
	value = palloc(length);
	take_content(in, value, length);
	if (att->attlen == -2)
		value[length - 1] = '\0';
	return PointerGetDatum(value);
}

/* Rows from the input. */
void
rows_take(FuzzInput *in, const RowKind *kind, int max_rows, Rows *rows)
{
	int			n = take_below(in, max_rows);

	memset(rows, 0, sizeof(Rows));
	for (int i = 0; i < n; i++)
	{
		uint8		form = take_byte(in);
		int			natts = kind->desc->natts;
		Row		   *row;

		/* Most rows have all columns, and half of them no null. */
		if (form % 8 == 1)
			natts = take_below(in, natts + 1);
		row = add_row(rows, natts);
		for (int j = 0; j < natts; j++)
		{
			Form_pg_attribute att = TupleDescAttr(kind->desc, j);

			row->nulls[j] = att->attisdropped || (form % 2 == 1 && take_byte(in) % 4 == 0);
			row->values[j] = row->nulls[j] ? (Datum) 0 : take_value(in, att);
		}
	}
}

/* Are they equal, though perhaps under different headers? */
static bool
same_value(Form_pg_attribute att, Datum a, Datum b)
{
	const char *x = DatumGetPointer(a);
	const char *y = DatumGetPointer(b);

	if (att->attbyval)
		return a == b;
	if (att->attlen > 0)
		return memcmp(x, y, att->attlen) == 0;
	if (att->attlen == -2)
		return strcmp(x, y) == 0;
	if (VARATT_IS_4B_C(x) || VARATT_IS_4B_C(y))
		return VARATT_IS_4B_C(x) && VARATT_IS_4B_C(y) && VARSIZE_4B(x) == VARSIZE_4B(y) &&
			memcmp(x, y, VARSIZE_4B(x)) == 0;
	return VARSIZE_ANY_EXHDR(x) == VARSIZE_ANY_EXHDR(y) &&
		memcmp(VARDATA_ANY(x), VARDATA_ANY(y), VARSIZE_ANY_EXHDR(x)) == 0;
}

/* ---- chunks ---- */

/* A row with a null doesn't fit into a chunk of rows of fixed length, which stays as it is. */
static void
refuse_nulls(const RowKind *kind, StringInfo buf)
{
	Datum		values[ROWS_MAX_ATTS] = {0};
	bool		nulls[ROWS_MAX_ATTS];
	int			length = buf->len;

	memset(nulls, true, sizeof(nulls));
	demand(!sp_chunk_append(buf, kind->desc, values, nulls));
	demand(buf->len == length && ((SpChunk *) buf->data)->nrows == 0);
}

/* A chunk of rows. */
void
rows_write(const RowKind *kind, const Rows *rows, unsigned way, StringInfo buf)
{
	TupleDesc	desc = kind->desc;
	uint32		fixed_length = way % 2 == 0 ? sp_row_fixed_length(desc) : 0;

	for (int i = 0; i < rows->n && fixed_length > 0; i++)
		if (rows->rows[i].natts < desc->natts ||
			memchr(rows->rows[i].nulls, true, desc->natts) != NULL)
			fixed_length = 0;

	initStringInfo(buf);
	sp_chunk_start(buf, kind->relid, desc, fixed_length > 0);
	demand(((SpChunk *) buf->data)->row_length == fixed_length);
	if (fixed_length > 0)
		refuse_nulls(kind, buf);
	for (int i = 0; i < rows->n; i++)
	{
		const Row  *row = &rows->rows[i];

		if (row->natts < desc->natts || (way >> (1 + i % 5)) % 2 == 1)
			sp_chunk_append_tuple(buf, server_form_tuple(desc, row->natts, row->values,
														 row->nulls));
		else
			demand(sp_chunk_append(buf, desc, row->values, row->nulls));
	}
}

/* Bytes of a value. */
static Size
value_size(Form_pg_attribute att, Datum value)
{
	const char *p = DatumGetPointer(value);

	if (att->attlen > 0)
		return att->attlen;
	if (att->attlen == -2)
		return strlen(p) + 1;
	demand(!VARATT_IS_EXTERNAL(p));
	return VARSIZE_ANY(p);
}

/* What the server makes of a row between start and end. */
static void
read_by_the_book(const RowKind *kind, const SpChunk *chunk, const char *start, const char *end,
				 Row *row)
{
	const SpRowHeader *header = (const SpRowHeader *) start;
	const bits8 *bits = NULL;
	const char *data = start;
	Size		size;

	row->natts = kind->desc->natts;

	if (chunk->row_length > 0)
		demand(end - start == chunk->row_length);
	else
	{
		row->natts = header->natts;
		data += sizeof(SpRowHeader);
		if (header->has_nulls)
		{
			bits = (const bits8 *) data;
			data += MAXALIGN(BITMAPLEN(row->natts));
		}
		demand(end - start == header->length);
	}
	row->data = data;
	row->end = end;
	size = server_read_data(kind->desc, row->natts, data, bits, row->values, row->nulls);
	demand(data + MAXALIGN(size) == end);
}

/* Is a column as it was read what the server would read, or would have for it? */
static void
check_column(const RowKind *kind, int i, Datum value, bool isnull, const Row *row)
{
	Form_pg_attribute att = i < kind->desc->natts ? TupleDescAttr(kind->desc, i) : NULL;
	const char *p = DatumGetPointer(value);
	bool		missing_null;
	Datum		missing;

	if (att == NULL || att->attisdropped)
		demand(isnull);
	else if (i >= row->natts)
	{
		missing = getmissingattr(kind->desc, i + 1, &missing_null);
		demand(isnull == missing_null);
		demand(isnull || same_value(att, value, missing));
	}
	else
	{
		demand(isnull == row->nulls[i]);
		demand(isnull || value == row->values[i]);
		if (isnull || att->attbyval)
			return;
		demand(p >= row->data && p < row->end);
		demand(value_size(att, value) <= (Size) (row->end - p));
		fuzz_touch(p, value_size(att, value));
	}
}

/* Read a chunk. */
void
rows_read(const RowKind *kind, const SpChunk *chunk, int natts, Rows *rows)
{
	const char *chunk_end = (const char *) chunk + chunk->size;
	Datum		values[ROWS_MAX_ATTS + 8];
	bool		nulls[ROWS_MAX_ATTS + 8];
	Datum		their_values[ROWS_MAX_ATTS];
	bool		their_nulls[ROWS_MAX_ATTS];
	Row			theirs = {0, their_values, their_nulls};
	SpRowCursor cursor;
	const char *start;
	uint32		n = 0;

	sp_row_begin(&cursor, chunk);
	for (start = cursor.next; sp_row_next(&cursor, natts, values, nulls); start = cursor.next)
	{
		demand(cursor.next >= start && cursor.next <= chunk_end);
		read_by_the_book(kind, chunk, start, cursor.next, &theirs);
		for (int i = 0; i < natts; i++)
			check_column(kind, i, values[i], nulls[i], &theirs);
		n++;
		if (rows != NULL)
		{
			Row		   *row = add_row(rows, natts);

			memcpy(row->values, values, sizeof(Datum) * natts);
			memcpy(row->nulls, nulls, natts);
			row->data = theirs.data;
			row->end = theirs.end;
		}
	}
	demand(n == chunk->nrows);
	demand(start == chunk_end);
}

/* Does a row stand in its chunk byte by byte as the server would lay it out? */
static void
compare_bytes(const RowKind *kind, const Row *wanted, const Row *got)
{
	Size		size = server_data_size(kind->desc, wanted->natts, wanted->values, wanted->nulls);
	bits8		bits[(ROWS_MAX_ATTS + 7) / 8] = {0};
	char	   *bytes = palloc0(MAXALIGN(size));

	server_fill_data(kind->desc, wanted->natts, wanted->values, wanted->nulls, bytes, size, bits);
	demand(got->end - got->data == MAXALIGN(size));
	demand(memcmp(bytes, got->data, MAXALIGN(size)) == 0);
	pfree(bytes);
}

/* Compare what was read with what was written. */
void
rows_compare(const RowKind *kind, const Rows *wanted, const Rows *got)
{
	demand(wanted->n == got->n);
	for (int i = 0; i < wanted->n; i++)
	{
		const Row  *x = &wanted->rows[i];
		const Row  *y = &got->rows[i];

		/* What was read has all columns; those that weren't written are checked above. */
		demand(y->natts == kind->desc->natts);
		for (int j = 0; j < x->natts; j++)
		{
			demand(x->nulls[j] == y->nulls[j]);
			demand(x->nulls[j] || same_value(TupleDescAttr(kind->desc, j), x->values[j],
											 y->values[j]));
		}
		compare_bytes(kind, x, y);
	}
}
