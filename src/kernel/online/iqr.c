/*
 * iqr.c
 *	  Distance from the quartiles, in interquartile ranges.
 *
 * What is computed is in iqr.h.
 */
#include "kernel/online/iqr.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define NORMAL_QUARTILE	0.6744897501960817	/* of the standard normal distribution */
#define NORMAL_MEAN_DEVIATION 0.7978845608028654
#define ROUNDING_ULPS	8			/* as in normal.c */
#define MAX_WEIGHT		0x1p100		/* then all are made smaller */
#define MIN_SHARE		1e-15		/* of all weight; what is less counts for nothing */
#define MAX_TOTAL		1e100	/* by far more than these come to */

/* The quartiles, and what is between them. */
typedef struct Box
{
	double		q[3];
	double		lower;			/* widths */
	double		upper;
} Box;

static const SpParam param_table[] = {
	{"alpha", SP_PARAM_FLOAT, offsetof(SpIqrParams, alpha), 0.005, 1e-6, 0.5,
	"weight of the newest value; a value loses half its weight in about 0.7 / alpha values",
	NULL, NULL},
	{"warmup", SP_PARAM_INT, offsetof(SpIqrParams, warmup), 30, 4, 1000000000,
	"values to learn before the first score", NULL, NULL}
};

static void
init(void *state, const SpSetup *setup)
{
	(void) setup;
	((SpIqr *) state)->weight = 1.0;
}

/* ---- sketch ---- */

/* Merge neighbours where their weight allows it. */
static void
compress(SpIqr *s)
{
	double		total = 0.0;
	double		limit;
	int			n = 0;

	for (int i = 0; i < s->npairs; i++)
		total += s->weights[i];
	limit = total / SP_IQR_RESOLUTION;
	for (int i = 0; i < s->npairs; i++)
	{
		double		sum;

		if (s->weights[i] <= total * MIN_SHARE)
			continue;
		sum = n > 0 ? s->weights[n - 1] + s->weights[i] : INFINITY;
		if (sum <= limit)
		{
			s->values[n - 1] += (s->values[i] - s->values[n - 1]) * (s->weights[i] / sum);
			s->weights[n - 1] = sum;
			continue;
		}
		s->values[n] = s->values[i];
		s->weights[n] = s->weights[i];
		n++;
	}
	memset(s->values + n, 0, (size_t) (s->npairs - n) * sizeof(double));
	memset(s->weights + n, 0, (size_t) (s->npairs - n) * sizeof(double));
	s->npairs = n;
	s->total = total;
}

/* Make all weights smaller, so that they stay finite. */
static void
shrink_weights(SpIqr *s)
{
	for (int i = 0; i < s->npairs; i++)
		s->weights[i] /= MAX_WEIGHT;
	s->total /= MAX_WEIGHT;
	s->weight /= MAX_WEIGHT;
}

