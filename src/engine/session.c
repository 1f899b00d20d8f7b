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
 * done; lists of keys are put right at once, all else is settled when nothing threw (session_undo.c).
 */
#include "engine/session.h"

#include "base/compat.h"
#include "base/guc.h"
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
	sp_session_undo_note(w->sessions, SP_SESSION_BEGUN, session);
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
	entry = sp_session_undo_note(w->sessions, SP_SESSION_ABSORBED, next);
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
		sp_session_undo_note(s, SP_SESSION_KEPT, session)->index = index;
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

/* Row i.  May throw, after which sp_session_undo_all() is due; so it is with a message. */
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
	sp_session_undo_touch(work->window, work->rows->context, session);
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
			sp_session_settle_all(w);
			report(work, i);
			continue;
		}
		sp_session_undo_all(w);
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
		sp_session_undo_all(w);
		return false;
	}
	sp_session_settle_all(w);
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
