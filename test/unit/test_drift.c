/*
 * test_drift.c
 *	  Numerics of exponentially weighted mean and variance after very many events: ewma and
 *	  moments.h against sums of long doubles, computed anew.
 *
 * EVENTS of each series (default 500,000; make check-drift has 10^9).  SHOW=1 prints how far off they
 * are.  No number may be denormal, no variance negative.
 */
#include <float.h>

#include "kernel.h"
#include "kernel/online/ewma.h"
#include "kernel/online/moments.h"
#include "kernel/online/random.h"

/* Weights beyond e^-50 aren't looked at. */
#define REACH	50

typedef struct Case
{
	const char *name;
	double		mean_error;		/* relative to the larger of mean and deviation */
	double		variance_error; /* relative to the variance */
	double		least;			/* a variance below counts as that */
} Case;

typedef enum Shape
{
	CONSTANT,
	DRIFT,
	OFFSET,
	ALTERNATING,
	SILENT,
	FLAT,
	SHAPES
} Shape;

/*
 * With a large offset a step of the mean may be less than its last place: it comes to rest within a
 * thousandth of a deviation, and the variance is off by the square of that.
 */
static const Case cases[SHAPES] = {
	{"constant", 0.0, 0.0, DBL_MIN},
	{"drifting", 1e-10, 1e-7, DBL_MIN},
	{"large offset", 1e-12, 1e-5, DBL_MIN},
	{"alternating", 1e-10, 1e-7, DBL_MIN},
	{"noise, then zeros", 1e-10, 1e-7, 1e-20},
	{"noise, then a constant", 1e-9, 1e-7, 1e-20}
};

/* alpha of the moments: with 0 all values weigh the same. */
static const double alphas[] = {0.0, 0.05, 0.001, 1e-6};

#define ALPHAS	4

static int64_t events = 500000;

/* Value i of a series. */
static inline double
get_value(Shape shape, int64_t i)
{
	uint64_t	bits = sp_random_at(7, (uint64_t) i);
	double		noise = sp_random_uniform(bits) + sp_random_uniform(bits * SP_RANDOM_ODD) - 1.0;

	switch (shape)
	{
		case CONSTANT:
			return 0.1;
		case DRIFT:
			return (double) i * 1e-3 + noise;
		case OFFSET:
			return 1e9 + noise;
		case ALTERNATING:
			return i % 2 == 0 ? 1e6 + noise : -1e6 + noise;
		case SILENT:
			return i < events / 2 ? noise : 0.0;
		default:
			return i < events / 2 ? noise : 0.1;
	}
}

/* A sum whose error doesn't grow (A. Neumaier 1974). */
typedef struct Sum
{
	long double sum;
	long double rest;
} Sum;

static inline void
add(Sum *sum, long double x)
{
	long double next = sum->sum + x;

	sum->rest += fabsl(sum->sum) >= fabsl(x) ? (sum->sum - next) + x : (x - next) + sum->sum;
	sum->sum = next;
}

/* Mean and variance of the first n values by their definition. */
static void
weigh(Shape shape, int64_t n, double alpha, double *mean, double *variance)
{
	int64_t		reach = alpha > 0.0 && REACH / alpha < (double) n ? (int64_t) (REACH / alpha) : n;
	Sum			weights = {0, 0},
				first = {0, 0},
				second = {0, 0};
	long double weight = 1.0L;
	long double origin = get_value(shape, n - 1);
	long double m;

	for (int64_t i = n - 1; i >= n - reach; i--)
	{
		long double d = get_value(shape, i) - origin;

		add(&weights, weight);
		add(&first, weight * d);
		add(&second, weight * d * d);
		weight *= 1.0L - (long double) alpha;
	}
	m = (first.sum + first.rest) / (weights.sum + weights.rest);
	*mean = (double) (origin + m);
	*variance = (double) ((second.sum + second.rest) / (weights.sum + weights.rest) - m * m);
}

/* A number that is neither below those of full precision nor none. */
static bool
is_healthy(double x)
{
	return x == 0.0 || isnormal(x);
}

static void
check_moments(Shape shape, const char *what, double alpha, int64_t n, double mean, double variance)
{
	const Case *c = &cases[shape];
	double		true_mean,
				true_variance,
				unit;

	weigh(shape, n, alpha, &true_mean, &true_variance);
	if (true_variance < c->least)
		true_variance = 0.0;
	if (variance < c->least)
		variance = 0.0;
	unit = fmax(fmax(fabs(true_mean), sqrt(true_variance)), sqrt(c->least));
	if (getenv("SHOW"))
		printf("%s, %s, alpha %g, %lld events: mean off by %.1e, variance by %.1e\n", c->name, what, alpha,
			   (long long) n, fabs(mean - true_mean) / unit,
			   true_variance > 0 ? fabs(variance / true_variance - 1) : variance);
	check_near(mean, true_mean, c->mean_error * unit);
	check_near(variance, true_variance, c->variance_error * true_variance);
}

/* One series through all of them at once, looked at more and more rarely. */
static void
run_series(Shape shape)
{
	SpMoments	moments[ALPHAS] = {{0}};
	SpEwmaParams params[ALPHAS];
	Series		ewma[ALPHAS];
	int64_t		next = 1000;

	for (int k = 1; k < ALPHAS; k++)
	{
		params[k] = (SpEwmaParams) {alphas[k], 30};
		ewma[k] = open_series(&sp_kernel_ewma, &params[k], SP_DIRECTION_BOTH);
	}
	for (int64_t i = 0; i < events; i++)
	{
		double		x = get_value(shape, i);
		bool		learned = true;

		for (int k = 0; k < ALPHAS; k++)
			learned &= sp_moments_add(&moments[k], alphas[k], x);
		for (int k = 1; k < ALPHAS; k++)
			learned &= learn_at(&ewma[k], 0, x);
		for (int k = 0; k < ALPHAS && (i % 64 == 0 || i + 1 == next); k++)
			check(is_healthy(moments[k].mean) && is_healthy(moments[k].variance) && moments[k].variance >= 0.0);
		if (!learned)
			failures++;
		if (i + 1 != next && i + 1 != events)
			continue;
		next *= 1000;
		for (int k = 0; k < ALPHAS; k++)
			check_moments(shape, "moments", alphas[k], i + 1, moments[k].mean, moments[k].variance);
		for (int k = 1; k < ALPHAS; k++)
		{
			const SpEwma *s = ewma[k].state;

			check(is_sound(&ewma[k]) && is_healthy(s->mean) && is_healthy(s->variance));
			check_moments(shape, "ewma", alphas[k], i + 1, s->mean, s->variance);
		}
	}
	for (int k = 1; k < ALPHAS; k++)
		close_series(&ewma[k]);
}

int
main(void)
{
	if (getenv("EVENTS"))
		events = atoll(getenv("EVENTS"));
	for (int shape = 0; shape < SHAPES; shape++)
		run_series((Shape) shape);
	return failures > 0;
}
