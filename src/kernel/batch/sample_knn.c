/*
 * sample_knn.c
 *	  How far a point is from its neighbours in a small random sample.
 *
 * The reference is kept by columns, so that distances to all of it are made side by side.
 */
#include "kernel/batch/sample_knn.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/batch/order.h"

#define BLOCK	256				/* points between two checks */
#define LANES	16				/* distances that are made side by side */
#define TRIED	32				/* distances that tell about how far the nearest are */
#define NONE	SIZE_MAX

/* What distances are measured to, and how. */
typedef struct Reference
{
	int			d;
	size_t		m;
	size_t		width;			/* m, up to a multiple of LANES */
	size_t	   *points;			/* numbers of its points, ascending */
	float	   *x;				/* [d][width], infinite from m on */
	double	   *medians;
	double	   *units;			/* 0: the column is constant */
} Reference;

static int
compare(const void *a, const void *b)
{
	size_t		x = *(const size_t *) a;
	size_t		y = *(const size_t *) b;

	return (x > y) - (x < y);
}

static inline float
convert(const Reference *r, int j, double x)
{
	double		y = (x - r->medians[j]) * r->units[j];

	return (float) asinh(y > DBL_MAX ? DBL_MAX : y < -DBL_MAX ? -DBL_MAX : y);
}

/* How columns are scaled. */
static void
find_scales(Reference *r, const SpMatrix *points, SpWork *work)
{
	double	   *scratch = work->allocate(work, points->n * sizeof(double));

	for (int j = 0; j < r->d; j++)
	{
		SpColumn	c;
		double		unit;

		sp_order_describe(points, j, scratch, &c, work);
		unit = sp_order_unit(&c);
		r->medians[j] = c.median;
		r->units[j] = c.min == c.max ? 0 : unit > DBL_MIN && unit < DBL_MAX ? 1 / unit : 1;
		work->check(work);
	}
	work->release(work, scratch);
}

/* Choose the reference. */
static void
choose(Reference *r, const SpMatrix *points, int32_t seed, SpWork *work)
{
	SpRandom	random = sp_random_begin(seed, 0);

	sp_random_sample(&random, points->n, r->m, r->points, work);
	qsort(r->points, r->m, sizeof(size_t), compare);
	for (size_t i = 0; i < r->width; i++)
	{
		for (int j = 0; j < r->d; j++)
			r->x[(size_t) j * r->width + i] = i >= r->m ? INFINITY :
				convert(r, j, points->x[r->points[i] * (size_t) r->d + (size_t) j]);
	}
}

/* The distances of a point to all of the reference. */
static void
find_distances(const Reference *r, const float *point, float *distances)
{
	for (size_t i = 0; i < r->width; i += LANES)
	{
		const float *x = r->x + i;
		float		sums[LANES] = {0};

		for (int j = 0; j < r->d; j++, x += r->width)
		{
			for (int lane = 0; lane < LANES; lane++)
				sums[lane] += fabsf(x[lane] - point[j]);
		}
		memcpy(distances + i, sums, sizeof(sums));
	}
}

/*
 * The k-th smallest of m distances, from 0, where there are more: those that aren't beyond what a
 * few of them say of it are looked at, and all of them only if these are too few.
 */
static float
select_nearest(float *distances, size_t m, size_t k, float *near)
{
	float		tried[TRIED];
	size_t		step = m / TRIED;
	size_t		wanted = 2 * k * TRIED / m + 2;
	size_t		n = 0;
	float		limit;

	if (step == 0 || wanted >= TRIED)
		return sp_order_select_float(distances, m, k, NULL);
	for (size_t i = 0; i < TRIED; i++)
		tried[i] = distances[i * step];
	limit = sp_order_select_float(tried, TRIED, wanted, NULL);
	for (size_t i = 0; i < m; i++)
	{
		near[n] = distances[i];
		n += distances[i] <= limit;
	}
	return n > k ? sp_order_select_float(near, n, k, NULL) : sp_order_select_float(distances, m, k, NULL);
}

