/*
 * marginal.c
 *	  Methods that look at one column after the other.
 */
#include "kernel/batch/marginal.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/batch/order.h"
#include "kernel/batch/sort.h"

#define MAX_BINS		10000
#define ROWS_AT_ONCE	1024
#define STEPS_AT_ONCE	65536	/* keys, between checks */

/* ---- ecod, copod ---- */

/* The skewness of a column, or rather its sign. */
static int
find_skew(const SpMatrix *points, size_t j, SpWork *work)
{
	size_t		d = (size_t) points->d;
	double		cubes = 0;
	SpColumn	c;

	sp_order_describe(points, (int) j, NULL, &c, work);
	if (!(c.deviation > 0))
		return 0;
	for (size_t i = 0; i < points->n; i++)
	{
		double		z = (points->x[i * d + j] - c.mean) / c.deviation;

		cubes += z * z * z;
	}
	return (cubes > 0) - (cubes < 0);
}

/* What a column adds to a score. */
typedef double (*Tails) (double left, double right, int skew);

static double
choose_larger(double left, double right, int skew)
{
	(void) skew;
	return left > right ? left : right;
}

static double
choose_by_skew(double left, double right, int skew)
{
	double		chosen = skew < 0 ? left : skew > 0 ? right : left + right;

	return fmax(chosen, (left + right) / 2);
}

/* Equal values are one step of the distribution. */
static void
add_column(const SpKeyed *keyed, size_t n, Tails tails, int skew, double *scores, SpWork *work)
{
	size_t		first = 0;
	size_t		checked = 0;

	while (first < n)
	{
		size_t		last = first;
		double		amount;

		while (last < n && keyed[last].key == keyed[first].key)
			last++;
		amount = tails(-log((double) last / (double) n),
					   -log((double) (n - first) / (double) n), skew);
		for (; first < last; first++)
			scores[keyed[first].number] += amount;
		if (first - checked >= STEPS_AT_ONCE)
		{
			work->check(work);
			checked = first;
		}
	}
}

static void
score_tails(const SpMatrix *points, Tails tails, double *scores, SpWork *work)
{
	size_t		d = (size_t) points->d;
	SpKeyed    *keyed = work->allocate(work, points->n * sizeof(SpKeyed));

	memset(scores, 0, points->n * sizeof(double));
	for (size_t j = 0; j < d; j++)
	{
		for (size_t i = 0; i < points->n; i++)
		{
			/* of the two zeros one */
			keyed[i].key = sp_sort_key(points->x[i * d + j] + 0.0);
			keyed[i].number = (uint32_t) i;
		}
		work->check(work);
		sp_sort(keyed, points->n, work);
		add_column(keyed, points->n, tails,
				   tails == choose_by_skew ? find_skew(points, j, work) : 0, scores, work);
	}
	work->release(work, keyed);
}

static void
score_ecod(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	(void) params;
	score_tails(points, choose_larger, scores, work);
}

static void
score_copod(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	(void) params;
	score_tails(points, choose_by_skew, scores, work);
}

/* ---- hbos ---- */

typedef struct HbosParams
{
	double		alpha;
	int32_t		bins;
} HbosParams;

/*
 * The bins of a column, a body's part of it; behind it: double amounts[bins].  A constant column
 * has a width of 1, as numpy's histograms have.
 */
typedef struct Bins
{
	double		min;
	double		max;
	double		width;			/* of one */
	double		outside;		/* what a bin without points adds */
} Bins;

static inline double *
get_amounts(const Bins *b)
{
	return (double *) (b + 1);
}

static size_t
get_bins_size(int n)
{
	return sizeof(Bins) + (size_t) n * sizeof(double);
}

/*
 * The bin of a value: the one between whose edges it is, the last one with both of its edges.
 * Rounding may have put it beyond an edge.
 */
static inline int
find_bin(const Bins *b, int n, double unit, double x)
{
	double		at = (x - b->min) * unit;
	int			bin = !(at > 0) ? 0 : at > n - 1 ? n - 1 : (int) at;

	if (bin > 0 && x < b->min + bin * b->width)
		bin--;
	else if (bin < n - 1 && x >= b->min + (bin + 1) * b->width)
		bin++;
	return bin;
}

