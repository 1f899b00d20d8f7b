/*
 * test_aggregate.c
 *	  The native aggregates: exact sums, the server's float recurrences, edges.
 */
#include "kernel/aggregate.h"
#include "unit.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const SpValue null_value = {0, true};

static SpValue
int_value(int64_t value)
{
	SpValue		result = {(uint64_t) value, false};

	return result;
}

static SpValue
float8_value(double value)
{
	SpValue		result = {0, false};

	memcpy(&result.bits, &value, sizeof(value));
	return result;
}

static SpValue
float4_value(float value)
{
	SpValue		result = {0, false};
	int32_t		low;

	memcpy(&low, &value, sizeof(low));
	result.bits = (uint64_t) (int64_t) low;
	return result;
}

static double
float8_result(const SpAggResult *result)
{
	double		value;

	memcpy(&value, &result->bits, sizeof(value));
	return value;
}

/* Run an aggregate over values, one by one and at once; both must agree. */
static SpAggError
run(SpAggFunction function, SpAggType type, int n, const SpValue *values, SpAggResult *result)
{
	const SpAggKernel *kernel = sp_agg_find(function, type);
	uint64_t	one[SP_AGG_MAX_STATE_SIZE / 8];
	uint64_t	many[SP_AGG_MAX_STATE_SIZE / 8];
	SpAggError	error = SP_AGG_OK;
	SpAggError	error_many;
	int			done = 0;

	check(kernel != NULL && kernel->state_size <= sizeof(one));
	sp_agg_init(kernel, one);
	sp_agg_init(kernel, many);
	while (done < n && (error = kernel->advance(one, &values[done])) == SP_AGG_OK)
		done++;
	check(kernel->advance_many(many, n, values, 1, &error_many) == done);
	check(error_many == error);
	check(memcmp(one, many, kernel->state_size) == 0);
	sp_agg_result(kernel, one, result);
	return error;
}

static void
test_empty(void)
{
	SpAggFunction function;
	SpAggType	type;
	SpAggResult result;
	SpValue		nulls[3];
	int			found = 0;

	nulls[0] = nulls[1] = nulls[2] = null_value;
	for (function = SP_AGG_COUNT; function <= SP_AGG_STDDEV_SAMP; function++)
		for (type = SP_AGG_ANY; type <= SP_AGG_FLOAT8; type++)
		{
			if (sp_agg_find(function, type) == NULL)
				continue;
			found++;
			check(run(function, type, 0, NULL, &result) == SP_AGG_OK);
			check(result.kind == (function == SP_AGG_COUNT ?
								  SP_AGG_RESULT_BITS : SP_AGG_RESULT_NULL));
			check(run(function, type, 3, nulls, &result) == SP_AGG_OK);
			check(result.kind == (function == SP_AGG_COUNT ?
								  SP_AGG_RESULT_BITS : SP_AGG_RESULT_NULL));
			check(result.bits == 0);
		}
	check(found == 41);
}

static void
test_count(void)
{
	const SpAggKernel *all = sp_agg_find(SP_AGG_COUNT_ALL, SP_AGG_ANY);
	SpValue		values[3];
	SpAggResult result;
	SpAggCount	state;
	SpAggError	error;

	values[0] = int_value(5);
	values[1] = null_value;
	values[2] = int_value(5);
	run(SP_AGG_COUNT, SP_AGG_ANY, 3, values, &result);
	check(result.kind == SP_AGG_RESULT_BITS && result.bits == 2);

	sp_agg_init(all, &state);
	check(all->advance(&state, NULL) == SP_AGG_OK);
	check(all->advance_many(&state, 9, NULL, 0, &error) == 9 && error == SP_AGG_OK);
	check(state.count == 10);
	state.count = INT64_MAX - 2;
	check(all->advance_many(&state, 9, NULL, 0, &error) == 2 && error == SP_AGG_BIGINT_RANGE);
	check(all->advance(&state, NULL) == SP_AGG_BIGINT_RANGE);
	check(state.count == INT64_MAX);
}

