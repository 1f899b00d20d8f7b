/*
 * stream.c
 *	  create_stream() and drop_stream().
 *
 * A stream is a definition on a table that somebody else made.  The relation is locked
 * against others who define or change something on it until the end of the transaction.
 * The database's replication origin, by which the launcher knows that it wants a worker,
 * is created with the first stream.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/primnodes.h"
#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "catalog/message.h"
#include "catalog/object.h"
#include "face/clause.h"
#include "face/environment.h"
#include "face/lifecycle.h"
#include "face/on_update.h"
#include "face/parameter.h"
#include "face/relation.h"
#include "process/wakeup.h"

/* Arguments of create_stream(). */
enum
{
	RELATION,
	TIME_COLUMN,
	WATERMARK,
	IDLE_TIMEOUT,
	MAX_FUTURE,
	TIME_ZONE,
	LATE,
	DEDUP_KEY,
	DEDUP_WITHIN,
	ON_UPDATE,
	IF_NOT_EXISTS,
	REPLACE
};

PG_FUNCTION_INFO_V1(sp_create_stream);
PG_FUNCTION_INFO_V1(sp_drop_stream);

/* Decoding must give every row of the relation. */
static void
check_logged(Oid relid, const char *name)
{
	char		persistence = get_rel_persistence(relid);

	if (persistence != RELPERSISTENCE_PERMANENT)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" can't be a stream: it is %s", name,
						persistence == RELPERSISTENCE_TEMP ? "temporary" : "unlogged"),
				 errdetail("A stream reads rows from the WAL, where it leaves none.")));
	if (get_rel_relkind(relid) == RELKIND_FOREIGN_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("partition \"%s\" is a foreign table", name),
				 errdetail("A stream reads rows from the WAL, where it leaves none.")));
}

static void
check_partitions(Relation relation)
{
	List	   *partitions;
	ListCell   *cell;

	if (relation->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return;
	partitions = find_all_inheritors(RelationGetRelid(relation), AccessShareLock, NULL);
	foreach(cell, partitions)
		check_logged(lfirst_oid(cell), get_rel_name(lfirst_oid(cell)));
}

static void
check_relation(Relation relation)
{
	const char *name = RelationGetRelationName(relation);

	if (relation->rd_rel->relkind != RELKIND_RELATION &&
		relation->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" can't be a stream: it is not a table", name),
				 errdetail_relkind_not_supported(relation->rd_rel->relkind)));
	if (RelationGetRelid(relation) < FirstNormalObjectId ||
		RelationIsUsedAsCatalogTable(relation) ||
		RelationGetNamespace(relation) == get_namespace_oid("streamproc", false))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" can't be a stream: it is a catalog, or used as one", name)));
	check_logged(RelationGetRelid(relation), name);
	check_partitions(relation);
	sp_relation_check_row_security(RelationGetRelid(relation));
}

/* A column that a parameter names, which is in the WAL. */
static SpClause *
parse_column(SpClauseRole role, const char *parameter, const char *column, Oid relid)
{
	AttrNumber	attnum = get_attnum(relid, column);
	SpClause   *clause;

	if (attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist", column,
						get_rel_name(relid)),
				 errdetail("It is the value of parameter \"%s\".", parameter)));
	clause = sp_clause_parse(role, parameter, quote_identifier(column), relid);
	if (!IsA(clause->expr, Var) || ((Var *) clause->expr)->varattno != attnum)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" of table \"%s\" is virtual", column, get_rel_name(relid)),
				 errdetail("It is the value of parameter \"%s\", and its values are not in the WAL.",
						   parameter),
				 errhint("Make it a STORED generated column.")));
	return clause;
}

static SpClause *
parse_time_column(FunctionCallInfo fcinfo, Oid relid)
{
	char	   *column = NameStr(*PG_GETARG_NAME(TIME_COLUMN));
	SpClause   *clause = parse_column(SP_CLAUSE_CARRY, "time_column", column, relid);

	if (clause->type != TIMESTAMPTZOID && clause->type != TIMESTAMPOID && clause->type != DATEOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("parameter \"time_column\" names a column of type %s: \"%s\"",
						format_type_be(clause->type), column),
				 errhint("It must be of type timestamp with time zone, timestamp or date.")));
	return clause;
}

