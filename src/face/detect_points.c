/*
 * detect_points.c
 *	  Scores the rows of one partition for detect().
 *
 * An explanation looks at each feature by itself: how far it is from the partition's median, in
 * robust deviations, and whether it is beyond Tukey's fences.  What only shows in how features go
 * together isn't there.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/json.h"
#include "engine/batch_work.h"
#include "face/detect_points.h"
#include "kernel/batch/gap.h"
#include "kernel/batch/order.h"
#include "kernel/batch/sort.h"

#define FENCE			1.5		/* interquartile ranges */
#define FIRST_ROOM		1024
#define ROWS_AT_ONCE	1024	/* between looks at whether the query is cancelled */

typedef struct Row
{
	Oid			tableoid;
	ItemPointerData tid;
	bool		has_key;
	Datum		key;
	int64		point;			/* -1: it isn't one */
} Row;

/* To put a row where it belongs: it among others, in both places, and its number, twice. */
#define ORDER_BYTES(d)	(sizeof(Row) + sizeof(double) * (d) + 2 * sizeof(SpKeyed))

struct SpDetectPoints
{
	const SpBatchKernel *kernel;
	const void *params;
	double		contamination;
	List	   *names;
	int			d;
	bool		in_order;		/* rows come in the order in which they are to be scored */
	MemoryContext context;		/* of the partition; all below lives there */
	int64		room;
	int64		nrows;
	Row		   *rows;			/* [room] */
	double	   *x;				/* [room * d] */
	size_t		n;				/* points, gaps of a series among them */
	int64		ngaps;			/* rows that aren't points, where each keeps its place */
	double		key_bytes;
	bool		is_disordered;	/* a row stands before one that came before it */
};

SpDetectPoints *
sp_detect_points_open(const SpBatchKernel *kernel, const void *params, double contamination,
					  List *names, bool in_order)
{
	SpDetectPoints *p = palloc0(sizeof(SpDetectPoints));

	p->kernel = kernel;
	p->params = params;
	p->contamination = contamination;
	p->names = names;
	p->d = list_length(names);
	p->in_order = in_order;
	p->context = AllocSetContextCreate(CurrentMemoryContext, "streamproc detect",
									   ALLOCSET_DEFAULT_SIZES);
	return p;
}

/* Without any rows. */
static void
reset(SpDetectPoints *p)
{
	MemoryContextReset(p->context);
	p->rows = NULL;
	p->x = NULL;
	p->room = p->nrows = 0;
	p->n = 0;
	p->ngaps = 0;
	p->key_bytes = 0;
	p->is_disordered = false;
}

/* An error where what so many rows take, with what scores the points, isn't allowed. */
static void
check_memory(const SpDetectPoints *p, int64 room, double n)
{
	double		work = p->kernel->memory(p->params, n, p->d);
	double		order = p->is_disordered ? (double) p->nrows * ORDER_BYTES(p->d) : 0;

	sp_batch_work_limit(p->kernel->name, p->key_bytes +
						(double) room * (sizeof(Row) + sizeof(double) * (p->d + 1)) +
						Max(work, order));
}

/* Room for more rows, if all that it takes to score so many is allowed. */
static void
grow(SpDetectPoints *p)
{
	int64		room = p->room == 0 ? FIRST_ROOM : p->room + p->room / 2;

	check_memory(p, room, (double) p->nrows);
	if (p->room == 0)
	{
		p->rows = MemoryContextAllocHuge(p->context, sizeof(Row) * room);
		p->x = MemoryContextAllocHuge(p->context, sizeof(double) * room * p->d);
	}
	else
	{
		p->rows = repalloc_huge(p->rows, sizeof(Row) * room);
		p->x = repalloc_huge(p->x, sizeof(double) * room * p->d);
	}
	p->room = room;
}

/* A key that lasts as long as the partition. */
static Datum
keep_key(SpDetectPoints *p, Datum key)
{
	MemoryContext old = MemoryContextSwitchTo(p->context);
	Datum		kept = PointerGetDatum(PG_DETOAST_DATUM_COPY(key));

	p->key_bytes += (double) GetMemoryChunkSpace(DatumGetPointer(kept));
	MemoryContextSwitchTo(old);
	return kept;
}

/* Does a row stand before another one? */
static bool
stands_before(const Row *row, const Row *other)
{
	if (row->tableoid != other->tableoid)
		return row->tableoid < other->tableoid;
	return ItemPointerCompare((ItemPointer) &row->tid, (ItemPointer) &other->tid) < 0;
}

