/*
 * sliding_settle.c
 *	  Sliding windows: the end of a transaction that takes events back, or may.
 *
 * What an UPDATE has left takes the place of what it was; the dead are buried; and all answers
 * that have counted what isn't there any more, or is another one, are given again, together
 * with those of the events that have come.  See sliding_retract.c for what that is to mean.
 */
#include "engine/sliding.h"

#include "base/compat.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

#define LARGEST_KEPT	65536	/* places: a longer list isn't kept for the next transaction */
#define MOST_COMPARED	64		/* old events that an updated one is compared with */

/* The end of a transaction. */
typedef struct Settling
{
	SpWindow   *window;
	SpSliding  *sliding;
	SpSlidingPlaces changes;	/* where an event was that isn't, or is another one now */
	SpSlidingPlaces again;		/* events to be answered */
	int64		next;			/* of these */
	SpRowSet	results;
	const char *problem;		/* a native aggregate's */
} Settling;

/* ---- lists of events ---- */

/* Forget all of them. */
static void
clear_places(SpSlidingPlaces *places)
{
	places->n = 0;
	if (places->allocated <= LARGEST_KEPT)
		return;
	pfree(places->list);
	places->list = NULL;
	places->allocated = 0;
}

/* Those of one key and one time together. */
static int
compare_spots(const SpSlidingPlace *a, const SpSlidingPlace *b)
{
	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return a->time < b->time ? -1 : a->time > b->time;
}

/* qsort() comparator: by key, time and arrival */
static int
compare_places(const void *a, const void *b)
{
	const SpSlidingPlace *x = a;
	const SpSlidingPlace *y = b;
	int			order = compare_spots(x, y);

	if (order != 0)
		return order;
	return x->arrival < y->arrival ? -1 : x->arrival > y->arrival;
}

/* qsort() comparator: by arrival */
static int
compare_arrivals(const void *a, const void *b)
{
	const SpSlidingPlace *x = a;
	const SpSlidingPlace *y = b;

	return x->arrival < y->arrival ? -1 : x->arrival > y->arrival;
}

/* The event at a place. */
static SpSlidingEvent *
get_event(SpSliding *s, const SpSlidingPlace *place)
{
	int			index;
	SpSlidingLeaf *leaf = sp_sliding_locate(s, place, &index);

	return sp_sliding_event(s, leaf, index);
}

/* ---- updated events take the places of old ones ---- */

/* May another event take its place? */
static bool
has_place(SpSliding *s, const SpSlidingPlace *dead)
{
	return !(sp_sliding_row(s, get_event(s, dead))->flags &
			 (SP_SLIDING_NEW | SP_SLIDING_TRUNCATED));
}

/* Has an UPDATE left it, and is it there? */
static bool
wants_place(SpSliding *s, const SpSlidingPlace *fresh)
{
	return (sp_sliding_row(s, get_event(s, fresh))->flags &
			(SP_SLIDING_UPDATED | SP_SLIDING_DEAD)) == SP_SLIDING_UPDATED;
}

/* An updated event stands where the old one did; the places are done with. */
static void
take_place(Settling *work, SpSlidingPlace *dead, SpSlidingPlace *fresh, bool alike)
{
	SpSliding  *s = work->sliding;
	int			index;
	int			old_index;
	SpSlidingLeaf *old_leaf = sp_sliding_locate(s, dead, &old_index);
	SpSlidingLeaf *leaf = sp_sliding_locate(s, fresh, &index);
	SpSlidingEvent *old = sp_sliding_event(s, old_leaf, old_index);
	SpSlidingRow *row = sp_sliding_row(s, old);

	row->flags = 0;
	if (!alike)
	{
		sp_group_changing(&work->window->groups, old_leaf->group);
		sp_columns_free(&s->columns, old->columns);
		memcpy(old->columns, sp_sliding_event(s, leaf, index)->columns,
			   sizeof(NullableDatum) * s->columns.n);
		row->flags = SP_SLIDING_NEW | SP_SLIDING_CHANGED;
		sp_sliding_leaf_changed(s, old_leaf);
		sp_sliding_add_place(s, &work->changes, dead);
		sp_sliding_add_place(s, &work->again, dead);
	}
	sp_sliding_remove(s, leaf, index, alike);
	dead->key = fresh->key = NULL;
}

/* Of the dead events from *next on the first one that is like it, or NULL. */
static SpSlidingPlace *
find_like(SpSliding *s, SpSlidingPlace *dead, int64 n, int64 *next, const SpSlidingPlace *fresh)
{
	const SpSlidingEvent *event = get_event(s, fresh);
	int64		i;

	for (i = *next; i < Min(n, *next + MOST_COMPARED); i++)
	{
		if (dead[i].key != NULL && has_place(s, &dead[i]) &&
			sp_columns_equal(&s->columns, get_event(s, &dead[i])->columns, event->columns))
		{
			*next = i + 1;
			return &dead[i];
		}
	}
	return NULL;
}

