/*
 * detect_progress.h
 *	  How far a detect() is, for people: streamproc.progress_detect.
 *
 * It stands where the server keeps the progress of its own commands, in each process's entry of
 * pg_stat_activity, under a number that is none of theirs: so it needs no shared memory of ours,
 * and ends with the transaction at the latest.
 */
#ifndef SP_DETECT_PROGRESS_H
#define SP_DETECT_PROGRESS_H

#include "postgres.h"

typedef enum SpDetectPhase
{
	SP_DETECT_READING,			/* reading rows of a partition */
	SP_DETECT_SCORING			/* scoring and showing them */
} SpDetectPhase;

/* method: its place in sp_batch_kernels; rows: an estimate. */
extern void sp_detect_progress_begin(Oid relation, int method, int64 rows);
extern void sp_detect_progress_phase(SpDetectPhase phase);
extern void sp_detect_progress_rows(int64 rows_read);
extern void sp_detect_progress_partition(int64 partitions, int64 rows_scored, int64 anomalies);
extern void sp_detect_progress_end(void);

#endif
