/*
 * matrix_profile.c
 *	  How unlike all others each stretch of a series is.
 *
 * Pairs of stretches that begin equally far apart are a diagonal; some diagonals next to one
 * another go along side by side.  The nearest is found by correlations, and its distance then
 * made from the values, for beside 1 a correlation says little of how small a distance is.
 */
#include "kernel/batch/matrix_profile.h"

#include <math.h>
#include <string.h>

#define LANES	8				/* diagonals side by side */
#define STEPS	(1 << 16)		/* between two checks */

/* What is known of each stretch. */
typedef struct Profile
{
	const double *x;
	size_t		m;
	size_t		n;				/* stretches */
	double	   *mean;			/* [n + LANES] */
	double	   *inverse;		/* likewise: 1 / root of the sum of squares about the mean; 0: constant */
	double	   *df;				/* likewise: see SCAMP; 0 for the first */
	double	   *dg;
	double	   *best;			/* likewise: correlation with the nearest */
	double	   *place;			/* likewise: where that begins */
	SpWork	   *work;
} Profile;

/* Mean and sum of squares of a stretch, by its values. */
static void
describe(const Profile *p, size_t i, double *mean, double *squares)
{
	const double *x = p->x + i;
	double		sum = 0;

	*squares = 0;
	for (size_t k = 0; k < p->m; k++)
		sum += x[k] - x[0];
	*mean = x[0] + sum / (double) p->m;
	for (size_t k = 0; k < p->m; k++)
		*squares += (x[k] - *mean) * (x[k] - *mean);
}

/* Is the stretch constant? */
static bool
is_constant(const Profile *p, size_t i)
{
	for (size_t k = 1; k < p->m; k++)
	{
		if (p->x[i + k] != p->x[i])
			return false;
	}
	return true;
}

static void
describe_all(Profile *p)
{
	for (size_t i = 0; i < p->n; i++)
	{
		double		squares;

		describe(p, i, &p->mean[i], &squares);
		p->inverse[i] = squares > 0 && !is_constant(p, i) ? 1 / sqrt(squares) : 0;
		p->best[i] = -INFINITY;
		p->place[i] = -1;
		if (i > 0)
		{
			double		out = p->x[i - 1];
			double		in = p->x[i + p->m - 1];

			p->df[i] = (in - out) / 2;
			p->dg[i] = (in - p->mean[i]) + (out - p->mean[i - 1]);
		}
		if (i % 1024 == 0)
			p->work->check(p->work);
	}
}

/* The covariance of two stretches, times m. */
static double
get_covariance(const Profile *p, size_t i, size_t j)
{
	double		sum = 0;

	for (size_t k = 0; k < p->m; k++)
		sum += (p->x[i + k] - p->mean[i]) * (p->x[j + k] - p->mean[j]);
	return sum;
}

/* LANES pairs, of the stretch i and those from j on. */
static inline void
step(Profile *p, size_t i, size_t j, double *covariance)
{
	double		df = p->df[i];
	double		dg = p->dg[i];
	double		inverse = p->inverse[i];
	double		correlation[LANES];

	for (int lane = 0; lane < LANES; lane++)
	{
		covariance[lane] += df * p->dg[j + lane] + p->df[j + lane] * dg;
		correlation[lane] = covariance[lane] * inverse * p->inverse[j + lane];
	}
	for (int lane = 0; lane < LANES; lane++)
	{
		bool		better = correlation[lane] > p->best[j + lane];

		p->place[j + lane] = better ? (double) i : p->place[j + lane];
		p->best[j + lane] = better ? correlation[lane] : p->best[j + lane];
	}
	for (int lane = 0; lane < LANES; lane++)
	{
		if (correlation[lane] > p->best[i])
		{
			p->best[i] = correlation[lane];
			p->place[i] = (double) (j + lane);
		}
	}
}

/* The diagonals of pairs that begin `apart` and up to LANES - 1 more from one another. */
static void
walk(Profile *p, size_t apart)
{
	double		covariance[LANES] = {0};
	size_t		whole = p->n - apart > LANES - 1 ? p->n - apart - (LANES - 1) : 0;

	for (int lane = 0; lane < LANES && apart + lane < p->n; lane++)
	{
		covariance[lane] = get_covariance(p, 0, apart + lane);
		/* the first step adds what leads to it */
		covariance[lane] -= p->df[0] * p->dg[apart + lane] + p->df[apart + lane] * p->dg[0];
	}
	for (size_t i = 0; i < whole; i++)
	{
		step(p, i, i + apart, covariance);
		if (i % STEPS == STEPS - 1)
			p->work->check(p->work);
	}
	/* the ends of the diagonals, one lane less with each step */
	for (size_t i = whole; i + apart < p->n; i++)
	{
		for (size_t lane = 0; i + apart + lane < p->n; lane++)
		{
			size_t		j = i + apart + lane;
			double		correlation;

			covariance[lane] += p->df[i] * p->dg[j] + p->df[j] * p->dg[i];
			correlation = covariance[lane] * p->inverse[i] * p->inverse[j];
			if (correlation > p->best[i])
			{
				p->best[i] = correlation;
				p->place[i] = (double) j;
			}
			if (correlation > p->best[j])
			{
				p->best[j] = correlation;
				p->place[j] = (double) i;
			}
		}
	}
	p->work->check(p->work);
}

