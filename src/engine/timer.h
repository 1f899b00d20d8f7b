/*
 * timer.h
 *	  Detectors whose keys may be overdue: what says so is the clock, not a row.
 *
 * A method that has timers (its kernel has due()) says of each key until when it expects a row.
 * When the clock of what the detector reads has passed that, and none has come, the key is
 * anomalous then: once, until it reports again.  The clock is the watermark, which moves at
 * commits and, where nothing comes at all, with ticks in the WAL (idle_timeout): a function of the
 * WAL alone.  In history each row is as if it were a commit of its own.
 *
 * Timers are not durable: they follow from the state of the keys.  Groups of a detector with
 * timers stay in memory, for they are pointed at.
 */
#ifndef SP_ENGINE_TIMER_H
#define SP_ENGINE_TIMER_H

#include "engine/detector.h"

/* Result rows of timers are numbered from here on, behind those of rows. */
#define SP_TIMER_ORDINAL	(INT64CONST(1) << 40)

static inline bool
sp_timer_has(const SpDetector *d)
{
	return d->timers != NULL;
}

/* Bytes behind a group's series: its place among the timers. */
static inline Size
sp_timer_size(const SpMethod *method)
{
	return method->judge.kernel != NULL && method->judge.kernel->due != NULL ? sizeof(int64) : 0;
}

/* Room for timers, of a detector that is being opened. */
extern void sp_timer_open(SpDetector *d);

/* A group is new: it has no timer. */
extern void sp_timer_init(SpDetector *d, SpGroup *group);

/* A key's state has changed. */
extern void sp_timer_set(SpDetector *d, SpGroup *group, const SpMethod *method);

/*
 * So has what is set for it.  What was found overdue while it was muted, and still is, is as if it had
 * not been found: it is told when the clock moves next.
 */
extern void sp_timer_set_for(SpDetector *d, SpGroup *group, const SpOverride *override);

/* The state is loaded, or something is set for all keys. */
extern void sp_timer_set_all(SpDetector *d);

/* The clock has come to where it is with the event at lsn: which keys are overdue? */
extern void sp_timer_advance(SpDetector *d, XLogRecPtr lsn);

/* The same when the watermark of the stream was there. */
extern void sp_timer_advance_to(SpDetector *d, int64 watermark, XLogRecPtr lsn);

/*
 * Row i of history moves the clock as if it were a commit of its own, whether it passes the
 * detector's filter or not; one that is further in the future than max_future doesn't.
 */
extern void sp_timer_pass(SpDetector *d, const SpRowSet *rows, int i);

/* The reach of the stream at which a key is overdue; DT_NOEND: none will be. */
extern int64 sp_timer_reach(const SpDetector *d);

#endif
