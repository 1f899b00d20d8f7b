/*
 * online.h
 *	  What online detectors' kernels are, and what they have in common.
 *
 * A kernel scores the points of one series (one key), one by one, against what it has learned
 * from those before, and learns from them; the two are apart, because what was flagged need not
 * be learned.  The same calls in the same order give the same bits, in the worker, in a query
 * and in the shield.
 *
 * Its state is a piece of memory of the caller's, aligned to 8 bytes, of a size that only the
 * parameters and the number of features decide.  It holds no pointers, so that it can be copied
 * and written as it is.  Kernels allocate nothing, have no globals and raise no errors.
 *
 * The points are finite: who calls makes sure, see sp_online_is_finite().  Times may be those of
 * earlier points again, or go back.
 */
#ifndef SP_ONLINE_H
#define SP_ONLINE_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A score never goes beyond, so that scores stay finite and can be compared. */
#define SP_SCORE_MAX	1e6

/*
 * A value farther from 0 isn't learned where kernels say so: beside it no other could be learned,
 * nor could its square be.
 */
#define SP_MAX_LEARNED	1e100

#define SP_MAX_FEATURES	64
#define SP_MAX_PARTS	(SP_MAX_FEATURES + 16)

typedef enum SpDirection
{
	SP_DIRECTION_BOTH,			/* far from what is expected is anomalous */
	SP_DIRECTION_HIGH,			/* only above */
	SP_DIRECTION_LOW			/* only below */
} SpDirection;

/* One event. */
typedef struct SpPoint
{
	int64_t		time;			/* microseconds since 2000-01-01 UTC */
	int64_t		local;			/* the same on a clock of the detector's time zone */
	const double *x;			/* [n of the setup] */
} SpPoint;

/* What a detector's calls have in common. */
typedef struct SpSetup
{
	const void *params;			/* the kernel's */
	int			n;				/* features; 1 where a kernel takes a value; 0: there is none */
	SpDirection direction;
	double		threshold;		/* above it a score is an anomaly; here for the bounds */
	int32_t		escape;			/* so many anomalies in a row are what is usual now; 0: never */
	bool		explain_all;	/* explain every score, also those that are not above it */
	bool		is_fine;		/* sparse scores shall tell apart also what would be 0 */
	bool		looks_ahead;	/* intervals that end with later points count, too; see velocity.h */
} SpSetup;

typedef struct SpScore
{
	double		score;			/* higher = more anomalous, within +-SP_SCORE_MAX */
	double		expected;		/* NaN: not known, or there is more than one feature */
	double		lower_bound;	/* where the score reaches the threshold, in either direction; */
	double		upper_bound;	/* likewise */
	bool		ready;			/* enough was learned; else the score is 0 */
} SpScore;

/* A part of a score. */
typedef struct SpPart
{
	const char *name;			/* constant; NULL: the feature's */
	int			feature;		/* of that number */
	double		amount;
} SpPart;

/* Why a score is what it is. */
typedef struct SpExplanation
{
	int			nparts;
	SpPart		parts[SP_MAX_PARTS];	/* their sum is the score where kernels say so */
	double		expected[SP_MAX_FEATURES];	/* by feature; NaN: not known */
	double		lower[SP_MAX_FEATURES];
	double		upper[SP_MAX_FEATURES];
	double		nearest[SP_MAX_FEATURES];	/* a point near this one whose score is not above the
											 * threshold; all NaN: not known */
} SpExplanation;

/* ---- parameters ---- */

typedef enum SpParamType
{
	SP_PARAM_FLOAT,				/* a double in the params struct */
	SP_PARAM_INT,				/* an int32_t */
	SP_PARAM_BOOL,				/* an int32_t */
	SP_PARAM_CHOICE,			/* an int32_t: the number of one of the choices */
	SP_PARAM_SET,				/* an int32_t: a bit for each of the choices; 0 is the default */
	SP_PARAM_INTERVAL,			/* an int64_t: microseconds */
	SP_PARAM_TIME_ZONE,			/* of who calls a kernel, never the kernel's own */
	SP_PARAM_MODEL				/* an SpStoredModel */
} SpParamType;