/* Dead and fresh events of one key and one time: first those that are alike, then in order. */
static void
match_spot(Settling *work, SpSlidingPlace *dead, int64 ndead, SpSlidingPlace *fresh, int64 nfresh)
{
	SpSliding  *s = work->sliding;
	int64		next = 0;
	int64		d = 0;
	int64		f;

	for (f = 0; f < nfresh; f++)
	{
		SpSlidingPlace *like = NULL;

		if (wants_place(s, &fresh[f]))
			like = find_like(s, dead, ndead, &next, &fresh[f]);
		if (like != NULL)
			take_place(work, like, &fresh[f], true);
	}
	for (f = 0; f < nfresh; f++)
	{
		if (fresh[f].key == NULL || !wants_place(s, &fresh[f]))
			continue;
		while (d < ndead && (dead[d].key == NULL || !has_place(s, &dead[d])))
			d++;
		if (d == ndead)
			break;
		take_place(work, &dead[d], &fresh[f], false);
	}
}

/* How many places from the first one on are of its key and time? */
static int64
count_spot(const SpSlidingPlace *places, int64 n)
{
	int64		i;

	for (i = 1; i < n && compare_spots(&places[0], &places[i]) == 0; i++)
		;
	return i;
}

/* All of them. */
static void
match(Settling *work)
{
	SpSlidingPlaces *dead = &work->sliding->dead;
	SpSlidingPlaces *fresh = &work->sliding->fresh;
	int64		d = 0;
	int64		f = 0;

	while (d < dead->n && f < fresh->n)
	{
		int			order = compare_spots(&dead->list[d], &fresh->list[f]);
		int64		ndead = count_spot(&dead->list[d], dead->n - d);
		int64		nfresh = count_spot(&fresh->list[f], fresh->n - f);

		if (order == 0)
			match_spot(work, &dead->list[d], ndead, &fresh->list[f], nfresh);
		d += order <= 0 ? ndead : 0;
		f += order >= 0 ? nfresh : 0;
	}
}

/* ---- what else happens to events ---- */

/* Those that have come, and are still there, are to be answered. */
static void
welcome(Settling *work)
{
	SpSliding  *s = work->sliding;
	int64		f;

	for (f = 0; f < s->fresh.n; f++)
	{
		SpSlidingRow *row;

		if (s->fresh.list[f].key == NULL)
			continue;
		row = sp_sliding_row(s, get_event(s, &s->fresh.list[f]));
		if (row->flags & SP_SLIDING_DEAD)
			continue;
		row->flags |= SP_SLIDING_CHANGED;
		sp_sliding_add_place(s, &work->again, &s->fresh.list[f]);
	}
}

/* An event's result row, if it has one, is to be deleted. */
static void
delete_row(SpWindow *w, const SpSlidingRow *row)
{
	SpSliding  *s = w->sliding;
	int			last = w->natts - 4;

	if (row->revision == 0)
		return;
	memset(s->nulls, true, sizeof(bool) * last);
	s->values[last] = BoolGetDatum(true);
	s->values[last + 1] = Int32GetDatum(0);
	s->values[last + 2] = LSNGetDatum(row->lsn);
	s->values[last + 3] = Int64GetDatum(row->ordinal);
	sp_inserts_add(&w->output, s->values, s->nulls);
	memset(s->nulls, false, sizeof(bool) * last);	/* times never are */
}

/* Those that are dead go. */
static void
bury(Settling *work)
{
	SpSliding  *s = work->sliding;
	int64		d;

	for (d = 0; d < s->dead.n; d++)
	{
		SpSlidingPlace *place = &s->dead.list[d];
		SpSlidingLeaf *leaf;
		SpSlidingRow *row;
		int			index;

		if (place->key == NULL)
			continue;
		leaf = sp_sliding_locate(s, place, &index);
		row = sp_sliding_row(s, sp_sliding_event(s, leaf, index));
		if (!(row->flags & SP_SLIDING_NEW))
		{
			delete_row(work->window, row);
			sp_sliding_add_place(s, &work->changes, place);
		}
		sp_sliding_remove(s, leaf, index, true);
	}
}

/* Keys without events go, too; places are by key. */
static void
forget_keys(SpSliding *s)
{
	int64		d;

	for (d = 0; d < s->dead.n; d++)
	{
		SpSlidingKey *key = s->dead.list[d].key;

		while (d + 1 < s->dead.n && (s->dead.list[d + 1].key == key ||
									 s->dead.list[d + 1].key == NULL))
			d++;
		if (key != NULL && key->root == NULL)
			sp_sliding_forget_key(s, key);
	}
}

