/*
 * sample.c
 *	  Rows of a window before they are sealed, for detectors that score each update of them.
 *
 * While an event is at work, the window notes which groups it has changed: by their places, for a
 * group may end, or go out of memory, before the event does.  At its end, when the window is
 * closed as far as the clock has come, those that are still there and not sealed are handed on, in
 * the order of their creation: what an event does to a row is seen once, however many rowsets it
 * took, and in the same order after a restart.
 *
 * Which rows a detector has told of is part of its state (d->told): a group for each, known by the
 * sequence of the window's group, until nothing can change that any more.
 */
#include "engine/sample.h"

#include "base/compat.h"
#include "utils/memutils.h"

#define INITIAL_PLACES 256

/* Where a group of the window stands. */
typedef struct Place
{
	uint64		sequence;
	int32		page;
	int32		slot;
} Place;

/* The groups that the event at work has changed, each at least once. */
struct SpSamples
{
	Place	   *places;
	int			n;
	int			allocated;
};

/* ---- who wants them ---- */

/* Does anybody score updates of the window's rows? */
static bool
is_sampled(const SpWindow *w)
{
	ListCell   *lc;

	/* these have no rows before they are final */
	if (w->panes != NULL || w->sliding != NULL)
		return false;
	foreach(lc, w->detectors)
	{
		if (((SpDetector *) lfirst(lc))->def->sample_update)
			return true;
	}
	return false;
}

/* Note changes from now on, or no more. */
static void
follow(SpWindow *w)
{
	bool		wanted = is_sampled(w);

	if (wanted && w->samples == NULL)
	{
		w->samples = MemoryContextAllocZero(w->context, sizeof(SpSamples));
		w->samples->allocated = INITIAL_PLACES;
		w->samples->places = MemoryContextAlloc(w->context, sizeof(Place) * INITIAL_PLACES);
	}
	else if (!wanted && w->samples != NULL)
	{
		pfree(w->samples->places);
		pfree(w->samples);
		w->samples = NULL;
	}
}

void
sp_sample_attach(SpWindow *w, SpDetector *d)
{
	w->detectors = sp_registry_append(w->detectors, d);
	follow(w);
}

void
sp_sample_detach(SpWindow *w, SpDetector *d)
{
	w->detectors = list_delete_ptr(w->detectors, d);
	follow(w);
}

/* ---- what has changed ---- */

/* In the order of creation. */
static int
compare_places(const void *a, const void *b)
{
	const Place *x = a;
	const Place *y = b;

	if (x->sequence != y->sequence)
		return x->sequence < y->sequence ? -1 : 1;
	if (x->page != y->page)
		return x->page < y->page ? -1 : 1;
	return (x->slot > y->slot) - (x->slot < y->slot);
}

/* Each place once. */
static void
unite(SpSamples *s)
{
	int			n = 0;

	if (s->n < 2)
		return;
	qsort(s->places, s->n, sizeof(Place), compare_places);
	for (int i = 1; i < s->n; i++)
	{
		if (compare_places(&s->places[n], &s->places[i]) != 0)
			s->places[++n] = s->places[i];
	}
	s->n = n + 1;
}

void
sp_sample_add(SpWindow *w, const SpGroup *group)
{
	SpSamples  *s = w->samples;
	Place	   *place;

	if (s->n == s->allocated)
		unite(s);
	if (s->n > s->allocated / 2)
	{
		s->allocated *= 2;
		s->places = repalloc_huge(s->places, sizeof(Place) * (Size) s->allocated);
	}
	place = &s->places[s->n++];
	place->sequence = group->sequence;
	place->page = group->page;
	place->slot = group->page_slot;
}

/* The group, brought into memory; NULL: it has no row, or was sealed. */
static SpGroup *
find_group(SpWindow *w, const Place *place)
{
	SpPage	   *page = w->groups.pages[place->page];
	SpGroup    *group;

	if (page == NULL)
		return NULL;
	if (page->spilled_size > 0)
		sp_spill_bring_page(&w->groups, page);
	group = sp_page_group(&w->groups, page, place->slot);
	if (group == NULL || group->sequence != place->sequence ||
		(group->flags & (SP_GROUP_GONE | SP_GROUP_SEALED)))
		return NULL;
	return group;
}

void
sp_sample_describe(SpWindow *w, const SpGroup *group, int64 end, SpOrigin *origin)
{
	origin->sequence = group->sequence;
	origin->until = w->def->window_kind == SP_WINDOW_GLOBAL ? DT_NOEND :
		sp_clock_add(end, w->def->grace_us);
	origin->early = (group->flags & SP_GROUP_FINAL) == 0;
}

/* ---- what was told ---- */

/* SpValueWrite: the watermark until which it is to be remembered. */
void
sp_sample_write_value(void *detector, SpGroup *group, StringInfo buf)
{
	SpDetector *d = detector;

	appendBinaryStringInfo(buf, sp_group_value(&d->told, group), sizeof(int64));
}

