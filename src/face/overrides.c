/*
 * overrides.c
 *	  The table of overrides of a detector, and the triggers by which the worker learns of it.
 *
 * A trigger on that table writes each change as a setting into the WAL (base/setting.h), where
 * it commits and rolls back with the change.  Another one, on the result table, counts in the
 * table of overrides what users say of alerts; so labels take the same way, and what they have
 * come to is seen, dumped and restored like anything else.
 *
 * Both are ordinary triggers, which whoever owns a table may create on it: they write settings
 * of the detector only whose table it is.
 */
#include "face/overrides.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_authid_d.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type_d.h"
#include "commands/defrem.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/setting.h"
#include "catalog/message.h"
#include "catalog/query.h"
#include "engine/group.h"
#include "engine/method.h"
#include "face/clause.h"

#define ROW_TRIGGER			"streamproc_override"
#define TRUNCATE_TRIGGER	"streamproc_override_truncate"
#define LABEL_TRIGGER		"streamproc_label"
#define FIRST_RESULT_KEY	3	/* column of the result table */

static const char *const own_names[] = {
	"threshold", "direction", "muted", "note", "false_positives", "true_positives", NULL
};

/* The detector that a table is of, kept by the trigger for a statement. */
typedef struct Owner
{
	bool		found;
	int32		id;
	char	   *method;
	int			nkeys;
	Oid			result;
	Oid			overrides;		/* may be invalid, or gone */
	char	   *count;			/* the statement that counts a label; NULL: not made yet */
} Owner;

PG_FUNCTION_INFO_V1(sp_follow_override);
PG_FUNCTION_INFO_V1(sp_follow_label);

/* ---- Creating it. ---- */

void
sp_overrides_check_keys(List *keys)
{
	sp_clause_check_names(keys, own_names);
}

/* The triggers' function of that name. */
static Oid
find_function(const char *name)
{
	oidvector  *no_args = buildoidvector(NULL, 0);

	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
						   PointerGetDatum(no_args),
						   ObjectIdGetDatum(get_namespace_oid("streamproc", false)));
}

/* Let a trigger go with its function, and so with the extension, without a word. */
static void
bind_trigger(Oid relid, const char *name, const char *function_name)
{
	Oid			function = find_function(function_name);
	Oid			trigger = get_trigger_oid(relid, name, true);
	ObjectAddress dependent;
	ObjectAddress referenced;

	if (!OidIsValid(trigger) ||
		deleteDependencyRecordsForSpecific(TriggerRelationId, trigger, DEPENDENCY_NORMAL,
										   ProcedureRelationId, function) == 0)
		return;
	ObjectAddressSet(dependent, TriggerRelationId, trigger);
	ObjectAddressSet(referenced, ProcedureRelationId, function);
	recordDependencyOn(&dependent, &referenced, DEPENDENCY_AUTO);
	CommandCounterIncrement();
}

void
sp_overrides_bind(Oid overrides, Oid result)
{
	sp_relation_bind_changes(overrides, result);
	bind_trigger(overrides, ROW_TRIGGER, "follow_override");
	bind_trigger(overrides, TRUNCATE_TRIGGER, "follow_override");
	bind_trigger(result, LABEL_TRIGGER, "follow_label");
}

/* CREATE TRIGGER, fired whatever session_replication_role is. */
static void
create_trigger(const char *table, const char *name, const char *when, const char *function)
{
	sp_relation_run(psprintf("CREATE TRIGGER %s AFTER %s EXECUTE FUNCTION streamproc.%s()", name,
							 when, function), InvalidOid);
	sp_relation_run(psprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s", table, name), InvalidOid);
}

/* The names of keys, separated by commas. */
static char *
list_keys(List *keys)
{
	StringInfoData list;
	ListCell   *cell;

	initStringInfo(&list);
	foreach(cell, keys)
		appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "",
						 quote_identifier(((SpClause *) lfirst(cell))->name));
	return list.data;
}

