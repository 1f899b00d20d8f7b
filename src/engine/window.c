/*
 * window.c
 *	  Windows: rows into groups.
 *
 * The expressions of a rowset are evaluated before any state is touched (expression.c).
 * Then each row finds its window and its group, and the aggregates advance: without a
 * guard where nothing can throw, else in a subtransaction, with the touched groups'
 * values copied before, so that what throws can be undone and pinned to its row.
 */
#include "engine/internal.h"

#include "access/xact.h"
#include "base/compat.h"
#include "utils/memutils.h"

/* What a rowset's rows touched, for undoing when a transition throws. */
typedef struct Undo
{
	SpGroup    *group;
	char	   *value;			/* a copy; NULL: the group is new */
} Undo;

/*
 * Find each passing row's window; late rows and those whose window can't be computed stop
 * passing.  A final window still takes rows within grace, and rows newer than all before.
 */
static void
assign_windows(SpWindow *w, SpRowSet *rows, SpEvaluated *ev, int64 *start, int64 *end)
{
	int64		watermark = w->stream->watermark;
	int64		max_time = w->stream->max_time;
	int			i;

	for (i = 0; i < rows->n; i++)
	{
		int64		time = rows->time[i];

		if (!ev->pass[i])
			continue;
		if (rows->no_time[i])
			ev->pass[i] = false;	/* the stream has reported it */
		else if (w->def->window_kind == SP_WINDOW_GLOBAL)
			start[i] = end[i] = 0;
		else if (!sp_tumbling_assign(&w->tumbling, time, &start[i], &end[i]))
		{
			ev->pass[i] = false;
			sp_output_dead(&w->output, rows, i, "time_range", "22008",
						   "the window of the row's event time is out of range");
		}
		else if (!rows->backfill &&
				 (end[i] <= w->floor ||
				  (watermark != SP_NO_WATERMARK && time <= max_time && end[i] <= watermark &&
				   sp_bucket_add_us(end[i], w->def->grace_us) <= watermark)))
		{
			ev->pass[i] = false;
			w->late++;
			w->groups.any_dirty = true; /* the count is part of the state */
			if (w->stream->def->late_dead_letter)
				sp_output_dead(&w->output, rows, i, "late", NULL, NULL);
		}
	}
}

