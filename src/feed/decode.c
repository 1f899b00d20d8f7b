/*
 * decode.c
 *	  The decode loop: reads WAL, lets the server decode it, hands out events.
 *
 * Decoding runs outside transactions; the server opens and aborts one for each
 * transaction it replays, whose catalog lookups see the past.  Relation descriptors
 * loaded then lie in the same caches that this process uses for transactions of its own,
 * and there they must be of the present, or it would not maintain an index that it
 * doesn't know yet; and a descriptor of the present must not be used to read rows of the
 * past.  The two differ only while a change of the catalogs that has reached us through
 * the caches' invalidation lies in WAL that is not decoded yet: catalog_upto is the end
 * of WAL when the last one came.  While the reader stands before it, caches are emptied
 * on the way in and on the way out of decoding, and several events are decoded at a
 * time, so that it happens less often.
 *
 * WAL is read up to what is flushed.  Flushed WAL ends at the end of a record or at the
 * beginning of a page, so the reader finds either nothing of a page or all of a record on
 * it, and can always ask again: a record that continues on a page not yet flushed is read
 * again from its start.
 */
#include "postgres.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogutils.h"
#include "miscadmin.h"
#include "replication/decode.h"
#include "replication/logical.h"
#include "replication/origin.h"
#include "replication/slot.h"
#include "storage/latch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "base/compat.h"
#include "catalog/secret.h"
#include "feed/feed.h"

#define WAL_WAIT_MS			100L	/* the latch isn't set when WAL is flushed */

/* Memory given back at once when freed, and kept at most otherwise. */
#define LARGE_ALLOCATION	(4 * 1024 * 1024)
#define KEPT_MEMORY			(64 * 1024 * 1024)

/* How much is decoded at a time while the catalogs are ahead. */
#define AHEAD_EVENTS		256
#define AHEAD_WAL			((Size) 4 * 1024 * 1024)

SpFeed		sp_feed;

static LogicalDecodingContext *logical = NULL;
static XLogRecPtr start_position;	/* commits before it were processed in another life */
static XLogRecPtr read_position;	/* WAL before it is decoded */
static XLogRecPtr catalog_upto;		/* changes of catalogs that we know of lie before it */
static bool is_decoding = false;
static bool ran_transaction = true; /* of our own, since we decoded last */
static bool is_emptying = false;

/* ---- reading WAL ---- */

