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

/* Where a point is on the line. */
static inline double
find_place(const Line *line, const double *x)
{
	double		place = -line->offset;

	for (int t = 0; t < line->nterms; t++)
		place += line->weights[t] * x[line->columns[t]];
	return place;
}

/* The histogram of a line, of as many bins as there are amounts behind it in a body. */
typedef struct Bins
{
	double		min;
	double		max;
	double		width;			/* of one; 0: the line says nothing */
	double		outside;		/* what a bin without points adds */
} Bins;

/* Where points are on the line. */
static void
project(const Line *line, const SpMatrix *points, double *places, Bins *b)
{
	b->min = b->max = 0;
	for (size_t i = 0; i < points->n; i++)
	{
		double		place = find_place(line, points->x + i * (size_t) points->d);

		places[i] = place;
		b->min = i == 0 || place < b->min ? place : b->min;
		b->max = i == 0 || place > b->max ? place : b->max;
	}
}

static inline int
get_bin(double place, double min, double unit, int bins)
{
	double		at = (place - min) * unit;

	return !(at > 0) ? 0 : at >= bins ? bins - 1 : (int) at;
}

/* What a bin with so many of n points adds. */
static inline double
rate(double count, double n, int bins, double width)
{
	return -log((count + 0.5) / (n + 0.5 * bins) / width);
}

/* Count the places of n points. */
static void
describe_line(const double *places, size_t n, int bins, Bins *b, double *amounts)
{
	double		unit;

	b->width = (b->max - b->min) / bins;
	unit = 1 / b->width;
	memset(amounts, 0, (size_t) bins * sizeof(double));
	if (!(b->width > DBL_MIN))
	{
		b->width = b->outside = 0;
		return;
	}
	for (size_t i = 0; i < n; i++)
		amounts[get_bin(places[i], b->min, unit, bins)]++;
	for (int i = 0; i < bins; i++)
		amounts[i] = rate(amounts[i], (double) n, bins, b->width);
	b->outside = rate(0, (double) n, bins, b->width);
}

/* Lines by chance. */
typedef struct Choice
{
	SpRandom	random;
	SpColumn   *columns;
	int		   *order;
	Line		line;
} Choice;

static int
count_terms(int d)
{
	return (int) ceil(sqrt(d));
}

static void
begin_choice(Choice *c, const Params *p, const SpMatrix *points, SpWork *work)
{
	size_t		d = (size_t) points->d;

	c->random = sp_random_begin(p->seed, 0);
	c->columns = work->allocate(work, d * sizeof(SpColumn));
	c->order = work->allocate(work, 2 * d * sizeof(int));
	c->line.nterms = count_terms(points->d);
	c->line.columns = c->order + d;
	c->line.weights = work->allocate(work, d * sizeof(double));
	for (size_t j = 0; j < d; j++)
		sp_order_describe(points, (int) j, NULL, &c->columns[j], work);
}

static void
end_choice(Choice *c, SpWork *work)
{
	work->release(work, c->line.weights);
	work->release(work, c->order);
	work->release(work, c->columns);
}

static void
score(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	const Params *p = params;
	double	   *places = work->allocate(work, points->n * sizeof(double));
	double	   *amounts = work->allocate(work, (size_t) p->bins * sizeof(double));
	Choice		c;

	memset(scores, 0, points->n * sizeof(double));
	begin_choice(&c, p, points, work);
	for (int l = 0; l < p->projections; l++)
	{
		Bins		b;

		choose(&c.line, points->d, c.columns, c.order, &c.random);
		project(&c.line, points, places, &b);
		describe_line(places, points->n, p->bins, &b, amounts);
		for (size_t i = 0; b.width > 0 && i < points->n; i++)
			scores[i] += amounts[get_bin(places[i], b.min, 1 / b.width, p->bins)];
		work->check(work);
	}
	for (size_t i = 0; i < points->n; i++)
		scores[i] /= p->projections;
	end_choice(&c, work);
	work->release(work, amounts);
	work->release(work, places);
}

/* ---- as a model ---- */

/*
 * A body has of each line its Bins, double offset, weights[terms] and amounts[bins], then
 * int64_t columns[terms].
 */
static size_t
get_line_size(const Params *p, int d)
{
	return sizeof(Bins) + (1 + 2 * (size_t) count_terms(d) + (size_t) p->bins) * sizeof(double);
}

/* The parts of a line in a body. */
typedef struct Part
{
	Bins	   *bins;
	double	   *offset;
	double	   *weights;
	double	   *amounts;
	int64_t    *columns;
} Part;

