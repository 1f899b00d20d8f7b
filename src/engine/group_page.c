/*
 * group_page.c
 *	  Pages of groups: which are dirty, how a checkpoint writes them, how they come back.
 *
 * Durable form of a page: uint16 count, uint16 marks (SP_PAGE_*), then for each group
 *	uint64 sequence, int64 start, int32 revision, uint8 flags, tid,
 *	per key: uint8 null, then uint32 length and bytes; then the object's value.
 *
 * A page that is out of memory gets new marks all the same.  What the file has is the page as
 * it was when it went; its marks are put in whenever these bytes are used.
 *
 * Changing a group marks its page dirty, and a checkpoint writes the dirty pages, so that
 * its cost follows what has changed.  It does so while rows keep coming, and yet writes what
 * was there when it began: then the epoch changes, and a page that is dirty of an earlier
 * epoch is still to be saved.  It is saved when its turn comes, or an image of it is kept
 * just before it changes; either way it is clean, or dirty of the new epoch, thereafter.
 */
#include "engine/internal.h"

#include "access/detoast.h"
#include "base/compat.h"
#include "catalog/page.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#define INITIAL_DIRTY 64

/* Append a key. */
void
sp_group_write_key(StringInfo buf, const SpKeyColumn *key, Datum value, bool isnull)
{
	uint32		size;

	appendStringInfoCharMacro(buf, isnull ? 1 : 0);
	if (isnull)
		return;
	if (key->typbyval)
	{
		appendBinaryStringInfo(buf, (char *) &value, sizeof(Datum));
		return;
	}
	size = datumGetSize(value, false, key->typlen);
	appendBinaryStringInfo(buf, (char *) &size, sizeof(size));
	appendBinaryStringInfo(buf, DatumGetPointer(value), size);
}

/* Append one group. */
static void
write_group(SpGroups *groups, SpGroup *group, SpValueWrite write, void *arg, StringInfo buf)
{
	uint8		flags = group->flags & ~(SP_GROUP_TOUCHED | SP_GROUP_UNHASHED);
	int			k;

	appendBinaryStringInfo(buf, (char *) &group->sequence, sizeof(uint64));
	appendBinaryStringInfo(buf, (char *) &group->start, sizeof(int64));
	appendBinaryStringInfo(buf, (char *) &group->revision, sizeof(int32));
	appendBinaryStringInfo(buf, (char *) &flags, 1);
	appendBinaryStringInfo(buf, (char *) &group->tid, sizeof(ItemPointerData));
	for (k = 0; k < groups->nkeys; k++)
		sp_group_write_key(buf, &groups->keys[k], sp_group_keys(groups, group)[k],
						   sp_group_nulls(groups, group)[k]);
	write(arg, group, buf);
}

/* ---- marks ---- */

/* Let a page's bytes have these marks. */
static void
set_marks(const SpGroups *groups, StringInfo buf, uint8 marks)
{
	uint16		all = marks;

	if (groups->form != NULL)
		return;					/* another form has none */
	memcpy(buf->data + sizeof(uint16), &all, sizeof(all));
}

/* What the marks say of a group becomes its own; a dirty one is written for itself. */
static void
take_marks(SpGroup *group, uint8 marks)
{
	if (marks & SP_PAGE_FINAL)
		group->flags |= SP_GROUP_FINAL;
	if (marks & SP_PAGE_SEALED)
		group->flags |= SP_GROUP_SEALED;
	if (group->flags & SP_GROUP_DIRTY)
		return;
	if ((marks & SP_PAGE_REVISED) && (group->flags & SP_GROUP_ABSENT))
		group->flags &= ~SP_GROUP_WRITTEN;
	else if (marks & SP_PAGE_REVISED)
	{
		group->revision++;
		group->flags |= SP_GROUP_WRITTEN;
	}
	if (marks & SP_PAGE_WRITTEN)
		group->flags |= SP_GROUP_WRITTEN;
}

/* The page is in memory: what its marks say of its groups becomes their own. */
void
sp_group_take_marks(SpGroups *groups, SpPage *page)
{
	uint8		marks = page->marks & ~(SP_PAGE_OWN | SP_PAGE_UNWRITTEN);
	int			i;

	if (marks == 0)
		return;
	page->marks &= ~marks;
	for (i = 0; i < SP_PAGE_GROUPS; i++)
	{
		SpGroup    *group = sp_page_group(groups, page, i);

		if (group != NULL)
			take_marks(group, marks);
	}
}

