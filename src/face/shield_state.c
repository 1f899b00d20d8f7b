/*
 * shield_state.c
 *	  States of shields' keys, as a transaction works on them.
 *
 * A key that the transaction meets first is read without a lock, judged, and its state written at
 * once: where nobody was faster that is its lock as well, with one record in the WAL and not two.
 * Who judges and changes nothing needs none: what was committed then is what counts.  Where
 * somebody was faster, the row is locked first and judged again.
 *
 * An entry is a row of a table of states, locked, with its state in memory.  It is found by
 * the bytes of the row's key; where none has these bytes, by the table, whose index knows
 * which keys are equal: then two spellings of a key have one entry.
 *
 * What a subtransaction changes is undone when it aborts, from a stack of what states were
 * before; an entry whose row it was the first to lock is forgotten then, for the lock is gone.
 * Entries are written before the top transaction commits, or is prepared.
 *
 * Many are written earlier, and forgotten: within a subtransaction those that it has met first,
 * which its abort takes back from the table, lock and all.  These are the newest entries, and
 * what the stack has of them are its newest records.  So memory holds MOST_BYTES and what one
 * statement adds, and at each level of nested subtransactions at most as much again: what was
 * before of what outer levels have met.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_authid_d.h"
#include "catalog/pg_type_d.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/itemptr.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "face/shield_state.h"
#include "face/shield_table.h"

#define MOST_BYTES	((Size) 32 * 1024 * 1024)	/* in memory, before entries are written */
#define OVERHEAD	256			/* bytes of an entry beside its state, about */

struct SpShieldEntry
{
	SpShieldStates *states;
	ItemPointerData tid;
	bool		dead;			/* its table is being dropped */
	bool		dirty;
	struct Undo *undo;			/* newest */
	struct ImageSlot *images;	/* that have it */
	SpShieldEntry *next;		/* of all, an older one */
	SpShieldState *state;
	Size		bytes;			/* of it, as held has them */
};

/* What an entry was before a subtransaction changed it. */
typedef struct Undo
{
	struct Undo *next;			/* in the stack: of this level or an outer one */
	struct Undo *older;			/* of the same entry */
	SpShieldEntry *entry;
	int			level;			/* nesting of the subtransaction */
	bool		dirty;
	SpShieldState *state;		/* NULL: there was no entry, and this is the oldest record */
	Size		bytes;			/* of it */
} Undo;

/* The bytes of a key of a table. */
typedef struct Image
{
	const SpShieldStates *states;
	uint32		size;
	uint32		hash;
	char	   *data;
} Image;

typedef struct ImageSlot
{
	Image		image;			/* the hash key */
	SpShieldEntry *entry;
	struct ImageSlot *next;		/* of the same entry */
} ImageSlot;

/* A row of a table.  Without padding: as the key of a hash table it is bytes. */
typedef struct Place
{
	Oid			relid;
	BlockNumber block;
	uint32		offset;
} Place;

StaticAssertDecl(sizeof(Place) == sizeof(Oid) + sizeof(BlockNumber) + sizeof(uint32),
				 "a place is to be hashed, and compared, byte by byte");

typedef struct PlaceSlot
{
	Place		place;			/* the hash key */
	SpShieldEntry *entry;
} PlaceSlot;

static MemoryContext context = NULL;	/* of the transaction at work; NULL: it has met no key */
static HTAB *images;
static HTAB *places;
static SpShieldEntry *entries;	/* newest first */
static Undo *undos;				/* newest first */
static Size held;				/* bytes, about */

/* What was read without a lock, last, in this transaction's memory. */
typedef struct Loose
{
	SpShieldStates *states;
	const Datum *keys;
	const bool *nulls;
	ItemPointerData tid;
	SpShieldState *state;
} Loose;

static Loose loose;

/* ---- memory of a transaction ---- */

static uint32
hash_image(const void *key, Size size)
{
	return ((const Image *) key)->hash;
}

static int
match_images(const void *a, const void *b, Size size)
{
	const Image *x = a;
	const Image *y = b;

	return x->states != y->states || x->size != y->size || memcmp(x->data, y->data, x->size) != 0;
}

static void
forget_all(void)
{
	if (context != NULL)
		MemoryContextDelete(context);
	context = NULL;
	loose.state = NULL;
	entries = NULL;
	undos = NULL;
	held = 0;
}

