/*
 * origin.c
 *	  Finds, sets up and removes the replication origins named after databases.
 *
 * The first create_stream in a database creates its origin, in its own
 * transaction; since pg_replication_origin is a shared catalog, a process that is
 * connected to no database can tell from it where streams are.  Such a process has
 * no pg_class, though, and pg_replication_origin is not one of the few relations
 * whose descriptors it has built in.  So its pages are read directly, as CREATE
 * DATABASE reads those of its template's pg_class.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "catalog/pg_replication_origin.h"
#include "catalog/pg_tablespace_d.h"
#include "miscadmin.h"
#include "replication/origin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/smgr.h"
#include "utils/builtins.h"
#include "utils/relmapper.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "catalog/definition.h"
#include "process/origin.h"

#define ORIGIN_PREFIX	"streamproc_"

/* The origin's name for a database. */
const char *
sp_origin_name(Oid dboid)
{
	static char name[NAMEDATALEN];

	snprintf(name, sizeof(name), ORIGIN_PREFIX "%u", dboid);
	return name;
}

/* The database an origin is named after, or InvalidOid when it isn't exactly ours. */
static Oid
parse_name(const char *name, int length)
{
	char		copy[NAMEDATALEN];
	Oid			dboid;

	if (length <= (int) strlen(ORIGIN_PREFIX) || length >= (int) sizeof(copy))
		return InvalidOid;
	memcpy(copy, name, length);
	copy[length] = '\0';
	if (strncmp(copy, ORIGIN_PREFIX, strlen(ORIGIN_PREFIX)) != 0)
		return InvalidOid;

	dboid = (Oid) strtoul(copy + strlen(ORIGIN_PREFIX), NULL, 10);
	return strcmp(copy, sp_origin_name(dboid)) == 0 ? dboid : InvalidOid;
}

