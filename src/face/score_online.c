/*
 * score_online.c
 *	  score_online(method, ts, value or features, ...) OVER (PARTITION BY key ORDER BY ts): what a
 *	  detector says of rows in that order.
 *
 * The kernel, the decision and the learning are the detectors' own (engine/series.c), so
 * that a stream and a query over its rows agree to the last bit.  A row that a detector would
 * not score (NULL, NaN, infinite) has no result.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/float.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "windowapi.h"

#include "base/compat.h"
#include "engine/micro_method.h"
#include "engine/series.h"
#include "face/window_option.h"

/* Arguments. */
enum
{
	METHOD,
	TS,
	INPUT,						/* value, or features */
	PARAMS,
	THRESHOLD,
	DIRECTION,
	MIN_EFFECT,
	LEARN,
	NARGUMENTS
};

/* Of a query. */
typedef struct Scorer
{
	SpMethod   *method;			/* of the partition at work */
	MemoryContext context;		/* the method's, and that of firsts */
	SpOptionScope scopes[NARGUMENTS];
	SpOptionScope widest;		/* the last one in that order that an argument has */
	Datum		firsts[NARGUMENTS]; /* as they were at the partition's first row, where scope is ROW */
	bool		first_nulls[NARGUMENTS];
	TupleDesc	desc;			/* of the result */
	bool		takes_array;
	bool		has_zone;		/* ts is an instant */
} Scorer;

/* Of a partition. */
typedef struct Partition
{
	SpSeries   *series;			/* NULL: it has no past yet */
	SpPool	   *pool;			/* NULL: the method has none; its keys are one */
} Partition;

PG_FUNCTION_INFO_V1(sp_score_online);

/* ---- options ---- */

/* What must be the same for all rows of a partition: read at the first one. */
static inline Datum
read_option(FunctionCallInfo fcinfo, int n, bool *isnull)
{
	return WinGetFuncArgCurrent(PG_WINDOW_OBJECT(), n, isnull);
}

static void
find_scopes(FunctionCallInfo fcinfo, Scorer *scorer)
{
	for (int n = 0; n < NARGUMENTS; n++)
	{
		if (n == TS || n == INPUT)
			continue;
		scorer->scopes[n] = sp_window_option_scope(fcinfo->flinfo, n);
		scorer->widest = Max(scorer->widest, scorer->scopes[n]);
	}
}

/* Options that may change from row to row: note those of this one, or see that they are as noted. */
static void
compare_options(FunctionCallInfo fcinfo, Scorer *scorer, bool is_first)
{
	static const char *const names[] = {"method", NULL, NULL, "params", "threshold", "direction",
	"min_effect", "learn"};

	for (int n = 0; n < NARGUMENTS; n++)
	{
		int16		length;
		bool		by_value;
		bool		isnull;
		Datum		value;

		if (scorer->scopes[n] != SP_OPTION_OF_ROW)
			continue;
		value = read_option(fcinfo, n, &isnull);
		get_typlenbyval(get_fn_expr_argtype(fcinfo->flinfo, n), &length, &by_value);
		if (is_first)
		{
			scorer->first_nulls[n] = isnull;
			scorer->firsts[n] = isnull ? (Datum) 0 : datumCopy(value, by_value, length);
		}
		else if (isnull != scorer->first_nulls[n] ||
				 (!isnull && !datum_image_eq(value, scorer->firsts[n], by_value, length)))
			sp_window_option_refuse(names[n], "score_online");
	}
}

/* The number of a choice. */
static int
read_choice(FunctionCallInfo fcinfo, int n, const char *name, const char *const *choices)
{
	bool		isnull;
	Datum		value = read_option(fcinfo, n, &isnull);
	char	   *given = isnull ? NULL : text_to_cstring(DatumGetTextPP(value));
	StringInfoData list;

	for (int i = 0; given != NULL && choices[i] != NULL; i++)
	{
		if (strcmp(choices[i], given) == 0)
			return i;
	}
	initStringInfo(&list);
	for (int i = 0; choices[i] != NULL; i++)
		appendStringInfo(&list, "%s\"%s\"", i > 0 ? ", " : "", choices[i]);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for parameter \"%s\": %s", name,
					given != NULL ? psprintf("\"%s\"", given) : "NULL"),
			 errhint("There is %s.", list.data)));
	return 0;
}

/* A number that is finite and not negative; NULL: NaN, where that may be. */
static double
read_number(FunctionCallInfo fcinfo, int n, const char *name, bool may_be_null)
{
	bool		isnull;
	Datum		value = read_option(fcinfo, n, &isnull);

	if (isnull && may_be_null)
		return get_float8_nan();
	if (isnull || !isfinite(DatumGetFloat8(value)) || DatumGetFloat8(value) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"%s\" must be finite and not negative: %s", name,
						isnull ? "NULL" : psprintf("%g", DatumGetFloat8(value)))));
	return DatumGetFloat8(value);
}