static void
create_tables(void)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(Image);
	control.entrysize = sizeof(ImageSlot);
	control.hash = hash_image;
	control.match = match_images;
	control.hcxt = context;
	images = hash_create("streamproc shield images", 64, &control,
						 HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	control.keysize = sizeof(Place);
	control.entrysize = sizeof(PlaceSlot);
	places = hash_create("streamproc shield places", 64, &control,
						 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

bool
sp_shield_state_is_idle(void)
{
	return context == NULL;
}

static Place
place_of(const SpShieldStates *states, const ItemPointerData *tid)
{
	Place		place = {.relid = sp_shield_table_relid(states)};

	place.block = ItemPointerGetBlockNumber(tid);
	place.offset = ItemPointerGetOffsetNumber(tid);
	return place;
}

/* Nobody finds the entry any more. */
static void
hide(SpShieldEntry *entry)
{
	Place		place = place_of(entry->states, &entry->tid);

	hash_search(places, &place, HASH_REMOVE, NULL);
	while (entry->images != NULL)
	{
		ImageSlot  *slot = entry->images;
		char	   *data = slot->image.data;

		entry->images = slot->next;
		hash_search(images, &slot->image, HASH_REMOVE, NULL);
		pfree(data);
	}
}

/* Forget the newest entry. */
static void
pop_entry(void)
{
	SpShieldEntry *entry = entries;

	if (!entry->dead)
		hide(entry);
	entries = entry->next;
	held -= OVERHEAD + entry->bytes;
	sp_shield_free_state(sp_shield_table_shield(entry->states), entry->state);
	pfree(entry);
}

/* ---- savepoints ---- */

/* Forget a record, the newest of its entry. */
static void
free_undo(Undo *undo)
{
	undo->entry->undo = undo->older;
	if (undo->state != NULL)
	{
		held -= undo->bytes;
		sp_shield_free_state(sp_shield_table_shield(undo->entry->states), undo->state);
	}
	pfree(undo);
}

/* Is it an entry that the subtransaction of that level has met first? */
static bool
is_new_at(const SpShieldEntry *entry, int level)
{
	return entry->undo != NULL && entry->undo->state == NULL && entry->undo->level >= level;
}

/* The entry becomes what it was. */
static void
swap_states(SpShieldEntry *entry, Undo *undo)
{
	SpShieldState *state = entry->state;
	Size		bytes = entry->bytes;

	entry->state = undo->state;
	entry->bytes = undo->bytes;
	undo->state = state;
	undo->bytes = bytes;
}

/* What the subtransaction of that level has done is undone. */
static void
undo_level(int level)
{
	while (undos != NULL && undos->level >= level)
	{
		Undo	   *undo = undos;
		SpShieldEntry *entry = undo->entry;

		undos = undo->next;
		if (undo->state == NULL)
		{
			Assert(entry == entries);
			pop_entry();
			pfree(undo);
			continue;
		}
		swap_states(entry, undo);
		entry->dirty = undo->dirty;
		free_undo(undo);
	}
}

/* What it has done is the outer one's now; the top transaction needs no undo. */
static void
merge_level(int level)
{
	Undo	  **link = &undos;

	while (*link != NULL && (*link)->level >= level)
	{
		Undo	   *undo = *link;

		if (level > 2 && (undo->older == NULL || undo->older->level < level - 1))
		{
			undo->level = level - 1;
			link = &undo->next;
			continue;
		}
		*link = undo->next;
		free_undo(undo);
	}
}

/* Keep what the entry was, unless this subtransaction has kept that already. */
static void
keep(SpShieldEntry *entry, bool is_new)
{
	int			level = GetCurrentTransactionNestLevel();
	Undo	   *undo;

	if (level == 1 || (entry->undo != NULL && entry->undo->level == level))
		return;
	undo = MemoryContextAllocZero(context, sizeof(Undo));
	undo->entry = entry;
	undo->level = level;
	undo->dirty = entry->dirty;
	if (!is_new)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		undo->state = sp_shield_copy_state(sp_shield_table_shield(entry->states), entry->state);
		undo->bytes = entry->bytes;
		held += undo->bytes;
		MemoryContextSwitchTo(old);
	}
	undo->older = entry->undo;
	undo->next = undos;
	entry->undo = undo;
	undos = undo;
}

/* ---- writing ---- */

static void
write_entry(SpShieldWriting *writing, SpShieldEntry *entry)
{
	ItemPointerData tid = entry->tid;	/* by which it is found: it stays */

	if (entry->dirty && !entry->dead)
		sp_shield_table_write(writing, entry->states, &tid, entry->state);
}

/* Write all that was changed, and forget it. */
static void
flush_all(void)
{
	SpShieldWriting *writing = sp_shield_table_begin();

	for (SpShieldEntry *entry = entries; entry != NULL; entry = entry->next)
		write_entry(writing, entry);
	sp_shield_table_end(writing);
	forget_all();
}

/* Forget what the stack has of entries that a subtransaction has met first. */
static void
forget_new(int level)
{
	Undo	  **link = &undos;

	while (*link != NULL && (*link)->level >= level)
	{
		Undo	   *undo = *link;

		if (undo->state != NULL)
		{
			link = &undo->next;
			continue;
		}
		*link = undo->next;
		pfree(undo);
	}
}

/* Write what the subtransaction at work has met first, and forget it. */
static void
flush_level(int level)
{
	SpShieldWriting *writing = sp_shield_table_begin();

	for (SpShieldEntry *entry = entries; entry != NULL && is_new_at(entry, level);
		 entry = entry->next)
		write_entry(writing, entry);
	sp_shield_table_end(writing);
	while (entries != NULL && is_new_at(entries, level))
		pop_entry();
	forget_new(level);
}

/* Is there anything to be written? */
static bool
any_dirty(void)
{
	for (const SpShieldEntry *entry = entries; entry != NULL; entry = entry->next)
	{
		if (entry->dirty && !entry->dead)
			return true;
	}
	return false;
}

/* Before a commit, without a query around us. */
static void
flush_at_end(int level)
{
	ResourceOwner owner = CurrentResourceOwner;

	if (level == 1 && !any_dirty())
	{
		forget_all();
		return;
	}

	CurrentResourceOwner = CurTransactionResourceOwner;
	PushActiveSnapshot(GetTransactionSnapshot());
	if (level == 1)
		flush_all();
	else
		flush_level(level);
	PopActiveSnapshot();
	CurrentResourceOwner = owner;
}

static void
at_subxact(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (context == NULL)
		return;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		undo_level(level);
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
		merge_level(level);
	else if (event == SUBXACT_EVENT_PRE_COMMIT_SUB && held > MOST_BYTES)
		flush_at_end(level);
}

static void
at_xact(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			if (context != NULL)
				flush_at_end(1);
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			forget_all();
			break;
		default:
			break;
	}
}

