/*
 * detector.c
 *	  create_detector() and drop_detector().
 *
 * A detector is: a result table of the caller's, a view with its expressions, and a row in
 * streamproc.detector_definition.  It reads a stream's relation, or the result table of a
 * window, whose columns its expressions then name.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "parser/scansup.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "base/guc.h"
#include "catalog/message.h"
#include "catalog/object.h"
#include "engine/micro_method.h"
#include "face/clause.h"
#include "face/lifecycle.h"
#include "face/overrides.h"
#include "face/parameter.h"
#include "face/relation.h"

/* Arguments of create_detector(). */
enum
{
	NAME,
	SOURCE,
	METHOD,
	VALUE,
	FEATURES,
	RULES,
	KEYS,
	FILTER,
	CARRY,
	PARAMS,
	THRESHOLD,
	DIRECTION,
	MIN_EFFECT,
	COOLDOWN,
	LEARN,
	SAMPLE,
	TRIGGER,
	HISTORY,
	STORE,
	NOTIFY,
	RETENTION,
	BACKFILL,
	IF_NOT_EXISTS,
	REPLACE
};

/* Every detector's columns, beside its keys and what it carries along. */
static const char *const reserved_names[] = {
	"id", "event_time", "value", "features", "score", "p_value", "threshold", "is_anomaly",
	"expected", "lower_bound", "upper_bound", "alerts", "explanation", "detected_at", "lsn",
	"ordinal", "status", "label", "note", NULL
};

static const char *const no_names[] = {NULL};

typedef struct Draft
{
	SpRelationName name;
	SpObject	source;
	const SpKernel *kernel;		/* NULL: made of rules */
	char	   *method;
	Oid			time_type;		/* of event_time */
	List	   *key_texts;
	SpClause   *value;			/* or NULL */
	List	   *keys;
	List	   *carry;
	List	   *features;
	List	   *rules;
	SpClause   *filter;			/* or NULL */
} Draft;

PG_FUNCTION_INFO_V1(sp_create_detector);
PG_FUNCTION_INFO_V1(sp_drop_detector);

/* ---- Parameters. ---- */

static void
read_method(FunctionCallInfo fcinfo, Draft *draft)
{
	sp_parameter_require(fcinfo, METHOD, "method");
	draft->method = sp_parameter_text(fcinfo, METHOD, "method");
	if (!sp_method_find(draft->method, &draft->kernel))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for parameter \"method\": \"%s\"", draft->method),
				 errhint("There is %s.", sp_method_names())));
}

/* A parameter that the method can do nothing with. */
static void
refuse_for_method(FunctionCallInfo fcinfo, const Draft *draft, int n, const char *name,
				  const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("parameter \"%s\" has no meaning for method \"%s\": %s", name,
					draft->method, sp_parameter_value(fcinfo, n)),
			 errhint("%s", hint)));
}

/* A parameter that the method can't do without. */
static void
require_for_method(FunctionCallInfo fcinfo, const Draft *draft, int n, const char *name,
				   const char *example)
{
	if (PG_ARGISNULL(n) || (n != VALUE && sp_parameter_strings(fcinfo, n, name) == NIL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("method \"%s\" needs parameter \"%s\"", draft->method, name),
				 errhint("For example, %s.", example)));
}

/* Are there rows of the source to be sampled like that? */
static void
check_sample(const Draft *draft, bool update)
{
	const SpWindowDef *w = draft->source.kind == SP_WINDOW ?
		sp_lifecycle_window(&draft->source) : NULL;

	if (w == NULL && update)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"sample\" has no meaning for stream %s: \"update\"",
						sp_relation_quote(draft->source.relid)),
				 errhint("A stream's rows are scored as they come; those of a window are updated.")));
	if (w == NULL)
		return;
	if (update && draft->kernel != NULL && draft->kernel->due != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"sample\" of method \"%s\" can't be \"update\"", draft->method),
				 errhint("A key reports with rows that are final; the clock tells what is missing.")));
	if (update && draft->kernel != NULL && draft->kernel->batch != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"sample\" of method \"%s\" can't be \"update\"", draft->method),
				 errhint("Its rows are scored together, once: when they are final.")));
	if (update && w->emit_final &&
		(w->window_kind == SP_WINDOW_HOPPING || w->window_kind == SP_WINDOW_CUMULATIVE))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("window %s has no rows before they are final: parameter \"sample\" can't be "
						"\"update\"", sp_relation_quote(draft->source.relid)),
				 errhint("Create the window with emit => 'update'.")));
	if (w->window_kind != SP_WINDOW_GLOBAL)
		return;
	if (!update)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the rows of global window %s are never final: parameter \"sample\" can't be "
						"\"final\"", sp_relation_quote(draft->source.relid)),
				 errhint("Use sample => 'update', with method => 'rule'.")));
	if (draft->kernel != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("method \"%s\" can't learn from global window %s, whose rows are never final",
						draft->method, sp_relation_quote(draft->source.relid)),
				 errhint("Use method => 'rule', or a window in time.")));
}

