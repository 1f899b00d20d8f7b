/*
 * fuzz_chunk.c
 *	  Chunks of rows as they come from the WAL: whatever the bytes are, what sp_chunk_check()
 *	  calls sound can be read without leaving the chunk; and what was written as rows is
 *	  sound, and read as the same rows.
 *
 * An input is a table, a mode, and then either the chunk itself, or rows to make it of and
 * damages to do to it, or what to make a chunk of whose lengths agree with one another more
 * often than not.
 */
#include "server.h"

#include "utils/memutils.h"

#include "base/compat.h"
#include "rows.h"

#define MODE_ROWS		0x01	/* the input is rows, not a chunk */
#define MODE_REPAIR		0x02	/* give the chunk its header's constants, so that it gets further */
#define MODE_CROOKED	0x04	/* the input is what to make a chunk of that is almost sound */
#define MODE_WAY		3		/* the bits from here on: how rows are written */

#define MAX_ROWS		9
#define MAX_DAMAGES		12
#define LARGEST_INPUT	4096

/* Make the constants of a chunk's header right. */
static void
repair_header(const RowKind *kind, char *data, Size size)
{
	SpChunk    *chunk = (SpChunk *) data;

	if (size < sizeof(SpChunk))
		return;
	chunk->magic = SP_CHUNK_MAGIC;
	chunk->size = size;
	chunk->shape_hash = sp_shape_hash(kind->desc);
}

/* Write a chunk's rows once more and read those. */
static void
write_again(const RowKind *kind, const Rows *rows, unsigned way)
{
	StringInfoData buf;
	SpChunk    *chunk;
	Rows		got = {0};

	rows_write(kind, rows, way, &buf);
	chunk = (SpChunk *) fuzz_copy(buf.data, buf.len, 0);
	demand(sp_chunk_check(chunk, buf.len, kind->desc) == NULL);
	chunk->shape = kind->shape->id;
	rows_read(kind, chunk, kind->desc->natts, &got);
	rows_compare(kind, rows, &got);
	fuzz_free((char *) chunk, 0);
}

/* A chunk from outside: refused, or read. */
static void
try_chunk(const RowKind *kind, const char *data, Size size, unsigned way)
{
	static const uint32 others[] = {SP_CHUNK_UPDATED, SP_CHUNK_RETRACTED, SP_CHUNK_TRUNCATED};
	SpChunk    *chunk = (SpChunk *) fuzz_copy(data, size, 0);
	int			natts = kind->desc->natts;
	Rows		rows = {0};

	if (sp_chunk_check(chunk, size, kind->desc) == NULL)
	{
		/* rows that were inserted, and nothing that only the change feed may claim */
		demand(chunk->magic == SP_CHUNK_MAGIC);
		for (int i = 0; i < lengthof(others); i++)
		{
			chunk->magic = others[i];
			demand(sp_chunk_check(chunk, size, kind->desc) != NULL);
		}
		chunk->magic = SP_CHUNK_MAGIC;
		chunk->shape = kind->shape->id;
		rows_read(kind, chunk, natts, &rows);
		rows_read(kind, chunk, natts + 2, NULL);
		rows_read(kind, chunk, natts / 2, NULL);
		write_again(kind, &rows, way);
	}
	fuzz_free((char *) chunk, 0);
}

/* Rows are written and read; then some of their bytes are others. */
static void
try_rows(FuzzInput *in, const RowKind *kind, uint8 mode)
{
	StringInfoData buf;
	Rows		rows;
	int			damages;
	int			cut;

	rows_take(in, kind, MAX_ROWS, &rows);
	write_again(kind, &rows, mode >> MODE_WAY);

	rows_write(kind, &rows, mode >> MODE_WAY, &buf);
	damages = take_below(in, MAX_DAMAGES);
	if (damages == 0)
		return;
	for (int i = 0; i < damages; i++)
	{
		int			at = take_byte(in);

		/* The header is what most depends on. */
		at = at % 2 == 0 ? at / 2 % (int) sizeof(SpChunk) : at << 8 | take_byte(in);
		at %= buf.len;
		buf.data[at] ^= take_byte(in);
	}
	cut = take_byte(in) / 16 * 4;
	buf.len -= Min(buf.len, cut);
	if (mode & MODE_REPAIR)
		repair_header(kind, buf.data, buf.len);
	try_chunk(kind, buf.data, buf.len, mode >> MODE_WAY);
}

/* ---- chunks that are almost sound ---- */

/* Append a value that says more or less of itself what is true. */
static void
append_crooked_value(FuzzInput *in, Form_pg_attribute att, StringInfo buf)
{
	unsigned	form = take_byte(in);
	int			length = att->attlen > 0 ? att->attlen : (int) take_below(in, 24);
	int			claimed = length;
	varattrib_4b header;
	char		value[64];

	take_bytes(in, value, sizeof(value));
	if (form / 32 == 1)
		claimed += (int) take_below(in, 9) - 4;
	if (att->attlen == -2 && form / 32 != 1 && length > 0)
		value[length - 1] = '\0';
	else if (att->attlen == -1 && form % 4 == 0)
		SET_VARSIZE_1B(value, claimed);
	else if (att->attlen == -1 && form % 32 == 2)
		SET_VARTAG_1B_E(value, VARTAG_INDIRECT);
	else if (att->attlen == -1)
	{
		if (form % 4 == 1)
			SET_VARSIZE_4B_C(&header, claimed);
		else
			SET_VARSIZE_4B(&header, claimed);
		memcpy(value, &header, VARHDRSZ);
	}
	appendBinaryStringInfo(buf, value, length);
}

