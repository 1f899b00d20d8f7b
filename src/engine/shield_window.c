/*
 * shield_window.c
 *	  A detector of a sliding window in a session: the window's answer to a row that isn't in yet.
 *
 * It is the worker's window, opened here without its memory: what it knows of the row's key is a
 * trail (trail.h), which is locked with the key.  So the row sees all rows of its key that were
 * committed before, and counts itself; what is committed later has waited for it.
 */
#include "engine/shield_internal.h"

#include "access/xact.h"
#include "base/compat.h"
#include "common/int.h"
#include "mb/pg_wchar.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#define MOST_SHOWN	60			/* bytes of a value in a DETAIL */

/* ---- the answer ---- */

/* What throws here throws in aggregates, or in HAVING: a user's. */
typedef struct Owner
{
	SpUserContext user;
	bool		entered;
} Owner;

static void
become_owner(Owner *owner, const SpWindow *w)
{
	owner->entered = !w->native || w->having != NULL;
	if (owner->entered)
		sp_user_enter(&owner->user, w->expressions->owner, w->expressions->settings);
}

static void
become_caller(const Owner *owner)
{
	if (owner->entered)
		sp_user_leave(&owner->user, true);
}

/* The row at work as the window's event. */
static void
take_event(SpWindow *w, const SpRowSet *rows, const SpEvaluated *ev, int i)
{
	SpSliding  *s = w->sliding;

	s->event->time = rows->time[i];
	s->event->arrival = 0;
	sp_columns_take(&s->columns, ev, i, s->event->columns);
}

/* The window's result row as what the detector reads. */
static void
set_answer(SpShield *shield, const SpRowSet *rows, int i)
{
	SpWindow   *w = shield->window;
	SpRowSet   *answer = &shield->answer;

	memcpy(answer->values, w->sliding->values, sizeof(Datum) * w->natts);
	memcpy(answer->nulls, w->sliding->nulls, sizeof(bool) * w->natts);
	answer->time[0] = rows->time[i];
	answer->no_time[0] = false;
	answer->n = 1;
}

/* An empty rowset for it. */
static void
begin_answer(SpShield *shield, const SpRowSet *rows)
{
	SpRowSet   *answer = &shield->answer;

	sp_rowset_init(answer, shield->row_context, shield->window->natts, 1);
	answer->commit_time = rows->commit_time;
	answer->time_type = rows->time_type;
	answer->zone = rows->zone;
	answer->desc = shield->window->result_desc;
	answer->backfill = rows->backfill;
}

/*
 * Answer row i, of whose key that is known, with the window that ends then: shield->answer.  False: it
 * can't be answered.
 */
bool
sp_shield_window_compute(SpShield *shield, const SpRowSet *rows, const SpEvaluated *ev, int i,
						 int64 end, const SpTrail *trail)
{
	SpWindow   *w = shield->window;
	SpSliding  *s = w->sliding;
	const SpSlidingEvent *events;
	const char *message;
	int			sqlstate = 0;
	int64		start;
	int64		other_start;
	int64		after;
	int			n;
	Owner		owner;

	begin_answer(shield, rows);
	(void) sp_sliding_window_of(w, rows->time[i], &start, &after);
	if (end != rows->time[i])
		(void) sp_sliding_window_of(w, end, &other_start, &after);
	take_event(w, rows, ev, i);
	n = sp_trail_find(w, trail, after, end, &events);
	become_owner(&owner, w);
	message = sp_sliding_answer_of(s, events, n, &sqlstate);
	if (message == NULL)
	{
		sp_sliding_fill_row(w, rows, ev, i, start);
		if (sp_having_passes_row(w, s->values, s->nulls, s->results + w->nshown,
								 s->result_nulls + w->nshown))
			set_answer(shield, rows, i);
	}
	become_caller(&owner);
	if (message == NULL)
		return true;
	sp_output_dead(&shield->detector->output, rows, i, "transition", unpack_sql_state(sqlstate),
				   message);
	return false;
}

