/*
 * progress.c
 *	  What an object has met so far, for people to read.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "utils/timestamp.h"

#include "catalog/progress.h"
#include "catalog/table.h"

enum
{
	PROGRESS_ID,
	PROGRESS_WATERMARK,
	PROGRESS_ROWS,
	PROGRESS_LATE,
	PROGRESS_UPDATES,
	PROGRESS_DELETES,
	PROGRESS_TRUNCATES,
	PROGRESS_DUPLICATES,
	PROGRESS_RETRACTED,
	PROGRESS_IGNORED,
	PROGRESS_KEYS,
	PROGRESS_READY,
	PROGRESS_LEARNED,
	PROGRESS_NEEDED,
	PROGRESS_COLUMNS
};

static const AttrNumber key[] = {PROGRESS_ID + 1};

/* Write rows, by the index: there are few. */
void
sp_progress_store(const SpProgress *progress, int n)
{
	SpTable    *table = sp_table_open_own("object_progress", 1, key);
	int			i;

	for (i = 0; i < n; i++)
	{
		const SpProgress *p = &progress[i];
		Datum		values[PROGRESS_COLUMNS];
		bool		nulls[PROGRESS_COLUMNS] = {false};
		ItemPointerData tid;

		values[PROGRESS_ID] = Int32GetDatum(p->id);
		values[PROGRESS_WATERMARK] = TimestampTzGetDatum(p->watermark);
		nulls[PROGRESS_WATERMARK] = TIMESTAMP_IS_NOBEGIN(p->watermark);
		values[PROGRESS_ROWS] = Int64GetDatum((int64) p->rows);
		values[PROGRESS_LATE] = Int64GetDatum((int64) p->late);
		values[PROGRESS_UPDATES] = Int64GetDatum((int64) p->updates);
		values[PROGRESS_DELETES] = Int64GetDatum((int64) p->deletes);
		values[PROGRESS_TRUNCATES] = Int64GetDatum((int64) p->truncates);
		values[PROGRESS_DUPLICATES] = Int64GetDatum((int64) p->duplicates);
		values[PROGRESS_RETRACTED] = Int64GetDatum((int64) p->retracted);
		values[PROGRESS_IGNORED] = Int64GetDatum((int64) p->ignored);
		values[PROGRESS_KEYS] = Int64GetDatum((int64) p->keys);
		values[PROGRESS_READY] = Int64GetDatum((int64) p->ready);
		values[PROGRESS_LEARNED] = Int64GetDatum(p->learned);
		values[PROGRESS_NEEDED] = Int64GetDatum(p->needed);
		ItemPointerSetInvalid(&tid);
		if (!sp_table_update(table, &tid, PROGRESS_COLUMNS, values, nulls))
			sp_table_insert(table, values, nulls, NULL);
	}
	sp_table_close(table);
}

/* The object is no more. */
void
sp_progress_delete(int32 id)
{
	SpTable    *table = sp_table_open_own("object_progress", 1, key);
	Datum		values[PROGRESS_COLUMNS] = {Int32GetDatum(id)};
	bool		nulls[PROGRESS_COLUMNS] = {false};
	ItemPointerData tid;

	ItemPointerSetInvalid(&tid);
	(void) sp_table_delete(table, &tid, values, nulls);
	sp_table_close(table);
}
