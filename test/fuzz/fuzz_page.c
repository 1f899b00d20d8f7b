/*
 * fuzz_page.c
 *	  State pages: whatever the bytes of a page are, loading it gives groups or the error that
 *	  it is damaged, and reads nothing outside of it; what was loaded is saved and loaded
 *	  again as the same groups; a checkpoint writes what was there when it began; and what is
 *	  said of a page that is spilled is said of its groups, whether it comes back or is saved.
 *
 * An input says of what types keys and aggregates are, and then has the page, or what to
 * make one of whose lengths agree with one another more often than not.  A page's checksum
 * was checked before (catalog/page.c), so that bytes like these come from a bug or from
 * somebody who can write to streamproc.state_page.
 */
#include "engine/internal.h"

#include "catalog/pg_type_d.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/guc.h"
#include "engine/aggregate_internal.h"
#include "server.h"
#include "server_page.h"

#include "fuzz.h"

#define MAX_KEYS		3
#define MAX_AGGREGATES	2
#define MAX_GROUPS		5

/* An aggregate that runs through the server's functions. */
typedef struct GenericType
{
	SpStateKind kind;
	int16		typlen;
	bool		typbyval;
	bool		scaled;			/* several states in one */
} GenericType;

static const GenericType generic_types[] = {
	{SP_STATE_BY_VALUE, 8, true},
	{SP_STATE_BY_REFERENCE, -1, false},
	{SP_STATE_BY_REFERENCE, 16, false},
	{SP_STATE_BY_REFERENCE, -2, false},
	{SP_STATE_INTERNAL, 8, true},
	{SP_STATE_INTERNAL, 8, true, true}
};

/* Aggregates that keep rows are another target's. */
const SpAggregateKind sp_keeper_kind;

static const struct
{
	SpAggFunction function;
	SpAggType	type;
}			native_types[] = {
	{SP_AGG_COUNT_ALL, SP_AGG_ANY},
	{SP_AGG_SUM, SP_AGG_INT8},
	{SP_AGG_MIN, SP_AGG_FLOAT8},
	{SP_AGG_STDDEV_SAMP, SP_AGG_INT4}
};

/* An object: what its pages hold. */
typedef struct Object
{
	SpGroups	groups;
	int			nkeys;
	const ServerKeyType *keys[MAX_KEYS];
	int			naggs;
	SpAggregate aggs[MAX_AGGREGATES];
	SpGeneric	generics[MAX_AGGREGATES];
	Size		offsets[MAX_AGGREGATES];
} Object;

/* ---- objects ---- */

/* An aggregate. */
static void
make_aggregate(FuzzInput *in, SpAggregate *agg, SpGeneric *generic)
{
	unsigned	number = take_below(in, lengthof(native_types) + lengthof(generic_types));

	agg->context = CurrentMemoryContext;
	agg->name = "a";
	agg->nargs = 1;
	if (number < lengthof(native_types))
	{
		agg->kernel = sp_agg_find(native_types[number].function, native_types[number].type);
		return;
	}
	number -= lengthof(native_types);
	generic->kind = generic_types[number].kind;
	generic->typlen = generic_types[number].typlen;
	generic->typbyval = generic_types[number].typbyval;
	generic->init_isnull = true;
	generic->temp = AllocSetContextCreate(CurrentMemoryContext, "temp", ALLOCSET_DEFAULT_SIZES);
	dlist_init(&generic->live);
	agg->kind = generic_types[number].scaled ? &sp_scaled_kind : &sp_generic_kind;
	generic->counted = generic_types[number].scaled;
	agg->generic = generic;
}

