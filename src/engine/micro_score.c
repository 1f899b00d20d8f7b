/*
 * micro_score.c
 *	  The rows that a key has in a micro-batch: their scores, and what becomes of them.
 */
#include "engine/micro_batch.h"

#include <math.h>

#include "base/compat.h"
#include "base/debug.h"
#include "base/guc.h"
#include "engine/batch_work.h"
#include "engine/micro_method.h"
#include "kernel/batch/order.h"
#include "utils/float.h"
#include "utils/memutils.h"

/* What the kernel is lent, and what it works on. */
typedef struct Work
{
	SpBatchWork lent;
	const SpMethod *method;
	SpMatrix	points;
	double	   *scores;			/* [points.n] */
} Work;

/* A key at work. */
typedef struct Scoring
{
	SpDetector *detector;
	SpGroup    *group;
	SpMicroKey *key;
	bool		backfill;
	SpMatrix	points;			/* the batch's are the last ones */
	double	   *scores;
	SpColumn   *columns;		/* of the points; NULL: nobody has asked yet */
} Scoring;

/* Run the kernel; for sp_run_patiently(). */
static void
run_kernel(void *arg)
{
	Work	   *w = arg;
	const SpJudge *judge = &w->method->judge;

	sp_debug_point("micro-batch");
	judge->kernel->batch->score(judge->setup.params, &w->points, w->scores, &w->lent.work);
}

/* ---- points ---- */

/* Is this point of the key's history still part of it? */
static inline bool
is_history(const SpDetector *d, const SpMicroKey *key, int32 i)
{
	int64		horizon;

	if (d->def->history_us == 0)
		return true;
	horizon = sp_clock_behind(key->latest, d->def->history_us);
	return horizon == SP_NO_WATERMARK || key->times[i] > horizon;
}

/* The first point of those that history may have before that one. */
static inline int32
first_before(const SpDetector *d, int32 end)
{
	return Max(0, end - d->method->history_rows);
}

/* The points to be scored: those of the history, then those of the batch. */
static void
gather_points(Scoring *s)
{
	const SpDetector *d = s->detector;
	const SpMicroKey *key = s->key;
	int			d_n = d->method->judge.setup.n;
	Size		size = sizeof(double) * d_n;
	int32		first_of_batch = key->n - key->nrows;
	double	   *x = MemoryContextAllocHuge(CurrentMemoryContext, size * key->n);

	s->points.x = x;
	s->points.d = d_n;
	for (int32 i = first_before(d, first_of_batch); i < key->n; i++)
	{
		if (i < first_of_batch && !is_history(d, key, i))
			continue;
		memcpy(x + s->points.n++ * d_n, key->x + (Size) i * d_n, size);
	}
}

/* What no later batch can need goes; the points that stay are the last ones. */
static void
trim_history(SpDetector *d, SpMicroKey *key)
{
	Size		size = sizeof(double) * d->method->judge.setup.n;
	int32		first = first_before(d, key->n);

	while (first < key->n && !is_history(d, key, first))
		first++;
	if (first == 0)
		return;
	key->n -= first;
	memmove(key->x, (char *) key->x + size * first, size * key->n);
	memmove(key->times, key->times + first, sizeof(int64) * key->n);
	if (key->allocated / 4 <= key->n)
		return;
	/* a large batch leaves no room behind that isn't needed */
	key->allocated = Max(1, key->n);
	key->x = repalloc_huge(key->x, size * key->allocated);
	key->times = repalloc_huge(key->times, sizeof(int64) * key->allocated);
}

/* ---- scores ---- */

/* Have all points scored; false: they can't be. */
static bool
score_points(Scoring *s)
{
	SpDetector *d = s->detector;
	Work		w = {.method = d->method, .points = s->points};
	double		bytes = sp_micro_memory(d->method, s->points.n);
	ErrorData  *error;

	if (bytes > sp_guc_max_batch_memory * 1024.0)
	{
		sp_failure_detector(d, sp_micro_memory_message(d->method, bytes));
		return false;
	}
	sp_batch_work_begin(&w.lent, d->method->name);
	w.scores = s->scores = MemoryContextAllocHuge(CurrentMemoryContext,
												  sizeof(double) * s->points.n);
	if (!sp_run_patiently(d->expressions, CurrentMemoryContext, run_kernel, &w, &error))
	{
		sp_failure_detector(d, error->hint == NULL ?
							psprintf("%s: %s", d->method->name, error->message) :
							psprintf("%s: %s (%s)", d->method->name, error->message, error->hint));
		return false;
	}
	sp_batch_work_end(&w.lent);
	return true;
}

/* What is noise is the anomaly where scores are numbers of clusters. */
static double
get_score(const Scoring *s, size_t i)
{
	if (s->detector->method->judge.kernel->batch->is_label)
		return isnan(s->scores[i]) ? 1 : 0;
	return s->scores[i];
}

/* How far is each feature from the median of all points, in robust deviations? */
static void
explain(Scoring *s, SpVerdict *v)
{
	int			n = s->points.d;

	if (s->columns == NULL)
	{
		double	   *scratch = MemoryContextAllocHuge(CurrentMemoryContext,
													 sizeof(double) * s->points.n);

		s->columns = palloc(sizeof(SpColumn) * n);
		for (int f = 0; f < n; f++)
			sp_order_describe(&s->points, f, scratch, &s->columns[f], NULL);
		pfree(scratch);
	}
	v->why->nparts = n;
	for (int f = 0; f < n; f++)
	{
		const SpColumn *c = &s->columns[f];
		double		unit = sp_order_unit(c);
		double		distance = fabs(v->x[f] - c->median);

		v->why->parts[f].name = NULL;
		v->why->parts[f].feature = f;
		v->why->parts[f].amount = unit > 0 ? distance / unit : distance > 0 ? INFINITY : 0;
		v->why->expected[f] = c->median;
	}
}

/* Decide about one row of the batch, point i. */
static void
judge_row(Scoring *s, const SpOverride *override, size_t i, const SpMicroRow *row, int64 time)
{
	SpDetector *d = s->detector;
	const SpStream *stream = d->stream != NULL ? d->stream : d->window->stream;
	SpMoment	moment = {time, stream->def->time_type, row->lsn, row->ordinal, s->backfill};
	SpVerdict	v;

	v.override = override;
	memcpy(v.x, s->points.x + i * s->points.d, sizeof(double) * s->points.d);
	v.point.x = v.x;
	v.point.time = v.point.local = sp_time_to_utc(time, moment.time_type, stream->zone);
	sp_detector_judge_scored(d, s->group, time, get_score(s, i), &v);
	if (v.finding.is_anomaly)
		explain(s, &v);
	if (d->def->store_all || (v.finding.is_anomaly && !v.in_cooldown && !v.muted))
		sp_detector_add_key_result(d, s->group, &moment, &v, row->carry);
}

bool
sp_micro_score(SpDetector *d, SpGroup *group, bool backfill)
{
	Scoring		s = {d, group, sp_micro_key(d, group), backfill};
	SpMicroKey *key = s.key;
	const SpOverride *override;
	size_t		first;

	sp_group_changing(&d->groups, group);
	gather_points(&s);
	if (!score_points(&s))
		return false;
	sp_detector_set_learned(d, group, s.points.n);
	override = sp_override_of(d, group);
	first = s.points.n - key->nrows;
	for (int32 r = 0; r < key->nrows; r++)
		judge_row(&s, override, first + r, &key->rows[r], key->times[key->n - key->nrows + r]);
	trim_history(d, key);
	sp_group_changed(&d->groups, group);
	return true;
}
