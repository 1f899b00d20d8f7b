/*
 * fuzz_batch.c
 *	  Any points and parameters to the batch kernels, and any bytes as forests.
 *
 * A kernel takes no more memory than it has said, and leaves points and parameters as they are;
 * scores are finite, or none where that may be.  Bytes that are taken for a forest give finite
 * scores for any point.
 */
#include "fuzz.h"

#include <math.h>
#include <stdlib.h>

#include "kernel/batch/extended_isolation_forest.h"
#include "kernel/batch/isolation_forest.h"
#include "kernel/batch/kernels.h"

#define MAX_POINTS	48
#define MAX_WIDTH	5
#define MAX_INT		300			/* of parameters, so that it doesn't take long */
#define MAX_MEMORY	5e7
#define FORESTS		200			/* numbers of what isn't a kernel */

/* Memory that is counted; its size stands before it. */
typedef struct Lending
{
	SpWork		work;			/* first */
	double		used;
	double		most;
	void	   *chunks;			/* a list */
} Lending;

typedef struct Chunk
{
	struct Chunk *next;
	struct Chunk **place;
	size_t		size;
	size_t		unused;
} Chunk;

static void *
lend(SpWork *work, size_t size)
{
	Lending    *l = (Lending *) work;
	Chunk	   *chunk = malloc(sizeof(Chunk) + size);

	chunk->size = size;
	chunk->next = l->chunks;
	chunk->place = (Chunk **) &l->chunks;
	if (chunk->next != NULL)
		chunk->next->place = &chunk->next;
	l->chunks = chunk;
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
	*chunk->place = chunk->next;
	if (chunk->next != NULL)
		chunk->next->place = chunk->place;
	free(chunk);
}

static void
pass(SpWork *work)
{
}

static void
begin_lending(Lending *l)
{
	memset(l, 0, sizeof(Lending));
	l->work.allocate = lend;
	l->work.release = take_back;
	l->work.check = pass;
}

static void
end_lending(Lending *l)
{
	while (l->chunks != NULL)
		take_back(&l->work, (Chunk *) l->chunks + 1);
}

/* A number of a point: small, extreme, or any. */
static double
take_number(FuzzInput *in)
{
	static const double extremes[] = {SP_BATCH_MAX, -SP_BATCH_MAX, 5e-324, -5e-324, 1e-160, 1e12,
	1e12 + 1, -1e77};
	unsigned	byte = take_byte(in);
	double		x;

	if (byte < 128)
		return (double) byte - 64;
	if (byte < 160)
		return extremes[byte % 8];
	if (byte < 200)
		return (byte - 180) / 7.0;
	take_bytes(in, &x, sizeof(x));
	return !isfinite(x) ? 0 : fmax(fmin(x, SP_BATCH_MAX), -SP_BATCH_MAX);
}

/* Parameters within their ranges, small ones mostly. */
static void
take_params(FuzzInput *in, const SpBatchKernel *kernel, void *params)
{
	sp_batch_defaults(kernel, params);
	for (int i = 0; i < kernel->nparams; i++)
	{
		const SpParam *p = &kernel->param_table[i];
		char	   *to = (char *) params + p->offset;
		unsigned	byte = take_byte(in);
		double		max = p->type == SP_PARAM_INT && p->max > MAX_INT && p->min >= -1 ? MAX_INT : p->max;
		double		value = p->min + (max - p->min) * pow(byte / 255.0, 4);
		int32_t		n = 0;

		/* some have no default */
		if (byte % 2 == 0 && !isnan(p->default_value))
			continue;
		while (p->choices != NULL && p->choices[n] != NULL)
			n++;
		if (p->type == SP_PARAM_FLOAT)
			*(double *) to = p->max > 1e6 ? fmin(p->max, p->min + exp((byte - 128.0) / 8)) : value;
		else
			*(int32_t *) to = n > 0 ? (int32_t) byte % n : (int32_t) value;
	}
}

