/*
 * test_records.c
 *	  Leaky records against the same method written plainly in double precision, on two series of
 *	  the Numenta Anomaly Benchmark and made ones; what is known of the method on those series;
 *	  its edges.
 */
#include "kernel/online/records.h"
#include "records_plain.h"
#include "unit.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double scores[MAX_ROWS];
static double scores_plain[MAX_ROWS];

/* ---- the kernel ---- */

static SpSetup
make_setup(SpRecordsParams *params, SpRecordsSize size)
{
	SpSetup		setup = {.params = params, .n = 1, .direction = SP_DIRECTION_BOTH, .threshold = 0.0};

	sp_online_defaults(&sp_kernel_records, params);
	params->size = size;
	setup.threshold = sp_online_threshold(&sp_kernel_records, params, 1);
	return setup;
}

static void *
make_state(const SpSetup *setup)
{
	void	   *state = malloc(sp_online_state_size(&sp_kernel_records, setup->params, 1));

	sp_online_init(&sp_kernel_records, state, setup);
	return state;
}

/* Score and learn one value. */
static SpScore
step_value(void *state, const SpSetup *setup, int64_t time, double x, SpExplanation *why)
{
	SpPoint		point = {time, time, &x};
	SpScore		score;

	check(sp_online_step(&sp_kernel_records, state, setup, &point, &score, why));
	return score;
}

/* A whole series; returns the number of alerts. */
static int
run_setup(const SpSetup *setup, const Series *in, double *out)
{
	void	   *state = make_state(setup);
	int			alerts = 0;

	for (int i = 0; i < in->n; i++)
	{
		out[i] = step_value(state, setup, in->time[i], in->x[i], NULL).score;
		alerts += out[i] > setup->threshold;
	}
	check(sp_kernel_records.is_sound(state, setup));
	free(state);
	return alerts;
}

static int
run_size(SpRecordsSize size, const Series *in, double *out)
{
	SpRecordsParams params;
	SpSetup		setup = make_setup(&params, size);

	return run_setup(&setup, in, out);
}

/* ---- series ---- */

/* From the folder of data beside this one. */
static void
read_series(const char *name, Series *series)
{
	char		path[4096];
	char		line[256];
	const char *end = strstr(__FILE__, "unit/test_records.c");
	FILE	   *file;

	snprintf(path, sizeof(path), "%.*sdata/%s", (int) (end - __FILE__), __FILE__, name);
	file = fopen(path, "r");
	check(file != NULL);
	series->n = 0;
	while (file != NULL && fgets(line, sizeof(line), file) != NULL && series->n < MAX_ROWS)
	{
		struct tm	tm = {0};

		if (sscanf(line, "%d-%d-%d %d:%d:%d,%lf", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
				   &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &series->x[series->n]) != 7)
			continue;
		tm.tm_year -= 1900;
		tm.tm_mon -= 1;
		series->time[series->n++] = ((int64_t) timegm(&tm) - 946684800) * SECOND;
	}
	if (file != NULL)
		fclose(file);
}

/* A daily and weekly season with noise, 5 minutes apart. */
static void
make_series(Series *series, int n, uint64_t seed)
{
	uint64_t	random = seed;

	series->n = n;
	for (int i = 0; i < n; i++)
	{
		double		noise = next_uniform(&random) + next_uniform(&random) - 1.0;

		series->time[i] = INT64_C(700000000) * SECOND + i * 5 * MINUTE;
		series->x[i] = 100 + 20 * sin(i * (2 * M_PI / 288)) + 4 * noise;
	}
}

/* ---- tests ---- */

/*
 * The kernel's scores are those of the plain method, to the precision of floats.  A value between
 * two levels may fall to either, which changes a surprise: hence not all of them.
 */
static void
test_plain(const Series *in)
{
	for (int size = SP_RECORDS_MICRO; size <= SP_RECORDS_FULL; size++)
	{
		int			differ = 0;
		int			emitted = 0;

		run_size((SpRecordsSize) size, in, scores);
		if (size == SP_RECORDS_FULL)
			plain_full(in, scores_plain);
		else
			plain_small(&plain_sizes[size], in, scores_plain);
		for (int i = 0; i < in->n; i++)
		{
			double		tolerance = 1e-4 + 1e-3 * scores_plain[i];

			emitted += scores_plain[i] > 0;
			differ += fabs(scores[i] - scores_plain[i]) > tolerance;
		}
		if (getenv("SHOW"))
			printf("size %d: %d of %d differ\n", size, differ, emitted);
		check(emitted > 10);
		check(differ == 0);
	}
}

