/*
 * shape.h
 *	  The columns of a shape: for shape.c, which describes them, and row.c, which reads them.
 */
#ifndef SP_SHAPE_H
#define SP_SHAPE_H

#include "postgres.h"

#include "catalog/pg_type_d.h"

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

/* Bytes that a type's values are aligned to. */
static inline uint8
sp_shape_alignment(char attalign)
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

#endif
