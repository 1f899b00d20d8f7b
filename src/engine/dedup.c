/*
 * dedup.c
 *	  Rows that repeat one that the stream has admitted.
 *
 * A row is a duplicate when the stream has admitted one with the same dedup_key and an event
 * time less than dedup_within from its own, before or after.  It is counted, moves the
 * watermark as any row does, and reaches neither windows nor detectors.  Rows are looked at in
 * the order of the WAL; duplicates are not remembered, so that a key that keeps coming is
 * admitted once each dedup_within.
 *
 * Never a duplicate, and not remembered: a row with a NULL in its key (as in a UNIQUE
 * constraint), without an event time, or with an infinite one.  A row far in the future is
 * remembered until the watermark gets there.
 *
 * The horizon is dedup_within behind the watermark that the data alone has made; the clock
 * doesn't move it, so that old data loaded in pauses is not too old.  No row behind it can be
 * told from a duplicate: such a row is a dead letter ("dedup_late").  So rows that were
 * admitted more than dedup_within before the horizon are of no use any more, and forgotten,
 * a page at a time: when doesn't matter.  How many are of use does (max_keys): they are counted
 * by shelves, parts of the time that go as the horizon moves.
 *
 *		 forgotten			   needed			   any row may come
 *	---------------------|--------------------|---------------------|-------->
 *			horizon - dedup_within		   horizon				watermark
 *
 * Where no duplicate comes before what it repeats in time, the admitted rows are those that
 * one finds by going through each key's rows in order of time (is_duplicate() in SQL; the
 * twins, and history).  A duplicate of a later row only is a dead letter ("duplicate"), which
 * twins and history leave out: then it is true of the rest.
 *
 * Time is cut into slices of dedup_within.  Two admitted rows of a key are never in one, so a
 * row's neighbours are in its own slice and the two beside it: hashed by slice and key.
 */
#include "engine/internal.h"

#include "access/xact.h"
#include "base/compat.h"
#include "base/guc.h"
#include "common/int.h"
#include "nodes/makefuncs.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define SHELVES			64		/* for dedup_within, but none is shorter than a second */
#define FORGET_AT_ONCE	20000	/* rows, about */
#define LOOK_LEAST		16		/* pages that a commit looks at, whether they are of use, */
#define LOOK_ROWS		8		/* and one more for so many rows that it has admitted */
#define AHEAD			64		/* rows whose groups are on their way to the cache */

/* What a row is. */
typedef enum Verdict
{
	ADMITTED,
	DUPLICATE,					/* of an earlier row, in time */
	DUPLICATE_OF_LATER,
	TOO_OLD,
	TOO_MANY
} Verdict;

/* A row that is about to be judged. */
typedef struct Candidate
{
	bool		ready;			/* has a key and a time */
	int64		slice;
	uint32		hash;
	uint32		hash_before;	/* with the slice before */
} Candidate;

/* Rows at work. */
typedef struct CheckWork
{
	SpStream   *stream;
	SpRowSet   *rows;
	int			at;				/* the next row */
	int			end;
} CheckWork;

static const bool no_nulls[INDEX_MAX_KEYS] = {false};

static inline int64 *
time_of(SpDedup *d, SpGroup *group)
{
	return (int64 *) sp_group_value(&d->groups, group);
}

/* The number of the span of that width that holds the time. */
static inline int64
span_of(int64 time, int64 width)
{
	return time / width - (time % width < 0 ? 1 : 0);
}

/* ---- memory ---- */

/* The row of a group is remembered: it counts until the horizon is far enough from it. */
static void
count_row(SpDedup *d, SpGroup *group)
{
	int64		time = *time_of(d, group);
	int64		shelf = span_of(time, d->shelf_us);
	SpPage	   *page = d->groups.pages[group->page];
	int64		end;

	if (pg_mul_s64_overflow(shelf + 1, d->shelf_us, &end))
		end = shelf < 0 ? DT_NOBEGIN : DT_NOEND;
	sp_bucket_get(&d->shelves, shelf, 0, end)->ngroups++;
	d->nuseful++;
	d->newest = Max(d->newest, group->start);
	page->latest = page->n <= 1 ? end : Max(page->latest, end);
}

/* Rows of which no row that can be told from a duplicate is one count no more. */
static void
clear_shelves(SpDedup *d, int64 before)
{
	while (before != SP_NO_WATERMARK && d->shelves.first < d->shelves.n)
	{
		SpBucket   *shelf = d->shelves.array[d->shelves.first];

		if (shelf->end > before)
			return;
		d->nuseful -= shelf->ngroups;
		shelf->ngroups = 0;
		(void) sp_bucket_shift(&d->shelves);
	}
}

