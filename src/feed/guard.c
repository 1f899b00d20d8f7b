/*
 * guard.c
 *	  Keeps stream tables free of what can't work on them.
 *
 * The object access hook sees every relation, constraint, trigger and inheritance link
 * as its catalog row is written, and refuses those that touch a stream table in a way
 * it can't keep: an error there undoes the command.  Unlike event triggers it can't be
 * switched off.  It is installed when a process first meets a stream table; no command
 * can name one before.
 *
 * UPDATE, DELETE and MERGE would find no rows and silently do nothing.  Therefore each
 * stream table has an internal trigger, created with it, that refuses them.  It is
 * fired ALWAYS (also under session_replication_role = replica), can't be dropped by
 * itself, and is set back when ALTER TABLE ... DISABLE TRIGGER ALL turns it off.
 *
 * Rows that were written by the present command are visible to SnapshotSelf only.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "feed/guard.h"
#include "feed/pack.h"
#include "feed/table_am.h"

static object_access_hook_type next_hook = NULL;

/* A copy of the catalog row with this OID, or NULL; oid_column may be an index's first. */
static HeapTuple
read_row(Oid catalog, Oid index, AttrNumber oid_column, Oid oid)
{
	Relation	rel = table_open(catalog, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, oid_column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(oid));
	scan = systable_beginscan(rel, index, true, SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		tuple = heap_copytuple(tuple);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return tuple;
}

/* The pg_class row of a relation that may be new, or NULL. */
static Form_pg_class
read_class(Oid relid)
{
	HeapTuple	tuple = read_row(RelationRelationId, ClassOidIndexId, Anum_pg_class_oid, relid);

	return HeapTupleIsValid(tuple) ? (Form_pg_class) GETSTRUCT(tuple) : NULL;
}

/* The pg_class row of a relation if it is a stream table, else NULL. */
static Form_pg_class
read_stream_table(Oid relid)
{
	Form_pg_class class = OidIsValid(relid) ? read_class(relid) : NULL;

	return class != NULL && sp_table_am_is_ours(class->relam) ? class : NULL;
}

/* The trigger function that refuses changes; looked up without permission checks. */
static Oid
find_guard_function(void)
{
	oidvector  *no_args = buildoidvector(NULL, 0);
	Oid			function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
										   CStringGetDatum("refuse_change"),
										   PointerGetDatum(no_args),
										   ObjectIdGetDatum(get_namespace_oid("streamproc", false)));

	if (!OidIsValid(function))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function streamproc.refuse_change() does not exist"),
				 errhint("Execute CREATE EXTENSION streamproc.")));
	return function;
}

/* Give a new stream table the trigger that refuses UPDATE and DELETE. */
static void
create_guard_trigger(Oid relid)
{
	CreateTrigStmt *stmt = makeNode(CreateTrigStmt);
	ObjectAddress trigger;
	ObjectAddress table;

	/* The relation's catalog rows are complete, but not visible yet. */
	CommandCounterIncrement();

	stmt->trigname = "streamproc_guard";
	stmt->timing = TRIGGER_TYPE_BEFORE;
	stmt->events = TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE;
	trigger = CreateTriggerFiringOn(stmt, NULL, relid, InvalidOid, InvalidOid, InvalidOid,
									find_guard_function(), InvalidOid, NULL, true, false,
									TRIGGER_FIRES_ALWAYS);

	/* A part of the table: it goes with the table, and by no other way. */
	CommandCounterIncrement();
	deleteDependencyRecordsFor(TriggerRelationId, trigger.objectId, false);
	ObjectAddressSet(table, RelationRelationId, relid);
	recordDependencyOn(&trigger, &table, DEPENDENCY_INTERNAL);
	CommandCounterIncrement();
}

