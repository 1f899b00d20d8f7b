/*
 * shield_seed.c
 *	  The states that history leaves behind.
 */
#include "engine/shield_internal.h"

#include "base/compat.h"
#include "engine/history.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* ---- a stream's detector: the series are its own ---- */

/* SpHistoryTake */
static bool
take_rows(void *arg, SpRowSet *rows)
{
	sp_detector_apply(arg, rows);
	return true;
}

static void
give_series(SpShield *shield, SpShieldTake take, void *arg)
{
	SpDetector *d = shield->detector;
	SpShieldState *state = sp_shield_new_state(shield);
	ListCell   *lc;

	foreach(lc, sp_bucket_sorted_groups(&d->groups))
	{
		SpGroup    *group = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		memcpy(state->series, sp_detector_series(d, group), sp_shield_series_size(shield));
		take(arg, sp_group_keys(&d->groups, group), sp_group_nulls(&d->groups, group), state);
	}
}

/* ---- a sliding window's ---- */

/* Row i of history. */
typedef struct SeedWork
{
	SpShield   *shield;
	SpRowSet   *rows;
	SpEvaluated *ev;
	int			i;
	SpShieldState *state;
	bool		answered;
} SeedWork;

/* The value of the window's group is a pointer: here to the key's state. */
#define state_of(w, group) (*(SpShieldState **) sp_group_value(&(w)->groups, group))

/* The state of row i's key, made when there is none. */
static SpShieldState *
get_state(SpShield *shield, const SpEvaluated *ev, int i)
{
	SpWindow   *w = shield->window;
	Datum		keys[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	SpGroup    *group;
	uint32		hash;

	for (int k = 0; k < w->nkeys; k++)
	{
		keys[k] = ev->result[k][i].value;
		nulls[k] = ev->result[k][i].isnull;
	}
	hash = sp_group_hash(&w->groups, 0, keys, nulls);
	group = sp_group_find(&w->groups, hash, 0, keys, nulls);
	if (group == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(w->sliding->context);

		group = sp_group_add(&w->groups, hash, 0, keys, nulls);
		state_of(w, group) = sp_shield_new_state(shield);
		MemoryContextSwitchTo(old);
	}
	return state_of(w, group);
}

/* The detector has seen the row's answer: it may be in a cooldown since; for sp_run_guarded(). */
static void
judge_row(void *arg)
{
	SeedWork   *work = arg;
	SpShield   *shield = work->shield;
	SpDetector *d = shield->detector;

	if (!sp_shield_window_compute(shield, work->rows, work->ev, work->i,
								  work->rows->time[work->i], &work->state->trail))
		return;
	work->answered = true;
	if (shield->answer.n == 0)
		return;
	shield->evaluated = sp_expressions_evaluate_here(d->expressions, d->evaluated, d->nevaluated,
													 &shield->answer);
	if (!shield->evaluated->pass[0])
		return;
	sp_shield_take_series(shield, work->state);
	shield->verdict.override = sp_override_any(d) ?
		sp_override_find(d, shield->answer.values + 2, shield->answer.nulls + 2) : NULL;
	sp_detector_judge(d, &shield->answer, shield->evaluated, 0, shield->group, &shield->verdict);
	sp_shield_give_series(shield, work->state);
}

/* Row i, which the window has taken. */
static void
seed_row(SeedWork *work)
{
	SpShield   *shield = work->shield;
	SpWindow   *w = shield->window;
	int64		start;
	int64		after;
	ErrorData  *error;

	if (!sp_sliding_window_of(w, work->rows->time[work->i], &start, &after))
		return;
	work->state = get_state(shield, work->ev, work->i);
	sp_trail_settle(w, &work->state->trail, 0);
	work->answered = !sp_shield_has_series(shield);
	if (!work->answered)
	{
		MemoryContextReset(shield->row_context);
		(void) sp_run_guarded(shield->detector->expressions, shield->row_context, judge_row, work,
							  &error);
	}
	if (work->answered)
		sp_shield_window_add(shield, work->rows, work->ev, work->i, &work->state->trail);
}

/* SpHistoryTake */
static bool
take_window_rows(void *arg, SpRowSet *rows)
{
	SpShield   *shield = arg;
	SpWindow   *w = shield->window;
	SeedWork	work = {shield, rows};
	SpUserContext user;

	work.ev = sp_expressions_evaluate(w->expressions, w->evaluated, w->nevaluated, rows, &w->output);
	/* types of keys may be a user's */
	sp_user_enter(&user, w->expressions->owner, w->expressions->settings);
	for (work.i = 0; work.i < rows->n; work.i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (work.ev->pass[work.i] && !rows->no_time[work.i])
			seed_row(&work);
	}
	sp_user_leave(&user, true);
	return true;
}

static void
give_trails(SpShield *shield, SpShieldTake take, void *arg)
{
	SpGroups   *groups = &shield->window->groups;
	ListCell   *lc;

	foreach(lc, sp_bucket_sorted_groups(groups))
	{
		SpGroup    *group = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		take(arg, sp_group_keys(groups, group), sp_group_nulls(groups, group),
			 state_of(shield->window, group));
	}
}

/* ---- both ---- */

void
sp_shield_seed(SpShield *shield, SpShieldTake take, void *arg)
{
	SpDetector *d = shield->detector;
	SpWindow   *w = shield->window;
	SpHistory	history = {.stream = shield->stream};

	if (shield->group != NULL && w == NULL)
	{
		sp_group_remove(&d->groups, shield->group);
		shield->group = NULL;
	}
	history.context = AllocSetContextCreate(shield->context, "streamproc rows",
											ALLOCSET_DEFAULT_SIZES);
	d->output.replaying = true; /* what it says is dropped */
	if (w != NULL)
		w->output.replaying = true;
	sp_override_load(d);
	if (w == NULL)
	{
		sp_history_read(&history, SP_NO_WATERMARK, take_rows, d);
		give_series(shield, take, arg);
		return;
	}
	sp_history_read(&history, SP_NO_WATERMARK, take_window_rows, shield);
	give_trails(shield, take, arg);
}
