/*
 * enforce.c
 *	  enforce() and unenforce(): a detector that judges rows before they are in.
 *
 * What enforce() makes: a row in streamproc.shield_definition, the table of the keys' states
 * if the method has any, and a trigger on the stream's table.  The trigger is an ordinary one,
 * so that a partition that is attached later gets it by itself and a dump takes it along; its
 * name lets it fire behind others, which may change the row.  It goes with the detector.
 *
 * The stream's table is locked against writing until the transaction ends: what is in the
 * table then is the history that the states begin with, and the trigger sees all that follows.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_authid_d.h"
#include "catalog/pg_class_d.h"
#include "catalog/pg_extension_d.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type_d.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/unjudged.h"
#include "catalog/message.h"
#include "catalog/object.h"
#include "catalog/query.h"
#include "engine/shield.h"
#include "face/enforce.h"
#include "face/lifecycle.h"
#include "face/parameter.h"
#include "face/quarantine.h"
#include "face/relation.h"
#include "face/shield_state.h"
#include "feed/decode.h"

/* Arguments of enforce(). */
enum
{
	DETECTOR,
	ACTION,
	ON_ERROR
};

PG_FUNCTION_INFO_V1(sp_enforce);
PG_FUNCTION_INFO_V1(sp_unenforce);
PG_FUNCTION_INFO_V1(sp_shield_unjudged);

/* ---- the definition ---- */

static SpShieldAction
parse_action(const char *action)
{
	return strcmp(action, "reject") == 0 ? SP_ACTION_REJECT :
		strcmp(action, "flag") == 0 ? SP_ACTION_FLAG : SP_ACTION_QUARANTINE;
}

static Oid
column_oid(int column)
{
	bool		isnull;
	Datum		value = sp_query_value(0, column, &isnull);

	return isnull ? InvalidOid : DatumGetObjectId(value);
}

bool
sp_enforce_find(int32 id, SpShieldDef *def)
{
	Oid			type = INT4OID;
	Datum		value = Int32GetDatum(id);
	SpQueryScope scope;
	bool		found;
	bool		isnull;

	sp_query_open_latest(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, "SELECT source::oid, states::oid, quarantine::oid, action, "
				 "on_error = 'fail_open', created_at "
				 "FROM streamproc.shield_definition WHERE id = $1",
				 SPI_OK_SELECT, 1, &type, &value, NULL);
	found = SPI_processed > 0;
	if (found)
	{
		def->id = id;
		def->source = DatumGetObjectId(sp_query_value(0, 1, &isnull));
		def->states = column_oid(2);
		def->quarantine = column_oid(3);
		def->action = parse_action(TextDatumGetCString(sp_query_value(0, 4, &isnull)));
		def->fail_open = DatumGetBool(sp_query_value(0, 5, &isnull));
		def->since = DatumGetTimestampTz(sp_query_value(0, 6, &isnull));
	}
	sp_query_close(&scope);
	return found;
}

bool
sp_enforce_is_heard(void)
{
	SpSlotInfo	slot = sp_slot_inspect(sp_slot_name());

	return slot.exists && slot.ours && slot.complete && !slot.lost;
}

static void
insert_definition(const SpObject *detector, Oid source, Oid states, Oid quarantine, char *action,
				  char *on_error)
{
	Oid			types[] = {INT4OID, REGCLASSOID, REGCLASSOID, REGCLASSOID, TEXTOID, TEXTOID};
	Datum		values[] = {
		Int32GetDatum(detector->id), ObjectIdGetDatum(source), ObjectIdGetDatum(states),
		ObjectIdGetDatum(quarantine), CStringGetTextDatum(action), CStringGetTextDatum(on_error)
	};
	char		nulls[] = "      ";
	SpQueryScope scope;

	if (!OidIsValid(states))
		nulls[2] = 'n';
	if (!OidIsValid(quarantine))
		nulls[3] = 'n';

	sp_query_open(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, "INSERT INTO streamproc.shield_definition "
				 "(id, source, states, quarantine, action, on_error) "
				 "VALUES ($1, $2, $3, $4, $5, $6)", SPI_OK_INSERT, 6, types, values, nulls);
	sp_query_close(&scope);
}

