/*
 * rows.h
 *	  Tables of all sorts of columns, rows for them made of an input, and chunks of rows.
 */
#ifndef SP_FUZZ_ROWS_H
#define SP_FUZZ_ROWS_H

#include "postgres.h"

#include "base/row.h"
#include "lib/stringinfo.h"

#include "fuzz.h"

#define ROWS_NKINDS		12
#define ROWS_MAX_ATTS	70
#define ROWS_FIRST_RELID 20000	/* that of kind 0 */

/* A table. */
typedef struct RowKind
{
	Oid			relid;
	TupleDesc	desc;
	SpShape    *shape;
} RowKind;

extern RowKind rows_kinds[ROWS_NKINDS];

/* Make them; does nothing when they are there. */
extern void rows_init(void);

/* A row: its first natts columns were written. */
typedef struct Row
{
	int			natts;
	Datum	   *values;
	bool	   *nulls;
	const char *data;			/* where they stand in a chunk; NULL: in none */
	const char *end;			/* of the row, padding included */
} Row;

/* Rows in the order written, in the current context. */
typedef struct Rows
{
	int			n;
	int			allocated;
	Row		   *rows;
} Rows;

/* Rows for the table, from the input; fewer than max_rows. */
extern void rows_take(FuzzInput *in, const RowKind *kind, int max_rows, Rows *rows);

/*
 * A chunk of them in buf.  Where it can be of fixed length, way says whether it is; and
 * also which function appends which row.
 */
extern void rows_write(const RowKind *kind, const Rows *rows, unsigned way, StringInfo buf);

/*
 * Read a sound chunk at the given address, natts columns of each row.  Every byte is
 * read; all must lie in the chunk, and be what the server would read.  The rows are added
 * to rows, with pointers into the chunk, unless it is NULL.
 */
extern void rows_read(const RowKind *kind, const SpChunk *chunk, int natts, Rows *rows);

/*
 * Are these the rows that were written, laid out as the server would, with zeros between?
 * wanted may end before the last columns.
 */
extern void rows_compare(const RowKind *kind, const Rows *wanted, const Rows *got);

#endif
