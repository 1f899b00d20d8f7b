/*
 * session_retract.c
 *	  Session windows: rows that an UPDATE, DELETE or TRUNCATE of the source takes back.
 *
 * Without a row a session begins later, ends earlier, becomes two or more, or is no more.  So
 * where rows may be taken back a session keeps them (session_row.c) for as long as it is in
 * memory.  What is closed, past grace, stays as it is.
 *
 * The aggregates go back at once.  What a session extends over, and which sessions there are,
 * is put right when the transaction's rows are all in: until then a row that was taken back is
 * dead, and whatever touches it touches the session.  For in which order a transaction's rows
 * come, those that it writes and those that it takes back, depends on how its changes were
 * gathered (feed/build.c), and nothing else may.  When sessions are mended, the clock moves,
 * and those that it has passed are closed.
 *
 * A session that becomes several keeps its group, revision and place in the order for the
 * first of them, the others begin new ones; when its first row is gone, it moves as it does
 * when rows come before it (session.c).  What a sealed one becomes is sealed: what reads the
 * window has had it.
 *
 * Was a row counted?  Late rows were not.  Such a row must not be taken for another one that
 * is equal in all that the window looks at, and was.  Let W be the watermark, and call a row at
 * t old when t + gap + grace <= W: then a session of its own would be closed.
 *
 *	-	A late row is old, since what it touches ends no earlier.  When it comes, no session
 *		that isn't closed has a row at t: neither before what it touches, nor, being gap apart
 *		from what is closed, next to that.
 *	-	Nor will one later.  A row that is old doesn't make a session longer at its front, here,
 *		so that it's late.  And for a session at whose back it comes it isn't old, if that
 *		isn't closed.  So old rows are taken only between the first and the last row of a
 *		session; and there is none around t without a row within gap before t, which came after
 *		the late one, and was old.
 */
#include "engine/session.h"

#include "base/compat.h"
#include "common/int.h"
#include "engine/sample.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

/* What is done to sessions. */
typedef struct Work
{
	SpWindow   *window;
	SpRowSet   *rows;			/* that are taken back; NULL: sessions are mended */
	SpEvaluated *ev;
	List	   *torn;			/* else: of SpSessionRows * */
	const char *problem;		/* a native aggregate's */
} Work;

/* Run it, guarded where something may throw: the window has failed then, for it lacks a row. */
static void
run(Work *work, void (*function) (void *), MemoryContext context)
{
	SpWindow   *w = work->window;
	ErrorData  *error;

	if (w->native)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		function(work);
		MemoryContextSwitchTo(old);
	}
	else if (!sp_run_guarded(w->expressions, context, function, work, &error))
		work->problem = error->message;
	if (work->problem != NULL)
		sp_failure_window(w, psprintf("a row can't be taken back: %s", work->problem));
}

/* ---- rows ---- */

