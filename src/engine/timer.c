/*
 * timer.c
 *	  Detectors whose keys may be overdue.
 *
 * A heap, the first to be overdue on top; of those at the same time the one whose key came first.
 * Each group knows its place in the heap.
 */
#include "engine/timer.h"

#include <math.h>

#include "base/compat.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define NOWHERE		(-1)
#define NEVER		PG_INT64_MAX

typedef struct SpTimer
{
	int64		due;			/* UTC */
	SpGroup    *group;
} SpTimer;

struct SpTimers
{
	MemoryContext context;
	SpTimer    *heap;
	int64		n;
	int64		allocated;
	XLogRecPtr	lsn;			/* of the event that fired last */
	int64		fired;			/* rows of that event; of a backfill all */
};

/* ---- the heap ---- */

/* Where the group stands in the heap. */
static inline int64 *
get_place(SpDetector *d, SpGroup *group)
{
	return (int64 *) (sp_group_value(&d->groups, group) + sp_series_size(d->method));
}

static inline bool
is_before(const SpTimer *a, const SpTimer *b)
{
	return a->due < b->due || (a->due == b->due && a->group->sequence < b->group->sequence);
}

static inline void
put(SpDetector *d, int64 at, SpTimer timer)
{
	d->timers->heap[at] = timer;
	*get_place(d, timer.group) = at;
}

