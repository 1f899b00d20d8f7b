/*
 * event.h
 *	  What the feed hands to the engine: committed transactions and ticks, in the
 *	  order of the WAL.
 *
 * A spool keeps the chunks of one transaction: in memory up to
 * streamproc.spool_memory (shared by all running transactions), then in a
 * temporary file.  An event owns its spools; sp_event_free() gives all back.
 */
#ifndef SP_EVENT_H
#define SP_EVENT_H

#include "access/xlogdefs.h"
#include "base/row.h"
#include "datatype/timestamp.h"
#include "lib/ilist.h"

typedef struct SpSpool SpSpool;

/* What is wanted of a relation. */
typedef enum SpSourceKind
{
	SP_SOURCE_NONE,
	SP_SOURCE_INSERTS,			/* inserted rows; other changes are counted */
	SP_SOURCE_ALL				/* also rows that an UPDATE or DELETE takes back */
} SpSourceKind;

typedef enum SpEventKind
{
	SP_EVENT_COMMIT,			/* a transaction's rows, and perhaps control messages */
	SP_EVENT_TICK,				/* the wall clock, as the worker wrote it to the WAL */
	SP_EVENT_REPORT				/* a row that a shield has refused */
} SpEventKind;

/* Changes of a source other than INSERT, by relation: counted, whether they are followed or not. */
typedef struct SpOtherChanges
{
	Oid			source;			/* root relation */
	uint64		updates;
	uint64		deletes;
	uint64		truncates;
} SpOtherChanges;

typedef struct SpEvent
{
	dlist_node	node;			/* for whoever holds it */
	SpEventKind kind;
	XLogRecPtr	lsn;			/* start of the commit record, or of the message: identity and order */
	XLogRecPtr	end_lsn;		/* from here on the WAL is not covered by this event */

	/* SP_EVENT_COMMIT */
	TransactionId xid;
	TimestampTz commit_time;
	SpSpool    *spool;			/* NULL: no rows */
	SpSpool    *settings;		/* of SpSetting: count from before the rows on; NULL: none */
	bool		definitions_changed;	/* carries a control message: reload definitions */
	int			nother;
	SpOtherChanges *other;

	/* SP_EVENT_TICK */
	Oid			tick_source;	/* the stream's relation */
	TimestampTz tick_time;		/* the worker's clock when it wrote the message */
	int64		tick_max_time;	/* of history that was read for an object; PG_INT64_MIN: none */

	/* SP_EVENT_REPORT */
	char	   *report;
	Size		report_size;
} SpEvent;

extern void sp_event_free(SpEvent *event);

/* Writing, by feed. */
extern SpEvent *sp_event_create(SpEventKind kind);
extern void sp_event_set_report(SpEvent *event, const char *report, Size size);
extern SpSpool *sp_spool_create(void);
extern void sp_spool_free(SpSpool *spool);

/* Copy a finished chunk in.  May move older chunks of this spool to a temporary file. */
extern void sp_spool_add(SpSpool *spool, const SpChunk *chunk);

/* The same; the copy's source and shape are these. */
extern void sp_spool_add_as(SpSpool *spool, const SpChunk *chunk, Oid source, uint32 shape);

/* The same, as part of no transaction: nothing of this spool is ever aborted or reordered. */
extern void sp_spool_keep(SpSpool *spool, const SpChunk *chunk);

/* Forget what this aborted (sub)transaction wrote. */
extern void sp_spool_abort(SpSpool *spool, TransactionId xid);

extern Size sp_spool_memory(const SpSpool *spool);	/* bytes held in memory */
extern Size sp_spool_memory_total(void);	/* of all spools */
extern uint64 sp_spool_rows(const SpSpool *spool);	/* not aborted */

/*
 * Reading, by the engine, any number of times: surviving chunks in the order
 * written (SpChunk.sequence where chunks of one source came out of order).  The
 * chunk is valid until the next call or sp_spool_rewind().
 */
extern void sp_spool_rewind(SpSpool *spool);
extern const SpChunk *sp_spool_next(SpSpool *spool);

#endif
