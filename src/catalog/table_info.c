/*
 * table_info.c
 *	  What catalog/table.c must know of a relation to find its rows by key: how to
 *	  compare keys, and which index finds them.
 *
 * It is kept from one transaction to the next until the relation's relcache entry is
 * invalidated.  An open table may still use what has been invalidated, so that lives until
 * the transaction ends.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/nbtree.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "catalog/table_info.h"

typedef struct InfoEntry
{
	Oid			relid;			/* hash key */
	SpTableInfo *info;
} InfoEntry;

static HTAB *infos = NULL;
static uint64 ninvalidations = 0;

/* Relcache callback. */
static void
invalidate_info(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS scan;
	InfoEntry *entry;

	ninvalidations++;
	if (OidIsValid(relid))
	{
		entry = hash_search(infos, &relid, HASH_FIND, NULL);
		if (entry != NULL)
			entry->info->valid = false;
		return;
	}
	hash_seq_init(&scan, infos);
	while ((entry = hash_seq_search(&scan)) != NULL)
		entry->info->valid = false;
}

/* Make the hash of what is known. */
static void
init_infos(void)
{
	HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(InfoEntry)};

	infos = hash_create("streamproc tables", 64, &ctl, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(invalidate_info, (Datum) 0);
}

/* Drop all that was invalidated, so that dropped relations leave nothing behind. */
static void
forget_invalid_infos(void)
{
	HASH_SEQ_STATUS scan;
	InfoEntry *entry;

	hash_seq_init(&scan, infos);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (entry->info->valid)
			continue;
		MemoryContextSetParent(entry->info->context, TopTransactionContext);
		hash_search(infos, &entry->relid, HASH_REMOVE, NULL);
	}
}

/* Are two values of this type equal exactly when their Datums are? */
static bool
compares_as_datum(Oid type)
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
		case PG_LSNOID:
			return get_typbyval(type);
		default:
			return false;
	}
}

/* Learn how to compare the keys of two rows. */
static void
bind_comparisons(SpTableInfo *info, Relation rel)
{
	info->equal = palloc0(Max(info->nkeys, 1) * sizeof(FmgrInfo));
	for (int i = 0; i < info->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), info->keys[i] - 1);
		TypeCacheEntry *type;

		if (compares_as_datum(att->atttypid))
			continue;
		type = lookup_type_cache(att->atttypid, TYPECACHE_EQ_OPR_FINFO);
		if (!OidIsValid(type->eq_opr_finfo.fn_oid))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_FUNCTION),
					 errmsg("could not identify an equality operator for type %s",
							format_type_be(att->atttypid))));
		fmgr_info_copy(&info->equal[i], &type->eq_opr_finfo, info->context);
	}
}

/* Is this a unique index on exactly the keys, good for finding every row? */
static bool
index_fits(SpTableInfo *info, Relation index)
{
	Form_pg_index form = index->rd_index;

	if (!form->indisunique || !form->indisvalid || !form->indimmediate ||
		index->rd_rel->relam != BTREE_AM_OID ||
		form->indnkeyatts != info->nkeys ||
		!heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL))
		return false;

	/* As many columns, all of them keys, none twice: the same set. */
	for (int i = 0; i < info->nkeys; i++)
	{
		bool		found = false;

		for (int j = 0; j < info->nkeys; j++)
			found |= form->indkey.values[j] == info->keys[i];
		if (!found)
			return false;
	}
	return true;
}

/* Note the index's columns and the operators that its scan keys need. */
static void
bind_index(SpTableInfo *info, Relation index)
{
	info->index = RelationGetRelid(index);
	info->index_keys = palloc(info->nkeys * sizeof(AttrNumber));
	info->index_equal = palloc(info->nkeys * sizeof(RegProcedure));
	for (int i = 0; i < info->nkeys; i++)
	{
		Oid			family = index->rd_opfamily[i];
		Oid			type = index->rd_opcintype[i];
		Oid			equal = get_opfamily_member(family, type, type, BTEqualStrategyNumber);

		if (!OidIsValid(equal))
			elog(ERROR, "missing operator %d(%u,%u) in opfamily %u",
				 BTEqualStrategyNumber, type, type, family);
		info->index_keys[i] = index->rd_index->indkey.values[i];
		info->index_equal[i] = get_opcode(equal);
	}
}

/* Names of the key columns, for a message. */
static char *
describe_keys(const SpTableInfo *info, Relation rel)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < info->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), info->keys[i] - 1);

		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "",
						 quote_identifier(NameStr(att->attname)));
	}
	return buf.data;
}

/* Find the unique index on the keys. */
static void
find_index(SpTableInfo *info, Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		bool		fits = index_fits(info, index);

		if (fits)
			bind_index(info, index);
		index_close(index, NoLock);
		if (fits)
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" has no unique index on (%s)",
					RelationGetRelationName(rel), describe_keys(info, rel)),
			 errhint("Create it again: CREATE UNIQUE INDEX ON %s (%s) NULLS NOT DISTINCT.",
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
												RelationGetRelationName(rel)),
					 describe_keys(info, rel))));
}

/* Learn all there is to know. */
static SpTableInfo *
make_info(Relation rel, int nkeys, const AttrNumber *keys)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "streamproc table info",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext oldcontext = MemoryContextSwitchTo(context);
	TupleDesc	desc = RelationGetDescr(rel);
	SpTableInfo  *info = palloc0(sizeof(SpTableInfo));

	info->context = context;
	info->nkeys = nkeys;
	info->keys = palloc(Max(nkeys, 1) * sizeof(AttrNumber));
	if (nkeys > 0)
		memcpy(info->keys, keys, nkeys * sizeof(AttrNumber));
	info->required = palloc(Max(desc->natts, 1) * sizeof(AttrNumber));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attnotnull && !att->attisdropped)
			info->required[info->nrequired++] = att->attnum;
	}
	bind_comparisons(info, rel);
	if (nkeys > 0)
		find_index(info, rel);

	MemoryContextSwitchTo(oldcontext);
	return info;
}

/* What is known of this relation, learned now if need be. */
SpTableInfo *
sp_table_info_get(Relation rel, int nkeys, const AttrNumber *keys)
{
	Oid			relid = RelationGetRelid(rel);
	InfoEntry *entry;
	SpTableInfo  *info;
	uint64		before;

	if (infos == NULL)
		init_infos();
	entry = hash_search(infos, &relid, HASH_FIND, NULL);
	if (entry != NULL && entry->info->valid && entry->info->nkeys == nkeys &&
		(nkeys == 0 || memcmp(entry->info->keys, keys, nkeys * sizeof(AttrNumber)) == 0))
		return entry->info;

	/* What is invalidated while we learn it is learned again next time. */
	before = ninvalidations;
	info = make_info(rel, nkeys, keys);
	if (entry != NULL)
		entry->info->valid = false;
	forget_invalid_infos();
	entry = hash_search(infos, &relid, HASH_ENTER, NULL);
	entry->info = info;
	MemoryContextSetParent(info->context, CacheMemoryContext);
	info->valid = before == ninvalidations;
	return info;
}