/*
 * Forget pages all of whose rows are of no use.  Each is looked at in its turn: a few of them
 * for each that is filled, so that a round of all is over long before they are twice as many.
 */
static void
forget(SpDedup *d, int64 before)
{
	int			most = Min(LOOK_LEAST + (int) Min(d->nadded, FORGET_AT_ONCE) / LOOK_ROWS,
						   d->groups.npages);
	int			i;

	d->nadded = 0;
	for (i = 0; i < most; i++)
	{
		SpPage	   *page;

		if (++d->hand >= d->groups.npages)
			d->hand = 1;
		page = d->hand < d->groups.npages ? d->groups.pages[d->hand] : NULL;
		if (page != NULL && (page->n > 0 || page->spilled_size > 0) && page->latest <= before)
			sp_group_drop_page(&d->groups, page);
	}
}

/*
 * Where to remember a row: on the page that is being filled.  Rows of a time that is too far
 * ahead to move the watermark, for which other rows would have to wait, have another one.
 */
static SpPage *
find_page(SpDedup *d, bool is_ahead)
{
	SpPage	   *page = d->page[is_ahead];

	/* one that was forgotten may be the other one now */
	if (page != NULL && page != d->page[!is_ahead] && page->n > 0 &&
		page->n < SP_PAGE_GROUPS && page->spilled_size == 0)
		return page;
	d->page[is_ahead] = sp_group_empty_page(&d->groups);
	return d->page[is_ahead];
}

/* The data has come as far as to make this the watermark. */
void
sp_dedup_advance(SpDedup *d, int64 data_watermark)
{
	int64		horizon = sp_clock_behind(data_watermark, d->within_us);
	int64		before;

	d->horizon = Max(d->horizon, Min(horizon, d->horizon_limit));
	before = sp_clock_behind(d->horizon, d->within_us);
	if (before == SP_NO_WATERMARK)
		return;
	clear_shelves(d, before);
	forget(d, before);
}

/* Two streams swap their memories. */
void
sp_dedup_exchange(SpStream *a, SpStream *b)
{
	SpDedup    *d = a->dedup;

	a->dedup = b->dedup;
	b->dedup = d;
	MemoryContextSetParent(a->dedup->context, a->context);
	MemoryContextSetParent(b->dedup->context, b->context);
	a->dedup->output = &a->output;
	b->dedup->output = &b->output;
}

/*
 * The stream has got a memory that knows history and all that its old one did, whose pages
 * are gone: the next checkpoint writes all of it.
 */
void
sp_dedup_replace(SpStream *s, const SpDedup *old)
{
	SpDedup    *d = s->dedup;
	int32		p;

	d->has_history = true;
	d->horizon = Max(d->horizon, old->horizon);
	clear_shelves(d, sp_clock_behind(d->horizon, d->within_us));
	d->duplicates = old->duplicates;
	d->late = old->late;
	s->changed = true;
	for (p = 1; p < d->groups.npages; p++)
	{
		if (d->groups.pages[p] == NULL)
			continue;
		d->groups.pages[p]->stored = false;
		sp_group_page_changed(&d->groups, d->groups.pages[p]);
	}
}

/* ---- rows ---- */

/* Is there a row of the key in the slice, less than dedup_within from time? */
static bool
is_near(SpDedup *d, uint32 hash, int64 slice, int64 time, const Datum *keys, int64 *found)
{
	SpGroup    *group = sp_group_find(&d->groups, hash, slice, keys, no_nulls);
	int64		distance;

	if (group == NULL)
		return false;
	*found = *time_of(d, group);
	return !pg_sub_s64_overflow(Max(time, *found), Min(time, *found), &distance) &&
		distance < d->within_us;
}

/*
 * Are as many rows remembered as may be?  Only those count that are of use: which of the
 * others are forgotten yet doesn't depend on the WAL alone.
 */
static inline bool
is_full(const SpDedup *d)
{
	return sp_guc_max_keys > 0 && d->nuseful >= sp_guc_max_keys;
}

