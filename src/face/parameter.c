/*
 * parameter.c
 *	  Checks arguments of the verbs.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

#include "base/compat.h"
#include "base/tumbling.h"
#include "catalog/definition.h"
#include "face/parameter.h"

/* 290,000 years: added to the present it is still a time. */
#define LONGEST_US	(INT64CONST(105922500) * USECS_PER_DAY)

/* Of a value, messages show so many bytes. */
#define MOST_SHOWN	200

char *
sp_parameter_clip(char *value)
{
	int			length = strlen(value);

	if (length <= MOST_SHOWN)
		return value;
	return psprintf("%.*s...", pg_mbcliplen(value, length, MOST_SHOWN), value);
}

char *
sp_parameter_value(FunctionCallInfo fcinfo, int n)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, n);
	Oid			output;
	bool		is_varlena;

	if (PG_ARGISNULL(n))
		return "NULL";
	/* regclass writes it as a dash, which nobody has typed. */
	if (type == REGCLASSOID && !OidIsValid(PG_GETARG_OID(n)))
		return "0";
	getTypeOutputInfo(type, &output, &is_varlena);
	return sp_parameter_clip(OidOutputFunctionCall(output, PG_GETARG_DATUM(n)));
}

void
sp_parameter_require(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("parameter \"%s\" must not be null", name)));
}

/* Is there an argument, other than an empty array? */
static bool
is_given(FunctionCallInfo fcinfo, int n)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, n);

	if (PG_ARGISNULL(n))
		return false;
	return !OidIsValid(get_element_type(type)) ||
		ARR_NDIM(PG_GETARG_ARRAYTYPE_P(n)) > 0;
}

void
sp_parameter_refuse(FunctionCallInfo fcinfo, int n, const char *name, const char *object)
{
	if (is_given(fcinfo, n))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"%s\" has no meaning for %s: %s", name, object,
						sp_parameter_value(fcinfo, n)),
				 errhint("Leave it out.")));
}

char *
sp_parameter_text(FunctionCallInfo fcinfo, int n, const char *name)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

void
sp_parameter_name(FunctionCallInfo fcinfo, int n, const char *name)
{
	char	   *value;
	List	   *parts;

	sp_parameter_require(fcinfo, n, name);
	value = text_to_cstring(PG_GETARG_TEXT_PP(n));
	if (!SplitIdentifierString(pstrdup(value), '.', &parts) || parts == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("invalid value for parameter \"%s\": \"%s\"", name,
						sp_parameter_clip(value)),
				 errhint("Write it as in CREATE TABLE, for example 'totals', 'sales.totals' or "
						 "'\"My totals\"'.")));
}

char *
sp_parameter_choice(FunctionCallInfo fcinfo, int n, const char *name, const char *const *choices)
{
	StringInfoData list;
	char	   *value;

	sp_parameter_require(fcinfo, n, name);
	value = text_to_cstring(PG_GETARG_TEXT_PP(n));
	initStringInfo(&list);
	for (; *choices != NULL; choices++)
	{
		if (strcmp(value, *choices) == 0)
			return value;
		appendStringInfo(&list, "%s\"%s\"", list.len > 0 ? ", " : "", *choices);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for parameter \"%s\": \"%s\"", name,
					sp_parameter_clip(value)),
			 errhint("Allowed are %s.", list.data)));
	return NULL;
}

List *
sp_parameter_strings(FunctionCallInfo fcinfo, int n, const char *name)
{
	List	   *strings = NIL;
	Datum	   *elements;
	bool	   *nulls;
	int			nelements;
	ArrayType  *array;
	bool		is_name;

	if (PG_ARGISNULL(n))
		return NIL;
	array = PG_GETARG_ARRAYTYPE_P(n);
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("parameter \"%s\" must be an array of one dimension: %s", name,
						sp_parameter_value(fcinfo, n))));
	is_name = ARR_ELEMTYPE(array) == NAMEOID;
	if (is_name)
		deconstruct_array(array, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR, &elements, &nulls,
						  &nelements);
	else
		deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &nelements);
	for (int i = 0; i < nelements; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("parameter \"%s\" must not contain nulls: %s", name,
							sp_parameter_value(fcinfo, n))));
		strings = lappend(strings, is_name ? pstrdup(NameStr(*DatumGetName(elements[i]))) :
						  TextDatumGetCString(elements[i]));
	}
	return strings;
}

bool
sp_parameter_is_too_long(const Interval *interval)
{
	return INTERVAL_NOT_FINITE(interval) || sp_definition_interval_us(interval) > LONGEST_US;
}

/* What is wrong with an interval, or NULL; and what to write instead. */
static const char *
check_interval(const Interval *interval, SpIntervalRule rule, const char **hint)
{
	int64		us = sp_definition_interval_us(interval);

	*hint = rule == SP_INTERVAL_ANY ? "Write '0' or more, for example '1 minute'." :
		"Write more than '0', for example '1 minute'.";
	if (sp_parameter_is_too_long(interval))
	{
		*hint = SP_PARAMETER_LONGEST;
		return "is too long";
	}
	if (interval->month != 0 && rule != SP_INTERVAL_LONG)
	{
		*hint = "Write it in days, or in hours and below.";
		return "must not contain months, whose length varies";
	}
	if (us < 0)
		return "must not be negative";
	if (us == 0 && rule != SP_INTERVAL_ANY)
		return "must be positive";
	return NULL;
}

Interval *
sp_parameter_interval(FunctionCallInfo fcinfo, int n, const char *name, SpIntervalRule rule)
{
	Interval   *interval;
	const char *problem;
	const char *hint;

	if (PG_ARGISNULL(n))
		return NULL;
	interval = PG_GETARG_INTERVAL_P(n);
	problem = check_interval(interval, rule, &hint);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"%s\" %s: %s", name, problem,
						sp_parameter_value(fcinfo, n)),
				 errhint("%s", hint)));
	return interval;
}

char *
sp_parameter_time_zone(FunctionCallInfo fcinfo, int n, const char *name)
{
	char	   *zone;

	sp_parameter_require(fcinfo, n, name);
	zone = text_to_cstring(PG_GETARG_TEXT_PP(n));
	if (sp_tumbling_zone(zone) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" not recognized", sp_parameter_clip(zone)),
				 errdetail("It is the value of parameter \"%s\".", name),
				 errhint("The view pg_timezone_names lists them.")));
	return zone;
}
