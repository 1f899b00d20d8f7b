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
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#define RULE			"rule"
#define RULE_THRESHOLD	1.0		/* one that holds is enough */

static const char *const missings[] = {"skip", "zero", "last", "dead_letter", NULL};
static const char *const calibrates[] = {"key", "detector", "none", NULL};

const SpParam sp_method_common_params[] = {
	{"alerts_per_day", SP_PARAM_FLOAT, offsetof(SpMethod, alerts_per_day), NAN, 1e-3, 1e6,
	"the threshold moves, so that there are so many alerts a day of all keys together", NULL, "none"},
	{"calibrate", SP_PARAM_CHOICE, offsetof(SpMethod, calibrate), NAN, 0, 0,
	"p_value is told from the scores before it: of the same key (96 bytes a key), or of all keys of the "
	"detector; none: by the method's own theory, if it has one", calibrates,
	"key; of records, and with alerts_per_day, detector"},
	{"escape", SP_PARAM_INT, offsetof(SpMethod, judge.setup.escape), 20, 0, 1000000000,
	"with learn 'normal' or 'capped' (spot, dspot: always), so many flagged values in a row on one side "
	"are learned all the same; 0: never", NULL, NULL},
	{"missing", SP_PARAM_CHOICE, offsetof(SpMethod, missing), SP_MISSING_SKIP, 0, 0,
	"what becomes of a row whose value, or one of whose features, is NULL: it isn't scored, or taken "
	"as if that were 0, or the last one of its key, or goes to the dead letters", missings, NULL},
	{"feedback", SP_PARAM_FLOAT, offsetof(SpMethod, feedback), 0.1, 0, 10,
	"by what part a label 'false positive' raises the threshold of its key, and a label 'true positive' "
	"lowers it; 0: not", NULL, NULL},
	{"feedback_limit", SP_PARAM_FLOAT, offsetof(SpMethod, feedback_limit), 2, 1, 1000000,
	"labels move a threshold by no more than this factor", NULL, NULL},
	{"time_zone", SP_PARAM_TIME_ZONE, offsetof(SpMethod, zone), NAN, 0, 0,
	"whose clock tells the hour of an event", NULL, "UTC"},
	{NULL}
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
		[SP_PARAM_SET] = "text[]",
		[SP_PARAM_INTERVAL] = "interval",
		[SP_PARAM_TIME_ZONE] = "text",
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
					 sp_method_param_type(param), sp_method_param_default(param),
					 sp_method_param_range(param));
}

/* Not a time zone where it doesn't look at the clock, nor what is missing where all may be. */
bool
sp_method_has_common(const SpKernel *kernel, const SpParam *param)
{
	/* the clock knows no scores of which to make a budget */
	if (param->offset == offsetof(SpMethod, alerts_per_day))
		return kernel->due == NULL;
	if (param->offset == offsetof(SpMethod, missing))
		return kernel->takes != SP_TAKES_ANY_VALUE;
	return param->type != SP_PARAM_TIME_ZONE || kernel->uses_time;
}

/* All parameters of a kernel. */
static char *
describe_params(const SpKernel *kernel)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < kernel->nparams; i++)
		describe_param(&buf, &kernel->param_table[i]);
	for (const SpParam *p = sp_method_common_params; p->name != NULL; p++)
	{
		if (sp_method_has_common(kernel, p))
			describe_param(&buf, p);
	}
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
			 errhint("Parameters of this method: %s.", describe_params(r->method->judge.kernel))));
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
				 errhint("Parameters of this method: %s.", describe_params(r->method->judge.kernel))));
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

/* The bits of some choices. */
static int32
read_set(const Reading *r, const SpParam *param, const JsonbValue *value)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	v;
	int32		set = 0;

	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		refuse_value(r, param->name, psprintf("an array: %s", sp_method_param_range(param)));
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_ELEM)
			set |= 1 << read_choice(r, param, &v);
	}
	if (set == 0)
		refuse_value(r, param->name, psprintf("an array: %s", sp_method_param_range(param)));
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
	}
}

/* Set the kernel's own parameter of that name; false: it has none. */
static bool
set_own(const Reading *r, const JsonbValue *name, const JsonbValue *value)
{
	const SpKernel *kernel = r->method->judge.kernel;

	for (int i = 0; i < kernel->nparams; i++)
	{
		if (is_string(name, kernel->param_table[i].name))
		{
			set_param(r, &kernel->param_table[i], value, r->params);
			return true;
		}
	}
	return false;
}

/* The same for those that all have. */
static bool
set_common(const Reading *r, const JsonbValue *name, const JsonbValue *value)
{
	for (const SpParam *p = sp_method_common_params; p->name != NULL; p++)
	{
		if (is_string(name, p->name) && sp_method_has_common(r->method->judge.kernel, p))
		{
			set_param(r, p, value, (char *) r->method);
			return true;
		}
	}
	return false;
}

