/*
 * model.c
 *	  The head of models, and the list of methods that make them.
 */
#include "kernel/batch/model.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/batch/covariance.h"
#include "kernel/batch/ecod_model.h"
#include "kernel/batch/isolation_model.h"
#include "kernel/batch/loda.h"
#include "kernel/batch/marginal.h"
#include "kernel/batch/mcd.h"

const SpModelKernel *const sp_model_kernels[] = {
	&sp_model_isolation_forest,
	&sp_model_extended_isolation_forest,
	&sp_model_hbos,
	&sp_model_ecod,
	&sp_model_pca,
	&sp_model_mahalanobis,
	&sp_model_mcd,
	&sp_model_loda,
	NULL
};

const SpModelKernel *
sp_model_find(const char *name)
{
	for (const SpModelKernel *const *k = sp_model_kernels; *k != NULL; k++)
	{
		if (strcmp((*k)->name, name) == 0)
			return *k;
	}
	return NULL;
}

static const SpModelKernel *
find_number(int number)
{
	for (const SpModelKernel *const *k = sp_model_kernels; *k != NULL; k++)
	{
		if ((*k)->number == number)
			return *k;
	}
	return NULL;
}

static size_t
get_head_size(const SpModelKernel *kernel)
{
	return sizeof(SpModel) + (kernel->params_size + 7) / 8 * 8;
}

size_t
sp_model_size(const SpModelKernel *kernel, size_t body_size)
{
	return get_head_size(kernel) + body_size;
}

/* Words are mixed in one after the other; the last one is filled up with zeros. */
uint64_t
sp_model_fingerprint(const SpModel *model, size_t size)
{
	SpModel		head = *model;
	uint64_t	print = size;
	uint64_t	word;

	head.fingerprint = 0;
	for (size_t at = 0; at < size; at += sizeof(word))
	{
		size_t		length = size - at < sizeof(word) ? size - at : sizeof(word);
		const char *from = at < sizeof(head) ? (const char *) &head + at : (const char *) model + at;

		word = 0;
		memcpy(&word, from, length);
		print = sp_random_mix(print + word * SP_RANDOM_ODD) + SP_RANDOM_STEP;
	}
	return print;
}

void
sp_model_write(SpModel *model, const SpModelKernel *kernel, const void *params,
			   const SpGather *gather, const void *body, size_t body_size)
{
	size_t		size = sp_model_size(kernel, body_size);

	memset(model, 0, get_head_size(kernel));
	model->magic = SP_MODEL_MAGIC;
	model->version = SP_MODEL_VERSION;
	model->method = kernel->number;
	model->d = gather->d;
	model->params_size = (uint32_t) kernel->params_size;
	model->n = gather->n;
	if (kernel->params_size > 0)
		memcpy(model + 1, params, kernel->params_size);
	memcpy((char *) model + get_head_size(kernel), body, body_size);
	model->fingerprint = sp_model_fingerprint(model, size);
}

/* Are the parameters within their ranges? */
static bool
are_params_sound(const SpModelKernel *kernel, const void *params)
{
	for (int i = 0; i < kernel->nparams; i++)
	{
		const SpParam *p = &kernel->param_table[i];
		const char *from = (const char *) params + p->offset;
		double		value = p->type == SP_PARAM_FLOAT ? *(const double *) from :
			*(const int32_t *) from;

		if (!(value >= p->min && value <= p->max))
			return false;
	}
	return true;
}

const char *
sp_model_open(const SpModel *model, size_t size, SpModelView *view)
{
	const SpModelKernel *kernel;

	if (size < sizeof(SpModel))
		return "it is too short";
	if (model->magic != SP_MODEL_MAGIC)
		return "it doesn't begin as a model does";
	if (model->version != SP_MODEL_VERSION)
		return "its version isn't known";
	kernel = find_number(model->method);
	if (kernel == NULL)
		return "its method isn't known";
	if (model->params_size != kernel->params_size || size < get_head_size(kernel))
		return "its parameters aren't those of its method";
	if (model->fingerprint != sp_model_fingerprint(model, size))
		return "it isn't as it was written";
	if (model->d < 1 || model->d > SP_BATCH_MAX_COLUMNS || model->n < 1 ||
		model->n > SP_MODEL_MAX_ROWS || !are_params_sound(kernel, model + 1))
		return "what it says of itself isn't possible";
	view->kernel = kernel;
	view->params = model + 1;
	view->body = (const char *) model + get_head_size(kernel);
	view->size = size - get_head_size(kernel);
	view->n = model->n;
	view->d = model->d;
	return kernel->is_sound(view) ? NULL : "training can't have made it";
}

/* Finite. */
static double
limit(double x)
{
	return x < -DBL_MAX ? -DBL_MAX : x <= DBL_MAX ? x : DBL_MAX;
}

double
sp_model_score(const SpModelView *model, const double *x, double *scratch)
{
	return limit(model->kernel->score(model, x, scratch));
}

void
sp_model_explain(const SpModelView *model, const double *x, double *parts, double *scratch)
{
	model->kernel->explain(model, x, parts, scratch);
	for (int j = 0; j < model->d; j++)
		parts[j] = limit(parts[j]);
}
