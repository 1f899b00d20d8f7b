/*
 * gather.c
 *	  What is kept of points that come one by one, until a model is made of them.
 */
#include "kernel/batch/gather.h"

#include <string.h>

#define PURPOSE		0x6761		/* of numbers by chance */

void
sp_gather_begin(SpGather *gather, SpGathering kind, int d, uint64_t most, int64_t seed)
{
	memset(gather, 0, sizeof(SpGather));
	gather->kind = kind;
	gather->d = d;
	gather->most = kind == SP_GATHER_SAMPLE ? most : 0;
	gather->random = sp_random_begin(seed, PURPOSE);
}

double
sp_gather_size(const SpGather *gather, double points)
{
	double		d = gather->d;

	if (gather->kind == SP_GATHER_MOMENTS)
		return (d + d * d) * sizeof(double);
	if (gather->kind == SP_GATHER_SAMPLE && points > (double) gather->most)
		points = (double) gather->most;
	return points * d * sizeof(double);
}

/* One of the numbers 0 to n - 1, n of any size. */
static uint64_t
choose_below(SpRandom *random, uint64_t n)
{
	if (n <= UINT32_MAX)
		return sp_random_below(random, n);
	return sp_random_bits(random) % n;
}

void
sp_gather_add_moments(double *means, double *sums, int d, double n, const double *x,
					  double *scratch)
{
	double		part = 1 / n;

	for (int j = 0; j < d; j++)
	{
		scratch[j] = x[j] - means[j];
		means[j] += scratch[j] * part;
	}
	for (int j = 0; j < d; j++)
	{
		double	   *row = sums + (size_t) j * (size_t) d;
		double		after = x[j] - means[j];

		for (int k = 0; k <= j; k++)
			row[k] += after * scratch[k];
	}
}

void
sp_gather_covariance(const double *sums, int d, double n, double *covariance)
{
	for (int j = 0; j < d; j++)
	{
		for (int k = 0; k <= j; k++)
		{
			double		c = sums[(size_t) j * (size_t) d + (size_t) k] / n;

			covariance[(size_t) j * (size_t) d + (size_t) k] = c;
			covariance[(size_t) k * (size_t) d + (size_t) j] = c;
		}
	}
}

void
sp_gather_add(SpGather *gather, const double *x, double *scratch)
{
	size_t		d = (size_t) gather->d;
	uint64_t	at;

	gather->n++;
	if (gather->kind == SP_GATHER_MOMENTS)
	{
		if (gather->n == 1)
			memset(gather->x, 0, (d + d * d) * sizeof(double));
		sp_gather_add_moments(gather->x, gather->x + d, gather->d, (double) gather->n, x, scratch);
		return;
	}
	at = gather->kept;
	if (gather->kind == SP_GATHER_ALL || gather->kept < gather->most)
		gather->kept++;
	else
		at = choose_below(&gather->random, gather->n);
	if (at < gather->kept)
		memcpy(gather->x + at * d, x, d * sizeof(double));
}

uint64_t
sp_gather_combined(const SpGather *gather, const SpGather *other)
{
	uint64_t	both = gather->kept + other->kept;

	if (gather->kind == SP_GATHER_MOMENTS)
		return 1;
	return gather->kind == SP_GATHER_SAMPLE && both > gather->most ? gather->most : both;
}

static void
combine_moments(SpGather *gather, const SpGather *other)
{
	size_t		d = (size_t) gather->d;
	double		n = (double) gather->n;
	double		m = (double) other->n;
	double	   *sums = gather->x + d;

	for (size_t j = 0; j < d; j++)
	{
		double		difference = other->x[j] - gather->x[j];

		for (size_t k = 0; k <= j; k++)
			sums[j * d + k] += other->x[d + j * d + k] +
				difference * (other->x[k] - gather->x[k]) * (n / (n + m) * m);
	}
	for (size_t j = 0; j < d; j++)
		gather->x[j] += (other->x[j] - gather->x[j]) * (m / (n + m));
}

/*
 * Points of two samples: each next one is of either with the chance that one of all points that
 * are left has, and any of that sample.
 */
static void
combine_samples(SpGather *gather, const SpGather *other, SpWork *work)
{
	size_t		size = (size_t) gather->d * sizeof(double);
	uint64_t	kept = sp_gather_combined(gather, other);
	size_t		most = (size_t) (gather->kept + other->kept);
	uint64_t	left[2] = {gather->n, other->n};
	uint64_t	here[2] = {gather->kept, other->kept};
	const double **points = work->allocate(work, most * sizeof(double *));
	double	   *x = work->allocate(work, (size_t) kept * size);

	for (size_t i = 0; i < most; i++)
		points[i] = i < here[0] ? gather->x + i * (size_t) gather->d :
			other->x + (i - here[0]) * (size_t) gather->d;
	for (size_t i = 0; i < kept; i++)
	{
		int			from = choose_below(&gather->random, left[0] + left[1]) < left[0] ? 0 : 1;
		const double **first = from == 0 ? points : points + gather->kept;
		size_t		at;

		from = here[from] == 0 ? 1 - from : from;
		first = from == 0 ? points : points + gather->kept;
		at = (size_t) choose_below(&gather->random, here[from]);
		memcpy(x + i * (size_t) gather->d, first[at], size);
		first[at] = first[--here[from]];
		left[from]--;
	}
	memcpy(gather->x, x, (size_t) kept * size);
	gather->kept = kept;
	work->release(work, x);
	work->release(work, points);
}

void
sp_gather_combine(SpGather *gather, const SpGather *other, SpWork *work)
{
	size_t		d = (size_t) gather->d;

	if (other->n == 0)
		return;
	if (gather->n == 0)
	{
		memcpy(gather->x, other->x, (size_t) sp_gather_size(other, (double) other->kept));
		gather->kept = other->kept;
		gather->random = other->random;
	}
	else if (gather->kind == SP_GATHER_MOMENTS)
		combine_moments(gather, other);
	else if (sp_gather_combined(gather, other) == gather->kept + other->kept &&
			 gather->kept == gather->n && other->kept == other->n)
	{
		memcpy(gather->x + gather->kept * d, other->x, other->kept * d * sizeof(double));
		gather->kept += other->kept;
	}
	else
		combine_samples(gather, other, work);
	gather->n += other->n;
}