static void
test_integers(void)
{
	SpValue		values[6];
	SpAggResult result;
	SpAggSum64	state = {1, INT64_MAX - 1};
	const SpAggKernel *sum = sp_agg_find(SP_AGG_SUM, SP_AGG_INT4);
	SpValue		two = int_value(2);

	values[0] = int_value(INT32_MIN);
	values[1] = null_value;
	values[2] = int_value(INT32_MAX);
	values[3] = int_value(INT32_MIN);
	run(SP_AGG_SUM, SP_AGG_INT4, 4, values, &result);
	check(result.kind == SP_AGG_RESULT_BITS && (int64_t) result.bits == -INT64_C(2147483649));
	run(SP_AGG_AVG, SP_AGG_INT4, 4, values, &result);
	check(result.kind == SP_AGG_RESULT_AVG && result.count == 3);
	check(result.sum == -INT64_C(2147483649));
	run(SP_AGG_MIN, SP_AGG_INT4, 4, values, &result);
	check((int64_t) result.bits == INT32_MIN);
	run(SP_AGG_MAX, SP_AGG_INT4, 4, values, &result);
	check((int64_t) result.bits == INT32_MAX);

	/* only the low bits of a Datum count */
	values[0].bits = UINT64_C(0xdeadbeef0000fffe);
	run(SP_AGG_SUM, SP_AGG_INT2, 1, values, &result);
	check((int64_t) result.bits == -2);
	run(SP_AGG_MAX, SP_AGG_INT2, 1, values, &result);
	check((int64_t) result.bits == -2);

	/* the sum stays as it was */
	check(sum->advance(&state, &two) == SP_AGG_BIGINT_RANGE);
	check(state.count == 1 && state.sum == INT64_MAX - 1);

	values[0] = values[1] = values[2] = int_value(INT64_MIN);
	values[3] = int_value(-1);
	run(SP_AGG_SUM, SP_AGG_INT8, 4, values, &result);
	check(result.kind == SP_AGG_RESULT_SUM);
	check(result.sum == (SpInt128) INT64_MIN * 3 - 1);
	run(SP_AGG_MIN, SP_AGG_INT8, 4, values, &result);
	check((int64_t) result.bits == INT64_MIN);
	run(SP_AGG_MAX, SP_AGG_INT8, 4, values, &result);
	check((int64_t) result.bits == -1);
}

/* Squares of the largest numbers need the third word: five times 2^126 is 5/4 of 2^128. */
static void
test_squares(void)
{
	SpValue		values[5];
	SpAggResult result;
	int			i;

	for (i = 0; i < 5; i++)
		values[i] = int_value(INT64_MIN);
	run(SP_AGG_VAR_POP, SP_AGG_INT8, 5, values, &result);
	check(result.kind == SP_AGG_RESULT_VARIANCE && result.count == 5);
	check(result.sum == (SpInt128) INT64_MIN * 5);
	check(result.squares[0] == 0 && result.squares[1] == UINT64_C(1) << 62);
	check(result.squares[2] == 1);

	values[0] = int_value(-3);
	values[1] = int_value(4);
	run(SP_AGG_STDDEV_SAMP, SP_AGG_INT2, 2, values, &result);
	check(result.kind == SP_AGG_RESULT_VARIANCE && result.count == 2 && result.sum == 1);
	check(result.squares[0] == 25 && result.squares[1] == 0);
	run(SP_AGG_VAR_SAMP, SP_AGG_INT4, 1, values, &result);
	check(result.kind == SP_AGG_RESULT_NULL);
	run(SP_AGG_VAR_POP, SP_AGG_INT4, 1, values, &result);
	check(result.kind == SP_AGG_RESULT_VARIANCE);
}

