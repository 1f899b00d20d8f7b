/*
 * intact.h
 *	  Are an object's relations still what was made for it?
 *
 * Answers come from the system catalogs as they are committed, without a lock on the
 * relations: whoever alters one in a transaction that takes long must hold up nobody else.
 */
#ifndef SP_INTACT_H
#define SP_INTACT_H

#include "nodes/parsenodes.h"

#include "catalog/definition.h"

/*
 * The query of an object's view, when it is what we made of it: so many plain expressions
 * and then so many aggregate calls over the one source.  Else NULL: its owner can give the
 * view another rule.
 */
extern Query *sp_intact_view(const SpObjectDef *object, int nplain, int naggregates);

/* What became of a view that isn't. */
extern const char *sp_intact_describe_view(const SpObjectDef *object);

/*
 * Has a window's result table the columns that the view makes, behind the first ones?  And
 * is what it carries one argument of an aggregate?
 */
extern bool sp_intact_result(const SpWindowDef *window, Query *view);

#endif