static inline Part
get_part(const void *body, const Params *p, int d, int line)
{
	Part		part;

	part.bins = (Bins *) ((char *) body + get_line_size(p, d) * (size_t) line);
	part.offset = (double *) (part.bins + 1);
	part.weights = part.offset + 1;
	part.amounts = part.weights + count_terms(d);
	part.columns = (int64_t *) (part.amounts + p->bins);
	return part;
}

static void *
train(const void *params, const SpGather *gather, SpWork *work, size_t *size)
{
	const Params *p = params;
	SpMatrix	points = sp_gather_points(gather);
	double	   *places = work->allocate(work, points.n * sizeof(double));
	void	   *body;
	Choice		c;

	*size = get_line_size(p, points.d) * (size_t) p->projections;
	body = work->allocate(work, *size);
	begin_choice(&c, p, &points, work);
	for (int l = 0; l < p->projections; l++)
	{
		Part		part = get_part(body, p, points.d, l);

		choose(&c.line, points.d, c.columns, c.order, &c.random);
		project(&c.line, &points, places, part.bins);
		describe_line(places, points.n, p->bins, part.bins, part.amounts);
		*part.offset = c.line.offset;
		for (int t = 0; t < c.line.nterms; t++)
		{
			part.weights[t] = c.line.weights[t];
			part.columns[t] = c.line.columns[t];
		}
		work->check(work);
	}
	end_choice(&c, work);
	work->release(work, places);
	return body;
}

static bool
is_line_sound(const Part *part, const Params *p, int d)
{
	const Bins *b = part->bins;

	if (!isfinite(b->min) || !isfinite(b->max) || !(b->max >= b->min) || !isfinite(b->width) ||
		!(b->width >= 0) || !isfinite(b->outside) || !isfinite(*part->offset))
		return false;
	for (int t = 0; t < count_terms(d); t++)
	{
		if (!isfinite(part->weights[t]) || part->columns[t] < 0 || part->columns[t] >= d)
			return false;
	}
	for (int i = 0; i < p->bins; i++)
	{
		if (!isfinite(part->amounts[i]))
			return false;
	}
	return true;
}

static bool
is_sound(const SpModelView *model)
{
	const Params *p = model->params;

	if (model->size != get_line_size(p, model->d) * (size_t) p->projections)
		return false;
	for (int l = 0; l < p->projections; l++)
	{
		Part		part = get_part(model->body, p, model->d, l);

		if (!is_line_sound(&part, p, model->d))
			return false;
	}
	return true;
}

/* What a line adds.  Beyond the ends the first and the last bin reach half a bin farther. */
static double
rate_line(const Part *part, const Params *p, int d, const double *x)
{
	const Bins *b = part->bins;
	double		place = -*part->offset;

	for (int t = 0; t < count_terms(d); t++)
		place += part->weights[t] * x[part->columns[t]];
	if (!(b->width > 0))
		return 0;
	if (place < b->min - b->width / 2 || place > b->max + b->width / 2)
		return b->outside;
	return part->amounts[get_bin(place, b->min, 1 / b->width, p->bins)];
}

static double
score_point(const SpModelView *model, const double *x, double *scratch)
{
	const Params *p = model->params;
	double		score = 0;

	(void) scratch;
	for (int l = 0; l < p->projections; l++)
	{
		Part		part = get_part(model->body, p, model->d, l);

		score += rate_line(&part, p, model->d, x);
	}
	return score / p->projections;
}

/* How much more lines say on average that a feature is in than those that it isn't in. */
static void
explain(const SpModelView *model, const double *x, double *parts, double *scratch)
{
	const Params *p = model->params;
	int			d = model->d;
	double		whole = 0;

	memset(parts, 0, (size_t) d * sizeof(double));
	memset(scratch, 0, (size_t) d * sizeof(double));
	for (int l = 0; l < p->projections; l++)
	{
		Part		part = get_part(model->body, p, d, l);
		double		amount = rate_line(&part, p, d, x);

		whole += amount;
		for (int t = 0; t < count_terms(d); t++)
		{
			parts[part.columns[t]] += amount;
			scratch[part.columns[t]]++;
		}
	}
	for (int j = 0; j < d; j++)
	{
		double		others = p->projections - scratch[j];
		double		with = scratch[j] > 0 ? parts[j] / scratch[j] : 0;
		double		without = others > 0 ? (whole - parts[j]) / others : 0;

		parts[j] = scratch[j] > 0 ? with - without : 0;
	}
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
		(double) get_line_size(params, d) * ((const Params *) params)->projections;
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

const SpModelKernel sp_model_loda = {
	.number = 7,
	.name = "loda",
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(Params),
	.gathers = SP_GATHER_ALL,
	.memory = estimate_memory,
	.train = train,
	.is_sound = is_sound,
	.score = score_point,
	.explain = explain
};
