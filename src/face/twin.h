/*
 * twin.h
 *	  The plain-SQL twin of a window: the same answer, computed from the source table.
 */
#ifndef SP_TWIN_H
#define SP_TWIN_H

#include "catalog/object.h"
#include "face/clause.h"
#include "face/relation.h"

typedef struct SpTwin
{
	const SpRelationName *window;	/* result table */
	const SpStreamDef *stream;
	int32		id;				/* of the window */
	const Interval *size;		/* NULL: kind 'global' */
	const Timestamp *origin;	/* NULL: the default */
	const char *time_zone;
	List	   *keys;
	List	   *aggregates;
	SpClause   *filter;			/* or NULL */
	SpClause   *having;			/* or NULL */
} SpTwin;

/*
 * Why there can be no twin of windows over this stream, as a sentence; NULL: there can.
 */
extern const char *sp_twin_obstacle(const SpStreamDef *stream);

/* Create the view <window>_sql beside the result table, as the caller. */
extern Oid	sp_twin_create(const SpTwin *twin);

#endif
