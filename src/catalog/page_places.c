/*
 * page_places.c
 *	  Where the rows of state pages are, as the process remembers it.
 */
#include "catalog/page_places.h"

#include "utils/memutils.h"

#define INITIAL_GRAVES 64

static HTAB *objects = NULL;	/* SpPageObject */

/* What is known of an object, or NULL. */
SpPageObject *
sp_page_places_find(int32 object)
{
	SpPageObject *entry = objects == NULL ? NULL :
		hash_search(objects, &object, HASH_FIND, NULL);

	return entry != NULL && entry->complete ? entry : NULL;
}

/* Forget where an object's pages are. */
void
sp_page_places_forget(int32 object)
{
	SpPageObject *entry = objects == NULL ? NULL :
		hash_search(objects, &object, HASH_FIND, NULL);

	if (entry == NULL)
		return;
	MemoryContextDelete(entry->context);
	hash_search(objects, &object, HASH_REMOVE, NULL);
}

/* Start to learn of an object; the caller says when it is complete. */
SpPageObject *
sp_page_places_make_object(int32 object)
{
	HASHCTL		ctl = {.keysize = sizeof(int32)};
	SpPageObject *entry;
	MemoryContext context;

	sp_page_places_forget(object);
	if (objects == NULL)
	{
		ctl.entrysize = sizeof(SpPageObject);
		ctl.hcxt = TopMemoryContext;
		objects = hash_create("streamproc objects with state", 64, &ctl,
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	context = AllocSetContextCreate(TopMemoryContext, "streamproc state pages",
									ALLOCSET_DEFAULT_SIZES);
	entry = hash_search(objects, &object, HASH_ENTER, NULL);
	memset(entry, 0, sizeof(*entry));
	entry->object = object;
	entry->context = context;
	ctl.entrysize = sizeof(SpPagePlaces);
	ctl.hcxt = context;
	entry->pages = hash_create("streamproc state pages", 64, &ctl,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return entry;
}

/* The entry of a page, made when there is none. */
SpPagePlaces *
sp_page_places_get(SpPageObject *object, int32 page)
{
	bool		found;
	SpPagePlaces *entry = hash_search(object->pages, &page, HASH_ENTER, &found);
	int			i;

	if (found)
		return entry;
	memset(entry->places, 0, sizeof(entry->places));
	for (i = 0; i < SP_PLACES; i++)
		entry->places[i].generation = SP_NO_GENERATION;
	return entry;
}

/* Where a part's TID is remembered. */
ItemPointer
sp_page_places_tid(SpPlace *place, int32 part)
{
	return part < SP_INLINE_PARTS ? &place->first[part] : &place->more[part - SP_INLINE_PARTS];
}

bool
sp_page_places_has_room(const SpPlace *place, int32 nparts)
{
	return nparts - SP_INLINE_PARTS <= place->more_allocated;
}

void
sp_page_places_reserve(SpPageObject *object, SpPlace *place, int32 nparts)
{
	int32		more = Max(nparts - SP_INLINE_PARTS, 2 * place->more_allocated);
	ItemPointerData *tids;

	if (sp_page_places_has_room(place, nparts))
		return;
	tids = MemoryContextAlloc(object->context, sizeof(ItemPointerData) * more);
	if (place->more != NULL)
	{
		memcpy(tids, place->more, sizeof(ItemPointerData) * place->more_allocated);
		pfree(place->more);
	}
	place->more = tids;
	place->more_allocated = more;
}

int
sp_page_places_valid(const SpPagePlaces *page, int64 published)
{
	int			valid = SP_NO_PLACE;
	int			i;

	for (i = 0; i < SP_PLACES; i++)
	{
		int64		generation = page->places[i].generation;

		if (generation != SP_NO_GENERATION && generation <= published &&
			(valid == SP_NO_PLACE || generation > page->places[valid].generation))
			valid = i;
	}
	return valid;
}

void
sp_page_places_bury(SpPageObject *object, int32 page)
{
	int			n = object->ngraves - object->first_grave;

	if (object->graves == NULL)
	{
		object->graves_allocated = INITIAL_GRAVES;
		object->graves = MemoryContextAlloc(object->context,
											sizeof(int32) * object->graves_allocated);
	}
	else if (object->ngraves == object->graves_allocated)
	{
		memmove(object->graves, object->graves + object->first_grave, sizeof(int32) * n);
		object->first_grave = 0;
		object->ngraves = n;
		if (n > object->graves_allocated / 2)
		{
			object->graves_allocated *= 2;
			object->graves = repalloc_huge(object->graves,
										   sizeof(int32) * (Size) object->graves_allocated);
		}
	}
	object->graves[object->ngraves++] = page;
}
