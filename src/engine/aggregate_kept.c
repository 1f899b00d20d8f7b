/*
 * aggregate_kept.c
 *	  Aggregates that keep their rows: what is done to their states.
 *
 *	advance		appends a row, or counts one more
 *	retract		leaves one of the equal rows dead, or counts one less
 *	combine		appends the rows of the other
 *
 * How rows stand in memory is aggregate_rows.h.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "engine/aggregate_rows.h"

#define STATE_VERSION	1		/* first byte of the durable form; the second is KIND */
#define STATE_KIND		'k'
#define STATE_COUNTED	0x01	/* the third, flags; the fourth is the number of columns */

/* Bytes of a state within its group. */
Size
sp_keeper_state_size(const SpAggregate *agg)
{
	return sizeof(SpKeptState);
}

/* ---- reading ---- */

/* Start reading the live rows of a state. */
void
sp_keeper_begin(SpAggregate *agg, const char *state, SpKeptCursor *cursor)
{
	cursor->keeper = agg->keeper;
	cursor->body = sp_rows_look(agg, state);
	cursor->at = cursor->body == NULL ? 0 : cursor->body->first;
}

/*
 * The next live row, and how often it came; false: there is none.  By-reference values are
 * the body's, or in the current memory context.
 */
bool
sp_keeper_next(SpKeptCursor *cursor, Datum *values, bool *nulls, uint64 *count)
{
	const SpKeeper *keeper = cursor->keeper;
	const SpKeptBody *body = cursor->body;
	SpKeptRow	row;

	do
	{
		if (body == NULL || cursor->at >= body->used)
			return false;
		sp_rows_read(keeper, body, cursor->at, &row);
		cursor->at = row.end;
	} while (row.count == 0);

	sp_image_read(keeper, row.image, row.size, values, nulls);
	*count = row.count;
	return true;
}

/* ---- totals ---- */

/* The kernel's total over a body's rows, each distinct one once; the error of the first that fails. */
static SpAggError
run_total(SpAggregate *agg, SpKeptBody *body)
{
	const SpKeeper *keeper = agg->keeper;
	SpKeptCursor cursor = {keeper, body, body->first};
	SpValue		value = {0, true};
	Datum		datum;
	uint64		count;

	sp_agg_init(keeper->total, body->total);
	while (sp_keeper_next(&cursor, &datum, &value.isnull, &count))
	{
		SpAggError	error;

		value.bits = datum;
		error = keeper->total->advance(body->total, &value);
		if (error != SP_AGG_OK)
			return error;
	}
	body->running = true;
	return SP_AGG_OK;
}

/* The total of a state's rows; its result is the aggregate's. */
SpAggError
sp_keeper_total(SpAggregate *agg, const char *state, const void **total)
{
	static const uint64 nothing[SP_AGG_MAX_STATE_SIZE / sizeof(uint64)];
	SpKeptBody *body = sp_rows_look(agg, state);

	*total = body == NULL ? nothing : body->total;
	return body == NULL || body->running ? SP_AGG_OK : run_total(agg, body);
}

/* A row is new among a body's, where it will be the last one: the total follows. */
static SpAggError
add_to_total(SpAggregate *agg, SpKeptBody *body, const NullableDatum *args)
{
	const SpKeeper *keeper = agg->keeper;

	if (keeper->total == NULL)
		return SP_AGG_OK;
	if (!body->running)
	{
		SpAggError	error = run_total(agg, body);

		if (error != SP_AGG_OK)
			return error;
	}
	return keeper->total->advance(body->total, (const SpValue *) args);
}

/* The last of equal rows went: the total follows if it can, else it is made anew when needed. */
static void
take_from_total(const SpKeeper *keeper, SpKeptBody *body, const NullableDatum *args)
{
	if (keeper->total == NULL || !body->running)
		return;
	if (!sp_agg_can_retract(keeper->total) ||
		sp_agg_retract(keeper->total, body->total, (const SpValue *) args) != SP_AGG_OK)
		body->running = false;
}

/* ---- states ---- */

/* No rows yet. */
void
sp_keeper_init(SpAggregate *agg, char *state)
{
	memset(state, 0, sizeof(SpKeptState));
}

/* Does the aggregate look at a row at all?  Strict transitions don't, at nulls. */
static bool
is_ignored(const SpKeeper *keeper, const NullableDatum *args)
{
	for (int i = 0; i < keeper->nstrict; i++)
	{
		if (args[i].isnull)
			return true;
	}
	return false;
}