/* The columns of the dedup_key; their names in the view are not those of any other. */
static List *
parse_dedup_key(FunctionCallInfo fcinfo, Oid relid)
{
	List	   *clauses = NIL;
	List	   *seen = NIL;
	ListCell   *cell;

	foreach(cell, sp_parameter_strings(fcinfo, DEDUP_KEY, "dedup_key"))
	{
		char	   *column = lfirst(cell);
		SpClause   *clause = parse_column(SP_CLAUSE_KEY, "dedup_key", column, relid);

		if (list_member(seen, makeString(column)))
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_COLUMN),
					 errmsg("column \"%s\" appears twice in parameter \"dedup_key\"", column)));
		seen = lappend(seen, makeString(column));
		clause->name = psprintf("dedup_key %d", foreach_current_index(cell) + 1);
		clauses = lappend(clauses, clause);
	}
	return clauses;
}

/*
 * The view of the time column and the dedup_key, which keeps them from being dropped;
 * invalid: commit time, and no such key.
 */
static Oid
create_view(FunctionCallInfo fcinfo, int32 id, Oid relid)
{
	List	   *clauses = parse_dedup_key(fcinfo, relid);
	Oid			view;

	if (!PG_ARGISNULL(TIME_COLUMN))
	{
		SpClause   *clause = parse_time_column(fcinfo, relid);

		if (clauses != NIL)
			clause->name = "time_column";
		clauses = lcons(clause, clauses);
	}
	if (clauses == NIL)
		return InvalidOid;
	view = sp_relation_create_expressions(id, sp_clause_query(clauses, NULL, relid, 0, NULL),
										  psprintf("stream \"%s\"", get_rel_name(relid)));
	sp_relation_bind_view(view, relid);
	return view;
}

/* A key and a distance make sense together only, and not where rows may be taken back. */
static void
check_dedup(FunctionCallInfo fcinfo, const char *on_update)
{
	bool		has_key = !PG_ARGISNULL(DEDUP_KEY);
	bool		has_within = !PG_ARGISNULL(DEDUP_WITHIN);
	int			nkeys = list_length(sp_parameter_strings(fcinfo, DEDUP_KEY, "dedup_key"));

	sp_parameter_interval(fcinfo, DEDUP_WITHIN, "dedup_within", SP_INTERVAL_POSITIVE);
	if (has_key != has_within)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"%s\" needs \"%s\"", has_key ? "dedup_key" : "dedup_within",
						has_key ? "dedup_within" : "dedup_key"),
				 has_key ?
				 errhint("Say how far apart two rows of one key may be and still be one, for "
						 "example dedup_within => '1 hour'.") :
				 errhint("Name the columns that tell rows apart, for example "
						 "dedup_key => '{id}'.")));
	if (has_key && (nkeys == 0 || nkeys > INDEX_MAX_KEYS))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"dedup_key\" must name 1 to %d columns, not %d",
						INDEX_MAX_KEYS, nkeys)));
	if (has_key && strcmp(on_update, "retract") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"dedup_key\" and on_update \"retract\" exclude one another"),
				 errdetail("Of a row that is taken back nobody knows whether another one was "
						   "left out for it.")));
}

static void
check_parameters(FunctionCallInfo fcinfo)
{
	static const char *const late[] = {"dead_letter", "drop", NULL};
	static const char *const on_update[] = {"ignore", "retract", "error", NULL};
	char	   *value;

	sp_parameter_require(fcinfo, WATERMARK, "watermark");
	sp_parameter_interval(fcinfo, WATERMARK, "watermark", SP_INTERVAL_ANY);
	sp_parameter_require(fcinfo, IDLE_TIMEOUT, "idle_timeout");
	sp_parameter_interval(fcinfo, IDLE_TIMEOUT, "idle_timeout", SP_INTERVAL_POSITIVE);
	sp_parameter_require(fcinfo, MAX_FUTURE, "max_future");
	sp_parameter_interval(fcinfo, MAX_FUTURE, "max_future", SP_INTERVAL_ANY);
	sp_parameter_time_zone(fcinfo, TIME_ZONE, "time_zone");
	sp_parameter_choice(fcinfo, LATE, "late", late);
	value = sp_parameter_choice(fcinfo, ON_UPDATE, "on_update", on_update);
	check_dedup(fcinfo, value);
}

