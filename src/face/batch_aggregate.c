/*
 * batch_aggregate.c
 *	  Aggregates that choose the settings of batch detectors: suggest_eps and anomaly_threshold.
 *
 * Both keep all numbers until the end, in memory that streamproc.max_batch_memory limits.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "utils/array.h"
#include "utils/float.h"
#include "utils/memutils.h"

#include "engine/batch_work.h"
#include "kernel/batch/order.h"
#include "kernel/batch/suggest_eps.h"

#define FIRST_ROOM	64			/* numbers */

/* What an aggregate keeps. */
typedef struct Numbers
{
	MemoryContext context;
	const char *function;
	double	   *x;
	size_t		n;
	size_t		room;

	/* suggest_eps: */
	int			d;				/* features of a row; 0: there was none yet */
	int32		min_points;

	/* anomaly_threshold: */
	size_t		nnan;			/* scores that are NaN, which are above all others */
} Numbers;

PG_FUNCTION_INFO_V1(sp_suggest_eps_add);
PG_FUNCTION_INFO_V1(sp_suggest_eps_final);
PG_FUNCTION_INFO_V1(sp_anomaly_threshold_add);
PG_FUNCTION_INFO_V1(sp_anomaly_threshold_final);

/* The state, which begins with the first row. */
static Numbers *
get_numbers(FunctionCallInfo fcinfo, const char *function)
{
	MemoryContext context;
	Numbers    *numbers;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "%s() was called outside of an aggregate", function);
	if (!PG_ARGISNULL(0))
		return (Numbers *) PG_GETARG_POINTER(0);
	numbers = MemoryContextAllocZero(context, sizeof(Numbers));
	numbers->context = context;
	numbers->function = function;
	return numbers;
}

/* Room for some more numbers. */
static double *
make_room(Numbers *numbers, size_t more)
{
	if (numbers->n + more > numbers->room)
	{
		size_t		room = Max(Max(2 * numbers->room, FIRST_ROOM), numbers->n + more);

		sp_batch_work_limit(numbers->function, (double) room * sizeof(double));
		if (numbers->x == NULL)
			numbers->x = MemoryContextAllocHuge(numbers->context, room * sizeof(double));
		else
			numbers->x = repalloc_huge(numbers->x, room * sizeof(double));
		numbers->room = room;
	}
	return numbers->x + numbers->n;
}

/* ---- suggest_eps ---- */

/* min_points must be there, and the same for all rows. */
static void
set_min_points(Numbers *numbers, bool isnull, int32 min_points)
{
	if (isnull || min_points < 1 || min_points > 10000)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for parameter \"min_points\" of suggest_eps(): %s",
						isnull ? "NULL" : psprintf("%d", min_points)),
				 errhint("It is from 1 to 10000.")));
	if (numbers->min_points != 0 && numbers->min_points != min_points)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"min_points\" of suggest_eps() must be the same for all rows"),
				 errdetail("It is %d, and was %d before.", min_points, numbers->min_points)));
	numbers->min_points = min_points;
}

/* state internal, features float8[], min_points int4 */
Datum
sp_suggest_eps_add(PG_FUNCTION_ARGS)
{
	Numbers    *numbers = get_numbers(fcinfo, "suggest_eps");
	ArrayType  *array;
	double	   *to;
	int			d;

	set_min_points(numbers, PG_ARGISNULL(2), PG_ARGISNULL(2) ? 0 : PG_GETARG_INT32(2));
	if (PG_ARGISNULL(1))
		PG_RETURN_POINTER(numbers);
	array = PG_GETARG_ARRAYTYPE_P(1);
	d = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	if (d < 1 || d > SP_BATCH_MAX_COLUMNS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a row has %d features, and must have 1 to %d", d, SP_BATCH_MAX_COLUMNS)));
	if (numbers->d != 0 && d != numbers->d)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("a row has %d features, and the first one has %d", d, numbers->d)));
	numbers->d = d;
	if (array_contains_nulls(array))
		PG_RETURN_POINTER(numbers);
	to = make_room(numbers, d);
	memcpy(to, ARR_DATA_PTR(array), sizeof(double) * d);
	if (sp_batch_work_accept(to, d))
		numbers->n += d;
	PG_RETURN_POINTER(numbers);
}

/* state internal */
Datum
sp_suggest_eps_final(PG_FUNCTION_ARGS)
{
	Numbers    *numbers = PG_ARGISNULL(0) ? NULL : (Numbers *) PG_GETARG_POINTER(0);
	SpMatrix	points;
	SpBatchWork work;
	double		eps;

	if (numbers == NULL || numbers->n == 0)
		PG_RETURN_NULL();
	points.x = numbers->x;
	points.d = numbers->d;
	points.n = numbers->n / numbers->d;
	sp_batch_work_limit(numbers->function, (double) numbers->room * sizeof(double) +
						sp_suggest_eps_memory((double) points.n, points.d, numbers->min_points));
	sp_batch_work_begin(&work, numbers->function);
	eps = sp_suggest_eps(&points, numbers->min_points, &work.work);
	sp_batch_work_end(&work);
	if (!(eps > 0))
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(eps);
}

/* ---- anomaly_threshold ---- */

/* state internal, score float8 */
Datum
sp_anomaly_threshold_add(PG_FUNCTION_ARGS)
{
	Numbers    *numbers = get_numbers(fcinfo, "anomaly_threshold");

	if (PG_ARGISNULL(1))
		PG_RETURN_POINTER(numbers);
	if (isnan(PG_GETARG_FLOAT8(1)))
		numbers->nnan++;
	else
	{
		*make_room(numbers, 1) = PG_GETARG_FLOAT8(1);
		numbers->n++;
	}
	PG_RETURN_POINTER(numbers);
}

/* So many of n rows are at most this part of them. */
static size_t
count_above(double contamination, size_t n)
{
	size_t		above = (size_t) (contamination * (double) n);

	/* 0.29 * 100 is a little less than 29 */
	if (above < n && (double) (above + 1) / (double) n <= contamination)
		above++;
	return above;
}

/* state internal, contamination float8 [, score float8: its type only] */
Datum
sp_anomaly_threshold_final(PG_FUNCTION_ARGS)
{
	Numbers    *numbers = PG_ARGISNULL(0) ? NULL : (Numbers *) PG_GETARG_POINTER(0);
	double		contamination;
	double		threshold;
	size_t		above;
	size_t		n;
	SpBatchWork work;

	if (PG_ARGISNULL(1))
		PG_RETURN_NULL();
	contamination = PG_GETARG_FLOAT8(1);
	if (!(contamination >= 0 && contamination <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for parameter \"contamination\" of anomaly_threshold(): %g",
						contamination),
				 errhint("It is the part of the rows that may be above the threshold, from 0 to 1.")));
	if (numbers == NULL || numbers->n + numbers->nnan == 0)
		PG_RETURN_NULL();
	n = numbers->n + numbers->nnan;
	above = count_above(contamination, n);
	if (above == n)
		PG_RETURN_FLOAT8(-get_float8_infinity());
	if (above < numbers->nnan)
		PG_RETURN_FLOAT8(get_float8_nan());
	sp_batch_work_begin(&work, numbers->function);
	threshold = sp_order_select(numbers->x, numbers->n, n - above - 1, &work.work);
	sp_batch_work_end(&work);
	PG_RETURN_FLOAT8(threshold);
}
