/*
 * test_adwin.c
 *	  The window against one of plain lists of values and of bucket sizes; what it finds, and
 *	  what not; edges.
 */
#include "kernel.h"
#include "kernel/online/adwin.h"

enum
{
	N = 3000
};

static double values[N + 1];	/* the window, and the point */
static int	nvalues;
static int	sizes[N];			/* of buckets, the oldest first */
static int	nsizes;

static double
mean_of(int from, int to)
{
	long double sum = 0.0L;

	for (int i = from; i < to; i++)
		sum += values[i];
	return (double) (sum / (to - from));
}

/* The largest ratio of the window with its point, and in either direction. */
static double
compute_score(double delta, double range, double *rise, double *fall)
{
	int			n = nvalues + 1;
	double		mean = mean_of(0, n),
				variance = 0.0,
				log_term = log(2 / (delta / log(n)));
	int			older = 0;

	*rise = *fall = -INFINITY;
	for (int i = 0; i < n; i++)
		variance += (values[i] - mean) * (values[i] - mean) / n;
	for (int b = 0; b < nsizes; b++)
	{
		double		m,
					difference,
					epsilon;

		older += sizes[b];
		if (older < 5 || n - older < 5)
			continue;
		m = 1 / (1.0 / older + 1.0 / (n - older));
		difference = mean_of(older, n) - mean_of(0, older);
		epsilon = sqrt(2 / m * variance * log_term) +
			2 / (3 * m) * log_term * (isnan(range) ? sqrt(variance) : range);
		*rise = fmax(*rise, difference / epsilon);
		*fall = fmax(*fall, -difference / epsilon);
	}
	return fmax(*rise, *fall);
}

/* Cut, and put the point in. */
static void
learn_point(double delta, double range, int max_buckets, double x)
{
	double		rise,
				fall;

	while (nvalues > 0 && compute_score(delta, range, &rise, &fall) > 1.0)
	{
		memmove(values, values + sizes[0], (size_t) (nvalues - sizes[0]) * sizeof(double));
		nvalues -= sizes[0];
		memmove(sizes, sizes + 1, (size_t) --nsizes * sizeof(int));
		values[nvalues] = x;
	}
	nvalues++;
	sizes[nsizes++] = 1;
	for (int size = 1; size < N; size *= 2)
	{
		int			first = -1,
					count = 0;

		for (int b = nsizes - 1; b >= 0; b--)
		{
			if (sizes[b] == size)
			{
				first = b;
				count++;
			}
		}
		if (count <= max_buckets)
			continue;
		sizes[first] = 2 * size;
		memmove(sizes + first + 1, sizes + first + 2, (size_t) (nsizes - first - 2) * sizeof(int));
		nsizes--;
	}
}

static void
test_window(double delta, double range, int max_buckets, double offset, int *cuts)
{
	SpAdwinParams params = {delta, range, max_buckets, 30};
	Series		s = open_series(&sp_kernel_adwin, &params, SP_DIRECTION_BOTH);
	uint64_t	random = 20260104;

	nvalues = nsizes = 0;
	*cuts = 0;
	for (int i = 0; i < N; i++)
	{
		double		x = offset + 0.1 * next_normal(&random) + (i / 700) % 2 * 0.3,
					rise,
					fall,
					expected;
		SpScore		score;

		values[nvalues] = x;
		score = score_at(&s, 0, x);
		check(score.ready == (nvalues >= 30));
		expected = compute_score(delta, range, &rise, &fall);
		if (score.ready)
		{
			check_near(score.score, expected, 1e-9 * (1 + fabs(offset)) * expected);
			check_near(score.expected, mean_of(0, nvalues), 1e-12 * (1 + fabs(offset)));
			s.setup.direction = SP_DIRECTION_HIGH;
			check_near(score_at(&s, 0, x).score, rise, 1e-9 * (1 + fabs(offset)));
			s.setup.direction = SP_DIRECTION_LOW;
			check_near(score_at(&s, 0, x).score, fall, 1e-9 * (1 + fabs(offset)));
			s.setup.direction = SP_DIRECTION_BOTH;
			*cuts += expected > 1.0;
		}
		check(learn_at(&s, 0, x));
		if (nvalues >= 30)
			learn_point(delta, range, max_buckets, x);
		else
			learn_point(1e-300, range, max_buckets, x);
		if (i % 100 == 0)
			check(sp_kernel_adwin.is_sound(s.state, &s.setup));
	}
	check(sp_online_learned(&sp_kernel_adwin, s.state, &s.setup) == N);
	close_series(&s);
}

/* Noise isn't a change; small buckets' number stays bounded. */
static void
test_noise(void)
{
	SpAdwinParams params;
	Series		s;
	SpAdwin    *state;
	uint64_t	random = 20260105;
	int			alarms = 0,
				total = 0;

	sp_online_defaults(&sp_kernel_adwin, &params);
	s = open_series(&sp_kernel_adwin, &params, SP_DIRECTION_BOTH);
	state = s.state;
	for (int i = 0; i < 30000; i++)
		alarms += step_at(&s, 0, 1e6 + next_normal(&random)) > 1.0;
	check(alarms == 0);
	for (int row = 0; row < SP_ADWIN_ROWS; row++)
		total += state->nbuckets[row] << row;
	check(total == 30000);

	/* a spike isn't one */
	check(step_at(&s, 0, 1e6 + 10) < 1.0);

	/* a small shift after a long time; then the mean is the new one */
	for (int i = 0; i < 3000; i++)
		alarms += step_at(&s, 0, 1e6 + 0.5 + next_normal(&random)) > 1.0;
	check(alarms > 0);
	check_near(score_at(&s, 0, 0).expected, 1e6 + 0.5, 0.1);
	close_series(&s);
}

static void
test_edges(void)
{
	SpAdwinParams params;
	Series		s;

	sp_online_defaults(&sp_kernel_adwin, &params);
	s = open_series(&sp_kernel_adwin, &params, SP_DIRECTION_BOTH);

	/* constant, then at another constant level: found at once, and taken up */
	for (int i = 0; i < 1000; i++)
		check(step_at(&s, 0, 0.1) == 0.0);
	check(step_at(&s, 0, 0.2) > 1.0);
	for (int i = 0; i < 100; i++)
		learn_at(&s, 0, 0.2);
	check(score_at(&s, 0, 0.2).score < 1.0);
	check_near(score_at(&s, 0, 0.2).expected, 0.2, 0.01);
	check(score_at(&s, 0, 1.7e308).score <= SP_SCORE_MAX);
	close_series(&s);
}

int
main(void)
{
	SpAdwinParams params;
	int			cuts;

	sp_online_defaults(&sp_kernel_adwin, &params);
	check(params.delta == 0.002 && isnan(params.range) && params.max_buckets == 5);
	test_window(0.002, NAN, 5, 0.0, &cuts);
	check(cuts >= 4);
	test_window(0.002, 1.0, 5, 0.5, &cuts);
	check(cuts >= 4);
	test_window(0.3, NAN, 2, -1e4, &cuts);
	check(cuts >= 4);
	test_window(0.05, 0.5, 9, 10.0, &cuts);
	check(cuts >= 4);
	test_noise();
	test_edges();
	check_extremes(&sp_kernel_adwin, &params);
	check_damaged(&sp_kernel_adwin, &params, 1000, 3000);
	return failures > 0;
}
