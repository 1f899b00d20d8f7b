/*
 * zscore.c
 *	  Deviation from the mean of the last events, in standard deviations.
 *
 * What is computed is in zscore.h.
 */
#include "kernel/online/zscore.h"

#include <float.h>
#include <math.h>

#include "kernel/online/normal.h"
#include "kernel/online/times.h"

/* Squares stay below, so that no part of a window and no rounding makes them infinite. */
#define MAX_SQUARES (DBL_MAX / 16)

/* Mean and squares of some events. */
typedef struct Moments
{
	uint64_t	n;
	double		mean;
	double		squares;
} Moments;

static const SpParam param_table[] = {
	{"window", SP_PARAM_INT, offsetof(SpZscoreParams, window), 100, 2, 10000,
	"how many of the last events are looked at", NULL, NULL},
	{"warmup", SP_PARAM_INT, offsetof(SpZscoreParams, warmup), 30, 2, 10000,
	"events in the window before there is a score, if the window has as many", NULL, NULL},
	{"interval", SP_PARAM_INTERVAL, offsetof(SpZscoreParams, interval), NAN, 1, 3.2e15,
	"only events of this long before are looked at", NULL, "none"}
};

static size_t
get_state_size(const void *params, int n)
{
	(void) n;
	return sizeof(SpZscore) +
		(size_t) ((const SpZscoreParams *) params)->window * sizeof(SpZscoreEntry);
}

static int64_t
get_needed(const void *params, int n)
{
	const SpZscoreParams *p = params;

	(void) n;
	return p->warmup < p->window ? p->warmup : p->window;
}

/* ---- entries and their moments ---- */

/* The number of the oldest event that is kept, when count have been learned. */
static uint64_t
get_oldest(const SpZscoreParams *params, uint64_t count)
{
	uint64_t	window = (uint64_t) params->window;

	return count > window ? count - window : 0;
}

/* The entry of an event that is kept. */
static const SpZscoreEntry *
get_entry(const SpZscore *s, const SpZscoreParams *params, uint64_t number)
{
	int64_t		slot = s->next - (int64_t) (s->count - number);

	return &s->entries[slot < 0 ? slot + params->window : slot];
}

/* Add a value. */
static void
add_value(Moments *m, double x)
{
	double		d = x - m->mean;

	m->n++;
	m->mean += d / (double) m->n;
	m->squares += d * (x - m->mean);
}

/* Add what is known of others. */
static void
merge_moments(Moments *m, uint64_t n, double mean, double squares)
{
	double		d = mean - m->mean;
	double		total = (double) (m->n + n);

	if (n == 0)
		return;
	m->squares += squares + d * d * ((double) m->n * (double) n / total);
	m->mean += d * ((double) n / total);
	m->n += n;
}

/* The time as which a point's counts. */
static int64_t
get_time(const SpZscore *s, const SpZscoreParams *params, int64_t time)
{
	int64_t		last = s->count > 0 ? get_entry(s, params, s->count - 1)->time : time;

	return time < last && time >= sp_times_back(last, params->interval) ? last : time;
}

/* Where the window of a point at that time begins, of the events from oldest on. */
static uint64_t
find_first(const SpZscore *s, const SpZscoreParams *params, uint64_t oldest, int64_t time)
{
	int64_t		before = sp_times_back(get_time(s, params, time), params->interval);
	uint64_t	first = s->first > oldest ? s->first : oldest;

	if (params->interval == 0)
		return oldest;
	if (first < s->count && get_entry(s, params, first)->time <= before)
	{
		while (first < s->count && get_entry(s, params, first)->time <= before)
			first++;
		return first;
	}
	while (first > oldest && get_entry(s, params, first - 1)->time > before)
		first--;
	return first;
}

/* The moments of all events from that one on. */
static Moments
compute_moments(const SpZscore *s, const SpZscoreParams *params, uint64_t first)
{
	Moments		m = {0, 0.0, 0.0};
	uint64_t	number = first > s->front ? first : s->front;

	if (number < s->split)
	{
		const SpZscoreEntry *e = get_entry(s, params, number);

		m = (Moments){s->split - number, e->mean, e->squares};
		while (number > first)
			add_value(&m, get_entry(s, params, --number)->x);
		merge_moments(&m, s->count - s->split, s->mean, s->squares);
		return m;
	}
	for (; number < s->count; number++)
		add_value(&m, get_entry(s, params, number)->x);
	return m;
}

