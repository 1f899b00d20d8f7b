/*
 * output.c
 *	  What an object has computed and not yet written: dirty groups, alerts, dead letters.
 *
 * While an object replays (events before its output_lsn, after a crash), output gathers
 * as ever and is thrown away when output_lsn is reached: the tables have it already.
 */
#include "engine/internal.h"

#include "access/xact.h"
#include "base/compat.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#define INITIAL_GROUPS 256

/* Nothing to write. */
void
sp_output_init(SpOutput *output, MemoryContext parent)
{
	memset(output, 0, sizeof(*output));
	output->context = AllocSetContextCreate(parent, "streamproc output", ALLOCSET_DEFAULT_SIZES);
	dlist_init(&output->dead);
	dlist_init(&output->alerts);
	output->groups = MemoryContextAlloc(parent, sizeof(SpGroup *) * INITIAL_GROUPS);
	output->groups_allocated = INITIAL_GROUPS;
}

/* Note when the first unwritten change came. */
static inline void
note_change(SpOutput *output)
{
	if (output->first_change == 0)
		output->first_change = GetCurrentTransactionStartTimestamp();
}

/* The object can't take row i, which may be known already.  reason must be a constant. */
void
sp_output_dead(SpOutput *output, const SpRowSet *rows, int i,
			   const char *reason, const char *sqlstate, const char *message)
{
	MemoryContext old;
	SpDeadLetter *dead;
	TupleDesc	desc;
	Datum	   *values;
	bool	   *nulls;
	int			a;

	if (output->replaying || rows->retract || rows->provisional)
		return;
	sp_rowset_full_row(rows, i, &desc, &values, &nulls);
	old = MemoryContextSwitchTo(output->context);
	dead = palloc0(sizeof(SpDeadLetter));
	dead->reason = reason;
	dead->sqlstate = sqlstate ? pstrdup(sqlstate) : NULL;
	dead->message = message ? pstrdup(message) : NULL;
	dead->event_time = rows->no_time[i] ? SP_NO_TIME : rows->time[i];
	dead->missed_until = SP_NO_TIME;
	dead->lsn = rows->backfill ? InvalidXLogRecPtr : rows->lsn;
	dead->ordinal = rows->first_ordinal + i;
	dead->desc = desc;
	dead->values = palloc(sizeof(Datum) * desc->natts);
	dead->nulls = palloc(sizeof(bool) * desc->natts);
	for (a = 0; a < desc->natts; a++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, a);

		dead->nulls[a] = nulls[a] || attr->attisdropped;
		dead->values[a] = dead->nulls[a] ? (Datum) 0 :
			datumCopy(values[a], attr->attbyval, attr->attlen);
	}
	dlist_push_tail(&output->dead, &dead->node);
	output->ndead++;
	note_change(output);
	MemoryContextSwitchTo(old);
}

/* The object takes row i, but not in the windows that end no later than missed_until. */
void
sp_output_dead_partly(SpOutput *output, const SpRowSet *rows, int i, const char *message,
					  int64 missed_until)
{
	if (output->replaying)
		return;
	sp_output_dead(output, rows, i, "partial_late", NULL, message);
	dlist_tail_element(SpDeadLetter, node, &output->dead)->missed_until = missed_until;
}

/* Is the group's result row to be written? */
bool
sp_output_has(const SpOutput *output, const SpGroup *group)
{
	if (group->flags & SP_GROUP_DIRTY)
		return true;
	return output->npages > 0 &&
		(output->window->result_groups->pages[group->page]->marks & SP_PAGE_UNWRITTEN) != 0;
}

/* The group's result row must be written. */
void
sp_output_group(SpOutput *output, SpGroup *group)
{
	if (sp_output_has(output, group))
		return;
	if (output->ngroups == output->groups_allocated)
	{
		output->groups_allocated *= 2;
		output->groups = repalloc_huge(output->groups,
									   sizeof(SpGroup *) * (Size) output->groups_allocated);
	}
	output->groups[output->ngroups++] = group;
	output->any_gone |= (group->flags & SP_GROUP_GONE) != 0;
	group->flags |= SP_GROUP_DIRTY;
	if (group->bucket != NULL)
		group->bucket->ndirty++;
	note_change(output);
}

/* So must those of all groups of a page that is a bucket's own; it may be marked already. */
void
sp_output_page(SpOutput *output, SpPage *page)
{
	if (!(page->marks & SP_PAGE_UNWRITTEN))
		sp_group_mark_page(output->window->result_groups, page, SP_PAGE_UNWRITTEN);
	if (output->npages == output->pages_allocated)
	{
		int			allocated = Max(INITIAL_GROUPS, output->pages_allocated * 2);
		SpPage	  **pages = MemoryContextAllocHuge(output->window->context,
												   sizeof(SpPage *) * (Size) allocated);

		if (output->pages != NULL)
		{
			memcpy(pages, output->pages, sizeof(SpPage *) * output->npages);
			pfree(output->pages);
		}
		output->pages = pages;
		output->pages_allocated = allocated;
	}
	output->pages[output->npages++] = page;
	output->npage_groups += page->ntotal;
	page->bucket->ndirty += page->ntotal;
	note_change(output);
}

