/*
 * launcher.h
 *	  The process that starts a worker in each database with streams.
 */
#ifndef SP_LAUNCHER_H
#define SP_LAUNCHER_H

#include "postgres.h"

/* From _PG_init, when preloaded. */
extern void sp_launcher_register(void);

/* Entry points of background workers. */
extern PGDLLEXPORT void sp_launcher_main(Datum arg);
extern PGDLLEXPORT void sp_launcher_sweep_main(Datum dboid);

#endif
