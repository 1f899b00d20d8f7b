/*
 * spill.h
 *	  What is spilled of a set of groups.
 *
 * Private to spill.c and spill_directory.c.
 */
#ifndef SP_SPILL_H
#define SP_SPILL_H

#include "postgres.h"

#define SP_SPILL_SEGMENT_BITS 8

/* A spilled group. */
typedef struct SpSpillEntry
{
	uint32		hash;
	int32		page;			/* 0: the entry is empty */
} SpSpillEntry;

typedef struct SpSpillSegment
{
	SpSpillEntry *entries;		/* NULL: there never were any */
	uint32		size;
	uint32		n;
} SpSpillSegment;

typedef struct SpSpillDirectory
{
	MemoryContext context;
	uint64		n;				/* groups */
	Size		bytes;			/* of entries */
	SpSpillSegment segments[1 << SP_SPILL_SEGMENT_BITS];
} SpSpillDirectory;

extern void sp_spill_directory_add(SpSpillDirectory *directory, uint32 hash, int32 page);
extern void sp_spill_directory_remove(SpSpillDirectory *directory, uint32 hash, int32 page);
extern int32 sp_spill_directory_find(SpSpillDirectory *directory, uint32 hash);

#endif
