/*
 * window.c
 *	  create_window() and drop_window().
 *
 * A window is: a result table of the caller's, a view with its expressions, a plain-SQL
 * twin where there can be one, and a row in streamproc.window_definition.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/tumbling.h"
#include "catalog/message.h"
#include "catalog/object.h"
#include "face/clause.h"
#include "face/lifecycle.h"
#include "face/parameter.h"
#include "face/relation.h"
#include "face/twin.h"

/* Arguments of create_window(). */
enum
{
	NAME,
	SOURCE,
	KIND,
	SIZE,
	SLIDE,
	GAP,
	KEYS,
	AGGREGATES,
	FILTER,
	GROUP_FILTER,
	CARRY,
	EMIT,
	TRIGGER,
	WATERMARK,
	GRACE,
	ORIGIN,
	TIME_ZONE,
	BOUNDS,
	FILL,
	RETENTION,
	BACKFILL,
	IF_NOT_EXISTS,
	REPLACE
};

/* Every window's columns, beside its keys and aggregates. */
static const char *const reserved_names[] = {
	"window_start", "window_end", "is_final", "revision", NULL
};

typedef struct Draft
{
	SpRelationName name;
	const SpStreamDef *stream;
	SpWindowKind kind;
	Interval   *size;			/* NULL: global */
	char	   *emit;
	char	   *time_zone;
	List	   *keys;
	List	   *aggregates;
	SpClause   *filter;
} Draft;

PG_FUNCTION_INFO_V1(sp_create_window);
PG_FUNCTION_INFO_V1(sp_drop_window);

/* ---- Parameters. ---- */

static SpWindowKind
read_kind(FunctionCallInfo fcinfo)
{
	static const char *const kinds[] = {
		"tumbling", "hopping", "cumulative", "session", "sliding", "global", NULL
	};
	char	   *kind = sp_parameter_choice(fcinfo, KIND, "kind", kinds);

	if (strcmp(kind, "tumbling") == 0)
		return SP_WINDOW_TUMBLING;
	if (strcmp(kind, "global") == 0)
		return SP_WINDOW_GLOBAL;
	sp_parameter_not_yet_value("kind", kind, "\"tumbling\" and \"global\"");
	return SP_WINDOW_GLOBAL;
}

static char *
read_emit(FunctionCallInfo fcinfo, SpWindowKind kind)
{
	static const char *const emits[] = {"update", "final", NULL};
	char	   *emit;

	if (PG_ARGISNULL(EMIT))
		return "update";
	emit = sp_parameter_choice(fcinfo, EMIT, "emit", emits);
	if (kind == SP_WINDOW_GLOBAL && strcmp(emit, "final") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"emit\" can't be \"final\" for a window of kind \"global\""),
				 errdetail("Running totals never become final."),
				 errhint("Use emit => 'update'.")));
	return emit;
}

static void
check_not_yet(FunctionCallInfo fcinfo)
{
	static const char *const fills[] = {"none", "zero", NULL};
	char	   *fill;

	sp_parameter_not_yet(fcinfo, SLIDE, "slide");
	sp_parameter_not_yet(fcinfo, GAP, "gap");
	sp_parameter_not_yet(fcinfo, GROUP_FILTER, "group_filter");
	sp_parameter_not_yet(fcinfo, CARRY, "carry");
	sp_parameter_not_yet(fcinfo, WATERMARK, "watermark");
	sp_parameter_not_yet(fcinfo, BOUNDS, "bounds");
	fill = sp_parameter_choice(fcinfo, FILL, "fill", fills);
	if (strcmp(fill, "none") != 0)
		sp_parameter_not_yet_value("fill", fill, "\"none\"");
}

/* What closes, ends or begins means nothing for running totals. */
static void
check_global(FunctionCallInfo fcinfo)
{
	const char *object = "a window of kind \"global\"";

	sp_parameter_refuse(fcinfo, SIZE, "size", object);
	sp_parameter_refuse(fcinfo, ORIGIN, "origin", object);
	sp_parameter_refuse(fcinfo, RETENTION, "retention", object);
	if (sp_definition_interval_us(PG_GETARG_INTERVAL_P(GRACE)) != 0)
		sp_parameter_refuse(fcinfo, GRACE, "grace", object);
}

