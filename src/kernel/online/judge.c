/*
 * judge.c
 *	  Score a point, decide whether it is an anomaly, and learn of it what is to be learned.
 */
#include "kernel/online/judge.h"

#include <math.h>

#define LONGEST_RUN	1000000000

int
sp_judge_side(const SpJudge *judge, const SpPoint *point, const SpScore *score)
{
	if (judge->setup.n != 1 || isnan(score->expected))
		return 0;
	return (point->x[0] > score->expected) - (point->x[0] < score->expected);
}

static bool
is_anomaly(const SpJudge *judge, const SpPoint *point, const SpScore *score)
{
	if (!score->ready || !(score->score > judge->setup.threshold))
		return false;
	return judge->setup.n != 1 ||
		!(fabs(point->x[0] - score->expected) < judge->min_effect);
}

/* One more that is flagged; is it time to believe them? */
static bool
escapes(const SpJudge *judge, int32_t *run, int side)
{
	if (side < 0)
		*run = *run > 0 ? -1 : *run - (*run > -LONGEST_RUN);
	else
		*run = *run < 0 ? 1 : *run + (*run < LONGEST_RUN);
	return judge->setup.escape > 0 && (*run < 0 ? -*run : *run) >= judge->setup.escape;
}

/* Learn a flagged point as far as it is to be. */
static void
learn_flagged(const SpJudge *judge, void *state, const SpPoint *point, const SpScore *score)
{
	SpPoint		capped = *point;
	double		x = point->x != NULL ? point->x[0] : 0;

	if (judge->learn == SP_LEARN_CAPPED && judge->setup.n == 1 &&
		(x < score->lower_bound || x > score->upper_bound))
	{
		x = x < score->lower_bound ? score->lower_bound : score->upper_bound;
		capped.x = &x;
		if (isfinite(x) && judge->kernel->learn(state, &judge->setup, &capped))
			return;
	}
	if (judge->kernel->pass != NULL)
		judge->kernel->pass(state, &judge->setup, point);
}

bool
sp_judge_point(const SpJudge *judge, int32_t *run, void *state, const SpPoint *point,
			   SpScore *score, SpExplanation *why)
{
	const SpKernel *kernel = judge->kernel;

	if (judge->learn == SP_LEARN_ALL)
	{
		(void) sp_online_step(kernel, state, &judge->setup, point, score, why);
		return is_anomaly(judge, point, score);
	}
	kernel->score(state, &judge->setup, point, score, why);
	if (!is_anomaly(judge, point, score))
	{
		*run = 0;
		(void) kernel->learn(state, &judge->setup, point);
		return false;
	}
	if (escapes(judge, run, sp_judge_side(judge, point, score)))
		(void) kernel->learn(state, &judge->setup, point);
	else
		learn_flagged(judge, state, point, score);
	return true;
}

bool
sp_judge_look(const SpJudge *judge, const void *state, const SpPoint *point, SpScore *score,
			  SpExplanation *why)
{
	judge->kernel->score(state, &judge->setup, point, score, why);
	return is_anomaly(judge, point, score);
}
