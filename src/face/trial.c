/*
 * trial.c
 *	  Finds the detector that is to be tried, and changes its definition for that.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

#include "base/compat.h"
#include "engine/method.h"
#include "face/lifecycle.h"
#include "face/parameter.h"
#include "face/relation.h"
#include "face/trial.h"
#include "face/twin.h"

/* ---- The detector. ---- */

/* The argument, a detector that is still there. */
static void
find_detector(FunctionCallInfo fcinfo, int n, SpTrial *trial)
{
	Oid			relid;

	sp_parameter_require(fcinfo, n, "detector");
	relid = PG_GETARG_OID(n);
	if (!sp_object_find(relid, &trial->object) || trial->object.kind != SP_DETECTOR)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a detector", sp_parameter_value(fcinfo, n)),
				 errhint("SELECT name FROM streamproc.status WHERE kind = 'detector' lists them.")));
	sp_relation_check_readable(trial->object.relid);
	sp_relation_check_readable(trial->object.source);
	LockRelationOid(trial->object.source, AccessShareLock);
	LockRelationOid(trial->object.relid, AccessShareLock);
	if (!sp_object_find(relid, &trial->object))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("detector \"%s\" was dropped meanwhile", trial->object.name)));
	sp_relation_check_row_security(trial->object.relid);
	sp_relation_check_row_security(trial->object.source);
}

/* Its definition. */
static void
load_definition(SpTrial *trial)
{
	const char *problem;
	ListCell   *cell;

	trial->definitions = sp_definition_load();
	foreach(cell, trial->definitions->detectors)
	{
		SpDetectorDef *detector = lfirst(cell);

		if (detector->o.id == trial->object.id)
			trial->detector = detector;
	}
	if (trial->detector != NULL)
		return;
	problem = sp_definition_problem(trial->definitions, trial->object.id);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("detector \"%s\" can't be tried: %s", trial->object.name,
					problem != NULL ? problem : "it was dropped"),
			 errhint("Mend it and call streamproc.resume(), or create it again with "
					 "replace => true.")));
}

const char *
sp_trial_obstacle(const SpTrial *trial)
{
	return trial->stream->o.relid == trial->object.source ? sp_twin_obstacle(trial->stream) : NULL;
}

void
sp_trial_check_history(const SpTrial *trial)
{
	const char *obstacle = sp_trial_obstacle(trial);

	if (obstacle != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("detector \"%s\" has no history to be tried over", trial->object.name),
				 errdetail("%s", obstacle)));
}

void
sp_trial_open(FunctionCallInfo fcinfo, int n, SpTrial *trial)
{
	memset(trial, 0, sizeof(SpTrial));
	find_detector(fcinfo, n, trial);
	load_definition(trial);
	trial->stream = sp_lifecycle_stream(&trial->object);
	trial->from = DT_NOBEGIN;
	trial->before = DT_NOEND;
}

void
sp_trial_limit(FunctionCallInfo fcinfo, int n, SpTrial *trial)
{
	sp_trial_check_history(trial);
	if (!PG_ARGISNULL(n))
		trial->from = PG_GETARG_TIMESTAMPTZ(n);
	if (!PG_ARGISNULL(n + 1))
		trial->before = PG_GETARG_TIMESTAMPTZ(n + 1);
	if (trial->from < trial->before)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("parameter \"end_time\" must be later than \"start_time\": %s",
					timestamptz_to_str(trial->before)),
			 errdetail("Parameter \"start_time\" is %s.",
					   pstrdup(timestamptz_to_str(trial->from)))));
}

/* ---- Changes. ---- */

/* The value isn't one that it can have. */
static void
refuse_value(const char *name, JsonbValue *value, const char *wanted)
{
	Jsonb	   *json = JsonbValueToJsonb(value);

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("parameter \"%s\" must be %s: %s", name, wanted,
					sp_parameter_clip(JsonbToCString(NULL, &json->root, VARSIZE(json))))));
}

static double
read_number(const char *name, JsonbValue *value, bool positive)
{
	const char *wanted = positive ? "a number that is finite and positive" :
		"a number that is finite and not negative";
	double		x;

	if (value->type != jbvNumeric)
		refuse_value(name, value, wanted);
	x = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
										   NumericGetDatum(value->val.numeric)));
	if (!isfinite(x) || x < 0 || (positive && x == 0))
		refuse_value(name, value, wanted);
	return x;
}

