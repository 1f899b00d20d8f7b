/*
 * spectrum.c
 *	  What the spectrum of a series tells.
 */
#include "kernel/batch/spectrum.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/batch/fourier.h"

#define MIN_ROWS		8
#define SLOPES			5		/* rows before the last one whose slopes predict what follows */
#define CORRELATED		0.3		/* autocorrelation from which on there may be a season */
#define PEAKS			16		/* of the periodogram that are looked at */
#define SMALLEST		1e-8	/* amplitude, of the largest one */
#define AT_ONCE			65536	/* amplitudes, between checks */

/* ---- spectral_residual ---- */

typedef struct Params
{
	int32_t		window;
	int32_t		filter;
	int32_t		extension;
} Params;

/* What the slopes from some rows before the last one predict for the next. */
static double
predict(const double *x, size_t n)
{
	double		sum = 0;

	for (size_t i = 1; i <= SLOPES; i++)
		sum += (x[n - 1] - x[n - 1 - i]) / (double) i;
	return x[n - SLOPES] + sum;
}

/* Replace amplitudes by what is left of them without the mean of those before. */
static void
leave_residual(double *z, size_t n, size_t filter, SpWork *work)
{
	double	   *logs = work->allocate(work, n * sizeof(double));
	double		largest = 0;
	double		sum = 0;

	for (size_t k = 0; k < n; k++)
		largest = fmax(largest, hypot(z[2 * k], z[2 * k + 1]));
	work->check(work);
	for (size_t k = 0; k < n; k++)
	{
		double		amplitude = hypot(z[2 * k], z[2 * k + 1]);
		double		size;

		if (k % AT_ONCE == 0)
			work->check(work);
		logs[k] = log(fmax(amplitude, largest * SMALLEST));
		sum += logs[k];
		if (k >= filter)
			sum -= logs[k - filter];
		size = exp(logs[k] - sum / (double) (k + 1 < filter ? k + 1 : filter));
		if (amplitude > largest * SMALLEST)
		{
			z[2 * k] *= size / amplitude;
			z[2 * k + 1] *= size / amplitude;
		}
		else
			z[2 * k] = z[2 * k + 1] = 0;
	}
	work->release(work, logs);
}

static void
score(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	const Params *p = params;
	size_t		n = points->n;
	size_t		m = n + (size_t) p->extension;
	double	   *z;
	double		next;
	double		sum = 0;

	memset(scores, 0, n * sizeof(double));
	if (n < MIN_ROWS)
		return;
	next = predict(points->x, n);
	z = work->allocate(work, 2 * m * sizeof(double));
	for (size_t i = 0; i < m; i++)
	{
		/* the mean says nothing of what is salient, and may be large */
		z[2 * i] = (i < n ? points->x[i] : next) - points->x[0];
		z[2 * i + 1] = 0;
	}
	sp_fourier(z, m, work);
	leave_residual(z, m, (size_t) p->filter, work);
	sp_fourier_inverse(z, m, work);
	for (size_t i = 0; i < n; i++)
		z[i] = hypot(z[2 * i], z[2 * i + 1]);
	work->check(work);
	for (size_t i = 0; i < n; i++)
	{
		size_t		window = (size_t) p->window < i + 1 ? (size_t) p->window : i + 1;
		double		mean;

		sum += z[i];
		if (i >= (size_t) p->window)
			sum -= z[i - (size_t) p->window];
		mean = sum / (double) window;
		scores[i] = mean > DBL_MIN ? (z[i] - mean) / mean : 0;
	}
	work->release(work, z);
}

/* ---- the period ---- */

/* The values without their linear trend, as complex numbers, then as many zeros, up to m. */
static double *
remove_trend(const double *x, size_t n, size_t m, SpWork *work)
{
	double	   *z = work->allocate(work, 2 * m * sizeof(double));
	double		center = (double) (n - 1) / 2;
	double		mean = 0;
	double		slope = 0;
	double		squares = 0;

	for (size_t i = 0; i < n; i++)
		mean += (x[i] - x[0]) / (double) n;
	for (size_t i = 0; i < n; i++)
	{
		slope += ((double) i - center) * (x[i] - x[0] - mean);
		squares += ((double) i - center) * ((double) i - center);
	}
	slope /= squares;
	memset(z, 0, 2 * m * sizeof(double));
	for (size_t i = 0; i < n; i++)
		z[2 * i] = x[i] - x[0] - mean - slope * ((double) i - center);
	return z;
}

/* Replace the numbers by their squared sizes. */
static void
square(double *z, size_t n)
{
	for (size_t k = 0; k < n; k++)
	{
		z[2 * k] = z[2 * k] * z[2 * k] + z[2 * k + 1] * z[2 * k + 1];
		z[2 * k + 1] = 0;
	}
}

