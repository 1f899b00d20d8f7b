/*
 * seasonal_esd.c
 *	  Outliers of a series with a season: S-H-ESD, and the rest of STL.
 */
#include "kernel/batch/seasonal_esd.h"

#include <math.h>
#include <string.h>

#include "kernel/batch/order.h"
#include "kernel/batch/sort.h"
#include "kernel/batch/stl.h"
#include "kernel/batch/univariate.h"

#define NORMAL_MAD	1.482602218505602	/* deviation / MAD of a normal distribution */
#define MAX_PERIOD	1000000

typedef enum Direction
{
	BOTH,
	HIGH,
	LOW
} Direction;

static const char *const directions[] = {"both", "high", "low", NULL};

typedef struct EsdParams
{
	double		max_part;
	double		alpha;
	int32_t		period;
	int32_t		direction;
} EsdParams;

typedef struct ResidualParams
{
	int32_t		period;
	int32_t		robust;
	int32_t		seasonal;
} ResidualParams;

/* ---- seasonal_esd ---- */

/* The rest of a series without its season, which is the same in each period. */
static void
remove_season(const double *y, size_t n, int32_t period, double *rest, SpWork *work)
{
	double	   *season = work->allocate(work, 2 * n * sizeof(double));
	double	   *scratch = season + n;
	double		median;
	SpStl		stl;

	sp_stl_defaults(&stl, period, 7, true);
	stl.trend = period * 3 / 2 + 1;
	stl.trend += stl.trend % 2 == 0;
	stl.trend_jump = (stl.trend + 9) / 10;
	stl.seasonal = n < 100000000 ? (int32_t) (10 * n + 1) : 1000000001;
	stl.seasonal_jump = (int32_t) (n / 10 + 1);
	stl.seasonal_degree = 0;
	sp_stl(&stl, y, n, season, scratch, work);
	for (int32_t phase = 0; phase < period; phase++)
	{
		double		sum = 0;
		int			count = 0;

		for (size_t i = (size_t) phase; i < n; i += (size_t) period, count++)
			sum += season[i];
		for (size_t i = (size_t) phase; i < n; i += (size_t) period)
			season[i] = sum / count;
	}
	memcpy(scratch, y, n * sizeof(double));
	median = sp_order_quantile(scratch, n, 0.5, work);
	for (size_t i = 0; i < n; i++)
		rest[i] = y[i] - season[i] - median;
	work->release(work, season);
}

/* Sorted values, of which the farthest are taken away from either end. */
typedef struct Sorted
{
	const double *x;
	size_t		first;
	size_t		n;
} Sorted;

static double
get_median(const Sorted *s)
{
	const double *middle = s->x + s->first + (s->n - 1) / 2;

	return s->n % 2 == 1 ? middle[0] : (middle[0] + middle[1]) / 2;
}

/*
 * The k-th smallest distance from the median, from 0.  Distances grow to either side of it: of
 * two sorted lists, `left` of which are taken from the lower one.
 */
static double
select_distance(const Sorted *s, double median, size_t k)
{
	const double *x = s->x + s->first;
	size_t		nlow = s->n / 2;
	size_t		nhigh = s->n - nlow;
	size_t		low = k + 1 > nhigh ? k + 1 - nhigh : 0;
	size_t		high = k + 1 < nlow ? k + 1 : nlow;
	double		from_low;
	double		from_high;

	/* the least number of the lower ones with which no higher one that is left out is nearer */
	while (low < high)
	{
		size_t		middle = (low + high) / 2;

		/* is the next lower one nearer than the last higher one? */
		if (median - x[nlow - 1 - middle] < x[nlow + (k + 1 - middle) - 1] - median)
			low = middle + 1;
		else
			high = middle;
	}
	from_low = low > 0 ? median - x[nlow - low] : -INFINITY;
	from_high = low < k + 1 ? x[nlow + (k + 1 - low) - 1] - median : -INFINITY;
	return fmax(from_low, from_high);
}