/* One parameter of a kernel, for parsing, checking and documentation. */
typedef struct SpParam
{
	const char *name;
	SpParamType type;
	size_t		offset;			/* in the kernel's params struct */
	double		default_value;	/* the number of a choice; NaN: see default_text */
	double		min;			/* both inclusive; not of choices */
	double		max;
	const char *meaning;
	const char *const *choices; /* NULL at the end */
	const char *default_text;	/* what it is where no number is given; NULL: the default is one */
} SpParam;

/* The defaults of a table of n, for a struct of that size; where there is no number 0, of a float NaN. */
extern void sp_param_defaults(const SpParam *table, int n, void *params, size_t size);

/* ---- kernels ---- */

typedef enum SpTakes
{
	SP_TAKES_VALUE,				/* one number */
	SP_TAKES_ANY_VALUE,			/* or none at all */
	SP_TAKES_FEATURES,			/* 1 to SP_MAX_FEATURES */
	SP_TAKES_EITHER				/* one number, or features */
} SpTakes;

typedef struct SpKernel
{
	const char *name;
	const char *summary;		/* a line */
	const char *reference;		/* where it is published */
	SpTakes		takes;
	bool		has_direction;	/* high and low mean something, of one number */
	bool		uses_time;		/* points need a finite event time */
	bool		sums_up;		/* the parts of an explanation add up to the score */
	bool		is_fitted;		/* what scores is a parameter, without which there are none */
	bool		is_sparse;		/* scores are 0 almost always: one key's alone tell little */
	uint32_t	version;		/* of the state's form */

	int			nparams;
	const SpParam *param_table;
	size_t		params_size;

	/* NULL, or why these parameters don't go together; optional. */
	const char *(*conflict) (const void *params, int n);

	/* Where the user gives none: a constant, or if parameters decide get_threshold. */
	double		threshold;
	double		(*get_threshold) (const void *params, int n);

	/* Bytes of a state; likewise. */
	size_t		state_size;
	size_t		(*get_state_size) (const void *params, int n);

	/* Optional: a state that has learned nothing is all zeros, before this as without it. */
	void		(*init) (void *state, const SpSetup *setup);

	/*
	 * Score a point against what was learned; the state stays as it is.  why: NULL, or to be
	 * filled in where sp_online_explains() says so.
	 */
	void		(*score) (const void *state, const SpSetup *setup, const SpPoint *point,
						  SpScore *result, SpExplanation *why);

	/* Learn a point.  False, with the state unchanged: it can't be (it would be infinite). */
	bool		(*learn) (void *state, const SpSetup *setup, const SpPoint *point);

	/*
	 * Both at once, with the same results to the last bit, and the same state; optional, for
	 * where that is cheaper.  Where learn() would return false, so does this.
	 */
	bool		(*step) (void *state, const SpSetup *setup, const SpPoint *point,
						 SpScore *result, SpExplanation *why);

	/*
	 * The point was scored and isn't to be learned, but it came; optional.
	 */
	void		(*pass) (void *state, const SpSetup *setup, const SpPoint *point);

	/*
	 * When the score will be above the threshold if no point comes: the first such time, INT64_MAX
	 * if it never will be, or too little is known; optional.
	 */
	int64_t		(*due) (const void *state, const SpSetup *setup);

	/*
	 * What the score is of, where that isn't the point's value: of a point that is yet to be learned;
	 * NaN: there is nothing; optional.
	 */
	double		(*measure) (const void *state, const SpSetup *setup, const SpPoint *point);

	/* The probability of such a score or a higher one without cause, by theory; optional. */
	double		(*p_value) (const SpSetup *setup, double score);

	/*
	 * How many points were learned; optional: else a state begins with that number, 8 bytes.  Of
	 * how many that it takes to be ready; optional: else the parameter "warmup", or none.
	 */
	int64_t		(*get_learned) (const void *state, const SpSetup *setup);
	int64_t		(*get_needed) (const void *params, int n);

	/*
	 * Could points have led to this state?  Whatever bytes it says yes to, all of the above are
	 * safe on them, and scores are within their range.
	 */
	bool		(*is_sound) (const void *state, const SpSetup *setup);

	/* what scores its points many at a time; NULL: they are scored one by one */
	const struct SpBatchKernel *batch;
} SpKernel;

