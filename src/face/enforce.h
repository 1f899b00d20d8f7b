/*
 * enforce.h
 *	  The shield's definition: what enforce() leaves behind.
 */
#ifndef SP_ENFORCE_H
#define SP_ENFORCE_H

#include "postgres.h"

#include "datatype/timestamp.h"

#define SP_SHIELD_TRIGGER "~streamproc_shield_%d"

typedef enum SpShieldAction
{
	SP_ACTION_REJECT,
	SP_ACTION_FLAG,
	SP_ACTION_QUARANTINE
} SpShieldAction;

typedef struct SpShieldDef
{
	int32		id;
	Oid			source;
	Oid			states;			/* invalid: there is no state */
	Oid			quarantine;		/* invalid: another action */
	SpShieldAction action;
	bool		fail_open;
	TimestampTz since;
} SpShieldDef;

/* The shield of a detector as it is now; false: there is none. */
extern bool sp_enforce_find(int32 id, SpShieldDef *def);

/* Is there a replication slot, so that the worker reads what is reported now, sooner or later? */
extern bool sp_enforce_is_heard(void);

/* The detector is going away, or is no longer to be enforced: false, if it wasn't. */
extern bool sp_enforce_end(int32 id);

#endif