/* Wait for more WAL, or for an interrupt. */
static void
wait_for_wal(void)
{
	CHECK_FOR_INTERRUPTS();
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, WAL_WAIT_MS,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * How many bytes of a page can be read from its timeline, which is determined here: at
 * most a page; 0 when what is needed isn't flushed.
 */
static int
readable_bytes(XLogReaderState *reader, XLogRecPtr page, int needed, TimeLineID *tli)
{
	XLogRecPtr	upto = GetFlushRecPtr(tli);

	XLogReadDetermineTimeline(reader, page, needed, *tli);
	if (reader->currTLI != *tli)
	{
		/* History ends where the next timeline begins. */
		upto = reader->currTLIValidUntil;
		*tli = reader->currTLI;
	}
	/* A page's header alone is an error to the reader. */
	if (upto < page + needed || upto <= page + SizeOfXLogShortPHD)
		return 0;
	return Min(upto - page, XLOG_BLCKSZ);
}

/* The reader wants the first needed bytes of a page, or more. */
static int
read_page(XLogReaderState *reader, XLogRecPtr page, int needed, XLogRecPtr record, char *buffer)
{
	WALReadError error;
	TimeLineID	tli;
	int			count;

	while ((count = readable_bytes(reader, page, needed, &tli)) == 0)
	{
		if (!sp_feed.wait_for_wal)
		{
			sp_feed.end_of_wal = true;
			return XLREAD_WOULDBLOCK;
		}
		wait_for_wal();
	}

	/* Read all of it: what is not flushed is not looked at. */
	if (!WALRead(reader, buffer, page, XLOG_BLCKSZ, tli, &error))
		WALReadRaiseError(&error);
	return count;
}

/* How our readers read. */
XLogReaderRoutine *
sp_decode_reader_routine(void)
{
	static XLogReaderRoutine routine;

	routine.page_read = read_page;
	routine.segment_open = wal_segment_open;
	routine.segment_close = wal_segment_close;
	return &routine;
}

/* ---- catalogs of the past and of the present ---- */

/* A relation's description changed, now or in the past that is being decoded. */
static void
relation_changed(Datum arg, Oid relid)
{
	/* Catalogs themselves are never of the past. */
	if (relid != InvalidOid && relid < FirstNormalObjectId)
		return;
	sp_source_forget();
	if (!is_emptying)
		catalog_upto = GetXLogInsertRecPtr();
}

/* A transaction ended: was it one of our own? */
static void
transaction_ended(XactEvent event, void *arg)
{
	if (!is_decoding)
		ran_transaction = true;
}

/* Do the caches have to tell the past from the present? */
static inline bool
catalogs_are_ahead(void)
{
	return read_position < catalog_upto;
}

/* Forget all that is cached of the catalogs. */
static void
empty_caches(void)
{
	is_emptying = true;
	InvalidateSystemCaches();
	is_emptying = false;
}

/* From the present to the past. */
static void
enter_decoding(void)
{
	/* What our own transactions have seen must be known now. */
	AcceptInvalidationMessages();
	if (ran_transaction && catalogs_are_ahead())
		empty_caches();
	ran_transaction = false;
	is_decoding = true;
}

/* And back; decoded_any: something of the past may have been loaded. */
static void
leave_decoding(bool decoded_any)
{
	is_decoding = false;
	if (decoded_any && catalogs_are_ahead())
		empty_caches();
}

/* ---- opening and closing ---- */

/*
 * Keep freed memory.  The reorder buffer takes and gives back megabytes for each
 * transaction; faulting in their pages every time costs as much as decoding.
 */
static void
tune_allocator(void)
{
#ifdef __GLIBC__
	mallopt(M_MMAP_THRESHOLD, LARGE_ALLOCATION);
	mallopt(M_TRIM_THRESHOLD, KEPT_MEMORY);
#endif
}

/* Make the memory that lasts as long as the process. */
void
sp_feed_init(void)
{
	if (sp_feed.context != NULL)
		return;
	tune_allocator();
	sp_feed.context = AllocSetContextCreate(TopMemoryContext, "streamproc feed",
											ALLOCSET_DEFAULT_SIZES);
}

/* Acquire the slot, unless it was just created. */
static void
acquire_slot(void)
{
	const char *name = sp_slot_name();
	SpSlotInfo	info;

	if (MyReplicationSlot == NULL)
		sp_compat_slot_acquire(name);

	info = sp_slot_inspect(name);
	if (!info.ours)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("replication slot \"%s\" belongs to another database or output plugin",
						name),
				 errhint("Drop it with pg_drop_replication_slot().")));
	if (info.lost)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("replication slot \"%s\" has lost the WAL that it needs", name),
				 errhint("Drop it with pg_drop_replication_slot(), and raise "
						 "max_slot_wal_keep_size.")));
}

/*
 * Make the decoding context in a transaction: see slot.c.  What callbacks can't look up,
 * our origin and the key of messages, is looked up before.
 */
static void
create_context(XLogRecPtr start_lsn)
{
	StartTransactionCommand();
	(void) sp_secret_get();
	sp_feed.origin = replorigin_by_name(sp_slot_name(), true);
	MemoryContextSwitchTo(sp_feed.context);
	logical = CreateDecodingContext(start_lsn, NIL, false, sp_decode_reader_routine(),
									NULL, NULL, NULL);
	CommitTransactionCommand();
	MemoryContextSwitchTo(sp_feed.context);
}

/* Start to decode: commits that begin at or after start_lsn. */
void
sp_decode_open(XLogRecPtr start_lsn, SpIsSource is_source)
{
	static bool is_registered = false;
	MemoryContext old = CurrentMemoryContext;
	XLogRecPtr	confirmed;

	sp_feed_init();
	if (!is_registered)
	{
		CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
		RegisterXactCallback(transaction_ended, NULL);
		is_registered = true;
	}

	acquire_slot();
	confirmed = MyReplicationSlot->data.confirmed_flush;
	if (XLogRecPtrIsInvalid(start_lsn))
		start_lsn = confirmed;
	if (start_lsn < confirmed)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot decode from %X/%X: replication slot \"%s\" begins at %X/%X",
						LSN_FORMAT_ARGS(start_lsn), sp_slot_name(),
						LSN_FORMAT_ARGS(confirmed))));

	sp_feed.is_source = is_source;
	sp_feed.is_open = true;
	dlist_init(&sp_feed.events);
	create_context(start_lsn);
	sp_feed.reader = logical->reader;
	XLogBeginRead(logical->reader, MyReplicationSlot->data.restart_lsn);

	start_position = start_lsn;
	read_position = MyReplicationSlot->data.restart_lsn;
	catalog_upto = GetXLogInsertRecPtr();
	sp_source_forget();
	MemoryContextSwitchTo(old);
}

