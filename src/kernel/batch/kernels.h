/*
 * kernels.h
 *	  The batch kernels by name, and their parameters: for whoever calls them for users.
 */
#ifndef SP_BATCH_KERNELS_H
#define SP_BATCH_KERNELS_H

#include "kernel/batch/batch.h"
#include "kernel/online/online.h"

typedef struct SpBatchKernel
{
	const char *name;
	const char *summary;		/* a line */
	const char *reference;		/* where it is published */

	int			max_columns;	/* 1: it takes a value; 0: SP_BATCH_MAX_COLUMNS */
	bool		is_label;		/* its scores are numbers of groups */
	bool		is_series;		/* the points' order counts: it is that of time */

	/*
	 * Of series in which a row without a value keeps its place: how far apart those are that stand in
	 * for it, see gap.h.  NULL: such rows are left out.
	 */
	size_t		(*period) (const void *params);

	/* where those who published it draw the line: above it is an outlier */
	bool		has_threshold;
	double		threshold;

	/* where detectors of streams draw it when their user draws none; 0: it depends on the data */
	double		stream_threshold;

	/* in the order in which functions in SQL take them */
	int			nparams;
	const SpParam *param_table;
	size_t		params_size;

	/* NULL, or why these parameters don't go together; optional */
	const char *(*conflict) (const void *params);

	/* bytes that it takes for n points of d columns, their own and those of scores not counted */
	double		(*memory) (const void *params, double n, int d);

	/* Scores of n >= 1 points; NaN: there is none. */
	void		(*score) (const void *params, const SpMatrix *points, double *scores,
						  SpWork *work);
} SpBatchKernel;

/* Of labels as scores: 1 is noise, 0 all else. */
#define SP_BATCH_LABEL_THRESHOLD	0.5

/* All of them; NULL at the end. */
extern const SpBatchKernel *const sp_batch_kernels[];

extern const SpBatchKernel *sp_batch_find(const char *name);

/* Those that take one point after the other, as online ones do, by what batch ones made; likewise. */
extern const SpKernel *const sp_batch_point_kernels[];

/* SpBatchKernel's period where there is no season: the values next to a gap. */
extern size_t sp_batch_straight(const void *params);

/* The defaults. */
extern void sp_batch_defaults(const SpBatchKernel *kernel, void *params);

#endif
