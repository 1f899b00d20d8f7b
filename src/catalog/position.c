/*
 * position.c
 *	  How far the worker of this database has got: the one row of
 *	  streamproc.position.
 *
 * Written in every transaction that writes results, so it is updated in place, at the
 * TID where it was last.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "catalog/position.h"
#include "catalog/table.h"

enum
{
	POSITION_SLOT_NAME,
	POSITION_SYSTEM_IDENTIFIER,
	POSITION_TIMELINE,
	POSITION_DATABASE,
	POSITION_STATE_LSN,
	POSITION_GENERATION,
	POSITION_OBJECT,
	POSITION_OUTPUT_LSN,
	POSITION_COLUMNS
};

/* Where the row was when we last looked. */
static ItemPointerData row_tid = {{0xFFFF, 0xFFFF}, InvalidOffsetNumber};

/* The elements of an array without NULLs. */
static Datum *
read_array(Datum value, Oid type, int16 length, bool byval, char align, int *n)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	Datum	   *elements;

	if (ARR_ELEMTYPE(array) != type || ARR_HASNULL(array))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the row of table \"streamproc.position\" is damaged")));
	deconstruct_array(array, type, length, byval, align, &elements, NULL, n);
	return elements;
}

/* The row's columns as a struct. */
static SpPosition *
read_position(const Datum *values)
{
	SpPosition *position = palloc0(sizeof(SpPosition));
	Datum	   *objects;
	Datum	   *lsns;
	int			nlsns;

	position->slot_name = pstrdup(NameStr(*DatumGetName(values[POSITION_SLOT_NAME])));
	position->system_identifier = (uint64) DatumGetInt64(values[POSITION_SYSTEM_IDENTIFIER]);
	position->timeline = (TimeLineID) DatumGetInt32(values[POSITION_TIMELINE]);
	position->database = DatumGetObjectId(values[POSITION_DATABASE]);
	position->state_lsn = DatumGetLSN(values[POSITION_STATE_LSN]);
	position->generation = DatumGetInt64(values[POSITION_GENERATION]);
	objects = read_array(values[POSITION_OBJECT], INT4OID, sizeof(int32), true,
						 TYPALIGN_INT, &position->nobjects);
	lsns = read_array(values[POSITION_OUTPUT_LSN], PG_LSNOID, sizeof(XLogRecPtr),
					  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &nlsns);
	if (nlsns != position->nobjects)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("table \"streamproc.position\" has %d objects but %d positions",
						position->nobjects, nlsns)));
	position->object = palloc(Max(nlsns, 1) * sizeof(int32));
	position->output_lsn = palloc(Max(nlsns, 1) * sizeof(XLogRecPtr));
	for (int i = 0; i < nlsns; i++)
	{
		position->object[i] = DatumGetInt32(objects[i]);
		position->output_lsn[i] = DatumGetLSN(lsns[i]);
	}
	return position;
}

/* Read the row, if there is one. */
SpPosition *
sp_position_load(void)
{
	SpTable    *table = sp_table_open_own("position", 0, NULL);
	Relation	rel = sp_table_relation(table);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	SpPosition *position = NULL;

	if (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		slot_getallattrs(slot);
		row_tid = slot->tts_tid;
		position = read_position(slot->tts_values);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	sp_table_close(table);
	return position;
}

/* The struct as the row's columns. */
static void
form_position(const SpPosition *position, NameData *slot_name, Datum *values)
{
	int			n = position->nobjects;
	Datum	   *elements = palloc(Max(n, 1) * sizeof(Datum));

	namestrcpy(slot_name, position->slot_name);
	values[POSITION_SLOT_NAME] = NameGetDatum(slot_name);
	values[POSITION_SYSTEM_IDENTIFIER] = Int64GetDatum((int64) position->system_identifier);
	values[POSITION_TIMELINE] = Int32GetDatum((int32) position->timeline);
	values[POSITION_DATABASE] = ObjectIdGetDatum(position->database);
	values[POSITION_STATE_LSN] = LSNGetDatum(position->state_lsn);
	values[POSITION_GENERATION] = Int64GetDatum(position->generation);
	for (int i = 0; i < n; i++)
		elements[i] = Int32GetDatum(position->object[i]);
	values[POSITION_OBJECT] =
		PointerGetDatum(construct_array(elements, n, INT4OID, sizeof(int32), true,
										TYPALIGN_INT));
	for (int i = 0; i < n; i++)
		elements[i] = LSNGetDatum(position->output_lsn[i]);
	values[POSITION_OUTPUT_LSN] =
		PointerGetDatum(construct_array(elements, n, PG_LSNOID, sizeof(XLogRecPtr),
										FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	pfree(elements);
}

/* Write it: inserted when new, else updated in place. */
void
sp_position_store(const SpPosition *position)
{
	SpTable    *table = sp_table_open_own("position", 0, NULL);
	Datum		values[POSITION_COLUMNS];
	bool		nulls[POSITION_COLUMNS] = {false};
	NameData	slot_name;

	form_position(position, &slot_name, values);
	if (!sp_table_update(table, &row_tid, POSITION_COLUMNS, values, nulls))
		sp_table_insert(table, values, nulls, &row_tid);
	sp_table_close(table);
	pfree(DatumGetPointer(values[POSITION_OBJECT]));
	pfree(DatumGetPointer(values[POSITION_OUTPUT_LSN]));
}

/* Forget it: the next worker starts as a new one. */
void
sp_position_delete(void)
{
	SpTable    *table = sp_table_open_own("position", 0, NULL);
	Datum		values[POSITION_COLUMNS] = {0};
	bool		nulls[POSITION_COLUMNS] = {false};

	while (sp_table_delete(table, &row_tid, values, nulls))
		sp_table_refresh(table);
	sp_table_close(table);
}