static double
get_mad(const Sorted *s, double median)
{
	double		low = select_distance(s, median, (s->n - 1) / 2);

	return s->n % 2 == 1 ? low : (low + select_distance(s, median, s->n / 2)) / 2;
}

/* The critical value for the farthest of n, in the directions that count. */
static double
get_critical(const EsdParams *p, size_t n)
{
	return sp_grubbs_critical((double) n, p->direction == BOTH ? p->alpha : 2 * p->alpha);
}

/* How far a value is, in the direction that counts. */
static inline double
get_distance(Direction direction, double x, double median)
{
	return direction == HIGH ? x - median : direction == LOW ? median - x : fabs(x - median);
}

/* Values and their order, and what was taken away. */
typedef struct Testing
{
	double		noise;			/* the least unit */
	const SpKeyed *order;
	Sorted		sorted;
	size_t	   *taken;
	size_t		ntaken;
} Testing;

/* Test the farthest value of those that are left; false: their MAD is 0. */
static bool
test_farthest(Testing *t, const EsdParams *p, double *scores)
{
	Sorted	   *s = &t->sorted;
	double		median = get_median(s);
	double		unit = fmax(get_mad(s, median) * NORMAL_MAD, t->noise);
	double		low = get_distance((Direction) p->direction, s->x[s->first], median);
	double		high = get_distance((Direction) p->direction, s->x[s->first + s->n - 1], median);
	size_t		place = low > high ? s->first : s->first + s->n - 1;

	if (!(unit > 0))
		return false;
	t->taken[t->ntaken] = t->order[place].number;
	scores[t->taken[t->ntaken++]] = fmax(low, high) / unit / get_critical(p, s->n);
	s->first += low > high;
	s->n--;
	return true;
}

/* Those before the last outlier are outliers, and what was never the farthest is none. */
static void
settle(const Testing *t, const EsdParams *p, double *scores)
{
	const Sorted *s = &t->sorted;
	double		median = get_median(s);
	double		unit = fmax(get_mad(s, median) * NORMAL_MAD, t->noise) * get_critical(p, s->n);
	double		least = 0;

	for (size_t i = t->ntaken; i > 0; i--)
	{
		double	   *score = &scores[t->taken[i - 1]];

		if (least == 0 && *score > 1)
			least = *score;
		*score = fmax(*score, least);
	}
	for (size_t i = s->first; i < s->first + s->n; i++)
	{
		double		distance = get_distance((Direction) p->direction, s->x[i], median);

		scores[t->order[i].number] = unit > 0 ? fmax(0, fmin(1, distance / unit)) : 0;
	}
}

static void
score_esd(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	const EsdParams *p = params;
	size_t		n = points->n;
	size_t		most = (size_t) (p->max_part * (double) n);
	SpKeyed    *order;
	double	   *x;
	Testing		t = {0};

	memset(scores, 0, n * sizeof(double));
	if (n < 2 * (size_t) p->period || n < 8)
		return;
	order = work->allocate(work, n * sizeof(SpKeyed));
	x = work->allocate(work, n * sizeof(double));
	t.noise = sp_stl_noise(points->x, n);
	remove_season(points->x, n, p->period, x, work);
	for (size_t i = 0; i < n; i++)
	{
		order[i].key = sp_sort_key(x[i]);
		order[i].number = (uint32_t) i;
	}
	sp_sort(order, n, work);
	for (size_t i = 0; i < n; i++)
		scores[i] = x[order[i].number];
	memcpy(x, scores, n * sizeof(double));
	t.order = order;
	t.sorted.x = x;
	t.sorted.n = n;
	t.taken = work->allocate(work, (most + 1) * sizeof(size_t));
	while (t.ntaken < most && t.sorted.n > 3 && test_farthest(&t, p, scores))
		work->check(work);
	settle(&t, p, scores);
	work->release(work, t.taken);
	work->release(work, x);
	work->release(work, order);
}

/* ---- stl_residual ---- */