/* Append zeros up to a multiple, counted from start. */
static void
append_padding(StringInfo buf, int start, int multiple)
{
	while ((buf->len - start) % multiple != 0)
		appendStringInfoChar(buf, '\0');
}

/* Append a row. */
static void
append_crooked_row(FuzzInput *in, const RowKind *kind, StringInfo buf)
{
	int			start = buf->len;
	unsigned	form = take_byte(in);
	SpRowHeader header = {0, kind->desc->natts, form % 2};
	char		bits[(ROWS_MAX_ATTS + 7) / 8 + 8];
	int			data;

	if (form / 16 == 1)
		header.natts = take_below(in, header.natts + 2);
	memset(bits, 0xff, sizeof(bits));
	if (form % 4 == 1)
		take_bytes(in, bits, sizeof(bits));
	appendBinaryStringInfo(buf, (char *) &header, sizeof(header));
	if (header.has_nulls)
		appendBinaryStringInfo(buf, bits, MAXALIGN((header.natts + 7) / 8));

	data = buf->len;
	for (int i = 0; i < Min(header.natts, kind->desc->natts); i++)
	{
		Form_pg_attribute att = TupleDescAttr(kind->desc, i);

		if (header.has_nulls && (bits[i / 8] >> (i % 8)) % 2 == 0)
			continue;
		if (att->attlen != -1 || take_below(in, 2) == 0)
			append_padding(buf, data, att->attalign == 'd' ? 8 : att->attalign == 'i' ? 4 :
						   att->attalign == 's' ? 2 : 1);
		append_crooked_value(in, att, buf);
	}
	append_padding(buf, data, 8);
	header.length = buf->len - start;
	if (form / 16 == 2)
		header.length += 4 * take_below(in, 9) - 16;
	memcpy(buf->data + start, &header, sizeof(header));
}

/* A chunk of such rows, or of rows that should have this length. */
static void
try_crooked(FuzzInput *in, const RowKind *kind, unsigned way)
{
	unsigned	form = take_byte(in);
	unsigned	n = 1 + form % 4;
	uint32		row_length = 0;
	StringInfoData buf;

	initStringInfo(&buf);
	sp_chunk_start(&buf, kind->relid, kind->desc, false);
	if (form / 8 % 2 == 1)
		row_length = take_below(in, 2) == 0 ? sp_row_fixed_length(kind->desc) :
			take_below(in, 16) * 8;
	for (unsigned i = 0; i < n; i++)
	{
		char		bytes[128];

		if (row_length == 0)
			append_crooked_row(in, kind, &buf);
		else
		{
			take_bytes(in, bytes, sizeof(bytes));
			appendBinaryStringInfo(&buf, bytes, Min(row_length, sizeof(bytes)));
		}
	}
	((SpChunk *) buf.data)->row_length = row_length;
	if (form / 16 == 1)
		n += take_below(in, 5) - 2;
	if (form / 16 == 2)
		buf.len -= 8;
	if (form / 16 == 3)
		n ^= 1U << take_below(in, 32);
	((SpChunk *) buf.data)->nrows = n;
	repair_header(kind, buf.data, buf.len);
	try_chunk(kind, buf.data, buf.len, way);
}

/* ---- an input ---- */

void
fuzz_one(const uint8_t *data, size_t size)
{
	FuzzInput	in = {data, data + Min(size, LARGEST_INPUT)};
	const RowKind *kind;
	uint8		mode;

	rows_init();
	kind = &rows_kinds[take_below(&in, ROWS_NKINDS)];
	mode = take_byte(&in);
	if (mode & MODE_ROWS)
		try_rows(&in, kind, mode);
	else if (mode & MODE_CROOKED)
		try_crooked(&in, kind, mode >> MODE_WAY);
	else
	{
		Size		left = input_left(&in);
		char	   *copy = palloc(left);

		memcpy(copy, in.next, left);
		if (mode & MODE_REPAIR)
			repair_header(kind, copy, left);
		try_chunk(kind, copy, left, mode >> MODE_WAY);
	}
	MemoryContextReset(TopTransactionContext);
}

/* Of every table: rows, the same as a chunk, and a chunk that is almost sound. */
void
fuzz_seeds(void)
{
	uint64		state = 1;

	rows_init();
	for (int i = 0; i < ROWS_NKINDS * 4; i++)
	{
		uint8		bytes[600];
		FuzzInput	in = {bytes + 2, bytes + sizeof(bytes)};
		const RowKind *kind = &rows_kinds[i % ROWS_NKINDS];
		StringInfoData buf;
		Rows		rows;
		char	   *input;

		fuzz_random(&state, bytes, sizeof(bytes));
		bytes[0] = i % ROWS_NKINDS;
		bytes[1] |= MODE_ROWS | MODE_REPAIR;
		fuzz_seed(bytes, sizeof(bytes));

		rows_take(&in, kind, MAX_ROWS, &rows);
		rows_write(kind, &rows, bytes[1] >> MODE_WAY, &buf);
		input = palloc(buf.len + 2);
		input[0] = bytes[0];
		input[1] = bytes[1] & ~(MODE_ROWS | MODE_CROOKED);
		memcpy(input + 2, buf.data, buf.len);
		if (buf.len + 2 <= LARGEST_INPUT)
			fuzz_seed(input, buf.len + 2);

		bytes[1] = MODE_CROOKED;
		fuzz_seed(bytes, sizeof(bytes));
	}
}
