/*
 * test_changepoint.c
 *	  The probability that a run begins with a row, from the likelihood of each stretch as a whole.
 */
#include "batch.h"

#include "kernel/batch/changepoint.h"

#define MOST	150

typedef struct Params
{
	double		run_length;
	double		kappa;
	int32_t		lag;
} Params;

static int
compare(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return x < y ? -1 : x > y;
}

/* Quantile of sorted values, by linear interpolation. */
static double
get_quantile(const double *sorted, int n, double part)
{
	double		at = part * (n - 1);
	int			k = (int) at;

	return k + 1 < n ? sorted[k] + (at - k) * (sorted[k + 1] - sorted[k]) : sorted[k];
}

/* ln of the marginal likelihood of values of one run: normal-gamma (0, kappa, 1, 1). */
static double
get_likelihood(const double *x, int n, double kappa)
{
	double		mean = 0;
	double		squares = 0;
	double		beta;

	for (int i = 0; i < n; i++)
		mean += x[i] / n;
	for (int i = 0; i < n; i++)
		squares += (x[i] - mean) * (x[i] - mean);
	beta = 1 + squares / 2 + kappa * n * mean * mean / (2 * (kappa + n));
	return lgamma(1 + n / 2.0) - (1 + n / 2.0) * log(beta) + 0.5 * log(kappa / (kappa + n)) -
		n / 2.0 * log(6.283185307179586);
}

static void
check_series(const double *x, int n, const Params *p)
{
	double		z[MOST];
	double		sorted[MOST];
	double		begin[MOST];	/* ln of the probability of what is before, and that a run begins */
	double		expected[MOST] = {0};
	double	   *scores = score_points(&sp_batch_bayesian_changepoint, p, x, (size_t) n, 1);
	double		unit;

	memcpy(sorted, x, sizeof(double) * (size_t) n);
	qsort(sorted, (size_t) n, sizeof(double), compare);
	unit = (get_quantile(sorted, n, 0.75) - get_quantile(sorted, n, 0.25)) / 1.3489795003921634;
	for (int i = 0; i < n; i++)
		z[i] = (x[i] - get_quantile(sorted, n, 0.5)) / unit;
	begin[0] = 0;
	for (int t = 0; t < n; t++)
	{
		double		joint[MOST];
		double		highest = -INFINITY;
		double		sum = 0;

		for (int i = 0; i <= t; i++)
		{
			joint[i] = begin[i] + (t - i) * log1p(-1 / p->run_length) +
				get_likelihood(z + i, t - i + 1, p->kappa);
			highest = fmax(highest, joint[i]);
		}
		for (int i = 0; i <= t; i++)
			sum += exp(joint[i] - highest);
		for (int i = 1; i <= t; i++)
		{
			if (t - i <= p->lag)
				expected[i] = fmax(expected[i], exp(joint[i] - highest) / sum);
		}
		if (t + 1 < n)
			begin[t + 1] = log(1 / p->run_length) + highest + log(sum);
	}
	for (int i = 0; i < n; i++)
		check_near(scores[i], expected[i], 1e-7);
	free(scores);
}

int
main(void)
{
	uint64_t	random = 14;
	double		x[MOST];

	for (int round = 0; round < 12; round++)
	{
		Params		params = {20 + 30 * (round % 4), 0.05 * (1 + round % 3), round % 5 * 4};
		int			n = MOST - 10 * round;

		for (int i = 0; i < n; i++)
			x[i] = 100 + next_uniform(&random) + next_uniform(&random) +
				(i > n / 3 ? 3 : 0) - (i > n / 2 ? 6 * next_uniform(&random) : 0);
		check_series(x, n, &params);
	}
	return failures > 0;
}
