/*
 * bucket_page.c
 *	  Pages that are a bucket's own.
 *
 * The first groups of a bucket stand on pages with those of others, and in the bucket's list:
 * so small windows take little.  When there are as many as a page holds, those that come stand
 * on pages of the bucket's own.  It lists the pages, not the groups, which may be out of memory
 * (spill.c).  To go through a bucket is to go through
 *
 *	its list of groups, then its pages, and of each the groups by their places on it
 *
 * which is the order of creation, whatever was spilled, and the same after a restart.  For
 *
 *	- groups are added to the last page alone, and all others are full;
 *	- a page has a group of each place up to the last one that it has: taken away are only
 *	  groups that were the last to come (by undoing a row).
 *
 * A page knows how many groups it has and how many are final and sealed, in memory or not.
 * So closing a window brings nothing back: a page that is full, and of which no group is
 * final, becomes final by a mark, and goes on the list of output as a whole (SP_PAGE_UNWRITTEN).
 * Then all its groups are written with it but the dirty ones, which are on the list of output
 * for themselves.  While the page is listed none becomes dirty, so that each is written once;
 * and none is added to it, for it is full.
 */
#include "engine/internal.h"

#include "base/compat.h"
#include "utils/memutils.h"

#define INITIAL_PAGES 4

/* Have a page in memory. */
static inline void
bring_back(SpGroups *groups, SpPage *page)
{
	if (page->spilled_size > 0)
		sp_spill_bring_page(groups, page);
}

/* Is the next group of the bucket for a page of its own? */
bool
sp_bucket_page_is_next(const SpBucket *bucket)
{
	return bucket->npages > 0 || bucket->ngroups >= SP_PAGE_GROUPS;
}

/* The bucket has one page more. */
static void
add_page(SpGroups *groups, SpBucket *bucket, SpPage *page)
{
	if (bucket->npages == bucket->pages_allocated)
	{
		int			allocated = Max(INITIAL_PAGES, bucket->pages_allocated * 2);
		SpPage	  **pages = MemoryContextAllocHuge(groups->context,
												   sizeof(SpPage *) * (Size) allocated);

		if (bucket->pages != NULL)
		{
			memcpy(pages, bucket->pages, sizeof(SpPage *) * bucket->npages);
			pfree(bucket->pages);
		}
		bucket->pages = pages;
		bucket->pages_allocated = allocated;
	}
	bucket->pages[bucket->npages++] = page;
	page->bucket = bucket;
	page->marks |= SP_PAGE_OWN;
}

/* The page for the next group. */
static SpPage *
get_page(SpGroups *groups, SpBucket *bucket)
{
	SpPage	   *page = bucket->npages > 0 ? bucket->pages[bucket->npages - 1] : NULL;

	if (page == NULL || page->ntotal >= groups->page_groups)
	{
		page = sp_group_empty_page(groups);
		add_page(groups, bucket, page);
	}
	bring_back(groups, page);
	return page;
}

/* Add a group that isn't there.  Its value is zeroed. */
SpGroup *
sp_bucket_page_add(SpGroups *groups, SpBucket *bucket, uint32 hash, const Datum *keys,
				   const bool *nulls)
{
	SpPage	   *page = get_page(groups, bucket);
	SpGroup    *group = sp_group_add_to(groups, page, hash, bucket->at, keys, nulls);

	if (page->ntotal++ == 0)
		page->latest = (int64) group->sequence;
	bucket->ngroups++;
	return group;
}

/* The group, which was the last to come, is about to be removed. */
void
sp_bucket_page_leave(SpGroups *groups, SpGroup *group)
{
	SpPage	   *page = groups->pages[group->page];

	page->ntotal--;
	page->bucket->ngroups--;
	if (group->flags & SP_GROUP_FINAL)
		page->nfinal--;
	if (group->flags & SP_GROUP_SEALED)
		page->nsealed--;
	if (group->flags & SP_GROUP_DIRTY)
		page->bucket->ndirty--;
	group->bucket = NULL;
}

/* ---- closing ---- */

