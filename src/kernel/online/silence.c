/*
 * silence.c
 *	  A key that has stopped reporting.
 *
 * The formulas are in silence.h.
 */
#include "kernel/online/silence.h"

#include <math.h>

#include "kernel/online/times.h"

#define SECOND		1e6
#define MAX_LOG		44.0		/* of a gap: ln(2^63) = 43.7 */
#define MAX_GAP		9.2e18		/* fits an int64 */

static const SpParam param_table[] = {
	{"alpha", SP_PARAM_FLOAT, offsetof(SpSilenceParams, alpha), 0.02, 1e-6, 0.5,
	"weight of the newest gap", NULL, NULL},
	{"tolerance", SP_PARAM_FLOAT, offsetof(SpSilenceParams, tolerance), 1.5, 1.0, 1000.0,
	"the silence must be longer than so many times the longest gap", NULL, NULL},
	{"memory", SP_PARAM_INTERVAL, offsetof(SpSilenceParams, memory), 14 * 86400e6, 1, 3.2e15,
	"in this time the longest gap is forgotten by half", NULL, NULL},
	{"min_gap", SP_PARAM_INTERVAL, offsetof(SpSilenceParams, min_gap), 1e6, 1, 3.2e15,
	"shorter gaps count as this long", NULL, NULL},
	{"min_deviation", SP_PARAM_FLOAT, offsetof(SpSilenceParams, min_deviation), 0.1, 1e-6, 10.0,
	"least deviation of the logarithm of gaps, for regular ones", NULL, NULL},
	{"warmup", SP_PARAM_INT, offsetof(SpSilenceParams, warmup), 20, 2, 1000000000,
	"gaps to learn before the first score", NULL, NULL}
};

/* ---- gaps ---- */

static bool
is_ready(const SpSilence *s, const SpSilenceParams *params)
{
	return s->gaps.count >= (uint64_t) params->warmup;
}

static double
get_deviation(const SpSilence *s, const SpSilenceParams *params)
{
	return fmax(sqrt(s->gaps.logs.variance), params->min_deviation);
}

/* How unusual that gap is; grows with it. */
static double
score_gap(const SpSilence *s, const SpSetup *setup, int64_t gap)
{
	const SpSilenceParams *params = setup->params;
	double		log_gap = log((double) (gap > params->min_gap ? gap : params->min_gap));
	double		z = (log_gap - s->gaps.logs.mean) / get_deviation(s, params);

	if (!((double) gap > params->tolerance * s->gaps.longest))
		z = fmin(z, setup->threshold);
	return fmax(0.0, sp_online_limit(z));
}

/* The gap at which the score reaches the threshold, up to rounding. */
static double
estimate_due_gap(const SpSilence *s, const SpSetup *setup)
{
	const SpSilenceParams *params = setup->params;
	double		log_gap = s->gaps.logs.mean + setup->threshold * get_deviation(s, params);
	double		gap = fmax(exp(log_gap), params->tolerance * s->gaps.longest);

	return fmin(fmax(gap, 0.0), MAX_GAP);
}

/* When the score will be above the threshold if no event comes. */
static int64_t
find_due(const void *state, const SpSetup *setup)
{
	const SpSilence *s = state;
	double		estimate;
	int64_t		low,			/* not above, or none */
		high;	 /* above */

	if (!s->has_last || !is_ready(s, setup->params))
		return INT64_MAX;
	estimate = estimate_due_gap(s, setup);
	low = (int64_t) fmax(estimate * (1.0 - 1e-9) - 2.0, -1.0);
	high = (int64_t) fmin(estimate * (1.0 + 1e-9) + 2.0, MAX_GAP);
	if (score_gap(s, setup, low) > setup->threshold)
		low = -1;
	if (!(score_gap(s, setup, high) > setup->threshold))
		high = INT64_MAX;
	if (!(score_gap(s, setup, high) > setup->threshold))
		return INT64_MAX;
	while (high - 1 > low)
	{
		int64_t		middle = low + (high - low) / 2;

		if (score_gap(s, setup, middle) > setup->threshold)
			high = middle;
		else
			low = middle;
	}
	return sp_times_forth(s->last, high);
}

/* ---- calls ---- */

/* The gap, in seconds. */
static double
measure(const void *state, const SpSetup *setup, const SpPoint *point)
{
	const SpSilence *s = state;

	(void) setup;
	if (!s->has_last || point->time < s->last)
		return NAN;
	return (double) sp_times_between(s->last, point->time) / SECOND;
}