/*
 * The group has ended: its result row, if there is one, is to be deleted.  The caller must not
 * touch it any more; it may be forgotten already.
 */
void
sp_output_gone(SpWindow *w, SpGroup *group)
{
	SpOutput   *output = &w->output;

	if (!(group->flags & (SP_GROUP_DIRTY | SP_GROUP_WRITTEN)))
	{
		w->ops->remove(w, group);
		return;
	}
	sp_group_changing(&w->groups, group);
	group->flags |= SP_GROUP_GONE;
	sp_group_hide(&w->groups, group);
	if (group->bucket != NULL)
		sp_bucket_hide(group);
	sp_group_changed(&w->groups, group);
	sp_output_group(output, group);
	output->any_gone = true;
}

/* Deletions before other writes, for a group may have the key of a gone one. */
void
sp_output_sort(SpOutput *output)
{
	SpGroup   **groups = output->groups;
	int			ngone = 0;
	int			i;

	for (i = 0; output->any_gone && i < output->ngroups; i++)
	{
		SpGroup    *group = groups[i];

		if (!(group->flags & SP_GROUP_GONE))
			continue;
		groups[i] = groups[ngone];
		groups[ngone++] = group;
	}
}

/* How much waits to be written? */
uint64
sp_output_count(const SpOutput *output)
{
	return output->ngroups + output->npage_groups + output->ninserts + output->ndead +
		output->nalerts;
}

/* Nothing waits to be written. */
bool
sp_output_is_empty(const SpOutput *output)
{
	return sp_output_count(output) == 0;
}

/* What the tables have of the group is up to date. */
static void
clear_group(SpOutput *output, SpGroup *group)
{
	SpGroups   *groups = output->window->result_groups;

	sp_group_changing(groups, group);
	sp_group_changed(groups, group);
	group->flags &= ~SP_GROUP_DIRTY;
	if (group->bucket != NULL)
		group->bucket->ndirty--;
	if (group->flags & SP_GROUP_GONE)
		output->window->ops->remove(output->window, group);
	/* what a replay would have written isn't known */
	else if ((group->flags & SP_GROUP_ABSENT) && !output->replaying)
		group->flags &= ~SP_GROUP_WRITTEN;
	else
		group->flags |= SP_GROUP_WRITTEN;
}

/* The same of the groups of a page. */
static void
clear_page(SpOutput *output, SpPage *page)
{
	SpGroups   *groups = output->window->result_groups;

	if (output->replaying)
		sp_group_mark_page(groups, page, SP_PAGE_WRITTEN);
	sp_group_unmark_page(groups, page, SP_PAGE_UNWRITTEN);
	page->bucket->ndirty -= page->ntotal;
}

/* All has been written and committed: groups are one revision further, and clean. */
void
sp_output_committed(SpOutput *output)
{
	int			i;

	for (i = 0; i < output->npages; i++)
		sp_group_mark_page(output->window->result_groups, output->pages[i], SP_PAGE_REVISED);
	for (i = 0; i < output->ngroups; i++)
	{
		SpGroup    *group = output->groups[i];

		sp_group_changing(output->window->result_groups, group);
		if (!(group->flags & SP_GROUP_ABSENT))
			group->revision++;
		sp_group_changed(output->window->result_groups, group);
	}
	sp_output_clear(output);
}

/* Nothing is to be written any more, for it was, or is in the tables already. */
void
sp_output_clear(SpOutput *output)
{
	int			i;

	/* before the dirty groups on them are clean */
	for (i = 0; i < output->npages; i++)
		clear_page(output, output->pages[i]);
	output->npages = 0;
	output->npage_groups = 0;
	for (i = 0; i < output->ngroups; i++)
		clear_group(output, output->groups[i]);
	output->ngroups = 0;
	output->any_gone = false;
	sp_inserts_clear(output);
	if (output->ndead > 0 || output->nalerts > 0)
	{
		MemoryContextReset(output->context);
		dlist_init(&output->dead);
		dlist_init(&output->alerts);
		output->ndead = 0;
		output->nalerts = 0;
	}
	output->first_change = 0;
	output->retry_at = 0;
	output->failures = 0;
}

/* Events from lsn on come next: where the replay ends, what it gathered is forgotten. */
void
sp_output_reach(SpOutput *output, XLogRecPtr lsn)
{
	if (!output->replaying || lsn < output->output_lsn)
		return;
	sp_output_clear(output);
	output->replaying = false;
}
