/*
 * columns.c
 *	  What is kept of rows whose aggregates may have to be computed again.
 */
#include "engine/columns.h"

#include "access/detoast.h"
#include "base/compat.h"
#include "engine/internal.h"
#include "utils/datum.h"

/* ---- binding ---- */

/* Is what the expression is computed under the same condition? */
static bool
same_guard(const SpWindow *w, const SpExpression *a, const SpExpression *b)
{
	if (a->guard == 0 || b->guard == 0)
		return a->guard == b->guard;
	return equal(w->evaluated[a->guard - 1]->expr, w->evaluated[b->guard - 1]->expr);
}

/* The column of an evaluated expression: one that is there, or a new one. */
static int
add_column(SpColumns *columns, int evaluated)
{
	SpExpression *e = columns->window->evaluated[evaluated];
	int			c;

	for (c = 0; c < columns->n; c++)
	{
		if (equal(columns->list[c]->expr, e->expr) &&
			same_guard(columns->window, columns->list[c], e))
			return c;
	}
	columns->list[c] = e;
	columns->evaluated[c] = evaluated;
	columns->by_value &= e->typbyval;
	return columns->n++;
}

/* The columns of a window's rows. */
void
sp_columns_bind(SpColumns *columns, const SpWindow *w, bool with_carry)
{
	columns->window = w;
	columns->n = 0;
	columns->list = palloc(sizeof(SpExpression *) * Max(1, w->nevaluated));
	columns->evaluated = palloc(sizeof(int) * Max(1, w->nevaluated));
	columns->filter = palloc(sizeof(int) * Max(1, w->naggs));
	columns->args = palloc(sizeof(int *) * Max(1, w->naggs));
	columns->carry = palloc(sizeof(int) * Max(1, w->ncarry));
	columns->by_value = true;
	for (int a = 0; a < w->naggs; a++)
	{
		int			nargs = sp_aggregate_nargs(w->aggs[a]);

		columns->filter[a] = w->agg_filter[a] < 0 ? -1 : add_column(columns, w->agg_filter[a]);
		columns->args[a] = palloc0(sizeof(int) * Max(1, nargs));
		for (int j = 0; j < nargs; j++)
			columns->args[a][j] = add_column(columns, w->agg_first_arg[a] + j);
	}
	for (int i = 0; with_carry && i < w->ncarry; i++)
		columns->carry[i] = add_column(columns, w->nkeys + i);
}

/* ---- values ---- */

/* The values of row i. */
void
sp_columns_take(const SpColumns *columns, const SpEvaluated *ev, int i, NullableDatum *values)
{
	for (int c = 0; c < columns->n; c++)
		values[c] = ev->result[columns->evaluated[c]][i];
}

void
sp_columns_flatten(const SpColumns *columns, NullableDatum *values)
{
	for (int c = 0; c < columns->n && !columns->by_value; c++)
	{
		if (columns->list[c]->typlen == -1 && !values[c].isnull)
			values[c].value = PointerGetDatum(PG_DETOAST_DATUM_PACKED(values[c].value));
	}
}

/* A value for as long as the row is kept. */
static Datum
keep_value(const SpExpression *e, Datum value)
{
	if (e->typlen == -1)
		return PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	return datumCopy(value, false, e->typlen);
}

/* Copies of by-reference values. */
void
sp_columns_keep(const SpColumns *columns, NullableDatum *values)
{
	for (int c = 0; c < columns->n && !columns->by_value; c++)
	{
		if (!columns->list[c]->typbyval && !values[c].isnull)
			values[c].value = keep_value(columns->list[c], values[c].value);
	}
}

/* Give them up. */
void
sp_columns_free(const SpColumns *columns, NullableDatum *values)
{
	for (int c = 0; c < columns->n && !columns->by_value; c++)
	{
		if (!columns->list[c]->typbyval && !values[c].isnull)
			pfree(DatumGetPointer(values[c].value));
	}
}

/* The bytes of a value by reference, without the header of one of variable length. */
static const char *
look_at(const SpExpression *e, Datum value, Size *size)
{
	struct varlena *data;

	if (e->typlen != -1)
	{
		*size = datumGetSize(value, false, e->typlen);
		return DatumGetPointer(value);
	}
	data = PG_DETOAST_DATUM_PACKED(value);
	*size = VARSIZE_ANY_EXHDR(data);
	return VARDATA_ANY(data);
}