/* Let a timer find its place, from one that is free. */
static void
settle(SpDetector *d, int64 at, SpTimer timer)
{
	struct SpTimers *t = d->timers;

	while (at > 0 && is_before(&timer, &t->heap[(at - 1) / 2]))
	{
		put(d, at, t->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	for (;;)
	{
		int64		child = 2 * at + 1;

		if (child + 1 < t->n && is_before(&t->heap[child + 1], &t->heap[child]))
			child++;
		if (child >= t->n || !is_before(&t->heap[child], &timer))
			break;
		put(d, at, t->heap[child]);
		at = child;
	}
	put(d, at, timer);
}

/* The group has no timer any more. */
static void
remove_timer(SpDetector *d, SpGroup *group)
{
	struct SpTimers *t = d->timers;
	int64		at = *get_place(d, group);

	if (at == NOWHERE)
		return;
	*get_place(d, group) = NOWHERE;
	if (at != --t->n)
		settle(d, at, t->heap[t->n]);
}

static void
add_timer(SpDetector *d, SpGroup *group, int64 due)
{
	struct SpTimers *t = d->timers;
	SpTimer		timer = {due, group};

	if (*get_place(d, group) != NOWHERE)
	{
		settle(d, *get_place(d, group), timer);
		return;
	}
	if (t->n == t->allocated)
	{
		t->allocated *= 2;
		t->heap = repalloc_huge(t->heap, sizeof(SpTimer) * t->allocated);
	}
	settle(d, t->n++, timer);
}

/* ---- timers ---- */

void
sp_timer_open(SpDetector *d)
{
	struct SpTimers *t;

	if (sp_timer_size(d->method) == 0)
		return;
	t = palloc0(sizeof(struct SpTimers));
	t->context = AllocSetContextCreate(d->context, "streamproc timers", ALLOCSET_DEFAULT_SIZES);
	t->allocated = 64;
	t->heap = MemoryContextAlloc(t->context, sizeof(SpTimer) * t->allocated);
	d->timers = t;
}

void
sp_timer_init(SpDetector *d, SpGroup *group)
{
	*get_place(d, group) = NOWHERE;
}

void
sp_timer_set(SpDetector *d, SpGroup *group, const SpMethod *method)
{
	const SpSeries *series = sp_detector_series(d, group);
	int64		due = series->overdue ? NEVER : sp_series_due(method, series);

	if (due == NEVER)
		remove_timer(d, group);
	else
		add_timer(d, group, due);
}

void
sp_timer_set_for(SpDetector *d, SpGroup *group, const SpOverride *override)
{
	SpSeries   *series = sp_detector_series(d, group);
	SpMethod	tuned;

	if (series->overdue == SP_OVERDUE_MUTED && (override == NULL || !override->muted))
	{
		sp_group_changing(&d->groups, group);
		series->overdue = SP_OVERDUE_NOT;
		sp_group_changed(&d->groups, group);
	}
	sp_timer_set(d, group, sp_override_method(d, override, &tuned));
}

void
sp_timer_set_all(SpDetector *d)
{
	d->timers->n = 0;
	for (int32 p = 1; p < d->groups.npages; p++)
	{
		SpPage	   *page = d->groups.pages[p];

		for (int i = 0; page != NULL && page->groups != NULL && i < d->groups.page_groups; i++)
		{
			SpGroup    *group = sp_page_group(&d->groups, page, i);

			if (group == NULL)
				continue;
			sp_timer_init(d, group);
			sp_timer_set_for(d, group, sp_override_of(d, group));
		}
	}
}

/* ---- the clock ---- */

/* The stream whose clock it is, with the unit of event times. */
static inline const SpStream *
get_stream(const SpDetector *d)
{
	return d->stream != NULL ? d->stream : d->window->stream;
}

/* A key is overdue: its result row. */
static void
fire(SpDetector *d, SpGroup *group, int64 due, XLogRecPtr lsn, bool backfill)
{
	const SpStream *s = get_stream(d);
	struct SpTimers *t = d->timers;
	SpMoment	moment = {sp_time_from_utc(due, s->def->time_type, s->zone), s->def->time_type, lsn, 0,
	backfill};
	SpVerdict	v;

	if (t->lsn != lsn)
		t->fired = 0;
	t->lsn = lsn;
	moment.ordinal = SP_TIMER_ORDINAL + t->fired++;
	v.override = sp_override_of(d, group);
	sp_detector_judge_overdue(d, group, due, moment.time, &v);
	d->changed = true;
	if (v.finding.is_anomaly && !v.in_cooldown && !v.muted)
		sp_detector_add_key_result(d, group, &moment, &v, NULL);
}

/* The clock, in the unit of event times, has come there with the event at lsn: who is overdue? */
static void
fire_until(SpDetector *d, int64 clock, XLogRecPtr lsn, bool backfill)
{
	struct SpTimers *t = d->timers;
	const SpStream *s = get_stream(d);
	MemoryContext context;
	MemoryContext old;
	int64		until;

	if (t->n == 0 || clock == SP_NO_WATERMARK)
		return;
	until = sp_time_to_utc(clock, s->def->time_type, s->zone);
	if (t->heap[0].due > until)
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "streamproc overdue",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	while (t->n > 0 && t->heap[0].due <= until)
	{
		SpTimer		timer = t->heap[0];

		remove_timer(d, timer.group);
		fire(d, timer.group, timer.due, lsn, backfill);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* How far what the detector reads has come for certain, when the watermark of its stream is there. */
static int64
get_clock(const SpDetector *d, int64 watermark)
{
	if (d->window == NULL)
		return watermark;
	return sp_clock_behind(sp_clock_watermark_at(d->window, watermark),
						   sp_clock_add(d->window->def->grace_us, 1));
}

void
sp_timer_advance_to(SpDetector *d, int64 watermark, XLogRecPtr lsn)
{
	if (sp_timer_has(d))
		fire_until(d, get_clock(d, watermark), lsn, false);
}

void
sp_timer_advance(SpDetector *d, XLogRecPtr lsn)
{
	sp_timer_advance_to(d, get_stream(d)->watermark, lsn);
}

/* Times beyond don't move the clock. */
static int64
get_limit(const SpStream *s, TimestampTz now)
{
	int64		limit = sp_time_from_utc(now, s->def->time_type, s->zone);

	return Min(sp_clock_add(limit, s->def->max_future_us), DT_NOEND - 1);
}

void
sp_timer_pass(SpDetector *d, const SpRowSet *rows, int i)
{
	const SpStream *s = get_stream(d);
	int64		time = rows->time[i];

	if (d->timers->n == 0 || rows->no_time[i])
		return;
	/* rows of windows are there when the clock has passed them, but for those of sliding ones */
	if (d->window != NULL && d->window->def->window_kind != SP_WINDOW_SLIDING)
		fire_until(d, time, rows->lsn, true);
	else if (time <= get_limit(s, rows->commit_time))
		fire_until(d, get_clock(d, sp_clock_behind(time, s->def->watermark_us)), rows->lsn, true);
}

int64
sp_timer_reach(const SpDetector *d)
{
	const SpStream *s = get_stream(d);
	int64		due;

	if (!sp_timer_has(d) || d->timers->n == 0)
		return DT_NOEND;
	due = sp_time_from_utc(d->timers->heap[0].due, s->def->time_type, s->zone);
	if (d->window == NULL)
		return sp_clock_add(due, s->def->watermark_us);
	return sp_clock_reach_for(d->window,
							  sp_clock_add(due, sp_clock_add(d->window->def->grace_us, 1)));
}
