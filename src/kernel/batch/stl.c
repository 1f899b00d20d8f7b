/*
 * stl.c
 *	  Season, trend and the rest of a series.
 *
 * Positions are numbers from 0; loess only looks at differences of them.
 */
#include "kernel/batch/stl.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/batch/order.h"

#define NORMAL_MAD	1.482602218505602	/* deviation / MAD of a normal distribution */
#define ROUNDING	1024		/* steps of it that season and trend may be off, more in long series */

/* A smoothing by loess. */
typedef struct Loess
{
	ptrdiff_t	window;
	ptrdiff_t	jump;
	int			degree;
	double	   *weights;		/* room for as many as there are values */
} Loess;

/* Everything at work. */
typedef struct Decomposing
{
	const SpStl *stl;
	const double *y;
	ptrdiff_t	n;
	double		noise;			/* see sp_stl_noise() */
	double	   *season;			/* [n] */
	double	   *trend;			/* [n] */
	double	   *robustness;		/* [n]; NULL: all are 1 */
	double	   *weights;		/* [n + 2 period] */
	double	   *cycle;			/* [n + 2 period] the season, a period longer at either end */
	double	   *detrended;		/* [n + 2 period] */
	double	   *filtered;		/* [n + 2 period] */
	double	   *subseries;		/* [longest + 2], likewise the next two */
	double	   *smoothed;
	double	   *subweights;
	SpWork	   *work;
} Decomposing;

/* How much values count that are `distance` away, where a window reaches `reach`. */
static inline double
tricube(double distance, double reach)
{
	double		r;

	if (distance > 0.999 * reach)
		return 0;
	if (distance <= 0.001 * reach)
		return 1;
	r = distance / reach;
	r = 1 - r * r * r;
	return r * r * r;
}

/*
 * The smoothed value at a place of n values, by those from left to right; false: none of them
 * counts.
 */
static bool
fit(const Loess *l, const double *y, ptrdiff_t n, double at, ptrdiff_t left, ptrdiff_t right,
	const double *robustness, double *result)
{
	double	   *w = l->weights;
	double		reach = fmax(at - (double) left, (double) right - at);
	double		sum = 0;
	double		center = 0;
	double		spread = 0;
	double		value = 0;

	if (l->window > n)
		reach += (double) ((l->window - n) / 2);
	for (ptrdiff_t j = left; j <= right; j++)
	{
		w[j] = tricube(fabs((double) j - at), reach);
		if (robustness != NULL)
			w[j] *= robustness[j];
		sum += w[j];
	}
	if (!(sum > 0))
		return false;
	for (ptrdiff_t j = left; j <= right; j++)
	{
		w[j] /= sum;
		center += w[j] * (double) j;
	}
	for (ptrdiff_t j = left; j <= right && l->degree > 0; j++)
		spread += w[j] * ((double) j - center) * ((double) j - center);
	if (reach > 0 && sqrt(spread) > 0.001 * (double) (n - 1))
	{
		double		slope = (at - center) / spread;

		for (ptrdiff_t j = left; j <= right; j++)
			w[j] *= slope * ((double) j - center) + 1;
	}
	for (ptrdiff_t j = left; j <= right; j++)
		value += w[j] * y[j];
	*result = value;
	return true;
}

/* The same, with the window about the place. */
static void
fit_about(const Loess *l, const double *y, ptrdiff_t n, ptrdiff_t at, const double *robustness,
		  double *smoothed)
{
	ptrdiff_t	left = 0;
	ptrdiff_t	right = n - 1;

	if (l->window < n)
	{
		left = at - ((l->window + 1) / 2 - 1);
		left = left < 0 ? 0 : left > n - l->window ? n - l->window : left;
		right = left + l->window - 1;
	}
	if (!fit(l, y, n, (double) at, left, right, robustness, &smoothed[at]))
		smoothed[at] = y[at];
}

/* A straight line between two places. */
static void
interpolate(double *smoothed, ptrdiff_t from, ptrdiff_t to)
{
	double		slope = (smoothed[to] - smoothed[from]) / (double) (to - from);

	for (ptrdiff_t j = from + 1; j < to; j++)
		smoothed[j] = smoothed[from] + slope * (double) (j - from);
}

