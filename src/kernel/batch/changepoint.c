/*
 * changepoint.c
 *	  How probable it is that a new run of a series begins with a row.
 */
#include "kernel/batch/changepoint.h"

#include <math.h>
#include <string.h>

#include "kernel/batch/order.h"

#define MOST_RUNS	1000
#define LEAST		1e-12		/* probability */
#define ROOT_PI		1.7724538509055160273
#define MAX_Z		1e6			/* so that one value doesn't make all others equal */

typedef struct Params
{
	double		run_length;
	double		kappa;
	int32_t		lag;
} Params;

/* A run that may be the one at work. */
typedef struct Run
{
	size_t		first;			/* row */
	double		probability;
	double		mean;			/* of the mean */
	double		kappa;			/* values that it is worth */
	double		alpha;			/* shape and rate of 1 / variance */
	double		beta;
} Run;

/* ln gamma(a + 1/2) / gamma(a) for a >= 1. */
static double
log_half_step(double a)
{
	double		i = 1 / a;

	if (a < 100)
		return lgamma(a + 0.5) - lgamma(a);
	return 0.5 * log(a) - i / 8 + i * i * i / 192 - i * i * i * i * i / 640;
}

/* The density of the next value of a run: Student's t. */
static double
get_density(const Run *r, double x)
{
	double		degrees = 2 * r->alpha;
	double		scale = r->beta * (r->kappa + 1) / (r->alpha * r->kappa);
	double		z = (x - r->mean) * (x - r->mean) / scale;

	return exp(log_half_step(r->alpha) - (r->alpha + 0.5) * log1p(z / degrees)) /
		(sqrt(degrees * scale) * ROOT_PI);
}

/* Learn a value of the run. */
static void
learn(Run *r, double x)
{
	double		difference = x - r->mean;

	r->beta += r->kappa * difference * difference / (2 * (r->kappa + 1));
	r->mean += difference / (r->kappa + 1);
	r->kappa++;
	r->alpha += 0.5;
}

/* Forget runs that hardly are; the order stays. */
static int
forget(Run *runs, int n, double *scratch)
{
	double		least = LEAST;
	int			left = 0;

	if (n > MOST_RUNS)
	{
		for (int i = 0; i < n; i++)
			scratch[i] = runs[i].probability;
		least = fmax(least, sp_order_select(scratch, (size_t) n, (size_t) (n - MOST_RUNS), NULL));
	}
	for (int i = 0; i < n; i++)
	{
		if (runs[i].probability >= least)
			runs[left++] = runs[i];
	}
	return left;
}

/* A value comes: the run goes on, or another one begins with it. */
static int
take(Run *runs, int n, const Run *begin, size_t row, double x, double change)
{
	double		begins = 0;
	double		whole = 0;
	double		density = get_density(begin, x);

	for (int i = 0; i < n; i++)
	{
		begins += runs[i].probability * change;
		runs[i].probability *= (1 - change) * get_density(&runs[i], x);
		learn(&runs[i], x);
		whole += runs[i].probability;
	}
	runs[n] = *begin;
	runs[n].first = row;
	runs[n].probability = (n == 0 ? 1 : begins) * density;
	learn(&runs[n], x);
	whole += runs[n].probability;
	for (int i = 0; i <= n; i++)
		runs[i].probability = whole > 0 ? runs[i].probability / whole : i == n;
	return n + 1;
}

static void
score(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	const Params *p = params;
	Run		   *runs = work->allocate(work, (MOST_RUNS + 2) * sizeof(Run));
	double	   *scratch = work->allocate(work, (points->n + MOST_RUNS + 2) * sizeof(double));
	Run			begin = {0, 1, 0, p->kappa, 1, 1};
	SpColumn	c;
	double		unit;
	int			n = 0;

	memcpy(scratch, points->x, points->n * sizeof(double));
	sp_order_describe_values(scratch, points->n, &c, work);
	unit = sp_order_unit(&c);
	memset(scores, 0, points->n * sizeof(double));
	for (size_t row = 0; row < points->n; row++)
	{
		double		z = unit > 0 ? (points->x[row] - c.median) / unit : 0;

		z = fmax(fmin(z, MAX_Z), -MAX_Z);
		n = take(runs, n, &begin, row, z, 1 / p->run_length);
		n = forget(runs, n, scratch);
		/* the first row begins a run for certain, which isn't news */
		for (int i = n - 1; i >= 0 && row - runs[i].first <= (size_t) p->lag; i--)
		{
			if (runs[i].first > 0)
				scores[runs[i].first] = fmax(scores[runs[i].first], runs[i].probability);
		}
		if (row % 32 == 0)
			work->check(work);
	}
	work->release(work, scratch);
	work->release(work, runs);
}

static const SpParam param_table[] = {
	{"run_length", SP_PARAM_FLOAT, offsetof(Params, run_length), 250, 2, 1e12,
	"rows of a run, on average", NULL, NULL},
	{"lag", SP_PARAM_INT, offsetof(Params, lag), 10, 0, 1000000,
	"rows behind it that say whether a row begins a run", NULL, NULL},
	{"kappa", SP_PARAM_FLOAT, offsetof(Params, kappa), 0.1, 1e-6, 1e6,
	"values that what is known of a run's mean beforehand is worth", NULL, NULL}
};

static double
estimate_memory(const void *params, double n, int d)
{
	(void) params;
	(void) d;
	return n * sizeof(double) + (MOST_RUNS + 2) * (sizeof(Run) + sizeof(double));
}

const SpBatchKernel sp_batch_bayesian_changepoint = {
	.name = "bayesian_changepoint",
	.summary = "how probable it is that the series changes with the row",
	.reference = "R. P. Adams, D. J. C. MacKay, arXiv:0710.3742, 2007",
	.max_columns = 1,
	.is_series = true,
	.has_threshold = true,
	.threshold = 0.5,
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(Params),
	.memory = estimate_memory,
	.score = score
};
