/*
 * window.c
 *	  Windows: rows into groups.
 *
 * The expressions of a rowset are evaluated before any state is touched (expression.c).
 * Then the kind of the window places each row in the buckets that it belongs to, and the
 * aggregates of its group there advance: without a guard where nothing can throw, else in a
 * subtransaction, with the touched groups' values copied before, so that what throws can be
 * undone and pinned to its row.  A row counts in all its windows or in none.
 */
#include "engine/internal.h"

#include "access/xact.h"
#include "base/compat.h"
#include "base/guc.h"
#include "utils/memutils.h"

/* Rows ahead of the one at work whose groups are asked for: see prefetch(). */
#define FAR_AHEAD		24
#define NEAR_AHEAD		12

/* What a rowset's rows touched, for undoing when a transition throws. */
typedef struct Undo
{
	SpGroup    *group;
	char	   *value;			/* a copy; NULL: the group is new */
} Undo;

/* ---- a group's value ---- */

/* Start the value of a new group. */
void
sp_window_init_value(SpWindow *w, SpGroup *group)
{
	int			a;

	for (a = 0; a < w->naggs; a++)
		sp_aggregate_init(w->aggs[a], sp_group_value(&w->groups, group) + w->agg_offset[a]);
}

/* Give up what a value has outside of its group. */
void
sp_window_release_value(SpWindow *w, SpGroup *group)
{
	int			a;

	for (a = 0; a < w->naggs; a++)
		sp_aggregate_release(w->aggs[a], sp_group_value(&w->groups, group) + w->agg_offset[a]);
}

/* SpValueRelease. */
void
sp_window_release_any(void *window, SpGroup *group)
{
	sp_window_release_value(window, group);
}

/* SpValueWrite: the tally, if there is one, and the aggregates, one after the other. */
void
sp_window_write_value(void *window, SpGroup *group, StringInfo buf)
{
	SpWindow   *w = window;
	int			a;

	if (w->has_tally)
		appendBinaryStringInfo(buf, (char *) sp_window_tally(w, group), sizeof(SpTally));
	for (a = 0; a < w->naggs; a++)
		sp_aggregate_serialize(w->aggs[a], sp_group_value(&w->groups, group) + w->agg_offset[a], buf);
}

/* SpValueRead. */
void
sp_window_read_value(void *window, SpGroup *group, const char **p, const char *end)
{
	SpWindow   *w = window;
	int			a;

	if (w->has_tally)
		sp_read_bytes(p, end, sp_window_tally(w, group), sizeof(SpTally));
	for (a = 0; a < w->naggs; a++)
		sp_aggregate_deserialize(w->aggs[a], sp_group_value(&w->groups, group) + w->agg_offset[a],
								 p, end);
}

/* ---- placing rows ---- */

/* A row's values of the window's keys. */
static inline void
get_keys(const SpWindow *w, const SpEvaluated *ev, int i, Datum *keys, bool *nulls)
{
	int			k;

	for (k = 0; k < w->nkeys; k++)
	{
		keys[k] = ev->result[k][i].value;
		nulls[k] = ev->result[k][i].isnull;
	}
}

/* The hash by which a group is found. */
uint32
sp_window_hash(SpWindow *w, int64 at, const Datum *keys, const bool *nulls)
{
	return sp_group_hash(&w->groups, w->ops->find != NULL ? 0 : at, keys, nulls);
}

/* The group with these keys at a place, or NULL. */
SpGroup *
sp_window_find_group(SpWindow *w, uint32 hash, int64 at, const Datum *keys, const bool *nulls)
{
	if (w->ops->find != NULL)
		return w->ops->find(w, hash, at, keys, nulls);
	return sp_group_find(&w->groups, hash, at, keys, nulls);
}

/* A group that sp_window_find_group() has just not found, without rows. */
SpGroup *
sp_window_add_group(SpWindow *w, uint32 hash, const SpPlacement *p, const Datum *keys,
					const bool *nulls)
{
	SpBucket   *bucket = NULL;
	SpGroup    *group;

	if (sp_window_has_buckets(w))
		bucket = sp_bucket_get(&w->buckets, p->at, p->start, p->end);
	if (w->groups.own_only && sp_bucket_page_is_next(bucket))
		group = sp_bucket_page_add(&w->groups, bucket, hash, keys, nulls);
	else
	{
		group = sp_group_add(&w->groups, hash, p->at, keys, nulls);
		if (bucket != NULL)
			sp_bucket_attach(&w->buckets, bucket, group);
	}
	sp_window_init_value(w, group);
	w->ops->added(w, group);
	return group;
}

