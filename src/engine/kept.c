/*
 * kept.c
 *	  What the WAL brings for an object that is being filled: chunks, first in, first out.
 *
 * They stand in spools, one behind the other, which move to temporary files as other spools
 * do.  What is being read is closed: what comes then goes to a new one.
 */
#include "engine/internal.h"

#include "base/compat.h"
#include "engine/starting.h"
#include "utils/memutils.h"

#define SEGMENT_BYTES		((Size) 32 * 1024 * 1024)	/* in one spool */

struct SpKept
{
	MemoryContext context;
	List	   *segments;		/* of SpSpool *, oldest first */
	SpSpool    *tail;			/* the last one, open; NULL: none is */
	Size		tail_bytes;
	bool		reading;		/* the first one is being read */
};

/* Nothing yet. */
SpKept *
sp_kept_create(MemoryContext context)
{
	SpKept	   *kept = MemoryContextAllocZero(context, sizeof(SpKept));

	kept->context = context;
	return kept;
}

/* Give back what isn't in the context. */
void
sp_kept_free(SpKept *kept)
{
	ListCell   *lc;

	foreach(lc, kept->segments)
		sp_spool_free(lfirst(lc));
	kept->segments = NIL;
	kept->tail = NULL;
}

/* Append a copy of a chunk. */
void
sp_kept_add(SpKept *kept, const SpChunk *chunk)
{
	if (kept->tail == NULL || kept->tail_bytes >= SEGMENT_BYTES)
	{
		MemoryContext old = MemoryContextSwitchTo(kept->context);

		kept->tail = sp_spool_create();
		kept->tail_bytes = 0;
		kept->segments = lappend(kept->segments, kept->tail);
		MemoryContextSwitchTo(old);
	}
	sp_spool_keep(kept->tail, chunk);
	kept->tail_bytes += chunk->size;
}

/* Take the oldest chunk, which is valid until the next call; NULL: there is none. */
const SpChunk *
sp_kept_next(SpKept *kept)
{
	while (kept->segments != NIL)
	{
		SpSpool    *spool = linitial(kept->segments);
		const SpChunk *chunk;

		if (!kept->reading)
		{
			if (spool == kept->tail)
				kept->tail = NULL;
			sp_spool_rewind(spool);
			kept->reading = true;
		}
		chunk = sp_spool_next(spool);
		if (chunk != NULL)
			return chunk;
		sp_spool_free(spool);
		kept->segments = list_delete_first(kept->segments);
		kept->reading = false;
	}
	return NULL;
}