static void
delete_definition(int32 id)
{
	Oid			type = INT4OID;
	Datum		value = Int32GetDatum(id);
	SpQueryScope scope;

	sp_query_open(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, "DELETE FROM streamproc.shield_definition WHERE id = $1",
				 SPI_OK_DELETE, 1, &type, &value, NULL);
	sp_query_close(&scope);
}

/* ---- the trigger ---- */

/* The trigger's function. */
static Oid
find_function(void)
{
	oidvector  *no_args = buildoidvector(NULL, 0);

	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum("shield"),
						   PointerGetDatum(no_args),
						   ObjectIdGetDatum(get_namespace_oid("streamproc", false)));
}

/* It doesn't fire for what logical replication applies, which was judged where it came from. */
static void
create_trigger(const SpObject *detector, Oid source)
{
	CreateTrigStmt *stmt = makeNode(CreateTrigStmt);
	Oid			function = find_function();
	ObjectAddress trigger;
	ObjectAddress on;

	stmt->trigname = psprintf(SP_SHIELD_TRIGGER, detector->id);
	stmt->timing = TRIGGER_TYPE_BEFORE;
	stmt->events = TRIGGER_TYPE_INSERT;
	stmt->row = true;
	stmt->args = list_make1(makeString(psprintf("%d", detector->id)));
	trigger = CreateTriggerFiringOn(stmt, NULL, source, InvalidOid, InvalidOid, InvalidOid,
									function, InvalidOid, NULL, false, false,
									TRIGGER_FIRES_ON_ORIGIN);
	CommandCounterIncrement();
	deleteDependencyRecordsFor(TriggerRelationId, trigger.objectId, false);
	ObjectAddressSet(on, RelationRelationId, source);
	recordDependencyOn(&trigger, &on, DEPENDENCY_AUTO);
	ObjectAddressSet(on, RelationRelationId, detector->relid);
	recordDependencyOn(&trigger, &on, DEPENDENCY_AUTO);
	ObjectAddressSet(on, ProcedureRelationId, function);
	recordDependencyOn(&trigger, &on, DEPENDENCY_AUTO);
	CommandCounterIncrement();
}

/* Drop it, if it is still there. */
static void
drop_trigger(const SpShieldDef *def)
{
	ObjectAddress trigger;

	if (get_rel_name(def->source) == NULL)
		return;
	ObjectAddressSet(trigger, TriggerRelationId,
					 get_trigger_oid(def->source, psprintf(SP_SHIELD_TRIGGER, def->id), true));
	if (OidIsValid(trigger.objectId))
		performDeletion(&trigger, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
}

bool
sp_enforce_end(int32 id)
{
	SpShieldDef def;

	if (!sp_enforce_find(id, &def))
		return false;
	drop_trigger(&def);
	if (OidIsValid(def.states))
	{
		sp_shield_state_forget(def.states);
		if (get_rel_name(def.states) != NULL)
			sp_relation_run(psprintf("DROP TABLE %s", sp_relation_quote(def.states)),
							BOOTSTRAP_SUPERUSERID);
	}
	delete_definition(id);
	CommandCounterIncrement();
	return true;
}

/* ---- checks ---- */

/* The detector of the first argument, which the caller owns, locked. */
static SpObject
get_detector(FunctionCallInfo fcinfo)
{
	SpObject	object;

	sp_parameter_require(fcinfo, DETECTOR, "detector");
	if (!sp_object_find(PG_GETARG_OID(DETECTOR), &object) || object.kind != SP_DETECTOR)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a detector", sp_parameter_value(fcinfo, DETECTOR)),
				 errhint("SELECT name FROM streamproc.status WHERE kind = 'detector' lists them.")));
	sp_relation_check_owner(object.relid);
	return object;
}

static void
lock_detector(const SpObject *detector)
{
	if (!sp_object_lock(detector))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("detector \"%s\" was dropped meanwhile", detector->name)));
}

