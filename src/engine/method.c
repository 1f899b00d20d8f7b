/*
 * method.c
 *	  Methods by name, and their parameters from jsonb.
 */
#include "engine/method.h"

#include <math.h>

#include "base/compat.h"
#include "base/tumbling.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#define RULE			"rule"
#define RULE_THRESHOLD	1.0		/* one that holds is enough */
#define TIME_ZONE		"time_zone" /* a parameter of all kernels that look at the clock */

/* Parameters of all kernels. */
static const SpParam common_table[] = {
	{"escape", SP_PARAM_INT, offsetof(SpMethod, escape), 20, 0, 1000000000,
	"with learn 'normal' or 'capped', so many flagged values in a row on one side are learned all "
	"the same; 0: never", NULL, NULL}
};

/* The parameters at work. */
typedef struct Reading
{
	SpMethod   *method;
	char	   *params;
	Jsonb	   *given;
} Reading;

bool
sp_method_find(const char *name, const SpKernel **kernel)
{
	*kernel = sp_online_find(name);
	return *kernel != NULL || strcmp(name, RULE) == 0;
}

const char *
sp_method_names(void)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, RULE);
	for (const SpKernel *const *k = sp_online_kernels; *k != NULL; k++)
		appendStringInfo(&buf, ", %s", (*k)->name);
	return buf.data;
}

/* ---- parameters for people ---- */

char *
sp_method_param_type(const SpParam *param)
{
	static const char *const names[] = {
		[SP_PARAM_FLOAT] = "number",
		[SP_PARAM_INT] = "integer",
		[SP_PARAM_BOOL] = "boolean",
		[SP_PARAM_CHOICE] = "text",
		[SP_PARAM_INTERVAL] = "interval",
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
sp_method_param_default(const SpParam *param)
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
sp_method_param_range(const SpParam *param)
{
	StringInfoData buf;

	switch (param->type)
	{
		case SP_PARAM_BOOL:
			return pstrdup("true or false");
		case SP_PARAM_INTERVAL:
			return psprintf("from %s to %s", format_us(param->min), format_us(param->max));
		case SP_PARAM_CHOICE:
			initStringInfo(&buf);
			appendStringInfoString(&buf, "one of ");
			for (int i = 0; param->choices[i] != NULL; i++)
				appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", param->choices[i]);
			return buf.data;
		default:
			return psprintf("from %g to %g", param->min, param->max);
	}
}

/* "alpha (number, default 0.05, from 1e-06 to 0.9), ..." */
static void
describe_table(StringInfo buf, const SpParam *table, int n)
{
	for (int i = 0; i < n; i++)
		appendStringInfo(buf, "%s%s (%s, default %s, %s)", buf->len > 0 ? ", " : "",
						 table[i].name, sp_method_param_type(&table[i]),
						 sp_method_param_default(&table[i]), sp_method_param_range(&table[i]));
}

/* All parameters of a kernel. */
static char *
describe_params(const SpKernel *kernel)
{
	StringInfoData buf;

	initStringInfo(&buf);
	describe_table(&buf, kernel->param_table, kernel->nparams);
	describe_table(&buf, common_table, lengthof(common_table));
	if (kernel->uses_time)
		appendStringInfoString(&buf, ", " TIME_ZONE " (text, default UTC)");
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
			 errmsg("parameter \"%s\" of method \"%s\" must be %s", name, r->method->name, wanted),
			 errdetail("Parameter \"params\" is %s.",
					   JsonbToCString(NULL, &r->given->root, VARSIZE(r->given))),
			 errhint("Parameters of this method: %s.", describe_params(r->method->kernel))));
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
						r->method->name, x),
				 errhint("Parameters of this method: %s.", describe_params(r->method->kernel))));
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
		refuse_value(r, param->name, psprintf("an interval %s", sp_method_param_range(param)));
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
	refuse_value(r, param->name, sp_method_param_range(param));
	return 0;
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
		case SP_PARAM_INTERVAL:
			*(int64 *) to = read_interval(r, param, value);
			break;
	}
}

