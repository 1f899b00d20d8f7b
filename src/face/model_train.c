/*
 * model_train.c
 *	  Aggregates that make models: METHOD_train(features) and METHOD_train(features, params).
 *
 * The transition functions of all of them are one, which finds the method by its own name,
 * METHOD_train_step; the others know it from the state.  A row with a feature that is NULL, NaN
 * or infinite isn't trained on.
 */
#include "face/training.h"

#include <math.h>

#include "base/compat.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "engine/batch_work.h"
#include "engine/param.h"
#include "face/features.h"
#include "face/model.h"

#define STEP_SUFFIX	"_train_step"

PG_FUNCTION_INFO_V1(sp_model_train_step);
PG_FUNCTION_INFO_V1(sp_model_train_final);

/* The method that a transition function is of. */
static const SpModelKernel *
find_kernel(FmgrInfo *flinfo)
{
	char	   *name = get_func_name(flinfo->fn_oid);
	const SpModelKernel *kernel = NULL;
	Size		length = name != NULL ? strlen(name) : 0;

	if (length > strlen(STEP_SUFFIX))
	{
		name[length - strlen(STEP_SUFFIX)] = '\0';
		kernel = sp_model_find(name);
	}
	if (kernel == NULL)
		elog(ERROR, "there is no model method of this name");
	return kernel;
}

/* What was given, over the defaults. */
static void *
read_params(const SpModelKernel *kernel, Jsonb *given)
{
	void	   *params = palloc0(Max(kernel->params_size, 1));
	SpParamSet	set;

	sp_param_defaults(kernel->param_table, kernel->nparams, params, kernel->params_size);
	if (given == NULL)
		return params;
	sp_param_begin(&set, kernel->name);
	sp_param_add(&set, kernel->param_table, kernel->nparams, params);
	sp_param_read(&set, given);
	return params;
}

/* Parameters of a later row: they are the first one's. */
static void
check_params(SpTraining *training, Jsonb *given)
{
	if (training->given == NULL || VARSIZE(given) != VARSIZE(training->given) ||
		memcmp(given, training->given, VARSIZE(given)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("params of %s_train() must be the same for all rows", training->kernel->name),
				 errhint("Write a constant.")));
}

/* The params of a row, if there are any. */
static Jsonb *
get_params(FunctionCallInfo fcinfo)
{
	if (PG_NARGS() < 3)
		return NULL;
	if (PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("params must not be NULL"),
				 errhint("Without them write '{}', or leave them out.")));
	return PG_GETARG_JSONB_P(2);
}

/* Begin, in the current memory context. */
static SpTraining *
begin_training(FmgrInfo *flinfo, Jsonb *given, int d)
{
	const SpModelKernel *kernel = find_kernel(flinfo);
	void	   *params = read_params(kernel, given);
	SpTraining *training;

	if (d < 1 || d > SP_BATCH_MAX_COLUMNS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a row has %d features, and must have 1 to %d", d, SP_BATCH_MAX_COLUMNS)));
	training = sp_training_begin(kernel, params, d);
	if (given != NULL)
	{
		training->given = palloc(VARSIZE(given));
		memcpy(training->given, given, VARSIZE(given));
	}
	return training;
}

/* state, features float8[] [, params jsonb] */
Datum
sp_model_train_step(PG_FUNCTION_ARGS)
{
	SpTraining *training = PG_ARGISNULL(0) ? NULL : (SpTraining *) PG_GETARG_POINTER(0);
	MemoryContext context = sp_training_context(fcinfo);
	MemoryContext old;
	Jsonb	   *given = get_params(fcinfo);
	SpFeatures	features;

	if (PG_ARGISNULL(1))
	{
		if (training == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(training);
	}
	sp_features_open(&features, PG_GETARG_DATUM(1));
	if (training == NULL)
	{
		old = MemoryContextSwitchTo(context);
		training = begin_training(fcinfo->flinfo, given, features.n);
		MemoryContextSwitchTo(old);
	}
	else if (given != NULL)
		check_params(training, given);
	if (features.n != training->gather.d)
		sp_features_refuse(features.n, training->gather.d);
	if (!features.has_nulls)
	{
		memcpy(training->row, features.data, sizeof(double) * features.n);
		if (sp_batch_work_accept(training->row, features.n))
			sp_training_add(training, context);
	}
	sp_features_close(&features, PG_GETARG_DATUM(1));
	PG_RETURN_POINTER(training);
}

/* state */
Datum
sp_model_train_final(PG_FUNCTION_ARGS)
{
	SpTraining *training = PG_ARGISNULL(0) ? NULL : (SpTraining *) PG_GETARG_POINTER(0);
	const SpModelKernel *kernel;
	SpModelValue *value;
	SpBatchWork work;
	void	   *body;
	Size		size;

	if (training == NULL || training->gather.n == 0)
		PG_RETURN_NULL();
	kernel = training->kernel;
	sp_training_check_memory(training, training->gather.kept);
	sp_batch_work_begin(&work, training->name);
	body = kernel->train(training->params, &training->gather, &work.work, &size);
	value = sp_model_value_make(kernel->name, (double) sp_model_size(kernel, 0) + size);
	sp_model_write(&value->model, kernel, training->params, &training->gather, body, size);
	sp_batch_work_end(&work);
	PG_RETURN_POINTER(value);
}