/* What all kinds of windows but one answer isn't known when a row comes in. */
static void
refuse_window(const SpObject *detector, const SpObject *window, const char *reason)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("detector \"%s\" can't be enforced: it reads window \"%s\", %s", detector->name,
					window->name, reason),
			 errdetail("What such a window answers is known when its rows are in."),
			 errhint("Let a rule read a sliding window of stream \"%s\", or a detector that stream "
					 "itself; \"velocity\" counts and sums up within an interval.",
					 get_rel_name(sp_lifecycle_stream(detector)->o.relid))));
}

/* The stream whose rows are judged: the detector's, or that of the sliding window it reads. */
static Oid
get_source(const SpObject *detector)
{
	SpObject	source;
	SpObject	window;
	AclResult	result;

	if (!sp_object_find(detector->source, &source))
		elog(ERROR, "detector \"%s\" has no source", detector->name);
	if (source.kind == SP_WINDOW)
	{
		window = source;
		if (sp_lifecycle_window(&window)->window_kind != SP_WINDOW_SLIDING)
			refuse_window(detector, &window, "which is not a sliding one");
		if (!sp_object_find(window.source, &source) || source.kind != SP_STREAM)
			refuse_window(detector, &window, "which reads another window");
	}
	result = pg_class_aclcheck(source.relid, GetUserId(), ACL_TRIGGER);
	if (result != ACLCHECK_OK)
		aclcheck_error(result, get_relkind_objtype(get_rel_relkind(source.relid)), source.name);
	return source.relid;
}

/* Columns that are computed after the trigger. */
static void
check_columns(const SpShield *shield)
{
	TupleDesc	desc = sp_shield_desc(shield);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && sp_shield_uses(shield, i + 1) &&
			get_attgenerated(sp_shield_stream(shield)->o.relid, i + 1) != '\0')
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("detector %s can't be enforced: it looks at generated column \"%s\"",
							sp_shield_def(shield)->o.name, NameStr(att->attname)),
					 errdetail("Its value isn't known before the row is in."),
					 errhint("Give the detector the expression that the column is generated by.")));
	}
}

/* Scores of other keys decide, too: all keys would have to be locked. */
static void
check_method(const SpShield *shield)
{
	const SpMethod *method = sp_shield_method(shield);

	if (method->judge.kernel != NULL && method->judge.kernel->due != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("detector %s can't be enforced: its method is \"%s\"",
						sp_shield_def(shield)->o.name, method->name),
				 errdetail("What it finds are rows that don't come.")));
	if (method->judge.kernel != NULL && method->judge.kernel->batch != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("detector %s can't be enforced: its method is \"%s\"",
						sp_shield_def(shield)->o.name, method->name),
				 errdetail("It scores rows together, when their micro-batch ends.")));
	if (sp_method_has_budget(method))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("detector %s can't be enforced: it has alerts_per_day",
						sp_shield_def(shield)->o.name),
				 errdetail("Its threshold depends on the scores of all keys."),
				 errhint("Give a detector a threshold instead.")));
}

/* Which rows repeat another one is known when they are in. */
static void
check_stream(const SpShield *shield)
{
	if (sp_shield_stream(shield)->ndedup > 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("detector %s can't be enforced: its stream has a dedup_key",
						sp_shield_def(shield)->o.name),
				 errdetail("Rows that repeat another one would be judged, too."),
				 errhint("A unique index keeps them out of the table; create the stream without "
						 "dedup_key.")));
}

/* What a session can't know of a window, or of a detector on one. */
static void
check_window(const SpShield *shield)
{
	const SpDetectorDef *def = sp_shield_def(shield);
	const SpWindowDef *window = sp_shield_window(shield);

	if (window == NULL)
		return;
	if (sp_shield_method(shield)->judge.kernel != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("detector %s can't be enforced: its method is \"%s\"", def->o.name,
						def->method),
				 errdetail("Of the detectors that read a window, those of method \"rule\" can be."),
				 errhint("Let the detector read stream %s itself.",
						 sp_shield_stream(shield)->o.name)));
	if (sp_shield_stream(shield)->on_update == SP_ON_UPDATE_RETRACT)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("detector %s can't be enforced: its stream has on_update \"retract\"",
						def->o.name),
				 errdetail("Window %s takes back what is updated or deleted; what is locked with a "
						   "key doesn't know of that.", window->o.name),
				 errhint("Create the stream with on_update => 'ignore' or 'error'.")));
}

