/*
 * session.c
 *	  Session windows: rows into sessions.
 *
 * Rows of a key that are less than gap apart are one session, from its first event to its
 * last + gap.  A row begins a session, extends one, at either end, or bridges two, which
 * become one: the earlier one absorbs the later.
 *
 *	phase		OPEN			FINAL			CLOSED				forgotten
 *				|				|				|					|
 *	------------+---------------+---------------+-------------------+-------> watermark
 *		  first ... last	last + gap		end + grace			end + grace + 2 gaps
 *
 * What rows are late.  A row is admitted where the session that results, of all that it
 * touches, isn't closed: where its end + grace is ahead of the watermark.  A row that touches
 * a closed session is late, also when it isn't alone: what is closed has been handed on and
 * doesn't change, and without it the row would begin a session which plain SQL over the
 * admitted rows makes one with the closed one.  So of all admitted rows of a key
 *
 *	(I)	two are in one session just when no two neighbours between them are gap apart
 *
 * holds always, and window rows are those of plain SQL.  Rows newer than all before
 * (time > max_time) are never late: only the clock can have closed what they touch, and they
 * amend it, as in other kinds of windows; what reads the window has had it and isn't told.
 *
 * What is forgotten.  (I) needs to know of closed sessions that a row may still touch, however
 * long ago they were closed.  Let W be the window's watermark, D <= W where it would be by
 * data alone, and horizon = D - grace - 3 gaps.  A closed session S is forgotten once
 * S.last <= horizon.  A row that touches it later can't be one that is newer than all before,
 * for max_time >= D > S.end.  So it is late, and must be found to be:
 *
 *	-	when it touches nothing else: it is admitted only if time + gap + grace > W, and then
 *		time - gap > W - grace - 2 gaps > S.last: it doesn't touch S;
 *	-	when it touches an open session U as well, it comes before U's first event, since S and U
 *		are at least gap apart.  U knows its floor, the time below which there may be such an S:
 *		a row before floor + gap isn't taken by U.  The floor is the horizon when U began; of
 *		the closed session before it, if that was remembered, the last event; and again when
 *		the session before it closes.  Every S that was forgotten before U began is below the
 *		horizon of then; every one since then was closed when U began, or closed before U.
 *
 * So a session that rows make longer at its front, each one older than the one before, may
 * go back two gaps before what was on time when it began, or to the session before it.  The
 * floor is part of the state, and the horizon moves with events of the WAL only: when things
 * are really forgotten (their results must be written first) makes no difference.
 *
 * Groups.  A session has a group of its own, whose number, not its time, tells it from others
 * (SpGroup.start).  Its result row is found by window_start and keys.  So when the first event
 * changes and the row may be in the table, the session moves to a new group, in the place of
 * the old one, whose row is deleted; likewise, with emit 'final', when a final session is
 * extended beyond the watermark: its row comes again when it is final again.
 *
 * Undoing.  What a row or, where aggregates may throw, a rowset does is noted before it is
 * done; lists of keys are put right at once, all else is settled when nothing threw.
 */
#include "engine/session.h"

#include "base/compat.h"
#include "base/guc.h"
#include "common/hashfn.h"
#include "common/int.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* What became of a row. */
typedef enum Verdict
{
	SKIPPED,					/* it doesn't pass the filter, or has failed before */
	TAKEN,
	LATE,
	OUT_OF_RANGE
} Verdict;

/* Rows at work. */
typedef struct Work
{
	SpWindow   *window;
	SpRowSet   *rows;
	SpEvaluated *ev;
	Verdict    *verdict;		/* by row */
	int			first;			/* for take_rows(): from here */
	int			last;			/* to here */
} Work;

/* Where a row belongs. */
typedef struct Spot
{
	SpSessionKey *key;			/* NULL: there is none */
	uint32		hash;			/* of the key */
	int			position;		/* of the first session that it touches */
	int			touched;		/* so many, at most two */
	int64		end;			/* of the session that results */
} Spot;

/* SpWindowOps.open */
void
sp_session_open(SpWindow *w)
{
	SpSessions *s = palloc0(sizeof(SpSessions));
	int			i;

	w->sessions = s;
	w->result_groups = &w->groups;
	s->context = w->context;
	s->gap = w->def->gap_us;
	for (i = 0; i < SP_SESSION_PHASES; i++)
		s->phases[i] = pairingheap_allocate(sp_session_compare, w);
	s->undo_allocated = 8;
	s->undo = palloc(sizeof(SpSessionUndo) * s->undo_allocated);
	s->backup = palloc(w->value_size);
	sp_session_key_init(w);
	if (w->retracts)
		sp_session_rows_open(w);
}

