/*
 * test_dbscan.c
 *	  Labels by their definition, from the distances of all pairs: on grids and in trees.
 */
#include "batch.h"

#include "kernel/batch/dbscan.h"

#define MOST	160

typedef struct Params
{
	double		eps;
	int32_t		min_points;
	int32_t		scale;
} Params;

static bool
is_near(const double *x, int d, int a, int b, double eps)
{
	double		sum = 0;

	for (int j = 0; j < d; j++)
		sum += (x[a * d + j] - x[b * d + j]) * (x[a * d + j] - x[b * d + j]);
	return sum <= eps * eps;
}

/* All core points that can be reached from one another through core points get a label. */
static void
label_plainly(const double *x, int n, int d, const Params *p, double *labels)
{
	bool		core[MOST];
	int			stack[MOST];
	int			nlabels = 0;

	for (int i = 0; i < n; i++)
	{
		int			count = 0;

		for (int j = 0; j < n; j++)
			count += is_near(x, d, i, j, p->eps);
		core[i] = count >= p->min_points;
		labels[i] = NAN;
	}
	for (int first = 0; first < n; first++)
	{
		int			depth = 0;

		if (!core[first] || !isnan(labels[first]))
			continue;
		labels[first] = nlabels;
		stack[depth++] = first;
		while (depth > 0)
		{
			int			at = stack[--depth];

			for (int i = 0; i < n; i++)
			{
				if (!core[i] || !isnan(labels[i]) || !is_near(x, d, at, i, p->eps))
					continue;
				labels[i] = nlabels;
				stack[depth++] = i;
			}
		}
		nlabels++;
	}
	for (int i = 0; i < n; i++)
	{
		for (int j = 0; j < n && !core[i]; j++)
		{
			if (core[j] && is_near(x, d, i, j, p->eps) && !(labels[i] <= labels[j]))
				labels[i] = labels[j];
		}
	}
}

int
main(void)
{
	uint64_t	random = 3;
	double		x[MOST * 5];
	double		labels[MOST];

	for (int round = 0; round < 400; round++)
	{
		int			n = 1 + (int) (next_random(&random) % MOST);
		int			d = 1 + round % 5;
		bool		on_lattice = round % 3 == 0;
		Params		params = {0.02 + next_uniform(&random) * 0.4, 1 + (int) (next_random(&random) % 8), 3};
		double	   *scores;
		int			wrong = 0;

		for (int i = 0; i < n * d; i++)
			x[i] = on_lattice ? (double) (next_random(&random) % 8) - 3 :
				next_uniform(&random) * next_uniform(&random);
		if (on_lattice)
			params.eps = 1 + (double) (round % 2);
		label_plainly(x, n, d, &params, labels);
		scores = score_points(&sp_batch_dbscan, &params, x, (size_t) n, d);
		for (int i = 0; i < n; i++)
			wrong += scores[i] != labels[i] && !(isnan(scores[i]) && isnan(labels[i]));
		check(wrong == 0);
		free(scores);
	}
	return failures > 0;
}
