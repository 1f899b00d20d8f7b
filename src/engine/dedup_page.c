/*
 * dedup_page.c
 *	  Where admitted rows are remembered: their times and keys on pages, found by hash.
 *
 * A page is filled with rows as they are admitted, and is forgotten as a whole; it is saved
 * and spilled as pages of groups are (group_page.c, spill.c).  What finds a row is a
 * directory of all, which stays in memory when pages are spilled: a row that was never there
 * is known to be none by one look, and hardly ever brings a page back.
 *
 * A row's neighbours are in its slice or one beside it (dedup.c).  Sixteen slices in a row
 * share a hash, so that mostly one look finds them all; and no more than that many rows of a
 * key have the same one, however long they are kept.
 *
 * Durable form of a page: uint32 count, then for each row int64 time and its keys.
 */
#include "engine/internal.h"

#include "engine/dedup.h"
#include "utils/memutils.h"

#define ROOM			(8 << SP_DEDUP_OFFSET_BITS) /* bytes of a page; a larger row has one alone */
#define AHEAD			512		/* bytes of rows, on their way to the cache */
#define DIRECTORY_MOST	66		/* per cent: few steps to know that there is nothing */
#define DIRECTORY_GROWTH 50	/* per cent */

StaticAssertDecl(sizeof(SpDedupRow) == 16, "keys are aligned");

static const bool no_nulls[INDEX_MAX_KEYS] = {false};

static void write_page(void *dedup, SpPage *page, StringInfo buf);
static void read_page(void *dedup, SpPage *page, const char *data, Size size);

static const SpPageForm form = {write_page, read_page};

/* ---- rows ---- */

static inline SpDedupRow *
row_at(const SpPage *page, uint32 offset)
{
	return (SpDedupRow *) (page->groups + offset);
}

/* Bytes of a key in a row. */
static inline Size
key_size(const SpKeyColumn *key, Datum value)
{
	if (key->typbyval)
		return sizeof(Datum);
	if (key->typlen > 0)
		return key->typlen;
	if (key->typlen == -1)
		return VARSIZE_ANY(DatumGetPointer(value));
	return strlen(DatumGetCString(value)) + 1;
}

/* The keys of a row. */
static void
read_keys(const SpDedup *d, const SpDedupRow *row, Datum *keys)
{
	const char *p = (const char *) (row + 1);
	int			k;

	for (k = 0; k < d->nkeys; k++)
	{
		const SpKeyColumn *key = &d->groups.keys[k];

		keys[k] = key->typbyval ? *(const Datum *) p : PointerGetDatum(p);
		p += MAXALIGN(key_size(key, keys[k]));
	}
}

/* Put a row, of flat keys, behind those on a page, which has room; its offset. */
static inline uint32
append(SpDedup *d, SpPage *page, uint32 size, uint32 hash, int64 time, const Datum *keys)
{
	uint32		offset = page->filled;
	SpDedupRow *row = row_at(page, offset);
	char	   *p = (char *) (row + 1);
	int			k;

	row->time = time;
	row->hash = hash;
	row->size = size;
	for (k = 0; k < d->nkeys; k++)
	{
		const SpKeyColumn *key = &d->groups.keys[k];
		Size		bytes = key_size(key, keys[k]);

		if (key->typbyval)
			*(Datum *) p = keys[k];
		else
			memcpy(p, DatumGetPointer(keys[k]), bytes);
		p += MAXALIGN(bytes);
	}
	page->filled += size;
	page->n++;
	page->touched = true;
	return offset;
}

/* Bytes of a row with these keys. */
static inline Size
row_size(const SpDedup *d, const Datum *keys)
{
	Size		size = sizeof(SpDedupRow);
	int			k;

	for (k = 0; k < d->nkeys; k++)
		size += MAXALIGN(key_size(&d->groups.keys[k], keys[k]));
	return size;
}

/* Let a row be found. */
static void
enter(SpDedup *d, const SpPage *page, uint32 offset)
{
	sp_directory_add(&d->directory, row_at(page, offset)->hash,
					 (int64) page->number << SP_DEDUP_OFFSET_BITS | offset / 8);
	d->groups.index_bytes = d->directory.bytes;
}

/* ---- pages ---- */

/* No rows, and how to tell their keys from one another. */
void
sp_dedup_page_init(SpDedup *d, SpExpression **keys)
{
	sp_group_init(&d->groups,
				  AllocSetContextCreate(d->context, "streamproc groups", ALLOCSET_DEFAULT_SIZES),
				  d->nkeys, keys, 0);
	d->groups.form = &form;
	d->groups.write_arg = d;
	sp_spill_allow(&d->groups, NULL, NULL, NULL, NULL, d);
	sp_directory_init(&d->directory, d->groups.context, DIRECTORY_MOST, DIRECTORY_GROWTH);
}

/* The hash of rows of a slice with these keys.  May throw where a key type's functions do. */
uint32
sp_dedup_page_hash(SpDedup *d, int64 slice, const Datum *keys)
{
	return sp_group_hash(&d->groups, slice >> SP_DEDUP_SHARING_BITS, keys, no_nulls);
}

/* The row at a place of the directory, or NULL if it has other keys.  May throw, likewise. */
const SpDedupRow *
sp_dedup_page_get(SpDedup *d, int64 place, const Datum *keys)
{
	SpPage	   *page = d->groups.pages[place >> SP_DEDUP_OFFSET_BITS];
	const SpDedupRow *row;
	Datum		theirs[INDEX_MAX_KEYS];

	if (page->spilled_size > 0)
		sp_spill_bring_page(&d->groups, page);
	row = row_at(page, (place & (ROOM / 8 - 1)) * 8);
	read_keys(d, row, theirs);
	if (!sp_group_same_keys(&d->groups, theirs, no_nulls, keys, no_nulls))
		return NULL;
	page->touched = true;
	return row;
}

