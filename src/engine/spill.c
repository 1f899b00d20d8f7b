/*
 * spill.c
 *	  Memory of groups, and the pages that are moved out of it.
 *
 * When the groups of all objects take more than streamproc.max_state_memory, pages that
 * haven't been touched for longest go to a temporary file, in their durable form: the hand of
 * a clock goes over the pages of each set of groups, and takes those that weren't touched
 * since it came by before.  A directory in memory tells by the hash of a key on which spilled
 * pages it may be; a page comes back as a whole.  A dirty page may be spilled, too: a
 * checkpoint then writes what is in the file.
 *
 * Only groups that nothing points at are spilled: those of some sets, and in others those on
 * pages that are a bucket's own; and of these only pages without dirty groups, which wait to be
 * written.  The others count all the same.
 */
#include "engine/internal.h"

#include <unistd.h>

#include "base/compat.h"
#include "base/guc.h"
#include "base/shared.h"
#include "engine/directory.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#define UNIT			512		/* of space in the file */
#define LARGEST			1024	/* units of a page: larger ones stay in memory */
#define PAGE_OVERHEAD	160		/* bytes that each page takes elsewhere, in memory or not */
#define AT_ONCE			(1024 * 1024)	/* bytes below the limit that are made free */
#define NOT_COUNTED		100		/* of 1024 parts of the limit: left to what isn't counted here */
#define SAMPLE_PAGES	64
#define WORTH_TRIMMING	32		/* a part of the limit */
#define MOST_BLOCKED	1024	/* pages that can't go, in a row: give up for now */
#define DIRECTORY_MOST	80		/* per cent */
#define DIRECTORY_GROWTH 25		/* per cent */
#define ENOUGH_BACK		256		/* pages that came back since: try again */
#define TELL_AGAIN_MS	60000	/* that the file can't be written */

/* Pieces of the file that are free, of one size. */
typedef struct FreeList
{
	int64	   *at;
	int			n;
	int			allocated;
} FreeList;

typedef struct SpSpill
{
	File		file;
	int64		end;			/* of what was ever used of it */
	FreeList	free[LARGEST + 1];	/* by units */
	SpDirectory directory;	/* on which page a group is */
	int32		npages;
	StringInfoData buf;
} SpSpill;

static dlist_head all = DLIST_STATIC_INIT(all);	/* of SpGroups */
static int64 spilled_pages;		/* of all */
static bool is_tight;			/* hardly any memory is left */
static Size most_held;			/* bytes of pages and the like that malloc() may still hold */
static bool is_stuck;			/* nothing more can go for now */
static int	nback;				/* pages that came back since nothing could */
static bool is_blocked;			/* because results aren't written */
static bool is_full;			/* the file can't be made or written: no more until the next try */
static TimestampTz told_full;	/* when the log last said so */

/* ---- memory ---- */

/* The set's memory goes. */
static void
unregister(void *arg)
{
	SpGroups   *groups = arg;

	dlist_delete(&groups->node);
	if (groups->spill == NULL)
		return;
	spilled_pages -= groups->spill->npages;
	FileClose(groups->spill->file);
}

/* A set of groups is there, until its context goes. */
void
sp_spill_register(SpGroups *groups)
{
	MemoryContextCallback *callback = MemoryContextAlloc(groups->context,
														 sizeof(MemoryContextCallback));

	dlist_push_tail(&all, &groups->node);
	callback->func = unregister;
	callback->arg = groups;
	MemoryContextRegisterResetCallback(groups->context, callback);
}

/*
 * Nothing but their pages points at the groups, at least where a page is a bucket's own, and
 * reading a value back runs nothing that a user wrote.
 */
void
sp_spill_allow(SpGroups *groups, SpValueWrite write, SpValueRead read, SpValueRelease release,
			   MemoryContext value_context, void *arg)
{
	if (!groups->builtin)
		return;
	groups->can_spill = true;
	groups->write = write;
	groups->read = read;
	groups->release = release;
	groups->value_context = value_context;
	groups->write_arg = arg;
}

/*
 * What values refer to has many forms, and isn't counted one by one.  Until some are spilled
 * the memory context knows how much it is.  From then on the context has room that is free,
 * and there are more or less groups in memory: a group is taken to refer to so many times what
 * it is written as, as it was until then.
 */
