/*
 * detect_key.c
 *	  Makes the keys of rows that detect() shows.
 *
 * jsonb_build_object() looks at the types of its arguments each time, which for millions of rows
 * takes longer than to score them.  Here types are looked at once; those that keys are mostly of
 * are put in directly, and to_jsonb() is asked about the others.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "face/detect_key.h"

typedef struct Column
{
	char	   *name;
	Oid			type;
	FmgrInfo	convert;		/* to_jsonb(), of that type */
} Column;

struct SpDetectKey
{
	int			ncolumns;
	int			first;
	Column	   *columns;		/* [ncolumns] */
};

/* to_jsonb() learns the type of its argument from the expression that it is called by. */
static void
bind_column(Column *column, Form_pg_attribute attribute, char *name)
{
	Const	   *arg = makeNullConst(attribute->atttypid, attribute->atttypmod,
									attribute->attcollation);

	column->name = name;
	column->type = attribute->atttypid;
	fmgr_info(F_TO_JSONB, &column->convert);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(arg), InvalidOid,
											 InvalidOid, COERCE_EXPLICIT_CALL),
					   &column->convert);
}

SpDetectKey *
sp_detect_key_open(TupleDesc desc, int first, List *names)
{
	SpDetectKey *key = palloc0(sizeof(SpDetectKey));
	ListCell   *cell;

	key->first = first;
	key->columns = palloc0(sizeof(Column) * Max(list_length(names), 1));
	foreach(cell, names)
	{
		bind_column(&key->columns[key->ncolumns], TupleDescAttr(desc, first + key->ncolumns),
					lfirst(cell));
		key->ncolumns++;
	}
	return key;
}

/* An integer, as JSON has it. */
static void
set_integer(JsonbValue *to, int64 x)
{
	to->type = jbvNumeric;
	to->val.numeric = int64_to_numeric(x);
}

/* What to_jsonb() says: a scalar, or a container that is put in whole. */
static void
set_other(JsonbValue *to, Column *column, Datum value)
{
	Jsonb	   *jsonb = DatumGetJsonbP(FunctionCall1(&column->convert, value));

	if (JB_ROOT_IS_SCALAR(jsonb))
		(void) JsonbExtractScalar(&jsonb->root, to);
	else
	{
		to->type = jbvBinary;
		to->val.binary.data = &jsonb->root;
		to->val.binary.len = VARSIZE(jsonb) - VARHDRSZ;
	}
}

static void
set_value(JsonbValue *to, Column *column, Datum value)
{
	switch (column->type)
	{
		case INT2OID:
			set_integer(to, DatumGetInt16(value));
			break;
		case INT4OID:
			set_integer(to, DatumGetInt32(value));
			break;
		case INT8OID:
			set_integer(to, DatumGetInt64(value));
			break;
		default:
			set_other(to, column, value);
	}
}

Datum
sp_detect_key_make(SpDetectKey *key, const Datum *values, const bool *nulls)
{
	JsonbParseState *state = NULL;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < key->ncolumns; i++)
	{
		Column	   *column = &key->columns[i];
		JsonbValue	name = {.type = jbvString};
		JsonbValue	value = {.type = jbvNull};

		name.val.string.val = column->name;
		name.val.string.len = (int) strlen(column->name);
		if (!nulls[key->first + i])
			set_value(&value, column, values[key->first + i]);
		(void) pushJsonbValue(&state, WJB_KEY, &name);
		(void) pushJsonbValue(&state, WJB_VALUE, &value);
	}
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}
