/*
 * session_close.c
 *	  Session windows: what the watermark closes, forgetting, durable form.
 *
 * The sessions of each phase stand in a heap, by end and then in order of creation, which
 * is the order in which they are closed and handed on.  Rows move ends all the time, always
 * forward: a session's place is put right only when it comes to the front.
 */
#include "engine/session.h"

#include "base/compat.h"
#include "engine/sample.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

/* ---- phases ---- */

/* pairingheap_comparator: the earliest due first. */
int
sp_session_compare(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	const SpSession *x = pairingheap_const_container(SpSession, node, a);
	const SpSession *y = pairingheap_const_container(SpSession, node, b);

	if (x->due != y->due)
		return x->due < y->due ? 1 : -1;
	if (x->group->sequence != y->group->sequence)
		return x->group->sequence < y->group->sequence ? 1 : -1;
	return 0;
}

/* The session is in that phase. */
void
sp_session_enter(SpSessions *s, SpSession *session, SpSessionPhase phase)
{
	session->phase = phase;
	session->due = sp_session_end(s, session);
	pairingheap_add(s->phases[phase], &session->node);
}

/* It is no more. */
void
sp_session_leave(SpSessions *s, SpSession *session)
{
	pairingheap_remove(s->phases[session->phase], &session->node);
	session->phase = SP_SESSION_NONE;
}

/* The session of that phase that ends first, or NULL. */
static SpSession *
find_next(SpSessions *s, SpSessionPhase phase)
{
	pairingheap *heap = s->phases[phase];

	while (!pairingheap_is_empty(heap))
	{
		SpSession  *session = pairingheap_container(SpSession, node, pairingheap_first(heap));

		if (session->due == sp_session_end(s, session))
			return session;
		sp_session_leave(s, session);
		sp_session_enter(s, session, phase);
	}
	return NULL;
}

/* The same, if it ends by then. */
static SpSession *
find_due(SpSessions *s, SpSessionPhase phase, int64 end)
{
	SpSession  *session = find_next(s, phase);

	CHECK_FOR_INTERRUPTS();
	return session != NULL && session->due <= end ? session : NULL;
}

/* Before the first event of all sessions that aren't closed. */
int64
sp_session_oldest(SpWindow *w)
{
	List	   *sessions = sp_bucket_sorted_groups(&w->groups);
	int64		oldest = DT_NOEND;
	ListCell   *lc;

	foreach(lc, sessions)
	{
		SpGroup    *group = lfirst(lc);
		SpSession  *session = sp_session_of(w, group);

		if (!(group->flags & SP_GROUP_GONE) && session->phase != SP_SESSION_CLOSED)
			oldest = Min(oldest, session->first - 1);
	}
	list_free(sessions);
	return oldest;
}

/* ---- closing ---- */

/* The watermark up to which sessions are closed; that of the clock may be ahead (clock.c). */
int64
sp_session_watermark(const SpWindow *w)
{
	return w->upstream != NULL ? w->advanced_to : sp_clock_watermark(w);
}

/* Closed sessions whose last event is there, or before, are forgotten: see session.c. */
int64
sp_session_horizon(const SpWindow *w, int64 data_watermark)
{
	int64		gap = w->sessions->gap;

	return sp_clock_behind(data_watermark,
						   sp_clock_add(sp_clock_add(sp_clock_add(gap, gap), gap),
										w->def->grace_us));
}

/* A closed session may be forgotten from now on: the one behind it takes nothing before it. */
void
sp_session_raise_floor(SpWindow *w, SpSession *session)
{
	SpSession  *next = sp_session_key_next(w->sessions, session);

	if (next == NULL || next->floor >= session->last)
		return;
	sp_group_changing(&w->groups, next->group);
	next->floor = session->last;
	sp_group_changed(&w->groups, next->group);
}

/* The watermark has passed its end. */
static void
finish(SpWindow *w, SpSession *session)
{
	SpGroup    *group = session->group;

	sp_group_changing(&w->groups, group);
	sp_session_leave(w->sessions, session);
	sp_session_enter(w->sessions, session, SP_SESSION_FINAL);
	sp_group_changed(&w->groups, group);
	sp_sample_note(w, group);
	if (group->flags & SP_GROUP_FINAL)
		return;
	group->flags |= SP_GROUP_FINAL;
	sp_output_group(&w->output, group);
}

/* Nothing amends it any more: whoever reads the window gets it, once. */
static void
seal(SpWindow *w, SpSession *session, SpFeed *feed)
{
	SpGroup    *group = session->group;

	sp_group_changing(&w->groups, group);
	sp_session_leave(w->sessions, session);
	sp_session_enter(w->sessions, session, SP_SESSION_CLOSED);
	sp_session_key_count(w->sessions, session, false);
	sp_group_changed(&w->groups, group);
	sp_session_raise_floor(w, session);
	if (group->flags & SP_GROUP_SEALED)
		return;
	group->flags |= SP_GROUP_SEALED;
	sp_result_feed_group(feed, group);
}

/* SpWindowOps.close */
static void
close_sessions(SpWindow *w, int64 watermark, XLogRecPtr lsn, TimestampTz time)
{
	SpSessions *s = w->sessions;
	int64		sealed = sp_clock_behind(watermark, w->def->grace_us);
	SpSession  *session;
	SpFeed		feed;

	while ((session = find_due(s, SP_SESSION_OPEN, watermark)) != NULL)
		finish(w, session);
	sp_result_feed_begin(&feed, w, lsn, time);
	while ((session = find_due(s, SP_SESSION_FINAL, sealed)) != NULL)
		seal(w, session, &feed);
	sp_result_feed_end(&feed);
}