/* How many pairs' values are less than x. */
static int
count_less(const SpIqr *s, double x)
{
	int			low = 0;
	int			high = s->npairs;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (s->values[middle] < x)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The weighted mean distance from the median. */
static double
compute_mean_deviation(const SpIqr *s, double median)
{
	double		sum = 0.0;

	for (int i = 0; i < s->npairs; i++)
		sum += fabs(s->values[i] - median) * (s->weights[i] / s->total);
	return sum;
}

/* Where the quartiles are. */
static Box
compute_box(const SpIqr *s)
{
	Box			box;
	double		sum = s->weights[0];
	double		width;
	int			i = 0;

	for (int k = 0; k < 3; k++)
	{
		while (i < s->npairs - 1 && sum < 0.25 * (k + 1) * s->total)
			sum += s->weights[++i];
		box.q[k] = s->values[i];
	}
	width = box.q[2] - box.q[0];
	if (width == 0.0)
		width = compute_mean_deviation(s, box.q[1]) * (2 * NORMAL_QUARTILE / NORMAL_MEAN_DEVIATION);
	box.lower = box.q[1] > box.q[0] ? 2.0 * (box.q[1] - box.q[0]) : width;
	box.upper = box.q[2] > box.q[1] ? 2.0 * (box.q[2] - box.q[1]) : width;
	return box;
}

/* ---- calls ---- */

/* How many widths a distance from a quartile is. */
static double
divide(double distance, double quartile, double width)
{
	if (fabs(distance) <= ROUNDING_ULPS * DBL_EPSILON * fabs(quartile))
		return 0.0;
	return width > 0.0 ? sp_online_limit(distance / width) : copysign(SP_SCORE_MAX, distance);
}

static void
score(const void *state, const SpSetup *setup, const SpPoint *point, SpScore *result,
	  SpExplanation *why)
{
	const SpIqr *s = state;
	double		x = point->x[0];
	double		z;
	Box			box;

	sp_online_clear_score(result);
	if (s->count < (uint64_t) ((const SpIqrParams *) setup->params)->warmup)
		return;
	box = compute_box(s);
	z = x > box.q[2] ? divide(x - box.q[2], box.q[2], box.upper) :
		x < box.q[0] ? divide(x - box.q[0], box.q[0], box.lower) : 0.0;
	result->score = setup->direction == SP_DIRECTION_BOTH ? fabs(z) :
		setup->direction == SP_DIRECTION_HIGH ? z : -z;
	result->expected = box.q[1];
	result->lower_bound = box.q[0] - setup->threshold * box.lower;
	result->upper_bound = box.q[2] + setup->threshold * box.upper;
	result->ready = true;
	if (!sp_online_explains(setup, result, why))
		return;
	sp_online_clear_explanation(why, 1);
	why->nparts = 1;
	why->parts[0] = (SpPart){NULL, 0, result->score};
	why->expected[0] = box.q[1];
	why->lower[0] = result->lower_bound;
	why->upper[0] = result->upper_bound;
}

static bool
learn(void *state, const SpSetup *setup, const SpPoint *point)
{
	SpIqr	   *s = state;
	const SpIqrParams *params = setup->params;
	double		x = point->x[0] + 0.0;	/* there is one zero */
	int			n = s->npairs;
	int			i;

	if (!sp_online_can_learn(x))
		return false;
	i = count_less(s, x);
	if (i == n || s->values[i] != x)
	{
		if (n == SP_IQR_CAPACITY)
		{
			compress(s);
			n = s->npairs;
			i = count_less(s, x);
		}
		memmove(s->values + i + 1, s->values + i, (size_t) (n - i) * sizeof(double));
		memmove(s->weights + i + 1, s->weights + i, (size_t) (n - i) * sizeof(double));
		s->values[i] = x;
		s->weights[i] = 0.0;
		s->npairs++;
	}
	s->weights[i] += s->weight;
	s->total += s->weight;
	s->weight /= 1.0 - params->alpha;
	if (s->weight > MAX_WEIGHT)
		shrink_weights(s);
	s->count++;
	return true;
}

/* What a normal distribution's values have as quartiles and scores is known. */
static double
get_p_value(const SpSetup *setup, double score)
{
	double		z = NORMAL_QUARTILE * (1.0 + 2.0 * fabs(score));

	if (setup->direction == SP_DIRECTION_BOTH)
		return score > 0.0 ? erfc(z * M_SQRT1_2) : 1.0;
	if (score > 0.0)
		return 0.5 * erfc(z * M_SQRT1_2);
	return 1.0 - 0.5 * erfc(z * M_SQRT1_2);
}

static bool
is_sound(const void *state, const SpSetup *setup)
{
	const SpIqr *s = state;
	double		sum = 0.0;

	(void) setup;
	if (s->count > INT64_MAX / 2 || s->npairs < 0 || s->npairs > SP_IQR_CAPACITY ||
		(s->count == 0) != (s->npairs == 0) || !(s->weight > 0.0 && s->weight <= MAX_WEIGHT))
		return false;
	for (int i = 0; i < s->npairs; i++)
	{
		if (!sp_online_can_learn(s->values[i]) || (i > 0 && !(s->values[i - 1] < s->values[i])) ||
			!(s->weights[i] >= 0.0))
			return false;
		sum += s->weights[i];
	}
	if (s->npairs == 0)
		return s->total == 0.0;
	return sum > 0.0 && sum <= MAX_TOTAL && s->total <= MAX_TOTAL &&
		fabs(s->total - sum) <= 1e-6 * sum;
}

const SpKernel sp_kernel_iqr = {
	.name = "iqr",
	.summary = "distance from the quartiles, in interquartile ranges, each side by its own half",
	.reference = "Tukey 1977",
	.takes = SP_TAKES_VALUE,
	.has_direction = true,
	.sums_up = true,
	.version = 1,
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(SpIqrParams),
	.threshold = SP_IQR_THRESHOLD,
	.state_size = sizeof(SpIqr),
	.init = init,
	.score = score,
	.learn = learn,
	.p_value = get_p_value,
	.is_sound = is_sound
};