static void
test_float_sums(void)
{
	SpValue		values[4];
	SpAggResult result;
	float		low;

	values[0] = float8_value(-0.0);
	run(SP_AGG_SUM, SP_AGG_FLOAT8, 1, values, &result);
	check(signbit(float8_result(&result)));
	values[0] = float8_value(DBL_MAX);
	values[1] = float8_value(DBL_MAX);
	check(run(SP_AGG_SUM, SP_AGG_FLOAT8, 2, values, &result) == SP_AGG_FLOAT_OVERFLOW);
	check(float8_result(&result) == DBL_MAX);
	values[0] = float8_value(INFINITY);
	check(run(SP_AGG_SUM, SP_AGG_FLOAT8, 2, values, &result) == SP_AGG_OK);
	check(float8_result(&result) == INFINITY);
	values[1] = float8_value(-INFINITY);
	check(run(SP_AGG_SUM, SP_AGG_FLOAT8, 2, values, &result) == SP_AGG_OK);
	check(isnan(float8_result(&result)));

	/* in float4's precision */
	values[0] = float4_value(16777216.0f);
	values[1] = values[2] = float4_value(1.0f);
	run(SP_AGG_SUM, SP_AGG_FLOAT4, 3, values, &result);
	low = 0;
	memcpy(&low, &result.bits, sizeof(low));	/* little-endian machines run the tests */
	check(low == 16777216.0f);
	values[0] = values[1] = float4_value(FLT_MAX);
	check(run(SP_AGG_SUM, SP_AGG_FLOAT4, 2, values, &result) == SP_AGG_FLOAT_OVERFLOW);
}

static void
test_moments(void)
{
	SpValue		values[1000];
	SpAggResult result;
	uint64_t	random = 3;
	long double sum = 0,
				squares = 0;
	int			i;

	for (i = 0; i < 1000; i++)
	{
		double		x = 100 + next_uniform(&random);

		values[i] = float8_value(x);
		sum += x;
	}
	for (i = 0; i < 1000; i++)
	{
		double		x;

		memcpy(&x, &values[i].bits, sizeof(x));
		squares += (x - sum / 1000) * (x - sum / 1000);
	}
	run(SP_AGG_AVG, SP_AGG_FLOAT8, 1000, values, &result);
	check_near(float8_result(&result), (double) (sum / 1000), 1e-12);
	run(SP_AGG_VAR_SAMP, SP_AGG_FLOAT8, 1000, values, &result);
	check_near(float8_result(&result), (double) (squares / 999), 1e-12);
	run(SP_AGG_STDDEV_POP, SP_AGG_FLOAT8, 1000, values, &result);
	check_near(float8_result(&result), sqrt((double) (squares / 1000)), 1e-12);

	run(SP_AGG_VAR_SAMP, SP_AGG_FLOAT8, 1, values, &result);
	check(result.kind == SP_AGG_RESULT_NULL);
	run(SP_AGG_VAR_POP, SP_AGG_FLOAT8, 1, values, &result);
	check(float8_result(&result) == 0.0);

	/* an infinity makes NaN of the variance, not of the mean */
	values[0] = float8_value(INFINITY);
	run(SP_AGG_VAR_POP, SP_AGG_FLOAT8, 1, values, &result);
	check(isnan(float8_result(&result)));
	run(SP_AGG_AVG, SP_AGG_FLOAT8, 10, values, &result);
	check(float8_result(&result) == INFINITY);
	run(SP_AGG_STDDEV_SAMP, SP_AGG_FLOAT8, 10, values, &result);
	check(isnan(float8_result(&result)));

	/* the squares overflow, which is an error also where only the mean is asked for */
	values[0] = float8_value(1e200);
	values[1] = float8_value(-1e200);
	check(run(SP_AGG_AVG, SP_AGG_FLOAT8, 2, values, &result) == SP_AGG_FLOAT_OVERFLOW);
	check(float8_result(&result) == 1e200);
}