/* An object without groups. */
static Object *
make_object(FuzzInput *in)
{
	Object	   *object = palloc0(sizeof(Object));
	SpExpression expressions[MAX_KEYS] = {{0}};
	SpExpression *pointers[MAX_KEYS];
	Size		value_size = 0;

	object->nkeys = take_below(in, MAX_KEYS + 1);
	for (int i = 0; i < object->nkeys; i++)
	{
		object->keys[i] = &server_key_types[take_below(in, SERVER_KEY_TYPES)];
		expressions[i].type = object->keys[i]->type;
		expressions[i].typlen = object->keys[i]->typlen;
		expressions[i].typbyval = object->keys[i]->typbyval;
		pointers[i] = &expressions[i];
	}
	object->naggs = take_below(in, MAX_AGGREGATES + 1);
	for (int i = 0; i < object->naggs; i++)
	{
		make_aggregate(in, &object->aggs[i], &object->generics[i]);
		object->offsets[i] = value_size;
		value_size += MAXALIGN(sp_aggregate_state_size(&object->aggs[i]));
	}
	sp_group_init(&object->groups, AllocSetContextCreate(CurrentMemoryContext, "groups",
														 ALLOCSET_DEFAULT_SIZES),
				  object->nkeys, pointers, value_size);
	object->groups.own_only = take_below(in, 2) == 1;
	return object;
}

/* SpValueWrite, as sp_bucket_write_value(). */
static void
write_value(void *arg, SpGroup *group, StringInfo buf)
{
	Object	   *object = arg;

	for (int i = 0; i < object->naggs; i++)
		sp_aggregate_serialize(&object->aggs[i], sp_group_value(&object->groups, group) +
							   object->offsets[i], buf);
}

/* SpValueRead, as sp_bucket_read_value(). */
static void
read_value(void *arg, SpGroup *group, const char **p, const char *end)
{
	Object	   *object = arg;

	for (int i = 0; i < object->naggs; i++)
		sp_aggregate_deserialize(&object->aggs[i], sp_group_value(&object->groups, group) +
								 object->offsets[i], p, end);
}

/* SpValueRelease, as sp_window_release_any(). */
static void
release_value(void *arg, SpGroup *group)
{
	Object	   *object = arg;

	for (int i = 0; i < object->naggs; i++)
		sp_aggregate_release(&object->aggs[i], sp_group_value(&object->groups, group) +
							 object->offsets[i]);
}

/* The page's first group. */
static SpGroup *
first_group(Object *object)
{
	for (int i = 0; i < SP_PAGE_GROUPS; i++)
	{
		SpGroup    *group = sp_page_group(&object->groups, object->groups.pages[1], i);

		if (group != NULL)
			return group;
	}
	demand(!"a group");
	return NULL;
}

/* Save the page; in between change what it says of a group, when wanted. */
static void
save_page(Object *object, bool change)
{
	SpGroups   *groups = &object->groups;

	initStringInfo(&server_saved);
	if (groups->pages[1]->dirty == 0)
		sp_group_page_changed(groups, groups->pages[1]);
	sp_group_save_begin(groups, 1, write_value, object);
	if (change)
	{
		SpGroup    *group = first_group(object);

		sp_group_changing(groups, group);
		group->revision ^= 1;
		sp_group_changed(groups, group);
		if (group->sequence % 2 == 1)
			sp_group_keep(groups, groups->pages[1]);	/* as if another one came or went */
	}
	demand(sp_group_save_next(groups));
	demand(!sp_group_save_next(groups));
	sp_group_save_end(groups);
	demand((groups->pages[1]->dirty != 0) == change && groups->any_dirty == change);
	if (change)
		first_group(object)->revision ^= 1;
}

/* A checkpoint that failed leaves the page dirty. */
static void
undo_saving(Object *object)
{
	SpGroups   *groups = &object->groups;

	sp_group_save_begin(groups, 1, write_value, object);
	demand(sp_group_save_next(groups));
	sp_group_save_undo(groups, true);
	demand(groups->pages[1]->dirty == groups->epoch && groups->ndirty == 1);
}

static void
try_to_spill(void)
{
	sp_guc_max_state_memory = 0;
	sp_spill_try_again();
	sp_guc_max_state_memory = 1024 * 1024;
}

typedef struct LoadCall
{
	Object	   *object;
	const char *data;
	Size		size;
} LoadCall;

