/*
 * records.c
 *	  Leaky records: how far a value, its means and its surprises go beyond where they ever went.
 *
 * The formulas are in records.h; here is what the sizes have in common.
 */
#include "kernel/online/records.h"

#include <math.h>
#include <string.h>

#include "kernel/online/records_step.h"

#define MAX_EXPERTS		9
#define MAX_QUIET		4095

/* Fine scores: this at the ends of all envelopes, and halved so many times in a range of theirs. */
#define NEAR_SCORE		1e-3f
#define NEAR_OCTAVES	16.0f

/* What a size has for itself. */
typedef struct Tuning
{
	size_t		state_size;
	double		threshold;
	float		leak;			/* 1 / tau */
	int			rest;
	float		crest;
	float		value_unit;		/* 1 / the weight of the value's record */
	const char *experts[MAX_EXPERTS];
} Tuning;

static const Tuning tunings[SP_RECORDS_NSIZES] = {
	{sizeof(SpRecordsMicro), 0.0175, 1.0f / 9603.0f, 109, 2.254f, 1.0f / 0.810f,
	{"value", "mean", "slow mean"}},
	{sizeof(SpRecordsTiny), 0.0284, 1.0f / 9689.6f, 114, 3.064f, 1.0f / 0.9171f,
	{"value", "fast mean", "mean", "slow mean", "pattern"}},
	{sizeof(SpRecordsMedium), 0.0325, 1.0f / 15000.0f, 114, 2.1f, 1.0f / 0.95f,
	{"value", "fast mean", "mean", "slow mean", "pattern", "hour"}},
	{sizeof(SpRecordsFull), 0.0395, 1.0f / 19000.0f, 104, 2.2f, 1.0f / 1.3f,
	{"value", "fast mean", "mean", "slow mean", "hour of week", "hour of week, slow mean",
	"hour of week, mean", "pattern", "hour"}}
};

/* A state of any size. */
typedef union State
{
	SpRecordsHead head;
	SpRecordsMicro micro;
	SpRecordsTiny tiny;
	SpRecordsMedium medium;
	SpRecordsFull full;
} State;

static const char *const sizes[] = {"micro", "tiny", "medium", "full", NULL};

static const SpParam param_table[] = {
	{"size", SP_PARAM_CHOICE, offsetof(SpRecordsParams, size), SP_RECORDS_FULL, 0, 0,
	"how much is kept of a series: 48, 144, 736 or 3104 bytes; medium and full know hours",
	sizes, NULL},
	{"tau", SP_PARAM_FLOAT, offsetof(SpRecordsParams, tau), NAN, 10.0, 1e6,
	"events in which an envelope leaks towards the mean", NULL, "by size: 9603, 9689.6, 15000, 19000"},
	{"rest", SP_PARAM_INT, offsetof(SpRecordsParams, rest), NAN, 1, SP_RECORDS_MAX_REST,
	"events after a score above 0 in which only one `crest` times as high is another",
	NULL, "by size: 109, 114, 114, 104"},
	{"crest", SP_PARAM_FLOAT, offsetof(SpRecordsParams, crest), NAN, 0.0, 1000.0,
	"how many times as high as the last score another one within `rest` must be",
	NULL, "by size: 2.254, 3.064, 2.1, 2.2"}
};

static const Tuning *
get_tuning(const SpRecordsParams *params)
{
	return &tunings[params->size];
}

static int
get_rest(const SpRecordsParams *params)
{
	return params->rest > 0 ? params->rest : get_tuning(params)->rest;
}

static float
get_crest(const SpSetup *setup)
{
	const SpRecordsParams *params = setup->params;

	if (!isnan(params->crest))
		return (float) params->crest;
	return setup->is_fine ? 0.0f : get_tuning(params)->crest;
}

static double
get_threshold(const void *params, int n)
{
	(void) n;
	return get_tuning(params)->threshold;
}

static size_t
get_state_size(const void *params, int n)
{
	(void) n;
	return get_tuning(params)->state_size;
}

/* The envelope of the value. */
static inline void
get_envelope(const void *state, SpRecordsSize size, float *hi, float *lo)
{
	*hi = *lo = 0.0f;
	switch (size)
	{
		case SP_RECORDS_MICRO:
			*hi = ((const SpRecordsMicro *) state)->hi[0];
			*lo = ((const SpRecordsMicro *) state)->lo[0];
			break;
		case SP_RECORDS_TINY:
			*hi = ((const SpRecordsTiny *) state)->hi[0];
			*lo = ((const SpRecordsTiny *) state)->lo[0];
			break;
		case SP_RECORDS_MEDIUM:
			*hi = ((const SpRecordsMedium *) state)->hi[0];
			*lo = ((const SpRecordsMedium *) state)->lo[0];
			break;
		case SP_RECORDS_FULL:
			*hi = ((const SpRecordsFull *) state)->hi;
			*lo = ((const SpRecordsFull *) state)->lo;
			break;
	}
}

