/*
 * window.c
 *	  create_window() and drop_window().
 *
 * A window is: a result table of the caller's, a view with its expressions, a plain-SQL
 * twin where there can be one, and a row in streamproc.window_definition.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_type_d.h"
#include "nodes/bitmapset.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "catalog/message.h"
#include "face/lifecycle.h"
#include "face/on_update.h"
#include "face/parameter.h"
#include "face/twin.h"
#include "face/window.h"

/* Columns beside those of the definition: every window's, and those of a sliding one. */
static const char *const reserved_names[] = {
	"window_start", "window_end", "is_final", "revision", NULL
};
static const char *const sliding_names[] = {
	"lsn", "ordinal", NULL
};

PG_FUNCTION_INFO_V1(sp_create_window);
PG_FUNCTION_INFO_V1(sp_drop_window);

/* ---- Expressions. ---- */

/* The columns of the expressions view, in their order. */
static List *
list_clauses(const SpWindowDraft *draft)
{
	return list_concat(list_concat_copy(draft->keys, draft->carry), draft->aggregates);
}

/*
 * What a window writes beside its answer depends on when it writes, which no answer may
 * depend on.
 */
static void
check_columns(const SpWindowDraft *draft)
{
	const SpWindowDef *upstream = draft->upstream;
	Bitmapset  *attributes = NULL;
	List	   *clauses = list_clauses(draft);
	ListCell   *cell;
	int			attribute = -1;

	if (upstream == NULL)
		return;
	if (draft->filter != NULL)
		clauses = lappend(clauses, draft->filter);
	foreach(cell, clauses)
		pull_varattnos(((SpClause *) lfirst(cell))->expr, 1, &attributes);
	while ((attribute = bms_next_member(attributes, attribute)) >= 0)
	{
		int			attnum = attribute + FirstLowInvalidHeapAttributeNumber;

		if (attnum > 2 + upstream->nkeys + upstream->ncarry + upstream->naggs)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("column \"%s\" of window \"%s\" can't be used",
							get_attname(draft->source.relid, attnum, false), draft->source.name),
					 errdetail("A window on a window takes its times, keys and aggregates.")));
	}
}

/* Rows are found by their keys, in an index. */
static void
check_key_count(const SpWindowDraft *draft)
{
	int			most = INDEX_MAX_KEYS - (draft->kind == SP_WINDOW_GLOBAL ? 0 : 1);

	if (list_length(draft->keys) > most && draft->kind != SP_WINDOW_SLIDING)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_COLUMNS),
				 errmsg("parameter \"keys\" has %d expressions, and can have %d",
						list_length(draft->keys), most),
				 errhint("Make one of several, for example an array.")));
}

static void
read_expressions(FunctionCallInfo fcinfo, SpWindowDraft *draft)
{
	Oid			source = draft->source.relid;
	char	   *filter = sp_parameter_text(fcinfo, SP_WINDOW_FILTER, "filter");
	char	   *having = sp_parameter_text(fcinfo, SP_WINDOW_GROUP_FILTER, "group_filter");

	draft->keys = sp_clause_parse_list(SP_CLAUSE_KEY, "keys",
									   sp_parameter_strings(fcinfo, SP_WINDOW_KEYS, "keys"), source);
	draft->carry = sp_clause_parse_list(SP_CLAUSE_GATHER, "carry",
										sp_parameter_strings(fcinfo, SP_WINDOW_CARRY, "carry"),
										source);
	draft->aggregates = sp_clause_parse_list(SP_CLAUSE_AGGREGATE, "aggregates",
											 sp_parameter_strings(fcinfo, SP_WINDOW_AGGREGATES,
																  "aggregates"), source);
	if (draft->keys == NIL && draft->aggregates == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameters \"keys\" and \"aggregates\" are both empty"),
				 errhint("For example, aggregates => '{count(*) AS n}'.")));
	check_key_count(draft);
	sp_clause_check_names(list_clauses(draft), reserved_names);
	if (draft->kind == SP_WINDOW_SLIDING)
		sp_clause_check_names(list_clauses(draft), sliding_names);
	if (filter != NULL)
		draft->filter = sp_clause_parse(SP_CLAUSE_FILTER, "filter", filter, source);
	if (having != NULL)
		draft->having = sp_clause_parse_having("group_filter", having, source, draft->keys);
	check_columns(draft);
	sp_on_update_check_window(fcinfo, draft, list_clauses(draft));
}

/* ---- Relations. ---- */

/* ", name, ..." of the keys; without the comma before the first of all. */
static void
append_key_names(StringInfo sql, const SpWindowDraft *draft, bool first)
{
	ListCell   *cell;

	foreach(cell, draft->keys)
	{
		appendStringInfo(sql, "%s%s", first ? "" : ", ",
						 quote_identifier(((SpClause *) lfirst(cell))->name));
		first = false;
	}
}