/* Say something of all groups of a page, in memory or not. */
void
sp_group_mark_page(SpGroups *groups, SpPage *page, uint8 marks)
{
	sp_group_keep(groups, page);
	page->marks |= marks;
	if (page->spilled_size == 0)
		sp_group_take_marks(groups, page);
	sp_group_page_changed(groups, page);
}

/* Say it no more. */
void
sp_group_unmark_page(SpGroups *groups, SpPage *page, uint8 marks)
{
	sp_group_keep(groups, page);
	page->marks &= ~marks;
	sp_group_page_changed(groups, page);
}

/* ---- writing ---- */

/* The durable form of a page, nothing for an empty one. */
void
sp_group_write_page(SpGroups *groups, SpPage *page, StringInfo buf)
{
	uint16		head[2] = {page->n, page->marks};
	int			i;

	resetStringInfo(buf);
	if (page->spilled_size > 0)
	{
		sp_spill_read(groups, page->spilled_at, page->spilled_size, buf);
		set_marks(groups, buf, page->marks);
		return;
	}
	if (page->n == 0)
		return;
	if (groups->form != NULL)
	{
		groups->form->write(groups->write_arg, page, buf);
		return;
	}
	appendBinaryStringInfo(buf, (char *) head, sizeof(head));
	for (i = 0; i < SP_PAGE_GROUPS; i++)
	{
		SpGroup    *group = sp_page_group(groups, page, i);

		if (group != NULL)
			write_group(groups, group, groups->write, groups->write_arg, buf);
	}
	sp_spill_note_size(groups, page->n, buf->len);
}

/* ---- what is dirty ---- */

/* A page is not as stored any more. */
void
sp_group_page_changed(SpGroups *groups, SpPage *page)
{
	if (page->dirty == groups->epoch)
		return;
	if (page->dirty != 0)
		elog(ERROR, "a group of object %d was changed without notice", groups->object);
	if (groups->ndirty == groups->dirty_allocated)
	{
		int			allocated = Max(INITIAL_DIRTY, groups->dirty_allocated * 2);
		int32	   *dirty = MemoryContextAllocHuge(groups->context, sizeof(int32) * (Size) allocated);

		if (groups->dirty != NULL)
		{
			memcpy(dirty, groups->dirty, sizeof(int32) * groups->ndirty);
			pfree(groups->dirty);
		}
		groups->dirty = dirty;
		groups->dirty_allocated = allocated;
	}
	groups->dirty[groups->ndirty++] = page->number;
	page->dirty = groups->epoch;
	groups->any_dirty = true;
}

/* A group is not as stored any more. */
void
sp_group_changed(SpGroups *groups, SpGroup *group)
{
	sp_group_page_changed(groups, groups->pages[group->page]);
}

/* ---- saving ---- */

/* What is dirty now is to be saved. */
void
sp_group_save_begin(SpGroups *groups, int32 object, SpValueWrite write, void *arg)
{
	Assert(groups->saving == NULL && slist_is_empty(&groups->images));
	groups->object = object;
	groups->write = write;
	groups->write_arg = arg;
	groups->saving = groups->dirty;
	groups->nsaving = groups->ndirty;
	groups->nsaved = 0;
	groups->dirty = NULL;
	groups->ndirty = 0;
	groups->dirty_allocated = 0;
	groups->any_dirty = false;
	groups->epoch++;
}

/* Is the page still to be saved as it was when the checkpoint began? */
static inline bool
is_unsaved(const SpGroups *groups, const SpPage *page)
{
	return page->dirty != groups->epoch && page->dirty != 0;
}

/* Keep the page as it is: here, or in the file. */
static void
keep_image(SpGroups *groups, SpPage *page, const char *data, Size size, int64 spilled_at)
{
	Size		space = offsetof(SpPageImage, data);
	SpPageImage *image;

	if (spilled_at == SP_NOT_SPILLED)
		space = Max(space + size, SP_OWN_BLOCK);
	image = MemoryContextAllocHuge(groups->context, space);
	groups->bytes += GetMemoryChunkSpace(image);
	image->page = page->number;
	image->marks = page->marks;
	image->size = size;
	image->spilled_at = spilled_at;
	if (spilled_at == SP_NOT_SPILLED)
		memcpy(image->data, data, size);
	slist_push_head(&groups->images, &image->node);
	page->dirty = 0;
}