/* Where the value's record would be at the threshold, and what is expected. */
static void
set_bounds(const SpRecordsHead *head, const SpSetup *setup, SpScore *result)
{
	float		hi;
	float		lo;
	const SpRecordsParams *params = setup->params;
	double		least = setup->is_fine ? NEAR_SCORE : 0.0;
	double		needed = setup->threshold > least ? setup->threshold - least : 0.0;
	double		range;

	if (sp_records_count(head) > 0)
		result->expected = (double) head->origin + head->center;
	if (!result->ready)
		return;
	if (sp_records_quiet(head) <= get_rest(params))
	{
		double		crest = get_crest(setup) * head->emitted;

		if (crest > needed)
			needed = crest;
	}
	get_envelope(head, (SpRecordsSize) params->size, &hi, &lo);
	range = (double) hi - lo +
		sp_records_resolution(head);
	range *= needed * get_tuning(params)->value_unit;
	result->upper_bound = (double) head->origin + hi + range;
	result->lower_bound = (double) head->origin + lo - range;
}

/* Of what is best, what is emitted; the event is over. */
static float
emit(SpRecordsHead *head, const SpSetup *setup, int count, float best)
{
	const SpRecordsParams *params = setup->params;
	int			quiet = sp_records_quiet(head);
	float		emitted = 0.0f;

	if (best > (float) SP_SCORE_MAX)
		best = (float) SP_SCORE_MAX;
	if (quiet > get_rest(params))
		head->emitted = 0.0f;
	if (best > 0.0f && best > get_crest(setup) * head->emitted)
	{
		emitted = best;
		head->emitted = best;
		quiet = 0;
	}
	quiet += quiet < MAX_QUIET;
	count += count < SP_RECORDS_MAX_COUNT;
	head->clock = (uint32_t) quiet << 20 | (uint32_t) count;
	return emitted;
}

/* What a score has that need not break a record, see NEAR_SCORE. */
static float
get_nearness(const SpRecordsStep *step)
{
	if (step->ndistances == 0)
		return 0.0f;
	return NEAR_SCORE * exp2f(-NEAR_OCTAVES * step->distance / (float) step->ndistances);
}

/* Score and learn a value that can be learned; returns what is emitted, whose it is, and the nearness. */
static float
advance(void *state, const SpSetup *setup, const SpPoint *point, double value, int *expert,
		float *nearness)
{
	const SpRecordsParams *params = setup->params;
	SpRecordsStep step;

	step.value = (float) value;
	step.leak = isnan(params->tau) ? get_tuning(params)->leak : 1.0f / (float) params->tau;
	step.may_rise = setup->direction != SP_DIRECTION_LOW;
	step.may_fall = setup->direction != SP_DIRECTION_HIGH;
	step.is_fine = setup->is_fine;
	step.local = point->local;
	switch ((SpRecordsSize) params->size)
	{
		case SP_RECORDS_MICRO:
			sp_records_step_micro(state, &step);
			break;
		case SP_RECORDS_TINY:
			sp_records_step_tiny(state, &step);
			break;
		case SP_RECORDS_MEDIUM:
			sp_records_step_medium(state, &step);
			break;
		case SP_RECORDS_FULL:
			sp_records_step_full(state, &step);
			break;
	}
	*expert = step.expert;
	*nearness = step.is_fine ? get_nearness(&step) : 0.0f;
	return emit(state, setup, step.count, step.best);
}

/* The point's value relative to the origin, which the first one sets; false: it is out of reach. */
static bool
locate(SpRecordsHead *head, const SpPoint *point, double *value)
{
	double		x = point->x[0];

	if (sp_records_count(head) == 0)
	{
		if (!(fabs(x) <= SP_RECORDS_REACH))
			return false;
		head->origin = (float) x;
	}
	*value = x - head->origin;
	return fabs(*value) <= SP_RECORDS_REACH;
}

/* Fill in a score of which the bounds are set. */
static void
set_score(const SpSetup *setup, float emitted, float nearness, int expert, SpScore *result,
		  SpExplanation *why)
{
	const SpRecordsParams *params = setup->params;

	result->score = sp_online_limit((double) emitted + nearness);
	if (!sp_online_explains(setup, result, why))
		return;
	sp_online_clear_explanation(why, 1);
	if (emitted > 0.0f || nearness == 0.0f)
		why->parts[why->nparts++] = (SpPart){get_tuning(params)->experts[expert], 0,
			result->score - nearness};
	if (nearness > 0.0f)
		why->parts[why->nparts++] = (SpPart){"nearness", 0, nearness};
	why->expected[0] = result->expected;
	why->lower[0] = result->lower_bound;
	why->upper[0] = result->upper_bound;
}

