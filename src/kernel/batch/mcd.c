/*
 * mcd.c
 *	  The covariance of those points that are nearest to one another.
 *
 * A step (C-step) takes the h points that are nearest by mean and covariance, and theirs instead:
 * the determinant never rises.  As the paper does, many starts take two steps each in small
 * samples, the best of these two more in all samples together, the best of these two more among
 * all points, and the best one goes on until nothing changes.  Wide points have fewer starts, the
 * best of which go on in all samples together until nothing changes.
 *
 * Steps go by Cholesky's factor where a covariance isn't singular, and by eigenvalues where it is
 * and in the end.
 */
#include "kernel/batch/mcd.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/batch/cholesky.h"
#include "kernel/batch/distribution.h"
#include "kernel/batch/eigen.h"
#include "kernel/batch/order.h"
#include "kernel/batch/whiten_model.h"

#define STARTS		500			/* in all samples together */
#define SAMPLE		300			/* points of one, at least */
#define SAMPLES		5			/* at most */
#define KEPT		10			/* of the best */
#define MAX_STEPS	100

/* of wide points */
#define WIDE		20			/* columns */
#define WIDE_STARTS	5000		/* over the columns, */
#define MIN_STARTS	30			/* but not less */
#define WIDE_STEPS	4			/* of each: the best are known only then */
#define WIDE_SAMPLE	5			/* points of a sample for a column */

#define BLOCK		1024		/* points between two checks */
#define NEAR		0.975		/* of chi-squared: what is nearer is no outlier */

typedef struct Params
{
	int32_t		seed;
} Params;

/* A solution: where the points that were chosen are. */
typedef struct Solution
{
	double		determinant;	/* its logarithm */
	double	   *means;			/* [d], then the covariance [d * d] */
} Solution;

/* Points that are looked at, and room for the work on them. */
typedef struct Looking
{
	SpMatrix	points;
	size_t		h;
	double	   *distances;		/* [n] */
	double	   *scratch;		/* [n] */
	bool	   *chosen;			/* [n] */
	double	   *matrix;			/* [d * d] */
	const double *units;		/* [d] the same for all */
	bool		is_examined;
	bool	   *dependent;		/* [d] columns that follow from others; NULL: none do */
	double		removed;		/* the logarithm of the determinant, less that without these */
	SpWork	   *work;
} Looking;

/* How much is tried. */
typedef struct Plan
{
	size_t		points;			/* in all samples together, at most */
	size_t		sample;			/* in one */
	int			starts;			/* in all samples together */
	int			first_steps;	/* of each */
	int			steps;			/* then, with the best of them */
} Plan;

/* That for so many columns. */
static Plan
make_plan(int d)
{
	Plan		plan = {SAMPLE * SAMPLES, SAMPLE, STARTS, 2, 2};

	if (d >= WIDE)
	{
		plan.sample = WIDE_SAMPLE * (size_t) d < SAMPLE ? SAMPLE : WIDE_SAMPLE * (size_t) d;
		plan.points = plan.sample < plan.points ? plan.points : plan.sample;
		plan.starts = WIDE_STARTS / d < MIN_STARTS ? MIN_STARTS : WIDE_STARTS / d;
		plan.first_steps = WIDE_STEPS;
		plan.steps = MAX_STEPS;
	}
	return plan;
}

static size_t
get_size(int d)
{
	return ((size_t) d + (size_t) d * (size_t) d) * sizeof(double);
}

static void
begin(Looking *l, const SpMatrix *points, double part, const double *units, SpWork *work)
{
	l->points = *points;
	l->h = (size_t) ceil(part * (double) points->n);
	l->h = l->h < 1 ? 1 : l->h > points->n ? points->n : l->h;
	l->distances = work->allocate(work, 2 * points->n * sizeof(double));
	l->scratch = l->distances + points->n;
	l->chosen = work->allocate(work, points->n * sizeof(bool));
	l->matrix = work->allocate(work, (size_t) points->d * (size_t) points->d * sizeof(double));
	l->units = units;
	l->is_examined = false;
	l->dependent = NULL;
	l->removed = 0;
	l->work = work;
}

static void
end(Looking *l)
{
	if (l->dependent != NULL)
		l->work->release(l->work, l->dependent);
	l->work->release(l->work, l->matrix);
	l->work->release(l->work, l->chosen);
	l->work->release(l->work, l->distances);
}

/*
 * Are all points singular?  Then each choice of them would be, and go without Cholesky.  Without
 * the columns that follow from others distances are the same, and determinants but for a factor.
 */