static void
create_table(const SpRelationName *table, const SpRelationName *detector, List *keys)
{
	char	   *comment = psprintf("overrides of detector \"%s\" for single keys: yours to write",
								   detector->relation);
	StringInfoData sql;
	ListCell   *cell;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TABLE %s (", table->quoted);
	foreach(cell, keys)
	{
		SpClause   *key = lfirst(cell);

		sp_relation_append_column(&sql, key->name, key->type, key->typmod, key->collation,
								  !key->can_be_null);
	}
	appendStringInfoString(&sql, "threshold float8 CONSTRAINT threshold_is_positive "
						   "CHECK (threshold > 0 AND threshold < 'Infinity'), "
						   "direction text CONSTRAINT direction_is_both_high_or_low "
						   "CHECK (direction IN ('both', 'high', 'low')), "
						   "muted boolean NOT NULL DEFAULT false, note text, "
						   "false_positives bigint NOT NULL DEFAULT 0 "
						   "CONSTRAINT false_positives_is_a_number CHECK (false_positives >= 0), "
						   "true_positives bigint NOT NULL DEFAULT 0 "
						   "CONSTRAINT true_positives_is_a_number CHECK (true_positives >= 0)");
	if (keys != NIL)
		appendStringInfo(&sql, ", UNIQUE NULLS NOT DISTINCT (%s)", list_keys(keys));
	appendStringInfoString(&sql, ") USING heap");
	sp_relation_run(sql.data, InvalidOid);
	/* without keys there is one row that holds for all */
	if (keys == NIL)
		sp_relation_run(psprintf("CREATE UNIQUE INDEX %s ON %s ((true))",
								 quote_identifier(makeObjectName(table->relation, NULL, "one_row")),
								 table->quoted), InvalidOid);
	sp_relation_run(psprintf("COMMENT ON TABLE %s IS %s", table->quoted,
							 quote_literal_cstr(comment)), InvalidOid);
}

Oid
sp_overrides_create(const SpRelationName *name, List *keys, Oid result)
{
	SpRelationName table = sp_relation_beside(name, SP_DETECTOR, "overrides", "overrides");
	Oid			relid;

	create_table(&table, name, keys);
	create_trigger(table.quoted, ROW_TRIGGER,
				   psprintf("INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW", table.quoted),
				   "follow_override");
	create_trigger(table.quoted, TRUNCATE_TRIGGER, psprintf("TRUNCATE ON %s", table.quoted),
				   "follow_override");
	create_trigger(name->quoted, LABEL_TRIGGER,
				   psprintf("UPDATE OF label ON %s FOR EACH ROW "
							"WHEN (OLD.label IS DISTINCT FROM NEW.label)", name->quoted),
				   "follow_label");
	relid = sp_relation_oid(&table);
	sp_overrides_bind(relid, result);
	return relid;
}

/* ---- Telling the worker. ---- */

/* An empty setting of a detector, with room for a message before it. */
static void
begin_setting(StringInfo buf, int32 detector, SpSettingKind kind)
{
	SpSetting  *setting;

	initStringInfo(buf);
	enlargeStringInfo(buf, sizeof(SpMessage) + sizeof(SpSetting));
	buf->len = sizeof(SpMessage) + sizeof(SpSetting);
	memset(buf->data, 0, buf->len);
	setting = (SpSetting *) (buf->data + sizeof(SpMessage));
	setting->detector = detector;
	setting->kind = kind;
	setting->threshold = get_float8_nan();
	setting->direction = SP_DIRECTION_OWN;
}

static void
emit_setting(StringInfo buf)
{
	sp_message_setting((SpMessage *) buf->data, buf->len - sizeof(SpMessage));
	pfree(buf->data);
}

bool
sp_overrides_forget(List *relids)
{
	MemoryContext context = CurrentMemoryContext;
	Datum	   *elements = palloc(sizeof(Datum) * Max(1, list_length(relids)));
	Oid			type = OIDARRAYOID;
	List	   *ids = NIL;
	SpQueryScope scope;
	ListCell   *cell;
	Datum		array;
	int			n = 0;

	foreach(cell, relids)
		elements[n++] = ObjectIdGetDatum(lfirst_oid(cell));
	array = PointerGetDatum(construct_array(elements, n, OIDOID, sizeof(Oid), true,
											TYPALIGN_INT));
	sp_query_open(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, "UPDATE streamproc.detector_definition SET overrides = NULL "
				 "WHERE overrides::oid = ANY ($1) RETURNING id", SPI_OK_UPDATE_RETURNING, 1, &type,
				 &array, NULL);
	MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;

		ids = lappend_int(ids, DatumGetInt32(sp_query_value(i, 1, &isnull)));
	}
	sp_query_close(&scope);
	foreach(cell, ids)
	{
		StringInfoData buf;

		begin_setting(&buf, lfirst_int(cell), SP_SETTING_UNSET_ALL);
		emit_setting(&buf);
	}
	return ids != NIL;
}

