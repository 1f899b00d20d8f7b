/*
 * secret.c
 *	  The key that authenticates this extension's messages in the WAL.
 *
 * Read without permission checks, for whoever inserts into a stream table signs with
 * it; SQL can't read it, for the table has row security, no policy and no grants.
 *
 * DROP EXTENSION sends an invalidation of the table's relcache entry; the next
 * one's table has another OID and another key.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "fmgr.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "catalog/secret.h"

static uint8 secret[SP_SIPHASH_KEY_SIZE];
static bool secret_known = false;	/* secret was read once */
static bool secret_current = false; /* and its table hasn't changed since */
static Oid	secret_relid = InvalidOid;

/* Relcache callback: the table may be another one now. */
static void
forget_secret(Datum arg, Oid relid)
{
	if (relid == secret_relid || !OidIsValid(relid))
		secret_current = false;
}

/* Read the key from the table; false when there is no table or no key in it. */
static bool
read_secret(Oid relid)
{
	Relation	rel = try_table_open(relid, AccessShareLock);
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	if (rel == NULL)
		return false;
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		key = heap_getattr(tuple, 1, RelationGetDescr(rel), &isnull);
		bytea	   *bytes = isnull ? NULL : DatumGetByteaPP(key);

		if (bytes != NULL && VARSIZE_ANY_EXHDR(bytes) == sizeof(secret))
		{
			memcpy(secret, VARDATA_ANY(bytes), sizeof(secret));
			found = true;
		}
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* The key, read again if need be. */
const uint8_t *
sp_secret_get(void)
{
	static bool registered = false;
	bool		can_read;

	if (likely(secret_current))
		return secret;

	can_read = IsTransactionState() && !HistoricSnapshotActive();
	if (!can_read && !secret_known)
		elog(ERROR, "the key of stream messages must be read before decoding");
	if (can_read)
	{
		Oid			schema = get_namespace_oid("streamproc", true);
		Oid			relid = OidIsValid(schema) ? get_relname_relid("secret", schema) : InvalidOid;

		if (!registered)
		{
			CacheRegisterRelcacheCallback(forget_secret, (Datum) 0);
			registered = true;
		}
		if (OidIsValid(relid) && read_secret(relid))
		{
			secret_relid = relid;
			secret_known = true;
			secret_current = true;
		}
	}

	/*
	 * A transaction that drops the extension may still have rows to write: they are signed
	 * with the key that goes.
	 */
	if (!secret_known)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the key of this database's stream messages is missing"),
				 errdetail("Table streamproc.secret must hold one row with a key of %d bytes.",
						   SP_SIPHASH_KEY_SIZE),
				 errhint("Execute: INSERT INTO streamproc.secret VALUES (streamproc.random_key())")));
	return secret;
}

PG_FUNCTION_INFO_V1(sp_random_key);

/* A new key: random_key(). */
Datum
sp_random_key(PG_FUNCTION_ARGS)
{
	bytea	   *key = palloc(VARHDRSZ + SP_SIPHASH_KEY_SIZE);

	SET_VARSIZE(key, VARHDRSZ + SP_SIPHASH_KEY_SIZE);
	if (!pg_strong_random(VARDATA(key), SP_SIPHASH_KEY_SIZE))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a random key")));
	PG_RETURN_BYTEA_P(key);
}
