/*
 * test_univariate.c
 *	  Tests for outliers of one column, by Rosner's data and critical values as NIST prints them.
 *
 * NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.17.3; three decimals, some cut off rather
 * than rounded.
 */
#include "batch.h"

#include "kernel/batch/univariate.h"

#define N		54
#define TESTED	10

typedef struct EsdParams
{
	double		alpha;
	int32_t		max_outliers;
} EsdParams;

static const double rosner[N] = {
	-0.25, 0.68, 0.94, 1.15, 1.20, 1.26, 1.26, 1.34, 1.38, 1.43, 1.49, 1.49, 1.55, 1.56, 1.58, 1.65,
	1.69, 1.70, 1.76, 1.77, 1.81, 1.91, 1.94, 1.96, 1.99, 2.06, 2.09, 2.10, 2.14, 2.15, 2.23, 2.24,
	2.26, 2.35, 2.37, 2.40, 2.47, 2.54, 2.62, 2.64, 2.90, 2.92, 2.92, 2.93, 3.21, 3.26, 3.30, 3.59,
	3.68, 4.30, 4.64, 5.34, 5.42, 6.01
};

static const double published_r[TESTED] = {
	3.118, 2.942, 3.179, 2.810, 2.815, 2.848, 2.279, 2.310, 2.101, 2.067
};

static const double published_lambda[TESTED] = {
	3.158, 3.151, 3.143, 3.136, 3.128, 3.120, 3.111, 3.103, 3.094, 3.085
};

/* The farthest value of those that are left, and its distance in deviations. */
static int
find_farthest(const bool *left, double *r)
{
	double		n = 0;
	double		mean = 0;
	double		squares = 0;
	int			farthest = -1;

	for (int i = 0; i < N; i++)
	{
		n += left[i];
		mean += left[i] ? rosner[i] : 0;
	}
	mean /= n;
	for (int i = 0; i < N; i++)
	{
		squares += left[i] ? pow(rosner[i] - mean, 2) : 0;
		if (left[i] && (farthest < 0 || fabs(rosner[i] - mean) > fabs(rosner[farthest] - mean)))
			farthest = i;
	}
	*r = fabs(rosner[farthest] - mean) / sqrt(squares / (n - 1));
	return farthest;
}

/* Values that are beyond all sums of squares hide none of the others. */
static void
test_masked(void)
{
	static const double huge[] = {0, 1e7, -1e9, 1e12, 1e150};
	EsdParams	ten = {0.05, TESTED};
	double		x[N + 1];
	double	   *plain = score_points(&sp_batch_generalized_esd, &ten, rosner, N, 1);

	memcpy(x, rosner, sizeof(rosner));
	for (int i = 1; i < 5; i++)
	{
		double	   *scores;

		x[N] = huge[i];
		scores = score_points(&sp_batch_generalized_esd, &(EsdParams) {0.05, TESTED + 1}, x, N + 1, 1);
		for (int j = 0; j < N; j++)
			check_near(scores[j], plain[j], 1e-12);
		check(scores[N] > 1);
		free(scores);
	}
	free(plain);
}

int
main(void)
{
	EsdParams	two = {0.05, 2};
	EsdParams	ten = {0.05, TESTED};
	double	   *scores_of_two = score_points(&sp_batch_generalized_esd, &two, rosner, N, 1);
	double	   *scores = score_points(&sp_batch_generalized_esd, &ten, rosner, N, 1);
	double		alpha = 0.05;
	double	   *grubbs = score_points(&sp_batch_grubbs, &alpha, rosner, N, 1);
	bool		left[N];

	test_masked();
	memset(left, true, sizeof(left));
	for (int i = 0; i < TESTED; i++)
	{
		double		r;
		double		lambda = sp_grubbs_critical(N - i, 0.05);
		int			farthest = find_farthest(left, &r);

		left[farthest] = false;
		check_near(r, published_r[i], 0.0011);
		check_near(lambda, published_lambda[i], 0.0011);
		/* the third is above its critical value: so all three are outliers */
		if (i < 2)
		{
			check_near(scores_of_two[farthest], r / lambda, 1e-12);
			check(scores_of_two[farthest] < 1);
			check(scores[farthest] > 1);
		}
		else
			check_near(scores[farthest], r / lambda, 1e-12);
		if (i == 0)
			check_near(grubbs[farthest], r / lambda, 1e-12);
		check((scores[farthest] > 1) == (i < 3));
	}
	for (int i = 0; i < N; i++)
		check(!left[i] || scores[i] <= 1);
	free(grubbs);
	free(scores);
	free(scores_of_two);
	return failures > 0;
}
