/*
 * plugin.c
 *	  The output plugin: from the callbacks of logical decoding to events.
 *
 * A transaction's rows are copied into chunks and those into its spool, whether it is
 * decoded at its commit (begin, change, commit) or streamed while it runs (stream_*);
 * the two ways differ only in that streamed rows may still be aborted.  Chunks under
 * construction (build.c) are closed before anything else that has an order is added, and
 * when callbacks for their transaction end.
 *
 * In a callback a historic snapshot is active, in a transaction that is going to be
 * aborted: nothing is done here but looking up relations and copying to memory of our
 * own.  When a transaction that is being streamed aborts meanwhile, looking into the
 * catalogs raises an error that the reorder buffer catches; it then calls stream_stop.
 * So state must be consistent wherever an error may leave.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "lib/stringinfo.h"
#include "replication/logical.h"
#include "replication/origin.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/setting.h"
#include "catalog/message.h"
#include "feed/feed.h"

#define REFUSAL_LOG_MS			60000

PGDLLEXPORT void _PG_output_plugin_init(OutputPluginCallbacks *callbacks);

/* Changes other than INSERT, by one subtransaction. */
typedef struct OtherChange
{
	TransactionId xid;
	SpOtherChanges counts;
} OtherChange;

/* A transaction that wrote something of interest; its ReorderBufferTXN points to it. */
typedef struct Transaction
{
	dlist_node	node;			/* in transactions */
	SpSpool    *spool;			/* NULL: no rows yet */
	SpSpool    *settings;		/* NULL: none yet */
	bool		definitions_changed;
	OtherChange *others;		/* in the order of arrival */
	int			nothers;
	int			others_allocated;
	TransactionId *aborted;		/* subtransactions whose others don't count */
	int			naborted;
	int			aborted_allocated;
} Transaction;

static dlist_head transactions = DLIST_STATIC_INIT(transactions);

/* Messages that claim to be ours and aren't, or can't be used. */
static uint64 refused = 0;
static uint64 refused_logged = 0;
static TimestampTz refused_logged_at = 0;

/* ---- transactions ---- */

/* Our part of a transaction, made when it is first needed. */
static Transaction *
get_transaction(ReorderBufferTXN *txn)
{
	Transaction *transaction = txn->output_plugin_private;

	if (transaction == NULL)
	{
		transaction = MemoryContextAllocZero(sp_feed.context, sizeof(Transaction));
		dlist_push_tail(&transactions, &transaction->node);
		txn->output_plugin_private = transaction;
	}
	return transaction;
}

/* The spool of a transaction, made when it is first needed. */
static SpSpool *
get_spool(Transaction *transaction)
{
	if (transaction->spool == NULL)
		transaction->spool = sp_spool_create();
	return transaction->spool;
}

/* Forget a transaction, its spool included unless that was taken. */
static void
free_transaction(Transaction *transaction)
{
	if (transaction->spool != NULL)
	{
		sp_build_forget(transaction->spool);
		sp_spool_free(transaction->spool);
	}
	if (transaction->settings != NULL)
		sp_spool_free(transaction->settings);
	if (transaction->others != NULL)
		pfree(transaction->others);
	if (transaction->aborted != NULL)
		pfree(transaction->aborted);
	dlist_delete(&transaction->node);
	pfree(transaction);
}

/* Give back what belongs to unfinished transactions. */
void
sp_plugin_reset(void)
{
	while (!dlist_is_empty(&transactions))
		free_transaction(dlist_head_element(Transaction, node, &transactions));
}

/* Room for one more element in an array of the worker's lifetime. */
static void *
reserve_element(void *array, int used, int *allocated, Size size)
{
	if (used < *allocated)
		return array;
	*allocated = Max(*allocated * 2, 4);
	if (array == NULL)
		return MemoryContextAllocHuge(sp_feed.context, mul_size(*allocated, size));
	return repalloc_huge(array, mul_size(*allocated, size));
}

/* ---- changes other than rows ---- */

