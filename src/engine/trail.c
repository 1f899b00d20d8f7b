/*
 * trail.c
 *	  The events of a key of a sliding window, as a session has them.
 *
 * The window's own trees (sliding_tree.c) are the worker's, for millions of events of many keys
 * that stay in memory.  A session reads what there is of one key when a transaction first meets it,
 * adds rows, and writes it back: a plain array.
 */
#include "engine/trail.h"

#include "base/compat.h"

#define VERSION		1

/* What the durable form begins with; then for each event its time and columns. */
typedef struct Head
{
	uint32		version;
	int32		ncolumns;
	int64		latest;
	int64		settled;
	uint64		transaction;
	int64		n;
} Head;

StaticAssertDecl(sizeof(Head) == 40, "Head is stored");

static inline SpSlidingEvent *
event_at(const SpWindow *w, const SpTrail *trail, int i)
{
	return (SpSlidingEvent *) (trail->events + w->sliding->event_size * i);
}

void
sp_trail_init(SpTrail *trail)
{
	memset(trail, 0, sizeof(SpTrail));
	trail->context = CurrentMemoryContext;
	trail->bytes = sizeof(Head);
	trail->latest = trail->settled = PG_INT64_MIN;
}

/* Room for n events. */
static void
make_room(const SpWindow *w, SpTrail *trail, int n)
{
	Size		size;

	if (n <= trail->allocated)
		return;
	trail->allocated = Max(n, trail->allocated + trail->allocated / 2 + 4);
	size = w->sliding->event_size * trail->allocated;
	trail->events = trail->events == NULL ? MemoryContextAllocHuge(trail->context, size) :
		repalloc_huge(trail->events, size);
}

/* Bytes of an event in the durable form, or a little more. */
static Size
measure(const SpWindow *w, const SpSlidingEvent *event)
{
	return sizeof(event->time) + sp_columns_size(&w->sliding->columns, event->columns);
}

/* ---- the durable form ---- */

static void
damaged(const SpWindow *w)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("the state of a key of window %s is damaged, or of another version",
					w->def->o.name),
			 errhint("Call streamproc.enforce() again, which builds it anew from the table's rows.")));
}

void
sp_trail_read(const SpWindow *w, SpTrail *trail, const char *data, Size size)
{
	const SpColumns *columns = &w->sliding->columns;
	const char *end = data + size;
	Head		head;

	sp_trail_init(trail);
	if (size == 0)
		return;
	if (size < sizeof(head))
		damaged(w);
	memcpy(&head, data, sizeof(head));
	data += sizeof(head);
	if (head.version != VERSION || head.ncolumns != columns->n || head.n < 0 ||
		head.n > (int64) (size / sizeof(int64)))
		damaged(w);
	trail->latest = head.latest;
	trail->settled = head.settled;
	trail->transaction = head.transaction;
	make_room(w, trail, head.n + 1);
	for (trail->n = 0; trail->n < head.n; trail->n++)
	{
		SpSlidingEvent *event = event_at(w, trail, trail->n);

		sp_read_bytes(&data, end, &event->time, sizeof(event->time));
		event->arrival = trail->n;
		sp_columns_read(columns, event->columns, &data, end);
		trail->bytes += measure(w, event);
		if (trail->n > 0 && event->time < event_at(w, trail, trail->n - 1)->time)
			damaged(w);
	}
	if (data != end)
		damaged(w);
}

void
sp_trail_write(const SpWindow *w, const SpTrail *trail, StringInfo buf)
{
	const SpColumns *columns = &w->sliding->columns;
	Head		head = {
		.version = VERSION,
		.ncolumns = columns->n,
		.latest = trail->latest,
		.settled = trail->settled,
		.transaction = trail->transaction,
		.n = trail->n
	};

	appendBinaryStringInfo(buf, (char *) &head, sizeof(head));
	for (int i = 0; i < trail->n; i++)
	{
		const SpSlidingEvent *event = event_at(w, trail, i);

		appendBinaryStringInfo(buf, (char *) &event->time, sizeof(event->time));
		sp_columns_write(columns, event->columns, buf);
	}
}

