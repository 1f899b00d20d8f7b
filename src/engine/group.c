/*
 * group.c
 *	  Groups by key: a hash table in memory whose entries live on state pages.
 *
 * A group belongs to one page from its creation to its removal; a page holds at most
 * SP_PAGE_GROUPS of them.  Pages are numbered from 1.  How they come to disk and back is
 * in group_page.c.
 *
 * Mostly a page has groups of whatever place has room for them.  A page that somebody has asked
 * for when it was empty (sp_group_empty_page()) has those that are added to it, and goes as a
 * whole; where it is a bucket's own, too, it is never on a list of pages with room.
 */
#include "engine/internal.h"

#include "access/transam.h"
#include "base/compat.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#define INITIAL_TABLE_SIZE 64

/* Types whose equality is equality of bits. */
static bool
type_is_bitwise(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case CHAROID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case DATEOID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return true;
		default:
			return false;
	}
}

/* How to hash and compare the keys. */
static void
init_key(SpKeyColumn *key, const SpExpression *e, MemoryContext context)
{
	TypeCacheEntry *type = lookup_type_cache(e->type, TYPECACHE_HASH_PROC | TYPECACHE_EQ_OPR);

	if (!OidIsValid(type->hash_proc) || !OidIsValid(type->eq_opr))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("a key can't be of type %s: it has no hash function",
						format_type_be(e->type))));
	key->type = e->type;
	key->typlen = e->typlen;
	key->typbyval = e->typbyval;
	key->bitwise = type_is_bitwise(e->type) && e->typbyval;
	key->collation = exprCollation((Node *) e->expr);
	fmgr_info_cxt(type->hash_proc, &key->hash, context);
	fmgr_info_cxt(get_opcode(type->eq_opr), &key->equal, context);
}

/* An empty set of groups.  context: dedicated to it. */
void
sp_group_init(SpGroups *groups, MemoryContext context, int nkeys,
			  SpExpression **keys, Size value_size)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	int			i;

	memset(groups, 0, sizeof(*groups));
	groups->context = context;
	groups->nkeys = nkeys;
	groups->keys = palloc0(sizeof(SpKeyColumn) * Max(1, nkeys));
	groups->builtin = true;
	for (i = 0; i < nkeys; i++)
	{
		init_key(&groups->keys[i], keys[i], context);
		groups->builtin &= groups->keys[i].bitwise ||
			(groups->keys[i].hash.fn_oid < FirstNormalObjectId &&
			 groups->keys[i].equal.fn_oid < FirstNormalObjectId &&
			 get_typtype(keys[i]->type) == TYPTYPE_BASE && !type_is_array(keys[i]->type));
	}
	groups->nulls_offset = sizeof(SpGroup) + sizeof(Datum) * nkeys;
	groups->value_offset = MAXALIGN(groups->nulls_offset + nkeys);
	groups->group_size = MAXALIGN(groups->value_offset + value_size);
	groups->page_groups = Max(1, Min(SP_PAGE_GROUPS, SP_PAGE_BYTES / groups->group_size));
	groups->epoch = 1;
	slist_init(&groups->images);
	groups->table_size = groups->table_allocated = INITIAL_TABLE_SIZE;
	groups->table_mask = INITIAL_TABLE_SIZE - 1;
	groups->table = palloc0(sizeof(SpGroup *) * groups->table_allocated);
	MemoryContextSwitchTo(old);
	sp_spill_register(groups);
}

/* MurmurHash3's finalizer: every bit of the input moves every bit of the result. */
static inline uint64
mix(uint64 h)
{
	h ^= h >> 33;
	h *= UINT64CONST(0xff51afd7ed558ccd);
	h ^= h >> 33;
	h *= UINT64CONST(0xc4ceb9fe1a85ec53);
	h ^= h >> 33;
	return h;
}

/* Hash of a window start and keys. */
uint32
sp_group_hash(SpGroups *groups, int64 start, const Datum *keys, const bool *nulls)
{
	uint64		hash = mix((uint64) start);
	int			i;

	for (i = 0; i < groups->nkeys; i++)
	{
		SpKeyColumn *key = &groups->keys[i];

		if (nulls[i])
			hash = hash * 31 + 1;
		else if (key->bitwise)
			hash = mix(hash ^ (uint64) keys[i]);
		else
			hash = mix(hash ^ DatumGetUInt32(FunctionCall1Coll(&key->hash,
																		key->collation, keys[i])));
	}
	return (uint32) (hash ^ (hash >> 32));
}