/* The session that a row would be in, and that may be changed; or NULL. */
static SpSession *
find_session(const Work *work, int i)
{
	SpWindow   *w = work->window;
	SpSessions *s = w->sessions;
	int64		time = work->rows->time[i];
	Datum		keys[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	uint32		hash;
	SpSessionKey *key;
	SpSession  *session;
	int			p;
	int			k;

	for (k = 0; k < w->nkeys; k++)
	{
		keys[k] = work->ev->result[k][i].value;
		nulls[k] = work->ev->result[k][i].isnull;
	}
	key = sp_session_key_find(s, keys, nulls, &hash);
	if (key == NULL)
		return NULL;
	p = sp_session_key_position(s, key, time);
	if (p == key->n)
		return NULL;
	session = key->list[p];
	return session->first <= time && time <= session->last &&
		(session->phase != SP_SESSION_CLOSED || session->rows->reopened) ? session : NULL;
}

/* The aggregates go back by a row of the session, which is dead then.  May throw. */
static void
retract(Work *work, SpSession *session, int index)
{
	SpWindow   *w = work->window;
	SpSessions *s = w->sessions;
	SpSessionRow *row = sp_session_row(s, session->rows, index);
	NullableDatum buffer[SP_MAX_AGG_ARGS];
	int			sqlstate;
	int			a;

	sp_group_changing(&w->groups, session->group);
	for (a = 0; a < w->naggs && work->problem == NULL; a++)
	{
		if (sp_columns_pass(&s->columns, a, row->columns))
			work->problem = sp_aggregate_retract(w->aggs[a], (char *) session + w->agg_offset[a],
												 sp_columns_arguments(&s->columns, a, row->columns,
																	  buffer), &sqlstate);
	}
	row->fate = SP_SESSION_DEAD;
	session->rows->ndead++;
	sp_session_rows_tear(s, session->rows);
	sp_group_changed(&w->groups, session->group);
}

/* Row i; false: it isn't there, or stays. */
static bool
take_back_row(Work *work, int i)
{
	SpWindow   *w = work->window;
	SpSessions *s = w->sessions;
	SpSession  *session;
	int			index;

	if (sp_refusal_take(w, work->rows, work->ev, i))
		return false;
	session = find_session(work, i);
	if (session == NULL)
		return false;
	sp_columns_take(&s->columns, work->ev, i, s->scratch);
	sp_columns_flatten(&s->columns, s->scratch);
	index = sp_session_rows_find(s, session->rows, work->rows->time[i], s->scratch);
	if (index < 0)
		return false;
	retract(work, session, index);
	return true;
}

/* Can there be a session at that time?  See session.c. */
static bool
is_in_range(const SpWindow *w, int64 time)
{
	int64		end;

	return IS_VALID_TIMESTAMP(time) && !pg_add_s64_overflow(time, w->sessions->gap, &end) &&
		IS_VALID_TIMESTAMP(end);
}

/* All rows of a rowset; for sp_run_guarded(). */
static void
take_back_rows(void *arg)
{
	Work	   *work = arg;
	SpWindow   *w = work->window;
	int			i;

	for (i = 0; i < work->rows->n && work->problem == NULL; i++)
	{
		if (!work->ev->pass[i] || !is_in_range(w, work->rows->time[i]))
			continue;
		if (take_back_row(work, i))
			w->retracted++;
		else
			sp_retract_ignore(w);
	}
}

/* Rows as they were. */
void
sp_session_take_back(SpWindow *w, SpRowSet *rows, SpEvaluated *ev)
{
	Work		work = {w, rows, ev};

	run(&work, take_back_rows, rows->context);
}

/* ---- sessions ---- */

/* A session without rows. */
static void
end_session(SpWindow *w, SpSession *session)
{
	sp_group_changing(&w->groups, session->group);
	sp_session_leave(w->sessions, session);
	sp_session_key_remove(w->sessions, session);
	sp_session_give_up(w, session);
	sp_output_gone(w, session->group);
}

/* A session loses all rows that may be taken back. */
static void
empty_session(Work *work, SpSession *session)
{
	SpWindow   *w = work->window;
	SpSessionRows *rows = session->rows;

	if (!rows->reopened)
	{
		w->retracted += rows->n - rows->ndead;
		end_session(w, session);
		return;
	}
	for (int i = 0; i < rows->n && work->problem == NULL; i++)
	{
		if (sp_session_row(w->sessions, rows, i)->fate != SP_SESSION_LIVES)
			continue;
		retract(work, session, i);
		w->retracted++;
	}
}

/* All sessions that aren't closed do; for sp_run_guarded(). */
static void
empty_sessions(void *arg)
{
	Work	   *work = arg;
	SpWindow   *w = work->window;
	List	   *sessions = sp_bucket_sorted_groups(&w->groups);
	ListCell   *lc;

	foreach(lc, sessions)
	{
		SpGroup    *group = lfirst(lc);
		SpSession  *session = sp_session_of(w, group);

		if (!(group->flags & SP_GROUP_GONE) &&
			(session->phase != SP_SESSION_CLOSED || session->rows->reopened))
			empty_session(work, session);
	}
	list_free(sessions);
}

/* SpWindowOps.truncate: what isn't past grace ends. */
void
sp_session_truncate(SpWindow *w)
{
	Work		work = {w};

	run(&work, empty_sessions, w->result_context);
	sp_retract_ignore(w);		/* past grace there may be rows that are forgotten here */
}

/* The aggregates of a session, anew.  May throw. */
static void
aggregate(Work *work, SpSession *session)
{
	SpWindow   *w = work->window;
	SpSessions *s = w->sessions;
	NullableDatum buffer[SP_MAX_AGG_ARGS];
	int			sqlstate;
	int			i,
				a;

	for (i = 0; i < session->rows->n; i++)
	{
		const NullableDatum *columns = sp_session_row(s, session->rows, i)->columns;

		for (a = 0; a < w->naggs && work->problem == NULL; a++)
		{
			if (sp_columns_pass(&s->columns, a, columns))
				work->problem = sp_aggregate_advance(w->aggs[a],
													 (char *) session + w->agg_offset[a],
													 sp_columns_arguments(&s->columns, a, columns,
																		  buffer), &sqlstate);
		}
	}
}

/* The result row of a session that has changed. */
static void
put_out(SpWindow *w, SpGroup *group)
{
	sp_group_changed(&w->groups, group);
	sp_sample_note(w, group);
	if (!w->def->emit_final || (group->flags & SP_GROUP_FINAL))
		sp_output_group(&w->output, group);
}

/* The rows of a session from the one at index on are another one, in the same phase. */
static void
split_off(Work *work, SpSession *session, int index, SpSessionPhase phase)
{
	SpWindow   *w = work->window;
	SpSessions *s = w->sessions;
	SpGroup    *group = session->group;
	SpSession  *other = sp_session_make(w, sp_group_keys(&w->groups, group),
										sp_group_nulls(&w->groups, group));

	other->group->flags |= group->flags & (SP_GROUP_FINAL | SP_GROUP_SEALED);
	other->floor = session->floor;
	other->first = sp_session_row(s, session->rows, index)->time;
	other->last = session->last;
	session->last = sp_session_row(s, session->rows, index - 1)->time;
	sp_session_rows_begin(s, other);
	sp_session_rows_split(s, session->rows, index, other->rows);
	sp_session_key_insert(s, session->key, other);
	sp_session_enter(s, other, phase);
	sp_session_key_count(s, other, phase != SP_SESSION_CLOSED);
	sp_window_init_value(w, other->group);
	aggregate(work, other);
	put_out(w, other->group);
}

/* Rows of a session were taken back. */
static void
mend(Work *work, SpSession *session)
{
	SpWindow   *w = work->window;
	SpSessions *s = w->sessions;
	SpSessionRows *rows = session->rows;
	SpSessionPhase phase = session->phase;
	int64		first = session->first;
	int			n;
	int			i;

	sp_session_rows_compact(s, rows);
	if (rows->n == 0)
	{
		end_session(w, session);
		return;
	}
	sp_group_changing(&w->groups, session->group);
	n = rows->n;
	sp_session_leave(s, session);
	session->last = sp_session_row(s, rows, n - 1)->time;
	for (i = n - 1; i > 0; i--)
	{
		if (sp_session_row(s, rows, i)->time - sp_session_row(s, rows, i - 1)->time >= s->gap)
			split_off(work, session, i, phase);
	}
	session->first = sp_session_row(s, rows, 0)->time;
	sp_session_enter(s, session, phase);
	if (rows->n < n)
	{
		sp_window_release_value(w, session->group);
		sp_window_init_value(w, session->group);
		aggregate(work, session);
	}
	if (session->first != first && sp_session_may_be_written(w, session->group))
		session = sp_session_move(w, session, first);
	put_out(w, session->group);
}

/*
 * list_sort() comparator: in the order in which the sessions began, which is that of those
 * that they become as well.
 */
static int
compare_sequence(const ListCell *a, const ListCell *b)
{
	uint64		x = ((const SpSessionRows *) lfirst(a))->session->group->sequence;
	uint64		y = ((const SpSessionRows *) lfirst(b))->session->group->sequence;

	return x < y ? -1 : x > y;
}

/* All that are torn; for sp_run_guarded(). */
static void
mend_all(void *arg)
{
	Work	   *work = arg;
	SpWindow   *w = work->window;
	ListCell   *lc;

	foreach(lc, work->torn)
	{
		SpSessionRows *rows = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		sp_session_rows_let_go(w->sessions, rows);
		if (rows->ndead > 0 && work->problem == NULL)
			mend(work, rows->session);
	}
}

/* What is left of those that were torn, which are not any more. */
static List *
take_torn(SpSessions *s)
{
	MemoryContext old = MemoryContextSwitchTo(s->rows_context);
	List	   *torn = NIL;
	ListCell   *lc;

	foreach(lc, s->torn)
	{
		if (lfirst(lc) != NULL)
			torn = lappend(torn, lfirst(lc));
	}
	MemoryContextSwitchTo(old);
	list_free(s->torn);
	s->torn = NIL;
	list_sort(torn, compare_sequence);
	return torn;
}

/* SpWindowOps.settle */
void
sp_session_mend(SpWindow *w, XLogRecPtr lsn, TimestampTz time)
{
	Work		work = {w};

	if (w->sessions->torn == NIL)
		return;
	work.torn = take_torn(w->sessions);
	run(&work, mend_all, w->result_context);
	list_free(work.torn);
}
