/*
 * test_gap.c
 *	  What stands in for missing values, against a search for the values next to each.
 */
#include "batch.h"

#include "kernel/batch/gap.h"

#define N		60

/* The value next to x[i], going that way in steps; -1: there is none. */
static int
find_next(const double *x, int n, int i, int step)
{
	for (i += step; i >= 0 && i < n; i += step)
	{
		if (!isnan(x[i]))
			return i;
	}
	return -1;
}

/* Fill x by what the header says, into to. */
static void
fill_plainly(const double *x, int n, int period, double *to)
{
	double		once[N];

	for (int pass = 0; pass < 2; pass++)
	{
		const double *from = pass == 0 ? x : once;
		double	   *into = pass == 0 ? once : to;
		int			step = pass == 0 ? period : 1;

		for (int i = 0; i < n; i++)
		{
			int			a = find_next(from, n, i, -step);
			int			b = find_next(from, n, i, step);

			into[i] = from[i];
			if (!isnan(from[i]) || (a < 0 && b < 0))
				continue;
			into[i] = a < 0 ? from[b] : b < 0 ? from[a] :
				from[a] + (from[b] - from[a]) * (i - a) / (b - a);
		}
	}
}

/* Series of any length, with gaps of any size, and periods up to more than their length. */
static void
test_against_search(void)
{
	SpRandom	random = sp_random_begin(7, 1);
	Lending		l;

	begin_lending(&l);
	for (int round = 0; round < 20000; round++)
	{
		int			n = 1 + (int) sp_random_below(&random, N);
		int			period = 1 + (int) sp_random_below(&random, 2 * N / 3 + (round % 3 == 0 ? 40 : 0));
		double		missing = sp_random_next(&random);
		double		x[N];
		double		expected[N];
		bool		any = false;

		for (int i = 0; i < n; i++)
		{
			x[i] = sp_random_next(&random) < missing ? NAN : sp_random_normal(&random);
			any |= !isnan(x[i]);
		}
		fill_plainly(x, n, period, expected);
		check(sp_gap_fill(x, (size_t) n, (size_t) period, &l.work) == any);
		for (int i = 0; i < n; i++)
			check(any ? fabs(x[i] - expected[i]) <= 1e-12 : isnan(x[i]));
	}
	end_lending(&l);
}

/* A season on a straight trend goes on through its gaps. */
static void
test_season(void)
{
	static const double season[5] = {3, -1, 4, -1, 5};
	double		x[N];
	Lending		l;

	begin_lending(&l);
	for (int i = 0; i < N; i++)
		x[i] = i >= 12 && i % 7 < 3 && i < N - 12 ? NAN : season[i % 5] + 0.25 * i;
	check(sp_gap_fill(x, N, 5, &l.work));
	for (int i = 0; i < N; i++)
		check(fabs(x[i] - (season[i % 5] + 0.25 * i)) < 1e-12);
	end_lending(&l);
}

int
main(void)
{
	test_against_search();
	test_season();
	return failures > 0;
}