/* Something on the page is about to change: if it is still to be saved, keep it as it is. */
void
sp_group_keep(SpGroups *groups, SpPage *page)
{
	StringInfoData buf;

	if (!is_unsaved(groups, page))
		return;
	initStringInfo(&buf);
	sp_group_write_page(groups, page, &buf);
	keep_image(groups, page, buf.data, buf.len,
			   buf.len > 0 ? sp_spill_write(groups, buf.data, buf.len) : SP_NOT_SPILLED);
	pfree(buf.data);
}

/* The page has come back from the file: is it still to be saved, as it stands there? */
bool
sp_group_keep_spilled(SpGroups *groups, SpPage *page, int64 at, int32 size)
{
	if (!is_unsaved(groups, page))
		return false;
	keep_image(groups, page, NULL, size, at);
	return true;
}

/* Give an image up. */
static void
free_image(SpGroups *groups, SpPageImage *image)
{
	if (image->spilled_at != SP_NOT_SPILLED)
		sp_spill_forget(groups, image->spilled_at, image->size);
	groups->bytes -= GetMemoryChunkSpace(image);
	pfree(image);
}

/* Write a page's bytes, or delete it. */
static void
store_page(SpGroups *groups, SpPage *page, const char *data, Size size)
{
	if (size > 0 || page->stored)
		sp_page_store(groups->object, groups->first_page + page->number, data, size);
	page->stored = size > 0;
}

/* Write the page that was kept last. */
static void
save_image(SpGroups *groups)
{
	SpPageImage *image = slist_container(SpPageImage, node, slist_pop_head_node(&groups->images));
	SpPage	   *page = groups->pages[image->page];
	StringInfoData buf;

	if (image->spilled_at == SP_NOT_SPILLED)
		store_page(groups, page, image->data, image->size);
	else
	{
		initStringInfo(&buf);
		sp_spill_read(groups, image->spilled_at, image->size, &buf);
		set_marks(groups, &buf, image->marks);
		store_page(groups, page, buf.data, buf.len);
		pfree(buf.data);
	}
	free_image(groups, image);
}

/* Write one page of those that are to be saved; false: all are. */
bool
sp_group_save_next(SpGroups *groups)
{
	if (!slist_is_empty(&groups->images))
	{
		save_image(groups);
		return true;
	}
	while (groups->nsaved < groups->nsaving)
	{
		SpPage	   *page = groups->pages[groups->saving[groups->nsaved++]];
		StringInfoData buf;

		if (!is_unsaved(groups, page))
			continue;			/* was kept, and perhaps changed again */
		initStringInfo(&buf);
		sp_group_write_page(groups, page, &buf);
		store_page(groups, page, buf.data, buf.len);
		page->dirty = 0;
		pfree(buf.data);
		return true;
	}
	return false;
}

/* What was to be saved is. */
void
sp_group_save_end(SpGroups *groups)
{
	if (groups->saving != NULL)
		pfree(groups->saving);
	groups->saving = NULL;
	groups->nsaving = groups->nsaved = 0;
}

/*
 * What was to be saved, all of it or only what wasn't reached, is dirty as before.  Nothing
 * may have changed since the beginning.
 */
void
sp_group_save_undo(SpGroups *groups, bool all)
{
	int			i;

	Assert(slist_is_empty(&groups->images));
	for (i = all ? 0 : groups->nsaved; i < groups->nsaving; i++)
	{
		SpPage	   *page = groups->pages[groups->saving[i]];

		page->dirty = 0;
		sp_group_page_changed(groups, page);
	}
	sp_group_save_end(groups);
}

/* ---- loading ---- */

/* Take bytes of a page; too few are a damaged page. */
void
sp_read_bytes(const char **p, const char *end, void *to, Size size)
{
	if (end - *p < (ptrdiff_t) size)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a state page ends before its data does"),
				 errhint("Rebuild the object with streamproc.resume().")));
	memcpy(to, *p, size);
	*p += size;
}

/* Are these bytes one flat value of the type? */
bool
sp_is_one_value(const char *data, uint32 size, int16 typlen)
{
	if (typlen > 0)
		return size == typlen;
	if (typlen == -2)
		return memchr(data, '\0', size) == data + size - 1;
	if (VARATT_IS_1B(data))
		return !VARATT_IS_EXTERNAL(data) && VARSIZE_1B(data) == size;
	return size >= (VARATT_IS_4B_C(data) ? VARHDRSZ_COMPRESSED : VARHDRSZ) &&
		VARSIZE_4B(data) == size;
}

