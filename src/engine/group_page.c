/*
 * group_page.c
 *	  Pages of groups: which are dirty, how a checkpoint writes them, how they come back.
 *
 * Durable form of a page: uint16 count, uint16 marks (SP_PAGE_*), then for each group
 *	uint8 flags, uint8 what follows: how many bytes of the sequence less 1, and HAS_*;
 *	the sequence, the lowest byte first; int64 start, int32 revision, tid, each if it has one;
 *	per key: uint8 null, then uint32 length and bytes; then the object's value.
 *
 * A page that is out of memory gets new marks all the same.  What the file has is the page as
 * it was when it went; its marks are put in whenever these bytes are used.
 *
 * Changing a group marks its page dirty, and a checkpoint writes the dirty pages, so that
 * its cost follows what has changed.  It does so while rows keep coming, and yet writes what
 * was there when it began: then the epoch changes, and a page that is dirty of an earlier
 * epoch is still to be saved.  It is saved when its turn comes.  What changes before that is
 * kept as it was: mostly a group, and when groups come or go the whole page.  A page some of
 * whose groups are kept is still to be saved, of all groups as they were, though it may be dirty
 * of the new epoch; one that is kept as a whole is clean, or dirty of the new epoch.
 */
#include "engine/internal.h"

#include "access/detoast.h"
#include "base/compat.h"
#include "catalog/page.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#define INITIAL_DIRTY	64
#define BUFFER_KEPT		(1024 * 1024)	/* bytes */

#define HEAD_SIZE		(2 + sizeof(uint64) + sizeof(int64) + sizeof(int32) + sizeof(ItemPointerData))
#define HAS_SEQUENCE	0x07	/* bytes of it, less 1 */
#define HAS_START		0x08
#define HAS_REVISION	0x10
#define HAS_TID			0x20
#define HAS_ALL			0x3f

/* For the bytes of a page, one at a time. */
static StringInfo
take_buffer(void)
{
	static StringInfoData buf = {NULL};

	if (buf.data != NULL && buf.maxlen > BUFFER_KEPT)
	{
		pfree(buf.data);
		buf.data = NULL;
	}
	if (buf.data == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		initStringInfo(&buf);
		MemoryContextSwitchTo(old);
	}
	resetStringInfo(&buf);
	return &buf;
}

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

/* What of a group is written before its keys; returns the end. */
static char *
write_head(const SpGroup *group, char *to)
{
	uint8	   *has = (uint8 *) to + 1;
	uint64		sequence = group->sequence;
	int			n = 0;

	*to = (char) (group->flags & ~(SP_GROUP_TOUCHED | SP_GROUP_UNHASHED));
	*has = 0;
	to += 2;
	do
	{
		*to++ = (char) (sequence & 0xff);
		sequence >>= 8;
		n++;
	} while (sequence != 0);
	*has = (uint8) (n - 1);
	if (group->start != 0)
	{
		*has |= HAS_START;
		memcpy(to, &group->start, sizeof(int64));
		to += sizeof(int64);
	}
	if (group->revision != 0)
	{
		*has |= HAS_REVISION;
		memcpy(to, &group->revision, sizeof(int32));
		to += sizeof(int32);
	}
	if (ItemPointerIsValid(&group->tid))
	{
		*has |= HAS_TID;
		memcpy(to, &group->tid, sizeof(ItemPointerData));
		to += sizeof(ItemPointerData);
	}
	return to;
}