/* The zone of the local clock. */
static void
set_zone(const Reading *r, const JsonbValue *value)
{
	if (value->type == jbvString)
		r->method->zone = sp_tumbling_zone(pnstrdup(value->val.string.val,
													value->val.string.len));
	if (r->method->zone == NULL)
		refuse_value(r, TIME_ZONE, "the name of a time zone");
}

/* The parameter of that name in a table, or NULL. */
static const SpParam *
find_param(const SpParam *table, int n, const JsonbValue *name)
{
	for (int i = 0; i < n; i++)
	{
		if (is_string(name, table[i].name))
			return &table[i];
	}
	return NULL;
}

/* There is no such parameter. */
static void
refuse_name(const Reading *r, const JsonbValue *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("method \"%s\" has no parameter \"%.*s\"", r->method->name,
					name->val.string.len, name->val.string.val),
			 r->method->kernel == NULL ? errhint("This method has no parameters.") :
			 errhint("Parameters of this method: %s.", describe_params(r->method->kernel))));
}

/* One key and its value. */
static void
read_pair(const Reading *r, const JsonbValue *name, const JsonbValue *value)
{
	const SpKernel *kernel = r->method->kernel;
	const SpParam *own = kernel ? find_param(kernel->param_table, kernel->nparams, name) : NULL;
	const SpParam *common = kernel ? find_param(common_table, lengthof(common_table), name) : NULL;

	if (own != NULL)
		set_param(r, own, value, r->params);
	else if (common != NULL)
		set_param(r, common, value, (char *) r->method);
	else if (kernel != NULL && kernel->uses_time && is_string(name, TIME_ZONE))
		set_zone(r, value);
	else
		refuse_name(r, name);
}

/* What was given, over the defaults. */
static void
read_params(const Reading *r)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	name = {0};
	JsonbValue	v;

	if (!JB_ROOT_IS_OBJECT(r->given))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("params must be a JSON object")));
	it = JsonbIteratorInit(&r->given->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = v;
		else if (token == WJB_VALUE)
			read_pair(r, &name, &v);
	}
}

SpMethod *
sp_method_open(const char *name, int n, Jsonb *given, SpDirection direction, double threshold)
{
	SpMethod   *method = palloc0(sizeof(SpMethod));
	const SpKernel *kernel;
	const char *conflict;
	Reading		r = {method, NULL, given};

	if (!sp_method_find(name, &kernel))
		elog(ERROR, "there is no method \"%s\"", name);
	method->name = kernel != NULL ? kernel->name : RULE;
	method->kernel = kernel;
	method->setup.n = n;
	method->setup.direction = direction;
	r.params = palloc0(kernel != NULL ? Max(kernel->params_size, 1) : 1);
	method->setup.params = r.params;
	if (kernel != NULL)
		sp_online_defaults(kernel, r.params);
	for (int i = 0; i < lengthof(common_table); i++)
		*(int32 *) ((char *) method + common_table[i].offset) =
			(int32) common_table[i].default_value;
	read_params(&r);
	conflict = kernel != NULL && kernel->conflict != NULL ? kernel->conflict(r.params, n) : NULL;
	if (conflict != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameters of method \"%s\" don't go together: %s", name, conflict),
				 errdetail("Parameter \"params\" is %s.",
						   JsonbToCString(NULL, &given->root, VARSIZE(given))),
				 errhint("Parameters of this method: %s.", describe_params(kernel))));
	method->setup.threshold = !isnan(threshold) ? threshold :
		kernel != NULL ? kernel->threshold(r.params, n) : RULE_THRESHOLD;
	method->state_size = kernel != NULL ? kernel->state_size(r.params, n) : 0;
	return method;
}

/* ---- time ---- */

int64
sp_method_local_time(const SpMethod *method, TimestampTz time)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			offset;
	Timestamp	local;

	if (method->zone == NULL || TIMESTAMP_NOT_FINITE(time))
		return time;
	if (timestamp2tm(time, &offset, &tm, &fsec, NULL, method->zone) != 0 ||
		tm2timestamp(&tm, fsec, NULL, &local) != 0)
		return time;
	return local;
}