/* ALTER TABLE ... DISABLE TRIGGER ALL met the guard: it stays as it was. */
static void
restore_guard_trigger(Oid trigger)
{
	HeapTuple	tuple = read_row(TriggerRelationId, TriggerOidIndexId, Anum_pg_trigger_oid,
								 trigger);
	Form_pg_trigger form;
	Relation	rel;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_trigger) GETSTRUCT(tuple);
	if (!form->tgisinternal || form->tgenabled == TRIGGER_FIRES_ALWAYS ||
		strncmp(NameStr(form->tgname), "streamproc_guard", strlen("streamproc_guard")) != 0 ||
		read_stream_table(form->tgrelid) == NULL)
		return;

	/* What this command changed can be changed again by the next one only. */
	CommandCounterIncrement();
	form->tgenabled = TRIGGER_FIRES_ALWAYS;
	rel = table_open(TriggerRelationId, RowExclusiveLock);
	CatalogTupleUpdate(rel, &tuple->t_self, tuple);
	table_close(rel, RowExclusiveLock);
}

/* The common form of what is refused. */
static void
refuse(Form_pg_class class, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("stream table \"%s\" cannot have %s", NameStr(class->relname), what),
			 errdetail("Rows of a stream table are handed to its streams and not kept."),
			 hint != NULL ? errhint("%s", hint) : 0));
}

/* Storage that ALTER TABLE or VACUUM FULL makes to replace a table's. */
static void
check_rewrite(Form_pg_class new)
{
	Form_pg_class old = read_class(new->relrewrite);
	bool		was_stream = old != NULL && sp_table_am_is_ours(old->relam);
	bool		is_stream = sp_table_am_is_ours(new->relam);

	if (old != NULL && was_stream != is_stream)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 was_stream ?
				 errmsg("access method of stream table \"%s\" cannot be changed",
						NameStr(old->relname)) :
				 errmsg("table \"%s\" cannot become a stream table", NameStr(old->relname)),
				 errhint("Create another table, with the access method that it shall have.")));
	if (is_stream && new->relpersistence != RELPERSISTENCE_PERMANENT)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("stream table \"%s\" cannot be unlogged",
						NameStr(old != NULL ? old->relname : new->relname)),
				 errdetail("The write-ahead log is all that its rows are written to.")));
}

/* A new table or materialized view. */
static void
check_table(Form_pg_class class)
{
	if (OidIsValid(class->relrewrite))
	{
		check_rewrite(class);
		return;
	}
	if (!sp_table_am_is_ours(class->relam))
		return;

	if (class->relkind != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s \"%s\" cannot use the access method of stream tables",
						class->relkind == RELKIND_MATVIEW ? "materialized view" :
						class->relkind == RELKIND_PARTITIONED_TABLE ? "partitioned table" :
						"relation",
						NameStr(class->relname)),
				 errdetail("Rows of a stream table are handed to its streams and not kept."),
				 errhint("Add USING heap to the command, or set default_table_access_method to heap.")));
	if (class->relpersistence != RELPERSISTENCE_PERMANENT)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("stream table \"%s\" cannot be %s", NameStr(class->relname),
						class->relpersistence == RELPERSISTENCE_TEMP ? "temporary" : "unlogged"),
				 errdetail("The write-ahead log is all that its rows are written to.")));
	create_guard_trigger(class->oid);
}

/* A new index. */
static void
check_index(Oid indexid)
{
	HeapTuple	tuple = read_row(IndexRelationId, IndexRelidIndexId,
								 Anum_pg_index_indexrelid, indexid);
	Form_pg_class class = NULL;

	if (HeapTupleIsValid(tuple))
		class = read_stream_table(((Form_pg_index) GETSTRUCT(tuple))->indrelid);
	if (class != NULL)
		refuse(class, "indexes", "Index the result tables of its windows and detectors.");
}

/* A new relation of any kind. */
static void
check_relation(Oid relid)
{
	Form_pg_class class = read_class(relid);

	if (class == NULL)
		return;
	switch (class->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_MATVIEW:
		case RELKIND_PARTITIONED_TABLE:
			check_table(class);
			break;
		case RELKIND_INDEX:
			check_index(relid);
			break;
		default:
			break;
	}
}

