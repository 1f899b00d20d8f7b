/*
 * online.c
 *	  The list of online kernels, and what is the same for all of them.
 */
#include "kernel/online/online.h"

#include <math.h>
#include <string.h>

#include "kernel/online/adwin.h"
#include "kernel/online/cusum.h"
#include "kernel/online/ensemble.h"
#include "kernel/online/ewma.h"
#include "kernel/online/half_space_trees.h"
#include "kernel/online/holt_winters.h"
#include "kernel/online/iqr.h"
#include "kernel/online/mad.h"
#include "kernel/online/mahalanobis.h"
#include "kernel/online/page_hinkley.h"
#include "kernel/online/random_cut_forest.h"
#include "kernel/online/records.h"
#include "kernel/online/seasonal.h"
#include "kernel/online/silence.h"
#include "kernel/online/spot.h"
#include "kernel/online/velocity.h"
#include "kernel/online/zscore.h"

#define HEADER_SIZE (2 * sizeof(uint32_t))

const SpKernel *const sp_online_kernels[] = {
	&sp_kernel_records,
	&sp_kernel_ewma,
	&sp_kernel_spot,
	&sp_kernel_dspot,
	&sp_kernel_zscore,
	&sp_kernel_mad,
	&sp_kernel_iqr,
	&sp_kernel_velocity,
	&sp_kernel_silence,
	&sp_kernel_cusum,
	&sp_kernel_page_hinkley,
	&sp_kernel_adwin,
	&sp_kernel_holt_winters,
	&sp_kernel_seasonal,
	&sp_kernel_mahalanobis,
	&sp_kernel_half_space_trees,
	&sp_kernel_random_cut_forest,
	&sp_kernel_ensemble,
	NULL
};

/* The kernel of that name, or NULL. */
const SpKernel *
sp_online_find(const char *name)
{
	for (const SpKernel *const *k = sp_online_kernels; *k != NULL; k++)
	{
		if (strcmp((*k)->name, name) == 0)
			return *k;
	}
	return NULL;
}

/* Fill in the defaults of a table. */
void
sp_param_defaults(const SpParam *table, int n, void *params, size_t size)
{
	memset(params, 0, size);
	for (int i = 0; i < n; i++)
	{
		const SpParam *p = &table[i];
		char	   *to = (char *) params + p->offset;

		if (p->type == SP_PARAM_FLOAT)
			*(double *) to = p->default_value;
		else if (isnan(p->default_value))
			continue;
		else if (p->type == SP_PARAM_INTERVAL)
			*(int64_t *) to = (int64_t) p->default_value;
		else
			*(int32_t *) to = (int32_t) p->default_value;
	}
}

double
sp_online_threshold(const SpKernel *kernel, const void *params, int n)
{
	return kernel->get_threshold != NULL ? kernel->get_threshold(params, n) : kernel->threshold;
}

size_t
sp_online_state_size(const SpKernel *kernel, const void *params, int n)
{
	return kernel->get_state_size != NULL ? kernel->get_state_size(params, n) : kernel->state_size;
}

/* How many points were learned. */
int64_t
sp_online_learned(const SpKernel *kernel, const void *state, const SpSetup *setup)
{
	int64_t		count;

	if (kernel->get_learned != NULL)
		return kernel->get_learned(state, setup);
	memcpy(&count, state, sizeof(count));
	return count;
}

/* How many points it takes to be ready. */
int64_t
sp_online_needed(const SpKernel *kernel, const void *params, int n)
{
	if (kernel->get_needed != NULL)
		return kernel->get_needed(params, n);
	for (int i = 0; i < kernel->nparams; i++)
	{
		const SpParam *p = &kernel->param_table[i];

		if (p->type == SP_PARAM_INT && strcmp(p->name, "warmup") == 0)
			return *(const int32_t *) ((const char *) params + p->offset);
	}
	return 0;
}

void
sp_online_defaults(const SpKernel *kernel, void *params)
{
	sp_param_defaults(kernel->param_table, kernel->nparams, params, kernel->params_size);
}

/* Zero a state and initialize it. */
void
sp_online_init(const SpKernel *kernel, void *state, const SpSetup *setup)
{
	memset(state, 0, sp_online_state_size(kernel, setup->params, setup->n));
	if (kernel->init != NULL)
		kernel->init(state, setup);
}

/* Score and learn. */
bool
sp_online_step(const SpKernel *kernel, void *state, const SpSetup *setup, const SpPoint *point,
			   SpScore *result, SpExplanation *why)
{
	if (kernel->step != NULL)
		return kernel->step(state, setup, point, result, why);
	kernel->score(state, setup, point, result, why);
	return kernel->learn(state, setup, point);
}

/* Are all n numbers finite? */
bool
sp_online_is_finite(const double *x, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (!isfinite(x[i]))
			return false;
	}
	return true;
}

/* ---- durable form ---- */

size_t
sp_online_written_size(const SpKernel *kernel, const SpSetup *setup)
{
	return HEADER_SIZE + sp_online_state_size(kernel, setup->params, setup->n);
}

/* Write the durable form; returns its end. */
char *
sp_online_write(const SpKernel *kernel, const void *state, const SpSetup *setup, char *to)
{
	uint32_t	size = (uint32_t) sp_online_state_size(kernel, setup->params, setup->n);

	memcpy(to, &kernel->version, sizeof(uint32_t));
	memcpy(to + sizeof(uint32_t), &size, sizeof(uint32_t));
	memcpy(to + HEADER_SIZE, state, size);
	return to + HEADER_SIZE + size;
}

/* Read the durable form; returns its end, or NULL when it isn't one. */
const char *
sp_online_read(const SpKernel *kernel, void *state, const SpSetup *setup, const char *from,
			   const char *end)
{
	size_t		expected = sp_online_state_size(kernel, setup->params, setup->n);
	uint32_t	version;
	uint32_t	size;

	if (from > end || (size_t) (end - from) < HEADER_SIZE + expected)
		return NULL;
	memcpy(&version, from, sizeof(uint32_t));
	memcpy(&size, from + sizeof(uint32_t), sizeof(uint32_t));
	if (version != kernel->version || size != expected)
		return NULL;
	memcpy(state, from + HEADER_SIZE, size);
	if (!kernel->is_sound(state, setup))
		return NULL;
	return from + HEADER_SIZE + size;
}

/* ---- for kernels ---- */

/* Nothing is known. */
void
sp_online_clear_score(SpScore *result)
{
	result->score = 0.0;
	result->expected = NAN;
	result->lower_bound = NAN;
	result->upper_bound = NAN;
	result->ready = false;
}

/* Nothing is known of n features. */
void
sp_online_clear_explanation(SpExplanation *why, int n)
{
	why->nparts = 0;
	for (int i = 0; i < n; i++)
		why->expected[i] = why->lower[i] = why->upper[i] = why->nearest[i] = NAN;
}
