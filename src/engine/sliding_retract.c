/*
 * sliding_retract.c
 *	  Sliding windows: events that an UPDATE, DELETE or TRUNCATE of the source takes back.
 *
 * An event that is taken back loses its result row, and the answers that have counted it are
 * given again without it: those of events that came after it, with a time from its own to
 * before its own + size (bounds '[]': to that).  What was late, or is by now, is past grace
 * and stays.  All that is needed is in memory: an event that isn't past grace is newer than
 * watermark - size - grace, and so are those that have counted it, whose windows begin at most
 * size before.
 *
 * An answer that is given again is what it would have been: over the events that are there and
 * came before its own.  So events know when they came (arrival), and nodes of the tree the
 * latest arrival below them.
 *
 * What an UPDATE leaves has come when it was updated, and those before it don't count it;
 * unless key and time are as they were: then it takes the place of the old one, with its
 * arrival and its result row, as if it had come so.  If all that the window looks at is the
 * same, nothing has happened.
 *
 * In which order a transaction's rows come, those that it writes and those that it takes back,
 * depends on how its changes were gathered (feed/build.c), and nothing else may.  So in a
 * transaction that takes rows back, or may, events that come are put into memory, but answered
 * at its end (sliding_settle.c); what is taken back is only marked.  Of events that are alike the
 * first one to have come goes, which is the same one whatever came since.
 *
 * What reads the window gets the answers of events that have come, those that took another
 * one's place among them, and looks back at nothing.
 */
#include "engine/sliding.h"

#include "base/compat.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#define INITIAL_PLACES 64

/* ---- lists of events ---- */

/* Add one. */
void
sp_sliding_add_place(SpSliding *s, SpSlidingPlaces *places, const SpSlidingPlace *place)
{
	if (places->n == places->allocated)
	{
		int64		allocated = Max(INITIAL_PLACES, places->allocated * 2);

		if (places->list == NULL)
			places->list = MemoryContextAlloc(s->context, sizeof(SpSlidingPlace) * allocated);
		else
			places->list = repalloc_huge(places->list, sizeof(SpSlidingPlace) * allocated);
		places->allocated = allocated;
	}
	places->list[places->n++] = *place;
}

/* Add an event of a key. */
void
sp_sliding_note(SpSliding *s, SpSlidingPlaces *places, SpSlidingKey *key,
				const SpSlidingEvent *event)
{
	SpSlidingPlace place = {key, event->time, event->arrival};

	sp_sliding_add_place(s, places, &place);
}

/* ---- taking back ---- */

/* What take_back_rows() works on. */
typedef struct BackWork
{
	SpWindow   *window;
	SpRowSet   *rows;
	SpEvaluated *ev;
} BackWork;

/*
 * The first event of that time that is like the row at work, and was not taken back; or NULL.
 * Rows that go together mostly go in the order in which they have come: those that the search
 * would begin with are gone already, and are passed over.
 */
static SpSlidingEvent *
find_event(SpSliding *s, SpSlidingKey *key, int64 time)
{
	SpSlidingPlace *passed = &s->passed;
	bool		passes = true;
	int			i;
	SpSlidingLeaf *leaf;

	if (passed->key == key && passed->time == time)
	{
		leaf = sp_sliding_locate(s, passed, &i);
		i++;
	}
	else
		leaf = sp_sliding_find(s, key, time - 1, &i);
	for (; leaf != NULL; leaf = leaf->next, i = 0)
	{
		CHECK_FOR_INTERRUPTS();
		for (; i < leaf->node.n; i++)
		{
			SpSlidingEvent *event = sp_sliding_event(s, leaf, i);

			if (event->time != time)
				return NULL;
			if (sp_sliding_row(s, event)->flags & SP_SLIDING_DEAD)
			{
				if (passes)
					*passed = (SpSlidingPlace){key, time, event->arrival};
				continue;
			}
			if (sp_columns_equal(&s->columns, event->columns, s->event->columns))
				return event;
			passes = false;
		}
	}
	return NULL;
}

/* An event goes at the end of the transaction. */
static void
take_away(SpSliding *s, SpSlidingKey *key, SpSlidingEvent *event, int64 flags)
{
	sp_sliding_row(s, event)->flags |= flags;
	sp_sliding_note(s, &s->dead, key, event);
	s->window->retracted++;
}

/* Row i; false: it is past grace, or isn't there. */
static bool
take_back_row(BackWork *work, int i)
{
	SpWindow   *w = work->window;
	SpSliding  *s = w->sliding;
	int64		time = work->rows->time[i];
	Datum		keys[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	uint32		hash;
	SpSlidingKey *key;
	SpSlidingEvent *event;

	if (sp_clock_is_late(w, work->rows, time, sp_clock_add(time, w->def->size_us)) ||
		sp_refusal_take(w, work->rows, work->ev, i))
		return false;
	key = sp_sliding_find_key(w, work->ev, i, keys, nulls, &hash);
	if (key == NULL)
		return false;
	sp_columns_take(&s->columns, work->ev, i, s->event->columns);
	sp_columns_flatten(&s->columns, s->event->columns);
	event = find_event(s, key, time);
	if (event == NULL)
		return false;
	take_away(s, key, event, SP_SLIDING_DEAD);
	return true;
}

/* All rows of a rowset; for sp_run_guarded(), and where nothing throws. */
static void
take_back_rows(void *arg)
{
	BackWork   *work = arg;
	SpWindow   *w = work->window;
	int			i;

	for (i = 0; i < work->rows->n; i++)
	{
		int64		start;
		int64		after;

		if (work->ev->pass[i] &&
			sp_sliding_window_of(w, work->rows->time[i], &start, &after) &&
			!take_back_row(work, i))
			sp_retract_ignore(w);
	}
}

/* A row that should go can't, and the window has failed. */
void
sp_sliding_fail(SpWindow *w, const char *problem)
{
	sp_failure_window(w, psprintf("a row can't be taken back: %s", problem));
}

/* Rows as they were. */
void
sp_sliding_take_back(SpWindow *w, SpRowSet *rows, SpEvaluated *ev)
{
	BackWork	work = {w, rows, ev};
	ErrorData  *error;

	if (!w->sliding->guarded)
		take_back_rows(&work);
	else if (!sp_run_guarded(w->expressions, rows->context, take_back_rows, &work, &error))
		sp_sliding_fail(w, error->message);
}

/* SpWindowOps.truncate: what isn't past grace goes. */
void
sp_sliding_truncate(SpWindow *w)
{
	SpSliding  *s = w->sliding;
	List	   *groups = sp_bucket_sorted_groups(&w->groups);
	SpRowSet	rows = {0};
	ListCell   *lc;
	int			i;

	foreach(lc, groups)
	{
		SpGroup    *group = lfirst(lc);
		SpSlidingLeaf *leaf;

		if (group->start == 0)
			continue;
		leaf = sp_sliding_leaf_of(&w->groups, group);
		for (i = 0; i < leaf->node.n; i++)
		{
			SpSlidingEvent *event = sp_sliding_event(s, leaf, i);

			if (!(sp_sliding_row(s, event)->flags & SP_SLIDING_DEAD) &&
				!sp_clock_is_late(w, &rows, event->time,
								  sp_clock_add(event->time, w->def->size_us)))
				take_away(s, leaf->key, event, SP_SLIDING_DEAD | SP_SLIDING_TRUNCATED);
		}
	}
	list_free(groups);
	sp_retract_ignore(w);		/* past grace there may be rows that are forgotten here */
}
