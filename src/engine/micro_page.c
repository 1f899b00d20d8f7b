/*
 * micro_page.c
 *	  The durable form of what a key of a micro-batch detector remembers.
 *
 * int32 features, int32 points, int32 rows of them that are of the batch at work, int64 latest;
 * times, numbers; then of each such row: lsn, ordinal, number, and what it carries along.
 */
#include "engine/micro_batch.h"

#include <math.h>

#include "base/compat.h"

typedef struct Head
{
	int32		features;
	int32		n;
	int32		nrows;
	int32		unused;
	int64		latest;
} Head;

#define ROW_SIZE	(3 * sizeof(int64))	/* of a row, what it carries not counted */

static void
write_row(SpDetector *d, const SpMicroRow *row, StringInfo buf)
{
	appendBinaryStringInfo(buf, (char *) &row->lsn, sizeof(XLogRecPtr));
	appendBinaryStringInfo(buf, (char *) &row->ordinal, sizeof(int64));
	appendBinaryStringInfo(buf, (char *) &row->number, sizeof(int64));
	for (int c = 0; c < d->def->ncarry; c++)
		sp_group_write_key(buf, &d->micro->carry[c], row->carry[c].value, row->carry[c].isnull);
}

void
sp_micro_write(SpDetector *d, SpGroup *group, StringInfo buf)
{
	const SpMicroKey *key = sp_micro_key(d, group);
	int			features = d->method->judge.setup.n;
	Head		head = {features, key->n, key->nrows, 0, key->latest};

	appendBinaryStringInfo(buf, (char *) &head, sizeof(head));
	if (key->n > 0)
	{
		appendBinaryStringInfo(buf, (char *) key->times, sizeof(int64) * key->n);
		appendBinaryStringInfo(buf, (char *) key->x, sizeof(double) * features * key->n);
	}
	for (int32 r = 0; r < key->nrows; r++)
		write_row(d, &key->rows[r], buf);
}

/* Can kernels be given these numbers? */
static bool
are_sound(const double *x, Size n)
{
	for (Size i = 0; i < n; i++)
	{
		if (!(fabs(x[i]) <= SP_BATCH_MAX))
			return false;
	}
	return true;
}

/* Points; NULL: these are none. */
static const char *
read_points(SpDetector *d, SpMicroKey *key, const Head *head, const char *p, const char *end)
{
	Size		numbers = (Size) head->n * head->features;

	if ((Size) (end - p) < numbers * sizeof(double) + head->n * sizeof(int64))
		return NULL;
	sp_micro_make_room(d, key, head->n);
	key->n = head->n;
	if (key->n == 0)
		return p;
	sp_read_bytes(&p, end, key->times, sizeof(int64) * key->n);
	sp_read_bytes(&p, end, key->x, sizeof(double) * numbers);
	return are_sound(key->x, numbers) ? p : NULL;
}

/* The rows of the batch at work, in its memory. */
static const char *
read_rows(SpDetector *d, SpMicroKey *key, const Head *head, const char *p, const char *end)
{
	if ((Size) (end - p) < head->nrows * ROW_SIZE)
		return NULL;
	key->rows = palloc(sizeof(SpMicroRow) * head->nrows);
	key->rows_allocated = head->nrows;
	for (int32 r = 0; r < head->nrows; r++)
	{
		SpMicroRow *row = &key->rows[r];

		sp_read_bytes(&p, end, &row->lsn, sizeof(XLogRecPtr));
		sp_read_bytes(&p, end, &row->ordinal, sizeof(int64));
		sp_read_bytes(&p, end, &row->number, sizeof(int64));
		row->carry = palloc(sizeof(NullableDatum) * Max(1, d->def->ncarry));
		for (int c = 0; c < d->def->ncarry; c++)
			row->carry[c].value = sp_group_read_key(&p, end, &d->micro->carry[c],
													&row->carry[c].isnull);
		key->nrows++;
	}
	return p;
}

const char *
sp_micro_read(SpDetector *d, SpGroup *group, const char *p, const char *end)
{
	SpMicroKey *key = sp_micro_key(d, group);
	MemoryContext old;
	Head		head;

	sp_read_bytes(&p, end, &head, sizeof(head));
	if (head.features != d->method->judge.setup.n || head.n < 0 || head.nrows < 0 ||
		head.nrows > head.n)
		return NULL;
	key->latest = head.latest;
	p = read_points(d, key, &head, p, end);
	if (p == NULL || head.nrows == 0)
		return p;
	old = MemoryContextSwitchTo(d->micro->batch_context);
	p = read_rows(d, key, &head, p, end);
	MemoryContextSwitchTo(d->micro->context);
	d->micro->pages = bms_add_member(d->micro->pages, group->page);
	MemoryContextSwitchTo(old);
	return p;
}

void
sp_micro_release(void *detector, SpGroup *group)
{
	SpDetector *d = detector;
	SpMicroKey *key = sp_micro_key(d, group);

	for (int32 r = 0; r < key->nrows; r++)
	{
		for (int c = 0; c < d->def->ncarry; c++)
		{
			if (!d->micro->carry[c].typbyval && !key->rows[r].carry[c].isnull)
				pfree(DatumGetPointer(key->rows[r].carry[c].value));
		}
		pfree(key->rows[r].carry);
	}
	if (key->rows != NULL)
		pfree(key->rows);
	if (key->x != NULL)
	{
		pfree(key->x);
		pfree(key->times);
	}
	key->n = key->nrows = key->allocated = key->rows_allocated = 0;
	key->x = NULL;
	key->times = NULL;
	key->rows = NULL;
}
