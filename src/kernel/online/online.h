/*
 * online.h
 *	  What the online detectors' kernels have in common.
 *
 * A kernel keeps the state of one key in a struct of fixed size, scores a value against
 * it, and learns from a value; the two are apart, because what was flagged need not be
 * learned.  The same calls in the same order give the same bits, in the worker and in a
 * query.
 */
#ifndef SP_ONLINE_H
#define SP_ONLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A score never goes beyond, so that scores stay finite and can be compared. */
#define SP_SCORE_MAX	1e6

typedef enum SpDirection
{
	SP_DIRECTION_BOTH,			/* far from what is expected is anomalous */
	SP_DIRECTION_HIGH,			/* only above */
	SP_DIRECTION_LOW			/* only below */
} SpDirection;

/* NaN stands for "not known" in the last three. */
typedef struct SpScore
{
	double		score;			/* higher = more anomalous */
	double		p_value;		/* probability of such a score, or a higher one, without cause */
	double		expected;
	double		lower_bound;	/* where the score reaches the threshold, in either direction */
	double		upper_bound;
} SpScore;

typedef enum SpParamType
{
	SP_PARAM_FLOAT,				/* a double in the params struct */
	SP_PARAM_INT				/* an int32_t */
} SpParamType;

/* One parameter of a method, for parsing, checking and documentation. */
typedef struct SpParam
{
	const char *name;
	SpParamType type;
	size_t		offset;			/* in the method's params struct */
	double		default_value;
	double		min;			/* both inclusive */
	double		max;
	const char *meaning;
} SpParam;

#endif
