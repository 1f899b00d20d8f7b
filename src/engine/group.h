/*
 * group.h
 *	  Groups by key, on pages: in memory (group.c), to disk and back (group_page.c), and out
 *	  of memory (spill.c).
 *
 * Private to the engine, whose other headers include it.
 */
#ifndef SP_ENGINE_GROUP_H
#define SP_ENGINE_GROUP_H

#include "postgres.h"

#include "base/prefetch.h"
#include "fmgr.h"
#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "storage/itemptr.h"

#define SP_PAGE_GROUPS		64		/* on a page at most; fewer where they are large */
#define SP_PAGE_BYTES		(64 * 1024) /* of a page, unless it has one group only */
#define SP_NOT_SPILLED		INT64CONST(-1)
#define SP_OWN_BLOCK		8200	/* what is larger than 8 kB isn't kept by a memory context */

struct SpExpression;

typedef struct SpKeyColumn
{
	Oid			type;
	int16		typlen;
	bool		typbyval;
	bool		bitwise;		/* equal datums are equal bits (by value) or bytes */
	FmgrInfo	hash;
	FmgrInfo	equal;
	Oid			collation;
} SpKeyColumn;

typedef struct SpBucket SpBucket;
typedef struct SpPage SpPage;

#define SP_GROUP_DIRTY		0x01	/* the result row must be written */
#define SP_GROUP_WRITTEN	0x02	/* a result row is, or may be, in the table */
#define SP_GROUP_FINAL		0x04
#define SP_GROUP_TOUCHED	0x08	/* in the undo log of the rowset at work */
#define SP_GROUP_SEALED		0x10	/* what reads the window has had its row */
#define SP_GROUP_GONE		0x20	/* out of sight, until its result row is deleted */
#define SP_GROUP_ABSENT		0x40	/* it is to have no result row now */
#define SP_GROUP_UNHASHED	0x80	/* sp_group_find() doesn't find it; not durable */

typedef struct SpGroup
{
	struct SpGroup *next;		/* hash chain */
	dlist_node	node;			/* in its bucket, in order of creation */
	SpBucket   *bucket;
	int64		start;			/* which window: its bucket's at; 0 where there are no windows */
	uint64		sequence;		/* order of creation in the object */
	uint32		hash;
	int32		page;
	int32		revision;		/* of the result row, as last committed */
	int16		page_slot;
	uint8		flags;
	ItemPointerData tid;		/* hint: where the result row was last written */
	/* Datum keys[nkeys]; bool nulls[nkeys]; then MAXALIGNed: the value */
} SpGroup;

struct SpPage
{
	char	   *groups;			/* room for page_groups of them; NULL: none yet, or spilled */
	uint64		used;			/* bits: which of them there are */
	int32		number;
	int16		n;
	bool stored : 1;   /* there may be rows for it */
	bool has_room : 1; /* on the list of pages with room, or of empty ones */
	bool touched : 1;  /* since spilling has last come by */
	uint8		marks;			/* SP_PAGE_* */
	int8		ntotal;			/* of a bucket's own: groups, in memory or not; of these: */
	int8		nfinal;
	int8		nsealed;
	uint32		dirty;			/* the epoch in which it was changed; 0: it is as stored */
	int32		spilled_size;	/* 0: it is in memory */
	int32		filled;			/* bytes, of rows in dedup_page.c's form */
	int64		spilled_at;
	int64		latest;			/* the time behind all on it (dedup.c); or the sequence of the
								 * first on it (bucket_page.c) */
	SpBucket   *bucket;			/* whose own it is; NULL: nobody's */
	struct SpPageImage *image;	/* some of its groups, kept for the checkpoint at work; NULL: none */
};

/*
 * What is said of all groups of a page that is a bucket's own (bucket_page.c), durable with
 * it.  The last four are for groups that are out of memory: they become the groups' own when
 * the page comes back.
 */