/* Judge a row, and remember one that is admitted.  May throw where a key type's functions do. */
static Verdict
judge(SpStream *s, int64 time, bool can_be_old, const Candidate *c, const Datum *keys)
{
	SpDedup    *d = s->dedup;
	int64		found;
	bool		later;
	SpGroup    *group;

	if (can_be_old && time < d->horizon)
		return TOO_OLD;
	if (is_near(d, c->hash_before, c->slice - 1, time, keys, &found))
		return DUPLICATE;
	later = is_near(d, c->hash, c->slice, time, keys, &found);
	if (later && found <= time)
		return DUPLICATE;
	if (later || (c->slice < d->newest &&
				  is_near(d, sp_group_hash(&d->groups, c->slice + 1, keys, no_nulls),
						  c->slice + 1, time, keys, &found)))
		return DUPLICATE_OF_LATER;
	if (is_full(d))
		return TOO_MANY;
	group = sp_group_add_to(&d->groups, find_page(d, time > Max(s->max_time, s->txn_max)),
							c->hash, c->slice, keys, no_nulls);
	*time_of(d, group) = time;
	d->nadded++;
	count_row(d, group);
	return ADMITTED;
}

/* The row's key; false when it has a null. */
static inline bool
get_key(const SpDedup *d, const SpRowSet *rows, int i, Datum *keys)
{
	int			k;

	for (k = 0; k < d->nkeys; k++)
	{
		Size		at = (Size) i * rows->natts + d->attnum[k] - 1;

		if (rows->nulls[at])
			return false;
		keys[k] = rows->values[at];
	}
	return true;
}

/* Nobody takes row i; who wants to see those that were rejected for their time finds it. */
static void
leave_out(SpStream *s, SpRowSet *rows, int i, Verdict verdict)
{
	SpDedup    *d = s->dedup;

	rows->skip[i] = true;
	if (verdict == TOO_MANY)
	{
		sp_output_dead(d->output, rows, i, "dedup_max_keys", "54000",
					   "the stream remembers streamproc.max_keys rows, and this is another");
		return;
	}
	if (verdict == TOO_OLD)
		d->late++;
	else
		d->duplicates++;
	if (verdict == DUPLICATE || !s->def->late_dead_letter)
		return;
	if (verdict == TOO_OLD)
		sp_output_dead(d->output, rows, i, "dedup_late", NULL,
					   "the row is too old to be told from a duplicate");
	else
		sp_output_dead(d->output, rows, i, "duplicate", NULL,
					   "the row repeats a later one, which came before it");
}

/* Where row i would be, if it can be a duplicate at all. */
static void
look_at(SpDedup *d, const SpRowSet *rows, int i, Candidate *c)
{
	Datum		keys[INDEX_MAX_KEYS];

	c->ready = !rows->no_time[i] && !TIMESTAMP_NOT_FINITE(rows->time[i]) &&
		get_key(d, rows, i, keys);
	if (!c->ready)
		return;
	c->slice = span_of(rows->time[i], d->within_us);
	c->hash = sp_group_hash(&d->groups, c->slice, keys, no_nulls);
	c->hash_before = sp_group_hash(&d->groups, c->slice - 1, keys, no_nulls);
	sp_group_prefetch_chain(&d->groups, c->hash);
	sp_group_prefetch_chain(&d->groups, c->hash_before);
}

/* Judge row i. */
static void
check_row(SpStream *s, SpRowSet *rows, int i, const Candidate *c)
{
	SpDedup    *d = s->dedup;
	uint64		number = rows->first_ordinal + i + 1;
	Datum		keys[INDEX_MAX_KEYS];
	Verdict		verdict;

	(void) get_key(d, rows, i, keys);
	verdict = judge(s, rows->time[i], !rows->backfill, c, keys);
	if (verdict == ADMITTED)
		d->admitted += number * number * UINT64CONST(0x9e3779b97f4a7c15);
	else
		leave_out(s, rows, i, verdict);
}

/*
 * Judge rows; for sp_run_guarded().  Memory is slow and rows wait for it together, but not
 * where a key's function may throw: the row at work has done it.
 */
static void
check_rows(void *arg)
{
	CheckWork  *work = arg;
	SpDedup    *d = work->stream->dedup;
	Candidate	candidates[AHEAD];

	while (work->at < work->end)
	{
		int			first = work->at;
		int			n = d->groups.builtin ? Min(work->end - first, AHEAD) : 1;
		int			i;

		for (i = 0; i < n; i++)
			look_at(d, work->rows, first + i, &candidates[i]);
		for (i = 0; i < n && n > 1; i++)
		{
			if (!candidates[i].ready)
				continue;
			sp_group_prefetch_first(&d->groups, candidates[i].hash);
			sp_group_prefetch_first(&d->groups, candidates[i].hash_before);
		}
		for (i = 0; i < n && n > 1; i++)
		{
			if (!candidates[i].ready)
				continue;
			sp_group_prefetch_second(&d->groups, candidates[i].hash);
			sp_group_prefetch_second(&d->groups, candidates[i].hash_before);
		}
		for (i = 0; i < n; i++, work->at++)
		{
			if (candidates[i].ready)
				check_row(work->stream, work->rows, first + i, &candidates[i]);
		}
	}
}

