/*
 * sliding.c
 *	  Sliding windows: one answer for each event, over what its key had just before.
 *
 * The window of an event is ]time - size, time] (bounds '[]': with its start).  Its answer is
 * the aggregates over the events of its key that have come before it, in commit order and
 * within a transaction in the order written, and are in its window; and the event itself.
 * It is inserted once, is final at once, never changes, and flows to what reads the window
 * within the rowset that brought the event.  Where events may be taken back, it may change:
 * see sliding_retract.c.
 *
 * Invariant: no answer is partial.  A row is late when its time <= watermark - size - grace,
 * unless it is newer than all before.  So an admissible row is newer than
 *
 *	data watermark - size - grace
 *
 * for the watermark is never behind the one by data alone, and neither is the newest time.
 * Its window begins at most size before that, and memory has all events with a
 *
 *	time > data watermark - 2 * size - grace
 *
 * A row far ahead, beyond the stream's max_future, doesn't move the watermark and wipes
 * nothing.  One that moves it makes those behind it late; they are dead letters then, not
 * answers that lack something.
 *
 * State: a group for each key, which has no value of its own, and one for each leaf of its
 * tree (sliding_tree.c), so that a checkpoint writes the leaves that have changed rather
 * than all events of a busy key.  What is derived from the events isn't stored.
 *
 * Durable form of a leaf: uint8 rank, uint8 number of events, and for each
 *	int64 time, uint64 arrival, columns (columns.h), and what is known of its result row
 *	where it may be taken back.
 */
#include "engine/sliding.h"

#include "base/compat.h"
#include "base/guc.h"
#include "common/int.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

/* The rows of a rowset, one after the other. */
typedef struct SlidingWork
{
	SpWindow   *window;
	SpRowSet   *rows;
	SpEvaluated *ev;
	SpRowSet	results;		/* for what reads the window */
	bool		feeds;			/* somebody does */
	int			next;			/* the row at work, or to be worked on next */
	bool		at_work;		/* if it throws, it is this row's */
	bool		waits;			/* for the end of the transaction, which takes rows back */
} SlidingWork;

/*
 * May a row throw on its way to its answer?  With long values, which an answer may carry more
 * than once, it may be larger than a row can be.
 */
static bool
may_throw(const SpWindow *w)
{
	int			i;

	for (i = 0; i < w->nkeys + w->ncarry; i++)
	{
		if (w->evaluated[i]->typlen < 0)
			return true;
	}
	return !w->native || w->having != NULL;
}

/* SpWindowOps.open */
static void
open_window(SpWindow *w)
{
	SpSliding  *s = palloc0(sizeof(SpSliding));
	int			natts = 2 + w->nkeys + w->ncarry + w->nshown + 4;

	s->window = w;
	s->context = AllocSetContextCreate(w->context, "streamproc sliding events",
									   ALLOCSET_DEFAULT_SIZES);
	s->states_size = w->value_size;
	s->values = palloc(sizeof(Datum) * natts);
	s->nulls = palloc0(sizeof(bool) * natts);
	s->guarded = may_throw(w);
	sp_sliding_bind(s);
	w->sliding = s;
}

/* ---- rows ---- */

/*
 * The window of an event of that time begins at *start; the first event that it may have is
 * later than *after.  False: it is out of range.
 */
bool
sp_sliding_window_of(SpWindow *w, int64 time, int64 *start, int64 *after)
{
	if (TIMESTAMP_NOT_FINITE(time) || pg_sub_s64_overflow(time, w->def->size_us, start) ||
		!IS_VALID_TIMESTAMP(*start))
		return false;
	*after = w->def->closed ? *start - 1 : *start;
	return true;
}

/* Does the window take row i?  What it doesn't take is reported. */
static bool
admit(SpWindow *w, SpRowSet *rows, int i, int64 *start, int64 *after)
{
	int64		time = rows->time[i];

	if (!sp_sliding_window_of(w, time, start, after))
	{
		sp_output_dead(&w->output, rows, i, "time_range", "22008",
					   "the window of the row's event time is out of range");
		return false;
	}
	if (sp_clock_is_late(w, rows, time, sp_clock_add(time, w->def->size_us)))
	{
		sp_late_reject(w, rows, i);
		return false;
	}
	return true;
}

/* The key of row i, or NULL; *hash for adding it.  May throw where key types' functions do. */
SpSlidingKey *
sp_sliding_find_key(SpWindow *w, const SpEvaluated *ev, int i, Datum *keys, bool *nulls,
					uint32 *hash)
{
	SpGroup    *group;
	int			k;

	for (k = 0; k < w->nkeys; k++)
	{
		keys[k] = ev->result[k][i].value;
		nulls[k] = ev->result[k][i].isnull;
	}
	*hash = sp_group_hash(&w->groups, 0, keys, nulls);
	group = sp_group_find(&w->groups, *hash, 0, keys, nulls);
	return group ? sp_sliding_key_of(&w->groups, group) : NULL;
}