/* The detector of which a table is the result table, or that of its overrides. */
static Owner *
find_owner(FunctionCallInfo fcinfo, Oid relid, const char *column)
{
	static const char sql[] =
	"SELECT id, method, cardinality(keys), relation::oid, coalesce(overrides::oid, 0) "
	"FROM streamproc.detector_definition WHERE %s::oid = $1";
	Owner	   *owner = fcinfo->flinfo->fn_extra;
	Oid			type = OIDOID;
	Datum		value = ObjectIdGetDatum(relid);
	SpQueryScope scope;
	bool		isnull;

	if (owner != NULL)
		return owner;
	owner = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(Owner));
	sp_query_open_latest(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, psprintf(sql, column), SPI_OK_SELECT, 1, &type, &value, NULL);
	if (SPI_processed > 0)
	{
		owner->found = true;
		owner->id = DatumGetInt32(sp_query_value(0, 1, &isnull));
		owner->method = MemoryContextStrdup(fcinfo->flinfo->fn_mcxt,
											TextDatumGetCString(sp_query_value(0, 2, &isnull)));
		owner->nkeys = DatumGetInt32(sp_query_value(0, 3, &isnull));
		owner->result = DatumGetObjectId(sp_query_value(0, 4, &isnull));
		owner->overrides = DatumGetObjectId(sp_query_value(0, 5, &isnull));
	}
	sp_query_close(&scope);
	fcinfo->flinfo->fn_extra = owner;
	return owner;
}

/* Somebody has altered the table. */
static void
refuse_altered(Relation relation, const char *column)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("column \"%s\" of table \"%s\" is not the one it was created with", column,
					RelationGetRelationName(relation)),
			 errhint("Create the detector again, with replace => true.")));
}

/* A column of a row of overrides, by its name. */
static Datum
get_column(Relation relation, HeapTuple row, const char *name, Oid type, bool *isnull)
{
	TupleDesc	desc = RelationGetDescr(relation);
	AttrNumber	attnum = get_attnum(RelationGetRelid(relation), name);

	if (attnum <= 0 || attnum > desc->natts || TupleDescAttr(desc, attnum - 1)->atttypid != type)
		refuse_altered(relation, name);
	return heap_getattr(row, attnum, desc, isnull);
}

/* Append the keys of a row of overrides: they must be of the types that the results have. */
static void
append_keys(StringInfo buf, Relation relation, const Owner *owner, HeapTuple row)
{
	TupleDesc	desc = RelationGetDescr(relation);

	if (owner->nkeys > Min(INDEX_MAX_KEYS, desc->natts))
		refuse_altered(relation, "key");
	((SpSetting *) (buf->data + sizeof(SpMessage)))->nkeys = owner->nkeys;
	for (int k = 0; k < owner->nkeys; k++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, k);

		if (att->attisdropped || att->atttypid != get_atttype(owner->result, FIRST_RESULT_KEY + k))
			refuse_altered(relation, NameStr(att->attname));
		appendBinaryStringInfo(buf, (const char *) &att->atttypid, sizeof(Oid));
	}
	for (int k = 0; k < owner->nkeys; k++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, k);
		SpKeyColumn key = {.type = att->atttypid, .typlen = att->attlen, .typbyval = att->attbyval};
		bool		isnull;
		Datum		value = heap_getattr(row, k + 1, desc, &isnull);

		if (!isnull && att->attlen == -1)
			value = PointerGetDatum(PG_DETOAST_DATUM(value));
		sp_group_write_key(buf, &key, value, isnull);
	}
}

/* A direction by its name; the method must have one. */
static int8
read_direction(const Owner *owner, const char *name)
{
	SpMethodUse use = {0};
	const SpKernel *kernel;
	bool		known = sp_method_find(owner->method, &kernel);

	if (strcmp(name, "both") == 0)
		return known && kernel != NULL && kernel->has_direction ? 0 : SP_DIRECTION_OWN;
	if (strcmp(name, "high") != 0 && strcmp(name, "low") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("direction can't be \"%s\"", name),
				 errhint("It is one of both, high, low, or null for the detector's own.")));
	use.direction = strcmp(name, "high") == 0 ? SP_DIRECTION_HIGH : SP_DIRECTION_LOW;
	if (known && kernel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("direction has no meaning for rules: \"%s\"", name),
				 errhint("Leave it null.")));
	if (known)
		sp_method_check_use(owner->method, kernel, &use);
	return use.direction == SP_DIRECTION_HIGH ? 1 : -1;
}