/* Have rows skipped that aren't admitted. */
void
sp_dedup_apply(SpStream *s, SpRowSet *rows)
{
	SpDedup    *d = s->dedup;
	CheckWork	work = {s, rows, 0, rows->n};
	ErrorData  *error;

	rows->skip = MemoryContextAllocZero(rows->context, rows->n);
	if (d->groups.builtin)
	{
		check_rows(&work);
		return;
	}
	d->user->owner = s->def->o.owner;
	while (!sp_run_guarded(d->user, rows->context, check_rows, &work, &error))
	{
		/* those before it are done */
		work.end = work.at + 1;
		if (!sp_run_patiently(d->user, rows->context, check_rows, &work, &error))
		{
			rows->skip[work.at] = true;
			sp_output_dead(d->output, rows, work.at++, "dedup_key",
						   unpack_sql_state(error->sqlerrcode), error->message);
		}
		work.end = rows->n;
	}
}

/* ---- opening, durable form ---- */

/* A column of the key, as an expression. */
static SpExpression *
make_key(const SpStream *s, AttrNumber attnum)
{
	SpExpression *e = palloc0(sizeof(SpExpression));
	Form_pg_attribute attr = TupleDescAttr(s->desc, attnum - 1);

	e->expr = (Expr *) makeVar(1, attnum, attr->atttypid, attr->atttypmod, attr->attcollation, 0);
	e->type = attr->atttypid;
	e->typlen = attr->attlen;
	e->typbyval = attr->attbyval;
	e->attnum = attnum;
	return e;
}

/* The memory of a stream with a dedup_key, without state; the stream needs its columns. */
SpDedup *
sp_dedup_open(SpStream *s)
{
	MemoryContext context = AllocSetContextCreate(s->context, "streamproc dedup",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	SpDedup    *d = palloc0(sizeof(SpDedup));
	SpExpression **keys = palloc(sizeof(SpExpression *) * s->def->ndedup);
	int			k;

	d->context = context;
	d->user = palloc0(sizeof(SpExpressions));
	d->nkeys = s->def->ndedup;
	d->attnum = palloc(sizeof(AttrNumber) * d->nkeys);
	for (k = 0; k < d->nkeys; k++)
	{
		AttrNumber	attnum = s->def->dedup_attnum[k];

		d->attnum[k] = attnum;
		keys[k] = make_key(s, attnum);
		s->max_attnum = Max(s->max_attnum, attnum);
	}
	d->within_us = s->def->dedup_within_us;
	d->shelf_us = Max(d->within_us / SHELVES, USECS_PER_SEC);
	sp_group_init(&d->groups,
				  AllocSetContextCreate(context, "streamproc groups", ALLOCSET_DEFAULT_SIZES),
				  d->nkeys, keys, sizeof(int64));
	sp_spill_allow(&d->groups, sp_dedup_write_value, sp_dedup_read_value, NULL, NULL, d);
	sp_bucket_init(&d->shelves, context);
	d->newest = PG_INT64_MIN;
	d->output = &s->output;
	d->horizon = SP_NO_WATERMARK;
	d->horizon_limit = PG_INT64_MAX;
	MemoryContextSwitchTo(s->context);
	for (k = 0; k < d->nkeys; k++)
		s->attributes = bms_add_member(s->attributes, d->attnum[k]);
	MemoryContextSwitchTo(old);
	return d;
}

/* SpValueWrite. */
void
sp_dedup_write_value(void *dedup, SpGroup *group, StringInfo buf)
{
	appendBinaryStringInfo(buf, (char *) time_of(dedup, group), sizeof(int64));
}

/* SpValueRead. */
void
sp_dedup_read_value(void *dedup, SpGroup *group, const char **p, const char *end)
{
	SpDedup    *d = dedup;

	sp_read_bytes(p, end, time_of(d, group), sizeof(int64));
	if (d->is_loading)
		count_row(d, group);
}

/* Pages are about to be loaded; and all are. */
void
sp_dedup_load(SpDedup *d)
{
	d->is_loading = true;
}

void
sp_dedup_loaded(SpDedup *d)
{
	d->is_loading = false;
	clear_shelves(d, sp_clock_behind(d->horizon, d->within_us));
}
