/*
 * session_undo.c
 *	  Session windows: what rows at work have done is noted, and undone or for good.
 *
 * What it means for a session, its phase and its result row, comes only when nothing threw.
 */
#include "engine/session.h"

#include "base/compat.h"
#include "common/hashfn.h"
#include "engine/sample.h"
#include "utils/memutils.h"

/* ---- undoing ---- */

/* Note what is about to be done, or has just been done. */
SpSessionUndo *
sp_session_undo_note(SpSessions *s, SpSessionChange change, SpSession *session)
{
	SpSessionUndo *entry;

	if (s->nundo == s->undo_allocated)
	{
		s->undo_allocated *= 2;
		s->undo = repalloc(s->undo, sizeof(SpSessionUndo) * s->undo_allocated);
	}
	entry = &s->undo[s->nundo++];
	memset(entry, 0, sizeof(*entry));
	entry->change = change;
	entry->session = session;
	return entry;
}

/* Before the first change of a session by the rows at work: keep what it is, in the context. */
void
sp_session_undo_touch(SpWindow *w, MemoryContext context, SpSession *session)
{
	char	   *value = sp_group_value(&w->groups, session->group);
	char	   *copy = w->sessions->backup;
	int			a;

	if (session->group->flags & SP_GROUP_TOUCHED)
		return;
	sp_group_changing(&w->groups, session->group);
	sp_session_rows_hold(w->sessions, session);
	if (!w->native)
		copy = MemoryContextAlloc(context, w->value_size);
	memcpy(copy, value, w->value_size);
	for (a = 0; a < w->naggs && !w->native; a++)
		sp_aggregate_copy(w->aggs[a], copy + w->agg_offset[a], value + w->agg_offset[a]);
	sp_session_undo_note(w->sessions, SP_SESSION_TOUCHED, session)->value = copy;
	session->group->flags |= SP_GROUP_TOUCHED;
}

/* Give up what a session has outside of its group. */
void
sp_session_give_up(SpWindow *w, SpSession *session)
{
	sp_window_release_value(w, session->group);
	if (session->rows != NULL)
		sp_session_rows_free(w->sessions, session, true);
}

/* A session that the rows at work have begun was never there. */
static void
undo_begin(SpWindow *w, SpSession *session)
{
	sp_session_key_remove(w->sessions, session);
	sp_session_give_up(w, session);
	sp_group_remove(&w->groups, session->group);
}

/* A session is as it was. */
static void
undo_touch(SpWindow *w, SpSession *session, const char *value)
{
	session->group->flags &= ~SP_GROUP_TOUCHED;
	sp_session_key_count(w->sessions, session, ((const SpSession *) value)->counted);
	sp_window_release_value(w, session->group);
	memcpy(session, value, w->value_size);
}

/* A session is on its own again. */
static void
undo_absorb(SpWindow *w, const SpSessionUndo *entry)
{
	entry->by->last = entry->last;
	entry->session->absorbed = false;
	if (w->sessions->keeps_rows)
		sp_session_rows_part(w->sessions, entry->by->rows, entry->session->rows);
	sp_session_key_insert(w->sessions, entry->by->key, entry->session);
	sp_session_key_count(w->sessions, entry->session, entry->counted);
}

/* Nothing of what was noted has happened. */
void
sp_session_undo_all(SpWindow *w)
{
	SpSessions *s = w->sessions;

	while (s->nundo > 0)
	{
		SpSessionUndo *entry = &s->undo[--s->nundo];

		switch (entry->change)
		{
			case SP_SESSION_BEGUN:
				undo_begin(w, entry->session);
				break;
			case SP_SESSION_TOUCHED:
				undo_touch(w, entry->session, entry->value);
				break;
			case SP_SESSION_ABSORBED:
				undo_absorb(w, entry);
				break;
			case SP_SESSION_KEPT:
				sp_session_rows_remove(s, entry->session->rows, entry->index);
				break;
		}
	}
}

/* ---- settling ---- */

/* A group for a session, on no list but a page's. */
SpSession *
sp_session_make(SpWindow *w, const Datum *keys, const bool *nulls)
{
	int64		number = w->groups.next_sequence;
	SpGroup    *group = sp_group_add(&w->groups, murmurhash32((uint32) number), number, keys, nulls);
	SpSession  *session = sp_session_of(w, group);

	if (w->output.lookup || w->output.replaying)
		group->flags |= SP_GROUP_WRITTEN;
	session->group = group;
	session->phase = SP_SESSION_NONE;
	return session;
}

/* May there be a result row of the session in the table, as far as we know? */
bool
sp_session_may_be_written(const SpWindow *w, const SpGroup *group)
{
	return w->output.lookup || w->output.failures > 0 || (group->flags & SP_GROUP_WRITTEN) != 0;
}

/*
 * The session goes on in another group, for the result row of the old one, which begins at
 * first, is to be deleted.  Its place in the order of creation stays.
 */
