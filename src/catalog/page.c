/*
 * page.c
 *	  State pages: the durable form of windows' and detectors' memory.
 *
 * A page is stored as SpPageHeader and its bytes, cut into parts of at most PART_SIZE bytes,
 * a row each: two versions of a row fit into one heap page, so that writing it again needs
 * no index entry and leaves nothing for VACUUM, which is several times cheaper than a row
 * that must move.
 *
 * A page has two places for its bytes, 0 and 1, each marked with the generation that wrote
 * it.  A generation is written by many transactions and is valid as soon as a position that
 * names it is committed: the page is what the place with the newest valid generation holds,
 * and the other place is the one to be written next.  So what is valid is never touched, and
 * what a generation has left that was never finished is deleted when the object is loaded.
 * A page that is no more has an empty place for a while, then no rows.
 *
 * The process remembers where all rows of an object are from its first use on.  What is
 * remembered may come from a transaction that failed: a TID is a hint, checked by
 * catalog/table.c, and a generation that failed never becomes valid.  A TID that is invalid
 * says "look it up".
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_authid_d.h"
#include "port/pg_crc32c.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "catalog/page.h"
#include "catalog/page_places.h"
#include "catalog/query.h"
#include "catalog/table.h"

#define PAGE_MAGIC		0x53505047	/* "SPPG" */
#define PAGE_VERSION	3
#define PART_SIZE		4000

typedef struct SpPageHeader
{
	uint32		magic;
	uint32		version;
	uint32		length;			/* of the bytes that follow; 0: the page is no more */
	pg_crc32c	crc;			/* of object, page number, generation and bytes */
} SpPageHeader;

StaticAssertDecl(sizeof(SpPageHeader) == 16, "SpPageHeader is stored");
StaticAssertDecl(SP_PAGE_BEST_SIZE + sizeof(SpPageHeader) == PART_SIZE, "one part");

/* A row's columns. */
enum
{
	PART_OBJECT,
	PART_PAGE,
	PART_PLACE,
	PART_PART,
	PART_GENERATION,
	PART_DATA,
	PART_COLUMNS
};

static const AttrNumber part_keys[] = {PART_OBJECT + 1, PART_PAGE + 1, PART_PLACE + 1,
PART_PART + 1};

static int64 published = SP_PAGE_AT_ONCE;	/* generations up to this one are valid */
static int64 newest = SP_PAGE_AT_ONCE;	/* generation seen or used */

/* Between begin and end, in the context of the (sub)transaction that began. */
static SpTable *writing = NULL;
static int64 writing_generation;

/* ---- checking ---- */

static pg_crc32c
compute_crc(int32 object, int32 page, int64 generation, const char *data, Size size)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, &object, sizeof(object));
	COMP_CRC32C(crc, &page, sizeof(page));
	COMP_CRC32C(crc, &generation, sizeof(generation));
	COMP_CRC32C(crc, data, size);
	FIN_CRC32C(crc);
	return crc;
}

/* Check a stored page; returns what is wrong with it, or NULL. */
static const char *
check_page(int32 object, int32 page, int64 generation, const char *stored, Size size)
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
	if (!EQ_CRC32C(header.crc, compute_crc(object, page, generation, stored + sizeof(header),
										   size - sizeof(header))))
		return "Its checksum is wrong.";
	return NULL;
}

/* ---- reading ---- */

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

/* Remember a row; the page's entry. */
static SpPagePlaces *
note_part(SpPageObject *object, const Datum *values, const ItemPointerData *tid)
{
	SpPagePlaces  *page = sp_page_places_get(object, DatumGetInt32(values[PART_PAGE]));
	int16		number = DatumGetInt16(values[PART_PLACE]);
	int32		part = DatumGetInt32(values[PART_PART]);
	int64		generation = DatumGetInt64(values[PART_GENERATION]);
	SpPlace	   *place;

	if (number < 0 || number >= SP_PLACES || part != page->places[number].nparts ||
		(part > 0 && page->places[number].generation != generation))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("state page %d of object %d is damaged", page->page, object->object),
				 errdetail("Part %d of place %d doesn't follow the one before.", part, number)));
	place = &page->places[number];
	sp_page_places_reserve(object, place, part + 1);
	*sp_page_places_tid(place, part) = *tid;
	place->nparts = part + 1;
	place->generation = generation;
	newest = Max(newest, place->generation);
	return page;
}

