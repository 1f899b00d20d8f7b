/*
 * micro_batch.c
 *	  Which rows make a micro-batch of a detector, and when it ends.
 */
#include "engine/micro_batch.h"

#include "access/detoast.h"
#include "base/compat.h"
#include "engine/micro_method.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#define MOST_BYTES		(16 * 1024 * 1024)	/* carried along by a batch, or a little more */
#define PAGE_BYTES		(400 * 1024)	/* of a state page, unless it has one key only */
#define KEY_BYTES		200		/* of a key, its points not counted */
#define FIRST_POINTS	4

/* ---- open ---- */

/* The types of what is carried along. */
static SpKeyColumn *
describe_carry(const SpDetector *d)
{
	SpKeyColumn *columns = palloc0(sizeof(SpKeyColumn) * Max(1, d->def->ncarry));

	for (int c = 0; c < d->def->ncarry; c++)
	{
		const SpExpression *e = d->evaluated[d->first_carry + c];

		columns[c].type = e->type;
		columns[c].typlen = e->typlen;
		columns[c].typbyval = e->typbyval;
	}
	return columns;
}

void
sp_micro_open(SpDetector *d)
{
	if (sp_micro_size(d->method) == 0)
		return;
	d->micro = palloc0(sizeof(struct SpMicro));
	d->micro->context = AllocSetContextCreate(d->context, "streamproc points",
											  ALLOCSET_DEFAULT_SIZES);
	d->micro->batch_context = AllocSetContextCreate(d->micro->context, "streamproc batch rows",
													ALLOCSET_DEFAULT_SIZES);
	d->micro->carry = describe_carry(d);
}

/* A page is written whenever one of its keys has changed. */
void
sp_micro_open_groups(SpDetector *d)
{
	Size		key = KEY_BYTES + sp_micro_history_size(d->method);

	d->groups.page_groups = Max(1, Min(d->groups.page_groups, PAGE_BYTES / key));
	sp_spill_allow(&d->groups, sp_detector_write_value, sp_detector_read_value, sp_micro_release,
				   d->micro->context, d);
}

void
sp_micro_init(SpDetector *d, SpGroup *group)
{
	sp_micro_key(d, group)->latest = SP_NO_WATERMARK;
}

/* ---- rows ---- */

void
sp_micro_make_room(SpDetector *d, SpMicroKey *key, int64 n)
{
	Size		features = d->method->judge.setup.n;

	if (n <= key->allocated)
		return;
	key->allocated = Max(n, Max(FIRST_POINTS, key->allocated + key->allocated / 2));
	if (key->x == NULL)
	{
		key->x = MemoryContextAllocHuge(d->micro->context,
										sizeof(double) * features * key->allocated);
		key->times = MemoryContextAllocHuge(d->micro->context, sizeof(int64) * key->allocated);
		return;
	}
	key->x = repalloc_huge(key->x, sizeof(double) * features * key->allocated);
	key->times = repalloc_huge(key->times, sizeof(int64) * key->allocated);
}

/* A place for one more row of the batch. */
static SpMicroRow *
add_place(SpDetector *d, SpMicroKey *key)
{
	if (key->nrows == key->rows_allocated)
	{
		int32		allocated = Max(FIRST_POINTS, key->rows_allocated * 2);
		SpMicroRow *rows = MemoryContextAllocHuge(d->micro->batch_context,
												  sizeof(SpMicroRow) * allocated);

		if (key->rows != NULL)
		{
			memcpy(rows, key->rows, sizeof(SpMicroRow) * key->nrows);
			pfree(key->rows);
		}
		key->rows = rows;
		key->rows_allocated = allocated;
	}
	return &key->rows[key->nrows++];
}

/* Copy what row i carries along; nothing stays outside of the copy. */
static NullableDatum *
copy_carry(SpDetector *d, const SpEvaluated *ev, int i)
{
	MemoryContext old = MemoryContextSwitchTo(d->micro->batch_context);
	NullableDatum *copy = palloc(sizeof(NullableDatum) * Max(1, d->def->ncarry));

	for (int c = 0; c < d->def->ncarry; c++)
	{
		const SpKeyColumn *column = &d->micro->carry[c];

		copy[c] = ev->result[d->first_carry + c][i];
		if (copy[c].isnull)
			continue;
		if (column->typlen == -1)
			copy[c].value = PointerGetDatum(PG_DETOAST_DATUM_COPY(copy[c].value));
		else
			copy[c].value = datumCopy(copy[c].value, column->typbyval, column->typlen);
		if (!column->typbyval)
			d->micro->head.bytes += datumGetSize(copy[c].value, false, column->typlen);
	}
	MemoryContextSwitchTo(old);
	return copy;
}

/* Which stream's clock counts? */
static inline const SpStream *
get_stream(const SpDetector *d)
{
	return d->stream != NULL ? d->stream : d->window->stream;
}

/* How late are the key's rows?  One that is far in the future doesn't make history of all others. */
static void
note_time(const SpDetector *d, SpMicroKey *key, const SpRowSet *rows, int i)
{
	const SpStream *s = get_stream(d);
	int64		now = sp_time_from_utc(rows->commit_time, rows->time_type, rows->zone);

	if (rows->time[i] <= sp_clock_add(now, s->def->max_future_us))
		key->latest = Max(key->latest, rows->time[i]);
}

