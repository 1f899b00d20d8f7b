/*
 * windowing.c
 *	  tumble(ts, size, origin, time_zone), hop(ts, slide, size, ...) and cumulate(ts, step,
 *	  size, ...): the windows of a time, a row each, in order.
 *
 * No row for NULL.  The arithmetic is that of the engine (base/steps.h); a tumbling window
 * is a hopping one whose slide is its size.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "funcapi.h"
#include "nodes/execnodes.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/steps.h"

#define TS 0

typedef enum Function
{
	TUMBLE,
	HOP,
	CUMULATE
} Function;

/* The numbers of a function's arguments behind ts. */
typedef struct Arguments
{
	int			slide;			/* or step; tumble: the size */
	int			size;
	int			origin;
	int			time_zone;
} Arguments;

static const Arguments arguments[] = {
	[TUMBLE] = {1, 1, 2, 3},
	[HOP] = {1, 2, 3, 4},
	[CUMULATE] = {1, 2, 3, 4},
};

/*
 * What the last call was about; most calls differ in ts only.  Between the calls that
 * return a time's windows: the next one, and the last one's end.
 */
typedef struct WindowingState
{
	Oid			time_type;
	Interval	size;
	Interval	slide;
	bool		has_origin;
	Timestamp	origin;
	char		time_zone[TZ_STRLEN_MAX + 1];
	SpTumbling	tumbling;		/* tumble */
	SpSteps		steps;			/* the others */
	TupleDesc	desc;

	bool		active;
	int64		start;
	int64		end;
	int64		last_end;
} WindowingState;


PG_FUNCTION_INFO_V1(sp_tumble);
PG_FUNCTION_INFO_V1(sp_hop);
PG_FUNCTION_INFO_V1(sp_cumulate);

/* ---- Arguments. ---- */

static bool
is_same_interval(const Interval *a, const Interval *b)
{
	return a->month == b->month && a->day == b->day && a->time == b->time;
}

static bool
is_same(const WindowingState *state, FunctionCallInfo fcinfo, const Arguments *args)
{
	text	   *zone = PG_GETARG_TEXT_PP(args->time_zone);
	Size		length = VARSIZE_ANY_EXHDR(zone);

	return is_same_interval(&state->size, PG_GETARG_INTERVAL_P(args->size)) &&
		is_same_interval(&state->slide, PG_GETARG_INTERVAL_P(args->slide)) &&
		state->has_origin == !PG_ARGISNULL(args->origin) &&
		(!state->has_origin || state->origin == PG_GETARG_TIMESTAMP(args->origin)) &&
		strlen(state->time_zone) == length &&
		memcmp(state->time_zone, VARDATA_ANY(zone), length) == 0;
}

/* The result's descriptor, for as long as the function's. */
static TupleDesc
get_descriptor(FunctionCallInfo fcinfo)
{
	MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(CreateTupleDescCopy(desc));
	MemoryContextSwitchTo(old);
	return desc;
}

static void
copy_time_zone(WindowingState *state, const text *argument)
{
	char	   *zone = text_to_cstring(argument);

	if (sp_tumbling_zone(zone) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" not recognized", zone)));
	strlcpy(state->time_zone, zone, sizeof(state->time_zone));
}

/* Windows over dates have whole days, and start at midnight. */
static void
check_dates(const WindowingState *state)
{
	if (state->size.time != 0 || state->slide.time != 0 || state->origin % USECS_PER_DAY != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("windows over dates must have whole days")));
}

static void
init_state(WindowingState *state, Function function)
{
	if (function == TUMBLE)
		sp_tumbling_init(&state->tumbling, &state->size, state->origin, state->time_zone,
						 state->time_type);
	else
		sp_steps_init(&state->steps, function == HOP ? SP_STEPS_HOPPING : SP_STEPS_CUMULATIVE,
					  &state->size, &state->slide, state->origin, state->time_zone,
					  state->time_type);
	if (state->time_type == DATEOID)
		check_dates(state);
}

static WindowingState *
get_state(FunctionCallInfo fcinfo, Function function, Oid time_type)
{
	const Arguments *args = &arguments[function];
	WindowingState *state = fcinfo->flinfo->fn_extra;

	if (state != NULL && is_same(state, fcinfo, args))
		return state;
	if (state == NULL)
	{
		state = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(WindowingState));
		state->desc = get_descriptor(fcinfo);
	}
	/* Should the rest fail, nothing is remembered. */
	fcinfo->flinfo->fn_extra = NULL;

	copy_time_zone(state, PG_GETARG_TEXT_PP(args->time_zone));
	state->time_type = time_type;
	state->size = *PG_GETARG_INTERVAL_P(args->size);
	state->slide = *PG_GETARG_INTERVAL_P(args->slide);
	state->has_origin = !PG_ARGISNULL(args->origin);
	if (state->has_origin)
		state->origin = PG_GETARG_TIMESTAMP(args->origin);
	else
		state->origin = state->size.month != 0 ? SP_TUMBLING_ORIGIN_MONTHS : SP_TUMBLING_ORIGIN;
	init_state(state, function);
	fcinfo->flinfo->fn_extra = state;
	return state;
}

