/*
 * aggregate_merge.c
 *	  Running totals of two sets of values into one, and values taken away again.
 *
 * Integers combine exactly, whatever the order.  Floats combine as the server's own combine
 * functions do it (float4pl, float8pl, float8_combine), so that results are those of a
 * parallel query.  To take away a value is exact for counts and for sums of integers alone:
 * a float sum has lost what rounding took, and an extreme has forgotten the values behind it.
 */
#include "kernel/aggregate.h"

#include <math.h>

#include "kernel/aggregate_value.h"

#define MANY_VALUES		(INT64_C(1) << 62)	/* as in a durable state: more can't be */

/* The number of values of both; sums of fewer don't leave their 128 and 192 bits. */
static bool
add_counts(int64_t a, int64_t b, int64_t *count)
{
	return !__builtin_add_overflow(a, b, count) && *count < MANY_VALUES;
}

static SpAggError
combine_counts(SpAggCount *to, const SpAggCount *from)
{
	int64_t		count;

	if (__builtin_add_overflow(to->count, from->count, &count))
		return SP_AGG_BIGINT_RANGE;
	to->count = count;
	return SP_AGG_OK;
}

static SpAggError
combine_sum64(SpAggSum64 *to, const SpAggSum64 *from)
{
	int64_t		count;
	int64_t		sum;

	if (!add_counts(to->count, from->count, &count) ||
		__builtin_add_overflow(to->sum, from->sum, &sum))
		return SP_AGG_BIGINT_RANGE;
	to->count = count;
	to->sum = sum;
	return SP_AGG_OK;
}

static SpAggError
combine_sum128(SpAggSum128 *to, const SpAggSum128 *from)
{
	int64_t		count;

	if (!add_counts(to->count, from->count, &count))
		return SP_AGG_BIGINT_RANGE;
	to->count = count;
	to->sum += from->sum;
	return SP_AGG_OK;
}

/* Sums of squares stay below 2^188. */
static SpAggError
combine_squares(SpAggSquares *to, const SpAggSquares *from)
{
	int64_t		count;
	SpUint128	carry = 0;
	int			i;

	if (!add_counts(to->count, from->count, &count))
		return SP_AGG_BIGINT_RANGE;
	to->count = count;
	to->sum += from->sum;
	for (i = 0; i < 3; i++)
	{
		carry += (SpUint128) to->squares[i] + from->squares[i];
		to->squares[i] = (uint64_t) carry;
		carry >>= 64;
	}
	return SP_AGG_OK;
}

/* As float4pl and float8pl. */
static SpAggError
combine_sum_float(SpAggType type, SpAggSumFloat *to, const SpAggSumFloat *from)
{
	double		sum;

	if (!from->seen)
		return SP_AGG_OK;
	if (!to->seen)
		sum = from->sum;
	else
	{
		if (type == SP_AGG_FLOAT4)
			sum = (float) to->sum + (float) from->sum;
		else
			sum = to->sum + from->sum;
		if (isinf(sum) && !isinf(to->sum) && !isinf(from->sum))
			return SP_AGG_FLOAT_OVERFLOW;
	}
	to->sum = sum;
	to->seen = 1;
	return SP_AGG_OK;
}

/*
 * As float8_combine, its order of operations and its overflow tests.  Where a value isn't
 * finite, the squares of its side are NaN, and so are those of both.
 */
static SpAggError
combine_moments(SpAggMoments *to, const SpAggMoments *from)
{
	double		count = to->count + from->count;
	double		sum = to->sum + from->sum;
	double		difference;
	double		squares;

	if (from->count == 0.0)
		return SP_AGG_OK;
	if (to->count == 0.0)
	{
		*to = *from;
		return SP_AGG_OK;
	}
	if (isinf(sum) && !isinf(to->sum) && !isinf(from->sum))
		return SP_AGG_FLOAT_OVERFLOW;
	difference = to->sum / to->count - from->sum / from->count;
	squares = to->squares + from->squares +
		to->count * from->count * difference * difference / count;
	if (isinf(squares) && !isinf(to->squares) && !isinf(from->squares))
		return SP_AGG_FLOAT_OVERFLOW;
	to->count = count;
	to->sum = sum;
	to->squares = squares;
	return SP_AGG_OK;
}

