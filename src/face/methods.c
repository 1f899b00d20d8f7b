/*
 * methods.c
 *	  streamproc.methods and method_parameters: what the kernels say of themselves.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "engine/micro_method.h"
#include "engine/param.h"
#include "engine/series.h"

#define SHOWN_FEATURES 4		/* for which the size of a state is shown */

PG_FUNCTION_INFO_V1(sp_list_methods);
PG_FUNCTION_INFO_V1(sp_list_method_parameters);

static const char *
describe_takes(const SpKernel *kernel)
{
	if (kernel->batch != NULL)
		return "features, in micro-batches";
	if (kernel->is_fitted)
		return "features of a model";
	switch (kernel->takes)
	{
		case SP_TAKES_VALUE:
			return "value";
		case SP_TAKES_ANY_VALUE:
			return kernel->due != NULL ? "nothing" : "value or nothing";
		case SP_TAKES_FEATURES:
			return "features";
		case SP_TAKES_EITHER:
			return "value or features";
	}
	return NULL;
}

/* {}, but for what must be given */
static Jsonb *
make_params(const SpKernel *kernel)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; kernel->batch != NULL && i < kernel->nparams; i++)
	{
		if (kernel->param_table[i].type == SP_PARAM_FLOAT &&
			isnan(kernel->param_table[i].default_value))
			appendStringInfo(&buf, "%s\"%s\": 1", buf.len > 0 ? ", " : "",
							 kernel->param_table[i].name);
	}
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
											  CStringGetDatum(psprintf("{%s}", buf.data))));
}

static void
add_method(ReturnSetInfo *result, const SpKernel *kernel)
{
	int			n = kernel->takes == SP_TAKES_FEATURES ? SHOWN_FEATURES : 1;
	SpMethodUse use = {.n = n, .threshold = NAN, .to_show = true};
	SpMethod   *method = sp_method_open(kernel->name, make_params(kernel), &use);
	bool		nulls[8] = {false};
	Datum		values[8] = {
		CStringGetTextDatum(kernel->name),
		CStringGetTextDatum(describe_takes(kernel)),
		CStringGetTextDatum(kernel->summary),
		BoolGetDatum(kernel->has_direction),
		BoolGetDatum(kernel->uses_time)
	};

	values[5] = Float8GetDatum(method->judge.setup.threshold);
	nulls[5] = isnan(method->judge.setup.threshold);
	values[6] = Int64GetDatum((int64) (sp_series_size(method) + sp_micro_history_size(method)));
	values[7] = CStringGetTextDatum(kernel->reference);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* The one without a kernel. */
static void
add_rules(ReturnSetInfo *result)
{
	bool		nulls[8] = {false, false, false, false, false, false, false, true};
	Datum		values[8] = {
		CStringGetTextDatum("rule"),
		CStringGetTextDatum("rules"),
		CStringGetTextDatum("labelled SQL conditions; the score is how many hold"),
		BoolGetDatum(false),
		BoolGetDatum(false),
		Float8GetDatum(1),
		Int64GetDatum(0)
	};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
sp_list_methods(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	add_rules(result);
	for (const SpKernel *const *k = sp_micro_kernels(); *k != NULL; k++)
		add_method(result, *k);
	return (Datum) 0;
}

static void
add_parameter(ReturnSetInfo *result, const char *method, const SpParam *param)
{
	bool		nulls[6] = {false};
	Datum		values[6] = {
		CStringGetTextDatum(method),
		CStringGetTextDatum(param->name),
		CStringGetTextDatum(sp_param_type_text(param)),
		CStringGetTextDatum(sp_param_default_text(param)),
		CStringGetTextDatum(sp_param_range_text(param)),
		CStringGetTextDatum(param->meaning)
	};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
sp_list_method_parameters(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (const SpKernel *const *k = sp_micro_kernels(); *k != NULL; k++)
	{
		for (int i = 0; i < (*k)->nparams; i++)
			add_parameter(result, (*k)->name, &(*k)->param_table[i]);
		for (const SpParam *p = sp_method_common_params; p->name != NULL; p++)
		{
			if (sp_method_has_common(*k, p))
				add_parameter(result, (*k)->name, p);
		}
	}
	return (Datum) 0;
}
