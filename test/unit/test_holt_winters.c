/*
 * test_holt_winters.c
 *	  Forecasts against the textbook's recursions over the whole series; exact series; what it
 *	  finds, and what not; edges.
 */
#include "kernel.h"
#include "kernel/online/holt_winters.h"

static SpHoltWintersParams
make_params(SpSeasonality seasonality, int period)
{
	SpHoltWintersParams params;

	sp_online_defaults(&sp_kernel_holt_winters, &params);
	params.seasonality = seasonality;
	params.period = period;
	params.warmup = 5;
	return params;
}

/*
 * Level, trend and season of each event, with the initial values that the state has after two
 * periods, as in the books: what is smoothed is weighted against what was.
 */
static void
test_recursions(SpHoltWintersParams params, bool trend)
{
	enum
	{
		N = 400,
		MAX_PERIOD = 30
	};
	double		level[N],
				slope[N],
				season[N + MAX_PERIOD],
				squares = 0.0,
				total = 0.0,
				errors[N];
	int			m = params.seasonality == SP_SEASONALITY_NONE ? SP_HOLT_WINTERS_LEAD : params.period;
	uint64_t	random = 20260106;
	Series		s;

	params.trend = trend;
	s = open_series(&sp_kernel_holt_winters, &params, SP_DIRECTION_BOTH);
	for (int i = 0; i < N; i++)
	{
		double		x = 100 + 0.1 * i + 20 * sin(i * 2 * M_PI / m) + 3 * next_normal(&random);
		double		a = params.alpha,
					b = trend ? params.beta : 0.0,
					c = params.gamma,
					forecast;
		SpScore		score = score_at(&s, 0, x);

		if (i >= 2 * m)
		{
			double	   *was = &season[i - m];

			if (params.seasonality == SP_SEASONALITY_MULTIPLICATIVE)
			{
				forecast = (level[i - 1] + slope[i - 1]) * *was;
				level[i] = a * (x / *was) + (1 - a) * (level[i - 1] + slope[i - 1]);
				season[i] = c * (x / (level[i - 1] + slope[i - 1])) + (1 - c) * *was;
			}
			else
			{
				if (params.seasonality == SP_SEASONALITY_NONE)
					*was = c = 0.0;
				forecast = level[i - 1] + slope[i - 1] + *was;
				level[i] = a * (x - *was) + (1 - a) * (level[i - 1] + slope[i - 1]);
				season[i] = c * (x - level[i - 1] - slope[i - 1]) + (1 - c) * *was;
			}
			slope[i] = b * (level[i] - level[i - 1]) + (1 - b) * slope[i - 1];
			check_near(score.expected, forecast, 1e-9);
			if (i >= 2 * m + 5)
				check_near(score.score, fabs(x - forecast) / sqrt(squares / total), 1e-9);
			errors[i] = x - forecast;
			squares = total = 0.0;
			for (int k = 2 * m; k <= i; k++)
			{
				squares += pow(1 - params.scale_alpha, i - k) * errors[k] * errors[k];
				total += pow(1 - params.scale_alpha, i - k);
			}
		}
		check(score.ready == (i >= 2 * m + 5));
		check(learn_at(&s, 0, x));
		if (i == 2 * m - 1)
		{
			const SpHoltWinters *state = s.state;

			level[i] = state->level;
			slope[i] = state->trend;
			for (int k = 0; k < m; k++)
				season[m + k] = params.seasonality == SP_SEASONALITY_NONE ? 0 : state->season[k];
			check(trend || slope[i] == 0.0);
		}
	}
	close_series(&s);
}

/* A line and a season without noise are forecast as they go on, from the third period on. */
static void
test_exact(SpSeasonality seasonality)
{
	static const double season[7] = {3, 1, -4, 1, -5, 9, -5};	/* sums up to 0 */
	SpHoltWintersParams params = make_params(seasonality, 7);
	Series		s = open_series(&sp_kernel_holt_winters, &params, SP_DIRECTION_BOTH);

	for (int i = 0; i < 200; i++)
	{
		double		x = seasonality == SP_SEASONALITY_NONE ? 50 - 0.25 * i :
			seasonality == SP_SEASONALITY_ADDITIVE ? 50 + 0.25 * i + season[i % 7] :
			50 * (1 + 0.1 * season[i % 7]);

		if (i >= 14)
			check_near(score_at(&s, 0, x).expected, x, 1e-10);
		check(step_at(&s, 0, x) < 4.0);
	}
	check(score_at(&s, 0, 1e3).score > 1e5);
	close_series(&s);
}

/*
 * Forecasts that statsmodels 0.13.5 makes, by ExponentialSmoothing with known initial values, those of
 * the two first years, and fit() with these smoothing parameters.
 */
static void
test_statsmodels(SpSeasonality seasonality, const double *forecasts)
{
	static const double quarters[24] = {
		30.05, 19.14, 25.32, 27.59, 32.08, 23.49, 28.47, 35.12, 36.84, 25.01, 30.72, 28.69,
		36.64, 23.82, 29.31, 31.77, 35.18, 19.78, 29.60, 34.54, 41.27, 26.66, 28.28, 35.19
	};
	SpHoltWintersParams params = make_params(seasonality, 4);
	Series		s = open_series(&sp_kernel_holt_winters, &params, SP_DIRECTION_BOTH);

	check(params.alpha == 0.2 && params.beta == 0.02 && params.gamma == 0.1);
	for (int i = 0; i < 24; i++)
	{
		if (i >= 8)
			check_near(score_at(&s, 0, 0).expected, forecasts[i - 8], 1e-8);
		check(learn_at(&s, 0, quarters[i]));
	}
	close_series(&s);
}

