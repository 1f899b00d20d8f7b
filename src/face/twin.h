/*
 * twin.h
 *	  The plain-SQL twin of a window: the same answer, computed from the source table.
 */
#ifndef SP_TWIN_H
#define SP_TWIN_H

#include "face/window.h"
#include "lib/stringinfo.h"

/*
 * Why there can be no twin of windows over this stream, as a sentence; NULL: there can.
 */
extern const char *sp_twin_obstacle(const SpStreamDef *stream);

/*
 * Create the view <window>_sql beside the result table, as the caller; invalid when there
 * can be none.  id: of the window.
 */
extern Oid	sp_twin_create(const SpWindowDraft *draft, int32 id);

/* ---- For the files that write it. ---- */

/* Columns of the admitted rows, beside those of the source. */
#define SP_TWIN_TIME	"\"time of the event\""
#define SP_TWIN_SATISFIES	"\"satisfies the group filter\""
#define SP_TWIN_MISSED	"\"in windows that end later than\""

typedef struct SpTwin
{
	const SpWindowDraft *draft;
	int32		id;				/* of the window */
	List	   *context;		/* for deparsing: the source is "s" */
} SpTwin;

/* twin_rows.c: FROM item "(...) s" with the admitted rows. */
extern void sp_twin_append_rows(StringInfo sql, const SpTwin *twin);

/* A time of the stream's type as dead letters have it: a timestamp or date as if UTC. */
extern char *sp_twin_utc(const SpStreamDef *stream, const char *time);

/* twin.c: ", expression AS name" of each clause; without the comma before the first. */
extern void sp_twin_append_targets(StringInfo sql, List *clauses, List *context, bool first);

/* "word filter", when there is one. */
extern void sp_twin_append_filter(StringInfo sql, const SpTwin *twin, const char *word);

/* "word group_filter", likewise. */
extern void sp_twin_append_having(StringInfo sql, const SpTwin *twin, const char *word);

/* "streamproc.tumble(time, ...)"; or hop(), or cumulate(). */
extern void sp_twin_append_function(StringInfo sql, const SpTwin *twin, const char *time);

/*
 * The query of windows that such a function finds, and of running totals.  Where windows
 * without rows are to be added, all groups, with a column SP_TWIN_SATISFIES of the
 * group_filter, if there is one.
 */
extern void sp_twin_append_groups(StringInfo sql, const SpTwin *twin);

/* An interval or that many microseconds, quoted and cast. */
extern char *sp_twin_quote_interval(const Interval *interval);
extern char *sp_twin_quote_us(int64 us);

/* The cast of a sum of a time and an interval back to the stream's type. */
extern const char *sp_twin_cast(const SpStreamDef *stream);

/* twin_fill.c, twin_session.c, twin_sliding.c: the query of those with fill, or that kind. */
extern void sp_twin_append_filled(StringInfo sql, const SpTwin *twin);
extern void sp_twin_append_sessions(StringInfo sql, const SpTwin *twin);
extern void sp_twin_append_sliding(StringInfo sql, const SpTwin *twin);

#endif
