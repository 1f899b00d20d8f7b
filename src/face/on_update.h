/*
 * on_update.h
 *	  What becomes of UPDATE, DELETE and TRUNCATE of a stream's table: checks and triggers.
 */
#ifndef SP_ON_UPDATE_H
#define SP_ON_UPDATE_H

#include "face/window.h"
#include "utils/relcache.h"

/* An error unless the relation can have a stream of that on_update. */
extern void sp_on_update_check_stream(Relation relation, const char *on_update,
									  const char *time_column);

/* An error unless rows can be taken back from the window, if its stream wants that. */
extern void sp_on_update_check_window(FunctionCallInfo fcinfo, const SpWindowDraft *draft,
									  List *clauses);

/* on_update 'error': triggers that refuse such statements; and their end. */
extern void sp_on_update_guard(Relation relation);
extern void sp_on_update_unguard(Oid relid);

#endif
