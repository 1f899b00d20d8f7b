/*
 * batch_series.c
 *	  What batch methods say of a series in an array: several columns for each value of it, or its
 *	  period.
 *
 * Values are numbered from 1.  A value that is NULL, NaN or infinite is an error: leaving it out
 * would shift what comes behind it to another phase.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "engine/batch_work.h"
#include "kernel/batch/matrix_profile.h"
#include "kernel/batch/spectrum.h"
#include "kernel/batch/stl.h"

#define MAX_PERIOD		1000000
#define MAX_SEASONAL	1000001

/* The values of an array. */
typedef struct Series
{
	double	   *x;
	int			n;
} Series;

PG_FUNCTION_INFO_V1(sp_stl_decompose);
PG_FUNCTION_INFO_V1(sp_matrix_profile_full);
PG_FUNCTION_INFO_V1(sp_find_period_of);

/* ---- arguments ---- */

/* An argument must be within a range. */
static void
check_range(const char *function, const char *name, double value, double min, double max)
{
	if (value >= min && value <= max)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for parameter \"%s\" of %s(): %.15g", name, function, value),
			 errhint("It is from %.15g to %.15g.", min, max)));
}

/* Number i of the series can't be used. */
static void
refuse_element(const char *function, int i, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("value %d of the series given to %s() is %s", i + 1, function, what),
			 errhint("Fill gaps, or leave such values out, before the array is made.")));
}

/* A copy of the values; bytes_each: what the work on them takes for each. */
static Series
read_series(const char *function, ArrayType *array, double bytes_each)
{
	Series		series;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("the series given to %s() has %d dimensions, and must have 1", function,
						ARR_NDIM(array))));
	series.n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	sp_batch_work_limit(function, series.n * (bytes_each + sizeof(double)));
	if (array_contains_nulls(array))
	{
		const bits8 *bitmap = ARR_NULLBITMAP(array);

		for (int i = 0; i < series.n; i++)
		{
			if ((bitmap[i / 8] & (1 << i % 8)) == 0)
				refuse_element(function, i, "NULL");
		}
	}
	series.x = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(double) * Max(series.n, 1));
	memcpy(series.x, ARR_DATA_PTR(array), sizeof(double) * series.n);
	for (int i = 0; i < series.n; i++)
	{
		double		given = series.x[i];

		if (!sp_batch_work_accept(&series.x[i], 1))
			refuse_element(function, i, isnan(given) ? "NaN" : "infinite");
	}
	return series;
}

/* There are fewer values than it takes. */
static void
check_length(const char *function, int n, int64 least, const char *parameter)
{
	if (n < least)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a series of %d values is too short for %s()", n, function),
				 errdetail("With this \"%s\" it takes at least " INT64_FORMAT " values.",
						   parameter, least)));
}

/* A row of the result. */
static void
put_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	CHECK_FOR_INTERRUPTS();
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* ---- the functions ---- */

/* v float8[], period int4, robust bool, seasonal int4, threshold float8 */
Datum
sp_stl_decompose(PG_FUNCTION_ARGS)
{
	const char *function = "stl_decompose";
	int32		period = PG_GETARG_INT32(1);
	int32		seasonal = PG_GETARG_INT32(3);
	double		threshold = PG_GETARG_FLOAT8(4);
	bool		nulls[7] = {false};
	double	   *season;
	double	   *trend;
	double	   *scores;
	SpBatchWork work;
	Series		series;
	SpStl		stl;

	check_range(function, "period", period, 2, MAX_PERIOD);
	check_range(function, "seasonal", seasonal, 3, MAX_SEASONAL);
	check_range(function, "threshold", threshold, 0, HUGE_VAL);
	if (seasonal % 2 == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid parameters of stl_decompose(): \"seasonal\" must be an odd number")));
	InitMaterializedSRF(fcinfo, 0);
	series = read_series(function, PG_GETARG_ARRAYTYPE_P(0), 20 * sizeof(double));
	check_length(function, series.n, 2 * (int64) period, "period");
	sp_batch_work_begin(&work, function);
	season = work.work.allocate(&work.work, 3 * sizeof(double) * series.n);
	trend = season + series.n;
	scores = trend + series.n;
	sp_stl_defaults(&stl, period, seasonal, PG_GETARG_BOOL(2));
	sp_stl(&stl, series.x, series.n, season, trend, &work.work);
	sp_stl_score(series.x, season, trend, series.n, scores, &work.work);
	for (int i = 0; i < series.n; i++)
	{
		Datum		values[7] = {Int32GetDatum(i + 1), Float8GetDatum(series.x[i]),
			Float8GetDatum(trend[i]), Float8GetDatum(season[i]),
			Float8GetDatum(series.x[i] - season[i] - trend[i]), Float8GetDatum(scores[i]),
		BoolGetDatum(scores[i] > threshold)};

		put_row(fcinfo, values, nulls);
	}
	sp_batch_work_end(&work);
	return (Datum) 0;
}