void
sp_shield_state_relax(void)
{
	int			level = GetCurrentTransactionNestLevel();

	if (context == NULL || held <= MOST_BYTES)
		return;
	if (level == 1)
		flush_all();
	else
		flush_level(level);
}

void
sp_shield_state_forget(Oid relid)
{
	for (SpShieldEntry *entry = context != NULL ? entries : NULL; entry != NULL; entry = entry->next)
	{
		if (entry->dead || sp_shield_table_relid(entry->states) != relid)
			continue;
		hide(entry);
		entry->dead = true;
	}
}

/* ---- keys ---- */

/* Begin to remember. */
static void
begin(void)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(at_xact, NULL);
		RegisterSubXactCallback(at_subxact, NULL);
		registered = true;
	}
	if (context != NULL)
		return;
	context = AllocSetContextCreate(TopTransactionContext, "streamproc shield states",
									ALLOCSET_DEFAULT_SIZES);
	create_tables();
}

/* The slot of a key's bytes; when there is none it is made, without an entry, or NULL. */
static ImageSlot *
get_slot(SpShieldStates *states, const Datum *keys, const bool *nulls, bool make)
{
	StringInfoData buf;
	ImageSlot  *slot;
	Image		image;
	bool		found;

	initStringInfo(&buf);
	sp_shield_table_image(states, keys, nulls, &buf);
	memset(&image, 0, sizeof(image));
	image.states = states;
	image.size = buf.len;
	image.hash = hash_bytes((unsigned char *) buf.data, buf.len);
	image.data = buf.data;
	slot = hash_search(images, &image, make ? HASH_ENTER : HASH_FIND, &found);
	if (!found && make)
	{
		slot->entry = NULL;
		slot->image.data = MemoryContextAlloc(context, Max(1, buf.len));
		memcpy(slot->image.data, buf.data, buf.len);
	}
	pfree(buf.data);
	return slot;
}

