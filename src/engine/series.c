/*
 * series.c
 *	  One series of a detector: its state, and what is said of its next point.
 */
#include "engine/series.h"

#include <math.h>

#include "utils/float.h"

#define KEY_MEMORY	10000		/* scores that the calibration of a key remembers */

/* The kernel's state. */
static inline void *
get_state(const SpSeries *series)
{
	return (char *) series + sizeof(SpSeries);
}

/* The last numbers, where they are kept; NaN: there was none. */
static inline double *
get_last(const SpMethod *method, const SpSeries *series)
{
	return (double *) ((char *) get_state(series) + MAXALIGN(method->state_size));
}

/* Bytes of them. */
static inline Size
get_last_size(const SpMethod *method)
{
	return sp_series_remembers(method) ? sizeof(double) * method->judge.setup.n : 0;
}

/* The calibration of a key, where it has one. */
static inline SpCalibration *
get_calibration(const SpMethod *method, const SpSeries *series)
{
	return (SpCalibration *) ((char *) get_last(method, series) + get_last_size(method));
}

/* Bytes of it. */
static inline Size
get_calibration_size(const SpMethod *method)
{
	return method->calibrate == SP_CALIBRATE_KEY ? sizeof(SpCalibrationSmall) : 0;
}

/* Has it learned enough by now? */
static inline void
note_ready(const SpMethod *method, SpSeries *series)
{
	series->ready = sp_series_learned(method, series) >= method->needed;
}

Size
sp_series_size(const SpMethod *method)
{
	return sizeof(SpSeries) + MAXALIGN(method->state_size) + get_last_size(method) +
		get_calibration_size(method);
}

void
sp_series_init(const SpMethod *method, SpSeries *series)
{
	memset(series, 0, sizeof(SpSeries));
	series->last_alert = SP_NEVER_ALERTED;
	if (method->judge.kernel != NULL)
		sp_online_init(method->judge.kernel, get_state(series), &method->judge.setup);
	for (int f = 0; sp_series_remembers(method) && f < method->judge.setup.n; f++)
		get_last(method, series)[f] = get_float8_nan();
	if (method->calibrate == SP_CALIBRATE_KEY)
		sp_calibration_init(get_calibration(method, series), SP_CALIBRATION_SMALL, KEY_MEMORY);
	note_ready(method, series);
}

/* Put something in the place of what is missing, if that is what the user wants. */
static SpInput
fill_in(const SpMethod *method, const SpSeries *series, double *x, const bool *missing)
{
	SpInput		result = SP_INPUT_TAKEN;

	for (int f = 0; f < method->judge.setup.n; f++)
	{
		if (!missing[f])
			continue;
		if (method->missing == SP_MISSING_LAST)
			x[f] = get_last(method, series)[f];
		else if (method->missing == SP_MISSING_ZERO ||
				 method->judge.kernel->takes == SP_TAKES_ANY_VALUE)
			x[f] = 0;
		else
			result = method->missing == SP_MISSING_SKIP ? SP_INPUT_SKIPPED : SP_INPUT_MISSING;
		if (isnan(x[f]))
			result = SP_INPUT_SKIPPED;
	}
	return result;
}

SpInput
sp_series_take(const SpMethod *method, SpSeries *series, double *x, const bool *missing,
			   bool learns)
{
	int			n = method->judge.setup.n;

	for (int f = 0; f < n; f++)
	{
		if (missing[f])
			x[f] = 0;
	}
	if (!sp_online_is_finite(x, n))
		return SP_INPUT_NOT_FINITE;
	for (int f = 0; learns && sp_series_remembers(method) && f < n; f++)
	{
		if (!missing[f])
			get_last(method, series)[f] = x[f];
	}
	return fill_in(method, series, x, missing);
}

/* By the method's theory; NaN: it has none. */
static double
get_theoretical_p(const SpMethod *method, const SpScore *score)
{
	const SpKernel *kernel = method->judge.kernel;

	if (kernel->p_value == NULL)
		return get_float8_nan();
	return score->ready ? kernel->p_value(&method->judge.setup, score->score) : 1;
}

/* By the scores before it, which it isn't one of yet. */
static inline double
get_p(const SpCalibration *c, SpCalibrationSize size, const SpScore *score)
{
	return score->ready ? sp_calibration_p_value(c, size, score->score) : 1;
}

/* The threshold of the budget, where there is one that is known. */
static double
get_budget_threshold(const SpMethod *method, SpPool *pool)
{
	double		threshold = sp_pool_threshold(pool, method->alerts_per_day);

	return !isnan(threshold) && method->budget_factor > 0 ? threshold * method->budget_factor :
		method->judge.setup.threshold;
}

/* Judge a point by it. */
static void
judge_by_budget(const SpMethod *method, SpSeries *series, SpPool *pool, const SpPoint *point,
				SpFinding *finding, SpExplanation *why)
{
	SpJudge		judge = method->judge;

	judge.setup.threshold = get_budget_threshold(method, pool);
	finding->is_anomaly = sp_judge_point(&judge, &series->run, get_state(series), point,
										 &finding->score, why);
	finding->threshold = judge.setup.threshold;
}

/* The score counts for those that follow. */
static inline void
count_score(const SpMethod *method, SpSeries *series, SpPool *pool, const SpPoint *point,
			const SpFinding *finding)
{
	const SpScore *score = &finding->score;

	if (!score->ready)
		return;
	if (method->calibrate == SP_CALIBRATE_KEY)
		sp_calibration_add(get_calibration(method, series), SP_CALIBRATION_SMALL, score->score, 0);
	else if (sp_method_has_budget(method))
		sp_pool_spend(pool, score->score, point->time, method->alerts_per_day, finding->is_anomaly);
	else if (method->calibrate == SP_CALIBRATE_DETECTOR)
		sp_pool_add(pool, score->score, 0);
}