void
sp_trail_copy(const SpWindow *w, SpTrail *to, const SpTrail *from)
{
	*to = *from;
	to->context = CurrentMemoryContext;
	to->allocated = 0;
	to->events = NULL;
	make_room(w, to, from->n);
	if (from->n > 0)
		memcpy(to->events, from->events, w->sliding->event_size * from->n);
	for (int i = 0; i < to->n; i++)
		sp_columns_keep(&w->sliding->columns, event_at(w, to, i)->columns);
}

void
sp_trail_free(const SpWindow *w, SpTrail *trail)
{
	for (int i = 0; i < trail->n; i++)
		sp_columns_free(&w->sliding->columns, event_at(w, trail, i)->columns);
	if (trail->events != NULL)
		pfree(trail->events);
}

/* ---- events ---- */

/* The first event with a later time. */
static int
first_after(const SpWindow *w, const SpTrail *trail, int64 time)
{
	int			low = 0;
	int			high = trail->n;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (event_at(w, trail, middle)->time > time)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* Forget the events up to that time. */
static void
forget(const SpWindow *w, SpTrail *trail, int64 upto)
{
	int			gone = first_after(w, trail, upto);

	if (gone == 0)
		return;
	for (int i = 0; i < gone; i++)
	{
		trail->bytes -= measure(w, event_at(w, trail, i));
		sp_columns_free(&w->sliding->columns, event_at(w, trail, i)->columns);
	}
	trail->n -= gone;
	memmove(trail->events, event_at(w, trail, gone), w->sliding->event_size * trail->n);
}

void
sp_trail_settle(SpWindow *w, SpTrail *trail, uint64 transaction)
{
	int64		reach = sp_clock_add(sp_clock_add(w->def->size_us, w->def->size_us),
									 w->def->grace_us);
	int64		upto;

	if (transaction == 0 || trail->transaction != transaction)
		trail->settled = trail->latest;
	trail->transaction = transaction;
	w->stream->max_time = trail->settled;
	w->stream->watermark = sp_clock_behind(trail->settled, w->stream->def->watermark_us);
	upto = sp_clock_behind(sp_clock_data_watermark(w), reach);
	if (upto != SP_NO_WATERMARK)
		forget(w, trail, upto);
}

int
sp_trail_find(const SpWindow *w, const SpTrail *trail, int64 after, int64 upto,
			  const SpSlidingEvent **events)
{
	int			first = first_after(w, trail, after);

	*events = event_at(w, trail, first);
	return first_after(w, trail, upto) - first;
}

/* A key has more than can be worked on with each of its rows. */
static void
refuse_size(const SpWindow *w, const SpTrail *trail)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("a key of window %s has too many rows: what is known of %d has %zu MB",
					w->def->o.name, trail->n, SP_TRAIL_MOST / (1024 * 1024)),
			 errdetail("Those of twice the window's size are kept, and all of the transaction."),
			 errhint("Insert fewer rows in a transaction, or use a smaller window or more keys.")));
}

void
sp_trail_add(SpWindow *w, SpTrail *trail, int64 limit)
{
	SpSliding  *s = w->sliding;
	MemoryContext old = MemoryContextSwitchTo(trail->context);
	int			i = first_after(w, trail, s->event->time);
	SpSlidingEvent *event;

	sp_columns_keep(&s->columns, s->event->columns);
	if (trail->bytes + measure(w, s->event) > SP_TRAIL_MOST)
		refuse_size(w, trail);
	make_room(w, trail, trail->n + 1);
	event = event_at(w, trail, i);
	memmove(event_at(w, trail, i + 1), event, s->event_size * (trail->n - i));
	memcpy(event, s->event, s->event_size);
	trail->n++;
	trail->bytes += measure(w, event);
	if (event->time <= limit)
		trail->latest = Max(trail->latest, event->time);
	MemoryContextSwitchTo(old);
}