/* The alerts of the series within spans of time, and outside, after NAB's probation. */
static void
count_alerts(const Series *in, const double *out, double threshold, int nspans,
			 const int64_t (*spans)[2], int *hit, int *outside)
{
	bool		is_hit[8] = {false};

	*hit = *outside = 0;
	for (int i = in->n * 15 / 100 < 750 ? in->n * 15 / 100 : 750; i < in->n; i++)
	{
		int			span = 0;

		if (!(out[i] > threshold))
			continue;
		while (span < nspans && (in->time[i] < spans[span][0] || in->time[i] > spans[span][1]))
			span++;
		if (span == nspans)
			(*outside)++;
		else
			is_hit[span] = true;
	}
	for (int span = 0; span < nspans; span++)
		*hit += is_hit[span];
}

static int64_t
at(int year, int month, int day, int hour, int minute)
{
	struct tm	tm = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day,
	.tm_hour = hour, .tm_min = minute};

	return ((int64_t) timegm(&tm) - 946684800) * SECOND;
}

/*
 * What was measured of the method where it was found: windows of NAB's labels hit, and alerts
 * outside, at the size's threshold.
 */
static void
test_benchmark(const Series *taxi, const Series *server)
{
	const int64_t taxi_spans[5][2] = {
		{at(2014, 10, 30, 15, 30), at(2014, 11, 3, 22, 30)},
		{at(2014, 11, 25, 12, 0), at(2014, 11, 29, 19, 0)},
		{at(2014, 12, 23, 11, 30), at(2014, 12, 27, 18, 30)},
		{at(2014, 12, 29, 21, 30), at(2015, 1, 3, 4, 30)},
		{at(2015, 1, 24, 20, 30), at(2015, 1, 29, 3, 30)}
	};
	const int64_t server_spans[3][2] = {
		{at(2014, 3, 14, 3, 31), at(2014, 3, 14, 14, 41)},
		{at(2014, 3, 18, 17, 6), at(2014, 3, 19, 4, 16)},
		{at(2014, 3, 20, 21, 26), at(2014, 3, 21, 3, 41)}
	};
	int			hit;
	int			outside;

	run_size(SP_RECORDS_FULL, taxi, scores);
	count_alerts(taxi, scores, 0.0395, 5, taxi_spans, &hit, &outside);
	check(hit == 5 && outside == 4);
	run_size(SP_RECORDS_TINY, taxi, scores);
	count_alerts(taxi, scores, 0.0284, 5, taxi_spans, &hit, &outside);
	check(hit == 4 && outside == 1);
	run_size(SP_RECORDS_FULL, server, scores);
	count_alerts(server, scores, 0.0395, 3, server_spans, &hit, &outside);
	check(hit == 3 && outside == 5);
	run_size(SP_RECORDS_TINY, server, scores);
	count_alerts(server, scores, 0.0284, 3, server_spans, &hit, &outside);
	check(hit == 3 && outside == 4);
}

/* Another unit, another zero: the same alerts. */
static void
test_units(void)
{
	static Series series;
	static Series other;
	const double changes[][2] = {{1e-9, 0}, {1e9, 0}, {-1, 0}, {1, 1e7}, {0.0625, -4e6}};

	for (int size = SP_RECORDS_MICRO; size <= SP_RECORDS_FULL; size++)
	{
		int			alerts;

		make_series(&series, 4000, 5);
		series.x[3000] += 200;
		series.x[3500] -= 500;
		alerts = run_size((SpRecordsSize) size, &series, scores);
		check(scores[3000] > 0.5 && scores[3500] > 0.5);
		for (size_t k = 0; k < sizeof(changes) / sizeof(changes[0]); k++)
		{
			int			others;

			/* negative values are other levels, hence only records of values are the same */
			other = series;
			for (int i = 0; i < series.n; i++)
				other.x[i] = changes[k][0] * series.x[i] + changes[k][1];
			others = run_size((SpRecordsSize) size, &other, scores_plain);
			if (changes[k][0] > 0)
				check(abs(others - alerts) <= 1);
			check_near(scores_plain[3000], scores[3000], 0.02 * scores[3000]);
			check_near(scores_plain[3500], scores[3500], 0.02 * scores[3500]);
		}
	}
}