/* The number of features of a row that has some, which all others must have. */
static int
count_features(FunctionCallInfo fcinfo, const char *name, const SpKernel *kernel, bool is_array)
{
	ArrayType  *array;
	bool		isnull;
	int			n;

	if (kernel->takes != SP_TAKES_FEATURES && kernel->takes != SP_TAKES_EITHER && is_array)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("method \"%s\" takes a value, not an array of features", name)));
	if (!is_array)
		return 1;
	array = DatumGetArrayTypeP(WinGetFuncArgCurrent(PG_WINDOW_OBJECT(), INPUT, &isnull));
	n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	if (n < 1 || n > SP_MAX_FEATURES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a row has %d features, and must have 1 to %d", n, SP_MAX_FEATURES)));
	return n;
}

/* The methods that it has, separated by commas. */
static char *
list_methods(void)
{
	StringInfoData list;

	initStringInfo(&list);
	for (const SpKernel *const *k = sp_micro_kernels(); *k != NULL; k++)
	{
		if ((*k)->batch == NULL)
			appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "", (*k)->name);
	}
	return list.data;
}

/* The method as the arguments say. */
static SpMethod *
open_method(FunctionCallInfo fcinfo, bool is_array)
{
	static const char *const directions[] = {"both", "high", "low", NULL};
	static const char *const learns[] = {"all", "normal", "capped", NULL};
	static const SpDirection direction_of[] = {SP_DIRECTION_BOTH, SP_DIRECTION_HIGH,
	SP_DIRECTION_LOW};
	static const SpLearn learn_of[] = {SP_LEARN_ALL, SP_LEARN_NORMAL, SP_LEARN_CAPPED};
	bool		isnull;
	Datum		value = read_option(fcinfo, METHOD, &isnull);
	char	   *name = isnull ? NULL : text_to_cstring(DatumGetTextPP(value));
	const SpKernel *kernel = NULL;
	SpMethodUse use;
	SpMethod   *method;

	if (name == NULL || !sp_method_find(name, &kernel) || kernel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for parameter \"method\": %s",
						name != NULL ? psprintf("\"%s\"", name) : "NULL"),
				 errhint("There is %s; rules need no function in SQL, and methods that score rows "
						 "together have functions of their own.", list_methods())));
	if (kernel->batch != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("score_online() has no method \"%s\": it scores rows together, not one by one",
						name),
				 errhint("Use the window function streamproc.%s(features) OVER (...).", name)));
	use.n = count_features(fcinfo, name, kernel, is_array);
	use.threshold = read_number(fcinfo, THRESHOLD, "threshold", true);
	use.direction = direction_of[read_choice(fcinfo, DIRECTION, "direction", directions)];
	use.min_effect = read_number(fcinfo, MIN_EFFECT, "min_effect", false);
	use.learn = learn_of[read_choice(fcinfo, LEARN, "learn", learns)];
	sp_method_check_use(name, kernel, &use);
	value = read_option(fcinfo, PARAMS, &isnull);
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("parameter \"params\" must not be null"),
				 errhint("Leave it out to have the defaults.")));
	method = sp_method_open(name, DatumGetJsonbP(value), &use);
	sp_method_check_threshold(method);
	return method;
}

/* What lasts as long as the query. */
static Scorer *
make_scorer(FunctionCallInfo fcinfo)
{
	MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	Scorer	   *scorer = palloc0(sizeof(Scorer));

	scorer->context = AllocSetContextCreate(CurrentMemoryContext, "streamproc score_online",
											ALLOCSET_SMALL_SIZES);
	scorer->takes_array = get_fn_expr_argtype(fcinfo->flinfo, INPUT) == FLOAT8ARRAYOID;
	scorer->has_zone = get_fn_expr_argtype(fcinfo->flinfo, TS) == TIMESTAMPTZOID;
	find_scopes(fcinfo, scorer);
	if (get_call_result_type(fcinfo, NULL, &scorer->desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "score_online() must return a composite type");
	scorer->desc = BlessTupleDesc(scorer->desc);
	MemoryContextSwitchTo(old);
	return scorer;
}

/* With the partition's method; NULL: no row of it has had features yet. */
static Scorer *
get_scorer(FunctionCallInfo fcinfo, const Partition *partition)
{
	Scorer	   *scorer = fcinfo->flinfo->fn_extra;
	bool		is_new = partition->series == NULL;
	bool		isnull;
	MemoryContext old;

	if (is_new)
	{
		(void) WinGetFuncArgCurrent(PG_WINDOW_OBJECT(), INPUT, &isnull);
		if (isnull && get_fn_expr_argtype(fcinfo->flinfo, INPUT) == FLOAT8ARRAYOID)
			return NULL;
	}
	if (scorer == NULL)
		scorer = fcinfo->flinfo->fn_extra = make_scorer(fcinfo);
	if (scorer->method != NULL && (!is_new || scorer->widest == SP_OPTION_OF_QUERY))
	{
		if (scorer->widest == SP_OPTION_OF_ROW)
			compare_options(fcinfo, scorer, false);
		return scorer;
	}
	scorer->method = NULL;
	MemoryContextReset(scorer->context);
	old = MemoryContextSwitchTo(scorer->context);
	scorer->method = open_method(fcinfo, scorer->takes_array);
	compare_options(fcinfo, scorer, true);
	MemoryContextSwitchTo(old);
	return scorer;
}

/* The row's features, some of which may be missing. */
static void
get_features(const Scorer *scorer, ArrayType *array, double *x, bool *missing)
{
	int			wanted = scorer->method->judge.setup.n;
	int			n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	Datum	   *elements;
	bool	   *nulls;

	if (n != wanted)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("a row has %d features, and the first one has %d", n, wanted)));
	memset(missing, false, n);
	if (!array_contains_nulls(array))
	{
		memcpy(x, ARR_DATA_PTR(array), sizeof(double) * n);
		return;
	}
	deconstruct_array(array, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &elements, &nulls, &n);
	for (int f = 0; f < n; f++)
	{
		missing[f] = nulls[f];
		x[f] = nulls[f] ? 0 : DatumGetFloat8(elements[f]);
	}
}