/* The autocorrelations by lag, in the real parts; false: the values have no variance. */
static bool
correlate(double *z, size_t n, size_t m, SpWork *work)
{
	double		whole;

	sp_fourier(z, m, work);
	square(z, m);
	sp_fourier_inverse(z, m, work);
	whole = z[0];
	if (!(whole > DBL_MIN))
		return false;
	for (size_t lag = 0; lag < n; lag++)
		z[2 * lag] *= (double) n / (double) (n - lag) / whole;
	return true;
}

/* The hill of the autocorrelation about a lag, from low to high; 0: there is none. */
static size_t
find_hill(const double *correlations, size_t low, size_t high)
{
	size_t		highest = low;

	for (size_t lag = low; lag <= high; lag++)
		highest = correlations[2 * lag] > correlations[2 * highest] ? lag : highest;
	if (highest < 2 || correlations[2 * highest] < CORRELATED ||
		correlations[2 * highest] < correlations[2 * (highest - 1)] ||
		correlations[2 * highest] < correlations[2 * (highest + 1)])
		return 0;
	return highest;
}

/* The frequency with the highest power that is left, which is taken away with its neighbours. */
static size_t
take_peak(double *power, size_t half, double *height)
{
	size_t		peak = 2;

	for (size_t k = 2; k <= half; k++)
		peak = power[2 * k] > power[2 * peak] ? k : peak;
	*height = power[2 * peak];
	for (size_t k = peak > 3 ? peak - 1 : 2; k <= peak + 1 && k <= half; k++)
		power[2 * k] = 0;
	return peak;
}

/* The lag near a peak of the periodogram that is at a hill of the autocorrelation; 0: none is. */
static size_t
find_lag(const double *correlations, size_t n, size_t peak)
{
	/* half a frequency to either side */
	size_t		low = (size_t) ((double) n / ((double) peak + 0.5));
	size_t		high = (size_t) ceil((double) n / ((double) peak - 0.5));

	low = low < 2 ? 2 : low;
	high = high > n / 2 ? n / 2 : high;
	return low <= high ? find_hill(correlations, low, high) : 0;
}

int32_t
sp_find_period(const double *x, size_t n, SpWork *work)
{
	size_t		m = 1;
	double	   *correlations;
	double	   *power;
	double		mean = 0;
	double		height;
	size_t		best = 0;

	if (n < MIN_ROWS)
		return 0;
	while (m < 2 * n)
		m *= 2;
	correlations = remove_trend(x, n, m, work);
	power = remove_trend(x, n, n, work);
	sp_fourier(power, n, work);
	square(power, n);
	for (size_t k = 1; k <= n / 2; k++)
		mean += power[2 * k] / (double) (n / 2);
	for (int i = correlate(correlations, n, m, work) ? 0 : PEAKS; i < PEAKS; i++)
	{
		size_t		lag = find_lag(correlations, n, take_peak(power, n / 2, &height));

		/* of noise the highest of n / 2 is about ln(n / 2) times the mean */
		if (height < mean * (log((double) n / 2) + 4))
			break;
		/* twice the period is hardly better */
		if (lag > 0 && (best == 0 || correlations[2 * lag] > correlations[2 * best] * 1.02))
			best = lag;
	}
	work->release(work, power);
	work->release(work, correlations);
	return (int32_t) best;
}

/* ---- the kernel ---- */

static const SpParam param_table[] = {
	{"window", SP_PARAM_INT, offsetof(Params, window), 21, 2, 1000000,
	"rows whose saliency a row's is compared with", NULL, NULL},
	{"filter", SP_PARAM_INT, offsetof(Params, filter), 3, 1, 1000000,
	"frequencies whose mean is taken from each", NULL, NULL},
	{"extension", SP_PARAM_INT, offsetof(Params, extension), 5, 0, 1000000,
	"rows by which the series is continued", NULL, NULL}
};

static double
estimate_memory(const void *params, double n, int d)
{
	double		m = n + ((const Params *) params)->extension;

	(void) d;
	/* the chirps' transform is of up to 4 times as many numbers */
	return (2 + 1 + 2 + 4 + 4 * 4) * m * sizeof(double) + 1e3;
}

const SpBatchKernel sp_batch_spectral_residual = {
	.name = "spectral_residual",
	.summary = "how salient a row is in a series without what its spectrum repeats; 0 is ordinary",
	.reference = "H. Ren and others, Time-series anomaly detection service at Microsoft, KDD 2019",
	.max_columns = 1,
	.is_series = true,
	.period = sp_batch_straight,
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(Params),
	.memory = estimate_memory,
	.score = score
};