static void
test_warmup(SpRecordsSize size)
{
	SpRecordsParams params;
	SpSetup		setup = make_setup(&params, size);
	void	   *state = make_state(&setup);
	SpScore		score;

	for (int i = 0; i <= 50; i++)
	{
		score = step_value(state, &setup, i * MINUTE, i == 30 ? 1e6 : 10 + i % 3, NULL);
		check(score.score == 0.0 && !score.ready && isnan(score.upper_bound));
		check(isnan(score.expected) == (i == 0));
		check(sp_online_learned(&sp_kernel_records, state, &setup) == i + 1);
	}
	score = step_value(state, &setup, 51 * MINUTE, 5e6, NULL);
	check(score.score > 1.0 && score.ready);
	check(sp_online_needed(&sp_kernel_records, &params, 1) == 51);
	free(state);
}

/* Nothing is anomalous in a constant series, but the first departure from it is. */
static void
test_constant(SpRecordsSize size, double level, double noise)
{
	SpRecordsParams params;
	SpSetup		setup = make_setup(&params, size);
	void	   *state = make_state(&setup);
	SpExplanation why;
	SpScore		score;

	for (int i = 0; i < 20000; i++)
	{
		score = step_value(state, &setup, i * MINUTE, level + (i % 7 == 0 ? noise : 0.0), NULL);
		check(score.score <= setup.threshold);
	}
	check_near(score.expected, level, 1e-9 * fabs(level));
	score = step_value(state, &setup, 20000 * MINUTE, level + 1 + fabs(level), &why);
	check(score.score > 1e4);
	check(why.nparts == 1 && strcmp(why.parts[0].name, "value") == 0);
	free(state);
}

/* Within a rest only what is `crest` times as high is another episode. */
static void
test_rest(void)
{
	SpRecordsParams params;
	SpSetup		setup = make_setup(&params, SP_RECORDS_MICRO);
	void	   *state;
	double		x = 400;
	SpPoint		point = {0, 0, &x};
	SpScore		score;

	params.rest = 20;
	params.crest = 3.0;
	params.tau = 1e6;
	state = make_state(&setup);
	for (int i = 0; i < 300; i++)
		step_value(state, &setup, 0, i % 2 * 10, NULL);
	score = step_value(state, &setup, 0, 20, NULL);
	check_near(score.score, 1.093 * 0 + 0.81, 0.01);
	check(score.upper_bound > 10 && score.upper_bound < 10.3);

	/* one more range above, half of the score */
	score = step_value(state, &setup, 0, 41, NULL);
	check(score.score == 0.0);

	/* the bound tells what it takes: 0.81 * (x - hi) / range = 3 * 0.81 */
	check_near(score.upper_bound, 20 + 3 * 20, 0.1);
	score = step_value(state, &setup, 0, 41 + 41 * 3.1, NULL);
	check(score.score > 3 * 0.81);

	/* passed over: the rest goes on and begins anew as if it had been learned, nothing else moves */
	for (int i = 0; i < 30; i++)
		step_value(state, &setup, 0, i % 2 * 10, NULL);
	sp_kernel_records.score(state, &setup, &point, &score, NULL);
	check(score.score > setup.threshold);
	sp_kernel_records.pass(state, &setup, &point);
	check(sp_online_learned(&sp_kernel_records, state, &setup) == 333);
	sp_kernel_records.score(state, &setup, &point, &score, NULL);
	check(score.score == 0.0);
	for (int i = 0; i < 20; i++)
	{
		x = 5;
		sp_kernel_records.pass(state, &setup, &point);
	}
	x = 400;
	sp_kernel_records.score(state, &setup, &point, &score, NULL);
	check(score.score > setup.threshold);
	free(state);
}

static void
test_directions(SpRecordsSize size)
{
	static Series series;
	SpRecordsParams params;
	SpSetup		setup = make_setup(&params, size);

	make_series(&series, 4000, 9);
	series.x[3000] += 100;
	series.x[3500] -= 100;
	setup.direction = SP_DIRECTION_HIGH;
	run_setup(&setup, &series, scores);
	check(scores[3000] > setup.threshold && scores[3500] == 0.0);
	setup.direction = SP_DIRECTION_LOW;
	run_setup(&setup, &series, scores);
	check(scores[3000] == 0.0 && scores[3500] > setup.threshold);
}