static void
read_choices(FunctionCallInfo fcinfo, const Draft *draft)
{
	static const char *const directions[] = {"both", "high", "low", NULL};
	static const char *const learns[] = {"all", "normal", "capped", NULL};
	static const char *const samples[] = {"final", "update", NULL};
	static const char *const stores[] = {"anomalies", "all", NULL};
	SpMethodUse use = {0};
	char	   *choice;

	choice = sp_parameter_choice(fcinfo, DIRECTION, "direction", directions);
	if (strcmp(choice, "both") != 0)
		use.direction = strcmp(choice, "high") == 0 ? SP_DIRECTION_HIGH : SP_DIRECTION_LOW;
	sp_parameter_choice(fcinfo, STORE, "store", stores);
	choice = sp_parameter_choice(fcinfo, LEARN, "learn", learns);
	if (strcmp(choice, "all") != 0)
		use.learn = strcmp(choice, "capped") == 0 ? SP_LEARN_CAPPED : SP_LEARN_NORMAL;
	if (draft->kernel != NULL)
		sp_method_check_use(draft->method, draft->kernel, &use);
	choice = sp_parameter_choice(fcinfo, SAMPLE, "sample", samples);
	check_sample(draft, strcmp(choice, "update") == 0);
}

static void
check_number(FunctionCallInfo fcinfo, int n, const char *name, bool positive)
{
	double		value = PG_GETARG_FLOAT8(n);

	if (!isfinite(value) || value < 0 || (positive && value == 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"%s\" must be finite and %s: %s", name,
						positive ? "positive" : "not negative", sp_parameter_value(fcinfo, n))));
}

/* A channel, as LISTEN takes it. */
static void
check_notify(FunctionCallInfo fcinfo)
{
	char	   *channel = sp_parameter_text(fcinfo, NOTIFY, "notify");

	if (channel == NULL)
		return;
	if (*channel == '\0' || strlen(channel) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"notify\" must be a channel's name of 1 to %d bytes: \"%s\"",
						NAMEDATALEN - 1, channel),
				 errhint("It is the name that LISTEN takes.")));
}

/* There is but so much memory for rows that are scored together. */
static void
check_batches(const Draft *draft, const SpMethod *method)
{
	double		bytes = sp_micro_memory(method, (double) method->history_rows +
										method->trigger_rows);

	if (bytes > sp_guc_max_batch_memory * 1024.0)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("%s", sp_micro_memory_message(method, bytes)),
				 errhint("Give it less trigger_rows or history_rows, or raise the setting, for the "
						 "worker, too.")));
}

static void
check_params(FunctionCallInfo fcinfo, const Draft *draft)
{
	Jsonb	   *params;
	SpMethod   *method;
	SpMethodUse use = {.n = 1, .threshold = get_float8_nan()};

	sp_parameter_require(fcinfo, PARAMS, "params");
	params = PG_GETARG_JSONB_P(PARAMS);
	if (!JB_ROOT_IS_OBJECT(params))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"params\" must be a JSON object: %s",
						sp_parameter_value(fcinfo, PARAMS)),
				 errhint("For example, params => '{\"alpha\": 0.1}'.")));
	if (PG_ARGISNULL(VALUE))
		use.n = list_length(sp_parameter_strings(fcinfo, FEATURES, "features"));
	if (!PG_ARGISNULL(THRESHOLD))
		use.threshold = PG_GETARG_FLOAT8(THRESHOLD);
	method = sp_method_open(draft->method, params, &use);
	sp_method_check_threshold(method);
	if (draft->kernel != NULL && draft->kernel->batch != NULL)
		check_batches(draft, method);
}

