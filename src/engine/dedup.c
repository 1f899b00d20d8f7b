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
 * row's neighbours are in its own slice and the two beside it: hashed by slice and key, see
 * dedup_page.c.
 */
#include "engine/internal.h"

#include "access/xact.h"
#include "base/compat.h"
#include "base/guc.h"
#include "common/int.h"
#include "engine/dedup.h"
#include "nodes/makefuncs.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define SHELVES			64		/* for dedup_within, but none is shorter than a second */
#define FORGET_AT_ONCE	20000	/* rows, about */
#define LOOK_LEAST		16		/* pages that a commit looks at, whether they are of use, */
#define LOOK_ROWS		64		/* and one more for so many rows that it has admitted */
#define AT_ONCE			16		/* rows whose memory comes to the cache together */

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
	bool		alone;			/* the slice before has another hash */
	int64		slice;
	uint32		hash;
	uint32		hash_before;
} Candidate;

/* Where there are rows of its key, less than dedup_within from it in time: bits. */
#define NEAR_BEFORE 1
#define NEAR_AFTER	2

/* Rows at work. */
typedef struct CheckWork
{
	SpStream   *stream;
	SpRowSet   *rows;
	int			at;				/* the next row */
	int			end;
} CheckWork;

/* ---- memory ---- */

/* A row is remembered on the page: it counts until the horizon is far enough from it. */
void
sp_dedup_count(SpDedup *d, SpPage *page, int64 time)
{
	int64		shelf = sp_dedup_span(&d->shelf, time);
	int64		end;

	if (pg_mul_s64_overflow(shelf + 1, d->shelf.width, &end))
		end = shelf < 0 ? DT_NOBEGIN : DT_NOEND;
	sp_bucket_get(&d->shelves, shelf, 0, end)->ngroups++;
	d->nuseful++;
	d->newest = Max(d->newest, sp_dedup_span(&d->slice, time));
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
			sp_dedup_page_drop(d, page);
	}
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

/* Where are rows of the key that have the hash, less than dedup_within from time? */
static int
find_near(SpDedup *d, uint32 hash, int64 time, const Datum *keys)
{
	SpDirectoryLook look;
	int64		place;
	int			near = 0;

	sp_directory_look(&d->directory, hash, &look);
	while ((place = sp_directory_next(&look)) != 0)
	{
		const SpDedupRow *row = sp_dedup_page_get(d, place, keys);
		int64		distance;

		if (row == NULL)
			continue;
		if (pg_sub_s64_overflow(Max(time, row->time), Min(time, row->time), &distance) ||
			distance >= d->within_us)
			continue;
		near |= row->time <= time ? NEAR_BEFORE : NEAR_AFTER;
	}
	return near;
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
	int			near;

	if (can_be_old && time < d->horizon)
		return TOO_OLD;
	near = find_near(d, c->hash, time, keys);
	if (c->alone && !(near & NEAR_BEFORE))
		near |= find_near(d, c->hash_before, time, keys);
	if (near == 0 && c->slice < d->newest && !sp_dedup_share(c->slice, c->slice + 1))
		near = find_near(d, sp_dedup_page_hash(d, c->slice + 1, keys), time, keys);
	if (near != 0)
		return near & NEAR_BEFORE ? DUPLICATE : DUPLICATE_OF_LATER;
	if (is_full(d))
		return TOO_MANY;
	sp_dedup_page_add(d, time > Max(s->max_time, s->txn_max), c->hash, time, keys);
	d->nadded++;
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

	memset(c, 0, sizeof(*c));
	c->ready = !rows->no_time[i] && !TIMESTAMP_NOT_FINITE(rows->time[i]) &&
		get_key(d, rows, i, keys);
	if (!c->ready)
		return;
	c->slice = sp_dedup_span(&d->slice, rows->time[i]);
	c->hash = sp_dedup_page_hash(d, c->slice, keys);
	c->alone = !sp_dedup_share(c->slice, c->slice - 1);
	if (c->alone)
		c->hash_before = sp_dedup_page_hash(d, c->slice - 1, keys);
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

/* Have in the cache what is looked at first: memory is slow, and rows wait for it together. */
static void
prefetch(SpDedup *d, const Candidate *candidates, int n)
{
	int			i;

	for (i = 0; i < n; i++)
		sp_directory_prefetch(&d->directory, candidates[i].hash);
	for (i = 0; i < n; i++)
	{
		if (candidates[i].alone)
			sp_directory_prefetch(&d->directory, candidates[i].hash_before);
	}
}

/*
 * Judge rows, some at a time; for sp_run_guarded().  One by one where a key's function may
 * throw: then the row at work has done it.
 */
static void
check_rows(void *arg)
{
	CheckWork  *work = arg;
	SpDedup    *d = work->stream->dedup;
	Candidate	candidates[AT_ONCE];

	while (work->at < work->end)
	{
		int			first = work->at;
		int			n = d->groups.builtin ? Min(work->end - first, AT_ONCE) : 1;
		int			i;

		for (i = 0; i < n; i++)
			look_at(d, work->rows, first + i, &candidates[i]);
		prefetch(d, candidates, n);
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

/* ---- opening, loading ---- */

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
	d->slice.width = d->within_us;
	d->shelf.width = Max(d->within_us / SHELVES, USECS_PER_SEC);
	sp_dedup_page_init(d, keys);
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