/* Are two values the same, bit by bit? */
static bool
same_value(const SpExpression *e, const NullableDatum *a, const NullableDatum *b)
{
	const char *bytes_a;
	const char *bytes_b;
	Size		size_a;
	Size		size_b;

	if (a->isnull || b->isnull)
		return a->isnull && b->isnull;
	if (e->typbyval)
		return a->value == b->value;
	bytes_a = look_at(e, a->value, &size_a);
	bytes_b = look_at(e, b->value, &size_b);
	return size_a == size_b && memcmp(bytes_a, bytes_b, size_a) == 0;
}

bool
sp_columns_equal(const SpColumns *columns, const NullableDatum *a, const NullableDatum *b)
{
	for (int c = 0; c < columns->n; c++)
	{
		if (!same_value(columns->list[c], &a[c], &b[c]))
			return false;
	}
	return true;
}

/* The aggregate's arguments, one behind the other. */
const NullableDatum *
sp_columns_arguments(const SpColumns *columns, int a, const NullableDatum *values,
					 NullableDatum *buffer)
{
	int			n = sp_aggregate_nargs(columns->window->aggs[a]);

	if (n <= 1)
		return &values[columns->args[a][0]];
	for (int j = 0; j < n; j++)
		buffer[j] = values[columns->args[a][j]];
	return buffer;
}

/* ---- durable form ---- */

/* Bytes of it. */
Size
sp_columns_size(const SpColumns *columns, const NullableDatum *values)
{
	Size		size = columns->n * (1 + sizeof(Datum));

	for (int c = 0; c < columns->n && !columns->by_value; c++)
	{
		if (!columns->list[c]->typbyval && !values[c].isnull)
			size += datumGetSize(values[c].value, false, columns->list[c]->typlen);
	}
	return size;
}

/* Append one column. */
static void
write_column(StringInfo buf, const SpExpression *e, const NullableDatum *value)
{
	uint32		size;

	appendStringInfoCharMacro(buf, value->isnull ? 1 : 0);
	if (value->isnull)
		return;
	if (e->typbyval)
	{
		appendBinaryStringInfo(buf, (char *) &value->value, sizeof(Datum));
		return;
	}
	size = datumGetSize(value->value, false, e->typlen);
	appendBinaryStringInfo(buf, (char *) &size, sizeof(size));
	appendBinaryStringInfo(buf, DatumGetPointer(value->value), size);
}

void
sp_columns_write(const SpColumns *columns, const NullableDatum *values, StringInfo buf)
{
	for (int c = 0; c < columns->n; c++)
		write_column(buf, columns->list[c], &values[c]);
}

/* They can't be what was written. */
void
sp_columns_damaged(const SpColumns *columns)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("the events of window %s are damaged", columns->window->def->o.name),
			 errhint("Rebuild the window with streamproc.resume().")));
}

/* Read one column. */
static void
read_column(const SpColumns *columns, const SpExpression *e, const char **p, const char *end,
			NullableDatum *column)
{
	uint8		null;
	uint32		size;
	char	   *copy;

	sp_read_bytes(p, end, &null, 1);
	column->isnull = null != 0;
	column->value = (Datum) 0;
	if (null != 0)
		return;
	if (e->typbyval)
	{
		sp_read_bytes(p, end, &column->value, sizeof(Datum));
		return;
	}
	sp_read_bytes(p, end, &size, sizeof(size));
	if (size > (Size) (end - *p) || size == 0)
		sp_columns_damaged(columns);
	copy = palloc(size);
	sp_read_bytes(p, end, copy, size);
	if (!sp_is_one_value(copy, size, e->typlen))
		sp_columns_damaged(columns);
	column->value = PointerGetDatum(copy);
}

void
sp_columns_read(const SpColumns *columns, NullableDatum *values, const char **p, const char *end)
{
	for (int c = 0; c < columns->n; c++)
		read_column(columns, columns->list[c], p, end, &values[c]);
}
