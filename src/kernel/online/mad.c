/*
 * mad.c
 *	  Deviation from the median of the last events, by their median absolute deviation.
 *
 * What is computed is in mad.h.
 */
#include "kernel/online/mad.h"

#include <math.h>
#include <string.h>

#include "kernel/online/normal.h"

#define NORMAL_MAD	0.6744897501960817	/* of the standard normal distribution */
#define NORMAL_MEAN_DEVIATION 0.7978845608028654	/* likewise, sqrt(2 / pi) */

static const SpParam param_table[] = {
	{"window", SP_PARAM_INT, offsetof(SpMadParams, window), 100, 3, 10000,
	"how many of the last values are looked at", NULL, NULL},
	{"warmup", SP_PARAM_INT, offsetof(SpMadParams, warmup), 30, 3, 10000,
	"values to learn before the first score, if the window has as many", NULL, NULL}
};

static size_t
get_state_size(const void *params, int n)
{
	(void) n;
	return sizeof(SpMad) + 2 * (size_t) ((const SpMadParams *) params)->window * sizeof(double);
}

static int64_t
get_needed(const void *params, int n)
{
	const SpMadParams *p = params;

	(void) n;
	return p->warmup < p->window ? p->warmup : p->window;
}

/* How many values there are. */
static int
get_length(const SpMad *s, const SpMadParams *params)
{
	return s->count < (uint64_t) params->window ? (int) s->count : params->window;
}

/* ---- order ---- */

/* How many of the n sorted values are less than x. */
static int
count_less(const double *sorted, int n, double x)
{
	const double *base = sorted;

	while (n > 0)
	{
		int			half = (n + 1) / 2;

		base += base[half - 1] < x ? half : 0;
		n -= half;
	}
	return (int) (base - sorted);
}

/* The mean of two values, which lies between them. */
static double
get_middle(double a, double b)
{
	return (a + b) * 0.5;
}

static double
get_median(const double *sorted, int n)
{
	return n % 2 == 1 ? sorted[n / 2] : get_middle(sorted[n / 2 - 1], sorted[n / 2]);
}

/*
 * The median of the distances from the median.  Those of the values below it grow to the left,
 * those of the others to the right: two sorted runs.  Of the first half of all distances `left` are
 * in the left run and the others in the right one.
 */
static double
compute_mad(const double *sorted, int n, double median)
{
	int			m = n / 2;
	int			half = (n - 1) / 2 + 1;
	int			left = half - (n - m);
	int			end = m < half ? m : half;
	double		last,
				next;

	if (left < 0)
		left = 0;
	while (left < end)
	{
		int			i = (left + end) / 2;
		bool		more = median - sorted[m - 1 - i] < sorted[m + half - i - 1] - median;

		left = more ? i + 1 : left;
		end = more ? end : i;
	}
	last = left > 0 ? median - sorted[m - left] : 0.0;
	if (half > left)
		last = fmax(last, sorted[m + half - left - 1] - median);
	if (n % 2 == 1)
		return last;
	next = left < m ? median - sorted[m - 1 - left] : INFINITY;
	if (half - left < n - m)
		next = fmin(next, sorted[m + half - left] - median);
	return get_middle(last, next);
}

/* The mean distance from the median. */
static double
compute_mean_deviation(const double *sorted, int n, double median)
{
	double		sum = 0.0;

	for (int i = 0; i < n; i++)
		sum += fabs(sorted[i] - median);
	return sum / n;
}

/* ---- calls ---- */

static void
score(const void *state, const SpSetup *setup, const SpPoint *point, SpScore *result,
	  SpExplanation *why)
{
	const SpMad *s = state;
	const SpMadParams *params = setup->params;
	int			n = get_length(s, params);
	double		median,
				scale;

	if (n < get_needed(params, 1))
	{
		sp_online_clear_score(result);
		if (n > 0)
			result->expected = get_median(s->values, n);
		return;
	}
	median = get_median(s->values, n);
	scale = compute_mad(s->values, n, median) / NORMAL_MAD;
	if (scale == 0.0)
		scale = compute_mean_deviation(s->values, n, median) / NORMAL_MEAN_DEVIATION;
	sp_normal_score(setup, point->x[0], median, scale, result, why);
}

static bool
learn(void *state, const SpSetup *setup, const SpPoint *point)
{
	SpMad	   *s = state;
	const SpMadParams *params = setup->params;
	double	   *sorted = s->values;
	double	   *ring = s->values + params->window;
	double		x = point->x[0] + 0.0;	/* there is one zero */
	int			n = get_length(s, params);
	int			to = count_less(sorted, n, x);
	int			from = n;		/* the value there makes room */

	if (!sp_online_can_learn(x))
		return false;
	if (n == params->window)
		from = count_less(sorted, n - 1, ring[s->next]);
	if (to > from)
	{
		to--;
		memmove(sorted + from, sorted + from + 1, (size_t) (to - from) * sizeof(double));
	}
	else
		memmove(sorted + to + 1, sorted + to, (size_t) (from - to) * sizeof(double));
	sorted[to] = x;
	ring[s->next] = x;
	s->next = s->next + 1 < params->window ? s->next + 1 : 0;
	s->count++;
	return true;
}

/* A number that is the same for the same values in any order, and hardly for others. */
static uint64_t
sum_bits(const double *x, int n)
{
	uint64_t	sum = 0;

	for (int i = 0; i < n; i++)
	{
		uint64_t	bits;

		memcpy(&bits, &x[i], sizeof(bits));
		bits = (bits ^ bits >> 31) * UINT64_C(0x9e3779b97f4a7c15);
		sum += bits ^ bits >> 29;
	}
	return sum;
}

static bool
is_sound(const void *state, const SpSetup *setup)
{
	const SpMad *s = state;
	const SpMadParams *params = setup->params;
	int			n;

	if (s->count > INT64_MAX / 2 || s->next != (int64_t) (s->count % (uint64_t) params->window))
		return false;
	n = get_length(s, params);
	for (int i = 0; i < n; i++)
	{
		if (!sp_online_can_learn(s->values[i]) || (i > 0 && s->values[i - 1] > s->values[i]))
			return false;
	}
	return sum_bits(s->values, n) == sum_bits(s->values + params->window, n);
}

const SpKernel sp_kernel_mad = {
	.name = "mad",
	.summary = "deviation from the median of the last events, by their median absolute deviation",
	.reference = "Hampel 1974; Iglewicz, Hoaglin 1993",
	.takes = SP_TAKES_VALUE,
	.has_direction = true,
	.sums_up = true,
	.version = 1,
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(SpMadParams),
	.threshold = SP_MAD_THRESHOLD,
	.get_state_size = get_state_size,
	.score = score,
	.learn = learn,
	.p_value = sp_normal_p_value,
	.get_needed = get_needed,
	.is_sound = is_sound
};
