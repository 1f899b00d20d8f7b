/*
 * univariate.c
 *	  Methods for one column.
 */
#include "kernel/batch/univariate.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/batch/distribution.h"
#include "kernel/batch/order.h"
#include "kernel/batch/sort.h"

#define NORMAL_MAD			1.482602218505602	/* deviation / MAD of a normal distribution */
#define NORMAL_MEAN_AD		1.2533141373155003	/* deviation / mean absolute deviation of one */
#define MAX_OUTLIERS		1000000
#define MOST_CANCELLED		1e-3	/* of a sum, before it is added up again */

/* Distances from a center, in units. */
static void
score_distances(const double *x, size_t n, double center, double unit, double *scores)
{
	for (size_t i = 0; i < n; i++)
		scores[i] = unit > 0 ? fabs(x[i] - center) / unit : 0;
}

/* The deviation of a sample. */
static double
find_deviation(const SpMatrix *points, double *mean, SpWork *work)
{
	SpColumn	c;

	sp_order_describe(points, 0, NULL, &c, work);
	*mean = c.mean;
	return points->n < 2 || !(c.min < c.max) ? 0 :
		c.deviation * sqrt((double) points->n / (double) (points->n - 1));
}

static void
score_zscore(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	double		mean;
	double		deviation = find_deviation(points, &mean, work);

	(void) params;
	score_distances(points->x, points->n, mean, deviation, scores);
}

static void
score_modified_zscore(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	size_t		n = points->n;
	double	   *scratch = work->allocate(work, n * sizeof(double));
	double		median;
	double		unit;

	(void) params;
	memcpy(scratch, points->x, n * sizeof(double));
	median = sp_order_quantile(scratch, n, 0.5, work);
	for (size_t i = 0; i < n; i++)
		scratch[i] = fabs(points->x[i] - median);
	unit = sp_order_quantile(scratch, n, 0.5, work) * NORMAL_MAD;
	if (!(unit > 0))
	{
		for (size_t i = 0; i < n; i++)
			unit += scratch[i] / (double) n;
		unit *= NORMAL_MEAN_AD;
	}
	score_distances(points->x, n, median, unit, scores);
	work->release(work, scratch);
}

/* ---- tukey ---- */

typedef struct TukeyParams
{
	double		k;
} TukeyParams;

static void
score_tukey(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	double		k = ((const TukeyParams *) params)->k;
	double	   *scratch = work->allocate(work, points->n * sizeof(double));
	double		width;
	double		unit;
	SpColumn	c;

	sp_order_describe(points, 0, scratch, &c, work);
	width = c.q3 - c.q1;
	unit = fmax(width > 0 ? width : c.deviation, DBL_MIN);
	for (size_t i = 0; i < points->n; i++)
	{
		double		x = points->x[i];
		double		beyond = x < c.q1 ? c.q1 - k * width - x : x - c.q3 - k * width;

		scores[i] = beyond > 0 ? beyond / unit : 0;
	}
	work->release(work, scratch);
}

/* ---- grubbs, generalized_esd ---- */

typedef struct GrubbsParams
{
	double		alpha;
} GrubbsParams;

typedef struct EsdParams
{
	double		alpha;
	int32_t		max_outliers;
} EsdParams;

double
sp_grubbs_critical(double n, double alpha)
{
	double		t = sp_student_above(n - 2, alpha / (2 * n));

	return (n - 1) * t / sqrt(n * (n - 2 + t * t));
}

static void
score_grubbs(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	double		n = (double) points->n;
	double		mean;
	double		deviation = find_deviation(points, &mean, work);

	if (points->n < 3)
		deviation = 0;
	else
		deviation *= sp_grubbs_critical(n, ((const GrubbsParams *) params)->alpha);
	score_distances(points->x, points->n, mean, deviation, scores);
}