/* A method is made of rules, or scores a value, or features. */
static void
check_method(FunctionCallInfo fcinfo, const Draft *draft)
{
	List	   *features = sp_parameter_strings(fcinfo, FEATURES, "features");
	bool		takes_features = draft->kernel != NULL &&
		(draft->kernel->takes == SP_TAKES_FEATURES ||
		 (draft->kernel->takes == SP_TAKES_EITHER && features != NIL));

	if (draft->kernel == NULL)
		require_for_method(fcinfo, draft, RULES, "rules", "rules => '{amount > 10000 AS large}'");
	else if (takes_features)
		require_for_method(fcinfo, draft, FEATURES, "features", "features => '{amount, quantity}'");
	else if (draft->kernel->takes != SP_TAKES_ANY_VALUE)
		require_for_method(fcinfo, draft, VALUE, "value", "value => 'amount'");
	if (draft->kernel != NULL && sp_parameter_strings(fcinfo, RULES, "rules") != NIL)
		refuse_for_method(fcinfo, draft, RULES, "rules",
						  "Rules are a method of their own: method => 'rule'.");
	if (takes_features && !PG_ARGISNULL(VALUE))
		refuse_for_method(fcinfo, draft, VALUE, "value", "It is one of the features, if any.");
	if (draft->kernel != NULL && draft->kernel->due != NULL && !PG_ARGISNULL(VALUE))
		refuse_for_method(fcinfo, draft, VALUE, "value", "It looks at when rows come, alone.");
	if (!takes_features && features != NIL)
		refuse_for_method(fcinfo, draft, FEATURES, "features", draft->kernel == NULL ?
						  "Rules are expressions of their own." : "It takes a value.");
	if (list_length(features) > SP_MAX_FEATURES)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_ARGUMENTS),
				 errmsg("there are %d features: parameter \"features\" takes at most %d",
						list_length(features), SP_MAX_FEATURES)));
	check_params(fcinfo, draft);
}

static void
read_parameters(FunctionCallInfo fcinfo, Draft *draft)
{
	read_method(fcinfo, draft);
	check_method(fcinfo, draft);
	sp_parameter_interval(fcinfo, HISTORY, "history", SP_INTERVAL_POSITIVE);
	if (!PG_ARGISNULL(HISTORY) && (draft->kernel == NULL || draft->kernel->batch == NULL))
		refuse_for_method(fcinfo, draft, HISTORY, "history",
						  "It is of methods that score rows together with those before them.");
	read_choices(fcinfo, draft);
	if (!PG_ARGISNULL(THRESHOLD))
		check_number(fcinfo, THRESHOLD, "threshold", true);
	sp_parameter_require(fcinfo, MIN_EFFECT, "min_effect");
	check_number(fcinfo, MIN_EFFECT, "min_effect", false);
	sp_parameter_require(fcinfo, COOLDOWN, "cooldown");
	sp_parameter_interval(fcinfo, COOLDOWN, "cooldown", SP_INTERVAL_ANY);
	sp_parameter_require(fcinfo, TRIGGER, "trigger");
	sp_parameter_interval(fcinfo, TRIGGER, "trigger", SP_INTERVAL_ANY);
	sp_parameter_interval(fcinfo, RETENTION, "retention", SP_INTERVAL_LONG);
	sp_parameter_require(fcinfo, BACKFILL, "backfill");
	check_notify(fcinfo);
}

/* ---- Source and expressions. ---- */

/* The type of event times, and the keys when none are given. */
static void
read_source(FunctionCallInfo fcinfo, Draft *draft)
{
	const SpWindowDef *window;
	int			first;

	draft->key_texts = sp_parameter_strings(fcinfo, KEYS, "keys");
	draft->time_type = sp_lifecycle_stream(&draft->source)->time_type;
	if (draft->source.kind == SP_STREAM)
		return;
	window = sp_lifecycle_window(&draft->source);
	first = window->window_kind == SP_WINDOW_GLOBAL ? 1 : 3;
	for (int i = 0; PG_ARGISNULL(KEYS) && i < window->nkeys; i++)
	{
		char	   *name = get_attname(draft->source.relid, first + i, false);

		draft->key_texts = lappend(draft->key_texts, pstrdup(quote_identifier(name)));
	}
}