static void
check_size(FunctionCallInfo fcinfo, const Draft *draft)
{
	const char *problem;

	if (draft->size == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a window of kind \"tumbling\" needs parameter \"size\""),
				 errhint("For example, size => '1 minute'.")));
	problem = sp_tumbling_check_size(draft->size);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"size\" %s: %s", problem, sp_parameter_value(fcinfo, SIZE)),
				 errhint("Write it in months, or in days, or in hours and below.")));
	if (draft->stream->time_type == DATEOID && draft->size->time != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"size\" must have whole days: %s",
						sp_parameter_value(fcinfo, SIZE)),
				 errdetail("The time column of stream \"%s\" is of type date.",
						   get_rel_name(draft->stream->o.relid))));
}

static void
check_origin(FunctionCallInfo fcinfo, const Draft *draft)
{
	Timestamp	origin;

	if (PG_ARGISNULL(ORIGIN))
		return;
	origin = PG_GETARG_TIMESTAMP(ORIGIN);
	if (TIMESTAMP_NOT_FINITE(origin))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"origin\" must be finite: %s",
						sp_parameter_value(fcinfo, ORIGIN))));
	/* In any time zone it must be an instant, too; they differ by less than a day. */
	if (origin < MIN_TIMESTAMP + USECS_PER_DAY || origin >= END_TIMESTAMP - USECS_PER_DAY)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("parameter \"origin\" is out of range: %s",
						sp_parameter_value(fcinfo, ORIGIN))));
	if (draft->stream->time_type == DATEOID && origin % USECS_PER_DAY != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"origin\" must be a midnight: %s",
						sp_parameter_value(fcinfo, ORIGIN)),
				 errdetail("The time column of stream \"%s\" is of type date.",
						   get_rel_name(draft->stream->o.relid))));
}

/* A column without time zone is taken as it is: another zone than the stream's is a mistake. */
static void
check_time_zone(const Draft *draft)
{
	if (draft->stream->time_type != TIMESTAMPTZOID &&
		strcmp(draft->time_zone, "UTC") != 0 &&
		strcmp(draft->time_zone, draft->stream->time_zone) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"time_zone\" is \"%s\", but that of stream \"%s\" is \"%s\"",
						draft->time_zone, get_rel_name(draft->stream->o.relid),
						draft->stream->time_zone),
				 errdetail("The time column has no time zone, and windows are made of its values "
						   "as they are.")));
}

/* Everything but names and expressions. */
static void
read_parameters(FunctionCallInfo fcinfo, Draft *draft)
{
	draft->kind = read_kind(fcinfo);
	check_not_yet(fcinfo);
	draft->emit = read_emit(fcinfo, draft->kind);
	draft->time_zone = sp_parameter_time_zone(fcinfo, TIME_ZONE, "time_zone");
	sp_parameter_require(fcinfo, TRIGGER, "trigger");
	sp_parameter_interval(fcinfo, TRIGGER, "trigger", SP_INTERVAL_ANY);
	sp_parameter_require(fcinfo, GRACE, "grace");
	sp_parameter_interval(fcinfo, GRACE, "grace", SP_INTERVAL_ANY);
	sp_parameter_interval(fcinfo, RETENTION, "retention", SP_INTERVAL_LONG);
	sp_parameter_require(fcinfo, BACKFILL, "backfill");
	draft->size = PG_ARGISNULL(SIZE) ? NULL : PG_GETARG_INTERVAL_P(SIZE);
	if (draft->kind == SP_WINDOW_GLOBAL)
		check_global(fcinfo);
	else
	{
		check_size(fcinfo, draft);
		check_origin(fcinfo, draft);
		check_time_zone(draft);
	}
}

