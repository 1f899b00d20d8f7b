/*
 * page.c
 *	  State pages: the durable form of windows' and detectors' memory.
 *
 * A page is stored as SpPageHeader and its bytes, cut into parts of at most PART_SIZE bytes,
 * a row each: two versions of a row fit into one heap page, so that writing it again needs
 * no index entry and leaves nothing for VACUUM, which is several times cheaper than a row
 * that must move.
 *
 * The process remembers where all rows of an object are from its first use on: a part
 * without an entry is new.  What is remembered may come from a transaction that failed: it
 * is a hint, checked by catalog/table.c.  An entry whose TID is invalid says "look it up".
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_authid_d.h"
#include "port/pg_crc32c.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "catalog/page.h"
#include "catalog/query.h"
#include "catalog/table.h"

#define PAGE_MAGIC		0x53505047	/* "SPPG" */
#define PAGE_VERSION	1
#define PART_SIZE		4000
#define ANY_PAGE		(-1)	/* an entry with this number: the object's rows are known */

typedef struct SpPageHeader
{
	uint32		magic;
	uint32		version;
	uint32		length;			/* of the bytes that follow */
	pg_crc32c	crc;			/* of object, page number and bytes */
} SpPageHeader;

StaticAssertDecl(sizeof(SpPageHeader) == 16, "SpPageHeader is stored");
StaticAssertDecl(SP_PAGE_BEST_SIZE + sizeof(SpPageHeader) == PART_SIZE, "one part");

/* A row's columns. */
enum
{
	PART_OBJECT,
	PART_PAGE,
	PART_PART,
	PART_DATA,
	PART_COLUMNS
};

typedef struct PartKey
{
	int32		object;
	int32		page;
	int32		part;
} PartKey;

typedef struct PartEntry
{
	PartKey		key;
	ItemPointerData tid;
} PartEntry;

static const AttrNumber part_keys[] = {PART_OBJECT + 1, PART_PAGE + 1, PART_PART + 1};

static HTAB *positions = NULL;	/* PartEntry */

/* Between begin and end, in the context of the (sub)transaction that began. */
static SpTable *pages = NULL;

/* The entry of a part, or NULL. */
static PartEntry *
find_entry(int32 object, int32 page, int32 part)
{
	PartKey		key = {object, page, part};

	return positions == NULL ? NULL : hash_search(positions, &key, HASH_FIND, NULL);
}

/* The entry of a part, made when there is none: then *found is false and its TID invalid. */
static PartEntry *
make_entry(int32 object, int32 page, int32 part, bool *found)
{
	PartKey		key = {object, page, part};
	PartEntry  *entry;

	if (positions == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(PartKey),.entrysize = sizeof(PartEntry)};

		ctl.hcxt = AllocSetContextCreate(TopMemoryContext, "streamproc state page positions",
										 ALLOCSET_DEFAULT_SIZES);
		positions = hash_create("streamproc state page positions", 1024, &ctl,
								HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(positions, &key, HASH_ENTER, found);
	if (!*found)
		ItemPointerSetInvalid(&entry->tid);
	return entry;
}

/* Forget where an object's pages are. */
static void
forget_entries(int32 object)
{
	HASH_SEQ_STATUS scan;
	PartEntry  *entry;

	if (positions == NULL)
		return;
	hash_seq_init(&scan, positions);
	while ((entry = hash_seq_search(&scan)) != NULL)
		if (entry->key.object == object)
			hash_search(positions, &entry->key, HASH_REMOVE, NULL);
}

static pg_crc32c
compute_crc(int32 object, int32 page, const char *data, Size size)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, &object, sizeof(object));
	COMP_CRC32C(crc, &page, sizeof(page));
	COMP_CRC32C(crc, data, size);
	FIN_CRC32C(crc);
	return crc;
}

/* Check a stored page; returns what is wrong with it, or NULL. */
static const char *
check_page(int32 object, int32 page, const char *stored, Size size)
{
	SpPageHeader header;

	if (size < sizeof(header))
		return "It is shorter than its header.";
	memcpy(&header, stored, sizeof(header));
	if (header.magic != PAGE_MAGIC)
		return "It does not begin like a state page.";
	if (header.version != PAGE_VERSION)
		return "It has a format that this version does not know.";
	if (header.length != size - sizeof(header))
		return "Its length is not what its header says.";
	if (!EQ_CRC32C(header.crc, compute_crc(object, page, stored + sizeof(header),
										   size - sizeof(header))))
		return "Its checksum is wrong.";
	return NULL;
}

/* A scan of an object's rows, in order. */
typedef struct PartScan
{
	SpTable    *table;
	Relation	rel;
	Relation	index;
	Snapshot	snapshot;
	SysScanDesc scan;
} PartScan;

