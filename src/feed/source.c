/*
 * source.c
 *	  Remembers of each relation in the WAL whether its rows are wanted, and their shape.
 *
 * A row belongs to every source among its relation and that relation's ancestors: when
 * both a partition and its root are streams, to both of them.
 *
 * Entries are filled under the historic snapshot of the transaction being decoded.  They
 * are all stale, not freed, as soon as any relation of the user's changes: an ancestor's
 * change must reach its partitions.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/partition.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "feed/feed.h"

#define MANY_RELATIONS	4096	/* beyond it, stale entries are thrown away */

uint64		sp_source_generation = 1;

static HTAB *relations = NULL;
static MemoryContext relation_context = NULL;

/* Make the empty cache. */
static void
create_cache(void)
{
	HASHCTL		ctl;

	relation_context = AllocSetContextCreate(TopMemoryContext, "streamproc relations",
											 ALLOCSET_DEFAULT_SIZES);
	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(SpFeedRelation);
	ctl.hcxt = relation_context;
	relations = hash_create("streamproc relations", 64, &ctl,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Throw the cache away. */
void
sp_source_reset(void)
{
	sp_source_forget();
	if (relation_context != NULL)
		MemoryContextDelete(relation_context);
	relation_context = NULL;
	relations = NULL;
}

/* What is remembered may be wrong from now on. */
void
sp_source_forget(void)
{
	sp_source_generation++;
}

/* Note a source that the relation's rows belong to. */
static void
add_source(SpFeedRelation *entry, Oid source, uint32 shape, SpSourceKind kind)
{
	if (entry->nsources == entry->sources_allocated)
	{
		int			n = entry->sources_allocated == 0 ? 1 : entry->sources_allocated * 2;

		if (entry->sources == NULL)
			entry->sources = MemoryContextAlloc(relation_context, n * sizeof(SpFeedSource));
		else
			entry->sources = repalloc(entry->sources, n * sizeof(SpFeedSource));
		entry->sources_allocated = n;
	}
	entry->sources[entry->nsources].relid = source;
	entry->sources[entry->nsources].retracts = kind == SP_SOURCE_ALL;
	entry->sources[entry->nsources++].shape = shape;
	entry->retracts |= kind == SP_SOURCE_ALL;
}

/* Note an ancestor: its columns may have other numbers than the partition's. */
static void
add_ancestor(SpFeedRelation *entry, Relation relation, Oid ancestor, SpSourceKind kind)
{
	Relation	source = RelationIdGetRelation(ancestor);
	SpShape    *shape;

	if (!RelationIsValid(source))
		return;
	shape = sp_shape_register_under(entry->relid, RelationGetDescr(relation),
									RelationGetDescr(source));
	RelationClose(source);
	add_source(entry, ancestor, shape->id, kind);
}

/* Which columns does the WAL have of old rows? */
static void
find_identity(SpFeedRelation *entry, Relation relation)
{
	int			natts = RelationGetDescr(relation)->natts;
	Bitmapset  *columns;

	if (relation->rd_rel->relreplident == REPLICA_IDENTITY_FULL)
		return;
	columns = RelationGetIdentityKeyBitmap(relation);
	entry->identity = MemoryContextAlloc(relation_context, Max(natts, 1));
	for (int i = 0; i < natts; i++)
		entry->identity[i] = bms_is_member(i + 1 - FirstLowInvalidHeapAttributeNumber, columns);
	bms_free(columns);
}

/* Find out to which sources the relation's rows belong. */
static void
fill_entry(SpFeedRelation *entry, Relation relation)
{
	uint64		generation = sp_source_generation;
	SpSourceKind kind = sp_feed.is_source(entry->relid);

	/* An error may leave from here: then the entry stays stale, as it does on news. */
	entry->generation = 0;
	entry->nsources = 0;
	entry->shape = NULL;
	entry->retracts = false;
	if (entry->identity != NULL)
		pfree(entry->identity);
	entry->identity = NULL;

	if (kind != SP_SOURCE_NONE)
		add_source(entry, entry->relid, sp_source_shape(entry, relation)->id, kind);
	if (relation->rd_rel->relispartition)
	{
		List	   *ancestors = get_partition_ancestors(entry->relid);
		ListCell   *cell;

		foreach(cell, ancestors)
		{
			kind = sp_feed.is_source(lfirst_oid(cell));
			if (kind != SP_SOURCE_NONE)
				add_ancestor(entry, relation, lfirst_oid(cell), kind);
		}
		list_free(ancestors);
	}
	if (entry->nsources > 0)
		sp_source_shape(entry, relation);
	if (entry->retracts)
		find_identity(entry, relation);
	entry->generation = generation;
}

/* The entry of a relation that is open; entries got before may be gone. */
SpFeedRelation *
sp_source_find(Relation relation)
{
	Oid			relid = RelationGetRelid(relation);
	SpFeedRelation *entry;
	bool		found;

	if (relations != NULL && hash_get_num_entries(relations) > MANY_RELATIONS)
	{
		entry = hash_search(relations, &relid, HASH_FIND, NULL);
		if (entry == NULL)
			sp_source_reset();
	}
	if (relations == NULL)
		create_cache();

	entry = hash_search(relations, &relid, HASH_ENTER, &found);
	if (!found)
	{
		memset(entry, 0, sizeof(SpFeedRelation));
		entry->relid = relid;
	}
	if (entry->generation != sp_source_generation)
		fill_entry(entry, relation);
	return entry;
}

/* The shape of an entry's relation as of now. */
SpShape *
sp_source_shape(SpFeedRelation *entry, Relation relation)
{
	if (entry->shape == NULL)
		entry->shape = sp_shape_register(entry->relid, RelationGetDescr(relation));
	return entry->shape;
}
