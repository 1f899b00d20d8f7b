/*
 * aggregate.c
 *	  Running totals of the plain aggregates: count, sum, min, max, avg, variances.
 *
 * For each kind of state and type there is an inline step, which adds one value that
 * isn't null or leaves the state as it was and says why; DEFINE_ADVANCE makes of it
 * the function for one value and the loop over many, which keeps the state in
 * registers.
 */
#include "kernel/aggregate.h"

#include <math.h>
#include <string.h>

#include "kernel/aggregate_value.h"

#define STATE_VERSION	1		/* first byte of the durable form; the second is the kind */

#define MANY_VALUES		(INT64_C(1) << 62)

#define STATE_HAS_SIZE(type, size) \
	typedef char type##_has_padding[sizeof(type) == (size) ? 1 : -1]

STATE_HAS_SIZE(SpAggCount, 8);
STATE_HAS_SIZE(SpAggSum64, 16);
STATE_HAS_SIZE(SpAggSum128, 24);
STATE_HAS_SIZE(SpAggSquares, 48);
STATE_HAS_SIZE(SpAggSumFloat, 16);
STATE_HAS_SIZE(SpAggMoments, 24);
STATE_HAS_SIZE(SpAggExtreme, 16);

#define DEFINE_ADVANCE(name, State, value_of, step) \
static SpAggError \
advance_##name(void *state, const SpValue *value) \
{ \
	if (value->isnull) \
		return SP_AGG_OK; \
	return step((State *) state, value_of(value->bits)); \
} \
\
static int \
advance_many_##name(void *state, int n, const SpValue *values, int stride, SpAggError *error) \
{ \
	State		local = *(State *) state; \
	int			i; \
\
	*error = SP_AGG_OK; \
	for (i = 0; i < n; i++, values += stride) \
	{ \
		if (values->isnull) \
			continue; \
		*error = step(&local, value_of(values->bits)); \
		if (*error != SP_AGG_OK) \
			break; \
	} \
	*(State *) state = local; \
	return i; \
}

/* count(*) looks at no value, and has none. */
static SpAggError
advance_count_all(void *state, const SpValue *value)
{
	SpAggCount *count = state;

	(void) value;
	if (count->count == INT64_MAX)
		return SP_AGG_BIGINT_RANGE;
	count->count++;
	return SP_AGG_OK;
}

static int
advance_many_count_all(void *state, int n, const SpValue *values, int stride, SpAggError *error)
{
	SpAggCount *count = state;

	(void) values;
	(void) stride;
	*error = SP_AGG_OK;
	if (n > INT64_MAX - count->count)
	{
		n = (int) (INT64_MAX - count->count);
		*error = SP_AGG_BIGINT_RANGE;
	}
	count->count += n;
	return n;
}

static inline SpAggError
count_one(SpAggCount *state, uint64_t bits)
{
	(void) bits;
	return advance_count_all(state, NULL);
}

DEFINE_ADVANCE(count, SpAggCount, , count_one)

static inline SpAggError
add_to_sum64(SpAggSum64 *state, int64_t value)
{
	int64_t		sum;

	if (__builtin_add_overflow(state->sum, value, &sum))
		return SP_AGG_BIGINT_RANGE;
	state->sum = sum;
	state->count++;
	return SP_AGG_OK;
}

DEFINE_ADVANCE(sum_int2, SpAggSum64, int2_of, add_to_sum64)
DEFINE_ADVANCE(sum_int4, SpAggSum64, int4_of, add_to_sum64)

/* 2^64 values would be needed to overflow. */
static inline SpAggError
add_to_sum128(SpAggSum128 *state, int64_t value)
{
	state->sum += value;
	state->count++;
	return SP_AGG_OK;
}

DEFINE_ADVANCE(sum_int8, SpAggSum128, int8_of, add_to_sum128)

/* A square has up to 127 bits, so that already a few of int8 need the third word. */
static inline SpAggError
add_to_squares(SpAggSquares *state, int64_t value)
{
	SpUint128	square = (SpUint128) ((SpInt128) value * value);
	SpUint128	low = ((SpUint128) state->squares[1] << 64) | state->squares[0];
	SpUint128	total = low + square;

	state->squares[0] = (uint64_t) total;
	state->squares[1] = (uint64_t) (total >> 64);
	state->squares[2] += total < low;
	state->sum += value;
	state->count++;
	return SP_AGG_OK;
}

