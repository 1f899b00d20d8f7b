/*
 * target.c
 *	  What a session knows about a stream table that it writes to.
 *
 * Rows of a stream table are nowhere but in the WAL.  Before the database's slot is
 * consistent nobody would read them, so an INSERT is refused until then.  Whether the
 * table belongs to a stream is looked up once and remembered until a create_ or drop_
 * verb commits, which invalidates the relcache entry of streamproc.stream.  The rows
 * are written in any case; a session that remembers too long only keeps silent.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tupmacs.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/row.h"
#include "feed/decode.h"
#include "feed/target.h"

static HTAB *targets = NULL;
static uint32 streams_generation = 1;	/* goes up when streams may have changed */
static Oid	streams_relid = InvalidOid; /* streamproc.stream when last read */

/* Relcache callback: look again before the next row. */
static void
forget_target(Datum arg, Oid relid)
{
	SpTarget   *target;
	HASH_SEQ_STATUS status;

	if (relid == streams_relid || !OidIsValid(relid))
		streams_generation++;

	if (OidIsValid(relid))
	{
		target = hash_search(targets, &relid, HASH_FIND, NULL);
		if (target != NULL)
			target->valid = false;
		return;
	}
	hash_seq_init(&status, targets);
	while ((target = hash_seq_search(&status)) != NULL)
		target->valid = false;
}

/* The session's table of targets. */
static void
create_targets(void)
{
	HASHCTL		ctl = {0};

	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(SpTarget);
	ctl.hcxt = TopMemoryContext;
	targets = hash_create("streamproc targets", 16, &ctl,
						  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(forget_target, (Datum) 0);
}

/* Where each column of a fixed-length row stands, and where it has padding. */
static void
lay_out_fields(SpTarget *target, TupleDesc desc)
{
	uint32		end = 0;
	uint32		last_gap = PG_UINT32_MAX;
	int			i;

	for (i = 0; i <= target->natts; i++)
	{
		uint32		start = target->row_length;
		uint32		word = end & ~7U;

		if (i < target->natts)
			start = att_align_nominal(end, TupleDescAttr(desc, i)->attalign);

		/* No gap is as long as a word, and a word ends where anything may be aligned. */
		if (end < start && word != last_gap)
			target->gaps[target->ngaps++] = last_gap = word;
		if (i == target->natts)
			break;

		target->fields[i].offset = start;
		target->fields[i].length = TupleDescAttr(desc, i)->attlen;
		target->fields[i].byval = TupleDescAttr(desc, i)->attbyval;
		end = start + target->fields[i].length;
	}
	if (MAXALIGN(end) != target->row_length)
		elog(ERROR, "rows of relation %u have %u bytes, not %u",
			 target->relid, target->row_length, (uint32) MAXALIGN(end));
}

/* Describe the relation as it is now. */
static void
describe_target(SpTarget *target, Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			i;

	/* What an error leaves half made is made anew. */
	if (target->fields != NULL)
		pfree(target->fields);
	if (target->gaps != NULL)
		pfree(target->gaps);
	if (target->varlenas != NULL)
		pfree(target->varlenas);
	target->fields = NULL;
	target->gaps = NULL;
	target->varlenas = NULL;

	target->natts = desc->natts;
	target->shape_hash = sp_shape_hash(desc);
	target->row_length = desc->natts > 0 ? sp_row_fixed_length(desc) : 0;
	target->ngaps = 0;
	target->nvarlenas = 0;

	if (target->row_length > 0)
	{
		target->fields = MemoryContextAlloc(TopMemoryContext,
											desc->natts * sizeof(SpTargetField));
		target->gaps = MemoryContextAlloc(TopMemoryContext,
										  (target->row_length / 8 + 1) * sizeof(uint32));
		lay_out_fields(target, desc);
	}

	target->varlenas = MemoryContextAlloc(TopMemoryContext, (desc->natts + 1) * sizeof(int));
	for (i = 0; i < desc->natts; i++)
		if (TupleDescAttr(desc, i)->attlen == -1 && !TupleDescAttr(desc, i)->attisdropped)
			target->varlenas[target->nvarlenas++] = i;

	target->valid = true;
}

/* Is the relation that of a stream? */
static bool
feeds_stream(Oid relid)
{
	Oid			schema = get_namespace_oid("streamproc", true);
	Relation	rel;
	AttrNumber	attnum;
	ScanKeyData key;
	SysScanDesc scan;
	bool		found;

	streams_relid = OidIsValid(schema) ? get_relname_relid("stream", schema) : InvalidOid;
	if (!OidIsValid(streams_relid))
		return false;
	rel = try_table_open(streams_relid, AccessShareLock);
	if (rel == NULL)
		return false;

	attnum = get_attnum(streams_relid, "relation");
	ScanKeyInit(&key, attnum, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* Refuse rows that the slot would miss. */
static void
check_slot(Relation rel)
{
	SpSlotInfo	slot = sp_slot_inspect(sp_slot_name());

	if (slot.exists && slot.ours && !slot.lost && !XLogRecPtrIsInvalid(slot.confirmed_lsn))
		return;

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("stream table \"%s\" is not ready to take rows",
					RelationGetRelationName(rel)),
			 !slot.exists ?
			 errdetail("Replication slot \"%s\" does not exist yet: rows would be lost.",
					   sp_slot_name()) :
			 !slot.ours ?
			 errdetail("Replication slot \"%s\" is not of this database and this extension.",
					   sp_slot_name()) :
			 slot.lost ?
			 errdetail("Replication slot \"%s\" has lost WAL that it needs.", sp_slot_name()) :
			 errdetail("Replication slot \"%s\" waits for older transactions to end.",
					   sp_slot_name()),
			 errhint("The database's worker creates the slot: see streamproc.status.")));
}

/* Does anything read the table's rows, and can it already? */
static void
check_readers(SpTarget *target, Relation rel)
{
	uint32		generation = streams_generation;

	if (feeds_stream(target->relid))
		check_slot(rel);
	else if (!target->noticed)
	{
		ereport(NOTICE,
				(errmsg("nothing reads the rows of stream table \"%s\" yet",
						RelationGetRelationName(rel)),
				 errhint("They are not kept. Call streamproc.create_stream first.")));
		target->noticed = true;
	}
	target->checked = generation;
}

/* Look up or make what this session knows about a stream table. */
SpTarget *
sp_target_get(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	SpTarget   *target;
	bool		found;

	if (targets == NULL)
		create_targets();
	target = hash_search(targets, &relid, HASH_ENTER, &found);
	if (!found)
	{
		memset((char *) target + sizeof(Oid), 0, sizeof(SpTarget) - sizeof(Oid));
		target->relid = relid;
	}
	if (target->checked != streams_generation)
		check_readers(target, rel);
	if (!target->valid)
		describe_target(target, rel);
	return target;
}
