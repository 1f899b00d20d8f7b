/*
 * test_batch.c
 *	  What holds for every batch kernel, whatever the points are.
 */
#include "batch.h"

/* A kind of points. */
typedef double (*Make) (size_t i, int j, uint64_t *random);

static double
make_uniform(size_t i, int j, uint64_t *random)
{
	(void) i;
	(void) j;
	return next_uniform(random);
}

static double
make_equal(size_t i, int j, uint64_t *random)
{
	(void) i;
	(void) random;
	return j + 0.1;
}

static double
make_duplicates(size_t i, int j, uint64_t *random)
{
	(void) j;
	(void) random;
	return (double) (i % 3);
}

static double
make_constant_column(size_t i, int j, uint64_t *random)
{
	(void) i;
	return j == 0 ? 7 : next_uniform(random);
}

static double
make_huge(size_t i, int j, uint64_t *random)
{
	static const double extremes[] = {SP_BATCH_MAX, -SP_BATCH_MAX, 1e100, -1e149, 0, 1};

	(void) j;
	return i % 7 == 0 ? extremes[next_random(random) % 6] : next_uniform(random);
}

static double
make_tiny(size_t i, int j, uint64_t *random)
{
	(void) i;
	(void) j;
	return (double) (next_random(random) % 5) * 5e-324;
}

static double
make_offset(size_t i, int j, uint64_t *random)
{
	(void) i;
	(void) j;
	return 1e12 + next_uniform(random);
}

static const Make kinds[] = {make_uniform, make_equal, make_duplicates, make_constant_column,
make_huge, make_tiny, make_offset};

static double *
make_points(Make make, size_t n, int d, uint64_t seed)
{
	double	   *x = malloc(n * (size_t) d * sizeof(double));

	for (size_t i = 0; i < n; i++)
	{
		for (int j = 0; j < d; j++)
			x[i * (size_t) d + (size_t) j] = make(i, j, &seed);
	}
	return x;
}

/* Scores are numbers, or none where that may be; twice the same points have the same bits. */
static void
check_points(const SpBatchKernel *kernel, const void *params, Make make, size_t n, int d)
{
	double	   *x = make_points(make, n, d, 99);
	double	   *before = malloc(n * (size_t) d * sizeof(double));
	double	   *scores;
	double	   *again;
	int			wrong = 0;

	memcpy(before, x, n * (size_t) d * sizeof(double));
	scores = score_points(kernel, params, x, n, d);
	again = score_points(kernel, params, x, n, d);
	for (size_t i = 0; i < n; i++)
	{
		bool		none = isnan(scores[i]) && (kernel->is_label || kernel->is_series);

		wrong += !none && (!isfinite(scores[i]) || (kernel->is_label && scores[i] < 0));
	}
	if (wrong > 0)
		fprintf(stderr, "%s: %d of %zu scores x %d, kind %d\n", kernel->name, wrong, n, d,
				(int) (make == make_huge) * 4);
	check(wrong == 0);
	check(memcmp(scores, again, n * sizeof(double)) == 0);
	check(memcmp(before, x, n * (size_t) d * sizeof(double)) == 0);
	wrong = 0;
	for (size_t i = 1; make == make_equal && !kernel->is_series && i < n; i++)
		wrong += scores[i] != scores[0] && !isnan(scores[0]);
	if (wrong > 0)
		fprintf(stderr, "%s: %d of %zu equal points x %d differ\n", kernel->name, wrong, n, d);
	check(wrong == 0);
	free(again);
	free(scores);
	free(before);
	free(x);
}

/* A point far away from all others is the most anomalous of them, in any place. */
static void
check_outlier(const SpBatchKernel *kernel, const void *params)
{
	int			d = kernel->max_columns == 1 ? 1 : 3;
	size_t		n = 500;

	for (size_t at = 0; at < n; at += 249)
	{
		double	   *x = make_points(make_uniform, n, d, 7);
		double	   *scores;
		size_t		highest = 0;

		for (int j = 0; j < d; j++)
			x[at * (size_t) d + (size_t) j] = 60 - j;
		scores = score_points(kernel, params, x, n, d);
		for (size_t i = 0; i < n; i++)
			highest = scores[i] > scores[highest] ? i : highest;
		if (kernel->is_label)
			check(isnan(scores[at]));
		else if (highest != at)
			fprintf(stderr, "%s: %zu is the highest, not %zu\n", kernel->name, highest, at);
		check(kernel->is_label || highest == at);
		free(scores);
		free(x);
	}
}

/* More neighbours, a longer season, or larger samples than there are points. */
static void
check_large_params(const SpBatchKernel *kernel)
{
	for (int p = 0; p < kernel->nparams; p++)
	{
		const SpParam *param = &kernel->param_table[p];
		void	   *params = make_params(kernel);

		if (param->type == SP_PARAM_INT && param->max >= 5)
		{
			*(int32_t *) ((char *) params + param->offset) = param->max < 999 ? (int32_t) param->max : 999;
			for (size_t n = 1; n < 20; n += 6)
			{
				if (kernel->conflict == NULL || kernel->conflict(params) == NULL)
					check_points(kernel, params, make_uniform, n, kernel->max_columns == 1 ? 1 : 2);
			}
		}
		free(params);
	}
}

int
main(void)
{
	static const size_t sizes[] = {1, 2, 3, 5, 17, 64, 150};
	static const int widths[] = {1, 2, 3, 4, 20};

	for (const SpBatchKernel *const *k = sp_batch_kernels; *k != NULL; k++)
	{
		void	   *params = make_params(*k);

		for (int kind = 0; kind < (int) (sizeof(kinds) / sizeof(kinds[0])); kind++)
		{
			for (int s = 0; s < 7; s++)
			{
				for (int w = 0; w < ((*k)->max_columns == 1 ? 1 : 5); w++)
					check_points(*k, params, kinds[kind], sizes[s], widths[w]);
			}
			check_points(*k, params, kinds[kind], 700, 1);
		}
		if ((*k)->max_columns != 1)
			check_points(*k, params, make_uniform, 60, 166);
		check_large_params(*k);
		if (!(*k)->is_series)
			check_outlier(*k, params);
		free(params);
	}
	return failures > 0;
}