static void
measure_values(SpGroups *groups)
{
	Size		all;
	Size		own;

	if (groups->release == NULL || groups->value_ratio > 0 || groups->n == 0)
		return;
	all = MemoryContextMemAllocated(groups->value_context, true);
	own = MemoryContextMemAllocated(groups->context, true);
	groups->value_bytes = all > own ? (all - own) / groups->n : 0;
	groups->nmeasured = groups->n;
}

/* The first of them are about to be spilled: what are they written as? */
static void
find_ratio(SpGroups *groups)
{
	int32		step = Max(1, groups->npages / SAMPLE_PAGES);
	StringInfoData buf;
	Size		size = 0;
	uint64		n = 0;
	int32		p;

	measure_values(groups);
	initStringInfo(&buf);
	for (p = 1; p < groups->npages; p += step)
	{
		if (groups->pages[p] == NULL || groups->pages[p]->n == 0)
			continue;
		sp_group_write_page(groups, groups->pages[p], &buf);
		size += buf.len;
		n += groups->pages[p]->n;
	}
	pfree(buf.data);
	groups->value_ratio = n == 0 ? 1 : Max(1.0, (double) groups->value_bytes * n / size);
}

/* A page was written: n groups, so many bytes. */
void
sp_spill_note_size(SpGroups *groups, int n, Size size)
{
	if (groups->value_ratio > 0)
		groups->value_bytes = (groups->value_bytes * 15 +
							   (Size) (groups->value_ratio * size / n) + 15) / 16;
}

/* How many groups are spilled. */
uint64
sp_spill_count(const SpGroups *groups)
{
	return groups->spill == NULL ? 0 : groups->spill->directory.n;
}

/* Bytes of groups that spilling makes free. */
static inline Size
held_by(const SpGroups *groups)
{
	return groups->bytes + groups->n * groups->value_bytes;
}

/* Bytes that a set takes. */
static Size
memory_of(const SpGroups *groups)
{
	Size		bytes = held_by(groups) + sizeof(SpGroup *) * (Size) groups->table_size +
		groups->index_bytes +
		(sizeof(SpPage) + PAGE_OVERHEAD) * (Size) groups->npages;

	if (groups->spill != NULL)
		bytes += sizeof(SpSpill) + groups->spill->directory.bytes;
	return bytes;
}

/* ---- the file ---- */

static inline int
units_of(Size size)
{
	return (size + UNIT - 1) / UNIT;
}

/* A piece of the file. */
static int64
take_space(SpSpill *spill, int units)
{
	int64		at = spill->end;

	if (spill->free[units].n > 0)
		return spill->free[units].at[--spill->free[units].n];
	spill->end += (int64) units * UNIT;
	return at;
}

/* Give a piece back. */
static void
give_space(SpGroups *groups, int64 at, int units)
{
	FreeList   *list = &groups->spill->free[units];

	if (list->n == list->allocated)
	{
		int			allocated = Max(64, list->allocated * 2);
		int64	   *grown = MemoryContextAllocHuge(groups->context, sizeof(int64) * (Size) allocated);

		if (list->at != NULL)
		{
			memcpy(grown, list->at, sizeof(int64) * list->n);
			pfree(list->at);
		}
		list->at = grown;
		list->allocated = allocated;
	}
	list->at[list->n++] = at;
}

/* There is no room on disk: memory is all there is, and nobody stops for it. */
static void
note_full(const char *reason)
{
	TimestampTz now = GetCurrentTimestamp();

	is_full = true;
	if (told_full != 0 && !TimestampDifferenceExceeds(told_full, now, TELL_AGAIN_MS))
		return;
	told_full = now;
	ereport(LOG,
			(errmsg("state can't be spilled, and stays in memory: %s", reason),
			 errhint("Make room for temporary files, or raise streamproc.max_state_memory.")));
}

/* A temporary file; 0: there can be none. */
static File
open_file(void)
{
	MemoryContext context = CurrentMemoryContext;
	volatile File file = 0;

	PG_TRY();
	{
		file = OpenTemporaryFile(true);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		note_full(error->message);
		FreeErrorData(error);
	}
	PG_END_TRY();
	return file;
}

/* Start to spill; false: that can't be. */
static bool
open_spill(SpGroups *groups)
{
	File		file = open_file();
	MemoryContext old;
	SpSpill    *spill;

	if (file <= 0)
		return false;
	old = MemoryContextSwitchTo(groups->context);
	spill = palloc0(sizeof(SpSpill));
	initStringInfo(&spill->buf);
	sp_directory_init(&spill->directory, groups->context, DIRECTORY_MOST, DIRECTORY_GROWTH);
	spill->file = file;
	groups->spill = spill;
	MemoryContextSwitchTo(old);
	return true;
}

