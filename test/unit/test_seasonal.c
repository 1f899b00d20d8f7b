/*
 * test_seasonal.c
 *	  Bins of known times; expectations against sums over all values; what it finds, and what not;
 *	  edges.
 */
#include "kernel.h"
#include "kernel/online/seasonal.h"

enum
{
	N = 2000
};

static double values[N];		/* as they were learned */
static int	bins[N];

static void
test_bins(void)
{
	SpSeasonalParams params;

	sp_online_defaults(&sp_kernel_seasonal, &params);
	check(params.period == SP_CYCLE_HOUR_OF_DAY && params.interval == 0);
	check(sp_seasonal_bins(&params) == 24);
	check(sp_seasonal_bin(&params, 0) == 0 && sp_seasonal_bin(&params, -1) == 23);
	check(sp_seasonal_bin(&params, 9 * HOUR) == 9 && sp_seasonal_bin(&params, 9 * HOUR - 1) == 8);
	check(sp_seasonal_bin(&params, -3 * DAY + 5 * HOUR) == 5);

	/* 2000-01-01 was a Saturday, 2026-11-28 is one */
	params.period = SP_CYCLE_HOUR_OF_WEEK;
	check(sp_seasonal_bins(&params) == 168);
	check(sp_seasonal_bin(&params, 0) == 5 * 24 && sp_seasonal_bin(&params, 2 * DAY) == 0);
	check(sp_seasonal_bin(&params, 2 * DAY - 1) == 167);
	check(sp_seasonal_bin(&params, 9828 * DAY + 13 * HOUR) == 5 * 24 + 13);
	check(sp_seasonal_bin(&params, -5 * DAY) == 0);

	params.period = SP_CYCLE_MINUTE_OF_HOUR;
	check(sp_seasonal_bins(&params) == 60 && sp_seasonal_bin(&params, 7 * HOUR + 59 * MINUTE) == 59);

	params.interval = 90 * MINUTE;
	params.bins = 7;			/* not even */
	check(sp_seasonal_bin(&params, 90 * MINUTE - 1) == 6 && sp_seasonal_bin(&params, 0) == 0);
	check(sp_seasonal_bin(&params, 45 * MINUTE) == 3 && sp_seasonal_bin(&params, -1) == 6);
	for (int i = 0; i < 4; i++)
	{
		params.interval = i == 0 ? 0 : i == 1 ? 7 : 3200000000000000;
		params.bins = i < 3 ? 7 : 10000;
		for (int sign = 0; sign < 2; sign++)
		{
			int			bin = sp_seasonal_bin(&params, sign == 0 ? INT64_MIN : INT64_MAX);

			check(bin >= 0 && bin < sp_seasonal_bins(&params));
		}
	}
	params.interval = 6;
	params.bins = 7;
	check(sp_kernel_seasonal.conflict(&params, 1) != NULL);
}

/* Weight, mean and variance of the first n values, of that bin or of all (-1). */
static int
weigh(int n, int bin, double alpha, double *weight, double *mean, double *variance)
{
	double		w = 1.0;
	int			count = 0;

	*weight = *mean = *variance = 0.0;
	for (int i = n - 1; i >= 0; i--)
	{
		if (bin >= 0 && bins[i] != bin)
			continue;
		count++;
		*weight += w;
		*mean += w * values[i];
		w *= 1.0 - alpha;
	}
	if (count == 0)
		return 0;
	*mean /= *weight;
	w = 1.0;
	for (int i = n - 1; i >= 0; i--)
	{
		if (bin >= 0 && bins[i] != bin)
			continue;
		*variance += w * (values[i] - *mean) * (values[i] - *mean) / *weight;
		w *= 1.0 - alpha;
	}
	return count;
}

/* The variance within bins of the first n values. */
static double
weigh_within(int n, double bin_alpha, double alpha)
{
	double		sum = 0.0,
				total = 0.0,
				w = 1.0;

	for (int i = n - 1; i >= 0; i--)
	{
		double		weight,
					mean,
					variance;

		if (weigh(i, bins[i], bin_alpha, &weight, &mean, &variance) == 0)
			continue;
		sum += w * (values[i] - mean) * (values[i] - mean) * weight / (weight + 1);
		total += w;
		w *= 1.0 - alpha;
	}
	return total > 0.0 ? sum / total : -1.0;
}