DEFINE_ADVANCE(squares_int2, SpAggSquares, int2_of, add_to_squares)
DEFINE_ADVANCE(squares_int4, SpAggSquares, int4_of, add_to_squares)
DEFINE_ADVANCE(squares_int8, SpAggSquares, int8_of, add_to_squares)

/* The first value becomes the sum: adding it to zero would lose the sign of -0. */
static inline SpAggError
add_float4(SpAggSumFloat *state, float value)
{
	float		old = (float) state->sum;
	float		sum = old + value;

	if (!state->seen)
		sum = value;
	else if (isinf(sum) && !isinf(old) && !isinf(value))
		return SP_AGG_FLOAT_OVERFLOW;
	state->sum = sum;
	state->seen = 1;
	return SP_AGG_OK;
}

static inline SpAggError
add_float8(SpAggSumFloat *state, double value)
{
	double		old = state->sum;
	double		sum = old + value;

	if (!state->seen)
		sum = value;
	else if (isinf(sum) && !isinf(old) && !isinf(value))
		return SP_AGG_FLOAT_OVERFLOW;
	state->sum = sum;
	state->seen = 1;
	return SP_AGG_OK;
}

DEFINE_ADVANCE(sum_float4, SpAggSumFloat, float4_of, add_float4)
DEFINE_ADVANCE(sum_float8, SpAggSumFloat, float8_of, add_float8)

/*
 * Youngs and Cramer, as float8_accum does: its order of operations, its overflow test
 * (also for avg, which doesn't need the squares), and NaN for the squares as soon as a
 * value isn't finite.
 */
static inline SpAggError
add_to_moments(SpAggMoments *state, double value)
{
	double		count = state->count + 1.0;
	double		sum = state->sum + value;
	double		squares = state->squares;

	if (state->count > 0.0)
	{
		double		tmp = value * count - sum;

		squares += tmp * tmp / (count * state->count);
		if (isinf(sum) || isinf(squares))
		{
			if (!isinf(state->sum) && !isinf(value))
				return SP_AGG_FLOAT_OVERFLOW;
			squares = NAN;
		}
	}
	else if (!isfinite(value))
		squares = NAN;

	state->count = count;
	state->sum = sum;
	state->squares = squares;
	return SP_AGG_OK;
}

DEFINE_ADVANCE(moments_float4, SpAggMoments, float4_of, add_to_moments)
DEFINE_ADVANCE(moments_float8, SpAggMoments, float8_of, add_to_moments)

static inline SpAggError
keep_smallest(SpAggExtreme *state, int64_t value)
{
	if (!state->seen || value < state->value.integer)
		state->value.integer = value;
	state->seen = 1;
	return SP_AGG_OK;
}

static inline SpAggError
keep_largest(SpAggExtreme *state, int64_t value)
{
	if (!state->seen || value > state->value.integer)
		state->value.integer = value;
	state->seen = 1;
	return SP_AGG_OK;
}

/*
 * NaN is larger than all numbers.  Of equal values the newer one stays, as with
 * float8smaller and float8larger: seen in 0 and -0.
 */
static inline SpAggError
keep_smallest_float(SpAggExtreme *state, double value)
{
	double		old = state->value.real;

	if (!state->seen || isnan(old) || !(isnan(value) || old < value))
		state->value.real = value;
	state->seen = 1;
	return SP_AGG_OK;
}

static inline SpAggError
keep_largest_float(SpAggExtreme *state, double value)
{
	double		old = state->value.real;

	if (!state->seen || isnan(value) || !(isnan(old) || old > value))
		state->value.real = value;
	state->seen = 1;
	return SP_AGG_OK;
}

