/*
 * covariance.c
 *	  Methods that look at how columns vary together.
 */
#include "kernel/batch/covariance.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/batch/eigen.h"
#include "kernel/batch/scale.h"
#include "kernel/batch/whiten_model.h"

#define BLOCK	1024			/* points between two checks */

/* ---- mahalanobis ---- */

/* Means and sums of products, as those have them that gather points one by one. */
static void
score_mahalanobis(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	size_t		d = (size_t) points->d;
	double	   *means = work->allocate(work, (2 * d + d * d) * sizeof(double));
	double	   *sums = means + d;

	(void) params;
	memset(means, 0, (d + d * d) * sizeof(double));
	for (size_t i = 0; i < points->n; i++)
	{
		sp_gather_add_moments(means, sums, points->d, (double) (i + 1), points->x + i * d,
							  sums + d * d);
		if (i % BLOCK == 0 || d > 64)
			work->check(work);
	}
	sp_gather_covariance(sums, points->d, (double) points->n, sums);
	(void) sp_eigen_distances(points, means, sums, NULL, scores, work);
	work->release(work, means);
}

static void *
train_mahalanobis(const void *params, const SpGather *gather, SpWork *work, size_t *size)
{
	size_t		d = (size_t) gather->d;
	double	   *covariance = work->allocate(work, d * d * sizeof(double));
	void	   *body;

	(void) params;
	sp_gather_covariance(gather->x + d, gather->d, (double) gather->n, covariance);
	body = sp_whiten_model_make(gather->x, covariance, gather->d, work, size);
	work->release(work, covariance);
	return body;
}

/* ---- pca_score ---- */

/* The largest projection of a point on v is to be positive. */
static void
orient(const SpMatrix *points, double *v)
{
	size_t		d = (size_t) points->d;
	double		largest = 0;

	for (size_t i = 0; i < points->n; i++)
	{
		double		projection = 0;

		for (size_t j = 0; j < d; j++)
			projection += points->x[i * d + j] * v[j];
		if (fabs(projection) > fabs(largest))
			largest = projection;
	}
	for (size_t j = 0; j < d && largest < 0; j++)
		v[j] = -v[j];
}

/* A body; behind it: double centers[d], units[d], weights[rank], vectors[rank * d]. */
typedef struct Components
{
	int64_t		rank;
} Components;

static inline double *
get_centers(const Components *c)
{
	return (double *) (c + 1);
}

static size_t
get_size(int d, int rank)
{
	return sizeof(Components) + ((size_t) rank * ((size_t) d + 1) + 2 * (size_t) d) * sizeof(double);
}

/* The sum over the components of the distance of y, which is scaled, from v, over w. */
static double
add_components(const Components *c, int d, const double *y)
{
	const double *weights = get_centers(c) + 2 * d;
	const double *v = weights + c->rank;
	double		score = 0;

	for (int r = 0; r < (int) c->rank; r++, v += d)
	{
		double		sum = 0;

		for (int j = 0; j < d; j++)
			sum += (y[j] - v[j]) * (y[j] - v[j]);
		score += sqrt(sum) / weights[r];
	}
	return score;
}

/* The components of points that are scaled. */
static Components *
find_components(const SpMatrix *scaled, SpWork *work)
{
	size_t		d = (size_t) scaled->d;
	double	   *means = work->allocate(work, (2 * d + d * d) * sizeof(double));
	double	   *values = means + d;
	double	   *vectors = values + d;
	double		whole = 0;
	size_t		rank = 0;
	Components *c;
	double	   *weights;

	sp_eigen_covariance(scaled, NULL, means, vectors, work);
	sp_eigen_symmetric(vectors, scaled->d, values, work);
	for (size_t r = 0; r < d; r++)
		whole += values[r] > 0 ? values[r] : 0;
	while (rank < d && rank < scaled->n && values[rank] > 1e-12 * whole)
		rank++;
	c = work->allocate(work, get_size(scaled->d, (int) rank));
	c->rank = (int64_t) rank;
	weights = get_centers(c) + 2 * d;
	for (size_t r = 0; r < rank; r++)
	{
		orient(scaled, vectors + r * d);
		weights[r] = values[r] / whole;
		work->check(work);
	}
	memcpy(weights + rank, vectors, rank * d * sizeof(double));
	work->release(work, means);
	return c;
}

