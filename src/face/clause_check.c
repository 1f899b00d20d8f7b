/*
 * clause_check.c
 *	  What an expression that a user has written may be, in its role.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_proc_d.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_node.h"
#include "rewrite/rewriteManip.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "engine/aggregate.h"
#include "engine/having.h"
#include "face/clause_check.h"

typedef struct CheckContext
{
	ParseState *pstate;			/* for positions */
	const SpClause *clause;
	List	   *keys;			/* analyzed expressions; for conditions over groups */
} CheckContext;

void
sp_clause_require_name(const SpClause *clause)
{
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("expression has no name: \"%s\"", clause->text),
			 errhint("Write it as \"%s AS name\".", clause->text)));
}

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

/* Is it an aggregate of an array of fractions? */
static bool
is_of_percentiles(const Aggref *aggref)
{
	HeapTuple	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggref->aggfnoid));
	Oid			final;

	if (!HeapTupleIsValid(tuple))
		return false;
	final = ((Form_pg_aggregate) GETSTRUCT(tuple))->aggfinalfn;
	ReleaseSysCache(tuple);
	return final == F_PERCENTILE_DISC_MULTI_FINAL ||
		final == F_PERCENTILE_CONT_FLOAT8_MULTI_FINAL ||
		final == F_PERCENTILE_CONT_INTERVAL_MULTI_FINAL;
}

/* An array of fractions is looked at by its aggregate only where there are rows: here it is before. */
static void
check_percentiles(CheckContext *context, const Aggref *aggref)
{
	Node	   *direct = linitial(aggref->aggdirectargs);
	Const	   *fractions = (Const *) eval_const_expressions(NULL, copyObject(direct));
	Datum	   *values;
	bool	   *nulls;
	int			n;
	int			i;

	if (!IsA(fractions, Const) || fractions->constisnull || fractions->consttype != FLOAT8ARRAYOID)
		return;
	deconstruct_array(DatumGetArrayTypeP(fractions->constvalue), FLOAT8OID, sizeof(float8),
					  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &values, &nulls, &n);
	for (i = 0; i < n; i++)
	{
		float8		fraction = nulls[i] ? 0 : DatumGetFloat8(values[i]);

		if (!(fraction >= 0 && fraction <= 1))
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("percentile value %g is not between 0 and 1", fraction),
					 parser_errposition(context->pstate, exprLocation(direct))));
	}
}

/* An error when an aggregate can't be maintained. */
static void
try_aggregate(CheckContext *context, Node *aggref)
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
		if (is_of_percentiles((Aggref *) aggref))
			check_percentiles(context, (Aggref *) aggref);
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

	try_aggregate(context, clause->expr);
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
		try_aggregate(context, lfirst(cell));
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
		sp_clause_require_name(clause);
}

/* Of a query that runs once: a value of a row, whatever it is made of. */
static void
check_once(CheckContext *context, const SpClause *clause, bool has_aggregates)
{
	if (has_aggregates || contain_windowfuncs(clause->expr) || expression_returns_set(clause->expr))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("parameter \"%s\" takes one value of each row, not \"%s\"",
						clause->parameter, clause->text),
				 errhint("Aggregates, window functions and functions that return sets can stand in a "
						 "subquery.")));
	if (clause->role == SP_CLAUSE_ONCE_NUMBER)
		check_value_type(context, clause);
	else if (clause->role == SP_CLAUSE_ONCE_KEY)
		check_key_type(context, clause);
}

void
sp_clause_check(ParseState *pstate, const SpClause *clause, List *keys, bool has_aggregates)
{
	CheckContext context = {pstate, clause, keys};

	if (clause->role < SP_CLAUSE_ONCE_NUMBER)
		check_node(clause->expr, &context);
	switch (clause->role)
	{
		case SP_CLAUSE_KEY:
			check_key_type(&context, clause);
			break;
		case SP_CLAUSE_AGGREGATE:
			check_aggregate(&context, clause, has_aggregates);
			check_column_type(&context, clause);
			break;
		case SP_CLAUSE_VALUE:
		case SP_CLAUSE_FEATURE:
			check_value_type(&context, clause);
			break;
		case SP_CLAUSE_RULE:
			check_rule_type(&context, clause);
			break;
		case SP_CLAUSE_HAVING:
			check_having(&context, clause);
			break;
		case SP_CLAUSE_CARRY:
		case SP_CLAUSE_GATHER:
			check_column_type(&context, clause);
			break;
		case SP_CLAUSE_FILTER:
			break;
		case SP_CLAUSE_ONCE_NUMBER:
		case SP_CLAUSE_ONCE_KEY:
		case SP_CLAUSE_ONCE_FILTER:
		case SP_CLAUSE_ONCE_ORDER:
			check_once(&context, clause, has_aggregates);
			return;
	}
	if (type_is_collatable(clause->type) && !OidIsValid(clause->collation))
		ereport(ERROR,
				(errcode(ERRCODE_INDETERMINATE_COLLATION),
				 errmsg("could not determine which collation to use for \"%s\"", clause->text),
				 errhint("Use the COLLATE clause to set the collation explicitly.")));
}