/*
 * Of n stretches of m values those up to ndiscords that are the farthest from any other, none of
 * which overlaps with one before.
 */
static bool *
find_discords(const double *distances, int n, int m, int ndiscords, SpWork *work)
{
	bool	   *is_discord = work->allocate(work, n);
	bool	   *is_taken = work->allocate(work, n);

	memset(is_discord, 0, n);
	memset(is_taken, 0, n);
	for (int count = 0; count < ndiscords; count++)
	{
		int			farthest = -1;

		for (int i = 0; i < n; i++)
		{
			if (!is_taken[i] && !isnan(distances[i]) &&
				(farthest < 0 || distances[i] > distances[farthest]))
				farthest = i;
		}
		if (farthest < 0)
			break;
		is_discord[farthest] = true;
		for (int i = Max(0, farthest - m + 1); i < n && i - farthest < m; i++)
			is_taken[i] = true;
		work->check(work);
	}
	return is_discord;
}

/* v float8[], m int4, discords int4 */
Datum
sp_matrix_profile_full(PG_FUNCTION_ARGS)
{
	const char *function = "matrix_profile_full";
	int32		m = PG_GETARG_INT32(1);
	int32		ndiscords = PG_GETARG_INT32(2);
	bool	   *is_discord;
	double	   *distances;
	int64_t    *neighbours;
	SpBatchWork work;
	Series		series;
	int			n;

	check_range(function, "m", m, SP_MATRIX_PROFILE_MIN, INT_MAX / 2);
	check_range(function, "discords", ndiscords, 0, 1000);
	InitMaterializedSRF(fcinfo, 0);
	series = read_series(function, PG_GETARG_ARRAYTYPE_P(0), 9 * sizeof(double));
	check_length(function, series.n, m, "m");
	n = series.n - m + 1;
	sp_batch_work_begin(&work, function);
	distances = work.work.allocate(&work.work, sizeof(double) * n);
	neighbours = work.work.allocate(&work.work, sizeof(int64_t) * n);
	sp_matrix_profile(series.x, series.n, m, distances, neighbours, &work.work);
	is_discord = find_discords(distances, n, m, ndiscords, &work.work);
	for (int i = 0; i < n; i++)
	{
		bool		none = isnan(distances[i]);
		Datum		values[4] = {Int32GetDatum(i + 1), Float8GetDatum(distances[i]),
		Int32GetDatum((int32) neighbours[i] + 1), BoolGetDatum(is_discord[i])};
		bool		nulls[4] = {false, none, none, false};

		put_row(fcinfo, values, nulls);
	}
	sp_batch_work_end(&work);
	return (Datum) 0;
}

/* v float8[] */
Datum
sp_find_period_of(PG_FUNCTION_ARGS)
{
	Series		series = read_series("find_period", PG_GETARG_ARRAYTYPE_P(0), 32 * sizeof(double));
	SpBatchWork work;
	int32		period;

	sp_batch_work_begin(&work, "find_period");
	period = sp_find_period(series.x, series.n, &work.work);
	sp_batch_work_end(&work);
	if (period == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(period);
}