/* The number of one of three choices. */
static int
read_choice(const char *name, JsonbValue *value, const char *const *choices)
{
	for (int i = 0; i < 3 && value->type == jbvString; i++)
	{
		if (strlen(choices[i]) == value->val.string.len &&
			strncmp(choices[i], value->val.string.val, value->val.string.len) == 0)
			return i;
	}
	refuse_value(name, value, psprintf("\"%s\", \"%s\" or \"%s\"", choices[0], choices[1],
									   choices[2]));
	return 0;
}

static int64
read_interval(const char *name, JsonbValue *value)
{
	Interval   *interval;
	int64		us = -1;

	if (value->type == jbvString)
	{
		interval = DatumGetIntervalP(DirectFunctionCall3(interval_in,
														 CStringGetDatum(pnstrdup(value->val.string.val,
																				  value->val.string.len)),
														 ObjectIdGetDatum(InvalidOid),
														 Int32GetDatum(-1)));
		if (interval->month == 0 && !INTERVAL_NOT_FINITE(interval))
			us = sp_definition_interval_us(interval);
	}
	if (us < 0 || us == PG_INT64_MAX)
		refuse_value(name, value, "an interval without months, and not negative");
	return us;
}

/* Change what isn't a parameter of the method; false: it is one. */
static bool
change_use(SpDetectorDef *detector, const char *name, JsonbValue *value)
{
	static const char *const directions[] = {"both", "high", "low"};
	static const int direction_of[] = {0, 1, -1};
	static const char *const learns[] = {"all", "normal", "capped"};
	static const SpLearn learn_of[] = {SP_LEARN_ALL, SP_LEARN_NORMAL, SP_LEARN_CAPPED};

	if (strcmp(name, "threshold") == 0)
		detector->threshold = read_number(name, value, true);
	else if (strcmp(name, "min_effect") == 0)
		detector->min_effect = read_number(name, value, false);
	else if (strcmp(name, "direction") == 0)
		detector->direction = direction_of[read_choice(name, value, directions)];
	else if (strcmp(name, "learn") == 0)
		detector->learn = learn_of[read_choice(name, value, learns)];
	else if (strcmp(name, "cooldown") == 0)
		detector->cooldown_us = read_interval(name, value);
	else
		return false;
	return true;
}

/* An error unless the method goes with it. */
static void
check_changed(const SpDetectorDef *detector, Jsonb *params)
{
	const SpKernel *kernel;
	SpMethodUse use = {
		.n = detector->has_value ? 1 : detector->nfeatures,
		.direction = detector->direction == 0 ? SP_DIRECTION_BOTH :
		detector->direction > 0 ? SP_DIRECTION_HIGH : SP_DIRECTION_LOW,
		.threshold = detector->threshold,
		.min_effect = detector->min_effect,
		.learn = detector->learn
	};

	if (!sp_method_find(detector->method, &kernel))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("detector %s uses method \"%s\", which this version doesn't have",
						detector->o.name, detector->method)));
	if (kernel != NULL)
		sp_method_check_use(detector->method, kernel, &use);
	(void) sp_method_open(detector->method, params, &use);
}

SpDetectorDef *
sp_trial_change(const SpTrial *trial, Jsonb *changes)
{
	SpDetectorDef *detector = palloc(sizeof(SpDetectorDef));
	Datum		params = DirectFunctionCall1(jsonb_in, CStringGetDatum(trial->detector->params));
	JsonbParseState *state = NULL;
	JsonbIterator *it = JsonbIteratorInit(&changes->root);
	JsonbIteratorToken token;
	JsonbValue	name = {0};
	JsonbValue	value;
	Jsonb	   *changed;

	*detector = *trial->detector;
	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = value;
		if (token != WJB_VALUE || value.type == jbvNull ||
			change_use(detector, pnstrdup(name.val.string.val, name.val.string.len), &value))
			continue;
		(void) pushJsonbValue(&state, WJB_KEY, &name);
		(void) pushJsonbValue(&state, WJB_VALUE, &value);
	}
	changed = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
	params = DirectFunctionCall2(jsonb_concat, params, JsonbPGetDatum(changed));
	detector->params = JsonbToCString(NULL, &DatumGetJsonbP(params)->root,
									  VARSIZE(DatumGetPointer(params)));
	check_changed(detector, DatumGetJsonbP(params));
	return detector;
}