/* Sorted values, of which the farthest are taken away from either end. */
typedef struct Rest
{
	const SpKeyed *sorted;
	const double *x;
	size_t		first;
	size_t		last;			/* the last one of them */
	double		origin;			/* sums are of differences from it */
	double		sum;
	double		squares;
	double		added;			/* squares when they were added up */
} Rest;

static inline double
get_value(const Rest *r, size_t place)
{
	return r->x[r->sorted[place].number] - r->origin;
}

/* Add up what is left, as differences from one in its middle. */
static void
add_rest(Rest *r)
{
	r->origin = r->x[r->sorted[r->first + (r->last - r->first) / 2].number];
	r->sum = r->squares = 0;
	for (size_t i = r->first; i <= r->last; i++)
	{
		r->sum += get_value(r, i);
		r->squares += get_value(r, i) * get_value(r, i);
	}
	r->added = r->squares;
}

/* Mean (less the origin) and deviation of what is left. */
static double
describe_rest(const Rest *r, double *mean)
{
	double		n = (double) (r->last - r->first + 1);
	double		variance;

	*mean = r->sum / n;
	variance = (r->squares - r->sum * *mean) / (n - 1);
	return variance > 0 ? sqrt(variance) : 0;
}

/*
 * Take the farthest away: its place and how far it is.  Where hardly anything of the sums is left
 * they have cancelled, and are added up again.
 */
static size_t
take_farthest(Rest *r, double mean, double *distance)
{
	double		low = mean - get_value(r, r->first);
	double		high = get_value(r, r->last) - mean;
	size_t		place = low > high ? r->first++ : r->last--;
	double		x = get_value(r, place);

	*distance = low > high ? low : high;
	r->sum -= x;
	r->squares -= x * x;
	if (!(r->squares > MOST_CANCELLED * r->added))
		add_rest(r);
	return place;
}

/* The values by size. */
static SpKeyed *
sort_values(const SpMatrix *points, SpWork *work)
{
	SpKeyed    *sorted = work->allocate(work, points->n * sizeof(SpKeyed));

	for (size_t i = 0; i < points->n; i++)
	{
		sorted[i].key = sp_sort_key(points->x[i]);
		sorted[i].number = (uint32_t) i;
	}
	sp_sort(sorted, points->n, work);
	return sorted;
}

static void
score_esd(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	const EsdParams *p = params;
	size_t		n = points->n;
	SpKeyed    *sorted = sort_values(points, work);
	size_t		most = n < 3 ? 0 : n - 2 < (size_t) p->max_outliers ? n - 2 :
		(size_t) p->max_outliers;
	size_t	   *taken = work->allocate(work, most * sizeof(size_t));
	Rest		r = {.sorted = sorted, .x = points->x, .last = n - 1};
	double		mean = 0;
	double		deviation;
	double		least = 0;
	size_t		ntaken = 0;

	memset(scores, 0, n * sizeof(double));
	add_rest(&r);
	while (ntaken < most)
	{
		double		rest = (double) (n - ntaken);
		double		distance;

		deviation = describe_rest(&r, &mean);
		if (!(deviation > 0))
			break;
		taken[ntaken] = sorted[take_farthest(&r, mean, &distance)].number;
		scores[taken[ntaken++]] = distance / deviation / sp_grubbs_critical(rest, p->alpha);
		work->check(work);
	}
	/* the last one above 1 makes outliers of all before */
	for (size_t i = ntaken; i > 0; i--)
	{
		if (scores[taken[i - 1]] > 1 && scores[taken[i - 1]] > least && least == 0)
			least = scores[taken[i - 1]];
		if (scores[taken[i - 1]] < least)
			scores[taken[i - 1]] = least;
	}
	/* what was never the farthest, by what is left */
	deviation = n < 3 ? 0 : describe_rest(&r, &mean) *
		sp_grubbs_critical(fmax(3, (double) (n - ntaken)), p->alpha);
	for (size_t i = r.first; i <= r.last && n >= 3; i++)
	{
		double		score = deviation > 0 ? fabs(get_value(&r, i) - mean) / deviation : 0;

		scores[sorted[i].number] = score < 1 ? score : 1;
	}
	work->release(work, taken);
	work->release(work, sorted);
}