static bool
learn(void *state, const SpSetup *setup, const SpPoint *point)
{
	SpRecordsHead *head = state;
	float		origin = head->origin;
	double		value;
	float		nearness;
	int			expert;

	if (!locate(head, point, &value))
	{
		head->origin = origin;
		return false;
	}
	advance(state, setup, point, value, &expert, &nearness);
	return true;
}

/* By what a copy of the state does. */
static void
score(const void *state, const SpSetup *setup, const SpPoint *point, SpScore *result,
	  SpExplanation *why)
{
	State		copy;
	double		value;
	float		emitted;
	float		nearness;
	int			expert;

	memcpy(&copy, state, get_state_size(setup->params, 1));
	sp_online_clear_score(result);
	result->ready = sp_records_count(&copy.head) >= SP_RECORDS_WARMUP;
	set_bounds(&copy.head, setup, result);
	if (!locate(&copy.head, point, &value))
		value = copysign(SP_RECORDS_REACH, point->x[0]);
	emitted = advance(&copy, setup, point, value, &expert, &nearness);
	set_score(setup, emitted, nearness, expert, result, why);
}

static bool
step(void *state, const SpSetup *setup, const SpPoint *point, SpScore *result,
	 SpExplanation *why)
{
	SpRecordsHead *head = state;
	float		origin = head->origin;
	double		value;
	float		emitted;
	float		nearness;
	int			expert;

	if (!locate(head, point, &value))
	{
		head->origin = origin;
		score(state, setup, point, result, why);
		return false;
	}
	sp_online_clear_score(result);
	result->ready = sp_records_count(head) >= SP_RECORDS_WARMUP;
	set_bounds(head, setup, result);
	emitted = advance(state, setup, point, value, &expert, &nearness);
	set_score(setup, emitted, nearness, expert, result, why);
	return true;
}

/* Its score, if there was one, begins the rest as it would have. */
static void
pass(void *state, const SpSetup *setup, const SpPoint *point)
{
	SpRecordsHead *head = state;
	State		copy;
	double		value;
	float		nearness;
	int			expert;

	memcpy(&copy, state, get_state_size(setup->params, 1));
	if (!locate(&copy.head, point, &value))
		value = copysign(SP_RECORDS_REACH, point->x[0]);
	advance(&copy, setup, point, value, &expert, &nearness);
	head->clock = ((uint32_t) sp_records_quiet(&copy.head) << 20) | (uint32_t) sp_records_count(head);
	head->emitted = copy.head.emitted;
}

static int64_t
get_learned(const void *state, const SpSetup *setup)
{
	(void) setup;
	return sp_records_count(state);
}

static int64_t
get_needed(const void *params, int n)
{
	(void) params;
	(void) n;
	return SP_RECORDS_WARMUP;
}

static bool
is_sound(const void *state, const SpSetup *setup)
{
	const SpRecordsHead *head = state;
	const SpRecordsParams *params = setup->params;

	if (!is_within(head->origin, REACH_OF_STATE) || !is_within(head->center, REACH_OF_STATE))
		return false;
	if (!(head->emitted >= 0.0f && head->emitted <= (float) SP_SCORE_MAX))
		return false;
	switch ((SpRecordsSize) params->size)
	{
		case SP_RECORDS_MICRO:
			return sp_records_is_sound_micro(state);
		case SP_RECORDS_TINY:
			return sp_records_is_sound_tiny(state);
		case SP_RECORDS_MEDIUM:
			return sp_records_is_sound_medium(state);
		case SP_RECORDS_FULL:
			return sp_records_is_sound_full(state);
	}
	return false;
}

const SpKernel sp_kernel_records = {
	.name = "records",
	.summary = "records of a value, its means and the surprise of its patterns, in ranges",
	.reference = "this project; see src/kernel/online/records.h",
	.takes = SP_TAKES_VALUE,
	.has_direction = true,
	.uses_time = true,
	.sums_up = true,
	.is_sparse = true,
	.version = 1,
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(SpRecordsParams),
	.get_threshold = get_threshold,
	.get_state_size = get_state_size,
	.score = score,
	.learn = learn,
	.step = step,
	.pass = pass,
	.get_learned = get_learned,
	.get_needed = get_needed,
	.is_sound = is_sound
};
