/*
 * session_row.c
 *	  The rows of a session, where they may be taken back: when, and what aggregates need.
 *
 * They stand in an array in order of time, those of one time in order of arrival.  A row that
 * is taken back stays there, dead, until the transaction is at its end.
 */
#include "engine/session.h"

#include "base/compat.h"
#include "utils/memutils.h"

#define INITIAL_ROWS 4

static const char too_many_rows[] = "a session can't keep more rows that may be taken back";

/* Sessions of the window keep their rows. */
void
sp_session_rows_open(SpWindow *w)
{
	SpSessions *s = w->sessions;

	s->keeps_rows = true;
	s->rows_context = AllocSetContextCreate(w->context, "streamproc session rows",
											ALLOCSET_DEFAULT_SIZES);
	sp_columns_bind(&s->columns, w, false);
	s->row_size = offsetof(SpSessionRow, columns) + sizeof(NullableDatum) * s->columns.n;
	s->rows_limit = SP_AGG_LARGEST_STATE / w->nkept;
	s->scratch = palloc0(sizeof(NullableDatum) * Max(1, s->columns.n));
}

/* A session has no rows yet. */
void
sp_session_rows_begin(SpSessions *s, SpSession *session)
{
	session->rows = MemoryContextAllocZero(s->rows_context, sizeof(SpSessionRows));
	session->rows->session = session;
}

/* Bytes of a row in durable form. */
static inline Size
stored_size(const SpSessions *s, const NullableDatum *columns)
{
	return sizeof(int64) + sp_columns_size(&s->columns, columns);
}

/* Room for so many rows. */
static void
reserve(SpSessions *s, SpSessionRows *rows, int n)
{
	if (n <= rows->allocated)
		return;
	rows->allocated = Max(n, Max(INITIAL_ROWS, rows->allocated * 2));
	if (rows->data == NULL)
		rows->data = MemoryContextAlloc(s->rows_context, s->row_size * rows->allocated);
	else
		rows->data = repalloc(rows->data, s->row_size * rows->allocated);
}

