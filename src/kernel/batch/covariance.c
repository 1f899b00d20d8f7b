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

#define BLOCK	1024			/* points between two checks */

/* ---- mahalanobis ---- */

static void
score_mahalanobis(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	size_t		d = (size_t) points->d;
	double	   *means = work->allocate(work, (d + d * d) * sizeof(double));

	(void) params;
	sp_eigen_covariance(points, NULL, means, means + d, work);
	(void) sp_eigen_distances(points, means, means + d, scores, work);
	work->release(work, means);
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

/* Add the distances from v, over w. */
static void
add_component(const SpMatrix *points, const double *v, double w, double *scores)
{
	size_t		d = (size_t) points->d;

	for (size_t i = 0; i < points->n; i++)
	{
		double		sum = 0;

		for (size_t j = 0; j < d; j++)
			sum += (points->x[i * d + j] - v[j]) * (points->x[i * d + j] - v[j]);
		scores[i] += sqrt(sum) / w;
	}
}

static void
score_pca(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	size_t		d = (size_t) points->d;
	double	   *means = work->allocate(work, (2 * d + d * d) * sizeof(double));
	double	   *values = means + d;
	double	   *vectors = values + d;
	SpMatrix	scaled = *points;
	double	   *x = sp_scale_points(SP_SCALE_ZSCORE, points, work);
	double		whole = 0;

	(void) params;
	scaled.x = x;
	sp_eigen_covariance(&scaled, NULL, means, vectors, work);
	sp_eigen_symmetric(vectors, points->d, values, work);
	memset(scores, 0, points->n * sizeof(double));
	for (size_t r = 0; r < d; r++)
		whole += values[r] > 0 ? values[r] : 0;
	for (size_t r = 0; r < d && r < points->n && values[r] > 1e-12 * whole; r++)
	{
		orient(&scaled, vectors + r * d);
		add_component(&scaled, vectors + r * d, values[r] / whole, scores);
		work->check(work);
	}
	work->release(work, x);
	work->release(work, means);
}

/* ---- the kernels ---- */

static double
estimate_mahalanobis(const void *params, double n, int d)
{
	(void) params;
	(void) n;
	return (double) d * d * sizeof(double) + 1e4;
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