static void
score_pca(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	SpMatrix	scaled = *points;
	double	   *x = sp_scale_points(SP_SCALE_ZSCORE, points, work);
	Components *c;

	(void) params;
	scaled.x = x;
	c = find_components(&scaled, work);
	for (size_t i = 0; i < points->n; i++)
	{
		scores[i] = add_components(c, points->d, x + i * (size_t) points->d);
		if (i % BLOCK == 0 || points->d > 64)
			work->check(work);
	}
	work->release(work, c);
	work->release(work, x);
}

static void *
train_pca(const void *params, const SpGather *gather, SpWork *work, size_t *size)
{
	SpMatrix	points = sp_gather_points(gather);
	SpMatrix	scaled = points;
	double	   *x = sp_scale_points(SP_SCALE_ZSCORE, &points, work);
	Components *c;

	(void) params;
	scaled.x = x;
	c = find_components(&scaled, work);
	work->release(work, x);
	*size = get_size(points.d, (int) c->rank);
	for (int j = 0; j < points.d; j++)
		sp_scale_find(SP_SCALE_ZSCORE, &points, j, NULL, get_centers(c) + j,
					  get_centers(c) + points.d + j, work);
	return c;
}

static bool
is_pca_sound(const SpModelView *model)
{
	const Components *c = model->body;
	int			d = model->d;

	if (model->size < sizeof(Components) || c->rank < 0 || c->rank > d ||
		model->size != get_size(d, (int) c->rank))
		return false;
	for (int i = 0; i < 2 * d + (int) c->rank * (d + 1); i++)
	{
		if (!isfinite(get_centers(c)[i]) ||
			(i >= 2 * d && i < 2 * d + c->rank && !(get_centers(c)[i] > 0)))
			return false;
	}
	return true;
}

/* A point's numbers on the model's scale. */
static void
scale_point(const SpModelView *model, const double *x, double *y)
{
	const double *centers = get_centers(model->body);

	for (int j = 0; j < model->d; j++)
		y[j] = sp_scale_limit((x[j] - centers[j]) * centers[model->d + j]);
}

static double
score_point_pca(const SpModelView *model, const double *x, double *scratch)
{
	scale_point(model, x, scratch);
	return add_components(model->body, model->d, scratch);
}

/* Of each distance as much as of its square. */
static void
explain_pca(const SpModelView *model, const double *x, double *parts, double *scratch)
{
	const Components *c = model->body;
	int			d = model->d;
	const double *weights = get_centers(c) + 2 * d;
	const double *v = weights + c->rank;

	memset(parts, 0, (size_t) d * sizeof(double));
	scale_point(model, x, scratch);
	for (int r = 0; r < (int) c->rank; r++, v += d)
	{
		double		sum = 0;

		for (int j = 0; j < d; j++)
			sum += (scratch[j] - v[j]) * (scratch[j] - v[j]);
		for (int j = 0; j < d && sum > 0; j++)
			parts[j] += (scratch[j] - v[j]) * (scratch[j] - v[j]) / sqrt(sum) / weights[r];
	}
}

/* ---- the kernels ---- */

static double
estimate_mahalanobis(const void *params, double n, int d)
{
	(void) params;
	(void) n;
	return (2.0 * d * d + 6.0 * d) * sizeof(double) + 1e4;
}

static double
estimate_pca(const void *params, double n, int d)
{
	return n * (d + 1.0) * sizeof(double) + estimate_mahalanobis(params, n, d);
}

const SpBatchKernel sp_batch_mahalanobis = {
	.name = "mahalanobis",
	.summary = "the squared distance from the mean, in units of the covariance",
	.reference = "P. C. Mahalanobis, 1936",
	.memory = estimate_mahalanobis,
	.score = score_mahalanobis
};

const SpBatchKernel sp_batch_pca_score = {
	.name = "pca_score",
	.summary = "distances from the principal components, those of little variance counting most",
	.reference = "M.-L. Shyu, S.-C. Chen, K. Sarinnapakorn, L. Chang, 2003",
	.memory = estimate_pca,
	.score = score_pca
};

const SpModelKernel sp_model_mahalanobis = {
	.number = 5,
	.name = "mahalanobis",
	.gathers = SP_GATHER_MOMENTS,
	.memory = estimate_mahalanobis,
	.train = train_mahalanobis,
	.is_sound = sp_whiten_model_is_sound,
	.score = sp_whiten_model_score,
	.explain = sp_whiten_model_explain
};

const SpModelKernel sp_model_pca = {
	.number = 4,
	.name = "pca",
	.gathers = SP_GATHER_ALL,
	.memory = estimate_pca,
	.train = train_pca,
	.is_sound = is_pca_sound,
	.score = score_point_pca,
	.explain = explain_pca
};