/* The bin whose density a value has: on an edge that of the lower one. */
static inline int
find_lower_bin(const Bins *b, int n, double unit, double x)
{
	int			bin = find_bin(b, n, unit, x);

	return bin - (bin > 0 && x == b->min + bin * b->width);
}

/* The bins of column j in a body. */
static inline Bins *
get_column(const void *body, int bins, int j)
{
	return (Bins *) ((char *) body + get_bins_size(bins) * (size_t) j);
}

/* Where the columns' bins are; units: bins in 1. */
static void
place_bins(const SpMatrix *points, int n, void *body, double *units, SpWork *work)
{
	for (int j = 0; j < points->d; j++)
		get_column(body, n, j)->min = get_column(body, n, j)->max = points->x[j];
	for (size_t i = 0; i < points->n; i++)
	{
		const double *x = points->x + i * (size_t) points->d;

		for (int j = 0; j < points->d; j++)
		{
			Bins	   *b = get_column(body, n, j);

			b->min = x[j] < b->min ? x[j] : b->min;
			b->max = x[j] > b->max ? x[j] : b->max;
		}
		if (i % ROWS_AT_ONCE == 0)
			work->check(work);
	}
	for (int j = 0; j < points->d; j++)
	{
		Bins	   *b = get_column(body, n, j);

		b->width = (b->max - b->min) / n;
		if (!(b->width > DBL_MIN))
		{
			b->min -= 0.5;
			b->max += 0.5;
			b->width = 1.0 / n;
		}
		units[j] = 1 / b->width;
	}
}

/* The bins of all columns, row by row: a pass over the points for each column would be slower. */
static void
describe_bins(const SpMatrix *points, const HbosParams *p, void *body, double *units, SpWork *work)
{
	int			d = points->d;
	int			n = p->bins;

	place_bins(points, n, body, units, work);
	for (int j = 0; j < d; j++)
		memset(get_amounts(get_column(body, n, j)), 0, (size_t) n * sizeof(double));
	for (size_t i = 0; i < points->n; i++)
	{
		const double *x = points->x + i * (size_t) d;

		for (int j = 0; j < d; j++)
		{
			Bins	   *b = get_column(body, n, j);

			get_amounts(b)[find_bin(b, n, units[j], x[j])]++;
		}
		if (i % ROWS_AT_ONCE == 0)
			work->check(work);
	}
	for (int j = 0; j < d; j++)
	{
		Bins	   *b = get_column(body, n, j);
		double	   *amounts = get_amounts(b);

		for (int i = 0; i < n; i++)
			amounts[i] = -log2(amounts[i] / ((double) points->n * b->width) + p->alpha);
		b->outside = -log2(p->alpha);
	}
}

static void
score_hbos(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	const HbosParams *p = params;
	int			d = points->d;
	double	   *units = work->allocate(work, (size_t) d * sizeof(double));
	void	   *body = work->allocate(work, get_bins_size(p->bins) * (size_t) d);

	describe_bins(points, p, body, units, work);
	for (size_t i = 0; i < points->n; i++)
	{
		const double *x = points->x + i * (size_t) d;

		scores[i] = 0;
		for (int j = 0; j < d; j++)
		{
			const Bins *b = get_column(body, p->bins, j);

			scores[i] += get_amounts(b)[find_lower_bin(b, p->bins, units[j], x[j])];
		}
		if (i % ROWS_AT_ONCE == 0)
			work->check(work);
	}
	work->release(work, body);
	work->release(work, units);
}

/* ---- hbos as a model ---- */

static void *
train_hbos(const void *params, const SpGather *gather, SpWork *work, size_t *size)
{
	const HbosParams *p = params;
	SpMatrix	points = sp_gather_points(gather);
	double	   *units = work->allocate(work, (size_t) points.d * sizeof(double));
	void	   *body;

	*size = get_bins_size(p->bins) * (size_t) points.d;
	body = work->allocate(work, *size);
	describe_bins(&points, p, body, units, work);
	work->release(work, units);
	return body;
}