static bool
keys_can_be_null(const SpWindowDraft *draft)
{
	ListCell   *cell;

	foreach(cell, draft->keys)
	{
		if (((SpClause *) lfirst(cell))->can_be_null)
			return true;
	}
	return false;
}

/*
 * What makes rows unique: the window and the keys; of windows that share a start, their end
 * tells them apart.  A sliding window has a row for each of its source's.
 */
static void
append_constraint(StringInfo sql, const SpWindowDraft *draft)
{
	if (draft->kind == SP_WINDOW_SLIDING)
	{
		appendStringInfoString(sql, "UNIQUE (lsn, ordinal)");
		return;
	}
	appendStringInfoString(sql, keys_can_be_null(draft) ? "UNIQUE NULLS NOT DISTINCT (" :
						   "PRIMARY KEY (");
	if (draft->kind != SP_WINDOW_GLOBAL)
		appendStringInfoString(sql, draft->kind == SP_WINDOW_CUMULATIVE ? "window_end" :
							   "window_start");
	else if (draft->keys == NIL)
		appendStringInfoString(sql, "is_final");	/* running totals of everything: one row */
	append_key_names(sql, draft, draft->kind == SP_WINDOW_GLOBAL);
	appendStringInfoChar(sql, ')');
}

static void
append_columns(StringInfo sql, const SpWindowDraft *draft)
{
	ListCell   *cell;

	if (draft->kind != SP_WINDOW_GLOBAL)
	{
		sp_relation_append_column(sql, "window_start", draft->stream->time_type, -1, InvalidOid,
								  true);
		sp_relation_append_column(sql, "window_end", draft->stream->time_type, -1, InvalidOid,
								  true);
	}
	foreach(cell, list_clauses(draft))
	{
		SpClause   *clause = lfirst(cell);

		sp_relation_append_column(sql, clause->name, clause->type, clause->typmod,
								  clause->collation,
								  clause->role == SP_CLAUSE_KEY && !clause->can_be_null);
	}
	appendStringInfoString(sql, "is_final boolean NOT NULL, revision integer NOT NULL, ");
	if (draft->kind == SP_WINDOW_SLIDING)
		appendStringInfoString(sql, "lsn pg_lsn NOT NULL, ordinal bigint NOT NULL, ");
}

