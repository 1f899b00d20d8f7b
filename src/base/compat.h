/*
 * compat.h
 *	  The differences between PostgreSQL's major versions.
 *
 * The only file that may look at PG_VERSION_NUM.
 */
#ifndef SP_COMPAT_H
#define SP_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000
#error "streamproc needs PostgreSQL 15 or newer"
#endif

/* Intervals are finite before 17. */
#if PG_VERSION_NUM < 170000
#define INTERVAL_NOT_FINITE(i) (false)
#endif

/* From 18 on, grouped expressions of a stored query stand in a range table entry of their own. */
#if PG_VERSION_NUM >= 180000
#include "optimizer/optimizer.h"
#define sp_compat_flatten_groups(query, node) \
	((query)->hasGroupRTE ? flatten_group_exprs(NULL, (query), (node)) : (node))
#else
#define sp_compat_flatten_groups(query, node) (node)
#endif

/* From 16 on an origin may be shared by several processes; ours never is. */
#if PG_VERSION_NUM < 160000
#define sp_compat_origin_setup(origin) replorigin_session_setup(origin)
#else
#define sp_compat_origin_setup(origin) replorigin_session_setup((origin), 0)
#endif

/* 16 renamed what identifies a relation's file; macros, for few files need the headers. */
#if PG_VERSION_NUM < 160000
#define SpCompatFile RelFileNode
#define sp_compat_shared_file(file, relid) \
	((file)->spcNode = GLOBALTABLESPACE_OID, (file)->dbNode = InvalidOid, \
	 (file)->relNode = RelationMapOidToFilenode((relid), true))
#else
#define SpCompatFile RelFileLocator
#define sp_compat_shared_file(file, relid) \
	((file)->spcOid = GLOBALTABLESPACE_OID, (file)->dbOid = InvalidOid, \
	 (file)->relNumber = RelationMapOidToFilenumber((relid), true))
#endif

/* 17 renamed backend ids to process numbers. */
#if PG_VERSION_NUM < 170000
#define SP_COMPAT_NO_BACKEND InvalidBackendId
#else
#define SP_COMPAT_NO_BACKEND INVALID_PROC_NUMBER
#endif

/* From 16 on, an update says which indexes need entries: all, or only summarizing ones. */
#if PG_VERSION_NUM >= 160000
#define SpUpdateIndexes TU_UpdateIndexes
#define sp_compat_heap_update(rel, otid, tuple, cid, tmfd, lockmode, indexes) \
	heap_update((rel), (otid), (tuple), (cid), InvalidSnapshot, true, (tmfd), (lockmode), (indexes))
#define sp_compat_updates_indexes(indexes, tuple) ((indexes) != TU_None)
#define sp_compat_insert_index_tuples(rri, slot, estate, update, indexes) \
	ExecInsertIndexTuples((rri), (slot), (estate), (update), false, NULL, NIL, \
						  (indexes) == TU_Summarizing)
#define SP_ALL_INDEXES TU_All
#else
#define SpUpdateIndexes bool
#define sp_compat_heap_update(rel, otid, tuple, cid, tmfd, lockmode, indexes) \
	heap_update((rel), (otid), (tuple), (cid), InvalidSnapshot, true, (tmfd), (lockmode))
#define sp_compat_updates_indexes(indexes, tuple) (!HeapTupleIsHeapOnly(tuple))
#define sp_compat_insert_index_tuples(rri, slot, estate, update, indexes) \
	ExecInsertIndexTuples((rri), (slot), (estate), (update), false, NULL, NIL)
#define SP_ALL_INDEXES true
#endif

/* From 16 on, permissions stand beside the range table, and 18 wants to know what is pruned. */
#if PG_VERSION_NUM >= 180000
#define sp_compat_init_range_table(estate, rte, updated) \
	do { \
		List	   *perminfos = NIL; \
		addRTEPermissionInfo(&perminfos, (rte))->updatedCols = (updated); \
		ExecInitRangeTable((estate), list_make1(rte), perminfos, bms_make_singleton(1)); \
	} while (0)
#elif PG_VERSION_NUM >= 160000
#define sp_compat_init_range_table(estate, rte, updated) \
	do { \
		List	   *perminfos = NIL; \
		addRTEPermissionInfo(&perminfos, (rte))->updatedCols = (updated); \
		ExecInitRangeTable((estate), list_make1(rte), perminfos); \
	} while (0)
#else
#define sp_compat_init_range_table(estate, rte, updated) \
	do { \
		(rte)->updatedCols = (updated); \
		ExecInitRangeTable((estate), list_make1(rte)); \
	} while (0)
#endif

/* 16 added the list of result relations. */
#if PG_VERSION_NUM >= 160000
#define sp_compat_epq_init(epq, estate) EvalPlanQualInit((epq), (estate), NULL, NIL, -1, NIL)
#else
#define sp_compat_epq_init(epq, estate) EvalPlanQualInit((epq), (estate), NULL, NIL, -1)
#endif

/* 18 counts index searches. */
#if PG_VERSION_NUM >= 180000
#define sp_compat_index_beginscan(rel, index, snapshot, nkeys) \
	index_beginscan((rel), (index), (snapshot), NULL, (nkeys), 0)
#else
#define sp_compat_index_beginscan(rel, index, snapshot, nkeys) \
	index_beginscan((rel), (index), (snapshot), (nkeys), 0)
#endif