static const double additive_forecasts[16] = {
	37.4625, 27.58551, 32.63761596, 36.69363026, 38.95317719, 28.48351102, 33.11621444, 36.11076149,
	39.61143281, 28.41411446, 32.25357676, 35.34495709, 39.47762584, 29.06359962, 34.73093962, 37.21624086
};

static const double multiplicative_forecasts[16] = {
	38.69173207, 26.09330896, 32.42193895, 37.1610553, 40.46859317, 26.9724209, 32.88197848, 36.51545758,
	41.031557, 26.95507082, 31.8162341, 35.46328461, 40.56079621, 27.11787715, 34.2887375, 37.47806644
};

/* Level 100, a season of 20 to either side, noise of 1; then at 480 what is to be found or not. */
static int
count_alarms(SpSeasonality seasonality, int textbook_case)
{
	SpHoltWintersParams params;
	Series		s;
	uint64_t	random = 20260107;
	int			alarms = 0;

	sp_online_defaults(&sp_kernel_holt_winters, &params);
	params.seasonality = seasonality;
	s = open_series(&sp_kernel_holt_winters, &params, SP_DIRECTION_BOTH);
	for (int i = 0; i < 600; i++)
	{
		int			phase = textbook_case == 3 && i >= 480 ? i + 6 : i;	/* seasonal break */
		double		x = 100 + 20 * sin(phase * 2 * M_PI / 24) + next_normal(&random);
		bool		found;

		if (textbook_case == 1 && i == 480)
			x += 15;			/* spike */
		if (textbook_case == 2 && i >= 480)
			x -= 15;			/* level shift */
		if (textbook_case == 4)
			x += 0.05 * i;		/* trend all along */
		if (textbook_case == 5 && i >= 480)
			x = 100;			/* flat line */
		found = step_at(&s, 0, x) > s.setup.threshold;
		if (i < 480)
			check(!found);
		alarms += found;
	}
	close_series(&s);
	return alarms;
}

static void
test_edges(void)
{
	SpHoltWintersParams params = make_params(SP_SEASONALITY_ADDITIVE, 4);
	Series		s = open_series(&sp_kernel_holt_winters, &params, SP_DIRECTION_BOTH);

	for (int i = 0; i < 1000; i++)
		check(step_at(&s, 0, 0.1) == 0.0);
	check(score_at(&s, 0, 0.2).score == SP_SCORE_MAX);
	check(score_at(&s, 0, 1.7e308).score == SP_SCORE_MAX);
	close_series(&s);

	/* a season that crosses zero: rounding isn't a deviation */
	s = open_series(&sp_kernel_holt_winters, &params, SP_DIRECTION_BOTH);
	for (int i = 0; i < 1000; i++)
		check(step_at(&s, 0, i % 4 * 0.1 - 0.1) < 4.0);
	close_series(&s);

	/* zeros and negative values, where factors make no sense, do no harm */
	params.seasonality = SP_SEASONALITY_MULTIPLICATIVE;
	s = open_series(&sp_kernel_holt_winters, &params, SP_DIRECTION_BOTH);
	for (int i = 0; i < 1000; i++)
		check(fabs(step_at(&s, 0, i < 500 ? i % 4 : -3.0 * (i % 3))) <= SP_SCORE_MAX);
	check(sp_kernel_holt_winters.is_sound(s.state, &s.setup));
	close_series(&s);
}

int
main(void)
{
	SpHoltWintersParams params;

	sp_online_defaults(&sp_kernel_holt_winters, &params);
	check(params.seasonality == SP_SEASONALITY_ADDITIVE && params.period == 24 && params.trend);
	params.period = 1;
	check(sp_kernel_holt_winters.conflict(&params, 1) != NULL);
	for (int trend = 0; trend < 2; trend++)
	{
		test_recursions(make_params(SP_SEASONALITY_NONE, 1), trend);
		test_recursions(make_params(SP_SEASONALITY_ADDITIVE, 12), trend);
		test_recursions(make_params(SP_SEASONALITY_MULTIPLICATIVE, 24), trend);
	}
	test_statsmodels(SP_SEASONALITY_ADDITIVE, additive_forecasts);
	test_statsmodels(SP_SEASONALITY_MULTIPLICATIVE, multiplicative_forecasts);
	for (int seasonality = 0; seasonality < 3; seasonality++)
		test_exact((SpSeasonality) seasonality);
	for (int seasonality = 1; seasonality < 3; seasonality++)
	{
		check(count_alarms((SpSeasonality) seasonality, 0) == 0);
		check(count_alarms((SpSeasonality) seasonality, 1) == 1);
		check(count_alarms((SpSeasonality) seasonality, 2) >= 1);
		check(count_alarms((SpSeasonality) seasonality, 3) >= 3);
		check(count_alarms((SpSeasonality) seasonality, 4) == 0);
		check(count_alarms((SpSeasonality) seasonality, 5) >= 3);
	}
	test_edges();
	params = make_params(SP_SEASONALITY_ADDITIVE, 12);
	check_extremes(&sp_kernel_holt_winters, &params);
	check_damaged(&sp_kernel_holt_winters, &params, 100, 3000);
	params = make_params(SP_SEASONALITY_MULTIPLICATIVE, 12);
	check_damaged(&sp_kernel_holt_winters, &params, 17, 3000);
	return failures > 0;
}
