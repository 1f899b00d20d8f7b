/*
 * table_info.h
 *	  What catalog/table.c must know of a relation to find its rows by key.
 */
#ifndef SP_TABLE_INFO_H
#define SP_TABLE_INFO_H

#include "access/attnum.h"
#include "fmgr.h"
#include "utils/relcache.h"

typedef struct SpTableInfo
{
	MemoryContext context;		/* holds this and what it points to */
	bool		valid;
	int			nkeys;
	AttrNumber *keys;
	FmgrInfo   *equal;			/* nkeys; fn_oid invalid: compare the Datum */
	Oid			index;			/* invalid: no keys */
	AttrNumber *index_keys;		/* nkeys, in the order of the index */
	RegProcedure *index_equal;	/* the operators of its operator classes */
	int			nrequired;
	AttrNumber *required;		/* NOT NULL columns */
	Oid			sequence;		/* identity sequence of column 1, once asked for */
} SpTableInfo;

/*
 * What is known of an open relation, learned now if need be.  Valid until the end of the
 * transaction.  Raises an error when no unique index is on exactly these keys.
 */
extern SpTableInfo *sp_table_info_get(Relation rel, int nkeys, const AttrNumber *keys);

#endif
