/*
 * server.h
 *	  What stands in for the server: just enough of it to link files of src/ without one.
 *
 * Every palloc() is a malloc() of its own, so that the address sanitizer sees each
 * byte read or written outside of it, or after its context was reset.  ereport() jumps
 * to where server_try() was called.  What isn't here no target needs; the linker says so
 * when one does.
 */
#ifndef SP_FUZZ_SERVER_H
#define SP_FUZZ_SERVER_H

#include "postgres.h"

#include "access/tupdesc.h"

/* Make the contexts; does nothing when they are there. */
extern void server_init(void);

/* Call a function; returns the SQLSTATE of the error that it raised, or 0. */
extern int	server_try(void (*function) (void *arg), void *arg);

/* The last message raised or logged, with its detail; for whoever looks at a crash. */
extern char server_message[1024];

/* A column of a descriptor. */
typedef struct ServerColumn
{
	int16		length;			/* attlen: -1 varlena, -2 C string */
	bool		byval;
	char		align;			/* attalign */
	bool		plain;			/* a varlena whose header isn't shortened */
	bool		dropped;
	enum
	{
		NOT_MISSING,
		MISSING_NULL,
		MISSING_VALUE			/* rows that end before it have a value for it */
	}			missing;
} ServerColumn;

/* A descriptor in the current context. */
extern TupleDesc server_descriptor(int ncolumns, const ServerColumn *columns);

/* The data of a row of natts columns: its size, and written, and read again. */
extern Size server_data_size(TupleDesc desc, int natts, const Datum *values, const bool *isnull);
extern void server_fill_data(TupleDesc desc, int natts, const Datum *values, const bool *isnull,
							 char *data, Size data_size, bits8 *bit);
extern Size server_read_data(TupleDesc desc, int natts, const char *data, const bits8 *bit,
							 Datum *values, bool *isnull);

/* A heap tuple of the first natts columns. */
struct HeapTupleData;
extern struct HeapTupleData *server_form_tuple(TupleDesc desc, int natts, const Datum *values,
											   const bool *nulls);

#endif