static void
load_page(void *arg)
{
	static SpBucket bucket;
	LoadCall   *call = arg;
	SpPage	   *page;

	sp_group_load_page(&call->object->groups, 1, call->data, call->size, read_value,
					   call->object);
	page = call->object->groups.pages[1];
	demand((page->marks & ~(SP_PAGE_OWN | SP_PAGE_UNWRITTEN)) == 0);
	demand(call->object->groups.own_only || page->marks == 0);
	if (page->marks & SP_PAGE_OWN)
		page->bucket = &bucket;
}

/* Say something of all groups of the page, which is spilled; twin: an object of the same kind. */
static void
mark_page(Object *object, Object *twin)
{
	SpGroups   *groups = &object->groups;
	LoadCall	call = {twin};
	StringInfoData back;

	sp_group_mark_page(groups, groups->pages[1],
					   SP_PAGE_FINAL | SP_PAGE_SEALED | SP_PAGE_REVISED);
	save_page(object, false);
	call.data = server_saved.data;
	call.size = server_saved.len;
	sp_spill_bring_page(groups, groups->pages[1]);
	demand((first_group(object)->flags & SP_GROUP_SEALED) != 0);
	save_page(object, false);
	back = server_saved;
	demand(server_try(load_page, &call) == 0);
	save_page(twin, false);
	demand(server_saved.len == back.len && memcmp(server_saved.data, back.data, back.len) == 0);
}

/* Move the page out of memory and save it from there; find its first group, and save it again. */
static void
spill_page(Object *object, const StringInfoData *first, Object *twin)
{
	SpGroups   *groups = &object->groups;
	uint32		hash = first_group(object)->hash;
	uint64		n = groups->n;

	sp_spill_allow(groups, write_value, read_value, release_value, TopMemoryContext, object);
	try_to_spill();
	if (groups->pages[1]->spilled_size == 0)
		return;					/* it has unwritten groups, or is nobody's own */
	demand(groups->n == 0 && sp_group_count(groups) == n && groups->bytes == 0);
	save_page(object, false);
	demand(server_saved.len == first->len && memcmp(server_saved.data, first->data, server_saved.len) == 0);
	demand(!sp_spill_bring_back(groups, hash + 1) || groups->n == n);
	demand(sp_spill_bring_back(groups, hash) == (groups->n == 0) || groups->n == n);
	demand(groups->n == n && sp_group_count(groups) == n);
	demand(!sp_spill_bring_back(groups, hash));
	save_page(object, false);
	demand(server_saved.len == first->len && memcmp(server_saved.data, first->data, server_saved.len) == 0);
	if (!groups->own_only)
		return;
	try_to_spill();
	demand(groups->pages[1]->spilled_size > 0);
	mark_page(object, twin);
}

/* Look at what a state by reference has outside of its group. */
static void
check_state(const SpAggregate *agg, const char *state)
{
	const struct
	{
		Datum		value;
		bool		isnull;
	}		   *s = (const void *) state;
	const char *value;

	if (agg->generic == NULL || agg->kind == &sp_scaled_kind || s->isnull || agg->generic->kind == SP_STATE_BY_VALUE)
		return;
	value = DatumGetPointer(s->value);
	if (agg->generic->kind == SP_STATE_INTERNAL)
		value = (const char *) ((const SpInternal *) value)->packed;
	if (agg->generic->kind == SP_STATE_INTERNAL || agg->generic->typlen == -1)
		demand(server_is_flat(value));
	fuzz_touch(value, server_value_size(agg->generic->kind == SP_STATE_INTERNAL ? -1 :
							   agg->generic->typlen, value));
}