/* The bounds are where the value's record reaches the threshold. */
static void
test_bounds(SpRecordsSize size)
{
	static Series series;
	SpRecordsParams params;
	SpSetup		setup = make_setup(&params, size);
	void	   *state = make_state(&setup);
	double		x;
	SpPoint		point = {0, 0, &x};
	SpScore		score;
	SpExplanation why;

	make_series(&series, 3000, 17);
	setup.threshold = 0.3;
	for (int i = 0; i < series.n; i++)
		score = step_value(state, &setup, series.time[i], series.x[i], NULL);
	point.time = point.local = series.time[series.n - 1] + 5 * MINUTE;
	for (int side = 0; side < 2; side++)
	{
		double		bound = side == 0 ? score.lower_bound : score.upper_bound;
		double		out = side == 0 ? -0.01 : 0.01;

		x = bound + out;
		sp_kernel_records.score(state, &setup, &point, &score, &why);
		check(score.score > 0.3 && why.nparts == 1);
		if (size == SP_RECORDS_FULL)
			continue;			/* what is left after the hour's mean is anomalous within */
		check(strcmp(why.parts[0].name, "value") == 0);
		check(why.expected[0] == score.expected && why.upper[0] == score.upper_bound);
		x = bound - out;
		sp_kernel_records.score(state, &setup, &point, &score, &why);
		check(score.score <= 0.3);
	}
	free(state);
}

/* Values and times at the ends of what there is. */
static void
test_extremes(SpRecordsSize size)
{
	SpRecordsParams params;
	SpSetup		setup = make_setup(&params, size);
	void	   *state = make_state(&setup);
	void	   *before = make_state(&setup);
	size_t		bytes = sp_online_state_size(&sp_kernel_records, &params, 1);
	double		x = 1e300;
	SpPoint		point = {INT64_MAX, INT64_MIN, &x};
	SpScore		score;

	check(!sp_kernel_records.learn(state, &setup, &point));
	check(memcmp(state, before, bytes) == 0);
	for (int i = 0; i < 100; i++)
	{
		x = i % 2 == 0 ? 4e35 : -4e35;
		point.local = i % 2 == 0 ? INT64_MIN : INT64_MAX;
		check(sp_online_step(&sp_kernel_records, state, &setup, &point, &score, NULL));
		check(sp_kernel_records.is_sound(state, &setup));
	}
	memcpy(before, state, bytes);
	x = -DBL_MAX;
	check(!sp_online_step(&sp_kernel_records, state, &setup, &point, &score, NULL));
	check(memcmp(state, before, bytes) == 0);
	x = DBL_MIN;
	check(sp_kernel_records.learn(state, &setup, &point));
	free(before);
	free(state);
}

/* Hours of the week are those of the calendar, also before 2000. */
static void
test_hours(void)
{
	SpRecordsParams params;
	SpSetup		setup = make_setup(&params, SP_RECORDS_FULL);

	for (int64_t hour = -400; hour < 400; hour++)
	{
		SpRecordsFull *state = make_state(&setup);
		int64_t		time = hour * 60 * MINUTE + (hour % 2 == 0 ? 0 : 60 * MINUTE - 1);

		step_value(state, &setup, time, 1.0, NULL);
		check(state->seen[plain_hour_of_week(time - (time % SECOND + SECOND) % SECOND)] == 1);
		free(state);
	}
}

static void
test_soundness(void)
{
	SpRecordsParams params;
	SpSetup		setup = make_setup(&params, SP_RECORDS_FULL);
	SpRecordsFull *state = make_state(&setup);
	SpRecordsFull damaged;

	for (int i = 0; i < 200; i++)
		step_value(state, &setup, i * MINUTE, i % 17, NULL);
	check(sp_kernel_records.is_sound(state, &setup));

#define check_refused(field, bad) \
	do { \
		damaged = *state; \
		damaged.field = (bad); \
		check(!sp_kernel_records.is_sound(&damaged, &setup)); \
	} while (0)
	check_refused(head.origin, NAN);
	check_refused(head.center, INFINITY);
	check_refused(head.emitted, -1.0f);
	check_refused(hi, -100.0f);
	check_refused(lo, NAN);
	check_refused(mean_records[2].lo, 1e9f);
	check_refused(residual_records[0].center, NAN);
	check_refused(range.hi, -1e30f);
	check_refused(pattern.mean, -1.0f);
	check_refused(hour.hi, NAN);
	check_refused(week[167], NAN);
	check_refused(near[17][17], 65535);
	check_refused(hours[15][23], 65535);
	check_refused(levels[44], 18);
	check_refused(next, 45);
	free(state);
}

