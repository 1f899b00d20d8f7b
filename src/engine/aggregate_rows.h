/*
 * aggregate_rows.h
 *	  The rows that a state keeps, in memory.
 *
 * A state is a handle of a body: the rows one behind the other in one piece of memory, each
 * the image of its columns (aggregate_image.c) behind a header.  Where the order of rows
 * matters, every row stands for itself, in order of arrival; else ("counted") equal images
 * are one row that says how often it came, and a hash table finds it.
 *
 * A copy of a state is one more handle of the same body, at its version; what is done to the
 * body afterwards is journaled, and undone when the older handle goes on alone.  So that a
 * copy for undo costs nothing, however many rows there are.  A handle that goes on while a
 * newer one lives gets a body of its own.
 *
 * Live rows stand in order of arrival; in a counted body, of their first arrival since they
 * were there last: it is the same again after a restart.
 */
#ifndef SP_AGGREGATE_ROWS_H
#define SP_AGGREGATE_ROWS_H

#include "engine/aggregate_internal.h"

typedef struct SpKeptChange
{
	Size		offset;			/* of the row */
	int64		delta;			/* of its count */
} SpKeptChange;

struct SpKeptBody
{
	int			nhandles;
	uint64		version;		/* changes so far */
	uint64		nlive;			/* live rows */

	char	   *data;
	Size		used;
	Size		allocated;
	Size		first;			/* rows before it are dead */
	Size		dead;			/* bytes of dead rows */

	Size	   *slots;			/* of a counted body: 0, or 1 + offset of a live row */
	uint32		nslots;			/* a power of two */

	SpKeptChange *journal;		/* the last changes, while there is another handle */
	Size		njournal;
	Size		journal_allocated;

	bool		running;		/* total is the kernel's state over the live rows */
	uint64		total[SP_AGG_MAX_STATE_SIZE / sizeof(uint64)];
};

/* The state in a group. */
typedef struct SpKeptState
{
	SpKeptBody *body;			/* NULL: no rows */
	uint64		version;
} SpKeptState;

/* A row, and where it stands. */
typedef struct SpKeptRow
{
	uint64		count;			/* 0: dead */
	uint32		size;			/* of the image */
	uint32		hash;			/* in a counted body */
	const char *image;
	Size		end;			/* offset of the next one */
} SpKeptRow;

/* The row at offset of a body, live or dead. */
extern void sp_rows_read(const SpKeeper *keeper, const SpKeptBody *body, Size offset,
						 SpKeptRow *row);

/* Bytes in front of an image. */
extern Size sp_rows_header(const SpKeeper *keeper);

/* The body of a state as the handle has it; NULL: no rows. */
extern SpKeptBody *sp_rows_look(SpAggregate *agg, const char *state);

/* The same, to be changed by the two functions below; never NULL. */
extern SpKeptBody *sp_rows_open(SpAggregate *agg, char *state);

/* A new row that is dead until it is counted; offset 0 is one. */
extern Size sp_rows_append(SpAggregate *agg, char *state, const char *image, uint32 size,
						   uint32 hash);
extern void sp_rows_count(SpAggregate *agg, char *state, Size offset, int64 delta);

/* The live row of a counted body with an image; false: there is none. */
extern bool sp_rows_find(const SpKeeper *keeper, const SpKeptBody *body, uint32 hash,
						 const char *image, uint32 size, Size *offset);

/* A body of its own for a state whose body others have, too; and giving a handle up. */
extern void sp_rows_part(SpAggregate *agg, SpKeptState *s);
extern void sp_rows_release(SpKeptState *s);

/* aggregate_image.c: images of rows, in the current memory context. */
extern void sp_image_form(const SpAggregate *agg, const NullableDatum *args, StringInfo buf);
extern bool sp_image_check(const SpKeeper *keeper, const char *image, Size size);
extern void sp_image_read(const SpKeeper *keeper, const char *image, Size size,
						  Datum *values, bool *nulls);

#define SP_LARGEST_IMAGE	(256 * 1024 * 1024)

#endif
