/*
 * page_places.h
 *	  Where the rows of state pages are, as the process remembers it.
 *
 * Private to catalog/page.c.  All rows of an object are known, from its first use on.
 */
#ifndef SP_PAGE_PLACES_H
#define SP_PAGE_PLACES_H

#include "postgres.h"

#include "storage/itemptr.h"
#include "utils/hsearch.h"

#define SP_PLACES			2
#define SP_NO_PLACE			(-1)
#define SP_NO_GENERATION	(-1)
#define SP_INLINE_PARTS		2	/* as many as most pages have */

/* Where a page's bytes may be. */
typedef struct SpPlace
{
	int64		generation;		/* SP_NO_GENERATION: nothing is there */
	int32		nparts;			/* rows known */
	int32		more_allocated;
	ItemPointerData *more;		/* of the parts from SP_INLINE_PARTS on */
	ItemPointerData first[SP_INLINE_PARTS];
	bool		empty;			/* the page is no more */
} SpPlace;

typedef struct SpPagePlaces
{
	int32		page;			/* key */
	SpPlace		places[SP_PLACES];
} SpPagePlaces;

typedef struct SpPageObject
{
	int32		object;			/* key */
	bool		complete;		/* all its rows are known */
	MemoryContext context;
	HTAB	   *pages;			/* SpPagePlaces */
	int32	   *graves;			/* pages with an empty place, oldest first */
	int			first_grave;
	int			ngraves;		/* index behind the last one */
	int			graves_allocated;
} SpPageObject;

extern SpPageObject *sp_page_places_find(int32 object);
extern void sp_page_places_forget(int32 object);
extern SpPageObject *sp_page_places_make_object(int32 object);
extern SpPagePlaces *sp_page_places_get(SpPageObject *object, int32 page);
extern ItemPointer sp_page_places_tid(SpPlace *place, int32 part);

/*
 * Make room for the TIDs of so many parts.  When it is needed they move: none of them may
 * be that of a row that waits to be inserted.
 */
extern bool sp_page_places_has_room(const SpPlace *place, int32 nparts);
extern void sp_page_places_reserve(SpPageObject *object, SpPlace *place, int32 nparts);

/* The place with the newest generation up to published, or SP_NO_PLACE. */
extern int	sp_page_places_valid(const SpPagePlaces *page, int64 published);

/* Note a page whose rows can go once it is valid that it is no more. */
extern void sp_page_places_bury(SpPageObject *object, int32 page);

#endif
