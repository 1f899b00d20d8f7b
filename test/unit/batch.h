/*
 * batch.h
 *	  What tests of batch kernels need: memory that is counted, and a kernel at work.
 */
#ifndef SP_UNIT_BATCH_H
#define SP_UNIT_BATCH_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/batch/kernels.h"
#include "unit.h"

/* Memory that a kernel was lent; what it leaves is taken back in the end. */
typedef struct Chunk
{
	struct Chunk *next;
	struct Chunk *last;
	size_t		size;
	size_t		unused;			/* so that what follows is aligned to 16 bytes */
} Chunk;

typedef struct Lending
{
	SpWork		work;			/* first */
	Chunk		chunks;			/* a ring */
	double		used;
	double		most;
	int			checks;
} Lending;

static void *
lend(SpWork *work, size_t size)
{
	Lending    *l = (Lending *) work;
	Chunk	   *chunk = malloc(sizeof(Chunk) + size);

	chunk->size = size;
	chunk->next = l->chunks.next;
	chunk->last = &l->chunks;
	chunk->next->last = chunk;
	l->chunks.next = chunk;
	l->used += (double) size;
	l->most = l->used > l->most ? l->used : l->most;
	memset(chunk + 1, 0x7f, size);
	return chunk + 1;
}

static void
take_back(SpWork *work, void *memory)
{
	Chunk	   *chunk = (Chunk *) memory - 1;

	((Lending *) work)->used -= (double) chunk->size;
	chunk->next->last = chunk->last;
	chunk->last->next = chunk->next;
	free(chunk);
}

static void
count_check(SpWork *work)
{
	((Lending *) work)->checks++;
}

static inline void
begin_lending(Lending *l)
{
	memset(l, 0, sizeof(Lending));
	l->work.allocate = lend;
	l->work.release = take_back;
	l->work.check = count_check;
	l->chunks.next = l->chunks.last = &l->chunks;
}

static inline void
end_lending(Lending *l)
{
	while (l->chunks.next != &l->chunks)
		take_back(&l->work, l->chunks.next + 1);
}

/* The defaults, and what there is no default for. */
static inline void *
make_params(const SpBatchKernel *kernel)
{
	void	   *params = malloc(kernel->params_size + 1);

	sp_batch_defaults(kernel, params);
	for (int i = 0; i < kernel->nparams; i++)
	{
		const SpParam *p = &kernel->param_table[i];

		if (p->type == SP_PARAM_FLOAT && isnan(p->default_value))
			*(double *) ((char *) params + p->offset) = 1.0;
		else if (p->type == SP_PARAM_INT && isnan(p->default_value))
			*(int32_t *) ((char *) params + p->offset) = 7;
	}
	return params;
}

/* Score n points of d columns; to be freed.  The memory is what the kernel has said, or less. */
static inline double *
score_points(const SpBatchKernel *kernel, const void *params, const double *x, size_t n, int d)
{
	SpMatrix	points = {x, n, d};
	double	   *scores = malloc(n * sizeof(double));
	Lending		l;

	begin_lending(&l);
	kernel->score(params, &points, scores, &l.work);
	check(l.most <= kernel->memory(params, (double) n, d));
	if (l.most > kernel->memory(params, (double) n, d))
		fprintf(stderr, "%s: %.0f of %.0f for %zu x %d\n", kernel->name, l.most,
				kernel->memory(params, (double) n, d), n, d);
	end_lending(&l);
	return scores;
}

#endif
