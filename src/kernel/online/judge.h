/*
 * judge.h
 *	  Score a point, decide whether it is an anomaly, and learn of it what is to be learned.
 *
 * What was flagged trains the model as it is (SP_LEARN_ALL), not at all (SP_LEARN_NORMAL), or as
 * far as the bound that it has crossed (SP_LEARN_CAPPED; where there is no such bound, not at
 * all).  A series that has moved for good would be flagged for ever by the last two: the flagged
 * point that is the setup's escape-th on one side in a row, and those after it, are learned as
 * they are.
 */
#ifndef SP_JUDGE_H
#define SP_JUDGE_H

#include "kernel/online/online.h"

typedef enum SpLearn
{
	SP_LEARN_ALL,
	SP_LEARN_NORMAL,
	SP_LEARN_CAPPED
} SpLearn;

typedef struct SpJudge
{
	const SpKernel *kernel;
	SpSetup		setup;
	SpLearn		learn;
	double		min_effect;		/* a value less than this from what is expected is no anomaly */
} SpJudge;

/*
 * True: it is an anomaly.  *run: so many flagged points on one side in a row, negative where they
 * are below what is expected; 0 at first.  why: NULL, or filled in if the score is above the
 * threshold.
 */
extern bool sp_judge_point(const SpJudge *judge, int32_t *run, void *state, const SpPoint *point,
						   SpScore *score, SpExplanation *why);

/* The same of a point that isn't learned. */
extern bool sp_judge_look(const SpJudge *judge, const void *state, const SpPoint *point,
						  SpScore *score, SpExplanation *why);

/* Is the point above (1) or below (-1) what is expected?  0: neither, or not known. */
extern int	sp_judge_side(const SpJudge *judge, const SpPoint *point, const SpScore *score);

#endif
