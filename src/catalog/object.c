/*
 * object.c
 *	  Finds, locks, adds and removes definitions.
 *
 * Lock order: a relation first, then its definition's row; of several objects those
 * that read before those that are read.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_authid_d.h"
#include "catalog/pg_type_d.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "catalog/object.h"
#include "catalog/query.h"

/* Every object there is; a relation that is gone is named by its number. */
#define ALL_OBJECTS \
	"SELECT o.kind, o.id, o.relid, o.source, o.expressions, o.twin, o.changes, o.overrides, " \
	"coalesce(c.relname::text, o.relid::text) AS name, " \
	"coalesce(s.requested[cardinality(s.requested)], s.state) FROM (" \
	"SELECT 's'::\"char\" AS kind, id, relation::oid AS relid, NULL::oid AS source, " \
	"expressions::oid AS expressions, NULL::oid AS twin, NULL::oid AS changes, " \
	"NULL::oid AS overrides " \
	"FROM streamproc.stream " \
	"UNION ALL SELECT 'w', id, relation::oid, source::oid, expressions::oid, twin::oid, " \
	"changes::oid, NULL " \
	"FROM streamproc.window_definition " \
	"UNION ALL SELECT 'd', id, relation::oid, source::oid, expressions::oid, NULL, NULL, " \
	"overrides::oid " \
	"FROM streamproc.detector_definition) o LEFT JOIN pg_class c ON c.oid = o.relid " \
	"LEFT JOIN streamproc.object_state s ON s.id = o.id "

static const char *
table_of(SpObjectKind kind)
{
	switch (kind)
	{
		case SP_STREAM:
			return "streamproc.stream";
		case SP_WINDOW:
			return "streamproc.window_definition";
		case SP_DETECTOR:
			return "streamproc.detector_definition";
	}
	elog(ERROR, "unknown kind of object: %d", (int) kind);
	return NULL;
}

const char *
sp_object_kind_name(SpObjectKind kind)
{
	switch (kind)
	{
		case SP_STREAM:
			return "stream";
		case SP_WINDOW:
			return "window";
		case SP_DETECTOR:
			return "detector";
	}
	elog(ERROR, "unknown kind of object: %d", (int) kind);
	return NULL;
}

static Oid
column_oid(uint64 row, int column)
{
	bool		isnull;
	Datum		value = sp_query_value(row, column, &isnull);

	return isnull ? InvalidOid : DatumGetObjectId(value);
}

/* Run a query of ALL_OBJECTS; the list is in the current memory context. */
static List *
find_objects(const char *condition, Oid type, Datum value)
{
	MemoryContext context = CurrentMemoryContext;
	StringInfoData sql;
	List	   *objects = NIL;
	SpQueryScope scope;

	initStringInfo(&sql);
	appendStringInfo(&sql, ALL_OBJECTS "WHERE %s ORDER BY o.id", condition);
	sp_query_open_latest(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, sql.data, SPI_OK_SELECT, 1, &type, &value, NULL);
	MemoryContextSwitchTo(context);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		SpObject   *object = palloc0(sizeof(SpObject));
		bool		isnull;
		Datum		state;

		object->kind = DatumGetChar(sp_query_value(row, 1, &isnull));
		object->id = DatumGetInt32(sp_query_value(row, 2, &isnull));
		object->relid = column_oid(row, 3);
		object->source = column_oid(row, 4);
		object->expressions = column_oid(row, 5);
		object->twin = column_oid(row, 6);
		object->changes = column_oid(row, 7);
		object->overrides = column_oid(row, 8);
		object->name = TextDatumGetCString(sp_query_value(row, 9, &isnull));
		state = sp_query_value(row, 10, &isnull);
		object->state = sp_definition_parse_state(isnull ? NULL : TextDatumGetCString(state));
		objects = lappend(objects, object);
	}
	sp_query_close(&scope);
	return objects;
}

bool
sp_object_find(Oid relid, SpObject *object)
{
	List	   *objects = find_objects("o.relid = $1", OIDOID, ObjectIdGetDatum(relid));

	if (objects == NIL)
		return false;
	*object = *(SpObject *) linitial(objects);
	return true;
}

List *
sp_object_dependents(Oid relid)
{
	return find_objects("o.source = $1", OIDOID, ObjectIdGetDatum(relid));
}

/* A list of OIDs as oid[]. */
static Datum
make_oid_array(List *relids)
{
	Datum	   *elements = palloc(list_length(relids) * sizeof(Datum));
	ListCell   *cell;
	int			n = 0;

	foreach(cell, relids)
		elements[n++] = ObjectIdGetDatum(lfirst_oid(cell));
	return PointerGetDatum(construct_array(elements, n, OIDOID, sizeof(Oid), true,
										   TYPALIGN_INT));
}

List *
sp_object_find_all(List *relids)
{
	return find_objects("o.relid = ANY ($1) OR o.expressions = ANY ($1)", OIDARRAYOID,
						make_oid_array(relids));
}