/* Whatever damaged state is taken for sound, it works. */
static void
test_damage(SpRecordsSize size)
{
	SpRecordsParams params;
	SpSetup		setup = make_setup(&params, size);
	size_t		bytes = sp_online_state_size(&sp_kernel_records, &params, 1);
	unsigned char *state = make_state(&setup);
	uint64_t	random = 99;
	int			sound = 0;

	for (int round = 0; round < 3000; round++)
	{
		sp_online_init(&sp_kernel_records, state, &setup);
		for (int i = 0; i < 60; i++)
			step_value(state, &setup, i * 20 * MINUTE, (double) (next_random(&random) % 100), NULL);
		for (uint64_t i = next_random(&random) % 8; i > 0; i--)
			state[next_random(&random) % bytes] = (unsigned char) next_random(&random);
		if (!sp_kernel_records.is_sound(state, &setup))
			continue;
		sound++;
		for (int i = 0; i < 20; i++)
		{
			double		x = ldexp(next_uniform(&random) - 0.5, (int) (next_random(&random) % 130));
			SpPoint		point = {0, (int64_t) next_random(&random), &x};
			SpScore		score;

			sp_online_step(&sp_kernel_records, state, &setup, &point, &score, NULL);
			check(score.score >= 0.0 && score.score <= SP_SCORE_MAX);
			check(!(score.lower_bound > score.upper_bound));
		}
		check(sp_kernel_records.is_sound(state, &setup));
	}
	check(sound > 100);
	free(state);
}

/* A change to a series at row 6000 and after, and whether it must be found by each size. */
typedef enum Change
{
	SPIKE, DIP, SHIFT, TREND, VARIANCE, SEASON, FLAT, DRIFT, NOTHING, NCHANGES
} Change;

static void
change_series(Series *series, Change change, uint64_t *random)
{
	for (int i = 6000; i < series->n; i++)
	{
		double	   *x = &series->x[i];

		if (change == SPIKE && i == 6000)
			*x += 60;
		if (change == DIP && i == 6000)
			*x -= 60;
		if (change == SHIFT)
			*x += 25;
		if (change == TREND)
			*x += 0.05 * (i - 6000);
		if (change == VARIANCE)
			*x += 60 * (next_uniform(random) - 0.5);
		if (change == SEASON && i < 6288)
			*x = 100 - 20 * sin(i * (2 * M_PI / 288)) + 4 * (next_uniform(random) - 0.5);
		if (change == FLAT && i < 6288)
			*x = 100;
		if (change == DRIFT)
			*x += 0.001 * (i - 6000);
	}
}

/*
 * The textbook cases: found within a day (two of a trend), few alerts before.  A break of the
 * season and a flat line stay within the range of the value: only surprises can see them.
 */
static void
test_textbook(void)
{
	static Series series;
	static const bool found[NCHANGES][SP_RECORDS_NSIZES] = {
		[SPIKE] = {true, true, true, true},
		[DIP] = {true, true, true, true},
		[SHIFT] = {true, true, true, true},
		[TREND] = {true, true, true, true},
		[VARIANCE] = {true, true, true, true},
		[SEASON] = {false, true, true, true},
		[FLAT] = {false, true, true, true},
		[DRIFT] = {false, false, false, false},
		[NOTHING] = {false, false, false, false}
	};
	uint64_t	random = 77;

	for (int change = 0; change < NCHANGES; change++)
	{
		make_series(&series, 7000, 21);
		change_series(&series, (Change) change, &random);
		for (int size = 0; size < SP_RECORDS_NSIZES; size++)
		{
			SpRecordsParams params;
			SpSetup		setup = make_setup(&params, (SpRecordsSize) size);
			int			before = 0;
			int			within = 0;

			run_setup(&setup, &series, scores);
			for (int i = 2000; i < 6000; i++)
				before += scores[i] > setup.threshold;
			for (int i = 6000; i < 6000 + 288 * (change == TREND ? 2 : 1); i++)
				within += scores[i] > setup.threshold;
			if (getenv("SHOW"))
				printf("change %d size %d: before %d within %d\n", change, size, before, within);
			check(before <= (size == SP_RECORDS_MICRO ? 7 : 2));
			check((within > 0) == found[change][size]);
		}
	}
}

