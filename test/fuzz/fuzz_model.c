/*
 * fuzz_model.c
 *	  Any bytes taken for a model: those that pass for one score any point, finitely.
 *
 * The fingerprint is put right first, for no bytes made by chance would have it.
 */
#include "fuzz.h"

#include <math.h>
#include <stdlib.h>

#include "kernel/batch/model.h"

#define NPOINTS		30
#define NCOLUMNS	3

/* Memory that a kernel was lent; what it leaves is taken back in the end. */
typedef struct Chunk
{
	struct Chunk *next;
	struct Chunk *last;
} Chunk;

static Chunk lent = {&lent, &lent};

static void *
lend(SpWork *work, size_t size)
{
	Chunk	   *chunk = malloc(sizeof(Chunk) + size);

	(void) work;
	chunk->next = lent.next;
	chunk->last = &lent;
	chunk->next->last = chunk->last->next = chunk;
	return chunk + 1;
}

static void
take_back(SpWork *work, void *memory)
{
	Chunk	   *chunk = (Chunk *) memory - 1;

	(void) work;
	chunk->next->last = chunk->last;
	chunk->last->next = chunk->next;
	free(chunk);
}

static void
check_nothing(SpWork *work)
{
	(void) work;
}

static double
take_number(FuzzInput *in)
{
	uint64_t	bits = take_uint64(in);
	double		x;

	memcpy(&x, &bits, sizeof(x));
	return isfinite(x) ? fmax(fmin(x, SP_BATCH_MAX), -SP_BATCH_MAX) : 1;
}

void
fuzz_one(const uint8_t *data, size_t size)
{
	SpModelView view;
	char	   *bytes = fuzz_copy(data, size, 0);
	FuzzInput	in = {data, data + size};

	if (size >= sizeof(SpModel))
		((SpModel *) bytes)->fingerprint = sp_model_fingerprint((SpModel *) bytes, size);
	if (sp_model_open((SpModel *) bytes, size, &view) == NULL)
	{
		double	   *x = malloc(5 * (size_t) view.d * sizeof(double));

		for (int j = 0; j < view.d; j++)
			x[j] = take_number(&in);
		demand(isfinite(sp_model_score(&view, x, x + 2 * view.d)));
		sp_model_explain(&view, x, x + view.d, x + 2 * view.d);
		for (int j = 0; j < view.d; j++)
			demand(isfinite(x[view.d + j]));
		free(x);
	}
	fuzz_free(bytes, 0);
}

/* A small model of each method. */
static void
seed_model(const SpModelKernel *kernel, uint64_t *random)
{
	SpWork		work = {lend, take_back, check_nothing};
	SpGather	gather;
	void	   *params = malloc(kernel->params_size + 1);
	void	   *body;
	size_t		body_size;
	SpModel    *model;

	sp_param_defaults(kernel->param_table, kernel->nparams, params, kernel->params_size);
	for (int i = 0; i < kernel->nparams; i++)
	{
		const SpParam *p = &kernel->param_table[i];

		if (p->type == SP_PARAM_INT && p->min > 0)
			*(int32_t *) ((char *) params + p->offset) = p->min > 5 ? (int32_t) p->min : 5;
	}
	sp_gather_begin(&gather, kernel->gathers, NCOLUMNS,
					kernel->sample != NULL ? kernel->sample(params, NCOLUMNS) : 0, 1);
	gather.room = NPOINTS;
	gather.x = malloc((size_t) sp_gather_size(&gather, NPOINTS));
	for (int i = 0; i < NPOINTS; i++)
	{
		uint8_t		byte[NCOLUMNS];
		double		x[NCOLUMNS];
		double		scratch[NCOLUMNS];

		fuzz_random(random, byte, sizeof(byte));
		for (int j = 0; j < NCOLUMNS; j++)
			x[j] = byte[j];
		sp_gather_add(&gather, x, scratch);
	}
	body = kernel->train(params, &gather, &work, &body_size);
	model = malloc(sp_model_size(kernel, body_size));
	sp_model_write(model, kernel, params, &gather, body, body_size);
	fuzz_seed(model, sp_model_size(kernel, body_size));
	while (lent.next != &lent)
		take_back(&work, lent.next + 1);
	free(model);
	free(gather.x);
	free(params);
}

void
fuzz_seeds(void)
{
	uint64_t	random = 11;

	for (const SpModelKernel *const *k = sp_model_kernels; *k != NULL; k++)
		seed_model(*k, &random);
}