static void
try_kernel(FuzzInput *in, const SpBatchKernel *kernel)
{
	void	   *params = calloc(1, kernel->params_size + 1);
	void	   *same_params = malloc(kernel->params_size + 1);
	size_t		n = 1 + take_below(in, MAX_POINTS);
	int			d = kernel->max_columns == 1 ? 1 : 1 + (int) take_below(in, MAX_WIDTH);
	double	   *x = malloc(n * (size_t) d * sizeof(double));
	double	   *same_x = malloc(n * (size_t) d * sizeof(double));
	double	   *scores = malloc(n * sizeof(double));
	SpMatrix	points = {x, n, d};
	Lending		l;

	take_params(in, kernel, params);
	memcpy(same_params, params, kernel->params_size + 1);
	for (size_t i = 0; i < n * (size_t) d; i++)
		x[i] = same_x[i] = take_number(in);
	if ((kernel->conflict == NULL || kernel->conflict(params) == NULL) &&
		kernel->memory(params, (double) n, d) < MAX_MEMORY)
	{
		begin_lending(&l);
		kernel->score(params, &points, scores, &l.work);
		demand(l.most <= kernel->memory(params, (double) n, d));
		end_lending(&l);
		for (size_t i = 0; i < n; i++)
		{
			bool		none = isnan(scores[i]) && (kernel->is_label || kernel->is_series);

			demand(none || isfinite(scores[i]));
			demand(!kernel->is_label || !(scores[i] < 0));
		}
		demand(memcmp(params, same_params, kernel->params_size + 1) == 0);
		demand(memcmp(x, same_x, n * (size_t) d * sizeof(double)) == 0);
	}
	free(scores);
	free(same_x);
	free(x);
	free(same_params);
	free(params);
}

/* Some points through what may be a forest. */
static void
try_forest(FuzzInput *in, bool is_extended)
{
	size_t		size = input_left(in);
	char	   *bytes = fuzz_copy(in->next, size, 0);
	const SpExtendedIsolationForest *extended = (SpExtendedIsolationForest *) bytes;
	const SpIsolationForest *plain = (SpIsolationForest *) bytes;
	bool		is_sound = is_extended ? sp_extended_isolation_forest_is_sound(extended, size) :
		sp_isolation_forest_is_sound(plain, size);

	if (is_sound)
	{
		size_t		d = (size_t) (is_extended ? extended->d : plain->d);
		double	   *x = malloc(5 * d * sizeof(double));
		double		scores[5];
		SpMatrix	points = {x, 5, (int) d};
		Lending		l;

		for (size_t i = 0; i < 5 * d; i++)
			x[i] = i < d ? 0 : i < 2 * d ? SP_BATCH_MAX : i < 3 * d ? -SP_BATCH_MAX : (double) i - 5;
		begin_lending(&l);
		if (is_extended)
			sp_extended_isolation_forest_score(extended, &points, scores, &l.work);
		else
			sp_isolation_forest_score(plain, &points, scores, &l.work);
		end_lending(&l);
		for (int i = 0; i < 5; i++)
			demand(isfinite(scores[i]));
		free(x);
	}
	fuzz_free(bytes, 0);
}

void
fuzz_one(const uint8_t *data, size_t size)
{
	FuzzInput	in = {data, data + size};
	unsigned	number = take_byte(&in);
	unsigned	nkernels = 0;

	while (sp_batch_kernels[nkernels] != NULL)
		nkernels++;
	if (number >= FORESTS)
		try_forest(&in, number % 2 == 0);
	else
		try_kernel(&in, sp_batch_kernels[number % nkernels]);
}

/* A forest of few points. */
static void
seed_forest(bool is_extended)
{
	SpExtendedIsolationForestParams extended = {2, 8, -1, 1};
	SpIsolationForestParams plain = {2, 8, 1};
	double		x[10 * 2];
	SpMatrix	points = {x, 10, 2};
	size_t		size = is_extended ? sp_extended_isolation_forest_size(&extended, 10, 2) :
		sp_isolation_forest_size(&plain, 10, 2);
	char	   *seed = malloc(size + 8);
	Lending		l;

	for (int i = 0; i < 10 * 2; i++)
		x[i] = i * i % 11;
	begin_lending(&l);
	if (is_extended)
		sp_extended_isolation_forest_train((SpExtendedIsolationForest *) (seed + 8), &extended,
										   &points, &l.work);
	else
		sp_isolation_forest_train((SpIsolationForest *) (seed + 8), &plain, &points, &l.work);
	end_lending(&l);
	seed[7] = (char) (FORESTS + !is_extended);
	fuzz_seed(seed + 7, size + 1);
	free(seed);
}

/* Of each kernel ordinary points, some of them equal, and extreme ones; forests. */
void
fuzz_seeds(void)
{
	uint64_t	state = 7;
	uint8_t		bytes[256];

	for (unsigned i = 0; sp_batch_kernels[i] != NULL; i++)
	{
		for (int round = 0; round < 3; round++)
		{
			fuzz_random(&state, bytes, sizeof(bytes));
			bytes[0] = (uint8_t) i;
			bytes[1] = round == 0 ? MAX_POINTS - 1 : bytes[1];
			for (size_t b = 8; b < sizeof(bytes) && round < 2; b++)
				bytes[b] = (uint8_t) (round == 0 ? bytes[b] % 128 : 64 + bytes[b] % 3);
			fuzz_seed(bytes, sizeof(bytes));
		}
	}
	seed_forest(true);
	seed_forest(false);
}