/* ---- the kernels ---- */

static const SpParam tukey_table[] = {
	{"k", SP_PARAM_FLOAT, offsetof(TukeyParams, k), 1.5, 0, 1e6,
	"IQRs from the quartiles to the fences", NULL, NULL}
};

static const SpParam grubbs_table[] = {
	{"alpha", SP_PARAM_FLOAT, offsetof(GrubbsParams, alpha), 0.05, 1e-12, 0.5,
	"the level of the test", NULL, NULL}
};

static const SpParam esd_table[] = {
	{"max_outliers", SP_PARAM_INT, offsetof(EsdParams, max_outliers), 10, 1, MAX_OUTLIERS,
	"values that are tested, at most", NULL, NULL},
	{"alpha", SP_PARAM_FLOAT, offsetof(EsdParams, alpha), 0.05, 1e-12, 0.5,
	"the level of the tests", NULL, NULL}
};

static double
estimate_copy(const void *params, double n, int d)
{
	(void) params;
	(void) d;
	return n * sizeof(double);
}

static double
estimate_sorted(const void *params, double n, int d)
{
	(void) params;
	(void) d;
	return n * (2 * sizeof(SpKeyed) + sizeof(size_t)) + 1e5;
}

const SpBatchKernel sp_batch_zscore = {
	.name = "zscore",
	.summary = "distance from the mean, in deviations",
	.reference = "",
	.max_columns = 1,
	.has_threshold = true,
	.threshold = 3,
	.memory = estimate_copy,
	.score = score_zscore
};

const SpBatchKernel sp_batch_modified_zscore = {
	.name = "modified_zscore",
	.summary = "distance from the median, in median absolute deviations; above 3.5 is an outlier",
	.reference = "B. Iglewicz, D. C. Hoaglin, How to detect and handle outliers, 1993",
	.max_columns = 1,
	.has_threshold = true,
	.threshold = 3.5,
	.memory = estimate_copy,
	.score = score_modified_zscore
};

const SpBatchKernel sp_batch_tukey = {
	.name = "tukey",
	.summary = "distance beyond the fences, in interquartile ranges; 0 within",
	.reference = "J. W. Tukey, Exploratory data analysis, 1977",
	.max_columns = 1,
	.has_threshold = true,
	.threshold = 0,
	.nparams = sizeof(tukey_table) / sizeof(tukey_table[0]),
	.param_table = tukey_table,
	.params_size = sizeof(TukeyParams),
	.memory = estimate_copy,
	.score = score_tukey
};

const SpBatchKernel sp_batch_grubbs = {
	.name = "grubbs",
	.summary = "distance from the mean over its critical value; the farthest is an outlier above 1",
	.reference = "F. E. Grubbs, Technometrics 11, 1969",
	.max_columns = 1,
	.has_threshold = true,
	.threshold = 1,
	.nparams = sizeof(grubbs_table) / sizeof(grubbs_table[0]),
	.param_table = grubbs_table,
	.params_size = sizeof(GrubbsParams),
	.memory = estimate_copy,
	.score = score_grubbs
};

const SpBatchKernel sp_batch_generalized_esd = {
	.name = "generalized_esd",
	.summary = "distance from the mean over its critical value, one value after the other; above 1 is "
	"an outlier",
	.reference = "B. Rosner, Technometrics 25, 1983",
	.max_columns = 1,
	.has_threshold = true,
	.threshold = 1,
	.nparams = sizeof(esd_table) / sizeof(esd_table[0]),
	.param_table = esd_table,
	.params_size = sizeof(EsdParams),
	.memory = estimate_sorted,
	.score = score_esd
};