/* Find each group by its keys, but for those that are out of sight. */
static void
check_groups(Object *object)
{
	SpGroups   *groups = &object->groups;
	SpPage	   *page = groups->pages[1];
	int			visible = 0;

	for (int i = 0; i < page->n; i++)
	{
		SpGroup    *group = sp_page_group(groups, page, i);
		Datum	   *keys = sp_group_keys(groups, group);
		bool	   *nulls = sp_group_nulls(groups, group);
		uint32		hash = sp_group_hash(groups, group->start, keys, nulls);

		if (!(group->flags & SP_GROUP_GONE))
		{
			visible++;
			demand(sp_group_find(groups, hash, group->start, keys, nulls) != NULL);
		}
		demand(group->sequence < groups->next_sequence || group->sequence == PG_UINT64_MAX);
		for (int j = 0; j < object->naggs; j++)
			check_state(&object->aggs[j], sp_group_value(groups, group) + object->offsets[j]);
	}
	demand(groups->n == visible);
}

/* Take the groups away, one by one. */
static void
remove_groups(Object *object)
{
	SpGroups   *groups = &object->groups;

	for (int i = 0; i < SP_PAGE_GROUPS; i++)
	{
		SpGroup    *group = sp_page_group(groups, groups->pages[1], i);

		if (group == NULL)
			continue;
		for (int j = 0; j < object->naggs; j++)
			sp_aggregate_release(&object->aggs[j], sp_group_value(groups, group) +
								 object->offsets[j]);
		sp_group_remove(groups, group);
	}
	demand(groups->n == 0 && groups->pages[1]->n == 0);
}

/* ---- pages made of an input ---- */

/* Append a count of bytes and so many, which are more or less a value of that length. */
static void
build_value(FuzzInput *in, int16 typlen, StringInfo buf)
{
	unsigned	form = take_byte(in);
	uint32		size = typlen > 0 && form % 16 != 1 ? typlen : take_below(in, 20);
	uint32		claimed = size;
	char		value[32];
	varattrib_4b header;

	take_bytes(in, value, sizeof(value));
	if (form / 16 == 1)
		claimed += take_below(in, 9) - 4;
	if (typlen == -2 && form / 16 != 1 && size > 0)
		value[size - 1] = '\0';
	else if (typlen == -1 && form % 4 == 0)
		SET_VARSIZE_1B(value, claimed);
	else if (typlen == -1 && form % 16 == 2)
		SET_VARTAG_1B_E(value, VARTAG_INDIRECT);
	else if (typlen == -1)
	{
		if (form % 4 == 1)
			SET_VARSIZE_4B_C(&header, claimed);
		else
			SET_VARSIZE_4B(&header, claimed);
		memcpy(value, &header, VARHDRSZ);
	}
	appendBinaryStringInfo(buf, (char *) &size, sizeof(size));
	appendBinaryStringInfo(buf, value, size);
}

/* The durable form of an aggregate's state, or nearly. */
static void
build_part(FuzzInput *in, const SpAggregate *agg, StringInfo buf)
{
	char		bytes[SP_AGG_MAX_STATE_SIZE + 2];
	Size		size = agg->kernel == NULL ? 3 : sp_agg_written_size(agg->kernel);

	take_bytes(in, bytes, size);
	if (take_below(in, 16) != 1)
	{
		bytes[0] = 1;
		bytes[1] = agg->kernel == NULL ? (int) agg->generic->kind : (int) agg->kernel->state_kind;
		if (agg->kernel == NULL)
			bytes[2] = bytes[2] % 2 + (agg->generic->counted ? 4 : 0);
	}
	appendBinaryStringInfo(buf, bytes, size);
	if (agg->kernel == NULL && agg->generic->counted)
	{
		int64		count = take_byte(in);

		appendBinaryStringInfo(buf, (char *) &count, sizeof(count));
	}
	if (agg->kernel != NULL || bytes[2] % 2 == 1)
		return;
	if (agg->generic->kind == SP_STATE_BY_VALUE)
	{
		take_bytes(in, bytes, sizeof(Datum));
		appendBinaryStringInfo(buf, bytes, sizeof(Datum));
	}
	else
		build_value(in, agg->generic->kind == SP_STATE_INTERNAL ? -1 : agg->generic->typlen, buf);
}

