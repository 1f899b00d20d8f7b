/*
 * sweep.c
 *	  Changing result rows that a query finds: old ones, and those of an object's earlier life.
 *
 * Results are the worker's to write, whatever rights their owner has kept.  So a query that
 * runs with the owner's rights only finds the rows; they are changed as all others are
 * (writer.c): row triggers fire, with the owner's rights; rules and statement triggers don't.
 */
#include "engine/internal.h"

#include "base/compat.h"
#include "engine/writer.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"

#define FETCH_ROWS 10000

/* What is done with the rows that are found. */
typedef struct Sweep
{
	SpWriter   *writer;
	AttrNumber	ordinal;		/* disown: set this column to less than nothing; 0: delete */
	uint64		done;
	uint64		changed;		/* by somebody else, since they were found */
} Sweep;

/* One row. */
static void
sweep_row(Sweep *sweep, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	ItemPointerData tid = *(ItemPointer) DatumGetPointer(SPI_getbinval(tuple, desc, 1, &isnull));
	SpAtResult	result;

	if (sweep->ordinal == 0)
		result = sp_writer_delete_at(sweep->writer, &tid);
	else
		result = sp_writer_set_at(sweep->writer, &tid, sweep->ordinal,
								  Int64GetDatum(-DatumGetInt64(SPI_getbinval(tuple, desc, 2,
																			 &isnull))));
	sweep->done += result == SP_AT_DONE;
	sweep->changed += result == SP_AT_CHANGED;
}

/* All that the query finds now. */
static void
run(Sweep *sweep, const char *query, int nargs, Oid *types, Datum *args)
{
	List	   *settings = list_make1("search_path=pg_catalog, pg_temp");
	SpUserContext user;
	Portal		portal;

	sweep->changed = 0;
	sp_user_enter(&user, sp_writer_owner(sweep->writer), settings);
	portal = SPI_cursor_open_with_args(NULL, query, nargs, types, args, NULL, false, 0);
	sp_user_leave(&user, true);
	for (;;)
	{
		uint64		i;

		CHECK_FOR_INTERRUPTS();
		sp_user_enter(&user, sp_writer_owner(sweep->writer), settings);
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		sp_user_leave(&user, true);
		if (SPI_processed == 0)
			break;
		for (i = 0; i < SPI_processed; i++)
			sweep_row(sweep, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
}

/* Again, until nobody was faster. */
static uint64
run_until_done(Oid relid, Oid changes, AttrNumber ordinal, const char *query,
			   int nargs, Oid *types, Datum *args)
{
	Sweep		sweep = {NULL};

	sweep.ordinal = ordinal;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	sweep.writer = sp_writer_open_any(relid);
	sp_writer_log(sweep.writer, changes, sp_engine.upto);
	do
		run(&sweep, query, nargs, types, args);
	while (sweep.changed > 0);
	sp_writer_close(sweep.writer);
	SPI_finish();
	return sweep.done;
}

/* The change feed of an object; invalid: it has none. */
Oid
sp_sweep_changes_of(const SpObjectDef *def)
{
	return def->kind == SP_WINDOW ? ((const SpWindowDef *) def)->changes : InvalidOid;
}

/*
 * Delete rows of a result table that has, or hasn't, a change feed: the query gives their
 * ctid.  Returns how many; those that a trigger keeps don't count.
 */
uint64
sp_sweep_delete(Oid relid, Oid changes, const char *query, int nargs, Oid *types, Datum *args)
{
	return run_until_done(relid, changes, 0, query, nargs, types, args);
}

/*
 * Alerts and answers of an earlier life stay, but the identity that they have may come again:
 * the query gives their ctid, and the number that becomes theirs, turned negative.
 */
void
sp_sweep_disown(Oid relid, Oid changes, const char *query)
{
	AttrNumber	ordinal = get_attnum(relid, "ordinal");

	if (ordinal <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("result table %s has no column \"ordinal\" any more",
						sp_registry_relation_name(relid))));
	(void) run_until_done(relid, changes, ordinal, query, 0, NULL, NULL);
}