/* Half of each page stays free where rows are updated in their place. */
static void
create_result_table(const SpWindowDraft *draft)
{
	StringInfoData sql;
	bool		updates = strcmp(draft->emit, "update") == 0 && draft->kind != SP_WINDOW_SLIDING;
	char	   *comment = psprintf("results of a window over %s, written by streamproc",
								   sp_relation_quote(draft->source.relid));

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TABLE %s (", draft->name.quoted);
	append_columns(&sql, draft);
	append_constraint(&sql, draft);
	appendStringInfo(&sql, ") USING heap%s", updates ? " WITH (fillfactor = 50)" : "");
	sp_relation_run(sql.data, InvalidOid);
	sp_relation_run(psprintf("COMMENT ON TABLE %s IS %s", draft->name.quoted,
							 quote_literal_cstr(comment)), InvalidOid);
	sp_relation_reserve(&draft->name, "INSERT, UPDATE, DELETE, TRUNCATE");
}

/*
 * The change feed.  Rows are jsonb, so that it follows whatever becomes of the result table;
 * to trim it is the owner's.
 */
static Oid
create_changes(const SpWindowDraft *draft, Oid relid)
{
	SpRelationName name = sp_relation_beside(&draft->name, SP_WINDOW, "changes", "change feed");
	char	   *comment = psprintf("changes of the results of window \"%s\", written by streamproc",
								   draft->name.relation);
	Oid			changes;

	sp_relation_run(psprintf("CREATE TABLE %s (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
							 "lsn pg_lsn NOT NULL, changed_at timestamptz NOT NULL, "
							 "old jsonb, new jsonb) USING heap", name.quoted), InvalidOid);
	sp_relation_run(psprintf("COMMENT ON TABLE %s IS %s", name.quoted,
							 quote_literal_cstr(comment)), InvalidOid);
	sp_relation_reserve(&name, "INSERT, UPDATE");
	changes = sp_relation_oid(&name);
	sp_relation_bind_changes(changes, relid);
	return changes;
}

static void
set_argument(SpObjectRow *row, FunctionCallInfo fcinfo, int n, const char *column)
{
	sp_object_set(row, column, get_fn_expr_argtype(fcinfo->flinfo, n), fcinfo->args[n].value,
				  PG_ARGISNULL(n));
}

static void
insert_window(FunctionCallInfo fcinfo, const SpWindowDraft *draft, int32 id, Oid relid,
			  Oid expressions, Oid twin, Oid changes)
{
	SpObjectRow row = {0};

	sp_object_set(&row, "id", INT4OID, Int32GetDatum(id), false);
	sp_object_set_relation(&row, "relation", relid);
	sp_object_set_relation(&row, "source", draft->source.relid);
	sp_object_set_relation(&row, "expressions", expressions);
	sp_object_set_relation(&row, "twin", twin);
	sp_object_set_relation(&row, "changes", changes);
	sp_object_set_text(&row, "emit", draft->emit);
	sp_object_set(&row, "session_settings", TEXTARRAYOID, sp_lifecycle_session_settings(), false);
	set_argument(&row, fcinfo, SP_WINDOW_KIND, "kind");
	set_argument(&row, fcinfo, SP_WINDOW_SIZE, "size");
	set_argument(&row, fcinfo, SP_WINDOW_SLIDE, "slide");
	set_argument(&row, fcinfo, SP_WINDOW_GAP, "gap");
	set_argument(&row, fcinfo, SP_WINDOW_FILTER, "filter");
	set_argument(&row, fcinfo, SP_WINDOW_GROUP_FILTER, "group_filter");
	set_argument(&row, fcinfo, SP_WINDOW_TRIGGER, "trigger");
	set_argument(&row, fcinfo, SP_WINDOW_WATERMARK, "watermark");
	set_argument(&row, fcinfo, SP_WINDOW_GRACE, "grace");
	set_argument(&row, fcinfo, SP_WINDOW_ORIGIN, "origin");
	set_argument(&row, fcinfo, SP_WINDOW_TIME_ZONE, "time_zone");
	set_argument(&row, fcinfo, SP_WINDOW_BOUNDS, "bounds");
	set_argument(&row, fcinfo, SP_WINDOW_FILL, "fill");
	set_argument(&row, fcinfo, SP_WINDOW_RETENTION, "retention");
	set_argument(&row, fcinfo, SP_WINDOW_BACKFILL, "backfill");
	sp_object_set_strings(&row, "keys", sp_parameter_strings(fcinfo, SP_WINDOW_KEYS, "keys"));
	sp_object_set_strings(&row, "aggregates",
						  sp_parameter_strings(fcinfo, SP_WINDOW_AGGREGATES, "aggregates"));
	sp_object_set_strings(&row, "carry", sp_parameter_strings(fcinfo, SP_WINDOW_CARRY, "carry"));
	sp_object_insert(SP_WINDOW, &row);
}

static Oid
create_window(FunctionCallInfo fcinfo, const SpWindowDraft *draft)
{
	int32		id = sp_object_new_id();
	Query	   *query = sp_clause_query(list_clauses(draft), draft->filter, draft->source.relid,
										list_length(draft->keys), draft->having);
	Oid			relid;
	Oid			expressions;
	Oid			twin;
	Oid			changes = InvalidOid;

	create_result_table(draft);
	relid = sp_relation_oid(&draft->name);
	sp_relation_check_width(relid);
	expressions = sp_relation_create_expressions(id, query,
												 psprintf("window \"%s\"", draft->name.relation));
	sp_relation_bind_view(expressions, relid);
	sp_relation_check_access(expressions);
	twin = sp_twin_create(draft, id);
	if (OidIsValid(twin))
		sp_relation_bind_view(twin, relid);
	if (PG_GETARG_BOOL(SP_WINDOW_CHANGES))
		changes = create_changes(draft, relid);
	insert_window(fcinfo, draft, id, relid, expressions, twin, changes);
	sp_message_control();
	return relid;
}

Datum
sp_create_window(PG_FUNCTION_ARGS)
{
	SpWindowDraft draft = {0};

	sp_parameter_name(fcinfo, SP_WINDOW_NAME, "name");
	draft.source = sp_lifecycle_open_source(fcinfo, SP_WINDOW_SOURCE);
	draft.stream = sp_lifecycle_stream(&draft.source);
	if (draft.source.kind == SP_WINDOW)
		draft.upstream = sp_lifecycle_window(&draft.source);
	sp_window_parameter_read(fcinfo, &draft);
	sp_relation_resolve(&draft.name, PG_GETARG_TEXT_PP(SP_WINDOW_NAME));
	if (!sp_lifecycle_make_room(fcinfo, SP_WINDOW_IF_NOT_EXISTS, SP_WINDOW_REPLACE, SP_WINDOW,
								draft.name.existing, draft.name.relation))
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