/* The same of several in one, in the order of their numbers, or nearly. */
static void
build_state(FuzzInput *in, const SpAggregate *agg, StringInfo buf)
{
	char		header[2] = {1, 's'};
	int			nparts = take_below(in, 4);
	int32		scale = -1;

	if (agg->kind != &sp_scaled_kind)
	{
		build_part(in, agg, buf);
		return;
	}
	appendBinaryStringInfo(buf, header, sizeof(header));
	appendBinaryStringInfo(buf, (char *) &nparts, sizeof(nparts));
	while (nparts-- > 0)
	{
		scale += take_below(in, 16);
		appendBinaryStringInfo(buf, (char *) &scale, sizeof(scale));
		build_part(in, agg, buf);
	}
}

/* What stands before a group's keys, or nearly. */
static void
build_head(FuzzInput *in, StringInfo buf)
{
	uint8		fixed[2];
	char		bytes[sizeof(uint64)];

	take_bytes(in, fixed, sizeof(fixed));
	if (take_below(in, 16) != 1)
		fixed[1] &= 0x3f;
	appendBinaryStringInfo(buf, (char *) fixed, sizeof(fixed));
	take_bytes(in, bytes, sizeof(bytes));
	appendBinaryStringInfo(buf, bytes, (fixed[1] & 0x07) + 1);
	for (int bit = 0x08; bit <= 0x20; bit <<= 1)
	{
		int			length = bit == 0x08 ? sizeof(int64) : bit == 0x10 ? sizeof(int32) :
			sizeof(ItemPointerData);

		take_bytes(in, bytes, length);
		if (fixed[1] & bit)
			appendBinaryStringInfo(buf, bytes, length);
	}
}

/* A page. */
static void
build_page(FuzzInput *in, Object *object, StringInfo buf)
{
	uint16		n = take_below(in, 8) == 1 ? take_byte(in) : take_below(in, MAX_GROUPS);
	uint16		marks = take_below(in, 4) == 1 ? take_byte(in) : SP_PAGE_OWN;
	char		bytes[sizeof(Datum)];

	initStringInfo(buf);
	appendBinaryStringInfo(buf, (char *) &n, sizeof(n));
	appendBinaryStringInfo(buf, (char *) &marks, sizeof(marks));
	while (n-- > 0)
	{
		build_head(in, buf);
		for (int i = 0; i < object->nkeys; i++)
		{
			appendStringInfoChar(buf, take_below(in, 4) == 1);
			if (buf->data[buf->len - 1] == 1)
				continue;
			if (object->keys[i]->typbyval)
			{
				take_bytes(in, bytes, sizeof(Datum));
				appendBinaryStringInfo(buf, bytes, sizeof(Datum));
			}
			else
				build_value(in, object->keys[i]->typlen, buf);
		}
		for (int i = 0; i < object->naggs; i++)
			build_state(in, &object->aggs[i], buf);
	}
	buf->len -= take_below(in, 16) == 1;
}

/* ---- an input ---- */

void
fuzz_one(const uint8_t *data, size_t size)
{
	FuzzInput	in = {data, data + size};
	FuzzInput	same = in;
	FuzzInput	again = in;
	StringInfoData built;
	LoadCall	call;
	int			sqlstate;

	server_init();
	call.object = make_object(&in);
	if (take_below(&in, 2) == 1)
	{
		build_page(&in, call.object, &built);
		call.size = built.len;
		call.data = fuzz_copy(built.data, call.size, 0);
	}
	else
	{
		call.size = input_left(&in);
		call.data = fuzz_copy(in.next, call.size, 0);
	}
	sqlstate = server_try(load_page, &call);
	demand(sqlstate == 0 || sqlstate == ERRCODE_DATA_CORRUPTED);
	fuzz_free((char *) call.data, 0);

	if (sqlstate == 0)
		check_groups(call.object);
	if (sqlstate == 0 && call.object->groups.n > 0)
	{
		StringInfoData first;

		save_page(call.object, false);
		first = server_saved;
		save_page(call.object, true);
		demand(server_saved.len == first.len && memcmp(server_saved.data, first.data, first.len) == 0);
		undo_saving(call.object);
		spill_page(call.object, &first, make_object(&again));
		remove_groups(call.object);

		call.object = make_object(&same);
		call.data = first.data;
		call.size = first.len;
		demand(server_try(load_page, &call) == 0);
		save_page(call.object, false);
		demand(server_saved.len == first.len && memcmp(server_saved.data, first.data, first.len) == 0);
	}
	MemoryContextReset(TopTransactionContext);
}