/*
 * Fine scores of size micro: the largest excess whenever there is one, and how near the three records
 * are; as the header has it, in double precision.
 */
static void
test_fine(const Series *in)
{
	static const double alphas[3] = {1.0, 0.088, 0.0185};
	static const double weights[3] = {0.810, 1.093, 1.045};
	SpRecordsParams params;
	SpSetup		setup = make_setup(&params, SP_RECORDS_MICRO);
	double		y[3] = {0};
	PlainRecord records[3] = {{0}};
	double		c = 0.0;
	void	   *state;
	int			broken = 0;
	int			different = 0;

	setup.is_fine = true;
	setup.threshold = 0.0;
	state = make_state(&setup);
	for (int i = 0; i < in->n; i++)
	{
		SpExplanation why;
		SpScore		score = step_value(state, &setup, in->time[i], in->x[i], &why);
		double		excess = 0.0;
		double		distance = 0.0;
		double		sum = 0.0;

		c = i == 0 ? in->x[0] : c + fmax(1.0 / (i + 1), 1.0 / 9603) * (in->x[i] - c);
		for (int k = 0; k < 3; k++)
		{
			double		range = records[k].hi - records[k].lo + 1e-9 * fabs(c) + 1e-12;

			y[k] = i == 0 ? in->x[0] : y[k] + fmax(1.0 / (i + 1), alphas[k]) * (in->x[i] - y[k]);
			if (i > 0)
				distance += fmax(0.0, fmin(records[k].hi - y[k], y[k] - records[k].lo) / range) / 3;
			excess = fmax(excess, weights[k] * plain_record(&records[k], y[k], i, 9603, &c, c));
		}
		broken += excess > 0.0;
		if (i <= 50)
		{
			check(score.score == 0.0);
			continue;
		}
		for (int part = 0; part < why.nparts; part++)
			sum += why.parts[part].amount;
		check_near(sum, score.score, 1e-9);
		different += fabs(score.score - (excess + 0.001 * exp2(-16.0 * distance))) > 2e-5 + 1e-3 * excess;
	}
	if (getenv("SHOW"))
		printf("fine: %d broken, %d of %d differ\n", broken, different, in->n);
	check(broken > 20 && different <= in->n / 500);
	free(state);

	/* a crest that is given is kept */
	params.crest = 2.254;
	state = make_state(&setup);
	for (int i = 0, last = -1000; i < in->n; i++)
	{
		SpScore		score = step_value(state, &setup, in->time[i], in->x[i], NULL);

		check(score.score <= 0.0010001 || i - last > 109 || score.score > scores[last]);
		scores[i] = score.score;
		if (score.score > 0.00101)
			last = i;
	}
	free(state);
}

int
main(void)
{
	static Series taxi;
	static Series server;
	static Series made;

	read_series("nyc_taxi.csv", &taxi);
	read_series("ec2_request_latency_system_failure.csv", &server);
	check(taxi.n == 10320 && server.n == 4032);
	test_plain(&taxi);
	test_plain(&server);
	make_series(&made, 12000, 3);
	made.x[7000] += 300;
	test_plain(&made);
	test_benchmark(&taxi, &server);
	test_fine(&taxi);
	test_fine(&server);
	test_units();
	test_rest();
	test_hours();
	test_soundness();
	test_textbook();
	for (int size = SP_RECORDS_MICRO; size <= SP_RECORDS_FULL; size++)
	{
		test_warmup((SpRecordsSize) size);
		test_constant((SpRecordsSize) size, 0.0, 0.0);
		test_constant((SpRecordsSize) size, 0.1, 1e-17);
		test_constant((SpRecordsSize) size, 1e9, 2.5e-7);
		test_directions((SpRecordsSize) size);
		test_bounds((SpRecordsSize) size);
		test_extremes((SpRecordsSize) size);
		test_damage((SpRecordsSize) size);
	}
	return failures > 0;
}
