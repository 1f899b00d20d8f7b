/*
 * overrides.h
 *	  The table of overrides of a detector, and the triggers by which the worker learns of it.
 */
#ifndef SP_OVERRIDES_H
#define SP_OVERRIDES_H

#include "postgres.h"

#include "face/relation.h"

/* An error when a key (SpClause *) has the name of one of the table's own columns. */
extern void sp_overrides_check_keys(List *keys);

/* Create it beside a detector's result table, which has just been made. */
extern Oid	sp_overrides_create(const SpRelationName *name, List *keys, Oid result);

/*
 * It goes with the result table, and the triggers with the extension, without a word; of what
 * was restored that must be said again.
 */
extern void sp_overrides_bind(Oid overrides, Oid result);

/* Among these relations, which are gone, may be such tables; true: there were. */
extern bool sp_overrides_forget(List *relids);

#endif
