/*
 * method.c
 *	  Methods by name, and their parameters from jsonb.
 */
#include "engine/method.h"

#include <math.h>

#include "engine/micro_method.h"
#include "engine/param.h"
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
	{"trigger_rows", SP_PARAM_INT, offsetof(SpMethod, trigger_rows), 10000, 1, 100000,
	"so many rows end a micro-batch, if trigger hasn't before", NULL, NULL},
	{"history_rows", SP_PARAM_INT, offsetof(SpMethod, history_rows), 1000, 0, 100000,
	"so many rows of its key before a micro-batch, the last ones, are scored together with its rows",
	NULL, NULL},
	{"warmup", SP_PARAM_INT, offsetof(SpMethod, warmup), 100, 1, 100000,
	"so many rows of a key, its history's and the micro-batch's, it takes to call one an anomaly",
	NULL, NULL},
	{"time_zone", SP_PARAM_TIME_ZONE, offsetof(SpMethod, zone), NAN, 0, 0,
	"whose clock tells the hour of an event", NULL, "UTC"},
	{NULL}
};

bool
sp_method_find(const char *name, const SpKernel **kernel)
{
	*kernel = NULL;
	for (const SpKernel *const *k = sp_micro_kernels(); *k != NULL && *kernel == NULL; k++)
	{
		if (strcmp((*k)->name, name) == 0)
			*kernel = *k;
	}
	return *kernel != NULL || strcmp(name, RULE) == 0;
}

const char *
sp_method_names(void)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, RULE);
	for (const SpKernel *const *k = sp_micro_kernels(); *k != NULL; k++)
		appendStringInfo(&buf, ", %s", (*k)->name);
	return buf.data;
}

/* Is it a parameter of batch methods alone? */
static inline bool
is_of_batches(const SpParam *param)
{
	return param->offset == offsetof(SpMethod, trigger_rows) ||
		param->offset == offsetof(SpMethod, history_rows) ||
		param->offset == offsetof(SpMethod, warmup);
}

/* Not a time zone where it doesn't look at the clock, nor what is missing where all may be. */
bool
sp_method_has_common(const SpKernel *kernel, const SpParam *param)
{
	if (is_of_batches(param))
		return kernel->batch != NULL;
	/* what is scored together is learned as it is */
	if (param->offset == offsetof(SpMethod, judge.setup.escape))
		return kernel->batch == NULL;
	/* the clock knows no scores of which to make a budget */
	if (param->offset == offsetof(SpMethod, alerts_per_day))
		return kernel->due == NULL;
	if (param->offset == offsetof(SpMethod, missing))
		return kernel->takes != SP_TAKES_ANY_VALUE;
	return param->type != SP_PARAM_TIME_ZONE || kernel->uses_time;
}

/* With a budget a threshold can't be given, nor scores be told apart by key. */
static void
check_budget(const SpMethod *method, const SpMethodUse *use)
{
	if (!isnan(use->threshold))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"threshold\" is %g, and parameter \"alerts_per_day\" of method "
						"\"%s\" is %g",
						use->threshold, method->name, method->alerts_per_day),
				 errhint("Give one of them: alerts_per_day moves the threshold.")));
	if (method->calibrate != SP_CALIBRATE_DETECTOR)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"calibrate\" of method \"%s\" can't be \"%s\" with \"alerts_per_day\"",
						method->name, calibrates[method->calibrate]),
				 errhint("All keys have one threshold, from the scores of all of them: leave "
						 "\"calibrate\" out.")));
}

/* Which scores tell how probable one is, and what goes with it? */
static void
settle_calibration(SpMethod *method, const SpMethodUse *use)
{
	const SpKernel *kernel = method->judge.kernel;
	bool		has_budget = !isnan(method->alerts_per_day);

	if (kernel == NULL)
		method->calibrate = SP_CALIBRATE_NONE;
	else if (method->calibrate == SP_CALIBRATE_UNSET)
		method->calibrate = has_budget || kernel->is_sparse ? SP_CALIBRATE_DETECTOR : SP_CALIBRATE_KEY;
	if (has_budget)
		check_budget(method, use);
	method->judge.setup.is_fine = has_budget;
	method->uses_time = kernel != NULL &&
		(has_budget || kernel->uses_time || kernel->batch != NULL);
}

/* Why the parameters don't go together, or NULL. */
static const char *
find_conflict(const SpKernel *kernel, const void *params, int n)
{
	if (kernel != NULL && kernel->batch != NULL && kernel->batch->conflict != NULL)
		return kernel->batch->conflict(params);
	return kernel != NULL && kernel->conflict != NULL ? kernel->conflict(params, n) : NULL;
}

