/*
 * history.h
 *	  What a stream or a window has had until now, read from its tables: the query
 *	  (history.c), and the rows (history_read.c).
 */
#ifndef SP_HISTORY_H
#define SP_HISTORY_H

#include "engine/internal.h"

#define SP_HISTORY_ARGS 3

typedef struct SpHistoryQuery
{
	char	   *sql;
	AttrNumber *map;			/* the source's attribute for each column of the result; NULL: the
								 * same */
	int			nargs;
	Oid			types[SP_HISTORY_ARGS];
	Datum		args[SP_HISTORY_ARGS];
} SpHistoryQuery;

/* A source that is read, without state. */
typedef struct SpHistory
{
	SpStream   *stream;			/* read, or whose clock the window that is read follows */
	SpWindow   *source;			/* the window that is read; NULL: the stream is */
	MemoryContext context;		/* of a rowset */
	XLogRecPtr	lsn;			/* that rows are to have */
	int64		ordinal;		/* of the next one */
} SpHistory;

/* A rowset, in order of event time; false: no more of them. */
typedef bool (*SpHistoryTake) (void *arg, SpRowSet *rows);

extern SpHistoryQuery *sp_history_query(const SpStream *s);

/* Bring the source, a stream's relation or a window's result table, to life; false: it is gone. */
extern bool sp_history_open(SpHistory *history, const SpDefinitions *definitions, Oid source);

/* All rows that the active snapshot sees; of a window those that end no later than sealed. */
extern void sp_history_read(SpHistory *history, int64 sealed, SpHistoryTake take, void *arg);

/* Rows that repeat others are to be skipped.  max_time: the largest event time up to now. */
extern void sp_history_dedup(SpHistory *history, SpRowSet *rows, int64 max_time);

#endif