/* Start one, as of now. */
static void
begin_scan(PartScan *scan, int32 object)
{
	ScanKeyData key;

	scan->table = sp_table_open_own("state_page", lengthof(part_keys), part_keys);
	scan->rel = sp_table_relation(scan->table);
	scan->index = index_open(sp_table_index(scan->table), RowExclusiveLock);
	scan->snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyInit(&key, PART_OBJECT + 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(object));
	scan->scan = systable_beginscan_ordered(scan->rel, scan->index, scan->snapshot, 1, &key);
}

/* The next row; false after the last.  Valid until the next call. */
static bool
next_part(PartScan *scan, Datum *values, ItemPointer tid)
{
	HeapTuple	tuple = systable_getnext_ordered(scan->scan, ForwardScanDirection);
	bool		nulls[PART_COLUMNS];

	if (tuple == NULL)
		return false;
	heap_deform_tuple(tuple, RelationGetDescr(scan->rel), values, nulls);
	*tid = tuple->t_self;
	return true;
}

static void
end_scan(PartScan *scan)
{
	systable_endscan_ordered(scan->scan);
	UnregisterSnapshot(scan->snapshot);
	index_close(scan->index, NoLock);
	sp_table_close(scan->table);
}

/* Remember where a part is. */
static void
note_part(const Datum *values, const ItemPointerData *tid)
{
	bool		found;
	PartEntry  *entry = make_entry(DatumGetInt32(values[PART_OBJECT]),
								   DatumGetInt32(values[PART_PAGE]),
								   DatumGetInt32(values[PART_PART]), &found);

	entry->tid = *tid;
}

/* Hand one page, put together from its parts, to the reader. */
static void
read_page(int32 object, int32 page, const StringInfoData *stored, SpPageReader reader, void *arg)
{
	const char *problem = check_page(object, page, stored->data, stored->len);
	Size		size;
	char	   *aligned;

	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("state page %d of object %d is damaged", page, object),
				 errdetail_internal("%s", problem),
				 errhint("CALL streamproc.replay() rebuilds the object from its source.")));
	size = stored->len - sizeof(SpPageHeader);
	aligned = palloc(size + 1);
	memcpy(aligned, stored->data + sizeof(SpPageHeader), size);
	aligned[size] = '\0';
	reader(page, aligned, size, arg);
}

/* Call reader for every page of the object. */
void
sp_page_load(int32 object, SpPageReader reader, void *arg)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "streamproc state page",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext oldcontext;
	PartScan	scan;
	StringInfoData stored;
	int32		page = ANY_PAGE;
	bool		more,
				found;

	forget_entries(object);
	initStringInfo(&stored);
	begin_scan(&scan, object);
	oldcontext = MemoryContextSwitchTo(context);
	do
	{
		Datum		values[PART_COLUMNS];
		ItemPointerData tid;

		/* the scan keeps what it allocates on the way */
		MemoryContextSwitchTo(oldcontext);
		more = next_part(&scan, values, &tid);
		MemoryContextSwitchTo(context);
		if (page != ANY_PAGE && (!more || DatumGetInt32(values[PART_PAGE]) != page))
		{
			read_page(object, page, &stored, reader, arg);
			resetStringInfo(&stored);
		}
		if (more)
		{
			struct varlena *data = PG_DETOAST_DATUM_PACKED(values[PART_DATA]);

			page = DatumGetInt32(values[PART_PAGE]);
			appendBinaryStringInfo(&stored, VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data));
			note_part(values, &tid);
		}
		MemoryContextReset(context);
	} while (more);
	MemoryContextSwitchTo(oldcontext);
	make_entry(object, ANY_PAGE, 0, &found);

	end_scan(&scan);
	pfree(stored.data);
	MemoryContextDelete(context);
}

/* Learn where the rows of an object are that was not loaded. */
static void
learn_parts(int32 object)
{
	PartScan	scan;
	Datum		values[PART_COLUMNS];
	ItemPointerData tid;
	bool		found;

	forget_entries(object);
	begin_scan(&scan, object);
	while (next_part(&scan, values, &tid))
		note_part(values, &tid);
	end_scan(&scan);
	make_entry(object, ANY_PAGE, 0, &found);
}

/* The (sub)transaction is over, perhaps by an error. */
static void
forget_writing(void *arg)
{
	if (pages == arg)
		pages = NULL;
}

/* Start writing pages. */
void
sp_page_begin(void)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(CurTransactionContext);
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));

	pages = sp_table_open_own("state_page", lengthof(part_keys), part_keys);
	callback->func = forget_writing;
	callback->arg = pages;
	MemoryContextRegisterResetCallback(CurTransactionContext, callback);
	MemoryContextSwitchTo(oldcontext);
}

