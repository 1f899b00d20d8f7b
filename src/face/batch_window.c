/*
 * batch_window.c
 *	  Batch detectors as window functions: all points of a partition are scored at once, each row
 *	  gets its own.
 *
 * One function in C stands for all of them: its name in SQL is that of a kernel, whose parameters
 * are the arguments behind the features, in the order of the kernel's table, the same for all rows
 * of a partition.  Features are a
 * float8[] or, VARIADIC, columns, of which the server makes one; then no parameters can be given.
 * Kernels for one column take a float8.  Where there are no parameters columns are one and the
 * VARIADIC others, if any, for two functions can't both have nothing but a float8[].
 *
 * A row with a feature that is NULL, NaN or infinite has no score, and the others' don't depend
 * on it; but in a series it keeps its place, and something stands in for it.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "windowapi.h"

#include "engine/batch_work.h"
#include "engine/param.h"
#include "face/window_option.h"
#include "kernel/batch/gap.h"
#include "kernel/batch/kernels.h"

#define ROWS_AT_ONCE	64		/* whose arguments are in memory */

/* What lasts as long as the query. */
typedef struct Detector
{
	const SpBatchKernel *kernel;
	void	   *params;			/* of the partition at work */
	bool		has_first;		/* the first feature is an argument of its own */
	bool		is_alone;		/* and the only one */
	int			noptions;		/* arguments behind the features: the kernel's parameters */
	SpOptionScope *scopes;		/* [noptions] */
	void	   *again;			/* as params: those of a row, where they may change; or NULL */
} Detector;

/* Of a partition. */
typedef struct Partition
{
	bool		scored;
	double	   *scores;			/* by row; NaN: none */
} Partition;

/* The points at work, in the partition's memory. */
typedef struct Reading
{
	FunctionCallInfo fcinfo;
	const Detector *detector;
	MemoryContext context;
	int64		nrows;
	SpMatrix	points;
	double	   *x;				/* those of points, room for nrows of them */
	int64	   *row_of;			/* [n]; -1: a gap, whose value is NaN */
	int64		ngaps;
} Reading;

PG_FUNCTION_INFO_V1(sp_batch_window);

/* Argument n of a row; false: it is null. */
static bool
get_argument(WindowObject window, int n, int64 row, Datum *value)
{
	bool		isnull;
	bool		isout;

	*value = WinGetFuncArgInPartition(window, n, (int) row, WINDOW_SEEK_HEAD, false, &isnull, &isout);
	return !isnull;
}

/* ---- parameters ---- */

/* The value isn't one that the parameter can have. */
static void
refuse_value(const SpBatchKernel *kernel, const SpParam *param, const char *given)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for parameter \"%s\" of %s(): %s", param->name, kernel->name,
					given),
			 errhint("It is %s, by default %s.", sp_param_range_text(param),
					 sp_param_default_text(param))));
}

static void
set_number(const SpBatchKernel *kernel, const SpParam *param, double x, void *params)
{
	char	   *to = (char *) params + param->offset;

	if (!(x >= param->min && x <= param->max))
		refuse_value(kernel, param, psprintf("%g", x));
	if (param->type == SP_PARAM_FLOAT)
		*(double *) to = x;
	else
		*(int32 *) to = (int32) x;
}

static void
set_choice(const SpBatchKernel *kernel, const SpParam *param, const char *given, void *params)
{
	for (int i = 0; param->choices[i] != NULL; i++)
	{
		if (strcmp(param->choices[i], given) == 0)
		{
			*(int32 *) ((char *) params + param->offset) = i;
			return;
		}
	}
	refuse_value(kernel, param, psprintf("\"%s\"", given));
}

/* The kernel's parameter number i, as the row has it. */
static void
set_param(FunctionCallInfo fcinfo, const SpBatchKernel *kernel, int i, int64 row, void *params)
{
	const SpParam *param = &kernel->param_table[i];
	Datum		value;

	if (!get_argument(PG_WINDOW_OBJECT(), i + 1, row, &value))
		refuse_value(kernel, param, "NULL");
	switch (get_fn_expr_argtype(fcinfo->flinfo, i + 1))
	{
		case INT4OID:
			set_number(kernel, param, DatumGetInt32(value), params);
			break;
		case FLOAT8OID:
			set_number(kernel, param, DatumGetFloat8(value), params);
			break;
		case BOOLOID:
			*(int32 *) ((char *) params + param->offset) = DatumGetBool(value);
			break;
		case TEXTOID:
			set_choice(kernel, param, TextDatumGetCString(value), params);
			break;
		default:
			elog(ERROR, "parameter \"%s\" of %s() has a type that isn't known", param->name,
				 kernel->name);
	}
}

