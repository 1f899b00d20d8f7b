/*
 * lifecycle.c
 *	  Replacing, dropping, pausing and resuming objects.
 *
 * What a verb changes takes effect when its transaction commits: the worker then reads
 * a control message from the WAL, and looks at the definitions and states anew.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_authid_d.h"
#include "catalog/pg_class_d.h"
#include "catalog/pg_type_d.h"
#include "commands/event_trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "replication/origin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/shared.h"
#include "catalog/message.h"
#include "catalog/query.h"
#include "face/enforce.h"
#include "face/environment.h"
#include "face/lifecycle.h"
#include "face/overrides.h"
#include "face/parameter.h"
#include "face/relation.h"
#include "feed/table_am.h"
#include "process/origin.h"
#include "process/wakeup.h"

PG_FUNCTION_INFO_V1(sp_pause);
PG_FUNCTION_INFO_V1(sp_resume);
PG_FUNCTION_INFO_V1(sp_on_drop);
PG_FUNCTION_INFO_V1(sp_before_drop);

/* Settings that the results of STABLE functions depend on. */
static const char *const session_settings[] = {
	"TimeZone", "DateStyle", "IntervalStyle", "search_path"
};

/* ---- Coming to be. ---- */

Datum
sp_lifecycle_session_settings(void)
{
	Datum		elements[lengthof(session_settings)];

	for (int i = 0; i < lengthof(session_settings); i++)
		elements[i] = CStringGetTextDatum(psprintf("%s=%s", session_settings[i],
												   GetConfigOption(session_settings[i],
																   false, false)));
	return PointerGetDatum(construct_array(elements, lengthof(session_settings), TEXTOID,
										   -1, false, TYPALIGN_INT));
}

void
sp_lifecycle_create_origin(void)
{
	const char *name = sp_origin_name(MyDatabaseId);

	if (replorigin_by_name(name, true) != InvalidRepOriginId)
		return;

	/* Two first streams at the same time: the second waits here and looks again. */
	LockRelationOid(get_relname_relid("stream", get_namespace_oid("streamproc", false)),
					ShareUpdateExclusiveLock);
	if (replorigin_by_name(name, true) != InvalidRepOriginId)
		return;

	/* Whatever is defined already came here without the WAL it belongs to. */
	sp_definition_detach_all("it was restored, or cloned with its database");
	replorigin_create(name);
}

/* The names of objects, for a message. */
static char *
list_objects(List *objects)
{
	StringInfoData list;
	ListCell   *cell;

	initStringInfo(&list);
	foreach(cell, objects)
	{
		SpObject   *object = lfirst(cell);

		appendStringInfo(&list, "%s%s \"%s\"", list.len > 0 ? ", " : "",
						 sp_object_kind_name(object->kind), object->name);
	}
	return list.data;
}

static void
refuse_dependents(const SpObject *object, const char *verb, const char *hint)
{
	List	   *dependents = sp_object_dependents(object->relid);

	if (dependents != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("can't %s %s \"%s\": other objects read it", verb,
						sp_object_kind_name(object->kind), object->name),
				 errdetail("They are %s.", list_objects(dependents)),
				 errhint("%s", hint)));
}

/* The relation is another's. */
static void
refuse_name(SpObjectKind kind, const SpObject *other, const char *name)
{
	if (other != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("\"%s\" is %s already", name,
						other->kind == SP_STREAM ? "a stream" :
						other->kind == SP_WINDOW ? "a window" : "a detector")));
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_TABLE),
			 errmsg("relation \"%s\" already exists", name),
			 errdetail("It is not a %s.", sp_object_kind_name(kind))));
}

