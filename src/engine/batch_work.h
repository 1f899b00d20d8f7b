/*
 * batch_work.h
 *	  What batch kernels are lent: memory of a context that ends with the work, and an end when
 *	  the query is cancelled.
 */
#ifndef SP_BATCH_WORK_H
#define SP_BATCH_WORK_H

#include "postgres.h"

#include "kernel/batch/batch.h"

typedef struct SpBatchWork
{
	SpWork		work;			/* first */
	MemoryContext context;
	const char *method;			/* for errors */
	double		allowed;		/* bytes at once */
} SpBatchWork;

/* Lend to a method; the context is the current one's child. */
extern void sp_batch_work_begin(SpBatchWork *work, const char *method);
extern void sp_batch_work_end(SpBatchWork *work);

/* An error where that is more than streamproc.max_batch_memory. */
extern void sp_batch_work_limit(const char *method, double bytes);

/*
 * Are these numbers a point?  Not where one isn't finite; very large ones, which would have no
 * finite squares, are taken for SP_BATCH_MAX.
 */
extern bool sp_batch_work_accept(double *x, int d);

#endif