/* ---- seeds ---- */

/* A key's value. */
static Datum
make_key(uint64 *state, const ServerKeyType *type)
{
	char	   *value = palloc(40);

	fuzz_random(state, value, 40);
	if (type->typbyval)
		return type->typlen == 4 ? Int32GetDatum(*(int32 *) value) : *(Datum *) value;
	if (type->typlen == -1 && value[4] % 2 == 0)
		SET_VARSIZE(value, VARHDRSZ + 20);
	else if (type->typlen == -1)
		SET_VARSIZE_SHORT(value, VARHDRSZ_SHORT + 11);
	else if (type->typlen == -2)
		value[9] = '\0';
	return PointerGetDatum(value);
}

/* A state, in its durable form, of an aggregate that has none yet. */
static void
make_state(uint64 *random, SpAggregate *agg, char *state)
{
	char		written[64] = {0};
	const char *p = written;
	uint32		size = 24;
	varattrib_4b header;
	int16		typlen = agg->generic == NULL ? 0 :
		agg->generic->kind == SP_STATE_INTERNAL ? -1 : agg->generic->typlen;

	sp_aggregate_init(agg, state);
	if (agg->generic == NULL || agg->kind == &sp_scaled_kind)
		return;
	fuzz_random(random, written + 7, 40);
	written[0] = 1;
	written[1] = agg->generic->kind;
	written[2] = 0;
	if (agg->generic->kind != SP_STATE_BY_VALUE)
	{
		if (typlen == -1)
		{
			SET_VARSIZE(&header, size);
			memcpy(written + 7, &header, VARHDRSZ);
		}
		else if (typlen == -2)
			size = strlen(written + 7) + 1;
		else
			size = typlen;
		memcpy(written + 3, &size, sizeof(size));
	}
	sp_aggregate_deserialize(agg, state, &p, written + sizeof(written));
}

/* Pages as they are saved, and what makes some. */
void
fuzz_seeds(void)
{
	uint64		state = 6;

	server_init();
	for (int i = 0; i < 60; i++)
	{
		uint8		bytes[9 + 4096];
		FuzzInput	in = {bytes, bytes + 8};
		Object	   *object;
		Size		used;

		fuzz_random(&state, bytes, 8);
		object = make_object(&in);
		used = in.next - bytes;
		for (int j = 0; j < MAX_GROUPS - 1; j++)
		{
			Datum		keys[MAX_KEYS];
			bool		nulls[MAX_KEYS] = {i % 4 == 1, i % 8 == 2, false};
			SpGroup    *group;

			for (int k = 0; k < object->nkeys; k++)
				keys[k] = make_key(&state, object->keys[k]);
			group = sp_group_add(&object->groups,
								 sp_group_hash(&object->groups, j, keys, nulls), j, keys, nulls);
			for (int k = 0; k < object->naggs; k++)
				make_state(&state, &object->aggs[k], sp_group_value(&object->groups, group) +
						   object->offsets[k]);
		}
		save_page(object, false);
		demand(server_saved.len <= 4096);
		bytes[used++] = 0;
		memcpy(bytes + used, server_saved.data, server_saved.len);
		fuzz_seed(bytes, used + server_saved.len);

		fuzz_random(&state, bytes, 300);
		bytes[used - 1] = 1;
		fuzz_seed(bytes, 300);
	}
}