/* Smooth n values. */
static void
smooth(const Loess *l, const double *y, ptrdiff_t n, const double *robustness, double *smoothed,
	   SpWork *work)
{
	ptrdiff_t	jump = l->jump < n - 1 ? l->jump : n - 1;
	ptrdiff_t	last = 0;

	if (n < 2)
	{
		smoothed[0] = y[0];
		return;
	}
	for (ptrdiff_t i = 0; i < n; i += jump)
	{
		fit_about(l, y, n, i, robustness, smoothed);
		if (i > 0)
			interpolate(smoothed, i - jump, i);
		last = i;
		work->check(work);
	}
	if (last == n - 1)
		return;
	fit_about(l, y, n, n - 1, robustness, smoothed);
	interpolate(smoothed, last, n - 1);
}

/* Smooth each subseries of the detrended values, and a period more at either end: the cycle. */
static void
smooth_subseries(Decomposing *s)
{
	ptrdiff_t	period = s->stl->period;
	Loess		l = {s->stl->seasonal, s->stl->seasonal_jump, s->stl->seasonal_degree,
	s->weights};

	for (ptrdiff_t j = 0; j < period; j++)
	{
		ptrdiff_t	k = (s->n - j - 1) / period + 1;
		double	   *weights = s->robustness != NULL ? s->subweights : NULL;
		ptrdiff_t	first = k - l.window > 0 ? k - l.window : 0;

		for (ptrdiff_t i = 0; i < k; i++)
		{
			s->subseries[i] = s->detrended[i * period + j];
			if (weights != NULL)
				weights[i] = s->robustness[i * period + j];
		}
		smooth(&l, s->subseries, k, weights, s->smoothed + 1, s->work);
		if (!fit(&l, s->subseries, k, -1, 0, (l.window < k ? l.window : k) - 1, weights,
				 &s->smoothed[0]))
			s->smoothed[0] = s->smoothed[1];
		if (!fit(&l, s->subseries, k, (double) k, first, k - 1, weights, &s->smoothed[k + 1]))
			s->smoothed[k + 1] = s->smoothed[k];
		for (ptrdiff_t m = 0; m < k + 2; m++)
			s->cycle[m * period + j] = s->smoothed[m];
	}
}

/* Moving averages of a window, in place of the values: window - 1 less of them. */
static void
average(double *x, ptrdiff_t n, ptrdiff_t window)
{
	double		sum = 0;
	double		first;

	for (ptrdiff_t i = 0; i < window; i++)
		sum += x[i];
	for (ptrdiff_t i = 0; i + window < n; i++)
	{
		first = x[i];
		x[i] = sum / (double) window;
		sum += x[i + window] - first;
	}
	x[n - window] = sum / (double) window;
}

/* One iteration: the season of what is without the trend, the trend of what is without the season. */
static void
iterate(Decomposing *s)
{
	ptrdiff_t	n = s->n;
	ptrdiff_t	period = s->stl->period;
	Loess		low_pass = {s->stl->low_pass, s->stl->low_pass_jump, s->stl->degree, s->weights};
	Loess		trend = {s->stl->trend, s->stl->trend_jump, s->stl->degree, s->weights};

	for (ptrdiff_t i = 0; i < n; i++)
		s->detrended[i] = s->y[i] - s->trend[i];
	smooth_subseries(s);
	memcpy(s->detrended, s->cycle, (size_t) (n + 2 * period) * sizeof(double));
	average(s->detrended, n + 2 * period, period);
	average(s->detrended, n + period + 1, period);
	average(s->detrended, n + 2, 3);
	smooth(&low_pass, s->detrended, n, NULL, s->filtered, s->work);
	for (ptrdiff_t i = 0; i < n; i++)
	{
		s->season[i] = s->cycle[period + i] - s->filtered[i];
		s->detrended[i] = s->y[i] - s->season[i];
	}
	smooth(&trend, s->detrended, n, s->robustness, s->trend, s->work);
}

