/*
 * fuzz_kernel.c
 *	  The durable form of the kernels' states: whatever the bytes are, what is read as a state
 *	  can be advanced, asked and written again, without undefined behaviour, and what was
 *	  written is read as it was.
 *
 * An input is a kernel, a few values, and the bytes of a state.
 */
#include <math.h>
#include <stdlib.h>

#include "kernel/aggregate.h"
#include "kernel/online/online.h"

#include "fuzz.h"

#define MAX_VALUES		5
#define NFUNCTIONS		(SP_AGG_STDDEV_SAMP + 1)
#define NTYPES			(SP_AGG_FLOAT8 + 1)
#define ONLINE			200		/* the first online kernel's number in an input */
#define MAX_STATE		((size_t) 1 << 20)

/* More values than can ever have come: states of so many need not be taken back. */
#define MANY			(INT64_C(1) << 61)

/* Values for an aggregate, as PostgreSQL would have them in a Datum. */
static int
take_values(FuzzInput *in, SpAggType type, SpValue *values)
{
	int			n = (int) take_below(in, MAX_VALUES);

	memset(values, 0, sizeof(SpValue) * MAX_VALUES);
	for (int i = 0; i < n; i++)
	{
		values[i].isnull = take_below(in, 8) == 7;
		values[i].bits = take_uint64(in);
		if (type == SP_AGG_INT2)
			values[i].bits = (uint64_t) (int16_t) values[i].bits;
		else if (type == SP_AGG_INT4 || type == SP_AGG_FLOAT4)
			values[i].bits = (uint64_t) (int32_t) values[i].bits;
	}
	return n;
}

/* How many values a state of integers stands for; 0 where nothing counts them. */
static int64_t
count_of(const SpAggKernel *kernel, const void *state)
{
	int64_t		count = 0;

	if (kernel->state_kind != SP_AGG_STATE_SUM_FLOAT &&
		kernel->state_kind != SP_AGG_STATE_MOMENTS && kernel->state_kind != SP_AGG_STATE_EXTREME)
		memcpy(&count, state, sizeof(count));
	return count;
}

/*
 * Are two states of the kernel equal?  Of two NaNs a sum may be either: which of them is up
 * to the compiler, and SQL can't tell them apart.
 */
static bool
same_state(const SpAggKernel *kernel, const void *a, const void *b)
{
	size_t		ndoubles = kernel->state_kind == SP_AGG_STATE_SUM_FLOAT ? 1 :
		kernel->state_kind == SP_AGG_STATE_MOMENTS ? 3 : 0;

	for (size_t i = 0; i < ndoubles; i++)
	{
		double		x = ((const double *) a)[i];
		double		y = ((const double *) b)[i];

		if (memcmp(&x, &y, sizeof(x)) != 0 && !(isnan(x) && isnan(y)))
			return false;
	}
	return memcmp((const double *) a + ndoubles, (const double *) b + ndoubles,
				  kernel->state_size - ndoubles * sizeof(double)) == 0;
}

/* Write a state, read it, write it again. */
static void
write_aggregate(const SpAggKernel *kernel, const void *state)
{
	size_t		size = sp_agg_written_size(kernel);
	char	   *written = malloc(size);
	char	   *again = malloc(size);
	void	   *read = malloc(kernel->state_size);

	demand(sp_agg_write(kernel, state, written) == written + size);
	demand(sp_agg_read(kernel, read, written, written + size) == written + size);
	demand(memcmp(read, state, kernel->state_size) == 0);
	demand(sp_agg_write(kernel, read, again) == again + size);
	demand(memcmp(written, again, size) == 0);
	demand(sp_agg_read(kernel, read, written, written + size - 1) == NULL);
	free(written);
	free(again);
	free(read);
}

/* Advance a state by values, one by one and at once. */
static void
advance_aggregate(const SpAggKernel *kernel, void *state, int n, const SpValue *values)
{
	void	   *many = malloc(kernel->state_size);
	SpAggError	error = SP_AGG_OK;
	SpAggError	error_many;
	SpAggResult result;
	int			done = 0;

	memcpy(many, state, kernel->state_size);
	while (done < n && (error = kernel->advance(state, &values[done])) == SP_AGG_OK)
		done++;
	demand(kernel->advance_many(many, n, values, 1, &error_many) == done);
	demand(error == error_many);
	demand(same_state(kernel, state, many));
	free(many);

	sp_agg_result(kernel, state, &result);
	if (result.kind == SP_AGG_RESULT_VARIANCE)
	{
		int16_t    *digits = malloc(sizeof(int16_t) * SP_AGG_MAX_DIGITS);
		int			ndigits = sp_agg_digits(result.squares, digits);

		demand(ndigits <= SP_AGG_MAX_DIGITS);
		for (int i = 0; i < ndigits; i++)
			demand(digits[i] >= 0 && digits[i] < 10000 && (i > 0 || digits[i] > 0));
		free(digits);
	}
}