/* The group of row i, made when there is none. */
static SpGroup *
get_group(SpWindow *w, const SpEvaluated *ev, int i, int64 start, int64 end, bool *created)
{
	Datum		keys[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	SpGroup    *group;
	uint32		hash;
	int			k;

	for (k = 0; k < w->nkeys; k++)
	{
		keys[k] = ev->result[k][i].value;
		nulls[k] = ev->result[k][i].isnull;
	}
	hash = sp_group_hash(&w->groups, start, keys, nulls);
	group = sp_group_find(&w->groups, hash, start, keys, nulls);
	*created = group == NULL;
	if (group == NULL)
	{
		SpBucket   *bucket = sp_bucket_get(w, start, end);
		int			a;

		group = sp_bucket_add_group(w, bucket, hash, keys, nulls);
		for (a = 0; a < w->naggs; a++)
			sp_aggregate_init(w->aggs[a], sp_group_value(&w->groups, group) + w->agg_offset[a]);
	}
	return group;
}

/* Is the aggregate's own FILTER true for row i? */
static inline bool
agg_takes(const SpWindow *w, const SpEvaluated *ev, int a, int i)
{
	const NullableDatum *filter;

	if (w->agg_filter[a] < 0)
		return true;
	filter = &ev->result[w->agg_filter[a]][i];
	return !filter->isnull && DatumGetBool(filter->value);
}

/* All aggregates native, keys of built-in types: nothing throws. */
static void
apply_native(SpWindow *w, SpRowSet *rows, SpEvaluated *ev, const int64 *start, const int64 *end)
{
	char	   *backup = MemoryContextAlloc(rows->context, Max(w->value_size, 1));
	int			i,
				a;

	for (i = 0; i < rows->n; i++)
	{
		const char *message = NULL;
		int			sqlstate = 0;
		bool		created;
		SpGroup    *group;
		char	   *value;

		if (!ev->pass[i])
			continue;
		group = get_group(w, ev, i, start[i], end[i], &created);
		value = sp_group_value(&w->groups, group);
		if (w->naggs > 1)
			memcpy(backup, value, w->value_size);
		for (a = 0; a < w->naggs && message == NULL; a++)
		{
			if (agg_takes(w, ev, a, i))
				message = sp_aggregate_advance(w->aggs[a], value + w->agg_offset[a],
											   &ev->result[w->agg_first_arg[a]][i], &sqlstate);
		}
		if (likely(message == NULL))
		{
			w->rows++;
			sp_bucket_group_changed(w, group);
			continue;
		}
		if (created)
			sp_bucket_remove_group(w, group);
		else if (w->naggs > 1)
			memcpy(value, backup, w->value_size);
		sp_output_dead(&w->output, rows, i, "transition", unpack_sql_state(sqlstate), message);
	}
}

/* Put back what rows did to the groups of the undo log. */
static void
undo_groups(SpWindow *w, Undo *undo, int nundo)
{
	int			u,
				a;

	for (u = nundo - 1; u >= 0; u--)
	{
		SpGroup    *group = undo[u].group;
		char	   *value = sp_group_value(&w->groups, group);

		group->flags &= ~SP_GROUP_TOUCHED;
		if (undo[u].value == NULL)
		{
			sp_bucket_remove_group(w, group);
			continue;
		}
		for (a = 0; a < w->naggs; a++)
			sp_aggregate_release(w->aggs[a], value + w->agg_offset[a]);
		memcpy(value, undo[u].value, w->value_size);
	}
}

/* The rows are in: give up the copies. */
static void
forget_undo(SpWindow *w, Undo *undo, int nundo)
{
	int			u,
				a;

	for (u = 0; u < nundo; u++)
	{
		undo[u].group->flags &= ~SP_GROUP_TOUCHED;
		for (a = 0; a < w->naggs && undo[u].value != NULL; a++)
			sp_aggregate_release(w->aggs[a], undo[u].value + w->agg_offset[a]);
		sp_bucket_group_changed(w, undo[u].group);
	}
}

/* Note a group before its first change by this rowset. */
static void
touch_group(SpWindow *w, SpGroup *group, bool created, Undo *undo, int *nundo, MemoryContext context)
{
	Undo	   *entry;
	int			a;

	if (group->flags & SP_GROUP_TOUCHED)
		return;
	entry = &undo[(*nundo)++];
	entry->group = group;
	entry->value = NULL;
	group->flags |= SP_GROUP_TOUCHED;
	if (created)
		return;
	entry->value = MemoryContextAlloc(context, Max(w->value_size, 1));
	for (a = 0; a < w->naggs; a++)
		sp_aggregate_copy(w->aggs[a], entry->value + w->agg_offset[a],
						  sp_group_value(&w->groups, group) + w->agg_offset[a]);
}

/* One row through transition functions, which may throw. */
static void
advance_row(SpWindow *w, SpRowSet *rows, SpEvaluated *ev, int i, int64 start, int64 end,
			Undo *undo, int *nundo)
{
	NullableDatum args[SP_MAX_AGG_ARGS];
	bool		created;
	SpGroup    *group = get_group(w, ev, i, start, end, &created);
	int			a,
				j;

	touch_group(w, group, created, undo, nundo, rows->context);
	for (a = 0; a < w->naggs; a++)
	{
		const char *message;
		int			sqlstate = 0;

		if (!agg_takes(w, ev, a, i))
			continue;
		for (j = 0; j < sp_aggregate_nargs(w->aggs[a]); j++)
			args[j] = ev->result[w->agg_first_arg[a] + j][i];
		message = sp_aggregate_advance(w->aggs[a],
									   sp_group_value(&w->groups, group) + w->agg_offset[a],
									   args, &sqlstate);
		if (message != NULL)
			ereport(ERROR, (errcode(sqlstate), errmsg_internal("%s", message)));
	}
}

/* What advance_rows() works on. */
typedef struct AdvanceWork
{
	SpWindow   *window;
	SpRowSet   *rows;
	SpEvaluated *ev;
	const int64 *start;
	const int64 *end;
	int			first;
	int			last;
	Undo	   *undo;
	int			nundo;
	int			nrows;
} AdvanceWork;

/* Advance a range of rows; for sp_run_guarded(). */
static void
advance_rows(void *arg)
{
	AdvanceWork *work = arg;
	int			i;

	for (i = work->first; i <= work->last; i++)
	{
		if (!work->ev->pass[i])
			continue;
		advance_row(work->window, work->rows, work->ev, i, work->start[i], work->end[i],
					work->undo, &work->nundo);
		work->nrows++;
	}
}

/* Rows first..last: all or, with false and *error, none. */
static bool
apply_guarded(AdvanceWork *work, int first, int last, ErrorData **error)
{
	SpWindow   *w = work->window;

	work->first = first;
	work->last = last;
	work->nundo = 0;
	work->nrows = 0;
	if (sp_run_guarded(w->expressions, work->rows->context, advance_rows, work, error))
	{
		forget_undo(w, work->undo, work->nundo);
		w->rows += work->nrows;
		return true;
	}
	undo_groups(w, work->undo, work->nundo);
	return false;
}

/* One row, with some patience: see sp_run_patiently(). */
static bool
apply_row(AdvanceWork *work, int i, ErrorData **error)
{
	int			attempt;

	for (attempt = 1; attempt <= SP_ATTEMPTS; attempt++)
	{
		if (apply_guarded(work, i, i, error))
			return true;
		if (!sp_error_is_environment(*error))
			break;
	}
	return false;
}

/* Some transitions or key comparisons may throw: the rows that do become dead letters. */
static void
apply_generic(SpWindow *w, SpRowSet *rows, SpEvaluated *ev, const int64 *start, const int64 *end)
{
	AdvanceWork work = {w, rows, ev, start, end};
	ErrorData  *error;
	int			i;

	work.undo = MemoryContextAlloc(rows->context, sizeof(Undo) * rows->n);
	if (apply_guarded(&work, 0, rows->n - 1, &error))
		return;
	for (i = 0; i < rows->n; i++)
	{
		if (ev->pass[i] && !apply_row(&work, i, &error))
			sp_output_dead(&w->output, rows, i, "transition",
						   unpack_sql_state(error->sqlerrcode), error->message);
	}
}

/* Rows of the stream, at most one rowset of one transaction. */
void
sp_window_apply(SpWindow *w, SpRowSet *rows)
{
	SpEvaluated *ev = sp_expressions_evaluate(w->expressions, w->evaluated, w->nevaluated,
											  rows, &w->output);
	int64	   *start = MemoryContextAlloc(rows->context, sizeof(int64) * rows->n);
	int64	   *end = MemoryContextAlloc(rows->context, sizeof(int64) * rows->n);

	assign_windows(w, rows, ev, start, end);
	if (w->native)
		apply_native(w, rows, ev, start, end);
	else
		apply_generic(w, rows, ev, start, end);
}