/* 17 wants the relation open. */
#if PG_VERSION_NUM >= 170000
#define sp_compat_identity_sequence(rel, attnum) getIdentitySequence((rel), (attnum), true)
#else
#define sp_compat_identity_sequence(rel, attnum) \
	getIdentitySequence(RelationGetRelid(rel), (attnum), true)
#endif

/* 17 has a function for it. */
#if PG_VERSION_NUM >= 170000
#define sp_compat_restrict_search_path() RestrictSearchPath()
#else
#define sp_compat_restrict_search_path() \
	((void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, \
							  GUC_ACTION_SAVE, true, 0, false))
#endif

/* 16 moved the varlena macros out of postgres.h. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* From 17 on a message can be flushed at once; ours never are. */
#if PG_VERSION_NUM >= 170000
#define sp_compat_log_message(prefix, message, size, transactional) \
	LogLogicalMessage((prefix), (message), (size), (transactional), false)
#else
#define sp_compat_log_message(prefix, message, size, transactional) \
	LogLogicalMessage((prefix), (message), (size), (transactional))
#endif

/* 16 renamed a callback of table access methods, and made update_indexes an enum. */
#if PG_VERSION_NUM < 160000
#define relation_set_new_filelocator relation_set_new_filenode
#endif

/* 18 has generated columns that are not stored. */
#if PG_VERSION_NUM >= 180000
#define sp_compat_is_virtual(att) ((att)->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
#define sp_compat_is_virtual_column(relid, attnum) \
	(get_attgenerated((relid), (attnum)) == ATTRIBUTE_GENERATED_VIRTUAL)
#define sp_compat_expand_virtual(node, rel, varno) \
	expand_generated_columns_in_expr((node), (rel), (varno))
#else
#define sp_compat_is_virtual(att) false
#define sp_compat_is_virtual_column(relid, attnum) false
#define sp_compat_expand_virtual(node, rel, varno) (node)
#endif

/* 17 freed decoded tuples of the buffer they stood in. */
#if PG_VERSION_NUM >= 170000
#define sp_compat_new_tuple(change) ((change)->data.tp.newtuple)
#define sp_compat_old_tuple(change) ((change)->data.tp.oldtuple)
#else
#define sp_compat_new_tuple(change) \
	((change)->data.tp.newtuple != NULL ? &(change)->data.tp.newtuple->tuple : NULL)
#define sp_compat_old_tuple(change) \
	((change)->data.tp.oldtuple != NULL ? &(change)->data.tp.oldtuple->tuple : NULL)
#endif

/* From 17 on a slot may be synchronized to standbys, which ours isn't. */
#if PG_VERSION_NUM >= 170000
#define sp_compat_slot_create(name) \
	ReplicationSlotCreate((name), true, RS_EPHEMERAL, false, false, false)
#else
#define sp_compat_slot_create(name) ReplicationSlotCreate((name), true, RS_EPHEMERAL, false)
#endif

/* 18 can refuse an invalidated slot by itself. */
#if PG_VERSION_NUM >= 180000
#define sp_compat_slot_acquire(name) ReplicationSlotAcquire((name), true, true)
#else
#define sp_compat_slot_acquire(name) ReplicationSlotAcquire((name), true)
#endif

/* 16 keeps the reason for which a slot was invalidated. */
#if PG_VERSION_NUM >= 160000
#define sp_compat_slot_is_lost(slot) ((slot)->data.invalidated != RS_INVAL_NONE)
#else
#define sp_compat_slot_is_lost(slot) \
	(XLogRecPtrIsInvalid((slot)->data.restart_lsn) && \
	 !XLogRecPtrIsInvalid((slot)->data.invalidated_at))
#endif

/* 18 spells it as C23 does, before the declaration. */
#ifndef pg_noreturn
#define pg_noreturn pg_attribute_noreturn()
#endif

/* 16 merged the functions that check privileges, by kind of object. */
#if PG_VERSION_NUM >= 160000
#define sp_function_aclcheck(function, role) \
	object_aclcheck(ProcedureRelationId, (function), (role), ACL_EXECUTE)
#else
#define sp_function_aclcheck(function, role) \
	pg_proc_aclcheck((function), (role), ACL_EXECUTE)
#endif

/* What get_ordering_op_properties() says of an operator: 18 no longer gives B-tree's number. */
#if PG_VERSION_NUM >= 180000
#define SpOrderingKind CompareType
#else
#define SpOrderingKind int16
#endif

/* 16 has one function for objects of every kind; ours are relations. */
#if PG_VERSION_NUM < 160000
#define object_ownercheck(classid, relid, roleid) pg_class_ownercheck((relid), (roleid))
#endif

/* 18 no longer asks whether a plan runs but once. */
#if PG_VERSION_NUM >= 180000
#define sp_compat_executor_run(query) ExecutorRun((query), ForwardScanDirection, 0)
#else
#define sp_compat_executor_run(query) ExecutorRun((query), ForwardScanDirection, 0, true)
#endif

/* 16 renamed what gives a copy of a backend's status, by a number from 1. */
#if PG_VERSION_NUM >= 160000
#define sp_compat_backend_status(number) pgstat_get_local_beentry_by_index(number)
#else
#define sp_compat_backend_status(number) pgstat_fetch_stat_local_beentry(number)
#endif

/* Other C libraries give memory back by themselves, or never. */
#ifdef __GLIBC__
#include <malloc.h>
#define sp_compat_trim_heap() ((void) malloc_trim(0))
#else
#define sp_compat_trim_heap() ((void) 0)
#endif

#endif