/* The state of an aggregate, or not. */
static void
try_aggregate(FuzzInput *in, const SpAggKernel *kernel)
{
	SpValue		values[MAX_VALUES];
	int			n = take_values(in, kernel->type, values);
	size_t		size = input_left(in);
	char	   *bytes = fuzz_copy(in->next, size, 0);
	void	   *state = malloc(kernel->state_size);
	const char *end;

	sp_agg_init(kernel, state);
	advance_aggregate(kernel, state, n, values);
	write_aggregate(kernel, state);

	end = sp_agg_read(kernel, state, bytes, bytes + size);
	if (end != NULL)
	{
		demand(end == bytes + sp_agg_written_size(kernel));
		write_aggregate(kernel, state);
		advance_aggregate(kernel, state, n, values);
		if (count_of(kernel, state) < MANY)
			write_aggregate(kernel, state);
	}
	free(state);
	fuzz_free(bytes, 0);
}

/* ---- online kernels ---- */

/* A kernel at work. */
typedef struct Online
{
	const SpKernel *kernel;
	SpSetup		setup;
	size_t		size;
	void	   *params;
	void	   *state;
} Online;

/* Parameters within their ranges. */
static void
take_params(FuzzInput *in, const SpKernel *kernel, void *params)
{
	sp_online_defaults(kernel, params);
	for (int i = 0; i < kernel->nparams; i++)
	{
		const SpParam *p = &kernel->param_table[i];
		char	   *to = (char *) params + p->offset;
		unsigned	byte = take_byte(in);
		double		value = p->min + (p->max - p->min) * pow(byte / 255.0, 8);
		int32_t		n = 0;

		if (byte % 2 == 0)
			continue;
		while (p->choices != NULL && p->choices[n] != NULL)
			n++;
		if (p->type == SP_PARAM_FLOAT)
			*(double *) to = value;
		else if (p->type == SP_PARAM_INTERVAL)
			*(int64_t *) to = (int64_t) value;
		else
			*(int32_t *) to = n > 0 ? (int32_t) byte % n : (int32_t) value;
	}
}

/* False: the parameters don't go together, or the state would be large. */
static bool
open_online(FuzzInput *in, Online *o, const SpKernel *kernel)
{
	o->kernel = kernel;
	o->params = malloc(kernel->params_size + 1);
	take_params(in, kernel, o->params);
	o->setup.params = o->params;
	o->setup.n = kernel->takes == SP_TAKES_FEATURES || kernel->takes == SP_TAKES_EITHER ? 1 + (int) take_below(in, 3) : 1;
	o->setup.escape = (int32_t) take_below(in, 4) * 3;
	o->setup.direction = kernel->has_direction ? SP_DIRECTION_BOTH + take_below(in, 3) :
		SP_DIRECTION_BOTH;
	o->setup.explain_all = take_below(in, 2) == 1;
	o->setup.is_fine = o->setup.explain_all;
	o->setup.looks_ahead = o->setup.explain_all;
	o->size = sp_online_state_size(kernel, o->params, o->setup.n);
	if ((kernel->conflict != NULL && kernel->conflict(o->params, o->setup.n) != NULL) ||
		o->size > MAX_STATE)
	{
		free(o->params);
		return false;
	}
	o->setup.threshold = sp_online_threshold(kernel, o->params, o->setup.n);
	o->state = malloc(o->size);
	sp_online_init(kernel, o->state, &o->setup);
	return true;
}

/* Write a state, read it, write it again. */
static void
write_online(const Online *o)
{
	size_t		size = sp_online_written_size(o->kernel, &o->setup);
	char	   *written = malloc(size);
	void	   *read = malloc(o->size);

	demand(sp_online_write(o->kernel, o->state, &o->setup, written) == written + size);
	demand(sp_online_read(o->kernel, read, &o->setup, written, written + size) == written + size);
	demand(memcmp(read, o->state, o->size) == 0);
	demand(sp_online_read(o->kernel, read, &o->setup, written, written + size - 1) == NULL);
	free(written);
	free(read);
}

/* Score and learn a point: the results are within their ranges, and only learning changes. */
static void
advance_online(Online *o, const SpPoint *point)
{
	static SpExplanation why;
	void	   *before = malloc(o->size);
	SpScore		score;

	memcpy(before, o->state, o->size);
	o->kernel->score(o->state, &o->setup, point, &score, &why);
	demand(fabs(score.score) <= SP_SCORE_MAX);
	demand(memcmp(before, o->state, o->size) == 0);
	if (!o->kernel->learn(o->state, &o->setup, point))
		demand(memcmp(before, o->state, o->size) == 0);
	if (o->kernel->pass != NULL)
		o->kernel->pass(o->state, &o->setup, point);
	(void) sp_online_learned(o->kernel, o->state, &o->setup);
	demand(o->kernel->is_sound(o->state, &o->setup));
	free(before);
}

