/*
 * method.c
 *	  The table of methods, and their parameters from jsonb.
 */
#include "engine/method.h"

#include <math.h>

#include "kernel/online/ewma.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

static void
ewma_init(void *state, const void *params)
{
	sp_ewma_init(state, params);
}

static bool
ewma_score(const void *state, const void *params, double x, SpDirection direction,
		   double threshold, SpScore *result)
{
	return sp_ewma_score(state, params, x, direction, threshold, result);
}

static bool
ewma_warm(const void *state, const void *params)
{
	return ((const SpEwma *) state)->count >= (uint32) ((const SpEwmaParams *) params)->warmup;
}

static bool
ewma_learn(void *state, const void *params, double x)
{
	return sp_ewma_learn(state, params, x);
}

static char *
ewma_write(const void *state, char *to)
{
	return sp_ewma_write(state, to);
}

static const char *
ewma_read(void *state, const char *from, const char *end)
{
	return sp_ewma_read(state, from, end);
}

static const SpMethod methods[] = {
	{
		.name = "rule",
		.default_threshold = 1.0
	},
	{
		.name = "ewma",
		.takes_value = true,
		.default_threshold = SP_EWMA_THRESHOLD,
		.nparams = SP_EWMA_NPARAMS,
		.param_table = sp_ewma_param_table,
		.params_size = sizeof(SpEwmaParams),
		.state_size = sizeof(SpEwma),
		.written_size = SP_EWMA_WRITTEN_SIZE,
		.init = ewma_init,
		.score = ewma_score,
		.warm = ewma_warm,
		.learn = ewma_learn,
		.write = ewma_write,
		.read = ewma_read
	}
};

/* The method of that name. */
const SpMethod *
sp_method_find(const char *name)
{
	int			i;

	for (i = 0; i < lengthof(methods); i++)
	{
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];
	}
	return NULL;
}

/* "rule, ewma" */
const char *
sp_method_names(void)
{
	StringInfoData buf;
	int			i;

	initStringInfo(&buf);
	for (i = 0; i < lengthof(methods); i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", methods[i].name);
	return buf.data;
}

/* "alpha (default 0.05, from 1e-06 to 1), ..." */
static char *
describe_params(const SpMethod *method)
{
	StringInfoData buf;
	int			i;

	initStringInfo(&buf);
	for (i = 0; i < method->nparams; i++)
	{
		const SpParam *p = &method->param_table[i];

		appendStringInfo(&buf, "%s%s (%s, default %g, from %g to %g)", i > 0 ? ", " : "", p->name,
						 p->type == SP_PARAM_INT ? "integer" : "number",
						 p->default_value, p->min, p->max);
	}
	return buf.data;
}

/* The parameter of that name (not null-terminated), or NULL. */
static const SpParam *
find_param(const SpMethod *method, const char *name, int length)
{
	int			i;

	for (i = 0; i < method->nparams; i++)
	{
		const char *have = method->param_table[i].name;

		if (strlen(have) == length && strncmp(have, name, length) == 0)
			return &method->param_table[i];
	}
	return NULL;
}

/* Store one given value. */
static void
set_param(const SpMethod *method, void *params, const SpParam *param, const JsonbValue *value,
		  Jsonb *given)
{
	double		x;

	if (value->type != jbvNumeric)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"%s\" of method \"%s\" must be a number",
						param->name, method->name),
				 errdetail("Parameter \"params\" is %s.",
						   JsonbToCString(NULL, &given->root, VARSIZE(given))),
				 errhint("Parameters of this method: %s.", describe_params(method))));
	x = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
										   NumericGetDatum(value->val.numeric)));
	if (!(x >= param->min && x <= param->max) || (param->type == SP_PARAM_INT && x != rint(x)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"%s\" of method \"%s\" can't be %g",
						param->name, method->name, x),
				 errhint("Parameters of this method: %s.", describe_params(method))));
	if (param->type == SP_PARAM_INT)
		*(int32 *) ((char *) params + param->offset) = (int32) x;
	else
		*(double *) ((char *) params + param->offset) = x;
}

/* Defaults, then what was given. */
void *
sp_method_params(const SpMethod *method, Jsonb *given)
{
	char	   *params = palloc0(Max(method->params_size, 1));
	const SpParam *param = NULL;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	v;
	int			i;

	for (i = 0; i < method->nparams; i++)
	{
		const SpParam *p = &method->param_table[i];

		if (p->type == SP_PARAM_INT)
			*(int32 *) (params + p->offset) = (int32) p->default_value;
		else
			*(double *) (params + p->offset) = p->default_value;
	}
	if (!JB_ROOT_IS_OBJECT(given))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("params must be a JSON object")));
	it = JsonbIteratorInit(&given->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			param = find_param(method, v.val.string.val, v.val.string.len);
			if (param == NULL)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("method \"%s\" has no parameter \"%.*s\"",
								method->name, v.val.string.len, v.val.string.val),
						 method->nparams == 0 ? errhint("This method has no parameters.") :
						 errhint("Parameters of this method: %s.", describe_params(method))));
		}
		else if (token == WJB_VALUE)
			set_param(method, params, param, &v, given);
	}
	return params;
}
