/*
 * clause.c
 *	  Parses and checks expressions that users write.
 *
 * Each is parsed as the only item of "SELECT text", so that whatever else a SELECT may
 * have is noticed and refused, and is analyzed over its source with the rights and the
 * search_path of the caller.  What is stored in the end is the analyzed tree, never the
 * text.
 *
 * An expression is evaluated by the worker, row by row, maybe again after a crash, and
 * once more by the plain-SQL twin: it must give the same each time.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class_d.h"
#include "catalog/pg_proc_d.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "engine/aggregate.h"
#include "engine/having.h"
#include "face/clause.h"

#define PREFIX "SELECT "

typedef struct CheckContext
{
	ParseState *pstate;			/* for positions */
	const SpClause *clause;
	List	   *keys;			/* analyzed expressions; for conditions over groups */
} CheckContext;

/* Make errors point into the text that the user wrote. */
static void
transpose_position(void *arg)
{
	const SpClause *clause = arg;
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(Max(position - (int) strlen(PREFIX), 1));
		internalerrquery(clause->text);
	}
	errcontext("parameter \"%s\"", clause->parameter);
}

/* Make the clause's text that which errors point into, until leave_text(). */
static void
enter_text(ErrorContextCallback *callback, const SpClause *clause)
{
	callback->callback = transpose_position;
	callback->arg = (void *) clause;
	callback->previous = error_context_stack;
	error_context_stack = callback;
}

static void
leave_text(ErrorContextCallback *callback)
{
	error_context_stack = callback->previous;
}

/* ---- Parsing. ---- */

static bool
may_have_name(SpClauseRole role)
{
	return role != SP_CLAUSE_VALUE && role != SP_CLAUSE_FILTER && role != SP_CLAUSE_HAVING;
}

/* The name of a plain column, or NULL. */
static char *
column_name(Node *raw)
{
	Node	   *last;

	if (!IsA(raw, ColumnRef))
		return NULL;
	last = llast(((ColumnRef *) raw)->fields);
	return IsA(last, String) ? strVal(last) : NULL;
}

/* "*", "table.*" or "(expression).*": the parser takes them for expressions at the top only. */
static bool
is_star(Node *raw)
{
	if (IsA(raw, ColumnRef))
		return IsA(llast(((ColumnRef *) raw)->fields), A_Star);
	return IsA(raw, A_Indirection) && IsA(llast(((A_Indirection *) raw)->indirection), A_Star);
}

/* The target of "SELECT text", when there is exactly one and nothing else. */
static ResTarget *
parse_target(const SpClause *clause, const char *sql)
{
	List	   *statements = raw_parser(sql, RAW_PARSE_DEFAULT);
	SelectStmt *select = NULL;
	SelectStmt *bare = makeNode(SelectStmt);

	if (list_length(statements) == 1)
		select = (SelectStmt *) linitial_node(RawStmt, statements)->stmt;
	if (select != NULL && IsA(select, SelectStmt))
		bare->targetList = select->targetList;
	if (select == NULL || !equal(select, bare) || list_length(bare->targetList) != 1 ||
		is_star(linitial_node(ResTarget, bare->targetList)->val))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("parameter \"%s\" takes %s, not \"%s\"", clause->parameter,
						may_have_name(clause->role) ? "\"expression AS name\"" : "an expression",
						clause->text)));
	return linitial_node(ResTarget, bare->targetList);
}

static void
require_name(const SpClause *clause)
{
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("expression has no name: \"%s\"", clause->text),
			 errhint("Write it as \"%s AS name\".", clause->text)));
}

/* Names: given with AS, or a column's own.  A rule of type text needs none. */
static void
name_clause(SpClause *clause, ResTarget *target)
{
	clause->name = target->name;
	if (!may_have_name(clause->role))
	{
		if (target->name != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_SYNTAX_ERROR),
					 errmsg("parameter \"%s\" takes an expression without a name: \"%s\"",
							clause->parameter, clause->text),
					 errhint("Leave out \"AS %s\".", quote_identifier(target->name))));
		clause->name = pstrdup(clause->parameter);
	}
	else if (clause->name == NULL &&
			 (clause->role == SP_CLAUSE_KEY || clause->role == SP_CLAUSE_CARRY ||
			  clause->role == SP_CLAUSE_GATHER))
		clause->name = column_name(clause->raw);
	if (clause->name == NULL && clause->role != SP_CLAUSE_RULE)
		require_name(clause);
}

/* ---- Checking. ---- */