/* The group of a placed row, or NULL. */
SpGroup *
sp_window_find(SpWindow *w, const SpEvaluated *ev, const SpPlacement *p)
{
	Datum		keys[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	get_keys(w, ev, p->row, keys, nulls);
	return sp_window_find_group(w, sp_window_hash(w, p->at, keys, nulls), p->at, keys, nulls);
}

static const char too_many_keys[] = "the window has streamproc.max_keys keys, and this is another";

/* There may be no more keys. */
const char *
sp_window_refuse_key(int *sqlstate)
{
	*sqlstate = ERRCODE_PROGRAM_LIMIT_EXCEEDED;
	return too_many_keys;
}

/* Why a row that threw, or couldn't be taken, is a dead letter. */
const char *
sp_window_reason(const char *message)
{
	return strcmp(message, too_many_keys) == 0 ? "max_keys" : "transition";
}

/*
 * Has the window in time as many keys as it may?  Decided by what rows of the same window in
 * time came before, not by what is still in memory of others.
 */
static inline bool
is_full(SpWindow *w, const SpPlacement *p)
{
	SpBucket   *bucket;

	if (sp_guc_max_keys == 0 || sp_group_count(&w->groups) < sp_guc_max_keys)
		return false;
	if (!sp_window_has_buckets(w))
		return true;
	bucket = sp_bucket_find(&w->buckets, p->at);
	return bucket != NULL && bucket->ngroups >= sp_guc_max_keys;
}

/* The hash of a placed row's group. */
static uint32
get_hash(SpWindow *w, const SpEvaluated *ev, const SpPlacement *p)
{
	Datum		keys[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	get_keys(w, ev, p->row, keys, nulls);
	return sp_window_hash(w, p->at, keys, nulls);
}

/* The group of a placed row, made when there is none; NULL: there may be no more. */
static SpGroup *
get_group(SpWindow *w, const SpEvaluated *ev, const SpPlacement *p, uint32 hash, bool *created)
{
	Datum		keys[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	SpGroup    *group;

	get_keys(w, ev, p->row, keys, nulls);
	group = sp_window_find_group(w, hash, p->at, keys, nulls);
	*created = group == NULL;
	if (group != NULL)
		return group;
	return is_full(w, p) ? NULL : sp_window_add_group(w, hash, p, keys, nulls);
}

/* Is the aggregate's own FILTER true for row i? */
bool
sp_window_takes(const SpWindow *w, const SpEvaluated *ev, int a, int i)
{
	const NullableDatum *filter;

	if (w->agg_filter[a] < 0)
		return true;
	filter = &ev->result[w->agg_filter[a]][i];
	return !filter->isnull && DatumGetBool(filter->value);
}

/* One more row in the group. */
static inline void
count_row(SpWindow *w, SpGroup *group)
{
	SpTally    *tally;

	if (!w->has_tally)
		return;
	tally = sp_window_tally(w, group);
	tally->rows++;
	tally->silent = 0;
}

/* What apply_native() did to the groups of one row. */
typedef struct NativeUndo
{
	SpGroup   **group;
	bool	   *created;
	char	   *backup;			/* value_size bytes for each */
	int			n;
} NativeUndo;

/* The row counts nowhere. */
static void
undo_native(SpWindow *w, NativeUndo *undo)
{
	int			u;

	for (u = undo->n - 1; u >= 0; u--)
	{
		if (undo->created[u])
			w->ops->remove(w, undo->group[u]);
		else
			memcpy(sp_group_value(&w->groups, undo->group[u]), undo->backup + u * w->value_size,
				   w->value_size);
	}
}

/* One placement of a row; NULL, or why it can't be. */
static const char *
advance_native(SpWindow *w, SpEvaluated *ev, const SpPlacement *p, uint32 hash,
			   NativeUndo *undo, int *sqlstate)
{
	SpGroup    *group = get_group(w, ev, p, hash, &undo->created[undo->n]);
	char	   *value;
	const char *message = NULL;
	int			a;

	if (group == NULL)
		return sp_window_refuse_key(sqlstate);
	value = sp_group_value(&w->groups, group);
	undo->group[undo->n] = group;
	memcpy(undo->backup + undo->n * w->value_size, value, w->value_size);
	undo->n++;
	for (a = 0; a < w->naggs && message == NULL; a++)
	{
		if (sp_window_takes(w, ev, a, p->row))
			message = sp_aggregate_advance(w->aggs[a], value + w->agg_offset[a],
										   &ev->result[w->agg_first_arg[a]][p->row], sqlstate);
	}
	count_row(w, group);
	return message;
}

/* Have what finding a group looks at in the cache by then. */
static inline void
prefetch(SpWindow *w, uint32 hash, int step)
{
	if (w->ops->prefetch != NULL)
		w->ops->prefetch(w, hash, step);
	else if (step == 0)
		sp_group_prefetch_chain(&w->groups, hash);
	else if (step == 1)
		sp_group_prefetch_first(&w->groups, hash);
	else
		sp_group_prefetch_second(&w->groups, hash);
}

/* Hashes of placed rows, whose groups will be looked for one after the other. */
static uint32 *
get_hashes(SpWindow *w, SpRowSet *rows, const SpEvaluated *ev, const SpPlacement *p, int n)
{
	uint32	   *hash = MemoryContextAlloc(rows->context, sizeof(uint32) * n);
	int			i;

	for (i = 0; i < n; i++)
	{
		hash[i] = get_hash(w, ev, &p[i]);
		prefetch(w, hash[i], 0);
	}
	for (i = 0; i < Min(n, FAR_AHEAD); i++)
		prefetch(w, hash[i], 1);
	for (i = 0; i < Min(n, NEAR_AHEAD); i++)
		prefetch(w, hash[i], 2);
	return hash;
}

/* All aggregates native, keys of built-in types: nothing throws. */
static void
place_native(SpWindow *w, SpRowSet *rows, SpEvaluated *ev, const SpPlacement *p, int n)
{
	uint32	   *hash = get_hashes(w, rows, ev, p, n);
	int			most = 1;
	NativeUndo	undo;
	int			i,
				j;

	for (i = 1, j = 1; i < n; i++)
	{
		j = p[i].row == p[i - 1].row ? j + 1 : 1;
		most = Max(most, j);
	}
	undo.group = MemoryContextAlloc(rows->context, sizeof(SpGroup *) * most);
	undo.created = MemoryContextAlloc(rows->context, most);
	undo.backup = MemoryContextAlloc(rows->context, Max(w->value_size, 1) * most);
	for (i = 0; i < n; i = j)
	{
		const char *message = NULL;
		int			sqlstate = 0;
		int			u;

		undo.n = 0;
		for (j = i; j < n && p[j].row == p[i].row; j++)
		{
			if (j + FAR_AHEAD < n)
				prefetch(w, hash[j + FAR_AHEAD], 1);
			if (j + NEAR_AHEAD < n)
				prefetch(w, hash[j + NEAR_AHEAD], 2);
			if (message == NULL)
				message = advance_native(w, ev, &p[j], hash[j], &undo, &sqlstate);
		}
		if (unlikely(message != NULL))
		{
			undo_native(w, &undo);
			sp_output_dead(&w->output, rows, p[i].row, sp_window_reason(message),
						   unpack_sql_state(sqlstate), message);
			sp_refusal_note(w, rows, ev, &p[j - 1]);
			continue;
		}
		w->rows++;
		for (u = 0; u < undo.n; u++)
			w->ops->changed(w, undo.group[u]);
	}
}

/* Put back what rows did to the groups of the undo log. */
static void
undo_groups(SpWindow *w, Undo *undo, int nundo)
{
	int			u;

	for (u = nundo - 1; u >= 0; u--)
	{
		SpGroup    *group = undo[u].group;

		group->flags &= ~SP_GROUP_TOUCHED;
		if (undo[u].value == NULL)
		{
			w->ops->remove(w, group);
			continue;
		}
		sp_window_release_value(w, group);
		memcpy(sp_group_value(&w->groups, group), undo[u].value, w->value_size);
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
		w->ops->changed(w, undo[u].group);
	}
}

/* Note a group before its first change by this rowset. */
static void
touch_group(SpWindow *w, SpGroup *group, bool created, Undo *undo, int *nundo, MemoryContext context)
{
	Undo	   *entry;
	char	   *value = sp_group_value(&w->groups, group);
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
	memcpy(entry->value, value, w->value_size);
	for (a = 0; a < w->naggs; a++)
		sp_aggregate_copy(w->aggs[a], entry->value + w->agg_offset[a], value + w->agg_offset[a]);
}

/* One placement through transition functions, which may throw. */
static void
advance_generic(SpWindow *w, SpRowSet *rows, SpEvaluated *ev, const SpPlacement *p,
				Undo *undo, int *nundo)
{
	NullableDatum args[SP_MAX_AGG_ARGS];
	bool		created;
	SpGroup    *group = get_group(w, ev, p, get_hash(w, ev, p), &created);
	int			a,
				j;

	if (group == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg_internal("%s", too_many_keys)));
	touch_group(w, group, created, undo, nundo, rows->context);
	for (a = 0; a < w->naggs; a++)
	{
		const char *message;
		int			sqlstate = 0;

		if (!sp_window_takes(w, ev, a, p->row))
			continue;
		for (j = 0; j < sp_aggregate_nargs(w->aggs[a]); j++)
			args[j] = ev->result[w->agg_first_arg[a] + j][p->row];
		message = sp_aggregate_advance(w->aggs[a],
									   sp_group_value(&w->groups, group) + w->agg_offset[a],
									   args, &sqlstate);
		if (message != NULL)
			ereport(ERROR, (errcode(sqlstate), errmsg_internal("%s", message)));
	}
	count_row(w, group);
}

/* What advance_placements() works on. */
typedef struct AdvanceWork
{
	SpWindow   *window;
	SpRowSet   *rows;
	SpEvaluated *ev;
	const SpPlacement *placements;
	int			first;
	int			last;
	Undo	   *undo;
	int			nundo;
} AdvanceWork;

/* Advance a range of placements; for sp_run_guarded(). */
static void
advance_placements(void *arg)
{
	AdvanceWork *work = arg;
	int			i;

	for (i = work->first; i <= work->last; i++)
		advance_generic(work->window, work->rows, work->ev, &work->placements[i],
						work->undo, &work->nundo);
}

/* How many rows are in a range of placements? */
static int
count_rows(const SpPlacement *p, int first, int last)
{
	int			n = 1;
	int			i;

	for (i = first + 1; i <= last; i++)
		n += p[i].row != p[i - 1].row;
	return n;
}

/* Placements first..last: all or, with false and *error, none. */
static bool
place_guarded(AdvanceWork *work, int first, int last, ErrorData **error)
{
	SpWindow   *w = work->window;

	work->first = first;
	work->last = last;
	work->nundo = 0;
	if (sp_run_guarded(w->expressions, work->rows->context, advance_placements, work, error))
	{
		forget_undo(w, work->undo, work->nundo);
		w->rows += count_rows(work->placements, first, last);
		return true;
	}
	undo_groups(w, work->undo, work->nundo);
	return false;
}

/* One row, with some patience: see sp_run_patiently(). */
static bool
place_row(AdvanceWork *work, int first, int last, ErrorData **error)
{
	int			attempt;

	for (attempt = 1; attempt <= SP_ATTEMPTS; attempt++)
	{
		if (place_guarded(work, first, last, error))
			return true;
		if (!sp_error_is_environment(*error))
			break;
	}
	return false;
}

/* Some transitions or key comparisons may throw: the rows that do become dead letters. */
static void
place_generic(SpWindow *w, SpRowSet *rows, SpEvaluated *ev, const SpPlacement *p, int n)
{
	AdvanceWork work = {w, rows, ev, p};
	ErrorData  *error;
	int			i,
				j;

	work.undo = MemoryContextAlloc(rows->context, sizeof(Undo) * n);
	if (place_guarded(&work, 0, n - 1, &error))
		return;
	for (i = 0; i < n; i = j)
	{
		for (j = i + 1; j < n && p[j].row == p[i].row; j++)
			;
		if (place_row(&work, i, j - 1, &error))
			continue;
		sp_output_dead(&w->output, rows, p[i].row, sp_window_reason(error->message),
					   unpack_sql_state(error->sqlerrcode), error->message);
		sp_refusal_note(w, rows, ev, &p[j - 1]);
	}
}

/*
 * Let rows count where they were placed, or count no more; placements of one row follow each
 * other.
 */
void
sp_window_place(SpWindow *w, SpRowSet *rows, SpEvaluated *ev, const SpPlacement *placements, int n)
{
	if (n == 0 || w->def->o.state == SP_STATE_FAILED)
		return;
	if (rows->retract)
		sp_retract_place(w, rows, ev, placements, n);
	else if (w->native)
		place_native(w, rows, ev, placements, n);
	else
		place_generic(w, rows, ev, placements, n);
}

/* Rows of what the window reads, at most one rowset of one transaction. */
void
sp_window_apply(SpWindow *w, SpRowSet *rows)
{
	SpEvaluated *ev = sp_expressions_evaluate(w->expressions, w->evaluated, w->nevaluated,
											  rows, &w->output);
	int			i;

	for (i = 0; i < rows->n; i++)
	{
		if (rows->no_time[i])
			ev->pass[i] = false;	/* the stream has reported it */
	}
	sp_key_size_check(w, rows, ev);
	w->ops->apply(w, rows, ev);
}