/* The entry of the row that was just locked. */
static SpShieldEntry *
get_entry(SpShieldStates *states, const ItemPointerData *tid, SpShieldState *state)
{
	SpShieldEntry *entry = MemoryContextAllocZero(context, sizeof(SpShieldEntry));
	PlaceSlot  *slot;
	Place		place;
	bool		found;

	entry->states = states;
	entry->tid = *tid;
	place = place_of(entry->states, &entry->tid);
	slot = hash_search(places, &place, HASH_ENTER, &found);
	if (found)
	{
		pfree(entry);
		sp_shield_free_state(sp_shield_table_shield(states), state);
		return slot->entry;
	}
	slot->entry = entry;
	entry->state = state;
	entry->bytes = sp_shield_state_bytes(sp_shield_table_shield(states), state);
	held += OVERHEAD + entry->bytes;
	entry->next = entries;
	entries = entry;
	keep(entry, true);
	return entry;
}

/* Has a key that is spelled otherwise led to the row at tid? */
static bool
is_known(const SpShieldStates *states, const ItemPointerData *tid)
{
	Place		place = place_of(states, tid);

	return hash_search(places, &place, HASH_FIND, NULL) != NULL;
}

/* The key's bytes lead to the entry of its row, which is locked at tid. */
static SpShieldEntry *
enter(SpShieldStates *states, const Datum *keys, const bool *nulls, const ItemPointerData *tid,
	  SpShieldState *state)
{
	ImageSlot  *slot = get_slot(states, keys, nulls, true);

	slot->entry = get_entry(states, tid, state);
	slot->next = slot->entry->images;
	slot->entry->images = slot;
	return slot->entry;
}

/* What was read of another key, or for another row, and wasn't written. */
static void
forget_loose(void)
{
	if (loose.state != NULL)
		sp_shield_free_state(sp_shield_table_shield(loose.states), loose.state);
	loose.state = NULL;
}

SpShieldEntry *
sp_shield_state_find(SpShieldStates *states, const Datum *keys, const bool *nulls,
					 SpShieldState **state)
{
	SpShieldEntry *entry;
	ImageSlot  *slot;

	begin();
	forget_loose();
	slot = get_slot(states, keys, nulls, false);
	if (slot != NULL && slot->entry != NULL)
	{
		*state = slot->entry->state;
		return slot->entry;
	}
	*state = sp_shield_table_read(states, keys, nulls, context, &loose.tid);
	if (*state == NULL)
		return sp_shield_state_lock(states, keys, nulls, state);
	if (is_known(states, &loose.tid))
	{
		entry = enter(states, keys, nulls, &loose.tid, *state);
		*state = entry->state;
		return entry;
	}
	loose.states = states;
	loose.keys = keys;
	loose.nulls = nulls;
	loose.state = *state;
	return NULL;
}

SpShieldEntry *
sp_shield_state_lock(SpShieldStates *states, const Datum *keys, const bool *nulls,
					 SpShieldState **state)
{
	ItemPointerData tid;
	SpShieldEntry *entry;

	forget_loose();
	*state = sp_shield_table_lock(states, keys, nulls, context, &tid);
	entry = enter(states, keys, nulls, &tid, *state);
	*state = entry->state;
	return entry;
}

bool
sp_shield_state_try(SpShield *shield)
{
	SpShieldState *state = loose.state;

	Assert(state != NULL);
	sp_shield_learn(shield, state);
	if (!sp_shield_table_try(loose.states, &loose.tid, state))
		return false;
	loose.state = NULL;
	(void) enter(loose.states, loose.keys, loose.nulls, &loose.tid, state);
	return true;
}

void
sp_shield_state_learn(SpShieldEntry *entry, SpShield *shield)
{
	keep(entry, false);
	sp_shield_learn(shield, entry->state);
	held -= entry->bytes;
	entry->bytes = sp_shield_state_bytes(shield, entry->state);
	held += entry->bytes;
	entry->dirty = true;
}
