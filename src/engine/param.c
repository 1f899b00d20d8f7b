/*
 * param.c
 *	  Parameters of methods from jsonb, and for people.
 */
#include "engine/param.h"

#include <math.h>

#include "base/compat.h"
#include "base/tumbling.h"
#include "engine/model_text.h"
#include "kernel/batch/stored_model.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

/* What was given, for errors. */
typedef struct Reading
{
	const SpParamSet *set;
	Jsonb	   *given;
} Reading;

void
sp_param_begin(SpParamSet *set, const char *method)
{
	set->method = method;
	set->n = 0;
	set->places = palloc(sizeof(SpParamPlace));
}

void
sp_param_add(SpParamSet *set, const SpParam *table, int n, void *to)
{
	set->places = repalloc(set->places, sizeof(SpParamPlace) * (set->n + n + 1));
	for (int i = 0; i < n; i++)
	{
		set->places[set->n].param = &table[i];
		set->places[set->n++].to = to;
	}
}

/* ---- parameters for people ---- */

char *
sp_param_type_text(const SpParam *param)
{
	static const char *const names[] = {
		[SP_PARAM_FLOAT] = "number",
		[SP_PARAM_INT] = "integer",
		[SP_PARAM_BOOL] = "boolean",
		[SP_PARAM_CHOICE] = "text",
		[SP_PARAM_SET] = "text[]",
		[SP_PARAM_INTERVAL] = "interval",
		[SP_PARAM_TIME_ZONE] = "text",
		[SP_PARAM_MODEL] = "streamproc.model",
	};

	return pstrdup(names[param->type]);
}

/* An interval of so many microseconds, as text. */
static char *
format_us(double us)
{
	Interval	interval = {0};

	interval.time = (TimeOffset) us;
	return DatumGetCString(DirectFunctionCall1(interval_out,
											   IntervalPGetDatum(DatumGetIntervalP(
											   DirectFunctionCall1(interval_justify_hours,
																   IntervalPGetDatum(&interval))))));
}

char *
sp_param_default_text(const SpParam *param)
{
	if (param->default_text != NULL)
		return pstrdup(param->default_text);
	switch (param->type)
	{
		case SP_PARAM_BOOL:
			return pstrdup(param->default_value != 0 ? "true" : "false");
		case SP_PARAM_CHOICE:
			return pstrdup(param->choices[(int) param->default_value]);
		case SP_PARAM_INTERVAL:
			return format_us(param->default_value);
		default:
			return psprintf("%g", param->default_value);
	}
}

char *
sp_param_range_text(const SpParam *param)
{
	StringInfoData buf;

	switch (param->type)
	{
		case SP_PARAM_BOOL:
			return pstrdup("true or false");
		case SP_PARAM_MODEL:
			return pstrdup("any model of as many features");
		case SP_PARAM_TIME_ZONE:
			return pstrdup("any time zone");
		case SP_PARAM_INTERVAL:
			return psprintf("from %s to %s", format_us(param->min), format_us(param->max));
		case SP_PARAM_CHOICE:
		case SP_PARAM_SET:
			initStringInfo(&buf);
			appendStringInfoString(&buf, param->type == SP_PARAM_SET ? "some of " : "one of ");
			for (int i = 0; param->choices[i] != NULL; i++)
				appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", param->choices[i]);
			return buf.data;
		default:
			return psprintf("from %g to %g", param->min, param->max);
	}
}

/* Append "alpha (number, default 0.05, from 1e-06 to 0.9)", with a comma before. */
static void
describe_param(StringInfo buf, const SpParam *param)
{
	appendStringInfo(buf, "%s%s (%s, default %s, %s)", buf->len > 0 ? ", " : "", param->name,
					 sp_param_type_text(param), sp_param_default_text(param),
					 sp_param_range_text(param));
}

/* All parameters of a method. */
static char *
describe_params(const SpParamSet *set)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < set->n; i++)
		describe_param(&buf, set->places[i].param);
	return buf.data;
}

/* ---- parameters from jsonb ---- */

/* Is a string of jsonb this one? */
static bool
is_string(const JsonbValue *value, const char *string)
{
	return value->type == jbvString && strlen(string) == value->val.string.len &&
		strncmp(string, value->val.string.val, value->val.string.len) == 0;
}

/* The value isn't one that the parameter can have. */
static void
refuse_value(const Reading *r, const char *name, const char *wanted)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("parameter \"%s\" of method \"%s\" must be %s", name, r->set->method, wanted),
			 errdetail("Parameter \"params\" is %s.",
					   JsonbToCString(NULL, &r->given->root, VARSIZE(r->given))),
			 errhint("Parameters of this method: %s.", describe_params(r->set))));
}

/* A number of jsonb. */
static double
read_number(const Reading *r, const SpParam *param, const JsonbValue *value)
{
	double		x;

	if (value->type != jbvNumeric)
		refuse_value(r, param->name, "a number");
	x = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
										   NumericGetDatum(value->val.numeric)));
	if (!(x >= param->min && x <= param->max) || (param->type == SP_PARAM_INT && x != rint(x)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"%s\" of method \"%s\" can't be %g", param->name,
						r->set->method, x),
				 errhint("Parameters of this method: %s.", describe_params(r->set))));
	return x;
}

