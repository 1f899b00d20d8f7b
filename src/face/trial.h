/*
 * trial.h
 *	  A detector that is to be tried over the history of its source: found, checked, defined
 *	  otherwise.
 */
#ifndef SP_TRIAL_H
#define SP_TRIAL_H

#include "postgres.h"

#include "catalog/definition.h"
#include "catalog/object.h"
#include "fmgr.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

typedef struct SpTrial
{
	SpObject	object;
	SpDefinitions *definitions;
	SpDetectorDef *detector;
	const SpStreamDef *stream;	/* that it reads, or whose clock its source follows */
	TimestampTz from;			/* events before it train, and are not judged */
	TimestampTz before;			/* nor is there one from here on */
} SpTrial;

/*
 * The detector of argument n, whose results and source the caller may read, both locked
 * against being dropped; all of its history.
 */
extern void sp_trial_open(FunctionCallInfo fcinfo, int n, SpTrial *trial);

/* Why its source has no history, or NULL: it has; and an error about that. */
extern const char *sp_trial_obstacle(const SpTrial *trial);
extern void sp_trial_check_history(const SpTrial *trial);

/*
 * From argument n, and before argument n + 1; where they are null there is no such limit.  An error
 * where there is no history.
 */
extern void sp_trial_limit(FunctionCallInfo fcinfo, int n, SpTrial *trial);

/*
 * The detector's definition with some of it changed: by name, "threshold", "direction",
 * "min_effect", "learn", "cooldown", or a parameter of its method; null leaves it.
 */
extern SpDetectorDef *sp_trial_change(const SpTrial *trial, Jsonb *changes);

#endif