/* ---- whose answers have counted what has changed ---- */

/*
 * The changes within the window of an event, as the sweep goes on: those that no later one
 * precedes in arrival, so that the first one is the earliest to have come.
 */
typedef struct Sweep
{
	const SpSlidingPlace *changes;	/* of a key, by time */
	int64		n;
	int64		next;			/* to come into the window */
	int64	   *queue;			/* indexes */
	int64		first;
	int64		last;			/* behind the last one */
} Sweep;

/* The window moves on to the event of that time; when the earliest of its changes came. */
static uint64
move_to(Sweep *sweep, int64 time, int64 after)
{
	for (; sweep->next < sweep->n && sweep->changes[sweep->next].time <= time; sweep->next++)
	{
		while (sweep->last > sweep->first &&
			   sweep->changes[sweep->queue[sweep->last - 1]].arrival >=
			   sweep->changes[sweep->next].arrival)
			sweep->last--;
		sweep->queue[sweep->last++] = sweep->next;
	}
	while (sweep->first < sweep->last &&
		   sweep->changes[sweep->queue[sweep->first]].time <= after)
		sweep->first++;
	return sweep->first == sweep->last ? PG_UINT64_MAX :
		sweep->changes[sweep->queue[sweep->first]].arrival;
}

/* The events of a key that have counted what has changed are to be answered again. */
static void
sweep_key(Settling *work, Sweep *sweep)
{
	SpSliding  *s = work->sliding;
	SpSlidingKey *key = sweep->changes[0].key;
	int			i;
	SpSlidingLeaf *leaf = sp_sliding_find(s, key, sweep->changes[0].time - 1, &i);

	while (leaf != NULL)
	{
		SpSlidingEvent *event;
		SpSlidingRow *row;
		int64		start;
		int64		after;

		if (i == leaf->node.n)
		{
			CHECK_FOR_INTERRUPTS();
			leaf = leaf->next;
			i = 0;
			continue;
		}
		event = sp_sliding_event(s, leaf, i++);
		row = sp_sliding_row(s, event);
		(void) sp_sliding_window_of(work->window, event->time, &start, &after);
		if (move_to(sweep, event->time, after) < event->arrival &&
			!(row->flags & SP_SLIDING_CHANGED))
		{
			row->flags |= SP_SLIDING_CHANGED;
			sp_sliding_note(s, &work->again, key, event);
		}
		if (sweep->first < sweep->last)
			continue;
		if (sweep->next == sweep->n)
			break;
		leaf = sp_sliding_find(s, key, sweep->changes[sweep->next].time - 1, &i);
	}
}

/* All keys that something has changed of. */
static void
spread(Settling *work)
{
	SpSlidingPlaces *changes = &work->changes;
	int64	   *queue;
	int64		c;
	int64		n;

	if (changes->n == 0)
		return;
	qsort(changes->list, changes->n, sizeof(SpSlidingPlace), compare_places);
	queue = MemoryContextAllocHuge(work->sliding->context, sizeof(int64) * changes->n);
	for (c = 0; c < changes->n; c += n)
	{
		Sweep		sweep = {&changes->list[c]};

		for (n = 1; c + n < changes->n && changes->list[c + n].key == changes->list[c].key; n++)
			;
		sweep.n = n;
		sweep.queue = queue;
		sweep_key(work, &sweep);
	}
	pfree(queue);
}

/* ---- answers ---- */

/* The result row of the event at work. */
static void
fill_row(SpWindow *w, const SpSlidingKey *key, const SpSlidingRow *row, int64 start)
{
	SpSliding  *s = w->sliding;
	const Datum *keys = sp_group_keys(&w->groups, key->group);
	const bool *key_nulls = sp_group_nulls(&w->groups, key->group);
	int			n = 0;
	int			i;

	s->values[n] = sp_result_time(start, w->types[0]);
	s->nulls[n++] = false;
	s->values[n] = sp_result_time(s->event->time, w->types[1]);
	s->nulls[n++] = false;
	for (i = 0; i < w->nkeys; i++, n++)
	{
		s->values[n] = keys[i];
		s->nulls[n] = key_nulls[i];
	}
	for (i = 0; i < w->ncarry; i++, n++)
	{
		const NullableDatum *column = &s->event->columns[s->columns.carry[i]];

		s->values[n] = column->value;
		s->nulls[n] = column->isnull;
	}
	memcpy(s->values + n, s->results, sizeof(Datum) * w->nshown);
	memcpy(s->nulls + n, s->result_nulls, sizeof(bool) * w->nshown);
	n += w->nshown;
	s->values[n++] = BoolGetDatum(true);
	s->values[n++] = Int32GetDatum((int32) row->revision + 1);
	s->values[n++] = LSNGetDatum(row->lsn);
	s->values[n++] = Int64GetDatum(row->ordinal);
}