/* Bytes of the file. */
void
sp_spill_read(SpGroups *groups, int64 at, int32 size, StringInfo buf)
{
	enlargeStringInfo(buf, size);
	if (FileRead(groups->spill->file, buf->data, size, at, WAIT_EVENT_BUFFILE_READ) != size)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read spilled state back: %m")));
	buf->len = size;
	buf->data[size] = '\0';
}

/* Bytes to the file; SP_NOT_SPILLED: that can't be. */
static int64
write_bytes(SpGroups *groups, const char *data, Size size)
{
	int			units = units_of(size);
	int64		at;

	if (units > LARGEST || is_full)
		return SP_NOT_SPILLED;
	if (groups->spill == NULL && !open_spill(groups))
		return SP_NOT_SPILLED;
	errno = 0;
	at = take_space(groups->spill, units);
	if (FileWrite(groups->spill->file, unconstify(char *, data), size, at,
				  WAIT_EVENT_BUFFILE_WRITE) == size)
		return at;
	note_full(strerror(errno != 0 ? errno : ENOSPC));
	give_space(groups, at, units);
	return SP_NOT_SPILLED;
}

/* Bytes that take memory for a while: to the file if there is little of it left. */
int64
sp_spill_write(SpGroups *groups, const char *data, Size size)
{
	return is_tight ? write_bytes(groups, data, size) : SP_NOT_SPILLED;
}

/* They aren't needed any more. */
void
sp_spill_forget(SpGroups *groups, int64 at, int32 size)
{
	give_space(groups, at, units_of(size));
}

/* ---- out and back ---- */

/* Is the page one of those that go? */
static inline bool
is_movable(const SpGroups *groups, const SpPage *page)
{
	return page != NULL && page->groups != NULL && page->n > 0 &&
		(!groups->own_only || page->bucket != NULL);
}

/* Can it go now? */
static bool
can_go(SpGroups *groups, SpPage *page)
{
	int			i;

	for (i = 0; i < SP_PAGE_GROUPS; i++)
	{
		SpGroup    *group = sp_page_group(groups, page, i);

		if (group != NULL &&
			(group->flags & (SP_GROUP_DIRTY | SP_GROUP_TOUCHED | SP_GROUP_GONE)))
			return false;
	}
	return true;
}

/* Move a page out of memory; how much that makes free, 0: it can't be. */
static Size
spill_page(SpGroups *groups, SpPage *page)
{
	StringInfo	buf;
	Size		held;
	int64		at;
	int			i;

	if (groups->spill == NULL && !open_spill(groups))
		return 0;
	if (page->image != NULL)
		sp_group_keep(groups, page);	/* the file is to have the page as it is now */
	held = groups->bytes + page->n * groups->value_bytes;
	buf = &groups->spill->buf;
	sp_group_write_page(groups, page, buf);
	at = write_bytes(groups, buf->data, buf->len);
	if (at == SP_NOT_SPILLED)
		return 0;
	for (i = 0; i < SP_PAGE_GROUPS; i++)
	{
		SpGroup    *group = sp_page_group(groups, page, i);

		if (group == NULL)
			continue;
		sp_directory_add(&groups->spill->directory, group->hash, page->number);
		if (groups->release != NULL)
			groups->release(groups->write_arg, group);
		sp_group_release(groups, group);
	}
	page->n = 0;
	sp_group_free_room(groups, page);
	page->spilled_at = at;
	page->spilled_size = buf->len;
	groups->spill->npages++;
	spilled_pages++;
	return held - groups->bytes;
}

/* Bring a page back. */
static void
read_spilled(SpGroups *groups, SpPage *page)
{
	SpSpill    *spill = groups->spill;
	int32		size = page->spilled_size;
	int			i;

	resetStringInfo(&spill->buf);
	sp_spill_read(groups, page->spilled_at, size, &spill->buf);
	page->spilled_size = 0;
	spill->npages--;
	spilled_pages--;
	(void) sp_group_read_page(groups, page, spill->buf.data, spill->buf.len, groups->read,
							  groups->write_arg);
	for (i = 0; i < SP_PAGE_GROUPS; i++)
	{
		SpGroup    *group = sp_page_group(groups, page, i);

		if (group != NULL)
			sp_directory_remove(&spill->directory, group->hash, page->number);
	}
	if (!sp_group_keep_spilled(groups, page, page->spilled_at, size))
		give_space(groups, page->spilled_at, units_of(size));
	sp_group_take_marks(groups, page);
	if (page->n < groups->page_groups)
		sp_group_note_room(groups, page);
	if (++nback == ENOUGH_BACK)
		is_stuck = false;
}