/* The other extreme is one more value. */
static SpAggError
combine_extremes(const SpAggKernel *kernel, SpAggExtreme *to, const SpAggExtreme *from)
{
	SpValue		value = {0, false};

	if (!from->seen)
		return SP_AGG_OK;
	if (kernel->type == SP_AGG_FLOAT4)
		value.bits = float4_bits((float) from->value.real);
	else if (kernel->type == SP_AGG_FLOAT8)
		value.bits = float8_bits(from->value.real);
	else
		value.bits = (uint64_t) from->value.integer;
	return kernel->advance(to, &value);
}

/* What all values of both give; those of "from" came later. */
SpAggError
sp_agg_combine(const SpAggKernel *kernel, void *to, const void *from)
{
	switch (kernel->state_kind)
	{
		case SP_AGG_STATE_COUNT:
			return combine_counts(to, from);
		case SP_AGG_STATE_SUM64:
			return combine_sum64(to, from);
		case SP_AGG_STATE_SUM128:
			return combine_sum128(to, from);
		case SP_AGG_STATE_SQUARES:
			return combine_squares(to, from);
		case SP_AGG_STATE_SUM_FLOAT:
			return combine_sum_float(kernel->type, to, from);
		case SP_AGG_STATE_MOMENTS:
			return combine_moments(to, from);
		case SP_AGG_STATE_EXTREME:
			return combine_extremes(kernel, to, from);
	}
	return SP_AGG_OK;
}

/* ---- taking away ---- */

/* Are values taken away exactly? */
bool
sp_agg_can_retract(const SpAggKernel *kernel)
{
	return kernel->state_kind == SP_AGG_STATE_COUNT ||
		kernel->state_kind == SP_AGG_STATE_SUM64 ||
		kernel->state_kind == SP_AGG_STATE_SUM128 ||
		kernel->state_kind == SP_AGG_STATE_SQUARES;
}

/* An integer, by its type. */
static int64_t
integer_of(SpAggType type, uint64_t bits)
{
	switch (type)
	{
		case SP_AGG_INT2:
			return int2_of(bits);
		case SP_AGG_INT4:
			return int4_of(bits);
		default:
			return int8_of(bits);
	}
}

static SpAggError
take_from_count(SpAggCount *state)
{
	if (state->count <= 0)
		return SP_AGG_NEVER_ADDED;
	state->count--;
	return SP_AGG_OK;
}

/* Of no values, the sum is zero. */
static SpAggError
take_from_sum64(SpAggSum64 *state, int64_t value)
{
	int64_t		sum;

	if (state->count <= 0 || (state->count == 1 && state->sum != value))
		return SP_AGG_NEVER_ADDED;
	if (__builtin_sub_overflow(state->sum, value, &sum))
		return SP_AGG_BIGINT_RANGE;
	state->count--;
	state->sum = sum;
	return SP_AGG_OK;
}

static SpAggError
take_from_sum128(SpAggSum128 *state, int64_t value)
{
	if (state->count <= 0 || (state->count == 1 && state->sum != value))
		return SP_AGG_NEVER_ADDED;
	state->count--;
	state->sum -= value;
	return SP_AGG_OK;
}

static SpAggError
take_from_squares(SpAggSquares *state, int64_t value)
{
	SpUint128	square = (SpUint128) ((SpInt128) value * value);
	SpUint128	low = ((SpUint128) state->squares[1] << 64) | state->squares[0];
	uint64_t	borrow = low < square;

	if (state->count <= 0 || state->squares[2] < borrow)
		return SP_AGG_NEVER_ADDED;
	if (state->count == 1 && (state->sum != value || low != square || state->squares[2] != 0))
		return SP_AGG_NEVER_ADDED;
	low -= square;
	state->count--;
	state->sum -= value;
	state->squares[0] = (uint64_t) low;
	state->squares[1] = (uint64_t) (low >> 64);
	state->squares[2] -= borrow;
	return SP_AGG_OK;
}

/* The inverse of advance; the state is unchanged where that value can't have been added. */
SpAggError
sp_agg_retract(const SpAggKernel *kernel, void *state, const SpValue *value)
{
	int64_t		integer;

	if (kernel->function == SP_AGG_COUNT_ALL)
		return take_from_count(state);
	if (value->isnull)
		return SP_AGG_OK;
	integer = integer_of(kernel->type, value->bits);
	switch (kernel->state_kind)
	{
		case SP_AGG_STATE_COUNT:
			return take_from_count(state);
		case SP_AGG_STATE_SUM64:
			return take_from_sum64(state, integer);
		case SP_AGG_STATE_SUM128:
			return take_from_sum128(state, integer);
		case SP_AGG_STATE_SQUARES:
			return take_from_squares(state, integer);
		default:
			return SP_AGG_NEVER_ADDED;
	}
}