/* Count a change of a source. */
static void
count_other(ReorderBufferTXN *txn, TransactionId xid, Oid source, ReorderBufferChangeType action)
{
	Transaction *transaction = get_transaction(txn);
	OtherChange *other = NULL;

	if (transaction->nothers > 0)
		other = &transaction->others[transaction->nothers - 1];
	if (other == NULL || other->xid != xid || other->counts.source != source)
	{
		transaction->others = reserve_element(transaction->others, transaction->nothers,
											  &transaction->others_allocated,
											  sizeof(OtherChange));
		other = &transaction->others[transaction->nothers++];
		memset(other, 0, sizeof(OtherChange));
		other->xid = xid;
		other->counts.source = source;
	}
	if (action == REORDER_BUFFER_CHANGE_UPDATE)
		other->counts.updates++;
	else if (action == REORDER_BUFFER_CHANGE_DELETE)
		other->counts.deletes++;
	else
		other->counts.truncates++;
}

/* Order of transaction ids as numbers: only equality counts. */
static int
compare_xids(const void *a, const void *b)
{
	TransactionId x = *(const TransactionId *) a;
	TransactionId y = *(const TransactionId *) b;

	return x < y ? -1 : x > y;
}

/* Order of changes by source. */
static int
compare_sources(const void *a, const void *b)
{
	Oid			x = ((const OtherChange *) a)->counts.source;
	Oid			y = ((const OtherChange *) b)->counts.source;

	return x < y ? -1 : x > y;
}

/* Sum up a transaction's other changes by source, without the aborted ones. */
static void
sum_others(Transaction *transaction, SpEvent *event)
{
	qsort(transaction->aborted, transaction->naborted, sizeof(TransactionId), compare_xids);
	qsort(transaction->others, transaction->nothers, sizeof(OtherChange), compare_sources);

	for (int i = 0; i < transaction->nothers; i++)
	{
		const OtherChange *from = &transaction->others[i];
		SpOtherChanges *to;

		if (transaction->naborted > 0 &&
			bsearch(&from->xid, transaction->aborted, transaction->naborted,
					sizeof(TransactionId), compare_xids) != NULL)
			continue;
		if (event->nother == 0 ||
			event->other[event->nother - 1].source != from->counts.source)
		{
			if (event->other == NULL)
				event->other = MemoryContextAllocHuge(sp_feed.context,
													  transaction->nothers *
													  sizeof(SpOtherChanges));
			event->other[event->nother++] = from->counts;
			continue;
		}
		to = &event->other[event->nother - 1];
		to->updates += from->counts.updates;
		to->deletes += from->counts.deletes;
		to->truncates += from->counts.truncates;
	}
}

/* ---- messages ---- */

/* Count a message that can't be used; say so in the log now and then. */
static void
refuse_message(const char *reason, Oid relid)
{
	TimestampTz now = GetCurrentTimestamp();

	refused++;
	if (refused_logged_at != 0 &&
		!TimestampDifferenceExceeds(refused_logged_at, now, REFUSAL_LOG_MS))
		return;

	ereport(LOG,
			(errmsg("ignored %llu messages in the WAL that bear the prefix \"%s\"",
					(unsigned long long) (refused - refused_logged), SP_MESSAGE_PREFIX),
			 OidIsValid(relid) ?
			 errdetail("The last one, for relation %u: %s.", relid, reason) :
			 errdetail("The last one: %s.", reason)));
	refused_logged = refused;
	refused_logged_at = now;
}

/* The shape of a stream table if it has this hash, else NULL. */
static SpShape *
find_shape(Relation relation, uint32 hash)
{
	SpShape    *shape = sp_source_shape(sp_source_find(relation), relation);

	if (shape->hash == hash)
		return shape;

	/* Rows would be lost: be sure that the descriptor isn't of another time. */
	InvalidateSystemCaches();
	shape = sp_source_shape(sp_source_find(relation), relation);
	return shape->hash == hash ? shape : NULL;
}

