/*
 * forest.h
 *	  What holds for both kernels of forests.
 */
#ifndef SP_UNIT_FOREST_H
#define SP_UNIT_FOREST_H

#include "kernel.h"

/* n normal features that have something in common. */
static inline void
make_normal(double *x, int n, uint64_t *random)
{
	double		common = next_normal(random);

	for (int f = 0; f < n; f++)
		x[f] = 1e3 * f + (f + 1) * (next_normal(random) + common);
}

static inline int
compare_numbers(const void *a, const void *b)
{
	return *(const double *) a < *(const double *) b ? -1 : 1;
}

/* Where the frame of a feature lies that is told from x[0], x[n] .. x[63 n]. */
static inline void
find_frame(const double *x, int n, double *center, double *scale)
{
	double		values[64];

	for (int i = 0; i < 64; i++)
		values[i] = x[i * n];
	qsort(values, 64, sizeof(double), compare_numbers);
	*center = (values[6] + values[57]) / 2;
	*scale = 2 * (values[57] - values[6]);
}

/* x, which is far off in feature f alone, is flagged for that. */
static inline void
check_spike(const Series *s, const double *x, int f)
{
	static SpExplanation why;
	SpScore		score = score_features(s, x, &why);
	double		sum = 0;

	check(score.score > s->setup.threshold);
	check(why.nparts == s->setup.n);
	for (int i = 0; i < why.nparts; i++)
		sum += why.parts[i].amount;
	check_near(sum, score.score, 1e-9);
	check(why.parts[f].amount > 0.7 * score.score);
	check_near(why.expected[f], 1e3 * f, 2 * (f + 1));
}

/* What is as usual is hardly ever flagged, a spike and a dip of any feature are. */
static inline void
check_spikes(const SpKernel *kernel, const void *params, int n)
{
	enum
	{
		N = 5000
	};
	double		x[SP_MAX_FEATURES];
	uint64_t	random = 31;
	int			flagged = 0;
	Series		s = open_features(kernel, params, n, SP_DIRECTION_BOTH);

	for (int i = 0; i < N; i++)
	{
		SpScore		score;

		make_normal(x, n, &random);
		score = step_features(&s, x);
		check(score.ready == (i >= sp_online_needed(kernel, params, n)));
		flagged += score.score > s.setup.threshold;
	}
	check(flagged < N * 0.012);
	for (int f = 0; f < n; f++)
		x[f] = 1e3 * f;
	check(score_features(&s, x, NULL).score < 1.5);
	for (int f = 0; f < n; f += n > 1 ? n - 1 : 1)
	{
		for (int sign = -1; sign <= 1; sign += 2)
		{
			x[f] = 1e3 * f + sign * 40 * (f + 1);
			check_spike(&s, x, f);
		}
		x[f] = 1e3 * f;
	}
	close_series(&s);
}

/* Units, and where their zero is, don't matter, but for what rounding changes. */
static inline void
check_units(const SpKernel *kernel, const void *params, double shift)
{
	static const double unit[3] = {1 / 1024.0, 65536, 4};
	uint64_t	random = 47;
	Series		a = open_features(kernel, params, 3, SP_DIRECTION_BOTH);
	Series		b = open_features(kernel, params, 3, SP_DIRECTION_BOTH);
	int			differ = 0;

	for (int i = 0; i < 2000; i++)
	{
		double		x[3];
		double		y[3];

		make_normal(x, 3, &random);
		for (int f = 0; f < 3; f++)
			y[f] = x[f] * unit[f] + shift;
		differ += fabs(step_features(&a, x).score - step_features(&b, y).score) > 1e-3;
	}
	check(differ <= (shift == 0.0 ? 0 : 20));
	close_series(&a);
	close_series(&b);
}

#endif
