/*
 * window_option.c
 *	  Arguments of window functions that say how all rows of a partition are treated.
 */
#include "face/window_option.h"

#include "nodes/primnodes.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"

SpOptionScope
sp_window_option_scope(FmgrInfo *flinfo, int n)
{
	Node	   *argument;

	if (get_fn_expr_arg_stable(flinfo, n))
		return SP_OPTION_OF_QUERY;
	if (flinfo->fn_expr == NULL || !IsA(flinfo->fn_expr, WindowFunc))
		return SP_OPTION_OF_ROW;
	argument = list_nth(((WindowFunc *) flinfo->fn_expr)->args, n);
	return contain_var_clause(argument) || contain_volatile_functions(argument) ?
		SP_OPTION_OF_ROW : SP_OPTION_OF_PARTITION;
}

void
sp_window_option_refuse(const char *option, const char *function)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("parameter \"%s\" of %s() must be the same for all rows of a partition", option,
					function),
			 errhint("Write a constant, or a sub-SELECT, or have it in PARTITION BY.")));
}
