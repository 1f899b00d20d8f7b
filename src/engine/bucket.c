/*
 * bucket.c
 *	  Lists of buckets: groups by the window, or the pane, that they belong to.
 *
 * Buckets stand in an array, ordered by "at".  Mostly the one used last, or the one behind
 * the last, is asked for.
 */
#include "engine/internal.h"

#include "base/compat.h"
#include "utils/memutils.h"

#define INITIAL_BUCKETS 64

/* An empty list. */
void
sp_bucket_init(SpBuckets *list, MemoryContext context)
{
	memset(list, 0, sizeof(*list));
	list->context = context;
}

/* Index of the first bucket that isn't before at. */
int
sp_bucket_position(const SpBuckets *list, int64 at)
{
	int			low = list->first;
	int			high = list->n;

	if (high > low && list->array[high - 1]->at < at)
		return high;
	while (low < high)
	{
		int			mid = low + (high - low) / 2;

		if (list->array[mid]->at < at)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The bucket, or NULL. */
SpBucket *
sp_bucket_find(SpBuckets *list, int64 at)
{
	int			i;

	if (list->last != NULL && list->last->at == at)
		return list->last;
	i = sp_bucket_position(list, at);
	if (i >= list->n || list->array[i]->at != at)
		return NULL;
	list->last = list->array[i];
	return list->last;
}

/* Make room for one more bucket at the array's end; indexes may change. */
static void
grow(SpBuckets *list)
{
	int			n = list->n - list->first;

	if (list->first > n)
	{
		memmove(list->array, list->array + list->first, sizeof(SpBucket *) * n);
		list->first_open -= list->first;
		list->first_unsealed -= list->first;
		list->first = 0;
		list->n = n;
		return;
	}
	if (list->array == NULL)
	{
		list->allocated = INITIAL_BUCKETS;
		list->array = MemoryContextAlloc(list->context, sizeof(SpBucket *) * list->allocated);
		return;
	}
	list->allocated *= 2;
	list->array = repalloc_huge(list->array, sizeof(SpBucket *) * (Size) list->allocated);
}

/* The bucket, made when there is none. */
SpBucket *
sp_bucket_get(SpBuckets *list, int64 at, int64 start, int64 end)
{
	SpBucket   *bucket = sp_bucket_find(list, at);
	int			i;

	if (bucket != NULL)
		return bucket;
	bucket = MemoryContextAllocZero(list->context, sizeof(SpBucket));
	bucket->at = at;
	bucket->start = start;
	bucket->end = end;
	dlist_init(&bucket->groups);
	if (list->n >= list->allocated)
		grow(list);
	i = sp_bucket_position(list, at);
	memmove(list->array + i + 1, list->array + i, sizeof(SpBucket *) * (list->n - i));
	list->array[i] = bucket;
	list->n++;
	list->first_open = Min(list->first_open, i);
	list->first_unsealed = Min(list->first_unsealed, i);
	list->last = bucket;
	return bucket;
}

/* There is a group in it that isn't final, or sealed: look at the bucket again. */
void
sp_bucket_reopen(SpBuckets *list, SpBucket *bucket)
{
	int			i;

	if (!bucket->final && !bucket->sealed)
		return;
	i = sp_bucket_position(list, bucket->at);
	bucket->final = bucket->sealed = false;
	list->first_open = Min(list->first_open, i);
	list->first_unsealed = Min(list->first_unsealed, i);
}

/* A new group in a bucket, or one that was loaded. */
void
sp_bucket_attach(SpBuckets *list, SpBucket *bucket, SpGroup *group)
{
	group->bucket = bucket;
	dlist_push_tail(&bucket->groups, &group->node);
	bucket->ngroups++;
	if (group->flags & SP_GROUP_GONE)
		sp_bucket_hide(group);
}

/* Whoever goes through the bucket doesn't meet the group any more, but it has its place there. */
void
sp_bucket_hide(SpGroup *group)
{
	dlist_delete(&group->node);
	group->node.prev = group->node.next = &group->node;
}

/* The group is about to be removed. */
void
sp_bucket_detach(SpGroup *group)
{
	dlist_delete(&group->node);
	group->bucket->ngroups--;
	if (group->flags & SP_GROUP_DIRTY)
		group->bucket->ndirty--;
	group->bucket = NULL;
}

/* Forget the first bucket, which is empty, as well; false: there is none, or it isn't. */
bool
sp_bucket_shift(SpBuckets *list)
{
	SpBucket   *bucket;

	if (list->first >= list->n || list->array[list->first]->ngroups > 0)
		return false;
	bucket = list->array[list->first++];
	if (list->last == bucket)
		list->last = NULL;
	list->first_open = Max(list->first_open, list->first);
	list->first_unsealed = Max(list->first_unsealed, list->first);
	if (bucket->pages != NULL)
		pfree(bucket->pages);
	pfree(bucket);
	return true;
}

/* Its groups were loaded: it is final, or sealed, when they are. */
void
sp_bucket_mark(SpBucket *bucket)
{
	dlist_iter	iter;

	bucket->final = bucket->sealed = true;
	dlist_foreach(iter, &bucket->groups)
	{
		SpGroup    *group = dlist_container(SpGroup, node, iter.cur);

		bucket->final &= (group->flags & SP_GROUP_FINAL) != 0;
		bucket->sealed &= (group->flags & SP_GROUP_SEALED) != 0;
	}
}

/* order of creation */
static int
compare_sequence(const ListCell *a, const ListCell *b)
{
	const SpGroup *x = lfirst(a);
	const SpGroup *y = lfirst(b);

	return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

/* All groups that were loaded, but for those of buckets' own pages, in the order of creation. */
List *
sp_bucket_sorted_groups(const SpGroups *groups)
{
	List	   *loaded = NIL;
	int32		p;
	int			i;

	for (p = 1; p < groups->npages; p++)
	{
		SpPage	   *page = groups->pages[p];

		if (page == NULL || page->bucket != NULL)
			continue;
		for (i = 0; i < SP_PAGE_GROUPS; i++)
		{
			SpGroup    *group = sp_page_group(groups, page, i);

			if (group != NULL)
				loaded = lappend(loaded, group);
		}
	}
	list_sort(loaded, compare_sequence);
	return loaded;
}
