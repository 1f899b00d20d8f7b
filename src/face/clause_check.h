/*
 * clause_check.h
 *	  What an expression that a user has written may be, in its role.
 */
#ifndef SP_CLAUSE_CHECK_H
#define SP_CLAUSE_CHECK_H

#include "parser/parse_node.h"

#include "face/clause.h"

/*
 * An error when the analyzed clause can't be what its role asks for.  keys: analyzed
 * expressions, for a condition over groups.  has_aggregates: are there any in it?
 */
extern void sp_clause_check(ParseState *pstate, const SpClause *clause, List *keys,
							bool has_aggregates);

/* An error: it has no name. */
extern void sp_clause_require_name(const SpClause *clause);

#endif