static void
test_float_extremes(void)
{
	SpValue		values[4];
	SpAggResult result;

	values[0] = float8_value(1.0);
	values[1] = float8_value(NAN);
	values[2] = null_value;
	values[3] = float8_value(INFINITY);
	run(SP_AGG_MIN, SP_AGG_FLOAT8, 4, values, &result);
	check(float8_result(&result) == 1.0);
	run(SP_AGG_MAX, SP_AGG_FLOAT8, 4, values, &result);
	check(isnan(float8_result(&result)));
	run(SP_AGG_MIN, SP_AGG_FLOAT8, 2, values + 1, &result);
	check(isnan(float8_result(&result)));
	run(SP_AGG_MIN, SP_AGG_FLOAT8, 3, values + 1, &result);
	check(float8_result(&result) == INFINITY);

	values[0] = float8_value(0.0);
	values[1] = float8_value(-0.0);
	run(SP_AGG_MIN, SP_AGG_FLOAT8, 2, values, &result);
	check(signbit(float8_result(&result)));
	run(SP_AGG_MAX, SP_AGG_FLOAT8, 2, values, &result);
	check(signbit(float8_result(&result)));

	values[0] = float4_value(-2.5f);
	run(SP_AGG_MAX, SP_AGG_FLOAT4, 1, values, &result);
	check(result.bits == values[0].bits);
}

static void
test_durable_form(void)
{
	SpAggFunction function;
	SpAggType	type;

	for (function = SP_AGG_COUNT_ALL; function <= SP_AGG_STDDEV_SAMP; function++)
		for (type = SP_AGG_ANY; type <= SP_AGG_FLOAT8; type++)
		{
			const SpAggKernel *kernel = sp_agg_find(function, type);
			uint64_t	state[SP_AGG_MAX_STATE_SIZE / 8];
			uint64_t	read[SP_AGG_MAX_STATE_SIZE / 8];
			char		buf[SP_AGG_MAX_STATE_SIZE + 2];
			SpValue		value = type < SP_AGG_FLOAT4 ? int_value(-7) :
				type == SP_AGG_FLOAT4 ? float4_value(-7) : float8_value(-7);
			const char *end;
			size_t		length;

			if (kernel == NULL)
				continue;
			sp_agg_init(kernel, state);
			kernel->advance(state, &value);
			end = sp_agg_write(kernel, state, buf);
			check(end == buf + sp_agg_written_size(kernel));
			check(sp_agg_read(kernel, read, buf, end) == end);
			check(memcmp(state, read, kernel->state_size) == 0);
			for (length = 0; length < sp_agg_written_size(kernel); length++)
				check(sp_agg_read(kernel, read, buf, buf + length) == NULL);

			/* of another version, of another kind, a negative count */
			buf[0]++;
			check(sp_agg_read(kernel, read, buf, end) == NULL);
			buf[0]--;
			buf[1]++;
			check(sp_agg_read(kernel, read, buf, end) == NULL);
			buf[1]--;
			memset(buf + 2, 0xff, kernel->state_size);
			check(sp_agg_read(kernel, read, buf, end) == NULL);
		}
}

/* Are these words, as they stand in a struct, the durable form of a state of the kernel? */
static bool
is_state(SpAggFunction function, SpAggType type, int nwords, const uint64_t *words)
{
	const SpAggKernel *kernel = sp_agg_find(function, type);
	uint64_t	read[SP_AGG_MAX_STATE_SIZE / 8];
	char		buf[SP_AGG_MAX_STATE_SIZE + 2];
	char	   *end = sp_agg_write(kernel, words, buf);

	check(kernel->state_size == nwords * sizeof(uint64_t));
	return sp_agg_read(kernel, read, buf, end) == end;
}

