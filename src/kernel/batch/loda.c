/*
 * loda.c
 *	  How thin points lie on lines by chance.
 */
#include "kernel/batch/loda.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/batch/order.h"

#define MAX_PROJECTIONS	10000
#define MAX_BINS		10000

typedef struct Params
{
	int32_t		projections;
	int32_t		bins;
	int32_t		seed;
} Params;

/* A line: terms of some columns. */
typedef struct Line
{
	int			nterms;
	int		   *columns;
	double	   *weights;
	double		offset;
} Line;

/* Choose the terms of a line. */
static void
choose(Line *line, int d, const SpColumn *columns, int *order, SpRandom *random)
{
	line->offset = 0;
	for (int j = 0; j < d; j++)
		order[j] = j;
	for (int t = 0; t < line->nterms; t++)
	{
		int			i = t + (int) sp_random_below(random, (uint64_t) (d - t));
		int			column = order[i];
		double		deviation = columns[column].deviation;
		double		unit = deviation > DBL_MIN ? 1 / deviation : 0;

		order[i] = order[t];
		order[t] = column;
		line->columns[t] = column;
		line->weights[t] = sp_random_normal(random) * unit;
		line->offset += line->weights[t] * columns[column].mean;
	}
}

/* Where points are on the line. */
static void
project(const Line *line, const SpMatrix *points, double *places, double *min, double *max)
{
	for (size_t i = 0; i < points->n; i++)
	{
		const double *x = points->x + i * (size_t) points->d;
		double		place = -line->offset;

		for (int t = 0; t < line->nterms; t++)
			place += line->weights[t] * x[line->columns[t]];
		places[i] = place;
		*min = i == 0 || place < *min ? place : *min;
		*max = i == 0 || place > *max ? place : *max;
	}
}

static inline int
get_bin(double place, double min, double unit, int bins)
{
	int			bin = (int) ((place - min) * unit);

	return bin < 0 ? 0 : bin >= bins ? bins - 1 : bin;
}

/* Add what the line says of each point. */
static void
add_line(const double *places, size_t n, double min, double max, int bins, double *amounts,
		 double *scores)
{
	double		width = (max - min) / bins;
	double		unit = 1 / width;

	if (!(width > DBL_MIN))
		return;
	memset(amounts, 0, (size_t) bins * sizeof(double));
	for (size_t i = 0; i < n; i++)
		amounts[get_bin(places[i], min, unit, bins)]++;
	for (int b = 0; b < bins; b++)
		amounts[b] = -log((amounts[b] + 0.5) / ((double) n + 0.5 * bins) / width);
	for (size_t i = 0; i < n; i++)
		scores[i] += amounts[get_bin(places[i], min, unit, bins)];
}

static void
score(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	const Params *p = params;
	int			d = points->d;
	SpRandom	random = sp_random_begin(p->seed, 0);
	Line		line = {.nterms = (int) ceil(sqrt(d))};
	SpColumn   *columns = work->allocate(work, (size_t) d * sizeof(SpColumn));
	int		   *order = work->allocate(work, 2 * (size_t) d * sizeof(int));
	double	   *places = work->allocate(work, points->n * sizeof(double));
	double	   *amounts = work->allocate(work, (size_t) p->bins * sizeof(double));
	double		min = 0;
	double		max = 0;

	line.columns = order + d;
	line.weights = work->allocate(work, (size_t) d * sizeof(double));
	memset(scores, 0, points->n * sizeof(double));
	for (int j = 0; j < d; j++)
		sp_order_describe(points, j, NULL, &columns[j]);
	for (int i = 0; i < p->projections; i++)
	{
		choose(&line, d, columns, order, &random);
		project(&line, points, places, &min, &max);
		add_line(places, points->n, min, max, p->bins, amounts, scores);
		work->check(work);
	}
	for (size_t i = 0; i < points->n; i++)
		scores[i] /= p->projections;
	work->release(work, line.weights);
	work->release(work, amounts);
	work->release(work, places);
	work->release(work, order);
	work->release(work, columns);
}

static const SpParam param_table[] = {
	{"projections", SP_PARAM_INT, offsetof(Params, projections), 100, 1, MAX_PROJECTIONS,
	"lines", NULL, NULL},
	{"bins", SP_PARAM_INT, offsetof(Params, bins), 100, 2, MAX_BINS,
	"of the histogram on each", NULL, NULL},
	{"seed", SP_PARAM_INT, offsetof(Params, seed), SP_BATCH_SEED, INT32_MIN, INT32_MAX,
	"what is chosen by chance follows from it", NULL, NULL}
};

static double
estimate_memory(const void *params, double n, int d)
{
	return n * sizeof(double) + d * (sizeof(SpColumn) + 2 * sizeof(int) + sizeof(double)) +
		((const Params *) params)->bins * sizeof(double);
}

const SpBatchKernel sp_batch_loda = {
	.name = "loda",
	.summary = "how thin points lie on lines by chance, in histograms",
	.reference = "T. Pevny, Loda, Machine Learning 102, 2016",
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(Params),
	.memory = estimate_memory,
	.score = score
};
