/*
 * clause.c
 *	  Parses and checks expressions that users write.
 *
 * Each is parsed as the only item of "SELECT text", so that whatever else a SELECT may
 * have is noticed and refused, and is analyzed over its source with the rights and the
 * search_path of the caller.  What is stored in the end is the analyzed tree, never the
 * text.
 *
 * Virtual columns are replaced by what they are made of: their values are not in the WAL.
 *
 * An expression is evaluated by the worker, row by row, maybe again after a crash, and
 * once more by the plain-SQL twin: it must give the same each time.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class_d.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "face/clause.h"
#include "face/clause_check.h"

#define PREFIX			"SELECT "
#define ORDER_PREFIX	"SELECT ORDER BY "

/* Make errors point into the text that the user wrote. */
static void
transpose_position(void *arg)
{
	const SpClause *clause = arg;
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(Max(position - (int) strlen(clause->prefix), 1));
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
	return role != SP_CLAUSE_VALUE && role != SP_CLAUSE_FILTER && role != SP_CLAUSE_HAVING &&
		role != SP_CLAUSE_ONCE_FILTER;
}

static bool
is_filter(SpClauseRole role)
{
	return role == SP_CLAUSE_FILTER || role == SP_CLAUSE_ONCE_FILTER;
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
			 (clause->role == SP_CLAUSE_ONCE_NUMBER || clause->role == SP_CLAUSE_ONCE_KEY))
	{
		clause->name = column_name(clause->raw);
		if (clause->name == NULL)
			clause->name = clause->text;
	}
	else if (clause->name == NULL &&
			 (clause->role == SP_CLAUSE_KEY || clause->role == SP_CLAUSE_CARRY ||
			  clause->role == SP_CLAUSE_GATHER || clause->role == SP_CLAUSE_FEATURE))
		clause->name = column_name(clause->raw);
	if (clause->name == NULL && clause->role != SP_CLAUSE_RULE)
		sp_clause_require_name(clause);
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
	if (clause->role == SP_CLAUSE_VALUE || clause->role == SP_CLAUSE_FEATURE)
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

/* The query of a statement over the source, its range table entry 1. */
static Query *
analyze(ParseState *pstate, SelectStmt *select, Oid source)
{
	RawStmt    *raw = makeNode(RawStmt);
	Relation	relation;
	Query	   *query;

	raw->stmt = copyObject((Node *) select);
	query = transformTopLevelStmt(pstate, raw);
	relation = relation_open(source, AccessShareLock);
	query = (Query *) sp_compat_expand_virtual((Node *) query, relation, 1);
	relation_close(relation, NoLock);
	return query;
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
	ParseState *pstate = make_parsestate(NULL);
	SelectStmt *select = makeNode(SelectStmt);
	Query	   *query;

	select->fromClause = make_from_clause(source);
	if (is_filter(clause->role))
		select->whereClause = clause->raw;
	else
		select->targetList = list_make1(makeNode(ResTarget));
	if (!is_filter(clause->role))
	{
		ResTarget  *target = linitial(select->targetList);

		target->name = clause->name;
		target->val = clause->raw;
		target->location = exprLocation(clause->raw);
	}

	pstate->p_sourcetext = sql;
	query = analyze(pstate, select, source);
	if (is_filter(clause->role))
		clause->expr = query->jointree->quals;
	else
		clause->expr = (Node *) linitial_node(TargetEntry, query->targetList)->expr;
	clause->type = exprType(clause->expr);
	clause->typmod = exprTypmod(clause->expr);
	clause->collation = exprCollation(clause->expr);
	clause->can_be_null = !is_not_null_column(clause->expr, source);
	sp_clause_check(pstate, clause, NIL, query->hasAggs);
	free_parsestate(pstate);
}

SpClause *
sp_clause_parse(SpClauseRole role, const char *parameter, const char *text, Oid source)
{
	SpClause   *clause = palloc0(sizeof(SpClause));
	char	   *sql = psprintf(PREFIX "%s", text);
	ErrorContextCallback callback;
	ResTarget  *target;

	clause->role = role;
	clause->prefix = PREFIX;
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
	ParseState *pstate = make_parsestate(NULL);
	List	   *expressions = NIL;
	SelectStmt *select = make_select(keys, NULL, source, list_length(keys));
	Query	   *query;
	ListCell   *cell;

	select->havingClause = clause->raw;
	pstate->p_sourcetext = sql;
	query = analyze(pstate, select, source);
	clause->expr = sp_compat_flatten_groups(query, query->havingQual);
	clause->type = BOOLOID;
	clause->typmod = -1;
	foreach(cell, keys)
		expressions = lappend(expressions, ((SpClause *) lfirst(cell))->expr);
	sp_clause_check(pstate, clause, expressions, query->hasAggs);
	free_parsestate(pstate);
}

SpClause *
sp_clause_parse_having(const char *parameter, const char *text, Oid source, List *keys)
{
	SpClause   *clause = palloc0(sizeof(SpClause));
	char	   *sql = psprintf(PREFIX "%s", text);
	ErrorContextCallback callback;
	ResTarget  *target;

	clause->role = SP_CLAUSE_HAVING;
	clause->prefix = PREFIX;
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

/* The SortBys of "SELECT ORDER BY text", when there is nothing else. */
static List *
parse_order(const SpClause *clause, const char *sql)
{
	List	   *statements = raw_parser(sql, RAW_PARSE_DEFAULT);
	SelectStmt *select = NULL;
	SelectStmt *bare = makeNode(SelectStmt);

	if (list_length(statements) == 1)
		select = (SelectStmt *) linitial_node(RawStmt, statements)->stmt;
	if (select != NULL && IsA(select, SelectStmt))
		bare->sortClause = select->sortClause;
	if (select == NULL || !equal(select, bare))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("parameter \"%s\" takes what may follow ORDER BY, not \"%s\"",
						clause->parameter, clause->text)));
	return bare->sortClause;
}

List *
sp_clause_parse_order(const char *parameter, const char *text, Oid source)
{
	SpClause	clause = {SP_CLAUSE_ONCE_ORDER, parameter, pstrdup(text), NULL, ORDER_PREFIX};
	char	   *sql = psprintf(ORDER_PREFIX "%s", text);
	ParseState *pstate = make_parsestate(NULL);
	SelectStmt *select = makeNode(SelectStmt);
	ErrorContextCallback callback;
	Query	   *query;

	enter_text(&callback, &clause);
	select->sortClause = parse_order(&clause, sql);
	select->fromClause = make_from_clause(source);
	pstate->p_sourcetext = sql;
	query = analyze(pstate, select, source);
	clause.expr = (Node *) query->targetList;
	sp_clause_check(pstate, &clause, NIL, query->hasAggs);
	free_parsestate(pstate);
	leave_text(&callback);
	return select->sortClause;
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
	query = analyze(pstate, select, source);
	free_parsestate(pstate);
	return query;
}