/*
 * Where to remember a row: on the page that is being filled.  Rows of a time that is too far
 * ahead to move the watermark, for which other rows would have to wait, have another one.
 */
static inline SpPage *
find_page(SpDedup *d, bool is_ahead, Size size)
{
	SpPage	   *page = d->page[is_ahead];

	/* one that was forgotten may be the other one now */
	if (page != NULL && page != d->page[!is_ahead] && page->n > 0 &&
		page->filled + size <= ROOM && page->spilled_size == 0)
		return page;
	d->page[is_ahead] = sp_group_empty_page(&d->groups);
	return d->page[is_ahead];
}

/* Have room for so many bytes on a page; false: there can be none. */
static bool
reserve(SpDedup *d, SpPage *page, Size size)
{
	if (page->n == 0)
	{
		sp_group_make_room(&d->groups, page, Max(size, ROOM));
		page->filled = 0;
		return true;
	}
	return page->filled + size <= ROOM;
}

/* Remember a row, whose keys may be compressed. */
void
sp_dedup_page_add(SpDedup *d, bool is_ahead, uint32 hash, int64 time, const Datum *keys)
{
	Datum		flat[INDEX_MAX_KEYS];
	Size		size;
	SpPage	   *page;
	int			k;

	for (k = 0; k < d->nkeys; k++)
		flat[k] = d->groups.keys[k].typlen == -1 ?
			PointerGetDatum(PG_DETOAST_DATUM_PACKED(keys[k])) : keys[k];
	size = row_size(d, flat);
	page = find_page(d, is_ahead, size);
	sp_group_keep(&d->groups, page);
	(void) reserve(d, page, size);
	enter(d, page, append(d, page, size, hash, time, flat));
	sp_group_page_changed(&d->groups, page);
	sp_dedup_count(d, page, time);
	for (k = 0; k < d->nkeys; k++)
	{
		if (flat[k] != keys[k])
			pfree(DatumGetPointer(flat[k]));
	}
}

/* Forget all rows of a page. */
void
sp_dedup_page_drop(SpDedup *d, SpPage *page)
{
	uint32		at;
	uint32		ahead = 0;

	if (page->spilled_size > 0)
		sp_spill_bring_page(&d->groups, page);
	sp_group_keep(&d->groups, page);
	for (at = 0; at < page->filled; at += row_at(page, at)->size)
	{
		for (; ahead < page->filled && ahead < at + AHEAD; ahead += row_at(page, ahead)->size)
			sp_directory_prefetch(&d->directory, row_at(page, ahead)->hash);
		sp_directory_remove(&d->directory, row_at(page, at)->hash,
							(int64) page->number << SP_DEDUP_OFFSET_BITS | at / 8);
	}
	page->n = 0;
	sp_group_free_room(&d->groups, page);
	sp_group_page_changed(&d->groups, page);
	sp_group_note_room(&d->groups, page);
}

/* ---- durable form ---- */

/* SpPageForm. */
static void
write_page(void *dedup, SpPage *page, StringInfo buf)
{
	SpDedup    *d = dedup;
	uint32		n = page->n;
	Datum		keys[INDEX_MAX_KEYS];
	uint32		at;
	int			k;

	appendBinaryStringInfo(buf, (char *) &n, sizeof(n));
	for (at = 0; at < page->filled; at += row_at(page, at)->size)
	{
		appendBinaryStringInfo(buf, (char *) &row_at(page, at)->time, sizeof(int64));
		read_keys(d, row_at(page, at), keys);
		for (k = 0; k < d->nkeys; k++)
			sp_group_write_key(buf, &d->groups.keys[k], keys[k], false);
	}
}

static void
damaged(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("a state page of rows that were admitted is damaged"),
			 errdetail_internal("%s", detail)));
}

/* Read a row, and put it where it was. */
static void
read_row(SpDedup *d, SpPage *page, const char **p, const char *end)
{
	Datum		keys[INDEX_MAX_KEYS];
	bool		is_null;
	int64		time;
	int64		slice;
	uint32		offset;
	Size		size;
	int			k;

	sp_read_bytes(p, end, &time, sizeof(time));
	for (k = 0; k < d->nkeys; k++)
	{
		keys[k] = sp_group_read_key(p, end, &d->groups.keys[k], &is_null);
		if (is_null)
			damaged("A key is null.");
	}
	slice = sp_dedup_span(&d->slice, time);
	size = row_size(d, keys);
	if (!reserve(d, page, size))
		damaged("Its rows have no room on it.");
	offset = append(d, page, size, sp_dedup_page_hash(d, slice, keys), time, keys);
	for (k = 0; k < d->nkeys; k++)
	{
		if (!d->groups.keys[k].typbyval)
			pfree(DatumGetPointer(keys[k]));
	}
	if (!d->is_loading)
		return;
	enter(d, page, offset);
	sp_dedup_count(d, page, time);
}

/* SpPageForm.  Rows of a page that was spilled come to stand where they stood. */
static void
read_page(void *dedup, SpPage *page, const char *data, Size size)
{
	const char *p = data;
	const char *end = data + size;
	uint32		n;

	sp_read_bytes(&p, end, &n, sizeof(n));
	if (n == 0 || n > ROOM / sizeof(SpDedupRow))
		damaged("It claims to hold an impossible number of rows.");
	for (; n > 0; n--)
		read_row(dedup, page, &p, end);
}
