/*
 * override.h
 *	  What is set for single keys of a detector: another threshold or direction, that it is
 *	  muted, and what users said of its alerts.
 *
 * The table of overrides is the user's.  Each change of it is a setting in the WAL
 * (base/setting.h), which takes effect where its transaction stands there, before the rows of
 * the same transaction.  The worker keeps what is set as groups of the detector, durable with
 * its other state.  A detector that begins reads the table under the snapshot that is its
 * beginning: settings that this snapshot sees are left out of what comes after it.
 */
#ifndef SP_OVERRIDE_H
#define SP_OVERRIDE_H

#include "postgres.h"

#include "base/setting.h"
#include "engine/internal.h"
#include "engine/method.h"
#include "utils/snapshot.h"

/* Of a key; a durable format. */
typedef struct SpOverride
{
	double		threshold;		/* NaN: the detector's */
	int64		false_positives;
	int64		true_positives;
	int32		direction;		/* SP_DIRECTION_OWN: the detector's; else -1 low, 0 both, 1 high */
	int32		muted;
} SpOverride;

StaticAssertDecl(sizeof(SpOverride) == 32, "SpOverride is a durable format");

/* Room for them, of a detector that is being opened. */
extern void sp_override_open(SpDetector *d);

static inline bool
sp_override_any(const SpDetector *d)
{
	return sp_group_count(&d->overrides) > 0;
}

/* What is set for these keys, or NULL; valid for the rowset at work.  May throw. */
extern const SpOverride *sp_override_find(SpDetector *d, const Datum *keys, const bool *nulls);

/* What is set for the key of one of its groups, or NULL. */
extern const SpOverride *sp_override_of(SpDetector *d, SpGroup *group);

/* The detector's method as it is for a key (NULL: nothing is set for it), perhaps in *tuned. */
extern const SpMethod *sp_override_method(const SpDetector *d, const SpOverride *o, SpMethod *tuned);

/* A transaction's settings, before its rows. */
extern void sp_override_meet(const SpEvent *event);

/* One of them, met at lsn. */
extern void sp_override_apply(SpDetector *d, const SpSetting *setting, XLogRecPtr lsn);

/* Read the table, as the active snapshot sees it. */
extern void sp_override_load(SpDetector *d);

/* The same as it is now, of a detector that begins now. */
extern void sp_override_load_now(SpDetector *d);

/* Values as somebody may have written them: what can't be is as if it weren't there. */
extern void sp_override_clean(const SpDetector *d, SpOverride *o);

/* A direction by its name. */
extern int32 sp_override_direction(const char *name);

/*
 * override_table.c: what the table says of a key, as a snapshot sees it; false: nothing.  With
 * the rights of the detector's owner, and whatever row security says.
 */
extern bool sp_override_look_up(SpDetector *d, const Datum *keys, const bool *nulls,
								Snapshot snapshot, SpOverride *o);

/* Durable form: SpValueWrite, SpValueRead. */
extern void sp_override_write(void *detector, SpGroup *group, StringInfo buf);
extern void sp_override_read(void *detector, SpGroup *group, const char **p, const char *end);

#endif
