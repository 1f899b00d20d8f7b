/*
 * rowset.c
 *	  Chunks to rowsets: rows of a source as arrays of values.
 *
 * Attributes are numbered as in the stream's relation.  Rows of a partition whose columns
 * have other numbers are mapped.
 */
#include "engine/internal.h"

#include "base/compat.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* An empty rowset for up to capacity rows of natts attributes, in a context that was just reset. */
void
sp_rowset_init(SpRowSet *rows, MemoryContext context, int natts, int capacity)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	memset(rows, 0, sizeof(*rows));
	rows->context = context;
	rows->natts = natts;
	rows->values = palloc(sizeof(Datum) * capacity * Max(1, natts));
	rows->nulls = palloc(sizeof(bool) * capacity * Max(1, natts));
	rows->time = palloc(sizeof(int64) * capacity);
	rows->no_time = palloc(sizeof(bool) * capacity);
	rows->row_at = palloc(sizeof(char *) * capacity);
	MemoryContextSwitchTo(old);
}

/* A time of a source as an instant. */
int64
sp_time_to_utc(int64 time, Oid type, pg_tz *zone)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			offset;

	if (type == TIMESTAMPTZOID || zone == NULL || TIMESTAMP_NOT_FINITE(time))
		return time;
	if (timestamp2tm(time, NULL, &tm, &fsec, NULL, NULL) != 0)
		return time;
	offset = DetermineTimeZoneOffset(&tm, zone);
	return time + (int64) offset * USECS_PER_SEC;
}

/* An instant in the unit of a source's times. */
int64
sp_time_from_utc(TimestampTz time, Oid type, pg_tz *zone)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			offset;
	Timestamp	local;

	if (type == TIMESTAMPTZOID || zone == NULL || TIMESTAMP_NOT_FINITE(time))
		return time;
	if (timestamp2tm(time, &offset, &tm, &fsec, NULL, zone) != 0 ||
		tm2timestamp(&tm, fsec, NULL, &local) != 0)
		return time;
	return local;
}

/* Set the event time of row i from its values. */
void
sp_rowset_set_time(SpRowSet *rows, int i, const SpStream *stream)
{
	AttrNumber	attnum = stream->def->time_attnum;
	Datum		value;

	rows->no_time[i] = false;
	if (attnum == 0)
	{
		rows->time[i] = rows->commit_time;
		return;
	}
	if (rows->nulls[(Size) i * rows->natts + attnum - 1])
	{
		rows->no_time[i] = true;
		rows->time[i] = 0;
		return;
	}
	value = rows->values[(Size) i * rows->natts + attnum - 1];
	if (rows->time_type == DATEOID)
	{
		DateADT		date = DatumGetDateADT(value);

		if (DATE_IS_NOBEGIN(date))
			rows->time[i] = DT_NOBEGIN;
		else if (DATE_IS_NOEND(date))
			rows->time[i] = DT_NOEND;
		else if (date >= TIMESTAMP_END_JULIAN - POSTGRES_EPOCH_JDATE)
			rows->time[i] = DT_NOEND;	/* beyond what a timestamp can hold */
		else
			rows->time[i] = (int64) date * USECS_PER_DAY;
	}
	else
		rows->time[i] = DatumGetInt64(value);
}

/* Set the event time of a window's result row. */
void
sp_rowset_set_result_time(SpRowSet *rows, int i, const SpWindow *w)
{
	Datum		end = rows->values[(Size) i * rows->natts + 1];
	int64		time = w->types[1] == DATEOID ?
		(int64) DatumGetDateADT(end) * USECS_PER_DAY : DatumGetInt64(end);

	rows->no_time[i] = false;
	rows->time[i] = sp_result_event_time(w, time);
}

/* A column whose values can't be read as what the stream's column now is. */
static void
type_changed(const SpStream *stream, Form_pg_attribute want, Oid type)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column \"%s\" of stream %s was of type %s when a row was written, and is now of type %s",
					NameStr(want->attname), stream->def->o.name,
					format_type_be(type), format_type_be(want->atttypid))));
}

/* The partition's column that is this column of its source, or 0. */
static AttrNumber
find_column(TupleDesc desc, const char *name)
{
	int			i;

	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);

		if (!attr->attisdropped && strcmp(NameStr(attr->attname), name) == 0)
			return i + 1;
	}
	return 0;
}

/*
 * The shape's attribute for each attribute of the stream's relation that anyone needs, 0
 * where it has none (the column came later); NULL when they are the same.  Columns keep their numbers, not
 * their names, so those of a partition are found by the names that both had then.
 */