/*
 * Functions that are STABLE, and yet depend on more than their arguments and the settings that
 * an object keeps: on when they are called, by whom, or on how a row happens to be stored.
 */
static bool
depends_on_call(Oid function)
{
	switch (function)
	{
		case F_CURRENT_SETTING_TEXT:
		case F_CURRENT_SETTING_TEXT_BOOL:
		case F_CURRENT_USER:
		case F_SESSION_USER:
		case F_GETPGUSERNAME:
		case F_INET_CLIENT_ADDR:
		case F_INET_CLIENT_PORT:
		case F_INET_SERVER_ADDR:
		case F_INET_SERVER_PORT:
		case F_PG_CONF_LOAD_TIME:
		case F_PG_POSTMASTER_START_TIME:
		case F_PG_MY_TEMP_SCHEMA:
		case F_PG_COLUMN_COMPRESSION:
		case F_PG_COLUMN_SIZE:
		case F_NOW:
		case F_TRANSACTION_TIMESTAMP:
		case F_STATEMENT_TIMESTAMP:
		case F_AGE_TIMESTAMP:
		case F_AGE_TIMESTAMPTZ:
		case F_AGE_XID:
		case F_TXID_CURRENT:
		case F_TXID_CURRENT_IF_ASSIGNED:
		case F_TXID_CURRENT_SNAPSHOT:
		case F_PG_CURRENT_XACT_ID:
		case F_PG_CURRENT_XACT_ID_IF_ASSIGNED:
		case F_PG_CURRENT_SNAPSHOT:
		case F_PG_BACKEND_PID:
			return true;
		default:
			return false;
	}
}

/* check_functions_in_node callback: may its result differ from call to call? */
static bool
is_unrepeatable(Oid function, void *context)
{
	return func_volatile(function) == PROVOLATILE_VOLATILE || depends_on_call(function);
}

static void
refuse(CheckContext *context, Node *node, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s can't be used in parameter \"%s\"", what, context->clause->parameter),
			 errhint("%s", hint),
			 parser_errposition(context->pstate, exprLocation(node))));
}

/* Refuse what is more than a value of the columns of one row. */
static void
check_scope(Node *node, CheckContext *context)
{
	if (IsA(node, SubLink))
		refuse(context, node, "a subquery",
			   "Let a column of the row hold what it finds, or join when reading the results.");
	if (IsA(node, WindowFunc))
		refuse(context, node, "a window function",
			   "Use it when reading the results; or let a sliding window compute an aggregate.");
	if (IsA(node, GroupingFunc))
		refuse(context, node, "GROUPING", "Leave it out.");
	if (IsA(node, Aggref) && context->clause->role != SP_CLAUSE_AGGREGATE &&
		context->clause->role != SP_CLAUSE_HAVING)
		refuse(context, node, "an aggregate",
			   "The \"aggregates\" of a window compute it; conditions over them are its "
			   "\"group_filter\".");
	if (IsA(node, Var) && ((Var *) node)->varattno == 0)
		refuse(context, node, "a whole row", "Name the columns.");
	if (IsA(node, Var) && ((Var *) node)->varattno < 0)
		refuse(context, node, "a system column", "Name a column of the table.");
	if ((IsA(node, FuncExpr) && ((FuncExpr *) node)->funcretset) ||
		(IsA(node, OpExpr) && ((OpExpr *) node)->opretset))
		refuse(context, node, "a set-returning function",
			   "Write an expression that gives one value for each row.");
}

/* Refuse what can't be evaluated row by row, or not twice with the same result. */
static bool
check_node(Node *node, CheckContext *context)
{
	if (node == NULL)
		return false;
	check_scope(node, context);
	if (IsA(node, SQLValueFunction) || check_functions_in_node(node, is_unrepeatable, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("parameter \"%s\" must give the same result whenever and by whomever "
						"it is evaluated", context->clause->parameter),
				 errdetail("VOLATILE functions, now(), current_user and the like can't be used."),
				 errhint("Let a column of the row hold the value, for example by its default."),
				 parser_errposition(context->pstate, exprLocation(node))));
	return expression_tree_walker(node, check_node, context);
}

/* A key is hashed and compared. */
static void
check_key_type(CheckContext *context, const SpClause *clause)
{
	TypeCacheEntry *type = lookup_type_cache(clause->type, TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR |
											 TYPECACHE_HASH_PROC);

	if (!OidIsValid(type->eq_opr) || !OidIsValid(type->lt_opr) || !OidIsValid(type->hash_proc))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("key \"%s\" of type %s can't be grouped by", clause->name,
						format_type_be(clause->type)),
				 errdetail("A key needs a type with equality, order and hash."),
				 errhint("Cast it to one that has them, such as text or jsonb."),
				 parser_errposition(context->pstate, exprLocation(clause->expr))));
}