bool
sp_lifecycle_make_room(FunctionCallInfo fcinfo, int if_not_exists, int replace,
					   SpObjectKind kind, Oid relid, const char *name)
{
	SpObject	object;
	bool		found;

	sp_parameter_require(fcinfo, if_not_exists, "if_not_exists");
	sp_parameter_require(fcinfo, replace, "replace");
	if (PG_GETARG_BOOL(if_not_exists) && PG_GETARG_BOOL(replace))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameters \"if_not_exists\" and \"replace\" exclude one another")));
	if (!OidIsValid(relid))
		return true;

	found = sp_object_find(relid, &object);
	if (!found && kind == SP_STREAM)
		return true;
	if (!found || object.kind != kind)
		refuse_name(kind, found ? &object : NULL, name);

	if (PG_GETARG_BOOL(if_not_exists))
	{
		ereport(NOTICE,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("%s \"%s\" already exists, skipping", sp_object_kind_name(kind), name)));
		return false;
	}
	if (!PG_GETARG_BOOL(replace))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("%s \"%s\" already exists", sp_object_kind_name(kind), name),
				 errhint("replace => true drops it and makes it anew.")));
	sp_relation_check_owner(relid);
	refuse_dependents(&object, "replace", "Drop them first.");
	sp_relation_drop_object(&object, false, InvalidOid);
	return true;
}

static void
lock_object(const SpObject *object)
{
	if (!sp_object_lock(object))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("%s \"%s\" was dropped meanwhile", sp_object_kind_name(object->kind),
						object->name)));
}

SpObject
sp_lifecycle_open_source(FunctionCallInfo fcinfo, int n)
{
	SpObject	source;
	Oid			relid;

	sp_parameter_require(fcinfo, n, "source");
	relid = PG_GETARG_OID(n);
	if (!sp_object_find(relid, &source) || source.kind == SP_DETECTOR)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("source \"%s\" is not a stream or window", sp_parameter_value(fcinfo, n)),
				 errhint("Make a table a stream with streamproc.create_stream().")));
	if (source.kind == SP_STREAM && source.state == SP_STATE_PAUSED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("stream \"%s\" is paused", source.name),
				 errhint("Call streamproc.resume() first.")));
	/* All columns: the twin, and dead letters, have to do with whole rows. */
	sp_relation_check_readable(relid);
	sp_relation_check_row_security(relid);
	lock_object(&source);
	return source;
}

/* An object, or what it reads, is not there or can't be used. */
static void
refuse_unusable(const SpDefinitions *definitions, const SpObject *object)
{
	const char *problem = sp_definition_problem(definitions, object->id);

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("%s \"%s\" can't be used", sp_object_kind_name(object->kind), object->name),
			 errdetail("The reason: %s.", problem != NULL ? problem : "it was dropped, or its stream"),
			 errhint("Mend it and call streamproc.resume(), or create it again with "
					 "replace => true.")));
}

/* The definition of the window with that result table, or NULL. */
static const SpWindowDef *
find_window(const SpDefinitions *definitions, Oid relid)
{
	ListCell   *cell;

	foreach(cell, definitions->windows)
	{
		SpWindowDef *window = lfirst(cell);

		if (window->o.relid == relid)
			return window;
	}
	return NULL;
}

const SpWindowDef *
sp_lifecycle_window(const SpObject *object)
{
	SpDefinitions *definitions = sp_definition_load();
	const SpWindowDef *window = find_window(definitions, object->relid);

	if (window == NULL)
		refuse_unusable(definitions, object);
	return window;
}

const SpStreamDef *
sp_lifecycle_stream(const SpObject *object)
{
	SpDefinitions *definitions = sp_definition_load();
	Oid			relid = object->kind == SP_STREAM ? object->relid : object->source;
	const SpWindowDef *window;
	ListCell   *cell;

	while ((window = find_window(definitions, relid)) != NULL)
		relid = window->o.source;
	foreach(cell, definitions->streams)
	{
		SpStreamDef *stream = lfirst(cell);

		if (stream->o.relid == relid)
			return stream;
	}
	refuse_unusable(definitions, object);
	return NULL;
}