void
sp_detect_points_add(SpDetectPoints *p, const SpDetectRow *row)
{
	double	   *x;
	Row		   *r;

	if (p->nrows == p->room)
		grow(p);
	r = &p->rows[p->nrows++];
	x = p->x + p->n * p->d;
	r->tableoid = row->tableoid;
	r->tid = row->tid;
	r->has_key = row->has_key;
	r->point = -1;
	if (row->has_key)
		r->key = row->same_key ? r[-1].key : keep_key(p, row->key);
	if (!p->in_order && !p->is_disordered && p->nrows > 1)
		p->is_disordered = stands_before(r, r - 1);
	memcpy(x, row->features, sizeof(double) * p->d);
	if (row->is_whole && sp_batch_work_accept(x, p->d))
		r->point = (int64) p->n++;
	else if (p->kernel->period != NULL)
	{
		*x = get_float8_nan();
		p->n++;
		p->ngaps++;
	}
}

int64
sp_detect_points_count(const SpDetectPoints *p)
{
	return p->nrows;
}

/* ---- order ---- */

/* Rows, and their points, in the order of keyed. */
static void
rearrange(SpDetectPoints *p, const SpKeyed *keyed)
{
	Row		   *rows = MemoryContextAllocHuge(p->context, sizeof(Row) * p->room);
	double	   *x = MemoryContextAllocHuge(p->context, sizeof(double) * p->room * p->d);
	int64		n = 0;

	for (int64 i = 0; i < p->nrows; i++)
	{
		Row		   *r = &rows[i];

		if (i % ROWS_AT_ONCE == 0)
			CHECK_FOR_INTERRUPTS();
		*r = p->rows[keyed[i].number];
		if (r->point < 0)
			continue;
		memcpy(x + n * p->d, p->x + r->point * p->d, sizeof(double) * p->d);
		r->point = n++;
	}
	pfree(p->rows);
	pfree(p->x);
	p->rows = rows;
	p->x = x;
}

/*
 * As rows stand in the table: by table, then by place.  What the scores of methods that choose by
 * chance are, and which of two equal values comes first, doesn't depend on how the query is run.
 */
static void
put_in_order(SpDetectPoints *p)
{
	SpKeyed    *keyed;
	SpBatchWork work;

	if (p->nrows > UINT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a partition has more than %u rows", UINT32_MAX),
				 errhint("Detect in smaller partitions.")));
	sp_batch_work_begin(&work, p->kernel->name);
	keyed = work.work.allocate(&work.work, sizeof(SpKeyed) * p->nrows);
	for (int64 i = 0; i < p->nrows; i++)
	{
		const ItemPointerData *tid = &p->rows[i].tid;

		if (i % ROWS_AT_ONCE == 0)
			CHECK_FOR_INTERRUPTS();
		keyed[i].number = (uint32) i;
		keyed[i].key = (uint64) ItemPointerGetBlockNumber(tid) << 16 |
			ItemPointerGetOffsetNumber(tid);
	}
	sp_sort(keyed, p->nrows, &work.work);
	for (int64 i = 0; i < p->nrows; i++)
	{
		if (i % ROWS_AT_ONCE == 0)
			CHECK_FOR_INTERRUPTS();
		keyed[i].key = p->rows[keyed[i].number].tableoid;
	}
	sp_sort(keyed, p->nrows, &work.work);
	rearrange(p, keyed);
	sp_batch_work_end(&work);
}

/* ---- thresholds ---- */

bool
sp_detect_points_have_threshold(const SpDetectPoints *p)
{
	return p->kernel->is_label || p->kernel->has_threshold || !isnan(p->contamination);
}

/* The least one that no more than that part of the scores is above; NaN: there is none. */
static double
find_threshold(const SpDetectPoints *p, const double *scores)
{
	double	   *copy;
	double		threshold = get_float8_nan();
	size_t		n = 0;
	SpBatchWork work;

	if (p->kernel->is_label)
		return SP_BATCH_LABEL_THRESHOLD;
	if (isnan(p->contamination))
		return p->kernel->has_threshold ? p->kernel->threshold : threshold;
	copy = palloc_extended(sizeof(double) * Max(p->n, 1), MCXT_ALLOC_HUGE);
	for (size_t i = 0; i < p->n; i++)
	{
		if (!isnan(scores[i]))
			copy[n++] = scores[i];
	}
	sp_batch_work_begin(&work, p->kernel->name);
	if (n > 0)
		threshold = sp_order_select(copy, n, n - 1 - (size_t) (p->contamination * (double) n),
									&work.work);
	sp_batch_work_end(&work);
	pfree(copy);
	return threshold;
}

/* Of clusters: 1 is noise, 0 in one. */
static void
settle_scores(const SpDetectPoints *p, double *scores)
{
	for (size_t i = 0; p->kernel->is_label && i < p->n; i++)
		scores[i] = isnan(scores[i]);
}

/* ---- explanations ---- */

/* What each feature is like. */
static SpColumn *
describe_features(const SpDetectPoints *p)
{
	SpMatrix	matrix = {p->x, p->n, p->d};
	SpColumn   *columns = palloc(sizeof(SpColumn) * p->d);
	double	   *scratch = palloc_extended(sizeof(double) * p->n, MCXT_ALLOC_HUGE);
	SpBatchWork work;

	sp_batch_work_begin(&work, p->kernel->name);
	for (int j = 0; j < p->d; j++)
		sp_order_describe(&matrix, j, scratch, &columns[j], &work.work);
	sp_batch_work_end(&work);
	pfree(scratch);
	return columns;
}