/* A key that isn't there. */
static SpSlidingKey *
add_key(SpSliding *s, uint32 hash, const Datum *keys, const bool *nulls)
{
	SpGroups   *groups = &s->window->groups;
	SpSlidingKey *key = MemoryContextAllocZero(s->context, sizeof(SpSlidingKey));

	key->group = sp_group_add(groups, hash, 0, keys, nulls);
	sp_sliding_key_of(groups, key->group) = key;
	s->nkeys++;
	return key;
}

/* Put the row at work into memory; *index: where in the leaf. */
static SpSlidingLeaf *
remember(SpSliding *s, SpSlidingKey *key, int *index)
{
	MemoryContext old = MemoryContextSwitchTo(s->context);
	SpSlidingLeaf *leaf = sp_sliding_place(s, key, s->event->time, index);
	SpSlidingEvent *event = sp_sliding_event(s, leaf, *index);

	memcpy(event, s->event, s->event_size);
	sp_columns_keep(&s->columns, event->columns);
	MemoryContextSwitchTo(old);
	return leaf;
}

/* s->values, the result row of row i, of s->results. */
void
sp_sliding_fill_row(SpWindow *w, const SpRowSet *rows, const SpEvaluated *ev, int i, int64 start)
{
	SpSliding  *s = w->sliding;
	Datum	   *values = s->values;
	int			n = w->nkeys + w->ncarry;
	int			c;

	values[0] = sp_result_time(start, w->types[0]);
	values[1] = sp_result_time(rows->time[i], w->types[1]);
	for (c = 0; c < n; c++)
	{
		values[2 + c] = ev->result[c][i].value;
		s->nulls[2 + c] = ev->result[c][i].isnull;
	}
	memcpy(values + 2 + n, s->results, sizeof(Datum) * w->nshown);
	memcpy(s->nulls + 2 + n, s->result_nulls, sizeof(bool) * w->nshown);
	values += 2 + n + w->nshown;
	values[0] = BoolGetDatum(true);
	values[1] = Int32GetDatum(1);
	values[2] = LSNGetDatum(rows->lsn);
	values[3] = Int64GetDatum(rows->first_ordinal + i);
}

/* The result row is to be written, and handed on: its values live as long as those of its event. */
static void
emit(SlidingWork *work)
{
	SpSliding  *s = work->window->sliding;
	SpRowSet   *results = &work->results;
	int			natts = results->natts;

	sp_inserts_add(&work->window->output, s->values, s->nulls);
	if (!work->feeds)
		return;
	memcpy(results->values + (Size) results->n * natts, s->values, sizeof(Datum) * natts);
	memcpy(results->nulls + (Size) results->n * natts, s->nulls, sizeof(bool) * natts);
	results->time[results->n] = s->event->time;
	results->no_time[results->n] = false;
	results->n++;
}

/* What becomes of the row at work, which has come as row i, and has a result row or not. */
static void
describe_row(SlidingWork *work, int i, bool passes)
{
	SpSlidingRow *row = sp_sliding_row(work->window->sliding, work->window->sliding->event);

	row->lsn = work->rows->lsn;
	row->ordinal = work->rows->first_ordinal + i;
	row->revision = passes && !work->waits ? 1 : 0;
	row->flags = !work->waits ? 0 : work->rows->updated ? SP_SLIDING_NEW | SP_SLIDING_UPDATED :
		SP_SLIDING_NEW;
}

/*
 * Answer row i and remember it.  NULL, or why there is no answer; then, and when it throws
 * while it is at work, nothing has changed.
 */
