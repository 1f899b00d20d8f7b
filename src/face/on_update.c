/*
 * on_update.c
 *	  What becomes of UPDATE, DELETE and TRUNCATE of a stream's table: checks and triggers.
 *
 * 'retract' reads from the WAL what a row was before.  There it has the columns of the
 * table's replica identity, which must have all that the stream's windows use: it is checked
 * when they are created; later the engine finds it missing, and stops them.
 *
 * 'error' refuses such statements where they are made, by triggers that are fired ALWAYS.
 * They are ordinary ones, so that a partition that is attached later gets the row trigger by
 * itself, a dump takes them along, and everybody sees them.  They go with the stream, with
 * the table and with the extension.  One that has survived its stream (on a partition that
 * was detached, by a restore) lets everything pass.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/partition.h"
#include "catalog/pg_authid_d.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type_d.h"
#include "commands/trigger.h"
#include "nodes/bitmapset.h"
#include "nodes/parsenodes.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "catalog/query.h"
#include "engine/aggregate.h"
#include "face/lifecycle.h"
#include "face/on_update.h"
#include "face/relation.h"

#define ROW_TRIGGER			"streamproc_on_update"
#define TRUNCATE_TRIGGER	"streamproc_on_truncate"

PG_FUNCTION_INFO_V1(sp_refuse_on_update);

/* ---- 'retract': the replica identity ---- */

/* The table and its partitions, locked against changes of their columns. */
static List *
list_tables(Oid relid)
{
	if (get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE)
		return list_make1_oid(relid);
	return find_all_inheritors(relid, AccessShareLock, NULL);
}

static void
refuse_identity(Relation table, const char *column)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 column == NULL ?
			 errmsg("table \"%s\" has no replica identity", RelationGetRelationName(table)) :
			 errmsg("column \"%s\" is not in the replica identity of table \"%s\"", column,
					RelationGetRelationName(table)),
			 errdetail("With on_update \"retract\" rows that are updated or deleted are taken "
					   "back, as the WAL has them."),
			 errhint("ALTER TABLE %s REPLICA IDENTITY FULL;",
					 sp_relation_quote(RelationGetRelid(table)))));
}

/* An error unless the WAL has these attributes of the source, of old rows of one table. */
static void
check_table_identity(Relation table, Oid source, const Bitmapset *attributes)
{
	Bitmapset  *identity;
	int			attribute = -1;

	if (table->rd_rel->relreplident == REPLICA_IDENTITY_FULL)
		return;
	identity = RelationGetIndexAttrBitmap(table, INDEX_ATTR_BITMAP_IDENTITY_KEY);
	if (table->rd_rel->relreplident == REPLICA_IDENTITY_NOTHING || bms_is_empty(identity))
		refuse_identity(table, NULL);
	while ((attribute = bms_next_member(attributes, attribute)) >= 0)
	{
		int			attnum = attribute + FirstLowInvalidHeapAttributeNumber;
		char	   *column;

		if (attnum == 0)
			refuse_identity(table, "*");
		column = get_attname(source, attnum, false);
		if (!bms_is_member(get_attnum(RelationGetRelid(table), column) -
						   FirstLowInvalidHeapAttributeNumber, identity))
			refuse_identity(table, column);
	}
}

/* The same of all tables that a source has rows in. */
static void
check_identity(Oid source, const Bitmapset *attributes)
{
	ListCell   *cell;

	foreach(cell, list_tables(source))
	{
		Relation	table = relation_open(lfirst_oid(cell), AccessShareLock);

		if (table->rd_rel->relkind == RELKIND_RELATION)
			check_table_identity(table, source, attributes);
		relation_close(table, NoLock);
	}
}

void
sp_on_update_check_stream(Relation relation, const char *on_update, const char *time_column)
{
	Oid			relid = RelationGetRelid(relation);
	Bitmapset  *attributes = NULL;

	if (strcmp(on_update, "ignore") == 0)
		return;
	if (sp_lifecycle_is_stream_table(relid))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"on_update\" can't be \"%s\" for stream table \"%s\"", on_update,
						RelationGetRelationName(relation)),
				 errdetail("Its rows are not kept, so that nobody can change them.")));
	if (strcmp(on_update, "retract") != 0)
		return;
	if (time_column != NULL && get_attnum(relid, time_column) > 0)
		attributes = bms_make_singleton(get_attnum(relid, time_column) -
										FirstLowInvalidHeapAttributeNumber);
	check_identity(relid, attributes);
}

