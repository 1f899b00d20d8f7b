/*
 * test_pool.c
 *	  Budgets of alerts: whatever scores do, so many are above the threshold.
 */
#include "kernel/online/pool.h"
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MINUTE	INT64_C(60000000)
#define PER_DAY 1440.0

static SpPool pool;

/* How scores come. */
typedef enum Law
{
	STEADY, RISING, FALLING, BURSTS, STEPS, NLAWS
} Law;

static double
next_exponential(uint64_t *random)
{
	return -log1p(-next_uniform(random));
}

/* The i-th of n. */
static double
next_score(Law law, int i, int n, uint64_t *random)
{
	static double level;
	double		part = (double) i / n;

	switch (law)
	{
		case STEADY:
			return next_exponential(random);
		case RISING:
			return next_exponential(random) * exp(3.0 * part);
		case FALLING:
			return next_exponential(random) * exp(-3.0 * part);
		case BURSTS:
			level = i == 0 ? 0.0 : 0.95 * level + 0.05 * next_exponential(random);
			return level;
		default:
			return next_exponential(random) * (i / 500 % 2 == 0 ? 1.0 : 20.0);
	}
}

/* Judge one score, as a detector does; 10 is its own threshold. */
static bool
judge(double score, int64_t time, double alerts_per_day)
{
	double		threshold = sp_pool_threshold(&pool, alerts_per_day);
	bool		is_alert = score > (isnan(threshold) ? 10.0 : threshold);

	sp_pool_spend(&pool, score, time, alerts_per_day, is_alert);
	return is_alert;
}

/* All of a series, and its second half, have as many alerts as the budget has, give or take. */
static void
test_law(Law law, double alerts_per_day)
{
	const int	n = 20000;
	const double rate = alerts_per_day / PER_DAY;
	uint64_t	random = 77 + (uint64_t) law;
	int			alerts = 0;
	int			late = 0;

	sp_pool_init(&pool);
	for (int i = 0; i < n; i++)
	{
		bool		is_alert = judge(next_score(law, i, n, &random), i * MINUTE, alerts_per_day);

		alerts += is_alert;
		late += is_alert && i >= n / 2;
	}
	check(sp_pool_is_sound(&pool));
	if (getenv("SHOW"))
		printf("law %d, %g a day: %d of %g, %d of %g\n", law, alerts_per_day, alerts, rate * n, late,
			   rate * n / 2);
	if (law == RISING || law == FALLING)
	{
		/* the slack is used up, and the past has to be forgotten first */
		check(late < 1.7 * rate * n / 2 && late > rate * n / 2 / 1.7 - 8.0);
		return;
	}
	check(fabs(late - rate * n / 2) <= 8.0 + 0.05 * rate * n / 2);
	check(fabs(alerts - rate * n) <= 8.0 + 0.05 * rate * n);
}

/* Nothing is known at first; then, without slack, the threshold is the quantile. */
static void
test_threshold(void)
{
	const double alerts_per_day = 14.4;
	uint64_t	random = 5;
	int			above = 0;

	sp_pool_init(&pool);
	for (int i = 0; i < 50000; i++)
	{
		check(isnan(sp_pool_threshold(&pool, alerts_per_day)) == (i < 50));
		sp_pool_spend(&pool, next_exponential(&random), i * MINUTE, alerts_per_day, false);
		pool.slack = 0.0;
	}
	check_near(sp_pool_threshold(&pool, alerts_per_day), log(100.0), 0.15);
	for (int i = 0; i < 100000; i++)
		above += next_exponential(&random) > sp_pool_threshold(&pool, alerts_per_day);
	check(above > 850 && above < 1150);

	/* without times nobody knows what a day is */
	sp_pool_init(&pool);
	for (int i = 0; i < 100; i++)
		sp_pool_spend(&pool, next_exponential(&random), 0, alerts_per_day, false);
	check(isnan(sp_pool_threshold(&pool, alerts_per_day)));
}