/* States can't grow for ever: they must be saved, each in one piece of memory. */
static void
check_size(const SpAggregate *agg, const SpKeptBody *body, Size more)
{
	const SpKeeper *keeper = agg->keeper;

	if (body->used - body->dead + more > keeper->limit)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("aggregate \"%s\" can't keep more than %zu MB of rows in one group",
						agg->name, keeper->limit / (1024 * 1024)),
				 errhint("Use smaller windows, more keys, or an approximate aggregate.")));
}

/* One row; returns the error of a native total. */
SpAggError
sp_keeper_advance(SpAggregate *agg, char *state, const NullableDatum *args)
{
	const SpKeeper *keeper = agg->keeper;
	MemoryContext old;
	SpKeptBody *body;
	StringInfoData image;
	uint32		hash = 0;
	Size		offset;
	SpAggError	error;
	bool		running;

	if (is_ignored(keeper, args))
		return SP_AGG_OK;
	MemoryContextReset(keeper->temp);
	old = MemoryContextSwitchTo(keeper->temp);
	sp_image_form(agg, args, &image);
	MemoryContextSwitchTo(old);

	body = sp_rows_open(agg, state);
	if (keeper->counted)
	{
		hash = hash_bytes((unsigned char *) image.data, image.len);
		if (sp_rows_find(keeper, body, hash, image.data, image.len, &offset))
		{
			sp_rows_count(agg, state, offset, 1);
			return SP_AGG_OK;
		}
	}
	check_size(agg, body, image.len + sp_rows_header(keeper));
	error = add_to_total(agg, body, args);
	if (error != SP_AGG_OK)
		return error;
	/* were memory to run out here, the total would be one row ahead */
	running = body->running;
	body->running = false;
	offset = sp_rows_append(agg, state, image.data, image.len, hash);
	sp_rows_count(agg, state, offset, 1);
	body->running = running;
	return SP_AGG_OK;
}

/* The first live row with an image; false: there is none. */
static bool
find_row(const SpKeeper *keeper, SpKeptBody *body, const StringInfo image, Size *offset)
{
	SpKeptRow			row;

	if (keeper->counted)
		return sp_rows_find(keeper, body, hash_bytes((unsigned char *) image->data, image->len),
							image->data, image->len, offset);
	for (*offset = body->first; *offset < body->used; *offset = row.end)
	{
		sp_rows_read(keeper, body, *offset, &row);
		if (row.count > 0 && row.size == image->len &&
			memcmp(row.image, image->data, row.size) == 0)
			return true;
		if (row.count == 0 && *offset == body->first)
			body->first = row.end;
	}
	return false;
}

/* Take one row away. */
SpAggError
sp_keeper_retract(SpAggregate *agg, char *state, const NullableDatum *args)
{
	const SpKeeper *keeper = agg->keeper;
	MemoryContext old;
	SpKeptBody *body;
	StringInfoData image;
	Size		offset;
	uint64		nlive;

	if (is_ignored(keeper, args))
		return SP_AGG_OK;
	MemoryContextReset(keeper->temp);
	old = MemoryContextSwitchTo(keeper->temp);
	sp_image_form(agg, args, &image);
	MemoryContextSwitchTo(old);

	body = sp_rows_open(agg, state);
	if (!find_row(keeper, body, &image, &offset))
		return SP_AGG_NEVER_ADDED;
	nlive = body->nlive;
	sp_rows_count(agg, state, offset, -1);
	if (body->nlive < nlive)
		take_from_total(keeper, body, args);
	return SP_AGG_OK;
}

/* Add a row of another state, as often as it is there. */
static void
add_row(SpAggregate *agg, char *state, const SpKeptRow *row)
{
	const SpKeeper *keeper = agg->keeper;
	SpKeptBody *body = sp_rows_open(agg, state);
	Size		offset;

	if (!keeper->counted ||
		!sp_rows_find(keeper, body, row->hash, row->image, row->size, &offset))
	{
		check_size(agg, body, row->size + sp_rows_header(keeper));
		offset = sp_rows_append(agg, state, row->image, row->size, row->hash);
	}
	sp_rows_count(agg, state, offset, row->count);
}