SpSession *
sp_session_move(SpWindow *w, SpSession *old, int64 first)
{
	SpGroup    *group = old->group;
	SpSessionPhase phase = old->phase;
	SpSession  *session = sp_session_make(w, sp_group_keys(&w->groups, group),
									   sp_group_nulls(&w->groups, group));
	SpGroup    *moved = session->group;

	sp_session_leave(w->sessions, old);
	memcpy(session, old, w->value_size);
	session->group = moved;
	if (session->rows != NULL)
		session->rows->session = session;
	moved->sequence = group->sequence;
	moved->flags |= group->flags & (SP_GROUP_FINAL | SP_GROUP_SEALED);
	if (session->first == first)
		moved->revision = group->revision;
	sp_session_key_replace(w->sessions, old, session);
	sp_session_enter(w->sessions, session, phase);
	old->key = NULL;
	old->rows = NULL;
	old->counted = false;
	old->first = first;
	sp_output_gone(w, group);
	return session;
}

/* Rows have moved the session's end: which phase is it in?  True: it is final no more. */
static bool
update_phase(SpWindow *w, SpSession *session)
{
	SpSessions *s = w->sessions;
	int64		watermark = sp_session_watermark(w);
	int64		end = sp_session_end(s, session);
	SpSessionPhase phase = session->phase;
	bool		was_final = (session->group->flags & SP_GROUP_FINAL) != 0;

	if (phase == SP_SESSION_OPEN)
		return false;
	if (end > watermark)
		phase = SP_SESSION_OPEN;
	else if (sp_clock_add(end, w->def->grace_us) > watermark)
		phase = SP_SESSION_FINAL;
	if (phase == SP_SESSION_OPEN)
		session->group->flags &= ~SP_GROUP_FINAL;
	if (phase == SP_SESSION_CLOSED)
		sp_session_raise_floor(w, session);
	else if (phase != session->phase)
	{
		sp_session_leave(s, session);
		sp_session_enter(s, session, phase);
	}
	return was_final && phase == SP_SESSION_OPEN;
}

/* A session that rows have begun or changed, whose result row, if any, begins at first. */
static void
settle_session(SpWindow *w, SpSession *session, int64 first)
{
	SpGroup    *group = session->group;
	bool		reopened;

	group->flags &= ~SP_GROUP_TOUCHED;
	if (session->fed)
		group->flags |= SP_GROUP_SEALED;
	session->fed = false;
	if (session->phase == SP_SESSION_NONE)
		sp_session_enter(w->sessions, session, SP_SESSION_OPEN);
	else
	{
		reopened = update_phase(w, session);
		if ((session->first != first && sp_session_may_be_written(w, group)) ||
			(reopened && w->def->emit_final &&
			 (group->flags & (SP_GROUP_DIRTY | SP_GROUP_WRITTEN)) != 0))
			group = sp_session_move(w, session, first)->group;
	}
	sp_group_changed(&w->groups, group);
	sp_sample_note(w, group);
	if (!w->def->emit_final || (group->flags & SP_GROUP_FINAL) != 0)
		sp_output_group(&w->output, group);
}

/* A session that is part of another one now. */
static void
settle_absorbed(SpWindow *w, SpSession *session)
{
	SpGroup    *group = session->group;

	sp_group_changing(&w->groups, group);
	group->flags &= ~SP_GROUP_TOUCHED;
	sp_window_release_value(w, group);
	if (session->rows != NULL)
		sp_session_rows_free(w->sessions, session, false);
	if (session->phase != SP_SESSION_NONE)
		sp_session_leave(w->sessions, session);
	sp_output_gone(w, group);
}

/* A session was touched; its own later fate comes later. */
static void
settle_touched(SpWindow *w, const SpSessionUndo *entry)
{
	SpSession  *was = (SpSession *) entry->value;
	int			a;

	for (a = 0; a < w->naggs; a++)
		sp_aggregate_release(w->aggs[a], entry->value + w->agg_offset[a]);
	if (entry->session->absorbed)
		entry->session->first = was->first; /* as its result row has it */
	else
		settle_session(w, entry->session, was->first);
}

/* What was noted is for good. */
void
sp_session_settle_all(SpWindow *w)
{
	SpSessions *s = w->sessions;
	int			i;

	for (i = 0; w->samples != NULL && i < s->nundo; i++)
	{
		if (s->undo[i].change == SP_SESSION_ABSORBED)
			sp_sample_merge(w, s->undo[i].by->group, s->undo[i].session->group);
	}
	for (i = 0; i < s->nundo; i++)
	{
		SpSessionUndo *entry = &s->undo[i];

		if (entry->change == SP_SESSION_ABSORBED)
			settle_absorbed(w, entry->session);
		else if (entry->change == SP_SESSION_TOUCHED)
			settle_touched(w, entry);
		else if (entry->change == SP_SESSION_BEGUN && !entry->session->absorbed)
			settle_session(w, entry->session, entry->session->first);
	}
	s->nundo = 0;
}