/* One feature's part, to each of the lists. */
static void
explain_feature(const SpColumn *column, const char *name, double x, StringInfo contributions,
				StringInfo expected, StringInfo nearest)
{
	const char *comma = contributions->len > 0 ? ", " : "";
	double		unit = sp_order_unit(column);
	double		lower = column->q1 - FENCE * (column->q3 - column->q1);
	double		upper = column->q3 + FENCE * (column->q3 - column->q1);

	appendStringInfoString(contributions, comma);
	sp_json_append_number(contributions, name, unit > 0 ? fabs(x - column->median) / unit : 0);
	appendStringInfoString(expected, comma);
	escape_json(expected, name);
	appendStringInfoString(expected, ": {");
	sp_json_append_number(expected, "value", column->median);
	appendStringInfoString(expected, ", ");
	sp_json_append_number(expected, "lower", lower);
	appendStringInfoString(expected, ", ");
	sp_json_append_number(expected, "upper", upper);
	appendStringInfoChar(expected, '}');
	appendStringInfoString(nearest, comma);
	sp_json_append_number(nearest, name, x < lower ? lower : x > upper ? upper : x);
}

/* In the shape of what online detectors say: engine/explanation.h. */
static Datum
explain_point(const SpDetectPoints *p, const SpColumn *columns, const double *x)
{
	StringInfoData buf;
	StringInfoData contributions;
	StringInfoData expected;
	StringInfoData nearest;
	ListCell   *cell;

	initStringInfo(&buf);
	initStringInfo(&contributions);
	initStringInfo(&expected);
	initStringInfo(&nearest);
	foreach(cell, p->names)
	{
		int			j = foreach_current_index(cell);

		explain_feature(&columns[j], lfirst(cell), x[j], &contributions, &expected, &nearest);
	}
	appendStringInfo(&buf, "{\"method\": \"%s\", \"contributions\": {%s}, \"expected\": {%s}, "
					 "\"nearest_normal\": {%s}}", p->kernel->name, contributions.data, expected.data,
					 nearest.data);
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(buf.data));
}

/* ---- a partition ---- */

/* Score a series in which rows lack a value: all rows are points. */
static void
score_with_gaps(const SpDetectPoints *p, const SpMatrix *matrix, double *scores, SpWork *work)
{
	bool		any = sp_gap_fill(p->x, p->n, p->kernel->period(p->params), work);

	if (any)
		p->kernel->score(p->params, matrix, scores, work);
	for (int64 i = 0; i < p->nrows; i++)
	{
		if (!any || p->rows[i].point < 0)
			scores[i] = get_float8_nan();
	}
}

/* Score the points: [n]. */
static double *
score_points(const SpDetectPoints *p)
{
	SpMatrix	matrix = {p->x, p->n, p->d};
	double	   *scores = palloc_extended(sizeof(double) * Max(p->n, 1), MCXT_ALLOC_HUGE);
	SpBatchWork work;

	if (p->n == 0)
		return scores;
	check_memory(p, p->room, (double) p->n);
	sp_batch_work_begin(&work, p->kernel->name);
	if (p->ngaps > 0)
		score_with_gaps(p, &matrix, scores, &work.work);
	else
		p->kernel->score(p->params, &matrix, scores, &work.work);
	sp_batch_work_end(&work);
	settle_scores(p, scores);
	return scores;
}

/* Show each row, in a memory context of its own. */
static void
show_rows(const SpDetectPoints *p, const double *scores, double threshold, SpDetectShow show,
		  void *arg)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "streamproc row",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = CurrentMemoryContext;
	SpColumn   *columns = NULL;

	for (int64 i = 0; i < p->nrows; i++)
	{
		const Row  *r = &p->rows[i];
		SpDetected	row = {r->tableoid, r->tid, r->has_key, r->key, get_float8_nan()};

		if (i % ROWS_AT_ONCE == 0)
			CHECK_FOR_INTERRUPTS();
		if (r->point >= 0)
			row.score = scores[r->point];
		row.is_known = !isnan(row.score) && !isnan(threshold);
		row.is_anomaly = row.is_known && row.score > threshold;
		if (row.is_anomaly && columns == NULL)
			columns = describe_features(p);
		MemoryContextSwitchTo(context);
		if (row.is_anomaly)
			row.explanation = explain_point(p, columns, p->x + r->point * p->d);
		show(arg, &row);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	MemoryContextDelete(context);
}

void
sp_detect_points_show(SpDetectPoints *p, SpDetectShow show, void *arg)
{
	MemoryContext old = MemoryContextSwitchTo(p->context);
	double	   *scores;

	if (p->is_disordered)
		put_in_order(p);
	scores = score_points(p);
	show_rows(p, scores, find_threshold(p, scores), show, arg);
	MemoryContextSwitchTo(old);
	reset(p);
}
