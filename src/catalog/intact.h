/*
 * intact.h
 *	  Are an object's relations still what was made for it?
 */
#ifndef SP_INTACT_H
#define SP_INTACT_H

#include "catalog/definition.h"

/*
 * Is the object's view what we made of it: so many plain expressions and then so many
 * aggregate calls over the one source?  Its owner can give it another rule.
 */
extern bool sp_intact_view(const SpObjectDef *object, int nplain, int naggregates);

/* What became of a view that isn't. */
extern const char *sp_intact_describe_view(const SpObjectDef *object);

/*
 * Has a window's result table the columns that the view makes, behind the first ones?  The
 * table is locked first, as by those who drop it, lest each waits for the other.
 */
extern bool sp_intact_result(const SpWindowDef *window);

#endif
