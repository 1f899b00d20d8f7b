/*
 * test_aggregate_merge.c
 *	  States combined and rows taken away, against the same values in one state.
 */
#include "kernel/aggregate.h"
#include "unit.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define VALUES	40

typedef uint64_t State[SP_AGG_MAX_STATE_SIZE / 8];

static SpValue
real_value(SpAggType type, double real)
{
	SpValue		result = {0, false};
	float		single = (float) real;
	int32_t		low;

	if (type == SP_AGG_FLOAT8)
		memcpy(&result.bits, &real, sizeof(real));
	else
	{
		memcpy(&low, &single, sizeof(low));
		result.bits = (uint64_t) (int64_t) low;
	}
	return result;
}

/* Any value of a type: small ones, the largest ones, a null now and then. */
static SpValue
any_value(SpAggType type, uint64_t *random)
{
	uint64_t	bits = next_random(random);
	SpValue		result = {0, false};

	result.isnull = bits % 11 == 0;
	switch (type)
	{
		case SP_AGG_ANY:
			return result;
		case SP_AGG_INT2:
			result.bits = (uint64_t) (int64_t) (int16_t) (bits >> 32);
			break;
		case SP_AGG_INT4:
			result.bits = (uint64_t) (int64_t) (int32_t) (bits >> 32);
			break;
		case SP_AGG_INT8:
			result.bits = bits % 3 == 0 ? (uint64_t) INT64_MIN : next_random(random);
			break;
		default:
			result.bits = real_value(type, next_uniform(random) * 200 - 100).bits;
			break;
	}
	return result;
}

static void
add(const SpAggKernel *kernel, void *state, int n, const SpValue *values)
{
	int			i;

	for (i = 0; i < n; i++)
		check(kernel->advance(state, &values[i]) == SP_AGG_OK);
}

static double
real_of(const SpAggKernel *kernel, uint64_t bits)
{
	int32_t		low = (int32_t) bits;
	float		single;
	double		real;

	if (kernel->type == SP_AGG_FLOAT4 && kernel->function != SP_AGG_AVG &&
		kernel->state_kind != SP_AGG_STATE_MOMENTS)
	{
		memcpy(&single, &low, sizeof(single));
		return single;
	}
	memcpy(&real, &bits, sizeof(real));
	return real;
}

/* Do both states answer the same?  Floats nearly so. */
static bool
same_result(const SpAggKernel *kernel, const void *a, const void *b)
{
	SpAggResult x;
	SpAggResult y;
	bool		is_real = kernel->type >= SP_AGG_FLOAT4;
	double		precision = kernel->state_kind == SP_AGG_STATE_SUM_FLOAT &&
		kernel->type == SP_AGG_FLOAT4 ? 1e-2 : 1e-9;

	sp_agg_result(kernel, a, &x);
	sp_agg_result(kernel, b, &y);
	if (x.kind != y.kind)
		return false;
	if (x.kind == SP_AGG_RESULT_BITS && is_real)
		return fabs(real_of(kernel, x.bits) - real_of(kernel, y.bits)) <= precision;
	return x.bits == y.bits && x.count == y.count && x.sum == y.sum &&
		memcmp(x.squares, y.squares, sizeof(x.squares)) == 0;
}

/* Every kernel, its values cut in two at every place. */
static void
test_combine_all(void)
{
	uint64_t	random = 5;
	SpAggFunction function;
	SpAggType	type;
	int			found = 0;

	for (function = SP_AGG_COUNT_ALL; function <= SP_AGG_STDDEV_SAMP; function++)
		for (type = SP_AGG_ANY; type <= SP_AGG_FLOAT8; type++)
		{
			const SpAggKernel *kernel = sp_agg_find(function, type);
			SpValue		values[VALUES];
			State		whole;
			int			cut;
			int			i;

			if (kernel == NULL)
				continue;
			found++;
			for (i = 0; i < VALUES; i++)
				values[i] = any_value(type, &random);
			sp_agg_init(kernel, whole);
			add(kernel, whole, VALUES, values);
			for (cut = 0; cut <= VALUES; cut++)
			{
				State		to;
				State		from;
				State		before;

				sp_agg_init(kernel, to);
				sp_agg_init(kernel, from);
				add(kernel, to, cut, values);
				add(kernel, from, VALUES - cut, values + cut);
				memcpy(before, from, kernel->state_size);
				check(sp_agg_combine(kernel, to, from) == SP_AGG_OK);
				check(memcmp(before, from, kernel->state_size) == 0);
				check(same_result(kernel, to, whole));
				if (type < SP_AGG_FLOAT4)
					check(memcmp(to, whole, kernel->state_size) == 0);
			}
		}
	check(found == 42);
}

