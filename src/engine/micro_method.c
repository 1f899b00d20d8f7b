/*
 * micro_method.c
 *	  Batch methods as detectors use them.
 *
 * To all that looks at methods each of them is a kernel like the online ones, made of what the
 * batch kernel says of itself.
 */
#include "engine/micro_method.h"

#include <math.h>

#include "base/guc.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/memutils.h"

/* SpKernel.is_sound */
static bool
is_count(const void *state, const SpSetup *setup)
{
	return *(const int64_t *) state >= 0;
}

/* NaN: the user must give one. */
static double
find_threshold(const SpBatchKernel *batch)
{
	if (batch->is_label)
		return SP_BATCH_LABEL_THRESHOLD;
	return batch->stream_threshold != 0 ? batch->stream_threshold : get_float8_nan();
}

/* A batch method in the form of a kernel. */
static SpKernel *
make_kernel(const SpBatchKernel *batch)
{
	SpKernel   *kernel = palloc0(sizeof(SpKernel));

	kernel->name = batch->name;
	kernel->summary = batch->is_label ?
		psprintf("1 for noise, else 0, where %s() tells %s", batch->name, batch->summary) :
		batch->summary;
	kernel->reference = batch->reference;
	kernel->takes = SP_TAKES_FEATURES;
	kernel->version = 1;
	kernel->nparams = batch->nparams;
	kernel->param_table = batch->param_table;
	kernel->params_size = batch->params_size;
	kernel->threshold = find_threshold(batch);
	kernel->state_size = sizeof(int64_t);
	kernel->is_sound = is_count;
	kernel->batch = batch;
	return kernel;
}

static const SpKernel *const *
make_list(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	const SpKernel **list;
	int			n = 0;

	for (const SpKernel *const *k = sp_online_kernels; *k != NULL; k++)
		n++;
	for (const SpKernel *const *k = sp_batch_point_kernels; *k != NULL; k++)
		n++;
	for (const SpBatchKernel *const *b = sp_batch_kernels; *b != NULL; b++)
		n++;
	list = palloc0(sizeof(SpKernel *) * (n + 1));
	n = 0;
	for (const SpKernel *const *k = sp_online_kernels; *k != NULL; k++)
		list[n++] = *k;
	for (const SpKernel *const *k = sp_batch_point_kernels; *k != NULL; k++)
		list[n++] = *k;
	for (const SpBatchKernel *const *b = sp_batch_kernels; *b != NULL; b++)
	{
		if ((*b)->max_columns != 1 && !(*b)->is_series && sp_online_find((*b)->name) == NULL)
			list[n++] = make_kernel(*b);
	}
	MemoryContextSwitchTo(old);
	return list;
}

const SpKernel *const *
sp_micro_kernels(void)
{
	static const SpKernel *const *list = NULL;

	if (list == NULL)
		list = make_list();
	return list;
}

double
sp_micro_memory(const SpMethod *method, double n)
{
	const SpJudge *judge = &method->judge;

	return n * sizeof(double) * (judge->setup.n + 1.0) +
		judge->kernel->batch->memory(judge->setup.params, n, judge->setup.n);
}

Size
sp_micro_history_size(const SpMethod *method)
{
	const SpJudge *judge = &method->judge;

	if (judge->kernel == NULL || judge->kernel->batch == NULL)
		return 0;
	return method->history_rows * (sizeof(int64) + sizeof(double) * judge->setup.n);
}

char *
sp_micro_memory_message(const SpMethod *method, double bytes)
{
	return psprintf("%s would take about %.0f MB for a key, and may take %.0f MB "
					"(streamproc.max_batch_memory)", method->name, bytes / 1048576,
					sp_guc_max_batch_memory / 1024.0);
}
