/*
 * wait.h
 *	  What the verbs that wait for the worker have in common.
 */
#ifndef SP_WAIT_H
#define SP_WAIT_H

#include "datatype/timestamp.h"
#include "fmgr.h"

#include "base/shared.h"

/*
 * Argument argno, "timeout", as the time when waiting is over.  An error when it is null or
 * negative; a day has 24 hours.
 */
extern TimestampTz sp_wait_deadline(FunctionCallInfo fcinfo, int argno);

/* What the worker's state is called in SQL. */
extern const char *sp_wait_state_name(SpWorkerSlot *slot);

#endif
