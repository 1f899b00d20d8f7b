/*
 * series.c
 *	  One series of a detector: its state, and what is said of its next point.
 */
#include "engine/series.h"

#include "utils/float.h"

/* The kernel's state. */
static inline void *
get_state(const SpSeries *series)
{
	return (char *) series + sizeof(SpSeries);
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
	return sizeof(SpSeries) + MAXALIGN(method->state_size);
}

void
sp_series_init(const SpMethod *method, SpSeries *series)
{
	memset(series, 0, sizeof(SpSeries));
	series->last_alert = SP_NEVER_ALERTED;
	if (method->judge.kernel != NULL)
		sp_online_init(method->judge.kernel, get_state(series), &method->judge.setup);
	note_ready(method, series);
}

void
sp_series_judge(const SpMethod *method, SpSeries *series, const SpPoint *point,
				bool wants_p_value, SpFinding *finding, SpExplanation *why)
{
	finding->is_anomaly = sp_judge_point(&method->judge, &series->run, get_state(series), point,
										 &finding->score, why);
	finding->p_value = finding->is_anomaly || wants_p_value ?
		sp_method_p_value(method, &finding->score) : get_float8_nan();
	finding->threshold = method->judge.setup.threshold;
	/* one that was ready may have forgotten what it knew */
	if (!series->ready || !finding->score.ready)
		note_ready(method, series);
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
	return sp_online_read(kernel, get_state(series), &method->judge.setup, from, end);
}