#define SP_PAGE_OWN			0x01
#define SP_PAGE_UNWRITTEN	0x02	/* but for dirty ones they wait to be written: the page is listed */
#define SP_PAGE_FINAL		0x04
#define SP_PAGE_SEALED		0x08
#define SP_PAGE_REVISED		0x10	/* they were written once more than they tell */
#define SP_PAGE_WRITTEN		0x20	/* result rows are, or may be, in the table */
#define SP_PAGE_ALL			0x3f

#define sp_page_group(set, page, i) \
	(((page)->used >> (i)) & 1 ? \
	 (SpGroup *) ((page)->groups + (Size) (i) * (set)->group_size) : NULL)

/* A group as it was when a checkpoint began, in its durable form. */
typedef struct SpGroupImage
{
	struct SpGroupImage *next;	/* of the same page */
	int16		page_slot;
	int32		size;
	char		data[FLEXIBLE_ARRAY_MEMBER];
} SpGroupImage;

/* A page as it was when a checkpoint began, kept because it has changed since: all or in part. */
typedef struct SpPageImage
{
	slist_node	node;
	int32		page;
	/* in part (the page's image is this one) */
	uint64		kept;			/* bits: groups that may have changed; the others are as they were */
	SpGroupImage *groups;
	/* all of it */
	uint8		marks;			/* of the page */
	Size		size;			/* 0: there was nothing on it */
	int64		spilled_at;		/* SP_NOT_SPILLED: it is here */
	char	   *data;
} SpPageImage;

/* Durable form of a group's value, by the object. */
typedef void (*SpValueWrite) (void *object, SpGroup *group, StringInfo buf);
typedef void (*SpValueRead) (void *object, SpGroup *group, const char **p, const char *end);
typedef void (*SpValueRelease) (void *object, SpGroup *group);

/*
 * Pages that hold something else than groups: page->n things, for which page->groups has room
 * and which refer to nothing beyond it.  read makes page->groups and page->n, of bytes that
 * write has made.
 */
typedef struct SpPageForm
{
	void		(*write) (void *object, SpPage *page, StringInfo buf);
	void		(*read) (void *object, SpPage *page, const char *data, Size size);
} SpPageForm;

typedef struct SpGroups
{
	MemoryContext context;		/* groups and keys */
	int			nkeys;
	SpKeyColumn *keys;
	bool		builtin;		/* none calls functions that a user wrote */
	bool		unhashed;		/* groups are found otherwise, until sp_group_enter() */
	const SpPageForm *form;		/* NULL: pages hold groups */
	Size		nulls_offset;
	Size		value_offset;
	Size		group_size;
	int			page_groups;	/* so many are put on a page */

	SpGroup   **table;			/* chains: see sp_group_chain() */
	uint32		table_size;
	uint32		table_mask;		/* the least 2^n - 1 that is not less than table_size - 1 */
	uint32		table_allocated;
	uint64		n;
	uint64		next_sequence;

	SpPage	  **pages;
	int32		first_page;		/* the object's page that is number 0 here */
	int32		npages;
	int32		pages_allocated;
	List	   *pages_with_room;	/* of SpPage *, used as a stack; none is a bucket's own */
	List	   *empty_pages;	/* likewise: those that were empty by then */

	/* what a checkpoint must write: see group_page.c */
	bool		any_dirty;		/* a page, or what the object has on page 0 */
	uint32		epoch;			/* counts checkpoints; from 1 */
	int32	   *dirty;			/* numbers of the pages changed in this epoch */
	int			ndirty;
	int			dirty_allocated;

	/* what the checkpoint at work has still to write */
	int32		object;
	SpValueWrite write;
	void	   *write_arg;
	int32	   *saving;			/* numbers of pages; those changed since are in images */
	int			nsaving;
	int			nsaved;
	slist_head	images;
	MemoryContext image_context;	/* images in part; NULL: there was none yet */

	/* memory: see spill.c */
	dlist_node	node;			/* among all sets of groups */
	Size		bytes;			/* of pages in memory, and what their groups' keys refer to */
	bool		can_spill;
	bool		own_only;		/* of these only pages that are a bucket's own */
	SpValueRead read;
	SpValueRelease release;		/* give up what a value refers to; NULL: nothing */
	MemoryContext value_context;	/* what values refer to is there, in it or below */
	Size		value_bytes;	/* that a value refers to, about: see spill.c */
	double		value_ratio;	/* of that to what is written of a group; 0: none ever was spilled */
	uint64		nmeasured;		/* groups when value_bytes were measured */
	Size		index_bytes;	/* of what finds things of another form; isn't spilled */
	int32		hand;			/* of the clock: a page */
	struct SpSpill *spill;		/* NULL: none ever were */
} SpGroups;