/* Room for the work on a point. */
typedef struct Room
{
	float	   *point;			/* [d] */
	float	   *distances;		/* [width] */
	float	   *near;			/* [width + 1] */
} Room;

/* The k-th smallest distance of a point to the reference; self: its number there, or NONE. */
static double
find_distance(const Reference *r, const double *point, size_t self, size_t k, Room *room)
{
	size_t		m = r->m;

	for (int j = 0; j < r->d; j++)
		room->point[j] = convert(r, j, point[j]);
	find_distances(r, room->point, room->distances);
	if (self != NONE)
		room->distances[self] = room->distances[--m];
	return m == 0 ? 0 : select_nearest(room->distances, m, (k < m ? k : m) - 1, room->near);
}

void
sp_sample_knn(const SpSampleKnnParams *params, const SpMatrix *points, double *scores, SpWork *work)
{
	Reference	r = {.d = points->d};
	size_t		k;
	size_t		next = 0;
	Room		room;

	r.m = points->n < (size_t) params->sample_size ? points->n : (size_t) params->sample_size;
	k = (size_t) ceil(params->fraction * (double) r.m);
	k = k < SP_SAMPLE_KNN_MIN_K ? SP_SAMPLE_KNN_MIN_K : k;
	r.width = (r.m + LANES - 1) / LANES * LANES;
	r.points = work->allocate(work, r.m * sizeof(size_t));
	r.x = work->allocate(work, r.width * (size_t) r.d * sizeof(float));
	r.medians = work->allocate(work, 2 * sizeof(double) * (size_t) r.d);
	r.units = r.medians + r.d;
	room.point = work->allocate(work, ((size_t) r.d + 2 * r.width + 1) * sizeof(float));
	room.distances = room.point + r.d;
	room.near = room.distances + r.width;
	find_scales(&r, points, work);
	choose(&r, points, params->seed, work);
	for (size_t i = 0; i < points->n; i++)
	{
		size_t		self = next < r.m && r.points[next] == i ? next++ : NONE;

		scores[i] = find_distance(&r, points->x + i * (size_t) r.d, self, k, &room);
		if (i % BLOCK == 0)
			work->check(work);
	}
	work->release(work, room.point);
	work->release(work, r.medians);
	work->release(work, r.x);
	work->release(work, r.points);
}

/* ---- the kernel ---- */

static const SpParam param_table[] = {
	{"sample_size", SP_PARAM_INT, offsetof(SpSampleKnnParams, sample_size), 512, 1,
	SP_SAMPLE_KNN_MAX_SAMPLE, "points to which distances are measured", NULL, NULL},
	{"fraction", SP_PARAM_FLOAT, offsetof(SpSampleKnnParams, fraction), 0.05, 0, 1,
	"of the sample that is nearer than the neighbour whose distance is the score", NULL, NULL},
	{"seed", SP_PARAM_INT, offsetof(SpSampleKnnParams, seed), SP_BATCH_SEED, INT32_MIN, INT32_MAX,
	"what is chosen by chance follows from it", NULL, NULL}
};

static double
estimate_memory(const void *params, double n, int d)
{
	return 8 * n + (((const SpSampleKnnParams *) params)->sample_size + LANES) * (4.0 * d + 32) +
		20.0 * d + 1e3;
}

static void
score_all(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	sp_sample_knn(params, points, scores, work);
}

const SpBatchKernel sp_batch_sample_knn = {
	.name = "sample_knn",
	.summary = "the distance to neighbours in a small random sample, on a robust scale",
	.reference = "M. Sugiyama, K. M. Borgwardt, Rapid distance-based outlier detection via "
	"sampling, NeurIPS 2013",
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(SpSampleKnnParams),
	.memory = estimate_memory,
	.score = score_all
};