static AttrNumber *
map_attributes(const SpStream *stream, const SpShape *shape, int natts)
{
	TupleDesc	then = shape->source_desc ? shape->source_desc : shape->desc;
	AttrNumber *map = palloc0(sizeof(AttrNumber) * Max(1, natts));
	bool		same = shape->desc->natts >= natts;
	int			i;

	for (i = 0; i < natts; i++)
	{
		Form_pg_attribute want = TupleDescAttr(stream->desc, i);
		Form_pg_attribute have;

		if (!bms_is_member(i + 1, stream->attributes))
			continue;
		have = i < then->natts ? TupleDescAttr(then, i) : NULL;
		if (have == NULL || have->attisdropped)
		{
			same = false;
			continue;
		}
		if (have->atttypid != want->atttypid)
			type_changed(stream, want, have->atttypid);
		map[i] = shape->source_desc ? find_column(shape->desc, NameStr(have->attname)) : i + 1;
		same &= map[i] == i + 1;
	}
	return same ? NULL : map;
}

/* The stream's attributes that rows of the shape don't have; NULL: there are none. */
static Bitmapset *
find_unknown(const SpStream *stream, const SpShape *shape, const AttrNumber *map, int natts)
{
	Bitmapset  *unknown = NULL;
	int			i;

	for (i = 0; shape->known != NULL && i < natts; i++)
	{
		int			attnum = map ? map[i] : i + 1;

		if (bms_is_member(i + 1, stream->attributes) && attnum > 0 && !shape->known[attnum - 1])
			unknown = bms_add_member(unknown, i + 1);
	}
	return unknown;
}

/* Read the next row of the cursor into row i. */
static bool
read_row(SpRowSet *rows, int i, SpRowCursor *cursor, const AttrNumber *map,
		 Datum *scratch, bool *scratch_nulls)
{
	Datum	   *values = rows->values + (Size) i * rows->natts;
	bool	   *nulls = rows->nulls + (Size) i * rows->natts;
	int			a;

	if (map == NULL)
		return sp_row_next(cursor, rows->natts, values, nulls);
	if (!sp_row_next(cursor, cursor->shape->desc->natts, scratch, scratch_nulls))
		return false;
	for (a = 0; a < rows->natts; a++)
	{
		nulls[a] = map[a] == 0 || scratch_nulls[map[a] - 1];
		values[a] = nulls[a] ? (Datum) 0 : scratch[map[a] - 1];
	}
	return true;
}

/* Hand the rows of a chunk to apply, a rowset at a time. */
void
sp_rowset_each(SpStream *stream, const SpChunk *chunk, const SpEvent *event,
			   void (*apply) (SpStream *, SpRowSet *))
{
	MemoryContext context = sp_engine.rowset_context;
	SpRowCursor cursor;
	uint32		done = 0;

	sp_row_begin(&cursor, chunk);
	while (done < chunk->nrows)
	{
		SpRowSet	rows;
		AttrNumber *map;
		MemoryContext old;
		Datum	   *scratch = NULL;
		bool	   *scratch_nulls = NULL;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
		old = MemoryContextSwitchTo(context);
		sp_rowset_init(&rows, context, stream->max_attnum,
					   Min(SP_ROWSET_MAX, chunk->nrows - done));
		rows.first_ordinal = stream->txn_ordinal;
		rows.lsn = event->lsn;
		rows.commit_time = event->commit_time;
		rows.time_type = stream->def->time_type;
		rows.zone = stream->zone;
		rows.chunk = chunk;
		rows.retract = chunk->magic == SP_CHUNK_RETRACTED;
		rows.updated = chunk->magic == SP_CHUNK_UPDATED;
		map = map_attributes(stream, cursor.shape, rows.natts);
		rows.unknown = find_unknown(stream, cursor.shape, map, rows.natts);
		if (map != NULL)
		{
			scratch = palloc(sizeof(Datum) * cursor.shape->desc->natts);
			scratch_nulls = palloc(sizeof(bool) * cursor.shape->desc->natts);
		}
		while (rows.n < SP_ROWSET_MAX && done < chunk->nrows)
		{
			rows.row_at[rows.n] = cursor.next;
			if (!read_row(&rows, rows.n, &cursor, map, scratch, scratch_nulls))
				break;
			sp_rowset_set_time(&rows, rows.n, stream);
			rows.n++;
			done++;
		}
		MemoryContextSwitchTo(old);
		if (rows.n == 0)
			break;
		if (!rows.retract)
			stream->txn_ordinal += rows.n;
		apply(stream, &rows);
	}
}

/* Every attribute of row i, in the rowset's context. */
void
sp_rowset_full_row(const SpRowSet *rows, int i, TupleDesc *desc, Datum **values, bool **nulls)
{
	MemoryContext old = MemoryContextSwitchTo(rows->context);

	if (rows->chunk == NULL)
	{
		*desc = rows->desc;
		*values = rows->values + (Size) i * rows->natts;
		*nulls = rows->nulls + (Size) i * rows->natts;
	}
	else
	{
		SpRowCursor cursor;

		sp_row_begin(&cursor, rows->chunk);
		cursor.next = rows->row_at[i];
		*desc = cursor.shape->desc;
		*values = palloc(sizeof(Datum) * (*desc)->natts);
		*nulls = palloc(sizeof(bool) * (*desc)->natts);
		if (!sp_row_next(&cursor, (*desc)->natts, *values, *nulls))
			elog(ERROR, "a row of a chunk can't be read again");
	}
	MemoryContextSwitchTo(old);
}