/* ---- undoing ---- */

/* Note what is about to be done, or has just been done. */
static SpSessionUndo *
note(SpSessions *s, SpSessionChange change, SpSession *session)
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

/* Before the first change of a session by the rows at work: keep what it is. */
static void
touch(Work *work, SpSession *session)
{
	SpWindow   *w = work->window;
	char	   *value = sp_group_value(&w->groups, session->group);
	char	   *copy = w->sessions->backup;
	int			a;

	if (session->group->flags & SP_GROUP_TOUCHED)
		return;
	sp_group_changing(&w->groups, session->group);
	sp_session_rows_hold(w->sessions, session);
	if (!w->native)
		copy = MemoryContextAlloc(work->rows->context, w->value_size);
	memcpy(copy, value, w->value_size);
	for (a = 0; a < w->naggs && !w->native; a++)
		sp_aggregate_copy(w->aggs[a], copy + w->agg_offset[a], value + w->agg_offset[a]);
	note(w->sessions, SP_SESSION_TOUCHED, session)->value = copy;
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
static void
undo_all(SpWindow *w)
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
static void
settle_all(SpWindow *w)
{
	SpSessions *s = w->sessions;
	int			i;

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

/* ---- rows ---- */

/* The keys of row i. */
static void
get_keys(const Work *work, int i, Datum *keys, bool *nulls)
{
	int			k;

	for (k = 0; k < work->window->nkeys; k++)
	{
		keys[k] = work->ev->result[k][i].value;
		nulls[k] = work->ev->result[k][i].isnull;
	}
}

/* What a row of this time touches. */
static void
find_touched(const SpSessions *s, int64 time, Spot *spot)
{
	const SpSessionKey *key = spot->key;
	int			i;

	spot->end = time + s->gap;
	spot->touched = 0;
	if (key == NULL)
		return;
	i = spot->position = sp_session_key_position(s, key, time);
	/* gap apart from one another, there are at most two */
	for (; i < key->n && key->list[i]->first < time + s->gap; i++)
	{
		spot->touched++;
		spot->end = Max(spot->end, sp_session_end(s, key->list[i]));
	}
}

/* Is it too late for row i?  See above. */
static bool
is_late(const SpWindow *w, const SpRowSet *rows, int64 time, const Spot *spot)
{
	SpSession **touched;
	int			i;

	if (rows->backfill)
		return false;
	/* what was lost of an earlier life may have been gap away */
	if (time < w->floor || sp_clock_is_late(w, rows, time, spot->end))
		return true;
	if (spot->touched == 0 || time > w->stream->max_time)
		return false;
	touched = spot->key->list + spot->position;
	if (w->retracts && time < touched[0]->first &&
		sp_clock_is_late(w, rows, time, time + w->sessions->gap))
		return true;			/* see session_retract.c */
	for (i = 0; i < spot->touched; i++)
	{
		if (touched[i]->phase == SP_SESSION_CLOSED)
			return true;
	}
	return time < touched[0]->first && touched[0]->floor != SP_NO_WATERMARK &&
		time < sp_clock_add(touched[0]->floor, w->sessions->gap);
}

/* The time below which sessions of the key may be forgotten, or are closed. */
static int64
find_floor(const SpWindow *w, const Spot *spot)
{
	int64		now = Min(sp_clock_data_watermark(w), sp_session_watermark(w));
	int64		floor = sp_session_horizon(w, now);
	const SpSession *before;

	if (spot->key == NULL || spot->position == spot->key->first)
		return floor;
	before = spot->key->list[spot->position - 1];
	return before->phase == SP_SESSION_CLOSED ? Max(floor, before->last) : floor;
}

/* Row i begins a session. */
static SpSession *
begin(Work *work, int i, const Datum *keys, const bool *nulls, Spot *spot)
{
	SpWindow   *w = work->window;
	SpSession  *session = sp_session_make(w, keys, nulls);

	session->first = session->last = work->rows->time[i];
	session->floor = find_floor(w, spot);
	sp_window_init_value(w, session->group);
	if (w->sessions->keeps_rows)
		sp_session_rows_begin(w->sessions, session);
	if (spot->key == NULL)
		spot->key = sp_session_key_add(w->sessions, keys, nulls, spot->hash);
	sp_session_key_insert(w->sessions, spot->key, session);
	sp_session_key_count(w->sessions, session, true);
	session->group->flags |= SP_GROUP_TOUCHED;
	note(w->sessions, SP_SESSION_BEGUN, session);
	return session;
}

/* The aggregates take row i; NULL, or why they can't.  May throw. */
static const char *
advance(Work *work, SpSession *session, int i, int *sqlstate)
{
	SpWindow   *w = work->window;
	char	   *value = (char *) session;
	NullableDatum args[SP_MAX_AGG_ARGS];
	const char *message = NULL;
	int			a,
				j;

	for (a = 0; a < w->naggs && message == NULL; a++)
	{
		if (!sp_window_takes(w, work->ev, a, i))
			continue;
		for (j = 0; j < sp_aggregate_nargs(w->aggs[a]); j++)
			args[j] = work->ev->result[w->agg_first_arg[a] + j][i];
		message = sp_aggregate_advance(w->aggs[a], value + w->agg_offset[a], args, sqlstate);
	}
	return message;
}

/* The session behind it becomes part of it; NULL, or why it can't.  May throw. */
static const char *
absorb(Work *work, SpSession *session, SpSession *next, int *sqlstate)
{
	SpWindow   *w = work->window;
	const char *message;
	SpSessionUndo *entry;
	bool		counted = next->counted;
	int			a;

	for (a = 0; a < w->naggs; a++)
	{
		message = sp_aggregate_combine(w->aggs[a], (char *) session + w->agg_offset[a],
									   (char *) next + w->agg_offset[a], sqlstate);
		if (message != NULL)
			return message;
	}
	if (w->sessions->keeps_rows)
	{
		sp_session_rows_hold(w->sessions, next);
		message = sp_session_rows_join(w->sessions, session->rows, next->rows, sqlstate);
		if (message != NULL)
			return message;
	}
	sp_session_key_remove(w->sessions, next);
	entry = note(w->sessions, SP_SESSION_ABSORBED, next);
	entry->by = session;
	entry->last = session->last;
	entry->counted = counted;
	next->absorbed = true;
	session->last = next->last;
	/* what reads the window has had a part of it: never twice */
	session->fed |= next->fed || (next->group->flags & SP_GROUP_SEALED) != 0;
	return NULL;
}

/* The session keeps row i, if its rows may be taken back; NULL, or why it can't. */
static const char *
keep(Work *work, SpSession *session, int i, int *sqlstate)
{
	SpSessions *s = work->window->sessions;
	const char *message;
	int			index;

	if (!s->keeps_rows)
		return NULL;
	message = sp_session_rows_add(s, session->rows, work->rows->time[i], work->ev, i, &index,
								  sqlstate);
	if (message == NULL)
		note(s, SP_SESSION_KEPT, session)->index = index;
	return message;
}

/* Would the row's key be one too many?  Known are those that have a session that isn't closed. */
static inline bool
is_full(const SpSessions *s, const Spot *spot)
{
	return sp_guc_max_keys > 0 && s->nlive_keys >= sp_guc_max_keys &&
		(spot->key == NULL || spot->key->nlive == 0);
}

/* A row has changed the session: is it closed, or will it be at once? */
static inline bool
is_live(const SpWindow *w, const SpSession *session)
{
	return session->phase == SP_SESSION_OPEN || session->phase == SP_SESSION_NONE ||
		sp_clock_add(sp_session_end(w->sessions, session),
					 w->def->grace_us) > sp_session_watermark(w);
}

/* Row i.  May throw, after which undo_all() is due; so it is with a message. */
static const char *
take_row(Work *work, int i, int *sqlstate)
{
	SpWindow   *w = work->window;
	int64		time = work->rows->time[i];
	int64		end;
	Datum		keys[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	Spot		spot;
	SpSession  *session;
	SpSession  *next = NULL;
	const char *message;

	work->verdict[i] = OUT_OF_RANGE;
	if (!IS_VALID_TIMESTAMP(time) || pg_add_s64_overflow(time, w->sessions->gap, &end) ||
		!IS_VALID_TIMESTAMP(end))
		return NULL;
	get_keys(work, i, keys, nulls);
	spot.key = sp_session_key_find(w->sessions, keys, nulls, &spot.hash);
	find_touched(w->sessions, time, &spot);
	work->verdict[i] = LATE;
	if (is_late(w, work->rows, time, &spot))
		return NULL;
	if (is_full(w->sessions, &spot))
		return sp_window_refuse_key(sqlstate);
	work->verdict[i] = TAKEN;
	if (spot.touched == 0)
	{
		session = begin(work, i, keys, nulls, &spot);
		message = advance(work, session, i, sqlstate);
		return message != NULL ? message : keep(work, session, i, sqlstate);
	}
	session = spot.key->list[spot.position];
	if (spot.touched > 1)
		next = spot.key->list[spot.position + 1];
	touch(work, session);
	message = advance(work, session, i, sqlstate);
	if (message == NULL && next != NULL)
		message = absorb(work, session, next, sqlstate);
	if (message == NULL)
		message = keep(work, session, i, sqlstate);
	session->first = Min(session->first, time);
	session->last = Max(session->last, time);
	sp_session_key_count(w->sessions, session, is_live(w, session));
	return message;
}

/* Count row i, or say why not. */
static void
report(Work *work, int i)
{
	SpWindow   *w = work->window;

	switch (work->verdict[i])
	{
		case TAKEN:
			w->rows++;
			break;
		case LATE:
			sp_late_reject(w, work->rows, i);
			break;
		case OUT_OF_RANGE:
			sp_output_dead(&w->output, work->rows, i, "time_range", "22008",
						   "the session of the row's event time is out of range");
			break;
		case SKIPPED:
			break;
	}
}

/* The aggregates can't take row i. */
static void
reject(Work *work, int i, int sqlstate, const char *message)
{
	SpPlacement place = {i, 0, work->rows->time[i], work->rows->time[i]};

	sp_output_dead(&work->window->output, work->rows, i, sp_window_reason(message),
				   unpack_sql_state(sqlstate), message);
	sp_refusal_note(work->window, work->rows, work->ev, &place);
}

/* All aggregates native, keys of built-in types: nothing throws. */
static void
apply_native(Work *work)
{
	SpWindow   *w = work->window;
	int			i;

	for (i = 0; i < work->rows->n; i++)
	{
		const char *message;
		int			sqlstate = 0;

		if (!work->ev->pass[i])
			continue;
		message = take_row(work, i, &sqlstate);
		if (likely(message == NULL))
		{
			settle_all(w);
			report(work, i);
			continue;
		}
		undo_all(w);
		reject(work, i, sqlstate, message);
	}
}

/* Rows first to last; for sp_run_guarded(). */
static void
take_rows(void *arg)
{
	Work	   *work = arg;
	int			i;

	for (i = work->first; i <= work->last; i++)
	{
		const char *message;
		int			sqlstate = 0;

		if (!work->ev->pass[i])
			continue;
		message = take_row(work, i, &sqlstate);
		if (message != NULL)
			ereport(ERROR, (errcode(sqlstate), errmsg_internal("%s", message)));
	}
}

/* Rows first to last: all or, with false and *error, none. */
static bool
apply_guarded(Work *work, int first, int last, ErrorData **error)
{
	SpWindow   *w = work->window;
	int			i;

	work->first = first;
	work->last = last;
	if (!sp_run_guarded(w->expressions, work->rows->context, take_rows, work, error))
	{
		undo_all(w);
		return false;
	}
	settle_all(w);
	for (i = first; i <= last; i++)
		report(work, i);
	return true;
}

/* One row, with some patience: see sp_run_patiently(). */
static bool
apply_row(Work *work, int i, ErrorData **error)
{
	int			attempt;

	for (attempt = 1; attempt <= SP_ATTEMPTS; attempt++)
	{
		if (apply_guarded(work, i, i, error))
			return true;
		if (!sp_error_is_environment(*error))
			break;
	}
	return false;
}

/* Some transitions or key comparisons may throw: the rows that do become dead letters. */
static void
apply_generic(Work *work)
{
	ErrorData  *error;
	int			i;

	if (apply_guarded(work, 0, work->rows->n - 1, &error))
		return;
	for (i = 0; i < work->rows->n; i++)
	{
		if (work->ev->pass[i] && !apply_row(work, i, &error))
			reject(work, i, error->sqlerrcode, error->message);
	}
}

/* SpWindowOps.apply */
void
sp_session_apply(SpWindow *w, SpRowSet *rows, SpEvaluated *ev)
{
	Work		work = {w, rows, ev};

	if (rows->retract)
	{
		sp_session_take_back(w, rows, ev);
		return;
	}
	work.verdict = MemoryContextAllocZero(rows->context, sizeof(Verdict) * Max(1, rows->n));
	if (w->native)
		apply_native(&work);
	else if (rows->n > 0)
		apply_generic(&work);
}
