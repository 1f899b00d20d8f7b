/*
 * slot.c
 *	  The database's logical replication slot: found, created, dropped.
 *
 * Creation may take long: it waits for the transactions that are running, and so does
 * the reader, interruptibly, for WAL that doesn't exist yet.  Until its consistent point
 * is found the slot is ephemeral: it goes if this process does.
 *
 * A decoding context is always made inside a transaction.  Made outside one it would
 * flag this process as one that only decodes (PROC_IN_LOGICAL_DECODING), and the
 * snapshots of all others would leave out our transactions: rows that the worker is
 * writing would be taken for aborted, and even marked so.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "replication/logical.h"
#include "replication/slot.h"
#include "storage/proc.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/debug.h"
#include "feed/feed.h"

/* The name of this database's slot; that of its replication origin is the same. */
const char *
sp_slot_name(void)
{
	static char name[NAMEDATALEN];

	snprintf(name, sizeof(name), "streamproc_%u", MyDatabaseId);
	return name;
}

/* What the server knows of a slot. */
SpSlotInfo
sp_slot_inspect(const char *name)
{
	SpSlotInfo	info;

	memset(&info, 0, sizeof(info));
	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];

		if (!slot->in_use || strcmp(NameStr(slot->data.name), name) != 0)
			continue;
		SpinLockAcquire(&slot->mutex);
		info.exists = true;
		info.ours = slot->data.database == MyDatabaseId &&
			strcmp(NameStr(slot->data.plugin), SP_PLUGIN_NAME) == 0;
		info.lost = sp_compat_slot_is_lost(slot);
		info.complete = slot->data.persistency == RS_PERSISTENT;
		info.active_pid = slot->active_pid;
		info.restart_lsn = slot->data.restart_lsn;
		info.confirmed_lsn = slot->data.confirmed_flush;
		SpinLockRelease(&slot->mutex);
		break;
	}
	LWLockRelease(ReplicationSlotControlLock);
	return info;
}

/* Refuse to create a slot where logical decoding is not possible. */
static void
check_requirements(void)
{
	if (wal_level < WAL_LEVEL_LOGICAL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("streams need \"wal_level\" to be \"logical\""),
				 errhint("Set wal_level = logical in postgresql.conf and restart the server.")));
	CheckLogicalDecodingRequirements();
}

/* The decoding context of the slot just created, in the worker's memory. */
static LogicalDecodingContext *
create_context(void)
{
	LogicalDecodingContext *logical;

	StartTransactionCommand();
	MemoryContextSwitchTo(sp_feed.context);
	logical = CreateInitDecodingContext(SP_PLUGIN_NAME, NIL, false, InvalidXLogRecPtr,
										sp_decode_reader_routine(), NULL, NULL, NULL);
	CommitTransactionCommand();
	MemoryContextSwitchTo(sp_feed.context);
	return logical;
}

/* Create the slot, wait for its consistent point and return that. */
XLogRecPtr
sp_slot_create(void)
{
	const char *name = sp_slot_name();
	MemoryContext old = CurrentMemoryContext;
	LogicalDecodingContext *logical;
	XLogRecPtr	start;

	if (IsTransactionState())
		elog(ERROR, "a slot can't be created inside a transaction");
	check_requirements();
	sp_feed_init();
	sp_compat_slot_create(name);

	sp_feed.is_open = true;
	sp_feed.wait_for_wal = true;
	logical = create_context();
	DecodingContextFindStartpoint(logical);
	MemoryContextSwitchTo(sp_feed.context);
	start = logical->slot->data.confirmed_flush;
	FreeDecodingContext(logical);
	sp_feed.wait_for_wal = false;
	sp_feed.is_open = false;

	ReplicationSlotPersist();
	sp_debug_point("slot-created");
	MemoryContextSwitchTo(old);
	return start;
}

/* Drop a slot that nobody uses (but perhaps this process), if it exists. */
void
sp_slot_drop(const char *name)
{
	if (MyReplicationSlot != NULL && strcmp(NameStr(MyReplicationSlot->data.name), name) == 0)
		sp_decode_close();
	if (sp_slot_inspect(name).exists)
		ReplicationSlotDrop(name, true);
}
