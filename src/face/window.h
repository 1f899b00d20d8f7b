/*
 * window.h
 *	  What create_window() is asked for, while it is being created.
 */
#ifndef SP_FACE_WINDOW_H
#define SP_FACE_WINDOW_H

#include "postgres.h"

#include "catalog/object.h"
#include "face/clause.h"
#include "face/relation.h"
#include "fmgr.h"
#include "utils/timestamp.h"

/* Arguments of create_window(). */
enum
{
	SP_WINDOW_NAME,
	SP_WINDOW_SOURCE,
	SP_WINDOW_KIND,
	SP_WINDOW_SIZE,
	SP_WINDOW_SLIDE,
	SP_WINDOW_GAP,
	SP_WINDOW_KEYS,
	SP_WINDOW_AGGREGATES,
	SP_WINDOW_FILTER,
	SP_WINDOW_GROUP_FILTER,
	SP_WINDOW_CARRY,
	SP_WINDOW_EMIT,
	SP_WINDOW_TRIGGER,
	SP_WINDOW_WATERMARK,
	SP_WINDOW_GRACE,
	SP_WINDOW_ORIGIN,
	SP_WINDOW_TIME_ZONE,
	SP_WINDOW_BOUNDS,
	SP_WINDOW_FILL,
	SP_WINDOW_RETENTION,
	SP_WINDOW_BACKFILL,
	SP_WINDOW_CHANGES,
	SP_WINDOW_IF_NOT_EXISTS,
	SP_WINDOW_REPLACE
};

typedef struct SpWindowDraft
{
	SpRelationName name;
	SpObject	source;
	const SpStreamDef *stream;	/* at the source, or at its source, ... */
	const SpWindowDef *upstream;	/* when the source is a window */

	SpWindowKind kind;
	Interval   *size;			/* NULL: none; likewise: */
	Interval   *slide;
	Interval   *gap;
	Timestamp  *origin;
	const char *emit;
	const char *time_zone;
	bool		closed;			/* sliding: with the rows that are exactly size older */
	bool		fill_zero;
	Interval   *retention;

	List	   *keys;
	List	   *carry;
	List	   *aggregates;
	SpClause   *filter;			/* or NULL */
	SpClause   *having;			/* or NULL */
} SpWindowDraft;

/* Everything but names and expressions, checked.  The draft's source and stream are known. */
extern void sp_window_parameter_read(FunctionCallInfo fcinfo, SpWindowDraft *draft);

#endif