/* The columns of the expressions view, in their order. */
static List *
list_clauses(const Draft *draft)
{
	List	   *clauses = draft->value ? list_make1(draft->value) : NIL;

	clauses = list_concat(clauses, draft->keys);
	clauses = list_concat(clauses, draft->carry);
	clauses = list_concat(clauses, draft->features);
	return list_concat(clauses, draft->rules);
}

/* Their columns in the expressions view have names of their own kind. */
static void
mark_features(List *features)
{
	ListCell   *cell;

	foreach(cell, features)
	{
		SpClause   *clause = lfirst(cell);
		char	   *name = psprintf(SP_FEATURE_PREFIX "%s", clause->name);

		truncate_identifier(name, strlen(name), false);
		clause->name = name;
	}
}

static void
read_expressions(FunctionCallInfo fcinfo, Draft *draft)
{
	Oid			source = draft->source.relid;
	char	   *filter = sp_parameter_text(fcinfo, FILTER, "filter");
	char	   *value = sp_parameter_text(fcinfo, VALUE, "value");

	draft->keys = sp_clause_parse_list(SP_CLAUSE_KEY, "keys", draft->key_texts, source);
	draft->carry = sp_clause_parse_list(SP_CLAUSE_CARRY, "carry",
										sp_parameter_strings(fcinfo, CARRY, "carry"), source);
	draft->rules = sp_clause_parse_list(SP_CLAUSE_RULE, "rules",
										sp_parameter_strings(fcinfo, RULES, "rules"), source);
	draft->features = sp_clause_parse_list(SP_CLAUSE_FEATURE, "features",
										   sp_parameter_strings(fcinfo, FEATURES, "features"),
										   source);
	sp_clause_check_names(draft->features, no_names);
	mark_features(draft->features);
	if (value != NULL)
		draft->value = sp_clause_parse(SP_CLAUSE_VALUE, "value", value, source);
	if (filter != NULL)
		draft->filter = sp_clause_parse(SP_CLAUSE_FILTER, "filter", filter, source);
	sp_clause_check_names(list_concat_copy(draft->keys, draft->carry), reserved_names);
	sp_overrides_check_keys(draft->keys);
	sp_clause_check_names(list_clauses(draft), no_names);
}

/* ---- Relations. ---- */

static void
append_clauses(StringInfo sql, List *clauses)
{
	ListCell   *cell;

	foreach(cell, clauses)
	{
		SpClause   *clause = lfirst(cell);

		sp_relation_append_column(sql, clause->name, clause->type, clause->typmod,
								  clause->collation,
								  clause->role == SP_CLAUSE_KEY && !clause->can_be_null);
	}
}

/* No CHECK on status: the worker would have to look at it with each row. */
static void
create_result_table(const Draft *draft)
{
	StringInfoData sql;
	char	   *comment = psprintf("what a detector found in %s, written by streamproc; "
								   "status, label and note are yours to update",
								   sp_relation_quote(draft->source.relid));

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TABLE %s ("
					 "id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, ",
					 draft->name.quoted);
	sp_relation_append_column(&sql, "event_time", draft->time_type, -1, InvalidOid, false);
	append_clauses(&sql, draft->keys);
	appendStringInfoString(&sql, "value float8, features float8[], score float8, p_value float8, "
						   "threshold float8, is_anomaly boolean, expected float8, "
						   "lower_bound float8, upper_bound float8, alerts text[], "
						   "explanation jsonb, ");
	append_clauses(&sql, draft->carry);
	appendStringInfoString(&sql, "detected_at timestamptz, lsn pg_lsn, ordinal bigint, "
						   "status text DEFAULT 'open', label text, note text, "
						   "UNIQUE (lsn, ordinal)) USING heap");
	sp_relation_run(sql.data, InvalidOid);
	sp_relation_run(psprintf("COMMENT ON TABLE %s IS %s", draft->name.quoted,
							 quote_literal_cstr(comment)), InvalidOid);
	sp_relation_reserve(&draft->name, "INSERT, UPDATE, DELETE, TRUNCATE");
	sp_relation_run(psprintf("GRANT UPDATE (status, label, note) ON TABLE %s TO %s",
							 draft->name.quoted,
							 quote_identifier(GetUserNameFromId(GetUserId(), false))),
					InvalidOid);
}

