/*
 * starting.h
 *	  An object that is being filled: what starting.c and catch_up.c share.
 */
#ifndef SP_STARTING_H
#define SP_STARTING_H

#include "engine/internal.h"

/* kept.c */
typedef struct SpKept SpKept;

extern SpKept *sp_kept_create(MemoryContext context);
extern void sp_kept_free(SpKept *kept);
extern void sp_kept_add(SpKept *kept, const SpChunk *chunk);
extern const SpChunk *sp_kept_next(SpKept *kept);

/* Stands before the rows of each commit that is kept, as a chunk of no relation. */
typedef struct SpKeptEvent
{
	SpChunk		chunk;
	XLogRecPtr	lsn;
	TransactionId xid;			/* invalid: a tick, or rows of a window */
	uint32		unused;
	TimestampTz time;
	int64		max_time;		/* the stream's clock after it */
	int64		watermark;
	int64		first_ordinal;	/* of a window's rows */
	uint64		admitted;		/* tells which of its rows the stream has admitted */
} SpKeptEvent;

typedef struct SpStarting
{
	MemoryContext context;
	SpObjectDef *def;			/* in sp_engine.definitions */
	int32		id;
	bool		reads_window;	/* else a stream */
	bool		keeps;			/* false: the window it reads is not handed over yet */
	bool		filled;			/* the helper is done, the object open */

	SpBackfillArea *area;		/* until it is filled */
	uint32		seen_phase;
	uint32		seen_waits_for;
	/* the helper's snapshot, once it is taken */
	bool		is_cut;
	XLogRecPtr	cut_lsn;
	TransactionId xmin;
	TransactionId xmax;
	uint32		nxip;
	TransactionId *xip;

	/* the clock: of the real stream when keeping began, then of history */
	int64		max_time;
	int64		watermark;
	int64		history_max;	/* PG_INT64_MIN: none */

	SpKept	   *kept;

	/* filled: the object, on a stream of its own, under a definition that is running */
	SpStream   *shadow;			/* NULL: a detector on a window, which has no clock */
	SpWindow   *window;
	SpDetector *detector;
	SpWindowDef window_def;
	SpDetectorDef detector_def;
	bool		in_event;
	SpKeptEvent	event;			/* being applied */
	bool		skip;			/* the snapshot has seen it */
	int			postponed;		/* how often others' results stood in the way */
	bool		broken;			/* what was to be kept couldn't be */
	bool		exchanged;		/* the streams' dedup memories are */
	bool		publishing;		/* nothing but publication is left, and may be tried again */
	TimestampTz retry_at;		/* not before; 0: now */
} SpStarting;

#define SP_STARTING_RETRY_MS	100 /* a lock, or others' results, stand in the way */

/* starting.c: the one that there is, or NULL. */
extern SpStarting *sp_starting;

extern void sp_starting_retry(int ms);
extern void sp_starting_end(bool with_object);
extern bool sp_starting_in_history(TransactionId xid);
extern SpWindow *sp_starting_upstream(void);
extern SpStream *sp_starting_stream(void);

/* catch_up.c */
extern void sp_catch_up_open(void);
extern void sp_catch_up_follow_definition(void);
extern void sp_catch_up(void);

#endif