/* An error when an aggregate can't be maintained. */
static void
try_aggregate(Node *aggref)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "streamproc aggregate check",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	SpAggregate *bound = sp_aggregate_bind((Aggref *) copyObject(aggref), scratch, 0);

	/* Direct arguments are constants: they fail now, or never. */
	if (((Aggref *) aggref)->aggdirectargs != NIL)
	{
		char	   *state = palloc0(sp_aggregate_state_size(bound));
		bool		isnull;

		sp_aggregate_init(bound, state);
		(void) sp_aggregate_result(bound, state, &isnull);
		sp_aggregate_release(bound, state);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
}

/* The expression of an aggregate is one aggregate call and nothing around it. */
static void
check_aggregate(CheckContext *context, const SpClause *clause, bool has_aggregates)
{
	if (!IsA(clause->expr, Aggref))
		ereport(ERROR,
				(errcode(has_aggregates ? ERRCODE_FEATURE_NOT_SUPPORTED : ERRCODE_GROUPING_ERROR),
				 has_aggregates ?
				 errmsg("an expression over aggregates can't be kept up to date") :
				 errmsg("\"%s\" is not an aggregate", clause->text),
				 has_aggregates ?
				 errhint("Keep the aggregates themselves, and compute the expression when "
						 "reading them, for example in a view.") :
				 errhint("Put it into \"keys\", or into an aggregate such as max()."),
				 parser_errposition(context->pstate, exprLocation(clause->expr))));

	try_aggregate(clause->expr);
}

/* A condition over groups has nothing but their keys and aggregates of their rows. */
static void
check_having(CheckContext *context, const SpClause *clause)
{
	List	   *aggregates = NIL;
	Var		   *stray;
	ListCell   *cell;

	(void) sp_having_rewrite(clause->expr, context->keys, &aggregates, &stray);
	if (stray != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_GROUPING_ERROR),
				 errmsg("parameter \"%s\" uses a column that is neither a key nor in an aggregate",
						clause->parameter),
				 parser_errposition(context->pstate, stray->location)));
	foreach(cell, aggregates)
		try_aggregate(lfirst(cell));
}

/* What becomes a column must be of a type that one can have. */
static void
check_column_type(CheckContext *context, const SpClause *clause)
{
	if (get_typtype(clause->type) == TYPTYPE_PSEUDO)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("\"%s\" in parameter \"%s\" is of pseudo-type %s, which no column can have",
						clause->name, clause->parameter, format_type_be(clause->type)),
				 errhint("Cast it to another type, such as text or jsonb."),
				 parser_errposition(context->pstate, exprLocation(clause->expr))));
}

static void
check_value_type(CheckContext *context, const SpClause *clause)
{
	char		category;
	bool		preferred;

	get_type_category_preferred(clause->type, &category, &preferred);
	if (category != TYPCATEGORY_NUMERIC)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("parameter \"%s\" must be a number, not of type %s", clause->parameter,
						format_type_be(clause->type)),
				 errhint("Cast it, for example \"(%s)::float8\".", clause->text),
				 parser_errposition(context->pstate, exprLocation(clause->expr))));
}

/* A boolean, whose label is its name; or text, which is the label itself. */
static void
check_rule_type(CheckContext *context, const SpClause *clause)
{
	char		category;
	bool		preferred;

	get_type_category_preferred(clause->type, &category, &preferred);
	if (clause->type != BOOLOID && category != TYPCATEGORY_STRING)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("a rule must be of type boolean or text, not %s",
						format_type_be(clause->type)),
				 parser_errposition(context->pstate, exprLocation(clause->expr))));
	if (clause->name == NULL && clause->type == BOOLOID)
		require_name(clause);
}

static void
check_clause(CheckContext *context, const SpClause *clause, bool has_aggregates)
{
	check_node(clause->expr, context);
	switch (clause->role)
	{
		case SP_CLAUSE_KEY:
			check_key_type(context, clause);
			break;
		case SP_CLAUSE_AGGREGATE:
			check_aggregate(context, clause, has_aggregates);
			check_column_type(context, clause);
			break;
		case SP_CLAUSE_VALUE:
			check_value_type(context, clause);
			break;
		case SP_CLAUSE_RULE:
			check_rule_type(context, clause);
			break;
		case SP_CLAUSE_HAVING:
			check_having(context, clause);
			break;
		case SP_CLAUSE_CARRY:
		case SP_CLAUSE_GATHER:
			check_column_type(context, clause);
			break;
		case SP_CLAUSE_FILTER:
			break;
	}
	if (type_is_collatable(clause->type) && !OidIsValid(clause->collation))
		ereport(ERROR,
				(errcode(ERRCODE_INDETERMINATE_COLLATION),
				 errmsg("could not determine which collation to use for \"%s\"", clause->text),
				 errhint("Use the COLLATE clause to set the collation explicitly.")));
}