/* Of the values of a state, some are taken away in another order than they came. */
static void
test_retract_all(void)
{
	uint64_t	random = 7;
	SpAggFunction function;
	SpAggType	type;
	int			found = 0;

	for (function = SP_AGG_COUNT_ALL; function <= SP_AGG_STDDEV_SAMP; function++)
		for (type = SP_AGG_ANY; type <= SP_AGG_FLOAT8; type++)
		{
			const SpAggKernel *kernel = sp_agg_find(function, type);
			SpValue		values[VALUES];
			State		state;
			State		rest;
			int			i;

			if (kernel == NULL || !sp_agg_can_retract(kernel))
				continue;
			found++;
			for (i = 0; i < VALUES; i++)
				values[i] = any_value(type, &random);
			sp_agg_init(kernel, state);
			add(kernel, state, VALUES, values);
			for (i = 0; i < VALUES; i++)
			{
				SpValue		taken = values[VALUES - 1 - i * 7 % VALUES];
				int			j;

				check(sp_agg_retract(kernel, state, &taken) == SP_AGG_OK);
				values[VALUES - 1 - i * 7 % VALUES].bits = UINT64_MAX;
				values[VALUES - 1 - i * 7 % VALUES].isnull = true;
				sp_agg_init(kernel, rest);
				for (j = 0; j < VALUES; j++)
					if (values[j].bits != UINT64_MAX || !values[j].isnull)
						add(kernel, rest, 1, &values[j]);
				check(memcmp(state, rest, kernel->state_size) == 0);
			}

			/* one more than there were */
			values[0] = any_value(type, &random);
			values[0].isnull = false;
			check(sp_agg_retract(kernel, state, &values[0]) == SP_AGG_NEVER_ADDED);
			check(memcmp(state, rest, kernel->state_size) == 0);
		}
	/* two counts, sum, avg and four variances of three types */
	check(found == 20);
}

/* Of one value, only that one can be taken away. */
static void
test_never_added(void)
{
	const SpAggKernel *sum = sp_agg_find(SP_AGG_SUM, SP_AGG_INT4);
	const SpAggKernel *wide = sp_agg_find(SP_AGG_AVG, SP_AGG_INT8);
	const SpAggKernel *squares = sp_agg_find(SP_AGG_VAR_POP, SP_AGG_INT2);
	SpValue		three = {3, false};
	SpValue		four = {4, false};
	SpValue		null = {0, true};
	State		state;

	sp_agg_init(sum, state);
	add(sum, state, 1, &three);
	check(sp_agg_retract(sum, state, &four) == SP_AGG_NEVER_ADDED);
	check(sp_agg_retract(sum, state, &null) == SP_AGG_OK);
	check(sp_agg_retract(sum, state, &three) == SP_AGG_OK);

	sp_agg_init(wide, state);
	add(wide, state, 1, &three);
	check(sp_agg_retract(wide, state, &four) == SP_AGG_NEVER_ADDED);
	check(sp_agg_retract(wide, state, &three) == SP_AGG_OK);

	/* the squares of two values are less than that of another one */
	sp_agg_init(squares, state);
	add(squares, state, 1, &three);
	add(squares, state, 1, &three);
	four.bits = 5;
	check(sp_agg_retract(squares, state, &four) == SP_AGG_NEVER_ADDED);
	check(sp_agg_retract(squares, state, &three) == SP_AGG_OK);
	check(sp_agg_retract(squares, state, &four) == SP_AGG_NEVER_ADDED);
	check(sp_agg_retract(squares, state, &three) == SP_AGG_OK);

	check(!sp_agg_can_retract(sp_agg_find(SP_AGG_SUM, SP_AGG_FLOAT8)));
	check(!sp_agg_can_retract(sp_agg_find(SP_AGG_AVG, SP_AGG_FLOAT4)));
	check(!sp_agg_can_retract(sp_agg_find(SP_AGG_MIN, SP_AGG_INT4)));
}

