/*
 * shape.c
 *	  What reading rows needs to know of a descriptor, worked out once for each: offsets that
 *	  never change, missing values, how to fetch.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "common/hashfn.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/row.h"
#include "base/shape.h"

typedef struct ShapeKey
{
	Oid			relid;
	uint32		hash;
} ShapeKey;

typedef struct ShapeEntry
{
	ShapeKey	key;
	SpShape    *first;
} ShapeEntry;

/* The registry: grows only; an id is an index into shapes. */
static MemoryContext shape_context = NULL;
static HTAB *shape_table = NULL;
static SpShape **shapes = NULL;
static uint32 nshapes = 0;
static uint32 shapes_allocated = 0;

/* Hash of what the layout of a row depends on. */
uint32
sp_shape_hash(TupleDesc desc)
{
	uint32		hash = murmurhash32(desc->natts);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		uint32		layout;

		layout = ((uint32) (uint16) att->attlen << 16) | ((uint32) (uint8) att->attalign << 8) |
			(att->attisdropped ? 1 : 0);
		hash = hash_combine(hash, murmurhash32(att->atttypid));
		hash = hash_combine(hash, murmurhash32(layout));
	}
	return hash;
}

/* Do two descriptors agree on a column's missing value? */
static bool
same_missing(TupleDesc a, TupleDesc b, int i)
{
	Form_pg_attribute att = TupleDescAttr(a, i);
	bool		null_a;
	bool		null_b;
	Datum		value_a;
	Datum		value_b;

	if (att->atthasmissing != TupleDescAttr(b, i)->atthasmissing)
		return false;
	if (!att->atthasmissing)
		return true;
	value_a = getmissingattr(a, i + 1, &null_a);
	value_b = getmissingattr(b, i + 1, &null_b);
	return null_a == null_b &&
		(null_a || datumIsEqual(value_a, value_b, att->attbyval, att->attlen));
}

/* Do the descriptors agree in all that a reader of rows may look at, names included? */
static bool
same_descriptor(TupleDesc a, TupleDesc b)
{
	if (a->natts != b->natts)
		return false;
	for (int i = 0; i < a->natts; i++)
	{
		Form_pg_attribute x = TupleDescAttr(a, i);
		Form_pg_attribute y = TupleDescAttr(b, i);

		if (x->atttypid != y->atttypid || x->atttypmod != y->atttypmod ||
			x->attlen != y->attlen || x->attbyval != y->attbyval ||
			x->attalign != y->attalign || x->attisdropped != y->attisdropped ||
			x->attcollation != y->attcollation ||
			strcmp(NameStr(x->attname), NameStr(y->attname)) != 0 ||
			!same_missing(a, b, i))
			return false;
	}
	return true;
}

/* How to fetch a column's value. */
static FetchKind
fetch_kind(Form_pg_attribute att)
{
	if (att->attlen == -1)
		return FETCH_VARLENA;
	if (att->attlen == -2)
		return FETCH_CSTRING;
	if (!att->attbyval)
		return FETCH_POINTER;
	switch (att->attlen)
	{
		case 1:
			return FETCH_1;
		case 2:
			return FETCH_2;
		case 4:
			return FETCH_4;
		case 8:
			return FETCH_8;
		default:
			elog(ERROR, "unsupported length of a value passed by value: %d", att->attlen);
	}
}

/* Work out what reading rows of the shape needs. */
static void
describe_columns(SpShape *shape)
{
	TupleDesc	desc = shape->desc;
	int32		offset = 0;

	shape->columns = palloc0(sizeof(SpShapeColumn) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		SpShapeColumn *column = &shape->columns[i];

		column->length = att->attlen;
		column->align = sp_shape_alignment(att->attalign);
		column->fetch = fetch_kind(att);
		column->is_dropped = att->attisdropped;
		column->missing_null = true;
		if (!att->attisdropped)
			column->missing = getmissingattr(desc, i + 1, &column->missing_null);

		column->offset = -1;
		if (offset >= 0 && att->attlen > 0)
		{
			column->offset = TYPEALIGN(column->align, offset);
			offset = column->offset + att->attlen;
		}
		else
			offset = -1;
	}
}

