/*
 * server_message.c
 *	  What catalog/message.c asks the server for: the database, its key, the transaction, and
 *	  the WAL, where a message is only handed to whoever is set to receive it.
 *
 * LogLogicalMessage() has one more argument in later versions, which isn't looked at: the
 * header that has its prototype is not included.
 */
#include "server.h"

#include "catalog/namespace.h"
#include "miscadmin.h"
#include "replication/origin.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "catalog/secret.h"
#include "server_message.h"

#include "fuzz.h"

extern XLogRecPtr LogLogicalMessage(const char *prefix, const char *message, size_t size,
									bool transactional);

const uint8 server_key[SP_SIPHASH_KEY_SIZE] = {
	0x73, 0x6f, 0x6d, 0x65, 0x20, 0x6b, 0x65, 0x79, 0xff, 0x00, 0x80, 0x01, 0x7f, 0xfe, 0x10, 0x02
};

Oid			MyDatabaseId = 5;
RepOriginId replorigin_session_origin = InvalidRepOriginId;
TransactionId server_top_xid = FirstNormalTransactionId;
void		(*server_receive) (const char *prefix, const char *message, Size size,
							   bool transactional) = NULL;

const uint8_t *
sp_secret_get(void)
{
	return server_key;
}

TransactionId
GetTopTransactionId(void)
{
	return server_top_xid;
}

/* Not where a target knows of subtransactions. */
extern TransactionId GetCurrentTransactionId(void) __attribute__((weak));

TransactionId
GetCurrentTransactionId(void)
{
	return server_top_xid;
}

XLogRecPtr
LogLogicalMessage(const char *prefix, const char *message, size_t size, bool transactional)
{
	/* The worker must read back its own messages. */
	demand(replorigin_session_origin == InvalidRepOriginId);
	server_receive(prefix, message, size, transactional);
	return 1;
}

/* There is no table streamproc.stream: nothing reads what is written. */
Oid
get_namespace_oid(const char *nspname, bool missing_ok)
{
	return missing_ok ? InvalidOid : 2200;
}

Oid
get_relname_relid(const char *relname, Oid relnamespace)
{
	return 2201;
}

void
CacheInvalidateRelcacheByRelid(Oid relid)
{
	demand(relid == 2201);
}
