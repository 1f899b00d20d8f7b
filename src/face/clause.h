/*
 * clause.h
 *	  Expressions as users write them: text, parsed and checked as the caller.
 *
 * Errors point into the user's text (psql shows it as QUERY, with a caret).
 */
#ifndef SP_CLAUSE_H
#define SP_CLAUSE_H

#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"

typedef enum SpClauseRole
{
	SP_CLAUSE_KEY,				/* 'expression AS name', or a column; can be grouped by */
	SP_CLAUSE_AGGREGATE,		/* 'aggregate(...) AS name' */
	SP_CLAUSE_CARRY,			/* 'expression AS name', or a column */
	SP_CLAUSE_GATHER,			/* likewise, beside aggregates: the query has array_agg() of it */
	SP_CLAUSE_RULE,				/* 'boolean AS label', or text */
	SP_CLAUSE_VALUE,			/* a number, without a name */
	SP_CLAUSE_FEATURE,			/* a number, 'expression AS name', or a column */
	SP_CLAUSE_FILTER,			/* a boolean, without a name */
	SP_CLAUSE_HAVING,			/* likewise, over keys and aggregates */
	/* of a query that runs once, as the caller: they may have subqueries, now() and the like */
	SP_CLAUSE_ONCE_NUMBER,		/* as a feature; its name may be its text */
	SP_CLAUSE_ONCE_KEY,			/* as a key, likewise */
	SP_CLAUSE_ONCE_FILTER,		/* as a filter */
	SP_CLAUSE_ONCE_ORDER		/* what may follow ORDER BY */
} SpClauseRole;

typedef struct SpClause
{
	SpClauseRole role;
	const char *parameter;		/* which argument of the verb it comes from */
	char	   *text;
	char	   *name;
	const char *prefix;			/* what stands before the text, to parse it */
	Node	   *raw;			/* parsed */
	Node	   *expr;			/* analyzed; the source is range table entry 1 */
	Oid			type;
	int32		typmod;
	Oid			collation;
	bool		can_be_null;
} SpClause;

/* Parse and check one expression over the source. */
extern SpClause *sp_clause_parse(SpClauseRole role, const char *parameter, const char *text,
								 Oid source);

/* Parse and check a condition over keys (SpClause *) and aggregates. */
extern SpClause *sp_clause_parse_having(const char *parameter, const char *text, Oid source,
										List *keys);

/* The same as sp_clause_parse() for each string of a list. */
extern List *sp_clause_parse_list(SpClauseRole role, const char *parameter, List *texts,
								  Oid source);

/* Parse and check what orders rows of the source; gives SortBys, parsed. */
extern List *sp_clause_parse_order(const char *parameter, const char *text, Oid source);

/* An error when two have the same name, or one has a name of the list (ends with NULL). */
extern void sp_clause_check_names(List *clauses, const char *const *reserved);

/*
 * SELECT clauses FROM source [WHERE filter] [GROUP BY the first ngroup] [HAVING having].
 * Values are cast to float8.
 */
extern Query *sp_clause_query(List *clauses, SpClause *filter, Oid source, int ngroup,
							  SpClause *having);

#endif