/* SpValueRead */
static void
read_value(void *detector, SpGroup *group, const char **p, const char *end)
{
	SpDetector *d = detector;

	sp_read_bytes(p, end, sp_group_value(&d->told, group), sizeof(int64));
}

void
sp_sample_load_page(SpDetector *d, int32 page, const char *data, Size size)
{
	sp_group_load_page(&d->told, page, data, size, read_value, d);
}

void
sp_sample_open(SpDetector *d)
{
	sp_group_init(&d->told,
				  AllocSetContextCreate(d->context, "streamproc told", ALLOCSET_DEFAULT_SIZES),
				  0, NULL, sizeof(int64));
	d->told.first_page = SP_TOLD_PAGES;
	d->told_due = PG_INT64_MIN;
}

/* What is remembered of the row, or NULL. */
static SpGroup *
find_told(SpDetector *d, uint64 sequence, uint32 *hash)
{
	*hash = sp_group_hash(&d->told, (int64) sequence, NULL, NULL);
	return sp_group_find(&d->told, *hash, (int64) sequence, NULL, NULL);
}

bool
sp_sample_was_told(SpDetector *d, const SpOrigin *origin)
{
	uint32		hash;

	return sp_group_count(&d->told) > 0 && find_told(d, origin->sequence, &hash) != NULL;
}

void
sp_sample_tell(SpDetector *d, const SpOrigin *origin)
{
	uint32		hash;
	SpGroup    *told = find_told(d, origin->sequence, &hash);

	if (told == NULL)
		told = sp_group_add(&d->told, hash, (int64) origin->sequence, NULL, NULL);
	*(int64 *) sp_group_value(&d->told, told) = origin->until;
	d->told_due = Min(d->told_due, origin->until);
	sp_group_changed(&d->told, told);
}

/* The row has changed: it may be there for longer. */
static void
extend(SpWindow *w, const SpGroup *group)
{
	int64		start;
	int64		end;
	SpOrigin	origin;
	ListCell   *lc;

	w->ops->bounds(w, unconstify(SpGroup *, group), &start, &end);
	sp_sample_describe(w, group, end, &origin);
	foreach(lc, w->detectors)
	{
		SpDetector *d = lfirst(lc);

		if (d->def->sample_update && sp_sample_was_told(d, &origin))
			sp_sample_tell(d, &origin);
	}
}

void
sp_sample_merge(SpWindow *w, const SpGroup *into, const SpGroup *from)
{
	SpOrigin	origin = {.sequence = from->sequence};
	ListCell   *lc;

	foreach(lc, w->detectors)
	{
		SpDetector *d = lfirst(lc);

		if (!d->def->sample_update || !sp_sample_was_told(d, &origin))
			continue;
		/* until when is known at the end of the event, for the group has changed: see extend() */
		origin = (SpOrigin){.sequence = into->sequence, .until = DT_NOEND};
		sp_sample_tell(d, &origin);
		origin.sequence = from->sequence;
	}
}

/* Forget the rows that were sealed by then. */
static void
forget(SpDetector *d, int64 watermark)
{
	SpGroups   *told = &d->told;

	if (sp_group_count(told) == 0 || d->told_due > watermark)
		return;
	d->told_due = DT_NOEND;
	for (int32 p = 1; p < told->npages; p++)
	{
		SpPage	   *page = told->pages[p];

		for (int i = 0; page != NULL && page->groups != NULL && i < told->page_groups; i++)
		{
			SpGroup    *group = sp_page_group(told, page, i);
			int64		until;

			if (group == NULL)
				continue;
			until = *(int64 *) sp_group_value(told, group);
			if (until > watermark)
			{
				d->told_due = Min(d->told_due, until);
				continue;
			}
			sp_group_changing(told, group);
			sp_group_remove(told, group);
		}
	}
}

/* ---- the end of an event ---- */

void
sp_sample_run(SpWindow *w, XLogRecPtr lsn, TimestampTz time)
{
	SpSamples  *s = w->samples;
	SpFeed		feed;
	ListCell   *lc;

	if (s == NULL)
		return;
	if (w->def->o.state == SP_STATE_FAILED)
	{
		s->n = 0;
		return;
	}
	unite(s);
	sp_result_feed_begin(&feed, w, lsn, time);
	feed.provisional = true;
	for (int i = 0; i < s->n; i++)
	{
		SpGroup    *group;

		/* handing rows on may spill pages: not while one of this is looked at */
		if (feed.n == SP_ROWSET_MAX)
			sp_result_feed_end(&feed);
		group = find_group(w, &s->places[i]);
		if (group == NULL)
			continue;
		extend(w, group);
		sp_result_feed_group(&feed, group);
	}
	sp_result_feed_end(&feed);
	s->n = 0;
	foreach(lc, w->detectors)
	{
		SpDetector *d = lfirst(lc);

		if (d->def->sample_update)
			forget(d, w->advanced_to);
	}
}
