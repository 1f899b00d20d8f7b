/*
 * detect_rows.h
 *	  The rows of a relation for detect(), partition by partition.
 */
#ifndef SP_DETECT_ROWS_H
#define SP_DETECT_ROWS_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "storage/itemptr.h"

#include "face/clause.h"

/* What is asked for. */
typedef struct SpDetectQuery
{
	Oid			relation;
	List	   *features;		/* of SpClause: SP_CLAUSE_ONCE_NUMBER */
	List	   *partition;		/* of SpClause: SP_CLAUSE_ONCE_KEY */
	List	   *order;			/* of SortBy; rows of the same rank come as they stand in the table;
								 * NIL: a partition's rows come in any order */
	SpClause   *filter;			/* NULL: all rows */
} SpDetectQuery;

typedef struct SpDetectRow
{
	Oid			tableoid;
	ItemPointerData tid;
	bool		has_key;
	bool		same_key;		/* it has the key of the row before; then that isn't said again */
	Datum		key;			/* jsonb: of the primary key, and what partitions are made by */
	bool		begins;			/* it is the first one of its partition */
	bool		is_whole;		/* no feature is null */
	const double *features;
} SpDetectRow;

/* Gets the rows of one partition after the other; what it gets lasts as long as the call. */
typedef void (*SpDetectTake) (void *arg, const SpDetectRow *row);

/* Read them as the caller, with parallel workers where the planner likes. */
extern void sp_detect_rows(const SpDetectQuery *query, SpDetectTake take, void *arg);

#endif
