/*
 * row_image.c
 *	  row_image(row): to_jsonb(), but for virtual columns, whose values the WAL doesn't have.
 *
 * Twins look for the images of dead letters, which were made of decoded rows.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "base/compat.h"

PG_FUNCTION_INFO_V1(sp_row_image);

static bool
has_virtual_columns(TupleDesc desc)
{
	for (int i = 0; i < desc->natts; i++)
	{
		if (sp_compat_is_virtual(TupleDescAttr(desc, i)))
			return true;
	}
	return false;
}

/* The row with nulls for virtual columns. */
static Datum
clear_virtual_columns(HeapTupleHeader header, TupleDesc desc)
{
	HeapTupleData tuple = {0};
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	tuple.t_data = header;
	heap_deform_tuple(&tuple, desc, values, nulls);
	for (int i = 0; i < desc->natts; i++)
		nulls[i] |= sp_compat_is_virtual(TupleDescAttr(desc, i));
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}

Datum
sp_row_image(PG_FUNCTION_ARGS)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 0);

	if (OidIsValid(get_typ_typrelid(type)))
	{
		TupleDesc	desc = lookup_rowtype_tupdesc(type, -1);

		if (has_virtual_columns(desc))
			fcinfo->args[0].value = clear_virtual_columns(PG_GETARG_HEAPTUPLEHEADER(0), desc);
		ReleaseTupleDesc(desc);
	}
	return to_jsonb(fcinfo);
}
