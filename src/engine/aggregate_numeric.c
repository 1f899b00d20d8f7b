/*
 * aggregate_numeric.c
 *	  Sums, averages and variances of integers as numeric, by the server's own functions.
 *
 * What the server's scale and rounding depend on is then the server's own: numeric_div
 * for averages, as in its final functions; for variances those final functions
 * themselves, on a state that its numeric_deserialize makes of our sums.  That form is
 * numeric_serialize's: a wire format for parallel workers, the same in all majors so far.
 */
#include "postgres.h"

#include "engine/aggregate_internal.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "nodes/execnodes.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#define NUMERIC_POSITIVE	0x0000
#define NUMERIC_NEGATIVE	0x4000

/* Scratch memory for results, reset after each. */
static MemoryContext scratch = NULL;

/* The words of a number without its sign. */
static void
split_words(SpInt128 number, uint64 words[3])
{
	SpUint128	magnitude = number < 0 ? -(SpUint128) number : (SpUint128) number;

	words[0] = (uint64) magnitude;
	words[1] = (uint64) (magnitude >> 64);
	words[2] = 0;
}

/* An integer as numeric. */
static Datum
make_numeric(SpInt128 number)
{
	StringInfoData buf;
	uint64		words[3];
	int16		digits[SP_AGG_MAX_DIGITS];
	int			ndigits;
	int			i;

	if (number >= PG_INT64_MIN && number <= PG_INT64_MAX)
		return NumericGetDatum(int64_to_numeric((int64) number));

	split_words(number, words);
	ndigits = sp_agg_digits(words, digits);
	initStringInfo(&buf);
	pq_sendint16(&buf, ndigits);
	pq_sendint16(&buf, ndigits - 1);	/* weight of the first digit */
	pq_sendint16(&buf, number < 0 ? NUMERIC_NEGATIVE : NUMERIC_POSITIVE);
	pq_sendint16(&buf, 0);		/* scale */
	for (i = 0; i < ndigits; i++)
		pq_sendint16(&buf, digits[i]);
	return DirectFunctionCall3(numeric_recv, PointerGetDatum(&buf),
							   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
}

/* A number in the form of numeric_serialize. */
static void
append_serialized(StringInfo buf, bool negative, const uint64 words[3])
{
	int16		digits[SP_AGG_MAX_DIGITS];
	int			ndigits = sp_agg_digits(words, digits);
	int			i;

	pq_sendint32(buf, ndigits);
	pq_sendint32(buf, ndigits - 1);
	pq_sendint32(buf, negative ? NUMERIC_NEGATIVE : NUMERIC_POSITIVE);
	pq_sendint32(buf, 0);
	for (i = 0; i < ndigits; i++)
		pq_sendint16(buf, digits[i]);
}

/* The server's state of the variances of numeric. */
static bytea *
serialize_sums(const SpAggResult *result)
{
	StringInfoData buf;
	uint64		words[3];
	int			i;

	pq_begintypsend(&buf);
	pq_sendint64(&buf, result->count);
	split_words(result->sum, words);
	append_serialized(&buf, result->sum < 0, words);
	append_serialized(&buf, false, result->squares);
	pq_sendint32(&buf, 0);		/* largest scale of an input */
	pq_sendint64(&buf, result->count);	/* how many had it */
	for (i = 0; i < 3; i++)
		pq_sendint64(&buf, 0);	/* NaN, infinity, -infinity */
	return pq_endtypsend(&buf);
}

/* Call a function as an aggregate calls its support functions. */
static Datum
call_as_aggregate(PGFunction function, int nargs, Datum first)
{
	static AggState *aggstate = NULL;
	LOCAL_FCINFO(fcinfo, 2);
	Datum		result;

	if (aggstate == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		aggstate = makeNode(AggState);
		MemoryContextSwitchTo(old);
	}
	InitFunctionCallInfoData(*fcinfo, NULL, nargs, InvalidOid, (fmNodePtr) aggstate, NULL);
	fcinfo->args[0].value = first;
	fcinfo->args[0].isnull = false;
	fcinfo->args[1].value = (Datum) 0;
	fcinfo->args[1].isnull = false;
	result = function(fcinfo);
	if (fcinfo->isnull)
		elog(ERROR, "unexpected null from a function of numeric");
	return result;
}

/* A variance or a standard deviation. */
static Datum
make_variance(SpAggFunction function, const SpAggResult *result)
{
	Datum		state = call_as_aggregate(numeric_deserialize, 2,
										  PointerGetDatum(serialize_sums(result)));

	switch (function)
	{
		case SP_AGG_VAR_POP:
			return call_as_aggregate(numeric_var_pop, 1, state);
		case SP_AGG_VAR_SAMP:
			return call_as_aggregate(numeric_var_samp, 1, state);
		case SP_AGG_STDDEV_POP:
			return call_as_aggregate(numeric_stddev_pop, 1, state);
		case SP_AGG_STDDEV_SAMP:
			return call_as_aggregate(numeric_stddev_samp, 1, state);
		default:
			elog(ERROR, "aggregate function %d has no variance", (int) function);
			return (Datum) 0;
	}
}

/* A result that is numeric, in the current memory context. */
Datum
sp_aggregate_numeric(SpAggFunction function, const SpAggResult *result)
{
	MemoryContext old = CurrentMemoryContext;
	Datum		value;

	if (scratch == NULL)
		scratch = AllocSetContextCreate(TopMemoryContext, "streamproc numeric results",
										ALLOCSET_SMALL_SIZES);
	MemoryContextReset(scratch);
	MemoryContextSwitchTo(scratch);

	if (result->kind == SP_AGG_RESULT_VARIANCE)
		value = make_variance(function, result);
	else
	{
		value = make_numeric(result->sum);
		if (result->kind == SP_AGG_RESULT_AVG)
			value = DirectFunctionCall2(numeric_div, value,
										NumericGetDatum(int64_to_numeric(result->count)));
	}

	MemoryContextSwitchTo(old);
	return NumericGetDatum(DatumGetNumericCopy(value));
}