/* ---- Dropping. ---- */

/* The object of the first argument, which the caller owns. */
static SpObject
get_own_object(FunctionCallInfo fcinfo)
{
	SpObject	object;

	sp_parameter_require(fcinfo, 0, "name");
	if (!sp_object_find(PG_GETARG_OID(0), &object))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("\"%s\" is not a stream, window or detector",
						sp_parameter_value(fcinfo, 0)),
				 errhint("SELECT name, kind FROM streamproc.status lists them.")));
	sp_relation_check_owner(object.relid);
	return object;
}

/* Drop what reads the object, whoever owns it, as DROP ... CASCADE does. */
static void
drop_dependents(const SpObject *object)
{
	ListCell   *cell;

	foreach(cell, sp_object_dependents(object->relid))
	{
		SpObject   *dependent = lfirst(cell);

		/* From here on nobody can begin to read it; or somebody else has dropped it. */
		if (!sp_object_lock(dependent))
			continue;
		drop_dependents(dependent);
		ereport(NOTICE,
				(errmsg("drop cascades to %s \"%s\"", sp_object_kind_name(dependent->kind),
						dependent->name)));
		sp_relation_drop_object(dependent, true, BOOTSTRAP_SUPERUSERID);
	}
}

void
sp_lifecycle_drop(FunctionCallInfo fcinfo, SpObjectKind kind)
{
	SpObject	object = get_own_object(fcinfo);

	if (object.kind != kind)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a %s", object.name, sp_object_kind_name(kind)),
				 errhint("Use streamproc.drop_%s().", sp_object_kind_name(object.kind))));
	sp_parameter_require(fcinfo, 1, "cascade");
	lock_object(&object);
	if (PG_GETARG_BOOL(1))
		drop_dependents(&object);
	else
		refuse_dependents(&object, "drop", "cascade => true drops them too.");
	sp_relation_drop_object(&object, PG_GETARG_BOOL(1), InvalidOid);
	sp_message_control();
}

/* Relations that the command at work has dropped. */
static List *
get_dropped_relations(void)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *relids = NIL;
	SpQueryScope scope;

	sp_query_open(&scope, InvalidOid);
	sp_query_run(&scope, "SELECT objid FROM pg_event_trigger_dropped_objects() "
				 "WHERE classid = 'pg_class'::regclass AND objsubid = 0",
				 SPI_OK_SELECT, 0, NULL, NULL, NULL);
	MemoryContextSwitchTo(context);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool		isnull;

		relids = lappend_oid(relids, DatumGetObjectId(sp_query_value(row, 1, &isnull)));
	}
	sp_query_close(&scope);
	return relids;
}

/*
 * Event trigger on sql_drop: definitions don't outlive their relations.  Dropping the
 * source with CASCADE takes the expressions along, and so ends what read it; the result
 * table then stays as an ordinary one.
 */
Datum
sp_on_drop(PG_FUNCTION_ARGS)
{
	List	   *relids;
	List	   *objects = NIL;
	ListCell   *cell;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function is called by an event trigger only")));

	relids = get_dropped_relations();
	if (relids != NIL)
	{
		objects = sp_object_find_all(relids);
		sp_object_forget_changes(relids);
	}
	foreach(cell, objects)
	{
		SpObject   *object = lfirst(cell);

		sp_enforce_end(object->id);
		sp_object_delete(object);
		/* What was restored has lost its ties to the result table. */
		if (OidIsValid(object->expressions) && get_rel_name(object->expressions) != NULL)
			sp_relation_run(psprintf("DROP VIEW %s", sp_relation_quote(object->expressions)),
							BOOTSTRAP_SUPERUSERID);
		if (get_rel_name(object->relid) == NULL && OidIsValid(object->changes) &&
			get_rel_name(object->changes) != NULL)
			sp_relation_run(psprintf("DROP TABLE %s", sp_relation_quote(object->changes)),
							BOOTSTRAP_SUPERUSERID);
		if (get_rel_name(object->relid) == NULL && OidIsValid(object->overrides) &&
			get_rel_name(object->overrides) != NULL)
			sp_relation_run(psprintf("DROP TABLE %s", sp_relation_quote(object->overrides)),
							BOOTSTRAP_SUPERUSERID);
	}
	if ((relids != NIL && sp_overrides_forget(relids)) || objects != NIL)
		sp_message_control();
	PG_RETURN_NULL();
}