#define sp_group_keys(groups, group) ((Datum *) ((char *) (group) + sizeof(SpGroup)))
#define sp_group_nulls(groups, group) ((bool *) ((char *) (group) + (groups)->nulls_offset))
#define sp_group_value(groups, group) ((char *) (group) + (groups)->value_offset)

extern void sp_group_init(SpGroups *groups, MemoryContext context, int nkeys,
						  struct SpExpression **keys, Size value_size);
extern uint32 sp_group_hash(SpGroups *groups, int64 start, const Datum *keys, const bool *nulls);
extern SpGroup *sp_group_find(SpGroups *groups, uint32 hash, int64 start,
							  const Datum *keys, const bool *nulls);

/*
 * The chain of a hash.  The table grows a chain at a time, which takes its groups from the
 * one whose number is the same but for the first bit.
 */
static inline uint32
sp_group_chain(const SpGroups *groups, uint32 hash)
{
	uint32		chain = hash & groups->table_mask;

	return chain < groups->table_size ? chain : chain & (groups->table_mask >> 1);
}

/* Have a chain in the cache by the time it is walked; a little later its groups, one by one. */
static inline void
sp_group_prefetch_chain(const SpGroups *groups, uint32 hash)
{
	sp_prefetch(&groups->table[sp_group_chain(groups, hash)]);
}

static inline void
sp_group_prefetch_first(const SpGroups *groups, uint32 hash)
{
	SpGroup    *group = groups->table[sp_group_chain(groups, hash)];

	if (group == NULL)
		return;
	sp_prefetch(&group->next);
	sp_prefetch(&group->hash);
}

static inline void
sp_group_prefetch_second(const SpGroups *groups, uint32 hash)
{
	SpGroup    *group = groups->table[sp_group_chain(groups, hash)];

	if (group == NULL)
		return;
	sp_prefetch(sp_group_value(groups, group));
	if (group->next == NULL)
		return;
	sp_prefetch(&group->next->next);
	sp_prefetch(&group->next->hash);
}

extern SpGroup *sp_group_add(SpGroups *groups, uint32 hash, int64 start,
							 const Datum *keys, const bool *nulls);
extern bool sp_group_same_keys(SpGroups *groups, const Datum *theirs, const bool *their_nulls,
							   const Datum *keys, const bool *nulls);
extern bool sp_group_has_keys(SpGroups *groups, SpGroup *group, const Datum *keys,
							  const bool *nulls);
extern void sp_group_enter(SpGroups *groups, SpGroup *group);
extern SpPage *sp_group_empty_page(SpGroups *groups);
extern SpGroup *sp_group_add_to(SpGroups *groups, SpPage *page, uint32 hash, int64 start,
								const Datum *keys, const bool *nulls);
extern void sp_group_drop_page(SpGroups *groups, SpPage *page);
extern void sp_group_mark_page(SpGroups *groups, SpPage *page, uint8 marks);
extern void sp_group_unmark_page(SpGroups *groups, SpPage *page, uint8 marks);
extern void sp_group_take_marks(SpGroups *groups, SpPage *page);
extern void sp_group_hide(SpGroups *groups, SpGroup *group);
extern void sp_group_remove(SpGroups *groups, SpGroup *group);
extern uint64 sp_group_count(const SpGroups *groups);

