/*
 * worker.h
 *	  The process that works for one database.
 */
#ifndef SP_WORKER_H
#define SP_WORKER_H

#include "postgres.h"

#include "base/shared.h"

/* Entry point of the background worker. */
extern PGDLLEXPORT void sp_worker_main(Datum dboid);

/* Outside a transaction: was the extension dropped, or created anew, since we started? */
extern bool sp_worker_extension_gone(void);

extern void sp_worker_set_state(SpWorkerState state, const char *message);

/* What a database's or a role's settings may not change. */
extern void sp_worker_pin_settings(const char *name);

/* Forget that someone asked for a worker; before definitions are loaded. */
extern void sp_worker_take_request(void);

#endif