/* Stop decoding and release the slot. */
void
sp_decode_close(void)
{
	while (!dlist_is_empty(&sp_feed.events))
		sp_event_free(dlist_container(SpEvent, node, dlist_pop_head_node(&sp_feed.events)));
	sp_feed.nevents = 0;
	sp_feed.definitions_changed = false;

	if (logical != NULL)
		FreeDecodingContext(logical);
	logical = NULL;
	sp_feed.reader = NULL;
	sp_feed.is_open = false;
	sp_plugin_reset();
	sp_source_reset();
	if (MyReplicationSlot != NULL)
		ReplicationSlotRelease();
}

/* ---- the loop ---- */

/* Decode one record; false when there is none. */
static bool
decode_record(void)
{
	char	   *error = NULL;

	sp_feed.end_of_wal = false;
	if (XLogReadRecord(logical->reader, &error) == NULL)
	{
		if (error != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("could not read WAL at %X/%X: %s",
							LSN_FORMAT_ARGS(logical->reader->EndRecPtr), error)));
		if (!sp_feed.end_of_wal)
			elog(ERROR, "could not read WAL at %X/%X",
				 LSN_FORMAT_ARGS(logical->reader->EndRecPtr));
		return false;
	}
	LogicalDecodingProcessRecord(logical, logical->reader);
	MemoryContextSwitchTo(sp_feed.context);
	read_position = logical->reader->EndRecPtr;
	return true;
}

/* Has enough been decoded to return? */
static bool
is_enough(XLogRecPtr begun_at, Size max_wal)
{
	if (read_position - begun_at >= max_wal)
		return true;
	if (sp_feed.nevents == 0)
		return false;

	/* What comes behind new definitions must be decoded by them. */
	if (sp_feed.definitions_changed || !catalogs_are_ahead())
		return true;
	return sp_feed.nevents >= AHEAD_EVENTS || read_position - begun_at >= AHEAD_WAL;
}

/* Decode until there is an event; false when all flushed WAL has been read. */
static bool
decode_some(Size max_wal)
{
	XLogRecPtr	begun_at = read_position;
	bool		more = true;

	enter_decoding();
	do
	{
		CHECK_FOR_INTERRUPTS();
		more = decode_record();
	} while (more && !is_enough(begun_at, max_wal));
	leave_decoding(read_position != begun_at);
	return more;
}

/* The next event. */
SpEvent *
sp_decode_next(Size max_wal, bool *more)
{
	MemoryContext old = MemoryContextSwitchTo(sp_feed.context);
	SpEvent    *event = NULL;

	*more = true;
	if (sp_feed.nevents == 0)
		*more = decode_some(max_wal);

	if (sp_feed.nevents > 0)
	{
		event = dlist_container(SpEvent, node, dlist_pop_head_node(&sp_feed.events));
		if (--sp_feed.nevents == 0)
			sp_feed.definitions_changed = false;
		*more = true;
		start_position = Max(start_position, event->end_lsn);
	}
	MemoryContextSwitchTo(old);
	return event;
}

/* Everything before it has been returned as events. */
XLogRecPtr
sp_decode_position(void)
{
	/* Events wait: then the end of the last one returned. */
	return sp_feed.nevents > 0 ? start_position : Max(start_position, read_position);
}

/* lsn is durable: WAL that only earlier commits need may go. */
void
sp_decode_confirm(XLogRecPtr lsn)
{
	if (lsn <= MyReplicationSlot->data.confirmed_flush)
		return;
	LogicalConfirmReceivedLocation(lsn);
	ReplicationSlotMarkDirty();
	ReplicationSlotSave();
}

/* The set of sources changed. */
void
sp_decode_sources_changed(void)
{
	sp_source_forget();
}
