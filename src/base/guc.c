/*
 * guc.c
 *	  Defines the settings.
 *
 * Whatever the worker or the launcher obeys is PGC_SIGHUP: they belong to the
 * cluster, and a session could not change them for another process anyway.  Limits that
 * create_*() checks are PGC_SUSET.
 */
#include "postgres.h"

#include <limits.h>

#include "utils/guc.h"

#include "base/debug.h"
#include "base/guc.h"

int			sp_guc_checkpoint_interval = 10;
int			sp_guc_checkpoint_wal = 256;
int			sp_guc_max_keys = 50000000;
int			sp_guc_max_state_memory = 1024 * 1024;
int			sp_guc_spool_memory = 65536;
int			sp_guc_batch_rows = 20000;
bool		sp_guc_flush_async_commits = true;
bool		sp_guc_autostart = true;
int			sp_guc_lock_timeout = 100;
int			sp_guc_max_batch_memory = 1024 * 1024;
int			sp_guc_max_windows_per_row = 1000;

/* Define all settings; once, when the library is loaded. */
void
sp_guc_define(void)
{
	DefineCustomBoolVariable("streamproc.autostart",
							 "Starts a worker in each database that has streams.",
							 "When off, streamproc.start() starts it until it stops.",
							 &sp_guc_autostart, true, PGC_SIGHUP, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("streamproc.batch_rows",
							"Sets the number of rows after which the worker writes a batch.",
							"A transaction is never divided: a batch holds at least one.",
							&sp_guc_batch_rows, 20000, 1, 10000000, PGC_SIGHUP, 0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("streamproc.checkpoint_interval",
							"Sets the time between two checkpoints of the worker's state.",
							NULL, &sp_guc_checkpoint_interval, 10, 1, 3600,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);

	DefineCustomIntVariable("streamproc.checkpoint_wal",
							"Sets the amount of decoded WAL after which the worker's state is "
							"checkpointed anyway.",
							NULL, &sp_guc_checkpoint_wal, 256, 1, 65536,
							PGC_SIGHUP, GUC_UNIT_MB, NULL, NULL, NULL);

	DefineCustomBoolVariable("streamproc.debug_points",
							 "Lets tests stop, fail or kill processes at named points.",
							 NULL, &sp_guc_debug_points, false,
							 PGC_SUSET, GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);

	DefineCustomBoolVariable("streamproc.flush_async_commits",
							 "Flushes the WAL of asynchronous commits, so that they are processed "
							 "at once.",
							 "When off, they are processed when the WAL writer has flushed them.",
							 &sp_guc_flush_async_commits, true, PGC_SIGHUP, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("streamproc.lock_timeout",
							"Sets the time the worker waits for a lock on a table.",
							"What it could not write or activate is tried again later.",
							&sp_guc_lock_timeout, 100, 1, 60000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomIntVariable("streamproc.max_batch_memory",
							"Sets the memory that a batch detector may use for a partition.",
							"What would take more is refused before it begins.",
							&sp_guc_max_batch_memory, 1024 * 1024, 1024, MAX_KILOBYTES,
							PGC_USERSET, GUC_UNIT_KB, NULL, NULL, NULL);

	DefineCustomIntVariable("streamproc.max_windows_per_row",
							"Sets the number of windows that a row may fall into.",
							"Hopping and cumulative windows with more of them are not created.",
							&sp_guc_max_windows_per_row, 1000, 1, INT_MAX,
							PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("streamproc.max_keys",
							"Sets the number of keys that a detector, a window or a dedup_key may have.",
							"A row of a further key becomes a dead letter, the known keys go on.  "
							"Zero means no limit.",
							&sp_guc_max_keys, 50000000, 0, INT_MAX, PGC_SIGHUP, 0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("streamproc.max_state_memory",
							"Sets the memory for the state of all objects of a worker.",
							"State of keys that haven't been met for longest is moved to temporary "
							"files.",
							&sp_guc_max_state_memory, 1024 * 1024, 64, MAX_KILOBYTES,
							PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);

	DefineCustomIntVariable("streamproc.spool_memory",
							"Sets the memory for rows that wait for their transaction's commit.",
							"What is beyond it goes to temporary files.",
							&sp_guc_spool_memory, 65536, 64, MAX_KILOBYTES,
							PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);

	MarkGUCPrefixReserved("streamproc");
}