/* ---- 'retract': windows ---- */

/* What a window can't do where rows are taken back. */
static void
refuse_parameter(const char *parameter, const char *value, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("parameter \"%s\" can't be \"%s\" on a stream with on_update \"retract\"",
					parameter, value),
			 errdetail("%s", detail),
			 hint != NULL ? errhint("%s", hint) : 0));
}

static void
check_parameters(FunctionCallInfo fcinfo, const SpWindowDraft *draft)
{
	if (draft->stream->time_attnum == 0 && draft->kind != SP_WINDOW_GLOBAL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("stream \"%s\" with on_update \"retract\" has no time column",
						draft->source.name),
				 errdetail("When a row that is taken back was committed is not known any more."),
				 errhint("Give the stream a time_column, or use a global window.")));
	if (draft->fill_zero)
		refuse_parameter("fill", "zero", "Whether a key without rows is alive would depend on rows "
						 "that were taken back.", NULL);
	if (!PG_GETARG_BOOL(SP_WINDOW_BACKFILL))
		refuse_parameter("backfill", "false", "Rows that the window has never counted could not be "
						 "told from its own when they are taken back.", NULL);
}

/* An aggregate must be able to go back. */
static void
check_aggregates(const List *aggregates)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "streamproc aggregate",
												  ALLOCSET_SMALL_SIZES);
	ListCell   *cell;

	foreach(cell, aggregates)
	{
		SpClause   *clause = lfirst(cell);

		if (IsA(clause->expr, Aggref))
			(void) sp_aggregate_bind((Aggref *) copyObject(clause->expr), scratch, SP_AGG_RETRACT);
	}
	MemoryContextDelete(scratch);
}

/* Answers of a sliding window are handed on as they are given, and change later all the same. */
static void
check_upstream(const SpWindowDraft *draft)
{
	if (draft->upstream->window_kind == SP_WINDOW_SLIDING)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("sliding window \"%s\" can't be the source of a window, as its stream has "
						"on_update \"retract\"", draft->source.name),
				 errdetail("Its answers change when rows are taken back, which what reads them isn't told."),
				 errhint("Let the window read the stream itself, or a detector read the sliding window.")));
}

void
sp_on_update_check_window(FunctionCallInfo fcinfo, const SpWindowDraft *draft, List *clauses)
{
	Bitmapset  *attributes = NULL;
	ListCell   *cell;

	if (draft->stream->on_update != SP_ON_UPDATE_RETRACT)
		return;
	if (draft->upstream != NULL)
	{
		check_upstream(draft);
		return;
	}
	check_parameters(fcinfo, draft);
	if (draft->kind != SP_WINDOW_SLIDING)	/* there they are computed anew */
		check_aggregates(draft->aggregates);
	foreach(cell, clauses)
		pull_varattnos(((SpClause *) lfirst(cell))->expr, 1, &attributes);
	if (draft->filter != NULL)
		pull_varattnos(draft->filter->expr, 1, &attributes);
	if (draft->having != NULL)
		pull_varattnos(draft->having->expr, 1, &attributes);
	if (draft->stream->time_attnum > 0)
		attributes = bms_add_member(attributes, draft->stream->time_attnum -
									FirstLowInvalidHeapAttributeNumber);
	check_identity(draft->source.relid, attributes);
}

/* ---- 'error': triggers ---- */

/* The triggers' function. */
static Oid
find_function(void)
{
	oidvector  *no_args = buildoidvector(NULL, 0);

	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
						   CStringGetDatum("refuse_on_update"), PointerGetDatum(no_args),
						   ObjectIdGetDatum(get_namespace_oid("streamproc", false)));
}

