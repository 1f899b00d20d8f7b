/*
 * detector_judge.c
 *	  A row of a detector: which rules hold, or what the kernel says of its value or features.
 */
#include "engine/detector.h"

#include <math.h>

#include "base/compat.h"
#include "catalog/pg_type.h"
#include "engine/sample.h"
#include "engine/timer.h"
#include "kernel/batch/kernels.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* Which rules hold. */
static void
judge_rules(SpDetector *d, const SpMethod *method, const SpEvaluated *ev, int i, SpVerdict *v)
{
	int			r;

	for (r = 0; r < d->def->nrules; r++)
	{
		SpExpression *e = d->evaluated[d->first_rule + r];
		NullableDatum *result = &ev->result[d->first_rule + r][i];

		if (result->isnull)
			continue;
		if (e->type != BOOLOID)
			v->alerts = lappend(v->alerts, TextDatumGetCString(result->value));
		else if (DatumGetBool(result->value))
			v->alerts = lappend(v->alerts, d->def->rule_labels[r]);
	}
	v->scored = true;
	sp_online_clear_score(&v->finding.score);
	v->finding.score.score = list_length(v->alerts);
	v->finding.p_value = NAN;
	v->finding.threshold = method->judge.setup.threshold;
	v->finding.is_anomaly = v->finding.score.score >= v->finding.threshold;
}

/* ---- methods with a kernel ---- */

/* Row i is a window's that isn't final: what is too low may still grow. */
static inline bool
is_early(const SpRowSet *rows, int i)
{
	return rows->provisional && rows->origin[i].early;
}

/* The value or the features; false: they can't be scored, or needn't. */
static bool
get_numbers(SpDetector *d, SpRowSet *rows, const SpEvaluated *ev, int i, SpGroup *group,
			SpVerdict *v)
{
	int			first = d->def->has_value ? 0 : d->first_feature;
	bool		missing[SP_MAX_FEATURES];

	for (int f = 0; f < d->method->judge.setup.n; f++)
	{
		NullableDatum *result = &ev->result[first + f][i];

		missing[f] = result->isnull;
		v->x[f] = result->isnull ? 0 : DatumGetFloat8(result->value);
	}
	if (sp_series_remembers(d->method) && !rows->provisional)
		sp_group_changed(&d->groups, group);
	switch (sp_series_take(d->method, sp_detector_series(d, group), v->x, missing,
						   !rows->provisional))
	{
		case SP_INPUT_TAKEN:
			if (d->def->has_value && d->method->judge.kernel->takes != SP_TAKES_ANY_VALUE)
				v->value = v->x[0];
			return true;
		case SP_INPUT_SKIPPED:
			return false;
		case SP_INPUT_MISSING:
			sp_output_dead(&d->output, rows, i, "missing", "22004",
						   d->def->has_value ? "the detector's value is null" :
						   "a feature of the detector is null");
			return false;
		case SP_INPUT_NOT_FINITE:
			sp_output_dead(&d->output, rows, i, "not_finite", "22003",
						   d->def->has_value ? "the detector's value is NaN or infinite" :
						   "a feature of the detector is NaN or infinite");
			return false;
	}
	return false;
}

bool
sp_detector_get_point(SpDetector *d, const SpMethod *method, SpRowSet *rows, const SpEvaluated *ev,
					  int i, SpGroup *group, SpVerdict *v)
{
	if (is_early(rows, i) && method->judge.kernel->has_direction &&
		method->judge.setup.direction == SP_DIRECTION_LOW)
		return false;
	if (!get_numbers(d, rows, ev, i, group, v))
		return false;
	v->point.x = v->x;
	if (!method->uses_time)
		return true;
	if (TIMESTAMP_NOT_FINITE(rows->time[i]))
	{
		sp_output_dead(&d->output, rows, i, "time_range", "22008",
					   "the detector needs an event time that is finite");
		return false;
	}
	v->point.time = sp_time_to_utc(rows->time[i], rows->time_type, rows->zone);
	v->point.local = rows->time_type == TIMESTAMPTZOID || method->zone != NULL ?
		sp_method_local_time(method, v->point.time) : rows->time[i];
	return true;
}

/* So many seconds, as an interval; milliseconds where it is short. */
static char *
format_seconds(double seconds)
{
	Interval	interval = {0};
	int64		unit = seconds < 10 ? 1000 : USECS_PER_SEC;

	interval.time = (TimeOffset) rint(seconds * USECS_PER_SEC / unit) * unit;
	return DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(&interval)));
}