/* Add a chunk that a stream table's writer made; it stands at a MAXALIGNed address. */
static void
add_chunk(ReorderBufferTXN *txn, const SpChunk *chunk, Size size)
{
	Relation	relation;
	SpShape    *shape;
	const char *reason;

	if (size < sizeof(SpChunk))
	{
		refuse_message("it is too short", InvalidOid);
		return;
	}
	relation = RelationIdGetRelation(chunk->relid);
	if (!RelationIsValid(relation))
	{
		refuse_message("there is no such relation", chunk->relid);
		return;
	}

	shape = find_shape(relation, chunk->shape_hash);
	reason = shape == NULL ? "it was written under another definition of the table" :
		sp_chunk_check(chunk, size, shape->desc);
	if (reason == NULL && chunk->sequence == SP_CHUNK_UNSEQUENCED)
		reason = "it has no sequence number";
	if (reason != NULL)
		refuse_message(reason, chunk->relid);
	else
		sp_spool_add_as(get_spool(get_transaction(txn)), chunk, chunk->relid, shape->id);
	RelationClose(relation);
}

/* Add what is set for a key of a detector; it stands at a MAXALIGNed address. */
static void
add_setting(ReorderBufferTXN *txn, const SpSetting *setting, Size size)
{
	Transaction *transaction = get_transaction(txn);
	const char *reason = sp_setting_check(setting, size);

	if (reason != NULL)
	{
		refuse_message(reason, InvalidOid);
		return;
	}
	if (transaction->settings == NULL)
		transaction->settings = sp_spool_create();
	sp_spool_add(transaction->settings, &setting->chunk);
}

/* The clock, as the worker wrote it to the WAL. */
static void
add_tick(const char *data, Size size)
{
	SpTick		tick;
	SpEvent    *event;

	if (size != sizeof(SpTick))
	{
		refuse_message("a tick of the wrong size", InvalidOid);
		return;
	}
	memcpy(&tick, data, sizeof(tick));

	event = sp_event_create(SP_EVENT_TICK);
	event->lsn = sp_feed.reader->ReadRecPtr;
	event->end_lsn = sp_feed.reader->EndRecPtr;
	event->tick_source = tick.source;
	event->tick_time = tick.time;
	event->tick_max_time = tick.max_time;
	dlist_push_tail(&sp_feed.events, &event->node);
	sp_feed.nevents++;
}

/* What a shield has refused. */
static void
add_report(const char *data, Size size)
{
	SpEvent    *event = sp_event_create(SP_EVENT_REPORT);

	event->lsn = sp_feed.reader->ReadRecPtr;
	event->end_lsn = sp_feed.reader->EndRecPtr;
	sp_event_set_report(event, data, size);
	dlist_push_tail(&sp_feed.events, &event->node);
	sp_feed.nevents++;
}

/* Add a chunk, of rows or with a setting. */
static void
add_aligned(ReorderBufferTXN *txn, int kind, const void *data, Size size)
{
	if (kind == SP_MESSAGE_CHUNK)
		add_chunk(txn, data, size);
	else
		add_setting(txn, data, size);
}

/* The same of bytes at any address. */
static void
add_bytes(ReorderBufferTXN *txn, int kind, const char *data, Size size)
{
	char	   *copy;

	if (data == (const char *) MAXALIGN(data))
	{
		add_aligned(txn, kind, data, size);
		return;
	}
	copy = MemoryContextAllocHuge(CurrentMemoryContext, Max(size, 1));
	memcpy(copy, data, size);
	add_aligned(txn, kind, copy, size);
	pfree(copy);
}

