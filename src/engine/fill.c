/*
 * fill.c
 *	  Windows without rows of keys that are alive (fill => 'zero').
 *
 * When a window is closed, each of its keys that has no group in the next one gets an empty
 * one there: so a key lives on from window to window without being kept anywhere else, and
 * comes back after a restart with the groups.  It dies when it has been silent for the
 * window's retention or, without one, for MOST_SILENT windows; a month has 30 days here, and
 * a day 24 hours, so that it is the same number everywhere.
 */
#include "engine/internal.h"

#include "base/compat.h"

#define MOST_SILENT 10000

/* Windows after which a key is dead. */
static int64
most_silent(const SpWindow *w)
{
	const SpWindowDef *def = w->def;
	int64		step = sp_definition_interval_us(def->window_kind == SP_WINDOW_TUMBLING ?
												 &def->size : &def->slide);

	if (def->retention_us == 0)
		return MOST_SILENT;
	return Max(1, Min(def->retention_us / step, MOST_SILENT));
}

/* How many windows has the key been silent at the end of this group's? */
static int64
silent_after(SpWindow *w, SpGroup *group)
{
	SpTally    *tally = sp_window_tally(w, group);

	return tally->rows > 0 ? 0 : tally->silent + 1;
}

/* The key of a group whose window is being closed, or was, lives on in the next one. */
void
sp_fill_carry_group(SpWindow *w, SpGroup *group, int64 at, int64 start, int64 end)
{
	SpPlacement place = {0, at, start, end};
	const Datum *keys = sp_group_keys(&w->groups, group);
	const bool *nulls = sp_group_nulls(&w->groups, group);
	int64		silent = silent_after(w, group);
	uint32		hash;
	SpGroup    *next;

	if (!w->def->fill_zero || silent >= most_silent(w))
		return;
	hash = sp_window_hash(w, at, keys, nulls);
	next = sp_window_find_group(w, hash, at, keys, nulls);
	if (next != NULL)
	{
		sp_window_tally(w, next)->silent = silent;
		sp_group_changed(&w->groups, next);
		return;
	}
	next = sp_window_add_group(w, hash, &place, keys, nulls);
	sp_window_tally(w, next)->silent = silent;
	w->ops->changed(w, next);
}

/* The keys of a bucket that is being closed live on in the next one. */
void
sp_fill_carry(SpWindow *w, SpBucket *bucket, int64 at, int64 start, int64 end)
{
	dlist_iter	iter;

	if (!w->def->fill_zero)
		return;
	dlist_foreach(iter, &bucket->groups)
		sp_fill_carry_group(w, dlist_container(SpGroup, node, iter.cur), at, start, end);
}