bool
sp_object_lock(const SpObject *object)
{
	StringInfoData sql;
	Oid			type = INT4OID;
	Datum		value = Int32GetDatum(object->id);
	SpQueryScope scope;
	bool		found;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT FROM %s WHERE id = $1 FOR NO KEY UPDATE",
					 table_of(object->kind));
	sp_query_open(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, sql.data, SPI_OK_SELECT, 1, &type, &value, NULL);
	found = SPI_processed > 0;
	sp_query_close(&scope);
	return found;
}

int32
sp_object_new_id(void)
{
	Oid			schema = get_namespace_oid("streamproc", false);
	SpQueryScope scope;
	bool		isnull;
	int32		id;

	sp_query_open(&scope, BOOTSTRAP_SUPERUSERID);
	do
	{
		sp_query_run(&scope, "SELECT nextval('streamproc.object_id')::int4", SPI_OK_SELECT,
					 0, NULL, NULL, NULL);
		id = DatumGetInt32(sp_query_value(0, 1, &isnull));
		/* A view may have survived an extension that was dropped. */
	} while (OidIsValid(get_relname_relid(psprintf("expressions_%d", id), schema)));
	sp_query_close(&scope);
	return id;
}

void
sp_object_set(SpObjectRow *row, const char *column, Oid type, Datum value, bool isnull)
{
	if (row->ncolumns == SP_OBJECT_COLUMNS)
		elog(ERROR, "too many columns in a definition");
	row->columns[row->ncolumns] = column;
	row->types[row->ncolumns] = type;
	row->values[row->ncolumns] = value;
	row->nulls[row->ncolumns] = isnull ? 'n' : ' ';
	row->ncolumns++;
}

void
sp_object_set_text(SpObjectRow *row, const char *column, const char *value)
{
	sp_object_set(row, column, TEXTOID, value ? CStringGetTextDatum(value) : (Datum) 0,
				  value == NULL);
}

void
sp_object_set_strings(SpObjectRow *row, const char *column, List *strings)
{
	Datum	   *elements = palloc((list_length(strings) + 1) * sizeof(Datum));
	ListCell   *cell;
	int			n = 0;

	foreach(cell, strings)
		elements[n++] = CStringGetTextDatum(lfirst(cell));
	sp_object_set(row, column, TEXTARRAYOID,
				  PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT)),
				  false);
}

void
sp_object_set_relation(SpObjectRow *row, const char *column, Oid relid)
{
	sp_object_set(row, column, REGCLASSOID, ObjectIdGetDatum(relid), !OidIsValid(relid));
}

void
sp_object_insert(SpObjectKind kind, SpObjectRow *row)
{
	StringInfoData sql;
	SpQueryScope scope;

	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO %s (", table_of(kind));
	for (int i = 0; i < row->ncolumns; i++)
		appendStringInfo(&sql, "%s%s", i > 0 ? ", " : "", row->columns[i]);
	appendStringInfoString(&sql, ") VALUES (");
	for (int i = 0; i < row->ncolumns; i++)
		appendStringInfo(&sql, "%s$%d", i > 0 ? ", " : "", i + 1);
	appendStringInfoChar(&sql, ')');

	sp_query_open(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, sql.data, SPI_OK_INSERT, row->ncolumns, row->types, row->values,
				 row->nulls);
	sp_query_close(&scope);

	for (int i = 0; i < row->ncolumns; i++)
	{
		if (strcmp(row->columns[i], "id") == 0)
			sp_definition_request_start(DatumGetInt32(row->values[i]));
	}
}

void
sp_object_forget_changes(List *relids)
{
	Oid			type = OIDARRAYOID;
	Datum		value = make_oid_array(relids);
	SpQueryScope scope;

	sp_query_open(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, "UPDATE streamproc.window_definition SET changes = NULL "
				 "WHERE changes::oid = ANY ($1)", SPI_OK_UPDATE, 1, &type, &value, NULL);
	sp_query_close(&scope);
}

void
sp_object_delete(const SpObject *object)
{
	StringInfoData sql;
	Oid			type = INT4OID;
	Datum		value = Int32GetDatum(object->id);
	SpQueryScope scope;

	initStringInfo(&sql);
	appendStringInfo(&sql, "DELETE FROM %s WHERE id = $1", table_of(object->kind));
	sp_query_open(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, sql.data, SPI_OK_DELETE, 1, &type, &value, NULL);
	sp_query_run(&scope, "DELETE FROM streamproc.object_state WHERE id = $1",
				 SPI_OK_DELETE, 1, &type, &value, NULL);
	sp_query_run(&scope, "DELETE FROM streamproc.rejected_row WHERE object = $1",
				 SPI_OK_DELETE, 1, &type, &value, NULL);
	sp_query_run(&scope, "DELETE FROM streamproc.shield_definition WHERE id = $1",
				 SPI_OK_DELETE, 1, &type, &value, NULL);
	sp_query_close(&scope);
}