static void
read_expressions(FunctionCallInfo fcinfo, Draft *draft)
{
	Oid			source = draft->stream->o.relid;
	char	   *filter = sp_parameter_text(fcinfo, FILTER, "filter");

	draft->keys = sp_clause_parse_list(SP_CLAUSE_KEY, "keys",
									   sp_parameter_strings(fcinfo, KEYS, "keys"), source);
	draft->aggregates = sp_clause_parse_list(SP_CLAUSE_AGGREGATE, "aggregates",
											 sp_parameter_strings(fcinfo, AGGREGATES, "aggregates"),
											 source);
	if (draft->keys == NIL && draft->aggregates == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameters \"keys\" and \"aggregates\" are both empty"),
				 errhint("For example, aggregates => '{count(*) AS n}'.")));
	sp_clause_check_names(list_concat_copy(draft->keys, draft->aggregates), reserved_names);
	if (filter != NULL)
		draft->filter = sp_clause_parse(SP_CLAUSE_FILTER, "filter", filter, source);
}

/* ---- Relations. ---- */

/* The constraint that makes (window_start, keys) unique. */
static void
append_constraint(StringInfo sql, const Draft *draft)
{
	bool		can_be_null = false;
	bool		first = true;
	ListCell   *cell;

	foreach(cell, draft->keys)
		can_be_null |= ((SpClause *) lfirst(cell))->can_be_null;
	appendStringInfoString(sql, can_be_null ? "UNIQUE NULLS NOT DISTINCT (" : "PRIMARY KEY (");
	if (draft->kind != SP_WINDOW_GLOBAL)
	{
		appendStringInfoString(sql, "window_start");
		first = false;
	}
	foreach(cell, draft->keys)
	{
		appendStringInfo(sql, "%s%s", first ? "" : ", ",
						 quote_identifier(((SpClause *) lfirst(cell))->name));
		first = false;
	}
	/* Running totals without keys: one row. */
	if (first)
		appendStringInfoString(sql, "is_final");
	appendStringInfoChar(sql, ')');
}