/* What no values can have led to is no state: to go on from there could overflow. */
static void
test_impossible_states(void)
{
	const uint64_t most = INT64_MAX;
	const uint64_t least = (uint64_t) INT64_MIN;
	const uint64_t minus = UINT64_MAX;	/* the upper word of a negative sum */

	/* as many values as a count can tell */
	check(is_state(SP_AGG_COUNT, SP_AGG_ANY, 1, (uint64_t[]){most}));
	check(!is_state(SP_AGG_SUM, SP_AGG_INT4, 2, (uint64_t[]){most, 0}));
	check(!is_state(SP_AGG_AVG, SP_AGG_INT8, 3, (uint64_t[]){most, 0, 0}));
	check(!is_state(SP_AGG_VAR_POP, SP_AGG_INT2, 6, (uint64_t[]){most, 0, 0, 0, 0, 0}));

	/* the sums of -32768, and of -2^63 twice, and what is beyond them */
	check(is_state(SP_AGG_SUM, SP_AGG_INT2, 2, (uint64_t[]){1, (uint64_t) -32768}));
	check(!is_state(SP_AGG_SUM, SP_AGG_INT2, 2, (uint64_t[]){1, (uint64_t) -32769}));
	check(!is_state(SP_AGG_SUM, SP_AGG_INT2, 2, (uint64_t[]){1, 32768}));
	check(!is_state(SP_AGG_SUM, SP_AGG_INT4, 2, (uint64_t[]){0, 1}));
	check(is_state(SP_AGG_SUM, SP_AGG_INT8, 3, (uint64_t[]){2, 0, minus}));
	check(!is_state(SP_AGG_SUM, SP_AGG_INT8, 3, (uint64_t[]){2, minus, minus - 1}));
	check(!is_state(SP_AGG_SUM, SP_AGG_INT8, 3, (uint64_t[]){1, 0, least}));

	/* their squares: 2^126 twice */
	check(is_state(SP_AGG_VAR_POP, SP_AGG_INT8, 6, (uint64_t[]){2, 0, minus, 0, least, 0}));
	check(!is_state(SP_AGG_VAR_POP, SP_AGG_INT8, 6, (uint64_t[]){1, least, minus, 0, least, 0}));
	check(!is_state(SP_AGG_VAR_POP, SP_AGG_INT8, 6, (uint64_t[]){2, 0, minus, 0, 0, minus}));
	check(!is_state(SP_AGG_VAR_POP, SP_AGG_INT8, 6, (uint64_t[]){0, 0, 0, 1, 0, 0}));
}

static void
test_digits(void)
{
	uint64_t	words[3] = {0, 0, 0};
	int16_t		digits[SP_AGG_MAX_DIGITS];
	uint64_t	random = 11;
	int			i,
				j;

	check(sp_agg_digits(words, digits) == 0);
	words[0] = UINT64_C(1234567890000);
	check(sp_agg_digits(words, digits) == 4);
	check(digits[0] == 1 && digits[1] == 2345 && digits[2] == 6789 && digits[3] == 0);
	words[0] = words[1] = words[2] = UINT64_MAX;	/* 2^192 - 1 */
	check(sp_agg_digits(words, digits) == 15);
	check(digits[0] == 62 && digits[1] == 7710 && digits[14] == 2895);

	/* back again, by Horner's rule, as far as 128 bits go */
	for (i = 0; i < 1000; i++)
	{
		SpUint128	value = 0;
		int			n;

		words[0] = next_random(&random);
		words[1] = next_random(&random) >> (i % 64);
		words[2] = 0;
		n = sp_agg_digits(words, digits);
		for (j = 0; j < n; j++)
		{
			check(digits[j] >= 0 && digits[j] < 10000);
			value = value * 10000 + (unsigned) digits[j];
		}
		check((uint64_t) value == words[0] && (uint64_t) (value >> 64) == words[1]);
	}
}

int
main(void)
{
	test_empty();
	test_count();
	test_integers();
	test_squares();
	test_float_sums();
	test_moments();
	test_float_extremes();
	test_durable_form();
	test_impossible_states();
	test_digits();
	return failures > 0;
}