/* A message, in a running or committed transaction or in none. */
static void
message_cb(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr lsn,
		   bool transactional, const char *prefix, Size size, const char *data)
{
	const char *payload = data + sizeof(SpMessage);
	Size		payload_size = size - sizeof(SpMessage);
	int			kind;

	if (strcmp(prefix, SP_MESSAGE_PREFIX) != 0)
		return;

	/* txn is the top transaction, whatever subtransaction wrote the message. */
	kind = sp_message_check(data, size, transactional ? txn->xid : InvalidTransactionId);
	if (transactional && (kind == SP_MESSAGE_CHUNK || kind == SP_MESSAGE_SETTING))
	{
		sp_build_close();
		add_bytes(txn, kind, payload, payload_size);
	}
	else if (transactional && kind == SP_MESSAGE_CONTROL)
		get_transaction(txn)->definitions_changed = true;
	else if (!transactional && kind == SP_MESSAGE_TICK)
		add_tick(payload, payload_size);
	else if (!transactional && kind == SP_MESSAGE_REPORT)
		add_report(payload, payload_size);
	else
		refuse_message("it was not written by this extension", InvalidOid);
}

/* ---- callbacks ---- */

/* Somebody attaches the plugin: only our own decoder may. */
static void
startup_cb(LogicalDecodingContext *ctx, OutputPluginOptions *options, bool is_init)
{
	if (!sp_feed.is_open)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("output plugin \"%s\" can only be used by the streamproc worker",
						SP_PLUGIN_NAME)));
	options->output_type = OUTPUT_PLUGIN_BINARY_OUTPUT;
}

/* Is this our own worker's writing? */
static bool
filter_by_origin_cb(LogicalDecodingContext *ctx, RepOriginId origin_id)
{
	return origin_id != InvalidRepOriginId &&
		(origin_id == sp_feed.origin || origin_id == replorigin_session_origin ||
		 origin_id == DoNotReplicateId);
}

/* A transaction, or a part of a running one, begins. */
static void
begin_cb(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	sp_build_close();
}

/* The last relation looked up, while nothing changes. */
static inline const SpFeedRelation *
find_relation(Relation relation)
{
	static const SpFeedRelation *last = NULL;
	static uint64 last_generation = 0;

	if (likely(last_generation == sp_source_generation && last->relid == relation->rd_id))
		return last;

	last_generation = 0;
	last = sp_source_find(relation);

	/* Finding it may have brought news. */
	if (last->generation == sp_source_generation)
		last_generation = sp_source_generation;
	return last;
}

/* An UPDATE or DELETE. */
static void
retract_row(ReorderBufferTXN *txn, const SpFeedRelation *entry, ReorderBufferChange *change)
{
	SpSpool    *spool = get_spool(get_transaction(txn));
	HeapTuple	old = sp_compat_old_tuple(change);
	HeapTuple	new = sp_compat_new_tuple(change);

	if (change->action == REORDER_BUFFER_CHANGE_DELETE)
		sp_build_delete(spool, entry, change->txn->xid, old);
	else if (change->action == REORDER_BUFFER_CHANGE_UPDATE && new != NULL)
		sp_build_update(spool, entry, change->txn->xid, old, new);
}

/* A row was written. */
static void
change_cb(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, Relation relation,
		  ReorderBufferChange *change)
{
	const SpFeedRelation *entry = find_relation(relation);

	if (entry->nsources == 0)
		return;
	if (likely(change->action == REORDER_BUFFER_CHANGE_INSERT))
	{
		HeapTuple	tuple = sp_compat_new_tuple(change);

		if (likely(tuple != NULL))
			sp_build_insert(get_spool(get_transaction(txn)), entry, change->txn->xid, tuple);
		return;
	}
	for (int i = 0; i < entry->nsources; i++)
		count_other(txn, change->txn->xid, entry->sources[i].relid, change->action);
	if (entry->retracts)
		retract_row(txn, entry, change);
}

/* Is a relation among those that are truncated? */
static bool
is_among(Oid relid, int nrelations, Relation relations[])
{
	for (int i = 0; i < nrelations; i++)
		if (RelationGetRelid(relations[i]) == relid)
			return true;
	return false;
}

/*
 * Relations were truncated: one change of each source among them, or above them.  Which rows
 * a part of a source had is not known.
 */