/* All of them, in the order in which they are shown; NULL at the end. */
extern const SpKernel *const sp_online_kernels[];

extern const SpKernel *sp_online_find(const char *name);

/* The defaults; where there is no number 0, of a float NaN. */
extern void sp_online_defaults(const SpKernel *kernel, void *params);

/* The threshold where the user gives none. */
extern double sp_online_threshold(const SpKernel *kernel, const void *params, int n);

/* Bytes of a state. */
extern size_t sp_online_state_size(const SpKernel *kernel, const void *params, int n);

/* How many points were learned, of how many that it takes to be ready. */
extern int64_t sp_online_learned(const SpKernel *kernel, const void *state, const SpSetup *setup);
extern int64_t sp_online_needed(const SpKernel *kernel, const void *params, int n);

/* Zero a state and initialize it. */
extern void sp_online_init(const SpKernel *kernel, void *state, const SpSetup *setup);

/* Score and learn; false: it can't be learned. */
extern bool sp_online_step(const SpKernel *kernel, void *state, const SpSetup *setup,
						   const SpPoint *point, SpScore *result, SpExplanation *why);

/* Are all n numbers finite? */
extern bool sp_online_is_finite(const double *x, int n);

/*
 * Durable form: version and size, 4 bytes each, then the state.  write returns the end of what
 * it has written; read the end of what it has read, or NULL when the bytes before end aren't a
 * state of this kernel under this setup (then the state is undefined).
 */
extern size_t sp_online_written_size(const SpKernel *kernel, const SpSetup *setup);
extern char *sp_online_write(const SpKernel *kernel, const void *state, const SpSetup *setup,
							 char *to);
extern const char *sp_online_read(const SpKernel *kernel, void *state, const SpSetup *setup,
								  const char *from, const char *end);

/* For kernels: nothing is known. */
extern void sp_online_clear_score(SpScore *result);
extern void sp_online_clear_explanation(SpExplanation *why, int n);

/* For kernels: is a score, of which enough is known, to be explained? */
static inline bool
sp_online_explains(const SpSetup *setup, const SpScore *result, const SpExplanation *why)
{
	return why != NULL && (setup->explain_all || result->score > setup->threshold);
}

/* Can it be learned, see SP_MAX_LEARNED? */
static inline bool
sp_online_can_learn(double x)
{
	return x >= -SP_MAX_LEARNED && x <= SP_MAX_LEARNED;
}

/* A score within its range. */
static inline double
sp_online_limit(double score)
{
	return score > SP_SCORE_MAX ? SP_SCORE_MAX : score < -SP_SCORE_MAX ? -SP_SCORE_MAX : score;
}

#define SP_FINE_SCORE	1e-3

/*
 * A fine score of a statistic that is the score where it is above 0: below 0 it tells, in octaves,
 * how far from 0 it is.
 */
static inline double
sp_online_fine_score(double statistic)
{
	return statistic > 0.0 ? sp_online_limit(statistic + SP_FINE_SCORE) :
		SP_FINE_SCORE * exp2(statistic);
}

/* The statistic of a fine score; -infinity where that is 0. */
static inline double
sp_online_fine_statistic(double score)
{
	return score > SP_FINE_SCORE ? score - SP_FINE_SCORE :
		score > 0.0 ? log2(score / SP_FINE_SCORE) : -INFINITY;
}

#endif