static void
set_argument(SpObjectRow *row, FunctionCallInfo fcinfo, int n, const char *column)
{
	sp_object_set(row, column, get_fn_expr_argtype(fcinfo->flinfo, n), fcinfo->args[n].value,
				  PG_ARGISNULL(n));
}

static void
insert_detector(FunctionCallInfo fcinfo, const Draft *draft, int32 id, Oid relid, Oid expressions,
				Oid overrides)
{
	SpObjectRow row = {0};

	sp_object_set(&row, "id", INT4OID, Int32GetDatum(id), false);
	sp_object_set_relation(&row, "relation", relid);
	sp_object_set_relation(&row, "source", draft->source.relid);
	sp_object_set_relation(&row, "expressions", expressions);
	sp_object_set_relation(&row, "overrides", overrides);
	sp_object_set(&row, "session_settings", TEXTARRAYOID, sp_lifecycle_session_settings(), false);
	set_argument(&row, fcinfo, METHOD, "method");
	set_argument(&row, fcinfo, VALUE, "value");
	set_argument(&row, fcinfo, FEATURES, "features");
	set_argument(&row, fcinfo, RULES, "rules");
	sp_object_set_strings(&row, "keys", draft->key_texts);
	set_argument(&row, fcinfo, FILTER, "filter");
	sp_object_set_strings(&row, "carry", sp_parameter_strings(fcinfo, CARRY, "carry"));
	set_argument(&row, fcinfo, PARAMS, "params");
	set_argument(&row, fcinfo, THRESHOLD, "threshold");
	set_argument(&row, fcinfo, DIRECTION, "direction");
	set_argument(&row, fcinfo, MIN_EFFECT, "min_effect");
	set_argument(&row, fcinfo, COOLDOWN, "cooldown");
	set_argument(&row, fcinfo, LEARN, "learn");
	set_argument(&row, fcinfo, SAMPLE, "sample");
	set_argument(&row, fcinfo, TRIGGER, "trigger");
	set_argument(&row, fcinfo, HISTORY, "history");
	set_argument(&row, fcinfo, STORE, "store");
	set_argument(&row, fcinfo, NOTIFY, "notify");
	set_argument(&row, fcinfo, RETENTION, "retention");
	set_argument(&row, fcinfo, BACKFILL, "backfill");
	sp_object_insert(SP_DETECTOR, &row);
}

static Oid
create_detector(FunctionCallInfo fcinfo, const Draft *draft)
{
	int32		id = sp_object_new_id();
	Query	   *query = sp_clause_query(list_clauses(draft), draft->filter, draft->source.relid, 0, NULL);
	Oid			relid;
	Oid			expressions;
	Oid			overrides;

	create_result_table(draft);
	relid = sp_relation_oid(&draft->name);
	sp_relation_check_width(relid);
	expressions = sp_relation_create_expressions(id, query,
												 psprintf("detector \"%s\"", draft->name.relation));
	sp_relation_bind_view(expressions, relid);
	sp_relation_check_access(expressions);
	overrides = sp_overrides_create(&draft->name, draft->keys, relid);
	insert_detector(fcinfo, draft, id, relid, expressions, overrides);
	sp_message_control();
	return relid;
}

Datum
sp_create_detector(PG_FUNCTION_ARGS)
{
	Draft		draft = {0};

	sp_parameter_name(fcinfo, NAME, "name");
	draft.source = sp_lifecycle_open_source(fcinfo, SOURCE);
	read_parameters(fcinfo, &draft);
	sp_relation_resolve(&draft.name, PG_GETARG_TEXT_PP(NAME));
	if (!sp_lifecycle_make_room(fcinfo, IF_NOT_EXISTS, REPLACE, SP_DETECTOR, draft.name.existing,
								draft.name.relation))
		PG_RETURN_OID(draft.name.existing);
	read_source(fcinfo, &draft);
	read_expressions(fcinfo, &draft);
	PG_RETURN_OID(create_detector(fcinfo, &draft));
}

Datum
sp_drop_detector(PG_FUNCTION_ARGS)
{
	sp_lifecycle_drop(fcinfo, SP_DETECTOR);
	PG_RETURN_VOID();
}
