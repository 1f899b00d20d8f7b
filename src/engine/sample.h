/*
 * sample.h
 *	  Rows of a window before they are sealed, for detectors that score each update of them.
 *
 * A detector with sample => 'update' gets a window's row at the end of each event that has changed
 * it, as it is then, without learning from it; and once more, sealed, like any other detector.  An
 * anomaly is told at the first of these events, and never again of the same row.
 */
#ifndef SP_ENGINE_SAMPLE_H
#define SP_ENGINE_SAMPLE_H

#include "engine/internal.h"

/* Of which group of a window a row is. */
struct SpOrigin
{
	uint64		sequence;		/* the group's, in the order of creation */
	int64		until;			/* the watermark at which the row is sealed, as it is now */
	bool		early;			/* it isn't final: more may come */
};

/* What reads the window is one more, or one less. */
extern void sp_sample_attach(SpWindow *w, SpDetector *d);
extern void sp_sample_detach(SpWindow *w, SpDetector *d);

/* The event at work has changed the group's row.  Called where somebody wants to know. */
extern void sp_sample_add(SpWindow *w, const SpGroup *group);

static inline void
sp_sample_note(SpWindow *w, const SpGroup *group)
{
	if (unlikely(w->samples != NULL))
		sp_sample_add(w, group);
}

/* The group is about to become part of another one.  Only where w->samples. */
extern void sp_sample_merge(SpWindow *w, const SpGroup *into, const SpGroup *from);

/* The event is over, windows are closed: hand on the rows that it has changed. */
extern void sp_sample_run(SpWindow *w, XLogRecPtr lsn, TimestampTz time);

/* Of which group a row is. */
extern void sp_sample_describe(SpWindow *w, const SpGroup *group, int64 end, SpOrigin *origin);

/* Which rows a detector has told of. */
extern void sp_sample_open(SpDetector *d);
extern bool sp_sample_was_told(SpDetector *d, const SpOrigin *origin);
extern void sp_sample_tell(SpDetector *d, const SpOrigin *origin);
extern void sp_sample_write_value(void *detector, SpGroup *group, StringInfo buf);
extern void sp_sample_load_page(SpDetector *d, int32 page, const char *data, Size size);

#endif
