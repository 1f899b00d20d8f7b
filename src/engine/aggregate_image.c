/*
 * aggregate_image.c
 *	  The image of a row that an aggregate keeps: its values in few bytes, equal ones alike.
 *
 * A bitmap of nulls, then the values without alignment: by-value ones in their length,
 * varlenas uncompressed and with the shortest header they may have.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"

#include "base/compat.h"
#include "engine/aggregate_rows.h"

/*
 * The plain form of a varlena, so that equal values have equal images wherever they come
 * from.  A record that has no name becomes one of no type: that it is registered as is
 * this process's affair.
 */
static const char *
plain_form(const SpKeptColumn *column, Datum value, uint32 *size)
{
	struct varlena *plain = pg_detoast_datum((struct varlena *) DatumGetPointer(value));

	*size = VARSIZE(plain);
	if (column->is_record)
	{
		char	   *copy = palloc(*size);

		memcpy(copy, plain, *size);
		HeapTupleHeaderSetTypMod((HeapTupleHeader) copy, -1);
		return copy;
	}
	if (column->packable && VARATT_CAN_MAKE_SHORT(plain))
	{
		char	   *copy = palloc(*size);

		*size = VARATT_CONVERTED_SHORT_SIZE(plain);
		memcpy(copy + VARHDRSZ_SHORT, VARDATA(plain), *size - VARHDRSZ_SHORT);
		SET_VARSIZE_SHORT(copy, *size);
		return copy;
	}
	return (const char *) plain;
}

/* Append the image of a value that isn't null. */
static void
append_value(StringInfo buf, const SpKeptColumn *column, Datum value)
{
	const char *p = DatumGetPointer(value);
	uint32		size;

	if (column->typbyval)
	{
		/* the low bytes, wherever they stand */
		union
		{
			int8		byte;
			int16		two;
			int32		four;
			Datum		eight;
		}			low = {0};

		switch (column->typlen)
		{
			case 1:
				low.byte = DatumGetChar(value);
				break;
			case 2:
				low.two = DatumGetInt16(value);
				break;
			case 4:
				low.four = DatumGetInt32(value);
				break;
			default:
				low.eight = value;
				break;
		}
		appendBinaryStringInfo(buf, (char *) &low, column->typlen);
		return;
	}
	if (column->typlen == -1)
		p = plain_form(column, value, &size);
	else
		size = column->typlen > 0 ? column->typlen : strlen(p) + 1;
	appendBinaryStringInfo(buf, p, size);
}

/* The image of a row, in the current memory context. */
void
sp_image_form(const SpAggregate *agg, const NullableDatum *args, StringInfo buf)
{
	const SpKeeper *keeper = agg->keeper;
	int			nbitmap = (keeper->ncolumns + 7) / 8;

	initStringInfo(buf);
	for (int i = 0; i < nbitmap; i++)
		appendStringInfoChar(buf, '\0');
	for (int i = 0; i < keeper->ncolumns; i++)
	{
		if (args[i].isnull)
			buf->data[i / 8] |= 1 << (i % 8);
		else
			append_value(buf, &keeper->columns[i], args[i].value);
	}
	if (buf->len > SP_LARGEST_IMAGE)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a row of aggregate \"%s\" is too large to be kept: %d bytes",
						agg->name, buf->len)));
}

/* The length of a value within an image; 0: it isn't one, or goes beyond the end. */
static Size
value_length(const SpKeptColumn *column, const char *p, const char *end)
{
	Size		left = end - p;
	Size		size;

	if (column->typlen > 0)
		return left >= column->typlen ? column->typlen : 0;
	if (column->typlen == -2)
	{
		const char *zero = memchr(p, '\0', left);

		return zero == NULL ? 0 : zero + 1 - p;
	}
	if (left < VARHDRSZ_SHORT || VARATT_IS_1B_E(p))
		return 0;
	if (VARATT_IS_1B(p))
		size = column->packable ? VARSIZE_1B(p) : 0;
	else
	{
		varattrib_4b header;

		if (left < VARHDRSZ)
			return 0;
		memcpy(&header, p, VARHDRSZ);
		size = VARATT_IS_4B_U(&header) ? VARSIZE_4B(&header) : 0;
		if (size < (column->is_record ? SizeofHeapTupleHeader : VARHDRSZ))
			return 0;
	}
	return size <= left ? size : 0;
}

/* Are these bytes an image of the aggregate's columns? */
bool
sp_image_check(const SpKeeper *keeper, const char *image, Size size)
{
	const char *end = image + size;
	const char *p = image + (keeper->ncolumns + 7) / 8;

	if (p > end)
		return false;
	for (int i = 0; i < keeper->ncolumns; i++)
	{
		Size		length;

		if (image[i / 8] & (1 << (i % 8)))
			continue;
		length = value_length(&keeper->columns[i], p, end);
		if (length == 0)
			return false;
		p += length;
	}
	return p == end;
}

/* A value of an image, where what needs to be aligned is copied to the current context. */
static Datum
read_value(const SpKeptColumn *column, const char *p, Size size)
{
	char	   *copy;
	int16		two;
	int32		four;
	Datum		eight;

	if (column->typbyval)
	{
		switch (column->typlen)
		{
			case 1:
				return CharGetDatum(*p);
			case 2:
				memcpy(&two, p, sizeof(two));
				return Int16GetDatum(two);
			case 4:
				memcpy(&four, p, sizeof(four));
				return Int32GetDatum(four);
			default:
				memcpy(&eight, p, sizeof(eight));
				return eight;
		}
	}
	if (column->typlen == -2 || (column->typlen == -1 && VARATT_IS_1B(p)))
		return PointerGetDatum(p);
	copy = palloc(size);
	memcpy(copy, p, size);
	if (column->is_record)
		HeapTupleHeaderSetTypMod((HeapTupleHeader) copy, column->record_typmod);
	return PointerGetDatum(copy);
}

/*
 * The values of an image.  By-reference ones are in it, or in the current memory context.
 */
void
sp_image_read(const SpKeeper *keeper, const char *image, Size size, Datum *values, bool *nulls)
{
	const char *p = image + (keeper->ncolumns + 7) / 8;

	for (int i = 0; i < keeper->ncolumns; i++)
	{
		Size		length;

		nulls[i] = (image[i / 8] & (1 << (i % 8))) != 0;
		values[i] = (Datum) 0;
		if (nulls[i])
			continue;
		length = value_length(&keeper->columns[i], p, image + size);
		values[i] = read_value(&keeper->columns[i], p, length);
		p += length;
	}
}