/* Index of the first row with a later time, or with that one where at_it. */
static int
position(const SpSessions *s, const SpSessionRows *rows, int64 time, bool at_it)
{
	int			low = 0;
	int			high = rows->n;

	if (high > 0 && !at_it && sp_session_row(s, rows, high - 1)->time <= time)
		return high;
	while (low < high)
	{
		int			mid = low + (high - low) / 2;
		int64		there = sp_session_row(s, rows, mid)->time;

		if (there < time || (there == time && !at_it))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* They would be too many. */
static const char *
refuse(int *sqlstate)
{
	*sqlstate = ERRCODE_PROGRAM_LIMIT_EXCEEDED;
	return too_many_rows;
}

/* Row i of those at work, behind all of its time; NULL, or why it can't be kept. */
const char *
sp_session_rows_add(SpSessions *s, SpSessionRows *rows, int64 time, const SpEvaluated *ev, int i,
					int *index, int *sqlstate)
{
	MemoryContext old = MemoryContextSwitchTo(s->rows_context);
	Size		size;
	SpSessionRow *row;

	/* what can fail comes first */
	reserve(s, rows, rows->n + 1);
	sp_columns_take(&s->columns, ev, i, s->scratch);
	sp_columns_keep(&s->columns, s->scratch);
	MemoryContextSwitchTo(old);
	size = stored_size(s, s->scratch);
	if (rows->size + size > s->rows_limit)
	{
		sp_columns_free(&s->columns, s->scratch);
		return refuse(sqlstate);
	}
	*index = position(s, rows, time, false);
	row = sp_session_row(s, rows, *index);
	memmove((char *) row + s->row_size, row, s->row_size * (rows->n - *index));
	row->time = time;
	row->fate = SP_SESSION_LIVES;
	memcpy(row->columns, s->scratch, sizeof(NullableDatum) * s->columns.n);
	rows->n++;
	rows->size += size;
	return NULL;
}

/* It was never there. */
void
sp_session_rows_remove(SpSessions *s, SpSessionRows *rows, int index)
{
	SpSessionRow *row = sp_session_row(s, rows, index);

	rows->size -= stored_size(s, row->columns);
	sp_columns_free(&s->columns, row->columns);
	rows->n--;
	memmove(row, (char *) row + s->row_size, s->row_size * (rows->n - index));
}

/*
 * The rows of a later session are its own as well; those of "from" stay as they are, with the
 * same values.  NULL, or why they can't be.
 */
const char *
sp_session_rows_join(SpSessions *s, SpSessionRows *to, const SpSessionRows *from, int *sqlstate)
{
	if (to->size + from->size > s->rows_limit)
		return refuse(sqlstate);
	reserve(s, to, to->n + from->n);
	memcpy(sp_session_row(s, to, to->n), from->data, s->row_size * from->n);
	to->n += from->n;
	to->ndead += from->ndead;
	to->size += from->size;
	if (from->torn > 0)
		sp_session_rows_tear(s, to);
	to->reopened |= from->reopened;
	return NULL;
}

/* They have not been joined. */
void
sp_session_rows_part(SpSessions *s, SpSessionRows *to, const SpSessionRows *from)
{
	to->n -= from->n;
	to->ndead -= from->ndead;
	to->size -= from->size;
}

/* The rows from the one at first on move to another session, which has none. */
void
sp_session_rows_split(SpSessions *s, SpSessionRows *from, int first, SpSessionRows *to)
{
	int			n = from->n - first;

	reserve(s, to, n);
	memcpy(to->data, sp_session_row(s, from, first), s->row_size * n);
	to->n = n;
	for (int i = 0; i < n; i++)
		to->size += stored_size(s, sp_session_row(s, to, i)->columns);
	from->n = first;
	from->size -= to->size;
	from->hint = 0;
}

/* Is it a row like that, which may be taken back? */
static inline bool
is_like(const SpSessions *s, const SpSessionRow *row, const NullableDatum *columns)
{
	return row->fate == SP_SESSION_LIVES && sp_columns_equal(&s->columns, row->columns, columns);
}

/*
 * Index of a row like that which may be taken back, whichever; -1: there is none.  Rows are
 * often taken back in their order, so that the one behind the last one is looked at first.
 */
int
sp_session_rows_find(SpSessions *s, SpSessionRows *rows, int64 time, const NullableDatum *columns)
{
	int			first = position(s, rows, time, true);
	int			hint = Max(first, rows->hint);

	for (int i = hint; i < rows->n && sp_session_row(s, rows, i)->time == time; i++)
	{
		if (is_like(s, sp_session_row(s, rows, i), columns))
			return rows->hint = i;
	}
	for (int i = first; i < Min(hint, rows->n) && sp_session_row(s, rows, i)->time == time; i++)
	{
		if (is_like(s, sp_session_row(s, rows, i), columns))
			return rows->hint = i;
	}
	return -1;
}

/* The session is to be mended when the transaction ends. */
void
sp_session_rows_tear(SpSessions *s, SpSessionRows *rows)
{
	MemoryContext old;

	if (rows->torn > 0)
		return;
	old = MemoryContextSwitchTo(s->rows_context);
	s->torn = lappend(s->torn, rows);
	MemoryContextSwitchTo(old);
	rows->torn = list_length(s->torn);
}

/*
 * Rows are about to change a session.  If it is closed, those that it has stay until the
 * transaction ends; those that the transaction writes may be taken back by it.
 */
void
sp_session_rows_hold(SpSessions *s, SpSession *session)
{
	SpSessionRows *rows = session->rows;

	if (rows == NULL || session->phase != SP_SESSION_CLOSED || rows->reopened)
		return;
	sp_session_rows_tear(s, rows);
	rows->reopened = true;
	for (int i = 0; i < rows->n; i++)
		sp_session_row(s, rows, i)->fate = SP_SESSION_STAYS;
}

/* The transaction has ended. */
void
sp_session_rows_let_go(SpSessions *s, SpSessionRows *rows)
{
	for (int i = 0; rows->reopened && i < rows->n; i++)
	{
		SpSessionRow *row = sp_session_row(s, rows, i);

		if (row->fate == SP_SESSION_STAYS)
			row->fate = SP_SESSION_LIVES;
	}
	rows->torn = 0;
	rows->reopened = false;
}

/* Forget dead rows. */
void
sp_session_rows_compact(SpSessions *s, SpSessionRows *rows)
{
	int			n = 0;

	for (int i = 0; i < rows->n; i++)
	{
		SpSessionRow *row = sp_session_row(s, rows, i);

		if (row->fate == SP_SESSION_DEAD)
		{
			rows->size -= stored_size(s, row->columns);
			sp_columns_free(&s->columns, row->columns);
			continue;
		}
		if (n < i)
			memcpy(sp_session_row(s, rows, n), row, s->row_size);
		n++;
	}
	rows->n = n;
	rows->ndead = 0;
	rows->hint = 0;
}

/* Forget the rows of a session; their values, unless another one has them now. */
void
sp_session_rows_free(SpSessions *s, SpSession *session, bool with_values)
{
	SpSessionRows *rows = session->rows;

	session->rows = NULL;
	if (rows->torn > 0)
		lfirst(list_nth_cell(s->torn, rows->torn - 1)) = NULL;
	for (int i = 0; i < rows->n && with_values && !s->columns.by_value; i++)
		sp_columns_free(&s->columns, sp_session_row(s, rows, i)->columns);
	if (rows->data != NULL)
		pfree(rows->data);
	pfree(rows);
}

/* ---- durable form ---- */

/* uint32 number of rows, and for each its time and columns. */
void
sp_session_rows_write(const SpSessions *s, const SpSessionRows *rows, StringInfo buf)
{
	uint32		n = rows->n;

	Assert(rows->ndead == 0);
	appendBinaryStringInfo(buf, (char *) &n, sizeof(n));
	for (int i = 0; i < rows->n; i++)
	{
		SpSessionRow *row = sp_session_row(s, rows, i);

		appendBinaryStringInfo(buf, (char *) &row->time, sizeof(int64));
		sp_columns_write(&s->columns, row->columns, buf);
	}
}

/* Do they fit to the session? */
static bool
is_sound(const SpSessions *s, const SpSession *session)
{
	const SpSessionRows *rows = session->rows;

	if (rows->n == 0 || sp_session_row(s, rows, 0)->time != session->first ||
		sp_session_row(s, rows, rows->n - 1)->time != session->last)
		return false;
	for (int i = 1; i < rows->n; i++)
	{
		int64		before = sp_session_row(s, rows, i - 1)->time;
		int64		time = sp_session_row(s, rows, i)->time;

		if (time < before || time - before >= s->gap)
			return false;
	}
	return true;
}

void
sp_session_rows_read(SpSessions *s, SpSession *session, const char **p, const char *end)
{
	MemoryContext old = MemoryContextSwitchTo(s->rows_context);
	SpSessionRows *rows;
	uint32		n;

	sp_session_rows_begin(s, session);
	rows = session->rows;
	sp_read_bytes(p, end, &n, sizeof(n));
	if (n > (Size) (end - *p) / sizeof(int64))
		sp_columns_damaged(&s->columns);
	reserve(s, rows, n);
	for (; rows->n < n; rows->n++)
	{
		SpSessionRow *row = sp_session_row(s, rows, rows->n);

		sp_read_bytes(p, end, &row->time, sizeof(int64));
		row->fate = SP_SESSION_LIVES;
		sp_columns_read(&s->columns, row->columns, p, end);
		rows->size += stored_size(s, row->columns);
	}
	if (!is_sound(s, session))
		sp_columns_damaged(&s->columns);
	MemoryContextSwitchTo(old);
}
