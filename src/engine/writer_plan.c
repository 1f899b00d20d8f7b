/*
 * writer_plan.c
 *	  How a result table is written: by heap calls, or by the executor because something
 *	  must run or be checked for each row.
 *
 * Plans are kept from one transaction to the next until the relation's relcache entry is
 * invalidated.  Whatever may run a user's code while one is made (folding a default to a
 * constant) runs with the rights of the table's owner.
 */
#include "postgres.h"

#include "access/amapi.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_language_d.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type_d.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "engine/writer_internal.h"

typedef struct PlanEntry
{
	Oid			relid;			/* hash key */
	SpWriterPlan *plan;
} PlanEntry;

static HTAB *plans = NULL;
static uint64 ninvalidations = 0;

/* Run as the owner of a table from now on, in a security-restricted operation. */
void
sp_writer_plan_assume_owner(Oid owner, SpOwnerRights *rights)
{
	GetUserIdAndSecContext(&rights->save_user, &rights->save_security);
	SetUserIdAndSecContext(owner, rights->save_security | SECURITY_RESTRICTED_OPERATION);
	rights->guc_level = NewGUCNestLevel();
	sp_compat_restrict_search_path();
}

/* Run as before.  After an error the end of the (sub)transaction does this. */
void
sp_writer_plan_resume(const SpOwnerRights *rights)
{
	AtEOXact_GUC(false, rights->guc_level);
	SetUserIdAndSecContext(rights->save_user, rights->save_security);
}

/* Relcache callback. */
static void
invalidate_plan(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS scan;
	PlanEntry  *entry;

	ninvalidations++;
	if (OidIsValid(relid))
	{
		entry = hash_search(plans, &relid, HASH_FIND, NULL);
		if (entry != NULL)
			entry->plan->valid = false;
		return;
	}
	hash_seq_init(&scan, plans);
	while ((entry = hash_seq_search(&scan)) != NULL)
		entry->plan->valid = false;
}

/* Make the hash of plans. */
static void
init_plans(void)
{
	HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(PlanEntry)};

	plans = hash_create("streamproc writer plans", 64, &ctl, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(invalidate_plan, (Datum) 0);
}

/* Drop all that was invalidated; a writer may use it until the transaction ends. */
static void
forget_invalid_plans(void)
{
	HASH_SEQ_STATUS scan;
	PlanEntry  *entry;

	hash_seq_init(&scan, plans);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (entry->plan->valid)
			continue;
		MemoryContextSetParent(entry->plan->context, TopTransactionContext);
		hash_search(plans, &entry->relid, HASH_REMOVE, NULL);
	}
}

/* Refuse what is no ordinary, logged heap table. */
static void
check_kind(Relation rel)
{
	const char *problem = NULL;

	if (rel->rd_rel->relkind != RELKIND_RELATION)
		problem = "Only an ordinary table can hold results.";
	else if (rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		problem = "Results that a crash empties could not be told from results.";
	else if (rel->rd_rel->relam != HEAP_TABLE_AM_OID)
		problem = "Only the heap access method keeps results.";
	if (problem == NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("cannot write results to \"%s\"", RelationGetRelationName(rel)),
			 errdetail_internal("%s", problem),
			 rel->rd_rel->relkind != RELKIND_RELATION ? 0 :
			 errhint("ALTER TABLE ... SET LOGGED, SET ACCESS METHOD heap.")));
}

/* Refuse a table whose first columns are no longer the ones that we write. */
static void
check_columns(Relation rel, int natts, const Oid *types)
{
	TupleDesc	desc = RelationGetDescr(rel);
	char	   *problem = NULL;

	for (int i = 0; i < natts && problem == NULL; i++)
	{
		Form_pg_attribute att = i < desc->natts ? TupleDescAttr(desc, i) : NULL;

		if (att == NULL || att->attisdropped)
			problem = psprintf("Column %d, of type %s, was dropped.",
							   i + 1, format_type_be(types[i]));
		else if (att->atttypid != types[i])
			problem = psprintf("Column \"%s\" has type %s, not %s.", NameStr(att->attname),
							   format_type_be(att->atttypid), format_type_be(types[i]));
	}
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("result table \"%s\" no longer has the columns it was created with",
						RelationGetRelationName(rel)),
				 errdetail_internal("%s", problem),
				 errhint("Create the object again, with replace => true.")));
}