/* The row's numbers; false: it isn't scored, nor is one that has no array. */
static bool
get_numbers(FunctionCallInfo fcinfo, const Scorer *scorer, SpSeries *series, double *x)
{
	bool		missing[SP_MAX_FEATURES];
	bool		isnull;
	Datum		value = WinGetFuncArgCurrent(PG_WINDOW_OBJECT(), INPUT, &isnull);

	if (!scorer->takes_array)
	{
		missing[0] = isnull;
		x[0] = isnull ? 0 : DatumGetFloat8(value);
	}
	else if (isnull)
		return false;
	else
		get_features(scorer, DatumGetArrayTypeP(value), x, missing);
	return sp_series_take(scorer->method, series, x, missing, true) == SP_INPUT_TAKEN;
}

/* The row as a point; false: it isn't scored. */
static bool
get_point(FunctionCallInfo fcinfo, const Scorer *scorer, SpSeries *series, double *x,
		  SpPoint *point)
{
	bool		isnull;
	Datum		ts = WinGetFuncArgCurrent(PG_WINDOW_OBJECT(), TS, &isnull);

	if (isnull || !get_numbers(fcinfo, scorer, series, x))
		return false;
	point->x = x;
	point->time = point->local = DatumGetInt64(ts);
	if (!scorer->method->uses_time)
		return true;
	if (TIMESTAMP_NOT_FINITE(point->time))
		return false;
	if (scorer->has_zone || scorer->method->zone != NULL)
		point->local = sp_method_local_time(scorer->method, point->time);
	return true;
}

/* Begin what is kept of a partition, in its memory. */
static void
begin_series(Partition *partition, const SpMethod *method)
{
	MemoryContext context = GetMemoryChunkContext(partition);

	if (sp_series_have_pool(method))
	{
		partition->pool = MemoryContextAllocZero(context, sizeof(SpPool));
		sp_pool_init(partition->pool);
	}
	partition->series = MemoryContextAllocZero(context, sp_series_size(method));
	sp_series_init(method, partition->series);
}

/* NaN is NULL. */
static void
set_number(Datum *values, bool *nulls, int at, double x)
{
	values[at] = Float8GetDatum(x);
	nulls[at] = isnan(x);
}

/* method, ts, value float8 or features float8[], params, threshold, direction, min_effect, learn */
Datum
sp_score_online(PG_FUNCTION_ARGS)
{
	WindowObject window = PG_WINDOW_OBJECT();
	Partition  *partition = WinGetPartitionLocalMemory(window, sizeof(Partition));
	Scorer	   *scorer;
	double		x[SP_MAX_FEATURES];
	SpPoint		point;
	SpFinding	finding;
	Datum		values[6];
	bool		nulls[6] = {false};

	WinSetMarkPosition(window, WinGetCurrentPosition(window));
	scorer = get_scorer(fcinfo, partition);
	if (scorer == NULL)
		PG_RETURN_NULL();
	if (partition->series == NULL)
		begin_series(partition, scorer->method);
	if (!get_point(fcinfo, scorer, partition->series, x, &point))
		PG_RETURN_NULL();
	sp_series_judge(scorer->method, partition->series, partition->pool, &point, true, &finding,
					NULL);
	set_number(values, nulls, 0, finding.score.score);
	set_number(values, nulls, 1, finding.p_value);
	values[2] = BoolGetDatum(finding.is_anomaly);
	set_number(values, nulls, 3, finding.score.expected);
	set_number(values, nulls, 4, finding.score.lower_bound);
	set_number(values, nulls, 5, finding.score.upper_bound);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(scorer->desc, values, nulls)));
}