/* "value 7 is above the expected 3 to 5, score 4.2" */
static char *
describe(const SpDetector *d, const SpVerdict *v)
{
	const SpScore *score = &v->finding.score;
	int			side = sp_judge_side(&d->method->judge, &v->point, score);

	if (d->method->judge.kernel->batch != NULL && d->method->judge.kernel->batch->is_label)
		return pstrdup("noise: in no cluster");
	if (d->method->judge.kernel->due != NULL)
		return psprintf("nothing for %s, usually every %s", format_seconds(v->value),
						format_seconds(score->expected));
	if (side == 0)
		return psprintf("score %.3g is above %.3g", score->score, v->finding.threshold);
	if (isnan(score->lower_bound) || isnan(score->upper_bound))
		return psprintf("value %g is %s the expected %g, score %.3g", v->value,
						side > 0 ? "above" : "below", score->expected, score->score);
	return psprintf("value %g is %s the expected %g to %g, score %.3g", v->value,
					side > 0 ? "above" : "below", score->lower_bound, score->upper_bound,
					score->score);
}

/* A key is warming up, or has stopped to; or has to once more. */
static void
note_warm_up(SpDetector *d, const SpSeries *series, int32 was_ready)
{
	d->ready += series->ready - was_ready;
	d->learned = sp_series_learned(d->method, series);
}

/* The score will be explained, whatever it is, even where the kernel can't say anything yet. */
static void
prepare_explanation(const SpDetector *d, const SpSeries *series, SpVerdict *v)
{
	sp_online_clear_explanation(v->why, d->method->judge.setup.n);
	v->learned = sp_series_learned(d->method, series);
}

/* Methods may score something else than the value. */
static void
set_measure(const SpMethod *method, const SpSeries *series, SpVerdict *v)
{
	const SpKernel *kernel = method->judge.kernel;

	if (kernel->measure != NULL)
		v->value = kernel->measure(series + 1, &method->judge.setup, &v->point);
}

/* Score a point and learn of it. */
static void
step(SpDetector *d, const SpMethod *method, SpGroup *group, SpVerdict *v)
{
	SpSeries   *series = sp_detector_series(d, group);
	int32		was_ready = series->ready;
	int64		was_due = series->overdue ? sp_series_due(method, series) : 0;

	sp_series_judge(method, series, d->pool, &v->point, d->def->store_all, &v->finding, v->why);
	sp_group_changed(&d->groups, group);
	if (!was_ready || !series->ready)
		note_warm_up(d, series, was_ready);
	if (v->finding.is_anomaly && v->muted && sp_method_has_budget(method))
		sp_pool_forgive(d->pool);
	/* that it was silent for so long is known already */
	v->in_cooldown = series->overdue == SP_OVERDUE_TOLD && v->finding.is_anomaly;
	if (series->overdue && sp_series_due(method, series) > was_due)
		series->overdue = SP_OVERDUE_NOT;
	if (sp_timer_has(d))
		sp_timer_set(d, group, method);
}

/* How far is the point of row i from what is expected? */
static void
judge_point(SpDetector *d, const SpMethod *method, SpRowSet *rows, int i, SpGroup *group,
			SpVerdict *v)
{
	SpSeries   *series = sp_detector_series(d, group);

	v->why = d->explanation;
	v->why->nparts = 0;
	if (d->method->judge.setup.explain_all)
		prepare_explanation(d, series, v);
	set_measure(method, series, v);
	if (rows->provisional)
		sp_series_look(method, series, d->pool, &v->point, is_early(rows, i), d->def->store_all,
					   &v->finding, v->why);
	else
		step(d, method, group, v);
	v->scored = true;
	if (v->finding.is_anomaly)
		v->alerts = list_make1(describe(d, v));
}

/* ---- is it told? ---- */

/* One alert an episode: is this anomaly part of one that was alerted? */
static void
apply_cooldown(SpDetector *d, SpGroup *group, int64 time, bool spent, SpVerdict *v)
{
	if (d->def->cooldown_us == 0)
		return;
	v->last_alert = sp_detector_series(d, group)->last_alert;
	v->in_cooldown = sp_series_in_cooldown(sp_detector_series(d, group), time, d->def->cooldown_us);
	sp_group_changed(&d->groups, group);
	if (v->in_cooldown && spent)
		sp_pool_forgive(d->pool);
}

/*
 * Row i is an anomaly: was it told before, or the episode that it is part of?  What isn't told costs
 * nothing of the budget; what is told of a row that isn't learned yet costs as much as of another.
 */
