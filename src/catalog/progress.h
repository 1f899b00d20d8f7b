/*
 * progress.h
 *	  What an object has met so far: streamproc.object_progress, for people to read.
 */
#ifndef SP_PROGRESS_H
#define SP_PROGRESS_H

#include "datatype/timestamp.h"

typedef struct SpProgress
{
	int32		id;
	TimestampTz watermark;		/* DT_NOBEGIN: none */
	uint64		rows;
	uint64		late;
	uint64		updates;
	uint64		deletes;
	uint64		truncates;
	uint64		duplicates;
	uint64		retracted;
	uint64		ignored;
	uint64		keys;			/* of a detector; likewise: */
	uint64		ready;
	int64		learned;
	int64		needed;
} SpProgress;

/* Write n rows, in the current transaction. */
extern void sp_progress_store(const SpProgress *progress, int n);

extern void sp_progress_delete(int32 id);

#endif
