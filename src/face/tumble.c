/*
 * tumble.c
 *	  tumble(ts, size, origin, time_zone): the tumbling window of a time, as a row.
 *
 * A set-returning function that always returns one row, or none for NULL; the arithmetic
 * is that of the engine (base/tumbling.h).
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
#include "base/tumbling.h"

/* Arguments. */
enum
{
	TS,
	SIZE,
	ORIGIN,
	TIME_ZONE
};

/* What the last call was about; most calls differ in ts only. */
typedef struct TumbleState
{
	Interval	size;
	bool		has_origin;
	Timestamp	origin;
	char		time_zone[TZ_STRLEN_MAX + 1];
	SpTumbling	tumbling;
	TupleDesc	desc;
} TumbleState;

PG_FUNCTION_INFO_V1(sp_tumble_timestamptz);
PG_FUNCTION_INFO_V1(sp_tumble_timestamp);
PG_FUNCTION_INFO_V1(sp_tumble_date);

static bool
is_same(const TumbleState *state, FunctionCallInfo fcinfo)
{
	const Interval *size = PG_GETARG_INTERVAL_P(SIZE);
	text	   *zone = PG_GETARG_TEXT_PP(TIME_ZONE);
	Size		length = VARSIZE_ANY_EXHDR(zone);

	return state->size.month == size->month && state->size.day == size->day &&
		state->size.time == size->time &&
		state->has_origin == !PG_ARGISNULL(ORIGIN) &&
		(!state->has_origin || state->origin == PG_GETARG_TIMESTAMP(ORIGIN)) &&
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

static TumbleState *
get_state(FunctionCallInfo fcinfo, Oid time_type)
{
	TumbleState *state = fcinfo->flinfo->fn_extra;
	char	   *zone;

	if (state != NULL && is_same(state, fcinfo))
		return state;
	if (state == NULL)
	{
		state = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(TumbleState));
		state->desc = get_descriptor(fcinfo);
	}
	/* Should the rest fail, nothing is remembered. */
	fcinfo->flinfo->fn_extra = NULL;

	zone = text_to_cstring(PG_GETARG_TEXT_PP(TIME_ZONE));
	if (sp_tumbling_zone(zone) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" not recognized", zone)));
	strlcpy(state->time_zone, zone, sizeof(state->time_zone));
	state->size = *PG_GETARG_INTERVAL_P(SIZE);
	state->has_origin = !PG_ARGISNULL(ORIGIN);
	if (state->has_origin)
		state->origin = PG_GETARG_TIMESTAMP(ORIGIN);
	else
		state->origin = state->size.month != 0 ? SP_TUMBLING_ORIGIN_MONTHS : SP_TUMBLING_ORIGIN;
	sp_tumbling_init(&state->tumbling, &state->size, state->origin, zone, time_type);
	fcinfo->flinfo->fn_extra = state;
	return state;
}

/* No row: the function returns a set. */
static Datum
return_nothing(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	if (result != NULL && IsA(result, ReturnSetInfo))
		result->isDone = ExprEndResult;
	PG_RETURN_NULL();
}

static Datum
return_row(TumbleState *state, Datum start, Datum end)
{
	Datum		values[2];
	bool		nulls[2] = {false, false};

	values[0] = start;
	values[1] = end;
	return HeapTupleGetDatum(heap_form_tuple(state->desc, values, nulls));
}

/* NULL for the parameters beside origin is NULL's answer: no row. */
static bool
has_null(FunctionCallInfo fcinfo)
{
	return PG_ARGISNULL(TS) || PG_ARGISNULL(SIZE) || PG_ARGISNULL(TIME_ZONE);
}

static void
assign(TumbleState *state, int64 ts, int64 *start, int64 *end)
{
	if (!sp_tumbling_assign(&state->tumbling, ts, start, end))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
}

Datum
sp_tumble_timestamptz(PG_FUNCTION_ARGS)
{
	TumbleState *state;
	int64		start;
	int64		end;

	if (has_null(fcinfo))
		return return_nothing(fcinfo);
	state = get_state(fcinfo, TIMESTAMPTZOID);
	assign(state, PG_GETARG_TIMESTAMPTZ(TS), &start, &end);
	return return_row(state, TimestampTzGetDatum(start), TimestampTzGetDatum(end));
}

Datum
sp_tumble_timestamp(PG_FUNCTION_ARGS)
{
	TumbleState *state;
	int64		start;
	int64		end;

	if (has_null(fcinfo))
		return return_nothing(fcinfo);
	state = get_state(fcinfo, TIMESTAMPOID);
	assign(state, PG_GETARG_TIMESTAMP(TS), &start, &end);
	return return_row(state, TimestampGetDatum(start), TimestampGetDatum(end));
}

/* Windows over dates have whole days, and start at midnight. */
static void
check_dates(const TumbleState *state)
{
	if (state->size.time != 0 || state->origin % USECS_PER_DAY != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("windows over dates must have whole days")));
}

Datum
sp_tumble_date(PG_FUNCTION_ARGS)
{
	TumbleState *state;
	DateADT		date;
	int64		ts;
	int64		start;
	int64		end;

	if (has_null(fcinfo))
		return return_nothing(fcinfo);
	state = get_state(fcinfo, DATEOID);
	check_dates(state);
	date = PG_GETARG_DATEADT(TS);
	if (DATE_NOT_FINITE(date))
		return return_row(state, DateADTGetDatum(date), DateADTGetDatum(date));
	ts = DatumGetTimestamp(DirectFunctionCall1(date_timestamp, DateADTGetDatum(date)));
	assign(state, ts, &start, &end);
	return return_row(state,
					  DirectFunctionCall1(timestamp_date, TimestampGetDatum(start)),
					  DirectFunctionCall1(timestamp_date, TimestampGetDatum(end)));
}