static bool
is_hbos_sound(const SpModelView *model)
{
	const HbosParams *p = model->params;

	if (model->size != get_bins_size(p->bins) * (size_t) model->d)
		return false;
	for (int j = 0; j < model->d; j++)
	{
		const Bins *b = get_column(model->body, p->bins, j);

		if (!isfinite(b->min) || !isfinite(b->max) || !(b->max >= b->min) ||
			!isfinite(b->width) || !(b->width > 0) || !isfinite(b->outside))
			return false;
		for (int i = 0; i < p->bins; i++)
		{
			if (!isfinite(get_amounts(b)[i]))
				return false;
		}
	}
	return true;
}

/* What a feature adds.  Beyond the ends the first and the last bin reach half a bin farther. */
static inline double
rate_feature(const Bins *b, int bins, double x)
{
	if (x < b->min - b->width / 2 || x > b->max + b->width / 2)
		return b->outside;
	return get_amounts(b)[find_lower_bin(b, bins, 1 / b->width, x)];
}

static double
score_point_hbos(const SpModelView *model, const double *x, double *scratch)
{
	const HbosParams *p = model->params;
	double		score = 0;

	(void) scratch;
	for (int j = 0; j < model->d; j++)
		score += rate_feature(get_column(model->body, p->bins, j), p->bins, x[j]);
	return score;
}

static void
explain_hbos(const SpModelView *model, const double *x, double *parts, double *scratch)
{
	const HbosParams *p = model->params;

	(void) scratch;
	for (int j = 0; j < model->d; j++)
		parts[j] = rate_feature(get_column(model->body, p->bins, j), p->bins, x[j]);
}

/* ---- the kernels ---- */

static const SpParam hbos_table[] = {
	{"bins", SP_PARAM_INT, offsetof(HbosParams, bins), 10, 1, MAX_BINS, "of a column", NULL, NULL},
	{"alpha", SP_PARAM_FLOAT, offsetof(HbosParams, alpha), 0.1, 1e-12, 1e12,
	"added to densities, so that empty bins aren't infinitely anomalous", NULL, NULL}
};

static double
estimate_tails(const void *params, double n, int d)
{
	(void) params;
	(void) d;
	return n * 2 * sizeof(SpKeyed) + 1e5;
}

static double
estimate_hbos(const void *params, double n, int d)
{
	(void) n;
	return d * (8.0 + get_bins_size(((const HbosParams *) params)->bins));
}

const SpBatchKernel sp_batch_ecod = {
	.name = "ecod",
	.summary = "how far in the tail of its column each feature is, summed",
	.reference = "Z. Li, Y. Zhao, X. Hu, N. Botta, C. Ionescu, G. Chen, IEEE TKDE 35, 2023",
	.memory = estimate_tails,
	.score = score_ecod
};

const SpBatchKernel sp_batch_copod = {
	.name = "copod",
	.summary = "how far in the tail of its column each feature is, on the side to which it is skewed",
	.reference = "Z. Li, Y. Zhao, N. Botta, C. Ionescu, X. Hu, ICDM 2020",
	.memory = estimate_tails,
	.score = score_copod
};

const SpBatchKernel sp_batch_hbos = {
	.name = "hbos",
	.summary = "how thin each feature's bin in a histogram of its column is, summed",
	.reference = "M. Goldstein, A. Dengel, Histogram-based outlier score, KI 2012",
	.nparams = sizeof(hbos_table) / sizeof(hbos_table[0]),
	.param_table = hbos_table,
	.params_size = sizeof(HbosParams),
	.memory = estimate_hbos,
	.score = score_hbos
};

const SpModelKernel sp_model_hbos = {
	.number = 2,
	.name = "hbos",
	.nparams = sizeof(hbos_table) / sizeof(hbos_table[0]),
	.param_table = hbos_table,
	.params_size = sizeof(HbosParams),
	.gathers = SP_GATHER_ALL,
	.memory = estimate_hbos,
	.train = train_hbos,
	.is_sound = is_hbos_sound,
	.score = score_point_hbos,
	.explain = explain_hbos
};
