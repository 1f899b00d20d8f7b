/*
 * image.c
 *	  A row as jsonb, by to_jsonb() itself.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/bytea.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"

#include "base/compat.h"
#include "catalog/image.h"

/* Values read the same whatever the session's settings are. */
void
sp_image_pin_settings(void)
{
	static const struct
	{
		const char *name;
		const char *value;
	}			pins[] = {
		{"TimeZone", "UTC"},
		{"DateStyle", "ISO"},
		{"IntervalStyle", "postgres"},
		{"extra_float_digits", "1"},
		{"bytea_output", "hex"},
	};

	sp_compat_restrict_search_path();
	if (strcmp(pg_get_timezone_name(session_timezone), "UTC") == 0 &&
		DateStyle == USE_ISO_DATES && IntervalStyle == INTSTYLE_POSTGRES &&
		extra_float_digits == 1 && bytea_output == BYTEA_OUTPUT_HEX)
		return;
	for (int i = 0; i < lengthof(pins); i++)
		(void) set_config_option(pins[i].name, pins[i].value, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

/* The rows of that descriptor become records of a type of their own. */
void
sp_image_open(SpImage *image, TupleDesc desc)
{
	Node	   *argument = (Node *) makeNullConst(RECORDOID, -1, InvalidOid);

	image->record = CreateTupleDescCopy(desc);
	image->record->tdtypeid = RECORDOID;
	image->record->tdtypmod = -1;
	image->record = BlessTupleDesc(image->record);
	fmgr_info(F_TO_JSONB, &image->function);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(argument),
											 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
					   &image->function);
}

/* One row. */
Datum
sp_image_make(SpImage *image, const Datum *values, const bool *nulls)
{
	HeapTuple	tuple = heap_form_tuple(image->record, unconstify(Datum *, values),
										unconstify(bool *, nulls));

	return FunctionCall1(&image->function, HeapTupleGetDatum(tuple));
}