/* Parameters that don't go together. */
static void
check_params(const SpBatchKernel *kernel, const void *params)
{
	const char *conflict = kernel->conflict != NULL ? kernel->conflict(params) : NULL;

	if (conflict != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid parameters of %s(): %s", kernel->name, conflict)));
}

/* Parameters that may be others in each partition, as its first row has them. */
static void
begin_params(FunctionCallInfo fcinfo, const Detector *detector)
{
	for (int i = 0; i < detector->noptions; i++)
	{
		if (detector->scopes[i] != SP_OPTION_OF_QUERY)
			set_param(fcinfo, detector->kernel, i, 0, detector->params);
	}
	check_params(detector->kernel, detector->params);
}

/* An error where a row has others than the first one. */
static void
compare_params(FunctionCallInfo fcinfo, const Detector *detector, int64 row)
{
	for (int i = 0; i < detector->noptions; i++)
	{
		const SpParam *param = &detector->kernel->param_table[i];

		if (detector->scopes[i] != SP_OPTION_OF_ROW)
			continue;
		set_param(fcinfo, detector->kernel, i, row, detector->again);
		if (memcmp((char *) detector->params + param->offset,
				   (char *) detector->again + param->offset,
				   param->type == SP_PARAM_FLOAT ? sizeof(double) : sizeof(int32)) != 0)
			sp_window_option_refuse(param->name, detector->kernel->name);
	}
}

/* What is known of the arguments. */
static void
bind_params(FunctionCallInfo fcinfo, Detector *detector)
{
	Size		size = Max(detector->kernel->params_size, 1);

	detector->params = palloc0(size);
	sp_batch_defaults(detector->kernel, detector->params);
	detector->has_first = detector->kernel->max_columns != 1 &&
		get_fn_expr_argtype(fcinfo->flinfo, 0) == FLOAT8OID;
	detector->is_alone = detector->has_first && PG_NARGS() == 1;
	detector->noptions = detector->has_first ? 0 : PG_NARGS() - 1;
	detector->scopes = palloc(sizeof(SpOptionScope) * Max(detector->noptions, 1));
	for (int i = 0; i < detector->noptions; i++)
	{
		detector->scopes[i] = sp_window_option_scope(fcinfo->flinfo, i + 1);
		if (detector->scopes[i] == SP_OPTION_OF_QUERY)
			set_param(fcinfo, detector->kernel, i, 0, detector->params);
		else if (detector->scopes[i] == SP_OPTION_OF_ROW && detector->again == NULL)
			detector->again = palloc0(size);
	}
}

static Detector *
get_detector(FunctionCallInfo fcinfo)
{
	Detector   *detector = fcinfo->flinfo->fn_extra;
	MemoryContext old;
	char	   *name;

	if (detector != NULL)
		return detector;
	old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	detector = palloc0(sizeof(Detector));
	name = get_func_name(fcinfo->flinfo->fn_oid);
	detector->kernel = name != NULL ? sp_batch_find(name) : NULL;
	if (detector->kernel == NULL)
		elog(ERROR, "there is no batch detector of this name");
	bind_params(fcinfo, detector);
	MemoryContextSwitchTo(old);
	fcinfo->flinfo->fn_extra = detector;
	return detector;
}

/* ---- points ---- */

/* The first features: they say how many columns there are. */
static void
begin_points(Reading *r, int d)
{
	double		n = (double) r->nrows;
	double		bytes = n * (sizeof(double) * (d + 1.0) + sizeof(int64)) +
		r->detector->kernel->memory(r->detector->params, n, d);

	if (d < 1 || d > SP_BATCH_MAX_COLUMNS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a row has %d features, and must have 1 to %d", d, SP_BATCH_MAX_COLUMNS)));
	sp_batch_work_limit(r->detector->kernel->name, bytes);
	r->points.d = d;
	r->x = MemoryContextAllocHuge(r->context, sizeof(double) * r->nrows * d);
	r->points.x = r->x;
	r->row_of = MemoryContextAllocHuge(r->context, sizeof(int64) * r->nrows);
}

/* The features of a row: an array's, behind the first one where that stands apart. */
static void
add_point(Reading *r, int64 row, const double *first, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	int			apart = first != NULL;
	int			d = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) + apart;
	double	   *to;

	if (r->points.d == 0)
		begin_points(r, d);
	if (d != r->points.d)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("a row has %d features, and the first one has %d", d, r->points.d)));
	to = r->x + r->points.n * d;
	if (!array_contains_nulls(array))
	{
		if (apart)
			*to = *first;
		memcpy(to + apart, ARR_DATA_PTR(array), sizeof(double) * (d - apart));
		if (sp_batch_work_accept(to, d))
			r->row_of[r->points.n++] = row;
	}
}