/* The result row goes to what reads the window. */
static void
hand_on(Settling *work)
{
	SpSliding  *s = work->sliding;
	SpRowSet   *results = &work->results;
	int			natts = results->natts;

	memcpy(results->values + (Size) results->n * natts, s->values, sizeof(Datum) * natts);
	memcpy(results->nulls + (Size) results->n * natts, s->nulls, sizeof(bool) * natts);
	results->time[results->n] = s->event->time;
	results->no_time[results->n] = false;
	results->n++;
}

/* Answer the event at a place. */
static void
answer(Settling *work, const SpSlidingPlace *place)
{
	SpWindow   *w = work->window;
	SpSliding  *s = work->sliding;
	int			index;
	SpSlidingLeaf *leaf = sp_sliding_locate(s, place, &index);
	SpSlidingEvent *event = sp_sliding_event(s, leaf, index);
	SpSlidingRow *row = sp_sliding_row(s, event);
	int			sqlstate;
	int64		start;
	int64		after;

	memcpy(s->event, event, s->event_size);
	s->before = place->arrival;
	(void) sp_sliding_window_of(w, place->time, &start, &after);
	work->problem = sp_sliding_answer(s, place->key, after, &sqlstate);
	if (work->problem != NULL)
		return;
	sp_group_changing(&w->groups, leaf->group);
	fill_row(w, place->key, row, start);
	if (sp_having_passes_row(w, s->values, s->nulls, s->results + w->nshown,
							 s->result_nulls + w->nshown))
	{
		sp_inserts_add(&w->output, s->values, s->nulls);
		if (row->flags & SP_SLIDING_NEW)
			hand_on(work);
		row->revision++;
	}
	else
		delete_row(w, row);
	row->flags = 0;
	sp_group_changed(&w->groups, leaf->group);
}

/* As many as make a rowset; for sp_run_guarded(), and where nothing throws. */
static void
answer_some(void *arg)
{
	Settling   *work = arg;
	int64		end = Min(work->again.n, work->next + SP_ROWSET_MAX);

	CHECK_FOR_INTERRUPTS();
	for (; work->next < end && work->problem == NULL; work->next++)
		answer(work, &work->again.list[work->next]);
}

/* Answer all that are to be answered, in the order in which they came; false: it failed. */
static bool
answer_all(Settling *work, XLogRecPtr lsn, TimestampTz time)
{
	SpWindow   *w = work->window;
	ErrorData  *error;

	qsort(work->again.list, work->again.n, sizeof(SpSlidingPlace), compare_arrivals);
	while (work->next < work->again.n)
	{
		sp_result_begin_rows(w, &work->results, SP_ROWSET_MAX, lsn, time);
		if (!work->sliding->guarded)
		{
			MemoryContext old = MemoryContextSwitchTo(work->results.context);

			answer_some(work);
			MemoryContextSwitchTo(old);
		}
		else if (!sp_run_guarded(w->expressions, work->results.context, answer_some, work, &error))
			work->problem = error->message;
		work->sliding->before = PG_UINT64_MAX;
		if (work->problem != NULL)
		{
			sp_sliding_fail(w, work->problem);
			return false;
		}
		if (sp_result_is_read(w))
			sp_result_feed_rows(w, &work->results);
	}
	return true;
}

/* SpWindowOps.settle */
void
sp_sliding_settle(SpWindow *w, XLogRecPtr lsn, TimestampTz time)
{
	SpSliding  *s = w->sliding;
	Settling	work = {w, s};

	if (s->fresh.n == 0 && s->dead.n == 0)
		return;
	sp_inserts_begin(&w->output);
	if (s->fresh.n > 1)
		qsort(s->fresh.list, s->fresh.n, sizeof(SpSlidingPlace), compare_places);
	if (s->dead.n > 1)
		qsort(s->dead.list, s->dead.n, sizeof(SpSlidingPlace), compare_places);
	match(&work);
	welcome(&work);
	bury(&work);
	spread(&work);
	if (work.again.n == 0 || answer_all(&work, lsn, time))
		forget_keys(s);
	if (work.changes.list != NULL)
		pfree(work.changes.list);
	if (work.again.list != NULL)
		pfree(work.again.list);
	clear_places(&s->fresh);
	clear_places(&s->dead);
	s->passed.key = NULL;
}