/* Parameters of batch methods that have no default. */
static void
check_given(const SpKernel *kernel, const char *params)
{
	for (int i = 0; kernel != NULL && kernel->batch != NULL && i < kernel->nparams; i++)
	{
		const SpParam *p = &kernel->param_table[i];

		if (p->type == SP_PARAM_FLOAT && isnan(*(const double *) (params + p->offset)))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("method \"%s\" needs parameter \"%s\"", kernel->name, p->name),
					 errdetail("It is %s.", p->meaning),
					 errhint("For example, params => '{\"%s\": 1}'.", p->name)));
	}
}

/* What scores must be given, too. */
static void
check_fitted(const SpKernel *kernel, Jsonb *given)
{
	for (int i = 0; i < kernel->nparams; i++)
	{
		const SpParam *p = &kernel->param_table[i];

		if (p->type == SP_PARAM_MODEL && !sp_param_is_given(given, p->name))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("method \"%s\" needs parameter \"%s\"", kernel->name, p->name),
					 errdetail("It is %s.", p->meaning),
					 errhint("For example, params => jsonb_build_object('%s', model::text).", p->name)));
	}
}

/* All that can be given, and the defaults of what all methods have. */
static void
collect_params(SpParamSet *set, SpMethod *method, void *params)
{
	const SpKernel *kernel = method->judge.kernel;

	sp_param_begin(set, method->name);
	if (kernel != NULL)
		sp_param_add(set, kernel->param_table, kernel->nparams, params);
	for (const SpParam *p = sp_method_common_params; p->name != NULL; p++)
	{
		if ((p->type == SP_PARAM_INT || p->type == SP_PARAM_CHOICE) && !isnan(p->default_value))
			*(int32 *) ((char *) method + p->offset) = (int32) p->default_value;
		else if (p->type == SP_PARAM_FLOAT && kernel != NULL)
			*(double *) ((char *) method + p->offset) = p->default_value;
		if (kernel != NULL && sp_method_has_common(kernel, p))
			sp_param_add(set, p, 1, method);
	}
}

SpMethod *
sp_method_open(const char *name, Jsonb *given, const SpMethodUse *use)
{
	SpMethod   *method = palloc0(sizeof(SpMethod));
	const SpKernel *kernel;
	const char *conflict;
	int			n = use->n;
	SpParamSet	set;
	char	   *params;

	if (!sp_method_find(name, &kernel))
		elog(ERROR, "there is no method \"%s\"", name);
	method->name = kernel != NULL ? kernel->name : RULE;
	method->judge.kernel = kernel;
	method->judge.setup.n = n;
	method->budget_factor = 1;
	method->judge.setup.direction = use->direction;
	method->judge.learn = use->learn;
	method->judge.min_effect = use->min_effect;
	params = palloc0(kernel != NULL ? Max(kernel->params_size, 1) : 1);
	method->judge.setup.params = params;
	if (kernel != NULL)
		sp_online_defaults(kernel, params);
	collect_params(&set, method, params);
	method->calibrate = SP_CALIBRATE_UNSET;
	method->alerts_per_day = get_float8_nan();
	sp_param_read(&set, given);
	check_given(kernel, params);
	if (kernel != NULL && kernel->is_fitted && !use->to_show)
		check_fitted(kernel, given);
	settle_calibration(method, use);
	conflict = find_conflict(kernel, params, n);
	if (conflict != NULL)
		sp_param_refuse_conflict(&set, given, conflict);
	method->judge.setup.threshold = !isnan(use->threshold) ? use->threshold :
		kernel != NULL ? sp_online_threshold(kernel, params, n) : RULE_THRESHOLD;
	method->state_size = kernel != NULL ? sp_online_state_size(kernel, params, n) : 0;
	method->needed = kernel == NULL ? 0 :
		kernel->batch != NULL ? method->warmup : sp_online_needed(kernel, params, n);
	return method;
}

void
sp_method_check_threshold(const SpMethod *method)
{
	if (isnan(method->judge.setup.threshold) && !sp_method_has_budget(method))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("method \"%s\" needs parameter \"threshold\"", method->name),
				 errhint("Or params => '{\"alerts_per_day\": 10}', which finds one.")));
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
	if (use->learn != SP_LEARN_ALL && kernel->batch != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"learn\" can't be \"%s\" for method \"%s\"",
						use->learn == SP_LEARN_CAPPED ? "capped" : "normal", name),
				 errhint("Its rows are scored together, flagged or not: use \"all\".")));
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