/* A new constraint: what is checked row by row may stay, what needs other rows not. */
static void
check_constraint(Oid constraint)
{
	HeapTuple	tuple = read_row(ConstraintRelationId, ConstraintOidIndexId,
								 Anum_pg_constraint_oid, constraint);
	Form_pg_constraint form;
	Form_pg_class class;
	const char *what;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_constraint) GETSTRUCT(tuple);
	switch (form->contype)
	{
		case CONSTRAINT_PRIMARY:
			what = "a primary key";
			break;
		case CONSTRAINT_UNIQUE:
			what = "unique constraints";
			break;
		case CONSTRAINT_EXCLUSION:
			what = "exclusion constraints";
			break;
		case CONSTRAINT_FOREIGN:
			what = "foreign keys";
			break;
		default:
			return;
	}

	class = read_stream_table(form->conrelid);
	if (class != NULL)
		refuse(class, what,
			   form->contype == CONSTRAINT_FOREIGN ?
			   "Check the values where they come from, or in a BEFORE ROW trigger." :
			   "Use the stream's dedup_key to drop duplicates.");
	class = read_stream_table(form->confrelid);
	if (class != NULL)
		refuse(class, "foreign keys that refer to it", NULL);
}

/* A new or replaced trigger. */
static void
check_trigger(Oid trigger)
{
	HeapTuple	tuple = read_row(TriggerRelationId, TriggerOidIndexId, Anum_pg_trigger_oid,
								 trigger);
	Form_pg_trigger form;
	Form_pg_class class;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_trigger) GETSTRUCT(tuple);
	if (!TRIGGER_FOR_ROW(form->tgtype) || !TRIGGER_FOR_AFTER(form->tgtype))
		return;
	class = read_stream_table(form->tgrelid);
	if (class != NULL)
		refuse(class, "AFTER ROW triggers",
			   "Use a BEFORE ROW trigger, or an AFTER STATEMENT trigger with a transition table.");
}

/* A new parent of a table, or a partition. */
static void
check_inheritance(Oid child, Oid parent)
{
	Form_pg_class class = read_stream_table(child);

	if (class != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("stream table \"%s\" cannot be a partition or inherit from another table",
						NameStr(class->relname)),
				 errdetail("Rows of a stream table are handed to its streams and not kept."),
				 errhint("Insert into the stream table itself.")));
	class = read_stream_table(parent);
	if (class != NULL)
		refuse(class, "children", "Give each stream table its own stream.");
}

/*
 * A column is added, altered or dropped.  Rows are decoded by the catalogs as they were
 * when the rows were written, so none may be written after the change that was
 * inserted before it; and they can't all be written now (see pack.c).
 */
static void
check_columns(Oid relid)
{
	Form_pg_class class;

	if (!sp_pack_has_rows(relid))
		return;
	class = read_class(relid);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("cannot alter columns of stream table \"%s\"",
					class != NULL ? NameStr(class->relname) : "?"),
			 errdetail("This transaction has inserted rows into it."),
			 errhint("Commit first.")));
}

/* The hook. */
static void
guard_objects(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	if (next_hook != NULL)
		next_hook(access, class, object, sub, arg);

	if (class == RelationRelationId && sub != 0)
	{
		if (access == OAT_POST_CREATE || access == OAT_POST_ALTER || access == OAT_DROP)
			check_columns(object);
	}
	else if (access == OAT_POST_CREATE && sub == 0)
	{
		if (class == RelationRelationId)
			check_relation(object);
		else if (class == ConstraintRelationId)
			check_constraint(object);
		else if (class == TriggerRelationId)
			check_trigger(object);
	}
	else if (access == OAT_POST_ALTER && sub == 0)
	{
		if (class == InheritsRelationId)
			check_inheritance(object, ((ObjectAccessPostAlter *) arg)->auxiliary_id);
		else if (class == TriggerRelationId)
			restore_guard_trigger(object);
	}
}

/* Put ourselves into the chain. */
void
sp_guard_install(void)
{
	next_hook = object_access_hook;
	object_access_hook = guard_objects;
}

PG_FUNCTION_INFO_V1(sp_refuse_change);

/* The guard trigger's function. */
Datum
sp_refuse_change(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager", "refuse_change")));

	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot %s stream table \"%s\"",
					TRIGGER_FIRED_BY_DELETE(trigger->tg_event) ? "delete from" : "update",
					RelationGetRelationName(trigger->tg_relation)),
			 errdetail("Rows of a stream table are handed to its streams and not kept."),
			 errhint("Use an ordinary table: its changes are streamed as well.")));
	PG_RETURN_NULL();
}