DEFINE_ADVANCE(min_int2, SpAggExtreme, int2_of, keep_smallest)
DEFINE_ADVANCE(min_int4, SpAggExtreme, int4_of, keep_smallest)
DEFINE_ADVANCE(min_int8, SpAggExtreme, int8_of, keep_smallest)
DEFINE_ADVANCE(min_float4, SpAggExtreme, float4_of, keep_smallest_float)
DEFINE_ADVANCE(min_float8, SpAggExtreme, float8_of, keep_smallest_float)
DEFINE_ADVANCE(max_int2, SpAggExtreme, int2_of, keep_largest)
DEFINE_ADVANCE(max_int4, SpAggExtreme, int4_of, keep_largest)
DEFINE_ADVANCE(max_int8, SpAggExtreme, int8_of, keep_largest)
DEFINE_ADVANCE(max_float4, SpAggExtreme, float4_of, keep_largest_float)
DEFINE_ADVANCE(max_float8, SpAggExtreme, float8_of, keep_largest_float)

#define KERNEL(function, type, kind, State, name) \
	{SP_AGG_##function, SP_AGG_##type, SP_AGG_STATE_##kind, sizeof(State), \
		advance_##name, advance_many_##name}

#define VARIANCE_KERNELS(function) \
	KERNEL(function, INT2, SQUARES, SpAggSquares, squares_int2), \
	KERNEL(function, INT4, SQUARES, SpAggSquares, squares_int4), \
	KERNEL(function, INT8, SQUARES, SpAggSquares, squares_int8), \
	KERNEL(function, FLOAT4, MOMENTS, SpAggMoments, moments_float4), \
	KERNEL(function, FLOAT8, MOMENTS, SpAggMoments, moments_float8)

static const SpAggKernel kernels[] = {
	KERNEL(COUNT_ALL, ANY, COUNT, SpAggCount, count_all),
	KERNEL(COUNT, ANY, COUNT, SpAggCount, count),
	KERNEL(SUM, INT2, SUM64, SpAggSum64, sum_int2),
	KERNEL(SUM, INT4, SUM64, SpAggSum64, sum_int4),
	KERNEL(SUM, INT8, SUM128, SpAggSum128, sum_int8),
	KERNEL(SUM, FLOAT4, SUM_FLOAT, SpAggSumFloat, sum_float4),
	KERNEL(SUM, FLOAT8, SUM_FLOAT, SpAggSumFloat, sum_float8),
	KERNEL(AVG, INT2, SUM64, SpAggSum64, sum_int2),
	KERNEL(AVG, INT4, SUM64, SpAggSum64, sum_int4),
	KERNEL(AVG, INT8, SUM128, SpAggSum128, sum_int8),
	KERNEL(AVG, FLOAT4, MOMENTS, SpAggMoments, moments_float4),
	KERNEL(AVG, FLOAT8, MOMENTS, SpAggMoments, moments_float8),
	KERNEL(MIN, INT2, EXTREME, SpAggExtreme, min_int2),
	KERNEL(MIN, INT4, EXTREME, SpAggExtreme, min_int4),
	KERNEL(MIN, INT8, EXTREME, SpAggExtreme, min_int8),
	KERNEL(MIN, FLOAT4, EXTREME, SpAggExtreme, min_float4),
	KERNEL(MIN, FLOAT8, EXTREME, SpAggExtreme, min_float8),
	KERNEL(MAX, INT2, EXTREME, SpAggExtreme, max_int2),
	KERNEL(MAX, INT4, EXTREME, SpAggExtreme, max_int4),
	KERNEL(MAX, INT8, EXTREME, SpAggExtreme, max_int8),
	KERNEL(MAX, FLOAT4, EXTREME, SpAggExtreme, max_float4),
	KERNEL(MAX, FLOAT8, EXTREME, SpAggExtreme, max_float8),
	VARIANCE_KERNELS(VAR_POP),
	VARIANCE_KERNELS(VAR_SAMP),
	VARIANCE_KERNELS(STDDEV_POP),
	VARIANCE_KERNELS(STDDEV_SAMP)
};

/* The kernel of an aggregate; NULL: there is none for this type. */
const SpAggKernel *
sp_agg_find(SpAggFunction function, SpAggType type)
{
	size_t		i;

	for (i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++)
		if (kernels[i].function == function && kernels[i].type == type)
			return &kernels[i];
	return NULL;
}

/* Every state begins as zeros. */
void
sp_agg_init(const SpAggKernel *kernel, void *state)
{
	memset(state, 0, kernel->state_size);
}

/* avg and variances of floats, as float8_avg, float8_var_pop and so on. */
static void
finish_moments(SpAggFunction function, const SpAggMoments *state, SpAggResult *result)
{
	bool		sample = function == SP_AGG_VAR_SAMP || function == SP_AGG_STDDEV_SAMP;
	double		value;

	if (state->count == 0.0 || (sample && state->count <= 1.0))
		return;
	if (function == SP_AGG_AVG)
		value = state->sum / state->count;
	else
		value = state->squares / (sample ? state->count - 1.0 : state->count);
	if (function == SP_AGG_STDDEV_POP || function == SP_AGG_STDDEV_SAMP)
		value = sqrt(value);
	result->kind = SP_AGG_RESULT_BITS;
	result->bits = float8_bits(value);
}

/* Variances of integers: the sums, for numeric. */
static void
finish_squares(SpAggFunction function, const SpAggSquares *state, SpAggResult *result)
{
	bool		sample = function == SP_AGG_VAR_SAMP || function == SP_AGG_STDDEV_SAMP;

	if (state->count == 0 || (sample && state->count == 1))
		return;
	result->kind = SP_AGG_RESULT_VARIANCE;
	result->count = state->count;
	result->sum = state->sum;
	memcpy(result->squares, state->squares, sizeof(result->squares));
}

/* The bits of a float sum or of an extreme, by type. */
static uint64_t
value_bits(SpAggType type, int64_t integer, double real)
{
	switch (type)
	{
		case SP_AGG_FLOAT4:
			return float4_bits((float) real);
		case SP_AGG_FLOAT8:
			return float8_bits(real);
		default:
			return (uint64_t) integer;
	}
}

/* The result of a state, or what it is made of; NULL where SQL says so. */
void
sp_agg_result(const SpAggKernel *kernel, const void *state, SpAggResult *result)
{
	memset(result, 0, sizeof(*result));
	result->kind = SP_AGG_RESULT_NULL;

	switch (kernel->state_kind)
	{
		case SP_AGG_STATE_COUNT:
			result->kind = SP_AGG_RESULT_BITS;
			result->bits = (uint64_t) ((const SpAggCount *) state)->count;
			break;
		case SP_AGG_STATE_SUM64:
			{
				const SpAggSum64 *sum = state;

				if (sum->count == 0)
					break;
				result->kind = kernel->function == SP_AGG_SUM ?
					SP_AGG_RESULT_BITS : SP_AGG_RESULT_AVG;
				result->bits = (uint64_t) sum->sum;
				result->sum = sum->sum;
				result->count = sum->count;
				break;
			}
		case SP_AGG_STATE_SUM128:
			{
				const SpAggSum128 *sum = state;

				if (sum->count == 0)
					break;
				result->kind = kernel->function == SP_AGG_SUM ?
					SP_AGG_RESULT_SUM : SP_AGG_RESULT_AVG;
				result->sum = sum->sum;
				result->count = sum->count;
				break;
			}
		case SP_AGG_STATE_SQUARES:
			finish_squares(kernel->function, state, result);
			break;
		case SP_AGG_STATE_SUM_FLOAT:
			{
				const SpAggSumFloat *sum = state;

				if (!sum->seen)
					break;
				result->kind = SP_AGG_RESULT_BITS;
				result->bits = value_bits(kernel->type, 0, sum->sum);
				break;
			}
		case SP_AGG_STATE_MOMENTS:
			finish_moments(kernel->function, state, result);
			break;
		case SP_AGG_STATE_EXTREME:
			{
				const SpAggExtreme *extreme = state;

				if (!extreme->seen)
					break;
				result->kind = SP_AGG_RESULT_BITS;
				result->bits = value_bits(kernel->type, extreme->value.integer,
										  extreme->value.real);
				break;
			}
	}
}

/* Bytes of the durable form: version, kind of state, the state as it is. */
size_t
sp_agg_written_size(const SpAggKernel *kernel)
{
	return 2 + kernel->state_size;
}

/* Write the durable form; returns its end. */
char *
sp_agg_write(const SpAggKernel *kernel, const void *state, char *to)
{
	to[0] = STATE_VERSION;
	to[1] = (char) kernel->state_kind;
	memcpy(to + 2, state, kernel->state_size);
	return to + 2 + kernel->state_size;
}

/*
 * Could so many values of an integer type have this sum?  With fewer than MANY_VALUES, more
 * than can ever come, no count and no sum in 128 bits overflows later on.
 */
static bool
is_sum(SpAggType type, int64_t count, SpInt128 sum)
{
	SpInt128	most = (SpInt128) 1 << (type == SP_AGG_INT2 ? 15 : type == SP_AGG_INT4 ? 31 : 63);

	return count >= 0 && count < MANY_VALUES && sum >= -most * count && sum <= (most - 1) * count;
}

/* Could so many squares of up to 126 bits have this sum? */
static bool
is_sum_of_squares(int64_t count, const uint64_t squares[3])
{
	if (count == 0)
		return (squares[0] | squares[1] | squares[2]) == 0;
	return squares[2] >> 60 == 0 && (squares[2] << 2 | squares[1] >> 62) <= (uint64_t) count;
}

/* Could a sequence of values have led here? */
static bool
is_sound(const SpAggKernel *kernel, const void *state)
{
	const SpAggSum64 *sum64 = state;
	const SpAggSum128 *sum128 = state;
	const SpAggSquares *squares = state;

	switch (kernel->state_kind)
	{
		case SP_AGG_STATE_COUNT:
			return ((const SpAggCount *) state)->count >= 0;
		case SP_AGG_STATE_SUM64:
			return is_sum(kernel->type, sum64->count, sum64->sum);
		case SP_AGG_STATE_SUM128:
			return is_sum(kernel->type, sum128->count, sum128->sum);
		case SP_AGG_STATE_SQUARES:
			return is_sum(kernel->type, squares->count, squares->sum) &&
				is_sum_of_squares(squares->count, squares->squares);
		case SP_AGG_STATE_SUM_FLOAT:
			return ((const SpAggSumFloat *) state)->seen <= 1;
		case SP_AGG_STATE_MOMENTS:
			return ((const SpAggMoments *) state)->count >= 0.0;
		case SP_AGG_STATE_EXTREME:
			return ((const SpAggExtreme *) state)->seen <= 1;
	}
	return false;
}

/* Read the durable form; returns its end, or NULL when it isn't one of this kernel. */
const char *
sp_agg_read(const SpAggKernel *kernel, void *state, const char *from, const char *end)
{
	if (from > end || (size_t) (end - from) < sp_agg_written_size(kernel))
		return NULL;
	if (from[0] != STATE_VERSION || from[1] != (char) kernel->state_kind)
		return NULL;
	memcpy(state, from + 2, kernel->state_size);
	if (!is_sound(kernel, state))
		return NULL;
	return from + sp_agg_written_size(kernel);
}

/* The digits of a number to base 10000; returns how many. */
int
sp_agg_digits(const uint64_t words[3], int16_t digits[SP_AGG_MAX_DIGITS])
{
	uint32_t	left[6];		/* what is left to divide, most significant first */
	int16_t		reversed[SP_AGG_MAX_DIGITS];
	int			ndigits = 0;
	int			first = 0;
	int			i;

	for (i = 0; i < 3; i++)
	{
		left[2 * i] = (uint32_t) (words[2 - i] >> 32);
		left[2 * i + 1] = (uint32_t) words[2 - i];
	}

	for (;;)
	{
		uint64_t	remainder = 0;

		while (first < 6 && left[first] == 0)
			first++;
		if (first == 6)
			break;
		for (i = first; i < 6; i++)
		{
			remainder = (remainder << 32) | left[i];
			left[i] = (uint32_t) (remainder / 10000);
			remainder %= 10000;
		}
		reversed[ndigits++] = (int16_t) remainder;
	}

	for (i = 0; i < ndigits; i++)
		digits[i] = reversed[ndigits - 1 - i];
	return ndigits;
}