/* End the backfill of the object, and of what reads it. */
static void
end_backfills(const SpObject *object)
{
	ListCell   *cell;

	sp_shared_end_backfill(object->id);
	foreach(cell, sp_object_dependents(object->relid))
		end_backfills(lfirst(cell));
}

/* One of the names after DROP TABLE or DROP EXTENSION. */
static void
prepare_drop(ObjectType type, Node *name)
{
	SpObject	object;
	Oid			relid;

	if (type == OBJECT_EXTENSION)
	{
		if (superuser() && strcmp(strVal(name), "streamproc") == 0)
			sp_shared_end_backfill(SP_ANY_OBJECT);
		return;
	}
	relid = RangeVarGetRelid(makeRangeVarFromNameList((List *) name), NoLock, true);
	if (OidIsValid(relid) && object_ownercheck(RelationRelationId, relid, GetUserId()) &&
		sp_object_find(relid, &object))
		end_backfills(&object);
}

/*
 * Event trigger on ddl_command_start: a backfill holds locks on the table that it reads, on
 * the one that it fills, and on ours.  It begins anew when the command fails.
 */
Datum
sp_before_drop(PG_FUNCTION_ARGS)
{
	EventTriggerData *trigger = (EventTriggerData *) fcinfo->context;
	DropStmt   *drop;
	ListCell   *cell;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function is called by an event trigger only")));
	drop = (DropStmt *) trigger->parsetree;
	if (drop != NULL && IsA(drop, DropStmt) &&
		(drop->removeType == OBJECT_TABLE || drop->removeType == OBJECT_EXTENSION))
	{
		foreach(cell, drop->objects)
			prepare_drop(drop->removeType, lfirst(cell));
	}
	PG_RETURN_NULL();
}

/* ---- Pausing. ---- */

/*
 * The object and all that reads it, directly or not, locked one by one, so that nobody can
 * begin to read one unnoticed.  Their states may be older than the locks.
 */
static List *
lock_downstream(List *objects, const SpObject *object)
{
	SpObject   *copy = palloc(sizeof(SpObject));
	ListCell   *cell;

	if (!sp_object_lock(object))
		return objects;			/* dropped meanwhile */
	*copy = *object;
	objects = lappend(objects, copy);
	foreach(cell, sp_object_dependents(object->relid))
		objects = lock_downstream(objects, lfirst(cell));
	return objects;
}

/* What the object reads, directly or not. */
static List *
add_upstream(List *objects, const SpObject *object)
{
	SpObject   *source = palloc(sizeof(SpObject));

	if (!OidIsValid(object->source) || !sp_object_find(object->source, source))
		return objects;
	return add_upstream(lappend(objects, source), source);
}

Datum
sp_pause(PG_FUNCTION_ARGS)
{
	SpObject	object = get_own_object(fcinfo);
	char	   *reason = psprintf("paused by %s", GetUserNameFromId(GetUserId(), false));
	ListCell   *cell;

	lock_object(&object);
	foreach(cell, lock_downstream(NIL, &object))
	{
		SpObject   *paused = lfirst(cell);

		/* Somebody may have resumed it until it was locked. */
		if (sp_object_find(paused->relid, paused) &&
			(paused->state == SP_STATE_NEW || paused->state == SP_STATE_RUNNING))
			sp_definition_request_state(paused->id, SP_STATE_PAUSED, reason);
	}
	sp_message_control();
	PG_RETURN_VOID();
}

