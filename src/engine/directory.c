/*
 * directory.c
 *	  Where may a key be?
 *
 * An entry of 8 bytes for each thing that has a hash: the hash and its place, a number that
 * isn't 0.  Entries stand in segments, chosen by the first bits of the hash, which are open
 * hash tables and grow each for itself: so growing takes a moment each time, however many
 * entries there are, and takes no more than a segment's memory twice.
 *
 * A segment consists of lines of the cache.  A hash has a home among them; where that is full,
 * its entry stands on the next line that isn't, and all between them are full.
 */
#include "engine/internal.h"

#include "engine/directory.h"
#include "utils/memutils.h"

#define SMALLEST_SEGMENT	2	/* lines */
#define LINE_BYTES			(sizeof(SpDirectoryEntry) * SP_DIRECTORY_LINE)

StaticAssertDecl(LINE_BYTES == 64, "a line of the cache");

static inline SpDirectoryEntry
make_entry(uint32 hash, int64 place)
{
	return (uint64) sp_directory_tag(hash) << SP_DIRECTORY_PLACE_BITS | place;
}

/* The home of an entry. */
static inline uint32
home_of(const SpDirectorySegment *segment, SpDirectoryEntry entry)
{
	return sp_directory_home(segment, entry >> SP_DIRECTORY_PLACE_BITS);
}

static inline uint32
next_of(const SpDirectorySegment *segment, uint32 line)
{
	return line + 1 == segment->nlines ? 0 : line + 1;
}

/* How far a line is behind another one, going around. */
static inline uint32
distance(const SpDirectorySegment *segment, uint32 from, uint32 to)
{
	return to >= from ? to - from : to + segment->nlines - from;
}

static inline bool
is_full(const SpDirectoryEntry *line)
{
	return line[SP_DIRECTORY_LINE - 1] != 0;
}

/* An empty one, which takes memory from the context. */
void
sp_directory_init(SpDirectory *directory, MemoryContext context, int most, int growth)
{
	memset(directory, 0, sizeof(*directory));
	directory->context = context;
	directory->most = most;
	directory->growth = growth;
}

/* How many entries a line has. */
static inline int
count_entries(const SpDirectoryEntry *line)
{
	int			n = 0;
	int			i;

	for (i = 0; i < SP_DIRECTORY_LINE; i++)
		n += line[i] != 0;
	return n;
}

/* Put an entry where it will be found; there is room. */
static inline void
put(SpDirectorySegment *segment, SpDirectoryEntry entry)
{
	uint32		line = home_of(segment, entry);

	while (is_full(sp_directory_line(segment, line)))
		line = next_of(segment, line);
	sp_directory_line(segment, line)[count_entries(sp_directory_line(segment, line))] = entry;
}

/* Make room for one more. */
static void
grow(SpDirectory *directory, SpDirectorySegment *segment)
{
	SpDirectorySegment old = *segment;
	Size		i;

	segment->nlines += Max(SMALLEST_SEGMENT, (uint64) old.nlines * directory->growth / 100);
	segment->memory = MemoryContextAllocExtended(directory->context,
												 LINE_BYTES * ((Size) segment->nlines + 1),
												 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	segment->entries = (SpDirectoryEntry *) TYPEALIGN(LINE_BYTES, segment->memory);
	directory->bytes += LINE_BYTES * (Size) (segment->nlines - old.nlines);
	for (i = 0; i < (Size) old.nlines * SP_DIRECTORY_LINE; i++)
	{
		if (old.entries[i] != 0)
			put(segment, old.entries[i]);
	}
	if (old.memory != NULL)
		pfree(old.memory);
}

/* Something with that hash is at the place. */
void
sp_directory_add(SpDirectory *directory, uint32 hash, int64 place)
{
	SpDirectorySegment *segment = sp_directory_segment(directory, hash);

	Assert(place > 0 && place >> SP_DIRECTORY_PLACE_BITS == 0);
	if ((uint64) (segment->n + 1) * 100 >
		(uint64) segment->nlines * SP_DIRECTORY_LINE * directory->most)
		grow(directory, segment);
	put(segment, make_entry(hash, place));
	segment->n++;
	directory->n++;
}

/* Where on the line the entry is; -1: it isn't there. */
static int
find_entry(const SpDirectoryEntry *line, SpDirectoryEntry entry)
{
	int			i;

	for (i = 0; i < SP_DIRECTORY_LINE; i++)
	{
		if (line[i] == entry)
			return i;
	}
	return -1;
}

/* An entry on this line that would be on an earlier one, if that had room; -1: none. */
static int
find_moved(const SpDirectorySegment *segment, uint32 line, uint32 earlier)
{
	const SpDirectoryEntry *entries = sp_directory_line(segment, line);
	int			i;

	for (i = 0; i < SP_DIRECTORY_LINE && entries[i] != 0; i++)
	{
		if (distance(segment, home_of(segment, entries[i]), line) >=
			distance(segment, earlier, line))
			return i;
	}
	return -1;
}

/*
 * An entry goes.  Where its line was full, one that was put behind it for want of room comes
 * there; and so on.
 */
static void
take_out(SpDirectorySegment *segment, uint32 line, int at)
{
	while (is_full(sp_directory_line(segment, line)))
	{
		uint32		from = line;
		int			moved;

		do
		{
			from = next_of(segment, from);
			moved = find_moved(segment, from, line);
		} while (moved < 0 && is_full(sp_directory_line(segment, from)));
		if (moved < 0)
			break;
		sp_directory_line(segment, line)[at] = sp_directory_line(segment, from)[moved];
		line = from;
		at = moved;
	}
	/* the last one of the line takes its place */
	{
		SpDirectoryEntry *entries = sp_directory_line(segment, line);
		int			last = count_entries(entries) - 1;

		entries[at] = entries[last];
		entries[last] = 0;
	}
}

/* It isn't there any more. */
void
sp_directory_remove(SpDirectory *directory, uint32 hash, int64 place)
{
	SpDirectorySegment *segment = sp_directory_segment(directory, hash);
	SpDirectoryEntry entry = make_entry(hash, place);
	uint32		line = sp_directory_home(segment, hash);
	int			at;

	if (segment->n == 0)
		elog(ERROR, "a place is not in the directory");
	while ((at = find_entry(sp_directory_line(segment, line), entry)) < 0)
	{
		if (!is_full(sp_directory_line(segment, line)))
			elog(ERROR, "a place is not in the directory");
		line = next_of(segment, line);
	}
	take_out(segment, line, at);
	segment->n--;
	directory->n--;
}
