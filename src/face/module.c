/*
 * module.c
 *	  Entry point of the library.
 *
 * Loaded through shared_preload_libraries it brings shared memory, the launcher
 * and the announcement of commits; loaded later, by a session's first call, only
 * its functions: batch detectors work, streams say what is missing.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "base/guc.h"
#include "base/shared.h"
#include "process/launcher.h"
#include "process/wakeup.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

/* Runs once in each process that loads the library; in the postmaster for all. */
void
_PG_init(void)
{
	sp_guc_define();

	if (!process_shared_preload_libraries_in_progress)
		return;

	sp_shared_request();
	sp_launcher_register();
	sp_wakeup_init();
}
