/*
 * ecod_model.c
 *	  ecod as a model: for each column its values, and how many points are at and below each.
 */
#include "kernel/batch/ecod_model.h"

#include <math.h>
#include <string.h>

#include "kernel/batch/sort.h"

typedef struct Params
{
	int32_t		values;
} Params;

/* A body: int64_t count[d], then the steps of each column. */
typedef struct Step
{
	double		value;
	uint32_t	below;			/* points with less */
	uint32_t	upto;			/* and those with this too */
} Step;

/* ---- training ---- */

/* The steps of a sorted column, all of them; how many. */
static size_t
find_steps(const SpMatrix *points, size_t j, const SpKeyed *keyed, Step *steps)
{
	size_t		n = points->n;
	size_t		nsteps = 0;
	size_t		first = 0;

	while (first < n)
	{
		size_t		last = first;

		while (last < n && keyed[last].key == keyed[first].key)
			last++;
		steps[nsteps].value = points->x[keyed[first].number * (size_t) points->d + j] + 0.0;
		steps[nsteps].below = (uint32_t) first;
		steps[nsteps++].upto = (uint32_t) last;
		first = last;
	}
	return nsteps;
}

/*
 * Leave out steps, in place, so that no more than most are left.  How many points may lie between
 * two that are kept grows with the rank from the nearer end.
 */
static size_t
thin_steps(Step *steps, size_t nsteps, size_t n, size_t most)
{
	double		end = (double) (most / 4);
	double		growth = log((double) n / 2 / end + 1) / end;
	size_t		kept = 0;

	for (size_t i = 0; i < nsteps; i++)
	{
		double		rank = fmin(steps[i].upto, (double) (n - steps[i].below));
		bool		is_last = i == nsteps - 1;

		if (i > 0 && !is_last &&
			(kept == most - 1 ||
			 (rank > end && steps[i].upto - steps[kept - 1].upto < 1 + rank * growth)))
			continue;
		steps[kept++] = steps[i];
	}
	return kept;
}

/* Sort a column. */
static void
sort_column(const SpMatrix *points, size_t j, SpKeyed *keyed, SpWork *work)
{
	for (size_t i = 0; i < points->n; i++)
	{
		/* of the two zeros one */
		keyed[i].key = sp_sort_key(points->x[i * (size_t) points->d + j] + 0.0);
		keyed[i].number = (uint32_t) i;
	}
	work->check(work);
	sp_sort(keyed, points->n, work);
}

static void *
train(const void *params, const SpGather *gather, SpWork *work, size_t *size)
{
	SpMatrix	points = sp_gather_points(gather);
	size_t		d = (size_t) points.d;
	size_t		most = (size_t) ((const Params *) params)->values;
	size_t		room = points.n < most ? points.n : most;
	SpKeyed    *keyed = work->allocate(work, points.n * sizeof(SpKeyed));
	Step	   *column = work->allocate(work, points.n * sizeof(Step));
	int64_t    *counts = work->allocate(work, d * sizeof(int64_t) + room * d * sizeof(Step));
	Step	   *to = (Step *) (counts + d);

	for (size_t j = 0; j < d; j++)
	{
		size_t		nsteps;

		sort_column(&points, j, keyed, work);
		nsteps = find_steps(&points, j, keyed, column);
		if (nsteps > most)
			nsteps = thin_steps(column, nsteps, points.n, most);
		memcpy(to, column, nsteps * sizeof(Step));
		counts[j] = (int64_t) nsteps;
		to += nsteps;
		work->check(work);
	}
	*size = (size_t) ((char *) to - (char *) counts);
	work->release(work, column);
	work->release(work, keyed);
	return counts;
}

static double
estimate_memory(const void *params, double n, int d)
{
	double		kept = fmin(n, ((const Params *) params)->values);

	return n * (2 * sizeof(SpKeyed) + sizeof(Step)) + kept * d * sizeof(Step) + 1e5;
}

/* ---- scoring ---- */

static bool
are_steps_sound(const Step *steps, size_t nsteps, uint64_t n)
{
	for (size_t i = 0; i < nsteps; i++)
	{
		if (!isfinite(steps[i].value) || steps[i].below >= steps[i].upto || steps[i].upto > n ||
			(i > 0 && (!(steps[i].value > steps[i - 1].value) || steps[i].below < steps[i - 1].upto)))
			return false;
	}
	return true;
}

static bool
is_sound(const SpModelView *model)
{
	size_t		d = (size_t) model->d;
	const int64_t *counts = model->body;
	const Step *steps = (const Step *) (counts + d);
	size_t		left;

	if (model->size < d * sizeof(int64_t) || (model->size - d * sizeof(int64_t)) % sizeof(Step) != 0)
		return false;
	left = (model->size - d * sizeof(int64_t)) / sizeof(Step);
	for (size_t j = 0; j < d; j++)
	{
		if (counts[j] < 1 || (uint64_t) counts[j] > left ||
			!are_steps_sound(steps, (size_t) counts[j], model->n))
			return false;
		steps += counts[j];
		left -= (size_t) counts[j];
	}
	return left == 0;
}

/* What a feature adds. */
static double
rate_feature(const Step *steps, size_t nsteps, double n, double x)
{
	size_t		low = 0;
	size_t		high = nsteps;
	double		upto;
	double		below;

	/* steps before low are at most x, those from high on are greater */
	while (low < high)
	{
		size_t		middle = (low + high) / 2;

		if (steps[middle].value <= x)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || (low == nsteps && steps[low - 1].value < x))
		return log(n + 1);
	upto = steps[low - 1].upto;
	below = steps[low - 1].below;
	if (steps[low - 1].value < x)
	{
		double		part = (x - steps[low - 1].value) / (steps[low].value - steps[low - 1].value);

		upto += part * (steps[low].below - upto);
		below = upto;
	}
	return fmax(-log(upto / n), -log((n - below) / n));
}

static void
explain(const SpModelView *model, const double *x, double *parts, double *scratch)
{
	const int64_t *counts = model->body;
	const Step *steps = (const Step *) (counts + model->d);

	(void) scratch;
	for (int j = 0; j < model->d; j++)
	{
		parts[j] = rate_feature(steps, (size_t) counts[j], (double) model->n, x[j]);
		steps += counts[j];
	}
}

static double
score(const SpModelView *model, const double *x, double *scratch)
{
	double		sum = 0;

	explain(model, x, scratch, NULL);
	for (int j = 0; j < model->d; j++)
		sum += scratch[j];
	return sum;
}

static const SpParam param_table[] = {
	{"values", SP_PARAM_INT, offsetof(Params, values), 20000, 100, 10000000,
	"of a column that a model keeps, at most", NULL, NULL}
};

const SpModelKernel sp_model_ecod = {
	.number = 3,
	.name = "ecod",
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(Params),
	.gathers = SP_GATHER_ALL,
	.memory = estimate_memory,
	.train = train,
	.is_sound = is_sound,
	.score = score,
	.explain = explain
};