/* SpWindowOps.purge */
static void
purge_sessions(SpWindow *w, int64 data_watermark)
{
	SpSessions *s = w->sessions;
	int64		horizon = sp_session_horizon(w, data_watermark);
	SpSession  *session;

	if (horizon == SP_NO_WATERMARK)
		return;
	while ((session = find_due(s, SP_SESSION_CLOSED, sp_clock_add(horizon, s->gap))) != NULL &&
		   (session->group->flags & SP_GROUP_DIRTY) == 0)
	{
		sp_group_changing(&w->groups, session->group);
		sp_session_leave(s, session);
		sp_session_key_remove(s, session);
		sp_session_give_up(w, session);
		sp_group_remove(&w->groups, session->group);
	}
}

/* SpWindowOps.next_due */
static int64
next_due(const SpWindow *w)
{
	SpSession  *open = find_next(w->sessions, SP_SESSION_OPEN);
	SpSession  *final = find_next(w->sessions, SP_SESSION_FINAL);
	int64		due = open != NULL ? open->due : DT_NOEND;

	if (final != NULL && sp_result_is_read(w))
		due = Min(due, sp_clock_add(final->due, w->def->grace_us));
	return due;
}

/* SpWindowOps.bounds */
static void
get_bounds(SpWindow *w, SpGroup *group, int64 *start, int64 *end)
{
	SpSession  *session = sp_session_of(w, group);

	*start = session->first;
	*end = sp_session_end(w->sessions, session);
}

/* SpWindowOps.changed: the result row and the state of a group. */
static void
group_changed(SpWindow *w, SpGroup *group)
{
	sp_group_changed(&w->groups, group);
	sp_sample_note(w, group);
	if (!w->def->emit_final || (group->flags & SP_GROUP_FINAL))
		sp_output_group(&w->output, group);
}

/* SpWindowOps.remove: it has ended, and nothing but its group is left. */
static void
remove_group(SpWindow *w, SpGroup *group)
{
	sp_group_remove(&w->groups, group);
}

/* ---- durable form ---- */

/* SpValueWrite: of a group that is gone only what tells its result row. */
static void
write_value(void *window, SpGroup *group, StringInfo buf)
{
	SpWindow   *w = window;
	SpSession  *session = sp_session_of(w, group);
	int64		times[3] = {session->first, session->last, session->floor};
	uint8		phase = session->phase;

	appendBinaryStringInfo(buf, (char *) times, sizeof(times));
	appendBinaryStringInfo(buf, (char *) &phase, 1);
	if (group->flags & SP_GROUP_GONE)
		return;
	if (session->rows != NULL)
		sp_session_rows_write(w->sessions, session->rows, buf);
	sp_window_write_value(w, group, buf);
}

/* SpValueRead */
static void
read_value(void *window, SpGroup *group, const char **p, const char *end)
{
	SpWindow   *w = window;
	SpSession  *session = sp_session_of(w, group);
	bool		gone = (group->flags & SP_GROUP_GONE) != 0;
	int64		times[3];
	uint8		phase;

	sp_read_bytes(p, end, times, sizeof(times));
	sp_read_bytes(p, end, &phase, 1);
	session->first = times[0];
	session->last = times[1];
	session->floor = times[2];
	session->phase = phase;
	session->group = group;
	if (!IS_VALID_TIMESTAMP(session->first) || session->first > session->last ||
		session->last >= END_TIMESTAMP - w->sessions->gap ||
		gone != (phase >= SP_SESSION_PHASES))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a session on a state page is damaged"),
				 errhint("Rebuild the object with streamproc.resume().")));
	if (gone)
		return;
	if (w->sessions->keeps_rows)
		sp_session_rows_read(w->sessions, session, p, end);
	sp_window_read_value(w, group, p, end);
}

/* A session that was loaded goes to those of its key. */
static void
link_session(SpWindow *w, SpSession *session)
{
	SpSessions *s = w->sessions;
	const Datum *keys = sp_group_keys(&w->groups, session->group);
	const bool *nulls = sp_group_nulls(&w->groups, session->group);
	uint32		hash;
	SpSessionKey *key = sp_session_key_find(s, keys, nulls, &hash);

	if (key == NULL)
		key = sp_session_key_add(s, keys, nulls, hash);
	sp_session_key_insert(s, key, session);
	sp_session_enter(s, session, session->phase);
	sp_session_key_count(s, session, session->phase != SP_SESSION_CLOSED);
}

/* SpWindowOps.loaded */
static void
all_loaded(SpWindow *w)
{
	List	   *loaded = sp_bucket_sorted_groups(&w->groups);
	ListCell   *lc;

	foreach(lc, loaded)
	{
		SpGroup    *group = lfirst(lc);

		if (!(group->flags & SP_GROUP_GONE))
			link_session(w, sp_session_of(w, group));
		if (group->flags & SP_GROUP_DIRTY)
		{
			group->flags &= ~SP_GROUP_DIRTY;
			sp_output_group(&w->output, group);
		}
	}
	list_free(loaded);
}

const SpWindowOps sp_session_ops = {
	.head_size = sizeof(SpSession),
	.needs = SP_AGG_COMBINE,
	.open = sp_session_open,
	.apply = sp_session_apply,
	.truncate = sp_session_truncate,
	.settle = sp_session_mend,
	.close = close_sessions,
	.purge = purge_sessions,
	.next_due = next_due,
	.bounds = get_bounds,
	.changed = group_changed,
	.remove = remove_group,
	.write_value = write_value,
	.read_value = read_value,
	.loaded = all_loaded
};