/* Make the registry. */
static void
create_registry(void)
{
	HASHCTL		ctl;

	shape_context = AllocSetContextCreate(TopMemoryContext, "streamproc shapes",
										  ALLOCSET_DEFAULT_SIZES);
	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(ShapeKey);
	ctl.entrysize = sizeof(ShapeEntry);
	ctl.hcxt = shape_context;
	shape_table = hash_create("streamproc shapes", 64, &ctl,
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	shapes_allocated = 64;
	shapes = MemoryContextAlloc(shape_context, sizeof(SpShape *) * shapes_allocated);
}

/* Add a shape to the registry. */
static SpShape *
add_shape(ShapeEntry *entry, TupleDesc desc, TupleDesc source_desc, const bool *known)
{
	MemoryContext old = MemoryContextSwitchTo(shape_context);
	SpShape    *shape = palloc0(sizeof(SpShape));

	if (nshapes == shapes_allocated)
	{
		shapes_allocated *= 2;
		shapes = repalloc(shapes, sizeof(SpShape *) * shapes_allocated);
	}
	shape->id = nshapes;
	shape->relid = entry->key.relid;
	shape->hash = entry->key.hash;
	shape->desc = CreateTupleDescCopyConstr(desc);
	if (source_desc != NULL)
		shape->source_desc = CreateTupleDescCopy(source_desc);
	shape->row_length = sp_row_fixed_length(desc);
	if (known != NULL)
	{
		shape->known = palloc(Max(desc->natts, 1));
		memcpy(shape->known, known, desc->natts);
	}
	describe_columns(shape);

	shape->next = entry->first;
	entry->first = shape;
	shapes[nshapes++] = shape;
	MemoryContextSwitchTo(old);
	return shape;
}

/* Is it the shape of these two descriptors, and of rows that have these columns? */
static bool
is_shape_of(const SpShape *shape, TupleDesc desc, TupleDesc source_desc, const bool *known)
{
	if ((shape->source_desc == NULL) != (source_desc == NULL) ||
		(shape->known == NULL) != (known == NULL) || !same_descriptor(shape->desc, desc) ||
		(known != NULL && memcmp(shape->known, known, desc->natts) != 0))
		return false;
	return source_desc == NULL || same_descriptor(shape->source_desc, source_desc);
}

/* The shape of a relation's descriptor as it is now; registers it when new. */
SpShape *
sp_shape_register(Oid relid, TupleDesc desc)
{
	return sp_shape_register_under(relid, desc, NULL);
}

/* The registered shape, made when it is new. */
static SpShape *
get_shape(Oid relid, TupleDesc desc, TupleDesc source_desc, const bool *known, int most)
{
	ShapeKey	key;
	ShapeEntry *entry;
	bool		found;
	int			nknown = 0;

	if (shape_table == NULL)
		create_registry();

	key.relid = relid;
	key.hash = sp_shape_hash(desc);
	entry = hash_search(shape_table, &key, HASH_ENTER, &found);
	if (!found)
		entry->first = NULL;

	for (SpShape *shape = entry->first; shape != NULL; shape = shape->next)
	{
		if (is_shape_of(shape, desc, source_desc, known))
			return shape;
		nknown += shape->known != NULL;
	}
	if (known != NULL && nknown >= most)
		return NULL;
	return add_shape(entry, desc, source_desc, known);
}

/* The shape of rows that are read as rows of a source. */
SpShape *
sp_shape_register_under(Oid relid, TupleDesc desc, TupleDesc source_desc)
{
	return get_shape(relid, desc, source_desc, NULL, 0);
}

/* The same shape where some columns are unknown. */
SpShape *
sp_shape_register_known(const SpShape *shape, const bool *known, int most)
{
	return get_shape(shape->relid, shape->desc, shape->source_desc, known, most);
}

/* A registered shape. */
SpShape *
sp_shape_get(uint32 id)
{
	if (id >= nshapes)
		elog(ERROR, "unknown shape of rows: %u", id);
	return shapes[id];
}