static const char *
take_row(SlidingWork *work, int i, int *sqlstate)
{
	SpWindow   *w = work->window;
	SpSliding  *s = w->sliding;
	Datum		keys[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	uint32		hash;
	int64		start;
	int64		after;
	SpSlidingKey *key;
	SpSlidingLeaf *leaf;
	const char *message;
	bool		passes;
	int			index;

	if (!work->ev->pass[i] || !admit(w, work->rows, i, &start, &after))
		return NULL;
	key = sp_sliding_find_key(w, work->ev, i, keys, nulls, &hash);
	if (key == NULL && sp_guc_max_keys > 0 && s->nkeys >= sp_guc_max_keys)
		return sp_window_refuse_key(sqlstate);
	s->event->time = work->rows->time[i];
	s->event->arrival = w->rows;
	sp_columns_take(&s->columns, work->ev, i, s->event->columns);
	message = sp_sliding_answer(s, key, after, sqlstate);
	if (message != NULL)
		return message;
	sp_sliding_fill_row(w, work->rows, work->ev, i, start);
	passes = sp_having_passes_row(w, s->values, s->nulls, s->results + w->nshown,
								  s->result_nulls + w->nshown);
	if (passes && !work->waits)
		emit(work);
	if (s->keeps_rows)
		describe_row(work, i, passes);
	if (key == NULL)
		key = add_key(s, hash, keys, nulls);
	w->rows++;
	work->at_work = false;
	leaf = remember(s, key, &index);
	if (work->waits)
		sp_sliding_note(s, &s->fresh, key, s->event);
	sp_sliding_follow(s, leaf, index);
	return NULL;
}

/* The row at work can't be answered. */
static void
reject(SlidingWork *work, int sqlstate, const char *message)
{
	int			i = work->next;
	int64		time = work->rows->time[i];
	SpPlacement place = {i, 0, time, sp_clock_add(time, work->window->def->size_us)};

	sp_output_dead(&work->window->output, work->rows, i, sp_window_reason(message),
				   unpack_sql_state(sqlstate), message);
	sp_refusal_note(work->window, work->rows, work->ev, &place);
}

/* The rows that are left; for sp_run_guarded(). */
static void
take_rows(void *arg)
{
	SlidingWork *work = arg;

	while (work->next < work->rows->n)
	{
		int			sqlstate = 0;
		const char *message;

		work->at_work = true;
		message = take_row(work, work->next, &sqlstate);
		if (message != NULL)
			reject(work, sqlstate, message);
		work->at_work = false;
		work->next++;
	}
}

/* Aggregates, say, may throw: the rows that do become dead letters. */
static void
take_rows_guarded(SlidingWork *work)
{
	SpSliding  *s = work->window->sliding;
	int			attempts = 0;
	int			failed = -1;
	ErrorData  *error;

	while (!sp_run_guarded(work->window->expressions, work->rows->context, take_rows, work, &error))
	{
		if (s->retracting)
		{
			s->retracting = false;
			continue;
		}
		if (!work->at_work)
		{
			work->next++;		/* the row is in memory, only less is known of it */
			continue;
		}
		attempts = failed == work->next ? attempts + 1 : 1;
		failed = work->next;
		if (sp_error_is_environment(error) && attempts < SP_ATTEMPTS)
			continue;
		reject(work, error->sqlerrcode, error->message);
		work->next++;
	}
}

/* SpWindowOps.apply */
static void
apply_rows(SpWindow *w, SpRowSet *rows, SpEvaluated *ev)
{
	SlidingWork work = {w, rows, ev};

	if (rows->retract)
	{
		sp_sliding_take_back(w, rows, ev);
		return;
	}
	work.waits = w->retracts && w->stream->txn_retracts && !rows->backfill;
	work.feeds = sp_result_is_read(w);
	if (work.feeds)
		sp_result_begin_rows(w, &work.results, rows->n, rows->lsn, rows->commit_time);
	if (!w->sliding->guarded)
	{
		MemoryContext old = MemoryContextSwitchTo(rows->context);

		take_rows(&work);
		MemoryContextSwitchTo(old);
	}
	else
		take_rows_guarded(&work);
	if (work.feeds)
		sp_result_feed_rows(w, &work.results);
}

/* ---- time ---- */

/* SpWindowOps.close: every answer is final from the first. */
static void
close_windows(SpWindow *w, int64 watermark, XLogRecPtr lsn, TimestampTz time)
{
}

/* SpWindowOps.purge */
static void
purge_events(SpWindow *w, int64 data_watermark)
{
	int64		keep = sp_clock_add(sp_clock_add(w->def->size_us, w->def->size_us),
									w->def->grace_us);

	sp_sliding_purge(w->sliding, sp_clock_behind(data_watermark, keep));
}

/* SpWindowOps.next_due */
static int64
next_due(const SpWindow *w)
{
	return DT_NOEND;
}

/* ---- durable form ---- */

/* SpValueWrite */
static void
write_value(void *window, SpGroup *group, StringInfo buf)
{
	SpWindow   *w = window;
	SpSliding  *s = w->sliding;
	SpSlidingLeaf *leaf;
	uint8		n;
	int			i;

	if (group->start == 0)
		return;
	leaf = sp_sliding_leaf_of(&w->groups, group);
	n = leaf->node.n;
	appendBinaryStringInfo(buf, (char *) &leaf->rank, 1);
	appendBinaryStringInfo(buf, (char *) &n, 1);
	for (i = 0; i < n; i++)
	{
		SpSlidingEvent *event = sp_sliding_event(s, leaf, i);

		appendBinaryStringInfo(buf, (char *) event, offsetof(SpSlidingEvent, columns));
		sp_columns_write(&s->columns, event->columns, buf);
		if (s->keeps_rows)
			appendBinaryStringInfo(buf, (char *) sp_sliding_row(s, event),
								   offsetof(SpSlidingRow, flags));
	}
}

/* Do two events stand in their order? */
static inline bool
in_order(const SpSlidingEvent *a, const SpSlidingEvent *b)
{
	return a->time < b->time || (a->time == b->time && a->arrival < b->arrival);
}

/* Read a leaf, which belongs to no tree yet. */
static void
read_leaf(SpWindow *w, SpGroup *group, const char **p, const char *end)
{
	SpSliding  *s = w->sliding;
	SpSlidingLeaf *leaf;
	uint8		rank;
	uint8		n;
	int			i;

	sp_read_bytes(p, end, &rank, 1);
	sp_read_bytes(p, end, &n, 1);
	if (n == 0 || n > SP_SLIDING_LEAF || rank > SP_SLIDING_MAX_LEVEL)
		sp_columns_damaged(&s->columns);
	leaf = sp_sliding_loaded_leaf(s, group, n);
	leaf->rank = rank;
	for (i = 0; i < n; i++)
	{
		SpSlidingEvent *event = sp_sliding_event(s, leaf, i);

		sp_read_bytes(p, end, event, offsetof(SpSlidingEvent, columns));
		sp_columns_read(&s->columns, event->columns, p, end);
		if (s->keeps_rows)
			sp_read_bytes(p, end, sp_sliding_row(s, event), offsetof(SpSlidingRow, flags));
		if (i > 0 && !in_order(sp_sliding_event(s, leaf, i - 1), event))
			sp_columns_damaged(&s->columns);
	}
	leaf->node.n = n;
	leaf->node.first = sp_sliding_event(s, leaf, 0)->time;
	leaf->node.last = sp_sliding_event(s, leaf, n - 1)->time;
}

/* SpValueRead */
static void
read_value(void *window, SpGroup *group, const char **p, const char *end)
{
	SpWindow   *w = window;
	SpSliding  *s = w->sliding;
	MemoryContext old = MemoryContextSwitchTo(s->context);

	if (group->start == 0)
	{
		SpSlidingKey *key = palloc0(sizeof(SpSlidingKey));

		key->group = group;
		sp_sliding_key_of(&w->groups, group) = key;
		s->nkeys++;
	}
	else
		read_leaf(w, group, p, end);
	MemoryContextSwitchTo(old);
}

/* list_sort() comparator: leaves by their first event */
static int
compare_leaves(const ListCell *a, const ListCell *b)
{
	const SpSlidingLeaf *x = lfirst(a);
	const SpSlidingLeaf *y = lfirst(b);

	return in_order((SpSlidingEvent *) x->events, (SpSlidingEvent *) y->events) ? -1 : 1;
}

static inline const SpSlidingEvent *
last_event(const SpWindow *w, const SpSlidingLeaf *leaf)
{
	return sp_sliding_event(w->sliding, leaf, leaf->node.n - 1);
}

/* SpWindowOps.loaded: build the trees. */
static void
all_loaded(SpWindow *w)
{
	SpGroups   *groups = &w->groups;
	List	   *loaded = sp_bucket_sorted_groups(groups);
	List	   *leaves = NIL;
	ListCell   *lc;

	foreach(lc, loaded)
	{
		SpGroup    *group = lfirst(lc);

		if (group->start != 0)
			leaves = lappend(leaves, sp_sliding_leaf_of(groups, group));
	}
	list_sort(leaves, compare_leaves);
	foreach(lc, leaves)
	{
		SpSlidingLeaf *leaf = lfirst(lc);
		const Datum *keys = sp_group_keys(groups, leaf->group);
		const bool *nulls = sp_group_nulls(groups, leaf->group);
		SpGroup    *group = sp_group_find(groups, sp_group_hash(groups, 0, keys, nulls), 0,
										  keys, nulls);

		SpSlidingKey *key = group ? sp_sliding_key_of(groups, group) : NULL;

		if (key == NULL || (key->tail != NULL && !in_order(last_event(w, key->tail),
														   (SpSlidingEvent *) leaf->events)))
			sp_columns_damaged(&w->sliding->columns);
		sp_sliding_attach(w->sliding, key, leaf);
	}
	list_free(leaves);
	list_free(loaded);
}

const SpWindowOps sp_sliding_ops = {
	.value_size = sizeof(void *),
	.open = open_window,
	.apply = apply_rows,
	.truncate = sp_sliding_truncate,
	.settle = sp_sliding_settle,
	.close = close_windows,
	.purge = purge_events,
	.next_due = next_due,
	.write_value = write_value,
	.read_value = read_value,
	.loaded = all_loaded
};