/* ---- Analysis. ---- */

static List *
make_from_clause(Oid source)
{
	RangeVar   *from = makeRangeVar(get_namespace_name(get_rel_namespace(source)),
									get_rel_name(source), -1);

	/* Children of an ordinary table are no part of its stream. */
	from->inh = get_rel_relkind(source) == RELKIND_PARTITIONED_TABLE;
	return list_make1(from);
}

/* "raw::type" */
static Node *
cast_to(Node *raw, const char *type)
{
	TypeCast   *cast = makeNode(TypeCast);

	cast->arg = raw;
	cast->typeName = SystemTypeName(unconstify(char *, type));
	cast->location = -1;
	return (Node *) cast;
}

/* The clause as a target; values become float8, rules boolean or text. */
static ResTarget *
make_target(const SpClause *clause)
{
	ResTarget  *target = makeNode(ResTarget);
	const char *type = NULL;

	target->name = clause->name;
	target->val = copyObject(clause->raw);
	target->location = -1;
	/* A constant without a type is text only by itself. */
	if (clause->role == SP_CLAUSE_GATHER && clause->type == TEXTOID && IsA(target->val, A_Const))
		target->val = cast_to(target->val, "text");
	if (clause->role == SP_CLAUSE_GATHER)
		target->val = (Node *) makeFuncCall(SystemFuncName("array_agg"), list_make1(target->val),
											COERCE_EXPLICIT_CALL, -1);
	if (clause->role == SP_CLAUSE_VALUE)
		type = "float8";
	else if (clause->role == SP_CLAUSE_RULE && clause->type != BOOLOID)
		type = "text";
	if (type != NULL)
		target->val = cast_to(target->val, type);
	return target;
}

/* SELECT clauses FROM source [WHERE filter] [GROUP BY the first ngroup] */
static SelectStmt *
make_select(List *clauses, SpClause *filter, Oid source, int ngroup)
{
	SelectStmt *select = makeNode(SelectStmt);
	ListCell   *cell;

	select->fromClause = make_from_clause(source);
	select->whereClause = filter ? filter->raw : NULL;
	foreach(cell, clauses)
		select->targetList = lappend(select->targetList, make_target(lfirst(cell)));
	for (int i = 1; i <= ngroup; i++)
	{
		A_Const    *position = makeNode(A_Const);

		position->val.ival.type = T_Integer;
		position->val.ival.ival = i;
		position->location = -1;
		select->groupClause = lappend(select->groupClause, position);
	}
	return select;
}

static Query *
analyze(ParseState *pstate, SelectStmt *select)
{
	RawStmt    *raw = makeNode(RawStmt);

	raw->stmt = copyObject((Node *) select);
	return transformTopLevelStmt(pstate, raw);
}

/* A column that is never null, as it stands? */
static bool
is_not_null_column(Node *expr, Oid source)
{
	HeapTuple	tuple;
	bool		result;

	if (!IsA(expr, Var))
		return false;
	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(source),
							Int16GetDatum(((Var *) expr)->varattno));
	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_attribute) GETSTRUCT(tuple))->attnotnull;
	ReleaseSysCache(tuple);
	return result;
}

/* Analyze the clause by itself over its source. */
static void
analyze_clause(SpClause *clause, const char *sql, Oid source)
{
	CheckContext context;
	SelectStmt *select = makeNode(SelectStmt);
	Query	   *query;

	select->fromClause = make_from_clause(source);
	if (clause->role == SP_CLAUSE_FILTER)
		select->whereClause = clause->raw;
	else
		select->targetList = list_make1(makeNode(ResTarget));
	if (clause->role != SP_CLAUSE_FILTER)
	{
		ResTarget  *target = linitial(select->targetList);

		target->name = clause->name;
		target->val = clause->raw;
		target->location = exprLocation(clause->raw);
	}

	context.clause = clause;
	context.keys = NIL;
	context.pstate = make_parsestate(NULL);
	context.pstate->p_sourcetext = sql;
	query = analyze(context.pstate, select);
	if (clause->role == SP_CLAUSE_FILTER)
		clause->expr = query->jointree->quals;
	else
		clause->expr = (Node *) linitial_node(TargetEntry, query->targetList)->expr;
	clause->type = exprType(clause->expr);
	clause->typmod = exprTypmod(clause->expr);
	clause->collation = exprCollation(clause->expr);
	clause->can_be_null = !is_not_null_column(clause->expr, source);
	check_clause(&context, clause, query->hasAggs);
	free_parsestate(context.pstate);
}