static void
examine(Looking *l)
{
	size_t		d = (size_t) l->points.d;
	double	   *means = l->work->allocate(l->work, get_size(l->points.d));
	double		determinant;
	int			rank;

	l->is_examined = true;
	l->dependent = l->work->allocate(l->work, d * sizeof(bool));
	sp_eigen_covariance(&l->points, NULL, means, means + d, l->work);
	memcpy(l->matrix, means + d, d * d * sizeof(double));
	l->removed = sp_eigen_whiten(l->matrix, l->points.d, l->units, &rank, l->work);
	if (rank == l->points.d ||
		rank != sp_cholesky_find_dependent(means + d, l->points.d, l->units, l->dependent,
										   &determinant, l->work))
	{
		l->work->release(l->work, l->dependent);
		l->dependent = NULL;
		determinant = l->removed;
	}
	l->removed -= determinant;
	l->work->release(l->work, means);
}

/* The distances of all points by a solution that Cholesky can do. */
static bool
try_measure(Looking *l, const double *means, double *determinant)
{
	size_t		d = (size_t) l->points.d;

	memcpy(l->matrix, means + d, d * d * sizeof(double));
	if (!sp_cholesky_factor(l->matrix, l->points.d, l->units, l->dependent, determinant, l->work))
		return false;
	*determinant += l->removed;
	sp_cholesky_distances(&l->points, means, l->matrix, l->distances, l->work);
	return true;
}

/* The distances of all points by a solution, even a singular one; its determinant. */
static double
measure_singular(Looking *l, const double *means)
{
	size_t		d = (size_t) l->points.d;

	memcpy(l->matrix, means + d, d * d * sizeof(double));
	return sp_eigen_distances(&l->points, means, l->matrix, l->units, l->distances, l->work);
}

/* The same by whatever is faster. */
static double
measure(Looking *l, const double *means)
{
	double		determinant;

	if (try_measure(l, means, &determinant))
		return determinant;
	if (!l->is_examined)
	{
		examine(l);
		if (l->dependent != NULL && try_measure(l, means, &determinant))
			return determinant;
	}
	return measure_singular(l, means);
}

/* Choose the h nearest; of those at the h-th distance the first. */
static void
choose_nearest(Looking *l)
{
	size_t		left = l->h;
	double		limit;

	memcpy(l->scratch, l->distances, l->points.n * sizeof(double));
	limit = sp_order_select(l->scratch, l->points.n, l->h - 1, l->work);
	for (size_t i = 0; i < l->points.n; i++)
	{
		l->chosen[i] = l->distances[i] < limit;
		left -= l->chosen[i];
		if (i % BLOCK == 0)
			l->work->check(l->work);
	}
	for (size_t i = 0; i < l->points.n && left > 0; i++)
	{
		if (l->chosen[i] || l->distances[i] > limit)
			continue;
		l->chosen[i] = true;
		left--;
	}
}

/*
 * Up to so many steps; the determinant is that of what the last one began with.  True: nothing
 * changes any more.
 */
static bool
take_steps(Looking *l, Solution *s, int steps)
{
	double		last = INFINITY;

	for (int i = 0; i < steps; i++)
	{
		s->determinant = measure(l, s->means);
		if (!(s->determinant < last))
			return true;
		last = s->determinant;
		choose_nearest(l);
		sp_eigen_covariance(&l->points, l->chosen, s->means, s->means + l->points.d, l->work);
	}
	return false;
}

/* A start without chance: the points nearest to the columns' medians. */
static void
start_nearest(Looking *l, Solution *s, const double *medians)
{
	size_t		d = (size_t) l->points.d;

	for (size_t i = 0; i < l->points.n; i++)
	{
		const double *x = l->points.x + i * d;

		l->distances[i] = 0;
		for (size_t j = 0; j < d; j++)
			l->distances[i] += pow((x[j] - medians[j]) / l->units[j], 2);
		if (i % BLOCK == 0 || d > 64)
			l->work->check(l->work);
	}
	choose_nearest(l);
	sp_eigen_covariance(&l->points, l->chosen, s->means, s->means + l->points.d, l->work);
}

/* A start: mean and covariance of d + 1 points by chance, of wide points of h. */
static void
start(Looking *l, Solution *s, SpRandom *random)
{
	size_t		m = l->points.d < WIDE ? (size_t) l->points.d + 1 : l->h;
	size_t	   *sample;

	m = m < l->points.n ? m : l->points.n;
	sample = l->work->allocate(l->work, m * sizeof(size_t));
	sp_random_sample(random, l->points.n, m, sample, l->work);
	memset(l->chosen, 0, l->points.n * sizeof(bool));
	for (size_t i = 0; i < m; i++)
		l->chosen[sample[i]] = true;
	sp_eigen_covariance(&l->points, l->chosen, s->means, s->means + l->points.d, l->work);
	l->work->release(l->work, sample);
}