/* The key has had row i. */
void
sp_shield_window_add(SpShield *shield, const SpRowSet *rows, const SpEvaluated *ev, int i,
					 SpTrail *trail)
{
	const SpStreamDef *def = shield->stream->def;
	int64		limit = sp_time_from_utc(rows->commit_time, def->time_type, shield->stream->zone);

	/* as sp_pipeline_stream_rows() has it */
	if (pg_add_s64_overflow(limit, def->max_future_us, &limit))
		limit = PG_INT64_MAX - 1;
	take_event(shield->window, rows, ev, i);
	sp_trail_add(shield->window, trail, limit);
}

/* ---- a row of a session ---- */

/* Can the row be answered?  What can't is told. */
static bool
admit(SpShield *shield)
{
	SpWindow   *w = shield->window;
	const SpRowSet *rows = &shield->rows;
	int64		time = rows->time[0];
	int64		start;
	int64		after;

	if (!sp_sliding_window_of(w, time, &start, &after))
		sp_output_dead(&shield->detector->output, rows, 0, "time_range", "22008",
					   "the window of the row's event time is out of range");
	else if (sp_clock_is_late(w, rows, time, sp_clock_add(time, w->def->size_us)))
		sp_output_dead(&shield->detector->output, rows, 0, "late", "22008",
					   "it is too late by the clock of its key, whose older rows are not known any more");
	else
		return true;
	return false;
}

/* Answer the row at work, of whose key that is known.  False: it can't be answered. */
bool
sp_shield_window_answer(SpShield *shield, SpTrail *trail)
{
	sp_trail_settle(shield->window, trail, U64FromFullTransactionId(GetTopFullTransactionId()));
	return admit(shield) &&
		sp_shield_window_compute(shield, &shield->rows, shield->taken, 0, shield->rows.time[0],
								 trail);
}

/* The row at work in the window of a later event: see shield_internal.h. */
bool
sp_shield_window_answer_later(SpShield *shield, const SpTrail *trail, int64 *upto)
{
	const SpWindow *w = shield->window;
	int64		time = shield->rows.time[0];
	int64		last = sp_clock_add(time, w->def->size_us - (w->def->closed ? 0 : 1));
	const SpSlidingEvent *events;
	const SpSlidingEvent *latest;
	int			n = sp_trail_find(w, trail, time, Min(*upto, last), &events);

	if (n <= 0)
		return false;
	latest = (const SpSlidingEvent *) ((const char *) events + w->sliding->event_size * (n - 1));
	*upto = latest->time - 1;
	return sp_shield_window_compute(shield, &shield->rows, shield->taken, 0, latest->time, trail);
}

/* A value as text, of which nobody wants to read more than a line. */
static char *
show_value(Datum value, Oid type)
{
	Oid			output;
	bool		is_varlena;
	char	   *text;
	int			length;

	getTypeOutputInfo(type, &output, &is_varlena);
	text = OidOutputFunctionCall(output, value);
	length = pg_mbcliplen(text, strlen(text), MOST_SHOWN);
	return text[length] == '\0' ? text : psprintf("%.*s...", length, text);
}

/* " (n 6, total 1000)": the aggregates that rules look at. */
void
sp_shield_window_describe(const SpShield *shield, StringInfo buf)
{
	const SpWindow *w = shield->window;

	for (int a = 0; a < w->nshown; a++)
	{
		int			i = 2 + w->nkeys + w->ncarry + a;

		appendStringInfo(buf, "%s%s %s", a > 0 ? ", " : " (",
						 NameStr(TupleDescAttr(w->result_desc, i)->attname),
						 shield->answer.nulls[i] ? "null" :
						 show_value(shield->answer.values[i], w->types[i]));
	}
	if (w->nshown > 0)
		appendStringInfoChar(buf, ')');
}
