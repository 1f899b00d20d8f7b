/*
 * message.c
 *	  Our logical messages in the WAL: written, signed, and checked when read back.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "replication/message.h"
#include "replication/origin.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "base/setting.h"
#include "catalog/message.h"
#include "catalog/secret.h"

/* The hash of a message: header with the mac zeroed, then payload. */
static uint64
compute_mac(const SpMessage *header, const char *payload)
{
	SpMessage	unsigned_header = *header;
	SpSipHash	hash;

	unsigned_header.mac = 0;
	sp_siphash_init(&hash, sp_secret_get());
	sp_siphash_update(&hash, &unsigned_header, sizeof(unsigned_header));
	return sp_siphash_final(&hash, payload, header->size - sizeof(SpMessage));
}

/* Fill in a header, but for the mac. */
void
sp_message_init(SpMessage *message, SpMessageKind kind, Size size, TransactionId xid)
{
	memset(message, 0, sizeof(SpMessage));
	message->magic = SP_MESSAGE_MAGIC;
	message->version = 1;
	message->kind = kind;
	message->size = size;
	message->xid = xid;
	message->database = MyDatabaseId;
}

/*
 * Sign a message and write it.  It carries no origin, for the worker must read back
 * its own; a transactional one needs a commit without our origin all the same.
 */
XLogRecPtr
sp_message_emit(SpMessage *message, bool transactional)
{
	RepOriginId origin = replorigin_session_origin;
	XLogRecPtr	lsn;

	message->mac = compute_mac(message, (const char *) (message + 1));

	PG_TRY();
	{
		replorigin_session_origin = InvalidRepOriginId;
		lsn = sp_compat_log_message(SP_MESSAGE_PREFIX, (const char *) message, message->size,
									transactional);
	}
	PG_FINALLY();
	{
		replorigin_session_origin = origin;
	}
	PG_END_TRY();
	return lsn;
}

/* Definitions changed: tell the worker at our commit, and every session's cache. */
void
sp_message_control(void)
{
	Oid			schema = get_namespace_oid("streamproc", false);
	Oid			streams = get_relname_relid("stream", schema);
	SpMessage	message;

	sp_message_init(&message, SP_MESSAGE_CONTROL, sizeof(message), GetTopTransactionId());
	sp_message_emit(&message, true);

	/* Sessions remember which stream tables feed something until this. */
	CacheInvalidateRelcacheByRelid(streams);
}

/* What is set for a key of a detector. */
void
sp_message_setting(SpMessage *message, Size size)
{
	SpSetting  *setting = (SpSetting *) (message + 1);

	memset(&setting->chunk, 0, sizeof(SpChunk));
	setting->chunk.magic = SP_CHUNK_SETTING;
	setting->chunk.size = size;
	setting->chunk.xid = GetCurrentTransactionId();
	setting->chunk.sequence = SP_CHUNK_UNSEQUENCED;
	setting->chunk.nrows = 1;
	sp_message_init(message, SP_MESSAGE_SETTING, sizeof(SpMessage) + size, GetTopTransactionId());
	sp_message_emit(message, true);
}

/* Write the worker's clock; it isn't flushed. */
XLogRecPtr
sp_message_tick(Oid source, TimestampTz time, int64 max_time)
{
	struct
	{
		SpMessage	header;
		SpTick		tick;
	}			message;

	memset(&message.tick, 0, sizeof(message.tick));
	message.tick.source = source;
	message.tick.time = time;
	message.tick.max_time = max_time;
	sp_message_init(&message.header, SP_MESSAGE_TICK, sizeof(message), InvalidTransactionId);
	return sp_message_emit(&message.header, false);
}

/* May a message of this kind have this size and transaction? */
static bool
is_plausible(const SpMessage *header)
{
	switch (header->kind)
	{
		case SP_MESSAGE_CHUNK:
			return header->size >= sizeof(SpMessage) + sizeof(SpChunk) &&
				TransactionIdIsValid(header->xid);
		case SP_MESSAGE_CONTROL:
			return header->size == sizeof(SpMessage) && TransactionIdIsValid(header->xid);
		case SP_MESSAGE_SETTING:
			return header->size >= sizeof(SpMessage) + sizeof(SpSetting) &&
				TransactionIdIsValid(header->xid);
		case SP_MESSAGE_TICK:
			return header->size == sizeof(SpMessage) + sizeof(SpTick) &&
				!TransactionIdIsValid(header->xid);
		case SP_MESSAGE_REPORT:
			return header->size >= sizeof(SpMessage) + sizeof(SpReport) &&
				!TransactionIdIsValid(header->xid);
		default:
			return false;
	}
}

/* The kind of a message of ours; 0 for what anybody else wrote. */
int
sp_message_check(const char *data, Size size, TransactionId xid)
{
	SpMessage	header;

	if (size < sizeof(header))
		return 0;
	memcpy(&header, data, sizeof(header));
	if (header.magic != SP_MESSAGE_MAGIC || header.version != 1 || header.unused != 0 ||
		header.size != size || header.xid != xid || header.database != MyDatabaseId ||
		!is_plausible(&header))
		return 0;
	return header.mac == compute_mac(&header, data + sizeof(header)) ? header.kind : 0;
}
