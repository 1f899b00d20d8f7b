/*
 * directory.h
 *	  Where in a set of groups a hash is: a compact hash table of places.
 *
 * Private to the engine.
 */
#ifndef SP_DIRECTORY_H
#define SP_DIRECTORY_H

#include "postgres.h"

#include "base/prefetch.h"
#include "port/pg_bitutils.h"

#define SP_DIRECTORY_SEGMENT_BITS	8
#define SP_DIRECTORY_PLACE_BITS		40
#define SP_DIRECTORY_LINE			8	/* entries that come to the cache together */

/* The rest of the hash, which the segment doesn't tell, and the place; 0: empty. */
typedef uint64 SpDirectoryEntry;

typedef struct SpDirectorySegment
{
	SpDirectoryEntry *entries;	/* lines of them, in each the empty ones last */
	char	   *memory;			/* where they are, somewhere; NULL: there never were any */
	uint32		nlines;
	uint32		n;
} SpDirectorySegment;

typedef struct SpDirectory
{
	MemoryContext context;
	int			most;			/* per cent of entries that may be in use */
	int			growth;			/* per cent that a segment grows by */
	uint64		n;				/* places */
	Size		bytes;			/* of entries */
	SpDirectorySegment segments[1 << SP_DIRECTORY_SEGMENT_BITS];
} SpDirectory;

/* Going through what has a hash; nothing may be added or removed meanwhile. */
typedef struct SpDirectoryLook
{
	const SpDirectorySegment *segment;
	uint32		tag;
	uint32		line;
	uint32		found;			/* bits: entries of the line that were not handed out yet */
} SpDirectoryLook;

extern void sp_directory_init(SpDirectory *directory, MemoryContext context, int most,
							  int growth);
extern void sp_directory_add(SpDirectory *directory, uint32 hash, int64 place);
extern void sp_directory_remove(SpDirectory *directory, uint32 hash, int64 place);

static inline SpDirectorySegment *
sp_directory_segment(SpDirectory *directory, uint32 hash)
{
	return &directory->segments[hash >> (32 - SP_DIRECTORY_SEGMENT_BITS)];
}

/* The line of its segment in which a hash begins to look. */
static inline uint32
sp_directory_home(const SpDirectorySegment *segment, uint32 hash)
{
	return (uint32) (((uint64) (uint32) (hash << SP_DIRECTORY_SEGMENT_BITS) * segment->nlines) >> 32);
}

static inline SpDirectoryEntry *
sp_directory_line(const SpDirectorySegment *segment, uint32 line)
{
	return segment->entries + (Size) line * SP_DIRECTORY_LINE;
}

/* The part of the hash that its segment doesn't tell. */
static inline uint32
sp_directory_tag(uint32 hash)
{
	return (uint32) (hash << SP_DIRECTORY_SEGMENT_BITS) >> SP_DIRECTORY_SEGMENT_BITS;
}

/* Have what a look begins with in the cache by then. */
static inline void
sp_directory_prefetch(SpDirectory *directory, uint32 hash)
{
	const SpDirectorySegment *segment = sp_directory_segment(directory, hash);

	sp_prefetch(sp_directory_line(segment, sp_directory_home(segment, hash)));
}

/* Bits of the entries of a line that have the tag: without a branch, for it is anybody's guess. */
static inline uint32
sp_directory_match(const SpDirectoryEntry *line, uint32 tag)
{
	uint32		found = 0;
	int			i;

	for (i = 0; i < SP_DIRECTORY_LINE; i++)
		found |= (uint32) (line[i] >> SP_DIRECTORY_PLACE_BITS == tag && line[i] != 0) << i;
	return found;
}

/* Begin to look for a hash. */
static inline void
sp_directory_look(SpDirectory *directory, uint32 hash, SpDirectoryLook *look)
{
	look->segment = sp_directory_segment(directory, hash);
	look->tag = sp_directory_tag(hash);
	look->line = sp_directory_home(look->segment, hash);
	look->found = look->segment->n == 0 ? 0 :
		sp_directory_match(sp_directory_line(look->segment, look->line), look->tag);
}

/* The next place; 0: there is none. */
static inline int64
sp_directory_next(SpDirectoryLook *look)
{
	const SpDirectorySegment *segment = look->segment;
	SpDirectoryEntry entry;

	if (segment->n == 0)
		return 0;
	while (look->found == 0)
	{
		if (sp_directory_line(segment, look->line)[SP_DIRECTORY_LINE - 1] == 0)
			return 0;
		look->line = look->line + 1 == segment->nlines ? 0 : look->line + 1;
		look->found = sp_directory_match(sp_directory_line(segment, look->line), look->tag);
	}
	entry = sp_directory_line(segment, look->line)[pg_rightmost_one_pos32(look->found)];
	look->found &= look->found - 1;
	return entry & ((UINT64CONST(1) << SP_DIRECTORY_PLACE_BITS) - 1);
}

#endif