/* The distance of two stretches. */
static double
get_distance(const Profile *p, size_t i, size_t j)
{
	double		sum = 0;

	if (!(p->inverse[i] > 0) || !(p->inverse[j] > 0))
		return p->inverse[i] > 0 || p->inverse[j] > 0 ? sqrt((double) p->m) : 0;
	for (size_t k = 0; k < p->m; k++)
	{
		double		difference = (p->x[i + k] - p->mean[i]) * p->inverse[i] -
			(p->x[j + k] - p->mean[j]) * p->inverse[j];

		sum += difference * difference;
	}
	return sqrt(sum * (double) p->m);
}

/*
 * Constant stretches have a correlation of 0 with all: of two the distance is 0, with another it
 * is sqrt(m), which is that of correlation 1/2.  The nearest of those that have a better one stays.
 */
static void
settle_constant(Profile *p, size_t zone)
{
	size_t		last = SIZE_MAX;
	size_t		first = SIZE_MAX;

	for (size_t i = 0; i < p->n; i++)
	{
		if (p->inverse[i] > 0)
			continue;
		first = first == SIZE_MAX ? i : first;
		last = i;
	}
	for (size_t i = 0; i < p->n && first != SIZE_MAX; i++)
	{
		/* the constant one that is the farthest away */
		size_t		to_first = first > i ? first - i : i - first;
		size_t		to_last = last > i ? last - i : i - last;
		size_t		other = to_first > to_last ? first : last;

		if ((to_first > to_last ? to_first : to_last) <= zone)
			continue;
		if (!(p->inverse[i] > 0))
			p->place[i] = (double) other;
		else if (p->best[i] < 0.5)
			p->place[i] = (double) other;
	}
}

static double *
make_column(Profile *p)
{
	double	   *column = p->work->allocate(p->work, (p->n + LANES) * sizeof(double));

	memset(column, 0, (p->n + LANES) * sizeof(double));
	return column;
}

void
sp_matrix_profile(const double *x, size_t n, size_t m, double *distances, int64_t *neighbours,
				  SpWork *work)
{
	Profile		p = {.x = x, .m = m, .n = n - m + 1, .work = work};
	size_t		zone = (m + 3) / 4;

	p.mean = make_column(&p);
	p.inverse = make_column(&p);
	p.df = make_column(&p);
	p.dg = make_column(&p);
	p.best = make_column(&p);
	p.place = make_column(&p);
	describe_all(&p);
	for (size_t apart = zone + 1; apart < p.n; apart += LANES)
		walk(&p, apart);
	settle_constant(&p, zone);
	for (size_t i = 0; i < p.n; i++)
	{
		neighbours[i] = (int64_t) p.place[i];
		distances[i] = neighbours[i] < 0 ? NAN : get_distance(&p, i, (size_t) neighbours[i]);
	}
	work->release(work, p.place);
	work->release(work, p.best);
	work->release(work, p.dg);
	work->release(work, p.df);
	work->release(work, p.inverse);
	work->release(work, p.mean);
}

/* ---- the kernel ---- */

typedef struct Params
{
	int32_t		m;
} Params;

static const SpParam param_table[] = {
	{"m", SP_PARAM_INT, offsetof(Params, m), NAN, SP_MATRIX_PROFILE_MIN, 1000000,
	"values of a stretch", NULL, "none: it must be given"}
};

static double
estimate_memory(const void *params, double n, int d)
{
	(void) params;
	(void) d;
	return n * (6 * sizeof(double) + sizeof(int64_t)) + 6 * LANES * sizeof(double);
}

static void
score(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	size_t		m = (size_t) ((const Params *) params)->m;
	int64_t    *neighbours;

	for (size_t i = 0; i < points->n; i++)
		scores[i] = NAN;
	if (points->n < m)
		return;
	neighbours = work->allocate(work, (points->n - m + 1) * sizeof(int64_t));
	sp_matrix_profile(points->x, points->n, m, scores, neighbours, work);
	work->release(work, neighbours);
}

const SpBatchKernel sp_batch_matrix_profile = {
	.name = "matrix_profile",
	.summary = "how unlike all others the stretch of m rows is that begins with the row",
	.reference = "C.-C. M. Yeh and others, Matrix profile I, ICDM 2016",
	.max_columns = 1,
	.is_series = true,
	.period = sp_batch_straight,
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(Params),
	.memory = estimate_memory,
	.score = score
};