/* Add the origin in a tuple to the list, when it is ours. */
static List *
add_origin(List *databases, HeapTupleHeader tuple)
{
	Form_pg_replication_origin form;
	SpOriginDatabase *database;
	text	   *name;
	Oid			dboid;

	form = (Form_pg_replication_origin) ((char *) tuple + tuple->t_hoff);
	name = &form->roname;
	if (VARATT_IS_EXTERNAL(name) || VARATT_IS_COMPRESSED(name))
		return databases;		/* far longer than ours */

	dboid = parse_name(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	if (!OidIsValid(dboid))
		return databases;

	database = palloc0(sizeof(SpOriginDatabase));
	database->dboid = dboid;
	return lappend(databases, database);
}

/* Add the visible origins of one page. */
static List *
scan_page(List *databases, Buffer buffer, Snapshot snapshot)
{
	Page		page = BufferGetPage(buffer);
	OffsetNumber last;

	if (PageIsNew(page) || PageIsEmpty(page))
		return databases;

	last = PageGetMaxOffsetNumber(page);
	for (OffsetNumber offset = FirstOffsetNumber; offset <= last; offset++)
	{
		ItemId		item = PageGetItemId(page, offset);
		HeapTupleData tuple;

		if (!ItemIdIsNormal(item))
			continue;
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple.t_len = ItemIdGetLength(item);
		tuple.t_tableOid = ReplicationOriginRelationId;
		ItemPointerSet(&tuple.t_self, BufferGetBlockNumber(buffer), offset);

		if (HeapTupleSatisfiesVisibility(&tuple, snapshot, buffer))
			databases = add_origin(databases, tuple.t_data);
	}
	return databases;
}

/* Our origins, without what is known of their databases. */
static List *
scan_origins(void)
{
	SpCompatFile	file;
	SMgrRelation smgr;
	BlockNumber nblocks;
	Snapshot	snapshot;
	List	   *databases = NIL;

	/* The lock also makes us see a rewrite of the catalog (VACUUM FULL). */
	LockRelationOid(ReplicationOriginRelationId, AccessShareLock);

	sp_compat_shared_file(&file, ReplicationOriginRelationId);
	smgr = smgropen(file, SP_COMPAT_NO_BACKEND);
	nblocks = smgrnblocks(smgr, MAIN_FORKNUM);
	smgrclose(smgr);

	snapshot = RegisterSnapshot(GetLatestSnapshot());
	for (BlockNumber block = 0; block < nblocks; block++)
	{
		Buffer		buffer;

		CHECK_FOR_INTERRUPTS();
		buffer = ReadBufferWithoutRelcache(file, MAIN_FORKNUM, block, RBM_NORMAL, NULL, true);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		databases = scan_page(databases, buffer, snapshot);
		UnlockReleaseBuffer(buffer);
	}
	UnregisterSnapshot(snapshot);
	UnlockRelationOid(ReplicationOriginRelationId, AccessShareLock);
	return databases;
}

/* Note what pg_database says of a database. */
static void
describe_database(SpOriginDatabase *database, Form_pg_database form)
{
	database->exists = true;
	database->connectable = form->datallowconn && !form->datistemplate &&
		form->datconnlimit != DATCONNLIMIT_INVALID_DB;
	database->name = form->datname;
}

/* Load our origins and what pg_database says of them. */
List *
sp_origin_load(Oid *any_database)
{
	List	   *databases = scan_origins();
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;

	*any_database = InvalidOid;
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		SpOriginDatabase described = {0};
		ListCell   *cell;

		described.dboid = form->oid;
		describe_database(&described, form);
		if (described.connectable)
			*any_database = form->oid;

		foreach(cell, databases)
		{
			SpOriginDatabase *database = lfirst(cell);

			if (database->dboid == form->oid)
				*database = described;
		}
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	return databases;
}

/* Look one database up. */
bool
sp_origin_database(Oid dboid, SpOriginDatabase *database)
{
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;

	memset(database, 0, sizeof(*database));
	database->dboid = dboid;

	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		if (form->oid == dboid)
			describe_database(database, form);
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	return database->exists;
}

/* Has this database an origin? */
bool
sp_origin_exists(void)
{
	return replorigin_by_name(sp_origin_name(MyDatabaseId), true) != InvalidRepOriginId;
}

/* Write under this database's origin from now on. */
void
sp_origin_setup(void)
{
	const char *name = sp_origin_name(MyDatabaseId);
	RepOriginId origin;

	StartTransactionCommand();
	origin = replorigin_by_name(name, true);
	if (origin == InvalidRepOriginId)
	{
		/* The first create_stream would have made one. */
		PushActiveSnapshot(GetTransactionSnapshot());
		sp_definition_detach_all("it was restored, or cloned with its database");
		PopActiveSnapshot();
		origin = replorigin_create(name);
	}
	CommitTransactionCommand();

	sp_compat_origin_setup(origin);
	replorigin_session_origin = origin;
	replorigin_session_origin_lsn = InvalidXLogRecPtr;
	replorigin_session_origin_timestamp = 0;
}

/* Stop writing under it; its removal is a transaction of its own. */
void
sp_origin_reset(bool drop)
{
	if (replorigin_session_origin != InvalidRepOriginId)
	{
		replorigin_session_origin = InvalidRepOriginId;
		replorigin_session_reset();
	}
	if (drop)
	{
		StartTransactionCommand();
		replorigin_drop_by_name(sp_origin_name(MyDatabaseId), true, false);
		CommitTransactionCommand();
	}
}

/* Remove the origins of databases that are gone. */
void
sp_origin_drop_orphans(void)
{
	Oid			any_database;
	List	   *databases = sp_origin_load(&any_database);
	ListCell   *cell;

	foreach(cell, databases)
	{
		SpOriginDatabase *database = lfirst(cell);

		if (database->exists)
			continue;
		replorigin_drop_by_name(sp_origin_name(database->dboid), true, true);
		ereport(LOG,
				(errmsg("dropped replication origin \"%s\": its database no longer exists",
						sp_origin_name(database->dboid))));
	}
}