static bool
has_null(FunctionCallInfo fcinfo, const Arguments *args)
{
	return PG_ARGISNULL(TS) || PG_ARGISNULL(args->slide) || PG_ARGISNULL(args->size) ||
		PG_ARGISNULL(args->time_zone);
}

/* ---- Times: a date counts as its midnight. ---- */

static int64
get_time(FunctionCallInfo fcinfo, Oid time_type)
{
	DateADT		date;

	if (time_type != DATEOID)
		return PG_GETARG_INT64(TS);
	date = PG_GETARG_DATEADT(TS);
	if (DATE_NOT_FINITE(date))
		return DATE_IS_NOBEGIN(date) ? DT_NOBEGIN : DT_NOEND;
	return DatumGetTimestamp(DirectFunctionCall1(date_timestamp, DateADTGetDatum(date)));
}

static Datum
to_datum(int64 time, Oid time_type)
{
	if (time_type != DATEOID)
		return TimestampTzGetDatum(time);
	return DirectFunctionCall1(timestamp_date, TimestampGetDatum(time));
}

/* ---- Results. ---- */

static Datum
return_nothing(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	if (result != NULL && IsA(result, ReturnSetInfo))
		result->isDone = ExprEndResult;
	PG_RETURN_NULL();
}

/* The row of the window that is next. */
static Datum
return_row(const WindowingState *state)
{
	Datum		values[2];
	bool		nulls[2] = {false, false};

	values[0] = to_datum(state->start, state->time_type);
	values[1] = to_datum(state->end, state->time_type);
	return HeapTupleGetDatum(heap_form_tuple(state->desc, values, nulls));
}

static void
require_range(bool in_range)
{
	if (!in_range)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
}

/* The caller stops early: the next call is about another time. */
static void
forget_series(Datum arg)
{
	((WindowingState *) DatumGetPointer(arg))->active = false;
}

/* The first window of ts, and the last one's end. */
static void
begin_series(WindowingState *state, int64 ts)
{
	int64		pane;

	require_range(sp_steps_pane(&state->steps, ts, &pane, &state->end));
	require_range(sp_steps_window_start(&state->steps, state->end, &state->start));
	require_range(sp_steps_last_end(&state->steps, pane, &state->last_end));
}

static void
advance_series(WindowingState *state)
{
	if (state->steps.kind == SP_STEPS_HOPPING)
		require_range(sp_steps_next_end(&state->steps, state->start, &state->start));
	require_range(sp_steps_next_end(&state->steps, state->end, &state->end));
}

/* The next window of the series, one a call. */
static Datum
return_series(FunctionCallInfo fcinfo, Function function, Oid time_type)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	WindowingState *state = fcinfo->flinfo->fn_extra;

	if (result == NULL || !IsA(result, ReturnSetInfo))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
	if (state != NULL && state->active)
	{
		if (state->end == state->last_end)
		{
			state->active = false;
			UnregisterExprContextCallback(result->econtext, forget_series,
										  PointerGetDatum(state));
			return return_nothing(fcinfo);
		}
		advance_series(state);
	}
	else
	{
		state = get_state(fcinfo, function, time_type);
		begin_series(state, get_time(fcinfo, time_type));
		state->active = true;
		RegisterExprContextCallback(result->econtext, forget_series, PointerGetDatum(state));
	}
	result->isDone = ExprMultipleResult;
	return return_row(state);
}

/* ts is a timestamptz, timestamp or date. */
static Datum
call(FunctionCallInfo fcinfo, Function function)
{
	Oid			time_type = get_fn_expr_argtype(fcinfo->flinfo, TS);
	WindowingState *state;

	if (has_null(fcinfo, &arguments[function]))
		return return_nothing(fcinfo);
	if (function != TUMBLE)
		return return_series(fcinfo, function, time_type);
	state = get_state(fcinfo, function, time_type);
	require_range(sp_tumbling_assign(&state->tumbling, get_time(fcinfo, time_type),
									 &state->start, &state->end));
	return return_row(state);
}

Datum
sp_tumble(PG_FUNCTION_ARGS)
{
	return call(fcinfo, TUMBLE);
}

Datum
sp_hop(PG_FUNCTION_ARGS)
{
	return call(fcinfo, HOP);
}

Datum
sp_cumulate(PG_FUNCTION_ARGS)
{
	return call(fcinfo, CUMULATE);
}
