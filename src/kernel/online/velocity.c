/*
 * velocity.c
 *	  More than so many events, or a sum above a limit, within an interval.
 *
 * What counts is in velocity.h.
 */
#include "kernel/online/velocity.h"

#include <math.h>

#include "kernel/online/times.h"

/* What a point's interval holds, the point included. */
typedef struct Held
{
	double		count;
	double		sum;
} Held;

static const SpParam param_table[] = {
	{"events", SP_PARAM_INT, offsetof(SpVelocityParams, events), NAN, 1, 100000,
	"so many events are still normal", NULL, "5 without sum, no limit with it"},
	{"sum", SP_PARAM_FLOAT, offsetof(SpVelocityParams, sum), NAN, 1e-300, 1e300,
	"such a sum of the value is still normal", NULL, "no limit"},
	{"interval", SP_PARAM_INTERVAL, offsetof(SpVelocityParams, interval), 3e8, 1, 3.2e15,
	"events of this long before count", NULL, NULL},
	{"max_events", SP_PARAM_INT, offsetof(SpVelocityParams, max_events), 1000, 2, 100000,
	"events to remember", NULL, NULL}
};

/* ---- parameters ---- */

static bool
has_sum(const SpVelocityParams *params, int n)
{
	return n > 0 && !isnan(params->sum);
}

/* The limit of the number of events; 0: there is none. */
static int
get_event_limit(const SpVelocityParams *params)
{
	return params->events > 0 ? params->events : isnan(params->sum) ? SP_VELOCITY_EVENTS : 0;
}

static const char *
get_conflict(const void *params, int n)
{
	const SpVelocityParams *p = params;

	if (!isnan(p->sum) && n == 0)
		return "sum needs a value";
	if (p->max_events <= get_event_limit(p))
		return "max_events must be larger than events";
	return NULL;
}

static size_t
get_state_size(const void *params, int n)
{
	const SpVelocityParams *p = params;

	return sizeof(SpVelocity) +
		(size_t) p->max_events * (has_sum(p, n) ? 2 : 1) * sizeof(int64_t);
}

/* ---- entries ---- */

/* Where entry i is, from the oldest on. */
static int
get_slot(const SpVelocity *s, const SpVelocityParams *params, int i)
{
	int			slot = s->first + i;

	return slot < params->max_events ? slot : slot - params->max_events;
}

static double *
get_sums(const SpVelocity *s, const SpVelocityParams *params)
{
	return (double *) (s->times + params->max_events);
}

