/*
 * training.h
 *	  The state of aggregates that gather points: those that make models, and robust_stats().
 */
#ifndef SP_TRAINING_H
#define SP_TRAINING_H

#include "postgres.h"

#include "fmgr.h"
#include "kernel/batch/model.h"
#include "utils/jsonb.h"

/* It and all that it holds are in the aggregate's memory. */
typedef struct SpTraining
{
	const SpModelKernel *kernel;	/* NULL: only values are gathered */
	const char *name;			/* of the aggregate, for errors */
	void	   *params;
	Jsonb	   *given;			/* what these were read from, or NULL */
	double	   *row;			/* [d], then room for as many */
	SpGather	gather;
} SpTraining;

/* The memory of the aggregate that calls; an error if none does. */
extern MemoryContext sp_training_context(FunctionCallInfo fcinfo);

/* Begin, in the current memory context; params are kept.  kernel NULL: values. */
extern SpTraining *sp_training_begin(const SpModelKernel *kernel, void *params, int d);

/* Gather the point that stands in row. */
extern void sp_training_add(SpTraining *training, MemoryContext context);

/* An error if training on so many points would take too much memory, theirs included. */
extern void sp_training_check_memory(const SpTraining *training, uint64 points);

#endif