/* Microseconds of an interval, which is text in jsonb. */
static int64
read_interval(const Reading *r, const SpParam *param, const JsonbValue *value)
{
	Interval   *interval;
	double		us;

	if (value->type != jbvString)
		refuse_value(r, param->name, "an interval, such as \"5 minutes\"");
	interval = DatumGetIntervalP(DirectFunctionCall3(interval_in,
													 CStringGetDatum(pnstrdup(value->val.string.val,
																			  value->val.string.len)),
													 ObjectIdGetDatum(InvalidOid),
													 Int32GetDatum(-1)));
	us = interval->time + (double) interval->day * USECS_PER_DAY;
	if (interval->month != 0 || INTERVAL_NOT_FINITE(interval) ||
		!(us >= param->min && us <= param->max))
		refuse_value(r, param->name, psprintf("an interval %s", sp_param_range_text(param)));
	return (int64) us;
}

static int32
read_choice(const Reading *r, const SpParam *param, const JsonbValue *value)
{
	for (int i = 0; param->choices[i] != NULL; i++)
	{
		if (is_string(value, param->choices[i]))
			return i;
	}
	refuse_value(r, param->name, sp_param_range_text(param));
	return 0;
}

/* The bits of some choices. */
static int32
read_set(const Reading *r, const SpParam *param, const JsonbValue *value)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	v;
	int32		set = 0;

	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		refuse_value(r, param->name, psprintf("an array: %s", sp_param_range_text(param)));
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_ELEM)
			set |= 1 << read_choice(r, param, &v);
	}
	if (set == 0)
		refuse_value(r, param->name, psprintf("an array: %s", sp_param_range_text(param)));
	return set;
}

/* The zone of the local clock. */
static pg_tz *
read_zone(const Reading *r, const SpParam *param, const JsonbValue *value)
{
	pg_tz	   *zone = NULL;

	if (value->type == jbvString)
		zone = sp_tumbling_zone(pnstrdup(value->val.string.val, value->val.string.len));
	if (zone == NULL)
		refuse_value(r, param->name, "the name of a time zone");
	return zone;
}

/* A model, in the current memory context. */
static void
read_model(const Reading *r, const SpParam *param, const JsonbValue *value, SpStoredModel *to)
{
	const char *reason;
	SpModel    *model;
	char	   *text;
	Size		size;

	if (value->type != jbvString)
		refuse_value(r, param->name, "the text of a value of type streamproc.model");
	text = pnstrdup(value->val.string.val, value->val.string.len);
	reason = sp_model_text_size(text, &size);
	if (reason == NULL)
	{
		model = palloc(Max(size, 1));
		reason = sp_model_text_read(text, model, size, &to->view);
	}
	if (reason != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"%s\" of method \"%s\" isn't a model: %s", param->name,
						r->set->method, reason),
				 errhint("It is the text of a value of type streamproc.model: "
						 "jsonb_build_object('%s', model::text).", param->name)));
	to->scratch = palloc(sizeof(double) * 4 * Max(to->view.d, 1));
	pfree(text);
}

/* Store one given value. */
static void
set_param(const Reading *r, const SpParam *param, const JsonbValue *value, char *params)
{
	char	   *to = params + param->offset;

	switch (param->type)
	{
		case SP_PARAM_FLOAT:
			*(double *) to = read_number(r, param, value);
			break;
		case SP_PARAM_INT:
			*(int32 *) to = (int32) read_number(r, param, value);
			break;
		case SP_PARAM_BOOL:
			if (value->type != jbvBool)
				refuse_value(r, param->name, "true or false");
			*(int32 *) to = value->val.boolean;
			break;
		case SP_PARAM_CHOICE:
			*(int32 *) to = read_choice(r, param, value);
			break;
		case SP_PARAM_SET:
			*(int32 *) to = read_set(r, param, value);
			break;
		case SP_PARAM_INTERVAL:
			*(int64 *) to = read_interval(r, param, value);
			break;
		case SP_PARAM_TIME_ZONE:
			*(pg_tz **) to = read_zone(r, param, value);
			break;
		case SP_PARAM_MODEL:
			read_model(r, param, value, (SpStoredModel *) to);
			break;
	}
}

/* There is no such parameter. */
static void
refuse_name(const Reading *r, const JsonbValue *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("method \"%s\" has no parameter \"%.*s\"", r->set->method,
					name->val.string.len, name->val.string.val),
			 r->set->n == 0 ? errhint("This method has no parameters.") :
			 errhint("Parameters of this method: %s.", describe_params(r->set))));
}

/* One key and its value. */
static void
read_pair(const Reading *r, const JsonbValue *name, const JsonbValue *value)
{
	for (int i = 0; i < r->set->n; i++)
	{
		const SpParamPlace *place = &r->set->places[i];

		if (is_string(name, place->param->name))
		{
			set_param(r, place->param, value, place->to);
			return;
		}
	}
	refuse_name(r, name);
}

void
sp_param_read(const SpParamSet *set, Jsonb *given)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	name = {0};
	JsonbValue	v;
	Reading		r = {set, given};

	if (!JB_ROOT_IS_OBJECT(given))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("params must be a JSON object")));
	it = JsonbIteratorInit(&given->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = v;
		else if (token == WJB_VALUE)
			read_pair(&r, &name, &v);
	}
}

bool
sp_param_is_given(Jsonb *given, const char *name)
{
	JsonbValue	value;

	return getKeyJsonValueFromContainer(&given->root, name, (int) strlen(name), &value) != NULL;
}

void
sp_param_refuse_conflict(const SpParamSet *set, Jsonb *given, const char *reason)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("parameters of method \"%s\" don't go together: %s", set->method, reason),
			 errdetail("Parameter \"params\" is %s.",
					   JsonbToCString(NULL, &given->root, VARSIZE(given))),
			 errhint("Parameters of this method: %s.", describe_params(set))));
}