/* Write one part: size bytes of a page, of which the first come from header if given. */
static void
store_part(int32 object, int32 page, int32 part, const SpPageHeader *header,
		   const char *data, Size size)
{
	union
	{
		char		bytes[VARHDRSZ + PART_SIZE];
		int32		align;
	}			value;
	Size		prefix = header != NULL ? sizeof(SpPageHeader) : 0;
	bool		nulls[PART_COLUMNS] = {false};
	Datum		values[PART_COLUMNS];
	PartEntry  *entry;
	bool		found;

	SET_VARSIZE(value.bytes, VARHDRSZ + prefix + size);
	if (header != NULL)
		memcpy(VARDATA(value.bytes), header, prefix);
	memcpy(VARDATA(value.bytes) + prefix, data, size);
	values[PART_OBJECT] = Int32GetDatum(object);
	values[PART_PAGE] = Int32GetDatum(page);
	values[PART_PART] = Int32GetDatum(part);
	values[PART_DATA] = PointerGetDatum(value.bytes);

	entry = make_entry(object, page, part, &found);
	if (found && sp_table_update(pages, &entry->tid, PART_COLUMNS, values, nulls))
		return;
	sp_table_insert(pages, values, nulls, &entry->tid);
}

/* Delete the parts of a page from this one on, as many as there are. */
static void
delete_parts(int32 object, int32 page, int32 part)
{
	Datum		values[PART_COLUMNS] = {Int32GetDatum(object), Int32GetDatum(page)};
	bool		nulls[PART_COLUMNS] = {false};
	PartEntry  *entry;

	for (; (entry = find_entry(object, page, part)) != NULL; part++)
	{
		/* What was deleted keeps its entry: if the transaction fails, the row is back. */
		values[PART_PART] = Int32GetDatum(part);
		if (!sp_table_delete(pages, &entry->tid, values, nulls))
			hash_search(positions, &entry->key, HASH_REMOVE, NULL);
	}
}

/* Write or delete one page. */
void
sp_page_store(int32 object, int32 page, const char *data, Size size)
{
	SpPageHeader header = {PAGE_MAGIC, PAGE_VERSION, size, 0};
	Size		done;
	int32		part = 0;

	if (pages == NULL)
		elog(ERROR, "state page stored outside of begin and end");
	Assert(page >= 0);
	if (!AllocSizeIsValid(size + sizeof(header)))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("state page %d of object %d is too large: %zu bytes", page, object, size)));

	if (find_entry(object, ANY_PAGE, 0) == NULL)
		learn_parts(object);
	if (size > 0)
	{
		header.crc = compute_crc(object, page, data, size);
		done = Min(size, SP_PAGE_BEST_SIZE);
		store_part(object, page, part++, &header, data, done);
		for (; done < size; done += Min(size - done, PART_SIZE))
			store_part(object, page, part++, NULL, data + done, Min(size - done, PART_SIZE));
	}
	delete_parts(object, page, part);
}

/* Write what still waits. */
void
sp_page_end(void)
{
	sp_table_close(pages);
	pages = NULL;
}

/* Delete all pages of an object. */
void
sp_page_delete_all(int32 object)
{
	PartScan	scan;
	Datum		values[PART_COLUMNS];
	bool		nulls[PART_COLUMNS] = {false};
	ItemPointerData tid;

	/* Rows that wait have TIDs to set in entries that are about to go. */
	if (pages != NULL)
		sp_table_refresh(pages);
	forget_entries(object);

	begin_scan(&scan, object);
	while (next_part(&scan, values, &tid))
		sp_table_delete(scan.table, &tid, values, nulls);
	end_scan(&scan);
}

/* Delete the pages of objects that no longer exist.  Hops from object to object by the index. */
void
sp_page_delete_orphans(void)
{
	SpQueryScope scope;

	sp_query_open(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope,
				 "WITH RECURSIVE o(id) AS ("
				 "(SELECT object FROM streamproc.state_page ORDER BY object LIMIT 1) "
				 "UNION ALL "
				 "SELECT (SELECT p.object FROM streamproc.state_page p WHERE p.object > o.id "
				 "ORDER BY p.object LIMIT 1) FROM o WHERE o.id IS NOT NULL) "
				 "DELETE FROM streamproc.state_page p USING o WHERE p.object = o.id "
				 "AND NOT EXISTS (SELECT FROM streamproc.stream d WHERE d.id = o.id) "
				 "AND NOT EXISTS (SELECT FROM streamproc.window_definition d WHERE d.id = o.id) "
				 "AND NOT EXISTS (SELECT FROM streamproc.detector_definition d WHERE d.id = o.id)",
				 SPI_OK_DELETE, 0, NULL, NULL, NULL);
	sp_query_close(&scope);
}