static void
hold_back(SpDetector *d, SpRowSet *rows, int i, SpGroup *group, SpVerdict *v)
{
	const SpOrigin *origin = d->def->sample_update && rows->origin != NULL ? &rows->origin[i] : NULL;
	bool		has_budget = sp_method_has_budget(d->method);
	bool		spent = has_budget && !rows->provisional;

	if (v->in_cooldown || v->muted)
		return;
	if (origin != NULL && sp_sample_was_told(d, origin))
	{
		v->in_cooldown = true;
		if (spent)
			sp_pool_forgive(d->pool);
		return;
	}
	apply_cooldown(d, group, rows->time[i], spent, v);
	if (v->in_cooldown)
		return;
	if (origin != NULL)
		sp_sample_tell(d, origin);
	if (has_budget && rows->provisional)
		sp_pool_alert(d->pool);
}

/* Row i; v->override is set. */
void
sp_detector_judge(SpDetector *d, SpRowSet *rows, const SpEvaluated *ev, int i, SpGroup *group,
				  SpVerdict *v)
{
	SpMethod	tuned;
	const SpMethod *method = sp_override_method(d, v->override, &tuned);

	v->muted = v->override != NULL && v->override->muted;
	v->scored = v->in_cooldown = false;
	v->last_alert = SP_NEVER_ALERTED;
	v->alerts = NIL;
	v->why = NULL;
	v->value = NAN;
	if (d->def->has_value && !ev->result[0][i].isnull)
		v->value = DatumGetFloat8(ev->result[0][i].value);
	if (d->method->judge.kernel == NULL)
		judge_rules(d, method, ev, i, v);
	else if (sp_detector_get_point(d, method, rows, ev, i, group, v))
		judge_point(d, method, rows, i, group, v);
	if (v->scored && v->finding.is_anomaly)
		hold_back(d, rows, i, group, v);
}

/* ---- rows that are scored together ---- */

void
sp_detector_set_learned(SpDetector *d, SpGroup *group, int64 n)
{
	SpSeries   *series = sp_detector_series(d, group);
	int32		was_ready = series->ready;

	sp_series_set_learned(d->method, series, n);
	note_warm_up(d, series, was_ready);
}

void
sp_detector_judge_scored(SpDetector *d, SpGroup *group, int64 time, double score, SpVerdict *v)
{
	SpMethod	tuned;
	const SpMethod *method = sp_override_method(d, v->override, &tuned);
	SpSeries   *series = sp_detector_series(d, group);

	v->value = NAN;
	v->muted = v->override != NULL && v->override->muted;
	v->scored = true;
	v->in_cooldown = false;
	v->last_alert = SP_NEVER_ALERTED;
	v->alerts = NIL;
	v->why = d->explanation;
	prepare_explanation(d, series, v);
	sp_online_clear_score(&v->finding.score);
	v->finding.score.score = score;
	sp_series_judge_scored(method, series, d->pool, &v->point, d->def->store_all, &v->finding);
	if (v->finding.is_anomaly && v->muted && sp_method_has_budget(method))
		sp_pool_forgive(d->pool);
	if (v->finding.is_anomaly)
		v->alerts = list_make1(describe(d, v));
	if (v->finding.is_anomaly && !v->muted)
		apply_cooldown(d, group, time, sp_method_has_budget(method), v);
}

/* ---- without a row ---- */

void
sp_detector_judge_overdue(SpDetector *d, SpGroup *group, int64 due, int64 time, SpVerdict *v)
{
	SpMethod	tuned;
	const SpMethod *method = sp_override_method(d, v->override, &tuned);
	SpSeries   *series = sp_detector_series(d, group);
	SpScore    *score = &v->finding.score;

	memset(v->x, 0, sizeof(double) * method->judge.setup.n);
	v->point.x = v->x;
	v->point.time = due;
	v->point.local = sp_method_local_time(method, due);
	v->muted = v->override != NULL && v->override->muted;
	v->scored = true;
	v->in_cooldown = false;
	v->alerts = NIL;
	v->why = d->explanation;
	v->why->nparts = 0;
	method->judge.kernel->score(series + 1, &method->judge.setup, &v->point, score, v->why);
	v->finding.p_value = NAN;
	v->finding.threshold = method->judge.setup.threshold;
	v->finding.is_anomaly = score->ready && score->score > v->finding.threshold;
	set_measure(method, series, v);
	if (v->finding.is_anomaly)
		v->alerts = list_make1(describe(d, v));
	sp_group_changing(&d->groups, group);
	series->overdue = v->muted ? SP_OVERDUE_MUTED : SP_OVERDUE_TOLD;
	sp_group_changed(&d->groups, group);
	if (v->finding.is_anomaly && !v->muted)
		apply_cooldown(d, group, time, false, v);
}