static void
truncate_cb(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, int nrelations,
			Relation relations[], ReorderBufferChange *change)
{
	List	   *counted = NIL;

	for (int i = 0; i < nrelations; i++)
	{
		const SpFeedRelation *entry = sp_source_find(relations[i]);

		for (int j = 0; j < entry->nsources; j++)
		{
			Oid			source = entry->sources[j].relid;

			if (list_member_oid(counted, source))
				continue;
			counted = lappend_oid(counted, source);
			count_other(txn, change->txn->xid, source, change->action);
			if (entry->sources[j].retracts)
				sp_build_truncate(get_spool(get_transaction(txn)),
								  is_among(source, nrelations, relations) ? source : entry->relid,
								  change->txn->xid, source);
		}
	}
	list_free(counted);
}

/* The transaction committed: make it an event, if it has anything of interest. */
static void
commit_cb(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr commit_lsn)
{
	Transaction *transaction = txn->output_plugin_private;
	SpEvent    *event;

	sp_build_close();
	if (transaction == NULL)
		return;

	event = sp_event_create(SP_EVENT_COMMIT);
	event->lsn = commit_lsn;
	event->end_lsn = txn->end_lsn;
	event->xid = txn->xid;
	event->commit_time = txn->xact_time.commit_time;
	event->definitions_changed = transaction->definitions_changed;
	if (transaction->spool != NULL && sp_spool_rows(transaction->spool) > 0)
	{
		event->spool = transaction->spool;
		transaction->spool = NULL;
		sp_spool_rewind(event->spool);
	}
	if (transaction->settings != NULL && sp_spool_rows(transaction->settings) > 0)
	{
		event->settings = transaction->settings;
		transaction->settings = NULL;
	}
	if (transaction->nothers > 0)
		sum_others(transaction, event);

	txn->output_plugin_private = NULL;
	free_transaction(transaction);

	if (event->spool == NULL && event->settings == NULL && event->nother == 0 &&
		!event->definitions_changed)
	{
		sp_event_free(event);
		return;
	}
	dlist_push_tail(&sp_feed.events, &event->node);
	sp_feed.nevents++;
	sp_feed.definitions_changed |= event->definitions_changed;
}

/* The callbacks for this part of a running transaction end. */
static void
stream_stop_cb(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	sp_build_close();
}

/* A running transaction, or a subtransaction of it, aborted. */
static void
stream_abort_cb(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr abort_lsn)
{
	ReorderBufferTXN *top = txn->toptxn != NULL ? txn->toptxn : txn;
	Transaction *transaction = top->output_plugin_private;

	sp_build_close();
	if (transaction == NULL)
		return;
	if (txn == top)
	{
		top->output_plugin_private = NULL;
		free_transaction(transaction);
		return;
	}
	if (transaction->spool != NULL)
		sp_spool_abort(transaction->spool, txn->xid);
	if (transaction->settings != NULL)
		sp_spool_abort(transaction->settings, txn->xid);
	if (transaction->nothers > 0)
	{
		transaction->aborted = reserve_element(transaction->aborted, transaction->naborted,
											   &transaction->aborted_allocated,
											   sizeof(TransactionId));
		transaction->aborted[transaction->naborted++] = txn->xid;
	}
}

/* Called by the server when it loads the library as an output plugin. */
void
_PG_output_plugin_init(OutputPluginCallbacks *callbacks)
{
	callbacks->startup_cb = startup_cb;
	callbacks->begin_cb = begin_cb;
	callbacks->change_cb = change_cb;
	callbacks->truncate_cb = truncate_cb;
	callbacks->commit_cb = commit_cb;
	callbacks->message_cb = message_cb;
	callbacks->filter_by_origin_cb = filter_by_origin_cb;

	/*
	 * No callbacks for PREPARE: a prepared transaction is decoded, or committed if it
	 * was streamed, at its COMMIT PREPARED.
	 */
	callbacks->stream_start_cb = begin_cb;
	callbacks->stream_stop_cb = stream_stop_cb;
	callbacks->stream_abort_cb = stream_abort_cb;
	callbacks->stream_commit_cb = commit_cb;
	callbacks->stream_change_cb = change_cb;
	callbacks->stream_message_cb = message_cb;
	callbacks->stream_truncate_cb = truncate_cb;
}
