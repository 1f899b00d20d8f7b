/*
 * wakeup.c
 *	  Announces commits to the database's worker, in every backend.
 *
 * Runs at each commit of each transaction in the server, so what it costs when
 * there is nothing to do decides what the extension costs those who don't use it:
 * a comparison of two LSNs for a transaction that wrote nothing, and a look at the
 * generation of the slots for one in a database without streams.
 *
 * At XACT_EVENT_COMMIT the transaction is no longer in progress for anyone, so
 * that what the worker reads when it is woken is also visible.  COMMIT PREPARED
 * comes here as well: its record is the last that the surrounding transaction,
 * which has no xid, wrote.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "miscadmin.h"
#include "replication/origin.h"

#include "base/shared.h"
#include "process/wakeup.h"

/* Where my database's slot is, as of a generation of the slots. */
static SpWorkerSlot *my_slot = NULL;
static uint32 my_generation = 0;

static XLogRecPtr seen_commit_end = InvalidXLogRecPtr;
static bool launcher_wanted = false;

/* The slot of this database; looked up again only when slots came or went. */
static inline SpWorkerSlot *
current_slot(void)
{
	uint32		generation = pg_atomic_read_u32(&sp_shared->generation);

	if (unlikely(generation != my_generation))
	{
		my_slot = sp_shared_find(MyDatabaseId);
		my_generation = generation;
	}
	return my_slot;
}

/* A definition was committed: have a worker started, or tell the running one. */
static void
request_worker(void)
{
	SpWorkerSlot *slot;

	launcher_wanted = false;
	slot = sp_shared_claim(MyDatabaseId);
	if (slot != NULL)
	{
		LWLockAcquire(sp_shared->lock, LW_EXCLUSIVE);
		slot->idle = false;
		slot->start_requested = true;
		LWLockRelease(sp_shared->lock);
	}
	sp_shared_wake_launcher();
}

/* Tell the worker where my commit record ends, if I wrote one. */
static void
announce_commit(void)
{
	SpWorkerSlot *slot;

	/* The worker's own commits are none of its business. */
	if (sp_my_worker != NULL)
	{
		/* The server would use the first commit's time for all that follow. */
		replorigin_session_origin_timestamp = 0;
		return;
	}
	if (unlikely(launcher_wanted))
		request_worker();
	if (XactLastCommitEnd == seen_commit_end)
		return;
	seen_commit_end = XactLastCommitEnd;

	slot = current_slot();
	if (slot != NULL)
		sp_shared_announce(slot, seen_commit_end);
}

/* What happens at the end of a transaction. */
static void
end_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			announce_commit();
			break;
		case XACT_EVENT_ABORT:
			launcher_wanted = false;
			break;
		case XACT_EVENT_PRE_PREPARE:
			/* COMMIT PREPARED would not know that it has to start a worker. */
			if (launcher_wanted)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has changed definitions of "
								"streamproc")));
			break;
		default:
			break;
	}
}

/* Watch the ends of this process's transactions. */
void
sp_wakeup_init(void)
{
	RegisterXactCallback(end_transaction, NULL);
}

/* Remember to have a worker started at commit. */
void
sp_wakeup_launcher_at_commit(void)
{
	launcher_wanted = sp_shared != NULL;
}