SpClause *
sp_clause_parse(SpClauseRole role, const char *parameter, const char *text, Oid source)
{
	SpClause   *clause = palloc0(sizeof(SpClause));
	char	   *sql = psprintf(PREFIX "%s", text);
	ErrorContextCallback callback;
	ResTarget  *target;

	clause->role = role;
	clause->parameter = parameter;
	clause->text = pstrdup(text);

	enter_text(&callback, clause);
	target = parse_target(clause, sql);
	clause->raw = target->val;
	name_clause(clause, target);
	analyze_clause(clause, sql, source);
	leave_text(&callback);
	return clause;
}

/* Analyze a condition over groups: as the only one that may have an error. */
static void
analyze_having(SpClause *clause, const char *sql, Oid source, List *keys)
{
	CheckContext context = {make_parsestate(NULL), clause, NIL};
	SelectStmt *select = make_select(keys, NULL, source, list_length(keys));
	Query	   *query;
	ListCell   *cell;

	select->havingClause = clause->raw;
	context.pstate->p_sourcetext = sql;
	query = analyze(context.pstate, select);
	clause->expr = sp_compat_flatten_groups(query, query->havingQual);
	clause->type = BOOLOID;
	clause->typmod = -1;
	foreach(cell, keys)
		context.keys = lappend(context.keys, ((SpClause *) lfirst(cell))->expr);
	check_clause(&context, clause, query->hasAggs);
	free_parsestate(context.pstate);
}

SpClause *
sp_clause_parse_having(const char *parameter, const char *text, Oid source, List *keys)
{
	SpClause   *clause = palloc0(sizeof(SpClause));
	char	   *sql = psprintf(PREFIX "%s", text);
	ErrorContextCallback callback;
	ResTarget  *target;

	clause->role = SP_CLAUSE_HAVING;
	clause->parameter = parameter;
	clause->text = pstrdup(text);

	enter_text(&callback, clause);
	target = parse_target(clause, sql);
	clause->raw = target->val;
	name_clause(clause, target);
	analyze_having(clause, sql, source, keys);
	leave_text(&callback);
	return clause;
}

List *
sp_clause_parse_list(SpClauseRole role, const char *parameter, List *texts, Oid source)
{
	List	   *clauses = NIL;
	ListCell   *cell;

	foreach(cell, texts)
	{
		SpClause   *clause = sp_clause_parse(role, parameter, lfirst(cell), source);

		if (clause->name == NULL)
			clause->name = psprintf("rule_%d", foreach_current_index(cell) + 1);
		clauses = lappend(clauses, clause);
	}
	return clauses;
}

void
sp_clause_check_names(List *clauses, const char *const *reserved)
{
	ListCell   *cell;
	ListCell   *other;

	foreach(cell, clauses)
	{
		SpClause   *clause = lfirst(cell);

		for (const char *const *name = reserved; *name != NULL; name++)
		{
			if (strcmp(clause->name, *name) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("name \"%s\" is that of a column of every result table",
								clause->name),
						 errdetail("Parameter \"%s\" has it: \"%s\".", clause->parameter,
								   clause->text),
						 errhint("Choose another name with AS.")));
		}
		foreach(other, clauses)
		{
			if (lfirst(other) == clause)
				break;
			if (strcmp(((SpClause *) lfirst(other))->name, clause->name) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("name \"%s\" is used twice", clause->name),
						 errdetail("Parameter \"%s\" has \"%s\", and \"%s\" has \"%s\".",
								   ((SpClause *) lfirst(other))->parameter,
								   ((SpClause *) lfirst(other))->text,
								   clause->parameter, clause->text),
						 errhint("Choose another name with AS.")));
		}
	}
}

Query *
sp_clause_query(List *clauses, SpClause *filter, Oid source, int ngroup, SpClause *having)
{
	SelectStmt *select = make_select(clauses, filter, source, ngroup);
	ParseState *pstate = make_parsestate(NULL);
	Query	   *query;

	pstate->p_sourcetext = "";
	select->havingClause = having ? having->raw : NULL;
	query = analyze(pstate, select);
	free_parsestate(pstate);
	return query;
}
