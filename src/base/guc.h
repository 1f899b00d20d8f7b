/*
 * guc.h
 *	  Settings, all named streamproc.*.
 */
#ifndef SP_GUC_H
#define SP_GUC_H

extern int	sp_guc_checkpoint_interval; /* seconds between two checkpoints of the state */
extern int	sp_guc_checkpoint_wal;	/* MB of decoded WAL after which a checkpoint is due anyway */
extern int	sp_guc_max_keys;	/* of a detector, a window, or a dedup_key; 0: no limit */
extern int	sp_guc_max_state_memory;	/* kB of groups in memory; the others are spilled */
extern int	sp_guc_spool_memory;	/* kB of uncommitted and waiting rows kept in memory */
extern int	sp_guc_batch_rows;	/* rows after which a batch is written */
extern bool sp_guc_flush_async_commits; /* the worker flushes WAL of asynchronous commits */
extern bool sp_guc_autostart;	/* the launcher starts workers */
extern int	sp_guc_max_windows_per_row; /* limit of size / slide in create_window() */
extern int	sp_guc_lock_timeout;
extern int	sp_guc_max_batch_memory;	/* ms the worker waits for a lock on a result or source table */

extern void sp_guc_define(void);

#endif