/* Check one page, put together from its parts, and hand it to the reader. */
static void
read_page(int32 object, int32 page, int64 generation, const StringInfoData *stored,
		  SpPageReader reader, void *arg)
{
	const char *problem = check_page(object, page, generation, stored->data, stored->len);
	Size		size;
	char	   *aligned;

	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("state page %d of object %d is damaged", page, object),
				 errdetail_internal("%s", problem),
				 errhint("CALL streamproc.replay() rebuilds the object from its source.")));
	size = stored->len - sizeof(SpPageHeader);
	if (size == 0)
		return;
	aligned = palloc(size + 1);
	memcpy(aligned, stored->data + sizeof(SpPageHeader), size);
	aligned[size] = '\0';
	reader(page, aligned, size, arg);
}

/* Learn where the rows of an object are that was not loaded. */
static SpPageObject *
learn_object(int32 object)
{
	SpPageObject *entry = sp_page_places_make_object(object);
	PartScan	scan;
	Datum		values[PART_COLUMNS];
	ItemPointerData tid;

	begin_scan(&scan, object);
	while (next_part(&scan, values, &tid))
		(void) note_part(entry, values, &tid);
	end_scan(&scan);
	entry->complete = true;
	return entry;
}

/* ---- generations ---- */

/* A generation that nobody has used. */
int64
sp_page_new_generation(void)
{
	newest = Max(newest, published) + 1;
	return newest;
}

/* A position that names the generation is committed. */
void
sp_page_publish(int64 generation)
{
	published = generation;
}

/* ---- writing ---- */

/* The (sub)transaction is over, perhaps by an error. */
static void
forget_writing(void *arg)
{
	if (writing == arg)
		writing = NULL;
}

/* Start writing pages. */
void
sp_page_begin(int64 generation)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(CurTransactionContext);
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));

	writing = sp_table_open_own("state_page", lengthof(part_keys), part_keys);
	writing_generation = generation;
	callback->func = forget_writing;
	callback->arg = writing;
	MemoryContextRegisterResetCallback(CurTransactionContext, callback);
	MemoryContextSwitchTo(oldcontext);
}

/* Write one part: size bytes of a page, of which the first come from header if given. */
static void
store_part(int32 object, const SpPagePlaces *page, int number, SpPlace *place, int32 part,
		   const SpPageHeader *header, const char *data, Size size)
{
	union
	{
		char		bytes[VARHDRSZ + PART_SIZE];
		int32		align;
	}			value;
	Size		prefix = header != NULL ? sizeof(SpPageHeader) : 0;
	bool		nulls[PART_COLUMNS] = {false};
	Datum		values[PART_COLUMNS];
	bool		known = part < place->nparts;
	ItemPointer tid = sp_page_places_tid(place, part);

	SET_VARSIZE(value.bytes, VARHDRSZ + prefix + size);
	if (header != NULL)
		memcpy(VARDATA(value.bytes), header, prefix);
	if (size > 0)
		memcpy(VARDATA(value.bytes) + prefix, data, size);
	values[PART_OBJECT] = Int32GetDatum(object);
	values[PART_PAGE] = Int32GetDatum(page->page);
	values[PART_PLACE] = Int16GetDatum(number);
	values[PART_PART] = Int32GetDatum(part);
	values[PART_GENERATION] = Int64GetDatum(writing_generation);
	values[PART_DATA] = PointerGetDatum(value.bytes);

	place->nparts = Max(place->nparts, part + 1);
	if (known && sp_table_update(writing, tid, PART_COLUMNS, values, nulls))
		return;
	sp_table_insert(writing, values, nulls, tid);
}