/* The value of a row; NaN: it has none. */
static void
add_value(Reading *r, int64 row, double value)
{
	size_t		i;

	if (r->points.d == 0)
		begin_points(r, 1);
	i = r->points.n;
	r->x[i] = value;
	if (sp_batch_work_accept(&r->x[i], 1))
		r->row_of[r->points.n++] = row;
	else if (r->detector->kernel->period != NULL)
	{
		r->x[i] = get_float8_nan();
		r->row_of[r->points.n++] = -1;
		r->ngaps++;
	}
}

/* A row of the partition, if it has all features. */
static void
read_point(WindowObject window, Reading *r, int64 row)
{
	Datum		value;
	Datum		others;
	double		first;
	bool		is_there = get_argument(window, 0, row, &value);

	if (r->detector->kernel->max_columns == 1)
		add_value(r, row, is_there ? DatumGetFloat8(value) : get_float8_nan());
	else if (!is_there)
		return;
	else if (!r->detector->has_first)
		add_point(r, row, NULL, value);
	else if (r->detector->is_alone)
		add_value(r, row, DatumGetFloat8(value));
	else if (get_argument(window, 1, row, &others))
	{
		first = DatumGetFloat8(value);
		add_point(r, row, &first, others);
	}
}

/* All rows of the partition; arguments are evaluated in memory that is used again and again. */
static void
read_points(WindowObject window, Reading *r)
{
	MemoryContext arguments = AllocSetContextCreate(r->context, "streamproc batch arguments",
													ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(arguments);

	for (int64 row = 0; row < r->nrows; row++)
	{
		if (row % ROWS_AT_ONCE == 0)
		{
			CHECK_FOR_INTERRUPTS();
			MemoryContextReset(arguments);
		}
		if (r->detector->again != NULL)
			compare_params(r->fcinfo, r->detector, row);
		read_point(window, r, row);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(arguments);
}

/* ---- scores ---- */

/* Score a series in which rows lack a value: all rows are points. */
static void
score_with_gaps(const Reading *r, double *scores, SpWork *work)
{
	const SpBatchKernel *kernel = r->detector->kernel;

	if (sp_gap_fill(r->x, r->points.n, kernel->period(r->detector->params), work))
		kernel->score(r->detector->params, &r->points, scores, work);
	for (size_t i = 0; i < r->points.n; i++)
	{
		if (r->row_of[i] < 0)
			scores[i] = get_float8_nan();
	}
}

/* Score the points, and note each row's. */
static void
score_points(const Reading *r, Partition *partition)
{
	SpBatchWork work;
	double	   *scores;

	partition->scores = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(double) * r->nrows);
	for (int64 row = 0; row < r->nrows; row++)
		partition->scores[row] = get_float8_nan();
	if (r->points.n == 0)
		return;
	sp_batch_work_begin(&work, r->detector->kernel->name);
	scores = r->points.n == r->nrows ? partition->scores :
		work.work.allocate(&work.work, sizeof(double) * r->points.n);
	if (r->ngaps > 0)
		score_with_gaps(r, scores, &work.work);
	else
		r->detector->kernel->score(r->detector->params, &r->points, scores, &work.work);
	for (size_t i = 0; scores != partition->scores && i < r->points.n; i++)
		partition->scores[r->row_of[i]] = scores[i];
	sp_batch_work_end(&work);
}

/* Score a partition, in a memory context that ends with it. */
static void
score_partition(FunctionCallInfo fcinfo, const Detector *detector, Partition *partition)
{
	WindowObject window = PG_WINDOW_OBJECT();
	Reading		r = {.fcinfo = fcinfo, .detector = detector,
	.nrows = WinGetPartitionRowCount(window)};
	MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(partition));

	r.context = CurrentMemoryContext;
	begin_params(fcinfo, detector);
	read_points(window, &r);
	score_points(&r, partition);
	if (r.x != NULL)
		pfree(r.x);
	if (r.row_of != NULL)
		pfree(r.row_of);
	partition->scored = true;
	MemoryContextSwitchTo(old);
}

/* features float8[] or VARIADIC, then the kernel's parameters */
Datum
sp_batch_window(PG_FUNCTION_ARGS)
{
	WindowObject window = PG_WINDOW_OBJECT();
	Detector   *detector = get_detector(fcinfo);
	Partition  *partition = WinGetPartitionLocalMemory(window, sizeof(Partition));
	double		score;

	if (!partition->scored)
		score_partition(fcinfo, detector, partition);
	score = partition->scores[WinGetCurrentPosition(window)];
	if (isnan(score))
		PG_RETURN_NULL();
	if (detector->kernel->is_label)
		PG_RETURN_INT32((int32) score);
	PG_RETURN_FLOAT8(score);
}
