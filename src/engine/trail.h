/*
 * trail.h
 *	  What a session knows of a key of a sliding window: the events that later answers can need,
 *	  in order of time, those of one time as they came.
 *
 * A trail has a clock of its own, that of its key: the latest time of its events, as of the
 * transactions before the one at work (within a transaction no clock moves: its rows aren't late
 * against themselves).  By it sp_clock_is_late() and sp_clock_data_watermark() say of the window
 * what they would if there were no other keys.  What they call late is late by the clock of all
 * keys, which is never behind.
 *
 * Invariant, as in sliding.c: no answer is partial.  The trail has all events with a
 *
 *	time > data watermark - 2 * size - grace
 *
 * that it was given, and an event that isn't late is newer than data watermark - size - grace.
 */
#ifndef SP_TRAIL_H
#define SP_TRAIL_H

#include "engine/sliding.h"

#define SP_TRAIL_MOST	((Size) 16 * 1024 * 1024)	/* bytes of a trail in its durable form */

typedef struct SpTrail
{
	MemoryContext context;		/* of the events and their values */
	int64		latest;			/* of the events that move the clock; PG_INT64_MIN: none did */
	int64		settled;		/* that, before the transaction at work */
	uint64		transaction;	/* which that is; 0: none */
	int			n;
	int			allocated;
	Size		bytes;			/* of the durable form, or a little more */
	char	   *events;			/* as in a leaf: sliding.h */
} SpTrail;

/* A key without events; those to come are in the current memory context. */
extern void sp_trail_init(SpTrail *trail);

/* The durable form; reading raises an error if it is damaged, and is into the current context. */
extern void sp_trail_read(const SpWindow *w, SpTrail *trail, const char *data, Size size);
extern void sp_trail_write(const SpWindow *w, const SpTrail *trail, StringInfo buf);

/* A copy, in the current memory context; and giving up what a trail has allocated. */
extern void sp_trail_copy(const SpWindow *w, SpTrail *to, const SpTrail *from);
extern void sp_trail_free(const SpWindow *w, SpTrail *trail);

/*
 * Work on the trail in that transaction (0: each row is one): set the window's clock, and forget
 * what nothing can need any more.
 */
extern void sp_trail_settle(SpWindow *w, SpTrail *trail, uint64 transaction);

/* The events with after < time <= upto, which stand together; how many. */
extern int	sp_trail_find(const SpWindow *w, const SpTrail *trail, int64 after, int64 upto,
						  const SpSlidingEvent **events);

/* Add the event at work.  The clock isn't moved beyond limit. */
extern void sp_trail_add(SpWindow *w, SpTrail *trail, int64 limit);

#endif