static void
insert_stream(FunctionCallInfo fcinfo, Oid relid)
{
	SpObjectRow row = {0};
	int32		id = sp_object_new_id();

	sp_object_set(&row, "id", INT4OID, Int32GetDatum(id), false);
	sp_object_set_relation(&row, "relation", relid);
	sp_object_set_relation(&row, "expressions", create_view(fcinfo, id, relid));
	sp_object_set(&row, "time_column", NAMEOID, fcinfo->args[TIME_COLUMN].value,
				  PG_ARGISNULL(TIME_COLUMN));
	sp_object_set(&row, "watermark", INTERVALOID, PG_GETARG_DATUM(WATERMARK), false);
	sp_object_set(&row, "idle_timeout", INTERVALOID, PG_GETARG_DATUM(IDLE_TIMEOUT), false);
	sp_object_set(&row, "max_future", INTERVALOID, PG_GETARG_DATUM(MAX_FUTURE), false);
	sp_object_set(&row, "time_zone", TEXTOID, PG_GETARG_DATUM(TIME_ZONE), false);
	sp_object_set(&row, "late", TEXTOID, PG_GETARG_DATUM(LATE), false);
	sp_object_set(&row, "dedup_key", NAMEARRAYOID, fcinfo->args[DEDUP_KEY].value,
				  PG_ARGISNULL(DEDUP_KEY));
	sp_object_set(&row, "dedup_within", INTERVALOID, fcinfo->args[DEDUP_WITHIN].value,
				  PG_ARGISNULL(DEDUP_WITHIN));
	sp_object_set(&row, "on_update", TEXTOID, PG_GETARG_DATUM(ON_UPDATE), false);
	sp_object_insert(SP_STREAM, &row);
}

/* The value of on_update, which was checked. */
static char *
get_on_update(FunctionCallInfo fcinfo)
{
	return text_to_cstring(PG_GETARG_TEXT_PP(ON_UPDATE));
}

/*
 * The relation, locked, as CREATE TRIGGER does where there will be triggers.  It may have been
 * dropped while we waited for the lock, and who is not its owner shall not even wait.
 */
static Relation
open_relation(FunctionCallInfo fcinfo)
{
	Relation	relation;
	char	   *name;
	Oid			relid;

	sp_parameter_require(fcinfo, RELATION, "relation");
	relid = PG_GETARG_OID(RELATION);
	name = get_rel_name(relid);
	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	sp_relation_check_owner(relid);
	relation = try_relation_open(relid, strcmp(get_on_update(fcinfo), "error") == 0 ?
								 ShareRowExclusiveLock : ShareUpdateExclusiveLock);
	if (relation == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s\" was dropped meanwhile", name)));
	return relation;
}

Datum
sp_create_stream(PG_FUNCTION_ARGS)
{
	Relation	relation;
	Oid			relid;

	sp_environment_check();
	check_parameters(fcinfo);

	relation = open_relation(fcinfo);
	relid = RelationGetRelid(relation);
	check_relation(relation);
	if (sp_lifecycle_make_room(fcinfo, IF_NOT_EXISTS, REPLACE, SP_STREAM, relid,
							   RelationGetRelationName(relation)))
	{
		sp_on_update_check_stream(relation, get_on_update(fcinfo), PG_ARGISNULL(TIME_COLUMN) ? NULL :
								  NameStr(*PG_GETARG_NAME(TIME_COLUMN)));
		sp_lifecycle_create_origin();
		insert_stream(fcinfo, relid);
		if (strcmp(get_on_update(fcinfo), "error") == 0)
			sp_on_update_guard(relation);
		sp_message_control();
		sp_wakeup_launcher_at_commit();
	}
	relation_close(relation, NoLock);
	PG_RETURN_OID(relid);
}

Datum
sp_drop_stream(PG_FUNCTION_ARGS)
{
	sp_lifecycle_drop(fcinfo, SP_STREAM);
	PG_RETURN_VOID();
}
