/*
 * writer_internal.h
 *	  What the writer's files share: the plan of a result table, the executor's path.
 */
#ifndef SP_WRITER_INTERNAL_H
#define SP_WRITER_INTERNAL_H

#include "catalog/table.h"
#include "engine/writer.h"
#include "utils/rel.h"

/* How a result table is written, kept until its relcache entry is invalidated. */
typedef struct SpWriterPlan
{
	MemoryContext context;		/* holds this and what it points to */
	bool		valid;
	int			natts;			/* columns that we write, the first ones */
	Oid		   *types;
	int			replication_role;	/* it decides which triggers fire */
	bool		executor;		/* takes the executor's path */
	bool		deferrable;		/* has deferrable triggers */
	bool		compares;		/* keys by functions that may be somebody's own */
	Oid			owner;
	int			nothers;		/* the user's columns behind ours */
	Expr	  **defaults;		/* of those; NULL: NULL */
} SpWriterPlan;

/* Rights and settings of whoever ran before the owner. */
typedef struct SpOwnerRights
{
	Oid			save_user;
	int			save_security;
	int			guc_level;
} SpOwnerRights;

extern void sp_writer_plan_assume_owner(Oid owner, SpOwnerRights *rights);
extern void sp_writer_plan_resume(const SpOwnerRights *rights);

/*
 * The plan of an open, locked relation, made now if need be; valid until the end of the
 * transaction.  Raises an error for relations that can't be written.
 */
extern SpWriterPlan *sp_writer_plan_get(Relation rel, int natts, const Oid *types);

/* The executor's path. */
typedef struct SpWriterSlow SpWriterSlow;

extern SpWriterSlow *sp_writer_slow_open(SpTable *table, const SpWriterPlan *plan,
										 int nkeys, const AttrNumber *keys);

/* The slot has our columns; *tid as for sp_writer_upsert(), set at once. */
extern void sp_writer_slow_insert(SpWriterSlow *slow, TupleTableSlot *slot, ItemPointer tid);
extern bool sp_writer_slow_update(SpWriterSlow *slow, TupleTableSlot *slot, ItemPointer tid);
extern bool sp_writer_slow_delete(SpWriterSlow *slow, TupleTableSlot *slot, ItemPointer tid);
extern SpAtResult sp_writer_slow_delete_at(SpWriterSlow *slow, ItemPointer tid);
extern SpAtResult sp_writer_slow_set_at(SpWriterSlow *slow, TupleTableSlot *slot,
										ItemPointer tid, AttrNumber attnum, Datum value);
extern void sp_writer_slow_close(SpWriterSlow *slow);

#endif
