/*
 * server_heap.c
 *	  The layout of a heap tuple's data, written anew from its description in the server's
 *	  access/tupmacs.h: what src/base/row.c writes is compared with it.
 *
 * These functions' prototypes differ between versions by a const: the headers that have
 * them are not included.
 */
#include "server.h"

#include "access/tupmacs.h"

#include "base/compat.h"

#include "fuzz.h"

extern Size heap_compute_data_size(TupleDesc desc, const Datum *values, const bool *isnull);
extern void heap_fill_tuple(TupleDesc desc, const Datum *values, const bool *isnull, char *data,
							Size data_size, uint16 *infomask, bits8 *bit);

/* How a value is stored: where from offset on, as how many bytes. */
typedef struct Place
{
	Size		offset;
	Size		size;
	bool		shortened;		/* with a header of one byte instead of four */
} Place;

/* Round up to what the alignment asks for. */
static Size
align(Size offset, char attalign)
{
	Size		unit = attalign == TYPALIGN_CHAR ? 1 : attalign == TYPALIGN_SHORT ? 2 :
		attalign == TYPALIGN_INT ? 4 : 8;

	return (offset + unit - 1) / unit * unit;
}

/* Find out. */
static Place
place_value(Form_pg_attribute att, Datum value, Size offset)
{
	Place		place = {align(offset, att->attalign), att->attlen, false};
	const char *pointer = DatumGetPointer(value);

	if (att->attlen == -2)
		place.size = strlen(pointer) + 1;
	else if (att->attlen == -1 && VARATT_IS_1B(pointer))
	{
		demand(!VARATT_IS_1B_E(pointer));
		place.offset = offset;
		place.size = VARSIZE_1B(pointer);
	}
	else if (att->attlen == -1 && att->attstorage != TYPSTORAGE_PLAIN &&
			 VARATT_CAN_MAKE_SHORT(pointer))
	{
		place.offset = offset;
		place.size = VARATT_CONVERTED_SHORT_SIZE(pointer);
		place.shortened = true;
	}
	else if (att->attlen == -1)
		place.size = VARSIZE_4B(pointer);
	return place;
}

/* Bytes of the data of a row of natts columns. */
Size
server_data_size(TupleDesc desc, int natts, const Datum *values, const bool *isnull)
{
	Size		offset = 0;

	for (int i = 0; i < natts; i++)
	{
		Place		place;

		if (isnull[i])
			continue;
		place = place_value(TupleDescAttr(desc, i), values[i], offset);
		offset = place.offset + place.size;
	}
	return offset;
}

/* Write them to where there are zeros.  bit is NULL when none is null. */
void
server_fill_data(TupleDesc desc, int natts, const Datum *values, const bool *isnull, char *data,
				 Size data_size, bits8 *bit)
{
	Size		offset = 0;

	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Place		place;
		char	   *to;

		demand(bit != NULL || !isnull[i]);
		if (isnull[i])
			continue;
		if (bit != NULL)
			bit[i / 8] |= 1 << (i % 8);
		place = place_value(att, values[i], offset);
		to = data + place.offset;
		offset = place.offset + place.size;
		demand(offset <= data_size);

		if (place.shortened)
		{
			SET_VARSIZE_SHORT(to, place.size);
			memcpy(to + VARHDRSZ_SHORT, DatumGetPointer(values[i]) + VARHDRSZ,
				   place.size - VARHDRSZ_SHORT);
		}
		else if (att->attbyval)
			memcpy(to, &values[i], place.size); /* the low bytes stand first */
		else
			memcpy(to, DatumGetPointer(values[i]), place.size);
	}
	demand(offset == data_size);
}

Size
heap_compute_data_size(TupleDesc desc, const Datum *values, const bool *isnull)
{
	return server_data_size(desc, desc->natts, values, isnull);
}

void
heap_fill_tuple(TupleDesc desc, const Datum *values, const bool *isnull, char *data,
				Size data_size, uint16 *infomask, bits8 *bit)
{
	server_fill_data(desc, desc->natts, values, isnull, data, data_size, bit);
}

/*
 * Read a row's data as the server reads a heap tuple's, each value after the one before.
 * Only for data that are sound.  Returns how many bytes there are.
 */
Size
server_read_data(TupleDesc desc, int natts, const char *data, const bits8 *bit, Datum *values,
				 bool *isnull)
{
	Size		offset = 0;

	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		const char *p;

		isnull[i] = bit != NULL && att_isnull(i, bit);
		values[i] = (Datum) 0;
		if (isnull[i])
			continue;

		/* A varlena without padding in front of it doesn't begin with a zero. */
		if (att->attlen != -1 || data[offset] == 0)
			offset = align(offset, att->attalign);
		p = data + offset;
		values[i] = fetch_att(p, att->attbyval, att->attlen);
		if (att->attlen > 0)
			offset += att->attlen;
		else if (att->attlen == -1)
			offset += VARSIZE_ANY(p);
		else
			offset += strlen(p) + 1;
	}
	return offset;
}