/* A page of which some groups are final, or to which more will come. */
static void
finish_groups(SpWindow *w, SpPage *page)
{
	int			i;

	bring_back(&w->groups, page);
	sp_group_keep(&w->groups, page);
	for (i = 0; i < SP_PAGE_GROUPS; i++)
	{
		SpGroup    *group = sp_page_group(&w->groups, page, i);

		if (group == NULL || (group->flags & SP_GROUP_FINAL))
			continue;
		group->flags |= SP_GROUP_FINAL;
		sp_bucket_window_changed(w, group);
	}
}

/* All groups on the bucket's pages are final. */
void
sp_bucket_page_finish(SpWindow *w, SpBucket *bucket)
{
	int			i;

	for (i = bucket->first_open_page; i < bucket->npages; i++)
	{
		SpPage	   *page = bucket->pages[i];

		if (page->nfinal == page->ntotal)
			continue;
		if (page->nfinal > 0 || page->ntotal < w->groups.page_groups ||
			(w->samples != NULL && w->def->grace_us > 0))
			finish_groups(w, page);
		else
		{
			sp_group_mark_page(&w->groups, page, SP_PAGE_FINAL);
			sp_output_page(&w->output, page);
		}
		page->nfinal = page->ntotal;
	}
	bucket->first_open_page = Max(0, bucket->npages - 1);
}

/* Forget all groups on the bucket's pages. */
void
sp_bucket_page_drop_all(SpGroups *groups, SpBucket *bucket)
{
	int			i;

	for (i = 0; i < bucket->npages; i++)
	{
		bucket->ngroups -= bucket->pages[i]->ntotal;
		sp_group_drop_page(groups, bucket->pages[i]);
	}
	bucket->npages = 0;
}

/* ---- loading ---- */

/* What the group has to do with the bucket and output, as far as its page doesn't tell. */
static void
take_group(SpWindow *w, SpPage *page, SpGroup *group)
{
	bool		is_dirty = (group->flags & SP_GROUP_DIRTY) != 0;

	group->bucket = page->bucket;
	page->ntotal++;
	if (group->flags & SP_GROUP_FINAL)
		page->nfinal++;
	if (group->flags & SP_GROUP_SEALED)
		page->nsealed++;
	group->flags &= ~SP_GROUP_DIRTY;
	if (is_dirty && !(page->marks & SP_PAGE_UNWRITTEN))
		sp_output_group(&w->output, group);
}

/* A page was loaded that may be a bucket's own: of which one, its groups tell. */
void
sp_bucket_page_loaded(SpWindow *w, SpPage *page)
{
	int			i;

	if (!(page->marks & SP_PAGE_OWN))
		return;
	for (i = 0; i < SP_PAGE_GROUPS; i++)
	{
		SpGroup    *group = sp_page_group(&w->groups, page, i);

		if (group == NULL)
			continue;
		if (page->bucket == NULL)
		{
			add_page(&w->groups, sp_bucket_window_get(w, group->start), page);
			page->latest = (int64) group->sequence;
		}
		if (group->start != page->bucket->at)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("state page %d has groups of several windows", page->number)));
		take_group(w, page, group);
	}
	if (page->bucket == NULL)
		return;
	page->bucket->ngroups += page->ntotal;
	if (page->marks & SP_PAGE_UNWRITTEN)
		sp_output_page(&w->output, page);
}

/* order of creation */
static int
compare_pages(const void *a, const void *b)
{
	const SpPage *x = *(SpPage *const *) a;
	const SpPage *y = *(SpPage *const *) b;

	return x->latest < y->latest ? -1 : x->latest > y->latest;
}

/* All pages were loaded, and the bucket is marked by the other groups. */
void
sp_bucket_page_all_loaded(SpBucket *bucket)
{
	int			i;

	if (bucket->npages == 0)
		return;
	qsort(bucket->pages, bucket->npages, sizeof(SpPage *), compare_pages);
	for (i = bucket->npages - 1; i >= 0; i--)
	{
		SpPage	   *page = bucket->pages[i];

		if (page->nfinal < page->ntotal || i == bucket->npages - 1)
			bucket->first_open_page = i;
		if (page->nsealed < page->ntotal || i == bucket->npages - 1)
			bucket->first_unsealed_page = i;
		bucket->final &= page->nfinal == page->ntotal;
		bucket->sealed &= page->nsealed == page->ntotal;
	}
}