/* How probable was the score? */
static double
get_p_value(const SpMethod *method, const SpSeries *series, const SpPool *pool,
			const SpScore *score)
{
	switch ((SpCalibrate) method->calibrate)
	{
		case SP_CALIBRATE_KEY:
			return get_p(get_calibration(method, series), SP_CALIBRATION_SMALL, score);
		case SP_CALIBRATE_DETECTOR:
			return get_p(&pool->calibration.head, SP_CALIBRATION_FULL, score);
		default:
			return get_theoretical_p(method, score);
	}
}

void
sp_series_judge(const SpMethod *method, SpSeries *series, SpPool *pool, const SpPoint *point,
				bool wants_p_value, SpFinding *finding, SpExplanation *why)
{
	if (sp_method_has_budget(method))
		judge_by_budget(method, series, pool, point, finding, why);
	else
	{
		finding->is_anomaly = sp_judge_point(&method->judge, &series->run, get_state(series), point,
											 &finding->score, why);
		finding->threshold = method->judge.setup.threshold;
	}
	finding->p_value = finding->is_anomaly || wants_p_value ?
		get_p_value(method, series, pool, &finding->score) : get_float8_nan();
	count_score(method, series, pool, point, finding);
	/* one that was ready may have forgotten what it knew */
	if (!series->ready || !finding->score.ready)
		note_ready(method, series);
}

void
sp_series_look(const SpMethod *method, const SpSeries *series, SpPool *pool, const SpPoint *point,
			   bool early, bool wants_p_value, SpFinding *finding, SpExplanation *why)
{
	SpMethod	looking = *method;

	if (early && method->judge.kernel->has_direction)
		looking.judge.setup.direction = SP_DIRECTION_HIGH;
	if (sp_method_has_budget(method))
		looking.judge.setup.threshold = get_budget_threshold(method, pool);
	finding->is_anomaly = sp_judge_look(&looking.judge, get_state(series), point, &finding->score,
										why);
	finding->threshold = looking.judge.setup.threshold;
	finding->p_value = finding->is_anomaly || wants_p_value ?
		get_p_value(&looking, series, pool, &finding->score) : get_float8_nan();
}

void
sp_series_set_learned(const SpMethod *method, SpSeries *series, int64 n)
{
	*(int64 *) get_state(series) = n;
	note_ready(method, series);
}

void
sp_series_judge_scored(const SpMethod *method, SpSeries *series, SpPool *pool,
					   const SpPoint *point, bool wants_p_value, SpFinding *finding)
{
	SpFinding	counted;

	finding->score.ready = series->ready && !isnan(finding->score.score);
	finding->threshold = sp_method_has_budget(method) ? get_budget_threshold(method, pool) :
		method->judge.setup.threshold;
	finding->is_anomaly = finding->score.ready && finding->score.score > finding->threshold;
	/* these scores know no limit, those that are remembered do */
	counted = *finding;
	counted.score.score = sp_online_limit(finding->score.score);
	finding->p_value = finding->is_anomaly || wants_p_value ?
		get_p_value(method, series, pool, &counted.score) : get_float8_nan();
	count_score(method, series, pool, point, &counted);
}

int64
sp_series_learned(const SpMethod *method, const SpSeries *series)
{
	const SpKernel *kernel = method->judge.kernel;

	return kernel != NULL ? sp_online_learned(kernel, get_state(series), &method->judge.setup) : 0;
}

bool
sp_series_in_cooldown(SpSeries *series, int64 time, int64 cooldown_us)
{
	if (series->last_alert != SP_NEVER_ALERTED && time - cooldown_us < series->last_alert)
		return true;
	series->last_alert = time;
	return false;
}

/* ---- durable form ---- */

void
sp_series_write(const SpMethod *method, const SpSeries *series, StringInfo buf)
{
	const SpKernel *kernel = method->judge.kernel;
	char	   *to;

	appendBinaryStringInfo(buf, (const char *) series, sizeof(SpSeries));
	if (kernel == NULL)
		return;
	enlargeStringInfo(buf, sp_online_written_size(kernel, &method->judge.setup));
	to = sp_online_write(kernel, get_state(series), &method->judge.setup, buf->data + buf->len);
	buf->len = to - buf->data;
	buf->data[buf->len] = '\0';
	appendBinaryStringInfo(buf, (char *) get_last(method, series), get_last_size(method));
	appendBinaryStringInfo(buf, (char *) get_calibration(method, series),
						   get_calibration_size(method));
}

const char *
sp_series_read(const SpMethod *method, SpSeries *series, const char *from, const char *end)
{
	const SpKernel *kernel = method->judge.kernel;

	if (from > end || (Size) (end - from) < sizeof(SpSeries))
		return NULL;
	memcpy(series, from, sizeof(SpSeries));
	from += sizeof(SpSeries);
	if (kernel == NULL)
		return from;
	from = sp_online_read(kernel, get_state(series), &method->judge.setup, from, end);
	if (from == NULL || (Size) (end - from) < get_last_size(method) + get_calibration_size(method))
		return NULL;
	memcpy(get_last(method, series), from, get_last_size(method));
	from += get_last_size(method);
	memcpy(get_calibration(method, series), from, get_calibration_size(method));
	if (method->calibrate == SP_CALIBRATE_KEY &&
		!sp_calibration_is_sound(get_calibration(method, series), SP_CALIBRATION_SMALL))
		return NULL;
	return from + get_calibration_size(method);
}
