/*
 * spill_directory.c
 *	  On which spilled page may a key be?
 *
 * An entry of 8 bytes for each spilled group: its hash, and the number of its page.  Entries
 * stand in segments, chosen by the first bits of the hash, which are open hash tables with
 * linear probing and grow each for itself, by a quarter: so growing takes a moment each time,
 * however many entries there are, and takes no more than a segment's memory twice.
 */
#include "engine/internal.h"

#include "engine/spill.h"
#include "utils/memutils.h"

#define SMALLEST_SEGMENT 16		/* entries */

/* Where in its segment a hash begins to look. */
static inline uint32
home_of(const SpSpillSegment *segment, uint32 hash)
{
	return (uint32) (((uint64) (uint32) (hash << SP_SPILL_SEGMENT_BITS) * segment->size) >> 32);
}

static inline uint32
next_of(const SpSpillSegment *segment, uint32 at)
{
	return at + 1 == segment->size ? 0 : at + 1;
}

/* How far a place is behind another one, going around. */
static inline uint32
distance(const SpSpillSegment *segment, uint32 from, uint32 to)
{
	return to >= from ? to - from : to + segment->size - from;
}

static inline SpSpillSegment *
segment_of(SpSpillDirectory *directory, uint32 hash)
{
	return &directory->segments[hash >> (32 - SP_SPILL_SEGMENT_BITS)];
}

/* Put an entry behind those that are there; there is room. */
static void
put(SpSpillSegment *segment, SpSpillEntry entry)
{
	uint32		at = home_of(segment, entry.hash);

	while (segment->entries[at].page != 0)
		at = next_of(segment, at);
	segment->entries[at] = entry;
}

/* Make room for one more. */
static void
grow(SpSpillDirectory *directory, SpSpillSegment *segment)
{
	SpSpillEntry *old = segment->entries;
	uint32		old_size = segment->size;
	uint32		size = old_size + Max(SMALLEST_SEGMENT, old_size / 4);
	uint32		i;

	segment->entries = MemoryContextAllocExtended(directory->context,
												  sizeof(SpSpillEntry) * (Size) size,
												  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	segment->size = size;
	directory->bytes += sizeof(SpSpillEntry) * (Size) (size - old_size);
	for (i = 0; i < old_size; i++)
	{
		if (old[i].page != 0)
			put(segment, old[i]);
	}
	if (old != NULL)
		pfree(old);
}

/* A group with that hash is on the page. */
void
sp_spill_directory_add(SpSpillDirectory *directory, uint32 hash, int32 page)
{
	SpSpillSegment *segment = segment_of(directory, hash);
	SpSpillEntry entry = {hash, page};

	if ((uint64) (segment->n + 1) * 5 > (uint64) segment->size * 4)
		grow(directory, segment);
	put(segment, entry);
	segment->n++;
	directory->n++;
}

/* It isn't any more: move up those that were put behind it for want of their place. */
void
sp_spill_directory_remove(SpSpillDirectory *directory, uint32 hash, int32 page)
{
	SpSpillSegment *segment = segment_of(directory, hash);
	SpSpillEntry *entries = segment->entries;
	uint32		hole;
	uint32		at;

	if (segment->n == 0)
		elog(ERROR, "a spilled group is not in the directory");
	for (hole = home_of(segment, hash); entries[hole].hash != hash || entries[hole].page != page;
		 hole = next_of(segment, hole))
	{
		if (entries[hole].page == 0)
			elog(ERROR, "a spilled group is not in the directory");
	}
	for (at = next_of(segment, hole); entries[at].page != 0; at = next_of(segment, at))
	{
		/* is the hole between where it begins to look and where it is? */
		if (distance(segment, home_of(segment, entries[at].hash), at) >=
			distance(segment, hole, at))
		{
			entries[hole] = entries[at];
			hole = at;
		}
	}
	entries[hole].page = 0;
	segment->n--;
	directory->n--;
}

/* A page with a group of that hash; 0: there is none. */
int32
sp_spill_directory_find(SpSpillDirectory *directory, uint32 hash)
{
	SpSpillSegment *segment = segment_of(directory, hash);
	uint32		at;

	if (segment->n == 0)
		return 0;
	for (at = home_of(segment, hash); segment->entries[at].page != 0; at = next_of(segment, at))
	{
		if (segment->entries[at].hash == hash)
			return segment->entries[at].page;
	}
	return 0;
}