/* Delete the parts of a place from this one on, as many as there are. */
static void
delete_parts(int32 object, SpPagePlaces *page, int number, int32 first)
{
	SpPlace	   *place = &page->places[number];
	Datum		values[PART_COLUMNS] = {Int32GetDatum(object), Int32GetDatum(page->page),
	Int16GetDatum(number)};
	bool		nulls[PART_COLUMNS] = {false};
	int32		part;

	/* What was deleted stays known: if the transaction fails, the row is back. */
	for (part = first; part < place->nparts; part++)
	{
		values[PART_PART] = Int32GetDatum(part);
		(void) sp_table_delete(writing, sp_page_places_tid(place, part), values, nulls);
	}
}

/* Write the page's bytes, none for an empty one, to a place. */
static void
store_place(SpPageObject *object, SpPagePlaces *page, int number, const char *data, Size size)
{
	SpPageHeader header = {PAGE_MAGIC, PAGE_VERSION, size, 0};
	SpPlace	   *place = &page->places[number];
	Size		done = Min(size, SP_PAGE_BEST_SIZE);
	int32		nparts = 1 + (size - done + PART_SIZE - 1) / PART_SIZE;
	int32		part = 0;

	header.crc = compute_crc(object->object, page->page, writing_generation, data, size);
	if (!sp_page_places_has_room(place, nparts))
	{
		sp_table_flush(writing);
		sp_page_places_reserve(object, place, nparts);
	}
	place->generation = writing_generation;
	place->empty = size == 0;
	store_part(object->object, page, number, place, part++, &header, data, done);
	for (; done < size; done += Min(size - done, PART_SIZE))
		store_part(object->object, page, number, place, part++, NULL, data + done,
				   Min(size - done, PART_SIZE));
	delete_parts(object->object, page, number, part);
}

/* Delete a page's rows. */
static void
delete_rows(SpPageObject *object, SpPagePlaces *page)
{
	int			i;

	for (i = 0; i < SP_PLACES; i++)
	{
		delete_parts(object->object, page, i, 0);
		page->places[i].generation = SP_NO_GENERATION;
	}
}

/* Write or delete one page. */
void
sp_page_store(int32 object, int32 page, const char *data, Size size)
{
	SpPageObject *known = sp_page_places_find(object);
	SpPagePlaces  *entry;
	int			valid;
	int			i;

	if (writing == NULL)
		elog(ERROR, "state page stored outside of begin and end");
	Assert(page >= 0);
	if (!AllocSizeIsValid(size + sizeof(SpPageHeader)))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("state page %d of object %d is too large: %zu bytes", page, object, size)));

	if (known == NULL)
		known = learn_object(object);
	entry = sp_page_places_get(known, page);
	valid = sp_page_places_valid(entry, published);
	if (size == 0 && (valid == SP_NO_PLACE || writing_generation == SP_PAGE_AT_ONCE))
	{
		delete_rows(known, entry);
		return;
	}
	for (i = 0; i < SP_PLACES; i++)
	{
		if (entry->places[i].generation == writing_generation)
			break;
	}
	if (i == SP_PLACES)
		i = valid == 0 ? 1 : 0;
	store_place(known, entry, i, data, size);
	if (size == 0)
		sp_page_places_bury(known, page);
}

/* Delete the rows of one page that is no more, if there is one. */
bool
sp_page_bury(int32 object)
{
	SpPageObject *known = sp_page_places_find(object);
	SpPagePlaces  *page;
	int			valid;
	int			i;

	if (known == NULL || known->first_grave == known->ngraves)
		return false;
	page = sp_page_places_get(known, known->graves[known->first_grave]);
	valid = sp_page_places_valid(page, published);
	for (i = 0; i < SP_PLACES; i++)
	{
		if (page->places[i].generation <= published)
			continue;
		if (page->places[i].empty)
			return false;		/* its time hasn't come */
		valid = SP_NO_PLACE;	/* there is something on it again */
	}
	if (valid != SP_NO_PLACE && page->places[valid].empty)
		delete_rows(known, page);
	known->first_grave++;
	return true;
}