static void
score_residual(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	const ResidualParams *p = params;
	size_t		n = points->n;
	double	   *season;
	double	   *trend;
	SpStl		stl;

	memset(scores, 0, n * sizeof(double));
	if (n < 2 * (size_t) p->period)
		return;
	season = work->allocate(work, 2 * n * sizeof(double));
	trend = season + n;
	sp_stl_defaults(&stl, p->period, p->seasonal, p->robust != 0);
	sp_stl(&stl, points->x, n, season, trend, work);
	sp_stl_score(points->x, season, trend, n, scores, work);
	work->release(work, season);
}

/* ---- the kernels ---- */

static const SpParam esd_table[] = {
	{"period", SP_PARAM_INT, offsetof(EsdParams, period), NAN, 2, MAX_PERIOD,
	"rows of a season", NULL, "none: it must be given"},
	{"max_part", SP_PARAM_FLOAT, offsetof(EsdParams, max_part), 0.02, 0, 0.49,
	"of the rows that are tested, at most", NULL, NULL},
	{"alpha", SP_PARAM_FLOAT, offsetof(EsdParams, alpha), 0.05, 1e-12, 0.25,
	"the level of the tests", NULL, NULL},
	{"direction", SP_PARAM_CHOICE, offsetof(EsdParams, direction), BOTH, 0, 0,
	"which outliers count", directions, NULL}
};

static const SpParam residual_table[] = {
	{"period", SP_PARAM_INT, offsetof(ResidualParams, period), NAN, 2, MAX_PERIOD,
	"rows of a season", NULL, "none: it must be given"},
	{"robust", SP_PARAM_BOOL, offsetof(ResidualParams, robust), 1, 0, 1,
	"outliers don't count for season and trend", NULL, NULL},
	{"seasonal", SP_PARAM_INT, offsetof(ResidualParams, seasonal), 7, 3, 1000001,
	"periods by which the season is smoothed, an odd number", NULL, NULL}
};

static const char *
find_conflict(const void *params)
{
	return ((const ResidualParams *) params)->seasonal % 2 == 0 ?
		"\"seasonal\" must be an odd number" : NULL;
}

/* Of sp_stl(): see there. */
static double
estimate_stl(double n, double period)
{
	return (5 * n + 8 * period + 3 * (n / period + 4)) * sizeof(double);
}

static double
estimate_esd(const void *params, double n, int d)
{
	(void) d;
	return estimate_stl(n, ((const EsdParams *) params)->period) +
		n * (4 * sizeof(double) + 3 * sizeof(SpKeyed) + sizeof(size_t)) + 1e6;
}

static double
estimate_residual(const void *params, double n, int d)
{
	(void) d;
	return estimate_stl(n, ((const ResidualParams *) params)->period) + 2 * n * sizeof(double) + 1e4;
}

static size_t
get_esd_period(const void *params)
{
	return (size_t) ((const EsdParams *) params)->period;
}

static size_t
get_residual_period(const void *params)
{
	return (size_t) ((const ResidualParams *) params)->period;
}

const SpBatchKernel sp_batch_seasonal_esd = {
	.name = "seasonal_esd",
	.summary = "distance from what season and median say over its critical value, one row after the "
	"other; above 1 is an outlier",
	.reference = "J. Hochenbaum, O. S. Vallis, A. Kejariwal, arXiv:1704.07706, 2017",
	.max_columns = 1,
	.is_series = true,
	.period = get_esd_period,
	.has_threshold = true,
	.threshold = 1,
	.nparams = sizeof(esd_table) / sizeof(esd_table[0]),
	.param_table = esd_table,
	.params_size = sizeof(EsdParams),
	.memory = estimate_esd,
	.score = score_esd
};

const SpBatchKernel sp_batch_stl_residual = {
	.name = "stl_residual",
	.summary = "distance from season and trend, in median absolute deviations",
	.reference = "R. B. Cleveland, W. S. Cleveland, J. E. McRae, I. Terpenning, STL, 1990",
	.max_columns = 1,
	.is_series = true,
	.period = get_residual_period,
	.nparams = sizeof(residual_table) / sizeof(residual_table[0]),
	.param_table = residual_table,
	.params_size = sizeof(ResidualParams),
	.conflict = find_conflict,
	.memory = estimate_residual,
	.score = score_residual
};
