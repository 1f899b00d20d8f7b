/*
 * bucket.c
 *	  A window's buckets: the groups of its windows, what becomes final, what is forgotten.
 *
 * A bucket is one window in time, with the groups (one for each key) that have rows in
 * it.  Buckets stand in an array ordered by start.  A bucket's life:
 *
 *	open		rows come
 *	final		the watermark has passed its end; within grace late rows still amend it
 *	purged		end + grace is behind the largest event time too, and every result row is
 *				written: its groups are forgotten
 *
 * The watermark may be ahead of the data, when the clock moved it.  So a row newer than
 * all before it is never late: its bucket has not been purged.
 */
#include "engine/internal.h"

#include "base/compat.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* time + us, at most the end of time. */
int64
sp_bucket_add_us(int64 time, int64 us)
{
	int64		sum;

	return pg_add_s64_overflow(time, us, &sum) ? DT_NOEND : sum;
}

/* Index of the first bucket that doesn't start before start. */
static int
bucket_position(const SpWindow *w, int64 start)
{
	int			low = w->first_bucket;
	int			high = w->nbuckets;

	if (high > low && w->buckets[high - 1]->start < start)
		return high;
	while (low < high)
	{
		int			mid = low + (high - low) / 2;

		if (w->buckets[mid]->start < start)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Make room for one more bucket at the array's end. */
static void
grow_buckets(SpWindow *w)
{
	int			n = w->nbuckets - w->first_bucket;

	if (w->first_bucket > n)
	{
		memmove(w->buckets, w->buckets + w->first_bucket, sizeof(SpBucket *) * n);
		w->first_open -= w->first_bucket;
		w->first_bucket = 0;
		w->nbuckets = n;
		return;
	}
	if (w->buckets == NULL)
	{
		w->buckets_allocated = 64;
		w->buckets = MemoryContextAlloc(w->context, sizeof(SpBucket *) * w->buckets_allocated);
		return;
	}
	w->buckets_allocated *= 2;
	w->buckets = repalloc_huge(w->buckets, sizeof(SpBucket *) * (Size) w->buckets_allocated);
}

/* The bucket of a window, made when there is none. */
SpBucket *
sp_bucket_get(SpWindow *w, int64 start, int64 end)
{
	SpBucket   *bucket = w->last_bucket;
	int			at;

	if (bucket != NULL && bucket->start == start)
		return bucket;
	at = bucket_position(w, start);
	if (at < w->nbuckets && w->buckets[at]->start == start)
	{
		w->last_bucket = w->buckets[at];
		return w->last_bucket;
	}
	bucket = MemoryContextAllocZero(w->context, sizeof(SpBucket));
	bucket->start = start;
	bucket->end = end;
	dlist_init(&bucket->groups);
	if (w->nbuckets >= w->buckets_allocated)
	{
		grow_buckets(w);
		at = bucket_position(w, start);
	}
	memmove(w->buckets + at + 1, w->buckets + at, sizeof(SpBucket *) * (w->nbuckets - at));
	w->buckets[at] = bucket;
	w->nbuckets++;
	w->first_open = Min(w->first_open, at);
	w->last_bucket = bucket;
	return bucket;
}

/* A new group in a bucket.  In a final bucket it becomes final at the commit's end. */
SpGroup *
sp_bucket_add_group(SpWindow *w, SpBucket *bucket, uint32 hash, const Datum *keys, const bool *nulls)
{
	SpGroup    *group = sp_group_add(&w->groups, hash, bucket->start, keys, nulls);

	group->bucket = bucket;
	dlist_push_tail(&bucket->groups, &group->node);
	bucket->ngroups++;
	if (w->output.lookup || w->output.replaying)
		group->flags |= SP_GROUP_WRITTEN;
	if (bucket->final)
	{
		bucket->final = false;
		w->first_open = Min(w->first_open, bucket_position(w, bucket->start));
	}
	return group;
}

/* Give up a group's value and forget it. */
void
sp_bucket_remove_group(SpWindow *w, SpGroup *group)
{
	int			a;

	for (a = 0; a < w->naggs; a++)
		sp_aggregate_release(w->aggs[a], sp_group_value(&w->groups, group) + w->agg_offset[a]);
	dlist_delete(&group->node);
	group->bucket->ngroups--;
	sp_group_remove(&w->groups, group);
}

/* The result row and the state of a group changed. */
void
sp_bucket_group_changed(SpWindow *w, SpGroup *group)
{
	sp_group_changed(&w->groups, group);
	if (!w->def->emit_final || (group->flags & SP_GROUP_FINAL))
		sp_output_group(&w->output, group);
}

/* ---- closing ---- */

/* A time as a datum of a result column's type. */
static Datum
time_datum(int64 time, Oid type)
{
	if (type != DATEOID)
		return Int64GetDatum(time);
	return DirectFunctionCall1(timestamp_date, TimestampGetDatum(time));
}

/* The result row of a group, by-reference values in the current memory context. */
void
sp_bucket_row(SpWindow *w, SpGroup *group, Datum *values, bool *nulls)
{
	int			n = 0;
	int			i;

	if (w->def->window_kind != SP_WINDOW_GLOBAL)
	{
		values[0] = time_datum(group->bucket->start, w->types[0]);
		values[1] = time_datum(group->bucket->end, w->types[1]);
		nulls[0] = nulls[1] = false;
		n = 2;
	}
	for (i = 0; i < w->nkeys; i++, n++)
	{
		values[n] = sp_group_keys(&w->groups, group)[i];
		nulls[n] = sp_group_nulls(&w->groups, group)[i];
	}
	for (i = 0; i < w->naggs; i++, n++)
		values[n] = sp_aggregate_result(w->aggs[i], sp_group_value(&w->groups, group) + w->agg_offset[i],
										&nulls[n]);
	values[n] = BoolGetDatum((group->flags & SP_GROUP_FINAL) != 0);
	nulls[n++] = false;
	values[n] = Int32GetDatum(group->revision + 1);
	nulls[n] = false;
}

/* Hand rows that became final to the detectors. */
static void
feed_detectors(SpWindow *w, SpRowSet *rows)
{
	ListCell   *lc;

	if (rows->n == 0)
		return;
	rows->first_ordinal = w->final_ordinal;
	foreach(lc, w->detectors)
	{
		SpDetector *d = lfirst(lc);

		if (d->def->o.state == SP_STATE_RUNNING)
			sp_detector_apply(d, rows);
	}
	sp_starting_keep_rows(w, rows);
	w->final_ordinal += rows->n;
}

/* Start a rowset of result rows. */
static void
begin_final_rows(SpWindow *w, SpRowSet *rows, XLogRecPtr lsn, TimestampTz time)
{
	MemoryContextReset(w->result_context);
	sp_rowset_init(rows, w->result_context, w->natts, SP_ROWSET_MAX);
	rows->time_type = w->stream->def->time_type;
	rows->zone = w->stream->zone;
	rows->lsn = lsn;
	rows->commit_time = time;
	rows->desc = w->result_desc;
}

/* Groups of a bucket that the watermark has passed. */
static void
close_bucket(SpWindow *w, SpBucket *bucket, XLogRecPtr lsn, TimestampTz time)
{
	SpRowSet	rows;
	bool		feed = w->detectors != NIL || sp_starting_reads(w);
	dlist_iter	iter;

	bucket->final = true;
	if (feed)
		begin_final_rows(w, &rows, lsn, time);
	dlist_foreach(iter, &bucket->groups)
	{
		SpGroup    *group = dlist_container(SpGroup, node, iter.cur);
		MemoryContext old;

		if (group->flags & SP_GROUP_FINAL)
			continue;
		group->flags |= SP_GROUP_FINAL;
		sp_bucket_group_changed(w, group);
		if (!feed)
			continue;
		if (rows.n == SP_ROWSET_MAX)
		{
			feed_detectors(w, &rows);
			begin_final_rows(w, &rows, lsn, time);
		}
		old = MemoryContextSwitchTo(rows.context);
		sp_bucket_row(w, group, rows.values + (Size) rows.n * rows.natts,
					  rows.nulls + (Size) rows.n * rows.natts);
		rows.time[rows.n] = TIMESTAMP_NOT_FINITE(bucket->end) ? bucket->end : bucket->end - 1;
		rows.no_time[rows.n] = false;
		rows.n++;
		MemoryContextSwitchTo(old);
	}
	if (feed)
		feed_detectors(w, &rows);
}

/* The watermark stands at watermark since the event at lsn: windows behind it are final. */
void
sp_bucket_close(SpWindow *w, int64 watermark, XLogRecPtr lsn, TimestampTz time)
{
	int			i;

	if (watermark == SP_NO_WATERMARK || w->def->window_kind == SP_WINDOW_GLOBAL)
		return;
	w->final_ordinal = 0;
	for (i = Max(w->first_open, w->first_bucket); i < w->nbuckets; i++)
	{
		SpBucket   *bucket = w->buckets[i];

		if (bucket->end > watermark)
			break;
		if (!bucket->final)
			close_bucket(w, bucket, lsn, time);
		w->first_open = i + 1;
	}
}

/* Forget what no row can amend any more and whose result rows are all written. */
void
sp_bucket_purge(SpWindow *w, int64 data_watermark)
{
	while (w->first_bucket < w->nbuckets)
	{
		SpBucket   *bucket = w->buckets[w->first_bucket];
		dlist_mutable_iter iter;

		if (!bucket->final || bucket->ndirty > 0 ||
			sp_bucket_add_us(bucket->end, w->def->grace_us) > data_watermark)
			break;
		dlist_foreach_modify(iter, &bucket->groups)
			sp_bucket_remove_group(w, dlist_container(SpGroup, node, iter.cur));
		if (w->last_bucket == bucket)
			w->last_bucket = NULL;
		pfree(bucket);
		w->first_bucket++;
	}
	w->first_open = Max(w->first_open, w->first_bucket);
}

/* The end of the first window that isn't final; DT_NOEND when there is none. */
int64
sp_bucket_next_end(const SpWindow *w)
{
	int			i = Max(w->first_open, w->first_bucket);

	if (w->def->window_kind == SP_WINDOW_GLOBAL || i >= w->nbuckets)
		return DT_NOEND;
	return w->buckets[i]->end;
}

/* ---- durable form ---- */

/* SpValueWrite: the aggregates, one after the other. */
void
sp_bucket_write_value(void *window, SpGroup *group, StringInfo buf)
{
	SpWindow   *w = window;
	int			a;

	for (a = 0; a < w->naggs; a++)
		sp_aggregate_serialize(w->aggs[a], sp_group_value(&w->groups, group) + w->agg_offset[a], buf);
}

/* SpValueRead. */
void
sp_bucket_read_value(void *window, SpGroup *group, const char **p, const char *end)
{
	SpWindow   *w = window;
	int			a;

	for (a = 0; a < w->naggs; a++)
		sp_aggregate_deserialize(w->aggs[a], sp_group_value(&w->groups, group) + w->agg_offset[a],
								 p, end);
}

/* order of creation */
static int
compare_sequence(const ListCell *a, const ListCell *b)
{
	const SpGroup *x = lfirst(a);
	const SpGroup *y = lfirst(b);

	return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

/* All pages are loaded: put the groups into their buckets, in order of creation. */
void
sp_bucket_loaded_all(SpWindow *w)
{
	List	   *loaded = NIL;
	ListCell   *lc;
	int32		p;
	int			i;

	for (p = 1; p < w->groups.npages; p++)
	{
		for (i = 0; w->groups.pages[p] != NULL && i < SP_PAGE_GROUPS; i++)
		{
			if (w->groups.pages[p]->groups[i] != NULL)
				loaded = lappend(loaded, w->groups.pages[p]->groups[i]);
		}
	}
	list_sort(loaded, compare_sequence);
	foreach(lc, loaded)
	{
		SpGroup    *group = lfirst(lc);
		int64		start = group->start;
		int64		end = group->start;

		if (w->def->window_kind != SP_WINDOW_GLOBAL)
			(void) sp_tumbling_assign(&w->tumbling, group->start, &start, &end);
		group->bucket = sp_bucket_get(w, group->start, end);
		dlist_push_tail(&group->bucket->groups, &group->node);
		group->bucket->ngroups++;
		if (group->flags & SP_GROUP_DIRTY)
		{
			group->flags &= ~SP_GROUP_DIRTY;
			sp_output_group(&w->output, group);
		}
	}
	/* a bucket is final when its groups are */
	for (i = w->first_bucket; i < w->nbuckets; i++)
	{
		dlist_iter	iter;

		w->buckets[i]->final = w->def->window_kind != SP_WINDOW_GLOBAL;
		dlist_foreach(iter, &w->buckets[i]->groups)
		{
			SpGroup    *group = dlist_container(SpGroup, node, iter.cur);

			if (!(group->flags & SP_GROUP_FINAL))
				w->buckets[i]->final = false;
		}
	}
	list_free(loaded);
}