static void
score(const void *state, const SpSetup *setup, const SpPoint *point, SpScore *result,
	  SpExplanation *why)
{
	const SpSilence *s = state;

	sp_online_clear_score(result);
	if (!s->has_last || !is_ready(s, setup->params))
		return;
	result->ready = true;
	result->expected = exp(s->gaps.logs.mean) / SECOND;
	result->upper_bound = estimate_due_gap(s, setup) / SECOND;
	if (point->time > s->last)
		result->score = score_gap(s, setup, sp_times_between(s->last, point->time));
	if (!sp_online_explains(setup, result, why))
		return;
	sp_online_clear_explanation(why, setup->n);
	why->nparts = 1;
	why->parts[0] = (SpPart){"silence", 0, result->score};
}

/* Is it a gap that nobody would expect, or is nothing known of what to expect? */
static bool
is_unusual(const SpSilence *s, const SpSetup *setup, int64_t gap)
{
	return !is_ready(s, setup->params) || score_gap(s, setup, gap) > setup->threshold;
}

/* Learn a gap. */
static void
learn_gap(SpSilence *s, const SpSetup *setup, int64_t gap)
{
	const SpSilenceParams *params = setup->params;
	double		length = (double) gap;
	double		halvings = length / (double) params->memory;

	if (is_ready(s, params) && is_unusual(s, setup, gap))
		length = fmin(length, SP_SILENCE_GROWTH * estimate_due_gap(s, setup));
	length = fmax(length, (double) params->min_gap);
	s->gaps.count++;
	s->gaps.longest = fmax(length, s->gaps.longest * exp2(-halvings));
	sp_moments_add(&s->gaps.logs, params->alpha, log(length));
}

/* An event before the last one came: enough of them, and that one was ahead of its time. */
static void
take_event_behind(SpSilence *s, int64_t time)
{
	if (!s->is_suspect)
		return;
	if (s->behind == 0 || time > s->latest_behind)
		s->latest_behind = time;
	if (++s->behind < SP_SILENCE_BEHIND)
		return;
	s->gaps = s->before;
	s->last = s->latest_behind;
	s->latest_behind = 0;
	s->behind = 0;
	s->is_suspect = false;
}

/* An event came; is its gap to be learned? */
static void
take_event(SpSilence *s, const SpSetup *setup, int64_t time, bool is_learned)
{
	int64_t		gap = s->has_last ? sp_times_between(s->last, time) : 0;

	if (s->has_last && time < s->last)
	{
		take_event_behind(s, time);
		return;
	}
	s->is_suspect = is_unusual(s, setup, gap);
	s->before = s->gaps;
	if (s->has_last && is_learned)
		learn_gap(s, setup, gap);
	s->has_last = true;
	s->last = time;
	s->latest_behind = 0;
	s->behind = 0;
}

static bool
learn(void *state, const SpSetup *setup, const SpPoint *point)
{
	take_event(state, setup, point->time, true);
	((SpSilence *) state)->count++;
	return true;
}

static void
pass(void *state, const SpSetup *setup, const SpPoint *point)
{
	take_event(state, setup, point->time, false);
}

static int64_t
get_needed(const void *params, int n)
{
	(void) n;
	return (int64_t) ((const SpSilenceParams *) params)->warmup + 1;
}

static bool
is_sound_gaps(const SpSilenceGaps *gaps)
{
	return gaps->count <= INT64_MAX / 2 && sp_moments_is_sound(&gaps->logs) &&
		(gaps->count == 0) == (gaps->logs.weight == 0.0) && gaps->logs.mean >= 0.0 &&
		gaps->logs.mean <= MAX_LOG && gaps->logs.variance <= MAX_LOG * MAX_LOG &&
		gaps->longest >= 0.0 && gaps->longest <= (double) INT64_MAX;
}

static bool
is_sound(const void *state, const SpSetup *setup)
{
	const SpSilence *s = state;

	(void) setup;
	if (s->count > INT64_MAX / 2 || s->behind < 0 || s->behind >= SP_SILENCE_BEHIND ||
		(s->has_last != 0 && s->has_last != 1) || (s->is_suspect != 0 && s->is_suspect != 1))
		return false;
	if (!s->has_last && (s->behind > 0 || s->gaps.count > 0))
		return false;
	return is_sound_gaps(&s->gaps) && is_sound_gaps(&s->before);
}

const SpKernel sp_kernel_silence = {
	.name = "silence",
	.summary = "a key has been silent for longer than it usually is",
	.reference = "log-normal gaps, and the longest one of late",
	.takes = SP_TAKES_ANY_VALUE,
	.uses_time = true,
	.sums_up = true,
	.version = 1,
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(SpSilenceParams),
	.threshold = SP_SILENCE_THRESHOLD,
	.state_size = sizeof(SpSilence),
	.score = score,
	.learn = learn,
	.pass = pass,
	.due = find_due,
	.measure = measure,
	.get_needed = get_needed,
	.is_sound = is_sound
};
