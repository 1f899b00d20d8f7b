/*
 * wakeup.h
 *	  What a backend tells the worker and the launcher when it commits.
 */
#ifndef SP_WAKEUP_H
#define SP_WAKEUP_H

#include "access/xlogdefs.h"

/* From _PG_init, when preloaded: watch the commits of this process. */
extern void sp_wakeup_init(void);

/*
 * The verbs that define something: when this transaction commits, a worker is to
 * run in this database.  Such a transaction can't be prepared.
 */
extern void sp_wakeup_launcher_at_commit(void);

#endif
