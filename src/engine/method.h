/*
 * method.h
 *	  The methods that detectors can use: rules, or one of the online kernels.
 */
#ifndef SP_METHOD_H
#define SP_METHOD_H

#include "postgres.h"

#include <math.h>

#include "datatype/timestamp.h"
#include "kernel/batch/kernels.h"
#include "kernel/online/judge.h"
#include "pgtime.h"
#include "utils/jsonb.h"

/* What becomes of a row that has no value, or lacks features. */
typedef enum SpMissing
{
	SP_MISSING_SKIP,			/* it isn't scored */
	SP_MISSING_ZERO,			/* it is, with 0 */
	SP_MISSING_LAST,			/* or with the series' last one; without any it isn't */
	SP_MISSING_DEAD_LETTER
} SpMissing;

/* Which scores tell how probable one is. */
typedef enum SpCalibrate
{
	SP_CALIBRATE_KEY,			/* those of its key */
	SP_CALIBRATE_DETECTOR,		/* those of all keys */
	SP_CALIBRATE_NONE,			/* none: the method's theory does, if it has one */
	SP_CALIBRATE_UNSET			/* not of a method that is open */
} SpCalibrate;

/* A method with its parameters. */
typedef struct SpMethod
{
	const char *name;
	SpJudge		judge;			/* its kernel is NULL where it is made of rules */
	Size		state_size;		/* of a key; 0: none */
	int64		needed;			/* so many points make a key ready to score */
	pg_tz	   *zone;			/* of the kernel's local clock; NULL: UTC */
	int32		missing;		/* SpMissing */
	int32		calibrate;		/* SpCalibrate */
	double		alerts_per_day; /* of all keys; NaN: the threshold is constant */
	double		budget_factor;	/* of the threshold that moves, 1; 0: a key has one of its own */
	bool		uses_time;		/* points need a finite event time */
	int32		trigger_rows;	/* of a batch method: so many rows end a micro-batch */
	int32		history_rows;	/* likewise: points of a key that history may have */
	int32		warmup;			/* likewise: points of a key without which none is an anomaly */
	double		feedback;		/* by what part a label moves the threshold of its key; 0: not */
	double		feedback_limit; /* all of them move it by no more than this factor */
} SpMethod;

static inline bool
sp_method_has_budget(const SpMethod *method)
{
	return !isnan(method->alerts_per_day);
}

/* False: there is no such method.  *kernel: NULL for rules. */
extern bool sp_method_find(const char *name, const SpKernel **kernel);

/* The names of all methods, separated by commas. */
extern const char *sp_method_names(void);

/* What a user gives of a method, beside its parameters. */
typedef struct SpMethodUse
{
	int			n;				/* features, 1 for a value */
	SpDirection direction;
	double		threshold;		/* NaN: the method's own */
	double		min_effect;
	SpLearn		learn;
	bool		to_show;		/* nothing is scored: what must be given may be missing */
} SpMethodUse;

/*
 * The method.  An error names the parameter, its value and what is allowed.  In the current
 * memory context.
 */
extern SpMethod *sp_method_open(const char *name, Jsonb *given, const SpMethodUse *use);

/* Parameters of all kernels that have a use for them. */
extern const SpParam sp_method_common_params[];	/* name NULL at the end */
extern bool sp_method_has_common(const SpKernel *kernel, const SpParam *param);

/* An error when there is neither a threshold nor a budget. */
extern void sp_method_check_threshold(const SpMethod *method);

/* An error when the method can do nothing with the direction, or with learn. */
extern void sp_method_check_use(const char *name, const SpKernel *kernel, const SpMethodUse *use);

/* The event time, an instant, on the method's local clock. */
extern int64 sp_method_local_time(const SpMethod *method, TimestampTz time);

#endif