/*
 * The same; an error is the end of the process.  Somebody may be prepared for errors here, but
 * takes them to be of the row at work, and half a page to be all that there is.
 */
void
sp_spill_bring_page(SpGroups *groups, SpPage *page)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		read_spilled(groups, page);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		ereport(FATAL,
				(errcode(error->sqlerrcode),
				 errmsg("spilled state can't be brought back: %s", error->message)));
	}
	PG_END_TRY();
}

/* Bring back what may have a key of that hash; false: nothing does. */
bool
sp_spill_bring_back(SpGroups *groups, uint32 hash)
{
	SpDirectory *directory = &groups->spill->directory;
	SpDirectoryLook look;
	bool		any = false;
	int64		page;

	while (sp_directory_look(directory, hash, &look), (page = sp_directory_next(&look)) != 0)
	{
		sp_spill_bring_page(groups, groups->pages[page]);
		any = true;
	}
	return any;
}

/* ---- the clock ---- */

/* Move pages of a set out, so many bytes of memory; returns how many. */
static Size
spill_some(SpGroups *groups, Size wanted)
{
	Size		freed = 0;
	int64		steps = 2 * (int64) groups->npages;
	int			blocked = 0;

	while (freed < wanted && steps-- > 0 && blocked < MOST_BLOCKED && !is_full)
	{
		SpPage	   *page;
		Size		gone = 0;

		if (++groups->hand >= groups->npages)
			groups->hand = 1;
		page = groups->pages[groups->hand];
		if (!is_movable(groups, page))
			continue;
		if (page->touched)
		{
			page->touched = false;
			continue;
		}
		if (can_go(groups, page))
			gone = spill_page(groups, page);
		else
			is_blocked = true;
		freed += gone;
		blocked = gone > 0 ? 0 : blocked + 1;
	}
	return freed;
}

/*
 * Have the system get back what was freed between pages that are still there, once that is
 * much: pages go as the directory grows, and images at the end of a checkpoint.
 */
static void
trim(Size used, Size held)
{
	Size		limit = (Size) sp_guc_max_state_memory * 1024;

	most_held = Max(most_held, held);
	if (most_held - held < limit / WORTH_TRIMMING || used + (most_held - held) < limit)
		return;
	sp_compat_trim_heap();
	most_held = held;
}

/* Is there more than may be?  Then move some of it out.  Nobody may hold a group. */
void
sp_spill_run(void)
{
	Size		limit = (Size) sp_guc_max_state_memory * (1024 - NOT_COUNTED);
	Size		used = 0;
	Size		held = 0;
	Size		excess;
	dlist_iter	iter;

	dlist_foreach(iter, &all)
	{
		SpGroups   *groups = dlist_container(SpGroups, node, iter.cur);

		if (groups->n > groups->nmeasured + groups->nmeasured / 16)
			measure_values(groups);
		used += memory_of(groups);
		held += held_by(groups);
	}
	trim(used, held);
	is_tight = used > limit - limit / 16;
	if (is_stuck || used <= limit)
		return;
	is_blocked = false;
	excess = used - limit + Min(AT_ONCE, limit / 16);
	dlist_foreach(iter, &all)
	{
		SpGroups   *groups = dlist_container(SpGroups, node, iter.cur);
		Size		freed;

		if (!groups->can_spill)
			continue;
		if (groups->release != NULL && groups->value_ratio == 0)
			find_ratio(groups);
		freed = spill_some(groups, Min(excess, held_by(groups)));
		if (freed >= excess)
		{
			excess = 0;
			break;
		}
		excess -= freed;
	}
	is_stuck = excess > 0;
	nback = 0;
	/* the helper's are not shown */
	if (sp_my_worker != NULL && sp_engine.helper != NULL)
		pg_atomic_write_u64(&sp_my_worker->spilled_pages, spilled_pages);
}

/* Would more go if results were written? */
bool
sp_spill_wants_writing(void)
{
	return is_stuck && is_blocked;
}

/* Results were written, and rows have come and gone. */
void
sp_spill_try_again(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &all)
		measure_values(dlist_container(SpGroups, node, iter.cur));
	is_stuck = is_full = false;
	sp_spill_run();
}