/* Are the keys the same?  May throw where a key type's functions do. */
bool
sp_group_same_keys(SpGroups *groups, const Datum *theirs, const bool *their_nulls,
				   const Datum *keys, const bool *nulls)
{
	int			i;

	for (i = 0; i < groups->nkeys; i++)
	{
		SpKeyColumn *key = &groups->keys[i];

		if (nulls[i] != their_nulls[i])
			return false;
		if (nulls[i])
			continue;
		if (key->bitwise)
		{
			if (keys[i] != theirs[i])
				return false;
		}
		else if (!DatumGetBool(FunctionCall2Coll(&key->equal, key->collation, keys[i], theirs[i])))
			return false;
	}
	return true;
}

/* Has the group these keys?  May throw, likewise. */
bool
sp_group_has_keys(SpGroups *groups, SpGroup *group, const Datum *keys, const bool *nulls)
{
	return sp_group_same_keys(groups, sp_group_keys(groups, group),
							  sp_group_nulls(groups, group), keys, nulls);
}

/* The group, to be changed, or NULL.  May throw where a key type's functions do. */
SpGroup *
sp_group_find(SpGroups *groups, uint32 hash, int64 start, const Datum *keys, const bool *nulls)
{
	SpGroup    *group;

	do
	{
		for (group = groups->table[sp_group_chain(groups, hash)]; group != NULL;
			 group = group->next)
		{
			if (group->hash != hash || group->start != start ||
				!sp_group_has_keys(groups, group, keys, nulls))
				continue;
			sp_group_changing(groups, group);
			groups->pages[group->page]->touched = true;
			return group;
		}
	} while (groups->spill != NULL && sp_spill_bring_back(groups, hash));
	return NULL;
}

/* One chain more: some of the groups of another one go to it. */
static void
add_chain(SpGroups *groups)
{
	uint32		added = groups->table_size;
	SpGroup   **from;
	SpGroup   **to;

	if (added == groups->table_allocated)
	{
		/* a large one is moved by the system, which copies nothing */
		groups->table_allocated *= 2;
		groups->table = repalloc_huge(groups->table,
									  sizeof(SpGroup *) * (Size) groups->table_allocated);
	}
	if (added > groups->table_mask)
		groups->table_mask = groups->table_mask * 2 + 1;
	from = &groups->table[added & (groups->table_mask >> 1)];
	to = &groups->table[added];
	while (*from != NULL)
	{
		SpGroup    *group = *from;

		if ((group->hash & groups->table_mask) == added)
		{
			*from = group->next;
			*to = group;
			to = &group->next;
		}
		else
			from = &group->next;
	}
	*to = NULL;
	groups->table_size++;
}

/* Have a group, which is counted, found by its hash. */
static void
chain_group(SpGroups *groups, SpGroup *group)
{
	SpGroup   **chain;

	while (groups->n * 4 > (uint64) groups->table_size * 3)
		add_chain(groups);
	chain = &groups->table[sp_group_chain(groups, group->hash)];
	group->next = *chain;
	*chain = group;
}

/* Let the group be found from now on.  May throw where a key type's functions do. */
void
sp_group_enter(SpGroups *groups, SpGroup *group)
{
	if (!(group->flags & SP_GROUP_UNHASHED))
		return;
	group->hash = sp_group_hash(groups, group->start, sp_group_keys(groups, group),
								sp_group_nulls(groups, group));
	group->flags &= ~SP_GROUP_UNHASHED;
	chain_group(groups, group);
}