bool
sp_lifecycle_is_stream_table(Oid relid)
{
	Relation	relation = relation_open(relid, AccessShareLock);
	bool		result = sp_table_am_is_ours(relation->rd_rel->relam);

	relation_close(relation, NoLock);
	return result;
}

/* Does the object read a stream by commit time, whose history knows none? */
static bool
has_no_times(const SpDefinitions *definitions, const SpObjectDef *definition)
{
	ListCell   *cell;

	if (definition->kind == SP_WINDOW &&
		((const SpWindowDef *) definition)->window_kind == SP_WINDOW_GLOBAL)
		return false;
	foreach(cell, definitions->streams)
	{
		SpStreamDef *stream = lfirst(cell);

		if (stream->o.relid == definition->source)
			return stream->time_attnum == 0;
	}
	return false;
}

/* Does the object keep what it had when it was paused, without the rows of the pause? */
static bool
continues(const SpObject *object)
{
	SpDefinitions *definitions = sp_definition_load();
	List	   *lists[3] = {definitions->streams, definitions->windows, definitions->detectors};
	bool		backfill = false;
	ListCell   *cell;

	for (int i = 0; i < 3 && object->state == SP_STATE_PAUSED; i++)
	{
		foreach(cell, lists[i])
		{
			SpObjectDef *definition = lfirst(cell);

			if (definition->id != object->id)
				continue;
			if (definition->kind == SP_WINDOW)
				backfill = ((SpWindowDef *) definition)->backfill;
			if (definition->kind == SP_DETECTOR)
				backfill = ((SpDetectorDef *) definition)->backfill;
			/* It may have been paused before it ever ran. */
			return !XLogRecPtrIsInvalid(definition->start_lsn) &&
				(!backfill || sp_lifecycle_is_stream_table(definition->source) ||
				 has_no_times(definitions, definition));
		}
	}
	return false;
}

/* Let the worker go on with the object, or meet it anew and read its history again. */
static void
resume_object(const SpObject *object)
{
	if (continues(object))
	{
		sp_definition_request_state(object->id, SP_STATE_RUNNING, NULL);
		return;
	}
	/* A dump has no ties between a view and what it is to be dropped with. */
	if (OidIsValid(object->expressions))
		sp_relation_bind_view(object->expressions, object->relid);
	if (OidIsValid(object->twin) && get_rel_name(object->twin) != NULL)
		sp_relation_bind_view(object->twin, object->relid);
	if (OidIsValid(object->changes) && get_rel_name(object->changes) != NULL)
		sp_relation_bind_changes(object->changes, object->relid);
	if (OidIsValid(object->overrides) && get_rel_name(object->overrides) != NULL)
		sp_overrides_bind(object->overrides, object->relid);
	sp_definition_request_start(object->id);
}

Datum
sp_resume(PG_FUNCTION_ARGS)
{
	SpObject	object = get_own_object(fcinfo);
	List	   *objects;
	ListCell   *cell;
	int			nresumed = 0;

	lock_object(&object);
	sp_environment_check();
	sp_lifecycle_create_origin();

	objects = lock_downstream(NIL, &object);
	foreach(cell, add_upstream(objects, &object))
	{
		SpObject   *resumed = lfirst(cell);

		/*
		 * Read the states again: somebody may have changed them until they were locked, and
		 * the origin's absence has detached everything.
		 */
		if (!sp_object_find(resumed->relid, resumed) || resumed->state == SP_STATE_NEW ||
			resumed->state == SP_STATE_RUNNING)
			continue;
		resume_object(resumed);
		nresumed++;
	}
	if (nresumed == 0)
		ereport(NOTICE,
				(errmsg("%s \"%s\" is not paused", sp_object_kind_name(object.kind),
						object.name)));
	sp_message_control();
	sp_wakeup_launcher_at_commit();
	PG_RETURN_VOID();
}
