/*
 * batch_work.c
 *	  Memory for batch kernels.
 */
#include "engine/batch_work.h"

#include <math.h>

#include "base/guc.h"
#include "miscadmin.h"
#include "utils/memutils.h"

static double
allowed_memory(void)
{
	return sp_guc_max_batch_memory * 1024.0;
}

void
sp_batch_work_limit(const char *method, double bytes)
{
	if (bytes > allowed_memory())
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("%s() would take about %.0f MB, and may take %.0f MB", method,
						ceil(bytes / 1048576), allowed_memory() / 1048576),
				 errhint("Raise streamproc.max_batch_memory, or detect in partitions.")));
}

static void *
allocate(SpWork *work, size_t size)
{
	SpBatchWork *w = (SpBatchWork *) work;

	if ((double) size > w->allowed)
		sp_batch_work_limit(w->method, (double) size);
	return MemoryContextAllocHuge(w->context, Max(size, 1));
}

static void
release(SpWork *work, void *memory)
{
	pfree(memory);
}

static void
check(SpWork *work)
{
	CHECK_FOR_INTERRUPTS();
}

void
sp_batch_work_begin(SpBatchWork *work, const char *method)
{
	work->work.allocate = allocate;
	work->work.release = release;
	work->work.check = check;
	work->context = AllocSetContextCreate(CurrentMemoryContext, "streamproc batch detector",
										  ALLOCSET_DEFAULT_SIZES);
	work->method = method;
	work->allowed = allowed_memory();
}

void
sp_batch_work_end(SpBatchWork *work)
{
	MemoryContextDelete(work->context);
}

bool
sp_batch_work_accept(double *x, int d)
{
	for (int j = 0; j < d; j++)
	{
		if (!isfinite(x[j]))
			return false;
		x[j] = Max(Min(x[j], SP_BATCH_MAX), -SP_BATCH_MAX);
	}
	return true;
}