/* Let the front part reach from first to its end. */
static void
extend_front(SpZscore *s, const SpZscoreParams *params, uint64_t first)
{
	Moments		m = {0, 0.0, 0.0};

	if (s->front < s->split)
	{
		const SpZscoreEntry *e = get_entry(s, params, s->front);

		m = (Moments){s->split - s->front, e->mean, e->squares};
	}
	while (s->front > first)
	{
		SpZscoreEntry *e = (SpZscoreEntry *) get_entry(s, params, --s->front);

		add_value(&m, e->x);
		e->mean = m.mean;
		e->squares = m.squares;
	}
}

/* ---- calls ---- */

static void
score(const void *state, const SpSetup *setup, const SpPoint *point, SpScore *result,
	  SpExplanation *why)
{
	const SpZscore *s = state;
	const SpZscoreParams *params = setup->params;
	uint64_t	oldest = get_oldest(params, s->count);
	Moments		m = compute_moments(s, params, find_first(s, params, oldest, point->time));

	if (m.n >= (uint64_t) get_needed(params, 1) && m.squares <= DBL_MAX && isfinite(m.mean))
	{
		sp_normal_score(setup, point->x[0], m.mean, sqrt(m.squares / (double) (m.n - 1)),
						result, why);
		return;
	}
	sp_online_clear_score(result);
	if (m.n > 0 && isfinite(m.mean))
		result->expected = m.mean;
}

static bool
learn(void *state, const SpSetup *setup, const SpPoint *point)
{
	SpZscore   *s = state;
	const SpZscoreParams *params = setup->params;
	uint64_t	oldest = get_oldest(params, s->count + 1);
	uint64_t	first = find_first(s, params, oldest, point->time);
	Moments		m = compute_moments(s, params, first);

	add_value(&m, point->x[0]);
	if (!sp_online_can_learn(point->x[0]) || !(m.squares <= MAX_SQUARES) || !isfinite(m.mean))
		return false;

	s->entries[s->next] = (SpZscoreEntry){get_time(s, params, point->time), point->x[0], 0.0, 0.0};
	s->next = s->next + 1 < params->window ? s->next + 1 : 0;
	m = (Moments){s->count - s->split, s->mean, s->squares};
	s->count++;
	s->first = first;
	if (first >= s->split)
	{
		/* the back part becomes the front */
		s->front = s->split = s->count;
		s->mean = s->squares = 0.0;
	}
	else
	{
		add_value(&m, point->x[0]);
		s->mean = m.mean;
		s->squares = m.squares;
	}
	if (s->front < oldest)
		s->front = oldest;
	extend_front(s, params, first);
	return true;
}

static bool
is_sound(const void *state, const SpSetup *setup)
{
	const SpZscore *s = state;
	const SpZscoreParams *params = setup->params;

	if (s->count > INT64_MAX / 2 || s->next != (int64_t) (s->count % (uint64_t) params->window))
		return false;
	if (s->count == 0)
		return s->first == 0 && s->front == 0 && s->split == 0;
	if (s->front < get_oldest(params, s->count) || s->front > s->first || s->first >= s->split ||
		s->split > s->count || !isfinite(s->mean) || !(s->squares >= 0.0 && s->squares <= DBL_MAX))
		return false;
	for (uint64_t i = get_oldest(params, s->count); i < s->count; i++)
	{
		const SpZscoreEntry *e = get_entry(s, params, i);

		if (!isfinite(e->x) || !isfinite(e->mean) ||
			!(e->squares >= 0.0 && e->squares <= DBL_MAX))
			return false;
	}
	return true;
}

const SpKernel sp_kernel_zscore = {
	.name = "zscore",
	.summary = "deviation from the mean of the last events, in standard deviations",
	.reference = "Shewhart 1931; Chan, Golub, LeVeque 1979",
	.takes = SP_TAKES_VALUE,
	.has_direction = true,
	.uses_time = true,
	.sums_up = true,
	.version = 1,
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(SpZscoreParams),
	.threshold = SP_ZSCORE_THRESHOLD,
	.get_state_size = get_state_size,
	.score = score,
	.learn = learn,
	.p_value = sp_normal_p_value,
	.get_needed = get_needed,
	.is_sound = is_sound
};
