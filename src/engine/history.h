/*
 * history.h
 *	  The query that reads a stream's history.
 */
#ifndef SP_HISTORY_H
#define SP_HISTORY_H

#include "engine/internal.h"

#define SP_HISTORY_ARGS 3

typedef struct SpHistoryQuery
{
	char	   *sql;
	AttrNumber *map;			/* the stream's attribute for each column of the result */
	int			nargs;
	Oid			types[SP_HISTORY_ARGS];
	Datum		args[SP_HISTORY_ARGS];
} SpHistoryQuery;

extern SpHistoryQuery *sp_history_query(const SpStream *s);

#endif
