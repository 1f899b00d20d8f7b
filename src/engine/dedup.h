/*
 * dedup.h
 *	  Rows that repeat others: a stream's memory of those that it has admitted.
 *
 * Private to the engine.
 */
#ifndef SP_DEDUP_H
#define SP_DEDUP_H

#include "postgres.h"

#include "common/int.h"
#include "engine/directory.h"
#include "engine/internal.h"

#define SP_DEDUP_OFFSET_BITS	10	/* of a row on its page, in units of 8 bytes */

#define SP_DEDUP_SHARING_BITS	4	/* of a slice's number: see dedup_page.c */

/* A part of the time, one of those of the same width that follow one another. */
typedef struct SpSpan
{
	int64		width;
	int64		number;
	int64		start;
} SpSpan;

/* A row that was admitted, on its page; its keys follow. */
typedef struct SpDedupRow
{
	int64		time;
	uint32		hash;
	uint32		size;			/* of all of it; a multiple of 8 */
} SpDedupRow;

typedef struct SpDedup
{
	MemoryContext context;
	SpExpressions *user;		/* whose rights the functions of the key's types have */
	int			nkeys;
	AttrNumber *attnum;			/* [nkeys] */
	int64		within_us;
	SpSpan		slice;			/* the one used last; likewise: */
	SpSpan		shelf;
	SpGroups	groups;			/* no groups, but pages of SpDedupRow; their keys' types */
	SpDirectory directory;		/* page and offset of each */
	SpPage	   *page[2];		/* that are being filled: for rows ahead of all, too */
	int32		hand;			/* the page that was looked at last, whether it is of use */
	int64		nadded;			/* rows since pages were */
	SpBuckets	shelves;		/* by time: how many rows count until then, no list of them */
	uint64		nuseful;		/* that count */
	bool		is_loading;		/* rows are counted as they are read */
	int64		newest;			/* the last slice that has rows */
	SpOutput   *output;			/* takes dead letters */
	int64		horizon_limit;	/* in a backfill: how far it may come */
	uint64		admitted;		/* tells which rows of the transaction at work were */

	/* state, saved in page 0 of the stream */
	int64		horizon;		/* older rows can't be told from duplicates; PG_INT64_MIN */
	bool		has_history;	/* rows from before the stream are among those on pages */
	uint64		duplicates;
	uint64		late;			/* older than the horizon */
} SpDedup;

/* The number of the span that holds the time. */
static inline int64
sp_dedup_span(SpSpan *span, int64 time)
{
	if (time < span->start || (uint64) time - (uint64) span->start >= (uint64) span->width)
	{
		span->number = time / span->width - (time % span->width < 0 ? 1 : 0);
		if (pg_mul_s64_overflow(span->number, span->width, &span->start))
			span->start = PG_INT64_MAX; /* holds no time: look again */
	}
	return span->number;
}

/* Do rows of the two slices have the same hash, if they have the same key? */
static inline bool
sp_dedup_share(int64 slice, int64 other)
{
	return slice >> SP_DEDUP_SHARING_BITS == other >> SP_DEDUP_SHARING_BITS;
}

/* dedup.c */
extern SpDedup *sp_dedup_open(SpStream *stream);
extern void sp_dedup_apply(SpStream *stream, SpRowSet *rows);
extern void sp_dedup_advance(SpDedup *d, int64 data_watermark);
extern void sp_dedup_exchange(SpStream *a, SpStream *b);
extern void sp_dedup_replace(SpStream *s, const SpDedup *old);
extern void sp_dedup_count(SpDedup *d, SpPage *page, int64 time);
extern void sp_dedup_load(SpDedup *d);
extern void sp_dedup_loaded(SpDedup *d);

/* dedup_page.c */
extern void sp_dedup_page_init(SpDedup *d, SpExpression **keys);
extern uint32 sp_dedup_page_hash(SpDedup *d, int64 slice, const Datum *keys);
extern const SpDedupRow *sp_dedup_page_get(SpDedup *d, int64 place, const Datum *keys);
extern void sp_dedup_page_add(SpDedup *d, bool is_ahead, uint32 hash, int64 time,
							  const Datum *keys);
extern void sp_dedup_page_drop(SpDedup *d, SpPage *page);

#endif