double
sp_stl_noise(const double *y, size_t n)
{
	double		sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += fabs(y[i]);
	return sum / (double) n * DBL_EPSILON * (ROUNDING + sqrt((double) n));
}

/*
 * Weights by how far values are from season and trend; false: most of them are there but for
 * rounding, which says nothing of how far is far.  By it alone even the neighbours of an outlier
 * would count for nothing, and then the outlier would be all that its season is made of.
 */
static bool
weigh(Decomposing *s, double *robustness)
{
	double		limit;

	for (ptrdiff_t i = 0; i < s->n; i++)
		s->detrended[i] = robustness[i] = fabs(s->y[i] - s->season[i] - s->trend[i]);
	limit = 6 * sp_order_quantile(s->detrended, (size_t) s->n, 0.5, s->work);
	if (!(limit > s->noise))
		return false;
	for (ptrdiff_t i = 0; i < s->n; i++)
	{
		double		r = robustness[i];

		if (r <= 0.001 * limit)
			robustness[i] = 1;
		else if (r <= 0.999 * limit)
			robustness[i] = (1 - (r / limit) * (r / limit)) * (1 - (r / limit) * (r / limit));
		else
			robustness[i] = 0;
	}
	s->robustness = robustness;
	return true;
}

static int32_t
make_odd(double x)
{
	int32_t		n = (int32_t) ceil(x);

	return n % 2 == 0 ? n + 1 : n;
}

void
sp_stl_defaults(SpStl *stl, int32_t period, int32_t seasonal, bool robust)
{
	stl->period = period;
	stl->seasonal = seasonal;
	stl->trend = make_odd(1.5 * period / (1 - 1.5 / seasonal));
	stl->low_pass = make_odd(period + 1.0);
	stl->seasonal_jump = (stl->seasonal + 9) / 10;
	stl->trend_jump = (stl->trend + 9) / 10;
	stl->low_pass_jump = (stl->low_pass + 9) / 10;
	stl->seasonal_degree = 1;
	stl->degree = 1;
	stl->inner = robust ? 2 : 5;
	stl->outer = robust ? 15 : 0;
}

void
sp_stl(const SpStl *stl, const double *y, size_t n, double *season, double *trend, SpWork *work)
{
	size_t		longer = n + 2 * (size_t) stl->period;
	size_t		longest = n / (size_t) stl->period + 4;
	double	   *memory = work->allocate(work, (4 * longer + n + 3 * longest) * sizeof(double));
	Decomposing s = {.stl = stl, .y = y, .n = (ptrdiff_t) n, .season = season, .trend = trend};
	double	   *robustness;

	s.weights = memory;
	s.cycle = s.weights + longer;
	s.detrended = s.cycle + longer;
	s.filtered = s.detrended + longer;
	robustness = s.filtered + longer;
	s.subseries = robustness + n;
	s.smoothed = s.subseries + longest;
	s.subweights = s.smoothed + longest;
	s.work = work;
	s.noise = sp_stl_noise(y, n);
	memset(trend, 0, n * sizeof(double));
	for (int outer = 0;; outer++)
	{
		for (int inner = 0; inner < stl->inner; inner++)
			iterate(&s);
		if (outer >= stl->outer || !weigh(&s, robustness))
			break;
	}
	work->release(work, memory);
}

void
sp_stl_score(const double *y, const double *season, const double *trend, size_t n,
			 double *scores, SpWork *work)
{
	double	   *scratch = work->allocate(work, n * sizeof(double));
	double		noise = sp_stl_noise(y, n);
	double		unit;
	SpColumn	c;

	for (size_t i = 0; i < n; i++)
		scores[i] = scratch[i] = fabs(y[i] - season[i] - trend[i]);
	sp_order_describe_values(scratch, n, &c, work);
	unit = c.median > 1e-9 * c.deviation ? c.median * NORMAL_MAD : c.deviation;
	unit = fmax(unit, noise);
	for (size_t i = 0; i < n; i++)
		scores[i] = unit > 0 ? scores[i] / unit : 0;
	work->release(work, scratch);
}