/* Keep a solution if it is among the best; the last one's place is free for the next. */
static void
keep(Solution *solutions, int *n, int most)
{
	int			at = *n;
	Solution	s = solutions[at];

	for (; at > 0 && solutions[at - 1].determinant > s.determinant; at--)
		solutions[at] = solutions[at - 1];
	solutions[at] = s;
	if (*n < most)
		++*n;
}

/* Room for most solutions and the one at work. */
static Solution *
make_solutions(int most, int d, SpWork *work)
{
	Solution   *solutions = work->allocate(work, (size_t) (most + 1) * sizeof(Solution));
	char	   *memory = work->allocate(work, (size_t) (most + 1) * get_size(d));

	for (int i = 0; i <= most; i++)
	{
		solutions[i].determinant = INFINITY;
		solutions[i].means = (double *) (memory + (size_t) i * get_size(d));
	}
	return solutions;
}

/* Some of the points, in an order by chance. */
static SpMatrix
take_sample(const SpMatrix *points, size_t m, SpRandom *random, SpWork *work)
{
	size_t		d = (size_t) points->d;
	size_t	   *sample = work->allocate(work, m * sizeof(size_t));
	double	   *x = work->allocate(work, m * d * sizeof(double));
	SpMatrix	taken = {x, m, points->d};

	sp_random_sample(random, points->n, m, sample, work);
	for (size_t i = m; i > 1; i--)
	{
		size_t		j = sp_random_below(random, i);
		size_t		swap = sample[i - 1];

		sample[i - 1] = sample[j];
		sample[j] = swap;
	}
	for (size_t i = 0; i < m; i++)
		memcpy(x + i * d, points->x + sample[i] * d, d * sizeof(double));
	work->release(work, sample);
	return taken;
}

/* Units of the columns, on which outliers have no bearing, and behind these the medians. */
static double *
find_units(const SpMatrix *sample, SpWork *work)
{
	size_t		d = (size_t) sample->d;
	double	   *units = work->allocate(work, 2 * d * sizeof(double));
	double	   *scratch = work->allocate(work, sample->n * sizeof(double));

	for (size_t j = 0; j < d; j++)
	{
		SpColumn	c;

		sp_order_describe(sample, (int) j, scratch, &c, work);
		units[j] = c.q3 - c.q1;
		if (!(units[j] > 0))
			units[j] = c.deviation;
		if (!(units[j] > 0))
			units[j] = 1;
		units[d + j] = c.median;
	}
	work->release(work, scratch);
	return units;
}

/* The best of so many starts in a sample, the first of which is free; how many there are. */
static int
search(Looking *l, int starts, int steps, Solution *solutions, SpRandom *random)
{
	int			n = 0;

	for (int i = 0; i < starts; i++)
	{
		if (i == 0 && l->points.d >= WIDE)
			start_nearest(l, &solutions[n], l->units + l->points.d);
		else
			start(l, &solutions[n], random);
		take_steps(l, &solutions[n], steps);
		keep(solutions, &n, KEPT);
		l->work->check(l->work);
	}
	return n;
}

/* The best of many starts in small samples, then in all of these together. */
static Solution *
find_candidates(const SpMatrix *sample, double part, const double *units, int *n, SpRandom *random,
				SpWork *work)
{
	const Plan	plan = make_plan(sample->d);
	int			nsamples = sample->n / plan.sample < 1 ? 1 : (int) (sample->n / plan.sample);
	Solution   *found = make_solutions(KEPT * SAMPLES, sample->d, work);
	Solution   *best = make_solutions(KEPT, sample->d, work);
	int			nfound = 0;
	Looking		l;

	for (int s = 0; s < nsamples; s++)
	{
		size_t		first = sample->n * (size_t) s / (size_t) nsamples;
		SpMatrix	points = {sample->x + first * (size_t) sample->d,
		sample->n * (size_t) (s + 1) / (size_t) nsamples - first, sample->d};

		begin(&l, &points, part, units, work);
		/* where all points are chosen, one start is as good as all */
		nfound += search(&l, part < 1 ? plan.starts / nsamples : 1, plan.first_steps,
						 found + nfound, random);
		end(&l);
	}
	*n = 0;
	begin(&l, sample, part, units, work);
	for (int i = 0; i < nfound; i++)
	{
		memcpy(best[*n].means, found[i].means, get_size(sample->d));
		take_steps(&l, &best[*n], plan.steps);
		keep(best, n, KEPT);
	}
	end(&l);
	return best;
}

