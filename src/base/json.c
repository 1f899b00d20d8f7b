/*
 * json.c
 *	  Pieces of JSON.
 */
#include "base/json.h"

#include <math.h>

#include "base/compat.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"

void
sp_json_append_number(StringInfo buf, const char *name, double x)
{
	escape_json(buf, name);
	appendStringInfoString(buf, ": ");
	if (isnan(x) || isinf(x))
		appendStringInfoString(buf, "null");
	else
		appendStringInfoString(buf, DatumGetCString(DirectFunctionCall1(float8out,
																		Float8GetDatum(x))));
}
