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

#define MAX_BINS	10000

/* ---- ecod, copod ---- */

/* The skewness of a column, or rather its sign. */
static int
find_skew(const SpMatrix *points, size_t j)
{
	size_t		d = (size_t) points->d;
	double		cubes = 0;
	SpColumn	c;

	sp_order_describe(points, (int) j, NULL, &c);
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
add_column(const SpKeyed *keyed, size_t n, Tails tails, int skew, double *scores)
{
	size_t		first = 0;

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
				   tails == choose_by_skew ? find_skew(points, j) : 0, scores);
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

/* The bins of a column.  A constant one has a width of 1, as numpy's histograms have. */
typedef struct Bins
{
	double		min;
	double		width;			/* of one */
	double		unit;			/* bins in 1 */
	int			n;
} Bins;

/*
 * The bin of a value: the one between whose edges it is, the last one with both of its edges.
 * Rounding may have put it beyond an edge.
 */
static inline int
find_bin(const Bins *b, double x)
{
	int			bin = (int) ((x - b->min) * b->unit);

	bin = bin < 0 ? 0 : bin > b->n - 1 ? b->n - 1 : bin;
	if (bin > 0 && x < b->min + bin * b->width)
		bin--;
	else if (bin < b->n - 1 && x >= b->min + (bin + 1) * b->width)
		bin++;
	return bin;
}

static void
score_hbos(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	const HbosParams *p = params;
	size_t		d = (size_t) points->d;
	double	   *amounts = work->allocate(work, (size_t) p->bins * sizeof(double));

	memset(scores, 0, points->n * sizeof(double));
	for (size_t j = 0; j < d; j++)
	{
		Bins		bins = {.n = p->bins};
		SpColumn	c;

		sp_order_describe(points, (int) j, NULL, &c);
		bins.width = (c.max - c.min) / bins.n;
		bins.min = bins.width > DBL_MIN ? c.min : c.min - 0.5;
		if (!(bins.width > DBL_MIN))
			bins.width = 1.0 / bins.n;
		bins.unit = 1 / bins.width;
		memset(amounts, 0, (size_t) bins.n * sizeof(double));
		for (size_t i = 0; i < points->n; i++)
			amounts[find_bin(&bins, points->x[i * d + j])]++;
		for (int b = 0; b < bins.n; b++)
			amounts[b] = -log2(amounts[b] / ((double) points->n * bins.width) + p->alpha);
		for (size_t i = 0; i < points->n; i++)
			scores[i] += amounts[find_bin(&bins, points->x[i * d + j])];
		work->check(work);
	}
	work->release(work, amounts);
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
	(void) d;
	return ((const HbosParams *) params)->bins * sizeof(double);
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