/* Make page number (> 0) exist in memory. */
SpPage *
sp_group_ensure_page(SpGroups *groups, int32 number)
{
	if (number >= groups->pages_allocated)
	{
		int32		allocated = Max(64, Max(number + 1, groups->pages_allocated * 2));
		SpPage	  **pages = MemoryContextAllocExtended(groups->context, sizeof(SpPage *) * (Size) allocated,
													   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

		if (groups->pages != NULL)
		{
			memcpy(pages, groups->pages, sizeof(SpPage *) * groups->npages);
			pfree(groups->pages);
		}
		groups->pages = pages;
		groups->pages_allocated = allocated;
	}
	if (groups->pages[number] == NULL)
	{
		groups->pages[number] = MemoryContextAllocZero(groups->context, sizeof(SpPage));
		groups->pages[number]->number = number;
	}
	groups->npages = Max(groups->npages, number + 1);
	return groups->pages[number];
}

/* Put a page on the list of those with room, or of the empty ones, once. */
void
sp_group_note_room(SpGroups *groups, SpPage *page)
{
	MemoryContext old;

	if (page->has_room || page->bucket != NULL || (groups->form != NULL && page->n > 0))
		return;
	old = MemoryContextSwitchTo(groups->context);
	page->has_room = true;
	if (page->n == 0)
		groups->empty_pages = lappend(groups->empty_pages, page);
	else
		groups->pages_with_room = lappend(groups->pages_with_room, page);
	MemoryContextSwitchTo(old);
}

/* A page without groups, whose caller remembers that it has room. */
SpPage *
sp_group_empty_page(SpGroups *groups)
{
	SpPage	   *page;

	if (groups->empty_pages == NIL)
		return sp_group_ensure_page(groups, Max(1, groups->npages));
	page = llast(groups->empty_pages);
	page->has_room = false;
	groups->empty_pages = list_delete_last(groups->empty_pages);
	return page;
}

/* A page with room. */
static SpPage *
find_room(SpGroups *groups)
{
	SpPage	   *page;
	MemoryContext old;

	while (groups->pages_with_room != NIL)
	{
		page = llast(groups->pages_with_room);
		if (page->n < groups->page_groups && page->spilled_size == 0)
			return page;
		page->has_room = false;
		groups->pages_with_room = list_delete_last(groups->pages_with_room);
	}
	page = sp_group_empty_page(groups);
	page->has_room = true;
	old = MemoryContextSwitchTo(groups->context);
	groups->pages_with_room = lappend(groups->pages_with_room, page);
	MemoryContextSwitchTo(old);
	return page;
}

/* Room for what a page holds: a block of its own, which goes back to the system. */
void
sp_group_make_room(SpGroups *groups, SpPage *page, Size size)
{
	page->groups = MemoryContextAllocHuge(groups->context, Max(size, SP_OWN_BLOCK));
	groups->bytes += GetMemoryChunkSpace(page->groups);
}

/* Give it back; the page holds nothing any more, or is spilled. */
void
sp_group_free_room(SpGroups *groups, SpPage *page)
{
	groups->bytes -= GetMemoryChunkSpace(page->groups);
	pfree(page->groups);
	page->groups = NULL;
}

/* Bytes of memory for what a key refers to. */
static inline Size
key_space(const SpGroups *groups, SpGroup *group, int k)
{
	if (groups->keys[k].typbyval || sp_group_nulls(groups, group)[k])
		return 0;
	return GetMemoryChunkSpace(DatumGetPointer(sp_group_keys(groups, group)[k]));
}

/* A new group at a place of a page, with copies of the keys; it is found unless unhashed. */
SpGroup *
sp_group_make(SpGroups *groups, SpPage *page, int slot, uint32 hash, int64 start,
			  const Datum *keys, const bool *nulls)
{
	MemoryContext old = MemoryContextSwitchTo(groups->context);
	SpGroup    *group;
	int			i;

	if (page->groups == NULL)
		sp_group_make_room(groups, page, groups->page_groups * groups->group_size);
	group = (SpGroup *) (page->groups + (Size) slot * groups->group_size);
	memset(group, 0, groups->group_size);
	group->bucket = page->bucket;
	group->start = start;
	group->hash = hash;
	group->page = page->number;
	group->page_slot = slot;
	ItemPointerSetInvalid(&group->tid);
	for (i = 0; i < groups->nkeys; i++)
	{
		SpKeyColumn *key = &groups->keys[i];

		sp_group_nulls(groups, group)[i] = nulls[i];
		if (nulls[i])
			continue;
		if (key->typlen == -1)
			sp_group_keys(groups, group)[i] = PointerGetDatum(PG_DETOAST_DATUM_COPY(keys[i]));
		else
			sp_group_keys(groups, group)[i] = datumCopy(keys[i], key->typbyval, key->typlen);
		groups->bytes += key_space(groups, group, i);
	}
	groups->n++;
	if (groups->unhashed)
		group->flags = SP_GROUP_UNHASHED;
	else
		chain_group(groups, group);
	page->used |= UINT64CONST(1) << slot;
	page->n++;
	page->touched = true;
	MemoryContextSwitchTo(old);
	return group;
}

/* Add a group that isn't there, to a page with room.  Its value is zeroed. */
SpGroup *
sp_group_add_to(SpGroups *groups, SpPage *page, uint32 hash, int64 start, const Datum *keys,
				const bool *nulls)
{
	SpGroup    *group;

	sp_group_keep(groups, page);
	group = sp_group_make(groups, page, pg_rightmost_one_pos64(~page->used), hash, start,
						  keys, nulls);
	group->sequence = groups->next_sequence++;
	sp_group_page_changed(groups, page);
	return group;
}

/* Add a group that isn't there.  Its value is zeroed. */
SpGroup *
sp_group_add(SpGroups *groups, uint32 hash, int64 start, const Datum *keys, const bool *nulls)
{
	return sp_group_add_to(groups, find_room(groups), hash, start, keys, nulls);
}

/* How many there are. */
uint64
sp_group_count(const SpGroups *groups)
{
	return groups->n + sp_spill_count(groups);
}

/* Let nobody find the group any more. */
void
sp_group_hide(SpGroups *groups, SpGroup *group)
{
	SpGroup   **link = &groups->table[sp_group_chain(groups, group->hash)];

	groups->n--;
	if (group->flags & SP_GROUP_UNHASHED)
		return;
	while (*link != group)
		link = &(*link)->next;
	*link = group->next;
	group->next = NULL;
}

/* Take a group out of memory, and off its page. */
void
sp_group_release(SpGroups *groups, SpGroup *group)
{
	SpPage	   *page = groups->pages[group->page];
	int			i;

	if (!(group->flags & SP_GROUP_GONE))
		sp_group_hide(groups, group);
	for (i = 0; i < groups->nkeys; i++)
	{
		if (groups->keys[i].typbyval || sp_group_nulls(groups, group)[i])
			continue;
		groups->bytes -= key_space(groups, group, i);
		pfree(DatumGetPointer(sp_group_keys(groups, group)[i]));
	}
	page->used &= ~(UINT64CONST(1) << group->page_slot);
	page->n--;
}

/* Forget a group; what its value refers to was given up by the caller. */
void
sp_group_remove(SpGroups *groups, SpGroup *group)
{
	SpPage	   *page = groups->pages[group->page];

	sp_group_keep(groups, page);
	sp_group_release(groups, group);
	sp_group_page_changed(groups, page);
	sp_group_note_room(groups, page);
}

/*
 * Forget all groups of a page.  What their values refer to is given up here where they can be
 * spilled; else they must refer to nothing.
 */
void
sp_group_drop_page(SpGroups *groups, SpPage *page)
{
	SpGroup    *group;
	int			i;

	if (page->spilled_size > 0)
		sp_spill_bring_page(groups, page);
	sp_group_keep(groups, page);
	for (i = 0; i < SP_PAGE_GROUPS; i++)
	{
		if ((group = sp_page_group(groups, page, i)) != NULL)
			sp_group_prefetch_chain(groups, group->hash);
	}
	for (i = 0; i < SP_PAGE_GROUPS; i++)
	{
		if ((group = sp_page_group(groups, page, i)) != NULL)
			sp_group_prefetch_first(groups, group->hash);
	}
	for (i = 0; i < SP_PAGE_GROUPS; i++)
	{
		if ((group = sp_page_group(groups, page, i)) == NULL)
			continue;
		if (groups->release != NULL)
			groups->release(groups->write_arg, group);
		sp_group_release(groups, group);
	}
	if (page->groups != NULL)
		sp_group_free_room(groups, page);
	page->bucket = NULL;
	page->marks = 0;
	page->ntotal = page->nfinal = page->nsealed = 0;
	sp_group_page_changed(groups, page);
	sp_group_note_room(groups, page);
}