/* Append one group. */
static void
write_group(SpGroups *groups, SpGroup *group, SpValueWrite write, void *arg, StringInfo buf)
{
	char		head[HEAD_SIZE];
	int			k;

	appendBinaryStringInfo(buf, head, (int) (write_head(group, head) - head));
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
		group->revision += group->revision < PG_INT32_MAX;
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

/* Append the groups of a page; those that an image has as it has them. */
static void
write_groups(SpGroups *groups, SpPage *page, const SpPageImage *image, StringInfo buf)
{
	const SpGroupImage *kept[SP_PAGE_GROUPS] = {NULL};
	const SpGroupImage *one;
	int			i;

	for (one = image != NULL ? image->groups : NULL; one != NULL; one = one->next)
		kept[one->page_slot] = one;
	for (i = 0; i < SP_PAGE_GROUPS; i++)
	{
		SpGroup    *group = sp_page_group(groups, page, i);

		if (group == NULL)
			continue;
		if (kept[i] != NULL)
			appendBinaryStringInfo(buf, kept[i]->data, kept[i]->size);
		else
			write_group(groups, group, groups->write, groups->write_arg, buf);
	}
}

/* The durable form of a page, nothing for an empty one; with the image as it was. */
static void
write_page(SpGroups *groups, SpPage *page, const SpPageImage *image, StringInfo buf)
{
	uint16		head[2] = {page->n, page->marks};

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
	write_groups(groups, page, image, buf);
	sp_spill_note_size(groups, page->n, buf->len);
}

/* The durable form of a page as it is now. */
void
sp_group_write_page(SpGroups *groups, SpPage *page, StringInfo buf)
{
	write_page(groups, page, NULL, buf);
}

/* ---- what is dirty ---- */

/* A page is not as stored any more. */
void
sp_group_page_changed(SpGroups *groups, SpPage *page)
{
	if (page->dirty == groups->epoch)
		return;
	if (page->dirty != 0 && page->image == NULL)
		elog(ERROR, "a page of object %d was changed without notice", groups->object);
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
	SpPage	   *page = groups->pages[group->page];

	if (unlikely(page->image != NULL && !((page->image->kept >> group->page_slot) & 1)))
		elog(ERROR, "a group of object %d was changed without notice", groups->object);
	sp_group_page_changed(groups, page);
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
	return page->image != NULL || (page->dirty != groups->epoch && page->dirty != 0);
}

/* It was, or it is kept. */
static void
note_saved(const SpGroups *groups, SpPage *page)
{
	page->image = NULL;
	if (page->dirty != groups->epoch)
		page->dirty = 0;
}

/* An image of the page, of nothing yet. */
static SpPageImage *
add_image(SpGroups *groups, SpPage *page)
{
	SpPageImage *image;

	if (groups->image_context == NULL)
		groups->image_context = AllocSetContextCreate(groups->context, "streamproc images",
													  ALLOCSET_DEFAULT_SIZES);
	image = MemoryContextAllocZero(groups->image_context, sizeof(SpPageImage));
	groups->bytes += GetMemoryChunkSpace(image);
	image->page = page->number;
	image->spilled_at = SP_NOT_SPILLED;
	slist_push_head(&groups->images, &image->node);
	return image;
}

/* Give the groups of an image up. */
static void
free_group_images(SpGroups *groups, SpPageImage *image)
{
	while (image->groups != NULL)
	{
		SpGroupImage *one = image->groups;

		image->groups = one->next;
		groups->bytes -= GetMemoryChunkSpace(one);
		pfree(one);
	}
}

/* A group is about to change: if it is still to be saved, keep it as it is. */
void
sp_group_keep_one(SpGroups *groups, SpGroup *group)
{
	SpPage	   *page = groups->pages[group->page];
	uint64		bit = UINT64CONST(1) << group->page_slot;
	SpGroupImage *one;
	StringInfo	buf;

	if (!is_unsaved(groups, page))
		return;
	if (page->image == NULL)
		page->image = add_image(groups, page);
	if (page->image->kept & bit)
		return;
	buf = take_buffer();
	write_group(groups, group, groups->write, groups->write_arg, buf);
	one = MemoryContextAllocHuge(groups->image_context,
								 offsetof(SpGroupImage, data) + buf->len);
	groups->bytes += GetMemoryChunkSpace(one);
	one->next = page->image->groups;
	one->page_slot = group->page_slot;
	one->size = buf->len;
	memcpy(one->data, buf->data, buf->len);
	page->image->groups = one;
	page->image->kept |= bit;
}

/* Something on the page is about to change: if it is still to be saved, keep it as it is. */
void
sp_group_keep(SpGroups *groups, SpPage *page)
{
	SpPageImage *image;
	StringInfo	buf;

	if (!is_unsaved(groups, page))
		return;
	image = page->image != NULL ? page->image : add_image(groups, page);
	buf = take_buffer();
	write_page(groups, page, image, buf);
	free_group_images(groups, image);
	image->marks = page->marks;
	image->size = buf->len;
	if (buf->len > 0)
		image->spilled_at = sp_spill_write(groups, buf->data, buf->len);
	if (buf->len > 0 && image->spilled_at == SP_NOT_SPILLED)
	{
		image->data = MemoryContextAllocHuge(groups->context, Max(buf->len, SP_OWN_BLOCK));
		groups->bytes += GetMemoryChunkSpace(image->data);
		memcpy(image->data, buf->data, buf->len);
	}
	note_saved(groups, page);
}

/* The page has come back from the file: is it still to be saved, as it stands there? */
bool
sp_group_keep_spilled(SpGroups *groups, SpPage *page, int64 at, int32 size)
{
	SpPageImage *image;

	if (!is_unsaved(groups, page))
		return false;
	Assert(page->image == NULL);
	image = add_image(groups, page);
	image->marks = page->marks;
	image->size = size;
	image->spilled_at = at;
	note_saved(groups, page);
	return true;
}

/* Give an image up. */
static void
free_image(SpGroups *groups, SpPageImage *image)
{
	free_group_images(groups, image);
	if (image->spilled_at != SP_NOT_SPILLED)
		sp_spill_forget(groups, image->spilled_at, image->size);
	if (image->data != NULL)
	{
		groups->bytes -= GetMemoryChunkSpace(image->data);
		pfree(image->data);
	}
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
	StringInfo	buf = take_buffer();

	if (page->image == image)
	{
		write_page(groups, page, image, buf);
		store_page(groups, page, buf->data, buf->len);
		note_saved(groups, page);
	}
	else if (image->spilled_at == SP_NOT_SPILLED)
		store_page(groups, page, image->data, image->size);
	else
	{
		sp_spill_read(groups, image->spilled_at, image->size, buf);
		set_marks(groups, buf, image->marks);
		store_page(groups, page, buf->data, buf->len);
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
		StringInfo	buf;

		if (!is_unsaved(groups, page))
			continue;			/* was kept, and perhaps changed again */
		buf = take_buffer();
		write_page(groups, page, NULL, buf);
		store_page(groups, page, buf->data, buf->len);
		note_saved(groups, page);
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
	if (groups->image_context != NULL)
		MemoryContextDelete(groups->image_context);
	groups->image_context = NULL;
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

/* What is written of a group before its keys. */
static void
read_head(const char **p, const char *end, SpGroup *head)
{
	uint8		fixed[2];
	uint8		bytes[sizeof(uint64)];
	int			i;

	memset(head, 0, sizeof(*head));
	ItemPointerSetInvalid(&head->tid);
	sp_read_bytes(p, end, fixed, sizeof(fixed));
	head->flags = fixed[0];
	sp_read_bytes(p, end, bytes, (fixed[1] & HAS_SEQUENCE) + 1);
	for (i = fixed[1] & HAS_SEQUENCE; i >= 0; i--)
		head->sequence = head->sequence << 8 | bytes[i];
	if (fixed[1] & HAS_START)
		sp_read_bytes(p, end, &head->start, sizeof(int64));
	if (fixed[1] & HAS_REVISION)
		sp_read_bytes(p, end, &head->revision, sizeof(int32));
	if (fixed[1] & HAS_TID)
		sp_read_bytes(p, end, &head->tid, sizeof(ItemPointerData));
	if (fixed[1] & ~HAS_ALL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a group on a state page has an impossible head: %x", fixed[1])));
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

		read_head(&p, end, &head);
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