/* Read a key, in the current memory context. */
Datum
sp_group_read_key(const char **p, const char *end, const SpKeyColumn *key, bool *isnull)
{
	uint8		null;
	uint32		size;
	char	   *copy;
	Datum		value;

	sp_read_bytes(p, end, &null, 1);
	*isnull = null != 0;
	if (*isnull)
		return (Datum) 0;
	if (key->typbyval)
	{
		sp_read_bytes(p, end, &value, sizeof(value));
		return value;
	}
	sp_read_bytes(p, end, &size, sizeof(size));
	if (size > (Size) (end - *p) || size == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a key on a state page has an impossible length of %u bytes", size)));
	copy = palloc(size);
	sp_read_bytes(p, end, copy, size);
	if (!sp_is_one_value(copy, size, key->typlen))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a key on a state page is damaged")));
	return PointerGetDatum(copy);
}

/* Bring the groups of a page, which is empty, into memory; returns the marks. */
static uint8
read_groups(SpGroups *groups, SpPage *page, const char *data, Size size,
			SpValueRead read, void *arg)
{
	const char *p = data;
	const char *end = data + size;
	Datum	   *keys = palloc(sizeof(Datum) * Max(1, groups->nkeys));
	bool	   *nulls = palloc(Max(1, groups->nkeys));
	uint16		counted[2];		/* groups, marks */
	int			i;

	sp_read_bytes(&p, end, counted, sizeof(counted));
	if (counted[0] > SP_PAGE_GROUPS)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a state page claims to hold %u groups", counted[0])));
	if (counted[1] & ~SP_PAGE_ALL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a state page has impossible marks: %x", counted[1])));
	if (counted[0] > groups->page_groups)
		/* they were smaller when they were written */
		sp_group_make_room(groups, page, counted[0] * groups->group_size);
	for (i = 0; i < counted[0]; i++)
	{
		SpGroup		head;
		SpGroup    *group;
		int			k;

		sp_read_bytes(&p, end, &head.sequence, sizeof(uint64));
		sp_read_bytes(&p, end, &head.start, sizeof(int64));
		sp_read_bytes(&p, end, &head.revision, sizeof(int32));
		sp_read_bytes(&p, end, &head.flags, 1);
		sp_read_bytes(&p, end, &head.tid, sizeof(ItemPointerData));
		for (k = 0; k < groups->nkeys; k++)
			keys[k] = sp_group_read_key(&p, end, &groups->keys[k], &nulls[k]);
		group = sp_group_make(groups, page, i, sp_group_hash(groups, head.start, keys, nulls),
							  head.start, keys, nulls);
		group->sequence = head.sequence;
		group->revision = head.revision;
		group->flags |= head.flags;
		group->tid = head.tid;
		if (group->flags & SP_GROUP_GONE)
			sp_group_hide(groups, group);
		groups->next_sequence = Max(groups->next_sequence, head.sequence + 1);
		read(arg, group, &p, end);
	}
	pfree(keys);
	pfree(nulls);
	return counted[1];
}

/* Bring what is on a page, which is empty, into memory; returns the marks. */
uint8
sp_group_read_page(SpGroups *groups, SpPage *page, const char *data, Size size,
				   SpValueRead read, void *arg)
{
	if (groups->form == NULL)
		return read_groups(groups, page, data, size, read, arg);
	groups->form->read(arg, page, data, size);
	return 0;
}

/* A page that can't be a bucket's own here is like any other: its groups tell for themselves. */
static void
disown_page(SpGroups *groups, SpPage *page)
{
	bool		unwritten = (page->marks & SP_PAGE_UNWRITTEN) != 0;
	int			i;

	page->marks = 0;
	for (i = 0; unwritten && i < SP_PAGE_GROUPS; i++)
	{
		SpGroup    *group = sp_page_group(groups, page, i);

		if (group != NULL)
			group->flags |= SP_GROUP_DIRTY;
	}
}

/* Load a page; one that is a bucket's own doesn't know yet of which. */
void
sp_group_load_page(SpGroups *groups, int32 number, const char *data, Size size,
				   SpValueRead read, void *arg)
{
	SpPage	   *page = sp_group_ensure_page(groups, number);

	page->marks = sp_group_read_page(groups, page, data, size, read, arg);
	page->stored = true;
	sp_group_take_marks(groups, page);
	if (!groups->own_only)
		disown_page(groups, page);
	if (!(page->marks & SP_PAGE_OWN) && page->n < groups->page_groups)
		sp_group_note_room(groups, page);
}
