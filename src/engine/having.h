/*
 * having.h
 *	  HAVING: which groups of a window have a result row.
 */
#ifndef SP_HAVING_H
#define SP_HAVING_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "nodes/primnodes.h"

/*
 * The condition over a row of keys and aggregates, as Vars of OUTER_VAR: the keys, then the
 * aggregates, to which it adds those that aren't among them.  *stray: a column of the source
 * that is neither a key nor in an aggregate, or NULL.
 */
extern Node *sp_having_rewrite(Node *condition, List *keys, List **aggregates, Var **stray);

#endif
