/*
 * server_tuple.c
 *	  Descriptors with missing values, and heap tuples.
 */
#include "server.h"

#include "access/htup_details.h"
#include "access/tupdesc_details.h"
#include "utils/datum.h"

#include "base/compat.h"

#include "fuzz.h"

/* A descriptor whose columns are all zeros. */
static TupleDesc
make_descriptor(int natts)
{
	struct TupleDescData counted = {.natts = natts};
	TupleDesc	desc = palloc0(TupleDescSize(&counted));

	desc->natts = natts;
	desc->tdtypmod = -1;
	desc->tdrefcount = -1;
	return desc;
}

/* A value that rows without the column have for it. */
static Datum
make_missing(const ServerColumn *column)
{
	char	   *value;

	if (column->byval)
		return column->length == 1 ? CharGetDatum(42) : Int16GetDatum(-4242);
	if (column->length == -2)
	{
		value = palloc(8);
		memcpy(value, "missing", 8);
	}
	else if (column->length == -1)
	{
		value = palloc(VARHDRSZ + 7);
		SET_VARSIZE(value, VARHDRSZ + 7);
		memcpy(value + VARHDRSZ, "missing", 7);
	}
	else
	{
		value = palloc(column->length);
		memset(value, 'm', column->length);
	}
	return PointerGetDatum(value);
}

/* A descriptor. */
TupleDesc
server_descriptor(int ncolumns, const ServerColumn *columns)
{
	TupleDesc	desc = make_descriptor(ncolumns);

	desc->constr = palloc0(sizeof(TupleConstr));
	desc->constr->missing = palloc0(sizeof(AttrMissing) * Max(ncolumns, 1));
	for (int i = 0; i < ncolumns; i++)
	{
		const ServerColumn *column = &columns[i];
		Form_pg_attribute att = TupleDescAttr(desc, i);

		att->attnum = i + 1;
		att->attname.data[0] = 'a' + i % 26;
		att->atttypid = column->dropped ? InvalidOid : 1000 + column->length + column->align;
		att->atttypmod = -1;
		att->attlen = column->length;
		att->attbyval = column->byval;
		att->attalign = column->align;
		att->attstorage = column->length == -1 && !column->plain ?
			TYPSTORAGE_EXTENDED : TYPSTORAGE_PLAIN;
		att->attisdropped = column->dropped;
		att->atthasmissing = column->missing == MISSING_VALUE;
		if (att->atthasmissing)
		{
			desc->constr->missing[i].am_present = true;
			desc->constr->missing[i].am_value = make_missing(column);
		}
	}
	return desc;
}

/* A copy without missing values. */
TupleDesc
CreateTupleDescCopy(TupleDesc from)
{
	TupleDesc	desc = make_descriptor(from->natts);

	for (int i = 0; i < desc->natts; i++)
	{
		*TupleDescAttr(desc, i) = *TupleDescAttr(from, i);
		TupleDescAttr(desc, i)->atthasmissing = false;
	}
	return desc;
}

/* A copy with them. */
TupleDesc
CreateTupleDescCopyConstr(TupleDesc from)
{
	TupleDesc	desc = CreateTupleDescCopy(from);

	desc->constr = palloc0(sizeof(TupleConstr));
	desc->constr->missing = palloc0(sizeof(AttrMissing) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		att->atthasmissing = TupleDescAttr(from, i)->atthasmissing;
		if (!att->atthasmissing)
			continue;
		desc->constr->missing[i].am_present = true;
		desc->constr->missing[i].am_value = datumCopy(from->constr->missing[i].am_value,
													  att->attbyval, att->attlen);
	}
	return desc;
}

Datum
getmissingattr(TupleDesc desc, int attnum, bool *isnull)
{
	Form_pg_attribute att = TupleDescAttr(desc, attnum - 1);

	*isnull = !att->atthasmissing;
	return att->atthasmissing ? desc->constr->missing[attnum - 1].am_value : (Datum) 0;
}

/* ---- values ---- */

Size
datumGetSize(Datum value, bool typByVal, int typLen)
{
	if (typByVal || typLen > 0)
		return typLen;
	if (typLen == -1)
		return VARSIZE_ANY(DatumGetPointer(value));
	return strlen(DatumGetCString(value)) + 1;
}

Datum
datumCopy(Datum value, bool typByVal, int typLen)
{
	Size		size = datumGetSize(value, typByVal, typLen);
	char	   *copy;

	if (typByVal)
		return value;
	copy = palloc(size);
	memcpy(copy, DatumGetPointer(value), size);
	return PointerGetDatum(copy);
}

bool
datumIsEqual(Datum value1, Datum value2, bool typByVal, int typLen)
{
	Size		size = datumGetSize(value1, typByVal, typLen);

	if (typByVal)
		return value1 == value2;
	return size == datumGetSize(value2, typByVal, typLen) &&
		memcmp(DatumGetPointer(value1), DatumGetPointer(value2), size) == 0;
}

/* ---- tuples ---- */

/* A heap tuple of the first natts columns. */
HeapTuple
server_form_tuple(TupleDesc desc, int natts, const Datum *values, const bool *nulls)
{
	bool		has_nulls = memchr(nulls, true, natts) != NULL;
	Size		start = offsetof(HeapTupleHeaderData, t_bits) + (has_nulls ? BITMAPLEN(natts) : 0);
	Size		size = server_data_size(desc, natts, values, nulls);
	HeapTuple	tuple = palloc0(sizeof(HeapTupleData));

	start = MAXALIGN(start);
	tuple->t_len = start + size;
	tuple->t_data = palloc0(tuple->t_len);
	tuple->t_data->t_hoff = start;
	tuple->t_data->t_infomask = has_nulls ? HEAP_HASNULL : 0;
	HeapTupleHeaderSetNatts(tuple->t_data, natts);
	server_fill_data(desc, natts, values, nulls, (char *) tuple->t_data + start, size,
					 has_nulls ? tuple->t_data->t_bits : NULL);
	return tuple;
}