/* Half of each page stays free, so that rows can be updated in their place. */
static void
create_result_table(const Draft *draft)
{
	StringInfoData sql;
	ListCell   *cell;
	char	   *comment = psprintf("results of a window over %s, written by streamproc",
								   sp_relation_quote(draft->stream->o.relid));

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TABLE %s (", draft->name.quoted);
	if (draft->kind != SP_WINDOW_GLOBAL)
	{
		sp_relation_append_column(&sql, "window_start", draft->stream->time_type, -1,
								  InvalidOid, true);
		sp_relation_append_column(&sql, "window_end", draft->stream->time_type, -1,
								  InvalidOid, true);
	}
	foreach(cell, list_concat_copy(draft->keys, draft->aggregates))
	{
		SpClause   *clause = lfirst(cell);

		sp_relation_append_column(&sql, clause->name, clause->type, clause->typmod,
								  clause->collation,
								  clause->role == SP_CLAUSE_KEY && !clause->can_be_null);
	}
	appendStringInfoString(&sql, "is_final boolean NOT NULL, revision integer NOT NULL, ");
	append_constraint(&sql, draft);
	appendStringInfo(&sql, ") USING heap%s",
					 strcmp(draft->emit, "update") == 0 ? " WITH (fillfactor = 50)" : "");
	sp_relation_run(sql.data, InvalidOid);
	sp_relation_run(psprintf("COMMENT ON TABLE %s IS %s", draft->name.quoted,
							 quote_literal_cstr(comment)), InvalidOid);
}

static Oid
create_twin(FunctionCallInfo fcinfo, const Draft *draft, int32 id)
{
	SpTwin		twin = {0};
	Timestamp	origin;

	if (sp_twin_obstacle(draft->stream) != NULL)
		return InvalidOid;
	if (!PG_ARGISNULL(ORIGIN))
	{
		origin = PG_GETARG_TIMESTAMP(ORIGIN);
		twin.origin = &origin;
	}
	twin.window = &draft->name;
	twin.stream = draft->stream;
	twin.id = id;
	twin.size = draft->size;
	twin.time_zone = draft->time_zone;
	twin.keys = draft->keys;
	twin.aggregates = draft->aggregates;
	twin.filter = draft->filter;
	return sp_twin_create(&twin);
}

static void
set_argument(SpObjectRow *row, FunctionCallInfo fcinfo, int n, const char *column)
{
	sp_object_set(row, column, get_fn_expr_argtype(fcinfo->flinfo, n), fcinfo->args[n].value,
				  PG_ARGISNULL(n));
}

static void
insert_window(FunctionCallInfo fcinfo, const Draft *draft, int32 id, Oid relid, Oid expressions,
			  Oid twin)
{
	SpObjectRow row = {0};

	sp_object_set(&row, "id", INT4OID, Int32GetDatum(id), false);
	sp_object_set_relation(&row, "relation", relid);
	sp_object_set_relation(&row, "source", draft->stream->o.relid);
	sp_object_set_relation(&row, "expressions", expressions);
	sp_object_set_relation(&row, "twin", twin);
	sp_object_set_text(&row, "emit", draft->emit);
	sp_object_set(&row, "session_settings", TEXTARRAYOID, sp_lifecycle_session_settings(), false);
	set_argument(&row, fcinfo, KIND, "kind");
	set_argument(&row, fcinfo, SIZE, "size");
	set_argument(&row, fcinfo, SLIDE, "slide");
	set_argument(&row, fcinfo, GAP, "gap");
	set_argument(&row, fcinfo, FILTER, "filter");
	set_argument(&row, fcinfo, GROUP_FILTER, "group_filter");
	set_argument(&row, fcinfo, TRIGGER, "trigger");
	set_argument(&row, fcinfo, WATERMARK, "watermark");
	set_argument(&row, fcinfo, GRACE, "grace");
	set_argument(&row, fcinfo, ORIGIN, "origin");
	set_argument(&row, fcinfo, TIME_ZONE, "time_zone");
	set_argument(&row, fcinfo, BOUNDS, "bounds");
	set_argument(&row, fcinfo, FILL, "fill");
	set_argument(&row, fcinfo, RETENTION, "retention");
	set_argument(&row, fcinfo, BACKFILL, "backfill");
	sp_object_set_strings(&row, "keys", sp_parameter_strings(fcinfo, KEYS, "keys"));
	sp_object_set_strings(&row, "aggregates",
						  sp_parameter_strings(fcinfo, AGGREGATES, "aggregates"));
	sp_object_set_strings(&row, "carry", NIL);
	sp_object_insert(SP_WINDOW, &row);
}

static Oid
create_window(FunctionCallInfo fcinfo, const Draft *draft)
{
	int32		id = sp_object_new_id();
	List	   *clauses = list_concat_copy(draft->keys, draft->aggregates);
	Query	   *query = sp_clause_query(clauses, draft->filter, draft->stream->o.relid,
										list_length(draft->keys));
	Oid			relid;
	Oid			expressions;
	Oid			twin;

	create_result_table(draft);
	relid = sp_relation_oid(&draft->name);
	expressions = sp_relation_create_expressions(id, query,
												 psprintf("window \"%s\"", draft->name.relation));
	sp_relation_bind_view(expressions, relid);
	sp_relation_check_access(expressions);
	twin = create_twin(fcinfo, draft, id);
	if (OidIsValid(twin))
		sp_relation_bind_view(twin, relid);
	insert_window(fcinfo, draft, id, relid, expressions, twin);
	sp_message_control();
	return relid;
}

Datum
sp_create_window(PG_FUNCTION_ARGS)
{
	Draft		draft = {0};
	SpObject	source;

	sp_parameter_name(fcinfo, NAME, "name");
	source = sp_lifecycle_open_source(fcinfo, SOURCE, false);
	draft.stream = sp_lifecycle_stream(&source);
	read_parameters(fcinfo, &draft);
	sp_relation_resolve(&draft.name, PG_GETARG_TEXT_PP(NAME));
	if (!sp_lifecycle_make_room(fcinfo, IF_NOT_EXISTS, REPLACE, SP_WINDOW, draft.name.existing,
								draft.name.relation))
		PG_RETURN_OID(draft.name.existing);
	read_expressions(fcinfo, &draft);
	PG_RETURN_OID(create_window(fcinfo, &draft));
}

Datum
sp_drop_window(PG_FUNCTION_ARGS)
{
	sp_lifecycle_drop(fcinfo, SP_WINDOW);
	PG_RETURN_VOID();
}
