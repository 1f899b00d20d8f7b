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
#include "kernel/online/ewma.h"

#include "fuzz.h"

#define MAX_VALUES		5
#define NFUNCTIONS		(SP_AGG_STDDEV_SAMP + 1)
#define NTYPES			(SP_AGG_FLOAT8 + 1)
#define EWMA			255		/* the kernel's number in an input */

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

/* Write a state, read it, write it again. */
static void
write_ewma(const SpEwma *state)
{
	char	   *written = malloc(SP_EWMA_WRITTEN_SIZE);
	const char *end = written + SP_EWMA_WRITTEN_SIZE;
	SpEwma		read;

	demand(sp_ewma_write(state, written) == end);
	demand(sp_ewma_read(&read, written, end) == end);
	demand(memcmp(&read, state, sizeof(SpEwma)) == 0);
	demand(sp_ewma_read(&read, written, end - 1) == NULL);
	free(written);
}

/* Score and learn a value: the results are within their ranges. */
static void
advance_ewma(SpEwma *state, const SpEwmaParams *params, double x, SpDirection direction)
{
	SpEwma		before = *state;
	SpScore		score;

	if (sp_ewma_score(state, params, x, direction, SP_EWMA_THRESHOLD, &score))
	{
		demand(fabs(score.score) <= SP_SCORE_MAX);
		demand(score.p_value >= 0.0 && score.p_value <= 1.0);
		demand(direction != SP_DIRECTION_BOTH || score.score >= 0.0);
	}
	else
		demand(!isfinite(x));
	demand(memcmp(&before, state, sizeof(SpEwma)) == 0);
	if (!sp_ewma_learn(state, params, x))
		demand(memcmp(&before, state, sizeof(SpEwma)) == 0);
}

/* The state of the detector, or not. */
static void
try_ewma(FuzzInput *in)
{
	SpEwmaParams params;
	SpDirection direction = SP_DIRECTION_BOTH + take_below(in, 3);
	int			n = (int) take_below(in, MAX_VALUES);
	double		values[MAX_VALUES];
	size_t		size;
	char	   *bytes;
	SpEwma		state;
	const char *end;

	sp_ewma_default_params(&params);
	params.warmup = 2 + (int32_t) take_below(in, 4);
	params.alpha = sp_ewma_param_table[0].min +
		take_byte(in) / 255.0 * (sp_ewma_param_table[0].max - sp_ewma_param_table[0].min);
	take_bytes(in, values, sizeof(double) * (size_t) n);

	sp_ewma_init(&state, &params);
	for (int i = 0; i < n; i++)
		advance_ewma(&state, &params, values[i], direction);
	write_ewma(&state);

	size = input_left(in);
	bytes = fuzz_copy(in->next, size, 0);
	end = sp_ewma_read(&state, bytes, bytes + size);
	if (end != NULL)
	{
		demand(end == bytes + SP_EWMA_WRITTEN_SIZE);
		write_ewma(&state);
		for (int i = 0; i < n; i++)
			advance_ewma(&state, &params, values[i], direction);
		write_ewma(&state);
	}
	fuzz_free(bytes, 0);
}

void
fuzz_one(const uint8_t *data, size_t size)
{
	FuzzInput	in = {data, data + size};
	unsigned	number = take_byte(&in);
	const SpAggKernel *kernel;

	if (number == EWMA)
	{
		try_ewma(&in);
		return;
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
	for (int n = 0; n < 4; n++)
	{
		SpEwmaParams params;
		SpEwma		ewma;

		memset(bytes, 0, sizeof(bytes));
		bytes[0] = EWMA;
		bytes[1] = (uint8_t) n;
		bytes[2] = 1;
		bytes[4] = (uint8_t) (n * 80);
		sp_ewma_default_params(&params);
		sp_ewma_init(&ewma, &params);
		for (int i = 0; i < n; i++)
			(void) sp_ewma_learn(&ewma, &params, i * 1.5);
		(void) sp_ewma_write(&ewma, (char *) bytes + 13);
		fuzz_seed(bytes, 13 + SP_EWMA_WRITTEN_SIZE);
	}
}