/* There is no such parameter. */
static void
refuse_name(const Reading *r, const JsonbValue *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("method \"%s\" has no parameter \"%.*s\"", r->method->name,
					name->val.string.len, name->val.string.val),
			 r->method->judge.kernel == NULL ? errhint("This method has no parameters.") :
			 errhint("Parameters of this method: %s.", describe_params(r->method->judge.kernel))));
}

/* One key and its value. */
static void
read_pair(const Reading *r, const JsonbValue *name, const JsonbValue *value)
{
	if (r->method->judge.kernel == NULL ||
		(!set_own(r, name, value) && !set_common(r, name, value)))
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

/* With a budget a threshold can't be given, nor scores be told apart by key. */
static void
check_budget(const Reading *r, const SpMethodUse *use)
{
	if (!isnan(use->threshold))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"threshold\" is %g, and parameter \"alerts_per_day\" of method "
						"\"%s\" is %g",
						use->threshold, r->method->name, r->method->alerts_per_day),
				 errhint("Give one of them: alerts_per_day moves the threshold.")));
	if (r->method->calibrate != SP_CALIBRATE_DETECTOR)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"calibrate\" of method \"%s\" can't be \"%s\" with \"alerts_per_day\"",
						r->method->name, calibrates[r->method->calibrate]),
				 errhint("All keys have one threshold, from the scores of all of them: leave "
						 "\"calibrate\" out.")));
}

/* Which scores tell how probable one is, and what goes with it? */
static void
settle_calibration(const Reading *r, const SpMethodUse *use)
{
	SpMethod   *method = r->method;
	const SpKernel *kernel = method->judge.kernel;
	bool		has_budget = !isnan(method->alerts_per_day);

	if (kernel == NULL)
		method->calibrate = SP_CALIBRATE_NONE;
	else if (method->calibrate == SP_CALIBRATE_UNSET)
		method->calibrate = has_budget || kernel->is_sparse ? SP_CALIBRATE_DETECTOR : SP_CALIBRATE_KEY;
	if (has_budget)
		check_budget(r, use);
	method->judge.setup.is_fine = has_budget;
	method->uses_time = kernel != NULL && (has_budget || kernel->uses_time);
}

SpMethod *
sp_method_open(const char *name, Jsonb *given, const SpMethodUse *use)
{
	SpMethod   *method = palloc0(sizeof(SpMethod));
	const SpKernel *kernel;
	const char *conflict;
	int			n = use->n;
	Reading		r = {method, NULL, given};

	if (!sp_method_find(name, &kernel))
		elog(ERROR, "there is no method \"%s\"", name);
	method->name = kernel != NULL ? kernel->name : RULE;
	method->judge.kernel = kernel;
	method->judge.setup.n = n;
	method->budget_factor = 1;
	method->judge.setup.direction = use->direction;
	method->judge.learn = use->learn;
	method->judge.min_effect = use->min_effect;
	r.params = palloc0(kernel != NULL ? Max(kernel->params_size, 1) : 1);
	method->judge.setup.params = r.params;
	if (kernel != NULL)
		sp_online_defaults(kernel, r.params);
	for (const SpParam *p = sp_method_common_params; p->name != NULL; p++)
	{
		if ((p->type == SP_PARAM_INT || p->type == SP_PARAM_CHOICE) && !isnan(p->default_value))
			*(int32 *) ((char *) method + p->offset) = (int32) p->default_value;
		else if (p->type == SP_PARAM_FLOAT && kernel != NULL)
			*(double *) ((char *) method + p->offset) = p->default_value;
	}
	method->calibrate = SP_CALIBRATE_UNSET;
	method->alerts_per_day = get_float8_nan();
	read_params(&r);
	settle_calibration(&r, use);
	conflict = kernel != NULL && kernel->conflict != NULL ? kernel->conflict(r.params, n) : NULL;
	if (conflict != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameters of method \"%s\" don't go together: %s", name, conflict),
				 errdetail("Parameter \"params\" is %s.",
						   JsonbToCString(NULL, &given->root, VARSIZE(given))),
				 errhint("Parameters of this method: %s.", describe_params(kernel))));
	method->judge.setup.threshold = !isnan(use->threshold) ? use->threshold :
		kernel != NULL ? sp_online_threshold(kernel, r.params, n) : RULE_THRESHOLD;
	method->state_size = kernel != NULL ? sp_online_state_size(kernel, r.params, n) : 0;
	method->needed = kernel != NULL ? sp_online_needed(kernel, r.params, n) : 0;
	return method;
}

void
sp_method_check_use(const char *name, const SpKernel *kernel, const SpMethodUse *use)
{
	if (use->direction != SP_DIRECTION_BOTH && !kernel->has_direction)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"direction\" has no meaning for method \"%s\": \"%s\"",
						name, use->direction == SP_DIRECTION_HIGH ? "high" : "low"),
				 errhint("Its scores don't tell high from low.")));
	if (use->learn == SP_LEARN_CAPPED && kernel->takes == SP_TAKES_FEATURES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"learn\" can't be \"capped\" for method \"%s\"", name),
				 errhint("Its features have no bounds: use \"all\" or \"normal\".")));
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
