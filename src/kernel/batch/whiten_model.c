/*
 * whiten_model.c
 *	  A mean and a covariance as a model's body: squared Mahalanobis distances.
 */
#include "kernel/batch/whiten_model.h"

#include <math.h>
#include <string.h>

#include "kernel/batch/eigen.h"

/* Behind it: double means[d], rows[rank * d]. */
typedef struct Body
{
	int64_t		rank;
} Body;

static inline const double *
get_means(const Body *body)
{
	return (const double *) (body + 1);
}

static size_t
get_size(int d, int rank)
{
	return sizeof(Body) + ((size_t) rank + 1) * (size_t) d * sizeof(double);
}

void *
sp_whiten_model_make(const double *means, double *covariance, int d, SpWork *work, size_t *size)
{
	int			rank;
	Body	   *body;
	double	   *to;

	(void) sp_eigen_whiten(covariance, d, NULL, &rank, work);
	*size = get_size(d, rank);
	body = work->allocate(work, *size);
	body->rank = rank;
	to = (double *) (body + 1);
	memcpy(to, means, (size_t) d * sizeof(double));
	memcpy(to + d, covariance, (size_t) rank * (size_t) d * sizeof(double));
	return body;
}

bool
sp_whiten_model_is_sound(const SpModelView *model)
{
	const Body *body = model->body;

	if (model->size < sizeof(Body) || body->rank < 0 || body->rank > model->d ||
		model->size != get_size(model->d, (int) body->rank))
		return false;
	for (int i = 0; i < ((int) body->rank + 1) * model->d; i++)
	{
		if (!isfinite(get_means(body)[i]))
			return false;
	}
	return true;
}

double
sp_whiten_model_score(const SpModelView *model, const double *x, double *scratch)
{
	const Body *body = model->body;
	const double *means = get_means(body);

	return sp_eigen_distance(means, means + model->d, (int) body->rank, model->d, x, scratch);
}

void
sp_whiten_model_explain(const SpModelView *model, const double *x, double *parts, double *scratch)
{
	const Body *body = model->body;
	const double *means = get_means(body);
	int			d = model->d;

	memset(parts, 0, (size_t) d * sizeof(double));
	for (int j = 0; j < d; j++)
		scratch[j] = x[j] - means[j];
	for (int r = 0; r < (int) body->rank; r++)
	{
		const double *row = means + ((size_t) r + 1) * (size_t) d;
		double		projection = 0;

		for (int j = 0; j < d; j++)
			projection += row[j] * scratch[j];
		for (int j = 0; j < d; j++)
			parts[j] += projection * row[j] * scratch[j];
	}
}