/*
 * Whoever changes a group, be it only a flag that is part of its durable form, calls
 * sp_group_changing() before and sp_group_changed() after: a checkpoint may still have to
 * write it as it is; what is done to all of a page needs sp_group_keep().  A group that
 * sp_group_find() or sp_group_add() has just returned is ready to be changed.
 */
extern void sp_group_keep(SpGroups *groups, SpPage *page);
extern void sp_group_keep_one(SpGroups *groups, SpGroup *group);
extern void sp_group_changed(SpGroups *groups, SpGroup *group);

static inline void
sp_group_changing(SpGroups *groups, SpGroup *group)
{
	SpPage	   *page = groups->pages[group->page];

	if (unlikely(page->dirty == groups->epoch ? page->image != NULL : page->dirty != 0))
		sp_group_keep_one(groups, group);
}

/* Parts of group.c and group_page.c that the other one needs. */
extern SpGroup *sp_group_make(SpGroups *groups, SpPage *page, int slot, uint32 hash,
							  int64 start, const Datum *keys, const bool *nulls);
extern void sp_group_release(SpGroups *groups, SpGroup *group);
extern void sp_group_make_room(SpGroups *groups, SpPage *page, Size size);
extern void sp_group_free_room(SpGroups *groups, SpPage *page);
extern SpPage *sp_group_ensure_page(SpGroups *groups, int32 number);
extern void sp_group_note_room(SpGroups *groups, SpPage *page);
extern void sp_group_page_changed(SpGroups *groups, SpPage *page);
extern bool sp_group_keep_spilled(SpGroups *groups, SpPage *page, int64 at, int32 size);
extern void sp_group_write_page(SpGroups *groups, SpPage *page, StringInfo buf);
extern uint8 sp_group_read_page(SpGroups *groups, SpPage *page, const char *data, Size size,
								SpValueRead read, void *arg);
extern void sp_group_write_key(StringInfo buf, const SpKeyColumn *key, Datum value, bool isnull);
extern Datum sp_group_read_key(const char **p, const char *end, const SpKeyColumn *key,
							   bool *isnull);

/*
 * Writing what is dirty when it begins, a page at a time, numbered from 1 (page 0 is the
 * object's own); next returns false when nothing is left.  What is undone instead of ended,
 * all of it or what is left, is dirty again.
 */
extern void sp_group_save_begin(SpGroups *groups, int32 object, SpValueWrite write, void *arg);
extern bool sp_group_save_next(SpGroups *groups);
extern void sp_group_save_end(SpGroups *groups);
extern void sp_group_save_undo(SpGroups *groups, bool all);
extern void sp_group_load_page(SpGroups *groups, int32 page, const char *data, Size size,
							   SpValueRead read, void *arg);

/* spill.c: memory, and what is moved out of it */
extern void sp_spill_register(SpGroups *groups);
extern void sp_spill_allow(SpGroups *groups, SpValueWrite write, SpValueRead read,
						   SpValueRelease release, MemoryContext value_context, void *arg);
extern void sp_spill_note_size(SpGroups *groups, int n, Size size);
extern bool sp_spill_bring_back(SpGroups *groups, uint32 hash);
extern void sp_spill_bring_page(SpGroups *groups, SpPage *page);
extern int64 sp_spill_write(SpGroups *groups, const char *data, Size size);
extern void sp_spill_read(SpGroups *groups, int64 at, int32 size, StringInfo buf);
extern void sp_spill_forget(SpGroups *groups, int64 at, int32 size);
extern uint64 sp_spill_count(const SpGroups *groups);
extern void sp_spill_run(void);
extern bool sp_spill_wants_writing(void);
extern void sp_spill_try_again(void);

/* Reading durable bytes. */
extern bool sp_is_one_value(const char *data, uint32 size, int16 typlen);
extern void sp_read_bytes(const char **p, const char *end, void *to, Size size);

#endif
