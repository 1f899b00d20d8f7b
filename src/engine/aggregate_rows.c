/*
 * aggregate_rows.c
 *	  The rows that a state keeps, in memory.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/compat.h"
#include "engine/aggregate_rows.h"

#define COMPACT_FROM	1024	/* bytes of dead rows that are worth the work */
#define FIRST_BYTES		256

/* Headers: in a counted body count, size and hash; else size, with a bit for dead ones. */
#define COUNTED_HEADER	(sizeof(uint64) + 2 * sizeof(uint32))
#define PLAIN_HEADER	sizeof(uint32)
#define PLAIN_DEAD		0x80000000u

/* Bytes in front of an image. */
Size
sp_rows_header(const SpKeeper *keeper)
{
	return keeper->counted ? COUNTED_HEADER : PLAIN_HEADER;
}

/* Read the header of the row at offset. */
void
sp_rows_read(const SpKeeper *keeper, const SpKeptBody *body, Size offset, SpKeptRow *row)
{
	const char *p = body->data + offset;

	if (keeper->counted)
	{
		memcpy(&row->count, p, sizeof(uint64));
		memcpy(&row->size, p + sizeof(uint64), sizeof(uint32));
		memcpy(&row->hash, p + sizeof(uint64) + sizeof(uint32), sizeof(uint32));
	}
	else
	{
		memcpy(&row->size, p, sizeof(uint32));
		row->count = (row->size & PLAIN_DEAD) == 0;
		row->size &= ~PLAIN_DEAD;
		row->hash = 0;
	}
	row->image = p + sp_rows_header(keeper);
	row->end = offset + sp_rows_header(keeper) + row->size;
}

/* Write the count into the header of the row at offset, whose size stands there. */
static void
write_count(const SpKeeper *keeper, SpKeptBody *body, Size offset, uint64 count)
{
	char	   *p = body->data + offset;
	uint32		size;

	if (keeper->counted)
	{
		memcpy(p, &count, sizeof(uint64));
		return;
	}
	memcpy(&size, p, sizeof(uint32));
	size = count > 0 ? size & ~PLAIN_DEAD : size | PLAIN_DEAD;
	memcpy(p, &size, sizeof(uint32));
}

/* ---- the hash table of a counted body ---- */

/* The slot with a live row of that image, or the empty one where it belongs. */
static uint32
find_slot(const SpKeeper *keeper, const SpKeptBody *body, uint32 hash,
		  const char *image, uint32 size)
{
	uint32		slot = hash & (body->nslots - 1);

	for (; body->slots[slot] != 0; slot = (slot + 1) & (body->nslots - 1))
	{
		SpKeptRow			row;

		sp_rows_read(keeper, body, body->slots[slot] - 1, &row);
		if (row.hash == hash && row.size == size && memcmp(row.image, image, size) == 0)
			break;
	}
	return slot;
}

/* The live row with an image. */
bool
sp_rows_find(const SpKeeper *keeper, const SpKeptBody *body, uint32 hash,
			 const char *image, uint32 size, Size *offset)
{
	uint32		slot = find_slot(keeper, body, hash, image, size);

	*offset = body->slots[slot] - 1;
	return body->slots[slot] != 0;
}

/* Put the live row at offset, whose image isn't there, into the table. */
static void
fill_slot(const SpKeeper *keeper, SpKeptBody *body, Size offset)
{
	SpKeptRow			row;

	sp_rows_read(keeper, body, offset, &row);
	body->slots[find_slot(keeper, body, row.hash, row.image, row.size)] = offset + 1;
}

/* Take a row out of the table; those behind it move up, so that none is cut off. */
static void
empty_slot(const SpKeeper *keeper, SpKeptBody *body, Size offset)
{
	uint32		mask = body->nslots - 1;
	uint32		hole;
	uint32		next;
	SpKeptRow			row;

	sp_rows_read(keeper, body, offset, &row);
	hole = find_slot(keeper, body, row.hash, row.image, row.size);
	for (next = (hole + 1) & mask; body->slots[next] != 0; next = (next + 1) & mask)
	{
		sp_rows_read(keeper, body, body->slots[next] - 1, &row);
		if (((next - row.hash) & mask) < ((next - hole) & mask))
			continue;
		body->slots[hole] = body->slots[next];
		hole = next;
	}
	body->slots[hole] = 0;
}