/* Is it the one that follows labels?  Those are the user's to update, never ours. */
static bool
follows_label(const Trigger *trigger)
{
	oidvector  *no_args = buildoidvector(NULL, 0);

	return trigger->tgnattr > 0 && !TRIGGER_FOR_INSERT(trigger->tgtype) &&
		!TRIGGER_FOR_DELETE(trigger->tgtype) &&
		trigger->tgfoid == GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
										   CStringGetDatum("follow_label"),
										   PointerGetDatum(no_args),
										   ObjectIdGetDatum(get_namespace_oid("streamproc",
																			  true)));
}

/* Would this trigger fire, row by row? */
static bool
trigger_fires(const Trigger *trigger)
{
	if (!TRIGGER_FOR_ROW(trigger->tgtype) || follows_label(trigger))
		return false;
	switch (trigger->tgenabled)
	{
		case TRIGGER_FIRES_ALWAYS:
			return true;
		case TRIGGER_FIRES_ON_ORIGIN:
			return SessionReplicationRole != SESSION_REPLICATION_ROLE_REPLICA;
		case TRIGGER_FIRES_ON_REPLICA:
			return SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA;
		default:
			return false;
	}
}

/* Look through the triggers. */
static void
plan_triggers(SpWriterPlan *plan, Relation rel)
{
	plan->replication_role = SessionReplicationRole;
	if (rel->trigdesc == NULL)
		return;
	for (int i = 0; i < rel->trigdesc->numtriggers; i++)
	{
		if (!trigger_fires(&rel->trigdesc->triggers[i]))
			continue;
		plan->executor = true;
		plan->deferrable |= rel->trigdesc->triggers[i].tgdeferrable;
	}
}

/* Has the table constraints or generated columns that the heap knows nothing of? */
static bool
has_checks(Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);

	if (rel->rd_rel->relispartition)
		return true;
	if (desc->constr != NULL && desc->constr->num_check > 0)
		return true;
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped && TupleDescAttr(desc, i)->attgenerated)
			return true;
	return false;
}

/* Has it an index whose entries take more than the row's columns? */
static bool
has_special_index(Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;
	bool		special = false;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		/* not RelationGetIndexExpressions(): that would run functions in them */
		special |= !heap_attisnull(index->rd_indextuple, Anum_pg_index_indexprs, NULL) ||
			!heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL) ||
			index->rd_index->indisexclusion ||
			(index->rd_index->indisunique && !index->rd_index->indimmediate);
		index_close(index, NoLock);
	}
	list_free(indexes);
	return special;
}

/* Is the function one that only a superuser can have made, or change? */
static bool
is_trusted(Oid funcid)
{
	HeapTuple	tuple;
	Oid			language = InvalidOid;

	if (funcid < FirstNormalObjectId)
		return true;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	if (HeapTupleIsValid(tuple))
	{
		language = ((Form_pg_proc) GETSTRUCT(tuple))->prolang;
		ReleaseSysCache(tuple);
	}
	return language == INTERNALlanguageId || language == ClanguageId;
}

/* Are values of the type compared by PostgreSQL's own functions, or an extension's in C? */
static bool
has_trusted_order(Oid type)
{
	Oid			element = get_element_type(type);
	TypeCacheEntry *cache;

	if (type < FirstNormalObjectId)
		return true;
	if (OidIsValid(element))
		return has_trusted_order(element);
	switch (get_typtype(type))
	{
		case TYPTYPE_ENUM:
			return true;
		case TYPTYPE_DOMAIN:
			return has_trusted_order(getBaseType(type));
		case TYPTYPE_BASE:
			cache = lookup_type_cache(type, TYPECACHE_EQ_OPR | TYPECACHE_CMP_PROC);
			return is_trusted(get_opcode(cache->eq_opr)) && is_trusted(cache->cmp_proc);
		default:
			return false;		/* its parts are compared by their types' functions */
	}
}