/* How many entries have at most that time. */
static int
count_until(const SpVelocity *s, const SpVelocityParams *params, int64_t time)
{
	int			low = 0;
	int			high = s->length;

	if (high == 0 || s->times[get_slot(s, params, high - 1)] <= time)
		return high;
	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (s->times[get_slot(s, params, middle)] <= time)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* What the interval up to that time holds, with a point that is in it. */
static Held
compute_held(const SpVelocity *s, const SpSetup *setup, const SpPoint *point, int64_t time)
{
	const SpVelocityParams *params = setup->params;
	int			end = count_until(s, params, time);
	int			begin = count_until(s, params, sp_times_back(time, params->interval));
	Held		held = {1.0, 0.0};

	if (begin < end)
		held.count += (double) (end - begin) + (begin == 0 ? (double) (s->oldest_count - 1) : 0.0);
	if (!has_sum(params, setup->n))
		return held;
	for (int i = begin; i < end; i++)
		held.sum += get_sums(s, params)[get_slot(s, params, i)];
	held.sum += point->x[0];
	return held;
}

/* What the interval of a point holds; looking ahead, the most that any holds in which it is. */
static Held
compute_most(const SpVelocity *s, const SpSetup *setup, const SpPoint *point)
{
	const SpVelocityParams *params = setup->params;
	Held		most = compute_held(s, setup, point, point->time);
	int			first;
	int			end;

	if (!setup->looks_ahead)
		return most;
	first = count_until(s, params, point->time);
	end = count_until(s, params, sp_times_forth(point->time, params->interval - 1));
	for (int i = end - 1; i >= first && i >= end - SP_VELOCITY_AHEAD; i--)
	{
		Held		held = compute_held(s, setup, point, s->times[get_slot(s, params, i)]);

		most.count = fmax(most.count, held.count);
		most.sum = fmax(most.sum, held.sum);
	}
	return most;
}

/* Let an entry stand for others, too; false: the sum would be infinite. */
static bool
add_sum(double *sums, int slot, double x)
{
	double		sum;

	if (sums == NULL)
		return true;
	sum = sums[slot] + x;
	if (!isfinite(sum))
		return false;
	sums[slot] = sum;
	return true;
}

/* Let the oldest entry stand for an event, too, which is hardly younger or older. */
static bool
add_to_oldest(SpVelocity *s, double *sums, int64_t time, double x)
{
	if (!add_sum(sums, s->first, x))
		return false;
	if (s->times[s->first] < time)
		s->times[s->first] = time;
	s->oldest_count++;
	return true;
}

/* Make one entry of the two oldest. */
static bool
merge_oldest(SpVelocity *s, const SpVelocityParams *params, double *sums)
{
	int			second = get_slot(s, params, 1);

	if (sums != NULL && !add_sum(sums, second, sums[s->first]))
		return false;
	s->first = second;
	s->length--;
	s->oldest_count++;
	return true;
}

/* Put in an event; there is room. */
static void
insert(SpVelocity *s, const SpVelocityParams *params, double *sums, int64_t time, double x)
{
	int			place = count_until(s, params, time);

	for (int i = s->length; i > place; i--)
	{
		int			to = get_slot(s, params, i);
		int			from = get_slot(s, params, i - 1);

		s->times[to] = s->times[from];
		if (sums != NULL)
			sums[to] = sums[from];
	}
	s->times[get_slot(s, params, place)] = time;
	if (sums != NULL)
		sums[get_slot(s, params, place)] = x;
	if (s->length++ == 0)
		s->oldest_count = 1;
}

/* Put in an event, whether there is room or not; false: a sum would be infinite. */
static bool
add(SpVelocity *s, const SpVelocityParams *params, double *sums, int64_t time, double x)
{
	int			place = count_until(s, params, time);
	bool		is_full = s->length == params->max_events;
	int64_t		ahead = sp_times_forth(time, params->interval);

	if (place == 0 && s->oldest_count > 1)
	{
		if (s->times[s->first] <= ahead)
			return add_to_oldest(s, sums, time, x);
		s->length = 0;
		s->oldest_count = 0;
	}
	else if (is_full && s->times[s->first] <= sp_times_back(time, params->interval))
	{
		s->first = get_slot(s, params, 1);
		s->length--;
		s->oldest_count = 1;
	}
	else if (is_full && s->times[get_slot(s, params, s->length - 1)] > ahead)
		s->length--;
	else if (is_full && place < 2)
		return add_to_oldest(s, sums, time, x);
	else if (is_full && !merge_oldest(s, params, sums))
		return false;
	insert(s, params, sums, time, x);
	return true;
}

/* ---- calls ---- */

/* A share of the limit that is above 1 exactly if there is more than it. */
static double
divide(double amount, double limit)
{
	double		share = amount / limit;

	if (amount > limit && share <= 1.0)
		return nextafter(1.0, 2.0);
	return sp_online_limit(share);
}

static void
score(const void *state, const SpSetup *setup, const SpPoint *point, SpScore *result,
	  SpExplanation *why)
{
	const SpVelocityParams *params = setup->params;
	Held		held = compute_most(state, setup, point);
	double		events = 0.0;
	double		sum = 0.0;

	sp_online_clear_score(result);
	result->ready = true;
	if (get_event_limit(params) > 0)
		events = divide(held.count, get_event_limit(params));
	if (has_sum(params, setup->n))
	{
		double		bound = setup->threshold * params->sum - (held.sum - point->x[0]);

		sum = divide(held.sum, params->sum);
		result->upper_bound = isfinite(bound) ? bound : NAN;
	}
	result->score = fmax(fmax(events, sum), 0.0);
	if (!sp_online_explains(setup, result, why))
		return;
	sp_online_clear_explanation(why, setup->n);
	if (get_event_limit(params) > 0)
		why->parts[why->nparts++] = (SpPart){"events", 0, events};
	if (has_sum(params, setup->n))
	{
		why->parts[why->nparts++] = (SpPart){"sum", 0, sum};
		why->upper[0] = result->upper_bound;
	}
}

static bool
learn(void *state, const SpSetup *setup, const SpPoint *point)
{
	SpVelocity *s = state;
	const SpVelocityParams *params = setup->params;
	bool		summed = has_sum(params, setup->n);

	if (!add(s, params, summed ? get_sums(s, params) : NULL, point->time,
			 summed ? point->x[0] : 0.0))
		return false;
	s->count++;
	return true;
}

static bool
is_sound(const void *state, const SpSetup *setup)
{
	const SpVelocity *s = state;
	const SpVelocityParams *params = setup->params;

	if (s->count > INT64_MAX / 2 || s->length < 0 || s->length > params->max_events ||
		s->first < 0 || s->first >= params->max_events)
		return false;
	if (s->oldest_count < 0 || s->oldest_count > INT64_MAX / 2 ||
		(s->oldest_count == 0) != (s->length == 0))
		return false;
	for (int i = 0; i < s->length; i++)
	{
		int			slot = get_slot(s, params, i);

		if (i > 0 && s->times[get_slot(s, params, i - 1)] > s->times[slot])
			return false;
		if (has_sum(params, setup->n) && !isfinite(get_sums(s, params)[slot]))
			return false;
	}
	return true;
}

const SpKernel sp_kernel_velocity = {
	.name = "velocity",
	.summary = "more than so many events, or a sum above a limit, within an interval",
	.reference = "trailing window, as of sliding windows: (time - interval, time]",
	.takes = SP_TAKES_ANY_VALUE,
	.uses_time = true,
	.version = 1,
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(SpVelocityParams),
	.conflict = get_conflict,
	.threshold = SP_VELOCITY_THRESHOLD,
	.get_state_size = get_state_size,
	.score = score,
	.learn = learn,
	.is_sound = is_sound
};
