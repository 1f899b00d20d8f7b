/*
 * detect_points.h
 *	  The points of one partition for detect(), and what is said of each row.
 */
#ifndef SP_DETECT_POINTS_H
#define SP_DETECT_POINTS_H

#include "postgres.h"

#include "face/detect_rows.h"
#include "kernel/batch/kernels.h"

typedef struct SpDetectPoints SpDetectPoints;

/* What is said of a row. */
typedef struct SpDetected
{
	Oid			tableoid;
	ItemPointerData tid;
	bool		has_key;
	Datum		key;
	double		score;			/* NaN: none */
	bool		is_known;		/* is_anomaly is: there is a threshold, and a score */
	bool		is_anomaly;
	Datum		explanation;	/* jsonb; of anomalies only */
} SpDetected;

typedef void (*SpDetectShow) (void *arg, const SpDetected *row);

/*
 * In the current memory context.  contamination: what part of the rows with a score are anomalies,
 * at most; NaN: those above the kernel's own threshold.  names: of the features.  in_order: rows are
 * scored in the order in which they come; else as they stand in the table.
 */
extern SpDetectPoints *sp_detect_points_open(const SpBatchKernel *kernel, const void *params,
											 double contamination, List *names,
											 bool in_order);

/* Add a row of the partition. */
extern void sp_detect_points_add(SpDetectPoints *points, const SpDetectRow *row);

/* Score all rows and show each; there are none afterwards. */
extern void sp_detect_points_show(SpDetectPoints *points, SpDetectShow show, void *arg);

/* Are there anomalies, or has nobody said what one is? */
extern bool sp_detect_points_have_threshold(const SpDetectPoints *points);

/* How many rows there are. */
extern int64 sp_detect_points_count(const SpDetectPoints *points);

#endif