/* "to" gets the rows of both.  Where there is a total, its error shows in the result. */
SpAggError
sp_keeper_combine(SpAggregate *agg, char *to, const char *from)
{
	SpKeptBody *other = sp_rows_look(agg, from);
	Size		offset;
	SpKeptRow			row;

	if (other == NULL)
		return SP_AGG_OK;
	/* so that "from" is read while a body of both is changed */
	if (((SpKeptState *) to)->body == other)
		sp_rows_part(agg, (SpKeptState *) to);
	for (offset = other->first; offset < other->used; offset = row.end)
	{
		sp_rows_read(agg->keeper, other, offset, &row);
		if (row.count > 0)
			add_row(agg, to, &row);
	}
	if (((SpKeptState *) to)->body != NULL)
		((SpKeptState *) to)->body->running = false;
	return SP_AGG_OK;
}

/* ---- durable form ---- */

/* Append the durable form: version, kind, flags, columns, number of rows, rows. */
void
sp_keeper_serialize(SpAggregate *agg, const char *state, StringInfo buf)
{
	const SpKeeper *keeper = agg->keeper;
	const SpKeptBody *body = sp_rows_look(agg, state);
	uint64		nrows = body == NULL ? 0 : body->nlive;
	Size		offset;
	SpKeptRow			row;

	appendStringInfoChar(buf, STATE_VERSION);
	appendStringInfoChar(buf, STATE_KIND);
	appendStringInfoChar(buf, keeper->counted ? STATE_COUNTED : 0);
	appendStringInfoChar(buf, keeper->ncolumns);
	appendBinaryStringInfo(buf, (char *) &nrows, sizeof(nrows));
	for (offset = body == NULL ? 0 : body->first; nrows > 0; offset = row.end)
	{
		sp_rows_read(keeper, body, offset, &row);
		if (row.count == 0)
			continue;
		if (keeper->counted)
			appendBinaryStringInfo(buf, (char *) &row.count, sizeof(row.count));
		appendBinaryStringInfo(buf, (char *) &row.size, sizeof(row.size));
		appendBinaryStringInfo(buf, row.image, row.size);
		nrows--;
	}
}

/* Read a row of the durable form. */
static void
read_stored_row(const SpAggregate *agg, SpKeptRow *row, const char **p, const char *end)
{
	const SpKeeper *keeper = agg->keeper;

	row->count = 1;
	if (keeper->counted)
		sp_aggregate_read(agg, &row->count, sizeof(row->count), p, end);
	sp_aggregate_read(agg, &row->size, sizeof(row->size), p, end);
	if (row->count == 0 || row->count > PG_INT64_MAX || row->size > SP_LARGEST_IMAGE ||
		row->size > end - *p || !sp_image_check(keeper, *p, row->size))
		sp_aggregate_damaged(agg);
	row->image = *p;
	*p += row->size;
}

/* Make a state of the durable form at *p, which moves behind it. */
void
sp_keeper_deserialize(SpAggregate *agg, char *state, const char **p, const char *end)
{
	const SpKeeper *keeper = agg->keeper;
	SpKeptState *s = (SpKeptState *) state;
	uint8		header[4];
	uint64		nrows;
	SpKeptRow			row;

	sp_keeper_init(agg, state);
	sp_aggregate_read(agg, header, sizeof(header), p, end);
	if (header[0] != STATE_VERSION || header[1] != STATE_KIND ||
		header[2] != (keeper->counted ? STATE_COUNTED : 0) || header[3] != keeper->ncolumns)
		sp_aggregate_damaged(agg);
	sp_aggregate_read(agg, &nrows, sizeof(nrows), p, end);
	for (; nrows > 0; nrows--)
	{
		uint64		before = s->body == NULL ? 0 : s->body->nlive;

		read_stored_row(agg, &row, p, end);
		if (keeper->counted)
			row.hash = hash_bytes((const unsigned char *) row.image, row.size);
		add_row(agg, state, &row);
		/* equal rows are one */
		if (s->body->nlive == before)
			sp_aggregate_damaged(agg);
	}
}

/* ---- copies ---- */

/* One more handle. */
void
sp_keeper_copy(SpAggregate *agg, char *to, const char *from)
{
	SpKeptBody *body = sp_rows_look(agg, from);

	memcpy(to, from, sizeof(SpKeptState));
	if (body != NULL)
		body->nhandles++;
}

/* Give a handle up, with the body when it was the last one. */
void
sp_keeper_release(SpAggregate *agg, char *state)
{
	sp_rows_release((SpKeptState *) state);
	sp_keeper_init(agg, state);
}
