/*
 * shield_judge.c
 *	  What a detector in a session says of the row at work.
 */
#include "engine/shield_internal.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define MOST_AHEAD		100		/* later windows that are looked at */

void
sp_shield_set_row(SpShield *shield, const Datum *values, const bool *nulls)
{
	SpRowSet   *rows = &shield->rows;
	TupleDesc	desc = shield->stream->desc;

	MemoryContextReset(shield->row_context);
	sp_output_clear(&shield->detector->output);
	sp_rowset_init(rows, shield->row_context, desc->natts, 1);
	memcpy(rows->values, values, sizeof(Datum) * desc->natts);
	memcpy(rows->nulls, nulls, sizeof(bool) * desc->natts);
	rows->n = 1;
	rows->commit_time = GetCurrentTimestamp();	/* near enough */
	rows->time_type = shield->stream->def->time_type;
	rows->zone = shield->stream->zone;
	rows->desc = desc;
	sp_rowset_set_time(rows, 0, shield->stream);
}

/* A detector's row. */
static SpEvaluated *
evaluate(SpDetector *d, const SpRowSet *rows)
{
	SpEvaluated *ev;
	SpUserContext user;

	sp_user_enter(&user, d->expressions->owner, d->expressions->settings);
	ev = sp_expressions_evaluate_here(d->expressions, d->evaluated, d->nevaluated, rows);
	sp_user_leave(&user, true);
	return ev;
}

bool
sp_shield_evaluate(SpShield *shield)
{
	SpWindow   *w = shield->window;
	SpUserContext user;

	if (w == NULL)
		shield->taken = shield->evaluated = evaluate(shield->detector, &shield->rows);
	else
	{
		sp_user_enter(&user, w->expressions->owner, w->expressions->settings);
		shield->taken = sp_expressions_evaluate_here(w->expressions, w->evaluated, w->nevaluated,
													 &shield->rows);
		sp_user_leave(&user, true);
	}
	return shield->taken->pass[0];
}

void
sp_shield_get_key(const SpShield *shield, Datum *keys, bool *nulls)
{
	for (int k = 0; k < shield->detector->def->nkeys; k++)
	{
		const NullableDatum *result = &shield->taken->result[sp_shield_first_key(shield) + k][0];

		keys[k] = result->value;
		nulls[k] = result->isnull;
	}
}

/*
 * What a query in a trigger would see: all that is committed by now, or with an isolation level
 * that has one snapshot for the transaction, what that sees; and the transaction's own changes.
 */
void
sp_shield_take_override(SpShield *shield)
{
	SpVerdict  *v = &shield->verdict;
	MemoryContext old = MemoryContextSwitchTo(shield->row_context);
	Datum		keys[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	v->override = NULL;
	if (OidIsValid(shield->detector->def->overrides))
	{
		sp_shield_get_key(shield, keys, nulls);
		PushActiveSnapshot(GetTransactionSnapshot());
		if (sp_override_look_up(shield->detector, keys, nulls, GetActiveSnapshot(),
								&shield->override))
			v->override = &shield->override;
		PopActiveSnapshot();
	}
	MemoryContextSwitchTo(old);
}

/*
 * Is the row's time by the clock, or hardly older than its transaction?  Rows of several sessions
 * get in as they get hold of their key, which is not in the order of such times.
 */
static bool
is_of_the_present(const SpShield *shield)
{
	const SpStreamDef *def = shield->stream->def;
	TimestampTz start = GetCurrentTransactionStartTimestamp();

	return !shield->rows.no_time[0] && shield->rows.time[0] >=
		sp_clock_behind(sp_time_from_utc(start, def->time_type, shield->stream->zone),
						def->watermark_us);
}

/* What the detector says of the row that it looks at; what it learns is not in the state yet. */
static void
judge(SpShield *shield, bool has_state)
{
	SpDetector *d = shield->detector;
	SpVerdict  *v = &shield->verdict;

	sp_detector_judge(d, shield->judged, shield->evaluated, 0, shield->group, v);
	/* a session doesn't know the scores of all keys, nor any without a state */
	if (d->method->calibrate == SP_CALIBRATE_DETECTOR ||
		(!has_state && d->method->calibrate == SP_CALIBRATE_KEY))
		v->finding.p_value = get_float8_nan();
}

/* The detector of a window looks at its answer, if it has one that is to be seen. */
static void
judge_answer(SpShield *shield, const SpShieldState *state)
{
	shield->verdict.scored = false;
	if (shield->answer.n == 0)
		return;
	sp_shield_take_series(shield, state);
	shield->evaluated = evaluate(shield->detector, &shield->answer);
	if (shield->evaluated->pass[0])
		judge(shield, true);
}

/* Is there an alert? */
static inline bool
finds(const SpVerdict *v)
{
	return v->scored && v->finding.is_anomaly && !v->muted;
}

/* It also looks at the answers to the events after a row of the present. */
static void
judge_answers(SpShield *shield, SpShieldState *state)
{
	int64		upto = PG_INT64_MAX;

	shield->judged = &shield->answer;
	if (!sp_shield_window_answer(shield, &state->trail))
		return;
	judge_answer(shield, state);
	if (!is_of_the_present(shield))
		return;
	for (int i = 0; i < MOST_AHEAD && !finds(&shield->verdict); i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!sp_shield_window_answer_later(shield, &state->trail, &upto))
			return;
		judge_answer(shield, state);
	}
}

SpShieldSays
sp_shield_judge(SpShield *shield, SpShieldState *state)
{
	SpDetector *d = shield->detector;
	SpVerdict  *v = &shield->verdict;
	MemoryContext old = MemoryContextSwitchTo(shield->row_context);

	v->scored = false;
	shield->judged = &shield->rows;
	if (state != NULL)
		sp_shield_take_series(shield, state);
	else if (shield->group != NULL)
		sp_series_init(d->method, sp_detector_series(d, shield->group));
	if (shield->rows.no_time[0])
		sp_output_dead(&d->output, &shield->rows, 0, "null_time", "22004",
					   "the event time is null");
	else if (shield->window != NULL)
		judge_answers(shield, state);
	else
	{
		shield->method->judge.setup.looks_ahead = is_of_the_present(shield);
		judge(shield, state != NULL);
	}
	MemoryContextSwitchTo(old);
	if (d->output.ndead > 0)
		return SP_SHIELD_FAILS;
	return finds(v) ? SP_SHIELD_FINDS : SP_SHIELD_PASSES;
}

void
sp_shield_learn(SpShield *shield, SpShieldState *state)
{
	sp_shield_give_series(shield, state);
	if (shield->window != NULL)
		sp_shield_window_add(shield, &shield->rows, shield->taken, 0, &state->trail);
}

const char *
sp_shield_problem(const SpShield *shield, int *sqlstate)
{
	const SpDeadLetter *dead = dlist_head_element(SpDeadLetter, node,
												  &shield->detector->output.dead);

	*sqlstate = MAKE_SQLSTATE(dead->sqlstate[0], dead->sqlstate[1], dead->sqlstate[2],
							  dead->sqlstate[3], dead->sqlstate[4]);
	return dead->message;
}

bool
sp_shield_in_cooldown(const SpShield *shield)
{
	return shield->verdict.in_cooldown;
}