/* Points for a state. */
static void
advance_by_input(FuzzInput *in, Online *o)
{
	int			n = (int) take_below(in, MAX_VALUES);
	double		x[SP_MAX_FEATURES] = {0};
	SpPoint		point = {0, 0, x};

	for (int i = 0; i < n; i++)
	{
		take_bytes(in, x, sizeof(double) * (size_t) o->setup.n);
		point.time = (int64_t) take_uint64(in);
		point.local = point.time;
		if (sp_online_is_finite(x, o->setup.n) && point.time != INT64_MIN &&
			point.time != INT64_MAX)
			advance_online(o, &point);
	}
}

/* The state of a detector, or not. */
static void
try_online(FuzzInput *in, const SpKernel *kernel)
{
	FuzzInput	again;
	Online		o;
	size_t		size;
	char	   *bytes;

	if (!open_online(in, &o, kernel))
		return;
	again = *in;
	advance_by_input(in, &o);
	write_online(&o);

	size = input_left(in);
	bytes = fuzz_copy(in->next, size, 0);
	if (sp_online_read(kernel, o.state, &o.setup, bytes, bytes + size) != NULL)
	{
		write_online(&o);
		advance_by_input(&again, &o);
		write_online(&o);
	}
	free(o.state);
	free(o.params);
	fuzz_free(bytes, 0);
}

void
fuzz_one(const uint8_t *data, size_t size)
{
	FuzzInput	in = {data, data + size};
	unsigned	number = take_byte(&in);
	const SpAggKernel *kernel;

	for (unsigned i = 0; sp_online_kernels[i] != NULL; i++)
	{
		if (number == ONLINE + i)
		{
			try_online(&in, sp_online_kernels[i]);
			return;
		}
	}
	kernel = sp_agg_find((SpAggFunction) (number / NTYPES), (SpAggType) (number % NTYPES));
	if (kernel != NULL)
		try_aggregate(&in, kernel);
}

/* The largest value of a type. */
static uint64_t
largest(SpAggType type)
{
	double		real = 1.7e308;
	float		small = 3.4e38f;
	uint64_t	bits = INT64_MAX;

	if (type == SP_AGG_FLOAT8)
		memcpy(&bits, &real, sizeof(real));
	else if (type == SP_AGG_FLOAT4)
		memcpy(&bits, &small, sizeof(small));
	return bits;
}

/* Default parameters, no points, and a state that a few points have led to. */
static void
seed_online(unsigned number, const SpKernel *kernel, uint64_t *random)
{
	size_t		head = 1 + (size_t) kernel->nparams + (kernel->takes == SP_TAKES_FEATURES || kernel->takes == SP_TAKES_EITHER) +
		kernel->has_direction + 1;
	uint8_t    *zeros = calloc(1, head);
	FuzzInput	in = {zeros + 1, zeros + head};
	double		x[SP_MAX_FEATURES];
	SpPoint		point = {0, 0, x};
	Online		o;

	if (open_online(&in, &o, kernel))
	{
		size_t		size = head + sp_online_written_size(kernel, &o.setup);
		uint8_t    *seed = malloc(size);

		for (int i = 0; i < 40; i++)
		{
			for (int f = 0; f < SP_MAX_FEATURES; f++)
			{
				uint8_t		byte;

				fuzz_random(random, &byte, 1);
				x[f] = byte;
			}
			point.time = point.local = i * INT64_C(60000000);
			(void) kernel->learn(o.state, &o.setup, &point);
		}
		memcpy(seed, zeros, head);
		seed[0] = (uint8_t) number;
		(void) sp_online_write(kernel, o.state, &o.setup, (char *) seed + head);
		fuzz_seed(seed, size);
		free(seed);
		free(o.state);
		free(o.params);
	}
	free(zeros);
}

/*
 * Of each kernel a state that a value has led to, any or the largest, with the same value to
 * go on with; and as many values as can be counted.
 */
void
fuzz_seeds(void)
{
	uint64_t	state = 3;
	uint8_t		bytes[128];

	for (unsigned number = 0; number < NFUNCTIONS * NTYPES; number++)
	{
		const SpAggKernel *kernel = sp_agg_find((SpAggFunction) (number / NTYPES),
												(SpAggType) (number % NTYPES));
		SpValue		value = {0, false};
		uint64_t	aggregate[SP_AGG_MAX_STATE_SIZE / 8];
		char	   *end;

		if (kernel == NULL)
			continue;
		for (int i = 0; i < 3; i++)
		{
			fuzz_random(&state, bytes, sizeof(bytes));
			bytes[0] = (uint8_t) number;
			bytes[1] = 1;
			bytes[2] = 0;
			memcpy(&value.bits, bytes + 3, sizeof(value.bits));
			if (i > 0)
				value.bits = largest(kernel->type);
			memcpy(bytes + 3, &value.bits, sizeof(value.bits));
			sp_agg_init(kernel, aggregate);
			(void) kernel->advance(aggregate, &value);
			if (i > 1)
				aggregate[0] = INT64_MAX;
			end = sp_agg_write(kernel, aggregate, (char *) bytes + 11);
			fuzz_seed(bytes, (size_t) (end - (char *) bytes));
		}
	}
	for (unsigned i = 0; sp_online_kernels[i] != NULL; i++)
		seed_online(ONLINE + i, sp_online_kernels[i], &state);
}