/* ---- the verbs ---- */

/* Nobody writes to the table, or to a partition, until we are done. */
static void
lock_source(Oid relid)
{
	if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
		(void) find_all_inheritors(relid, ShareRowExclusiveLock, NULL);
	LockRelationOid(relid, ShareRowExclusiveLock);
}

/* Is there history to begin with, and is it asked for? */
static bool
has_history(const SpShield *shield)
{
	const SpWindowDef *window = sp_shield_window(shield);

	if (!sp_shield_def(shield)->backfill ||
		sp_lifecycle_is_stream_table(sp_shield_stream(shield)->o.relid))
		return false;
	/* rows whose time is that of their commit don't tell it */
	return window == NULL || (window->backfill && sp_shield_stream(shield)->time_attnum > 0);
}

/* The states as history leaves them, where it is asked for and there is one. */
static Oid
create_states(SpShield *shield, const SpObject *detector)
{
	Oid			states;

	if (!sp_shield_has_state(shield))
		return InvalidOid;
	states = sp_shield_state_create(shield, detector->relid);
	if (has_history(shield))
		sp_shield_state_seed(states, shield);
	return states;
}

Datum
sp_enforce(PG_FUNCTION_ARGS)
{
	static const char *const actions[] = {"reject", "flag", "quarantine", NULL};
	static const char *const errors[] = {"fail_closed", "fail_open", NULL};
	char	   *action;
	char	   *on_error;
	SpObject	detector;
	SpShield   *shield;
	SpQueryScope scope;
	Oid			source;
	Oid			states;
	Oid			quarantine = InvalidOid;

	action = sp_parameter_choice(fcinfo, ACTION, "action", actions);
	on_error = sp_parameter_choice(fcinfo, ON_ERROR, "on_error", errors);
	detector = get_detector(fcinfo);
	source = get_source(&detector);
	lock_source(source);
	lock_detector(&detector);
	shield = sp_shield_open(CurrentMemoryContext, detector.id);
	check_stream(shield);
	check_window(shield);
	check_columns(shield);
	check_method(shield);
	(void) sp_enforce_end(detector.id);

	/* all that was committed before the lock, whatever the isolation level */
	sp_query_open_latest(&scope, InvalidOid);
	states = create_states(shield, &detector);
	sp_query_close(&scope);
	if (parse_action(action) == SP_ACTION_QUARANTINE)
		quarantine = sp_quarantine_create(shield);
	sp_shield_close(shield);
	insert_definition(&detector, source, states, quarantine, action, on_error);
	create_trigger(&detector, source);
	sp_message_control();
	PG_RETURN_VOID();
}

Datum
sp_unenforce(PG_FUNCTION_ARGS)
{
	SpObject	detector = get_detector(fcinfo);
	SpShieldDef def;

	if (sp_enforce_find(detector.id, &def))
		LockRelationOid(def.source, AccessExclusiveLock);
	lock_detector(&detector);
	if (!sp_enforce_end(detector.id))
		ereport(NOTICE,
				(errmsg("detector \"%s\" is not enforced", detector.name)));
	sp_message_control();
	PG_RETURN_VOID();
}

/* shield_unjudged(id, since): how many rows it has let in that it couldn't judge, and when the last. */
Datum
sp_shield_unjudged(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	TimestampTz last;
	uint64		count = sp_unjudged_get(PG_GETARG_INT32(0), PG_GETARG_TIMESTAMPTZ(1), &last);
	Datum		values[2] = {Int64GetDatum((int64) count), TimestampTzGetDatum(last)};
	bool		nulls[2] = {false, count == 0};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