static void
test_expectations(double amplitude, double alpha)
{
	SpSeasonalParams params = {6 * HOUR, 0, 8, alpha, 10.0, 20};
	Series		s = open_series(&sp_kernel_seasonal, &params, SP_DIRECTION_HIGH);
	uint64_t	random = 20260108;

	for (int i = 0; i < 300; i++)
	{
		int64_t		time = i * 20 * MINUTE;
		double		x = 10 + amplitude * sin(i * 2 * M_PI / 18) + next_normal(&random) +
			(i % 40 == 39 ? 30 : 0);
		double		all_weight,
					m,
					v,
					weight,
					mean,
					variance,
					w,
					between,
					lean,
					center,
					scale;
		SpScore		score = score_at(&s, time, x);
		int			n;

		bins[i] = (int) (time % (6 * HOUR) / (45 * MINUTE));
		values[i] = x;
		weigh(i, -1, alpha / 8, &all_weight, &m, &v);
		n = weigh(i, bins[i], alpha, &weight, &mean, &variance);
		w = weigh_within(i, alpha, alpha / 8);
		if (w < 0)
			w = v;
		between = fmax(0.0, v - w);
		lean = n == 0 ? 1.0 : w / weight / (w / weight + between);
		center = lean * m + (1 - lean) * mean;
		scale = sqrt((n * variance + 10 * w) / (n + 10) + lean * between);
		check(score.ready == (i >= 20));
		if (i > 0 && scale > 0)
			check_near(score.expected, center, 1e-9);
		if (score.ready)
		{
			check_near(score.score, (x - center) / scale, 1e-9);
			values[i] = fmax(center - 3 * scale, fmin(center + 3 * scale, x));
		}
		check(learn_at(&s, time, x));
	}
	check(sp_kernel_seasonal.is_sound(s.state, &s.setup));
	close_series(&s);
}

/* Three weeks of five-minute values, 100 +- 50 by the hour, noise of 2; then what is to be found. */
static int
count_alarms(int textbook_case)
{
	SpSeasonalParams params;
	Series		s;
	uint64_t	random = 20260109;
	int			alarms = 0;

	sp_online_defaults(&sp_kernel_seasonal, &params);
	s = open_series(&sp_kernel_seasonal, &params, SP_DIRECTION_BOTH);
	for (int i = 0; i < 22 * 288; i++)
	{
		int64_t		time = i * 5 * MINUTE;
		double		x = 100 + 50 * sin((double) (time / HOUR % 24) / 24 * 2 * M_PI) +
			2 * next_normal(&random);
		bool		is_last_day = i >= 21 * 288;
		bool		found;

		if (textbook_case == 1 && i == 21 * 288 + 144)
			x = 140;			/* usual at six o'clock, not at noon */
		if (textbook_case == 2 && is_last_day)
			x = 100;			/* flat line */
		if (textbook_case == 3 && is_last_day)
			x = 100 - 50 * sin((double) (time / HOUR % 24) / 24 * 2 * M_PI);
		found = step_at(&s, time, x) > s.setup.threshold;
		if (is_last_day)
			alarms += found;
		else
			check(!found);
	}
	close_series(&s);
	return alarms;
}

static void
test_edges(void)
{
	SpSeasonalParams params;
	Series		s;
	int			alarms = 0;

	sp_online_defaults(&sp_kernel_seasonal, &params);
	s = open_series(&sp_kernel_seasonal, &params, SP_DIRECTION_BOTH);
	for (int i = 0; i < 1000; i++)
		check(step_at(&s, i * 17 * MINUTE, 0.1) == 0.0);
	check(score_at(&s, 0, 0.2).score == SP_SCORE_MAX);
	check(score_at(&s, 0, 1.7e308).score == SP_SCORE_MAX);

	/* a new level is taken up in time */
	for (int i = 0; i < 24 * 400; i++)
	{
		bool		found = step_at(&s, i * HOUR, 0.3) > s.setup.threshold;

		alarms += found && i >= 24 * 200;
	}
	check(alarms == 0);
	check_near(score_at(&s, 0, 0.3).expected, 0.3, 0.01);
	close_series(&s);
}

int
main(void)
{
	SpSeasonalParams params;

	test_bins();
	test_expectations(0.0, 0.05);
	test_expectations(5.0, 0.02);
	test_expectations(50.0, 0.3);
	check(count_alarms(0) == 0);
	check(count_alarms(1) == 1);
	check(count_alarms(2) > 200);
	check(count_alarms(3) > 200);
	test_edges();
	sp_online_defaults(&sp_kernel_seasonal, &params);
	check_extremes(&sp_kernel_seasonal, &params);
	check_damaged(&sp_kernel_seasonal, &params, 1000, 3000);
	return failures > 0;
}
