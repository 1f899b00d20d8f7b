/*
 * columns.h
 *	  What is kept of rows whose aggregates may have to be computed again.
 *
 * The columns of a kept row are the arguments and FILTERs of the window's aggregates, each
 * expression once, and where it is asked for what the window carries.
 */
#ifndef SP_COLUMNS_H
#define SP_COLUMNS_H

#include "postgres.h"

#include "base/compat.h"
#include "engine/expression.h"
#include "lib/stringinfo.h"

typedef struct SpWindow SpWindow;

typedef struct SpColumns
{
	const SpWindow *window;
	int			n;
	SpExpression **list;
	int		   *evaluated;		/* which of the evaluated expressions it is */
	bool		by_value;		/* all of them */
	int		   *filter;			/* by aggregate: its FILTER's column; -1: none */
	int		  **args;			/* by aggregate: its arguments' columns */
	int		   *carry;			/* by what is carried */
} SpColumns;

/* In the current memory context, for good; after the window's aggregates are bound. */
extern void sp_columns_bind(SpColumns *columns, const SpWindow *w, bool with_carry);

/* The values of row i; by-reference ones are the rowset's, until they are kept. */
extern void sp_columns_take(const SpColumns *columns, const SpEvaluated *ev, int i,
							NullableDatum *values);

/* Unpack what is compressed, in the current memory context: for comparing it often. */
extern void sp_columns_flatten(const SpColumns *columns, NullableDatum *values);

/* Copies of by-reference values, in the current memory context; and giving them up. */
extern void sp_columns_keep(const SpColumns *columns, NullableDatum *values);
extern void sp_columns_free(const SpColumns *columns, NullableDatum *values);

/* Are they the same, bit by bit? */
extern bool sp_columns_equal(const SpColumns *columns, const NullableDatum *a,
							 const NullableDatum *b);

/* Is the aggregate's FILTER true for the row? */
static inline bool
sp_columns_pass(const SpColumns *columns, int a, const NullableDatum *values)
{
	const NullableDatum *filter;

	if (columns->filter[a] < 0)
		return true;
	filter = &values[columns->filter[a]];
	return !filter->isnull && DatumGetBool(filter->value);
}

/* The aggregate's arguments, one behind the other; buffer: SP_MAX_AGG_ARGS. */
extern const NullableDatum *sp_columns_arguments(const SpColumns *columns, int a,
												 const NullableDatum *values,
												 NullableDatum *buffer);

/*
 * Durable form: per column uint8 null, then the datum, or uint32 length and bytes where it is
 * by reference.  What is read is by reference in the current memory context; an error when it
 * is damaged.
 */
extern Size sp_columns_size(const SpColumns *columns, const NullableDatum *values);
extern void sp_columns_write(const SpColumns *columns, const NullableDatum *values, StringInfo buf);
extern void sp_columns_read(const SpColumns *columns, NullableDatum *values, const char **p,
							const char *end);
pg_noreturn extern void sp_columns_damaged(const SpColumns *columns);

#endif