/* Sums and counts at their limits: an error, and nothing has changed. */
static void
test_overflow(void)
{
	const SpAggKernel *count = sp_agg_find(SP_AGG_COUNT, SP_AGG_ANY);
	const SpAggKernel *sum = sp_agg_find(SP_AGG_SUM, SP_AGG_INT4);
	const SpAggKernel *real = sp_agg_find(SP_AGG_SUM, SP_AGG_FLOAT8);
	const SpAggKernel *single = sp_agg_find(SP_AGG_SUM, SP_AGG_FLOAT4);
	const SpAggKernel *mean = sp_agg_find(SP_AGG_AVG, SP_AGG_FLOAT8);
	SpAggCount	counts[2] = {{INT64_MAX - 2}, {3}};
	SpAggSum64	sums[2] = {{2, INT64_MAX - 5}, {1, 6}};
	SpAggSumFloat reals[2] = {{DBL_MAX, 1}, {DBL_MAX, 1}};
	SpAggSumFloat singles[2] = {{FLT_MAX, 1}, {FLT_MAX, 1}};
	SpAggMoments means[2] = {{1, 1e200, 0}, {1, -1e200, 0}};
	SpValue		value = {(uint64_t) -7, false};

	check(sp_agg_combine(count, &counts[0], &counts[1]) == SP_AGG_BIGINT_RANGE);
	check(counts[0].count == INT64_MAX - 2);
	counts[1].count = 2;
	check(sp_agg_combine(count, &counts[0], &counts[1]) == SP_AGG_OK);
	check(counts[0].count == INT64_MAX);

	check(sp_agg_combine(sum, &sums[0], &sums[1]) == SP_AGG_BIGINT_RANGE);
	check(sums[0].count == 2 && sums[0].sum == INT64_MAX - 5);
	check(sp_agg_retract(sum, &sums[0], &value) == SP_AGG_BIGINT_RANGE);
	check(sums[0].count == 2 && sums[0].sum == INT64_MAX - 5);

	check(sp_agg_combine(real, &reals[0], &reals[1]) == SP_AGG_FLOAT_OVERFLOW);
	check(reals[0].sum == DBL_MAX);
	reals[1].sum = INFINITY;
	check(sp_agg_combine(real, &reals[0], &reals[1]) == SP_AGG_OK && isinf(reals[0].sum));
	reals[1].sum = -INFINITY;
	check(sp_agg_combine(real, &reals[0], &reals[1]) == SP_AGG_OK && isnan(reals[0].sum));
	check(sp_agg_combine(single, &singles[0], &singles[1]) == SP_AGG_FLOAT_OVERFLOW);

	/* also where only the mean is asked for, as float8_combine does it */
	check(sp_agg_combine(mean, &means[0], &means[1]) == SP_AGG_FLOAT_OVERFLOW);
	check(means[0].count == 1 && means[0].sum == 1e200);
	means[1].sum = INFINITY;
	means[1].squares = NAN;
	check(sp_agg_combine(mean, &means[0], &means[1]) == SP_AGG_OK);
	check(means[0].count == 2 && isinf(means[0].sum) && isnan(means[0].squares));
}

/* In float4's precision, and of equal extremes the newer one. */
static void
test_float_details(void)
{
	const SpAggKernel *single = sp_agg_find(SP_AGG_SUM, SP_AGG_FLOAT4);
	const SpAggKernel *least = sp_agg_find(SP_AGG_MIN, SP_AGG_FLOAT8);
	const SpAggKernel *most = sp_agg_find(SP_AGG_MAX, SP_AGG_FLOAT4);
	SpValue		values[2];
	State		to;
	State		from;
	SpAggResult result;

	values[0] = real_value(SP_AGG_FLOAT4, 16777216);
	values[1] = real_value(SP_AGG_FLOAT4, 1);
	sp_agg_init(single, to);
	sp_agg_init(single, from);
	add(single, to, 1, &values[0]);
	add(single, from, 1, &values[1]);
	check(sp_agg_combine(single, to, from) == SP_AGG_OK);
	check(((SpAggSumFloat *) to)->sum == 16777216);

	values[0] = real_value(SP_AGG_FLOAT8, 0.0);
	values[1] = real_value(SP_AGG_FLOAT8, -0.0);
	sp_agg_init(least, to);
	sp_agg_init(least, from);
	add(least, to, 1, &values[0]);
	add(least, from, 1, &values[1]);
	check(sp_agg_combine(least, to, from) == SP_AGG_OK);
	sp_agg_result(least, to, &result);
	check(result.bits == values[1].bits);

	/* NaN is larger than all numbers */
	values[0] = real_value(SP_AGG_FLOAT4, INFINITY);
	values[1] = real_value(SP_AGG_FLOAT4, NAN);
	sp_agg_init(most, to);
	sp_agg_init(most, from);
	add(most, to, 1, &values[0]);
	add(most, from, 1, &values[1]);
	check(sp_agg_combine(most, to, from) == SP_AGG_OK);
	sp_agg_result(most, to, &result);
	check(isnan(real_of(most, result.bits)));
	check(sp_agg_combine(most, from, to) == SP_AGG_OK);
	sp_agg_result(most, from, &result);
	check(isnan(real_of(most, result.bits)));
	values[1] = real_value(SP_AGG_FLOAT8, NAN);
	sp_agg_init(least, to);
	sp_agg_init(least, from);
	add(least, to, 1, &values[1]);
	values[0] = real_value(SP_AGG_FLOAT8, INFINITY);
	add(least, from, 1, &values[0]);
	check(sp_agg_combine(least, to, from) == SP_AGG_OK);
	sp_agg_result(least, to, &result);
	check(real_of(least, result.bits) == INFINITY);
}

int
main(void)
{
	test_combine_all();
	test_retract_all();
	test_never_added();
	test_overflow();
	test_float_details();
	return failures > 0;
}