/* Create one, which goes with the table and, without a word, with the extension. */
static void
create_trigger(Oid relid, const char *name, int16 events, bool row)
{
	CreateTrigStmt *stmt = makeNode(CreateTrigStmt);
	Oid			function = find_function();
	ObjectAddress trigger;
	ObjectAddress on;

	if (OidIsValid(get_trigger_oid(relid, name, true)))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("trigger \"%s\" for relation \"%s\" already exists", name,
						get_rel_name(relid)),
				 errhint("Drop or rename it.")));
	stmt->trigname = pstrdup(name);
	stmt->timing = TRIGGER_TYPE_BEFORE;
	stmt->events = events;
	stmt->row = row;
	trigger = CreateTriggerFiringOn(stmt, NULL, relid, InvalidOid, InvalidOid, InvalidOid,
									function, InvalidOid, NULL, false, false,
									TRIGGER_FIRES_ALWAYS);
	CommandCounterIncrement();
	deleteDependencyRecordsFor(TriggerRelationId, trigger.objectId, false);
	ObjectAddressSet(on, RelationRelationId, relid);
	recordDependencyOn(&trigger, &on, DEPENDENCY_AUTO);
	ObjectAddressSet(on, ProcedureRelationId, function);
	recordDependencyOn(&trigger, &on, DEPENDENCY_AUTO);
	CommandCounterIncrement();
}

/*
 * The row trigger does nothing to statements that find no row.  Partitions have it from their
 * parent; TRUNCATE knows no rows, and asks each table that is named.
 */
void
sp_on_update_guard(Relation relation)
{
	Oid			relid = RelationGetRelid(relation);
	ListCell   *cell;

	create_trigger(relid, ROW_TRIGGER, TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE, true);
	foreach(cell, list_tables(relid))
		create_trigger(lfirst_oid(cell), TRUNCATE_TRIGGER, TRIGGER_TYPE_TRUNCATE, false);
}

/* Drop a trigger of ours, if it is still there. */
static void
drop_trigger(Oid relid, const char *name)
{
	ObjectAddress trigger;

	ObjectAddressSet(trigger, TriggerRelationId, get_trigger_oid(relid, name, true));
	if (OidIsValid(trigger.objectId))
		performDeletion(&trigger, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
}

void
sp_on_update_unguard(Oid relid)
{
	ListCell   *cell;

	drop_trigger(relid, ROW_TRIGGER);
	foreach(cell, list_tables(relid))
		drop_trigger(lfirst_oid(cell), TRUNCATE_TRIGGER);
	CommandCounterIncrement();
}

/* Is it the relation of a stream that wants no changes, or a part of it? */
static bool
is_guarded(Relation relation)
{
	List	   *relids = list_make1_oid(RelationGetRelid(relation));
	Oid			type = OIDARRAYOID;
	Datum	   *elements;
	Datum		array;
	SpQueryScope scope;
	ListCell   *cell;
	bool		found;

	if (relation->rd_rel->relispartition)
		relids = list_concat(relids, get_partition_ancestors(RelationGetRelid(relation)));
	elements = palloc(sizeof(Datum) * list_length(relids));
	foreach(cell, relids)
		elements[foreach_current_index(cell)] = ObjectIdGetDatum(lfirst_oid(cell));
	array = PointerGetDatum(construct_array(elements, list_length(relids), OIDOID, sizeof(Oid),
											true, TYPALIGN_INT));
	sp_query_open(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, "SELECT FROM streamproc.stream "
				 "WHERE on_update = 'error' AND relation::oid = ANY ($1)",
				 SPI_OK_SELECT, 1, &type, &array, NULL);
	found = SPI_processed > 0;
	sp_query_close(&scope);
	return found;
}

/* The triggers' function. */
Datum
sp_refuse_on_update(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	const char *verb;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager", "refuse_on_update")));
	verb = TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event) ? "truncate" :
		TRIGGER_FIRED_BY_DELETE(trigger->tg_event) ? "delete from" : "update";
	if (!TRIGGER_FIRED_BY_INSERT(trigger->tg_event) && is_guarded(trigger->tg_relation))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot %s table \"%s\"", verb,
						RelationGetRelationName(trigger->tg_relation)),
				 errdetail("It is a stream with on_update \"error\"."),
				 errhint("Insert a row that corrects the other one, or create the stream anew "
						 "with on_update => 'retract'."),
				 errtable(trigger->tg_relation)));
	if (TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
		PG_RETURN_POINTER(NULL);
	PG_RETURN_POINTER(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple :
					  trigger->tg_trigtuple);
}
