/*
 * robust_stats.c
 *	  robust_stats(v): what values are like, where a few of them may be anything.
 */
#include "postgres.h"

#include <math.h>

#include "base/compat.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/float.h"

#include "engine/batch_work.h"
#include "face/training.h"
#include "kernel/batch/order.h"

#define SHRINK	0x1p-600		/* of numbers whose squares would be infinite; exact, but for the tiniest */

PG_FUNCTION_INFO_V1(sp_robust_stats_step);
PG_FUNCTION_INFO_V1(sp_robust_stats_final);

/* The columns of the result. */
enum
{
	N,
	MIN_VALUE,
	Q1,
	MEDIAN,
	Q3,
	MAX_VALUE,
	MAD,
	MEAN,
	DEVIATION,
	NCOLUMNS
};

/* state, v */
Datum
sp_robust_stats_step(PG_FUNCTION_ARGS)
{
	SpTraining *training = PG_ARGISNULL(0) ? NULL : (SpTraining *) PG_GETARG_POINTER(0);
	MemoryContext context = sp_training_context(fcinfo);

	if (training == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		training = sp_training_begin(NULL, palloc(1), 1);
		MemoryContextSwitchTo(old);
	}
	if (!PG_ARGISNULL(1))
	{
		training->row[0] = PG_GETARG_FLOAT8(1);
		if (isfinite(training->row[0]))
			sp_training_add(training, context);
	}
	PG_RETURN_POINTER(training);
}

/* Copy numbers, and shrink them if one is so large that it takes that; returns what grows them again. */
static double
copy_values(double *to, const double *from, size_t n)
{
	double		largest = 0;

	memcpy(to, from, sizeof(double) * n);
	for (size_t i = 0; i < n; i++)
		largest = fmax(largest, fabs(to[i]));
	if (largest <= SP_BATCH_MAX)
		return 1;
	for (size_t i = 0; i < n; i++)
		to[i] *= SHRINK;
	return 1 / SHRINK;
}

/* The median of the distances from the median; x is used up. */
static double
find_mad(double *x, size_t n, double median, SpWork *work)
{
	for (size_t i = 0; i < n; i++)
		x[i] = fabs(x[i] - median);
	return sp_order_quantile(x, n, 0.5, work);
}

/* state */
Datum
sp_robust_stats_final(PG_FUNCTION_ARGS)
{
	SpTraining *training = PG_ARGISNULL(0) ? NULL : (SpTraining *) PG_GETARG_POINTER(0);
	Datum		values[NCOLUMNS];
	bool		nulls[NCOLUMNS] = {false};
	TupleDesc	desc;
	SpColumn	c;
	SpBatchWork work;
	double	   *x;
	double		grow;
	size_t		n;

	if (training == NULL || training->gather.n == 0)
		PG_RETURN_NULL();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "the result of robust_stats() is no composite type");
	n = training->gather.kept;
	sp_training_check_memory(training, n);
	sp_batch_work_begin(&work, training->name);
	x = work.work.allocate(&work.work, sizeof(double) * n);
	grow = copy_values(x, training->gather.x, n);
	sp_order_describe_values(x, n, &c, &work.work);
	values[N] = Int64GetDatum((int64) n);
	values[MIN_VALUE] = Float8GetDatum(c.min * grow);
	values[Q1] = Float8GetDatum(c.q1 * grow);
	values[MEDIAN] = Float8GetDatum(c.median * grow);
	values[Q3] = Float8GetDatum(c.q3 * grow);
	values[MAX_VALUE] = Float8GetDatum(c.max * grow);
	values[MAD] = Float8GetDatum(find_mad(x, n, c.median, &work.work) * grow);
	values[MEAN] = Float8GetDatum(c.mean * grow);
	values[DEVIATION] = Float8GetDatum(c.deviation * grow);
	sp_batch_work_end(&work);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