/* Has it an index that calls a function that isn't trusted? */
static bool
has_untrusted_index(Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;
	bool		untrusted = false;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		int			nsupport = IndexRelationGetNumberOfKeyAttributes(index) *
			index->rd_indam->amsupport;

		for (int i = 0; i < nsupport; i++)
			untrusted |= OidIsValid(index->rd_support[i]) && !is_trusted(index->rd_support[i]);
		index_close(index, NoLock);
	}
	list_free(indexes);
	return untrusted;
}

/* May writing a row call functions that are somebody's own, be it only to find its key? */
static bool
compares_untrusted(Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && !has_trusted_order(att->atttypid))
			return true;
	}
	return has_untrusted_index(rel);
}

/* The default of a column, ready to run; NULL: NULL. */
static Expr *
plan_default(Relation rel, Form_pg_attribute att)
{
	Node	   *expr;

	if (att->attisdropped || att->attgenerated)
		return NULL;
	expr = build_column_default(rel, att->attnum);
	if (expr == NULL)
	{
		int32		typmod = att->atttypmod;
		Oid			base = getBaseTypeAndTypmod(att->atttypid, &typmod);

		/* A domain may refuse NULL. */
		if (base == att->atttypid)
			return NULL;
		expr = coerce_to_domain((Node *) makeNullConst(base, typmod, att->attcollation),
								base, typmod, att->atttypid, COERCION_IMPLICIT,
								COERCE_IMPLICIT_CAST, -1, false);
	}
	return expression_planner((Expr *) expr);
}

/* Look through the user's columns. */
static void
plan_others(SpWriterPlan *plan, Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);
	SpOwnerRights rights;

	plan->nothers = desc->natts - plan->natts;
	if (plan->nothers == 0)
		return;
	plan->defaults = palloc0(plan->nothers * sizeof(Expr *));
	sp_writer_plan_assume_owner(plan->owner, &rights);
	for (int i = 0; i < plan->nothers; i++)
	{
		plan->defaults[i] = plan_default(rel, TupleDescAttr(desc, plan->natts + i));
		if (plan->defaults[i] != NULL && !IsA(plan->defaults[i], Const))
			plan->executor = true;
	}
	sp_writer_plan_resume(&rights);
}

/* Decide how the table is written. */
static SpWriterPlan *
make_plan(Relation rel, int natts, const Oid *types)
{
	MemoryContext context;
	MemoryContext oldcontext;
	SpWriterPlan *plan;

	check_kind(rel);
	check_columns(rel, natts, types);

	context = AllocSetContextCreate(CurrentMemoryContext, "streamproc writer plan",
									ALLOCSET_SMALL_SIZES);
	oldcontext = MemoryContextSwitchTo(context);
	plan = palloc0(sizeof(SpWriterPlan));
	plan->context = context;
	plan->natts = natts;
	plan->types = palloc(Max(natts, 1) * sizeof(Oid));
	memcpy(plan->types, types, natts * sizeof(Oid));
	plan->owner = rel->rd_rel->relowner;
	plan_triggers(plan, rel);
	plan->executor |= has_checks(rel) || has_special_index(rel);
	plan->compares = compares_untrusted(rel);
	plan_others(plan, rel);
	MemoryContextSwitchTo(oldcontext);
	return plan;
}

/* The plan of an open, locked relation. */
SpWriterPlan *
sp_writer_plan_get(Relation rel, int natts, const Oid *types)
{
	Oid			relid = RelationGetRelid(rel);
	PlanEntry  *entry;
	SpWriterPlan *plan;
	uint64		before;

	if (plans == NULL)
		init_plans();
	entry = hash_search(plans, &relid, HASH_FIND, NULL);
	if (entry != NULL && entry->plan->valid && entry->plan->natts == natts &&
		entry->plan->replication_role == SessionReplicationRole &&
		memcmp(entry->plan->types, types, natts * sizeof(Oid)) == 0)
		return entry->plan;

	/* What is invalidated while it is made is made again next time. */
	before = ninvalidations;
	plan = make_plan(rel, natts, types);
	if (entry != NULL)
		entry->plan->valid = false;
	forget_invalid_plans();
	entry = hash_search(plans, &relid, HASH_ENTER, NULL);
	entry->plan = plan;
	MemoryContextSetParent(plan->context, CacheMemoryContext);
	plan->valid = before == ninvalidations;
	return plan;
}