/* Make the table anew, with room for n rows. */
static void
make_slots(SpAggregate *agg, SpKeptBody *body, uint64 n)
{
	const SpKeeper *keeper = agg->keeper;
	uint32		nslots = 16;
	Size		offset;
	SpKeptRow			row;

	while (nslots / 4 * 3 < n)
		nslots *= 2;
	if (body->slots != NULL)
		pfree(body->slots);
	body->slots = MemoryContextAllocExtended(agg->context, sizeof(Size) * nslots,
											 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	body->nslots = nslots;
	for (offset = body->first; offset < body->used; offset = row.end)
	{
		sp_rows_read(keeper, body, offset, &row);
		if (row.count > 0)
			fill_slot(keeper, body, offset);
	}
}

/* ---- changing a body ---- */

/* Note a change, so that an older handle can go back behind it. */
static void
note_change(SpAggregate *agg, SpKeptBody *body, Size offset, int64 delta)
{
	body->version++;
	if (body->nhandles == 1)
		return;
	if (body->njournal == body->journal_allocated)
	{
		Size		n = Max(64, body->journal_allocated * 2);

		body->journal = body->journal == NULL ?
			MemoryContextAlloc(agg->context, n * sizeof(SpKeptChange)) :
			repalloc_huge(body->journal, n * sizeof(SpKeptChange));
		body->journal_allocated = n;
	}
	body->journal[body->njournal].offset = offset;
	body->journal[body->njournal++].delta = delta;
}

/* Change the count of the row at offset, which dies or comes to life by it. */
static void
change_count(const SpKeeper *keeper, SpKeptBody *body, Size offset, int64 delta)
{
	SpKeptRow			row;

	sp_rows_read(keeper, body, offset, &row);
	if (row.count + delta == 0)
	{
		if (keeper->counted)
			empty_slot(keeper, body, offset);
		body->nlive--;
		body->dead += row.end - offset;
	}
	write_count(keeper, body, offset, row.count + delta);
	if (row.count == 0)
	{
		if (keeper->counted)
			fill_slot(keeper, body, offset);
		body->nlive++;
		body->dead -= row.end - offset;
		body->first = Min(body->first, offset);
	}
}

/* Undo what was done since that version. */
static void
roll_back(const SpKeeper *keeper, SpKeptBody *body, uint64 version)
{
	body->running = false;
	for (; body->version > version; body->version--)
	{
		SpKeptChange *change = &body->journal[--body->njournal];

		change_count(keeper, body, change->offset, -change->delta);
	}
}

/* Room for so many bytes more. */
static void
make_room(SpAggregate *agg, SpKeptBody *body, Size bytes)
{
	Size		allocated = Max(body->allocated, FIRST_BYTES);

	if (body->used + bytes <= body->allocated)
		return;
	while (allocated < body->used + bytes)
		allocated *= 2;
	body->data = body->data == NULL ?
		MemoryContextAllocHuge(agg->context, allocated) : repalloc_huge(body->data, allocated);
	body->allocated = allocated;
}

/* Append a row that is dead until it is counted; returns its offset. */
Size
sp_rows_append(SpAggregate *agg, char *state, const char *image, uint32 size, uint32 hash)
{
	const SpKeeper *keeper = agg->keeper;
	SpKeptBody *body = ((SpKeptState *) state)->body;
	Size		offset = body->used;
	uint64		count = 0;
	uint32		dead = size | PLAIN_DEAD;
	char	   *p;

	if (keeper->counted && body->nlive >= body->nslots / 4 * 3)
		make_slots(agg, body, body->nlive + 1);
	make_room(agg, body, sp_rows_header(keeper) + size);
	p = body->data + offset;
	if (keeper->counted)
	{
		memcpy(p, &count, sizeof(uint64));
		memcpy(p + sizeof(uint64), &size, sizeof(uint32));
		memcpy(p + sizeof(uint64) + sizeof(uint32), &hash, sizeof(uint32));
	}
	else
		memcpy(p, &dead, sizeof(uint32));
	memcpy(p + sp_rows_header(keeper), image, size);
	body->used += sp_rows_header(keeper) + size;
	body->dead += sp_rows_header(keeper) + size;
	return offset;
}

/* A body of its own for one handle, with the live rows of another, or none (NULL). */
static SpKeptBody *
make_body(SpAggregate *agg, const SpKeptBody *from)
{
	const SpKeeper *keeper = agg->keeper;
	SpKeptBody *body = MemoryContextAllocZero(agg->context, sizeof(SpKeptBody));
	Size		offset;
	SpKeptRow			row;

	body->nhandles = 1;
	if (from == NULL)
	{
		if (keeper->counted)
			make_slots(agg, body, 0);
		return body;
	}
	body->version = from->version;
	body->running = from->running;
	memcpy(body->total, from->total, sizeof(body->total));
	make_room(agg, body, from->used - from->dead);
	for (offset = from->first; offset < from->used; offset = row.end)
	{
		sp_rows_read(keeper, from, offset, &row);
		if (row.count == 0)
			continue;
		memcpy(body->data + body->used, from->data + offset, row.end - offset);
		body->used += row.end - offset;
		body->nlive++;
	}
	if (keeper->counted)
		make_slots(agg, body, body->nlive);
	return body;
}

/* Give a body back. */
static void
free_body(SpKeptBody *body)
{
	if (body->data != NULL)
		pfree(body->data);
	if (body->slots != NULL)
		pfree(body->slots);
	if (body->journal != NULL)
		pfree(body->journal);
	pfree(body);
}

/* The handle gets a body of its own, with what it has seen: another one has gone on. */
void
sp_rows_part(SpAggregate *agg, SpKeptState *s)
{
	const SpKeeper *keeper = agg->keeper;
	SpKeptBody *body = s->body;
	uint64		newest = body->version;
	SpKeptChange *changes;
	Size		n = newest - s->version;
	SpKeptBody *own;

	/* Back, copy, and forth again. */
	changes = MemoryContextAllocHuge(agg->context, Max(n, 1) * sizeof(SpKeptChange));
	if (n > 0)
		memcpy(changes, body->journal + body->njournal - n, n * sizeof(SpKeptChange));
	roll_back(keeper, body, s->version);
	own = make_body(agg, body);
	for (Size i = 0; i < n; i++)
	{
		change_count(keeper, body, changes[i].offset, changes[i].delta);
		body->journal[body->njournal++] = changes[i];
	}
	body->version = newest;
	pfree(changes);
	body->nhandles--;
	s->body = own;
}

/* The body of a handle, at its version; NULL: there are no rows. */
SpKeptBody *
sp_rows_look(SpAggregate *agg, const char *state)
{
	SpKeptState *s = (SpKeptState *) unconstify(char *, state);

	if (s->body != NULL && s->version != s->body->version)
	{
		if (s->body->nhandles > 1)
			sp_rows_part(agg, s);
		else
			roll_back(agg->keeper, s->body, s->version);
	}
	return s->body;
}

/* The body of a handle, about to be changed. */
SpKeptBody *
sp_rows_open(SpAggregate *agg, char *state)
{
	SpKeptState *s = (SpKeptState *) state;
	SpKeptBody *body = sp_rows_look(agg, state);

	if (body == NULL)
	{
		body = s->body = make_body(agg, NULL);
		s->version = 0;
	}
	if (body->nhandles > 1)
		return body;
	body->njournal = 0;
	if (body->dead >= COMPACT_FROM && body->dead > body->used / 2)
	{
		s->body = make_body(agg, body);
		free_body(body);
	}
	return s->body;
}

/* Change how often the row at offset is there. */
void
sp_rows_count(SpAggregate *agg, char *state, Size offset, int64 delta)
{
	SpKeptState *s = (SpKeptState *) state;

	note_change(agg, s->body, offset, delta);
	change_count(agg->keeper, s->body, offset, delta);
	s->version = s->body->version;
}

/* Give a handle up, with the body when it was the last one. */
void
sp_rows_release(SpKeptState *s)
{
	if (s->body != NULL && --s->body->nhandles == 0)
		free_body(s->body);
	s->body = NULL;
}
