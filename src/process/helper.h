/*
 * helper.h
 *	  The process that reads history for an object, beside the database's worker.
 */
#ifndef SP_HELPER_H
#define SP_HELPER_H

#include "postgres.h"

#include "engine/engine.h"

/* In the worker: for sp_engine_start(). */
extern const SpHelperRoutine sp_helper_routine;

/* In the worker, once: whatever ends it ends its helper. */
extern void sp_helper_register(void);

/* Entry point of the background worker. */
extern PGDLLEXPORT void sp_helper_main(Datum dboid);

#endif
