/*
 * target.h
 *	  What a session knows about a stream table that it writes to: how its rows are
 *	  laid out, and whether anything reads them.
 */
#ifndef SP_TARGET_H
#define SP_TARGET_H

#include "utils/relcache.h"

/* A column of a row without nulls and of fixed length. */
typedef struct SpTargetField
{
	uint32		offset;			/* from the row's start */
	uint16		length;
	bool		byval;
} SpTargetField;

typedef struct SpTarget
{
	Oid			relid;			/* hash key */
	bool		valid;			/* what follows is as of the present descriptor */
	bool		noticed;		/* the user was told that nothing reads this table */
	uint32		checked;		/* generation of streams in which readers were looked up */

	int			natts;
	uint32		shape_hash;
	uint32		row_length;		/* of every row without nulls; 0: they vary */
	SpTargetField *fields;		/* natts, when row_length > 0 */
	int			ngaps;			/* 8-byte words of a row that have padding */
	uint32	   *gaps;			/* their offsets */
	int			nvarlenas;
	int		   *varlenas;		/* columns that may hold TOAST pointers, from 0 */
} SpTarget;

/*
 * For a stream table that is about to receive rows; lives as long as the session.
 * Raises an error while a stream of the table isn't ready to take them.
 */
extern SpTarget *sp_target_get(Relation rel);

#endif
