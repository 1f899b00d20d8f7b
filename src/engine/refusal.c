/*
 * refusal.c
 *	  Rows that a window's transitions have refused, so that they are not taken back.
 *
 * Such a row is a dead letter and counts nowhere, which can't be seen of it later: the
 * transition threw for what was in the group then.  So windows whose rows may be taken back
 * remember it, by a hash of all that the window has evaluated of it; rows that are equal
 * there can't be told apart, and needn't be.  It is forgotten when its windows are past
 * grace; sessions go on, and may have it between them until all of that time have ended.  The
 * list is a part of the window's state, behind the head on page 0.
 */
#include "engine/internal.h"

#include "base/compat.h"
#include "base/steps.h"
#include "common/hashfn.h"
#include "utils/memutils.h"

#define MOST_REFUSED	10000

typedef struct SpRefusal
{
	uint64		hash;
	int64		until;			/* end of its last window; of sessions, its time */
} SpRefusal;

/* 64 bits of a row's time, unless that is its commit's, and of all that was evaluated of it. */
static uint64
hash_row(const SpWindow *w, const SpRowSet *rows, const SpEvaluated *ev, int i)
{
	uint64		hash = 0;

	if (w->stream->def->time_attnum > 0)
		hash = hash_bytes_extended((unsigned char *) &rows->time[i], sizeof(int64), 0);
	for (int e = 0; e < ev->nexpressions; e++)
	{
		const SpExpression *expression = ev->expressions[e];
		const NullableDatum *value = &ev->result[e][i];

		hash = hash_bytes_extended((unsigned char *) &value->isnull, sizeof(bool), hash);
		if (value->isnull)
			continue;
		if (expression->typbyval)
			hash = hash_bytes_extended((unsigned char *) &value->value, sizeof(Datum), hash);
		else if (expression->typlen == -1)
		{
			struct varlena *data = PG_DETOAST_DATUM_PACKED(value->value);

			hash = hash_bytes_extended((unsigned char *) VARDATA_ANY(data),
									   VARSIZE_ANY_EXHDR(data), hash);
		}
		else
			hash = hash_bytes_extended((unsigned char *) DatumGetPointer(value->value),
									   expression->typlen == -2 ?
									   strlen(DatumGetCString(value->value)) :
									   expression->typlen, hash);
	}
	return hash;
}

/* Forget rows that are too late to be taken back. */
static void
expire(SpWindow *w)
{
	int64		before = sp_clock_behind(Min(sp_clock_watermark(w), sp_clock_data_watermark(w)),
										 w->def->grace_us);
	int			kept = 0;

	if (w->sessions != NULL)
		before = Min(sp_clock_behind(before, w->def->gap_us), sp_session_oldest(w));
	for (int r = 0; r < w->nrefused; r++)
		if (w->refused[r].until > before)
			w->refused[kept++] = w->refused[r];
	w->nrefused = kept;
}

/* Add an entry; there is room for it. */
static void
add(SpWindow *w, const SpRefusal *refusal)
{
	if (w->refused == NULL)
		w->refused = MemoryContextAlloc(w->context, sizeof(SpRefusal) * MOST_REFUSED);
	w->refused[w->nrefused++] = *refusal;
	w->groups.any_dirty = true;
}

/* A transition has refused the row, of which last is the last placement. */
void
sp_refusal_note(SpWindow *w, const SpRowSet *rows, const SpEvaluated *ev, const SpPlacement *last)
{
	SpRefusal	refusal;

	if (!w->retracts)
		return;
	refusal.until = w->def->window_kind == SP_WINDOW_GLOBAL ? PG_INT64_MAX : last->end;
	if (w->panes != NULL)
		(void) sp_steps_last_end(w->steps, last->start, &refusal.until);
	refusal.hash = hash_row(w, rows, ev, last->row);
	if (w->nrefused == MOST_REFUSED)
		expire(w);
	if (w->nrefused < MOST_REFUSED)
		add(w, &refusal);
	else
		sp_failure_window(w, "it has refused more rows than it can remember, any of which may be "
						  "taken back: see streamproc.dead_letter");
}

/* Was the row refused?  Once for each time that it was. */
bool
sp_refusal_take(SpWindow *w, const SpRowSet *rows, const SpEvaluated *ev, int i)
{
	uint64		hash;

	if (w->nrefused == 0)
		return false;
	hash = hash_row(w, rows, ev, i);
	for (int r = 0; r < w->nrefused; r++)
	{
		if (w->refused[r].hash != hash)
			continue;
		w->refused[r] = w->refused[--w->nrefused];
		w->groups.any_dirty = true;
		return true;
	}
	return false;
}

/* Durable form. */
void
sp_refusal_write(const SpWindow *w, StringInfo buf)
{
	int64		n = w->nrefused;

	appendBinaryStringInfo(buf, (char *) &n, sizeof(n));
	if (n > 0)
		appendBinaryStringInfo(buf, (char *) w->refused, sizeof(SpRefusal) * n);
}

/* And back. */
void
sp_refusal_read(SpWindow *w, const char **p, const char *end)
{
	int64		n;

	sp_read_bytes(p, end, &n, sizeof(n));
	if (n < 0 || n > MOST_REFUSED)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a state page claims to hold " INT64_FORMAT " refused rows", n)));
	while (n-- > 0)
	{
		SpRefusal	refusal;

		sp_read_bytes(p, end, &refusal, sizeof(refusal));
		add(w, &refusal);
	}
}