/* Is there such a page? */
bool
sp_page_has_graves(int32 object)
{
	SpPageObject *known = sp_page_places_find(object);

	return known != NULL && known->first_grave < known->ngraves;
}

/* Write what still waits. */
void
sp_page_end(void)
{
	sp_table_close(writing);
	writing = NULL;
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
	if (writing != NULL)
		sp_table_refresh(writing);
	sp_page_places_forget(object);

	begin_scan(&scan, object);
	while (next_part(&scan, values, &tid))
		sp_table_delete(scan.table, &tid, values, nulls);
	end_scan(&scan);
}

/* ---- loading ---- */

/* All rows of a page have come: take what is valid.  Is anything there that isn't? */
static bool
finish_page(SpPageObject *object, SpPagePlaces *page, const StringInfoData *stored,
			SpPageReader reader, void *arg)
{
	bool		unfinished = false;
	int			valid = sp_page_places_valid(page, published);
	int			i;

	for (i = 0; i < SP_PLACES; i++)
	{
		page->places[i].empty = page->places[i].nparts == 1 &&
			stored[i].len == sizeof(SpPageHeader);
		unfinished |= page->places[i].generation > published;
	}
	if (valid == SP_NO_PLACE)
		return unfinished;
	read_page(object->object, page->page, page->places[valid].generation, &stored[valid],
			  reader, arg);
	if (page->places[valid].empty)
		sp_page_places_bury(object, page->page);
	return unfinished;
}

/*
 * Delete what a generation has left that was never finished: the next one must not make it
 * valid.
 */
static void
delete_unfinished(SpPageObject *object, List *pages)
{
	ListCell   *lc;
	int			i;

	if (pages == NIL)
		return;
	sp_page_begin(SP_PAGE_AT_ONCE);
	foreach(lc, pages)
	{
		SpPagePlaces *page = sp_page_places_get(object, lfirst_int(lc));

		for (i = 0; i < SP_PLACES; i++)
		{
			if (page->places[i].generation <= published)
				continue;
			delete_parts(object->object, page, i, 0);
			page->places[i].generation = SP_NO_GENERATION;
		}
	}
	sp_page_end();
}

/* Call reader for every page of the object. */
void
sp_page_load(int32 object, SpPageReader reader, void *arg)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "streamproc state page",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext oldcontext;
	SpPageObject *entry;
	PartScan	scan;
	StringInfoData stored[SP_PLACES];
	SpPagePlaces *page = NULL;
	List	   *pages = NIL;
	bool		more;
	int			i;

	entry = sp_page_places_make_object(object);
	for (i = 0; i < SP_PLACES; i++)
		initStringInfo(&stored[i]);
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
		if (page != NULL && (!more || DatumGetInt32(values[PART_PAGE]) != page->page))
		{
			bool		unfinished = finish_page(entry, page, stored, reader, arg);

			MemoryContextSwitchTo(oldcontext);
			if (unfinished)
				pages = lappend_int(pages, page->page);
			MemoryContextSwitchTo(context);
			for (i = 0; i < SP_PLACES; i++)
				resetStringInfo(&stored[i]);
		}
		if (more)
		{
			struct varlena *data = PG_DETOAST_DATUM_PACKED(values[PART_DATA]);

			page = note_part(entry, values, &tid);
			appendBinaryStringInfo(&stored[DatumGetInt16(values[PART_PLACE])], VARDATA_ANY(data),
								   VARSIZE_ANY_EXHDR(data));
		}
		MemoryContextReset(context);
	} while (more);
	MemoryContextSwitchTo(oldcontext);

	end_scan(&scan);
	for (i = 0; i < SP_PLACES; i++)
		pfree(stored[i].data);
	MemoryContextDelete(context);
	entry->complete = true;
	delete_unfinished(entry, pages);
	list_free(pages);
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