/* Put row i with its numbers, which are finite, into the batch at work. */
static void
keep_row(SpDetector *d, const SpRowSet *rows, const SpEvaluated *ev, int i, SpGroup *group,
		 const double *x)
{
	struct SpMicro *m = d->micro;
	SpMicroKey *key = sp_micro_key(d, group);
	int			n = d->method->judge.setup.n;
	SpMicroRow *row = add_place(d, key);
	MemoryContext old;

	row->lsn = rows->lsn;
	row->ordinal = rows->first_ordinal + i;
	row->number = m->head.nrows++;
	row->carry = copy_carry(d, ev, i);
	sp_micro_make_room(d, key, key->n + INT64CONST(1));
	for (int f = 0; f < n; f++)
		key->x[(Size) key->n * n + f] = Max(Min(x[f], SP_BATCH_MAX), -SP_BATCH_MAX);
	key->times[key->n++] = rows->time[i];
	note_time(d, key, rows, i);
	old = MemoryContextSwitchTo(m->context);
	m->pages = bms_add_member(m->pages, group->page);
	MemoryContextSwitchTo(old);
	sp_group_changed(&d->groups, group);
	d->rows++;
	d->changed = true;
}

/* ---- the end of a batch ---- */

typedef struct Member
{
	SpGroup    *group;
	int64		number;			/* of its first row */
} Member;

/* qsort */
static int
compare_members(const void *a, const void *b)
{
	int64		x = ((const Member *) a)->number;
	int64		y = ((const Member *) b)->number;

	return (x > y) - (x < y);
}

/* The keys that have rows in the batch, in the order of their first ones; all in memory. */
static Member *
list_members(SpDetector *d, int *n)
{
	int			allocated = SP_PAGE_GROUPS;
	Member	   *members = palloc(sizeof(Member) * allocated);
	int			number = -1;

	*n = 0;
	while ((number = bms_next_member(d->micro->pages, number)) >= 0)
	{
		SpPage	   *page = d->groups.pages[number];

		if (page->spilled_size > 0)
			sp_spill_bring_page(&d->groups, page);
		if (*n + SP_PAGE_GROUPS > allocated)
		{
			allocated = *n * 2 + SP_PAGE_GROUPS;
			members = repalloc_huge(members, sizeof(Member) * allocated);
		}
		for (int i = 0; i < SP_PAGE_GROUPS; i++)
		{
			SpGroup    *group = sp_page_group(&d->groups, page, i);

			if (group == NULL || sp_micro_key(d, group)->nrows == 0)
				continue;
			members[*n].group = group;
			members[(*n)++].number = sp_micro_key(d, group)->rows[0].number;
		}
	}
	qsort(members, *n, sizeof(Member), compare_members);
	return members;
}

/* Between two batches. */
static void
forget_rows(SpDetector *d, Member *members, int n)
{
	for (int i = 0; i < n; i++)
	{
		SpMicroKey *key = sp_micro_key(d, members[i].group);

		key->nrows = key->rows_allocated = 0;
		key->rows = NULL;
	}
	MemoryContextReset(d->micro->batch_context);
	bms_free(d->micro->pages);
	d->micro->pages = NULL;
	memset(&d->micro->head, 0, sizeof(SpMicroHead));
	d->changed = true;
}

/* Score the rows of the batch. */
static void
end_batch(SpDetector *d, bool backfill)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "streamproc micro-batch",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext key_context = AllocSetContextCreate(context, "streamproc key of a batch",
													  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	int			n;
	Member	   *members = list_members(d, &n);

	MemoryContextSwitchTo(key_context);
	for (int i = 0; i < n; i++)
	{
		if (!sp_micro_score(d, members[i].group, backfill))
			break;
		MemoryContextReset(key_context);
	}
	forget_rows(d, members, n);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* Has the batch at work lasted long enough by then? */
static inline bool
is_over(const SpDetector *d, TimestampTz time)
{
	return d->micro->head.nrows > 0 && d->def->trigger_us > 0 &&
		time >= sp_clock_add(d->micro->head.begun, d->def->trigger_us);
}

void
sp_micro_add(SpDetector *d, SpRowSet *rows, const SpEvaluated *ev, int i, SpGroup *group)
{
	SpMicroHead *head = &d->micro->head;
	TimestampTz time;
	SpVerdict	v;

	if (d->def->o.state == SP_STATE_FAILED ||
		!sp_detector_get_point(d, d->method, rows, ev, i, group, &v))
		return;
	time = rows->backfill ? v.point.time : rows->commit_time;
	if (is_over(d, time))
		end_batch(d, rows->backfill);
	if (head->nrows == 0)
		head->begun = time;
	keep_row(d, rows, ev, i, group, v.x);
	if (head->nrows >= d->method->trigger_rows || head->bytes >= MOST_BYTES)
		end_batch(d, rows->backfill);
}

void
sp_micro_advance(SpDetector *d, TimestampTz time)
{
	if (sp_micro_has(d) && d->micro->head.nrows > 0 &&
		(d->def->trigger_us == 0 || is_over(d, time)))
		end_batch(d, false);
}

void
sp_micro_finish(SpDetector *d)
{
	if (sp_micro_has(d) && d->micro->head.nrows > 0)
		end_batch(d, true);
}

TimestampTz
sp_micro_due(const SpDetector *d)
{
	if (!sp_micro_has(d) || d->micro->head.nrows == 0 || d->def->trigger_us == 0)
		return PG_INT64_MAX;
	return sp_clock_add(d->micro->head.begun, d->def->trigger_us);
}