/* What is forgiven was no alert. */
static void
test_forgiven(void)
{
	static SpPool other;
	uint64_t	random = 6;

	sp_pool_init(&pool);
	for (int i = 0; i < 1000; i++)
		judge(next_exponential(&random), i * MINUTE, 20.0);
	(void) sp_pool_threshold(&pool, 20.0);
	memcpy(&other, &pool, sizeof(pool));
	sp_pool_spend(&pool, 100.0, 1000 * MINUTE, 20.0, true);
	sp_pool_forgive(&pool);
	sp_pool_spend(&other, 100.0, 1000 * MINUTE, 20.0, false);
	check(memcmp(&other, &pool, sizeof(pool)) == 0);

	/* an alert makes the next one harder */
	sp_pool_spend(&pool, 100.0, 1001 * MINUTE, 20.0, true);
	sp_pool_spend(&other, 100.0, 1001 * MINUTE, 20.0, false);
	pool.age = other.age = 16;
	check(sp_pool_threshold(&pool, 20.0) > sp_pool_threshold(&other, 20.0));
	check(pool.slack < other.slack);
}

/* Looks at what isn't final change nothing, but for the alerts they lead to, which count once. */
static void
test_early(double alerts_per_day)
{
	static SpPool other;
	const int	n = 20000;
	const double rate = alerts_per_day / PER_DAY;
	uint64_t	random = 8;
	int			told = 0;
	int			early = 0;

	sp_pool_init(&pool);
	sp_pool_init(&other);
	for (int i = 0; i < 3000; i++)
	{
		double		score = next_exponential(&random);

		for (int look = 0; look < i % 4; look++)
			(void) sp_pool_threshold(&pool, alerts_per_day);
		judge(score, i * MINUTE, alerts_per_day);
		sp_pool_spend(&other, score, i * MINUTE, alerts_per_day,
					  score > (i < 50 ? 10.0 : sp_pool_threshold(&other, alerts_per_day)));
		if (i >= 50)
			check(memcmp(&other, &pool, sizeof(pool)) == 0);
	}

	/* a look, and the same row some minutes later, when others have been learned */
	for (int i = 0; i < n; i++)
	{
		double		score = next_exponential(&random);
		double		seen = score * next_uniform(&random) * 1.1;
		bool		was_told = seen > sp_pool_threshold(&pool, alerts_per_day);
		bool		is_anomaly;

		if (was_told)
			sp_pool_alert(&pool);
		if (i % 3 == 0)
			(void) sp_pool_threshold(&pool, alerts_per_day);
		is_anomaly = judge(score, (3000 + i) * MINUTE, alerts_per_day);
		if (is_anomaly && was_told)
			sp_pool_forgive(&pool);
		told += was_told || is_anomaly;
		early += was_told;
		check(sp_pool_is_sound(&pool));
	}
	check(fabs(told - rate * n) <= 8.0 + 0.05 * rate * n);
	check(early > told / 20 && early < told);
}

static void
test_soundness(void)
{
	uint64_t	random = 7;

	sp_pool_init(&pool);
	check(sp_pool_is_sound(&pool));
	for (int i = 0; i < 1000; i++)
	{
		judge(next_exponential(&random), i * MINUTE, 5.0);
		check(sp_pool_is_sound(&pool));
	}
#define check_refused(field, value) \
	do { \
		SpPool		damaged = pool; \
		damaged.field = (value); \
		check(!sp_pool_is_sound(&damaged)); \
	} while (0)
	check_refused(slack, NAN);
	check_refused(slack, 6.0);
	check_refused(slack, -4.0);
	check_refused(threshold, -1.0);
	check_refused(threshold, INFINITY);
	check_refused(age, -1);
	check_refused(age, 1000);
	check_refused(alerted, 2);
	check_refused(calibration.head.top, 1 << 20);
	check_refused(calibration.weight, 0.0);
}

int
main(void)
{
	for (int law = 0; law < NLAWS; law++)
	{
		test_law((Law) law, 1.0);
		test_law((Law) law, 5.0);
		test_law((Law) law, 100.0);
	}
	test_threshold();
	test_forgiven();
	test_early(5.0);
	test_early(100.0);
	test_soundness();
	return failures > 0;
}