/* A number of labels. */
static int64
read_count(Relation relation, HeapTuple row, const char *name)
{
	bool		isnull;
	Datum		value = get_column(relation, row, name, INT8OID, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

/* What a row of overrides sets.  The table's CHECKs are its owner's, who may have dropped them. */
static void
read_values(Relation relation, const Owner *owner, HeapTuple row, SpSetting *setting)
{
	bool		isnull;
	Datum		value = get_column(relation, row, "threshold", FLOAT8OID, &isnull);

	if (!isnull)
	{
		setting->threshold = DatumGetFloat8(value);
		if (!isfinite(setting->threshold) || setting->threshold <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("threshold must be finite and positive: %g", setting->threshold)));
	}
	value = get_column(relation, row, "direction", TEXTOID, &isnull);
	if (!isnull)
		setting->direction = read_direction(owner, TextDatumGetCString(value));
	value = get_column(relation, row, "muted", BOOLOID, &isnull);
	setting->muted = !isnull && DatumGetBool(value);
	setting->false_positives = read_count(relation, row, "false_positives");
	setting->true_positives = read_count(relation, row, "true_positives");
}

/* A key has these values from here on. */
static void
set_row(Relation relation, const Owner *owner, HeapTuple row)
{
	StringInfoData buf;

	begin_setting(&buf, owner->id, SP_SETTING_SET);
	read_values(relation, owner, row, (SpSetting *) (buf.data + sizeof(SpMessage)));
	append_keys(&buf, relation, owner, row);
	emit_setting(&buf);
}

/* Nothing is set for a key any more. */
static void
unset_row(Relation relation, const Owner *owner, HeapTuple row)
{
	StringInfoData buf;

	begin_setting(&buf, owner->id, SP_SETTING_UNSET);
	append_keys(&buf, relation, owner, row);
	emit_setting(&buf);
}

/* Have two rows of overrides the same keys, to the bit? */
static bool
same_keys(Relation relation, const Owner *owner, HeapTuple a, HeapTuple b)
{
	TupleDesc	desc = RelationGetDescr(relation);

	for (int k = 0; k < Min(owner->nkeys, desc->natts); k++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, k);
		bool		a_null;
		bool		b_null;
		Datum		x = heap_getattr(a, k + 1, desc, &a_null);
		Datum		y = heap_getattr(b, k + 1, desc, &b_null);

		if (a_null != b_null ||
			(!a_null && !datum_image_eq(x, y, att->attbyval, att->attlen)))
			return false;
	}
	return true;
}

/* TRUNCATE. */
static void
unset_all(const Owner *owner)
{
	StringInfoData buf;

	begin_setting(&buf, owner->id, SP_SETTING_UNSET_ALL);
	emit_setting(&buf);
}

/* The trigger's data; an error when the function is called otherwise. */
static TriggerData *
get_trigger(FunctionCallInfo fcinfo, const char *function)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by an AFTER trigger", function)));
	return trigger;
}

/* AFTER INSERT OR UPDATE OR DELETE, by row, and AFTER TRUNCATE of a table of overrides. */
Datum
sp_follow_override(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = get_trigger(fcinfo, "follow_override");
	Relation	relation = trigger->tg_relation;
	Owner	   *owner = find_owner(fcinfo, RelationGetRelid(relation), "overrides");

	if (!owner->found &&
		(TRIGGER_FIRED_BY_INSERT(trigger->tg_event) || TRIGGER_FIRED_BY_UPDATE(trigger->tg_event)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" holds the overrides of no detector",
						RelationGetRelationName(relation)),
				 errhint("The detector was dropped, perhaps with its source. Drop the table.")));
	if (!owner->found)
		return PointerGetDatum(NULL);
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		unset_all(owner);
	else if (!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called for each row", "follow_override")));
	else if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		set_row(relation, owner, trigger->tg_trigtuple);
	else if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		unset_row(relation, owner, trigger->tg_trigtuple);
	else
	{
		if (!same_keys(relation, owner, trigger->tg_trigtuple, trigger->tg_newtuple))
			unset_row(relation, owner, trigger->tg_trigtuple);
		set_row(relation, owner, trigger->tg_newtuple);
	}
	return PointerGetDatum(NULL);
}

/* ---- Labels. ---- */

/* What a label says of an alert: 1 it was none, -1 it was one, 0 neither. */
static int
read_label(HeapTuple row, TupleDesc desc, AttrNumber attnum)
{
	static const char *const wrong[] = {"false positive", "false_positive", "fp", "normal", NULL};
	static const char *const right[] = {"true positive", "true_positive", "tp", "anomaly", NULL};
	bool		isnull;
	Datum		value = heap_getattr(row, attnum, desc, &isnull);
	char	   *label;

	if (isnull)
		return 0;
	label = TextDatumGetCString(value);
	for (int i = 0; wrong[i] != NULL; i++)
	{
		if (pg_strcasecmp(label, wrong[i]) == 0)
			return 1;
	}
	for (int i = 0; right[i] != NULL; i++)
	{
		if (pg_strcasecmp(label, right[i]) == 0)
			return -1;
	}
	return 0;
}

