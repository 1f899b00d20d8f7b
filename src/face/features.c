/*
 * features.c
 *	  A row's features, as functions are given them.
 *
 * Arrays in tables are short mostly, and then not aligned: they are read where they are, rather
 * than copied for every row.
 */
#include "face/features.h"

#include "base/compat.h"
#include "fmgr.h"
#include "utils/array.h"

/* Does an array with a bitmap have nulls indeed? */
static bool
has_nulls(Datum value)
{
	ArrayType  *array = DatumGetArrayTypePCopy(value);
	bool		result = array_contains_nulls(array);

	pfree(array);
	return result;
}

void
sp_features_open(SpFeatures *features, Datum value)
{
	struct varlena *array = PG_DETOAST_DATUM_PACKED(value);
	const char *start = VARDATA_ANY(array) - VARHDRSZ;	/* as if the header had 4 bytes */
	ArrayType	head;
	int			dims[MAXDIM];

	memcpy((char *) &head + VARHDRSZ, start + VARHDRSZ, sizeof(head) - VARHDRSZ);
	memcpy(dims, start + sizeof(ArrayType), sizeof(int) * head.ndim);
	features->array = array;
	features->n = ArrayGetNItems(head.ndim, dims);
	features->has_nulls = head.dataoffset != 0 && has_nulls(value);
	features->data = start + (head.dataoffset != 0 ? head.dataoffset :
							  (int) ARR_OVERHEAD_NONULLS(head.ndim));
}

void
sp_features_close(SpFeatures *features, Datum value)
{
	if ((Pointer) features->array != DatumGetPointer(value))
		pfree(features->array);
}

void
sp_features_refuse(int n, int d)
{
	ereport(ERROR,
			(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
			 errmsg("a row has %d features, and the first one has %d", n, d)));
}
