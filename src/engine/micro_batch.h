/*
 * micro_batch.h
 *	  Detectors with a batch method: rows wait until their micro-batch ends, and are then scored
 *	  all at once, together with the history of their keys.
 *
 * A micro-batch ends with the commit, or with what the first event seals of a window, where trigger
 * is 0; else with the first event that comes so long after the commit of its first row, before
 * that event's rows: a commit of the stream, or, where nothing comes, a tick in the WAL.  In
 * any case it ends with the row that makes it trigger_rows, or too large.  So where it ends follows
 * from the WAL alone.  History has no commits: there it ends by event time, by its rows, and with
 * the last one.
 *
 * Each key is scored for itself: the points of the batch, behind those of its history, in the order in
 * which they came.  Its history are the last history_rows points before the batch, of them those
 * later than the latest event time of the key, the batch included, less history.
 *
 * State by key are its points, and of the batch at work what makes result rows of them.  It is
 * durable as any group's value, so that a checkpoint may come between two rows of a batch.
 */
#ifndef SP_ENGINE_MICRO_BATCH_H
#define SP_ENGINE_MICRO_BATCH_H

#include "engine/detector.h"

/* A point of the batch at work: what its result row needs beside. */
typedef struct SpMicroRow
{
	XLogRecPtr	lsn;
	int64		ordinal;
	int64		number;			/* within the batch */
	NullableDatum *carry;		/* [ncarry] */
} SpMicroRow;

/* A key's, behind its series. */
typedef struct SpMicroKey
{
	int32		n;				/* points, in the order in which they came */
	int32		nrows;			/* so many of them, the last ones, are of the batch at work */
	int32		allocated;		/* points */
	int32		rows_allocated;
	int64		latest;			/* largest event time not beyond max_future; SP_NO_WATERMARK */
	double	   *x;				/* [n * features] */
	int64	   *times;			/* [n] in the unit of the source */
	SpMicroRow *rows;			/* [nrows] */
} SpMicroKey;

/* What page 0 has of the batch at work; all 0 between two batches. */
typedef struct SpMicroHead
{
	int64		nrows;
	int64		bytes;			/* that are carried along */
	TimestampTz begun;			/* when its first row was committed */
} SpMicroHead;

struct SpMicro
{
	MemoryContext context;		/* points; the context of the groups is below it */
	MemoryContext batch_context;	/* rows of the batch at work */
	SpKeyColumn *carry;			/* types of what is carried along */
	Bitmapset  *pages;			/* on which there are keys that have rows in the batch */
	SpMicroHead head;
};

static inline bool
sp_micro_has(const SpDetector *d)
{
	return d->micro != NULL;
}

/* Bytes behind a group's series. */
static inline Size
sp_micro_size(const SpMethod *method)
{
	return method->judge.kernel != NULL && method->judge.kernel->batch != NULL ?
		sizeof(SpMicroKey) : 0;
}

static inline SpMicroKey *
sp_micro_key(SpDetector *d, SpGroup *group)
{
	return (SpMicroKey *) (sp_group_value(&d->groups, group) + sp_series_size(d->method));
}

/* ---- micro_batch.c ---- */

/* For a detector that is being opened: before its groups are made, and then. */
extern void sp_micro_open(SpDetector *d);
extern void sp_micro_open_groups(SpDetector *d);

/* A key is new. */
extern void sp_micro_init(SpDetector *d, SpGroup *group);

/* Row i, which passes, belongs to the group. */
extern void sp_micro_add(SpDetector *d, SpRowSet *rows, const SpEvaluated *ev, int i,
						 SpGroup *group);

/* An event is over, which was committed then. */
extern void sp_micro_advance(SpDetector *d, TimestampTz time);

/* History is over. */
extern void sp_micro_finish(SpDetector *d);

/* When, on the clock, the batch at work ends if nothing comes; PG_INT64_MAX: there is none. */
extern TimestampTz sp_micro_due(const SpDetector *d);

/* Have room for so many points of a key. */
extern void sp_micro_make_room(SpDetector *d, SpMicroKey *key, int64 n);

/* ---- micro_score.c: a key's rows, in a memory context that doesn't last; false: that has failed ---- */
extern bool sp_micro_score(SpDetector *d, SpGroup *group, bool backfill);

/* ---- micro_page.c: durable form; read returns NULL where it isn't one ---- */
extern void sp_micro_write(SpDetector *d, SpGroup *group, StringInfo buf);
extern const char *sp_micro_read(SpDetector *d, SpGroup *group, const char *p, const char *end);

/* SpValueRelease */
extern void sp_micro_release(void *detector, SpGroup *group);

#endif