/* Mean and covariance of all that are no outliers by those given. */
static void
reweight(Looking *l, const double *means, double *final)
{
	size_t		n = l->points.n;
	int			d = l->points.d;
	double		correction;
	double		limit;

	(void) measure_singular(l, means);
	memcpy(l->scratch, l->distances, n * sizeof(double));
	correction = sp_order_quantile(l->scratch, n, 0.5, l->work) / sp_chi_squared_above(d, 0.5);
	limit = sp_chi_squared_above(d, 1 - NEAR) * correction;
	for (size_t i = 0; i < n; i++)
		l->chosen[i] = l->distances[i] < limit || !(correction > 0);
	sp_eigen_covariance(&l->points, l->chosen, final, final + d, l->work);
}

/* Mean and covariance of those that are chosen in the end, and who they are; to be ended. */
static double *
find_closest(int32_t seed, const SpMatrix *points, Looking *l, SpWork *work)
{
	SpRandom	random = sp_random_begin(seed, 0);
	double		part = fmin(1, ((double) points->n + points->d + 1) / (2 * (double) points->n));
	size_t		most = make_plan(points->d).points;
	SpMatrix	sample = take_sample(points, points->n < most ? points->n : most, &random, work);
	double	   *units = find_units(&sample, work);
	int			n;
	Solution   *candidates = find_candidates(&sample, part, units, &n, &random, work);
	Solution   *best = make_solutions(1, points->d, work);
	int			nbest = 0;

	begin(l, points, part, units, work);
	for (int i = 0; i < n; i++)
	{
		memcpy(best[nbest].means, candidates[i].means, get_size(points->d));
		take_steps(l, &best[nbest], 2);
		keep(best, &nbest, 1);
	}
	take_steps(l, &best[0], MAX_STEPS);
	return best[0].means;
}

double
sp_mcd_choose(int32_t seed, const SpMatrix *points, bool *chosen, SpWork *work)
{
	Looking		l;
	double	   *means = find_closest(seed, points, &l, work);
	double		determinant = measure(&l, means);

	choose_nearest(&l);
	memcpy(chosen, l.chosen, points->n * sizeof(bool));
	end(&l);
	return determinant;
}

/* Mean and covariance, to be released. */
static double *
find_covariance(const void *params, const SpMatrix *points, SpWork *work)
{
	double	   *final = work->allocate(work, get_size(points->d));
	Looking		l;
	double	   *means = find_closest(((const Params *) params)->seed, points, &l, work);

	reweight(&l, means, final);
	end(&l);
	return final;
}

static void
score(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	double	   *means = find_covariance(params, points, work);

	(void) sp_eigen_distances(points, means, means + points->d, NULL, scores, work);
	work->release(work, means);
}

static void *
train(const void *params, const SpGather *gather, SpWork *work, size_t *size)
{
	SpMatrix	points = sp_gather_points(gather);
	double	   *means = find_covariance(params, &points, work);

	return sp_whiten_model_make(means, means + points.d, points.d, work, size);
}

/* ---- the kernel ---- */

static const SpParam param_table[] = {
	{"seed", SP_PARAM_INT, offsetof(Params, seed), SP_BATCH_SEED, INT32_MIN, INT32_MAX,
	"what is chosen by chance follows from it", NULL, NULL}
};

static double
estimate_memory(const void *params, double n, int d)
{
	(void) params;
	return n * (2 * sizeof(double) + 1) + (KEPT * (SAMPLES + 1) + 10.0) * (double) get_size(d) +
		(double) make_plan(d).points * (d + 5.0) * sizeof(double) + 40.0 * d * sizeof(double) + 1e5;
}

const SpBatchKernel sp_batch_mcd = {
	.name = "mcd",
	.summary = "the squared distance by mean and covariance of the half that lies closest together",
	.reference = "P. J. Rousseeuw, K. Van Driessen, Technometrics 41, 1999",
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(Params),
	.memory = estimate_memory,
	.score = score
};

const SpModelKernel sp_model_mcd = {
	.number = 6,
	.name = "mcd",
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(Params),
	.gathers = SP_GATHER_ALL,
	.memory = estimate_memory,
	.train = train,
	.is_sound = sp_whiten_model_is_sound,
	.score = sp_whiten_model_score,
	.explain = sp_whiten_model_explain
};