/*
 * INSERT INTO x_overrides AS o (k1, k2, false_positives, true_positives) VALUES ($1, $2, ...) ON
 * CONFLICT ... : who labels alerts of one key at the same time, waits for one another.
 */
static char *
make_count(const Owner *owner)
{
	StringInfoData sql;
	StringInfoData keys;
	int			n = owner->nkeys;

	initStringInfo(&sql);
	initStringInfo(&keys);
	for (int k = 1; k <= n; k++)
		appendStringInfo(&keys, "%s%s", k > 1 ? ", " : "",
						 quote_identifier(get_attname(owner->overrides, k, false)));
	appendStringInfo(&sql, "INSERT INTO %s AS o (%s%sfalse_positives, true_positives) VALUES (",
					 sp_relation_quote(owner->overrides), keys.data, n > 0 ? ", " : "");
	for (int k = 1; k <= n; k++)
		appendStringInfo(&sql, "$%d, ", k);
	appendStringInfo(&sql, "greatest($%d, 0), greatest($%d, 0)) ON CONFLICT (%s) DO UPDATE SET "
					 "false_positives = greatest(o.false_positives + $%d, 0), "
					 "true_positives = greatest(o.true_positives + $%d, 0)",
					 n + 1, n + 2, n > 0 ? keys.data : "(true)", n + 1, n + 2);
	return sql.data;
}

/* Add to the numbers of labels of a row's key, with the rights of the result table's owner. */
static void
count_label(Owner *owner, Relation result, HeapTuple row, int wrong, int right, MemoryContext context)
{
	TupleDesc	desc = RelationGetDescr(result);
	int			n = owner->nkeys;
	Oid			types[INDEX_MAX_KEYS + 2];
	Datum		values[INDEX_MAX_KEYS + 2];
	char		nulls[INDEX_MAX_KEYS + 2];
	SpQueryScope scope;

	if (n > INDEX_MAX_KEYS || FIRST_RESULT_KEY + n - 1 > desc->natts)
		refuse_altered(result, "key");
	for (int k = 0; k < n; k++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, FIRST_RESULT_KEY - 1 + k);
		bool		isnull;

		if (att->attisdropped)
			refuse_altered(result, NameStr(att->attname));
		types[k] = att->atttypid;
		values[k] = heap_getattr(row, FIRST_RESULT_KEY + k, desc, &isnull);
		nulls[k] = isnull ? 'n' : ' ';
	}
	types[n] = types[n + 1] = INT8OID;
	values[n] = Int64GetDatum(wrong);
	values[n + 1] = Int64GetDatum(right);
	nulls[n] = nulls[n + 1] = ' ';
	if (owner->count == NULL)
		owner->count = MemoryContextStrdup(context, make_count(owner));
	sp_query_open(&scope, result->rd_rel->relowner);
	SetUserIdAndSecContext(result->rd_rel->relowner, scope.security |
						   SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	sp_query_run(&scope, owner->count, SPI_OK_INSERT, n + 2, types, values, nulls);
	sp_query_close(&scope);
}

/* AFTER UPDATE OF label of a result table, by row. */
Datum
sp_follow_label(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = get_trigger(fcinfo, "follow_label");
	Relation	result = trigger->tg_relation;
	AttrNumber	attnum = get_attnum(RelationGetRelid(result), "label");
	Owner	   *owner;
	int			before;
	int			after;

	if (!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		attnum <= 0 || attnum > RelationGetDescr(result)->natts ||
		TupleDescAttr(RelationGetDescr(result), attnum - 1)->atttypid != TEXTOID)
		return PointerGetDatum(NULL);
	before = read_label(trigger->tg_trigtuple, RelationGetDescr(result), attnum);
	after = read_label(trigger->tg_newtuple, RelationGetDescr(result), attnum);
	if (before == after)
		return PointerGetDatum(NULL);
	/* it may be a detector no more, or have no such table */
	owner = find_owner(fcinfo, RelationGetRelid(result), "relation");
	if (owner->found && OidIsValid(owner->overrides) && get_rel_name(owner->overrides) != NULL)
		count_label(owner, result, trigger->tg_newtuple, (after == 1) - (before == 1),
					(after == -1) - (before == -1), fcinfo->flinfo->fn_mcxt);
	return PointerGetDatum(NULL);
}
